//! The header section of a part, with another transfer encoding and without what is not 7-bit.
//!
//! Owns: how a value outside ASCII is written here. Never knows: content.

use super::{copy_loose, fits, is_wide_label};
use crate::mime::{ContentType, Field, HeaderBlock, HeaderLimits, encode_text};
use std::fmt::Write;

/// Longest name and longest value that are written on one line.
const NAME_MAX: usize = 78;
const VALUE_MAX: usize = 900;
/// Parameters are cut here, as the walk does: nothing that is longer names anything.
const PARAMETER_MAX: usize = 2048;
/// Octets of a parameter on one line, where each may take three characters.
const SECTION_MAX: usize = 250;

const ENCODING: &str = "Content-Transfer-Encoding";

/// The walk has bounded the section.
fn parse(section: &[u8]) -> Option<HeaderBlock<'_>> {
    let limits = HeaderLimits { head_max: usize::MAX, fields_max: usize::MAX };
    HeaderBlock::parse_within(section, &limits).ok()
}

/// Whether the section says `8bit` or `binary`.
pub(super) fn is_wide(section: &[u8]) -> bool {
    parse(section).and_then(|block| block.text(ENCODING)).is_some_and(|name| is_wide_label(&name))
}

/// Writes `section`, which ends with its empty line, with `encoding` if there is one. Fields that fit stay octet for
/// octet.
pub(super) fn write(out: &mut Vec<u8>, section: &[u8], encoding: Option<&str>) {
    let Some(block) = parse(section).filter(|_| encoding.is_some() || !fits(section)) else {
        out.extend_from_slice(section);
        return;
    };
    let fields_len: usize = block.fields().iter().map(|field| field.line().len()).sum();
    let empty_len = match (block.has_empty_line(), section[..block.head_len()].ends_with(b"\r\n")) {
        (false, _) => 0,
        (true, true) => 2,
        (true, false) => 1,
    };
    let fields_end = block.head_len() - empty_len;
    // In front of the first field can be what belongs to none.
    let before = &section[..fields_end - fields_len];
    if fits(before) {
        out.extend_from_slice(before);
    }
    let mut left = encoding;
    let named = |name: &str| format!("{ENCODING}: {name}\r\n").into_bytes();
    for field in block.fields() {
        if encoding.is_some() && field.is(ENCODING) {
            out.extend(left.take().map(named).unwrap_or_default());
        } else if fits(field.line()) {
            out.extend_from_slice(field.line());
        } else {
            write_field(out, *field);
        }
    }
    out.extend(left.map(named).unwrap_or_default());
    // The empty line, perhaps behind lines that are no fields; those must not become any.
    copy_loose(out, &section[fields_end..]);
}

/// A field that does not fit, written so that it does. One with an endless name is left out.
fn write_field(out: &mut Vec<u8>, field: Field<'_>) {
    let name = field.name();
    if name.len() > NAME_MAX {
        return;
    }
    let value = if field.is("Content-Type") || field.is("Content-Disposition") {
        parameters(&field.text())
    } else if field.is("Content-ID") || field.is(ENCODING) || field.is("MIME-Version") {
        printable(&field.text())
    } else {
        encode_text(&field.decoded(), name.len() + 2).into_owned()
    };
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

/// `text` with `?` for all that is not printable ASCII, cut to one line.
fn printable(text: &str) -> String {
    text.chars().take(VALUE_MAX).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// A value with its parameters, each on a line of its own: in quotation marks, or in the form of RFC 2231.
fn parameters(text: &str) -> String {
    let value = ContentType::value(text);
    let mut out = printable(value.kind());
    for (at, (name, content)) in value.parameters().iter().enumerate() {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&+-.^_`{}~".contains(&b);
        let repeated = value.parameters()[..at].iter().any(|(earlier, _)| earlier == name);
        if repeated || name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(token) {
            continue;
        }
        let escaped = content.replace('\\', "\\\\").replace('"', "\\\"");
        if escaped.len() <= VALUE_MAX && escaped.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            let _ = write!(out, ";\r\n {name}=\"{escaped}\"");
            continue;
        }
        let content = &content.as_bytes()[..content.floor_char_boundary(PARAMETER_MAX)];
        let sections = content.len().div_ceil(SECTION_MAX);
        for (index, section) in content.chunks(SECTION_MAX).enumerate() {
            let number = if sections > 1 { format!("*{index}") } else { String::new() };
            let charset = if index == 0 { "utf-8''" } else { "" };
            let _ = write!(out, ";\r\n {name}{number}*={charset}{}", percent_encoded(section));
        }
    }
    out
}

fn percent_encoded(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 3);
    for octet in octets {
        if octet.is_ascii_alphanumeric() || b"-._".contains(octet) {
            out.push(char::from(*octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(section: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, section.as_bytes(), None);
        assert!(fits(&out), "{section}");
        String::from_utf8(out).unwrap()
    }

    fn rewritten_type(text: &str) -> ContentType {
        let out = written(&format!("Content-Type: {text}\r\n\r\n"));
        ContentType::parse(&HeaderBlock::parse(out.as_bytes()).unwrap().text("Content-Type").unwrap())
            .unwrap()
    }

    #[test]
    fn the_first_of_two_parameters_counts_as_before() {
        let kind = rewritten_type("image/jpeg; name=\u{e9}; NAME=\u{fc}; \u{e9}=x; a b=x; y=\"\\\\\"");
        assert_eq!(kind.parameters(), [("y".into(), "\\".into()), ("name".into(), "\u{e9}".into())]);
    }

    #[test]
    fn values_at_their_limits() {
        let text = |n: usize| "\u{e9}".repeat(n / 2);
        for (n, kept) in [(2, 2), (250, 250), (252, 252), (2048, 2048), (2050, 2048), (9000, 2048)] {
            let kind = rewritten_type(&format!("multipart/mixed; name={}; boundary=b", text(n)));
            assert_eq!((kind.parameter("name"), kind.boundary()), (Some(&*text(kept)), Some("b")), "{n}");
        }
        let quotes = |n: usize| "\\\"".repeat(n);
        for n in [450, 451, 600] {
            let kind = rewritten_type(&format!("a/b; x=\u{e9}; name=\"{}\"", quotes(n)));
            assert_eq!(kind.parameter("name"), Some(&*"\"".repeat(n)), "{n}");
        }
        for (n, kept) in [(78, 1), (79, 0), (2000, 0)] {
            let out = written(&format!("{}: \u{e9}{}\r\nX: 1\r\n\r\n", "n".repeat(n), "x".repeat(899)));
            assert_eq!(HeaderBlock::parse(out.as_bytes()).unwrap().fields().len(), 1 + kept, "{n}");
        }
        let id = written(&format!("{}: \u{e9}\r\nContent-ID: {}\r\n\r\n", "n".repeat(78), "i".repeat(2000)));
        assert_eq!(HeaderBlock::parse(id.as_bytes()).unwrap().text("Content-ID").unwrap(), "i".repeat(900));
    }
}
