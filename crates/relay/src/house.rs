//! What the operator decided: our names, whom we serve, who our peers are, limits and spans of time.
//!
//! Owns: policy as plain data, replaced as a whole when it is reloaded. Never knows: files, sockets, hosts.

pub use crate::lookup::Discovery;
pub use crate::profile::{Knob, MailFrom, NumberForm, NumbersOut, Profile, ResponseStyle};

use crate::event::Arrival;
use crate::store::QueueId;
use mms::{AbstractMessage, Address, Domain, MailPath, MessageType, Number, NumberPlan};
use std::collections::{BTreeMap, BTreeSet};
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

    /// Its queue.
    pub fn queue(&self) -> QueueId {
        QueueId(self.0.clone())
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

/// The configured name of a webhook.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookName(pub Arc<str>);

impl HookName {
    /// The webhook with this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue of its notices. No peer can have this name.
    pub fn queue(&self) -> QueueId {
        QueueId::new(&format!("hook:{}", self.0))
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How MMs of one peer pass through us to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitMode {
    /// Our own transaction with the next Relay/Server; its outcome is answered to the one before.
    BackToBack,
    /// As it came, with one more `Received`; responses and reports pass us by, or through us as they are.
    Transparent,
}

/// To whom a peer may send through us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transit {
    /// To these peers.
    pub to: BTreeMap<PeerName, TransitMode>,
    /// To every other peer.
    pub to_any: Option<TransitMode>,
}

impl Transit {
    /// How an MM may pass to this peer, if at all.
    pub fn mode(&self, to: &PeerName) -> Option<TransitMode> {
        self.to.get(to).copied().or(self.to_any)
    }
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
    pub transit: Transit,
    /// How it likes its MM4.
    pub profile: Profile,
    /// Octets of content of MMs from it that may live here at once; `None`: no bound of its own.
    pub stored_max: Option<u64>,
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
            transit: Transit::default(),
            profile: Profile::default(),
            stored_max: None,
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
    /// Told to an application, which fetches it.
    Hook(HookName),
}

impl Local {
    /// Everybody in these prefixes (digits without `+`), by mailbox.
    pub fn mailboxes(prefixes: Vec<String>) -> Self {
        let barred = BTreeSet::new();
        Self {
            prefixes,
            subscribers: None,
            barred,
            codes: BTreeSet::new(),
            dock: Dock::Mailbox,
            available: true,
        }
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
    /// Short codes, numeric or alphanumeric, that are ours.
    pub codes: BTreeSet<String>,
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
    /// MMs from peers for one local recipient within an hour; `None`: no bound.
    pub recipient_rate_max: Option<u32>,
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
            recipient_rate_max: None,
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
    /// Webhooks of applications.
    pub hooks: Vec<HookName>,
    /// When somebody outside is asked where a number is served.
    pub discovery: Discovery,
    /// When to try again.
    pub retry: Retry,
    /// Limits and lifetimes.
    pub limits: Limits,
    /// Whether charging records are made.
    pub charging: bool,
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
            hooks: Vec::new(),
            discovery: Discovery::default(),
            retry: Retry::default(),
            limits: Limits::default(),
            charging: false,
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

    /// Whether errands of this queue have somewhere to go: to a peer, a webhook, or a look-up.
    pub(crate) fn serves(&self, queue: &PeerName) -> bool {
        let hook = queue.as_str().strip_prefix("hook:");
        crate::lookup::is_queue(queue)
            || hook.is_some_and(|name| self.hooks.iter().any(|h| h.as_str() == name))
            || self.peer(queue).is_some()
    }

    /// How an MM of one peer may pass to another, if at all.
    pub fn transit(&self, from: &PeerName, to: &PeerName) -> Option<TransitMode> {
        self.peer(from).filter(|_| from != to)?.transit.mode(to)
    }

    /// The peer to which a response or report passes as it came: it is addressed to that peer, whose MMs pass
    /// transparently to the peer that it comes from.
    pub fn passes(&self, arrival: &Arrival, message: &AbstractMessage) -> Option<PeerName> {
        self.passes_to(&arrival.peer, message.message_type(), &arrival.recipients)
    }

    /// The same for what is known of a mail before its content is kept.
    pub fn passes_to(
        &self,
        from: &PeerName,
        message_type: MessageType,
        recipients: &[MailPath],
    ) -> Option<PeerName> {
        if message_type == MessageType::ForwardReq {
            return None;
        }
        let domain = recipients.first()?.domain()?;
        let to = self.peers.iter().find(|p| p.owns(domain))?;
        let one = recipients.iter().all(|r| r.domain().is_some_and(|d| to.owns(d)));
        let transparent = self.transit(&to.name, from) == Some(TransitMode::Transparent);
        (one && transparent).then(|| to.name.clone())
    }

    /// The address as a user of ours means it.
    pub fn normalised(&self, address: Address) -> Address {
        address.normalised(&self.number_plan)
    }
}
