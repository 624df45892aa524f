//! Verbs that show or change one thing and print it.

use super::{Common, paint, print_json};
use crate::admin::{Request, client, verbs};
use crate::agreements::Agreements;
use crate::clock::Clock;
use crate::config::console::{Console, Tokens};
use crate::config::http::{Application, Http, Webhook};
use crate::config::{Config, Keys, Link, Span, TlsMode, TrustFiles};
use crate::resolver::Resolver;
use crate::{decode as mail, view};
use anyhow::Context as _;
use mms::Party;
use relay::house::Dock;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use tokio_util::task::TaskTracker;

const OK: anyhow::Result<ExitCode> = Ok(ExitCode::SUCCESS);

/// `belino check`.
pub fn check(common: &Common) -> anyhow::Result<ExitCode> {
    let file = common.config_file()?;
    let config = crate::config::load(&file)?;
    // Only whether they can be used; what is in them is shown nowhere.
    Keys::read(&config.http).map_err(anyhow::Error::msg)?;
    Agreements::read(&config, &Clock::System).map_err(anyhow::Error::msg)?;
    Tokens::read(&config.console).map_err(anyhow::Error::msg)?;
    if common.json {
        print_json(&check_json(&config));
        return OK;
    }
    let house = &config.house;
    say!("{}: fine", file.display());
    let domains: Vec<&str> = house.domains.iter().map(mms::Domain::as_str).collect();
    say!("  we are {} with system address {}", domains.join(", "), house.system_address);
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    say!("  data in {}", data.display());
    config.proxy_from.iter().for_each(|hop| say!("  believes the PROXY header of {hop}"));
    config.listen_tls.iter().for_each(|a| say!("  listens for MM4 under TLS on {a}"));
    match config.listen.is_empty() {
        true if !config.listen_tls.is_empty() => {}
        true => say!("  no [mm4] listen: no peer can connect"),
        false => config.listen.iter().for_each(|a| say!("  listens for MM4 on {a}")),
    }
    for local in &house.locals {
        let prefixes = local.prefixes.iter().map(|p| format!("+{p}"));
        let served: Vec<String> = prefixes.chain(local.codes.iter().cloned()).collect();
        match &local.dock {
            Dock::Mailbox => say!("  serves {} from the mailbox", served.join(", ")),
            Dock::Hook(hook) => say!("  serves {} by webhook {hook}", served.join(", ")),
        }
    }
    let order: Vec<String> = config.discovery.order.iter().map(|s| format!("{s:?}").to_lowercase()).collect();
    if house.discovery.asks {
        let first = if house.discovery.portability_first { ", also numbers of our own ranges" } else { "" };
        say!("  where a number is served is asked of {}{first}", order.join(", then "));
    }
    if let Some(charging) = &config.charging {
        let folder = charging.folder.clone().unwrap_or_else(|| data.join("charging"));
        let formats: Vec<&str> = charging.formats.iter().map(|f| f.as_str()).collect();
        say!("  writes charging records as {} into {}", formats.join(", "), folder.display());
    }
    check_http(&config.http);
    check_console(&config.console);
    if house.peers.is_empty() {
        say!("  no peers: nothing is accepted and nothing is sent");
    }
    for (peer, link) in house.peers.iter().zip(&config.links) {
        say!("  peer {}", peer.name);
        let prefixes: Vec<String> = peer.prefixes.iter().map(|p| format!("+{p}")).collect();
        let prefixes = if prefixes.is_empty() { "no prefix".to_owned() } else { prefixes.join(", ") };
        let hosts = match &link.discover {
            Some(_) => format!("the hosts that the DNS has for {}", peer.domains[0]),
            None => or_nowhere(&link.hosts),
        };
        say!("    MMs for {prefixes} go to {hosts}");
        let from: Vec<String> = link.from.iter().map(ToString::to_string).collect();
        match link.is_known_by_certificate() {
            true => say!("    connects to us from anywhere, under TLS, and is known by its certificate"),
            false => say!("    connects to us from {}", or_nowhere(&from)),
        }
        if let Some(auth) = &link.auth {
            say!("    has to log in as {}", auth.user);
        }
        if let Some(login) = &link.login {
            say!("    is logged in to as {}", login.user);
        }
        if link.tls.mode != TlsMode::Off {
            say!("    tls = {}", tls_words(link));
        }
        say!("    responses go to {} unless a request names another mailbox of its own", peer.system_address);
        let transit: Vec<String> = transit_words(&peer.transit);
        if !transit.is_empty() {
            say!("    may send through us to {}", transit.join(", "));
        }
        let standard = relay::house::Profile::default();
        for knob in relay::house::Profile::KNOBS {
            let value = (knob.show)(&peer.profile);
            if value != (knob.show)(&standard) {
                say!("    {} = {value}", knob.key);
            }
        }
    }
    OK
}

fn tls_words(link: &Link) -> String {
    let trust = match &link.tls.trust {
        TrustFiles::Anybody => "any certificate".to_owned(),
        TrustFiles::Fingerprints(list) => format!("one of {} certificates by fingerprint", list.len()),
        TrustFiles::Authority { ca, name } => {
            let name = name.as_deref().unwrap_or("its host");
            format!("a certificate for {name}, signed under {}", ca.display())
        }
    };
    let must = if link.tls.client_certificate { ", which it must show as a client, too" } else { "" };
    format!("{}, with {trust}{must}", link.tls.mode.as_str())
}

fn transit_words(transit: &relay::house::Transit) -> Vec<String> {
    let words = |to: &str, mode: relay::house::TransitMode| match mode {
        relay::house::TransitMode::BackToBack => to.to_owned(),
        relay::house::TransitMode::Transparent => format!("{to} (transparently)"),
    };
    let any = transit.to_any.map(|mode| words("every other peer", mode));
    transit.to.iter().map(|(to, mode)| words(to.as_str(), *mode)).chain(any).collect()
}

fn check_console(console: &Console) {
    console.listen.iter().for_each(|a| say!("  listens for the console on {a}"));
    for user in &console.users {
        say!("  {} may log in to the console, role {}", user.name, user.role.as_str());
    }
}

fn check_http(http: &Http) {
    http.listen.iter().for_each(|a| say!("  listens for HTTP on {a}"));
    if http.listen.is_empty() && !http.applications.is_empty() {
        say!("  no [http] listen: no application can connect");
    }
    for application in &http.applications {
        let senders: Vec<String> = application.senders.iter().map(ToString::to_string).collect();
        let told = match &application.webhook {
            Some(hook) => format!("told by webhook {hook}"),
            None => "told nothing; it has to ask".to_owned(),
        };
        say!("  application {} sends as {}, {told}", application.name, senders.join(", "));
    }
    for webhook in &http.webhooks {
        say!("  webhook {} goes to {}", webhook.name, webhook.url);
    }
}

fn or_nowhere(list: &[String]) -> String {
    if list.is_empty() { "nowhere".to_owned() } else { list.join(", ") }
}

fn check_json(config: &Config) -> Value {
    let peers: Vec<Value> = config
        .links
        .iter()
        .map(|l| {
            let from: Vec<String> = l.from.iter().map(ToString::to_string).collect();
            json!({ "name": l.peer.as_str(), "hosts": l.hosts, "from": from, "tls": l.tls.mode.as_str(),
                "auth_user": l.auth.as_ref().map(|a| &a.user), "login_user": l.login.as_ref().map(|a| &a.user) })
        })
        .collect();
    json!({
        "domains": config.house.domains.iter().map(mms::Domain::as_str).collect::<Vec<_>>(),
        "system_address": config.house.system_address.to_string(),
        "data": config.data.display().to_string(),
        "listen": config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "listen_tls": config.listen_tls.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "proxy_from": config.proxy_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "peers": peers,
        "console": {
            "listen": config.console.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "users": config.console.users.iter().map(|u| json!({ "name": u.name, "role": u.role.as_str() })).collect::<Vec<_>>(),
        },
        "http": {
            "listen": config.http.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "applications": config.http.applications.iter().map(application_json).collect::<Vec<_>>(),
            "webhooks": config.http.webhooks.iter().map(webhook_json).collect::<Vec<_>>(),
        },
    })
}

fn application_json(application: &Application) -> Value {
    json!({
        "name": application.name,
        "token_file": application.token_file.display().to_string(),
        "from": application.senders.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "webhook": application.webhook.as_ref().map(relay::HookName::as_str),
    })
}

fn webhook_json(webhook: &Webhook) -> Value {
    json!({
        "name": webhook.name.as_str(),
        "url": webhook.url.as_str(),
        "secret_file": webhook.secret_file.display().to_string(),
    })
}

/// `belino decode`.
pub fn decode(common: &Common, file: &Path) -> anyhow::Result<ExitCode> {
    let mut octets = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut octets)?;
    } else {
        octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let mail = mail::mail(&wire::smtp::dot_stuff(&octets));
    if common.json {
        print_json(&mail.json);
    } else {
        say_part!("{}", mail::lines(&mail.json));
    }
    OK
}

/// `belino route`: by the running relay, or by the configuration when none runs.
pub fn route(common: &Common, address: &str) -> anyhow::Result<ExitCode> {
    let asked = common.ask(&Request::Route { address: address.to_owned() });
    let (route, note) = match asked {
        Ok(route) => (route, ""),
        Err(error) if common.data.is_some() => return Err(error),
        Err(_) => {
            let config = common.load()?;
            let party: Party = address.parse().map_err(|e| anyhow::anyhow!("address {address:?}: {e}"))?;
            let party = Party { address: config.house.normalised(party.address), ..party };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let resolver =
                Resolver::new(&config, Clock::System, runtime.handle().clone(), TaskTracker::new());
            let route = runtime.block_on(verbs::explain_route(&resolver, &config, &party));
            (route, " (by the configuration file; no relay is running)")
        }
    };
    if common.json {
        print_json(&route);
        return OK;
    }
    let to = match route["to"].as_str() {
        Some("peer") => format!("to peer {}", view::text(&route["peer"])),
        Some("mailbox") => "into the mailbox here".to_owned(),
        Some("waiting") => "nowhere yet: it would wait until somebody can say where it is served".to_owned(),
        Some("webhook") => format!("to webhook {}", view::text(&route["webhook"])),
        _ => format!("nowhere: {}", view::text(&route["why"])),
    };
    say!("{} goes {to}{note}", view::text(&route["address"]["value"]));
    for step in route["steps"].as_array().into_iter().flatten() {
        say!("  {}", view::text(step));
    }
    let hosts: Vec<String> = route["hosts"].as_array().into_iter().flatten().map(view::text).collect();
    if !hosts.is_empty() {
        say!("  hosts, in the order in which they are tried: {}", hosts.join(", "));
    }
    OK
}

/// `belino queue`.
pub fn queue(common: &Common, peer: Option<String>, all: bool, max: usize) -> anyhow::Result<ExitCode> {
    let rows = common.ask(&Request::Queue { peer, all, max })?;
    if common.json {
        print_json(&rows);
        return OK;
    }
    let rows = rows.as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        say!("{}", if all { "no MM is known" } else { "nothing waits (finished MMs: --all)" });
        return OK;
    }
    print_table(&rows);
    say!("one MM's history: belino trace ID");
    OK
}

/// MMs as a table, one line for each recipient.
fn print_table(rows: &[Value]) {
    say!("{:<26} {:<24} {:<18} {:<18} STATE", "ID", "ACCEPTED", "FROM", "TO");
    for row in rows {
        let from = view::text(&row["sender"]["value"]);
        let mut recipients = row["recipients"].as_array().cloned().unwrap_or_default();
        if recipients.is_empty() {
            recipients.push(json!({ "address": { "value": "-" }, "state": row.get("unreadable").map_or("answer", |_| "unreadable") }));
        }
        for (i, r) in recipients.iter().enumerate() {
            let (id, at, from) = if i == 0 {
                (view::text(&row["id"]), view::text(&row["accepted"]), from.clone())
            } else {
                Default::default()
            };
            let (to, state) = (view::text(&r["address"]["value"]), paint::state(&view::text(&r["state"])));
            say!("{id:<26} {at:<24} {from:<18} {to:<18} {state}");
        }
    }
}

/// `belino find`.
#[derive(clap::Args)]
pub struct Find {
    /// Our id, an X-Mms-Message-ID, an address or the beginning of one
    text: Option<String>,
    /// Only MMs that came from this peer or go to it
    #[arg(long)]
    peer: Option<String>,
    /// Only MMs that are so: open, done, failed
    #[arg(long)]
    state: Option<String>,
    /// Not before: 2h, 3d, 2026-11-25, 2026-11-25T22:10
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Go on behind this MM: the last of the page before
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    max: usize,
}

impl Find {
    /// Ask and print.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let Self { text, peer, state, since, until, before, max } = self;
        let found = common.ask(&Request::Find { text, peer, state, since, until, before, max })?;
        let rows = found["messages"].as_array().cloned().unwrap_or_default();
        if common.json {
            print_json(&found["messages"]);
            return OK;
        }
        match rows.is_empty() {
            true => say!("no MM is known that fits"),
            false => print_table(&rows),
        }
        if let Some(next) = found["next"].as_str() {
            say!("there may be more: --before {}", view::Plain(next));
        }
        if let Some(read) = found["reading"].as_u64() {
            say!("the index is still being made: {read} MMs so far, and what is older is found later");
        }
        OK
    }
}

/// `belino trace`.
pub fn trace(common: &Common, id: String) -> anyhow::Result<ExitCode> {
    let rows = common.ask(&Request::Trace { id })?;
    print_mms(common, &rows);
    OK
}

/// `belino retry`, `belino drop`.
pub fn changed(common: &Common, request: &Request) -> anyhow::Result<ExitCode> {
    let rows = common.ask(request)?;
    print_mms(common, &rows);
    OK
}

fn print_mms(common: &Common, rows: &Value) {
    if common.json {
        return print_json(rows);
    }
    for row in rows.as_array().into_iter().flatten() {
        say_part!("{}", paint::ledger_lines(&view::ledger_lines(row)));
    }
}

/// `belino peer`, `pause`, `resume`.
pub fn peers(common: &Common, request: &Request, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let rows = common.ask(request)?;
    let rows: Vec<Value> = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter(|r| only.is_none_or(|name| r["peer"] == name))
        .cloned()
        .collect();
    if let (Some(name), true) = (only, rows.is_empty()) {
        anyhow::bail!("no peer is named {name:?}");
    }
    if common.json {
        print_json(&Value::Array(rows));
        return OK;
    }
    say!("{:<16} {:>8} {:>10} {:>9}  {:<13}  STATE", "PEER", "QUEUED", "ON ITS WAY", "INCOMING", "TLS");
    for row in &rows {
        let state = match (&row["paused"], &row["gate"]["open"]) {
            (Value::Bool(true), _) => paint::state("paused"),
            (_, Value::Bool(true)) => paint::state("open"),
            _ => format!(
                "{} until {}: {}",
                paint::state("unreachable"),
                view::text(&row["gate"]["until"]),
                view::text(&row["gate"]["why"])
            ),
        };
        let state = match (row["slowed"].as_u64(), row["refused_for_pace"].as_u64()) {
            (Some(0) | None, Some(0) | None) => state,
            (slowed, refused) => format!(
                "{state}; too fast: slowed down {} times, {} mails put off",
                slowed.unwrap_or(0),
                refused.unwrap_or(0)
            ),
        };
        let (peer, queued) = (view::text(&row["peer"]), view::text(&row["queued"]));
        let (flight, incoming) = (view::text(&row["in_flight"]), view::text(&row["incoming_connections"]));
        let tls = view::text(&row["tls"]);
        say!("{peer:<16} {queued:>8} {flight:>10} {incoming:>9}  {tls:<13}  {state}");
    }
    if let (Some(_), Some(row)) = (only, rows.first()) {
        say_refusals(row);
    }
    OK
}

/// Refusals that `belino peer NAME` shows.
const REFUSALS_SHOWN: usize = 10;

/// What was refused last, by whom, and what to do about it.
fn say_refusals(row: &Value) {
    let refusals = row["refusals"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !refusals.is_empty() {
        say!("refused last, newest first:");
    }
    for refusal in refusals.iter().take(REFUSALS_SHOWN) {
        let (at, by) = (view::text(&refusal["at"]), view::text(&refusal["by"]));
        let mm =
            if refusal["mm"].is_null() { String::new() } else { format!(" {}", view::text(&refusal["mm"])) };
        say!("  {at}  by {by}{mm}: {}", view::text(&refusal["words"]));
        if !refusal["next"].is_null() {
            say!("    what next: {}", view::text(&refusal["next"]));
        }
    }
}

/// `belino reload`.
pub fn reload(common: &Common) -> anyhow::Result<ExitCode> {
    // A file that cannot even tell where the relay is would not have been applied either.
    let data = common.data().context("nothing was changed")?;
    let (came, _) = client::ask(&data, &Request::Reload, &[])?;
    if common.json {
        print_json(&came);
        return OK;
    }
    say!("the configuration was read again and holds from now on");
    for key in came["at_next_start"].as_array().into_iter().flatten() {
        say!("  {} has changed, which takes effect at the next start", view::text(key));
    }
    OK
}

/// `belino status`.
pub fn status(common: &Common) -> anyhow::Result<ExitCode> {
    let status = common.ask(&Request::Status)?;
    if common.json {
        print_json(&status);
        return OK;
    }
    for (key, value) in status.as_object().into_iter().flatten().filter(|(key, _)| *key != "alarms") {
        let value = match value.as_object() {
            Some(parts) => {
                let part = |(key, value): (&String, &Value)| {
                    format!("{} {}", key.replace('_', " "), view::text(value))
                };
                parts.iter().map(part).collect::<Vec<_>>().join(", ")
            }
            None => view::text(value),
        };
        say!("{:<16} {value}", key.replace('_', " "));
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        let text = |key: &str| view::text(&alarm[key]);
        say!("{:<16} {}: {}\n{:<16} {}", text("severity"), text("subject"), text("what"), "", text("next"));
    }
    OK
}

/// `belino advance`, for tests.
pub fn advance(common: &Common, span: &str) -> anyhow::Result<ExitCode> {
    let span = span.parse::<Span>().map_err(|e| anyhow::anyhow!("{e}"))?.0;
    let millis = u64::try_from(span.as_millis())?;
    let (now, _) = client::ask(&common.data()?, &Request::Advance { millis }, &[])?;
    say!("{}", view::text(&now));
    OK
}
