//! The tables, and how an older ledger becomes a newer one.
//!
//! Owns: opening the ledger file. Migrations only go forward, each in one transaction with its number, so a crash
//! leaves the schema from before it or after it.

use super::Broken;
use crate::content::OldSegment;
use crate::journal::Recorded;
use crate::options::OpenError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// "Beln": says whose database this is.
pub(crate) const APPLICATION: i32 = 0x4265_6c6e;

/// What must run, in order, to bring a ledger from schema n to n + 1.
const MIGRATIONS: [&str; 2] = [FIRST, SECOND];

/// Rows of `mm` are big, so that table has a row number and an index; all others are small and clustered by what they
/// are looked up with.
const FIRST: &str = "
    -- Facts about this store: 'run' counts openings.
    CREATE TABLE fact(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;

    -- One MM. version 0: content, but no ledger yet. sum: crc32c of id, version and ledger.
    CREATE TABLE mm(
        row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, wake INTEGER,
        content_len INTEGER, content BLOB, sum INTEGER NOT NULL, ledger BLOB NOT NULL
    ) STRICT;
    CREATE INDEX mm_wake ON mm(wake, id) WHERE wake IS NOT NULL;

    -- Segments of the content log with octets that live in them.
    CREATE TABLE segment(id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, live INTEGER NOT NULL) STRICT;
    -- Which parts of them live, and for whom.
    CREATE TABLE extent(
        segment INTEGER NOT NULL, start INTEGER NOT NULL, mm BLOB NOT NULL, len INTEGER NOT NULL,
        PRIMARY KEY(segment, start, mm)
    ) WITHOUT ROWID, STRICT;

    CREATE TABLE queue(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE entry(
        queue INTEGER NOT NULL, due INTEGER NOT NULL, mm BLOB NOT NULL, part INTEGER NOT NULL,
        attempt INTEGER NOT NULL, PRIMARY KEY(queue, due, mm, part)
    ) WITHOUT ROWID, STRICT;
    -- At most one entry has a name.
    CREATE UNIQUE INDEX entry_name ON entry(mm, queue, part);

    -- Keys used once, and the answer to those who use them again.
    CREATE TABLE once(key BLOB PRIMARY KEY, keep_until INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
    CREATE INDEX once_keep ON once(keep_until);

    CREATE TABLE tag(
        kind INTEGER NOT NULL, value TEXT NOT NULL, mm BLOB NOT NULL, PRIMARY KEY(kind, value, mm)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX tag_mm ON tag(mm);

    CREATE TABLE outbox(
        topic INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(topic, number)
    ) WITHOUT ROWID, STRICT;
    -- The last number given in each topic, also when all records were trimmed.
    CREATE TABLE topic(topic INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
";

/// In whose name content lives.
const SECOND: &str = "ALTER TABLE extent ADD COLUMN owner TEXT NOT NULL DEFAULT '';";

/// What a store finds when it opens.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// How often the folder was opened, this time included.
    pub(crate) run: u64,
    pub(crate) segments: Vec<OldSegment>,
    /// Octets that live in somebody's name.
    pub(crate) owners: HashMap<Arc<str>, i64>,
    /// How far it follows the journal.
    pub(crate) sequence: u64,
}

/// Open the ledger for writing; create it or bring it up to date if need be, with what only the journal has so far.
pub(crate) fn open(path: &Path, recorded: &Recorded) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < 3_051_003 {
        return Err(OpenError::Library { found: rusqlite::version().into() });
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let ledger = |why| OpenError::Ledger { path: path.to_owned(), why };
    let mut connection = Connection::open_with_flags(path, flags).map_err(ledger)?;
    claim(&connection, path)?;
    prepare(&connection).map_err(ledger)?;
    migrate(&mut connection, path)?;
    let sequence = catch_up(&mut connection, path, recorded)?;
    let (run, segments) = enter(&connection).map_err(ledger)?;
    let owners = owners(&connection).map_err(ledger)?;
    Ok(Opened { connection, run, segments, owners, sequence })
}

/// Put into the ledger what was durable in the journal only.
fn catch_up(connection: &mut Connection, path: &Path, recorded: &Recorded) -> Result<u64, OpenError> {
    let ledger = |why| OpenError::Ledger { path: path.to_owned(), why };
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(ledger)?;
    let sequence = super::repeat(&step, &recorded.groups).map_err(|broken| match broken {
        Broken::Ledger(why) => ledger(why),
        Broken::Refused(why) => OpenError::Journal { path: path.to_owned(), why: why.to_string() },
    })?;
    step.commit().map_err(ledger)?;
    Ok(sequence)
}

/// Make sure that the file is ours or nobody's.
fn claim(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let ledger = |why| OpenError::Ledger { path: path.to_owned(), why };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(ledger);
    let (application, version) = (pragma("application_id")? as i32, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(ledger)?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Err(OpenError::NotOurs { path: path.to_owned(), application });
    }
    if version > MIGRATIONS.len() as i64 {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known: MIGRATIONS.len() as i64,
        });
    }
    Ok(())
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "wal")?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        let cause = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        let why = format!("no write-ahead log on this file system (journal mode is {mode})");
        return Err(rusqlite::Error::SqliteFailure(cause, Some(why)));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -16_384) // KiB
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let ledger = |why| OpenError::Ledger { path: path.to_owned(), why };
    let from: usize =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(ledger)?;
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(from) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(ledger)?;
        step.execute_batch(migration).map_err(ledger)?;
        step.pragma_update(None, "application_id", APPLICATION).map_err(ledger)?;
        step.pragma_update(None, "user_version", number as i64 + 1).map_err(ledger)?;
        step.commit().map_err(ledger)?;
    }
    Ok(())
}

/// Octets that live in somebody's name.
fn owners(connection: &Connection) -> rusqlite::Result<HashMap<Arc<str>, i64>> {
    let sql = "SELECT owner, sum(len) FROM extent WHERE owner <> '' GROUP BY owner";
    let mut rows = connection.prepare(sql)?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Count this opening, and read what is counted of segments.
fn enter(connection: &Connection) -> rusqlite::Result<(u64, Vec<OldSegment>)> {
    connection.execute(
        "INSERT INTO fact(name, value) VALUES ('run', 1) ON CONFLICT DO UPDATE SET value = value + 1",
        [],
    )?;
    let run = connection.query_row("SELECT value FROM fact WHERE name = 'run'", [], |row| row.get(0))?;
    let mut rows = connection.prepare("SELECT id, generation, live FROM segment")?;
    let segments = rows.query_map([], |row| {
        Ok(OldSegment { id: row.get(0)?, generation: row.get(1)?, live: row.get(2)? })
    })?;
    Ok((run, segments.collect::<Result<_, _>>()?))
}
