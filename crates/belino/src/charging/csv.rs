//! Records as CSV (RFC 4180): one header, and the same columns for every record; empty where a record has no such field.

use super::json::{number, time_of, time_words, word};
use super::record::{Agent, KINDS, Naming, Row, Type, Value, fields, kind_named};

/// The columns.
pub const COLUMNS: [&str; 28] = [
    "record",
    "recordType",
    "localSequenceNumber",
    "recordTimeStamp",
    "originatorMmsRSAddress",
    "recipientMmsRSAddress",
    "messageID",
    "mms3GPPVersion",
    "originatorAddress",
    "recipientAddresses",
    "recipientAddress",
    "contentType",
    "messageSize",
    "messageClass",
    "submissionTime",
    "timeOfExpiry",
    "deliveryReportRequested",
    "priority",
    "senderVisibility",
    "readReplyRequested",
    "acknowledgementRequest",
    "forwardCounter",
    "forwardingAddress",
    "requestStatusCode",
    "mmStatusCode",
    "readStatus",
    "mmDateAndTime",
    "statusText",
];

/// The first line of a file.
pub fn header() -> String {
    COLUMNS.join(",") + "\r\n"
}

/// `to:mSISDN:+12025550100`. In a list they stand between semicolons, so one within is written as `%3B`.
fn agent(agent: &Agent) -> String {
    let kind = agent.kind.map_or(String::new(), |kind| format!("{}:", word(KINDS, kind)));
    let text = agent.text.replace('%', "%25").replace(';', "%3B");
    format!("{kind}{}:{text}", agent.naming.as_str())
}

fn read_agent(cell: &str) -> Option<Agent> {
    let (first, rest) = cell.split_once(':')?;
    let (kind, naming, text) = match number(KINDS, first) {
        Some(kind) => {
            let (naming, text) = rest.split_once(':')?;
            (Some(kind), naming, text)
        }
        None => (None, first, rest),
    };
    let naming = Naming::ALL.into_iter().find(|n| n.as_str() == naming)?;
    Some(Agent { naming, text: text.replace("%3B", ";").replace("%25", "%"), kind })
}

fn cell(ty: Type, value: &Value) -> String {
    match (ty, value) {
        (Type::Word(words), Value::Word(number)) => word(words, *number).to_owned(),
        (_, Value::Word(number)) => number.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Bool(yes)) => yes.to_string(),
        (_, Value::Text(text)) => text.clone(),
        (_, Value::Time(at)) => time_words(*at),
        (_, Value::Agent(one)) => agent(one),
        (_, Value::Agents(all)) => all.iter().map(agent).collect::<Vec<_>>().join(";"),
    }
}

/// Append a record, with its line end.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    for (place, column) in COLUMNS.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let field = fields(row.kind).iter().zip(&row.values).find(|(field, _)| field.name == *column);
        match (*column, field) {
            ("record", _) => out.extend_from_slice(row.kind.as_str().as_bytes()),
            (_, Some((field, Some(value)))) => quote(&cell(field.ty, value), value, out),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// A text is quoted where it must be, and where it is there but empty, so that it differs from what is not there.
fn quote(cell: &str, value: &Value, out: &mut Vec<u8>) {
    let empty = cell.is_empty() && matches!(value, Value::Text(_));
    if empty || cell.contains([',', '"', '\r', '\n']) {
        out.push(b'"');
        out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(cell.as_bytes());
    }
}

/// The cells of a line, and whether each was quoted.
fn cells(line: &str) -> Option<Vec<(String, bool)>> {
    let mut all = Vec::new();
    let mut rest = line;
    loop {
        let mut text = String::new();
        let quoted = rest.starts_with('"');
        if quoted {
            rest = &rest[1..];
            loop {
                let end = rest.find('"')?;
                text.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        rest = more;
                    }
                    None => break,
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            text.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        all.push((text, quoted));
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Some(all),
            None => return None,
        }
    }
}

fn read_value(ty: Type, cell: &str) -> Option<Value> {
    Some(match ty {
        Type::Int => Value::Int(cell.parse().ok()?),
        Type::Bool => Value::Bool(cell.parse().ok()?),
        Type::Text | Type::Rs => Value::Text(cell.to_owned()),
        Type::Time | Type::Wait => Value::Time(time_of(cell)?),
        Type::Agent => Value::Agent(read_agent(cell)?),
        Type::Agents => Value::Agents(cell.split(';').map(read_agent).collect::<Option<_>>()?),
        Type::Word(words) => Value::Word(number(words, cell)?),
    })
}

/// Read the line of a record, without its line end.
///
/// # Errors
/// In words.
pub fn decode(line: &[u8]) -> Result<Row, String> {
    let line = std::str::from_utf8(line).map_err(|_| "a line that is no UTF-8".to_owned())?;
    let cells = cells(line).filter(|cells| cells.len() == COLUMNS.len());
    let cells = cells.ok_or_else(|| format!("a line that has not {} columns", COLUMNS.len()))?;
    let kind = kind_named(&cells[0].0).ok_or_else(|| format!("record {:?} is none of MM4", cells[0].0))?;
    let read = |field: &super::record::Field| {
        let place = COLUMNS.iter().position(|column| *column == field.name);
        let Some((text, quoted)) = place.and_then(|place| cells.get(place)) else { return Ok(None) };
        if text.is_empty() && !quoted {
            return Ok(None);
        }
        let value = read_value(field.ty, text);
        value.map(Some).ok_or_else(|| format!("{kind}: {} cannot be {text:?}", field.name))
    };
    let values = fields(kind).iter().map(read).collect::<Result<_, _>>()?;
    Row { kind, values }.complete()
}
