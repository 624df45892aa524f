//! A backup that is asked for through the admin socket.
//!
//! Owns: one backup at a time, and who is told how far it has come. Never knows: how a store is copied.
//!
//! A crash leaves a folder `NAME.partial`, which the next try under the same name sweeps away.

use super::{Progress, Response};
use crate::serve::Parts;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::TryLockError;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Two at once would only slow each other.
static AT_WORK: Mutex<()> = Mutex::new(());

/// Steps that are told of, about.
const STEPS: u64 = 200;

/// Make it, tell how far it has come, then what came of it. It is finished also when nobody listens any more.
pub(super) async fn answer(parts: &Parts, mut socket: UnixStream, to: PathBuf) -> anyhow::Result<()> {
    let (teller, mut told) = mpsc::channel::<Progress>(16);
    let (store, stop) = (parts.embedded.clone(), parts.dock.stop.clone());
    let mut work = tokio::task::spawn_blocking(move || {
        make(&store, &to, |copied, all| {
            // Who listens slowly misses some.
            let _ = teller.try_send(Progress { copied, all });
            // A relay that is to stop does not wait for it.
            !*stop.borrow()
        })
    });
    let made = loop {
        tokio::select! {
            made = &mut work => break made?,
            Some(progress) = told.recv() => {
                let mut line = serde_json::to_vec(&progress)?;
                line.push(b'\n');
                // A listener that has gone does not end the backup.
                let _ = socket.write_all(&line).await;
            }
        }
    };
    let response = match made {
        Ok(value) => Response::Ok { value, octets: 0 },
        Err(error) => Response::Error(format!("{error:#}")),
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    socket.write_all(&line).await?;
    Ok(socket.shutdown().await?)
}

/// Copy a store. Told (octets copied, octets in all) some hundred times; it says whether to go on.
///
/// # Errors
/// In words.
pub fn make(
    store: &store::Embedded,
    to: &Path,
    mut tell: impl FnMut(u64, u64) -> bool,
) -> anyhow::Result<Value> {
    anyhow::ensure!(to.is_absolute(), "{}: expected an absolute path", to.display());
    let _alone = match AT_WORK.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!("another backup is being made; wait until it has ended")
        }
    };
    let mut last = None;
    let copied = store.backup(to, &mut |copied, all| {
        let step = copied * STEPS / all.max(1);
        last.replace(step) == Some(step) || tell(copied, all)
    })?;
    tracing::info!(to = %to.display(), mms = copied.mms, octets = copied.octets, "backup made");
    Ok(json!({
        "to": to.display().to_string(),
        "mms": copied.mms,
        "content": copied.octets,
        "ledger": copied.ledger,
    }))
}
