//! A record of the content log: a piece of one content, with enough beside it to be recognised.
//!
//! Owns: the 32 octets in front of every piece. Never knows: files.
//!
//! ```text
//! 0  magic "BMM1"        8  generation of the segment    24  number of the piece, from 0
//! 4  crc32c of the rest  16  content                     28  octets that follow
//! ```
//!
//! All numbers are little-endian. The generation keeps what a recycled file held before from being taken for what it
//! holds now; the content and piece keep a neighbour's piece from being taken for ours.

pub(crate) const HEADER: usize = 32;
const MAGIC: [u8; 4] = *b"BMM1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) content: u64,
    pub(crate) part: u32,
    pub(crate) len: u32,
}

impl Header {
    fn words(self) -> [u8; HEADER - 8] {
        let mut words = [0; HEADER - 8];
        words[..8].copy_from_slice(&self.generation.to_le_bytes());
        words[8..16].copy_from_slice(&self.content.to_le_bytes());
        words[16..20].copy_from_slice(&self.part.to_le_bytes());
        words[20..].copy_from_slice(&self.len.to_le_bytes());
        words
    }

    /// The header of a record with these octets.
    pub(crate) fn seal(self, octets: &[u8]) -> [u8; HEADER] {
        let words = self.words();
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&crc32c::crc32c_append(crc32c::crc32c(&words), octets).to_le_bytes());
        header[8..].copy_from_slice(&words);
        header
    }

    /// Whether `header` is this header; then the checksum so far and the one that must come out.
    pub(crate) fn recognise(self, header: &[u8; HEADER]) -> Option<Check> {
        let words = self.words();
        if header[..4] != MAGIC || header[8..] != words {
            return None;
        }
        let expected = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        Some(Check { sum: crc32c::crc32c(&words), expected })
    }
}

/// A checksum under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    sum: u32,
    expected: u32,
}

impl Check {
    pub(crate) fn take(&mut self, octets: &[u8]) {
        self.sum = crc32c::crc32c_append(self.sum, octets);
    }

    pub(crate) fn holds(self) -> bool {
        self.sum == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_record_is_recognised() {
        let header = Header { generation: 1 << 40, content: 7, part: 2, len: 5 };
        let sealed = header.seal(b"hello");
        let mut check = header.recognise(&sealed).unwrap();
        check.take(b"hel");
        assert!(!check.holds());
        check.take(b"lo");
        assert!(check.holds());
        for other in [
            Header { generation: 2, ..header },
            Header { content: 8, ..header },
            Header { part: 3, ..header },
            Header { len: 4, ..header },
        ] {
            assert!(other.recognise(&sealed).is_none());
        }
        assert!(header.recognise(&[0; HEADER]).is_none());
    }
}
