//! How long searches and pages of the console take in a store of very many MMs:
//! `cargo run --release -p belino --example million [COUNT] [stay]`.
//!
//! Makes a store of finished, failed and waiting MMs in a temporary folder, lets the search read it, and asks ten different
//! things, each nine times; then starts a relay on it and asks its console for every page. Prints the median of each, and the
//! greatest. With `stay` it first waits, with a link that logs in.

mod pages;

use belino::clock::{Clock, monotonic};
use belino::search::{Asked, Search};
use mms::{ForwardReq, MessageId, MmId, Party, Timestamp};
use relay::store::{Batch, Op, Store};
use relay::{Ledger, Moment, Origin, PeerName, Recipient, RecipientKind, RecipientState, What};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use store::{Embedded, Options, State};

/// Between two MMs, in milliseconds.
const GAP: i64 = 80;

fn party(text: &str) -> Party {
    text.parse().unwrap()
}

/// The n-th of them: 40 peers, 90,000 numbers, one in fifty failed, one in ten thousand waits.
fn ledger(n: u64, began: Timestamp) -> Ledger {
    let at = Timestamp::from_millis(began.millis() + GAP * n as i64);
    let id = MmId::new(at.millis(), 0, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let peer = PeerName::new(&format!("peer-{:02}", n % 40));
    let origin = Origin::Received { peer: peer.clone(), mail_from: None };
    let mut ledger = Ledger::new(id, origin, at, Timestamp::from_millis(at.millis() + 604_800_000));
    ledger.request = Some(ForwardReq {
        message_id: MessageId::new(format!("mm-{n}@mms.example")).ok(),
        from: Some(party(&format!("+1202555{:04}", n * 7 % 10_000))),
        ..ForwardReq::default()
    });
    let state = match n {
        n if n % 10_000 == 0 => RecipientState::Queued,
        n if n % 50 == 0 => RecipientState::Failed,
        _ => RecipientState::Accepted,
    };
    let to = format!("+447700{:06}", 900_000 + n * 31 % 90_000);
    ledger.recipients.push(Recipient::new(party(&to), RecipientKind::To, state, at));
    for what in [What::Received, What::Queued, What::Forwarded, What::Response] {
        let text = "MM4_forward.REQ, 30000 octets, response asked".to_owned();
        ledger.history.push(Moment { at, what, peer: Some(peer.clone()), recipients: vec![0], text });
    }
    ledger
}

fn main() -> anyhow::Result<()> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let stay = std::env::args().nth(2).is_some_and(|word| word == "stay");
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let store = Arc::new(Embedded::open(&data, Options::default())?);
    let began = Clock::System.now().minus(std::time::Duration::from_millis(GAP as u64 * count));
    let bar = indicatif::ProgressBar::new(count);
    let (done, reports) = sync_channel(4096);
    let mut under_way = 0;
    for n in 0..count {
        let ledger = ledger(n, began);
        let put = Op::PutLedger { id: ledger.id, ledger: ledger.encode(), wake: None };
        let done = done.clone();
        store.commit(
            Arc::new(Batch { need: vec![], ops: vec![put] }),
            Box::new(move |r| {
                let _ = done.send(r.is_ok());
            }),
        );
        under_way += 1;
        if under_way == 4096 {
            anyhow::ensure!(reports.recv()?, "a batch was refused");
            under_way -= 1;
        }
        bar.inc(1);
    }
    for _ in 0..under_way {
        anyhow::ensure!(reports.recv()?, "a batch was refused");
    }
    bar.finish_and_clear();
    let start = monotonic();
    let (search, thread) = Search::start(&data, store)?;
    let bar = indicatif::ProgressBar::new(count);
    let (_never, pause) = sync_channel::<()>(1);
    while let Some(read) = search.behind().reading {
        bar.set_position(read);
        let _ = pause.recv_timeout(std::time::Duration::from_millis(200));
    }
    bar.finish_and_clear();
    let size = std::fs::metadata(data.join("search.db"))?.len();
    println!(
        "{count} MMs read into the index in {:.0} s; search.db has {} octets for each",
        (monotonic() - start) as f64 / 1e9,
        size / count
    );

    let at = |n: u64| Some(Timestamp::from_millis(began.millis() + GAP * n as i64));
    let ask = || Asked { max: 50, ..Asked::default() };
    let text = |text: &str| Asked { text: Some(text.to_owned()), ..ask() };
    let middle = ledger(count / 2, began).id;
    let searches = [
        ("the newest", ask()),
        ("our id", text(&middle.to_string())),
        ("a Message-ID", text(&format!("mm-{}@mms.example", count / 3))),
        ("a number", text("+447700912345")),
        ("the beginning of numbers, common", text("+4477009")),
        ("the beginning of numbers, rare", text("+44770091234")),
        ("a peer, failed", Asked { peer: Some("peer-10".into()), state: Some(State::Failed), ..ask() }),
        ("waiting", Asked { state: Some(State::Open), ..ask() }),
        (
            "a peer within an hour",
            Asked { peer: Some("peer-07".into()), from: at(count / 2), to: at(count / 2 + 45_000), ..ask() },
        ),
        (
            "beginning, peer and state",
            Asked { peer: Some("peer-30".into()), state: Some(State::Failed), ..text("+447700") },
        ),
    ];
    let mut medians = Vec::new();
    println!("{:>10} {:>10} {:>6}", "median", "greatest", "found");
    for (name, asked) in &searches {
        let mut spans = Vec::new();
        let mut found = 0;
        for _ in 0..9 {
            let start = monotonic();
            found = search.find(asked)?.ids.len();
            spans.push((monotonic() - start) as f64 / 1e6);
        }
        spans.sort_by(f64::total_cmp);
        medians.push(spans[4]);
        println!("{:>7.1} ms {:>7.1} ms {found:>6}  {name}", spans[4], spans[8]);
    }
    medians.sort_by(f64::total_cmp);
    println!("{:>7.1} ms median of these", (medians[4] + medians[5]) / 2.0);
    search.stop();
    let _ = thread.join();
    drop(search);
    let places = pages::Places {
        old: ledger(20, began).id,
        middle: (middle, ledger(count / 2, began).accepted),
        message_id: format!("mm-{}@mms.example", count / 3),
    };
    pages::measure(folder.path(), &data, &places, stay)
}
