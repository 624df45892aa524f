//! The console: the real binary, asked over HTTP by hand, and clicked through in a real browser.

#[path = "../dialogues/world.rs"]
mod world;

mod browser;
mod clicking;
mod desk;
mod doors;
mod pages;
