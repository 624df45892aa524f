//! The header section of a mail: fields in order, found by name in any case.
//!
//! Owns: where fields and the section end; unfolding; UTF-8, else Latin-1.
//! Never knows: what a field means.
//!
//! Tolerates: no space behind the colon, a space before it, folded lines that hold nothing but space, LF alone in
//! stored files, 8-bit octets, a missing empty line (the first line that cannot be a field begins the body).

use super::decode_words;
use std::borrow::Cow;
use std::fmt;

/// What a header section may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Octets of the section with its empty line.
    pub head_max: usize,
    /// Fields.
    pub fields_max: usize,
}

impl Default for HeaderLimits {
    fn default() -> Self {
        Self { head_max: 64 * 1024, fields_max: 1000 }
    }
}

/// Why octets are no header section that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Over [`HeaderLimits::head_max`].
    TooLong,
    /// Over [`HeaderLimits::fields_max`].
    TooManyFields,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the header section is too long",
            Self::TooManyFields => "the header section has too many fields",
        })
    }
}

impl std::error::Error for HeaderError {}

/// One field as it stands in the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    name: &'a str,
    raw: &'a [u8],
    line: &'a [u8],
}

impl<'a> Field<'a> {
    /// The name as written.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The octets between the colon and the end of the last line of the field.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Every octet of the field: name, colon, value and folds, with the end of its last line if that has come.
    pub const fn line(&self) -> &'a [u8] {
        self.line
    }

    /// Whether the field has this name, in any case.
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value: unfolded (RFC 5322 2.2.3), without outer space, UTF-8 or else Latin-1.
    pub fn text(&self) -> Cow<'a, str> {
        let raw = self.raw.trim_ascii();
        if memchr::memchr2(b'\r', b'\n', raw).is_none() {
            return latin(raw);
        }
        let plain: Vec<u8> = raw.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        Cow::Owned(latin(&plain).into_owned())
    }

    /// The value with its encoded words decoded (RFC 2047). It may hold controls.
    pub fn decoded(&self) -> String {
        decode_words(&self.text()).into_owned()
    }
}

/// UTF-8, or else each octet the Latin-1 character that it is.
fn latin(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(octets.iter().map(|b| char::from(*b)).collect()),
    }
}

/// A header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderBlock<'a> {
    fields: Vec<Field<'a>>,
    head_len: usize,
    ended: bool,
}

impl<'a> HeaderBlock<'a> {
    /// Reads the section at the front of `mail`, with the default limits.
    ///
    /// # Errors
    /// A section over the limits.
    pub fn parse(mail: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parse_within(mail, &HeaderLimits::default())
    }

    /// Reads the section at the front of `mail`.
    ///
    /// # Errors
    /// A section over `limits`.
    pub fn parse_within(mail: &'a [u8], limits: &HeaderLimits) -> Result<Self, HeaderError> {
        let mut fields: Vec<Field<'a>> = Vec::with_capacity(FIELDS_USUAL);
        let (mut line_start, mut value_start) = (0, 0);
        let mut at = 0;
        while at < mail.len() {
            let next = memchr::memchr(b'\n', &mail[at..]).map_or(mail.len(), |end| at + end + 1);
            if next > limits.head_max {
                return Err(HeaderError::TooLong);
            }
            let line = &mail[at..next];
            match line {
                b"\r\n" | b"\n" => return Ok(Self { fields, head_len: next, ended: true }),
                [b' ' | b'\t', ..] => {
                    if let Some(field) = fields.last_mut() {
                        field.raw = &mail[value_start..next];
                        field.line = &mail[line_start..next];
                    }
                }
                _ => match field_name(line) {
                    Some((name, value)) => {
                        if fields.len() == limits.fields_max {
                            return Err(HeaderError::TooManyFields);
                        }
                        (line_start, value_start) = (at, at + value);
                        fields.push(Field { name, raw: &mail[value_start..next], line });
                    }
                    // The separator line of mailbox files.
                    None if at == 0 && (line.starts_with(b"From ") || line.starts_with(b">From ")) => {}
                    None => return Ok(Self { fields, head_len: at, ended: false }),
                },
            }
            at = next;
        }
        Ok(Self { fields, head_len: mail.len(), ended: false })
    }

    /// All fields in their order.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// The first field of this name, in any case.
    pub fn field(&self, name: &str) -> Option<Field<'a>> {
        self.all(name).next()
    }

    /// The value of the first field of this name, see [`Field::text`].
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.field(name).map(|field| field.text())
    }

    /// Every field of this name, in any case.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = Field<'a>> + use<'a, 'n, '_> {
        self.fields.iter().copied().filter(move |field| field.is(name))
    }

    /// Where the body begins.
    pub const fn head_len(&self) -> usize {
        self.head_len
    }

    /// Whether an empty line ended the section, as it should.
    pub const fn has_empty_line(&self) -> bool {
        self.ended
    }
}

/// Room for the fields of nearly every mail.
const FIELDS_USUAL: usize = 32;

/// The name of the field on `line`, and where its value begins.
fn field_name(line: &[u8]) -> Option<(&str, usize)> {
    let end = line.iter().position(|b| !(33..=126).contains(b) || *b == b':')?;
    let (name, rest) = line.split_at(end);
    let value = rest.trim_ascii_start().strip_prefix(b":")?;
    if name.is_empty() {
        return None;
    }
    std::str::from_utf8(name).ok().map(|name| (name, line.len() - value.len()))
}

/// Where the header section at the front of `mail` ends, its empty line included; `None` while that has not come.
pub fn find_head_end(mail: &[u8]) -> Option<usize> {
    if mail.starts_with(b"\r\n") {
        return Some(2);
    }
    let strict = memchr::memmem::find(mail, b"\n\r\n").map(|at| at + 3);
    let front = &mail[..strict.unwrap_or(mail.len())];
    if front.starts_with(b"\n") {
        return Some(1);
    }
    memchr::memmem::find(front, b"\n\n").map(|at| at + 2).or(strict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn f_07_names_in_any_case_and_values_as_peers_write_them() {
        let mail = b"x-mms-TRANSACTION-id:tx-1\r\nX-Mms-Originator-R/S-Delivery-Report :  No\r\nX-Empty:\r\n\
                     X-TM-IMSS-Message-ID:<a@b.example>\r\nTo: a,\r\n\tb,\r\n  \r\nX-A: 1\r\nx-a: 2\r\n\r\nbody";
        let block = HeaderBlock::parse(mail).unwrap();
        assert_eq!(block.text("X-Mms-Transaction-ID").unwrap(), "tx-1");
        assert_eq!(block.text("x-mms-originator-r/s-delivery-report").unwrap(), "No");
        assert_eq!(block.text("X-Empty").unwrap(), "");
        assert_eq!(block.text("To").unwrap(), "a,\tb,", "g_09");
        assert_eq!(block.all("X-A").map(|f| f.text().into_owned()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(&mail[block.head_len()..], b"body");
        assert!(block.has_empty_line());
        assert_eq!(find_head_end(mail), Some(block.head_len()));
    }

    #[test]
    fn a_missing_empty_line() {
        let block = HeaderBlock::parse(b"A: 1\r\nthis is text\r\nB: 2\r\n").unwrap();
        assert_eq!((block.fields().len(), block.head_len(), block.has_empty_line()), (1, 6, false));
        let block = HeaderBlock::parse(b"A: 1").unwrap();
        assert_eq!((block.text("a").unwrap().as_ref(), block.head_len()), ("1", 4));
        assert_eq!(HeaderBlock::parse(b"\r\nx").unwrap().head_len(), 2);
        assert_eq!(HeaderBlock::parse(b"").unwrap().head_len(), 0);
        assert_eq!(find_head_end(b"A: 1\r\n"), None);
    }

    #[test]
    fn stored_files_with_lf_alone() {
        let mail = b"From someone\nA: 1\n 2\n\nbody\r\n\r\n";
        let block = HeaderBlock::parse(mail).unwrap();
        assert_eq!(block.text("A").unwrap(), "1 2");
        assert_eq!(&mail[block.head_len()..], b"body\r\n\r\n");
        assert_eq!(find_head_end(mail), Some(block.head_len()));
    }

    #[test]
    fn f_33_raw_eight_bit_values() {
        let block = HeaderBlock::parse(b"A: caf\xc3\xa9\r\nB: caf\xe9\r\n\r\n").unwrap();
        assert_eq!(block.text("A").unwrap(), "caf\u{e9}");
        assert_eq!(block.text("B").unwrap(), "caf\u{e9}");
    }

    #[test]
    fn s_15_x_03_limits_at_n_and_n_plus_one() {
        let long = format!("A: {}\r\n\r\n", "x".repeat(4000));
        assert_eq!(HeaderBlock::parse(long.as_bytes()).unwrap().text("A").unwrap().len(), 4000);
        let head = |n: usize| [vec![b'A', b':'], vec![b'x'; n - 6], b"\r\n\r\n".to_vec()].concat();
        assert!(HeaderBlock::parse(&head(65_536)).is_ok());
        assert_eq!(HeaderBlock::parse(&head(65_537)), Err(HeaderError::TooLong));
        assert_eq!(HeaderBlock::parse(&vec![b'x'; 1 << 20]), Err(HeaderError::TooLong));
        let fields = |n: usize| "A:b\r\n".repeat(n);
        assert!(HeaderBlock::parse(fields(1000).as_bytes()).is_ok());
        assert_eq!(HeaderBlock::parse(fields(1001).as_bytes()), Err(HeaderError::TooManyFields));
    }

    proptest! {
        #[test]
        fn names_end_at_the_first_colon(line in prop::collection::vec(prop::sample::select(b"Ab:: \t\r\n\x0b\x0c\x00\x7f\xe9".to_vec()), 0..8)) {
            let colon = line.iter().position(|b| *b == b':');
            let name = colon.map(|colon| line[..colon].trim_ascii_end());
            let legal = name.filter(|name| !name.is_empty() && name.iter().all(|b| (33..=126).contains(b)));
            let read = field_name(&line).map(|(name, value)| (name.as_bytes(), value));
            prop_assert_eq!(read, legal.zip(colon.map(|colon| colon + 1)));
        }

        #[test]
        fn any_bytes(mail in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b':'), Just(b' ')], 0..200)) {
            let block = HeaderBlock::parse(&mail).unwrap();
            prop_assert!(block.head_len() <= mail.len());
            for field in block.fields() {
                prop_assert!(!field.text().contains(['\r', '\n']));
                prop_assert!(field.line().starts_with(field.name().as_bytes()) && field.line().ends_with(field.raw()));
            }
            // Fields follow each other without a gap, up to the empty line.
            let lines: Vec<u8> = block.fields().iter().flat_map(|field| field.line()).copied().collect();
            let head = &mail[..block.head_len()];
            prop_assert!(lines.is_empty() || head.ends_with(&lines) || head.ends_with(&[&lines[..], b"\r\n"].concat()) || head.ends_with(&[&lines[..], b"\n"].concat()));
            let _ = find_head_end(&mail);
        }
    }
}
