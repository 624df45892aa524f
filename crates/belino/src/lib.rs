//! The house: everything about Belino that touches the world.
//!
//! Owns: sockets, clock, configuration, command line, demonstration. Never knows: protocol decisions; it carries, it
//! does not judge. What to do about an MM is decided in `relay`, how it looks on a wire in `wire`, and what is true in
//! `store`.

/// Print a line for whoever runs the program. Nobody reads on? Then nobody misses it: `belino queue | head` must not end
/// in a panic.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($arg)*);
    }};
}

/// The same without a line end.
#[macro_export]
macro_rules! say_part {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout().lock(), $($arg)*);
    }};
}

pub mod admin;
pub mod agreements;
pub mod alarms;
pub mod audit;
pub mod bench;
pub mod charging;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod console;
pub mod content;
pub mod courier;
pub mod decode;
pub mod demo;
pub mod descriptors;
pub mod discovery;
pub mod dock;
pub mod explain;
pub mod heart;
pub mod lines;
pub mod mask;
pub mod metrics;
pub mod probe;
pub mod recent;
pub mod resolver;
pub mod search;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod view;
pub mod web;
pub mod web_client;
pub mod webhooks;

use mms::MmId;

/// Random octets that a thread has asked for and not given out yet.
struct Reserve {
    octets: [u8; 512],
    left: usize,
}

thread_local! {
    static RESERVE: std::cell::RefCell<Reserve> = const { std::cell::RefCell::new(Reserve { octets: [0; 512], left: 0 }) };
}

/// 128 unguessable bits from the operating system, which is asked once for several of them: each MM needs some.
pub fn entropy() -> u128 {
    RESERVE.with_borrow_mut(|reserve| {
        if reserve.left == 0 {
            // Without randomness no id is safe to give out; there is nothing sensible to go on with.
            getrandom::fill(&mut reserve.octets).expect("the operating system gives random octets");
            reserve.left = reserve.octets.len();
        }
        reserve.left -= 16;
        let mut taken = [0; 16];
        let given = &mut reserve.octets[reserve.left..reserve.left + 16];
        taken.copy_from_slice(given);
        given.fill(0); // given out once, kept nowhere
        u128::from_ne_bytes(taken)
    })
}

/// A fresh id for an MM that begins now.
pub fn fresh_id(clock: &clock::Clock) -> MmId {
    MmId::new(clock.now().millis(), 0, entropy() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn random_bits_are_given_out_once() {
        let given: HashSet<u128> = (0..1000).map(|_| super::entropy()).collect();
        assert_eq!(given.len(), 1000);
        assert!(!given.contains(&0), "what was given out is wiped, and never given out again");
    }
}
