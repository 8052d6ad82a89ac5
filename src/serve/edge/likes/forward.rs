//! What an edge forwards: likes and hearts, in batches if the upstream takes them. Reads that no cache may answer, and
//! batches of edges behind this one, are forwarded unchanged.

use bytes::Bytes;
use http::header::VIA;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::batches;
use super::exchange::{self, Question, Reply};
use super::lanes::Heard;
use super::told::{NoAnswer, Told};
use crate::likes::LikesLimits;
use crate::likes::forward;
use crate::likes::gather::Sent;
use crate::likes::limits::Shed;
use crate::likes::names::LikePath;
use crate::policy::flight::Reason;
use crate::policy::status::{Served, Way};
use crate::serve::edge::request::asked::Asked;
use crate::serve::edge::request::pass::RequestStream;
use crate::serve::edge::upstream::CDN_LOOP;
use crate::serve::http::listener::Peer;
use crate::serve::likes::answer::{self, LikeRefusal};
use crate::serve::likes::rates::FORWARDED_FOR;
use crate::serve::likes::{body, update};

const SEQUENCE: HeaderName = HeaderName::from_static("like-seq");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const TOKEN: HeaderName = HeaderName::from_static("like-token");

/// Sends a viewer's update to the origin, in a batch or by itself, and returns what the origin says of it.
pub(super) async fn update(
    asked: &Asked<'_>,
    path: LikePath<'_>,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Result<Told, LikeRefusal> {
    let (edge, method) = (asked.edge, asked.request.method);
    let body = body::whole(body, LikesLimits::default().body_bytes_max).await?;
    let sent = update::read(path, method, asked.request.headers, &body)?;
    let place = place(asked)?;
    if !edge.likes.batches.are_taken(edge.clock.now()) {
        return alone(asked, peer, body, place).await;
    }
    if matches!(sent, Sent::Nameless { .. }) {
        // Hearts without a name are summed here, so the servers behind this edge do not know from which viewers they
        // come.
        let address = peer
            .as_ref()
            .map(|Peer(peer)| edge.likes.rates.address(peer.ip(), asked.request.headers));
        if !edge.likes.rates.admit(None, address) {
            return Err(LikeRefusal::Limited);
        }
    }
    let from = came_from(asked.request.headers, peer.as_ref());
    let waiting = batches::gather(edge, sent, &from, place);
    match batches::outcome(edge, waiting).await.ok_or(FULL)? {
        Heard::Said(said) => Ok(told(answer::heard(said, method))),
        Heard::Refused(response) => Ok(told(answer::drawn_anew(response))),
        Heard::Alone(place) => alone(asked, peer, body, place).await,
        Heard::Nothing(NoAnswer::Unknown) => Err(LikeRefusal::Unknown),
        Heard::Nothing(NoAnswer::Unsent) => Err(LikeRefusal::Overloaded(Shed::Origin)),
    }
}

/// Forwards a read.
pub(super) async fn forward(
    asked: &Asked<'_>,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Result<Told, LikeRefusal> {
    let body = body::whole(body, LikesLimits::default().body_bytes_max).await?;
    alone(asked, peer, body, place(asked)?).await
}

/// Forwards the batch of an edge behind this one, with that edge's address, because the origin must know that edge too.
pub(super) async fn forward_batch(
    asked: &Asked<'_>,
    peer: Option<Peer>,
    body: impl RequestStream,
) -> Result<Told, LikeRefusal> {
    let rates = &asked.edge.likes.rates;
    let behind = peer
        .as_ref()
        .and_then(|Peer(peer)| rates.edge(peer.ip(), asked.request.headers));
    behind.ok_or(LikeRefusal::NoEdge)?;
    let place = place(asked)?;
    let body = body::whole(body, forward::BYTES_MAX).await?;
    let question = Question {
        repeatable: true,
        answer_bytes_max: forward::ANSWER_BYTES_MAX,
        ..question(asked, peer, body)
    };
    send(asked, &question, place).await
}

async fn alone(
    asked: &Asked<'_>,
    peer: Option<Peer>,
    body: Vec<u8>,
    place: OwnedSemaphorePermit,
) -> Result<Told, LikeRefusal> {
    send(asked, &question(asked, peer, body), place).await
}

fn question(asked: &Asked<'_>, peer: Option<Peer>, body: Vec<u8>) -> Question {
    let (method, client) = (asked.request.method.clone(), asked.request.headers);
    let root = PathAndQuery::from_static("/");
    Question {
        repeatable: method.is_safe() || client.contains_key(SEQUENCE) || client.contains_key(KEY),
        method,
        path: asked.uri.path_and_query().cloned().unwrap_or(root),
        headers: headers(client, peer.as_ref()),
        body: Bytes::from(body),
        answer_bytes_max: exchange::ANSWER_BYTES_MAX,
        reason: Reason::Pass,
    }
}

/// Forwards a request, in a place among its like, and returns what the origin says.
async fn send(
    asked: &Asked<'_>,
    question: &Question,
    _queued: OwnedSemaphorePermit,
) -> Result<Told, LikeRefusal> {
    let (edge, limits) = (asked.edge, asked.edge.limits());
    let under_way = edge.likes.places.acquire();
    let under_way = tokio::time::timeout(limits.origin_queue_wait, under_way).await;
    let _under_way = under_way.map_err(|_| FULL)?.map_err(|_| FULL)?;
    match exchange::exchange(edge, question, limits.likes_wait).await {
        // An operation that was refused the second time may have counted the first time.
        Ok(Reply { response, again })
            if again && !question.method.is_safe() && has_no_effect(&response) =>
        {
            Err(LikeRefusal::Unknown)
        }
        Ok(Reply { response, .. }) => Ok(told(response)),
        Err(NoAnswer::Unknown) if !question.method.is_safe() => Err(LikeRefusal::Unknown),
        Err(_) => Err(LikeRefusal::Overloaded(Shed::Origin)),
    }
}

/// A place among the likes at this edge; dropping it gives the place back.
fn place(asked: &Asked<'_>) -> Result<OwnedSemaphorePermit, LikeRefusal> {
    let queue = asked.edge.likes.queue.clone();
    queue.try_acquire_owned().map_err(|_| FULL)
}

const FULL: LikeRefusal = LikeRefusal::Overloaded(Shed::Edge);

/// Whether an answer says that an operation has had no effect.
pub(super) fn has_no_effect(response: &Response<Bytes>) -> bool {
    matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND
    )
}

fn told(response: Response<Bytes>) -> Told {
    let status = Some(response.status().as_u16());
    Told {
        served: Served::Pass,
        way: Way::Bypass { status },
        ttl_s: None,
        response,
    }
}

/// The head of a forwarded request: identity, token, the caches on the way, and the viewer's address as this edge sees
/// it.
fn headers(client: &HeaderMap, peer: Option<&Peer>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [SEQUENCE, KEY, TOKEN, VIA, CDN_LOOP] {
        for value in client.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    let forwarded_for = HeaderName::from_static(FORWARDED_FOR);
    for value in client.get_all(&forwarded_for) {
        headers.append(forwarded_for.clone(), value.clone());
    }
    if let Some(Peer(address)) = peer {
        let address = HeaderValue::from_str(&address.ip().to_string());
        headers.append(forwarded_for, address.expect("an address is header-safe"));
    }
    headers
}

/// The viewer's addresses as one text.
fn came_from(client: &HeaderMap, peer: Option<&Peer>) -> String {
    let listed = client.get_all(FORWARDED_FOR).iter();
    let mut texts: Vec<_> = listed
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    texts.extend(peer.map(|Peer(address)| address.ip().to_string()));
    texts.join(", ")
}
