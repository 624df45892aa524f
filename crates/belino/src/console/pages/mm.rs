//! One MM: what happened, its recipients, every moment of it, its header as words, its parts, and what may be done.

use super::super::{Desk, Fields, Visitor, redirect};
use super::parts::{Picture, picture};
use super::{Frame, Shown, bare, blocking, instant, page, shown, size, submitted_by};
use crate::admin::deed::{self, Deed};
use crate::admin::verbs;
use crate::content;
use crate::decode;
use crate::explain::{Told, repeated, several, time, times, what_happened};
use crate::search::Asked;
use crate::serve::Parts;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use mms::MmId;
use relay::{Event, Ledger, Origin, RecipientState, TransactionState};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Octets of a text part that are shown.
const TEXT_MAX: usize = 16 << 10;
/// Others under one Message-ID that are shown.
const NAMESAKES_MAX: usize = 50;
/// Octets of the mail on one raw page.
const RAW_MAX: usize = 64 << 10;

#[derive(Template)]
#[template(path = "console/mm.html")]
struct Mm {
    frame: Frame,
    id: String,
    told: Told,
    facts: Vec<(&'static str, String)>,
    recipients: Vec<Recipient>,
    moments: Vec<Moment>,
    cut: u32,
    owed: Vec<Owed>,
    namesakes: Vec<Namesake>,
    words: Vec<(String, String)>,
    tolerances: Vec<String>,
    violations: Vec<String>,
    parts: Vec<Part>,
    kept: bool,
    may_retry: bool,
    may_drop: bool,
}

struct Recipient {
    address: String,
    state: Shown,
    since: String,
    why: String,
    reports: String,
    envelope: String,
}

struct Moment {
    at: String,
    meaning: String,
    tone: &'static str,
    peer: String,
    recipients: String,
    words: String,
}

/// Another MM under the same `X-Mms-Message-ID`: a repeat, most likely.
struct Namesake {
    id: String,
    at: String,
    states: Vec<Shown>,
}

/// A transaction, response or report, and how it stands.
struct Owed {
    what: String,
    peer: String,
    id: String,
    state: String,
}

struct Part {
    n: usize,
    kind: String,
    name: String,
    size: String,
    digest: String,
    picture: Option<Picture>,
    text: String,
    is_text: bool,
    cut: bool,
}

/// What a page about an MM is made of.
struct Seen {
    ledger: Ledger,
    mail: Option<decode::Mail>,
    namesakes: Vec<Ledger>,
}

/// `whole`: with its content, which a page that is only brought up to date does not need.
async fn see(desk: &Desk, mm: MmId, whole: bool) -> Option<Seen> {
    let parts = desk.parts.clone();
    let seen = blocking(move || {
        let ledger = content::ledger(&*parts.store, mm).ok()??;
        let octets = if whole { content::wire_form(&*parts.store, &ledger).ok().flatten() } else { None };
        let namesakes = namesakes(&parts, &ledger);
        Some(Seen { ledger, mail: octets.map(|octets| decode::mail(&octets)), namesakes })
    });
    seen.await.ok().flatten()
}

/// Others under its Message-ID, newest first, as far as the index knows.
fn namesakes(parts: &Parts, ledger: &Ledger) -> Vec<Ledger> {
    let id = ledger.request.as_ref().and_then(|r| r.message_id.as_ref());
    let (Some(search), Some(id)) = (&parts.search, id) else { return Vec::new() };
    let asked = Asked { text: Some(id.as_str().to_owned()), max: NAMESAKES_MAX, ..Asked::default() };
    let found = search.find(&asked).unwrap_or_default().ids.into_iter().filter(|mm| *mm != ledger.id);
    let read = found.filter_map(|mm| content::ledger(&*parts.store, mm).ok().flatten());
    // Text that is no Message-ID of any may be the beginning of an address.
    read.filter(|other| other.request.as_ref().and_then(|r| r.message_id.as_ref()) == Some(id)).collect()
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response<Body> {
    let notice = match query.get("done").map(String::as_str) {
        Some("retry") => "Everything that waits of this MM is tried now.",
        Some("drop") => "This MM was given up.",
        Some("send") => "The test MM was taken and is on its way.",
        _ => "",
    };
    let frame = Frame::new(&desk, &visitor, "One MM", "/messages").await.noticing(notice);
    // What the script swaps has nothing of the content.
    let whole = !headers.contains_key("x-live");
    shown_mm(&desk, frame, &id, whole).await
}

async fn shown_mm(desk: &Desk, frame: Frame, id: &str, whole: bool) -> Response<Body> {
    let Ok(mm) = id.parse::<MmId>() else { return bare(StatusCode::NOT_FOUND, "No MM has this id.") };
    let Some(Seen { ledger, mail, namesakes }) = see(desk, mm, whole).await else {
        return bare(StatusCode::NOT_FOUND, "No MM of this id is known here, or its ledger cannot be read.");
    };
    let gates = desk.parts.heart.look(relay::Shard::peers).await.unwrap_or_default();
    let mut told = what_happened(&ledger, &gates, desk.parts.clock.now());
    let repeats = namesakes
        .iter()
        .filter(|l| l.recipients.iter().any(|r| r.state == RecipientState::Duplicate))
        .count();
    let is_repeat = ledger.recipients.iter().any(|r| r.state == RecipientState::Duplicate);
    if let (1.., false, Origin::Received { peer, .. }) = (repeats, is_repeat, &ledger.origin) {
        let (what, next) = repeated(peer, repeats);
        if !told.what.contains(&what) {
            told.what = format!("{what} {}", told.what);
        }
        if told.next.is_empty() {
            told.next = next;
        }
        told.trouble = true;
    }
    (told.what, told.next) = (frame.masked(&told.what), frame.masked(&told.next));
    let waits = |state: &RecipientState| {
        matches!(
            state,
            RecipientState::Routing
                | RecipientState::Queued
                | RecipientState::Forwarded
                | RecipientState::Stored
        )
    };
    let (may_retry, may_drop) =
        (ledger.entries().next().is_some(), ledger.recipients.iter().any(|r| waits(&r.state)));
    let json = mail.as_ref().map(|mail| &mail.json);
    let notes = |key: &str| -> Vec<String> {
        let list = json.and_then(|json| json[key].as_array()).into_iter().flatten();
        list.filter_map(Value::as_str).map(|note| frame.masked(note)).collect()
    };
    let parts = mail.as_ref().map(|mail| parts(&frame, mail)).unwrap_or_default();
    let page_of = Mm {
        id: ledger.id.to_string(),
        told,
        facts: facts(&frame, &ledger),
        recipients: recipients(&frame, &ledger),
        moments: moments(&frame, &ledger),
        cut: ledger.history_cut,
        owed: owed(&frame, &ledger),
        namesakes: namesakes.iter().map(namesake).collect(),
        words: json.map(|json| words(&frame, json)).unwrap_or_default(),
        tolerances: notes("tolerances"),
        violations: notes("violations"),
        parts,
        kept: mail.is_some(),
        may_retry,
        may_drop,
        frame,
    };
    page(StatusCode::OK, &page_of)
}

fn namesake(ledger: &Ledger) -> Namesake {
    let mut words: Vec<&str> = ledger.recipients.iter().map(|r| r.state.word()).collect();
    words.sort_unstable();
    words.dedup();
    let states = words.into_iter().map(shown).collect();
    Namesake { id: ledger.id.to_string(), at: time(ledger.accepted), states }
}

fn facts(frame: &Frame, ledger: &Ledger) -> Vec<(&'static str, String)> {
    let request = ledger.request.as_ref();
    let mut facts = Vec::new();
    match &ledger.origin {
        Origin::Submitted { by, .. } => facts.push(("Submitted by", submitted_by(by).to_owned())),
        Origin::Received { peer, mail_from } => {
            facts.push(("Received from", format!("peer {peer}")));
            let from = mail_from.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
            facts.push(("Envelope sender", frame.masked(&from)));
        }
    }
    let sender = request.and_then(|r| r.from.as_ref()).map(|p| p.address.value());
    facts.push(("Sender", frame.masked(&sender.unwrap_or_else(|| "not told".into()))));
    if let Some(subject) = request.and_then(|r| r.subject.as_ref()) {
        facts.push(("Subject", frame.masked(subject.as_str())));
    }
    if let Some(id) = request.and_then(|r| r.message_id.as_ref()) {
        facts.push(("X-Mms-Message-ID", id.as_str().to_owned()));
    }
    facts.push(("Accepted", time(ledger.accepted)));
    facts.push(("Valid until", time(ledger.expires)));
    facts.push(("Content", ledger.body.map_or_else(|| "not kept any more".to_owned(), |b| size(b.len))));
    facts.push(("Finished", (if ledger.is_closed() { "yes, nothing is owed" } else { "no" }).to_owned()));
    facts
}

fn recipients(frame: &Frame, ledger: &Ledger) -> Vec<Recipient> {
    let each = ledger.recipients.iter().map(|r| {
        let said = r.text.as_ref().map(|t| t.as_str()).filter(|t| !t.is_empty());
        let mut why: Vec<String> = Vec::new();
        why.extend(r.reason.map(|reason| reason.text().to_owned()));
        why.extend(r.status.map(|status| status.as_str().to_owned()));
        why.extend(said.map(|said| format!("\u{201c}{said}\u{201d}")));
        let mut reports: Vec<String> = Vec::new();
        reports.extend(r.mm_status.map(|s| format!("delivery: {}", s.as_str())));
        reports.extend(r.read_status.map(|s| format!("read-reply: {}", s.as_str())));
        Recipient {
            address: frame.masked(&r.party.address.value()),
            state: shown(r.state.word()),
            since: time(r.since),
            why: frame.masked(&why.join(", ")),
            reports: reports.join(", "),
            envelope: frame.masked(&r.path.as_ref().map(ToString::to_string).unwrap_or_default()),
        }
    });
    each.collect()
}

fn moments(frame: &Frame, ledger: &Ledger) -> Vec<Moment> {
    use relay::What;
    let each = ledger.history.iter().map(|moment| {
        let tone = match moment.what {
            What::Refused | What::Failed | What::Unanswered | What::Expired | What::Unnotified => "bad",
            What::Deferred | What::NoResponse | What::Unconfirmed | What::Repeated | What::Ignored => "warn",
            What::Stored | What::Forwarded | What::Retrieved | What::Answered | What::Notified => "good",
            What::Response if moment.text.split(':').next().is_some_and(|s| !s.ends_with("Ok")) => "bad",
            What::Response => "good",
            _ => "plain",
        };
        let names = moment.recipients.iter().filter_map(|i| ledger.recipients.get(usize::from(*i)));
        let names: Vec<String> = names.map(|r| frame.masked(&r.party.address.value())).collect();
        Moment {
            at: time(moment.at),
            meaning: match moment.what {
                What::Operator => "An operator stepped in".to_owned(),
                what => sentence(what.sentence()),
            },
            tone,
            peer: moment.peer.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipients: names.join(", "),
            words: frame.masked(&moment.text),
        }
    });
    each.collect()
}

/// With a capital, unless it begins with a name as it is written on the wire.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn owed(frame: &Frame, ledger: &Ledger) -> Vec<Owed> {
    let state = |state: TransactionState, due: Option<(mms::Timestamp, u32)>| match (state, due) {
        (TransactionState::Queued, Some((due, attempts))) => {
            format!(
                "in the queue, to be tried from {} on, {} made",
                time(due),
                several(attempts.into(), "attempt")
            )
        }
        (TransactionState::Queued, None) => "to be queued".to_owned(),
        (TransactionState::Awaiting(until), _) => {
            format!("taken; the response is awaited until {}", time(until))
        }
        (TransactionState::Settled, _) => "settled".to_owned(),
    };
    let requests = ledger.transactions.iter().map(|t| Owed {
        what: "MM4_forward.REQ".into(),
        peer: t.peer.to_string(),
        id: t.id.as_str().to_owned(),
        state: format!(
            "{}{}",
            state(t.state, t.entry),
            if t.resends > 0 { format!(", sent again {}", times(t.resends.into())) } else { String::new() }
        ),
    });
    let responses = ledger.responses.iter().map(|r| Owed {
        what: format!("{} {}", r.kind, r.status.as_str()),
        peer: r.peer.to_string(),
        id: r.transaction_id.as_ref().map_or_else(String::new, |id| frame.masked(id.as_str())),
        state: r.entry.map_or_else(
            || "done with; the timeline says whether it was taken".to_owned(),
            |(due, n)| format!("to be sent from {} on, {} made", time(due), several(n.into(), "attempt")),
        ),
    });
    let reports = ledger.reports.iter().map(|r| Owed {
        what: r.fate.message_type().to_string(),
        peer: r.peer.to_string(),
        id: r.id.as_str().to_owned(),
        state: state(r.state, r.entry),
    });
    requests.chain(responses).chain(reports).collect()
}

/// The header as words: what every mail has, then each MM4 field as it stands.
fn words(frame: &Frame, json: &Value) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    if let Some(date) = json["date"].as_str() {
        rows.push(("Date".to_owned(), instant(date)));
    }
    if let Some(subject) = json["subject"].as_str() {
        rows.push(("Subject".to_owned(), frame.masked(subject)));
    }
    if let Some(from) = json["originator"]["value"].as_str() {
        rows.push(("From".to_owned(), frame.masked(from)));
    }
    for (name, key) in [("To", "to"), ("Cc", "cc")] {
        for party in json["recipients"][key].as_array().into_iter().flatten() {
            rows.push((name.to_owned(), frame.masked(party["value"].as_str().unwrap_or_default())));
        }
    }
    for (name, value) in json["fields"].as_object().into_iter().flatten() {
        let text = |value: &Value| frame.masked(value.as_str().unwrap_or_default());
        match value {
            Value::Array(list) => rows.extend(list.iter().map(|v| (name.clone(), text(v)))),
            one => rows.push((name.clone(), text(one))),
        }
    }
    rows.truncate(200);
    rows
}

fn parts(frame: &Frame, mail: &decode::Mail) -> Vec<Part> {
    let rows = mail.json["parts"].as_array().into_iter().flatten();
    let each = mail.parts.iter().zip(rows).enumerate().take(100).map(|(i, (part, row))| {
        let kind = part.part.kind();
        let text = row["text"].as_str();
        let end = text
            .map_or(0, |t| (0..=TEXT_MAX.min(t.len())).rev().find(|i| t.is_char_boundary(*i)).unwrap_or(0));
        Part {
            n: i + 1,
            picture: picture(&kind, &part.octets),
            kind,
            name: frame.masked(row["name"].as_str().or(row["content_location"].as_str()).unwrap_or_default()),
            size: size(part.octets.len() as u64),
            digest: row["sha256"].as_str().unwrap_or_default().to_owned(),
            text: text.map(|t| frame.masked(&t[..end])).unwrap_or_default(),
            is_text: text.is_some(),
            cut: text.is_some_and(|t| t.len() > end),
        }
    });
    each.collect()
}

#[derive(Template)]
#[template(path = "console/raw.html")]
struct Raw {
    frame: Frame,
    id: String,
    text: String,
    from: usize,
    to: usize,
    all: usize,
    next: Option<usize>,
}

pub(in super::super) async fn raw(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let Ok(mm) = id.parse::<MmId>() else { return bare(StatusCode::NOT_FOUND, "No MM has this id.") };
    let parts = desk.parts.clone();
    let octets = blocking(move || {
        let ledger = content::ledger(&*parts.store, mm).ok()??;
        content::wire_form(&*parts.store, &ledger).ok()?
    });
    let Ok(Some(mut octets)) = octets.await else {
        return bare(
            StatusCode::NOT_FOUND,
            "No MM of this id is known here, or its content is not kept any more.",
        );
    };
    if desk.console().mask_numbers {
        // In a body a number may stand in base64, where it cannot be hidden.
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
        octets.truncate(end);
    }
    let from = query.get("from").and_then(|f| f.parse().ok()).unwrap_or(0).min(octets.len());
    let to = octets.len().min(from + RAW_MAX);
    let frame = Frame::new(&desk, &visitor, "Raw mail", "/messages").await;
    let visible = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    let text: String =
        String::from_utf8_lossy(&octets[from..to]).replace("\r\n", "\n").chars().map(visible).collect();
    let text = frame.masked(&text);
    let next = (to < octets.len()).then_some(to);
    page(StatusCode::OK, &Raw { frame, id, text, from, to, all: octets.len(), next })
}

pub(in super::super) async fn change(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path((id, change)): Path<(String, String)>,
) -> Response<Body> {
    let reason = fields.text("reason");
    let Ok(mm) = id.parse::<MmId>() else { return bare(StatusCode::NOT_FOUND, "No MM has this id.") };
    let what = match change.as_str() {
        "retry" => "retry",
        "drop" => "drop",
        _ => return bare(StatusCode::NOT_FOUND, "There is no such change of an MM."),
    };
    if reason.is_empty() {
        let frame = Frame::new(&desk, &visitor, "One MM", "/messages").await;
        return shown_mm(&desk, frame.failing("Write a reason: it is kept in the MM's history."), &id, true)
            .await;
    }
    let why = format!("{reason} ({}, at the console)", visitor.name);
    let event = |_| match what {
        "retry" => Event::RetryNow { why: why.clone(), in_flight: Vec::new() },
        _ => Event::Drop { why: why.clone() },
    };
    let outcome = verbs::change(&desk.parts, &mm.to_string(), event).await;
    let came = outcome.as_ref().map_or_else(|error| format!("{error:#}"), |_| "done".to_owned());
    let deed = Deed::new(what, mm.to_string()).because(reason);
    deed::record(&desk.parts, format!("console {}", visitor.name), deed, came).await;
    match outcome {
        Ok(_) => redirect(&format!("/messages/{mm}?done={what}")),
        Err(error) => {
            let frame = Frame::new(&desk, &visitor, "One MM", "/messages").await;
            shown_mm(&desk, frame.failing(&format!("{error:#}")), &id, true).await
        }
    }
}
