//! `belino find`: MMs by what is known of them.

use crate::world::*;
use serde_json::Value;

fn world() -> World {
    World::with(Setup { more: "[search]\nindex = true".into(), ..Setup::default() })
}

/// Ids that a search shows, newest first, once there are so many.
fn find(world: &World, args: &[&str], count: usize) -> Vec<String> {
    let all: Vec<&str> = ["find"].iter().chain(args).copied().collect();
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    world.until(&format!("{args:?} finds {count}"), |world| {
        // It may still be opening its file.
        let shown = world.cli(&[&["--json"], &all[..]].concat());
        let text = String::from_utf8(shown.stdout).unwrap();
        let rows: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let found = shown.status.success() && rows.len() == count;
        found.then(|| rows.iter().map(id).collect())
    })
}

#[test]
fn an_mm_is_found_by_all_that_is_known_of_it() {
    let mut world = world();
    let mut client = world.from_b();
    assert!(client.forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    world.advance("1h");
    assert!(world.from_b().forward(&Fwd::ids("mm-2", "tx-2"), &[U2]).starts_with("250"));
    world.advance("1m");
    let out = world.send(U1, &[C1], &[])["id"].as_str().unwrap().to_owned();
    // Nobody serves this one.
    let lost = world.send(U1, &["+12025550199"], &[])["id"].as_str().unwrap().to_owned();
    let all = find(&world, &[], 4);
    let (first, second) = (all[3].clone(), all[2].clone());
    assert_eq!(
        all[..2].iter().cloned().collect::<std::collections::BTreeSet<_>>(),
        [out.clone(), lost.clone()].into()
    );
    for again in ["", "after a kill"] {
        if !again.is_empty() {
            world.restart();
        }
        assert_eq!(find(&world, &[&first], 1), std::slice::from_ref(&first));
        assert_eq!(find(&world, &["mm-2"], 1), std::slice::from_ref(&second));
        assert_eq!(find(&world, &[U2], 1), std::slice::from_ref(&second));
        assert_eq!(find(&world, &["+1202555010"], 4).len(), 4, "senders count as well");
        assert_eq!(find(&world, &["--peer", "c"], 1), std::slice::from_ref(&out));
        assert_eq!(find(&world, &["--state", "failed"], 1), std::slice::from_ref(&lost));
        assert_eq!(
            find(&world, &["--peer", "b", "--until", "2025-03-04T10:30"], 1),
            std::slice::from_ref(&first)
        );
        assert_eq!(
            find(&world, &["--peer", "b", "--since", "2025-03-04 11:00"], 1),
            std::slice::from_ref(&second)
        );
        assert_eq!(find(&world, &[U1, "--peer", "c"], 1), std::slice::from_ref(&out));
        assert_eq!(find(&world, &["+4477009"], 0), [] as [String; 0]);
        // Page by page.
        let page = find(&world, &["--max", "3"], 3);
        assert_eq!(find(&world, &["--max", "3", "--before", &page[2]], 1), std::slice::from_ref(&first));
    }
    // A person is told how to go on, and what is wrong.
    let shown = String::from_utf8(world.cli(&["find", "--max", "3"]).stdout).unwrap();
    assert!(shown.contains("--before") && shown.contains(C1), "{shown}");
    for (args, expected) in
        [(["find", "--state", "lost"], "open, done or failed"), (["find", "--since", "soon"], "2h or 3d")]
    {
        let said = String::from_utf8(world.cli(&args).stderr).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_is_done_and_gone_is_found_so() {
    let world = world();
    assert!(world.from_b().forward(&Fwd::ids("mm-1", "tx-1"), &[U1]).starts_with("250"));
    let id = find(&world, &["--state", "open"], 1).remove(0);
    world.cli(&["mailbox", "delete", &id]);
    find(&world, &["--state", "done"], 1);
    // Kept for a while, then gone.
    world.advance("60d");
    find(&world, &[], 0);
    find(&world, &["+12025550100"], 0);
}

#[test]
fn without_an_index_one_is_told_how_to_have_it() {
    let world = World::new();
    let said = String::from_utf8(world.cli(&["find", U1]).stderr).unwrap();
    assert!(said.contains("[search] index = true"), "{said}");
}
