//! What happened to an MM, in one or two plain sentences, and what to do next: for people who look at it at night.
//!
//! Owns: the words. Never knows: stores, pages. Everything follows from the ledger, the gates of peers, and the time.
//!
//! The other side's words are quoted as they were said; whoever shows the sentences escapes them.

use mms::{Timestamp, Visibility};
use relay::{
    Gate, Ledger, Moment, Origin, PeerName, PeerState, Reason, RecipientState, TransactionState, What,
};
use std::collections::BTreeMap;

/// What happened, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// One or two sentences: the cause.
    pub what: String,
    /// What to do next; empty when nothing needs doing.
    pub next: String,
    /// Whether somebody should look.
    pub trouble: bool,
}

/// One cause, for some recipients.
struct Cause {
    /// The lower, the sooner it is told.
    rank: u8,
    what: String,
    next: String,
}

fn cause(rank: u8, what: impl Into<String>, next: impl Into<String>) -> Cause {
    Cause { rank, what: what.into(), next: next.into() }
}

/// Ranks from here on are no trouble.
const QUIET: u8 = 50;

/// Tell what happened to an MM. `peers` is how the gates stand now; without them the words are less certain.
pub fn what_happened(ledger: &Ledger, peers: &[PeerState], now: Timestamp) -> Told {
    let mut groups: BTreeMap<(u8, String), (usize, String)> = BTreeMap::new();
    for place in 0..ledger.recipients.len() {
        let cause = of_recipient(ledger, peers, now, place);
        let entry = groups.entry((cause.rank, cause.what)).or_insert((0, cause.next));
        entry.0 += 1;
    }
    for cause in of_whole(ledger) {
        groups.entry((cause.rank, cause.what)).or_insert((ledger.recipients.len(), cause.next));
    }
    let all = ledger.recipients.len();
    let mut told = Told { what: String::new(), next: String::new(), trouble: false };
    for ((rank, what), (count, next)) in groups.into_iter().take(2) {
        if !told.what.is_empty() {
            told.what.push(' ');
        }
        if count < all && all > 1 {
            told.what.push_str(&format!("{count} of {all} recipients: "));
        }
        told.what.push_str(&what);
        told.trouble |= rank < QUIET;
        if told.next.is_empty() {
            told.next = next;
        }
    }
    if told.what.is_empty() {
        told.what = "This is no MM but a mail that only needed an answer.".into();
        if let Some(last) = ledger.history.last() {
            told.what.push_str(&format!(" Last: {}{}.", last.what.sentence(), quoted(&last.text)));
        }
    }
    if ledger.request.as_ref().is_some_and(|r| r.sender_visibility == Some(Visibility::Hide)) {
        told.what.push_str(
            " The sender asked to be hidden: the recipient sees no number, by the sender's wish and not by a fault.",
        );
    }
    told
}

/// What concerns the MM as a whole.
fn of_whole(ledger: &Ledger) -> Vec<Cause> {
    let mut causes = Vec::new();
    let repeats = ledger.history.iter().filter(|m| m.what == What::Repeated).count();
    if let (1.., Origin::Received { peer, .. }) = (repeats, &ledger.origin) {
        let (what, next) = repeated(peer, repeats);
        causes.push(cause(20, what, next));
    }
    let unanswered = ledger.history.iter().rev().find(|m| m.what == What::Unanswered);
    if let Some(moment) = unanswered {
        causes.push(cause(
            15,
            format!(
                "Our answer could not be brought to peer {}{}.",
                name(moment.peer.as_ref()),
                quoted(&moment.text)
            ),
            "The peer will repeat its MM and wait; see the peer's page for whether it can be reached.",
        ));
    }
    causes
}

/// A peer sent an MM so many times more: what that means, and what to do.
pub fn repeated(peer: &PeerName, times: usize) -> (String, String) {
    let more = if times == 1 { "once more".to_owned() } else { format!("{times} times more") };
    let what = format!(
        "Peer {peer} sent this MM {more}; it was delivered once, and each repeat was answered as the first."
    );
    let next = format!(
        "{peer} does not get, or does not read, our MM4_forward.RES: see below whether it was taken, and ask {peer} what it \
         logs about it."
    );
    (what, next)
}

fn name(peer: Option<&PeerName>) -> &str {
    peer.map_or("unknown", PeerName::as_str)
}

/// An instant to the second.
pub fn time(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = at.civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `1 attempt failed`, `3 attempts failed`.
pub fn failed_times(failures: u32) -> String {
    format!("{} failed", several(failures.into(), "attempt"))
}

/// A count of things whose plural ends in `s`: `1 attempt`, `0 attempts`.
pub fn several(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// How often: `once`, `3 times`.
pub fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// `: "words"`, or nothing.
fn quoted(words: &str) -> String {
    let words = words.trim();
    if words.is_empty() { String::new() } else { format!(": \u{201c}{words}\u{201d}") }
}

/// The last moment of these kinds that is about a recipient.
fn last<'a>(ledger: &'a Ledger, place: usize, kinds: &[What]) -> Option<&'a Moment> {
    let about =
        |m: &&Moment| m.recipients.is_empty() || m.recipients.iter().any(|i| usize::from(*i) == place);
    ledger.history.iter().rev().filter(|m| kinds.contains(&m.what)).find(about)
}

fn of_recipient(ledger: &Ledger, peers: &[PeerState], now: Timestamp, place: usize) -> Cause {
    let recipient = &ledger.recipients[place];
    let transaction =
        ledger.transactions.iter().rev().find(|t| t.recipients.iter().any(|i| usize::from(*i) == place));
    let peer = transaction.map(|t| &t.peer);
    let to = name(peer);
    match recipient.state {
        RecipientState::Failed | RecipientState::Refused | RecipientState::Expired => {
            failed(ledger, peers, place, peer)
        }
        RecipientState::Unconfirmed => {
            let times = times(u64::from(transaction.map_or(0, |t| t.resends)) + 1);
            cause(
                12,
                format!(
                    "Peer {to} took the MM with 250 ({times}), but its MM4_forward.RES never came; whether it was delivered \
                     is not known."
                ),
                format!(
                    "Ask {to} for its log of the X-Mms-Transaction-ID below, and where it sends its responses: a peer that \
                     never answers can be told so by its profile (expects_response = false)."
                ),
            )
        }
        RecipientState::Queued => waits(ledger, peers, now, place, peer),
        RecipientState::Forwarded => match transaction.map(|t| (t.state, t.resends)) {
            Some((TransactionState::Awaiting(until), resends)) if resends > 0 => cause(
                30,
                format!(
                    "Peer {to} took the MM with 250 but has not answered; it was sent {} times, and its MM4_forward.RES is \
                     awaited until {}.",
                    resends + 1,
                    time(until)
                ),
                format!(
                    "Ask {to} whether it sends responses to our system address; nothing else needs doing now."
                ),
            ),
            Some((TransactionState::Awaiting(until), _)) => cause(
                QUIET + 5,
                format!(
                    "Peer {to} took the MM with 250; its MM4_forward.RES is awaited until {}.",
                    time(until)
                ),
                "",
            ),
            _ => cause(
                QUIET + 6,
                format!("Peer {to} took the MM with 250; no response is expected of it."),
                "",
            ),
        },
        RecipientState::Routing => {
            let said = last(ledger, place, &[What::Routed, What::Deferred]).map_or("", |m| m.text.as_str());
            let attempts = ledger.lookup.map_or(0, |(_, attempts)| attempts);
            let rank = if attempts > 0 { 35 } else { QUIET + 4 };
            cause(
                rank,
                format!(
                    "It waits for a look-up of where the recipient is served; {}{}.",
                    if attempts == 0 {
                        "it is made now".to_owned()
                    } else {
                        format!("it was tried {}", times(attempts.into()))
                    },
                    quoted(said)
                ),
                if attempts > 0 {
                    "Try the address on the page of routes: it tells each step and what the servers say."
                } else {
                    ""
                },
            )
        }
        RecipientState::Accepted => match recipient.mm_status {
            Some(status) => cause(QUIET + 10, format!("Peer {to} accepted it, and reported: {status}."), ""),
            None => cause(QUIET + 10, format!("Peer {to} accepted it (MM4_forward.RES: Ok)."), ""),
        },
        RecipientState::Stored => {
            cause(QUIET + 11, format!("It lies in the mailbox until {}.", time(ledger.expires)), "")
        }
        RecipientState::Retrieved => cause(QUIET + 12, "Its recipient has fetched it.", ""),
        RecipientState::Rejected => cause(QUIET + 1, "Its recipient did not want it.", ""),
        RecipientState::Deleted => cause(QUIET + 2, "Its recipient deleted it.", ""),
        RecipientState::Duplicate => {
            let first = last(ledger, place, &[What::Repeated]).map_or("", |m| m.text.as_str());
            let from = match &ledger.origin {
                Origin::Received { peer, .. } => peer.as_str(),
                Origin::Submitted { by, .. } => by,
            };
            cause(
                25,
                format!(
                    "This is a repeat by {from} of an MM that came before{}: it was answered again and not delivered again.",
                    quoted(first)
                ),
                format!(
                    "{from} repeats because it has no response: look at the first MM and at the page of peer {from}."
                ),
            )
        }
    }
}

/// It waits for its peer: why?
fn waits(
    ledger: &Ledger,
    peers: &[PeerState],
    now: Timestamp,
    place: usize,
    peer: Option<&PeerName>,
) -> Cause {
    let to = name(peer);
    let state = peers.iter().find(|p| Some(&p.peer) == peer);
    if state.is_some_and(|s| s.paused) {
        return cause(
            10,
            format!("Peer {to} is paused by an operator; the MM waits."),
            format!("Resume {to} on its page."),
        );
    }
    if let Some(Gate::Shut { until, failures, why }) = state.map(|s| &s.gate) {
        let next = trouble_with(why, to).unwrap_or_else(|| {
            format!("Look at {to}'s host and the way there; Resume on its page tries it at once. Nothing is lost until the queue time ends.")
        });
        let waits = if *until > now {
            format!("the next attempt is due at {}", time(*until))
        } else {
            "it is tried now".into()
        };
        return cause(
            10,
            format!("Peer {to} cannot be reached, {}{}; {waits}.", failed_times(*failures), quoted(why)),
            next,
        );
    }
    match last(ledger, place, &[What::Deferred]) {
        Some(moment) => {
            let next = trouble_with(&moment.text, to)
                .unwrap_or_else(|| "It is tried again by itself; Retry now does so at once.".to_owned());
            cause(
                30,
                format!("Peer {to} said \u{201c}later\u{201d}{}; it is tried again.", quoted(&moment.text)),
                next,
            )
        }
        None => cause(QUIET + 3, format!("It is in the queue for peer {to}."), ""),
    }
}

/// It failed: why?
fn failed(ledger: &Ledger, peers: &[PeerState], place: usize, peer: Option<&PeerName>) -> Cause {
    let recipient = &ledger.recipients[place];
    let said = recipient.text.as_ref().map(|t| t.as_str()).unwrap_or_default();
    let told = last(ledger, place, &[What::Failed, What::Expired, What::Refused, What::Operator]);
    let words = if said.is_empty() { told.map_or("", |m| m.text.as_str()) } else { said };
    let from = match &ledger.origin {
        Origin::Received { peer, .. } => format!("peer {peer}"),
        Origin::Submitted { .. } => "the submitter".to_owned(),
    };
    let to = name(peer);
    let Some(reason) = recipient.reason else {
        return cause(5, format!("It failed{}.", quoted(words)), "See the history below.");
    };
    match reason {
        Reason::PeerRefused => cause(
            2,
            format!("Peer {to} refused the recipient over SMTP{}.", quoted(words)),
            trouble_with(words, to).unwrap_or_else(|| {
                format!(
                    "Ask {to} with these words and the time. If it began after a change on its side, other recipients fail \
                     alike: see its last refusals. When it is mended the sender has to send again."
                )
            }),
        ),
        Reason::ResponseError => {
            let status = recipient.status.map_or("an error", mms::RequestStatus::as_str);
            cause(
                2,
                format!("Peer {to} took the mail and then refused it in its MM4_forward.RES with {status}{}.", quoted(said)),
                trouble_with(words, to).unwrap_or_else(|| {
                    format!("Ask {to} with its words and the X-Mms-Transaction-ID below.")
                }),
            )
        }
        Reason::GaveUp => {
            // That no connection can be had counts against the peer, and stands at its gate.
            let gate = peers.iter().find(|p| Some(&p.peer) == peer).map(|p| &p.gate);
            let last = match (last(ledger, place, &[What::Deferred]), gate) {
                (Some(moment), _) => moment.text.as_str(),
                (None, Some(Gate::Shut { why, .. })) => why,
                (None, _) => words,
            };
            cause(
                3,
                format!("It could not be brought to peer {to} in the time that we try; the last trouble{}.", quoted(last)),
                trouble_with(last, to).unwrap_or_else(|| {
                    format!("See whether {to} can be reached now; the sender has to send again.")
                }),
            )
        }
        Reason::Expired => cause(
            8,
            format!("Its validity ended before it was delivered ({}){}.", ledger.expires, quoted(told.map_or("", |m| m.text.as_str()))),
            "If it waited for a peer, see that peer's page; a sender may ask for a longer validity.",
        ),
        Reason::TooLarge => cause(
            4,
            format!("It is over the size limit{}; the answer says so.", quoted(words)),
            format!(
                "Tell {from} the limit, or raise [limits] content_size_max and message_size_max if it was agreed to be larger."
            ),
        ),
        Reason::Loop | Reason::ForwardLimit => cause(
            1,
            format!("It went round and was stopped: {}{}.", reason.text(), quoted(words)),
            "Two tables point at each other: try the number on the page of routes here, and ask the next peer for its route of \
             the same number. Common after number portability.",
        ),
        Reason::NoRoute | Reason::NotServed | Reason::NotAnAddress | Reason::NoTransit => cause(
            4,
            format!("No table knows where this recipient is served: {}{}.", reason.text(), quoted(words)),
            format!(
                "Try the address on the page of routes: it tells each step. Either a prefix is missing or wrong in our \
                 configuration, or {from} routes a number to us that is not ours."
            ),
        ),
        Reason::Full => cause(
            1,
            format!("There was no room on the disk{}.", quoted(words)),
            "Make room in the data folder's file system; new MMs are taken again by themselves.",
        ),
        Reason::Dropped => cause(9, format!("An operator dropped it{}.", quoted(words)), ""),
        Reason::Bounced => cause(
            3,
            format!("A mail system behind the peer returned it{}.", quoted(words)),
            format!("There is ordinary mail software on the way to {to}: ask {to} where its MM4 address leads."),
        ),
        Reason::LookupFailed => cause(
            3,
            format!("Nobody could say in time where the recipient is served{}.", quoted(words)),
            "Try the address on the page of routes: it tells what the look-up servers say.",
        ),
        Reason::FormatCorrupt | Reason::Unsupported | Reason::TooComplex | Reason::Empty | Reason::NotMm4 => cause(
            4,
            format!("What {from} sent cannot be used: {}{}.", reason.text(), quoted(words)),
            "See headers and violations below; they name the field, what was found and the clause. Send them to the peer.",
        ),
        other => cause(5, format!("It failed: {}{}.", other.text(), quoted(words)), "See the history below."),
    }
}

/// What to do about trouble that can be told by its words, whoever said them; `None` when they say nothing to us.
pub fn trouble_with(words: &str, peer: &str) -> Option<String> {
    let low = words.to_ascii_lowercase();
    let has = |any: &[&str]| any.iter().any(|w| low.contains(w));
    Some(if has(&["our certificate has expired"]) {
        "Renew our certificate ([mm4] certificate and key); the files are read again by themselves.".into()
    } else if has(&["certificate has expired", "certificate expired"]) {
        format!(
            "{peer} has to renew its certificate. Until then nothing goes to it under TLS; do not weaken tls for it without \
             its word. MMs wait until the queue time ends."
        )
    } else if has(&["not signed by an authority", "certificate is not for", "fingerprint", "no certificate"])
    {
        format!(
            "{peer} shows another certificate than agreed: ask whether it was renewed, then change tls_fingerprints, tls_ca or tls_name."
        )
    } else if has(&["without cr", "bare lf", "bare line feed", "without lf"]) {
        format!(
            "{peer}'s software writes line ends that SMTP forbids (bare LF): it must send CRLF. Its mails are refused until then, as they could be smuggled."
        )
    } else if has(&[
        "4.3.1",
        "452 ",
        "insufficient system storage",
        "storage is full",
        "disk full",
        "no space",
    ]) {
        format!("{peer}'s disk is full, by its own words: tell it. The MM waits and is tried again.")
    } else if has(&["5.3.4", "552 ", "too large", "exceeds", "message size", "size limit"]) {
        format!(
            "It is larger than {peer} takes: ask {peer} for its limit, and agree on one; the sender has to send a smaller one."
        )
    } else if has(&["5.1.1", "5.1.2", "user unknown", "no such user", "does not exist", "unresolved"]) {
        format!(
            "{peer} does not know the recipient. If the number was ported away, the route is old: see the page of routes. If \
             several known recipients fail since an upgrade at {peer}, it may want another form of address (bare_addresses, \
             in its profile)."
        )
    } else if has(&["5.7.1", "relay access denied", "relaying denied", "not permitted", "service-denied"]) {
        format!(
            "{peer} does not accept us for this recipient: ask whether our address and domain are still in its tables, above all after an upgrade."
        )
    } else if has(&["loop", "too many hops"]) {
        "Two tables point at each other: compare the route of this number here and there.".into()
    } else if has(&["no mm4_forward.res came", "no response in time"]) {
        format!(
            "{peer} took the MM and did not answer: ask where it sends its responses. If it never answers, its profile can say so (expects_response = false)."
        )
    } else if has(&["connection refused"]) {
        format!("Nothing listens at {peer}'s host and port: its service is down, or the port has changed.")
    } else if has(&["timed out", "no answer", "timeout"]) {
        format!("{peer} does not answer in time: a firewall on the way, or it is overloaded.")
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests;
