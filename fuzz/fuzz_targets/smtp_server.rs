//! A program of bytes for the receiving session, cut into chunks by its own first octets.
//!
//! Checks: no panic; chunks do not change replies or messages; a message has a recipient; content holds no lone CR or
//! LF, no NUL and no end of data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::smtp::server::{Capabilities, Ending, Event, Session};
use wire::smtp::{Limits, Reply};

type Outcome = (Vec<u8>, Vec<Vec<u8>>, Option<Ending>);

fn run(verdicts: u8, chunks: &mut dyn Iterator<Item = &[u8]>) -> Outcome {
    let limits = Limits { message_size_max: 200, discard_max: 400, errors_max: 10, ..Limits::default() };
    // With the topmost verdict, who does not log in sends nothing.
    let offer = Capabilities { auth: verdicts & 0x80 != 0, ..Capabilities::default() };
    let mut session = Session::new("mms.b.example", limits, offer);
    session.greet();
    let (mut output, mut messages, mut ending) = (Vec::new(), Vec::new(), None);
    let (mut pending, mut content, mut asked) = (Vec::new(), Vec::new(), 0u8);
    for chunk in chunks {
        pending.extend_from_slice(chunk);
        loop {
            let (used, event) = session.advance(&pending);
            assert!(used <= pending.len());
            let yes = verdicts >> (asked % 8) & 1 == 0;
            let more = match event {
                Event::NeedMore => false,
                Event::Undecided => panic!("every verdict was given"),
                Event::Sender(_) | Event::ContentEnds { .. } => {
                    if let Event::ContentEnds { envelope, size } = event {
                        assert!(!envelope.recipients.is_empty());
                        assert_eq!(wire::smtp::unstuff(&content).len() as u64, size);
                        messages.push(std::mem::take(&mut content));
                    }
                    asked = asked.wrapping_add(1);
                    if yes { session.accept() } else { session.refuse(&Reply::later(451, 3, 0, "x")) }
                    true
                }
                Event::Login(shown) => {
                    session.judge_login(shown.user.starts_with(b"a"));
                    true
                }
                Event::Content(slice) => {
                    content.extend_from_slice(slice);
                    true
                }
                Event::ContentStarts { .. } => {
                    content.clear();
                    true
                }
                Event::Ended(why) => {
                    ending = Some(why);
                    false
                }
                _ => true,
            };
            pending.drain(..used);
            output.append(session.output());
            if !more {
                break;
            }
        }
    }
    output.append(session.output());
    (output, messages, ending)
}

fuzz_target!(|data: &[u8]| {
    let [verdicts, cut, program @ ..] = data else { return };
    let whole = run(*verdicts, &mut std::iter::once(program));
    let parts = run(*verdicts, &mut program.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, parts);
    for message in &whole.1 {
        let framed = [b"\r\n", &message[..]].concat();
        for (at, octet) in framed.iter().enumerate() {
            match octet {
                b'\r' => assert_eq!(framed.get(at + 1), Some(&b'\n')),
                b'\n' => assert_eq!(framed[at - 1], b'\r'),
                0 => panic!("NUL in content"),
                _ => {}
            }
        }
        assert!(!framed.windows(5).any(|w| w == b"\r\n.\r\n"));
    }
});
