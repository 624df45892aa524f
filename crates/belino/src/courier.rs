//! The courier: carries errands to peers over pooled SMTP connections.
//!
//! Owns: outgoing connections, their number and their deadlines. Never knows: what an errand means, or when to try
//! again. It connects to the configured hosts of the errand's peer and to nothing else: no name from a message ever
//! becomes a host.
//!
//! A crash loses connections only. The heart holds every errand until it is told how it ended.

mod connection;
mod mail;

use crate::agreements::Agreements;
use crate::clock::{Began, Clock};
use crate::config::{HouseLimits, Link};
use crate::discovery::HostTrouble;
use crate::heart::Heart;
use crate::resolver::Resolver;
use crate::serve::until_stop;
use crate::telemetry::{self, Ended, Telemetry};
use crate::traces::{self, Side, Work};
pub use connection::connect;
use connection::{Connection, Way};
use mms::{Domain, Timestamp};
use relay::{Carried, Errand, Event, PeerName, Told};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};
use store::Embedded;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

/// Where errands are handed over. Cheap to clone.
#[derive(Clone)]
pub struct Courier(Arc<Inner>);

struct Inner {
    store: Arc<Embedded>,
    clock: Clock,
    host_name: String,
    limits: RwLock<Arc<HouseLimits>>,
    runtime: tokio::runtime::Handle,
    tasks: TaskTracker,
    resolver: Resolver,
    telemetry: Arc<Telemetry>,
    heart: OnceLock<Heart>,
    routes: RwLock<HashMap<PeerName, Arc<Route>>>,
    stopping: watch::Sender<bool>,
}

/// The way to one peer.
struct Route {
    link: Link,
    agreed: Arc<Agreements>,
    profile: relay::house::Profile,
    /// The peer's first domain, by which its hosts are found in the DNS.
    domain: Option<Domain>,
    sender: mpsc::UnboundedSender<Errand>,
    /// Errands in order of arrival; workers take turns. Bounded by what the heart lets be in flight.
    errands: tokio::sync::Mutex<mpsc::UnboundedReceiver<Errand>>,
    hands: Mutex<Hands>,
}

/// Who works for a peer, and what waits. Changed as one, so that no errand is left to a worker that is just leaving.
#[derive(Default)]
struct Hands {
    workers: usize,
    /// Workers that wait for an errand.
    idle: usize,
    /// Errands that no worker has taken yet.
    queued: usize,
}

impl Hands {
    /// Whether errands wait that no idle worker will take.
    const fn are_missing(&self) -> bool {
        self.queued > self.idle
    }
}

impl Route {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Courier {
    /// A courier that knows no peer yet.
    pub fn new(
        store: Arc<Embedded>,
        clock: Clock,
        config: &crate::config::Config,
        runtime: tokio::runtime::Handle,
        tasks: TaskTracker,
        resolver: Resolver,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let host_name = config.host_name.clone();
        let limits = RwLock::new(Arc::new(config.limits.clone()));
        Self(Arc::new(Inner {
            store,
            clock,
            host_name,
            limits,
            runtime,
            tasks,
            resolver,
            telemetry,
            heart: OnceLock::new(),
            routes: RwLock::default(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// To whom outcomes are told. Once.
    pub fn serve(&self, heart: Heart) {
        let _ = self.0.heart.set(heart);
    }

    /// The peers as they are configured now. Connections of before end with their errand.
    pub fn configure(&self, config: &crate::config::Config, agreed: &Arc<Agreements>) {
        let mut routes = HashMap::new();
        for link in &config.links {
            let Some(peer) = config.house.peer(&link.peer) else { continue };
            let (sender, receiver) = mpsc::unbounded_channel();
            let route = Route {
                link: link.clone(),
                agreed: agreed.clone(),
                profile: peer.profile.clone(),
                domain: peer.domains.first().cloned(),
                sender,
                errands: tokio::sync::Mutex::new(receiver),
                hands: Mutex::default(),
            };
            routes.insert(link.peer.clone(), Arc::new(route));
        }
        *self.0.limits.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(config.limits.clone());
        *self.0.routes.write().unwrap_or_else(std::sync::PoisonError::into_inner) = routes;
    }

    /// Take an errand. Its outcome goes to the heart.
    pub fn dispatch(&self, errand: Errand) {
        let routes = self.0.routes.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(route) = routes.get(&errand.peer) else {
            self.0.tell(&errand, Carried::Unreachable("no such peer in the configuration".into()));
            return;
        };
        let mut hands = route.hands();
        if let Err(back) = route.sender.send(errand) {
            self.0.tell(&back.0, Carried::Unreachable("the courier is stopping".into()));
            return;
        }
        hands.queued += 1;
        // One more worker, if more errands wait than workers, and the peer allows one more connection.
        if !hands.are_missing() || hands.workers >= route.link.connections_max {
            return;
        }
        hands.workers += 1;
        drop(hands);
        let (inner, route) = (Arc::clone(&self.0), Arc::clone(route));
        let work = async move { inner.work(&route).await };
        self.0.tasks.spawn_on(work, &self.0.runtime);
    }

    /// Let the workers finish what is in their hands, and take no more.
    pub fn stop(&self) {
        // Not `send`: it does nothing while no worker listens, as when all of them are carrying.
        self.0.stopping.send_replace(true);
        self.0.routes.write().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

/// A worker, counted until it leaves, also when it panics.
struct Worker<'a> {
    route: &'a Route,
    counted: bool,
}

impl Worker<'_> {
    /// Leave, unless an errand waits that nobody else was called for.
    fn may_leave(&mut self, stopping: bool) -> bool {
        let mut hands = self.route.hands();
        if hands.are_missing() && !stopping {
            return false;
        }
        hands.workers -= 1;
        self.counted = false;
        true
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.route.hands().workers -= 1;
        }
    }
}

impl Inner {
    /// Deadlines, as they are configured now.
    fn limits(&self) -> Arc<HouseLimits> {
        Arc::clone(&self.limits.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn tell(&self, errand: &Errand, how: Carried) {
        if let Some(heart) = self.heart.get() {
            let (entry, places) = (errand.entry.clone(), errand.places.clone());
            heart.tell(errand.mm, Event::Carried { entry, places, how });
        }
    }

    fn count(&self, errand: &Errand, how: &Carried, began: Began) {
        let now = self.clock.now();
        let octets = errand.body.as_ref().map_or(0, |(content, offset)| content.len - offset);
        let age = now.since(Timestamp::from_millis(errand.mm.millis()));
        self.telemetry.carried(&errand.peer, &errand.message, how, octets, age, now);
        self.telemetry.worked(errand.mm, &self.clock, || {
            let (ended, words) = telemetry::end(how);
            let name = errand.message.message_type().as_str();
            let work = Work::new(began, format!("send {name}"), Side::Client)
                .with(traces::id("belino.peer", &errand.peer))
                .with(traces::number("belino.attempt", u64::from(errand.entry.attempt) + 1))
                .with(traces::number("belino.recipients", errand.recipients.len() as u64))
                .with(traces::number("belino.content.octets", octets))
                .with(traces::id("belino.outcome", ended.word()));
            if ended == Ended::Taken { work } else { work.failed(words) }
        });
    }

    /// Wait for an errand, but not longer than a connection is kept unused.
    async fn next(&self, route: &Route) -> Option<Errand> {
        let mut stopping = self.stopping.subscribe();
        loop {
            route.hands().idle += 1;
            let wait = async { route.errands.lock().await.recv().await };
            let errand = tokio::select! {
                biased;
                () = until_stop(&mut stopping) => None,
                errand = self.clock.within(self.limits().keep, wait) => errand.flatten(),
            };
            let mut hands = route.hands();
            hands.idle -= 1;
            hands.queued -= usize::from(errand.is_some());
            // It came while this worker turned away, and nobody else was called for it.
            if errand.is_none() && hands.are_missing() && !*self.stopping.borrow() {
                continue;
            }
            return errand;
        }
    }

    /// The life of a worker: one connection at a time, errand after errand.
    async fn work(&self, route: &Arc<Route>) {
        let mut worker = Worker { route, counted: true };
        loop {
            let mut connection: Option<Connection> = None;
            while let Some(errand) = self.next(route).await {
                let began = self.clock.begin();
                let how = self.carry(route, &mut connection, &errand).await;
                if route.link.one_message_per_connection
                    && let Some(connection) = connection.take()
                {
                    connection.quit(&self.clock, &self.limits()).await;
                }
                self.count(&errand, &how, began);
                self.tell(&errand, how);
            }
            if let Some(connection) = connection {
                connection.quit(&self.clock, &self.limits()).await;
            }
            if worker.may_leave(*self.stopping.borrow()) {
                return;
            }
        }
    }

    async fn carry(&self, route: &Route, slot: &mut Option<Connection>, errand: &Errand) -> Carried {
        let mail = match mail::prepare(&route.profile, errand, &self.store) {
            Ok(mail) => mail,
            Err(why) => return Carried::Unable(why),
        };
        if let Some(most) = route.profile.size_max.filter(|most| mail.size > *most) {
            // As when the peer announces it by SIZE: it will never take this one.
            let why = format!("at most {most} octets go to this peer, this has {}", mail.size);
            return Carried::Told(errand.recipients.iter().map(|_| Told::Never(why.clone())).collect());
        }
        // A kept connection may have died meanwhile: that is no trouble of the peer's, so a fresh one is tried.
        for fresh in [slot.is_none(), true] {
            let mut connection = match slot.take() {
                Some(connection) => connection,
                None => match self.connect(route).await {
                    Ok(connection) => connection,
                    Err(NoWay::Now(why)) => return Carried::Unreachable(why),
                    // No host will ever take it; waiting would not help (RFC 7505).
                    Err(NoWay::Ever(why)) => {
                        return Carried::Told(
                            errand.recipients.iter().map(|_| Told::Never(why.clone())).collect(),
                        );
                    }
                },
            };
            let (how, usable) =
                connection.carry(&self.clock, &self.limits(), &self.store, &mail, errand).await;
            if usable {
                *slot = Some(connection);
            }
            match how {
                connection::Outcome::NotBegun(_) if !fresh => {}
                connection::Outcome::NotBegun(why) => return Carried::Unreachable(why),
                connection::Outcome::Over(how) => return how,
            }
        }
        Carried::Unreachable("the connection ended before the message".into())
    }

    /// The first host that answers, in the configured order or in the order that the DNS has.
    async fn connect(&self, route: &Route) -> Result<Connection, NoWay> {
        let mut trouble = Vec::new();
        for host in self.hosts(route).await? {
            let way = Way { link: &route.link, host: &host, name: &self.host_name, agreed: &route.agreed };
            match Connection::open(&way, &self.clock, &self.limits()).await {
                Ok(connection) => {
                    tracing::debug!(peer = %route.link.peer, host, "connected {}", connection.tls_facts());
                    return Ok(connection);
                }
                Err(why) => {
                    tracing::debug!(peer = %route.link.peer, host, why, "no connection");
                    trouble.push(format!("{host}: {why}"));
                }
            }
        }
        let why = if trouble.is_empty() { "no host is configured".into() } else { trouble.join("; ") };
        tracing::warn!(peer = %route.link.peer, "peer cannot be reached: {why}");
        Err(NoWay::Now(why))
    }

    /// `host:port`, as configured, or found for the peer's own domain. No name from a message is ever looked up.
    async fn hosts(&self, route: &Route) -> Result<Vec<String>, NoWay> {
        let (Some(discover), Some(domain)) = (&route.link.discover, &route.domain) else {
            return Ok(route.link.hosts.clone());
        };
        match self.resolver.hosts(domain, discover, &mut Vec::new()).await {
            Ok(hosts) => Ok(hosts.iter().map(ToString::to_string).collect()),
            Err(trouble) => {
                tracing::warn!(peer = %route.link.peer, "no host of {domain} can be found: {trouble}");
                Err(match trouble {
                    HostTrouble::Never(why) => NoWay::Ever(why),
                    HostTrouble::Later(why) => NoWay::Now(why),
                })
            }
        }
    }
}

/// Why there is no connection.
enum NoWay {
    /// Not at present.
    Now(String),
    /// There is no host, and there will be none.
    Ever(String),
}
