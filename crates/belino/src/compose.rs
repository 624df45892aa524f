//! Makes the body of an MM from a text and files: what `belino send` and the demonstration hand in.

use anyhow::Context as _;
use mail_builder::headers::content_type::ContentType;
use mail_builder::mime::MimePart;
use std::path::Path;

/// A body in wire form, and the fields that describe it.
pub struct Composed {
    /// Wire form: dot-stuffed, CRLF.
    pub wire_form: Vec<u8>,
    /// `Content-Type` of the whole.
    pub content_type: String,
    /// `Content-Transfer-Encoding` of the whole, when it is one part.
    pub content_transfer_encoding: Option<String>,
}

/// One file of the MM.
pub struct Attachment {
    /// File name, without folders.
    pub name: String,
    /// Content type.
    pub content_type: String,
    /// Content.
    pub octets: Vec<u8>,
}

impl Attachment {
    /// Read a file; its type follows from its name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let octets = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().map_or_else(|| "file".into(), |n| n.to_string_lossy().into_owned());
        let name = name.replace(|c: char| c.is_control() || c == '"', "_");
        let content_type = content_type(&name).to_owned();
        Ok(Self { name, content_type, octets })
    }
}

/// The media type that a file name's ending stands for (the types that MMS user agents know).
pub fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "txt" => "text/plain; charset=utf-8",
        "vcf" => "text/vcard",
        "amr" => "audio/amr",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "3gp" => "video/3gpp",
        "mp4" => "video/mp4",
        "smil" | "smi" => "application/smil",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

/// A text and files as one body: a single text stays a single part; anything else becomes a presentation, SMIL first
/// (TS 26.140), each part named by Content-ID and Content-Location.
///
/// # Errors
/// The parts cannot be written; our own bug.
pub fn compose(text: Option<&str>, files: Vec<Attachment>) -> anyhow::Result<Composed> {
    let whole = match (text, files.is_empty()) {
        (Some(text), true) => MimePart::new(kind("text/plain; charset=utf-8"), text.to_owned()),
        (None, true) => {
            return Ok(Composed {
                wire_form: Vec::new(),
                content_type: "text/plain; charset=us-ascii".into(),
                content_transfer_encoding: None,
            });
        }
        (text, false) => presentation(text, files),
    };
    let mut octets = Vec::new();
    whole.write_part(&mut octets);
    // The builder writes the part with its own header block; the MM4 header carries those fields instead.
    let mail = wire::smtp::dot_stuff(&octets);
    let block = wire::mime::HeaderBlock::parse(&mail).context("the composed body has no header")?;
    let content_type = block.text("Content-Type").context("the composed body has no type")?.into_owned();
    let encoding = block.text("Content-Transfer-Encoding").map(std::borrow::Cow::into_owned);
    let mut wire_form = mail[block.head_len()..].to_vec();
    if !wire_form.ends_with(b"\r\n") {
        wire_form.extend_from_slice(b"\r\n");
    }
    Ok(Composed { wire_form, content_type, content_transfer_encoding: encoding })
}

fn presentation(text: Option<&str>, files: Vec<Attachment>) -> MimePart<'static> {
    let mut smil = String::from(
        "<smil><head><layout><root-layout/><region id=\"Image\" top=\"0\" left=\"0\" height=\"70%\" width=\"100%\" \
         fit=\"meet\"/><region id=\"Text\" top=\"70%\" left=\"0\" height=\"30%\" width=\"100%\"/></layout></head>\
         <body><par dur=\"8000ms\">",
    );
    let mut parts = Vec::new();
    for (i, file) in files.into_iter().enumerate() {
        let element = match file.content_type.split('/').next() {
            Some("image") => "img",
            Some("audio") => "audio",
            Some("video") => "video",
            _ => "ref",
        };
        let id = format!("part{}", i + 1);
        smil.push_str(&format!("<{element} src=\"cid:{id}\" region=\"Image\"/>"));
        let kind = kind(&file.content_type).attribute("name", ascii(&file.name));
        parts.push(MimePart::new(kind, file.octets).cid(id).location(ascii(&file.name)));
    }
    if let Some(text) = text {
        smil.push_str("<text src=\"cid:text\" region=\"Text\"/>");
        let part =
            MimePart::new(kind("text/plain; charset=utf-8").attribute("name", "text.txt"), text.to_owned());
        parts.push(part.cid("text").location("text.txt"));
    }
    smil.push_str("</par></body></smil>");
    let smil =
        MimePart::new(kind("application/smil; charset=utf-8").attribute("name", "presentation.smil"), smil);
    parts.insert(0, smil.cid("smil").location("presentation.smil"));
    let whole = kind("multipart/related")
        .attribute("type", "application/smil")
        .attribute("start", "<smil>")
        .attribute("boundary", format!("belino-{:032x}", crate::entropy()));
    MimePart::new(whole, parts)
}

/// A content type in the builder's words.
fn kind(text: &str) -> ContentType<'static> {
    let mut parts = text.split(';');
    let mut made = ContentType::new(parts.next().unwrap_or_default().trim().to_owned());
    for parameter in parts {
        if let Some((name, value)) = parameter.split_once('=') {
            made = made.attribute(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    made
}

fn ascii(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::mime::{WalkLimits, decode_transfer, walk};

    #[test]
    fn what_is_composed_can_be_taken_apart() {
        let octets: Vec<u8> = (0..70_000u32).map(|i| (i * 7) as u8).collect();
        let file =
            Attachment { name: "a.jpg".into(), content_type: "image/jpeg".into(), octets: octets.clone() };
        let made = compose(Some("Grüße\r\n.\r\nzum Abend"), vec![file]).unwrap();
        assert!(made.wire_form.is_ascii());
        let found = walk(Some(&made.content_type), None, &made.wire_form, WalkLimits::default());
        assert_eq!(found.problems, []);
        let kinds: Vec<String> = found.parts.iter().map(wire::mime::Part::kind).collect();
        assert_eq!(kinds, ["application/smil", "image/jpeg", "text/plain"]);
        let picture = &found.parts[1];
        let range = picture.body.start as usize..picture.body.end as usize;
        assert_eq!(decode_transfer(picture.transfer_encoding, &made.wire_form[range]), octets);
    }

    #[test]
    fn a_text_alone_is_one_part() {
        let made = compose(Some("hello"), Vec::new()).unwrap();
        assert!(made.content_type.starts_with("text/plain"), "{}", made.content_type);
        let found = walk(
            Some(&made.content_type),
            made.content_transfer_encoding.as_deref(),
            &made.wire_form,
            WalkLimits::default(),
        );
        assert_eq!(found.parts.len(), 1);
    }
}
