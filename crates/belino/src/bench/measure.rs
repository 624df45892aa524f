//! What processes and the machine cost, read from `/proc`.
//!
//! Owns: reading and adding up. Never knows: why somebody asks. Whatever cannot be read counts as nothing: figures are
//! lost then, never a run.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Seconds of CPU that this process has used, user and system.
pub fn own_cpu() -> f64 {
    Stat::read("self").map_or(0.0, |stat| stat.own as f64 / ticks())
}

/// Let this process and those that it starts have as many files open as the system lets it.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    // Whoever may raise the hard limit gets room for tens of thousands of connections.
    let most = Some(now.maximum.map_or(1 << 20, |most| most.max(1 << 17)));
    if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

/// How many files this process may have open; `None`: as many as it likes.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    /// Clock ticks of its own, user and system.
    own: u64,
    /// Clock ticks of its children that have ended and were waited for.
    children: u64,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold spaces and brackets.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
        Some(Self {
            parent: number(1)? as u32,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

/// A process and all that descend from it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The first.
    pub root: u32,
}

/// What a process tree has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Seconds of CPU, user and system, ended children included.
    pub cpu_s: f64,
    /// Octets that it had the kernel write to disks.
    pub written: u64,
}

/// Memory of a process tree now, in octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident, shared pages counted in each process.
    pub rss: u64,
    /// Proportional: shared pages divided among those who share them.
    pub pss: u64,
}

impl Tree {
    /// All of its processes that live.
    pub fn pids(&self) -> Vec<u32> {
        let parents: HashMap<u32, u32> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|pid| Some((pid, Stat::read(&pid.to_string())?.parent)))
            .collect();
        let descends = |mut pid: u32| {
            for _ in 0..64 {
                if pid == self.root {
                    return true;
                }
                match parents.get(&pid) {
                    Some(parent) => pid = *parent,
                    None => return false,
                }
            }
            false
        };
        parents.keys().copied().filter(|pid| descends(*pid)).collect()
    }

    /// What it has cost so far.
    pub fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        for pid in self.pids() {
            if let Some(stat) = Stat::read(&pid.to_string()) {
                cost.cpu_s += (stat.own + stat.children) as f64 / ticks();
            }
            // Children that were waited for are in here too.
            cost.written += number_in(&format!("/proc/{pid}/io"), "write_bytes:").unwrap_or(0);
        }
        cost
    }

    /// Files, sockets among them, that its first process has open now.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.root)).map_or(0, Iterator::count)
    }

    /// Its memory now.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for pid in self.pids() {
            let path = format!("/proc/{pid}/smaps_rollup");
            memory.rss += number_in(&path, "Rss:").unwrap_or(0) * 1024;
            memory.pss += number_in(&path, "Pss:").unwrap_or(0) * 1024;
        }
        memory
    }
}

/// The number after a word at the beginning of a line.
fn number_in(path: &str, word: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.trim().split(' ').next()?.parse().ok()
}

/// What all processors have done so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// At work for processes, or stolen by the host.
    pub busy_s: f64,
    /// Everything.
    pub whole_s: f64,
}

impl Machine {
    /// Now.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let numbers: Vec<f64> = line.split(' ').filter_map(|f| f.parse::<f64>().ok()).collect();
        let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0) / ticks();
        // user nice system idle iowait irq softirq steal
        let idle = at(3) + at(4);
        let whole: f64 = (0..8).map(at).sum();
        Self { busy_s: whole - idle, whole_s: whole }
    }
}

/// Seconds of CPU of this process and of its children that have ended.
pub fn family_cpu() -> f64 {
    Stat::read("self").map_or(0.0, |stat| (stat.own + stat.children) as f64 / ticks())
}

/// Octets written to a block device so far.
pub fn device_written(device: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/sys/block/{device}/stat")).ok()?;
    let sectors: u64 = text.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// The machine in words, for whoever reads the figures elsewhere.
#[derive(Clone, Debug)]
pub struct Class {
    /// Processors.
    pub cores: usize,
    /// Their model.
    pub processor: String,
    /// Octets of memory.
    pub memory: u64,
    /// File system of the folder.
    pub file_system: String,
    /// The kernel's release.
    pub kernel: String,
}

impl Class {
    /// Of this machine, with the file system that holds `folder`.
    pub fn here(folder: &Path) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            processors.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, m)| m));
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: model.unwrap_or("unknown processor").trim().to_owned(),
            memory: number_in("/proc/meminfo", "MemTotal:").unwrap_or(0) * 1024,
            file_system: file_system(folder),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// The file system that holds a folder: the mount with the longest path above it.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(at).then(|| (at.len(), kind.to_owned()))
    });
    fields.max_by_key(|(depth, _)| *depth).map_or("unknown".into(), |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let tree = Tree { root: std::process::id() };
        assert!(tree.pids().contains(&std::process::id()));
        assert!(tree.memory().pss > 1 << 20 && tree.memory().rss >= tree.memory().pss);
        assert!(own_cpu() >= 0.0 && tree.cost().cpu_s >= 0.0);
        let (before, after) = (Machine::now(), Machine::now());
        assert!(before.whole_s > 0.0 && after.whole_s >= before.whole_s && after.busy_s <= after.whole_s);
    }

    #[test]
    fn a_machine_has_a_class() {
        let class = Class::here(Path::new("/"));
        assert!(class.cores > 0 && class.memory > 1 << 20 && class.kernel.contains('.'), "{class:?}");
        assert_ne!(class.file_system, "unknown");
    }
}
