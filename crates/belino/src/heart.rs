//! Drives the heart: one plain thread that owns a [`Shard`], feeds it and carries out what it puts out.
//!
//! Owns: the thread, the tickets of those who wait. Never knows: what an event means.
//! A crash of the process leaves what was committed; everything in here can be made anew from it.

use crate::clock::Clock;
use crate::courier::Courier;
use crate::resolver::Resolver;
use crate::serve::Watcher;
use crate::view::Plain;
use crate::webhooks::Webhooks;
use mms::MmId;
use relay::store::Store;
use relay::{Answer, Event, House, Input, Output, Reason, Shard, Ticket, What};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Events that may wait for the heart at once; beyond that the docks wait, then the peers.
const INBOX_MAX: usize = 4096;

/// Messages of one round: what is decided in it is logged and answered at its end.
const ROUND_MAX: usize = 32;

type Question = Box<dyn FnOnce(&Shard) + Send>;

enum Message {
    Event { mm: MmId, event: Event, answer: Option<oneshot::Sender<Answer>> },
    Input(Input),
    Ask(Question),
    Tick,
    Stop,
}

/// Who does what the heart puts out.
#[derive(Clone)]
pub struct Hands {
    /// Carries errands to peers.
    pub courier: Courier,
    /// Looks numbers up.
    pub resolver: Resolver,
    /// Tells applications.
    pub webhooks: Webhooks,
}

impl Hands {
    fn serve(&self, heart: &Heart) {
        self.courier.serve(heart.clone());
        self.resolver.serve(heart.clone());
        self.webhooks.serve(heart.clone());
    }
}

/// A hand on the heart. Cheap to clone.
#[derive(Clone)]
pub struct Heart {
    inbox: Sender<Message>,
    room: Arc<Semaphore>,
}

impl Heart {
    /// Start the heart's thread over a store.
    ///
    /// # Errors
    /// The store cannot be read, or no thread can be had.
    pub fn start(
        store: Arc<dyn Store>,
        house: Arc<House>,
        clock: Clock,
        hands: Hands,
        watcher: Option<Watcher>,
        on_failure: impl FnOnce(String) + Send + 'static,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let (inbox, messages) = channel();
        let shard = Shard::new(store.clone(), house, clock.now(), Box::new(crate::entropy))?;
        let heart = Self { inbox: inbox.clone(), room: Arc::new(Semaphore::new(INBOX_MAX)) };
        // Before the first errand can leave: an outcome must find its way back.
        hands.serve(&heart);
        let driver = Driver {
            shard,
            store,
            clock,
            hands,
            watcher,
            heart: heart.clone(),
            waiting: HashMap::new(),
            answers: Vec::new(),
            next_ticket: 0,
            on_failure: Some(Box::new(on_failure)),
            floods: Floods::default(),
        };
        let thread = std::thread::Builder::new().name("heart".into()).spawn(move || driver.run(&messages))?;
        Ok((heart, thread))
    }

    /// Put an event in and wait for its answer, which comes when everything it promises is durable.
    /// `None` when the heart has stopped.
    pub async fn ask(&self, mm: MmId, event: Event) -> Option<Answer> {
        let _room = self.room.acquire().await.ok()?;
        let (sender, receiver) = oneshot::channel();
        self.inbox.send(Message::Event { mm, event, answer: Some(sender) }).ok()?;
        receiver.await.ok()
    }

    /// Put an event in whose answer nobody waits for.
    pub fn tell(&self, mm: MmId, event: Event) {
        let _ = self.inbox.send(Message::Event { mm, event, answer: None });
    }

    /// Put in anything else.
    pub fn input(&self, input: Input) {
        let _ = self.inbox.send(Message::Input(input));
    }

    /// Look at the shard between two turns.
    pub async fn look<T: Send + 'static>(&self, at: impl FnOnce(&Shard) -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let question: Question = Box::new(move |shard| drop(sender.send(at(shard))));
        self.inbox.send(Message::Ask(question)).ok()?;
        receiver.await.ok()
    }

    /// The clock was turned: look what is due.
    pub fn tick(&self) {
        let _ = self.inbox.send(Message::Tick);
    }

    /// Finish the batches under way, then end the thread.
    pub fn stop(&self) {
        let _ = self.inbox.send(Message::Stop);
    }
}

struct Driver {
    shard: Shard,
    store: Arc<dyn Store>,
    clock: Clock,
    hands: Hands,
    watcher: Option<Watcher>,
    heart: Heart,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// Answers of this round.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    next_ticket: Ticket,
    on_failure: Option<Box<dyn FnOnce(String) + Send>>,
    floods: Floods,
}

/// Keeps the log readable when a peer sends much that changes nothing: so many lines a minute, then a count.
#[derive(Default)]
struct Floods(HashMap<Option<relay::PeerName>, Flood>);

#[derive(Default)]
struct Flood {
    minute: i64,
    seen: u64,
}

/// Lines about what was ignored, for each peer and minute.
const IGNORED_LINES_MAX: u64 = 20;

impl Floods {
    /// Whether this moment gets a line of its own.
    fn lets(&mut self, moment: &relay::Moment) -> bool {
        if moment.what != What::Ignored {
            return true;
        }
        let flood = self.0.entry(moment.peer.clone()).or_default();
        let minute = moment.at.seconds().div_euclid(60);
        if flood.minute != minute {
            let left_out = flood.seen.saturating_sub(IGNORED_LINES_MAX);
            if left_out > 0 {
                let peer = moment.peer.as_ref().map_or("-", |p| p.as_str());
                tracing::warn!(peer, "{left_out} more mails that changed nothing were left out of the log");
            }
            *flood = Flood { minute, seen: 0 };
        }
        flood.seen += 1;
        flood.seen <= IGNORED_LINES_MAX
    }
}

impl Driver {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut stopping = false;
        // Each MM has several lines in the log; those of one round leave together.
        let lines = crate::lines::hold();
        loop {
            self.shard.advance(self.clock.now());
            self.drain();
            self.let_go(&lines);
            if stopping && self.shard.under_way() == 0 {
                return;
            }
            let Some(first) = self.wait(messages) else { continue };
            // What has come meanwhile belongs to the same round: one look at the clock and one write of the log for all.
            let mut next = Some(first);
            let mut taken = 0;
            while let Some(message) = next {
                stopping |= matches!(message, Message::Stop);
                self.take(message);
                self.drain();
                taken += 1;
                next = if taken < ROUND_MAX { messages.try_recv().ok() } else { None };
            }
        }
    }

    /// The next message, or `None` when something is due first.
    fn wait(&self, messages: &Receiver<Message>) -> Option<Message> {
        let far = Duration::from_secs(1);
        let span = match self.shard.next_wake() {
            Some(at) => at.since(self.clock.now()).min(far),
            None => far,
        };
        if self.clock.is_manual() {
            // Time stands still: either something is due already, or only a message can change anything.
            let due = self.shard.next_wake().is_some_and(|at| at <= self.clock.now());
            return if due { messages.try_recv().ok() } else { messages.recv().ok() };
        }
        messages.recv_timeout(span).ok()
    }

    fn take(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Event { mm, event, answer } => {
                let ticket = answer.map(|sender| {
                    self.next_ticket += 1;
                    self.waiting.insert(self.next_ticket, sender);
                    self.next_ticket
                });
                self.shard.input(now, Input::Event { mm, event, ticket });
            }
            Message::Input(input) => self.shard.input(now, input),
            Message::Ask(question) => question(&self.shard),
            Message::Tick | Message::Stop => {}
        }
    }

    /// The lines of this round go to the log, and then the answers to those who wait: what was answered has been logged.
    fn let_go(&mut self, lines: &crate::lines::Held) {
        lines.let_go();
        for (sender, answer) in self.answers.drain(..) {
            let _ = sender.send(answer);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll() {
            match output {
                Output::Commit { token, batch } => {
                    let heart = self.heart.clone();
                    let done = Box::new(move |result| heart.input(Input::Committed { token, result }));
                    self.store.commit(batch, done);
                }
                Output::Answer { ticket, answer } => {
                    if let Some(sender) = self.waiting.remove(&ticket) {
                        self.answers.push((sender, answer));
                    }
                }
                Output::Dispatch(errand) => self.hands.courier.dispatch(*errand),
                Output::Notify(notification) => self.hands.webhooks.dispatch(*notification),
                Output::Lookup(lookup) => self.hands.resolver.dispatch(*lookup),
                Output::News { mm, moment } => {
                    if self.floods.lets(&moment) {
                        log_moment(mm, &moment);
                    }
                    if let Some(watcher) = &self.watcher {
                        watcher(mm, &moment);
                    }
                }
                Output::Alarm { mm, text } => self.alarm(mm, &text),
            }
        }
    }

    fn alarm(&mut self, mm: Option<MmId>, text: &str) {
        match mm {
            Some(mm) => tracing::error!(%mm, "{text}"),
            None => tracing::error!("{text}"),
        }
        // A failed flush is believed: the house stops, and recovers at the next start.
        if let Some(why) = self.store.health().failed
            && let Some(fail) = self.on_failure.take()
        {
            fail(why);
        }
    }
}

/// One line for each moment, all with the MM's id.
fn log_moment(mm: MmId, moment: &relay::Moment) {
    let (what, sentence) = (moment.what.word(), moment.what.sentence());
    let peer = moment.peer.as_ref().map_or("-", |p| p.as_str());
    // Peers' words reach the log as one printable line, and last.
    let said = if moment.text.is_empty() { String::new() } else { format!(": {}", Plain(&moment.text)) };
    match moment.what {
        What::Failed | What::Unanswered | What::Ignored => {
            tracing::warn!(%mm, peer, what, "{sentence}{said}")
        }
        _ => tracing::info!(%mm, peer, what, "{sentence}{said}"),
    }
}

/// What a peer is told when the heart has stopped.
pub fn stopped() -> Answer {
    Answer::Mail(Reason::Unavailable.reply())
}
