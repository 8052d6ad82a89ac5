//! Metrics of broadcasts. Names of streams and renditions come from configuration, so each has counters of its own with
//! the names as const labels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::serve::metrics::{
    BROADCAST_FAILED, BROADCAST_LATENESS, BROADCAST_PUBLISHED, BROADCAST_SEQUENCE, Registry,
};

/// Metrics of all broadcasts in this process; copies share them.
#[derive(Clone, Debug)]
pub struct Figures {
    pub(super) failed: IntCounter,
    pub(super) lateness: Histogram,
    registry: Registry,
    renditions: Arc<Mutex<HashMap<(String, String), OfRendition>>>,
}

/// Metrics of one rendition of one stream.
#[derive(Clone, Debug)]
pub(super) struct OfRendition {
    published: IntCounter,
    sequence: IntGauge,
}

impl Figures {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Self {
        Self {
            failed: registry.counter(BROADCAST_FAILED),
            lateness: registry
                .histograms(BROADCAST_LATENESS)
                .with_label_values::<&str>(&[]),
            registry: registry.clone(),
            renditions: Arc::default(),
        }
    }

    /// The metrics of a rendition; created at 0 on the first call.
    pub(super) fn of(&self, stream: &str, rendition: &str) -> OfRendition {
        let mut renditions = self
            .renditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let registry = self
                .registry
                .with(&[("stream", stream), ("rendition", rendition)]);
            OfRendition {
                published: registry.counter(BROADCAST_PUBLISHED),
                sequence: registry.gauge(BROADCAST_SEQUENCE),
            }
        };
        renditions
            .entry((stream.to_owned(), rendition.to_owned()))
            .or_insert_with(made)
            .clone()
    }
}

impl OfRendition {
    /// Counts a segment that was handed to the origin.
    pub(super) fn published(&self, number: u64) {
        self.published.inc();
        self.sequence.set(i64::try_from(number).unwrap_or(i64::MAX));
    }
}
