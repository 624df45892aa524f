//! What monitoring sees: `/metrics`, `/healthz`, `/readyz`.

use crate::world::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

const LISTEN: &str = "[metrics]\nlisten = [\"127.0.0.1:0\"]";

/// Status and body of a `GET` at the metrics listener.
pub fn get(world: &World, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(world.metrics.unwrap()).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Every sample of a scrape: name with labels, and value.
pub fn scrape(world: &World) -> BTreeMap<String, f64> {
    let (status, text) = get(world, "/metrics");
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn what_passes_is_counted() {
    let world = World::with(Setup { more: LISTEN.into(), ..Setup::default() });
    let before = scrape(&world);
    assert_eq!(before["belino_received_bytes_total{peer=\"b\"}"], 0.0);
    assert_eq!(before["belino_ready"], 1.0);
    // In: a request with a response to it.
    let mut client = world.from_b();
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    world.b.mail();
    // Out: a request, its response three seconds later.
    world.send(U1, &[B1], &["--subject", "hello"]);
    let sent = world.b.mail();
    world.settle();
    world.advance("3s");
    let res = response(&sent.must("X-Mms-Transaction-ID"), "Ok", &[]);
    let reply = world.from_b().mail("system-user@mms.b.example", &["system-user@mms.a.example"], &res);
    assert!(reply.starts_with("250"), "{reply}");
    let after = world.until("all is counted", |world| {
        let after = scrape(world);
        after.contains_key("belino_messages_sent_total{peer=\"b\",message=\"MM4_forward.RES\",status=\"Ok\",outcome=\"taken\"}").then_some(after)
    });
    let count = |name: &str| *after.get(name).unwrap_or_else(|| panic!("no {name} in {after:#?}"));
    assert_eq!(
        count("belino_messages_received_total{peer=\"b\",message=\"MM4_forward.REQ\",status=\"-\"}"),
        1.0
    );
    assert_eq!(
        count("belino_messages_received_total{peer=\"b\",message=\"MM4_forward.RES\",status=\"Ok\"}"),
        1.0
    );
    assert_eq!(
        count(
            "belino_messages_sent_total{peer=\"b\",message=\"MM4_forward.REQ\",status=\"-\",outcome=\"taken\"}"
        ),
        1.0
    );
    assert_eq!(count("belino_replies_total{peer=\"b\",code=\"250\"}"), 2.0);
    assert_eq!(count("belino_response_seconds_count{peer=\"b\"}"), 1.0);
    assert_eq!(count("belino_response_seconds_sum{peer=\"b\"}"), 3.0);
    assert_eq!(count("belino_acceptance_seconds_count{peer=\"b\"}"), 2.0);
    assert_eq!(count("belino_acceptance_seconds_count{peer=\"c\"}"), 0.0);
    assert!(count("belino_received_bytes_total{peer=\"b\"}") > 500.0);
    assert_eq!(count("belino_peer_reachable{peer=\"b\"}"), 1.0);
    assert!(count("process_resident_memory_bytes") > 1e6 && count("process_open_fds") > 5.0);
    // Buckets are cumulative, and the last one has everything.
    assert_eq!(count("belino_response_seconds_bucket{le=\"2.5\",peer=\"b\"}"), 0.0);
    assert_eq!(count("belino_response_seconds_bucket{le=\"+Inf\",peer=\"b\"}"), 1.0);
    // No number of anybody, and nothing of any MM.
    let (_, text) = get(&world, "/metrics");
    assert!(!text.contains("+1202") && !text.contains("hello"), "{text}");
}

#[test]
fn a_peer_that_is_away_shows() {
    let world = World::with(Setup { more: LISTEN.into(), ..Setup::default() });
    // Whoever connects is sent away at once.
    world.b.answer(|_| Some(String::new()));
    world.send(U1, &[B1], &[]);
    let after = world.until("its gate is shut", |world| {
        let after = scrape(world);
        (after["belino_peer_reachable{peer=\"b\"}"] == 0.0).then_some(after)
    });
    assert_eq!(after["belino_queue_entries{peer=\"b\"}"], 1.0);
    let name = "belino_messages_sent_total{peer=\"b\",message=\"MM4_forward.REQ\",status=\"-\",outcome=\"unreachable\"}";
    assert!(after[name] >= 1.0);
}

#[test]
fn readiness_names_what_is_missing_and_health_stays() {
    let limits = "disk_free_min = \"900000GiB\"".into();
    let world = World::with(Setup { more: LISTEN.into(), limits, ..Setup::default() });
    let (status, words) = get(&world, "/readyz");
    assert!(status == 503 && words.contains("limits.disk_free_min"), "{status} {words}");
    assert_eq!(scrape(&world)["belino_ready"], 0.0);
    assert_eq!(get(&world, "/healthz"), (200, "ok\n".into()));
    assert_eq!(get(&world, "/nothing").0, 404);
    let world = World::with(Setup { more: LISTEN.into(), ..Setup::default() });
    assert_eq!(get(&world, "/readyz"), (200, "ready\n".into()));
}
