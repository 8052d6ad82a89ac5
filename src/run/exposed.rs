//! The figures of a simulation as metrics: under the names of a run over sockets, so that the same boards show them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::policy::key;
use crate::report::record::{Kind, ResultWord};
use crate::serve::metrics::{self as table, Registry};
use crate::sim::play::Figures;
use crate::viewer::asking::Fate;
use crate::viewer::buffer::Playback;

/// The name of all edges together, in the label `edge` and in the label `client` of the origin.
const ALL_EDGES: &str = "all";

/// The metrics of a simulation.
#[derive(Debug)]
pub struct Exposed {
    requests: IntCounterVec,
    waiting: IntGaugeVec,
    hits: IntCounterVec,
    shed: IntCounterVec,
    viewers: IntGaugeVec,
    joins: IntCounter,
    stalls: IntCounter,
    batches: IntCounter,
    likes: IntCounter,
    scrapes: Scrapes,
    told: Figures,
}

impl Exposed {
    /// All metrics, at 0.
    pub fn new(registry: &Registry) -> Self {
        let edges = registry.with(&[("edge", ALL_EDGES)]);
        let clients = registry.with(&[("client", ALL_EDGES)]);
        let likes = registry.counters(table::VIEWER_LIKES);
        Self {
            requests: edges.counters(table::EDGE_REQUESTS),
            waiting: edges.gauges(table::EDGE_MISS_WAITERS),
            hits: clients.counters(table::ORIGIN_HITS),
            shed: registry.counters(table::ORIGIN_SHED),
            viewers: registry.gauges(table::VIEWERS),
            joins: registry.counter(table::VIEWER_JOINS),
            stalls: registry.counter(table::VIEWER_STALLS),
            batches: edges.counter(table::EDGE_LIKE_BATCHES),
            likes: likes.with_label_values(&[Fate::Acknowledged.word()]),
            scrapes: registry.register(Scrapes::new(registry)),
            told: Figures::default(),
        }
    }

    /// Tells the present figures.
    pub fn tell(&mut self, now: Figures) {
        let before = std::mem::replace(&mut self.told, now);
        let now = &self.told;
        for kind in Kind::ALL {
            let object = kind_of(kind).word();
            for word in ResultWord::ALL {
                let count = |figures: &Figures| figures.requests[kind as usize][word as usize];
                let more = count(now) - count(&before);
                // Requests without an answer have reached no edge.
                if more > 0 && word != ResultWord::Unanswered {
                    let labels = [object, &word.to_string()];
                    self.requests.with_label_values(&labels).inc_by(more);
                }
            }
        }
        for kind in key::Kind::ALL {
            let index = kind as usize;
            let hits = self.hits.with_label_values(&[kind.word()]);
            hits.inc_by(now.origin[index] - before.origin[index]);
            let shed = self.shed.with_label_values(&[kind.word()]);
            shed.inc_by(now.shed[index] - before.shed[index]);
            let waiting = self.waiting.with_label_values(&[kind.word()]);
            waiting.set(now.waiting[index] as i64);
        }
        for playback in Playback::ALL {
            let viewers: IntGauge = self.viewers.with_label_values(&[playback.word()]);
            viewers.set(now.viewers[playback as usize] as i64);
        }
        self.joins.inc_by(now.joins - before.joins);
        self.stalls.inc_by(now.stalls - before.stalls);
        self.batches.inc_by(now.like_batches - before.like_batches);
        self.likes.inc_by(now.likes - before.likes);
    }

    /// Waits for one more scrape, at most for so long, so that Prometheus has the last figures. If no scrape has come yet, nobody
    /// watches, and nothing is waited for.
    pub async fn last_scrape(&self, patience: Duration) {
        let scrapes = || self.scrapes.count.load(Ordering::Relaxed);
        let before = scrapes();
        if before == 0 {
            return;
        }
        let scraped = async {
            while scrapes() == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // The answer is on its way.
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let _ = tokio::time::timeout(patience, scraped).await;
    }
}

/// The kind of an object as edges name it.
fn kind_of(kind: Kind) -> key::Kind {
    match kind {
        Kind::Multivariant => key::Kind::Multivariant,
        Kind::MediaPlaylist => key::Kind::MediaPlaylist,
        Kind::Segment => key::Kind::Segment,
        _ => key::Kind::Other,
    }
}

/// Counts the scrapes. It exposes one gauge that never changes, because a collector must expose something.
#[derive(Clone, Debug)]
struct Scrapes {
    count: Arc<AtomicU64>,
    simulated: IntGauge,
}

impl Scrapes {
    fn new(registry: &Registry) -> Self {
        let simulated = registry.unregistered_gauge(table::SIMULATED);
        simulated.set(1);
        Self {
            count: Arc::default(),
            simulated,
        }
    }
}

impl Collector for Scrapes {
    fn desc(&self) -> Vec<&Desc> {
        self.simulated.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.simulated.collect()
    }
}
