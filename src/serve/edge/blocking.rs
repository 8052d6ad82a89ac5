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

use super::Edge;
use super::answer::{self, Waited};
use super::fetch::{self, Listing};
use super::pass::RequestStream;
use super::routes::{Answered, Asked, Role};
use super::store::Entry;
use crate::policy::collapse::Boarding;
use crate::policy::edge::Reload;
use crate::policy::flight::Reason;
use crate::policy::status::{FetchError, MissQueue, Served, Shed, Way};
use crate::time::Timestamp;

/// How long after a flight that has changed nothing the next one may begin, at most.
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
        let (mut waited, mut flew) = (false, false);
        loop {
            // Before the store is looked into: what lands from now on is not missed.
            let news = edge.renditions.newest(self.key);
            let target_duration = news
                .as_ref()
                .map_or(Duration::from_secs(2), |news| news.borrow().target_duration);
            let until = self.began + target_duration * 3;
            let now = edge.clock.now();
            if now >= until {
                return self.unserved(FetchError::Shed(Shed::Deadline), None, Role::Follower);
            }
            let (reload, entry) = self.outlook(number, now);
            let pause = PAUSE.min(target_duration / 16);
            // Not at once after a landing that has changed nothing, whoever it was for.
            let landed = entry.as_ref().and_then(|entry| entry.landing);
            let again_at = landed.map(|landing| landing.at + pause);
            let wake_at = match (reload, entry) {
                (Reload::Answer(decision), Some(entry)) if !waited => {
                    return self.by_store(&entry, decision, now, body).await;
                }
                (Reload::Answer(_), Some(entry)) => return self.listed_now(&entry),
                (Reload::TooFar, _) => {
                    return self.refused(StatusCode::BAD_REQUEST, "too-far-ahead");
                }
                (Reload::Plain | Reload::Answer(_), _) => return self.serve(body).await,
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
                        if let Err(shed) = self.first_playlist(number, until).await {
                            return self.unserved(FetchError::Shed(shed), None, Role::Follower);
                        }
                        continue;
                    }
                    self.begin_flight(number, pause);
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
    fn begin_flight(&self, number: u64, pause: Duration) {
        let edge = self.edge;
        let settled = || {
            let now = edge.clock.now();
            let (reload, entry) = self.outlook(number, now);
            let landed = entry.and_then(|entry| entry.landing);
            reload != Reload::Ask || landed.is_some_and(|landing| now < landing.at + pause)
        };
        edge.flights.refresh(self.key, settled, |key, generation| {
            let listing = Listing::Listed(generation);
            fetch::begin(edge, key, self.ask(), listing, Reason::Miss)
        });
    }

    /// Waits for the first playlist of a rendition to land, on a seat among the waiters.
    async fn first_playlist(&self, number: u64, until: Timestamp) -> Result<(), Shed> {
        let edge = self.edge;
        let begin = |key: &_, generation| {
            let listing = Listing::Listed(generation);
            fetch::begin(edge, key, self.ask(), listing, Reason::Miss)
        };
        let landed_already = || {
            let (reload, _) = self.outlook(number, edge.clock.now());
            (reload != Reload::Ask).then_some(())
        };
        let boarded = edge
            .flights
            .board(self.key, &edge.limits(), landed_already, begin);
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
