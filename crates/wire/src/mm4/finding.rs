//! What a decoder noticed: tolerances, which the message survived, and violations, which it may not have.

use mms::HeaderText;
use std::borrow::Cow;
use std::fmt;

/// Values are quoted up to this many octets.
const VALUE_MAX: usize = 80;

pub(super) fn quoted(value: &str) -> HeaderText {
    HeaderText::cleaned(value).capped(VALUE_MAX)
}

/// A deviation that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Header name.
    pub field: &'static str,
    /// What was there, cut to 80 octets; `None` when the field is missing.
    pub value: Option<HeaderText>,
    /// What it was taken for.
    pub understood: Cow<'static, str>,
    /// What belongs there.
    pub expected: &'static str,
    /// Which clause says so.
    pub clause: &'static str,
}

/// `X-Mms-Delivery-Report "TRUE" taken as Yes; expected Yes or No (TS 23.140 8.4.4.2)`.
impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} \"{value}\" taken as {}", self.field, self.understood)?,
            None => write!(f, "{} is missing: {}", self.field, self.understood)?,
        }
        write!(f, "; expected {} ({})", self.expected, self.clause)
    }
}

/// In which way a message breaks the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// A mandatory field is missing.
    Missing,
    /// A single field stands more than once, with different values.
    Duplicate,
    /// A mandatory field cannot be read.
    Unreadable,
    /// The version is of a later major, and the message cannot be processed.
    UnsupportedVersion,
}

/// A deviation that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Header name.
    pub field: &'static str,
    /// What was there, cut to 80 octets.
    pub value: Option<HeaderText>,
    /// In which way it is wrong.
    pub kind: ViolationKind,
    /// What belongs there.
    pub expected: &'static str,
    /// Which clause says so.
    pub clause: &'static str,
    /// Whether the message cannot be processed for it.
    pub fatal: bool,
}

/// `X-Mms-Message-ID is missing; expected 1 to 256 printable ASCII characters (TS 23.140 8.4.4.2): cannot be
/// processed`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field)?;
        if let Some(value) = &self.value {
            write!(f, " \"{value}\"")?;
        }
        write!(
            f,
            " {}",
            match self.kind {
                ViolationKind::Missing => "is missing",
                ViolationKind::Duplicate => "stands more than once with different values",
                ViolationKind::Unreadable => "cannot be read",
                ViolationKind::UnsupportedVersion => "is of a later major version",
            }
        )?;
        write!(f, "; expected {} ({})", self.expected, self.clause)?;
        f.write_str(if self.fatal { ": cannot be processed" } else { "" })
    }
}
