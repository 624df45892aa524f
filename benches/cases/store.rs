//! The real store in a temporary folder, with the batches that the heart makes: contents written, ledgers committed.
//!
//! Its committer is a thread of its own. Only one side works at a time, so that it does not matter who is faster.

use crate::mails::forward;
use crate::site::Site;
use counts::{Case, Operation};
use relay::memory::Memory;
use relay::store::{Batch, ContentRef, Op, Outcome, Store, StoreError};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use store::{Embedded, Options};

pub const CASES: &[Case] = &[
    Case::new("store-content-30k", 50, |folder, _| write_contents(folder, 30_000)),
    Case::new("store-content-300k", 20, |folder, _| write_contents(folder, 300_000)),
    Case::new("store-turn-30k", 30, |folder, total| turns(folder, total, 30_000)),
    Case::new("store-group-32", 3, groups),
    Case::new("relay-transit-30k", 30, |folder, _| transit(folder, 30_000, false)),
    Case::new("relay-transit-res-30k", 30, |folder, _| transit(folder, 30_000, true)),
];

/// Octets that come from a socket at once.
const PIECE: usize = 64 << 10;

fn open(folder: &Path) -> Arc<Embedded> {
    // Nobody waits for more batches: how many come in a span of time is what valgrind changes.
    let options = Options { window: Duration::ZERO, ..Options::default() };
    Arc::new(Embedded::open(&folder.join("store"), options).expect("a store"))
}

fn write(store: &Embedded, mail: &[u8]) -> ContentRef {
    let mut writer = store.content_writer(Some(mail.len() as u64)).expect("a writer");
    mail.chunks(PIECE).for_each(|piece| writer.write(piece).expect("room"));
    writer.finish().expect("room")
}

fn write_contents(folder: &Path, size: usize) -> Operation {
    let (store, mail) = (open(folder), forward(size));
    Box::new(move || {
        black_box(write(&store, black_box(&mail)));
    })
}

/// What the heart wants committed for so many MMs in transit: on their arrival, and when they were taken.
fn batches(total: usize) -> Vec<(Batch, Batch)> {
    let store = Memory::new();
    let mut site = Site::new(Arc::new(store.clone()));
    site.batches = Some(Vec::new());
    let content = store.content_writer(None).and_then(relay::store::ContentWriter::finish).expect("content");
    let mut made = || {
        let arrival = site.arrival(false, false, Some(content.clone()));
        site.happens(arrival);
        let errand = site.errands.pop_front().expect("an errand");
        site.happens(Site::taken(&errand));
        let mut batches = site.batches.replace(Vec::new()).into_iter().flatten();
        let made = (batches.next().expect("a batch"), batches.next().expect("a batch"));
        assert_eq!(batches.next(), None);
        made
    };
    (0..total).map(|_| made()).collect()
}

/// The batch with a content that is in the store.
fn with(mut batch: Batch, kept: ContentRef) -> Batch {
    let content = batch.ops.iter_mut().find_map(|op| match op {
        Op::KeepContent { content, .. } => Some(content),
        _ => None,
    });
    *content.expect("content to keep") = kept;
    batch
}

fn commit(store: &Embedded, batch: Batch, done: &(Sender<Outcome>, Receiver<Outcome>)) {
    let answer = done.0.clone();
    store.commit(batch.into(), Box::new(move |result| drop(answer.send(result.expect("a commit")))));
    assert_eq!(done.1.recv().expect("an answer"), Outcome::Done);
}

/// Content and arrival of an MM, then its end.
fn turns(folder: &Path, total: usize, size: usize) -> Operation {
    let (store, mail) = (open(folder), forward(size));
    let (mut batches, done) = (batches(total).into_iter(), channel());
    Box::new(move || {
        let (arrived, carried) = batches.next().expect("batches");
        commit(&store, with(arrived, write(&store, &mail)), &done);
        commit(&store, carried, &done);
    })
}

/// The arrivals of 32 MMs, committed together; their contents were written before.
fn groups(folder: &Path, total: usize) -> Operation {
    const GROUP: usize = 32;
    let (store, mail) = (open(folder), forward(3000));
    let mut arrivals = Vec::new();
    for (arrived, _) in batches(total * GROUP) {
        arrivals.push(with(arrived, write(&store, &mail)));
    }
    let mut arrivals = arrivals.into_iter();
    // The committer waits in the last answer of a group until the next group is there, whole.
    let (answered, mut go) = gate(&store, Batch::default());
    assert_eq!(answered.recv(), Ok(Outcome::Done));
    let (trouble, troubles) = channel();
    Box::new(move || {
        for _ in 1..GROUP {
            let trouble = trouble.clone();
            let done = move |result| {
                if result != Ok(Outcome::Done) {
                    let _ = trouble.send(result);
                }
            };
            store.commit(arrivals.next().expect("a batch").into(), Box::new(done));
        }
        let (answered, next) = gate(&store, arrivals.next().expect("a batch"));
        let _ = std::mem::replace(&mut go, next).send(());
        assert_eq!(answered.recv(), Ok(Outcome::Done));
        assert!(troubles.try_recv().is_err());
    })
}

/// Commit a batch whose answer holds the committer up until it is told to go on.
fn gate(store: &Embedded, batch: Batch) -> (Receiver<Outcome>, Sender<()>) {
    let ((answer, answered), (go, wait)) = (channel(), channel());
    let done = move |result: Result<Outcome, StoreError>| {
        let _ = answer.send(result.expect("a commit"));
        wait.recv().unwrap_or_default();
    };
    store.commit(batch.into(), Box::new(done));
    (answered, go)
}

/// The whole way of an MM but for the docks: content written, arrival, header read back for its errand, taken; with a
/// response, also that, and ours taken.
fn transit(folder: &Path, size: usize, asks_for_response: bool) -> Operation {
    let (store, mail) = (open(folder), forward(size));
    let mut site = Site::new(store.clone());
    let mut octets = vec![0; size];
    Box::new(move || {
        let content = write(&store, &mail);
        let arrival = site.arrival(false, asks_for_response, Some(content));
        site.happens(arrival);
        let errand = site.errands.pop_front().expect("an errand");
        let (content, _) = errand.body.as_ref().expect("a body");
        assert_eq!(store.read_content(content, 0, black_box(&mut octets)), Ok(size));
        site.happens(Site::taken(&errand));
        if asks_for_response {
            let response = site.response(&errand);
            site.happens(response);
            let response = site.errands.pop_front().expect("a response");
            site.happens(Site::taken(&response));
        }
    })
}
