//! Addresses and routes as the program takes and shows them (cases ).

use crate::receiving::id_of;
use crate::world::*;
use serde_json::Value;

fn route(world: &World, address: &str) -> Value {
    world.json(&["route", address]).remove(0)
}

/// Where a route leads: `mailbox`, a peer's name, or `nowhere`.
fn leads(route: &Value) -> &str {
    route["peer"].as_str().or(route["to"].as_str()).unwrap()
}

/// forms of one number, at the command line and in RCPT.
#[test]
fn a_01_a_02_forms_of_a_number() {
    let world = World::new();
    let forms = [
        "+12025550100",
        "+12025550100/TYPE=PLMN",
        "+12025550100/type=plmn@mms.a.example",
        "+1.202.555.0100/TYPE=PLMN",
        "+1-202-555-0100",
    ];
    for form in forms {
        let found = route(&world, form);
        assert_eq!(
            (&found["address"]["kind"], &found["address"]["value"]),
            (&"plmn".into(), &U1.into()),
            "{form}"
        );
        assert_eq!(leads(&found), "mailbox", "{form}");
    }
    let mut client = world.from_b();
    for (n, form) in forms.iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        id_of(&client.mail("", &[form], &fwd.mail()));
    }
    assert_eq!(world.mailbox(U1).len(), forms.len());
    for (form, kind) in [
        ("bob@mms.b.example", "email"),
        ("4455", "short-code"),
        ("INFO", "alpha-code"),
        ("192.0.2.30/TYPE=IPv4", "ipv4"),
        ("2001:0DB8:0000:0000:0000:0000:0000:0001/TYPE=IPv6", "ipv6"),
    ] {
        assert_eq!(route(&world, form)["address"]["kind"], kind, "{form}");
    }
    let wrong = world.cli(&["route", "+"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("without digits"));
}

/// a number plan, ours for `route` and the peer's for RCPT.
#[test]
fn a_03_number_plans() {
    let plan = "country_code = \"1\"\ntrunk_prefix = \"1\"\ninternational_prefixes = [\"011\"]\n";
    let inline =
        "numbers = { country_code = \"1\", trunk_prefix = \"1\", international_prefixes = [\"011\"] }";
    let world =
        World::with(Setup { more: format!("[numbers]\n{plan}"), b: inline.into(), ..Setup::default() });
    let forms = ["2025550100", "12025550100", "01112025550100"];
    for form in forms {
        let found = route(&world, form);
        assert_eq!((&found["address"]["value"], leads(&found)), (&U1.into(), "mailbox"), "{form}");
    }
    let abroad = route(&world, "011447700900123");
    assert_eq!((&abroad["address"]["value"], leads(&abroad)), (&"+447700900123".into(), "nowhere"));
    let mut client = world.from_b();
    for (n, form) in forms.iter().enumerate() {
        let fwd = Fwd::ids(&format!("mm-{n}"), &format!("tx-{n}"));
        let reply = client.mail("", &[&format!("{form}@mms.a.example")], &fwd.mail());
        assert_eq!(world.trace(&id_of(&reply))[0]["recipients"][0]["address"]["value"], U1, "{form}");
    }
    assert_eq!(world.mailbox(U1).len(), 3);
    // Peer C has no plan: what it writes without `+` is nobody we know.
    let reply = world.from_c().mail("", &["2025550100@mms.a.example"], &Fwd::new().mail());
    assert_eq!(world.trace(&id_of(&reply))[0]["recipients"][0]["state"], "refused");
    let status = world.c.mail().must("X-Mms-Request-Status-Code");
    assert_eq!(status, "Error-sending-address-unresolved");
}

/// what is too long to be a path is refused at once, and the session goes on.
#[test]
fn a_04_over_long_paths() {
    let world = World::new();
    let mut client = world.from_b();
    assert!(client.ask("MAIL FROM:<>").starts_with("250"));
    let local = |n: usize| format!("RCPT TO:<{}@mms.a.example>", "l".repeat(n));
    let path = |n: usize| {
        let labels = format!("{}.", "d".repeat(50)).repeat(4);
        format!("RCPT TO:<{}@{labels}{}>", "l".repeat(10), "e".repeat(n - 13 - labels.len()))
    };
    assert!(client.ask(&local(65)).starts_with("553"));
    assert!(client.ask(&path(257)).starts_with("553"));
    assert!(client.ask("RCPT TO:<no path@mms.a.example>").starts_with("501"));
    assert!(client.ask("RCPT TO:<>").starts_with("501"));
    assert!(client.ask(&local(64)).starts_with("250"), "law 7: whatever is a path is taken");
    assert!(client.ask(&path(256)).starts_with("250"));
    assert!(client.ask(&format!("RCPT TO:<{}>", at_a(U1))).starts_with("250"));
    client.say("DATA");
    client.expect("354");
    client.raw(&Fwd::new().mail());
    client.raw(b".\r\n");
    let id = id_of(&client.reply());
    assert_eq!(world.trace(&id)[0]["recipients"].as_array().unwrap().len(), 3);
    assert_eq!(world.mailbox(U1).len(), 1);
}

/// an e-mail address goes to the peer of its domain, and nowhere else.
#[test]
fn a_05_a_06_mail_addresses() {
    let world = World::new();
    assert_eq!(leads(&route(&world, "bob@mms.b.example")), "b");
    assert_eq!(leads(&route(&world, "bob@MMS.B.EXAMPLE")), "b");
    let elsewhere = route(&world, "bob@elsewhere.example");
    assert_eq!(leads(&elsewhere), "nowhere");
    assert!(elsewhere["steps"].to_string().contains("MM3"), "{elsewhere}");
    assert_eq!(leads(&route(&world, "bob@mms.a.example")), "nowhere");
}

/// the longest prefix wins; a denied one does not count.
#[test]
fn a_07_a_08_prefixes() {
    let b = format!("deny = [\"{B2}\"]");
    let more = "\n[[peer]]\nname = \"d\"\ndomains = [\"mms.d.example\"]\nhosts = [\"127.0.0.4:25\"]\nprefixes = [\"+1202555\"]\n";
    let world = World::with(Setup { b, more: more.into(), ..Setup::default() });
    for (number, to) in
        [(B1, "b"), (C1, "c"), ("+12025550190", "d"), (B2, "d"), (U1, "mailbox"), ("+12035550100", "nowhere")]
    {
        let found = route(&world, number);
        assert_eq!(leads(&found), to, "{number}: {found}");
        assert!(!found["steps"].as_array().unwrap().is_empty(), "each route says why");
    }
    // Without a running relay the configuration alone answers the same.
    let mut world = world;
    assert!(world.stop());
    assert_eq!(leads(&route(&world, B1)), "b");
}

/// no route. The submission is refused or its recipient fails; nothing is sent.
#[test]
fn a_09_no_route() {
    let world = World::new();
    let output = world.cli(&["--json", "send", "--from", U1, "--to", "+447700900123", "--text", "hello"]);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no route"), "{said}");
    // A later one goes out, and is the only one that does.
    world.send(U1, &[B1], &["--text", "hello"]);
    assert_eq!(world.b.mail().to, ["+12025550110/TYPE=PLMN@mms.b.example"]);
    assert_eq!((world.b.mails().len(), world.c.connections()), (0, 0));
}
