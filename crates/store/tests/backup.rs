//! Copies that are made while others write.

mod common;

use common::*;
use relay::store::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use store::Options;

const LEN: usize = 9000;

/// Ends the other thread however the test ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_copy_made_under_load_has_everything_that_was_reported_before() {
    let folder = quick_folder();
    let store = open(&folder.path().join("data"), small());
    (0..40).for_each(|n| drop(arrive(&store, n, LEN).unwrap()));
    let (stop, reported) = (AtomicBool::new(false), AtomicU64::new(40));
    std::thread::scope(|scope| {
        let _end = End(&stop);
        // MMs come and go, dead room is wanted again at once, and housekeeping gives back what it can.
        scope.spawn(|| {
            for n in 40.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                arrive(&store, n, LEN).unwrap();
                reported.store(n + 1, Ordering::SeqCst);
                commit(&store, vec![], vec![Op::RemoveLedger { id: mm(n - 40) }]).unwrap();
                store.maintain(at(0), Duration::from_secs(1)).unwrap();
            }
        });
        for round in 0..6 {
            let to = folder.path().join(format!("copy-{round}"));
            let before = reported.load(Ordering::SeqCst);
            let mut told = Vec::new();
            let copied = store
                .backup(&to, &mut |done, all| {
                    told.push((done, all));
                    true
                })
                .unwrap();
            let after = reported.load(Ordering::SeqCst);
            assert_eq!(told.first().unwrap().0, 0);
            assert_eq!(told.last().unwrap().0, copied.octets);
            let copy = open(&to, small());
            assert_eq!(copy.check_ledger(), Ok(vec![]));
            let mms = copy.ledgers(None, false, usize::MAX).unwrap();
            assert_eq!(mms.len() as u64, copied.mms);
            // One moment between before and after: all that came up to it, less what had gone by then.
            let first = (0..).find(|n| mms.contains(&mm(*n))).unwrap();
            let last = (first..).find(|n| !mms.contains(&mm(*n))).unwrap();
            assert_eq!(last - first, copied.mms, "a gap");
            assert!((before..=after + 1).contains(&last), "{last} is not in {before}..={}", after + 1);
            assert!(first <= last - 39, "{first} to {last}");
            (first..last).for_each(|n| assert_arrived(&copy, n, LEN));
            // It lives on by itself.
            arrive(&copy, 1_000_000, LEN).unwrap();
            commit(&copy, vec![], vec![Op::RemoveLedger { id: mm(first) }]).unwrap();
            drop(copy);
            assert_arrived(&open(&to, small()), 1_000_000, LEN);
            assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o700);
        }
    });
    // Afterwards dead room is used again as before.
    let segments = || fs::read_dir(folder.path().join("data/body")).unwrap().count();
    store.maintain(at(0), Duration::from_secs(60)).unwrap();
    let before = segments();
    for n in 2_000_000..2_000_200 {
        arrive(&store, n, LEN).unwrap();
        commit(&store, vec![], vec![Op::RemoveLedger { id: mm(n) }]).unwrap();
    }
    assert!(segments() <= before + 2, "{before} segments became {}", segments());
}

#[test]
fn what_goes_while_the_copy_is_made_is_still_in_it() {
    let folder = quick_folder();
    let store = open(&folder.path().join("data"), Options { recycled_max: 0, ..small() });
    (0..40).for_each(|n| drop(arrive(&store, n, LEN).unwrap()));
    let to = folder.path().join("copy");
    let copied = store.backup(&to, &mut |done, _| {
        if done > 0 {
            return true;
        }
        // The ledger is copied, no content is yet. All of it goes, and others want its room.
        for n in (0..40).filter(|n| n % 5 != 0) {
            commit(&store, vec![], vec![Op::RemoveLedger { id: mm(n) }]).unwrap();
        }
        store.maintain(at(0), Duration::from_secs(60)).unwrap();
        for n in (0..40).filter(|n| n % 5 == 0) {
            commit(&store, vec![], vec![Op::RemoveLedger { id: mm(n) }]).unwrap();
        }
        store.maintain(at(0), Duration::from_secs(60)).unwrap();
        (100..140).for_each(|n| drop(arrive(&store, n, LEN).unwrap()));
        true
    });
    assert_eq!(copied.unwrap().mms, 40);
    let copy = open(&to, small());
    (0..40).for_each(|n| assert_arrived(&copy, n, LEN));
    (100..140).for_each(|n| assert_absent(&copy, n));
}

#[test]
fn a_copy_is_whole_or_has_no_name() {
    let folder = quick_folder();
    let store = open(&folder.path().join("data"), small());
    (0..20).for_each(|n| drop(arrive(&store, n, LEN).unwrap()));
    let to = folder.path().join("copy");
    // Leftovers of a copy that a crash ended are swept away; what has the name already is not touched.
    fs::create_dir_all(folder.path().join("copy.partial/body")).unwrap();
    fs::write(folder.path().join("copy.partial/store.db"), "half").unwrap();
    store.backup(&to, &mut |_, _| true).unwrap();
    assert!(!folder.path().join("copy.partial").exists());
    // Stopped on the way: nothing is left.
    let second = folder.path().join("second");
    let why = store.backup(&second, &mut |copied, _| copied < 30_000).unwrap_err().to_string();
    assert!(why.contains("was stopped"), "{why}");
    assert!(!second.exists() && !folder.path().join("second.partial").exists());
    let why = store.backup(&to, &mut |_, _| true).unwrap_err().to_string();
    assert!(why.contains("copy is there already"), "{why}");
    // A segment is missing: no copy at all rather than half of one.
    let segment = folder.path().join("data/body/00000001.seg");
    drop(store);
    fs::remove_file(&segment).unwrap();
    let store = open(&folder.path().join("data"), small());
    let name = segment.file_name().unwrap().to_str().unwrap();
    let why = store.backup(&second, &mut |_, _| true).unwrap_err().to_string();
    assert!(why.contains(name), "{why}");
    assert!(!second.exists() && !folder.path().join("second.partial").exists());
}

#[test]
fn a_damaged_ledger_file_is_told() {
    let folder = quick_folder();
    let store = open(folder.path(), small());
    (0..200).for_each(|n| drop(arrive(&store, n, 100).unwrap()));
    drop(store);
    let path = folder.path().join("store.db");
    let ledger = File::options().write(true).open(&path).unwrap();
    let pages = ledger.metadata().unwrap().len() / 4096;
    // The last pages hold rows and index entries, none of them what is read at the start.
    for page in pages - 6..pages {
        ledger.write_all_at(&[0x5a; 64], page * 4096 + 8).unwrap();
    }
    drop(ledger);
    let store = open(folder.path(), small());
    let found = store.check_ledger().unwrap();
    assert!(!found.is_empty());
}
