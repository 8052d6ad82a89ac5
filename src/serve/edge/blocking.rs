//! Blocking playlist reload (RFC 8216bis, section 6.2.5.2): a request that names a segment is answered by a playlist that
//! lists it, and by no older one.
//!
//! However many wait, the origin is asked as if one viewer polled: all of them sleep until the stored playlist ends to be
//! fresh, which is when its next segment is due. Whoever wakes first begins a flight, and all of them are told when it has
//! landed. They hold places of their own and no seat on a flight, so that plain requests keep theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::answer::{self, Waited};
use super::fetch::{self, Listing};
use super::node::Edge;
use super::pass::RequestStream;
use super::request::{Answered, Asked, Role};
use super::store::Entry;
use super::{serve, stored};
use crate::policy::collapse::Boarding;
use crate::policy::edge::Reload;
use crate::policy::flight::Reason;
use crate::policy::status::{FetchError, MissQueue, Served, Shed, Way};
use crate::time::Timestamp;

/// How long after a flight that has changed nothing the next one may begin, at most.
const PAUSE: Duration = Duration::from_millis(250);

/// Answers with a playlist that lists segment `number`, as soon as there is one. The baselines know nothing of it.
pub(super) async fn once_listed(
    asked: Asked<'_>,
    number: u64,
    body: impl RequestStream,
) -> Answered {
    let edge = asked.edge;
    if edge.miss_queue != MissQueue::Flights {
        return serve::serve(asked, body).await;
    }
    let Some(_place) = Place::take(edge) else {
        return asked.unserved(FetchError::Shed(Shed::BlockedFull), None, Role::Follower);
    };
    let (mut waited, mut flew) = (false, false);
    loop {
        // Before the store is looked into: what lands from now on is not missed.
        let news = edge.renditions.newest(asked.key);
        let target_duration = news
            .as_ref()
            .map_or(Duration::from_secs(2), |news| news.borrow().target_duration);
        let until = asked.began + target_duration * 3;
        let now = edge.clock.now();
        if now >= until {
            return asked.unserved(FetchError::Shed(Shed::Deadline), None, Role::Follower);
        }
        let (reload, entry) = outlook(&asked, number, now);
        let pause = PAUSE.min(target_duration / 16);
        // Not at once after a landing that has changed nothing, whoever it was for.
        let landed = entry.as_ref().and_then(|entry| entry.landing);
        let again_at = landed.map(|landing| landing.at + pause);
        let wake_at = match (reload, entry) {
            (Reload::Answer(decision), Some(entry)) if !waited => {
                return stored::by_store(asked, &entry, decision, now, body).await;
            }
            (Reload::Answer(_), Some(entry)) => return listed_now(asked, &entry),
            (Reload::TooFar, _) => {
                return asked.refused(StatusCode::BAD_REQUEST, "too-far-ahead");
            }
            (Reload::Plain | Reload::Answer(_), _) => return serve::serve(asked, body).await,
            (Reload::Wait(at), _) => at,
            (Reload::Ask, _) if again_at.is_some_and(|at| now < at) => again_at.unwrap_or(now),
            // A flight that was turned away by a bound leaves no trace in the store.
            (Reload::Ask, _) if flew => {
                flew = false;
                now + pause
            }
            (Reload::Ask, _) => {
                flew = true;
                if news.is_none() {
                    // The first playlist of a rendition is waited for as any other object.
                    waited = true;
                    if let Err(shed) = first_playlist(&asked, number, until).await {
                        return asked.unserved(FetchError::Shed(shed), None, Role::Follower);
                    }
                    continue;
                }
                begin_flight(&asked, number, pause);
                until
            }
        };
        waited = true;
        let wake = tokio::time::sleep_until(edge.clock.instant(wake_at.min(until)));
        match news {
            Some(mut news) => tokio::select! {
                () = wake => {}
                _ = news.changed() => {}
            },
            None => wake.await,
        }
    }
}

/// Begins a flight that nobody has a seat on, unless one is under way or has landed within `pause`.
fn begin_flight(asked: &Asked<'_>, number: u64, pause: Duration) {
    let edge = asked.edge;
    let settled = || {
        let now = edge.clock.now();
        let (reload, entry) = outlook(&asked, number, now);
        let landed = entry.and_then(|entry| entry.landing);
        reload != Reload::Ask || landed.is_some_and(|landing| now < landing.at + pause)
    };
    edge.flights.refresh(asked.key, settled, |key, generation| {
        let listing = Listing::Listed(generation);
        fetch::begin(edge, key, asked.ask(), listing, Reason::Miss)
    });
}

/// Waits for the first playlist of a rendition to land, on a seat among the waiters.
async fn first_playlist(asked: &Asked<'_>, number: u64, until: Timestamp) -> Result<(), Shed> {
    let edge = asked.edge;
    let begin = |key: &_, generation| {
        let listing = Listing::Listed(generation);
        fetch::begin(edge, key, asked.ask(), listing, Reason::Miss)
    };
    let landed_already = || {
        let (reload, _) = outlook(&asked, number, edge.clock.now());
        (reload != Reload::Ask).then_some(())
    };
    let boarded = edge
        .flights
        .board(asked.key, &edge.limits(), landed_already, begin);
    match boarded {
        Ok(()) => Ok(()),
        Err(Boarding::Shed(shed)) => Err(shed),
        Err(Boarding::Lead(_, mut seat) | Boarding::Follow(_, mut seat)) => {
            let landed = seat.watch.wait_for(|progress| progress.landing.is_some());
            let _ = tokio::time::timeout_at(edge.clock.instant(until), landed).await;
            Ok(())
        }
    }
}

fn outlook(asked: &Asked<'_>, number: u64, now: Timestamp) -> (Reload, Option<Arc<Entry>>) {
    let Some(entry) = asked.edge.store.get(asked.key) else {
        return (Reload::Ask, None);
    };
    let head = entry.object.as_ref().and_then(|object| object.head);
    (entry.facts().reload(head, number, now), Some(entry))
}

/// The stored playlist, which this request has waited for.
fn listed_now(asked: Asked<'_>, entry: &Entry) -> Answered {
    let now = asked.edge.clock.now();
    let object = entry.object.as_ref().expect("it lists what was asked for");
    let status = asked.status(Way::Collapsed, Some(object.validity.ttl_s(now)), None);
    let waited = Waited {
        total: now.since(asked.began),
        origin: Duration::ZERO,
    };
    let response = answer::object(&asked.request, object, now, status, None, Some(waited));
    Answered {
        served: Served::Collapsed,
        response: warp::Reply::into_response(response),
    }
}

/// A place among the requests that wait for a playlist which is still to come; dropping it gives it back.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(edge: &'a Edge) -> Option<Self> {
        let place = Self(&edge.blocked);
        let before = place.0.fetch_add(1, Ordering::Relaxed);
        (before < edge.limits().blocked_max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
