//! The words of the journal: ops as octets.
//!
//! Owns: their encoding. Never knows: files. Numbers are LEB128, times zigzag, octets and texts have their length before
//! them. Needs that were met are not kept, but for the key that one of them remembers.

use mms::{MmId, Timestamp};
use relay::store::{Batch, ContentRef, Entry, EntryId, Need, Op, QueueId, Tag, TagKind, Topic};

pub(super) fn write(batch: &Batch, out: &mut Vec<u8>) {
    for need in &batch.need {
        if let Need::Once { key, value, keep_until } = need {
            remember(key, value, *keep_until, out);
        }
    }
    batch.ops.iter().for_each(|op| write_op(op, out));
}

fn remember(key: &[u8], value: &[u8], keep_until: Timestamp, out: &mut Vec<u8>) {
    out.push(8);
    octets(key, out);
    octets(value, out);
    time(keep_until, out);
}

fn write_op(op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::PutLedger { id, ledger, wake } => {
            out.push(1);
            mm(*id, out);
            octets(ledger, out);
            match wake {
                Some(at) => {
                    out.push(1);
                    time(*at, out);
                }
                None => out.push(0),
            }
        }
        Op::RemoveLedger { id } => {
            out.push(2);
            mm(*id, out);
        }
        Op::KeepContent { id, content, owner } => {
            out.push(12);
            mm(*id, out);
            number(content.len, out);
            octets(&content.locator, out);
            octets(owner.as_bytes(), out);
        }
        Op::DropContent { id } => {
            out.push(4);
            mm(*id, out);
        }
        Op::Enqueue(entry) => {
            out.push(5);
            put_entry(entry, out);
        }
        Op::Ack(entry) => {
            out.push(6);
            put_entry(entry, out);
        }
        Op::Retry { entry, due } => {
            out.push(7);
            put_entry(entry, out);
            time(*due, out);
        }
        Op::Remember { key, value, keep_until } => remember(key, value, *keep_until, out),
        Op::PutTag { id, tag } => {
            out.push(9);
            put_tag(*id, tag, out);
        }
        Op::RemoveTag { id, tag } => {
            out.push(10);
            put_tag(*id, tag, out);
        }
        Op::Emit { topic, data } => {
            out.push(11);
            out.push(*topic as u8);
            octets(data, out);
        }
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn time(at: Timestamp, out: &mut Vec<u8>) {
    let millis = at.millis();
    number((millis << 1 ^ millis >> 63) as u64, out);
}

fn octets(octets: &[u8], out: &mut Vec<u8>) {
    number(octets.len() as u64, out);
    out.extend_from_slice(octets);
}

fn mm(id: MmId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.bits().to_be_bytes());
}

fn put_entry(Entry { id, due, attempt }: &Entry, out: &mut Vec<u8>) {
    octets(id.queue.0.as_bytes(), out);
    mm(id.mm, out);
    number(id.part.into(), out);
    time(*due, out);
    number((*attempt).into(), out);
}

fn put_tag(id: MmId, tag: &Tag, out: &mut Vec<u8>) {
    mm(id, out);
    out.push(tag.kind as u8);
    octets(tag.value.as_bytes(), out);
}

/// All ops, or `None` when the octets are not such words.
pub(super) fn read(octets: &[u8]) -> Option<Vec<Op>> {
    let mut rest = Rest(octets);
    let mut ops = Vec::new();
    while !rest.0.is_empty() {
        ops.push(rest.op()?);
    }
    Some(ops)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn op(&mut self) -> Option<Op> {
        Some(match self.octet()? {
            1 => {
                let (id, ledger) = (self.mm()?, self.octets()?.to_vec());
                let wake = match self.octet()? {
                    0 => None,
                    _ => Some(self.time()?),
                };
                Op::PutLedger { id, ledger, wake }
            }
            2 => Op::RemoveLedger { id: self.mm()? },
            // 3: as it was before content had owners.
            kind @ (3 | 12) => {
                let (id, len) = (self.mm()?, self.number()?);
                let content = ContentRef { len, locator: self.octets()?.into() };
                let owner = if kind == 12 { self.text()?.into() } else { "".into() };
                Op::KeepContent { id, content, owner }
            }
            4 => Op::DropContent { id: self.mm()? },
            5 => Op::Enqueue(self.entry()?),
            6 => Op::Ack(self.entry()?),
            7 => Op::Retry { entry: self.entry()?, due: self.time()? },
            8 => {
                let (key, value) = (self.octets()?.to_vec(), self.octets()?.to_vec());
                Op::Remember { key, value, keep_until: self.time()? }
            }
            9 => Op::PutTag { id: self.mm()?, tag: self.tag()? },
            10 => Op::RemoveTag { id: self.mm()?, tag: self.tag()? },
            11 => {
                let topic = match self.octet()? {
                    1 => Topic::Charging,
                    2 => Topic::Event,
                    _ => return None,
                };
                Op::Emit { topic, data: self.octets()?.to_vec() }
            }
            _ => return None,
        })
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|octet| octet[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            value |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn time(&mut self) -> Option<Timestamp> {
        let zigzag = self.number()?;
        Some(Timestamp::from_millis((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)))
    }

    fn octets(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::try_from(len).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    fn mm(&mut self) -> Option<MmId> {
        let octets = self.take(16)?;
        Some(MmId::from_bits(u128::from_be_bytes(octets.try_into().ok()?)))
    }

    fn entry(&mut self) -> Option<Entry> {
        let queue = QueueId::new(self.text()?);
        let (mm, part) = (self.mm()?, u16::try_from(self.number()?).ok()?);
        let (due, attempt) = (self.time()?, u32::try_from(self.number()?).ok()?);
        Some(Entry { id: EntryId { queue, mm, part }, due, attempt })
    }

    fn tag(&mut self) -> Option<Tag> {
        let kind = match self.octet()? {
            1 => TagKind::Mailbox,
            2 => TagKind::MessageId,
            _ => return None,
        };
        Some(Tag { kind, value: self.text()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn mm() -> impl Strategy<Value = MmId> {
        any::<u128>().prop_map(MmId::from_bits)
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<i64>().prop_map(Timestamp::from_millis)
    }

    fn octets() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..300)
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (".{0,20}", mm(), any::<u16>(), time(), any::<u32>()).prop_map(|(queue, mm, part, due, attempt)| {
            Entry { id: EntryId { queue: QueueId::new(&queue), mm, part }, due, attempt }
        })
    }

    fn tag() -> impl Strategy<Value = Tag> {
        let kind = prop_oneof![Just(TagKind::Mailbox), Just(TagKind::MessageId)];
        (kind, ".{0,20}").prop_map(|(kind, value)| Tag { kind, value })
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (mm(), octets(), proptest::option::of(time())).prop_map(|(id, ledger, wake)| Op::PutLedger {
                id,
                ledger,
                wake
            }),
            mm().prop_map(|id| Op::RemoveLedger { id }),
            (mm(), any::<u64>(), octets(), "[a-z]{0,3}").prop_map(|(id, len, locator, owner)| {
                let content = ContentRef { len, locator: locator.into() };
                Op::KeepContent { id, content, owner: owner.into() }
            }),
            mm().prop_map(|id| Op::DropContent { id }),
            entry().prop_map(Op::Enqueue),
            entry().prop_map(Op::Ack),
            (entry(), time()).prop_map(|(entry, due)| Op::Retry { entry, due }),
            (octets(), octets(), time()).prop_map(|(key, value, keep_until)| Op::Remember {
                key,
                value,
                keep_until
            }),
            (mm(), tag()).prop_map(|(id, tag)| Op::PutTag { id, tag }),
            (mm(), tag()).prop_map(|(id, tag)| Op::RemoveTag { id, tag }),
            (prop_oneof![Just(Topic::Charging), Just(Topic::Event)], octets())
                .prop_map(|(topic, data)| Op::Emit { topic, data }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ops in vec(op(), 0..12), key in octets(), at in time()) {
            let need = vec![Need::Once { key: key.clone(), value: vec![7], keep_until: at }];
            let mut out = Vec::new();
            write(&Batch { need, ops: ops.clone() }, &mut out);
            let mut expected = vec![Op::Remember { key, value: vec![7], keep_until: at }];
            expected.extend(ops);
            prop_assert_eq!(read(&out), Some(expected));
        }

        #[test]
        fn anything_else_is_none_and_no_panic(octets in vec(any::<u8>(), 0..200)) {
            let _ = read(&octets);
        }
    }
}
