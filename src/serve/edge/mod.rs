//! An edge: viewers on one side, an origin on the other, a cache and a miss queue between.
//!
//! ```text
//! request ─▶ routes ─▶ store ── fresh, stale, negative ──▶ answer
//!                        │ nothing that serves
//!                        ▼
//!                      flights ── lead: fetch (a task of the edge's own) ─▶ upstream ─▶ origin
//!                        │ follow: watch that fetch                │
//!                        ▼                                         ▼ whole and of the length announced
//!                      answer ◀── chunks as they arrive         store
//! ```

mod answer;
mod baseline;
mod fetch;
pub mod flights;
mod head;
pub mod metrics;
mod pass;
mod routes;
pub mod store;
pub mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::flights::Table;
use self::metrics::Metrics;
use self::store::Store;
use self::upstream::{OriginBound, Upstream, UpstreamError};
use super::clock::Clock;
use super::metrics::Registry;
use crate::policy::limits::Limits;
use crate::policy::status::MissQueue;

/// What one edge is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in metrics, `Via` and `Cache-Status`.
    pub name: String,
    /// `http://host:port` of the origin.
    pub upstream: String,
    /// What happens to misses.
    pub miss_queue: MissQueue,
    /// Bytes that its store may hold.
    pub cache_bytes: u64,
    /// Its bounds.
    pub limits: Limits,
}

/// One edge.
#[derive(Debug)]
pub struct Edge {
    name: String,
    miss_queue: MissQueue,
    clock: Clock,
    limits: Limits,
    store: Store,
    flights: Arc<Table>,
    upstream: Upstream,
    baseline: baseline::Moka,
    metrics: Metrics,
    registry: Registry,
    /// Every fetch runs in here; each ends by its own limits.
    tasks: TaskTracker,
    origin_seen: AtomicBool,
}

impl Edge {
    /// An edge with a cold cache.
    ///
    /// # Errors
    /// The upstream is no `http://host:port`.
    pub fn new(config: Config, clock: Clock) -> Result<Arc<Self>, UpstreamError> {
        let Config {
            name,
            upstream,
            miss_queue,
            cache_bytes,
            limits,
        } = config;
        let bound = if miss_queue == MissQueue::Flights {
            OriginBound::Bounded
        } else {
            OriginBound::Unbounded
        };
        let upstream = Upstream::new(&upstream, &name, limits, bound)?;
        let registry = Registry::new(&[("edge", &name)]);
        let store = Store::new(cache_bytes);
        let flights = Arc::new(Table::new());
        let metrics = Metrics::new(&registry, &store, &flights);
        Ok(Arc::new(Self {
            name,
            miss_queue,
            clock,
            limits,
            store,
            flights,
            upstream,
            baseline: baseline::Moka::new(cache_bytes),
            metrics,
            registry,
            tasks: TaskTracker::new(),
            origin_seen: AtomicBool::new(false),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its metrics are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Flights under way.
    pub fn flights_under_way(&self) -> usize {
        self.flights.under_way()
    }

    /// Requests that wait for a flight.
    pub fn waiters(&self) -> u32 {
        self.flights.waiters()
    }

    /// The most requests that waited at once since the last call, or the last scrape.
    pub fn take_waiters_peak(&self) -> u32 {
        self.flights.take_waiters_peak()
    }

    /// Fetches that run in tasks of the edge's own.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Whether the origin has ever answered; else the sentence that says so.
    ///
    /// # Errors
    /// The origin has not been reached yet.
    pub fn ready(&self) -> Result<(), String> {
        if self.origin_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(format!(
            "the origin at http://{} has not been reached yet",
            self.upstream.authority()
        ))
    }

    /// Looks for the origin until it answers, and says once when it does not. Ends then, or with `stop`.
    pub async fn find_origin(self: Arc<Self>, stop: CancellationToken) {
        let origin = self.upstream.authority().to_string();
        let mut told = false;
        while !stop.is_cancelled() {
            match tokio::time::timeout(self.limits.connect, tokio::net::TcpStream::connect(&origin))
                .await
            {
                Ok(Ok(_)) => {
                    self.origin_seen.store(true, Ordering::Relaxed);
                    if told {
                        tracing::info!(
                            edge = self.name,
                            "the origin at http://{origin} is there now"
                        );
                    }
                    return;
                }
                Ok(Err(_)) | Err(_) if told => {}
                Ok(Err(error)) => self.warn_of(&origin, &error.to_string(), &mut told),
                Err(_) => self.warn_of(&origin, "no connection in time", &mut told),
            }
            let _ = stop
                .run_until_cancelled(tokio::time::sleep(Duration::from_millis(250)))
                .await;
        }
    }

    fn warn_of(&self, origin: &str, why: &str, told: &mut bool) {
        *told = true;
        tracing::warn!(
            edge = self.name,
            "the origin at http://{origin} cannot be reached ({why}): viewers get 502 until it can; is it running, and is \
             --upstream right?"
        );
    }
}
