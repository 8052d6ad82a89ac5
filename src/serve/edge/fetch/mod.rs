//! A fetch from the origin, as a task of the edge's own: it always lands, and its result is stored before its key is
//! free again.
//!
//! Performs [`crate::policy::flight`]: [`fetch`] does what the flight decides, one action after another.

mod attempt;
mod order;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::StatusCode;
use tokio::sync::watch;

use self::attempt::{Fetch, Whole};
pub(super) use self::order::{Ask, Listing};
use super::flights::{Landing, Progress, Watch};
use super::node::Edge;
use super::place::Place;
use super::store::{Entry, Failure, LastLanding, Object};
use crate::hls::names::LivePath;
use crate::policy::collapse::Generation;
use crate::policy::flight::{Action, Flight, Outcome, Reason, Subject, Surroundings};
use crate::policy::key::{Key, KeyRef, Kind};
use crate::policy::landing::{self, Keep};
use crate::policy::prefetch;
use crate::policy::rendition::{Absence, Fit, PlaylistFacts};
use crate::policy::status::{FetchError, MissQueue, Shed};
use crate::time::Timestamp;

/// Begins a fetch in a task of its own, which ends at the latest by the limits of a flight.
pub(super) fn begin(
    edge: &Arc<Edge>,
    key: &Key,
    ask: Ask,
    listing: Listing,
    reason: Reason,
) -> Watch {
    let (progress, watch) = watch::channel(Progress::default());
    let (edge, key) = (edge.clone(), key.clone());
    edge.tasks.clone().spawn(async move {
        let fetching = fetch(&edge, &key, ask, listing, reason, &progress);
        fly(&edge, &key, listing, &progress, fetching).await;
    });
    watch
}

/// Runs a fetch to its landing, even if it panics: first publishes the result, then frees the key, then wakes all
/// waiters.
async fn fly(
    edge: &Edge,
    key: &Key,
    listing: Listing,
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
    match listing {
        Listing::Listed(generation) => {
            let publish = || publish(edge, key, Some(generation), &landing);
            if let Some(landed) = edge.flights.land(key, generation, publish) {
                edge.metrics.landed(key.as_ref().kind(), landed.followers);
                if let (Landing::Object(object, _), 1..) = (&landing, landed.followers) {
                    edge.asked_for(object);
                }
            }
        }
        Listing::Alone => publish(edge, key, None, &landing),
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

/// Asks the origin, repeatedly if need be, and reads its answer to the end, within every bound.
pub(super) async fn fetch(
    edge: &Arc<Edge>,
    key: &Key,
    ask: Ask,
    listing: Listing,
    reason: Reason,
    progress: &watch::Sender<Progress>,
) -> Landing {
    let flight = Flight::begin(
        Subject::of(key),
        reason,
        ask.came_through.is_some(),
        edge.miss_queue == MissQueue::Flights,
        &edge.limits(),
        edge.clock.now(),
        newest(edge, key),
    );
    let mut fetch = Fetch::new(edge, key, ask, listing, flight, progress);
    let (mut whole, mut held) = (None, None);
    let outcome = loop {
        match fetch.flight.poll() {
            Action::Ask(class, reason) => {
                let (ended, brought) = fetch.attempt(class, reason).await;
                whole = brought;
                let (now, around) = (edge.clock.now(), surroundings(edge, key));
                fetch.flight.handle_attempt(ended, now, around);
            }
            Action::Abandon => {
                let gone = match listing {
                    Listing::Listed(generation) => edge.flights.abandon(key, generation),
                    Listing::Alone => false,
                };
                fetch.flight.handle_abandon(gone, newest(edge, key));
            }
            Action::TakeRetry(error, retry_after) => {
                let failures = fetch.flight.failures() + 1;
                let granted = edge.upstream.may_retry(failures, error, retry_after);
                fetch.flight.handle_retry(granted, edge.clock.now());
                if granted {
                    edge.metrics.goes_on(fetch.flight.reason());
                }
            }
            Action::TakeHold => {
                held = Place::take(&edge.held, edge.limits().held_max);
                let (now, around) = (edge.clock.now(), surroundings(edge, key));
                fetch.flight.handle_hold(held.is_some(), now, around);
            }
            Action::Wait(until, next) => {
                wait(edge, key, until, next).await;
                fetch.flight.handle_wait(newest(edge, key));
            }
            Action::Land(outcome) => break outcome,
        }
    };
    drop(held);
    match (outcome, whole) {
        (Outcome::Whole, Some(whole)) => {
            edge.upstream.filled();
            bring(edge, key, whole, &fetch.flight).await
        }
        (Outcome::Whole, None) => unreachable!("a whole object was brought"),
        (Outcome::Refused(status, span), _) => Landing::Refused(status, span),
        (Outcome::Private, _) => Landing::Private,
        (Outcome::Failed(error, retry_after), _) => Landing::Failed(error, retry_after),
    }
}

/// The newest playlist of the rendition that a key belongs to.
fn newest(edge: &Edge, key: &Key) -> Option<PlaylistFacts> {
    let news = edge.renditions.newest(key.as_ref())?;
    let newest = *news.borrow();
    Some(newest)
}

fn surroundings(edge: &Edge, key: &Key) -> Surroundings {
    Surroundings {
        newest: newest(edge, key),
        crowded: edge.waiters() > edge.limits().waiters_max / 2,
    }
}

/// Waits until then, or until the newest playlist no longer names `next` as the next segment. A rendition that is
/// forgotten meanwhile has no news.
async fn wait(edge: &Edge, key: &Key, until: Timestamp, next: Option<u64>) {
    let until = edge.clock.instant(until);
    let news = next.and_then(|number| Some((number, edge.renditions.newest(key.as_ref())?)));
    match news {
        Some((number, mut news)) => {
            let told = news.wait_for(|newest| newest.absence_of(number) != Absence::Next);
            let _ = tokio::time::timeout_at(until, told).await;
        }
        None => tokio::time::sleep_until(until).await,
    }
}

/// The object that a flight lands with. A new playlist has its new segments fetched (see [`prefetch`]), and lands when
/// they have landed or after a bounded time.
async fn bring(edge: &Arc<Edge>, key: &Key, whole: Whole, flight: &Flight) -> Landing {
    let Whole {
        head,
        body,
        mut validity,
        news,
    } = whole;
    let lists_up_to = news.as_ref().map(|news| news.facts.last);
    if let Some(news) = news {
        if news.fit == Fit::Reset {
            forget_absences(edge, key);
        }
        let segments = prefetch::numbers(&news.fit).filter_map(|number| listed(edge, key, number));
        let landed = segments
            .collect::<Vec<_>>()
            .into_iter()
            .map(|mut watch| async move {
                // A fetch that was dropped before it landed will not land any longer.
                let _ = watch.wait_for(|progress| progress.landing.is_some()).await;
            });
        let landed = futures_util::future::join_all(landed);
        let flown = edge.clock.now().since(flight.began());
        let held_back_max = prefetch::held_back_max(news.facts, &edge.limits(), flown);
        let _ = tokio::time::timeout(held_back_max, landed).await;
        validity = validity.until_due(edge.clock.now(), news.due, news.facts);
    }
    let object = Object::new(head.headers.clone(), body, validity, flight.is_ahead())
        .listing_up_to(lists_up_to);
    Landing::Object(Arc::new(object), head)
}

/// A playlist lists this segment for the first time. A remembered 404 is forgotten, and the segment is fetched ahead,
/// so that the first viewer who asks finds at least its flight. Returns the flight if one began.
fn listed(edge: &Arc<Edge>, playlist: &Key, number: u64) -> Option<Watch> {
    let Key::Live {
        channel, rendition, ..
    } = playlist
    else {
        return None;
    };
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
    if known == Some(true) || !edge.prefetch {
        return None;
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
    match edge.miss_queue {
        MissQueue::Flights | MissQueue::Poll500ms => {}
        // Its flight would be in no table: requests for the segment go to the origin until it has landed.
        MissQueue::Off => return Some(begin(edge, &owned, ask, Listing::Alone, Reason::Prefetch)),
        // moka's own collapsing fetches within a viewer's request alone.
        MissQueue::Moka => return None,
    }
    let settled = || {
        let entry = edge.store.get(key);
        entry.is_some_and(|entry| entry.object.is_some())
    };
    let mut begun = None;
    edge.flights.refresh(key, settled, |key, generation| {
        let listing = Listing::Listed(generation);
        let watch = begin(edge, key, ask, listing, Reason::Prefetch);
        begun = Some(watch.clone());
        watch
    });
    begun
}

/// A stream has begun anew: segments that are remembered as missing may come under their old numbers.
fn forget_absences(edge: &Edge, playlist: &Key) {
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

/// Stores what a landing means for the key.
fn publish(edge: &Edge, key: &Key, generation: Option<Generation>, landing: &Landing) {
    let now = edge.clock.now();
    let before = edge.store.get(key.as_ref());
    let earlier = before.as_ref().and_then(|entry| entry.failure);
    let keep = landing::keep(
        &landing.outcome(),
        earlier.map(|failure| failure.negative),
        now,
    );
    let status = match landing {
        Landing::Refused(status, _) => *status,
        Landing::Failed(error, _) => error.status(),
        Landing::Object(..) | Landing::Private => StatusCode::OK,
    };
    if edge.miss_queue == MissQueue::Off && !matches!(keep, Keep::Object | Keep::Pass(_)) {
        // This baseline remembers no failure.
        return;
    }
    let mut entry = Entry::default();
    match (keep, landing) {
        (Keep::Object, Landing::Object(object, _)) => entry.object = Some(object.clone()),
        (Keep::Refusal(negative), _) => {
            entry.failure = Some(Failure { negative, status });
        }
        (Keep::Failure(negative), _) => {
            entry.object = before.and_then(|entry| entry.object.clone());
            entry.failure = Some(Failure { negative, status });
        }
        (Keep::Pass(until), _) => entry.pass_until = Some(until),
        (Keep::Object | Keep::AsItWas, _) => return,
    }
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
    use crate::serve::edge::EdgeConfig;
    use crate::serve::likes::rates::Addresses;

    const KEY: KeyRef<'_> = KeyRef::Live {
        channel: "demo",
        rendition: "720p",
        kind: Kind::Segment,
        number: 7,
    };

    #[tokio::test]
    async fn a_fetch_that_panics_fails_its_waiters_and_frees_its_key() {
        let config = EdgeConfig {
            name: "edge-t".to_owned(),
            upstreams: vec!["http://127.0.0.1:9".to_owned()],
            prefetch: true,
            refresh: true,
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
                fly(&edge, &key, Listing::Listed(generation), &progress, panics).await;
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
