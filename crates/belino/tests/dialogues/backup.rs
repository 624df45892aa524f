//! Copies of a data folder while the relay runs, what is wrong with one, and a relay that is restored from one.

use crate::world::*;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A body with one part of so many lines.
fn lines(line: &str, count: usize) -> Vec<u8> {
    let text = format!("{line}\r\n").repeat(count);
    format!("--b1\r\nContent-Type: text/plain\r\n\r\n{text}--b1--\r\n").into_bytes()
}

/// Where these octets are in the files of a folder.
fn place(folder: &Path, octets: &[u8]) -> (std::path::PathBuf, u64) {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let at = |path: &std::path::PathBuf| {
        let whole = fs::read(path).unwrap();
        whole.windows(octets.len()).position(|window| window == octets)
    };
    files.filter_map(|path| at(&path).map(|at| (path.clone(), at as u64))).next().unwrap()
}

#[test]
fn a_relay_is_restored_from_a_backup_made_while_it_ran() {
    let mut world = World::new();
    for i in 0..5 {
        let body = lines(&format!("picture {i}"), 4000);
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).body(&body);
        assert!(world.from_b().forward(&fwd, &[U1]).starts_with("250"));
        world.b.mail();
    }
    // One waits for a peer that is not there.
    world.c.answer(|_| Some("451 4.3.0 later".into()));
    let waiting = world.send(U1, &[C1], &["--text", "for later"]);
    let made = &world.json(&["backup", "copies/first"])[0];
    assert_eq!(made["mms"], 6, "{made}");
    assert!(made["content"].as_u64().unwrap() > 5 * 4000 * 10, "{made}");
    // The same name is not written over.
    let again = world.cli(&["backup", "copies/first"]);
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("copies/first is there already"), "{said}");
    // What comes afterwards is not in it.
    assert!(world.from_b().forward(&Fwd::ids("mm-late", "tx-late"), &[U1]).starts_with("250"));
    world.b.mail();

    // A running relay's folder is not checked; its copy is.
    let refused = world.cli(&["verify"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("must be stopped first"), "{said}");
    let checked = &world.json(&["verify", "copies/first"])[0];
    assert_eq!((&checked["mms"], &checked["damages"]), (&6.into(), &0.into()), "{checked}");
    let text = String::from_utf8(world.cli(&["verify", "copies/first"]).stdout).unwrap();
    assert!(text.starts_with("copies/first: all is well; 6 MMs, 6 with content"), "{text}");

    // The disk is lost. The copy takes its place, as the guide says.
    world.kill();
    let folder = world.folder.path().to_owned();
    fs::rename(folder.join("data"), folder.join("lost")).unwrap();
    fs::rename(folder.join("copies/first"), folder.join("data")).unwrap();
    world.c.behave();
    world.start();
    let mailbox = world.mailbox(U1);
    let mut ids: Vec<&str> = mailbox.iter().map(|mm| mm["message_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["mm-0", "mm-1", "mm-2", "mm-3", "mm-4"]);
    let third = world.cli(&["mailbox", "get", "mm-3", "--raw", "--peek"]);
    assert!(String::from_utf8_lossy(&third.stdout).contains(&"picture 3\r\n".repeat(4000)));
    // What waited goes on waiting, and goes out.
    world.json(&["retry", waiting["id"].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(world.c.mail().body().as_bytes()).contains("for later"));
    // A repeat of what the copy knows is still a repeat.
    assert!(
        world
            .from_b()
            .forward(&Fwd::ids("mm-3", "tx-3").body(&lines("picture 3", 4000)), &[U1])
            .starts_with("250")
    );
    world.b.mail();
    assert_eq!(world.mailbox(U1).len(), 5);
}

#[test]
fn damage_is_named_and_the_rest_counted() {
    let mut world = World::new();
    for i in 0..3 {
        let body = lines(&format!("octets of {i}"), 2000);
        let fwd = Fwd::ids(&format!("mm-{i}"), &format!("tx-{i}")).body(&body);
        assert!(world.from_b().forward(&fwd, &[U1]).starts_with("250"));
        world.b.mail();
    }
    let hit = world.trace("mm-1")[0]["id"].as_str().unwrap().to_owned();
    assert!(world.stop());
    // Without a relay a backup is made all the same.
    assert_eq!(world.json(&["backup", "copy"])[0]["mms"], 3);
    let (segment, at) = place(&world.folder.path().join("copy/body"), b"octets of 1\r\noctets of 1");
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.write_all_at(b"O", at).unwrap();
    let output = world.cli(&["--json", "verify", "copy"]);
    assert_eq!(output.status.code(), Some(1));
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&checked["mms"], &checked["damages"]), (&3.into(), &1.into()), "{checked}");
    assert_eq!(
        (&checked["damaged"][0]["mm"], &checked["damaged"][0]["what"]),
        (&hit.clone().into(), &"content".into())
    );
    let text = String::from_utf8(world.cli(&["verify", "copy"]).stdout).unwrap();
    assert!(
        text.contains(&format!("MM {hit}: content: ")) && text.contains("copy: 1 damage; 3 MMs"),
        "{text}"
    );
    // The folder that it was copied from is whole; a folder without a store is told from one.
    assert_eq!(world.json(&["verify"])[0]["damages"], 0);
    let nothing = world.cli(&["verify", "."]);
    assert_eq!(nothing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(said.contains("there is no store.db in it"), "{said}");
}
