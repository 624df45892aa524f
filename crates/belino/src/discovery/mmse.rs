//! The names of MMSEs: from an IMSI, or from mobile country and network code, to a domain (TS 23.140 annex H).
//!
//! Owns: how many digits a network code has, and how the name is written: `mms.mnc006.mcc260.gprs`, both codes of three
//! digits, the network code with zeros in front. Never knows: where the IMSI came from, or what the DNS says.

use mms::Domain;
use std::collections::BTreeMap;

/// Country codes whose network codes have three digits: all of them where no others are listed. Those that use both (such as
/// 350, 364 or 405) are left to the configuration, except for ranges of three digits that overlap no code of two.
const THREE: &[&str] = &[
    "302", // Canada
    "310", "311", "312", "313", "314", "315", "316",  // United States
    "334",  // Mexico
    "338",  // Jamaica
    "342",  // Barbados
    "344",  // Antigua and Barbuda
    "346",  // Cayman Islands
    "348",  // British Virgin Islands
    "352",  // Grenada
    "354",  // Montserrat
    "356",  // Saint Kitts and Nevis
    "358",  // Saint Lucia
    "360",  // Saint Vincent and the Grenadines
    "365",  // Anguilla
    "366",  // Dominica
    "376",  // Turks and Caicos Islands
    "4058", // India, in part
    "708",  // Honduras
    "722",  // Argentina
    "732",  // Colombia
    "750",  // Falkland Islands
];

/// How MMSEs are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// What names end in: `gprs` on the private DNS between operators, or `3gppnetwork.org`.
    pub suffix: String,
    /// Beginnings of IMSIs and how many digits the network code has there, 2 or 3; the longest beginning decides, before the
    /// table that is built in.
    pub mnc_digits: BTreeMap<String, u8>,
}

impl Default for Naming {
    fn default() -> Self {
        Self { suffix: "gprs".to_owned(), mnc_digits: BTreeMap::new() }
    }
}

impl Naming {
    /// The MMSE of the network that an IMSI belongs to.
    ///
    /// # Errors
    /// It is no IMSI: 6 to 15 digits.
    pub fn of_imsi(&self, imsi: &str) -> Result<Domain, String> {
        if !(6..=15).contains(&imsi.len()) || !digits(imsi) {
            return Err(format!("imsi {imsi:?}: expected 6 to 15 digits"));
        }
        let (mcc, rest) = imsi.split_at(3);
        self.of_network(mcc, &rest[..self.mnc_length(imsi)])
    }

    /// The MMSE of a network.
    ///
    /// # Errors
    /// The country code has not three digits, or the network code neither two nor three (or one, written without its zero).
    pub fn of_network(&self, mcc: &str, mnc: &str) -> Result<Domain, String> {
        if mcc.len() != 3 || !digits(mcc) {
            return Err(format!("mcc {mcc:?}: expected 3 digits"));
        }
        if !(1..=3).contains(&mnc.len()) || !digits(mnc) {
            return Err(format!("mnc {mnc:?}: expected 1 to 3 digits"));
        }
        let name = format!("mms.mnc{mnc:0>3}.mcc{mcc}.{}", self.suffix);
        name.parse().map_err(|_| format!("{name:?} is no domain name"))
    }

    fn mnc_length(&self, imsi: &str) -> usize {
        let own =
            self.mnc_digits.iter().filter(|(k, _)| imsi.starts_with(&***k)).max_by_key(|(k, _)| k.len());
        match own {
            Some((_, length)) => usize::from(*length),
            None if THREE.iter().any(|k| imsi.starts_with(k)) => 3,
            None => 2,
        }
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_25_a_network_code_of_two_digits_is_padded() {
        let naming = Naming::default();
        assert_eq!(naming.of_imsi("260061234567890").unwrap().as_str(), "mms.mnc006.mcc260.gprs");
        assert_eq!(naming.of_network("260", "06").unwrap().as_str(), "mms.mnc006.mcc260.gprs");
        let later = Naming { suffix: "3gppnetwork.org".to_owned(), ..Naming::default() };
        assert_eq!(later.of_network("260", "6").unwrap().as_str(), "mms.mnc006.mcc260.3gppnetwork.org");
    }

    #[test]
    fn a_26_a_network_code_of_three_digits_is_taken_whole() {
        let naming = Naming::default();
        assert_eq!(naming.of_imsi("310150123456789").unwrap().as_str(), "mms.mnc150.mcc310.gprs");
        assert_eq!(naming.of_imsi("405840123456789").unwrap().as_str(), "mms.mnc840.mcc405.gprs");
        assert_eq!(naming.of_imsi("405010123456789").unwrap().as_str(), "mms.mnc001.mcc405.gprs");
        let own = [("310".to_owned(), 2), ("3101".to_owned(), 3), ("262".to_owned(), 3)];
        let naming = Naming { mnc_digits: own.into_iter().collect(), ..Naming::default() };
        for (imsi, name) in [
            ("310150123456789", "mms.mnc150.mcc310.gprs"),
            ("310260123456789", "mms.mnc026.mcc310.gprs"),
            ("262011234567890", "mms.mnc011.mcc262.gprs"),
        ] {
            assert_eq!(naming.of_imsi(imsi).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_no_imsi_is_refused() {
        let naming = Naming::default();
        for imsi in
            ["", "26006", "26006123456789012", "26006x234567890", "+26006123456789", "\u{664}\u{664}\u{664}"]
        {
            naming.of_imsi(imsi).unwrap_err();
        }
        for (mcc, mnc) in
            [("26", "06"), ("2600", "06"), ("260", ""), ("260", "0006"), ("260", "0x"), ("2.0", "06")]
        {
            naming.of_network(mcc, mnc).unwrap_err();
        }
    }
}
