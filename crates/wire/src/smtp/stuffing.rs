//! Dot-stuffing of text that is generated here, and its reversal for reading (RFC 5321 4.5.2).

use std::borrow::Cow;

/// `text` as content in wire form: every line end (CRLF, CR or LF) becomes CRLF, a leading dot is doubled, NUL is
/// left out, and the last line is ended. Empty text stays empty.
pub fn dot_stuff(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(text.len() + text.len() / 32 + 2);
    let mut line_start = true;
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            0 => continue,
            b'\r' | b'\n' => {
                if octet == b'\r' && octets.peek() == Some(&b'\n') {
                    octets.next();
                }
                wire.extend_from_slice(b"\r\n");
                line_start = true;
                continue;
            }
            b'.' if line_start => wire.extend_from_slice(b".."),
            _ => wire.push(octet),
        }
        line_start = false;
    }
    if !line_start {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Content in wire form without its doubled dots. Borrows when there is none.
pub fn unstuff(wire: &[u8]) -> Cow<'_, [u8]> {
    let first = usize::from(wire.first() == Some(&b'.'));
    let mut dots = memchr::memmem::find_iter(wire, b"\n.").peekable();
    if first == 0 && dots.peek().is_none() {
        return Cow::Borrowed(wire);
    }
    let mut plain = Vec::with_capacity(wire.len());
    let mut from = first;
    for newline in dots {
        plain.extend_from_slice(&wire[from..=newline]);
        from = newline + 2;
    }
    plain.extend_from_slice(&wire[from..]);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn s_13_a_leading_dot_is_doubled_and_given_back() {
        assert_eq!(dot_stuff(b".a\n..b\r\n\rc."), b"..a\r\n...b\r\n\r\nc.\r\n");
        assert_eq!(&*unstuff(b"..a\r\n...b\r\n\r\nc.\r\n"), b".a\r\n..b\r\n\r\nc.\r\n");
        assert!(matches!(unstuff(b"plain\r\n"), Cow::Borrowed(_)));
        assert_eq!(dot_stuff(b""), b"");
    }

    proptest! {
        #[test]
        fn unstuff_undoes_dot_stuff(text in "([.x\r\n]|é){0,40}") {
            let wire = dot_stuff(text.as_bytes());
            let mut lines = text.replace("\r\n", "\n").replace('\r', "\n");
            if !lines.is_empty() && !lines.ends_with('\n') {
                lines.push('\n');
            }
            let expected = lines.replace('\n', "\r\n");
            prop_assert_eq!(&*unstuff(&wire), expected.as_bytes());
        }
    }
}
