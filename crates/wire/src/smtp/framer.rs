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

    /// Judges the front of `input`: whole blocks of plain lines at once, the rest with one `memchr3` per line.
    pub(super) fn frame(&mut self, input: &[u8]) -> Frame {
        let (mut at, mut stuffed) = (0, 0);
        // A block with something in it has been looked at up to here; it is not looked at again for each of its lines.
        let mut seen = 0;
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
            if at >= seen {
                let (plain, looked_at) = plain_octets(&input[at..]);
                seen = at + looked_at;
                at += plain;
                // A line may begin behind them, but not with a dot, and that is all that counts.
                line_start &= plain == 0;
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

/// Octets that are looked at together, at most.
const BLOCK_MAX: usize = 1024;
/// Fewer are not worth it.
const BLOCK_MIN: usize = 64;

/// How many octets at the front of `input` are nothing but ended lines and parts of lines: no CR or LF alone, no NUL, no
/// line that begins with a dot, but for one with which `input` begins. They do not end between CR and LF. And how many
/// octets were looked at: looking again before there costs more than it brings.
///
/// Both are lower bounds, found block by block, with halves of the block in which something is.
fn plain_octets(input: &[u8]) -> (usize, usize) {
    if input.first() == Some(&b'\n') {
        return (0, 0);
    }
    let (mut end, mut block, mut looked_at) = (0, BLOCK_MAX, 0);
    while block >= BLOCK_MIN {
        // Each octet is judged together with the two behind it; in whole groups, as vectors hold them.
        let octets = block.min(input.len().saturating_sub(end + 2)) / 32 * 32;
        if octets == 0 {
            break;
        }
        looked_at = looked_at.max(end + octets);
        if is_plain(&input[end..end + octets + 2]) {
            end += octets;
            // Behind half a block comes the other half, with something in it.
            block = if block < BLOCK_MAX { block / 2 } else { block };
        } else {
            block = octets / 2;
        }
    }
    // The LF was seen to follow, but the line is ended by whoever goes on.
    (end - usize::from(end > 0 && input[end - 1] == b'\r'), looked_at)
}

/// Whether none of the octets but the last two is a NUL, and with the two behind it a CR without LF, the octet in front
/// of a LF without CR, or the CR in front of a line that begins with a dot.
///
/// There is no branch for an octet, and no length that the compiler knows: so it makes a short loop of vector
/// instructions of it.
fn is_plain(octets: &[u8]) -> bool {
    let (mut odd, mut lowest) = (false, u8::MAX);
    for ((first, second), third) in octets.iter().zip(&octets[1..]).zip(&octets[2..]) {
        let line_feed = *second == b'\n';
        odd |= ((*first == b'\r') ^ line_feed) | (line_feed & (*third == b'.'));
        lowest = lowest.min(*first);
    }
    !odd && lowest > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// The rules as a reader of RFC 5321 would write them down: one octet after the other.
    #[derive(Debug, Default)]
    struct Reference {
        /// The octets behind the last line end.
        line: Vec<u8>,
        octets: u64,
        dots: u64,
    }

    impl Reference {
        /// What is at the front of `input`, of which more may come. The octets that can be judged were taken.
        fn frame(&mut self, input: &[u8]) -> Frame {
            let mut taken = 0;
            let end = loop {
                let rest = &input[taken..];
                match rest {
                    [] => break Frame::Content(taken),
                    b"." | b".\r" if self.line.is_empty() => break Frame::Content(taken),
                    [b'.', b'\r', b'\n', ..] if self.line.is_empty() => {
                        break if taken == 0 { Frame::End } else { Frame::Content(taken) };
                    }
                    [b'\r', b'\n', ..] => {
                        self.line.clear();
                        taken += 2;
                        continue;
                    }
                    b"\r" => break Frame::Content(taken),
                    [b'\r', ..] => break Frame::Bad(Violation::BareCr),
                    [b'\n', ..] => break Frame::Bad(Violation::BareLf),
                    [0, ..] => break Frame::Bad(Violation::Nul),
                    [octet, ..] => {
                        self.dots += u64::from(*octet == b'.' && self.line.is_empty());
                        self.line.push(*octet);
                        taken += 1;
                    }
                }
            };
            self.octets += taken as u64;
            end
        }
    }

    /// Shows `wire` to both in chunks that end at `cuts`, the octets that were left always again.
    fn both(wire: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
        let (mut framer, mut reference) = (Framer::new(), Reference::default());
        let mut from = 0;
        for cut in cuts.iter().copied().filter(|cut| *cut < wire.len()).chain([wire.len()]) {
            if cut < from {
                continue;
            }
            loop {
                let frame = framer.frame(&wire[from..cut]);
                prop_assert_eq!(&frame, &reference.frame(&wire[from..cut]), "{} to {}", from, cut);
                prop_assert_eq!(framer.size(), reference.octets - reference.dots, "{} to {}", from, cut);
                match frame {
                    Frame::Content(0) => break,
                    Frame::Content(octets) => from += octets,
                    Frame::End | Frame::Bad(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Nothing but what matters, as short as it gets.
    fn dense() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(vec![
            &b"\r\n"[..],
            b"\r\n",
            b"\r\n",
            b"\r\n.",
            b"\r\n..",
            b"\r\n.\r\n",
            b".",
            b"x",
            b"\r\r\n",
            b"\r",
            b"\n",
            b"\0",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Long plain text, in which something stands at any place of a block.
    fn long() -> impl Strategy<Value = Vec<u8>> {
        let lines = (0usize..150, 0usize..60)
            .prop_map(|(width, lines)| [vec![b'a'; width], b"\r\n".to_vec()].concat().repeat(lines));
        let long_line = (0usize..3 * BLOCK_MAX).prop_map(|octets| vec![b'a'; octets]);
        let piece = prop_oneof![
            4 => lines,
            2 => long_line,
            1 => dense(),
            1 => select(vec![&b".\r\n"[..], b"..x\r\n", b"\r\n.\r\n", b"\r", b"\n", b"\0"]).prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    fn cuts(longest: usize) -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(0..longest, 0..12).prop_map(|mut cuts| {
            cuts.sort_unstable();
            cuts
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn s_14_dense_input_is_framed_octet_by_octet(wire in dense(), cuts in cuts(60)) {
            both(&wire, &cuts)?;
        }

        #[test]
        fn long_input_is_framed_as_octet_by_octet(wire in long(), cuts in cuts(12_000)) {
            both(&wire, &cuts)?;
        }
    }

    #[test]
    fn anything_at_any_place_of_a_block() {
        for width in [0, 1, 62, 76, 5000] {
            let plain = [vec![b'a'; width], b"\r\n".to_vec()].concat().repeat(3000 / (width + 2) + 1);
            for odd in
                [&b"\r"[..], b"\n", b"\0", b".", b"\r\n.", b"\r\n.\r\n", b"\r\r\n", b"\n\r\n", b"\r\n\0"]
            {
                for at in 0..2500.min(plain.len()) {
                    let wire = [&plain[..at], odd, &plain[at..]].concat();
                    both(&wire, &[]).unwrap();
                }
            }
        }
    }
}
