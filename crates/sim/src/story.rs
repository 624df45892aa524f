//! The story of a run: every step, as a hash always and as lines when somebody reads along.
//!
//! Owns: the hash by which two runs are compared, and how a line looks. Never knows: what the steps mean.

use std::io::Write as _;

/// What happened so far.
#[derive(Debug)]
pub struct Story {
    hash: u64,
    steps: u64,
    /// Lines go to standard output as they are told.
    aloud: bool,
}

impl Story {
    /// A story that has not begun. `aloud` prints it.
    pub const fn new(aloud: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, steps: 0, aloud }
    }

    /// One step at a time in milliseconds: `what` happened to `whom`, with these octets. `words` are only made when
    /// somebody reads along.
    pub fn tell(&mut self, now: u64, whom: &str, what: &str, octets: &[u8], words: impl FnOnce() -> String) {
        self.steps += 1;
        self.mix(&now.to_be_bytes());
        self.mix(whom.as_bytes());
        self.mix(what.as_bytes());
        self.mix(octets);
        if self.aloud {
            let (seconds, millis) = (now / 1000, now % 1000);
            let line = format!("{seconds:>7}.{millis:03}  {whom:<6} {what:<10} {}", words());
            // Whoever reads along may stop to: then nobody listens any more.
            self.aloud = writeln!(std::io::stdout(), "{line}").is_ok();
        }
    }

    /// By this two runs are compared.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many steps were told.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    fn mix(&mut self, octets: &[u8]) {
        for octet in octets {
            self.hash = (self.hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}
