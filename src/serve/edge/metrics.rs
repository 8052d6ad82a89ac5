//! The metrics of an edge, with every child resolved once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::policy::edge::WhyStale;
use crate::policy::flight::{Attempt, Reason};
use crate::policy::key::Kind;
use crate::policy::status::{FetchError, Served, Shed};
use crate::serve::clock::Clock;
use crate::serve::http::listener;
use crate::serve::metrics::{self as table, Registry};
use crate::time::Timestamp;

/// Whether a request for this kind of object and this reason can have this outcome. So the table of metrics holds no
/// series that stays at 0 for ever.
fn ends_so(reason: Reason, kind: Kind, outcome: &str) -> bool {
    let possible = match outcome {
        // A panicked task does not count its outcome.
        "panicked" => false,
        "outdated" => kind == Kind::MediaPlaylist && reason != Reason::Pass,
        "changed" => {
            matches!(reason, Reason::Retry | Reason::Resume) && occurs_for(Reason::Resume, kind)
        }
        "ok" => reason != Reason::Pass,
        "refused" => !matches!(reason, Reason::Pass | Reason::Resume),
        "private" => reason != Reason::Resume,
        // A passed request counts as ended here with the head of its answer.
        "connect" | "first-byte-timeout" | "broken" => true,
        _ => reason != Reason::Pass,
    };
    possible && occurs_for(reason, kind)
}

/// Whether an object of this kind can be asked for with this reason.
const fn occurs_for(reason: Reason, kind: Kind) -> bool {
    match reason {
        Reason::Miss | Reason::Refresh | Reason::Retry | Reason::Pass => true,
        Reason::Prefetch | Reason::Hold => matches!(kind, Kind::Segment),
        Reason::Resume => matches!(kind, Kind::Segment | Kind::Other),
    }
}

const OUTCOMES_BESIDE_ERRORS: [&str; 3] = ["ok", "refused", "private"];
const CODES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const PATHS: [&str; 3] = ["hit", "waited", "fetched"];
/// Why a flight ended before it landed: all waiters had left, no request waited while the origin was busy, or its key
/// was purged.
const CANCELLED: [&str; 3] = ["deserted", "background", "purged"];

/// How a request's wait for a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// There was an answer, even if it says that there is no such object.
    Served,
    /// The fetch failed.
    Failed,
    /// The wait took too long.
    Deadline,
    /// The viewer left.
    Left,
}

impl WaitEnd {
    const WORDS: [&str; 4] = ["served", "failed", "deadline", "left"];
}

/// The counters of one edge.
#[derive(Debug)]
pub struct Metrics {
    requests: [[IntCounter; Served::ALL.len()]; Kind::ALL.len()],
    responses: [IntCounter; CODES.len()],
    response_bytes: [IntCounter; Kind::ALL.len()],
    request_seconds: [[Histogram; PATHS.len()]; Kind::ALL.len()],
    requests_inflight: [IntGauge; Kind::ALL.len()],
    wait_seconds: [Histogram; WaitEnd::WORDS.len()],
    wakeup_lag: Histogram,
    shed: [IntCounter; Shed::ALL.len()],
    stale: [IntCounter; WhyStale::ALL.len()],
    waiters_per_fetch: [Histogram; Kind::ALL.len()],
    followers_peak: AtomicU32,
    origin_fetches: [[Vec<Option<IntCounter>>; Reason::ALL.len()]; Kind::ALL.len()],
    origin_seconds: [Histogram; Kind::ALL.len()],
    origin_inflight: IntGauge,
    flight_retries: IntCounter,
    flight_resumes: IntCounter,
    flights_cancelled: [IntCounter; CANCELLED.len()],
    /// Body bytes received from the origin.
    pub origin_bytes: IntCounter,
    /// Fetches that began while another for the same key was under way.
    pub duplicate_fetches: IntCounter,
    like_batches: IntCounter,
    like_operations: IntCounter,
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
    /// Registers all metrics of an edge.
    pub fn new(registry: &Registry) -> Self {
        let requests = registry.counters(table::EDGE_REQUESTS);
        let responses = registry.counters(table::EDGE_RESPONSES);
        let response_bytes = registry.counters(table::EDGE_RESPONSE_BYTES);
        let request_seconds = registry.histograms(table::EDGE_REQUEST_SECONDS);
        let requests_inflight = registry.gauges(table::EDGE_REQUESTS_INFLIGHT);
        let wait_seconds = registry.histograms(table::EDGE_MISS_WAIT_SECONDS);
        let wakeup_lag = registry.histograms(table::EDGE_WAKEUP_LAG_SECONDS);
        let cancelled = registry.counters(table::EDGE_FLIGHTS_CANCELLED);
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
            requests_inflight: Kind::ALL
                .map(|kind| requests_inflight.with_label_values(&[kind.word()])),
            wait_seconds: WaitEnd::WORDS.map(|word| wait_seconds.with_label_values(&[word])),
            wakeup_lag: wakeup_lag.with_label_values::<&str>(&[]),
            shed: Shed::ALL.map(|shed_by| shed.with_label_values(&[shed_by.word()])),
            stale: WhyStale::ALL.map(|why| stale.with_label_values(&[why.word()])),
            waiters_per_fetch: Kind::ALL
                .map(|kind| waiters_per_fetch.with_label_values(&[kind.word()])),
            followers_peak: AtomicU32::new(0),
            origin_fetches: Kind::ALL.map(|kind| {
                Reason::ALL.map(|reason| {
                    let child = |outcome| {
                        let words = [kind.word(), reason.word(), outcome];
                        let possible = ends_so(reason, kind, outcome);
                        possible.then(|| origin_fetches.with_label_values(&words))
                    };
                    outcomes().map(child).collect()
                })
            }),
            origin_seconds: Kind::ALL.map(|kind| origin_seconds.with_label_values(&[kind.word()])),
            origin_inflight: registry.gauge(table::EDGE_ORIGIN_FETCHES_INFLIGHT),
            flight_retries: registry.counter(table::EDGE_FLIGHT_RETRIES),
            flight_resumes: registry.counter(table::EDGE_FLIGHT_RESUMES),
            flights_cancelled: CANCELLED.map(|why| cancelled.with_label_values(&[why])),
            origin_bytes: registry.counter(table::EDGE_ORIGIN_BYTES),
            duplicate_fetches: registry.counter(table::EDGE_DUPLICATE_FETCHES),
            like_batches: registry.counter(table::EDGE_LIKE_BATCHES),
            like_operations: registry.counter(table::EDGE_LIKE_OPERATIONS),
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

    /// A request is on its way to an answer that is not at hand.
    pub fn request_begins(&self, kind: Kind) -> Inflight<'_> {
        let gauge = &self.requests_inflight[kind as usize];
        gauge.inc();
        Inflight(gauge)
    }

    /// A request waits for a fetch.
    pub fn wait_begins(&self, clock: Clock) -> Waiting<'_> {
        Waiting {
            metrics: self,
            clock,
            began: clock.now(),
            end: WaitEnd::Left,
        }
    }

    /// A request that slept runs again, this long after the event that it waited for was announced.
    pub fn woken(&self, lag: Duration) {
        self.wakeup_lag.observe(lag.as_secs_f64());
    }

    /// A fetch makes one more attempt.
    pub fn goes_on(&self, reason: Reason) {
        match reason {
            Reason::Resume => self.flight_resumes.inc(),
            _ => self.flight_retries.inc(),
        }
    }

    /// A flight without waiters was given up before it asked the origin.
    pub fn given_up(&self, by: Shed) {
        self.flights_cancelled[usize::from(by != Shed::Deserted)].inc();
    }

    /// A flight was under way for a key that was purged: its waiters are served, and nothing is kept.
    pub fn purged_under_way(&self) {
        self.flights_cancelled[2].inc();
    }

    /// Number of viewer requests for this kind of object so far.
    pub fn requests(&self, kind: Kind) -> u64 {
        self.requests[kind as usize]
            .iter()
            .map(IntCounter::get)
            .sum()
    }

    /// Number of requests to the origin for segments so far, for these reasons.
    pub fn segment_fetches(&self, reasons: &[Reason]) -> u64 {
        let by_reason = &self.origin_fetches[Kind::Segment as usize];
        let ended = reasons
            .iter()
            .flat_map(|&reason| &by_reason[reason as usize]);
        ended.flatten().map(IntCounter::get).sum()
    }

    /// This number of likes and sums of hearts goes to the origin in one batch.
    pub(super) fn like_batch(&self, operations: usize) {
        self.like_batches.inc();
        self.like_operations.inc_by(operations as u64);
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
    /// The request ended with this attempt.
    pub fn ends(self, reason: Reason, attempt: &Attempt, took: Duration) {
        let outcome = match attempt {
            Attempt::Whole => 0,
            Attempt::Refused(_) => 1,
            Attempt::Private => 2,
            Attempt::Failed(error, _) => OUTCOMES_BESIDE_ERRORS.len() + error.index(),
        };
        self.count(reason, outcome, took);
    }

    /// The request brought an answer that is shared and not kept in the store.
    pub fn brought(self, reason: Reason, took: Duration) {
        self.count(reason, 0, took);
    }

    fn count(self, reason: Reason, outcome: usize, took: Duration) {
        let by_outcome = &self.metrics.origin_fetches[self.kind as usize][reason as usize];
        let counter = by_outcome[outcome].as_ref();
        debug_assert!(
            counter.is_some(),
            "{reason:?} of {:?}: outcome {outcome}",
            self.kind
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

/// A request that is counted as in flight until this is dropped.
#[derive(Debug)]
pub struct Inflight<'a>(&'a IntGauge);

impl Drop for Inflight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request's wait for a fetch. If it is dropped without an end, the viewer has left.
#[derive(Debug)]
pub struct Waiting<'a> {
    metrics: &'a Metrics,
    clock: Clock,
    began: Timestamp,
    end: WaitEnd,
}

impl Waiting<'_> {
    /// The wait ended like this.
    pub fn ends(mut self, end: WaitEnd) {
        self.end = end;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.clock.now().since(self.began);
        self.metrics.wait_seconds[self.end as usize].observe(waited.as_secs_f64());
    }
}
