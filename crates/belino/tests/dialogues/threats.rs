//! Promises that are no case of the conformance list: what strangers and partners may not do.

use crate::interop::is_root;
use crate::world::*;
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repeat is worth one answer, which is smaller than the repeat, names one status and quotes nothing.
#[test]
fn threat_12_repeats_buy_one_small_answer_each() {
    let world = World::new();
    let secret = "what the picture shows";
    let body = format!("--b1\r\nContent-Type: text/plain\r\n\r\n{secret}\r\n--b1--\r\n");
    let fwd = Fwd::new().set("Subject", "not to be quoted").body(body.as_bytes());
    let mut client = world.from_b();
    for _ in 0..100 {
        assert!(client.forward(&fwd, &[U1, U2]).starts_with("250"));
    }
    let mut answers = Vec::new();
    while answers.len() < 100 {
        answers.push(world.b.mail());
    }
    for answer in &answers {
        let content = &answer.content;
        assert!(content.len() <= 2 * 2048, "{} octets: {content}", content.len());
        assert!(!content.contains(secret) && !content.contains("not to be quoted"), "{content}");
    }
    // Nothing more than was asked for: the next answer is one to the next request.
    world.settle();
    assert!(client.forward(&Fwd::ids("mm-next", "tx-next"), &["+12025550199"]).starts_with("250"));
    assert_eq!(world.b.mail().must("X-Mms-Transaction-ID"), "tx-next");
    assert_eq!((world.mailbox(U1).len(), world.mailbox(U2).len()), (1, 1));
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.is_dir() {
            found.extend(files(&file));
        }
        found.insert(file);
    }
    found
}

/// Strings of peers are data: no file, row or line is named by them.
#[test]
fn threat_17_ids_that_would_be_names_are_only_ids() {
    let world = World::new();
    assert!(world.from_b().forward(&Fwd::ids("mm-first", "tx-first"), &[U1]).starts_with("250"));
    world.b.mail();
    let before = files(world.folder.path());
    let long = "x".repeat(255);
    let odd = [
        "../../x",
        "/etc/passwd",
        "..\\..\\x",
        "'; DROP TABLE mm; --",
        "%00%2e%2e",
        "$(touch x)`touch x`",
        "con",
        "*",
        "~root",
        "-rf",
        &long,
    ];
    for id in odd {
        let reply = world.from_b().forward(&Fwd::ids(id, id), &[U1]);
        assert!(reply.starts_with("250"), "{id}: {reply}");
        // Echoed octet for octet: only so the peer knows what is answered.
        let answer = world.b.mail();
        assert_eq!(answer.must("X-Mms-Transaction-ID"), id);
        assert_eq!(answer.must("X-Mms-Request-Status-Code"), "Ok");
        assert_eq!(world.json(&["trace", "--", id]).len(), 1, "{id}");
    }
    assert_eq!(world.mailbox(U1).len(), 1 + odd.len());
    // What is over the limit is malformed, and no trouble either.
    let reply = world.from_b().forward(&Fwd::ids(&"y".repeat(4096), "tx-y"), &[U1]);
    assert!(reply.starts_with("250") || reply.starts_with('5'), "{reply}");
    let after = files(world.folder.path());
    let grown: Vec<_> =
        after.difference(&before).filter(|f| f.extension().is_none_or(|e| e != "seg")).collect();
    assert!(grown.is_empty(), "{grown:?}");
}

/// Not even a socket that anybody may open lets anybody command the relay.
#[test]
fn threat_23_another_user_commands_nothing() {
    if !is_root("a process of another user") {
        return;
    }
    let world = World::new();
    let (folder, data) = (world.folder.path().to_owned(), world.folder.path().join("data"));
    let socket = data.join("admin.sock");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    // A program that the other user may read, too.
    let program = folder.join("belino");
    std::fs::copy(binary(), &program).unwrap();
    let nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        let output = command.arg("--data").arg(&data).arg("status").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    mode(&folder, 0o755);
    let (worked, said) = nobody();
    assert!(!worked && said.contains("belongs to another user"), "{said}");
    mode(&data, 0o755);
    mode(&socket, 0o666);
    let (worked, said) = nobody();
    assert!(!worked && said.contains("user 65534 may not command this relay"), "{said}");
    assert!(world.cli(&["status"]).status.success());
}
