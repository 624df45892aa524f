//! A response or a report came from a peer: what it may change, and what it may not.
//!
//! A response counts only if peer, message type and Transaction-ID match a transaction of ours; a report only for a
//! recipient that we forwarded to that very peer. Everything else is taken, noted and ignored.

use crate::arrive::mailbox_of;
use crate::carry::fail;
use crate::charging::Reporting;
use crate::event::{Answer, Arrival, Arrived, Bounce};
use crate::house::{Peer, PeerName};
use crate::ledger::{
    Ledger, Moment, Origin, REPORT, RecipientState, Response, Transaction, TransactionState, What,
};
use crate::turn::{Decision, Entropy, Turn};
use crate::verdict::{Reason, Reply};
use mms::{
    AbstractMessage, DeliveryReportReq, ForwardRes, HeaderText, MailPath, MessageId, MessageType, MmId,
    MmStatus, Party, ReadReplyReportReq, RequestStatus, Timestamp, TransactionId,
};

pub(crate) fn taken() -> Option<Answer> {
    Some(Answer::Mail(Reply::new(250, (2, 0, 0), "taken")))
}

/// Decide about a response or report that fits nothing of ours: taken, noted in the log, and nothing changes.
pub(crate) fn ignored(now: Timestamp, arrival: &Arrival) -> Decision {
    let text = match &arrival.message {
        Arrived::Message(message) => {
            let transaction = message.transaction_id().map_or("-", TransactionId::as_str);
            let mm = message.message_id().map_or("-", MessageId::as_str);
            format!("{}, transaction {transaction}, MM {mm}: nothing of ours", message.message_type())
        }
        Arrived::Unknown { message_type, .. } => message_type.clone(),
        Arrived::Bounce(_) => "a returned mail: nothing of ours, or nothing new".into(),
        Arrived::NotMm4 => String::new(),
    };
    let peer = Some(arrival.peer.clone());
    let news = vec![Moment { at: now, what: What::Ignored, peer, recipients: Vec::new(), text }];
    Decision { news, ..Decision::only(taken()) }
}

/// Decide about an `MM4_forward.RES` for this MM.
pub(crate) fn responded(
    mut turn: Turn<'_>,
    arrival: &Arrival,
    response: &ForwardRes,
    entropy: Entropy<'_>,
) -> Decision {
    let key = response.transaction_id.as_ref().map(TransactionId::key);
    let found =
        turn.ledger.transactions.iter().position(|t| Some(t.id.key()) == key && t.peer == arrival.peer);
    let Some(part) = found else {
        if passed_on(&turn.ledger, &arrival.peer, response) && turn.may_answer_for() {
            let said = response.status_text.as_ref().map_or(String::new(), |t| format!(": {t}"));
            let text = format!("{}{said}, for the peer that sent the MM", response.request_status);
            turn.tell(What::Response, Some(&arrival.peer), &[], text);
            turn.answer_for(&arrival.peer, response);
            return turn.finish(|_| taken());
        }
        // A guess, or a response of another peer: it changes nothing (threat: forged responses).
        return ignored(turn.now, arrival);
    };
    let transaction = turn.ledger.transactions[part].clone();
    let places = concerned(&turn, &transaction.recipients, &response.request_recipients, arrival);
    let peer = arrival.peer.clone();
    let said = response.status_text.as_ref().map_or(String::new(), |t| format!(": {t}"));
    let status = response.request_status;
    if places.is_empty() {
        // Late, or said before. It may be heard any number of times.
        return Decision::only(taken());
    }
    turn.tell(What::Response, Some(&peer), &places, format!("{status}{said}"));
    if transaction.state == TransactionState::Queued && transaction.resends == 0 {
        // It has overtaken the reply of the peer's SMTP: the peer has the request of these.
        turn.charge_forward(&transaction, &places);
    }
    turn.charge_response(&peer, status, response.status_text.as_ref());
    match status {
        RequestStatus::Ok => {
            for place in &places {
                let text = response.status_text.clone();
                turn.enter(*place, RecipientState::Accepted, None, Some(status), text);
            }
        }
        RequestStatus::ErrorNetworkProblem
            if transaction.retries < turn.house.retry.response_retries
                && turn.house.retry.next(transaction.retries + 1, turn.now, turn.deadline()).is_some() =>
        {
            // The pair of request and response is complete; a new try is a new transaction.
            let retries = transaction.retries + 1;
            let due = turn.now.plus(turn.house.retry.pause(retries));
            turn.tell(What::Deferred, Some(&peer), &places, format!("{status}{said}"));
            // They have left the old one: what is said about it again is not about them.
            turn.ledger.transactions[part].recipients.retain(|i| !places.contains(i));
            turn.open_transaction(&peer, places, retries, due, 0, entropy);
        }
        _ => {
            fail(&mut turn, &places, Reason::ResponseError, &peer, &format!("{status}{said}"));
            for place in &places {
                let reason = Some(Reason::ResponseError);
                let text = response.status_text.clone();
                turn.enter(*place, RecipientState::Failed, reason, Some(status), text);
            }
        }
    }
    turn.conclude(entropy);
    turn.finish(|_| taken())
}

/// Whether this response of this peer is about a request that passed through us to it as it came. It is meant for the peer
/// that sent the MM, and came to us because the other one knows no mailbox but ours.
pub(crate) fn passed_on(ledger: &Ledger, from: &PeerName, response: &ForwardRes) -> bool {
    let key = response.transaction_id.as_ref().map(TransactionId::key);
    let asked = ledger.request.as_ref().filter(|request| request.ack_request == Some(true));
    let of_request = |id: &Option<TransactionId>| key.is_some() && id.as_ref().map(TransactionId::key) == key;
    asked.is_some_and(|request| {
        of_request(&request.transaction_id) || ledger.askers.iter().any(|a| of_request(&a.transaction_id))
    }) && ledger.transactions.iter().any(|t| t.passes() && t.peer == *from)
}

/// The recipients of the transaction that the response is about and that still wait for it.
fn concerned(turn: &Turn<'_>, all: &[u16], named: &[Party], arrival: &Arrival) -> Vec<u16> {
    let waits = |i: &u16| {
        let state = turn.ledger.recipients[usize::from(*i)].state;
        matches!(state, RecipientState::Queued | RecipientState::Forwarded | RecipientState::Unconfirmed)
    };
    let plan = turn.house.peer(&arrival.peer).map(|p| p.number_plan.clone()).unwrap_or_default();
    let is_named = |i: &u16| {
        let recipient = &turn.ledger.recipients[usize::from(*i)];
        let ours = &recipient.party.address;
        // A look-up may have given the peer's own form of the number.
        let other = recipient.path.as_ref().and_then(MailPath::party).map(|p| p.address);
        // A bare number is ours if its digits are, whatever the peer left out (`+`, the country code's prefix).
        let digits = ours.number().map(mms::Number::digits);
        named.iter().any(|p| {
            let theirs = p.address.clone().normalised(&plan);
            theirs == *ours
                || Some(&theirs) == other.as_ref()
                || theirs.number().map(mms::Number::digits).is_some_and(|d| Some(d) == digits)
        })
    };
    // A peer may write the only recipient in a way that nobody understands; but a response about somebody whom this
    // transaction had, and who has left it or was settled before, is not about the one who is left.
    let others = 0..turn.ledger.recipients.len() as u16;
    let another = || others.clone().any(|i| !all.contains(&i) && is_named(&i));
    let everybody = named.is_empty() || all.len() == 1 && !another();
    all.iter().copied().filter(|i| waits(i) && (everybody || is_named(i))).collect()
}

/// Decide about the response to a report of ours.
pub(crate) fn report_answered(mut turn: Turn<'_>, arrival: &Arrival, message: &AbstractMessage) -> Decision {
    let (key, request, status, text) = match message {
        AbstractMessage::DeliveryReportRes(m) => {
            (m.transaction_id.as_ref(), MessageType::DeliveryReportReq, m.request_status, &m.status_text)
        }
        AbstractMessage::ReadReplyReportRes(m) => {
            (m.transaction_id.as_ref(), MessageType::ReadReplyReportReq, m.request_status, &m.status_text)
        }
        _ => return ignored(turn.now, arrival),
    };
    let key = key.map(TransactionId::key);
    let found =
        turn.ledger.reports.iter().position(|r| {
            Some(r.id.key()) == key && r.peer == arrival.peer && r.fate.message_type() == request
        });
    match found {
        Some(i) if turn.ledger.reports[i].state != TransactionState::Settled => {
            // Whatever it says, a report is not argued about: it was heard.
            let report = turn.ledger.reports[i].clone();
            if report.state == TransactionState::Queued && report.resends == 0 {
                turn.charge_our_report(&report); // overtaken, as a request may be
            }
            turn.charge_report_answer(&report, status, text.as_ref());
            turn.ledger.reports[i].state = TransactionState::Settled;
            turn.ack(i as u16 | REPORT);
            let (peer, place) = (arrival.peer.clone(), turn.ledger.reports[i].place);
            turn.tell(What::Response, Some(&peer), &[place], format!("{} {status}", message.message_type()));
            turn.finish(|_| taken())
        }
        Some(_) => Decision::only(taken()),
        None => ignored(turn.now, arrival),
    }
}

/// A report request, of either kind.
pub(crate) struct Report<'a> {
    pub response: MessageType,
    pub transaction_id: Option<&'a TransactionId>,
    pub message_id: Option<&'a MessageId>,
    pub parties: [Option<&'a Party>; 2],
    pub ack: bool,
    pub sender: Option<&'a MailPath>,
    pub kind: ReportKind<'a>,
}

pub(crate) enum ReportKind<'a> {
    Delivery(&'a DeliveryReportReq),
    Read(&'a ReadReplyReportReq),
}

/// The message as a report request, if it is one.
pub(crate) fn report(message: &AbstractMessage) -> Option<Report<'_>> {
    match message {
        AbstractMessage::DeliveryReportReq(m) => Some(Report {
            response: MessageType::DeliveryReportRes,
            transaction_id: m.transaction_id.as_ref(),
            message_id: m.message_id.as_ref(),
            parties: [m.recipient.as_ref(), m.originator.as_ref()],
            ack: m.ack_request == Some(true),
            sender: m.sender.as_ref(),
            kind: ReportKind::Delivery(m),
        }),
        AbstractMessage::ReadReplyReportReq(m) => Some(Report {
            response: MessageType::ReadReplyReportRes,
            transaction_id: m.transaction_id.as_ref(),
            message_id: m.message_id.as_ref(),
            parties: [m.recipient.as_ref(), m.originator.as_ref()],
            ack: m.ack_request == Some(true),
            sender: m.sender.as_ref(),
            kind: ReportKind::Read(m),
        }),
        _ => None,
    }
}

/// Decide about a report for this MM; `None` when it does not fit this MM, so that it is for an unknown one.
pub(crate) fn reported(
    mut turn: Turn<'_>,
    arrival: &Arrival,
    report: &Report<'_>,
    entropy: Entropy<'_>,
) -> Option<Decision> {
    let house = turn.house;
    let peer = house.peer(&arrival.peer)?;
    let place = reported_recipient(&turn.ledger, peer, report)?;
    let response = response(turn.now, peer, arrival, report, RequestStatus::Ok, None);
    if report.ack && turn.has_no_room(&response) {
        let why = "take the answers that wait for you first, then try again";
        return Some(Decision::only(Some(Answer::Mail(Reply::new(451, (4, 7, 1), why)))));
    }
    match &report.kind {
        ReportKind::Delivery(m) => {
            let status = m.status?;
            let text = format!("{}: {status}", MessageType::DeliveryReportReq);
            turn.tell(What::Report, Some(&peer.name), &[place], text);
            let known = turn.ledger.recipients[usize::from(place)].mm_status;
            if known != Some(status) && !known.is_some_and(MmStatus::is_final) {
                let said = (m.date, report.ack, m.status_text.as_ref());
                turn.charge_report(&peer.name, place, Reporting::Delivery(status), said);
            }
            delivery_reported(&mut turn, place, status, m, entropy);
        }
        ReportKind::Read(m) => {
            let status = m.status?;
            let text = format!("{}: {status}", MessageType::ReadReplyReportReq);
            turn.tell(What::Report, Some(&peer.name), &[place], text);
            if turn.ledger.recipients[usize::from(place)].read_status.is_none() {
                let said = (m.date, report.ack, m.status_text.as_ref());
                turn.charge_report(&peer.name, place, Reporting::Reading(status), said);
            }
            turn.ledger.recipients[usize::from(place)].read_status.get_or_insert(status);
            turn.pass_reading(place, m, entropy);
        }
    }
    if report.ack {
        turn.owe(response);
    }
    Some(turn.finish(|_| taken()))
}

/// A peer says what became of the MM: noted, told to the submitter if they asked and may know, or passed on to the peer
/// that the MM came from. A final report is not undone by a later one.
fn delivery_reported(
    turn: &mut Turn<'_>,
    place: u16,
    status: MmStatus,
    report: &DeliveryReportReq,
    entropy: Entropy<'_>,
) {
    let wanted = turn.ledger.request.as_ref().is_some_and(|r| r.delivery_report == Some(true));
    let submitted = matches!(turn.ledger.origin, Origin::Submitted { .. });
    let recipient = &mut turn.ledger.recipients[usize::from(place)];
    if recipient.mm_status.is_some_and(MmStatus::is_final) {
        return;
    }
    recipient.mm_status = Some(status);
    // Without the field it may be shown if the user asked (mm4 3.3).
    if submitted && wanted && report.forward_to_originator_ua != Some(false) {
        recipient.told = Some(status);
    }
    turn.pass_delivery(place, status, report, entropy);
}

/// Decide about a mail that came back, or a notification of what became of one (RFC 3464): the recipients that it
/// names, of a mail that went to this very peer, have failed.
pub(crate) fn bounced(
    mut turn: Turn<'_>,
    arrival: &Arrival,
    bounce: &Bounce,
    entropy: Entropy<'_>,
) -> Decision {
    let key = bounce.transaction_id.as_ref().map(TransactionId::key);
    let mail = bounce.internet_message_id.as_deref().and_then(|id| id.split('@').next());
    let part = mail.and_then(|m| m.split('.').nth(1)?.parse::<usize>().ok());
    let found = turn.ledger.transactions.iter().enumerate().find(|(i, t)| {
        t.peer == arrival.peer && (Some(t.id.key()) == key || key.is_none() && Some(*i) == part)
    });
    let Some((_, transaction)) = found else { return ignored(turn.now, arrival) };
    let open = |i: &u16| {
        let state = turn.ledger.recipients[usize::from(*i)].state;
        matches!(state, RecipientState::Forwarded | RecipientState::Unconfirmed)
    };
    let plan = turn.house.peer(&arrival.peer).map(|p| p.number_plan.clone()).unwrap_or_default();
    let digits = |party: &Party| party.address.clone().normalised(&plan);
    let mut failed: Vec<(u16, String)> = Vec::new();
    for place in transaction.recipients.iter().copied().filter(open) {
        let ours = &turn.ledger.recipients[usize::from(place)].party;
        let named = bounce.failed.iter().find(|(path, _)| match path.as_ref().and_then(MailPath::party) {
            Some(party) => digits(&party) == ours.address,
            None => transaction.recipients.len() == 1,
        });
        if let Some((_, why)) = named {
            failed.push((place, why.clone()));
        }
    }
    if failed.is_empty() {
        return ignored(turn.now, arrival);
    }
    for (place, why) in failed {
        fail(&mut turn, &[place], Reason::Bounced, &arrival.peer, &why);
    }
    turn.conclude(entropy);
    turn.finish(|_| taken())
}

/// The recipient that a report is about: the one that it names, or the only one that we forwarded to this very peer.
fn reported_recipient(ledger: &Ledger, peer: &Peer, report: &Report<'_>) -> Option<u16> {
    let mut sent = sent_to(ledger, peer);
    let only = (sent.next(), sent.next());
    named_recipient(ledger, peer, report).or(match only {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// Whichever of the two parties of a report (live peers swap them) is a recipient that we forwarded to this very peer.
pub(crate) fn named_recipient(ledger: &Ledger, peer: &Peer, report: &Report<'_>) -> Option<u16> {
    report.parties.into_iter().flatten().find_map(|party| {
        let address = party.address.clone().normalised(&peer.number_plan);
        sent_to(ledger, peer).find(|i| ledger.recipients[usize::from(*i)].party.address == address)
    })
}

fn sent_to<'a>(ledger: &'a Ledger, peer: &'a Peer) -> impl Iterator<Item = u16> + 'a {
    let sent = |t: &&Transaction| t.peer == peer.name && t.state != TransactionState::Queued;
    ledger.transactions.iter().filter(sent).flat_map(|t| t.recipients.iter().copied())
}

/// The answer to a report.
fn response(
    now: Timestamp,
    peer: &Peer,
    arrival: &Arrival,
    report: &Report<'_>,
    status: RequestStatus,
    text: Option<HeaderText>,
) -> Response {
    Response {
        kind: report.response,
        peer: peer.name.clone(),
        to: mailbox_of(peer, [report.sender, arrival.mail_from.as_ref()]),
        transaction_id: report.transaction_id.cloned(),
        message_id: report.message_id.cloned(),
        status,
        text,
        recipients: Vec::new(),
        at: now,
        entry: None,
    }
}

/// Decide about a report that fits no MM of ours, or cannot be read: an answer if one was asked for, else nothing.
pub(crate) fn unfit_report(
    house: &crate::house::House,
    now: Timestamp,
    id: MmId,
    arrival: &Arrival,
    report: &Report<'_>,
) -> Decision {
    let Some(peer) = house.peer(&arrival.peer).filter(|_| report.ack) else { return ignored(now, arrival) };
    let (reason, detail) = arrival.trouble.clone().unwrap_or((Reason::UnknownMessage, String::new()));
    let origin = Origin::Received { peer: peer.name.clone(), mail_from: arrival.mail_from.clone() };
    let ledger = Ledger::new(id, origin, now, now.plus(house.retry.give_up));
    let mut turn = Turn::new(house, now, ledger, 0, false);
    let about = report.message_id.map_or("no Message-ID", |m| m.as_str());
    turn.tell(
        What::Refused,
        Some(&peer.name),
        &[],
        format!("report about {about}: {} {detail}", reason.text()),
    );
    let text = Some(HeaderText::cleaned(reason.text()));
    turn.owe(response(now, peer, arrival, report, reason.request_status(), text));
    turn.finish(|_| taken())
}
