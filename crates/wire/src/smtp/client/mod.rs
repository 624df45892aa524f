//! The sending side of one SMTP connection (RFC 5321, RFC 2920; TS 23.140 8.4.5).
//!
//! Owns: commands, their order, replies, and what they mean for each recipient of the transaction under way.
//! Never knows: sockets, time, retries, what a mail says. The house writes the content itself.
//!
//! One rule for the house: write the output, read, call [`Session::advance`] until it says [`Event::NeedMore`], and
//! show octets that were not consumed again in front of new ones. When the connection ends, or a deadline passes, call
//! [`Session::lost`].
//!
//! A transaction runs like this: [`Session::send`]; [`Event::SendContent`]: the house writes the content in wire form
//! (it must be empty or end in CRLF) and then calls [`Session::content_sent`], which queues the terminator;
//! [`Event::Done`] with a verdict per recipient. Without a recipient that was taken `Done` comes at once.
//!
//! While content is under way the house need not read; if it does, a refusal that comes early ends the transaction.
//!
//! ```
//! use wire::smtp::{Limits, client::{Event, Session, Transaction, Verdict}};
//!
//! let mut session = Session::new("mms.a.example", Limits::default());
//! session.advance(b"220 mms.b.example\r\n");
//! assert_eq!(std::mem::take(session.output()), b"EHLO mms.a.example\r\n");
//! assert_eq!(session.advance(b"250-mms.b.example\r\n250 PIPELINING\r\n").1, Event::Ready);
//! let to = "+12025550111/TYPE=PLMN@mms.b.example".parse().unwrap();
//! session.send(Transaction::new(None, vec![to], 9, false).unwrap()).unwrap();
//! assert!(std::mem::take(session.output()).ends_with(b"DATA\r\n"));
//! assert_eq!(session.advance(b"250 ok\r\n250 ok\r\n354 go\r\n").1, Event::SendContent);
//! // Here the house writes the content: b"A: b\r\n\r\nc\r\n".
//! session.content_sent();
//! assert_eq!(std::mem::take(session.output()), b".\r\n");
//! let Event::Done(report) = session.advance(b"250 got it\r\n").1 else { panic!() };
//! assert!(matches!(report.recipients[0], Verdict::Accepted(_)) && report.usable);
//! ```
//!
//! Replies are matched with commands by a list of steps, not by state, so that a later version may queue the `MAIL` of
//! the next message behind the content of this one.

mod login;
mod transaction;
mod verdict;

pub use transaction::{Transaction, Unsendable};
pub use verdict::{Report, Stage, Trouble, Verdict};

use super::reply::ReplyReader;
use super::{Limits, Reply, ReplyError, TERMINATOR};
use mms::{HeaderText, MailPath};
use verdict::refusal;

/// What the peer offered in its answer to `EHLO`; all `false` after `HELO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Commands may be sent in groups (RFC 2920).
    pub pipelining: bool,
    /// Sizes may be declared (RFC 1870).
    pub size: bool,
    /// The largest message in octets, where the peer told.
    pub size_max: Option<u64>,
    /// Content may hold octets over 127 (RFC 6152). Without it the house should send 7-bit content only.
    pub eight_bit: bool,
    /// `STARTTLS` (RFC 3207).
    pub starttls: bool,
    /// Enhanced codes in replies (RFC 2034).
    pub enhanced_codes: bool,
    /// `AUTH` with PLAIN.
    pub auth_plain: bool,
    /// `AUTH` with LOGIN.
    pub auth_login: bool,
}

impl Capabilities {
    fn learn(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        if keyword.eq_ignore_ascii_case("PIPELINING") {
            self.pipelining = true;
        } else if keyword.eq_ignore_ascii_case("SIZE") {
            self.size = true;
            self.size_max = words.next().and_then(|n| n.parse().ok()).filter(|max| *max > 0);
        } else if keyword.eq_ignore_ascii_case("8BITMIME") {
            self.eight_bit = true;
        } else if keyword.eq_ignore_ascii_case("STARTTLS") {
            self.starttls = true;
        } else if keyword.eq_ignore_ascii_case("ENHANCEDSTATUSCODES") {
            self.enhanced_codes = true;
        } else if keyword.eq_ignore_ascii_case("AUTH") {
            words.for_each(|mechanism| self.learn_mechanism(mechanism));
        } else if let Some(first) = strip_auth(keyword) {
            self.learn_mechanism(first);
            words.for_each(|mechanism| self.learn_mechanism(mechanism));
        }
    }

    fn learn_mechanism(&mut self, mechanism: &str) {
        self.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
        self.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
    }
}

/// `AUTH=` in front of a mechanism, as servers wrote it before RFC 2554.
fn strip_auth(keyword: &str) -> Option<&str> {
    let (front, mechanism) = keyword.split_at_checked(5)?;
    front.eq_ignore_ascii_case("AUTH=").then_some(mechanism)
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Write the output, then read more.
    NeedMore,
    /// The session can take a transaction, `STARTTLS` or `QUIT`.
    Ready,
    /// The peer is ready for TLS: do the handshake, then call [`Session::tls_started`].
    StartTls,
    /// The peer refused `STARTTLS`; the session is ready, in the clear.
    TlsRefused(Reply),
    /// The name and password are right.
    LoggedIn,
    /// The peer refused the name and password; the session is ready.
    LoginRefused(Reply),
    /// Write the content in wire form, then call [`Session::content_sent`].
    SendContent,
    /// The transaction is over.
    Done(Report),
    /// The connection is over without trouble: the answer to `QUIT` came, or did not.
    Farewell,
    /// The connection is over; close it. No transaction was under way.
    Ended(Trouble),
}

/// Why [`Session::send`] did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The session is not ready.
    NotReady(Transaction),
    /// The message is larger than the peer takes; it will never take it over this path.
    TooBig {
        /// What the peer announced, in octets.
        size_max: u64,
    },
}

/// One command of a transaction, in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
}

impl Step {
    const fn stage(self) -> Stage {
        match self {
            Self::Reset => Stage::Reset,
            Self::Mail => Stage::Sender,
            Self::Rcpt(_) => Stage::Recipient,
            Self::Data => Stage::Data,
        }
    }
}

/// A transaction under way: what was refused so far and which reply comes next.
#[derive(Debug)]
struct Exchange {
    transaction: Transaction,
    refused: Vec<Option<Verdict>>,
    sender_refused: Option<Verdict>,
    awaits: Step,
}

impl Exchange {
    fn after(&self, step: Step) -> Option<Step> {
        match step {
            Step::Reset => Some(Step::Mail),
            Step::Mail => Some(Step::Rcpt(0)),
            Step::Rcpt(index) if index + 1 < self.transaction.recipients.len() => Some(Step::Rcpt(index + 1)),
            Step::Rcpt(_) => Some(Step::Data),
            Step::Data => None,
        }
    }

    fn anyone_accepted(&self) -> bool {
        self.sender_refused.is_none() && self.refused.iter().any(Option::is_none)
    }

    /// The report, where `verdict` is for all whose fate is still open.
    fn report(self, verdict: &Verdict, usable: bool) -> Report {
        // Behind a refused MAIL every RCPT fails too; the reason is the first one.
        let recipients = match self.sender_refused {
            Some(sender_refused) => vec![sender_refused; self.refused.len()],
            None => self.refused.into_iter().map(|own| own.unwrap_or_else(|| verdict.clone())).collect(),
        };
        Report { recipients, usable }
    }
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    /// With the words in which `EHLO` was refused.
    Helo(Reply),
    Idle,
    StartTls,
    Handshake,
    Login(login::Answers),
    Commands(Exchange),
    Content(Exchange),
    LoneDot(Exchange),
    Final(Exchange),
    Quit,
    Over(Option<Trouble>),
}

/// One connection to one peer.
#[derive(Debug)]
pub struct Session {
    name: String,
    limits: Limits,
    state: State,
    capabilities: Capabilities,
    reader: ReplyReader,
    output: Vec<u8>,
    unclean: bool,
}

impl Session {
    /// A session on a connection that has just been made. `name` is what we call ourselves in `EHLO`.
    pub fn new(name: &str, limits: Limits) -> Self {
        let name = Reply::new(250, None, name).text().as_str().replace(' ', "-");
        Self {
            name,
            limits,
            state: State::Greeting,
            capabilities: Capabilities::default(),
            reader: ReplyReader::default(),
            output: Vec::new(),
            unclean: false,
        }
    }

    /// Commands to write. The house takes what it has written off the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What the peer offers on this connection.
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether [`Session::send`], [`Session::start_tls`] and [`Session::quit`] may be called.
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Where in the dialogue the session is: the house takes its deadline from it (RFC 5321 4.5.3.2).
    pub const fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo(_) => Stage::Hello,
            State::Idle => Stage::Idle,
            State::StartTls | State::Handshake => Stage::StartTls,
            State::Login(_) => Stage::Login,
            State::Commands(exchange) => exchange.awaits.stage(),
            State::LoneDot(_) => Stage::Data,
            State::Content(_) => Stage::Content,
            State::Final(_) => Stage::Final,
            State::Quit | State::Over(_) => Stage::Quit,
        }
    }

    /// Begins a transaction: all commands at once where the peer offers pipelining, else one by one.
    ///
    /// # Errors
    /// The session is not ready, or the message is larger than the peer announced.
    pub fn send(&mut self, transaction: Transaction) -> Result<(), NotSent> {
        if !self.is_ready() {
            return Err(NotSent::NotReady(transaction));
        }
        if let Some(size_max) = self.capabilities.size_max.filter(|max| transaction.size > *max) {
            return Err(NotSent::TooBig { size_max });
        }
        let first = if self.unclean { Step::Reset } else { Step::Mail };
        let refused = vec![None; transaction.recipients.len()];
        let exchange = Exchange { transaction, refused, sender_refused: None, awaits: first };
        let mut step = Some(first);
        while let Some(command) = step {
            self.command(command, &exchange.transaction);
            step = exchange.after(command).filter(|_| self.capabilities.pipelining);
        }
        self.unclean = false;
        self.state = State::Commands(exchange);
        Ok(())
    }

    /// What goes behind the content ([`Session::content_ended`]).
    pub const TERMINATOR: &'static [u8] = TERMINATOR;

    /// The house has handed all content to the connection: queues the terminator.
    pub fn content_sent(&mut self) {
        if matches!(self.state, State::Content(_)) {
            self.output.extend_from_slice(TERMINATOR);
        }
        self.content_ended();
    }

    /// The house has handed all content and the terminator to the connection.
    pub fn content_ended(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Content(exchange) => State::Final(exchange),
            other => other,
        };
    }

    /// Queues `STARTTLS`. Does nothing unless the session is ready and the peer offers it.
    pub fn start_tls(&mut self) {
        if self.is_ready() && self.capabilities.starttls {
            self.output.extend_from_slice(b"STARTTLS\r\n");
            self.state = State::StartTls;
        }
    }

    /// The TLS handshake is done: what the peer offered in the clear is forgotten and asked anew (RFC 3207 4.2).
    pub fn tls_started(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.say_hello();
        }
    }

    /// Queues `QUIT`. Does nothing unless the session is ready.
    pub fn quit(&mut self) {
        if self.is_ready() {
            self.output.extend_from_slice(b"QUIT\r\n");
            self.state = State::Quit;
        }
    }

    /// The connection ended, or the house gave up waiting. What is open is answered now.
    pub fn lost(&mut self) -> Event {
        let stage = self.stage();
        match &self.state {
            State::Quit | State::Over(None) => {
                self.state = State::Over(None);
                Event::Farewell
            }
            State::Over(Some(trouble)) => Event::Ended(trouble.clone()),
            // Refused with its last word: it says more than the silence behind it.
            State::Helo(reply) => {
                let reply = reply.clone();
                self.fail(Trouble::Refused { stage, reply })
            }
            _ => self.fail(Trouble::Lost { stage }),
        }
    }

    /// Reads the front of `input`: octets consumed, and what happened. See the module head for the rule.
    pub fn advance(&mut self, input: &[u8]) -> (usize, Event) {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            match &self.state {
                State::Over(None) => return (input.len(), Event::Farewell),
                State::Over(Some(trouble)) => return (input.len(), Event::Ended(trouble.clone())),
                State::Handshake if !rest.is_empty() => {
                    let error = ReplyError::BytesBehindStartTls;
                    return (input.len(), self.fail(Trouble::Malformed { stage: Stage::StartTls, error }));
                }
                _ if rest.is_empty() => return (consumed, Event::NeedMore),
                _ => {}
            }
            if self.answers_too_early() {
                let (stage, error) = (self.stage(), ReplyError::Unsolicited);
                return (input.len(), self.fail(Trouble::Malformed { stage, error }));
            }
            let mut learnt = None;
            if matches!(self.state, State::Ehlo) {
                learnt = Some(&mut self.capabilities);
            }
            let read = self.reader.read(rest, &self.limits, |number, line| {
                // The first line is the name of the peer.
                if let Some(capabilities) = learnt.as_mut().filter(|_| number > 1) {
                    capabilities.learn(line);
                }
            });
            match read {
                Ok((used, None)) => return (consumed + used, Event::NeedMore),
                Ok((used, Some(reply))) => {
                    consumed += used;
                    if let Some(event) = self.reply(reply, consumed < input.len()) {
                        return (consumed, event);
                    }
                }
                Err(error) => {
                    let stage = self.stage();
                    return (input.len(), self.fail(Trouble::Malformed { stage, error }));
                }
            }
        }
    }

    /// A single command that has not left yet cannot have been answered. What comes now answers something else, and
    /// taking it would shift every later reply by one.
    fn answers_too_early(&self) -> bool {
        let single = match self.state {
            State::Ehlo | State::Helo(_) | State::StartTls | State::Login(_) | State::Quit => true,
            State::Commands(_) => !self.capabilities.pipelining,
            _ => false,
        };
        single && !self.output.is_empty()
    }

    fn reply(&mut self, reply: Reply, more_follows: bool) -> Option<Event> {
        let stage = self.stage();
        if reply.code() == 421 {
            return Some(self.fail(Trouble::Closing { stage, reply }));
        }
        match std::mem::replace(&mut self.state, State::Over(None)) {
            State::Greeting if reply.is_positive() => {
                self.say_hello();
                None
            }
            State::Ehlo | State::Helo(_) if reply.is_positive() => {
                self.state = State::Idle;
                Some(Event::Ready)
            }
            State::Ehlo if reply.is_permanent() => {
                self.capabilities = Capabilities::default();
                self.output.extend_from_slice(format!("HELO {}\r\n", self.name).as_bytes());
                self.state = State::Helo(reply);
                None
            }
            State::Greeting | State::Ehlo | State::Helo(_) if !reply.is_intermediate() => {
                Some(self.end(Trouble::Refused { stage, reply }))
            }
            State::StartTls if reply.code() == 220 && more_follows => {
                let error = ReplyError::BytesBehindStartTls;
                Some(self.end(Trouble::Malformed { stage, error }))
            }
            State::StartTls if reply.code() == 220 => {
                self.state = State::Handshake;
                Some(Event::StartTls)
            }
            State::StartTls if !reply.is_positive() && !reply.is_intermediate() => {
                self.state = State::Idle;
                Some(Event::TlsRefused(reply))
            }
            State::Login(answers) => self.login_step(answers, reply),
            State::Commands(exchange) => self.step(exchange, reply),
            State::LoneDot(exchange) => {
                // The answer to an empty message without recipients matters to nobody; but a 250 here would mean
                // that the peer took something, so begin afresh.
                self.unclean = true;
                Some(self.done(exchange, reply, Stage::Data))
            }
            State::Content(exchange) if !reply.is_positive() && !reply.is_intermediate() => {
                // The peer refuses while content is still on its way: nothing more can be said on this connection.
                self.end(Trouble::Refused { stage, reply: reply.clone() });
                Some(Event::Done(exchange.report(&refusal(stage, reply), false)))
            }
            // Consent before the terminator has left is consent to something else.
            State::Final(exchange)
                if !reply.is_intermediate() && (self.output.is_empty() || !reply.is_positive()) =>
            {
                Some(self.done(exchange, reply, Stage::Final))
            }
            State::Quit => Some(Event::Farewell),
            state => {
                let error = match state {
                    State::Idle => ReplyError::Unsolicited,
                    _ => ReplyError::Unexpected(reply.code()),
                };
                self.state = state;
                Some(self.fail(Trouble::Malformed { stage, error }))
            }
        }
    }

    /// The reply to the command that `exchange` waits for.
    fn step(&mut self, mut exchange: Exchange, reply: Reply) -> Option<Event> {
        let stage = exchange.awaits.stage();
        match exchange.awaits {
            Step::Reset if !reply.is_positive() => {
                self.state = State::Commands(exchange);
                return Some(self.fail(Trouble::Refused { stage, reply }));
            }
            Step::Data if reply.is_intermediate() => {
                if exchange.anyone_accepted() {
                    self.state = State::Content(exchange);
                    return Some(Event::SendContent);
                }
                // RFC 2920 3.1: a server may say 354 although nobody is left. Send nothing, properly ended.
                self.output.extend_from_slice(TERMINATOR);
                self.state = State::LoneDot(exchange);
                return None;
            }
            Step::Data if !reply.is_positive() => {
                self.unclean = true;
                return Some(self.done(exchange, reply, stage));
            }
            Step::Mail if !reply.is_positive() && !reply.is_intermediate() => {
                exchange.sender_refused = Some(refusal(stage, reply));
            }
            Step::Rcpt(index) if !reply.is_positive() && !reply.is_intermediate() => {
                if let Some(own) = exchange.refused.get_mut(index) {
                    *own = Some(refusal(stage, reply));
                }
            }
            _ if reply.is_intermediate() || exchange.awaits == Step::Data => {
                let error = ReplyError::Unexpected(reply.code());
                self.state = State::Commands(exchange);
                return Some(self.fail(Trouble::Malformed { stage, error }));
            }
            _ => {}
        }
        let next = exchange.after(exchange.awaits)?;
        if !self.capabilities.pipelining {
            let hopeless = exchange.sender_refused.is_some() || next == Step::Data;
            if hopeless && !exchange.anyone_accepted() {
                self.unclean = exchange.sender_refused.is_none();
                self.state = State::Idle;
                let lost = Verdict::Later(Trouble::Lost { stage });
                return Some(Event::Done(exchange.report(&lost, true)));
            }
            self.command(next, &exchange.transaction);
        }
        exchange.awaits = next;
        self.state = State::Commands(exchange);
        None
    }

    /// The transaction ended with `reply` for all whose fate was open; the connection goes on.
    fn done(&mut self, exchange: Exchange, reply: Reply, stage: Stage) -> Event {
        self.state = State::Idle;
        let verdict = if reply.is_positive() { Verdict::Accepted(reply) } else { refusal(stage, reply) };
        Event::Done(exchange.report(&verdict, true))
    }

    /// The connection is of no further use, and no transaction is under way.
    fn end(&mut self, trouble: Trouble) -> Event {
        self.output.clear();
        self.state = State::Over(Some(trouble.clone()));
        Event::Ended(trouble)
    }

    /// The connection is of no further use, whatever is under way.
    fn fail(&mut self, trouble: Trouble) -> Event {
        self.output.clear();
        match std::mem::replace(&mut self.state, State::Over(Some(trouble.clone()))) {
            State::Commands(exchange) | State::LoneDot(exchange) | State::Content(exchange) => {
                Event::Done(exchange.report(&Verdict::Later(trouble), false))
            }
            State::Final(exchange) => {
                // A 421 is an answer: the peer did not take the message (RFC 5321 3.8). Silence is none.
                let verdict = match trouble {
                    Trouble::Closing { .. } => Verdict::Later(trouble),
                    other => Verdict::Unknown(other),
                };
                Event::Done(exchange.report(&verdict, false))
            }
            State::Quit | State::Over(None) => {
                self.state = State::Over(None);
                Event::Farewell
            }
            _ => Event::Ended(trouble),
        }
    }

    fn say_hello(&mut self) {
        self.capabilities = Capabilities::default();
        self.output.extend_from_slice(format!("EHLO {}\r\n", self.name).as_bytes());
        self.state = State::Ehlo;
    }

    fn command(&mut self, step: Step, transaction: &Transaction) {
        let line = match step {
            Step::Reset => "RSET\r\n".to_owned(),
            Step::Mail => {
                let path = transaction.reverse_path.as_ref().map(MailPath::to_string).unwrap_or_default();
                let size = if self.capabilities.size {
                    format!(" SIZE={}", transaction.size)
                } else {
                    String::new()
                };
                let eight_bit = transaction.eight_bit && self.capabilities.eight_bit;
                format!("MAIL FROM:<{path}>{size}{}\r\n", if eight_bit { " BODY=8BITMIME" } else { "" })
            }
            Step::Rcpt(index) => match transaction.recipients.get(index) {
                Some(path) => format!("RCPT TO:<{path}>\r\n"),
                None => return,
            },
            Step::Data => "DATA\r\n".to_owned(),
        };
        self.output.extend_from_slice(line.as_bytes());
    }

    /// The text of the trouble that ended the session, for the log.
    pub fn trouble(&self) -> Option<HeaderText> {
        match &self.state {
            State::Over(Some(trouble)) => Some(HeaderText::cleaned(&trouble.to_string())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
