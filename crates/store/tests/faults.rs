//! Fail every operation on a file once, each in its turn: nothing that was reported durable is lost, nothing lies.
#![cfg(debug_assertions)]

mod common;

use common::*;
use relay::store::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Embedded, Fault, Faults, FileOp, Options};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Lets the n-th operation fail, and remembers which that was.
#[derive(Debug)]
struct Nth {
    left: AtomicI64,
    fault: Fault,
    hit: Mutex<Option<FileOp>>,
}

impl Nth {
    fn new(n: i64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(n), fault, hit: Mutex::new(None) })
    }
}

impl Faults for Nth {
    fn before(&self, op: FileOp) -> Option<Fault> {
        (self.left.fetch_sub(1, Ordering::Relaxed) == 0).then(|| {
            *self.hit.lock().unwrap() = Some(op);
            self.fault
        })
    }
}

/// What is known of an MM.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    There,
    Absent,
    Either,
}

const LEN: usize = 9000;

/// Some MMs come and go. Whatever fails, note what was said.
fn scenario(store: &Embedded) -> BTreeMap<u64, Fate> {
    let mut fates = BTreeMap::new();
    let remove = |fates: &mut BTreeMap<u64, Fate>, n| {
        if fates[&n] == Fate::There {
            let fate = match commit(store, vec![], vec![Op::RemoveLedger { id: mm(n) }]) {
                Ok(_) => Fate::Absent,
                Err(StoreError::Unknown(_)) => Fate::Either,
                Err(_) => Fate::There,
            };
            fates.insert(n, fate);
        }
    };
    for n in 0..16 {
        let fate = match arrive(store, n, LEN) {
            Ok(Outcome::Done) => Fate::There,
            Ok(other) => panic!("{other:?}"),
            Err(StoreError::Unknown(_)) => Fate::Either,
            Err(StoreError::Full(_) | StoreError::Unavailable(_)) => Fate::Absent,
            Err(StoreError::Corrupt(why)) => panic!("{why}"),
        };
        fates.insert(n, fate);
        if n >= 3 {
            remove(&mut fates, n - 3);
        }
        if n == 8 {
            let _ = store.maintain(at(0), Duration::from_secs(60)); // it may fail; it may not lose anything
        }
    }
    remove(&mut fates, 13);
    let _ = store.maintain(at(0), Duration::from_secs(60));
    fates
}

fn check(folder: &Path, fates: &BTreeMap<u64, Fate>, what: &str) {
    let store = open(folder, small());
    for (&n, fate) in fates {
        let there = store.ledger(mm(n)).unwrap_or_else(|why| panic!("{what}: {why}")).is_some();
        match fate {
            Fate::There => assert!(there, "{what}: MM {n} was reported durable and is lost"),
            Fate::Absent => assert!(!there, "{what}: MM {n} was reported absent and is there"),
            Fate::Either => {}
        }
        if there {
            assert_arrived(&store, n, LEN);
        }
    }
    // And life goes on.
    for n in 100..104 {
        arrive(&store, n, LEN).unwrap();
        assert_arrived(&store, n, LEN);
    }
}

#[test]
fn every_operation_fails_once() {
    let mut hits = BTreeMap::new();
    for fault in [Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::Afterwards(EIO)] {
        for n in 0.. {
            let folder = quick_folder();
            let faults = Nth::new(n, fault);
            let options = Options { faults: Some(faults.clone()), recycled_max: 0, ..small() };
            let what = || format!("operation {n} ({:?}) with {fault:?}", faults.hit.lock().unwrap());
            let fates = match Embedded::open(folder.path(), options) {
                Ok(store) => {
                    let fates = scenario(&store);
                    let hit = *faults.hit.lock().unwrap();
                    if matches!(hit, Some(FileOp::Sync | FileOp::Commit | FileOp::Settle)) {
                        // Final: not another word of success, and it says so.
                        assert!(store.health().failed.is_some(), "{}", what());
                        assert!(
                            matches!(arrive(&store, 50, 10), Err(StoreError::Unavailable(_))),
                            "{}",
                            what()
                        );
                        let empty = commit(&store, vec![], vec![]);
                        assert!(matches!(empty, Err(StoreError::Unavailable(_))), "{}", what());
                        assert!(store.maintain(at(0), Duration::ZERO).is_err(), "{}", what());
                    } else {
                        assert_eq!(store.health().failed, None, "{}", what());
                    }
                    fates
                }
                Err(_) => BTreeMap::new(),
            };
            check(folder.path(), &fates, &what());
            let Some(op) = *faults.hit.lock().unwrap() else { break };
            *hits.entry(format!("{op:?}")).or_insert(0) += 1;
        }
    }
    for op in ["Create", "Allocate", "Write", "Sync", "SyncFolder", "Punch", "Remove", "Commit", "Settle"] {
        assert!(hits.contains_key(op), "no {op} was ever failed: {hits:?}");
    }
}

#[test]
fn a_failed_flush_is_never_tried_again() {
    /// Fails one flush; after that, any touch of a file is a mistake, except to write what nobody will keep.
    #[derive(Debug, Default)]
    struct Once {
        failed: Mutex<bool>,
        after: Mutex<Vec<FileOp>>,
    }
    impl Faults for Once {
        fn before(&self, op: FileOp) -> Option<Fault> {
            let mut failed = self.failed.lock().unwrap();
            if *failed {
                self.after.lock().unwrap().push(op);
                return None;
            }
            *failed = op == FileOp::Sync;
            failed.then_some(Fault::Errno(EIO))
        }
    }
    let folder = quick_folder();
    let faults = Arc::new(Once::default());
    let store = open(folder.path(), Options { faults: Some(faults.clone()), ..small() });
    let early = store.content_writer(None).unwrap();
    assert!(matches!(arrive(&store, 1, 10), Err(StoreError::Unavailable(_))));
    assert!(matches!(store.content_writer(None), Err(StoreError::Unavailable(_))));
    let content = early.finish().unwrap();
    let ops = vec![put(2), Op::KeepContent { id: mm(2), content, owner: "b".into() }];
    assert!(matches!(commit(&store, vec![], ops), Err(StoreError::Unavailable(_))));
    assert_eq!(store.ledger(mm(1)), Ok(None), "reading goes on");
    drop(store);
    assert!(faults.after.lock().unwrap().iter().all(|op| *op == FileOp::Write), "{faults:?}");
}
