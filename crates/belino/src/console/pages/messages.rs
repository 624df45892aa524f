//! Lists of MMs: newest first, narrowed by what is looked for, page by page.

use super::super::{Desk, Visitor};
use super::{Frame, Shown, bare, blocking, page, shown, size, submitted_by};
use crate::content;
use crate::explain::time;
use crate::search::{self, Asked as Question};
use crate::serve::Parts;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use mms::{MmId, Timestamp};
use relay::{Ledger, Origin};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// MMs on one page.
const PAGE: usize = 50;

/// One MM in the list.
pub(super) struct Row {
    id: String,
    at: String,
    from: String,
    to: String,
    states: Vec<Shown>,
    way: String,
    subject: String,
    size: String,
}

/// One MM in a line.
fn row(frame: &Frame, ledger: &Ledger) -> Row {
    let request = ledger.request.as_ref();
    let from = request.and_then(|r| r.from.as_ref()).map(|p| p.address.value());
    let mut to: Vec<String> = ledger.recipients.iter().take(2).map(|r| r.party.address.value()).collect();
    if ledger.recipients.len() > 2 {
        to.push(format!("and {} more", ledger.recipients.len() - 2));
    }
    let mut count: BTreeMap<&'static str, usize> = BTreeMap::new();
    ledger.recipients.iter().for_each(|r| *count.entry(r.state.word()).or_default() += 1);
    let states = count.into_iter().map(|(word, n)| {
        let mut shown = shown(word);
        if n > 1 {
            shown.word = format!("{word} \u{d7} {n}");
        }
        shown
    });
    let to_peers: Vec<&str> = ledger.transactions.iter().map(|t| t.peer.as_str()).collect();
    let mut to_peers = to_peers;
    to_peers.sort_unstable();
    to_peers.dedup();
    let source = match &ledger.origin {
        Origin::Submitted { by, .. } => submitted_by(by).to_owned(),
        Origin::Received { peer, .. } => format!("peer {peer}"),
    };
    let way = if to_peers.is_empty() { source } else { format!("{source} \u{2192} {}", to_peers.join(", ")) };
    Row {
        id: ledger.id.to_string(),
        at: time(ledger.accepted),
        from: frame.masked(&from.unwrap_or_else(|| "\u{2013}".into())),
        to: frame.masked(&to.join(", ")),
        states: states.collect(),
        way,
        subject: frame.masked(request.and_then(|r| r.subject.as_ref()).map_or("", |s| s.as_str())),
        size: ledger.body.map_or_else(|| "not kept".to_owned(), |b| size(b.len)),
    }
}

#[derive(Template)]
#[template(path = "console/messages.html")]
struct Messages {
    frame: Frame,
    rows: Vec<Row>,
    asked: Asked,
    peers: Vec<String>,
    /// Whether this is not the first page; where that is, and the next.
    deep: bool,
    newest: String,
    next: Option<String>,
    note: String,
}

/// What was looked for, as it was written.
#[derive(Clone, Default)]
struct Asked {
    text: String,
    state: String,
    peer: String,
    from: String,
    to: String,
}

impl Asked {
    fn of(query: &HashMap<String, String>) -> Self {
        let text = |name: &str| query.get(name).map(|v| v.trim().to_owned()).unwrap_or_default();
        Self {
            text: text("text"),
            state: text("state"),
            peer: text("peer"),
            from: text("from"),
            to: text("to"),
        }
    }

    fn states(&self) -> &'static [(&'static str, &'static str)] {
        &[("open", "open"), ("done", "done"), ("failed", "failed")]
    }

    /// Whether anything is looked for.
    fn is_any(&self) -> bool {
        [&self.text, &self.state, &self.peer, &self.from, &self.to].iter().any(|field| !field.is_empty())
    }

    /// The same question, from another place on, or from the newest.
    fn link(&self, before: Option<MmId>) -> String {
        let before = before.map(|mm| mm.to_string()).unwrap_or_default();
        let fields = [
            ("before", &before),
            ("text", &self.text),
            ("state", &self.state),
            ("peer", &self.peer),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let told = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = told.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        if query.is_empty() { "/messages".to_owned() } else { format!("/messages?{}", query.join("&")) }
    }
}

/// A value in a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        if octet.is_ascii_alphanumeric() || b"-_.".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
        out
    })
}

/// What a page of the list holds.
struct Found {
    ledgers: Vec<Ledger>,
    next: Option<MmId>,
    note: String,
}

pub(in super::super) async fn list(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Query(query): Query<HashMap<String, String>>,
) -> Response<Body> {
    let mut frame = Frame::new(&desk, &visitor, "Messages", "/messages").await;
    let asked = Asked::of(&query);
    // An id leads straight to its MM.
    if let Ok(mm) = asked.text.parse::<MmId>() {
        return super::super::redirect(&format!("/messages/{mm}"));
    }
    let before: Option<MmId> = query.get("before").and_then(|b| b.parse().ok());
    let (parts, question) = (desk.parts.clone(), asked.clone());
    let found = match blocking(move || look(&parts, &question, before)).await {
        Ok(Ok(found)) => found,
        Ok(Err(why)) => {
            frame = frame.failing(&format!("{why:#}"));
            Found { ledgers: Vec::new(), next: None, note: String::new() }
        }
        Err(_) => return bare(StatusCode::INTERNAL_SERVER_ERROR, "The list cannot be read."),
    };
    let rows = found.ledgers.iter().map(|ledger| row(&frame, ledger)).collect();
    let next = found.next.map(|mm| asked.link(Some(mm)));
    let (deep, newest) = (before.is_some(), asked.link(None));
    let peers = desk.parts.dock.config().house.peers.iter().map(|p| p.name.to_string()).collect();
    page(StatusCode::OK, &Messages { frame, rows, asked, peers, deep, newest, next, note: found.note })
}

/// MMs that are looked at for one page where no index is kept; the next page goes on where this one ended.
const LOOKED_AT_MAX: usize = 5000;

/// The question in the words of the search.
fn question(asked: &Asked, before: Option<MmId>, now: Timestamp) -> Result<Question, String> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let time = |text: &str| some(text).map(|text| search::instant(&text, now)).transpose();
    Ok(Question {
        text: some(&asked.text),
        peer: some(&asked.peer),
        state: some(&asked.state).map(|word| search::state(&word)).transpose()?,
        from: time(&asked.from)?,
        to: time(&asked.to)?,
        before,
        max: PAGE,
    })
}

fn look(parts: &Parts, asked: &Asked, before: Option<MmId>) -> anyhow::Result<Found> {
    let question = question(asked, before, parts.clock.now()).map_err(anyhow::Error::msg)?;
    let everything = Question { before, max: PAGE, ..Question::default() };
    let search = match &parts.search {
        // The newest are in the store sooner than in the index.
        Some(search) if question != everything => search,
        _ => return scan(parts, &question),
    };
    let found = search.find(&question)?;
    let mut ledgers = Vec::new();
    for mm in found.ids {
        if let Ok(Some(ledger)) = content::ledger(&*parts.store, mm) {
            ledgers.push(ledger);
        }
    }
    let note = match found.behind.reading {
        Some(read) => format!(
            "The index is still reading what was here before the start: {read} MMs so far. Older ones may be missing."
        ),
        None => String::new(),
    };
    Ok(Found { ledgers, next: found.next, note })
}

/// Without an index: MM after MM.
fn scan(parts: &Parts, asked: &Question) -> anyhow::Result<Found> {
    let (mut after, mut ledgers, mut looked_at) = (asked.before, Vec::new(), 0);
    while looked_at < LOOKED_AT_MAX {
        let ids = parts.store.ledgers(after, true, 256)?;
        if ids.is_empty() {
            return Ok(Found { ledgers, next: None, note: String::new() });
        }
        for mm in ids {
            after = Some(mm);
            looked_at += 1;
            let Ok(Some(ledger)) = content::ledger(&*parts.store, mm) else { continue };
            if !fits(&ledger, asked) {
                continue;
            }
            ledgers.push(ledger);
            if ledgers.len() == PAGE {
                return Ok(Found { ledgers, next: after, note: String::new() });
            }
        }
    }
    let note = format!(
        "{looked_at} MMs were looked at so far; the next page goes on from there. With [search] index = true all are found at once."
    );
    Ok(Found { ledgers, next: after, note })
}

fn fits(ledger: &Ledger, asked: &Question) -> bool {
    let request = ledger.request.as_ref();
    let by_text = asked.text.as_ref().is_none_or(|text| {
        let begins = |address: &mms::Address| address.value().starts_with(text.as_str());
        ledger.recipients.iter().any(|r| begins(&r.party.address))
            || request.is_some_and(|r| {
                r.from.as_ref().is_some_and(|p| begins(&p.address))
                    || r.message_id.as_ref().is_some_and(|id| id.as_str() == text)
            })
    });
    let by_peer = asked.peer.as_ref().is_none_or(|name| {
        matches!(&ledger.origin, Origin::Received { peer, .. } if peer.as_str() == name)
            || ledger.transactions.iter().any(|t| t.peer.as_str() == name)
    });
    let by_time = asked.from.is_none_or(|from| ledger.accepted >= from)
        && asked.to.is_none_or(|to| ledger.accepted < to);
    by_text && by_peer && by_time && asked.state.is_none_or(|state| search::state_of(ledger) == state)
}
