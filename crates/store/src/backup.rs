//! A copy of a store that others go on using, and what SQLite says of a ledger.
//!
//! Owns: the order in which a copy is made. Never knows: what an MM is about.
//!
//! While it is made no room of the content log is used again or given back, so whatever the ledger's copy names stays
//! where it is. The copy grows beside its place under the name `NAME.partial` and gets its own name when all of it is
//! durable: a crash leaves a `.partial` that is of no use, or the whole copy.
//!
//! A copy has no journal: its ledger has everything. It is opened like any other folder.

use crate::content::Log;
use crate::ledger::{self, Readers};
use relay::store::StoreError;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a copy holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// MMs in its ledger.
    pub mms: u64,
    /// Octets of content.
    pub octets: u64,
    /// Octets of the ledger.
    pub ledger: u64,
}

/// Octets read and written at once.
const PIECE: usize = 1 << 20;

/// Make the copy. The caller has had everything settled that must be in it, after `log.hold()`.
pub(crate) fn copy(
    readers: &Readers,
    log: &Log,
    to: &Path,
    tell: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Copied, StoreError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(StoreError::Unavailable(format!(
            "{} is there already; a backup goes to a folder that is not",
            to.display()
        )));
    }
    let partial = beside(to)?;
    let at = |path: &Path, doing: &str, why: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("cannot {doing} {}: {why}", path.display()))
    };
    // What an earlier try has left.
    match fs::remove_dir_all(&partial) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(&partial, "remove", &why)),
        _ => {}
    }
    let made = (|| {
        let body = partial.join("body");
        fs::create_dir_all(&body).map_err(|why| at(&body, "create", &why))?;
        private(&partial).map_err(|why| at(&partial, "change", &why))?;
        let database = partial.join("store.db");
        readers.with(|connection| ledger::copy(connection, &database))?;
        let (mms, living) = ledger::living(&database)?;
        let total = living.iter().map(|extent| extent.len).sum();
        let mut copied = 0;
        let stopped = || StoreError::Unavailable("the backup was stopped; nothing of it is left".into());
        if !tell(copied, total) {
            return Err(stopped());
        }
        for of_segment in living.chunk_by(|a, b| a.segment == b.segment) {
            let (from, name) = log.file_of(of_segment[0].segment)?;
            let path = body.join(name);
            let mut write = || -> io::Result<bool> {
                let file = File::create_new(&path)?;
                file.set_len(from.metadata()?.len())?;
                let mut buffer = vec![0; PIECE];
                for extent in of_segment {
                    copy_octets(&from, &file, extent.start, extent.len, &mut buffer)?;
                    copied += extent.len;
                    if !tell(copied, total) {
                        return Ok(false);
                    }
                }
                file.sync_all()?;
                Ok(true)
            };
            if !write().map_err(|why| at(&path, "copy to", &why))? {
                return Err(stopped());
            }
        }
        let flush = || -> io::Result<u64> {
            File::open(&body)?.sync_all()?;
            let ledger = File::open(&database)?;
            ledger.sync_all()?;
            File::open(&partial)?.sync_all()?;
            Ok(ledger.metadata()?.len())
        };
        let ledger = flush().map_err(|why| at(&partial, "flush", &why))?;
        Ok(Copied { mms, octets: total, ledger })
    })();
    let copied = made.inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
    // Not over what came there meanwhile.
    let name = || -> io::Result<()> {
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, &partial, cwd, to, rustix::fs::RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(&partial, to)?,
            renamed => renamed?,
        }
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    name().map_err(|why| at(to, "give the copy its name", &why))?;
    Ok(copied)
}

/// Where a copy grows.
fn beside(to: &Path) -> Result<PathBuf, StoreError> {
    let mut name = to
        .file_name()
        .ok_or_else(|| StoreError::Unavailable(format!("{} names no folder", to.display())))?
        .to_owned();
    name.push(".partial");
    Ok(to.with_file_name(name))
}

/// For its owner only: whole messages are in it.
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

fn copy_octets(from: &File, to: &File, start: u64, len: u64, buffer: &mut [u8]) -> io::Result<()> {
    let (mut at, end) = (start, start + len);
    while at < end {
        let piece = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..piece], at)?;
        to.write_all_at(&buffer[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}
