//! The relay's side of the admin socket.

use super::verbs::{change, find, known_peer, normalised, peers, refusal, route, submit};
use super::{Request, Response, deed};
use crate::content;
use crate::decode;
use crate::dock::listeners::{Listening, Token};
use crate::explain;
use crate::search::{self, Asked};
use crate::serve::{Parts, until_stop};
use crate::view;
use anyhow::{Context as _, anyhow, bail};
use mms::MmId;
use relay::store::{TagKind, Topic};
use relay::{Answer, Event, Handling, Input, Ledger, RecipientState};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};

/// A request line may have so many octets.
const LINE_MAX: u64 = 1 << 20;
/// A submitted body may have so many octets.
const BODY_MAX: usize = 64 << 20;

/// Bind the socket. A socket file that a crash left behind is replaced: the store's lock has shown that nobody else
/// runs over this folder.
///
/// # Errors
/// In words.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answer requests until the house stops.
pub async fn serve(parts: Arc<Parts>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            () = until_stop(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((socket, _)) = accepted {
            let parts = Arc::clone(&parts);
            tokio::spawn(async move {
                if let Err(error) = answer(&parts, socket).await {
                    tracing::debug!("admin connection: {error}");
                }
            });
        }
    }
}

/// Whether this user may command the relay: the one that it runs as, and root. The socket's mode says the same; this holds
/// also where somebody has changed the mode, or handed the socket on.
const fn may_command(user: u32, own: u32) -> bool {
    user == own || user == 0
}

async fn answer(parts: &Arc<Parts>, socket: UnixStream) -> anyhow::Result<()> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    (&mut reader).take(LINE_MAX).read_line(&mut line).await?;
    let (user, own) = (reader.get_ref().peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if !may_command(user, own) {
        tracing::warn!(user, "refused at the admin socket: neither the relay's user nor root");
        let why = format!("user {user} may not command this relay; run this as its user or as root");
        let mut line = serde_json::to_vec(&Response::Error(why))?;
        line.push(b'\n');
        reader.get_mut().write_all(&line).await?;
        return Ok(reader.get_mut().shutdown().await?);
    }
    let request = serde_json::from_str::<Request>(&line);
    let change = request.as_ref().ok().and_then(deed::of);
    let who = format!("admin socket, user {user}");
    let outcome = match request {
        Ok(Request::Send(send)) => {
            if send.octets > BODY_MAX {
                bail!("a body of {} octets; at most {BODY_MAX}", send.octets);
            }
            let mut body = vec![0; send.octets];
            reader.read_exact(&mut body).await?;
            submit(parts, "cli", &send, &body).await.map(|value| (value, Vec::new()))
        }
        Ok(Request::Listen { peer, token }) => match listener(parts, &peer, &token).await {
            Ok(listening) => return listen(reader.into_inner(), listening).await,
            Err(error) => Err(error),
        },
        Ok(Request::Backup { to }) => {
            if let Some(change) = change {
                deed::record(parts, who, change, "begun".into()).await;
            }
            return super::backup::answer(parts, reader.into_inner(), to.into()).await;
        }
        Ok(request) => perform(parts, request).await,
        Err(error) => Err(anyhow!("request not understood: {error}")),
    };
    if let Some(change) = change {
        let came = outcome.as_ref().map_or_else(|error| format!("{error:#}"), |_| "done".to_owned());
        deed::record(parts, who, change, came).await;
    }
    let (response, body) = match outcome {
        Ok((value, body)) => (Response::Ok { value, octets: body.len() }, body),
        Err(error) => (Response::Error(format!("{error:#}")), Vec::new()),
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    let socket = reader.get_mut();
    socket.write_all(&line).await?;
    socket.write_all(&body).await?;
    socket.shutdown().await?;
    Ok(())
}

async fn perform(parts: &Parts, request: Request) -> anyhow::Result<(Value, Vec<u8>)> {
    let plain = |value: Value| Ok((value, Vec::new()));
    match request {
        Request::Status => plain(status(parts).await?),
        Request::Overview => plain(super::overview::overview(parts).await?),
        Request::Queue { peer, all, max } => plain(queue(parts, peer.as_deref(), all, max)?),
        Request::Find { text, peer, state, since, until, before, max } => {
            let now = parts.clock.now();
            let time = |text: Option<String>| text.map(|t| search::instant(&t, now)).transpose();
            let asked = Asked {
                text,
                peer,
                state: state.as_deref().map(search::state).transpose().map_err(anyhow::Error::msg)?,
                from: time(since).map_err(anyhow::Error::msg)?,
                to: time(until).map_err(anyhow::Error::msg)?,
                before: before.map(|id| id.parse()).transpose().map_err(|e| anyhow!("before: {e}"))?,
                max: max.min(FOUND_MAX),
            };
            plain(found(parts, asked).await?)
        }
        Request::Trace { id } => {
            let found = find(parts, &id)?;
            let gates = parts.heart.look(relay::Shard::peers).await.unwrap_or_default();
            plain(found.iter().map(|mm| shown(parts, *mm, &gates)).collect())
        }
        Request::Mailbox { recipient, max } => plain(mailbox(parts, recipient.as_deref(), max).await?),
        Request::Retrieve { id, recipient, peek, report } => {
            retrieve(parts, &id, recipient.as_deref(), peek, report).await
        }
        Request::Handle { id, recipient, how, report } => {
            plain(handle(parts, &id, recipient.as_deref(), &how, report).await?)
        }
        Request::Route { address } => plain(route(parts, &address).await?),
        Request::Retry { id, why } => {
            let event = |_| Event::RetryNow { why: why.clone(), in_flight: Vec::new() };
            plain(change(parts, &id, event).await?)
        }
        Request::Drop { id, why } => plain(change(parts, &id, |_| Event::Drop { why: why.clone() }).await?),
        Request::Peers => plain(peers(parts).await?),
        Request::Reload => plain(reload(parts).await?),
        Request::Pause { peer } => {
            parts.heart.input(Input::Pause(known_peer(parts, &peer).await?));
            plain(peers(parts).await?)
        }
        Request::Resume { peer } => {
            parts.heart.input(Input::Resume(known_peer(parts, &peer).await?));
            plain(peers(parts).await?)
        }
        Request::Advance { millis } => {
            if !parts.clock.is_manual() {
                bail!("this relay goes by the system clock");
            }
            parts.clock.advance(Duration::from_millis(millis));
            parts.heart.tick();
            // Housekeeping goes by the same clock: what is past its time is gone when this is answered.
            let (store, now) = (parts.store.clone(), parts.clock.now());
            let kept = move || store.maintain(now, Duration::from_millis(50));
            tokio::task::spawn_blocking(kept).await??;
            plain(json!(parts.clock.now().to_string()))
        }
        Request::Send(_) | Request::Listen { .. } | Request::Backup { .. } => {
            bail!("not a question with one answer")
        }
    }
}

/// Which changes of the configuration wait for the next start.
async fn reload(parts: &Parts) -> anyhow::Result<Value> {
    let (wish, came) = oneshot::channel();
    let unheard = "this relay was not started from a configuration file";
    parts.wishes.send(wish).await.map_err(|_| anyhow!("{unheard}"))?;
    let came = came.await.context("the relay is stopping")?;
    came.map(|waiting| json!({ "at_next_start": waiting }))
        .map_err(|why| anyhow!("nothing was changed: {why}"))
}

async fn listener(parts: &Parts, peer: &str, token: &str) -> anyhow::Result<Listening> {
    let token = Token::parse(token).map_err(|why| anyhow!("{why}"))?;
    let peer = known_peer(parts, peer).await?;
    parts.dock.listeners.listen(peer, token).context("enough probes listen already; wait until one has ended")
}

/// Hand on what is heard, line by line, until the other side closes.
async fn listen(mut socket: UnixStream, mut listening: Listening) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(&Response::Ok { value: Value::Null, octets: 0 })?;
    let (mut reader, mut writer) = socket.split();
    let mut nothing = [0; 1];
    loop {
        line.push(b'\n');
        writer.write_all(&line).await?;
        let heard = tokio::select! {
            heard = listening.heard.recv() => heard,
            // Nothing more is said from there: what can be read is the end.
            _ = reader.read(&mut nothing) => return Ok(()),
        };
        let Some(heard) = heard else { return Ok(()) };
        line = serde_json::to_vec(&heard)?;
    }
}

/// Whether it runs, and how it is.
///
/// # Errors
/// The relay is stopping.
pub async fn status(parts: &Parts) -> anyhow::Result<Value> {
    let health = parts.store.health();
    let quiet = parts.heart.look(relay::Shard::is_quiet).await.context("the relay is stopping")?;
    let charging = charging(parts).await?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": parts.clock.now().to_string(),
        "failed": health.failed,
        "disk_free": health.disk_free,
        "content_live": health.content_live,
        "content_stored": health.content_stored,
        "ledger_log": health.log_size,
        "quiet": quiet,
        "alarms": crate::alarms::alarms(parts).await,
        "charging": charging,
    }))
}

/// Records that are counted as waiting at most.
const WAITING_MAX: usize = 10_000;

/// How the writing of charging records goes; nothing if none are wanted.
async fn charging(parts: &Parts) -> anyhow::Result<Value> {
    let state = parts.records.state();
    let Some(folder) = state.folder else { return Ok(Value::Null) };
    let (store, last) = (parts.store.clone(), state.last);
    let waiting =
        tokio::task::spawn_blocking(move || store.drain(Topic::Charging, last, WAITING_MAX)).await??;
    Ok(json!({
        "folder": folder.display().to_string(),
        "last_number": last,
        "waiting": waiting.len(),
        "trouble": state.trouble,
    }))
}

fn shown(parts: &Parts, mm: MmId, gates: &[relay::PeerState]) -> Value {
    match content::ledger(&*parts.store, mm) {
        Ok(Some(ledger)) => {
            let told = explain::what_happened(&ledger, gates, parts.clock.now());
            let mut value = view::ledger(&ledger);
            value["what_happened"] = json!(told.what);
            value["what_next"] = json!(told.next);
            value
        }
        Ok(None) => Value::Null,
        Err(error) => view::unreadable(mm, &error.to_string()),
    }
}

fn queue(parts: &Parts, peer: Option<&str>, all: bool, max: usize) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    let mut after = None;
    while rows.len() < max {
        let ids = parts.store.ledgers(after, true, 256)?;
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        for mm in ids {
            let row = match content::ledger(&*parts.store, mm) {
                Ok(Some(ledger)) => {
                    let waits = |p: &str| {
                        ledger.entries().any(|e| &*e.id.queue.0 == p)
                            || ledger
                                .transactions
                                .iter()
                                .any(|t| t.peer.as_str() == p && t.state != relay::TransactionState::Settled)
                    };
                    let wanted = peer.is_none_or(waits) && (all || !ledger.is_closed());
                    if !wanted {
                        continue;
                    }
                    view::ledger(&ledger)
                }
                Ok(None) => continue,
                Err(error) => view::unreadable(mm, &error.to_string()),
            };
            rows.push(row);
            if rows.len() == max {
                break;
            }
        }
    }
    rows.reverse();
    Ok(Value::Array(rows))
}

/// MMs that one search shows at most.
const FOUND_MAX: usize = 10_000;

/// What a search finds: the MMs as they are now, and where the next page begins.
async fn found(parts: &Parts, asked: Asked) -> anyhow::Result<Value> {
    let Some(search) = parts.search.clone() else {
        bail!("no index is kept for searches; to have one: [search] index = true, then start anew");
    };
    let store = parts.store.clone();
    let look = move || {
        let page = search.find(&asked)?;
        let mut rows = Vec::new();
        for mm in page.ids {
            match content::ledger(&*store, mm) {
                Ok(Some(ledger)) => rows.push(view::ledger(&ledger)),
                Ok(None) => {} // gone since it was put in
                Err(error) => rows.push(view::unreadable(mm, &error.to_string())),
            }
        }
        Ok(json!({
            "messages": rows,
            "next": page.next.map(|id| id.to_string()),
            "waiting": page.behind.waiting,
            "reading": page.behind.reading,
        }))
    };
    tokio::task::spawn_blocking(look).await?
}

fn wire_form(parts: &Parts, ledger: &Ledger) -> anyhow::Result<Vec<u8>> {
    content::wire_form(&*parts.store, ledger)?.context("its content is not kept any more")
}

async fn mailbox(parts: &Parts, recipient: Option<&str>, max: usize) -> anyhow::Result<Value> {
    let wanted = match recipient {
        Some(text) => Some(normalised(parts, text).await?.address.value()),
        None => None,
    };
    let mut rows = Vec::new();
    for (value, mm) in parts.store.tagged(TagKind::Mailbox, wanted.as_deref(), None, max)? {
        let Some(ledger) = content::ledger(&*parts.store, mm)? else { continue };
        let Some(place) = ledger.recipients.iter().find(|r| r.party.address.value() == value) else {
            continue;
        };
        let mut row = json!({ "recipient": value, "id": mm.to_string(), "state": place.state.word() });
        row["received"] = json!(ledger.accepted.to_string());
        row["expires"] = json!(ledger.expires.to_string());
        match wire_form(parts, &ledger) {
            Ok(octets) => merge(&mut row, decode::mail(&octets).for_recipient().json),
            Err(error) => row["trouble"] = json!(error.to_string()),
        }
        rows.push(row);
    }
    Ok(Value::Array(rows))
}

fn merge(row: &mut Value, more: Value) {
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
}

async fn retrieve(
    parts: &Parts,
    id: &str,
    recipient: Option<&str>,
    peek: bool,
    report: bool,
) -> anyhow::Result<(Value, Vec<u8>)> {
    let party = match recipient {
        Some(text) => Some(normalised(parts, text).await?),
        None => None,
    };
    let in_mailbox = |ledger: &Ledger| {
        ledger.recipients.iter().any(|r| {
            matches!(r.state, RecipientState::Stored | RecipientState::Retrieved)
                && party.as_ref().is_none_or(|p| p.address == r.party.address)
        })
    };
    for mm in find(parts, id)? {
        let Some(ledger) = content::ledger(&*parts.store, mm)?.filter(in_mailbox) else { continue };
        let octets = wire_form(parts, &ledger)?;
        let ledger = if peek {
            ledger
        } else {
            let how = Handling::Retrieve;
            let event = Event::Handled { recipient: party.clone(), how, report_allowed: report };
            match parts.heart.ask(mm, event).await {
                Some(Answer::Ledger(ledger)) => Ledger::clone(&ledger),
                other => bail!("{}", refusal(other)),
            }
        };
        return Ok((view::ledger(&ledger), octets));
    }
    bail!("MM {id:?} is in no mailbox{}", recipient.map_or(String::new(), |r| format!(" of {r}")));
}

async fn handle(
    parts: &Parts,
    id: &str,
    recipient: Option<&str>,
    how: &str,
    report: bool,
) -> anyhow::Result<Value> {
    let recipient = match recipient {
        Some(text) => Some(normalised(parts, text).await?),
        None => None,
    };
    let how = match how {
        "reject" => Handling::Reject,
        "defer" => Handling::Defer,
        "read" => Handling::Read,
        "delete" => Handling::Delete,
        other => bail!("{other:?}: reject, defer, read or delete"),
    };
    let event = |_| Event::Handled { recipient: recipient.clone(), how, report_allowed: report };
    change(parts, id, event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_user_and_root_command_a_relay() {
        assert!(may_command(1000, 1000) && may_command(0, 1000) && may_command(0, 0));
        assert!(!may_command(1001, 1000) && !may_command(1000, 0) && !may_command(u32::MAX, 1000));
    }
}
