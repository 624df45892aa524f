//! Secrets stay where they are (threat 22), and follow a reload.

use crate::site::*;
use crate::world::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

/// Threat 22: canaries as token and secret; every verb, a log at its loudest, failures of all sorts.
#[test]
fn threat_22_no_secret_is_ever_shown() {
    let backtrace = vec![("RUST_BACKTRACE", "1".to_owned())];
    let setup = Setup { log: "trace", env: backtrace, ..Setup::default() };
    let mut site = Site::with(setup, "", "");
    site.shop.answer_next("500 no");
    site.shop.answer_next("hang");
    let id = site.taken(&json!({ "from": U1, "to": ["4455", B1], "text": "x" }));
    site.shop.event();
    let wrong = "canary-token-that-nobody-has-0000";
    site.request("GET", "/v1/messages", &[&bearer(wrong)], b"");
    site.request("POST", "/v1/messages", &[&bearer(SHOP_TOKEN), "Content-Type: application/json"], b"{");
    site.submit(&json!({ "from": B1, "to": [B1] }), &[]);
    let mut shown = site.message(&id).to_string();
    for args in [
        &["check"][..],
        &["--json", "check"],
        &["status"],
        &["--json", "status"],
        &["queue", "--all"],
        &["peer"],
        &["mailbox"],
        &["route", "4455"],
        &["--json", "route", "4455"],
        &["trace", &id],
        &["--json", "trace", &id],
    ] {
        let output = site.world.cli(args);
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
        shown.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    site.world.reload();
    site.world
        .until("it was read again", |world| world.log().contains("configuration read again").then_some(()));
    // Secrets that are refused are not quoted either.
    for (name, text, mode, why) in [
        ("shop.token", "canary-token-of-the-other-91bc", 0o600, "has the same token"),
        ("shop.token", "sha256:canary-token-too-short-", 0o600, "64 hexadecimal digits"),
        ("shop.token", "canary-short", 0o600, "12 octets"),
        ("shop.secret", SECRET, 0o644, "others may read it"),
    ] {
        secret_file(site.files.path(), name, text);
        let path = site.files.path().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = site.world.cli(&["check"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(why) && error.contains("_file /"),
            "{why}: {error}"
        );
        shown.push_str(&error);
        site.world.reload();
        site.world.until("it was refused", |world| world.log().contains(why).then_some(()));
        secret_file(site.files.path(), "shop.token", SHOP_TOKEN);
        secret_file(site.files.path(), "shop.secret", SECRET);
    }
    assert_eq!(site.ask("GET", "/v1/messages").status, 200, "what was refused changed nothing");
    site.world.kill();
    shown.push_str(&site.world.log());
    assert!(shown.contains("webhook shop"), "the search would find something");
    if let Some(part) = shown.split("canary-").nth(1) {
        panic!("a secret is shown: canary-{}", &part[..part.len().min(40)]);
    }
}

#[test]
fn a_reload_changes_tokens_and_secrets() {
    let site = Site::new();
    let new = "another-token-of-the-shop-1234";
    secret_file(site.files.path(), "shop.token", new);
    assert_eq!(site.ask("GET", "/v1/messages").status, 200);
    site.world.reload();
    let ask = |token: &str| site.request("GET", "/v1/messages", &[&bearer(token)], b"").status;
    site.world.until("the new token is known", |_| (ask(new) == 200).then_some(()));
    assert_eq!(ask(SHOP_TOKEN), 401);
}

#[test]
fn a_token_may_be_kept_as_its_digest() {
    use sha2::Digest as _;
    let site = Site::new();
    let digest: String = sha2::Sha256::digest(SHOP_TOKEN).iter().map(|b| format!("{b:02x}")).collect();
    secret_file(site.files.path(), "shop.token", &format!("sha256:{digest}"));
    site.world.reload();
    let as_is = || site.request("GET", "/v1/messages", &[&bearer(&format!("sha256:{digest}"))], b"").status;
    site.world
        .until("it was read again", |world| world.log().contains("configuration read again").then_some(()));
    assert_eq!(site.ask("GET", "/v1/messages").status, 200);
    assert_eq!(as_is(), 401, "the digest opens nothing");
}
