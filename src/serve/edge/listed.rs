//! What follows when a playlist lists segments for the first time, or begins anew.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Edge;
use super::fetch::{self, Ask, Flight};
use super::flights::Watch;
use super::metrics::Reason;
use crate::hls::names::LivePath;
use crate::policy::key::{Key, KeyRef, Kind};
use crate::policy::status::MissQueue;

/// What a playlist lists for the first time is there now: a remembered 404 of it is forgotten, and it is fetched ahead,
/// so that the first viewer who asks finds at least its flight. Gives the flights that were begun for that.
pub(super) fn newly(edge: &Arc<Edge>, playlist: &Key, numbers: RangeInclusive<u64>) -> Vec<Watch> {
    /// A playlist that jumps far ahead is no reason to fetch everything between.
    const AHEAD_MAX: usize = 4;
    let Key::Live {
        channel, rendition, ..
    } = playlist
    else {
        return Vec::new();
    };
    let mut begun = Vec::new();
    for number in numbers.rev().take(AHEAD_MAX) {
        let key = KeyRef::Live {
            channel,
            rendition,
            kind: Kind::Segment,
            number,
        };
        let owned = key.to_key();
        let known = edge.flights.between(&owned, || {
            let entry = edge.store.get(key)?;
            let known = entry.object.is_some();
            if !known {
                edge.store.forget(&owned);
                edge.metrics.negatives_purged.inc();
            }
            Some(known)
        });
        if known == Some(true) {
            continue;
        }
        if !edge.prefetch || edge.miss_queue != MissQueue::Flights {
            continue;
        }
        let path = LivePath::Segment {
            channel,
            rendition,
            number,
        };
        let ask = Ask {
            path: path.to_string().parse().expect("names are path-safe"),
            came_through: None,
        };
        let settled = || {
            edge.store
                .get(key)
                .is_some_and(|entry| entry.object.is_some())
        };
        edge.flights.refresh(key, settled, |key, generation| {
            let flight = Flight::Listed(generation);
            let watch = fetch::begin(edge, key, ask, flight, Reason::Prefetch);
            begun.push(watch.clone());
            watch
        });
    }
    begun
}

/// Waits until all of these have landed, whatever they bring, or for `at_most`.
pub(super) async fn landed(flights: Vec<Watch>, at_most: Duration) {
    let landing = flights.into_iter().map(|mut watch| async move {
        // A fetch that is dropped unlanded will not land any more.
        let _ = watch.wait_for(|progress| progress.landing.is_some()).await;
    });
    let _ = tokio::time::timeout(at_most, futures_util::future::join_all(landing)).await;
}

/// A stream has begun anew: what is known not to be there may come under its old number.
pub(super) fn forget_absences(edge: &Edge, playlist: &Key) {
    let Key::Live {
        channel, rendition, ..
    } = playlist
    else {
        return;
    };
    let of_rendition = |key: &Key| matches!(key, Key::Live { channel: c, rendition: r, kind: Kind::Segment, .. } if c == channel && r == rendition);
    for key in edge.store.keys().into_iter().filter(of_rendition) {
        edge.flights.between(&key, || {
            let absent = edge.store.get(key.as_ref());
            if absent.is_some_and(|entry| entry.object.is_none()) {
                edge.store.forget(&key);
            }
        });
    }
}
