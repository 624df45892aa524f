//! `belino bench crowd`.

use crate::bench::crowd::{Crowd, Plan};
use crate::cli::Common;
use anyhow::bail;
use clap::Args;
use serde_json::json;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A crowd ends by itself after so long.
const LONGEST: Duration = Duration::from_secs(600);

/// Hold many connections to a relay until standard input ends, ten minutes at most. Prints how many are open, and in the
/// end what became of them, both as JSON.
#[derive(Args)]
pub struct Held {
    /// The relay
    #[arg(long, value_name = "HOST:PORT")]
    to: SocketAddr,
    /// Connections that say nothing
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    idle: usize,
    /// Connections that bring content, an octet a second
    #[arg(long, default_value_t = 1000, value_name = "N")]
    dripping: usize,
    /// Addresses of ours to connect from, turn by turn
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    from_address: Vec<IpAddr>,
}

impl Held {
    /// Run.
    pub fn run(self, _: &Common) -> anyhow::Result<ExitCode> {
        let Self { to, idle, dripping, from_address } = self;
        if idle.max(dripping) > 100_000 {
            bail!("--idle {idle}, --dripping {dripping}: expected at most 100000");
        }
        if let Some(odd) = from_address.iter().find(|a| a.is_ipv4() != to.is_ipv4()) {
            bail!("--from-address {odd}: {to} is of another family");
        }
        let (mut crowd, trouble) = Crowd::open(&Plan { to, from: from_address, idle, dripping });
        say!("{}", json!({ "open": crowd.size(), "trouble": trouble }));
        let (over, until) = channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(over);
        });
        crowd.drip(&until, LONGEST);
        say!("{}", crowd.count());
        Ok(ExitCode::SUCCESS)
    }
}
