//! Levels of an edge that are read when scraped, so that no request pays for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::flights::Table;
use super::store::{Cause, Store};
use super::upstream::Upstream;
use crate::policy::admission::Class;
use crate::policy::key::Kind;
use crate::serve::metrics::{self as table, Registry};

/// What an edge holds, and who waits there.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    store: Store,
    flights: Arc<Table>,
    upstream: Arc<Upstream>,
    held: Arc<AtomicUsize>,
    blocked: Arc<AtomicUsize>,
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

impl Levels {
    /// The levels of these parts of an edge.
    pub(super) fn new(
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

impl Collector for Levels {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for kind in Kind::ALL {
            let [waiters, peak] = [&self.waiters, &self.waiters_peak]
                .map(|family| family.with_label_values(&[kind.word()]));
            waiters.set(self.flights.waiters_for(kind).into());
            peak.set(self.flights.take_waiters_peak(kind).into());
        }
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
            // Nobody else adds in between: `Registry::render` goes one caller after another.
            counter.inc_by(self.store.evicted(cause).saturating_sub(counter.get()));
        }
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
