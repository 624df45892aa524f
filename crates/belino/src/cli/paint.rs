//! Colours, where somebody looks who wants them.
//!
//! Owns: when there are colours, and which colour says what. A colour never says what no word says.

use std::io::IsTerminal as _;

/// How something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to say of it.
    #[default]
    Even,
    /// As it should be.
    Good,
    /// Waits, or may become bad.
    Wait,
    /// Somebody has to look.
    Bad,
    /// A title.
    Title,
    /// Beside the point.
    Faint,
}

/// Whether what is written to standard output may have colours: on a terminal that has them, unless `NO_COLOR` is set.
pub fn wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// A text in its tone.
pub fn paint(text: &str, tone: Tone, wanted: bool) -> String {
    let code = match tone {
        Tone::Even => return text.to_owned(),
        Tone::Good => "32",
        Tone::Wait => "33",
        Tone::Bad => "31",
        Tone::Title => "1",
        Tone::Faint => "2",
    };
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// The tone of a state word: of a recipient, a transaction, a peer.
pub fn tone(state: &str) -> Tone {
    match state {
        "accepted" | "stored" | "retrieved" | "open" | "ready" => Tone::Good,
        "routing" | "queued" | "forwarded" | "unconfirmed" | "awaiting-response" | "paused" => Tone::Wait,
        "failed" | "refused" | "rejected" | "expired" | "unreachable" | "unreadable" => Tone::Bad,
        _ => Tone::Even,
    }
}

/// A state word in its tone.
pub fn state(word: &str) -> String {
    paint(word, tone(word), wanted())
}

/// An MM's lines as [`crate::view::ledger_lines`] makes them, each recipient's state in its tone. The state stands right
/// behind the address, so nothing that a peer said is taken for one.
pub fn ledger_lines(lines: &str) -> String {
    if !wanted() {
        return lines.to_owned();
    }
    lines.split_inclusive('\n').map(recipient).collect()
}

fn recipient(line: &str) -> String {
    const BEGIN: &str = "  recipient   ";
    let Some(rest) = line.strip_prefix(BEGIN) else { return line.to_owned() };
    let Some(gap) = rest.find(' ') else { return line.to_owned() };
    let begin = gap + rest[gap..].find(|c| c != ' ').unwrap_or(0);
    let end = rest[begin..].find([' ', '\n']).map_or(rest.len(), |length| begin + length);
    let word = &rest[begin..end];
    format!("{BEGIN}{}{}{}", &rest[..begin], paint(word, tone(word), true), &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_state_is_painted() {
        let line = "  recipient   +12025550110       failed (refused by the peer: accepted failed)\n";
        let painted =
            "  recipient   +12025550110       \x1b[31mfailed\x1b[0m (refused by the peer: accepted failed)\n";
        assert_eq!(recipient(line), painted);
        let other = "  subject     failed\n";
        assert_eq!(recipient(other), other);
        assert_eq!(recipient("  recipient   x\n"), "  recipient   x\n");
    }
}
