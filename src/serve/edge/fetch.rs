//! One fetch from the origin: it runs detached, fills a [`Progress`] that followers read, and always lands.
//!
//! A fetch is one or more attempts. What broke off is asked for again within the budget for retries, from the byte at
//! which it broke off if viewers have seen the first part. A segment that is about to be published is held until it is.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{CONTENT_RANGE, ETAG};
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use hyper::body::Body;
use tokio::sync::watch;

use super::Edge;
use super::flights::{Head, Landing, Progress, Watch};
use super::head;
use super::metrics::Reason;
use super::store::{Entry, Failure, LastLanding, Object};
use super::upstream::{self, ServerIndex};
use crate::hls;
use crate::hls::names::LivePath;
use crate::policy::admission::Class;
use crate::policy::collapse::Generation;
use crate::policy::edge::PASS;
use crate::policy::freshness::{Negative, Validity};
use crate::policy::key::{Key, KeyRef, Kind};
use crate::policy::rendition::{Absence, Fit};
use crate::policy::retry::{self, Health};
use crate::policy::sharing::{self, Implicit, Sharing};
use crate::policy::status::{FetchError, MissQueue, Shed};
use crate::time::Timestamp;

/// Whether a fetch is in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flight {
    /// It is, under this number.
    Listed(Generation),
    /// It is not: baselines fetch once per request.
    Alone,
}

/// What the origin is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The path, and the query where it counts.
    pub(super) path: PathAndQuery,
    /// The caches that the leader's request has come through (`CDN-Loop`).
    pub(super) came_through: Option<HeaderValue>,
}

/// Begins a fetch in a task of its own, which ends by the limits of a flight at the latest.
pub(super) fn begin(
    edge: &Arc<Edge>,
    key: &Key,
    ask: Ask,
    flight: Flight,
    reason: Reason,
) -> Watch {
    let (progress, watch) = watch::channel(Progress::default());
    let (edge, key) = (edge.clone(), key.clone());
    edge.tasks.clone().spawn(async move {
        let fetching = fetch(&edge, &key, ask, flight, reason, &progress);
        fly(&edge, &key, flight, &progress, fetching).await;
    });
    watch
}

/// Runs a fetch to its landing, even if it panics: publishes first, frees the key then, wakes everyone last.
async fn fly(
    edge: &Edge,
    key: &Key,
    flight: Flight,
    progress: &watch::Sender<Progress>,
    fetching: impl Future<Output = Landing>,
) {
    let landing = AssertUnwindSafe(fetching)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(?key, "a fetch panicked: this is a defect of Seawall");
            Landing::Failed(FetchError::Panicked, None)
        });
    match flight {
        Flight::Listed(generation) => {
            let publish = || publish(edge, key, Some(generation), &landing);
            if let Some(landed) = edge.flights.land(key, generation, publish) {
                edge.metrics.landed(key.as_ref().kind(), landed.followers);
                if let (Landing::Object(object, _), 1..) = (&landing, landed.followers) {
                    edge.asked_for(object);
                }
            }
        }
        Flight::Alone => publish(edge, key, None, &landing),
    }
    if let Landing::Object(..) = landing {
        edge.store.evict();
    }
    progress.send_modify(|progress| progress.landing = Some(landing));
}

/// Writes into the store what a landing means for the key.
fn publish(edge: &Edge, key: &Key, generation: Option<Generation>, landing: &Landing) {
    let now = edge.clock.now();
    let before = edge.store.get(key.as_ref());
    let mut entry = match landing {
        Landing::Object(object, _) => Entry {
            object: Some(object.clone()),
            ..Entry::default()
        },
        Landing::Refused(status, span) => {
            let failure = Failure {
                negative: Negative::after_refusal(now, *span),
                status: *status,
            };
            Entry {
                failure: Some(failure),
                ..Entry::default()
            }
        }
        Landing::Private => Entry {
            pass_until: Some(now + PASS),
            ..Entry::default()
        },
        // A bound of ours, or a defect of ours, says nothing about the object.
        // So does a request that has gone round between caches.
        Landing::Failed(
            FetchError::Shed(_) | FetchError::Panicked | FetchError::Status(508),
            _,
        ) => return,
        Landing::Failed(error, retry_after) => {
            let earlier = before
                .as_ref()
                .and_then(|entry| entry.failure)
                .map(|failure| failure.negative);
            let negative = Negative::after_error(now, earlier, *retry_after);
            let object = before.and_then(|entry| entry.object.clone());
            Entry {
                object,
                failure: Some(Failure {
                    negative,
                    status: super::answer::status_of(*error),
                }),
                ..Entry::default()
            }
        }
    };
    entry.landing = Some(LastLanding {
        outcome: landing.word(),
        generation,
        at: now,
    });
    edge.store.put(key.clone(), entry);
}

/// Asks the origin, again if need be, and reads its answer to the end, within every bound.
pub(super) async fn fetch(
    edge: &Arc<Edge>,
    key: &Key,
    ask: Ask,
    flight: Flight,
    reason: Reason,
    progress: &watch::Sender<Progress>,
) -> Landing {
    let fetch = Fetch {
        edge,
        key,
        ask,
        flight,
        class: class_of(edge, key, reason),
        ahead: reason == Reason::Prefetch,
        ends_at: edge.clock.now() + edge.limits().total,
        progress,
        etag: None,
        validity: None,
        received: 0,
        held_bytes: HeldBytes { edge, bytes: 0 },
    };
    fetch.run(reason).await
}

/// How urgently a key is needed.
fn class_of(edge: &Edge, key: &Key, reason: Reason) -> Class {
    match (reason, key) {
        (Reason::Refresh | Reason::Prefetch, _) => Class::Background,
        (_, Key::Foreign { .. }) => Class::Older,
        (
            _,
            Key::Live {
                kind: Kind::Segment,
                number,
                ..
            },
        ) => edge
            .renditions
            .newest(key.as_ref())
            .map_or(Class::LiveEdge, |newest| newest.borrow().class_of(*number)),
        _ => Class::LiveEdge,
    }
}

/// A fetch under way.
struct Fetch<'a> {
    edge: &'a Arc<Edge>,
    key: &'a Key,
    ask: Ask,
    flight: Flight,
    class: Class,
    /// Whether it was begun before anybody asked.
    ahead: bool,
    /// When it must have landed.
    ends_at: Timestamp,
    progress: &'a watch::Sender<Progress>,
    /// The strong tag of what has come in so far: only that may be continued.
    etag: Option<HeaderValue>,
    /// Until when what has come in so far may be served.
    validity: Option<Validity>,
    received: u64,
    held_bytes: HeldBytes<'a>,
}

impl Fetch<'_> {
    async fn run(mut self, mut reason: Reason) -> Landing {
        let mut failures = 0;
        let mut hold = None;
        loop {
            let landing = self.attempt(reason, failures).await;
            match landing {
                Landing::Failed(FetchError::Shed(Shed::Background), _) if self.is_waited_for() => {
                    // Nobody waited when it began; now somebody does, and so it may queue.
                    self.class = class_of(self.edge, self.key, Reason::Miss);
                    self.ahead = false;
                    reason = Reason::Miss;
                }
                Landing::Failed(error, retry_after)
                    if self.can_go_on()
                        && self
                            .edge
                            .upstream
                            .may_retry(failures + 1, error, retry_after) =>
                {
                    failures += 1;
                    let streamed = self.received > 0 && self.is_streamed();
                    reason = if streamed {
                        Reason::Resume
                    } else {
                        Reason::Retry
                    };
                    tokio::time::sleep(retry::pause(failures)).await;
                }
                Landing::Refused(StatusCode::NOT_FOUND, _) => {
                    let hold =
                        hold.get_or_insert_with(|| Hold::begin(self.edge, self.key, &self.ask));
                    let again = match hold {
                        Some(hold) => hold.until_it_may_be_there().await,
                        None => false,
                    };
                    if !again {
                        return self.absent(StatusCode::NOT_FOUND);
                    }
                    reason = Reason::Hold;
                }
                landing => {
                    if matches!(landing, Landing::Object(..)) {
                        self.edge.upstream.filled();
                    }
                    return landing;
                }
            }
        }
    }

    /// Whether what has come in so far can be added to, or done anew without a viewer seeing it.
    fn can_go_on(&self) -> bool {
        !self.is_streamed() || self.etag.is_some() || self.progress.borrow().head.is_none()
    }

    /// Whether viewers get the bytes as they come in. Playlists are handed out whole.
    fn is_streamed(&self) -> bool {
        matches!(self.key.as_ref().kind(), Kind::Segment | Kind::Other)
    }

    /// Whether somebody waits for its head, or reads its body already.
    fn is_waited_for(&self) -> bool {
        match self.flight {
            _ if self.progress.borrow().head.is_some() => true,
            Flight::Listed(generation) => !self.edge.flights.abandon(self.key, generation),
            Flight::Alone => true,
        }
    }

    /// Ends when nobody waits for a fetch that is not urgent: then it need not be begun.
    async fn deserted(&self) {
        let Flight::Listed(generation) = self.flight else {
            return std::future::pending().await;
        };
        if self.class == Class::LiveEdge || self.progress.borrow().head.is_some() {
            // Somebody else will ask for it in a moment, or reads what has come in so far.
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.edge.flights.abandon(self.key, generation) {
                return;
            }
        }
    }

    /// A 4xx. A 404 is remembered for as long as its reason lasts.
    fn absent(&self, status: StatusCode) -> Landing {
        if !matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Landing::Refused(status, Duration::from_secs(1));
        }
        let span = match (self.key, self.edge.renditions.newest(self.key.as_ref())) {
            (
                Key::Live {
                    kind: Kind::Segment,
                    number,
                    ..
                },
                Some(newest),
            ) => {
                let newest = *newest.borrow();
                newest
                    .absence_of(*number)
                    .remembered(newest.target_duration)
            }
            _ => Duration::from_secs(1),
        };
        Landing::Refused(status, span)
    }

    /// One request to the origin, counted by its reason; the server hears how it went.
    async fn attempt(&mut self, reason: Reason, failures: u32) -> Landing {
        let edge = self.edge;
        let shed = |shed| Landing::Failed(FetchError::Shed(shed), None);
        let _place = match edge.upstream.place(self.class, self.deserted()).await {
            Ok(place) => place,
            Err(why) => return shed(why),
        };
        let server = match edge.upstream.server_for(self.key, failures) {
            Ok(server) => server,
            Err(why) => return shed(why),
        };
        let begun = edge.clock.now();
        let counted = edge.metrics.fetch_begins(self.key.as_ref().kind());
        let _under_way = UnderWay::begin(edge, self.key);
        let ends_at = edge.clock.instant(self.ends_at);
        let landing = match tokio::time::timeout_at(ends_at, self.receive(server)).await {
            Ok(Ok(landing)) => landing,
            Ok(Err(error)) => Landing::Failed(error, None),
            Err(_) => Landing::Failed(FetchError::TotalTimeout, None),
        };
        let viewer_chose = matches!(self.key, Key::Foreign { .. });
        let health = match &landing {
            Landing::Failed(error, _) => retry::health_after(*error, viewer_chose),
            _ => Health::Well,
        };
        edge.upstream.ended(server, health);
        counted.ends(reason, &landing, edge.clock.now().since(begun));
        landing
    }

    async fn receive(&mut self, server: ServerIndex) -> Result<Landing, FetchError> {
        let edge = self.edge;
        let begun = edge.clock.now();
        if !self.is_streamed() {
            self.begin_anew();
        }
        let resume = self
            .etag
            .as_ref()
            .filter(|_| self.received > 0)
            .map(|etag| (self.received, etag));
        let (path, came_through) = (self.ask.path.clone(), self.ask.came_through.as_ref());
        let response = edge
            .upstream
            .get(server, path, resume, came_through)
            .await?;
        if self.progress.borrow().head.is_some() {
            self.go_on(response).await
        } else {
            self.first(response, begun).await
        }
    }

    /// Forgets what an earlier attempt brought, which no viewer has seen.
    fn begin_anew(&mut self) {
        self.received = 0;
        self.etag = None;
        self.progress.send_modify(|progress| {
            progress.head = None;
            progress.chunks.clear();
        });
    }

    /// Reads the answer that decides what viewers get.
    async fn first(
        &mut self,
        response: http::Response<hyper::body::Incoming>,
        begun: Timestamp,
    ) -> Result<Landing, FetchError> {
        let (edge, key) = (self.edge, self.key);
        let (parts, body) = response.into_parts();
        let implicit = if matches!(key, Key::Live { .. }) {
            Implicit::Shared
        } else {
            Implicit::Private
        };
        let lifetime = match sharing::judge(parts.status, &parts.headers, implicit) {
            Sharing::Shared { lifetime } => lifetime,
            Sharing::Private => return Ok(Landing::Private),
            Sharing::Refused => return Ok(self.absent(parts.status)),
            Sharing::Failed { retry_after } => {
                let error = FetchError::Status(parts.status.as_u16());
                return Ok(Landing::Failed(error, retry_after));
            }
        };
        let announced = body.size_hint().exact();
        if announced.is_some_and(|length| length > edge.limits().body_bytes_max) {
            // Foreign objects of any size pass through; a live segment of this size is a mistake.
            return match key {
                Key::Live { .. } => Err(FetchError::TooLarge),
                Key::Foreign { .. } => Ok(Landing::Private),
            };
        }
        let landed_age = sharing::age(&parts.headers);
        let now = edge.clock.now();
        let kind = key.as_ref().kind();
        let validity_of = |playlist| match key {
            Key::Live { .. } => Validity::of_live(now, landed_age, kind, playlist),
            Key::Foreign { .. } => {
                Validity::of_foreign(now, landed_age, lifetime.unwrap_or_default())
            }
        };
        let head = Arc::new(Head {
            headers: head::viewer_headers(key, &parts.headers, edge.upstream.via()),
            length: announced,
            waited: now.since(begun),
            ttl_s: validity_of(None).ttl_s(now),
            cache_status: parts.headers.get("cache-status").cloned(),
        });
        self.etag = parts
            .headers
            .get(ETAG)
            .filter(|etag| etag.as_bytes().starts_with(b"\"") && announced.is_some())
            .cloned();
        self.validity = Some(validity_of(None));
        self.progress
            .send_modify(|progress| progress.head = Some(head.clone()));
        self.read(body, 0).await?;
        let body = self.whole(announced)?;
        let facts = (kind == Kind::MediaPlaylist)
            .then(|| hls::facts::of_media_playlist(&body))
            .flatten();
        if let Some(facts) = facts {
            match edge.renditions.landed(key, facts, now) {
                Fit::Older => {
                    edge.metrics.regressions_blocked.inc();
                    return Err(FetchError::Outdated);
                }
                Fit::Newer(Some(listed)) => newly_listed(edge, key, listed),
                Fit::Reset => edge.forget_absences(key),
                Fit::Newer(None) => {}
            }
        }
        let object = Object::new(head.headers.clone(), body, validity_of(facts), self.ahead);
        Ok(Landing::Object(Arc::new(object), head))
    }

    /// Reads an answer that continues what viewers have already begun to read.
    async fn go_on(
        &mut self,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Landing, FetchError> {
        let head = self.progress.borrow().head.clone();
        let (parts, body) = response.into_parts();
        if parts.status.is_server_error() {
            return Err(FetchError::Status(parts.status.as_u16()));
        }
        let (head, length) = head
            .and_then(|head| Some((head.clone(), head.length?)))
            .ok_or(FetchError::Changed)?;
        let expected = format!(
            "bytes {}-{}/{length}",
            self.received,
            length.saturating_sub(1)
        );
        let same = self.etag.is_some() && parts.headers.get(ETAG) == self.etag.as_ref();
        let skip = match parts.status {
            StatusCode::PARTIAL_CONTENT
                if parts
                    .headers
                    .get(CONTENT_RANGE)
                    .is_some_and(|range| range == &expected) =>
            {
                0
            }
            StatusCode::OK if body.size_hint().exact() == Some(length) => self.received,
            _ => return Err(FetchError::Changed),
        };
        if !same {
            return Err(FetchError::Changed);
        }
        self.read(body, skip).await?;
        let body = self.whole(Some(length))?;
        let validity = self.validity.ok_or(FetchError::Changed)?;
        let object = Object::new(head.headers.clone(), body, validity, self.ahead);
        Ok(Landing::Object(Arc::new(object), head))
    }

    /// Adds a body to what has come in, but for its first `skip` bytes.
    async fn read(
        &mut self,
        mut body: hyper::body::Incoming,
        mut skip: u64,
    ) -> Result<(), FetchError> {
        let edge = self.edge;
        while let Some(mut chunk) = upstream::next_chunk(&mut body, &edge.limits()).await? {
            edge.metrics.origin_bytes.inc_by(chunk.len() as u64);
            let skipped = skip.min(chunk.len() as u64);
            chunk.advance(skipped as usize);
            skip -= skipped;
            if chunk.is_empty() {
                continue;
            }
            self.received += chunk.len() as u64;
            if self.received > edge.limits().body_bytes_max {
                return Err(FetchError::TooLarge);
            }
            self.held_bytes
                .more(chunk.len() as u64)
                .map_err(FetchError::Shed)?;
            self.progress
                .send_modify(|progress| progress.chunks.push(chunk));
        }
        Ok(())
    }

    fn whole(&self, announced: Option<u64>) -> Result<Bytes, FetchError> {
        if announced.is_some_and(|length| length != self.received) {
            return Err(FetchError::Truncated);
        }
        Ok(joined(&self.progress.borrow().chunks, self.received))
    }
}

/// What a playlist lists for the first time is there now: a remembered 404 of it is forgotten, and it is fetched ahead,
/// so that the first viewer who asks finds at least its flight.
fn newly_listed(edge: &Arc<Edge>, playlist: &Key, numbers: std::ops::RangeInclusive<u64>) {
    /// A playlist that jumps far ahead is no reason to fetch everything between.
    const AHEAD_MAX: usize = 4;
    let Key::Live {
        channel, rendition, ..
    } = playlist
    else {
        return;
    };
    for number in numbers.rev().take(AHEAD_MAX) {
        let key = KeyRef::Live {
            channel,
            rendition,
            kind: Kind::Segment,
            number,
        };
        let owned = key.to_key();
        let known = edge.flights.between(&owned, || {
            let entry = edge.store.get(key)?;
            let known = entry.object.is_some();
            if !known {
                edge.store.forget(&owned);
                edge.metrics.negatives_purged.inc();
            }
            Some(known)
        });
        if known == Some(true) {
            continue;
        }
        if !edge.prefetch || edge.miss_queue != MissQueue::Flights {
            continue;
        }
        let path = LivePath::Segment {
            channel,
            rendition,
            number,
        };
        let ask = Ask {
            path: path.to_string().parse().expect("names are path-safe"),
            came_through: None,
        };
        let settled = || {
            edge.store
                .get(key)
                .is_some_and(|entry| entry.object.is_some())
        };
        edge.flights.refresh(key, settled, |key, generation| {
            begin(edge, key, ask, Flight::Listed(generation), Reason::Prefetch)
        });
    }
}

/// A fetch that waits for a segment which is about to be there; dropping it gives its place among the held ones back.
struct Hold<'a> {
    held: &'a AtomicUsize,
    news: watch::Receiver<crate::policy::freshness::PlaylistFacts>,
    number: u64,
    edge: &'a Edge,
    until: Timestamp,
}

impl<'a> Hold<'a> {
    /// `None` where nothing is known that would be worth waiting for, or too many are held already.
    fn begin(edge: &'a Edge, key: &Key, ask: &Ask) -> Option<Self> {
        let Key::Live {
            kind: Kind::Segment,
            number,
            ..
        } = *key
        else {
            return None;
        };
        if edge.miss_queue != MissQueue::Flights {
            return None;
        }
        let news = edge.renditions.newest(key.as_ref())?;
        let newest = *news.borrow();
        if !newest.absence_of(number).is_held() {
            return None;
        }
        // A cache that asks waits for a head as long as we would; it holds by itself what takes longer.
        let longest = if ask.came_through.is_some() {
            edge.limits().first_byte / 2
        } else {
            edge.limits().total / 2
        };
        let hold = Self {
            held: &edge.held,
            news,
            number,
            edge,
            until: edge.clock.now() + newest.target_duration.min(longest),
        };
        let before = edge.held.fetch_add(1, Ordering::Relaxed);
        (before < edge.limits().held_max).then_some(hold)
    }

    /// Waits until the segment is listed, or a while; `false` once it has been held for long enough.
    async fn until_it_may_be_there(&mut self) -> bool {
        let now = self.edge.clock.now();
        if now >= self.until {
            return false;
        }
        let newest = *self.news.borrow();
        let listed = newest.absence_of(self.number) == Absence::Listed;
        // Listed and not there: it comes any moment. Not listed yet: a playlist will tell, unless nobody asks for one.
        let pause = newest.target_duration / if listed { 8 } else { 2 };
        let pause = pause.min(self.until.since(now));
        let number = self.number;
        if listed {
            tokio::time::sleep(pause).await;
        } else {
            let told = self
                .news
                .wait_for(|newest| newest.absence_of(number) != Absence::Next);
            if let Ok(Err(_)) = tokio::time::timeout(pause, told).await {
                // The rendition is not remembered any more: nothing will be told.
                return false;
            }
        }
        self.news.borrow().absence_of(number).is_held()
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

fn joined(chunks: &[Bytes], length: u64) -> Bytes {
    match chunks {
        [] => Bytes::new(),
        [whole] => whole.clone(),
        parts => {
            let mut body = BytesMut::with_capacity(length as usize);
            parts.iter().for_each(|part| body.extend_from_slice(part));
            body.freeze()
        }
    }
}

/// A request to the origin that is counted as under way for its key until this is dropped.
struct UnderWay<'a> {
    edge: &'a Edge,
    key: &'a Key,
    number: u64,
}

impl<'a> UnderWay<'a> {
    fn begin(edge: &'a Edge, key: &'a Key) -> Self {
        let (number, others) = edge.upstream.fetch_begins(key);
        if others > 0 {
            edge.metrics.duplicate_fetches.inc();
        }
        Self { edge, key, number }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.edge.upstream.fetch_ends(self.key, self.number);
    }
}

/// Bytes that one flight holds; given back when it ends, however it ends.
struct HeldBytes<'a> {
    edge: &'a Edge,
    bytes: u64,
}

impl HeldBytes<'_> {
    fn more(&mut self, bytes: u64) -> Result<(), Shed> {
        self.bytes += bytes;
        self.edge.upstream.hold(bytes)
    }
}

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.edge.upstream.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::collapse::Boarding;
    use crate::policy::key::KeyRef;
    use crate::policy::limits::Limits;
    use crate::policy::status::MissQueue;
    use crate::serve::clock::Clock;
    use crate::serve::edge::Config;

    const KEY: KeyRef<'_> = KeyRef::Live {
        channel: "demo",
        rendition: "720p",
        kind: Kind::Segment,
        number: 7,
    };

    #[tokio::test]
    async fn a_fetch_that_panics_fails_its_waiters_and_frees_its_key() {
        let config = Config {
            name: "edge-t".to_owned(),
            upstreams: vec!["http://127.0.0.1:9".to_owned()],
            prefetch: true,
            miss_queue: MissQueue::Flights,
            cache_bytes: 1 << 20,
            limits: Limits::default(),
            access_log: None,
        };
        let edge = Edge::new(config, Clock::start()).unwrap();
        let begin = |key: &Key, generation| {
            let (progress, watch) = watch::channel(Progress::default());
            let (edge, key) = (edge.clone(), key.clone());
            tokio::spawn(async move {
                let panics = async { panic!("on purpose") };
                fly(&edge, &key, Flight::Listed(generation), &progress, panics).await;
            });
            watch
        };
        for _ in 0..2 {
            let boarding = edge
                .flights
                .board(KEY, &edge.limits(), || None::<()>, begin);
            let Err(Boarding::Lead(_, mut seat)) = boarding else {
                panic!("the key is free")
            };
            let landed = seat
                .watch
                .wait_for(|progress| progress.landing.is_some())
                .await
                .unwrap();
            assert!(matches!(
                landed.landing,
                Some(Landing::Failed(FetchError::Panicked, _))
            ));
            assert_eq!(edge.flights_under_way(), 0);
        }
        assert!(
            edge.store.get(KEY).is_none(),
            "a defect of ours is not remembered of the object"
        );
    }
}
