//! Logins of the console: who is here, for how long, and how often somebody may try.
//!
//! Owns: cookies and what they stand for, tokens against forged requests, the pace of attempts. Never knows: pages.
//!
//! A crash or a restart ends every session. Of a cookie only a digest is kept.

use crate::clock::Clock;
use crate::config::console::{Role, Tokens};
use crate::decode::hex;
use axum::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use mms::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Sessions at once; one more ends the oldest.
const SESSIONS_MAX: usize = 256;
/// Wrong tokens from one address in a minute, and from all.
const WRONG_MAX: (u32, u32) = (10, 60);
/// Addresses whose wrong tokens are counted apart.
const ADDRESSES_MAX: usize = 1024;
/// How long a link that logs in may be used.
const LINK_LIFE: Duration = Duration::from_secs(15 * 60);

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The name.
    pub name: String,
    /// What may be done now.
    pub role: Role,
    /// What every form carries.
    pub csrf: String,
    key: [u8; 32],
}

struct Session {
    name: String,
    /// By what a changed token is seen.
    mark: [u8; 32],
    csrf: String,
    begun: Timestamp,
    until: Timestamp,
}

#[derive(Default)]
struct Attempts {
    minute: i64,
    all: u32,
    each: HashMap<IpAddr, u32>,
}

/// All sessions.
pub struct Sessions {
    clock: Clock,
    open: Mutex<HashMap<[u8; 32], Session>>,
    attempts: Mutex<Attempts>,
    links: Mutex<Vec<([u8; 32], String, Timestamp)>>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// 256 unguessable bits in hexadecimal.
fn secret() -> String {
    hex(&[crate::entropy().to_be_bytes(), crate::entropy().to_be_bytes()].concat())
}

impl Sessions {
    /// Nobody is here.
    pub fn new(clock: Clock) -> Self {
        Self { clock, open: Mutex::default(), attempts: Mutex::default(), links: Mutex::default() }
    }

    /// Whether somebody at this address may try a token now.
    pub fn may_try(&self, from: IpAddr) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = self.clock.now().seconds().div_euclid(60);
        if attempts.minute != minute {
            *attempts = Attempts { minute, ..Attempts::default() };
        }
        attempts.all < WRONG_MAX.1 && attempts.each.get(&from).is_none_or(|n| *n < WRONG_MAX.0)
    }

    /// A token was wrong.
    pub fn was_wrong(&self, from: IpAddr) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.all += 1;
        if attempts.each.len() < ADDRESSES_MAX || attempts.each.contains_key(&from) {
            *attempts.each.entry(from).or_default() += 1;
        }
    }

    /// Begin a session of a user that is configured; what its cookie holds.
    pub fn begin(&self, name: &str, tokens: &Tokens, life: Duration) -> Option<String> {
        let (_, mark) = tokens.standing(name)?;
        let (cookie, now) = (secret(), self.clock.now());
        let session =
            Session { name: name.to_owned(), mark, csrf: secret(), begun: now, until: now.plus(life) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.until > now);
        while open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, s)| s.begun).map(|(key, _)| *key);
            oldest.map(|key| open.remove(&key));
        }
        open.insert(digest(&cookie), session);
        Some(cookie)
    }

    /// Who has this cookie, if the session lasts and the user is still configured with the same token.
    pub fn visitor(&self, cookie: &str, tokens: &Tokens) -> Option<Visitor> {
        let key = digest(cookie);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get(&key).filter(|s| s.until > self.clock.now())?;
        let (role, mark) = tokens.standing(&session.name)?;
        let visitor = Visitor { name: session.name.clone(), role, csrf: session.csrf.clone(), key };
        (mark == session.mark).then_some(visitor)
    }

    /// End a session.
    pub fn end(&self, visitor: &Visitor) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&visitor.key);
    }

    /// What a link holds that logs a user in once.
    pub fn link(&self, name: &str) -> String {
        let (text, until) = (secret(), self.clock.now().plus(LINK_LIFE));
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.push((digest(&text), name.to_owned(), until));
        text
    }

    /// Whose link this is; it is used up.
    pub fn follow(&self, text: &str) -> Option<String> {
        let (key, now) = (digest(text), self.clock.now());
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|(.., until)| *until > now);
        let place = links.iter().position(|(known, ..)| known.ct_eq(&key).into())?;
        Some(links.swap_remove(place).1)
    }
}

impl Visitor {
    /// Whether this is the token of the session's forms. Takes the same time whatever is wrong with it.
    pub fn wrote(&self, shown: &str) -> bool {
        digest(&self.csrf).ct_eq(&digest(shown)).into()
    }

    /// Whether changes may be made.
    pub fn may_operate(&self) -> bool {
        self.role >= Role::Operate
    }
}

/// The cookie of this name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (n, value) = pair.trim().split_once('=')?;
        (n == name).then_some(value)
    })
}

/// Whether a request that changes something was made by a page of ours, as far as the browser says.
pub fn is_of_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text(ORIGIN.as_str()), text(HOST.as_str())) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        }
        // No browser: the token of the form decides alone.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn attempts_are_counted_by_the_minute() {
        let clock = Clock::manual(Timestamp::from_seconds(1_741_083_330));
        let sessions = Sessions::new(clock.clone());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..10 {
            assert!(sessions.may_try(one));
            sessions.was_wrong(one);
        }
        assert!(!sessions.may_try(one) && sessions.may_try(other));
        (0..50).for_each(|n| sessions.was_wrong(IpAddr::from([192, 0, 2, n])));
        assert!(!sessions.may_try(other), "nor may a crowd");
        clock.advance(Duration::from_secs(60));
        assert!(sessions.may_try(one));
    }

    #[test]
    fn a_link_is_used_once_and_ends() {
        let clock = Clock::manual(Timestamp::from_seconds(1_741_083_330));
        let sessions = Sessions::new(clock.clone());
        let link = sessions.link("ann");
        assert_eq!(sessions.follow("x"), None);
        assert_eq!(sessions.follow(&link).as_deref(), Some("ann"));
        assert_eq!(sessions.follow(&link), None);
        let link = sessions.link("ann");
        clock.advance(LINK_LIFE);
        assert_eq!(sessions.follow(&link), None);
    }

    #[test]
    fn forged_requests_are_known_by_where_they_come_from() {
        let headers = |list: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            list.iter().for_each(|(n, v)| drop(headers.insert(*n, HeaderValue::from_static(v))));
            headers
        };
        for (list, ours) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://a"), ("host", "a")], false),
            (&[("origin", "http://localhost:8025"), ("host", "localhost:8025")], true),
            (&[("origin", "http://localhost:8026"), ("host", "localhost:8025")], false),
            (&[("origin", "null"), ("host", "localhost:8025")], false),
            (&[], true),
        ] {
            assert_eq!(is_of_ours(&headers(list)), ours, "{list:?}");
        }
        let cookies = headers(&[("cookie", "a=1; belino-8025=x=y; b=2")]);
        assert_eq!(cookie(&cookies, "belino-8025"), Some("x=y"));
        assert_eq!(cookie(&cookies, "belino"), None);
    }
}
