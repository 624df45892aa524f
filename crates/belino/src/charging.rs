//! Charging records on their way from the outbox into files.
//!
//! Owns: the thread that writes them, its pace, and what is said when it cannot. Never knows: when a record is made; the
//! heart emits it with the event that it tells of (`relay::Record`).
//!
//! The number in the outbox is `localSequenceNumber`. A record stays in the outbox until the file that holds it is closed,
//! and what was written is read from the files at each start: so each record is in the files once, whenever the process was
//! killed. Nobody waits for this thread: what it cannot write waits in the outbox.

pub mod ber;
pub mod csv;
pub mod files;
pub mod json;
pub mod record;

use crate::clock::Clock;
use anyhow::{Context as _, anyhow};
use files::Set;
use record::Row;
use relay::Record;
use relay::store::{Store, Topic};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    Json,
    /// One header and one line for each record.
    Csv,
    /// BER, one record after the other.
    Ber,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Ber];

    /// As it is written in the configuration, and at the end of file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ber => "ber",
        }
    }

    /// The format with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

/// What the configuration says of charging records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charging {
    /// Where the files go; `charging` in the data folder if it does not say.
    pub folder: Option<PathBuf>,
    /// Which formats are written.
    pub formats: Vec<Format>,
    /// A file that has grown to so many octets is closed.
    pub file_size_max: u64,
    /// A file that has been open for so long is closed.
    pub file_age_max: Duration,
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Where the files go; `None` while no records are wanted.
    pub folder: Option<PathBuf>,
    /// Number of the last record that was written.
    pub last: u64,
    /// Why nothing can be written, if so.
    pub trouble: Option<String>,
}

enum Message {
    Configure(Option<Charging>),
    Stop,
}

/// Records that are taken out of the outbox at once.
const PIECE: usize = 500;
/// How often the outbox is looked at. A batch that emits is durable before; this is only when its records reach a file.
const PAUSE: Duration = Duration::from_millis(200);
/// How long nothing is tried after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// A hand on the thread.
pub struct Records {
    inbox: Sender<Message>,
    state: Arc<Mutex<State>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Records {
    /// Start the thread. Without a configuration it only waits for one.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        data: PathBuf,
        charging: Option<Charging>,
    ) -> anyhow::Result<Self> {
        let (inbox, messages) = channel();
        let state = Arc::<Mutex<State>>::default();
        let mut writer =
            Writer { store, clock, data, charging: None, state: state.clone(), set: None, cursor: None };
        let thread = std::thread::Builder::new().name("charging".into()).spawn(move || {
            writer.configure(charging);
            writer.run(&messages);
        })?;
        Ok(Self { inbox, state, thread: Mutex::new(Some(thread)) })
    }

    /// Apply another configuration.
    pub fn configure(&self, charging: Option<Charging>) {
        let _ = self.inbox.send(Message::Configure(charging));
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Write what is there, close the files, end the thread.
    pub fn stop(&self) {
        let _ = self.inbox.send(Message::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    clock: Clock,
    data: PathBuf,
    charging: Option<Charging>,
    state: Arc<Mutex<State>>,
    set: Option<Set>,
    /// Number after which the outbox is read; `None` before the files were looked at.
    cursor: Option<u64>,
}

impl Writer {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let failed = self.round(false);
            let message = match (&self.charging, failed) {
                (None, _) => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (Some(_), true) => messages.recv_timeout(PAUSE_AFTER_FAILURE),
                (Some(_), false) => messages.recv_timeout(PAUSE),
            };
            match message {
                Ok(Message::Configure(charging)) => self.configure(charging),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.round(true);
                    return;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> Option<PathBuf> {
        let charging = self.charging.as_ref()?;
        Some(charging.folder.clone().unwrap_or_else(|| self.data.join("charging")))
    }

    fn configure(&mut self, charging: Option<Charging>) {
        if self.charging == charging {
            return;
        }
        let before = self.folder();
        if self.charging.is_some() && charging.is_none() {
            // What was emitted until now is still written.
            self.round(true);
        }
        self.charging = charging;
        let folder = self.folder();
        if folder != before && before.is_some() && folder.is_some() {
            // What is in the old folder is closed, and the outbox has nothing of it any more.
            if let Err(error) = self.close() {
                self.say(Err(error));
            }
            (self.set, self.cursor) = (None, None);
        }
        self.state().folder = folder;
    }

    /// Do what there is to do, all of it if `last`; whether it failed.
    fn round(&mut self, last: bool) -> bool {
        if self.charging.is_none() {
            return false;
        }
        let done = self.write().and_then(|()| {
            let full = self.is_full();
            if last || full { self.close() } else { Ok(()) }
        });
        let failed = done.is_err();
        if failed {
            // Whatever half was written is found and cut the next time.
            (self.set, self.cursor) = (None, None);
        }
        self.say(done);
        failed
    }

    /// Trouble is told when it begins, when it changes, and when it is over.
    fn say(&self, done: anyhow::Result<()>) {
        let mut state = self.state();
        let trouble = done.err().map(|error| format!("{error:#}"));
        match (&state.trouble, &trouble) {
            (before, Some(now)) if before.as_ref() != Some(now) => {
                tracing::error!("charging records wait in the outbox: {now}");
            }
            (Some(_), None) => tracing::info!("charging records are written again"),
            _ => {}
        }
        state.trouble = trouble;
    }

    fn is_full(&self) -> bool {
        let (Some(set), Some(charging)) = (&self.set, &self.charging) else { return false };
        let old = self.clock.now().since(set.since) >= charging.file_age_max;
        set.len >= charging.file_size_max || old
    }

    /// Write what the outbox has.
    fn write(&mut self) -> anyhow::Result<()> {
        let (Some(folder), Some(charging)) = (self.folder(), self.charging.clone()) else { return Ok(()) };
        if self.set.as_ref().is_some_and(|set| !set.fits(&folder, &charging.formats)) {
            self.close()?;
        }
        let mut cursor = match self.cursor {
            Some(cursor) => cursor,
            None => self.begin(&folder)?,
        };
        loop {
            self.cursor = Some(cursor);
            let records = self.store.drain(Topic::Charging, cursor, PIECE)?;
            let Some((first, _)) = records.first() else { return Ok(()) };
            let before = self.state().last;
            if cursor == 0 && before > 0 && *first != before + 1 {
                tracing::error!(
                    "the files in {} go up to record {before}, and the store goes on at {first}: was it put back from a \
                     copy? Records are written under the numbers that the store gives them",
                    folder.display()
                );
            }
            let mut rows = Vec::with_capacity(records.len());
            for (number, data) in &records {
                rows.push(row(*number, data)?);
            }
            let mut set = match self.set.take() {
                Some(set) => set,
                None => Set::open(&folder, &charging.formats, *first, self.clock.now())?,
            };
            set.write(&rows)?;
            self.set = Some(set);
            cursor = rows.last().map_or(cursor, Row::number);
            self.state().last = cursor;
            if self.is_full() {
                self.cursor = Some(cursor);
                self.close()?;
            }
        }
    }

    /// Close what is open; the outbox need not keep it any more.
    fn close(&mut self) -> anyhow::Result<()> {
        let Some(set) = self.set.take() else { return Ok(()) };
        set.close()?;
        if let Some(cursor) = self.cursor {
            self.store.trim(Topic::Charging, cursor)?;
        }
        Ok(())
    }

    /// Look at the files: where does the outbox go on?
    fn begin(&self, folder: &std::path::Path) -> anyhow::Result<u64> {
        let last = files::recover(folder)?;
        let number = last.number;
        let first = self.store.drain(Topic::Charging, 0, 1)?.first().map(|(first, _)| *first);
        let cursor = match (first, &last.row) {
            // Nothing waits. Wherever the outbox goes on, it is new.
            (None, _) => 0,
            (Some(first), Some(last)) if first <= number => {
                let same = self.store.drain(Topic::Charging, number - 1, 1)?;
                let same = same.first().filter(|(found, _)| *found == number);
                let same = same.map(|(found, data)| row(*found, data)).transpose()?;
                if same.as_ref() == Some(last) {
                    self.store.trim(Topic::Charging, number)?;
                    number
                } else {
                    tracing::error!(
                        "the files in {} go up to record {number}, but the store has others from {first} on: was it \
                         put back from a copy? They are written under the numbers that the store gives them",
                        folder.display()
                    );
                    first - 1
                }
            }
            (Some(first), None) if first <= number => number,
            (Some(first), _) => {
                if number > 0 && first > number + 1 {
                    tracing::error!(
                        "charging records {} to {} are in no file of {}",
                        number + 1,
                        first - 1,
                        folder.display()
                    );
                }
                first - 1
            }
        };
        self.state().last = number;
        Ok(cursor)
    }
}

fn row(number: u64, data: &[u8]) -> anyhow::Result<Row> {
    let record = Record::decode(data)
        .map_err(|damage| anyhow!("expected {} {} octets from its end", damage.expected, damage.left));
    Ok(Row::of(number, &record.with_context(|| format!("charging record {number} is damaged"))?))
}
