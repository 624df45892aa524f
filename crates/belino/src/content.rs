//! The content of MMs: put into the store when one is handed in, taken out when somebody looks at one.
//!
//! Shared by the admin socket, the HTTP dock and webhooks. Reads and writes files: not for a task that must not block.
//! Content that is kept here and then named by no ledger is dead, and housekeeping frees it.

use anyhow::anyhow;
use mms::MmId;
use relay::store::{ContentRef, Store, StoreError};
use relay::{Body, Ledger, Origin};
use wire::mime::{Walk, WalkLimits};

/// Keep a body in wire form. An empty one needs no place.
///
/// # Errors
/// The store is full, or takes nothing any more.
pub fn keep(store: &dyn Store, wire_form: &[u8]) -> Result<Option<(ContentRef, Body)>, StoreError> {
    if wire_form.is_empty() {
        return Ok(None);
    }
    let mut writer = store.content_writer(Some(wire_form.len() as u64))?;
    writer.write(wire_form)?;
    let body = Body {
        len: wire_form.len() as u64,
        decoded: decoded_size(wire_form),
        offset: 0,
        digest: crc32c::crc32c(wire_form),
        eight_bit: !wire_form.is_ascii(),
    };
    Ok(Some((writer.finish()?, body)))
}

/// Octets of a body after decoding, about. The line that a body in parts begins with names its boundary.
fn decoded_size(wire_form: &[u8]) -> u64 {
    let first = wire_form.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let boundary = first.strip_prefix(b"--").and_then(|name| std::str::from_utf8(name).ok());
    let Some(boundary) = boundary.filter(|name| (1..=70).contains(&name.len()) && !name.contains('"')) else {
        return wire_form.len() as u64;
    };
    let kind = format!("multipart/mixed; boundary=\"{boundary}\"");
    let mut walk = Walk::new(Some(&kind), None, WalkLimits::default());
    walk.push(wire_form);
    walk.finish().size_estimate()
}

/// The ledger of an MM.
///
/// # Errors
/// The store cannot read it, or what it reads is no ledger.
pub fn ledger(store: &dyn Store, mm: MmId) -> anyhow::Result<Option<Ledger>> {
    let Some(stored) = store.ledger(mm)? else { return Ok(None) };
    let ledger = Ledger::decode(&stored.ledger);
    ledger.map(Some).map_err(|d| anyhow!("expected {} {} octets from its end", d.expected, d.left))
}

/// The mail of an MM in wire form: as it came, or, for one handed in here, with the header that a peer would get.
/// `None` when its content is not kept any more.
///
/// # Errors
/// The store cannot read it.
pub fn wire_form(store: &dyn Store, ledger: &Ledger) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(content) = store.ledger(ledger.id)?.and_then(|s| s.content) else { return Ok(None) };
    let mut octets = match (&ledger.origin, &ledger.request) {
        (Origin::Submitted { .. }, Some(request)) => {
            let message = mms::AbstractMessage::ForwardReq(request.clone());
            wire::mm4::encode(&message, &wire::mm4::Style::default())
        }
        _ => Vec::new(),
    };
    let begin = octets.len();
    octets.resize(begin + usize::try_from(content.len)?, 0);
    let n = store.read_content(&content, 0, &mut octets[begin..])?;
    octets.truncate(begin + n);
    Ok(Some(octets))
}
