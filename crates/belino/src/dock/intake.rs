//! Takes the content of one mail as it arrives: into the content log as the bytes that came, and past the readers that
//! need to see it go by.
//!
//! Owns: the header block (bounded), the structure walk, digest and length. Never knows: what the mail is for.
//! Dropped before its end, it leaves nothing that anybody names.

use relay::Body;
use relay::store::{ContentRef, ContentWriter, Store, StoreError};
use wire::mime::{ContentType, HeaderBlock, Structure, Walk, WalkLimits, find_head_end};

/// Octets of a header block that are read; what is longer is refused.
pub const HEAD_MAX: usize = 64 << 10;

/// Octets of a returned mail that are looked at: what identifies it stands at its beginning.
pub const FRONT_MAX: usize = 64 << 10;

/// One content on its way in.
pub struct Intake {
    /// The store's writer, or why there is none. A mail that needs no storing (a response) is read all the same.
    writer: Result<Box<dyn ContentWriter>, StoreError>,
    head: Vec<u8>,
    /// Where the body begins, once that is known.
    offset: Option<u64>,
    walk: Option<Walk>,
    /// The beginning of the body of what may be a returned mail; nothing else is kept in memory.
    front: Option<Vec<u8>>,
    len: u64,
    digest: u32,
    eight_bit: bool,
}

/// A content that has come to its end.
pub struct Taken {
    /// The header block with its empty line.
    pub head: Vec<u8>,
    /// Length, place of the body, digest.
    pub body: Body,
    /// The parts of the body.
    pub structure: Structure,
    /// The beginning of the body, at most [`FRONT_MAX`], if its type is `multipart/report`.
    pub front: Option<Vec<u8>>,
    /// Where it is stored, or why not.
    pub content: Result<ContentRef, StoreError>,
    /// The header block did not end within [`HEAD_MAX`].
    pub head_too_long: bool,
}

impl Intake {
    /// Ready for the first octet. `declared` is the size that the peer announced.
    pub fn new(store: &dyn Store, declared: Option<u64>) -> Self {
        Self {
            writer: store.content_writer(declared),
            head: Vec::new(),
            offset: None,
            walk: None,
            front: None,
            len: 0,
            digest: 0,
            eight_bit: false,
        }
    }

    /// Octets in wire form, as they came.
    pub fn push(&mut self, octets: &[u8]) {
        if let Ok(writer) = &mut self.writer
            && let Err(error) = writer.write(octets)
        {
            self.writer = Err(error);
        }
        self.len += octets.len() as u64;
        if self.offset.is_some() {
            self.body(octets);
            return;
        }
        // One octet more than the limit is kept, to tell "too long" from "just fits".
        let before = self.head.len();
        let room = (HEAD_MAX + 1).saturating_sub(before).min(octets.len());
        self.head.extend_from_slice(&octets[..room]);
        if let Some(end) = find_head_end(&self.head) {
            self.end_head(end, &octets[room..]);
        }
    }

    /// The header block is complete, or nothing more will come: what follows it is body.
    fn end_head(&mut self, end: usize, rest: &[u8]) {
        let (offset, content_type, encoding) = match HeaderBlock::parse(&self.head[..end]) {
            Ok(block) => {
                let text = |name: &str| block.text(name).map(std::borrow::Cow::into_owned);
                (block.head_len(), text("Content-Type"), text("Content-Transfer-Encoding"))
            }
            Err(_) => (end, None, None),
        };
        self.offset = Some(offset as u64);
        let report = content_type.as_deref().and_then(ContentType::parse);
        self.front = report.filter(|kind| kind.kind() == "multipart/report").map(|_| Vec::new());
        let walk = Walk::new(content_type.as_deref(), encoding.as_deref(), WalkLimits::default());
        self.walk = Some(walk);
        let first = self.head.split_off(offset);
        self.body(&first);
        self.body(rest);
    }

    fn body(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        if let Some(front) = &mut self.front {
            let room = FRONT_MAX.saturating_sub(front.len()).min(octets.len());
            front.extend_from_slice(&octets[..room]);
        }
        self.digest = crc32c::crc32c_append(self.digest, octets);
        self.eight_bit |= !octets.is_ascii();
        if let Some(walk) = &mut self.walk {
            walk.push(octets);
        }
    }

    /// The content is complete.
    pub fn finish(mut self) -> Taken {
        let head_too_long = self.offset.is_none() && self.head.len() > HEAD_MAX;
        if self.offset.is_none() {
            let end = self.head.len();
            self.end_head(end, &[]);
        }
        let structure = self.walk.map(Walk::finish).unwrap_or_default();
        let body = Body {
            len: self.len,
            decoded: structure.size_estimate(),
            offset: self.offset.unwrap_or(self.len),
            digest: self.digest,
            eight_bit: self.eight_bit,
        };
        let content = self.writer.and_then(ContentWriter::finish);
        Taken { head: self.head, body, structure, front: self.front, content, head_too_long }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use relay::memory::Memory;

    const MAIL: &[u8] = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n";

    fn take(mail: &[u8], cuts: &[usize]) -> Taken {
        let store = Memory::default();
        let mut intake = Intake::new(&store, None);
        let mut rest = mail;
        for cut in cuts {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            intake.push(chunk);
            rest = after;
        }
        intake.push(rest);
        intake.finish()
    }

    proptest! {
        #[test]
        fn the_same_at_every_chunk_split(cuts in prop::collection::vec(0usize..20, 0..12)) {
            let (whole, split) = (take(MAIL, &[]), take(MAIL, &cuts));
            prop_assert_eq!(whole.structure.parts.len(), 2);
            prop_assert_eq!(whole.structure, split.structure);
            prop_assert_eq!(whole.body, split.body);
            prop_assert_eq!(whole.head, split.head);
        }
    }

    #[test]
    fn a_header_that_never_ends_is_bounded() {
        let mut mail = Vec::new();
        while mail.len() < 1 << 20 {
            mail.extend_from_slice(b"X-A: b\r\n");
        }
        let taken = take(&mail, &[1000, 70_000]);
        assert!(taken.head_too_long);
        assert!(taken.head.len() <= HEAD_MAX + 1);
    }
}
