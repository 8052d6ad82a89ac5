//! One edge: its configuration and its state.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin::access::{self, AccessLog};
use super::admin::gauges::Gauges;
use super::admin::playlist_gauges::Playlists;
use super::baselines::moka_cache::Moka;
use super::flights::Table;
use super::likes::state::EdgeLikes;
use super::metrics::Metrics;
use super::renditions::Renditions;
use super::store::{Object, Store};
use super::upstream::{OriginBound, Upstream, UpstreamError};
use crate::policy::key::{Key, Kind};
use crate::policy::limits::Limits;
use crate::policy::status::MissQueue;
use crate::serve::clock::Clock;
use crate::serve::likes::rates::Addresses;
use crate::serve::metrics::{EDGE_ACCESS_LOG_DROPPED, Registry};

/// The configuration of one edge.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Its name in metrics, `Via` and `Cache-Status`.
    pub name: String,
    /// `http://host:port` of the servers that stand for the origin, at least one.
    pub upstreams: Vec<String>,
    /// How misses are handled.
    pub miss_queue: MissQueue,
    /// Number of bytes that its store may hold.
    pub cache_bytes: u64,
    /// Whether segments are fetched as soon as a playlist lists them.
    pub prefetch: bool,
    /// Whether a stale playlist is served while the edge refreshes it in the background.
    pub refresh: bool,
    /// Its bounds.
    pub limits: Limits,
    /// The log of its requests, if there is one.
    pub access_log: Option<access::AccessLogConfig>,
    /// How often addresses may send hearts without a name.
    pub likes: Addresses,
}

/// Why an edge cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// No upstream can be used.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The access log cannot be used.
    #[error(transparent)]
    AccessLog(#[from] access::Unwritable),
}

/// One edge.
#[derive(Debug)]
pub struct Edge {
    pub(super) name: String,
    pub(super) miss_queue: MissQueue,
    pub(super) clock: Clock,
    /// The bounds. Those that can change while the edge runs are changed here.
    pub(super) limits: RwLock<Limits>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) prefetch: bool,
    pub(super) refresh: bool,
    pub(super) store: Store,
    pub(super) flights: Arc<Table>,
    pub(super) renditions: Renditions,
    pub(super) playlists: Playlists,
    /// Number of fetches that wait for a segment which is about to be published.
    pub(super) held: Arc<AtomicUsize>,
    /// Number of requests that wait for a playlist which is still to come.
    pub(super) blocked: Arc<AtomicUsize>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) likes: EdgeLikes,
    pub(super) baseline: Moka,
    pub(super) metrics: Metrics,
    pub(super) registry: Registry,
    /// Every fetch runs in here, and ends by its own limits.
    pub(super) tasks: TaskTracker,
    pub(super) origin_seen: AtomicBool,
    /// Whether an operator has asked that no further viewers be sent here.
    pub(super) draining: AtomicBool,
}

impl Edge {
    /// An edge with a cold cache.
    ///
    /// # Errors
    /// The upstream is no `http://host:port`, or the access log cannot be written.
    pub fn new(config: EdgeConfig, clock: Clock) -> Result<Arc<Self>, EdgeError> {
        let EdgeConfig {
            name,
            upstreams,
            miss_queue,
            cache_bytes,
            prefetch,
            refresh,
            limits,
            access_log,
            likes: addresses,
        } = config;
        let bound = if miss_queue == MissQueue::Flights {
            OriginBound::Bounded
        } else {
            OriginBound::Unbounded
        };
        let upstream = Arc::new(Upstream::new(&upstreams, &name, limits, bound, clock)?);
        let registry = Registry::new(&[("edge", &name)]);
        let store = Store::new(cache_bytes, limits.eviction);
        let flights = Arc::new(Table::new());
        let [held, blocked] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let gauges = Gauges::new(
            &registry,
            store.clone(),
            flights.clone(),
            upstream.clone(),
            [held.clone(), blocked.clone()],
            clock,
        );
        registry.register(gauges);
        let metrics = Metrics::new(&registry);
        let dropped = registry.counter(EDGE_ACCESS_LOG_DROPPED);
        let access_log = access_log
            .map(|config| AccessLog::open(&config, dropped))
            .transpose()?;
        Ok(Arc::new(Self {
            name,
            miss_queue,
            clock,
            limits: RwLock::new(limits),
            access_log,
            prefetch,
            refresh,
            store,
            flights,
            renditions: Renditions::default(),
            playlists: Playlists::new(&registry),
            held,
            blocked,
            upstream,
            likes: EdgeLikes::new(&limits, &addresses, clock),
            baseline: Moka::new(cache_bytes),
            metrics,
            registry,
            tasks: TaskTracker::new(),
            origin_seen: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry of its metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The bounds in force.
    pub fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects that it holds.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Number of flights under way.
    pub fn flights_under_way(&self) -> usize {
        self.flights.under_way()
    }

    /// Number of requests that wait for a flight.
    pub fn waiters(&self) -> u32 {
        self.flights.waiters()
    }

    /// Channel, rendition and number of every segment that was fetched ahead and not asked for since.
    pub(super) fn unasked(&self) -> Vec<(String, String, u64)> {
        let named = |key: &Key| match key {
            Key::Live {
                channel,
                rendition,
                kind: Kind::Segment,
                number,
            } => Some((channel.to_string(), rendition.to_string(), *number)),
            _ => None,
        };
        self.store
            .unasked()
            .iter()
            .filter_map(|key| named(key))
            .collect()
    }

    /// Number of fetches that run in tasks of the edge's own.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// A viewer is served this object.
    pub(super) fn asked_for(&self, object: &Object) {
        if object.asked_for_first() {
            self.metrics.prefetched_used.inc();
        }
    }

    /// Whether viewers may be sent here: the origin has answered once, and the edge is not drained.
    ///
    /// # Errors
    /// The edge is drained, or the origin has not been reached yet.
    pub fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("it is being drained".to_owned());
        }
        if self.origin_seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(format!(
            "the origin at {} has not been reached yet",
            self.upstreams()
        ))
    }

    /// The servers that stand for the origin, as text for a reader.
    pub(super) fn upstreams(&self) -> String {
        let urls: Vec<_> = self
            .upstream
            .authorities()
            .map(|authority| format!("http://{authority}"))
            .collect();
        urls.join(" or ")
    }

    /// Looks for the origin until it takes a connection, and logs once if it does not. Ends then, or with `stop`.
    pub async fn find_origin(self: Arc<Self>, stop: CancellationToken) {
        let mut told = false;
        while !stop.is_cancelled() {
            match self.reach().await {
                Ok(()) => {
                    self.origin_seen.store(true, Ordering::Relaxed);
                    if told {
                        tracing::info!(
                            edge = self.name,
                            "the origin at {} is there now",
                            self.upstreams()
                        );
                    }
                    return;
                }
                Err(_) if told => {}
                Err(why) => self.warn_of(&why, &mut told),
            }
            let _ = stop
                .run_until_cancelled(tokio::time::sleep(Duration::from_millis(250)))
                .await;
        }
    }

    /// On `stop`, ends the waits of readers for a change of counts.
    pub async fn let_readers_go(self: Arc<Self>, stop: CancellationToken) {
        stop.cancelled().await;
        self.likes.closing.cancel();
    }

    /// Whether any of the servers takes a connection; else why the last of them did not.
    pub(super) async fn reach(&self) -> Result<(), String> {
        let mut why = String::new();
        for authority in self.upstream.authorities() {
            let connecting = tokio::net::TcpStream::connect(authority.as_str());
            match tokio::time::timeout(self.limits().connect, connecting).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => "no connection in time".clone_into(&mut why),
            }
        }
        Err(why)
    }

    pub(super) fn warn_of(&self, why: &str, told: &mut bool) {
        *told = true;
        tracing::warn!(
            edge = self.name,
            "the origin at {} cannot be reached ({why}): viewers get 502 until it can; is it running, and is --upstream \
             right?",
            self.upstreams()
        );
    }
}
