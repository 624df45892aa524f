//! Deciding: turns of the heart over the store in memory, and the encoding of what it keeps.
//!
//! A turn is one event, the decision, its batch committed, and what follows from it handed out.

use crate::site::Site;
use counts::{Case, Operation};
use mms::MmId;
use relay::memory::Memory;
use relay::store::{ContentRef, Store};
use relay::{Event, Ledger};
use std::hint::black_box;
use std::sync::Arc;

pub const CASES: &[Case] = &[
    Case::new("heart-transit-arrival", 50, |_, total| turns(total, Turn::Arrival, false)),
    Case::new("heart-transit-carried", 50, |_, total| turns(total, Turn::Carried, false)),
    Case::new("heart-transit-res-arrival", 50, |_, total| turns(total, Turn::Arrival, true)),
    Case::new("heart-transit-res-carried", 50, |_, total| turns(total, Turn::Carried, true)),
    Case::new("heart-transit-res-in", 50, |_, total| turns(total, Turn::Response, true)),
    Case::new("heart-transit-res-told", 50, |_, total| turns(total, Turn::ResponseCarried, true)),
    Case::new("heart-local-res-arrival", 50, |_, total| turns(total, Turn::LocalArrival, true)),
    Case::new("ledger-encode", 200, |_, _| encode()),
    Case::new("ledger-decode", 200, |_, _| decode()),
];

/// Which turn of an MM's life is counted; those before it are not.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// It arrives, and its errand leaves.
    Arrival,
    /// It arrives for a user of ours, and its response leaves.
    LocalArrival,
    /// The next peer has taken it.
    Carried,
    /// The next peer's response arrives, and ours leaves.
    Response,
    /// The peer before has taken our response.
    ResponseCarried,
}

fn content(store: &Memory) -> ContentRef {
    let mut writer = store.content_writer(None).expect("a writer");
    writer.write(&[b'x'; 64]).expect("room");
    writer.finish().expect("room")
}

fn turns(total: usize, turn: Turn, asks_for_response: bool) -> Operation {
    let store = Memory::new();
    let mut site = Site::new(Arc::new(store.clone()));
    // One for all: the store in memory looks at each content that it has.
    let content = content(&store);
    let mut events: Vec<(MmId, Event)> = Vec::new();
    for _ in 0..total {
        let for_us = turn == Turn::LocalArrival;
        let arrival = site.arrival(for_us, asks_for_response, Some(content.clone()));
        if matches!(turn, Turn::Arrival | Turn::LocalArrival) {
            events.push(arrival);
            continue;
        }
        site.happens(arrival);
        let errand = site.errands.pop_front().expect("an errand");
        if turn == Turn::Carried {
            events.push(Site::taken(&errand));
            continue;
        }
        site.happens(Site::taken(&errand));
        let response = site.response(&errand);
        if turn == Turn::Response {
            events.push(response);
            continue;
        }
        site.happens(response);
        events.push(Site::taken(&site.errands.pop_front().expect("a response")));
    }
    let leaves = !matches!(turn, Turn::Carried | Turn::ResponseCarried);
    let mut events = events.into_iter();
    Box::new(move || {
        site.happens(events.next().expect("an event"));
        assert_eq!(black_box(site.errands.pop_front()).is_some(), leaves);
    })
}

/// The ledger of an MM in transit whose response is awaited.
pub fn ledger() -> Ledger {
    let store = Memory::new();
    let mut site = Site::new(Arc::new(store.clone()));
    let arrival = site.arrival(false, true, Some(content(&store)));
    let mm = arrival.0;
    site.happens(arrival);
    let errand = site.errands.pop_front().expect("an errand");
    site.happens(Site::taken(&errand));
    Ledger::decode(&store.ledger(mm).expect("an answer").expect("a ledger").ledger).expect("a ledger")
}

fn encode() -> Operation {
    let ledger = ledger();
    Box::new(move || {
        black_box(black_box(&ledger).encode());
    })
}

fn decode() -> Operation {
    let octets = ledger().encode();
    Box::new(move || {
        black_box(Ledger::decode(black_box(&octets))).expect("a ledger");
    })
}
