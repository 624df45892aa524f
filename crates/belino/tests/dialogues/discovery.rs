//! Where a number is served, asked of a DNS server by the real binary (cases A-10, A-21, A-27 to A-30, as an MM lives
//! them; how answers are read is in the discovery tests).

#[path = "../discovery/world.rs"]
#[allow(dead_code, reason = "the servers of the discovery tests; only some are needed here")]
mod dns;

use crate::receiving::id_of;
use crate::sending::{end_of, hand_in, mm};
use crate::world::*;
use dns::{Dns, Zone};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// A number that no table knows.
const ABROAD: &str = "+441632960083";
/// A number of ours that has gone to peer C.
const GONE: &str = "0.0.1.0.5.5.5.2.0.2.1.e164.arpa";

/// A DNS server and what keeps it going.
struct Names {
    _runtime: Runtime,
    dns: Dns,
}

impl Names {
    fn new(zones: impl IntoIterator<Item = Zone>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dns = runtime.block_on(Dns::start(zones));
        Self { _runtime: runtime, dns }
    }

    fn address(&self) -> SocketAddr {
        self.dns.address
    }
}

fn numbers() -> Zone {
    let to_c = r"!^(.*)$!mailto:\1/TYPE=PLMN@mms.c.example!";
    Zone::new("e164.arpa").naptr(dns::NAME, 100, 10, ["u", "E2U+mms:mailto", dns::TO_B]).naptr(
        GONE,
        100,
        10,
        ["u", "E2U+mms:mailto", to_c],
    )
}

fn asking(names: &Names, more: &str) -> World {
    let more = format!(
        "[discovery]\norder = [\"enum\", \"static\"]\nenum_apexes = [\"e164.arpa\"]\nresolvers = [\"{}\"]\n{more}\n",
        names.address()
    );
    World::with(Setup { more, ..Setup::default() })
}

/// A-10: ENUM leads to a peer; the envelope has what ENUM says, the table serves those whom ENUM does not know.
#[test]
fn a_10_a_21_enum_leads_to_the_peer() {
    let names = Names::new([numbers()]);
    let world = asking(&names, "");
    let id = hand_in(&world, &[ABROAD, C1], &[]);
    let (b, c) = (world.b.mail(), world.c.mail());
    assert_eq!(b.to, [format!("{ABROAD}/TYPE=PLMN@mms.b.example")]);
    assert_eq!(c.to, [format!("{C1}/TYPE=PLMN@mms.c.example")]);
    let routed: Vec<String> = mm(&world, &id)["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["what"] == "routed")
        .map(|m| m["text"].as_str().unwrap().to_owned())
        .collect();
    assert!(routed.iter().any(|t| t.contains("mms.b.example")), "{routed:?}");
    // Nobody knows this one, and nobody is asked for a code.
    let nobody = hand_in(&world, &["+441632960099"], &[]);
    world.until_state(&nobody, 0, "failed");
    assert_eq!(end_of(&world, &nobody, 0), "failed no-route Error-sending-address-unresolved");
    // The command line tells each step.
    let route = world.json(&["route", ABROAD]).remove(0);
    assert_eq!((route["to"].as_str(), route["peer"].as_str()), (Some("peer"), Some("b")));
    let steps = route["steps"].to_string();
    assert!(steps.contains(dns::NAME) && steps.contains("E2U+mms:mailto"), "{steps}");
}

/// A-21: nobody answers: the MM waits, and goes when somebody does.
#[test]
fn a_21_an_mm_waits_for_the_dns() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "[discovery]\norder = [\"enum\"]\nenum_apexes = [\"e164.arpa\"]\nresolvers = [\"{}\"]\ntimeout = \"1s\"\n",
        silent.local_addr().unwrap()
    );
    let mut world = World::with(Setup { more, ..Setup::default() });
    let id = hand_in(&world, &[ABROAD], &[]);
    assert!(end_of(&world, &id, 0).starts_with("routing"));
    world.kill();
    let names = Names::new([numbers()]);
    world.setup().more = format!(
        "[discovery]\norder = [\"enum\"]\nenum_apexes = [\"e164.arpa\"]\nresolvers = [\"{}\"]\n",
        names.address()
    );
    world.start();
    world.advance("30m");
    assert_eq!(world.b.mail().to, [format!("{ABROAD}/TYPE=PLMN@mms.b.example")]);
    drop(silent);
}

/// A-30: a subscriber who has gone elsewhere is followed, whoever sends; one who has not gets it here.
#[test]
fn a_30_a_subscriber_who_has_gone_elsewhere() {
    let names = Names::new([numbers()]);
    let world = asking(&names, "");
    hand_in(&world, &[U1], &[]);
    assert_eq!(world.c.mail().to, [format!("{U1}/TYPE=PLMN@mms.c.example")]);
    let id = hand_in(&world, &[U2], &[]);
    world.until_state(&id, 0, "stored");
    // A peer without transit is refused; it was accepted at SMTP all the same.
    let reply = world.from_b().forward(&Fwd::new(), &[U1]);
    let id = id_of(&reply);
    world.until_state(&id, 0, "refused");
    assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Error-service-denied");
    // Our own tables first, if that is wanted.
    let world = asking(&names, "portability_first = false");
    let id = hand_in(&world, &[U1], &[]);
    world.until_state(&id, 0, "stored");
}

/// A-29, A-27, A-28: the hosts of a peer by the DNS: with MX, with an address alone, with none that may take mail.
#[test]
fn a_27_a_28_a_29_hosts_by_the_dns() {
    let hosts = |zone: Zone| {
        let names = Names::new([zone]);
        let world = World::new();
        let address = world.b.address;
        let whole = format!(
            "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"{{listen}}\"]\n[limits]\ndisk_free_min = 0\n\
             [[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n\
             [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\ndiscover = \"dns\"\nport = {}\nresolvers = [\"{}\"]\n\
             from = [\"127.0.0.2\"]\nprefixes = [\"+1202555011\"]\n",
            address.port(),
            names.address()
        );
        let mut world = world;
        world.setup().whole = Some(whole);
        world.restart();
        (world, names)
    };
    let by_mx = Zone::new("b.example")
        .mx("mms.b.example", 10, "dead.b.example")
        .mx("mms.b.example", 20, "mx.b.example")
        .a("dead.b.example", [127, 0, 0, 9])
        .a("mx.b.example", [127, 0, 0, 2]);
    let (world, _names) = hosts(by_mx);
    hand_in(&world, &[B1], &[]);
    assert_eq!(world.b.mail().to, [format!("{B1}/TYPE=PLMN@mms.b.example")]);
    let route = world.json(&["route", B1]).remove(0);
    assert_eq!(route["hosts"][0].as_str().unwrap().split(':').next(), Some("127.0.0.9"), "{route}");

    let (world, _names) = hosts(Zone::new("b.example").a("mms.b.example", [127, 0, 0, 2]));
    hand_in(&world, &[B1], &[]);
    world.b.mail();

    for none in [
        Zone::new("b.example").mx("mms.b.example", 0, "."),
        Zone::new("b.example").mx("mms.b.example", 10, "mms.a.example").a("mms.a.example", [127, 0, 0, 1]),
    ] {
        let (world, _names) = hosts(none);
        let id = hand_in(&world, &[B1], &[]);
        world.until_state(&id, 0, "failed");
        assert!(end_of(&world, &id, 0).starts_with("failed peer-refused"), "{}", end_of(&world, &id, 0));
        assert!(world.b.mails().is_empty());
    }
}
