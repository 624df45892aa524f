//! Manual pages and completions are made from the command line.

use crate::world::binary;
use std::process::Command;

fn run(args: &[&str]) -> String {
    let output = Command::new(binary()).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Verbs that `belino help` lists.
fn verbs() -> Vec<String> {
    let help = run(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let verbs: Vec<String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|v| !v.is_empty() && *v != "help")
        .map(str::to_owned)
        .collect();
    assert!(verbs.len() >= 20, "{verbs:?}");
    verbs
}

#[test]
fn every_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("man1");
    run(&["man", to.to_str().unwrap()]);
    let main = std::fs::read_to_string(to.join("belino.1")).unwrap();
    assert_eq!(main, run(&["man"]));
    for verb in verbs() {
        let page = std::fs::read_to_string(to.join(format!("belino-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(&verb), "{page}");
        assert!(main.contains(&format!("belino\\-{verb}(1)")), "belino(1) does not name {verb}");
    }
    assert!(!to.join("belino-advance.1").exists(), "hidden");
}

#[test]
fn shells_complete_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell} does not know {verb}");
        }
    }
    assert!(!Command::new(binary()).args(["completions", "sh"]).output().unwrap().status.success());
}
