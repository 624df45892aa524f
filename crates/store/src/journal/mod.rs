//! The journal: what groups of batches did, in the order in which it became true, until the ledger has it.
//!
//! Owns: one file, which grows up to its size and is then written over from its beginning, each time after the ledger has
//! become durable as far as the journal goes. Never knows: what an op means.
//!
//! ```text
//! 0  magic "BJN1"        8   run: which opening of the store wrote it   24  octets that follow
//! 4  crc32c of the rest  16  sequence: 1, 2, 3, over all runs           28  nothing
//! ```
//!
//! A group is durable when its record is. The ledger follows behind with fewer, bigger transactions that need no flush of
//! their own, and says in each how far it has come. A crash loses nothing: opening puts what the ledger does not have yet
//! into it again. A record that was not written to its end ends the journal; nobody was told of it.

mod words;

use crate::faults::{Disk, FileOp};
use relay::store::{Batch, Op};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEADER: usize = 32;
const MAGIC: [u8; 4] = *b"BJN1";
/// Octets by which a journal grows, and those that it has at the beginning.
const BLOCK: u64 = 1 << 20;
const FIRST_BLOCK: u64 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    disk: Disk,
    /// What was written in full before: to write over it changes octets only, so that a flush has little to do.
    len: u64,
    size_max: u64,
    /// Where the next record goes.
    next: u64,
    run: u64,
    /// Of the last record.
    sequence: u64,
    /// The record under way.
    record: Vec<u8>,
}

/// What a journal holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// (sequence, ops), in order, without a gap.
    pub(crate) groups: Vec<(u64, Vec<Op>)>,
}

impl Journal {
    /// Open the journal at `path`, or make one. It grows up to `size_max` octets.
    pub(crate) fn open(path: &Path, size_max: u64, disk: Disk) -> io::Result<(Self, Recorded)> {
        let file = disk.create(path)?;
        let (recorded, len) = (read(&file)?, file.metadata()?.len());
        let sequence = recorded.groups.last().map_or(0, |(sequence, _)| *sequence);
        let mut journal = Self { file, disk, len, size_max, next: 0, run: 0, sequence, record: Vec::new() };
        if len == 0 {
            journal.grow(FIRST_BLOCK.min(size_max))?;
        }
        Ok((journal, recorded))
    }

    fn grow(&mut self, by: u64) -> io::Result<()> {
        self.disk.write(&self.file, &vec![0; by as usize], self.len)?;
        self.file.sync_all()?;
        self.disk.note_synced(&self.file);
        self.len += by;
        Ok(())
    }

    /// Begin anew at the front: the ledger has everything up to `sequence`, durably.
    pub(crate) fn rewind(&mut self, run: u64, sequence: u64) {
        (self.next, self.run, self.sequence) = (0, run, sequence);
    }

    /// Which opening of the store this is.
    pub(crate) const fn run(&self) -> u64 {
        self.run
    }

    /// The sequence of the last record.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether there is room for a record of so many octets behind what is there, or can be made. At the front there always
    /// is.
    pub(crate) fn has_room(&mut self, octets: usize) -> bool {
        let end = self.next + HEADER as u64 + octets as u64;
        while self.next > 0 && end > self.len && self.len < self.size_max {
            if let Err(why) = self.grow(BLOCK.min(self.size_max - self.len)) {
                tracing::warn!(%why, octets = self.len, "the journal cannot grow; the ledger will be flushed more often");
                self.size_max = self.len;
            }
        }
        self.next == 0 || end <= self.len
    }

    /// Write what these batches do as one record, and make it durable.
    ///
    /// # Errors
    /// After an error nobody knows whether it is durable. (There is room, as a rule: the file was written in full before.)
    pub(crate) fn append(&mut self, octets: &[&[u8]]) -> io::Result<()> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.resize(HEADER, 0);
        octets.iter().for_each(|batch| record.extend_from_slice(batch));
        let sequence = self.sequence + 1;
        record[8..16].copy_from_slice(&self.run.to_le_bytes());
        record[16..24].copy_from_slice(&sequence.to_le_bytes());
        let len = (record.len() - HEADER) as u32;
        record[24..28].copy_from_slice(&len.to_le_bytes());
        let sum = crc32c::crc32c(&record[8..]);
        record[..4].copy_from_slice(&MAGIC);
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        let done = self.disk.run(FileOp::Commit, || self.write_through(&record));
        if done.is_ok() {
            self.next += record.len() as u64;
            self.len = self.len.max(self.next);
            self.sequence = sequence;
        }
        self.record = record;
        done
    }

    /// Write, durable on return, with one call where the system can do that.
    fn write_through(&self, record: &[u8]) -> io::Result<()> {
        let (slices, flags) = ([IoSlice::new(record)], ReadWriteFlags::DSYNC);
        let mut written = match rustix::io::pwritev2(&self.file, &slices, self.next, flags) {
            Ok(n) if n == record.len() => return Ok(()),
            Ok(n) => n,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR | Errno::INVAL) => 0,
            Err(why) => return Err(why.into()),
        };
        // In part, or not that way.
        while written < record.len() {
            written += self.file.write_at(&record[written..], self.next + written as u64)?;
        }
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    /// What was written since the last rewind, once more.
    pub(crate) fn written(&self) -> io::Result<Recorded> {
        read(&self.file)
    }
}

/// What a batch does, out of the journal's words.
pub(crate) fn ops(octets: &[u8]) -> Option<Vec<Op>> {
    words::read(octets)
}

/// What a batch does, in the journal's words, into `out`.
pub(crate) fn write(batch: &Batch, out: &mut Vec<u8>) {
    words::write(batch, out);
}

/// The records from the front on, as far as each follows the one before.
fn read(file: &File) -> io::Result<Recorded> {
    let end = file.metadata()?.len();
    let (mut at, mut recorded, mut run) = (0, Recorded::default(), None);
    while at + HEADER as u64 <= end {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, at)?;
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| header[from + i]));
        let word = |from: usize| u32::from_le_bytes(std::array::from_fn(|i| header[from + i]));
        let (len, sequence) = (u64::from(word(24)), number(16));
        let follows = recorded.groups.last().is_none_or(|(last, _)| sequence == last + 1)
            && run.is_none_or(|run| run == number(8));
        if header[..4] != MAGIC || !follows || at + HEADER as u64 + len > end {
            break;
        }
        let mut octets = vec![0; len as usize];
        file.read_exact_at(&mut octets, at + HEADER as u64)?;
        if crc32c::crc32c_append(crc32c::crc32c(&header[8..]), &octets) != word(4) {
            break;
        }
        // Whole, and not in our words: a later version wrote it.
        let unknown = || {
            io::Error::new(io::ErrorKind::InvalidData, "a record in words that this version does not know")
        };
        recorded.groups.push((sequence, words::read(&octets).ok_or_else(unknown)?));
        run = Some(number(8));
        at += HEADER as u64 + len;
    }
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mms::MmId;

    fn batch(n: u64, len: usize) -> Batch {
        let ledger = vec![n as u8; len];
        Batch { need: vec![], ops: vec![Op::PutLedger { id: MmId::from_bits(n.into()), ledger, wake: None }] }
    }

    fn put(journal: &mut Journal, n: u64, len: usize) {
        let mut octets = Vec::new();
        write(&batch(n, len), &mut octets);
        journal.append(&[&octets]).unwrap();
    }

    fn open(folder: &Path) -> (Journal, Vec<(u64, Vec<Op>)>) {
        let (journal, recorded) = Journal::open(&folder.join("journal"), 64 << 10, Disk::default()).unwrap();
        (journal, recorded.groups)
    }

    #[test]
    fn what_was_written_before_the_front_was_taken_again_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, recorded) = open(folder.path());
        assert_eq!(recorded, []);
        journal.rewind(1, 0);
        (1..=20).for_each(|n| put(&mut journal, n, 100));
        assert_eq!(open(folder.path()).1.len(), 20);
        // Records of the same length: the old ones lie exactly behind the new ones.
        journal.rewind(1, 20);
        (21..=23).for_each(|n| put(&mut journal, n, 100));
        let (mut journal, recorded) = open(folder.path());
        assert_eq!(recorded.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [21, 22, 23]);
        assert_eq!(recorded[2].1, batch(23, 100).ops);
        // Nor one of an earlier run that happens to have the next number.
        journal.rewind(2, 19);
        put(&mut journal, 20, 100);
        assert_eq!(open(folder.path()).1.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn cut_or_changed_anywhere_it_ends_before_that() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.rewind(7, 0);
        (1..=5).for_each(|n| put(&mut journal, n, 40));
        let path = folder.path().join("journal");
        let whole = std::fs::read(&path).unwrap();
        let record = (journal.next / 5) as usize;
        for at in 0..5 * record {
            let mut octets = whole.clone();
            octets[at] ^= 0x10;
            std::fs::write(&path, &octets).unwrap();
            let (_, recorded) = open(folder.path());
            // The last four octets of a header say nothing, but are summed.
            assert_eq!(recorded.len(), at / record, "octet {at}");
        }
        for cut in 0..5 * record {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(open(folder.path()).1.len(), cut / record);
        }
    }
}
