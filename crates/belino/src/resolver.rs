//! The resolver: looks numbers up for the heart, and says how for people.
//!
//! Owns: look-ups under way. Never knows: what follows from an answer; the heart decides that.
//!
//! A crash loses look-ups under way; the heart hands them out again after the next start.

use crate::clock::Clock;
use crate::config::{Config, Discover};
use crate::discovery::{self, Discovery};
use crate::heart::Heart;
use crate::telemetry::Telemetry;
use crate::traces::{self, Side, Work};
use mms::{Number, Party};
use relay::{Event, Found, House, Lookup, PeerName, Route};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tokio_util::task::TaskTracker;

/// Where look-ups are handed over. Cheap to clone.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    clock: Clock,
    runtime: tokio::runtime::Handle,
    tasks: TaskTracker,
    telemetry: OnceLock<Arc<Telemetry>>,
    heart: OnceLock<Heart>,
    sources: RwLock<Arc<Sources>>,
}

/// What is asked, and what our own tables know.
struct Sources {
    discovery: Discovery,
    house: House,
}

impl Resolver {
    /// A resolver for a configuration.
    pub fn new(config: &Config, clock: Clock, runtime: tokio::runtime::Handle, tasks: TaskTracker) -> Self {
        let sources = RwLock::new(Arc::new(Sources::new(config, &clock)));
        let (telemetry, heart) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { clock, runtime, tasks, telemetry, heart, sources }))
    }

    /// To whom answers are told. Once.
    pub fn serve(&self, heart: Heart) {
        let _ = self.0.heart.set(heart);
    }

    /// To whom work is told. Once.
    pub fn tell(&self, telemetry: Arc<Telemetry>) {
        let _ = self.0.telemetry.set(telemetry);
    }

    /// The sources as they are configured now; what was remembered of the old ones is forgotten.
    pub fn configure(&self, config: &Config) {
        let sources = Arc::new(Sources::new(config, &self.0.clock));
        *self.0.sources.write().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    fn sources(&self) -> Arc<Sources> {
        self.0.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Take a look-up. What is found goes to the heart.
    pub fn dispatch(&self, lookup: Lookup) {
        let Some(heart) = self.0.heart.get().cloned() else { return };
        let (sources, inner) = (self.sources(), Arc::clone(&self.0));
        let work = async move {
            let began = inner.clock.begin();
            let asked = lookup.numbers.iter().map(|(place, number)| {
                let sources = Arc::clone(&sources);
                let (place, number) = (*place, number.clone());
                async move { (place, sources.find(&number, &mut Vec::new()).await) }
            });
            // Side by side: one slow source costs its time once, not once for each recipient.
            let mut tasks = tokio::task::JoinSet::new();
            asked.for_each(|ask| drop(tasks.spawn(ask)));
            let found = tasks.join_all().await;
            if let Some(telemetry) = inner.telemetry.get() {
                telemetry.worked(lookup.mm, &inner.clock, || {
                    let work = Work::new(began, "look up recipients", Side::Client)
                        .with(traces::number("belino.attempt", u64::from(lookup.entry.attempt) + 1))
                        .with(traces::number("belino.recipients", found.len() as u64));
                    let trouble = found.iter().find(|(_, found)| matches!(found, Found::Later(_)));
                    match trouble {
                        Some((_, found)) => work.failed(&found.words()),
                        None => work,
                    }
                });
            }
            heart.tell(lookup.mm, Event::Found { entry: lookup.entry, found });
        };
        self.0.tasks.spawn_on(work, &self.0.runtime);
    }

    /// Where a recipient's MM would go, with every step that leads there; `None` while nobody can say, so that it would
    /// wait.
    pub async fn explain(&self, party: &Party) -> (Option<Route>, Vec<String>) {
        let sources = self.sources();
        let tables = sources.house.explain(party);
        let Some(number) = party.address.number().filter(|_| sources.house.asks_for(party)) else {
            return (Some(tables.route), tables.steps);
        };
        let mut steps = Vec::new();
        let found = sources.find(number, &mut steps).await;
        steps.push(found.words());
        if !matches!(found, Found::Peer(_) | Found::Later(_)) {
            steps.extend(tables.steps.into_iter().map(|step| format!("our tables: {step}")));
        }
        (sources.house.route_found(party, &found), steps)
    }

    /// Where the hosts of a domain are, with the steps that lead there.
    ///
    /// # Errors
    /// None can be found, now or at all.
    pub async fn hosts(
        &self,
        domain: &mms::Domain,
        discover: &Discover,
        say: &mut Vec<String>,
    ) -> Result<Vec<std::net::SocketAddr>, discovery::HostTrouble> {
        self.sources().discovery.hosts_shown(domain, discover.port, &discover.resolvers, say).await
    }
}

impl Sources {
    fn new(config: &Config, clock: &Clock) -> Self {
        Self { discovery: Discovery::new(&config.discovery, clock.clone()), house: config.house.clone() }
    }

    async fn find(&self, number: &Number, say: &mut Vec<String>) -> Found {
        let by_tables = |number: &Number| {
            let party = Party::from(mms::Address::Plmn(number.clone()));
            !matches!(self.house.route(&party), Route::Nowhere(relay::Reason::NoRoute))
        };
        match self.discovery.find(number, None, &by_tables, say).await {
            discovery::Found::Path(path) => Found::Path(path),
            discovery::Found::Domain(domain) => Found::Domain(domain),
            discovery::Found::Peer(name) => Found::Peer(PeerName::new(&name)),
            discovery::Found::Here => Found::Here,
            discovery::Found::Static => Found::Tables,
            discovery::Found::Nothing => Found::Nothing,
            discovery::Found::Later(why) => Found::Later(why),
        }
    }
}
