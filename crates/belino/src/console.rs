//! The console: pages for the people who run the relay, served from the binary, with nothing from outside.
//!
//! Owns: incoming connections and their limits, who is let in, what every answer carries, the list of pages. Never knows:
//! what a change means: pages and the admin socket use the same functions.
//!
//! Pages come from strangers' words and pictures: everything is escaped by the templates, nothing runs but one script of
//! ours, and parts of MMs are served so that a browser treats them as nobody's. See docs/decisions/0021-the-console.md.

mod chart;
mod pages;
mod session;

pub use session::{Sessions, Visitor};

use crate::config::console::{Console, Tokens};
use crate::serve::Parts;
use crate::web::{self, Terms};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Form, FromRequest as _, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// Octets of a form.
const FORM_MAX: usize = 64 << 10;
/// Requests at once; one more is answered `503`.
const REQUESTS_MAX: usize = 16;
/// Connections at once; one more waits.
const CONNECTIONS_MAX: usize = 128;
/// How long a request may take, and a connection be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// What pages may do in a browser: nothing but what comes from here, and one script.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What all connections share.
pub struct Desk {
    parts: Arc<Parts>,
    tokens: RwLock<Arc<Tokens>>,
    sessions: Sessions,
    requests: Semaphore,
    connections: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// At which port of ours a request came.
#[derive(Clone, Copy)]
struct Port(u16);

/// From where a request comes, and at which port of ours.
#[derive(Clone, Copy)]
struct Ends {
    from: IpAddr,
    port: u16,
}

/// The fields of a form that was sent by somebody who may change things, from a page of ours.
#[derive(Clone, Default)]
struct Fields(HashMap<String, String>);

impl Fields {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|v| v.trim()).unwrap_or_default()
    }
}

impl Desk {
    /// A console of this relay.
    pub fn new(parts: Arc<Parts>, tokens: Tokens, stop: watch::Receiver<bool>) -> Self {
        let sessions = Sessions::new(parts.clock.clone());
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (tokens, requests) = (RwLock::new(Arc::new(tokens)), Semaphore::new(REQUESTS_MAX));
        Self { parts, tokens, sessions, requests, connections, stop }
    }

    /// Other users and tokens. Sessions of those who are gone, or have another token, end.
    pub fn configure(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// A path that logs this user in once.
    pub fn link(&self, user: &str) -> String {
        format!("/login?link={}", self.sessions.link(user))
    }

    fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn console(&self) -> Console {
        self.parts.dock.config().console.clone()
    }

    fn visitor(&self, request: &Request, port: u16) -> Option<Visitor> {
        let cookie = session::cookie(request.headers(), &cookie_name(port))?;
        self.sessions.visitor(cookie, &self.tokens())
    }
}

/// Cookies are not kept apart by port: two relays on one host would log each other out.
fn cookie_name(port: u16) -> String {
    format!("belino-{port}")
}

/// Every page and what is done there.
fn operations() -> Vec<(&'static str, MethodRouter<Arc<Desk>>)> {
    vec![
        ("/", get(pages::overview::show)),
        ("/login", get(pages::login::ask).post(pages::login::enter)),
        ("/logout", post(pages::login::leave)),
        ("/peers", get(pages::peers::all)),
        ("/peers/{name}", get(pages::peers::one)),
        ("/peers/{name}/{change}", post(pages::peers::change)),
        ("/messages", get(pages::messages::list)),
        ("/messages/{id}", get(pages::mm::show)),
        ("/messages/{id}/raw", get(pages::mm::raw)),
        ("/messages/{id}/parts/{n}", get(pages::parts::one)),
        ("/messages/{id}/{change}", post(pages::mm::change)),
        ("/send", get(pages::send::ask).post(pages::send::hand_in)),
        ("/routes", get(pages::routes::show)),
        ("/alarms", get(pages::alarms::show)),
        ("/audit", get(pages::audit::show)),
        ("/configuration", get(pages::configuration::show)),
        ("/console.css", get(style)),
        ("/console.js", get(script)),
        ("/icon.svg", get(icon)),
    ]
}

fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn style() -> Response<Body> {
    asset("text/css; charset=utf-8", include_str!("console/console.css"))
}

async fn script() -> Response<Body> {
    asset("text/javascript; charset=utf-8", include_str!("console/console.js"))
}

async fn icon() -> Response<Body> {
    asset("image/svg+xml", include_str!("console/icon.svg"))
}

fn router(desk: &Arc<Desk>) -> Router {
    let routes =
        operations().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
    let no_page = |State(desk): State<Arc<Desk>>| async move {
        pages::trouble(&desk, StatusCode::NOT_FOUND, "There is no such page.").await
    };
    let no_method = |State(desk): State<Arc<Desk>>| async move {
        pages::trouble(&desk, StatusCode::METHOD_NOT_ALLOWED, "This page is not used in that way.").await
    };
    routes
        .fallback(no_page)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(desk), guard))
        .layer(DefaultBodyLimit::max(FORM_MAX)) // outside of the guard, which reads forms
        .with_state(Arc::clone(desk))
}

/// Around every request: how many at once, how long each, who asks, and what every answer carries.
async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response<Body> {
    let mut response = match desk.requests.try_acquire() {
        Err(_) => pages::bare(StatusCode::SERVICE_UNAVAILABLE, "Too many requests at once; try again."),
        Ok(_place) => match desk.parts.clock.within(PATIENCE, admit(&desk, request, next)).await {
            Some(response) => response,
            None => pages::bare(StatusCode::REQUEST_TIMEOUT, "That took too long; try again."),
        },
    };
    let headers = response.headers_mut();
    let standing: [(HeaderName, &'static str); 6] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in standing {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A part of an MM has a narrower one.
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    if let Ok(date) = HeaderValue::from_str(&wire::mime::http_date(desk.parts.clock.now())) {
        headers.insert(DATE, date);
    }
    response
}

/// Who asks, and whether that may be asked.
async fn admit(desk: &Arc<Desk>, mut request: Request, next: Next) -> Response<Body> {
    let (from, port) = (request.extensions().get::<SocketAddr>(), request.extensions().get::<Port>());
    let (Some(from), Some(Port(port))) = (from, port) else {
        return pages::bare(StatusCode::INTERNAL_SERVER_ERROR, "The connection is not known.");
    };
    let ends = Ends { from: from.ip(), port: *port };
    request.extensions_mut().insert(ends);
    let path = request.uri().path().to_owned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_open = matches!(path.as_str(), "/login" | "/console.css" | "/console.js" | "/icon.svg");
    if !reads && !session::is_of_ours(request.headers()) {
        tracing::warn!(from = %ends.from, "request to the console refused: it comes from another site's page");
        return pages::bare(StatusCode::FORBIDDEN, "This request comes from a page of another site.");
    }
    let visitor = desk.visitor(&request, ends.port);
    match visitor {
        None if is_open => {}
        None if reads => return redirect("/login"),
        None => return pages::bare(StatusCode::FORBIDDEN, "Log in first: the session has ended."),
        Some(visitor) => {
            request.extensions_mut().insert(visitor);
        }
    }
    if !reads {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let (parts, body) = request.into_parts();
        let copy = Request::from_parts(parts.clone(), body);
        let Ok(Form(fields)) = Form::<HashMap<String, String>>::from_request(copy, &()).await else {
            return pages::bare(StatusCode::BAD_REQUEST, "Expected a form of at most 64 KiB.");
        };
        if path != "/login" {
            let Some(visitor) = visitor else {
                return pages::bare(StatusCode::FORBIDDEN, "Log in first: the session has ended.");
            };
            let shown = fields.get("csrf").map(String::as_str).unwrap_or_default();
            if !visitor.wrote(shown) {
                tracing::warn!(
                    user = visitor.name,
                    "request to the console refused: its form is not of this session"
                );
                return pages::bare(
                    StatusCode::FORBIDDEN,
                    "This form is not of this session: load the page again.",
                );
            }
            if path != "/logout" && !visitor.may_operate() {
                tracing::warn!(user = visitor.name, path, "request to the console refused: the role is read");
                return pages::bare(StatusCode::FORBIDDEN, "Your role is \"read\": it changes nothing.");
            }
        }
        request = Request::from_parts(parts, Body::empty());
        request.extensions_mut().insert(Fields(fields));
    }
    next.run(request).await
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// Accept connections until the house stops.
pub async fn listen(desk: Arc<Desk>, listener: TcpListener, tasks: TaskTracker) {
    let port = listener.local_addr().map_or(0, |a| a.port());
    let terms = Terms {
        clock: desk.parts.clock.clone(),
        sessions: Arc::clone(&desk.connections),
        patience: Arc::new(|| PATIENCE),
        stop: desk.stop.clone(),
    };
    let router = router(&desk).layer(axum::Extension(Port(port)));
    web::listen(terms, listener, router, tasks).await;
}

/// Where a console is listened for.
///
/// # Errors
/// An address cannot be had.
pub async fn bind(console: &Console) -> anyhow::Result<Vec<(TcpListener, SocketAddr)>> {
    use anyhow::Context as _;
    let mut bound = Vec::new();
    for address in &console.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen for the console on {address}"))?;
        let at = listener.local_addr()?;
        bound.push((listener, at));
    }
    Ok(bound)
}
