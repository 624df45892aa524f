//! `belino backup` and `belino verify`: copies of a data folder, and what is wrong with one.

use super::{Common, print_json};
use crate::admin::{backup, client};
use crate::content;
use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mms::MmId;
use relay::store::{Store as _, StoreError};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::{Embedded, Options};

/// Copy the data folder, while the relay runs or not. The copy is a data folder itself: to restore it, stop the relay,
/// put the copy in the place of its data folder, and start it.
#[derive(Args)]
pub struct Backup {
    /// Where the copy goes: a folder that is not there yet; the relay's user must be able to create it
    to: PathBuf,
}

/// Check a data folder that no relay uses: the ledger file, every MM in it, and every octet of content. Exit code: 0 all is
/// well, 1 something is damaged, 2 it could not be checked. What the journal holds is put into the ledger, as a start would.
#[derive(Args)]
pub struct Verify {
    /// The data folder, such as a backup [default: the one in the configuration]
    folder: Option<PathBuf>,
}

/// MMs looked up at once.
const PAGE: usize = 500;
/// Octets of content read at once.
const PIECE: usize = 1 << 20;
/// Damages that are shown one by one.
const SHOWN_MAX: usize = 1000;

/// A bar where somebody looks.
fn bar(common: &Common, words: &str) -> ProgressBar {
    if common.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("  {msg} {bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}");
    let bar = ProgressBar::new(0).with_message(words.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ "));
    bar
}

impl Backup {
    /// Make it.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let data = common.data()?;
        let to = std::path::absolute(&self.to)?;
        let bar = bar(common, "copied");
        let made = if client::is_running(&data) {
            client::backup(&data, &to, |progress| {
                bar.set_length(progress.all);
                bar.set_position(progress.copied);
            })
        } else {
            let tell = |copied, all| {
                bar.set_length(all);
                bar.set_position(copied);
                true
            };
            open(&data).and_then(|store| backup::make(&store, &to, tell))
        };
        bar.finish_and_clear();
        let made = made?;
        if common.json {
            print_json(&made);
        } else {
            let of = |name: &str| made[name].as_u64().unwrap_or(0);
            say!(
                "{}: {} MMs, {} of content, ledger {}",
                to.display(),
                of("mms"),
                indicatif::HumanBytes(of("content")),
                indicatif::HumanBytes(of("ledger"))
            );
            say!("check it with: belino verify {}", to.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The store in a folder that must be there.
fn open(folder: &Path) -> anyhow::Result<Embedded> {
    anyhow::ensure!(
        folder.join("store.db").exists(),
        "{}: expected a data folder, and there is no store.db in it",
        folder.display()
    );
    Ok(Embedded::open(folder, Options { disk_free_min: 0, ..Options::default() })?)
}

/// What is damaged.
struct Damage {
    mm: Option<MmId>,
    what: &'static str,
    why: String,
}

/// What was looked at.
#[derive(Default)]
struct Checked {
    mms: u64,
    contents: u64,
    octets: u64,
    damages: u64,
    first: Vec<Damage>,
}

impl Checked {
    fn damage(&mut self, mm: Option<MmId>, what: &'static str, why: String) {
        self.damages += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(Damage { mm, what, why });
        }
    }

    fn json(&self, folder: &Path) -> Value {
        let damages: Vec<Value> = self
            .first
            .iter()
            .map(|d| json!({ "mm": d.mm.map(|mm| mm.to_string()), "what": d.what, "why": d.why }))
            .collect();
        json!({
            "folder": folder.display().to_string(),
            "mms": self.mms,
            "contents": self.contents,
            "octets": self.octets,
            "damages": self.damages,
            "damaged": damages,
        })
    }
}

impl Verify {
    /// Look at everything.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.check(common) {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::FAILURE),
            Err(error) => {
                super::complain(common, &error);
                Ok(ExitCode::from(2))
            }
        }
    }

    /// Whether all is well.
    fn check(self, common: &Common) -> anyhow::Result<bool> {
        let folder = match self.folder {
            Some(folder) => folder,
            None => common.data()?,
        };
        let store = open(&folder).with_context(|| {
            format!("{} cannot be checked; a relay that uses it must be stopped first", folder.display())
        })?;
        let bar = bar(common, "checked");
        bar.set_length(store.health().content_live);
        let mut checked = Checked::default();
        for line in store.check_ledger()? {
            checked.damage(None, "ledger file", line);
        }
        let mut after = None;
        loop {
            let page = store.ledgers(after, false, PAGE)?;
            for mm in &page {
                check_mm(&store, *mm, &bar, &mut checked);
            }
            after = page.last().copied();
            if page.len() < PAGE {
                break;
            }
        }
        bar.finish_and_clear();
        if common.json {
            print_json(&checked.json(&folder));
            return Ok(checked.damages == 0);
        }
        for Damage { mm, what, why } in &checked.first {
            let mm = mm.map_or(String::new(), |mm| format!("MM {mm}: "));
            say!("  {mm}{what}: {why}");
        }
        if checked.damages > checked.first.len() as u64 {
            say!("  and {} more", checked.damages - checked.first.len() as u64);
        }
        let sum = match checked.damages {
            0 => "all is well".to_owned(),
            1 => "1 damage".to_owned(),
            n => format!("{n} damages"),
        };
        say!(
            "{}: {sum}; {} MMs, {} with content ({})",
            folder.display(),
            checked.mms,
            checked.contents,
            indicatif::HumanBytes(checked.octets)
        );
        if checked.damages > 0 {
            say!(
                "A relay over this folder sets damaged MMs aside and goes on with all others. Whole ones may be in a backup."
            );
        }
        Ok(checked.damages == 0)
    }
}

fn check_mm(store: &Embedded, mm: MmId, bar: &ProgressBar, checked: &mut Checked) {
    checked.mms += 1;
    if let Err(why) = content::ledger(store, mm) {
        checked.damage(Some(mm), "ledger", format!("{why:#}"));
        return;
    }
    let content = match store.ledger(mm) {
        Ok(stored) => stored.and_then(|stored| stored.content),
        Err(why) => return checked.damage(Some(mm), "ledger", why.to_string()),
    };
    let Some(content) = content else { return };
    checked.contents += 1;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < content.len {
        match store.read_content(&content, at, &mut piece) {
            Ok(0) => {
                let why = format!("it ends after {at} of {} octets", content.len);
                return checked.damage(Some(mm), "content", why);
            }
            Ok(n) => {
                at += n as u64;
                checked.octets += n as u64;
                bar.inc(n as u64);
            }
            Err(StoreError::Corrupt(why)) => return checked.damage(Some(mm), "content", why),
            Err(why) => return checked.damage(Some(mm), "content", why.to_string()),
        }
    }
}
