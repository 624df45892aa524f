//! The network: streams that arrive in pieces, late, and end anywhere.
//!
//! Owns: connections, what of a stream arrives and when, where it is cut. Never knows: what the octets say.

use crate::dice::Dice;
use crate::weather::{Fault, Faults, Weather};
use std::collections::BTreeMap;

/// Names a connection.
pub type ConnId = u64;

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who connected.
    Client = 0,
    /// Who was connected to.
    Server = 1,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What one side sends.
#[derive(Debug, Default)]
struct Stream {
    /// The last octet so far arrives then.
    busy_until: u64,
    /// Octets until it is cut.
    left: Option<u64>,
}

#[derive(Debug)]
struct Conn {
    /// Places of the nodes, client first.
    ends: [usize; 2],
    streams: [Stream; 2],
    /// What either side sends goes nowhere any more.
    is_cut: bool,
    /// Sides that still look at it.
    is_open: [bool; 2],
}

/// Something that will happen at one side.
#[derive(Debug)]
pub struct Delivery {
    /// When, in milliseconds.
    pub at: u64,
    /// On which connection.
    pub conn: ConnId,
    /// To which side.
    pub side: Side,
    /// Octets; none = the end.
    pub octets: Vec<u8>,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Net {
    conns: BTreeMap<ConnId, Conn>,
    last: ConnId,
}

impl Net {
    /// A connection between two nodes.
    pub fn connect(&mut self, client: usize, server: usize, weather: &Weather, dice: &mut Dice) -> ConnId {
        self.last += 1;
        let mut stream = || {
            let left = dice.chance(weather.cut).then(|| dice.below(weather.cut_within));
            Stream { left, ..Stream::default() }
        };
        let streams = [stream(), stream()];
        let conn = Conn { ends: [client, server], streams, is_cut: false, is_open: [true; 2] };
        self.conns.insert(self.last, conn);
        self.last
    }

    /// The node at a side, while that side looks at it.
    pub fn node(&self, conn: ConnId, side: Side) -> Option<usize> {
        let conn = self.conns.get(&conn).filter(|c| c.is_open[side as usize])?;
        Some(conn.ends[side as usize])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// One side sends; what will happen at the other.
    #[allow(clippy::too_many_arguments, reason = "the whole world has a say in it")]
    pub fn send(
        &mut self,
        now: u64,
        conn: ConnId,
        from: Side,
        octets: &[u8],
        slow: u64,
        weather: &Weather,
        dice: &mut Dice,
        faults: &mut Faults,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let Some(link) = self.conns.get_mut(&conn).filter(|c| !c.is_cut) else { return deliveries };
        let stream = &mut link.streams[from as usize];
        let mut octets = octets;
        let mut cut = false;
        if let Some(left) = &mut stream.left {
            cut = octets.len() as u64 >= *left;
            octets = &octets[..octets.len().min(*left as usize)];
            *left -= octets.len() as u64;
        }
        let side = from.other();
        while !octets.is_empty() {
            let len = dice.between(1, weather.chunk).min(octets.len() as u64) as usize;
            let (piece, rest) = octets.split_at(len);
            stream.busy_until = stream.busy_until.max(now) + dice.between(0, weather.delay) / 4 * slow;
            deliveries.push(Delivery { at: stream.busy_until, conn, side, octets: piece.to_vec() });
            octets = rest;
        }
        if cut {
            faults.count(Fault::Cut);
            link.is_cut = true;
            let end = link.streams[from as usize].busy_until.max(now);
            let silent = dice.chance(weather.silence).then(|| dice.below(2));
            for (i, side) in [Side::Client, Side::Server].into_iter().enumerate() {
                if silent == Some(i as u64) {
                    faults.count(Fault::Silence);
                    continue;
                }
                let at = end + dice.between(0, weather.delay);
                deliveries.push(Delivery { at, conn, side, octets: Vec::new() });
            }
        }
        deliveries
    }

    /// One side closes: the other hears it after what was sent.
    pub fn close(&mut self, now: u64, conn: ConnId, from: Side) -> Option<Delivery> {
        let link = self.conns.get_mut(&conn)?;
        link.is_open[from as usize] = false;
        let at = link.streams[from as usize].busy_until.max(now) + 1;
        let heard = link.is_open[from.other() as usize] && !link.is_cut;
        if link.is_open == [false; 2] {
            self.conns.remove(&conn);
        }
        heard.then(|| Delivery { at, conn, side: from.other(), octets: Vec::new() })
    }

    /// A node is out of reach: its connections carry nothing any more, and nobody is told.
    pub fn sever(&mut self, node: usize) {
        self.conns.values_mut().filter(|c| c.ends.contains(&node)).for_each(|c| c.is_cut = true);
    }

    /// A process dies: its connections, with the side that it had.
    pub fn of_node(&self, node: usize) -> Vec<(ConnId, Side)> {
        let mut found = Vec::new();
        for (id, conn) in &self.conns {
            for side in [Side::Client, Side::Server] {
                if conn.ends[side as usize] == node && conn.is_open[side as usize] {
                    found.push((*id, side));
                }
            }
        }
        found
    }
}
