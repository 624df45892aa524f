//! The relays of the world: who they are, whom they know, what a process of theirs holds.
//!
//! Owns: the map of the world and the state of each relay. Never knows: events, weather.
//!
//! `a` and `b` serve users and know each other; `c` is known to the hub `h` alone; everything between `c` and the others,
//! and one number of `b`'s, goes through the hub, where transit is granted in part. `x` is the hostile peer of all but `c`.

use crate::check::Promise;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::dock::Dock;
use crate::line::Line;
use crate::net::ConnId;
use mms::{Address, Domain, Number};
use relay::house::{Discovery, Local, MailFrom, NumberForm, Profile, ResponseStyle, Transit, TransitMode};
use relay::store::{Outcome, StoreError};
use relay::{Errand, House, Input, Peer, PeerName, Shard, Token};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use wire::smtp::Limits;

/// Names of all nodes; the last one is hostile.
pub const NAMES: [&str; 5] = ["a", "b", "h", "c", "x"];
/// The place of the hostile peer.
pub const X: usize = 4;

/// The place of the hub.
pub const HUB: usize = 2;

/// Digits before the last one of a relay's users, as its peers know them.
pub const fn prefix(node: usize) -> &'static str {
    ["1202555010", "1202555011", "1202555013", "1202555012", "1202555019"][node]
}

/// The number of `b` that is reached through the hub.
pub const BY_HUB: &str = "12025550119";

/// Whose user this is.
pub fn serves(address: &Address) -> Option<usize> {
    let digits = address.number()?.digits();
    (0..X).find(|n| digits.starts_with(prefix(*n)))
}

/// How many users each relay has; a higher last digit is nobody.
pub const USERS: u64 = 4;

/// Whether there is such a user.
pub fn exists(address: &Address) -> bool {
    let digits = address.number().map(Number::digits).unwrap_or_default();
    digits == BY_HUB || digits.bytes().last().is_some_and(|d| u64::from(d - b'0') < USERS)
}

/// A node's MM4 domain.
pub fn domain(name: &str) -> Domain {
    format!("mms.{name}.example").parse().expect("a domain")
}

/// The host at which a node listens.
pub fn host(name: &str) -> String {
    format!("mx.mms.{name}.example")
}

/// The node that listens at a host.
pub fn node_at(host: &str) -> Option<usize> {
    NAMES.iter().position(|name| self::host(name) == host)
}

/// What the relays of a world have agreed about its hub.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// How it lets MMs through.
    through: TransitMode,
    /// Whether the others know who is behind it, so that responses are addressed to them and pass through, too.
    known: bool,
    /// Whether everybody asks where a number is served before looking into tables.
    asks: bool,
}

impl Agreed {
    /// In the world of a seed.
    pub const fn of(seed: u64) -> Self {
        let through = if seed.is_multiple_of(3) { TransitMode::Transparent } else { TransitMode::BackToBack };
        Self { through, known: seed.is_multiple_of(6), asks: seed.is_multiple_of(5) }
    }
}

/// A relay's configuration.
pub fn house(node: usize, agreed: Agreed, dice: &mut Dice) -> House {
    let Agreed { through, known, asks } = agreed;
    let peer = |name: &str, prefixes: &[&str]| Peer {
        prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        ..Peer::new(name, domain(name))
    };
    let to = |names: &[&str]| Transit {
        to: names.iter().map(|n| (PeerName::new(n), through)).collect(),
        to_any: None,
    };
    let of = |n: usize| prefix(n);
    let mut peers = match NAMES[node] {
        "a" => vec![peer("b", &[of(1)]), peer("h", &[of(2), of(3), BY_HUB])],
        "b" => vec![peer("a", &[of(0)]), peer("h", &[of(2), of(3)])],
        "c" => vec![peer("h", &[of(0), of(1), of(2)])],
        _ => vec![
            Peer { transit: to(&["c", "b"]), ..peer("a", &[of(0)]) },
            peer("b", &[of(1)]),
            Peer { transit: to(&["a"]), ..peer("c", &[of(3)]) },
        ],
    };
    if NAMES[node] != "c" {
        peers.push(peer(NAMES[X], &[of(X)]));
    }
    if known && let Some(hub) = peers.iter_mut().find(|p| p.name.as_str() == NAMES[HUB]) {
        let behind: &[&str] = if NAMES[node] == "c" { &["a", "b"] } else { &["c"] };
        hub.domains.extend(behind.iter().map(|name| domain(name)));
    }
    for peer in &mut peers {
        vary(&mut peer.profile, dice);
        // What passes as it came has the envelope of who sent it first.
        peer.profile.own_senders &= through == TransitMode::BackToBack || peer.name.as_str() != NAMES[HUB];
    }
    let users = (0..USERS).map(|n| format!("{}{n}", of(node))).chain((node == 1).then(|| BY_HUB.to_owned()));
    let subscribers = users.filter_map(|digits| Number::international(&digits).ok()).collect();
    let local = Local { subscribers: Some(subscribers), ..Local::mailboxes(vec![of(node).to_owned()]) };
    let mut house = House { locals: vec![local], peers, ..House::new(domain(NAMES[node])) };
    house.discovery = Discovery { asks, tables_first: false, portability_first: asks };
    house.limits.in_flight_max = dice.between(1, 8) as usize;
    house
}

/// Peers differ; each link has habits of its own.
fn vary(profile: &mut Profile, dice: &mut Dice) {
    let mut one_in = |n| dice.below(n) == 0;
    profile.acknowledged_reports = one_in(2);
    profile.null_sender = one_in(3);
    profile.quote_ids = one_in(4);
    profile.own_senders = one_in(3);
    profile.expects_response = !one_in(24);
    if one_in(3) {
        profile.mail_from = MailFrom::System;
    }
    if one_in(12) {
        profile.response_style = ResponseStyle::Collective;
    }
    if one_in(4) {
        profile.number_form = NumberForm::Plus;
    }
    profile.split_recipients = one_in(6);
    if one_in(6) {
        profile.recipients_max = 1;
    }
    if one_in(6) {
        profile.rate_max = Some(60);
    }
}

/// Whether what a user of `from` sends reaches a user of `to`, in clear weather.
pub const fn granted(from: usize, to: usize) -> bool {
    !matches!((from, to), (1, 3) | (3, 1))
}

/// Results of commits that the heart has not heard yet.
pub type Results = Arc<Mutex<VecDeque<(Token, Result<Outcome, StoreError>)>>>;

/// Who waits for an answer of the heart.
pub enum Waiting {
    /// A connection, and what a `250` to it will promise.
    Dock(ConnId, Option<Promise>),
    /// A user.
    User,
}

/// A relay: its disk, and while it runs, its process.
pub struct Relay {
    /// Its name.
    pub name: &'static str,
    /// Its configuration.
    pub house: Arc<House>,
    /// Its disk.
    pub disk: Disk,
    /// How often it was started; what was meant for an earlier process is void.
    pub epoch: u64,
    /// Chance of its own: ids.
    pub dice: Dice,
    /// Out of reach until then.
    pub dead_until: u64,
    /// How far its clock is off, in milliseconds.
    pub skew: i64,
    /// What its server sessions accept at most.
    pub limits: Limits,
    /// How many times slower than others.
    pub slow: u64,
    /// For one planted bug: the domain that each request named in `X-Mms-Originator-System`, by its transaction.
    pub named: BTreeMap<String, String>,
    /// The process; `None` while it is down.
    pub process: Option<Process>,
}

/// What dies with the process.
pub struct Process {
    /// The heart.
    pub shard: Shard,
    /// Events that the heart was not told yet.
    pub inbox: VecDeque<Input>,
    /// What the heart says is being carried out.
    pub settling: bool,
    /// Whose mail the heart was told of last, until it is told of something else.
    pub cause: Option<PeerName>,
    /// Commits that are over.
    pub results: Results,
    /// Incoming connections.
    pub docks: BTreeMap<ConnId, Dock>,
    /// Outgoing connections.
    pub lines: BTreeMap<ConnId, Line>,
    /// Connections that are being made, by peer.
    pub connecting: BTreeMap<PeerName, usize>,
    /// Errands that wait for a connection.
    pub errands: BTreeMap<PeerName, VecDeque<Box<Errand>>>,
    /// Who waits for answers.
    pub waiting: BTreeMap<u64, Waiting>,
    /// The last ticket given.
    pub tickets: u64,
    /// A flush is on its way.
    pub flushing: bool,
    /// When the heart will be woken.
    pub tick: Option<u64>,
}
