//! The console: the real binary, asked over HTTP by hand, and clicked through in a real browser.

#[path = "../dialogues/world.rs"]
mod world;

#[path = "../dialogues/certificates.rs"]
mod certificates;

mod browser;
mod clicking;
mod desk;
mod doors;
mod exercises;
mod pages;
