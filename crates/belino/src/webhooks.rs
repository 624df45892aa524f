//! Webhooks: tells applications what happened, by HTTP requests to their configured URLs.
//!
//! Owns: outgoing HTTP connections, their number and their deadlines. Never knows: what a notice means, or when to try
//! again. It connects to the configured URL of the notice's webhook and to nothing else: no address from a message or an
//! answer ever becomes a host, and redirects are not followed.
//!
//! A crash loses connections only. The heart holds every notice until it is told how it ended; an event may come twice,
//! under the same id.

mod event;

use crate::clock::Clock;
use crate::config::http::Webhook;
use crate::config::{Config, Keys, Secret};
use crate::decode::hex;
use crate::heart::Heart;
use crate::serve::until_stop;
use crate::telemetry::{self, Ended, Telemetry};
use crate::traces::{self, Side, Work};
use crate::web_client::{Answered, Connection, Request};
use event::Written;
use mms::Timestamp;
use relay::store::Store;
use relay::{Carried, Event, HookName, Notification, Told};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// Where notices are handed over. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Clock,
    /// How long an unused connection is kept.
    keep: Duration,
    runtime: tokio::runtime::Handle,
    tasks: TaskTracker,
    telemetry: Arc<Telemetry>,
    heart: OnceLock<Heart>,
    hooks: RwLock<HashMap<HookName, Arc<Hook>>>,
    stopping: watch::Sender<bool>,
}

/// The way to one webhook.
struct Hook {
    webhook: Webhook,
    secret: Secret,
    /// As many as may be at work at once.
    places: Semaphore,
    /// Connections that wait for the next event, the one used last at the end.
    unused: Mutex<Vec<Connection>>,
}

impl Webhooks {
    /// Webhooks of a house that has none yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        keep: Duration,
        runtime: tokio::runtime::Handle,
        tasks: TaskTracker,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let (heart, hooks, stopping) = (OnceLock::new(), RwLock::default(), watch::Sender::new(false));
        Self(Arc::new(Inner { store, clock, keep, runtime, tasks, telemetry, heart, hooks, stopping }))
    }

    /// To whom outcomes are told. Once.
    pub fn serve(&self, heart: Heart) {
        let _ = self.0.heart.set(heart);
    }

    /// The webhooks as they are configured now. Connections of before end with their event.
    pub fn configure(&self, config: &Config, keys: &Keys) {
        let mut hooks = HashMap::new();
        for webhook in &config.http.webhooks {
            // Every configured webhook has its secret: both are read as one.
            let Some(secret) = keys.secret(&webhook.name) else { continue };
            let hook = Hook {
                webhook: webhook.clone(),
                secret: secret.clone(),
                places: Semaphore::new(webhook.connections_max.min(Semaphore::MAX_PERMITS)),
                unused: Mutex::default(),
            };
            hooks.insert(webhook.name.clone(), Arc::new(hook));
        }
        *self.0.hooks.write().unwrap_or_else(PoisonError::into_inner) = hooks;
    }

    /// Take a notice. How it ended goes to the heart.
    pub fn dispatch(&self, notification: Notification) {
        if *self.0.stopping.borrow() {
            return; // it stays in its queue
        }
        let hooks = self.0.hooks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(hook) = hooks.get(&notification.notice.hook).cloned() else {
            self.0.tell(&notification, Carried::Unreachable("no such webhook in the configuration".into()));
            return;
        };
        let inner = Arc::clone(&self.0);
        let work = async move {
            let mut stopping = inner.stopping.subscribe();
            let place = tokio::select! {
                biased;
                // What has not begun stays in its queue.
                () = until_stop(&mut stopping) => return,
                place = hook.places.acquire() => place,
            };
            let began = inner.clock.begin();
            let how = inner.bring(&hook, &notification).await;
            drop(place);
            inner.telemetry.worked(notification.mm, &inner.clock, || {
                let (ended, words) = telemetry::end(&how);
                let work = Work::new(began, "tell application", Side::Client)
                    .with(traces::id("belino.webhook", &notification.notice.hook))
                    .with(traces::number("belino.attempt", u64::from(notification.entry.attempt) + 1));
                if ended == Ended::Taken { work } else { work.failed(words) }
            });
            inner.tell(&notification, how);
        };
        self.0.tasks.spawn_on(work, &self.0.runtime);
    }

    /// Let what is under way come to its end, and begin nothing more.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
        self.0.hooks.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Inner {
    fn tell(&self, notification: &Notification, how: Carried) {
        if let Some(heart) = self.heart.get() {
            let (entry, places) = (notification.entry.clone(), Vec::new());
            heart.tell(notification.mm, Event::Carried { entry, places, how });
        }
    }

    async fn bring(&self, hook: &Hook, notification: &Notification) -> Carried {
        let (store, notice) = (Arc::clone(&self.store), notification.clone());
        // Reading and decoding content takes a while: not on the threads that serve sockets.
        let written = tokio::task::spawn_blocking(move || event::write(&*store, &notice)).await;
        let written = match written {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => return Carried::Told(vec![Told::Later(format!("our own store: {error}"))]),
            Err(error) => return Carried::Unable(format!("the event cannot be written: {error}")),
        };
        let request = signed(&hook.webhook, &hook.secret, written, self.clock.now());
        let exchange = async {
            // A kept connection may have died meanwhile: that is no trouble of the application's.
            while let Some(connection) = self.unused(hook) {
                if let Ok(answered) = self.ask(hook, connection, &request).await {
                    return Ok(answered);
                }
            }
            let webhook = &hook.webhook;
            let connection = Connection::open(&webhook.url, &self.runtime).await?;
            self.ask(hook, connection, &request).await
        };
        let name = &hook.webhook.name;
        match self.clock.within(hook.webhook.timeout, exchange).await {
            Some(Ok(answered)) => Carried::Told(vec![told(&answered)]),
            Some(Err(why)) => {
                tracing::warn!(webhook = %name, "webhook cannot be reached: {why}");
                Carried::Unreachable(why)
            }
            None => {
                tracing::warn!(webhook = %name, "webhook did not answer in time");
                Carried::Unreachable(format!("no answer within {} s", hook.webhook.timeout.as_secs()))
            }
        }
    }

    /// A connection that was used not too long ago.
    fn unused(&self, hook: &Hook) -> Option<Connection> {
        let mut unused = hook.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        unused.retain(|c| c.is_open() && now.since(c.used) < self.keep);
        unused.pop()
    }

    async fn ask(
        &self,
        hook: &Hook,
        mut connection: Connection,
        request: &Request,
    ) -> Result<Answered, String> {
        let answered = connection.ask(request).await?;
        if answered.whole && connection.is_open() {
            connection.used = self.clock.now();
            hook.unused.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(answered)
    }
}

/// The request of an event, signed with the time of this attempt.
fn signed(webhook: &Webhook, secret: &Secret, written: Written, now: Timestamp) -> Request {
    let seconds = now.seconds().to_string();
    let signature = secret.sign(&[seconds.as_bytes(), b".", written.body.as_bytes()]);
    let mut request = Request::post(&webhook.url, "application/json", written.body);
    request.header("belino-event", written.event);
    request.header("belino-delivery", &written.id);
    request.header("belino-signature", &format!("t={seconds},v1={}", hex(&signature)));
    request
}

/// What an answer means: taken, never wanted, or not now. A redirect is not followed (SECURITY.md).
fn told(answered: &Answered) -> Told {
    let words = answered.words();
    match answered.status {
        200..=299 => Told::Taken(words),
        410 => Told::Never(words),
        _ => Told::Later(words),
    }
}
