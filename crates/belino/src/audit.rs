//! The audit log: who changed what, when, why, and what came of it. One JSON object a line in `<data>/audit.log`.
//!
//! Owns: the file, its flush, its turn at a size. Never knows: what a change means.
//!
//! A line is on the disk before the one who asked hears the outcome. A crash in between leaves a change without its line;
//! the MM's history still has it. A line that was cut short by a crash is ended at the next start and shown as damaged.

use mms::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Octets after which a new file is begun.
const SIZE_MAX: u64 = 8 << 20;
/// Older files that are kept: `audit.log.1` is the newest of them.
const KEPT: u32 = 8;
/// Octets of a text of an operator's, at most.
const TEXT_MAX: usize = 1000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: String,
    /// Who: `console ann`, `admin socket, user 0`.
    pub who: String,
    /// What: `retry`, `drop`, `pause`.
    pub what: String,
    /// Of which MM, peer or address.
    pub about: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `done`, or why not.
    pub outcome: String,
}

/// The audit log of one relay.
pub struct Audit {
    path: PathBuf,
    size_max: u64,
    state: Mutex<State>,
}

struct State {
    file: Option<File>,
    size: u64,
    failed: Option<String>,
}

impl Audit {
    /// The log of this data folder.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(data: &Path) -> io::Result<Self> {
        Self::with_size(data, SIZE_MAX)
    }

    fn with_size(data: &Path, size_max: u64) -> io::Result<Self> {
        let path = data.join("audit.log");
        let (file, size) = opened(&path)?;
        Ok(Self { path, size_max, state: Mutex::new(State { file: Some(file), size, failed: None }) })
    }

    /// Write a line and flush it. Blocks on the disk. What cannot be written is in the log of the process at least, and
    /// [`Audit::failed`] tells of it.
    pub fn record(&self, at: Timestamp, who: &str, what: &str, about: &str, reason: &str, outcome: &str) {
        let cut = |text: &str| mms::HeaderText::cleaned(text).capped(TEXT_MAX).to_string();
        let entry = Entry {
            at: at.to_string(),
            who: cut(who),
            what: cut(what),
            about: cut(about),
            reason: cut(reason),
            outcome: cut(outcome),
        };
        tracing::info!(
            who = entry.who,
            what = entry.what,
            about = entry.about,
            outcome = entry.outcome,
            "audit"
        );
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_vec(&entry).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.write(&mut state, &line)
        });
        state.failed = written.err().map(|error| {
            tracing::error!("the audit log cannot be written: {error}");
            // The next line tries anew.
            state.file = None;
            error.to_string()
        });
    }

    fn write(&self, state: &mut State, line: &[u8]) -> io::Result<()> {
        if state.size > 0 && state.size + line.len() as u64 > self.size_max {
            state.file = None;
            for n in (1..KEPT).rev() {
                let _ = std::fs::rename(self.older(n), self.older(n + 1));
            }
            std::fs::rename(&self.path, self.older(1))?;
        }
        let file = match &mut state.file {
            Some(file) => file,
            None => {
                let (file, size) = opened(&self.path)?;
                state.size = size;
                state.file.insert(file)
            }
        };
        file.write_all(line)?;
        state.size += line.len() as u64;
        file.sync_data()
    }

    fn older(&self, n: u32) -> PathBuf {
        self.path.with_extension(format!("log.{n}"))
    }

    /// Why the last change could not be written down, if so.
    pub fn failed(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }

    /// Lines, newest first, without the newest `skip`, at most `max`; `Err` has a line that is damaged. Of the file that is
    /// written now and the one before.
    pub fn newest(&self, skip: usize, max: usize) -> Vec<Result<Entry, String>> {
        let mut lines: Vec<String> = Vec::new();
        for path in [self.older(1), self.path.clone()] {
            let mut text = Vec::new();
            // Twice what a file may have: nobody else writes there, but a person may.
            let read = File::open(path).and_then(|file| file.take(2 * SIZE_MAX).read_to_end(&mut text));
            if read.is_ok() {
                lines.extend(String::from_utf8_lossy(&text).lines().map(str::to_owned));
            }
        }
        let wanted = lines.into_iter().rev().filter(|line| !line.trim().is_empty()).skip(skip).take(max);
        wanted.map(|line| serde_json::from_str(&line).map_err(|_| line)).collect()
    }
}

/// The file, ready for the next line, and its size.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
        return Ok((file, size + 1));
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(audit: &Audit, about: &str) {
        audit.record(
            Timestamp::from_seconds(1_741_083_330),
            "console ann",
            "drop",
            about,
            "it \"loops\"\n",
            "done",
        );
    }

    #[test]
    fn lines_are_kept_and_read_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        note(&audit, "one");
        note(&audit, "two");
        // As a crash leaves it.
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("audit.log"))
            .unwrap()
            .write_all(b"{\"at\":\"20")
            .unwrap();
        let audit = Audit::open(folder.path()).unwrap();
        note(&audit, "three");
        let lines = audit.newest(0, 10);
        assert_eq!(lines.len(), 4);
        let three = lines[0].as_ref().unwrap();
        assert_eq!((three.about.as_str(), three.at.as_str()), ("three", "2025-03-04T10:15:30.000Z"));
        assert_eq!(lines[1], Err("{\"at\":\"20".into()));
        assert_eq!(audit.newest(2, 1)[0].as_ref().unwrap().about, "two");
        assert_eq!(audit.failed(), None);
    }

    #[test]
    fn a_full_file_makes_room_and_stays_beside() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::with_size(folder.path(), 500).unwrap();
        for n in 0..40 {
            note(&audit, &n.to_string());
        }
        let about = |lines: Vec<Result<Entry, String>>| lines[0].as_ref().unwrap().about.clone();
        assert_eq!((about(audit.newest(0, 1)), about(audit.newest(1, 1))), ("39".into(), "38".into()));
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1 + KEPT as usize);
        assert!(std::fs::metadata(folder.path().join("audit.log")).unwrap().len() <= 500);
    }
}
