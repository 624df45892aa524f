//! The ledger file: everything that is small, in one SQLite database, which alone decides what lives.
//!
//! Owns: the schema, how a batch becomes rows, how rows become answers. Never knows: who asks, what a ledger says,
//! threads (the committer's one connection writes; readers have their own).
//!
//! A crash leaves the last committed transaction; SQLite's write-ahead log sees to that.

mod apply;
mod read;
mod schema;

pub(crate) use apply::{Broken, Group, follow, forget_keys, forget_segments, mark, repeat, trim};
pub(crate) use read::Readers;
pub(crate) use read::{
    check, copy, depth, drain, entries, extents, ledger, ledgers, living, once, queues, tagged, wakes,
};
pub(crate) use schema::{APPLICATION, open};

use mms::{MmId, Timestamp};
use relay::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

/// An `MmId` in the ledger: 16 octets, so that rows sort as ids do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id([u8; 16]);

impl Id {
    fn of(id: MmId) -> Self {
        Self(id.bits().to_be_bytes())
    }

    fn mm(self) -> MmId {
        MmId::from_bits(u128::from_be_bytes(self.0))
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let octets = value.as_blob()?;
        octets
            .try_into()
            .map(Self)
            .map_err(|_| FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: octets.len() })
    }
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The checksum of a row of `mm`: SQLite has none of its own.
fn row_sum(id: MmId, version: u32, ledger: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&id.bits().to_be_bytes()), &version.to_le_bytes());
    crc32c::crc32c_append(sum, ledger)
}

/// What kind of trouble SQLite has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No room.
    Full,
    /// What it read makes no sense: one batch's misfortune.
    Damaged,
    /// Somebody else holds a lock: try again.
    Busy,
    /// The request cannot be carried out: one batch's fault.
    Request,
    /// The disk, memory, or anything else.
    Final,
}

pub(crate) fn trouble(error: &rusqlite::Error) -> Trouble {
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => match cause.code {
            ErrorCode::DiskFull => Trouble::Full,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Trouble::Damaged,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Trouble::Busy,
            ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => Trouble::Request,
            _ => Trouble::Final,
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => Trouble::Damaged,
        rusqlite::Error::ToSqlConversionFailure(..) => Trouble::Request,
        _ => Trouble::Final,
    }
}

/// A failed question or a failed batch, in the store's words.
pub(crate) fn failure(error: &rusqlite::Error) -> StoreError {
    match trouble(error) {
        Trouble::Full => StoreError::Full(format!("ledger: {error}")),
        Trouble::Damaged => StoreError::Corrupt(format!("ledger: {error}")),
        Trouble::Busy | Trouble::Request | Trouble::Final => {
            StoreError::Unavailable(format!("ledger: {error}"))
        }
    }
}
