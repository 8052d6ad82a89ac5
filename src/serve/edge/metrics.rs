//! What an edge counts, with every child resolved once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::flights::{Landing, Table};
use super::store::Store;
use super::upstream::Upstream;
use crate::policy::admission::Class;
use crate::policy::edge::WhyStale;
use crate::policy::key::Kind;
use crate::policy::status::{FetchError, Served, Shed};
use crate::serve::listener;
use crate::serve::metrics::{self as table, Registry};

/// Why the origin was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A viewer's request found nothing.
    Miss,
    /// What is stored is stale.
    Refresh,
    /// The request is never shared.
    Pass,
    /// A playlist lists it for the first time.
    Prefetch,
    /// An attempt before has failed.
    Retry,
    /// An attempt before has broken off in the middle of the body.
    Resume,
    /// It was not there yet when it was asked for before.
    Hold,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Miss,
        Self::Refresh,
        Self::Pass,
        Self::Prefetch,
        Self::Retry,
        Self::Resume,
        Self::Hold,
    ];

    /// Whether a request for this kind of object, sent for this reason, can end so: the table of metrics holds no series
    /// that stays at 0 for ever.
    fn ends_so(self, kind: Kind, outcome: &str) -> bool {
        let possible = match outcome {
            // Nobody is left to count it then.
            "panicked" => false,
            "outdated" => kind == Kind::MediaPlaylist,
            "changed" => matches!(self, Self::Retry | Self::Resume),
            "ok" | "refused" => self != Self::Pass,
            "private" => self != Self::Resume,
            _ => true,
        };
        possible && self.occurs_for(kind)
    }

    /// Whether an object of this kind can be asked for so.
    const fn occurs_for(self, kind: Kind) -> bool {
        match self {
            Self::Miss | Self::Refresh | Self::Retry | Self::Pass => true,
            Self::Prefetch | Self::Hold => matches!(kind, Kind::Segment),
            Self::Resume => matches!(kind, Kind::Segment | Kind::Other),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::Pass => "pass",
            Self::Prefetch => "prefetch",
            Self::Retry => "retry",
            Self::Resume => "resume",
            Self::Hold => "hold",
        }
    }
}

const OUTCOMES_BESIDE_ERRORS: [&str; 3] = ["ok", "refused", "private"];
const CODES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const PATHS: [&str; 3] = ["hit", "waited", "fetched"];

/// The counters of one edge.
#[derive(Debug)]
pub struct Metrics {
    requests: [[IntCounter; Served::ALL.len()]; Kind::ALL.len()],
    responses: [IntCounter; CODES.len()],
    response_bytes: [IntCounter; Kind::ALL.len()],
    request_seconds: [[Histogram; PATHS.len()]; Kind::ALL.len()],
    shed: [IntCounter; Shed::ALL.len()],
    stale: [IntCounter; WhyStale::ALL.len()],
    waiters_per_fetch: [Histogram; Kind::ALL.len()],
    followers_peak: AtomicU32,
    origin_fetches: [[Vec<Option<IntCounter>>; Reason::ALL.len()]; Kind::ALL.len()],
    origin_seconds: [Histogram; Kind::ALL.len()],
    origin_inflight: IntGauge,
    /// Body bytes received from the origin.
    pub origin_bytes: IntCounter,
    /// Fetches begun while another for the same key was under way.
    pub duplicate_fetches: IntCounter,
    /// Segments fetched ahead that a viewer asked for later.
    pub prefetched_used: IntCounter,
    /// Remembered failures that a playlist made void.
    pub negatives_purged: IntCounter,
    /// Playlists that were older than one served already.
    pub regressions_blocked: IntCounter,
    /// Connections of viewers.
    pub connections: listener::Counters,
}

impl Metrics {
    /// Registers everything; the store's and the table's figures are read when scraped.
    pub fn new(registry: &Registry, levels: Levels) -> Self {
        registry.register(levels);
        let requests = registry.counters(table::EDGE_REQUESTS);
        let responses = registry.counters(table::EDGE_RESPONSES);
        let response_bytes = registry.counters(table::EDGE_RESPONSE_BYTES);
        let request_seconds = registry.histograms(table::EDGE_REQUEST_SECONDS);
        let shed = registry.counters(table::EDGE_SHED);
        let stale = registry.counters(table::EDGE_STALE_SERVED);
        let waiters_per_fetch = registry.histograms(table::EDGE_WAITERS_PER_FETCH);
        let origin_fetches = registry.counters(table::EDGE_ORIGIN_FETCHES);
        let origin_seconds = registry.histograms(table::EDGE_ORIGIN_FETCH_SECONDS);
        let outcomes = || OUTCOMES_BESIDE_ERRORS.into_iter().chain(FetchError::WORDS);
        Self {
            requests: Kind::ALL.map(|kind| {
                Served::ALL.map(|served| requests.with_label_values(&[kind.word(), served.word()]))
            }),
            responses: CODES.map(|code| responses.with_label_values(&[code])),
            response_bytes: Kind::ALL.map(|kind| response_bytes.with_label_values(&[kind.word()])),
            request_seconds: Kind::ALL.map(|kind| {
                PATHS.map(|path| request_seconds.with_label_values(&[kind.word(), path]))
            }),
            shed: Shed::ALL.map(|shed_by| shed.with_label_values(&[shed_by.word()])),
            stale: WhyStale::ALL.map(|why| stale.with_label_values(&[why.word()])),
            waiters_per_fetch: Kind::ALL
                .map(|kind| waiters_per_fetch.with_label_values(&[kind.word()])),
            followers_peak: AtomicU32::new(0),
            origin_fetches: Kind::ALL.map(|kind| {
                Reason::ALL.map(|reason| {
                    let child = |outcome| {
                        let words = [kind.word(), reason.word(), outcome];
                        let possible = reason.ends_so(kind, outcome);
                        possible.then(|| origin_fetches.with_label_values(&words))
                    };
                    outcomes().map(child).collect()
                })
            }),
            origin_seconds: Kind::ALL.map(|kind| origin_seconds.with_label_values(&[kind.word()])),
            origin_inflight: registry.gauge(table::EDGE_ORIGIN_FETCHES_INFLIGHT),
            origin_bytes: registry.counter(table::EDGE_ORIGIN_BYTES),
            duplicate_fetches: registry.counter(table::EDGE_DUPLICATE_FETCHES),
            prefetched_used: registry.counter(table::EDGE_PREFETCHED_USED),
            negatives_purged: registry.counter(table::EDGE_NEGATIVES_PURGED),
            regressions_blocked: registry.counter(table::EDGE_REGRESSIONS_BLOCKED),
            connections: listener::Counters {
                open: registry.gauge(table::EDGE_CONNECTIONS),
                accepted: registry.counter(table::EDGE_CONNECTIONS_ACCEPTED),
                refused: registry.counter(table::EDGE_CONNECTIONS_REFUSED),
            },
        }
    }

    /// A request was answered.
    pub fn answered(
        &self,
        kind: Kind,
        served: Served,
        code: http::StatusCode,
        bytes: u64,
        took: Duration,
    ) {
        self.requests[kind as usize][served as usize].inc();
        if let Some(class) = (code.as_u16() / 100)
            .checked_sub(2)
            .and_then(|class| self.responses.get(class as usize))
        {
            class.inc();
        }
        self.response_bytes[kind as usize].inc_by(bytes);
        let path = match served {
            Served::Hit | Served::Stale | Served::Negative => 0,
            Served::Collapsed => 1,
            Served::Miss | Served::Pass => 2,
            Served::Shed | Served::Error => return,
        };
        self.request_seconds[kind as usize][path].observe(took.as_secs_f64());
    }

    /// Viewer requests for this kind of object so far.
    pub fn requests(&self, kind: Kind) -> u64 {
        self.requests[kind as usize]
            .iter()
            .map(IntCounter::get)
            .sum()
    }

    /// Requests to the origin for segments so far, those that came for one of these reasons.
    pub fn segment_fetches(&self, reasons: &[Reason]) -> u64 {
        let by_reason = &self.origin_fetches[Kind::Segment as usize];
        let ended = reasons
            .iter()
            .flat_map(|&reason| &by_reason[reason as usize]);
        ended.flatten().map(IntCounter::get).sum()
    }

    /// A bound refused a request.
    pub fn shed(&self, by: Shed) {
        self.shed[by as usize].inc();
    }

    /// A stale object was served.
    pub fn stale(&self, why: WhyStale) {
        self.stale[why as usize].inc();
    }

    /// A flight has landed that served this many followers.
    pub fn landed(&self, kind: Kind, followers: u32) {
        self.waiters_per_fetch[kind as usize].observe(f64::from(followers));
        self.followers_peak.fetch_max(followers, Ordering::Relaxed);
    }

    /// The most followers of one flight so far.
    pub fn followers_peak(&self) -> u32 {
        self.followers_peak.load(Ordering::Relaxed)
    }

    /// A request goes to the origin.
    pub fn fetch_begins(&self, kind: Kind) -> FetchCounted<'_> {
        self.origin_inflight.inc();
        FetchCounted {
            metrics: self,
            kind,
        }
    }
}

/// A request to the origin that is counted as under way until this is dropped.
#[derive(Debug)]
pub struct FetchCounted<'a> {
    metrics: &'a Metrics,
    kind: Kind,
}

impl FetchCounted<'_> {
    /// It ended so.
    pub fn ends(self, reason: Reason, landing: &Landing, took: Duration) {
        let outcome = match landing {
            Landing::Object(..) => 0,
            Landing::Refused(..) => 1,
            Landing::Private => 2,
            Landing::Failed(error, _) => OUTCOMES_BESIDE_ERRORS.len() + error.index(),
        };
        let by_outcome = &self.metrics.origin_fetches[self.kind as usize][reason as usize];
        let counter = by_outcome[outcome].as_ref();
        debug_assert!(
            counter.is_some(),
            "{reason:?} of {:?}: {}",
            self.kind,
            landing.word()
        );
        counter.inspect(|counter| counter.inc());
        self.metrics.origin_seconds[self.kind as usize].observe(took.as_secs_f64());
    }
}

impl Drop for FetchCounted<'_> {
    fn drop(&mut self) {
        self.metrics.origin_inflight.dec();
    }
}

/// Levels that are read when scraped, so that no request pays for them.
#[derive(Clone, Debug)]
pub struct Levels {
    store: Store,
    flights: Arc<Table>,
    upstream: Arc<Upstream>,
    held: Arc<AtomicUsize>,
    blocked: Arc<AtomicUsize>,
    waiters: IntGauge,
    waiters_peak: IntGauge,
    flights_gauge: IntGauge,
    entries: IntGauge,
    bytes: IntGauge,
    capacity: IntGauge,
    held_gauge: IntGauge,
    blocked_gauge: IntGauge,
    upstreams_down: IntGauge,
    breaker: IntGauge,
    queue_depth: IntGaugeVec,
}

impl Levels {
    /// The levels of these parts of an edge.
    pub fn new(
        registry: &Registry,
        store: Store,
        flights: Arc<Table>,
        upstream: Arc<Upstream>,
        [held, blocked]: [Arc<AtomicUsize>; 2],
    ) -> Self {
        let unregistered = |metric| registry.unregistered_gauge(metric);
        Self {
            store,
            flights,
            upstream,
            held,
            blocked,
            waiters: unregistered(table::EDGE_MISS_WAITERS),
            waiters_peak: unregistered(table::EDGE_MISS_WAITERS_PEAK),
            flights_gauge: unregistered(table::EDGE_FLIGHTS),
            entries: unregistered(table::EDGE_CACHE_ENTRIES),
            bytes: unregistered(table::EDGE_CACHE_BYTES),
            capacity: unregistered(table::EDGE_CACHE_CAPACITY),
            held_gauge: unregistered(table::EDGE_HELD),
            blocked_gauge: unregistered(table::EDGE_BLOCKED),
            upstreams_down: unregistered(table::EDGE_UPSTREAMS_DOWN),
            breaker: unregistered(table::EDGE_BREAKER_STATE),
            queue_depth: registry.unregistered_gauges(table::EDGE_ORIGIN_QUEUE_DEPTH),
        }
    }

    fn all(&self) -> [&dyn Collector; 11] {
        [
            &self.waiters,
            &self.waiters_peak,
            &self.flights_gauge,
            &self.entries,
            &self.bytes,
            &self.capacity,
            &self.held_gauge,
            &self.blocked_gauge,
            &self.upstreams_down,
            &self.breaker,
            &self.queue_depth,
        ]
    }
}

impl Collector for Levels {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.waiters.set(self.flights.waiters().into());
        self.waiters_peak
            .set(self.flights.take_waiters_peak().into());
        self.flights_gauge.set(self.flights.under_way() as i64);
        self.entries.set(self.store.entries() as i64);
        self.bytes.set(self.store.bytes() as i64);
        self.capacity.set(self.store.capacity_bytes() as i64);
        self.held_gauge
            .set(self.held.load(Ordering::Relaxed) as i64);
        self.blocked_gauge
            .set(self.blocked.load(Ordering::Relaxed) as i64);
        self.upstreams_down.set(self.upstream.down() as i64);
        self.breaker.set(self.upstream.breaker_state().into());
        for class in [Class::LiveEdge, Class::Older] {
            self.queue_depth
                .with_label_values(&[class.word()])
                .set(self.upstream.queue_depth(class) as i64);
        }
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
