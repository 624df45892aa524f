//! Our readers against independent ones, on well-formed input: they must see the same mail.

use mail_parser::{MessageParser, PartType};
use proptest::prelude::*;
use smtp_proto::Request;
use smtp_proto::request::receiver::{DataReceiver, RequestReceiver};
use wire::mime::{HeaderBlock, WalkLimits, decode_transfer, encode_text, mail_date, parse_date, walk};
use wire::smtp::server::{Capabilities, Event, Session};
use wire::smtp::{Limits, TERMINATOR, dot_stuff, unstuff};

#[derive(Clone, Debug)]
enum Node {
    Leaf { octets: Vec<u8>, base64: bool },
    Multi(Vec<Node>),
}

fn tree() -> impl Strategy<Value = Node> {
    let octets = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "([-=.a \t]|--b|\r\n){1,40}".prop_map(String::into_bytes)
    ];
    let leaf = (octets, any::<bool>()).prop_map(|(octets, base64)| Node::Leaf { octets, base64 });
    let tree =
        leaf.prop_recursive(4, 20, 4, |inner| prop::collection::vec(inner, 1..4).prop_map(Node::Multi));
    tree.prop_map(|node| Node::Multi(vec![node]))
}

/// The headers and body of a node, written by the letter of RFC 2045.
fn write(node: &Node, next: &mut u32, out: &mut String) {
    match node {
        Node::Leaf { octets, base64: true } => {
            out.push_str(
                "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            );
            let encoded = base64(octets);
            for line in encoded.as_bytes().chunks(76) {
                out.push_str(&String::from_utf8_lossy(line));
                out.push_str("\r\n");
            }
        }
        Node::Leaf { octets, base64: false } => {
            out.push_str("Content-Type: application/octet-stream\r\n");
            out.push_str("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            for line in octets.chunks(20) {
                line.iter().for_each(|b| out.push_str(&format!("={b:02X}")));
                out.push_str("=\r\n");
            }
        }
        Node::Multi(children) => {
            *next += 1;
            let boundary = format!("b{next}");
            out.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\npreamble\r\n"
            ));
            for child in children {
                out.push_str(&format!("--{boundary}\r\n"));
                write(child, next, out);
                out.push_str("\r\n");
            }
            out.push_str(&format!("--{boundary}--\r\n"));
        }
    }
}

/// Written anew here, so that our own encoder does not vouch for our own decoder.
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*group.get(i).unwrap_or(&0)));
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
            out.push(if place <= group.len() { digit } else { '=' });
        }
    }
    out
}

fn leaves(node: &Node, found: &mut Vec<Vec<u8>>) {
    match node {
        Node::Leaf { octets, .. } => found.push(octets.clone()),
        Node::Multi(children) => children.iter().for_each(|child| leaves(child, found)),
    }
}

/// The sender that a session of ours sees in `line`.
fn our_sender(line: &str) -> Option<wire::smtp::server::Sender> {
    let mut session = Session::new("mms.b.example", Limits::default(), Capabilities::default());
    session.greet();
    let program = format!("EHLO a\r\n{line}");
    let (used, _) = session.advance(program.as_bytes());
    match session.advance(&program.as_bytes()[used..]).1 {
        Event::Sender(sender) => Some(sender),
        _ => None,
    }
}

proptest! {
    #[test]
    fn the_walk_finds_the_parts_that_mail_parser_finds(tree in tree(), subject in "[^\\p{C}]{0,60}") {
        let mut mail = format!("Subject: {}\r\nMIME-Version: 1.0\r\n", encode_text(&subject, 9));
        write(&tree, &mut 0, &mut mail);
        let wire_form = dot_stuff(mail.as_bytes());
        let block = HeaderBlock::parse(&wire_form).unwrap();
        let body = &wire_form[block.head_len()..];
        let structure = walk(block.text("Content-Type").as_deref(), None, body, WalkLimits::default());
        prop_assert_eq!(&structure.problems, &[]);
        let ours: Vec<Vec<u8>> = structure
            .parts
            .iter()
            .map(|p| decode_transfer(p.transfer_encoding, &body[p.body.start as usize..p.body.end as usize]))
            .collect();
        let mut written = Vec::new();
        leaves(&tree, &mut written);
        prop_assert_eq!(&ours, &written);

        let plain = unstuff(&wire_form);
        let theirs = MessageParser::default().parse(&*plain).unwrap();
        let contents: Vec<Vec<u8>> = theirs
            .parts
            .iter()
            .filter_map(|part| match &part.body {
                PartType::Binary(octets) | PartType::InlineBinary(octets) => Some(octets.to_vec()),
                _ => None,
            })
            .collect();
        prop_assert_eq!(&ours, &contents);
        let decoded = block.field("Subject").unwrap().decoded();
        prop_assert_eq!(decoded.trim(), theirs.subject().unwrap_or_default().trim());
    }

    #[test]
    fn dates_mean_the_same(seconds in 0i64..4_000_000_000) {
        let at = mms::Timestamp::from_seconds(seconds);
        let mail = format!("Date: {}\r\n\r\n", mail_date(at));
        let theirs = MessageParser::default().parse(mail.as_bytes()).unwrap();
        prop_assert_eq!(theirs.date().unwrap().to_timestamp(), seconds);
        prop_assert_eq!(parse_date(&mail_date(at)).unwrap().0, at);
    }

    #[test]
    fn mail_commands_mean_the_same(
        local in "[a-zA-Z0-9+/=_-]{1,30}(\\.[a-z]{1,5}){0,2}",
        domain in "[a-z]{1,10}(\\.[a-z]{1,10}){0,3}\\.example",
        size in 0u64..5_000_000,
        eight_bit: bool,
    ) {
        let body = if eight_bit { " BODY=8BITMIME" } else { "" };
        let line = format!("MAIL FROM:<{local}@{domain}> SIZE={size}{body}\r\n");
        let mut receiver = RequestReceiver::default();
        let theirs = match receiver.ingest(&mut line.as_bytes().iter()) {
            Ok(Request::Mail { from }) => (from.address.into_owned(), from.size as u64),
            other => panic!("{other:?}"),
        };
        let ours = our_sender(&line).unwrap();
        prop_assert_eq!(ours.path.unwrap().to_string(), theirs.0);
        prop_assert_eq!((ours.size, ours.eight_bit), (Some(theirs.1), eight_bit));
    }

    #[test]
    fn content_ends_in_the_same_place(text in "([.a]|\r\n){0,60}") {
        // The other reader keeps a doubled dot at the very beginning of content; so begin with something else.
        let content = dot_stuff(format!("x{text}").as_bytes());
        let wire_form = [&content, TERMINATOR, b"NOOP\r\n"].concat();
        let mut theirs = Vec::new();
        let mut octets = wire_form.iter();
        prop_assert!(DataReceiver::new().ingest(&mut octets, &mut theirs));
        prop_assert_eq!(octets.as_slice(), b"NOOP\r\n");
        prop_assert_eq!(&*theirs, &*unstuff(&content));
    }
}
