//! Discovery against real servers: a DNS server in process on UDP and TCP, a DNS server that misbehaves, an HTTP service.
//!
//! Each test names the cases of the conformance list that it covers (`a_24_…` covers A-24). Everything is built from the text
//! of a configuration, as in a real house; time is turned by hand.

mod configuration;
mod hosts;
mod lookup;
mod trees;
mod world;
