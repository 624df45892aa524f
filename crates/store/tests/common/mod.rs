//! What the tests of the cellar share.

#![allow(dead_code)] // each test file uses its part

use mms::{MmId, Timestamp};
use relay::store::*;
use std::sync::mpsc;
use store::{Embedded, Options};

/// Small files, so that a test sees many of them; no waiting for company.
pub fn small() -> Options {
    Options {
        segment_size: 64 << 10,
        chunk_size: 4 << 10,
        disk_free_min: 0,
        journal_size: 32 << 10,
        settle_batches: 24,
        ..Options::default()
    }
}

/// A folder in memory where there is one: for tests that flush thousands of times and fear no power cut.
pub fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn open(folder: &std::path::Path, options: Options) -> Embedded {
    Embedded::open(folder, options).unwrap_or_else(|why| panic!("{why}"))
}

pub fn commit(store: &dyn Store, need: Vec<Need>, ops: Vec<Op>) -> Result<Outcome, StoreError> {
    let (tx, rx) = mpsc::channel();
    store.commit(Batch { need, ops }.into(), Box::new(move |result| tx.send(result).unwrap()));
    rx.recv().expect("a callback runs")
}

pub fn mm(n: u64) -> MmId {
    MmId::new(1_700_000_000_000 + n as i64, 0, n)
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

/// Octets that can be told from all others.
pub fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

pub fn write(store: &dyn Store, octets: &[u8]) -> Result<ContentRef, StoreError> {
    let mut writer = store.content_writer(Some(octets.len() as u64))?;
    writer.write(octets)?;
    writer.finish()
}

pub fn read(store: &dyn Store, content: &ContentRef) -> Result<Vec<u8>, StoreError> {
    let mut out = vec![0; content.len as usize + 1];
    let n = store.read_content(content, 0, &mut out)?;
    out.truncate(n);
    Ok(out)
}

pub fn put(n: u64) -> Op {
    Op::PutLedger { id: mm(n), ledger: octets(n, 600), wake: Some(at(n as i64)) }
}

/// An MM with content, as when one arrives.
pub fn arrive(store: &dyn Store, n: u64, len: usize) -> Result<Outcome, StoreError> {
    let content = write(store, &octets(n, len))?;
    let need = Need::Once { key: key(n), value: n.to_be_bytes().to_vec(), keep_until: at(1000) };
    commit(
        store,
        vec![need],
        vec![
            put(n),
            Op::KeepContent { id: mm(n), content, owner: "b".into() },
            Op::Enqueue(entry("peer.example", n, 0)),
            Op::PutTag { id: mm(n), tag: tag(n) },
            Op::Emit { topic: Topic::Charging, data: n.to_be_bytes().to_vec() },
        ],
    )
}

pub fn key(n: u64) -> Vec<u8> {
    format!("peer.example/message-{n}").into_bytes()
}

pub fn tag(n: u64) -> Tag {
    Tag { kind: TagKind::Mailbox, value: format!("+1202555{:04}", 100 + n % 100) }
}

pub fn entry(queue: &str, n: u64, attempt: u32) -> Entry {
    Entry { id: EntryId { queue: QueueId::new(queue), mm: mm(n), part: 0 }, due: at(n as i64), attempt }
}

/// Everything of `n` is there, with the octets that `arrive` gave it.
pub fn assert_arrived(store: &dyn Store, n: u64, len: usize) {
    let stored = store.ledger(mm(n)).unwrap().unwrap_or_else(|| panic!("MM {n} is lost"));
    assert_eq!(stored.ledger, octets(n, 600), "ledger of {n}");
    assert_eq!(read(store, stored.content.as_ref().unwrap()).unwrap(), octets(n, len), "content of {n}");
    assert_eq!(store.once(&key(n)).unwrap(), Some(n.to_be_bytes().to_vec()));
}

/// Nothing of `n` is there.
pub fn assert_absent(store: &dyn Store, n: u64) {
    assert_eq!(store.ledger(mm(n)).unwrap(), None, "MM {n} appeared");
    assert_eq!(store.once(&key(n)).unwrap(), None);
    let name = entry("peer.example", n, 0).id;
    let entries = store.entries(&name.queue, None, usize::MAX).unwrap();
    assert!(entries.iter().all(|entry| entry.id != name));
}
