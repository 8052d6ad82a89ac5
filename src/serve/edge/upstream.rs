//! The way to the origin: a pooled client, the bound on how much it may be asked at once, and one bounded fetch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST, IF_RANGE, RANGE, VIA};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::oneshot;

use crate::policy::admission::{Admission, Class, Gate, Ticket};
use crate::policy::key::Key;
use crate::policy::limits::Limits;
use crate::policy::retry::{self, Breaker, BreakerLimits, Budget, Health};
use crate::policy::status::{FetchError, Shed};
use crate::policy::tier;
use crate::serve::clock::Clock;

/// The header by which caches recognise that a request has come back to them (RFC 8586).
pub(super) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The body of a request to the origin.
pub type RequestBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Why an upstream URL was refused.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} is no upstream: {why}; try something like http://127.0.0.1:8000")]
pub struct UpstreamError {
    url: String,
    why: &'static str,
}

/// The way to the origin, over one of the servers that stand for it.
#[derive(Debug)]
pub struct Upstream {
    client: Client<HttpConnector, RequestBody>,
    servers: Vec<Server>,
    via: HeaderValue,
    cdn_loop: HeaderValue,
    limits: Limits,
    clock: Clock,
    bound: OriginBound,
    gate: Mutex<Gate<oneshot::Sender<()>>>,
    budget: Mutex<Budget>,
    flight_bytes: AtomicU64,
    under_way: Mutex<HashMap<Key, u32>>,
}

/// One server upstream: an origin, or a shield before it.
#[derive(Debug)]
struct Server {
    authority: Authority,
    breaker: Mutex<Breaker>,
}

impl AsRef<str> for Server {
    fn as_ref(&self) -> &str {
        self.authority.as_str()
    }
}

/// Whether requests to the origin are bounded. A bound would distort what the baselines show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginBound {
    /// [`Limits::origin_at_once_max`] holds, and the circuit breaker.
    Bounded,
    /// No bound.
    Unbounded,
}

/// An answer of an upstream, and which of the servers gave it.
#[derive(Debug)]
pub struct Answered {
    /// The answer; its body is still coming in.
    pub response: Response<Incoming>,
    server: usize,
}

impl Upstream {
    /// The origin behind the servers at `urls` (`http://host:port`), asked by an edge called `name`.
    ///
    /// # Errors
    /// A URL has another scheme, no host, or a path; or there is none.
    pub fn new(
        urls: &[String],
        name: &str,
        limits: Limits,
        bound: OriginBound,
        clock: Clock,
    ) -> Result<Self, UpstreamError> {
        let breaker = Breaker::new(BreakerLimits {
            in_a_row: limits.breaker_failures,
            wait: limits.breaker_wait,
            wait_max: limits.breaker_wait_max,
        });
        let server = |url: &String| {
            let authority = parse_upstream(url).map_err(|why| UpstreamError {
                url: url.clone(),
                why,
            })?;
            Ok(Server {
                authority,
                breaker: Mutex::new(breaker),
            })
        };
        let servers: Vec<_> = urls.iter().map(server).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(UpstreamError {
                url: String::new(),
                why: "none was given",
            });
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than our own listener's idle time, so that a pooled connection is rarely closed under a request.
            .pool_idle_timeout(Duration::from_secs(8))
            .build(connector);
        let header =
            |text: &str| HeaderValue::from_str(text).expect("names of edges are header-safe");
        Ok(Self {
            client,
            servers,
            via: header(&format!("1.1 {name}")),
            cdn_loop: header(name),
            limits,
            clock,
            bound,
            gate: Mutex::new(Gate::new(
                limits.origin_at_once_max,
                limits.origin_queued_max,
            )),
            budget: Mutex::new(Budget::new(limits.retry_budget_percent)),
            flight_bytes: AtomicU64::new(0),
            under_way: Mutex::default(),
        })
    }

    /// Host and port of the first server: the name under which foreign objects are kept.
    pub fn authority(&self) -> &Authority {
        &self.servers[0].authority
    }

    /// Host and port of every server.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.servers.iter().map(|server| &server.authority)
    }

    /// What viewers and the origin read in `Via`.
    pub fn via(&self) -> &HeaderValue {
        &self.via
    }

    /// Whether a request has been through this edge before: its `CDN-Loop` names us (RFC 8586).
    pub fn has_sent(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(CDN_LOOP)
            .iter()
            .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
            .filter_map(|member| member.split(|&byte| byte == b';').next())
            .any(|cache| cache.trim_ascii() == self.cdn_loop.as_bytes())
    }

    /// A place at the origin, at once or after a bounded wait in a bounded queue; `deserted` ends the wait when nobody
    /// wants it any more.
    ///
    /// # Errors
    /// The queue is full, the wait was too long, or everybody has left.
    pub async fn place(
        self: &Arc<Self>,
        class: Class,
        deserted: impl Future<Output = ()>,
    ) -> Result<Place, Shed> {
        if self.bound == OriginBound::Unbounded {
            return Ok(Place { upstream: None });
        }
        let (waker, woken) = oneshot::channel();
        let ticket = match lock(&self.gate).ask(class, waker) {
            Admission::Go => return Ok(Place::at(self)),
            Admission::Refused(shed) => return Err(shed),
            Admission::Queued(ticket) => ticket,
        };
        let queued = Queued {
            upstream: self.clone(),
            ticket: Some(ticket),
        };
        tokio::select! {
            biased;
            _ = woken => {}
            () = tokio::time::sleep(self.limits.origin_queue_wait) => return queued.leave(Shed::OriginQueueLate),
            () = deserted => return queued.leave(Shed::Deserted),
        }
        Ok(queued.admitted())
    }

    /// How many flights of a class wait for a place.
    pub fn queue_depth(&self, class: Class) -> usize {
        lock(&self.gate).depth(class)
    }

    /// The worst state of a breaker: 0 closed, 1 probing, 2 open.
    pub fn breaker_state(&self) -> u8 {
        let states = self
            .servers
            .iter()
            .map(|server| lock(&server.breaker).state());
        states.max().unwrap_or(0)
    }

    /// Whether a flight that has failed `attempts` times so may ask again; takes the retry from the budget if so.
    pub fn may_retry(
        &self,
        attempts: u32,
        error: FetchError,
        retry_after: Option<Duration>,
    ) -> bool {
        self.bound == OriginBound::Bounded
            && attempts <= self.limits.retries_per_flight_max
            && retry::is_worth_repeating(error, retry_after)
            && lock(&self.budget).take()
    }

    /// A fetch has brought a whole object: the budget for retries grows.
    pub fn filled(&self) {
        lock(&self.budget).filled();
    }

    /// Sends a request built from scratch for a shared object: nothing that a client sent reaches the origin but the
    /// path. With `resume` it asks for the rest of an object that broke off; `came_through` names the caches that the
    /// leader's request has come through.
    ///
    /// # Errors
    /// No server that may be asked, no connection, or no head in time.
    pub async fn get(
        &self,
        key: &Key,
        path: PathAndQuery,
        attempt: u32,
        resume: Option<(u64, &HeaderValue)>,
        came_through: Option<&HeaderValue>,
    ) -> Result<Answered, FetchError> {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed());
        let headers = request.headers_mut();
        if let Some(caches) = came_through {
            headers.insert(CDN_LOOP, caches.clone());
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((offset, etag)) = resume {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            headers.insert(RANGE, range.expect("a number is header-safe"));
            headers.insert(IF_RANGE, etag.clone());
        }
        self.send(key, attempt, request, Method::GET, path).await
    }

    /// Sends a request to the origin under our name. The key says which server is asked first; each attempt begins one
    /// further, and a server whose breaker is open is passed over.
    ///
    /// # Errors
    /// No server that may be asked, no connection, or no head in time.
    pub async fn send(
        &self,
        key: &Key,
        attempt: u32,
        mut request: Request<RequestBody>,
        method: Method,
        path: PathAndQuery,
    ) -> Result<Answered, FetchError> {
        let server = self
            .server_for(key, attempt)
            .ok_or(FetchError::Shed(Shed::BreakerOpen))?;
        let authority = &self.servers[server].authority;
        *request.method_mut() = method;
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(authority.clone())
            .path_and_query(path)
            .build()
            .expect("scheme, authority and path are all there");
        let headers = request.headers_mut();
        headers.remove(HOST);
        headers.append(VIA, self.via.clone());
        headers.append(CDN_LOOP, self.cdn_loop.clone());
        let answered =
            tokio::time::timeout(self.limits.first_byte, self.client.request(request)).await;
        let answered = answered.map_err(|_| FetchError::FirstByteTimeout);
        let answered = answered.and_then(|answer| {
            answer.map_err(|error| {
                tracing::debug!(%error, origin = %authority, "a request to the origin failed");
                if error.is_connect() {
                    FetchError::Connect
                } else {
                    FetchError::Broken
                }
            })
        });
        let well = answered
            .as_ref()
            .is_ok_and(|response| !response.status().is_server_error());
        self.heard(server, if well { Health::Well } else { Health::Failing });
        Ok(Answered {
            response: answered?,
            server,
        })
    }

    /// The body of an answer broke off: that counts against the server, as a refused connection does.
    pub fn broke_off(&self, answered: &Origin) {
        self.heard(answered.0, Health::Failing);
    }

    fn heard(&self, server: usize, health: Health) {
        lock(&self.servers[server].breaker).ended(self.clock.now(), health);
    }

    fn server_for(&self, key: &Key, attempt: u32) -> Option<usize> {
        let now = self.clock.now();
        let mut order = match self.servers.len() {
            1 => vec![0],
            _ => tier::order(key, &self.servers),
        };
        let first = attempt as usize % order.len();
        order.rotate_left(first);
        order.into_iter().find(|&server| {
            let mut breaker = lock(&self.servers[server].breaker);
            let admitted = self.bound == OriginBound::Unbounded || breaker.admits(now);
            if admitted {
                breaker.went(now);
            }
            admitted
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
        let mut under_way = lock(&self.under_way);
        let count = under_way.entry(key.clone()).or_default();
        *count += 1;
        *count - 1
    }

    /// Notes that a fetch of `key` has ended.
    pub fn fetch_ends(&self, key: &Key) {
        let mut under_way = lock(&self.under_way);
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
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
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

/// Which server an answer came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin(usize);

impl Answered {
    /// The answer, and where it came from.
    pub fn into_parts(self) -> (Response<Incoming>, Origin) {
        (self.response, Origin(self.server))
    }
}

/// A place among the requests to the origin; dropping it lets the next one go.
#[derive(Debug)]
pub struct Place {
    upstream: Option<Arc<Upstream>>,
}

impl Place {
    fn at(upstream: &Arc<Upstream>) -> Self {
        Self {
            upstream: Some(upstream.clone()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(upstream) = &self.upstream {
            upstream.let_next_go();
        }
    }
}

impl Upstream {
    fn let_next_go(&self) {
        // One whose waiter has just given up can't be woken: the place goes on to the one behind it.
        while let Some(waker) = lock(&self.gate).done() {
            if waker.send(()).is_ok() {
                return;
            }
        }
    }
}

/// A place in the queue for the origin; dropping it leaves the queue.
struct Queued {
    upstream: Arc<Upstream>,
    ticket: Option<Ticket>,
}

impl Queued {
    fn admitted(mut self) -> Place {
        self.ticket = None;
        Place::at(&self.upstream)
    }

    /// Leaves for this reason, unless it has been let go in the same moment.
    fn leave(mut self, why: Shed) -> Result<Place, Shed> {
        let ticket = self.ticket.take().expect("it is taken once");
        if lock(&self.upstream.gate).give_up(ticket) {
            return Err(why);
        }
        Ok(self.admitted())
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && !lock(&self.upstream.gate).give_up(ticket)
        {
            self.upstream.let_next_go();
        }
    }
}

/// A panic under one of these locks leaves a value that is still whole: every change to it is one call.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["etag"]
        );
    }
}
