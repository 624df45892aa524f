//! Docks: where interfaces tie up. MM4 over SMTP, and HTTP for applications.

pub mod http;
pub mod intake;
pub mod listeners;
pub mod mm4;
pub mod pace;
pub mod who;
