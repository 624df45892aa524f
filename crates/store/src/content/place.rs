//! Where a content lies: what the locator of a `ContentRef` says.
//!
//! Owns: the locator's octets. Never knows: files.
//!
//! A content is cut into pieces of one size (the last may be shorter), one record each. Neighbouring records of one
//! segment are one run. A locator is a format number, then numbers of 1 to 10 octets: content, piece size, and for each
//! run its segment, generation, offset and records. A small content takes some 20 octets, 20 MB some 100 to 1,000.

use super::record::HEADER;
use relay::store::ContentRef;
use std::sync::Arc;

const FORMAT: u8 = 1;

/// Neighbouring records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) offset: u64,
    pub(crate) records: u32,
}

/// A whole content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) content: u64,
    pub(crate) len: u64,
    pub(crate) piece: u32,
    pub(crate) runs: Vec<Run>,
}

/// One record of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    /// Where its header is.
    pub(crate) offset: u64,
    pub(crate) part: u32,
    pub(crate) len: u32,
    /// Which octet of the content is its first.
    pub(crate) start: u64,
}

impl Place {
    /// Note the next record.
    pub(crate) fn push(&mut self, segment: u32, generation: u64, offset: u64, len: usize) {
        if let Some(run) = self.runs.last_mut() {
            let end = run.offset + u64::from(run.records) * (u64::from(self.piece) + HEADER as u64);
            if (run.segment, run.generation, end) == (segment, generation, offset) {
                run.records += 1;
                self.len += len as u64;
                return;
            }
        }
        self.runs.push(Run { segment, generation, offset, records: 1 });
        self.len += len as u64;
    }

    pub(crate) fn records(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.records)).sum()
    }

    /// The records in order, from the `first` on.
    pub(crate) fn pieces(&self, first: u64) -> impl Iterator<Item = Piece> + '_ {
        let mut before = 0;
        self.runs.iter().flat_map(move |run| {
            let base = before;
            before += u64::from(run.records);
            let from = first.saturating_sub(base).min(u64::from(run.records));
            (from..u64::from(run.records)).map(move |i| {
                let start = (base + i) * u64::from(self.piece);
                Piece {
                    segment: run.segment,
                    generation: run.generation,
                    offset: run.offset + i * (u64::from(self.piece) + HEADER as u64),
                    part: (base + i) as u32,
                    len: (self.len - start).min(u64::from(self.piece)) as u32,
                    start,
                }
            })
        })
    }

    /// Each run with the octets that it occupies, headers included.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (Run, u64)> + '_ {
        let mut left = self.len;
        self.runs.iter().map(move |run| {
            let octets = left.min(u64::from(run.records) * u64::from(self.piece));
            left -= octets;
            (*run, octets + u64::from(run.records) * HEADER as u64)
        })
    }

    pub(crate) fn locator(&self) -> Arc<[u8]> {
        let mut out = Vec::with_capacity(8 + 16 * self.runs.len());
        out.push(FORMAT);
        put(&mut out, self.content);
        put(&mut out, self.piece.into());
        for run in &self.runs {
            for number in [run.segment.into(), run.generation, run.offset, run.records.into()] {
                put(&mut out, number);
            }
        }
        out.into()
    }

    /// What a locator says; `None` if it is not one of ours.
    pub(crate) fn parse(content: &ContentRef) -> Option<Self> {
        let (format, mut rest) = content.locator.split_first()?;
        if *format != FORMAT {
            return None;
        }
        let id = take(&mut rest)?;
        let piece = u32::try_from(take(&mut rest)?).ok().filter(|piece| *piece > 0)?;
        let mut place = Self { content: id, len: content.len, piece, runs: Vec::new() };
        while !rest.is_empty() {
            let segment = u32::try_from(take(&mut rest)?).ok()?;
            let (generation, offset) = (take(&mut rest)?, take(&mut rest)?);
            let records = u32::try_from(take(&mut rest)?).ok().filter(|records| *records > 0)?;
            // Far above any segment, and far from overflow.
            if offset > 1 << 40 || u64::from(records) * u64::from(piece) > 1 << 40 {
                return None;
            }
            place.runs.push(Run { segment, generation, offset, records });
        }
        (place.records() == content.len.div_ceil(piece.into())).then_some(place)
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (octet, tail) = rest.split_first()?;
        *rest = tail;
        if shift == 63 && *octet > 1 {
            return None;
        }
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(place: &Place) -> ContentRef {
        ContentRef { len: place.len, locator: place.locator() }
    }

    #[test]
    fn twenty_megabytes_between_many_writers_fit() {
        let mut place = Place { content: 1 << 30, len: 0, piece: 256 << 10, runs: Vec::new() };
        for i in 0..80u64 {
            place.push(7, 3 << 24, i * 1_000_000, 256 << 10);
        }
        assert!(place.locator().len() < 1100, "{}", place.locator().len());
        assert_eq!(Place::parse(&reference(&place)), Some(place));
    }

    proptest! {
        #[test]
        fn locator_and_back(
            content in any::<u64>(),
            piece in 1u32..1000,
            cuts in proptest::collection::vec((0u32..3, any::<u8>(), 0u64..1 << 30), 0..9),
            last in 1usize..1000,
        ) {
            let mut place = Place { content, len: 0, piece, runs: Vec::new() };
            let n = cuts.len();
            for (i, (segment, generation, offset)) in cuts.into_iter().enumerate() {
                let len = if i + 1 == n { last.min(piece as usize) } else { piece as usize };
                place.push(segment, generation.into(), offset, len);
            }
            prop_assert_eq!(Place::parse(&reference(&place)), Some(place.clone()));
            let pieces: Vec<_> = place.pieces(0).collect();
            prop_assert_eq!(pieces.len() as u64, place.records());
            prop_assert_eq!(pieces.iter().map(|p| u64::from(p.len)).sum::<u64>(), place.len);
            prop_assert_eq!(place.pieces(2).collect::<Vec<_>>(), pieces.into_iter().skip(2).collect::<Vec<_>>());
            let extents = place.extents().map(|(_, len)| len).sum::<u64>();
            prop_assert_eq!(extents, place.len + place.records() * HEADER as u64);
        }

        #[test]
        fn no_locator_panics(len in any::<u64>(), mut locator in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(first) = locator.first_mut() {
                *first %= 2;
            }
            if let Some(place) = Place::parse(&ContentRef { len, locator: locator.into() }) {
                let _ = (place.pieces(0).take(1000).count(), place.extents().count());
            }
        }
    }
}
