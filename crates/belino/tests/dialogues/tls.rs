//! TLS, both ways: STARTTLS and TLS from the first octet, whose certificates count, and what never goes in the clear
//! (cases S-16, S-17, X-09).

use crate::certificates::{Authority, Issued, Secured};
use crate::world::*;
use rustls::version::{TLS12, TLS13};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Lines for `[mm4]`.
fn mm4(own: &Issued) -> String {
    format!("certificate = \"{}\"\nkey = \"{}\"\n", own.certificate.display(), own.key.display())
}

/// A relay A with a certificate, and lines about TLS with peer B.
fn relay(own: &Issued, b: &str) -> World {
    World::with(Setup { mm4: mm4(own), b: b.into(), ..Setup::default() })
}

/// Peer B under TLS, by STARTTLS; nothing is said yet.
fn starttls(world: &World, ca: &Authority, own: Option<&Issued>) -> Secured {
    let mut client = world.from_b();
    assert_eq!(client.ask("STARTTLS"), "220 2.0.0 Ready for TLS");
    ca.secure(client, own, &[&TLS13]).unwrap()
}

#[test]
fn s_16_mail_in_the_clear_where_tls_is_required() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let world = relay(&a, &format!("tls = \"required\"\ntls_fingerprints = [\"{}\"]", b.fingerprint));
    let mut client = world.from_b();
    assert!(client.ask("EHLO mms.b.example").contains("250-STARTTLS"));
    assert_eq!(client.ask("MAIL FROM:<>"), "530 5.7.0 Must issue a STARTTLS command first");
    assert_eq!(client.ask("RCPT TO:<x@mms.a.example>"), "530 5.7.0 Must issue a STARTTLS command first");
    // Another peer of the same relay is not asked for it.
    assert!(world.from_c().ask("MAIL FROM:<>").starts_with("250"));
    let Secured { mut client, .. } = starttls(&world, &ca, Some(&b));
    client.say("EHLO mms.b.example");
    let offered = client.expect("250");
    assert!(!offered.contains("STARTTLS"), "{offered}");
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
}

#[test]
fn s_17_a_request_under_tls() {
    let ca = Authority::new();
    let world = relay(&ca.issue("mms.a.example"), "");
    for (n, version) in [&TLS12, &TLS13].into_iter().enumerate() {
        let mut client = world.from_b();
        client.say("MAIL FROM:<>");
        client.expect("250");
        client.say("STARTTLS");
        client.expect("220");
        let Secured { mut client, .. } = ca.secure(client, None, &[version]).unwrap();
        // Transaction and EHLO are forgotten.
        assert!(client.ask("RCPT TO:<x@mms.a.example>").starts_with("503"));
        assert!(client.ask("MAIL FROM:<>").starts_with("503"));
        client.say("EHLO mms.b.example");
        client.expect("250");
        let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{}\r\n--b1--\r\n", "x".repeat(200_000));
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}")).body(body.as_bytes());
        assert!(client.forward(&fwd, &[U1]).starts_with("250"));
        assert_eq!(world.b.mail().must("X-Mms-Request-Status-Code"), "Ok");
        assert!(client.ask("QUIT").starts_with("221"));
    }
    assert_eq!(world.mailbox(U1).len(), 2);
    assert!(world.log().contains("under TLS: TLSv1_2") && world.log().contains("under TLS: TLSv1_3"));
}

#[test]
fn x_09_what_came_behind_starttls_is_never_used() {
    let ca = Authority::new();
    let world = relay(&ca.issue("mms.a.example"), "");
    let mut client = world.from_b();
    client.raw(b"STARTTLS\r\nEHLO mms.b.example\r\nMAIL FROM:<>\r\n");
    assert_eq!(client.reply(), "554 5.5.0 Bytes behind STARTTLS");
    assert!(client.is_closed());
}

/// Configuration of a relay of two, which know each other by certificate.
fn one_of_two(name: &str, prefix: &str, own: &Issued, other: (&str, &str, SocketAddr), tls: &str) -> Setup {
    let (peer, peer_prefix, host) = other;
    let whole = format!(
        "[relay]\ndomain = \"mms.{name}.example\"\ndata = \"data\"\n\n[mm4]\nlisten = [\"{{listen}}\"]\n\
         listen_tls = [\"127.0.0.1:0\"]\n{}\n\
         [limits]\ndisk_free_min = 0\n\n[[local]]\nprefixes = [\"{prefix}\"]\ndock = \"mailbox\"\n\n\
         [[peer]]\nname = \"{peer}\"\ndomains = [\"mms.{peer}.example\"]\nhosts = [\"{host}\"]\nfrom = [\"127.0.0.1\"]\n\
         prefixes = [\"{peer_prefix}\"]\n{tls}\n",
        mm4(own)
    );
    Setup { whole: Some(whole), ..Setup::default() }
}

const A: &str = "+1202555010";
const B: &str = "+1202555011";

/// Relays A and B. `tls` are the lines of A about B, and of B about A.
fn two_relays((a, b): (&Issued, &Issued), (tls_a, tls_b): (&str, &str)) -> (World, World) {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut first = World::with(one_of_two("a", A, a, ("b", B, nowhere), tls_a));
    let at = |world: &World, tls: &str| match tls.contains("implicit") {
        true => world.tls_address.unwrap(),
        false => world.address,
    };
    let second = World::with(one_of_two("b", B, b, ("a", A, at(&first, tls_b)), tls_b));
    *first.setup() = one_of_two("a", A, a, ("b", B, at(&second, tls_a)), tls_a);
    first.reload();
    first.until("the configuration is read", |w| w.log().contains("configuration read again").then_some(()));
    (first, second)
}

/// Both ways: TLS and a client certificate are required, by fingerprint and by authority, by STARTTLS and from the first
/// octet. An MM of 200 KB goes out of memory and, after a restart, out of the file; responses come back.
#[test]
fn two_relays_with_client_certificates() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let must = "tls_client_certificate = \"required\"";
    let pin = |mode: &str, of: &Issued| {
        format!("tls = \"{mode}\"\ntls_fingerprints = [\"{}\"]\n{must}", of.fingerprint)
    };
    let by_ca = |mode: &str, name: &str| {
        format!("tls = \"{mode}\"\ntls_ca = \"{}\"\ntls_name = \"{name}\"\n{must}", ca.ca().display())
    };
    for (tls_a, tls_b) in [
        (pin("required", &b), by_ca("required", "mms.a.example")),
        (by_ca("implicit", "mms.b.example"), pin("implicit", &a)),
    ] {
        let (first, second) = two_relays((&a, &b), (&tls_a, &tls_b));
        let file = first.folder.path().join("sun.png");
        std::fs::write(&file, [b"\x89PNG\r\n\x1a\n".to_vec(), vec![7; 200_000]].concat()).unwrap();
        let mm = first.send(U1, &[B1], &["--text", "hello", "--attach", file.to_str().unwrap()]);
        first.until_state(mm["id"].as_str().unwrap(), 0, "accepted");
        assert_eq!(second.mailbox(B1).len(), 1);
        let mm = second.send(B1, &[U1], &["--text", "hello to you"]);
        second.until_state(mm["id"].as_str().unwrap(), 0, "accepted");
        for log in [first.log(), second.log()] {
            assert!(log.contains("connected TLSv1_3") && log.contains("under TLS: TLSv1_3"), "{log}");
        }
    }
}

/// What waits too long for memory goes from the file through the cipher.
#[test]
fn a_stored_picture_goes_out_under_tls() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let pin = |of: &Issued| format!("tls = \"required\"\ntls_fingerprints = [\"{}\"]", of.fingerprint);
    let (mut first, second) = two_relays((&a, &b), (&pin(&b), &pin(&a)));
    first.json(&["pause", "b"]);
    let file = first.folder.path().join("sun.png");
    let picture: Vec<u8> = (0..300_000u32).map(|i| (i * 31).to_le_bytes()[1]).collect();
    std::fs::write(&file, &picture).unwrap();
    let mm = first.send(U1, &[B1], &["--attach", file.to_str().unwrap()]);
    first.restart();
    first.json(&["resume", "b"]);
    first.until_state(mm["id"].as_str().unwrap(), 0, "accepted");
    let held = second.mailbox(B1).remove(0);
    let got = second.cli(&["mailbox", "get", held["id"].as_str().unwrap()]);
    assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
    let fetched = std::fs::read_dir(second.folder.path()).unwrap().flatten();
    let folders = fetched.filter(|e| e.path().is_dir()).flat_map(|e| std::fs::read_dir(e.path()).unwrap());
    let files = std::fs::read_dir(second.folder.path()).unwrap().chain(folders).flatten();
    let same = files.filter(|e| e.path().is_file()).any(|e| std::fs::read(e.path()).unwrap() == picture);
    assert!(same, "{}", String::from_utf8_lossy(&got.stdout));
}

/// Wait until nothing goes to this peer, and `belino peer` says why in these words.
fn shut(world: &World, peer: &str, why: &str) {
    world.until(&format!("peer {peer} is shut: {why}"), |w| {
        w.json(&["peer", peer])[0]["gate"]["why"]
            .as_str()
            .is_some_and(|text| text.contains(why))
            .then_some(())
    });
}

/// Whom the relay sends to, the words about the errand, and every line that the peer heard.
fn errand(
    own: &Issued,
    tls: &str,
    starttls: Option<&'static str>,
) -> (World, String, Arc<Mutex<Vec<String>>>) {
    let world = relay(own, tls);
    if starttls.is_some() {
        world.b.extensions(&["PIPELINING", "STARTTLS"]);
    }
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let lines = heard.clone();
    world.b.answer(move |line| {
        lines.lock().unwrap().push(line.to_owned());
        starttls.filter(|_| line == "STARTTLS").map(str::to_owned)
    });
    let mm = world.send(U1, &[B1], &["--text", "hello"]);
    let id = mm["id"].as_str().unwrap().to_owned();
    (world, id, heard)
}

#[test]
fn required_tls_never_goes_on_in_the_clear() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let tls = format!("tls = \"required\"\ntls_fingerprints = [\"{}\"]", b.fingerprint);
    for (starttls, why) in [
        (None, "does not offer STARTTLS"),
        (Some("454 4.7.0 not now"), "refused STARTTLS"),
        (Some(""), "connection lost at STARTTLS"),
    ] {
        let (world, id, heard) = errand(&a, &tls, starttls);
        shut(&world, "b", why);
        {
            let heard = heard.lock().unwrap();
            assert!(!heard.iter().any(|line| line.starts_with("MAIL")), "{heard:?}");
        }
        assert_ne!(world.trace(&id)[0]["recipients"][0]["state"], "forwarded");
        // Given up in the end, its history says what stood in the way.
        world.advance("15d");
        let history = world.trace(&id)[0]["history"].to_string();
        assert!(history.contains("last trouble with the peer") && history.contains(why), "{history}");
    }
}

#[test]
fn opportunistic_tls_goes_on_in_the_clear() {
    let ca = Authority::new();
    let a = ca.issue("mms.a.example");
    for starttls in [None, Some("454 4.7.0 not now"), Some("")] {
        let (world, _, heard) = errand(&a, "tls = \"opportunistic\"", starttls);
        assert_eq!(world.b.mail().must("X-Mms-Message-Type"), "MM4_forward.REQ");
        assert_eq!(heard.lock().unwrap().contains(&"STARTTLS".to_owned()), starttls.is_some());
    }
}

/// A certificate that is not the peer's is refused both ways, with words that name it.
#[test]
fn a_wrong_fingerprint_is_refused_both_ways() {
    let ca = Authority::new();
    let (a, b, other) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"), ca.issue("mms.b.example"));
    let pin = |of: &Issued| format!("tls = \"required\"\ntls_fingerprints = [\"{}\"]", of.fingerprint);
    // A's idea of B is another one. Not even where TLS is opportunistic is B told anything then.
    for mode in ["required", "opportunistic"] {
        let (first, second) = two_relays((&a, &b), (&pin(&other).replace("required", mode), &pin(&a)));
        first.send(U1, &[B1], &["--text", "hello"]);
        let why = format!("the peer's certificate {} is none of its tls_fingerprints", b.fingerprint);
        shut(&first, "b", &why);
        assert!(second.all().is_empty());
    }
    // B's idea of A is another one: A is told, and B says why.
    let (first, second) = two_relays((&a, &b), (&pin(&b), &pin(&other)));
    first.send(U1, &[B1], &["--text", "hello"]);
    shut(&first, "b", "554 5.7.1");
    assert!(second.log().contains("turned away under TLS") && second.log().contains(&a.fingerprint));
    assert!(second.all().is_empty());
}

#[test]
fn a_client_certificate_that_is_required_must_be_shown() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let tls = format!(
        "tls = \"required\"\ntls_fingerprints = [\"{}\"]\ntls_client_certificate = \"required\"",
        b.fingerprint
    );
    let world = relay(&a, &tls);
    let mut none = starttls(&world, &ca, None).client;
    let reply = none.ask("EHLO mms.b.example");
    assert!(reply.starts_with("554 5.7.1") && reply.contains("shows no certificate"), "{reply}");
    assert!(none.is_closed());
    let mut right = starttls(&world, &ca, Some(&b)).client;
    right.say("EHLO mms.b.example");
    right.expect("250");
    assert!(right.forward(&Fwd::new(), &[U1]).starts_with("250"));
}

/// A peer without addresses is known by its certificate, wherever it comes from; until then it may say next to nothing.
#[test]
fn l_04_known_by_certificate_alone() {
    let ca = Authority::new();
    let (a, d) = (ca.issue("mms.a.example"), ca.issue("mms.d.example"));
    let more = format!(
        "[[peer]]\nname = \"d\"\ndomains = [\"mms.d.example\"]\nprefixes = [\"+1202555013\"]\n\
         tls = \"required\"\ntls_ca = \"{}\"\ntls_name = \"mms.d.example\"\n",
        ca.ca().display()
    );
    let own = format!("{}listen_tls = [\"127.0.0.1:0\"]\n", mm4(&a));
    let world = World::with(Setup { mm4: own, more, ..Setup::default() });
    let elsewhere = std::net::IpAddr::from([127, 0, 0, 9]);
    let fwd = Fwd::new().set("From", "+12025550130/TYPE=PLMN@mms.d.example");
    for implicit in [false, true] {
        let connect = |own: Option<&Issued>| {
            let mut client = match implicit {
                true => {
                    return ca.secure(Client::connect(elsewhere, world.tls_address.unwrap()), own, &[&TLS13]);
                }
                false => Client::greeted(elsewhere, world.address),
            };
            assert!(client.ask("MAIL FROM:<>").starts_with("530 5.7.0"));
            assert!(client.ask("RCPT TO:<x@mms.a.example>").starts_with("530 5.7.0"));
            assert!(client.ask("STARTTLS").starts_with("220"));
            ca.secure(client, own, &[&TLS13])
        };
        let mut client = connect(Some(&d)).unwrap().client;
        if implicit {
            client.expect("220");
        }
        client.say("EHLO mms.d.example");
        client.expect("250");
        let fwd = fwd.clone().set("X-Mms-Message-ID", &format!("mm-{implicit}"));
        assert!(client.mail("+12025550130@mms.d.example", &[&at_a(U1)], &fwd.mail()).starts_with("250"));
        for own in [None, Some(&ca.issue("mms.e.example"))] {
            let mut client = connect(own).unwrap().client;
            if !implicit {
                assert!(client.ask("MAIL FROM:<>").starts_with("503"));
                client.say("EHLO mms.d.example");
            }
            client.expect("554 5.7.1");
            assert!(client.is_closed());
        }
    }
    let origins: Vec<_> = world.all().iter().map(|mm| mm["origin"]["peer"].clone()).collect();
    assert_eq!(origins, ["d", "d"]);
}

#[test]
fn a_new_certificate_is_shown_while_old_sessions_stand() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("mms.a.example"), ca.issue("mms.a.example"));
    let world = relay(&old, "");
    let mut standing = starttls(&world, &ca, None);
    assert_eq!(format!("sha256:{}", standing.server()), old.fingerprint);
    // One file alone does not fit the other: the old pair stays.
    std::fs::copy(&new.certificate, &old.certificate).unwrap();
    world.advance("10s");
    assert_eq!(format!("sha256:{}", starttls(&world, &ca, None).server()), old.fingerprint);
    assert!(world.log().contains("is not the key of the certificate"), "{}", world.log());
    std::fs::copy(&new.key, &old.key).unwrap();
    world.advance("10s");
    assert_eq!(format!("sha256:{}", starttls(&world, &ca, None).server()), new.fingerprint);
    standing.client.say("EHLO mms.b.example");
    standing.client.expect("250");
    assert!(standing.client.forward(&Fwd::new(), &[U1]).starts_with("250"));
}

/// An expired certificate is named as such, by `belino peer` on one side and in the log of who shows it.
#[test]
fn an_expired_certificate_names_itself() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue_until("mms.b.example", 2020));
    let by_ca =
        |name: &str| format!("tls = \"required\"\ntls_ca = \"{}\"\ntls_name = \"{name}\"", ca.ca().display());
    let (first, second) = two_relays((&a, &b), (&by_ca("mms.b.example"), &by_ca("mms.a.example")));
    first.send(U1, &[B1], &["--text", "hello"]);
    let why = "the peer's certificate has expired: it was valid until 2020-01-01";
    shut(&first, "b", why);
    second.until("the other side says so, too", |w| {
        w.log().contains("our certificate has expired").then_some(())
    });
    // B as a client: A turns it away with the same words.
    second.send(B1, &[U1], &["--text", "hello"]);
    shut(&second, "a", "certificate has expired: it was valid until 2020");
    assert!(first.mailbox(U1).is_empty());
}

/// Files that are wrong, or that others may read, are found before anything starts.
#[test]
fn wrong_key_files_are_refused_at_the_start() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    let world = World::new();
    let check = |certificate: &std::path::Path, key: &std::path::Path| {
        let text = format!(
            "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[mm4]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            certificate.display(),
            key.display()
        );
        std::fs::write(world.folder.path().join("belino.toml"), text).unwrap();
        let output = world.cli(&["check"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check(&a.certificate, &a.key).0);
    let (fine, said) = check(&a.certificate, &b.key);
    assert!(!fine && said.contains("is not the key of the certificate"), "{said}");
    let (fine, said) = check(&a.key, &a.key);
    assert!(!fine && said.contains("holds no certificate"), "{said}");
    let loose = world.folder.path().join("loose.key");
    std::fs::copy(&a.key, &loose).unwrap();
    std::fs::set_permissions(&loose, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (fine, said) = check(&a.certificate, &loose);
    assert!(!fine && said.contains("others may read it") && !said.contains("PRIVATE"), "{said}");
}
