//! Docks: where interfaces tie up. MM4 over SMTP is one of them.

pub mod intake;
pub mod listeners;
pub mod mm4;
