//! Spans: one piece of work, and one whole MM, as traces show them.
//!
//! Owns: which spans an MM has, their names and facts. Never knows: how they are encoded or where they go, and no number:
//! every text in a span has the last digits of numbers hidden.

use crate::clock::Began;
use crate::explain;
use crate::mask::Mask;
use mms::{MmId, Timestamp};
use relay::{Ledger, Moment, Origin, PeerName, RecipientState, TransactionState, What};
use std::borrow::Cow;
use std::time::Duration;

/// Octets of a text in a span.
const TEXT_MAX: usize = 300;

/// Which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Neither: it happened in here, or was waited for.
    Inside,
    /// Somebody asked us.
    Server,
    /// We asked somebody.
    Client,
}

/// A value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count.
    Number(i64),
}

/// A fact about a span: its name, and its value.
pub type Fact = (&'static str, Value);

/// Words as a fact, bounded, on one line, with the last digits of numbers hidden.
pub fn text(name: &'static str, words: &str) -> Fact {
    (name, Value::Text(plain(words)))
}

/// An id or a name as a fact: as it is.
pub fn id(name: &'static str, id: impl ToString) -> Fact {
    (name, Value::Text(id.to_string()))
}

/// A count as a fact.
pub fn number(name: &'static str, number: u64) -> Fact {
    (name, Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn plain(words: &str) -> String {
    // Cut after hiding: a number must not lose its last digits to the cut and be shown up to them.
    let hidden = Mask(true).text(words);
    mms::HeaderText::cleaned(&hidden).capped(TEXT_MAX).as_str().to_owned()
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: &'static str,
    /// Facts about it.
    pub facts: Vec<Fact>,
}

/// One span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The MM, which is the trace.
    pub mm: MmId,
    /// Its id within the trace; never 0.
    pub id: u64,
    /// The span that it is a part of.
    pub parent: Option<u64>,
    /// What it is.
    pub name: Cow<'static, str>,
    /// Which side.
    pub side: Side,
    /// When it began.
    pub begin: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Facts.
    pub facts: Vec<Fact>,
    /// What happened in it.
    pub marks: Vec<Mark>,
    /// Why it is an error, if it is one.
    pub trouble: Option<String>,
}

/// A piece of work that somebody did for an MM.
#[derive(Debug)]
pub struct Work {
    /// When it began.
    pub began: Began,
    /// What it was.
    pub name: Cow<'static, str>,
    /// Which side.
    pub side: Side,
    /// Facts.
    pub facts: Vec<Fact>,
    /// Why it failed, if it did.
    pub trouble: Option<String>,
}

impl Work {
    /// Work that began then and is about to end.
    pub fn new(began: Began, name: impl Into<Cow<'static, str>>, side: Side) -> Self {
        Self { began, name: name.into(), side, facts: Vec::new(), trouble: None }
    }

    /// With one more fact.
    #[must_use]
    pub fn with(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// It failed.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.trouble = Some(plain(why));
        self
    }
}

/// The id of the span of a whole MM: everything else about it names this one, also after a restart.
pub const fn root(mm: MmId) -> u64 {
    match mm.bits() as u64 {
        0 => 1,
        id => id,
    }
}

/// Whether nothing is on its way any more. Others may still do something: a recipient may fetch the MM, a report may come.
pub fn rests(ledger: &Ledger) -> bool {
    ledger.entries().next().is_none()
        && ledger.transactions.iter().all(|t| t.state == TransactionState::Settled)
        && ledger.reports.iter().all(|r| r.state == TransactionState::Settled)
        && !ledger
            .recipients
            .iter()
            .any(|r| matches!(r.state, RecipientState::Routing | RecipientState::Queued))
}

/// The spans of an MM that rests: the MM itself, and what was waited for. `told`: so many moments of its history were told
/// before; then what came after them is a span of its own. `fresh` gives ids.
pub fn of_whole(ledger: &Ledger, told: usize, now: Timestamp, mut fresh: impl FnMut() -> u64) -> Vec<Span> {
    let cut = ledger.history_cut as usize;
    let news = &ledger.history[told.saturating_sub(cut).min(ledger.history.len())..];
    let (Some(first), Some(last)) = (news.first(), news.last()) else { return Vec::new() };
    let begin = if told == 0 { ledger.accepted } else { first.at };
    let mut whole = Span {
        mm: ledger.id,
        id: root(ledger.id),
        parent: None,
        name: "MM".into(),
        side: Side::Inside,
        begin,
        took: last.at.since(begin),
        facts: Vec::new(),
        marks: news.iter().map(|moment| mark(ledger, moment)).collect(),
        trouble: None,
    };
    if told == 0 {
        whole.facts = facts(ledger);
    } else {
        (whole.id, whole.parent, whole.name) = (fresh(), Some(root(ledger.id)), "MM, later".into());
        whole.facts = vec![id("belino.mm", ledger.id)];
    }
    let story = explain::what_happened(ledger, &[], now);
    whole.facts.push(text("belino.what_happened", &story.what));
    if story.trouble {
        whole.trouble = Some(plain(&story.what));
    }
    let mut spans = waits(ledger, told.saturating_sub(cut), &mut fresh);
    spans.insert(0, whole);
    spans
}

fn facts(ledger: &Ledger) -> Vec<Fact> {
    let mut facts = vec![id("belino.mm", ledger.id)];
    match &ledger.origin {
        Origin::Submitted { by, .. } => facts.push(id("belino.submitted_by", by)),
        Origin::Received { peer, .. } => facts.push(id("belino.origin.peer", peer)),
    }
    if let Some(request) = &ledger.request {
        facts.extend(request.message_id.iter().map(|value| id("mm4.message_id", value)));
        facts.extend(request.transaction_id.iter().map(|value| id("mm4.transaction_id", value)));
    }
    if let Some(body) = &ledger.body {
        facts.push(number("belino.content.octets", body.len));
    }
    facts.push(number("belino.recipients", ledger.recipients.len() as u64));
    let mut states: Vec<&str> = ledger.recipients.iter().map(|r| r.state.word()).collect();
    states.sort_unstable();
    states.dedup();
    if !states.is_empty() {
        facts.push(id("belino.states", states.join(",")));
    }
    facts
}

fn mark(ledger: &Ledger, moment: &Moment) -> Mark {
    let mut facts = Vec::new();
    facts.extend(moment.peer.iter().map(|peer| id("belino.peer", peer)));
    if !moment.recipients.is_empty() && ledger.recipients.len() > 1 {
        facts.push(number("belino.recipients", moment.recipients.len() as u64));
    }
    if !moment.text.is_empty() {
        facts.push(text("belino.text", &moment.text));
    }
    Mark { at: moment.at, name: moment.what.word(), facts }
}

/// From every `MM4_forward.REQ` that a peer took to what came of it: its response, or that none came. Those that ended
/// before the moment `told` have been told.
fn waits(ledger: &Ledger, told: usize, fresh: &mut impl FnMut() -> u64) -> Vec<Span> {
    let mut open: Vec<(&PeerName, Timestamp)> = Vec::new();
    let mut spans = Vec::new();
    for (place, moment) in ledger.history.iter().enumerate() {
        let Some(peer) = &moment.peer else { continue };
        let ends = matches!(moment.what, What::Response | What::NoResponse | What::Unconfirmed);
        if moment.what == What::Forwarded {
            open.push((peer, moment.at));
        }
        let Some(at) = open.iter().position(|(of, _)| ends && *of == peer) else { continue };
        let (_, begin) = open.remove(at);
        if place < told {
            continue;
        }
        let is_lost = moment.what != What::Response;
        spans.push(Span {
            mm: ledger.id,
            id: fresh(),
            parent: Some(root(ledger.id)),
            name: "await MM4_forward.RES".into(),
            side: Side::Inside,
            begin,
            took: moment.at.since(begin),
            facts: vec![id("belino.peer", peer), text("belino.text", &moment.text)],
            marks: Vec::new(),
            trouble: is_lost.then(|| moment.what.sentence().to_owned()),
        });
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use mms::Party;
    use relay::{Recipient, RecipientKind};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn moment(seconds: i64, what: What, peer: &str, text: &str) -> Moment {
        let peer = Some(PeerName::new(peer)).filter(|p| !p.as_str().is_empty());
        Moment { at: at(seconds), what, peer, recipients: vec![], text: text.into() }
    }

    fn ledger(history: Vec<Moment>, state: RecipientState) -> Ledger {
        let origin = Origin::Received { peer: PeerName::new("a"), mail_from: None };
        let mut ledger = Ledger::new(MmId::new(1_700_000_000_000, 0, 77), origin, at(0), at(3600));
        let party: Party = "+12025550110".parse().unwrap();
        ledger.recipients = vec![Recipient::new(party, RecipientKind::To, state, at(0))];
        ledger.history = history;
        ledger
    }

    fn told(ledger: &Ledger, before: usize) -> Vec<Span> {
        let mut next = 0;
        of_whole(ledger, before, at(100), || {
            next += 1;
            next
        })
    }

    #[test]
    fn an_mm_is_one_span_with_its_history_and_its_waits() {
        let ledger = ledger(
            vec![
                moment(0, What::Received, "a", ""),
                moment(2, What::Forwarded, "b", "250 ok"),
                moment(5, What::Response, "b", "Ok"),
            ],
            RecipientState::Accepted,
        );
        let spans = told(&ledger, 0);
        assert_eq!(spans.len(), 2);
        let whole = &spans[0];
        assert_eq!(
            (whole.id, whole.parent, whole.begin, whole.took),
            (77, None, at(0), Duration::from_secs(5))
        );
        assert_eq!(
            whole.marks.iter().map(|m| m.name).collect::<Vec<_>>(),
            ["received", "forwarded", "response"]
        );
        assert!(whole.facts.contains(&id("belino.origin.peer", "a")) && whole.trouble.is_none(), "{whole:?}");
        let wait = &spans[1];
        assert_eq!((wait.parent, wait.begin, wait.took), (Some(77), at(2), Duration::from_secs(3)));
    }

    #[test]
    fn what_comes_after_it_was_told_is_a_span_of_its_own() {
        let mut ledger = ledger(vec![moment(0, What::Forwarded, "b", "")], RecipientState::Forwarded);
        assert_eq!(told(&ledger, 0).len(), 1);
        assert_eq!(told(&ledger, 1), []);
        ledger.history.push(moment(60, What::Unconfirmed, "b", ""));
        let spans = told(&ledger, 1);
        assert_eq!((spans[0].name.as_ref(), spans[0].parent), ("MM, later", Some(77)));
        assert_eq!((spans[0].begin, spans[0].marks.len()), (at(60), 1));
        // The wait began before, and ends only now.
        assert_eq!((spans[1].begin, spans[1].took), (at(0), Duration::from_secs(60)));
        assert!(spans[1].trouble.as_ref().unwrap().contains("no MM4_forward.RES came"));
        assert_eq!(told(&ledger, 2), []);
        // Of a long history the middle is gone; what was told counts it.
        ledger.history_cut = 10;
        assert_eq!(told(&ledger, 12), []);
        assert_eq!(told(&ledger, 11)[0].marks.len(), 1);
    }

    #[test]
    fn each_peers_response_ends_its_own_wait() {
        let ledger = ledger(
            vec![
                moment(0, What::Forwarded, "b", ""),
                moment(1, What::Forwarded, "c", ""),
                moment(3, What::Response, "c", ""),
                moment(9, What::NoResponse, "b", ""),
                moment(10, What::Forwarded, "b", ""),
                moment(11, What::Response, "b", ""),
            ],
            RecipientState::Accepted,
        );
        let waits: Vec<_> =
            told(&ledger, 0)[1..].iter().map(|s| (s.took.as_secs(), s.trouble.is_some())).collect();
        assert_eq!(waits, [(2, false), (9, true), (1, false)]);
    }

    #[test]
    fn no_number_is_in_a_span() {
        let words = format!("550 {}+12025550110 unknown", "x".repeat(TEXT_MAX - 11));
        let ledger = ledger(
            vec![
                moment(0, What::Failed, "b", "550 no such user +1 202 555 0110"),
                moment(1, What::Failed, "b", &words),
            ],
            RecipientState::Failed,
        );
        let spans = told(&ledger, 0);
        let all = format!("{spans:?}");
        assert!(!all.contains("0110") && !all.contains("2025550"), "{all}");
        assert!(spans[0].trouble.is_some());
    }

    #[test]
    fn an_mm_rests_when_nothing_is_on_its_way() {
        for (state, rest) in [
            (RecipientState::Queued, false),
            (RecipientState::Routing, false),
            (RecipientState::Stored, true),
            (RecipientState::Accepted, true),
            (RecipientState::Failed, true),
        ] {
            assert_eq!(rests(&ledger(vec![], state)), rest, "{state}");
        }
    }
}
