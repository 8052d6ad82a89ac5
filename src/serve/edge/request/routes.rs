//! What viewers may ask of an edge, and how each request finds its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use warp::Filter;
use warp::reply::Response;

use crate::hls::names::{self, LivePath, MalformedDirective};
use crate::likes::names::{BATCH, LikePath};
use crate::policy::edge::Decision;
use crate::policy::status::{MissQueue, Served};
use crate::serve::edge::admin::access::LogLine;
use crate::serve::edge::likes;
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::answer::{self, Request};
use crate::serve::edge::request::asked::{Answered, Asked};
use crate::serve::edge::request::blocking;
use crate::serve::edge::request::pass::{self, RequestStream};
use crate::serve::edge::request::paths::key_of;
use crate::serve::edge::request::shared;
use crate::serve::http::listener::{Peer, Target};
use crate::time::Timestamp;

impl Edge {
    /// The viewers' routes. One filter takes every request and rejects none, because on the hot path a rejection would
    /// cost more than the answer.
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

    /// Answers a fresh hit without a route. Nearly all requests of a live audience are fresh hits. `None` for any other
    /// request.
    pub fn fresh_hit<B>(
        self: &Arc<Self>,
        request: &http::Request<B>,
    ) -> Option<http::Response<Bytes>> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let began = self.clock.now();
        let path = LivePath::parse(uri.path());
        let plain = match (path, uri.query()) {
            // A playlist request with directives may have to wait.
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
            _ if uri.path() == BATCH => likes::batch(asked, peer, body).await,
            _ if let Some(liked) = liked => likes::likes(asked, liked, peer, body).await,
            (_, &Method::GET | &Method::HEAD) => match (path, uri.query()) {
                (Some(LivePath::MediaPlaylist { .. }), Some(query)) => {
                    match names::sequence_asked(query) {
                        Ok(None) => shared::serve(asked, body).await,
                        Ok(Some(number)) => blocking::once_listed(asked, number, body).await,
                        Err(MalformedDirective) => {
                            asked.refused(StatusCode::BAD_REQUEST, "malformed-directive")
                        }
                    }
                }
                (None, _) if headers.contains_key(http::header::AUTHORIZATION) => {
                    pass::pass(&asked, body).await
                }
                _ => shared::serve(asked, body).await,
            },
            (Some(_), &Method::OPTIONS) => Answered {
                served: Served::Hit,
                response: answer::preflight(),
            },
            (Some(_), _) => asked.refused(StatusCode::METHOD_NOT_ALLOWED, "method"),
            (None, _) => pass::pass(&asked, body).await,
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
            log.note(|| LogLine {
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
