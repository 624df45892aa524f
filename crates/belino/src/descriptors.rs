//! How many files this process may have open, and so how many connections it can hold.
//!
//! Owns: raising the limit as far as the system lets it go, and lowering what peers may have to what there is room for. A
//! relay whose peers hold every descriptor could open no file of its store and connect to nobody. Never knows: who connects.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no connections: of the store, the log, the admin socket, look-ups, and some to spare.
const OWN: usize = 100;

/// Raise the limit to what the system lets it be. Sessions ask for many thousands, and what starts a process often begins
/// with 1,024 for the sake of programs that cannot deal with more.
pub fn raise() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

/// Lower `limits.sessions_max` to what there are descriptors for, and say so in the log.
pub fn bound(config: &mut Config) {
    let Some(most) = getrlimit(Resource::Nofile).current else { return };
    let (wanted, others) = (config.limits.sessions_max, beside(config));
    let room = room(usize::try_from(most).unwrap_or(usize::MAX), others);
    if wanted > room {
        tracing::warn!(
            "limits.sessions_max is {wanted}, but this process may have {most} files open and needs up to {others} of them \
             for other things: {room} incoming connections are taken at once; raise the limit (LimitNOFILE of the \
             unit, ulimit -n) or lower sessions_max"
        );
        config.limits.sessions_max = room;
    }
}

/// What may be open beside the connections of peers to us.
fn beside(config: &Config) -> usize {
    let out: usize = config.links.iter().map(|link| link.connections_max).fold(0, usize::saturating_add);
    let http = if config.http.listen.is_empty() { 0 } else { config.http.sessions_max };
    OWN.saturating_add(out).saturating_add(http)
}

/// How many of `most` are left for the connections of peers; a quarter in any case, as not everything is in use at once.
fn room(most: usize, others: usize) -> usize {
    most.saturating_sub(others).max(most / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_get_what_is_left_or_a_quarter() {
        assert_eq!(room(65_536, 1100), 64_436);
        assert_eq!(room(1024, 100), 924);
        assert_eq!(room(1024, 5000), 256);
        assert_eq!(room(0, 100), 1);
    }
}
