//! `kill -9` at random points under load: nothing that got its `250` is lost, nothing is delivered twice, and every
//! response that was asked for arrives (threats 15 and 16; cases X-06, S-22).
//!
//! With all tests it runs with 200 MMs and 50 kills. The long form, which prints its seed for a repeat:
//!
//! ```text
//! BELINO_KILLS=1000 BELINO_MMS=4000 cargo test -p belino --test dialogues crash -- --nocapture
//! ```

use crate::world::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Connections that send at once.
const SENDERS: usize = 4;

/// A small random generator: the seed is all that a repeat needs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn setting(name: &str, standard: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(standard)
}

fn mail(i: usize) -> Fwd {
    // From a few hundred octets to some 300 KB, so that content is cut in the middle as well.
    let size = [1, 40, 400, 4000][i % 4];
    let line = format!("{i:0>75}\r\n");
    let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{}--b1--\r\n", line.repeat(size));
    Fwd::ids(&format!("mm-{i}@mms.b.example"), &format!("tx-{i}@mms.b.example")).body(body.as_bytes())
}

/// Send one MM on a connection; `true` when it got its `250`.
fn send(client: &mut Client, i: usize) -> Option<bool> {
    let to = at_a(if i.is_multiple_of(3) { U2 } else { U1 });
    let lines =
        [format!("MAIL FROM:<{B1}/TYPE=PLMN@mms.b.example>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()];
    for (line, reply) in lines.iter().zip(["250", "250", "354"]) {
        client.try_say(line)?;
        if !client.reply().starts_with(reply) {
            return None;
        }
    }
    let mut content = mail(i).mail();
    content.extend_from_slice(b".\r\n");
    client.try_raw(&content)?;
    let reply = client.reply();
    if reply.is_empty() { None } else { Some(reply.starts_with("250")) }
}

/// Takes MMs off the list, sends each until it has its `250`.
fn sender(
    address: SocketAddr,
    todo: &Mutex<Vec<usize>>,
    taken: &Mutex<BTreeSet<usize>>,
    steps: &AtomicUsize,
    running: &Mutex<bool>,
) {
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut client: Option<Client> = None;
    loop {
        let next = todo.lock().unwrap().pop();
        let Some(i) = next else { return };
        // No connection is tried while the process is being killed and started again.
        drop(running.lock().unwrap());
        let ready = match client.take() {
            Some(client) => Some(client),
            None => Client::try_greeted(from, address),
        };
        let sent = ready.and_then(|mut ready| {
            let sent = send(&mut ready, i)?;
            client = Some(ready);
            Some(sent)
        });
        steps.fetch_add(1, Ordering::SeqCst);
        if sent == Some(true) {
            taken.lock().unwrap().insert(i);
        } else {
            todo.lock().unwrap().insert(0, i);
        }
    }
}

#[test]
fn x_06_killed_at_random_points_under_load() {
    let (mms, kills) = (setting("BELINO_MMS", 200), setting("BELINO_KILLS", 50));
    let seed = setting("BELINO_SEED", std::process::id() as usize) as u64 | 1;
    println!("{mms} MMs, {kills} kills, BELINO_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut world = World::with(Setup {
        real_time: true,
        retry: "steps = [\"1s\"]\ngate_min = \"100ms\"\ngate_max = \"200ms\"".into(),
        ..Setup::default()
    });
    let address = world.address;
    let todo = Arc::new(Mutex::new((0..mms).rev().collect::<Vec<_>>()));
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let steps = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(Mutex::new(true));
    let threads: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (todo, taken, steps, running) = (todo.clone(), taken.clone(), steps.clone(), running.clone());
            std::thread::spawn(move || sender(address, &todo, &taken, &steps, &running))
        })
        .collect();

    let mut done = 0;
    while done < kills {
        // After so many more attempts at sending, and then somewhere in the middle of one.
        let until = steps.load(Ordering::SeqCst) + 1 + dice.roll(3 * mms / (2 * kills.max(1)));
        while steps.load(Ordering::SeqCst) < until && !threads.iter().all(|t| t.is_finished()) {
            std::thread::yield_now();
        }
        (0..dice.roll(20_000)).for_each(|_| std::hint::spin_loop());
        let pause = running.lock().unwrap();
        world.kill();
        world.start();
        drop(pause);
        done += 1;
        if threads.iter().all(|t| t.is_finished()) {
            // All are sent; what is left is to kill it while it answers.
            steps.fetch_add(mms, Ordering::SeqCst);
        }
        print!("\r{done} kills, {} taken ", taken.lock().unwrap().len());
        let _ = std::io::stdout().flush();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    println!();
    assert_eq!(taken.lock().unwrap().len(), mms);

    // Every asked response arrives, at least once.
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    while answered.len() < mms {
        let Some(res) = world.b.try_mail() else {
            let missing: Vec<usize> =
                (0..mms).filter(|i| !answered.contains_key(&format!("tx-{i}@mms.b.example"))).collect();
            for i in &missing {
                for mm in world.trace(&format!("mm-{i}@mms.b.example")) {
                    eprintln!("{mm:#}");
                }
            }
            panic!("no response came for {missing:?}");
        };
        assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok", "{}", res.content);
        *answered.entry(res.must("X-Mms-Transaction-ID")).or_default() += 1;
    }
    // Every MM lies in its mailbox exactly once, unchanged.
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for user in [U1, U2] {
        for mm in world.json(&["mailbox", "--recipient", user, "--max", "1000000"]) {
            let id = mm["message_id"].as_str().unwrap().to_owned();
            let i: usize = id.trim_start_matches("mm-").split('@').next().unwrap().parse().unwrap();
            let text = mm["parts"][0]["text"].as_str();
            if let Some(text) = text {
                assert!(
                    text.lines().all(|line| line.parse::<usize>() == Ok(i)),
                    "content of {id} is not its own"
                );
            }
            *found.entry(id).or_default() += 1;
        }
    }
    let doubled: Vec<_> = found.iter().filter(|(_, n)| **n != 1).collect();
    assert!(doubled.is_empty(), "delivered more than once: {doubled:?}");
    assert_eq!(
        found.len(),
        mms,
        "lost: {:?}",
        (0..mms).filter(|i| !found.contains_key(&format!("mm-{i}@mms.b.example"))).collect::<Vec<_>>()
    );
    println!(
        "{kills} kills: {mms} taken, {} delivered once, {} answered, 0 lost, 0 doubled",
        found.len(),
        answered.len()
    );
}

/// One mail from a peer, if it is taken.
fn bring(from: IpAddr, to: SocketAddr, sender: &str, recipient: &str, content: &[u8]) -> Option<()> {
    let mut client = Client::try_greeted(from, to)?;
    for (line, reply) in [
        (format!("MAIL FROM:<{sender}>"), "250"),
        (format!("RCPT TO:<{recipient}>"), "250"),
        ("DATA".into(), "354"),
    ] {
        client.try_say(&line)?;
        client.reply().starts_with(reply).then_some(())?;
    }
    client.try_raw(content)?;
    client.try_raw(b".\r\n")?;
    client.reply().starts_with("250").then_some(())
}

/// What passes through us from one peer to another, killed at any moment: every MM that was taken arrives, under one
/// transaction id however often, and every response finds its way back.
#[test]
fn x_06_killed_while_mms_pass_through() {
    let seed = setting("BELINO_SEED", std::process::id() as usize) as u64 | 1;
    println!("BELINO_SEED={seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mms = setting("BELINO_TRANSIT_MMS", 60);
    let mut world = World::with(Setup {
        real_time: true,
        b: "transit = [\"c\"]".into(),
        retry: "steps = [\"1s\"]\ngate_min = \"100ms\"\ngate_max = \"200ms\"".into(),
        ..Setup::default()
    });
    let (b, c) = (world.b.address.ip(), world.c.address.ip());
    let mut arrived: BTreeMap<String, String> = BTreeMap::new();
    let mut unanswered: Vec<String> = Vec::new();
    let mut note = |world: &World, unanswered: &mut Vec<String>| {
        for mail in world.c.mails() {
            let (mm, tx) = (mail.must("X-Mms-Message-ID"), mail.must("X-Mms-Transaction-ID"));
            let first = arrived.entry(mm).or_insert_with(|| tx.clone());
            assert_eq!(*first, tx, "the same request again has the same transaction id");
            unanswered.push(tx);
        }
        arrived.len()
    };
    let respond = |world: &World, unanswered: &mut Vec<String>| {
        unanswered.retain(|tx| {
            let res = response(tx, "Ok", &[]);
            bring(c, world.address, "system-user@mms.c.example", "system-user@mms.a.example", &res).is_none()
        });
    };
    for i in 0..mms {
        let content = mail(i).set("To", "+12025550120/TYPE=PLMN@mms.c.example").mail();
        let to = "+12025550120/TYPE=PLMN@mms.c.example";
        while bring(b, world.address, &format!("{B1}/TYPE=PLMN@mms.b.example"), to, &content).is_none() {}
        (0..dice.roll(400_000)).for_each(|_| std::hint::spin_loop());
        note(&world, &mut unanswered);
        if dice.roll(2) == 0 {
            respond(&world, &mut unanswered);
        }
        if dice.roll(3) == 0 {
            world.restart();
        }
    }
    let mut answered: BTreeSet<String> = BTreeSet::new();
    world.until("every MM has arrived and every response has come back", |world| {
        note(world, &mut unanswered);
        respond(world, &mut unanswered);
        for res in world.b.mails() {
            assert_eq!(res.must("X-Mms-Request-Status-Code"), "Ok", "{}", res.content);
            answered.insert(res.must("X-Mms-Transaction-ID"));
        }
        (answered.len() == mms).then_some(())
    });
    assert_eq!(note(&world, &mut Vec::new()), mms);
}
