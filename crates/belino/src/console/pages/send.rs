//! A test MM: a text and a small picture that is made here.

use super::super::{Desk, Fields, Visitor, redirect};
use super::{Frame, page};
use crate::admin::deed::{self, Deed};
use crate::admin::{Send, verbs};
use crate::compose::{Attachment, compose};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/send.html")]
struct Form {
    frame: Frame,
    from: String,
    to: String,
    subject: String,
    text: String,
    ours: Vec<String>,
}

/// Numbers of ours that could send: some subscribers, or the first number of a range.
fn ours(desk: &Desk) -> Vec<String> {
    let config = desk.parts.dock.config();
    if config.console.mask_numbers {
        return Vec::new();
    }
    let each = config.house.locals.iter().flat_map(|local| {
        let some = local.subscribers.iter().flatten().take(3).map(|n| format!("+{}", n.digits()));
        let range = local.prefixes.iter().filter(|_| local.subscribers.is_none());
        some.chain(range.map(|p| format!("+{p:0<11}"))).collect::<Vec<_>>()
    });
    each.take(5).collect()
}

pub(in super::super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Response<Body> {
    let frame = Frame::new(&desk, &visitor, "Send a test MM", "/send").await;
    let ours = ours(&desk);
    let from = ours.first().cloned().unwrap_or_default();
    let (subject, text) =
        ("Test".to_owned(), format!("A test from {}, sent by {}.", frame.relay, visitor.name));
    page(StatusCode::OK, &Form { frame, from, to: String::new(), subject, text, ours })
}

pub(in super::super) async fn hand_in(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response<Body> {
    let outcome = hand_in_one(&desk, &visitor, &fields).await;
    let about = format!("{} to {}", fields.text("from"), fields.text("to"));
    let came = outcome.as_ref().map_or_else(|error| format!("{error:#}"), |id| format!("done: {id}"));
    let deed = Deed::new("send", about).because("test MM");
    deed::record(&desk.parts, format!("console {}", visitor.name), deed, came).await;
    match outcome {
        Ok(id) => redirect(&format!("/messages/{id}?done=send")),
        Err(error) => {
            let frame =
                Frame::new(&desk, &visitor, "Send a test MM", "/send").await.failing(&format!("{error:#}"));
            let own = |name: &str| fields.text(name).to_owned();
            let (from, to, subject, text) = (own("from"), own("to"), own("subject"), own("text"));
            page(
                StatusCode::UNPROCESSABLE_ENTITY,
                &Form { frame, from, to, subject, text, ours: ours(&desk) },
            )
        }
    }
}

async fn hand_in_one(desk: &Desk, visitor: &Visitor, fields: &Fields) -> anyhow::Result<String> {
    let mut files = Vec::new();
    if !fields.text("picture").is_empty() {
        files.push(Attachment {
            name: "test.png".into(),
            content_type: "image/png".into(),
            octets: picture(crate::entropy() as u32),
            content_id: None,
            content_location: None,
        });
    }
    let composed = compose(Some(fields.text("text")), files)?;
    let subject = fields.text("subject");
    let send = Send {
        from: fields.text("from").into(),
        to: fields.text("to").split([',', ' ']).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        subject: (!subject.is_empty()).then(|| subject.to_owned()),
        delivery_report: !fields.text("report").is_empty(),
        content_type: composed.content_type,
        content_transfer_encoding: composed.content_transfer_encoding,
        octets: composed.wire_form.len(),
        ..Send::default()
    };
    anyhow::ensure!(!send.to.is_empty(), "To: expected an address, such as +12025550110");
    let by = format!("console {}", visitor.name);
    let mm = verbs::submit(&desk.parts, &by, &send, &composed.wire_form).await?;
    Ok(mm["id"].as_str().unwrap_or_default().to_owned())
}

/// A PNG of 96 by 64, whose colours follow from a number: no two tests look alike.
pub(super) fn picture(seed: u32) -> Vec<u8> {
    const WIDTH: u32 = 96;
    const HEIGHT: u32 = 64;
    let [r, g, b, _] = seed.to_be_bytes();
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        rows.push(0);
        for x in 0..WIDTH {
            let (x, y) = ((x * 255 / WIDTH) as u8, (y * 255 / HEIGHT) as u8);
            let dark = (x / 32 + y / 32) % 2 == 0;
            let shade = |c: u8, along: u8| if dark { (c / 2).wrapping_add(along / 2) } else { c / 2 + 64 };
            rows.extend([shade(r, x), shade(g, y), shade(b, 255 - x)]);
        }
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = [WIDTH.to_be_bytes(), HEIGHT.to_be_bytes()].concat();
    head.extend([8, 2, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &head);
    chunk(&mut out, b"IDAT", &stored(&rows));
    chunk(&mut out, b"IEND", &[]);
    out
}

/// A zlib stream that packs nothing (RFC 1950, 1951).
fn stored(octets: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = octets.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (a, b) = octets.iter().fold((1u32, 0u32), |(a, b), octet| {
        let a = (a + u32::from(*octet)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], octets: &[u8]) {
    out.extend((octets.len() as u32).to_be_bytes());
    let named = [kind.as_slice(), octets].concat();
    let crc = named.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(
            crc ^ u32::from(*octet),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    out.extend(&named);
    out.extend((!crc).to_be_bytes());
}
