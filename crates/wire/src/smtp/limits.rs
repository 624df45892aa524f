//! Every limit of an SMTP session in one place. Lengths are in octets.

/// What a session accepts at most. The defaults suit an MM4 link between operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A command line with its CRLF. RFC 5321 4.5.3.1.4 asks for 512; parameters of extensions may add to it.
    /// A longer line ends the session.
    pub command_line_max: usize,
    /// A local part as written (RFC 5321 4.5.3.1.1).
    pub local_part_max: usize,
    /// A domain (RFC 5321 4.5.3.1.2).
    pub domain_max: usize,
    /// A path with its angle brackets (RFC 5321 4.5.3.1.3).
    pub path_max: usize,
    /// Recipients of one transaction. The excess is answered `452 4.5.3` and the transaction goes on
    /// (RFC 5321 4.5.3.1.10).
    pub recipients_max: usize,
    /// A message as `SIZE` counts it: CRLF included, doubled dots and the end of data not (RFC 1870).
    pub message_size_max: u64,
    /// How much content beyond `message_size_max` is read, and thrown away, in search of its true end. Leaving
    /// earlier would make commands of the rest. More than this ends the session.
    pub discard_max: u64,
    /// Commands answered with an error since the last accepted message; one more is answered `421` and ends the
    /// session.
    pub errors_max: u32,
    /// Replies that may wait to be written before no further command is read.
    pub output_max: usize,
    /// One line of a reply, as the client reads it. RFC 5321 4.5.3.1.5 allows 512, talkative peers take more.
    pub reply_line_max: usize,
    /// Lines of one reply, as the client reads it.
    pub reply_lines_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line_max: 4096,
            local_part_max: 64,
            domain_max: 255,
            path_max: 256,
            recipients_max: 1000,
            message_size_max: 5 * 1024 * 1024,
            discard_max: 64 * 1024 * 1024,
            errors_max: 20,
            output_max: 16 * 1024,
            reply_line_max: 2048,
            reply_lines_max: 100,
        }
    }
}
