//! Two relays that run, and a foreign MTA between them.
//!
//! What arrives is compared, octet for octet, with what the same relay wrote for a scripted peer.

use crate::world::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

/// The configuration of a relay that knows one other relay and the scripted peer C.
fn relay(own: (&str, &str), other: (&str, &str), host: SocketAddr, from: &str) -> Setup {
    let ((name, prefix), (peer, peer_prefix)) = (own, other);
    let whole = format!(
        "[relay]\ndomain = \"mms.{name}.example\"\ndata = \"data\"\n\n[mm4]\nlisten = [\"{{listen}}\"]\n\n\
         [limits]\ndisk_free_min = 0\n\n[[local]]\nprefixes = [\"{prefix}\"]\ndock = \"mailbox\"\n\n\
         [[peer]]\nname = \"{peer}\"\ndomains = [\"mms.{peer}.example\"]\nhosts = [\"{host}\"]\nfrom = [\"{from}\"]\n\
         prefixes = [\"{peer_prefix}\"]\n\n\
         [[peer]]\nname = \"c\"\ndomains = [\"mms.c.example\"]\nhosts = [\"{{c}}\"]\nprefixes = [\"+1202555012\"]\n"
    );
    Setup { whole: Some(whole), real_time: true, ..Setup::default() }
}

const A: (&str, &str) = ("a", "+1202555010");
const B: (&str, &str) = ("b", "+1202555011");

/// Relays A and B, each reaching the other at `via(its address)`, recognised by the address `from`.
fn two_relays(via: impl Fn(SocketAddr) -> SocketAddr, from: &str) -> (World, World) {
    // A's address must be known to B and B's to A: A starts twice.
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut a = World::with(relay(A, B, nowhere, from));
    let b = World::with(relay(B, A, via(a.address), from));
    *a.setup() = relay(A, B, via(b.address), from);
    a.restart();
    (a, b)
}

/// Octets that mail could spoil.
fn picture(seed: u8) -> Vec<u8> {
    let mut octets = b"\x89PNG\r\n\x1a\n\0\r\n.\r\n..\r\nFrom here\n.\n".to_vec();
    octets.extend((0..60_000u32).map(|i| (i * 31).to_le_bytes()[1] ^ seed));
    octets
}

/// A user of one relay sends an MM with a picture to a user of the other: it arrives as it left, the response comes
/// back, both ledgers agree. `hops` are the `Received` fields that it collects under way.
fn brings(from: &World, sender: &str, to: &World, recipient: &str, hops: usize) {
    let octets = picture(sender.as_bytes()[sender.len() - 2]);
    let file = from.folder.path().join("sun.png");
    std::fs::write(&file, &octets).unwrap();
    let text = "Grüße\n.\nFrom here to there\n..\n";
    let subject = "Grüße aus der Ferne, in einem Betreff, der über mehr als eine Zeile geht und gehen soll";
    let more = ["--text", text, "--subject", subject, "--attach", file.to_str().unwrap(), "--read-reply"];
    let mm = from.send(sender, &[recipient, C1], &more);
    let (id, message_id) = (mm["id"].as_str().unwrap(), mm["message_id"].as_str().unwrap());

    // The response has come back, and said Ok about the one recipient that it may speak of.
    let accepted = from.until_state(id, 0, "accepted");
    assert_eq!(accepted["status"], "Ok");

    // The user there has it, whole; read without a single allowance.
    let output = to.cli(&["mailbox", "get", message_id, "--recipient", recipient, "--raw"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arrived = String::from_utf8(output.stdout).unwrap();
    let path = to.folder.path().join("arrived");
    std::fs::write(&path, &arrived).unwrap();
    let mail = to.json(&["decode", path.to_str().unwrap()]).remove(0);
    assert_eq!((&mail["violations"], &mail["tolerances"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!((&mail["message_id"], &mail["subject"]), (&message_id.into(), &subject.into()));
    assert_eq!(mail["transaction_id"], mm["transactions"][0]["transaction_id"]);
    assert_eq!(mail["originator"]["value"], sender);
    let parts = mail["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts.iter().map(|p| p["content_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["application/smil", "image/png", "text/plain"]);
    let sum: String = Sha256::digest(&octets).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!((&parts[1]["sha256"], &parts[1]["size"]), (&sum.into(), &octets.len().into()));
    assert_eq!(parts[2]["text"].as_str().unwrap().replace("\r\n", "\n"), text);
    let there = to.trace(message_id).remove(0);
    let response = &there["responses"][0];
    assert_eq!((&response["status"], &response["to"]), (&"Ok".into(), &mm_system(from).into()));
    to.until("the response is settled there, too", |w| {
        (w.trace(message_id)[0]["responses"][0]["owed"] == false).then_some(())
    });

    // Octet for octet what was written for peer C, but for what belongs to the one mail, and the trace.
    let left = from.c.mail().content;
    let (trace, arrived) = without(&arrived, &["Received"]);
    assert_eq!(trace.len(), hops, "{trace:?}");
    let own = ["X-Mms-Transaction-ID", "Message-ID"];
    let (ids, arrived) = without(&arrived, &own);
    assert_eq!(ids.len(), 2);
    assert_eq!(arrived, without(&left, &own).1);
}

fn mm_system(world: &World) -> String {
    let config = std::fs::read_to_string(world.folder.path().join("belino.toml")).unwrap();
    let domain = config.split('"').nth(1).unwrap().to_owned();
    format!("system-user@{domain}")
}

/// A mail's fields of these names, folds included, and the mail without them.
fn without(mail: &str, names: &[&str]) -> (Vec<String>, String) {
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    let (mut taken, mut kept): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut taking = false;
    for line in head.split("\r\n") {
        if !line.starts_with([' ', '\t']) {
            taking = names.iter().any(|n| line.strip_prefix(n).is_some_and(|rest| rest.starts_with(':')));
            if taking { &mut taken } else { &mut kept }.push(String::new());
        }
        let field = if taking { taken.last_mut() } else { kept.last_mut() };
        field.unwrap().push_str(&format!("{line}\r\n"));
    }
    (taken, format!("{}\r\n{body}", kept.concat()))
}

/// Two relays, each with its configuration and folder, bring each other a picture.
#[test]
fn two_relays_bring_each_other_a_picture() {
    let (a, b) = two_relays(|address| address, "127.0.0.1");
    brings(&a, U1, &b, B1, 0);
    brings(&b, B2, &a, U2, 0);
}

/// The same through Postfix in both directions: foreign SMTP on both sides of each relay, requests and responses.
#[test]
fn two_relays_bring_each_other_a_picture_through_postfix() {
    if !has("postfix", "-y --no-install-recommends postfix") || !is_root("Postfix") {
        return;
    }
    let address = TcpListener::bind("127.0.0.4:0").unwrap().local_addr().unwrap();
    let (a, b) = two_relays(|_| address, "127.0.0.4");
    let _postfix = Postfix::start(address, &[("mms.a.example", a.address), ("mms.b.example", b.address)]);
    brings(&a, U1, &b, B1, 1);
    brings(&b, B2, &a, U2, 1);
    // Refusals come back, too: what B does not serve fails at A with B's words.
    let id = a.send(U1, &["+12025550119999", "nonsense@mms.b.example"], &["--text", "x"]);
    let failed = a.until_state(id["id"].as_str().unwrap(), 1, "failed");
    assert_eq!(failed["status"], "Error-sending-address-unresolved");
}

/// Ends of content as a lenient reader may see them.
const LOOKALIKES: [&str; 9] =
    ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\n.\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n"];

/// Postfix reads what a hostile sender says, and says it again in its own way: as many MMs arrive as it has sent mails, no
/// matter which ends of content it believes. What it makes of bare CRs and NULs is refused, and stays one mail for it, too.
#[test]
fn threat_01_nothing_is_smuggled_behind_postfix() {
    if !has("postfix", "-y --no-install-recommends postfix") || !is_root("Postfix") {
        return;
    }
    let address = TcpListener::bind("127.0.0.4:0").unwrap().local_addr().unwrap();
    let a = World::with(relay(A, B, "127.0.0.1:9".parse().unwrap(), "127.0.0.4"));
    let postfix = Postfix::start(address, &[("mms.a.example", a.address)]);
    let mut queued = 0;
    for (k, lookalike) in LOOKALIKES.iter().enumerate() {
        let envelope =
            format!("MAIL FROM:<{B1}/TYPE=PLMN@mms.b.example>\r\nRCPT TO:<{}>\r\nDATA\r\n", at_a(U1));
        let mail = |name: &str| {
            let fwd =
                Fwd::ids(&format!("{name}-{k}"), &format!("tx-{name}-{k}")).set("X-Mms-Ack-Request", "No");
            String::from_utf8(fwd.mail()).unwrap()
        };
        let (open, forged) = (mail("open"), mail("forged"));
        let at = open.rfind("hello").unwrap();
        let open = format!("{}{lookalike}{envelope}{forged}{}", &open[..at], &open[at..]);
        let said = format!("EHLO mms.b.example\r\n{envelope}{open}.\r\nQUIT\r\n");
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.write_all(said.as_bytes()).unwrap();
        let mut replies = String::new();
        // It may hang up in the middle.
        let _ = socket.read_to_string(&mut replies);
        queued += replies.matches("queued as").count();
    }
    assert!(queued >= LOOKALIKES.len() - 2, "{queued} mails\n{}", postfix.log());
    let ended = |status: &str| {
        let log = postfix.log();
        let lines = log.lines().filter(|line| line.contains("@mms.a.example>"));
        lines.filter(|line| line.contains(&format!("status={status}"))).count()
    };
    // Each mail that it has begun to queue has left the queue.
    a.until("Postfix is done with all of them", |_| {
        let log = postfix.log();
        let ids = |of: &str| -> BTreeSet<String> {
            let lines = log.lines().filter(|line| line.contains(of));
            lines.filter_map(|line| line.split(": ").nth(1).map(str::to_owned)).collect()
        };
        (ids(": message-id=") == ids(": removed")).then_some(())
    });
    let arrived = a.all().len();
    assert_eq!(arrived, ended("sent"), "{}", postfix.log());
    assert!(arrived > 0);
}

pub fn is_root(what: &str) -> bool {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        assert!(std::env::var_os("BELINO_NO_SKIP").is_none(), "{what}: only root can start it");
        eprintln!("SKIPPED: {what}: only root can start it; run this test as root");
    }
    root
}

/// An instance of Postfix of its own: its own configuration, queue and log, one port.
struct Postfix {
    folder: tempfile::TempDir,
}

impl Postfix {
    /// It listens at this address, connects from the same one, and brings each domain to its relay.
    fn start(address: SocketAddr, domains: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        // Its processes are those of a user of their own.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        for part in ["config", "queue", "data"] {
            std::fs::create_dir(path.join(part)).unwrap();
            std::fs::set_permissions(path.join(part), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(Command::new("chown").arg("postfix").arg(path.join("data")).status().unwrap().success());
        let transport: Vec<String> =
            domains.iter().map(|(d, to)| format!("{d}=smtp:[{}]:{}", to.ip(), to.port())).collect();
        let names: Vec<&str> = domains.iter().map(|(d, _)| *d).collect();
        let (folder_path, ip) = (path.display(), address.ip());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {folder_path}/queue\ndata_directory = {folder_path}/data\n\
             maillog_file = {folder_path}/log\nmaillog_file_prefixes = {folder_path}\nmyhostname = mta.example\n\
             inet_protocols = ipv4\nsmtp_bind_address = {ip}\nmynetworks = 127.0.0.0/8\nmydestination =\n\
             alias_maps =\nlocal_recipient_maps =\nrelay_domains = {}\ntransport_maps = inline:{{ {} }}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_peername_lookup = no\n\
             smtp_host_lookup = native\nsmtp_dns_support_level = disabled\nsmtp_tls_security_level = none\n",
            names.join(", "),
            transport.join(", "),
        );
        std::fs::write(path.join("config/main.cf"), main).unwrap();
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
             trace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
             smtp unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
             anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
        let master = format!("{address} inet n - n - - smtpd\n{services}");
        std::fs::write(path.join("config/master.cf"), master).unwrap();
        // From here on it is stopped, whatever happens.
        let postfix = Self { folder };
        assert!(postfix.control("start"), "Postfix did not start\n{}", postfix.log());
        postfix
    }

    fn control(&self, verb: &str) -> bool {
        let config = self.folder.path().join("config");
        let program = if Path::new("/usr/sbin/postfix").exists() { "/usr/sbin/postfix" } else { "postfix" };
        Command::new(program).arg("-c").arg(config).arg(verb).output().unwrap().status.success()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of Postfix ----\n{}", self.log());
        }
        if !self.control("stop") {
            self.control("abort");
        }
    }
}

/// One of three relays in a ring: it gets MMs from the one before and sends them to the one behind, and thinks that the
/// number 019 lives there.
fn in_a_ring(name: &str, before: (&str, SocketAddr), behind: (&str, SocketAddr)) -> Setup {
    let own = ["a", "b", "c"].iter().position(|n| *n == name).unwrap();
    let address = |name: &str| format!("127.0.0.{}", 41 + (name.as_bytes()[0] - b'a'));
    let source = address(name);
    let peer = |(peer, host): (&str, SocketAddr), more: &str| {
        format!(
            "[[peer]]\nname = \"{peer}\"\ndomains = [\"mms.{peer}.example\"]\nhosts = [\"{host}\"]\nsource = \"{source}\"\n\
             from = [\"{}\"]\n{more}\n",
            address(peer)
        )
    };
    let whole = format!(
        "[relay]\ndomain = \"mms.{name}.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"{{listen}}\"]\n[limits]\ndisk_free_min = 0\n\
         [[local]]\nprefixes = [\"+120255501{own}\"]\ndock = \"mailbox\"\n{}{}",
        peer(before, &format!("transit = [\"{}\"]", behind.0)),
        peer(behind, "prefixes = [\"+1202555019\"]"),
    );
    Setup { whole: Some(whole), real_time: true, ..Setup::default() }
}

/// Threat 13: three relays send a number round. It dies when it comes by for the second time; each one hears so once, and
/// then there is silence.
#[test]
fn three_relays_that_send_a_number_round() {
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut a = World::with(in_a_ring("a", ("c", nowhere), ("b", nowhere)));
    let mut b = World::with(in_a_ring("b", ("a", a.address), ("c", nowhere)));
    let c = World::with(in_a_ring("c", ("b", b.address), ("a", a.address)));
    *a.setup() = in_a_ring("a", ("c", c.address), ("b", b.address));
    *b.setup() = in_a_ring("b", ("a", a.address), ("c", c.address));
    a.restart();
    b.restart();
    let mm = a.send("+12025550100", &["+12025550190"], &["--text", "round and round"]);
    let (id, message_id) = (mm["id"].as_str().unwrap(), mm["message_id"].as_str().unwrap().to_owned());
    let recipient = a.until_state(id, 0, "failed");
    assert_eq!(recipient["status"], "Error-unspecified", "{recipient}");
    for relay in [&a, &b, &c] {
        relay.until("all is quiet", |w| (w.json(&["status"])[0]["quiet"] == true).then_some(()));
        // Each one saw it at most twice, and asked the next one at most once for each time.
        let seen = relay.trace(&message_id);
        assert!((1..=2).contains(&seen.len()), "{}", seen.len());
        for mm in seen {
            assert_eq!(mm["transactions"].as_array().unwrap().len(), 1, "{mm}");
            assert_eq!(mm["recipients"][0]["state"], "failed");
            assert!(mm["responses"].as_array().unwrap().len() <= 1);
        }
    }
}
