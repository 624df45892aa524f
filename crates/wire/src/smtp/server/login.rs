//! `AUTH` by PLAIN and LOGIN (RFC 4954, RFC 4616).
//!
//! Owns: the dialogue. Never knows: who may come in; it hands name and password to the house, and keeps neither.

use super::{Ending, Event, Refusal, Session, State};
use crate::smtp::base64;
use std::fmt;

/// Wrong passwords on one connection; one more ends it.
const FAILURES_MAX: u32 = 3;

/// Who says to be who. The password shows up in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What the next line is.
#[derive(Debug)]
pub(super) enum Awaited {
    /// Everything at once.
    Plain,
    /// The name.
    Name,
    /// The password of this name.
    Password(Vec<u8>),
}

impl Session {
    /// Says whether the name and password that were asked about are right. Does nothing when nothing was asked.
    pub fn judge_login(&mut self, right: bool) {
        if !matches!(self.state, State::JudgingLogin) {
            return;
        }
        self.state = State::Ready;
        if right {
            self.logged_in = true;
            self.say(b"235 2.7.0 Authentication succeeded\r\n");
            return;
        }
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            self.say(b"421 4.7.0 Too many wrong passwords\r\n");
            self.state = State::Over(Ending::TooManyErrors);
        } else {
            self.say(b"535 5.7.8 Authentication credentials invalid\r\n");
        }
    }

    /// `AUTH`, where it is offered.
    pub(super) fn auth(&mut self, argument: &str) -> Option<Event<'static>> {
        match &self.state {
            State::Ready if self.logged_in => {
                return self.refused(Refusal::Order, b"503 5.5.1 Authenticated already\r\n");
            }
            State::Ready => {}
            State::Greeted => return self.refused(Refusal::Order, b"503 5.5.1 EHLO first\r\n"),
            _ => return self.refused(Refusal::Order, b"503 5.5.1 A transaction is under way\r\n"),
        }
        let mut words = argument.split_ascii_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let (initial, more) = (words.next(), words.next());
        if more.is_some() {
            return self.refused(Refusal::Argument, b"501 5.5.4 AUTH takes a mechanism and a response\r\n");
        }
        let (awaited, challenge): (_, &[u8]) = match mechanism.as_str() {
            "PLAIN" => (Awaited::Plain, b"334 \r\n"),
            "LOGIN" => (Awaited::Name, b"334 VXNlcm5hbWU6\r\n"),
            _ => return self.refused(Refusal::Parameter, b"504 5.5.4 PLAIN and LOGIN are known here\r\n"),
        };
        match initial {
            // An empty response is written as a sign (RFC 4954 4).
            Some("=") => self.response(awaited, b""),
            Some(response) => self.response(awaited, response.as_bytes()),
            None => {
                self.say(challenge);
                self.state = State::Login(awaited);
                None
            }
        }
    }

    /// A line that is no command but the answer to a challenge.
    pub(super) fn response(&mut self, awaited: Awaited, line: &[u8]) -> Option<Event<'static>> {
        self.state = State::Ready;
        if line == b"*" {
            return self.refused(Refusal::Argument, b"501 5.7.0 Authentication cancelled\r\n");
        }
        let Some(octets) = base64::decode(line) else {
            return self.refused(Refusal::Argument, b"501 5.5.2 Not base64\r\n");
        };
        let credentials = match awaited {
            Awaited::Name => {
                self.say(b"334 UGFzc3dvcmQ6\r\n");
                self.state = State::Login(Awaited::Password(octets));
                return None;
            }
            Awaited::Password(user) => Credentials { user, password: octets },
            // As whom, NUL, name, NUL, password. To act as another is not known here.
            Awaited::Plain => match octets.split(|b| *b == 0).collect::<Vec<_>>()[..] {
                [role, user, password] if role.is_empty() || role == user => {
                    Credentials { user: user.to_owned(), password: password.to_owned() }
                }
                _ => return self.refused(Refusal::Argument, b"501 5.5.2 Not a name and a password\r\n"),
            },
        };
        self.state = State::JudgingLogin;
        Some(Event::Login(credentials))
    }
}

#[cfg(test)]
mod tests {
    use crate::smtp::Limits;
    use crate::smtp::server::{Capabilities, Ending, Event, Session};
    use proptest::prelude::*;

    const OFFER: Capabilities = Capabilities { starttls: true, tls_required: false, auth: true };
    /// NUL, `b`, NUL, `secret`.
    const RIGHT: &str = "AGIAc2VjcmV0";
    /// NUL, `b`, NUL, `other`.
    const WRONG: &str = "AGIAb3RoZXI=";

    fn session() -> Session {
        let mut session = Session::new("mms.b.example", Limits::default(), OFFER);
        session.greet();
        session
    }

    /// What a program is answered, the last line of each reply; how it ended, and how often a verdict was asked.
    fn answers(session: &mut Session, program: &str) -> (Vec<String>, Option<Ending>, usize) {
        session.output().clear();
        let (mut at, mut asked, mut ending) = (0, 0, None);
        loop {
            let (used, event) = session.advance(&program.as_bytes()[at..]);
            at += used;
            match event {
                Event::NeedMore => break,
                Event::Sender(_) => session.accept(),
                Event::Login(shown) => {
                    asked += 1;
                    assert!(!format!("{shown:?}").contains("115"), "no octet of it shows");
                    session.judge_login(shown.user == b"b" && shown.password == b"secret");
                }
                Event::Ended(why) => {
                    ending = Some(why);
                    break;
                }
                _ => {}
            }
        }
        let output = String::from_utf8(std::mem::take(session.output())).unwrap();
        let lines = output.lines().filter(|l| l.as_bytes().get(3) != Some(&b'-'));
        (lines.map(|l| l.to_owned()).collect(), ending, asked)
    }

    fn codes(session: &mut Session, program: &str) -> Vec<u16> {
        answers(session, program).0.iter().map(|line| line[..3].parse().unwrap()).collect()
    }

    #[test]
    fn s_18_plain() {
        let (lines, _, _) =
            answers(&mut session(), &format!("EHLO a\r\nAUTH PLAIN {RIGHT}\r\nMAIL FROM:<>\r\n"));
        assert_eq!(lines[1..], ["235 2.7.0 Authentication succeeded", "250 2.1.0 Sender ok"]);
        let (lines, _, _) =
            answers(&mut session(), &format!("EHLO a\r\nauth plain {WRONG}\r\nMAIL FROM:<>\r\n"));
        assert_eq!(
            lines[1..],
            ["535 5.7.8 Authentication credentials invalid", "530 5.7.0 Authentication required"]
        );
        // The response in a line of its own.
        assert_eq!(codes(&mut session(), &format!("EHLO a\r\nAUTH PLAIN\r\n{RIGHT}\r\n")), [250, 334, 235]);
        let mut session = session();
        session.advance(b"EHLO a\r\n");
        assert!(String::from_utf8_lossy(session.output()).contains("250-AUTH PLAIN LOGIN\r\n"));
    }

    #[test]
    fn s_19_login() {
        let program = "EHLO a\r\nAUTH LOGIN\r\nYg==\r\nc2VjcmV0\r\nMAIL FROM:<>\r\n";
        let (lines, _, _) = answers(&mut session(), program);
        assert_eq!(
            lines[1..],
            [
                "334 VXNlcm5hbWU6",
                "334 UGFzc3dvcmQ6",
                "235 2.7.0 Authentication succeeded",
                "250 2.1.0 Sender ok"
            ]
        );
        assert_eq!(codes(&mut session(), "EHLO a\r\nAUTH LOGIN Yg==\r\nc2VjcmV0\r\n"), [250, 334, 235]);
    }

    #[test]
    fn what_is_no_login() {
        let mut session = session();
        let program = format!(
            "AUTH PLAIN {RIGHT}\r\nEHLO a\r\nAUTH\r\nAUTH CRAM-MD5\r\nAUTH PLAIN x y\r\nAUTH PLAIN ?\r\nAUTH PLAIN =\r\n\
             AUTH LOGIN\r\n*\r\nAUTH LOGIN\r\nYg==\r\n*\r\nAUTH PLAIN eABiAHNlY3JldA==\r\nMAIL FROM:<>\r\n"
        );
        let (lines, _, asked) = answers(&mut session, &program);
        let codes: Vec<&str> = lines.iter().map(|l| &l[..3]).collect();
        let expected = [
            "503", "250", "504", "504", "501", "501", "501", "334", "501", "334", "334", "501", "501", "530",
        ];
        assert_eq!((codes, asked), (expected.to_vec(), 0));
        // Twice, and inside a transaction.
        let program =
            format!("AUTH PLAIN {RIGHT}\r\nAUTH PLAIN {RIGHT}\r\nMAIL FROM:<>\r\nAUTH PLAIN {RIGHT}\r\n");
        assert_eq!(self::codes(&mut session, &program), [235, 503, 250, 503]);
        // Where it is not offered it is not there.
        let mut plain = Session::new("b", Limits::default(), Capabilities::default());
        plain.greet();
        assert_eq!(self::codes(&mut plain, "EHLO a\r\nAUTH PLAIN AGIAc2VjcmV0\r\n"), [250, 502]);
    }

    #[test]
    fn a_login_outlives_rset_and_helo_but_not_starttls() {
        let mut session = session();
        let program = format!("EHLO a\r\nAUTH PLAIN {RIGHT}\r\nRSET\r\nHELO a\r\nEHLO a\r\nMAIL FROM:<>\r\n");
        assert_eq!(codes(&mut session, &program), [250, 235, 250, 250, 250, 250]);
        assert_eq!(codes(&mut session, "STARTTLS\r\n"), [220]);
        session.tls_started();
        assert_eq!(codes(&mut session, "EHLO a\r\nMAIL FROM:<>\r\n"), [250, 530]);
    }

    #[test]
    fn too_many_wrong_passwords_end_the_session() {
        let mut session = session();
        let program = format!("EHLO a\r\n{}", format!("AUTH PLAIN {WRONG}\r\n").repeat(9));
        let (lines, ending, asked) = answers(&mut session, &program);
        assert_eq!(
            lines[lines.len() - 2..],
            ["535 5.7.8 Authentication credentials invalid", "421 4.7.0 Too many wrong passwords"]
        );
        assert_eq!((ending, asked), (Some(Ending::TooManyErrors), 4));
    }

    #[test]
    fn a_response_has_the_limit_of_a_line() {
        let mut session = session();
        let program = format!("EHLO a\r\nAUTH LOGIN\r\n{}\r\n", "A".repeat(4096));
        let (lines, ending, _) = answers(&mut session, &program);
        assert!(lines.last().unwrap().starts_with("500") && ending.is_some());
    }

    proptest! {
        /// Whatever is said: without the right words no MAIL is taken, and the same octets mean the same in any chunks.
        #[test]
        fn no_way_around_the_password(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "EHLO a", "HELO a", "RSET", "AUTH PLAIN", "AUTH LOGIN", "AUTH LOGIN Yg==", "AUTH PLAIN AGIAb3RoZXI=", "Yg==", "AGIAb3RoZXI=",
                    "c2VjcmV", "*", "=", "", "MAIL FROM:<>", "NOOP", "AUTH PLAIN =", "AGIAAHNlY3JldA==",
                ]),
                0..12,
            ),
            split in 0usize..200,
        ) {
            let program = words.iter().map(|w| format!("{w}\r\n")).collect::<String>();
            let mut whole = session();
            let (lines, _, _) = answers(&mut whole, &program);
            prop_assert!(!lines.iter().any(|l| l.starts_with("250 2.1.0") || l.starts_with("235")));
            let mut halves = session();
            let (first, second) = program.split_at(split.min(program.len()));
            halves.output().clear();
            let mut seen = answers(&mut halves, first).0;
            // What was not consumed is shown again: a whole line at least is missing from the front.
            let left = first.rfind("\r\n").map_or(first, |at| &first[at + 2..]);
            seen.extend(answers(&mut halves, &format!("{left}{second}")).0);
            prop_assert_eq!(&lines[..], &seen[..]);
        }
    }
}
