//! Connections: how many, how patient we are with them, and how they end.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use super::ingest::KeepsConnection;
use super::not_ready;
use crate::metrics;

/// Connections that the system keeps until they are accepted, if it is set to keep as many. Whoever
/// finds the queue full tries again a second later.
const QUEUE: u32 = 4096;

/// The pause after a connection could not be accepted: what is short then (files, memory) is not
/// there again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of a request.
const LONGEST_HEAD: usize = 32 << 10;

/// What is asked while nothing else can be answered yet, and all the rest from then on.
#[derive(Clone)]
pub struct Gate {
    closed: Router,
    open: Arc<OnceLock<Router>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            closed: not_ready(),
            open: Arc::default(),
        }
    }
}

impl Gate {
    /// From now on requests go to these routes.
    pub fn open(&self, router: Router) {
        // The first opening counts; there is only one.
        let _ = self.open.set(router);
    }

    fn router(&self) -> Router {
        self.open.get().unwrap_or(&self.closed).clone()
    }
}

/// Accepts connections and serves them.
pub struct HttpServer {
    listener: TcpListener,
    gate: Gate,
    header_timeout: Duration,
    max_connections: usize,
}

/// Listens on the first address of `listen` that can be had.
async fn bind(listen: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(ErrorKind::InvalidInput, "names no address");
    for address in tokio::net::lookup_host(listen).await? {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let bound = socket.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(QUEUE)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl HttpServer {
    /// Binds `listen`.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn bind(
        listen: &str,
        gate: Gate,
        header_timeout: Duration,
        max_connections: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: bind(listen).await?,
            gate,
            header_timeout,
            max_connections,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` changes; then takes no more requests, and lets those that run come to
    /// their end.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.max_connections));
        while !*stop.borrow() {
            // Those that find no room wait in the system's queue.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.changed() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    self.serve(stream, permit, &graceful);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        graceful.shutdown().await;
    }

    fn serve(&self, stream: TcpStream, permit: OwnedSemaphorePermit, graceful: &GracefulShutdown) {
        // Answers are written in one piece, or are long: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let gate = self.gate.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let router = gate.router();
            // Where a proxy in front goes by another length than we do, what follows is not what it
            // took for a request (RFC 9112, 6.1): nothing follows, but for those who are known.
            let last = request.headers().contains_key(header::TRANSFER_ENCODING);
            async move {
                let request: Request = request.map(Body::new);
                let Ok(mut answer) = router.oneshot(request).await;
                if last && answer.extensions().get::<KeepsConnection>().is_none() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        metrics::connection_opened();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            metrics::connection_closed();
            drop(permit);
        });
    }
}
