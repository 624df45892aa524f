//! One SMTP dialogue with the peer, command by command, written down as it goes.
//!
//! Owns: a connection, what was said on it. Never knows: what it is for. Nothing is pipelined: a probe wants to know which
//! reply belongs to which command.

use super::evidence::Exchange;
use crate::clock::Clock;
use crate::config::HouseLimits;
use crate::courier::connect;
use mms::HeaderText;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::smtp::{Limits, Reply, ReplyReader, TERMINATOR};

/// A dialogue that is under way.
pub struct Talk {
    socket: TcpStream,
    clock: Clock,
    limits: HouseLimits,
    smtp: Limits,
    reader: ReplyReader,
    input: Vec<u8>,
    /// What was said so far.
    pub exchanges: Vec<Exchange>,
}

impl Talk {
    /// Connect to `host:port`, as the courier does, and hear the greeting.
    ///
    /// # Errors
    /// There is no connection; in words.
    pub async fn open(
        host: &str,
        source: Option<IpAddr>,
        clock: &Clock,
        limits: &HouseLimits,
    ) -> Result<Self, String> {
        let socket = connect(host, source, clock, limits).await?;
        let mut talk = Self {
            socket,
            clock: clock.clone(),
            limits: limits.clone(),
            smtp: limits.smtp,
            reader: ReplyReader::default(),
            input: Vec::new(),
            exchanges: Vec::new(),
        };
        talk.hear("greeting", format!("(connected to {host})")).await;
        Ok(talk)
    }

    /// The reply to what was asked last.
    pub fn last(&self) -> Option<&Reply> {
        self.exchanges.last().and_then(|e| e.reply.as_ref().ok())
    }

    /// Whether the last reply was 2yz.
    pub fn is_fine(&self) -> bool {
        self.last().is_some_and(Reply::is_positive)
    }

    /// Say a command and hear its reply; whether that was 2yz or 3yz. `what` is by what the exchange is found later.
    /// A connection that has ended says so in every further exchange.
    pub async fn say(&mut self, what: &'static str, command: &str) -> bool {
        // Whatever came before the command was asked cannot answer it.
        if !self.input.is_empty() {
            let said = HeaderText::cleaned(&String::from_utf8_lossy(&self.input)).capped(120);
            let reply = Err(format!("it said {:?} before it was asked", said.as_str()));
            self.note(what, command.to_owned(), reply, Vec::new());
            return false;
        }
        // Our own words hold no line end: numbers, domains and verbs.
        let line = format!("{}\r\n", HeaderText::cleaned(command));
        if let Err(why) = self.write(line.as_bytes()).await {
            self.note(what, command.to_owned(), Err(why), Vec::new());
            return false;
        }
        self.hear(what, command.to_owned()).await;
        self.last().is_some_and(|reply| reply.is_positive() || reply.is_intermediate())
    }

    /// Send content in wire form with its end, and hear the reply; whether it was taken.
    pub async fn content(&mut self, wire_form: &[u8]) -> bool {
        let octets = [wire_form, TERMINATOR].concat();
        let sent = format!("({} octets of content, and the dot)", wire_form.len());
        if let Err(why) = self.write(&octets).await {
            self.note("content", sent, Err(why), Vec::new());
            return false;
        }
        self.hear("content", sent).await;
        self.is_fine()
    }

    /// Say goodbye; what is answered does not matter any more.
    pub async fn quit(mut self) -> Vec<Exchange> {
        if self.exchanges.last().is_some_and(|e| e.reply.is_ok()) {
            self.say("quit", "QUIT").await;
        }
        self.exchanges
    }

    fn note(&mut self, what: &'static str, sent: String, reply: Result<Reply, String>, lines: Vec<String>) {
        self.exchanges.push(Exchange { what, sent, reply, lines });
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        match self.clock.within(self.limits.reply, self.socket.write_all(octets)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it does not read what is sent".into()),
        }
    }

    async fn hear(&mut self, what: &'static str, sent: String) {
        let mut lines = Vec::new();
        let reply = loop {
            let seen = |_: usize, line: &str| lines.push(HeaderText::cleaned(line).capped(400).to_string());
            match self.reader.read(&self.input, &self.smtp, seen) {
                Ok((used, reply)) => {
                    self.input.drain(..used);
                    if let Some(reply) = reply {
                        break Ok(reply);
                    }
                }
                Err(error) => break Err(error.to_string()),
            }
            let patience = self.limits.reply;
            match self.clock.within(patience, self.socket.read_buf(&mut self.input)).await {
                Some(Ok(0)) => break Err("it closed the connection without a reply".into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => break Err(error.to_string()),
                None => break Err(format!("no reply within {} s", patience.as_secs())),
            }
        };
        self.note(what, sent, reply, lines);
    }
}
