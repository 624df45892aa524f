//! The configuration: one TOML file, read into what the heart, the docks and the courier need.
//!
//! Owns: names and defaults of keys, and the words that tell an operator what is wrong, where, and what was meant.
//! Never knows: sockets. A key that is not known is an error; so is a value that cannot be meant.

mod charging;
pub mod console;
mod discovery;
pub mod http;
pub mod keys;
mod limits;
mod metrics;
mod network;
mod parse;
mod profile;
mod search;
mod secret;
mod tls;
mod traces;
mod url;
mod values;

pub use discovery::DiscoveryConfig;
pub use metrics::Metrics;
pub use network::Network;
pub use parse::{ConfigError, load, parse};
pub use secret::{Keys, Secret, Token, file as secret_file, guarded as guarded_file};
pub use tls::{IdentityFiles, LinkTls, TlsMode, TrustFiles};
pub use traces::Traces;
pub use url::Url;
pub use values::{ByteSize, Span};

use crate::charging::Charging;
use crate::dock::pace::Rates;
use relay::House;
use relay::PeerName;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that the configuration decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the heart needs.
    pub house: House,
    /// Where the data folder is.
    pub data: PathBuf,
    /// Where MM4 is listened for.
    pub listen: Vec<SocketAddr>,
    /// Where MM4 is listened for under TLS from the first octet.
    pub listen_tls: Vec<SocketAddr>,
    /// Hops whose PROXY header says who connects. From them it is required.
    pub proxy_from: Vec<Network>,
    /// Our certificate, if we have one.
    pub identity: Option<IdentityFiles>,
    /// What we call ourselves in SMTP.
    pub host_name: String,
    /// How each peer is reached and known.
    pub links: Vec<Link>,
    /// Limits of the docks, the courier and the store.
    pub limits: HouseLimits,
    /// How numbers and hosts are found.
    pub discovery: DiscoveryConfig,
    /// The HTTP dock, applications and webhooks.
    pub http: http::Http,
    /// The web console.
    pub console: console::Console,
    /// Where numbers for monitoring are had.
    pub metrics: Metrics,
    /// Whether an index over MMs is kept, for searches.
    pub search: bool,
    /// Where traces of MMs go, if anywhere.
    pub traces: Option<Traces>,
    /// Whether and how charging records are written.
    pub charging: Option<Charging>,
}

impl Config {
    /// Keys whose value in `other` is another one, and that are looked at when the relay starts only.
    pub fn fixed_changes(&self, other: &Self) -> Vec<String> {
        let keys = [
            ("[relay] data", self.data != other.data),
            ("[mm4] listen", self.listen != other.listen),
            ("[mm4] listen_tls", self.listen_tls != other.listen_tls),
            ("[mm4] host_name", self.host_name != other.host_name),
            ("[http] listen", self.http.listen != other.http.listen),
            ("[http] requests_max", self.http.requests_max != other.http.requests_max),
            ("[http] sessions_max", self.http.sessions_max != other.http.sessions_max),
            ("[console] listen", self.console.listen != other.console.listen),
            ("[metrics] listen", self.metrics.listen != other.metrics.listen),
            ("[search] index", self.search != other.search),
            ("[traces]", self.traces != other.traces),
            ("[limits] disk_free_min", self.limits.disk_free_min != other.limits.disk_free_min),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
    }
}

/// The connection side of a peer.
#[derive(Clone, Debug)]
pub struct Link {
    /// The peer.
    pub peer: PeerName,
    /// `host:port`, tried in this order.
    pub hosts: Vec<String>,
    /// Whether its hosts are found through the DNS, at its first domain; then `hosts` is empty.
    pub discover: Option<Discover>,
    /// The address from which we connect to it; the system chooses if there is none.
    pub source: Option<IpAddr>,
    /// From where it connects to us.
    pub from: Vec<Network>,
    /// TLS, both ways.
    pub tls: LinkTls,
    /// What it has to say by `AUTH` when it connects to us, if anything.
    pub auth: Option<LoginFile>,
    /// What we say by `AUTH` when we connect to it, if anything.
    pub login: Option<LoginFile>,
    /// Our connections to it at once.
    pub connections_max: usize,
    /// Its connections to us at once.
    pub sessions_max: usize,
    /// How fast it may send.
    pub rates: Rates,
    /// Whether it wants a new connection for every mail.
    pub one_message_per_connection: bool,
}

/// A name, and where its password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFile {
    /// The name.
    pub user: String,
    /// The file of the password.
    pub password_file: PathBuf,
}

impl Link {
    /// Whether its certificate alone tells who it is, wherever it comes from.
    pub fn is_known_by_certificate(&self) -> bool {
        self.from.is_empty() && self.tls.trust != TrustFiles::Anybody
    }
}

/// How a peer's hosts are found through the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// Resolvers of this peer's own; those of `[discovery]` if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// Where they listen; 25 unless agreed otherwise (RFC 5321 4.5.4.2).
    pub port: u16,
}

/// Limits outside the heart.
#[derive(Clone, Debug)]
pub struct HouseLimits {
    /// SMTP limits, for both directions.
    pub smtp: wire::smtp::Limits,
    /// Connections from all peers at once.
    pub sessions_max: usize,
    /// How long a connection may be silent between commands.
    pub idle: Duration,
    /// How long a connection may be silent inside content.
    pub content_idle: Duration,
    /// Octets a second that content must come in on average; counted after `content_idle`.
    pub content_rate_min: u64,
    /// How long a connection may last in all.
    pub session_max: Duration,
    /// How long a connection attempt may take.
    pub connect: Duration,
    /// How long a peer's reply may take.
    pub reply: Duration,
    /// How long an unused connection to a peer is kept.
    pub keep: Duration,
    /// Free disk space below which new MMs are refused, in octets.
    pub disk_free_min: u64,
    /// How long what is under way may take to finish at a stop.
    pub stop: Duration,
    /// For measuring only, and no key of the file: each flush to the disk takes so much longer.
    pub flush_delay: Duration,
}
