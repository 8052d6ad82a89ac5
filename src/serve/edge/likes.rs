//! Likes through an edge: updates go on to the origin, reads are shared, and neither takes a place of the video.

mod batches;
mod counts;
mod exchange;
mod forward;
mod lanes;
mod read;
pub(super) mod state;
mod told;

use http::header::{CONTENT_LENGTH, VIA};
use http::{Method, StatusCode};
use warp::Reply;

use self::told::Told;
use super::request::answer;
use super::request::asked::{Answered, Asked};
use super::request::pass::RequestStream;
use super::store::CACHE_STATUS;
use crate::likes::limits::Shed;
use crate::likes::names::{LikePath, What, in_query};
use crate::policy::status::{self, Served, Way};
use crate::serve::http::listener::Peer;
use crate::serve::likes::answer::{LikeRefusal, preflight};
use crate::serve::likes::batches::METHODS;

/// Answers a request for likes.
pub(in crate::serve::edge) async fn likes(
    asked: Asked<'_>,
    path: LikePath<'_>,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Answered {
    let method = asked.request.method;
    let told = match (path.what, method) {
        (what, &Method::OPTIONS) => {
            return Answered {
                served: Served::Hit,
                response: preflight(what.methods()).into_response(),
            };
        }
        (What::Like { .. }, &Method::PUT | &Method::DELETE) | (What::Reactions, &Method::POST) => {
            forward::update(&asked, path, peer, body).await
        }
        (What::Counts, &Method::GET | &Method::HEAD) => {
            read(&asked, path.channel, peer, body).await
        }
        (What::Stream, &Method::GET) => match read::listen(&asked, path.channel).await {
            Ok(response) => {
                return Answered {
                    served: Served::Pass,
                    response,
                };
            }
            Err(refusal) => Err(refusal),
        },
        (what, _) => Err(LikeRefusal::Method(what.methods())),
    };
    finish(&asked, told)
}

/// Answers a batch that another edge has gathered.
pub(in crate::serve::edge) async fn batch(
    asked: Asked<'_>,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Answered {
    let told = match *asked.request.method {
        Method::POST => forward::forward_batch(&asked, peer, body).await,
        _ => Err(LikeRefusal::Method(METHODS)),
    };
    finish(&asked, told)
}

async fn read(
    asked: &Asked<'_>,
    channel: &str,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Result<Told, LikeRefusal> {
    let query = asked.uri.query().unwrap_or_default();
    let word = in_query(query, "consistency");
    let eventual = matches!(word, None | Some("eventual"));
    if !eventual || asked.request.headers.contains_key(forward::TOKEN) {
        let told = forward::forward(asked, peer, body).await?;
        read::learn(asked, channel, &told.response);
        return Ok(told);
    }
    match in_query(query, "newer_than") {
        Some(sequence) => read::newer(asked, channel, sequence).await,
        None => read::counts(asked, channel).await,
    }
}

/// Turns a result into an answer: counts a request that was shed, and adds the edge's headers.
fn finish(asked: &Asked<'_>, told: Result<Told, LikeRefusal>) -> Answered {
    let (told, detail) = match told {
        Ok(told) => (told, None),
        Err(refusal) => {
            let served = match refusal {
                LikeRefusal::Overloaded(Shed::Edge | Shed::Readers) => {
                    asked.edge.metrics.shed(status::Shed::OriginQueueFull);
                    Served::Shed
                }
                LikeRefusal::Limited => Served::Shed,
                _ => Served::Error,
            };
            let told = Told {
                served,
                way: Way::Bypass { status: None },
                ttl_s: None,
                response: refusal.answer(asked.request.method),
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
    head.append(VIA, asked.edge.upstream.via().clone());
    let upstream = head.get(CACHE_STATUS).cloned();
    let status = asked.status(told.way, told.ttl_s, detail);
    answer::say(head, status, upstream.as_ref(), None);
    Answered {
        served: told.served,
        response: response.into_response(),
    }
}
