//! An errand as a mail: the header block written anew, or the received one with what must change; the body named where
//! it lies.

use mms::{AbstractMessage, HeaderText, Visibility};
use relay::house::{Profile, TransitMode};
use relay::store::{ContentRef, Store};
use relay::{Errand, Relayed};
use wire::mime::{HeaderBlock, SevenBit, WalkLimits, mail_date, seven_bit};
use wire::mm4::{Edit, Edits, Style};

/// What goes over the wire after `DATA`.
pub struct Mail {
    /// Header block with its empty line, and the body of a message that we write ourselves. Wire form.
    pub head: Vec<u8>,
    /// The stored body and where it begins. Wire form already.
    pub body: Option<(ContentRef, u64)>,
    /// Octets in all: what is declared as `SIZE`.
    pub size: u64,
    /// Whether there are octets over 127.
    pub eight_bit: bool,
}

/// Write the header for this peer.
///
/// # Errors
/// The received header cannot be read back; our own trouble.
pub fn prepare(profile: &Profile, errand: &Errand, store: &dyn Store) -> Result<Mail, String> {
    let style = Style {
        quote_ids: profile.quote_ids,
        bare_addresses: profile.bare_addresses,
        version: Some(profile.version),
    };
    let head = match &errand.relayed {
        Some(relayed) => relay(profile, errand, relayed, store)?,
        None => wire::mm4::encode(&errand.message, &style),
    };
    let body = errand.body.clone().filter(|(content, offset)| *offset < content.len);
    let rest = body.as_ref().map_or(0, |(content, offset)| content.len - offset);
    Ok(Mail { size: head.len() as u64 + rest, eight_bit: errand.eight_bit || !head.is_ascii(), head, body })
}

impl Mail {
    /// The same mail for a peer without 8BITMIME (RFC 6152), held in memory; its size is bounded by what is taken in.
    ///
    /// # Errors
    /// It cannot be had in 7 bits, or not be read.
    pub fn seven_bit(&self, store: &dyn Store) -> Result<Self, String> {
        let block = HeaderBlock::parse(&self.head).map_err(|e| e.to_string())?;
        let mut body = Vec::new();
        if let Some((content, offset)) = &self.body {
            body.resize(usize::try_from(content.len - offset).map_err(|e| e.to_string())?, 0);
            let n = store.read_content(content, *offset, &mut body).map_err(|e| e.to_string())?;
            body.truncate(n);
        }
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
fn relay(
    profile: &Profile,
    errand: &Errand,
    relayed: &Relayed,
    store: &dyn Store,
) -> Result<Vec<u8>, String> {
    let (content, offset) = errand.body.as_ref().ok_or("its content is not kept any more")?;
    let mut head = vec![0; usize::try_from(*offset).map_err(|e| e.to_string())?];
    let n = store.read_content(content, 0, &mut head).map_err(|e| e.to_string())?;
    head.truncate(n);
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
    Ok(wire::mm4::relay(&head, &edits))
}
