//! Laws and dialogues of the sending session.

use super::super::server;
use super::*;
use proptest::prelude::*;

fn path(text: &str) -> MailPath {
    text.parse().unwrap()
}

fn to(recipients: usize) -> Transaction {
    let recipients =
        (0..recipients).map(|n| path(&format!("+1202555{n:04}/TYPE=PLMN@mms.b.example"))).collect();
    Transaction::new(Some(path("+12025550199/TYPE=PLMN@mms.a.example")), recipients, 100, true).unwrap()
}

fn session() -> Session {
    Session::new("mms.a.example", Limits::default())
}

fn take(session: &mut Session) -> String {
    String::from_utf8(std::mem::take(session.output())).unwrap()
}

/// Feeds all of `input` and gives the last event that is not `NeedMore`, if any.
fn feed(session: &mut Session, input: &str) -> Event {
    let (used, event) = session.advance(input.as_bytes());
    assert_eq!(used, input.len(), "{event:?}");
    event
}

fn ready(extensions: &str) -> Session {
    let mut session = session();
    assert_eq!(feed(&mut session, "220 mms.b.example ESMTP\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), "EHLO mms.a.example\r\n");
    assert_eq!(feed(&mut session, &format!("250-mms.b.example\r\n{extensions}250 HELP\r\n")), Event::Ready);
    session
}

fn pipelining() -> Session {
    ready("250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n")
}

fn done(event: Event) -> Report {
    match event {
        Event::Done(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn capabilities_are_learnt_and_forgotten() {
    let mut session = ready("250-pipelining\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n");
    let offered = session.capabilities().clone();
    assert!(offered.pipelining && offered.starttls && offered.enhanced_codes && !offered.eight_bit);
    assert_eq!(offered.size_max, Some(1000));
    session.start_tls();
    assert_eq!(take(&mut session), "STARTTLS\r\n");
    assert_eq!(feed(&mut session, "220 go\r\n"), Event::StartTls);
    session.tls_started();
    assert_eq!(take(&mut session), "EHLO mms.a.example\r\n");
    assert_eq!(*session.capabilities(), Capabilities::default());
    assert_eq!(feed(&mut session, "250-x\r\n250 8BITMIME\r\n"), Event::Ready);
    assert!(session.capabilities().eight_bit && !session.capabilities().pipelining);
}

#[test]
fn x_09_bytes_behind_the_answer_to_starttls() {
    let bad = Trouble::Malformed { stage: Stage::StartTls, error: ReplyError::BytesBehindStartTls };
    let mut together = ready("250-STARTTLS\r\n");
    together.start_tls();
    take(&mut together);
    assert_eq!(together.advance(b"220 go\r\n250 injected\r\n").1, Event::Ended(bad.clone()));
    let mut apart = ready("250-STARTTLS\r\n");
    apart.start_tls();
    take(&mut apart);
    assert_eq!(feed(&mut apart, "220 go\r\n"), Event::StartTls);
    assert_eq!(feed(&mut apart, "250 injected\r\n"), Event::Ended(bad));
}

#[test]
fn starttls_refused_leaves_the_session_ready() {
    let mut session = ready("250-STARTTLS\r\n");
    session.start_tls();
    take(&mut session);
    assert!(matches!(feed(&mut session, "454 4.7.0 not now\r\n"), Event::TlsRefused(_)));
    assert!(session.is_ready());
    // Not offered: nothing is sent.
    let mut session = ready("");
    session.start_tls();
    assert_eq!(take(&mut session), "");
}

#[test]
fn helo_where_ehlo_is_unknown() {
    let mut session = session();
    feed(&mut session, "220 old\r\n");
    take(&mut session);
    assert_eq!(feed(&mut session, "502 what\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), "HELO mms.a.example\r\n");
    assert_eq!(feed(&mut session, "250\r\n"), Event::Ready);
    assert_eq!(*session.capabilities(), Capabilities::default());
}

#[test]
fn who_refuses_ehlo_and_closes_has_said_why() {
    let mut session = session();
    feed(&mut session, "220 old\r\n");
    take(&mut session);
    assert_eq!(feed(&mut session, "554 5.7.1 not you\r\n"), Event::NeedMore);
    let Event::Ended(trouble) = session.lost() else { panic!("a trouble") };
    assert_eq!(trouble.to_string(), "refused at EHLO: 554 5.7.1 not you");
}

#[test]
fn a_refused_greeting() {
    for (said, expected_421) in
        [("554 5.7.1 no\r\n", false), ("421 busy\r\n", true), ("450 later\r\n", false)]
    {
        let event = feed(&mut session(), said);
        match event {
            Event::Ended(Trouble::Closing { stage: Stage::Greeting, .. }) => assert!(expected_421),
            Event::Ended(Trouble::Refused { stage: Stage::Greeting, .. }) => assert!(!expected_421),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_write_carries_the_envelope_where_pipelining_is_offered() {
    let mut session = pipelining();
    session.send(to(2)).unwrap();
    assert_eq!(
        take(&mut session),
        "MAIL FROM:<+12025550199/TYPE=PLMN@mms.a.example> SIZE=100 BODY=8BITMIME\r\n\
         RCPT TO:<+12025550000/TYPE=PLMN@mms.b.example>\r\nRCPT TO:<+12025550001/TYPE=PLMN@mms.b.example>\r\nDATA\r\n"
    );
    assert_eq!(feed(&mut session, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n"), Event::SendContent);
    session.content_sent();
    assert_eq!(take(&mut session), ".\r\n");
    let report = done(feed(&mut session, "250 2.0.0 got it\r\n"));
    assert!(matches!(&report.recipients[0], Verdict::Accepted(reply) if reply.text().as_str() == "got it"));
    assert!(matches!(&report.recipients[1],
        Verdict::Never(Trouble::Refused { stage: Stage::Recipient, reply }) if reply.code() == 550));
    assert!(report.usable && session.is_ready());
}

#[test]
fn o_32_command_by_command_where_it_is_not() {
    let mut session = ready("");
    session.send(to(2)).unwrap();
    assert_eq!(take(&mut session), "MAIL FROM:<+12025550199/TYPE=PLMN@mms.a.example>\r\n");
    assert_eq!(feed(&mut session, "250 ok\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), "RCPT TO:<+12025550000/TYPE=PLMN@mms.b.example>\r\n");
    assert_eq!(feed(&mut session, "251 ok\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), "RCPT TO:<+12025550001/TYPE=PLMN@mms.b.example>\r\n");
    assert_eq!(feed(&mut session, "452 4.5.3 too many\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), "DATA\r\n");
    assert_eq!(feed(&mut session, "354 go\r\n"), Event::SendContent);
    session.content_sent();
    take(&mut session);
    let report = done(feed(&mut session, "250 ok\r\n"));
    assert!(matches!(report.recipients[0], Verdict::Accepted(_)));
    assert!(matches!(report.recipients[1], Verdict::Later(_)), "g_14");
}

#[test]
fn all_recipients_refused() {
    // Lock-step: no DATA at all; the next transaction begins with RSET.
    let mut session = ready("");
    session.send(to(1)).unwrap();
    take(&mut session);
    feed(&mut session, "250 ok\r\n");
    take(&mut session);
    let report = done(feed(&mut session, "550 no\r\n"));
    assert!(matches!(report.recipients[0], Verdict::Never(_)) && report.usable);
    assert_eq!(take(&mut session), "");
    session.send(to(1)).unwrap();
    assert_eq!(take(&mut session), "RSET\r\n");
    feed(&mut session, "250 ok\r\n");
    assert!(take(&mut session).starts_with("MAIL"));

    // Pipelined: DATA was refused too.
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    let report = done(feed(&mut session, "250 ok\r\n550 no\r\n503 nobody\r\n"));
    assert!(
        matches!(&report.recipients[0], Verdict::Never(Trouble::Refused { reply, .. }) if reply.code() == 550)
    );
    session.send(to(1)).unwrap();
    assert!(take(&mut session).starts_with("RSET\r\nMAIL"));
    assert_eq!(feed(&mut session, "250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n"), Event::SendContent);

    // Pipelined, and the server says 354 all the same: nothing is sent, properly ended.
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    assert_eq!(feed(&mut session, "250 ok\r\n550 no\r\n354 go\r\n"), Event::NeedMore);
    assert_eq!(take(&mut session), ".\r\n");
    let report = done(feed(&mut session, "554 nobody\r\n"));
    assert!(
        matches!(&report.recipients[0], Verdict::Never(Trouble::Refused { reply, .. }) if reply.code() == 550)
    );
    assert!(report.usable);
}

#[test]
fn a_refused_sender_is_the_reason_for_all() {
    for extensions in ["", "250-PIPELINING\r\n"] {
        let mut session = ready(extensions);
        session.send(to(2)).unwrap();
        take(&mut session);
        let replies = if extensions.is_empty() {
            "451 4.3.0 later\r\n"
        } else {
            "451 4.3.0 later\r\n503 no\r\n503 no\r\n503 no\r\n"
        };
        let report = done(feed(&mut session, replies));
        for verdict in &report.recipients {
            assert!(matches!(verdict, Verdict::Later(Trouble::Refused { stage: Stage::Sender, reply })
                if reply.code() == 451));
        }
        assert!(report.usable);
    }
}

#[test]
fn o_14_o_15_the_final_reply_decides() {
    for (said, permanent) in [("451 4.3.0 later\r\n", false), ("554 5.6.0 no\r\n", true)] {
        for at_data in [true, false] {
            let mut session = pipelining();
            session.send(to(1)).unwrap();
            take(&mut session);
            let event = if at_data {
                feed(&mut session, &format!("250 ok\r\n250 ok\r\n{said}"))
            } else {
                assert_eq!(feed(&mut session, "250 ok\r\n250 ok\r\n354 go\r\n"), Event::SendContent);
                session.content_sent();
                take(&mut session);
                feed(&mut session, said)
            };
            let report = done(event);
            assert_eq!(matches!(report.recipients[0], Verdict::Never(_)), permanent);
            assert_eq!(matches!(report.recipients[0], Verdict::Later(_)), !permanent);
            assert!(report.usable);
        }
    }
}

#[test]
fn o_16_a_lost_connection_is_unknown_only_after_the_content() {
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    let mut early = pipelining();
    early.send(to(1)).unwrap();
    assert!(matches!(
        done(early.lost()).recipients[0],
        Verdict::Later(Trouble::Lost { stage: Stage::Sender })
    ));
    feed(&mut session, "250 ok\r\n250 ok\r\n354 go\r\n");
    session.content_sent();
    let report = done(session.lost());
    assert!(matches!(report.recipients[0], Verdict::Unknown(Trouble::Lost { stage: Stage::Final })));
    assert!(!report.usable);
    assert!(matches!(session.lost(), Event::Ended(Trouble::Lost { .. })));

    let mut inside = pipelining();
    inside.send(to(1)).unwrap();
    take(&mut inside);
    feed(&mut inside, "250 ok\r\n250 ok\r\n354 go\r\n");
    assert!(matches!(
        done(inside.lost()).recipients[0],
        Verdict::Later(Trouble::Lost { stage: Stage::Content })
    ));
}

#[test]
fn a_421_is_distinguishable_everywhere() {
    let mut idle = pipelining();
    assert!(matches!(
        feed(&mut idle, "421 bye\r\n"),
        Event::Ended(Trouble::Closing { stage: Stage::Idle, .. })
    ));
    for prefix in ["", "250 ok\r\n", "250 ok\r\n250 ok\r\n"] {
        let mut session = pipelining();
        session.send(to(1)).unwrap();
        take(&mut session);
        let report = done(feed(&mut session, &format!("{prefix}421 4.3.2 bye\r\n")));
        assert!(matches!(report.recipients[0], Verdict::Later(Trouble::Closing { .. })) && !report.usable);
    }
    let mut last = pipelining();
    last.send(to(1)).unwrap();
    take(&mut last);
    feed(&mut last, "250 ok\r\n250 ok\r\n354 go\r\n");
    last.content_sent();
    take(&mut last);
    let report = done(feed(&mut last, "421 bye\r\n"));
    assert!(matches!(report.recipients[0], Verdict::Later(Trouble::Closing { stage: Stage::Final, .. })));
}

#[test]
fn a_refusal_inside_the_content_ends_the_connection() {
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    feed(&mut session, "250 ok\r\n250 ok\r\n354 go\r\n");
    let report = done(feed(&mut session, "552 5.3.4 too big\r\n"));
    assert!(matches!(report.recipients[0], Verdict::Never(_)) && !report.usable);
}

#[test]
fn a_message_larger_than_the_peer_takes_is_not_begun() {
    let mut session = pipelining();
    let big = Transaction::new(None, vec![path("a@b.example")], 1001, false).unwrap();
    assert_eq!(session.send(big), Err(NotSent::TooBig { size_max: 1000 }));
    assert_eq!(take(&mut session), "");
    let small = Transaction::new(None, vec![path("a@b.example")], 1000, false).unwrap();
    session.send(small.clone()).unwrap();
    assert!(take(&mut session).starts_with("MAIL FROM:<> SIZE=1000\r\n"));
    assert_eq!(session.send(small.clone()), Err(NotSent::NotReady(small)));
}

#[test]
fn unsendable_paths() {
    assert_eq!(Transaction::new(None, vec![], 0, false), Err(Unsendable::NoRecipients));
    let foreign = MailPath::new("zo\u{eb}", None).unwrap();
    assert_eq!(
        Transaction::new(None, vec![path("a@b.example"), foreign.clone()], 0, false),
        Err(Unsendable::Recipient(1))
    );
    assert_eq!(
        Transaction::new(Some(foreign), vec![path("a@b.example")], 0, false),
        Err(Unsendable::ReversePath)
    );
}

#[test]
fn replies_nobody_asked_for() {
    // In one piece with the answer to MAIL comes another: it would be taken for the answer to RCPT.
    let mut session = ready("");
    session.send(to(1)).unwrap();
    take(&mut session);
    let report = done(feed(&mut session, "250 ok\r\n250 ok\r\n"));
    assert!(matches!(
        report.recipients[0],
        Verdict::Later(Trouble::Malformed { error: ReplyError::Unsolicited, .. })
    ));
    let mut session = pipelining();
    assert!(matches!(feed(&mut session, "250 ok\r\n"), Event::Ended(Trouble::Malformed { .. })));
    // 250 to DATA.
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    let report = done(feed(&mut session, "250 ok\r\n250 ok\r\n250 ok\r\n"));
    assert!(matches!(
        report.recipients[0],
        Verdict::Later(Trouble::Malformed { error: ReplyError::Unexpected(250), .. })
    ));
    // FP 1.13: noise behind the final 250 does not touch the message.
    let mut session = pipelining();
    session.send(to(1)).unwrap();
    take(&mut session);
    feed(&mut session, "250 ok\r\n250 ok\r\n354 go\r\n");
    session.content_sent();
    take(&mut session);
    let noise = b"250 ok\r\n501 syntax error\r\n";
    let (used, event) = session.advance(noise);
    assert!(matches!(done(event).recipients[0], Verdict::Accepted(_)));
    assert!(matches!(session.advance(&noise[used..]).1, Event::Ended(_)));
}

#[test]
fn quit_is_a_farewell_whatever_comes() {
    for said in ["221 bye\r\n", "501 syntax error\r\n", "421 bye\r\n", "noise\r\n"] {
        let mut session = pipelining();
        session.quit();
        assert_eq!(take(&mut session), "QUIT\r\n");
        assert_eq!(feed(&mut session, said), Event::Farewell);
        assert_eq!(session.lost(), Event::Farewell);
    }
    let mut session = pipelining();
    session.quit();
    assert_eq!(session.lost(), Event::Farewell);
}

/// Both sessions joined back to back, with content sent as a house would.
fn exchange(contents: &[Vec<u8>], chunk: usize) -> Vec<Vec<u8>> {
    let mut client = session();
    let mut server = server::Session::new(
        "mms.b.example",
        Limits::default(),
        server::Capabilities { starttls: true, ..server::Capabilities::default() },
    );
    server.greet();
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    let (mut received, mut current, mut sent, mut done) = (Vec::new(), Vec::new(), 0, 0);
    let mut say = |client: &mut Session| match contents.get(sent) {
        Some(content) => {
            client
                .send(Transaction::new(None, vec![path("a@b.example")], content.len() as u64, false).unwrap())
                .unwrap();
            sent += 1;
        }
        None => client.quit(),
    };
    for _ in 0..1_000_000 {
        to_client.append(server.output());
        let take = chunk.min(to_client.len());
        let (used, event) = client.advance(&to_client[..take]);
        to_client.drain(..used);
        match event {
            Event::NeedMore if used == 0 && take < to_client.len() => panic!("stuck"),
            Event::NeedMore => {}
            Event::Ready => say(&mut client),
            Event::SendContent => {
                to_server.append(client.output());
                to_server.extend_from_slice(&contents[done]);
                client.content_sent();
            }
            Event::Done(report) => {
                assert!(matches!(report.recipients[0], Verdict::Accepted(_)), "{report:?}");
                done += 1;
                say(&mut client);
            }
            Event::Farewell => return received,
            other => panic!("{other:?}"),
        }
        to_server.append(client.output());
        loop {
            let (used, event) = server.advance(&to_server);
            let over = match event {
                server::Event::NeedMore | server::Event::Ended(_) => true,
                server::Event::Sender(_) => {
                    server.accept();
                    false
                }
                server::Event::Content(slice) => {
                    current.extend_from_slice(slice);
                    false
                }
                server::Event::ContentEnds { .. } => {
                    received.push(std::mem::take(&mut current));
                    server.accept();
                    false
                }
                _ => false,
            };
            to_server.drain(..used);
            if over {
                break;
            }
        }
    }
    panic!("no end")
}

proptest! {
    /// Threat 1, outbound: what the client sends is read back as exactly the messages that were sent, by a strict
    /// reader, and never as a second message by four lenient ones.
    #[test]
    fn what_is_sent_is_what_arrives(texts in prop::collection::vec("([.x\r\n\0]|MAIL){0,30}", 1..4)) {
        let contents: Vec<Vec<u8>> = texts.iter().map(|t| crate::smtp::dot_stuff(t.as_bytes())).collect();
        prop_assert_eq!(exchange(&contents, 1 << 20), contents.clone());
        for content in &contents {
            let wire = [&content[..], TERMINATOR].concat();
            let text = String::from_utf8(wire).unwrap();
            for end in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r\n"] {
                let lenient = format!("\r\n{text}").replace('\0', "");
                let lenient = match end {
                    "\n.\n" => lenient.replace('\r', ""),
                    "\r.\r" => lenient.replace('\n', ""),
                    _ => lenient,
                };
                let at = lenient.find(end);
                prop_assert_eq!(at.map(|at| at + end.len()), Some(lenient.len()), "{:?}", end);
            }
        }
    }

    /// Any bytes as replies, at any moment: no panic; a transaction always ends in one verdict per recipient.
    #[test]
    fn any_replies(script in prop::collection::vec(
        prop_oneof![
            "[2-5][0-9][0-9][ -][a-z.]{0,9}\r\n",
            Just("250 ok\r\n".to_owned()),
            Just("354 go\r\n".to_owned()),
            Just("250-PIPELINING\r\n250 SIZE\r\n".to_owned()),
            any::<String>(),
        ],
        0..30,
    )) {
        let mut session = session();
        let mut open = 0usize;
        for said in script {
            let mut rest = said.as_bytes();
            loop {
                let (used, event) = session.advance(rest);
                rest = &rest[used..];
                match event {
                    Event::Ready => {
                        session.send(to(3)).unwrap();
                        open += 1;
                    }
                    Event::SendContent => session.content_sent(),
                    Event::Done(report) => {
                        prop_assert_eq!(report.recipients.len(), 3);
                        prop_assert_eq!(report.usable, session.is_ready());
                        open -= 1;
                    }
                    _ => break,
                }
                session.output().clear();
            }
        }
        if let Event::Done(report) = session.lost() {
            prop_assert_eq!(report.recipients.len(), 3);
            open -= 1;
        }
        prop_assert_eq!(open, 0);
    }
}
