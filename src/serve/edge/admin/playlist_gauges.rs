//! How far the playlists of an edge have come: gauges per stream and rendition.
//!
//! Names of streams and renditions come from the origin, so they are const labels of gauges of their own. Only a
//! bounded number of renditions has such gauges.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{Gauge, IntGauge};

use crate::policy::key::Key;
use crate::policy::rendition::Fit;
use crate::serve::metrics::{EDGE_PLAYLIST_SEQUENCE, EDGE_PLAYLIST_UPDATED, Registry};
use crate::time::UnixTime;

/// Number of renditions that have gauges: the first that are seen.
const MOST: usize = 16;

type Name = (Box<str>, Box<str>);

/// The newest playlists, as Prometheus sees them.
#[derive(Debug)]
pub(in crate::serve::edge) struct Playlists {
    registry: Registry,
    known: Mutex<HashMap<Name, (IntGauge, Gauge)>>,
}

impl Playlists {
    pub(in crate::serve::edge) fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            known: Mutex::default(),
        }
    }

    /// A playlist has landed that lists segments up to `last`.
    pub(in crate::serve::edge) fn landed(&self, key: &Key, fit: &Fit, last: u64, now: UnixTime) {
        let Key::Live {
            channel, rendition, ..
        } = key
        else {
            return;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (channel.clone(), rendition.clone());
        let is_first = !known.contains_key(&name);
        if is_first {
            if known.len() >= MOST {
                return;
            }
            let registry = self
                .registry
                .with(&[("stream", channel), ("rendition", rendition)]);
            let gauges = (
                registry.gauge(EDGE_PLAYLIST_SEQUENCE),
                registry.fractional_gauge(EDGE_PLAYLIST_UPDATED),
            );
            known.insert(name.clone(), gauges);
        }
        let brings_news = match fit {
            Fit::Older => false,
            Fit::Newer(None) => is_first,
            Fit::Newer(Some(_)) | Fit::Reset => true,
        };
        if let Some((sequence, updated)) = known.get(&name).filter(|_| brings_news) {
            sequence.set(i64::try_from(last).unwrap_or(i64::MAX));
            updated.set(now.as_nanos() as f64 / 1e9);
        }
    }
}
