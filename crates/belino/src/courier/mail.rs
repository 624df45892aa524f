//! An errand as a mail: the header block written anew, or the received one with what must change; the body named where
//! it lies.

use mms::{AbstractMessage, HeaderText, Visibility};
use relay::house::{Profile, TransitMode};
use relay::store::{ContentRef, Store};
use relay::{Errand, Relayed};
use std::ops::Deref;
use store::{Embedded, Recent};
use wire::mime::{HeaderBlock, SevenBit, WalkLimits, mail_date, seven_bit};
use wire::mm4::{Edit, Edits, Style};

/// What goes over the wire after `DATA`.
pub struct Mail {
    /// Header block with its empty line, and the body of a message that we write ourselves. Wire form.
    pub head: Vec<u8>,
    /// The stored body. Wire form already.
    pub body: Option<Body>,
    /// Octets in all: what is declared as `SIZE`.
    pub size: u64,
    /// Whether there are octets over 127.
    pub eight_bit: bool,
}

/// The stored content, of which the body is what follows the header block.
pub struct Body {
    /// Where it lies.
    pub content: ContentRef,
    /// Where the body begins in it.
    pub begin: u64,
    /// The whole content, if it is still in memory, or small: one read brings the received header and the body.
    pub octets: Option<Octets>,
}

/// A content in memory.
pub enum Octets {
    /// As it came.
    Recent(Recent),
    /// Read back.
    Read(Vec<u8>),
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Recent(octets) => octets,
            Self::Read(octets) => octets,
        }
    }
}

/// Octets of a content that is read at once. What is bigger goes from the file to the socket.
const READ_MAX: u64 = 64 << 10;

impl Body {
    /// What is to be sent of this content.
    fn of(content: &ContentRef, begin: u64, store: &Embedded) -> Result<Self, String> {
        let octets = match store.recent(content) {
            Some(recent) if recent.len() as u64 == content.len => Some(Octets::Recent(recent)),
            _ if content.len <= READ_MAX => Some(Octets::Read(read(store, content, 0, content.len)?)),
            _ => None,
        };
        Ok(Self { content: content.clone(), begin, octets })
    }
}

/// Octets of a stored content.
fn read(store: &dyn Store, content: &ContentRef, from: u64, len: u64) -> Result<Vec<u8>, String> {
    let mut octets = vec![0; usize::try_from(len).map_err(|e| e.to_string())?];
    let n = store.read_content(content, from, &mut octets).map_err(|e| e.to_string())?;
    if n < octets.len() {
        return Err("the stored content is shorter than its ledger says".into());
    }
    Ok(octets)
}

/// Write the header for this peer.
///
/// # Errors
/// The received header cannot be read back; our own trouble.
pub fn prepare(profile: &Profile, errand: &Errand, store: &Embedded) -> Result<Mail, String> {
    let style = Style {
        quote_ids: profile.quote_ids,
        bare_addresses: profile.bare_addresses,
        version: Some(profile.version),
    };
    let body = errand.body.as_ref().map(|(content, begin)| Body::of(content, *begin, store)).transpose()?;
    let head = match (&errand.relayed, &body) {
        (Some(relayed), Some(Body { begin, octets: Some(octets), .. })) => {
            let begin = usize::try_from(*begin).map_err(|e| e.to_string())?.min(octets.len());
            relay(profile, errand, relayed, &octets[..begin])
        }
        (Some(relayed), Some(Body { begin, content, octets: None })) => {
            relay(profile, errand, relayed, &read(store, content, 0, *begin)?)
        }
        (Some(_), None) => return Err("its content is not kept any more".into()),
        (None, _) => wire::mm4::encode(&errand.message, &style),
    };
    let body = body.filter(|body| body.begin < body.content.len);
    let rest = body.as_ref().map_or(0, |body| body.content.len - body.begin);
    Ok(Mail { size: head.len() as u64 + rest, eight_bit: errand.eight_bit || !head.is_ascii(), head, body })
}

impl Mail {
    /// The same mail for a peer without 8BITMIME (RFC 6152), held in memory; its size is bounded by what is taken in.
    ///
    /// # Errors
    /// It cannot be had in 7 bits, or not be read.
    pub fn seven_bit(&self, store: &dyn Store) -> Result<Self, String> {
        let block = HeaderBlock::parse(&self.head).map_err(|e| e.to_string())?;
        let mut body = match &self.body {
            Some(Body { content, begin, .. }) => read(store, content, *begin, content.len - begin)?,
            None => Vec::new(),
        };
        let (kind, encoding) = (block.text("Content-Type"), block.text("Content-Transfer-Encoding"));
        let written = match seven_bit(kind.as_deref(), encoding.as_deref(), &body, WalkLimits::default()) {
            SevenBit::Fits => None,
            SevenBit::Rewritten { body, content_transfer_encoding } => {
                Some((body, content_transfer_encoding))
            }
            SevenBit::Impossible(obstacle) => return Err(obstacle.to_string()),
        };
        let mut head = self.head.clone();
        if let Some((octets, encoding)) = written {
            body = octets;
            if let Some(encoding) = encoding {
                let content_transfer_encoding = Edit::Set(encoding);
                head = wire::mm4::relay(&head, &Edits { content_transfer_encoding, ..Edits::default() });
            }
        }
        // Header fields outside ASCII are from peers that send them so; each octet that cannot go becomes `?`.
        head.iter_mut().filter(|octet| !octet.is_ascii()).for_each(|octet| *octet = b'?');
        head.extend_from_slice(&body);
        Ok(Self { size: head.len() as u64, head, body: None, eight_bit: false })
    }
}

/// The header section of an MM that passes through us: as it came, but for the fields that tie it to one hop (mm4 6).
fn relay(profile: &Profile, errand: &Errand, relayed: &Relayed, head: &[u8]) -> Vec<u8> {
    let trace = format!("{}; {}", relayed.received, mail_date(relayed.at));
    let mut edits = Edits { received: Some(HeaderText::cleaned(&trace)), ..Edits::default() };
    if let (TransitMode::BackToBack, AbstractMessage::ForwardReq(request)) = (relayed.mode, &errand.message) {
        let set = |path: &Option<_>| path.clone().map_or(Edit::Keep, Edit::Set);
        if profile.anonymise_hidden && request.sender_visibility == Some(Visibility::Hide) {
            edits.from = request.from.clone().map_or(Edit::Remove, Edit::Set);
        }
        edits.sender = set(&request.sender);
        edits.originator_system = set(&request.originator_system);
        edits.transaction_id = request.transaction_id.clone().map_or(Edit::Keep, Edit::Set);
        edits.ack_request = request.ack_request.map_or(Edit::Keep, Edit::Set);
        edits.quote_ids = profile.quote_ids;
    }
    wire::mm4::relay(head, &edits)
}
