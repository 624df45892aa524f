//! The command line's side of the admin socket. Blocking: a command has nothing else to do.

use super::{Progress, Request, Response};
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
    let mut socket = connect(data)?;
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

/// A connection to the relay that runs over a data folder.
fn connect(data: &Path) -> anyhow::Result<UnixStream> {
    let path = socket_path(data);
    UnixStream::connect(&path).map_err(|error| match error.kind() {
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
    })
}

/// Whether a relay runs over a data folder.
pub fn is_running(data: &Path) -> bool {
    UnixStream::connect(socket_path(data)).is_ok()
}

/// Have the relay copy its store. Told how far it has come, now and then.
///
/// # Errors
/// In words, see [`ask`].
pub fn backup(data: &Path, to: &Path, mut tell: impl FnMut(Progress)) -> anyhow::Result<Value> {
    let mut socket = connect(data)?;
    let to = to.to_str().with_context(|| format!("{} is not UTF-8", to.display()))?;
    let mut line = serde_json::to_vec(&Request::Backup { to: to.to_owned() })?;
    line.push(b'\n');
    socket.write_all(&line)?;
    for line in BufReader::new(socket).lines() {
        let line = line.context("the relay ended before the backup was complete")?;
        match serde_json::from_str(&line) {
            Ok(Response::Ok { value, .. }) => return Ok(value),
            Ok(Response::Error(why)) => bail!("{why}"),
            Err(_) => tell(
                serde_json::from_str(&line)
                    .context("the relay's answer cannot be read; is it of another version?")?,
            ),
        }
    }
    bail!("the relay ended before the backup was complete: nothing is left under that name")
}
