//! The command line's side of the admin socket. Blocking: a command has nothing else to do.

use super::{Request, Response};
use crate::serve::socket_path;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Ask the relay that runs over a data folder. Gives the value, and the octets that came with it.
///
/// # Errors
/// In words: none runs, or what the relay says.
pub fn ask(data: &Path, request: &Request, body: &[u8]) -> anyhow::Result<(Value, Vec<u8>)> {
    let path = socket_path(data);
    let mut socket = UnixStream::connect(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow::anyhow!(
            "no relay is running over {}: start one with `belino serve`, or name another folder with --data",
            data.display()
        ),
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "{} belongs to another user; run this as the user that the relay runs as",
                path.display()
            )
        }
        _ => anyhow::anyhow!("cannot reach the relay at {}: {error}", path.display()),
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    socket.write_all(&line)?;
    socket.write_all(body)?;
    socket.flush()?;
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).context("the relay did not answer")?;
    if line.is_empty() {
        bail!("the relay closed the connection without an answer; its log says why");
    }
    match serde_json::from_str(&line)
        .context("the relay's answer cannot be read; is it of another version?")?
    {
        Response::Ok { value, octets } => {
            let mut body = vec![0; octets];
            reader.read_exact(&mut body).context("the relay's answer is incomplete")?;
            Ok((value, body))
        }
        Response::Error(why) => bail!("{why}"),
    }
}
