//! Power cuts: what was not flushed may be gone, in whole or in part, and nothing that was reported durable is lost.
//!
//! A disk that forgets is told of each write, flush and new file. At a cut the folder is copied as it is, and in the copy
//! whatever was not flushed is undone by chance: a write is lost, or half of it is; a file whose folder was not flushed has
//! no name; the ledger's write-ahead log ends anywhere behind what was flushed of it. Then the copy is opened.
#![cfg(debug_assertions)]

mod common;

use common::*;
use relay::store::*;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::{Fault, Faults, FileOp, Options};

/// A write that is not flushed: where, and what was there before.
#[derive(Clone, Debug)]
struct Dirty {
    offset: u64,
    before: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By inode, in order.
    dirty: HashMap<u64, Vec<Dirty>>,
    /// New files whose folder is not flushed.
    unnamed: Vec<PathBuf>,
    /// Octets of the ledger's write-ahead log that are flushed.
    ledger_log: u64,
}

#[derive(Debug)]
struct Forgetful {
    folder: PathBuf,
    seen: Mutex<Seen>,
    /// Folders are never believed to be flushed, and content neither: to see that the test notices.
    deaf: bool,
}

impl Forgetful {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl Faults for Forgetful {
    fn before(&self, _: FileOp) -> Option<Fault> {
        drop(self.seen()); // waits while a cut is made
        None
    }

    fn created(&self, path: &Path) {
        if !path.exists() {
            self.seen().unnamed.push(path.to_owned());
        }
    }

    fn writes(&self, file: &File, offset: u64, len: usize) {
        let mut before = vec![0; len];
        let mut have = 0;
        while have < len {
            match file.read_at(&mut before[have..], offset + have as u64).unwrap() {
                0 => break,
                n => have += n,
            }
        }
        let inode = file.metadata().unwrap().ino();
        self.seen().dirty.entry(inode).or_default().push(Dirty { offset, before });
    }

    fn synced(&self, file: &File) {
        if self.deaf {
            return;
        }
        let what = file.metadata().unwrap();
        let mut seen = self.seen();
        if what.is_dir() {
            let inode = |path: &Path| fs::metadata(path).map(|m| m.ino()).unwrap_or(0);
            seen.unnamed.retain(|path| path.parent().map(inode) != Some(what.ino()));
        } else {
            seen.dirty.remove(&what.ino());
        }
    }

    fn ledger_synced(&self) {
        let len = fs::metadata(self.folder.join("store.db-wal")).map_or(0, |file| file.len());
        self.seen().ledger_log = len;
    }
}

/// A small random generator: the seed is all that a repeat needs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}

/// How much of what could be lost was.
#[derive(Debug, Default)]
struct Lost {
    writes: u64,
    halves: u64,
    files: u64,
    ledger: u64,
}

/// The folder as it is after the power went off now.
fn cut(disk: &Forgetful, to: &Path, dice: &mut Dice, lost: &mut Lost) {
    // Nobody writes content or commits meanwhile.
    let seen = disk.seen();
    fs::create_dir_all(to.join("body")).unwrap();
    for folder in ["", "body"] {
        for file in fs::read_dir(disk.folder.join(folder)).unwrap().map(|file| file.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if file.is_dir() || name == "store.db-shm" || name == "lock" {
                continue;
            }
            if seen.unnamed.contains(&file) && dice.roll(2) == 0 {
                lost.files += 1;
                continue;
            }
            let copy = to.join(folder).join(&name);
            fs::copy(&file, &copy).unwrap();
            let copy = File::options().write(true).open(copy).unwrap();
            let dirty = seen.dirty.get(&fs::metadata(&file).unwrap().ino());
            // The last write is undone first: what two of them wrote is then as it was before both.
            for Dirty { offset, before } in dirty.into_iter().flatten().rev() {
                match dice.roll(3) {
                    0 => {}
                    1 => {
                        copy.write_all_at(before, *offset).unwrap();
                        lost.writes += 1;
                    }
                    _ => {
                        let half = dice.roll(before.len() as u64) as usize;
                        copy.write_all_at(&before[half..], offset + half as u64).unwrap();
                        lost.halves += 1;
                    }
                }
            }
            if name == "store.db-wal" {
                let len = copy.metadata().unwrap().len();
                let left = seen.ledger_log + dice.roll(len.saturating_sub(seen.ledger_log) + 1);
                copy.set_len(left.min(len)).unwrap();
                lost.ledger += len - left.min(len);
            }
        }
    }
}

const LEN: usize = 9000;

/// MMs come and go, contents are begun and left; after each step the power may go off.
fn life(seed: u64, deaf: bool, lost: &mut Lost) -> Result<(), String> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let folder = quick_folder();
    let data = folder.path().join("data");
    let disk = Arc::new(Forgetful { folder: data.clone(), seen: Mutex::default(), deaf });
    let options = Options { faults: Some(disk.clone()), recycled_max: 1, ..small() };
    let store = open(&data, options);
    disk.ledger_synced(); // opening flushes what it writes
    let mut fates: BTreeMap<u64, bool> = BTreeMap::new();
    for n in 0..40 {
        arrive(&store, n, LEN).unwrap();
        fates.insert(n, true);
        if dice.roll(3) > 0 {
            let gone = dice.roll(n + 1);
            commit(&store, vec![], vec![Op::RemoveLedger { id: mm(gone) }]).unwrap();
            fates.insert(gone, false);
        }
        if dice.roll(8) == 0 {
            store.maintain(at(0), Duration::from_secs(60)).unwrap();
        }
        // Somebody is in the middle of a content.
        let mut half = store.content_writer(None).unwrap();
        half.write(&octets(n, 5000)).unwrap();
        if dice.roll(4) > 0 {
            continue;
        }
        let after = folder.path().join(format!("after-{n}"));
        cut(&disk, &after, &mut dice, lost);
        let restored =
            store::Embedded::open(&after, small()).map_err(|why| format!("seed {seed}, MM {n}: {why}"))?;
        for (&mm_of, &there) in &fates {
            let stored =
                restored.ledger(mm(mm_of)).map_err(|why| format!("seed {seed}, MM {mm_of}: {why}"))?;
            if stored.is_some() != there {
                return Err(format!(
                    "seed {seed}: MM {mm_of} is there: {}, expected {there}",
                    stored.is_some()
                ));
            }
            if let Some(content) = stored.and_then(|stored| stored.content) {
                match read(&restored, &content) {
                    Ok(found) if found == octets(mm_of, LEN) => {}
                    other => {
                        return Err(format!(
                            "seed {seed}: content of MM {mm_of}: {:?}",
                            other.map(|o| o.len())
                        ));
                    }
                }
            }
        }
        // And life goes on.
        arrive(&restored, 1000 + n, LEN).map_err(|why| format!("seed {seed}: {why}"))?;
        assert_arrived(&restored, 1000 + n, LEN);
        drop(restored);
        fs::remove_dir_all(after).unwrap();
    }
    Ok(())
}

#[test]
fn a_power_cut_forgets_what_was_not_flushed_and_nothing_else() {
    let mut lost = Lost::default();
    for seed in 0..40 {
        life(seed, false, &mut lost).unwrap();
    }
    println!("{lost:?}");
    assert!(lost.writes > 0 && lost.halves > 0 && lost.ledger > 0, "nothing was there to be lost: {lost:?}");
}

#[test]
fn a_disk_that_flushes_nothing_is_found_out() {
    let found = (0..40).find_map(|seed| life(seed, true, &mut Lost::default()).err());
    assert!(found.is_some(), "the test would not notice a missing flush");
}
