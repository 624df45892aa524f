//! The report: what was asked and what was judged, as data, as JSON and for a terminal; and the plan before it runs.
//!
//! Owns: rows and how they are laid out. Text of peers becomes one printable line here, before anybody shows it.

use super::Plan;
use super::catalogue::{Case, Step};
use super::evidence::{Came, Evidence, Sent};
use super::judge::{Verdict, judge};
use mms::{HeaderText, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use wire::mime::HeaderBlock;

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `P-10`.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where it stands in the report.
    #[serde(skip)]
    pub chapter: &'static str,
    /// Where the rule lives.
    pub clause: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What was expected.
    pub expected: &'static str,
    /// What else points at the cause.
    pub hint: Option<String>,
    /// What to do about it; for what is not as it should be.
    pub advice: Option<&'static str>,
    /// What it was judged by.
    #[serde(skip)]
    pub step: Step,
}

/// What was said in one step.
#[derive(Clone, Debug, Serialize)]
pub struct Transcript {
    /// Which.
    #[serde(skip)]
    pub step: Step,
    /// Its name: that of its first case.
    pub name: &'static str,
    /// What was done.
    pub title: &'static str,
    /// Commands and replies, `>` and `<`.
    pub dialogue: Vec<String>,
    /// The header of the mail that left.
    pub sent: Vec<String>,
    /// The headers of the mails that came back.
    pub came: Vec<Vec<String>>,
}

/// Everything about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The peer's configured name.
    pub peer: String,
    /// Its domain.
    pub domain: String,
    /// The host that was talked to.
    pub host: String,
    /// Our domain.
    pub ours: String,
    /// When the run ended.
    pub at: String,
    /// Version of this program.
    pub version: &'static str,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Another one.
    pub second: Option<String>,
    /// Nobody.
    pub unknown: Option<String>,
    /// Mails that were sent.
    pub mails: usize,
    /// One row for each case.
    pub cases: Vec<Row>,
    /// What was said.
    pub transcripts: Vec<Transcript>,
}

/// One printable line.
fn line(text: &str) -> String {
    HeaderText::cleaned(text).capped(400).to_string()
}

fn head(octets: &[u8]) -> Vec<String> {
    let Ok(block) = HeaderBlock::parse(octets) else { return vec!["(unreadable)".into()] };
    block.fields().iter().take(200).map(|f| line(&format!("{}: {}", f.name(), f.text()))).collect()
}

fn came(came: &Came) -> Vec<String> {
    let first = format!("(from {}, for {})", came.address, came.recipients.join(", "));
    std::iter::once(line(&first)).chain(head(&came.head)).collect()
}

impl Report {
    /// Judge what was seen.
    pub fn new(plan: &Plan, evidence: &Evidence, at: Timestamp) -> Self {
        let row = |case: &&'static Case| {
            let judged = judge(case, plan, evidence);
            let wrong = matches!(judged.verdict, Verdict::Fail | Verdict::Warn);
            Row {
                id: case.id,
                title: case.title,
                chapter: case.chapter(),
                clause: case.clause,
                verdict: judged.verdict,
                seen: line(&judged.seen),
                expected: case.expected,
                hint: judged.hint.map(|hint| line(&hint)),
                advice: Some(case.advice).filter(|a| wrong && !a.is_empty()),
                step: case.step,
            }
        };
        let text = |party: &mms::Party| party.address.value();
        Self {
            peer: plan.peer.name.to_string(),
            domain: plan.peer_domain().to_string(),
            host: evidence.host.clone(),
            ours: plan.house.domain().to_string(),
            at: at.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            from: text(&plan.from),
            to: text(&plan.to),
            second: plan.second.as_ref().map(text),
            unknown: plan.unknown.as_ref().map(text),
            mails: evidence.sent.values().filter(|s| s.taken.is_ok()).count(),
            cases: plan.cases.iter().map(row).collect(),
            transcripts: plan.steps().into_iter().map(|step| transcript(step, evidence)).collect(),
        }
    }

    /// How many cases ended like this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|row| row.verdict == verdict).count()
    }

    /// `31 cases: 28 pass, 1 fail, 2 skip`.
    pub fn summary(&self) -> String {
        let all = [Verdict::Pass, Verdict::Fail, Verdict::Warn, Verdict::Skip];
        let counted = all.map(|verdict| (self.count(verdict), verdict.word()));
        let words: Vec<String> =
            counted.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let cases = if self.cases.len() == 1 { "case" } else { "cases" };
        format!("{} {cases}: {}", self.cases.len(), words.join(", "))
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        let count = |verdict: Verdict| self.count(verdict);
        let mut json = json!(self);
        json["summary"] = json!({
            "pass": count(Verdict::Pass),
            "fail": count(Verdict::Fail),
            "warn": count(Verdict::Warn),
            "skip": count(Verdict::Skip),
        });
        json
    }

    /// The report for a terminal.
    pub fn lines(&self, coloured: bool) -> String {
        let mut out = String::new();
        let width = self.cases.iter().map(|row| row.title.chars().count()).max().unwrap_or(0);
        let _ =
            writeln!(out, "Peer {} ({}) at {}, asked by {}", self.peer, self.domain, self.host, self.ours);
        let mut chapter = "";
        for row in &self.cases {
            if row.chapter != chapter {
                chapter = row.chapter;
                let _ = writeln!(out, "\n{}", paint(chapter, BOLD, coloured));
            }
            let word = match row.verdict {
                Verdict::Fail => "FAIL".to_owned(),
                other => other.word().to_owned(),
            };
            let word = paint(&word, colour(row.verdict), coloured);
            let clause = paint(row.clause, FAINT, coloured);
            let _ = writeln!(out, "  {}  {word}  {:<width$}  {clause}", row.id, row.title);
            if row.verdict == Verdict::Pass {
                continue;
            }
            let _ = writeln!(out, "              seen      {}", row.seen);
            if matches!(row.verdict, Verdict::Fail | Verdict::Warn) {
                let _ = writeln!(out, "              expected  {}", row.expected);
            }
            if let Some(hint) = &row.hint {
                let _ = writeln!(out, "              hint      {hint}");
            }
        }
        let _ = writeln!(out, "\n{}", paint(&self.summary(), BOLD, coloured));
        let advised: Vec<&Row> = self.cases.iter().filter(|row| row.advice.is_some()).collect();
        if !advised.is_empty() {
            let _ = writeln!(out, "\n{}", paint("What to do", BOLD, coloured));
        }
        for row in advised {
            let _ = writeln!(out, "  {}  {}", row.id, row.advice.unwrap_or_default());
        }
        out
    }
}

const BOLD: &str = "1";
const FAINT: &str = "2";

const fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "32",
        Verdict::Fail => "1;31",
        Verdict::Warn => "33",
        Verdict::Skip => FAINT,
    }
}

fn paint(text: &str, code: &str, coloured: bool) -> String {
    if coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn transcript(step: Step, evidence: &Evidence) -> Transcript {
    let mut dialogue = Vec::new();
    for exchange in evidence.dialogues.get(&step).into_iter().flatten() {
        let silent = exchange.sent.starts_with('(');
        dialogue.push(line(&if silent { exchange.sent.clone() } else { format!("> {}", exchange.sent) }));
        match &exchange.reply {
            Ok(reply) if exchange.lines.len() > 1 => {
                let last = exchange.lines.len() - 1;
                let dash = |i: usize| if i == last { ' ' } else { '-' };
                let lines = exchange.lines.iter().enumerate();
                dialogue.extend(lines.map(|(i, l)| line(&format!("< {}{}{l}", reply.code(), dash(i)))));
            }
            Ok(reply) => dialogue.push(line(&format!("< {reply}"))),
            Err(why) => dialogue.push(line(&format!("< ({why})"))),
        }
    }
    let of_step: Vec<&Came> = match step {
        Step::Plain | Step::Repeat => {
            let before = evidence.before_repeat.unwrap_or(evidence.came.len());
            let (first, later) = evidence.came.split_at(before.min(evidence.came.len()));
            let part = if step == Step::Plain { first } else { later };
            part.iter().filter(|c| c.step == Some(Step::Plain)).collect()
        }
        _ => evidence.came.iter().filter(|c| c.step == Some(step)).collect(),
    };
    Transcript {
        step,
        name: step.name(),
        title: step.title(),
        dialogue,
        sent: evidence.sent.get(&step).map_or(Vec::new(), |sent| head(&sent.head)),
        came: of_step.into_iter().map(came).collect(),
    }
}

/// What a run would do, step by step, before anything is sent.
///
/// # Errors
/// A mail cannot be written; our own bug.
pub fn plan(plan: &Plan, now: Timestamp) -> anyhow::Result<String> {
    let mut out = String::new();
    let peer = &plan.peer.name;
    let hosts = match plan.link.discover {
        Some(_) => format!("the hosts that the DNS names for {}", plan.peer_domain()),
        None => plan.link.hosts.join(", then "),
    };
    let _ = writeln!(
        out,
        "Probe of peer {peer} at {hosts}: {} steps, {} mails.",
        plan.steps().len(),
        plan.mails()
    );
    let (to, texts) = (plan.to.address.value(), plan.texts());
    let _ = match plan.steps().contains(&Step::Report) {
        true => writeln!(
            out,
            "The subscriber at {to} receives {texts} short text MMs, and may open the one with the subject \"Belino probe {}\".",
            Step::Report.name()
        ),
        false => writeln!(out, "The subscriber at {to} receives {texts} short text MMs and need do nothing."),
    };
    for (i, step) in plan.steps().into_iter().enumerate() {
        let _ = writeln!(out, "\n{:>2}  {}", i + 1, step.title());
        if step.is_mail() {
            let sent = super::mail::prepare(plan, step, now)?.sent;
            let to: Vec<String> =
                sent.recipients.iter().map(|(party, _)| format!("<{}>", plan.envelope(party))).collect();
            let _ =
                writeln!(out, "    sends     MAIL FROM:<{}>, RCPT TO:{}", plan.mail_from(), to.join(" and "));
            for field in brief(&sent) {
                let _ = writeln!(out, "              {field}");
            }
        } else {
            let _ = writeln!(out, "    sends     {}", commands(plan, step));
        }
        let _ = writeln!(out, "    at --to   {}", step.sees());
        for case in plan.cases.iter().filter(|c| c.step == step) {
            let _ = writeln!(out, "    {}      {} ({})", case.id, case.title, case.clause);
            let _ = writeln!(out, "              expects {}", case.expected);
        }
    }
    let skipped: Vec<&str> =
        plan.cases.iter().filter(|c| !plan.has_numbers_for(c.step)).map(|c| c.id).collect();
    if !skipped.is_empty() {
        let _ =
            writeln!(out, "\nSkipped for want of a number (--unknown, --second): {}.", skipped.join(", "));
    }
    Ok(out)
}

/// The fields that make the difference.
fn brief(sent: &Sent) -> Vec<String> {
    let shown = [
        "From",
        "To",
        "Subject",
        "X-Mms-Message-Type",
        "X-Mms-3GPP-MMS-Version",
        "X-Mms-Transaction-ID",
        "X-Mms-Message-ID",
        "X-Mms-Expiry",
        "X-Mms-Delivery-Report",
        "X-Mms-Ack-Request",
        "X-Mms-Originator-System",
    ];
    let fields = head(&sent.head);
    let is = |field: &String| shown.iter().any(|name| field.starts_with(&format!("{name}: ")));
    fields.into_iter().filter(is).collect()
}

fn commands(plan: &Plan, step: Step) -> String {
    let (from, to) = (plan.mail_from(), plan.envelope(&plan.to));
    let name = &plan.host_name;
    match step {
        Step::Greeting => {
            format!("EHLO {name}, MAIL FROM:<{from}>, EHLO {name}, RCPT TO:<{to}>, QUIT")
        }
        Step::Helo => format!("HELO {name}, MAIL FROM:<{from}>, RCPT TO:<{to}>, RSET, QUIT"),
        _ => {
            let unknown = plan.unknown.as_ref();
            let unknown = unknown.map_or(String::new(), |u| format!(", RCPT TO:<{}>", plan.envelope(u)));
            format!("EHLO {name}, MAIL FROM:<{from}>, RCPT TO:<{to}>{unknown}, NOOP, RSET, QUIT")
        }
    }
}

/// docs/probe.md: the table of cases, made from the catalogue.
pub fn page() -> String {
    let mut out = String::from(
        "# The probe\n\n\
         `belino probe PEER` asks a live peer what TS 23.140 clause 8.4 asks of it, and judges what comes back. It is for the\n\
         engineer who brings a link up, before and after a change on either side.\n\n\
         \x20   belino probe b --from +12025550100 --to +12025550110 --unknown +12025550119 --second +12025550111 --dry-run\n\
         \x20   belino probe b --from +12025550100 --to +12025550110 --unknown +12025550119 --second +12025550111 --html b.html\n\n\
         `--dry-run` shows every step, what is sent, what is expected and what the subscriber at `--to` sees, and sends nothing.\n\
         Without it the same plan is shown and you are asked; `--yes` does not ask. The peer's hosts, its profile and our own names\n\
         come from the configuration. `--only P-11,P-12` takes some cases only, `--wait 60s` is how long answers are awaited.\n\n\
         Numbers are yours to choose: `--from` one of ours, `--to` and `--second` subscribers of the peer who know about it, and\n\
         `--unknown` a number that the peer serves to nobody. Cases whose number is missing are skipped.\n\n\
         While a relay runs over the data folder, the probe listens through it. Otherwise it listens itself at `[mm4] listen` for\n\
         as long as it runs, takes answers to its own mails only, and puts everything else off with `4yz`. A running relay answers a\n\
         report that asks for it with `Error-message-not-found`, as it knows nothing of the probe; a probe that listens itself does not\n\
         answer reports, so a peer may send the one that was asked for again.\n\n\
         A row is `pass`, `fail` (against the clause), `warn` (allowed or lenient, and worth knowing) or `skip` (not judged, and\n\
         why). One fault gives one failing row as far as can be told. The exit code is 0 when nothing failed, 1 when something\n\
         did, 2 when the probe could not run. The report comes as text, as JSON (`--json`) and as a page of its own (`--html FILE`).\n\n\
         ## What it sends\n\n\
         | step | what | the subscriber at `--to` |\n|---|---|---|\n",
    );
    for (i, step) in Step::ALL.iter().enumerate() {
        let _ = writeln!(out, "| {} | {} | {} |", i + 1, step.title(), step.sees());
    }
    let mails = Step::ALL.iter().filter(|s| s.is_mail()).count();
    let _ = writeln!(
        out,
        "\nThat is {mails} mails at most, each of a few hundred octets, of class Informational, with a subject that names the probe.\n\
         No malformed SMTP, nothing pipelined, no more than one connection at a time.\n\n\
         ## What it judges\n\n\
         | case | what | clause | step | expected |\n|---|---|---|---|---|"
    );
    for case in super::CASES {
        let step = Step::ALL.iter().position(|s| *s == case.step).map_or(0, |i| i + 1);
        let _ =
            writeln!(out, "| {} | {} | {} | {step} | {} |", case.id, case.title, case.clause, case.expected);
    }
    out
}
