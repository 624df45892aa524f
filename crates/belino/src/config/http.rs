//! `[http]`, `[[application]]` and `[[webhook]]`: the side for messaging companies and applications.
//!
//! Owns: names, defaults and checks of these keys. Never knows: what a token or secret is; `secret` reads their files.

use super::parse::{Wrong, plain_name, wrong};
use super::url::Url;
use super::{ByteSize, Span};
use mms::{Address, Party};
use relay::HookName;
use relay::house::{Dock, Local};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The HTTP dock, applications and webhooks.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where HTTP is listened for.
    pub listen: Vec<SocketAddr>,
    /// Octets of one request's body.
    pub request_size_max: u64,
    /// Requests that are worked on at once; one more is answered `503`.
    pub requests_max: usize,
    /// Connections at once; one more waits.
    pub sessions_max: usize,
    /// How long one request may take to come in and be answered, and a connection be silent.
    pub request_timeout: Duration,
    /// Who may come in.
    pub applications: Vec<Application>,
    /// Who is told.
    pub webhooks: Vec<Webhook>,
}

/// An application that hands in MMs.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name in logs and histories.
    pub name: String,
    /// Where its token stands.
    pub token_file: PathBuf,
    /// As whom it may send.
    pub senders: Vec<Senders>,
    /// Who hears what becomes of its MMs, and whose MMs it may see.
    pub webhook: Option<HookName>,
}

/// As whom an application may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Senders {
    /// Numbers that begin with these digits.
    Prefix(String),
    /// A short code.
    Code(String),
}

impl Senders {
    /// Whether this address, with its number in E.164, is one of them.
    pub fn include(&self, address: &Address) -> bool {
        match (self, address) {
            (Self::Prefix(prefix), Address::Plmn(number)) => {
                number.is_international() && number.digits().starts_with(prefix.as_str())
            }
            (Self::Code(code), Address::ShortCode(other) | Address::AlphaCode(other)) => code == other,
            _ => false,
        }
    }
}

/// As it is written in the configuration.
impl std::fmt::Display for Senders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "+{prefix}"),
            Self::Code(code) => f.write_str(code),
        }
    }
}

/// Where an application is told what happens.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name in the configuration, in logs and histories.
    pub name: HookName,
    /// Where it listens.
    pub url: Url,
    /// Where the secret stands that events are signed with.
    pub secret_file: PathBuf,
    /// How long one event may take, from the connection to the end of the answer.
    pub timeout: Duration,
    /// Connections to it at once.
    pub connections_max: usize,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpPart {
    #[serde(default)]
    listen: Vec<SocketAddr>,
    request_size_max: Option<ByteSize>,
    requests_max: Option<usize>,
    sessions_max: Option<usize>,
    request_timeout: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationPart {
    name: String,
    token_file: PathBuf,
    #[serde(default)]
    from: Vec<String>,
    webhook: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPart {
    name: String,
    url: String,
    secret_file: PathBuf,
    timeout: Option<Span>,
    connections_max: Option<usize>,
}

/// Names of all webhooks, checked.
pub(super) fn hook_names(parts: &[WebhookPart]) -> Result<Vec<HookName>, Wrong> {
    let mut names: Vec<HookName> = Vec::new();
    for part in parts {
        plain_name("webhook", &part.name)?;
        if part.name == "mailbox" {
            return wrong(
                &part.name,
                "a webhook cannot be named \"mailbox\": a [[local]] could not tell them apart",
            );
        }
        let name = HookName::new(&part.name);
        if names.contains(&name) {
            return wrong(&part.name, format!("two webhooks are named {:?}", part.name));
        }
        names.push(name);
    }
    Ok(names)
}

/// `dock` of a `[[local]]`: the mailbox, or a webhook by its name.
pub(super) fn dock(text: &str, hooks: &[HookName]) -> Result<Dock, Wrong> {
    if text == "mailbox" {
        return Ok(Dock::Mailbox);
    }
    match hooks.iter().find(|hook| hook.as_str() == text) {
        Some(hook) => Ok(Dock::Hook(hook.clone())),
        None => {
            let known: Vec<String> = hooks.iter().map(|hook| format!("{:?}", hook.as_str())).collect();
            let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
            wrong(text, format!("dock {text:?}: expected \"mailbox\" or the name of a [[webhook]] ({known})"))
        }
    }
}

/// The whole, once the locals are known. `folder` is where relative paths begin.
pub(super) fn build(
    part: &HttpPart,
    applications: &[ApplicationPart],
    webhooks: &[WebhookPart],
    locals: &[Local],
    folder: Option<&Path>,
) -> Result<Http, Wrong> {
    let at = |path: &Path| folder.map_or_else(|| path.to_owned(), |folder| folder.join(path));
    let webhooks = webhooks.iter().map(|part| webhook(part, &at)).collect::<Result<Vec<_>, _>>()?;
    let mut built: Vec<Application> = Vec::new();
    for part in applications {
        plain_name("application", &part.name)?;
        if built.iter().any(|a| a.name == part.name) {
            return wrong(&part.name, format!("two applications are named {:?}", part.name));
        }
        built.push(application(part, &webhooks, locals, &at)?);
    }
    if part.requests_max == Some(0) || part.sessions_max == Some(0) {
        return wrong("[http]", "requests_max and sessions_max: expected at least 1");
    }
    Ok(Http {
        listen: part.listen.clone(),
        // 5 MiB of content, in base64 and with a few words around it.
        request_size_max: part.request_size_max.map_or(8 << 20, |s| s.0),
        requests_max: part.requests_max.unwrap_or(64),
        sessions_max: part.sessions_max.unwrap_or(1000),
        request_timeout: part.request_timeout.map_or(Duration::from_secs(60), |s| s.0),
        applications: built,
        webhooks,
    })
}

fn application(
    part: &ApplicationPart,
    webhooks: &[Webhook],
    locals: &[Local],
    at: &impl Fn(&Path) -> PathBuf,
) -> Result<Application, Wrong> {
    let name = &part.name;
    if part.from.is_empty() {
        return wrong(name, format!("application {name:?} needs from = [\"+...\"]: as whom it may send"));
    }
    let webhook = match &part.webhook {
        None => None,
        Some(text) => match webhooks.iter().find(|w| w.name.as_str() == text) {
            Some(webhook) => Some(webhook.name.clone()),
            None => return wrong(text, format!("application {name:?}: no [[webhook]] is named {text:?}")),
        },
    };
    let senders = part.from.iter().map(|text| senders(name, text, locals)).collect::<Result<_, _>>()?;
    Ok(Application { name: name.clone(), token_file: at(&part.token_file), senders, webhook })
}

/// Numbers or a code of ours: an application may not send as somebody whom another operator serves.
fn senders(name: &str, text: &str, locals: &[Local]) -> Result<Senders, Wrong> {
    let (senders, ours) = match text.strip_prefix('+') {
        Some(digits) if (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let within = |local: &Local| {
                local.prefixes.iter().any(|prefix| digits.starts_with(prefix.as_str()))
                    || local.subscribers.iter().flatten().any(|number| number.digits() == digits)
            };
            (Senders::Prefix(digits.to_owned()), locals.iter().any(within))
        }
        Some(_) => {
            return wrong(
                text,
                format!("application {name:?}: from {text:?}: expected + and 1 to 15 digits"),
            );
        }
        None => match text.parse::<Party>().map(|p| p.address) {
            Ok(Address::ShortCode(code) | Address::AlphaCode(code)) => {
                let ours = locals.iter().any(|local| local.codes.contains(&code));
                (Senders::Code(code), ours)
            }
            _ => {
                let what = format!(
                    "application {name:?}: from {text:?}: expected + and digits, such as \"+1202555010\", or a short code"
                );
                return wrong(text, what);
            }
        },
    };
    match ours {
        true => Ok(senders),
        false => wrong(text, format!("application {name:?}: from {text:?} is not within any [[local]]")),
    }
}

fn webhook(part: &WebhookPart, at: &impl Fn(&Path) -> PathBuf) -> Result<Webhook, Wrong> {
    let (name, text) = (&part.name, &part.url);
    let url = match Url::plain(text) {
        Ok(url) => url,
        Err(what) => {
            let what =
                format!("webhook {name:?}: url {text:?}: {what}, such as \"http://127.0.0.1:9000/mms\"");
            return wrong(text, what);
        }
    };
    Ok(Webhook {
        name: HookName::new(name),
        url,
        secret_file: at(&part.secret_file),
        timeout: part.timeout.map_or(Duration::from_secs(10), |s| s.0),
        connections_max: part.connections_max.unwrap_or(4).max(1),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError, parse};
    use std::path::Path;

    const FULL: &str = r#"
[relay]
domain = "mms.a.example"
data = "data"

[http]
listen = ["127.0.0.1:8080"]

[[local]]
prefixes = ["+1202555010"]
codes = ["4455"]
dock = "shop"

[[application]]
name = "shop"
token_file = "shop.token"
from = ["+12025550100", "4455"]
webhook = "shop"

[[webhook]]
name = "shop"
url = "http://[::1]:9000/mms?x=1"
secret_file = "shop.secret"
"#;

    fn read(text: &str) -> Result<Config, ConfigError> {
        parse(text, Path::new("/etc/belino/belino.toml"))
    }

    #[test]
    fn applications_and_webhooks_are_read() {
        let config = read(FULL).unwrap();
        let webhook = &config.http.webhooks[0];
        assert_eq!(webhook.url.as_str(), "http://[::1]:9000/mms?x=1");
        assert_eq!(config.http.applications[0].token_file, Path::new("/etc/belino/shop.token"));
        assert_eq!(config.house.hooks, std::slice::from_ref(&webhook.name));
        assert_eq!(config.house.locals[0].dock, relay::house::Dock::Hook(webhook.name.clone()));
    }

    #[test]
    fn errors_name_line_and_expectation() {
        for (from, to, line, word) in [
            (
                "dock = \"shop\"",
                "dock = \"shoop\"",
                "line 12",
                "expected \"mailbox\" or the name of a [[webhook]]",
            ),
            ("webhook = \"shop\"", "webhook = \"ship\"", "line 18", "no [[webhook]] is named"),
            ("\"4455\"]\nwebhook", "\"4456\"]\nwebhook", "line 17", "not within any [[local]]"),
            ("\"+12025550100\"", "\"+4420\"", "line 17", "not within any [[local]]"),
            ("\"+12025550100\"", "\"+12x\"", "line 17", "expected + and 1 to 15 digits"),
            ("http://[::1]", "https://[::1]", "line 22", "TLS proxy"),
            ("http://[::1]", "http://u:p@[::1]", "line 22", "user name"),
            ("http://[::1]:9000", "ftp://a", "line 22", "expected http://"),
            ("secret_file", "secret_fil", "line 23", "did you mean \"secret_file\"?"),
        ] {
            let text = FULL.replace(from, to);
            assert_ne!(text, FULL, "{from}");
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(word), "{from} -> {to}: {error}");
        }
    }
}
