//! Which names live in the private DNS between operators only, and which resolvers are the public's.
//!
//! A private name that leaks tells strangers who sends to whom, and an answer to it could be anybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether only the private DNS knows a name (in lower case, without the last dot): those under `gprs`, the carriers' ENUM
/// tree `e164enum.net`, and `3gppnetwork.org` but for its public part.
pub fn is_private(name: &str) -> bool {
    let under =
        |parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    under("gprs") || under("e164enum.net") || under("3gppnetwork.org") && !under("pub.3gppnetwork.org")
}

/// Whether asking these resolvers may tell the Internet: the system's (none are given), or one that is everybody's.
pub fn is_public(resolvers: &[SocketAddr]) -> bool {
    resolvers.is_empty() || resolvers.iter().any(|r| is_everybodys(r.ip()))
}

/// Whether this is one of the well-known resolvers that answer everybody.
pub fn is_everybodys(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 8] = [
        Ipv4Addr::new(1, 0, 0, 1),
        Ipv4Addr::new(1, 1, 1, 1),
        Ipv4Addr::new(8, 8, 4, 4),
        Ipv4Addr::new(8, 8, 8, 8),
        Ipv4Addr::new(9, 9, 9, 9),
        Ipv4Addr::new(149, 112, 112, 112),
        Ipv4Addr::new(208, 67, 220, 220),
        Ipv4Addr::new(208, 67, 222, 222),
    ];
    const V6: [Ipv6Addr; 5] = [
        Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844),
        Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
        Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1001),
        Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111),
        Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe),
    ];
    match address.to_canonical() {
        IpAddr::V4(v4) => V4.contains(&v4),
        IpAddr::V6(v6) => V6.contains(&v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_which_names_are_private_and_which_resolvers_public() {
        for name in
            ["gprs", "mms.mnc006.mcc260.gprs", "4.4.e164enum.net", "mms.mnc006.mcc260.3gppnetwork.org"]
        {
            assert!(is_private(name), "{name}");
        }
        for name in ["mms.b.example", "notgprs", "gprs.example", "4.4.e164.arpa", "x.pub.3gppnetwork.org"] {
            assert!(!is_private(name), "{name}");
        }
        assert!(is_public(&[]) && is_public(&["8.8.8.8:53".parse().unwrap()]));
        assert!(is_public(&["10.0.0.53:53".parse().unwrap(), "[::ffff:1.1.1.1]:53".parse().unwrap()]));
        assert!(!is_public(&["10.0.0.53:53".parse().unwrap()]));
    }
}
