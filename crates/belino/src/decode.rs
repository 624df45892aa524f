//! A mail as words: what `belino decode` prints, and what a mailbox shows of its MMs.
//!
//! Reads octets that strangers chose; never fails, never panics: what cannot be understood is said to be so.

use crate::view::{Plain, address, text};
use mms::{AbstractMessage, HeaderText, MessageId, Party, TransactionId, Visibility};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::ops::Range;
use wire::mime::{ContentType, HeaderBlock, Part, Structure, WalkLimits, decode_transfer, walk};

/// Text parts up to this many octets are shown as text.
const TEXT_MAX: usize = 64 << 10;

/// One part with its content decoded.
pub struct DecodedPart {
    /// What the structure says of it.
    pub part: Part,
    /// The content.
    pub octets: Vec<u8>,
}

/// A mail, taken apart.
pub struct Mail {
    /// As printed by `--json`.
    pub json: Value,
    /// The parts, for writing them out.
    pub parts: Vec<DecodedPart>,
    /// Whether the sender hides from the recipient.
    hidden: bool,
}

impl Mail {
    /// What its recipient may see: nothing of undisclosed recipients, also not in the notes of the codec, which quote
    /// what they found; and nothing of a sender who hides (TS 23.140 8.4.1, Sender visibility).
    pub fn for_recipient(mut self) -> Self {
        let hidden = self.hidden;
        let secret = |field: &str| {
            let field = field.to_ascii_lowercase();
            let of_sender = ["from", "sender", "x-mms-originator-system"].contains(&field.as_str())
                || field.starts_with("x-mms-previously-sent");
            field == "bcc" || hidden && of_sender
        };
        let Some(json) = self.json.as_object_mut() else { return self };
        if hidden {
            json.insert("originator".into(), Value::Null);
        }
        if let Some(fields) = json.get_mut("fields").and_then(Value::as_object_mut) {
            fields.retain(|name, _| !secret(name));
        }
        for notes in ["tolerances", "violations"] {
            if let Some(notes) = json.get_mut(notes).and_then(Value::as_array_mut) {
                // A note begins with the name of its field.
                notes.retain(|note| {
                    !secret(note.as_str().and_then(|n| n.split(' ').next()).unwrap_or_default())
                });
            }
        }
        self
    }
}

/// Take a mail in wire form apart.
pub fn mail(wire_form: &[u8]) -> Mail {
    let Ok(block) = HeaderBlock::parse(wire_form) else {
        let json = json!({
            "message_type": null,
            "violations": ["the header section is longer than 64 KiB or has over 1,000 fields"],
        });
        return Mail { json, parts: Vec::new(), hidden: false };
    };
    let decoded = wire::mm4::decode(&block);
    let body = &wire_form[block.head_len()..];
    let content_type = block.text("Content-Type");
    let encoding = block.text("Content-Transfer-Encoding");
    let structure = walk(content_type.as_deref(), encoding.as_deref(), body, WalkLimits::default());

    let mut json = Map::new();
    let (message_type, message) = match &decoded.mail {
        wire::mm4::Mail::Message(message) => (json!(message.message_type().as_str()), Some(message)),
        wire::mm4::Mail::Unknown(other) => (json!(other.message_type.as_str()), None),
        wire::mm4::Mail::NotMm4 => (Value::Null, None),
    };
    json.insert("message_type".into(), message_type);
    words(&mut json, message, &block);
    json.insert("fields".into(), fields(&block));
    let parts = parts(&structure, body);
    json.insert("parts".into(), parts.iter().map(part_json).collect());
    json.insert("tolerances".into(), decoded.tolerances.iter().map(|t| json!(t.to_string())).collect());
    let violations = decoded.violations.iter().map(ToString::to_string);
    let problems = structure.problems.iter().map(ToString::to_string);
    json.insert("violations".into(), violations.chain(problems).map(Value::from).collect());
    let hidden = matches!(
        message,
        Some(AbstractMessage::ForwardReq(m)) if m.sender_visibility == Some(Visibility::Hide)
    );
    Mail { json: Value::Object(json), parts, hidden }
}

/// The fields that every message has, in the order of the table.
fn words(json: &mut Map<String, Value>, message: Option<&AbstractMessage>, block: &HeaderBlock<'_>) {
    let list = |list: &[Party]| list.iter().map(address).collect::<Vec<Value>>();
    let (mut version, mut subject, mut date, mut originator) = (None, None, None, None);
    let (mut to, mut cc) = (Vec::new(), Vec::new());
    let path = |p: &mms::MailPath| p.party().as_ref().map(address);
    match message {
        Some(AbstractMessage::ForwardReq(m)) => {
            (version, date) = (m.version, m.date);
            subject = m.subject.as_ref().map(HeaderText::to_string);
            originator = m.from.as_ref().map(address);
            (to, cc) = (list(&m.to), list(&m.cc));
        }
        Some(AbstractMessage::ForwardRes(m)) => {
            (version, date) = (m.version, m.date);
            originator = m.sender.as_ref().and_then(path);
            to = m.to.iter().filter_map(path).collect();
        }
        Some(AbstractMessage::DeliveryReportRes(m)) => {
            (version, date) = (m.version, m.date);
            originator = m.sender.as_ref().and_then(path);
            to = m.to.iter().filter_map(path).collect();
        }
        Some(AbstractMessage::ReadReplyReportRes(m)) => {
            (version, date) = (m.version, m.date);
            originator = m.sender.as_ref().and_then(path);
            to = m.to.iter().filter_map(path).collect();
        }
        // Of a report, the recipient of the MM is the one who speaks (mm4 3.3).
        Some(AbstractMessage::DeliveryReportReq(m)) => {
            (version, date) = (m.version, m.date);
            originator = m.recipient.as_ref().map(address);
            to = m.originator.iter().map(address).collect();
        }
        Some(AbstractMessage::ReadReplyReportReq(m)) => {
            (version, date) = (m.version, m.date);
            originator = m.recipient.as_ref().map(address);
            to = m.originator.iter().map(address).collect();
        }
        None => subject = block.field("Subject").map(|f| f.decoded()),
    }
    let ids = |id: Option<&str>| id.map_or(Value::Null, Value::from);
    json.insert("version".into(), version.map_or(Value::Null, |v| json!(v.to_string())));
    let transaction_id = message.and_then(AbstractMessage::transaction_id).map(TransactionId::as_str);
    json.insert("transaction_id".into(), ids(transaction_id));
    json.insert(
        "message_id".into(),
        ids(message.and_then(AbstractMessage::message_id).map(MessageId::as_str)),
    );
    json.insert("subject".into(), subject.map_or(Value::Null, Value::from));
    json.insert("date".into(), date.map_or(Value::Null, |d| json!(d.to_string())));
    json.insert("originator".into(), originator.unwrap_or(Value::Null));
    json.insert("recipients".into(), json!({ "to": to, "cc": cc }));
}

/// Every `X-Mms-…` field as it stands, unfolded; several of one name as a list.
fn fields(block: &HeaderBlock<'_>) -> Value {
    let mut fields = Map::new();
    for field in block.fields() {
        let name = field.name();
        if !name.get(..6).is_some_and(|p| p.eq_ignore_ascii_case("X-Mms-")) {
            continue;
        }
        let value = json!(field.decoded());
        match fields.get_mut(name) {
            None => drop(fields.insert(name.to_owned(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = json!([first.clone(), value]),
        }
    }
    Value::Object(fields)
}

fn cut(body: &[u8], range: &Range<u64>) -> Range<usize> {
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(body.len());
    usize::try_from(range.start).unwrap_or(usize::MAX).min(end)..end
}

fn parts(structure: &Structure, body: &[u8]) -> Vec<DecodedPart> {
    let decode = |part: &Part| DecodedPart {
        part: part.clone(),
        octets: decode_transfer(part.transfer_encoding, &body[cut(body, &part.body)]),
    };
    structure.parts.iter().map(decode).collect()
}

fn part_json(decoded: &DecodedPart) -> Value {
    let DecodedPart { part, octets } = decoded;
    let text = |t: &Option<HeaderText>| t.as_ref().map(HeaderText::to_string);
    let charset = charset(part);
    let mut json = json!({
        "content_type": part.kind(),
        "charset": charset,
        "name": text(&part.name),
        "content_id": text(&part.content_id),
        "content_location": text(&part.content_location),
        "size": octets.len(),
        "sha256": hex(&Sha256::digest(octets)),
    });
    if part.kind().starts_with("text/") && octets.len() <= TEXT_MAX {
        json["text"] = json!(to_text(octets, charset.as_deref()));
    }
    json
}

fn charset(part: &Part) -> Option<String> {
    let parsed = ContentType::parse(part.content_type.as_ref()?.as_str())?;
    parsed.parameter("charset").map(str::to_ascii_lowercase)
}

/// Octets of a text part as text: by its charset, else UTF-8, else Latin-1.
fn to_text(octets: &[u8], charset: Option<&str>) -> String {
    let by_name = charset.and_then(|c| mail_parser::decoders::charsets::map::charset_decoder(c.as_bytes()));
    match (by_name, std::str::from_utf8(octets)) {
        (_, Ok(utf8)) if !matches!(charset, Some(c) if c.starts_with("utf-16") || c.starts_with("utf-7")) => {
            utf8.to_owned()
        }
        (Some(decoder), _) => decoder(octets),
        (None, Ok(utf8)) => utf8.to_owned(),
        (None, Err(_)) => octets.iter().map(|b| char::from(*b)).collect(),
    }
}

/// Lower-case hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02x}")).collect()
}

/// A safe file name for a part: its own name without folders and odd characters, or one made of its type.
pub fn file_name(index: usize, decoded: &DecodedPart) -> String {
    let part = &decoded.part;
    let given = part.name.as_ref().or(part.content_location.as_ref()).or(part.content_id.as_ref());
    let given = given.map(HeaderText::as_str).unwrap_or_default();
    let base = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = base
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(80)
        .collect();
    let safe = safe.trim_start_matches('.');
    if !safe.is_empty() && safe.contains('.') {
        return format!("{}-{safe}", index + 1);
    }
    let kind = part.kind();
    let extension = match kind.as_str() {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "text/plain" => "txt",
        "application/smil" => "smil",
        "video/3gpp" => "3gp",
        "video/mp4" => "mp4",
        "audio/amr" => "amr",
        _ => "bin",
    };
    let stem = if safe.is_empty() { "part" } else { safe };
    format!("{}-{stem}.{extension}", index + 1)
}

/// The words for people: what the mail says, what had to be tolerated, what it breaks.
pub fn lines(json: &Value) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    match json["message_type"].as_str() {
        Some(kind) => {
            let _ = writeln!(out, "{}", Plain(kind));
        }
        None => out.push_str("not an MM4 message (no X-Mms-Message-Type)\n"),
    }
    for (label, key) in [
        ("version", "version"),
        ("Transaction-ID", "transaction_id"),
        ("Message-ID", "message_id"),
        ("date", "date"),
        ("subject", "subject"),
    ] {
        if !json[key].is_null() {
            let _ = writeln!(out, "  {label:<16} {}", text(&json[key]));
        }
    }
    if !json["originator"].is_null() {
        let _ = writeln!(out, "  {:<16} {}", "from", text(&json["originator"]["value"]));
    }
    for list in ["to", "cc"] {
        for party in json["recipients"][list].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {list:<16} {}", text(&party["value"]));
        }
    }
    for (name, value) in json["fields"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {}: {}", Plain(name), text(value));
    }
    for (i, part) in json["parts"].as_array().into_iter().flatten().enumerate() {
        let (kind, size) = (text(&part["content_type"]), text(&part["size"]));
        let _ = writeln!(
            out,
            "  part {}: {kind}, {size} octets, {}, sha256 {}",
            i + 1,
            text(&part["name"]),
            text(&part["sha256"])
        );
        if let Some(words) = part["text"].as_str() {
            for line in words.lines().take(20) {
                let _ = writeln!(out, "    | {}", Plain(line));
            }
        }
    }
    for (label, key) in [("tolerated", "tolerances"), ("VIOLATION", "violations")] {
        for note in json[key].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {label}: {}", text(note));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mail = mail(&wire::smtp::dot_stuff(&octets));
            lines(&mail.json);
            for (i, part) in mail.parts.iter().enumerate() {
                let name = file_name(i, part);
                prop_assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
            }
        }
    }
}
