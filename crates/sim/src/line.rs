//! One outgoing connection of a relay: the client session and the errand that it carries.
//!
//! Owns: what the house's courier does between the heart and a socket, stated again without sockets. Never knows: what
//! an errand means, hosts, time.

use mms::{AbstractMessage, HeaderText};
use relay::house::{Profile, TransitMode};
use relay::store::{ContentRef, Store};
use relay::{Carried, Errand, PeerName, Relayed, Told};
use wire::mime::mail_date;
use wire::mm4::{Edit, Edits, Style};
use wire::smtp::client::{Event, Report, Session, Stage, Transaction, Trouble, Verdict};
use wire::smtp::{Limits, Reply};

/// See the module.
pub struct Line {
    session: Session,
    input: Vec<u8>,
    /// To whom.
    pub peer: PeerName,
    /// What it carries now.
    errand: Option<(Box<Errand>, Vec<u8>)>,
    /// Whether the session has the errand already.
    begun: bool,
    /// Nothing was carried on it yet.
    pub fresh: bool,
    /// Until when something must be heard, or, while it is idle, how long it is kept; in milliseconds.
    pub deadline: u64,
}

/// What a line has for the world.
#[derive(Debug, Default)]
pub struct Step {
    /// Octets to send.
    pub output: Vec<u8>,
    /// How the errand ended.
    pub end: Option<(Box<Errand>, End)>,
    /// The connection is over.
    pub over: bool,
}

/// How an attempt on this connection ended.
#[derive(Debug)]
pub enum End {
    /// The connection was of no use before the errand began; another one may be.
    NotBegun(String),
    /// The errand is over.
    Over(Carried),
}

impl Line {
    /// A connection that has just been made, for this errand, with the mail that it comes to.
    pub fn new(name: &str, errand: Box<Errand>, mail: Vec<u8>) -> Self {
        Self {
            session: Session::new(name, Limits::default()),
            input: Vec::new(),
            peer: errand.peer.clone(),
            errand: Some((errand, mail)),
            begun: false,
            fresh: true,
            deadline: 0,
        }
    }

    /// Whether it waits for an errand.
    pub const fn is_idle(&self) -> bool {
        self.errand.is_none() && self.session.is_ready()
    }

    /// Milliseconds that it waits for a reply, or is kept unused.
    pub const fn patience(&self) -> u64 {
        if self.is_idle() { 60_000 } else { 300_000 }
    }

    /// Octets that wait to be read.
    pub const fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Another errand.
    pub fn take(&mut self, errand: Box<Errand>, mail: Vec<u8>) {
        (self.errand, self.begun, self.fresh) = (Some((errand, mail)), false, false);
    }

    /// Octets came.
    pub fn push(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// Nothing more to carry for a while.
    pub fn quit(&mut self) {
        self.session.quit();
    }

    /// The connection ended, or nothing was heard for too long.
    pub fn lost(&mut self) -> Step {
        let mut step = Step { over: true, ..Step::default() };
        let event = self.session.lost();
        self.ended(event, &mut step);
        if let Some((errand, _)) = self.errand.take() {
            step.end = Some((errand, End::NotBegun("the connection ended".into())));
        }
        step
    }

    /// Everything that can be had from what came.
    pub fn run(&mut self) -> Step {
        let mut step = Step::default();
        loop {
            if let Some((errand, mail)) =
                self.errand.as_ref().filter(|_| !self.begun && self.session.is_ready())
            {
                self.begun = true;
                let (from, to) = (errand.mail_from.clone(), errand.recipients.clone());
                let why = match Transaction::new(from, to, mail.len() as u64, !mail.is_ascii()) {
                    Ok(transaction) => self.session.send(transaction).err().map(|e| format!("{e:?}")),
                    Err(why) => Some(why.to_string()),
                };
                if let Some(why) = why {
                    step.end = self.errand.take().map(|(e, _)| (e, End::Over(Carried::Unable(why))));
                    return step;
                }
            }
            step.output.append(self.session.output());
            let (used, event) = self.session.advance(&self.input);
            self.input.drain(..used);
            match event {
                Event::NeedMore if self.session.output().is_empty() => return step,
                Event::SendContent => {
                    if let Some((_, mail)) = &self.errand {
                        step.output.extend_from_slice(mail);
                    }
                    step.output.extend_from_slice(Session::TERMINATOR);
                    self.session.content_ended();
                }
                Event::NeedMore | Event::Ready | Event::StartTls | Event::TlsRefused(_) => {}
                event => {
                    self.ended(event, &mut step);
                    return step;
                }
            }
        }
    }

    fn ended(&mut self, event: Event, step: &mut Step) {
        let end = match event {
            Event::Done(report) => {
                step.over |= !report.usable;
                let count = self.errand.as_ref().map_or(0, |(e, _)| e.recipients.len());
                told(report, count)
            }
            Event::Ended(trouble) => {
                step.over = true;
                End::NotBegun(trouble.to_string())
            }
            _ => {
                step.over = true;
                End::NotBegun("closed by the peer".into())
            }
        };
        if let Some((errand, _)) = self.errand.take() {
            step.end = Some((errand, end));
        }
    }
}

fn told(report: Report, recipients: usize) -> End {
    let not_begun = |verdict: &Verdict| match verdict {
        Verdict::Later(Trouble::Lost { stage } | Trouble::Closing { stage, .. }) => {
            matches!(stage, Stage::Sender | Stage::Reset | Stage::Idle)
        }
        _ => false,
    };
    if let Some(Verdict::Later(trouble)) = report.recipients.first()
        && report.recipients.iter().all(not_begun)
    {
        return End::NotBegun(trouble.to_string());
    }
    let mut ends: Vec<Told> = report.recipients.into_iter().map(end).collect();
    ends.resize(recipients, Told::Later("no answer".into()));
    End::Over(Carried::Told(ends))
}

fn end(verdict: Verdict) -> Told {
    let is_crowded = |reply: &Reply| matches!(reply.code(), 452 | 552);
    match verdict {
        Verdict::Accepted(reply) => Told::Taken(reply.to_string()),
        Verdict::Never(trouble) => Told::Never(trouble.to_string()),
        Verdict::Unknown(trouble) => Told::Unknown(trouble.to_string()),
        Verdict::Later(Trouble::Refused { stage: Stage::Recipient, reply }) if is_crowded(&reply) => {
            Told::Crowded(reply.to_string())
        }
        Verdict::Later(trouble) => Told::Later(trouble.to_string()),
    }
}

/// The errand as a mail, in wire form.
///
/// # Errors
/// Its content cannot be read; our own trouble.
pub fn prepare(profile: &Profile, errand: &Errand, store: &dyn Store) -> Result<Vec<u8>, String> {
    let style = Style {
        quote_ids: profile.quote_ids,
        bare_addresses: profile.bare_addresses,
        version: Some(profile.version),
    };
    let content = errand.body.as_ref().map(|(content, _)| read(store, content)).transpose()?;
    let begin = errand.body.as_ref().map_or(0, |(_, begin)| *begin as usize);
    let mut mail = match (&errand.relayed, &content) {
        (Some(relayed), Some(octets)) => relay(errand, relayed, &octets[..begin.min(octets.len())]),
        (Some(_), None) => return Err("its content is not kept any more".into()),
        (None, _) => wire::mm4::encode(&errand.message, &style),
    };
    mail.extend_from_slice(content.as_deref().and_then(|c| c.get(begin..)).unwrap_or_default());
    Ok(mail)
}

fn read(store: &dyn Store, content: &ContentRef) -> Result<Vec<u8>, String> {
    let mut octets = vec![0; content.len as usize];
    let n = store.read_content(content, 0, &mut octets).map_err(|e| e.to_string())?;
    if n < octets.len() { Err("the stored content is too short".into()) } else { Ok(octets) }
}

fn relay(errand: &Errand, relayed: &Relayed, head: &[u8]) -> Vec<u8> {
    let trace = format!("{}; {}", relayed.received, mail_date(relayed.at));
    let mut edits = Edits { received: Some(HeaderText::cleaned(&trace)), ..Edits::default() };
    if let (TransitMode::BackToBack, AbstractMessage::ForwardReq(request)) = (relayed.mode, &errand.message) {
        let set = |path: &Option<_>| path.clone().map_or(Edit::Keep, Edit::Set);
        edits.sender = set(&request.sender);
        edits.originator_system = set(&request.originator_system);
        edits.transaction_id = request.transaction_id.clone().map_or(Edit::Keep, Edit::Set);
        edits.ack_request = request.ack_request.map_or(Edit::Keep, Edit::Set);
    }
    wire::mm4::relay(head, &edits)
}
