//! The arguments of `MAIL` and `RCPT`: a path and what follows it (RFC 5321 4.1.2).
//!
//! Owns: which bytes are a path. Tolerates a space behind the colon, missing angle brackets, a missing domain and a
//! source route, which is read and forgotten (RFC 5321 appendix C).
//! Never knows: whose address it is.

use super::Limits;
use mms::MailPath;

/// Why an argument holds no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    Syntax,
    TooLong,
}

/// The path at the front of `argument` (`None` for `<>`) and the parameters behind it.
pub(super) fn read_path<'a>(
    argument: &'a str,
    limits: &Limits,
) -> Result<(Option<MailPath>, &'a str), PathError> {
    let argument = argument.trim_start_matches([' ', '\t']);
    let (inside, rest) = match argument.strip_prefix('<') {
        Some(bracketed) => {
            let end = outside_quotes(bracketed, b'>').ok_or(PathError::Syntax)?;
            (&bracketed[..end], &bracketed[end + 1..])
        }
        None => {
            let end = outside_quotes(argument, b' ').unwrap_or(argument.len());
            (&argument[..end], &argument[end..])
        }
    };
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(PathError::Syntax);
    }
    let bracketed = argument.starts_with('<');
    if inside.is_empty() {
        return if bracketed { Ok((None, rest)) } else { Err(PathError::Syntax) };
    }
    if inside.len() + 2 > limits.path_max {
        return Err(PathError::TooLong);
    }
    let mailbox = match inside.strip_prefix('@') {
        Some(route) => route.split_once(':').ok_or(PathError::Syntax)?.1,
        None => inside,
    };
    check_parts(mailbox, limits)?;
    mailbox.parse().map(|path| (Some(path), rest)).map_err(|_| PathError::Syntax)
}

/// The local part and domain within their limits, and nothing in the local part that would need quotes and has none.
fn check_parts(mailbox: &str, limits: &Limits) -> Result<(), PathError> {
    let at = mailbox.rfind('@').filter(|at| !mailbox[*at..].contains('"'));
    let (local, domain) = match at {
        Some(at) => (&mailbox[..at], &mailbox[at + 1..]),
        None => (mailbox, ""),
    };
    if local.len() > limits.local_part_max || domain.len() > limits.domain_max {
        return Err(PathError::TooLong);
    }
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let special =
        |b: u8| matches!(b, b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'\\' | b',' | b';' | b'"' | b'@');
    let plain = !local.is_empty() && local.bytes().all(|b| b > b' ' && !special(b));
    // Without a branch for an octet.
    let printable = mailbox.bytes().fold(true, |all, b| all & (b' '..=b'~').contains(&b));
    if (quoted || plain) && printable { Ok(()) } else { Err(PathError::Syntax) }
}

/// The first `wanted`, an ASCII character, that is not inside a quoted string.
fn outside_quotes(text: &str, wanted: u8) -> Option<usize> {
    let first = memchr::memchr(wanted, text.as_bytes())?;
    if memchr::memchr(b'"', &text.as_bytes()[..first]).is_none() {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|b| {
        let hit = b == wanted && !quoted;
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        hit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(argument: &str) -> Result<(Option<String>, &str), PathError> {
        read_path(argument, &Limits::default()).map(|(path, rest)| (path.map(|p| p.to_string()), rest))
    }

    #[test]
    fn s_25_s_26_every_form_of_path() {
        let full = "+12025550100/TYPE=PLMN@mms.a.example";
        for (argument, expected) in [
            ("<+12025550100/TYPE=PLMN@mms.a.example>", full),
            (" <+12025550100/TYPE=PLMN@mms.a.example>", full),
            ("+12025550100/TYPE=PLMN@mms.a.example", full),
            ("<@x.example,@y.example:+12025550100/TYPE=PLMN@mms.a.example>", full),
            ("<\"+12025550100/TYPE=PLMN\"@mms.a.example>", full),
            ("<+12025550100@mms.a.example>", "+12025550100@mms.a.example"),
            ("<12025550100@mms.a.example>", "12025550100@mms.a.example"),
            ("<+12025550100/TYPE=PLMN>", "+12025550100/TYPE=PLMN"),
            ("<system-user>", "system-user"),
            ("<bob@[192.0.2.1]>", "bob@[192.0.2.1]"),
            ("<\"a> b\\\"@\"@a.example>", "\"a> b\\\"@\"@a.example"),
        ] {
            assert_eq!(path(argument), Ok((Some(expected.to_owned()), "")), "{argument}");
        }
        assert_eq!(path("<>"), Ok((None, "")));
        assert_eq!(path("<> SIZE=5"), Ok((None, " SIZE=5")));
        assert_eq!(path("<a@b.example> SIZE=5 X").unwrap().1, " SIZE=5 X");
    }

    #[test]
    fn no_path() {
        for argument in [
            "",
            " ",
            "<",
            "<a@b.example",
            "<a@b.example>x",
            "<<a@b.example>>",
            "<@b.example>",
            "<@x.example>",
            "<a b@c.example>",
            "<a@b@c.example>",
            "<a@-..example>",
            "<a@>",
            "<\"a@b.example>",
            "<\u{e9}@b.example>",
            "<a@\u{e9}.example>",
        ] {
            assert_eq!(path(argument), Err(PathError::Syntax), "{argument}");
        }
    }

    #[test]
    fn a_04_lengths_at_their_limits() {
        let local = |n: usize| format!("<{}@a.example>", "l".repeat(n));
        assert!(path(&local(64)).is_ok());
        assert_eq!(path(&local(65)), Err(PathError::TooLong));
        let whole = |n: usize| {
            let labels = format!("{}.", "d".repeat(50)).repeat(4);
            let path = format!("<{}@{labels}{}>", "l".repeat(10), "e".repeat(n - 13 - labels.len()));
            assert_eq!(path.len(), n);
            path
        };
        assert!(path(&whole(256)).is_ok());
        assert_eq!(path(&whole(257)), Err(PathError::TooLong));
    }
}
