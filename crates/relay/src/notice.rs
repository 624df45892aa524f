//! Notices: what an application is told by webhook about an MM of its own.
//!
//! Owns: what is told, when it is given up. Never knows: HTTP, secrets, how a notice is written.
//!
//! A notice becomes durable in the same step as what it tells, and is brought at least once: after a crash it may come
//! again under the same id.

use crate::event::{Brought, Carried};
use crate::house::{HookName, House};
use crate::ledger::{Ledger, NOTICE, Origin, PLACES_MAX, Part, RecipientState, What};
use crate::pack::{Damaged, Pack, damaged, pack_struct};
use crate::report::Happening;
use crate::store::{ContentRef, Entry, Op};
use crate::turn::{Entropy, Turn};
use mms::{MmId, MmStatus, ReadStatus, Timestamp};
use std::sync::Arc;

/// One notice to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The webhook.
    pub hook: HookName,
    /// Place in [`Ledger::recipients`].
    pub place: u16,
    /// What is told.
    pub what: Noticed,
    /// When it happened.
    pub at: Timestamp,
    /// Its entry in the webhook's queue; `None` once it was taken or given up.
    pub entry: Option<(Timestamp, u32)>,
}

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// An MM has come for this recipient.
    Arrived,
    /// A submitted MM has entered this state for this recipient.
    State(RecipientState),
    /// A delivery report that the submitter may see.
    DeliveryReport(MmStatus),
    /// A read-reply report.
    ReadReply(ReadStatus),
}

/// A notice on its way: what the house makes an HTTP request of.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its entry in the webhook's queue.
    pub entry: Entry,
    /// The MM.
    pub mm: MmId,
    /// The notice.
    pub notice: Notice,
    /// The MM as it is now.
    pub ledger: Arc<Ledger>,
    /// Its content, while it is kept.
    pub content: Option<ContentRef>,
}

pack_struct!(Notice { hook, place, what, at, entry });

impl Pack for Noticed {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Arrived => 0u8.pack(out),
            Self::State(state) => (1u8, *state).pack(out),
            Self::DeliveryReport(status) => (2u8, *status).pack(out),
            Self::ReadReply(status) => (3u8, *status).pack(out),
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(Self::Arrived),
            1 => Pack::unpack(input).map(Self::State),
            2 => Pack::unpack(input).map(Self::DeliveryReport),
            3 => Pack::unpack(input).map(Self::ReadReply),
            _ => damaged(input, "a notice"),
        }
    }
}

impl Noticed {
    fn words(self) -> String {
        match self {
            Self::Arrived => "the MM".into(),
            Self::State(state) => format!("state {state}"),
            Self::DeliveryReport(status) => format!("delivery report {status}"),
            Self::ReadReply(status) => format!("read-reply report {status}"),
        }
    }
}

/// What the submitter of an MM can see of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(RecipientState, Option<MmStatus>, Option<ReadStatus>);

/// What the submitter's webhook may be told, as it is now; empty when there is none to tell.
pub(crate) fn seen(ledger: &Ledger) -> Vec<Seen> {
    match &ledger.origin {
        Origin::Submitted { hook: Some(_), .. } => {
            ledger.recipients.iter().map(|r| Seen(r.state, r.told, r.read_status)).collect()
        }
        _ => Vec::new(),
    }
}

/// States that say something to whoever submitted the MM; what a local recipient does is told by report, if at all.
const fn is_news(state: RecipientState) -> bool {
    matches!(
        state,
        RecipientState::Forwarded
            | RecipientState::Unconfirmed
            | RecipientState::Accepted
            | RecipientState::Stored
            | RecipientState::Expired
            | RecipientState::Failed
    )
}

impl Turn<'_> {
    /// Tell a webhook.
    pub fn notify(&mut self, hook: HookName, place: u16, what: Noticed) {
        if self.ledger.notices.len() >= PLACES_MAX {
            return; // more than an MM can have; the state itself can still be asked for
        }
        let part = self.ledger.notices.len() as u16 | NOTICE;
        let (at, entry) = (self.now, Some((self.now, 0)));
        self.ledger.notices.push(Notice { hook, place, what, at, entry });
        if let Some(entry) = self.ledger.entry(part) {
            self.op(Op::Enqueue(entry));
        }
    }

    /// Tell the submitter's webhook what has changed in this turn.
    pub fn notify_changes(&mut self, before: &[Seen]) {
        let Origin::Submitted { hook: Some(hook), .. } = &self.ledger.origin else { return };
        let hook = hook.clone();
        for (place, now) in seen(&self.ledger).into_iter().enumerate() {
            let Seen(state, told, read) = now;
            let was = before.get(place).copied();
            let place = place as u16;
            if was.is_none_or(|was| was.0 != state) && is_news(state) {
                self.notify(hook.clone(), place, Noticed::State(state));
            }
            if let Some(status) = told.filter(|_| was.is_none_or(|was| was.1 != told)) {
                self.notify(hook.clone(), place, Noticed::DeliveryReport(status));
            }
            if let Some(status) = read.filter(|_| was.is_none_or(|was| was.2 != read)) {
                self.notify(hook.clone(), place, Noticed::ReadReply(status));
            }
        }
    }

    /// A notice came back from the house.
    pub fn notice_carried(&mut self, part: u16, attempt: u32, how: &Carried, entropy: Entropy<'_>) {
        let Part::Notice(i) = Part::of(part) else { return };
        let Some(notice) = self.ledger.notices.get(i).cloned() else { return };
        let words = format!("webhook {}, {}", notice.hook, notice.what.words());
        let again = self.house.retry.next(attempt + 1, self.now, notice.bring_by(self.house));
        match (how.of_one(), again) {
            (Brought::Taken, _) => {
                self.ack(part);
                self.tell(What::Notified, None, &[notice.place], words);
                self.fetched_by_hook(&notice, entropy);
            }
            (Brought::NotNow(why), Some(due)) => {
                self.retry(part, due);
                self.tell(What::Deferred, None, &[notice.place], format!("{words}: {why}"));
            }
            (Brought::NotNow(why) | Brought::Never(why), _) => self.give_notice_up(part, &why),
        }
    }

    /// Whoever takes the notice of an MM has it: it is retrieved, as if fetched from a mailbox.
    fn fetched_by_hook(&mut self, notice: &Notice, entropy: Entropy<'_>) {
        let state = self.ledger.recipients.get(usize::from(notice.place)).map(|r| r.state);
        if notice.what == Noticed::Arrived && state == Some(RecipientState::Stored) {
            self.enter(notice.place, RecipientState::Retrieved, None, None, None);
            self.tell(What::Retrieved, None, &[notice.place], "");
            self.report_delivery(
                notice.place,
                Happening::of_recipient(MmStatus::Retrieved, true),
                None,
                entropy,
            );
        }
    }

    fn give_notice_up(&mut self, part: u16, why: &str) {
        let Part::Notice(i) = Part::of(part) else { return };
        let notice = self.ledger.notices[i].clone();
        self.ack(part);
        let words = format!("webhook {}, {}: {why}", notice.hook, notice.what.words());
        self.tell(What::Unnotified, None, &[notice.place], words);
    }

    /// Time has passed: notices that waited too long are given up, and those of an MM that is gone.
    pub fn tend_notices(&mut self) {
        for i in 0..self.ledger.notices.len() {
            let notice = &self.ledger.notices[i];
            let kept = |r: &crate::ledger::Recipient| r.state == RecipientState::Stored;
            let moot = notice.what == Noticed::Arrived
                && !self.ledger.recipients.get(usize::from(notice.place)).is_some_and(kept);
            if notice.entry.is_some() && (moot || notice.bring_by(self.house) <= self.now) {
                let why = if moot { "the MM is not kept any more" } else { "queue time exceeded" };
                self.give_notice_up(i as u16 | NOTICE, why);
            }
        }
    }
}

impl Notice {
    /// From this instant on it is not brought any more.
    pub(crate) fn bring_by(&self, house: &House) -> Timestamp {
        self.at.plus(house.retry.give_up)
    }
}
