//! The way to the origin: a pooled client, the bound on how much it may be asked at once, and one bounded fetch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST, VIA};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::policy::key::Key;
use crate::policy::limits::Limits;
use crate::policy::status::{FetchError, Shed};

/// The body of a request to the origin.
pub type RequestBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Why an upstream URL was refused.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is no upstream: {why}; try something like http://127.0.0.1:8000")]
pub struct UpstreamError {
    url: String,
    why: &'static str,
}

/// One origin, as one edge sees it.
#[derive(Debug)]
pub struct Upstream {
    client: Client<HttpConnector, RequestBody>,
    authority: Authority,
    via: HeaderValue,
    limits: Limits,
    /// Places at the origin; `None` where a baseline asks without a bound.
    places: Option<Arc<Semaphore>>,
    queued: AtomicUsize,
    flight_bytes: AtomicU64,
    under_way: Mutex<HashMap<Key, u32>>,
}

/// Whether requests to the origin are bounded. A bound would distort what the baselines show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginBound {
    /// [`Limits::origin_at_once_max`] holds.
    Bounded,
    /// No bound.
    Unbounded,
}

impl Upstream {
    /// The origin at `url` (`http://host:port`), asked by an edge called `name`.
    ///
    /// # Errors
    /// The URL has another scheme, no host, or a path.
    pub fn new(
        url: &str,
        name: &str,
        limits: Limits,
        bound: OriginBound,
    ) -> Result<Self, UpstreamError> {
        let authority = parse_upstream(url).map_err(|why| UpstreamError {
            url: url.to_owned(),
            why,
        })?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than our own listener's idle time, so that a pooled connection is rarely closed under a request.
            .pool_idle_timeout(Duration::from_secs(8))
            .build(connector);
        let via =
            HeaderValue::from_str(&format!("1.1 {name}")).expect("names of edges are header-safe");
        let places = (bound == OriginBound::Bounded)
            .then(|| Arc::new(Semaphore::new(limits.origin_at_once_max)));
        Ok(Self {
            client,
            authority,
            via,
            limits,
            places,
            queued: AtomicUsize::new(0),
            flight_bytes: AtomicU64::new(0),
            under_way: Mutex::default(),
        })
    }

    /// Host and port of the origin.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What viewers and the origin read in `Via`.
    pub fn via(&self) -> &HeaderValue {
        &self.via
    }

    /// A place at the origin, at once or after a bounded wait in a bounded queue.
    ///
    /// # Errors
    /// The queue is full, or the wait was too long.
    pub async fn place(&self) -> Result<Option<OwnedSemaphorePermit>, Shed> {
        let Some(places) = &self.places else {
            return Ok(None);
        };
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(Some(place));
        }
        let _queued = Queued::enter(&self.queued, self.limits.origin_queued_max)
            .ok_or(Shed::OriginQueueFull)?;
        match tokio::time::timeout(
            self.limits.origin_queue_wait,
            places.clone().acquire_owned(),
        )
        .await
        {
            Ok(place) => Ok(place.ok()),
            Err(_) => Err(Shed::OriginQueueLate),
        }
    }

    /// Sends a request built from scratch for a shared object: nothing that a client sent reaches the origin but the
    /// path.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub async fn get(&self, path: PathAndQuery) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed());
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.send(request, Method::GET, path).await
    }

    /// Sends a request to the origin under our name.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        method: Method,
        path: PathAndQuery,
    ) -> Result<Response<Incoming>, FetchError> {
        *request.method_mut() = method;
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .expect("scheme, authority and path are all there");
        let headers = request.headers_mut();
        headers.remove(HOST);
        headers.append(VIA, self.via.clone());
        let answered =
            tokio::time::timeout(self.limits.first_byte, self.client.request(request)).await;
        answered
            .map_err(|_| FetchError::FirstByteTimeout)?
            .map_err(|error| {
                tracing::debug!(%error, origin = %self.authority, "a request to the origin failed");
                if error.is_connect() {
                    FetchError::Connect
                } else {
                    FetchError::Broken
                }
            })
    }

    /// Counts bytes that a flight holds in memory.
    ///
    /// # Errors
    /// All flights together hold as much as they may.
    pub fn hold(&self, bytes: u64) -> Result<(), Shed> {
        let held = self.flight_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.limits.flight_bytes_max {
            Err(Shed::MemoryFull)
        } else {
            Ok(())
        }
    }

    /// Gives back what [`Self::hold`] counted.
    pub fn release(&self, bytes: u64) {
        self.flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that a fetch of `key` begins; says how many were under way already. Kept apart from the table of flights,
    /// so that it can prove the table right.
    pub fn fetch_begins(&self, key: &Key) -> u32 {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(key.clone()).or_default();
        *count += 1;
        *count - 1
    }

    /// Notes that a fetch of `key` has ended.
    pub fn fetch_ends(&self, key: &Key) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(key);
            }
        }
    }
}

/// Reads the next piece of a body within the progress limit.
///
/// # Errors
/// Silence, a broken connection, or fewer bytes than announced.
pub async fn next_chunk(body: &mut Incoming, limits: &Limits) -> Result<Option<Bytes>, FetchError> {
    loop {
        let frame = tokio::time::timeout(limits.progress, body.frame()).await;
        match frame.map_err(|_| FetchError::ProgressTimeout)? {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
            Some(Err(error)) if error.is_incomplete_message() => return Err(FetchError::Truncated),
            Some(Err(_)) => return Err(FetchError::Broken),
        }
    }
}

/// Headers that belong to one connection and are never passed on (RFC 9110, section 7.6.1), those that the `Connection`
/// list names among them.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| http::HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        headers.remove(name);
    }
}

fn parse_upstream(url: &str) -> Result<Authority, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is no URL")?;
    if uri.scheme_str() != Some("http") {
        return Err("its scheme must be http");
    }
    if uri
        .path_and_query()
        .is_some_and(|path| path.as_str() != "/")
    {
        return Err("it must not have a path");
    }
    uri.into_parts().authority.ok_or("it has no host")
}

/// A place in the queue for the origin; dropping it leaves the queue.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = Self(count);
        // Counted first and checked then: two who enter at once can't both take the last place.
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(entered)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_plain_http_origins() {
        assert_eq!(
            parse_upstream("http://127.0.0.1:8000").unwrap(),
            "127.0.0.1:8000"
        );
        assert_eq!(parse_upstream("http://origin/").unwrap(), "origin");
        for url in [
            "https://origin",
            "origin:8000",
            "http://origin/path",
            "http://",
            "",
        ] {
            assert!(parse_upstream(url).is_err(), "{url}");
        }
    }

    #[test]
    fn hop_by_hop_headers_stay_on_their_hop() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("etag", "e"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(
            headers
                .keys()
                .map(http::HeaderName::as_str)
                .collect::<Vec<_>>(),
            ["etag"]
        );
    }
}
