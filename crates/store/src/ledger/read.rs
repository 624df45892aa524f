//! Questions to the ledger. Each is one short statement, so that no reader keeps the write-ahead log from shrinking.
//!
//! Owns: the readers' connections. Never knows: the one that writes.

use super::{Id, failure, row_sum, time};
use mms::{MmId, Timestamp};
use relay::store::{
    ContentRef, Entry, EntryId, QueueHead, QueueId, StoreError, StoredLedger, TagKind, Topic,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Result<T> = std::result::Result<T, StoreError>;

/// How many idle connections are kept.
const IDLE_MAX: usize = 8;

/// Connections that only read.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// Ask with a connection of one's own.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(|why| failure(&why))?,
        };
        let answer = ask(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        answer
    }

    /// Close the idle ones.
    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.pragma_update(None, "mmap_size", 0)?;
        Ok(connection)
    }
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let ask = || {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, map)?.collect::<rusqlite::Result<Vec<T>>>();
        #[cfg(test)]
        tests::note(&statement);
        rows
    };
    ask().map_err(|why| failure(&why))
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    let ask = || {
        let mut statement = connection.prepare_cached(sql)?;
        let row = statement.query_row(params, map).optional();
        #[cfg(test)]
        tests::note(&statement);
        row
    };
    ask().map_err(|why| failure(&why))
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

pub(crate) fn ledger(connection: &Connection, id: MmId) -> Result<Option<StoredLedger>> {
    let sql = "SELECT version, wake, content_len, content, sum, ledger FROM mm WHERE id = ?";
    let found = one(connection, sql, [Id::of(id)], |row| {
        let content = match (row.get(2)?, row.get_ref(3)?.as_blob_or_null()?) {
            (Some(len), Some(locator)) => Some(ContentRef { len, locator: locator.into() }),
            _ => None,
        };
        let ledger = row.get_ref(5)?.as_blob()?.to_vec();
        let wake = row.get::<_, Option<i64>>(1)?.map(time);
        Ok((StoredLedger { version: row.get(0)?, ledger, content, wake }, row.get::<_, u32>(4)?))
    })?;
    match found {
        Some((stored, _)) if stored.version == 0 => Ok(None),
        Some((stored, sum)) if row_sum(id, stored.version, &stored.ledger) != sum => {
            Err(StoreError::Corrupt(format!("the ledger of MM {id} fails its checksum")))
        }
        found => Ok(found.map(|(stored, _)| stored)),
    }
}

pub(crate) fn once(connection: &Connection, key: &[u8]) -> Result<Option<Vec<u8>>> {
    one(connection, "SELECT value FROM once WHERE key = ?", [key], |row| row.get(0))
}

/// One look into each queue, however deep it is.
pub(crate) fn queues(connection: &Connection) -> Result<Vec<QueueHead>> {
    let sql = "SELECT name, (SELECT min(due) FROM entry WHERE queue = number) AS head FROM queue \
               WHERE head IS NOT NULL ORDER BY name";
    all(connection, sql, [], |row| {
        Ok(QueueHead { queue: QueueId::new(row.get_ref(0)?.as_str()?), due: time(row.get(1)?) })
    })
}

/// The number by which rows call a queue.
pub(super) fn queue_number(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT number FROM queue WHERE name = ?")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

pub(crate) fn entries(
    connection: &Connection,
    queue: &QueueId,
    after: Option<&Entry>,
    max: usize,
) -> Result<Vec<Entry>> {
    let Some(number) = queue_number(connection, &queue.0).map_err(|why| failure(&why))? else {
        return Ok(Vec::new());
    };
    let map = |row: &Row<'_>| {
        let id = EntryId { queue: queue.clone(), mm: row.get::<_, Id>(1)?.mm(), part: row.get(2)? };
        Ok(Entry { id, due: time(row.get(0)?), attempt: row.get(3)? })
    };
    match after {
        None => {
            let sql =
                "SELECT due, mm, part, attempt FROM entry WHERE queue = ? ORDER BY due, mm, part LIMIT ?";
            all(connection, sql, params![number, limit(max)], map)
        }
        Some(Entry { id, due, .. }) => {
            let sql = "SELECT due, mm, part, attempt FROM entry WHERE queue = ? AND (due, mm, part) > (?, ?, ?) \
                       ORDER BY due, mm, part LIMIT ?";
            all(connection, sql, params![number, due.millis(), Id::of(id.mm), id.part, limit(max)], map)
        }
    }
}

pub(crate) fn depth(connection: &Connection, queue: &QueueId, max: u64) -> Result<u64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM entry \
               WHERE queue = (SELECT number FROM queue WHERE name = ?) LIMIT ?)";
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    Ok(one(connection, sql, params![&*queue.0, max], |row| row.get(0))?.unwrap_or(0))
}

pub(crate) fn wakes(
    connection: &Connection,
    after: Option<(Timestamp, MmId)>,
    max: usize,
) -> Result<Vec<(Timestamp, MmId)>> {
    let map = |row: &Row<'_>| Ok((time(row.get(0)?), row.get::<_, Id>(1)?.mm()));
    match after {
        None => {
            let sql = "SELECT wake, id FROM mm WHERE wake IS NOT NULL ORDER BY wake, id LIMIT ?";
            all(connection, sql, [limit(max)], map)
        }
        Some((wake, id)) => {
            let sql = "SELECT wake, id FROM mm WHERE wake IS NOT NULL AND (wake, id) > (?, ?) \
                       ORDER BY wake, id LIMIT ?";
            all(connection, sql, params![wake.millis(), Id::of(id), limit(max)], map)
        }
    }
}

pub(crate) fn ledgers(
    connection: &Connection,
    after: Option<MmId>,
    newest_first: bool,
    max: usize,
) -> Result<Vec<MmId>> {
    let map = |row: &Row<'_>| Ok(row.get::<_, Id>(0)?.mm());
    let max = limit(max);
    match (after.map(Id::of), newest_first) {
        (None, false) => {
            all(connection, "SELECT id FROM mm WHERE version > 0 ORDER BY id LIMIT ?", [max], map)
        }
        (None, true) => {
            all(connection, "SELECT id FROM mm WHERE version > 0 ORDER BY id DESC LIMIT ?", [max], map)
        }
        (Some(id), false) => {
            let sql = "SELECT id FROM mm WHERE version > 0 AND id > ? ORDER BY id LIMIT ?";
            all(connection, sql, params![id, max], map)
        }
        (Some(id), true) => {
            let sql = "SELECT id FROM mm WHERE version > 0 AND id < ? ORDER BY id DESC LIMIT ?";
            all(connection, sql, params![id, max], map)
        }
    }
}

pub(crate) fn tagged(
    connection: &Connection,
    kind: TagKind,
    value: Option<&str>,
    after: Option<&(String, MmId)>,
    max: usize,
) -> Result<Vec<(String, MmId)>> {
    let map = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, Id>(1)?.mm()));
    // Before every tag: no value is smaller than the empty one, and the id 0 with it does not occur.
    let first = (String::new(), MmId::from_bits(0));
    let (kind, max) = (kind as u8, limit(max));
    match (value, after) {
        (None, None) => {
            let sql = "SELECT value, mm FROM tag WHERE kind = ? ORDER BY value, mm LIMIT ?";
            all(connection, sql, params![kind, max], map)
        }
        (None, Some((from, id))) => {
            let sql = "SELECT value, mm FROM tag WHERE kind = ? AND (value, mm) > (?, ?) \
                       ORDER BY value, mm LIMIT ?";
            all(connection, sql, params![kind, from, Id::of(*id), max], map)
        }
        (Some(value), after) => {
            let from = after.unwrap_or(&first);
            let (sql, id) = match from.0.as_str().cmp(value) {
                std::cmp::Ordering::Greater => return Ok(Vec::new()),
                std::cmp::Ordering::Equal if after.is_some() => (
                    "SELECT value, mm FROM tag WHERE kind = ? AND value = ? AND mm > ? ORDER BY mm LIMIT ?",
                    from.1,
                ),
                _ => (
                    "SELECT value, mm FROM tag WHERE kind = ? AND value = ? AND mm >= ? ORDER BY mm LIMIT ?",
                    first.1,
                ),
            };
            all(connection, sql, params![kind, value, Id::of(id), max], map)
        }
    }
}

pub(crate) fn drain(
    connection: &Connection,
    topic: Topic,
    after: u64,
    max: usize,
) -> Result<Vec<(u64, Vec<u8>)>> {
    let sql = "SELECT number, data FROM outbox WHERE topic = ? AND number > ? ORDER BY number LIMIT ?";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    all(connection, sql, params![topic as u8, after, limit(max)], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// (offset, length) of what lives in a segment, in order.
pub(crate) fn extents(connection: &Connection, segment: u32) -> Result<Vec<(u64, u64)>> {
    let sql = "SELECT start, len FROM extent WHERE segment = ? ORDER BY start";
    all(connection, sql, [segment], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A part of a segment that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) segment: u32,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// Copy the ledger, as it is at this moment, into a new file.
pub(crate) fn copy(connection: &Connection, to: &Path) -> Result<()> {
    let name = to.to_str().ok_or_else(|| {
        StoreError::Unavailable(format!(
            "{} is not UTF-8, which the ledger's file name must be",
            to.display()
        ))
    })?;
    connection.execute("VACUUM INTO ?", [name]).map(drop).map_err(|why| failure(&why))
}

/// How many MMs a ledger that nobody else uses has, and what lives of segments, in order.
pub(crate) fn living(path: &Path) -> Result<(u64, Vec<Extent>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|why| failure(&why))?;
    let mms = one(&connection, "SELECT count(*) FROM mm WHERE version > 0", [], |row| row.get(0))?;
    // Two MMs may share a part.
    let sql = "SELECT segment, start, max(len) FROM extent GROUP BY segment, start ORDER BY segment, start";
    let extents = all(&connection, sql, [], |row| {
        Ok(Extent { segment: row.get(0)?, start: row.get(1)?, len: row.get(2)? })
    })?;
    Ok((mms.unwrap_or(0), extents))
}

/// What SQLite finds wrong.
pub(crate) fn check(connection: &Connection) -> Result<Vec<String>> {
    let mut found: Vec<String> = all(connection, "PRAGMA integrity_check", [], |row| row.get(0))?;
    found.retain(|line| line != "ok");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::schema;
    use rusqlite::{Statement, StatementStatus};
    use std::cell::Cell;

    thread_local! {
        /// The most steps that a statement took, and all sorts.
        static COST: Cell<(i32, i32)> = const { Cell::new((0, 0)) };
    }

    pub(super) fn note(statement: &Statement<'_>) {
        let (steps, sorts) = COST.get();
        let steps = steps.max(statement.reset_status(StatementStatus::VmStep));
        COST.set((steps, sorts + statement.reset_status(StatementStatus::Sort)));
    }

    const ENTRIES: i64 = 20_000;

    /// A ledger with two deep queues, many MMs that wake, many tags and records.
    fn deep(folder: &std::path::Path) -> Connection {
        let connection = schema::open(&folder.join("store.db"), &Default::default()).unwrap().connection;
        let numbers = format!(
            "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < {})",
            ENTRIES - 1
        );
        let id = "unhex(printf('%032x', n))";
        let fill = [
            "BEGIN".to_owned(),
            "INSERT INTO queue VALUES (1, 'a.example'), (2, 'b.example'), (3, 'c.example')".to_owned(),
            format!("INSERT INTO entry {numbers} SELECT 1 + n % 2, 100, {id}, 0, 0 FROM number"),
            format!(
                "INSERT INTO mm(id, version, wake, sum, ledger) {numbers} SELECT {id}, 1, 100, 0, x'' FROM number"
            ),
            format!(
                "INSERT INTO tag {numbers} SELECT 1, printf('+1202555%04d', 100 + n / 15000), {id} FROM number"
            ),
            format!("INSERT INTO outbox {numbers} SELECT 1, n + 1, x'' FROM number"),
            "COMMIT".to_owned(),
        ];
        fill.iter().for_each(|sql| connection.execute_batch(sql).unwrap());
        connection
    }

    #[test]
    fn a_page_costs_the_same_however_deep_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let connection = deep(folder.path());
        let queue = QueueId::new("a.example");
        let mm = MmId::from_bits(10_000);
        let id = EntryId { queue: queue.clone(), mm, part: 0 };
        let after = Entry { id, due: time(100), attempt: 0 };
        let tag = ("+12025550100".to_owned(), mm);

        assert_eq!(entries(&connection, &queue, None, 10).unwrap().len(), 10);
        assert_eq!(entries(&connection, &queue, Some(&after), 10).unwrap()[0].id.mm, MmId::from_bits(10_002));
        assert_eq!(queues(&connection).unwrap().len(), 2);
        assert_eq!(depth(&connection, &queue, 10), Ok(10));
        assert_eq!(wakes(&connection, None, 10).unwrap().len(), 10);
        assert_eq!(wakes(&connection, Some((time(100), mm)), 10).unwrap()[0].1, MmId::from_bits(10_001));
        for newest_first in [false, true] {
            assert_eq!(ledgers(&connection, None, newest_first, 10).unwrap().len(), 10);
            assert_eq!(ledgers(&connection, Some(mm), newest_first, 10).unwrap().len(), 10);
        }
        for (value, after) in
            [(None, None), (None, Some(&tag)), (Some(&*tag.0), None), (Some(&*tag.0), Some(&tag))]
        {
            assert_eq!(tagged(&connection, TagKind::Mailbox, value, after, 10).unwrap().len(), 10);
        }
        assert_eq!(drain(&connection, Topic::Charging, 10_000, 10).unwrap().len(), 10);
        let (steps, sorts) = COST.get();
        assert!(steps < 600, "a page of ten took {steps} steps of SQLite's machine");
        assert_eq!(sorts, 0, "something was sorted that an index has in order");
    }
}
