//! The weather of a run: how often which part of the world fails, until it clears.
//!
//! Owns: the kinds of faults, their odds for a seed, and the count of those that happened. Never knows: relays.

use crate::dice::Dice;
use std::fmt;
use std::ops::AddAssign;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $words:literal;)+) => {
        /// Kinds of faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name,)+ }

        impl Fault {
            /// All of them, with their names.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $words),)+];
        }
    };
}

faults! {
    /// A connection ends somewhere inside what one side sends.
    Cut = "connections cut";
    /// The same, and one side is not told.
    Silence = "ends left in silence";
    /// No connection can be had.
    Refused = "connections refused";
    /// A relay is out of reach for a while.
    Dead = "peers dead for a time";
    /// A relay is slow for a while.
    Slow = "peers slow for a time";
    /// A relay's process dies.
    Crash = "crashes";
    /// At a crash, part of what was not reported yet is durable all the same.
    Kept = "unreported batches kept by a crash";
    /// At a crash, what was not reported is gone.
    Dropped = "unreported batches lost in a crash";
    /// A flush fails: the relay stops and starts again.
    Flush = "failed flushes";
    /// Content cannot be written.
    Write = "failed content writes";
    /// A relay's disk is full for a while.
    Full = "full disks";
    /// A relay's clock jumps, ahead or back.
    Clock = "clocks that jumped";
    /// A relay does not serve its users for a while.
    Unavailable = "docks out of service";
    /// Nobody says where a number is served.
    Lookup = "look-ups without an answer";
    /// The hostile peer sends something that it should not.
    Hostile = "hostile dialogues";
}

/// How often each fault happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// It happened.
    pub const fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often.
    pub const fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }
}

impl AddAssign<&Self> for Faults {
    fn add_assign(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, others)| *mine += others);
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (fault, words)) in Fault::ALL.iter().enumerate() {
            write!(f, "{}{} {words}", if i > 0 { ", " } else { "" }, self.of(*fault))?;
        }
        Ok(())
    }
}

/// The odds of a run, each in ten thousand unless said.
#[derive(Clone, Debug)]
pub struct Weather {
    /// When it clears, in milliseconds from the start.
    pub clears: u64,
    /// That a direction of a connection is cut.
    pub cut: u64,
    /// How far into a direction a cut lies at most, in octets.
    pub cut_within: u64,
    /// That one side of a cut connection is not told.
    pub silence: u64,
    /// That a connection is refused.
    pub refuse: u64,
    /// Octets that travel together at most.
    pub chunk: u64,
    /// Milliseconds that they travel at most.
    pub delay: u64,
    /// That a relay dies, at each step.
    pub crash: u64,
    /// That a flush fails.
    pub flush: u64,
    /// That a write of content fails.
    pub write: u64,
    /// Milliseconds that a flush takes at most.
    pub flush_delay: u64,
    /// How often a relay is dead, slow or full for a while.
    pub spells: u64,
}

impl Weather {
    /// The weather of a seed: each fault is absent in some runs, rare in some, frequent in others.
    pub const fn of(dice: &mut Dice) -> Self {
        const fn odds(dice: &mut Dice, most: u64) -> u64 {
            match dice.below(3) {
                0 => 0,
                1 => dice.between(1, most / 8 + 1),
                _ => dice.between(1, most),
            }
        }
        Self {
            clears: dice.between(20, 150) * 60_000,
            cut: odds(dice, 4000),
            cut_within: if dice.below(2) == 0 { 600 } else { 6000 },
            silence: odds(dice, 5000),
            refuse: odds(dice, 3000),
            chunk: if dice.below(4) == 0 { dice.between(1, 8) } else { dice.between(40, 4000) },
            delay: dice.between(1, 2000),
            crash: odds(dice, 60),
            flush: odds(dice, 100),
            write: odds(dice, 600),
            flush_delay: if dice.below(3) == 0 { dice.between(1, 20_000) } else { dice.between(1, 400) },
            spells: dice.below(9),
        }
    }

    /// Nothing fails any more.
    pub fn clear(&mut self) {
        *self = Self {
            clears: self.clears,
            cut: 0,
            cut_within: 0,
            silence: 0,
            refuse: 0,
            chunk: 4000,
            delay: 20,
            crash: 0,
            flush: 0,
            write: 0,
            flush_delay: 5,
            spells: 0,
        };
    }
}
