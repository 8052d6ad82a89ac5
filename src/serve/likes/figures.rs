//! Metrics of likes, with label values resolved once.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::log::Facts;
use crate::likes::limits::Shed;
use crate::likes::{Action, Effect};
use crate::serve::metrics::{
    LIKES_ACCEPTED, LIKES_APPLIED_SEQUENCE, LIKES_BATCH_SIZE, LIKES_COMMIT_SECONDS, LIKES_DOWN,
    LIKES_DUPLICATES, LIKES_DURABLE_SEQUENCE, LIKES_EDGE_BATCHES, LIKES_EDGE_OPERATIONS,
    LIKES_FSYNC_BEFORE_ACK, LIKES_LAG_SECONDS, LIKES_QUEUE_DEPTH, LIKES_READERS, LIKES_SHED,
    Registry,
};

/// The outcome of an operation, for the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// The operation counts.
    Counted,
    /// The operation had been counted before.
    Duplicate,
    /// Another operation has the same identity.
    Conflict,
    /// The number is too old: it is unknown whether the operation was counted.
    TooOld,
    /// The channel is closed.
    Closed,
    /// 503: never counted.
    Overloaded,
    /// 429: never counted.
    Limited,
    /// 503: it is unknown whether the operation counts.
    Unknown,
    /// 400, 404 or 413: never counted.
    Invalid,
}

const OPS: [&str; 3] = ["like", "unlike", "hearts"];

impl Result {
    const ALL: [Self; 9] = [
        Self::Counted,
        Self::Duplicate,
        Self::Conflict,
        Self::TooOld,
        Self::Closed,
        Self::Overloaded,
        Self::Limited,
        Self::Unknown,
        Self::Invalid,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::TooOld => "too-old",
            Self::Closed => "closed",
            Self::Overloaded => "overloaded",
            Self::Limited => "limited",
            Self::Unknown => "outcome-unknown",
            Self::Invalid => "invalid",
        }
    }

    /// The outcome for an effect.
    pub fn of(effect: Effect) -> Self {
        match effect {
            Effect::Counted => Self::Counted,
            Effect::Duplicate => Self::Duplicate,
            Effect::Conflict => Self::Conflict,
            Effect::TooOld => Self::TooOld,
            Effect::Closed => Self::Closed,
            Effect::Full => Self::Overloaded,
        }
    }
}

/// Metrics of all shards together.
#[derive(Clone, Debug)]
pub struct Answers {
    accepted: [[IntCounter; Result::ALL.len()]; OPS.len()],
    shed: IntCounterVec,
    duplicates: IntCounterVec,
    edge_batches: IntCounter,
    edge_operations: IntCounter,
    /// Readers that wait.
    pub readers: IntGauge,
}

impl Answers {
    /// Registers all metrics, at 0.
    pub fn new(registry: &Registry) -> Self {
        let accepted = registry.counters(LIKES_ACCEPTED);
        let shed = registry.counters(LIKES_SHED);
        for why in Shed::ALL {
            shed.with_label_values(&[why.word()]);
        }
        Self {
            accepted: OPS.map(|op| {
                Result::ALL.map(|result| accepted.with_label_values(&[op, result.word()]))
            }),
            shed,
            duplicates: registry.counters(LIKES_DUPLICATES),
            edge_batches: registry.counter(LIKES_EDGE_BATCHES),
            edge_operations: registry.counter(LIKES_EDGE_OPERATIONS),
            readers: registry.gauge(LIKES_READERS),
        }
    }

    /// Counts an answered operation.
    pub fn answered(&self, action: Action, result: Result) {
        let op = match action {
            Action::Like => 0,
            Action::Unlike => 1,
            Action::Hearts(_) => 2,
        };
        self.accepted[op][result as usize].inc();
    }

    /// Counts a batch of this many operations from an edge.
    pub(super) fn batch(&self, operations: usize) {
        self.edge_batches.inc();
        self.edge_operations.inc_by(operations as u64);
    }

    /// Counts a shed request.
    pub fn shed(&self, why: Shed) {
        self.shed.with_label_values(&[why.word()]).inc();
    }
}

/// Metrics of one shard.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Operations that wait.
    pub depth: IntGauge,
    commit_seconds: Histogram,
    batch_size: Histogram,
    durable: IntGauge,
    applied: IntGauge,
    lag: Gauge,
    fsync_before_ack: IntGauge,
    down: IntGauge,
    batches: IntCounter,
    operations: IntCounter,
}

/// Totals of a queue of likes since its start, and its present state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Batches that were made durable.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations that wait now.
    pub waiting: u64,
    /// The last durable operation. Like all fields except the lag, it is summed over shards.
    pub durable: u64,
    /// The last counted operation.
    pub applied: u64,
    /// Time from durable to counted of the last counted batch; the longest of all shards.
    pub lag: Duration,
}

impl Figures {
    /// Adds the figures of this shard to those of other shards.
    pub(super) fn add_to(&self, work: Work) -> Work {
        let count = |gauge: &IntGauge| gauge.get().max(0) as u64;
        let lag = Duration::try_from_secs_f64(self.lag.get()).unwrap_or_default();
        Work {
            batches: work.batches + self.batch_size.get_sample_count(),
            operations: work.operations + self.batch_size.get_sample_sum() as u64,
            waiting: work.waiting + count(&self.depth),
            durable: work.durable + count(&self.durable),
            applied: work.applied + count(&self.applied),
            lag: work.lag.max(lag),
        }
    }

    /// The metrics of the shard with this index.
    pub fn new(registry: &Registry, answers: &Answers, index: u32) -> Self {
        let registry = registry.with(&[("shard", &index.to_string())]);
        let bare: &[&str] = &[];
        Self {
            depth: registry.gauge(LIKES_QUEUE_DEPTH),
            commit_seconds: registry
                .histograms(LIKES_COMMIT_SECONDS)
                .with_label_values(bare),
            batch_size: registry
                .histograms(LIKES_BATCH_SIZE)
                .with_label_values(bare),
            durable: registry.gauge(LIKES_DURABLE_SEQUENCE),
            applied: registry.gauge(LIKES_APPLIED_SEQUENCE),
            lag: registry.fractional_gauge(LIKES_LAG_SECONDS),
            fsync_before_ack: registry.gauge(LIKES_FSYNC_BEFORE_ACK),
            down: registry.gauge(LIKES_DOWN),
            batches: answers.duplicates.with_label_values(&["batch"]),
            operations: answers.duplicates.with_label_values(&["operation"]),
        }
    }

    pub(super) fn fsync_before_ack(&self, facts: Facts) {
        self.fsync_before_ack.set(facts.fsync_before_ack.into());
    }

    pub(super) fn sequences(&self, durable: u64, applied: u64) {
        self.durable.set(durable as i64);
        self.applied.set(applied as i64);
    }

    pub(super) fn committed(&self, took: Duration, operations: usize, sequence: u64) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.batch_size.observe(operations as f64);
        self.durable.set(sequence as i64);
    }

    pub(super) fn applied(&self, lag: Duration, sequence: u64) {
        self.lag.set(lag.as_secs_f64());
        self.applied.set(sequence as i64);
    }

    pub(super) fn duplicate_operation(&self) {
        self.operations.inc();
    }

    pub(super) fn duplicate_batch(&self) {
        self.batches.inc();
    }

    pub(super) fn failed(&self) {
        self.down.set(1);
    }
}
