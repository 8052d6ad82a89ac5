//! Gauges of an edge that are read when scraped, so that no request pays for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use crate::policy::admission::Class;
use crate::policy::key::Kind;
use crate::serve::clock::Clock;
use crate::serve::edge::flights::Table;
use crate::serve::edge::store::{Cause, Store};
use crate::serve::edge::upstream::Upstream;
use crate::serve::metrics::{self as table, Registry};
use crate::time::Timestamp;

/// What an edge holds, and how many requests wait there.
#[derive(Clone, Debug)]
pub(in crate::serve::edge) struct Gauges {
    store: Store,
    flights: Arc<Table>,
    upstream: Arc<Upstream>,
    held: Arc<AtomicUsize>,
    blocked: Arc<AtomicUsize>,
    clock: Clock,
    /// In the order of [`Kind::ALL`].
    recent_peaks: Arc<Mutex<[RecentPeak; Kind::ALL.len()]>>,
    waiters: IntGaugeVec,
    waiters_peak: IntGaugeVec,
    flights_gauge: IntGauge,
    entries: IntGauge,
    bytes: IntGauge,
    capacity: IntGauge,
    held_gauge: IntGauge,
    blocked_gauge: IntGauge,
    upstreams_down: IntGauge,
    breaker: IntGauge,
    queue_depth: IntGaugeVec,
    evictions: IntCounterVec,
}

impl Gauges {
    /// The gauges of these parts of an edge.
    pub(in crate::serve::edge) fn new(
        registry: &Registry,
        store: Store,
        flights: Arc<Table>,
        upstream: Arc<Upstream>,
        [held, blocked]: [Arc<AtomicUsize>; 2],
        clock: Clock,
    ) -> Self {
        let unregistered = |metric| registry.unregistered_gauge(metric);
        Self {
            store,
            flights,
            upstream,
            held,
            blocked,
            clock,
            recent_peaks: Arc::default(),
            waiters: registry.unregistered_gauges(table::EDGE_MISS_WAITERS),
            waiters_peak: registry.unregistered_gauges(table::EDGE_MISS_WAITERS_PEAK),
            flights_gauge: unregistered(table::EDGE_FLIGHTS),
            entries: unregistered(table::EDGE_CACHE_ENTRIES),
            bytes: unregistered(table::EDGE_CACHE_BYTES),
            capacity: unregistered(table::EDGE_CACHE_CAPACITY),
            held_gauge: unregistered(table::EDGE_HELD),
            blocked_gauge: unregistered(table::EDGE_BLOCKED),
            upstreams_down: unregistered(table::EDGE_UPSTREAMS_DOWN),
            breaker: unregistered(table::EDGE_BREAKER_STATE),
            queue_depth: registry.unregistered_gauges(table::EDGE_ORIGIN_QUEUE_DEPTH),
            evictions: registry.unregistered_counters(table::EDGE_EVICTIONS),
        }
    }

    fn all(&self) -> [&dyn Collector; 12] {
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
            &self.evictions,
        ]
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.clock.now();
        let mut recent_peaks = self
            .recent_peaks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (kind, recent_peak) in Kind::ALL.into_iter().zip(recent_peaks.iter_mut()) {
            let [waiters, peak] = [&self.waiters, &self.waiters_peak]
                .map(|family| family.with_label_values(&[kind.word()]));
            waiters.set(self.flights.waiters_for(kind).into());
            let taken = self.flights.take_waiters_peak(kind);
            peak.set(recent_peak.with(taken, now).into());
        }
        drop(recent_peaks);
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
        for cause in Cause::ALL {
            let counter = self.evictions.with_label_values(&[cause.word()]);
            // No other thread adds in between: the callers of `Registry::render` take turns.
            counter.inc_by(self.store.evicted(cause).saturating_sub(counter.get()));
        }
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

/// The highest value of the last half minute, or longer, and of the time since the last scrape. So two scrapers do not
/// hide a peak from each other.
#[derive(Clone, Copy, Debug, Default)]
struct RecentPeak {
    /// When the present window began.
    begun: Timestamp,
    /// The highest value in the present window.
    present: u32,
    /// The highest value in the window before.
    past: u32,
}

impl RecentPeak {
    const WINDOW: Duration = Duration::from_secs(30);

    /// Adds the highest value since the last scrape, and returns the peak.
    fn with(&mut self, since_last_look: u32, now: Timestamp) -> u32 {
        self.present = self.present.max(since_last_look);
        let peak = self.present.max(self.past);
        if now.since(self.begun) >= Self::WINDOW {
            *self = Self {
                begun: now,
                present: 0,
                past: self.present,
            };
        }
        peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_shown_for_half_a_minute_however_often_it_is_scraped() {
        let mut peak = RecentPeak::default();
        let mut look = |second, since| {
            let now = Timestamp::ZERO + Duration::from_secs(second);
            peak.with(since, now)
        };
        assert_eq!(look(1, 7), 7);
        assert_eq!(look(2, 1), 7, "the other who looks sees it too");
        for second in 3..=60 {
            assert_eq!(look(second, 0), 7, "after {second} s");
        }
        assert_eq!(look(61, 0), 0);
        assert_eq!(look(600, 5), 5, "nobody has looked for long");
        assert_eq!(look(601, 0), 5);
        assert_eq!(look(640, 0), 5);
        assert_eq!(look(641, 0), 0);
    }
}
