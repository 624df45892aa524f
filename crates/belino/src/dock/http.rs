//! The HTTP dock: where applications hand in MMs, ask what became of them, and fetch what came for them.
//!
//! Owns: how many requests at once, who an application is, the list of operations. Never knows: what a
//! submission means; it reads and asks the heart. An application is known by its bearer token.
//!
//! A crash loses connections only: no `202` leaves before the heart says that everything behind it is durable.
//! The document of its operations is `http/openapi.json`; tests hold it against what is answered.

mod fields;
mod messages;
pub mod own;
pub mod problem;
pub mod shown;
mod submit;
pub mod wanted;

use crate::clock::Clock;
use crate::config::http::Application;
use crate::config::{Config, Keys};
use crate::heart::Heart;
use crate::search::Search;
use crate::telemetry::Telemetry;
use crate::web::{self, Terms};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use problem::{Kind, Problem};
use relay::store::Store;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// What is served, as a document.
pub const OPENAPI: &str = include_str!("http/openapi.json");
/// What is configured, and the secrets that belong to it; replaced as one.
pub struct Set {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Its secrets.
    pub keys: Arc<Keys>,
}

/// What all connections share.
pub struct Dock {
    set: RwLock<Arc<Set>>,
    store: Arc<dyn Store>,
    search: Option<Arc<Search>>,
    heart: Heart,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    requests: Semaphore,
    sessions: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// The application that asks.
struct Caller {
    set: Arc<Set>,
    place: usize,
}

impl Caller {
    fn application(&self) -> &Application {
        &self.set.config.http.applications[self.place]
    }
}

impl Dock {
    /// A dock for this house; with a search index, if one is kept.
    pub fn new(
        set: Set,
        store: Arc<dyn Store>,
        search: Option<Arc<Search>>,
        heart: Heart,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let http = &set.config.http;
        let requests = Semaphore::new(http.requests_max.min(Semaphore::MAX_PERMITS));
        let sessions = Arc::new(Semaphore::new(http.sessions_max.min(Semaphore::MAX_PERMITS)));
        Self {
            set: RwLock::new(Arc::new(set)),
            store,
            search,
            heart,
            clock,
            telemetry,
            requests,
            sessions,
            stop,
        }
    }

    /// Another configuration: applications, webhooks, sizes. Addresses and numbers at once stay.
    pub fn configure(&self, set: Set) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who asks, by the token.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let set = self.set();
        let value = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token =
            value.and_then(|v| v.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
        let name = token.and_then(|(_, token)| set.keys.application(token.trim()));
        let place = name.and_then(|name| set.config.http.applications.iter().position(|a| a.name == name));
        match place {
            Some(place) => Ok(Caller { set, place }),
            None => {
                let what = "Authorization: expected \"Bearer\" and the token of an application";
                Err(Problem::field(Kind::Unauthorised, "Authorization", what))
            }
        }
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn openapi() -> Response<Body> {
    let mut response = Response::new(Body::from(OPENAPI));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn healthz(State(dock): State<Arc<Dock>>) -> Result<Response<Body>, Problem> {
    match dock.store.health().failed {
        None => Ok(json_response(StatusCode::OK, &json!({ "status": "ok" }))),
        Some(_) => Err(Problem::new(Kind::Unavailable, "the store takes nothing any more")),
    }
}

/// Every path and what is done there.
fn operations() -> Vec<(&'static str, MethodRouter<Arc<Dock>>)> {
    vec![
        ("/healthz", get(healthz)),
        ("/v1/openapi.json", get(openapi)),
        ("/v1/messages", get(messages::list).post(submit::submit)),
        ("/v1/messages/{id}", get(messages::one)),
        ("/v1/messages/{id}/parts/{n}", get(messages::part)),
    ]
}

fn router(dock: &Arc<Dock>) -> Router {
    let routes =
        operations().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    let not_allowed = || async { Problem::new(Kind::MethodNotAllowed, "Allow names the methods that are") };
    routes
        .fallback(|| async {
            Problem::new(Kind::NotFound, "no such path; /v1/openapi.json describes them all")
        })
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::disable()) // our own limit comes from the configuration
        .layer(from_fn_with_state(Arc::clone(dock), guard))
        .with_state(Arc::clone(dock))
}

/// Around every request: how many at once, how long each, and what every answer carries.
async fn guard(State(dock): State<Arc<Dock>>, request: Request, next: Next) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let patience = dock.set().config.http.request_timeout;
    let mut response = match dock.requests.try_acquire() {
        Err(_) => Problem::new(Kind::Unavailable, "too many requests at once; try again").into_response(),
        Ok(_place) => match dock.clock.within(patience, next.run(request)).await {
            Some(response) => response,
            None => {
                let what = format!("no complete request within {} s", patience.as_secs());
                Problem::new(Kind::TooSlow, what).into_response()
            }
        },
    };
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(date) = HeaderValue::from_str(&wire::mime::http_date(dock.clock.now())) {
        headers.insert(DATE, date);
    }
    let path = crate::view::Plain(&path);
    tracing::debug!(%method, status = response.status().as_u16(), "HTTP request for {path}");
    response
}

/// Accept connections until the house stops.
pub async fn listen(dock: Arc<Dock>, listener: TcpListener, tasks: TaskTracker) {
    let router = router(&dock);
    let (clock, sessions, stop) = (dock.clock.clone(), Arc::clone(&dock.sessions), dock.stop.clone());
    let patience = Arc::new(move || dock.set().config.http.request_timeout);
    web::listen(Terms { clock, sessions, patience, stop }, listener, router, tasks).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The document has the paths that are served, and an answer for each kind of refusal.
    #[test]
    fn the_document_is_of_this_dock() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let served: BTreeSet<&str> = operations().into_iter().map(|(path, _)| path).collect();
        let written: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(served, written);
        let answers = document.pointer("/paths").unwrap().to_string();
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::MethodNotAllowed) {
            assert!(answers.contains(&format!("\"{}\":", kind.status())), "{kind:?}");
        }
    }
}
