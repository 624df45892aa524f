//! The octets of a connection, in the clear or under TLS.
//!
//! Owns: reading and writing either way. Never knows: what is said. In the clear each call is the socket's own.

use super::trust::fingerprint;
use rustls::pki_types::CertificateDer;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// One connection.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Read what there is to the end of the buffer; 0 is the end.
    ///
    /// # Errors
    /// As the socket, or TLS, has it.
    pub async fn read_buf(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Write all, and let it go.
    ///
    /// # Errors
    /// As the socket, or TLS, has it.
    pub async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(octets).await,
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Say that nothing more comes.
    ///
    /// # Errors
    /// As the socket, or TLS, has it.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Read what has come already, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has.
    pub async fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read(buffer),
            Self::Tls(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                let read = poll_fn(|context| match Pin::new(&mut **stream).poll_read(context, &mut buffer) {
                    Poll::Pending => Poll::Ready(Err(io::ErrorKind::WouldBlock.into())),
                    ready => ready,
                });
                read.await?;
                Ok(buffer.filled().len())
            }
        }
    }

    /// The other side's certificate and those that came with it; none in the clear.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::Plain(_) => &[],
            Self::Tls(stream) => stream.get_ref().1.peer_certificates().unwrap_or_default(),
        }
    }

    /// Version, cipher and the other side's certificate, for the log; empty in the clear.
    pub fn facts(&self) -> String {
        let Self::Tls(stream) = self else { return String::new() };
        let state = stream.get_ref().1;
        let version = state.protocol_version().and_then(|v| v.as_str()).unwrap_or("TLS");
        let suite = state.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default();
        let certificate = self.chain().first().map_or("no certificate".into(), |c| fingerprint(c));
        format!("{version} {suite}, {certificate}")
    }
}
