//! Addresses: the forms of TS 23.140 4.3 and OMA-MMS-ENC 8, and one canonical form in which they are compared.

use crate::HeaderText;
use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing in it, or nothing before the `@`.
    Empty,
    /// Over 512 octets; a path has at most 256 (RFC 5321 4.5.3.1.3).
    TooLong(usize),
    /// A phone number without a digit.
    NoDigits,
    /// An international number of more than 15 digits (ITU-T E.164).
    TooManyDigits(usize),
    /// A control character.
    Control(char),
    /// A `/TYPE=IPv4` or `/TYPE=IPv6` address that is none.
    NotAnIpAddress(String),
    /// A domain that is no domain.
    BadDomain(String),
    /// None of the forms.
    Unknown(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "empty address"),
            Self::TooLong(n) => write!(f, "address of {n} octets; at most 512 are read"),
            Self::NoDigits => write!(f, "phone number without digits"),
            Self::TooManyDigits(n) => write!(f, "international number of {n} digits; E.164 has at most 15"),
            Self::Control(c) => write!(f, "control character {c:?} in an address"),
            Self::NotAnIpAddress(t) => write!(f, "{t:?} is no IP address"),
            Self::BadDomain(t) => write!(f, "{t:?} is no domain name"),
            Self::Unknown(t) => {
                write!(f, "{t:?} is neither a phone number, an e-mail address, an IP address nor a code")
            }
        }
    }
}

impl std::error::Error for AddressError {}

/// A domain name in lower case (letters, digits, `-`, `_` and dots, at most 255 octets), or an address literal in
/// brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError::BadDomain(text.chars().take(80).collect());
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() || name.len() > 255 {
            return Err(bad());
        }
        let literal = name.starts_with('[') && name.ends_with(']') && name.len() > 2;
        let fits = if literal {
            name[1..name.len() - 1]
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'-'))
        } else {
            let mut label = 0;
            let fits = name.bytes().all(|b| {
                let ended = b == b'.' && label > 0;
                label = if ended { 0 } else { label + 1 };
                ended || (label <= 63 && (b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
            });
            fits && label > 0
        };
        if !fits {
            return Err(bad());
        }
        let upper = name.bytes().fold(false, |any, b| any | b.is_ascii_uppercase());
        Ok(Self(if upper { name.to_ascii_lowercase().into() } else { name.into() }))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A phone number: digits only, international (E.164, written with `+`) or in some network's own format.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    international: bool,
    digits: Arc<str>,
}

impl Number {
    /// An international number from its digits, without `+`.
    ///
    /// # Errors
    /// No digits, over 15, or anything but digits.
    pub fn international(digits: &str) -> Result<Self, AddressError> {
        match digits.len() {
            0 => Err(AddressError::NoDigits),
            n if n > 15 => Err(AddressError::TooManyDigits(n)),
            _ if !digits.bytes().all(|b| b.is_ascii_digit()) => {
                Err(AddressError::Unknown(digits.chars().take(80).collect()))
            }
            _ => Ok(Self { international: true, digits: digits.into() }),
        }
    }

    /// Whether it is in E.164 form.
    pub const fn is_international(&self) -> bool {
        self.international
    }

    /// The digits, without `+`.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// `[+] 1*(DIGIT / "-" / ".")`, also with spaces and parentheses between; `None` when it is no phone number.
    fn parse(text: &str) -> Option<Result<Self, AddressError>> {
        let (international, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if !rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.' | b' ' | b'(' | b')')) {
            return None;
        }
        let digits: Cow<'_, str> = match rest.bytes().all(|b| b.is_ascii_digit()) {
            true => rest.into(),
            false => rest.chars().filter(char::is_ascii_digit).collect::<String>().into(),
        };
        Some(match digits.len() {
            0 => Err(AddressError::NoDigits),
            n if n > if international { 15 } else { 20 } => Err(AddressError::TooManyDigits(n)),
            _ => Ok(Self { international, digits: digits.into() }),
        })
    }
}

/// `+12025550100`, or the bare digits of a number in local format.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.international {
            f.write_str("+")?;
        }
        f.write_str(&self.digits)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a network writes numbers: what it takes to turn a dialled number into E.164.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberPlan {
    /// Digits of the country code put before national numbers, e.g. `1`.
    pub country_code: Option<String>,
    /// Prefix of national numbers that E.164 drops, e.g. `0`.
    pub trunk_prefix: Option<String>,
    /// Prefixes that stand for `+`, e.g. `00`, `011`.
    pub international_prefixes: Vec<String>,
    /// Whether digits without any prefix are already country code and number, as many peers send them.
    pub bare_is_international: bool,
}

impl NumberPlan {
    /// The number in E.164, or as it was when this plan cannot tell.
    pub fn normalise(&self, number: Number) -> Number {
        if number.international {
            return number;
        }
        let digits = &*number.digits;
        let longest =
            self.international_prefixes.iter().filter(|p| digits.starts_with(&***p)).map(String::len).max();
        let full = if let Some(cut) = longest {
            digits[cut..].to_owned()
        } else if self.bare_is_international {
            digits.to_owned()
        } else if let Some(country_code) = &self.country_code {
            let trunk = self.trunk_prefix.as_deref().filter(|t| !t.is_empty());
            let national = trunk.and_then(|t| digits.strip_prefix(t)).unwrap_or(digits);
            format!("{country_code}{national}")
        } else {
            return number;
        };
        // Fewer than seven digits are a code of the network itself, never a subscriber abroad.
        if full.len() < 7 { number } else { Number::international(&full).unwrap_or(number) }
    }
}

/// A user, in canonical form: what two spellings of one address have in common.
///
/// A domain behind a phone number says where to carry the message, not who the user is; it is in [`Party::domain`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A phone number, `/TYPE=PLMN`.
    Plmn(Number),
    /// An e-mail user; the local part as it came, the domain in lower case.
    Email {
        /// Left of the `@`, unquoted.
        local: String,
        /// Right of it.
        domain: Domain,
    },
    /// `/TYPE=IPv4`.
    Ipv4(Ipv4Addr),
    /// `/TYPE=IPv6`.
    Ipv6(Ipv6Addr),
    /// A numeric code of one MMSE: `4455`, `*123`, `#77`.
    ShortCode(String),
    /// An alphanumeric code of one MMSE: `INFO`.
    AlphaCode(String),
}

impl Address {
    /// The form without display name or domain: `+12025550100/TYPE=PLMN`, `bob@a.example`, `4455`.
    pub fn bare(&self) -> String {
        self.to_string()
    }

    /// The phone number, if it is one.
    pub const fn number(&self) -> Option<&Number> {
        match self {
            Self::Plmn(number) => Some(number),
            _ => None,
        }
    }

    /// The name of the kind in JSON and tables: `plmn`, `email`, `ipv4`, `ipv6`, `short-code`, `alpha-code`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Plmn(_) => "plmn",
            Self::Email { .. } => "email",
            Self::Ipv4(_) => "ipv4",
            Self::Ipv6(_) => "ipv6",
            Self::ShortCode(_) => "short-code",
            Self::AlphaCode(_) => "alpha-code",
        }
    }

    /// The value without its type: `+12025550100`, `bob@a.example`, `192.0.2.30`.
    pub fn value(&self) -> String {
        match self {
            Self::Plmn(number) => number.to_string(),
            Self::Email { local, domain } => MailPath::raw(local, Some(domain.clone())).to_string(),
            Self::Ipv4(ip) => ip.to_string(),
            Self::Ipv6(ip) => full_ipv6(ip),
            Self::ShortCode(code) | Self::AlphaCode(code) => code.clone(),
        }
    }

    /// The address with its number put into E.164 by `plan`.
    #[must_use]
    pub fn normalised(self, plan: &NumberPlan) -> Self {
        match self {
            Self::Plmn(number) => Self::Plmn(plan.normalise(number)),
            other => other,
        }
    }
}

fn full_ipv6(ip: &Ipv6Addr) -> String {
    ip.segments().map(|s| format!("{s:04X}")).join(":")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plmn(number) => {
                fmt::Display::fmt(number, f)?;
                f.write_str("/TYPE=PLMN")
            }
            Self::Ipv4(ip) => write!(f, "{ip}/TYPE=IPv4"),
            Self::Ipv6(ip) => write!(f, "{}/TYPE=IPv6", full_ipv6(ip)),
            _ => f.write_str(&self.value()),
        }
    }
}

/// `Ok` for a canonical address written by [`Address`]'s `Display`, and for all that [`Party`] reads.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Ok(text.parse::<Party>()?.address)
    }
}

/// An address as a header or an envelope carries it: the user, the domain that came with a non-e-mail user,
/// and the display name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// Who.
    pub address: Address,
    /// The domain behind a phone number, code or IP address; `None` for a bare one and for e-mail.
    pub domain: Option<Domain>,
    /// Display name.
    pub name: Option<HeaderText>,
}

impl From<Address> for Party {
    fn from(address: Address) -> Self {
        Self { address, domain: None, name: None }
    }
}

impl Party {
    /// The user at a domain: what goes into an envelope. An e-mail user keeps its own domain.
    pub fn at(address: Address, domain: &Domain) -> Self {
        let domain = match address {
            Address::Email { .. } => None,
            _ => Some(domain.clone()),
        };
        Self { address, domain, name: None }
    }

    /// The same without a display name.
    #[must_use]
    pub fn unnamed(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    /// The mail path: local part and domain.
    pub fn path(&self) -> MailPath {
        match &self.address {
            Address::Email { local, domain } => MailPath::raw(local, Some(domain.clone())),
            other => MailPath::raw(&other.bare(), self.domain.clone()),
        }
    }
}

/// The mail path without display name: `+12025550100/TYPE=PLMN@mms.a.example`.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.path(), f)
    }
}

/// The tolerant reader of `addressing` forms: display names, angle brackets, quotes, source routes, separators in
/// numbers, missing `/TYPE=PLMN` and missing domains are all understood.
impl FromStr for Party {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > 512 {
            return Err(AddressError::TooLong(text.len()));
        }
        if let Some(c) = control(text) {
            return Err(AddressError::Control(c));
        }
        let (name, inside) = split_display_name(text.trim());
        let path: MailPath = inside.parse()?;
        let name = name.filter(|n| !n.is_empty()).map(|n| HeaderText::cleaned(&n));
        let (address, domain) = classify(&path)?;
        Ok(Self { address, domain, name })
    }
}

/// The first control character. Nearly every text is printable ASCII; that is seen without a branch for an octet.
fn control(text: &str) -> Option<char> {
    let plain = text.bytes().fold(true, |all, b| all & (b' '..=b'~').contains(&b));
    if plain { None } else { text.chars().find(|c| c.is_control()) }
}

/// `Bob <x>` is (`Bob`, `x`); everything else is itself.
fn split_display_name(text: &str) -> (Option<String>, &str) {
    let Some(open) = text.rfind('<') else { return (None, text) };
    let Some(inside) = text[open + 1..].trim_end().strip_suffix('>') else { return (None, text) };
    let name = text[..open].trim();
    let unquoted = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
    let name = match unquoted {
        Some(quoted) => unescape(quoted),
        None => name.to_owned(),
    };
    (Some(name), inside.trim())
}

fn unescape(quoted: &str) -> String {
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// The canonical form of a path: the order of the rules is `addressing` 1.4's.
fn classify(path: &MailPath) -> Result<(Address, Option<Domain>), AddressError> {
    let local = path.local();
    let domain = path.domain().cloned();
    let unknown = || AddressError::Unknown(path.to_string().chars().take(80).collect());
    let (value, kind) = match local.rfind('/') {
        Some(slash) if local.len() >= slash + 6 && local.is_char_boundary(slash + 6) => {
            let (value, rest) = local.split_at(slash);
            if rest[..6].eq_ignore_ascii_case("/TYPE=") { (value, Some(&rest[6..])) } else { (local, None) }
        }
        _ => (local, None),
    };
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("PLMN") => {
            let number = Number::parse(value).ok_or_else(unknown)??;
            return Ok((Address::Plmn(number), domain));
        }
        Some(kind) if kind.eq_ignore_ascii_case("IPv4") => {
            let ip = value.parse().map_err(|_| AddressError::NotAnIpAddress(value.to_owned()))?;
            return Ok((Address::Ipv4(ip), domain));
        }
        Some(kind) if kind.eq_ignore_ascii_case("IPv6") => {
            let ip = value.parse().map_err(|_| AddressError::NotAnIpAddress(value.to_owned()))?;
            return Ok((Address::Ipv6(ip), domain));
        }
        _ => {}
    }
    if is_short_code(local) {
        return Ok((Address::ShortCode(local.to_owned()), domain));
    }
    if let Some(number) = Number::parse(local) {
        return Ok((Address::Plmn(number?), domain));
    }
    if let Some(domain) = domain {
        return Ok((Address::Email { local: local.to_owned(), domain }, None));
    }
    if kind.is_none() && !local.is_empty() && local.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok((Address::AlphaCode(local.to_owned()), None));
    }
    Err(unknown())
}

/// `4455`, `*123`, `#77`, and `*123#` as users dial it. Seven digits and more are a number, not a code.
fn is_short_code(local: &str) -> bool {
    let starred = local.starts_with(['*', '#']);
    let inner = local.strip_prefix(['*', '#']).unwrap_or(local);
    let inner = if starred { inner.strip_suffix('#').unwrap_or(inner) } else { inner };
    let longest = if starred { 8 } else { 6 };
    (1..=longest).contains(&inner.len()) && inner.bytes().all(|b| b.is_ascii_digit())
}

/// A mailbox path: local part and domain, as in SMTP envelopes, `Sender` and `X-Mms-Originator-System`
/// (RFC 5321 4.1.2). The domain may be missing, as live traffic has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailPath {
    local: Arc<str>,
    domain: Option<Domain>,
}

impl MailPath {
    fn raw(local: &str, domain: Option<Domain>) -> Self {
        Self { local: local.into(), domain }
    }

    /// A path from its parts.
    ///
    /// # Errors
    /// An empty local part, over 256 octets in all, or a control character.
    pub fn new(local: &str, domain: Option<Domain>) -> Result<Self, AddressError> {
        if local.is_empty() {
            return Err(AddressError::Empty);
        }
        let octets = local.len() + domain.as_ref().map_or(0, |d| d.as_str().len() + 1);
        if octets > 512 {
            return Err(AddressError::TooLong(octets));
        }
        match control(local) {
            Some(c) => Err(AddressError::Control(c)),
            None => Ok(Self::raw(local, domain)),
        }
    }

    /// Left of the `@`, unquoted.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Right of the `@`.
    pub const fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// Whether `text` is what `Display` writes, in any case of ASCII letters.
    pub fn is_written_as(&self, text: &str) -> bool {
        if !is_dot_atom(&self.local) {
            return self.to_string().eq_ignore_ascii_case(text);
        }
        let Some((local, rest)) = text.as_bytes().split_at_checked(self.local.len()) else { return false };
        let domain = match (&self.domain, rest) {
            (Some(domain), [b'@', rest @ ..]) => rest.eq_ignore_ascii_case(domain.as_str().as_bytes()),
            (Some(_), _) => false,
            (None, rest) => rest.is_empty(),
        };
        domain && local.eq_ignore_ascii_case(self.local.as_bytes())
    }

    /// The user that this path names, if it names one in any form of TS 23.140 4.3.
    pub fn party(&self) -> Option<Party> {
        let (address, domain) = classify(self).ok()?;
        Some(Party { address, domain, name: None })
    }
}

/// Reads `local@domain`, `<local@domain>`, `"quoted local"@domain`, a bare local part, and drops a source route
/// (`@x,@y:local@domain`, RFC 5321 appendix C).
impl FromStr for MailPath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text).trim();
        let text = match text.strip_prefix('@').and_then(|route| route.split_once(':')) {
            Some((_, path)) => path,
            None => text,
        };
        let (local, domain) = match text.rfind('@') {
            // An `@` inside a quoted local part is not the separator.
            Some(at) if !text[at..].contains('"') => (&text[..at], Some(text[at + 1..].trim().parse()?)),
            _ => (text, None),
        };
        let local = local.trim();
        match local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
            Some(quoted) => Self::new(&unescape(quoted), domain),
            None => Self::new(local, domain),
        }
    }
}

/// Whether a local part is written without quotation marks: atoms with single dots between (RFC 5322 3.2.3).
fn is_dot_atom(local: &str) -> bool {
    // A dot counts as the end of an atom, and so does either end.
    let mut last = b'.';
    let fits = local.bytes().all(|b| {
        let fits = ATEXT[usize::from(b)] || (b == b'.' && last != b'.');
        last = b;
        fits
    });
    fits && last != b'.'
}

/// The octets of atoms, those outside ASCII included.
const ATEXT: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        let b = octet as u8;
        table[octet] = b.is_ascii_alphanumeric() || b >= 0x80;
        octet += 1;
    }
    let others = b"!#$%&'*+-/=?^_`{|}~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// The path with its local part quoted where RFC 5321 4.1.2 asks for it.
impl fmt::Display for MailPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_atom(&self.local) {
            f.write_str(&self.local)?;
        } else {
            write!(f, "\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    write!(f, "\\")?;
                }
                write!(f, "{c}")?;
            }
            write!(f, "\"")?;
        }
        match &self.domain {
            Some(domain) => {
                f.write_str("@")?;
                f.write_str(domain.as_str())
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for MailPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plmn(digits: &str) -> Address {
        Address::Plmn(Number::international(digits).unwrap())
    }

    fn party(text: &str) -> Party {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// Case A-01: each row of the list of address forms.
    #[test]
    fn a_01_every_form_has_its_canonical_value() {
        for text in [
            "+12025550100/TYPE=PLMN",
            "+12025550100/type=plmn@mms.a.example",
            "<+1-202-555-0100/TYPE=PLMN@mms.a.example>",
            "\"+12025550100/TYPE=PLMN\"@mms.a.example",
            "Bob <+12025550100/TYPE=PLMN>",
            "@x.example,@y.example:+12025550100/TYPE=PLMN@mms.a.example",
            "+12025550100",
            "+12025550100@[192.0.2.1]",
        ] {
            assert_eq!(party(text).address, plmn("12025550100"), "{text}");
        }
        assert_eq!(party("Bob <+12025550100/TYPE=PLMN>").name.unwrap().as_str(), "Bob");
        let bare = NumberPlan { bare_is_international: true, ..NumberPlan::default() };
        assert_eq!(party("12025550100@mms.a.example").address.normalised(&bare), plmn("12025550100"));
        let zeros = NumberPlan { international_prefixes: vec!["00".into()], ..NumberPlan::default() };
        assert_eq!(party("00441632960083").address.normalised(&zeros), plmn("441632960083"));
        let bob = Address::Email { local: "bob".into(), domain: "a.example".parse().unwrap() };
        assert_eq!(party("bob@A.Example").address, bob);
        assert_eq!(party("192.0.2.30/TYPE=IPv4").address, Address::Ipv4("192.0.2.30".parse().unwrap()));
        assert_eq!(
            party("2001:0DB8:0000:0000:0000:0000:0000:0001/TYPE=IPv6").address,
            Address::Ipv6("2001:db8::1".parse().unwrap())
        );
        for code in ["*123", "#77", "4455", "*123#"] {
            assert_eq!(party(code).address, Address::ShortCode(code.into()));
        }
        assert_eq!(party("4455@mms.a.example").address, Address::ShortCode("4455".into()));
        assert_eq!(party("INFO").address, Address::AlphaCode("INFO".into()));
        for wrong in ["/TYPE=PLMN@x", "+/TYPE=PLMN", "@x", "", "<>", "+1234567890123456", "a b", "x@y@"] {
            assert!(wrong.parse::<Party>().is_err(), "{wrong:?} must be refused");
        }
    }

    /// Case A-02.
    #[test]
    fn a_02_separators_are_dropped() {
        assert_eq!(party("+1.202.555.0100/TYPE=PLMN").address, plmn("12025550100"));
        assert_eq!(party("+1 (202) 555-0100").address, plmn("12025550100"));
    }

    /// Case A-03: country code 1, trunk prefix 1, international prefix 011.
    #[test]
    fn a_03_a_number_plan_makes_e164() {
        let plan = NumberPlan {
            country_code: Some("1".into()),
            trunk_prefix: Some("1".into()),
            international_prefixes: vec!["011".into()],
            bare_is_international: false,
        };
        for text in ["2025550100", "12025550100", "01112025550100", "+12025550100"] {
            assert_eq!(party(text).address.normalised(&plan), plmn("12025550100"), "{text}");
        }
    }

    #[test]
    fn paths_quote_only_what_must_be_quoted() {
        assert_eq!(
            party("+12025550100/TYPE=PLMN@mms.a.example").to_string(),
            "+12025550100/TYPE=PLMN@mms.a.example"
        );
        assert_eq!(party("\"a b\"@x.example").to_string(), "\"a b\"@x.example");
        let v6 = "2001:0DB8:0000:0000:0000:0000:0000:0001/TYPE=IPv6";
        assert_eq!(party(v6).to_string(), format!("\"{v6}\""));
    }

    proptest! {
        #[test]
        fn a_path_knows_how_it_is_written(local in r#"[aB.é" ]{1,4}"#, domain in "|[ab]{1,3}", cut in 0usize..8, other in "[abAB@é.\"]{0,8}") {
            let domain = Some(domain).filter(|d| !d.is_empty()).map(|d| d.parse().unwrap());
            let path = MailPath::new(&local, domain).unwrap();
            let written = path.to_string();
            prop_assert!(path.is_written_as(&written));
            prop_assert!(path.is_written_as(&written.to_ascii_uppercase()));
            let cut: String = written.chars().take(cut).collect();
            for text in [cut.clone() + &other, cut, other, written.clone() + "a"] {
                prop_assert_eq!(path.is_written_as(&text), written.eq_ignore_ascii_case(&text), "{}", text);
            }
        }

        #[test]
        fn domains_are_labels_of_1_to_63(name in r#"[aB1_.\-é@]{0,8}|(a{60,66}\.){1,2}b"#) {
            let label = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            };
            let fits = !name.is_empty() && name.strip_suffix('.').unwrap_or(&name).split('.').all(label);
            let expected = name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase();
            match name.parse::<Domain>() {
                Ok(domain) => prop_assert!(fits && domain.as_str() == expected),
                Err(error) => prop_assert!(!fits && matches!(error, AddressError::BadDomain(_))),
            }
        }

        #[test]
        fn only_dot_atoms_go_without_quotes(local in r#"[a.!é"\\ (@]{0,6}|[ -~]{1,3}"#) {
            let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b) || b >= 0x80;
            let expected = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext));
            prop_assert_eq!(is_dot_atom(&local), expected);
        }

        #[test]
        fn no_text_panics_and_canonical_is_stable(text in any::<String>()) {
            if let Ok(party) = text.parse::<Party>() {
                let again: Party = party.to_string().parse().unwrap();
                prop_assert_eq!(again.address, party.address);
                prop_assert_eq!(again.domain, party.domain);
            }
        }

        #[test]
        fn near_addresses_are_stable(text in r#"["<]?[+*#]?[0-9a-c.\-/ ]{0,12}(/TYPE=(PLMN|IPv4|IPv6|x))?"?(@[a-c.\[\]]{0,6})?>?"#) {
            if let Ok(party) = text.parse::<Party>() {
                let again: Party = party.to_string().parse().unwrap();
                prop_assert_eq!(again, party.unnamed());
            }
        }

        #[test]
        fn numbers_in_e164_pass_every_plan(digits in "[1-9][0-9]{6,14}", cc in "[1-9]{1,3}") {
            let plan = NumberPlan { country_code: Some(cc), ..NumberPlan::default() };
            prop_assert_eq!(plmn(&digits).normalised(&plan), plmn(&digits));
        }
    }
}
