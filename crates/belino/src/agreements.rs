//! What was agreed with peers in private (TS 23.140 8.4.5), as far as it stands in files: certificates and passwords.
//!
//! Owns: reading all of it at once, and whether a password is right. Never knows: connections. Nothing in here prints a
//! password: the types have no contents in `Debug`, and errors name the file only.

use crate::clock::Clock;
use crate::config::{Config, LoginFile, guarded_file};
use crate::tls::Tls;
use relay::PeerName;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use wire::smtp::server::Credentials;

/// Octets of a password.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// Everything under one configuration.
pub struct Agreements {
    /// Certificates.
    pub tls: Tls,
    /// What a peer has to say to us: digests of name and password.
    theirs: HashMap<PeerName, ([u8; 32], [u8; 32])>,
    /// What we say to a peer.
    ours: HashMap<PeerName, Arc<Login>>,
}

/// A name and a password.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Box<[u8]>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    fn read(file: &LoginFile) -> Result<Self, String> {
        let wrong = |why: String| format!("{}: {why}", file.password_file.display());
        let text = guarded_file(&file.password_file, *LENGTH.end() as u64 + 64).map_err(wrong)?;
        let password = text.trim_ascii();
        if !LENGTH.contains(&password.len()) {
            let (least, most) = (LENGTH.start(), LENGTH.end());
            return Err(wrong(format!("holds {} octets; expected {least} to {most}", password.len())));
        }
        if password.contains(&0) {
            return Err(wrong("holds a NUL; AUTH PLAIN cannot say it".into()));
        }
        Ok(Self { user: file.user.clone(), password: password.into() })
    }
}

impl Agreements {
    /// Read every file that the configuration names for TLS and `AUTH`.
    ///
    /// # Errors
    /// Which file, of whom, and what is wrong with it.
    pub fn read(config: &Config, clock: &Clock) -> Result<Arc<Self>, String> {
        let tls = Tls::read(config, clock)?;
        let (mut theirs, mut ours) = (HashMap::new(), HashMap::new());
        for link in &config.links {
            let wrong = |key: &str, why: String| format!("peer {:?}: {key} {why}", link.peer.as_str());
            if let Some(file) = &link.auth {
                let login = Login::read(file).map_err(|why| wrong("auth_password_file", why))?;
                theirs.insert(link.peer.clone(), digests(login.user.as_bytes(), &login.password));
            }
            if let Some(file) = &link.login {
                let login = Login::read(file).map_err(|why| wrong("login_password_file", why))?;
                ours.insert(link.peer.clone(), Arc::new(login));
            }
        }
        Ok(Arc::new(Self { tls, theirs, ours }))
    }

    /// Whether this peer has to log in.
    pub fn asks_login(&self, peer: &PeerName) -> bool {
        self.theirs.contains_key(peer)
    }

    /// Whether this is what the peer has to say. Takes the same time whatever is wrong with it.
    pub fn is_right(&self, peer: &PeerName, shown: &Credentials) -> bool {
        let Some((user, password)) = self.theirs.get(peer) else { return false };
        let (shown_user, shown_password) = digests(&shown.user, &shown.password);
        (user.ct_eq(&shown_user) & password.ct_eq(&shown_password)).into()
    }

    /// What we say to this peer, if it wants a login.
    pub fn login(&self, peer: &PeerName) -> Option<Arc<Login>> {
        self.ours.get(peer).cloned()
    }
}

fn digests(user: &[u8], password: &[u8]) -> ([u8; 32], [u8; 32]) {
    (Sha256::digest(user).into(), Sha256::digest(password).into())
}
