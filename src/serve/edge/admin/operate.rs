//! What an operator may ask of an edge and do to it: inspect an object, purge, drain, change bounds. On the admin
//! listener alone.
//!
//! Reading is open; every change needs the bearer token of the configuration.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::reply::Response;

use crate::hls::names::LivePath;
use crate::policy::flight::Reason;
use crate::policy::freshness::Freshness;
use crate::policy::key::{Key, Kind};
use crate::policy::limits::Changes;
use crate::serve::admin::Admin;
use crate::serve::edge::flights::InspectedFlight;
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::paths::{key_of, path_of};
use crate::serve::edge::store::Cause;

/// Everything that an edge knows of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// The path, with the query if it is part of the key.
    pub path: String,
    /// The word for the object's kind.
    pub kind: String,
    /// The newest object that landed whole.
    pub object: Option<InspectedObject>,
    /// The last failure, if it is still remembered.
    pub failure: Option<InspectedFailure>,
    /// Milliseconds until which the object is known not to be shared.
    pub pass_for_ms: Option<u64>,
    /// The flight under way.
    pub flight: Option<InspectedFlight>,
    /// How the last fetch ended.
    pub last_landing: Option<InspectedLanding>,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedObject {
    /// `fresh`, `stale-while-revalidate`, `stale-if-error` or `expired`.
    pub state: String,
    /// Length of its body.
    pub bytes: u64,
    /// Milliseconds since the object was made.
    pub age_ms: u64,
    /// Seconds until the object is stale; negative once it is.
    pub ttl_s: i64,
    /// Its tag.
    pub etag: Option<String>,
}

/// A remembered failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedFailure {
    /// The status that viewers get.
    pub status: u16,
    /// Failures in a row.
    pub in_a_row: u32,
    /// Milliseconds until the failure is forgotten.
    pub for_ms: u64,
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedLanding {
    /// The word of its outcome.
    pub outcome: String,
    /// The flight's generation; a baseline's fetch has none.
    pub generation: Option<u64>,
    /// Milliseconds since the fetch ended.
    pub ago_ms: u64,
}

/// The counts of an edge that takes part in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Its name, by which the origin knows it.
    pub name: String,
    /// The word for how misses are handled.
    pub miss_queue: String,
    /// Number of requests for segments so far.
    pub segment_requests: u64,
    /// Number of attempts within flights for segments so far, beyond the first.
    pub segment_retries: u64,
    /// Number of prefetches of segments so far.
    #[serde(default)]
    pub segment_prefetches: u64,
    /// Number of objects that the cache has evicted for lack of room so far.
    pub evicted: u64,
    /// The most followers of one flight so far.
    pub followers_peak: u32,
    /// Number of requests that wait for a flight now.
    pub waiters: u32,
    /// Number of fetches under way.
    pub fetches: usize,
    /// Segments that were fetched ahead and not asked for by a viewer: channel, rendition, number.
    pub unasked: Vec<(String, String, u64)>,
}

/// What a purge is for: exactly one of path, prefix and channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeQuery {
    path: Option<String>,
    prefix: Option<String>,
    channel: Option<String>,
    #[serde(default)]
    soft: bool,
}

/// How much of an object a purge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// The object is forgotten, and a fetch under way stores nothing.
    Hard,
    /// The object is stale from now on: it may be served while it is refreshed, or when the origin fails.
    Soft,
}

/// How many objects a purge has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Number of objects, remembered failures, or flights.
    pub purged: u64,
}

/// The query that names an object to inspect.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InspectQuery {
    path: String,
}

impl Edge {
    /// The counts of this edge so far.
    pub fn audit(&self) -> Audit {
        let again = [Reason::Retry, Reason::Resume, Reason::Hold];
        Audit {
            name: self.name.clone(),
            miss_queue: self.miss_queue.to_string(),
            segment_requests: self.metrics.requests(Kind::Segment),
            segment_retries: self.metrics.segment_fetches(&again),
            segment_prefetches: self.metrics.segment_fetches(&[Reason::Prefetch]),
            evicted: self.store.evicted(Cause::Size),
            followers_peak: self.metrics.followers_peak(),
            waiters: self.waiters(),
            fetches: self.tasks(),
            unasked: self.unasked(),
        }
    }

    /// The operator's routes.
    pub fn operator_routes(
        self: &Arc<Self>,
        admin: Admin,
    ) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + use<>
    {
        let (asked, purging, draining) = (self.clone(), self.clone(), self.clone());
        let inspect = warp::path!("-" / "inspect")
            .and(warp::get())
            .and(warp::query::<InspectQuery>())
            .map(move |query: InspectQuery| match query.path.parse() {
                Ok(uri) if query.path.starts_with('/') => json(&asked.inspect(&uri)),
                _ => said(
                    StatusCode::BAD_REQUEST,
                    "path must be the path of an object, such as /live/demo/main.m3u8",
                ),
            });
        let audited = self.clone();
        let audit = warp::path!("-" / "audit")
            .and(warp::get())
            .map(move || json(&audited.audit()));
        let guard = move |headers: &HeaderMap| admin.refusal(headers);
        let (guard_drain, guard_limits) = (guard.clone(), guard.clone());
        let (shown, changed) = (self.clone(), self.clone());
        let limits = warp::path!("-" / "limits")
            .and(warp::get())
            .map(move || json(&Changes::of(&shown.limits())));
        let change = warp::path!("-" / "limits")
            .and(warp::post())
            .and(warp::header::headers_cloned())
            .and(warp::query::<Changes>())
            .map(move |headers: HeaderMap, changes: Changes| {
                guard_limits(&headers).unwrap_or_else(|| changed.change(changes))
            });
        let purge = warp::path!("-" / "purge")
            .and(warp::post())
            .and(warp::header::headers_cloned())
            .and(warp::query::<PurgeQuery>())
            .map(move |headers: HeaderMap, query: PurgeQuery| {
                guard(&headers).unwrap_or_else(|| purging.purge_by(query))
            });
        let drain = warp::path!("-" / "drain")
            .and(
                warp::post()
                    .map(|| true)
                    .or(warp::delete().map(|| false))
                    .unify(),
            )
            .and(warp::header::headers_cloned())
            .map(move |begins: bool, headers: HeaderMap| {
                guard_drain(&headers).unwrap_or_else(|| {
                    draining.draining.store(begins, Ordering::Relaxed);
                    let text = if begins {
                        "draining: /readyz says 503\n"
                    } else {
                        "serving\n"
                    };
                    said(StatusCode::OK, text)
                })
            });
        let objects = inspect.or(audit).unify().or(purge).unify();
        objects
            .or(drain)
            .unify()
            .or(limits)
            .unify()
            .or(change)
            .unify()
    }

    fn change(&self, changes: Changes) -> Response {
        if let Err(why) = changes.check() {
            return said(
                StatusCode::BAD_REQUEST,
                &format!("{why}; nothing was changed"),
            );
        }
        let mut limits = self.limits.write().unwrap_or_else(PoisonError::into_inner);
        changes.lay_over(&mut limits);
        json(&Changes::of(&limits))
    }

    /// What is known of the object with this path.
    pub fn inspect(&self, uri: &Uri) -> Inspected {
        let now = self.clock.now();
        let key = key_of(
            LivePath::parse(uri.path()),
            uri,
            self.upstream.authority().as_str(),
        );
        let entry = self.store.get(key);
        let millis = |span: Duration| span.as_millis() as u64;
        let entry = entry.as_deref();
        let object = entry.and_then(|entry| entry.object.as_ref());
        let failure = entry.and_then(|entry| entry.failure);
        let pass_until = entry.and_then(|entry| entry.pass_until);
        let landing = entry.and_then(|entry| entry.landing);
        Inspected {
            path: uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            kind: key.kind().word().to_owned(),
            object: object.map(|object| InspectedObject {
                state: match object.validity.at(now) {
                    Freshness::Fresh(_) => "fresh",
                    Freshness::StaleWhileRevalidate => "stale-while-revalidate",
                    Freshness::StaleIfError => "stale-if-error",
                    Freshness::Expired => "expired",
                }
                .to_owned(),
                bytes: object.body.len() as u64,
                age_ms: millis(object.validity.age(now)),
                ttl_s: object.validity.ttl_s(now),
                etag: object
                    .headers
                    .get(http::header::ETAG)
                    .and_then(|etag| etag.to_str().ok())
                    .map(str::to_owned),
            }),
            failure: failure
                .filter(|failure| now < failure.negative.until)
                .map(|failure| InspectedFailure {
                    status: failure.status.as_u16(),
                    in_a_row: failure.negative.in_a_row,
                    for_ms: millis(failure.negative.until.since(now)),
                }),
            pass_for_ms: pass_until
                .filter(|&until| now < until)
                .map(|until| millis(until.since(now))),
            flight: self.flights.look(&key.to_key()),
            last_landing: landing.map(|landing| InspectedLanding {
                outcome: landing.outcome.to_owned(),
                generation: landing.generation.map(|generation| generation.number()),
                ago_ms: millis(now.since(landing.at)),
            }),
        }
    }

    fn purge_by(&self, query: PurgeQuery) -> Response {
        let how = if query.soft { Purge::Soft } else { Purge::Hard };
        let purged = match (query.path, query.prefix, query.channel) {
            (Some(path), None, None) => {
                let Ok(uri) = path.parse::<Uri>() else {
                    return said(StatusCode::BAD_REQUEST, "path is no path");
                };
                let authority = self.upstream.authority().as_str();
                let key = key_of(LivePath::parse(uri.path()), &uri, authority).to_key();
                u64::from(self.purge_key(&key, how))
            }
            (None, Some(prefix), None) => {
                self.purge_where(how, |key| path_of(key).starts_with(&prefix))
            }
            (None, None, Some(name)) => self.purge_where(
                how,
                |key| matches!(key, Key::Live { channel, .. } if **channel == *name),
            ),
            _ => {
                return said(
                    StatusCode::BAD_REQUEST,
                    "name one of path, prefix or channel, and soft=true for a soft purge",
                );
            }
        };
        json(&Purged { purged })
    }

    fn purge_where(&self, how: Purge, wanted: impl Fn(&Key) -> bool) -> u64 {
        // Flights first: a flight that lands in between is in the store by then.
        let mut keys = self.flights.keys();
        keys.extend(self.store.keys());
        keys.sort_unstable_by_key(path_of);
        keys.dedup();
        keys.retain(|key| wanted(key));
        keys.iter().filter(|key| self.purge_key(key, how)).count() as u64
    }

    /// Purges one object; returns whether there was anything to purge.
    fn purge_key(&self, key: &Key, how: Purge) -> bool {
        let change = || match how {
            Purge::Hard => {
                let known = self.store.get(key.as_ref()).is_some();
                self.store.forget(key);
                if key.as_ref().kind() == Kind::MediaPlaylist {
                    self.renditions.forget(key.as_ref());
                }
                known
            }
            Purge::Soft => self.store.make_stale(key, self.clock.now()),
        };
        // A fetch under way began before the purge: it serves its waiters, and is not stored.
        let (flew, known) = self.flights.forget(key, change);
        if flew {
            self.metrics.purged_under_way();
            self.upstream.fetches_are_void(key);
        }
        flew || known
    }
}

fn json(value: &impl Serialize) -> Response {
    warp::Reply::into_response(warp::reply::json(value))
}

fn said(status: StatusCode, text: &str) -> Response {
    let text = format!("{}\n", text.trim_end());
    warp::Reply::into_response(warp::reply::with_status(text, status))
}
