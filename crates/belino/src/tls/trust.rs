//! Whose certificate is a peer's.
//!
//! Owns: the judgement, by fingerprint or by authority and name, and rustls' ways to ask for it. Never knows: files of ours,
//! connections. A fingerprint names one certificate, whatever stands in it, its dates too; under an authority the dates count.

use super::{certificates, host_name};
use crate::config::{Link, TrustFiles};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;

/// What a peer's certificate must be.
#[derive(Debug, Default)]
pub enum Trust {
    /// Nothing is asked.
    #[default]
    Anybody,
    /// One of these certificates.
    Fingerprints(Vec<[u8; 32]>),
    /// Signed below an authority, for a name.
    Authority {
        /// Judges what a server shows.
        server: Arc<WebPkiServerVerifier>,
        /// Judges what is for clients only.
        client: Arc<dyn ClientCertVerifier>,
        /// Names that a client may bear.
        names: Vec<ServerName<'static>>,
    },
}

/// `sha256:` and the digest of a certificate, as the configuration has it.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

impl Trust {
    /// Read what a link names.
    pub(super) fn read(link: &Link, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (ca, name) = match &link.tls.trust {
            TrustFiles::Anybody => return Ok(Self::Anybody),
            TrustFiles::Fingerprints(list) => return Ok(Self::Fingerprints(list.clone())),
            TrustFiles::Authority { ca, name } => (ca, name),
        };
        let wrong = |why: String| format!("tls_ca {}: {why}", ca.display());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(ca).map_err(wrong)? {
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        let roots = Arc::new(roots);
        let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        let hosts = link.hosts.iter().map(|host| host_name(host).to_owned());
        let names = name.clone().map_or_else(|| hosts.collect(), |name| vec![name]);
        Ok(Self::Authority {
            server: server.map_err(|e| wrong(e.to_string()))?,
            client: client.map_err(|e| wrong(e.to_string()))?,
            names: names.into_iter().filter_map(|name| ServerName::try_from(name).ok()).collect(),
        })
    }

    /// Whether this is the certificate of the server that is called `name`.
    fn judge_server(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        match self {
            Self::Anybody => Ok(()),
            Self::Fingerprints(list) => judge_fingerprint(list, end),
            Self::Authority { server, .. } => {
                server.verify_server_cert(end, between, name, &[], now).map(|_| ())
            }
        }
    }

    /// Whether this is the certificate of the peer as a client.
    pub(super) fn judge_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (end, between) = match (self, chain) {
            (Self::Anybody, _) => return Ok(()),
            (_, []) => return Err(Error::NoCertificatesPresented),
            (_, [end, between @ ..]) => (end, between),
        };
        match self {
            Self::Anybody => Ok(()),
            Self::Fingerprints(list) => judge_fingerprint(list, end),
            Self::Authority { server, client, names } => {
                // Mail systems show as clients what they have as servers, and public authorities sign nothing else.
                let mut trouble = Error::General("no name is configured".into());
                for name in names {
                    match server.verify_server_cert(end, between, name, &[], now) {
                        Ok(_) => return Ok(()),
                        Err(error) => trouble = error,
                    }
                }
                if let Err(error) = client.verify_client_cert(end, between, now) {
                    // What says more: a certificate for clients is of no purpose as a server's.
                    return Err(if is_about_purpose(&trouble) { error } else { trouble });
                }
                let parsed = ParsedCertificate::try_from(end)?;
                names
                    .iter()
                    .map(|name| verify_server_name(&parsed, name))
                    .reduce(|a, b| a.or(b))
                    .unwrap_or(Err(trouble))
            }
        }
    }
}

fn is_about_purpose(error: &Error) -> bool {
    use CertificateError::{InvalidPurpose, InvalidPurposeContext};
    matches!(error, Error::InvalidCertificate(InvalidPurpose | InvalidPurposeContext { .. }))
}

fn judge_fingerprint(list: &[[u8; 32]], certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let digest: [u8; 32] = Sha256::digest(certificate).into();
    if list.contains(&digest) {
        return Ok(());
    }
    let stranger = Stranger(fingerprint(certificate));
    Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(stranger)))))
}

/// A certificate that is none of those that were agreed.
#[derive(Debug)]
struct Stranger(String);

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer's certificate {} is none of its tls_fingerprints", self.0)
    }
}

impl std::error::Error for Stranger {}

/// Asks a peer's trust about the server that we connected to.
#[derive(Debug)]
pub(super) struct ServerJudge {
    pub trust: Arc<Trust>,
    pub provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerJudge {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.trust.judge_server(end, between, name, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Lets every client through that has the key of what it shows, or shows nothing.
#[derive(Debug)]
pub(super) struct AnyClient(Arc<CryptoProvider>);

impl AnyClient {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self(provider.clone())
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
