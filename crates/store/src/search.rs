//! An index over MMs for people who search: by address, peer, Message-ID, state and time.
//!
//! Owns: one SQLite file beside the ledger, `search.db`. Never knows: what a ledger says; it is told words. It stands in no
//! commit's way: it follows, and everything in it can be made anew.
//!
//! A crash loses what was put in last (nothing is flushed for its sake); whoever fills it finds out by [`Index::newest`] and
//! [`Index::open_ones`] what to put in again. A file that cannot be read is thrown away and begun anew.

use mms::{MmId, Timestamp};
use relay::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The shape of the file; another number means: begin anew.
const FORMAT: i64 = 2;
/// Marks a file that was closed in good order.
const CLOSED: i64 = 0x4265_6c78;
/// Marks one that is in use, or was when it ended.
const OPENED: i64 = 0x4265_6c79;
/// Octets of one word that count.
const WORD_MAX: usize = 256;
/// Matches of one condition that are counted, to find the rarest of several.
const COUNTED_MAX: u64 = 5_000;
/// MMs that one search looks at when no condition is rare; the next page goes on where it ended.
const LOOKED_AT_MAX: i64 = 250_000;

const SCHEMA: &str = "
    -- words: 'kind value' lines, to find them again when the MM goes.
    CREATE TABLE mm(id BLOB PRIMARY KEY, state INTEGER NOT NULL, words TEXT NOT NULL) WITHOUT ROWID, STRICT;
    CREATE INDEX mm_state ON mm(state, id);
    CREATE TABLE word(
        kind INTEGER NOT NULL, value TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY(kind, value, id)
    ) WITHOUT ROWID, STRICT;
";

/// How far an MM is, as one searches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Something is still owed or awaited.
    Open = 0,
    /// Nothing is, and every recipient got it, as far as one knows.
    Done = 1,
    /// Nothing is, and at least one recipient did not get it.
    Failed = 2,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An address of the sender or of a recipient.
    Address = 1,
    /// A peer that sent it or that it goes to.
    Peer = 2,
    /// The `X-Mms-Message-ID`, as it is compared.
    MessageId = 3,
    /// Who handed it in.
    Submitter = 4,
    /// A webhook that it has come to.
    Webhook = 5,
}

/// One MM, as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The MM.
    pub id: MmId,
    /// How far it is.
    pub state: State,
    /// By what it is found. Words once told stay, as long as the MM does.
    pub words: Vec<(Kind, String)>,
}

/// What is searched for. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Addresses that begin so, whatever the kind of address.
    pub address: Option<String>,
    /// Exactly this peer, Message-ID, submitter or webhook.
    pub words: Vec<(Kind, String)>,
    /// Exactly this state.
    pub state: Option<State>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Only MMs whose id is smaller than this: the last of the page before.
    pub before: Option<MmId>,
    /// At most so many.
    pub max: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Newest first.
    pub ids: Vec<MmId>,
    /// Where the next page begins, if there may be one.
    pub next: Option<MmId>,
}

/// The index. All methods may be called from any thread.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    // Closed first, so that the writer takes the write-ahead log into the file.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.writing().pragma_update(None, "application_id", CLOSED);
    }
}

fn failure(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("search index: {error}"))
}

fn key(id: MmId) -> [u8; 16] {
    id.bits().to_be_bytes()
}

fn id(octets: &[u8]) -> Option<MmId> {
    Some(MmId::from_bits(u128::from_be_bytes(octets.try_into().ok()?)))
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(WORD_MAX)]
}

/// The smallest text that is greater than every text that begins with this one.
fn beyond(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

impl Index {
    /// Open the index in `folder`; make one if there is none, or none that can be used.
    ///
    /// # Errors
    /// `Unavailable`: not even a new one can be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("search.db");
        let (writer, reader) = match Self::connect(&path) {
            Ok(both) => both,
            Err(why) => {
                tracing::warn!("the search index is made anew: {why}");
                for end in ["", "-wal", "-shm"] {
                    let mut file = path.clone().into_os_string();
                    file.push(end);
                    let _ = std::fs::remove_file(file);
                }
                Self::connect(&path).map_err(|why| failure(&why))?
            }
        };
        Ok(Self { path, writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    fn connect(path: &Path) -> rusqlite::Result<(Connection, Connection)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let writer = Connection::open_with_flags(path, flags)?;
        writer.pragma_update(None, "journal_mode", "wal")?;
        writer.pragma_update(None, "synchronous", "off")?;
        writer.pragma_update(None, "mmap_size", 0)?;
        writer.pragma_update(None, "cache_size", -16_384)?; // KiB
        writer.busy_timeout(Duration::from_secs(5))?;
        let found: i64 = writer.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            writer.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT"))?;
        } else if found != FORMAT {
            return Err(rusqlite::Error::InvalidParameterName(format!("format {found}, not {FORMAT}")));
        }
        // What a loss of power has left half written shows here, and not in the middle of a search. Takes seconds for a
        // million MMs, so not after an end in good order.
        let closed: i64 = writer.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if closed != CLOSED {
            let sound: String = writer.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if sound != "ok" {
                return Err(rusqlite::Error::InvalidParameterName(sound));
            }
        }
        writer.pragma_update(None, "application_id", OPENED)?;
        let reader = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        reader.busy_timeout(Duration::from_secs(5))?;
        reader.pragma_update(None, "cache_size", -32_768)?; // KiB
        reader.set_prepared_statement_cache_capacity(64);
        Ok((writer, reader))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writing(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Put MMs in, or what has changed about them; take out those that are gone.
    ///
    /// # Errors
    /// `Unavailable`; then nothing of it happened.
    pub fn put(&self, rows: &[Row], gone: &[MmId]) -> Result<(), StoreError> {
        let mut connection = self.writing();
        let mut work = || {
            let step = connection.transaction()?;
            {
                let mut remove = step.prepare_cached("DELETE FROM mm WHERE id = ? RETURNING words")?;
                let mut unword =
                    step.prepare_cached("DELETE FROM word WHERE kind = ? AND value = ? AND id = ?")?;
                for id in gone {
                    let words: Option<String> =
                        remove.query_row([&key(*id)[..]], |row| row.get(0)).optional()?;
                    for (kind, value) in
                        words.iter().flat_map(|w| w.lines()).filter_map(|l| l.split_once(' '))
                    {
                        unword.execute(params![kind.parse::<u8>().unwrap_or(0), value, &key(*id)[..]])?;
                    }
                }
                let mut known = step.prepare_cached("SELECT state, words FROM mm WHERE id = ?")?;
                let mut put =
                    step.prepare_cached("INSERT OR REPLACE INTO mm(id, state, words) VALUES(?, ?, ?)")?;
                let mut word =
                    step.prepare_cached("INSERT OR IGNORE INTO word(kind, value, id) VALUES(?, ?, ?)")?;
                for row in rows {
                    let id = key(row.id);
                    let before: Option<(u8, String)> =
                        known.query_row([&id[..]], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                    let (state, mut words) = before.unwrap_or((u8::MAX, String::new()));
                    let length = words.len();
                    for (kind, value) in &row.words {
                        let (kind, value) = (*kind as u8, cut(value));
                        let line = format!("{kind} {value}");
                        // A line end in a word would be two words when it is taken out.
                        if value.contains('\n') || words.lines().any(|known| known == line) {
                            continue;
                        }
                        let _ = writeln!(words, "{line}");
                        word.execute(params![kind, value, &id[..]])?;
                    }
                    if state != row.state as u8 || words.len() != length {
                        put.execute(params![&id[..], row.state as u8, words])?;
                    }
                }
            }
            step.commit()
        };
        work().map_err(|why: rusqlite::Error| failure(&why))
    }

    /// The newest MM in it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn newest(&self) -> Result<Option<MmId>, StoreError> {
        let ask = self.reading();
        let found: rusqlite::Result<Option<Vec<u8>>> =
            ask.query_row("SELECT id FROM mm ORDER BY id DESC LIMIT 1", [], |row| row.get(0)).optional();
        Ok(found.map_err(|why| failure(&why))?.as_deref().and_then(id))
    }

    /// MMs that are [`State::Open`] in it, in order, those after `after` only, at most `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn open_ones(&self, after: Option<MmId>, max: usize) -> Result<Vec<MmId>, StoreError> {
        self.list("SELECT id FROM mm WHERE state = 0 AND id > ? ORDER BY id LIMIT ?", after, max)
    }

    /// All MMs in it, in order, those after `after` only, at most `max`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn all(&self, after: Option<MmId>, max: usize) -> Result<Vec<MmId>, StoreError> {
        self.list("SELECT id FROM mm WHERE id > ? ORDER BY id LIMIT ?", after, max)
    }

    fn list(&self, sql: &str, after: Option<MmId>, max: usize) -> Result<Vec<MmId>, StoreError> {
        let after = after.map_or([0; 16], key);
        let values = [Value::Blob(after.to_vec()), Value::Integer(max as i64)];
        self.ids(sql, &values).map_err(|why| failure(&why))
    }

    fn ids(&self, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<MmId>> {
        let connection = self.reading();
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            ids.extend(id(row.get_ref(0)?.as_blob()?));
        }
        Ok(ids)
    }

    /// Search.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn find(&self, query: &Query) -> Result<Found, StoreError> {
        self.search(query).map_err(|why| failure(&why))
    }

    fn search(&self, query: &Query) -> rusqlite::Result<Found> {
        let bounds = Bounds::of(query);
        let mut conditions: Vec<Condition> = Vec::new();
        for (kind, value) in &query.words {
            conditions.push(Condition::Word(*kind, cut(value).to_owned()));
        }
        if let Some(prefix) = query.address.as_deref().map(cut) {
            conditions.push(match self.is_whole_address(prefix)? {
                true => Condition::Word(Kind::Address, prefix.to_owned()),
                false => Condition::Begins(prefix.to_owned()),
            });
        }
        if let Some(state) = query.state {
            conditions.push(Condition::State(state));
        }
        // The rarest leads; the others are looked up for each MM that it has. Only a prefix that many MMs have cannot lead:
        // its matches are not in the order of time.
        let mut rarest: Option<(u64, usize)> = None;
        let has_one = conditions.len() == 1;
        for (place, condition) in conditions.iter().enumerate() {
            // What stands alone leads, however many MMs it has, unless it is such a prefix.
            let count = match condition {
                Condition::Word(..) | Condition::State(_) if has_one => 0,
                _ => self.count(condition, &bounds)?,
            };
            let may_lead = count < COUNTED_MAX || !matches!(condition, Condition::Begins(_));
            if may_lead && rarest.is_none_or(|(least, _)| count < least) {
                rarest = Some((count, place));
            }
        }
        let lead = rarest.map(|(_, place)| conditions.remove(place));
        // What reads a whole row comes last.
        conditions.sort_by_key(|condition| matches!(condition, Condition::Begins(_)));
        let (sql, values) = statement(lead.as_ref(), &conditions, &bounds, query.max);
        let connection = self.reading();
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&values))?;
        let (mut ids, mut looked_at) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let last = id(row.get_ref(0)?.as_blob()?);
            // The last column says whether the other conditions hold.
            if row.get(1)? {
                ids.extend(last);
            }
            if ids.len() >= query.max || looked_at >= LOOKED_AT_MAX {
                return Ok(Found { ids, next: last });
            }
        }
        Ok(Found { ids, next: None })
    }

    /// Whether somebody has exactly this address.
    fn is_whole_address(&self, text: &str) -> rusqlite::Result<bool> {
        let connection = self.reading();
        let mut ask = connection.prepare_cached("SELECT 1 FROM word WHERE kind = 1 AND value = ? LIMIT 1")?;
        ask.exists([text])
    }

    fn count(&self, condition: &Condition, bounds: &Bounds) -> rusqlite::Result<u64> {
        let mut values = Vec::new();
        let from = condition.rows(&mut values);
        values.extend(bounds.values());
        values.push(Value::Integer(COUNTED_MAX as i64));
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} AND id >= ? AND id < ? LIMIT ?)");
        let connection = self.reading();
        let mut ask = connection.prepare_cached(&sql)?;
        ask.query_row(params_from_iter(&values), |row| row.get(0))
    }
}

/// From which id to which.
struct Bounds {
    from: u128,
    to: u128,
}

impl Bounds {
    fn of(query: &Query) -> Self {
        let at = |time: Timestamp| MmId::new(time.millis().clamp(0, (1 << 48) - 1), 0, 0).bits();
        let to = query.to.map_or(u128::MAX, at).min(query.before.map_or(u128::MAX, MmId::bits));
        Self { from: query.from.map_or(0, at), to }
    }

    fn values(&self) -> [Value; 2] {
        [self.from, self.to].map(|id| Value::Blob(id.to_be_bytes().to_vec()))
    }
}

enum Condition {
    Word(Kind, String),
    Begins(String),
    State(State),
}

impl Condition {
    /// The table in which its MMs are, up to and including a `WHERE` that more may be added to.
    fn rows(&self, values: &mut Vec<Value>) -> &'static str {
        match self {
            Self::Word(kind, value) => {
                values.extend([Value::Integer(*kind as i64), Value::Text(value.clone())]);
                "word WHERE kind = ? AND value = ?"
            }
            Self::Begins(prefix) => {
                values.extend([Value::Text(prefix.clone()), Value::Text(beyond(prefix))]);
                "word WHERE kind = 1 AND value >= ? AND value < ?"
            }
            Self::State(state) => {
                values.push(Value::Integer(*state as i64));
                "mm WHERE state = ?"
            }
        }
    }

    /// Whether it holds for the MM `lead.id`.
    fn holds(&self, values: &mut Vec<Value>) -> &'static str {
        match self {
            Self::Word(kind, value) => {
                values.extend([Value::Integer(*kind as i64), Value::Text(value.clone())]);
                "EXISTS(SELECT 1 FROM word WHERE kind = ? AND value = ? AND id = lead.id)"
            }
            Self::Begins(prefix) => {
                values.push(Value::Text(format!("\n{} {prefix}", Kind::Address as u8)));
                "(SELECT instr(char(10) || words, ?) > 0 FROM mm WHERE id = lead.id)"
            }
            Self::State(state) => {
                values.push(Value::Integer(*state as i64));
                // Ten times the rows for each page that is read.
                "EXISTS(SELECT 1 FROM mm INDEXED BY mm_state WHERE id = lead.id AND state = ?)"
            }
        }
    }
}

/// Rows (id, whether all conditions hold), newest first. A condition is looked at only when those before it hold.
fn statement(
    lead: Option<&Condition>,
    others: &[Condition],
    bounds: &Bounds,
    max: usize,
) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let holds: Vec<&str> = others.iter().map(|condition| condition.holds(&mut values)).collect();
    let holds = holds.iter().rfold("1".to_owned(), |rest, this| match rest.as_str() {
        "1" => (*this).to_owned(),
        rest => format!("CASE WHEN {this} THEN {rest} ELSE 0 END"),
    });
    let from = lead.map_or("mm WHERE 1", |condition| condition.rows(&mut values));
    values.extend(bounds.values());
    // One more than wanted is never needed when all rows are hits.
    let limit = if others.is_empty() { max as i64 } else { LOOKED_AT_MAX };
    values.push(Value::Integer(limit));
    // DISTINCT: several addresses of one MM may begin alike.
    let sql = format!(
        "SELECT id, {holds} FROM (SELECT DISTINCT id FROM {from} AND id >= ? AND id < ? ORDER BY id DESC LIMIT ?) AS lead"
    );
    (sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn mm(n: u64) -> MmId {
        MmId::new(1_000 * i64::try_from(n).unwrap(), 0, n)
    }

    fn row(n: u64, state: State, words: &[(Kind, &str)]) -> Row {
        Row { id: mm(n), state, words: words.iter().map(|(k, v)| (*k, (*v).to_owned())).collect() }
    }

    fn query() -> Query {
        Query { max: 10, ..Query::default() }
    }

    #[test]
    fn a_word_that_is_gone_finds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path()).unwrap();
        index
            .put(&[row(1, State::Open, &[(Kind::Peer, "b"), (Kind::Address, "+12025550100")])], &[])
            .unwrap();
        index.put(&[row(1, State::Done, &[(Kind::Peer, "c")])], &[]).unwrap();
        let by = |kind, value: &str| {
            index.find(&Query { words: vec![(kind, value.into())], ..query() }).unwrap().ids
        };
        assert_eq!((by(Kind::Peer, "b"), by(Kind::Peer, "c")), (vec![mm(1)], vec![mm(1)]));
        assert_eq!(index.open_ones(None, 10).unwrap(), []);
        index.put(&[], &[mm(1), mm(2)]).unwrap();
        assert_eq!((by(Kind::Peer, "b"), by(Kind::Address, "+12025550100")), (vec![], vec![]));
        let left: i64 = index.reading().query_row("SELECT count(*) FROM word", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_damaged_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        Index::open(folder.path()).unwrap().put(&[row(1, State::Open, &[])], &[]).unwrap();
        // In use when it ended, and half written since.
        let file = folder.path().join("search.db");
        let open = Connection::open(&file).unwrap();
        open.pragma_update(None, "application_id", OPENED).unwrap();
        drop(open);
        std::fs::write(&file, b"this is no database, and never was one").unwrap();
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(index.newest().unwrap(), None);
        index.put(&[row(2, State::Open, &[])], &[]).unwrap();
        drop(index);
        assert_eq!(Index::open(folder.path()).unwrap().newest().unwrap(), Some(mm(2)));
    }

    fn word() -> impl Strategy<Value = (Kind, String)> {
        let kind = prop::sample::select(vec![Kind::Address, Kind::Peer, Kind::MessageId]);
        (kind, prop::sample::select(vec!["+1", "+12", "+123", "b", "ü", "%_"]).prop_map(str::to_owned))
    }

    fn state() -> impl Strategy<Value = State> {
        prop::sample::select(vec![State::Open, State::Done, State::Failed])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against the plain reading of the query: same MMs, newest first, page by page.
        #[test]
        fn finds_what_is_there(
            told in prop::collection::vec((0u64..30, state(), prop::collection::vec(word(), 0..4)), 0..60),
            gone in prop::collection::vec(0u64..30, 0..4),
            address in prop::option::of(prop::sample::select(vec!["+1", "+12", "+123", "+9", "%"])),
            words in prop::collection::vec(word(), 0..2),
            wanted in prop::option::of(state()),
            (from, to) in (prop::option::of(0i64..40), prop::option::of(0i64..40)),
            max in 1usize..7,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let index = Index::open(folder.path()).unwrap();
            let mut model: BTreeMap<u64, (State, Vec<(Kind, String)>)> = BTreeMap::new();
            for (n, state, words) in told {
                index.put(&[Row { id: mm(n), state, words: words.clone() }], &[]).unwrap();
                let known = model.entry(n).or_insert((state, Vec::new()));
                known.0 = state;
                known.1.extend(words);
            }
            for n in gone {
                index.put(&[], &[mm(n)]).unwrap();
                model.remove(&n);
            }
            let at = |seconds: i64| Timestamp::from_millis(1_000 * seconds);
            let query = Query {
                address: address.map(str::to_owned), words: words.clone(), state: wanted,
                from: from.map(at), to: to.map(at), before: None, max,
            };
            let expected: Vec<MmId> = model.iter().rev().filter(|(n, (state, known))| {
                address.is_none_or(|a| known.iter().any(|(k, v)| *k == Kind::Address && v.starts_with(a)))
                    && words.iter().all(|w| known.contains(w))
                    && wanted.is_none_or(|w| w == *state)
                    && from.is_none_or(|f| i64::try_from(**n).unwrap() >= f)
                    && to.is_none_or(|t| i64::try_from(**n).unwrap() < t)
            }).map(|(n, _)| mm(*n)).collect();
            let (mut all, mut before) = (Vec::new(), None);
            for _ in 0..40 {
                let found = index.find(&Query { before, ..query.clone() }).unwrap();
                prop_assert!(found.ids.len() <= max);
                all.extend(found.ids);
                before = found.next;
                if before.is_none() {
                    break;
                }
            }
            // An exact address is taken as a whole one, not as the beginning of others.
            let whole = address.is_some_and(|a| model.values().any(|(_, known)| known.contains(&(Kind::Address, a.into()))));
            if whole {
                let a = address.unwrap();
                let exact: Vec<MmId> = expected.into_iter().filter(|id| {
                    let n = (id.millis() / 1_000) as u64;
                    model[&n].1.contains(&(Kind::Address, a.into()))
                }).collect();
                prop_assert_eq!(all, exact);
            } else {
                prop_assert_eq!(all, expected);
            }
        }
    }
}
