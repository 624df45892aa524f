//! `belino completions` and `belino man`: what a shell and a reader of manuals want to know, made from the command line itself.
//!
//! Owns: where pages go. Never knows: any verb; a verb that is added to the command line is in both the same day.

use super::Cli;
use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
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
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            return print(&page);
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        clap_mangen::generate_to(Cli::command(), &folder)
            .with_context(|| format!("cannot write the pages into {}", folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// To standard output, whole or not at all: a script that was cut off must not look like one.
fn print(octets: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    out.write_all(octets).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
