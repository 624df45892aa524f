//! A NAPTR record of a stranger's zone, applied to a number.
//!
//! Checks: no panic; work is bounded; what comes out as a mailbox is one.
#![no_main]

use belino::discovery::naptr::{Naptr, Rules, Use};
use belino::discovery::substitution::Substitution;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [cut, legacy, rest @ ..] = data else { return };
    let (services, regexp) = rest.split_at(usize::from(*cut).min(rest.len()));
    let replacement = String::from_utf8_lossy(services).into_owned();
    let record = Naptr {
        order: 0,
        preference: 0,
        flags: b"u".to_vec().into(),
        services: b"E2U+mms:mailto".to_vec().into(),
        regexp: regexp.into(),
        replacement: "".into(),
    };
    let number = mms::Number::international("12025550110").unwrap();
    let rules = Rules { legacy: legacy & 1 == 1, experimental: vec!["x-mms".into()] };
    if let Use::Path(path) = record.consider(&number, &rules) {
        assert_eq!(path.to_string().parse::<mms::MailPath>().unwrap(), path);
    }
    let odd = Naptr { services: services.into(), replacement: replacement.into(), ..record };
    let _ = odd.consider(&number, &rules);
    if let Ok(substitution) = Substitution::parse(regexp) {
        let _ = substitution.apply("+12025550110");
    }
});
