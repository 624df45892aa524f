//! Which MMs are an application's: page by page, newest first.
//!
//! Owns: finding them. Where a search index is kept it names them, and where it does not, or is still reading what came before
//! the start, one MM after the other is looked at. Never knows: how an MM is shown.
//!
//! Both ways find the same. The index is a little behind; it says which MMs it does not have as they are, and those are
//! looked at as well: an MM that has just been handed in is in the list.

use super::shown::{self, Standing};
use crate::content;
use crate::search::Search;
use mms::MmId;
use relay::store::Store;
use relay::{HookName, Ledger};
use store::Kind;

/// MMs that are looked at for one page; the next page goes on where this one ended.
const LOOKED_AT_MAX: usize = 2000;
/// Ids that are fetched at once where each MM is looked at.
const WALKED: usize = 256;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The application's name.
    pub application: &'a str,
    /// The webhook that tells it what has come.
    pub webhook: Option<&'a HookName>,
}

impl Whose<'_> {
    fn standing(&self, ledger: &Ledger) -> Option<Standing> {
        shown::standing(ledger, self.application, self.webhook)
    }

    /// An MM of its own has at least one of these words.
    fn words(&self) -> Vec<(Kind, String)> {
        let webhook = self.webhook.map(|hook| (Kind::Webhook, hook.as_str().to_owned()));
        std::iter::once((Kind::Submitter, shown::submitter(self.application))).chain(webhook).collect()
    }
}

/// Some of the MMs.
#[derive(Debug, Default)]
pub struct Page {
    /// Newest first, each with what the application is to it.
    pub messages: Vec<(Ledger, Standing)>,
    /// What the next page comes after, if there may be one.
    pub next: Option<MmId>,
    looked_at: usize,
}

impl Page {
    /// The next MM is looked at. `false`: the page ends before it.
    fn take(&mut self, store: &dyn Store, mm: MmId, whose: Whose<'_>, limit: usize) -> anyhow::Result<bool> {
        if self.looked_at == LOOKED_AT_MAX || self.messages.len() == limit {
            return Ok(false);
        }
        (self.next, self.looked_at) = (Some(mm), self.looked_at + 1);
        if let Some(ledger) = content::ledger(store, mm)?
            && let Some(standing) = whose.standing(&ledger)
        {
            self.messages.push((ledger, standing));
        }
        Ok(true)
    }
}

/// A page of at most `limit` MMs, of those that are older than `after`. Reads files: not for a task that must not block.
///
/// # Errors
/// The store or the index cannot be read.
pub fn page(
    store: &dyn Store,
    search: Option<&Search>,
    whose: Whose<'_>,
    after: Option<MmId>,
    limit: usize,
) -> anyhow::Result<Page> {
    let limit = limit.max(1);
    if let Some(search) = search
        && let Some(page) = indexed(store, search, whose, after, limit)?
    {
        return Ok(page);
    }
    let mut page = Page { next: after, ..Page::default() };
    loop {
        let ids = store.ledgers(page.next, true, WALKED)?;
        if ids.is_empty() {
            page.next = None;
            return Ok(page);
        }
        for mm in ids {
            if !page.take(store, mm, whose, limit)? {
                return Ok(page);
            }
        }
    }
}

/// By the index; `None` when it cannot tell.
fn indexed(
    store: &dyn Store,
    search: &Search,
    whose: Whose<'_>,
    after: Option<MmId>,
    limit: usize,
) -> anyhow::Result<Option<Page>> {
    let words = whose.words();
    let mut page = Page { next: after, ..Page::default() };
    let mut before = after;
    loop {
        // One more than wanted: whether there is a next page is known without asking again.
        let Some(found) = search.any_of(&words, before, limit + 1)? else { return Ok(None) };
        for mm in found.ids {
            if !page.take(store, mm, whose, limit)? {
                return Ok(Some(page));
            }
        }
        if found.next.is_none() {
            page.next = None;
            return Ok(Some(page));
        }
        before = found.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mms::Timestamp;
    use proptest::prelude::*;
    use relay::memory::Memory;
    use relay::store::{Batch, Op};
    use relay::{Noticed, Origin, PeerName, Recipient, RecipientKind, RecipientState};
    use std::sync::Arc;

    fn mm(n: u8) -> MmId {
        MmId::new(1_000_000 + i64::from(n), 0, u64::from(n))
    }

    fn commit(store: &Memory, op: Op) {
        let (done, came) = std::sync::mpsc::channel();
        store.commit(
            Arc::new(Batch { need: Vec::new(), ops: vec![op] }),
            Box::new(move |r| drop(done.send(r))),
        );
        came.recv().unwrap().unwrap();
    }

    /// Whose an MM is: handed in by one of two applications or by a person, or come from a peer; and for which webhooks it
    /// has come.
    fn put(store: &Memory, n: u8, origin: u8, hooks: u8) {
        let at = Timestamp::from_millis(1_000_000 + i64::from(n));
        let by = |by: &str| Origin::Submitted { by: by.into(), hook: None };
        let origin = match origin {
            0 => by(&shown::submitter("shop")),
            1 => by(&shown::submitter("other")),
            2 => by("somebody"),
            _ => Origin::Received { peer: PeerName::new("b"), mail_from: None },
        };
        let mut ledger = Ledger::new(mm(n), origin, at, Timestamp::MAX);
        let party = "+12025550100".parse().unwrap();
        ledger.recipients.push(Recipient::new(party, RecipientKind::To, RecipientState::Stored, at));
        for (bit, name) in [(1, "till"), (2, "door")] {
            if hooks & bit != 0 {
                let hook = HookName::new(name);
                ledger.notices.push(relay::Notice {
                    hook,
                    place: 0,
                    what: Noticed::Arrived,
                    at,
                    entry: None,
                });
            }
        }
        commit(store, Op::PutLedger { id: mm(n), ledger: ledger.encode(), wake: None });
    }

    /// All pages of one way, each as its ids.
    fn pages(store: &Memory, search: Option<&Search>, whose: Whose<'_>, limit: usize) -> Vec<Vec<MmId>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = page(store, search, whose, after, limit).unwrap();
            let ids: Vec<MmId> = page.messages.iter().map(|(ledger, _)| ledger.id).collect();
            assert!(ids.len() <= limit && ids.is_sorted_by(|a, b| a > b), "{ids:?}");
            assert!(after.is_none_or(|after| ids.iter().all(|id| *id < after)), "{ids:?} after {after:?}");
            // There are too few MMs here for a page to end before it is full.
            assert!(page.next.is_none() || ids.len() == limit, "{ids:?}, next {:?}", page.next);
            pages.push(ids);
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    /// What happens between two looks at the list.
    #[derive(Clone, Debug)]
    enum Step {
        /// An MM comes, or changes.
        Put { n: u8, origin: u8, hooks: u8 },
        /// An MM goes, without a word to the index.
        Gone(u8),
        /// The index begins to put in what has changed, and gets no further.
        Begins,
        /// It puts in what has changed.
        Follows,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0u8..40, 0u8..4, 0u8..4).prop_map(|(n, origin, hooks)| Step::Put { n, origin, hooks }),
            1 => (0u8..40).prop_map(Step::Gone),
            1 => Just(Step::Begins),
            2 => Just(Step::Follows),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the index has of it already: the same pages as without one, at any moment.
        #[test]
        fn an_index_changes_no_page(
            before in prop::collection::vec((0u8..40, 0u8..4, 0u8..4), 0..20),
            steps in prop::collection::vec(step(), 0..40),
            limit in 1usize..6,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(Memory::new());
            // Whose an MM is does not change, and what it has come for stays.
            let mut known: std::collections::BTreeMap<u8, (u8, u8)> = std::collections::BTreeMap::new();
            let mut put = |store: &Memory, n: u8, origin: u8, hooks: u8| {
                let known = known.entry(n).or_insert((origin, 0));
                known.1 |= hooks;
                super::tests::put(store, n, known.0, known.1);
            };
            for (n, origin, hooks) in before {
                put(&store, n, origin, hooks);
            }
            let search = Search::by_hand(folder.path(), store.clone());
            for step in steps {
                match step {
                    Step::Put { n, origin, hooks } => {
                        put(&store, n, origin, hooks);
                        search.touch(mm(n));
                    }
                    Step::Gone(n) => commit(&store, Op::RemoveLedger { id: mm(n) }),
                    Step::Begins => search.begin_by_hand(),
                    Step::Follows => search.follow_by_hand(),
                }
                let (till, door) = (HookName::new("till"), HookName::new("door"));
                for (application, webhook) in [("shop", Some(&till)), ("other", Some(&door)), ("other", None)] {
                    let whose = Whose { application, webhook };
                    let walked: Vec<MmId> = pages(&store, None, whose, 50).concat();
                    let indexed = pages(&store, Some(&search), whose, limit);
                    prop_assert_eq!(indexed.concat(), walked);
                }
            }
        }
    }

    /// Changes that it had no room for are not known by name: then each MM is looked at.
    #[test]
    fn an_index_that_cannot_tell_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new());
        let search = Search::by_hand(folder.path(), store.clone());
        let whose = Whose { application: "shop", webhook: None };
        let asked = || search.any_of(&whose.words(), None, 10).unwrap();
        assert_eq!(asked(), Some(store::Found::default()));
        for n in 0..60_000 {
            search.touch(MmId::new(n, 0, 0));
        }
        put(&store, 1, 0, 0);
        search.touch(mm(1));
        assert_eq!(asked(), None);
        assert_eq!(pages(&store, Some(&search), whose, 5), [[mm(1)]]);
    }

    /// Nobody's MMs are looked at for ever: the page ends, and the next one goes on.
    #[test]
    fn a_page_looks_at_so_many() {
        let store = Memory::new();
        for n in 0..=LOOKED_AT_MAX as i64 {
            let id = MmId::new(1_000_000 + n, 0, 0);
            let by = if n == 0 { shown::submitter("shop") } else { "somebody".into() };
            let origin = Origin::Submitted { by, hook: None };
            let ledger = Ledger::new(id, origin, Timestamp::from_millis(n), Timestamp::MAX);
            commit(&store, Op::PutLedger { id, ledger: ledger.encode(), wake: None });
        }
        let whose = Whose { application: "shop", webhook: None };
        let first = page(&store, None, whose, None, 20).unwrap();
        assert_eq!((first.messages.len(), first.next), (0, Some(MmId::new(1_000_001, 0, 0))));
        let second = page(&store, None, whose, first.next, 20).unwrap();
        assert_eq!((second.messages.len(), second.next), (1, None));
    }
}
