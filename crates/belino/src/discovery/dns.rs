//! One view of the DNS: what its resolvers answer, remembered as long as the answers allow.
//!
//! Owns: queries (UDP, TCP after truncation), the next resolver after trouble with one, timeouts, the sorting of outcomes into found, not found and trouble,
//! and the memory of answers. Never knows: what the records mean.
//!
//! The library's own memory goes by a clock of its own and is off; ours goes by the house's clock and is bounded. Two views
//! share nothing: the private DNS between operators and the Internet's give different answers to one question.

use super::cache::Cache;
use super::naptr::Naptr;
use super::realm;
use crate::clock::Clock;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Records of one name and type that are looked at, at most.
const RECORDS_MAX: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Rules for a number.
    Naptr,
    /// Mail exchangers.
    Mx,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naptr => "NAPTR",
            Self::Mx => "MX",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        })
    }
}

/// The data of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Of a NAPTR record.
    Naptr(Naptr),
    /// Of an MX record.
    Mx {
        /// Lowest first.
        preference: u16,
        /// The host, in lower case without the last dot; empty for the root (RFC 7505).
        exchange: Box<str>,
    },
    /// Of an A or AAAA record.
    Address(IpAddr),
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// These records, in the order in which they came.
    Found(Arc<[Data]>),
    /// The name, or records of this type at it, do not exist.
    NotFound(&'static str),
    /// Nobody knows yet: asking again later may help.
    Trouble(String),
}

/// An outcome, and for how long it stands.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What became of the question.
    pub outcome: Outcome,
    /// For how long yet it is remembered; zero when it is not.
    pub ttl: Duration,
    /// Whether it came from memory.
    pub remembered: bool,
}

/// In words, as `belino route` shows it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Found(records) if records.len() == 1 => write!(f, "1 record")?,
            Outcome::Found(records) => write!(f, "{} records", records.len())?,
            Outcome::NotFound(why) => write!(f, "not found ({why})")?,
            Outcome::Trouble(why) => return write!(f, "trouble: {why}"),
        }
        let kept = if self.remembered { "remembered" } else { "to be remembered" };
        match self.ttl.as_secs() {
            0 => write!(f, ", not remembered"),
            seconds => write!(f, ", {kept} for {seconds} s"),
        }
    }
}

/// One view of the DNS.
pub struct View {
    /// Each resolver by itself: when one is in trouble the next is asked, which the library does not do after an error code.
    resolvers: Result<Vec<(IpAddr, TokioResolver)>, String>,
    /// Whose view it is, in words.
    named: String,
    /// Whether names of the private DNS must not be asked here.
    public: bool,
    clock: Clock,
    timeout: Duration,
    cache: Mutex<Cache<(String, Kind), Outcome>>,
}

impl View {
    /// The view of these resolvers, asked in this order; of the system's when there are none. `timeout` bounds one question
    /// with all its repetitions; `cache_max` is how many answers are remembered.
    pub fn new(resolvers: &[SocketAddr], timeout: Duration, cache_max: usize, clock: Clock) -> Self {
        let named = match resolvers {
            [] => "the system's resolvers".to_owned(),
            some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let public = realm::is_public(resolvers);
        let resolvers =
            each_resolver(resolvers, timeout).map_err(|error| format!("cannot ask {named}: {error}"));
        Self { resolvers, named, public, clock, timeout, cache: Mutex::new(Cache::new(cache_max)) }
    }

    /// Whose view it is, in words.
    pub fn named(&self) -> &str {
        &self.named
    }

    /// Ask, or remember. `name` is taken as complete; no search list is applied.
    pub async fn ask(&self, name: &str, kind: Kind) -> Answer {
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), kind);
        if self.public && realm::is_private(&key.0) {
            let why =
                format!("{} is known to the private DNS alone, and {} may not be asked", key.0, self.named);
            return Answer { outcome: Outcome::Trouble(why), ttl: Duration::ZERO, remembered: false };
        }
        let known = self.cache().get(&key, self.clock.now());
        if let Some((outcome, ttl)) = known {
            return Answer { outcome, ttl, remembered: true };
        }
        let (outcome, ttl) = self.query(&key.0, kind).await;
        let ttl = ttl.min(super::cache::KEPT_MAX);
        self.cache().put(key, outcome.clone(), self.clock.now(), ttl);
        Answer { outcome, ttl, remembered: false }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<(String, Kind), Outcome>> {
        // A panic elsewhere leaves at worst an answer less.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ask one resolver after the other until one is not in trouble.
    async fn query(&self, name: &str, kind: Kind) -> (Outcome, Duration) {
        let resolvers = match &self.resolvers {
            Ok(resolvers) => resolvers,
            Err(why) => return (Outcome::Trouble(why.clone()), Duration::ZERO),
        };
        let Ok(mut full) = Name::from_ascii(name) else {
            return (Outcome::NotFound("this is no name in the DNS"), Duration::ZERO);
        };
        full.set_fqdn(true);
        let mut troubles = Vec::new();
        for (address, resolver) in resolvers {
            let lookup = resolver.lookup(full.clone(), record_type(kind));
            match self.clock.within(share(self.timeout, resolvers.len()), lookup).await {
                Some(Ok(lookup)) => return found(&lookup, kind),
                Some(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                    // Name servers instead of an answer: whom we asked does not look any further.
                    if none.soa.is_some() || none.ns.is_none() {
                        return not_found(&none);
                    }
                    troubles.push(format!("{address} refers us to other name servers"));
                }
                Some(Err(NetError::Timeout)) | None => troubles.push(format!("no answer from {address}")),
                Some(Err(NetError::Dns(DnsError::ResponseCode(code)))) => {
                    troubles.push(format!("{address} answers {code}"));
                }
                Some(Err(error)) => troubles.push(format!("{address}: {error}")),
            }
        }
        (Outcome::Trouble(troubles.join("; ")), Duration::ZERO)
    }
}

/// What each resolver may take of the time that a question has.
fn share(timeout: Duration, resolvers: usize) -> Duration {
    timeout / u32::try_from(resolvers.max(1)).unwrap_or(u32::MAX)
}

fn each_resolver(
    addresses: &[SocketAddr],
    timeout: Duration,
) -> Result<Vec<(IpAddr, TokioResolver)>, NetError> {
    let servers = match addresses {
        [] => read_system_conf()?.0.into_parts().2,
        some => some.iter().map(|address| name_server(*address)).collect(),
    };
    let mut options = ResolverOpts::default();
    // Each question is put twice; both fit into the time that it has.
    options.attempts = 1;
    options.timeout = share(timeout, servers.len()) / 2;
    options.cache_size = 0;
    options.edns0 = true;
    options.use_hosts_file = ResolveHosts::Never;
    // The aliases on the way are wanted for their time to live.
    options.preserve_intermediates = true;
    options.max_active_requests = 256;
    let one = |server: NameServerConfig| {
        let address = server.ip;
        let config = ResolverConfig::from_name_servers(vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok((address, builder.with_options(options.clone()).build()?))
    };
    servers.into_iter().map(one).collect()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for way in &mut ways {
        way.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, ways)
}

fn not_found(none: &NoRecords) -> (Outcome, Duration) {
    let nothing = match none.response_code {
        ResponseCode::NXDomain => "the name does not exist",
        _ => "the name has no such records",
    };
    // Without a SOA the answer must not be remembered (RFC 2308 5).
    (Outcome::NotFound(nothing), Duration::from_secs(none.negative_ttl.unwrap_or(0).into()))
}

const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Mx => RecordType::MX,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    }
}

/// The records of the kind that was asked for; they stand as long as the shortest of them and of the aliases before them.
fn found(lookup: &Lookup, kind: Kind) -> (Outcome, Duration) {
    let answers = lookup.answers();
    let data = |rdata: &RData| match (kind, rdata) {
        (Kind::Naptr, RData::NAPTR(n)) => Some(Data::Naptr(Naptr {
            order: n.order,
            preference: n.preference,
            flags: n.flags.clone(),
            services: n.services.clone(),
            regexp: n.regexp.clone(),
            replacement: plain(&n.replacement),
        })),
        (Kind::Mx, RData::MX(mx)) => {
            Some(Data::Mx { preference: mx.preference, exchange: plain(&mx.exchange) })
        }
        (Kind::A, RData::A(a)) => Some(Data::Address(IpAddr::V4(a.0))),
        (Kind::Aaaa, RData::AAAA(a)) => Some(Data::Address(IpAddr::V6(a.0))),
        _ => None,
    };
    let ttl = answers.iter().map(|r| r.ttl).min().unwrap_or(0);
    let records: Arc<[Data]> = answers.iter().filter_map(|r| data(&r.data)).take(RECORDS_MAX).collect();
    let ttl = Duration::from_secs(ttl.into());
    if records.is_empty() {
        return (Outcome::NotFound("the name has no such records"), ttl);
    }
    (Outcome::Found(records), ttl)
}

/// A name in lower case without the last dot.
fn plain(name: &Name) -> Box<str> {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase().into()
}
