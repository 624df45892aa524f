//! Certificates of a test's own authority, and TLS clients that show them.
#![allow(dead_code, reason = "each suite uses its own part")]

use crate::world::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

/// A certificate and its key, in two files.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub fingerprint: String,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let der = certificate.der().clone();
        Self { folder, issuer: Issuer::new(params, key), der }
    }

    /// The file of its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a name, valid for long.
    pub fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2100)
    }

    /// A certificate for a name, valid until the first day of a year.
    pub fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2010, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let digest = Sha256::digest(certificate.der());
        let fingerprint: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        let at = |what: &str| self.folder.path().join(format!("{}.{what}", &fingerprint[..16]));
        let issued =
            Issued { certificate: at("pem"), key: at("key"), fingerprint: format!("sha256:{fingerprint}") };
        std::fs::write(&issued.certificate, certificate.pem()).unwrap();
        std::fs::write(&issued.key, key.serialize_pem()).unwrap();
        only_for_owner(&issued.key);
        issued
    }

    /// TLS over a client's connection, with this certificate or none. The server's must be ours.
    pub fn secure(
        &self,
        client: Client,
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<Secured> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::pem_file_iter(&own.certificate).unwrap();
                let key = PrivateKeyDer::from_pem_file(&own.key).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        let name = ServerName::try_from("mms.a.example").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut octets = client.into_octets();
        while connection.is_handshaking() {
            connection.complete_io(&mut octets)?;
        }
        let shown = connection.peer_certificates().unwrap()[0].to_vec();
        let client = Client::over(Box::new(StreamOwned::new(connection, octets)));
        Ok(Secured { client, shown })
    }
}

/// A client under TLS.
pub struct Secured {
    pub client: Client,
    /// What the server has shown.
    shown: Vec<u8>,
}

impl Secured {
    /// Fingerprint of the server's certificate.
    pub fn server(&self) -> String {
        Sha256::digest(&self.shown).iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// `chmod 600`.
pub fn only_for_owner(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
