//! A submission as an application writes it: from JSON or a form to the words of an abstract message.
//!
//! Owns: every field of a submission, its limits, and the digest by which a repeat is recognised. Never knows: HTTP,
//! who may send, where it goes.

use super::fields::Fields;
use super::problem::{Kind, Problem};
use crate::compose::Attachment;
use base64::Engine as _;
use mms::{
    ContentClass, Expiry, ForwardReq, HeaderText, MessageClass, Party, Priority, Timestamp, Visibility,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use wire::mime::ContentType;

/// Parts of one MM: what other readers of ours take, with room for the whole, a text and a presentation.
const PARTS_MAX: usize = 90;
/// Characters of texts that become header fields.
const TEXT_MAX: usize = 1000;
/// Characters of a part's name, type and ids.
const NAME_MAX: usize = 200;

/// What an application wants sent.
pub struct Wanted {
    /// The sender.
    pub from: Party,
    /// Disclosed recipients.
    pub to: Vec<Party>,
    /// Disclosed recipients.
    pub cc: Vec<Party>,
    /// Undisclosed recipients.
    pub bcc: Vec<Party>,
    /// Everything else but the content.
    pub request: ForwardReq,
    /// The text, empty if there is nothing at all.
    pub text: Option<String>,
    /// The parts.
    pub parts: Vec<Attachment>,
    /// Of everything that was asked.
    pub digest: [u8; 32],
}

/// A submission that has come in, not looked at yet.
pub enum Raw {
    /// All in one.
    Json(Vec<u8>),
    /// The message, and the parts beside it.
    Form(Vec<u8>, Vec<Attachment>),
}

fn unacceptable<T>(name: &str, what: impl std::fmt::Display) -> Result<T, Problem> {
    Err(Problem::field(Kind::Unacceptable, name, format!("{name}: {what}")))
}

impl Wanted {
    /// Read it.
    ///
    /// # Errors
    /// 400 when it is no submission, 422 when something in it cannot be meant.
    pub fn read(raw: Raw) -> Result<Self, Problem> {
        let (octets, form) = match raw {
            Raw::Json(octets) => (octets, None),
            Raw::Form(octets, files) => (octets, Some(files)),
        };
        let value: Value = serde_json::from_slice(&octets)
            .map_err(|e| Problem::new(Kind::Malformed, format!("the message is not JSON: {e}")))?;
        let mut digest = Sha256::new();
        if let Value::Object(map) = &value {
            let sorted: BTreeMap<&String, &Value> = map.iter().filter(|(key, _)| *key != "parts").collect();
            add(&mut digest, serde_json::to_string(&sorted).unwrap_or_default().as_bytes());
        }
        let mut fields = Fields::of(value, "")?;
        let from = fields.needed("from")?;
        let from = party("from", &from)?;
        let (to, cc, bcc) =
            (parties(&mut fields, "to")?, parties(&mut fields, "cc")?, parties(&mut fields, "bcc")?);
        let request = wishes(&mut fields)?;
        let text = fields.text("text")?;
        let parts = match form {
            Some(files) => files,
            None => inline(fields.list("parts")?)?,
        };
        fields.finish()?;
        if to.is_empty() && cc.is_empty() && bcc.is_empty() {
            return unacceptable("to", "an MM needs a recipient in to, cc or bcc");
        }
        check(&parts)?;
        for part in &parts {
            let location = part.content_location.as_deref().unwrap_or_default();
            let id = part.content_id.as_deref().unwrap_or_default();
            for piece in [part.content_type.as_str(), &part.name, id, location] {
                add(&mut digest, piece.as_bytes());
            }
            add(&mut digest, &part.octets);
        }
        // An MM without text and parts is a text of no characters: its content has a beginning and an end.
        let text = if parts.is_empty() { Some(text.unwrap_or_default()) } else { text };
        Ok(Self { from, to, cc, bcc, request, text, parts, digest: digest.finalize().into() })
    }
}

/// Each piece with its length, so that no two submissions give the same sequence of octets.
fn add(digest: &mut Sha256, piece: &[u8]) {
    digest.update((piece.len() as u64).to_be_bytes());
    digest.update(piece);
}

fn party(name: &str, text: &str) -> Result<Party, Problem> {
    match text.parse::<Party>() {
        Ok(party) => Ok(party),
        Err(why) => {
            unacceptable(name, format!("{why}; expected a number such as +12025550110, or an address"))
        }
    }
}

fn parties(fields: &mut Fields, key: &'static str) -> Result<Vec<Party>, Problem> {
    fields.texts(key)?.iter().map(|(name, text)| party(name, text)).collect()
}

/// A text for a header field.
fn header(fields: &mut Fields, key: &'static str) -> Result<Option<HeaderText>, Problem> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    let name = fields.name(key);
    if text.chars().count() > TEXT_MAX {
        return unacceptable(&name, format!("{} characters; at most {TEXT_MAX}", text.chars().count()));
    }
    HeaderText::new(&text).map(Some).or_else(|e| unacceptable(&name, e))
}

/// One of a closed set of words.
fn word<T: Copy>(
    fields: &mut Fields,
    key: &'static str,
    all: &[T],
    spelling: fn(&T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(text) = fields.text(key)? else { return Ok(None) };
    match all.iter().copied().find(|one| spelling(one) == text) {
        Some(one) => Ok(Some(one)),
        None => {
            let known: Vec<&str> = all.iter().map(spelling).collect();
            let text = HeaderText::cleaned(&text).capped(80);
            unacceptable(&fields.name(key), format!("{:?}: expected {}", text.as_str(), known.join(", ")))
        }
    }
}

fn wishes(fields: &mut Fields) -> Result<ForwardReq, Problem> {
    let classes = ["Personal", "Advertisement", "Informational", "Auto"];
    let class = word(fields, "class", &classes, |class| class)?.map(|class| match class {
        "Advertisement" => MessageClass::Advertisement,
        "Informational" => MessageClass::Informational,
        "Auto" => MessageClass::Auto,
        _ => MessageClass::Personal,
    });
    let expiry = match fields.seconds_or_text("expiry")? {
        None => None,
        Some(Ok(seconds)) if seconds == 0 || seconds > u64::from(u32::MAX) => {
            return unacceptable("expiry", format!("{seconds}: expected 1 to {} seconds", u32::MAX));
        }
        Some(Ok(seconds)) => Some(Expiry::After(Duration::from_secs(seconds))),
        Some(Err(text)) => match wire::mime::parse_date(&text) {
            Some((at, wire::mime::DateForm::Rfc3339)) => Some(Expiry::At(at)),
            _ => {
                let text = HeaderText::cleaned(&text).capped(80);
                return unacceptable(
                    "expiry",
                    format!(
                        "{:?}: expected seconds, or a date such as \"2026-03-04T10:15:30Z\"",
                        text.as_str()
                    ),
                );
            }
        },
    };
    Ok(ForwardReq {
        subject: header(fields, "subject")?,
        message_class: class,
        priority: word(fields, "priority", Priority::ALL, |p| p.as_str())?,
        expiry,
        delivery_report: Some(fields.flag("delivery_report")?.unwrap_or_default()),
        read_reply: Some(fields.flag("read_reply")?.unwrap_or_default()),
        sender_visibility: fields.flag("hide")?.unwrap_or_default().then_some(Visibility::Hide),
        applic_id: header(fields, "applic_id")?,
        reply_applic_id: header(fields, "reply_applic_id")?,
        aux_applic_info: header(fields, "aux_applic_info")?,
        adaptation_allowed: fields.flag("adaptation_allowed")?,
        drm_content: fields.flag("drm_content")?,
        content_class: word(fields, "content_class", ContentClass::ALL, |c| c.as_str())?,
        ..ForwardReq::default()
    })
}

/// Parts inside the JSON.
fn inline(list: Vec<Value>) -> Result<Vec<Attachment>, Problem> {
    let mut parts = Vec::new();
    for (i, value) in list.into_iter().enumerate() {
        let mut fields = Fields::of(value, &format!("parts[{i}]"))?;
        let content_type = fields.needed("content_type")?;
        let data = fields.needed("data")?;
        let octets = base64::engine::general_purpose::STANDARD.decode(data).map_err(|e| {
            let name = fields.name("data");
            Problem::field(Kind::Malformed, &name, format!("{name}: expected base64 (RFC 4648 4): {e}"))
        })?;
        let name = fields.text("name")?.unwrap_or_else(|| format!("part{}", i + 1));
        let (content_id, content_location) = (fields.text("content_id")?, fields.text("content_location")?);
        fields.finish()?;
        parts.push(Attachment { name, content_type, octets, content_id, content_location });
    }
    Ok(parts)
}

/// What every part must be, however it came.
fn check(parts: &[Attachment]) -> Result<(), Problem> {
    if parts.len() > PARTS_MAX {
        return unacceptable("parts", format!("{} parts; at most {PARTS_MAX}", parts.len()));
    }
    let mut ids = HashSet::new();
    for (i, part) in parts.iter().enumerate() {
        let name = |key: &str| format!("parts[{i}].{key}");
        let texts = [
            ("content_type", Some(&part.content_type)),
            ("name", Some(&part.name)),
            ("content_id", part.content_id.as_ref()),
            ("content_location", part.content_location.as_ref()),
        ];
        for (key, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() || text.chars().count() > NAME_MAX {
                return unacceptable(&name(key), format!("expected 1 to {NAME_MAX} characters"));
            }
            HeaderText::new(text).or_else(|e| unacceptable(&name(key), e))?;
        }
        if !is_plain_type(&part.content_type) {
            let what =
                format!("{:?}: expected a media type of one part, such as \"image/jpeg\"", part.content_type);
            return unacceptable(&name("content_type"), what);
        }
        if let Some(id) = &part.content_id {
            if !id.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\()".contains(&b)) {
                let what = format!("{id:?}: expected printable ASCII without spaces, quotes and brackets");
                return unacceptable(&name("content_id"), what);
            }
            if !ids.insert(id) {
                return unacceptable(&name("content_id"), format!("{id:?} is the id of another part, too"));
            }
        }
    }
    Ok(())
}

/// Whether it is `type/subtype` of a single part, with parameters that can be written again.
fn is_plain_type(text: &str) -> bool {
    let token =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let Some(parsed) = ContentType::parse(text) else { return false };
    let Some((main, sub)) = parsed.kind().split_once('/') else { return false };
    let value = |v: &str| v.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
    token(main)
        && token(sub)
        && !matches!(main, "multipart" | "message")
        && parsed.parameters().iter().all(|(n, v)| token(n) && value(v))
}

/// Whether an instant is past; an MM that is to end then makes no sense.
pub fn is_past(expiry: Option<Expiry>, now: Timestamp) -> bool {
    matches!(expiry, Some(Expiry::At(at)) if at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Wanted, String> {
        Wanted::read(Raw::Json(json.into())).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn refusals_name_field_value_and_expectation() {
        for (json, words) in [
            (r#"[1]"#, ["Malformed", "an object"]),
            (r#"{"to":[]}"#, ["Malformed", "from is missing"]),
            (r#"{"from":5}"#, ["from: 5", "expected a string"]),
            (r#"{"from":"+1","to":[7]}"#, ["to[0]: 7", "expected a string"]),
            (r#"{"from":"+1","to":["a b c"]}"#, ["Unacceptable", "to[0]"]),
            (r#"{"from":"+1"}"#, ["Unacceptable", "needs a recipient"]),
            (
                r#"{"from":"+1","to":["+2"],"subjekt":"x"}"#,
                ["subjekt: no such field", "did you mean \\\"subject\\\"?"],
            ),
            (
                r#"{"from":"+1","to":["+2"],"class":"personal"}"#,
                ["class", "expected Personal, Advertisement"],
            ),
            (r#"{"from":"+1","to":["+2"],"subject":"a\nb"}"#, ["subject", "control character"]),
            (r#"{"from":"+1","to":["+2"],"expiry":-1}"#, ["expiry: -1", "whole seconds"]),
            (r#"{"from":"+1","to":["+2"],"expiry":"tomorrow"}"#, ["expiry", "tomorrow"]),
            (
                r#"{"from":"+1","to":["+2"],"parts":[{"content_type":"a/b","data":"!"}]}"#,
                ["parts[0].data", "base64"],
            ),
            (
                r#"{"from":"+1","to":["+2"],"parts":[{"content_type":"multipart/mixed","data":""}]}"#,
                ["parts[0].content_type", "media type of one part"],
            ),
            (
                r#"{"from":"+1","to":["+2"],"parts":[{"content_type":"image/png","data":"","content_id":"<a>"}]}"#,
                ["parts[0].content_id", "without spaces"],
            ),
        ] {
            let error = read(json).err().unwrap_or_else(|| panic!("{json} was accepted"));
            assert!(words.iter().all(|w| error.contains(w)), "{json}: {error}");
        }
    }

    #[test]
    fn the_digest_is_of_what_is_asked_and_not_of_how_it_is_written() {
        let digest = |json: &str| read(json).unwrap().digest;
        let one = digest(r#"{"from":"+1","to":["+2"],"text":"x"}"#);
        assert_eq!(one, digest(r#"{ "to": ["+2"], "text": "x", "from": "+1" }"#));
        assert_ne!(one, digest(r#"{"from":"+1","to":["+2"],"text":"y"}"#));
        let inline = r#"{"from":"+1","to":["+2"],"parts":[{"content_type":"image/png","name":"a.png","data":"AAEC"}]}"#;
        let file = Attachment {
            name: "a.png".into(),
            content_type: "image/png".into(),
            octets: vec![0, 1, 2],
            content_id: None,
            content_location: None,
        };
        let form =
            Wanted::read(Raw::Form(br#"{"from":"+1","to":["+2"]}"#.to_vec(), vec![file])).ok().unwrap();
        assert_eq!(digest(inline), form.digest);
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Wanted::read(Raw::Json(octets));
        }
    }
}
