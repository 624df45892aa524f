//! The demonstration: two relays on loopback, each with its own store, exchange a picture message, and everything that
//! happens is told in words.
//!
//! Nothing of it leaves the machine; without `--keep` nothing of it stays, but for the delivered picture.

use crate::admin::{self, Request, client};
use crate::cli::{Common, init_log};
use crate::clock::Clock;
use crate::compose::{Attachment, compose};
use crate::config::Config;
use crate::decode::{self, hex};
use crate::serve::{Running, start};
use crate::view::Plain;
use anyhow::{Context as _, bail};
use clap::Args;
use mms::{MmId, Timestamp};
use relay::{Moment, RecipientState, What};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The picture that is sent.
const PICTURE: &[u8] = include_bytes!("../assets/picture.jpg");
const TEXT: &str = "Good evening from relay A! A picture is worth a thousand short messages.";
const SENDER: &str = "+12025550100";
const RECIPIENT: &str = "+12025550110";
/// How long the whole exchange may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Show two relays exchanging a picture message, here and now; needs no configuration
#[derive(Args)]
pub struct Demo {
    /// Leave both relays running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Show the SMTP dialogue as well
    #[arg(long)]
    verbose: bool,
    /// Send this picture instead of our own
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Work in this folder, and leave it there [default: a temporary folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// One of the two relays.
struct Side {
    name: &'static str,
    data: PathBuf,
    config_file: PathBuf,
    running: Running,
    news: UnboundedReceiver<(MmId, Moment)>,
}

/// Paints words when somebody looks.
struct Paint(bool);

impl Paint {
    fn bold(&self, text: &str) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn green(&self, text: &str) -> String {
        if self.0 { format!("\x1b[32m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn dim(&self, text: &str) -> String {
        if self.0 { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Demo {
    /// Run it. The exit code tells whether the picture arrived unchanged and was answered `Ok`.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        init_log(common, if self.verbose { "error,belino::dialogue=trace" } else { "error" })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let code = runtime.block_on(self.show(common))?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(code)
    }

    async fn show(self, common: &Common) -> anyhow::Result<ExitCode> {
        let paint = Paint(!common.json && std::io::stdout().is_terminal());
        let quiet = common.json;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => tempfile::Builder::new().prefix("belino-demo-").tempdir()?.keep(),
        };
        let picture = match &self.picture {
            Some(path) => Attachment::read(path)?,
            None => Attachment {
                name: "picture.jpg".into(),
                content_type: "image/jpeg".into(),
                octets: PICTURE.to_vec(),
            },
        };
        let sent = hex(&Sha256::digest(&picture.octets));
        let size = picture.octets.len();
        let say = |line: String| {
            if !quiet {
                println!("{line}");
            }
        };
        say(paint.bold("Belino: two operators exchange a picture message over MM4"));
        say(String::new());

        let [mut a, mut b] = self.start_both(&folder).await?;
        for side in [&a, &b] {
            let address = side.running.addresses.first().map(ToString::to_string).unwrap_or_default();
            say(format!(
                "  relay {}   mms.{}.example on {address}, store in {}",
                side.name,
                side.name.to_lowercase(),
                side.data.display()
            ));
        }
        say(format!("  {SENDER} is a user of relay A, {RECIPIENT} of relay B"));
        say(String::new());

        let begun = crate::clock::Clock::System.now();
        let mm = self.hand_in(&a, picture).await?;
        let id = mm["id"].as_str().unwrap_or_default().to_owned();
        let done = tokio::time::timeout(PATIENCE, tell(&mut a, &mut b, begun, &paint, quiet)).await;
        if done.is_err() {
            a.running.stop().await;
            b.running.stop().await;
            bail!("the exchange did not finish within {} s; see it again with --verbose", PATIENCE.as_secs());
        }

        let out = folder.join("delivered");
        let (delivered, path) = fetch(&b, &out).await?;
        let ledger = trace(&a, &id).await?;
        let status = ledger["recipients"][0]["status"].as_str().unwrap_or("none").to_owned();
        let accepted = ledger["recipients"][0]["state"] == RecipientState::Accepted.word();
        let got = delivered["sha256"].as_str().unwrap_or_default().to_owned();
        let success = got == sent && accepted && status == "Ok";
        if quiet {
            let result = json!({
                "success": success,
                "sent_sha256": sent,
                "delivered_sha256": got,
                "delivered_file": path.display().to_string(),
                "size": size,
                "response": status,
                "folder": folder.display().to_string(),
                "id": id,
            });
            println!("{result}");
        } else {
            say(String::new());
            say(paint.bold("What was delivered"));
            say(format!("  {}", path.display()));
            say(format!("  {} octets, sha256 {got}", delivered["size"]));
            let verdict =
                if got == sent { paint.green("the same as the one sent") } else { "NOT the one sent".into() };
            say(format!("  {size} octets, sha256 {sent} was sent: {verdict}"));
            say(format!("  relay B's MM4_forward.RES: {}", paint.green(&status)));
        }
        if self.keep && !quiet {
            self.stay(&a, &b, &id, &paint).await?;
        } else if !quiet {
            say(String::new());
            say(paint.bold("Look further"));
            say("  belino demo --verbose     the SMTP dialogue of both relays".into());
            say("  belino demo --keep        leaves both relays running, to try queue, trace, mailbox and send".into());
            say("  README.md                 a first configuration between two hosts".into());
        }
        a.running.stop().await;
        b.running.stop().await;
        Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Both relays, each knowing the other's address.
    async fn start_both(&self, folder: &Path) -> anyhow::Result<[Side; 2]> {
        // Bound once to find free ports; each relay binds its own again at once.
        let (one, two) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let ports = [one.local_addr()?.port(), two.local_addr()?.port()];
        drop((one, two));
        let a = side("A", folder, ports[0], "b", ports[1], "+1202555010", "+1202555011").await?;
        let b = side("B", folder, ports[1], "a", ports[0], "+1202555011", "+1202555010").await?;
        Ok([a, b])
    }

    async fn hand_in(&self, a: &Side, picture: Attachment) -> anyhow::Result<Value> {
        let composed = compose(Some(TEXT), vec![picture])?;
        let request = Request::Send(Box::new(admin::Send {
            from: SENDER.into(),
            to: vec![RECIPIENT.into()],
            subject: Some("Good evening".into()),
            content_type: composed.content_type,
            content_transfer_encoding: composed.content_transfer_encoding,
            octets: composed.wire_form.len(),
            ..admin::Send::default()
        }));
        ask(&a.data, request, composed.wire_form).await.map(|(value, _)| value)
    }

    async fn stay(&self, a: &Side, b: &Side, id: &str, paint: &Paint) -> anyhow::Result<()> {
        println!();
        println!("{}", paint.bold("Both relays keep running. In another terminal:"));
        let (a_config, b_config) = (a.config_file.display(), b.config_file.display());
        println!("  belino -c {a_config} trace {id}");
        println!("  belino -c {b_config} mailbox");
        println!("  belino -c {b_config} send --from {RECIPIENT} --to {SENDER} --text 'Thank you!'");
        println!("  belino -c {a_config} queue --all");
        println!("Ctrl-C stops them.");
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}

async fn side(
    name: &'static str,
    folder: &Path,
    port: u16,
    peer: &str,
    peer_port: u16,
    ours: &str,
    theirs: &str,
) -> anyhow::Result<Side> {
    let lower = name.to_lowercase();
    let home = folder.join(&lower);
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let text = format!(
        "# Relay {name} of the demonstration.\n\
         [relay]\ndomain = \"mms.{lower}.example\"\ndata = \"data\"\n\n\
         [mm4]\nlisten = [\"127.0.0.1:{port}\"]\n\n\
         [[local]]\nprefixes = [\"{ours}\"]\ndock = \"mailbox\"\n\n\
         [[peer]]\nname = \"{peer}\"\ndomains = [\"mms.{peer}.example\"]\nhosts = [\"127.0.0.1:{peer_port}\"]\n\
         from = [\"127.0.0.1\"]\nprefixes = [\"{theirs}\"]\n"
    );
    let config_file = home.join("belino.toml");
    std::fs::write(&config_file, &text)?;
    let config: Config = crate::config::parse(&text, &config_file)?;
    let data = config.data.clone();
    let (watcher, news) = unbounded_channel();
    let running = start(config, Clock::System, Some(watcher)).await?;
    Ok(Side { name, data, config_file, running, news })
}

/// Tell what happens on both sides until everything is said: delivered at B, and B's response heard at A.
async fn tell(a: &mut Side, b: &mut Side, begun: Timestamp, paint: &Paint, quiet: bool) {
    let (mut stored, mut answered) = (false, false);
    while !(stored && answered) {
        let (side, moment) = tokio::select! {
            Some((_, moment)) = a.news.recv() => ("A", moment),
            Some((_, moment)) = b.news.recv() => ("B", moment),
            else => return,
        };
        stored |= side == "B" && moment.what == What::Stored;
        answered |= side == "A" && moment.what == What::Response;
        // What was refused or failed will not be stored any more: no reason to wait.
        stored |= matches!(moment.what, What::Refused | What::Failed);
        if quiet {
            continue;
        }
        let after = moment.at.since(begun).as_millis();
        let words = in_words(side, &moment);
        println!(
            "  {} {}  {words}",
            paint.dim(&format!("{after:>5} ms")),
            paint.bold(&format!("relay {side}"))
        );
        if !moment.text.is_empty() {
            println!("                    {}", paint.dim(&Plain(&moment.text).to_string()));
        }
    }
}

/// One moment, for somebody who has never seen MM4.
fn in_words(side: &str, moment: &Moment) -> String {
    let other = if side == "A" { "B" } else { "A" };
    match moment.what {
        What::Submitted => format!("takes the MM from its user {SENDER} and stores it safely"),
        What::Queued => format!("sees that {RECIPIENT} belongs to relay {other}, and queues MM4_forward.REQ"),
        What::Received => format!("receives MM4_forward.REQ from relay {other}"),
        What::Stored => format!("has it on disk, and puts it into the mailbox of {RECIPIENT}"),
        What::Forwarded => format!("hears \"250\": relay {other} owns the MM now; its response is awaited"),
        What::Answered => format!("has sent MM4_forward.RES, because relay {other} asked for a response"),
        What::Response if moment.text == "Ok" => {
            format!("receives MM4_forward.RES from relay {other}: the MM is accepted")
        }
        What::Response => format!("receives MM4_forward.RES from relay {other}: the MM is not accepted"),
        What::Retrieved => "hands the MM to its recipient".to_owned(),
        other => other.sentence().to_owned(),
    }
}

async fn ask(data: &Path, request: Request, body: Vec<u8>) -> anyhow::Result<(Value, Vec<u8>)> {
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || client::ask(&data, &request, &body)).await?
}

/// The recipient fetches the MM; the picture's part and file.
async fn fetch(b: &Side, out: &Path) -> anyhow::Result<(Value, PathBuf)> {
    let (rows, _) = ask(&b.data, Request::Mailbox { recipient: None, max: 1 }, Vec::new()).await?;
    let id = rows[0]["id"].as_str().context("nothing lies in relay B's mailbox")?.to_owned();
    let request = Request::Retrieve { id, recipient: None, peek: false, report: true };
    let (_, octets) = ask(&b.data, request, Vec::new()).await?;
    let mail = decode::mail(&octets);
    std::fs::create_dir_all(out)?;
    let mut picture = None;
    for (i, part) in mail.parts.iter().enumerate() {
        let path = out.join(decode::file_name(i, part));
        std::fs::write(&path, &part.octets)?;
        if part.part.kind().starts_with("image/") {
            picture = Some((mail.json["parts"][i].clone(), path));
        }
    }
    picture.context("the delivered MM has no picture")
}

async fn trace(a: &Side, id: &str) -> anyhow::Result<Value> {
    let (rows, _) = ask(&a.data, Request::Trace { id: id.to_owned() }, Vec::new()).await?;
    Ok(rows[0].clone())
}
