//! The reference of the configuration: every key that the parser knows has a row, and the page has the rows as they are.

use crate::pages::{fresh, page};
use crate::world::binary;
use belino::config::keys::{TABLES, Table, standard_configuration};
use std::collections::BTreeSet;
use std::path::Path;

/// The keys that the parser itself says it knows in a place: it names them all when it meets another one.
fn known(place: &str) -> BTreeSet<String> {
    let relay = "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n";
    let text = match place {
        "" => format!("nothing_is_named_so = 1\n{relay}"),
        "[relay]" => format!("{relay}nothing_is_named_so = 1\n"),
        place => format!("{relay}{place}\nnothing_is_named_so = 1\n"),
    };
    let error = belino::config::parse(&text, Path::new("belino.toml")).unwrap_err().to_string();
    let (_, all) = error.split_once("Keys here: ").unwrap_or_else(|| panic!("{place}: {error}"));
    all.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_parser_has_a_row() {
    let mut tables = BTreeSet::new();
    let headings: BTreeSet<&str> = TABLES.iter().map(Table::heading).collect();
    let names: Vec<&str> = headings.iter().map(|heading| heading.trim_matches(['[', ']'])).collect();
    for (heading, name) in headings.iter().zip(&names) {
        let rows = TABLES.iter().filter(|table| table.heading() == *heading).flat_map(|table| table.rows);
        let described: Vec<&str> = rows.flat_map(|row| row.keys).copied().collect();
        let once: BTreeSet<String> = described.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(once.len(), described.len(), "{heading}: a key has two rows");
        assert_eq!(
            once,
            known(heading),
            "{heading}: rows of config/keys/table.rs, and keys that the parser knows"
        );
        if let Some((above, below)) = name.split_once('.') {
            assert!(known(&format!("[{above}]")).contains(below), "{heading}");
        } else {
            tables.insert((*name).to_owned());
        }
    }
    assert_eq!(tables, known(""), "tables of config/keys/table.rs, and those that the parser knows");
}

/// `docs/configuration.md` has each table as the code has it. What stands around them is written by hand.
#[test]
fn the_reference_of_the_configuration_is_fresh() {
    let standard = standard_configuration().unwrap();
    let mut text = page("configuration.md");
    for table in TABLES {
        let mark = format!("<!-- keys: {} -->\n", table.name);
        let at = text.find(&mark).unwrap_or_else(|| panic!("no {mark}")) + mark.len();
        let end = text[at..].find("\n\n").map_or(text.len(), |end| at + end + 1);
        text.replace_range(at..end, &table.markdown(&standard));
    }
    assert_eq!(text.matches("<!-- keys: ").count(), TABLES.len());
    assert_eq!(text.matches("| key | default | meaning |").count(), TABLES.len(), "a table without its mark");
    fresh("configuration.md", &text);
}

#[test]
fn check_shows_the_same_keys() {
    let run = |args: &[&str]| {
        let output = std::process::Command::new(binary()).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let rows: Vec<serde_json::Value> =
        run(&["check", "--keys", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let knobs = relay::house::Profile::KNOBS.len();
    assert_eq!(rows.len(), TABLES.iter().map(|table| table.rows.len()).sum::<usize>() + knobs);
    let idle = rows.iter().find(|row| row["keys"][0] == "idle").unwrap();
    assert_eq!(idle["table"], "[limits]");
    assert_eq!(idle["default"], "`\"10m\"`, `\"3m\"`");
    let text = run(&["check", "--keys"]);
    assert!(text.contains("\n[[peer]]\n") && text.contains("\n  hops_max\n      default: 100\n"), "{text}");
}
