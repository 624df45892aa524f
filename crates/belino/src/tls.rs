//! TLS of MM4 connections, both ways: our certificate, and whose we accept (TS 23.140 8.4.5, RFC 3207).
//!
//! Owns: reading certificates, keys and authorities; reading our certificate again when its files have changed; handshakes and
//! the words about them. Never knows: what is said under TLS, or what follows from a peer's name.
//!
//! There is no session resumption: every connection shows its certificates and has them judged by the configuration of now.

mod stream;
mod trust;
mod validity;

pub use stream::Stream;
pub use trust::{Trust, fingerprint};

use crate::clock::Clock;
use crate::config::{Config, IdentityFiles, LinkTls, guarded_file};
use mms::Timestamp;
use relay::PeerName;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Octets of a file of certificates, at most.
const FILE_MAX: u64 = 1 << 20;
/// How often the files of our certificate are looked at, at most.
const LOOK: Duration = Duration::from_secs(2);

/// All that TLS needs under one configuration.
pub struct Tls {
    clock: Clock,
    provider: Arc<CryptoProvider>,
    identity: Option<Identity>,
    trusts: HashMap<PeerName, Arc<Trust>>,
    seen: Mutex<HashMap<PeerName, Seen>>,
}

/// What was last seen of a peer under TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Whether it connected to us; otherwise we to it.
    pub incoming: bool,
    /// Protocol, cipher suite, fingerprint.
    pub facts: String,
    /// When its certificate ends, if it showed one.
    pub until: Option<Timestamp>,
}

impl Tls {
    /// Read every file that the configuration names for TLS.
    ///
    /// # Errors
    /// Which file, of whom, and what is wrong with it.
    pub fn read(config: &Config, clock: &Clock) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let identity = match &config.identity {
            None => None,
            Some(files) => Some(Identity::read(files, &provider, clock)?),
        };
        let mut trusts = HashMap::new();
        for link in &config.links {
            let trust = Trust::read(link, &provider)
                .map_err(|why| format!("peer {:?}: {why}", link.peer.as_str()))?;
            trusts.insert(link.peer.clone(), Arc::new(trust));
        }
        Ok(Self { clock: clock.clone(), provider, identity, trusts, seen: Mutex::default() })
    }

    /// A connection with a peer is under TLS; `incoming` says who made it.
    pub fn saw(&self, peer: &PeerName, stream: &Stream, incoming: bool) {
        let until = stream.chain().first().and_then(|own| validity::not_after(own));
        let seen = Seen { at: self.clock.now(), incoming, facts: stream.facts(), until };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.clone(), seen);
    }

    /// What was last seen of a peer under TLS, since the configuration was read.
    pub fn seen(&self, peer: &PeerName) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(peer).cloned()
    }

    /// Whether we have a certificate, so that peers can start TLS.
    pub fn can_serve(&self) -> bool {
        self.identity.is_some()
    }

    /// Until when our own certificate is valid, if we have one.
    pub fn valid_until(&self) -> Option<Timestamp> {
        let identity = self.identity.as_ref()?;
        identity.current(&self.provider, &self.clock).until
    }

    /// What this peer's certificate must be.
    fn trust(&self, peer: &PeerName) -> Arc<Trust> {
        self.trusts.get(peer).cloned().unwrap_or_default()
    }

    /// Whether this certificate, that a client has shown, is the peer's.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_client(&self, peer: &PeerName, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        self.trust(peer).judge_client(chain, self.time()).map_err(|error| words(&error))
    }

    /// TLS as a server: any certificate of the client passes, or none; who it is is judged later, by its connection.
    ///
    /// # Errors
    /// In words.
    pub async fn accept(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let Some(identity) = &self.identity else { return Err("no certificate is configured".into()) };
        let config = identity.current(&self.provider, &self.clock).server;
        let stream = TlsAcceptor::from(config).accept(socket).await.map_err(|e| io_words(&e))?;
        Ok(TlsStream::Server(stream))
    }

    /// TLS as a client of this peer, at this `host:port`.
    ///
    /// # Errors
    /// In words.
    pub async fn connect(
        &self,
        peer: &PeerName,
        tls: &LinkTls,
        host: &str,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, NoTls> {
        let name = expected_name(tls, host).map_err(NoTls::Failed)?;
        let config = self.client(self.trust(peer)).map_err(|e| NoTls::Failed(words(&e)))?;
        match TlsConnector::from(Arc::new(config)).connect(name, socket).await {
            Ok(stream) => Ok(TlsStream::Client(stream)),
            Err(error) => match tls_error(&error) {
                Some(rustls::Error::InvalidCertificate(_)) => Err(NoTls::WrongPeer(io_words(&error))),
                _ => Err(NoTls::Failed(io_words(&error))),
            },
        }
    }

    fn client(&self, trust: Arc<Trust>) -> Result<ClientConfig, rustls::Error> {
        let verifier = trust::ServerJudge { trust, provider: self.provider.clone() };
        let builder =
            ClientConfig::builder_with_details(self.provider.clone(), Arc::new(Told(self.clock.clone())))
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(identity.current(&self.provider, &self.clock).client)
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn time(&self) -> UnixTime {
        unix(self.clock.now())
    }
}

/// Why there is no TLS with a peer that we connected to.
pub enum NoTls {
    /// The handshake failed.
    Failed(String),
    /// Its certificate is not what it must be.
    WrongPeer(String),
}

/// Host without port and brackets.
fn host_name(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

/// What the certificate must bear: the configured name, else the host's.
fn expected_name(tls: &LinkTls, host: &str) -> Result<ServerName<'static>, String> {
    let name = match &tls.trust {
        crate::config::TrustFiles::Authority { name: Some(name), .. } => name.as_str(),
        _ => host_name(host),
    };
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("{name:?} is no name that a certificate could bear"))
}

fn unix(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.seconds()).unwrap_or(0)))
}

/// The house's clock, for rustls.
#[derive(Debug)]
struct Told(Clock);

impl TimeProvider for Told {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}

/// Our certificate, with its files.
struct Identity {
    files: IdentityFiles,
    held: Mutex<Held>,
}

struct Held {
    looked: Timestamp,
    marks: [Mark; 2],
    ready: Ready,
}

/// What handshakes need of it.
#[derive(Clone)]
struct Ready {
    server: Arc<ServerConfig>,
    client: Arc<SingleCertAndKey>,
    /// When the certificate ends.
    until: Option<Timestamp>,
}

/// By which a file is known to have changed: time of change in nanoseconds, size, number.
type Mark = Option<(i64, i64, u64, u64)>;

fn mark(path: &Path) -> Mark {
    let data = std::fs::metadata(path).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.size(), data.ino()))
}

impl Identity {
    fn read(files: &IdentityFiles, provider: &Arc<CryptoProvider>, clock: &Clock) -> Result<Self, String> {
        let marks = [mark(&files.certificate), mark(&files.key)];
        let ready = ready(files, provider, clock)?;
        let held = Mutex::new(Held { looked: clock.now(), marks, ready });
        Ok(Self { files: files.clone(), held })
    }

    /// What is in the files, looked at now and then. Files that cannot be used leave what there was.
    fn current(&self, provider: &Arc<CryptoProvider>, clock: &Clock) -> Ready {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        // A clock that was set back makes it look at once.
        if now >= held.looked && now.since(held.looked) < LOOK {
            return held.ready.clone();
        }
        held.looked = now;
        let marks = [mark(&self.files.certificate), mark(&self.files.key)];
        if marks != held.marks {
            match ready(&self.files, provider, clock) {
                Ok(ready) => {
                    tracing::info!("certificate read again from {}", self.files.certificate.display());
                    (held.ready, held.marks) = (ready, marks);
                }
                // Perhaps only one of the two has been replaced so far: looked at again next time.
                Err(why) => tracing::error!("the certificate stays as it was: {why}"),
            }
        }
        held.ready.clone()
    }
}

fn ready(files: &IdentityFiles, provider: &Arc<CryptoProvider>, clock: &Clock) -> Result<Ready, String> {
    let chain = certificates(&files.certificate)
        .map_err(|why| format!("[mm4] certificate {}: {why}", files.certificate.display()))?;
    let wrong = |why: String| format!("[mm4] key {}: {why}", files.key.display());
    let text = guarded_file(&files.key, FILE_MAX).map_err(wrong)?;
    let until = chain.first().and_then(|own| validity::not_after(own));
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| wrong("holds no private key; expected one in PEM, not encrypted".into()))?;
    // Nothing of the key is in these words.
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => wrong("is not the key of the certificate".into()),
        other => wrong(other.to_string()),
    })?;
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut server = ServerConfig::builder_with_details(provider.clone(), Arc::new(Told(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(Arc::new(trust::AnyClient::new(provider)))
        .with_cert_resolver(resolver.clone());
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Ready { server: Arc::new(server), client: resolver, until })
}

/// The certificates in a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let opened = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    opened.take(FILE_MAX).read_to_end(&mut text).map_err(|e| format!("cannot be read: {e}"))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err("holds no certificate; expected PEM".into()),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn io_words(error: &io::Error) -> String {
    match tls_error(error) {
        Some(error) => words(error),
        None => error.to_string(),
    }
}

/// What went wrong, for the log and the history.
fn words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let at = |time: &UnixTime| {
        Timestamp::from_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_string()
    };
    match error {
        Error::InvalidCertificate(Bad::ExpiredContext { not_after, .. }) => {
            format!("the peer's certificate has expired: it was valid until {}", at(not_after))
        }
        Error::InvalidCertificate(Bad::Expired) => "the peer's certificate has expired".into(),
        Error::InvalidCertificate(Bad::NotValidYetContext { not_before, .. }) => {
            format!("the peer's certificate is not valid before {}", at(not_before))
        }
        Error::InvalidCertificate(Bad::NotValidForNameContext { expected, .. }) => {
            format!("the peer's certificate is not for {}", expected.to_str())
        }
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "the peer's certificate is not signed by an authority in tls_ca".into()
        }
        Error::InvalidCertificate(Bad::Other(why)) => why.to_string(),
        Error::NoCertificatesPresented => "the peer shows no certificate".into(),
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the peer says that our certificate has expired".into()
        }
        Error::AlertReceived(alert) => format!("the peer ended the TLS handshake: {alert:?}"),
        other => format!("TLS: {other}"),
    }
}
