//! A relay with two applications: `shop`, which has a webhook and serves the code 4455 and one number, and `other`, which
//! has neither. And the application itself: an HTTP server that records what it is told.

use crate::world::*;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const SHOP_TOKEN: &str = "canary-token-of-the-shop-7f3a";
pub const OTHER_TOKEN: &str = "canary-token-of-the-other-91bc";
pub const SECRET: &str = "canary-secret-of-the-shop-55d0";
/// The shop's code, as a peer writes it.
pub const CODE: &str = "4455@mms.a.example";
/// Served by the shop.
pub const SHOP: &str = "+12025550105";
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay, and the application that it tells.
pub struct Site {
    pub world: World,
    pub shop: Application,
    pub files: tempfile::TempDir,
}

/// A file for its owner only.
pub fn secret_file(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Site {
    pub fn new() -> Self {
        Self::with(Setup::default(), "", "")
    }

    /// With more lines in the configuration, for `[http]` and for the webhook.
    pub fn with(setup: Setup, http: &str, webhook: &str) -> Self {
        let shop = Application::new();
        let files = tempfile::tempdir().unwrap();
        secret_file(files.path(), "shop.token", SHOP_TOKEN);
        secret_file(files.path(), "other.token", OTHER_TOKEN);
        secret_file(files.path(), "shop.secret", SECRET);
        let (folder, url) = (files.path().display(), shop.address);
        let more = format!(
            "[[local]]\nprefixes = [\"{SHOP}\"]\ncodes = [\"4455\"]\ndock = \"shop\"\n\n\
             [http]\nlisten = [\"127.0.0.1:0\"]\n{http}\n\
             [[application]]\nname = \"shop\"\ntoken_file = \"{folder}/shop.token\"\nfrom = [\"+1202555010\", \"4455\"]\nwebhook = \"shop\"\n\n\
             [[application]]\nname = \"other\"\ntoken_file = \"{folder}/other.token\"\nfrom = [\"{U2}\"]\n\n\
             [[webhook]]\nname = \"shop\"\nurl = \"http://{url}/mms?from=belino\"\nsecret_file = \"{folder}/shop.secret\"\n{webhook}\n{}",
            setup.more
        );
        let b = format!("profile = {{ short_codes = true }}\n{}", setup.b);
        let world = World::with(Setup { more, b, ..setup });
        Self { world, shop, files }
    }

    pub fn http(&self) -> SocketAddr {
        self.world.http.expect("it listens for HTTP")
    }

    /// A request of the shop's.
    pub fn ask(&self, method: &str, path: &str) -> Answer {
        self.request(method, path, &[&bearer(SHOP_TOKEN)], b"")
    }

    /// A request with these header lines.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        request(self.http(), method, path, headers, body)
    }

    /// A submission of the shop's, with more header lines.
    pub fn submit(&self, message: &Value, headers: &[&str]) -> Answer {
        let token = bearer(SHOP_TOKEN);
        let mut all = vec![token.as_str(), "Content-Type: application/json"];
        all.extend(headers);
        self.request("POST", "/v1/messages", &all, message.to_string().as_bytes())
    }

    /// A submission that is taken; its id.
    pub fn taken(&self, message: &Value) -> String {
        let answer = self.submit(message, &[]);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// What the shop sees of an MM.
    pub fn message(&self, id: &str) -> Value {
        let answer = self.ask("GET", &format!("/v1/messages/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The shop's view of a recipient once it is in this state.
    pub fn until_state(&self, id: &str, place: usize, state: &str) -> Value {
        self.world.until(&format!("recipient {place} of {id} is shown as {state}"), |_| {
            let recipient = self.message(id)["recipients"][place].clone();
            (recipient["state"] == state).then_some(recipient)
        })
    }

    /// Everything of an MM that `belino trace` has under this word.
    pub fn history(&self, id: &str, what: &str) -> Vec<Value> {
        let mm = self.world.trace(id).remove(0);
        let moments = mm["history"].as_array().unwrap().iter();
        moments.filter(|m| m["what"] == what).cloned().collect()
    }
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

// ---- a client ----

/// An answer of the relay.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The field that a refusal blames.
    pub fn field(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["field"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request on a connection of its own.
pub fn request(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    // The relay may have answered before the end of a body that it does not want.
    let _ = socket.write_all(body);
    answer(socket)
}

/// The answer that comes on a connection.
pub fn answer(socket: TcpStream) -> Answer {
    try_answer(socket).expect("an answer")
}

/// The same, or `None` when the connection ends without one.
pub fn try_answer(socket: TcpStream) -> Option<Answer> {
    let mut reader = BufReader::new(socket);
    let (first, headers) = head(&mut reader)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{first:?}"));
    let mut body = Vec::new();
    // What came before a reset is what the answer is.
    let _ = reader.read_to_end(&mut body);
    Some(Answer { status, headers, body })
}

fn head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers = lines[1..].iter().filter_map(|l| l.split_once(':'));
    let headers = headers.map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned())).collect();
    Some((lines[0].clone(), headers))
}

/// A body of `multipart/form-data` from fields: header lines and content.
pub fn form(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let boundary = "form-boundary-1";
    let mut body = Vec::new();
    for (headers, content) in fields {
        body.extend_from_slice(format!("--{boundary}\r\n{headers}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("Content-Type: multipart/form-data; boundary={boundary}"), body)
}

// ---- an application ----

/// A request that the application got.
#[derive(Clone, Debug)]
pub struct Event {
    /// `POST /mms HTTP/1.1`.
    pub first: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Event {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }

    /// The second that the signature names. Panics when it does not sign these octets.
    pub fn signed_at(&self) -> i64 {
        let signature = self.header("belino-signature");
        let (t, v1) = signature.strip_prefix("t=").and_then(|s| s.split_once(",v1=")).unwrap();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(t.as_bytes());
        mac.update(b".");
        mac.update(&self.body);
        let expected: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(v1, expected);
        t.parse().unwrap()
    }
}

/// An application's HTTP server. Answers `204`, or what it was told to answer next; an empty answer closes the
/// connection, `hang` says nothing at all.
pub struct Application {
    pub address: SocketAddr,
    events: Receiver<Event>,
    answers: Arc<Mutex<VecDeque<String>>>,
    always: Arc<Mutex<Option<String>>>,
    connections: Arc<Mutex<(usize, usize, usize)>>,
}

impl Application {
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = channel();
        let answers: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let always: Arc<Mutex<Option<String>>> = Arc::default();
        let connections: Arc<Mutex<(usize, usize, usize)>> = Arc::default();
        let application = Self {
            address,
            events,
            answers: answers.clone(),
            always: always.clone(),
            connections: connections.clone(),
        };
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (sender, answers, always) = (sender.clone(), answers.clone(), always.clone());
                let connections = connections.clone();
                std::thread::spawn(move || {
                    {
                        let (all, now, most) = &mut *connections.lock().unwrap();
                        (*all, *now) = (*all + 1, *now + 1);
                        *most = (*most).max(*now);
                    }
                    serve(&socket, &sender, &answers, &always);
                    connections.lock().unwrap().1 -= 1;
                });
            }
        });
        application
    }

    /// The next event.
    pub fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("the application is told of something")
    }

    /// The next event of this kind; others are passed over.
    pub fn event_of(&self, kind: &str) -> Event {
        loop {
            let event = self.event();
            if event.kind() == kind {
                return event;
            }
        }
    }

    /// All events that have come by now.
    pub fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Answer the next event so: a status line and header lines, and a body after an empty line.
    pub fn answer_next(&self, answer: &str) {
        self.answers.lock().unwrap().push_back(answer.to_owned());
    }

    /// Answer every event so from now on; `None` = as usual.
    pub fn answer_always(&self, answer: Option<&str>) {
        *self.always.lock().unwrap() = answer.map(str::to_owned);
    }

    /// Connections that were made so far, and the most at once.
    pub fn connections(&self) -> (usize, usize) {
        let connections = self.connections.lock().unwrap();
        (connections.0, connections.2)
    }
}

fn serve(
    socket: &TcpStream,
    events: &Sender<Event>,
    answers: &Mutex<VecDeque<String>>,
    always: &Mutex<Option<String>>,
) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    while let Some((first, headers)) = head(&mut reader) {
        let length = headers.iter().find(|(n, _)| n == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, v)| v.parse().unwrap())];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let next = answers.lock().unwrap().pop_front();
        let answer = next.or_else(|| always.lock().unwrap().clone());
        let _ = events.send(Event { first, headers, body });
        let answer = match answer.as_deref() {
            Some("") => return,
            Some("hang") => {
                // Until the relay gives up.
                let _ = reader.read(&mut [0; 1]);
                return;
            }
            Some(answer) => {
                let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
                let head = head.replace('\n', "\r\n");
                format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            None => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        };
        if (&*socket).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
