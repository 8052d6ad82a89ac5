//! Likes through an edge: what is sent goes on to the origin, what is read is shared, and neither takes a place of the video.

mod batches;
mod counts;
mod exchange;
mod forward;
mod read;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, VIA};
use http::{Method, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use warp::Reply;

use self::batches::Batches;
use self::counts::Lines;
use super::answer;
use super::pass::RequestStream;
use super::routes::{Answered, Asked};
use crate::likes::limits::Shed;
use crate::likes::names::{LikePath, What, in_query};
use crate::policy::limits::Limits;
use crate::policy::status::{self, Served, Way};
use crate::serve::clock::Clock;
use crate::serve::likes::answer::{Refusal, preflight};
use crate::serve::likes::batches::METHODS;
use crate::serve::likes::rates::{Addresses, Rates};
use crate::serve::listener::Peer;

/// What an edge keeps for likes.
#[derive(Debug)]
pub(super) struct Likes {
    /// Requests under way to the origin that bring no batch of this edge's own.
    places: Semaphore,
    /// Everything that is on its way, or waits for that.
    queue: Arc<Semaphore>,
    /// Likes that gather.
    batches: Batches,
    /// How often addresses may send hearts without a name.
    rates: Rates,
    /// Counts as they are known here.
    lines: Lines,
    /// Falls when those who wait must go.
    pub(super) closing: CancellationToken,
}

impl Likes {
    /// Nothing is under way.
    pub(super) fn new(limits: &Limits, addresses: &Addresses, clock: Clock) -> Self {
        let queued = limits.likes_at_once_max + limits.likes_queued_max;
        Self {
            places: Semaphore::new(limits.likes_at_once_max),
            queue: Arc::new(Semaphore::new(queued)),
            batches: Batches::new(clock),
            rates: Rates::of(addresses),
            lines: Lines::new(limits),
            closing: CancellationToken::new(),
        }
    }
}

/// An answer about likes, how it came about, and where from.
struct Told {
    served: Served,
    way: Way,
    ttl_s: Option<i64>,
    response: Response<Bytes>,
}

impl Asked<'_> {
    /// Answers a request for likes.
    pub(in crate::serve::edge) async fn likes(
        self,
        path: LikePath<'_>,
        peer: Option<Peer>,
        body: impl RequestStream,
    ) -> Answered {
        let method = self.request.method;
        let told = match (path.what, method) {
            (what, &Method::OPTIONS) => {
                return Answered {
                    served: Served::Hit,
                    response: preflight(what.methods()).into_response(),
                };
            }
            (What::Like { .. }, &Method::PUT | &Method::DELETE)
            | (What::Reactions, &Method::POST) => self.update(path, peer, body).await,
            (What::Counts, &Method::GET | &Method::HEAD) => {
                self.read(path.channel, peer, body).await
            }
            (What::Stream, &Method::GET) => match self.listen(path.channel).await {
                Ok(response) => {
                    return Answered {
                        served: Served::Pass,
                        response,
                    };
                }
                Err(refusal) => Err(refusal),
            },
            (what, _) => Err(Refusal::Method(what.methods())),
        };
        self.told(told)
    }

    /// Answers what another edge has gathered.
    pub(in crate::serve::edge) async fn batch(
        self,
        peer: Option<Peer>,
        body: impl RequestStream,
    ) -> Answered {
        let told = match *self.request.method {
            Method::POST => self.forward_batch(peer, body).await,
            _ => Err(Refusal::Method(METHODS)),
        };
        self.told(told)
    }

    async fn read(
        &self,
        channel: &str,
        peer: Option<Peer>,
        body: impl RequestStream,
    ) -> Result<Told, Refusal> {
        let query = self.uri.query().unwrap_or_default();
        let word = in_query(query, "consistency");
        let eventual = matches!(word, None | Some("eventual"));
        if !eventual || self.request.headers.contains_key(forward::TOKEN) {
            let told = self.forward(peer, body).await?;
            self.learn(channel, &told.response);
            return Ok(told);
        }
        match in_query(query, "newer_than") {
            Some(sequence) => self.newer(channel, sequence).await,
            None => self.counts(channel).await,
        }
    }

    /// Counts and marks an answer, or the refusal that stands for it.
    fn told(&self, told: Result<Told, Refusal>) -> Answered {
        let (told, detail) = match told {
            Ok(told) => (told, None),
            Err(refusal) => {
                let served = match refusal {
                    Refusal::Overloaded(Shed::Edge | Shed::Readers) => {
                        self.edge.metrics.shed(status::Shed::OriginQueueFull);
                        Served::Shed
                    }
                    Refusal::Limited => Served::Shed,
                    _ => Served::Error,
                };
                let told = Told {
                    served,
                    way: Way::Bypass { status: None },
                    ttl_s: None,
                    response: refusal.answer(self.request.method),
                };
                (told, Some(refusal.word()))
            }
        };
        let mut response = told.response;
        let length = response.body().len();
        let has_body = response.status() != StatusCode::NO_CONTENT;
        let head = response.headers_mut();
        if has_body && !head.contains_key(CONTENT_LENGTH) {
            head.insert(CONTENT_LENGTH, length.into());
        }
        head.append(VIA, self.edge.upstream.via().clone());
        let upstream = head.get(answer::CACHE_STATUS).cloned();
        let status = self.status(told.way, told.ttl_s, detail);
        answer::say(head, status, upstream.as_ref(), None);
        Answered {
            served: told.served,
            response: response.into_response(),
        }
    }
}
