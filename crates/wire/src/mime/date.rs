//! Dates of mail and HTTP: every form that peers write, and the two that we write.
//!
//! Owns: RFC 5322, RFC 1123, RFC 850, asctime and RFC 3339 forms. Never knows: what time it is.

use mms::Timestamp;
use std::borrow::Cow;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// In which form a date was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateForm {
    /// `Tue, 04 Mar 2025 10:15:30 +0000` (RFC 5322) or with `GMT` (RFC 1123).
    Mail,
    /// `Tuesday, 04-Mar-25 10:15:30 GMT`.
    Rfc850,
    /// `Tue Mar  4 10:15:30 2025`.
    Asctime,
    /// `2025-03-04T10:15:30Z`.
    Rfc3339,
}

/// `Tue, 04 Mar 2025 10:15:30 +0000`: the form of `Date` (RFC 5322 3.3). Fractions of a second are cut off.
pub fn mail_date(at: Timestamp) -> String {
    written(at, "+0000")
}

/// `Tue, 04 Mar 2025 10:15:30 GMT`: the form of `X-Mms-Expiry` (RFC 1123 as HTTP has it).
pub fn http_date(at: Timestamp) -> String {
    written(at, "GMT")
}

fn written(at: Timestamp, zone: &str) -> String {
    let (year, month, day, hour, minute, second) = at.civil();
    let weekday = DAYS[at.weekday() % 7];
    let month = MONTHS[(month as usize).clamp(1, 12) - 1];
    let mut out = String::with_capacity(32);
    out.push_str(weekday);
    out.push_str(", ");
    two_digits(&mut out, day);
    out.push(' ');
    out.push_str(month);
    out.push(' ');
    // An instant is in the years 1 to 9999.
    let year = year.unsigned_abs();
    two_digits(&mut out, year / 100);
    two_digits(&mut out, year % 100);
    for (before, value) in [(' ', hour), (':', minute), (':', second)] {
        out.push(before);
        two_digits(&mut out, value);
    }
    out.push(' ');
    out.push_str(zone);
    out
}

fn two_digits(out: &mut String, value: u32) {
    out.extend([value / 10 % 10, value % 10].map(|digit| char::from(b'0' + digit as u8)));
}

/// The instant that `text` names, and the form it is in. Without a zone UTC is meant. The day of the week is not
/// believed. Text over 128 octets is no date.
pub fn parse_date(text: &str) -> Option<(Timestamp, DateForm)> {
    if text.len() > 128 || !text.is_ascii() {
        return None;
    }
    let text = without_comments(text);
    let text = text.trim();
    if text.as_bytes().get(4) == Some(&b'-') && text.as_bytes()[0].is_ascii_digit() {
        return rfc3339(text).map(|at| (at, DateForm::Rfc3339));
    }
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_some_and(|word| is_weekday(word)) {
        words.next();
    }
    let first = words.next()?;
    if first.contains('-') {
        let mut parts = first.splitn(3, '-');
        let (day, month, year) = (number(parts.next()?, 2)?, month(parts.next()?)?, year(parts.next()?)?);
        let at = instant((year, month, day), time(words.next()?)?, words.next())?;
        return Some((at, DateForm::Rfc850));
    }
    if let Some(month) = month(first) {
        let day = number(words.next()?, 2)?;
        let time = time(words.next()?)?;
        let last = words.next()?;
        // Some put the zone before the year.
        let (zone, year) = match year(last) {
            Some(year) => (None, year),
            None => (Some(last), year(words.next()?)?),
        };
        return Some((instant((year, month, day), time, zone)?, DateForm::Asctime));
    }
    let date = (number(first, 2)?, month(words.next()?)?, year(words.next()?)?);
    let at = instant((date.2, date.1, date.0), time(words.next()?)?, words.next())?;
    Some((at, DateForm::Mail))
}

fn without_comments(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'(', text.as_bytes()).is_none() {
        return text.into();
    }
    let mut depth = 0u32;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => {
                    depth -= 1;
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect::<String>()
        .into()
}

fn is_weekday(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    word.len() >= 3
        && word.bytes().all(|b| b.is_ascii_alphabetic())
        && DAYS.iter().any(|day| word[..3].eq_ignore_ascii_case(day))
}

fn number(text: &str, digits_max: usize) -> Option<u32> {
    let fits = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn month(text: &str) -> Option<u32> {
    let name = text.get(..3)?;
    let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    text.bytes().all(|b| b.is_ascii_alphabetic()).then_some(index as u32 + 1)
}

/// Two digits are 1950 to 2049, three count from 1900 (RFC 5322 4.3).
fn year(text: &str) -> Option<i32> {
    let value = number(text, 4)? as i32;
    match text.len() {
        1 => None,
        2 if value < 50 => Some(value + 2000),
        2 | 3 => Some(value + 1900),
        _ => Some(value),
    }
}

fn time(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = match parts.next() {
        Some(second) => number(second.split(['.', ',']).next()?, 2)?,
        None => 0,
    };
    if parts.next().is_some() { None } else { Some((hour, minute, second)) }
}

fn instant(date: (i32, u32, u32), time: (u32, u32, u32), zone: Option<&str>) -> Option<Timestamp> {
    let local = Timestamp::from_civil(date.0, date.1, date.2, time.0, time.1, time.2)?;
    Some(Timestamp::from_seconds(local.seconds() - zone_seconds(zone.unwrap_or("GMT"))?))
}

/// Seconds east of Greenwich. Names nobody knows count as zero (RFC 5322 4.3).
fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes() {
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => {
            if zone == "GMT" {
                return Some(0);
            }
            let hours = match zone.to_ascii_uppercase().as_str() {
                "EDT" => -4,
                "EST" | "CDT" => -5,
                "CST" | "MDT" => -6,
                "MST" | "PDT" => -7,
                "PST" => -8,
                _ if zone.bytes().all(|b| b.is_ascii_alphabetic()) => 0,
                _ => return None,
            };
            return Some(hours * 3600);
        }
    };
    let digits: Cow<'_, str> =
        if digits.contains(':') { digits.replace(':', "").into() } else { digits.into() };
    let value = i64::from(number(&digits, 4)?);
    let (hours, minutes) = if digits.len() <= 2 { (value, 0) } else { (value / 100, value % 100) };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (year(parts.next()?)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let zone_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let zone = zone.trim();
    instant((year, month, day), time(clock)?, (!zone.is_empty()).then_some(zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn f_26_all_forms_name_the_same_instant() {
        let expected = Timestamp::from_seconds(1_741_083_330);
        for text in [
            "Tue, 04 Mar 2025 10:15:30 +0000",
            "Tue, 04 Mar 2025 10:15:30 GMT",
            "Tue, 4 Mar 2025 11:15:30 +0100",
            "4 Mar 2025 05:15:30 EST",
            "Tue,04 Mar 2025 10:15:30 -0000 (UTC)",
            "tue, 04 mar 25 10:15:30 ut",
            "Tue, 04 Mar 125 10:15:30 Z",
            "Tue, 04 Mar 2025 10:15:30",
            "Tuesday, 04-Mar-25 10:15:30 GMT",
            "Tue, 04-Mar-2025 10:15:30 GMT",
            "Tue Mar  4 10:15:30 2025",
            "Tue Mar 4 10:15:30 GMT 2025",
            "2025-03-04T10:15:30Z",
            "2025-03-04T10:15:30.123Z",
            "2025-03-04t13:45:30+03:30",
            "2025-03-04 10:15:30 +0000",
        ] {
            assert_eq!(parse_date(text).map(|d| d.0), Some(expected), "{text}");
        }
        assert_eq!(mail_date(expected), "Tue, 04 Mar 2025 10:15:30 +0000");
        assert_eq!(http_date(expected), "Tue, 04 Mar 2025 10:15:30 GMT");
        assert_eq!(parse_date("Tue, 04 Mar 2025 10:15 +0000").map(|d| d.0.seconds()), Some(1_741_083_300));
    }

    #[test]
    fn no_dates() {
        for text in [
            "",
            "garbage",
            "Tue",
            "Tue,",
            "31 Feb 2025 10:15:30 GMT",
            "04 Mar 2025",
            "04 Mar 2025 25:00:00 GMT",
            "04 Mar 2025 10:15:30 +9999",
            "04 Mar 2025 10:15:30 *",
            "2025-03-04",
            "2025-13-04T10:15:30Z",
            "04-Mar 10:15:30",
            "04 M\u{e4}r 2025 10:15:30 GMT",
            "((((((((",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in -62_135_596_800i64..=253_402_300_799) {
            let at = Timestamp::from_seconds(seconds);
            prop_assert_eq!(parse_date(&mail_date(at)), Some((at, DateForm::Mail)));
            prop_assert_eq!(parse_date(&http_date(at)), Some((at, DateForm::Mail)));
            prop_assert_eq!(parse_date(&at.to_string()), Some((at, DateForm::Rfc3339)));
        }

        #[test]
        fn no_text_panics(text in "[0-9A-Za-z:,+() .-]{0,40}", any in any::<String>()) {
            let _ = (parse_date(&text), parse_date(&any));
        }
    }
}
