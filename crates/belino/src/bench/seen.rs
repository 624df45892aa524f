//! What a sink finds in a mail: whose it is, and what it must look like.
//!
//! Owns: reading the few fields that [`mail`](super::mail) writes and a relay may pass on. Never knows: how they were
//! written, or sockets.

use super::mail::{FIELD, NUMBER_DIGITS, NUMBERS, SINK_PREFIX};

/// What kind of mail, told by `X-Mms-Message-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `MM4_forward.REQ`.
    Request,
    /// `MM4_forward.RES`.
    Response,
    /// `MM4_delivery_report.REQ`.
    Report,
    /// Anything else.
    Other,
}

/// What a receiver reads in a header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: Kind,
    /// The run, from `X-Mms-Message-ID`.
    pub run: u32,
    /// The sequence number, from there.
    pub sequence: u32,
    /// What [`FIELD`] says.
    pub promise: Option<Promise>,
    /// Of a report or an MM: the clock's reading at the sender.
    pub sent: Option<u64>,
    /// `X-Mms-Ack-Request: Yes`.
    pub ack: bool,
    /// `X-Mms-Delivery-Report: Yes`.
    pub report: bool,
    /// `X-Mms-Request-Status-Code: Ok`, or no such field.
    pub is_ok: bool,
}

/// What the body must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// CRC-32C of the body in wire form.
    pub crc: u32,
    /// Its octets.
    pub octets: u32,
    /// Recipients of the mail when it was sent.
    pub recipients: u32,
}

/// A field's value, without the space around it. Fields of ours are never folded.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|b| *b == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// Read a header section. `None` for a mail that is not the bench's.
pub fn seen(head: &[u8]) -> Option<Seen> {
    let (mut kind, mut ids, mut promise, mut sent) = (Kind::Other, None, None, None);
    let (mut ack, mut report, mut is_ok) = (false, false, true);
    for line in head.split(|b| *b == b'\n') {
        // Every field that counts begins with an X.
        if line.first().is_none_or(|b| !b.eq_ignore_ascii_case(&b'x')) {
            continue;
        }
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            continue;
        };
        let value = value.trim();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("X-Mms-Message-ID") {
            let (run, sequence) = value.strip_prefix('b')?.split_once('-')?;
            ids = u32::from_str_radix(run, 16).ok().zip(u32::from_str_radix(sequence, 16).ok());
        } else if is("X-Mms-Message-Type") {
            kind = match value {
                "MM4_forward.REQ" => Kind::Request,
                "MM4_forward.RES" => Kind::Response,
                "MM4_delivery_report.REQ" => Kind::Report,
                _ => Kind::Other,
            };
        } else if is(FIELD) {
            let mut words = value.split(' ').map(|word| u64::from_str_radix(word, 16).ok());
            let mut next = || words.next().flatten();
            if let (Some(crc), Some(octets), Some(recipients), Some(at)) = (next(), next(), next(), next()) {
                promise =
                    Some(Promise { crc: crc as u32, octets: octets as u32, recipients: recipients as u32 });
                sent = Some(at);
            }
        } else if is("X-Mms-Status-Text") {
            sent = sent.or(u64::from_str_radix(value, 16).ok().filter(|_| value.len() == 16));
        } else if is("X-Mms-Ack-Request") {
            ack = value.eq_ignore_ascii_case("yes");
        } else if is("X-Mms-Delivery-Report") {
            report = value.eq_ignore_ascii_case("yes");
        } else if is("X-Mms-Request-Status-Code") {
            is_ok = value.eq_ignore_ascii_case("ok");
        }
    }
    let (run, sequence) = ids?;
    Some(Seen { kind, run, sequence, promise, sent, ack, report, is_ok })
}

/// The place of a recipient in its mail, from a `RCPT` command: `None` when it is none of that mail's.
pub fn place(command: &[u8], sequence: u32, recipients: u32) -> Option<u32> {
    let at = memchr::memmem::find(command, SINK_PREFIX.as_bytes())? + SINK_PREFIX.len() + 1;
    let digits = std::str::from_utf8(command.get(at..at + NUMBER_DIGITS)?).ok()?;
    let number: u64 = digits.parse().ok()?;
    let first = u64::from(sequence) * u64::from(recipients) % NUMBERS;
    let place = (number + NUMBERS - first) % NUMBERS;
    u32::try_from(place).ok().filter(|place| *place < recipients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_mails_are_not_ours() {
        for head in [
            "From: a@b.example\r\n\r\n",
            "X-Mms-Message-ID: mm-1\r\n\r\n",
            "X-Mms-Message-ID: b1-x\r\n\r\n",
            "",
        ] {
            assert_eq!(seen(head.as_bytes()), None, "{head}");
        }
        assert_eq!(field(b"To: x\r\nSubject:  y \r\n", "subject"), Some("y"));
    }
}
