//! The world of one seed: a virtual clock, the order of events, and what the weather does to them.
//!
//! Owns: time, events, faults, users. Never knows: how a relay works inside (that is `process.rs`), what must hold (that
//! is `check.rs`).

use crate::check::{Checks, SHORT, View};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::dock::body_of;
use crate::hostile::Hostile;
use crate::net::{ConnId, Delivery, Net, Side};
use crate::planted::Planted;
use crate::relays::{Agreed, BY_HUB, NAMES, Relay, USERS, Waiting, X, host, house, node_at, prefix};
use crate::story::Story;
use crate::weather::{Fault, Faults, Weather};
use mms::{Expiry, ForwardReq, HeaderText, MmId, Party, Timestamp, Visibility};
use relay::store::Store;
use relay::{Errand, Event, Handling, House, Input, Lookup, Submission};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use wire::smtp::Limits;

/// The clock's beginning, in seconds.
const BEGINNING: i64 = 1_741_083_330;
/// After the weather has cleared, everything is over within so many milliseconds: the longest pause between attempts,
/// three times the wait for a response, and the same at the hub.
pub const CALM: u64 = 6 * 3_600_000;
/// Octets that may wait on a connection.
const BUFFER_MAX: usize = 128 << 10;
/// Connections that may exist at once.
const CONNS_MAX: usize = 500;
/// Steps of a run, beyond which something spins.
const STEPS_MAX: u64 = 3_000_000;

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Something arrives on a connection.
    Deliver(Delivery),
    /// A connection was made: the server hears of it.
    Accept(ConnId),
    /// A connection could not be made.
    Refused { relay: usize, epoch: u64, errand: Box<Errand> },
    /// One side of a connection may have waited for too long.
    Deadline(ConnId, Side),
    /// A disk is done with what was written.
    Flush { relay: usize, epoch: u64 },
    /// A look-up is over.
    LookedUp { relay: usize, epoch: u64, lookup: Box<Lookup> },
    /// A heart wants to be woken.
    Tick { relay: usize, epoch: u64 },
    /// A process starts.
    Start(usize),
    /// A user hands in an MM.
    Submit,
    /// A user looks into a mailbox.
    Handle,
    /// The hostile peer does something.
    Mischief,
    /// A relay is dead, slow or full for a while.
    Spell,
    /// It is not any more.
    SpellOver(usize),
    /// The weather clears.
    Clears,
}

struct Scheduled {
    at: u64,
    number: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// By this two runs are compared.
    pub hash: u64,
    /// Steps of its story.
    pub steps: u64,
    /// Faults that happened.
    pub faults: Faults,
    /// MMs that users handed in and relays took.
    pub submissions: u64,
    /// Recipients that have an MM.
    pub deliveries: u64,
    /// What did not hold.
    pub broken: Vec<String>,
}

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// From this everything follows.
    pub seed: u64,
    /// A bug that is planted.
    pub planted: Option<Planted>,
    /// Print the story.
    pub aloud: bool,
}

/// See the module.
pub struct World {
    pub(crate) now: u64,
    pub(crate) options: Options,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) faults: Faults,
    pub(crate) story: Story,
    pub(crate) checks: Checks,
    pub(crate) relays: Vec<Relay>,
    pub(crate) hostile: Hostile,
    pub(crate) net: Net,
    events: BinaryHeap<Reverse<Scheduled>>,
    last: u64,
    submissions: u64,
}

impl World {
    /// Run a seed to its end.
    pub fn run(options: Options) -> Outcome {
        let mut world = Self::new(options);
        // Nothing may panic, whatever comes; what did is a finding like any other, and must not hide its seed.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.unfold())) {
            let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            world.checks.broken.push(format!("panicked: {}", words.unwrap_or_default()));
        }
        if world.story.steps() > STEPS_MAX {
            world.checks.measures("the world", "steps", world.story.steps() as usize, STEPS_MAX as usize);
        }
        let mut deliveries = 0;
        if world.checks.broken.is_empty() {
            let mut views: Vec<View<'_>> = Vec::new();
            for r in &world.relays {
                views.push(View { name: r.name, disk: &r.disk, house: &r.house });
            }
            deliveries = world.checks.at_end(&views);
        }
        let submissions = world.checks.submissions() as u64;
        Outcome {
            seed: options.seed,
            hash: world.story.hash(),
            steps: world.story.steps(),
            faults: world.faults,
            submissions,
            deliveries,
            broken: world.checks.broken,
        }
    }

    /// One event after the other, until the end or the first that goes wrong.
    fn unfold(&mut self) {
        let end = self.weather.clears + CALM;
        while let Some(Reverse(next)) = self.events.pop() {
            if next.at > end || self.story.steps() > STEPS_MAX || !self.checks.broken.is_empty() {
                break;
            }
            self.now = next.at;
            self.happens(next.what);
        }
    }

    fn new(options: Options) -> Self {
        let mut dice = Dice::new(options.seed);
        let weather = Weather::of(&mut dice);
        let relay = |(node, name): (usize, &&'static str), dice: &mut Dice| Relay {
            name,
            house: Arc::new(house(node, Agreed::of(options.seed), dice)),
            disk: Disk::new(),
            epoch: 0,
            dice: dice.fork(),
            dead_until: 0,
            skew: 0,
            limits: Limits {
                recipients_max: if dice.below(3) == 0 { dice.between(1, 2) as usize } else { 1000 },
                ..Limits::default()
            },
            slow: 1,
            named: std::collections::BTreeMap::new(),
            process: None,
        };
        let relays = NAMES[..X].iter().enumerate().map(|(i, name)| relay((i, name), &mut dice)).collect();
        let mut world = Self {
            now: 0,
            options,
            dice,
            weather,
            faults: Faults::default(),
            story: Story::new(options.aloud),
            checks: Checks::default(),
            relays,
            hostile: Hostile::new(),
            net: Net::default(),
            events: BinaryHeap::new(),
            last: 0,
            submissions: 0,
        };
        for relay in 0..X {
            world.schedule(0, Happening::Start(relay));
        }
        let clears = world.weather.clears;
        world.schedule(clears, Happening::Clears);
        let mut some = |least, most, until: u64, make: fn() -> Happening| {
            for _ in 0..world.dice.between(least, most) {
                let at = world.dice.below(until);
                world.schedule(at, make());
            }
        };
        some(4, 14, clears, || Happening::Submit);
        // Some come together.
        some(0, 4, 60_000, || Happening::Submit);
        some(5, 40, clears + CALM / 3, || Happening::Handle);
        some(0, 16, clears, || Happening::Mischief);
        some(0, 3, clears + CALM / 3, || Happening::Mischief);
        let spells = world.weather.spells;
        for _ in 0..spells {
            let at = world.dice.below(clears);
            world.schedule(at, Happening::Spell);
        }
        world
    }

    pub(crate) fn schedule(&mut self, at: u64, what: Happening) {
        self.last += 1;
        let at = at.max(self.now);
        self.events.push(Reverse(Scheduled { at, number: self.last, what }));
    }

    /// What a relay's clock shows.
    pub(crate) fn time(&self, relay: usize) -> Timestamp {
        Timestamp::from_millis(BEGINNING * 1000 + self.now as i64 + self.relays[relay].skew)
    }

    fn happens(&mut self, what: Happening) {
        let concerned = match what {
            Happening::Deliver(delivery) => self.deliver(delivery),
            Happening::Accept(conn) => self.accept(conn),
            Happening::Refused { relay, epoch, errand } => {
                if self.relays[relay].epoch == epoch {
                    self.refused(relay, errand);
                }
                Some(relay)
            }
            Happening::Deadline(conn, side) => self.deadline(conn, side),
            Happening::Flush { relay, epoch } => {
                if self.relays[relay].epoch == epoch {
                    self.flush(relay);
                }
                Some(relay)
            }
            Happening::LookedUp { relay, epoch, lookup } => {
                if self.relays[relay].epoch == epoch {
                    self.looked_up(relay, *lookup);
                }
                Some(relay)
            }
            Happening::Tick { relay, epoch } => {
                if self.relays[relay].epoch == epoch {
                    self.tick(relay);
                }
                None
            }
            Happening::Start(relay) => {
                self.start(relay);
                Some(relay)
            }
            Happening::Submit => self.submit(),
            Happening::Handle => self.handle(),
            Happening::Mischief => self.mischief(),
            Happening::Spell => self.spell(),
            Happening::SpellOver(relay) => {
                self.spell_over(relay);
                None
            }
            Happening::Clears => {
                self.story.tell(self.now, "world", "clears", &[], String::new);
                self.weather.clear();
                self.hostile.tamed = true;
                for relay in 0..X {
                    self.spell_over(relay);
                    self.relays[relay].skew = 0;
                    self.tick(relay);
                }
                None
            }
        };
        if let Some(relay) = concerned.filter(|r| *r < X && self.relays[*r].process.is_some()) {
            // Most is at stake while something waits for a flush.
            let odds = if self.relays[relay].disk.is_waiting() { 8 } else { 1 };
            if self.dice.chance(odds * self.weather.crash) {
                self.crash(relay);
            }
        }
    }

    // ---- the network ----

    pub(crate) fn send(&mut self, conn: ConnId, from: Side, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let ends = [self.net.node(conn, from), self.net.node(conn, from.other())];
        let who = ends[0].map_or("-", |n| NAMES[n]);
        self.story.tell(self.now, who, "sends", octets, || {
            let to = ends[1].map_or("-", |n| NAMES[n]);
            let text = String::from_utf8_lossy(&octets[..octets.len().min(1200)]);
            format!("to {to} on {conn}: {} octets {:?}", octets.len(), text)
        });
        let slow = ends.iter().flatten().filter(|n| **n < X).map(|n| self.relays[*n].slow).max().unwrap_or(1);
        let (net, weather) = (&mut self.net, &self.weather);
        let deliveries =
            net.send(self.now, conn, from, octets, slow, weather, &mut self.dice, &mut self.faults);
        for delivery in deliveries {
            self.schedule(delivery.at, Happening::Deliver(delivery));
        }
    }

    pub(crate) fn close(&mut self, conn: ConnId, from: Side) {
        if let Some(delivery) = self.net.close(self.now, conn, from) {
            self.schedule(delivery.at, Happening::Deliver(delivery));
        }
    }

    fn deliver(&mut self, delivery: Delivery) -> Option<usize> {
        let Delivery { conn, side, octets, .. } = delivery;
        let node = self.net.node(conn, side)?;
        self.story.tell(self.now, NAMES[node], "hears", &octets, || {
            if octets.is_empty() {
                format!("the end of {conn}")
            } else {
                format!("{} octets on {conn}", octets.len())
            }
        });
        if node == X {
            self.hostile_hears(conn, side, &octets);
        } else if octets.is_empty() {
            self.lost(node, conn, side);
        } else {
            self.receives(node, conn, side, &octets);
        }
        Some(node)
    }

    fn hostile_hears(&mut self, conn: ConnId, side: Side, octets: &[u8]) {
        if octets.is_empty() {
            self.hostile.docks.remove(&conn);
            self.hostile.lines.remove(&conn);
            self.close(conn, side);
            return;
        }
        if side == Side::Server {
            let (output, over) = self.hostile.receives(conn, octets, &mut self.dice);
            self.send(conn, side, &output);
            if over {
                self.close(conn, side);
            }
        } else if let Some(script) = self.hostile.lines.remove(&conn) {
            self.send(conn, side, &script);
        }
    }

    /// A relay connects to the host of a peer, to carry an errand.
    pub(crate) fn connect(&mut self, relay: usize, errand: Box<Errand>) {
        let name = self.relays[relay].name;
        let configured = self.relays[relay].house.peer(&errand.peer).map(|p| host(p.name.as_str()));
        let mut to = configured.clone().unwrap_or_default();
        if self.options.planted == Some(Planted::ResponseToNamedHost)
            && errand.message.message_type().is_response()
            && let Some(named) = self.named_host(relay, &errand)
        {
            to = named;
        }
        self.checks.connects(name, errand.peer.as_str(), &to, configured.as_deref());
        let epoch = self.relays[relay].epoch;
        let server = node_at(&to).filter(|n| *n == X || self.relays[*n].process.is_some());
        let dead = |n: usize| n < X && self.relays[n].dead_until > self.now;
        let weather = self.dice.chance(self.weather.refuse);
        let server = server.filter(|n| !weather && !dead(*n) && !dead(relay));
        let Some(server) = server else {
            self.faults.count(Fault::Refused);
            let at = self.now + self.dice.between(1, 10_000);
            self.schedule(at, Happening::Refused { relay, epoch, errand });
            return;
        };
        let conn = self.net.connect(relay, server, &self.weather, &mut self.dice);
        self.checks.measures("the world", "connections", self.net.len(), CONNS_MAX);
        self.connected(relay, conn, errand);
        let at = self.now + 1 + self.dice.below(self.weather.delay);
        self.schedule(at, Happening::Accept(conn));
    }

    fn accept(&mut self, conn: ConnId) -> Option<usize> {
        let node = self.net.node(conn, Side::Server)?;
        let client = self.net.node(conn, Side::Client).map(|n| NAMES[n]);
        if node == X {
            self.hostile.docks.insert(conn, crate::hostile::Sink::default());
            let (greeting, _) = self.hostile.receives(conn, &[], &mut self.dice);
            self.send(conn, Side::Server, &greeting);
            return Some(node);
        }
        match client.filter(|_| self.relays[node].process.is_some()) {
            Some(client) => self.opens(node, conn, client),
            None => self.close(conn, Side::Server),
        }
        Some(node)
    }

    pub(crate) fn measure_buffer(&mut self, relay: usize, octets: usize) {
        self.checks.measures(self.relays[relay].name, "octets waiting on a connection", octets, BUFFER_MAX);
    }

    // ---- users and the hostile peer ----

    fn submit(&mut self) -> Option<usize> {
        let relay = self.dice.below(X as u64) as usize;
        let user = |node: usize, dice: &mut Dice| format!("+{}{}", prefix(node), dice.below(USERS));
        let from = user(relay, &mut self.dice);
        let mut to: Vec<Party> = Vec::new();
        let usual = self.dice.below(X as u64 + 1) as usize;
        for _ in 0..self.dice.between(1, 4) {
            let number = match self.dice.below(16) {
                0 => format!("+{BY_HUB}"),
                1 => "+447700900123".to_owned(),
                // Nobody has this number.
                2..5 => format!("+{}{USERS}", prefix(usual)),
                5..8 => user(self.dice.below(X as u64 + 1) as usize, &mut self.dice),
                _ => user(usual, &mut self.dice),
            };
            to.extend(number.parse::<Party>());
        }
        self.submissions += 1;
        let size = self.dice.between(0, 1500) as usize;
        let mut text = format!("MM {} from {}\r\n", self.submissions, NAMES[relay]);
        text.push_str(&"..dots stay doubled\r\n".repeat(size / 20));
        self.relays[relay].process.as_ref()?;
        let mut writer = self.relays[relay].disk.content_writer(None).ok()?;
        writer.write(text.as_bytes()).ok()?;
        let content = writer.finish().ok()?;
        let request = ForwardReq {
            content_type: HeaderText::new("text/plain").ok(),
            subject: Some(HeaderText::cleaned(&format!("MM {}", self.submissions))),
            delivery_report: Some(self.dice.below(3) > 0),
            read_reply: Some(self.dice.below(3) == 0),
            sender_visibility: (self.dice.below(6) == 0).then_some(Visibility::Hide),
            expiry: (self.dice.below(6) == 0)
                .then(|| Expiry::After(Duration::from_secs(self.dice.between(1, SHORT)))),
            ..ForwardReq::default()
        };
        let process = self.relays[relay].process.as_mut()?;
        process.tickets += 1;
        let ticket = process.tickets;
        process.waiting.insert(ticket, Waiting::User);
        let submission = Submission {
            by: "user".into(),
            hook: None,
            once: None,
            from: from.parse().ok()?,
            to,
            cc: Vec::new(),
            bcc: Vec::new(),
            request,
            body: Some(body_of(text.as_bytes(), 0)),
            content: Some(content),
        };
        let mm = self.fresh_id(relay);
        self.story.tell(self.now, NAMES[relay], "submit", text.as_bytes(), || format!("{mm} from {from}"));
        self.tell_heart(relay, mm, Event::Submitted(Box::new(submission)), Some(ticket));
        Some(relay)
    }

    fn handle(&mut self) -> Option<usize> {
        let relay = self.dice.below(X as u64) as usize;
        let ids = self.relays[relay].disk.ledgers(None, true, 50).unwrap_or_default();
        let mm: MmId = *self.dice.pick(&ids)?;
        if self.dice.below(5) == 0 {
            self.story.tell(self.now, NAMES[relay], "retry", &[], || mm.to_string());
            self.tell_heart(relay, mm, Event::RetryNow { why: String::new(), in_flight: Vec::new() }, None);
            return Some(relay);
        }
        if self.dice.below(20) == 0 {
            self.story.tell(self.now, NAMES[relay], "drop", &[], || mm.to_string());
            self.tell_heart(relay, mm, Event::Drop { why: "not wanted".into() }, None);
            return Some(relay);
        }
        let ways = [Handling::Retrieve, Handling::Read, Handling::Reject, Handling::Defer, Handling::Delete];
        let how = *self.dice.pick(&ways)?;
        let event = Event::Handled { recipient: None, how, report_allowed: self.dice.below(4) > 0 };
        self.story.tell(self.now, NAMES[relay], "handle", &[], || format!("{mm} {how:?}"));
        self.tell_heart(relay, mm, event, None);
        Some(relay)
    }

    fn mischief(&mut self) -> Option<usize> {
        let target = self.dice.below(X as u64 - 1) as usize;
        if self.relays[target].process.is_none() || self.relays[target].dead_until > self.now {
            return None;
        }
        let script = self.hostile.mischief(target, &mut self.dice);
        self.faults.count(Fault::Hostile);
        self.story.tell(self.now, NAMES[X], "mischief", &script, || format!("to {}", NAMES[target]));
        let conn = self.net.connect(X, target, &self.weather, &mut self.dice);
        self.hostile.lines.insert(conn, script);
        self.schedule(self.now + 1, Happening::Accept(conn));
        None
    }

    fn spell(&mut self) -> Option<usize> {
        let relay = self.dice.below(X as u64) as usize;
        let length = self.dice.between(10_000, 3_000_000);
        match self.dice.below(6) {
            0 => {
                self.relays[relay].dead_until = self.now + length;
                self.net.sever(relay);
                self.faults.count(Fault::Dead);
            }
            1 => {
                self.relays[relay].slow = self.dice.between(2, 30);
                self.faults.count(Fault::Slow);
            }
            2 => {
                // Back by most of a day at most: what came then must not have been given up when it is set right.
                self.relays[relay].skew = match self.dice.below(4) {
                    0 | 1 => self.dice.below(3_600_000) as i64,
                    2 => -(self.dice.below(3_600_000) as i64),
                    _ => -(self.dice.below(16 * 3_600_000) as i64),
                };
                self.faults.count(Fault::Clock);
                self.tick(relay);
                // A running heart never goes back in time; one that starts believes the clock.
                if self.dice.below(2) == 0 && self.relays[relay].process.is_some() {
                    self.crash(relay);
                }
            }
            3 => {
                self.open_docks(relay, false);
                self.faults.count(Fault::Unavailable);
            }
            _ => {
                self.relays[relay].disk.fill(true);
                self.faults.count(Fault::Full);
            }
        }
        self.story.tell(self.now, NAMES[relay], "spell", &[], String::new);
        self.schedule(self.now + length, Happening::SpellOver(relay));
        None
    }

    fn spell_over(&mut self, relay: usize) {
        self.relays[relay].dead_until = 0;
        self.relays[relay].slow = 1;
        self.relays[relay].disk.fill(false);
        self.open_docks(relay, true);
    }

    /// The operator takes the mailboxes out of service, or back.
    fn open_docks(&mut self, relay: usize, available: bool) {
        let mut house = House::clone(&self.relays[relay].house);
        house.locals.iter_mut().for_each(|local| local.available = available);
        self.relays[relay].house = Arc::new(house);
        let house = Arc::clone(&self.relays[relay].house);
        self.put_in(relay, Input::Reload(house));
    }
}
