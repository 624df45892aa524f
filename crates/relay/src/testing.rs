//! A small world for the tests of this crate: relay A with users +1 202 555 0100 to 0109, peers B and C.

use crate::house::{HookName, House, Local, Peer, PeerName, TransitMode};
use crate::ledger::{
    Asker, Body, Ledger, Moment, Origin, Recipient, RecipientKind, RecipientState, Response, Transaction,
    TransactionState, What,
};
use crate::notice::{Notice, Noticed};
use crate::report::{Fate, Report};
use crate::verdict::Reason;
use mms::{
    ForwardReq, MessageType, MmId, Party, RequestStatus, Timestamp, TransactionId, Version, Visibility,
};

pub fn party(text: &str) -> Party {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

pub fn peer(name: &str, prefix: &str) -> Peer {
    let domain = format!("mms.{name}.example").parse().unwrap();
    Peer { prefixes: vec![prefix.into()], ..Peer::new(name, domain) }
}

pub fn house() -> House {
    House {
        locals: vec![Local::mailboxes(vec!["1202555010".into()])],
        peers: vec![peer("b", "1202555011"), peer("c", "1202555012")],
        ..House::new("mms.a.example".parse().unwrap())
    }
}

pub fn a_ledger() -> Ledger {
    let at = Timestamp::from_seconds(1_741_083_330);
    let id = MmId::new(at.millis(), 0, 7);
    let recipient = |text: &str, state| Recipient {
        party: party(text),
        kind: RecipientKind::To,
        state,
        reason: Some(Reason::PeerRefused),
        status: Some(RequestStatus::ErrorServiceDenied),
        text: Some(mms::HeaderText::cleaned("no")),
        since: at,
        path: "+12025550110/TYPE=PLMN@mms.b.example".parse().ok(),
        mm_status: Some(mms::MmStatus::Deferred),
        read_status: None,
        told: Some(mms::MmStatus::Deferred),
        concluded: true,
    };
    Ledger {
        id,
        origin: Origin::Received { peer: PeerName::new("b"), mail_from: "x@mms.b.example".parse().ok() },
        accepted: at,
        expires: Timestamp::MAX,
        request: Some(ForwardReq {
            version: Some(Version::OURS),
            from: Some(party("Bob <+12025550110/TYPE=PLMN@mms.b.example>")),
            to: vec![party("bob@mms.c.example"), party("4455"), party("INFO"), party("192.0.2.1/TYPE=IPv4")],
            sender_visibility: Some(Visibility::Hide),
            ..ForwardReq::default()
        }),
        body: Some(Body { len: 30_000, decoded: 22_000, offset: 600, digest: 0xdead_beef, eight_bit: true }),
        recipients: vec![
            recipient("+12025550100", RecipientState::Stored),
            recipient("12025550", RecipientState::Failed),
        ],
        transactions: vec![Transaction {
            id: TransactionId::ours(id, 0, 9),
            peer: PeerName::new("c"),
            recipients: vec![0, 1],
            transit: Some(TransitMode::Transparent),
            state: TransactionState::Awaiting(at),
            resends: 1,
            retries: 2,
            entry: Some((at, 3)),
        }],
        responses: vec![Response {
            kind: MessageType::ForwardRes,
            peer: PeerName::new("b"),
            to: "system-user@mms.b.example".parse().unwrap(),
            transaction_id: None,
            message_id: None,
            status: RequestStatus::Ok,
            text: None,
            recipients: vec![party("+12025550100")],
            at,
            entry: None,
        }],
        askers: vec![Asker { transaction_id: None, to: "system-user@mms.b.example".parse().unwrap() }],
        reports: vec![Report {
            id: TransactionId::ours(id, crate::ledger::REPORT, 3),
            peer: PeerName::new("b"),
            place: 1,
            fate: Fate::Delivery {
                status: mms::MmStatus::Rejected,
                extension: Some(mms::MmStatusExtension::RejectionByOtherRs),
                text: None,
                for_user: false,
            },
            happened: at,
            at,
            state: TransactionState::Settled,
            resends: 0,
            entry: Some((at, 2)),
        }],
        notices: vec![Notice {
            hook: HookName::new("shop"),
            place: 0,
            what: Noticed::State(RecipientState::Accepted),
            at,
            entry: Some((at, 1)),
        }],
        lookup: Some((at, 4)),
        history: vec![Moment {
            at,
            what: What::Received,
            peer: Some(PeerName::new("b")),
            recipients: vec![1],
            text: "taken".into(),
        }],
        history_cut: 0,
    }
}
