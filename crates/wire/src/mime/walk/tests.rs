//! Laws of the structure walk.

use super::*;
use proptest::prelude::*;
use std::ops::Range;

fn limits() -> WalkLimits {
    WalkLimits::default()
}

fn texts<'a>(structure: &Structure, body: &'a str) -> Vec<&'a str> {
    let cut = |range: &Range<u64>| &body[range.start as usize..range.end as usize];
    structure.parts.iter().map(|part| cut(&part.body)).collect()
}

const RELATED: &str = "preamble\r\n--b1\r\nContent-Type: application/smil\r\nContent-ID:0.smil\r\n\r\n<smil/>\r\n\
    --b1\r\nContent-Type: image/jpeg;Name=x.jpeg\r\nContent-Transfer-Encoding: base64\r\n\
    Content-ID: <image>\r\nContent-Location: my x.jpeg\r\nContent-Disposition: inline; filename=\"y.jpeg\"\r\n\r\n\
    /9j/4AAQ\r\n--b1\r\n\r\nplain\r\n\r\n--b1--\r\nepilogue\r\n--b1\r\n\r\nnot a part\r\n";

#[test]
fn f_35_parts_of_a_related_body() {
    let kind = "multipart/related;start=0.smil; boundary=b1";
    let structure = walk(Some(kind), None, RELATED.as_bytes(), limits());
    assert_eq!(structure.problems, []);
    assert_eq!(texts(&structure, RELATED), ["<smil/>", "/9j/4AAQ", "plain\r\n"]);
    let image = &structure.parts[1];
    assert_eq!(image.name.as_ref().unwrap().as_str(), "x.jpeg");
    assert_eq!(image.content_id.as_ref().unwrap().as_str(), "image");
    assert_eq!(image.content_location.as_ref().unwrap().as_str(), "my x.jpeg");
    assert_eq!((image.depth, image.transfer_encoding, image.size_estimate), (1, TransferEncoding::Base64, 6));
    let head = &RELATED[image.headers.start as usize..image.headers.end as usize];
    assert!(head.starts_with("Content-Type: image") && head.ends_with("\r\n\r\n"));
    let start = structure.start(&ContentType::parse(kind).unwrap()).unwrap();
    assert_eq!(start.kind(), "application/smil");
    assert_eq!(structure.parts[2].kind(), "text/plain");
}

#[test]
fn f_15_no_boundary() {
    let structure = walk(Some("multipart/mixed"), None, b"--b\r\n\r\nx\r\n--b--\r\n", limits());
    assert_eq!(structure.problems, [Problem::NoBoundary]);
    assert_eq!(structure.parts.len(), 1);
    let structure = walk(Some("multipart/mixed; boundary=b"), None, b"just text\r\n", limits());
    assert_eq!(structure.problems, [Problem::NoDelimiter]);
}

#[test]
fn f_16_a_missing_close_costs_nothing() {
    let body = "--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n";
    let structure = walk(Some("multipart/mixed; boundary=b"), None, body.as_bytes(), limits());
    assert_eq!(structure.problems, [Problem::MissingClose]);
    assert_eq!(texts(&structure, body), ["one", "two\r\n"]);
}

#[test]
fn f_17_a_body_that_is_one_part() {
    let structure = walk(Some("image/jpeg; name=a.jpg"), Some("base64"), b"QUJD\r\n", limits());
    assert_eq!((structure.parts.len(), structure.parts[0].body.clone()), (1, 0..6));
    assert_eq!(structure.parts[0].name.as_ref().unwrap().as_str(), "a.jpg");
    assert_eq!(walk(None, None, b"x", limits()).parts[0].kind(), "text/plain");
}

#[test]
fn f_18_an_empty_body_has_no_parts() {
    for (kind, body) in [
        ("text/plain", ""),
        ("multipart/mixed; boundary=b", ""),
        ("multipart/mixed; boundary=b", "\r\n"),
        ("multipart/mixed; boundary=b", "--b--\r\n"),
    ] {
        let structure = walk(Some(kind), None, body.as_bytes(), limits());
        assert_eq!((structure.parts, structure.problems), (vec![], vec![]), "{kind} {body:?}");
    }
}

#[test]
fn f_49_wap_names_have_parts_too() {
    let body = b"--b\r\nContent-Type: application/vnd.wap.multipart.alternative; boundary=c\r\n\r\n\
                 --c\r\n\r\n1\r\n--c--\r\n--b--";
    let structure = walk(Some("application/vnd.wap.multipart.related; boundary=b"), None, body, limits());
    assert_eq!((structure.parts.len(), structure.parts[0].depth), (1, 2));
    assert_eq!(structure.problems, []);
}

#[test]
fn odd_delimiters() {
    let kind = Some("multipart/mixed; boundary=b");
    for (body, expected) in [
        // A longer line, a dash less, not at the start of a line: none of them a delimiter.
        ("--b\r\n\r\n--bx\r\n-b\r\n x--b\r\n--b--x\r\n--b--\r\n", vec!["--bx\r\n-b\r\n x--b\r\n--b--x"]),
        ("--b  \t\r\n\r\nblanks\r\n--b-- \r\n", vec!["blanks"]),
        ("--b\n\nlf alone\n--b--\n", vec!["lf alone"]),
        ("--b\r\n\r\n--b\r\n\r\nx\r\n--b--", vec!["", "x"]),
        ("--b\r\nContent-Type: text/plain\r\n--b\r\n\r\nx\r\n--b--", vec!["", "x"]),
        ("--b\r\n--b\r\n\r\nx\r\n--b--", vec!["", "x"]),
        ("--b\r\n--no: header\r\nX: 1\r\n\r\nx\r\n--b--", vec!["x"]),
        ("--b\r\n\r\n\r\n\r\n--b--", vec!["\r\n"]),
        ("--b\r\n\r\n\r\n--b--", vec![""]),
        ("--b\r\n\r\n..dots stay\r\n--b--", vec!["..dots stay"]),
    ] {
        let structure = walk(kind, None, body.as_bytes(), limits());
        assert_eq!(texts(&structure, body), expected, "{body:?}");
        assert_eq!(structure.problems, [], "{body:?}");
    }
}

#[test]
fn an_outer_delimiter_ends_inner_multiparts() {
    let body = "--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ninner\r\n--a\r\n\r\nouter\r\n--a--\r\n";
    let structure = walk(Some("multipart/mixed; boundary=a"), None, body.as_bytes(), limits());
    assert_eq!(texts(&structure, body), ["inner", "outer"]);
    assert_eq!(structure.parts.iter().map(|p| p.depth).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(structure.problems, [Problem::MissingClose]);
}

fn nested(depth: usize) -> String {
    let mut body = String::new();
    for level in 1..depth {
        body.push_str(&format!(
            "--b{level}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n",
            level + 1
        ));
    }
    body.push_str(&format!("--b{depth}\r\n\r\nx\r\n"));
    for level in (1..=depth).rev() {
        body.push_str(&format!("--b{level}--\r\n"));
    }
    body
}

/// Threat 6: each limit at n and n + 1.
#[test]
fn f_50_limits() {
    let kind = Some("multipart/mixed; boundary=b1");
    assert_eq!(walk(kind, None, nested(10).as_bytes(), limits()).problems, []);
    assert_eq!(walk(kind, None, nested(11).as_bytes(), limits()).problems, [Problem::TooDeep]);
    let deep = walk(kind, None, nested(50).as_bytes(), limits());
    assert_eq!((deep.parts.len(), deep.problems), (1, vec![Problem::TooDeep]));

    let parts = |n: usize| "--b1\r\n\r\nx\r\n".repeat(n) + "--b1--\r\n";
    let hundred = walk(kind, None, parts(100).as_bytes(), limits());
    assert_eq!((hundred.parts.len(), hundred.problems), (100, vec![]));
    for n in [101, 10_000] {
        let many = walk(kind, None, parts(n).as_bytes(), limits());
        assert_eq!((many.parts.len(), many.problems), (100, vec![Problem::TooManyParts]));
    }

    let header = |n: usize| format!("--b1\r\nA: {}\r\n\r\nx\r\n--b1--\r\n", "h".repeat(n - 7));
    assert_eq!(walk(kind, None, header(16_384).as_bytes(), limits()).problems, []);
    let long = walk(kind, None, header(16_385).as_bytes(), limits());
    assert_eq!((long.parts.len(), long.problems), (1, vec![Problem::HeaderTooLong]));

    let boundary = "b".repeat(200);
    let kind = format!("multipart/mixed; boundary={boundary}");
    let body = format!("--{boundary}\r\n\r\nx\r\n--{boundary}--\r\n");
    assert_eq!(walk(Some(&kind), None, body.as_bytes(), limits()).problems, []);
}

/// Threat 6: a step counter; work is bounded by a constant times the octets, whatever they are.
#[test]
fn adversarial_bodies_take_linear_time() {
    let deep = nested(10);
    let head = &deep[..deep.find("\r\n\r\nx\r\n").unwrap() + 4];
    for piece in [
        "\n--",
        "\n-",
        "\n",
        "\r\n--b10",
        "\r\n--b10x",
        "\r\n--b1\r\n",
        "--b1\r\n\r\n",
        "\r\n--b5--",
        "-",
        "A: b\r\n",
    ] {
        let body = head.to_owned() + &piece.repeat(300_000 / piece.len());
        for chunk in [1, 100, 1 << 20] {
            let mut walk = Walk::new(Some("multipart/mixed; boundary=b1"), None, limits());
            body.as_bytes().chunks(chunk).for_each(|c| walk.push(c));
            assert!(walk.steps <= 20 * body.len() as u64, "{piece:?}: {} steps", walk.steps);
        }
    }
}

/// A body from a small grammar, so that delimiters, headers and near misses are frequent.
fn any_body() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "--a\r\n",
        "--a--\r\n",
        "--b\r\n",
        "--b--\r\n",
        "--",
        "-",
        "\r\n",
        "\n",
        "\r",
        "text",
        ".",
        "--a",
        "a",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: text/plain\r\n",
        "Content-ID: <i>\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        " folded\r\n",
        ": ",
        "--a \t\r\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_same_at_every_chunk_split(body in any_body(), cut in 1usize..20) {
        let kind = Some("multipart/mixed; boundary=a");
        let small = WalkLimits { depth_max: 2, parts_max: 5, header_max: 60 };
        for limits in [limits(), small] {
            let whole = walk(kind, None, body.as_bytes(), limits);
            for split in 0..=body.len() {
                let mut walk = Walk::new(kind, None, limits);
                walk.push(&body.as_bytes()[..split]);
                walk.push(&body.as_bytes()[split..]);
                prop_assert_eq!(&walk.finish(), &whole);
            }
            let mut walk = Walk::new(kind, None, limits);
            body.as_bytes().chunks(cut).for_each(|c| walk.push(c));
            prop_assert_eq!(&walk.finish(), &whole);
            let mut end = 0;
            for part in &whole.parts {
                prop_assert!(part.headers.start >= end && part.headers.end == part.body.start);
                prop_assert!(part.body.start <= part.body.end && part.body.end <= body.len() as u64);
                end = part.body.end;
            }
        }
    }

    /// Against an oracle that splits by lines.
    #[test]
    fn one_level_agrees_with_splitting_by_lines(texts in prop::collection::vec("([a-z-]|\r\n|--|--b){0,12}", 1..8)) {
        let mut body = String::new();
        for text in &texts {
            body.push_str(&format!("--bound\r\nA: 1\r\n\r\n{text}\r\n"));
        }
        body.push_str("--bound--\r\n");
        let structure = walk(Some("multipart/mixed; boundary=bound"), None, body.as_bytes(), limits());
        prop_assert_eq!(super::tests::texts(&structure, &body), texts);
    }
}
