//! A fetch from the origin as the edge's own: it runs detached, always lands, and what it lands with is stored before its
//! key is free again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::HeaderValue;
use http::uri::PathAndQuery;
use tokio::sync::watch;

use super::Edge;
use super::attempts;
use super::flights::{Landing, Progress, Watch};
use super::metrics::Reason;
use super::store::{Entry, Failure, LastLanding};
use crate::policy::collapse::Generation;
use crate::policy::edge::PASS;
use crate::policy::freshness::Negative;
use crate::policy::key::{Key, Kind};
use crate::policy::status::{FetchError, Shed};

/// Whether a fetch is in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flight {
    /// It is, under this number.
    Listed(Generation),
    /// It is not: baselines fetch once per request.
    Alone,
}

/// What the origin is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The path, and the query where it counts.
    pub(super) path: PathAndQuery,
    /// The caches that the leader's request has come through (`CDN-Loop`).
    pub(super) came_through: Option<HeaderValue>,
}

/// Begins a fetch in a task of its own, which ends by the limits of a flight at the latest.
pub(super) fn begin(
    edge: &Arc<Edge>,
    key: &Key,
    ask: Ask,
    flight: Flight,
    reason: Reason,
) -> Watch {
    let (progress, watch) = watch::channel(Progress::default());
    let (edge, key) = (edge.clone(), key.clone());
    edge.tasks.clone().spawn(async move {
        let fetching = attempts::fetch(&edge, &key, ask, flight, reason, &progress);
        fly(&edge, &key, flight, &progress, fetching).await;
    });
    watch
}

/// Runs a fetch to its landing, even if it panics: publishes first, frees the key then, wakes everyone last.
async fn fly(
    edge: &Edge,
    key: &Key,
    flight: Flight,
    progress: &watch::Sender<Progress>,
    fetching: impl Future<Output = Landing>,
) {
    let landing = AssertUnwindSafe(fetching)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(?key, "a fetch panicked: this is a defect of Seawall");
            Landing::Failed(FetchError::Panicked, None)
        });
    match flight {
        Flight::Listed(generation) => {
            let publish = || publish(edge, key, Some(generation), &landing);
            if let Some(landed) = edge.flights.land(key, generation, publish) {
                edge.metrics.landed(key.as_ref().kind(), landed.followers);
                if let (Landing::Object(object, _), 1..) = (&landing, landed.followers) {
                    edge.asked_for(object);
                }
            }
        }
        Flight::Alone => publish(edge, key, None, &landing),
    }
    if let Landing::Object(..) = landing {
        edge.store.evict();
    }
    if key.as_ref().kind() == Kind::MediaPlaylist {
        edge.renditions.stored(key);
    }
    if let Landing::Failed(FetchError::Shed(shed @ (Shed::Deserted | Shed::Background)), _) =
        landing
    {
        edge.metrics.given_up(shed);
    }
    let now = edge.clock.now();
    progress.send_modify(|progress| {
        if let Landing::Object(object, _) = &landing {
            progress.complete(&object.body);
        }
        progress.landing = Some(landing);
        progress.landed_at = now;
    });
}

/// Writes into the store what a landing means for the key.
fn publish(edge: &Edge, key: &Key, generation: Option<Generation>, landing: &Landing) {
    let now = edge.clock.now();
    let before = edge.store.get(key.as_ref());
    let mut entry = match landing {
        Landing::Object(object, _) => Entry {
            object: Some(object.clone()),
            ..Entry::default()
        },
        Landing::Refused(status, span) => {
            let failure = Failure {
                negative: Negative::after_refusal(now, *span),
                status: *status,
            };
            Entry {
                failure: Some(failure),
                ..Entry::default()
            }
        }
        Landing::Private => Entry {
            pass_until: Some(now + PASS),
            ..Entry::default()
        },
        // A bound of ours, or a defect of ours, says nothing about the object.
        // So does a request that has gone round between caches.
        Landing::Failed(
            FetchError::Shed(_) | FetchError::Panicked | FetchError::Status(508),
            _,
        ) => return,
        Landing::Failed(error, retry_after) => {
            let earlier = before
                .as_ref()
                .and_then(|entry| entry.failure)
                .map(|failure| failure.negative);
            let negative = Negative::after_error(now, earlier, *retry_after);
            let object = before.and_then(|entry| entry.object.clone());
            Entry {
                object,
                failure: Some(Failure {
                    negative,
                    status: super::answer::status_of(*error),
                }),
                ..Entry::default()
            }
        }
    };
    entry.landing = Some(LastLanding {
        outcome: landing.word(),
        generation,
        at: now,
    });
    edge.store.put(key.clone(), entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::collapse::Boarding;
    use crate::policy::key::KeyRef;
    use crate::policy::limits::Limits;
    use crate::policy::status::MissQueue;
    use crate::serve::clock::Clock;
    use crate::serve::edge::Config;
    use crate::serve::likes::rates::Addresses;

    const KEY: KeyRef<'_> = KeyRef::Live {
        channel: "demo",
        rendition: "720p",
        kind: Kind::Segment,
        number: 7,
    };

    #[tokio::test]
    async fn a_fetch_that_panics_fails_its_waiters_and_frees_its_key() {
        let config = Config {
            name: "edge-t".to_owned(),
            upstreams: vec!["http://127.0.0.1:9".to_owned()],
            prefetch: true,
            miss_queue: MissQueue::Flights,
            cache_bytes: 1 << 20,
            limits: Limits::default(),
            access_log: None,
            likes: Addresses::default(),
        };
        let edge = Edge::new(config, Clock::start()).unwrap();
        let begin = |key: &Key, generation| {
            let (progress, watch) = watch::channel(Progress::default());
            let (edge, key) = (edge.clone(), key.clone());
            tokio::spawn(async move {
                let panics = async { panic!("on purpose") };
                fly(&edge, &key, Flight::Listed(generation), &progress, panics).await;
            });
            watch
        };
        for _ in 0..2 {
            let boarding = edge
                .flights
                .board(KEY, &edge.limits(), || None::<()>, begin);
            let Err(Boarding::Lead(_, mut seat)) = boarding else {
                panic!("the key is free")
            };
            let landed = seat
                .watch
                .wait_for(|progress| progress.landing.is_some())
                .await
                .unwrap();
            assert!(matches!(
                landed.landing,
                Some(Landing::Failed(FetchError::Panicked, _))
            ));
            assert_eq!(edge.flights_under_way(), 0);
        }
        assert!(
            edge.store.get(KEY).is_none(),
            "a defect of ours is not remembered of the object"
        );
    }
}
