//! The HTTP dock and webhooks: the real binary over real sockets, applications and peers written by hand, a clock that the
//! test turns. Case ids are those of the conformance list, as in `dialogues`.

#[path = "../dialogues/world.rs"]
mod world;

mod document;
mod events;
mod fetching;
mod schema;
mod secrets;
mod site;
mod statuses;
mod submitting;
