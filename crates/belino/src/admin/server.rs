//! The relay's side of the admin socket.

use super::{Request, Response, Send};
use crate::config::Config;
use crate::content;
use crate::decode;
use crate::dock::listeners::{Listening, Token};
use crate::resolver::Resolver;
use crate::search::{self, Asked};
use crate::serve::{Parts, until_stop};
use crate::view;
use anyhow::{Context as _, anyhow, bail};
use mms::{
    Expiry, ForwardReq, HeaderText, MessageClass, MmId, Party, PreviouslySent, Priority, Timestamp,
    Visibility,
};
use relay::house::Dock;
use relay::store::{QueueId, TagKind, Topic};
use relay::{Answer, Event, Handling, Input, Ledger, PeerName, RecipientState, Route, Submission};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

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

async fn answer(parts: &Parts, socket: UnixStream) -> anyhow::Result<()> {
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
    let outcome = match serde_json::from_str::<Request>(&line) {
        Ok(Request::Send(send)) => {
            if send.octets > BODY_MAX {
                bail!("a body of {} octets; at most {BODY_MAX}", send.octets);
            }
            let mut body = vec![0; send.octets];
            reader.read_exact(&mut body).await?;
            submit(parts, &send, &body).await.map(|value| (value, Vec::new()))
        }
        Ok(Request::Listen { peer, token }) => match listener(parts, &peer, &token).await {
            Ok(listening) => return listen(reader.into_inner(), listening).await,
            Err(error) => Err(error),
        },
        Ok(Request::Backup { to }) => {
            return super::backup::answer(parts, reader.into_inner(), to.into()).await;
        }
        Ok(request) => perform(parts, request).await,
        Err(error) => Err(anyhow!("request not understood: {error}")),
    };
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
            plain(found.iter().map(|mm| shown(parts, *mm)).collect())
        }
        Request::Mailbox { recipient, max } => plain(mailbox(parts, recipient.as_deref(), max).await?),
        Request::Retrieve { id, recipient, peek, report } => {
            retrieve(parts, &id, recipient.as_deref(), peek, report).await
        }
        Request::Handle { id, recipient, how, report } => {
            plain(handle(parts, &id, recipient.as_deref(), &how, report).await?)
        }
        Request::Route { address } => plain(route(parts, &address).await?),
        Request::Retry { id } => {
            plain(change(parts, &id, |_| Event::RetryNow { in_flight: Vec::new() }).await?)
        }
        Request::Drop { id, why } => plain(change(parts, &id, |_| Event::Drop { why: why.clone() }).await?),
        Request::Peers => plain(peers(parts).await?),
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

async fn status(parts: &Parts) -> anyhow::Result<Value> {
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

fn shown(parts: &Parts, mm: MmId) -> Value {
    match content::ledger(&*parts.store, mm) {
        Ok(Some(ledger)) => view::ledger(&ledger),
        Ok(None) => Value::Null,
        Err(error) => view::unreadable(mm, &error.to_string()),
    }
}

/// The MMs that go by an id: ours, or a Message-ID.
fn find(parts: &Parts, id: &str) -> anyhow::Result<Vec<MmId>> {
    if let Ok(mm) = id.parse::<MmId>()
        && parts.store.ledger(mm)?.is_some()
    {
        return Ok(vec![mm]);
    }
    let key = mms::MessageId::new(id).map_err(|e| anyhow!("{e}"))?;
    let tagged = parts.store.tagged(TagKind::MessageId, Some(key.key()), None, 100)?;
    let mut found: Vec<MmId> = tagged.into_iter().map(|(_, mm)| mm).collect();
    found.dedup();
    if found.is_empty() {
        bail!(
            "no MM {id:?} is known here: give the id of 26 characters that `belino queue --all` shows, or an X-Mms-Message-ID"
        );
    }
    Ok(found)
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

fn refusal(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Refused(reason, detail)) => format!("{reason}: {detail}"),
        Some(Answer::Unknown(mm)) => format!("MM {mm} is gone"),
        Some(Answer::Mail(reply)) => reply.to_string(),
        Some(Answer::Ledger(_) | Answer::Repeated(..)) => "unexpected answer".to_owned(),
        None => "the relay is stopping".to_owned(),
    }
}

async fn house(parts: &Parts) -> anyhow::Result<Arc<relay::House>> {
    parts.heart.look(|shard| Arc::clone(shard.house())).await.context("the relay is stopping")
}

async fn normalised(parts: &Parts, text: &str) -> anyhow::Result<Party> {
    let party: Party = text.parse().map_err(|e| anyhow!("address {text:?}: {e}"))?;
    let address = house(parts).await?.normalised(party.address);
    Ok(Party { address, ..party })
}

async fn route(parts: &Parts, text: &str) -> anyhow::Result<Value> {
    let party = normalised(parts, text).await?;
    let config = parts.dock.config();
    Ok(explain_route(&parts.hands.resolver, &config, &party).await)
}

/// A route as JSON; also for `belino route` without a running relay.
pub async fn explain_route(resolver: &Resolver, config: &Config, party: &Party) -> Value {
    let (route, mut steps) = resolver.explain(party).await;
    let mut hosts: Vec<String> = Vec::new();
    if let Some(Route::Peer(name)) = &route
        && let Some(link) = config.links.iter().find(|l| l.peer == *name)
    {
        hosts.clone_from(&link.hosts);
        let domain = config.house.peer(name).and_then(|p| p.domains.first());
        if let (Some(discover), Some(domain)) = (&link.discover, domain) {
            match resolver.hosts(domain, discover, &mut steps).await {
                Ok(found) => hosts = found.iter().map(ToString::to_string).collect(),
                Err(trouble) => steps.push(format!("peer {name} has no host: {trouble}")),
            }
        }
    }
    let (mut to, mut peer, mut webhook, mut why) = ("nowhere", None, None, None);
    match &route {
        Some(Route::Local(Dock::Mailbox)) => to = "mailbox",
        Some(Route::Local(Dock::Hook(hook))) => (to, webhook) = ("webhook", Some(hook.to_string())),
        Some(Route::Peer(name)) => (to, peer) = ("peer", Some(name.to_string())),
        Some(Route::Nowhere(reason)) => why = Some(reason.text()),
        None => to = "waiting",
    }
    let address = view::address(party);
    json!({
        "address": address, "to": to, "peer": peer, "webhook": webhook, "why": why, "hosts": hosts, "steps": steps,
    })
}

async fn change(parts: &Parts, id: &str, event: impl Fn(MmId) -> Event) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for mm in find(parts, id)? {
        match parts.heart.ask(mm, event(mm)).await {
            Some(Answer::Ledger(ledger)) => rows.push(view::ledger(&ledger)),
            other => bail!("{}", refusal(other)),
        }
    }
    Ok(Value::Array(rows))
}

async fn known_peer(parts: &Parts, name: &str) -> anyhow::Result<PeerName> {
    let house = house(parts).await?;
    let name = PeerName::new(name);
    if house.peer(&name).is_none() {
        let known: Vec<&str> = house.peers.iter().map(|p| p.name.as_str()).collect();
        bail!("no peer is named {:?}; configured: {}", name.as_str(), known.join(", "));
    }
    Ok(name)
}

async fn peers(parts: &Parts) -> anyhow::Result<Value> {
    let states = parts.heart.look(relay::Shard::peers).await.context("the relay is stopping")?;
    let (sessions, config) = (parts.dock.sessions(), parts.dock.config());
    let mut rows = Vec::new();
    for state in states {
        let depth = parts.store.depth(&QueueId(state.peer.0.clone()), 1_000_000)?;
        let incoming = sessions.get(&state.peer).copied().unwrap_or(0);
        let link = config.links.iter().find(|l| l.peer == state.peer);
        let tls = link.map(|l| l.tls.mode).unwrap_or_default();
        let mut row = view::peer(&state, depth, incoming, tls);
        let hits = parts.dock.paces.hits(&state.peer);
        row["slowed"] = hits.slowed.into();
        row["refused_for_pace"] = hits.refused.into();
        rows.push(row);
    }
    Ok(Value::Array(rows))
}

async fn submit(parts: &Parts, send: &Send, wire_form: &[u8]) -> anyhow::Result<Value> {
    let address = |text: &String| text.parse::<Party>().map_err(|e| anyhow!("address {text:?}: {e}"));
    let list = |texts: &[String]| texts.iter().map(address).collect::<anyhow::Result<Vec<_>>>();
    let (content, body) = content::keep(&*parts.store, wire_form)?.unzip();
    let submission = Submission {
        by: "cli".into(),
        hook: None,
        once: None,
        from: address(&send.from)?,
        to: list(&send.to)?,
        cc: list(&send.cc)?,
        bcc: list(&send.bcc)?,
        request: wishes(send)?,
        body,
        content,
    };
    let mm = crate::fresh_id(&parts.clock);
    match parts.heart.ask(mm, Event::Submitted(Box::new(submission))).await {
        Some(Answer::Ledger(ledger)) => Ok(view::ledger(&ledger)),
        other => bail!("{}", refusal(other)),
    }
}

/// What the sender said, as the heart's words.
fn wishes(send: &Send) -> anyhow::Result<ForwardReq> {
    let text = |label: &str, text: &str| HeaderText::new(text).map_err(|e| anyhow!("{label}: {e}"));
    let class = match &send.class {
        None => None,
        Some(class) => Some(parse_class(class)?),
    };
    let priority = match &send.priority {
        None => None,
        Some(p) => Some(
            Priority::from_canonical(p).with_context(|| format!("priority {p:?}: Low, Normal or High"))?,
        ),
    };
    let mut previously_sent = Vec::new();
    for (index, (by, at)) in send.previously_sent.iter().enumerate() {
        let by = by.parse().map_err(|e| anyhow!("address {by:?}: {e}"))?;
        let index = u32::try_from(index)?;
        previously_sent.push(PreviouslySent { index, by: Some(by), at: Some(Timestamp::from_seconds(*at)) });
    }
    Ok(ForwardReq {
        content_type: Some(text("content type", &send.content_type)?),
        content_transfer_encoding: match &send.content_transfer_encoding {
            Some(encoding) => Some(text("transfer encoding", encoding)?),
            None => None,
        },
        subject: match &send.subject {
            Some(subject) => Some(text("subject", subject)?),
            None => None,
        },
        message_class: class,
        priority,
        expiry: send.expiry_seconds.map(|s| Expiry::After(Duration::from_secs(s))),
        delivery_report: Some(send.delivery_report),
        read_reply: Some(send.read_reply),
        sender_visibility: send.hide.then_some(Visibility::Hide),
        forward_counter: u32::try_from(previously_sent.len()).ok().filter(|n| *n > 0),
        previously_sent,
        ..ForwardReq::default()
    })
}

fn parse_class(text: &str) -> anyhow::Result<MessageClass> {
    let known = [
        MessageClass::Personal,
        MessageClass::Advertisement,
        MessageClass::Informational,
        MessageClass::Auto,
    ];
    let found = known.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(text));
    found.with_context(|| format!("class {text:?}: Personal, Advertisement, Informational or Auto"))
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
