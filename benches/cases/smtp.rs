//! Both sides of an SMTP connection that stays open, without a socket.

use crate::mails::{RESPONSE, forward};
use counts::{Case, Operation};
use std::hint::black_box;
use wire::smtp::client::{self, Transaction};
use wire::smtp::server::{Capabilities, Event, Session};
use wire::smtp::{Limits, TERMINATOR};

pub const CASES: &[Case] = &[
    Case::new("smtp-server-response", 100, |_, _| serve(RESPONSE.into())),
    Case::new("smtp-server-30k", 100, |_, _| serve(forward(30_000))),
    Case::new("smtp-server-300k", 20, |_, _| serve(forward(300_000))),
    Case::new("smtp-client", 100, |_, _| bring()),
];

/// Octets that come from the socket at once.
const PIECE: usize = 64 << 10;

/// One pipelined transaction of a peer, judged and answered.
fn serve(content: Vec<u8>) -> Operation {
    let mut session = Session::new("mms.a.example", Limits::default(), Capabilities::default());
    session.greet();
    session.advance(b"EHLO mms.b.example\r\n");
    session.output().clear();
    let mut input = format!(
        "MAIL FROM:<+12025550110/TYPE=PLMN@mms.b.example> SIZE={} BODY=8BITMIME\r\n\
         RCPT TO:<+12025550120/TYPE=PLMN@mms.a.example>\r\nDATA\r\n",
        content.len()
    )
    .into_bytes();
    let commands = input.len();
    input.extend(content);
    input.extend_from_slice(TERMINATOR);
    Box::new(move || {
        let (mut octets, mut used) = (0, 0);
        // The commands first: their sender waits for the `354`.
        let ends = std::iter::once(commands).chain((commands + PIECE..input.len()).step_by(PIECE));
        for end in ends.chain([input.len()]) {
            loop {
                let (consumed, event) = session.advance(black_box(&input[used..end]));
                used += consumed;
                match black_box(event) {
                    Event::NeedMore => break,
                    Event::Sender(_) => session.accept(),
                    Event::Content(content) => octets += content.len(),
                    Event::ContentEnds { .. } => session.accept_as("01JNGSN3AG0000000000000001 taken"),
                    Event::Ended(why) => panic!("{why:?}"),
                    _ => {}
                }
            }
            black_box(std::mem::take(session.output()));
        }
        assert_eq!((octets, used), (input.len() - commands - TERMINATOR.len(), input.len()));
    })
}

/// One transaction to a peer that takes commands in groups.
fn bring() -> Operation {
    let mut session = client::Session::new("mms.a.example", Limits::default());
    session.advance(b"220 mms.c.example ESMTP\r\n");
    session.advance(b"");
    session.output().clear();
    let hello = b"250-mms.c.example\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";
    assert_eq!(session.advance(hello).1, client::Event::Ready);
    let sender: mms::MailPath = "+12025550110/TYPE=PLMN@mms.a.example".parse().expect("a path");
    let recipient: mms::MailPath = "+12025550120/TYPE=PLMN@mms.c.example".parse().expect("a path");
    Box::new(move || {
        let transaction = Transaction::new(Some(sender.clone()), vec![recipient.clone()], 30_000, false);
        session.send(transaction.expect("a transaction")).expect("a session that is ready");
        black_box(std::mem::take(session.output()));
        let replies = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n";
        assert_eq!(session.advance(black_box(replies)).1, client::Event::SendContent);
        session.content_sent();
        black_box(std::mem::take(session.output()));
        let (_, done) = session.advance(black_box(b"250 2.0.0 Ok: queued as 4Z6K1r2QnVz9s7\r\n"));
        assert!(matches!(black_box(done), client::Event::Done(report) if report.usable));
    })
}
