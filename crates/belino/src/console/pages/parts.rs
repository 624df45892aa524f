//! Parts of MMs: octets that strangers chose, handed to a browser so that it treats them as nobody's.
//!
//! A picture is shown only when its first octets are those of its type and its measures are within bounds; everything else is
//! a file to be saved. All of it comes under a policy of its own that lets nothing run, load or belong to this site.

use super::super::{Desk, Visitor};
use super::{bare, blocking};
use crate::content;
use crate::decode::{self, DecodedPart};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use mms::MmId;
use std::sync::Arc;

/// Octets of a picture that is shown.
const PICTURE_MAX: usize = 8 << 20;
/// Width times height of a picture that is shown: what a browser unpacks is bounded, however small the file.
const PIXELS_MAX: u64 = 40_000_000;

/// A picture that may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub kind: &'static str,
    pub width: u32,
    pub height: u32,
}

/// Whether these octets are a picture of the type that is claimed, within bounds.
pub(super) fn picture(claimed: &str, octets: &[u8]) -> Option<Picture> {
    let (kind, (width, height)) = match octets {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => ("image/png", png(octets)?),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ("image/gif", gif(octets)?),
        [0xff, 0xd8, 0xff, ..] => ("image/jpeg", jpeg(octets)?),
        _ => return None,
    };
    let same = claimed == kind || (claimed == "image/jpg" && kind == "image/jpeg");
    let fits = octets.len() <= PICTURE_MAX
        && width > 0
        && height > 0
        && u64::from(width) * u64::from(height) <= PIXELS_MAX;
    (same && fits).then_some(Picture { kind, width, height })
}

fn png(octets: &[u8]) -> Option<(u32, u32)> {
    let long = |at: usize| Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?));
    (octets.get(12..16)? == b"IHDR").then_some((long(16)?, long(20)?))
}

fn gif(octets: &[u8]) -> Option<(u32, u32)> {
    let short = |at: usize| Some(u32::from(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?)));
    Some((short(6)?, short(8)?))
}

/// The first frame header's measures.
fn jpeg(octets: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let (mark, length) = (octets.get(at..at + 2)?, octets.get(at + 2..at + 4)?);
        let (0xff, kind) = (mark[0], mark[1]) else { return None };
        if kind == 0xff {
            at += 1;
            continue;
        }
        let short = |at: usize| Some(u32::from(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?)));
        match kind {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((short(at + 7)?, short(at + 5)?));
            }
            0xd9 | 0xda => return None,
            _ => at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
        }
    }
}

pub(in super::super) async fn one(
    State(desk): State<Arc<Desk>>,
    Extension(_visitor): Extension<Visitor>,
    Path((id, n)): Path<(String, usize)>,
) -> Response<Body> {
    let Ok(mm) = id.parse::<MmId>() else { return bare(StatusCode::NOT_FOUND, "No MM has this id.") };
    let parts = desk.parts.clone();
    let masked = desk.console().mask_numbers;
    let found = blocking(move || {
        let ledger = content::ledger(&*parts.store, mm).ok()??;
        let octets = content::wire_form(&*parts.store, &ledger).ok()??;
        let mut mail = decode::mail(&octets);
        let place = n.checked_sub(1).filter(|n| *n < mail.parts.len())?;
        let part = mail.parts.swap_remove(place);
        let name = decode::file_name(place, &part);
        Some((part, name))
    });
    let Ok(Some((part, name))) = found.await else {
        return bare(
            StatusCode::NOT_FOUND,
            "There is no such part, or its MM's content is not kept any more.",
        );
    };
    answer(part, &name, masked)
}

fn answer(part: DecodedPart, name: &str, masked: bool) -> Response<Body> {
    let kind = part.part.kind();
    let picture = picture(&kind, &part.octets);
    let opaque = ["image/", "audio/", "video/"].iter().any(|family| kind.starts_with(family));
    if masked && picture.is_none() && !opaque {
        return bare(StatusCode::FORBIDDEN, "Numbers are hidden here, and this part may hold some.");
    }
    let (kind, disposition) = match picture {
        Some(picture) => (picture.kind, "inline".to_owned()),
        // Letters, digits, dots, dashes: nothing that ends the quotation.
        None => {
            let name: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
            ("application/octet-stream", format!("attachment; filename=\"{name}\""))
        }
    };
    let mut response = Response::new(Body::from(part.octets));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JPEG: &[u8] = include_bytes!("../../../assets/picture.jpg");

    #[test]
    fn a_picture_is_what_it_says_or_none() {
        let found = picture("image/jpeg", JPEG).unwrap();
        assert!(found.width > 10 && found.height > 10, "{found:?}");
        assert_eq!(picture("image/png", JPEG), None, "another type than it says");
        assert_eq!(picture("image/svg+xml", b"<svg onload=alert(1)>"), None);
        assert_eq!(picture("image/gif", b"GIF89a\x01\x00\x01\x00").unwrap().kind, "image/gif");
        let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bomb.extend([0, 1, 0, 0, 0, 1, 0, 0, 8, 2, 0, 0, 0]);
        assert_eq!(picture("image/png", &bomb), None, "65536 by 65536");
        let own = super::super::send::picture(7);
        assert_eq!(picture("image/png", &own).unwrap().width, 96);
    }

    proptest! {
        #[test]
        fn no_octets_panic(begin in 0usize..3, octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let magic: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"];
            let octets = [magic[begin], &octets].concat();
            for kind in ["image/png", "image/gif", "image/jpeg"] {
                picture(kind, &octets);
            }
        }
    }
}
