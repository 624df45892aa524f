//! Hides the last digits of numbers: in the console where `mask_numbers` says so, in traces always.
//!
//! Owns: what counts as a number. Never knows: where it stands. Ids, times and sizes are not given to it.

use std::borrow::Cow;

/// Digits in a row that are taken for a number.
const NUMBER_MIN: usize = 7;
/// Digits that are hidden at its end.
const HIDDEN: usize = 4;

/// Whether numbers are hidden.
#[derive(Clone, Copy, Debug)]
pub struct Mask(pub bool);

impl Mask {
    /// The text, with the last four digits of each number as dots. Behind a `+`, spaces, dots and dashes between digits
    /// belong to the number.
    pub fn text<'a>(self, text: &'a str) -> Cow<'a, str> {
        if !self.0 || !text.bytes().any(|b| b.is_ascii_digit()) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let plus = chars[at] == '+' || text_is_escaped_plus(&chars, at);
            if !plus && !chars[at].is_ascii_digit() {
                out.push(chars[at]);
                at += 1;
                continue;
            }
            let mut end = at + if chars[at] == '%' { 3 } else { 1 };
            let between = |c: char| plus && matches!(c, ' ' | '-' | '.' | '(' | ')');
            while let Some(c) = chars.get(end) {
                let goes_on = c.is_ascii_digit()
                    || between(*c) && chars.get(end + 1).is_some_and(|n| n.is_ascii_digit() || between(*n));
                if !goes_on {
                    break;
                }
                end += 1;
            }
            let begin = if chars[at] == '%' { at + 3 } else { at };
            out.extend(&chars[at..begin]);
            let run = &chars[begin..end];
            let digits = run.iter().filter(|c| c.is_ascii_digit()).count();
            let mut seen = 0;
            for c in run {
                let hidden = c.is_ascii_digit() && digits >= NUMBER_MIN && {
                    seen += 1;
                    seen > digits - HIDDEN
                };
                out.push(if hidden { '\u{2022}' } else { *c });
            }
            at = end;
        }
        Cow::Owned(out)
    }
}

/// `%2B`, a plus sign in a URL.
fn text_is_escaped_plus(chars: &[char], at: usize) -> bool {
    chars[at..].starts_with(&['%', '2', 'B']) || chars[at..].starts_with(&['%', '2', 'b'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_digits_of_numbers_are_hidden() {
        for (text, shown) in [
            (
                "+12025550110/TYPE=PLMN@mms.b.example",
                "+1202555\u{2022}\u{2022}\u{2022}\u{2022}/TYPE=PLMN@mms.b.example",
            ),
            ("call +1 (202) 555-0110, please", "call +1 (202) 555-\u{2022}\u{2022}\u{2022}\u{2022}, please"),
            ("0012025550110", "001202555\u{2022}\u{2022}\u{2022}\u{2022}"),
            ("%2B12025550110", "%2B1202555\u{2022}\u{2022}\u{2022}\u{2022}"),
            ("4455, 550 5.1.1, 192.0.2.17, 2025-03-04", "4455, 550 5.1.1, 192.0.2.17, 2025-03-04"),
            ("a+", "a+"),
        ] {
            assert_eq!(Mask(true).text(text), shown);
            assert_eq!(Mask(false).text(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_number_stays_whole(before in "[^0-9+%]{0,5}", number in "[1-9][0-9]{6,14}", after in "[^0-9]{0,5}") {
            let shown = Mask(true).text(&format!("{before}{number}{after}")).into_owned();
            prop_assert!(!shown.contains(&number));
            Mask(true).text(&after);
        }

        #[test]
        fn any_text_passes(text in any::<String>()) {
            prop_assert_eq!(Mask(true).text(&text).chars().count(), text.chars().count());
        }
    }
}
