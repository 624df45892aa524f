//! One reply of an SMTP server (RFC 5321 4.2): written by the server session, read by the client session.
//!
//! Owns: code, enhanced code (RFC 3463), one printable line of text, and the bounded reader of multi-line replies.
//! Never knows: what a reply is an answer to.

use super::Limits;
use mms::HeaderText;
use std::borrow::Cow;
use std::fmt;

/// An enhanced status code, `5.7.1` (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enhanced {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about, 0 to 999.
    pub subject: u16,
    /// In detail, 0 to 999.
    pub detail: u16,
}

impl Enhanced {
    /// `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The enhanced code at the start of `text` and what follows it.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = code.split('.');
        let mut next = |longest: usize| {
            let digits = numbers.next()?;
            let fits = (1..=longest).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            if fits { digits.parse::<u16>().ok() } else { None }
        };
        let (class, subject, detail) = (next(1)?, next(3)?, next(3)?);
        if !matches!(class, 2 | 4 | 5) || numbers.next().is_some() {
            return None;
        }
        Some((Self { class: class as u8, subject, detail }, rest.trim_start()))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A reply: three digits, perhaps an enhanced code, and text of at most 256 octets that is one printable line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    text: HeaderText,
}

const TEXT_MAX: usize = 256;

impl Reply {
    /// A reply to write. The code is clamped to 200..=599; controls in `text` become spaces, other octets outside
    /// ASCII question marks, and the text is cut to 256 octets.
    pub fn new(code: u16, enhanced: Option<Enhanced>, text: &str) -> Self {
        let ascii: Cow<'_, str> = if text.is_ascii() {
            text[..text.len().min(TEXT_MAX)].into()
        } else {
            let ascii = text.chars().map(|c| if c.is_ascii() { c } else { '?' });
            ascii.take(TEXT_MAX).collect::<String>().into()
        };
        Self { code: code.clamp(200, 599), enhanced, text: HeaderText::cleaned(&ascii) }
    }

    /// A refusal: `5xx` with its enhanced code.
    pub fn never(code: u16, subject: u16, detail: u16, text: &str) -> Self {
        Self::new(code.clamp(500, 599), Some(Enhanced::new(5, subject, detail)), text)
    }

    /// A postponement: `4xx` with its enhanced code.
    pub fn later(code: u16, subject: u16, detail: u16, text: &str) -> Self {
        Self::new(code.clamp(400, 499), Some(Enhanced::new(4, subject, detail)), text)
    }

    /// The three digits.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, if there is one.
    pub const fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The text, without the enhanced code; lines of a longer reply are joined by a space.
    pub const fn text(&self) -> &HeaderText {
        &self.text
    }

    /// 2yz: done.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz: go on, as `354`.
    pub const fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz: may work later.
    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: will not work.
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Appends the reply as one line with its CRLF.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{self}\r\n").as_bytes());
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !self.text.as_str().is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line longer than [`Limits::reply_line_max`].
    LineTooLong,
    /// More lines than [`Limits::reply_lines_max`].
    TooManyLines,
    /// A line that does not begin with three digits from 200 to 599.
    NoCode,
    /// The lines of one reply have different codes.
    CodesDiffer,
    /// A reply to which there was no command yet.
    Unsolicited,
    /// A reply that its command cannot have, such as `250` to `DATA`.
    Unexpected(u16),
    /// Bytes behind the `220` to `STARTTLS` (command injection).
    BytesBehindStartTls,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "a reply line is too long"),
            Self::TooManyLines => write!(f, "a reply has too many lines"),
            Self::NoCode => write!(f, "a reply line does not begin with a code of three digits"),
            Self::CodesDiffer => write!(f, "the lines of one reply have different codes"),
            Self::Unsolicited => write!(f, "a reply came before its command"),
            Self::Unexpected(code) => write!(f, "a reply {code} does not fit its command"),
            Self::BytesBehindStartTls => write!(f, "bytes came behind the reply to STARTTLS"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// The text of a line, what is not UTF-8 replaced. Nearly every line is ASCII, for which the check alone is cheaper.
pub(super) fn lossy(line: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

/// Reads replies line by line, within [`Limits::reply_line_max`] and [`Limits::reply_lines_max`]. A line that is not
/// whole yet stays with the caller. For dialogues that the client session does not know, such as a probe's.
#[derive(Debug, Default)]
pub struct ReplyReader {
    code: Option<u16>,
    lines: usize,
    text: String,
}

impl ReplyReader {
    /// Reads what is whole in `input`: octets consumed, and the reply if its last line came. `on_line` sees the
    /// number of each line, from 1, and its text.
    ///
    /// # Errors
    /// The octets are no reply; nothing more can be read on this connection.
    pub fn read(
        &mut self,
        input: &[u8],
        limits: &Limits,
        mut on_line: impl FnMut(usize, &str),
    ) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                let whole = rest.len() < limits.reply_line_max;
                return if whole { Ok((consumed, None)) } else { Err(ReplyError::LineTooLong) };
            };
            if end + 1 > limits.reply_line_max {
                return Err(ReplyError::LineTooLong);
            }
            consumed += end + 1;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            if self.line(line, limits, &mut on_line)? {
                return Ok((consumed, Some(self.take())));
            }
        }
    }

    /// Takes one line; whether it was the last.
    fn line(
        &mut self,
        line: &[u8],
        limits: &Limits,
        on_line: &mut impl FnMut(usize, &str),
    ) -> Result<bool, ReplyError> {
        let (code, last, text) = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
                let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
                match rest {
                    [] => (code, true, rest),
                    [b'-', text @ ..] => (code, false, text),
                    [b' ' | b'\t', text @ ..] => (code, true, text),
                    _ => return Err(ReplyError::NoCode),
                }
            }
            _ => return Err(ReplyError::NoCode),
        };
        if *self.code.get_or_insert(code) != code {
            return Err(ReplyError::CodesDiffer);
        }
        self.lines += 1;
        if self.lines > limits.reply_lines_max {
            return Err(ReplyError::TooManyLines);
        }
        let text = lossy(text);
        let text = text.trim();
        on_line(self.lines, text);
        if self.text.len() < TEXT_MAX * 2 {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            // The enhanced code is repeated on every line (RFC 2034 4); the first is enough.
            let said = match Enhanced::split(text) {
                Some((_, rest)) if self.lines > 1 => rest,
                _ => text,
            };
            self.text.push_str(said);
        }
        Ok(last)
    }

    fn take(&mut self) -> Reply {
        let read = std::mem::take(self);
        let (enhanced, text) = match Enhanced::split(read.text.trim()) {
            Some((enhanced, rest)) => (Some(enhanced), rest),
            None => (None, read.text.trim()),
        };
        let text = HeaderText::cleaned(text).capped(TEXT_MAX);
        Reply { code: read.code.unwrap_or(599), enhanced, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        ReplyReader::default().read(bytes, &Limits::default(), |_, _| {})
    }

    #[test]
    fn replies_of_all_shapes() {
        let (n, reply) = read(b"250\r\n").unwrap();
        assert_eq!((n, reply.unwrap().to_string()), (5, "250".to_owned()));
        let reply = read(b"250-2.1.0 one\r\n250-2.1.0 two\r\n250 2.1.0 three\r\n").unwrap().1.unwrap();
        assert_eq!(reply.to_string(), "250 2.1.0 one two three");
        let reply = read(b"554 5.7.1 no\tway\x07here\r\n").unwrap().1.unwrap();
        assert_eq!(reply.to_string(), "554 5.7.1 no way here");
        assert_eq!(reply.enhanced(), Some(Enhanced::new(5, 7, 1)));
        assert_eq!(read(b"250-x\r\n25").unwrap(), (7, None));
        assert_eq!(read(b"250-x\r\n251 y\r\n"), Err(ReplyError::CodesDiffer));
        assert_eq!(read(b"hello\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(b"120 x\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(b"2500 x\r\n"), Err(ReplyError::NoCode));
        // A version number is no enhanced code.
        assert_eq!(read(b"220 10.2.3.4 x\n").unwrap().1.unwrap().enhanced(), None);
    }

    #[test]
    fn a_reply_is_bounded() {
        let limits = Limits { reply_line_max: 512, ..Limits::default() };
        let line = |n: usize| [b"250 ".to_vec(), vec![b'x'; n - 6], b"\r\n".to_vec()].concat();
        let read = |bytes: &[u8]| ReplyReader::default().read(bytes, &limits, |_, _| {});
        assert_eq!(read(&line(512)).unwrap().1.unwrap().text().as_str().len(), 256);
        assert_eq!(read(&line(513)), Err(ReplyError::LineTooLong));
        assert_eq!(read(&vec![b'2'; 511]).unwrap(), (0, None));
        assert_eq!(read(&vec![b'2'; 512]), Err(ReplyError::LineTooLong));
        let lines = |n: usize| ["250-x\r\n".repeat(n - 1), "250 x\r\n".to_owned()].concat();
        assert!(read(lines(100).as_bytes()).unwrap().1.is_some());
        assert_eq!(read(lines(101).as_bytes()), Err(ReplyError::TooManyLines));
    }

    proptest! {
        #[test]
        fn what_is_written_is_one_line_and_reads_back(code in 0u16..1000, text in any::<String>()) {
            let reply = Reply::new(code, Some(Enhanced::new(5, 1, 2)), &text);
            let mut wire = Vec::new();
            reply.write(&mut wire);
            prop_assert_eq!(wire.iter().filter(|b| matches!(b, b'\r' | b'\n')).count(), 2);
            prop_assert!(wire.len() <= 512 && wire.is_ascii());
            let back = read(&wire).unwrap().1.unwrap();
            prop_assert_eq!(back.code(), reply.code());
            prop_assert_eq!(back.enhanced(), reply.enhanced());
            prop_assert_eq!(back.text().as_str(), reply.text().as_str().trim());
        }
    }
}
