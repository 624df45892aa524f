//! `AUTH`, both ways: peers that have to log in, and peers that we log in to (cases S-18, S-19).

use crate::certificates::{Authority, only_for_owner};
use crate::world::*;
use rustls::version::TLS13;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// NUL, `b-at-a`, NUL, `correct horse`.
const RIGHT: &str = "AGItYXQtYQBjb3JyZWN0IGhvcnNl";
/// NUL, `b-at-a`, NUL, `correct mouse`.
const WRONG: &str = "AGItYXQtYQBjb3JyZWN0IG1vdXNl";

/// A file with a password.
struct Password {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn password() -> Password {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "correct horse\n").unwrap();
    only_for_owner(&path);
    Password { _folder: folder, path }
}

/// Relay A, where B has to log in; more lines about B.
fn asking(password: &Password, more: &str) -> World {
    let b = format!("auth_user = \"b-at-a\"\nauth_password_file = \"{}\"\n{more}", password.path.display());
    World::with(Setup { b, log: "trace", ..Setup::default() })
}

#[test]
fn s_18_auth_plain() {
    let password = password();
    let world = asking(&password, "");
    let mut client = world.from_b();
    assert!(client.ask("EHLO mms.b.example").contains("250-AUTH PLAIN LOGIN"));
    assert_eq!(client.ask("MAIL FROM:<>"), "530 5.7.0 Authentication required");
    assert_eq!(client.ask(&format!("AUTH PLAIN {WRONG}")), "535 5.7.8 Authentication credentials invalid");
    assert_eq!(client.ask("MAIL FROM:<>"), "530 5.7.0 Authentication required");
    assert_eq!(client.ask(&format!("AUTH PLAIN {RIGHT}")), "235 2.7.0 Authentication succeeded");
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
    // Another EHLO does not undo it.
    client.say("EHLO mms.b.example");
    client.expect("250");
    assert!(client.forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));
    // Another peer neither sees nor needs it.
    let mut other = world.from_c();
    assert!(!other.ask("EHLO mms.c.example").contains("AUTH"));
    assert!(other.ask("MAIL FROM:<>").starts_with("250"));
    // Guessing ends soon.
    let mut guesser = world.from_b();
    let replies: Vec<String> = (0..4).map(|_| guesser.ask(&format!("AUTH PLAIN {WRONG}"))).collect();
    assert!(replies[2].starts_with("535") && replies[3].starts_with("421"), "{replies:?}");
    assert!(guesser.is_closed());
    let log = world.log();
    assert!(
        log.contains("wrong name or password") && !log.contains("horse") && !log.contains(RIGHT),
        "{log}"
    );
}

#[test]
fn s_19_auth_login() {
    let password = password();
    let world = asking(&password, "");
    let mut client = world.from_b();
    assert_eq!(client.ask("AUTH LOGIN"), "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("*"), "501 5.7.0 Authentication cancelled");
    assert_eq!(client.ask("AUTH LOGIN"), "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("Yi1hdC1h"), "334 UGFzc3dvcmQ6");
    assert_eq!(client.ask("Y29ycmVjdCBob3JzZQ=="), "235 2.7.0 Authentication succeeded");
    assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
}

/// Where TLS is required no password is asked for in the clear; what was said before TLS is forgotten.
#[test]
fn no_password_in_the_clear_where_tls_is_required() {
    let (ca, password) = (Authority::new(), password());
    let (a, b) = (ca.issue("mms.a.example"), ca.issue("mms.b.example"));
    for (mode, in_the_clear) in [("required", false), ("opportunistic", true)] {
        let mm4 = format!("certificate = \"{}\"\nkey = \"{}\"\n", a.certificate.display(), a.key.display());
        let b_lines = format!(
            "auth_user = \"b-at-a\"\nauth_password_file = \"{}\"\ntls = \"{mode}\"\ntls_fingerprints = [\"{}\"]",
            password.path.display(),
            b.fingerprint
        );
        let world = World::with(Setup { mm4, b: b_lines, ..Setup::default() });
        let mut client = world.from_b();
        assert_eq!(client.ask("EHLO mms.b.example").contains("AUTH"), in_the_clear);
        let reply = client.ask(&format!("AUTH PLAIN {RIGHT}"));
        assert!(reply.starts_with(if in_the_clear { "235" } else { "530 5.7.0" }), "{reply}");
        client.say("STARTTLS");
        client.expect("220");
        let mut client = ca.secure(client, Some(&b), &[&TLS13]).unwrap().client;
        assert!(client.ask("EHLO mms.b.example").contains("250-AUTH PLAIN LOGIN"));
        assert_eq!(client.ask("MAIL FROM:<>"), "530 5.7.0 Authentication required");
        assert!(client.ask(&format!("AUTH PLAIN {RIGHT}")).starts_with("235"));
        assert!(client.forward(&Fwd::new(), &[U1]).starts_with("250"));
    }
}

/// Relay A, which logs in to B; every line that B hears.
fn logging_in(password: &Password, more: &str, offered: &[&str]) -> (World, Arc<Mutex<Vec<String>>>) {
    let b = format!("login_user = \"b-at-a\"\nlogin_password_file = \"{}\"\n{more}", password.path.display());
    let world = World::with(Setup { b, log: "trace", ..Setup::default() });
    world.b.extensions(offered);
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let lines = heard.clone();
    world.b.answer(move |line| {
        lines.lock().unwrap().push(line.to_owned());
        match line {
            "AUTH LOGIN" => Some("334 VXNlcm5hbWU6".into()),
            "Yi1hdC1h" => Some("334 UGFzc3dvcmQ6".into()),
            "Y29ycmVjdCBob3JzZQ==" => Some("235 2.7.0 ok".into()),
            line if line == format!("AUTH PLAIN {RIGHT}") => Some("235 2.7.0 ok".into()),
            line if line.starts_with("AUTH") => Some("535 5.7.8 no".into()),
            _ => None,
        }
    });
    (world, heard)
}

#[test]
fn we_log_in_by_plain_else_by_login() {
    let password = password();
    for (offered, first) in
        [(["PIPELINING", "AUTH LOGIN PLAIN"], "AUTH PLAIN"), (["PIPELINING", "AUTH LOGIN"], "AUTH LOGIN")]
    {
        let (world, heard) = logging_in(&password, "", &offered);
        world.send(U1, &[B1], &["--text", "hello"]);
        assert_eq!(world.b.mail().must("X-Mms-Message-Type"), "MM4_forward.REQ");
        let heard = heard.lock().unwrap();
        let at = |begins: &str| heard.iter().position(|line| line.starts_with(begins));
        assert!(at(first).is_some() && at(first) < at("MAIL"), "{heard:?}");
        let log = world.log();
        assert!(log.contains("AUTH, not shown") && !log.contains(RIGHT) && !log.contains("horse"), "{log}");
        assert!(!log.contains("Y29ycmVjdCBob3JzZQ"), "{log}");
    }
}

/// A login that cannot be is trouble of the link: the MM waits, and `belino peer` says why.
#[test]
fn a_login_that_cannot_be_holds_the_mm_up() {
    let (password, other) = (password(), password());
    std::fs::write(&other.path, "correct mouse").unwrap();
    for (password, more, offered, why) in [
        (&other, "", &["AUTH PLAIN"][..], "refused our name and password: 535 5.7.8"),
        (&password, "", &["PIPELINING"][..], "offers neither AUTH PLAIN nor AUTH LOGIN"),
        (&password, "tls = \"opportunistic\"", &["AUTH PLAIN"][..], "the password is not said in the clear"),
    ] {
        let (world, heard) = logging_in(password, more, offered);
        world.send(U1, &[B1], &["--text", "hello"]);
        world.until(why, |w| {
            w.json(&["peer", "b"])[0]["gate"]["why"]
                .as_str()
                .is_some_and(|text| text.contains(why))
                .then_some(())
        });
        let heard = heard.lock().unwrap();
        assert!(!heard.iter().any(|line| line.starts_with("MAIL") || line.contains(RIGHT)), "{heard:?}");
    }
}

/// A password file that others may read, or that is none, is refused; nothing of it is shown.
#[test]
fn threat_22_passwords_are_for_their_owner_only() {
    let password = password();
    let world = asking(&password, "");
    let check = || {
        let output = world.cli(&["check"]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (fine, said) = check();
    assert!(fine && said.contains("has to log in as b-at-a") && !said.contains("horse"), "{said}");
    std::fs::set_permissions(&password.path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let (fine, said) = check();
    assert!(!fine && said.contains("auth_password_file") && said.contains("others may read it"), "{said}");
    only_for_owner(&password.path);
    std::fs::write(&password.path, "horse").unwrap();
    let (fine, said) = check();
    assert!(!fine && said.contains("holds 5 octets") && !said.contains("horse"), "{said}");
}
