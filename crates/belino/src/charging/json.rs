//! Records as JSON: one object on one line each, with the field names of TS 32.298.

use super::record::{Agent, KINDS, Naming, Row, Type, Value, fields, kind_named};
use mms::Timestamp;
use serde_json::{Map, Value as Json, json};

/// `2025-03-04T10:15:30Z`.
pub fn time_words(seconds: i64) -> String {
    let (year, month, day, hour, minute, second) = Timestamp::from_seconds(seconds).civil();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The seconds of such words.
pub fn time_of(words: &str) -> Option<i64> {
    let octets = words.as_bytes();
    if octets.len() != 20 || !words.is_ascii() || !words.ends_with('Z') {
        return None;
    }
    let part = |from: usize, to: usize| words[from..to].parse::<u32>().ok();
    let year = i32::try_from(part(0, 4)?).ok()?;
    let at =
        Timestamp::from_civil(year, part(5, 7)?, part(8, 10)?, part(11, 13)?, part(14, 16)?, part(17, 19)?)?;
    (time_words(at.seconds()) == words).then_some(at.seconds())
}

/// The word of a number, and the number of a word.
pub fn word(words: &'static [(u8, &'static str)], number: u8) -> &'static str {
    words.iter().find(|(n, _)| *n == number).map_or("unknown", |(_, word)| word)
}

/// The number of a word.
pub fn number(words: &[(u8, &str)], of: &str) -> Option<u8> {
    words.iter().find(|(_, word)| *word == of).map(|(n, _)| *n)
}

fn agent(agent: &Agent) -> Json {
    let mut object = Map::new();
    object.insert(agent.naming.as_str().into(), json!(agent.text));
    if let Some(kind) = agent.kind {
        object.insert("recipientType".into(), json!(word(KINDS, kind)));
    }
    Json::Object(object)
}

fn value(ty: Type, value: &Value) -> Json {
    match (ty, value) {
        (Type::Rs, Value::Text(domain)) => json!({ "domainName": domain }),
        (Type::Wait, Value::Time(at)) => json!({ "httpDate": time_words(*at) }),
        (Type::Word(words), Value::Word(number)) => json!(word(words, *number)),
        (_, Value::Word(number)) => json!(number),
        (_, Value::Int(number)) => json!(number),
        (_, Value::Bool(yes)) => json!(yes),
        (_, Value::Text(text)) => json!(text),
        (_, Value::Time(at)) => json!(time_words(*at)),
        (_, Value::Agent(one)) => agent(one),
        (_, Value::Agents(all)) => all.iter().map(agent).collect(),
    }
}

/// The object of a record.
pub fn object(row: &Row) -> Json {
    let mut object = Map::new();
    object.insert("record".into(), json!(row.kind.as_str()));
    for (field, given) in fields(row.kind).iter().zip(&row.values) {
        if let Some(given) = given {
            object.insert(field.name.into(), value(field.ty, given));
        }
    }
    Json::Object(object)
}

/// Append a record, with its line end.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(object(row).to_string().as_bytes());
    out.push(b'\n');
}

fn read_agent(json: &Json) -> Option<Agent> {
    let kind = match json.get("recipientType") {
        Some(kind) => Some(number(KINDS, kind.as_str()?)?),
        None => None,
    };
    let named = |naming: Naming| Some((naming, json.get(naming.as_str())?.as_str()?.to_owned()));
    let (naming, text) = Naming::ALL.into_iter().find_map(named)?;
    Some(Agent { naming, text, kind })
}

fn read_value(ty: Type, json: &Json) -> Option<Value> {
    Some(match ty {
        Type::Int => Value::Int(json.as_u64()?),
        Type::Bool => Value::Bool(json.as_bool()?),
        Type::Text => Value::Text(json.as_str()?.to_owned()),
        Type::Time => Value::Time(time_of(json.as_str()?)?),
        Type::Wait => Value::Time(time_of(json.get("httpDate")?.as_str()?)?),
        Type::Rs => Value::Text(json.get("domainName")?.as_str()?.to_owned()),
        Type::Agent => Value::Agent(read_agent(json)?),
        Type::Agents => Value::Agents(json.as_array()?.iter().map(read_agent).collect::<Option<_>>()?),
        Type::Word(words) => Value::Word(number(words, json.as_str()?)?),
    })
}

/// Read the line of a record.
///
/// # Errors
/// In words.
pub fn decode(line: &[u8]) -> Result<Row, String> {
    let json: Json = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let name = json["record"].as_str().unwrap_or_default();
    let kind = kind_named(name).ok_or_else(|| format!("record {name:?} is none of MM4"))?;
    let read = |field: &super::record::Field| match json.get(field.name) {
        None => Ok(None),
        Some(given) => match read_value(field.ty, given) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("{kind}: {} cannot be {given}", field.name)),
        },
    };
    let values = fields(kind).iter().map(read).collect::<Result<_, _>>()?;
    Row { kind, values }.complete()
}
