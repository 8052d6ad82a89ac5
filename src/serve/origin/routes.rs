//! The origin's routes for viewers and edges, and the hit counts of a measured run.
//!
//! ```text
//! GET HEAD OPTIONS  /live/...         see [`crate::hls::names`]
//! GET               /-/hits           counts by client and kind, and the most requested objects
//! GET               /-/hits/objects   the same with every object that is not yet forgotten
//! ```
//! The last two belong to the admin listener.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use prometheus::{Histogram, IntCounter, IntGauge};
use warp::{Filter, Reply};

use super::answer;
use super::capacity::Desk;
use super::faults::{AnswerFault, OriginFaults};
use super::hits::{self, Hits, Snapshot};
use super::store::Store;
use crate::hls::names::LivePath;
use crate::policy::key::Kind;
use crate::serve::clock::Clock;
use crate::serve::metrics::{
    ORIGIN_INFLIGHT, ORIGIN_REQUEST_SECONDS, ORIGIN_RESPONSE_BYTES, Registry,
};

/// The state that the routes share.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) store: Arc<Store>,
    pub(super) hits: Hits,
    pub(super) faults: OriginFaults,
    pub(super) desk: Desk,
    pub(super) clock: Clock,
    pub(super) figures: Figures,
}

/// Metrics that have no client label.
#[derive(Debug)]
pub(super) struct Figures {
    inflight: IntGauge,
    /// In the order of [`Kind::ALL`].
    bytes: [IntCounter; Kind::ALL.len()],
    /// In the order of [`Kind::ALL`].
    seconds: [Histogram; Kind::ALL.len()],
}

impl Figures {
    pub(super) fn new(registry: &Registry) -> Self {
        let bytes = registry.counters(ORIGIN_RESPONSE_BYTES);
        let seconds = registry.histograms(ORIGIN_REQUEST_SECONDS);
        Self {
            inflight: registry.gauge(ORIGIN_INFLIGHT),
            bytes: Kind::ALL.map(|kind| bytes.with_label_values(&[kind.word()])),
            seconds: Kind::ALL.map(|kind| seconds.with_label_values(&[kind.word()])),
        }
    }
}

/// Answers every path; an unknown path with 404.
pub(super) fn routes(
    counter: Arc<Counter>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(move |method, path: warp::path::FullPath, request| {
            let counter = counter.clone();
            // Never rejects, but the accept loop requires a filter that could.
            async move {
                let answer = counter.serve(&method, path.as_str(), &request).await;
                Ok::<_, warp::Rejection>(answer)
            }
        })
}

/// The counts, as JSON.
pub(super) fn admin_routes(
    hits: Hits,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    let all = hits.clone();
    let objects = warp::path!("-" / "hits" / "objects").map(move || json(&all.snapshot()));
    let counts = warp::path!("-" / "hits").map(move || {
        json(&Snapshot {
            objects: Vec::new(),
            ..hits.snapshot()
        })
    });
    warp::get().and(counts.or(objects).unify())
}

impl Counter {
    async fn serve(
        &self,
        method: &Method,
        path: &str,
        request: &HeaderMap,
    ) -> warp::reply::Response {
        let _answering = Answering::begin(&self.figures.inflight);
        if method == Method::OPTIONS {
            // OPTIONS requests no object, so it is neither a hit nor delayed. Browsers send it first, and edges send it
            // as a health check.
            return answer::preflight().into_response();
        }
        let began = self.clock.now();
        let path = LivePath::parse(path);
        let version = match path {
            Some(LivePath::MediaPlaylist { channel, .. }) => self.store.newest(channel),
            _ => None,
        };
        self.hits.count(request, path, version);
        let kind = hits::kind_of(path);
        let Ok(slot) = self.desk.slot().await else {
            self.hits.count_shed(request, kind);
            return unavailable(method, "the origin is at its capacity\n").into_response();
        };
        let latency = self.desk.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let fault = self.faults.take(kind);
        let response = match fault {
            None => self.answer(method, path, request),
            Some(AnswerFault::Slow(longer)) => {
                tokio::time::sleep(longer).await;
                self.answer(method, path, request)
            }
            Some(AnswerFault::Hangs) => std::future::pending().await,
            Some(AnswerFault::Stopped) => return cut_short(Response::default(), 0),
            Some(AnswerFault::Unavailable) => {
                unavailable(method, "the origin was told to be unavailable\n")
            }
            Some(AnswerFault::Truncated) => self.answer(method, path, request),
        };
        self.figures.bytes[kind as usize].inc_by(response.body().len() as u64);
        let took = self.clock.now().since(began);
        self.figures.seconds[kind as usize].observe(took.as_secs_f64());
        match fault {
            Some(AnswerFault::Truncated) => {
                let half = response.body().len() / 2;
                cut_short(response, half)
            }
            _ => self.desk.send(response, slot),
        }
    }

    fn answer(
        &self,
        method: &Method,
        path: Option<LivePath<'_>>,
        request: &HeaderMap,
    ) -> Response<Bytes> {
        if method == Method::OPTIONS {
            return answer::preflight();
        }
        if method != Method::GET && method != Method::HEAD {
            let text = "only GET, HEAD and OPTIONS are served here\n";
            return answer::refused(method, StatusCode::METHOD_NOT_ALLOWED, text);
        }
        match path.and_then(|path| self.store.get(path)) {
            // Players that get an old playlist for a live one wait for ever.
            Some(_) if path.is_some_and(|path| self.store.is_off_air(path)) => {
                answer::refused(method, StatusCode::NOT_FOUND, OFF_AIR)
            }
            Some(document) => answer::found(method, request, &document),
            None => answer::not_found(method),
        }
    }
}

/// Why a playlist that exists is not served.
const OFF_AIR: &str =
    "this channel is not broadcast any more: its newest segment is older than a playlist is long\n";

fn unavailable(method: &Method, text: &'static str) -> Response<Bytes> {
    let mut response = answer::refused(method, StatusCode::SERVICE_UNAVAILABLE, text);
    let head = response.headers_mut();
    head.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    head.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    response
}

/// Sends the first `sent_bytes` of the body behind a head that announces all of it, then breaks the connection. With 0
/// bytes, hyper does not even send the head.
fn cut_short(response: Response<Bytes>, sent_bytes: usize) -> warp::reply::Response {
    let (head, body) = response.into_parts();
    let sent = body.slice(..sent_bytes);
    let pieces = futures_util::stream::unfold(Some(sent), async |sent| match sent {
        Some(sent) if !sent.is_empty() => Some((Ok(sent), None)),
        Some(_) => Some((Err(broken()), None)),
        None => {
            // hyper writes its buffer before it polls again, so the first half does arrive.
            tokio::task::yield_now().await;
            Some((Err(broken()), None))
        }
    });
    let mut broken_off = warp::reply::stream(pieces).into_response();
    *broken_off.status_mut() = head.status;
    *broken_off.headers_mut() = head.headers;
    broken_off
}

fn broken() -> io::Error {
    io::Error::other("the origin was told to break off")
}

fn json(snapshot: &Snapshot) -> warp::reply::Response {
    let text = serde_json::to_vec_pretty(snapshot).expect("counts are plain data");
    Response::builder()
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::CACHE_CONTROL, "no-store")
        .body(text)
        .expect("the head is made of constants")
        .into_response()
}

/// Counts a request as in flight until it is dropped.
struct Answering<'a>(&'a IntGauge);

impl<'a> Answering<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hls::steering::{Manifest, Pathways};
    use crate::serve::origin::testing::Fixture;

    #[tokio::test]
    async fn a_player_finds_the_playlists_and_every_segment_they_list() {
        let origin = Fixture::listening(|_| {}).await;
        origin.publish_all(origin.newest).await;
        let main = origin.get("/live/demo/main.m3u8", "").await;
        assert_eq!(main.status, 200);
        let main = m3u8_rs::parse_master_playlist_res(&main.body).unwrap();
        for variant in main.variants {
            let media = origin.get(&format!("/live/demo/{}", variant.uri), "").await;
            assert!(
                media
                    .head
                    .contains("content-type: application/vnd.apple.mpegurl"),
                "{}",
                media.head
            );
            let media = m3u8_rs::parse_media_playlist_res(&media.body).unwrap();
            let rendition = variant.uri.split('/').next().unwrap();
            let path = format!("/live/demo/{rendition}/{}", media.segments[0].uri);
            let segment = origin.get(&path, "").await;
            assert_eq!(segment.status, 200);
            assert_eq!(segment.body, origin.body(rendition, origin.newest));
            let head = origin.request("HEAD", &path, "").await;
            let length = format!("content-length: {}\r\n", segment.body.len());
            assert!(
                head.head.contains(&length) && head.body.is_empty(),
                "{}",
                head.head
            );
        }
        let description = origin.get("/live/demo/channel.json", "").await;
        let channel: crate::hls::timeline::Channel =
            serde_json::from_slice(&description.body).unwrap();
        assert_eq!(channel, origin.channel);
    }

    #[tokio::test]
    async fn pathways_are_listed_and_a_manifest_names_them() {
        let origin = Fixture::listening(|config| {
            config.pathways = Pathways {
                list: vec!["paris=http://paris.example:8081".parse().unwrap()],
                ttl_s: 60,
            };
        })
        .await;
        origin.publish_all(origin.newest).await;
        let main = origin.get("/live/demo/main.m3u8", "").await;
        let text = String::from_utf8(main.body.to_vec()).unwrap();
        assert!(
            text.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\""),
            "{text}"
        );
        assert!(
            text.contains("http://paris.example:8081/live/demo/360p/media.m3u8"),
            "{text}"
        );
        let manifest = origin
            .get("/live/demo/steering.json?_HLS_pathway=.", "")
            .await;
        assert_eq!(manifest.status, 200);
        assert!(
            manifest.head.contains("cache-control: public, max-age=1"),
            "{}",
            manifest.head
        );
        let read = Manifest::read(&manifest.body).unwrap();
        assert_eq!(read.priority(), [".", "paris"]);
        origin.origin.store().steer(Pathways::default());
        assert_eq!(origin.get("/live/demo/steering.json", "").await.status, 404);
        let main = origin.get("/live/demo/main.m3u8", "").await;
        let text = String::from_utf8(main.body.to_vec()).unwrap();
        assert!(
            !text.contains("STEERING") && !text.contains("paris"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_channel_that_is_not_broadcast_any_more_is_not_served_as_live() {
        let origin = Fixture::listening(|_| {}).await;
        let window = 10;
        origin.publish_all(origin.newest - window).await;
        for path in ["/live/demo/main.m3u8", "/live/demo/360p/media.m3u8"] {
            let answer = origin.get(path, "").await;
            assert_eq!(answer.status, 404, "{path}");
            let said = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(said.contains("not broadcast any more"), "{said}");
        }
        let segment = format!("/live/demo/360p/{}.ts", origin.newest - window);
        assert_eq!(origin.get(&segment, "").await.status, 200);
        // The broadcaster is back.
        for number in origin.newest - window + 1..=origin.newest {
            origin.publish_all(number).await;
        }
        for path in ["/live/demo/main.m3u8", "/live/demo/360p/media.m3u8"] {
            assert_eq!(origin.get(path, "").await.status, 200, "{path}");
        }
    }

    #[tokio::test]
    async fn paths_that_name_nothing_are_404() {
        let origin = Fixture::listening(|_| {}).await;
        for path in [
            "/",
            "/live/demo/720p/media.m3u8",
            "/live/demo/index.m3u8",
            "/live/demo/4k/media.m3u8",
            "/live/nobody/main.m3u8",
            "/live/demo/180p/007.ts",
            "/live/demo/180p/18446744073709551615.ts",
            "/live/demo/main.m3u8/",
            "/channel.json",
        ] {
            let answer = origin.get(path, "").await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(
                answer.head.contains("cache-control: public, max-age=1\r\n"),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn any_page_may_ask_for_a_range() {
        let origin = Fixture::listening(|_| {}).await;
        let answer = origin.request("OPTIONS", "/live/demo/main.m3u8", "").await;
        assert_eq!(answer.status, 204);
        assert!(
            answer.head.contains("access-control-allow-headers: range"),
            "{}",
            answer.head
        );
        // What hls.js sends with `useHeaders`, and what players add to pass caches.
        for name in ["cmcd-request", "cache-control"] {
            assert!(answer.head.contains(name), "{}", answer.head);
        }
    }

    #[tokio::test]
    async fn hits_are_told_on_the_admin_routes() {
        let origin = Fixture::listening(|_| {}).await;
        origin
            .get("/live/demo/main.m3u8", "via: 1.1 edge-1\r\n")
            .await;
        origin.get("/live/demo/180p/media.m3u8", "").await;
        let answer = origin.admin("/-/hits").await;
        let told: Snapshot = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(told.clients["edge-1"][&Kind::Multivariant], 1);
        assert_eq!(told.clients["direct"][&Kind::MediaPlaylist], 1);
        assert!(told.objects.is_empty() && told.most.len() == 2);
        let answer = origin.admin("/-/hits/objects").await;
        let told: Snapshot = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(told, origin.origin.hits().snapshot());
        assert_eq!(told.objects.len(), 2);
    }

    #[tokio::test]
    async fn faults_are_what_they_say() {
        let origin = Fixture::listening(|_| {}).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        origin.publish_all(origin.newest).await;
        let faults = origin.origin.faults();
        let whole = origin.get(&path, "").await.body;

        faults.begin(AnswerFault::Stopped);
        assert!(origin.try_get(&path).await.is_none());
        faults.begin(AnswerFault::Unavailable);
        let answer = origin.get(&path, "").await;
        assert_eq!(answer.status, 503);
        assert!(
            answer.head.contains("retry-after: 1\r\n"),
            "{}",
            answer.head
        );
        faults.begin_for(Kind::Segment, AnswerFault::Truncated);
        let answer = origin.get(&path, "").await;
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .head
                .contains(&format!("content-length: {}\r\n", whole.len())),
            "{}",
            answer.head
        );
        assert_eq!(answer.body, whole[..whole.len() / 2]);
        assert_eq!(origin.get("/live/demo/main.m3u8", "").await.status, 200);
        faults.end();
        assert_eq!(origin.get(&path, "").await.body, whole);
        assert_eq!(
            origin.origin.hits().snapshot().clients["direct"][&Kind::Segment],
            5
        );
    }

    #[tokio::test]
    async fn an_origin_that_hangs_is_still_answering_until_its_client_leaves() {
        let origin = Fixture::listening(|_| {}).await;
        origin.origin.faults().begin(AnswerFault::Hangs);
        let leaving = origin.send("GET", "/live/demo/main.m3u8", "", b"").await;
        let inflight = &origin.origin.figures().inflight;
        while inflight.get() == 0 {
            tokio::task::yield_now().await;
        }
        socket2::SockRef::from(&leaving)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(leaving);
        while inflight.get() != 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn every_answer_takes_the_latency() {
        let mean = Duration::from_millis(20);
        let origin = Fixture::listening(|config| config.capacity.latency.mean = mean).await;
        for (path, status) in [("/live/demo/main.m3u8", 200), ("/nothing", 404)] {
            let asked = origin.clock.now();
            assert_eq!(origin.get(path, "").await.status, status);
            assert!(origin.clock.now().since(asked) >= mean);
        }
    }

    #[tokio::test]
    async fn one_request_is_answered_one_waits_and_a_third_gets_503() {
        let origin = Fixture::listening(|config| {
            config.capacity.slots = Some(1);
            config.capacity.queue = 1;
        })
        .await;
        let faults = origin.origin.faults();
        let figures = origin.origin.figures();
        let waiting = || async {
            while origin.origin.counter.desk.waiting() == 0 {
                tokio::task::yield_now().await;
            }
        };
        // The first request keeps the slot until its client leaves.
        faults.begin(AnswerFault::Hangs);
        let first = origin.send("GET", "/live/demo/main.m3u8", "", b"").await;
        while figures.inflight.get() == 0 {
            tokio::task::yield_now().await;
        }
        let second = origin.get("/live/demo/main.m3u8", "");
        let third = async {
            waiting().await;
            let shed = origin.get("/live/demo/main.m3u8", "").await;
            faults.end();
            socket2::SockRef::from(&first)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(first);
            shed
        };
        let (second, third) = tokio::join!(second, third);
        assert_eq!((second.status, third.status), (200, 503));
        assert!(third.head.contains("retry-after: 1\r\n"), "{}", third.head);
        let hits = origin.origin.hits().snapshot();
        assert_eq!(hits.shed["direct"], 1);
        assert_eq!(hits.clients["direct"][&Kind::Multivariant], 3);
        // A client that leaves while it waits gives its place back.
        assert_eq!(origin.origin.counter.desk.waiting(), 0);
    }

    #[tokio::test]
    async fn a_body_leaves_at_the_bandwidth_and_arrives_whole() {
        let origin = Fixture::listening(|config| {
            config.capacity.bandwidth_bps = Some(8_000_000);
        })
        .await;
        origin.publish_all(origin.newest).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        let asked = origin.clock.now();
        let answer = origin.get(&path, "").await;
        assert_eq!(answer.body, origin.body("180p", origin.newest));
        let least = Duration::from_micros(answer.body.len() as u64);
        assert!(origin.clock.now().since(asked) >= least);
        let length = format!("content-length: {}\r\n", answer.body.len());
        assert!(answer.head.contains(&length), "{}", answer.head);
    }
}
