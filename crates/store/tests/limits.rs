//! What the store refuses, and that it says why.

mod common;

use common::*;
use relay::store::*;
use rusqlite::Connection;
use std::fs;
use store::{Embedded, OpenError, Options};

#[test]
fn one_folder_opens_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    let again = Embedded::open(folder.path(), small()).unwrap_err();
    assert!(matches!(again, OpenError::Locked { .. }));
    assert!(again.to_string().contains(folder.path().to_str().unwrap()), "{again}");
    // Whoever still writes or reads octets there has it open as well.
    arrive(&store, 1, 100).unwrap();
    let extents = store.extents(&store.ledger(mm(1)).unwrap().unwrap().content.unwrap(), 0).unwrap();
    let writer = store.content_writer(None).unwrap();
    drop(store);
    assert!(matches!(Embedded::open(folder.path(), small()), Err(OpenError::Locked { .. })));
    drop(extents);
    assert!(matches!(Embedded::open(folder.path(), small()), Err(OpenError::Locked { .. })));
    drop(writer);
    drop(open(folder.path(), small()));
}

#[test]
fn a_later_or_foreign_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), small()));
    let path = folder.path().join("store.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let why = Embedded::open(folder.path(), small()).unwrap_err();
    assert!(matches!(why, OpenError::Newer { found: 99, .. }));
    assert!(why.to_string().contains("later version") && why.to_string().contains("99"), "{why}");

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    Connection::open(other.join("store.db")).unwrap().execute_batch("CREATE TABLE theirs(a)").unwrap();
    let why = Embedded::open(&other, small()).unwrap_err();
    assert!(matches!(why, OpenError::NotOurs { .. }), "{why}");
    let tables = |path| {
        let sql = "SELECT group_concat(name) FROM sqlite_schema";
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(tables(other.join("store.db")), "theirs");

    let noise = folder.path().join("noise");
    fs::create_dir(&noise).unwrap();
    fs::write(noise.join("store.db"), octets(1, 9000)).unwrap();
    let why = Embedded::open(&noise, small()).unwrap_err();
    assert!(matches!(why, OpenError::Ledger { .. }), "{why}");
    assert!(why.to_string().contains("store.db"), "{why}");
    assert_eq!(fs::read(noise.join("store.db")).unwrap(), octets(1, 9000));
}

#[test]
fn a_file_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let why = Embedded::open(&folder.path().join("file"), small()).unwrap_err();
    assert!(matches!(why, OpenError::Io { .. }) && why.to_string().contains("file"), "{why}");
    let absurd = Options { chunk_size: 1 << 20, ..small() };
    assert!(matches!(Embedded::open(folder.path(), absurd), Err(OpenError::Options(_))));
}

#[test]
fn a_low_disk_refuses_content_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    for n in 0..3 {
        arrive(&store, n, 5000).unwrap();
    }
    drop(store);
    let store = open(folder.path(), Options { disk_free_min: u64::MAX, ..small() });
    assert!(matches!(store.content_writer(Some(10)), Err(StoreError::Full(_))));
    let content = store.ledger(mm(0)).unwrap().unwrap().content.unwrap();
    let keep = Op::KeepContent { id: mm(7), content, owner: "b".into() };
    assert!(matches!(commit(&store, vec![], vec![put(7), keep]), Err(StoreError::Full(_))));
    assert_eq!(store.ledger(mm(7)), Ok(None));
    let held = entry("peer.example", 1, 0);
    let retry = Op::Retry { entry: held.clone(), due: at(50) };
    assert_eq!(commit(&store, vec![Need::Held(held)], vec![retry, put(1)]), Ok(Outcome::Done));
    assert_eq!(commit(&store, vec![], vec![Op::RemoveLedger { id: mm(2) }]), Ok(Outcome::Done));
    assert_eq!(store.health().failed, None);
}

#[cfg(debug_assertions)]
#[test]
fn a_full_ledger_is_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Options { ledger_pages_max: Some(32), ..small() });
    let (tx, rx) = std::sync::mpsc::channel();
    // Together, so that those which fit share a transaction with those which do not.
    for n in 0..120 {
        let tx = tx.clone();
        let batch = Batch { need: vec![], ops: vec![put(n), Op::Enqueue(entry("peer.example", n, 0))] };
        store.commit(batch.into(), Box::new(move |result| tx.send((n, result)).unwrap()));
    }
    let results: Vec<_> = rx.iter().take(120).collect();
    let done: Vec<_> =
        results.iter().filter(|(_, result)| *result == Ok(Outcome::Done)).map(|(n, _)| *n).collect();
    assert!(!done.is_empty() && done.len() < 120, "{}", done.len());
    for (n, result) in results {
        if let Err(why) = &result {
            assert!(matches!(why, StoreError::Full(_)), "{why}");
        }
        assert_eq!(store.ledger(mm(n)).unwrap().is_some(), result.is_ok());
    }
    assert_eq!(store.health().failed, None);
    // Room is made, and things go on.
    for n in &done[..done.len() / 2] {
        assert_eq!(commit(&store, vec![], vec![Op::RemoveLedger { id: mm(*n) }]), Ok(Outcome::Done));
    }
    assert_eq!(commit(&store, vec![], vec![put(500)]), Ok(Outcome::Done));
    drop(store);
    let store = open(folder.path(), small());
    assert_eq!(store.ledgers(None, false, 999).unwrap().len(), done.len() - done.len() / 2 + 1);
}

#[test]
fn the_write_ahead_log_stays_short() {
    let folder = tempfile::tempdir().unwrap();
    let size = 400_000;
    let store = open(folder.path(), Options { checkpoint_size: size, ..small() });
    let mut longest = 0;
    for n in 0..600 {
        arrive(&store, n, 10).unwrap();
        store.ledgers(None, true, 3).unwrap();
        longest = longest.max(store.health().log_size);
    }
    // One transaction may go beyond the threshold; a transaction here is some 20 pages.
    assert!(longest < size + 40 * 4096, "{longest}");
    assert!(longest > size / 2, "the test must reach the threshold");
}

#[test]
fn a_reader_that_stays_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Options { checkpoint_size: 100_000, settle_batches: 1, ..small() });
    arrive(&store, 0, 10).unwrap();
    let stayer = Connection::open(folder.path().join("store.db")).unwrap();
    stayer.execute_batch("BEGIN; SELECT count(*) FROM mm").unwrap();
    for n in 1..40 {
        arrive(&store, n, 10).unwrap();
    }
    assert!(store.health().log_size > 200_000, "it cannot shrink while somebody reads");
    stayer.execute_batch("COMMIT").unwrap();
    for n in 40..120 {
        arrive(&store, n, 10).unwrap();
    }
    assert!(store.health().log_size < 600_000, "{}", store.health().log_size);
    (0..120).for_each(|n| assert_arrived(&store, n, 10));
}

#[test]
fn what_is_queued_is_finished_on_closing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    let (tx, rx) = std::sync::mpsc::channel();
    for n in 0..200 {
        let tx = tx.clone();
        store.commit(
            Batch { need: vec![], ops: vec![put(n)] }.into(),
            Box::new(move |result| tx.send(result).unwrap()),
        );
    }
    drop(store);
    drop(tx);
    assert_eq!(rx.iter().filter(|result| *result == Ok(Outcome::Done)).count(), 200);
    assert!(!folder.path().join("store.db-wal").exists(), "the log is part of the ledger now");
    assert_eq!(open(folder.path(), small()).ledgers(None, false, 999).unwrap().len(), 200);
}

#[test]
fn a_panicking_callback_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), small());
    store.commit(
        Batch { need: vec![], ops: vec![put(1)] }.into(),
        Box::new(|_| panic!("a careless callback")),
    );
    assert_eq!(commit(&store, vec![], vec![put(2)]), Ok(Outcome::Done));
    assert!(store.ledger(mm(1)).unwrap().is_some());
    assert_eq!(store.health().failed, None);
}
