//! The model of a store: [`Memory`], which forgets everything with the process.
//!
//! Owns: the meaning of every need, op and question of the trait, in the plainest words. Every other store is compared
//! with it, and the heart's own tests run on it. Never knows: files, SQL, threads of its own, clocks.
//!
//! A commit takes effect inside the call, and its callback runs inside the call, outside the lock. A crash leaves
//! nothing.
//!
//! What the trait leaves open is settled here:
//! - Needs are judged on the state before the batch. Used keys are reported first, all of them; otherwise the first
//!   need that fails, in their order.
//! - `Ack` removes by name, whatever the claim says of due time and attempt; `Retry` changes nothing unless both match.
//! - `KeepContent` of content that is not there any more is `Unavailable`: the peer sends it again.

use crate::store::{
    Batch, ContentRef, ContentWriter, Done, Entry, EntryId, Health, Maintained, Need, Op, Outcome, QueueHead,
    QueueId, Store, StoreError, StoredLedger, TagKind, Topic,
};
use mms::{MmId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// A store in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

const FIRST: MmId = MmId::from_bits(0);
const LAST: MmId = MmId::from_bits(u128::MAX);

/// One MM.
#[derive(Clone, Debug, Default)]
struct Row {
    /// 0 while there is content but no ledger yet.
    version: u32,
    ledger: Vec<u8>,
    wake: Option<Timestamp>,
    content: Option<ContentRef>,
    /// In whose name the content counts.
    owner: Arc<str>,
}

/// The octets of a content, and whether anybody could still keep it.
#[derive(Debug)]
struct Octets {
    octets: Vec<u8>,
    /// Dead when nobody holds the `ContentRef` that `finish` returned.
    reference: Weak<[u8]>,
    /// How many MMs it lives for.
    keepers: u32,
}

#[derive(Debug, Default)]
struct State {
    refusal: Option<StoreError>,
    mms: BTreeMap<MmId, Row>,
    wakes: BTreeSet<(Timestamp, MmId)>,
    /// Due time and attempt, by name.
    entries: BTreeMap<(MmId, QueueId, u16), (Timestamp, u32)>,
    /// The same entries, in the order in which they are due.
    order: BTreeSet<(QueueId, Timestamp, MmId, u16)>,
    once: BTreeMap<Vec<u8>, (Vec<u8>, Timestamp)>,
    tags: BTreeSet<(TagKind, String, MmId)>,
    outbox: BTreeMap<(Topic, u64), Vec<u8>>,
    /// The last number given in each topic; trimming does not change it.
    last: BTreeMap<Topic, u64>,
    contents: BTreeMap<u64, Octets>,
    next_content: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every commit and every new content fails like this; with `None`, no more.
    pub fn refuse(&self, with: Option<StoreError>) {
        self.lock().refusal = with;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock unless a test's own data is absurd; the state is then as good as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn unmet(&self, needs: &[Need]) -> Option<Outcome> {
        let used: Vec<_> = needs
            .iter()
            .filter_map(|need| match need {
                Need::Once { key, .. } => self.once.get(key).map(|(value, _)| (key.clone(), value.clone())),
                _ => None,
            })
            .collect();
        if !used.is_empty() {
            return Some(Outcome::Duplicates(used));
        }
        needs.iter().find_map(|need| match need {
            Need::Version { id, version } if self.version(*id) != *version => Some(Outcome::Stale(*id)),
            Need::Held(entry) if !self.held(entry) => Some(Outcome::Lost(entry.clone())),
            _ => None,
        })
    }

    fn version(&self, id: MmId) -> u32 {
        self.mms.get(&id).map_or(0, |row| row.version)
    }

    fn held(&self, entry: &Entry) -> bool {
        self.entries.get(&name(&entry.id)) == Some(&(entry.due, entry.attempt))
    }

    fn commit(&mut self, batch: Batch) -> Result<Outcome, StoreError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if let Some(unmet) = self.unmet(&batch.need) {
            return Ok(unmet);
        }
        // Content can only be missing from the start: what a batch drops stays readable while its reference is held.
        for op in &batch.ops {
            if let Op::KeepContent { content, .. } = op
                && !number(content).is_some_and(|number| self.contents.contains_key(&number))
            {
                return Err(StoreError::Unavailable("the content is not there any more".into()));
            }
        }
        for need in batch.need {
            if let Need::Once { key, value, keep_until } = need {
                self.once.insert(key, (value, keep_until));
            }
        }
        let frees =
            |op: &Op| matches!(op, Op::RemoveLedger { .. } | Op::KeepContent { .. } | Op::DropContent { .. });
        let frees = batch.ops.iter().any(frees);
        for op in batch.ops {
            self.apply(op);
        }
        if frees {
            self.sweep();
        }
        Ok(Outcome::Done)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::PutLedger { id, ledger, wake } => {
                let row = self.mms.entry(id).or_default();
                if let Some(before) = row.wake {
                    self.wakes.remove(&(before, id));
                }
                self.wakes.extend(wake.map(|wake| (wake, id)));
                (row.version, row.ledger, row.wake) = (row.version + 1, ledger, wake);
            }
            Op::RemoveLedger { id } => {
                self.drop_content(id);
                if let Some(wake) = self.mms.remove(&id).and_then(|row| row.wake) {
                    self.wakes.remove(&(wake, id));
                }
                self.tags.retain(|(_, _, mm)| *mm != id);
                let first = (id, QueueId::new(""), 0);
                let named: Vec<_> = self
                    .entries
                    .range(first..)
                    .take_while(|(name, _)| name.0 == id)
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in named {
                    self.remove_entry(&name);
                }
            }
            Op::KeepContent { id, content, owner } => {
                // The new one first, so that keeping the same content again does not lose it in between.
                if let Some(kept) = number(&content).and_then(|number| self.contents.get_mut(&number)) {
                    kept.keepers += 1;
                }
                self.drop_content(id);
                let row = self.mms.entry(id).or_default();
                (row.content, row.owner) = (Some(content), owner);
            }
            Op::DropContent { id } => self.drop_content(id),
            Op::Enqueue(entry) => self.put_entry(entry),
            Op::Ack(entry) => self.remove_entry(&name(&entry.id)),
            Op::Retry { entry, due } => {
                if self.held(&entry) {
                    let attempt = entry.attempt.saturating_add(1);
                    self.put_entry(Entry { due, attempt, ..entry });
                }
            }
            Op::Remember { key, value, keep_until } => {
                self.once.insert(key, (value, keep_until));
            }
            Op::PutTag { id, tag } => {
                self.tags.insert((tag.kind, tag.value, id));
            }
            Op::RemoveTag { id, tag } => {
                self.tags.remove(&(tag.kind, tag.value, id));
            }
            Op::Emit { topic, data } => {
                let last = self.last.entry(topic).or_default();
                *last += 1;
                self.outbox.insert((topic, *last), data);
            }
        }
    }

    fn put_entry(&mut self, Entry { id, due, attempt }: Entry) {
        self.remove_entry(&name(&id));
        self.entries.insert(name(&id), (due, attempt));
        self.order.insert((id.queue, due, id.mm, id.part));
    }

    fn remove_entry(&mut self, name: &(MmId, QueueId, u16)) {
        if let Some((due, _)) = self.entries.remove(name) {
            self.order.remove(&(name.1.clone(), due, name.0, name.2));
        }
    }

    fn drop_content(&mut self, id: MmId) {
        let Some(row) = self.mms.get_mut(&id) else { return };
        let dropped = row.content.take();
        if let Some(octets) =
            dropped.and_then(|content| number(&content)).and_then(|n| self.contents.get_mut(&n))
        {
            octets.keepers -= 1;
        }
        if self.version(id) == 0 {
            self.mms.remove(&id);
        }
    }

    /// Forget octets that no MM names and that nobody could name any more.
    fn sweep(&mut self) {
        self.contents.retain(|_, content| content.keepers > 0 || content.reference.strong_count() > 0);
    }

    fn entry(&self, queue: &QueueId, due: Timestamp, mm: MmId, part: u16) -> Option<Entry> {
        let (_, attempt) = *self.entries.get(&(mm, queue.clone(), part))?;
        Some(Entry { id: EntryId { queue: queue.clone(), mm, part }, due, attempt })
    }

    /// The entries of a queue, as (due, MM, part).
    fn queue<'a>(
        &'a self,
        queue: &'a QueueId,
        after: Option<&Entry>,
    ) -> impl Iterator<Item = (Timestamp, MmId, u16)> + 'a {
        let from = match after {
            Some(Entry { id, due, .. }) => Excluded((queue.clone(), *due, id.mm, id.part)),
            None => Included((queue.clone(), Timestamp::from_millis(i64::MIN), FIRST, 0)),
        };
        let upto = Included((queue.clone(), Timestamp::MAX, LAST, u16::MAX));
        self.order.range((from, upto)).map(|(_, due, mm, part)| (*due, *mm, *part))
    }
}

fn name(id: &EntryId) -> (MmId, QueueId, u16) {
    (id.mm, id.queue.clone(), id.part)
}

/// The number of a content of this store.
fn number(content: &ContentRef) -> Option<u64> {
    Some(u64::from_be_bytes(content.locator.as_ref().try_into().ok()?))
}

struct Writer {
    memory: Memory,
    octets: Vec<u8>,
}

impl ContentWriter for Writer {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ContentRef, StoreError> {
        let mut state = self.memory.lock();
        let number = state.next_content;
        state.next_content += 1;
        let content = ContentRef { len: self.octets.len() as u64, locator: Arc::new(number.to_be_bytes()) };
        let reference = Arc::downgrade(&content.locator);
        state.contents.insert(number, Octets { octets: self.octets, reference, keepers: 0 });
        Ok(content)
    }
}

impl Store for Memory {
    fn content_writer(&self, size_hint: Option<u64>) -> Result<Box<dyn ContentWriter>, StoreError> {
        let _ = size_hint;
        match &self.lock().refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Box::new(Writer { memory: self.clone(), octets: Vec::new() })),
        }
    }

    fn read_content(&self, content: &ContentRef, offset: u64, into: &mut [u8]) -> Result<usize, StoreError> {
        let state = self.lock();
        let Some(stored) = number(content).and_then(|number| state.contents.get(&number)) else {
            return Err(StoreError::Corrupt("the content is not there any more".into()));
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(stored.octets.len());
        let octets = &stored.octets[from..];
        let n = octets.len().min(into.len());
        into[..n].copy_from_slice(&octets[..n]);
        Ok(n)
    }

    fn commit(&self, batch: Arc<Batch>, done: Done) {
        let result = self.lock().commit(Batch::clone(&batch));
        done(result);
    }

    fn ledger(&self, id: MmId) -> Result<Option<StoredLedger>, StoreError> {
        Ok(self.lock().mms.get(&id).filter(|row| row.version > 0).map(|row| StoredLedger {
            version: row.version,
            ledger: row.ledger.clone(),
            content: row.content.clone(),
            wake: row.wake,
        }))
    }

    fn once(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().once.get(key).map(|(value, _)| value.clone()))
    }

    fn queues(&self) -> Result<Vec<QueueHead>, StoreError> {
        let state = self.lock();
        let mut heads = Vec::new();
        let mut next = state.order.first();
        while let Some((queue, due, ..)) = next {
            heads.push(QueueHead { queue: queue.clone(), due: *due });
            next = state
                .order
                .range((Excluded((queue.clone(), Timestamp::MAX, LAST, u16::MAX)), Unbounded))
                .next();
        }
        Ok(heads)
    }

    fn entries(&self, queue: &QueueId, after: Option<&Entry>, max: usize) -> Result<Vec<Entry>, StoreError> {
        let state = self.lock();
        let found = state.queue(queue, after).filter_map(|(due, mm, part)| state.entry(queue, due, mm, part));
        Ok(found.take(max).collect())
    }

    fn depth(&self, queue: &QueueId, max: u64) -> Result<u64, StoreError> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Ok(self.lock().queue(queue, None).take(max).count() as u64)
    }

    fn wakes(
        &self,
        after: Option<(Timestamp, MmId)>,
        max: usize,
    ) -> Result<Vec<(Timestamp, MmId)>, StoreError> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(self.lock().wakes.range((from, Unbounded)).take(max).copied().collect())
    }

    fn ledgers(&self, after: Option<MmId>, newest_first: bool, max: usize) -> Result<Vec<MmId>, StoreError> {
        let state = self.lock();
        let bound = after.map_or(Unbounded, Excluded);
        let range = if newest_first { (Unbounded, bound) } else { (bound, Unbounded) };
        let ids = state.mms.range(range).filter(|(_, row)| row.version > 0).map(|(id, _)| *id);
        Ok(if newest_first { ids.rev().take(max).collect() } else { ids.take(max).collect() })
    }

    fn tagged(
        &self,
        kind: TagKind,
        value: Option<&str>,
        after: Option<&(String, MmId)>,
        max: usize,
    ) -> Result<Vec<(String, MmId)>, StoreError> {
        let state = self.lock();
        let found = state
            .tags
            .iter()
            .filter(|tag| tag.0 == kind && value.is_none_or(|value| tag.1 == value))
            .map(|tag| (tag.1.clone(), tag.2))
            .filter(|found| after.is_none_or(|after| found > after));
        Ok(found.take(max).collect())
    }

    fn drain(&self, topic: Topic, after: u64, max: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let state = self.lock();
        let range = (Excluded((topic, after)), Included((topic, u64::MAX)));
        if after == u64::MAX {
            return Ok(Vec::new());
        }
        Ok(state.outbox.range(range).take(max).map(|((_, number), data)| (*number, data.clone())).collect())
    }

    fn trim(&self, topic: Topic, up_to: u64) -> Result<(), StoreError> {
        self.lock().outbox.retain(|(of, number), _| *of != topic || *number > up_to);
        Ok(())
    }

    fn maintain(&self, now: Timestamp, budget: Duration) -> Result<Maintained, StoreError> {
        let _ = budget;
        let mut state = self.lock();
        let before = (state.once.len(), state.stored());
        state.once.retain(|_, (_, keep_until)| *keep_until > now);
        state.sweep();
        let forgotten = (before.0 - state.once.len()) as u64;
        Ok(Maintained { forgotten, freed: before.1 - state.stored(), more: false })
    }

    fn stored_by(&self, owner: &str) -> u64 {
        let state = self.lock();
        let lives =
            state.mms.values().filter(|row| &*row.owner == owner).filter_map(|row| row.content.as_ref());
        lives.map(|content| content.len).sum()
    }

    fn health(&self) -> Health {
        let state = self.lock();
        let live = state.contents.values().filter(|content| content.keepers > 0);
        Health {
            failed: match &state.refusal {
                Some(StoreError::Unavailable(why)) => Some(why.clone()),
                _ => None,
            },
            disk_free: None,
            content_live: live.map(|content| content.octets.len() as u64).sum(),
            content_stored: state.stored(),
            log_size: 0,
        }
    }
}

impl State {
    fn stored(&self) -> u64 {
        self.contents.values().map(|content| content.octets.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn commit(store: &Memory, need: Vec<Need>, ops: Vec<Op>) -> Result<Outcome, StoreError> {
        let (tx, rx) = mpsc::channel();
        store.commit(Batch { need, ops }.into(), Box::new(move |result| tx.send(result).unwrap()));
        rx.recv().unwrap()
    }

    fn mm(n: u64) -> MmId {
        MmId::new(1_700_000_000_000, 0, n)
    }

    fn entry(queue: &str, n: u64, due: i64, attempt: u32) -> Entry {
        let id = EntryId { queue: QueueId::new(queue), mm: mm(n), part: 0 };
        Entry { id, due: Timestamp::from_millis(due), attempt }
    }

    fn put(n: u64) -> Op {
        Op::PutLedger { id: mm(n), ledger: vec![n as u8], wake: Some(Timestamp::from_seconds(n as i64)) }
    }

    #[test]
    fn a_failed_need_leaves_no_trace() {
        let store = Memory::new();
        let once = |value: &[u8]| Need::Once {
            key: b"peer.example/1".to_vec(),
            value: value.to_vec(),
            keep_until: Timestamp::from_seconds(9),
        };
        assert_eq!(commit(&store, vec![once(b"a")], vec![put(1)]), Ok(Outcome::Done));
        let stale = Need::Version { id: mm(1), version: 0 };
        assert_eq!(
            commit(&store, vec![stale.clone(), once(b"b")], vec![put(2)]),
            Ok(Outcome::Duplicates(vec![(b"peer.example/1".to_vec(), b"a".to_vec())]))
        );
        assert_eq!(commit(&store, vec![stale], vec![put(2)]), Ok(Outcome::Stale(mm(1))));
        assert_eq!(store.ledger(mm(2)), Ok(None));
        assert_eq!(store.maintain(Timestamp::from_seconds(9), Duration::ZERO).unwrap().forgotten, 1);
        assert_eq!(commit(&store, vec![once(b"b")], vec![put(1)]), Ok(Outcome::Done));
        assert_eq!(store.ledger(mm(1)).unwrap().unwrap().version, 2);
    }

    #[test]
    fn an_old_claim_changes_nothing() {
        let store = Memory::new();
        let first = entry("a.example", 1, 10, 0);
        commit(&store, vec![], vec![Op::Enqueue(first.clone()), Op::Enqueue(entry("b.example", 1, 5, 0))])
            .unwrap();
        let retry = Op::Retry { entry: first.clone(), due: Timestamp::from_millis(20) };
        assert_eq!(commit(&store, vec![Need::Held(first.clone())], vec![retry.clone()]), Ok(Outcome::Done));
        assert_eq!(
            commit(&store, vec![Need::Held(first.clone())], vec![retry.clone()]),
            Ok(Outcome::Lost(first.clone()))
        );
        commit(&store, vec![], vec![retry]).unwrap();
        let held = entry("a.example", 1, 20, 1);
        assert_eq!(store.entries(&QueueId::new("a.example"), None, 9), Ok(vec![held.clone()]));
        assert_eq!(store.entries(&QueueId::new("a.example"), Some(&held), 9), Ok(vec![]));
        assert_eq!(store.queues().unwrap().len(), 2);
        commit(&store, vec![], vec![Op::RemoveLedger { id: mm(1) }]).unwrap();
        assert_eq!(store.queues(), Ok(vec![]));
    }

    #[test]
    fn content_lives_while_kept_or_held() {
        let store = Memory::new();
        let mut writer = store.content_writer(None).unwrap();
        writer.write(b"hello").unwrap();
        let content = writer.finish().unwrap();
        commit(
            &store,
            vec![],
            vec![put(1), Op::KeepContent { id: mm(1), content: content.clone(), owner: "".into() }],
        )
        .unwrap();
        let copy = ContentRef { len: content.len, locator: content.locator.to_vec().into() };
        drop(content);
        let mut into = [0; 8];
        assert_eq!(store.read_content(&copy, 1, &mut into), Ok(4));
        assert_eq!(&into[..4], b"ello");
        commit(&store, vec![], vec![Op::RemoveLedger { id: mm(1) }]).unwrap();
        assert!(store.read_content(&copy, 0, &mut into).is_err());
        let keep = Op::KeepContent { id: mm(2), content: copy, owner: "".into() };
        assert!(matches!(commit(&store, vec![], vec![put(2), keep]), Err(StoreError::Unavailable(_))));
        assert_eq!((store.ledger(mm(2)), store.health().content_stored), (Ok(None), 0));
    }

    #[test]
    fn outbox_numbers_go_on_after_a_trim() {
        let store = Memory::new();
        let emit = |data: &[u8]| Op::Emit { topic: Topic::Charging, data: data.to_vec() };
        commit(&store, vec![], vec![emit(b"1"), emit(b"2")]).unwrap();
        store.trim(Topic::Charging, 9).unwrap();
        commit(&store, vec![], vec![emit(b"3")]).unwrap();
        assert_eq!(store.drain(Topic::Charging, 0, 9), Ok(vec![(3, b"3".to_vec())]));
        assert_eq!(store.drain(Topic::Charging, u64::MAX, 9), Ok(vec![]));
    }
}
