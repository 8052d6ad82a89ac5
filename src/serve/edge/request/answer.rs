//! Answers to viewers: a whole object, a flight that is still coming in, or a failure.
//!
//! Each answer says in `Cache-Status` how it came about. A failure also says when to come back.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use warp::Reply;
use warp::reply::Response;

use crate::policy::key::Kind;
use crate::policy::status::{CacheStatus, FetchError, Shed, Way};
use crate::serve::edge::flights::{Head, Landing, Watch};
use crate::serve::edge::request::head::insert_cors;
use crate::serve::edge::store::CACHE_STATUS;
use crate::serve::edge::store::Object;
use crate::serve::http::conditions::{self, Wanted};
use crate::serve::http::cors;
use crate::time::Timestamp;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The parts of a request that shape its answer.
#[derive(Debug)]
pub(in crate::serve::edge) struct Request<'a> {
    pub(in crate::serve::edge) method: &'a Method,
    pub(in crate::serve::edge) headers: &'a HeaderMap,
    pub(in crate::serve::edge) kind: Kind,
}

impl Request<'_> {
    fn wants_gzip(&self) -> bool {
        matches!(self.kind, Kind::Multivariant | Kind::MediaPlaylist)
            && conditions::accepts_gzip(self.headers)
    }
}

/// How long a request waited, and the origin's share of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve::edge) struct Waited {
    pub(in crate::serve::edge) total: Duration,
    pub(in crate::serve::edge) origin: Duration,
}

/// The answer of a fresh stored object.
pub(in crate::serve::edge) fn hit(
    request: &Request<'_>,
    stored: &Object,
    now: Timestamp,
    cache: &str,
) -> http::Response<Bytes> {
    let status = CacheStatus {
        cache,
        way: Way::Hit,
        ttl_s: Some(stored.validity.ttl_s(now)),
        detail: None,
    };
    object(request, stored, now, status, None, None)
}

/// The answer of a stored object, or of one that has just landed.
pub(in crate::serve::edge) fn object(
    request: &Request<'_>,
    object: &Object,
    now: Timestamp,
    status: CacheStatus<'_>,
    upstream_status: Option<&HeaderValue>,
    waited: Option<Waited>,
) -> http::Response<Bytes> {
    let mut headers = object.headers.clone();
    headers.insert(AGE, object.validity.age(now).as_secs().into());
    say(&mut headers, status, upstream_status, waited);
    let mut body = object.body.clone();
    if request.wants_gzip() {
        body = object.gzip();
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(etag) = headers.get(ETAG).and_then(conditions::gzip_etag) {
            headers.insert(ETAG, etag);
        }
    }
    let length = body.len() as u64;
    match conditions::wanted(request.method, request.headers, headers.get(ETAG), length) {
        // hyper sends no body in answer to HEAD.
        Wanted::Whole => with_head(StatusCode::OK, headers, body),
        Wanted::Part(range) => {
            headers.insert(CONTENT_RANGE, conditions::content_range(&range, length));
            headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
            let part = body.slice(range.start as usize..range.end as usize);
            with_head(StatusCode::PARTIAL_CONTENT, headers, part)
        }
        Wanted::NotModified => not_modified(headers),
        Wanted::Unsatisfiable => unsatisfiable(headers, length),
    }
}

/// The answer of a flight whose head is known and whose body is still coming in. Each reader goes at its own pace.
pub(in crate::serve::edge) fn flight(
    request: &Request<'_>,
    head: &Head,
    watch: Watch,
    status: CacheStatus<'_>,
    waited: Waited,
) -> Response {
    let mut headers = head.headers.clone();
    headers.insert(AGE, HeaderValue::from_static("0"));
    say(
        &mut headers,
        status,
        head.cache_status.as_ref(),
        Some(waited),
    );
    let Some(length) = head.length else {
        // A body of unknown length has no parts, and the whole body is a legal answer to a range.
        let mut response = finish(request, StatusCode::OK, headers, 0, |_| {
            body_of(watch, 0, None)
        });
        response.headers_mut().remove(CONTENT_LENGTH);
        return response;
    };
    match conditions::wanted(request.method, request.headers, headers.get(ETAG), length) {
        Wanted::Whole => finish(request, StatusCode::OK, headers, length, |length| {
            body_of(watch, 0, Some(length))
        }),
        Wanted::Part(range) => {
            headers.insert(CONTENT_RANGE, conditions::content_range(&range, length));
            let part = range.end - range.start;
            finish(
                request,
                StatusCode::PARTIAL_CONTENT,
                headers,
                part,
                |part| body_of(watch, range.start, Some(part)),
            )
        }
        Wanted::NotModified => not_modified(headers).into_response(),
        Wanted::Unsatisfiable => unsatisfiable(headers, length).into_response(),
    }
}

/// The answer of a failure, with a sentence that says what happened.
pub(in crate::serve::edge) fn failure(
    code: StatusCode,
    status: CacheStatus<'_>,
    error: Option<FetchError>,
    retry_after_s: u64,
) -> Response {
    let mut headers = HeaderMap::with_capacity(10);
    insert_cors(&mut headers);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    if code.is_server_error() {
        headers.insert(RETRY_AFTER, retry_after_s.into());
    }
    if let Some(proxy_error) = error.and_then(proxy_error) {
        let value = HeaderValue::from_str(&format!("{}; error={proxy_error}", status.cache));
        headers.insert(PROXY_STATUS, value.expect("names of edges are header-safe"));
    }
    say(&mut headers, status, None, None);
    let reason = status
        .detail
        .or(error.map(FetchError::word))
        .unwrap_or_else(|| code.canonical_reason().unwrap_or("error"));
    let text = format!("{} {reason}\n", code.as_u16());
    headers.insert(CONTENT_LENGTH, text.len().into());
    with_head(code, headers, text).into_response()
}

/// How long a failed object should be left alone, in whole seconds for `Retry-After`, at least one.
pub(in crate::serve::edge) fn retry_after_s(span: Duration) -> u64 {
    span.as_secs_f64().ceil().max(1.0) as u64
}

/// The answer to a preflight request for a live object: any page may read it.
pub(in crate::serve::edge) fn preflight() -> Response {
    let mut headers = HeaderMap::new();
    insert_cors(&mut headers);
    headers.insert(
        "access-control-allow-methods",
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    headers.insert(
        "access-control-allow-headers",
        HeaderValue::from_static(cors::ALLOWED_HEADERS),
    );
    headers.insert("access-control-max-age", HeaderValue::from_static("86400"));
    with_head(StatusCode::NO_CONTENT, headers, Bytes::new()).into_response()
}

/// Writes into the head how the answer came about.
pub(in crate::serve::edge) fn say(
    headers: &mut HeaderMap,
    status: CacheStatus<'_>,
    upstream_status: Option<&HeaderValue>,
    waited: Option<Waited>,
) {
    // Long enough for nearly every text, so that it seldom grows while it is written.
    let mut own = String::with_capacity(128);
    status.push_to(&mut own);
    let own = HeaderValue::try_from(own).expect("names and words are header-safe");
    match upstream_status {
        Some(upstream) => {
            headers.insert(CACHE_STATUS, upstream.clone());
            headers.append(CACHE_STATUS, own);
        }
        None => {
            headers.insert(CACHE_STATUS, own);
        }
    }
    if let Some(Waited { total, origin }) = waited {
        let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
        let text = format!(
            "wait;dur={:.1}, origin;dur={:.1}",
            millis(total),
            millis(origin)
        );
        headers.insert(
            SERVER_TIMING,
            HeaderValue::from_str(&text).expect("numbers are header-safe"),
        );
    }
}

/// The error type of RFC 9209 for a failure that this edge found.
fn proxy_error(error: FetchError) -> Option<&'static str> {
    Some(match error {
        FetchError::Connect => "connection_refused",
        FetchError::FirstByteTimeout | FetchError::TotalTimeout => "http_response_timeout",
        FetchError::ProgressTimeout
        | FetchError::Broken
        | FetchError::Truncated
        | FetchError::Changed => "http_response_incomplete",
        FetchError::TooLarge => "http_response_body_size",
        FetchError::Panicked => "proxy_internal_error",
        FetchError::Shed(Shed::MemoryFull) => "proxy_internal_response",
        FetchError::Shed(Shed::BreakerOpen) => "destination_unavailable",
        FetchError::Shed(_) => "connection_limit_reached",
        FetchError::Status(_) | FetchError::Outdated => return None,
    })
}

fn finish(
    request: &Request<'_>,
    code: StatusCode,
    mut headers: HeaderMap,
    length: u64,
    body: impl FnOnce(u64) -> Response,
) -> Response {
    headers.insert(CONTENT_LENGTH, length.into());
    // hyper sends no body in answer to HEAD, but a flight's stream would keep the connection until it ends.
    let mut response = if request.method == Method::HEAD {
        http::Response::new(Bytes::new()).into_response()
    } else {
        body(length)
    };
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    response
}

fn not_modified(mut headers: HeaderMap) -> http::Response<Bytes> {
    headers.remove(CONTENT_LENGTH);
    with_head(StatusCode::NOT_MODIFIED, headers, Bytes::new())
}

fn unsatisfiable(mut headers: HeaderMap, length: u64) -> http::Response<Bytes> {
    headers.insert(CONTENT_RANGE, conditions::content_range_outside(length));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    with_head(StatusCode::RANGE_NOT_SATISFIABLE, headers, Bytes::new())
}

fn with_head<B>(code: StatusCode, headers: HeaderMap, body: B) -> http::Response<B> {
    let mut response = http::Response::new(body);
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    response
}

fn body_of(watch: Watch, skip: u64, take: Option<u64>) -> Response {
    warp::reply::stream(chunks(watch, skip, take)).into_response()
}

/// The bytes of a flight from `skip` on: `take` of them, or all. If the flight fails, the stream ends with an error,
/// which breaks the connection off. So a viewer never takes a part for the whole.
pub(in crate::serve::edge) fn chunks(
    watch: Watch,
    skip: u64,
    take: Option<u64>,
) -> impl Stream<Item = Result<Bytes, FlightFailed>> {
    let reader = Reader {
        watch,
        index: 0,
        skip,
        left: take,
    };
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
            Ok(None) => None,
            Err(failed) => Some((Err(failed), None)),
        }
    })
}

/// The flight that a viewer was reading from has failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the fetch from the origin failed: {}", .0.word())]
pub(in crate::serve::edge) struct FlightFailed(FetchError);

struct Reader {
    watch: Watch,
    index: usize,
    skip: u64,
    left: Option<u64>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, FlightFailed> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            let at_hand = self.at_hand()?;
            match at_hand {
                AtHand::Chunk(chunk) => {
                    if let Some(chunk) = self.cut(chunk) {
                        return Ok(Some(chunk));
                    }
                }
                AtHand::End => return Ok(None),
                AtHand::Wait => {
                    // The sender is dropped without a landing only when the edge shuts down.
                    self.watch
                        .changed()
                        .await
                        .map_err(|_| FlightFailed(FetchError::Broken))?;
                }
            }
        }
    }

    fn at_hand(&mut self) -> Result<AtHand, FlightFailed> {
        let progress = self.watch.borrow_and_update();
        if let Some(chunk) = progress.chunks.get(self.index) {
            self.index += 1;
            return Ok(AtHand::Chunk(chunk.clone()));
        }
        match &progress.landing {
            None => Ok(AtHand::Wait),
            Some(Landing::Object(..)) => Ok(AtHand::End),
            Some(Landing::Failed(error, _)) => Err(FlightFailed(*error)),
            Some(Landing::Refused(..) | Landing::Private) => Err(FlightFailed(FetchError::Broken)),
        }
    }

    fn cut(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        chunk = chunk.slice(skipped as usize..);
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}

enum AtHand {
    Chunk(Bytes),
    End,
    Wait,
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::watch;

    use super::*;
    use crate::serve::edge::flights::Progress;

    fn progress(chunks: &[&'static str], landing: Option<Landing>) -> Progress {
        Progress {
            head: None,
            chunks: chunks
                .iter()
                .map(|text| Bytes::from_static(text.as_bytes()))
                .collect(),
            landing,
            landed_at: Timestamp::ZERO,
        }
    }

    fn failed() -> Option<Landing> {
        Some(Landing::Failed(FetchError::Truncated, None))
    }

    #[tokio::test]
    async fn a_part_is_served_before_the_whole_is_there() {
        let (_sender, watch) = watch::channel(progress(&["abc", "def"], None));
        let parts: Vec<_> = chunks(watch, 2, Some(3))
            .map(|chunk| chunk.unwrap())
            .collect()
            .await;
        assert_eq!(parts, ["c", "de"]);
    }

    #[tokio::test]
    async fn a_failed_flight_never_ends_cleanly() {
        let (_sender, watch) = watch::channel(progress(&["abc"], failed()));
        let parts: Vec<_> = chunks(watch, 0, Some(6)).collect().await;
        assert_eq!(parts.len(), 2);
        assert!(parts[0].is_ok() && parts[1].is_err());
    }

    #[tokio::test]
    async fn readers_follow_at_their_own_pace() {
        let (sender, watch) = watch::channel(progress(&["a"], None));
        let mut quick = Box::pin(chunks(watch.clone(), 0, Some(3)));
        assert_eq!(quick.next().await.unwrap().unwrap(), "a");
        sender.send_modify(|progress| progress.chunks.push(Bytes::from_static(b"bc")));
        assert_eq!(quick.next().await.unwrap().unwrap(), "bc");
        let slow: Vec<_> = chunks(watch, 0, Some(3))
            .map(|chunk| chunk.unwrap())
            .collect()
            .await;
        assert_eq!(slow, ["a", "bc"]);
    }
}
