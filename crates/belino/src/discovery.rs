//! Discovery: where a number lives, and where the hosts of a domain are (TS 23.140 7.2, annexes G and H).

pub mod mmse;
pub mod naptr;
pub mod realm;
pub mod substitution;
