//! One HTTP connection to one webhook, and one request on it.
//!
//! Owns: how an event is signed and sent, how much of an answer is read. Never knows: what an answer means.

use super::event::Written;
use crate::config::Secret;
use crate::config::http::Webhook;
use crate::decode::hex;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use mms::{HeaderText, Timestamp};
use tokio::net::TcpStream;

/// Octets of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;
/// Octets of an answer that go into the history.
const WORDS_MAX: usize = 200;

/// An event, ready to be sent as often as it takes.
pub struct Request {
    head: hyper::Request<()>,
    body: Bytes,
}

impl Request {
    /// The request of an event, signed with the time of this attempt.
    pub fn signed(webhook: &Webhook, secret: &Secret, written: Written, now: Timestamp) -> Self {
        let seconds = now.seconds().to_string();
        let signature = secret.sign(&[seconds.as_bytes(), b".", written.body.as_bytes()]);
        let mut head = hyper::Request::new(());
        *head.method_mut() = hyper::Method::POST;
        let headers = [
            (HOST, webhook.authority.clone()),
            (CONTENT_TYPE, "application/json".into()),
            (USER_AGENT, concat!("belino/", env!("CARGO_PKG_VERSION")).into()),
            (hyper::header::HeaderName::from_static("belino-event"), written.event.into()),
            (hyper::header::HeaderName::from_static("belino-delivery"), written.id),
            (
                hyper::header::HeaderName::from_static("belino-signature"),
                format!("t={seconds},v1={}", hex(&signature)),
            ),
        ];
        for (name, value) in headers {
            // All of them are our own words or parsed as parts of a URL before.
            if let Ok(value) = hyper::header::HeaderValue::from_str(&value) {
                head.headers_mut().insert(name, value);
            }
        }
        if let Ok(target) = webhook.target.parse() {
            *head.uri_mut() = target;
        }
        Self { head, body: Bytes::from(written.body) }
    }
}

/// An answer, as much of it as was read.
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Whether its body came to its end, so that the connection can be used again.
    pub whole: bool,
    body: Bytes,
}

impl Answered {
    /// Status and the first words of the body, on one line.
    pub fn words(&self) -> String {
        let said = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * WORDS_MAX)]).into_owned();
        let said = HeaderText::cleaned(said.trim()).capped(WORDS_MAX);
        if said.as_str().is_empty() {
            self.status.to_string()
        } else {
            format!("{} {}", self.status, said.as_str())
        }
    }
}

/// A connection that can take a request.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// When its last answer came.
    pub used: Timestamp,
}

impl Connection {
    /// Connect.
    ///
    /// # Errors
    /// In words, for the log and the history.
    pub async fn open(host: &str, port: u16, runtime: &tokio::runtime::Handle) -> Result<Self, String> {
        let socket = TcpStream::connect((host, port)).await.map_err(|e| e.to_string())?;
        socket.set_nodelay(true).map_err(|e| e.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(|e| e.to_string())?;
        // It ends when the sender is dropped, so nobody needs to wait for it.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Self { sender, used: Timestamp::EPOCH })
    }

    /// Whether it can take a request, as far as we know.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Send a request and read its answer, which is whatever came before the connection ended or the limit was reached.
    ///
    /// # Errors
    /// In words: no answer came.
    pub async fn ask(&mut self, request: &Request) -> Result<Answered, String> {
        self.sender.ready().await.map_err(|e| e.to_string())?;
        let whole = request.head.clone().map(|()| Full::new(request.body.clone()));
        let response = self.sender.send_request(whole).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        match Limited::new(response.into_body(), ANSWER_MAX).collect().await {
            Ok(body) => Ok(Answered { status, whole: true, body: body.to_bytes() }),
            // The status is what counts.
            Err(_) => Ok(Answered { status, whole: false, body: Bytes::new() }),
        }
    }
}
