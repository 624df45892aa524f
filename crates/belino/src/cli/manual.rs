//! `belino completions`, `belino man` and `belino check --keys`: what a shell and a reader of manuals want to know, made from
//! the command line and the configuration themselves.
//!
//! Owns: where pages go. Never knows: any verb; a verb that is added to the command line is in them the same day.

use super::{Cli, Common};
use crate::config::keys;
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print what a shell needs to complete the verbs and options of belino.
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Print belino(1), or write the pages of every verb into a folder.
#[derive(Args)]
pub struct Manual {
    /// Where the pages go, one file each: belino.1, belino-serve.1 and so on; it is created
    folder: Option<PathBuf>,
}

impl Completions {
    /// Print them.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "belino", &mut script);
        print(&script)
    }
}

impl Manual {
    /// Print one page, or write all.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some(folder) = self.folder else {
            let (mut page, mut command) = (Vec::new(), Cli::command().disable_help_subcommand(true));
            command.build();
            clap_mangen::Man::new(command).render(&mut page)?;
            return print(&page);
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        clap_mangen::generate_to(Cli::command(), &folder)
            .with_context(|| format!("cannot write the pages into {}", folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `belino check --keys`.
pub fn keys(common: &Common) -> anyhow::Result<ExitCode> {
    let standard = keys::standard_configuration()?;
    let profile = relay::house::Profile::default();
    let mut shown = Vec::new();
    for table in keys::TABLES {
        let rows = table.rows.iter();
        shown.extend(
            rows.map(|row| (table.heading(), row.keys.join(", "), row.standard(&standard), row.meaning)),
        );
    }
    let knobs = relay::house::Profile::KNOBS.iter();
    shown.extend(knobs.map(|knob| ("profile", knob.key.to_owned(), (knob.show)(&profile), knob.doc.trim())));
    let mut last = "";
    for (table, names, standard, meaning) in shown {
        if common.json {
            let names: Vec<&str> = names.split(", ").collect();
            super::print_json(
                &json!({ "table": table, "keys": names, "default": standard, "meaning": meaning }),
            );
            continue;
        }
        if table != last {
            say!("{}{table}", if last.is_empty() { "" } else { "\n" });
            last = table;
        }
        say!("  {names}");
        if !standard.is_empty() {
            say!("      default: {}", standard.replace('`', ""));
        }
        say!("      {}", meaning.replace('`', ""));
    }
    Ok(ExitCode::SUCCESS)
}

/// To standard output, whole or not at all: a script that was cut off must not look like one.
fn print(octets: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    out.write_all(octets).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
