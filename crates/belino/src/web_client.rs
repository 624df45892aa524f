//! One HTTP connection to a configured URL, and one request on it.
//!
//! Owns: how a body is posted, how much of an answer is read. Never knows: what is posted, or what an answer means.

use crate::config::Url;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use mms::{HeaderText, Timestamp};
use tokio::net::TcpStream;

/// Octets of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;
/// Octets of an answer that go into the history.
const WORDS_MAX: usize = 200;

/// A body to post, ready to be sent as often as it takes.
pub struct Request {
    head: hyper::Request<()>,
    body: Bytes,
}

impl Request {
    /// Post this body there.
    pub fn post(url: &Url, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request = Self { head: hyper::Request::new(()), body: body.into() };
        *request.head.method_mut() = hyper::Method::POST;
        if let Ok(target) = url.target.parse() {
            *request.head.uri_mut() = target;
        }
        request.header(HOST.as_str(), &url.authority);
        request.header(CONTENT_TYPE.as_str(), kind);
        request.header(USER_AGENT.as_str(), concat!("belino/", env!("CARGO_PKG_VERSION")));
        request
    }

    /// One more header field. Its value is our own words, or was parsed as a part of a URL before.
    pub fn header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.head.headers_mut().insert(HeaderName::from_static(name), value);
        }
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
    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

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
    pub async fn open(url: &Url, runtime: &tokio::runtime::Handle) -> Result<Self, String> {
        let socket = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|e| e.to_string())?;
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
