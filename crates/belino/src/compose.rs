//! Makes the body of an MM from a text and files: what `belino send`, applications and the demonstration hand in.

use anyhow::Context as _;
use mail_builder::headers::content_type::ContentType;
use mail_builder::mime::MimePart;
use std::path::Path;
use wire::mime::ContentType as ContentTypeRead;

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
    /// `Content-ID` without angle brackets, if one is wanted; a presentation refers to it.
    pub content_id: Option<String>,
    /// `Content-Location`, if another one than the name is wanted.
    pub content_location: Option<String>,
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
        Ok(Self { name, content_type, octets, content_id: None, content_location: None })
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
/// (TS 26.140), each part named by Content-ID and Content-Location. A file that is SMIL is the presentation itself;
/// without one, a simple one is made.
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

fn presentation(text: Option<&str>, mut files: Vec<Attachment>) -> MimePart<'static> {
    let given = files.iter().position(is_smil).map(|i| files.remove(i));
    let taken: Vec<String> = files.iter().chain(&given).filter_map(|f| f.content_id.clone()).collect();
    let free = |wanted: String| {
        let mut id = wanted;
        while taken.contains(&id) {
            id.push('_');
        }
        id
    };
    let mut scene = String::new();
    let mut parts = Vec::new();
    for (i, file) in files.into_iter().enumerate() {
        let element = match file.content_type.split('/').next() {
            Some("image") => "img",
            Some("audio") => "audio",
            Some("video") => "video",
            _ => "ref",
        };
        let id = file.content_id.clone().unwrap_or_else(|| free(format!("part{}", i + 1)));
        let source = id.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        scene.push_str(&format!("<{element} src=\"cid:{source}\" region=\"Image\"/>"));
        parts.push(part(file, id));
    }
    if let Some(text) = text {
        let id = free("text".into());
        scene.push_str(&format!("<text src=\"cid:{id}\" region=\"Text\"/>"));
        let kind = kind("text/plain; charset=utf-8").attribute("name", "text.txt");
        parts.push(MimePart::new(kind, text.to_owned()).cid(id).location("text.txt"));
    }
    let start = given.as_ref().and_then(|f| f.content_id.clone()).unwrap_or_else(|| free("smil".into()));
    let first = match given {
        Some(given) => part(given, start.clone()),
        None => {
            let kind = kind("application/smil; charset=utf-8").attribute("name", "presentation.smil");
            MimePart::new(kind, smil(&scene)).cid(start.clone()).location("presentation.smil")
        }
    };
    parts.insert(0, first);
    let whole = kind("multipart/related")
        .attribute("type", "application/smil")
        .attribute("start", format!("<{start}>"))
        .attribute("boundary", format!("belino-{:032x}", crate::entropy()));
    MimePart::new(whole, parts)
}

fn is_smil(file: &Attachment) -> bool {
    let kind = ContentTypeRead::parse(&file.content_type);
    kind.is_some_and(|k| matches!(k.kind(), "application/smil" | "application/smil+xml"))
}

/// One scene with everything in it.
fn smil(scene: &str) -> String {
    format!(
        "<smil><head><layout><root-layout/><region id=\"Image\" top=\"0\" left=\"0\" height=\"70%\" width=\"100%\" \
         fit=\"meet\"/><region id=\"Text\" top=\"70%\" left=\"0\" height=\"30%\" width=\"100%\"/></layout></head>\
         <body><par dur=\"8000ms\">{scene}</par></body></smil>"
    )
}

fn part(file: Attachment, id: String) -> MimePart<'static> {
    let location = ascii(file.content_location.as_deref().unwrap_or(&file.name));
    let kind = kind(&file.content_type).attribute("name", ascii(&file.name));
    MimePart::new(kind, file.octets).cid(id).location(location)
}

/// A content type in the builder's words.
fn kind(text: &str) -> ContentType<'static> {
    let Some(read) = ContentTypeRead::parse(text) else {
        return ContentType::new("application/octet-stream");
    };
    let others = read.parameters().iter().filter(|(name, _)| name != "name");
    others.fold(ContentType::new(read.kind().to_owned()), |made, (name, value)| {
        made.attribute(name.clone(), value.clone())
    })
}

fn ascii(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::mime::{WalkLimits, decode_transfer, walk};

    fn file(name: &str, content_type: &str, octets: &[u8]) -> Attachment {
        Attachment {
            name: name.into(),
            content_type: content_type.into(),
            octets: octets.to_vec(),
            content_id: None,
            content_location: None,
        }
    }

    #[test]
    fn a_given_presentation_leads_and_ids_stay_apart() {
        let smil = b"<smil><body><par><img src=\"cid:part1\"/></par></body></smil>";
        let mut picture = file("a.jpg", "image/jpeg", b"one");
        picture.content_id = Some("text".into());
        let files =
            vec![picture, file("show.smil", "application/smil", smil), file("b.png", "image/png", b"two")];
        let made = compose(Some("hello"), files).unwrap();
        assert!(made.content_type.contains("start=\"<smil>\""), "{}", made.content_type);
        let found = walk(Some(&made.content_type), None, &made.wire_form, WalkLimits::default());
        assert_eq!(found.problems, []);
        let ids: Vec<&str> = found.parts.iter().map(|p| p.content_id.as_ref().unwrap().as_str()).collect();
        assert_eq!(ids, ["smil", "text", "part2", "text_"]);
        let range = found.parts[0].body.start as usize..found.parts[0].body.end as usize;
        assert_eq!(decode_transfer(found.parts[0].transfer_encoding, &made.wire_form[range]), smil);
    }

    #[test]
    fn what_is_composed_can_be_taken_apart() {
        let octets: Vec<u8> = (0..70_000u32).map(|i| (i * 7) as u8).collect();
        let file = file("a.jpg", "image/jpeg", &octets);
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
