//! The structure of a body: which parts it has and where, in one pass over the wire form as it arrives.
//!
//! Owns: boundaries, part headers, ranges, the limits on depth, parts and headers.
//! Never knows: what is in a part, what a transfer encoding hides, who sent it.
//!
//! A multipart is searched for LF `--` at the speed of `memmem`; base64 has no `-`, so that pictures cost next to
//! nothing. Only lines that begin with `--` and part headers are looked at octet by octet. There is no recursion: open
//! multiparts are a stack of boundaries, and a boundary of an outer one ends all inner ones (RFC 2046 5.1.2).
//! `message/rfc822` is a part like any other.

mod part;

pub use part::{Part, Problem, Structure};

use super::{ContentType, HeaderBlock, HeaderLimits, TransferEncoding};
use memchr::memmem::Finder;

/// What a body may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimits {
    /// Multiparts inside each other.
    pub depth_max: usize,
    /// Parts, multiparts included.
    pub parts_max: usize,
    /// Octets of the header section of one part.
    pub header_max: usize,
}

impl Default for WalkLimits {
    fn default() -> Self {
        Self { depth_max: 10, parts_max: 100, header_max: 16 * 1024 }
    }
}

/// Longest boundary that is understood.
pub(super) const BOUNDARY_MAX: usize = 200;
/// Longest line that can be a delimiter: boundary, `--`, and some blanks that a relay added.
const DELIMITER_MAX: usize = BOUNDARY_MAX + 80;
const PART_FIELDS_MAX: usize = 100;

/// The structure of `body`, which is in wire form, in one go. See [`Walk::new`].
pub fn walk(
    content_type: Option<&str>,
    transfer_encoding: Option<&str>,
    body: &[u8],
    limits: WalkLimits,
) -> Structure {
    let mut walk = Walk::new(content_type, transfer_encoding, limits);
    walk.push(body);
    walk.finish()
}

/// Where in the body the walk is.
#[derive(Debug)]
enum Mode {
    /// The body is one part.
    Single,
    /// In content, preamble or epilogue, looking for LF `--`; so many octets of it were the last ones.
    Content { matched: u8 },
    /// On a line that began with `--`; `line` holds what follows.
    Delimiter,
    /// In the headers of a part.
    Headers { start: u64, line_start: usize },
    /// Nothing that follows can matter.
    Over,
}

/// A walk under way: push the body in chunks of any size, then finish.
///
/// ```
/// use wire::mime::{Walk, WalkLimits};
///
/// let mut walk = Walk::new(Some("multipart/mixed; boundary=b"), None, WalkLimits::default());
/// walk.push(b"--b\r\nContent-Type: text/plain\r\n\r\nhel");
/// walk.push(b"lo\r\n--b--\r\n");
/// let structure = walk.finish();
/// assert_eq!(structure.parts[0].body, 33..38);
/// ```
#[derive(Debug)]
pub struct Walk {
    limits: WalkLimits,
    finder: Finder<'static>,
    boundaries: Vec<Vec<u8>>,
    mode: Mode,
    /// Octets consumed.
    at: u64,
    /// The last octet consumed.
    last: u8,
    /// Where a body ends if what comes now is a delimiter: before the line end in front of it.
    content_end: u64,
    line: Vec<u8>,
    head: Vec<u8>,
    open: bool,
    seen: usize,
    delimiters: usize,
    found: Structure,
    #[cfg(test)]
    steps: u64,
}

impl Walk {
    /// A walk over a body of this content type and transfer encoding, both as their fields say. Without a content
    /// type, or with one that cannot be read, the body is one part of plain text (RFC 2045 5.2).
    pub fn new(content_type: Option<&str>, transfer_encoding: Option<&str>, limits: WalkLimits) -> Self {
        let mut found = Structure::default();
        let parsed = content_type.and_then(ContentType::parse);
        let mut boundaries = Vec::new();
        let mut mode = Mode::Single;
        if let Some(multipart) = parsed.as_ref().filter(|parsed| parsed.is_multipart()) {
            match multipart.boundary() {
                Some(boundary) if limits.depth_max > 0 => {
                    boundaries.push(boundary.as_bytes().to_vec());
                    mode = Mode::Content { matched: 1 };
                }
                Some(_) => found.notice(Problem::TooDeep),
                None => found.notice(Problem::NoBoundary),
            }
        }
        if matches!(mode, Mode::Single) {
            found.parts.push(Part::single(content_type, transfer_encoding));
        }
        Self {
            limits,
            finder: Finder::new(b"\n--"),
            boundaries,
            mode,
            at: 0,
            last: b'\n',
            content_end: 0,
            line: Vec::new(),
            head: Vec::new(),
            open: false,
            seen: 0,
            delimiters: 0,
            found,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Takes the next octets of the body.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let used = match self.mode {
                Mode::Single | Mode::Over => rest.len(),
                Mode::Content { matched: 0 } => self.search(rest),
                Mode::Content { matched } => self.go_on_matching(matched, rest[0]),
                Mode::Delimiter => self.delimiter_line(rest),
                Mode::Headers { start, line_start } => self.header_line(start, line_start, rest),
            };
            let (done, later) = rest.split_at(used.min(rest.len()));
            self.at += done.len() as u64;
            self.last = done.last().copied().unwrap_or(self.last);
            rest = later;
            #[cfg(test)]
            {
                self.steps += 1 + done.len() as u64;
            }
        }
    }

    /// The body is complete: its parts and problems.
    pub fn finish(mut self) -> Structure {
        match self.mode {
            Mode::Delimiter => {
                let line = std::mem::take(&mut self.line);
                if !self.delimiter(&line, self.at) {
                    self.mode = Mode::Content { matched: 0 };
                }
            }
            Mode::Headers { start, .. } => self.headers_end(start, self.at),
            _ => {}
        }
        if matches!(self.mode, Mode::Headers { .. }) {
            // A delimiter was the last thing; an empty part is no part.
            self.mode = Mode::Over;
        }
        if matches!(self.mode, Mode::Single) {
            if self.at == 0 {
                self.found.parts.clear();
            }
            if let Some(part) = self.found.parts.first_mut() {
                part.end_body(self.at);
            }
            return self.found;
        }
        self.close_part(self.at);
        if self.delimiters == 0 && self.at > 2 {
            self.found.notice(Problem::NoDelimiter);
        } else if self.delimiters > 0 && !self.boundaries.is_empty() {
            self.found.notice(Problem::MissingClose);
        }
        self.found
    }

    /// In content: to the next LF `--`, or to what may be the beginning of one at the end.
    fn search(&mut self, rest: &[u8]) -> usize {
        let (newline, matched) = match self.finder.find(rest) {
            Some(at) => (at, 3),
            None if rest.ends_with(b"\n-") => (rest.len() - 2, 2),
            None if rest.ends_with(b"\n") => (rest.len() - 1, 1),
            None => return rest.len(),
        };
        let before = if newline > 0 { rest[newline - 1] } else { self.last };
        self.content_end =
            self.at + newline as u64 - u64::from(before == b'\r' && self.at + newline as u64 > 0);
        self.matched(matched);
        newline + usize::from(matched)
    }

    /// Behind LF or LF `-`: one octet.
    fn go_on_matching(&mut self, matched: u8, octet: u8) -> usize {
        match octet {
            b'-' => self.matched(matched + 1),
            b'\n' => {
                self.content_end = self.at.saturating_sub(u64::from(self.last == b'\r'));
                self.matched(1);
            }
            _ => self.matched(0),
        }
        1
    }

    fn matched(&mut self, matched: u8) {
        self.line.clear();
        self.mode = if matched < 3 { Mode::Content { matched } } else { Mode::Delimiter };
    }

    /// On a line that began with `--`: to its end.
    fn delimiter_line(&mut self, rest: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        let room = DELIMITER_MAX - self.line.len().min(DELIMITER_MAX);
        self.line.extend_from_slice(&rest[..taken.min(room)]);
        if self.line.len() == DELIMITER_MAX {
            // Too long to be one. Search on from here, where no line begins.
            self.matched(0);
            return taken.min(room);
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line_end = self.at + taken as u64;
            if !self.delimiter(&line, line_end) {
                let ending =
                    if line.ends_with(b"\r\n") || (line == b"\n" && self.last == b'\r') { 2 } else { 1 };
                self.content_end = line_end.saturating_sub(ending);
                self.matched(1);
            }
        }
        taken
    }

    /// Whether `line`, which follows `--`, is a delimiter; if so, acts on it. `line_end` is where the next line begins.
    fn delimiter(&mut self, line: &[u8], line_end: u64) -> bool {
        #[cfg(test)]
        {
            self.steps += (self.boundaries.len() * line.len()) as u64;
        }
        let Some(level) = self.level_of(line) else { return false };
        let line = line.trim_ascii_end();
        self.delimiters += 1;
        self.close_part(self.content_end);
        if level + 1 < self.boundaries.len() {
            self.found.notice(Problem::MissingClose);
        }
        if line == &self.boundaries[level][..] {
            self.boundaries.truncate(level + 1);
            self.head.clear();
            self.mode = Mode::Headers { start: line_end, line_start: 0 };
        } else {
            self.boundaries.truncate(level);
            self.content_end = line_end;
            self.mode = if self.boundaries.is_empty() { Mode::Over } else { Mode::Content { matched: 1 } };
        }
        true
    }

    /// In the headers of a part: to the end of the line.
    fn header_line(&mut self, start: u64, line_start: usize, rest: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        let room = (self.limits.header_max + 1).saturating_sub(self.head.len());
        let taken = taken.min(room);
        self.head.extend_from_slice(&rest[..taken]);
        let line_end = self.at + taken as u64;
        if self.head.len() > self.limits.header_max {
            self.found.notice(Problem::HeaderTooLong);
            self.headers_end(start, line_end);
            return taken;
        }
        if end.is_none() {
            return taken;
        }
        let line = &self.head[line_start..];
        if line == b"\r\n" || line == b"\n" {
            self.headers_end(start, line_end);
            if let Mode::Content { matched } = &mut self.mode {
                // The body begins at the start of a line; a delimiter may follow at once.
                *matched = 1;
            }
            return taken;
        }
        // A part of headers only may be ended by the next delimiter.
        let delimiter = line.strip_prefix(b"--").filter(|line| self.level_of(line).is_some());
        if let Some(delimiter) = delimiter.map(<[u8]>::to_vec) {
            self.head.truncate(line_start);
            self.headers_end(start, start + line_start as u64);
            self.delimiter(&delimiter, line_end);
        } else {
            self.mode = Mode::Headers { start, line_start: self.head.len() };
        }
        taken
    }

    /// Which open multipart `line`, which follows `--`, delimits: the innermost one.
    fn level_of(&self, line: &[u8]) -> Option<usize> {
        let line = line.trim_ascii_end();
        self.boundaries.iter().rposition(|b| line == &b[..] || line.strip_suffix(b"--") == Some(&b[..]))
    }

    /// The headers of a part are complete; its body begins at `body_start`.
    fn headers_end(&mut self, start: u64, body_start: u64) {
        self.content_end = body_start;
        self.mode = Mode::Content { matched: 0 };
        self.seen += 1;
        if self.seen > self.limits.parts_max {
            self.found.notice(Problem::TooManyParts);
            self.boundaries.clear();
            self.mode = Mode::Over;
            return;
        }
        let limits = HeaderLimits { head_max: self.limits.header_max + 1, fields_max: PART_FIELDS_MAX };
        let head = std::mem::take(&mut self.head);
        let block = match HeaderBlock::parse_within(&head, &limits) {
            Ok(block) => Some(block),
            Err(_) => {
                self.found.notice(Problem::HeaderTooLong);
                None
            }
        };
        let (part, content_type) = Part::read(block.as_ref(), self.boundaries.len(), start..body_start);
        if let Some(multipart) = content_type.filter(ContentType::is_multipart) {
            match multipart.boundary() {
                Some(boundary) if self.boundaries.len() < self.limits.depth_max => {
                    self.boundaries.push(boundary.as_bytes().to_vec());
                    self.found.multiparts.push(start..body_start);
                    return;
                }
                Some(_) => self.found.notice(Problem::TooDeep),
                None => self.found.notice(Problem::NoBoundary),
            }
        }
        self.found.parts.push(part);
        self.open = true;
    }

    fn close_part(&mut self, end: u64) {
        if std::mem::take(&mut self.open)
            && let Some(part) = self.found.parts.last_mut()
        {
            part.end_body(end);
        }
    }
}

impl TransferEncoding {
    /// The encoding of a field value, identity without one.
    pub(super) fn of(value: Option<&str>) -> Self {
        value.map_or(Self::Identity, Self::named)
    }
}

#[cfg(test)]
mod tests;
