//! Paper: bytes to words and words to bytes, and nothing else.
//!
//! Owns: SMTP sessions of both sides ([`smtp`]), the mail format ([`mime`]), the codec of MM4 ([`mm4`]) and the header of a
//! TCP proxy ([`proxy`]).
//! Never knows: sockets, files, the time of day, peers, policy. No input makes anything in here panic, recurse, or
//! take more time or memory than its limits say.
//!
//! [`smtp`] does not know [`mm4`], nor the reverse: one carries bytes, the other reads heads.

pub mod mime;
pub mod mm4;
pub mod proxy;
pub mod smtp;
