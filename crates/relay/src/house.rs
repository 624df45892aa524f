//! What the operator decided: our names, whom we serve, who our peers are, limits and spans of time.
//!
//! Owns: policy as plain data, replaced as a whole when it is reloaded. Never knows: files, sockets, hosts.

use mms::{Address, Domain, MailPath, Number, NumberPlan, Version};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The configured name of a peer; also the name of its queue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(pub Arc<str>);

impl PeerName {
    /// The peer with this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a peer likes its MM4, and what it cannot do. Each knob exists because live peers differ in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The version that we announce to this peer.
    pub version: Version,
    /// Put our ids into quotation marks.
    pub quote_ids: bool,
    /// Write `From` and `To` without a domain.
    pub bare_addresses: bool,
    /// One mail for each recipient instead of one for all.
    pub split_recipients: bool,
    /// At most this many recipients in one mail.
    pub recipients_max: usize,
    /// How we answer one request with several outcomes.
    pub response_style: ResponseStyle,
    /// Whether the peer sends responses at all. If not, none is asked for and none is awaited.
    pub expects_response: bool,
    /// Whether a response is asked for on our reports. Rare between live peers.
    pub acknowledged_reports: bool,
    /// Put an anonymous mailbox of ours into `From` when the sender is hidden.
    pub anonymise_hidden: bool,
    /// At most this many octets in one MM to this peer; `None` = whatever its `SIZE` says.
    pub size_max: Option<u64>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            version: Version::OURS,
            quote_ids: false,
            bare_addresses: false,
            split_recipients: false,
            recipients_max: 100,
            response_style: ResponseStyle::Individual,
            expects_response: true,
            acknowledged_reports: false,
            anonymise_hidden: false,
            size_max: None,
        }
    }
}

/// How a request to several recipients with different outcomes is answered (TS 23.140 8.4.1.1 allows both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseStyle {
    /// One response for each distinct status, each naming its recipients.
    Individual,
    /// Exactly one response, for peers that would apply an error to everybody: `Ok` if anybody was accepted.
    Collective,
}

/// Another operator's Relay/Server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its configured name.
    pub name: PeerName,
    /// Its MM4 domains, the first one for envelopes.
    pub domains: Vec<Domain>,
    /// Where responses go when the request names no usable mailbox.
    pub system_address: MailPath,
    /// Number prefixes that it serves, digits with country code and without `+`.
    pub prefixes: Vec<String>,
    /// Prefixes within those that it does not serve.
    pub deny: Vec<String>,
    /// How it writes numbers.
    pub number_plan: NumberPlan,
    /// Peers to which it may send through us.
    pub transit: BTreeSet<PeerName>,
    /// How it likes its MM4.
    pub profile: Profile,
}

impl Peer {
    /// A peer with one domain, its usual system address, and everything else as it is by default: it serves nobody.
    pub fn new(name: &str, domain: Domain) -> Self {
        Self {
            name: PeerName::new(name),
            system_address: system_user(&domain),
            domains: vec![domain],
            prefixes: Vec::new(),
            deny: Vec::new(),
            number_plan: NumberPlan::default(),
            transit: BTreeSet::new(),
            profile: Profile::default(),
        }
    }

    /// Whether a domain belongs to this peer.
    pub fn owns(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }
}

/// Where MMs for local recipients go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dock {
    /// Kept here until fetched.
    Mailbox,
}

impl Local {
    /// Everybody in these prefixes (digits without `+`), by mailbox.
    pub fn mailboxes(prefixes: Vec<String>) -> Self {
        let barred = BTreeSet::new();
        Self { prefixes, subscribers: None, barred, dock: Dock::Mailbox, available: true }
    }
}

/// Some of the users that we serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Number prefixes, digits with country code and without `+`.
    pub prefixes: Vec<String>,
    /// If given, only these numbers within the prefixes exist.
    pub subscribers: Option<BTreeSet<Number>>,
    /// These may neither send nor receive.
    pub barred: BTreeSet<Number>,
    /// Where their MMs go.
    pub dock: Dock,
    /// `false` while it is out of service: MMs are answered `Error-network-problem`, and the peer may try again.
    pub available: bool,
}

/// When to try again, and when to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Spans between attempts at one MM; the last one repeats.
    pub steps: Vec<Duration>,
    /// How long an MM may wait for its peer.
    pub give_up: Duration,
    /// How long a response is awaited after the peer took a request.
    pub response_timeout: Duration,
    /// How often a request is sent again when its response stays away.
    pub response_resends: u32,
    /// How often a request is sent again after a response that says "try again".
    pub response_retries: u32,
    /// First pause after a failed connection; doubles up to `gate_max`.
    pub gate_min: Duration,
    /// Longest pause after a failed connection.
    pub gate_max: Duration,
}

impl Default for Retry {
    /// 1, 5, 15, then every 30 minutes for 24 hours; a response within 15 minutes, 2 resends, 3 retries.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            steps: vec![minutes(1), minutes(5), minutes(15), minutes(30)],
            give_up: minutes(24 * 60),
            response_timeout: minutes(15),
            response_resends: 2,
            response_retries: 3,
            gate_min: Duration::from_secs(5),
            gate_max: minutes(5),
        }
    }
}

/// Limits and lifetimes that the heart keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Recipients of one submitted MM.
    pub recipients_max: usize,
    /// Octets of content, decoded, that a local recipient takes.
    pub content_size_max: u64,
    /// `X-Mms-Forward-Counter` above this is refused.
    pub forward_max: u32,
    /// `Received` fields above this are a loop (RFC 4356 asks for no less than 100).
    pub hops_max: usize,
    /// Validity of an MM whose sender gave none.
    pub expiry_default: Duration,
    /// Longest validity; longer ones are cut.
    pub expiry_max: Duration,
    /// How long a duplicate is recognised, if the MM lives no longer.
    pub duplicates_kept: Duration,
    /// How long the history of a finished MM is kept.
    pub history_kept: Duration,
    /// Errands under way to one peer at once.
    pub in_flight_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let days = |n: u64| Duration::from_secs(86_400 * n);
        Self {
            recipients_max: 50,
            content_size_max: 5 << 20,
            forward_max: 10,
            hops_max: 100,
            expiry_default: days(3),
            expiry_max: days(14),
            duplicates_kept: days(2),
            history_kept: days(7),
            in_flight_max: 64,
        }
    }
}

/// Everything that the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct House {
    /// Our MM4 domains, the first one for what we write.
    pub domains: Vec<Domain>,
    /// Our system address: sender of responses and reports.
    pub system_address: MailPath,
    /// How our users write numbers.
    pub number_plan: NumberPlan,
    /// Whom we serve.
    pub locals: Vec<Local>,
    /// Our peers.
    pub peers: Vec<Peer>,
    /// When to try again.
    pub retry: Retry,
    /// Limits and lifetimes.
    pub limits: Limits,
}

/// `system-user@domain`, what a Relay/Server's own mailbox is called by convention.
pub fn system_user(domain: &Domain) -> MailPath {
    // A fixed local part is always a path.
    MailPath::new("system-user", Some(domain.clone())).expect("a path")
}

impl House {
    /// A house with one domain and everything else as it is by default: it serves nobody and knows nobody.
    pub fn new(domain: Domain) -> Self {
        Self {
            system_address: system_user(&domain),
            domains: vec![domain],
            number_plan: NumberPlan::default(),
            locals: Vec::new(),
            peers: Vec::new(),
            retry: Retry::default(),
            limits: Limits::default(),
        }
    }

    /// The domain for what we write.
    pub fn domain(&self) -> &Domain {
        &self.domains[0]
    }

    /// The peer with this name.
    pub fn peer(&self, name: &PeerName) -> Option<&Peer> {
        self.peers.iter().find(|p| p.name == *name)
    }

    /// The address as a user of ours means it.
    pub fn normalised(&self, address: Address) -> Address {
        address.normalised(&self.number_plan)
    }
}
