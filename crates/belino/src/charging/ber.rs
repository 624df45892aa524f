//! Records in BER (ITU-T X.690): one after the other, each a SET under the tag of its record.
//!
//! Owns: octets of the few types that records need, after `mm4-records.asn`. Never knows: files.
//! Written here by hand: it is little, and the crates that do it bring much. Lengths are definite and as short as they can
//! be. What is read is bounded by the octets that are there, and no octet of it can cause a panic.

use super::record::{Agent, Field, KINDS, Naming, Row, Type, Value, fields};
use mms::Timestamp;
use relay::RecordType;

/// Why octets are no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// They end before it does.
    Short,
    /// They are something else.
    Wrong(String),
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Wrong(what.into()))
}

const CONTEXT: u8 = 0x80;
const CONSTRUCTED: u8 = 0x20;
const SEQUENCE: u8 = 0x30;
const ENUMERATED: u8 = 0x0a;

fn length(len: usize, out: &mut Vec<u8>) {
    if len < 0x80 {
        out.push(len as u8);
        return;
    }
    let octets = len.to_be_bytes();
    let first = octets.iter().position(|o| *o != 0).unwrap_or(0);
    out.push(0x80 | (octets.len() - first) as u8);
    out.extend_from_slice(&octets[first..]);
}

fn element(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    length(content.len(), out);
    out.extend_from_slice(content);
}

/// A number, in as few octets as its sign allows.
fn integer(value: u64) -> Vec<u8> {
    let octets = value.to_be_bytes();
    let first = octets.iter().position(|o| *o != 0).unwrap_or(7);
    let mut content = Vec::with_capacity(9);
    if octets[first] >= 0x80 {
        content.push(0);
    }
    content.extend_from_slice(&octets[first..]);
    content
}

/// `YYMMDDhhmmss` in BCD, `+`, and no hours and minutes from UTC.
fn time_stamp(seconds: i64) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = Timestamp::from_seconds(seconds).civil();
    let bcd = |n: u32| (((n / 10 % 10) << 4) | (n % 10)) as u8;
    vec![
        bcd(year.rem_euclid(100) as u32),
        bcd(month),
        bcd(day),
        bcd(hour),
        bcd(minute),
        bcd(second),
        b'+',
        0,
        0,
    ]
}

/// Nature of address and numbering plan, then the digits in pairs, the first one low.
fn msisdn(text: &str) -> Vec<u8> {
    let (nature, digits) = match text.strip_prefix('+') {
        Some(digits) => (0x91, digits),
        None => (0x81, text),
    };
    let digits: Vec<u8> = digits.bytes().map(|b| b.wrapping_sub(b'0') & 0x0f).collect();
    let mut content = vec![nature];
    content.extend(digits.chunks(2).map(|pair| (pair.get(1).copied().unwrap_or(0x0f) << 4) | pair[0]));
    content
}

fn agent(agent: &Agent) -> Vec<u8> {
    let content = match agent.naming {
        Naming::Msisdn => msisdn(&agent.text),
        Naming::Email | Naming::ShortCode => agent.text.clone().into_bytes(),
    };
    let (mut data, mut out) = (Vec::new(), Vec::new());
    let place = Naming::ALL.iter().position(|n| *n == agent.naming).unwrap_or(0);
    element(CONTEXT | place as u8, &content, &mut data);
    element(CONTEXT | CONSTRUCTED, &data, &mut out);
    if let Some(kind) = agent.kind {
        let mut list = Vec::new();
        element(ENUMERATED, &[kind], &mut list);
        element(CONTEXT | CONSTRUCTED | 1, &list, &mut out);
    }
    out
}

fn field(field: &Field, value: &Value, out: &mut Vec<u8>) {
    let plain = |content: &[u8], out: &mut Vec<u8>| element(CONTEXT | field.tag, content, out);
    let built = |content: &[u8], out: &mut Vec<u8>| element(CONTEXT | CONSTRUCTED | field.tag, content, out);
    let mut inner = Vec::new();
    match (field.ty, value) {
        (Type::Rs, Value::Text(domain)) => {
            element(CONTEXT, domain.as_bytes(), &mut inner);
            built(&inner, out);
        }
        (Type::Wait, Value::Time(at)) => {
            element(CONTEXT, &time_stamp(*at), &mut inner);
            built(&inner, out);
        }
        (_, Value::Int(number)) => plain(&integer(*number), out),
        (_, Value::Word(number)) => plain(&integer((*number).into()), out),
        (_, Value::Bool(yes)) => plain(&[if *yes { 0xff } else { 0 }], out),
        (_, Value::Text(text)) => plain(text.as_bytes(), out),
        (_, Value::Time(at)) => plain(&time_stamp(*at), out),
        (_, Value::Agent(one)) => built(&agent(one), out),
        (_, Value::Agents(all)) => {
            all.iter().for_each(|one| element(SEQUENCE, &agent(one), &mut inner));
            built(&inner, out);
        }
    }
}

/// Append a record.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    let mut content = Vec::with_capacity(256);
    for (place, value) in fields(row.kind).iter().zip(&row.values) {
        if let Some(value) = value {
            field(place, value, &mut content);
        }
    }
    // Tags from 31 on take an octet of their own.
    out.push(CONTEXT | CONSTRUCTED | 0x1f);
    element(row.kind.number(), &content, out);
}

fn take<'a>(input: &mut &'a [u8], n: usize) -> Result<&'a [u8], Unread> {
    let (taken, rest) = input.split_at_checked(n).ok_or(Unread::Short)?;
    *input = rest;
    Ok(taken)
}

fn octet(input: &mut &[u8]) -> Result<u8, Unread> {
    Ok(take(input, 1)?[0])
}

/// The content of an element whose tag was read.
fn content<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Unread> {
    let first = octet(input)?;
    let len = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            take(input, usize::from(first & 0x7f))?.iter().fold(0, |len, o| (len << 8) | usize::from(*o))
        }
        _ => return wrong(format!("length octet {first:#04x}")),
    };
    take(input, len)
}

/// Within an element, nothing may be missing.
fn inside<T>(read: Result<T, Unread>) -> Result<T, Unread> {
    read.or_else(|why| match why {
        Unread::Short => wrong("an element that is longer than what holds it"),
        other => Err(other),
    })
}

/// The content of the next element, which has this tag.
fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Result<&'a [u8], Unread> {
    let found = octet(input)?;
    if found != tag {
        return wrong(format!("tag {found:#04x}, expected {tag:#04x}"));
    }
    content(input)
}

fn read_integer(content: &[u8]) -> Result<u64, Unread> {
    let digits = content.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(content);
    if content.is_empty() || content[0] >= 0x80 || digits.len() > 8 {
        return wrong("a number that is negative or too long");
    }
    Ok(digits.iter().fold(0, |n, o| (n << 8) | u64::from(*o)))
}

fn read_text(content: &[u8]) -> Result<String, Unread> {
    String::from_utf8(content.to_vec()).or_else(|_| wrong("text that is no UTF-8"))
}

fn read_time(content: &[u8]) -> Result<Value, Unread> {
    let [year, month, day, hour, minute, second, b'+', 0, 0] = content else {
        return wrong("a time stamp that is not 9 octets in UTC");
    };
    let bcd = |o: u8| u32::from(o >> 4) * 10 + u32::from(o & 0x0f);
    let year = 2000 + bcd(*year) as i32;
    let at = Timestamp::from_civil(year, bcd(*month), bcd(*day), bcd(*hour), bcd(*minute), bcd(*second));
    at.map(|at| Value::Time(at.seconds())).map_or_else(|| wrong("a time stamp that is no date"), Ok)
}

fn read_msisdn(content: &[u8]) -> Result<String, Unread> {
    let Some((nature, pairs)) = content.split_first() else { return wrong("an MSISDN without octets") };
    let mut text = if *nature == 0x91 { "+".to_owned() } else { String::new() };
    for pair in pairs {
        for digit in [pair & 0x0f, pair >> 4] {
            match digit {
                0..=9 => text.push(char::from(b'0' + digit)),
                0x0f => {}
                _ => return wrong("an MSISDN with something else than digits"),
            }
        }
    }
    Ok(text)
}

fn read_agent(mut content_of: &[u8]) -> Result<Agent, Unread> {
    let input = &mut content_of;
    let mut data = expect(input, CONTEXT | CONSTRUCTED)?;
    let tag = octet(&mut data)?;
    let Some(naming) = Naming::ALL.get(usize::from(tag & 0x1f)).copied().filter(|_| tag & 0xe0 == CONTEXT)
    else {
        return wrong(format!("an address with tag {tag:#04x}"));
    };
    let octets = content(&mut data)?;
    let text = if naming == Naming::Msisdn { read_msisdn(octets)? } else { read_text(octets)? };
    let kind = if input.is_empty() {
        None
    } else {
        let mut list = expect(input, CONTEXT | CONSTRUCTED | 1)?;
        let kind = read_integer(expect(&mut list, ENUMERATED)?)?;
        Some(
            KINDS
                .iter()
                .find(|(n, _)| u64::from(*n) == kind)
                .map_or_else(|| wrong("an unknown recipient type"), |(n, _)| Ok(*n))?,
        )
    };
    Ok(Agent { naming, text, kind })
}

fn read_value(ty: Type, mut octets: &[u8]) -> Result<Value, Unread> {
    Ok(match ty {
        Type::Int => Value::Int(read_integer(octets)?),
        Type::Bool => Value::Bool(octets != [0]),
        Type::Text => Value::Text(read_text(octets)?),
        Type::Time => read_time(octets)?,
        Type::Wait => read_time(expect(&mut octets, CONTEXT)?)?,
        Type::Rs => Value::Text(read_text(expect(&mut octets, CONTEXT)?)?),
        Type::Agent => Value::Agent(read_agent(octets)?),
        Type::Agents => {
            let mut all = Vec::new();
            while !octets.is_empty() {
                all.push(read_agent(expect(&mut octets, SEQUENCE)?)?);
            }
            Value::Agents(all)
        }
        Type::Word(words) => {
            let number = read_integer(octets)?;
            let known = words.iter().find(|(n, _)| u64::from(*n) == number);
            Value::Word(known.map_or_else(|| wrong(format!("value {number} is unknown")), |(n, _)| Ok(*n))?)
        }
    })
}

/// Read one record off the front.
///
/// # Errors
/// [`Unread`]: the octets end too soon, or are no record of ours.
pub fn decode(input: &mut &[u8]) -> Result<Row, Unread> {
    let begin = octet(input)?;
    if begin != CONTEXT | CONSTRUCTED | 0x1f {
        return wrong(format!("a record that begins with {begin:#04x}"));
    }
    let number = octet(input)?;
    let mut octets = content(input)?;
    let Some(kind) = RecordType::ALL.iter().copied().find(|kind| kind.number() == number) else {
        return wrong(format!("record {number} is none of MM4"));
    };
    let mut row = Row { kind, values: vec![None; fields(kind).len()] };
    while !octets.is_empty() {
        let tag = inside(octet(&mut octets))?;
        let value = inside(content(&mut octets))?;
        let Some(place) = fields(kind).iter().position(|f| f.tag == tag & 0x1f) else {
            return wrong(format!("{kind} has no field with tag {tag:#04x}"));
        };
        row.values[place] = Some(inside(read_value(fields(kind)[place].ty, value))?);
    }
    row.complete().map_err(Unread::Wrong)
}
