//! Look-ups: where a number is served, asked outside (TS 23.140 7.2, annexes G and H; number portability).
//!
//! Owns: when a look-up is needed, and what an answer means for the route. Never knows: DNS, HTTP, how it is asked.
//!
//! A look-up is an errand like any other: it has an entry in a queue of its own, so that a restart asks again, and a
//! source that does not answer costs retries by the schedule, not MMs.

use crate::house::{House, PeerName};
use crate::route::Route;
use crate::store::{Entry, QueueId};
use crate::verdict::Reason;
use mms::{Address, Domain, MailPath, MmId, Number, Party};

/// The queue of look-ups. No peer can have this name.
const QUEUE: &str = "lookup:";

pub(crate) fn queue() -> QueueId {
    QueueId::new(QUEUE)
}

pub(crate) fn is_queue(name: &PeerName) -> bool {
    name.as_str() == QUEUE
}

/// When somebody outside is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Whether there is a source outside our own tables.
    pub asks: bool,
    /// Whether a number that our tables know is not asked for.
    pub tables_first: bool,
    /// Whether also numbers in our own ranges are asked for, since their users may have gone elsewhere.
    pub portability_first: bool,
}

/// Numbers of one MM to be looked up. What the resolver gets.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Its entry in the queue of look-ups.
    pub entry: Entry,
    /// The MM.
    pub mm: MmId,
    /// Place of each recipient in the ledger, and its number.
    pub numbers: Vec<(u16, Number)>,
}

/// What a look-up found out about one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is reached under this path, at the Relay/Server of the path's domain.
    Path(MailPath),
    /// The Relay/Server of this domain serves it.
    Domain(Domain),
    /// This peer serves it, by its configured name.
    Peer(PeerName),
    /// We serve it.
    Here,
    /// Our own tables decide.
    Tables,
    /// Nobody knows it.
    Nothing,
    /// Nobody could say now, and why.
    Later(String),
}

impl Found {
    /// In words, for history and explanation.
    pub fn words(&self) -> String {
        match self {
            Self::Path(path) => format!("reached as {path}"),
            Self::Domain(domain) => format!("served by {domain}"),
            Self::Peer(peer) => format!("served by peer {peer}"),
            Self::Here => "served here".into(),
            Self::Tables => "our own tables decide".into(),
            Self::Nothing => "known to no source".into(),
            Self::Later(why) => format!("no answer now: {why}"),
        }
    }
}

/// What is known of a recipient's way before anybody is asked.
pub(crate) enum Plan {
    /// This is it.
    Go(Route),
    /// Somebody must be asked first.
    Ask,
}

impl House {
    /// Whether somebody outside is asked where this recipient is served.
    pub fn asks_for(&self, party: &Party) -> bool {
        matches!(self.plan(party), Plan::Ask)
    }

    /// Whether our tables tell where this recipient's MM goes, or somebody must be asked.
    pub(crate) fn plan(&self, party: &Party) -> Plan {
        let route = self.route(party);
        let international = party.address.number().is_some_and(Number::is_international);
        let Discovery { asks, tables_first, portability_first } = self.discovery;
        if !asks || !international {
            return Plan::Go(route);
        }
        match route {
            Route::Peer(_) if tables_first => Plan::Go(route),
            Route::Peer(_) | Route::Nowhere(Reason::NoRoute) => Plan::Ask,
            // Served here, barred, or a number of ours that nobody has: it may live elsewhere now.
            Route::Local(_) | Route::Nowhere(_) if portability_first => Plan::Ask,
            Route::Local(_) | Route::Nowhere(_) => Plan::Go(route),
        }
    }

    /// Where the MM goes after the look-up; `None` when it must be asked again.
    pub fn route_found(&self, party: &Party, found: &Found) -> Option<Route> {
        let by_tables = self.route(party);
        let ours = |route: Route| match route {
            // A number that leads to us and that we do not know fails here instead of going round.
            Route::Peer(_) | Route::Nowhere(Reason::NoRoute) => Route::Nowhere(Reason::NotServed),
            ours => ours,
        };
        let by_domain = |domain: &Domain| match self.peers.iter().find(|p| p.owns(domain)) {
            _ if self.domains.contains(domain) => ours(self.route(party)),
            Some(peer) => Route::Peer(peer.name.clone()),
            None => Route::Nowhere(Reason::NoRoute),
        };
        Some(match found {
            Found::Path(path) => path.domain().map_or(Route::Nowhere(Reason::NoRoute), by_domain),
            Found::Domain(domain) => by_domain(domain),
            Found::Peer(name) if self.peer(name).is_some() => Route::Peer(name.clone()),
            Found::Peer(_) => Route::Nowhere(Reason::NoRoute),
            Found::Here => ours(by_tables),
            Found::Tables => by_tables,
            Found::Nothing => match by_tables {
                Route::Peer(_) => Route::Nowhere(Reason::NoRoute),
                other => other,
            },
            Found::Later(_) => return None,
        })
    }
}

/// The domain that a look-up named, to write the recipient at.
pub(crate) fn domain_of(found: &Found) -> Option<&Domain> {
    match found {
        Found::Path(path) => path.domain(),
        Found::Domain(domain) => Some(domain),
        _ => None,
    }
}

/// The number of a recipient, as a look-up asks for it.
pub(crate) fn number_of(address: &Address) -> Option<&Number> {
    address.number().filter(|n| n.is_international())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Dock;
    use crate::testing::{house, party};

    fn asking(tables_first: bool, portability_first: bool) -> House {
        House { discovery: Discovery { asks: true, tables_first, portability_first }, ..house() }
    }

    fn asks(house: &House, number: &str) -> bool {
        matches!(house.plan(&party(number)), Plan::Ask)
    }

    #[test]
    fn who_is_asked_for() {
        let (ours, bs, unknown, code) = ("+12025550100", "+12025550110", "+447700900100", "4455");
        let none = house();
        assert!([ours, bs, unknown, code].iter().all(|n| !asks(&none, n)));
        let tables = asking(true, false);
        assert_eq!([ours, bs, unknown, code].map(|n| asks(&tables, n)), [false, false, true, false]);
        let outside = asking(false, false);
        assert_eq!([ours, bs, unknown, code].map(|n| asks(&outside, n)), [false, true, true, false]);
        let ported = asking(false, true);
        assert_eq!([ours, bs, unknown, code].map(|n| asks(&ported, n)), [true, true, true, false]);
    }

    /// what is found outside wins over our ranges; what leads to us and is nobody here fails.
    #[test]
    fn a_30_a_31_found_elsewhere_or_here() {
        let house = asking(false, true);
        let to = |number: &str, found: Found| house.route_found(&party(number), &found);
        let c = || "mms.c.example".parse::<Domain>().unwrap();
        let peer_c = || Some(Route::Peer(PeerName::new("c")));
        assert_eq!(to("+12025550100", Found::Domain(c())), peer_c());
        assert_eq!(to("+12025550110", Found::Peer(PeerName::new("c"))), peer_c());
        let path = "+12025550110/TYPE=PLMN@mms.c.example".parse().unwrap();
        assert_eq!(to("+12025550110", Found::Path(path)), peer_c());
        assert_eq!(to("+12025550100", Found::Here), Some(Route::Local(Dock::Mailbox)));
        assert_eq!(to("+12025550110", Found::Tables), Some(Route::Peer(PeerName::new("b"))));
        assert_eq!(to("+12025550100", Found::Nothing), Some(Route::Local(Dock::Mailbox)));
        let nowhere = |reason| Some(Route::Nowhere(reason));
        assert_eq!(to("+447700900100", Found::Here), nowhere(Reason::NotServed));
        assert_eq!(to("+12025550110", Found::Nothing), nowhere(Reason::NoRoute));
        assert_eq!(to("+12025550110", Found::Peer(PeerName::new("x"))), nowhere(Reason::NoRoute));
        let ours = "mms.a.example".parse().unwrap();
        assert_eq!(to("+447700900100", Found::Domain(ours)), nowhere(Reason::NotServed));
        assert_eq!(to("+447700900100", Found::Later("timeout".into())), None);
    }
}
