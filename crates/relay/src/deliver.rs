//! Recipients on their way: into mailboxes, to applications, into the queues of peers, to a look-up, or nowhere.
//!
//! Owns: what each way means for a recipient, and the grouping of recipients into mails. Never knows: how the way was
//! found.

use crate::event::Answer;
use crate::house::{Dock, PeerName};
use crate::ledger::{LOOKUP, Origin, RecipientKind, RecipientState, What};
use crate::lookup::{Found, Plan, domain_of};
use crate::notice::Noticed;
use crate::route::Route;
use crate::store::{Entry, TagKind};
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::{Reason, refusal_text};
use mms::{Address, Party, RequestStatus};

/// Where a recipient goes.
pub(crate) enum Way {
    /// To a user of ours.
    Here(Dock),
    /// To another Relay/Server.
    On(PeerName),
    /// Somebody must be asked first.
    Ask,
    /// Nowhere, and a word more than the reason.
    Nowhere(Reason, Option<String>),
}

impl Turn<'_> {
    /// The way of a recipient as far as our tables tell.
    pub fn way(&self, party: &Party) -> Way {
        match self.house.plan(party) {
            Plan::Go(route) => self.way_of(party, route),
            Plan::Ask => Way::Ask,
        }
    }

    /// What a route means for this MM: what a peer sent goes on only where that peer may send through us.
    fn way_of(&self, party: &Party, route: Route) -> Way {
        let from = match &self.ledger.origin {
            Origin::Received { peer, .. } => Some(peer),
            Origin::Submitted { .. } => None,
        };
        match (route, from) {
            (Route::Local(dock), _) => Way::Here(dock),
            (Route::Peer(to), None) => Way::On(to),
            (Route::Peer(to), Some(from)) if self.house.transit(from, &to).is_some() => Way::On(to),
            (Route::Peer(_), Some(_)) => Way::Nowhere(Reason::NoTransit, None),
            (Route::Nowhere(Reason::NoRoute), Some(_)) => {
                let foreign = party.path().domain().is_some_and(|d| !self.house.domains.contains(d));
                Way::Nowhere(if foreign { Reason::NoTransit } else { Reason::NotServed }, None)
            }
            (Route::Nowhere(reason), _) => Way::Nowhere(reason, None),
        }
    }

    /// Put recipients on their way.
    pub fn deliver(&mut self, ways: Vec<(u16, Way)>, entropy: Entropy<'_>) {
        let mut peers: Vec<(PeerName, Vec<u16>)> = Vec::new();
        let (mut here, mut ask) = (Vec::new(), false);
        for (place, way) in ways {
            match way {
                Way::Here(dock) => here.push((place, dock)),
                Way::On(name) => match peers.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, places)) => places.push(place),
                    None => peers.push((name, vec![place])),
                },
                Way::Ask => {
                    self.enter(place, RecipientState::Routing, None, None, None);
                    ask = true;
                }
                Way::Nowhere(reason, detail) => self.refuse(place, reason, detail.as_deref()),
            }
        }
        self.store(here);
        if ask {
            self.requeue(LOOKUP, self.now);
        }
        for (name, places) in peers {
            for group in self.groups(&name, places) {
                self.tell(What::Queued, Some(&name), &group, "");
                let now = self.now;
                self.open_transaction(&name, group, 0, now, 0, entropy);
            }
        }
    }

    /// For users of ours. What has expired is accepted all the same, so that its originator hears so by report (mm4 2.7).
    fn store(&mut self, here: Vec<(u16, Dock)>) {
        let places: Vec<u16> = here.iter().map(|(place, _)| *place).collect();
        if places.is_empty() {
            return;
        }
        let (state, reason) = if self.ledger.expires <= self.now {
            self.tell(What::Expired, None, &places, "had expired before it arrived");
            (RecipientState::Expired, Some(Reason::Expired))
        } else {
            self.tell(What::Stored, None, &places, "");
            (RecipientState::Stored, None)
        };
        for (place, dock) in here {
            self.enter(place, state, reason, Some(RequestStatus::Ok), None);
            if state == RecipientState::Stored {
                let value = self.ledger.recipients[usize::from(place)].party.address.value();
                self.tag(TagKind::Mailbox, value);
                if let Dock::Hook(hook) = dock {
                    self.notify(hook, place, Noticed::Arrived);
                }
            }
        }
    }

    /// This recipient gets nothing: refused, if a peer asked; failed, if a user of ours did.
    pub fn refuse(&mut self, place: u16, reason: Reason, detail: Option<&str>) {
        let (state, what) = match &self.ledger.origin {
            Origin::Received { .. } => (RecipientState::Refused, What::Refused),
            Origin::Submitted { .. } => (RecipientState::Failed, What::Failed),
        };
        let text = refusal_text(reason, detail);
        self.enter(place, state, Some(reason), Some(reason.request_status()), Some(text.clone()));
        self.tell(what, None, &[place], text.as_str());
    }

    /// One mail for all recipients of a peer, unless it wants them one by one. An undisclosed recipient travels alone,
    /// or its address in the envelope would tell the others' Relay/Server (mm4 5.3).
    fn groups(&self, name: &PeerName, places: Vec<u16>) -> Vec<Vec<u16>> {
        let profile = self.house.peer(name).map(|p| p.profile.clone()).unwrap_or_default();
        let most = if profile.split_recipients { 1 } else { profile.recipients_max.max(1) };
        let hidden = |i: &u16| self.ledger.recipients[usize::from(*i)].kind == RecipientKind::Bcc;
        let (bcc, open): (Vec<u16>, Vec<u16>) = places.into_iter().partition(hidden);
        open.chunks(most).map(<[u16]>::to_vec).chain(bcc.into_iter().map(|i| vec![i])).collect()
    }

    /// Everybody in this state.
    pub fn in_state(&self, state: RecipientState) -> Vec<u16> {
        let places = 0..self.ledger.recipients.len() as u16;
        places.filter(|i| self.ledger.recipients[usize::from(*i)].state == state).collect()
    }
}

/// A look-up came back.
pub(crate) fn found(
    mut turn: Turn<'_>,
    entry: &Entry,
    found: &[(u16, Found)],
    entropy: Entropy<'_>,
) -> Decision {
    turn.hold(entry);
    let (mut ways, mut later) = (Vec::new(), None);
    for place in turn.in_state(RecipientState::Routing) {
        let nothing = Found::Later("nobody was asked".into());
        let found = found.iter().find(|(p, _)| *p == place).map_or(&nothing, |(_, found)| found);
        let party = turn.ledger.recipients[usize::from(place)].party.clone();
        turn.tell(What::Routed, None, &[place], found.words());
        match (turn.house.route_found(&party, found), found) {
            (Some(route), found) => {
                note_way(&mut turn, place, &route, found);
                let party = turn.ledger.recipients[usize::from(place)].party.clone();
                let way = turn.way_of(&party, route);
                ways.push((place, way));
            }
            (None, Found::Later(why)) => later = Some(why.clone()),
            (None, _) => later = Some("no answer".into()),
        }
    }
    match later {
        None => turn.ack(LOOKUP),
        Some(why) => match turn.house.retry.next(entry.attempt + 1, turn.now, turn.deadline()) {
            Some(due) => turn.retry(LOOKUP, due),
            None => turn.end_routing(&why),
        },
    }
    turn.deliver(ways, entropy);
    turn.conclude(entropy);
    turn.finish(|_| None::<Answer>)
}

/// The recipient is written at the domain of the Relay/Server that serves it, in the envelope and, in an MM of our own
/// user, in the header.
fn note_way(turn: &mut Turn<'_>, place: u16, route: &Route, found: &Found) {
    let Route::Peer(name) = route else { return };
    let Some(peer) = turn.house.peer(name) else { return };
    let recipient = &mut turn.ledger.recipients[usize::from(place)];
    if let Found::Path(path) = found {
        recipient.path = Some(path.clone());
    }
    let domain = domain_of(found).filter(|d| peer.owns(d)).or(peer.domains.first()).cloned();
    let address = recipient.party.address.clone();
    if matches!(turn.ledger.origin, Origin::Received { .. }) || matches!(address, Address::Email { .. }) {
        return;
    }
    turn.ledger.recipients[usize::from(place)].party.domain.clone_from(&domain);
    if let Some(request) = &mut turn.ledger.request {
        let named = request.to.iter_mut().chain(&mut request.cc).filter(|p| p.address == address);
        named.for_each(|party| party.domain.clone_from(&domain));
    }
}

impl Turn<'_> {
    /// Nobody could say in time where these recipients are served.
    pub fn end_routing(&mut self, why: &str) {
        self.ack(LOOKUP);
        for place in self.in_state(RecipientState::Routing) {
            if self.now < self.ledger.expires {
                self.refuse(place, Reason::LookupFailed, Some(why));
            } else {
                self.enter(place, RecipientState::Expired, Some(Reason::Expired), None, None);
                self.tell(What::Expired, None, &[place], "while it was looked up where it goes");
            }
        }
    }
}
