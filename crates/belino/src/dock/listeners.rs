//! Who listens to what comes from one peer: probes that run beside the relay.
//!
//! Owns: the bounded list of listeners, and which mails each may hear. Never knows: what a probe makes of them. Hearing
//! changes nothing: the mail is treated as any other.
//!
//! A crash forgets all listeners; their probes notice by the connection that ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use relay::PeerName;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use wire::mime::HeaderBlock;
use wire::smtp::server::Envelope;

/// Probes that may listen at once.
const LISTENERS_MAX: usize = 4;
/// What may wait for a probe that reads slowly; what is more is not heard.
const WAITING_MAX: usize = 256;

/// Something that a probe hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Heard {
    /// A mail of the peer's: a copy of its envelope and of its header section.
    Mail {
        /// From where it came.
        address: SocketAddr,
        /// Envelope sender; empty for `<>`.
        mail_from: String,
        /// Envelope recipients.
        recipients: Vec<String>,
        /// The header section in base64: octet for octet, at most 64 KiB of it.
        head: String,
    },
    /// Somebody connected who is no configured peer, and was turned away: perhaps the peer, from an unexpected host.
    Stranger {
        /// From where.
        address: IpAddr,
    },
}

impl Heard {
    /// A copy of a mail.
    pub fn mail(address: SocketAddr, envelope: &Envelope, head: &[u8]) -> Self {
        Self::Mail {
            address,
            mail_from: envelope.sender.path.as_ref().map(ToString::to_string).unwrap_or_default(),
            recipients: envelope.recipients.iter().map(ToString::to_string).collect(),
            head: STANDARD.encode(head),
        }
    }

    /// The octets of a header section that came in base64; none where that cannot be read.
    pub fn octets(head: &str) -> Vec<u8> {
        STANDARD.decode(head).unwrap_or_default()
    }
}

/// What all ids of one run of a probe contain: 128 random bits behind a word that says what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token that nobody can guess.
    pub fn fresh() -> Self {
        Self(format!("probe-{:032x}", crate::entropy()))
    }

    /// The token with this text.
    ///
    /// # Errors
    /// It is not of the form that [`Token::fresh`] gives.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("probe-").unwrap_or_default();
        let fits = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("token {text:?}: expected probe- and 32 hexadecimal digits"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a mail with this header section belongs to the run: one of its ids holds the token. A response that names
    /// no transaction of a relay of ours is let through as well: it may be meant for the run, with its id lost.
    pub fn concerns(&self, head: &[u8]) -> bool {
        let Ok(block) = HeaderBlock::parse(head) else { return false };
        let text = |name: &str| block.text(name).unwrap_or_default().into_owned();
        let (transaction_id, message_id) = (text("X-Mms-Transaction-ID"), text("X-Mms-Message-ID"));
        if transaction_id.contains(&self.0) || message_id.contains(&self.0) {
            return true;
        }
        let message_type = text("X-Mms-Message-Type").to_ascii_uppercase();
        let is_response = message_type.ends_with(".RES") || message_type.ends_with("_RES");
        let of_the_relay = mms::TransactionId::new(&transaction_id).is_ok_and(|id| id.mm().is_some());
        let of_another_probe = transaction_id.contains("probe-") || message_id.contains("probe-");
        is_response && !of_the_relay && !of_another_probe
    }
}

struct Listener {
    number: u64,
    peer: PeerName,
    token: Token,
    sender: mpsc::Sender<Heard>,
}

#[derive(Default)]
struct List {
    next: u64,
    listeners: Vec<Listener>,
}

/// The list. Cheap to clone.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<List>>);

/// A place in the list, given back when it is dropped.
pub struct Listening {
    list: Listeners,
    number: u64,
    /// What was heard.
    pub heard: mpsc::Receiver<Heard>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.list.lock().listeners.retain(|l| l.number != self.number);
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listen to what comes from a peer for a run; `None` when enough others do already.
    pub fn listen(&self, peer: PeerName, token: Token) -> Option<Listening> {
        let mut list = self.lock();
        if list.listeners.len() >= LISTENERS_MAX {
            return None;
        }
        list.next += 1;
        let number = list.next;
        let (sender, heard) = mpsc::channel(WAITING_MAX);
        list.listeners.push(Listener { number, peer, token, sender });
        Some(Listening { list: self.clone(), number, heard })
    }

    /// A mail has come from a peer; whoever may hear it gets a copy. Costs a look at an empty list when nobody listens.
    pub fn hear(&self, peer: &PeerName, address: SocketAddr, envelope: &Envelope, head: &[u8]) {
        let list = self.lock();
        for listener in list.listeners.iter().filter(|l| l.peer == *peer) {
            if listener.token.concerns(head) {
                let _ = listener.sender.try_send(Heard::mail(address, envelope, head));
            }
        }
    }

    /// Somebody was turned away who is no peer.
    pub fn stranger(&self, address: IpAddr) {
        for listener in &self.lock().listeners {
            let _ = listener.sender.try_send(Heard::Stranger { address });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[&str]) -> Vec<u8> {
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    fn envelope() -> Envelope {
        let sender = wire::smtp::server::Sender { path: None, size: None, eight_bit: false };
        Envelope { sender, recipients: vec!["system-user@mms.a.example".parse().unwrap()] }
    }

    #[test]
    fn only_mails_of_the_run_are_heard_and_only_from_its_peer() {
        let (listeners, token) = (Listeners::default(), Token::fresh());
        let (b, c) = (PeerName::new("b"), PeerName::new("c"));
        let address = "127.0.0.2:4000".parse().unwrap();
        let mut listening = listeners.listen(b.clone(), token.clone()).unwrap();
        let mine = head(&[&format!("X-Mms-Transaction-ID: \"{}.10@mms.a.example\"", token.as_str())]);
        listeners.hear(&c, address, &envelope(), &mine);
        assert!(listening.heard.try_recv().is_err(), "another peer is not the one that is probed");
        listeners.hear(&b, address, &envelope(), &mine);
        let Ok(Heard::Mail { head: heard, recipients, .. }) = listening.heard.try_recv() else { panic!() };
        assert_eq!((Heard::octets(&heard), recipients), (mine, vec!["system-user@mms.a.example".to_owned()]));

        let response = "X-Mms-Message-Type: MM4_forward.RES";
        let relays = mms::TransactionId::ours(mms::MmId::from_bits(7), 0, 9);
        let others = Token::fresh();
        for (lines, is_heard) in [
            (vec![response, "X-Mms-Transaction-ID: whatever"], true),
            (vec![response], true),
            (vec!["X-Mms-Message-Type: MM4_forward.REQ", "X-Mms-Transaction-ID: whatever"], false),
            (vec![response, &format!("X-Mms-Transaction-ID: {relays}")], false),
            (vec![response, &format!("X-Mms-Transaction-ID: {}.10", others.as_str())], false),
            (vec!["Subject: lunch?"], false),
        ] {
            listeners.hear(&b, address, &envelope(), &head(&lines));
            assert_eq!(listening.heard.try_recv().is_ok(), is_heard, "{lines:?}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_places_are_given_back() {
        let (listeners, b) = (Listeners::default(), PeerName::new("b"));
        let listen = || listeners.listen(b.clone(), Token::fresh());
        let mut all: Vec<Listening> = (0..LISTENERS_MAX).map(|_| listen().unwrap()).collect();
        assert!(listen().is_none());
        all.pop();
        let last = listen().unwrap();
        for _ in 0..WAITING_MAX + 10 {
            listeners.stranger(IpAddr::from([192, 0, 2, 9]));
        }
        assert_eq!(last.heard.len(), WAITING_MAX);
    }

    #[test]
    fn a_token_is_long_and_random_or_none() {
        assert!(Token::parse(Token::fresh().as_str()).is_ok());
        for text in ["", "probe-", "probe-1", "@", &format!("probe-{}", "G".repeat(32))] {
            assert!(Token::parse(text).is_err(), "{text}");
        }
    }
}
