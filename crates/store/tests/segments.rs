//! The room of dead content is used again, that of living content never.

mod common;

use common::*;
use relay::store::*;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;
use store::{Embedded, Options};

const HOUR: Duration = Duration::from_secs(3600);

fn remove(store: &Embedded, n: u64) {
    assert_eq!(commit(store, vec![], vec![Op::RemoveLedger { id: mm(n) }]), Ok(Outcome::Done));
}

fn files(folder: &Path) -> Vec<fs::Metadata> {
    fs::read_dir(folder.join("body")).unwrap().map(|file| file.unwrap().metadata().unwrap()).collect()
}

fn blocks(folder: &Path) -> u64 {
    files(folder).iter().map(|file| file.blocks() * 512).sum()
}

#[test]
fn dead_segments_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..200 {
        arrive(&store, n, 10_000).unwrap();
        if n >= 5 {
            remove(&store, n - 5);
        }
    }
    // 2 MB went through segments of 64 KiB, of which two or three live at a time.
    assert!(files(folder.path()).len() <= 4, "{} files", files(folder.path()).len());
    (195..200).for_each(|n| assert_arrived(&store, n, 10_000));
}

#[test]
fn what_lives_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), small());
    for n in 0..300 {
        arrive(&store, n, (n as usize * 977) % 9000).unwrap();
        if n % 7 != 0 {
            remove(&store, n);
        }
        if n % 60 == 59 {
            store.maintain(at(0), HOUR).unwrap();
        }
        if n % 100 == 99 {
            drop(store);
            store = open(folder.path(), small());
        }
    }
    for n in (0..300).step_by(7) {
        assert_arrived(&store, n, (n as usize * 977) % 9000);
    }
}

#[test]
fn an_old_reference_never_shows_a_new_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    arrive(&store, 0, 30_000).unwrap();
    // A copy, so that it does not hold anything.
    let content = store.ledger(mm(0)).unwrap().unwrap().content.unwrap();
    let old = ContentRef { len: content.len, locator: content.locator.to_vec().into() };
    drop(content);
    remove(&store, 0);
    for n in 1..20 {
        arrive(&store, n, 30_000).unwrap();
        remove(&store, n);
    }
    assert!(matches!(read(&store, &old), Err(StoreError::Corrupt(_))));
    assert!(matches!(store.extents(&old, 0), Err(StoreError::Corrupt(_))));
    let keep = Op::KeepContent { id: mm(50), content: old, owner: "b".into() };
    assert!(matches!(commit(&store, vec![], vec![put(50), keep]), Err(StoreError::Unavailable(_))));
    assert_eq!(store.ledger(mm(50)), Ok(None));
}

#[test]
fn a_reader_keeps_its_octets() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    arrive(&store, 0, 30_000).unwrap();
    let content = store.ledger(mm(0)).unwrap().unwrap().content.unwrap();
    let extents = store.extents(&content, 0).unwrap();
    remove(&store, 0);
    for n in 1..40 {
        arrive(&store, n, 30_000).unwrap();
        remove(&store, n);
        store.maintain(at(0), HOUR).unwrap();
    }
    let mut read = Vec::new();
    for extent in &extents {
        let mut part = vec![0; extent.len as usize];
        extent.file.read_exact_at(&mut part, extent.offset).unwrap();
        read.extend(part);
    }
    assert!(read == octets(0, 30_000));
}

#[test]
fn a_finished_content_waits_for_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    let waiting = write(&store, &octets(1000, 20_000)).unwrap();
    for n in 1..40 {
        arrive(&store, n, 30_000).unwrap();
        remove(&store, n);
        store.maintain(at(0), HOUR).unwrap();
    }
    let ops = vec![put(1000), Op::KeepContent { id: mm(1000), content: waiting.clone(), owner: "b".into() }];
    assert_eq!(commit(&store, vec![], ops), Ok(Outcome::Done));
    assert!(read(&store, &waiting).unwrap() == octets(1000, 20_000));
}

#[test]
fn abandoned_writers_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..200 {
        let mut writer = store.content_writer(None).unwrap();
        writer.write(&octets(n, 20_000)).unwrap();
        if n % 2 == 0 {
            drop(writer);
        } else {
            drop(writer.finish().unwrap()); // finished, but never kept
        }
    }
    assert!(files(folder.path()).len() <= 3, "{} files", files(folder.path()).len());
    assert_eq!(store.health().content_live, 0);
}

#[test]
fn holes_are_punched_where_little_lives() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { segment_size: 1 << 20, recycled_max: 0, ..small() };
    let store = open(folder.path(), options());
    for n in 0..200 {
        arrive(&store, n, 20_000).unwrap();
    }
    let before = blocks(folder.path());
    (0..200).filter(|n| n % 20 != 0).for_each(|n| remove(&store, n));
    let freed = store.maintain(at(0), HOUR).unwrap().freed;
    let after = blocks(folder.path());
    assert!(freed > 0 && after < before - (2 << 20), "{before} -> {after}, {freed} freed");
    assert_eq!(store.maintain(at(0), HOUR).unwrap().freed, 0, "nothing is punched twice");
    assert!(store.health().content_live > 10 * 20_000);
    drop(store);
    let store = open(folder.path(), options());
    (0..200).step_by(20).for_each(|n| assert_arrived(&store, n, 20_000));
    // What is gone from a punched segment cannot come to life again, and what lives in it can change hands.
    let content = store.ledger(mm(20)).unwrap().unwrap().content.unwrap();
    let ops = vec![
        Op::DropContent { id: mm(20) },
        Op::KeepContent { id: mm(21), content: content.clone(), owner: "b".into() },
        put(21),
    ];
    assert_eq!(commit(&store, vec![], ops), Ok(Outcome::Done));
    assert!(read(&store, &content).unwrap() == octets(20, 20_000));
    (0..200).step_by(20).for_each(|n| remove(&store, n));
    remove(&store, 21);
    while store.maintain(at(0), HOUR).unwrap().more {}
    assert!(files(folder.path()).len() <= 2, "{} files", files(folder.path()).len());
}

#[test]
fn housekeeping_keeps_to_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Options { recycled_max: 1, ..small() });
    for n in 0..20 {
        arrive(&store, n, 50_000).unwrap();
    }
    (0..20).for_each(|n| remove(&store, n));
    let before = files(folder.path()).len();
    let first = store.maintain(at(0), Duration::ZERO).unwrap();
    assert!(first.more && first.freed > 0);
    assert_eq!(files(folder.path()).len(), before - 1, "one step at a time");
    let mut steps = 1;
    while store.maintain(at(0), Duration::ZERO).unwrap().more {
        steps += 1;
    }
    // Left are the active one, its successor and one to use again.
    assert!(steps > 5 && files(folder.path()).len() <= 3);
    for n in 0..1200 {
        let ops = vec![Op::Remember { key: key(n), value: vec![], keep_until: at(5) }];
        let done: Done = Box::new(|result| assert_eq!(result, Ok(Outcome::Done)));
        store.commit(Batch { need: vec![], ops }.into(), done);
    }
    let mut forgotten = Vec::new();
    loop {
        let step = store.maintain(at(5), Duration::ZERO).unwrap();
        forgotten.push(step.forgotten);
        if !step.more {
            break;
        }
    }
    assert_eq!(forgotten, [512, 512, 176]);
}

#[test]
fn big_and_crumbled_contents() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(
        folder.path(),
        Options { segment_size: 4 << 20, ..Options { disk_free_min: 0, ..Options::default() } },
    );
    let big = octets(1, 5_000_000);
    let content = write(&store, &big).unwrap();
    assert!(content.locator.len() < 200, "{}", content.locator.len());
    let mut crumbs = store.content_writer(None).unwrap();
    for octets in octets(2, 1000).chunks(1) {
        crumbs.write(octets).unwrap();
    }
    let crumbs = crumbs.finish().unwrap();
    let empty = store.content_writer(Some(0)).unwrap().finish().unwrap();
    let ops = vec![
        put(1),
        Op::KeepContent { id: mm(1), content: content.clone(), owner: "b".into() },
        Op::KeepContent { id: mm(2), content: crumbs, owner: "b".into() },
        put(2),
        Op::KeepContent { id: mm(3), content: empty, owner: "b".into() },
        put(3),
    ];
    assert_eq!(commit(&store, vec![], ops), Ok(Outcome::Done));
    drop(store);
    let store = open(folder.path(), small());
    let of = |n| store.ledger(mm(n)).unwrap().unwrap().content.unwrap();
    assert!(read(&store, &of(1)).unwrap() == big);
    assert_eq!(read(&store, &of(2)).unwrap(), octets(2, 1000));
    assert_eq!(read(&store, &of(3)).unwrap(), b"");
    // In slices that do not fit the records, from anywhere.
    let mut slice = vec![0; 61_003];
    for offset in (0..5_000_000).step_by(61_003) {
        let n = store.read_content(&of(1), offset, &mut slice).unwrap();
        assert!(slice[..n] == big[offset as usize..(offset as usize + 61_003).min(big.len())]);
    }
    assert_eq!(store.read_content(&of(1), 5_000_000, &mut slice), Ok(0));
    assert_eq!(store.read_content(&of(1), u64::MAX, &mut slice), Ok(0));
    let extents = store.extents(&of(1), 0).unwrap();
    let mut whole = Vec::new();
    for extent in extents {
        let mut part = vec![0; extent.len as usize];
        extent.file.read_exact_at(&mut part, extent.offset).unwrap();
        whole.extend(part);
    }
    assert!(whole == big);
}

#[test]
fn many_write_and_commit_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    const EACH: u64 = 40;
    std::thread::scope(|scope| {
        for w in 0..16u64 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..EACH {
                    let n = w * EACH + i;
                    let len = (n as usize * 6131) % 14_000;
                    assert_eq!(arrive(store, n, len), Ok(Outcome::Done));
                    assert_arrived(store, n, len);
                    // The same again, as a peer that missed the answer would: nobody takes it twice.
                    assert!(matches!(arrive(store, n, len), Ok(Outcome::Duplicates(_))));
                    if !n.is_multiple_of(3) {
                        remove(store, n);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                store.maintain(at(0), Duration::from_millis(1)).unwrap();
            }
        });
    });
    for n in (0..16 * EACH).filter(|n| n % 3 == 0) {
        assert_arrived(&store, n, (n as usize * 6131) % 14_000);
    }
    assert_eq!(store.drain(Topic::Charging, 0, 10_000).unwrap().len() as u64, 16 * EACH);
}

#[test]
fn what_lives_in_somebodys_name_is_counted_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    // What the log puts beside the octets counts as well: a little more than was written.
    let about = |octets: u64, found: u64| (octets..octets + octets / 10 + 1000).contains(&found);
    for n in 0..20 {
        arrive(&store, n, 20_000).unwrap();
    }
    let ops = vec![
        put(100),
        Op::KeepContent {
            id: mm(100),
            content: write(&store, &octets(100, 5_000)).unwrap(),
            owner: "c".into(),
        },
    ];
    assert_eq!(commit(&store, vec![], ops), Ok(Outcome::Done));
    assert!(about(400_000, store.stored_by("b")), "{}", store.stored_by("b"));
    assert!(about(5_000, store.stored_by("c")), "{}", store.stored_by("c"));
    assert_eq!((store.stored_by("d"), store.stored_by("")), (0, 0));
    (0..10).for_each(|n| remove(&store, n));
    let half = store.stored_by("b");
    assert!(about(200_000, half), "{half}");
    drop(store);
    let store = open(folder.path(), small());
    assert_eq!(store.stored_by("b"), half);
    (10..20).for_each(|n| remove(&store, n));
    assert_eq!(store.stored_by("b"), 0);
}
