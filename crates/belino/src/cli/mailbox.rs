//! `belino mailbox`.

use super::Common;
use crate::admin::{Request, client};
use crate::{decode, view};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// List mailboxes, or fetch an MM from one.
#[derive(Args)]
pub struct Mailbox {
    /// Only of this recipient
    #[arg(long)]
    recipient: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1000)]
    max: usize,
    #[command(subcommand)]
    deed: Option<Deed>,
}

#[derive(Subcommand)]
enum Deed {
    /// Fetch an MM: mark it as retrieved, and write its parts to a folder
    Get {
        /// Our id, or the X-Mms-Message-ID
        id: String,
        /// Only for this recipient
        #[arg(long)]
        recipient: Option<String>,
        /// Where to write the parts [default: a folder named after the id]
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// Write the mail to standard output instead
        #[arg(long)]
        raw: bool,
        /// Do not mark it as retrieved
        #[arg(long)]
        peek: bool,
        /// Do not let the sender know
        #[arg(long)]
        no_report: bool,
    },
    /// Refuse an MM that was not fetched yet
    Reject(Handle),
    /// Leave an MM for later, and let the sender know
    Defer(Handle),
    /// Mark an MM as read
    Read(Handle),
    /// Delete an MM, read or not
    Delete(Handle),
}

#[derive(Args)]
struct Handle {
    /// Our id, or the X-Mms-Message-ID
    id: String,
    /// Only for this recipient
    #[arg(long)]
    recipient: Option<String>,
    /// Do not let the sender know
    #[arg(long)]
    no_report: bool,
}

impl Mailbox {
    /// List or fetch.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.deed {
            Some(Deed::Get { id, recipient, to, raw, peek, no_report }) => {
                let recipient = recipient.or(self.recipient);
                fetch(common, Request::Retrieve { id, recipient, peek, report: !no_report }, to, raw)
            }
            Some(Deed::Reject(what)) => handle(common, what, "reject"),
            Some(Deed::Defer(what)) => handle(common, what, "defer"),
            Some(Deed::Read(what)) => handle(common, what, "read"),
            Some(Deed::Delete(what)) => handle(common, what, "delete"),
            None => list(common, self.recipient, self.max),
        }
    }
}

fn list(common: &Common, recipient: Option<String>, max: usize) -> anyhow::Result<ExitCode> {
    let rows = common.ask(&Request::Mailbox { recipient, max })?;
    if common.json {
        super::print_json(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = rows.as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        say!("no MM lies in a mailbox");
        return Ok(ExitCode::SUCCESS);
    }
    say!("{:<18} {:<10} {:<26} {:<18} SUBJECT", "RECIPIENT", "STATE", "ID", "FROM");
    for row in &rows {
        let from = if row["originator"].is_null() {
            "(hidden)".into()
        } else {
            view::text(&row["originator"]["value"])
        };
        let (to, state, id) =
            (view::text(&row["recipient"]), view::text(&row["state"]), view::text(&row["id"]));
        say!("{to:<18} {state:<10} {id:<26} {from:<18} {}", view::text(&row["subject"]));
    }
    say!("fetch one with: belino mailbox get ID");
    Ok(ExitCode::SUCCESS)
}

fn handle(common: &Common, what: Handle, how: &str) -> anyhow::Result<ExitCode> {
    let Handle { id, recipient, no_report } = what;
    let request = Request::Handle { id, recipient, how: how.into(), report: !no_report };
    super::show::changed(common, &request)
}

fn fetch(common: &Common, request: Request, to: Option<PathBuf>, raw: bool) -> anyhow::Result<ExitCode> {
    let (mm, octets) = client::ask(&common.data()?, &request, &[])?;
    if raw {
        std::io::stdout().write_all(&wire::smtp::unstuff(&octets))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mail = decode::mail(&octets).for_recipient();
    let folder = to.unwrap_or_else(|| PathBuf::from(view::text(&mm["id"])));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut written = Vec::new();
    for (i, part) in mail.parts.iter().enumerate() {
        let path = folder.join(decode::file_name(i, part));
        std::fs::write(&path, &part.octets).with_context(|| format!("cannot write {}", path.display()))?;
        written.push((path, part.octets.len(), mail.json["parts"][i]["sha256"].clone()));
    }
    if common.json {
        let mut json = mail.json;
        json["id"] = mm["id"].clone();
        let files: Vec<String> = written.iter().map(|(path, ..)| path.display().to_string()).collect();
        json["files"] = files.into();
        super::print_json(&json);
    } else {
        for (path, size, sha256) in written {
            say!("{}  {size} octets  sha256 {}", path.display(), view::text(&sha256));
        }
    }
    Ok(ExitCode::SUCCESS)
}
