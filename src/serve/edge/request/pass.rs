//! Requests that are never shared: each is forwarded alone, as a plain reverse proxy would do.

use std::error::Error;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use warp::Reply;

use crate::policy::admission::Class;
use crate::policy::flight::{Attempt, Reason};
use crate::policy::retry::Health;
use crate::policy::status::{FetchError, Served, Way};
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::answer;
use crate::serve::edge::request::asked::{Answered, Asked};
use crate::serve::edge::upstream::{self, RequestBody};

/// The body of a viewer's request, as warp gives it.
pub(in crate::serve::edge) trait RequestStream:
    Stream<Item = Result<Self::Piece, warp::Error>> + Send + Sync + 'static
{
    /// One piece of the body.
    type Piece: Buf;
}

impl<S, B> RequestStream for S
where
    S: Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
    B: Buf,
{
    type Piece = B;
}

/// Headers that claim something about the client or the request. Only a proxy before this edge could vouch for them,
/// and none is configured.
const CLAIMS: [&str; 9] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
];

/// Forwards a request and streams its answer back.
pub(in crate::serve::edge) async fn pass(asked: &Asked<'_>, body: impl RequestStream) -> Answered {
    let edge = asked.edge;
    let permit = match edge
        .upstream
        .permit(Class::Older, std::future::pending())
        .await
    {
        Ok(permit) => permit,
        Err(shed) => return failed(asked, FetchError::Shed(shed)),
    };
    let key = asked.key.to_key();
    let server = match edge.upstream.well_server_for(&key) {
        Ok(server) => server,
        Err(shed) => return failed(asked, FetchError::Shed(shed)),
    };
    let begun = edge.clock.now();
    let counted = edge.metrics.fetch_begins(asked.request.kind);
    let method = asked.request.method.clone();
    let request = request(asked.request.headers, body);
    let path = asked
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or(http::uri::PathAndQuery::from_static("/"));
    let sent = edge
        .upstream
        .send(server, request, method.clone(), path)
        .await;
    // The body of the answer is read at the viewer's pace. A permit is for fetches; otherwise slow readers would take
    // all permits.
    drop(permit);
    let response = match sent {
        Ok(response) => response,
        Err(error) => {
            // Any other failure may be of the viewer's own making.
            if error == FetchError::Connect {
                edge.upstream.ended(server, Health::Failing);
            }
            counted.ends(
                Reason::Pass,
                &Attempt::Failed(error, None),
                edge.clock.now().since(begun),
            );
            return failed(asked, error);
        }
    };
    counted.ends(
        Reason::Pass,
        &Attempt::Private,
        edge.clock.now().since(begun),
    );
    if !method.is_safe() && !response.status().is_server_error() {
        // An object that an unsafe method may have changed must not be served from the store (RFC 9111, section 4.4).
        edge.store.forget(&key);
    }
    let (mut parts, body) = response.into_parts();
    upstream::strip_hop_by_hop(&mut parts.headers);
    parts.headers.append(VIA, edge.upstream.via().clone());
    let status = asked
        .status(
            Way::Bypass {
                status: Some(parts.status.as_u16()),
            },
            None,
            None,
        )
        .to_string();
    let status = HeaderValue::from_str(&status).expect("names and words are header-safe");
    parts
        .headers
        .append(HeaderName::from_static("cache-status"), status);
    let mut answer = warp::reply::stream(read(edge.clone(), body)).into_response();
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = parts.headers;
    Answered {
        served: Served::Pass,
        response: answer,
    }
}

/// A request with the client's end-to-end headers.
fn request(client: &HeaderMap, body: impl RequestStream) -> http::Request<RequestBody> {
    let mut headers = client.clone();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    upstream::strip_hop_by_hop(&mut headers);
    for name in [HOST, EXPECT].iter().map(HeaderName::as_str).chain(CLAIMS) {
        headers.remove(name);
    }
    let body: RequestBody = if has_body {
        let pieces = body.map_ok(|mut piece| Frame::data(piece.copy_to_bytes(piece.remaining())));
        let pieces = pieces.map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>);
        BodyExt::boxed(StreamBody::new(pieces))
    } else {
        Empty::new().map_err(|never| match never {}).boxed()
    };
    let mut request = http::Request::new(body);
    *request.headers_mut() = headers;
    request
}

/// The origin's body, as a stream.
fn read(edge: Arc<Edge>, body: Incoming) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((edge, body), |(edge, mut body)| async move {
        let piece = upstream::next_chunk(&mut body, &edge.limits()).await;
        match piece {
            Ok(Some(chunk)) => {
                edge.metrics.origin_bytes.inc_by(chunk.len() as u64);
                Some((Ok(chunk), (edge, body)))
            }
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.word())), (edge, body))),
        }
    })
    .scan(false, |broken, piece| {
        // One error ends the stream, because anything after the error would be a second answer.
        let over = std::mem::replace(broken, piece.is_err());
        std::future::ready((!over).then_some(piece))
    })
}

fn failed(asked: &Asked<'_>, error: FetchError) -> Answered {
    if let FetchError::Shed(shed) = error {
        asked.edge.metrics.shed(shed);
    }
    let status = asked.status(Way::Bypass { status: None }, None, Some(error.word()));
    let served = if matches!(error, FetchError::Shed(_)) {
        Served::Shed
    } else {
        Served::Error
    };
    Answered {
        served,
        response: answer::failure(error.status(), status, Some(error), 1),
    }
}
