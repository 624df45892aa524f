//! Bugs that are planted on purpose: each shows that a checker would notice the real one.
//!
//! Owns: their list. They are carried out in the parts around the heart; the heart itself has no switch for them.

/// A bug in one part of every relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The dock answers `250` before the commit.
    AnswerBeforeCommit,
    /// The disk reports a flush, but the folder's entry of the newest file was not flushed: a crash may forget it.
    FolderNotSynced,
    /// Repeats are recognised by Message-ID and recipient, whichever peer they come from.
    RepeatsAcrossPeers,
    /// A response goes to the host that `X-Mms-Originator-System` names.
    ResponseToNamedHost,
    /// A peer is who it says it is in `EHLO`.
    PeerByItsHello,
}

impl Planted {
    /// All of them, with their names on the command line.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::AnswerBeforeCommit, "answer-before-commit"),
        (Self::FolderNotSynced, "folder-not-synced"),
        (Self::RepeatsAcrossPeers, "repeats-across-peers"),
        (Self::ResponseToNamedHost, "response-to-named-host"),
        (Self::PeerByItsHello, "peer-by-its-hello"),
    ];
}
