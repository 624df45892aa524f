//! Reports of ours: what became of an MM at a recipient here, told to the originator's Relay/Server (TS 23.140 8.4.2,
//! 8.4.3, annex M).
//!
//! Owns: when a report is due, to whom, and whether the originating user may see it. Never knows: how it is written.
//! There is one final delivery report for each recipient, a `Deferred` may come before it, and one read-reply report.

use crate::errand::Errand;
use crate::event::{Brought, Carried};
use crate::house::{House, Peer, PeerName};
use crate::ledger::{Ledger, Origin, PLACES_MAX, REPORT, TransactionState, What};
use crate::pack::{Damaged, Pack, damaged, pack_struct};
use crate::store::{Entry, Op};
use crate::turn::{Entropy, Turn};
use mms::{
    AbstractMessage, DeliveryReportReq, ForwardReq, HeaderText, MailPath, MessageClass, MessageType,
    MmStatus, MmStatusExtension, Party, ReadReplyReportReq, ReadStatus, Timestamp, TransactionId,
};

/// A report to the Relay/Server of the originator, about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Joins it to its response; unguessable.
    pub id: TransactionId,
    /// The peer that the MM came from.
    pub peer: PeerName,
    /// Place in [`Ledger::recipients`].
    pub place: u16,
    /// What is reported.
    pub fate: Fate,
    /// When it happened.
    pub happened: Timestamp,
    /// Since when we owe it.
    pub at: Timestamp,
    /// How far it got.
    pub state: TransactionState,
    /// Sent again because no response came, so many times.
    pub resends: u32,
    /// Its entry in the peer's queue, while it has one: due time and attempts.
    pub entry: Option<(Timestamp, u32)>,
}

/// What is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What became of the MM.
    Delivery {
        /// The fate.
        status: MmStatus,
        /// Who rejected.
        extension: Option<MmStatusExtension>,
        /// In words.
        text: Option<HeaderText>,
        /// Whether the originating user may see it.
        for_user: bool,
    },
    /// What the recipient did with it.
    Reading(ReadStatus),
}

pack_struct!(Report { id, peer, place, fate, happened, at, state, resends, entry });

impl Pack for MmStatusExtension {
    fn pack(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self == Self::RejectionByOtherRs));
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::RejectionByMmsRecipient),
            1 => Ok(Self::RejectionByOtherRs),
            _ => damaged(input, "an extension"),
        }
    }
}

impl Pack for Fate {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Delivery { status, extension, text, for_user } => {
                (0u8, *status).pack(out);
                extension.pack(out);
                text.pack(out);
                for_user.pack(out);
            }
            Self::Reading(status) => (1u8, *status).pack(out),
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::Delivery {
                status: Pack::unpack(input)?,
                extension: Pack::unpack(input)?,
                text: Pack::unpack(input)?,
                for_user: Pack::unpack(input)?,
            }),
            1 => ReadStatus::unpack(input).map(Self::Reading),
            _ => damaged(input, "a fate"),
        }
    }
}

impl Fate {
    /// The request that carries it.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Delivery { .. } => MessageType::DeliveryReportReq,
            Self::Reading(_) => MessageType::ReadReplyReportReq,
        }
    }

    /// In words, for history and log.
    fn words(&self) -> String {
        match self {
            Self::Delivery { status, .. } => format!("{} {status}", self.message_type()),
            Self::Reading(status) => format!("{} {status}", self.message_type()),
        }
    }
}

/// What happened to an MM, as far as reports go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    pub status: MmStatus,
    pub extension: Option<MmStatusExtension>,
    /// Whether the recipient allows a report of what they did. What is no act of theirs is reported in any case.
    pub allowed: bool,
}

impl Happening {
    /// Not the recipient's doing: expiry, refusal by this Relay/Server.
    pub fn ours(status: MmStatus) -> Self {
        let rejected = status == MmStatus::Rejected;
        Self { status, extension: rejected.then_some(MmStatusExtension::RejectionByOtherRs), allowed: true }
    }

    /// The recipient's doing.
    pub fn of_recipient(status: MmStatus, allowed: bool) -> Self {
        let rejected = status == MmStatus::Rejected;
        Self { status, extension: rejected.then_some(MmStatusExtension::RejectionByMmsRecipient), allowed }
    }
}

/// Whether a delivery report is due, and then whether the user may see it (annex M). The originator's Relay/Server may
/// have asked for itself; that must not tell its user what the recipient keeps to themselves.
fn delivery_wanted(request: &ForwardReq, allowed: bool) -> Option<bool> {
    let user = request.delivery_report == Some(true) && allowed;
    let relay = request.originator_rs_delivery_report == Some(true);
    (user || relay).then_some(user)
}

impl Turn<'_> {
    /// Report what happened to the MM at this recipient, if the originator asked: to the peer that it came from, or to the
    /// user or application that handed it in here.
    pub fn report_delivery(
        &mut self,
        place: u16,
        what: Happening,
        text: Option<HeaderText>,
        entropy: Entropy<'_>,
    ) {
        self.tell_submitter(place, what);
        let Some(for_user) = self.reportable().and_then(|r| delivery_wanted(r, what.allowed)) else { return };
        let said = self.ledger.reports.iter().filter(|r| r.place == place).any(|r| match &r.fate {
            // Nothing follows a final report, and one "deferred" is enough.
            Fate::Delivery { status, .. } => status.is_final() || *status == what.status,
            Fate::Reading(_) => false,
        });
        if !said {
            let Happening { status, extension, .. } = what;
            self.report(place, Fate::Delivery { status, extension, text, for_user }, self.now, entropy);
        }
    }

    /// An MM of our own user at our own user: the report is a note for whoever handed it in.
    fn tell_submitter(&mut self, place: u16, what: Happening) {
        let wanted = self.ledger.request.as_ref().is_some_and(|r| r.delivery_report == Some(true));
        if !matches!(self.ledger.origin, Origin::Submitted { .. }) || !wanted || !what.allowed {
            return;
        }
        if let Some(recipient) = self.ledger.recipients.get_mut(usize::from(place))
            && !recipient.mm_status.is_some_and(MmStatus::is_final)
        {
            recipient.mm_status = Some(what.status);
            recipient.told = Some(what.status);
        }
    }

    /// A delivery report of the next Relay/Server, about an MM that passed through us: on to the one before.
    pub fn pass_delivery(
        &mut self,
        place: u16,
        status: MmStatus,
        report: &DeliveryReportReq,
        entropy: Entropy<'_>,
    ) {
        let allowed = report.forward_to_originator_ua != Some(false);
        let what = Happening { status, extension: report.status_extension, allowed };
        if matches!(self.ledger.origin, Origin::Received { .. }) {
            let before = self.ledger.reports.len();
            self.report_delivery(place, what, report.status_text.clone(), entropy);
            self.date_reports(before, report.date);
        }
    }

    /// A read-reply report of the next Relay/Server, likewise.
    pub fn pass_reading(&mut self, place: u16, report: &ReadReplyReportReq, entropy: Entropy<'_>) {
        if let (Origin::Received { .. }, Some(status)) = (&self.ledger.origin, report.status) {
            let before = self.ledger.reports.len();
            self.report_reading(place, status, entropy);
            self.date_reports(before, report.date);
        }
    }

    /// What is passed on happened when the other side says, within reason.
    fn date_reports(&mut self, since: usize, date: Option<Timestamp>) {
        // A clock that was turned back may stand before the MM came.
        let (earliest, now) = (self.ledger.accepted.min(self.now), self.now);
        for report in self.ledger.reports.iter_mut().skip(since) {
            report.happened = date.map_or(now, |at| at.clamp(earliest, now));
        }
    }

    /// Report that the recipient read the MM, or deleted it unread, if the originator asked.
    pub fn report_reading(&mut self, place: u16, status: ReadStatus, entropy: Entropy<'_>) {
        let asked = self.ledger.request.as_ref().is_some_and(|r| r.read_reply == Some(true));
        if asked
            && matches!(self.ledger.origin, Origin::Submitted { .. })
            && let Some(recipient) = self.ledger.recipients.get_mut(usize::from(place))
        {
            recipient.read_status.get_or_insert(status);
        }
        let wanted = self.reportable().is_some_and(|r| r.read_reply == Some(true));
        let said = self.ledger.reports.iter().any(|r| r.place == place && matches!(r.fate, Fate::Reading(_)));
        if wanted && !said {
            self.report(place, Fate::Reading(status), self.now, entropy);
        }
    }

    /// The request, if its MM came from a peer and may cause reports at all. A machine's may not (class Auto).
    fn reportable(&self) -> Option<&ForwardReq> {
        let received = matches!(self.ledger.origin, Origin::Received { .. });
        let request = self.ledger.request.as_ref().filter(|_| received)?;
        let auto = request.message_class == Some(MessageClass::Auto);
        (!auto && request.message_id.is_some() && request.from.is_some()).then_some(request)
    }

    fn report(&mut self, place: u16, fate: Fate, happened: Timestamp, entropy: Entropy<'_>) {
        if self.ledger.reports.len() >= PLACES_MAX {
            return;
        }
        let Origin::Received { peer, .. } = &self.ledger.origin else { return };
        let peer = peer.clone();
        let part = self.ledger.reports.len() as u16 | REPORT;
        let id = TransactionId::ours(self.ledger.id, part, entropy());
        self.tell(What::Reported, Some(&peer), &[place], fate.words());
        let (at, state, entry) = (self.now, TransactionState::Queued, Some((self.now, 0)));
        self.ledger.reports.push(Report { id, peer, place, fate, happened, at, state, resends: 0, entry });
        if let Some(entry) = self.ledger.entry(part) {
            self.op(Op::Enqueue(entry));
        }
    }

    /// A report came back from the courier.
    pub fn report_carried(&mut self, part: u16, attempt: u32, how: &Carried) {
        let Some(report) = self.ledger.reports.get(usize::from(part & !REPORT)).cloned() else { return };
        let peer = &report.peer;
        let words = report.fate.words();
        let again = self.house.retry.next(attempt + 1, self.now, report.bring_by(self.house));
        match (how.of_one(), again) {
            (Brought::Taken, _) => {
                self.ack(part);
                let awaits = self.house.peer(peer).is_some_and(|p| p.profile.acknowledged_reports);
                let until = self.now.plus(self.house.retry.response_timeout);
                let state =
                    if awaits { TransactionState::Awaiting(until) } else { TransactionState::Settled };
                if report.state == TransactionState::Queued {
                    if report.resends == 0 {
                        self.charge_our_report(&report);
                    }
                    self.ledger.reports[usize::from(part & !REPORT)].state = state;
                }
                self.tell(What::Answered, Some(peer), &[report.place], words);
            }
            (Brought::NotNow(why), Some(due)) => {
                self.retry(part, due);
                self.tell(What::Deferred, Some(peer), &[report.place], format!("{words}: {why}"));
            }
            (Brought::NotNow(why) | Brought::Never(why), _) => self.give_report_up(part, &why),
        }
    }

    fn give_report_up(&mut self, part: u16, why: &str) {
        let place = usize::from(part & !REPORT);
        self.ledger.reports[place].state = TransactionState::Settled;
        self.ack(part);
        let report = self.ledger.reports[place].clone();
        let words = format!("{}: {why}", report.fate.words());
        self.tell(What::Unanswered, Some(&report.peer), &[report.place], words);
    }

    /// Time has passed: reports whose response stays away go again, those that waited too long are given up.
    pub fn tend_reports(&mut self) {
        for i in 0..self.ledger.reports.len() {
            let part = i as u16 | REPORT;
            let report = self.ledger.reports[i].clone();
            match report.state {
                TransactionState::Awaiting(until) if until <= self.now => {
                    if report.resends < self.house.retry.response_resends {
                        self.ledger.reports[i].state = TransactionState::Queued;
                        self.ledger.reports[i].resends += 1;
                        self.requeue(part, self.now);
                        self.tell(What::NoResponse, Some(&report.peer), &[report.place], report.fate.words());
                    } else {
                        self.ledger.reports[i].state = TransactionState::Settled;
                    }
                }
                TransactionState::Queued if report.bring_by(self.house) <= self.now => {
                    let why = self.too_late(&report.peer);
                    self.give_report_up(part, &why);
                }
                _ => {}
            }
        }
    }
}

impl Report {
    /// From this instant on it is not brought any more.
    pub(crate) fn bring_by(&self, house: &House) -> Timestamp {
        self.at.plus(house.retry.give_up)
    }

    /// When something is to be done about it, if nothing happens before.
    pub(crate) fn timer(&self, house: &House) -> Option<Timestamp> {
        match self.state {
            TransactionState::Queued => Some(self.bring_by(house)),
            TransactionState::Awaiting(until) => Some(until),
            TransactionState::Settled => None,
        }
    }
}

impl Ledger {
    /// The mail of a report: from the recipient's side to the originating user, at the domain of the peer that the
    /// MM came from.
    pub(crate) fn report_errand(
        &self,
        house: &House,
        report: &Report,
        entry: &Entry,
        mail: HeaderText,
    ) -> Option<Errand> {
        report.entry?;
        let peer = house.peer(&report.peer)?;
        let request = self.request.as_ref()?;
        let originator = Party::at(request.from.clone()?.address, self.originator_domain(peer, request)?);
        let recipient = self.recipients.get(usize::from(report.place))?;
        let recipient = Party::at(recipient.party.address.clone(), house.domain());
        // In a report the application ids change sides (mm4 2.10).
        let applic_id = request.reply_applic_id.clone().or(request.applic_id.clone());
        let differ = request.reply_applic_id.is_some() && request.reply_applic_id != request.applic_id;
        let reply_applic_id = request.applic_id.clone().filter(|_| differ);
        let system = request.originator_system.as_ref().filter(|s| s.domain().is_some_and(|d| peer.owns(d)));
        let to = match (&originator.domain, system) {
            (_, Some(system)) if peer.profile.reports_to_system => system.clone(),
            (Some(domain), _) => peer.profile.envelope(&originator.address, domain),
            (None, _) => originator.path(),
        };
        let (version, transaction_id) = (Some(peer.profile.version), Some(report.id.clone()));
        let message_id = request.message_id.clone();
        let (originator, recipient) = (Some(originator), Some(recipient));
        let (date, ack_request) = (Some(report.happened), Some(peer.profile.acknowledged_reports));
        let (sender, internet_message_id) = (Some(house.system_address.clone()), Some(mail));
        let aux_applic_info = request.aux_applic_info.clone();
        let message = match &report.fate {
            Fate::Delivery { status, extension, text, for_user } => {
                AbstractMessage::DeliveryReportReq(DeliveryReportReq {
                    version,
                    transaction_id,
                    message_id,
                    recipient,
                    originator,
                    date,
                    ack_request,
                    forward_to_originator_ua: Some(*for_user),
                    status: Some(*status),
                    status_extension: *extension,
                    status_text: text.clone(),
                    applic_id,
                    reply_applic_id,
                    aux_applic_info,
                    sender,
                    internet_message_id,
                })
            }
            Fate::Reading(status) => AbstractMessage::ReadReplyReportReq(ReadReplyReportReq {
                version,
                transaction_id,
                message_id,
                recipient,
                originator,
                date,
                ack_request,
                status: Some(*status),
                status_text: None,
                applic_id,
                reply_applic_id,
                aux_applic_info,
                sender,
                internet_message_id,
            }),
        };
        Some(Errand {
            entry: entry.clone(),
            mm: self.id,
            peer: peer.name.clone(),
            mail_from: peer.profile.automatic_sender(&house.system_address),
            recipients: vec![to],
            places: Vec::new(),
            message,
            body: None,
            eight_bit: false,
            relayed: None,
        })
    }

    /// Where the originating user is at home: the domain of `Sender`, else of the envelope sender, else of
    /// Originator-System (mm4 4.3), but only one of the peer's own.
    fn originator_domain<'a>(&'a self, peer: &'a Peer, request: &'a ForwardReq) -> Option<&'a mms::Domain> {
        let Origin::Received { mail_from, .. } = &self.origin else { return None };
        let candidates = [request.sender.as_ref(), mail_from.as_ref(), request.originator_system.as_ref()];
        let own = candidates.into_iter().flatten().filter_map(MailPath::domain).find(|d| peer.owns(d));
        own.or(peer.domains.first())
    }
}
