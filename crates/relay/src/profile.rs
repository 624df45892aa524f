//! Profiles: how a peer likes its MM4, and what it cannot do.
//!
//! Owns: the one table of knobs, with the value of each in every ready-made profile. Never knows: which peer has which.
//! Each knob exists because live peers differ in it.

use mms::{Address, Domain, MailPath, Number, Party, Version};
use std::fmt;

/// One knob, for the page that lists them.
pub struct Knob {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Its value in a profile, in words.
    pub show: fn(&Profile) -> String,
}

macro_rules! knobs {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $value:expr;)+) => {
        /// How a peer likes its MM4, and what it cannot do. Each knob exists because live peers differ in it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Profile { $($(#[doc = $doc])+ pub $name: $ty,)+ }

        impl Default for Profile {
            fn default() -> Self {
                Self { $($name: $value,)+ }
            }
        }

        impl Profile {
            /// All knobs, in the order of the table.
            pub const KNOBS: &'static [Knob] = &[$(Knob {
                key: stringify!($name),
                doc: concat!($($doc),+),
                show: |profile| profile.$name.shown(),
            },)+];
        }
    };
}

knobs! {
    /// The version of TS 23.140 that we announce to this peer.
    version: Version = Version::OURS;
    /// Put our ids into quotation marks.
    quote_ids: bool = false;
    /// Write `From` and `To` without a domain.
    bare_addresses: bool = false;
    /// How numbers look in the envelope: `typed` is `+12025550110/TYPE=PLMN@domain`, `plus` is `+12025550110@domain`,
    /// `digits` is `12025550110@domain`.
    number_form: NumberForm = NumberForm::Typed;
    /// What stands for the beginning of a number in the envelope: `{ "+1" = "", "+" = "011" }`; the longest that fits.
    numbers_out: NumbersOut = NumbersOut::default();
    /// Envelope sender of requests: `user` is the MM's sender (TS 23.140 8.4.5), `system` our system address.
    mail_from: MailFrom = MailFrom::User;
    /// Leave the envelope sender of responses and reports empty (`<>`) instead of our system address.
    null_sender: bool = false;
    /// Where the peer shall send its responses, instead of our system address.
    originator_system: Option<MailPath> = None;
    /// Send reports to the system address that the request named instead of the originating user.
    reports_to_system: bool = false;
    /// One mail for each recipient instead of one for all.
    split_recipients: bool = false;
    /// At most this many recipients in one mail.
    recipients_max: usize = 100;
    /// How we answer one request with several outcomes: `individual`, one response for each distinct status, naming its
    /// recipients; `collective`, exactly one, `Ok` if anybody was accepted.
    response_style: ResponseStyle = ResponseStyle::Individual;
    /// Whether the peer sends responses at all. If not, none is asked for and none is awaited.
    expects_response: bool = true;
    /// Ask for a response to our reports, and send those again that get none.
    acknowledged_reports: bool = false;
    /// Put an anonymous mailbox of ours into `From` when the sender is hidden.
    anonymise_hidden: bool = false;
    /// At most this many octets in one MM to this peer.
    size_max: Option<u64> = None;
    /// At most this many MMs a minute to this peer.
    rate_max: Option<u32> = None;
    /// Refuse requests that are understood only by tolerance, with `Error-message-format-corrupt`.
    strict: bool = false;
    /// Refuse mail whose envelope sender or `Sender` is in no domain of the peer's, with `550 5.7.1`.
    own_senders: bool = false;
    /// Let the peer send to our short codes.
    short_codes: bool = false;
}

/// The value of a knob, in words.
trait Shown {
    fn shown(&self) -> String;
}

macro_rules! shown_as_text {
    ($($ty:ty),+) => { $(impl Shown for $ty { fn shown(&self) -> String { self.to_string() } })+ };
}
shown_as_text!(bool, usize, Version, NumberForm, MailFrom, ResponseStyle, NumbersOut);

impl<T: fmt::Display> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::to_string)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

choice! {
    /// How a request to several recipients with different outcomes is answered (TS 23.140 8.4.1.1 allows both).
    ResponseStyle {
        /// One response for each distinct status, each naming its recipients.
        Individual = "individual",
        /// Exactly one response, for peers that would apply an error to everybody: `Ok` if anybody was accepted.
        Collective = "collective",
    }
}

choice! {
    /// How numbers look in the envelope.
    NumberForm {
        /// `+12025550110/TYPE=PLMN@domain`.
        Typed = "typed",
        /// `+12025550110@domain`.
        Plus = "plus",
        /// `12025550110@domain`.
        Digits = "digits",
    }
}

choice! {
    /// Envelope sender of our requests.
    MailFrom {
        /// The MM's sender, subject to its visibility (TS 23.140 8.4.5).
        User = "user",
        /// Our system address.
        System = "system",
    }
}

/// What stands for the beginning of a number towards a peer; the longest beginning that fits is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumbersOut(pub Vec<(String, String)>);

impl NumbersOut {
    /// The number as the peer wants it: with or without `+`.
    pub fn apply(&self, number: &Number) -> String {
        let text = number.to_string();
        let fits = self.0.iter().filter(|(from, _)| text.starts_with(from.as_str()));
        match fits.max_by_key(|(from, _)| from.len()) {
            Some((from, to)) => format!("{to}{}", &text[from.len()..]),
            None => text,
        }
    }
}

impl fmt::Display for NumbersOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("as they are");
        }
        let pairs: Vec<String> = self.0.iter().map(|(from, to)| format!("{from} = {to:?}")).collect();
        f.write_str(&pairs.join(", "))
    }
}

impl Profile {
    /// The ready-made profiles, and for whom each is.
    pub const READY_MADE: &'static [(&'static str, &'static str)] = &[
        ("default", "what the specification says, with every tolerance"),
        ("strict", "the letter of the specification in both directions; for conformance work"),
        (
            "bare-operator",
            "operator MMSCs of the 5.5.0 generation: bare addresses, one mail for each recipient",
        ),
        ("mbuni", "a peer that runs Mbuni: one error closes everything, one mail for each recipient"),
        (
            "us-aggregator",
            "North American hubs and aggregators: plain numbers, ten participants, one answer for all",
        ),
    ];

    /// A ready-made profile by its name.
    pub fn ready_made(name: &str) -> Option<Self> {
        let standard = Self::default();
        let five = Version { major: 5, minor: 5, editorial: 0 };
        Some(match name {
            "default" => standard,
            "strict" => Self { strict: true, own_senders: true, acknowledged_reports: true, ..standard },
            "bare-operator" => {
                Self { version: five, bare_addresses: true, split_recipients: true, ..standard }
            }
            "mbuni" => Self {
                version: five,
                split_recipients: true,
                response_style: ResponseStyle::Collective,
                ..standard
            },
            "us-aggregator" => Self {
                number_form: NumberForm::Digits,
                split_recipients: true,
                recipients_max: 10,
                size_max: Some(1_500_000),
                response_style: ResponseStyle::Collective,
                ..standard
            },
            _ => return None,
        })
    }

    /// The envelope sender of responses and reports.
    pub(crate) fn automatic_sender(&self, system: &MailPath) -> Option<MailPath> {
        (!self.null_sender).then(|| system.clone())
    }

    /// The envelope path of a recipient at a domain, in the form that the peer likes.
    pub fn envelope(&self, address: &Address, domain: &Domain) -> MailPath {
        let standard = || Party::at(address.clone(), domain).path();
        let Address::Plmn(number) = address else { return standard() };
        let text = self.numbers_out.apply(number);
        let local = match self.number_form {
            NumberForm::Typed => format!("{text}/TYPE=PLMN"),
            NumberForm::Plus => text,
            NumberForm::Digits => text.trim_start_matches('+').to_owned(),
        };
        MailPath::new(&local, Some(domain.clone())).unwrap_or_else(|_| standard())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::party;

    #[test]
    fn every_ready_made_profile_exists_and_every_knob_has_words() {
        for (name, _) in Profile::READY_MADE {
            let profile = Profile::ready_made(name).unwrap();
            for knob in Profile::KNOBS {
                assert!(!(knob.show)(&profile).is_empty() && knob.doc.trim().ends_with('.'), "{}", knob.key);
            }
        }
        assert_eq!(Profile::ready_made("default"), Some(Profile::default()));
        assert_eq!(Profile::ready_made("unheard-of"), None);
    }

    #[test]
    fn envelopes_in_every_form() {
        let domain = "mms.b.example".parse().unwrap();
        let b1 = party("+12025550110").address;
        let form =
            |number_form| Profile { number_form, ..Profile::default() }.envelope(&b1, &domain).to_string();
        assert_eq!(form(NumberForm::Typed), "+12025550110/TYPE=PLMN@mms.b.example");
        assert_eq!(form(NumberForm::Plus), "+12025550110@mms.b.example");
        assert_eq!(form(NumberForm::Digits), "12025550110@mms.b.example");
        let pairs = [("+", "00"), ("+1", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let national = Profile { numbers_out: NumbersOut(pairs.to_vec()), ..Profile::default() };
        assert_eq!(national.envelope(&b1, &domain).to_string(), "2025550110/TYPE=PLMN@mms.b.example");
        let abroad = party("+447700900100").address;
        assert_eq!(national.envelope(&abroad, &domain).to_string(), "00447700900100/TYPE=PLMN@mms.b.example");
        let mail = party("bob@mms.b.example").address;
        assert_eq!(national.envelope(&mail, &domain).to_string(), "bob@mms.b.example");
    }
}
