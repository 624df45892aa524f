//! What is 7-bit afterwards is the same mail.

use super::*;
use crate::smtp::dot_stuff;
use proptest::prelude::*;
use proptest::sample::select;

const RELATED: &str = "multipart/related; boundary=b";

fn limits() -> WalkLimits {
    WalkLimits::default()
}

fn made(kind: &str, encoding: Option<&str>, body: &[u8]) -> (String, Option<&'static str>) {
    match seven_bit(Some(kind), encoding, body, limits()) {
        SevenBit::Rewritten { body, content_transfer_encoding } => {
            (String::from_utf8(body).unwrap(), content_transfer_encoding)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn o_32_only_what_must_change_changes() {
    let body = b"--b\r\nContent-Type: application/smil\r\nContent-ID:0.smil\r\n\r\n<smil/>\r\n\
        --b\r\nContent-type:text/plain;charset=utf-8\r\ncontent-transfer-encoding:8bit\r\nX-Odd:1\r\n\r\n\
        caf\xc3\xa9\r\n..\r\n--x\r\n--b\r\nContent-Type: image/jpeg\r\nContent-ID: <i>\r\n\r\n\xff\xd8\xff\r\n\
        --b\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lG\r\n--b--\r\n";
    let expected = "--b\r\nContent-Type: application/smil\r\nContent-ID:0.smil\r\n\r\n<smil/>\r\n\
        --b\r\nContent-type:text/plain;charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nX-Odd:1\r\n\r\n\
        caf=C3=A9\r\n=2E\r\n=2D-x\r\n--b\r\nContent-Type: image/jpeg\r\nContent-ID: <i>\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n/9j/\r\n\
        --b\r\nContent-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lG\r\n--b--\r\n";
    assert_eq!(made(RELATED, Some("8BIT"), body), (expected.to_owned(), Some("7bit")));
    assert_eq!(made(RELATED, None, body), (expected.to_owned(), None));
    assert_eq!(seven_bit(Some(RELATED), Some("7bit"), expected.as_bytes(), limits()), SevenBit::Fits);
}

#[test]
fn o_32_a_body_that_is_one_part() {
    let (text, line) = ("caf\u{e9}\r\n..x\r\n".as_bytes(), format!("{}\r\n", "x".repeat(999)));
    let quoted = Some("quoted-printable");
    assert_eq!(made("text/plain", Some("8bit"), text), ("caf=C3=A9\r\n=2Ex\r\n".to_owned(), quoted));
    assert_eq!(made("text/plain", None, b"caf\xe9"), ("caf=E9=\r\n".to_owned(), quoted));
    assert_eq!(
        made("image/jpeg", Some("binary"), b"\xff\xd8\xff\r\n"),
        ("/9j/DQo=\r\n".to_owned(), Some("base64"))
    );
    assert_eq!(made("text/plain", None, line.as_bytes()).1, quoted);
    assert_eq!(seven_bit(Some("text/plain"), None, &line.as_bytes()[1..], limits()), SevenBit::Fits);
    // It is in base64 already, on too long a line: the same encoding, and nothing to tell the mail's head.
    let (rewrapped, encoding) =
        made("image/jpeg", Some("BASE64"), format!("{}\r\n", "QUJD".repeat(300)).as_bytes());
    assert_eq!((encoding, rewrapped.split("\r\n").next().unwrap().len()), (None, 76));
    assert_eq!(made("text/plain", Some("Binary"), b"x\r\n"), ("x\r\n".to_owned(), Some("7bit")));
    assert_eq!(seven_bit(None, None, b"", limits()), SevenBit::Fits);
}

#[test]
fn values_in_the_headers_of_parts() {
    let long = "x".repeat(1500);
    let body = [
        b"pre\xe4mble\r\n--b\r\nContent-Type: image/jpeg; name=caf\xc3\xa9.jpg; x=\"a\\\"b\"\r\nContent-ID: <caf\xe9>\r\n\
          Content-Location: caf\xc3\xa9.jpg\r\nContent-Description: caf\xe9\r\ncaf\xe9: no field\r\nX: 1\r\n\r\n\xff\r\n--b\r\n\
          Content-Disposition: inline; filename=\"" as &[u8],
        long.as_bytes(),
        b"\"\r\nX-Long: ",
        long.as_bytes(),
        b"\r\n\r\nx\r\n--b--\r\nepilogue \xe9\r\n",
    ]
    .concat();
    let expected = "?\r\n--b\r\nContent-Type: image/jpeg;\r\n name*=utf-8''caf%C3%A9.jpg;\r\n x=\"a\\\"b\"\r\n\
        Content-ID: <caf?>\r\nContent-Location: =?UTF-8?B?Y2Fmw6kuanBn?=\r\n\
        Content-Description: =?UTF-8?B?Y2Fmw6k=?=\r\nContent-Transfer-Encoding: base64\r\n?\r\nX: 1\r\n\r\n/w==\r\n\
        --b\r\nContent-Disposition: inline;\r\n filename*0*=utf-8''xxx";
    let (out, _) = made(RELATED, None, &body);
    assert_eq!(&out[..expected.len()], expected);
    assert!(out.ends_with("\r\n\r\nx\r\n--b--\r\n?\r\n"));
    let parts = walk(Some(RELATED), None, out.as_bytes(), limits()).parts;
    assert_eq!(parts[0].name.as_ref().unwrap().as_str(), "caf\u{e9}.jpg");
    assert_eq!(parts[0].content_location.as_ref().unwrap().as_str(), "caf\u{e9}.jpg");
    assert_eq!(parts[1].name.as_ref().unwrap().as_str(), long);
}

#[test]
fn inner_multiparts_and_what_calls_itself_8bit() {
    let body = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        --c\r\nContent-Transfer-Encoding: binary\r\n\r\nplain\r\n--c\r\n\r\n\xe9\r\n--c--\r\n--b--\r\n";
    let expected = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        --c\r\nContent-Transfer-Encoding: 7bit\r\n\r\nplain\r\n\
        --c\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n--c--\r\n--b--\r\n";
    assert_eq!(made(RELATED, None, body).0, expected);
}

#[test]
fn what_cannot_be_told_apart_is_not_touched() {
    let eight = b"--b\r\n\r\n\xe9\r\n--b--\r\n";
    let many = [b"--b\r\n\r\nx\r\n".repeat(101), eight.to_vec()].concat();
    for (kind, body, obstacle) in [
        ("multipart/mixed", &eight[..], Obstacle::Structure(Problem::NoBoundary)),
        ("multipart/mixed; boundary=c", eight, Obstacle::Structure(Problem::NoDelimiter)),
        (RELATED, &many, Obstacle::Structure(Problem::TooManyParts)),
        (
            "multipart/mixed; boundary=\u{e9}",
            "--\u{e9}\r\n\r\nx\r\n--\u{e9}--\r\n".as_bytes(),
            Obstacle::Reread,
        ),
    ] {
        assert_eq!(seven_bit(Some(kind), None, body, limits()), SevenBit::Impossible(obstacle), "{kind}");
        assert!(!obstacle.to_string().is_empty());
    }
    // What fits needs no parts.
    assert_eq!(seven_bit(Some("multipart/mixed"), None, b"x\r\n", limits()), SevenBit::Fits);
    assert_eq!(made("multipart/mixed", Some("8bit"), b"x\r\n"), ("x\r\n".to_owned(), Some("7bit")));
}

/// The header section of a part, without boundary.
fn any_fields() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => select(vec![
            &b"Content-Type: text/plain; charset=utf-8\r\n"[..],
            b"content-type:image/jpeg;Name=photo.jpg\r\n",
            b"Content-Type: application/smil; name=\"caf\xc3\xa9 \\\"x\\\".smil\"\r\n",
            b"Content-Type: image/gif;\r\n name*0*=utf-8''caf%C3%A9; name*1=\"\xe9\"\r\n",
            b"Content-ID: <id@a.example>\r\n",
            b"Content-ID:caf\xe9\r\n",
            b"Content-Location: a b.jpg\r\n",
            b"Content-Location: =?UTF-8?Q?x?= caf\xe9.jpg\r\n",
            b"Content-Disposition: attachment; filename=caf\xc3\xa9.jpg\r\n",
            b"Content-Transfer-Encoding: 8bit\r\n",
            b"Content-Transfer-Encoding:base64\r\n",
            b"CONTENT-TRANSFER-ENCODING: Quoted-Printable\r\n",
            b"Content-Transfer-Encoding: binary\r\n",
            b"X-Odd :\xe9,\r\n\t\xe9\r\n",
            b"..X-Dotted: 1\r\n",
        ]).prop_map(<[u8]>::to_vec),
        1 => (1usize..2500).prop_map(|n| format!("Content-Disposition: inline; x=\"{}\"\r\n", "y".repeat(n)).into_bytes()),
        1 => (1usize..2500).prop_map(|n| format!("X-Long: {}\r\n", "y".repeat(n)).into_bytes()),
        1 => select(vec![&b"no field\r\n"[..], b"caf\xe9: x\r\n", b" folded \xe9\r\n", b"From \xe9\r\n"]).prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        select(vec![
            &b"text"[..],
            b"\r\n",
            b"\r\n",
            b".",
            b"-",
            b"--",
            b" ",
            b"=",
            b"=3D",
            b"=\r\n",
            b"QUJD",
            b"?"
        ])
        .prop_map(<[u8]>::to_vec),
        select(vec![&b"\xe9"[..], b"caf\xc3\xa9", b"\xff\xd8\xff"]).prop_map(<[u8]>::to_vec),
        (990usize..1010).prop_map(|n| b"QUJD".repeat(n).into_iter().take(n).collect()),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        "[ -~]{0,40}".prop_map(String::into_bytes),
    ]
}

/// A part with its header section, `depth` multiparts inside of each other at most.
fn any_part() -> impl Strategy<Value = Vec<u8>> {
    let leaf =
        (any_fields(), any_content()).prop_map(|(fields, content)| [&fields[..], b"\r\n", &content].concat());
    leaf.prop_recursive(3, 12, 4, |inner| {
        let boundary = select(vec!["c", "d", "e=?"]);
        let label = select(vec!["", "Content-Transfer-Encoding: 8bit\r\n", "X-Odd: \u{e9}\r\n"]);
        let kind = select(vec![
            "multipart/mixed",
            "Multipart/Related;Name=\u{e9}",
            "application/vnd.wap.multipart.related",
        ]);
        (boundary, label, kind, any_multipart(inner)).prop_map(|(boundary, label, kind, body)| {
            let head = format!("{label}Content-Type: {kind}; boundary=\"{boundary}\"\r\n\r\n");
            [head.as_bytes(), &with_boundary(&body, boundary)].concat()
        })
    })
}

/// Preamble, parts, epilogue; NUL stands for the boundary, which is filled in from inside.
fn any_multipart(part: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let loose = select(vec![&b""[..], b"preamble", b"pre\xe4mble", b"--\xe9"]).prop_map(<[u8]>::to_vec);
    (loose.clone(), prop::collection::vec(part, 0..4), loose, any::<bool>()).prop_map(
        |(preamble, parts, epilogue, closed)| {
            let mut body = preamble;
            for part in parts {
                body.extend_from_slice(b"\r\n--\0\r\n");
                body.extend_from_slice(&part);
            }
            if closed {
                body.extend_from_slice(b"\r\n--\0--\r\n");
            }
            body.extend_from_slice(&epilogue);
            body
        },
    )
}

fn with_boundary(body: &[u8], boundary: &str) -> Vec<u8> {
    body.iter().flat_map(|b| if *b == 0 { boundary.as_bytes().to_vec() } else { vec![*b] }).collect()
}

fn cut<'a>(body: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &body[range.start as usize..range.end as usize]
}

/// Everything that must hold of any body in wire form.
fn check(kind: Option<&str>, encoding: Option<&str>, body: &[u8]) -> Result<(), TestCaseError> {
    let before = walk(kind, encoding, body, limits());
    match seven_bit(kind, encoding, body, limits()) {
        SevenBit::Fits => prop_assert!(fits(body)),
        SevenBit::Impossible(Obstacle::Structure(problem)) => {
            prop_assert!(before.problems.contains(&problem))
        }
        SevenBit::Impossible(Obstacle::Reread) => {
            prop_assert!(false, "{}", String::from_utf8_lossy(body));
        }
        SevenBit::Rewritten { body: out, content_transfer_encoding } => {
            prop_assert!(fits(&out));
            let framed = [b"\r\n", &out[..]].concat();
            prop_assert!(framed.windows(2).all(|w| (w[0] == b'\r') == (w[1] == b'\n')));
            prop_assert!(framed.windows(3).all(|w| w != b"\n.\r"), "a line of one dot");
            prop_assert!(framed.ends_with(b"\r\n"));
            let encoding_after = content_transfer_encoding.or(encoding);
            let after = walk(kind, encoding_after, &out, limits());
            prop_assert_eq!(&after.problems, &before.problems);
            prop_assert_eq!(after.parts.len(), before.parts.len());
            for (old, new) in before.parts.iter().zip(&after.parts) {
                let (old_body, new_body) = (cut(body, &old.body), cut(&out, &new.body));
                prop_assert_eq!(
                    decode_transfer(new.transfer_encoding, new_body),
                    decode_transfer(old.transfer_encoding, old_body)
                );
                prop_assert_eq!((new.depth, new.kind()), (old.depth, old.kind()));
                prop_assert_eq!((&new.name, &new.content_location), (&old.name, &old.content_location));
                if old.content_id.as_ref().is_none_or(|id| id.as_str().is_ascii()) {
                    prop_assert_eq!(&new.content_id, &old.content_id);
                }
                if fits(old_body) {
                    prop_assert_eq!(new_body, old_body);
                    let section = cut(body, &old.headers);
                    if fits(section) && !head::is_wide(section) {
                        prop_assert_eq!(cut(&out, &new.headers), section);
                    }
                }
                prop_assert!(!head::is_wide(cut(&out, &new.headers)));
            }
            let again = seven_bit(kind, encoding_after, &out, limits());
            prop_assert_eq!(again, SevenBit::Fits, "{}", String::from_utf8_lossy(&out));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn o_32_every_part_is_the_same_afterwards(
        body in any_multipart(any_part()),
        encoding in select(vec![None, Some("8bit"), Some("7bit")]),
    ) {
        let body = dot_stuff(&with_boundary(&body, "b"));
        check(Some(RELATED), encoding, &body)?;
    }

    #[test]
    fn o_32_a_single_part_is_the_same_afterwards(
        content in any_content(),
        kind in select(vec![None, Some("text/plain"), Some("image/jpeg"), Some("message/rfc822")]),
        encoding in select(vec![None, Some("8bit"), Some("binary"), Some("base64"), Some("quoted-printable"), Some("x-odd")]),
    ) {
        check(kind, encoding, &dot_stuff(&content))?;
    }

    /// What is no wire form: no promise but 7-bit.
    #[test]
    fn any_bytes(pieces in prop::collection::vec(prop_oneof![
        select(vec!["--b\r\n", "--b--\r\n", "--b", "\r\n", "\n", "\r", ".", "Content-Type: multipart/mixed; boundary=c\n",
            "--c\n", "Content-Type: text/plain\n", "Content-Transfer-Encoding: base64\r\n", "\u{e9}", ":", " "])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ], 0..40)) {
        let body = pieces.concat();
        let small = WalkLimits { depth_max: 2, parts_max: 4, header_max: 60 };
        for limits in [limits(), small] {
            match seven_bit(Some(RELATED), None, &body, limits) {
                SevenBit::Fits => prop_assert!(fits(&body)),
                SevenBit::Rewritten { body, .. } => prop_assert!(fits(&body)),
                SevenBit::Impossible(_) => {}
            }
        }
    }
}
