//! Fields of a JSON object, taken out one by one; what is left at the end is unknown.
//!
//! Owns: the words that name field, value and expectation when something does not fit.

use super::problem::{Kind, Problem};
use serde_json::{Map, Value};

/// An object that is being read.
pub struct Fields {
    /// `parts[0].`, or nothing.
    path: String,
    rest: Map<String, Value>,
    known: Vec<&'static str>,
}

/// A value for an error message: short, on one line.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("an object of {} fields", map.len()),
        other => other.to_string(),
    };
    mms::HeaderText::cleaned(&text).capped(80).as_str().to_owned()
}

impl Fields {
    /// The fields of an object. `path` names it in errors: `parts[0]`, or nothing for the whole.
    pub fn of(value: Value, path: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(rest) => {
                let path = if path.is_empty() { String::new() } else { format!("{path}.") };
                Ok(Self { path, rest, known: Vec::new() })
            }
            other => {
                let name = if path.is_empty() { "the message" } else { path };
                let what = format!("{name}: {}: expected an object", shown(&other));
                Err(Problem::field(Kind::Malformed, name, what))
            }
        }
    }

    /// The full name of a field.
    pub fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    fn wrong<T>(&self, key: &str, value: &Value, expected: &str) -> Result<T, Problem> {
        let name = self.name(key);
        let what = format!("{name}: {}: expected {expected}", shown(value));
        Err(Problem::field(Kind::Malformed, &name, what))
    }

    /// A field of any type.
    pub fn value(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.rest.shift_remove(key)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.wrong(key, &other, "a string"),
        }
    }

    /// A text that must be there.
    pub fn needed(&mut self, key: &'static str) -> Result<String, Problem> {
        let name = self.name(key);
        let missing = || Problem::field(Kind::Malformed, &name, format!("{name} is missing"));
        self.text(key)?.ok_or_else(missing)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => self.wrong(key, &other, "true or false"),
        }
    }

    /// A list; empty when it is not there.
    pub fn list(&mut self, key: &'static str) -> Result<Vec<Value>, Problem> {
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => self.wrong(key, &other, "a list"),
        }
    }

    /// A list of texts, with the name of each.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<(String, String)>, Problem> {
        let list = self.list(key)?.into_iter().enumerate();
        list.map(|(i, value)| match value {
            Value::String(text) => Ok((format!("{}{key}[{i}]", self.path), text)),
            other => self.wrong(&format!("{key}[{i}]"), &other, "a string"),
        })
        .collect()
    }

    /// Seconds, or a date.
    pub fn seconds_or_text(&mut self, key: &'static str) -> Result<Option<Result<u64, String>>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(Err(text))),
            Some(Value::Number(n)) if n.as_u64().is_some() => Ok(n.as_u64().map(Ok)),
            Some(other) => self.wrong(key, &other, "whole seconds, or an RFC 3339 date and time"),
        }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((unknown, _)) = self.rest.iter().next() else { return Ok(()) };
        let near = self
            .known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
        let unknown = mms::HeaderText::cleaned(unknown).capped(80);
        let name = self.name(unknown.as_str());
        let near = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
        let what = format!("{name}: no such field{near} Fields here: {}", self.known.join(", "));
        Err(Problem::field(Kind::Malformed, &name, what))
    }
}
