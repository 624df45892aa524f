//! Text that may stand in a header: a type that cannot hold a control character (threat: header injection).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// One line of text for a header field: UTF-8, no control characters (C0, DEL, C1, line and paragraph
/// separators), so that no value can start a new header line (RFC 5322 2.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HeaderText(Arc<str>);

/// The text holds a control character, which no header field may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCharacter(pub char);

impl fmt::Display for ControlCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text holds the control character {:?}; a header field takes printable text", self.0)
    }
}

impl std::error::Error for ControlCharacter {}

fn forbidden(c: char) -> bool {
    c.is_control() || c == '\u{2028}' || c == '\u{2029}'
}

impl HeaderText {
    /// The text as it is, or the first control character in it.
    pub fn new(text: impl AsRef<str>) -> Result<Self, ControlCharacter> {
        let text = text.as_ref();
        match text.chars().find(|c| forbidden(*c)) {
            Some(c) => Err(ControlCharacter(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The text with every control character replaced by a space.
    pub fn cleaned(text: &str) -> Self {
        Self(Self::clean(text).into())
    }

    /// What [`HeaderText::cleaned`] holds, for a text that is only looked at.
    pub fn clean(text: &str) -> Cow<'_, str> {
        // Nearly every text is printable ASCII; that is seen without a branch for an octet.
        let plain = text.bytes().fold(true, |all, b| all & (b' '..=b'~').contains(&b));
        if !plain && text.chars().any(forbidden) {
            text.chars().map(|c| if forbidden(c) { ' ' } else { c }).collect::<String>().into()
        } else {
            text.into()
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text cut to at most `octets_max` octets, at a character boundary.
    #[must_use]
    pub fn capped(&self, octets_max: usize) -> Self {
        if self.0.len() <= octets_max {
            return self.clone();
        }
        let mut end = octets_max;
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        Self(self.0[..end].into())
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_a_control(text in any::<String>()) {
            let cleaned = HeaderText::cleaned(&text);
            prop_assert!(!cleaned.as_str().chars().any(forbidden));
            prop_assert_eq!(HeaderText::new(&text).is_ok(), !text.chars().any(forbidden));
            prop_assert!(cleaned.capped(7).as_str().len() <= 7);
        }
    }
}
