//! A relay with a console and two users, and an HTTP client written by hand.

use crate::world::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// Ann may operate, Rob may read.
pub const ANN: &str = "canary-token-of-ann-4c81";
pub const ROB: &str = "canary-token-of-rob-77fe";

/// A relay with a console.
pub struct Desk {
    pub world: World,
    pub files: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let begins = format!("{}:", name.to_ascii_lowercase());
        let line = self.head.lines().find(|l| l.to_ascii_lowercase().starts_with(&begins))?;
        Some(line[begins.len()..].trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the hidden field that every form carries.
    pub fn csrf(&self) -> String {
        let text = self.text();
        let rest = text.split("name=\"csrf\" value=\"").nth(1).expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

/// A file for its owner only.
pub fn token_file(folder: &std::path::Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Desk {
    pub fn new() -> Self {
        Self::with(Setup::default(), "")
    }

    /// With more lines for `[console]`.
    pub fn with(setup: Setup, console: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        token_file(files.path(), "ann.token", ANN);
        token_file(files.path(), "rob.token", ROB);
        let folder = files.path().display();
        let more = format!(
            "[console]\nlisten = [\"127.0.0.1:0\"]\n{console}\n\
             [[console.user]]\nname = \"ann\"\ntoken_file = \"{folder}/ann.token\"\nrole = \"operate\"\n\n\
             [[console.user]]\nname = \"rob\"\ntoken_file = \"{folder}/rob.token\"\nrole = \"read\"\n\n{}",
            setup.more
        );
        Self { world: World::with(Setup { more, ..setup }), files }
    }

    pub fn at(&self) -> SocketAddr {
        self.world.console.expect("it listens for the console")
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let at = self.at();
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
        if method == "POST" {
            let length = body.len();
            head.push_str(&format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
            ));
        }
        headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut octets = Vec::new();
        let _ = socket.read_to_end(&mut octets);
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&octets[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: octets[end + 4..].to_vec() }
    }

    /// Log in; what the browser would send from then on.
    pub fn login(&self, token: &str) -> Login<'_> {
        let answer = self.request("POST", "/login", &[], &format!("token={token}"));
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
        Login { desk: self, cookie: format!("Cookie: {cookie}") }
    }
}

/// Somebody who is logged in.
pub struct Login<'a> {
    pub desk: &'a Desk,
    pub cookie: String,
}

impl Login<'_> {
    pub fn get(&self, path: &str) -> Answer {
        self.desk.request("GET", path, &[&self.cookie], "")
    }

    /// A page that is there; its text.
    pub fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.text()
    }

    /// Send a form with the session's own token.
    pub fn post(&self, path: &str, fields: &str) -> Answer {
        let csrf = self.get("/").csrf();
        self.desk.request("POST", path, &[&self.cookie], &format!("csrf={csrf}&{fields}"))
    }
}
