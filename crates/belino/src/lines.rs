//! Where log lines go: to standard error, those of one turn of a busy thread with one write.
//!
//! Owns: the lines that a thread holds back. Never knows: what they say.
//! Lines are held back only while their thread is at work: before it waits for anything, it lets them go. A crash in the
//! middle of a turn loses the lines of that turn; what they tell of can be read in the ledgers.

use std::cell::RefCell;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// Octets held back at most.
const HELD_MAX: usize = 64 << 10;

thread_local! {
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// While it lives, lines of this thread are held back until [`Held::let_go`].
#[derive(Debug)]
pub struct Held(());

/// Hold back the lines of this thread from now on.
pub fn hold() -> Held {
    HELD.set(Some(Vec::new()));
    Held(())
}

impl Held {
    /// Write what was held back.
    pub fn let_go(&self) {
        HELD.with_borrow_mut(|held| held.as_mut().map(write_out));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
        HELD.set(None);
    }
}

fn write_out(held: &mut Vec<u8>) {
    if !held.is_empty() {
        // Nobody reads the log any more? Then nobody misses it.
        let _ = io::stderr().lock().write_all(held);
        held.clear();
    }
}

/// For the subscriber: writes to standard error, now or with the others.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        HELD.with_borrow_mut(|held| match held {
            Some(held) => {
                held.extend_from_slice(octets);
                if held.len() >= HELD_MAX {
                    write_out(held);
                }
                Ok(octets.len())
            }
            None => io::stderr().lock().write(octets),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_held_back_until_the_turn_is_over() {
        let held_now = || HELD.with_borrow(|held| held.as_ref().map(Vec::len));
        assert_eq!(held_now(), None, "nothing is held back unless somebody asks for it");
        let held = hold();
        Lines.write_all(b"one\n").unwrap();
        Lines.write_all(b"two\n").unwrap();
        assert_eq!(held_now(), Some(8));
        held.let_go();
        assert_eq!(held_now(), Some(0));
        drop(held);
        assert_eq!(held_now(), None);
    }
}
