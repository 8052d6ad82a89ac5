//! An edge on a free port, with its own limits.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::serve::clock::Clock;
use seawall::serve::edge::{Edge, EdgeConfig};
use seawall::serve::http::listener;
use seawall::serve::likes::rates::Addresses;
use tokio_util::sync::CancellationToken;

/// A running edge; it stops when this is dropped.
pub(crate) struct TestEdge {
    pub(crate) edge: Arc<Edge>,
    pub(crate) addr: SocketAddr,
    pub(crate) stop: CancellationToken,
}

impl TestEdge {
    /// An edge in front of `upstream` with the default limits.
    pub(crate) fn start(upstream: &str) -> Self {
        Self::start_with(upstream, MissQueue::Flights, Limits::default())
    }

    /// An edge in front of `upstream`.
    pub(crate) fn start_with(upstream: &str, miss_queue: MissQueue, limits: Limits) -> Self {
        Self::start_limited(
            upstream,
            miss_queue,
            limits,
            listener::ListenerLimits::viewers(),
        )
    }

    /// An edge in front of several servers that stand for one origin.
    pub(crate) fn start_before(upstreams: Vec<String>) -> Self {
        let config = EdgeConfig {
            upstreams,
            ..Self::config("", MissQueue::Flights, Limits::default())
        };
        Self::open(config, listener::ListenerLimits::viewers())
    }

    /// An edge that applies this rate to addresses.
    pub(crate) fn start_counting(upstream: &str, likes: Addresses) -> Self {
        let config = EdgeConfig {
            likes,
            ..Self::config(upstream, MissQueue::Flights, Limits::default())
        };
        Self::open(config, listener::ListenerLimits::viewers())
    }

    /// An edge with this name on a socket that is bound already.
    pub(crate) fn start_named(name: &str, upstream: &str, door: std::net::TcpListener) -> Self {
        let config = EdgeConfig {
            name: name.to_owned(),
            ..Self::config(upstream, MissQueue::Flights, Limits::default())
        };
        door.set_nonblocking(true).unwrap();
        let socket = tokio::net::TcpListener::from_std(door).unwrap();
        Self::open_at(socket, config, listener::ListenerLimits::viewers())
    }

    /// An edge whose listener has its own limits too.
    pub(crate) fn start_limited(
        upstream: &str,
        miss_queue: MissQueue,
        limits: Limits,
        doors: listener::ListenerLimits,
    ) -> Self {
        Self::open(Self::config(upstream, miss_queue, limits), doors)
    }

    fn config(upstream: &str, miss_queue: MissQueue, limits: Limits) -> EdgeConfig {
        EdgeConfig {
            name: "edge-t".to_owned(),
            upstreams: vec![upstream.to_owned()],
            miss_queue,
            cache_bytes: 64 << 20,
            prefetch: true,
            refresh: true,
            limits,
            access_log: None,
            likes: Addresses::default(),
        }
    }

    fn open(config: EdgeConfig, doors: listener::ListenerLimits) -> Self {
        let socket = listener::bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        Self::open_at(socket, config, doors)
    }

    fn open_at(
        socket: tokio::net::TcpListener,
        config: EdgeConfig,
        doors: listener::ListenerLimits,
    ) -> Self {
        let edge = Edge::new(config, Clock::start()).unwrap();
        let addr = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let counters = edge.metrics().connections.clone();
        let front = edge.clone();
        tokio::spawn(listener::serve(
            socket,
            edge.routes(),
            move |request: &_| front.fresh_hit(request),
            doors,
            Some(counters),
            stop.clone(),
        ));
        Self { edge, addr, stop }
    }

    /// The value of a series in the edge's metrics, found by the start of its line.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.edge.registry().render()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(series))
            .unwrap_or_else(|| panic!("no {series} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Whether no fetch, task or waiter is left.
    pub(crate) fn quiet(&self) -> bool {
        self.edge.flights_under_way() == 0 && self.edge.tasks() == 0 && self.edge.waiters() == 0
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
