//! The way to the origin: a connection pool, the bound on requests at once, and one bounded fetch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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

use crate::config::redacted;
use crate::policy::admission::Gate;
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
    pub(super) limits: Limits,
    clock: Clock,
    pub(super) bound: OriginBound,
    pub(super) gate: Mutex<Gate<oneshot::Sender<()>>>,
    budget: Mutex<Budget>,
    flight_bytes: AtomicU64,
    under_way: Mutex<UnderWay>,
}

/// One server upstream: an origin, or a shield before it.
#[derive(Debug)]
struct Server {
    authority: Authority,
    breaker: Mutex<Breaker>,
    /// Whether the server fails its health checks.
    down: AtomicBool,
}

impl AsRef<str> for Server {
    fn as_ref(&self) -> &str {
        self.authority.as_str()
    }
}

/// Whether requests to the origin are bounded. A bound would distort the results of the baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginBound {
    /// [`Limits::origin_at_once_max`] and the circuit breaker hold.
    Bounded,
    /// No bound.
    Unbounded,
}

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerIndex(usize);

impl Upstream {
    /// The origin behind the servers at `urls` (`http://host:port`), asked by an edge called `name`.
    ///
    /// # Errors
    /// A URL has another scheme, no host, or a path; or no URL is given.
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
                url: redacted::url(url),
                why,
            })?;
            Ok(Server {
                authority,
                breaker: Mutex::new(breaker),
                down: AtomicBool::new(false),
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
            // Shorter than the idle time of Seawall's own listener, so that a pooled connection is rarely closed under
            // a request.
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

    /// Host and port of the first server. They are part of the keys of foreign objects.
    pub fn authority(&self) -> &Authority {
        &self.servers[0].authority
    }

    /// Host and port of every server.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.servers.iter().map(|server| &server.authority)
    }

    /// The value of this edge in `Via`, for viewers and for the origin.
    pub fn via(&self) -> &HeaderValue {
        &self.via
    }

    /// Whether a request has been through this edge before: its `CDN-Loop` names this edge (RFC 8586).
    pub fn has_sent(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(CDN_LOOP)
            .iter()
            .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
            .filter_map(|member| member.split(|&byte| byte == b';').next())
            .any(|cache| cache.trim_ascii() == self.cdn_loop.as_bytes())
    }

    /// The worst state of a breaker: 0 closed, 1 probing, 2 open.
    pub fn breaker_state(&self) -> u8 {
        let states = self
            .servers
            .iter()
            .map(|server| lock(&server.breaker).state());
        states.max().unwrap_or(0)
    }

    /// Whether a flight with this number of failures and this last error may ask again. If so, takes the retry from the
    /// budget.
    pub fn may_retry(
        &self,
        failures: u32,
        error: FetchError,
        retry_after: Option<Duration>,
    ) -> bool {
        let servers = self.servers.len();
        self.bound == OriginBound::Bounded
            && retry::is_granted(
                failures,
                error,
                retry_after,
                servers,
                &self.limits,
                &mut lock(&self.budget),
            )
    }

    /// A fetch has brought a whole object: the retry budget grows.
    pub fn filled(&self) {
        lock(&self.budget).filled();
    }

    /// The server that a fetch of this key asks after this number of failures of its own. Each key has its own order of
    /// the servers, and a server that its breaker does not admit is passed over. If the breaker is not closed, this
    /// request is the probe. Its end must be reported to [`Upstream::ended`].
    ///
    /// # Errors
    /// The breakers admit no server.
    pub fn server_for(&self, key: &Key, failures: u32) -> Result<ServerIndex, Shed> {
        let now = self.clock.now();
        let order = self.order(key, failures);
        let admitted = order.into_iter().find(|&server| {
            let mut breaker = lock(&self.servers[server].breaker);
            let admitted = self.bound == OriginBound::Unbounded || breaker.admits(now);
            if admitted {
                breaker.went(now);
            }
            admitted
        });
        admitted.map(ServerIndex).ok_or(Shed::BreakerOpen)
    }

    /// The server for a viewer's own request: one whose breaker is closed, so that the request is never a probe.
    ///
    /// # Errors
    /// No server's breaker is closed.
    pub fn well_server_for(&self, key: &Key) -> Result<ServerIndex, Shed> {
        let order = self.order(key, 0);
        let well = order.into_iter().find(|&server| {
            self.bound == OriginBound::Unbounded || lock(&self.servers[server].breaker).is_closed()
        });
        well.map(ServerIndex).ok_or(Shed::BreakerOpen)
    }

    /// Every server, in the order in which this key asks them. The breakers do not matter, because requests for likes
    /// neither open nor probe them.
    pub(super) fn servers_for(&self, key: &Key) -> impl Iterator<Item = ServerIndex> + use<> {
        self.order(key, 0).into_iter().map(ServerIndex)
    }

    fn order(&self, key: &Key, failures: u32) -> Vec<usize> {
        let order = match self.servers.len() {
            1 => vec![0],
            _ => tier::order(&super::request::paths::path_of(key), &self.servers),
        };
        let is_up = |&server: &usize| !self.servers[server].down.load(Ordering::Relaxed);
        // Servers that are down come last, for the case that no other server is left.
        let (mut up, mut down): (Vec<_>, Vec<_>) = order.into_iter().partition(is_up);
        for servers in [&mut up, &mut down] {
            let first = failures as usize % servers.len().max(1);
            servers.rotate_left(first);
        }
        up.append(&mut down);
        up
    }

    /// Every server.
    pub(super) fn servers(&self) -> impl Iterator<Item = ServerIndex> + use<> {
        (0..self.servers.len()).map(ServerIndex)
    }

    /// Host and port of a server.
    pub(super) fn authority_of(&self, server: ServerIndex) -> &Authority {
        &self.servers[server.0].authority
    }

    /// Number of servers that fail their health checks.
    pub fn down(&self) -> usize {
        let down = |server: &&Server| server.down.load(Ordering::Relaxed);
        self.servers.iter().filter(down).count()
    }

    /// Notes whether a server fails its health checks; returns what was noted before.
    pub(super) fn set_down(&self, server: ServerIndex, down: bool) -> bool {
        self.servers[server.0].down.swap(down, Ordering::Relaxed)
    }

    /// A request to this server has ended.
    pub fn ended(&self, server: ServerIndex, health: Health) {
        lock(&self.servers[server.0].breaker).ended(self.clock.now(), health);
    }

    /// Sends a request built from scratch for a shared object. Of the viewer's request only the path and the caches
    /// that it came through reach the origin. With `resume` it asks for the rest of an object that broke off.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub async fn get(
        &self,
        server: ServerIndex,
        path: PathAndQuery,
        resume: Option<(u64, &HeaderValue)>,
        came_through: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, FetchError> {
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
        self.send(server, request, Method::GET, path).await
    }

    /// Asks a server something that the server answers by itself, to see whether it answers.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub(super) async fn ask_for_health(&self, server: ServerIndex) -> Result<(), FetchError> {
        let request = Request::new(Empty::new().map_err(|never| match never {}).boxed());
        let path = PathAndQuery::from_static("/live/health/main.m3u8");
        self.send(server, request, Method::OPTIONS, path).await?;
        Ok(())
    }

    /// Sends a request to a server under this edge's name.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub async fn send(
        &self,
        server: ServerIndex,
        request: Request<RequestBody>,
        method: Method,
        path: PathAndQuery,
    ) -> Result<Response<Incoming>, FetchError> {
        let wait = self.limits.first_byte;
        self.send_within(server, request, method, path, wait).await
    }

    /// Sends a request like [`Self::send`], with a wait of its own for the head of the answer.
    ///
    /// # Errors
    /// No connection, or no head in time.
    pub(super) async fn send_within(
        &self,
        server: ServerIndex,
        mut request: Request<RequestBody>,
        method: Method,
        path: PathAndQuery,
        wait: Duration,
    ) -> Result<Response<Incoming>, FetchError> {
        let authority = &self.servers[server.0].authority;
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
        let answered = tokio::time::timeout(wait, self.client.request(request)).await;
        answered
            .map_err(|_| FetchError::FirstByteTimeout)?
            .map_err(|error| {
                tracing::debug!(%error, origin = %authority, "a request to the origin failed");
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
    /// All flights together would hold more than the limit; then nothing is counted.
    pub fn hold(&self, bytes: u64) -> Result<(), Shed> {
        let most = self.limits.flight_bytes_max;
        let fits = |held: u64| held.checked_add(bytes).filter(|&held| held <= most);
        self.flight_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(|_| ())
            .map_err(|_| Shed::MemoryFull)
    }

    /// Gives back what [`Self::hold`] counted.
    pub fn release(&self, bytes: u64) {
        self.flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes that a fetch of `key` begins. Returns the fetch's number, and how many fetches of the key were under way
    /// already. These counts are kept apart from the table of flights, so that they can prove the table right.
    pub fn fetch_begins(&self, key: &Key) -> (u64, usize) {
        let mut under_way = lock(&self.under_way);
        under_way.next += 1;
        let number = under_way.next;
        let of_key = under_way.by_key.entry(key.clone()).or_default();
        of_key.push(number);
        (number, of_key.len() - 1)
    }

    /// Notes that a fetch of `key` has ended.
    pub fn fetch_ends(&self, key: &Key, number: u64) {
        let mut under_way = lock(&self.under_way);
        if let Some(of_key) = under_way.by_key.get_mut(key) {
            of_key.retain(|&other| other != number);
            if of_key.is_empty() {
                under_way.by_key.remove(key);
            }
        }
    }

    /// An operator has purged `key`: fetches under way no longer count, because later requests do not get their
    /// results.
    pub fn fetches_are_void(&self, key: &Key) {
        lock(&self.under_way).by_key.remove(key);
    }
}

/// The fetches that have begun and not ended, by number.
#[derive(Debug, Default)]
struct UnderWay {
    by_key: HashMap<Key, Vec<u64>>,
    next: u64,
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

/// The caches that a request has come through, on one line (`CDN-Loop`).
pub fn came_through(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Vec<_> = headers
        .get_all(CDN_LOOP)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    match &lines[..] {
        [] => None,
        [line] => HeaderValue::from_bytes(line).ok(),
        lines => HeaderValue::from_bytes(&lines.join(&b", "[..])).ok(),
    }
}

/// Removes headers that belong to one connection and are never passed on (RFC 9110, section 7.6.1), with those that the
/// `Connection` list names.
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
    let authority = uri.into_parts().authority.ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("no name and password can be sent to it");
    }
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
    let is_port =
        |port: &str| port.ends_with(']') || port.parse::<u16>().is_ok_and(|port| port > 0);
    match port.is_none_or(is_port) {
        true => Ok(authority),
        false => Err("its port must be 1 to 65535"),
    }
}

/// A panic under one of these locks leaves a whole value, because every change to the value is one call.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
        assert_eq!(parse_upstream("http://[::1]").unwrap(), "[::1]");
        for url in [
            "https://origin",
            "origin:8000",
            "http://origin/path",
            "http://",
            "http://user:secret@origin",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:0",
            "http://[::1]:99999",
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
