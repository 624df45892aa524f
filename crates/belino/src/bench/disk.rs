//! The workload `write-amp`: octets that reach the disk for each octet that a relay accepts, over an MM's whole life.
//!
//! Owns: a file system of the bench's own, ext4 with its journal on a loop device, whose writes nobody else adds to. Where
//! that cannot be had (it needs root and loop devices) the kernel's account of the relay's processes stands in, which
//! knows nothing of journals; the report says which it was.
//!
//! A crash leaves a mount below the temporary folder: `umount` it, then remove the folder.

use super::measure::device_written;
use super::relay::Subject;
use super::round::{End, Round};
use super::run::{Bound, Campaign, Outcome, Reading};
use super::stage::{Set, Turn};
use anyhow::{Context as _, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Octets of the file system.
const ROOM: u64 = 6 << 30;
/// Octets that are sent through our relay, about; others get a fifth of it.
const SENT: u64 = 800 << 20;

/// A file system of the bench's own.
pub struct OwnDisk {
    mount: PathBuf,
    /// Its block device's name, such as `loop3`.
    pub device: String,
}

impl OwnDisk {
    /// Make and mount one below a folder.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("only root may mount");
        }
        let (image, mount) = (folder.join("disk"), folder.join("mounted"));
        std::fs::create_dir_all(&mount)?;
        File::create(&image)?.set_len(ROOM)?;
        run("mkfs.ext4", &["-q", "-F", &image.display().to_string()])?;
        run("mount", &["-o", "loop", &image.display().to_string(), &mount.display().to_string()])?;
        let mut disk = Self { mount, device: String::new() };
        disk.device = disk.find().context("no loop device appeared")?;
        Ok(disk)
    }

    fn find(&self) -> Option<String> {
        let mount = self.mount.canonicalize().ok()?;
        let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
        let line =
            mounts.lines().find(|line| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == mount))?;
        Some(line.split(' ').next()?.strip_prefix("/dev/")?.to_owned())
    }

    /// Write out what waits, and tell how much has been written so far.
    ///
    /// # Errors
    /// The device is gone.
    pub fn written(&self) -> anyhow::Result<u64> {
        rustix::fs::syncfs(File::open(&self.mount)?)?;
        device_written(&self.device).context("the loop device is gone")
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        if run("umount", &[&self.mount.display().to_string()]).is_err() {
            // Somebody is still in there; it goes when they go.
            let _ = run("umount", &["-l", &self.mount.display().to_string()]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let path = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(program));
    let program =
        path.into_iter().find(|p| p.exists()).with_context(|| format!("{program} is not installed"))?;
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

impl Campaign<'_> {
    /// See the module.
    pub(super) fn write_amplification(&mut self, outcome: &mut Outcome, most: u32) -> anyhow::Result<()> {
        let workload = outcome.workload.clone();
        let folder = self.options.folder.join(workload.name);
        std::fs::create_dir_all(&folder)?;
        let disk = match OwnDisk::make(&folder) {
            Ok(disk) => {
                outcome.notes.push(format!("measured at {}, ext4 with its journal", disk.device));
                Some(disk)
            }
            Err(why) => {
                outcome.notes.push(format!(
                    "no loop device ({why:#}): measured by /proc/PID/io of the relay, without the file system's journal"
                ));
                None
            }
        };
        let place_of_work = disk.as_ref().map(|disk| disk.mount.clone());
        let mut stage = self.build(&workload, &Set { folder: place_of_work, ..Set::default() })?;
        let size: super::mail::Size = workload.work.sizes.parse().map_err(anyhow::Error::msg)?;
        for place in 0..stage.relays.len() {
            let subject = stage.relays[place].subject.clone();
            let ours = subject == Subject::Belino;
            let octets = if ours { SENT } else { SENT / 5 };
            let octets = if self.options.quick { octets / 100 } else { octets };
            let count = (octets / size.0 as u64).max(10) as u32;
            self.watch.step(&format!("{}, {count} MMs", subject.name()));
            let before = disk.as_ref().map(OwnDisk::written).transpose()?;
            let run = self.fresh();
            let turn = Turn::new(place, &workload.work, End::Count(count), run);
            let (mut round, _) = self.turn(&mut stage, &turn, &[])?;
            round.number = 1;
            // Its whole life: what a relay tidies up at its end is a part of it.
            stage.relays[place].stop();
            let sent = f64::from(count) * size.0 as f64;
            if let (Some(disk), Some(before)) = (&disk, before) {
                round.written_per_octet = (disk.written()? - before) as f64 / sent;
            }
            let goal = ours.then(|| Bound::Most(f64::from(most) / 100.0));
            outcome.readings.push(reading(&subject, &round, goal));
            outcome.rounds.push(round);
        }
        // Relays and sink first, then what they stand on.
        drop(stage);
        drop(disk);
        Ok(())
    }
}

fn reading(subject: &Subject, round: &Round, goal: Option<Bound>) -> Reading {
    Reading {
        subject: subject.name(),
        what: "octets written for each octet of an MM".into(),
        value: round.written_per_octet,
        unit: "",
        goal,
    }
}
