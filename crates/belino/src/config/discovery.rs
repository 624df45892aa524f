//! The checks of `[discovery]`, and of peers whose hosts are found through the DNS.
//!
//! Owns: defaults, and what a configuration may not mean: sources without what they need, names of the private DNS on their
//! way to resolvers of the Internet. Never knows: how anything is looked up.

use super::parse::{PeerPart, Wrong, domain, wrong};
use super::{Discover, Span};
use crate::discovery::hosts::Ourselves;
use crate::discovery::lookup::{LookupConfig, Template, Token, beside};
use crate::discovery::mmse::Naming;
use crate::discovery::naptr::Rules;
use crate::discovery::{OnTrouble, Source, realm};
use mms::Domain;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiscoveryPart {
    pub order: Option<Vec<SourcePart>>,
    pub portability_first: Option<bool>,
    #[serde(default)]
    pub enum_apexes: Vec<String>,
    #[serde(default)]
    pub enum_legacy: bool,
    #[serde(default)]
    pub enum_experimental: Vec<String>,
    #[serde(default)]
    pub resolvers: Vec<String>,
    pub timeout: Option<Span>,
    pub cache_max: Option<usize>,
    pub on_trouble: Option<TroublePart>,
    pub mmse_suffix: Option<String>,
    #[serde(default)]
    pub mnc_digits: BTreeMap<String, u8>,
    pub lookup: Option<LookupPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SourcePart {
    Lookup,
    Enum,
    Static,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TroublePart {
    Later,
    Next,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupPart {
    pub url: String,
    pub token_file: Option<PathBuf>,
    pub timeout: Option<Span>,
    pub cache: Option<Span>,
    pub not_found_cache: Option<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DiscoverPart {
    Dns,
}

/// How numbers and hosts are found.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// The sources, in the order in which they are asked.
    pub order: Vec<Source>,
    /// Whether the sources are asked before it is looked whether a number is ours: a subscriber who has left must not keep
    /// receiving into a dead mailbox.
    pub portability_first: bool,
    /// ENUM trees, in the order in which they are asked.
    pub enum_apexes: Vec<Domain>,
    /// Which services of ENUM records are taken.
    pub rules: Rules,
    /// Resolvers in the order in which they are asked; the system's if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// How long one question to the DNS may take.
    pub timeout: Duration,
    /// Answers that are remembered, of each view of the DNS and of the look-up service.
    pub cache_max: usize,
    /// What a source in trouble means.
    pub on_trouble: OnTrouble,
    /// How MMSEs are named.
    pub naming: Naming,
    /// The look-up service.
    pub lookup: Option<LookupConfig>,
    /// Our own domains.
    pub domains: Vec<Domain>,
    /// By what we know ourselves.
    pub ourselves: Ourselves,
}

impl DiscoveryConfig {
    /// When the heart asks somebody outside our own tables.
    pub fn policy(&self) -> relay::house::Discovery {
        relay::house::Discovery {
            asks: self.order.iter().any(|source| *source != Source::Static),
            tables_first: self.order.first() == Some(&Source::Static),
            portability_first: self.portability_first,
        }
    }
}

/// `[discovery]`. `domains` are our own, `host_name` and `listen` those of `[mm4]`; a relative token file is taken from where
/// `file` lies.
pub(super) fn discovery(
    part: &DiscoveryPart,
    domains: &[Domain],
    host_name: &str,
    listen: &[SocketAddr],
    file: &Path,
) -> Result<DiscoveryConfig, Wrong> {
    let enum_apexes = part.enum_apexes.iter().map(|a| domain(a)).collect::<Result<Vec<_>, _>>()?;
    let resolvers = resolvers(&part.resolvers)?;
    for apex in &enum_apexes {
        private_needs_own(apex, "enum_apexes", &resolvers, "[discovery] resolvers")?;
    }
    let lookup = part.lookup.as_ref().map(|l| lookup(l, file)).transpose()?;
    let order = order(part, lookup.is_some())?;
    let mut names = domains.to_vec();
    names.extend(host_name.parse::<Domain>().ok());
    Ok(DiscoveryConfig {
        portability_first: part
            .portability_first
            .unwrap_or_else(|| order.iter().any(|source| *source != Source::Static)),
        order,
        enum_apexes,
        rules: Rules {
            legacy: part.enum_legacy,
            experimental: part.enum_experimental.iter().map(|t| experimental(t)).collect::<Result<_, _>>()?,
        },
        resolvers,
        timeout: span("timeout", part.timeout, 5)?,
        cache_max: part.cache_max.unwrap_or(100_000),
        on_trouble: match part.on_trouble {
            Some(TroublePart::Next) => OnTrouble::Next,
            Some(TroublePart::Later) | None => OnTrouble::Later,
        },
        naming: naming(part)?,
        lookup,
        domains: domains.to_vec(),
        ourselves: Ourselves { names, listen: listen.to_vec() },
    })
}

/// `discover`, `port` and `resolvers` of a peer. `named` are its domains, `common` the resolvers of `[discovery]`.
pub(super) fn discover(
    part: &PeerPart,
    named: &[Domain],
    common: &[SocketAddr],
) -> Result<Option<Discover>, Wrong> {
    let (peer, own) = (&part.name, resolvers(&part.resolvers)?);
    let Some(DiscoverPart::Dns) = part.discover else {
        let key = match part.port {
            Some(_) => "port",
            None if own.is_empty() => return Ok(None),
            None => "resolvers",
        };
        let text = format!("peer {peer:?} has {key}, but not discover = \"dns\": it would mean nothing");
        return wrong(key, text);
    };
    let asked = if own.is_empty() { common } else { &own };
    if let Some(first) = named.first() {
        private_needs_own(first, "discover = \"dns\"", asked, "resolvers of the peer or of [discovery]")?;
    }
    Ok(Some(Discover { resolvers: own, port: part.port.unwrap_or(25) }))
}

/// A name of the private DNS must not be asked of the Internet's resolvers.
fn private_needs_own(name: &Domain, key: &str, asked: &[SocketAddr], needed: &str) -> Result<(), Wrong> {
    if !realm::is_private(name.as_str()) || !realm::is_public(asked) {
        return Ok(());
    }
    let whose = match asked.iter().find(|r| realm::is_everybodys(r.ip())) {
        Some(resolver) => format!("{resolver}, a resolver of the Internet"),
        None => "the system's resolvers".to_owned(),
    };
    let text = format!(
        "{key}: {name} is a name of the private DNS between operators, and would be asked of {whose}; \
         give {needed}, such as [\"10.0.0.53:53\"]"
    );
    wrong(name.as_str(), text)
}

fn resolvers(list: &[String]) -> Result<Vec<SocketAddr>, Wrong> {
    let one = |text: &String| {
        let address = text.parse::<SocketAddr>().ok();
        let address = address.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)));
        match address.filter(|a| a.port() != 0 && !a.ip().is_unspecified()) {
            Some(address) => Ok(address),
            None => wrong(text, format!("resolver {text:?}: expected an address, such as \"10.0.0.53:53\"")),
        }
    };
    list.iter().map(one).collect()
}

fn order(part: &DiscoveryPart, has_lookup: bool) -> Result<Vec<Source>, Wrong> {
    let has_enum = !part.enum_apexes.is_empty();
    let Some(parts) = &part.order else {
        let mut order = Vec::new();
        order.extend(has_lookup.then_some(Source::Lookup));
        order.extend(has_enum.then_some(Source::Enum));
        order.push(Source::Static);
        return Ok(order);
    };
    let mut order = Vec::new();
    for part in parts {
        let source = match part {
            SourcePart::Lookup if !has_lookup => {
                return wrong(
                    "order",
                    "order names \"lookup\", but there is no [discovery.lookup] with its url",
                );
            }
            SourcePart::Enum if !has_enum => {
                return wrong(
                    "order",
                    "order names \"enum\", but there are no enum_apexes, such as [\"e164.arpa\"]",
                );
            }
            SourcePart::Lookup => Source::Lookup,
            SourcePart::Enum => Source::Enum,
            SourcePart::Static => Source::Static,
        };
        if order.contains(&source) {
            return wrong("order", format!("order names {source:?} twice"));
        }
        order.push(source);
    }
    match order.is_empty() {
        true => wrong("order", "order is empty: expected some of \"lookup\", \"enum\", \"static\""),
        false => Ok(order),
    }
}

fn experimental(text: &str) -> Result<String, Wrong> {
    let lower = text.to_ascii_lowercase();
    let token = lower.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !token || !(3..=32).contains(&lower.len()) || !(lower.starts_with("x-") || lower.starts_with("p-")) {
        let text = format!(
            "enum_experimental {text:?}: expected a type that begins with X- or P-, such as \"X-mms\""
        );
        return wrong("enum_experimental", text);
    }
    Ok(lower)
}

fn naming(part: &DiscoveryPart) -> Result<Naming, Wrong> {
    let standard = Naming::default();
    let suffix = match &part.mmse_suffix {
        Some(text) => domain(text)?.to_string(),
        None => standard.suffix,
    };
    for (begin, digits) in &part.mnc_digits {
        let fits = (3..=6).contains(&begin.len()) && begin.bytes().all(|b| b.is_ascii_digit());
        if !fits || !matches!(digits, 2 | 3) {
            let text = format!(
                "mnc_digits {begin:?} = {digits}: expected the first 3 to 6 digits of IMSIs and 2 or 3, such as \
                 {{ \"310\" = 3 }}"
            );
            return wrong("mnc_digits", text);
        }
    }
    Ok(Naming { suffix, mnc_digits: part.mnc_digits.clone() })
}

fn lookup(part: &LookupPart, file: &Path) -> Result<LookupConfig, Wrong> {
    let url = Template::new(&part.url).or_else(|why| wrong(&part.url, format!("url {why}")))?;
    let token = match &part.token_file {
        Some(named) => {
            let shown = named.display().to_string();
            Some(Token::read(&beside(file, named)).or_else(|why| wrong(&shown, why))?)
        }
        None => None,
    };
    Ok(LookupConfig {
        url,
        token,
        timeout: span("timeout", part.timeout, 5)?,
        cache: part.cache.map_or(Duration::from_secs(3600), |s| s.0),
        not_found_cache: part.not_found_cache.map_or(Duration::from_secs(300), |s| s.0),
    })
}

fn span(key: &str, span: Option<Span>, standard: u64) -> Result<Duration, Wrong> {
    match span.map_or(Duration::from_secs(standard), |s| s.0) {
        Duration::ZERO => wrong(key, format!("{key}: expected more than no time")),
        span => Ok(span),
    }
}
