//! `certificate`, `key` and `listen_tls` of `[mm4]`, and `tls` with its companions of a `[[peer]]` (TS 23.140 8.4.5).
//!
//! Owns: names, defaults and checks of these keys: nothing that looks like a lock may be none. Never knows: what stands in the
//! files; `crate::tls` reads them.

use super::parse::{Mm4Part, PeerPart, Wrong, wrong};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Whether what we say to a peer, and it to us, goes under TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// In the clear. A peer that asks for `STARTTLS` gets it all the same, if we have a certificate.
    #[default]
    Off,
    /// By `STARTTLS` where the peer offers it, else in the clear.
    Opportunistic,
    /// By `STARTTLS`, or not at all; both ways.
    Required,
    /// From the first octet when we connect; when the peer does, by `STARTTLS` or at `listen_tls`, or not at all.
    Implicit,
}

impl TlsMode {
    /// Whether nothing may go in the clear.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Required | Self::Implicit)
    }

    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Required => "required",
            Self::Implicit => "implicit",
        }
    }
}

/// What a certificate of the peer must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustFiles {
    /// Nothing is asked: encryption without authentication.
    #[default]
    Anybody,
    /// SHA-256 of one of these certificates.
    Fingerprints(Vec<[u8; 32]>),
    /// Signed below one of the certificates in this file, and for this name.
    Authority {
        /// Certificates in PEM.
        ca: PathBuf,
        /// The name, if it is not that of the host.
        name: Option<String>,
    },
}

/// TLS with one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkTls {
    /// Whether.
    pub mode: TlsMode,
    /// What its certificate must be, as a server and as a client.
    pub trust: TrustFiles,
    /// Whether it must show one when it connects to us.
    pub client_certificate: bool,
}

/// Our own certificate, as a server and as a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// Our certificate and those that it needs on the way to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ClientCertificate {
    #[default]
    Optional,
    Required,
}

/// Our certificate, if there is one. `folder` is where relative paths begin.
pub(super) fn identity(part: &Mm4Part, folder: Option<&Path>) -> Result<Option<IdentityFiles>, Wrong> {
    let at = |path: &PathBuf| folder.map_or_else(|| path.clone(), |folder| folder.join(path));
    match (&part.certificate, &part.key) {
        (Some(certificate), Some(key)) => {
            Ok(Some(IdentityFiles { certificate: at(certificate), key: at(key) }))
        }
        (None, None) if part.listen_tls.is_empty() => Ok(None),
        (None, None) => {
            wrong("listen_tls", "[mm4] listen_tls: expected also certificate = \"...\" and key = \"...\"")
        }
        (Some(_), None) => {
            wrong("certificate", "[mm4] certificate: expected also key = \"...\", the file of its key")
        }
        (None, Some(_)) => {
            wrong("key", "[mm4] key: expected also certificate = \"...\", the file of its certificate")
        }
    }
}

/// TLS with a peer. `listens` is whether peers can connect to us, `identity` whether we have a certificate.
pub(super) fn link(
    part: &PeerPart,
    folder: Option<&Path>,
    listens: bool,
    identity: bool,
) -> Result<LinkTls, Wrong> {
    let mode = part.tls.unwrap_or_default();
    let name = &part.name;
    let no = |key: &str, what: &str| wrong(name, format!("peer {name:?}: {key}: {what}"));
    let client_certificate = part.tls_client_certificate == ClientCertificate::Required;
    if mode == TlsMode::Off {
        let set = [
            ("tls_fingerprints", !part.tls_fingerprints.is_empty()),
            ("tls_ca", part.tls_ca.is_some()),
            ("tls_name", part.tls_name.is_some()),
            ("tls_client_certificate", client_certificate),
        ];
        return match set.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => {
                no(key, "tls is \"off\", so nothing would be checked; expected tls = \"required\"")
            }
            None => Ok(LinkTls::default()),
        };
    }
    let trust = match (&part.tls_fingerprints[..], &part.tls_ca) {
        ([], None) => TrustFiles::Anybody,
        ([], Some(ca)) => {
            let ca = folder.map_or_else(|| ca.clone(), |folder| folder.join(ca));
            TrustFiles::Authority { ca, name: part.tls_name.clone() }
        }
        (list, None) => {
            TrustFiles::Fingerprints(list.iter().map(|f| fingerprint(name, f)).collect::<Result<_, _>>()?)
        }
        _ => return no("tls_ca", "tls_fingerprints are there, too; expected one of them"),
    };
    if part.tls_name.is_some() && part.tls_ca.is_none() {
        return no("tls_name", "expected also tls_ca: without it nobody vouches for a name");
    }
    if let Some(text) = &part.tls_name
        && rustls::pki_types::ServerName::try_from(text.as_str()).is_err()
    {
        return no("tls_name", &format!("{text:?}: expected a host name, such as \"mx.mms.b.example\""));
    }
    let is_dialled = !part.hosts.is_empty() || part.discover.is_some();
    if mode.is_required() && is_dialled && trust == TrustFiles::Anybody {
        let what = format!(
            "{:?} and hosts, but not whose certificate is right; expected tls_fingerprints = [\"sha256:...\"], \
             or tls_ca = \"...\"",
            mode.as_str()
        );
        return no("tls", &what);
    }
    let nameless = matches!(trust, TrustFiles::Authority { name: None, .. });
    if nameless && part.hosts.is_empty() {
        return no("tls_ca", "expected also tls_name: no host is configured whose name it could be");
    }
    if client_certificate && trust == TrustFiles::Anybody {
        return no(
            "tls_client_certificate",
            "\"required\", but not which; expected tls_fingerprints or tls_ca",
        );
    }
    let is_let_in = listens && !part.from.is_empty();
    if !identity && is_let_in && (mode.is_required() || client_certificate) {
        let what = format!("{:?} and from, but [mm4] has no certificate: it could never send", mode.as_str());
        return no("tls", &what);
    }
    Ok(LinkTls { mode, trust, client_certificate })
}

/// `sha256:` and 64 hexadecimal digits, with or without colons between them.
fn fingerprint(name: &str, text: &str) -> Result<[u8; 32], Wrong> {
    let digits: Option<String> = text.strip_prefix("sha256:").map(|hex| hex.replace(':', ""));
    let octets: Option<Vec<u8>> = digits.filter(|d| d.len() == 64).and_then(|digits| {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        digits.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
    });
    match octets.and_then(|o| o.try_into().ok()) {
        Some(digest) => Ok(digest),
        None => wrong(
            text,
            format!(
                "peer {name:?}: tls_fingerprints {text:?}: expected \"sha256:\" and 64 hexadecimal digits"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, parse};

    fn read(mm4: &str, peer: &str) -> Result<Config, String> {
        let text = format!(
            "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"127.0.0.1:2525\"]\n{mm4}\n\
             [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\n{peer}\n"
        );
        parse(&text, Path::new("/etc/belino/belino.toml")).map_err(|e| e.to_string())
    }

    const OURS: &str = "certificate = \"a.pem\"\nkey = \"a.key\"";

    #[test]
    fn tls_keys_are_read() {
        let hex = "0123456789abcdef".repeat(4);
        let peer = format!(
            "hosts = [\"mx.mms.b.example\"]\ntls = \"required\"\ntls_fingerprints = [\"sha256:{hex}\"]\n\
             tls_client_certificate = \"required\""
        );
        let config = read(OURS, &peer).unwrap();
        assert_eq!(config.identity.unwrap().key, Path::new("/etc/belino/a.key"));
        let tls = &config.links[0].tls;
        assert!(tls.mode.is_required() && tls.client_certificate);
        assert!(matches!(&tls.trust, TrustFiles::Fingerprints(list) if list[0][..2] == [0x01, 0x23]));
        let config = read("", "hosts = [\"x\"]\ntls = \"implicit\"\ntls_ca = \"ca.pem\"").unwrap();
        let ca = TrustFiles::Authority { ca: "/etc/belino/ca.pem".into(), name: None };
        assert_eq!(config.links[0].tls.trust, ca);
        assert_eq!(read("", "hosts = [\"x\"]").unwrap().links[0].tls, LinkTls::default());
    }

    /// Whatever looks like a lock and is none is an error that names key, value and what would do.
    #[test]
    fn no_lock_that_is_none() {
        let cases = [
            ("certificate = \"a.pem\"", "hosts = [\"x\"]", "expected also key"),
            ("key = \"a.key\"", "hosts = [\"x\"]", "expected also certificate"),
            ("listen_tls = [\"127.0.0.1:4650\"]", "hosts = [\"x\"]", "expected also certificate"),
            ("", "hosts = [\"x\"]\ntls = \"required\"", "expected tls_fingerprints"),
            ("", "hosts = [\"x\"]\ntls = \"maybe\"", "opportunistic"),
            ("", "hosts = [\"x\"]\ntls_ca = \"ca.pem\"", "expected tls = \"required\""),
            ("", "hosts = [\"x\"]\ntls = \"required\"\ntls_fingerprints = [\"sha256:00\"]", "64 hexadecimal"),
            ("", "hosts = [\"x\"]\ntls = \"required\"\ntls_name = \"x\"", "expected also tls_ca"),
            ("", "discover = \"dns\"\ntls = \"required\"\ntls_ca = \"ca.pem\"", "expected also tls_name"),
            ("", "from = [\"127.0.0.2\"]\ntls = \"required\"", "it could never send"),
            (
                OURS,
                "from = [\"127.0.0.2\"]\ntls = \"required\"\ntls_client_certificate = \"required\"",
                "but not which",
            ),
            ("", "tls = \"required\"", "could do nothing"),
        ];
        for (mm4, peer, expected) in cases {
            let text = read(mm4, peer).expect_err(peer);
            assert!(text.contains(expected), "{mm4} {peer}: {text}");
        }
    }
}
