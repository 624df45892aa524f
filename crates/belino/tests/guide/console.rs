//! The page of the console, done as it says: the configuration and the token files are made, the relay starts with them, the
//! proxy's headers are sent, and every page that the table names is there.

use crate::pages::{Block, blocks, missing, page, section};
use crate::world::*;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PAGE: &str = "guide/console.md";

/// The only block of this language in a section.
fn block(text: &str, heading: &str, language: &str) -> Block {
    let of = |block: &Block| block.language == language;
    let mut found: Vec<Block> = blocks(section(text, heading)).into_iter().filter(of).collect();
    assert_eq!(found.len(), 1, "{heading}: {language}");
    found.remove(0)
}

/// Lines of the page, as a shell beside the configuration runs them; what they print.
fn run(world: &World, lines: &str) -> String {
    let path = Path::new(binary()).parent().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-e", "-c", lines])
        .env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()))
        .env("BELINO_CONFIG", world.folder.path().join("belino.toml"))
        .current_dir(world.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{lines}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// One request; status line, headers and body as they came.
fn ask(world: &World, method: &str, path: &str, headers: &[String], body: &str) -> String {
    let mut socket = TcpStream::connect(world.console.expect("it listens for the console")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let host = match headers.iter().any(|line| line.starts_with("Host:")) {
        true => String::new(),
        false => "Host: localhost\r\n".to_owned(),
    };
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\n{host}{lines}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut octets = Vec::new();
    socket.read_to_end(&mut octets).unwrap();
    String::from_utf8_lossy(&octets).into_owned()
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {answer}"))
}

/// Log in with what stands in a token file; the cookie's line.
fn log_in(world: &World, user: &str, headers: &[String]) -> String {
    let token = std::fs::read_to_string(world.folder.path().join(format!("{user}.token"))).unwrap();
    ask(world, "POST", "/login", headers, &format!("token={}", token.trim()))
}

fn cookie(answer: &str) -> String {
    format!("Cookie: {}", header(answer, "set-cookie").split(';').next().unwrap())
}

fn csrf(page: &str) -> &str {
    page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap()
}

/// A relay that was configured as the page says, on a port that is free.
fn configured() -> World {
    let text = page(PAGE);
    let config = block(&text, "Switch it on", "toml").text;
    let mut world = World::new();
    world.kill();
    world.setup().more = config.clone();
    let file = world.folder.path().join("belino.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{plain}\n{config}")).unwrap();
    let printed = run(&world, &block(&text, "Switch it on", "sh").text);
    assert_eq!(missing(&block(&text, "Switch it on", "text").text, &printed), None, "{printed}");
    world.setup().more = config.replace("127.0.0.1:8025", "127.0.0.1:0");
    world.start();
    world
}

#[test]
fn the_console_is_switched_on_as_the_page_says() {
    let world = configured();
    for user in ["ann", "rob"] {
        let file = world.folder.path().join(format!("{user}.token"));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{user}");
    }
    // Every page that the table names is in the menu, and the menu has no other.
    let text = page(PAGE);
    let rows =
        section(&text, "At night: which page answers what").lines().filter(|line| line.starts_with("| "));
    let mut named: Vec<String> = rows
        .skip(1)
        .map(|row| row.split(" | ").nth(1).unwrap().split(',').next().unwrap().to_owned())
        .collect();
    named.sort();
    named.dedup();
    let ann = cookie(&log_in(&world, "ann", &[]));
    let home = ask(&world, "GET", "/", std::slice::from_ref(&ann), "");
    let menu = home.split("<nav aria-label=\"Pages\">").nth(1).unwrap().split("</nav>").next().unwrap();
    let links: Vec<(&str, &str)> = menu
        .split("<a href=\"")
        .skip(1)
        .map(|link| {
            let (path, rest) = link.split_once('"').unwrap();
            (path, rest.split_once('>').unwrap().1.split(['<', ' ']).next().unwrap())
        })
        .collect();
    let mut names: Vec<String> = links.iter().map(|(_, name)| (*name).to_owned()).collect();
    names.sort();
    assert_eq!(named, names);
    for (path, name) in &links {
        let answer = ask(&world, "GET", path, std::slice::from_ref(&ann), "");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("<title>{name}"))
                || *path == "/send"
        );
    }
    // Roles, and the line in the audit log.
    let rob = cookie(&log_in(&world, "rob", &[]));
    let pause = |cookie: &String| {
        let page = ask(&world, "GET", "/peers/b", std::slice::from_ref(cookie), "");
        let body = format!("csrf={}&reason=their+window", csrf(&page));
        ask(&world, "POST", "/peers/b/pause", std::slice::from_ref(cookie), &body)
    };
    assert!(pause(&rob).starts_with("HTTP/1.1 403"), "read changes nothing");
    assert!(pause(&ann).starts_with("HTTP/1.1 303"));
    let log = std::fs::read_to_string(world.folder.path().join("data/audit.log")).unwrap();
    let line = log.lines().find(|line| line.contains("\"pause\"")).unwrap_or_else(|| panic!("{log}"));
    assert_eq!(line, block(&text, "The audit log", "json").text);
}

/// The proxy of the page passes the headers on by which the cookie stays under TLS, and forms are taken through it. The way
/// through SSH leads to where the console listens.
#[test]
fn the_console_is_reached_as_the_page_says() {
    let world = configured();
    let text = page(PAGE);
    let listen = "127.0.0.1:8025";
    assert!(block(&text, "Switch it on", "toml").text.contains(&format!("listen = [\"{listen}\"]")));
    assert!(block(&text, "Reach it", "sh").text.contains(&format!("-L 8025:{listen} ")));
    let proxy = block(&text, "Reach it", "nginx").text;
    assert!(proxy.contains(&format!("proxy_pass http://{listen};")));
    let host = proxy
        .lines()
        .find_map(|line| line.trim().strip_prefix("server_name "))
        .unwrap()
        .trim_end_matches(';');
    let headers: Vec<String> = proxy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("proxy_set_header ")?.strip_suffix(';')?.split_once(' '))
        .map(|(name, value)| format!("{name}: {}", value.replace("$host", host).replace("$scheme", "https")))
        .collect();
    assert_eq!(headers.len(), 2, "{headers:?}");
    let entered = log_in(&world, "ann", &headers);
    assert!(header(&entered, "set-cookie").contains("; Secure"), "{entered}");
    let with = |more: String| [headers.clone(), vec![cookie(&entered), more]].concat();
    let peer = ask(&world, "GET", "/peers/b", &with(String::from("Accept: text/html")), "");
    let origin = with(format!("Origin: https://{host}"));
    let body = format!("csrf={}&reason=their+window", csrf(&peer));
    assert!(ask(&world, "POST", "/peers/b/pause", &origin, &body).starts_with("HTTP/1.1 303"));
}

#[test]
fn what_happened_is_told_as_the_page_says() {
    let world = configured();
    let text = page(PAGE);
    world.b.answer(|line| line.starts_with("RCPT").then(|| "550 5.1.1 unknown user".to_owned()));
    let id = world.send(U1, &[B1], &["--text", "hello"])["id"].as_str().unwrap().to_owned();
    world.until_state(&id, 0, "failed");
    let shown = block(&text, "What happened", "text").text;
    let command = block(&text, "What happened", "sh").text.replace(" ID", &format!(" {id}"));
    world.until("the page's lines are printed", |world| {
        missing(&shown, &run(world, &command)).is_none().then_some(())
    });
    let ann = cookie(&log_in(&world, "ann", &[]));
    let seen = ask(&world, "GET", &format!("/messages/{id}"), &[ann], "");
    assert!(
        seen.contains("Peer b refused the recipient over SMTP") && seen.contains("<b>Next:</b>"),
        "{seen}"
    );
}
