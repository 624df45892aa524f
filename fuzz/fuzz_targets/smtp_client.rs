//! Bytes as the replies of a server, cut into chunks.
//!
//! Checks: no panic; every transaction ends in exactly one report with a verdict per recipient; nothing that was
//! written holds a lone CR or LF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::smtp::Limits;
use wire::smtp::client::{Event, Session, Transaction};

fuzz_target!(|data: &[u8]| {
    let [shape, cut, replies @ ..] = data else { return };
    let recipients = usize::from(shape % 4) + 1;
    let path = "+12025550111/TYPE=PLMN@mms.b.example".parse().unwrap();
    let transaction = Transaction::new(None, vec![path; recipients], u64::from(*shape), shape & 8 != 0).unwrap();
    let mut session = Session::new("mms.a.example", Limits::default());
    let (mut pending, mut open, mut written) = (Vec::new(), 0i32, Vec::new());
    let finished = |event: &Event, open: &mut i32| {
        if let Event::Done(report) = event {
            assert_eq!(report.recipients.len(), recipients);
            *open -= 1;
        }
    };
    for chunk in replies.chunks(usize::from(*cut).max(1)) {
        pending.extend_from_slice(chunk);
        loop {
            let (used, event) = session.advance(&pending);
            pending.drain(..used);
            finished(&event, &mut open);
            match event {
                Event::Ready | Event::Done(_) if session.is_ready() => {
                    if shape & 16 != 0 && session.capabilities().starttls {
                        session.start_tls();
                    } else if session.send(transaction.clone()).is_ok() {
                        open += 1;
                    } else {
                        session.quit();
                    }
                }
                Event::StartTls => session.tls_started(),
                Event::TlsRefused(_) => session.quit(),
                Event::SendContent => session.content_sent(),
                _ => break,
            }
            written.append(session.output());
        }
        written.append(session.output());
        assert!((0..=1).contains(&open));
    }
    finished(&session.lost(), &mut open);
    assert_eq!(open, 0);
    assert!(written.windows(2).all(|w| (w[0] == b'\r') == (w[1] == b'\n')));
});
