//! The probe: asks a live peer what TS 23.140 clause 8.4 asks of it, and judges what comes back.
//!
//! Owns: the catalogue of cases, what is sent for them, how answers are heard, the verdicts and the report. Never knows:
//! the heart and the store; a running relay treats what a probe brings about like anybody's mail.
//!
//! Only what is safe on a live link is sent: correct SMTP, a dozen small mails, to numbers that the user names. It connects
//! to the configured hosts of that peer and to nothing else.
//!
//! A crash leaves nothing here. At the peer there may be a few small MMs more or less than the plan says.

pub mod catalogue;
pub mod ear;
pub mod evidence;
pub mod html;
pub mod judge;
pub mod mail;
pub mod report;
pub mod responses;
pub mod run;
pub mod talk;

pub use catalogue::{CASES, Case, Step};

use crate::config::{Config, Link};
use crate::dock::listeners::Token;
use mms::{Domain, MailPath, Party};
use relay::House;
use relay::house::{MailFrom, Peer};
use std::time::Duration;

/// What the user asked for, with what the configuration says about it.
pub struct Plan {
    /// Our house.
    pub house: House,
    /// What we call ourselves in SMTP.
    pub host_name: String,
    /// The peer.
    pub peer: Peer,
    /// How it is reached.
    pub link: Link,
    /// One of our users.
    pub from: Party,
    /// Somebody whom the peer serves.
    pub to: Party,
    /// Somebody else whom it serves.
    pub second: Option<Party>,
    /// A number that it does not serve.
    pub unknown: Option<Party>,
    /// How long answers are awaited.
    pub wait: Duration,
    /// The cases to be judged, in the order of the catalogue.
    pub cases: Vec<&'static Case>,
    /// In every id of the run.
    pub token: Token,
}

/// The numbers that the user gave.
pub struct Numbers {
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Another recipient.
    pub second: Option<String>,
    /// Nobody.
    pub unknown: Option<String>,
}

impl Plan {
    /// A plan for a peer. `only` are ids of cases; none means all.
    ///
    /// # Errors
    /// In words: no such peer, no such case, no number.
    pub fn new(
        config: &Config,
        peer: &str,
        numbers: &Numbers,
        only: &[String],
        wait: Duration,
    ) -> anyhow::Result<Self> {
        let Some(link) = config.links.iter().find(|l| l.peer.as_str() == peer) else {
            let known: Vec<&str> = config.links.iter().map(|l| l.peer.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            anyhow::bail!("no peer is named {peer:?}; configured: {known}");
        };
        let Some(settings) = config.house.peer(&link.peer) else { anyhow::bail!("no peer {peer:?}") };
        if link.tls.mode.is_required() {
            let mode = link.tls.mode.as_str();
            anyhow::bail!(
                "peer {peer:?} has tls = {mode:?}; a probe speaks in the clear only, so it is not begun"
            );
        }
        let number = |option: &str, text: &str| -> anyhow::Result<Party> {
            let party: Party = text.parse().map_err(|e| anyhow::anyhow!("{option} {text:?}: {e}"))?;
            let address = config.house.normalised(party.address);
            match address.number() {
                Some(_) => Ok(Party::from(address)),
                None => anyhow::bail!("{option} {text:?}: expected a phone number such as +12025550110"),
            }
        };
        let optional = |option: &str, text: &Option<String>| {
            text.as_deref().map(|text| number(option, text)).transpose()
        };
        let cases = CASES.iter().filter(|c| only.is_empty() || only.iter().any(|id| c.is(id))).collect();
        if let Some(other) = only.iter().find(|id| !CASES.iter().any(|c| c.is(id))) {
            let (first, last) = (CASES[0].id, CASES[CASES.len() - 1].id);
            anyhow::bail!("--only {other:?}: no such case; they go from {first} to {last}, see --dry-run");
        }
        Ok(Self {
            house: config.house.clone(),
            host_name: config.host_name.clone(),
            peer: settings.clone(),
            link: link.clone(),
            from: number("--from", &numbers.from)?,
            to: number("--to", &numbers.to)?,
            second: optional("--second", &numbers.second)?,
            unknown: optional("--unknown", &numbers.unknown)?,
            wait,
            cases,
            token: Token::fresh(),
        })
    }

    /// The peer's first domain: that of envelopes.
    pub fn peer_domain(&self) -> &Domain {
        &self.peer.domains[0]
    }

    /// Where the peer shall send its responses.
    pub fn originator_system(&self) -> &MailPath {
        self.peer.profile.originator_system.as_ref().unwrap_or(&self.house.system_address)
    }

    /// The sender's address at our domain.
    pub fn sender(&self) -> MailPath {
        Party::at(self.from.address.clone(), self.house.domain()).path()
    }

    /// The envelope sender of requests, in the form that the peer likes.
    pub fn mail_from(&self) -> MailPath {
        match self.peer.profile.mail_from {
            MailFrom::User => self.sender(),
            MailFrom::System => self.house.system_address.clone(),
        }
    }

    /// A recipient's envelope path, in the form that the peer likes.
    pub fn envelope(&self, party: &Party) -> MailPath {
        self.peer.profile.envelope(&party.address, self.peer_domain())
    }

    /// Whether the numbers that a step needs were given.
    pub fn has_numbers_for(&self, step: Step) -> bool {
        (!step.needs_unknown() || self.unknown.is_some()) && (!step.needs_second() || self.second.is_some())
    }

    /// The steps that the cases need, in the order in which they are taken. The first is always taken: without it nothing
    /// else can be.
    pub fn steps(&self) -> Vec<Step> {
        let needed = |step: &Step| {
            let judged = |case: &Case| case.step == *step || case.also.contains(step);
            *step == Step::Greeting || self.cases.iter().any(|c| judged(c)) && self.has_numbers_for(*step)
        };
        Step::ALL.iter().copied().filter(needed).collect()
    }

    /// How many mails it sends.
    pub fn mails(&self) -> usize {
        self.steps().iter().filter(|s| s.is_mail()).count()
    }

    /// How many text MMs the subscriber at `--to` gets to see.
    pub fn texts(&self) -> usize {
        self.steps().iter().filter(|s| s.is_seen()).count()
    }
}
