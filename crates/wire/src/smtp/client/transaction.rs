//! One message to one peer: who, to whom, how big. Everything in it can be written as SMTP, or it does not exist.

use mms::MailPath;
use std::fmt;

/// What one `MAIL` transaction is to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub(super) reverse_path: Option<MailPath>,
    pub(super) recipients: Vec<MailPath>,
    pub(super) size: u64,
    pub(super) eight_bit: bool,
}

/// Why a transaction cannot be written as SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// No recipient.
    NoRecipients,
    /// The reverse path is not ASCII or over 254 octets.
    ReversePath,
    /// The recipient at this index is not ASCII or over 254 octets.
    Recipient(usize),
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecipients => write!(f, "a transaction needs a recipient"),
            Self::ReversePath => write!(f, "the reverse path cannot be written in SMTP"),
            Self::Recipient(index) => write!(f, "recipient {index} cannot be written in SMTP"),
        }
    }
}

impl std::error::Error for Unsendable {}

impl Transaction {
    /// A transaction from `reverse_path` (`None` for `<>`) to `recipients`, with content of `size` octets.
    /// `eight_bit` says whether the content holds octets over 127.
    ///
    /// # Errors
    /// No recipients, or a path that SMTP cannot carry.
    pub fn new(
        reverse_path: Option<MailPath>,
        recipients: Vec<MailPath>,
        size: u64,
        eight_bit: bool,
    ) -> Result<Self, Unsendable> {
        let fits = |path: &MailPath| {
            let text = path.to_string();
            text.len() <= 254 && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        };
        if recipients.is_empty() {
            return Err(Unsendable::NoRecipients);
        }
        if reverse_path.as_ref().is_some_and(|path| !fits(path)) {
            return Err(Unsendable::ReversePath);
        }
        match recipients.iter().position(|path| !fits(path)) {
            Some(index) => Err(Unsendable::Recipient(index)),
            None => Ok(Self { reverse_path, recipients, size, eight_bit }),
        }
    }

    /// The recipients, in the order of the verdicts of [`Report`](super::Report).
    pub fn recipients(&self) -> &[MailPath] {
        &self.recipients
    }
}
