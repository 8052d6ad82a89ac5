//! How a broadcaster on another machine publishes: PUT or POST, with a token, on a separate listener.
//!
//! ```text
//! PUT       /live/{channel}/channel.json            answers with the description in force
//! PUT POST  /live/{channel}/{rendition}/{number}.ts
//! ```
//! An object exists only once its upload has ended: a cut upload leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use prometheus::IntCounterVec;
use tokio::sync::Semaphore;
use warp::{Filter, Reply};

use super::refusal::{IngestRefusal, REASONS, UPLOADS_MAX};
use super::store::Store;
use super::store_error::StoreError;
use crate::hls::names::LivePath;
use crate::hls::timeline::Channel;
use crate::serve::metrics::{ORIGIN_REJECTED, Registry};
use crate::serve::token::Token;

/// Methods of the ingest listener, for [`crate::serve::http::listener::ListenerLimits`].
pub const METHODS: &[Method] = &[Method::PUT, Method::POST];
/// The largest segment: 4 Mb/s for 11.52 s would be 6 MB.
pub const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest description of a channel.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;

/// The state that the ingest routes share.
#[derive(Debug)]
pub(super) struct Ingest {
    store: Arc<Store>,
    token: Option<Token>,
    /// The longest pause within a body.
    stall: Duration,
    uploads: Semaphore,
    rejected: IntCounterVec,
}

/// Answers every path: a rejection would lose its reason.
pub(super) fn routes(
    ingest: Arc<Ingest>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
+ Clone
+ Send
+ Sync
+ 'static {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, request, body| {
            let ingest = ingest.clone();
            async move { ingest.serve(method, path.as_str(), request, body).await }
        })
}

impl Ingest {
    pub(super) fn new(
        store: Arc<Store>,
        token: Option<Token>,
        stall: Duration,
        registry: &Registry,
    ) -> Self {
        let rejected = registry.counters(ORIGIN_REJECTED);
        for reason in REASONS {
            rejected.with_label_values(&[reason]);
        }
        Self {
            store,
            token,
            stall,
            uploads: Semaphore::new(UPLOADS_MAX),
            rejected,
        }
    }

    async fn serve<B: Buf>(
        &self,
        method: Method,
        path: &str,
        request: HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> warp::reply::Response {
        match self.take(&method, path, &request, body).await {
            Ok(answer) => answer,
            Err(refusal) => {
                self.rejected.with_label_values(&[refusal.reason()]).inc();
                tracing::debug!(%method, path, %refusal, "an upload was refused");
                refusal.answer()
            }
        }
    }

    async fn take<B: Buf>(
        &self,
        method: &Method,
        path: &str,
        request: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<warp::reply::Response, IngestRefusal> {
        let token = self.token.as_ref().ok_or(IngestRefusal::Off)?;
        if !token.admits(request) {
            return Err(IngestRefusal::Token);
        }
        if !METHODS.contains(method) {
            return Err(IngestRefusal::Method);
        }
        let _slot = self
            .uploads
            .try_acquire()
            .map_err(|_| IngestRefusal::Busy)?;
        match LivePath::parse(path) {
            Some(LivePath::Description { channel }) if method == Method::PUT => {
                let body = self.whole(request, body, DESCRIPTION_BYTES_MAX).await?;
                self.describe(channel, &body).await
            }
            Some(LivePath::Segment {
                channel,
                rendition,
                number,
            }) => {
                let body = self.whole(request, body, SEGMENT_BYTES_MAX).await?;
                self.store.publish(channel, rendition, number, body).await?;
                Ok(StatusCode::CREATED.into_response())
            }
            _ => Err(IngestRefusal::Path),
        }
    }

    async fn describe(
        &self,
        named: &str,
        body: &[u8],
    ) -> Result<warp::reply::Response, IngestRefusal> {
        let channel: Channel = serde_json::from_slice(body).map_err(IngestRefusal::Unreadable)?;
        if channel.name != named {
            return Err(IngestRefusal::OtherChannel {
                described: channel.name,
                named: named.to_owned(),
            });
        }
        let store = self.store.clone();
        let in_force = tokio::task::spawn_blocking(move || store.adopt_or_describe(channel))
            .await
            .map_err(|_| StoreError::Stopping)??;
        Ok(warp::reply::json(&in_force).into_response())
    }

    /// Reads a body to its end, at most `bytes_max` bytes.
    async fn whole<B: Buf>(
        &self,
        request: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
        bytes_max: usize,
    ) -> Result<Bytes, IngestRefusal> {
        let announced = request
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return Err(IngestRefusal::TooLarge(bytes_max));
        }
        let mut body = std::pin::pin!(body);
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(64 * 1024).min(bytes_max));
        loop {
            let piece = tokio::time::timeout(self.stall, body.next())
                .await
                .map_err(|_| IngestRefusal::Stalled(self.stall))?;
            let Some(piece) = piece else {
                return Ok(whole.freeze());
            };
            let mut piece = piece.map_err(|_| IngestRefusal::CutShort(whole.len()))?;
            if whole.len() + piece.remaining() > bytes_max {
                return Err(IngestRefusal::TooLarge(bytes_max));
            }
            while piece.has_remaining() {
                let run = piece.chunk();
                whole.extend_from_slice(run);
                let taken = run.len();
                piece.advance(taken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::serve::origin::testing::{Answer, Fixture, Listening, TOKEN};

    async fn put(origin: &Listening, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "authorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n",
            body.len()
        );
        origin.ingest(path, &head, body).await
    }

    #[tokio::test]
    async fn a_broadcaster_elsewhere_describes_and_publishes() {
        let origin = Fixture::listening(|_| {}).await;
        let description = serde_json::to_vec(&origin.channel).unwrap();
        let mut other = origin.channel.clone();
        other.started_at = origin.clock.unix();
        let later = serde_json::to_vec(&other).unwrap();
        for body in [&description, &later] {
            let answer = put(&origin, "/live/demo/channel.json", body).await;
            assert_eq!(answer.status, 200);
            let in_force: Channel = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(in_force, origin.channel);
        }
        for rendition in ["180p", "360p"] {
            let path = format!("/live/demo/{rendition}/{}.ts", origin.newest);
            let body = origin.body(rendition, origin.newest);
            assert_eq!(put(&origin, &path, &body).await.status, 201);
            assert_eq!(origin.get(&path, "").await.body, body);
        }
        assert_eq!(
            origin.get("/live/demo/180p/media.m3u8", "").await.status,
            200
        );
    }

    #[tokio::test]
    async fn without_the_token_nothing_is_taken() {
        let origin = Fixture::listening(|_| {}).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        let long = format!("authorization: Bearer {TOKEN}x\r\n");
        let basic = format!("authorization: Basic {TOKEN}\r\n");
        for head in [
            "",
            "authorization: Bearer \r\n",
            "authorization: Bearer wrong\r\n",
            &long,
            &basic,
        ] {
            let answer = origin
                .ingest(&path, &format!("{head}content-length: 0\r\n"), b"")
                .await;
            assert_eq!(answer.status, 401, "{head}");
            assert!(
                answer.text().contains("Authorization: Bearer TOKEN"),
                "{}",
                answer.text()
            );
            assert!(!answer.text().contains(TOKEN) && !answer.head.contains(TOKEN));
        }
        assert_eq!(origin.get(&path, "").await.status, 404);
        assert_eq!(format!("{:?}", Token::new(TOKEN)), "Token(***)");

        let closed = Fixture::listening(|config| config.ingest_token = None).await;
        let answer = put(&closed, &path, b"").await;
        assert_eq!(
            (answer.status, answer.text().contains("ingest is off")),
            (403, true)
        );
    }

    #[tokio::test]
    async fn what_cannot_be_published_is_refused_with_a_way_out() {
        let origin = Fixture::listening(|_| {}).await;
        let newest = origin.newest;
        let body = origin.body("180p", newest);
        let mut other = origin.channel.clone();
        other.seed += 1;
        let other = serde_json::to_vec(&other).unwrap();
        let mut empty = origin.channel.clone();
        empty.layout.ladder.clear();
        let empty = serde_json::to_vec(&empty).unwrap();
        let same = serde_json::to_vec(&origin.channel).unwrap();
        let segment = |number: u64| format!("/live/demo/180p/{number}.ts");
        let cases: [(&str, &[u8], u16, &str); 11] = [
            (&segment(newest + 100), &body, 422, "compare the clocks"),
            (&segment(7), &body, 422, "is too old"),
            (
                &segment(newest),
                &body[..100],
                422,
                "send it again from its first byte",
            ),
            (&segment(newest), b"", 422, "these 0 bytes"),
            (
                "/live/nobody/180p/7.ts",
                &body,
                404,
                "PUT its description to /live/nobody/channel.json",
            ),
            ("/live/demo/4k/7.ts", &body, 404, "it has 180p, 360p"),
            (
                "/live/demo/180p/media.m3u8",
                &body,
                404,
                "nothing can be published at this path",
            ),
            (
                "/live/demo/channel.json",
                &other,
                409,
                "choose another name",
            ),
            (
                "/live/demo/channel.json",
                &empty,
                422,
                "from 1 to 16 renditions",
            ),
            ("/live/demo/channel.json", b"{", 400, "cannot be read"),
            (
                "/live/other/channel.json",
                &same,
                400,
                "the path names \"other\"",
            ),
        ];
        for (path, body, status, expected) in cases {
            let answer = put(&origin, path, body).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            assert!(
                answer.text().contains(expected),
                "{path}: {}",
                answer.text()
            );
        }
        assert_eq!(origin.get(&segment(newest), "").await.status, 404);
    }

    #[tokio::test]
    async fn a_body_has_a_bound_announced_or_not() {
        let origin = Fixture::listening(|_| {}).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        let token = format!("authorization: Bearer {TOKEN}\r\n");
        let announced = format!("{token}content-length: {}\r\n", SEGMENT_BYTES_MAX + 1);
        let answer = origin.ingest(&path, &announced, b"").await;
        assert_eq!(answer.status, 413, "{}", answer.text());

        let description = vec![b' '; DESCRIPTION_BYTES_MAX + 1];
        let mut chunked = format!("{:x}\r\n", description.len()).into_bytes();
        chunked.extend(description);
        let head = format!("{token}transfer-encoding: chunked\r\n");
        let answer = origin
            .ingest("/live/demo/channel.json", &head, &chunked)
            .await;
        assert_eq!(answer.status, 413, "{}", answer.text());
    }

    #[tokio::test]
    async fn an_upload_that_is_cut_short_leaves_nothing_behind() {
        let origin = Fixture::listening(|_| {}).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        let body = origin.body("180p", origin.newest);
        let token = format!("authorization: Bearer {TOKEN}\r\n");
        let announced = format!("{token}content-length: {}\r\n", body.len() * 2);
        let chunked = format!("{token}transfer-encoding: chunked\r\n");
        let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat();
        // Whole packets both times: only the missing end shows that the body is incomplete.
        for (head, sent) in [(announced, &body[..]), (chunked, &chunk[..])] {
            let mut stream = origin.send_ingest(&path, &head, sent).await;
            stream.shutdown().await.unwrap();
            let answer = Answer::read(stream).await.unwrap();
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains("was cut short"), "{}", answer.text());
        }
        assert_eq!(origin.get(&path, "").await.status, 404);
        assert!(!origin.dir.path().join("demo/180p").exists());
    }

    #[tokio::test]
    async fn a_broadcaster_that_falls_silent_is_not_waited_for() {
        let origin =
            Fixture::listening(|config| config.ingest_stall = Duration::from_millis(1)).await;
        let path = format!("/live/demo/180p/{}.ts", origin.newest);
        let head = format!("authorization: Bearer {TOKEN}\r\ncontent-length: 188\r\n");
        let answer = origin.ingest(&path, &head, b"G").await;
        assert_eq!(answer.status, 408, "{}", answer.text());
    }
}
