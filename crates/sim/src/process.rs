//! A relay's process in the world: between its heart, its disk and its connections.
//!
//! Owns: what the house does around the heart, stated again without threads and sockets: commits before effects, errands
//! over a few connections to each peer, deadlines, a stop after a failed flush. Never knows: decisions.
//!
//! A crash leaves the disk; all else in here is made anew.

use crate::check::{Promise, View};
use crate::dock::Dock;
use crate::line::{End, Line, Step, prepare};
use crate::net::{ConnId, Side};
use crate::planted::Planted;
use crate::relays::{NAMES, Process, Waiting, domain, host};
use crate::weather::Fault;
use crate::world::{Happening, World};
use mms::{Address, MmId, Party};
use relay::store::{Batch, Done, Need, Op, Outcome, Store, StoreError};
use relay::{
    Answer, Arrived, Carried, Errand, Event, Found, Input, Ledger, Lookup, Output, PeerName, Reason, Route,
    Shard,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

/// Connections to one peer at once.
const LINES_MAX: usize = 2;
/// Errands that may wait for a connection to one peer; the heart lets fewer be under way.
const ERRANDS_MAX: usize = 16;

impl World {
    // ---- life and death ----

    pub(crate) fn start(&mut self, relay: usize) {
        let now = self.time(relay);
        let node = &mut self.relays[relay];
        if node.process.is_some() {
            return;
        }
        let mut ids = node.dice.fork();
        let entropy = Box::new(move || ids.wide());
        let store: Arc<dyn Store> = Arc::new(node.disk.clone());
        match Shard::new(store, Arc::clone(&node.house), now, entropy) {
            Ok(shard) => {
                node.process = Some(Process {
                    shard,
                    inbox: VecDeque::new(),
                    settling: false,
                    cause: None,
                    results: Arc::default(),
                    docks: BTreeMap::new(),
                    lines: BTreeMap::new(),
                    connecting: BTreeMap::new(),
                    errands: BTreeMap::new(),
                    waiting: BTreeMap::new(),
                    tickets: 0,
                    flushing: false,
                    tick: None,
                });
            }
            Err(error) => self.checks.broken.push(format!("{} does not start: {error}", node.name)),
        }
        let node = &self.relays[relay];
        let view = View { name: node.name, disk: &node.disk, house: &node.house };
        self.checks.restarted(relay, &view);
        self.story.tell(self.now, NAMES[relay], "starts", &[], String::new);
        self.settle(relay);
    }

    /// The process dies; it starts again after a while.
    pub(crate) fn crash(&mut self, relay: usize) {
        self.faults.count(Fault::Crash);
        self.stop(relay);
    }

    fn stop(&mut self, relay: usize) {
        self.relays[relay].process = None;
        self.relays[relay].epoch += 1;
        for (conn, side) in self.net.of_node(relay) {
            self.close(conn, side);
        }
        let crashed = self.relays[relay].disk.crash(&mut self.dice, self.options.planted);
        (0..crashed.kept).for_each(|_| self.faults.count(Fault::Kept));
        (0..crashed.dropped).for_each(|_| self.faults.count(Fault::Dropped));
        self.story.tell(self.now, NAMES[relay], "dies", &[], || format!("{crashed:?}"));
        let at = self.now + self.dice.between(100, 120_000);
        self.schedule(at, Happening::Start(relay));
    }

    // ---- the heart ----

    pub(crate) fn fresh_id(&mut self, relay: usize) -> MmId {
        MmId::new(self.time(relay).millis(), 0, self.relays[relay].dice.roll())
    }

    pub(crate) fn tell_heart(&mut self, relay: usize, mm: MmId, event: Event, ticket: Option<u64>) {
        self.put_in(relay, Input::Event { mm, event, ticket });
    }

    pub(crate) fn put_in(&mut self, relay: usize, input: Input) {
        let Some(process) = &mut self.relays[relay].process else { return };
        process.inbox.push_back(input);
        self.settle(relay);
    }

    pub(crate) fn tick(&mut self, relay: usize) {
        if let Some(process) = &mut self.relays[relay].process {
            process.tick = None;
        }
        self.settle(relay);
    }

    pub(crate) fn flush(&mut self, relay: usize) {
        if let Some(process) = &mut self.relays[relay].process {
            process.flushing = false;
        }
        let fails = self.dice.chance(self.weather.flush);
        self.story.tell(self.now, NAMES[relay], "flush", &[u8::from(fails)], String::new);
        if fails {
            self.faults.count(Fault::Flush);
            self.relays[relay].disk.fail(&mut self.dice);
        } else {
            self.relays[relay].disk.flush();
        }
        self.settle(relay);
    }

    /// Put in what waits and carry out everything that the heart has to say, until only an event or time can change
    /// anything. What comes in meanwhile waits its turn.
    pub(crate) fn settle(&mut self, relay: usize) {
        let epoch = self.relays[relay].epoch;
        match &mut self.relays[relay].process {
            Some(process) if !process.settling => process.settling = true,
            _ => return,
        }
        while let Some(output) = self.next_output(relay) {
            self.carry_out(relay, output);
            if self.relays[relay].epoch != epoch {
                return; // it died over it
            }
        }
        if let Some(process) = &mut self.relays[relay].process {
            process.settling = false;
        }
        if self.relays[relay].disk.health().failed.is_some() {
            // A failed flush is believed: the process ends, the next one recovers.
            self.stop(relay);
            return;
        }
        self.look_ahead(relay);
    }

    /// What the heart says next: first all about what it was told, then about the next input, then about the time.
    fn next_output(&mut self, relay: usize) -> Option<Output> {
        let now = self.time(relay);
        let process = self.relays[relay].process.as_mut()?;
        loop {
            if let Some(output) = process.shard.poll() {
                return Some(output);
            }
            let result = process.results.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let committed = result.map(|(token, result)| Input::Committed { token, result });
            match committed.or_else(|| process.inbox.pop_front()) {
                Some(input) => {
                    process.cause = match &input {
                        Input::Event { event: Event::Arrived(arrival), .. } => Some(arrival.peer.clone()),
                        _ => None,
                    };
                    process.shard.input(now, input);
                }
                None => {
                    process.cause = None;
                    process.shard.advance(now);
                    return process.shard.poll();
                }
            }
        }
    }

    fn look_ahead(&mut self, relay: usize) {
        let (time, epoch, waiting) =
            (self.time(relay), self.relays[relay].epoch, self.relays[relay].disk.is_waiting());
        let Some(process) = &mut self.relays[relay].process else { return };
        let flush = waiting && !process.flushing;
        process.flushing |= flush;
        let wake = process.shard.next_wake().map(|at| self.now + 1 + at.since(time).as_millis() as u64);
        let wake = wake.filter(|at| process.tick.is_none_or(|tick| *at < tick));
        process.tick = wake.or(process.tick);
        let under_way = process.shard.under_way();
        let name = self.relays[relay].name;
        self.checks.measures(name, "batches under way", under_way, 200);
        if flush {
            let at = self.now + self.dice.between(1, self.weather.flush_delay);
            self.schedule(at, Happening::Flush { relay, epoch });
        }
        if let Some(at) = wake {
            self.schedule(at, Happening::Tick { relay, epoch });
        }
    }

    fn carry_out(&mut self, relay: usize, output: Output) {
        match output {
            Output::Commit { token, batch } => {
                let Some(process) = &self.relays[relay].process else { return };
                let results = Arc::clone(&process.results);
                if let Some(peer) = &process.cause {
                    let (name, disk) = (self.relays[relay].name, &self.relays[relay].disk);
                    self.checks.changes(name, disk, peer.as_str(), &batch);
                }
                let done = move |result: Result<Outcome, StoreError>| {
                    results.lock().unwrap_or_else(PoisonError::into_inner).push_back((token, result));
                };
                self.commit(relay, batch, Box::new(done));
            }
            Output::Answer { ticket, answer } => self.answer(relay, ticket, answer),
            Output::Dispatch(errand) => {
                let (name, peer) = (self.relays[relay].name, errand.peer.clone());
                let Some(process) = &mut self.relays[relay].process else { return };
                self.checks.brings(relay, name, peer.as_str(), &errand.message);
                let queue = process.errands.entry(peer.clone()).or_default();
                queue.push_back(errand);
                let waiting = queue.len();
                self.checks.measures(name, "errands in hand", waiting, ERRANDS_MAX);
                self.pump(relay, &peer);
            }
            Output::News { mm, moment } => {
                let word = moment.what.word();
                self.story.tell(self.now, NAMES[relay], "news", word.as_bytes(), || {
                    let peer = moment.peer.as_ref().map_or("-", PeerName::as_str);
                    format!("{mm} {peer} {word} {}", moment.text)
                });
            }
            Output::Alarm { mm, text } => {
                self.story.tell(self.now, NAMES[relay], "alarm", &[], || format!("{mm:?} {text}"));
            }
            Output::Lookup(lookup) => {
                let (epoch, slow) = (self.relays[relay].epoch, self.relays[relay].slow);
                let at = self.now + self.dice.between(2, 3000) * slow;
                self.schedule(at, Happening::LookedUp { relay, epoch, lookup });
            }
            // Nobody here has a webhook.
            Output::Notify(_) => {}
        }
    }

    /// A look-up is over: what is found is what the tables say, in one of the ways in which sources say it, or nobody answers.
    pub(crate) fn looked_up(&mut self, relay: usize, lookup: Lookup) {
        let house = Arc::clone(&self.relays[relay].house);
        let stormy = self.now < self.weather.clears;
        let found = lookup.numbers.iter().map(|(place, number)| {
            let route = house.explain(&Party::from(Address::Plmn(number.clone()))).route;
            let found = match (self.dice.below(6), route) {
                (0, _) if stormy => {
                    self.faults.count(Fault::Lookup);
                    Found::Later("no answer".into())
                }
                (1 | 2, _) => Found::Tables,
                (_, Route::Local(_)) => Found::Here,
                (3, Route::Peer(peer)) => Found::Peer(peer),
                (_, Route::Peer(peer)) => match house.peer(&peer).and_then(|p| p.domains.first()) {
                    Some(domain) => Found::Domain(domain.clone()),
                    None => Found::Tables,
                },
                (_, Route::Nowhere(_)) => Found::Nothing,
            };
            (*place, found)
        });
        let found = found.collect();
        self.tell_heart(relay, lookup.mm, Event::Found { entry: lookup.entry, found }, None);
    }

    fn commit(&mut self, relay: usize, batch: Arc<Batch>, done: Done) {
        let disk = &self.relays[relay].disk;
        if self.options.planted != Some(Planted::RepeatsAcrossPeers) {
            return disk.commit(batch, done);
        }
        let mut batch = Batch::clone(&batch);
        let mut keys = BTreeMap::new();
        let mut rewrite = |key: &mut Vec<u8>| {
            let mut parts: Vec<&[u8]> = key.split(|o| *o == 0).collect();
            if parts.len() == 4 {
                parts.remove(2);
                let short = parts.join(&0);
                keys.insert(short.clone(), std::mem::replace(key, short));
            }
        };
        for need in &mut batch.need {
            if let Need::Once { key, .. } = need {
                rewrite(key);
            }
        }
        for op in &mut batch.ops {
            if let Op::Remember { key, .. } = op {
                rewrite(key);
            }
        }
        let back = move |result: Result<Outcome, StoreError>| {
            done(result.map(|outcome| match outcome {
                Outcome::Duplicates(found) => Outcome::Duplicates(
                    found.into_iter().map(|(k, v)| (keys.get(&k).cloned().unwrap_or(k), v)).collect(),
                ),
                other => other,
            }));
        };
        disk.commit(Arc::new(batch), Box::new(back));
    }

    fn answer(&mut self, relay: usize, ticket: u64, answer: Answer) {
        let Some(process) = &mut self.relays[relay].process else { return };
        match (process.waiting.remove(&ticket), answer) {
            (Some(Waiting::User), Answer::Ledger(ledger)) => self.checks.submitted(relay, ledger.id),
            (Some(Waiting::Dock(conn, promise)), answer) => {
                let reply = match answer {
                    Answer::Mail(reply) => reply,
                    _ => Reason::Fault.reply(),
                };
                self.reply(relay, conn, &reply, promise);
            }
            _ => {}
        }
    }

    // ---- incoming connections ----

    /// A peer has connected.
    pub(crate) fn opens(&mut self, relay: usize, conn: ConnId, client: &str) {
        let node = &mut self.relays[relay];
        let peer = PeerName::new(client);
        let known = node.house.peer(&peer).is_some();
        match node.process.as_mut().filter(|_| known) {
            Some(process) => {
                process.docks.insert(conn, Dock::new(node.name, peer, node.limits));
                self.listen(relay, conn);
            }
            None => self.close(conn, Side::Server),
        }
    }

    fn reply(&mut self, relay: usize, conn: ConnId, reply: &relay::Reply, promise: Option<Promise>) {
        let Some(dock) = self.relays[relay].process.as_mut().and_then(|p| p.docks.get_mut(&conn)) else {
            return;
        };
        dock.answer(reply);
        if reply.code / 100 == 2
            && let Some(promise) = promise
        {
            self.checks.promised(promise);
        }
        self.listen(relay, conn);
    }

    /// Read what came on a connection, as far as it goes.
    fn listen(&mut self, relay: usize, conn: ConnId) {
        let planted = self.options.planted;
        if self.dice.chance(self.weather.write) {
            self.relays[relay].disk.break_next_write();
        }
        let (house, disk) = (Arc::clone(&self.relays[relay].house), self.relays[relay].disk.clone());
        let Some(dock) = self.relays[relay].process.as_mut().and_then(|p| p.docks.get_mut(&conn)) else {
            return;
        };
        let step = dock.run(&house, &disk, planted);
        (0..disk.failed_writes()).for_each(|_| self.faults.count(Fault::Write));
        let (buffered, fresh, peer) = (dock.buffered(), dock.deadline == 0, dock.address.clone());
        dock.deadline = self.now + dock.patience();
        let deadline = dock.deadline;
        self.measure_buffer(relay, buffered);
        self.send(conn, Side::Server, &step.output);
        if fresh {
            self.schedule(deadline, Happening::Deadline(conn, Side::Server));
        }
        if step.over {
            return self.hang_up(relay, conn, Side::Server);
        }
        let Some(arrival) = step.asked else { return };
        self.checks.arrived(relay, peer.as_str(), &arrival);
        if let Arrived::Message(mms::AbstractMessage::ForwardReq(request)) = &arrival.message
            && let (Some(id), Some(system)) = (&request.transaction_id, &request.originator_system)
        {
            let named = system.domain().map(|d| d.as_str().to_owned()).unwrap_or_default();
            self.relays[relay].named.insert(id.key().to_owned(), named);
        }
        let promise = Promise::of(relay, &arrival);
        let mm = self.fresh_id(relay);
        let event = Event::Arrived(arrival);
        if planted == Some(Planted::AnswerBeforeCommit) {
            self.tell_heart(relay, mm, event, None);
            return self.reply(relay, conn, &relay::Reply::new(250, (2, 0, 0), "taken"), promise);
        }
        let Some(process) = &mut self.relays[relay].process else { return };
        process.tickets += 1;
        let ticket = process.tickets;
        process.waiting.insert(ticket, Waiting::Dock(conn, promise));
        self.tell_heart(relay, mm, event, Some(ticket));
    }

    /// The host that the request of this response named, for the bug that is planted.
    pub(crate) fn named_host(&self, relay: usize, errand: &Errand) -> Option<String> {
        let named = self.relays[relay].named.get(errand.message.transaction_id()?.key())?;
        let name = named.strip_prefix("mms.")?.strip_suffix(".example")?;
        (domain(name).as_str() == named).then(|| host(name))
    }

    // ---- outgoing connections ----

    /// A connection was made for this errand.
    pub(crate) fn connected(&mut self, relay: usize, conn: ConnId, errand: Box<Errand>) {
        let node = &mut self.relays[relay];
        let Some(peer) = node.house.peer(&errand.peer) else { return };
        let mail = prepare(&peer.profile, &errand, &node.disk);
        let Some(process) = &mut node.process else { return };
        let free = process.connecting.entry(errand.peer.clone()).or_default();
        *free = free.saturating_sub(1);
        match mail {
            Ok(mail) => {
                let mut line = Line::new(node.name, errand, mail);
                line.deadline = self.now + line.patience();
                let deadline = line.deadline;
                process.lines.insert(conn, line);
                self.schedule(deadline, Happening::Deadline(conn, Side::Client));
            }
            Err(why) => {
                self.close(conn, Side::Client);
                self.carried(relay, &errand, Carried::Unable(why));
            }
        }
    }

    /// No connection could be had for this errand.
    pub(crate) fn refused(&mut self, relay: usize, errand: Box<Errand>) {
        if let Some(process) = &mut self.relays[relay].process {
            let free = process.connecting.entry(errand.peer.clone()).or_default();
            *free = free.saturating_sub(1);
        }
        self.carried(relay, &errand, Carried::Unreachable("connection refused".into()));
        self.pump(relay, &errand.peer.clone());
    }

    fn carried(&mut self, relay: usize, errand: &Errand, how: Carried) {
        self.story.tell(self.now, NAMES[relay], "carried", &[], || {
            format!("{} to {}: {how:?}", errand.message.message_type(), errand.peer)
        });
        let (entry, places) = (errand.entry.clone(), errand.places.clone());
        self.tell_heart(relay, errand.mm, Event::Carried { entry, places, how }, None);
    }

    /// Give errands that wait to connections that are idle, or make some.
    fn pump(&mut self, relay: usize, peer: &PeerName) {
        loop {
            let node = &mut self.relays[relay];
            let Some(process) = &mut node.process else { return };
            let Some(queue) = process.errands.get_mut(peer).filter(|q| !q.is_empty()) else { return };
            let mut lines = process.lines.iter_mut().filter(|(_, l)| l.peer == *peer);
            let idle = lines.find(|(_, l)| l.is_idle()).map(|(conn, _)| *conn);
            if let (Some(conn), Some(profile)) = (idle, node.house.peer(peer).map(|p| p.profile.clone())) {
                let Some(errand) = queue.pop_front() else { return };
                match prepare(&profile, &errand, &node.disk) {
                    Ok(mail) => {
                        if let Some(line) = process.lines.get_mut(&conn) {
                            line.take(errand, mail);
                        }
                        self.speak(relay, conn);
                    }
                    Err(why) => self.carried(relay, &errand, Carried::Unable(why)),
                }
                continue;
            }
            let count = process.lines.values().filter(|l| l.peer == *peer).count();
            let connecting = process.connecting.entry(peer.clone()).or_default();
            if count + *connecting >= LINES_MAX {
                return;
            }
            *connecting += 1;
            let Some(errand) = queue.pop_front() else { return };
            self.connect(relay, errand);
        }
    }

    /// Let a line go on with what came.
    fn speak(&mut self, relay: usize, conn: ConnId) {
        let Some(line) = self.relays[relay].process.as_mut().and_then(|p| p.lines.get_mut(&conn)) else {
            return;
        };
        let step = line.run();
        line.deadline = self.now + line.patience();
        let buffered = line.buffered();
        self.measure_buffer(relay, buffered);
        self.spoken(relay, conn, step);
    }

    fn spoken(&mut self, relay: usize, conn: ConnId, step: Step) {
        if step.output.len() > 200 {
            self.hostile.hears(step.output.strip_suffix(b".\r\n").unwrap_or(&step.output));
            // At times it is quicker than the mail that it heard.
            if !self.hostile.tamed && self.dice.chance(500) {
                self.schedule(self.now + 1, Happening::Mischief);
            }
        }
        self.send(conn, Side::Client, &step.output);
        let Some(process) = &mut self.relays[relay].process else { return };
        let Some(line) = process.lines.get(&conn) else { return };
        let (fresh, peer) = (line.fresh, line.peer.clone());
        if step.over {
            process.lines.remove(&conn);
            self.close(conn, Side::Client);
        }
        match step.end {
            None => {}
            Some((errand, End::Over(how))) => self.carried(relay, &errand, how),
            Some((errand, End::NotBegun(why))) if fresh => {
                self.carried(relay, &errand, Carried::Unreachable(why));
            }
            // A kept connection may have died meanwhile: that is no trouble of the peer's, so a fresh one is tried.
            Some((errand, End::NotBegun(_))) => {
                if let Some(process) = &mut self.relays[relay].process {
                    *process.connecting.entry(peer.clone()).or_default() += 1;
                }
                self.connect(relay, errand);
            }
        }
        self.pump(relay, &peer);
    }

    // ---- both ----

    /// Octets came to a relay.
    pub(crate) fn receives(&mut self, relay: usize, conn: ConnId, side: Side, octets: &[u8]) {
        let Some(process) = &mut self.relays[relay].process else { return };
        match side {
            Side::Server => {
                if let Some(dock) = process.docks.get_mut(&conn) {
                    dock.push(octets);
                }
                self.listen(relay, conn);
            }
            Side::Client => {
                if let Some(line) = process.lines.get_mut(&conn) {
                    line.push(octets);
                }
                self.speak(relay, conn);
            }
        }
    }

    /// A connection ended, or was given up.
    pub(crate) fn lost(&mut self, relay: usize, conn: ConnId, side: Side) {
        let line = self.relays[relay].process.as_mut().and_then(|p| p.lines.get_mut(&conn));
        if let Some(line) = line {
            let step = line.lost();
            self.spoken(relay, conn, step);
        } else {
            self.hang_up(relay, conn, side);
        }
    }

    fn hang_up(&mut self, relay: usize, conn: ConnId, side: Side) {
        if let Some(process) = &mut self.relays[relay].process {
            process.docks.remove(&conn);
        }
        self.close(conn, side);
    }

    /// One side of a connection may have waited for too long.
    pub(crate) fn deadline(&mut self, conn: ConnId, side: Side) -> Option<usize> {
        let relay = self.net.node(conn, side)?;
        let process = self.relays.get_mut(relay)?.process.as_mut()?;
        let deadline = match side {
            Side::Server => process.docks.get(&conn).map(|d| d.deadline),
            Side::Client => process.lines.get(&conn).map(|l| l.deadline),
        }?;
        if deadline > self.now {
            self.schedule(deadline, Happening::Deadline(conn, side));
            return None;
        }
        match side {
            Side::Server => {
                let dock = process.docks.get_mut(&conn)?;
                if dock.is_judging() {
                    dock.deadline = self.now + dock.patience();
                    self.schedule(self.now + 600_000, Happening::Deadline(conn, side));
                    return None;
                }
                dock.too_late();
                self.listen(relay, conn);
            }
            Side::Client => {
                let line = process.lines.get_mut(&conn)?;
                if line.is_idle() {
                    line.quit();
                    let step = line.run();
                    line.deadline = self.now + 2000;
                    self.schedule(self.now + 2000, Happening::Deadline(conn, side));
                    self.spoken(relay, conn, step);
                } else {
                    self.lost(relay, conn, side);
                }
            }
        }
        Some(relay)
    }

    /// The ledger of an MM, as a relay's disk has it.
    pub fn ledger(&self, relay: usize, mm: MmId) -> Option<Ledger> {
        let stored = self.relays.get(relay)?.disk.ledger(mm).ok()??;
        Ledger::decode(&stored.ledger).ok()
    }
}
