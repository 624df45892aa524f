//! How a batch becomes rows.
//!
//! Owns: what a transaction under way has changed beside its rows. Never knows: when it is committed, or for whom.
//!
//! A row of `mm` is read once and written once for each batch, whatever the ops say of it. When a statement fails, the
//! whole transaction is rolled back by the caller, and this [`Group`] with it.

use super::read::queue_number;
use super::{Id, failure, row_sum};
use crate::content::{Log, Place, Segment};
use mms::{MmId, Timestamp};
use relay::store::{Batch, ContentRef, Entry, Need, Op, Outcome, QueueId, StoreError, Topic};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a batch did not get through.
pub(crate) enum Broken {
    /// SQLite's word: the transaction must be rolled back.
    Ledger(rusqlite::Error),
    /// Ours, before anything was changed.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Broken {
    fn from(why: rusqlite::Error) -> Self {
        Self::Ledger(why)
    }
}

type Result<T> = std::result::Result<T, Broken>;

/// A group of batches under way, within a transaction.
pub(crate) struct Group<'a> {
    connection: &'a Connection,
    /// `None` while what the journal has is put into the ledger: then the log is not open yet, and nothing is asked of it.
    log: Option<&'a Log>,
    /// Queues by name, those included that this transaction made.
    queues: HashMap<Arc<str>, i64>,
    /// The last number in each topic that was touched.
    topics: BTreeMap<Topic, u64>,
    /// Living octets of the segments that changed: (generation, octets).
    segments: BTreeMap<u32, (u64, i64)>,
    /// By how much what lives in somebody's name has changed.
    owners: HashMap<Arc<str>, i64>,
    /// Keeps the segments of new content until the transaction is over.
    pins: Vec<Arc<Segment>>,
}

/// One row of `mm`, as a batch sees it.
struct Mm {
    id: MmId,
    row: Option<i64>,
    version: u32,
    content: Option<ContentRef>,
    /// Written by this batch: the ledger and the wake.
    ledger: Option<(usize, Option<Timestamp>)>,
    content_changed: bool,
    removed: bool,
}

impl<'a> Group<'a> {
    /// `queues` may be what an earlier, committed group learned.
    pub(crate) fn new(
        connection: &'a Connection,
        log: Option<&'a Log>,
        queues: HashMap<Arc<str>, i64>,
    ) -> Self {
        let (topics, segments) = (BTreeMap::new(), BTreeMap::new());
        let (owners, pins) = (HashMap::new(), Vec::new());
        Self { connection, log, queues, topics, segments, owners, pins }
    }

    /// Apply ops whose needs were met when the journal took them.
    pub(crate) fn repeat(&mut self, ops: &[Op]) -> Result<()> {
        let places = ops.iter().filter_map(|op| match op {
            Op::KeepContent { content, .. } => Some(Place::parse(content)),
            _ => None,
        });
        let lost =
            || Broken::Refused(StoreError::Corrupt("the journal names a place that cannot be read".into()));
        let places = places.collect::<Option<Vec<_>>>().ok_or_else(lost)?;
        self.carry_out(Vec::new(), ops, places)
    }

    fn carry_out(&mut self, mut mms: Vec<Mm>, ops: &[Op], places: Vec<Place>) -> Result<()> {
        let mut kept = places.into_iter();
        for (index, op) in ops.iter().enumerate() {
            self.apply_op(op, index, &mut mms, &mut kept)?;
        }
        for mm in mms {
            self.write_mm(mm, ops)?;
        }
        Ok(())
    }

    /// Judge the needs; if they hold, apply the ops.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<Outcome> {
        let mut mms = Vec::new();
        if let Some(unmet) = self.unmet(&batch.need, &mut mms)? {
            return Ok(unmet);
        }
        let places = self.pin(&batch.ops)?;
        for need in &batch.need {
            if let Need::Once { key, value, keep_until } = need {
                self.remember(key, value, *keep_until)?;
            }
        }
        self.carry_out(mms, &batch.ops, places)?;
        Ok(Outcome::Done)
    }

    fn unmet(&self, needs: &[Need], mms: &mut Vec<Mm>) -> Result<Option<Outcome>> {
        let mut used = Vec::new();
        for need in needs {
            if let Need::Once { key, .. } = need {
                let mut once = self.connection.prepare_cached("SELECT value FROM once WHERE key = ?")?;
                let value = once.query_row([key], |row| row.get(0)).optional()?;
                used.extend(value.map(|value| (key.clone(), value)));
            }
        }
        if !used.is_empty() {
            return Ok(Some(Outcome::Duplicates(used)));
        }
        for need in needs {
            match need {
                Need::Version { id, version } if self.mm(mms, *id)?.version != *version => {
                    return Ok(Some(Outcome::Stale(*id)));
                }
                Need::Held(entry) if !self.held(entry)? => return Ok(Some(Outcome::Lost(entry.clone()))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Make sure that all content that the batch keeps is there, and stays there.
    fn pin(&mut self, ops: &[Op]) -> Result<Vec<Place>> {
        let lives = |segment: u32, start: u64| {
            let sql = "SELECT 1 FROM extent WHERE segment = ? AND start = ? LIMIT 1";
            let ask = || self.connection.prepare_cached(sql)?.exists(params![segment, start]);
            ask().map_err(|why: rusqlite::Error| failure(&why))
        };
        let mut places = Vec::new();
        for op in ops {
            if let Op::KeepContent { content, .. } = op {
                let Some(log) = self.log else { continue };
                let (place, pins) = log.pin(content, lives).map_err(Broken::Refused)?;
                places.push(place);
                self.pins.extend(pins);
            }
        }
        Ok(places)
    }

    fn apply_op(
        &mut self,
        op: &Op,
        index: usize,
        mms: &mut Vec<Mm>,
        kept: &mut impl Iterator<Item = Place>,
    ) -> Result<()> {
        match op {
            Op::PutLedger { id, wake, .. } => {
                let mm = self.mm(mms, *id)?;
                mm.version += 1;
                mm.ledger = Some((index, *wake));
                mm.removed = false;
            }
            Op::RemoveLedger { id } => {
                self.drop_content(mms, *id)?;
                let mm = self.mm(mms, *id)?;
                (mm.version, mm.ledger, mm.removed) = (0, None, true);
                self.connection.prepare_cached("DELETE FROM tag WHERE mm = ?")?.execute([Id::of(*id)])?;
                self.connection.prepare_cached("DELETE FROM entry WHERE mm = ?")?.execute([Id::of(*id)])?;
            }
            Op::KeepContent { id, content, owner } => {
                self.drop_content(mms, *id)?;
                let place = kept.next().unwrap_or_else(|| unreachable!("one place for each KeepContent"));
                self.count(&place, *id, Some(owner))?;
                let mm = self.mm(mms, *id)?;
                (mm.content, mm.content_changed) = (Some(content.clone()), true);
            }
            Op::DropContent { id } => self.drop_content(mms, *id)?,
            Op::Enqueue(entry) => self.enqueue(entry)?,
            Op::Ack(entry) => self.ack(entry)?,
            Op::Retry { entry, due } => {
                if self.remove_exactly(entry, true)? {
                    let attempt = entry.attempt.saturating_add(1);
                    self.enqueue(&Entry { due: *due, attempt, ..entry.clone() })?;
                }
            }
            Op::Remember { key, value, keep_until } => self.remember(key, value, *keep_until)?,
            Op::PutTag { id, tag } => {
                let sql = "INSERT OR IGNORE INTO tag(kind, value, mm) VALUES (?, ?, ?)";
                self.connection.prepare_cached(sql)?.execute(params![
                    tag.kind as u8,
                    tag.value,
                    Id::of(*id)
                ])?;
            }
            Op::RemoveTag { id, tag } => {
                let sql = "DELETE FROM tag WHERE kind = ? AND value = ? AND mm = ?";
                self.connection.prepare_cached(sql)?.execute(params![
                    tag.kind as u8,
                    tag.value,
                    Id::of(*id)
                ])?;
            }
            Op::Emit { topic, data } => {
                let number = self.last(*topic)? + 1;
                let sql = "INSERT INTO outbox(topic, number, data) VALUES (?, ?, ?)";
                self.connection.prepare_cached(sql)?.execute(params![*topic as u8, number, data])?;
                self.topics.insert(*topic, number);
            }
        }
        Ok(())
    }

    /// The row, read when the batch first asks for it.
    fn mm<'m>(&self, mms: &'m mut Vec<Mm>, id: MmId) -> Result<&'m mut Mm> {
        let at = match mms.iter().position(|mm| mm.id == id) {
            Some(at) => at,
            None => {
                let sql = "SELECT row, version, content_len, content FROM mm WHERE id = ?";
                let mut statement = self.connection.prepare_cached(sql)?;
                let found = statement.query_row([Id::of(id)], |row| {
                    let content = match (row.get(2)?, row.get_ref(3)?.as_blob_or_null()?) {
                        (Some(len), Some(locator)) => Some(ContentRef { len, locator: locator.into() }),
                        _ => None,
                    };
                    Ok((row.get(0)?, row.get(1)?, content))
                });
                let (row, version, content) = match found.optional()? {
                    Some((row, version, content)) => (Some(row), version, content),
                    None => (None, 0, None),
                };
                let ledger = None;
                mms.push(Mm { id, row, version, content, ledger, content_changed: false, removed: false });
                mms.len() - 1
            }
        };
        Ok(&mut mms[at])
    }

    fn write_mm(&self, mm: Mm, ops: &[Op]) -> Result<()> {
        let id = Id::of(mm.id);
        let (len, locator) = match &mm.content {
            Some(content) => (Some(content.len), Some(&*content.locator)),
            None => (None, None),
        };
        // With version 0 and content there is a row as well, with an empty ledger.
        let gone = mm.version == 0 && mm.content.is_none();
        let (ledger, wake): (&[u8], _) = match mm.ledger {
            Some((index, wake)) => match &ops[index] {
                Op::PutLedger { ledger, .. } => (ledger, wake.map(Timestamp::millis)),
                _ => unreachable!("the index of a PutLedger"),
            },
            None => (&[], None),
        };
        let sum = row_sum(mm.id, mm.version, ledger);
        match mm.row {
            Some(row) if gone => {
                self.connection.prepare_cached("DELETE FROM mm WHERE row = ?")?.execute([row])?;
            }
            Some(row) if mm.ledger.is_some() || mm.removed => {
                if mm.content_changed {
                    let sql = "UPDATE mm SET version = ?, wake = ?, content_len = ?, content = ?, sum = ?, ledger = ? \
                               WHERE row = ?";
                    let mut update = self.connection.prepare_cached(sql)?;
                    update.execute(params![mm.version, wake, len, locator, sum, ledger, row])?;
                } else {
                    let sql = "UPDATE mm SET version = ?, wake = ?, sum = ?, ledger = ? WHERE row = ?";
                    let mut update = self.connection.prepare_cached(sql)?;
                    update.execute(params![mm.version, wake, sum, ledger, row])?;
                }
            }
            Some(row) if mm.content_changed => {
                let sql = "UPDATE mm SET content_len = ?, content = ? WHERE row = ?";
                self.connection.prepare_cached(sql)?.execute(params![len, locator, row])?;
            }
            None if !gone => {
                let sql = "INSERT INTO mm(id, version, wake, content_len, content, sum, ledger) \
                           VALUES (?, ?, ?, ?, ?, ?, ?)";
                let mut insert = self.connection.prepare_cached(sql)?;
                insert.execute(params![id, mm.version, wake, len, locator, sum, ledger])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn drop_content(&mut self, mms: &mut Vec<Mm>, id: MmId) -> Result<()> {
        let mm = self.mm(mms, id)?;
        let Some(content) = mm.content.take() else { return Ok(()) };
        mm.content_changed = true;
        match Place::parse(&content) {
            Some(place) => {
                self.log.inspect(|log| log.forget_recent(place.content));
                self.count(&place, id, None)
            }
            None => {
                tracing::error!(%id, "the place of a dropped content cannot be read; its room is not freed");
                Ok(())
            }
        }
    }

    /// Count the octets of a content in its segments, as kept in somebody's name, or as dropped.
    fn count(&mut self, place: &Place, id: MmId, kept_by: Option<&Arc<str>>) -> Result<()> {
        let sign = if kept_by.is_some() { 1 } else { -1 };
        for (run, len) in place.extents() {
            let owner: Option<Arc<str>> = if let Some(owner) = kept_by {
                let sql =
                    "INSERT OR REPLACE INTO extent(segment, start, mm, len, owner) VALUES (?, ?, ?, ?, ?)";
                let mut insert = self.connection.prepare_cached(sql)?;
                insert.execute(params![run.segment, run.offset, Id::of(id), len, &**owner])?;
                Some(owner.clone())
            } else {
                let sql = "DELETE FROM extent WHERE segment = ? AND start = ? AND mm = ? RETURNING owner";
                let mut delete = self.connection.prepare_cached(sql)?;
                let named = params![run.segment, run.offset, Id::of(id)];
                delete.query_row(named, |row| row.get(0)).optional()?
            };
            if let Some(owner) = owner.filter(|owner| !owner.is_empty()) {
                *self.owners.entry(owner).or_default() += sign * len as i64;
            }
            let counted = self.segments.entry(run.segment).or_insert((run.generation, 0));
            // Only in a journal that is read again can a segment die and live anew within one group.
            counted.0 = counted.0.max(run.generation);
            counted.1 += sign * len as i64;
        }
        Ok(())
    }

    fn remember(&self, key: &[u8], value: &[u8], keep_until: Timestamp) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO once(key, keep_until, value) VALUES (?, ?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![key, keep_until.millis(), value])?;
        Ok(())
    }

    fn queue(&mut self, queue: &QueueId) -> Result<Option<i64>> {
        if let Some(number) = self.queues.get(&queue.0) {
            return Ok(Some(*number));
        }
        let number = queue_number(self.connection, &queue.0)?;
        if let Some(number) = number {
            self.queues.insert(queue.0.clone(), number);
        }
        Ok(number)
    }

    fn enqueue(&mut self, entry: &Entry) -> Result<()> {
        let queue = match self.queue(&entry.id.queue)? {
            Some(number) => number,
            None => {
                let name = &entry.id.queue.0;
                self.connection.prepare_cached("INSERT INTO queue(name) VALUES (?)")?.execute([&**name])?;
                let number = self.connection.last_insert_rowid();
                self.queues.insert(name.clone(), number);
                number
            }
        };
        // The unique index of names makes this replace an entry of the same name, wherever it is due.
        let sql = "INSERT OR REPLACE INTO entry(queue, due, mm, part, attempt) VALUES (?, ?, ?, ?, ?)";
        let mut insert = self.connection.prepare_cached(sql)?;
        insert.execute(params![
            queue,
            entry.due.millis(),
            Id::of(entry.id.mm),
            entry.id.part,
            entry.attempt
        ])?;
        Ok(())
    }

    fn held(&self, entry: &Entry) -> Result<bool> {
        let queue = match self.queues.get(&entry.id.queue.0) {
            Some(number) => *number,
            None => match queue_number(self.connection, &entry.id.queue.0)? {
                Some(number) => number,
                None => return Ok(false),
            },
        };
        let sql = "SELECT 1 FROM entry WHERE queue = ? AND due = ? AND mm = ? AND part = ? AND attempt = ?";
        let Entry { id, due, attempt } = entry;
        let found = self.connection.prepare_cached(sql)?.exists(params![
            queue,
            due.millis(),
            Id::of(id.mm),
            id.part,
            attempt
        ])?;
        Ok(found)
    }

    fn ack(&mut self, entry: &Entry) -> Result<()> {
        if self.remove_exactly(entry, false)? {
            return Ok(());
        }
        // It was moved since: find it by name.
        if let Some(queue) = self.queue(&entry.id.queue)? {
            let sql = "DELETE FROM entry WHERE mm = ? AND queue = ? AND part = ?";
            self.connection.prepare_cached(sql)?.execute(params![
                Id::of(entry.id.mm),
                queue,
                entry.id.part
            ])?;
        }
        Ok(())
    }

    /// Remove the entry if it is due then, and (if asked) at that attempt.
    fn remove_exactly(&mut self, Entry { id, due, attempt }: &Entry, at_attempt: bool) -> Result<bool> {
        let Some(queue) = self.queue(&id.queue)? else { return Ok(false) };
        let mm = Id::of(id.mm);
        let removed = if at_attempt {
            let sql = "DELETE FROM entry WHERE queue = ? AND due = ? AND mm = ? AND part = ? AND attempt = ?";
            let mut delete = self.connection.prepare_cached(sql)?;
            delete.execute(params![queue, due.millis(), mm, id.part, attempt])?
        } else {
            let sql = "DELETE FROM entry WHERE queue = ? AND due = ? AND mm = ? AND part = ?";
            let mut delete = self.connection.prepare_cached(sql)?;
            delete.execute(params![queue, due.millis(), mm, id.part])?
        };
        Ok(removed > 0)
    }

    fn last(&self, topic: Topic) -> Result<u64> {
        if let Some(last) = self.topics.get(&topic) {
            return Ok(*last);
        }
        let mut statement = self.connection.prepare_cached("SELECT last FROM topic WHERE topic = ?")?;
        Ok(statement.query_row([topic as u8], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// Write what is written once for the whole transaction. Then it may be committed.
    pub(crate) fn close(self) -> rusqlite::Result<Closed> {
        for (topic, last) in &self.topics {
            let sql = "INSERT OR REPLACE INTO topic(topic, last) VALUES (?, ?)";
            self.connection.prepare_cached(sql)?.execute(params![*topic as u8, last])?;
        }
        let mut living = Vec::with_capacity(self.segments.len());
        for (id, (generation, change)) in self.segments {
            // A segment whose file was lost is not there; nor is its count.
            let Some(segment) = self.log.and_then(|log| log.segment(id, generation)) else {
                match self.log {
                    Some(_) => continue,
                    None => recount(self.connection, id, generation)?,
                }
                continue;
            };
            let live = segment.live.load(Ordering::Relaxed).saturating_add_signed(change);
            let sql = "INSERT OR REPLACE INTO segment(id, generation, live) VALUES (?, ?, ?)";
            self.connection.prepare_cached(sql)?.execute(params![id, generation, live])?;
            living.push((segment, live));
        }
        Ok(Closed { queues: self.queues, living, owners: self.owners, _pins: self.pins })
    }
}

/// Count what lives in a segment from what is known of its parts.
fn recount(connection: &Connection, id: u32, generation: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO segment(id, generation, live) VALUES (?1, ?2, \
               (SELECT coalesce(sum(len), 0) FROM extent WHERE segment = ?1))";
    connection.prepare_cached(sql)?.execute(params![id, generation]).map(drop)
}

/// Note in the ledger how far it follows the journal.
pub(crate) fn follow(connection: &Connection, sequence: u64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO fact(name, value) VALUES ('journal', ?)";
    connection.prepare_cached(sql)?.execute([sequence]).map(drop)
}

/// Change something, so that a commit has something to flush.
pub(crate) fn mark(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT INTO fact(name, value) VALUES ('marks', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// How far the ledger follows the journal.
pub(crate) fn followed(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare("SELECT value FROM fact WHERE name = 'journal'")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Put groups of the journal into the ledger, those that it does not have yet, within the transaction that is open.
///
/// Returns the sequence of the last one.
pub(crate) fn repeat(connection: &Connection, groups: &[(u64, Vec<Op>)]) -> std::result::Result<u64, Broken> {
    let mut last = followed(connection)?;
    let mut group = Group::new(connection, None, HashMap::new());
    let first = last;
    for (sequence, ops) in groups.iter().filter(|(sequence, _)| *sequence > first) {
        if *sequence != last + 1 {
            let why = format!("the ledger is at {last} of the journal, which begins at {sequence}");
            return Err(Broken::Refused(StoreError::Corrupt(why)));
        }
        group.repeat(ops)?;
        last = *sequence;
    }
    group.close()?;
    follow(connection, last)?;
    Ok(last)
}

/// What becomes true with the commit.
pub(crate) struct Closed {
    pub(crate) queues: HashMap<Arc<str>, i64>,
    living: Vec<(Arc<Segment>, u64)>,
    owners: HashMap<Arc<str>, i64>,
    _pins: Vec<Arc<Segment>>,
}

impl Closed {
    /// The commit is durable.
    pub(crate) fn committed(self, log: &Log) -> HashMap<Arc<str>, i64> {
        log.owners.change(self.owners);
        for (segment, live) in &self.living {
            segment.live.store(*live, Ordering::Release);
        }
        self.queues
    }
}

/// Forget records of an outbox.
pub(crate) fn trim(connection: &Connection, topic: Topic, up_to: u64) -> rusqlite::Result<()> {
    let up_to = i64::try_from(up_to).unwrap_or(i64::MAX);
    let sql = "DELETE FROM outbox WHERE topic = ? AND number <= ?";
    connection.prepare_cached(sql)?.execute(params![topic as u8, up_to])?;
    Ok(())
}

/// Forget keys whose time is over, at most `max`. Returns how many.
pub(crate) fn forget_keys(connection: &Connection, now: Timestamp, max: usize) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM once WHERE key IN \
               (SELECT key FROM once WHERE keep_until <= ? ORDER BY keep_until LIMIT ?)";
    connection.prepare_cached(sql)?.execute(params![now.millis(), max as i64])
}

/// Forget segments that were removed.
pub(crate) fn forget_segments(connection: &Connection, ids: &[u32]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM segment WHERE id = ? AND live = 0")?;
    for id in ids {
        delete.execute([id])?;
    }
    Ok(())
}
