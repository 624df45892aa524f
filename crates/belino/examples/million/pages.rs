//! The console's pages over a store of very many MMs, asked for over HTTP as a browser does.
//!
//! Owns: a relay with its console on the store, one session, and how long each page takes from the connection to its last
//! octet. Every page is asked for nine times.

use anyhow::Context as _;
use belino::clock::{Clock, monotonic};
use belino::serve;
use mms::{MmId, Timestamp};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

/// How often each page is asked for.
const TIMES: usize = 9;
/// What a page may take, in milliseconds.
const HOPED: f64 = 300.0;

/// The MMs that pages are about.
pub struct Places {
    /// The oldest one but a few.
    pub old: MmId,
    /// One in the middle, and when it came.
    pub middle: (MmId, Timestamp),
    /// Its `X-Mms-Message-ID`.
    pub message_id: String,
}

/// Start the relay, ask, print a table, stop.
pub fn measure(folder: &Path, data: &Path, places: &Places, stay: bool) -> anyhow::Result<()> {
    let config = configuration(folder, data)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let begun = monotonic();
    let running = runtime.block_on(serve::start(config, Clock::System, None))?;
    println!("\nthe relay was ready after {:.0} ms", (monotonic() - begun) as f64 / 1e6);
    let at = *running.console_addresses.first().context("the console listens")?;
    if stay {
        println!("http://{at}{}\nIt stays until Enter is pressed.", running.console.link("ann"));
        std::io::stdin().read_line(&mut String::new())?;
    }
    let asked = ask(at, &running.console.link("ann"), places);
    runtime.block_on(running.stop());
    asked
}

/// Forty peers that nobody is, and a user of the console.
fn configuration(folder: &Path, data: &Path) -> anyhow::Result<belino::config::Config> {
    let token = folder.join("ann.token");
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&token)?;
    writeln!(file, "{:032x}", belino::entropy())?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    let mut text = format!(
        "[relay]\ndomain = \"mms.example\"\ndata = \"{}\"\n[mm4]\nlisten = [\"127.0.0.1:0\"]\n[limits]\ndisk_free_min = 0\n\
         [console]\nlisten = [\"127.0.0.1:0\"]\n[[console.user]]\nname = \"ann\"\ntoken_file = \"{}\"\nrole = \"operate\"\n\
         [[local]]\nprefixes = [\"+1202555\"]\ndock = \"mailbox\"\n",
        data.display(),
        token.display()
    );
    for n in 0..40 {
        write!(
            text,
            "[[peer]]\nname = \"peer-{n:02}\"\ndomains = [\"mms.peer-{n:02}.example\"]\nhosts = [\"127.0.0.{}:9\"]\n\
             from = [\"127.0.0.{0}\"]\nprefixes = [\"+4477009{n:02}\"]\n",
            n + 10
        )?;
    }
    belino::config::parse(&text, &folder.join("belino.toml")).map_err(anyhow::Error::msg)
}

/// A time as the form of the list has it.
fn minute(at: Timestamp) -> String {
    let (year, month, day, hour, minute, _) = at.civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}")
}

fn ask(at: SocketAddr, link: &str, places: &Places) -> anyhow::Result<()> {
    let entered = get(at, link, "")?;
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.and_then(|line| line.split(';').next()).context("the link gives a session")?;
    let (middle, came) = places.middle;
    let hour = came.plus(Duration::from_secs(3600));
    let window = format!("from={}&to={}", minute(came), minute(hour));
    let list = |query: &str| format!("/messages?{query}");
    let mut pages: Vec<(&str, String)> = vec![
        ("overview", "/".into()),
        ("peers", "/peers".into()),
        ("one peer", "/peers/peer-07".into()),
        ("alarms", "/alarms".into()),
        ("routes, with an address", "/routes?address=%2B447700912345".into()),
        ("audit", "/audit".into()),
        ("configuration", "/configuration".into()),
        ("one MM", format!("/messages/{middle}")),
        ("list, first page", "/messages".into()),
        ("list, half a million deep", list(&format!("before={middle}"))),
        ("list, at its end", list(&format!("before={}", places.old))),
        ("a Message-ID", list(&format!("text={}", places.message_id.replace('@', "%40")))),
        ("a number", list("text=%2B447700912345")),
        ("the beginning of numbers, common", list("text=%2B4477009")),
        ("the same, half a million deep", list(&format!("text=%2B4477009&before={middle}"))),
        ("the beginning of numbers, rare", list("text=%2B44770091234")),
        ("a number that nobody has", list("text=%2B4420")),
        ("a peer", list("peer=peer-10")),
        ("a peer, half a million deep", list(&format!("peer=peer-10&before={middle}"))),
        ("failed", list("state=failed")),
        ("open", list("state=open")),
        ("done", list("state=done")),
        ("a peer, failed", list("peer=peer-10&state=failed")),
        ("a peer, open: nothing fits", list("peer=peer-11&state=open")),
        ("beginning, peer, open: nothing fits", list("text=%2B4477009&peer=peer-11&state=open")),
        ("beginning, failed, of a peer that has none", list("text=%2B4477009&peer=peer-11&state=failed")),
        ("an hour", list(&window)),
        ("an hour of a peer", list(&format!("peer=peer-07&{window}"))),
        ("an hour, beginning, failed", list(&format!("text=%2B4477009&state=failed&{window}"))),
    ];
    println!("{:>10} {:>10} {:>9}  page of the console", "median", "greatest", "octets");
    let mut slow = Vec::new();
    for (name, path) in pages.drain(..) {
        let (mut spans, mut octets) = (Vec::new(), 0);
        for _ in 0..TIMES {
            let begun = monotonic();
            let answer = get(at, &path, cookie)?;
            spans.push((monotonic() - begun) as f64 / 1e6);
            octets = answer.len();
            anyhow::ensure!(
                answer.starts_with("HTTP/1.1 200"),
                "{path}: {}",
                answer.lines().next().unwrap_or_default()
            );
        }
        spans.sort_by(f64::total_cmp);
        println!("{:>7.1} ms {:>7.1} ms {octets:>9}  {name}", spans[TIMES / 2], spans[TIMES - 1]);
        if spans[TIMES - 1] > HOPED {
            slow.push(name);
        }
    }
    match slow.is_empty() {
        true => println!("every page takes less than {HOPED} ms"),
        false => println!("slower than {HOPED} ms: {}", slow.join(", ")),
    }
    Ok(())
}

fn get(at: SocketAddr, path: &str, cookie: &str) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(at)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n")?;
    let mut octets = Vec::new();
    socket.read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}
