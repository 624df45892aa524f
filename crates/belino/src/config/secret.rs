//! Secrets: tokens of applications and of users of the console, and keys of webhooks, read from files of their own.
//!
//! Owns: how such a file is read and refused, and comparison in constant time. Never knows: what a secret opens.
//! Nothing in here prints a secret: the types have no contents in `Debug` and no `Display`, and errors name the file only.

use super::http::Http;
use hmac::{Hmac, Mac};
use relay::HookName;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use subtle::ConstantTimeEq as _;

/// A secret has at least so many octets.
const LENGTH_MIN: usize = 16;
/// And at most so many.
const LENGTH_MAX: usize = 4096;

/// What a webhook's events are signed with.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// HMAC-SHA-256 of a text under this secret.
    pub fn sign(&self, pieces: &[&[u8]]) -> [u8; 32] {
        // HMAC takes a key of any length.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("any length is a key");
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What an application or a user of the console shows to be let in. Only its digest is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// As it stands in a file: the token itself, or `sha256:` and its digest in hexadecimal.
    fn read(text: &[u8]) -> Result<Self, String> {
        let Some(hex) = text.strip_prefix(b"sha256:") else { return Ok(Self(Sha256::digest(text).into())) };
        let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let digits: Option<Vec<u8>> = hex.iter().map(digit).collect();
        let octets: Option<Vec<u8>> =
            digits.map(|d| d.chunks(2).map(|c| c[0] << 4 | c.get(1).unwrap_or(&0)).collect());
        match octets.filter(|_| hex.len() == 64).and_then(|o| o.try_into().ok()) {
            Some(digest) => Ok(Self(digest)),
            None => Err("expected 64 hexadecimal digits after \"sha256:\"".into()),
        }
    }

    /// Whether this is the token. Takes the same time whatever the answer.
    fn is(&self, digest: &[u8; 32]) -> bool {
        self.0.ct_eq(digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Tokens by whose they are: each has its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders(Vec<(String, Token)>);

impl Holders {
    /// Read one more, of this kind (`application`) and name.
    ///
    /// # Errors
    /// Which file, of whom, and what is wrong with it: unreadable, readable by others, too short, or the token of another.
    pub(super) fn read(&mut self, kind: &str, name: &str, path: &Path) -> Result<(), String> {
        let wrong = |why: String| format!("{kind} {name:?}: token_file {}: {why}", path.display());
        let token = file(path).and_then(|text| Token::read(&text)).map_err(wrong)?;
        if let Some((other, _)) = self.0.iter().find(|(_, known)| known.is(&token.0)) {
            return Err(wrong(format!("{kind} {other:?} has the same token; each needs its own")));
        }
        self.0.push((name.to_owned(), token));
        Ok(())
    }

    /// Whose token this is. Every token is looked at, so that the time tells nothing.
    pub(super) fn whose(&self, shown: &str) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        let mut found = None;
        for (name, token) in &self.0 {
            if token.is(&digest) {
                found = Some(name.as_str());
            }
        }
        found
    }

    /// By what to see that a token is still the same: it opens nothing.
    pub(super) fn mark(&self, name: &str) -> Option<[u8; 32]> {
        let (_, token) = self.0.iter().find(|(n, _)| n == name)?;
        Some(Sha256::digest(token.0).into())
    }
}

/// All secrets that a configuration names.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    tokens: Holders,
    secrets: BTreeMap<HookName, Secret>,
}

impl Keys {
    /// Read every file.
    ///
    /// # Errors
    /// Which file, of whom, and what is wrong with it: unreadable, readable by others, too short.
    pub fn read(http: &Http) -> Result<Self, String> {
        let mut keys = Self::default();
        for application in &http.applications {
            keys.tokens.read("application", &application.name, &application.token_file)?;
        }
        for webhook in &http.webhooks {
            let wrong = |why: String| {
                format!(
                    "webhook {:?}: secret_file {}: {why}",
                    webhook.name.as_str(),
                    webhook.secret_file.display()
                )
            };
            let secret = Secret(file(&webhook.secret_file).map_err(wrong)?.into());
            keys.secrets.insert(webhook.name.clone(), secret);
        }
        Ok(keys)
    }

    /// The application that shows this token, in constant time.
    pub fn application(&self, shown: &str) -> Option<&str> {
        self.tokens.whose(shown)
    }

    /// What this webhook's events are signed with.
    pub fn secret(&self, webhook: &HookName) -> Option<&Secret> {
        self.secrets.get(webhook)
    }
}

/// A file's content without the space around it.
///
/// # Errors
/// It cannot be read, others may read it, or it is too short or too long for a secret. Nothing of it is said.
pub fn file(path: &Path) -> Result<Vec<u8>, String> {
    let text = guarded(path, LENGTH_MAX as u64 + 64)?;
    let text = text.trim_ascii();
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) {
        return Err(format!("holds {} octets; expected {LENGTH_MIN} to {LENGTH_MAX}", text.len()));
    }
    Ok(text.to_owned())
}

/// The first `limit` octets of a file that is for its owner only.
///
/// # Errors
/// It cannot be read, or others may read it.
pub fn guarded(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let opened = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mode = opened.metadata().map_err(|e| format!("cannot be read: {e}"))?.mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read it (mode {:04o}); expected mode 0600: chmod 600 it",
            mode & 0o7777
        ));
    }
    let mut text = Vec::new();
    opened.take(limit).read_to_end(&mut text).map_err(|e| format!("cannot be read: {e}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn secret_files_are_for_their_owner_only() {
        let (_folder, path) = written("  0123456789abcdef\n", 0o600);
        assert_eq!(file(&path).unwrap(), b"0123456789abcdef");
        for mode in [0o640, 0o604, 0o620] {
            let (_folder, path) = written("0123456789abcdef", mode);
            assert!(file(&path).unwrap_err().contains("others may read it"));
        }
        let (_folder, path) = written("0123456789abcde\n", 0o600);
        assert!(file(&path).unwrap_err().contains("15 octets"));
    }

    #[test]
    fn a_token_is_itself_or_its_digest() {
        let token = "correct horse battery staple";
        let digest = Sha256::digest(token.as_bytes());
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        for text in [token.to_owned(), format!("sha256:{hex}"), format!("sha256:{}", hex.to_uppercase())] {
            let tokens = Holders(vec![("a".into(), Token::read(text.as_bytes()).unwrap())]);
            let keys = Keys { tokens, ..Keys::default() };
            assert_eq!(keys.application(token), Some("a"));
            assert_eq!(keys.application("correct horse battery stable"), None);
            assert!(!format!("{keys:?}").contains("horse"));
        }
        for wrong in ["sha256:", "sha256:00", "sha256:zz"] {
            assert!(Token::read(wrong.as_bytes()).is_err());
        }
        // RFC 4231, test case 2.
        let mac = Secret(Box::from(*b"Jefe")).sign(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
