//! `belino reload`: another configuration applies as a whole, or not at all, and no session ends for it.

use crate::world::*;

fn rewrite(world: &World, from: &str, to: &str) {
    let file = world.folder.path().join("belino.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn peers_routes_and_limits_apply_at_once_and_no_session_ends() {
    let world = World::new();
    let mut client = world.from_b();
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    // The prefix goes from C to B.
    rewrite(&world, "\"+1202555012\"", "\"+1202555013\"");
    rewrite(&world, "\"+1202555011\"", "\"+1202555011\", \"+1202555012\"");
    let output = world.cli(&["reload"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("holds from now on") && !said.contains("next start"),
        "{said}"
    );
    assert_eq!(world.json(&["route", C1])[0]["peer"], "b");
    // The session that stood goes on.
    assert!(client.forward(&Fwd::ids("mm-2", "tx-2"), &[U1]).starts_with("250"));
    // What is looked at when it starts only is named.
    rewrite(&world, "[limits]\n", "[metrics]\nlisten = [\"127.0.0.1:0\"]\n[limits]\n");
    assert_eq!(world.json(&["reload"])[0]["at_next_start"], serde_json::json!(["[metrics] listen"]));
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let world = World::new();
    let mut client = world.from_b();
    rewrite(&world, "\"+1202555012\"", "\"+1202555013\"");
    rewrite(&world, "prefixes = [\"+1202555011\"]", "prefixs = [\"+1202555011\"]");
    // The program that is asked reads the file first; the relay says the same.
    for args in [&["reload"][..], &["--data", "data", "reload"]] {
        let output = world.cli(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        for word in ["nothing was changed", "line ", "did you mean \"prefixes\""] {
            assert!(said.contains(word), "{said}");
        }
    }
    assert_eq!(world.json(&["--data", "data", "route", C1])[0]["peer"], "c");
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    // It stands in the audit log, with how it came out.
    let audit = std::fs::read_to_string(world.folder.path().join("data/audit.log")).unwrap();
    assert!(
        audit.lines().any(|line| line.contains("reload") && line.contains("nothing was changed")),
        "{audit}"
    );
}

#[test]
fn deadlines_of_outgoing_connections_follow() {
    let world = World::with(Setup { limits: "keep = \"2h\"".into(), ..Setup::default() });
    let quits = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let heard = quits.clone();
    world.b.answer(move |line| {
        if line == "QUIT" {
            heard.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        None
    });
    rewrite(&world, "keep = \"2h\"", "keep = \"1m\"");
    assert!(world.cli(&["reload"]).status.success());
    world.send(U1, &[B1], &["--text", "hello"]);
    world.b.mail();
    world.advance("2m");
    world.until("the unused connection ends", |_| {
        (quits.load(std::sync::atomic::Ordering::SeqCst) == 1).then_some(())
    });
}
