//! Dialogues: the real binary over real sockets, a simulated peer on the other side, a clock that the test turns.
//!
//! Each test names the cases of the conformance list that it covers (`s_04_…` covers S-04). The fixture is the list's:
//! relay A (`mms.a.example`, users +1 202 555 0100 to 0109), peer B on 127.0.0.2 (prefix +1 202 555 011), peer C on
//! 127.0.0.3 (prefix +1 202 555 012).

mod world;

mod addressing;
mod auth;
mod backup;
mod captures;
mod certificates;
mod charging;
mod crash;
mod discovery;
mod finding;
mod groups;
mod interop;
mod limits;
mod metrics;
mod monitoring;
mod paces;
mod profiles;
mod proxy;
mod receiving;
mod reloading;
mod repeats;
mod reporting;
mod reports;
mod sending;
mod session;
mod smoke;
mod threats;
mod tls;
mod top;
mod traces;
mod transit;
