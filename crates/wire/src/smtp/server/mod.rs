//! The receiving side of one SMTP connection (RFC 5321; TS 23.140 8.4.5).
//!
//! Owns: commands, their order, replies, the framing of content, and the envelope while there is one.
//! Never knows: sockets, time, who the peer is, what a mail says. It asks the house twice: whether to take a sender,
//! and whether to take the whole message. Every recipient that is a path at all is taken (TS 23.140 8.4.5: refusals
//! travel in the response message, not here).
//!
//! One rule for the house: call [`Session::advance`] until it says [`Event::NeedMore`]; then write the output, read
//! more, and show the octets that were not consumed again in front of the new ones. After [`Event::Ended`] write the
//! output and close.
//!
//! ```
//! use wire::smtp::{Limits, server::{Capabilities, Event, Session}};
//!
//! let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
//! session.greet();
//! let input = b"EHLO mms.a.example\r\nMAIL FROM:<>\r\n";
//! let (used, event) = session.advance(input);
//! assert!(matches!(event, Event::Hello { extended: true, .. }));
//! let (_, event) = session.advance(&input[used..]);
//! assert!(matches!(event, Event::Sender(sender) if sender.path.is_none()));
//! session.accept();
//! assert!(session.output().ends_with(b"250 2.1.0 Sender ok\r\n"));
//! ```

mod event;
mod login;

pub use event::{Capabilities, Ending, Envelope, Event, Refusal, Sender, Violation};
pub use login::Credentials;

use login::Awaited;

use super::framer::{Frame, Framer};
use super::path::{PathError, read_path};
use super::reply::lossy;
use super::{Limits, Reply};
use mms::HeaderText;

/// What the session waits for: the house takes its deadline from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The house, to greet.
    Greeting,
    /// A command of the peer.
    Command,
    /// A command of the peer, inside a transaction.
    Envelope,
    /// Content of the peer.
    Content,
    /// The house, for a verdict.
    Verdict,
    /// The TLS handshake.
    Handshake,
    /// Nothing.
    Over,
}

#[derive(Debug)]
enum State {
    Silent,
    Greeted,
    Ready,
    JudgingSender(Sender),
    HasSender(Sender),
    HasRecipients(Envelope),
    Content { envelope: Envelope, framer: Framer },
    JudgingContent,
    Login(Awaited),
    JudgingLogin,
    Handshake,
    Over(Ending),
}

/// One connection of one peer.
#[derive(Debug)]
pub struct Session {
    host: String,
    limits: Limits,
    capabilities: Capabilities,
    state: State,
    errors: u32,
    tls: bool,
    /// Kept until the end, or until TLS is started: `HELO` and `RSET` do not touch it.
    logged_in: bool,
    failures: u32,
    output: Vec<u8>,
}

impl Session {
    /// A session that has not greeted yet. `host` is what we call ourselves.
    pub fn new(host: &str, limits: Limits, capabilities: Capabilities) -> Self {
        let host = Reply::new(220, None, host).text().as_str().replace(' ', "-");
        Self {
            host,
            limits,
            capabilities,
            state: State::Silent,
            errors: 0,
            tls: false,
            logged_in: false,
            failures: 0,
            output: Vec::new(),
        }
    }

    /// The same on a connection that is under TLS from its first octet (RFC 8314 3).
    #[must_use]
    pub fn under_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Offer something else from now on: the house has learnt who the peer is.
    pub fn offer(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }

    /// Queues the `220` greeting. Does nothing the second time.
    pub fn greet(&mut self) {
        if matches!(self.state, State::Silent) {
            let greeting = format!("220 {} ESMTP MM4\r\n", self.host);
            self.say(greeting.as_bytes());
            self.state = State::Greeted;
        }
    }

    /// Ends the session from our side with `reply`, at the greeting or at any time (`421` for a deadline or a
    /// shutdown).
    pub fn turn_away(&mut self, reply: &Reply) {
        if !matches!(self.state, State::Over(_)) {
            reply.write(&mut self.output);
            self.state = State::Over(Ending::TurnedAway);
        }
    }

    /// Replies to write. The house takes what it has written off the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What the session waits for.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Silent => Phase::Greeting,
            State::Greeted | State::Ready | State::Login(_) => Phase::Command,
            State::HasSender(_) | State::HasRecipients(_) => Phase::Envelope,
            State::Content { .. } => Phase::Content,
            State::JudgingSender(_) | State::JudgingContent | State::JudgingLogin => Phase::Verdict,
            State::Handshake => Phase::Handshake,
            State::Over(_) => Phase::Over,
        }
    }

    /// Takes the sender or the message that was asked about. Does nothing when nothing was.
    pub fn accept(&mut self) {
        self.accept_as("Message accepted");
    }

    /// Like [`Session::accept`], with words for the `250` of a message, such as our id of it.
    pub fn accept_as(&mut self, words: &str) {
        self.state = match std::mem::replace(&mut self.state, State::Ready) {
            State::JudgingSender(sender) => {
                self.say(b"250 2.1.0 Sender ok\r\n");
                State::HasSender(sender)
            }
            State::JudgingContent => {
                Reply::new(250, Some(super::Enhanced::new(2, 0, 0)), words).write(&mut self.output);
                self.errors = 0;
                State::Ready
            }
            other => other,
        };
    }

    /// Refuses the sender or the message that was asked about. A `reply` that is no refusal becomes `451`, so that
    /// the peer keeps the message. Does nothing when nothing was asked.
    pub fn refuse(&mut self, reply: &Reply) {
        if !matches!(self.state, State::JudgingSender(_) | State::JudgingContent) {
            return;
        }
        self.state = State::Ready;
        if reply.is_temporary() || reply.is_permanent() {
            reply.write(&mut self.output);
        } else {
            self.say(b"451 4.3.0 Try again later\r\n");
        }
    }

    /// The TLS handshake is done. Everything the peer said before is forgotten (RFC 3207 4.2).
    pub fn tls_started(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.state = State::Greeted;
            self.tls = true;
            self.errors = 0;
            self.logged_in = false;
        }
    }

    /// Reads the front of `input`: octets consumed, and what happened. See the module head for the rule.
    pub fn advance<'a>(&mut self, input: &'a [u8]) -> (usize, Event<'a>) {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            match &mut self.state {
                State::Over(why) => return (input.len(), Event::Ended(*why)),
                State::JudgingSender(_) | State::JudgingContent | State::JudgingLogin => {
                    return (consumed, Event::Undecided);
                }
                State::Silent if !rest.is_empty() => self.violated(Violation::TalkedFirst),
                State::Handshake if !rest.is_empty() => self.violated(Violation::BytesBehindStartTls),
                State::Silent | State::Handshake => return (consumed, Event::NeedMore),
                State::Content { .. } => {
                    let (used, event) = self.content(rest);
                    consumed += used;
                    if let Some(event) = event {
                        return (consumed, event);
                    }
                }
                _ if self.output.len() > self.limits.output_max => return (consumed, Event::Flush),
                _ => match take_line(rest, self.limits.command_line_max) {
                    Ok(None) => return (consumed, Event::NeedMore),
                    Ok(Some(line)) => {
                        consumed += line.len() + 2;
                        if let Some(event) = self.command(line, consumed < input.len()) {
                            return (consumed, event);
                        }
                    }
                    Err(violation) => self.violated(violation),
                },
            }
        }
    }

    /// Content: one frame of it, and an event unless the session is over.
    fn content<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Event<'a>>) {
        let State::Content { framer, .. } = &mut self.state else { return (0, None) };
        let frame = framer.frame(input);
        let size = framer.size();
        let too_big = size > self.limits.message_size_max;
        let endless = size > self.limits.message_size_max.saturating_add(self.limits.discard_max);
        match frame {
            Frame::Bad(_) | Frame::Content(_) if endless => self.violated(Violation::Endless),
            Frame::Bad(violation) => self.violated(violation),
            Frame::Content(0) => return (0, Some(Event::NeedMore)),
            Frame::Content(octets) if too_big => return (octets, None),
            Frame::Content(octets) => return (octets, Some(Event::Content(&input[..octets]))),
            Frame::End if too_big => {
                self.state = State::Ready;
                self.say(b"552 5.3.4 Message too big\r\n");
                return (3, Some(Event::ContentDropped));
            }
            Frame::End => {
                if let State::Content { envelope, .. } =
                    std::mem::replace(&mut self.state, State::JudgingContent)
                {
                    return (3, Some(Event::ContentEnds { envelope, size }));
                }
            }
        }
        (0, None)
    }

    fn command(&mut self, line: &[u8], more_follows: bool) -> Option<Event<'static>> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Login(awaited) => return self.response(awaited, line),
            other => self.state = other,
        }
        let text = lossy(line);
        let text = text.trim_end_matches([' ', '\t']);
        let (verb, argument) = match text.find([' ', '\t']) {
            Some(at) => (&text[..at], text[at + 1..].trim_start_matches([' ', '\t'])),
            None => (text, ""),
        };
        let verb = verb.to_ascii_uppercase();
        let in_the_clear = matches!(verb.as_str(), "HELO" | "EHLO" | "NOOP" | "STARTTLS" | "QUIT");
        if self.capabilities.tls_required && !self.tls && !in_the_clear && !is_http(&verb) {
            return self.refused(Refusal::NeedsTls, b"530 5.7.0 Must issue a STARTTLS command first\r\n");
        }
        match verb.as_str() {
            "HELO" => self.hello(argument, false),
            "EHLO" => self.hello(argument, true),
            "MAIL" => self.mail(argument),
            "RCPT" => self.rcpt(argument),
            "DATA" => self.data(argument),
            "RSET" => {
                self.end_transaction();
                self.say(b"250 2.0.0 Ok\r\n");
                Some(Event::Reset)
            }
            "NOOP" => {
                self.say(b"250 2.0.0 Ok\r\n");
                None
            }
            "QUIT" => {
                let farewell = format!("221 2.0.0 {} closing\r\n", self.host);
                self.say(farewell.as_bytes());
                self.state = State::Over(Ending::Quit);
                None
            }
            "HELP" => {
                self.say(b"214 2.0.0 HELO EHLO MAIL RCPT DATA RSET NOOP QUIT\r\n");
                None
            }
            "VRFY" => {
                self.say(b"252 2.5.0 Not verified here; send and see\r\n");
                None
            }
            "AUTH" if self.capabilities.auth => self.auth(argument),
            "STARTTLS" if self.capabilities.starttls && !self.tls => self.start_tls(argument, more_follows),
            "STARTTLS" | "AUTH" | "EXPN" | "ETRN" | "TURN" | "ATRN" | "BDAT" | "BURL" | "SEND" | "SOML"
            | "SAML" => self.refused(Refusal::NotOffered, b"502 5.5.1 Not offered\r\n"),
            verb if is_http(verb) => {
                self.violated(Violation::Http);
                None
            }
            _ => self.refused(Refusal::Unknown, b"500 5.5.2 Unknown command\r\n"),
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> Option<Event<'static>> {
        if name.is_empty() {
            return self.refused(Refusal::Argument, b"501 5.5.4 Say who you are\r\n");
        }
        self.state = State::Ready;
        let reply = if extended {
            let starttls = if self.capabilities.starttls && !self.tls { "250-STARTTLS\r\n" } else { "" };
            let auth = if self.capabilities.auth { "250-AUTH PLAIN LOGIN\r\n" } else { "" };
            format!(
                "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n{starttls}{auth}250 ENHANCEDSTATUSCODES\r\n",
                self.host, self.limits.message_size_max
            )
        } else {
            format!("250 {}\r\n", self.host)
        };
        self.say(reply.as_bytes());
        Some(Event::Hello { extended, name: HeaderText::cleaned(name).capped(255) })
    }

    fn mail(&mut self, argument: &str) -> Option<Event<'static>> {
        match &self.state {
            State::Ready => {}
            State::Greeted => return self.refused(Refusal::Order, b"503 5.5.1 HELO or EHLO first\r\n"),
            _ => return self.refused(Refusal::Order, b"503 5.5.1 A transaction is under way\r\n"),
        }
        if self.capabilities.auth && !self.logged_in {
            return self.refused(Refusal::NeedsLogin, b"530 5.7.0 Authentication required\r\n");
        }
        let Some(argument) = strip_keyword(argument, "FROM:") else {
            return self.refused(Refusal::Argument, b"501 5.5.4 Expected MAIL FROM:<path>\r\n");
        };
        let (path, parameters) = match read_path(argument, &self.limits) {
            Ok(read) => read,
            Err(error) => return self.bad_path(error, b"501 5.1.7 Not a path\r\n"),
        };
        let mut sender = Sender { path, size: None, eight_bit: false };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("SIZE") {
                let digits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
                if !digits {
                    return self.refused(Refusal::Argument, b"501 5.5.4 SIZE takes a number\r\n");
                }
                sender.size = Some(value.parse().unwrap_or(u64::MAX));
            } else if name.eq_ignore_ascii_case("BODY") {
                sender.eight_bit = value.eq_ignore_ascii_case("8BITMIME");
                if !sender.eight_bit && !value.eq_ignore_ascii_case("7BIT") {
                    return self.refused(Refusal::Argument, b"501 5.5.4 BODY is 7BIT or 8BITMIME\r\n");
                }
            } else {
                return self.refused(Refusal::Parameter, b"555 5.5.4 Unknown parameter\r\n");
            }
        }
        match sender.size {
            // Not counted as an error: an honest peer cannot know better.
            Some(size) if size > self.limits.message_size_max => {
                self.say(b"552 5.3.4 Message too big\r\n");
                Some(Event::Refused(Refusal::DeclaredTooBig(size)))
            }
            _ => {
                self.state = State::JudgingSender(sender.clone());
                Some(Event::Sender(sender))
            }
        }
    }

    fn rcpt(&mut self, argument: &str) -> Option<Event<'static>> {
        let full = match &self.state {
            State::HasSender(_) => false,
            State::HasRecipients(envelope) => envelope.recipients.len() >= self.limits.recipients_max,
            _ => return self.refused(Refusal::Order, b"503 5.5.1 MAIL first\r\n"),
        };
        let Some(argument) = strip_keyword(argument, "TO:") else {
            return self.refused(Refusal::Argument, b"501 5.5.4 Expected RCPT TO:<path>\r\n");
        };
        let (path, parameters) = match read_path(argument, &self.limits) {
            Ok((Some(path), parameters)) => (path, parameters),
            Ok((None, _)) => return self.bad_path(PathError::Syntax, b"501 5.1.3 No recipient in it\r\n"),
            Err(error) => return self.bad_path(error, b"501 5.1.3 Not a path\r\n"),
        };
        if !parameters.trim_ascii().is_empty() {
            return self.refused(Refusal::Parameter, b"555 5.5.4 Unknown parameter\r\n");
        }
        if full {
            // No error either: the rest comes in the next transaction (RFC 5321 4.5.3.1.10).
            self.say(b"452 4.5.3 Too many recipients; send the rest in another transaction\r\n");
            return Some(Event::Refused(Refusal::TooManyRecipients));
        }
        self.state = match std::mem::replace(&mut self.state, State::Ready) {
            State::HasSender(sender) => {
                State::HasRecipients(Envelope { sender, recipients: vec![path.clone()] })
            }
            State::HasRecipients(mut envelope) => {
                envelope.recipients.push(path.clone());
                State::HasRecipients(envelope)
            }
            other => other,
        };
        self.say(b"250 2.1.5 Recipient ok\r\n");
        Some(Event::Recipient(path))
    }

    fn data(&mut self, argument: &str) -> Option<Event<'static>> {
        if !argument.is_empty() {
            return self.refused(Refusal::Argument, b"501 5.5.4 DATA takes no argument\r\n");
        }
        match std::mem::replace(&mut self.state, State::Ready) {
            State::HasRecipients(envelope) => {
                let declared = envelope.sender.size;
                self.state = State::Content { envelope, framer: Framer::new() };
                self.say(b"354 Go ahead; end with a line of one dot\r\n");
                Some(Event::ContentStarts { declared })
            }
            other => {
                let reply: &[u8] = match &other {
                    State::HasSender(_) => b"503 5.5.1 No valid recipients\r\n",
                    _ => b"503 5.5.1 MAIL and RCPT first\r\n",
                };
                self.state = other;
                self.refused(Refusal::Order, reply)
            }
        }
    }

    fn start_tls(&mut self, argument: &str, more_follows: bool) -> Option<Event<'static>> {
        if !argument.is_empty() {
            return self.refused(Refusal::Argument, b"501 5.5.4 STARTTLS takes no argument\r\n");
        }
        if more_follows {
            // What follows was sent in the clear and would be read as if it came under TLS. Refuse, never purge.
            self.violated(Violation::BytesBehindStartTls);
            return None;
        }
        self.say(b"220 2.0.0 Ready for TLS\r\n");
        self.state = State::Handshake;
        Some(Event::StartTls)
    }

    fn end_transaction(&mut self) {
        if matches!(self.state, State::HasSender(_) | State::HasRecipients(_)) {
            self.state = State::Ready;
        }
    }

    fn say(&mut self, line: &[u8]) {
        self.output.extend_from_slice(line);
    }

    fn bad_path(&mut self, error: PathError, reply: &[u8]) -> Option<Event<'static>> {
        match error {
            PathError::Syntax => self.refused(Refusal::NoPath, reply),
            PathError::TooLong => self.refused(Refusal::PathTooLong, b"553 5.1.3 Path too long\r\n"),
        }
    }

    fn refused(&mut self, refusal: Refusal, reply: &[u8]) -> Option<Event<'static>> {
        self.errors += 1;
        if self.errors > self.limits.errors_max {
            self.say(b"421 4.7.0 Too many errors\r\n");
            self.state = State::Over(Ending::TooManyErrors);
            return None;
        }
        self.say(reply);
        Some(Event::Refused(refusal))
    }

    fn violated(&mut self, violation: Violation) {
        self.say(match violation {
            Violation::BareCr | Violation::BareLf => b"550 5.6.11 Only CRLF ends a line here\r\n",
            Violation::Nul => b"550 5.6.11 NUL is not allowed\r\n",
            Violation::LineTooLong => b"500 5.5.2 Line too long\r\n",
            Violation::TalkedFirst => b"554 5.5.0 Wait for the greeting\r\n",
            Violation::BytesBehindStartTls => b"554 5.5.0 Bytes behind STARTTLS\r\n",
            Violation::Http => b"554 5.5.0 This is SMTP\r\n",
            Violation::Endless => b"552 5.3.4 Message far too big\r\n",
        });
        self.state = State::Over(Ending::Violation(violation));
    }
}

/// The first line of `input` without its CRLF, or `None` while it is not whole.
fn take_line(input: &[u8], line_max: usize) -> Result<Option<&[u8]>, Violation> {
    let too_long = |octets: usize| if octets > line_max { Err(Violation::LineTooLong) } else { Ok(()) };
    match memchr::memchr3(b'\r', b'\n', 0, input) {
        None => too_long(input.len() + 1).map(|()| None),
        Some(at) => {
            too_long(at + 1)?;
            match (input[at], input.get(at + 1)) {
                (b'\r', Some(b'\n')) => too_long(at + 2).map(|()| Some(&input[..at])),
                (b'\r', None) => Ok(None),
                (b'\r', Some(_)) => Err(Violation::BareCr),
                (b'\n', _) => Err(Violation::BareLf),
                _ => Err(Violation::Nul),
            }
        }
    }
}

/// Verbs of HTTP: whoever says them was sent here by somebody else.
fn is_http(verb: &str) -> bool {
    let verbs = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PRI"];
    verbs.contains(&verb)
}

fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (front, rest) = argument.split_at_checked(keyword.len())?;
    front.eq_ignore_ascii_case(keyword).then_some(rest)
}

#[cfg(test)]
mod tests;
