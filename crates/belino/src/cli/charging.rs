//! `belino charging`: what stands in files of charging records, and how their writing goes.

use super::{Common, print_json};
use crate::admin::Request;
use crate::charging::files::Reader;
use crate::charging::record::{Row, Value};
use crate::charging::{Format, json};
use crate::view::{self, Plain};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Charging records of MM4 (TS 32.270): read their files, or see how the running relay writes them.
#[derive(Args)]
pub struct Charging {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show the records in files, whatever their format; with --json the same lines that a JSON file has. Exit code 1 when a
    /// file ends in something that is no record
    Show {
        /// Files that end in .json, .csv or .ber, open ones included
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Show where records are written, the last number, and what waits
    Status,
}

/// The format that a file's name tells.
fn format_of(file: &Path) -> anyhow::Result<Format> {
    let name = file.file_name().map_or_else(Default::default, |n| n.to_string_lossy().into_owned());
    let name = name.strip_suffix(".open").unwrap_or(&name);
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    match Format::named(end) {
        Some(format) => Ok(format),
        None => bail!("{}: expected a name that ends in .json, .csv or .ber", file.display()),
    }
}

impl Charging {
    /// Do it.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Show { files } => show(common, &files),
            What::Status => status(common),
        }
    }
}

fn show(common: &Common, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    if !common.json {
        say!(
            "{:>10} {:<20} {:<8} {:<22} {:<34} {:<22} SAYS",
            "NUMBER",
            "TIME",
            "RECORD",
            "FROM",
            "TO",
            "MESSAGE ID"
        );
    }
    for file in files {
        let format = format_of(file)?;
        let octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        for row in Reader::new(format, &octets) {
            match row {
                Ok(row) if common.json => print_json(&json::object(&row)),
                Ok(row) => say!("{}", line(&row)),
                Err(why) => {
                    eprintln!("belino: {}: {}", file.display(), Plain(&why));
                    code = ExitCode::FAILURE;
                }
            }
        }
    }
    Ok(code)
}

/// One record for people.
fn line(row: &Row) -> String {
    let names = |name: &str| match row.get(name) {
        Some(Value::Agent(agent)) => agent.text.clone(),
        Some(Value::Agents(all)) => all.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(" "),
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let or = |first: &str, second: &str| match names(first) {
        none if none.is_empty() => names(second),
        some => some,
    };
    let at = match row.get("recordTimeStamp") {
        Some(Value::Time(at)) => json::time_words(*at),
        _ => String::new(),
    };
    let from = or("originatorAddress", "originatorMmsRSAddress");
    let to = match or("recipientAddresses", "recipientAddress") {
        none if none.is_empty() => names("recipientMmsRSAddress"),
        some => some,
    };
    let said = json::object(row);
    let words = ["requestStatusCode", "mmStatusCode", "readStatus"].map(|name| view::text(&said[name]));
    let mut words: Vec<String> = words.into_iter().filter(|word| word != "-" && !word.is_empty()).collect();
    words.extend(Some(names("statusText")).filter(|text| !text.is_empty()));
    let (number, kind, id) = (row.number(), row.kind.as_str(), names("messageID"));
    let (from, to, id) = (Plain(&from).to_string(), Plain(&to).to_string(), Plain(&id).to_string());
    format!("{number:>10} {at:<20} {kind:<8} {from:<22} {to:<34} {id:<22} {}", Plain(&words.join(": ")))
}

fn status(common: &Common) -> anyhow::Result<ExitCode> {
    let charging = common.ask(&Request::Status)?["charging"].clone();
    if common.json {
        print_json(&charging);
    } else if charging.is_null() {
        say!("no charging records are made: the configuration has no [charging]");
    } else {
        for (key, value) in charging.as_object().into_iter().flatten() {
            say!("{:<16} {}", key.replace('_', " "), view::text(value));
        }
    }
    let well = !charging.get("trouble").is_some_and(Json::is_string);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
