//! What viewers may ask of an edge, and how each request finds its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::Edge;
use super::access::Line;
use super::answer::{self, Request, Waited};
use super::fetch::{self, Ask, Listing};
use super::flights::{Head, Landing, Watch};
use super::metrics::WaitEnd;
use super::pass::{self, RequestStream};
use super::store::Entry;
use super::upstream;
use crate::hls::names::{self, LivePath, MalformedDirective};
use crate::likes::names::{BATCH, LikePath};
use crate::policy::collapse::Boarding;
use crate::policy::edge::{self, Decision, WhyStale};
use crate::policy::flight::Reason;
use crate::policy::key::{Key, KeyRef, Kind};
use crate::policy::status::{CacheStatus, FetchError, MissQueue, Served, Shed, Way};
use crate::serve::listener::{Peer, Target};
use crate::time::Timestamp;

impl Edge {
    /// The viewers' routes. One filter takes every request and rejects none: on the hot path a rejection would cost more
    /// than the answer.
    pub fn routes(
        self: &Arc<Self>,
    ) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + use<> {
        let edge = self.clone();
        warp::method()
            .and(warp::ext::get::<Target>())
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .and(warp::body::stream())
            .then(move |method, Target(uri), headers, peer, body| {
                let edge = edge.clone();
                async move { edge.answer(method, uri, headers, peer, body).await }
            })
    }

    /// A fresh hit, answered without a route: nearly all requests of a live audience are. `None` for everything else.
    pub fn fresh_hit<B>(
        self: &Arc<Self>,
        request: &http::Request<B>,
    ) -> Option<http::Response<Bytes>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let began = self.clock.now();
        let path = LivePath::parse(uri.path());
        let plain = match (path, uri.query()) {
            // A playlist with directives may have to be waited for.
            (Some(LivePath::MediaPlaylist { .. }), Some(query)) => {
                names::sequence_asked(query) == Ok(None)
            }
            (Some(_), _) => true,
            (None, _) => !headers.contains_key(http::header::AUTHORIZATION),
        };
        let gets = matches!(*method, Method::GET | Method::HEAD);
        if !gets || !plain || self.miss_queue == MissQueue::Moka {
            return None;
        }
        let key = key_of(path, uri, self.upstream.authority().as_str());
        let kind = key.kind();
        let entry = self.store.get(key)?;
        let object = entry.object.as_ref()?;
        if entry.facts().glance(began) != Decision::Hit {
            return None;
        }
        let request = Request {
            method,
            headers,
            kind,
        };
        self.asked_for(object);
        let response = answer::hit(&request, object, began, &self.name);
        self.answered(&request, uri, Served::Hit, &response, began);
        Some(response)
    }

    async fn answer(
        self: Arc<Self>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        peer: Option<Peer>,
        body: impl RequestStream,
    ) -> Response {
        let began = self.clock.now();
        let path = LivePath::parse(uri.path());
        let liked = LikePath::asked(&method, uri.path());
        let key = key_of(path, &uri, self.upstream.authority().as_str());
        let kind = key.kind();
        let _inflight = self.metrics.request_begins(kind);
        let asked = Asked {
            edge: &self,
            key,
            uri: &uri,
            began,
            request: Request {
                method: &method,
                headers: &headers,
                kind,
            },
        };
        let answered = match (path, &method) {
            _ if self.upstream.has_sent(&headers) => {
                asked.refused(StatusCode::LOOP_DETECTED, "loop")
            }
            _ if uri.path() == BATCH => asked.batch(peer, body).await,
            _ if let Some(liked) = liked => asked.likes(liked, peer, body).await,
            (_, &Method::GET | &Method::HEAD) => match (path, uri.query()) {
                (Some(LivePath::MediaPlaylist { .. }), Some(query)) => {
                    match names::sequence_asked(query) {
                        Ok(None) => asked.serve(body).await,
                        Ok(Some(number)) => asked.once_listed(number, body).await,
                        Err(MalformedDirective) => {
                            asked.refused(StatusCode::BAD_REQUEST, "malformed-directive")
                        }
                    }
                }
                (None, _) if headers.contains_key(http::header::AUTHORIZATION) => {
                    asked.pass(body).await
                }
                _ => asked.serve(body).await,
            },
            (Some(_), &Method::OPTIONS) => Answered {
                served: Served::Hit,
                response: answer::preflight(),
            },
            (Some(_), _) => asked.refused(StatusCode::METHOD_NOT_ALLOWED, "method"),
            (None, _) => asked.pass(body).await,
        };
        let Answered { served, response } = answered;
        let request = Request {
            method: &method,
            headers: &headers,
            kind,
        };
        self.answered(&request, &uri, served, &response, began);
        response
    }

    /// Counts an answer whose head is made, and logs it if requests are logged.
    fn answered<B>(
        &self,
        request: &Request<'_>,
        uri: &Uri,
        served: Served,
        response: &http::Response<B>,
        began: Timestamp,
    ) {
        let now = self.clock.now();
        let (status, bytes) = (response.status(), bytes_of(response.headers()));
        let took = now.since(began);
        self.metrics
            .answered(request.kind, served, status, bytes, took);
        if let Some(log) = &self.access_log {
            log.note(|| Line {
                at_unix_ms: self.clock.unix_at(now),
                edge: &self.name,
                method: request.method.as_str(),
                path: uri.path(),
                status: status.as_u16(),
                result: served.word(),
                bytes,
                head_ms: took.as_secs_f64() * 1e3,
            });
        }
    }
}

/// Bytes of the body that a head announces.
fn bytes_of(headers: &HeaderMap) -> u64 {
    headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

/// The name of what a request asks for.
pub(super) fn key_of<'a>(
    path: Option<LivePath<'a>>,
    uri: &'a Uri,
    authority: &'a str,
) -> KeyRef<'a> {
    let live = |channel, rendition, kind, number| KeyRef::Live {
        channel,
        rendition,
        kind,
        number,
    };
    match path {
        Some(LivePath::Segment {
            channel,
            rendition,
            number,
        }) => live(channel, rendition, Kind::Segment, number),
        Some(LivePath::MediaPlaylist { channel, rendition }) => {
            live(channel, rendition, Kind::MediaPlaylist, 0)
        }
        Some(LivePath::Multivariant { channel }) => live(channel, "", Kind::Multivariant, 0),
        Some(LivePath::Description { channel }) => live(channel, "", Kind::Other, 0),
        None => KeyRef::Foreign {
            authority,
            path: uri.path(),
            query: uri.query(),
        },
    }
}

/// The status that came from upstream, if this failure is one.
fn forwarded(error: FetchError) -> Option<u16> {
    match error {
        FetchError::Status(code) => Some(code),
        _ => None,
    }
}

/// A request on its way to an answer.
pub(super) struct Asked<'a> {
    pub(super) edge: &'a Arc<Edge>,
    pub(super) key: KeyRef<'a>,
    pub(super) uri: &'a Uri,
    pub(super) began: Timestamp,
    pub(super) request: Request<'a>,
}

/// An answer and the word for how it came about.
pub(super) struct Answered {
    pub(super) served: Served,
    pub(super) response: Response,
}

/// What a request that had to wait was told in the end.
pub(super) enum Heard {
    Head(Arc<Head>),
    Landing(Landing),
    Deadline,
}

/// A request's part in a flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Leader,
    Follower,
}

impl Role {
    pub(super) const fn served(self) -> Served {
        match self {
            Self::Leader => Served::Miss,
            Self::Follower => Served::Collapsed,
        }
    }

    const fn way(self, status: Option<u16>, stored: bool) -> Way {
        match self {
            Self::Leader => Way::Miss { status, stored },
            Self::Follower => Way::Collapsed,
        }
    }
}

impl Asked<'_> {
    pub(super) async fn serve(self, body: impl RequestStream) -> Answered {
        if self.edge.miss_queue == MissQueue::Moka {
            return self.by_moka(body).await;
        }
        let now = self.began;
        if let Some((entry, decision)) = self.look(now) {
            return self.by_store(&entry, decision, now, body).await;
        }
        match self.edge.miss_queue {
            MissQueue::Poll500ms => self.by_polling(body).await,
            MissQueue::Off | MissQueue::Moka => {
                let alone = fetch::begin(
                    self.edge,
                    &self.key.to_key(),
                    self.ask(),
                    Listing::Alone,
                    Reason::Miss,
                );
                self.follow(Role::Leader, alone, body).await
            }
            MissQueue::Flights => self.by_flight(body).await,
        }
    }

    async fn by_flight(self, body: impl RequestStream) -> Answered {
        let mut boarded_before = false;
        loop {
            let begin = |key: &Key, generation| {
                let listing = Listing::Listed(generation);
                fetch::begin(self.edge, key, self.ask(), listing, Reason::Miss)
            };
            let look_again = || {
                let now = self.edge.clock.now();
                Some((now, self.look(now)?))
            };
            let boarded = self
                .edge
                .flights
                .board(self.key, &self.edge.limits(), look_again, begin);
            let (role, seat) = match boarded {
                Ok((now, (entry, decision))) => {
                    return self.by_store(&entry, decision, now, body).await;
                }
                Err(Boarding::Shed(shed)) => {
                    return self.without(FetchError::Shed(shed), None, Role::Leader);
                }
                Err(Boarding::Lead(_, seat)) => (Role::Leader, seat),
                Err(Boarding::Follow(_, seat)) => (Role::Follower, seat),
            };
            // The seat is held until the head of the answer is made: so long the request counts as a waiter.
            let mut watch = seat.watch.clone();
            let heard = self.hear(&mut watch).await;
            let went_round = matches!(
                heard,
                Heard::Landing(Landing::Failed(FetchError::Status(508), _))
            );
            if went_round && role == Role::Follower && !boarded_before {
                // The leader's request had been through the origin's cache, or said so. Ours has not.
                boarded_before = true;
                continue;
            }
            return self.answer_heard(role, watch, heard, body).await;
        }
    }

    /// What the store has for this request at `now`; `None` where a flight is needed.
    pub(super) fn look(&self, now: Timestamp) -> Option<(Arc<Entry>, Decision)> {
        let entry = self.edge.store.get(self.key)?;
        let decision = entry.facts().glance(now);
        // Without the queue nobody refreshes behind the viewers' backs: whoever finds a stale object fetches.
        let alone = self.edge.miss_queue != MissQueue::Flights
            && decision == Decision::Stale(WhyStale::Revalidate);
        (decision != Decision::Ask && !alone).then_some((entry, decision))
    }

    pub(super) async fn by_store(
        self,
        entry: &Entry,
        decision: Decision,
        now: Timestamp,
        body: impl RequestStream,
    ) -> Answered {
        match (decision, &entry.object, &entry.failure) {
            (Decision::Hit, Some(object), _) => {
                self.edge.asked_for(object);
                let response = answer::hit(&self.request, object, now, &self.edge.name);
                Answered {
                    served: Served::Hit,
                    response: response.into_response(),
                }
            }
            (Decision::Stale(why), Some(object), _) => {
                if why == WhyStale::Revalidate {
                    self.refresh();
                }
                self.edge.metrics.stale(why);
                let detail = (why == WhyStale::Error).then_some(why.word());
                let status = self.status(Way::Hit, Some(object.validity.ttl_s(now)), detail);
                let response = answer::object(&self.request, object, now, status, None, None);
                Answered {
                    served: Served::Stale,
                    response: response.into_response(),
                }
            }
            (Decision::Negative, _, Some(failure)) => {
                let status = self.status(Way::Hit, None, Some("negative"));
                let wait = answer::retry_after_s(failure.negative.until.since(now));
                Answered {
                    served: Served::Negative,
                    response: answer::failure(failure.status, status, None, wait),
                }
            }
            _ => self.pass(body).await,
        }
    }

    /// Begins a flight that refreshes what is stored, unless one is under way or has just landed.
    fn refresh(&self) {
        let settled = || {
            !matches!(
                self.look(self.edge.clock.now()),
                Some((_, Decision::Stale(WhyStale::Revalidate)))
            )
        };
        self.edge
            .flights
            .refresh(self.key, settled, |key, generation| {
                fetch::begin(
                    self.edge,
                    key,
                    self.ask(),
                    Listing::Listed(generation),
                    Reason::Refresh,
                )
            });
    }

    /// Waits for the head of the flight's answer, or for its landing, and answers with what is there.
    pub(super) async fn follow(
        self,
        role: Role,
        mut watch: Watch,
        body: impl RequestStream,
    ) -> Answered {
        let heard = self.hear(&mut watch).await;
        self.answer_heard(role, watch, heard, body).await
    }

    pub(super) async fn answer_heard(
        self,
        role: Role,
        watch: Watch,
        heard: Heard,
        body: impl RequestStream,
    ) -> Answered {
        let now = self.edge.clock.now();
        let waited = |head: &Head| Waited {
            total: now.since(self.began),
            origin: head.waited,
        };
        match heard {
            Heard::Head(head) => {
                let status = self.status(role.way(Some(200), true), Some(head.ttl_s), None);
                let response = answer::flight(&self.request, &head, watch, status, waited(&head));
                Answered {
                    served: role.served(),
                    response,
                }
            }
            Heard::Landing(Landing::Object(object, head)) => {
                let status = self.status(
                    role.way(Some(200), true),
                    Some(object.validity.ttl_s(now)),
                    None,
                );
                let upstream_status = head.cache_status.as_ref();
                let response = answer::object(
                    &self.request,
                    &object,
                    now,
                    status,
                    upstream_status,
                    Some(waited(&head)),
                );
                Answered {
                    served: role.served(),
                    response: response.into_response(),
                }
            }
            Heard::Landing(Landing::Refused(code, _)) => {
                let status = self.status(role.way(Some(code.as_u16()), true), None, None);
                Answered {
                    served: role.served(),
                    response: answer::failure(code, status, None, 1),
                }
            }
            Heard::Landing(Landing::Private) => self.pass(body).await,
            Heard::Landing(Landing::Failed(error, retry_after)) => {
                self.without(error, retry_after, role)
            }
            Heard::Deadline => self.without(FetchError::Shed(Shed::Deadline), None, role),
        }
    }

    async fn hear(&self, watch: &mut Watch) -> Heard {
        // A playlist is small and of no use in part: who waits for it gets it whole, with its lifetime, packed if asked.
        let streams = matches!(self.request.kind, Kind::Segment | Kind::Other);
        let (clock, metrics) = (&self.edge.clock, &self.edge.metrics);
        let listening = async {
            let mut slept = false;
            let woken = |told_at: Timestamp, slept| {
                if slept {
                    metrics.woken(clock.now().since(told_at));
                }
            };
            loop {
                {
                    let progress = watch.borrow_and_update();
                    // The head comes first, and is what woke those who make do with it.
                    let head = progress.head.as_ref().filter(|_| streams);
                    let landing = progress.landing.as_ref();
                    if landing.is_some() || head.is_some() {
                        woken(head.map_or(progress.landed_at, |head| head.told_at), slept);
                    }
                    if let Some(landing) = landing {
                        return Heard::Landing(landing.clone());
                    }
                    if let Some(head) = head {
                        return Heard::Head(head.clone());
                    }
                }
                slept = true;
                if watch.changed().await.is_err() {
                    // The fetch was dropped unlanded: the edge is going down.
                    return Heard::Landing(Landing::Failed(FetchError::Broken, None));
                }
            }
        };
        let wait_max = edge::wait_max(self.request.kind, &self.edge.limits());
        let waiting = metrics.wait_begins(*clock);
        let heard = tokio::time::timeout(wait_max, listening)
            .await
            .unwrap_or(Heard::Deadline);
        waiting.ends(match &heard {
            Heard::Landing(Landing::Failed(..)) => WaitEnd::Failed,
            Heard::Landing(_) | Heard::Head(_) => WaitEnd::Served,
            Heard::Deadline => WaitEnd::Deadline,
        });
        heard
    }

    /// A request that got nothing from the origin: the stored object may stand in, else the failure is said.
    pub(super) fn without(
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

    /// The same where nothing may stand in: the failure is said.
    pub(super) fn unserved(
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
            // Drawn from the clock's small digits: those who are refused together don't come back together.
            None => 1 + now.as_nanos() / 1_000 % 3,
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

    pub(super) fn refused(self, code: StatusCode, detail: &'static str) -> Answered {
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

    /// A request of its own to the origin, shared with nobody.
    pub(super) async fn pass(self, body: impl RequestStream) -> Answered {
        pass::pass(&self, body).await
    }

    pub(super) fn status<'a>(
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

    /// What the origin is asked: the path, the query only where it belongs to the key, and who has asked before us.
    pub(super) fn ask(&self) -> Ask {
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
