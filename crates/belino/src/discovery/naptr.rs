//! The ENUM rules: what a NAPTR record says about a number (TS 23.140 annex G, RFC 6116, RFC 3403).
//!
//! Owns: the name to query, the order of records, flags, services, and what the URI of a record means for MM4. Never
//! knows: DNS queries, caches, time. Pure; nothing here fails on any octets: a record that cannot be used is passed
//! over with the reason, because a better or a worse one may stand beside it.

use super::substitution::Substitution;
use mms::{Domain, MailPath, Number};

/// One NAPTR record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// The major key, lowest first.
    pub order: u16,
    /// The minor key, lowest first.
    pub preference: u16,
    /// `u`, or empty.
    pub flags: Box<[u8]>,
    /// Such as `E2U+mms:mailto`.
    pub services: Box<[u8]>,
    /// The substitution expression.
    pub regexp: Box<[u8]>,
    /// The next name of a non-terminal record, without the last dot; empty for the root.
    pub replacement: Box<str>,
}

/// Which services are taken beyond the registered ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether `mms+E2U` (RFC 2916's order) and `E2U+mms` without a subtype are taken.
    pub legacy: bool,
    /// Experimental (`X-`) and private (`P-`) types that stand for MMS, in lower case.
    pub experimental: Vec<String>,
}

/// What a record is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// It gives the mailbox for `RCPT TO`; its domain names the MMSE.
    Path(MailPath),
    /// It says that the number takes MMS, and nothing about where (RFC 4355 `mms:tel`).
    Capable,
    /// It sends us on to the records of another name.
    Follow(Domain),
    /// Nothing, and why.
    Nothing(String),
}

/// The name under which `apex` keeps a number: its digits from the last to the first (RFC 6116 3.2). `None` for what is
/// not E.164, which must never be queried (RFC 6116 3.7).
pub fn query_name(number: &Number, apex: &Domain) -> Option<String> {
    if !number.is_international() {
        return None;
    }
    let mut name = String::with_capacity(2 * number.digits().len() + apex.as_str().len());
    for digit in number.digits().chars().rev() {
        name.extend([digit, '.']);
    }
    name.push_str(apex.as_str());
    Some(name)
}

/// Put records into the order in which they are considered: by order, then by preference. None is dropped: a worse one
/// is needed when the better ones cannot be used.
pub fn sort(records: &mut [Naptr]) {
    records.sort_by_key(|r| (r.order, r.preference));
}

impl Naptr {
    /// What this record is good for. The substitution works on the number itself (`+` and digits), never on a name.
    pub fn consider(&self, number: &Number, rules: &Rules) -> Use {
        let outcome = match &*self.flags {
            [] => self.onward(),
            [b'u' | b'U'] => self.terminal(number, rules),
            flags => Err(format!("its flag {:?} is not known", flags.escape_ascii().to_string())),
        };
        outcome.unwrap_or_else(Use::Nothing)
    }

    /// A non-terminal record: only its replacement counts.
    fn onward(&self) -> Result<Use, String> {
        if self.replacement.is_empty() {
            return Err("it has neither a flag nor a next name".to_owned());
        }
        match self.replacement.parse() {
            Ok(next) => Ok(Use::Follow(next)),
            Err(_) => Err(format!("its next name {:?} is no domain name", self.replacement)),
        }
    }

    fn terminal(&self, number: &Number, rules: &Rules) -> Result<Use, String> {
        let wanted = services(&self.services, rules)?;
        if !self.replacement.is_empty() {
            return Err("it has both a URI and a next name".to_owned());
        }
        if self.regexp.is_empty() {
            return Err("it has no regexp to make a URI".to_owned());
        }
        let Some(uri) = Substitution::parse(&self.regexp)?.apply(&format!("+{}", number.digits()))? else {
            return Err("its regexp does not match the number".to_owned());
        };
        let (scheme, rest) = uri_parts(&uri)?;
        // The services of a compound record stand in order of priority (RFC 6116 3.4.3.2), but there is only one URI:
        // its scheme says which of them it serves.
        if wanted.mailto && scheme.eq_ignore_ascii_case("mailto") {
            return mailbox(rest).map(Use::Path).map_err(|why| format!("{why} in {uri:?}"));
        }
        if wanted.tel && scheme.eq_ignore_ascii_case("tel") {
            return Ok(Use::Capable);
        }
        Err(format!("its URI {uri:?} does not go with its service"))
    }
}

/// Which URIs the services of a record announce for MMS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    mailto: bool,
    tel: bool,
}

/// `"E2U" 1*( "+" type *( ":" subtype ) )`, types and subtypes of 1 to 32 letters, digits and `-` (RFC 6116 3.4.3).
fn services(field: &[u8], rules: &Rules) -> Result<Wanted, String> {
    let shown = || field.escape_ascii().to_string();
    let text = std::str::from_utf8(field).map_err(|_| format!("its service {:?} is not ASCII", shown()))?;
    let mut parts: Vec<&str> = text.split('+').collect();
    let is_e2u = |part: Option<&&str>| part.is_some_and(|p| p.eq_ignore_ascii_case("E2U"));
    if is_e2u(parts.first()) {
        parts.remove(0);
    } else if is_e2u(parts.last()) {
        if !rules.legacy {
            return Err(format!("its service {text:?} has the obsolete order, and enum_legacy is off"));
        }
        parts.pop();
    } else {
        return Err(format!("its service {:?} is not E2U", shown()));
    }
    let token =
        |t: &str| (1..=32).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if parts.is_empty() || !parts.iter().flat_map(|p| p.split(':')).all(token) {
        return Err(format!("its service {:?} is not written as RFC 6116 asks", shown()));
    }
    let mut wanted = Wanted::default();
    for part in parts {
        let mut words = part.split(':');
        let kind = words.next().unwrap_or_default().to_ascii_lowercase();
        if kind != "mms" && !rules.experimental.contains(&kind) {
            continue;
        }
        let subtypes: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        let plain = subtypes.is_empty() && rules.legacy;
        wanted.mailto |= plain || subtypes.iter().any(|s| s == "mailto");
        wanted.tel |= plain || subtypes.iter().any(|s| s == "tel");
    }
    match wanted {
        Wanted { mailto: false, tel: false } => Err(format!("its service {text:?} is not MMS")),
        wanted => Ok(wanted),
    }
}

/// Scheme and the rest of an absolute URI (RFC 3986).
fn uri_parts(uri: &str) -> Result<(&str, &str), String> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if !uri.bytes().all(fits) {
        let hint = if uri.contains('\\') { "; backslashes are doubled in zone files only" } else { "" };
        return Err(format!("it makes {uri:?}, which is no URI{hint}"));
    }
    uri.split_once(':').ok_or_else(|| format!("it makes {uri:?}, which is no absolute URI"))
}

/// The mailbox of a `mailto:` URI without its scheme (RFC 6068); header fields behind `?` are dropped.
fn mailbox(rest: &str) -> Result<MailPath, String> {
    let address = rest.split('?').next().unwrap_or_default();
    // A comma separates several mailboxes; one that belongs to a mailbox is encoded.
    if address.contains(',') {
        return Err("there is more than one mailbox".to_owned());
    }
    let (local, domain) = address.rsplit_once('@').ok_or("there is no domain")?;
    let (local, domain) = (decode(local)?, decode(domain)?);
    if local.len() > 64 {
        return Err(format!("the local part has {} octets, RFC 5321 allows 64", local.len()));
    }
    // An address literal would let a zone point us at any machine.
    let domain: Domain = match domain.parse() {
        Ok(domain) if !domain_is_literal(&domain) => domain,
        _ => return Err(format!("{domain:?} is no domain name")),
    };
    MailPath::new(&local, Some(domain)).map_err(|error| error.to_string())
}

pub(super) fn domain_is_literal(domain: &Domain) -> bool {
    domain.as_str().starts_with('[')
}

/// Undo percent-encoding (RFC 3986 2.1).
fn decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err("a percent sign is not followed by two hexadecimal digits".to_owned()),
        }
    }
    String::from_utf8(out).map_err(|_| "the mailbox is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> Number {
        Number::international("441632960083").unwrap()
    }

    fn naptr(flags: &str, services: &str, regexp: &str, replacement: &str) -> Naptr {
        let bytes = |t: &str| t.as_bytes().into();
        Naptr {
            order: 100,
            preference: 10,
            flags: bytes(flags),
            services: bytes(services),
            regexp: bytes(regexp),
            replacement: replacement.into(),
        }
    }

    const TO_B: &str = r"!^(.*)$!mailto:\1/TYPE=PLMN@mms.b.example!";

    fn used(flags: &str, services: &str, regexp: &str) -> Use {
        naptr(flags, services, regexp, "").consider(&number(), &Rules::default())
    }

    fn passed(outcome: Use) -> String {
        match outcome {
            Use::Nothing(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn to_b() -> Use {
        Use::Path("+441632960083/TYPE=PLMN@mms.b.example".parse().unwrap())
    }

    #[test]
    fn a_10_the_query_name_is_the_digits_reversed_and_the_apex() {
        let apex = "e164.arpa".parse().unwrap();
        assert_eq!(query_name(&number(), &apex).unwrap(), "3.8.0.0.6.9.2.3.6.1.4.4.e164.arpa");
        let local = "01632960083".parse::<mms::Party>().unwrap().address.number().cloned().unwrap();
        assert_eq!(query_name(&local, &apex), None);
    }

    #[test]
    fn a_11_a_13_spellings_of_the_service_and_the_flag() {
        for (flags, services) in [
            ("u", "E2U+mms:mailto"),
            ("U", "E2U+MMS:mailto"),
            ("u", "e2u+mms:MailTo"),
            ("u", "E2U+sms:tel+mms:mailto"),
            ("u", "E2U+mms:mailto+sms:tel"),
            ("u", "E2U+mms:tel+mms:mailto"),
            ("u", "E2U+mms:tel:mailto"),
        ] {
            assert_eq!(used(flags, services, TO_B), to_b(), "{flags} {services}");
        }
        for services in [
            "E2U+email:mailto",
            "E2U+sip",
            "E2U",
            "",
            "mms:mailto",
            "E2U+",
            "E2U++mms:mailto",
            "E2U+mms:mailto+",
            "E2U+mms:",
            "E2U+mms mailto",
            "E2U+mms",
            "E2U+mmsx:mailto",
            "E2U+x-mms:mailto",
            "E2U+mms:mailto+abcdefghijklmnopqrstuvwxyz0123456789",
        ] {
            passed(used("u", services, TO_B));
        }
    }

    #[test]
    fn a_12_the_obsolete_order_only_if_wanted() {
        let legacy = Rules { legacy: true, ..Rules::default() };
        for services in ["mms+E2U", "MMS+e2u", "mms:mailto+E2U", "E2U+mms"] {
            let record = naptr("u", services, TO_B, "");
            assert_eq!(record.consider(&number(), &legacy), to_b(), "{services}");
            passed(record.consider(&number(), &Rules::default()));
        }
    }

    #[test]
    fn experimental_and_private_types_only_if_named() {
        let rules = Rules { experimental: vec!["x-mms".to_owned()], ..Rules::default() };
        assert_eq!(naptr("u", "E2U+X-MMS:mailto", TO_B, "").consider(&number(), &rules), to_b());
        passed(naptr("u", "E2U+P-mms:mailto", TO_B, "").consider(&number(), &rules));
    }

    #[test]
    fn a_14_order_counts_before_preference() {
        let record = |order, preference| Naptr { order, preference, ..naptr("u", "", "", "") };
        let mut records = [record(200, 1), record(100, 50), record(100, 10), record(200, 0)];
        sort(&mut records);
        let keys: Vec<_> = records.iter().map(|r| (r.order, r.preference)).collect();
        assert_eq!(keys, [(100, 10), (100, 50), (200, 0), (200, 1)]);
    }

    #[test]
    fn a_15_an_unknown_flag_is_passed_over() {
        for flags in ["s", "a", "p", "us", "uu", "\u{e9}"] {
            assert!(passed(used(flags, "E2U+mms:mailto", TO_B)).contains("flag"), "{flags}");
        }
    }

    #[test]
    fn a_19_an_empty_flag_leads_on_whatever_else_stands_there() {
        let record = naptr("", "E2U+sip", "!x!y!", "441632960083.np.example");
        let next = "441632960083.np.example".parse().unwrap();
        assert_eq!(record.consider(&number(), &Rules::default()), Use::Follow(next));
        passed(naptr("", "", "", "").consider(&number(), &Rules::default()));
        passed(naptr("", "", "", "no name").consider(&number(), &Rules::default()));
    }

    #[test]
    fn a_20_a_number_that_takes_mms_somewhere() {
        assert_eq!(used("u", "E2U+mms:tel", r"!^(.*)$!tel:\1!"), Use::Capable);
        passed(used("u", "E2U+mms:tel", TO_B));
        passed(used("u", "E2U+mms:mailto", r"!^(.*)$!tel:\1!"));
    }

    #[test]
    fn a_23_the_mailbox_is_decoded() {
        let mailto = |uri: &str| used("u", "E2U+mms:mailto", &format!("!.*!{uri}!"));
        assert_eq!(mailto("mailto:%2B441632960083/TYPE%3dPLMN@mms.b.example"), to_b());
        assert_eq!(mailto("MAILTO:+441632960083/TYPE=PLMN@MMS.B.example?subject=x"), to_b());
        for (uri, why) in [
            ("mailto:a%zz@b.example", "percent"),
            ("mailto:a%4", "no domain"),
            ("mailto:a%ff@b.example", "UTF-8"),
            ("mailto:a%0d%0aRCPT@b.example", "control"),
            ("mailto:@b.example", ""),
            ("mailto:a@b.example,c@b.example", "more than one"),
            ("mailto:a@", "no domain name"),
            ("mailto:a@[192.0.2.1]", "no domain name"),
            ("mailto:a b@c.example", "no URI"),
            (r"mailto:\\1@c.example", "doubled"),
            ("441632960083", "no absolute URI"),
            (&format!("mailto:{}@b.example", "a".repeat(65)), "64"),
        ] {
            assert!(passed(mailto(uri)).contains(why), "{uri}: {}", passed(mailto(uri)));
        }
    }

    #[test]
    fn regexp_and_replacement_together_are_an_error() {
        let record = naptr("u", "E2U+mms:mailto", TO_B, "mms.b.example");
        assert!(passed(record.consider(&number(), &Rules::default())).contains("both"));
        assert!(passed(used("u", "E2U+mms:mailto", "")).contains("no regexp"));
        assert!(passed(used("u", "E2U+mms:mailto", "!^$!x!")).contains("does not match"));
    }

    proptest! {
        #[test]
        fn no_record_panics(
            flags in prop_oneof![Just(b"u".to_vec()), proptest::collection::vec(any::<u8>(), 0..4)],
            services in prop_oneof![Just(b"E2U+mms:mailto".to_vec()), proptest::collection::vec(any::<u8>(), 0..60)],
            uri in r"(mailto:)?[ -~]{0,80}",
            octets in proptest::collection::vec(any::<u8>(), 0..255),
            replacement in prop_oneof![Just(String::new()), any::<String>()],
        ) {
            let record = Naptr {
                order: 0, preference: 0,
                flags: flags.into(), services: services.into(), regexp: octets.into(), replacement: replacement.into(),
            };
            let rules = Rules { legacy: true, experimental: Vec::new() };
            record.consider(&number(), &rules);
            let record = Naptr { regexp: format!("!.*!{uri}!").into_bytes().into(), ..record };
            if let Use::Path(path) = record.consider(&number(), &rules) {
                prop_assert!(path.local().len() <= 64 && !path.local().contains(char::is_control));
            }
        }
    }
}
