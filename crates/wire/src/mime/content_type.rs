//! `Content-Type` and other values with parameters (RFC 2045 5.1, RFC 2231), as peers write them.
//!
//! Owns: type and parameters. Tolerates capitals, missing spaces, spaces and 8-bit text in values without quotes, a
//! missing closing quote, a `;` at the end. Never knows: bodies.

/// A value with parameters: `multipart/related; start="<s>"; boundary=b1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    kind: String,
    parameters: Vec<(String, String)>,
}

const PARAMETERS_MAX: usize = 64;

impl ContentType {
    /// Reads a content type. The binary names of WAP are translated: `application/vnd.wap.multipart.related` is
    /// `multipart/related`. `None` when there is no `type/subtype` in front.
    pub fn parse(text: &str) -> Option<Self> {
        let mut value = Self::value(text);
        let (main, sub) = value.kind.split_once('/')?;
        let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b > b' ' && b != b'/' && b != b'"');
        if !token(main) || !token(sub) {
            return None;
        }
        if let Some(sub) = value.kind.strip_prefix("application/vnd.wap.multipart.") {
            value.kind = format!("multipart/{sub}");
        }
        Some(value)
    }

    /// Reads any value with parameters, such as `Content-Disposition`.
    pub fn value(text: &str) -> Self {
        let (kind, rest) = text.split_once(';').unwrap_or((text, ""));
        Self { kind: kind.trim().to_ascii_lowercase(), parameters: join_sections(parameters(rest)) }
    }

    /// `type/subtype` in lower case.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether it is any `multipart/…`.
    pub fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    /// The value of the parameter of this name, in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All parameters, names in lower case.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// The boundary of a multipart, if it is usable: 1 to 200 octets (RFC 2046 allows 70) without outer space.
    pub fn boundary(&self) -> Option<&str> {
        let boundary = self.parameter("boundary")?.trim_end();
        let usable = (1..=super::walk::BOUNDARY_MAX).contains(&boundary.len());
        (self.is_multipart() && usable).then_some(boundary)
    }

    /// The content id of the part to begin with (`start`), without angle brackets.
    pub fn start(&self) -> Option<&str> {
        self.parameter("start").map(super::strip_angles).filter(|id| !id.is_empty())
    }
}

/// Names in lower case and values, as they come.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while found.len() < PARAMETERS_MAX {
        rest = rest.trim_start_matches([' ', '\t', ';', ',', '\r', '\n']);
        if rest.is_empty() {
            break;
        }
        let end = rest.find(['=', ';']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_ascii_lowercase();
        let Some(behind) = rest[end..].strip_prefix('=') else {
            rest = &rest[end..];
            continue;
        };
        let behind = behind.trim_start();
        let (value, later) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        found.push((name, value));
        rest = later;
    }
    found
}

/// The text up to the closing quotation mark, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// RFC 2231: `name*=utf-8''%e2…` and `name*0=…; name*1*=…` become `name`.
fn join_sections(found: Vec<(String, String)>) -> Vec<(String, String)> {
    if !found.iter().any(|(name, _)| name.contains('*')) {
        return found;
    }
    let mut plain: Vec<(String, String)> = Vec::new();
    let mut sections: Vec<(String, u32, Vec<u8>)> = Vec::new();
    for (name, value) in found {
        let Some((base, section)) = name.split_once('*') else {
            plain.push((name, value));
            continue;
        };
        let encoded = name.ends_with('*');
        let index = section.trim_end_matches('*').parse().unwrap_or(0);
        let octets = match encoded {
            true if index == 0 => percent_decoded(value.splitn(3, '\'').last().unwrap_or_default()),
            true => percent_decoded(&value),
            false => value.into_bytes(),
        };
        sections.push((base.to_owned(), index, octets));
    }
    sections.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    for group in sections.chunk_by(|a, b| a.0 == b.0) {
        let octets: Vec<u8> = group.iter().flat_map(|s| s.2.iter().copied()).collect();
        let value = match String::from_utf8(octets) {
            Ok(value) => value,
            Err(other) => other.into_bytes().iter().map(|b| char::from(*b)).collect(),
        };
        plain.retain(|(name, _)| *name != group[0].0);
        plain.push((group[0].0.clone(), value));
    }
    plain
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match super::transfer::hex_pair(tail) {
            Some(octet) if *first == b'%' => {
                out.push(octet);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ContentType {
        ContentType::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn f_34_f_35_as_vendors_write_it() {
        let value =
            parse("multipart/related;Start=\"<smil>\";Type=\"application/smil\"; boundary=----=_Part_1");
        assert_eq!(value.kind(), "multipart/related");
        assert_eq!(value.start(), Some("smil"));
        assert_eq!(value.parameter("type"), Some("application/smil"));
        assert_eq!(value.boundary(), Some("----=_Part_1"));
        assert_eq!(parse("multipart/related; start=0.smil; boundary=\"b\"").start(), Some("0.smil"));
        let image = parse("Image/JPEG;Name=my photo \u{e9}.jpeg;");
        assert_eq!((image.kind(), image.parameter("name")), ("image/jpeg", Some("my photo \u{e9}.jpeg")));
        assert_eq!(parse("text/plain; Charset = utf-8 ; x").parameter("charset"), Some("utf-8"));
        assert_eq!(parse("text/plain; name=\"a\\\"b;c\"d=e").parameter("name"), Some("a\"b;c"));
        assert_eq!(parse("text/plain; name=\"open").parameter("name"), Some("open"));
    }

    #[test]
    fn f_49_wap_names_are_translated() {
        assert_eq!(parse("application/vnd.wap.multipart.related; boundary=b").boundary(), Some("b"));
        assert_eq!(parse("application/vnd.wap.multipart.mixed").kind(), "multipart/mixed");
        assert!(parse("application/vnd.wap.multipart.alternative").is_multipart());
    }

    #[test]
    fn rfc_2231_in_its_simple_forms() {
        assert_eq!(parse("a/b; name*=utf-8''%e2%82%AC%zz").parameter("name"), Some("\u{20ac}%zz"));
        assert_eq!(parse("a/b; name*1=\"lo\"; name*0=hel").parameter("name"), Some("hello"));
        assert_eq!(
            parse("a/b; name=x; name*0*=iso-8859-1'en'%e9; name*1=y").parameter("name"),
            Some("\u{e9}y")
        );
    }

    #[test]
    fn no_types_and_no_boundaries() {
        for text in ["", ";", "text", "/", "text/", "/plain", "a b/c", "\"a/b\""] {
            assert_eq!(ContentType::parse(text), None, "{text}");
        }
        for text in [
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "multipart/mixed; boundary=\"\"",
            "text/plain; boundary=b",
        ] {
            assert_eq!(parse(text).boundary(), None, "{text}");
        }
        assert_eq!(parse(&format!("multipart/x; boundary={}", "b".repeat(201))).boundary(), None);
    }

    proptest! {
        #[test]
        fn any_text(text in "[a-z/;=\"*'%0-9 \\\\é]{0,60}") {
            let value = ContentType::value(&text);
            prop_assert!(value.parameters().len() <= PARAMETERS_MAX);
            let _ = (value.boundary(), value.start(), ContentType::parse(&text));
        }
    }
}
