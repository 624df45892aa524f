//! The header by which a TCP proxy tells for whom it connects: PROXY protocol, versions 1 and 2.
//!
//! Owns: its octets, to the letter. Never knows: whom to believe; the house asks only hops that it trusts. It is read piece
//! by piece, never an octet too many: what follows belongs to another protocol, perhaps to TLS.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Version 1 ends within so many octets.
const LINE_MAX: usize = 107;
/// No header of either version is shorter.
const LEAST: usize = 15;
/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const FIXED: usize = 16;
/// Addresses and further fields of version 2, at most.
const REST_MAX: usize = 2048;

/// Octets of the longest header that is read.
pub const HEADER_MAX: usize = FIXED + REST_MAX;

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At least so many octets more belong to it; never 0.
    More(usize),
    /// It is whole. Without a source it is about the hop itself (a health check) or about nothing known.
    Whole {
        /// Who connected to the hop.
        source: Option<SocketAddr>,
    },
}

/// Why it is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// It begins with something else.
    NotThere,
    /// It has no end within the limit.
    TooLong,
    /// A version, command or kind of address that is not known here.
    Unknown,
    /// An address or port that is none.
    Malformed,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => "no PROXY header",
            Self::TooLong => "the PROXY header is too long",
            Self::Unknown => "the PROXY header has a version, command or family that is not TCP over IP",
            Self::Malformed => "the PROXY header has an address or port that is none",
        })
    }
}

/// Reads what has come so far, which must be no more than [`Step::More`] asked for.
///
/// # Errors
/// It is no header, or not one that is understood; what follows cannot be trusted.
pub fn read(input: &[u8]) -> Result<Step, ProxyError> {
    let begins = |with: &[u8]| input.iter().zip(with).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        line(input)
    } else if begins(&SIGNATURE) {
        binary(input)
    } else {
        Err(ProxyError::NotThere)
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 25`.
fn line(input: &[u8]) -> Result<Step, ProxyError> {
    if input.len() < LEAST {
        return Ok(Step::More(LEAST - input.len()));
    }
    let Some(text) = input.strip_suffix(b"\r\n") else {
        return match input.len() {
            LINE_MAX.. => Err(ProxyError::TooLong),
            _ => Ok(Step::More(1)),
        };
    };
    let text = std::str::from_utf8(text).map_err(|_| ProxyError::Malformed)?;
    if text.contains(['\r', '\n']) {
        return Err(ProxyError::Malformed);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let (family, ends) = match words[..] {
        [_, "UNKNOWN", ..] => return Ok(Step::Whole { source: None }),
        [_, family, from, to, from_port, to_port] => (family, [(from, from_port), (to, to_port)]),
        _ => return Err(ProxyError::Malformed),
    };
    let end = |(address, port): (&str, &str)| {
        let address: IpAddr = match family {
            "TCP4" => address.parse::<Ipv4Addr>().ok()?.into(),
            _ => address.parse::<Ipv6Addr>().ok()?.into(),
        };
        Some(SocketAddr::new(address, decimal(port)?))
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(ProxyError::Unknown);
    }
    match ends.map(end) {
        [Some(source), Some(_)] => Ok(Step::Whole { source: Some(source) }),
        _ => Err(ProxyError::Malformed),
    }
}

/// A port as version 1 writes it: digits, no more of them than it needs.
fn decimal(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

/// Version 2: signature, version and command, family, length, addresses, further fields that are skipped.
fn binary(input: &[u8]) -> Result<Step, ProxyError> {
    let Some((fixed, rest)) = input.split_at_checked(FIXED) else {
        return Ok(Step::More(FIXED - input.len()));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let (command, family) = (fixed[12], fixed[13]);
    let least = match (command, family) {
        // About the hop itself, whatever it says else; or about nothing known.
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        _ => return Err(ProxyError::Unknown),
    };
    if length < least {
        return Err(ProxyError::Malformed);
    }
    if length > REST_MAX {
        return Err(ProxyError::TooLong);
    }
    if rest.len() < length {
        return Ok(Step::More(length - rest.len()));
    }
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let source = match least {
        12 => rest.first_chunk::<4>().zip(port(8)).map(|(a, port)| (IpAddr::from(*a), port)),
        36 => rest.first_chunk::<16>().zip(port(32)).map(|(a, port)| (IpAddr::from(*a), port)),
        _ => None,
    };
    Ok(Step::Whole { source: source.map(SocketAddr::from) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds what is asked for and no more; the result, and how much was taken.
    fn fed(stream: &[u8]) -> (Result<Option<SocketAddr>, ProxyError>, usize) {
        let mut taken = 0;
        loop {
            match read(&stream[..taken]) {
                Ok(Step::More(n)) => {
                    assert!(n > 0 && taken + n <= HEADER_MAX, "{n} more after {taken}");
                    taken += n;
                    if taken > stream.len() {
                        return (Err(ProxyError::TooLong), stream.len());
                    }
                }
                Ok(Step::Whole { source }) => return (Ok(source), taken),
                Err(error) => return (Err(error), taken),
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn version_1_to_the_letter() {
        let fine = [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n", Some("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", Some("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ff:: whatever 7\r\n", None),
        ];
        for (text, source) in fine {
            let more = format!("{text}EHLO a\r\n");
            assert_eq!(fed(more.as_bytes()), (Ok(source.map(|s| s.parse().unwrap())), text.len()), "{text}");
        }
        for (text, error) in [
            ("EHLO mms.b.example\r\n", ProxyError::NotThere),
            ("proxy TCP4 192.0.2.1 192.0.2.2 56324 25\r\n", ProxyError::NotThere),
            ("PROXY TCP4  192.0.2.1 192.0.2.2 56324 25\r\n", ProxyError::Malformed),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 025\r\n", ProxyError::Malformed),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n", ProxyError::Malformed),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +5 25\r\n", ProxyError::Malformed),
            ("PROXY TCP4 2001:db8::1 192.0.2.2 56324 25\r\n", ProxyError::Malformed),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n", ProxyError::Malformed),
            ("PROXY TCP4 192.0.2.1 192.0.2.2\n 56324 25\r\n", ProxyError::Malformed),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 56324 25\r\n", ProxyError::Unknown),
        ] {
            assert_eq!(fed(text.as_bytes()).0, Err(error), "{text}");
        }
        let (result, taken) = fed(format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).as_bytes());
        assert_eq!((result, taken), (Err(ProxyError::TooLong), LINE_MAX));
    }

    #[test]
    fn version_2_to_the_letter() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 0, 25];
        let source = Ok(Some("192.0.2.1:56324".parse().unwrap()));
        let header = v2(0x21, 0x11, &four);
        assert_eq!(fed(&[&header[..], b"EHLO"].concat()), (source, header.len()));
        // Further fields are skipped.
        let header = v2(0x21, 0x11, &[&four[..], &[4, 0, 1, 0]].concat());
        assert_eq!(fed(&header), (source, header.len()));
        let six = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 16], &[0, 7, 0, 25]].concat();
        assert_eq!(fed(&v2(0x21, 0x21, &six)).0, Ok(Some("[::1]:7".parse().unwrap())));
        for about_itself in [v2(0x20, 0x00, &[]), v2(0x20, 0x11, &four), v2(0x21, 0x00, &[1, 2, 3])] {
            assert_eq!(fed(&about_itself), (Ok(None), about_itself.len()));
        }
        for (wrong, error) in [
            (v2(0x11, 0x11, &four), ProxyError::Unknown),
            (v2(0x22, 0x11, &four), ProxyError::Unknown),
            (v2(0x21, 0x12, &four), ProxyError::Unknown),
            (v2(0x21, 0x31, &[0; 216]), ProxyError::Unknown),
            (v2(0x21, 0x11, &four[..11]), ProxyError::Malformed),
            (v2(0x21, 0x21, &four), ProxyError::Malformed),
            (v2(0x21, 0x11, &[0; REST_MAX + 1]), ProxyError::TooLong),
        ] {
            assert_eq!(fed(&wrong).0, Err(error), "{wrong:?}");
        }
    }

    proptest! {
        /// Nothing makes it panic, and nothing makes it ask for more than there may be.
        #[test]
        fn proxy_anything_is_read_or_refused(
            begin in proptest::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::", &SIGNATURE]),
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = fed(&[begin, &rest].concat());
        }

        /// What a hop writes is what is read, and nothing behind it is touched.
        #[test]
        fn proxy_both_versions_say_who(ip in any::<[u8; 4]>(), port in any::<u16>(), behind in proptest::collection::vec(any::<u8>(), 0..50)) {
            let source = SocketAddr::from((ip, port));
            let text = format!("PROXY TCP4 {} 192.0.2.2 {port} 25\r\n", source.ip());
            let octets = [&ip[..], &[192, 0, 2, 2], &port.to_be_bytes(), &[0, 25]].concat();
            for header in [text.into_bytes(), v2(0x21, 0x11, &octets)] {
                prop_assert_eq!(fed(&[&header[..], &behind].concat()), (Ok(Some(source)), header.len()));
            }
        }
    }
}
