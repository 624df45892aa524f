//! A running relay: store, heart, courier, docks and the admin socket, started in order and stopped in order.
//!
//! Owns: the order. A stop finishes what is under way for a bounded time and parks the rest; a crash needs no stop.

use crate::admin;
use crate::agreements::Agreements;
use crate::audit::Audit;
use crate::charging::Records;
use crate::clock::Clock;
use crate::config::console::Tokens;
use crate::config::{Config, Keys};
use crate::console::{self, Desk};
use crate::courier::Courier;
use crate::dock::http;
use crate::dock::mm4::{Dock, listen};
use crate::heart::{Hands, Heart};
use crate::metrics;
use crate::resolver::Resolver;
use crate::search::Search;
use crate::telemetry::{self, QueueNow, Telemetry};
use crate::traces::{self, Traces};
use crate::webhooks::Webhooks;
use anyhow::Context as _;
use mms::MmId;
use relay::store::{QueueId, Store};
use relay::{Input, Moment, PeerName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use store::{Embedded, Options};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

/// Is told everything that happens, on the heart's thread; must not block.
pub type Watcher = Box<dyn Fn(MmId, &Moment) + Send>;

/// Somebody wants the configuration read again, and is told which changes wait for the next start, or why nothing was changed.
pub type Wish = oneshot::Sender<Result<Vec<String>, String>>;

/// Wishes that may wait.
const WISHES_MAX: usize = 8;

/// A relay that runs.
pub struct Running {
    /// Where it listens for MM4; last where it does so under TLS from the first octet.
    pub addresses: Vec<SocketAddr>,
    /// Where it listens for HTTP.
    pub http_addresses: Vec<SocketAddr>,
    /// Where it listens for scrapes of its metrics.
    pub metrics_addresses: Vec<SocketAddr>,
    /// Where it listens for the console.
    pub console_addresses: Vec<SocketAddr>,
    /// The console, if it is listened for.
    pub console: Arc<Desk>,
    /// The parts that the admin socket shows.
    pub parts: Arc<Parts>,
    heart_thread: JoinHandle<()>,
    search_thread: Option<JoinHandle<()>>,
    /// Wishes for another configuration; for whoever knows where it is read.
    pub wishes: Option<mpsc::Receiver<Wish>>,
    /// The configuration of the start.
    started: Arc<Config>,
    stop: watch::Sender<bool>,
    tasks: TaskTracker,
    failed: watch::Receiver<Option<String>>,
    socket: PathBuf,
}

/// The parts of a running relay.
pub struct Parts {
    /// The heart.
    pub heart: Heart,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The same, for what only a store in a folder can do.
    pub embedded: Arc<Embedded>,
    /// The dock for MM4.
    pub dock: Arc<Dock>,
    /// The dock for HTTP.
    pub http: Arc<http::Dock>,
    /// What writes charging records.
    pub records: Records,
    /// Courier, resolver, and what tells applications.
    pub hands: Hands,
    /// Where changes by people are written down.
    pub audit: Audit,
    /// Where wishes for another configuration go.
    pub wishes: mpsc::Sender<Wish>,
    /// The search for MMs, if an index is kept.
    pub search: Option<Arc<Search>>,
    /// What tells the time.
    pub clock: Clock,
}

/// Where the admin socket of a data folder is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Start a relay.
///
/// # Errors
/// In words: a secret, the data folder, the store or an address cannot be had.
pub async fn start(config: Config, clock: Clock, watcher: Option<Watcher>) -> anyhow::Result<Running> {
    let keys = Arc::new(Keys::read(&config.http).map_err(anyhow::Error::msg)?);
    let agreed = Agreements::read(&config, &clock).map_err(anyhow::Error::msg)?;
    let console_tokens = Tokens::read(&config.console).map_err(anyhow::Error::msg)?;
    let data = config.data.clone();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .with_context(|| format!("cannot create the data folder {}", data.display()))?;
    let (disk_free_min, flush_delay) = (config.limits.disk_free_min, config.limits.flush_delay);
    let mut options = Options { disk_free_min, flush_delay, ..Options::default() };
    faults(&mut options);
    let embedded = Arc::new(Embedded::open(&data, options)?);
    let audit =
        Audit::open(&data).with_context(|| format!("cannot open the audit log in {}", data.display()))?;
    let store: Arc<dyn Store> = embedded.clone();

    let config = Arc::new(config);
    let runtime = tokio::runtime::Handle::current();
    let tasks = TaskTracker::new();
    let resolver = Resolver::new(&config, clock.clone(), runtime.clone(), tasks.clone());
    let traces = config.traces.as_ref().map(|config| Arc::new(Traces::new(config)));
    let telemetry = Arc::new(Telemetry::new(clock.now()).tracing(traces.clone()));
    resolver.tell(telemetry.clone());
    let courier = Courier::new(
        embedded.clone(),
        clock.clone(),
        &config,
        runtime.clone(),
        tasks.clone(),
        resolver.clone(),
        telemetry.clone(),
    );
    courier.configure(&config, &agreed);
    let keep = config.limits.keep;
    let webhooks =
        Webhooks::new(store.clone(), clock.clone(), keep, runtime, tasks.clone(), telemetry.clone());
    webhooks.configure(&config, &keys);
    let (failing, failed) = watch::channel(None);
    let house = Arc::new(config.house.clone());
    let on_failure = move |why| drop(failing.send(Some(why)));
    let (search, search_thread) = match config.search {
        true => Some(Search::start(&data, store.clone())?).unzip(),
        false => (None, None),
    };
    let watcher = watched(watcher, telemetry.clone(), search.clone());
    let hands = Hands { courier, resolver, webhooks };
    let (heart, heart_thread) =
        Heart::start(store.clone(), house, clock.clone(), hands.clone(), Some(watcher), on_failure)?;

    let (stop, stopping) = watch::channel(false);
    let dock = Dock::new(
        config.clone(),
        agreed,
        store.clone(),
        heart.clone(),
        clock.clone(),
        telemetry.clone(),
        stopping.clone(),
    );
    let dock = Arc::new(dock);
    let mut addresses = Vec::new();
    let plain = config.listen.iter().map(|address| (address, false));
    for (address, implicit) in plain.chain(config.listen_tls.iter().map(|address| (address, true))) {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen for MM4 on {address}"))?;
        addresses.push(listener.local_addr()?);
        tasks.spawn(listen(dock.clone(), listener, tasks.clone(), implicit));
    }
    let set = http::Set { config: config.clone(), keys };
    let http = Arc::new(http::Dock::new(
        set,
        store.clone(),
        search.clone(),
        heart.clone(),
        clock.clone(),
        telemetry,
        stopping.clone(),
    ));
    let mut http_addresses = Vec::new();
    for address in &config.http.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen for HTTP on {address}"))?;
        http_addresses.push(listener.local_addr()?);
        tasks.spawn(http::listen(http.clone(), listener, tasks.clone()));
    }
    let records = Records::start(store.clone(), clock.clone(), data.clone(), config.charging.clone())?;
    let (wish, wishes) = mpsc::channel(WISHES_MAX);
    let parts = Arc::new(Parts {
        heart,
        store: store.clone(),
        embedded,
        dock,
        http,
        records,
        hands,
        audit,
        wishes: wish,
        search,
        clock: clock.clone(),
    });
    let mut metrics_addresses = Vec::new();
    for address in &config.metrics.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen for scrapes of metrics on {address}"))?;
        metrics_addresses.push(listener.local_addr()?);
        tasks.spawn(metrics::listen(parts.clone(), listener, tasks.clone(), stopping.clone()));
    }
    let desk = Arc::new(Desk::new(parts.clone(), console_tokens, stopping.clone()));
    let mut console_addresses = Vec::new();
    for (listener, address) in console::bind(&config.console).await? {
        console_addresses.push(address);
        tasks.spawn(console::listen(desk.clone(), listener, tasks.clone()));
    }
    let socket = socket_path(&data);
    tasks.spawn(admin::server::serve(parts.clone(), admin::server::bind(&socket)?, stopping.clone()));
    tasks.spawn(sample(parts.clone(), stopping.clone()));
    if let (Some(traces), Some(to)) = (traces, config.traces.clone()) {
        tracing::info!(endpoint = %to.endpoint, sample = to.sample, "traces go to the collector");
        let name = config.house.domain().to_string();
        let sender = traces::Sender { traces, config: to, name, store: store.clone(), clock: clock.clone() };
        tasks.spawn(sender.run(stopping.clone()));
    }
    tasks.spawn(maintain(store, clock, stopping));
    for address in &addresses {
        tracing::info!(%address, domain = %config.house.domain(), "listening for MM4");
    }
    for address in &http_addresses {
        tracing::info!(%address, "listening for HTTP");
    }
    for address in &metrics_addresses {
        tracing::info!(%address, "listening for scrapes of /metrics");
    }
    for address in &console_addresses {
        tracing::info!(%address, "listening for the console");
    }
    Ok(Running {
        addresses,
        http_addresses,
        metrics_addresses,
        console_addresses,
        console: desk,
        parts,
        heart_thread,
        search_thread,
        wishes: Some(wishes),
        started: config,
        stop,
        tasks,
        failed,
        socket,
    })
}

/// All who are told of everything: refusals are noted, the search hears what has changed, and whoever asked for it.
fn watched(watcher: Option<Watcher>, telemetry: Arc<Telemetry>, search: Option<Arc<Search>>) -> Watcher {
    Box::new(move |mm, moment| {
        telemetry.recent.note(mm, moment);
        if let Some(traces) = &telemetry.traces {
            traces.touch(mm);
        }
        if let Some(search) = &search {
            search.touch(mm);
        }
        if let Some(watcher) = &watcher {
            watcher(mm, moment);
        }
    })
}

/// Faults that tests ask for; builds without debug assertions know none.
fn faults(options: &mut Options) {
    #[cfg(debug_assertions)]
    if let Some(n) = std::env::var("BELINO_TEST_ABORT_BEFORE_DONE").ok().and_then(|n| n.parse().ok()) {
        options.abort_before_done = Some(n);
    }
    #[cfg(not(debug_assertions))]
    let _ = options;
}

/// Entries of a queue that a sample counts at most.
pub const QUEUE_COUNT_MAX: u64 = 100_000;

impl Parts {
    /// Each peer's queue now.
    ///
    /// # Errors
    /// In words: the relay is stopping, the store cannot be read.
    pub async fn queues(&self) -> anyhow::Result<BTreeMap<PeerName, QueueNow>> {
        let states = self.heart.look(relay::Shard::peers).await.context("the relay is stopping")?;
        let (store, now) = (self.store.clone(), self.clock.now());
        let count = move || {
            let heads = store.queues()?;
            let mut queues = BTreeMap::new();
            for state in states {
                let id = QueueId(state.peer.0.clone());
                let due = heads.iter().find(|head| head.queue == id).map(|head| head.due);
                let queued = if due.is_some() { store.depth(&id, QUEUE_COUNT_MAX)? } else { 0 };
                let overdue = due.map_or(Duration::ZERO, |due| now.since(due));
                queues.insert(state.peer, QueueNow { queued, overdue });
            }
            Ok::<_, relay::store::StoreError>(queues)
        };
        Ok(tokio::task::spawn_blocking(count).await??)
    }
}

/// How it is, every few seconds.
async fn sample(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    loop {
        match parts.queues().await {
            Ok(queues) => parts.dock.telemetry.sample(parts.clock.now(), &queues),
            Err(error) => tracing::debug!("no sample: {error}"),
        }
        tokio::select! {
            () = parts.clock.sleep(telemetry::STEP) => {}
            () = until_stop(&mut stop) => return,
        }
    }
}

/// Housekeeping of the store, a little at a time.
async fn maintain(store: Arc<dyn Store>, clock: Clock, mut stop: watch::Receiver<bool>) {
    loop {
        let (store, now) = (store.clone(), clock.now());
        let done = tokio::task::spawn_blocking(move || store.maintain(now, Duration::from_millis(50))).await;
        let more = match done {
            Ok(Ok(maintained)) => maintained.more,
            Ok(Err(error)) => {
                tracing::warn!("housekeeping failed: {error}");
                false
            }
            Err(_) => false,
        };
        let pause = if more { Duration::from_millis(100) } else { Duration::from_secs(5) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = until_stop(&mut stop) => return,
        }
    }
}

impl Running {
    /// Apply another configuration: peers, routes, limits, applications, webhooks and their secrets. Addresses and data
    /// folder stay; which of such changes wait for the next start is returned.
    ///
    /// # Errors
    /// In words: a secret or certificate cannot be read. Then nothing is applied.
    pub fn reload(&self, config: Config) -> anyhow::Result<Vec<String>> {
        let waiting = self.started.fixed_changes(&config);
        let keys = Arc::new(Keys::read(&config.http).map_err(anyhow::Error::msg)?);
        let agreed = Agreements::read(&config, &self.parts.clock).map_err(anyhow::Error::msg)?;
        let tokens = Tokens::read(&config.console).map_err(anyhow::Error::msg)?;
        let config = Arc::new(config);
        self.console.configure(tokens);
        // Before the heart hears of new webhooks: a notice must find its way.
        self.parts.hands.webhooks.configure(&config, &keys);
        self.parts.records.configure(config.charging.clone());
        self.parts.heart.input(Input::Reload(Arc::new(config.house.clone())));
        self.parts.hands.resolver.configure(&config);
        self.parts.hands.courier.configure(&config, &agreed);
        self.parts.http.configure(http::Set { config: config.clone(), keys });
        self.parts.dock.configure(config, agreed);
        Ok(waiting)
    }

    /// Why the store failed, once it has.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.clone();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Stop: no new connections, finish what is under way, park the rest.
    pub async fn stop(self) {
        let patience = {
            let config = self.parts.dock.config.read().unwrap_or_else(PoisonError::into_inner);
            config.limits.stop
        };
        let _ = self.stop.send(true);
        self.parts.hands.courier.stop();
        self.parts.hands.webhooks.stop();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("stopping with {} connections under way; their MMs are kept", self.tasks.len());
        }
        self.parts.heart.stop();
        if let Some(search) = &self.parts.search {
            search.stop();
        }
        let threads = [Some(self.heart_thread), self.search_thread];
        let parts = self.parts.clone();
        let ended = move || {
            threads.into_iter().flatten().for_each(|thread| drop(thread.join()));
            // Everything that was decided has been emitted now.
            parts.records.stop();
        };
        let _ = tokio::task::spawn_blocking(ended).await;
        let _ = std::fs::remove_file(&self.socket);
        tracing::info!("stopped");
    }
}

/// Returns when the house stops.
pub async fn until_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the house is gone altogether, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
