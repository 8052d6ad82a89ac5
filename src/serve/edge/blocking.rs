//! Blocking playlist reload (RFC 8216bis, section 6.2.5.2): a request that names a segment is answered by a playlist that
//! lists it, and by no older one.
//!
//! However many wait, the origin is asked as if one viewer polled: all of them sleep until the stored playlist ends to be
//! fresh, which is when its next segment is due, and then board one flight. They hold places of their own, so that plain
//! requests keep theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;

use super::Edge;
use super::answer::{self, Waited};
use super::fetch::{self, Flight};
use super::flights::{Landing, Seat};
use super::metrics::Reason;
use super::pass::RequestStream;
use super::routes::{Answered, Asked, Heard, Role};
use super::store::Entry;
use crate::policy::collapse::Boarding;
use crate::policy::edge::Reload;
use crate::policy::status::{FetchError, MissQueue, Served, Shed, Way};
use crate::time::Timestamp;

/// How long after a failure it is looked again, where the failure itself does not tell.
const PAUSE: Duration = Duration::from_millis(250);

impl Asked<'_> {
    /// Answers with a playlist that lists segment `number`, as soon as there is one. The baselines know nothing of it.
    pub(super) async fn once_listed(self, number: u64, body: impl RequestStream) -> Answered {
        let edge = self.edge;
        if edge.miss_queue != MissQueue::Flights {
            return self.serve(body).await;
        }
        let Some(_place) = Place::take(edge) else {
            return self.unserved(FetchError::Shed(Shed::BlockedFull), None, Role::Follower);
        };
        let mut waited = false;
        loop {
            let news = edge.renditions.newest(self.key);
            let target_duration = news
                .as_ref()
                .map_or(Duration::from_secs(2), |news| news.borrow().target_duration);
            let until = self.began + target_duration * 3;
            let now = edge.clock.now();
            if now >= until {
                return self.unserved(FetchError::Shed(Shed::Deadline), None, Role::Follower);
            }
            let (mut reload, mut entry) = self.outlook(number, now);
            if reload == Reload::Ask {
                let begin = |key: &_, generation| {
                    let flight = Flight::Listed(generation);
                    fetch::begin(edge, key, self.ask(), flight, Reason::Miss)
                };
                let look_again = || {
                    let (reload, entry) = self.outlook(number, edge.clock.now());
                    (reload != Reload::Ask).then_some((reload, entry))
                };
                let boarded = edge
                    .flights
                    .board(self.key, &edge.limits(), look_again, begin);
                let (role, mut seat) = match boarded {
                    Ok(again) => {
                        (reload, entry) = again;
                        (Role::Follower, None)
                    }
                    Err(Boarding::Shed(shed)) => {
                        return self.unserved(FetchError::Shed(shed), None, Role::Follower);
                    }
                    Err(Boarding::Lead(_, seat)) => (Role::Leader, Some(seat)),
                    Err(Boarding::Follow(_, seat)) => (Role::Follower, Some(seat)),
                };
                if let Some(seat) = &mut seat {
                    waited = true;
                    match landing_of(edge, seat, until).await {
                        Some(landing) if lists(&landing, number) => {
                            let watch = seat.watch.clone();
                            return self
                                .answer_heard(role, watch, Heard::Landing(landing), body)
                                .await;
                        }
                        Some(Landing::Failed(..)) => tokio::time::sleep(PAUSE).await,
                        Some(_) | None => {}
                    }
                    continue;
                }
            }
            match (reload, entry) {
                (Reload::Answer(decision), Some(entry)) if !waited => {
                    return self.by_store(&entry, decision, now, body).await;
                }
                (Reload::Answer(_), Some(entry)) => return self.listed_now(&entry),
                (Reload::TooFar, _) => {
                    return self.refused(StatusCode::BAD_REQUEST, "too-far-ahead");
                }
                (Reload::Wait(at), _) => {
                    waited = true;
                    let wake = tokio::time::sleep_until(edge.clock.instant(at.min(until)));
                    match news {
                        Some(mut news) => tokio::select! {
                            () = wake => {}
                            _ = news.changed() => {}
                        },
                        None => wake.await,
                    }
                }
                (Reload::Plain | Reload::Ask | Reload::Answer(_), _) => {
                    return self.serve(body).await;
                }
            }
        }
    }

    fn outlook(&self, number: u64, now: Timestamp) -> (Reload, Option<Arc<Entry>>) {
        let Some(entry) = self.edge.store.get(self.key) else {
            return (Reload::Ask, None);
        };
        let head = entry.object.as_ref().and_then(|object| object.head);
        (entry.facts().reload(head, number, now), Some(entry))
    }

    /// The stored playlist, which this request has waited for.
    fn listed_now(self, entry: &Entry) -> Answered {
        let now = self.edge.clock.now();
        let object = entry.object.as_ref().expect("it lists what was asked for");
        let status = self.status(Way::Collapsed, Some(object.validity.ttl_s(now)), None);
        let waited = Waited {
            total: now.since(self.began),
            origin: Duration::ZERO,
        };
        let response = answer::object(&self.request, object, now, status, None, Some(waited));
        Answered {
            served: Served::Collapsed,
            response: warp::Reply::into_response(response),
        }
    }
}

fn lists(landing: &Landing, number: u64) -> bool {
    matches!(landing, Landing::Object(object, _) if object.head.is_some_and(|head| head >= number))
}

/// How the flight of a seat lands; `None` if it doesn't in time.
async fn landing_of(edge: &Edge, seat: &mut Seat, until: Timestamp) -> Option<Landing> {
    let landed = seat.watch.wait_for(|progress| progress.landing.is_some());
    match tokio::time::timeout_at(edge.clock.instant(until), landed).await {
        Ok(Ok(progress)) => progress.landing.clone(),
        // The fetch was dropped unlanded: the edge is going down.
        Ok(Err(_)) => Some(Landing::Failed(FetchError::Broken, None)),
        Err(_) => None,
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
