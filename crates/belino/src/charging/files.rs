//! The files of charging records: one set at a time is open, with one file for each format and the same records in each.
//!
//! Owns: names, opening, closing, and what is left to do after a crash. Never knows: where records come from.
//!
//! An open file ends in `.open` and may end in half a record after a crash; [`recover`] cuts that off and closes it. A file
//! under its final name is complete, flushed, and never touched again. Before a set gets its final names, `.last` tells the
//! last number that was written, so that closed files may be moved away at any time.

use super::record::Row;
use super::{Format, ber, csv, json};
use anyhow::Context as _;
use mms::Timestamp;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What the names of all files begin with.
const PREFIX: &str = "mm4-";
/// What the names of open files end with.
const OPEN: &str = ".open";
/// The file that tells the last record that was written, as JSON.
const LAST: &str = ".last";

/// Files that are being written.
#[derive(Debug)]
pub struct Set {
    folder: PathBuf,
    /// Their name without format.
    stem: String,
    files: Vec<(Format, File)>,
    /// Octets of the longest.
    pub len: u64,
    /// When they were opened.
    pub since: Timestamp,
    /// The last record in them.
    last: Option<Row>,
}

fn path(folder: &Path, stem: &str, format: Format, open: bool) -> PathBuf {
    let end = if open { OPEN } else { "" };
    folder.join(format!("{stem}.{}{end}", format.as_str()))
}

/// Make the folder, if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn make(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.with_context(|| format!("cannot create {}", folder.display()))
}

/// Make changes of names in a folder last.
fn flush_folder(folder: &Path) -> anyhow::Result<()> {
    let flushed = File::open(folder).and_then(|opened| opened.sync_all());
    flushed.with_context(|| format!("cannot flush {}", folder.display()))
}

impl Set {
    /// Open a set whose first record will have this number.
    ///
    /// # Errors
    /// A file cannot be made.
    pub fn open(folder: &Path, formats: &[Format], first: u64, now: Timestamp) -> anyhow::Result<Self> {
        make(folder)?;
        let (year, month, day, hour, minute, second) = now.civil();
        let stem =
            format!("{PREFIX}{first:010}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
        let mut files = Vec::new();
        let mut len = 0;
        for format in formats {
            // What is closed under this name stays what it is.
            let closed = path(folder, &stem, *format, false);
            anyhow::ensure!(!closed.exists(), "{} is there already", closed.display());
            let path = path(folder, &stem, *format, true);
            let made = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path);
            let mut file = made.with_context(|| format!("cannot create {}", path.display()))?;
            if *format == Format::Csv {
                let header = csv::header();
                file.write_all(header.as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))?;
                len = header.len() as u64;
            }
            files.push((*format, file));
        }
        Ok(Self { folder: folder.to_owned(), stem, files, len, since: now, last: None })
    }

    /// Whether it has these formats and lies in this folder.
    pub fn fits(&self, folder: &Path, formats: &[Format]) -> bool {
        self.folder == folder && self.files.iter().map(|(format, _)| format).eq(formats)
    }

    /// Append records.
    ///
    /// # Errors
    /// The disk is full, or broken. Then the set must be dropped, and recovered.
    pub fn write(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        let mut longest = 0;
        for (format, file) in &mut self.files {
            let mut octets = Vec::with_capacity(rows.len() * 512);
            rows.iter().for_each(|row| format.encode(row, &mut octets));
            let path = path(&self.folder, &self.stem, *format, true);
            file.write_all(&octets).with_context(|| format!("cannot write {}", path.display()))?;
            longest = longest.max(octets.len() as u64);
        }
        self.len += longest;
        if let Some(last) = rows.last() {
            self.last = Some(last.clone());
        }
        Ok(())
    }

    /// Make everything durable and give the files their final names.
    ///
    /// # Errors
    /// The disk does not take it. Then the set must be dropped, and recovered.
    pub fn close(self) -> anyhow::Result<()> {
        for (format, file) in &self.files {
            let path = path(&self.folder, &self.stem, *format, true);
            file.sync_all().with_context(|| format!("cannot flush {}", path.display()))?;
        }
        if let Some(last) = &self.last {
            remember(&self.folder, last)?;
        }
        for (format, _) in &self.files {
            finish(&self.folder, &self.stem, *format)?;
        }
        flush_folder(&self.folder)
    }
}

fn finish(folder: &Path, stem: &str, format: Format) -> anyhow::Result<()> {
    let from = path(folder, stem, format, true);
    std::fs::rename(&from, path(folder, stem, format, false))
        .with_context(|| format!("cannot rename {}", from.display()))
}

/// Write the last record down, so that it is known also when its file is gone.
fn remember(folder: &Path, last: &Row) -> anyhow::Result<()> {
    let (file, making) = (folder.join(LAST), folder.join(".last.new"));
    let written = File::create(&making).and_then(|mut made| {
        let mut line = Vec::new();
        json::encode(last, &mut line);
        made.write_all(&line)?;
        made.sync_all()
    });
    written.with_context(|| format!("cannot write {}", making.display()))?;
    std::fs::rename(&making, &file).with_context(|| format!("cannot rename {}", making.display()))?;
    flush_folder(folder)
}

/// How far the files go.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// Number of the last record that is in them; 0 if there is none.
    pub number: u64,
    /// The record itself, where it is known.
    pub row: Option<Row>,
}

impl From<Row> for Last {
    fn from(row: Row) -> Self {
        Self { number: row.number(), row: Some(row) }
    }
}

/// The last record that was written in this folder. What a crash left open is cut to its last whole record and closed.
///
/// # Errors
/// Something cannot be read, or not be closed.
pub fn recover(folder: &Path) -> anyhow::Result<Last> {
    make(folder)?;
    let mut sets: BTreeMap<String, Vec<(Format, bool)>> = BTreeMap::new();
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in listed {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let (whole, open) = name.strip_suffix(OPEN).map_or((name, false), |whole| (whole, true));
        let Some((stem, format)) = whole.rsplit_once('.') else { continue };
        let Some(format) = Format::named(format) else { continue };
        sets.entry(stem.to_owned()).or_default().push((format, open));
    }
    let mut last = read_last(folder)?.map(Last::from);
    let newest = sets.keys().next_back().cloned();
    for (stem, files) in sets {
        let is_open = files.iter().any(|(_, open)| *open);
        // Without `.last` the newest closed file tells.
        if is_open {
            let found = recover_set(folder, &stem, &files)?;
            // Once it has begun to get its final names, `.last` is about this set. Else it may be about one before; and if it is
            // about this one, the set counts, from which the disk may have lost what it had taken.
            let begun = files.iter().any(|(_, open)| !open);
            last = if begun { last.or(Some(found)) } else { Some(found) };
        } else if last.is_none() && Some(&stem) == newest.as_ref() {
            let file = path(folder, &stem, files[0].0, false);
            let octets = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            last = files[0].0.whole(&octets, None).pop().map(|(row, _)| row.into());
        }
    }
    Ok(last.unwrap_or_default())
}

fn read_last(folder: &Path) -> anyhow::Result<Option<Row>> {
    let file = folder.join(LAST);
    match std::fs::read(&file) {
        Ok(line) => match json::decode(&line) {
            Ok(row) => Ok(Some(row)),
            Err(why) => {
                tracing::error!("{}: {why}; the files tell the last record", file.display());
                Ok(None)
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Cut the files of a set to what all of them have, and close them. How far they go then.
fn recover_set(folder: &Path, stem: &str, files: &[(Format, bool)]) -> anyhow::Result<Last> {
    let mut whole: Vec<(Format, bool, Vec<Ended>)> = Vec::new();
    let first = stem[PREFIX.len()..].split('-').next().and_then(|number| number.parse().ok());
    for (format, open) in files {
        let file = path(folder, stem, *format, *open);
        let octets = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        whole.push((*format, *open, format.whole(&octets, first)));
    }
    let common = whole.iter().map(|(.., rows)| rows.len()).min().unwrap_or(0);
    let begun = whole.iter().any(|(_, open, _)| !open);
    let last = whole[0].2.get(common.wrapping_sub(1)).map(|(row, _)| row.clone());
    if !begun && last.is_none() && read_last(folder)?.is_some_and(|row| Some(row.number()) >= first) {
        // It tells of records that are gone; the store still has them.
        std::fs::remove_file(folder.join(LAST)).context("cannot remove .last")?;
        flush_folder(folder)?;
    }
    for (format, open, rows) in &whole {
        if !open {
            continue;
        }
        let file = path(folder, stem, *format, true);
        let Some((_, end)) = rows.get(common.wrapping_sub(1)) else {
            std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            continue;
        };
        let opened = OpenOptions::new().write(true).open(&file);
        let opened = opened.with_context(|| format!("cannot open {}", file.display()))?;
        let len = opened.metadata()?.len();
        if len > *end {
            tracing::warn!("{}: {} octets of half a record are cut off", file.display(), len - end);
            opened.set_len(*end).with_context(|| format!("cannot cut {}", file.display()))?;
        }
        opened.sync_all().with_context(|| format!("cannot flush {}", file.display()))?;
    }
    let Some(last) = last else {
        return Ok(Last { number: first.unwrap_or(1).saturating_sub(1), row: None });
    };
    if !begun {
        remember(folder, &last)?;
    }
    for (format, open) in files {
        if *open {
            finish(folder, stem, *format)?;
        }
    }
    flush_folder(folder)?;
    Ok(last.into())
}

/// A record, and the octet where it ends.
type Ended = (Row, u64);

impl Format {
    /// Append a record in this format.
    pub fn encode(self, row: &Row, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::encode(row, out),
            Self::Csv => csv::encode(row, out),
            Self::Ber => ber::encode(row, out),
        }
    }

    /// The records at the front of a file that are whole and numbered one after the other (from `first`, if given), each
    /// with the place where it ends.
    fn whole(self, octets: &[u8], first: Option<u64>) -> Vec<Ended> {
        let mut all: Vec<Ended> = Vec::new();
        let mut reader = Reader::new(self, octets);
        while let Some(Ok(row)) = reader.next() {
            let wanted = all.last().map(|(last, _)| last.number() + 1).or(first);
            if wanted.is_some_and(|number| number != row.number()) {
                break;
            }
            all.push((row, reader.at as u64));
        }
        all
    }
}

/// The records of a file, one after the other; nothing follows what cannot be read.
#[derive(Debug)]
pub struct Reader<'a> {
    format: Format,
    octets: &'a [u8],
    /// Where the next record begins.
    at: usize,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// The records in these octets.
    pub fn new(format: Format, octets: &'a [u8]) -> Self {
        Self { format, octets, at: 0, ended: false }
    }

    /// The next line, without its end; `None` when it has no end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.octets[self.at..];
        let end = memchr::memchr(b'\n', rest)?;
        self.at += end + 1;
        Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }

    fn read(&mut self) -> Result<Row, String> {
        let half = || "half a record at its end".to_owned();
        match self.format {
            Format::Json => self.line().ok_or_else(half).and_then(json::decode),
            Format::Csv => {
                if self.at == 0 && self.line() != Some(csv::header().trim_end().as_bytes()) {
                    return Err("the header of charging records is missing".into());
                }
                if self.at == self.octets.len() {
                    return Err(String::new()); // nothing but the header
                }
                self.line().ok_or_else(half).and_then(csv::decode)
            }
            Format::Ber => {
                let mut rest = &self.octets[self.at..];
                let row = ber::decode(&mut rest).map_err(|why| match why {
                    ber::Unread::Short => half(),
                    ber::Unread::Wrong(why) => why,
                })?;
                self.at = self.octets.len() - rest.len();
                Ok(row)
            }
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.at == self.octets.len() {
            return None;
        }
        let read = self.read();
        self.ended = read.is_err();
        (read != Err(String::new())).then_some(read)
    }
}
