//! What was acknowledged survives the death of the process; what was not is there whole or not at all.

mod common;

use common::*;
use relay::store::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Embedded, Options};

const FOLDER: &str = "STORE_TEST_FOLDER";
const FIRST: &str = "STORE_TEST_FIRST";
const ABORT: &str = "STORE_TEST_ABORT";
const WRITERS: u64 = 4;

/// Between one and some records of 4 KiB.
fn len(n: u64) -> usize {
    (n as usize * 7919) % 20_000
}

/// Says one word about one MM, at once and whole.
fn say(word: &str, n: u64) {
    let line = format!("{word} {n}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens until we are dead");
}

/// Not a test of its own: with the variables set, the victim of the others. It goes on until it is killed.
#[test]
fn victim() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let options = small();
    #[cfg(debug_assertions)]
    let options =
        Options { abort_before_done: std::env::var(ABORT).ok().and_then(|n| n.parse().ok()), ..options };
    let store = open(Path::new(&folder), options);
    let next = AtomicU64::new(first.parse().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    say("begin", n);
                    assert_eq!(arrive(&store, n, len(n)), Ok(Outcome::Done));
                    say("have", n);
                    // Most are done with soon, so that segments are used again.
                    if !n.is_multiple_of(64) {
                        say("ending", n);
                        let held = entry("peer.example", n, 0);
                        let ops = vec![Op::Ack(held.clone()), Op::RemoveLedger { id: mm(n) }];
                        assert_eq!(commit(&store, vec![Need::Held(held)], ops), Ok(Outcome::Done));
                        say("ended", n);
                    }
                    if n.is_multiple_of(32) {
                        store.maintain(at(0), std::time::Duration::ZERO).unwrap();
                    }
                }
            });
        }
    });
}

fn start(folder: &Path, first: u64, abort: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "victim", "--nocapture", "--test-threads", "1"]);
    command.env(FOLDER, folder).env(FIRST, first.to_string());
    if let Some(abort) = abort {
        command.env(ABORT, abort.to_string());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the victims said last of each MM.
#[derive(Default)]
struct Account {
    said: BTreeMap<u64, String>,
    next: u64,
}

impl Account {
    /// Listen to a victim, kill it after `words` words, and hear it out. Returns the signal it died of.
    fn listen(&mut self, mut victim: Child, words: usize) -> Option<i32> {
        let mut heard = 0;
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            let line = String::from_utf8(line).unwrap();
            // The harness begins the first line with the name of the test.
            let line = line.strip_prefix("test victim ... ").unwrap_or(&line);
            if let Some((word @ ("begin" | "have" | "ending" | "ended"), n)) = line.split_once(' ')
                && let Ok(n) = n.parse()
            {
                self.said.insert(n, word.to_owned());
                self.next = self.next.max(n + 1);
            }
            heard += 1;
            if heard == words {
                victim.kill().unwrap(); // SIGKILL; what is in the pipe is still read
            }
        }
        victim.wait().unwrap().signal()
    }

    fn check(&self, folder: &Path) {
        let store = open(folder, small());
        let ids: BTreeSet<_> = store.ledgers(None, false, usize::MAX).unwrap().into_iter().collect();
        let queue = QueueId::new("peer.example");
        let entries = store.entries(&queue, None, usize::MAX).unwrap();
        let named: BTreeSet<_> = entries.iter().map(|entry| entry.id.mm).collect();
        assert_eq!(ids, named, "every MM has its errand");
        let records = store.drain(Topic::Charging, 0, usize::MAX).unwrap();
        assert!(records.iter().zip(1..).all(|((number, _), i)| *number == i), "no gaps in the outbox");
        let emitted: BTreeSet<_> = records.into_iter().map(|(_, data)| data).collect();
        for (&n, word) in &self.said {
            let there = ids.contains(&mm(n));
            match word.as_str() {
                "have" => assert!(there, "MM {n} was acknowledged and is lost"),
                "ended" => assert!(!there, "MM {n} was removed and is back"),
                _ => {} // either, but whole
            }
            if there {
                assert_arrived(&store, n, len(n));
            }
            let accepted = there || matches!(word.as_str(), "ending" | "ended");
            assert_eq!(emitted.contains(n.to_be_bytes().as_slice()), accepted, "record of {n} ({word})");
            assert_eq!(store.once(&key(n)).unwrap().is_some(), accepted, "key of {n} ({word})");
        }
        let known: BTreeSet<_> = self.said.keys().map(|n| mm(*n)).collect();
        assert!(ids.is_subset(&known), "an MM out of nowhere");
    }
}

#[test]
fn killed_at_random_points() {
    let folder = tempfile::tempdir().unwrap();
    let mut account = Account::default();
    for life in 0..24u64 {
        let words = (life * 7919 + 13) % 311 + 3;
        let signal = account.listen(start(folder.path(), account.next, None), words as usize);
        assert_eq!(signal, Some(9), "the victim must die of our hand, not of its own");
        account.check(folder.path());
    }
    let had = account.said.values().filter(|word| *word != "begin").count();
    assert!(had > 300, "only {had} MMs were ever acknowledged");
    let files = fs::read_dir(folder.path().join("body")).unwrap().count();
    let segments = account.next * 10_000 / (64 << 10);
    assert!(files < segments as usize / 2, "{files} of {segments} segments: dead ones were not used again");
}

#[cfg(debug_assertions)]
#[test]
fn aborted_between_commit_and_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut account = Account::default();
    for after in 1..10 {
        let signal = account.listen(start(folder.path(), account.next, Some(after)), usize::MAX);
        assert_eq!(signal, Some(6), "the victim aborts by itself");
        account.check(folder.path());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("body")).unwrap();
    for folder in ["", "body"] {
        for file in fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            if file.file_type().unwrap().is_file() && file.file_name() != "store.db-shm" {
                fs::copy(file.path(), to.join(folder).join(file.file_name())).unwrap();
            }
        }
    }
}

#[test]
fn a_torn_write_ahead_log_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"), small());
    for n in 0..30 {
        arrive(&store, n, len(n)).unwrap();
    }
    store.queues().unwrap(); // so that all of it is in the write-ahead log, of which nothing was flushed
    for (i, cut) in [0, 1, 100, 4096, 20_000, 60_000, 100_000].into_iter().enumerate() {
        let torn = folder.path().join(i.to_string());
        copy(&folder.path().join("store"), &torn);
        let log = File::options().write(true).open(torn.join("store.db-wal")).unwrap();
        let left = log.metadata().unwrap().len() - cut;
        log.set_len(left).unwrap();
        log.write_all_at(&octets(i as u64, 3000), left).unwrap(); // garbage where more was to come
        let torn = open(&torn, small());
        (0..30).for_each(|n| assert_arrived(&torn, n, len(n)));
        arrive(&torn, 100, 30_000).unwrap();
        assert_arrived(&torn, 100, 30_000);
    }
}

#[test]
fn a_torn_journal_ends_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let (base, whole) = (folder.path().join("base"), folder.path().join("whole"));
    let options = || Options { journal_size: 1 << 20, ..small() };
    let store = open(&base, options());
    copy(&base, &whole); // a ledger that knows nothing of what comes
    for n in 0..30 {
        arrive(&store, n, len(n)).unwrap();
    }
    for part in ["journal", "body"] {
        let (from, to) = (base.join(part), whole.join(part));
        if from.is_file() {
            fs::copy(from, to).unwrap();
            continue;
        }
        for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let journal = fs::read(whole.join("journal")).unwrap();
    let end = journal.iter().rposition(|octet| *octet != 0).unwrap();
    let mut seen = BTreeSet::new();
    for (i, at) in (0..end).step_by(end / 40).chain([end + 40]).enumerate() {
        let torn = folder.path().join(i.to_string());
        copy(&whole, &torn);
        let file = File::options().write(true).open(torn.join("journal")).unwrap();
        file.write_all_at(&octets(i as u64, 3000), at as u64).unwrap(); // garbage instead of what was to come
        let torn = open(&torn, options());
        let there = torn.ledgers(None, false, 100).unwrap().len() as u64;
        seen.insert(there);
        for n in 0..30 {
            if n < there {
                assert_arrived(&torn, n, len(n));
            } else {
                assert_absent(&torn, n);
            }
        }
        arrive(&torn, 100, 30_000).unwrap();
        assert_arrived(&torn, 100, 30_000);
    }
    assert!(seen.contains(&0) && seen.contains(&30) && seen.len() > 15, "{seen:?}");
}

#[test]
fn a_journal_of_another_time_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (base, old) = (folder.path().join("base"), folder.path().join("old"));
    let store = open(&base, small());
    arrive(&store, 0, 100).unwrap();
    store.queues().unwrap();
    copy(&base, &old);
    (1..90).for_each(|n| arrive(&store, n, 100).map(drop).unwrap()); // the journal was written over meanwhile
    drop(store);
    fs::copy(base.join("journal"), old.join("journal")).unwrap();
    let why = Embedded::open(&old, small()).unwrap_err().to_string();
    assert!(why.contains("restore all of them from one backup"), "{why}");
}

#[test]
fn garbage_in_segments_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..5 {
        arrive(&store, n, 6000).unwrap();
    }
    let end =
        store.extents(&store.ledger(mm(4)).unwrap().unwrap().content.unwrap(), 0).unwrap().pop().unwrap();
    drop(store);
    let body = folder.path().join("body");
    let tail = end.offset + end.len;
    end.file.write_all_at(&octets(1, (64 << 10) - tail as usize), tail).unwrap();
    drop(end);
    fs::write(body.join("00000077.seg"), octets(2, 100_000)).unwrap();
    fs::write(body.join("00000078.seg"), b"").unwrap();
    fs::write(body.join("README"), b"not ours").unwrap();
    let store = open(folder.path(), small());
    for n in 5..40 {
        arrive(&store, n, 6000).unwrap();
    }
    (0..40).for_each(|n| assert_arrived(&store, n, 6000));
    assert_eq!(fs::read(body.join("README")).unwrap(), b"not ours");
}

#[test]
fn damaged_content_is_told_and_the_rest_flows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..4 {
        arrive(&store, n, 9000).unwrap();
    }
    let place = |n: u64, piece: usize| {
        let content = store.ledger(mm(n)).unwrap().unwrap().content.unwrap();
        let extent = store.extents(&content, 0).unwrap().swap_remove(piece);
        (extent.offset, fs::read_link(format!("/proc/self/fd/{}", extent.file.as_raw_fd())).unwrap())
    };
    let places = [place(1, 1), place(2, 0)];
    // What this run has just written it reads out of the same memory; what an earlier one wrote it does not believe.
    drop(store);
    let damage = |(offset, path): &(u64, std::path::PathBuf), octets: &[u8], at: i64| {
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(octets, offset.saturating_add_signed(at)).unwrap();
    };
    let store = open(folder.path(), small());
    let content = |n| store.ledger(mm(n)).unwrap().unwrap().content.unwrap();
    let right = octets(1, 9000)[4096 + 9];
    damage(&places[0], &[right ^ 1], 9);
    assert!(matches!(read(&store, &content(1)), Err(StoreError::Corrupt(_))));
    let mut part = [0; 100];
    assert_eq!(store.read_content(&content(1), 0, &mut part), Ok(100), "the first record is whole");
    assert!(matches!(store.read_content(&content(1), 5000, &mut part), Err(StoreError::Corrupt(_))));
    assert!(matches!(store.extents(&content(1), 0), Err(StoreError::Corrupt(_))));
    // A header is damaged: not even its place is believed.
    damage(&places[1], b"X", -20);
    assert!(matches!(store.extents(&content(2), 0), Err(StoreError::Corrupt(_))));
    for n in [0, 3] {
        assert_arrived(&store, n, 9000);
    }
    // A ref from elsewhere, or nonsense, is damage as well, not a panic.
    for locator in [&b""[..], b"\0", b"\x01\xff\xff", &[1; 40]] {
        let content = ContentRef { len: 5, locator: locator.into() };
        assert!(matches!(store.read_content(&content, 0, &mut part), Err(StoreError::Corrupt(_))));
    }
    let segments: Vec<_> =
        fs::read_dir(folder.path().join("body")).unwrap().map(|f| f.unwrap().path()).collect();
    drop(store);
    segments.iter().for_each(|segment| fs::remove_file(segment).unwrap());
    let store = open(folder.path(), small());
    let stored = store.ledger(mm(0)).unwrap().unwrap();
    assert!(matches!(read(&store, &stored.content.unwrap()), Err(StoreError::Corrupt(_))));
    assert_eq!(commit(&store, vec![], vec![Op::RemoveLedger { id: mm(0) }]), Ok(Outcome::Done));
    arrive(&store, 9, 9000).unwrap();
    assert_arrived(&store, 9, 9000);
}

#[test]
fn a_damaged_row_is_told_and_the_rest_flows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..4 {
        arrive(&store, n, 100).unwrap();
    }
    drop(store);
    let ledger = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let id = mm(2).bits().to_be_bytes();
    let changed = ledger.execute("UPDATE mm SET ledger = zeroblob(600) WHERE id = ?", [id]).unwrap();
    assert_eq!(changed, 1);
    drop(ledger);
    let store = open(folder.path(), small());
    assert!(matches!(store.ledger(mm(2)), Err(StoreError::Corrupt(_))));
    for n in [0, 1, 3] {
        assert_arrived(&store, n, 100);
    }
    assert_eq!(store.ledgers(None, false, 9).unwrap().len(), 4);
    assert_eq!(store.queues().unwrap().len(), 1);
    // A person has seen it: it can be removed.
    assert_eq!(commit(&store, vec![], vec![Op::RemoveLedger { id: mm(2) }]), Ok(Outcome::Done));
    assert_absent(&store, 12);
}
