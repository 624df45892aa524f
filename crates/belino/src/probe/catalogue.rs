//! The catalogue: every case, where its rule lives, what is sent for it and what is expected.
//!
//! Owns: ids and words. Never knows: how anything is sent or judged. docs/probe.md is made from it.

/// One thing that is sent. Cases are judged by one or more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Connect, EHLO, and EHLO once more inside a transaction.
    Greeting,
    /// HELO alone.
    Helo,
    /// Recipients, NOOP, RSET; no mail.
    Recipients,
    /// A plain request.
    Plain,
    /// A request with ids in quotation marks.
    Quoted,
    /// A request that declines the response.
    Unanswered,
    /// An unknown recipient.
    Unknown,
    /// A known and an unknown recipient.
    Mixed,
    /// Two known recipients.
    Two,
    /// A message type that does not exist.
    OddType,
    /// No transaction id.
    NoTransaction,
    /// Absolute expiry; the first of two mails over one connection.
    Absolute,
    /// Relative expiry, another version; the second of two mails over one connection.
    Relative,
    /// A delivery report is asked for.
    Report,
    /// The plain request again.
    Repeat,
}

impl Step {
    /// All steps, in the order in which they are taken. The repeat comes last, so that a second answer to the first
    /// request is not taken for an answer to the repeat.
    pub const ALL: &'static [Self] = &[
        Self::Greeting,
        Self::Helo,
        Self::Recipients,
        Self::Plain,
        Self::Quoted,
        Self::Unanswered,
        Self::Unknown,
        Self::Mixed,
        Self::Two,
        Self::OddType,
        Self::NoTransaction,
        Self::Absolute,
        Self::Relative,
        Self::Report,
        Self::Repeat,
    ];

    /// What is done, in one line.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Greeting => "greet, say EHLO, begin a transaction and say EHLO again",
            Self::Helo => "greet with HELO, name a sender and a recipient, and take it back",
            Self::Recipients => "name recipients one by one, say NOOP, and take it back",
            Self::Plain => "an MM that asks for a response",
            Self::Quoted => "an MM whose ids stand in quotation marks",
            Self::Unanswered => "an MM that asks for no response",
            Self::Unknown => "an MM for a number that nobody has",
            Self::Mixed => "one MM for a served number and one that nobody has",
            Self::Two => "one MM for two served numbers",
            Self::OddType => "a request of a message type that does not exist",
            Self::NoTransaction => "a request that lacks its transaction id",
            Self::Absolute => "an MM with an absolute expiry; the connection is kept",
            Self::Relative => "over the same connection, an MM with a relative expiry and another version",
            Self::Report => "an MM that asks for a delivery report",
            Self::Repeat => "the first MM again: same ids, same content, another Message-ID of the mail",
        }
    }

    /// What the subscriber at `--to` sees of it.
    pub const fn sees(self) -> &'static str {
        match self {
            Self::Greeting | Self::Helo | Self::Recipients => "sees nothing: no mail is sent",
            Self::Plain | Self::Quoted | Self::Unanswered | Self::Absolute | Self::Relative => {
                "receives one text MM"
            }
            Self::Mixed => "receives one text MM",
            Self::Two => "receives one text MM, and so does the one at --second",
            Self::Unknown | Self::OddType => "sees nothing",
            Self::NoTransaction => "sees nothing, or one text MM if the peer takes it all the same",
            Self::Report => "receives one text MM: open it within --wait, and a report can be judged",
            Self::Repeat => "sees nothing: it is a repeat",
        }
    }

    /// Whether a mail is sent.
    pub const fn is_mail(self) -> bool {
        !matches!(self, Self::Greeting | Self::Helo | Self::Recipients)
    }

    /// Whether the subscriber sees it.
    pub const fn is_seen(self) -> bool {
        self.is_mail() && !matches!(self, Self::Unknown | Self::OddType | Self::NoTransaction | Self::Repeat)
    }

    /// Whether it needs `--unknown`.
    pub const fn needs_unknown(self) -> bool {
        matches!(self, Self::Unknown | Self::Mixed)
    }

    /// Whether it needs `--second`.
    pub const fn needs_second(self) -> bool {
        matches!(self, Self::Two)
    }

    /// The case that gives its mail a name: `P-10`.
    pub fn name(self) -> &'static str {
        CASES.iter().find(|c| c.step == self).map_or("P", |c| c.id)
    }
}

/// One case: one row of the report.
#[derive(Debug)]
pub struct Case {
    /// `P-10`; stays what it is from version to version.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where the rule lives.
    pub clause: &'static str,
    /// What is sent for it.
    pub step: Step,
    /// What else it is judged by.
    pub also: &'static [Step],
    /// What is expected.
    pub expected: &'static str,
    /// What to do when it fails.
    pub advice: &'static str,
}

impl Case {
    /// Whether it goes by this id, in any case of letters.
    pub fn is(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id.trim())
    }

    /// The chapter of the report that it stands in.
    pub fn chapter(&self) -> &'static str {
        match self.id {
            id if id < "P-10" => "The SMTP session",
            id if id < "P-20" => "The response",
            id if id < "P-40" => "Requests of all kinds",
            id if id < "P-50" => "The delivery report",
            _ => "What only the subscriber sees",
        }
    }
}

macro_rules! cases {
    ($($id:literal $step:ident $([$($also:ident),+])? $title:literal, $clause:literal, $expected:literal, $advice:literal;)+) => {
        /// All cases, in the order of the report.
        pub static CASES: &[Case] = &[$(Case {
            id: $id,
            title: $title,
            clause: $clause,
            step: Step::$step,
            also: &[$($(Step::$also),+)?],
            expected: $expected,
            advice: $advice,
        },)+];
    };
}

cases! {
    "P-01" Greeting "The peer can be reached and greets", "RFC 5321 3.1, TS 23.140 8.4.5",
        "a connection, and 220 as the first word",
        "Check hosts of this peer, the way to it (VPN, firewall), and whether it lists the address that we come from.";
    "P-02" Greeting "EHLO is understood", "RFC 5321 2.2.1",
        "250 to EHLO",
        "MM4 works over HELO alone; ask the peer whether something between the systems hides EHLO.";
    "P-03" Greeting "Extensions", "RFC 1870, 6152, 2920, 3207",
        "SIZE at least, so that too large an MM is refused before it is sent",
        "Set size_max in this peer's profile to what was agreed.";
    "P-04" Helo "HELO alone is enough", "TS 23.140 8.4.5 (STD 10)",
        "250 to HELO, MAIL and RCPT without EHLO",
        "Tell the peer that STD 10 asks for HELO; Belino itself says EHLO first and does not need it.";
    "P-05" Greeting "A second EHLO begins anew", "RFC 5321 4.1.4",
        "250 to EHLO inside a transaction, and 503 to a RCPT behind it",
        "Links that are kept alive by EHLO lose mails here: let the peer reset its session at EHLO.";
    "P-06" Recipients "NOOP and RSET", "RFC 5321 4.1.1.5, 4.1.1.9",
        "250 to both",
        "Set one_message_per_connection = true for this peer until it is mended.";
    "P-07" Recipients "A served number is accepted at RCPT", "TS 23.140 8.4.5",
        "250",
        "Check with the peer that the number is provisioned, and which form it wants (number_form, numbers_out in its profile).";
    "P-08" Recipients "A number that nobody has is accepted at RCPT, too", "TS 23.140 8.4.5",
        "250: the recipient Relay/Server accepts every RCPT and refuses in MM4_forward.RES",
        "The peer refuses at RCPT what belongs into the response. Belino fails that recipient at once; others may retry or bounce.";
    "P-10" Plain "MM4_forward.REQ is taken", "TS 23.140 8.4.1.1, 8.4.5",
        "250 after the content",
        "The text of the refusal says why; check sizes, sender rules and address forms with the peer.";
    "P-11" Plain "MM4_forward.RES comes when it is asked for", "TS 23.140 8.4.1.1",
        "a response within --wait",
        "Check that the peer can reach our MM4 port, and that from lists every host that it sends from. A peer that never answers needs expects_response = false.";
    "P-12" Plain "Its transaction id is that of the request", "TS 23.140 8.4.1.4, 8.4.4.3",
        "X-Mms-Transaction-ID octet for octet",
        "Responses are told apart by this id alone: the peer must echo what it got, quotation marks and all.";
    "P-13" Plain "Its message id is that of the request", "TS 23.140 8.4.1.4, 8.4.4.3",
        "X-Mms-Message-ID octet for octet",
        "The peer answers with an id of its own making; reports may then name an MM that nobody knows.";
    "P-14" Plain "Its status is one of the nine words", "TS 23.140 8.4.4.3, 8.4.4.8",
        "X-Mms-Request-Status-Code: Ok, or one of the eight Error- words",
        "Belino reads every unknown word as Error-unspecified and fails the MM: agree on the words of clause 8.4.";
    "P-15" Plain "It is Ok for a served number", "TS 23.140 8.4.1.4",
        "X-Mms-Request-Status-Code: Ok",
        "Check the number with the peer, and our rights there: its status text may say more.";
    "P-16" Plain [Relative] "Its version is the peer's own", "TS 23.140 8.4.6",
        "X-Mms-3GPP-MMS-Version with a major version of 4 to 6, not copied from the request",
        "The version says what the responder implements. A copied one tells nothing; a missing one breaks strict peers.";
    "P-17" Plain "It is a whole mail", "TS 23.140 8.4.4.3, RFC 5322 3.6",
        "From, Date, Sender, To and Message-ID",
        "Systems on the way may drop or change a mail without From or Date; Sender, To and Message-ID belong to the mapping of clause 8.4.";
    "P-18" Plain "It goes to X-Mms-Originator-System", "TS 23.140 8.4.4.2, 8.4.4.3",
        "our system address, in the envelope and in To",
        "The response must go to the mailbox that the request names, not to the user.";
    "P-19" Plain "It comes from a host of the peer", "bilateral agreement",
        "an address that from lists",
        "Add the address to from of this peer if it is one of its hosts.";
    "P-20" Plain [Quoted] "One request, one response", "TS 23.140 8.4.1.1",
        "one response for each request with one recipient",
        "Belino ignores the second one; peers that count or charge by responses do not.";
    "P-21" Unanswered [Quoted] "No response when none is asked for", "TS 23.140 8.4.1.1, 8.4.1.4",
        "silence after X-Mms-Ack-Request: No",
        "Responses that nobody asked for cost both sides; Belino ignores them.";
    "P-22" Quoted "Ids in quotation marks come back with them", "TS 23.140 8.4.1.4",
        "both ids octet for octet",
        "Do not set quote_ids for this peer, and ask it to echo ids as they come.";
    "P-23" Repeat [Plain] "A repeat is answered again", "TS 23.140 8.4.1.1",
        "a second response, with the status of the first",
        "Without it an originator that missed the first response sends again and again; keep response_resends low.";
    "P-24" Unknown "A number that nobody has gets its error in the response", "TS 23.140 8.4.1.1, 8.4.1.4, 8.4.5",
        "Error-sending-address-unresolved or Error-service-denied, about that recipient",
        "Senders believe that the MM was delivered. The peer must say in the response what it does not say at RCPT.";
    "P-25" Mixed "Each of several recipients gets its answer", "TS 23.140 8.4.1.1",
        "one response for each, or one status for all that is Ok if anybody was accepted",
        "With a collective status the sender cannot tell who was refused: ask for delivery reports, or set split_recipients = true.";
    "P-26" Two "Two served numbers in one request", "TS 23.140 8.4.1.1",
        "Ok for both, in one response or in two",
        "Set split_recipients = true for this peer.";
    "P-27" OddType "An unknown message type is refused by name", "TS 23.140 8.4.1.4, 8.4.6",
        "a response with Error-unsupported-message",
        "Message types of later releases will vanish at this peer without a word.";
    "P-28" NoTransaction "A request without its transaction id is refused", "TS 23.140 8.4.1.4",
        "a response with Error-message-format-corrupt",
        "The peer is lenient here, or silent; nothing to do while our requests are whole.";
    "P-29" Absolute "An absolute expiry is understood", "TS 23.140 8.4.4.2, 8.4.4.8",
        "Ok to X-Mms-Expiry with a date",
        "This is the form that Belino sends: agree on it before going live.";
    "P-30" Relative "A relative expiry is understood", "TS 23.140 8.4.4.2, 8.4.4.8",
        "Ok to X-Mms-Expiry with seconds",
        "Belino sends dates only; other peers of this one may not.";
    "P-31" Absolute [Relative] "Two mails over one connection", "TS 23.140 8.4.5",
        "250 to both, with NOOP and RSET between them",
        "Set one_message_per_connection = true for this peer.";
    "P-40" Report "A delivery report comes when it is asked for", "TS 23.140 8.4.2",
        "MM4_delivery_report.REQ once the subscriber has opened the MM",
        "";
    "P-41" Report "Its From is the MM's recipient and its To the originator", "TS 23.140 8.4.4.4",
        "From: the recipient; To: the originator",
        "The peer names them from the mail's point of view, not the MM's; Belino understands both, others may not.";
    "P-42" Report "It names the MM by the id that we gave it", "TS 23.140 8.4.2, 8.4.4.4",
        "X-Mms-Message-ID octet for octet",
        "Reports are matched by this id: the peer must keep it as it came.";
    "P-43" Report "Its status is one of the eight words", "TS 23.140 8.4.4.4, 8.4.4.8",
        "X-Mms-MM-Status-Code: Retrieved, Rejected, Expired, Deferred, Indeterminate, Forwarded, Unrecognised or Unreachable",
        "Agree on the words of clause 8.4; a hub's own words belong into X-Mms-Status-Text.";
    "P-44" Report "It is a whole request", "TS 23.140 8.4.4.4",
        "version, transaction id, Date, and Sender: the peer's system address, where the response goes",
        "Without Sender and a transaction id no response to the report can reach the peer.";
    "P-50" Plain "A line that begins with a dot keeps it", "RFC 5321 4.5.2",
        "the subscriber reads a line that begins with one dot",
        "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order_and_every_step_has_a_case() {
        assert!(CASES.windows(2).all(|pair| pair[0].id < pair[1].id));
        for step in Step::ALL {
            assert!(CASES.iter().any(|c| c.step == *step), "{step:?}");
        }
        assert!(Step::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Step::ALL.iter().filter(|s| s.is_mail()).count() <= 15, "a live link is not flooded");
    }
}
