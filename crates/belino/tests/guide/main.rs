//! The operator's guide is true: its configurations are read, its commands are run and print what it shows, its symptoms are
//! brought about and look as it says, its tables are made from the code, its links lead somewhere.
//!
//! `BELINO_WRITE_DOCS=1 cargo test -p belino --test guide` writes the tables anew.

#[path = "../dialogues/certificates.rs"]
mod certificates;
#[path = "../dialogues/world.rs"]
mod world;

mod codes;
mod console;
mod first_mm;
mod keys;
mod manual;
mod pages;
mod symptoms;
