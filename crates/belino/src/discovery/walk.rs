//! The walk through the records of one number in one ENUM tree (TS 23.140 annex G, RFC 6116 5.2.1).
//!
//! Owns: which names are queried, the chain of non-terminal records and its end, and which outcome of it all is told. Never
//! knows: what a single record means; that is in `naptr`.

use super::dns::{Data, Kind, Outcome, View};
use super::naptr::{self, Naptr, Rules, Use};
use mms::{Domain, MailPath, Number};
use std::collections::BTreeSet;

/// Non-terminal records one behind the other, at most.
const CHAIN_MAX: usize = 5;
/// Names that are queried for one number, at most: a tree may branch at each step.
const NAMES_MAX: usize = 30;
/// Names in trouble after which a number is given up for now: each may take its whole time.
const TROUBLES_MAX: usize = 3;

/// What a tree knows about a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Where its MMSE is.
    Path(MailPath),
    /// Nothing that gives a domain.
    Nothing,
    /// Nobody knows now.
    Trouble(String),
}

/// Ask the tree at `apex` about a number; each step is told to `say`.
pub(super) async fn walk(
    view: &View,
    number: &Number,
    apex: &Domain,
    rules: &Rules,
    say: &mut Vec<String>,
) -> Known {
    let Some(name) = naptr::query_name(number, apex) else { return Known::Nothing };
    let mut asked = BTreeSet::new();
    let mut troubles = Vec::new();
    // The records of each name on the way to where we are, those that were looked at already removed.
    let mut way = vec![records(view, &name, say, &mut troubles).await];
    asked.insert(name);
    while let Some(here) = way.last_mut() {
        let Some(record) = here.next() else {
            way.pop();
            continue;
        };
        let shown = format!(
            "record {} {} {:?} {:?}",
            record.order,
            record.preference,
            record.flags.escape_ascii().to_string(),
            record.services.escape_ascii().to_string()
        );
        match record.consider(number, rules) {
            Use::Path(path) => {
                say.push(format!("{shown}: used, it gives {path}"));
                return Known::Path(path);
            }
            Use::Capable => say.push(format!("{shown}: the number takes MMS; where is not said")),
            Use::Nothing(why) => say.push(format!("{shown}: passed over, {why}")),
            Use::Follow(next) => {
                let next = next.as_str().to_owned();
                if asked.contains(&next) {
                    say.push(format!("{shown}: passed over, it leads to {next}, where we were"));
                } else if way.len() > CHAIN_MAX || asked.len() >= NAMES_MAX {
                    say.push(format!(
                        "{shown}: passed over, it leads on to {next}, beyond {CHAIN_MAX} steps"
                    ));
                } else {
                    say.push(format!("{shown}: leads on to {next}"));
                    way.push(records(view, &next, say, &mut troubles).await);
                    asked.insert(next);
                    if troubles.len() >= TROUBLES_MAX {
                        say.push(format!("{TROUBLES_MAX} names in trouble: given up for now"));
                        break;
                    }
                }
            }
        }
    }
    troubles.into_iter().next().map_or(Known::Nothing, Known::Trouble)
}

/// The records of one name in order; none after trouble, which is noted.
async fn records(
    view: &View,
    name: &str,
    say: &mut Vec<String>,
    troubles: &mut Vec<String>,
) -> std::vec::IntoIter<Naptr> {
    let answer = view.ask(name, Kind::Naptr).await;
    say.push(format!("NAPTR of {name}: {answer}"));
    let mut records: Vec<Naptr> = match answer.outcome {
        Outcome::Found(data) => data
            .iter()
            .filter_map(|d| match d {
                Data::Naptr(naptr) => Some(naptr.clone()),
                _ => None,
            })
            .collect(),
        Outcome::NotFound(_) => Vec::new(),
        Outcome::Trouble(why) => {
            troubles.push(format!("NAPTR of {name}: {why}"));
            Vec::new()
        }
    };
    naptr::sort(&mut records);
    records.into_iter()
}
