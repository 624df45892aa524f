//! Text as an address, a path and the argument of SMTP commands.
//!
//! Checks: no panic; what is written reads back as the same address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mms::{MailPath, NumberPlan, Party};
use wire::smtp::Limits;
use wire::smtp::server::{Capabilities, Event, Session};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(party) = text.parse::<Party>() {
        let written = party.unnamed().to_string();
        if written.len() <= 512 {
            let again: Party = written.parse().unwrap_or_else(|e| panic!("{text:?} {written:?}: {e}"));
            assert_eq!(again.address, party.address, "{text:?}");
        }
        let plan = NumberPlan { country_code: Some("1".into()), bare_is_international: true, ..NumberPlan::default() };
        let _ = party.address.normalised(&plan);
    }
    if let Ok(path) = text.parse::<MailPath>() {
        let _ = path.party();
    }
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    session.greet();
    let program = [b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:" as &[u8], data, b"\r\n"].concat();
    let mut at = 0;
    loop {
        let (used, event) = session.advance(&program[at..]);
        at += used;
        match event {
            Event::Sender(_) => session.accept(),
            Event::Recipient(path) => {
                let again: MailPath = path.to_string().parse().unwrap_or_else(|e| panic!("{path}: {e}"));
                assert_eq!(again, path);
            }
            // Data may be commands that lead on to content, whose verdict is awaited.
            Event::ContentEnds { .. } => session.accept(),
            Event::NeedMore | Event::Ended(_) | Event::Undecided => break,
            _ => {}
        }
    }
});
