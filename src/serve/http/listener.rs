//! The accept loop: warp's routes served by hyper, with the bounds that warp's own server lacks.
//!
//! A connection ends when its peer leaves, when it makes no progress, or when the drain limit at the end passes.
//! [`request_filter`] checks every request before any route.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryFutureExt, future};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::Reply;

use crate::serve::http::connection::{self, Connection, WriteProgress};
use crate::serve::http::request_filter::{self, Afterwards};
use crate::serve::workers::Workers;

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Connections at once; beyond it a new one is answered 503 and closed.
    pub connections: usize,
    /// Time from the first byte of a request, or from the answer before it, to the end of the request's head.
    pub head: Duration,
    /// The least number of bytes that a reader must take per interval.
    pub progress: WriteProgress,
    /// How long answers in flight may take once the listener stops.
    pub drain: Duration,
    /// Methods that the routes know; any other is refused.
    pub methods: &'static [http::Method],
    /// Where connections are served.
    pub workers: Workers,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 15_000,
            head: Duration::from_secs(10),
            progress: WriteProgress {
                bytes_min: 8 * 1024,
                interval: Duration::from_secs(10),
            },
            drain: Duration::from_secs(10),
            methods: &[http::Method::GET, http::Method::HEAD, http::Method::OPTIONS],
            workers: Workers::Here,
        }
    }
}

impl ListenerLimits {
    /// For viewers: the edge passes on every method that a foreign origin may know.
    pub fn viewers() -> Self {
        use http::Method;
        const METHODS: [Method; 7] = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        Self {
            methods: &METHODS,
            ..Self::default()
        }
    }
}

/// What a listener counts.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Connections open now.
    pub open: prometheus::IntGauge,
    /// Connections accepted so far.
    pub accepted: prometheus::IntCounter,
    /// Connections refused because the listener was full.
    pub refused: prometheus::IntCounter,
}

/// The target of a request, found in its extensions, because warp has no filter that gives path and query without
/// copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub http::Uri);

/// The other end of a request's connection, found in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; {}", advice(source, option))]
pub struct BindError {
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// The flag that sets it.
    pub option: &'static str,
    /// What the system said.
    pub source: io::Error,
}

fn advice(source: &io::Error, option: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program has this port: stop it, or choose another with {option} (port 0 takes any free one)"
            )
        }
        io::ErrorKind::PermissionDenied => format!("choose a port above 1023 with {option}"),
        _ => format!("choose another address with {option}"),
    }
}

/// Opens a listening socket with a backlog wide enough for a surge. `option` is the flag that an error names.
///
/// # Errors
/// The port is taken, or the address does not belong to this machine.
pub fn bind(addr: SocketAddr, option: &'static str) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(4_096)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| BindError {
        addr,
        option,
        source,
    })
}

/// Answers a request by a plain call, before any route: no copy of the headers, no extension, no future of its own.
pub trait AtOnce:
    Fn(&hyper::Request<Incoming>) -> Option<http::Response<Bytes>> + Clone + Send + 'static
{
}

impl<F> AtOnce for F where
    F: Fn(&hyper::Request<Incoming>) -> Option<http::Response<Bytes>> + Clone + Send + 'static
{
}

/// Leaves every request to the routes.
pub fn nothing_at_once(_: &hyper::Request<Incoming>) -> Option<http::Response<Bytes>> {
    None
}

/// Serves `routes` until `stop`, then drains. Returns when the last connection has ended or the drain limit has passed.
pub async fn serve<F, R>(
    listener: TcpListener,
    routes: F,
    at_once: impl AtOnce,
    limits: ListenerLimits,
    counters: Option<Counters>,
    stop: CancellationToken,
) where
    F: warp::Filter<Extract = (R,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Future: Send,
    R: Reply + Send,
{
    let routes = warp::service(routes);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely the process is out of descriptors: wait until one is free instead of spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            if let Some(counters) = &counters {
                counters.refused.inc();
            }
            refuse(&stream);
            continue;
        };
        if let Some(counters) = &counters {
            counters.accepted.inc();
        }
        let open = Open::new(
            slot,
            counters.as_ref().map(|counters| counters.open.clone()),
        );
        // This thread's poller has known the socket until now. The worker's poller knows it from the task's first poll
        // on.
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let task = serve_connection(
            stream,
            peer,
            routes.clone(),
            at_once.clone(),
            limits.clone(),
            // A token of the connection's own: polling a token takes its lock, which the connections must not share.
            stop.child_token(),
        );
        let abandon = abandon.child_token();
        // The task ends with the peer, with the progress guard, with the drain, or when the drain is given up.
        let served = async move {
            let _open = open;
            let _ = abandon.run_until_cancelled_owned(task).await;
        };
        connections.spawn_on(served, &limits.workers.next());
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = connections.len(),
            "answers were still in flight when the drain limit passed"
        );
        abandon.cancel();
        connections.wait().await;
    }
}

/// A place among the open connections; dropping it gives the place back.
struct Open {
    _slot: OwnedSemaphorePermit,
    gauge: Option<prometheus::IntGauge>,
}

impl Open {
    fn new(slot: OwnedSemaphorePermit, gauge: Option<prometheus::IntGauge>) -> Self {
        gauge.iter().for_each(prometheus::IntGauge::inc);
        Self { _slot: slot, gauge }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.iter().for_each(prometheus::IntGauge::dec);
    }
}

/// Tells a peer beyond the limit to come back. Whether the answer arrives depends on the peer's buffers.
fn refuse(stream: &TcpStream) {
    const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // The runtime does not know yet that a fresh socket is writable, so the write goes to the socket itself.
    let _ = socket2::SockRef::from(stream).send(FULL);
}

async fn serve_connection<S>(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    routes: S,
    at_once: impl AtOnce,
    limits: ListenerLimits,
    stop: CancellationToken,
) where
    S: Service<hyper::Request<Incoming>, Response = warp::reply::Response, Error = Infallible>
        + Clone
        + Send,
    S::Future: Send,
{
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "cannot serve a connection");
            return;
        }
    };
    // Without this option, Nagle's algorithm and delayed acknowledgements add 40 ms to small answers.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let writer = Arc::new(writer);
    let methods = limits.methods;
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let verdict = request_filter::check(
            request.method(),
            request.uri(),
            request.version(),
            request.headers(),
            methods,
        );
        let answered = match verdict {
            Ok(afterwards) => at_once(&request).map(|response| (response, afterwards)),
            Err(refusal) => Some((refused(refusal), Afterwards::Close)),
        };
        if let Some((response, afterwards)) = answered {
            let response = response.map(|body| Either::Left(Full::new(body)));
            return future::Either::Left(future::ready(Ok(ended(response, afterwards))));
        }
        let afterwards = verdict.unwrap_or(Afterwards::Close);
        let target = Target(request.uri().clone());
        request.extensions_mut().insert(target);
        request.extensions_mut().insert(Peer(peer));
        // `map_ok` and no async block: a block would keep a second place for the same large future.
        let answering = routes
            .clone()
            .call(request)
            .map_ok(move |response| ended(response.map(Either::Right), afterwards));
        future::Either::Right(answering)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(32 * 1024)
        .half_close(true)
        .serve_connection(
            Connection::new(reader, writer.clone(), limits.progress),
            service,
        );
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection::hung_up(&writer) => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = connection::hung_up(&writer) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

fn refused(refusal: request_filter::Refusal) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(format!("{refusal}\n")));
    *response.status_mut() = refusal.status();
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Says in the answer that the connection closes after it, if it does.
fn ended<B>(mut response: http::Response<B>, afterwards: Afterwards) -> http::Response<B> {
    if afterwards == Afterwards::Close {
        response.headers_mut().insert(
            http::header::CONNECTION,
            http::HeaderValue::from_static("close"),
        );
    }
    response
}
