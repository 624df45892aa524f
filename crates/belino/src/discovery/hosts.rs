//! From the domain of an MMSE to the addresses of its hosts (RFC 5321 5, RFC 7505).
//!
//! Owns: the order of mail exchangers, what counts as ourselves, and which trouble is for ever. Never knows: which domain is
//! whose, and how to connect. Chance is an argument.
//!
//! Of one host, IPv4 addresses come before IPv6: between operators that is what is routed everywhere.

use super::dns::{Answer, Data, Kind, Outcome, View};
use super::naptr::domain_is_literal;
use mms::Domain;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Mail exchangers that are looked at, at most.
const EXCHANGERS_MAX: usize = 20;
/// Addresses of one host that are used, at most.
const ADDRESSES_MAX: usize = 16;
/// Addresses in all, at most.
const HOSTS_MAX: usize = 64;

/// Why a domain has no address for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostTrouble {
    /// Asking again will not help.
    Never(String),
    /// Asking again may help.
    Later(String),
}

impl std::fmt::Display for HostTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Never(why) | Self::Later(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for HostTrouble {}

/// By what we know ourselves, so that nothing is ever carried from us to us.
#[derive(Clone, Debug, Default)]
pub struct Ourselves {
    /// Our host name and our domains.
    pub names: Vec<Domain>,
    /// Where we listen.
    pub listen: Vec<SocketAddr>,
}

impl Ourselves {
    fn is_name(&self, name: &str) -> bool {
        self.names.iter().any(|n| n.as_str() == name)
    }

    /// Whether a connection to this address would arrive at us.
    fn is_address(&self, address: SocketAddr) -> bool {
        self.listen.iter().any(|ours| {
            let everywhere = ours.ip().is_unspecified() && (address.is_ipv4() || ours.is_ipv6());
            ours.port() == address.port()
                && (ours.ip() == address.ip() || (everywhere && belongs_to_this_machine(address.ip())))
        })
    }
}

/// Only an address of this machine can be bound to.
fn belongs_to_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// The addresses of a domain's mail hosts, in the order in which to try them. `chance` decides among equals. Each step is
/// told to `say`.
///
/// # Errors
/// There is none: for ever, or for now.
pub async fn hosts(
    view: &View,
    domain: &Domain,
    port: u16,
    ourselves: &Ourselves,
    chance: u128,
    say: &mut Vec<String>,
) -> Result<Vec<SocketAddr>, HostTrouble> {
    if domain_is_literal(domain) {
        return literal(domain, port, ourselves).map(|address| vec![address]);
    }
    let answer = ask(view, domain.as_str(), Kind::Mx, say).await;
    let records = match answer.outcome {
        Outcome::Found(records) => records,
        Outcome::NotFound(_) => return implicit(view, domain, port, ourselves, say).await,
        Outcome::Trouble(why) => return Err(HostTrouble::Later(format!("MX of {domain}: {why}"))),
    };
    let exchangers = exchangers(&records, chance);
    if let [(_, "")] = exchangers[..] {
        return Err(HostTrouble::Never(format!("{domain} takes no mail: its MX is empty (RFC 7505)")));
    }
    let mut usable: Vec<(u16, SocketAddr)> = Vec::new();
    let mut later = None;
    for (preference, exchanger) in exchangers {
        let found = match ourselves.is_name(exchanger) {
            true => Ok(None),
            false => addresses(view, exchanger, port, say)
                .await
                .map(|found| (!found.iter().any(|a| ourselves.is_address(*a))).then_some(found)),
        };
        match found {
            Ok(None) => {
                // RFC 5321 5.1: we are one of them, so what is no better than we are would send it back to us.
                say.push(format!(
                    "{exchanger} is ourselves: dropped, with all of preference {preference} and more"
                ));
                usable.retain(|(better, _)| *better < preference);
                if usable.is_empty() {
                    let why = format!("the mail of {domain} comes to ourselves ({exchanger}): a loop");
                    return Err(later.unwrap_or(HostTrouble::Never(why)));
                }
                break;
            }
            Ok(Some(found)) => usable.extend(found.into_iter().map(|address| (preference, address))),
            Err(HostTrouble::Later(why)) => later = later.or(Some(HostTrouble::Later(why))),
            Err(HostTrouble::Never(why)) => say.push(format!("{why}: passed over")),
        }
    }
    usable.truncate(HOSTS_MAX);
    if usable.is_empty() {
        // RFC 5321 5.1: the addresses of the domain itself are not used when it has MX records.
        let why = format!("no mail exchanger of {domain} has an address");
        return Err(later.unwrap_or(HostTrouble::Never(why)));
    }
    Ok(usable.into_iter().map(|(_, address)| address).collect())
}

/// Without MX records the domain is its own exchanger.
async fn implicit(
    view: &View,
    domain: &Domain,
    port: u16,
    ourselves: &Ourselves,
    say: &mut Vec<String>,
) -> Result<Vec<SocketAddr>, HostTrouble> {
    let looped = || HostTrouble::Never(format!("{domain} is ourselves: a loop"));
    if ourselves.is_name(domain.as_str()) {
        return Err(looped());
    }
    let found = addresses(view, domain.as_str(), port, say).await?;
    if found.iter().any(|a| ourselves.is_address(*a)) {
        return Err(looped());
    }
    Ok(found)
}

/// The exchangers by preference, among equals by chance.
fn exchangers(records: &[Data], chance: u128) -> Vec<(u16, &str)> {
    let mut exchangers: Vec<(u16, &str)> = records
        .iter()
        .filter_map(|r| match r {
            Data::Mx { preference, exchange } => Some((*preference, &**exchange)),
            _ => None,
        })
        .collect();
    // An empty name among others is a slip; alone it means that there is no mail.
    if exchangers.len() > 1 {
        exchangers.retain(|(_, name)| !name.is_empty());
    }
    let mut state = chance;
    let mut next = || {
        // A linear congruential generator (the multiplier is Knuth's MMIX one); its upper half is fair enough for a choice of host.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 64) as u64
    };
    exchangers.sort_by_cached_key(|(preference, _)| (*preference, next()));
    exchangers.truncate(EXCHANGERS_MAX);
    exchangers
}

/// The addresses of one host; never none.
async fn addresses(
    view: &View,
    host: &str,
    port: u16,
    say: &mut Vec<String>,
) -> Result<Vec<SocketAddr>, HostTrouble> {
    let mut found = Vec::new();
    let mut later = None;
    for kind in [Kind::A, Kind::Aaaa] {
        match ask(view, host, kind, say).await.outcome {
            Outcome::Found(records) => found.extend(records.iter().filter_map(|r| match r {
                Data::Address(ip) if can_be_a_host(*ip) => Some(SocketAddr::new(*ip, port)),
                _ => None,
            })),
            Outcome::NotFound(_) => {}
            Outcome::Trouble(why) => later = Some(format!("{kind} of {host}: {why}")),
        }
    }
    found.truncate(ADDRESSES_MAX);
    match later {
        Some(why) if found.is_empty() => Err(HostTrouble::Later(why)),
        None if found.is_empty() => Err(HostTrouble::Never(format!("{host} has no address"))),
        _ => Ok(found),
    }
}

fn can_be_a_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

/// `[192.0.2.7]`, `[IPv6:2001:db8::7]` (RFC 5321 4.1.3).
fn literal(domain: &Domain, port: u16, ourselves: &Ourselves) -> Result<SocketAddr, HostTrouble> {
    let inner = domain.as_str().trim_matches(['[', ']']);
    let Ok(ip) = inner.strip_prefix("ipv6:").unwrap_or(inner).parse::<IpAddr>() else {
        return Err(HostTrouble::Never(format!("{domain} is no IP address")));
    };
    let address = SocketAddr::new(ip, port);
    if ourselves.is_address(address) || !can_be_a_host(ip) {
        return Err(HostTrouble::Never(format!("{domain} is ourselves or nobody")));
    }
    Ok(address)
}

async fn ask(view: &View, name: &str, kind: Kind, say: &mut Vec<String>) -> Answer {
    let answer = view.ask(name, kind).await;
    let shown = match &answer.outcome {
        Outcome::Found(records) => records
            .iter()
            .map(|r| match r {
                Data::Mx { preference, exchange } => format!("{preference} {exchange}."),
                Data::Address(ip) => ip.to_string(),
                Data::Naptr(_) => String::new(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        _ => String::new(),
    };
    let colon = if shown.is_empty() { "" } else { ": " };
    say.push(format!("{kind} of {name}: {answer}{colon}{shown}"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, exchange: &str) -> Data {
        Data::Mx { preference, exchange: exchange.into() }
    }

    #[test]
    fn exchangers_come_by_preference_and_equals_by_chance() {
        let records = [mx(20, "d"), mx(10, "a"), mx(10, "b"), mx(10, "c")];
        let mut firsts = std::collections::BTreeMap::new();
        for seed in 0..300u128 {
            let chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let order = exchangers(&records, chance);
            assert_eq!(order[3], (20, "d"));
            *firsts.entry(order[0].1).or_insert(0) += 1;
        }
        assert!(firsts.len() == 3 && firsts.values().all(|n| *n > 50), "{firsts:?}");
    }

    #[test]
    fn an_empty_exchanger_counts_only_alone() {
        assert_eq!(exchangers(&[mx(0, "")], 7), [(0, "")]);
        assert_eq!(exchangers(&[mx(0, ""), mx(10, "a")], 7), [(10, "a")]);
    }

    #[test]
    fn a_27_an_address_at_which_we_listen_is_ourselves() {
        let listen = ["192.0.2.1:25".parse().unwrap(), "0.0.0.0:2525".parse().unwrap()];
        let ourselves = Ourselves { names: Vec::new(), listen: listen.to_vec() };
        let is = |text: &str| ourselves.is_address(text.parse().unwrap());
        assert!(is("192.0.2.1:25") && is("127.0.0.1:2525"));
        assert!(!is("192.0.2.1:26") && !is("127.0.0.1:25") && !is("192.0.2.9:2525") && !is("[::1]:2525"));
        let literal = |text: &str| literal(&text.parse().unwrap(), 25, &ourselves);
        assert_eq!(literal("[192.0.2.7]").unwrap(), "192.0.2.7:25".parse().unwrap());
        assert_eq!(literal("[IPv6:2001:db8::7]").unwrap(), "[2001:db8::7]:25".parse().unwrap());
        assert!(literal("[192.0.2.1]").is_err() && literal("[0.0.0.0]").is_err() && literal("[x]").is_err());
    }
}
