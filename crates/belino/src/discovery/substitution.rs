//! The regexp field of a NAPTR record: a substitution expression, read and applied (RFC 3402 3.2, RFC 6116 3.2).
//!
//! Owns: the field's grammar (`delimiter expression delimiter replacement delimiter [i]`), the translation of a POSIX
//! extended regular expression into the syntax of the matcher, and the limits of both. Never knows: services, flags, DNS.
//!
//! The expression comes from somebody else's zone. Matching is linear in expression times subject, and the size of the
//! compiled expression is bounded, so that no zone can buy time. Where POSIX leaves the meaning of an expression
//! undefined (stacked repetitions, `(?`, a back-reference inside the expression) the field is refused, with the reason.
//! Of several alternatives that match, the first counts and not the longest; on a whole number, `^` to `$`, that is the same.

use std::fmt::Write;

/// Octets of the compiled expression at most.
const COMPILED_MAX: usize = 256 << 10;
/// Groups inside groups at most.
const NESTING_MAX: u32 = 20;
/// Octets of a result at most; no mailbox needs more.
const RESULT_MAX: usize = 512;
/// `{n}` at most, POSIX's `RE_DUP_MAX`.
const REPEAT_MAX: u32 = 255;

/// A substitution expression that has been read.
#[derive(Debug)]
pub struct Substitution {
    expression: regex_lite::Regex,
    replacement: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Substitution {
    /// Read the field as it is on the wire, where a backslash stands once.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever looks after the zone.
    pub fn parse(field: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(field).map_err(|_| "the regexp is not UTF-8".to_owned())?;
        let (expression, replacement, ignore_case) = split(text)?;
        let (pattern, groups) = translate(&expression)?;
        let expression = regex_lite::RegexBuilder::new(&pattern)
            .case_insensitive(ignore_case)
            .size_limit(COMPILED_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .map_err(|error| format!("the regexp's expression cannot be used: {error}"))?;
        Ok(Self { expression, replacement: pieces(&replacement, groups)? })
    }

    /// What the expression makes of `subject`; `None` when it does not match.
    ///
    /// The result is the replacement alone: what of the subject the expression did not match is dropped (RFC 2168 says
    /// that this is not sed).
    ///
    /// # Errors
    /// The result is longer than any mailbox.
    pub fn apply(&self, subject: &str) -> Result<Option<String>, String> {
        let Some(groups) = self.expression.captures(subject) else { return Ok(None) };
        let mut result = String::new();
        for piece in &self.replacement {
            match piece {
                Piece::Text(text) => result.push_str(text),
                Piece::Group(n) => result.push_str(groups.get(*n).map_or("", |m| m.as_str())),
            }
            if result.len() > RESULT_MAX {
                return Err(format!("the regexp makes more than {RESULT_MAX} octets"));
            }
        }
        Ok(Some(result))
    }
}

/// Cut the field at its delimiters. An escaped delimiter stays escaped in the expression, where that makes it a plain
/// character, and is unescaped by [`pieces`] in the replacement.
fn split(text: &str) -> Result<(String, String, bool), String> {
    let mut chars = text.chars();
    let delimiter = chars.next().ok_or("the regexp is empty")?;
    if matches!(delimiter, '1'..='9' | 'i' | 'I' | '\\') || delimiter.is_control() {
        return Err(format!("the regexp begins with {delimiter:?}, which cannot be a delimiter"));
    }
    let mut parts = [String::new(), String::new()];
    for (index, part) in parts.iter_mut().enumerate() {
        loop {
            match chars.next() {
                None => return Err(format!("the regexp needs three {delimiter:?}, and has {}", index + 1)),
                Some(c) if c == delimiter => break,
                Some('\\') => match chars.next() {
                    None => return Err("the regexp ends in a backslash".to_owned()),
                    // A letter has no meaning of its own: without the backslash it is itself, with it it may be more.
                    Some(c) if c == delimiter && c.is_alphanumeric() => part.push(c),
                    Some(c) => part.extend(['\\', c]),
                },
                Some(c) => part.push(c),
            }
        }
    }
    let ignore_case = match chars.as_str() {
        "" => false,
        "i" | "I" => true,
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(format!(
                "after the last {delimiter:?} of the regexp comes {other:?}, expected nothing"
            ));
        }
    };
    let [expression, replacement] = parts;
    Ok((expression, replacement, ignore_case))
}

/// The replacement: text, and `\1` to `\9`.
fn pieces(replacement: &str, groups: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(d @ '1'..='9') => {
                    let group = d as usize - '0' as usize;
                    if group > groups {
                        return Err(format!("the regexp refers to \\{group}, but has {groups} groups"));
                    }
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Group(group));
                }
                Some('0') => return Err("the regexp refers to \\0; only \\1 to \\9 exist".to_owned()),
                Some(other) => text.push(other),
                None => return Err("the regexp's replacement ends in a backslash".to_owned()),
            },
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What came before the character that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing that could be repeated: the beginning, `^`, `$`, `(`, `|`.
    Start,
    /// Something that can be repeated.
    Atom,
    /// A repetition.
    Repetition,
}

/// From a POSIX extended regular expression to the matcher's syntax, with the count of its groups.
fn translate(expression: &str) -> Result<(String, usize), String> {
    let mut out = String::new();
    let (mut groups, mut open) = (0usize, 0usize);
    let mut before = Before::Start;
    let mut chars = expression.chars().peekable();
    while let Some(c) = chars.next() {
        before = match c {
            '\\' => {
                escaped(&mut out, chars.next())?;
                Before::Atom
            }
            '[' => {
                bracket(&mut out, &mut chars)?;
                Before::Atom
            }
            '(' => {
                groups += 1;
                open += 1;
                out.push('(');
                Before::Start
            }
            ')' => {
                open = open.checked_sub(1).ok_or("the regexp has a ')' without '('")?;
                out.push(')');
                Before::Atom
            }
            '|' | '^' | '$' => {
                out.push(c);
                Before::Start
            }
            '*' | '+' | '?' | '{' => match before {
                Before::Atom => {
                    out.push(c);
                    if c == '{' {
                        bounds(&mut out, &mut chars)?;
                    }
                    Before::Repetition
                }
                // A number's own plus sign, left unescaped: no other meaning is possible, and zones have it.
                Before::Start if c == '+' => {
                    literal(&mut out, c);
                    Before::Atom
                }
                Before::Start => return Err(format!("in the regexp nothing stands before {c:?}")),
                Before::Repetition => {
                    return Err(format!("in the regexp {c:?} follows another repetition"));
                }
            },
            '.' => {
                out.push('.');
                Before::Atom
            }
            c => {
                literal(&mut out, c);
                Before::Atom
            }
        };
    }
    if open > 0 {
        return Err("the regexp has a '(' without ')'".to_owned());
    }
    Ok((out, groups))
}

/// One character that stands for itself, inside and outside of brackets.
fn literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{{{:X}}}", c as u32);
    }
}

fn escaped(out: &mut String, c: Option<char>) -> Result<(), String> {
    match c {
        None => Err("the regexp's expression ends in a backslash".to_owned()),
        // POSIX does not know it, but a zone that writes it can mean nothing else.
        Some('d') => {
            out.push_str("[0-9]");
            Ok(())
        }
        Some(c) if c.is_alphanumeric() => Err(format!("the regexp's expression has \\{c}, which ERE do not")),
        Some(c) => {
            literal(out, c);
            Ok(())
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `{m}`, `{m,}`, `{m,n}`; the brace is behind us.
fn bounds(out: &mut String, chars: &mut Chars<'_>) -> Result<(), String> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('}') => break,
            Some(c) if text.len() < 12 => text.push(c),
            _ => return Err("in the regexp a repetition has no '}'".to_owned()),
        }
    }
    let wrong = || format!("in the regexp the repetition {{{text}}} is none");
    let count = |t: &str| match t.parse::<u32>() {
        Ok(n) if n <= REPEAT_MAX && t.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => Err(wrong()),
    };
    match text.split_once(',') {
        None => count(&text).map(drop)?,
        Some((least, "")) => count(least).map(drop)?,
        Some((least, most)) if count(least)? <= count(most)? => {}
        Some(_) => return Err(wrong()),
    }
    out.push_str(&text);
    out.push('}');
    Ok(())
}

/// A bracket expression, in which a backslash is only a backslash; the opening bracket is behind us.
fn bracket(out: &mut String, chars: &mut Chars<'_>) -> Result<(), String> {
    let endless = || "the regexp has a '[' without ']'".to_owned();
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = chars.next().ok_or_else(endless)?;
        match c {
            ']' if !first => break,
            '[' if matches!(chars.peek(), Some('.' | '=')) => {
                return Err("the regexp has a collating element, which is not known here".to_owned());
            }
            '[' if chars.next_if_eq(&':').is_some() => class(out, chars)?,
            c => {
                literal(out, c);
                // `a-b` is a range, `a-]` is not.
                let mut ahead = chars.clone();
                if ahead.next() == Some('-') && !matches!(ahead.next(), Some(']') | None) {
                    chars.next();
                    out.push('-');
                    literal(out, chars.next().ok_or_else(endless)?);
                }
            }
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

/// `[:digit:]` and its like; `[:` is behind us.
fn class(out: &mut String, chars: &mut Chars<'_>) -> Result<(), String> {
    let name: String = chars.by_ref().take_while(|c| *c != ':').take(8).collect();
    let known = [
        "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "xdigit",
    ];
    if !known.contains(&&*name) || chars.next() != Some(']') {
        return Err(format!("the regexp has a class {name:?}, which is not known"));
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "[:{name}:]");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBJECT: &str = "+441632960083";

    fn made(field: &str) -> Option<String> {
        Substitution::parse(field.as_bytes())
            .unwrap_or_else(|e| panic!("{field}: {e}"))
            .apply(SUBJECT)
            .unwrap()
    }

    fn wrong(field: &str) -> String {
        Substitution::parse(field.as_bytes()).expect_err(field)
    }

    #[test]
    fn a_16_the_whole_number_goes_into_the_mailbox() {
        assert_eq!(made(r"!^(.*)$!mailto:\1/TYPE=PLMN@d!").unwrap(), "mailto:+441632960083/TYPE=PLMN@d");
        assert_eq!(made(r"!^\+(.*)$!mailto:+\1@d!").unwrap(), "mailto:+441632960083@d");
        assert_eq!(made(r"!^\+44(16)(32)(.*)$!\3-\2-\1-\3!").unwrap(), "960083-32-16-960083");
        assert_eq!(made(r"!^.*$!fixed!").unwrap(), "fixed");
    }

    #[test]
    fn a_17_what_does_not_match_makes_nothing() {
        assert_eq!(made(r"!^\+1202(.*)$!\1!"), None);
        assert_eq!(made("!^$!x!"), None);
    }

    #[test]
    fn a_18_any_delimiter_also_escaped_within() {
        assert_eq!(made(r"#^(.*)$#mailto:\1@d#").unwrap(), "mailto:+441632960083@d");
        assert_eq!(made(r"|^\+44(.*)$|x\|\1|").unwrap(), "x|1632960083");
        assert_eq!(made(r"!^(.*)$!a\!b!").unwrap(), "a!b");
        // In the expression it stands for itself, whatever it means without the backslash.
        assert_eq!(made(r"+^\+44(.*)$+\1+").unwrap(), "1632960083");
        assert_eq!(made(r"d^(.*)$dx\dyd").unwrap(), "xdy");
        for field in
            ["", "!", "!a", "!a!", "!a!b", "1a1b1", r"\a\b\", "iaibi", "!a!b!g", "!a!b!ii", r"!a!b\!"]
        {
            wrong(field);
        }
        assert_eq!(made("!.*!x!i").unwrap(), "x");
    }

    #[test]
    fn a_plus_sign_of_the_number_may_be_unescaped() {
        for field in [r"!^+44(.*)$!\1!", r"!+44(.*)$!\1!", r"!^(+)44(.*)$!\2!", r"!^(1|+44)(.*)$!\2!"] {
            assert_eq!(made(field).unwrap(), "1632960083", "{field}");
        }
        assert_eq!(made(r"!^\+4+1(.*)$!\1!").unwrap(), "632960083");
    }

    #[test]
    fn posix_and_not_more() {
        assert_eq!(made(r"!^\+([0-9]{2})([[:digit:]]+)$!\1 \2!").unwrap(), "44 1632960083");
        assert_eq!(made(r"!^[+](44|1)([^a-z]*)$!\1!").unwrap(), "44");
        assert_eq!(made(r"!^[]+-]([0-9]*)$!\1!").unwrap(), "441632960083");
        assert_eq!(made(r"!^[\+](\d*)$!\1!").unwrap(), "441632960083");
        assert_eq!(made(r"!^\+44(1{1,3}|2)(.{9})$!\1!").unwrap(), "1");
        for (field, why) in [
            (r"!(a)\1!x!", r"\1"),
            ("!(?i)a!x!", "nothing stands before"),
            ("!a+?!x!", "follows another"),
            ("!a**!x!", "follows another"),
            ("!*a!x!", "nothing stands before"),
            ("!a{3!x!", "repetition"),
            ("!a{2,1}!x!", "repetition"),
            ("!a{256}!x!", "repetition"),
            ("!a{+1}!x!", "repetition"),
            ("!a{x}!x!", "repetition"),
            ("!(a!x!", "without ')'"),
            ("!a)!x!", "without '('"),
            ("![a!x!", "without ']'"),
            ("![[.a.]]!x!", "collating"),
            ("![[:digits:]]!x!", "class"),
            (r"!\w!x!", r"\w"),
            (r"!a!\1!", "0 groups"),
            (r"!(a)!\0!", r"\0"),
        ] {
            assert!(wrong(field).contains(why), "{field}: {}", wrong(field));
        }
    }

    #[test]
    fn a_hostile_expression_is_refused_or_cheap() {
        assert!(wrong("!(((.{255}){255}){255}){255}!x!").contains("cannot be used"));
        assert!(wrong(&format!("!{}a{}!x!", "(".repeat(60), ")".repeat(60))).contains("cannot be used"));
        // What a backtracking matcher would never finish.
        assert_eq!(made("!^(([0-9]*)*)*[a-z]$!x!"), None);
        let long = format!("!(.*)!{}!", r"\1".repeat(100));
        assert!(Substitution::parse(long.as_bytes()).unwrap().apply(SUBJECT).is_err());
    }

    proptest! {
        #[test]
        fn no_octets_panic(field in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(read) = Substitution::parse(&field) {
                let made = read.apply(SUBJECT);
                prop_assert!(made.ok().flatten().is_none_or(|m| m.len() <= RESULT_MAX));
            }
        }

        #[test]
        fn no_expression_panics(field in r"![\[\]()^$*+?{},|.0-9a-z:\\-]{0,40}![a\\0-9]{0,10}!") {
            if let Ok(read) = Substitution::parse(field.as_bytes()) {
                let _ = read.apply(SUBJECT);
            }
        }

        /// Digits as an expression match themselves and nothing else.
        #[test]
        fn plain_digits_match_themselves(digits in "[0-9]{1,15}", other in "[0-9]{1,15}") {
            let read = Substitution::parse(format!("!^\\+{digits}$!x!").as_bytes()).unwrap();
            prop_assert_eq!(read.apply(&format!("+{other}")).unwrap().is_some(), digits == other);
        }
    }
}
