//! The mails that the bench sends: true MM4 mails with a picture, made once and then changed in place.
//!
//! Owns: their form and the ids in them. Never knows: sockets, relays, rates; how a receiver finds the ids again is in
//! [`seen`](super::seen).
//!
//! Each mail says in its ids from which run it is and which number it has, and in a field of its own what its body must
//! look like and when it was sent. So a sink needs to know nothing beforehand, and whoever counts can tell a lost mail
//! from a changed one.

use base64::Engine as _;
use std::fmt::Write as _;
use std::str::FromStr;

/// Octets of a mail, as SMTP's `SIZE` counts them: `1k`, `30k`, `1m`, in powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

/// Largest mail that is made.
const SIZE_MAX: usize = 64 << 20;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size up to 64m; write for example 30k, 300k, 1m or octets");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: usize = text[..digits].parse().map_err(|_| wrong())?;
        let unit = match text[digits..].to_ascii_lowercase().as_str() {
            "" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            _ => return Err(wrong()),
        };
        count.checked_mul(unit).filter(|size| *size <= SIZE_MAX).map(Self).ok_or_else(wrong)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n > 0 && n.is_multiple_of(1 << 20) => write!(f, "{}m", n >> 20),
            n if n > 0 && n.is_multiple_of(1 << 10) => write!(f, "{}k", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

/// Where the mails say that they come from.
pub const SOURCE_DOMAIN: &str = "mms.source.example";
/// Where the peer that only holds connections says that it comes from.
pub const CROWD_DOMAIN: &str = "mms.crowd.example";
/// What the relay under test is called.
pub const RELAY_DOMAIN: &str = "mms.relay.example";
/// Number that sends.
pub const SOURCE_NUMBER: &str = "+441632960000";
/// Prefix of all numbers that receive; one digit follows for the sink, then five more.
pub const SINK_PREFIX: &str = "+447700900";
/// Digits by which recipients differ.
pub(super) const NUMBER_DIGITS: usize = 5;
/// Recipients repeat after so many.
pub const NUMBERS: u64 = 100_000;
/// Sinks at most.
pub const SINKS_MAX: usize = 10;
/// The field that says what the body must be.
pub const FIELD: &str = "X-Belino-Bench";

/// Domain of a sink, by its place.
pub fn sink_domain(sink: usize) -> String {
    format!("mms.sink{sink}.example")
}

/// What a run's mails are like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Octets of one mail.
    pub size: Size,
    /// Recipients of one mail.
    pub recipients: usize,
    /// Sinks over which the recipients of all mails are spread, turn by turn, from `first_sink` on.
    pub sinks: usize,
    /// The first of them.
    pub first_sink: usize,
    /// `X-Mms-Ack-Request: Yes`.
    pub ack: bool,
    /// `X-Mms-Delivery-Report: Yes`.
    pub report: bool,
    /// Not the MM but the delivery report that the sink owes for it.
    pub as_report: bool,
    /// The same in each mail of the run.
    pub run: u32,
}

/// What differs between two mails of a run, at fixed places.
#[derive(Clone, Copy)]
enum Patch {
    /// Eight hexadecimal digits of the sequence number.
    Sequence,
    /// Digits of the number of the recipient in this place.
    Recipient(u16),
    /// The digit of the sink that serves the recipient in this place.
    Sink(u16),
    /// Sixteen hexadecimal digits of the clock's reading.
    Sent,
}

/// A mail and its envelope, made once.
pub struct Template {
    /// `MAIL`, `RCPT` and `DATA`, as one write.
    pub commands: Vec<u8>,
    /// The content with the end of data.
    pub content: Vec<u8>,
    recipients: u64,
    first_sink: u64,
    sinks: u64,
    command_patches: Vec<(usize, Patch)>,
    content_patches: Vec<(usize, Patch)>,
}

/// Collects text, noting the places that differ.
struct Draft {
    octets: Vec<u8>,
    patches: Vec<(usize, Patch)>,
}

impl Draft {
    const fn new() -> Self {
        Self { octets: Vec::new(), patches: Vec::new() }
    }

    fn text(&mut self, text: &str) {
        self.octets.extend_from_slice(text.as_bytes());
    }

    fn patch(&mut self, patch: Patch) {
        self.patches.push((self.octets.len(), patch));
        let width = match patch {
            Patch::Sequence => 8,
            Patch::Recipient(_) => NUMBER_DIGITS,
            Patch::Sink(_) => 1,
            Patch::Sent => 16,
        };
        self.octets.resize(self.octets.len() + width, b'0');
    }

    /// `+44770090000000000/TYPE=PLMN@mms.sink0.example`.
    fn recipient(&mut self, place: usize) {
        let place = place as u16;
        self.text(SINK_PREFIX);
        self.patch(Patch::Sink(place));
        self.patch(Patch::Recipient(place));
        self.text("/TYPE=PLMN@mms.sink");
        self.patch(Patch::Sink(place));
        self.text(".example");
    }

    /// `b0000002a-00000007`: the run, the mail.
    fn id(&mut self, run: u32) {
        self.text(&format!("b{run:08x}-"));
        self.patch(Patch::Sequence);
    }
}

impl Template {
    /// Make the mail. A size too small for a header is exceeded.
    pub fn new(shape: &Shape) -> Self {
        let mut commands = Draft::new();
        if shape.as_report {
            let (system, to) = (format!("system-user@{}", sink_domain(shape.first_sink)), SOURCE_NUMBER);
            commands.text(&format!("MAIL FROM:<{system}>\r\nRCPT TO:<{to}/TYPE=PLMN@{RELAY_DOMAIN}>\r\n"));
        } else {
            commands.text(&format!("MAIL FROM:<{SOURCE_NUMBER}/TYPE=PLMN@{SOURCE_DOMAIN}>\r\n"));
            for place in 0..shape.recipients {
                commands.text("RCPT TO:<");
                commands.recipient(place);
                commands.text(">\r\n");
            }
        }
        commands.text("DATA\r\n");

        // The header's length does not depend on the body, so it is drafted twice: once to know what is left for the body.
        let room = shape.size.0.saturating_sub(head(shape, &[]).octets.len());
        let body = if shape.as_report { b"Retrieved\r\n".to_vec() } else { body(room) };
        let mut content = head(shape, &body);
        content.octets.extend_from_slice(&body);
        content.octets.extend_from_slice(b".\r\n");
        Self {
            commands: commands.octets,
            content: content.octets,
            recipients: shape.recipients as u64,
            first_sink: shape.first_sink as u64,
            sinks: shape.sinks.max(1) as u64,
            command_patches: commands.patches,
            content_patches: content.patches,
        }
    }

    /// Make it the mail with this sequence number, sent now.
    pub fn set(&mut self, sequence: u32, sent: u64) {
        let first = u64::from(sequence) * self.recipients;
        let (first_sink, sinks) = (self.first_sink, self.sinks);
        for (octets, patches) in
            [(&mut self.commands, &self.command_patches), (&mut self.content, &self.content_patches)]
        {
            for (at, patch) in patches {
                match patch {
                    Patch::Sequence => hex(&mut octets[*at..at + 8], u64::from(sequence)),
                    Patch::Sent => hex(&mut octets[*at..at + 16], sent),
                    Patch::Sink(place) => {
                        let sink = first_sink + (first + u64::from(*place)) % sinks;
                        decimal(&mut octets[*at..=*at], sink);
                    }
                    Patch::Recipient(place) => {
                        decimal(&mut octets[*at..at + NUMBER_DIGITS], (first + u64::from(*place)) % NUMBERS);
                    }
                }
            }
        }
    }

    /// Octets of the mail as `SIZE` counts them.
    pub const fn size(&self) -> usize {
        self.content.len() - 3
    }
}

/// The header section for a body, with its empty line.
fn head(shape: &Shape, body: &[u8]) -> Draft {
    let mut out = Draft::new();
    out.text("Date: Tue, 04 Mar 2025 10:15:30 +0000\r\nFrom: ");
    if shape.as_report {
        out.recipient(0);
        let system = sink_domain(shape.first_sink);
        out.text(&format!(
            "\r\nSender: system-user@{system}\r\nTo: {SOURCE_NUMBER}/TYPE=PLMN@{RELAY_DOMAIN}"
        ));
    } else {
        let from = format!("{SOURCE_NUMBER}/TYPE=PLMN@{SOURCE_DOMAIN}");
        out.text(&format!("{from}\r\nSender: {from}\r\nTo: "));
        for place in 0..shape.recipients {
            if place > 0 {
                out.text(",\r\n ");
            }
            out.recipient(place);
        }
    }
    out.text("\r\nMessage-ID: <");
    out.id(shape.run);
    let kind = if shape.as_report { "MM4_delivery_report.REQ" } else { "MM4_forward.REQ" };
    let origin = if shape.as_report { sink_domain(shape.first_sink) } else { SOURCE_DOMAIN.to_owned() };
    out.text(&format!(
        "@{origin}>\r\nX-Mms-3GPP-MMS-Version: 6.16.0\r\nX-Mms-Message-Type: {kind}\r\nX-Mms-Transaction-ID: {}",
        if shape.as_report { "r" } else { "t" }
    ));
    out.id(shape.run);
    out.text("\r\nX-Mms-Message-ID: ");
    out.id(shape.run);
    let yes_no = |yes: bool| if yes { "Yes" } else { "No" };
    if shape.as_report {
        out.text("\r\nX-Mms-MM-Status-Code: Retrieved\r\nX-Mms-Status-Text: ");
        out.patch(Patch::Sent);
        out.text("\r\nX-Mms-Ack-Request: No");
    } else {
        out.text(&format!("\r\nX-Mms-Delivery-Report: {}", yes_no(shape.report)));
        if shape.ack {
            out.text("\r\nX-Mms-Ack-Request: Yes");
        }
        out.text(&format!("\r\nX-Mms-Originator-System: system-user@{SOURCE_DOMAIN}"));
    }
    out.text(&format!(
        "\r\n{FIELD}: {:08x} {:08x} {:04x} ",
        crc32c::crc32c(body),
        body.len(),
        shape.recipients
    ));
    out.patch(Patch::Sent);
    if shape.as_report {
        out.text("\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n");
    } else {
        out.text("\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n");
    }
    out
}

/// Octets of base64 in one line.
const LINE: usize = 76;

/// A text and a picture in base64, in wire form, of about so many octets. One line begins with a dot, which SMTP doubles.
fn body(room: usize) -> Vec<u8> {
    const TEXT: &str = "--b\r\nContent-Type: text/plain\r\n\r\n..\r\n--b\r\nContent-Type: image/jpeg\r\n\
                        Content-Transfer-Encoding: base64\r\n\r\n";
    const END: &str = "--b--\r\n";
    // `SIZE` does not count the doubled dot.
    let left = room.saturating_sub(TEXT.len() + END.len() - 1);
    let mut out = String::with_capacity(room + 128);
    out.push_str(TEXT);
    // Four characters for three octets, a line end for each line.
    let characters = (left - left.div_ceil(LINE + 2).saturating_mul(2).min(left)) / 4 * 4;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let octets: Vec<u8> = (0..characters / 4 * 3)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let picture = base64::engine::general_purpose::STANDARD.encode(octets);
    for line in picture.as_bytes().chunks(LINE) {
        let _ = write!(out, "{}\r\n", String::from_utf8_lossy(line));
    }
    out.push_str(END);
    out.into_bytes()
}

fn hex(out: &mut [u8], mut value: u64) {
    for octet in out.iter_mut().rev() {
        *octet = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn decimal(out: &mut [u8], mut value: u64) {
    for octet in out.iter_mut().rev() {
        *octet = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::seen::{Kind, place, seen};

    fn shape(size: &str, recipients: usize) -> Shape {
        let size = size.parse().unwrap();
        Shape {
            size,
            recipients,
            sinks: 1,
            first_sink: 0,
            ack: true,
            report: false,
            as_report: false,
            run: 0xabc,
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        for (text, octets) in
            [("1k", 1024), ("30K", 30_720), ("2MiB", 2 << 20), ("1m", 1 << 20), ("777", 777)]
        {
            assert_eq!(text.parse::<Size>(), Ok(Size(octets)), "{text}");
        }
        for text in ["", "k", "1g", "-1k", "65m", "9999999999999999999k"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!([Size(30_720), Size(2 << 20), Size(777)].map(|s| s.to_string()), ["30k", "2m", "777"]);
    }

    #[test]
    fn a_mail_has_the_size_that_was_asked_for() {
        for size in ["30k", "100k", "1m"] {
            let template = Template::new(&shape(size, 1));
            let off = size.parse::<Size>().unwrap().0.abs_diff(template.size());
            assert!(off < 100, "{size} is {} octets", template.size());
        }
        assert!(Template::new(&shape("1k", 1)).size() < 1200, "the header alone is that long");
    }

    #[test]
    fn what_was_set_is_what_is_seen() {
        let mut template = Template::new(&shape("4k", 3));
        template.set(0x1234, 0xfeed);
        let head = memchr::memmem::find(&template.content, b"\r\n\r\n").unwrap() + 4;
        let seen = seen(&template.content[..head]).unwrap();
        assert_eq!((seen.kind, seen.run, seen.sequence), (Kind::Request, 0xabc, 0x1234));
        assert_eq!((seen.sent, seen.ack, seen.report), (Some(0xfeed), true, false));
        let body = &template.content[head..template.content.len() - 3];
        let promise = seen.promise.unwrap();
        assert_eq!(
            (promise.crc, promise.octets as usize, promise.recipients),
            (crc32c::crc32c(body), body.len(), 3)
        );
        let commands = String::from_utf8(template.commands.clone()).unwrap();
        let places: Vec<_> = commands
            .lines()
            .filter(|l| l.starts_with("RCPT"))
            .map(|l| place(l.as_bytes(), 0x1234, 3))
            .collect();
        assert_eq!(places, [Some(0), Some(1), Some(2)]);
        // Not this mail's recipients.
        assert_eq!(place(b"RCPT TO:<+44770090000000/TYPE=PLMN@mms.sink0.example>", 0x1234, 3), None);
        assert_eq!(place(b"RCPT TO:<someone@mms.sink0.example>", 0x1234, 3), None);
    }

    #[test]
    fn the_relay_understands_what_is_sent() {
        use wire::mime::HeaderBlock;
        for (as_report, kind) in [(false, "MM4_forward.REQ"), (true, "MM4_delivery_report.REQ")] {
            let mut template = Template::new(&Shape { as_report, report: true, ..shape("30k", 1) });
            template.set(7, 1);
            let block = HeaderBlock::parse(&template.content).unwrap();
            let decoded = wire::mm4::decode(&block);
            assert!(decoded.violations.is_empty() && decoded.tolerances.is_empty(), "{decoded:?}");
            let wire::mm4::Mail::Message(message) = decoded.mail else { panic!("{kind}") };
            assert_eq!(message.message_type().as_str(), kind);
            assert_eq!(message.message_id().unwrap().as_str(), "b00000abc-00000007");
        }
    }

    #[test]
    fn recipients_are_spread_over_sinks() {
        let mut template = Template::new(&Shape { sinks: 4, first_sink: 2, ..shape("4k", 2) });
        template.set(3, 1);
        let commands = String::from_utf8(template.commands.clone()).unwrap();
        assert!(commands.contains("RCPT TO:<+447700900400006/TYPE=PLMN@mms.sink4.example>"), "{commands}");
        assert!(commands.contains("RCPT TO:<+447700900500007/TYPE=PLMN@mms.sink5.example>"), "{commands}");
    }
}
