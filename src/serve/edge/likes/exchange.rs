//! One small question to the origin and its whole answer. It uses neither the permits nor the breakers of requests for
//! video.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Full};

use super::told::NoAnswer;
use crate::policy::flight::{Attempt, Reason};
use crate::policy::key::{Key, Kind};
use crate::policy::status::FetchError;
use crate::serve::edge::node::Edge;
use crate::serve::edge::upstream::{self, ServerIndex};

/// The most bytes in an answer about one like: counts and refusals have a few hundred.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 10;

/// A question to the origin.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether asking twice has the same effect as asking once.
    pub(super) repeatable: bool,
    /// The most bytes that the answer may have.
    pub(super) answer_bytes_max: usize,
    pub(super) reason: Reason,
}

/// The answer to a question.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) response: Response<Bytes>,
    /// Whether the question had been sent before, with an unknown outcome.
    pub(super) again: bool,
}

/// Asks until `wait` is over. A server that takes no connection has received nothing, so the next server is asked. A
/// server that breaks off may have acted, so the question is asked once more only if that does no harm.
pub(super) async fn exchange(
    edge: &Edge,
    question: &Question,
    wait: Duration,
) -> Result<Reply, NoAnswer> {
    let mut sent = false;
    let asking = async {
        let key = Key::Foreign {
            authority: edge.upstream.authority().as_str().into(),
            path: question.path.path().into(),
            query: None,
        };
        for round in 0..2 {
            for server in edge.upstream.servers_for(&key) {
                match ask(edge, server, question, wait).await {
                    Ok(response) => {
                        let again = sent;
                        return Ok(Reply { response, again });
                    }
                    Err(FetchError::Connect) => {}
                    Err(FetchError::Broken | FetchError::Truncated)
                        if question.repeatable && round == 0 =>
                    {
                        sent = true;
                        break;
                    }
                    Err(_) => return Err(NoAnswer::Unknown),
                }
            }
            if !sent {
                return Err(NoAnswer::Unsent);
            }
        }
        Err(NoAnswer::Unknown)
    };
    // The last attempt ends by its own limit, so that it is counted.
    tokio::time::timeout(wait + edge.limits().progress, asking)
        .await
        .unwrap_or(Err(NoAnswer::Unknown))
}

async fn ask(
    edge: &Edge,
    server: ServerIndex,
    question: &Question,
    wait: Duration,
) -> Result<Response<Bytes>, FetchError> {
    let begun = edge.clock.now();
    let counted = edge.metrics.fetch_begins(Kind::Other);
    let mut request = http::Request::new(
        Full::new(question.body.clone())
            .map_err(|never| match never {})
            .boxed(),
    );
    *request.headers_mut() = question.headers.clone();
    let (method, path) = (question.method.clone(), question.path.clone());
    let answered = edge
        .upstream
        .send_within(server, request, method, path, wait)
        .await;
    let took = edge.clock.now().since(begun);
    let response = match answered {
        Ok(response) => response,
        Err(error) => {
            counted.ends(question.reason, &Attempt::Failed(error, None), took);
            return Err(error);
        }
    };
    match question.reason {
        Reason::Pass => counted.ends(Reason::Pass, &Attempt::Private, took),
        reason => counted.brought(reason, took),
    }
    let (mut parts, mut body) = response.into_parts();
    let mut whole = BytesMut::new();
    while let Some(chunk) = upstream::next_chunk(&mut body, &edge.limits()).await? {
        edge.metrics.origin_bytes.inc_by(chunk.len() as u64);
        whole.extend_from_slice(&chunk);
        if whole.len() > question.answer_bytes_max {
            return Err(FetchError::TooLarge);
        }
    }
    upstream::strip_hop_by_hop(&mut parts.headers);
    Ok(Response::from_parts(parts, whole.freeze()))
}
