//! Laws and dialogues of the receiving session.

use super::*;
use proptest::prelude::*;

const PATH: &str = "+12025550100/TYPE=PLMN@mms.a.example";

/// A house with scripted verdicts; it keeps what it was told.
struct House {
    session: Session,
    pending: Vec<u8>,
    output: Vec<u8>,
    content: Vec<u8>,
    messages: Vec<(Envelope, Vec<u8>)>,
    refusals: Vec<Refusal>,
    dropped: usize,
    ending: Option<Ending>,
    tls_asked: bool,
    refuse_empty: bool,
}

impl House {
    fn new(limits: Limits, capabilities: Capabilities) -> Self {
        let mut session = Session::new("mms.b.example", limits, capabilities);
        session.greet();
        let mut house = Self {
            session,
            pending: Vec::new(),
            output: Vec::new(),
            content: Vec::new(),
            messages: Vec::new(),
            refusals: Vec::new(),
            dropped: 0,
            ending: None,
            tls_asked: false,
            refuse_empty: true,
        };
        house.flush();
        house
    }

    fn flush(&mut self) {
        self.output.append(self.session.output());
    }

    fn feed(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
        let input = std::mem::take(&mut self.pending);
        let mut at = 0;
        loop {
            let (used, event) = self.session.advance(&input[at..]);
            at += used;
            match event {
                Event::NeedMore => break,
                Event::Flush => self.flush(),
                Event::Undecided => panic!("a verdict was given"),
                Event::Hello { .. } | Event::Recipient(_) | Event::Reset => {}
                Event::Sender(_) => self.session.accept(),
                Event::Login(shown) => {
                    self.session.judge_login(shown.user == b"b" && shown.password == b"secret");
                }
                Event::ContentStarts { .. } => self.content.clear(),
                Event::Content(slice) => self.content.extend_from_slice(slice),
                Event::ContentEnds { size: 0, .. } if self.refuse_empty => {
                    self.session.refuse(&Reply::never(554, 6, 0, "Nothing in it"));
                }
                Event::ContentEnds { envelope, size } => {
                    assert!(!envelope.recipients.is_empty());
                    assert_eq!(size, crate::smtp::unstuff(&self.content).len() as u64);
                    self.messages.push((envelope, std::mem::take(&mut self.content)));
                    self.session.accept();
                }
                Event::ContentDropped => self.dropped += 1,
                Event::Refused(refusal) => self.refusals.push(refusal),
                Event::StartTls => self.tls_asked = true,
                Event::Ended(why) => {
                    self.ending = Some(why);
                    break;
                }
            }
        }
        self.flush();
        self.pending = input[at..].to_vec();
    }

    fn codes(&self) -> Vec<u16> {
        let text = String::from_utf8(self.output.clone()).unwrap();
        let last_lines = text.split_terminator("\r\n").filter(|line| line.as_bytes().get(3) != Some(&b'-'));
        last_lines.map(|line| line[..3].parse().unwrap()).collect()
    }
}

fn house() -> House {
    House::new(Limits::default(), Capabilities::default())
}

fn dialogue(program: &str) -> House {
    let mut house = house();
    house.feed(program.as_bytes());
    house
}

fn forward(body: &str) -> String {
    format!("MAIL FROM:<{PATH}>\r\nRCPT TO:<{PATH}>\r\nDATA\r\n{body}.\r\n")
}

/// What bytes behind `DATA` are, by the letter of RFC 5321: how much is content, and how it ends.
fn oracle(bytes: &[u8]) -> (Vec<u8>, Option<Result<(), Violation>>) {
    let mut line_start = true;
    let mut at = 0;
    while at < bytes.len() {
        match (&bytes[at..], line_start) {
            ([b'.', b'\r', b'\n', ..], true) => return (bytes[..at].to_vec(), Some(Ok(()))),
            ([b'.'] | [b'.', b'\r'], true) | ([b'\r'], _) => break,
            ([b'\r', b'\n', ..], _) => (at, line_start) = (at + 2, true),
            ([b'\r', ..], _) => return (Vec::new(), Some(Err(Violation::BareCr))),
            ([b'\n', ..], _) => return (Vec::new(), Some(Err(Violation::BareLf))),
            ([0, ..], _) => return (Vec::new(), Some(Err(Violation::Nul))),
            _ => (at, line_start) = (at + 1, false),
        }
    }
    (bytes[..at].to_vec(), None)
}

/// The framer fed with `chunks`, as a session feeds it.
fn framed<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Result<(), Violation>>) {
    let (mut framer, mut pending, mut content) = (Framer::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        pending.extend_from_slice(chunk);
        loop {
            match framer.frame(&pending) {
                Frame::Content(0) => break,
                Frame::Content(octets) => content.extend(pending.drain(..octets)),
                Frame::End => {
                    assert_eq!(framer.size(), crate::smtp::unstuff(&content).len() as u64);
                    return (content, Some(Ok(())));
                }
                Frame::Bad(violation) => return (Vec::new(), Some(Err(violation))),
            }
        }
    }
    (content, None)
}

/// Threat 1: every string up to length 8 over {CR, LF, `.`, NUL, x}, at every chunk split and octet by octet.
#[test]
fn framing_agrees_with_the_letter_of_the_law() {
    const ALPHABET: [u8; 5] = [b'\r', b'\n', b'.', 0, b'x'];
    for length in 0..=8u32 {
        for number in 0..5usize.pow(length) {
            let text: Vec<u8> = (0..length).map(|i| ALPHABET[number / 5usize.pow(i) % 5]).collect();
            let expected = oracle(&text);
            for split in 0..=text.len() / 2 {
                let (a, b) = text.split_at(split * 2 % (text.len() + 1));
                assert_eq!(framed([a, b].into_iter()), expected, "{text:?} split at {}", a.len());
            }
            for split in (1..text.len()).step_by(2) {
                let (a, b) = text.split_at(split);
                assert_eq!(framed([a, b].into_iter()), expected, "{text:?} split at {split}");
            }
            assert_eq!(framed(text.chunks(1)), expected, "{text:?} octet by octet");
        }
    }
}

/// The same through a whole session, shorter: also that what follows the end is a command again.
#[test]
fn a_session_ends_content_where_the_framer_does() {
    const ALPHABET: [u8; 5] = [b'\r', b'\n', b'.', 0, b'x'];
    for length in 0..=5u32 {
        for number in 0..5usize.pow(length) {
            let text: Vec<u8> = (0..length).map(|i| ALPHABET[number / 5usize.pow(i) % 5]).collect();
            let (content, end) = oracle(&text);
            let mut house = dialogue("HELO a.example\r\n");
            house.refuse_empty = false;
            house.feed(forward("").trim_end_matches(".\r\n").as_bytes());
            house.feed(&text);
            match end {
                None => assert_eq!((house.content, house.messages.len()), (content, 0)),
                Some(Ok(())) => assert_eq!(house.messages[0].1, content),
                Some(Err(violation)) => {
                    assert_eq!(house.ending, Some(Ending::Violation(violation)));
                    assert_eq!(house.codes().last(), Some(&550));
                    assert!(house.messages.is_empty());
                }
            }
        }
    }
}

#[test]
fn s_01_ehlo_lists_what_is_offered() {
    let house = dialogue("EHLO mms.a.example\r\n");
    let said = String::from_utf8(house.output).unwrap();
    assert_eq!(
        said,
        "220 mms.b.example ESMTP MM4\r\n250-mms.b.example\r\n250-PIPELINING\r\n250-SIZE 5242880\r\n\
         250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
    );
}

#[test]
fn s_03_helo_is_enough() {
    let house = dialogue(&format!("HELO a\r\n{}", forward("Subject: x\r\n\r\nx\r\n")));
    assert_eq!(house.codes(), [220, 250, 250, 250, 354, 250]);
    assert_eq!(house.messages[0].1, b"Subject: x\r\n\r\nx\r\n");
}

#[test]
fn s_04_order_errors_leave_the_session_usable() {
    let mut house = dialogue("MAIL FROM:<>\r\nEHLO a\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
    assert_eq!(house.codes(), [220, 503, 250, 503, 503]);
    house.feed(b"MAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n");
    assert_eq!(house.codes()[5..], [250, 503, 503]);
    house.feed(b"RSET\r\n");
    house.feed(forward("x\r\n").as_bytes());
    assert_eq!(house.messages.len(), 1);
}

#[test]
fn s_05_declared_size_over_the_limit() {
    let limits = Limits { message_size_max: 1000, ..Limits::default() };
    let mut house = House::new(limits, Capabilities::default());
    house.feed(b"EHLO a\r\nMAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> size=1000\r\n");
    assert_eq!(house.codes(), [220, 250, 552, 250]);
    assert_eq!(house.refusals, [Refusal::DeclaredTooBig(1001)]);
    assert!(String::from_utf8(house.output).unwrap().contains("552 5.3.4 "));
}

#[test]
fn s_06_content_over_the_limit_is_read_to_its_true_end() {
    let limits = Limits { message_size_max: 20, ..Limits::default() };
    for (body, fits) in [("0123456789abcdefgh\r\n", true), ("0123456789abcdefghi\r\n", false)] {
        for chunk in [1, 7, 1000] {
            let mut house = House::new(limits, Capabilities::default());
            let program = format!("EHLO a\r\n{}{}", forward(body), forward("next\r\n"));
            program.as_bytes().chunks(chunk).for_each(|c| house.feed(c));
            assert_eq!(house.dropped, usize::from(!fits));
            assert_eq!(house.messages.len(), 1 + usize::from(fits));
            assert_eq!(house.codes()[5], if fits { 250 } else { 552 });
        }
    }
    // A doubled dot counts once.
    let mut house = House::new(limits, Capabilities::default());
    house.feed(format!("EHLO a\r\n{}", forward("..123456789abcdefgh\r\n")).as_bytes());
    assert_eq!(house.dropped, 0);
}

#[test]
fn content_without_end_ends_the_session() {
    let limits = Limits { message_size_max: 20, discard_max: 100, ..Limits::default() };
    let mut house = House::new(limits, Capabilities::default());
    house.feed(format!("EHLO a\r\n{}", forward("").trim_end_matches(".\r\n")).as_bytes());
    (0..13).for_each(|_| house.feed(b"12345678\r\n"));
    assert_eq!(house.ending, Some(Ending::Violation(Violation::Endless)));
}

/// Found by fuzzing: in one chunk the lone CR behind the limit was named, octet by octet the limit.
#[test]
fn chunks_do_not_change_which_violation_is_named() {
    let limits = Limits { message_size_max: 20, discard_max: 10, ..Limits::default() };
    let head = format!("EHLO a\r\n{}", forward("").trim_end_matches(".\r\n"));
    for length in 20..40 {
        for bad in ["\rx", "\n", "\0", ".\rx", "\r\n.\rx", "\r\n..\0", "\r\n.\r\n"] {
            let content = format!(".{}{bad}", "x".repeat(length));
            let run = |chunk: usize| {
                let mut house = House::new(limits, Capabilities::default());
                house.feed(head.as_bytes());
                content.as_bytes().chunks(chunk).for_each(|c| house.feed(c));
                (house.output, house.ending)
            };
            let whole = run(1000);
            assert!((1..content.len()).all(|chunk| run(chunk) == whole), "{content:?}");
        }
    }
}

#[test]
fn s_07_three_messages_in_one_session() {
    let house =
        dialogue(&format!("EHLO a\r\n{}{}{}QUIT\r\n", forward("1\r\n"), forward("2\r\n"), forward("3\r\n")));
    assert_eq!(house.messages.len(), 3);
    assert_eq!(house.ending, Some(Ending::Quit));
    assert_eq!(house.codes().last(), Some(&221));
}

#[test]
fn s_08_a_hundred_noops() {
    let house = dialogue(&format!("EHLO a\r\n{}{}", "NOOP\r\n".repeat(100), forward("x\r\n")));
    assert_eq!(house.messages.len(), 1);
}

#[test]
fn s_09_hello_again_resets() {
    let house = dialogue(&format!("EHLO a\r\nMAIL FROM:<>\r\nHELO a\r\n{}", forward("x\r\n")));
    assert_eq!(house.messages.len(), 1);
    let house = dialogue("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nEHLO a\r\nDATA\r\n");
    assert_eq!(house.codes().last(), Some(&503));
}

#[test]
fn s_10_reset_forgets_the_envelope() {
    let house = dialogue("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRSET\r\nDATA\r\n");
    assert_eq!(house.codes(), [220, 250, 250, 250, 250, 503]);
}

#[test]
fn s_12_nothing_in_it_can_be_refused() {
    let mut house = dialogue(&format!("EHLO a\r\n{}", forward("")));
    assert_eq!(house.codes().last(), Some(&554));
    house.feed(forward("x\r\n").as_bytes());
    assert_eq!(house.messages.len(), 1);
}

#[test]
fn s_14_only_crlf_dot_crlf_ends_content() {
    for body in ["x\n.\n", "x\n.\r\n", "x\r\n.\n", "x\r.\r\n", "x\r\n.\r"] {
        let mut house = dialogue(&format!("EHLO a\r\n{}", forward("").trim_end_matches(".\r\n")));
        house.feed(format!("{body}MAIL FROM:<evil@c.example>\r\n").as_bytes());
        assert!(matches!(house.ending, Some(Ending::Violation(_))), "{body:?}");
        assert!(house.messages.is_empty());
    }
}

#[test]
fn s_15_lines_of_any_length_in_content() {
    let body = format!("Subject: {}\r\n\r\n{}\r\n", "s".repeat(4000), "b".repeat(65_536));
    let house = dialogue(&format!("EHLO a\r\n{}", forward(&body)));
    assert_eq!(house.messages[0].1, body.as_bytes());
}

#[test]
fn s_17_starttls_forgets_everything() {
    let offer = Capabilities { starttls: true, ..Capabilities::default() };
    let mut house = House::new(Limits::default(), offer);
    house.feed(b"EHLO a\r\nMAIL FROM:<>\r\nSTARTTLS\r\n");
    assert!(house.tls_asked && house.session.phase() == Phase::Handshake);
    assert!(String::from_utf8_lossy(&house.output).contains("250-STARTTLS\r\n"));
    house.session.tls_started();
    house.output.clear();
    house.feed(b"MAIL FROM:<>\r\nEHLO a\r\nSTARTTLS\r\n");
    assert_eq!(house.codes(), [503, 250, 502]);
    assert!(!String::from_utf8_lossy(&house.output).contains("STARTTLS\r\n"));
}

#[test]
fn s_16_nothing_is_taken_in_the_clear_where_tls_is_required() {
    let offer = Capabilities { starttls: true, tls_required: true, ..Capabilities::default() };
    let mut house = House::new(Limits::default(), offer);
    house.feed(b"HELO a\r\nEHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nRSET\r\nNOOP\r\nVRFY a\r\n");
    assert_eq!(house.codes(), [220, 250, 250, 530, 530, 530, 530, 250, 530]);
    assert!(String::from_utf8_lossy(&house.output).contains("530 5.7.0 Must issue a STARTTLS command first"));
    house.feed(b"STARTTLS\r\n");
    house.session.tls_started();
    house.output.clear();
    house.feed(b"EHLO a\r\nMAIL FROM:<>\r\n");
    assert_eq!(house.codes(), [250, 250]);
    // Under TLS from the first octet: nothing more is asked, and nothing offered.
    let mut session = Session::new("mms.b.example", Limits::default(), offer).under_tls();
    session.greet();
    session.advance(b"EHLO a\r\n");
    assert!(!String::from_utf8_lossy(session.output()).contains("STARTTLS"));
    assert!(matches!(session.advance(b"MAIL FROM:<>\r\n").1, Event::Sender(_)));
}

/// Threat 2: one chunk, and every split; only what arrives with the command itself is seen here.
#[test]
fn x_09_bytes_behind_starttls_end_the_session() {
    let program = b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n";
    for split in 0..program.len() {
        let mut house =
            House::new(Limits::default(), Capabilities { starttls: true, ..Capabilities::default() });
        house.feed(&program[..split]);
        house.feed(&program[split..]);
        assert_eq!(house.ending, Some(Ending::Violation(Violation::BytesBehindStartTls)), "split {split}");
        assert_eq!(house.codes().last(), Some(&554));
    }
}

/// S-23, S-27: the null reverse path, and a transaction in one piece.
#[test]
fn s_23_null_reverse_path_and_s_27_pipelining() {
    let house =
        dialogue("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<system-user@mms.b.example>\r\nDATA\r\nx\r\n.\r\n");
    assert_eq!(house.codes(), [220, 250, 250, 250, 354, 250]);
    assert_eq!(house.messages[0].0.sender.path, None);
}

#[test]
fn l_02_s_24_every_path_is_accepted() {
    let mut house = dialogue("EHLO a\r\nMAIL FROM:<system-user>\r\n");
    for path in ["+19995550100/TYPE=PLMN@other.example", "nonsense@mms.a.example", "4455@mms.a.example", "x"]
    {
        house.feed(format!("RCPT TO:<{path}>\r\n").as_bytes());
    }
    assert_eq!(house.codes()[3..], [250, 250, 250, 250]);
}

#[test]
fn a_04_only_what_is_no_path_is_refused() {
    let mut house = dialogue("EHLO a\r\nMAIL FROM:<>\r\n");
    house.feed(format!("RCPT TO:<{}@b.example>\r\n", "l".repeat(65)).as_bytes());
    house.feed(format!("RCPT TO:<a@{}.example>\r\n", "d".repeat(250)).as_bytes());
    house.feed(
        b"RCPT TO:<>\r\nRCPT TO:\r\nRCPT b@c.example\r\nRCPT TO:<a b>\r\nRCPT TO:<a@b.example> X=Y\r\n",
    );
    assert_eq!(house.codes()[3..], [553, 553, 501, 501, 501, 501, 555]);
    house.feed(b"RCPT TO:<a@b.example>\r\n");
    assert_eq!(house.codes().last(), Some(&250));
}

#[test]
fn g_17_too_many_recipients_wait_for_the_next_transaction() {
    let mut house = dialogue("EHLO a\r\nMAIL FROM:<>\r\n");
    for n in 0..1001 {
        house.feed(format!("RCPT TO:<+1202555{n:04}/TYPE=PLMN@mms.b.example>\r\n").as_bytes());
    }
    house.feed(b"DATA\r\nx\r\n.\r\n");
    let codes = house.codes();
    assert_eq!(codes.iter().filter(|c| **c == 452).count(), 1);
    assert_eq!(codes[3 + 1000..], [452, 354, 250]);
    assert_eq!(house.messages[0].0.recipients.len(), 1000);
}

#[test]
fn parameters() {
    let house = dialogue(
        "EHLO a\r\nMAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\nRSET\r\nMAIL FROM:<> BODY=BINARYMIME\r\n\
         MAIL FROM:<> SIZE=\r\nMAIL FROM:<> RET=FULL\r\nMAIL FROM:<>BODY=7BIT\r\nMAIL TO:<>\r\nDATA x\r\n",
    );
    assert_eq!(house.codes(), [220, 250, 250, 250, 501, 501, 555, 501, 501, 501]);
}

#[test]
fn other_verbs() {
    let house = dialogue(
        "EHLO a\r\nhelp\r\nVRFY x\r\nEXPN x\r\nBDAT 5 LAST\r\nAUTH PLAIN\r\nSTARTTLS\r\nXYZZY\r\n\r\n",
    );
    assert_eq!(house.codes(), [220, 250, 214, 252, 502, 502, 502, 502, 500, 500]);
    let house = dialogue("GET / HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(house.ending, Some(Ending::Violation(Violation::Http)));
}

#[test]
fn talking_before_the_greeting_ends_the_session() {
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    assert_eq!(session.advance(b""), (0, Event::NeedMore));
    let (_, event) = session.advance(b"EHLO a\r\n");
    assert_eq!(event, Event::Ended(Ending::Violation(Violation::TalkedFirst)));
    session.greet();
    assert!(!session.output().starts_with(b"220"));
}

#[test]
fn s_02_a_stranger_is_turned_away_at_the_greeting() {
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    session.turn_away(&Reply::never(554, 7, 1, "Not a peer of ours"));
    assert_eq!(session.output(), b"554 5.7.1 Not a peer of ours\r\n");
    assert_eq!(session.advance(b"").1, Event::Ended(Ending::TurnedAway));
}

#[test]
fn errors_are_counted_at_n_and_n_plus_one() {
    let limits = Limits { errors_max: 3, ..Limits::default() };
    let mut house = House::new(limits, Capabilities::default());
    house.feed(b"EHLO a\r\nX\r\nX\r\nX\r\n");
    assert_eq!(house.ending, None);
    house.feed(format!("{}X\r\nX\r\nX\r\n", forward("a message pays the debt\r\n")).as_bytes());
    assert_eq!(house.ending, None);
    house.feed(b"X\r\nNOOP\r\n");
    assert_eq!(house.ending, Some(Ending::TooManyErrors));
    assert_eq!(house.codes().last(), Some(&421));
}

#[test]
fn a_command_line_at_its_limit_and_beyond() {
    let line = |n: usize| format!("NOOP {}\r\n", "x".repeat(n - 7));
    for chunk in [1, 4096, 10_000] {
        let mut house = house();
        line(4096).as_bytes().chunks(chunk).for_each(|c| house.feed(c));
        assert_eq!(house.codes(), [220, 250]);
        line(4097).as_bytes().chunks(chunk).for_each(|c| house.feed(c));
        assert_eq!(house.ending, Some(Ending::Violation(Violation::LineTooLong)));
    }
}

#[test]
fn bare_line_ends_and_nul_in_commands() {
    for (bytes, violation) in [
        (&b"NOOP\n"[..], Violation::BareLf),
        (b"NO\rOP\r\n", Violation::BareCr),
        (b"NOOP\r\r\n", Violation::BareCr),
        (b"NO\0OP\r\n", Violation::Nul),
    ] {
        let mut house = house();
        house.feed(bytes);
        assert_eq!(house.ending, Some(Ending::Violation(violation)));
        assert_eq!(house.codes(), [220, 550]);
    }
}

#[test]
fn no_input_is_read_while_a_verdict_is_due() {
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    session.greet();
    let program = b"EHLO a\r\nMAIL FROM:<>\r\nNOOP\r\n";
    let (used, _) = session.advance(program);
    let (more, event) = session.advance(&program[used..]);
    assert!(matches!(event, Event::Sender(_)));
    session.output().clear();
    assert_eq!(session.advance(&program[used + more..]), (0, Event::Undecided));
    assert_eq!(session.phase(), Phase::Verdict);
    session.refuse(&Reply::new(250, None, "not a refusal"));
    assert_eq!(session.output(), b"451 4.3.0 Try again later\r\n");
    assert_eq!(session.advance(&program[used + more..]), (6, Event::NeedMore));
    // Verdicts nobody asked for change nothing.
    session.output().clear();
    session.accept();
    session.refuse(&Reply::never(554, 0, 0, "x"));
    assert!(session.output().is_empty());
}

#[test]
fn waiting_output_is_bounded() {
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    session.greet();
    let input = "NOOP\r\n".repeat(100_000);
    let (used, event) = session.advance(input.as_bytes());
    assert_eq!(event, Event::Flush);
    assert!(used < input.len() && session.output().len() < 17_000);
}

/// One step of a random program: what is sent, and what the model makes of it.
#[derive(Clone, Copy, Debug)]
enum Line {
    Hello,
    Mail,
    Null,
    TooBig,
    Rcpt,
    BadRcpt,
    Data,
    Empty,
    Reset,
    Noop,
    Unknown,
}

impl Line {
    const ALL: [Self; 11] = [
        Self::Hello,
        Self::Mail,
        Self::Null,
        Self::TooBig,
        Self::Rcpt,
        Self::BadRcpt,
        Self::Data,
        Self::Empty,
        Self::Reset,
        Self::Noop,
        Self::Unknown,
    ];

    fn wire(self) -> &'static str {
        match self {
            Self::Hello => "EHLO a.example\r\n",
            Self::Mail => "MAIL FROM:<a@a.example> SIZE=5\r\n",
            Self::Null => "mail from:<>\r\n",
            Self::TooBig => "MAIL FROM:<> SIZE=99999999999999999999\r\n",
            Self::Rcpt => "RCPT TO:<+12025550100/TYPE=PLMN@mms.b.example>\r\n",
            Self::BadRcpt => "RCPT TO:<@>\r\n",
            Self::Data => "DATA\r\n",
            Self::Empty => "\r\n",
            Self::Reset => "RSET\r\n",
            Self::Noop => "NOOP\r\n",
            Self::Unknown => "FOO BAR\r\n",
        }
    }
}

/// The model: a session is whether it was greeted, has a sender, and how many recipients. After a `354` the program
/// goes on with content.
#[derive(Default)]
struct Model {
    hello: bool,
    sender: bool,
    recipients: usize,
}

impl Model {
    fn code(&mut self, line: Line) -> u16 {
        match line {
            Line::Hello | Line::Reset => {
                self.hello |= matches!(line, Line::Hello);
                (self.sender, self.recipients) = (false, 0);
                250
            }
            Line::Mail | Line::Null | Line::TooBig if !self.hello || self.sender => 503,
            Line::TooBig => 552,
            Line::Mail | Line::Null => {
                self.sender = true;
                250
            }
            Line::Rcpt | Line::BadRcpt if !self.sender => 503,
            Line::BadRcpt => 501,
            Line::Rcpt => {
                self.recipients += 1;
                250
            }
            Line::Data if self.recipients == 0 => 503,
            Line::Data => {
                (self.sender, self.recipients) = (false, 0);
                354
            }
            Line::Noop => 250,
            Line::Empty | Line::Unknown => 500,
        }
    }
}

proptest! {
    /// Threat 3: random programs against the model; one chunk, octet by octet and random chunks reply the same; a
    /// message has exactly the sender and recipients of its own transaction.
    #[test]
    fn random_programs_behave_like_the_model(
        program in prop::collection::vec(prop::sample::select(Line::ALL.to_vec()), 0..60),
        cuts in prop::collection::vec(1usize..50, 1..40),
    ) {
        let (mut model, mut wire, mut expected, mut messages) = (Model::default(), String::new(), vec![220], vec![]);
        for line in program {
            wire.push_str(line.wire());
            let recipients = model.recipients;
            let code = model.code(line);
            expected.push(code);
            if code == 354 {
                wire.push_str("Subject: x\r\n\r\n..MAIL FROM:<>\r\n.\r\n");
                expected.push(250);
                messages.push(recipients);
            }
        }
        let limits = Limits { errors_max: 1000, ..Limits::default() };
        let mut runs = Vec::new();
        for way in 0..3 {
            let mut house = House::new(limits, Capabilities::default());
            let mut rest = wire.as_bytes();
            let mut cut = cuts.iter().cycle();
            while !rest.is_empty() {
                let octets = match way { 0 => rest.len(), 1 => 1, _ => *cut.next().unwrap_or(&1) };
                let (chunk, later) = rest.split_at(octets.min(rest.len()));
                house.feed(chunk);
                rest = later;
            }
            prop_assert_eq!(house.codes(), expected.clone());
            let got: Vec<usize> = house.messages.iter().map(|m| m.0.recipients.len()).collect();
            prop_assert_eq!(&got, &messages);
            prop_assert!(house.messages.iter().all(|m| m.1 == b"Subject: x\r\n\r\n..MAIL FROM:<>\r\n"));
            runs.push(house.output);
        }
        prop_assert!(runs.windows(2).all(|w| w[0] == w[1]));
    }

    /// Any bytes at any split: no panic, and the same events' outcome.
    #[test]
    fn any_bytes_any_split(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..40) {
        let mut whole = house();
        whole.feed(&bytes);
        let mut parts = house();
        bytes.chunks(cut).for_each(|c| parts.feed(c));
        prop_assert_eq!(whole.output, parts.output);
        prop_assert_eq!(whole.ending, parts.ending);
    }
}
