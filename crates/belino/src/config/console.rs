//! `[console]` and `[[console.user]]`: the web console for the people who run the relay.
//!
//! Owns: names, defaults and checks of these keys, and whose token a token is. Never knows: pages, sessions.

use super::Span;
use super::parse::{Wrong, plain_name, wrong};
use super::secret::Holders;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The web console.
#[derive(Clone, Debug)]
pub struct Console {
    /// Where it is listened for; nowhere by default.
    pub listen: Vec<SocketAddr>,
    /// Whether the last digits of numbers are hidden.
    pub mask_numbers: bool,
    /// How long a login lasts.
    pub session_life: Duration,
    /// Who may log in.
    pub users: Vec<User>,
}

/// Somebody who may log in.
#[derive(Clone, Debug)]
pub struct User {
    /// The name in the audit log and in histories.
    pub name: String,
    /// Where the token stands.
    pub token_file: PathBuf,
    /// What may be done.
    pub role: Role,
}

/// What a user of the console may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Read,
    /// Look, retry, drop, pause, resume, send.
    Operate,
}

impl Role {
    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsolePart {
    #[serde(default)]
    listen: Vec<SocketAddr>,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    mask_numbers: bool,
    session_life: Option<Span>,
    #[serde(default)]
    user: Vec<UserPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserPart {
    name: String,
    token_file: PathBuf,
    role: Role,
}

/// The whole. `folder` is where relative paths begin.
pub(super) fn build(part: &ConsolePart, folder: Option<&Path>) -> Result<Console, Wrong> {
    if let Some(open) = part.listen.iter().find(|a| !a.ip().is_loopback() && !part.public) {
        let what = format!(
            "[console] listen {open}: expected a loopback address: the console has no TLS of its own, so put it behind a \
             reverse proxy that has; public = true opens it all the same"
        );
        return wrong(&open.to_string(), what);
    }
    if !part.listen.is_empty() && part.user.is_empty() {
        return wrong(
            "[console]",
            "[console] listen needs at least one [[console.user]]: nobody could log in",
        );
    }
    let life = part.session_life.map_or(Duration::from_secs(8 * 3600), |s| s.0);
    if life < Duration::from_secs(60) || life > Duration::from_secs(7 * 86_400) {
        return wrong("session_life", "[console] session_life: expected 1m to 7d");
    }
    let mut users: Vec<User> = Vec::new();
    for user in &part.user {
        plain_name("console.user", &user.name)?;
        if users.iter().any(|u| u.name == user.name) {
            return wrong(&user.name, format!("two users of the console are named {:?}", user.name));
        }
        let token_file = folder.map_or_else(|| user.token_file.clone(), |f| f.join(&user.token_file));
        users.push(User { name: user.name.clone(), token_file, role: user.role });
    }
    Ok(Console { listen: part.listen.clone(), mask_numbers: part.mask_numbers, session_life: life, users })
}

/// The tokens of all users of the console.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    holders: Holders,
    roles: Vec<(String, Role)>,
}

impl Tokens {
    /// Read every file.
    ///
    /// # Errors
    /// Which file, of whom, and what is wrong with it: unreadable, readable by others, too short.
    pub fn read(console: &Console) -> Result<Self, String> {
        let mut tokens = Self::default();
        for user in &console.users {
            tokens.holders.read("console.user", &user.name, &user.token_file)?;
            tokens.roles.push((user.name.clone(), user.role));
        }
        Ok(tokens)
    }

    /// Whose token this is, in constant time.
    pub fn user(&self, shown: &str) -> Option<&str> {
        self.holders.whose(shown)
    }

    /// The role of a user, and by what to see that the token is still the same; `None` for one who is not there any more.
    pub fn standing(&self, name: &str) -> Option<(Role, [u8; 32])> {
        let (_, role) = self.roles.iter().find(|(n, _)| n == name)?;
        Some((*role, self.holders.mark(name)?))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError, parse};
    use std::path::Path;

    const FULL: &str = r#"
[relay]
domain = "mms.a.example"
data = "data"

[console]
listen = ["127.0.0.1:8025"]
mask_numbers = true

[[console.user]]
name = "ann"
token_file = "ann.token"
role = "operate"
"#;

    fn read(text: &str) -> Result<Config, ConfigError> {
        parse(text, Path::new("/etc/belino/belino.toml"))
    }

    #[test]
    fn a_console_is_for_loopback_unless_said_otherwise() {
        let console = read(FULL).unwrap().console;
        assert!(console.mask_numbers && console.users[0].role == super::Role::Operate);
        assert_eq!(console.users[0].token_file, Path::new("/etc/belino/ann.token"));
        let open = FULL.replace("127.0.0.1:8025", "192.0.2.1:8025");
        let error = read(&open).unwrap_err().to_string();
        assert!(error.contains("line 7") && error.contains("reverse proxy"), "{error}");
        read(&open.replace("mask_numbers", "public")).unwrap();
        for (from, to, word) in [
            ("operate", "admin", "`read` or `operate`"),
            (
                "[[console.user]]\nname = \"ann\"\ntoken_file = \"ann.token\"\nrole = \"operate\"",
                "",
                "nobody could log in",
            ),
            ("mask_numbers = true", "session_life = \"5s\"", "1m to 7d"),
            ("mask_numbers", "mask_number", "did you mean \"mask_numbers\""),
        ] {
            let error = read(&FULL.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
