//! TCP proxies in front of the relay, and who connects through them.

use crate::certificates::Authority;
use crate::world::*;
use rustls::version::TLS13;
use std::net::{IpAddr, SocketAddr};

const HOP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

/// A connection from an address, with these octets first.
fn with(to: SocketAddr, from: IpAddr, header: &[u8]) -> Client {
    let mut client = Client::connect(from, to);
    client.raw(header);
    client
}

/// Version 2 of the header, for somebody at an IPv4 address.
fn binary(source: [u8; 4]) -> Vec<u8> {
    let begin = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c";
    [&begin[..], &source, &[127, 0, 0, 1], &[0x30, 0x39, 0, 25]].concat()
}

#[test]
fn a_hop_says_who_connects() {
    let ca = Authority::new();
    let a = ca.issue("mms.a.example");
    let mm4 = format!(
        "proxy_from = [\"127.0.0.8/30\"]\nlisten_tls = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        a.certificate.display(),
        a.key.display()
    );
    let world = World::with(Setup { mm4, ..Setup::default() });
    // Either version, and B is whom it names.
    let text = b"PROXY TCP4 127.0.0.2 127.0.0.1 12345 25\r\n".to_vec();
    for (n, header) in [text, binary([127, 0, 0, 2])].iter().enumerate() {
        let mut client = with(world.address, HOP, header);
        client.expect("220");
        client.say("EHLO mms.b.example");
        client.expect("250");
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        assert!(client.forward(&fwd, &[U1]).starts_with("250"));
        assert_eq!(world.trace(&format!("mm-{n}"))[0]["origin"]["peer"], "b");
    }
    // The same in front of TLS: not an octet of it is swallowed.
    let client = with(world.tls_address.unwrap(), HOP, &binary([127, 0, 0, 2]));
    let mut client = ca.secure(client, None, &[&TLS13]).unwrap().client;
    client.expect("220");
    // A stranger behind the hop stays one, and so does the hop itself.
    with(world.address, HOP, &binary([203, 0, 113, 9])).expect("554 5.7.1");
    with(world.address, HOP, b"PROXY UNKNOWN\r\n").expect("554 5.7.1");
    // Without a header, or with something like one, the hop is told nothing at all.
    for wrong in [
        &b"EHLO mms.b.example\r\n"[..],
        b"PROXY TCP4 127.0.0.2 127.0.0.1 12345\r\n",
        b"PROXY UDP4 127.0.0.2 127.0.0.1 1 2\r\n",
    ] {
        assert_eq!(with(world.address, HOP, wrong).reply(), "");
    }
    assert!(world.log().contains("no PROXY header"));
    // Nobody else is believed: C does not become B, and the words are no command.
    let mut c = Client::connect(world.c.address.ip(), world.address);
    c.expect("220");
    assert!(c.ask("PROXY TCP4 127.0.0.2 127.0.0.1 12345 25").starts_with("500"));
    with(world.address, "127.0.0.7".parse().unwrap(), &binary([127, 0, 0, 2])).expect("554 5.7.1");
}
