//! The workloads: what traffic, between whom, and what is hoped for.
//!
//! Owns: the one table of them. Never knows: how they are run, or what came of them.

use super::relay::Transit;

/// Traffic.
#[derive(Clone, Debug)]
pub struct Work {
    /// Sizes with their weights, as `belino bench source --size` takes them.
    pub sizes: &'static str,
    /// Connections at once.
    pub connections: usize,
    /// Mails over one connection; 0: all.
    pub per_connection: u32,
    /// Recipients of each mail.
    pub recipients: usize,
    /// Sinks over which these are spread.
    pub sinks: usize,
    /// Responses are asked for.
    pub ack: bool,
    /// Delivery reports are asked for.
    pub reports: bool,
    /// Mails a second; none: closed loop.
    pub rate: Option<u32>,
}

/// What happens around the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// It passes through.
    Pass,
    /// The next hop is down: it is taken and kept.
    Accept,
    /// The delivery reports for MMs that have passed come back.
    Reports,
    /// So many small MMs wait for a dead peer while traffic for another passes; then the relay is killed and begins again.
    Depth(u32),
    /// The sink is slower than the source, and the queue grows.
    Memory {
        /// Peak that is hoped for, in millions of octets.
        most: u32,
    },
    /// Nothing happens, with so many connections open.
    Idle(u32),
    /// How much is written to a disk of the relay's own for what passes.
    WriteAmp {
        /// Octets for one octet accepted that are hoped for, in hundredths.
        most: u32,
    },
    /// Each flush takes 3 ms longer, with a hundred connections.
    SlowFlush,
    /// One peer among ten is dead, one is slow.
    Fairness,
    /// Another peer holds many connections.
    Crowd {
        /// So many that say nothing.
        idle: u32,
        /// So many that bring content, an octet a second.
        dripping: u32,
    },
}

/// Which figure a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The workload's rate.
    Rate,
    /// Seconds of CPU for a thousand mails.
    Cpu,
    /// Median from first octet to delivery.
    LatencyMedian,
    /// 99th percentile from first octet to delivery.
    LatencyHigh,
}

/// Compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The same figure of Postfix, in the same rounds.
    Postfix,
    /// The same figure of the relay that `--vs-command` names.
    Command,
    /// The same figure of ours in another workload.
    Workload(&'static str),
    /// The median latency of Postfix.
    PostfixMedian,
}

/// Something hoped for.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Which figure.
    pub figure: Figure,
    /// Compared with what.
    pub against: Against,
    /// The ratio is to be at least this, or at most.
    pub at_least: bool,
    /// The bound.
    pub bound: f64,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// The traffic.
    pub work: Work,
    /// Around it.
    pub scene: Scene,
    /// How MMs pass.
    pub transit: Transit,
    /// Other relays can do it too.
    pub others: bool,
    /// Part of a run that names none.
    pub by_default: bool,
    /// What is hoped for.
    pub goals: Vec<Goal>,
}

impl Workload {
    /// About how long it takes, in seconds: with so many rounds, in each of which mails are sent for `span` seconds, of our
    /// relay and so many others.
    pub fn seconds(&self, rounds: usize, span: f64, others: usize) -> f64 {
        let others = if self.others { others as f64 } else { 0.0 };
        let (rounds, both) = (rounds as f64, 1.0 + others);
        match self.scene {
            // What others cannot deliver while it comes they deliver afterwards.
            Scene::Pass | Scene::Reports => {
                4.0 * both + rounds * (1.0 + 1.15 * span + (0.5 + 1.7 * span) * others)
            }
            Scene::Accept => 8.0 * both + rounds * (1.0 + span * both),
            Scene::SlowFlush => 3.0 + 2.0 * rounds * span,
            Scene::Fairness => 30.0 + 2.0 * rounds * span,
            Scene::WriteAmp { .. } => 15.0 + 20.0 * others,
            Scene::Memory { .. } => 30.0 * both,
            Scene::Idle(_) => 12.0,
            Scene::Crowd { .. } => 8.0 + rounds * (8.0 + 2.3 * span),
            Scene::Depth(backlog) => 10.0 + 2.0 * rounds * span + f64::from(backlog) / 3000.0,
        }
    }
}

const fn rate(against: Against, bound: f64) -> Goal {
    Goal { figure: Figure::Rate, against, at_least: true, bound }
}

const fn cpu(bound: f64) -> Goal {
    Goal { figure: Figure::Cpu, against: Against::Postfix, at_least: false, bound }
}

/// Twenty connections, one recipient, nothing asked.
const PLAIN: Work = Work {
    sizes: "30k",
    connections: 20,
    per_connection: 0,
    recipients: 1,
    sinks: 1,
    ack: false,
    reports: false,
    rate: None,
};

fn pass(name: &'static str, title: &'static str, work: Work, by_default: bool, goals: &[Goal]) -> Workload {
    Workload {
        name,
        title,
        work,
        scene: Scene::Pass,
        transit: Transit::Transparent,
        others: true,
        by_default,
        goals: goals.to_vec(),
    }
}

const fn wide(work: Work) -> Work {
    Work { connections: 100, ..work }
}

/// One that only our relay runs unless others can, and not by default.
fn of_ours(scene: Scene, name: &'static str, title: &'static str, work: Work) -> Workload {
    Workload { scene, others: false, ..pass(name, title, work, false, &[]) }
}

fn depth(backlog: u32, name: &'static str, title: &'static str) -> Workload {
    of_ours(Scene::Depth(backlog), name, title, Work { sinks: 2, ..PLAIN })
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<Workload> {
    use Against::{Command, Postfix, PostfixMedian, Workload as Other};
    let sized = |sizes| Work { sizes, ..PLAIN };
    vec![
        pass("relay-1k", "1 KB, 20 connections, pure forward", sized("1k"), true, &[]),
        pass(
            "relay-30k",
            "30 KB, 20 connections, pure forward",
            PLAIN,
            true,
            &[rate(Postfix, 5.0), rate(Command, 0.7), cpu(1.0 / 6.0)],
        ),
        pass(
            "relay-100k",
            "100 KB, 20 connections, pure forward",
            sized("100k"),
            true,
            &[rate(Postfix, 5.0), rate(Command, 0.7)],
        ),
        pass(
            "relay-300k",
            "300 KB, 20 connections, pure forward",
            sized("300k"),
            true,
            &[rate(Postfix, 4.5), cpu(1.0 / 6.0)],
        ),
        pass("relay-1m", "1 MB, 20 connections, pure forward", sized("1m"), true, &[rate(Postfix, 4.0)]),
        pass("relay-5m", "5 MB, 20 connections, pure forward", sized("5m"), false, &[]),
        Workload {
            scene: Scene::Reports,
            transit: Transit::BackToBack,
            ..pass(
                "relay-ack",
                "1 KB delivery reports on their way back, 20 connections",
                Work { reports: true, ..sized("1k") },
                true,
                &[rate(Postfix, 5.0)],
            )
        },
        pass(
            "relay-serial",
            "30 KB, 1 connection",
            Work { connections: 1, ..PLAIN },
            true,
            &[rate(Postfix, 3.0)],
        ),
        pass(
            "relay-wide",
            "30 KB, 100 connections",
            Work { connections: 100, ..PLAIN },
            true,
            &[rate(Postfix, 5.0), rate(Other("relay-30k"), 0.75)],
        ),
        pass("relay-1000c", "30 KB, 1,000 connections", Work { connections: 1000, ..PLAIN }, false, &[]),
        pass(
            "relay-rcpt50",
            "30 KB, 50 recipients at one next hop",
            Work { recipients: 50, ..PLAIN },
            true,
            &[rate(Postfix, 2.0)],
        ),
        pass(
            "relay-rcpt50x5",
            "30 KB, 50 recipients over 5 next hops",
            Work { recipients: 50, sinks: 5, ..PLAIN },
            false,
            &[],
        ),
        pass(
            "relay-burst",
            "30 KB, a connection for each MM",
            Work { per_connection: 1, ..PLAIN },
            true,
            &[rate(Postfix, 3.0)],
        ),
        Workload {
            transit: Transit::BackToBack,
            others: false,
            ..pass(
                "mm4-roundtrip",
                "30 KB, response asked on both hops: request in, request out, response in, response out",
                Work { ack: true, ..PLAIN },
                true,
                &[rate(Other("relay-30k"), 0.45)],
            )
        },
        Workload {
            scene: Scene::Accept,
            ..pass("accept-30k", "30 KB, next hop down: taken and kept", PLAIN, true, &[rate(Postfix, 3.5)])
        },
        Workload {
            scene: Scene::Accept,
            ..pass(
                "accept-300k",
                "300 KB, next hop down: taken and kept",
                sized("300k"),
                true,
                &[rate(Postfix, 3.5)],
            )
        },
        Workload {
            transit: Transit::BackToBack,
            others: false,
            ..pass(
                "mixed",
                "70 % of 30-100 KB, 25 % of 300-600 KB, 5 % of 1-5 MB, with responses and reports",
                Work {
                    sizes: "30k:18,50k:18,75k:17,100k:17,300k:9,450k:8,600k:8,1m:3,3m:1,5m:1",
                    ack: true,
                    reports: true,
                    ..PLAIN
                },
                false,
                &[],
            )
        },
        pass(
            "latency",
            "30 KB, one every 10 ms",
            Work { rate: Some(100), ..PLAIN },
            true,
            &[
                Goal { figure: Figure::LatencyMedian, against: Postfix, at_least: false, bound: 0.5 },
                Goal { figure: Figure::LatencyHigh, against: PostfixMedian, at_least: false, bound: 2.0 },
            ],
        ),
        of_ours(
            Scene::SlowFlush,
            "slow-flush",
            "30 KB, 100 connections, each flush 3 ms slower",
            wide(PLAIN),
        ),
        of_ours(
            Scene::Fairness,
            "fairness",
            "30 KB at a given rate for ten peers, one dead and one slow",
            Work { sinks: 10, ..PLAIN },
        ),
        Workload {
            others: true,
            ..of_ours(Scene::WriteAmp { most: 125 }, "write-amp-30k", "octets at the device, 30 KB", PLAIN)
        },
        Workload {
            others: true,
            ..of_ours(
                Scene::WriteAmp { most: 105 },
                "write-amp-300k",
                "octets at the device, 300 KB",
                sized("300k"),
            )
        },
        Workload {
            others: true,
            ..of_ours(
                Scene::Memory { most: 96 },
                "rss-20",
                "memory, 300 KB, 20 connections, sink slower than source",
                sized("300k"),
            )
        },
        Workload {
            others: true,
            ..of_ours(
                Scene::Memory { most: 160 },
                "rss-100",
                "memory, 300 KB, 100 connections, sink slower than source",
                wide(sized("300k")),
            )
        },
        of_ours(
            Scene::Idle(10_000),
            "idle",
            "memory while nothing happens, alone and with 10,000 connections",
            PLAIN,
        ),
        of_ours(
            Scene::Crowd { idle: 10_000, dripping: 1_000 },
            "crowd",
            "30 KB beside 10,000 silent connections of another peer and 1,000 that drip an octet a second",
            PLAIN,
        ),
        depth(10_000, "depth-10k", "30 KB while 10,000 MMs wait for a dead peer; kill -9 and start"),
        depth(100_000, "depth-100k", "30 KB while 100,000 MMs wait for a dead peer; kill -9 and start"),
        depth(1_000_000, "depth-1m", "30 KB while 1,000,000 MMs wait for a dead peer; kill -9 and start"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_have_names_of_their_own_and_compare_with_those_that_run_before() {
        let mut seen: Vec<&str> = Vec::new();
        for workload in all() {
            assert!(!seen.contains(&workload.name), "{} twice", workload.name);
            for goal in &workload.goals {
                if let Against::Workload(other) = goal.against {
                    assert!(seen.contains(&other), "{} compares with {other}", workload.name);
                }
            }
            seen.push(workload.name);
        }
    }
}
