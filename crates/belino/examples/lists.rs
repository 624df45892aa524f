//! How long an application's list of its MMs takes among very many of others, without and with the search index:
//! `cargo run --release -p belino --example lists [COUNT] [ONE_IN]`.
//!
//! Makes a store of COUNT MMs in a temporary folder, of which one in ONE_IN is the application's, and asks for one page of
//! `GET /v1/messages`, for pages until twenty MMs have come, and for the whole list. Prints the medians of nine.

use belino::clock::{Clock, monotonic};
use belino::dock::http::own::{Whose, page};
use belino::dock::http::shown::submitter;
use belino::search::Search;
use mms::{ForwardReq, MmId, Timestamp};
use relay::store::{Batch, Op, Store};
use relay::{Ledger, Moment, Origin, PeerName, Recipient, RecipientKind, RecipientState, What};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use store::{Embedded, Options};

/// Between two MMs, in milliseconds.
const GAP: i64 = 80;
/// MMs of a page, as the API has it by default.
const LIMIT: usize = 20;

fn ledger(n: u64, one_in: u64, began: Timestamp) -> Ledger {
    let at = Timestamp::from_millis(began.millis() + GAP * n as i64);
    let id = MmId::new(at.millis(), 0, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let peer = PeerName::new(&format!("peer-{:02}", n % 40));
    let origin = match n % one_in {
        0 => Origin::Submitted { by: submitter("shop"), hook: None },
        _ => Origin::Received { peer: peer.clone(), mail_from: None },
    };
    let mut ledger = Ledger::new(id, origin, at, Timestamp::from_millis(at.millis() + 604_800_000));
    ledger.request = Some(ForwardReq {
        from: format!("+1202555{:04}", n * 7 % 10_000).parse().ok(),
        ..ForwardReq::default()
    });
    let to = format!("+447700{:06}", 900_000 + n * 31 % 90_000).parse().expect("a number");
    ledger.recipients.push(Recipient::new(to, RecipientKind::To, RecipientState::Accepted, at));
    for what in [What::Received, What::Queued, What::Forwarded, What::Response] {
        let text = "MM4_forward.REQ, 30000 octets, response asked".to_owned();
        ledger.history.push(Moment { at, what, peer: Some(peer.clone()), recipients: vec![0], text });
    }
    ledger
}

/// Requests and MMs of a list that is read until it ends, or so many MMs have come, or so many requests were made.
fn read(
    store: &dyn Store,
    search: Option<&Search>,
    mms: usize,
    requests: usize,
) -> anyhow::Result<(usize, usize)> {
    let whose = Whose { application: "shop", webhook: None };
    let (mut after, mut come, mut asked) = (None, 0, 0);
    loop {
        let page = page(store, search, whose, after, LIMIT)?;
        (come, asked) = (come + page.messages.len(), asked + 1);
        after = page.next;
        if after.is_none() || come >= mms || asked >= requests {
            return Ok((asked, come));
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let count = arguments.next().unwrap_or(Ok(100_000))?;
    let one_in = arguments.next().unwrap_or(Ok(1000))?.max(1);
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Embedded::open(folder.path(), Options::default())?);
    let began = Clock::System.now().minus(Duration::from_millis(GAP as u64 * count));
    let (done, reports) = sync_channel(4096);
    let mut under_way = 0;
    for n in 0..count {
        let ledger = ledger(n, one_in, began);
        let put = Op::PutLedger { id: ledger.id, ledger: ledger.encode(), wake: None };
        let done = done.clone();
        let batch = Arc::new(Batch { need: vec![], ops: vec![put] });
        store.commit(
            batch,
            Box::new(move |r| {
                let _ = done.send(r.is_ok());
            }),
        );
        under_way += 1;
        if under_way == 4096 {
            anyhow::ensure!(reports.recv()?, "a batch was refused");
            under_way -= 1;
        }
    }
    for _ in 0..under_way {
        anyhow::ensure!(reports.recv()?, "a batch was refused");
    }
    let (search, thread) = Search::start(folder.path(), store.clone())?;
    let (_never, pause) = sync_channel::<()>(1);
    while search.behind().reading.is_some() {
        let _ = pause.recv_timeout(Duration::from_millis(200));
    }
    println!("{count} MMs, one in {one_in} is the application's");
    println!("{:>10} {:>10} {:>9} {:>6}", "median", "greatest", "requests", "MMs");
    for (name, mms, requests) in [
        ("one request", usize::MAX, 1),
        ("until twenty have come", LIMIT, usize::MAX),
        ("the whole list", usize::MAX, usize::MAX),
    ] {
        for (how, search) in [("each MM is looked at", None), ("by the index", Some(&*search))] {
            let (mut spans, mut sum) = (Vec::new(), (0, 0));
            for _ in 0..9 {
                let start = monotonic();
                sum = read(&*store, search, mms, requests)?;
                spans.push((monotonic() - start) as f64 / 1e6);
            }
            spans.sort_by(f64::total_cmp);
            println!("{:>7.2} ms {:>7.2} ms {:>9} {:>6}  {name}, {how}", spans[4], spans[8], sum.0, sum.1);
        }
    }
    search.stop();
    let _ = thread.join();
    Ok(())
}
