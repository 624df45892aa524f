//! Who is at the other end of an incoming connection: one configured peer, or nobody.
//!
//! Owns: the rule, by address (a trusted hop names it), by certificate, or by both, and what may be said to whom before it is
//! known. Never knows: what is said. What is asked in the clear is asked anew under TLS.

use crate::agreements::Agreements;
use crate::config::{Config, Link};
use relay::PeerName;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use wire::proxy::{self, Step};
use wire::smtp::server::Capabilities;

/// What a connection is called whose certificate has yet to tell who it is. No peer can be configured by that name.
pub const NOBODY_YET: &str = "(nobody yet)";
/// Connections of that kind at once.
pub const NOBODIES_MAX: usize = 100;

/// The peer that connects from this address: the one with the narrowest network around it.
pub fn at(config: &Config, address: IpAddr) -> Option<PeerName> {
    let around = config.links.iter().flat_map(|link| {
        let of_link = link.from.iter().filter(move |n| n.contains(address));
        of_link.map(move |n| (n.bits(), &link.peer))
    });
    around.max_by_key(|(bits, _)| *bits).map(|(_, peer)| peer.clone())
}

/// For whom a trusted hop connects; `None` is the hop itself. Not an octet behind its header is read.
///
/// # Errors
/// There is no header, or none that is understood; in words.
pub async fn proxied(socket: &mut TcpStream) -> Result<Option<SocketAddr>, String> {
    let mut header = Vec::new();
    loop {
        match proxy::read(&header).map_err(|error| error.to_string())? {
            Step::Whole { source } => return Ok(source),
            Step::More(n) => {
                let at = header.len();
                header.resize(at + n, 0);
                socket.read_exact(&mut header[at..]).await.map_err(|error| error.to_string())?;
            }
        }
    }
}

/// Whether somebody at an address of nobody's may show a certificate and be known by it.
pub fn may_be_known(config: &Config, agreed: &Agreements) -> bool {
    agreed.tls.can_serve() && config.links.iter().any(Link::is_known_by_certificate)
}

/// The peer at the other end of a connection under TLS, once more.
///
/// # Errors
/// Why it is none: no peer at all, or one at this address whose certificate this is not.
pub fn under_tls(
    config: &Config,
    agreed: &Agreements,
    address: IpAddr,
    chain: &[CertificateDer<'_>],
) -> Result<PeerName, String> {
    let mut known = config.links.iter().filter(|link| link.is_known_by_certificate());
    if let Some(link) =
        known.find(|link| !chain.is_empty() && agreed.tls.judge_client(&link.peer, chain).is_ok())
    {
        return Ok(link.peer.clone());
    }
    let Some(peer) = at(config, address) else {
        return Err("no peer is configured for this address and certificate".into());
    };
    let must = config.links.iter().any(|link| link.peer == peer && link.tls.client_certificate);
    if must || !chain.is_empty() {
        agreed.tls.judge_client(&peer, chain)?;
    }
    Ok(peer)
}

/// What is offered to this peer, or to nobody, and what is asked of it first. A password that needs TLS is not asked for in
/// the clear.
pub fn offer(config: &Config, agreed: &Agreements, peer: &PeerName, is_under_tls: bool) -> Capabilities {
    let link = config.links.iter().find(|link| link.peer == *peer);
    let tls_required = link.is_none_or(|l| l.tls.mode.is_required() || l.tls.client_certificate);
    let auth = agreed.asks_login(peer) && (is_under_tls || !tls_required);
    Capabilities { starttls: agreed.tls.can_serve(), tls_required, auth }
}
