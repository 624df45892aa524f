//! HTTP connections, the same for everything that is served over HTTP: how many at once, how long each, how they end.
//!
//! Owns: accepting, and the life of a connection. Never knows: what is served; that is the router's business.
//! A crash loses connections only.

use crate::clock::Clock;
use crate::serve::until_stop;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// Octets of a request's header section.
const HEAD_MAX: usize = 64 << 10;
/// A connection is asked to end after this, so that nobody holds one by reading slowly.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);

/// What a listener keeps to.
#[derive(Clone)]
pub struct Terms {
    /// What tells the time.
    pub clock: Clock,
    /// Connections at once; one more waits.
    pub sessions: Arc<Semaphore>,
    /// How long a request's header section may take to come in, and a connection to finish at a stop.
    pub patience: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Turns `true` when the house stops.
    pub stop: watch::Receiver<bool>,
}

/// Accept connections until the house stops. What is served is told who connects by the request's extension
/// [`std::net::SocketAddr`].
pub async fn listen(terms: Terms, listener: TcpListener, router: Router, tasks: TaskTracker) {
    let mut stop = terms.stop.clone();
    loop {
        let next = async {
            // Closed never: the terms live as long as their listeners.
            let place = Arc::clone(&terms.sessions).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = until_stop(&mut stop) => return,
            next = next => next,
        };
        match accepted {
            Ok((socket, address)) => {
                let (terms, router) = (terms.clone(), router.clone().layer(axum::Extension(address)));
                tasks.spawn(async move {
                    serve(&terms, socket, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: a moment's rest instead of a spin.
                tracing::error!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The life of a connection: request after request, until the other side or the house ends it.
async fn serve(terms: &Terms, socket: TcpStream, router: Router) {
    let _ = socket.set_nodelay(true);
    let patience = (terms.patience)();
    let connection = http1::Builder::new()
        .timer(terms.clock.clone())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_MAX)
        .auto_date_header(false) // written by the house's clock where it is wanted
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let mut stop = terms.stop.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = until_stop(&mut stop) => None,
        () = terms.clock.sleep(CONNECTION_LIFE) => None,
    };
    let ended = match ended {
        Some(ended) => Some(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            terms.clock.within(patience, connection).await
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!("HTTP connection: {error}");
    }
}
