//! The page of the first MM, run: two relays with its configurations, its commands in its order, on loopback instead of its two
//! hosts. `packaging/test-in-a-clean-root` runs the same page between two installed packages.

use crate::pages::{Block, blocks, missing, page, section};
use crate::world::binary;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// One of the two hosts.
struct Host {
    name: &'static str,
    folder: tempfile::TempDir,
    relay: Option<(Child, BufReader<ChildStdout>)>,
    /// The id that the last command which printed one printed first.
    id: String,
}

/// What stands in the page for something of ours.
type Stand = Vec<(String, String)>;

fn in_our_words(text: &str, stand: &Stand) -> String {
    stand.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// The host that a block's first line names: `# on A`.
fn whose(block: &Block) -> Option<&'static str> {
    let first = block.text.lines().next()?;
    ["A", "B"].into_iter().find(|name| first.starts_with('#') && first.ends_with(&format!("on {name}")))
}

impl Host {
    fn new(name: &'static str) -> Self {
        Self { name, folder: tempfile::tempdir().unwrap(), relay: None, id: String::new() }
    }

    fn start(&mut self, config: &str, stand: &Stand) {
        let data = self.folder.path().join("data");
        let text = in_our_words(config, stand).replace("/var/lib/belino", data.to_str().unwrap());
        let file = self.folder.path().join("belino.toml");
        std::fs::write(&file, text).unwrap();
        let mut process = Command::new(binary())
            .args(["serve", "-c"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{}: {line:?}", self.name);
        self.relay = Some((process, stdout));
    }

    /// Run a line as a shell does; what it prints.
    fn run(&mut self, line: &str) -> String {
        let path = Path::new(binary()).parent().unwrap();
        let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
        let output = Command::new("/bin/sh")
            .arg("-c")
            .arg(line.replace(" ID", &format!(" {}", self.id)))
            .env("PATH", path)
            .env("BELINO_CONFIG", self.folder.path().join("belino.toml"))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let id =
            said.split(|c: char| !c.is_ascii_alphanumeric()).find(|w| w.len() == 26 && w.starts_with('0'));
        if let Some(id) = id {
            self.id = id.to_owned();
        }
        said
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some((mut process, _)) = self.relay.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The line of a history that is not there when the response was quicker.
const TAKEN: &str = "MM4_forward.REQ taken by the peer";

/// Run the commands of these blocks in order, and compare what they print with the block of text behind each.
fn play(blocks: &[Block], hosts: &mut [Host; 2], stand: &Stand) -> usize {
    let (_never, pause) = channel::<()>();
    let mut compared = 0;
    for (i, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        let Some(whose) = whose(block) else { continue };
        let host = hosts.iter_mut().find(|host| host.name == whose).unwrap();
        let lines: Vec<&str> = block.text.lines().filter(|line| line.starts_with("belino ")).collect();
        let expected = blocks.get(i + 1).filter(|next| next.language == "text" && !lines.is_empty());
        let expected = expected.map(|next| in_our_words(&next.text, stand)).unwrap_or_default();
        compared += usize::from(!expected.is_empty());
        let mut printed: String = lines.iter().map(|line| host.run(line)).collect();
        // What one side has done the other sees a moment later. Looking again changes nothing; sending would.
        let only_looks = |line: &&str| {
            let verb = line.split(' ').nth(1).unwrap_or_default();
            *line == "belino mailbox" || ["trace", "peer", "route"].contains(&verb)
        };
        let may_look_again = lines.iter().all(only_looks);
        for _ in 0..200 {
            if missing(&expected, &printed).is_none() || !may_look_again {
                break;
            }
            let _ = pause.recv_timeout(Duration::from_millis(50));
            printed = lines.iter().map(|line| host.run(line)).collect();
        }
        // A response may overtake the reply to its request, as the page says.
        let overtaken = printed.contains("response received") && !printed.contains(TAKEN);
        let expected: String =
            expected.split_inclusive('\n').filter(|line| !overtaken || !line.contains(TAKEN)).collect();
        assert_eq!(missing(&expected, &printed), None, "{}:\n{printed}", block.text);
    }
    compared
}

#[test]
fn the_first_mm_arrives_in_under_ten_steps() {
    let text = page("guide/first-mm.md");
    let all = blocks(&text);
    // The steps: each command, and each file that has to be written.
    let end = text.find("\n## What happened").unwrap();
    let steps = blocks(&text[..end]);
    let commands = steps.iter().filter(|block| block.language == "sh");
    let commands: usize = commands.map(|b| b.text.lines().filter(|l| !l.starts_with('#')).count()).sum();
    let files = steps.iter().filter(|block| block.language == "toml").count();
    assert!(commands + files < 10, "{commands} commands and {files} files");

    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let stand: Stand = [
        ("192.0.2.10:25", free()),
        ("192.0.2.20:25", free()),
        ("192.0.2.10", "127.0.0.1".into()),
        ("192.0.2.20", "127.0.0.1".into()),
    ]
    .map(|(theirs, ours)| (theirs.to_owned(), ours))
    .into();
    let mut hosts = [Host::new("A"), Host::new("B")];
    for host in &mut hosts {
        let config =
            all.iter().find(|block| block.language == "toml" && whose(block) == Some(host.name)).unwrap();
        host.start(&config.text, &stand);
    }
    assert_eq!(play(&all, &mut hosts, &stand), 4);
    // What a link is looked at with before it goes live, over the same two.
    let peer = page("guide/first-peer.md");
    assert_eq!(play(&blocks(section(&peer, "Bring it up")), &mut hosts, &stand), 1);
}
