//! Every store answers every question as the model does, whatever was asked of it and however often it was reopened.

mod common;

use common::{at, commit, mm, octets, open, quick_folder, read, small, write};
use mms::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use relay::memory::Memory;
use relay::store::*;
use std::time::Duration;

const QUEUES: [&str; 3] = ["a.example", "b.example", "x'); DROP TABLE mm; --"];

/// One thing that happens to both stores.
#[derive(Clone, Debug)]
enum Act {
    Commit(Vec<NeedSpec>, Vec<OpSpec>),
    /// Several at once, so that they share a transaction.
    Burst(Vec<(Vec<NeedSpec>, Vec<OpSpec>)>),
    /// Make content number n, so long.
    Write(u8, u16),
    Trim(bool, u8),
    Maintain(u8),
    Reopen,
}

#[derive(Clone, Debug)]
enum NeedSpec {
    Once(u8, u8, u8),
    /// The version there is, and so much more.
    Version(u8, u8),
    /// An entry that there is, or was.
    Held(EntrySpec),
}

#[derive(Clone, Debug)]
enum OpSpec {
    Put(u8, u8, Option<u8>),
    Remove(u8),
    Keep(u8, u8),
    Drop(u8),
    Enqueue(u8, u8, u8, u8, u8),
    Ack(EntrySpec),
    Retry(EntrySpec, u8),
    Remember(u8, u8, u8),
    PutTag(u8, bool, u8),
    RemoveTag(u8, bool, u8),
    Emit(bool, u8),
}

/// Pick one of the entries of a queue, and perhaps falsify the claim.
#[derive(Clone, Debug)]
struct EntrySpec {
    queue: u8,
    index: u8,
    due_off: u8,
    attempt_off: u8,
}

fn need() -> impl Strategy<Value = NeedSpec> {
    prop_oneof![
        (0u8..12, any::<u8>(), 0u8..6).prop_map(|(k, v, t)| NeedSpec::Once(k, v, t)),
        (0u8..6, prop_oneof![4 => Just(0u8), 1 => 1u8..3]).prop_map(|(m, v)| NeedSpec::Version(m, v)),
        claim().prop_map(NeedSpec::Held),
    ]
}

fn claim() -> impl Strategy<Value = EntrySpec> {
    let off = || prop_oneof![6 => Just(0u8), 1 => Just(1u8)];
    (0u8..3, 0u8..4, off(), off()).prop_map(|(queue, index, due_off, attempt_off)| EntrySpec {
        queue,
        index,
        due_off,
        attempt_off,
    })
}

fn op() -> impl Strategy<Value = OpSpec> {
    prop_oneof![
        4 => (0u8..6, any::<u8>(), proptest::option::of(0u8..5)).prop_map(|(m, l, w)| OpSpec::Put(m, l, w)),
        1 => (0u8..6).prop_map(OpSpec::Remove),
        3 => (0u8..6, 0u8..8).prop_map(|(m, c)| OpSpec::Keep(m, c)),
        1 => (0u8..6).prop_map(OpSpec::Drop),
        4 => (0u8..3, 0u8..6, 0u8..3, 0u8..4, 0u8..3).prop_map(|(q, m, p, d, a)| OpSpec::Enqueue(q, m, p, d, a)),
        2 => claim().prop_map(OpSpec::Ack),
        2 => (claim(), 0u8..5).prop_map(|(c, d)| OpSpec::Retry(c, d)),
        1 => (0u8..12, any::<u8>(), 0u8..6).prop_map(|(k, v, t)| OpSpec::Remember(k, v, t)),
        2 => (0u8..6, any::<bool>(), 0u8..4).prop_map(|(m, k, v)| OpSpec::PutTag(m, k, v)),
        1 => (0u8..6, any::<bool>(), 0u8..4).prop_map(|(m, k, v)| OpSpec::RemoveTag(m, k, v)),
        2 => (any::<bool>(), any::<u8>()).prop_map(|(t, d)| OpSpec::Emit(t, d)),
    ]
}

fn batch() -> impl Strategy<Value = (Vec<NeedSpec>, Vec<OpSpec>)> {
    (vec(need(), 0..3), vec(op(), 0..8))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => batch().prop_map(|(n, o)| Act::Commit(n, o)),
        2 => vec(batch(), 2..5).prop_map(Act::Burst),
        5 => (0u8..8, prop_oneof![0u16..200, 3000u16..15000]).prop_map(|(c, l)| Act::Write(c, l)),
        1 => (any::<bool>(), 0u8..20).prop_map(|(t, n)| Act::Trim(t, n)),
        1 => (0u8..6).prop_map(Act::Maintain),
        1 => Just(Act::Reopen),
    ]
}

fn topic(which: bool) -> Topic {
    if which { Topic::Charging } else { Topic::Event }
}

fn label(kind: bool, value: u8) -> Tag {
    let kind = if kind { TagKind::Mailbox } else { TagKind::MessageId };
    Tag { kind, value: ["+12025550100", "+12025550101", "", "a\0b\u{e9}"][value as usize].to_owned() }
}

fn once_key(k: u8) -> Vec<u8> {
    vec![b'k'; k as usize + 1]
}

/// The two stores, and the contents that both have under one number.
struct Pair {
    memory: Memory,
    embedded: store::Embedded,
    contents: Vec<Option<(ContentRef, ContentRef, Vec<u8>)>>,
    serial: u64,
}

impl Pair {
    fn claim(&self, spec: &EntrySpec) -> Entry {
        let queue = QueueId::new(QUEUES[spec.queue as usize]);
        let entries = self.memory.entries(&queue, None, 100).unwrap();
        let mut entry = match entries.get(spec.index as usize) {
            Some(entry) => entry.clone(),
            None => Entry { id: EntryId { queue, mm: mm(0), part: 0 }, due: at(0), attempt: 0 },
        };
        entry.due = entry.due.plus(Duration::from_secs(spec.due_off.into()));
        entry.attempt += u32::from(spec.attempt_off);
        entry
    }

    /// The batch for the model and the batch for the other.
    fn batches(&self, needs: &[NeedSpec], ops: &[OpSpec]) -> (Batch, Batch) {
        let need: Vec<_> = needs
            .iter()
            .map(|need| match need {
                NeedSpec::Once(k, v, t) => {
                    Need::Once { key: once_key(*k), value: vec![*v], keep_until: at((*t).into()) }
                }
                NeedSpec::Version(m, off) => {
                    let now = self.memory.ledger(mm((*m).into())).unwrap().map_or(0, |stored| stored.version);
                    Need::Version { id: mm((*m).into()), version: now + u32::from(*off) }
                }
                NeedSpec::Held(spec) => Need::Held(self.claim(spec)),
            })
            .collect();
        let build = |of: fn(&(ContentRef, ContentRef, Vec<u8>)) -> ContentRef| -> Vec<Op> {
            ops.iter()
                .filter_map(|op| {
                    Some(match op {
                        OpSpec::Put(m, l, w) => Op::PutLedger {
                            id: mm((*m).into()),
                            ledger: octets((*l).into(), usize::from(*l) * 20),
                            wake: w.map(|w| at(w.into())),
                        },
                        OpSpec::Remove(m) => Op::RemoveLedger { id: mm((*m).into()) },
                        OpSpec::Keep(m, c) => Op::KeepContent {
                            id: mm((*m).into()),
                            content: of(self.contents[*c as usize].as_ref()?),
                            owner: ["", "b", "c"][usize::from(*m % 3)].into(),
                        },
                        OpSpec::Drop(m) => Op::DropContent { id: mm((*m).into()) },
                        OpSpec::Enqueue(q, m, p, d, a) => Op::Enqueue(Entry {
                            id: EntryId {
                                queue: QueueId::new(QUEUES[*q as usize]),
                                mm: mm((*m).into()),
                                part: (*p).into(),
                            },
                            due: at((*d).into()),
                            attempt: (*a).into(),
                        }),
                        OpSpec::Ack(spec) => Op::Ack(self.claim(spec)),
                        OpSpec::Retry(spec, due) => {
                            Op::Retry { entry: self.claim(spec), due: at((*due).into()) }
                        }
                        OpSpec::Remember(k, v, t) => {
                            Op::Remember { key: once_key(*k), value: vec![*v], keep_until: at((*t).into()) }
                        }
                        OpSpec::PutTag(m, k, v) => Op::PutTag { id: mm((*m).into()), tag: label(*k, *v) },
                        OpSpec::RemoveTag(m, k, v) => {
                            Op::RemoveTag { id: mm((*m).into()), tag: label(*k, *v) }
                        }
                        OpSpec::Emit(t, d) => Op::Emit { topic: topic(*t), data: vec![*d; (*d).into()] },
                    })
                })
                .collect()
        };
        let model = Batch { need: need.clone(), ops: build(|content| content.0.clone()) };
        (model, Batch { need, ops: build(|content| content.1.clone()) })
    }

    fn act(&mut self, folder: &std::path::Path, act: &Act) {
        match act {
            Act::Commit(needs, ops) => {
                let (model, other) = self.batches(needs, ops);
                let expected = commit(&self.memory, model.need, model.ops);
                assert_eq!(commit(&self.embedded, other.need, other.ops), expected);
            }
            Act::Burst(batches) => {
                let (tx, rx) = std::sync::mpsc::channel();
                let built: Vec<_> = batches.iter().map(|(needs, ops)| self.batches(needs, ops)).collect();
                let mut expected = Vec::new();
                for (index, (model, other)) in built.into_iter().enumerate() {
                    expected.push(commit(&self.memory, model.need, model.ops));
                    let tx = tx.clone();
                    self.embedded
                        .commit(other.into(), Box::new(move |result| tx.send((index, result)).unwrap()));
                }
                for (index, expected) in expected.into_iter().enumerate() {
                    assert_eq!(rx.recv().unwrap(), (index, expected));
                }
            }
            Act::Write(c, len) => {
                self.serial += 1;
                let data = octets(self.serial, (*len).into());
                let both = (write(&self.memory, &data).unwrap(), write(&self.embedded, &data).unwrap(), data);
                self.contents[*c as usize] = Some(both);
            }
            Act::Trim(t, n) => {
                self.memory.trim(topic(*t), (*n).into()).unwrap();
                self.embedded.trim(topic(*t), (*n).into()).unwrap();
            }
            Act::Maintain(t) => {
                let forgotten = self.memory.maintain(at((*t).into()), Duration::ZERO).unwrap().forgotten;
                let other = self.embedded.maintain(at((*t).into()), Duration::from_secs(60)).unwrap();
                assert_eq!((other.forgotten, other.more), (forgotten, false));
            }
            Act::Reopen => {
                // What was not kept before cannot be kept after.
                self.contents.iter_mut().for_each(|content| *content = None);
                let gone = std::mem::replace(&mut self.embedded, open(&folder.join("spare"), small()));
                drop(gone);
                self.embedded = open(&folder.join("store"), small());
            }
        }
    }

    fn compare(&self) {
        let (model, other): (&dyn Store, &dyn Store) = (&self.memory, &self.embedded);
        for n in 0..6 {
            let (a, b) = (model.ledger(mm(n)).unwrap(), other.ledger(mm(n)).unwrap());
            let plain = |stored: &Option<StoredLedger>| {
                stored
                    .as_ref()
                    .map(|s| (s.version, s.ledger.clone(), s.wake, s.content.as_ref().map(|c| c.len)))
            };
            assert_eq!(plain(&a), plain(&b));
            let contents = (a.and_then(|stored| stored.content), b.and_then(|stored| stored.content));
            if let (Some(a), Some(b)) = contents {
                let whole = read(model, &a).unwrap();
                assert!(read(other, &b).unwrap() == whole);
                let mut part = [0; 700];
                for offset in [0, 1, 4000, 4096, 8000, a.len, a.len + 1] {
                    let n = other.read_content(&b, offset, &mut part).unwrap();
                    let from = whole.len().min(offset as usize);
                    assert!(part[..n] == whole[from..whole.len().min(from + 700)]);
                }
                let extents = self.embedded.extents(&b, 0).unwrap();
                assert_eq!(extents.iter().map(|extent| extent.len).sum::<u64>(), b.len);
            }
        }
        assert_eq!(model.queues(), other.queues());
        for queue in QUEUES.iter().chain(&["nobody.example"]).map(|name| QueueId::new(name)) {
            let entries = model.entries(&queue, None, 100).unwrap();
            assert_eq!(other.entries(&queue, None, 100).unwrap(), entries);
            for (i, entry) in entries.iter().enumerate() {
                let rest = &entries[i + 1..];
                assert_eq!(other.entries(&queue, Some(entry), 2).unwrap(), rest[..rest.len().min(2)]);
            }
            assert_eq!(model.depth(&queue, 3), other.depth(&queue, 3));
        }
        for max in [1, 100] {
            assert_eq!(model.wakes(None, max), other.wakes(None, max));
            assert_eq!(model.wakes(Some((at(2), mm(2))), max), other.wakes(Some((at(2), mm(2))), max));
            for (after, newest) in [(None, true), (None, false), (Some(mm(3)), true), (Some(mm(3)), false)] {
                assert_eq!(model.ledgers(after, newest, max), other.ledgers(after, newest, max));
            }
            for (kind, value) in [TagKind::Mailbox, TagKind::MessageId].into_iter().zip(0..4) {
                for value in [None, Some(label(true, value).value)] {
                    for after in
                        [None, Some(("+12025550100".to_owned(), mm(2))), Some((String::new(), mm(9)))]
                    {
                        let ask =
                            |store: &dyn Store| store.tagged(kind, value.as_deref(), after.as_ref(), max);
                        assert_eq!(ask(model), ask(other), "{kind:?} {value:?} {after:?}");
                    }
                }
            }
            for topic in [Topic::Charging, Topic::Event] {
                assert_eq!(model.drain(topic, 0, max), other.drain(topic, 0, max));
                assert_eq!(model.drain(topic, 3, max), other.drain(topic, 3, max));
            }
        }
        for k in 0..12 {
            assert_eq!(model.once(&once_key(k)), other.once(&once_key(k)));
        }
        let counted = self.embedded.health();
        assert!(counted.failed.is_none() && counted.content_live >= model.health().content_live);
        if model.health().content_live == 0 {
            // A content without octets takes no room in either; all else was given back.
            assert_eq!(counted.content_live, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_the_model_does(acts in vec(act(), 1..60)) {
        let folder = quick_folder();
        let mut pair = Pair {
            memory: Memory::new(),
            embedded: open(&folder.path().join("store"), small()),
            contents: vec![None; 8],
            serial: 0,
        };
        for (i, act) in acts.iter().enumerate() {
            pair.act(folder.path(), act);
            if i % 4 == 3 {
                pair.compare();
            }
        }
        pair.act(folder.path(), &Act::Reopen);
        pair.compare();
    }
}

#[test]
fn far_times_and_big_ids_are_kept() {
    let folder = quick_folder();
    let store = open(folder.path(), small());
    let id = mms::MmId::from_bits(u128::MAX);
    for when in [Timestamp::MAX, Timestamp::from_millis(i64::MIN)] {
        let put = Op::PutLedger { id, ledger: vec![], wake: Some(when) };
        assert_eq!(commit(&store, vec![], vec![put]), Ok(Outcome::Done));
        assert_eq!(store.wakes(None, 9), Ok(vec![(when, id)]));
    }
}
