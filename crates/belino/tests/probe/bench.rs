//! A test bench: a configuration, and a peer that takes what the probe sends and answers it by hand, well or badly.

use crate::world::*;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

/// In B's range, and nobody's.
pub const UNKNOWN: &str = "+12025550119";

/// A mail that the peer sends back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Envelope recipient.
    pub to: String,
    lines: Vec<(String, String)>,
}

impl Answer {
    fn new(kind: &str, to: &str) -> Self {
        let system = "system-user@mms.b.example";
        let lines = [
            ("Date", "Tue, 04 Mar 2025 10:15:33 +0000"),
            ("From", system),
            ("Sender", system),
            ("To", to),
            ("Message-ID", "<r-1@mms.b.example>"),
            ("X-Mms-3GPP-MMS-Version", "5.5.0"),
            ("X-Mms-Message-Type", kind),
        ];
        let lines = lines.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        Self { to: to.to_owned(), lines }
    }

    pub fn is_response(&self) -> bool {
        self.get("X-Mms-Message-Type").is_some_and(|t| t.ends_with("RES"))
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.lines.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    pub fn set(&mut self, name: &str, value: &str) {
        match self.lines.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.lines.push((name.to_owned(), value.to_owned())),
        }
    }

    pub fn drop(&mut self, name: &str) {
        self.lines.retain(|(n, _)| n != name);
    }

    fn content(&self) -> Vec<u8> {
        let lines: String = self.lines.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        format!("{lines}\r\n").into_bytes()
    }
}

/// What an honest peer answers: clause 8.4 by hand.
fn honest(mail: &Received, heeds_acks: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    let transaction_id = mail.header("X-Mms-Transaction-ID");
    let mut respond = |status: &str, recipients: &[&String]| {
        let mut answer = Answer::new("MM4_forward.RES", &mail.must("X-Mms-Originator-System"));
        if let Some(id) = &transaction_id {
            answer.set("X-Mms-Transaction-ID", id);
        }
        answer.set("X-Mms-Message-ID", &mail.must("X-Mms-Message-ID"));
        answer.set("X-Mms-Request-Status-Code", status);
        if !recipients.is_empty() {
            let list: Vec<&str> = recipients.iter().map(|r| r.split('@').next().unwrap()).collect();
            answer.set("X-Mms-Request-Recipients", &list.join(", "));
        }
        answers.push(answer);
    };
    let (unknown, known): (Vec<&String>, Vec<&String>) = mail.to.iter().partition(|to| to.contains(UNKNOWN));
    if heeds_acks && mail.must("X-Mms-Ack-Request") != "Yes" {
        // Silence.
    } else if mail.must("X-Mms-Message-Type") != "MM4_forward.REQ" {
        respond("Error-unsupported-message", &[]);
    } else if transaction_id.is_none() {
        respond("Error-message-format-corrupt", &[]);
    } else {
        if !known.is_empty() {
            respond("Ok", &known);
        }
        if !unknown.is_empty() {
            respond("Error-sending-address-unresolved", &unknown);
        }
    }
    if mail.header("X-Mms-Delivery-Report").as_deref() == Some("Yes") {
        let originator = mail.must("From");
        let mut report = Answer::new("MM4_delivery_report.REQ", &originator);
        report.set("From", &mail.to[0]);
        report.set("X-Mms-Transaction-ID", "dr-1@mms.b.example");
        report.set("X-Mms-Message-ID", &mail.must("X-Mms-Message-ID"));
        report.set("X-Mms-MM-Status-Code", "Retrieved");
        answers.push(report);
    }
    answers
}

type Fault = Box<dyn FnMut(&Received, &mut Vec<Answer>) + Send>;
type Beside = Box<dyn FnOnce(SocketAddr) + Send>;

/// A peer and whoever probes it.
pub struct Bench {
    folder: tempfile::TempDir,
    peer: Mutex<Option<Peer>>,
    listen: SocketAddr,
    fault: Mutex<Option<Fault>>,
    beside: Mutex<Option<Beside>>,
    heeds_acks: bool,
    from: IpAddr,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = Peer::new("b", Ipv4Addr::new(127, 0, 0, 2));
        // Nobody else uses this port in the moment until the probe listens there.
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n\n[mm4]\nlisten = [\"{listen}\"]\n\n\
             [[local]]\nprefixes = [\"+1202555010\"]\ndock = \"mailbox\"\n\n\
             [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\nhosts = [\"{}\"]\nfrom = [\"127.0.0.2\"]\n\
             prefixes = [\"+1202555011\"]\n",
            peer.address
        );
        std::fs::write(folder.path().join("belino.toml"), text).unwrap();
        let bench = Self {
            folder,
            peer: Mutex::new(Some(peer)),
            listen,
            fault: Mutex::default(),
            beside: Mutex::default(),
            heeds_acks: true,
            from: IpAddr::from([127, 0, 0, 2]),
        };
        bench.replies(|_| None)
    }

    /// Change what an honest peer answers.
    pub fn fault(self, fault: impl FnMut(&Received, &mut Vec<Answer>) + Send + 'static) -> Self {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
        self
    }

    /// Do something beside the answers, when the first mail has come.
    pub fn beside(self, beside: impl FnOnce(SocketAddr) + Send + 'static) -> Self {
        *self.beside.lock().unwrap() = Some(Box::new(beside));
        self
    }

    /// Whether it heeds that no response is asked for.
    pub fn honest_about_acks(mut self, heeds: bool) -> Self {
        self.heeds_acks = heeds;
        self
    }

    /// From where answers come.
    pub fn answers_from(mut self, from: [u8; 4]) -> Self {
        self.from = IpAddr::from(from);
        self
    }

    /// Other replies than the usual ones. As RFC 5321 has it, a RCPT without MAIL gets `503`.
    pub fn replies(self, mut replies: impl FnMut(&str) -> Option<String> + Send + 'static) -> Self {
        let mut in_transaction = false;
        self.with_peer(|peer| {
            peer.answer(move |line| {
                let verb = line.get(..4).unwrap_or(line);
                match verb {
                    "MAIL" => in_transaction = true,
                    "RCPT" | "DATA" => {}
                    "NOOP" => {}
                    _ => in_transaction = false,
                }
                let bad = verb == "RCPT" && !in_transaction;
                replies(line).or_else(|| bad.then(|| "503 5.5.1 MAIL first".to_owned()))
            });
        });
        self
    }

    /// What EHLO offers; nothing = it is refused.
    pub fn extensions(self, list: &[&str]) -> Self {
        self.with_peer(|peer| peer.extensions(list));
        self
    }

    fn with_peer<T>(&self, look: impl FnOnce(&Peer) -> T) -> T {
        look(self.peer.lock().unwrap().as_ref().unwrap())
    }

    pub fn connections(&self) -> usize {
        self.with_peer(Peer::connections)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `belino probe b` with every number, and nobody who answers.
    pub fn cli(&self, more: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path()).args(["-c", "belino.toml", "probe", "b"]);
        command.args(crate::NUMBERS).args(more).output().unwrap()
    }

    /// Run the probe against the peer, which answers.
    pub fn run(&self, more: &[&str]) -> Outcome {
        let peer = self.peer.lock().unwrap().take().expect("a bench runs once");
        let (mut fault, mut beside) = (self.fault.lock().unwrap().take(), self.beside.lock().unwrap().take());
        let (heeds_acks, from, listen) = (self.heeds_acks, self.from, self.listen);
        std::thread::spawn(move || {
            while let Some(mail) = peer.try_mail() {
                if let Some(beside) = beside.take() {
                    beside(listen);
                }
                let mut answers = honest(&mail, heeds_acks);
                if let Some(fault) = &mut fault {
                    fault(&mail, &mut answers);
                }
                for answer in answers {
                    if let Some(mut client) = Client::try_greeted(from, listen) {
                        client.mail("system-user@mms.b.example", &[&answer.to], &answer.content());
                    }
                }
            }
        });
        let mut all = vec!["--json", "--yes"];
        if !more.contains(&"--wait") {
            // Never waited for: everything comes.
            all.extend(["--wait", "20s"]);
        }
        all.extend(more);
        Outcome::of(&self.cli(&all))
    }
}

/// What the probe said.
pub struct Outcome {
    pub json: Value,
    pub code: Option<i32>,
}

impl Outcome {
    pub fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let json: Value = serde_json::from_str(text.trim())
            .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        assert!(json["cases"].is_array(), "{json}");
        Self { json, code: output.status.code() }
    }

    fn rows(&self) -> &Vec<Value> {
        self.json["cases"].as_array().unwrap()
    }

    pub fn row(&self, id: &str) -> &Value {
        self.rows().iter().find(|row| row["id"] == id).unwrap()
    }

    /// What failed or is odd.
    pub fn wrong(&self) -> Vec<(String, String)> {
        let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let wrong = self.rows().iter().filter(|row| row["verdict"] == "fail" || row["verdict"] == "warn");
        wrong.map(|row| (word(row, "id"), word(row, "verdict"))).collect()
    }

    /// Every case passed but the one that only the subscriber can see.
    pub fn passes(&self) {
        for row in self.rows() {
            let expected = if row["id"] == "P-50" { "skip" } else { "pass" };
            assert_eq!(row["verdict"], expected, "{row}\n{}", self.shown());
        }
        assert_eq!(self.code, Some(0));
    }

    pub fn shown(&self) -> String {
        let rows =
            self.rows().iter().map(|r| format!("{} {} {}: {}", r["id"], r["verdict"], r["title"], r["seen"]));
        let said = serde_json::to_string_pretty(&self.json["transcripts"]).unwrap();
        format!("{}\n{said}", rows.collect::<Vec<_>>().join("\n"))
    }
}
