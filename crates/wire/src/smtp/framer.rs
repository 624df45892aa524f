//! Where content ends: the one place that decides it.
//!
//! Owns: the rule that only CRLF ends a line and only CRLF `.` CRLF ends content (RFC 5321 4.1.1.4, 2.3.8).
//! Never knows: commands, limits, what the content says.
//!
//! Two servers that disagree about the end of content let a sender forge a second mail (smuggling). So there is no
//! tolerance here: a CR or LF alone, or a NUL, is an error. Octets that cannot be judged yet (`.`, CR at the end of
//! the input) are left with the caller, who shows them again with what follows.

use super::server::Violation;

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// So many octets of content; the rest, at most two octets or a terminator, must be shown again.
    Content(usize),
    /// The three octets that end content.
    End,
    /// Not fit to be content.
    Bad(Violation),
}

#[derive(Debug)]
pub(super) struct Framer {
    line_start: bool,
    octets: u64,
    stuffed: u64,
}

impl Framer {
    pub(super) const fn new() -> Self {
        Self { line_start: true, octets: 0, stuffed: 0 }
    }

    /// The size of the message so far as RFC 1870 counts it: without the doubled dots.
    pub(super) const fn size(&self) -> u64 {
        self.octets - self.stuffed
    }

    /// Judges the front of `input`, one `memchr3` per line.
    pub(super) fn frame(&mut self, input: &[u8]) -> Frame {
        let (mut at, mut stuffed) = (0, 0);
        let mut line_start = self.line_start;
        loop {
            if line_start {
                match &input[at..] {
                    [] | [b'.'] | [b'.', b'\r'] => break,
                    [b'.', b'\r', b'\n', ..] if at == 0 => return Frame::End,
                    [b'.', b'\r', b'\n', ..] => break,
                    [b'.', ..] => stuffed += 1,
                    _ => {}
                }
            }
            let Some(found) = memchr::memchr3(b'\r', b'\n', 0, &input[at..]) else {
                line_start = line_start && at == input.len();
                at = input.len();
                break;
            };
            let hit = at + found;
            let violation = match (input[hit], input.get(hit + 1)) {
                (b'\r', Some(b'\n')) => {
                    at = hit + 2;
                    line_start = true;
                    continue;
                }
                (b'\r', None) => {
                    // A CR at the very start of a line leaves the question of the dot to the next line.
                    at = hit;
                    line_start = false;
                    break;
                }
                (b'\r', Some(_)) => Violation::BareCr,
                (b'\n', _) => Violation::BareLf,
                _ => Violation::Nul,
            };
            // What came before still counts: whether the limits were passed earlier must not depend on chunks.
            self.octets += hit as u64;
            self.stuffed += stuffed;
            return Frame::Bad(violation);
        }
        self.line_start = line_start;
        self.octets += at as u64;
        self.stuffed += stuffed;
        Frame::Content(at)
    }
}
