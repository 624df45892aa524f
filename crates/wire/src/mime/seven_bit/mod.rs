//! A body for a peer that takes 7-bit text only, because it has no 8BITMIME (RFC 6152).
//!
//! Owns: which parts must be encoded and how, and the header sections of parts where that shows.
//! Never knows: peers, SMTP, the header section of the mail.
//!
//! Only what has to change does. A part with octets over 127 or lines over 998 octets is encoded: text in
//! quoted-printable, anything else in base64; one that is in an encoding already is put in the same one anew. A part or
//! multipart that calls itself `8bit` or `binary` and is neither calls itself `7bit` afterwards. Parts are encoded
//! inside of multiparts, never multiparts (RFC 2045 6.4). `message/rfc822` is a part like any other here as in the walk,
//! so that it may come out in base64: against the letter of RFC 2046 5.2.1, but whole.
//!
//! Header sections of parts, where a field has octets over 127 or too long a line: parameters of `Content-Type` and
//! `Content-Disposition` go as RFC 2231 has it, values that are identifiers get `?` for each character that cannot
//! stay, all others become encoded words (RFC 2047). Values are cut where they name nothing any more. What is neither
//! part nor field and does not fit (a line of a preamble, say) becomes the line `?`: nobody reads it.

mod head;

use super::transfer::{encode_base64, encode_quoted_printable};
use super::{Part, Problem, Structure, TransferEncoding, WalkLimits, decode_transfer, walk};
use std::fmt;
use std::ops::Range;

/// What becomes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SevenBit {
    /// It is 7-bit as it stands, and says nothing else.
    Fits,
    /// This one goes in its place.
    Rewritten {
        /// The body, in wire form.
        body: Vec<u8>,
        /// The `Content-Transfer-Encoding` that the mail must now have; `None` if its field stays as it is.
        content_transfer_encoding: Option<&'static str>,
    },
    /// It cannot be made to fit without losing content; a peer without 8BITMIME cannot have it.
    Impossible(Obstacle),
}

/// Why a body cannot be made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What of it is a part and what is not cannot be told.
    Structure(Problem),
    /// What was written does not read back as the same parts; a boundary outside ASCII does that.
    Reread,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(problem) => write!(f, "the body cannot be made 7-bit: {problem}"),
            Self::Reread => f.write_str("the body cannot be made 7-bit: its parts would not be found again"),
        }
    }
}

/// Longest line of a mail without its CRLF (RFC 5322 2.1.1).
const LINE_MAX: usize = 998;

/// Makes a body 7-bit: octets up to 127, lines up to 998 octets. `content_type` and `transfer_encoding` are those of
/// the mail; `body` is in wire form, and so is what comes out. Parts are found within `limits`.
///
/// Time and memory are linear in the octets of the body.
pub fn seven_bit(
    content_type: Option<&str>,
    transfer_encoding: Option<&str>,
    body: &[u8],
    limits: WalkLimits,
) -> SevenBit {
    let structure = walk(content_type, transfer_encoding, body, limits);
    let mislabelled = transfer_encoding.is_some_and(is_wide_label);
    let relabelled = mislabelled.then_some("7bit");
    if let Some(problem) = structure.problems.iter().find(|problem| !problem.is_tolerable()) {
        return match (fits(body), mislabelled) {
            (false, _) => SevenBit::Impossible(Obstacle::Structure(*problem)),
            (true, false) => SevenBit::Fits,
            (true, true) => {
                SevenBit::Rewritten { body: body.to_vec(), content_transfer_encoding: relabelled }
            }
        };
    }
    let (rewritten, encoding) = rewrite(body, &structure);
    let content_transfer_encoding = encoding.or(relabelled);
    if content_transfer_encoding.is_none() && rewritten == body {
        return SevenBit::Fits;
    }
    let new_encoding = content_transfer_encoding.or(transfer_encoding);
    if !same_parts(&structure, &walk(content_type, new_encoding, &rewritten, limits)) {
        return SevenBit::Impossible(Obstacle::Reread);
    }
    SevenBit::Rewritten { body: rewritten, content_transfer_encoding }
}

/// The body with all that must change, and the encoding of a body that is one part, if that changed.
fn rewrite(body: &[u8], structure: &Structure) -> (Vec<u8>, Option<&'static str>) {
    let cut = |range: Range<u64>| body.get(range.start as usize..range.end as usize).unwrap_or_default();
    let parts = structure.parts.iter().map(|part| (part.headers.clone(), Some(part)));
    let multiparts = structure.multiparts.iter().map(|headers| (headers.clone(), None));
    let mut sections: Vec<(Range<u64>, Option<&Part>)> = parts.chain(multiparts).collect();
    sections.sort_by_key(|(headers, _)| headers.start);
    let mut out = Vec::with_capacity(body.len() + body.len() / 2);
    let (mut single, mut at) = (None, 0);
    for (headers, part) in sections {
        copy_loose(&mut out, cut(at..headers.start));
        let section = cut(headers.clone());
        at = headers.end;
        let Some(part) = part else {
            head::write(&mut out, section, head::is_wide(section).then_some("7bit"));
            continue;
        };
        at = part.body.end;
        let content = cut(part.body.clone());
        let encoding = encoding_for(part, content);
        let label = match encoding {
            // An encoding that stays has its name already.
            Some(encoding) => (encoding != part.transfer_encoding).then_some(encoding.as_str()),
            None => head::is_wide(section).then_some("7bit"),
        };
        if part.depth == 0 {
            single = label;
        } else {
            head::write(&mut out, section, label);
        }
        match encoding {
            Some(encoding) => encode(&mut out, encoding, part, content, at == body.len() as u64),
            None => out.extend_from_slice(content),
        }
    }
    copy_loose(&mut out, cut(at..body.len() as u64));
    (out, single)
}

/// How a part must be encoded; `None` if its octets can stay.
fn encoding_for(part: &Part, content: &[u8]) -> Option<TransferEncoding> {
    if fits(content) {
        return None;
    }
    Some(match part.transfer_encoding {
        TransferEncoding::Identity if part.kind().starts_with("text/") => TransferEncoding::QuotedPrintable,
        TransferEncoding::Identity => TransferEncoding::Base64,
        encoding => encoding,
    })
}

/// The content of a part in another encoding. Behind the last part that nothing closes, the line must be ended here.
fn encode(out: &mut Vec<u8>, encoding: TransferEncoding, part: &Part, content: &[u8], is_last: bool) {
    let plain = decode_transfer(part.transfer_encoding, content);
    let (encoded, line_end): (_, &[u8]) = match encoding {
        TransferEncoding::QuotedPrintable => (encode_quoted_printable(&plain), b"=\r\n"),
        _ => (encode_base64(&plain), b"\r\n"),
    };
    out.extend_from_slice(&encoded);
    if is_last && !encoded.ends_with(b"\r\n") {
        out.extend_from_slice(line_end);
    }
}

/// Delimiters, preambles, epilogues: as they are where they fit. No delimiter is a line that does not.
fn copy_loose(out: &mut Vec<u8>, lines: &[u8]) {
    if fits(lines) {
        out.extend_from_slice(lines);
        return;
    }
    for line in lines.split_inclusive(|b| *b == b'\n') {
        if fits(line) {
            out.extend_from_slice(line);
        } else {
            out.extend_from_slice(b"?\r\n");
        }
    }
}

/// Whether these octets can go to a peer without 8BITMIME. They begin and end at the ends of lines.
fn fits(octets: &[u8]) -> bool {
    if !octets.is_ascii() {
        return false;
    }
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', octets).chain([octets.len()]) {
        let line = &octets[start.min(end)..end];
        if line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_MAX {
            return false;
        }
        start = end + 1;
    }
    true
}

/// Whether an encoding of this name promises less than 7-bit text.
fn is_wide_label(name: &str) -> bool {
    let name = name.split(';').next().unwrap_or_default().trim().trim_matches('"');
    name.eq_ignore_ascii_case("8bit") || name.eq_ignore_ascii_case("binary")
}

/// Whether a reader finds the same parts: what is sent in place of a body must be that body.
fn same_parts(before: &Structure, after: &Structure) -> bool {
    let same = |(a, b): (&Part, &Part)| a.depth == b.depth && (a.kind() == b.kind() || !a.kind().is_ascii());
    before.parts.len() == after.parts.len()
        && before.problems == after.problems
        && before.parts.iter().zip(&after.parts).all(same)
}

#[cfg(test)]
mod tests;
