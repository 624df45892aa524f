//! The cases and their ids, as docs/conformance/cases.txt lists them.

use anyhow::{Context, bail, ensure};
use std::fmt;

/// The id of a case: its area's letter and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Id {
    pub area: char,
    pub number: u8,
}

impl Id {
    /// `F` or `f` and `03`: one letter, two digits.
    pub fn new(area: &str, number: &str) -> Option<Self> {
        let mut letters = area.chars();
        let (Some(area), None) = (letters.next(), letters.next()) else { return None };
        let digits = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
        (area.is_ascii_alphabetic() && digits)
            .then(|| Some(Self { area: area.to_ascii_uppercase(), number: number.parse().ok()? }))?
    }

    /// `F-03`.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once('-').and_then(|(area, number)| Self::new(area, number))
    }

    /// All from this one to that one; only that one if there is no such range.
    pub fn to(self, last: Self) -> Vec<Self> {
        if self.area == last.area && self.number < last.number {
            (self.number..=last.number).map(|number| Self { number, ..self }).collect()
        } else {
            vec![self, last]
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.area, self.number)
    }
}

/// What a case still lacks, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Waits {
    Nothing,
    Whole(String),
    Part(String),
}

#[derive(PartialEq, Eq, Debug)]
pub struct Case {
    pub id: Id,
    pub expected: String,
    pub clause: String,
    pub waits: Waits,
}

#[derive(PartialEq, Eq, Debug)]
pub struct Area {
    pub letter: char,
    pub name: String,
    pub cases: Vec<Case>,
}

/// Read the list of cases. Errors name the line.
pub fn cases(text: &str) -> anyhow::Result<Vec<Area>> {
    let mut areas: Vec<Area> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("line {}: {line:?}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(" | ").map(str::trim).collect();
        ensure!(fields.iter().all(|f| !f.is_empty()), "{}: a field is empty", place());
        if let Some(head) = line.strip_prefix("== ") {
            let mut head = head.chars();
            let letter = head.next().filter(char::is_ascii_uppercase);
            let letter = letter.with_context(|| format!("{}: expected == LETTER | NAME", place()))?;
            ensure!(fields.len() == 2, "{}: expected == LETTER | NAME", place());
            ensure!(areas.iter().all(|a| a.letter != letter), "{}: this area is there already", place());
            areas.push(Area { letter, name: fields[1].to_owned(), cases: Vec::new() });
            continue;
        }
        let area = areas.last_mut().with_context(|| format!("{}: a case before any area", place()))?;
        let (id, expected, clause, waits) = match fields[..] {
            [id, expected, clause] => (id, expected, clause, Waits::Nothing),
            [id, expected, clause, waits] => match waits.strip_prefix("part: ") {
                Some(part) => (id, expected, clause, Waits::Part(part.to_owned())),
                None => (id, expected, clause, Waits::Whole(waits.to_owned())),
            },
            _ => bail!("{}: expected ID | what | clause, or ID | what | clause | waits", place()),
        };
        let id = Id::parse(id).with_context(|| format!("{}: expected an id such as F-03", place()))?;
        ensure!(id.area == area.letter, "{}: expected a case of area {}", place(), area.letter);
        ensure!(area.cases.last().is_none_or(|c| c.id < id), "{}: out of order", place());
        area.cases.push(Case { id, expected: expected.to_owned(), clause: clause.to_owned(), waits });
    }
    Ok(areas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let areas = cases(crate::report::tests::LIST).unwrap();
        assert_eq!(
            areas.iter().map(|a| (a.letter, a.name.as_str())).collect::<Vec<_>>(),
            [('F', "Forward"), ('X', "Rest")]
        );
        assert_eq!(
            areas[0].cases[0],
            Case {
                id: Id { area: 'F', number: 1 },
                expected: "It is taken".into(),
                clause: "TS 23.140 8.4.1".into(),
                waits: Waits::Nothing,
            }
        );
        assert_eq!(areas[0].cases[1].waits, Waits::Whole("MM1".into()));
        assert_eq!(areas[1].cases[0].waits, Waits::Part("MM3".into()));
    }

    #[test]
    fn errors_of_the_list_name_the_line() {
        for (text, expectation) in [
            ("F-01 | a | b", "before any area"),
            ("== F", "LETTER | NAME"),
            ("== F | a\n== F | b", "there already"),
            ("== F | a\nF-01 | b", "what | clause"),
            ("== F | a\nF-1 | b | c", "such as F-03"),
            ("== F | a\nX-01 | b | c", "of area F"),
            ("== F | a\nF-02 | b | c\nF-01 | b | c", "out of order"),
            ("== F | a\nF-02 | b | c\nF-02 | b | c", "out of order"),
            ("== F | a\nF-02 |  | c", "empty"),
        ] {
            let error = format!("{:#}", cases(text).unwrap_err());
            let line = format!("line {}: ", text.lines().count());
            assert!(error.contains(expectation) && error.starts_with(&line), "{text:?}: {error}");
        }
    }
}
