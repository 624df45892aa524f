//! Postfix as a durable pure relay, beside any other Postfix of this machine: own folder, own queue, own port.
//!
//! Owns: its configuration, start and stop. Never knows: what traffic it gets.
//!
//! Everything is as Debian has it, but for: where it listens and sends, no look-ups of names, and limits that many
//! connections and big mails need. Durability is its own: each mail is flushed before its `250`.

use super::mail::{RELAY_DOMAIN, sink_domain};
use super::relay::{CONNECTIONS_OUT, Plan};
use crate::clock;
use anyhow::{Context as _, bail};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that starts and stops it.
const PROGRAM: &str = "/usr/sbin/postfix";

/// Services of a relay, as in Debian's `master.cf`, without changed roots: the queue is in a folder of ours.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix that runs.
pub struct Postfix {
    /// Its first process.
    pub master: u32,
    etc: PathBuf,
}

/// Why Postfix cannot be measured here, if it cannot.
pub fn obstacle() -> Option<String> {
    if !Path::new(PROGRAM).exists() {
        return Some("Postfix is not installed; get it with: apt-get install postfix".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("Postfix starts only as root; run the bench as root, or without --vs postfix".into());
    }
    None
}

/// Its configuration.
pub fn configuration(plan: &Plan) -> String {
    let folder = plan.folder.display();
    let ways: Vec<String> = plan
        .sinks
        .iter()
        .enumerate()
        .map(|(k, s)| format!("{{{}=smtp:[{}]:{}}}", sink_domain(k), s.ip(), s.port()))
        .collect();
    let processes = (plan.connections + 20).max(100);
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
         mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = {RELAY_DOMAIN}\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_peername_lookup = no\n\
         alias_maps =\nlocal_recipient_maps =\ntransport_maps = inline:{{ {{{RELAY_DOMAIN}=smtp:[{}]:{}}} {} }}\n\
         message_size_limit = 67108864\nmailbox_size_limit = 0\ndefault_process_limit = {processes}\n\
         initial_destination_concurrency = {CONNECTIONS_OUT}\n\
         default_destination_concurrency_limit = {CONNECTIONS_OUT}\nsmtpd_client_connection_count_limit = 0\n",
        plan.source.ip(),
        plan.source.port(),
        ways.join(" ")
    )
}

impl Postfix {
    /// Start it, taking mail on a port of 127.0.0.1.
    ///
    /// # Errors
    /// In words, with what it said.
    pub fn start(plan: &Plan, port: u16) -> anyhow::Result<Self> {
        if let Some(why) = obstacle() {
            bail!("{why}");
        }
        // Its own user must be able to walk in.
        for folder in plan.folder.ancestors().take(2) {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        let etc = plan.folder.join("etc");
        for name in ["etc", "queue"] {
            std::fs::create_dir_all(plan.folder.join(name))?;
        }
        std::fs::write(etc.join("main.cf"), configuration(plan))?;
        std::fs::write(etc.join("master.cf"), format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}"))?;
        let mut postfix = Self { master: 0, etc };
        let output = postfix.say("start")?;
        let pid = std::fs::read_to_string(plan.folder.join("queue/pid/master.pid")).unwrap_or_default();
        match pid.trim().parse() {
            Ok(pid) if output.0 => postfix.master = pid,
            _ => bail!("postfix start: {}", output.1.trim()),
        }
        Ok(postfix)
    }

    fn say(&self, verb: &str) -> anyhow::Result<(bool, String)> {
        let output = Command::new(PROGRAM)
            .arg("-c")
            .arg(&self.etc)
            .arg(verb)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {PROGRAM} {verb}"))?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Stop it, and wait until its master has gone.
    pub fn stop(&mut self) {
        if self.master == 0 {
            return;
        }
        let _ = self.say("abort");
        let running = format!("/proc/{}", self.master);
        let until = clock::monotonic() + 10_000_000_000;
        while Path::new(&running).exists() && clock::monotonic() < until {
            clock::wait_until(clock::monotonic() + 10_000_000);
        }
        self.master = 0;
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_next_hop_has_its_way() {
        let plan = Plan {
            folder: "/nowhere".into(),
            source: ([127, 0, 1, 1], 4000).into(),
            sinks: (0..2).map(|k| crate::bench::relay::sink_address(k, 5000)).collect(),
            transit: crate::bench::relay::Transit::Transparent,
            asks: false,
            connections: 1000,
            flush_delay: None,
            crowd: false,
        };
        let text = configuration(&plan);
        for part in [
            "{mms.relay.example=smtp:[127.0.1.1]:4000}",
            "{mms.sink0.example=smtp:[127.0.2.1]:5000}",
            "{mms.sink1.example=smtp:[127.0.2.2]:5000}",
            "default_process_limit = 1020\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
