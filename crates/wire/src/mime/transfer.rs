//! Content-Transfer-Encodings (RFC 2045 6): decoded as leniently as live traffic asks for, encoded to the letter.

use crate::smtp::unstuff;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, none, or a name nobody knows: the octets are the content.
    Identity,
    /// base64.
    Base64,
    /// quoted-printable.
    QuotedPrintable,
}

impl TransferEncoding {
    /// The encoding of this name, in any case; unknown names are identity.
    pub fn named(name: &str) -> Self {
        let name = name.split(';').next().unwrap_or_default().trim().trim_matches('"');
        if name.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// The name as written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "8bit",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
        }
    }

    /// About how many octets `octets` of wire form decode to: for base64 in lines within three per cent, for the
    /// others an upper bound.
    pub const fn estimate(self, octets: u64) -> u64 {
        match self {
            // 76 characters and CRLF carry 57 octets.
            Self::Base64 if octets > 78 => octets / 78 * 57 + octets % 78 * 57 / 78,
            Self::Base64 => octets / 4 * 3,
            _ => octets,
        }
    }
}

/// The content of a body that is in wire form: doubled dots are undone, then the encoding.
///
/// Lenient: base64 with blanks, without padding, in lines of any length, and with octets that do not belong;
/// quoted-printable with `=` that means nothing.
pub fn decode_transfer(encoding: TransferEncoding, wire_form_body: &[u8]) -> Vec<u8> {
    let plain = unstuff(wire_form_body);
    match encoding {
        TransferEncoding::Identity => plain.into_owned(),
        TransferEncoding::Base64 => base64(&plain),
        TransferEncoding::QuotedPrintable => quoted_printable(&plain),
    }
}

const fn base64_digit(octet: u8) -> Option<u32> {
    match octet {
        b'A'..=b'Z' => Some((octet - b'A') as u32),
        b'a'..=b'z' => Some((octet - b'a') as u32 + 26),
        b'0'..=b'9' => Some((octet - b'0') as u32 + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Lenient base64: padding ends a group wherever it stands, strangers are skipped.
pub(super) fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    let (mut bits, mut digits) = (0u32, 0u32);
    let end_group = |out: &mut Vec<u8>, bits: u32, digits: u32| match digits {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    };
    for octet in encoded {
        match base64_digit(*octet) {
            Some(digit) => {
                bits = bits << 6 | digit;
                digits += 1;
                if digits == 4 {
                    out.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
                    (bits, digits) = (0, 0);
                }
            }
            None if *octet == b'=' => {
                end_group(&mut out, bits, digits);
                (bits, digits) = (0, 0);
            }
            None => {}
        }
    }
    end_group(&mut out, bits, digits);
    out
}

/// The octet that the two hexadecimal digits in front name.
pub(super) fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    match pair {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(octet) = hex_pair(rest) {
            out.push(octet);
            rest = &rest[2..];
            continue;
        }
        // A soft line break, perhaps with blanks that some relay added.
        let blanks = rest.iter().take(80).take_while(|b| matches!(b, b' ' | b'\t')).count();
        match &rest[blanks..] {
            [b'\r', b'\n', later @ ..] | [b'\n', later @ ..] => rest = later,
            [] => rest = &[],
            _ => out.push(b'='),
        }
    }
    out.extend_from_slice(rest);
    out
}

/// The Q encoding of encoded words (RFC 2047 4.2).
pub(super) fn q_word(encoded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = encoded.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect();
    quoted_printable(&spaced)
}

/// Longest line of both encodings (RFC 2045 6.7, 6.8).
const ENCODED_LINE_MAX: usize = 76;

/// `content` in base64: full lines, no line end behind the last one.
pub(super) fn encode_base64(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() / 57 * 78 + 78);
    for (at, line) in content.chunks(ENCODED_LINE_MAX / 4 * 3).enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(super::encoded_word::base64(line).as_bytes());
    }
    out
}

/// `content` in quoted-printable. CRLF stays a line end; CR and LF alone are octets like any other.
///
/// No line begins with a dot, so that none must be doubled, and none with `-`, so that none is a delimiter.
pub(super) fn encode_quoted_printable(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 4);
    let (mut rest, mut column) = (content, 0);
    while let [octet, tail @ ..] = rest {
        if let Some(later) = rest.strip_prefix(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            (rest, column) = (later, 0);
            continue;
        }
        let line_ends = tail.is_empty() || tail.starts_with(b"\r\n");
        let literal = |column: usize| match octet {
            b'=' => false,
            b'.' | b'-' => column > 0,
            // Some relays take space off the end of lines.
            b' ' | b'\t' => !line_ends,
            _ => octet.is_ascii_graphic(),
        };
        let width = if literal(column) { 1 } else { 3 };
        if column + width + usize::from(!line_ends) > ENCODED_LINE_MAX {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if literal(column) {
            out.push(*octet);
            column += 1;
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 15)];
            out.extend_from_slice(&[b'=', digit(octet >> 4), digit(*octet)]);
            column += 3;
        }
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn f_36_base64_with_blanks_without_padding_in_long_lines() {
        let decode = |text: &str| decode_transfer(TransferEncoding::Base64, text.as_bytes());
        for text in [
            "aGVsbG8gd29ybGQ=",
            "aGVs\r\nbG8g d29y\tbGQ",
            "aGVsbG8gd29ybGQ",
            "aGVsbG8gd29ybGQ==\r\n",
            "aGVs!bG8gd29ybGQ=",
        ] {
            assert_eq!(decode(text), b"hello world", "{text}");
        }
        assert_eq!(decode("aGVsbG8=IHdvcmxk"), b"hello world", "two in one");
        assert_eq!(decode("a"), b"");
        assert_eq!(decode(&"QUJD".repeat(20_000)), b"ABC".repeat(20_000));
    }

    #[test]
    fn quoted_printable_and_identity() {
        let decode = |text: &str| decode_transfer(TransferEncoding::QuotedPrintable, text.as_bytes());
        assert_eq!(decode("caf=C3=a9 =\r\nx=  \r\ny = z=3"), "caf\u{e9} xy = z=3".as_bytes());
        assert_eq!(decode("x="), b"x");
        assert_eq!(decode_transfer(TransferEncoding::Identity, b"..a\r\n..\r\n"), b".a\r\n.\r\n");
    }

    #[test]
    fn what_quoted_printable_looks_like() {
        let encode = |text: &str| String::from_utf8(encode_quoted_printable(text.as_bytes())).unwrap();
        assert_eq!(encode("caf\u{e9} =\r\n.x-y. \r\n--b\n\r"), "caf=C3=A9 =3D\r\n=2Ex-y.=20\r\n=2D-b=0A=0D");
        assert_eq!(encode(&"x".repeat(77)), format!("{}=\r\nxx", "x".repeat(75)));
        assert_eq!(encode(&format!("{}\r\n", "x".repeat(76))), format!("{}\r\n", "x".repeat(76)));
        assert_eq!(encode(&format!("{}..", "x".repeat(75))), format!("{}=\r\n=2E.", "x".repeat(75)));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..50),
            prop::sample::select(vec!["\r\n", "\r", "\n", ".", "-", "=", " ", "\t", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "é"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..20)) {
            let content = pieces.concat();
            for (encoding, encoded) in [
                (TransferEncoding::Base64, encode_base64(&content)),
                (TransferEncoding::QuotedPrintable, encode_quoted_printable(&content)),
            ] {
                prop_assert_eq!(decode_transfer(encoding, &encoded), &content[..]);
                prop_assert!(encoded.is_ascii());
                let framed = [b"\r\n", &encoded[..]].concat();
                prop_assert!(framed.windows(2).all(|w| (w[0] == b'\r') == (w[1] == b'\n')));
                for line in encoded.split(|b| *b == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    prop_assert!(line.len() <= 76 && !line.starts_with(b".") && !line.starts_with(b"-"));
                    prop_assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
                }
            }
        }
    }

    #[test]
    fn estimates_are_close() {
        for octets in [0usize, 1, 57, 58, 1000, 1_000_000] {
            let encoded = octets.div_ceil(3) * 4;
            let wire = (encoded + encoded.div_ceil(76) * 2) as u64;
            let estimate = TransferEncoding::Base64.estimate(wire);
            assert!(estimate.abs_diff(octets as u64) <= 4 + octets as u64 / 33, "{octets}: {estimate}");
        }
    }
}
