//! Until when a certificate is valid: the one field of X.509 that we read ourselves, to warn before it is too late.
//!
//! Owns: a walk over DER to `notAfter` (RFC 5280 4.1.2.5). Never knows: whether the certificate is good for anything.

use mms::Timestamp;

/// One element of DER: its tag, what is in it, what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(length)?;
    Some((*tag, inside, after))
}

/// The end of a certificate's validity; `None` when this is no certificate.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    let sequence = |der| element(der).filter(|(tag, ..)| *tag == SEQUENCE);
    let (_, whole, _) = sequence(certificate)?;
    let (_, mut fields, _) = sequence(whole)?;
    // The version is explicitly tagged, and left out in the first version.
    if let Some((0xa0, _, after)) = element(fields) {
        fields = after;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = sequence(fields)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    time(tag, text)
}

fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok().filter(|t| t.is_ascii())?;
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match tag {
        // RFC 5280 4.1.2.5.1: 50 and more are of the last century.
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |place: usize| rest.get(2 * place..2 * place + 2)?.parse::<u32>().ok();
    Timestamp::from_civil(year, two(0)?, two(1)?, two(2)?, two(3)?, two(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_is_found_in_both_spellings_of_time() {
        for (year, month, day) in [(2027, 3, 9), (2049, 12, 31), (2050, 1, 1), (2199, 6, 30)] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut wanted = rcgen::CertificateParams::new(vec!["mms.a.example".to_owned()]).unwrap();
            wanted.not_after = rcgen::date_time_ymd(year, month, day);
            let certificate = wanted.self_signed(&key).unwrap();
            let end = Timestamp::from_civil(year, month.into(), day.into(), 0, 0, 0);
            assert_eq!(not_after(certificate.der()), end, "{year}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_octets_nothing_panics(der in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = not_after(&der);
        }
    }
}
