//! What people ask of a running relay, whatever they ask it by: the admin socket and the console use these alike.
//!
//! Owns: ids, addresses and names as people write them, and how they become events. Never knows: who asks, or by what.

use super::Send;
use crate::config::Config;
use crate::content;
use crate::explain;
use crate::recent::Refusal;
use crate::resolver::Resolver;
use crate::serve::Parts;
use crate::view;
use anyhow::{Context as _, anyhow, bail};
use mms::{
    Expiry, ForwardReq, HeaderText, MessageClass, MmId, Party, PreviouslySent, Priority, Timestamp,
    Visibility,
};
use relay::house::Dock;
use relay::store::{QueueId, TagKind};
use relay::{Answer, Event, PeerName, Route, Submission};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The MMs that go by an id: ours, or a Message-ID.
///
/// # Errors
/// There is none, or the store cannot say.
pub fn find(parts: &Parts, id: &str) -> anyhow::Result<Vec<MmId>> {
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

/// Why something was not done, in words.
pub(super) fn refusal(answer: Option<Answer>) -> String {
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

/// An address as the heart compares it.
///
/// # Errors
/// It is none.
pub async fn normalised(parts: &Parts, text: &str) -> anyhow::Result<Party> {
    let party: Party = text.parse().map_err(|e| anyhow!("address {text:?}: {e}"))?;
    let address = house(parts).await?.normalised(party.address);
    Ok(Party { address, ..party })
}

/// Where an address would go, and why.
///
/// # Errors
/// It is none.
pub async fn route(parts: &Parts, text: &str) -> anyhow::Result<Value> {
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

/// Have something happen to the MMs that go by an id; as they are then.
///
/// # Errors
/// There is none, or it is refused.
pub async fn change(parts: &Parts, id: &str, event: impl Fn(MmId) -> Event) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for mm in find(parts, id)? {
        match parts.heart.ask(mm, event(mm)).await {
            Some(Answer::Ledger(ledger)) => rows.push(view::ledger(&ledger)),
            other => bail!("{}", refusal(other)),
        }
    }
    Ok(Value::Array(rows))
}

/// A peer that is configured.
///
/// # Errors
/// It is not.
pub async fn known_peer(parts: &Parts, name: &str) -> anyhow::Result<PeerName> {
    let house = house(parts).await?;
    let name = PeerName::new(name);
    if house.peer(&name).is_none() {
        let known: Vec<&str> = house.peers.iter().map(|p| p.name.as_str()).collect();
        bail!("no peer is named {:?}; configured: {}", name.as_str(), known.join(", "));
    }
    Ok(name)
}

/// Every peer, as its queue stands.
///
/// # Errors
/// The relay is stopping, or its store cannot say.
pub async fn peers(parts: &Parts) -> anyhow::Result<Value> {
    let states = parts.heart.look(relay::Shard::peers).await.context("the relay is stopping")?;
    let (sessions, config) = (parts.dock.sessions(), parts.dock.config());
    let mut rows = Vec::new();
    for state in states {
        let depth = parts.store.depth(&QueueId(state.peer.0.clone()), 1_000_000)?;
        let incoming = sessions.get(&state.peer).copied().unwrap_or(0);
        let link = config.links.iter().find(|l| l.peer == state.peer);
        let tls = link.map(|l| l.tls.mode).unwrap_or_default();
        let mut row = view::peer(&state, depth, incoming, tls);
        row["stored"] = parts.store.stored_by(state.peer.as_str()).into();
        let hits = parts.dock.paces.hits(&state.peer);
        row["slowed"] = hits.slowed.into();
        row["refused_for_pace"] = hits.refused.into();
        let refusals = parts.dock.telemetry.recent.of(&state.peer).refusals;
        row["refusals"] = refusals.iter().map(|refusal| of_refusal(state.peer.as_str(), refusal)).collect();
        rows.push(row);
    }
    Ok(Value::Array(rows))
}

/// A refusal, with what can be done about it.
fn of_refusal(peer: &str, refusal: &Refusal) -> Value {
    json!({
        "at": refusal.at.to_string(),
        "by": if refusal.ours { "us" } else { peer },
        "words": refusal.words,
        "next": explain::trouble_with(&refusal.words, peer),
        "mm": refusal.mm.map(|mm| mm.to_string()),
    })
}

/// Hand in an MM. `by` is who does, in its history.
///
/// # Errors
/// An address or word is none, or the heart refuses it.
pub async fn submit(parts: &Parts, by: &str, send: &Send, wire_form: &[u8]) -> anyhow::Result<Value> {
    let address = |text: &String| text.parse::<Party>().map_err(|e| anyhow!("address {text:?}: {e}"));
    let list = |texts: &[String]| texts.iter().map(address).collect::<anyhow::Result<Vec<_>>>();
    let (content, body) = content::keep(&*parts.store, wire_form)?.unzip();
    let submission = Submission {
        by: by.to_owned(),
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
