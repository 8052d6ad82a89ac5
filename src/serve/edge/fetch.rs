//! One fetch from the origin: it runs detached, fills a [`Progress`] that followers read, and always lands.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::uri::PathAndQuery;
use hyper::body::Body;
use tokio::sync::watch;

use super::Edge;
use super::flights::{Head, Landing, Progress, Watch};
use super::head;
use super::metrics::Reason;
use super::store::{Entry, Failure, Object};
use super::upstream;
use crate::hls;
use crate::policy::collapse::Generation;
use crate::policy::edge::PASS;
use crate::policy::freshness::{Negative, Validity};
use crate::policy::key::{Key, Kind};
use crate::policy::sharing::{self, Implicit, Sharing};
use crate::policy::status::FetchError;

/// Whether a fetch is in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flight {
    /// It is, under this number.
    Listed(Generation),
    /// It is not: baselines fetch once per request.
    Alone,
}

/// Begins a fetch in a task of its own, which ends by the limits of a flight at the latest.
pub(super) fn begin(
    edge: &Arc<Edge>,
    key: &Key,
    path: PathAndQuery,
    flight: Flight,
    reason: Reason,
) -> Watch {
    let (progress, watch) = watch::channel(Progress::default());
    let (edge, key) = (edge.clone(), key.clone());
    edge.tasks.clone().spawn(async move {
        let fetching = fetch(&edge, &key, path, reason, &progress);
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
    publish(edge, key, &landing);
    if let Flight::Listed(generation) = flight
        && let Some(landed) = edge.flights.land(key, generation)
    {
        edge.metrics.landed(key.as_ref().kind(), landed.followers);
    }
    progress.send_modify(|progress| progress.landing = Some(landing));
}

/// Writes into the store what a landing means for the key.
fn publish(edge: &Edge, key: &Key, landing: &Landing) {
    let now = edge.clock.now();
    let before = edge.store.get(key.as_ref());
    let entry = match landing {
        Landing::Object(object, _) => Entry {
            object: Some(object.clone()),
            ..Entry::default()
        },
        Landing::Refused(status) => {
            let failure = Failure {
                negative: Negative::after_refusal(now),
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
        Landing::Failed(FetchError::Shed(_) | FetchError::Panicked, _) => return,
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
                pass_until: None,
            }
        }
    };
    edge.store.put(key.clone(), entry);
}

/// Asks the origin and reads its answer to the end, within every bound.
pub(super) async fn fetch(
    edge: &Edge,
    key: &Key,
    path: PathAndQuery,
    reason: Reason,
    progress: &watch::Sender<Progress>,
) -> Landing {
    let _place = match edge.upstream.place().await {
        Ok(place) => place,
        Err(shed) => return Landing::Failed(FetchError::Shed(shed), None),
    };
    let kind = key.as_ref().kind();
    let begun = edge.clock.now();
    let counted = edge.metrics.fetch_begins(kind);
    if edge.upstream.fetch_begins(key) > 0 {
        edge.metrics.duplicate_fetches.inc();
    }
    let held = Held::none(edge);
    let landing = tokio::time::timeout(edge.limits.total, receive(edge, key, path, progress, held))
        .await
        .unwrap_or(Landing::Failed(FetchError::TotalTimeout, None));
    edge.upstream.fetch_ends(key);
    counted.ends(reason, &landing, edge.clock.now().since(begun));
    landing
}

async fn receive(
    edge: &Edge,
    key: &Key,
    path: PathAndQuery,
    progress: &watch::Sender<Progress>,
    mut held: Held<'_>,
) -> Landing {
    let begun = edge.clock.now();
    let response = match edge.upstream.get(path).await {
        Ok(response) => response,
        Err(error) => return Landing::Failed(error, None),
    };
    let (parts, mut body) = response.into_parts();
    let implicit = if matches!(key, Key::Live { .. }) {
        Implicit::Shared
    } else {
        Implicit::Private
    };
    let lifetime = match sharing::judge(parts.status, &parts.headers, implicit) {
        Sharing::Shared { lifetime } => lifetime,
        Sharing::Private => return Landing::Private,
        Sharing::Refused => return Landing::Refused(parts.status),
        Sharing::Failed { retry_after } => {
            return Landing::Failed(FetchError::Status(parts.status.as_u16()), retry_after);
        }
    };
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > edge.limits.body_bytes_max) {
        // Foreign objects of any size pass through; a live segment of this size is a mistake.
        return match key {
            Key::Live { .. } => Landing::Failed(FetchError::TooLarge, None),
            Key::Foreign { .. } => Landing::Private,
        };
    }
    let landed_age = sharing::age(&parts.headers);
    let now = edge.clock.now();
    let kind = key.as_ref().kind();
    let validity_of = |playlist| match key {
        Key::Live { .. } => Validity::of_live(now, landed_age, kind, playlist),
        Key::Foreign { .. } => Validity::of_foreign(now, landed_age, lifetime.unwrap_or_default()),
    };
    let head = Arc::new(Head {
        headers: head::viewer_headers(key, &parts.headers, edge.upstream.via()),
        length: announced,
        waited: now.since(begun),
        ttl_s: validity_of(None).ttl_s(now),
        cache_status: parts.headers.get("cache-status").cloned(),
    });
    progress.send_modify(|progress| progress.head = Some(head.clone()));

    let mut received = 0_u64;
    loop {
        let chunk = match upstream::next_chunk(&mut body, &edge.limits).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return Landing::Failed(error, None),
        };
        received += chunk.len() as u64;
        if received > edge.limits.body_bytes_max {
            return Landing::Failed(FetchError::TooLarge, None);
        }
        if let Err(shed) = held.more(chunk.len() as u64) {
            return Landing::Failed(FetchError::Shed(shed), None);
        }
        edge.metrics.origin_bytes.inc_by(chunk.len() as u64);
        progress.send_modify(|progress| progress.chunks.push(chunk));
    }
    if announced.is_some_and(|length| length != received) {
        return Landing::Failed(FetchError::Truncated, None);
    }
    let body = joined(&progress.borrow().chunks, received);
    let facts = (kind == Kind::MediaPlaylist)
        .then(|| hls::facts::of_media_playlist(&body))
        .flatten();
    Landing::Object(
        Arc::new(Object::new(head.headers.clone(), body, validity_of(facts))),
        head,
    )
}

fn joined(chunks: &[Bytes], length: u64) -> Bytes {
    match chunks {
        [] => Bytes::new(),
        [whole] => whole.clone(),
        parts => {
            let mut body = BytesMut::with_capacity(length as usize);
            parts.iter().for_each(|part| body.extend_from_slice(part));
            body.freeze()
        }
    }
}

/// Bytes that one flight holds; given back when it ends, however it ends.
struct Held<'a> {
    edge: &'a Edge,
    bytes: u64,
}

impl<'a> Held<'a> {
    fn none(edge: &'a Edge) -> Self {
        Self { edge, bytes: 0 }
    }

    fn more(&mut self, bytes: u64) -> Result<(), crate::policy::status::Shed> {
        self.bytes += bytes;
        self.edge.upstream.hold(bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.edge.upstream.release(self.bytes);
    }
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
            upstream: "http://127.0.0.1:9".to_owned(),
            miss_queue: MissQueue::Flights,
            cache_bytes: 1 << 20,
            limits: Limits::default(),
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
            let boarding = edge.flights.board(KEY, &edge.limits, || None::<()>, begin);
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
