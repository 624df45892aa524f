//! The demonstration: two relays on loopback, each with its own store, exchange a picture message, and everything that
//! happens is told in words.
//!
//! Nothing of it leaves the machine; of a temporary folder only the delivered picture stays.

use crate::admin::{self, Request, client};
use crate::cli::{Common, init_log};
use crate::clock::Clock;
use crate::compose::{Attachment, compose};
use crate::config::Config;
use crate::decode::{self, hex};
use crate::serve::{Running, Watcher, start};
use crate::view::{self, Plain};
use anyhow::{Context as _, bail};
use clap::Args;
use mms::Timestamp;
use relay::{Moment, RecipientState, What};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The picture that is sent.
const PICTURE: &[u8] = include_bytes!("../assets/picture.jpg");
const TEXT: &str = "Good evening from relay A! A picture is worth a thousand short messages.";
const SENDER: &str = "+12025550100";
const RECIPIENT: &str = "+12025550110";
/// Two users of relay B, and a number in its range that nobody has.
const THREE: [&str; 3] = ["+12025550111", "+12025550112", "+12025550119"];
/// Who logs in to the console, and where the token stands.
const CONSOLE_USER: &str = "demo";
const CONSOLE_TOKEN: &str = "console.token";
/// How long the whole exchange may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Show two relays exchanging a picture message, here and now; needs no configuration
#[derive(Args)]
pub struct Demo {
    /// Leave both relays running afterwards, until Ctrl-C, with a console to watch relay A
    #[arg(long, visible_alias = "stay")]
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

/// What happens on both sides, in order.
type News = UnboundedReceiver<(&'static str, Moment)>;

/// One of the two relays.
struct Side {
    name: &'static str,
    data: PathBuf,
    config_file: PathBuf,
    running: Running,
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
                content_id: None,
                content_location: None,
            },
        };
        let sent = hex(&Sha256::digest(&picture.octets));
        let size = picture.octets.len();
        let say = |line: String| {
            if !quiet {
                say!("{line}");
            }
        };
        say(paint.bold("Belino: two operators exchange a picture message over MM4"));
        say(String::new());

        let ([a, b], news) = self.start_both(&folder).await?;
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

        let told = self.acts(&a, &b, Story::new(news, &paint, quiet), picture, &folder).await;
        let Told { id, delivered, path, status, reports, three } = match told {
            Ok(told) => told,
            Err(error) => {
                a.running.stop().await;
                b.running.stop().await;
                return Err(error);
            }
        };
        let got = delivered["sha256"].as_str().unwrap_or_default().to_owned();
        let shares = three.iter().filter(|(_, state)| state == RecipientState::Accepted.word()).count();
        let success = got == sent && status == "Ok" && reports == ["Retrieved", "Read"] && shares == 2;
        if quiet {
            let three: Vec<Value> =
                three.iter().map(|(to, state)| json!({ "to": to, "state": state })).collect();
            let result = json!({
                "success": success,
                "sent_sha256": sent,
                "delivered_sha256": got,
                "delivered_file": path.display().to_string(),
                "size": size,
                "response": status,
                "reports": reports,
                "three_recipients": three,
                "folder": folder.display().to_string(),
                "id": id,
            });
            say!("{result}");
        } else {
            say(String::new());
            say(paint.bold("What was delivered"));
            say(format!("  {}", path.display()));
            say(format!("  {} octets, sha256 {got}", delivered["size"]));
            let verdict =
                if got == sent { paint.green("the same as the one sent") } else { "NOT the one sent".into() };
            say(format!("  {size} octets, sha256 {sent} was sent: {verdict}"));
            say(format!("  relay B's MM4_forward.RES: {}", paint.green(&status)));
            say(format!("  its reports: {}", reports.join(", ")));
            let three: Vec<String> = three.iter().map(|(to, state)| format!("{to} {state}")).collect();
            say(format!("  the second MM's recipients: {}", three.join(", ")));
        }
        if self.keep && !quiet {
            self.stay(&a, &b, &id, &paint).await?;
        } else if !quiet {
            say(String::new());
            say(paint.bold("Look further"));
            say("  belino demo --verbose     the SMTP dialogue of both relays".into());
            say("  belino demo --stay        leaves both relays running, with a console to watch and click through".into());
            say("  README.md                 a first configuration between two hosts".into());
        }
        a.running.stop().await;
        b.running.stop().await;
        if self.folder.is_none() {
            // The stores have served; the delivered picture stays, to be looked at.
            for side in ["a", "b"] {
                let _ = std::fs::remove_dir_all(folder.join(side));
            }
        }
        Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The story in three acts: an MM is exchanged; its recipient fetches and reads it; one MM goes to three.
    async fn acts(
        &self,
        a: &Side,
        b: &Side,
        mut story: Story<'_>,
        picture: Attachment,
        folder: &Path,
    ) -> anyhow::Result<Told> {
        story.act("A picture message from relay A to relay B");
        let mm = self.hand_in(a, &[RECIPIENT], Some(picture)).await?;
        let id = mm["id"].as_str().unwrap_or_default().to_owned();
        story
            .tell(&[("B", What::Stored, 1), ("A", What::Response, 1), ("B", What::Answered, 1)], true)
            .await?;
        let status = trace(a, &id).await?["recipients"][0]["status"].as_str().unwrap_or("none").to_owned();

        story.act("Its recipient fetches it and reads it; the sender asked to know");
        let (delivered, path) = fetch(b, &folder.join("delivered")).await?;
        story.tell(&[("A", What::Report, 2), ("B", What::Answered, 2)], false).await?;
        let recipient = trace(a, &id).await?["recipients"][0].clone();
        let reports = [&recipient["delivery_report"], &recipient["read_reply_report"]];
        let reports = reports.map(|r| r.as_str().unwrap_or("none").to_owned());

        story.act("One message to three, of whom relay B knows two");
        let mm = self.hand_in(a, &THREE, None).await?;
        story.tell(&[("A", What::Response, 2), ("B", What::Answered, 2)], false).await?;
        let mm = trace(a, mm["id"].as_str().unwrap_or_default()).await?;
        let recipients = mm["recipients"].as_array().cloned().unwrap_or_default();
        let three = recipients.iter().map(|r| (view::text(&r["address"]["value"]), view::text(&r["state"])));
        Ok(Told { id, delivered, path, status, reports, three: three.collect() })
    }

    /// Both relays, each knowing the other's address.
    async fn start_both(&self, folder: &Path) -> anyhow::Result<([Side; 2], News)> {
        // Bound once to find free ports; each relay binds its own again at once.
        let (one, two) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let ports = [one.local_addr()?.port(), two.local_addr()?.port()];
        drop((one, two));
        let (tell, news) = unbounded_channel();
        let told = tell.clone();
        let a =
            side("A", folder, ports[0], "b", ports[1], "+1202555010", "+1202555011", told, self.keep).await?;
        let b = side("B", folder, ports[1], "a", ports[0], "+1202555011", "+1202555010", tell, false).await?;
        Ok(([a, b], news))
    }

    async fn hand_in(&self, a: &Side, to: &[&str], picture: Option<Attachment>) -> anyhow::Result<Value> {
        let reported = picture.is_some();
        let composed = compose(Some(TEXT), picture.into_iter().collect())?;
        let request = Request::Send(Box::new(admin::Send {
            from: SENDER.into(),
            to: to.iter().map(|t| (*t).to_owned()).collect(),
            subject: Some("Good evening".into()),
            delivery_report: reported,
            read_reply: reported,
            content_type: composed.content_type,
            content_transfer_encoding: composed.content_transfer_encoding,
            octets: composed.wire_form.len(),
            ..admin::Send::default()
        }));
        ask(&a.data, request, composed.wire_form).await.map(|(value, _)| value)
    }

    async fn stay(&self, a: &Side, b: &Side, id: &str, paint: &Paint) -> anyhow::Result<()> {
        say!();
        say!("{}", paint.bold("Both relays keep running. In another terminal:"));
        let (a_config, b_config) = (a.config_file.display(), b.config_file.display());
        let belino =
            std::env::current_exe().map_or_else(|_| "belino".into(), |path| path.display().to_string());
        say!("  {belino} -c {a_config} trace {id}");
        say!("  {belino} -c {b_config} mailbox");
        say!("  {belino} -c {b_config} send --from {RECIPIENT} --to {SENDER} --text 'Thank you!'");
        say!("  {belino} -c {a_config} queue --all");
        if let Some(address) = a.running.console_addresses.first() {
            say!();
            say!("{}", paint.bold("The console of relay A. This link logs you in once, within 15 minutes:"));
            say!("  http://{address}{}", a.running.console.link(CONSOLE_USER));
            say!("  After that: the token in {}", a.config_file.with_file_name(CONSOLE_TOKEN).display());
            say!();
        }
        say!("Ctrl-C stops them.");
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}

#[expect(clippy::too_many_arguments, reason = "the two sides differ in all of these, and in nothing else")]
async fn side(
    name: &'static str,
    folder: &Path,
    port: u16,
    peer: &str,
    peer_port: u16,
    ours: &str,
    theirs: &str,
    tell: UnboundedSender<(&'static str, Moment)>,
    console: bool,
) -> anyhow::Result<Side> {
    let lower = name.to_lowercase();
    let home = folder.join(&lower);
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // The last two numbers of each range belong to nobody.
    let subscribers: Vec<String> = (0..8).map(|i| format!("\"{ours}{i}\"")).collect();
    let subscribers = subscribers.join(", ");
    let text = format!(
        "# Relay {name} of the demonstration.\n\
         [relay]\ndomain = \"mms.{lower}.example\"\ndata = \"data\"\n\n\
         [mm4]\nlisten = [\"127.0.0.1:{port}\"]\n\n\
         [[local]]\nprefixes = [\"{ours}\"]\ndock = \"mailbox\"\nsubscribers = [{subscribers}]\n\n\
         [[peer]]\nname = \"{peer}\"\ndomains = [\"mms.{peer}.example\"]\nhosts = [\"127.0.0.1:{peer_port}\"]\n\
         from = [\"127.0.0.1\"]\nprefixes = [\"{theirs}\"]\n"
    );
    let text = match console {
        false => text,
        true => {
            let token = hex(&[crate::entropy().to_be_bytes(), crate::entropy().to_be_bytes()].concat());
            own_file(&home.join(CONSOLE_TOKEN), &token)?;
            format!(
                "{text}\n[console]\nlisten = [\"127.0.0.1:0\"]\n\n[[console.user]]\nname = \"{CONSOLE_USER}\"\n\
                 token_file = \"{CONSOLE_TOKEN}\"\nrole = \"operate\"\n"
            )
        }
    };
    let config_file = home.join("belino.toml");
    std::fs::write(&config_file, &text)?;
    let config: Config = crate::config::parse(&text, &config_file)?;
    let data = config.data.clone();
    let watcher: Watcher = Box::new(move |_, moment| drop(tell.send((name, moment.clone()))));
    let running = start(config, Clock::System, Some(watcher)).await?;
    Ok(Side { name, data, config_file, running })
}

/// A file for its owner only.
fn own_file(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = std::fs::remove_file(path);
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("cannot create {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

/// What the acts have shown.
struct Told {
    id: String,
    delivered: Value,
    path: PathBuf,
    status: String,
    reports: [String; 2],
    three: Vec<(String, String)>,
}

/// Tells what happens on both sides.
struct Story<'a> {
    begun: Timestamp,
    news: News,
    paint: &'a Paint,
    quiet: bool,
}

impl<'a> Story<'a> {
    fn new(news: News, paint: &'a Paint, quiet: bool) -> Self {
        Self { begun: Clock::System.now(), news, paint, quiet }
    }

    fn act(&mut self, title: &str) {
        self.begun = Clock::System.now();
        if !self.quiet {
            say!("\n{}", self.paint.bold(title));
        }
    }

    /// Until each of these has happened on its side so many times, or, if failure is not a part of the act, something
    /// has failed.
    async fn tell(&mut self, awaited: &[(&str, What, usize)], ends_with_failure: bool) -> anyhow::Result<()> {
        let mut awaited = awaited.to_vec();
        let Self { begun, news, paint, quiet } = self;
        let story = async {
            while awaited.iter().any(|(_, _, left)| *left > 0) {
                let Some((side, moment)) = news.recv().await else { return };
                for (at, what, left) in &mut awaited {
                    let failed = matches!(moment.what, What::Refused | What::Failed) && ends_with_failure;
                    if (*at == side && *what == moment.what) || failed {
                        *left = left.saturating_sub(1);
                    }
                }
                line(side, &moment, *begun, paint, *quiet);
            }
        };
        if tokio::time::timeout(PATIENCE, story).await.is_err() {
            bail!("the exchange did not finish within {} s; see it again with --verbose", PATIENCE.as_secs());
        }
        Ok(())
    }
}

fn line(side: &str, moment: &Moment, begun: Timestamp, paint: &Paint, quiet: bool) {
    if quiet {
        return;
    }
    let after = moment.at.since(begun).as_millis();
    let (when, who) = (paint.dim(&format!("{after:>5} ms")), paint.bold(&format!("relay {side}")));
    say!("  {when} {who}  {}", in_words(side, moment));
    if !moment.text.is_empty() {
        say!("                    {}", paint.dim(&Plain(&moment.text).to_string()));
    }
}

/// One moment, for somebody who has never seen MM4.
fn in_words(side: &str, moment: &Moment) -> String {
    let other = if side == "A" { "B" } else { "A" };
    match moment.what {
        What::Submitted => format!("takes the MM from its user {SENDER} and stores it safely"),
        What::Queued => {
            format!("sees that its recipients belong to relay {other}, and queues MM4_forward.REQ")
        }
        What::Received => format!("receives MM4_forward.REQ from relay {other}"),
        What::Stored => "has it on disk, and puts it into the mailbox".to_owned(),
        What::Refused => {
            "does not know this recipient; the refusal travels in a response of its own".to_owned()
        }
        What::Forwarded => format!("hears \"250\": relay {other} owns the MM now; its response is awaited"),
        What::Answered => format!("has sent it to relay {other}, which asked for it"),
        What::Response if moment.text == "Ok" => {
            format!("receives MM4_forward.RES from relay {other}: accepted")
        }
        What::Response => format!("receives MM4_forward.RES from relay {other}: not accepted"),
        What::Retrieved => "hands the MM to its recipient".to_owned(),
        What::Handled => "hears from its recipient what became of it".to_owned(),
        What::Reported => "queues a report for the sender".to_owned(),
        What::Report => format!("receives a report from relay {other}"),
        What::Failed => "notes that this recipient will not get it".to_owned(),
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
    let request = Request::Retrieve { id: id.clone(), recipient: None, peek: false, report: true };
    let (_, octets) = ask(&b.data, request, Vec::new()).await?;
    let read = Request::Handle { id, recipient: None, how: "read".into(), report: true };
    ask(&b.data, read, Vec::new()).await?;
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
