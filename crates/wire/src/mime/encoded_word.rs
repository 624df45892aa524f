//! Encoded words (RFC 2047): text outside ASCII in header fields.
//!
//! Owns: reading the charsets that live traffic has, writing UTF-8 in one form.
//! Never knows: fields.
//!
//! What is written is one line that no folding rule can break: either plain ASCII as it is, or base64 words of at
//! most 75 octets, folded between words. So reading gives back exactly what was written.

use std::borrow::Cow;
use std::fmt::Write;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Longest text written as it is; RFC 5322 2.1.1 allows lines of 998 octets.
const PLAIN_MAX: usize = 900;
/// Longest display name written as it is: escapes may double it, and an address follows on the same line.
const PHRASE_MAX: usize = 200;

/// `text` with its encoded words decoded. Words in other charsets, and what only looks like one, stay as they are.
/// Space between two adjacent words is dropped, and characters split between them are joined.
pub fn decode_words(text: &str) -> Cow<'_, str> {
    // A search for one octet is cheaper, and most texts have none.
    if memchr::memchr(b'?', text.as_bytes()).is_none() || !text.contains("=?") {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // Octets of the words read last, in one charset: they may end inside a character.
    let mut run: Option<(Charset, Vec<u8>)> = None;
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let adjacent = run.is_some() && before.bytes().all(|b| matches!(b, b' ' | b'\t'));
        if !adjacent {
            flush(&mut run, &mut plain);
            plain.push_str(before);
        }
        match word(from) {
            Some((charset, octets, length)) => {
                match &mut run {
                    Some((same, joined)) if *same == charset => joined.extend_from_slice(&octets),
                    _ => {
                        flush(&mut run, &mut plain);
                        run = Some((charset, octets));
                    }
                }
                rest = &from[length..];
            }
            None => {
                if adjacent {
                    flush(&mut run, &mut plain);
                    plain.push_str(before);
                }
                plain.push_str("=?");
                rest = &from[2..];
            }
        }
    }
    flush(&mut run, &mut plain);
    plain.push_str(rest);
    plain.into()
}

fn flush(run: &mut Option<(Charset, Vec<u8>)>, plain: &mut String) {
    if let Some((charset, octets)) = run.take() {
        charset.decode(&octets, plain);
    }
}

/// The encoded word at the front of `text`: charset, octets and length.
fn word(text: &str) -> Option<(Charset, Vec<u8>, usize)> {
    let inside = text.strip_prefix("=?")?;
    // A charset name is short; the cap keeps a row of `=?` from being scanned again and again.
    let end = inside.bytes().take(60).position(|b| b == b'?')?;
    let charset = Charset::named(inside[..end].split('*').next()?)?;
    let (encoding, encoded) = inside[end + 1..].split_at_checked(2)?;
    let close = encoded.find('?')?;
    if encoded.as_bytes().get(close + 1) != Some(&b'=') {
        return None;
    }
    let octets = match encoding {
        "B?" | "b?" => super::transfer::base64(&encoded.as_bytes()[..close]),
        "Q?" | "q?" => super::transfer::q_word(&encoded.as_bytes()[..close]),
        _ => return None,
    };
    Some((charset, octets, 2 + end + 1 + 2 + close + 2))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
    Latin9,
    Windows1252,
}

impl Charset {
    fn named(name: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        if is(&["utf-8", "utf8", "us-ascii", "ascii"]) {
            Some(Self::Utf8)
        } else if is(&["iso-8859-1", "iso8859-1", "latin1"]) {
            Some(Self::Latin1)
        } else if is(&["iso-8859-15", "iso8859-15", "latin9"]) {
            Some(Self::Latin9)
        } else if is(&["windows-1252", "cp1252"]) {
            Some(Self::Windows1252)
        } else {
            None
        }
    }

    fn decode(self, octets: &[u8], into: &mut String) {
        match self {
            Self::Utf8 => into.push_str(&String::from_utf8_lossy(octets)),
            Self::Latin1 => into.extend(octets.iter().map(|b| char::from(*b))),
            Self::Latin9 => into.extend(octets.iter().map(|b| latin9(*b))),
            Self::Windows1252 => into.extend(octets.iter().map(|b| windows1252(*b))),
        }
    }
}

const fn latin9(octet: u8) -> char {
    match octet {
        0xa4 => '\u{20ac}',
        0xa6 => '\u{160}',
        0xa8 => '\u{161}',
        0xb4 => '\u{17d}',
        0xb8 => '\u{17e}',
        0xbc => '\u{152}',
        0xbd => '\u{153}',
        0xbe => '\u{178}',
        other => other as char,
    }
}

fn windows1252(octet: u8) -> char {
    const HIGH: [u16; 32] = [
        0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
        0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
        0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
    ];
    match octet {
        0x80..=0x9f => char::from_u32(u32::from(HIGH[usize::from(octet - 0x80)])).unwrap_or('\u{fffd}'),
        other => char::from(other),
    }
}

/// `text` for an unstructured field, behind `used` octets of its line (name, colon and space).
///
/// Plain ASCII stays; everything else, and what reading would change, becomes encoded words on folded lines.
/// Controls cannot come out: they are octets inside base64.
pub fn encode_text(text: &str, used: usize) -> Cow<'_, str> {
    let plain = text.len() <= PLAIN_MAX
        && text.bytes().fold(true, |all, b| all & (b' '..=b'~').contains(&b))
        && text.trim_matches(' ') == text
        && (memchr::memchr(b'?', text.as_bytes()).is_none() || !text.contains("=?"));
    if plain { text.into() } else { words(text, used).into() }
}

/// `text` as the display name of an address: atoms, a quoted string, or encoded words.
pub fn encode_phrase(text: &str, used: usize) -> String {
    let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !printable || text.len() > PHRASE_MAX || text.contains("=?") || text.trim_matches(' ') != text {
        return words(text, used);
    }
    let atoms = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~ ".contains(&b));
    if atoms && !text.is_empty() {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// UTF-8 in base64 words, each of whole characters, on lines of at most 76 octets (RFC 2047 2).
fn words(text: &str, used: usize) -> String {
    let octets_on = |used: usize| 76usize.saturating_sub(used + "=?UTF-8?B??=".len()) / 4 * 3;
    let mut out = String::with_capacity(text.len() * 2);
    let mut room = octets_on(used);
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(room);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        if end == 0 && room < 45 {
            // No room for one character behind a long name: begin on the next line.
            out.push_str("\r\n ");
            room = octets_on(1);
            continue;
        }
        let (now, later) = rest.split_at(end);
        let _ = write!(out, "=?UTF-8?B?{}?=", base64(now.as_bytes()));
        rest = later;
        if !rest.is_empty() {
            out.push_str("\r\n ");
            room = octets_on(1);
        }
    }
    out
}

pub(super) fn base64(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn f_32_words_in_b_and_q() {
        for (text, expected) in [
            ("=?UTF-8?B?w6l0w6k=?=", "\u{e9}t\u{e9}"),
            ("=?utf-8?q?=C3=A9t=C3=A9_x?=", "\u{e9}t\u{e9} x"),
            ("=?ISO-8859-1?Q?caf=E9?= now", "caf\u{e9} now"),
            ("=?iso-8859-15?Q?=A4?=", "\u{20ac}"),
            ("=?windows-1252?Q?=93x=94?=", "\u{201c}x\u{201d}"),
            ("=?US-ASCII*EN?Q?plain?=", "plain"),
            ("a =?UTF-8?Q?b?= =?UTF-8?Q?c?= d", "a bc d"),
            ("=?UTF-8?Q?b?=\t =?ISO-8859-1?Q?=E9?=", "b\u{e9}"),
            ("=?UTF-8?Q?b?= x =?UTF-8?Q?c?=", "b x c"),
            // One character in two words.
            ("=?UTF-8?B?w6k=?= =?UTF-8?Q?=C3?= =?UTF-8?Q?=A9?=", "\u{e9}\u{e9}"),
            // Left as they are.
            ("=?KOI8-R?Q?=C3?=", "=?KOI8-R?Q?=C3?="),
            ("=?UTF-8?X?a?=", "=?UTF-8?X?a?="),
            ("=?UTF-8?Q?a", "=?UTF-8?Q?a"),
            ("=?=?=?", "=?=?=?"),
            ("=?UTF-8?Q?a?= =?x", "a =?x"),
            ("=?UTF-8?B?YQ", "=?UTF-8?B?YQ"),
        ] {
            assert_eq!(decode_words(text), expected, "{text}");
        }
    }

    #[test]
    fn rows_of_openings_are_read_in_one_pass() {
        for piece in ["=?", "=?u?b?", "=?UTF-8?B?", "=?UTF-8?B?a"] {
            let text = piece.repeat(200_000 / piece.len());
            assert_eq!(decode_words(&text), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>(), used in 0usize..60) {
            let wire = encode_text(&text, used);
            let unfolded = wire.replace("\r\n", "");
            prop_assert_eq!(decode_words(unfolded.trim_start_matches(' ')), &*text);
            prop_assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\r' || b == b'\n'));
            for (n, line) in wire.split("\r\n").enumerate() {
                let start = if n == 0 { used } else { 0 };
                prop_assert!(n == 0 || line.starts_with(" =?"), "{}", wire);
                prop_assert!(wire == text || line.is_empty() || start + line.len() <= 76, "{}", line);
            }
        }

        #[test]
        fn any_text_decodes(text in "(=\\?|\\?=|UTF-8|\\?[BQ]\\?|[ -~]|é){0,40}") {
            let _ = decode_words(&text);
        }
    }
}
