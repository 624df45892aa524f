//! An errand as a mail: the header block written anew, the body named where it lies.

use relay::house::Profile;
use relay::store::ContentRef;
use relay::{Errand, RESPONSE};
use wire::mm4::Style;

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
pub fn prepare(profile: &Profile, errand: &Errand) -> Mail {
    let style = Style {
        quote_ids: profile.quote_ids,
        bare_addresses: profile.bare_addresses,
        version: Some(profile.version),
    };
    let head = wire::mm4::encode(&errand.message, &style);
    let body = errand.body.clone().filter(|(content, offset)| *offset < content.len);
    debug_assert!(body.is_none() || errand.entry.id.part & RESPONSE == 0, "responses have no stored body");
    let rest = body.as_ref().map_or(0, |(content, offset)| content.len - offset);
    Mail { size: head.len() as u64 + rest, eight_bit: errand.eight_bit || !head.is_ascii(), head, body }
}
