//! A request on its way to an answer, and the answers that need no object.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use warp::Reply;
use warp::reply::Response;

use crate::policy::edge::{Decision, WhyStale};
use crate::policy::key::KeyRef;
use crate::policy::retry;
use crate::policy::status::{CacheStatus, FetchError, Served, Way};
use crate::serve::edge::fetch::Ask;
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::answer::{self, Request};
use crate::serve::edge::store::Entry;
use crate::serve::edge::upstream;
use crate::time::Timestamp;

/// The status that came from upstream, if this failure has one.
fn forwarded(error: FetchError) -> Option<u16> {
    match error {
        FetchError::Status(code) => Some(code),
        _ => None,
    }
}

/// A request on its way to an answer.
pub(in crate::serve::edge) struct Asked<'a> {
    pub(in crate::serve::edge) edge: &'a Arc<Edge>,
    pub(in crate::serve::edge) key: KeyRef<'a>,
    pub(in crate::serve::edge) uri: &'a Uri,
    pub(in crate::serve::edge) began: Timestamp,
    pub(in crate::serve::edge) request: Request<'a>,
}

/// An answer and the word for how it came about.
pub(in crate::serve::edge) struct Answered {
    pub(in crate::serve::edge) served: Served,
    pub(in crate::serve::edge) response: Response,
}

/// A request's part in a flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::serve::edge) enum Role {
    Leader,
    Follower,
}

impl Role {
    pub(in crate::serve::edge) const fn served(self) -> Served {
        match self {
            Self::Leader => Served::Miss,
            Self::Follower => Served::Collapsed,
        }
    }

    pub(in crate::serve::edge) const fn way(self, status: Option<u16>, stored: bool) -> Way {
        match self {
            Self::Leader => Way::Miss { status, stored },
            Self::Follower => Way::Collapsed,
        }
    }
}

impl Asked<'_> {
    pub(in crate::serve::edge) fn look(&self, now: Timestamp) -> Option<(Arc<Entry>, Decision)> {
        let entry = self.edge.store.get(self.key)?;
        let decision = entry.facts().glance(now);
        // An edge that refreshes nothing in the background has the request wait for the origin.
        let waits = !self.edge.refresh && decision == Decision::Stale(WhyStale::Revalidate);
        (decision != Decision::Ask && !waits).then_some((entry, decision))
    }

    pub(in crate::serve::edge) fn without(
        self,
        error: FetchError,
        retry_after: Option<Duration>,
        role: Role,
    ) -> Answered {
        let now = self.edge.clock.now();
        let entry = self
            .edge
            .store
            .get(self.key)
            .filter(|entry| entry.facts().may_stand_in(now));
        if let Some(object) = entry.as_ref().and_then(|entry| entry.object.as_ref()) {
            self.edge.metrics.stale(WhyStale::Error);
            if let FetchError::Shed(shed) = error {
                self.edge.metrics.shed(shed);
            }
            let ttl_s = Some(object.validity.ttl_s(now));
            let status = self.status(
                Way::Stale {
                    status: forwarded(error),
                },
                ttl_s,
                Some(WhyStale::Error.word()),
            );
            let response = answer::object(&self.request, object, now, status, None, None);
            return Answered {
                served: Served::Stale,
                response: response.into_response(),
            };
        }
        self.unserved(error, retry_after, role)
    }

    pub(in crate::serve::edge) fn unserved(
        self,
        error: FetchError,
        retry_after: Option<Duration>,
        role: Role,
    ) -> Answered {
        let now = self.edge.clock.now();
        let code = error.status();
        let detail = if let FetchError::Shed(shed) = error {
            self.edge.metrics.shed(shed);
            shed.word()
        } else {
            error.word()
        };
        let status = self.status(role.way(forwarded(error), false), None, Some(detail));
        let wait_s = match retry_after {
            Some(span) => answer::retry_after_s(span),
            None => retry::come_back_s(now),
        };
        let served = if matches!(error, FetchError::Shed(_)) {
            Served::Shed
        } else {
            Served::Error
        };
        Answered {
            served,
            response: answer::failure(code, status, Some(error), wait_s),
        }
    }

    pub(in crate::serve::edge) fn refused(
        self,
        code: StatusCode,
        detail: &'static str,
    ) -> Answered {
        let status = self.status(Way::Bypass { status: None }, None, Some(detail));
        let mut response = answer::failure(code, status, None, 1);
        if code == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(
                http::header::ALLOW,
                http::HeaderValue::from_static("GET, HEAD, OPTIONS"),
            );
        }
        Answered {
            served: Served::Error,
            response,
        }
    }

    pub(in crate::serve::edge) fn status<'a>(
        &'a self,
        way: Way,
        ttl_s: Option<i64>,
        detail: Option<&'a str>,
    ) -> CacheStatus<'a> {
        CacheStatus {
            cache: &self.edge.name,
            way,
            ttl_s,
            detail,
        }
    }

    pub(in crate::serve::edge) fn ask(&self) -> Ask {
        let whole = match self.key {
            KeyRef::Live { .. } => self.uri.path(),
            KeyRef::Foreign { .. } => self.uri.path_and_query().map_or("/", PathAndQuery::as_str),
        };
        Ask {
            path: whole.parse().expect("it was part of a valid target"),
            came_through: upstream::came_through(self.request.headers),
        }
    }
}
