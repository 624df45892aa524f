//! What a walk finds: leaf parts with their ranges, and problems.

use crate::mime::{ContentType, HeaderBlock, TransferEncoding, decode_words, strip_angles};
use mms::HeaderText;
use std::fmt;
use std::ops::Range;

/// One leaf part. Ranges count octets of the wire form from the first one that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many multiparts it is inside of; 0 is the body itself.
    pub depth: usize,
    /// Its header section with the empty line; empty for the body itself.
    pub headers: Range<u64>,
    /// Its body, without the line end in front of the delimiter.
    pub body: Range<u64>,
    /// `Content-Type` as written, unfolded.
    pub content_type: Option<HeaderText>,
    /// `Content-Transfer-Encoding`.
    pub transfer_encoding: TransferEncoding,
    /// File name: `name` of the type or `filename` of the disposition, decoded.
    pub name: Option<HeaderText>,
    /// `Content-ID` without angle brackets.
    pub content_id: Option<HeaderText>,
    /// `Content-Location`.
    pub content_location: Option<HeaderText>,
    /// `Content-Disposition` as written, unfolded.
    pub disposition: Option<HeaderText>,
    /// About how many octets the content has when decoded, see [`TransferEncoding::estimate`].
    pub size_estimate: u64,
}

/// Values longer than this are cut; nothing that is longer names anything.
const VALUE_MAX: usize = 2048;

fn value(text: &str) -> HeaderText {
    HeaderText::cleaned(text).capped(VALUE_MAX)
}

impl Part {
    /// The body itself as the only part.
    pub(super) fn single(content_type: Option<&str>, transfer_encoding: Option<&str>) -> Self {
        let parsed = content_type.map(ContentType::value);
        Self {
            depth: 0,
            headers: 0..0,
            body: 0..0,
            content_type: content_type.map(value),
            transfer_encoding: TransferEncoding::of(transfer_encoding),
            name: parsed.as_ref().and_then(|p| p.parameter("name")).map(|n| value(&decode_words(n))),
            content_id: None,
            content_location: None,
            disposition: None,
            size_estimate: 0,
        }
    }

    /// A part with these headers, and its content type.
    pub(super) fn read(
        block: Option<&HeaderBlock<'_>>,
        depth: usize,
        headers: Range<u64>,
    ) -> (Self, Option<ContentType>) {
        let text = |name: &str| block.and_then(|block| block.text(name));
        let raw_type = text("Content-Type");
        let content_type = raw_type.as_deref().and_then(ContentType::parse);
        let mut part = Self::single(raw_type.as_deref(), text("Content-Transfer-Encoding").as_deref());
        let body_start = headers.end;
        part.depth = depth;
        part.headers = headers;
        part.body = body_start..body_start;
        part.content_id = text("Content-ID").map(|id| value(strip_angles(&id)));
        part.content_location = text("Content-Location").map(|l| value(&decode_words(&l)));
        if let Some(disposition) = text("Content-Disposition") {
            let parsed = ContentType::value(&disposition);
            let name = parsed.parameter("filename").map(|n| value(&decode_words(n)));
            part.name = part.name.or(name);
            part.disposition = Some(value(&disposition));
        }
        (part, content_type)
    }

    pub(super) fn end_body(&mut self, end: u64) {
        self.body.end = end.max(self.body.start);
        self.size_estimate = self.transfer_encoding.estimate(self.body.end - self.body.start);
    }

    /// `type/subtype` in lower case; `text/plain` when there is none that can be read (RFC 2045 5.2).
    pub fn kind(&self) -> String {
        let parsed = self.content_type.as_ref().and_then(|t| ContentType::parse(t.as_str()));
        parsed.map_or_else(|| "text/plain".to_owned(), |parsed| parsed.kind().to_owned())
    }
}

/// What is wrong with a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// A multipart without a usable boundary; it counts as one part.
    NoBoundary,
    /// The body is a multipart, has content, and no delimiter in it.
    NoDelimiter,
    /// A multipart deeper than the limit; it counts as one part.
    TooDeep,
    /// More parts than the limit; those beyond it are not listed.
    TooManyParts,
    /// The headers of a part are over the limit; what is beyond counts as its body.
    HeaderTooLong,
    /// A multipart was not closed. Common, and harmless: the last part goes to the end.
    MissingClose,
}

impl Problem {
    /// Whether the parts can be trusted all the same.
    pub const fn is_tolerable(self) -> bool {
        matches!(self, Self::MissingClose)
    }

    /// Whether a limit is exceeded, as opposed to the format being broken.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::TooDeep | Self::TooManyParts | Self::HeaderTooLong)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBoundary => "a multipart has no usable boundary",
            Self::NoDelimiter => "a multipart has content but no delimiter",
            Self::TooDeep => "multiparts are nested too deeply",
            Self::TooManyParts => "there are too many parts",
            Self::HeaderTooLong => "the headers of a part are too long",
            Self::MissingClose => "a multipart is not closed",
        })
    }
}

/// The leaf parts of a body in their order, and what is wrong. An empty body has no parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Leaf parts.
    pub parts: Vec<Part>,
    /// Each kind of problem once.
    pub problems: Vec<Problem>,
    /// Where the header sections of inner multiparts are, in their order; each has its empty line.
    pub(in crate::mime) multiparts: Vec<Range<u64>>,
}

impl Structure {
    pub(super) fn notice(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Estimated size of all content when decoded, in octets.
    pub fn size_estimate(&self) -> u64 {
        self.parts.iter().map(|part| part.size_estimate).sum()
    }

    /// The part to begin with: the one whose content id is `start` of `content_type`.
    pub fn start(&self, content_type: &ContentType) -> Option<&Part> {
        let start = content_type.start()?;
        self.parts.iter().find(|part| part.content_id.as_ref().is_some_and(|id| id.as_str() == start))
    }
}
