//! From the text of the file to [`Config`], with errors that name line, key and the nearest key that exists.

use super::charging::{ChargingPart, charging};
use super::console::{self, ConsolePart};
use super::discovery::{DiscoverPart, DiscoveryPart, discover, discovery};
use super::http::{self, ApplicationPart, HttpPart, WebhookPart};
use super::limits::{LimitsPart, RetryPart, heart_limits, house_limits, retry};
use super::metrics::{self, MetricsPart};
use super::profile::{ProfilePart, name_or_table};
use super::search::{self, SearchPart};
use super::tls::{self, ClientCertificate, TlsMode};
use super::traces::{self, TracesPart};
use super::{ByteSize, Config, Link, LinkTls, LoginFile, Network, TrustFiles};
use crate::dock::pace::Rates;
use mms::{Address, Domain, HeaderText, MailPath, Number, NumberPlan, Party, Version};
use relay::HookName;
use relay::house::{House, Local, Peer, PeerName, Transit, TransitMode};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// What is wrong with a configuration.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong and what was expected.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    relay: RelayPart,
    #[serde(default)]
    mm4: Mm4Part,
    #[serde(default)]
    limits: LimitsPart,
    #[serde(default)]
    retry: RetryPart,
    #[serde(default)]
    numbers: NumbersPart,
    #[serde(default)]
    discovery: DiscoveryPart,
    #[serde(default)]
    local: Vec<LocalPart>,
    #[serde(default)]
    peer: Vec<PeerPart>,
    #[serde(default)]
    http: HttpPart,
    #[serde(default)]
    application: Vec<ApplicationPart>,
    #[serde(default)]
    webhook: Vec<WebhookPart>,
    #[serde(default)]
    console: ConsolePart,
    #[serde(default)]
    metrics: MetricsPart,
    #[serde(default)]
    search: SearchPart,
    #[serde(default)]
    traces: TracesPart,
    charging: Option<ChargingPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayPart {
    domain: Option<String>,
    #[serde(default)]
    domains: Vec<String>,
    system_address: Option<String>,
    data: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mm4Part {
    #[serde(default)]
    listen: Vec<SocketAddr>,
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    #[serde(default)]
    proxy_from: Vec<Network>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    host_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumbersPart {
    country_code: Option<String>,
    trunk_prefix: Option<String>,
    #[serde(default)]
    international_prefixes: Vec<String>,
    #[serde(default)]
    bare_is_international: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalPart {
    #[serde(default)]
    prefixes: Vec<String>,
    subscribers: Option<Vec<String>>,
    #[serde(default)]
    barred: Vec<String>,
    #[serde(default)]
    codes: Vec<String>,
    dock: String,
    #[serde(default = "yes")]
    available: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerPart {
    pub name: String,
    domains: Vec<String>,
    #[serde(default)]
    pub hosts: Vec<String>,
    pub discover: Option<DiscoverPart>,
    pub port: Option<u16>,
    #[serde(default)]
    pub resolvers: Vec<String>,
    source: Option<IpAddr>,
    #[serde(default)]
    pub from: Vec<Network>,
    system_address: Option<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    numbers: NumbersPart,
    pub tls: Option<TlsMode>,
    #[serde(default)]
    pub tls_fingerprints: Vec<String>,
    pub tls_ca: Option<PathBuf>,
    pub tls_name: Option<String>,
    #[serde(default)]
    pub tls_client_certificate: ClientCertificate,
    auth_user: Option<String>,
    auth_password_file: Option<PathBuf>,
    login_user: Option<String>,
    login_password_file: Option<PathBuf>,
    connections_max: Option<usize>,
    sessions_max: Option<usize>,
    mails_per_second: Option<u32>,
    stored_max: Option<ByteSize>,
    octets_per_second: Option<ByteSize>,
    #[serde(default)]
    one_message_per_connection: bool,
    #[serde(default)]
    transit: Vec<String>,
    #[serde(default)]
    transit_transparent: Vec<String>,
    #[serde(default, deserialize_with = "name_or_table")]
    profile: ProfilePart,
}

/// Read and check a configuration file.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("cannot read the configuration: {error}");
        ConfigError { file: file.to_owned(), line: None, what }
    })?;
    parse(&text, file)
}

/// Check the text of a configuration. `file` is only named in errors; a relative data folder is taken from where the
/// file lies.
///
/// # Errors
/// Something in it is wrong.
pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
    let parsed: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        ConfigError { file: file.to_owned(), line, what: explain(error.message()) }
    })?;
    build(parsed, file).map_err(|(key, what)| {
        let line = key.and_then(|key| line_of(text, &key));
        ConfigError { file: file.to_owned(), line, what }
    })
}

/// The parser's words, and for an unknown key the nearest one that exists.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else { return message.to_owned() };
    let Some((wrong, rest)) = rest.split_once('`') else { return message.to_owned() };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let near = known.iter().copied().max_by(|a, b| {
        let likeness = |k: &str| strsim::jaro_winkler(wrong, k);
        likeness(a).total_cmp(&likeness(b))
    });
    match near {
        Some(near) => {
            let all = known.join(", ");
            format!("unknown key {wrong:?}; did you mean {near:?}? Keys here: {all}")
        }
        None => format!("unknown key {wrong:?}"),
    }
}

/// The first line that holds a value, to point at it.
fn line_of(text: &str, value: &str) -> Option<usize> {
    text.lines().position(|line| !line.trim_start().starts_with('#') && line.contains(value)).map(|i| i + 1)
}

/// What is wrong, and the value to find its line by.
pub(super) type Wrong = (Option<String>, String);

pub(super) fn wrong<T>(value: &str, what: impl fmt::Display) -> Result<T, Wrong> {
    Err((Some(value.to_owned()), what.to_string()))
}

pub(super) fn domain(text: &str) -> Result<Domain, Wrong> {
    text.parse().or_else(|e| wrong(text, format!("{e}; a domain looks like \"mms.a.example\"")))
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(
            text,
            format!("prefix {text:?}: expected + and 1 to 15 digits, such as \"+1202555011\""),
        );
    }
    Ok(digits.to_owned())
}

fn number(text: &str) -> Result<Number, Wrong> {
    let parsed = text.parse::<Party>().ok().and_then(|p| p.address.number().cloned());
    match parsed.filter(Number::is_international) {
        Some(number) => Ok(number),
        None => wrong(text, format!("number {text:?}: expected + and digits, such as \"+12025550100\"")),
    }
}

pub(super) fn mailbox(key: &str, text: &str) -> Result<MailPath, Wrong> {
    match text.parse::<MailPath>() {
        Ok(path) if path.domain().is_some() => Ok(path),
        _ => {
            wrong(text, format!("{key} {text:?}: expected a mailbox, such as \"system-user@mms.a.example\""))
        }
    }
}

pub(super) fn version(text: &str) -> Result<Version, Wrong> {
    let parts: Option<Vec<u16>> = text.split('.').map(|p| p.parse().ok()).collect();
    match parts.as_deref() {
        Some([major, minor]) => Ok(Version { major: *major, minor: *minor, editorial: 0 }),
        Some([major, minor, editorial]) => {
            Ok(Version { major: *major, minor: *minor, editorial: *editorial })
        }
        _ => wrong(text, format!("version {text:?}: expected numbers with dots, such as \"6.16.0\"")),
    }
}

fn plan(part: &NumbersPart) -> Result<NumberPlan, Wrong> {
    let digits = |text: &String| match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        true => Ok(text.clone()),
        false => wrong(text, format!("{text:?}: expected digits only")),
    };
    Ok(NumberPlan {
        country_code: part.country_code.as_ref().map(digits).transpose()?,
        trunk_prefix: part.trunk_prefix.as_ref().map(digits).transpose()?,
        international_prefixes: part.international_prefixes.iter().map(digits).collect::<Result<_, _>>()?,
        bare_is_international: part.bare_is_international,
    })
}

fn build(file: File, path: &Path) -> Result<Config, Wrong> {
    let mut names: Vec<String> = file.relay.domain.into_iter().collect();
    names.extend(file.relay.domains);
    let domains = names.iter().map(|n| domain(n)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = domains.first().cloned() else {
        return wrong("[relay]", "[relay] needs domain = \"...\": our MM4 domain, such as \"mms.a.example\"");
    };
    let system_address = match &file.relay.system_address {
        Some(text) => mailbox("system_address", text)?,
        None => mailbox("system_address", &format!("system-user@{first}"))?,
    };
    let data = match path.parent() {
        Some(folder) if file.relay.data.is_relative() => folder.join(&file.relay.data),
        _ => file.relay.data.clone(),
    };
    let host_name = file.mm4.host_name.clone().unwrap_or_else(|| first.to_string());
    let discovery = discovery(&file.discovery, &domains, &host_name, &file.mm4.listen, path)?;
    let identity = tls::identity(&file.mm4, path.parent())?;
    let listens = !(file.mm4.listen.is_empty() && file.mm4.listen_tls.is_empty());
    let mut peers = Vec::new();
    let mut links = Vec::new();
    for part in &file.peer {
        let tls = tls::link(part, path.parent(), listens, identity.is_some())?;
        let (peer, mut link) = peer(part, &discovery.resolvers, tls)?;
        link.auth = login(part, "auth", (&part.auth_user, &part.auth_password_file), path.parent())?;
        link.login = login(part, "login", (&part.login_user, &part.login_password_file), path.parent())?;
        if peers.iter().any(|p: &Peer| p.name == peer.name) {
            return wrong(&part.name, format!("two peers are named {:?}", part.name));
        }
        for domain in &peer.domains {
            let taken = peers.iter().find(|p: &&Peer| p.owns(domain)).map(|p| p.name.to_string());
            let taken = taken.or_else(|| domains.contains(domain).then(|| "this relay itself".to_owned()));
            if let Some(owner) = taken {
                let text = format!("peer {:?}: domain {domain} belongs to {owner} already", part.name);
                return wrong(domain.as_str(), text);
            }
        }
        peers.push(peer);
        links.push(link);
    }
    let known: Vec<PeerName> = peers.iter().map(|p| p.name.clone()).collect();
    for (peer, part) in peers.iter_mut().zip(&file.peer) {
        peer.transit = transit(part, &known)?;
    }
    let hooks = http::hook_names(&file.webhook)?;
    let locals = file.local.iter().map(|part| local(part, &hooks)).collect::<Result<Vec<_>, _>>()?;
    let http = http::build(&file.http, &file.application, &file.webhook, &locals, path.parent())?;
    let console = console::build(&file.console, path.parent())?;
    let searched = !console.listen.is_empty();
    let charging = file.charging.as_ref().map(|part| charging(part, path.parent())).transpose()?;
    let house = House {
        number_plan: plan(&file.numbers)?,
        locals,
        peers,
        hooks,
        discovery: discovery.policy(),
        retry: retry(&file.retry)?,
        limits: heart_limits(&file.limits),
        charging: charging.is_some(),
        system_address,
        domains,
    };
    let limits = house_limits(&file.limits);
    let (listen, listen_tls) = (file.mm4.listen, file.mm4.listen_tls);
    let proxy_from = file.mm4.proxy_from;
    Ok(Config {
        house,
        data,
        listen,
        listen_tls,
        proxy_from,
        identity,
        host_name,
        links,
        limits,
        discovery,
        http,
        console,
        metrics: metrics::build(file.metrics),
        search: search::build(&file.search, searched),
        traces: traces::build(&file.traces)?,
        charging,
    })
}

/// To whom a peer may send through us: names of other peers, or `"*"` for all of them.
fn transit(part: &PeerPart, known: &[PeerName]) -> Result<Transit, Wrong> {
    let mut transit = Transit::default();
    let ways =
        [(&part.transit, TransitMode::BackToBack), (&part.transit_transparent, TransitMode::Transparent)];
    for (names, mode) in ways {
        for name in names {
            let peer = PeerName::new(name);
            let twice = if name == "*" {
                transit.to_any.replace(mode).is_some()
            } else if *name == part.name {
                return wrong(
                    &format!("{name:?}"),
                    format!("peer {name:?} cannot send through us to itself"),
                );
            } else if !known.contains(&peer) {
                let names: Vec<&str> = known.iter().map(PeerName::as_str).collect();
                let text =
                    format!("transit {name:?}: no such peer; expected \"*\" or one of {}", names.join(", "));
                return wrong(&format!("{name:?}"), text);
            } else {
                transit.to.insert(peer, mode).is_some()
            };
            if twice {
                return wrong(
                    &format!("{name:?}"),
                    format!("transit {name:?} is granted twice; once is enough"),
                );
            }
        }
    }
    Ok(transit)
}

/// A short code, as it is dialled.
fn code(text: &str) -> Result<String, Wrong> {
    match text.parse::<Party>().map(|p| p.address) {
        Ok(Address::ShortCode(code) | Address::AlphaCode(code)) => Ok(code),
        _ => wrong(text, format!("code {text:?}: expected a short code, such as \"4455\" or \"INFO\"")),
    }
}

fn local(part: &LocalPart, hooks: &[HookName]) -> Result<Local, Wrong> {
    let subscribers = part.subscribers.as_ref();
    if part.prefixes.is_empty() && subscribers.is_none_or(Vec::is_empty) && part.codes.is_empty() {
        return wrong(
            "[[local]]",
            "[[local]] needs prefixes = [\"+...\"], subscribers = [\"+...\"] or codes = [\"...\"]",
        );
    }
    Ok(Local {
        prefixes: part.prefixes.iter().map(|p| prefix(p)).collect::<Result<_, _>>()?,
        subscribers: subscribers
            .map(|list| list.iter().map(|n| number(n)).collect::<Result<BTreeSet<_>, _>>())
            .transpose()?,
        barred: part.barred.iter().map(|n| number(n)).collect::<Result<_, _>>()?,
        codes: part.codes.iter().map(|c| code(c)).collect::<Result<_, _>>()?,
        dock: http::dock(&part.dock, hooks)?,
        available: part.available,
    })
}

/// A name that may stand in commands, logs and queues.
pub(super) fn plain_name(kind: &str, name: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match (1..=64).contains(&name.len()) && name.chars().all(plain) {
        true => Ok(()),
        false => {
            wrong(name, format!("{kind} name {name:?}: expected 1 to 64 letters, digits, '-', '_' or '.'"))
        }
    }
}

fn peer(part: &PeerPart, resolvers: &[SocketAddr], tls: LinkTls) -> Result<(Peer, Link), Wrong> {
    plain_name("peer", &part.name)?;
    if part.domains.is_empty() {
        let text =
            format!("peer {:?} needs domains = [\"...\"]: the MM4 domains that are its own", part.name);
        return wrong(&part.name, text);
    }
    let nobody = part.from.is_empty() && tls.trust == TrustFiles::Anybody;
    if part.hosts.is_empty() && part.discover.is_none() && nobody {
        let text = format!(
            "peer {:?} has neither hosts nor discover (where we reach it) nor from (where it comes from) nor a \
             certificate that it could be known by; it could do nothing",
            part.name
        );
        return wrong(&part.name, text);
    }
    if !part.hosts.is_empty() && part.discover.is_some() {
        let text = format!("peer {:?} has hosts and discover = \"dns\": expected one of them", part.name);
        return wrong(&part.name, text);
    }
    let domains = part.domains.iter().map(|d| domain(d)).collect::<Result<Vec<_>, _>>()?;
    let system_address = match &part.system_address {
        Some(text) => mailbox("system_address", text)?,
        None => mailbox("system_address", &format!("system-user@{}", domains[0]))?,
    };
    let hosts = part.hosts.iter().map(|h| host(h)).collect::<Result<Vec<_>, _>>()?;
    let discover = discover(part, &domains, resolvers)?;
    let name = PeerName::new(&part.name);
    let peer = Peer {
        name: name.clone(),
        domains,
        system_address,
        prefixes: part.prefixes.iter().map(|p| prefix(p)).collect::<Result<_, _>>()?,
        deny: part.deny.iter().map(|p| prefix(p)).collect::<Result<_, _>>()?,
        number_plan: plan(&part.numbers)?,
        transit: Transit::default(), // when all peers are known
        profile: part.profile.build()?,
        stored_max: part.stored_max.map(|size| size.0),
    };
    let link = Link {
        peer: name,
        hosts,
        discover,
        source: part.source,
        from: part.from.clone(),
        tls,
        auth: None,  // when its files are looked for
        login: None, // the same
        connections_max: part.connections_max.unwrap_or(8).max(1),
        sessions_max: part.sessions_max.unwrap_or(100),
        rates: rates(part)?,
        one_message_per_connection: part.one_message_per_connection,
    };
    Ok((peer, link))
}

/// How fast a peer may send.
fn rates(part: &PeerPart) -> Result<Rates, Wrong> {
    let (mails, octets) = (part.mails_per_second, part.octets_per_second.map(|size| size.0));
    if mails == Some(0) || octets == Some(0) {
        let why = "expected at least 1; to take nothing from a peer, give it no address in from";
        return wrong("per_second", format!("mails_per_second, octets_per_second: {why}"));
    }
    Ok(Rates { mails, octets })
}

/// A name for `AUTH` and the file of its password, both or neither.
fn login(
    part: &PeerPart,
    key: &str,
    (user, file): (&Option<String>, &Option<PathBuf>),
    folder: Option<&Path>,
) -> Result<Option<LoginFile>, Wrong> {
    let name = &part.name;
    let (user, file) = match (user, file) {
        (None, None) => return Ok(None),
        (Some(user), Some(file)) => (user, file),
        (Some(user), None) => {
            return wrong(
                user,
                format!("peer {name:?}: {key}_user: expected also {key}_password_file = \"...\""),
            );
        }
        (None, Some(_)) => {
            let key = format!("{key}_password_file");
            return wrong(&key, format!("peer {name:?}: {key}: expected also the name of the user"));
        }
    };
    if !(1..=255).contains(&user.len()) || user.chars().any(char::is_control) {
        return wrong(user, format!("peer {name:?}: {key}_user {user:?}: expected 1 to 255 octets of text"));
    }
    let password_file = folder.map_or_else(|| file.clone(), |folder| folder.join(file));
    Ok(Some(LoginFile { user: user.clone(), password_file }))
}

/// `host`, `host:port`, `[v6]:port`; without a port, 25.
fn host(text: &str) -> Result<String, Wrong> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => return Ok(format!("[{text}]:25")),
        _ => (text, "25"),
    };
    let fits = HeaderText::new(name).is_ok() && !name.is_empty() && !name.contains([' ', '/', '@']);
    if !fits || port.parse::<u16>().is_err() {
        return wrong(
            text,
            format!("host {text:?}: expected a name or address and a port, such as \"mx1.mms.b.example:25\""),
        );
    }
    Ok(format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
[relay]
domain = "mms.a.example"
data = "data"

[mm4]
listen = ["127.0.0.1:2525"]

[limits]
message_size_max = "5MiB"

[retry]
steps = ["1m", "5m"]

[[local]]
prefixes = ["+1202555010"]
dock = "mailbox"

[[peer]]
name = "b"
domains = ["mms.b.example"]
hosts = ["127.0.0.2:2525", "mx.mms.b.example"]
from = ["127.0.0.2"]
prefixes = ["+1202555011"]
tls = "off"
profile = { version = "5.5.0", bare_addresses = true }
"#;

    fn error(text: &str) -> String {
        parse(text, Path::new("/etc/belino/belino.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_full_configuration_is_read() {
        let config = parse(FULL, Path::new("/etc/belino/belino.toml")).unwrap();
        assert_eq!(config.data, Path::new("/etc/belino/data"));
        assert_eq!(config.links[0].hosts, ["127.0.0.2:2525", "mx.mms.b.example:25"]);
        let peer = &config.house.peers[0];
        assert_eq!((peer.profile.version.major, peer.profile.bare_addresses), (5, true));
        assert_eq!(peer.system_address.to_string(), "system-user@mms.b.example");
        assert_eq!(config.limits.smtp.message_size_max, 5 << 20);
    }

    #[test]
    fn errors_name_line_key_and_the_nearest_key() {
        let text = error(&FULL.replace("listen =", "lisen ="));
        assert!(
            text.contains("line 7")
                && text.contains("\"lisen\"")
                && text.contains("did you mean \"listen\"?"),
            "{text}"
        );
        let text = error(&FULL.replace("\"+1202555011\"", "\"1202555011\""));
        assert!(
            text.contains("line 24") && text.contains("\"1202555011\"") && text.contains("expected + and"),
            "{text}"
        );
        let text = error(&FULL.replace("\"1m\"", "\"1 fortnight\""));
        assert!(text.contains("line 13") && text.contains("span of time"), "{text}");
        let text = error(&FULL.replace("tls = \"off\"", "tls = \"of\""));
        assert!(text.contains("line 25") && text.contains("required"), "{text}");
        let text = error(&FULL.replace("dock = \"mailbox\"", "dock = \"mialbox\""));
        assert!(text.contains("line 17") && text.contains("mailbox"), "{text}");
        let text = error(&FULL.replace("domain = \"mms.a.example\"\n", ""));
        assert!(text.contains("line 2") && text.contains("needs domain"), "{text}");
        let text = error(&FULL.replace("domains = [\"mms.b.example\"]", "domains = [\"mms.a.example\"]"));
        assert!(text.contains("belongs to this relay itself"), "{text}");
        let text = error(&FULL.replace("from = [\"127.0.0.2\"]", "from = [\"127.0.0.2/99\"]"));
        assert!(text.contains("line 23") && text.contains("no network"), "{text}");
        assert!(error("").contains("relay"), "{}", error(""));
    }
}
