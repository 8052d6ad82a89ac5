//! A request that names a segment is answered by a playlist that lists the segment, and by no older one.
//!
//! Performs [`crate::policy::blocking`]. Such requests have places of their own and hold no seat on a flight, so that
//! plain requests keep their places.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::policy::blocking::{Blocked, Outlook, Step};
use crate::policy::collapse::Boarding;
use crate::policy::edge::Reload;
use crate::policy::flight::Reason;
use crate::policy::status::{FetchError, MissQueue, Served, Shed, Way};
use crate::serve::edge::fetch::{self, Listing};
use crate::serve::edge::place::Place;
use crate::serve::edge::request::answer::{self, Waited};
use crate::serve::edge::request::asked::{Answered, Asked, Role};
use crate::serve::edge::request::pass::RequestStream;
use crate::serve::edge::request::shared;
use crate::serve::edge::request::stored;
use crate::serve::edge::store::Entry;
use crate::time::Timestamp;

/// Answers with a playlist that lists segment `number`, as soon as there is one. The baselines do not support this.
pub(in crate::serve::edge) async fn once_listed(
    asked: Asked<'_>,
    number: u64,
    body: impl RequestStream,
) -> Answered {
    let edge = asked.edge;
    if edge.miss_queue != MissQueue::Flights {
        return shared::serve(asked, body).await;
    }
    let Some(_place) = Place::take(&edge.blocked, edge.limits().blocked_max) else {
        return asked.unserved(FetchError::Shed(Shed::BlockedFull), None, Role::Follower);
    };
    let mut blocked = Blocked::new(asked.began);
    loop {
        // Subscribed before the store is read, so that no landing from now on is missed.
        let news = edge.renditions.newest(asked.key);
        let target_duration = news.as_ref().map(|news| news.borrow().target_duration);
        let now = edge.clock.now();
        let (outlook, entry) = look(&asked, number, target_duration, now);
        let wake_at = match (blocked.step(now, outlook), entry) {
            (Step::Stored(decision), Some(entry)) => {
                return stored::by_store(asked, &entry, decision, now, body).await;
            }
            (Step::Listed, Some(entry)) => return listed_now(asked, &entry),
            (Step::Plain | Step::Stored(_) | Step::Listed, _) => {
                return shared::serve(asked, body).await;
            }
            (Step::TooFar, _) => return asked.refused(StatusCode::BAD_REQUEST, "too-far-ahead"),
            (Step::Late, _) => {
                return asked.unserved(FetchError::Shed(Shed::Deadline), None, Role::Follower);
            }
            (Step::First(until), _) => {
                if let Err(shed) = first_playlist(&asked, number, until).await {
                    return asked.unserved(FetchError::Shed(shed), None, Role::Follower);
                }
                continue;
            }
            (Step::Fly(until), _) => {
                begin_flight(&asked, number, target_duration);
                until
            }
            (Step::Wait(until), _) => until,
        };
        let wake = tokio::time::sleep_until(edge.clock.instant(wake_at));
        match news {
            Some(mut news) => tokio::select! {
                () = wake => {}
                _ = news.changed() => {}
            },
            None => wake.await,
        }
    }
}

/// Begins a flight without a seat, unless one is under way or has just landed.
fn begin_flight(asked: &Asked<'_>, number: u64, target_duration: Option<Duration>) {
    let edge = asked.edge;
    let settled = || {
        let now = edge.clock.now();
        let (outlook, _) = look(asked, number, target_duration, now);
        outlook.reload != Reload::Ask || outlook.has_just_landed(now)
    };
    edge.flights.refresh(asked.key, settled, |key, generation| {
        let listing = Listing::Listed(generation);
        fetch::begin(edge, key, asked.ask(), listing, Reason::Miss)
    });
}

/// Waits on a seat among the waiters for the first playlist of a rendition to land.
async fn first_playlist(asked: &Asked<'_>, number: u64, until: Timestamp) -> Result<(), Shed> {
    let edge = asked.edge;
    let begin = |key: &_, generation| {
        let listing = Listing::Listed(generation);
        fetch::begin(edge, key, asked.ask(), listing, Reason::Miss)
    };
    let landed_already = || {
        let (outlook, _) = look(asked, number, None, edge.clock.now());
        (outlook.reload != Reload::Ask).then_some(())
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

/// What a request that waits for segment `number` sees in the store.
fn look(
    asked: &Asked<'_>,
    number: u64,
    target_duration: Option<Duration>,
    now: Timestamp,
) -> (Outlook, Option<Arc<Entry>>) {
    let entry = asked.edge.store.get(asked.key);
    let reload = entry.as_ref().map_or(Reload::Ask, |entry| {
        let last = entry.object.as_ref().and_then(|object| object.lists_up_to);
        entry.facts().reload(last, number, now)
    });
    let landing = entry.as_ref().and_then(|entry| entry.landing);
    let outlook = Outlook {
        reload,
        landed_at: landing.map(|landing| landing.at),
        target_duration,
    };
    (outlook, entry)
}

/// The answer with the stored playlist, for which this request has waited.
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
