//! The reference of the configuration, made from code: which keys there are, what they are when left out, what they mean.
//!
//! Owns: the form of a row, and how a default is spelled. That no key is missing is checked against the parser's own list
//! (`tests/guide`). Never knows: files.

mod table;

pub use table::TABLES;

use super::{Config, ConfigError, parse};
use std::path::Path;
use std::time::Duration;

/// One table of the file. A big one may stand in two parts, the second named `[[peer]] tls`.
pub struct Table {
    /// As it stands in the file; behind a space, which part of it.
    pub name: &'static str,
    /// Its keys.
    pub rows: &'static [Row],
}

/// One key, or several that belong together.
pub struct Row {
    /// Names, as they are written.
    pub keys: &'static [&'static str],
    /// What holds when they are left out.
    pub standard: Standard,
    /// For an operator, in Markdown.
    pub meaning: &'static str,
}

/// What holds when a key is left out.
pub enum Standard {
    /// Said in words: `needed`, `none`, or what cannot be read from a configuration.
    Words(&'static str),
    /// Read from a configuration that leaves the key out.
    Computed(fn(&Config) -> String),
}

const fn row(keys: &'static [&'static str], standard: Standard, meaning: &'static str) -> Row {
    Row { keys, standard, meaning }
}

impl Table {
    /// As it stands in the file: `[mm4]`, `[[peer]]`.
    pub fn heading(&self) -> &'static str {
        self.name.split(' ').next().unwrap_or(self.name)
    }

    /// As a table of Markdown. `standard` is [`standard_configuration`].
    pub fn markdown(&self, standard: &Config) -> String {
        let mut page = String::from("| key | default | meaning |\n|---|---|---|\n");
        for row in self.rows {
            let keys: Vec<String> = row.keys.iter().map(|key| format!("`{key}`")).collect();
            let cells = [keys.join(", "), row.standard(standard), row.meaning.to_owned()];
            page.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
        page.replace("|  |", "| |")
    }
}

impl Row {
    /// What holds when the key is left out, in Markdown.
    pub fn standard(&self, standard: &Config) -> String {
        match self.standard {
            Standard::Words(words) => words.to_owned(),
            Standard::Computed(of) => of(standard),
        }
    }
}

/// A configuration with one of everything and no key that may be left out.
///
/// # Errors
/// Never, as long as the parser reads what it read when this was written.
pub fn standard_configuration() -> Result<Config, ConfigError> {
    let text = r#"
        [relay]
        domain = "mms.a.example"
        data = "/var/lib/belino"
        [discovery.lookup]
        url = "http://127.0.0.1:8080/np/{number}"
        [[local]]
        prefixes = ["+1202555010"]
        dock = "mailbox"
        [[peer]]
        name = "b"
        domains = ["mms.b.example"]
        hosts = ["192.0.2.20"]
        [[webhook]]
        name = "shop"
        url = "http://127.0.0.1:9000/mms"
        secret_file = "shop.secret"
    "#;
    parse(text, Path::new("/etc/belino/belino.toml"))
}

// ---- how defaults are spelled ----

/// A value as it is.
fn code(value: impl std::fmt::Display) -> String {
    format!("`{value}`")
}

/// A text in its quotation marks.
fn text(value: &str) -> String {
    format!("`\"{value}\"`")
}

/// A span of time in the greatest unit that leaves nothing over.
fn span(value: Duration) -> String {
    text(&in_units(value))
}

fn in_units(value: Duration) -> String {
    let seconds = value.as_secs();
    match [("d", 86_400), ("h", 3600), ("m", 60)]
        .iter()
        .find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Several spans, one for each of the row's keys.
fn spans(values: &[Duration]) -> String {
    values.iter().map(|value| span(*value)).collect::<Vec<_>>().join(", ")
}

/// A list of spans.
fn list(values: &[Duration]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("\"{}\"", in_units(*value))).collect();
    format!("`[{}]`", values.join(", "))
}

/// Octets in the greatest unit that leaves nothing over.
fn size(value: u64) -> String {
    match [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .iter()
        .find(|(_, unit)| value >= *unit && value.is_multiple_of(*unit))
    {
        Some((name, unit)) => text(&format!("{}{name}", value / unit)),
        None => text(&format!("{value}B")),
    }
}

/// Spans of the look-up service, which [`standard_configuration`] has.
fn lookup(config: &Config) -> [Duration; 3] {
    config.discovery.lookup.as_ref().map_or([Duration::ZERO; 3], |l| [l.timeout, l.cache, l.not_found_cache])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteSize, Span};

    /// What is spelled is read as the same.
    #[test]
    fn spelled_defaults_mean_themselves() {
        for seconds in [1, 59, 60, 90, 3600, 86_400, 90_000] {
            let value = Duration::from_secs(seconds);
            assert_eq!(in_units(value).parse(), Ok(Span(value)));
        }
        for octets in [500, 1024, 8 << 20, (8 << 20) + 1, 3 << 30] {
            assert_eq!(size(octets).trim_matches(['`', '"']).parse(), Ok(ByteSize(octets)));
        }
    }
}
