//! Addresses inside header fields: lists, display names, mailboxes of systems.
//!
//! Owns: where one address ends and the next begins, and how a list is written.
//! Never knows: what an address means; that is `mms`.

use super::value::Read;
use crate::mime::{decode_words, encode_phrase};
use mms::{Address, HeaderText, MailPath, Party};

/// Lines of address lists are folded at this column (RFC 5322 2.1.1).
const COLUMN_MAX: usize = 78;

/// The pieces between separators, which are ASCII, outside of quotation marks.
struct Pieces<'a> {
    rest: Option<&'a str>,
    separators: [u8; 2],
}

/// `text` cut at each of `separators` that is outside quotation marks.
const fn cut_outside_quotes(text: &str, separators: [u8; 2]) -> Pieces<'_> {
    Pieces { rest: Some(text), separators }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.take()?;
        let Some(end) = outside_quotes(text.as_bytes(), self.separators) else { return Some(text) };
        self.rest = Some(&text[end + 1..]);
        Some(&text[..end])
    }
}

/// The first of `wanted` that is outside quotation marks.
fn outside_quotes(text: &[u8], wanted: [u8; 2]) -> Option<usize> {
    let first = memchr::memchr2(wanted[0], wanted[1], text)?;
    if memchr::memchr(b'"', &text[..first]).is_none() {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|b| {
        match *b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b => return !quoted && wanted.contains(&b),
        }
        false
    })
}

/// The display name, undecoded, and the address inside the angle brackets, or everything.
fn inside_angles(text: &str) -> (&str, &str) {
    let text = text.trim();
    let before = cut_outside_quotes(text, [b'<'; 2]).next().unwrap_or_default();
    match text[before.len()..].strip_prefix('<').and_then(|t| t.trim_end().strip_suffix('>')) {
        Some(inside) => (before.trim(), inside.trim()),
        None => ("", text),
    }
}

fn display_name(raw: &str) -> Option<HeaderText> {
    if raw.is_empty() {
        return None;
    }
    let name = match raw.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => {
            let mut chars = quoted.chars();
            let mut plain = String::with_capacity(quoted.len());
            while let Some(c) = chars.next() {
                plain.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            plain
        }
        None => raw.to_owned(),
    };
    Some(HeaderText::cleaned(&decode_words(&name))).filter(|name| !name.as_str().is_empty())
}

/// One address in any form of `addressing`.
pub(super) fn party(text: &str) -> Read<Party> {
    let text = HeaderText::clean(text);
    let (name, path) = inside_angles(&text);
    // `name: address` opens a group; `address (name)` is an old form of a display name.
    let group = if path.contains(':') { path.rsplit_once(": ") } else { None };
    let path = group.map_or(path, |(_, path)| path).trim();
    let comment = if path.ends_with(')') { path.split_once(" (") } else { None };
    let path = comment.map_or(path, |(path, _)| path.trim());
    let Ok(read) = path.parse::<Party>() else { return Read::No };
    let party = Party { name: display_name(name), ..read };
    let canonical = party.path().is_written_as(path);
    if canonical { Read::Exact(party) } else { Read::Lenient(party) }
}

/// The addresses of a list; what could be read of it, and whether any of it needed a tolerance.
pub(super) fn parties(text: &str) -> (Vec<Party>, bool) {
    let mut found = Vec::new();
    let mut lenient = false;
    for piece in cut_outside_quotes(text, [b',', b';']) {
        if piece.trim().is_empty() {
            continue;
        }
        match party(piece) {
            Read::Exact(party) => found.push(party),
            Read::Lenient(party) => {
                lenient = true;
                found.push(party);
            }
            Read::No => lenient = true,
        }
    }
    (found, lenient)
}

/// The addresses of `X-Mms-Request-Recipients`: a list, also one joined by dots or spaces by mistake.
pub(super) fn request_recipients(text: &str) -> (Vec<Party>, bool) {
    let mut found = Vec::new();
    let mut lenient = false;
    // More than 15 digits are two numbers that lost their comma.
    let single = |party: &Party| party.address.number().is_none_or(|number| number.digits().len() <= 15);
    for piece in cut_outside_quotes(text, [b',', b';']) {
        match party(piece) {
            Read::Exact(party) if single(&party) => found.push(party),
            Read::Lenient(party) if single(&party) => {
                lenient = true;
                found.push(party);
            }
            _ if piece.trim().is_empty() => {}
            _ => {
                lenient = true;
                for token in joined_tokens(piece) {
                    match party(token) {
                        Read::Exact(party) | Read::Lenient(party) => found.push(party),
                        Read::No => {}
                    }
                }
            }
        }
    }
    // A word is no recipient, although it could be a code of some MMSE.
    found.retain(|party| !matches!(party.address, Address::AlphaCode(_)));
    (found, lenient)
}

/// `+1….+1…`, `+1…/TYPE=PLMN.+1…` and `1… 1…`: cut where the next address can only begin.
fn joined_tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in text.split_ascii_whitespace() {
        let bytes = word.as_bytes();
        let mut start = 0;
        let plain =
            word.split('.').all(|t| (7..=15).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit()));
        for (at, _) in word.match_indices('.') {
            let typed = at >= start + 10 && word.is_char_boundary(at - 10);
            let behind_type = typed && word[at - 10..at].eq_ignore_ascii_case("/TYPE=PLMN");
            if plain || behind_type || bytes.get(at + 1) == Some(&b'+') {
                tokens.push(&word[start..at]);
                start = at + 1;
            }
        }
        tokens.push(&word[start..]);
    }
    tokens
}

/// The mailbox of a system: the first of a list that is one.
pub(super) fn mailbox(text: &str) -> Read<MailPath> {
    let text = HeaderText::clean(text);
    for (index, piece) in cut_outside_quotes(&text, [b',', b';']).enumerate() {
        let (_, path) = inside_angles(piece);
        // One vendor writes system=host;party=+number where a mailbox belongs.
        if let Some(host) = path.get(..7).filter(|p| p.eq_ignore_ascii_case("system=")).map(|_| &path[7..]) {
            if let Ok(path) = host.trim().parse().and_then(|host| MailPath::new("system-user", Some(host))) {
                return Read::Lenient(path);
            }
            continue;
        }
        let Ok(path) = path.parse::<MailPath>() else { continue };
        let exact = index == 0 && path.is_written_as(&text);
        return if exact { Read::Exact(path) } else { Read::Lenient(path) };
    }
    Read::No
}

/// One address as we write it.
pub(super) fn write_party(party: &Party, bare: bool, used: usize) -> String {
    let path = match &party.address {
        Address::Email { .. } => party.path().to_string(),
        other if bare => Party::from(other.clone()).path().to_string(),
        _ => party.path().to_string(),
    };
    match &party.name {
        Some(name) if !name.as_str().is_empty() => {
            format!("{} <{path}>", encode_phrase(name.as_str(), used))
        }
        _ => path,
    }
}

/// A list as we write it, folded behind commas.
pub(super) fn write_list<'a>(items: impl Iterator<Item = &'a Party>, bare: bool, used: usize) -> String {
    let mut out = String::new();
    let mut column = used;
    for party in items {
        let item = write_party(party, bare, 1);
        let width = item.split("\r\n").next().map_or(0, str::len);
        if out.is_empty() {
            // A first name in encoded words needs the room of a whole line.
            if item.contains("\r\n") || (column + width > COLUMN_MAX && item.contains("=?")) {
                out.push_str("\r\n ");
                column = 1;
            }
        } else if column + 3 + width > COLUMN_MAX {
            out.push_str(",\r\n ");
            column = 1;
        } else {
            out.push_str(", ");
            column += 2;
        }
        column = match item.rsplit_once("\r\n") {
            Some((_, last)) => last.len(),
            None => column + item.len(),
        };
        out.push_str(&item);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn separators_in_quotes_do_not_count(text in r#"[a,;<é"\\]{0,12}"#) {
            let (mut quoted, mut escaped) = (false, false);
            let mut expected = vec![String::new()];
            for c in text.chars() {
                let cuts = !quoted && !escaped && matches!(c, ',' | ';');
                match c {
                    _ if escaped => escaped = false,
                    '\\' => escaped = quoted,
                    '"' => quoted = !quoted,
                    _ => {}
                }
                match expected.last_mut() {
                    Some(piece) if !cuts => piece.push(c),
                    _ => expected.push(String::new()),
                }
            }
            prop_assert_eq!(cut_outside_quotes(&text, [b',', b';']).collect::<Vec<_>>(), expected);
        }
    }

    fn texts((parties, _): (Vec<Party>, bool)) -> Vec<String> {
        parties.iter().map(|p| p.address.value()).collect()
    }

    #[test]
    fn lists_as_peers_write_them() {
        assert_eq!(
            texts(parties(
                "Bob <+12025550100/TYPE=PLMN>, \"Doe, Jo\" <+12025550101/TYPE=PLMN@mms.a.example>,, ,"
            )),
            ["+12025550100", "+12025550101"]
        );
        let (read, lenient) = parties("+12025550100, bob@a.example; 12025550102");
        assert_eq!((read.len(), lenient), (3, true));
        assert!(!parties("+12025550100/TYPE=PLMN, <bob@A.Example>").1);
        assert_eq!(texts(parties("undisclosed-recipients:;")), Vec::<String>::new());
        assert_eq!(texts(parties("Friends: bob@a.example;")), ["bob@a.example"]);
        assert_eq!(texts(parties("bob@a.example (Bob)")), ["bob@a.example"]);
        let (read, _) = parties("=?UTF-8?Q?Zo=C3=AB?= <bob@a.example>");
        assert_eq!(read[0].name.as_ref().unwrap().as_str(), "Zo\u{eb}");
    }

    #[test]
    fn request_recipients_joined_by_mistake() {
        let two = ["+12025550111", "+12025550112"];
        for text in [
            "+12025550111/TYPE=PLMN, +12025550112/TYPE=PLMN",
            "+12025550111,+12025550112",
            "+12025550111.+12025550112",
            "+12025550111/TYPE=PLMN.+12025550112/TYPE=PLMN",
            "+12025550111/type=plmn@mms.b.example.+12025550112/TYPE=PLMN@mms.b.example",
            "+12025550111 +12025550112",
        ] {
            assert_eq!(texts(request_recipients(text)), two, "{text}");
        }
        let bare = ["12025550111", "12025550112"];
        assert_eq!(texts(request_recipients("12025550111.12025550112")), bare);
        assert_eq!(texts(request_recipients("12025550111/TYPE=PLMN.12025550112/TYPE=PLMN")), bare);
        assert_eq!(texts(request_recipients("+1.202.555.0111")), ["+12025550111"]);
        assert_eq!(texts(request_recipients("+1 202 555 0111")), ["+12025550111"]);
        assert_eq!(texts(request_recipients("2025550111.2025550112")), ["2025550111", "2025550112"]);
        assert_eq!(texts(request_recipients("nonsense or so")), Vec::<String>::new());
    }

    #[test]
    fn f_13_mailboxes_of_systems() {
        let read = |text: &str| match mailbox(text) {
            Read::Exact(path) => (path.to_string(), true),
            Read::Lenient(path) => (path.to_string(), false),
            Read::No => (String::new(), false),
        };
        assert_eq!(read("system-user@mms.a.example"), ("system-user@mms.a.example".to_owned(), true));
        assert_eq!(read("PostMaster"), ("PostMaster".to_owned(), true));
        assert_eq!(read("<admin@a.example>"), ("admin@a.example".to_owned(), false));
        assert_eq!(read("MMSC <admin@a.example>"), ("admin@a.example".to_owned(), false));
        assert_eq!(
            read("system=mms.a.example;party=+12025550100"),
            ("system-user@mms.a.example".to_owned(), false)
        );
        assert_eq!(read("system=;admin@a.example"), ("admin@a.example".to_owned(), false));
        assert_eq!(read("").0, "");
        assert_eq!(read("@a.example").0, "");
    }
}
