//! The terminal while `belino top` has it.
//!
//! Owns: its state before, which is given back however the view ends; what is written to it; keys. Never knows: what is
//! shown. After a `kill -9` the terminal stays as it was taken; `reset` mends it.

use rustix::io::Errno;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{Stdout, Write as _, stdin, stdout};
use tokio::sync::mpsc::{Receiver, channel};

/// The other screen, no cursor, no line goes on below its end.
const TAKE: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const GIVE_BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// q, Ctrl-C, Ctrl-D.
    End,
    /// p, space.
    Pause,
    /// s, right.
    Next,
    /// Left.
    Previous,
    /// Up, down, r.
    Turn,
}

/// The terminal.
pub struct Screen {
    out: Stdout,
    keys: Option<Keys>,
}

/// Where keys come from, and how it was before.
struct Keys {
    pressed: Receiver<Vec<Key>>,
    before: Termios,
}

impl Screen {
    /// Take it. Without keys where standard input is no terminal.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn take() -> anyhow::Result<Self> {
        let keys = Keys::take();
        let mut screen = Self { out: stdout(), keys };
        screen.out.write_all(TAKE.as_bytes())?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Whether keys are heard.
    pub const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Lines and columns.
    pub fn room(&self) -> Option<(usize, usize)> {
        let size = tcgetwinsize(&self.out).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then(|| (size.ws_row.into(), size.ws_col.into()))
    }

    /// Show these lines in the place of what is there. Lines are written over, not wiped first: nothing flickers.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show(&mut self, lines: &[String]) -> std::io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// The next keys. Never comes back where there are none.
    pub async fn keys(&mut self) -> Vec<Key> {
        match &mut self.keys {
            // Nobody is at the other end any more: that ends it, too.
            Some(keys) => keys.pressed.recv().await.unwrap_or_else(|| vec![Key::End]),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = self.out.write_all(GIVE_BACK.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl Keys {
    fn take() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        // Each key at once, not shown, and Ctrl-C as a key like others: nothing ends the view but the view.
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::IXON | InputModes::ICRNL;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        let (press, pressed) = channel(16);
        // A thread, for reading waits. It ends with the process, which has nothing else to do then.
        std::thread::spawn(move || {
            let mut octets = [0; 64];
            loop {
                let keys = match rustix::io::read(stdin(), &mut octets) {
                    Ok(0) => return,
                    Ok(count) => meanings(&octets[..count]),
                    Err(Errno::INTR) => continue,
                    Err(_) => return,
                };
                if press.blocking_send(keys).is_err() {
                    return;
                }
            }
        });
        Some(Self { pressed, before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}

/// What keys mean; a terminal sends an arrow as three octets.
fn meanings(octets: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = octets;
    while let [first, after @ ..] = rest {
        let (key, after) = match (first, after) {
            (0x1b, [b'[' | b'O', arrow, after @ ..]) => {
                let key = match arrow {
                    b'A' | b'B' => Some(Key::Turn),
                    b'C' => Some(Key::Next),
                    b'D' => Some(Key::Previous),
                    _ => None,
                };
                (key, after)
            }
            (b'q' | b'Q' | 0x03 | 0x04, after) => (Some(Key::End), after),
            (b'p' | b' ', after) => (Some(Key::Pause), after),
            (b's', after) => (Some(Key::Next), after),
            (b'r', after) => (Some(Key::Turn), after),
            (_, after) => (None, after),
        };
        keys.extend(key);
        rest = after;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_line_on_top_says() {
        assert_eq!(
            meanings(b"sp\x1b[C\x1b[D\x1bOA"),
            [Key::Next, Key::Pause, Key::Next, Key::Previous, Key::Turn]
        );
        assert_eq!(meanings(b"x\x1b[5~\x03"), [Key::End]);
        assert_eq!(meanings(b"\x1b"), []);
    }
}
