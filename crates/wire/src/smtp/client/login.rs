//! `AUTH` by PLAIN and LOGIN, as the one who logs in (RFC 4954, RFC 4616).
//!
//! Owns: the dialogue. Never knows: whether a password may go in the clear; the house decides before it asks.

use super::{Event, Session, State, Trouble};
use crate::smtp::{Reply, ReplyError, base64};

/// What the next challenge is answered with, in base64; the first one last.
pub(super) struct Answers(Vec<String>);

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

impl Session {
    /// Queues `AUTH` with this name and password, by PLAIN where the peer offers it, else by LOGIN; then comes
    /// [`Event::LoggedIn`] or [`Event::LoginRefused`]. `false` when the session is not ready or the peer offers neither.
    pub fn login(&mut self, user: &str, password: &[u8]) -> bool {
        if !self.is_ready() {
            return false;
        }
        let answers = if self.capabilities.auth_plain {
            let all = [b"\0", user.as_bytes(), b"\0", password].concat();
            self.output.extend_from_slice(format!("AUTH PLAIN {}\r\n", base64::encode(&all)).as_bytes());
            Vec::new()
        } else if self.capabilities.auth_login {
            self.output.extend_from_slice(b"AUTH LOGIN\r\n");
            vec![base64::encode(password), base64::encode(user.as_bytes())]
        } else {
            return false;
        };
        self.state = State::Login(Answers(answers));
        true
    }

    /// The reply to `AUTH`, or to what was said last in its dialogue.
    pub(super) fn login_step(&mut self, Answers(mut answers): Answers, reply: Reply) -> Option<Event> {
        match answers.pop() {
            Some(answer) if reply.code() == 334 => {
                self.output.extend_from_slice(format!("{answer}\r\n").as_bytes());
                self.state = State::Login(Answers(answers));
                None
            }
            None if reply.is_positive() => {
                self.state = State::Idle;
                Some(Event::LoggedIn)
            }
            _ if reply.is_temporary() || reply.is_permanent() => {
                self.state = State::Idle;
                Some(Event::LoginRefused(reply))
            }
            _ => {
                let (stage, error) = (super::Stage::Login, ReplyError::Unexpected(reply.code()));
                Some(self.end(Trouble::Malformed { stage, error }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::smtp::client::{Event, Session, Stage, Trouble};
    use crate::smtp::{Limits, ReplyError, server};

    fn ready(auth: &str) -> Session {
        let mut session = Session::new("mms.a.example", Limits::default());
        session.advance(b"220 b\r\n");
        session.output().clear();
        let reply = format!("250-b\r\n{auth}250 PIPELINING\r\n");
        assert_eq!(session.advance(reply.as_bytes()).1, Event::Ready);
        session
    }

    fn said(session: &mut Session) -> String {
        String::from_utf8(std::mem::take(session.output())).unwrap()
    }

    #[test]
    fn plain_is_preferred_and_login_is_known() {
        let mut session = ready("250-AUTH LOGIN PLAIN\r\n");
        assert!(session.login("b", b"secret"));
        assert_eq!(
            (said(&mut session).as_str(), session.stage()),
            ("AUTH PLAIN AGIAc2VjcmV0\r\n", Stage::Login)
        );
        assert_eq!(session.advance(b"235 2.7.0 ok\r\n").1, Event::LoggedIn);
        assert!(session.is_ready());
        // The old way to write it.
        let mut session = ready("250-AUTH=LOGIN\r\n");
        assert!(session.login("b", b"secret"));
        assert_eq!(said(&mut session), "AUTH LOGIN\r\n");
        session.advance(b"334 VXNlcm5hbWU6\r\n");
        assert_eq!(said(&mut session), "Yg==\r\n");
        session.advance(b"334 UGFzc3dvcmQ6\r\n");
        assert_eq!(said(&mut session), "c2VjcmV0\r\n");
        assert_eq!(session.advance(b"235 ok\r\n").1, Event::LoggedIn);
    }

    #[test]
    fn what_ends_a_login() {
        let mut session = ready("250-AUTH PLAIN\r\n");
        session.login("b", b"secret");
        said(&mut session);
        assert!(
            matches!(session.advance(b"535 5.7.8 no\r\n").1, Event::LoginRefused(reply) if reply.code() == 535)
        );
        assert!(session.is_ready());
        let mut session = ready("250-AUTH CRAM-MD5\r\n");
        assert!(!session.login("b", b"secret") && said(&mut session).is_empty());
        // A challenge where there is nothing left to say.
        let mut session = ready("250-AUTH PLAIN\r\n");
        session.login("b", b"secret");
        said(&mut session);
        let error = ReplyError::Unexpected(334);
        assert_eq!(
            session.advance(b"334 \r\n").1,
            Event::Ended(Trouble::Malformed { stage: Stage::Login, error })
        );
        let mut session = ready("250-AUTH PLAIN\r\n");
        session.login("b", b"secret");
        assert!(!format!("{session:?}").contains("secret"));
        assert_eq!(session.lost(), Event::Ended(Trouble::Lost { stage: Stage::Login }));
    }

    /// Our two sides understand each other, either way.
    #[test]
    fn both_sides_log_in() {
        for offered in ["250-AUTH PLAIN\r\n", "250-AUTH LOGIN\r\n"] {
            let offer = server::Capabilities { auth: true, ..server::Capabilities::default() };
            let mut other = server::Session::new("b", Limits::default(), offer);
            other.greet();
            other.advance(b"EHLO a\r\n");
            other.output().clear();
            let mut session = ready(offered);
            session.login("b \u{e9}", b"secret \xff");
            let mut asked = 0;
            loop {
                let line = std::mem::take(session.output());
                if let server::Event::Login(shown) = other.advance(&line).1 {
                    asked += 1;
                    assert_eq!(
                        (&shown.user[..], &shown.password[..]),
                        ("b \u{e9}".as_bytes(), &b"secret \xff"[..])
                    );
                    other.judge_login(true);
                }
                match session.advance(&std::mem::take(other.output())).1 {
                    Event::LoggedIn => break,
                    event => assert_eq!(event, Event::NeedMore),
                }
            }
            assert_eq!(asked, 1);
        }
    }
}
