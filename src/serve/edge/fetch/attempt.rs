//! One attempt of a flight: the head that decides what viewers get, and the body as it comes in. A body that broke off
//! is continued only by the rest of the same body.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_RANGE, ETAG};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::sync::watch;

use super::order::{Ask, Listing};
use crate::hls;
use crate::policy::admission::Class;
use crate::policy::flight::{Attempt, Flight, Reason};
use crate::policy::freshness::Validity;
use crate::policy::key::{Key, Kind};
use crate::policy::rendition::{Due, Fit, PlaylistFacts, Sighting};
use crate::policy::retry::{self, Health};
use crate::policy::sharing::{self, Implicit, Sharing};
use crate::policy::status::FetchError;
use crate::serve::edge::flights::{Head, Progress};
use crate::serve::edge::node::Edge;
use crate::serve::edge::request::head;
use crate::serve::edge::upstream::{self, ServerIndex};
use crate::time::Timestamp;

/// A flight that is not urgent is given up after this time without a waiter.
const DESERTED_AFTER: Duration = Duration::from_millis(100);

/// What the answer to one request brought.
enum Brought {
    Whole(Whole),
    /// No object; the attempt says how the request ended.
    Nothing(Attempt),
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) head: Arc<Head>,
    pub(super) body: Bytes,
    /// Until when the answer may be served, before it is known when the next segment is due.
    pub(super) validity: Validity,
    /// What the answer tells of its rendition, if it is a media playlist.
    pub(super) news: Option<News>,
}

/// What a media playlist tells of its rendition.
pub(super) struct News {
    pub(super) facts: PlaylistFacts,
    pub(super) fit: Fit,
    pub(super) due: Due,
}

/// A fetch under way.
pub(super) struct Fetch<'a> {
    edge: &'a Edge,
    key: &'a Key,
    ask: Ask,
    listing: Listing,
    /// Decides what is done.
    pub(super) flight: Flight,
    progress: &'a watch::Sender<Progress>,
    /// The strong tag of the body so far: only a body with this tag may be continued.
    etag: Option<HeaderValue>,
    /// Until when the body so far may be served.
    validity: Option<Validity>,
    /// The last chunk of a whole body, which viewers get once the object is stored.
    last: Option<Bytes>,
    held_bytes: HeldBytes<'a>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        edge: &'a Edge,
        key: &'a Key,
        ask: Ask,
        listing: Listing,
        flight: Flight,
        progress: &'a watch::Sender<Progress>,
    ) -> Self {
        Self {
            edge,
            key,
            ask,
            listing,
            flight,
            progress,
            etag: None,
            validity: None,
            last: None,
            held_bytes: HeldBytes { edge, bytes: 0 },
        }
    }
}

impl Fetch<'_> {
    /// One request to the origin. It is counted by its reason, and its health is reported to the server's breaker.
    pub(super) async fn attempt(
        &mut self,
        class: Class,
        reason: Reason,
    ) -> (Attempt, Option<Whole>) {
        let edge = self.edge;
        let shed = |shed| (Attempt::Failed(FetchError::Shed(shed), None), None);
        let _permit = match edge.upstream.permit(class, self.deserted()).await {
            Ok(permit) => permit,
            Err(why) => return shed(why),
        };
        let server = match edge.upstream.server_for(self.key, self.flight.failures()) {
            Ok(server) => server,
            Err(why) => return shed(why),
        };
        let begun = edge.clock.now();
        let counted = edge.metrics.fetch_begins(self.key.as_ref().kind());
        let _under_way = UnderWay::begin(edge, self.key);
        let ends_at = edge.clock.instant(self.flight.ends_at());
        let (ended, whole) = match tokio::time::timeout_at(ends_at, self.receive(server)).await {
            Ok(Ok(Brought::Whole(whole))) => (Attempt::Whole, Some(whole)),
            Ok(Ok(Brought::Nothing(attempt))) => (attempt, None),
            Ok(Err(error)) => (Attempt::Failed(error, None), None),
            Err(_) => (Attempt::Failed(FetchError::TotalTimeout, None), None),
        };
        let health = match ended {
            Attempt::Failed(error, _) => retry::health_after(error, self.flight.subject().foreign),
            _ => Health::Well,
        };
        edge.upstream.ended(server, health);
        counted.ends(reason, &ended, edge.clock.now().since(begun));
        (ended, whole)
    }

    /// Ends when no request waits for a flight that is not urgent: then the flight need not ask.
    async fn deserted(&self) {
        let Listing::Listed(generation) = self.listing else {
            return std::future::pending().await;
        };
        if !self.flight.may_be_deserted() {
            // A viewer will ask for it in a moment, or reads what has come in so far.
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(DESERTED_AFTER).await;
            if self.edge.flights.abandon(self.key, generation) {
                return;
            }
        }
    }

    /// Asks a server and reads its answer to the end.
    async fn receive(&mut self, server: ServerIndex) -> Result<Brought, FetchError> {
        let edge = self.edge;
        let begun = edge.clock.now();
        if !self.flight.subject().is_streamed() {
            self.begin_anew();
        }
        let resume = self
            .etag
            .as_ref()
            .filter(|_| self.flight.bytes() > 0)
            .map(|etag| (self.flight.bytes(), etag));
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

    /// Forgets what an earlier attempt brought, because no viewer has seen it.
    fn begin_anew(&mut self) {
        self.flight.begins_anew();
        self.last = None;
        self.etag = None;
        self.progress.send_modify(|progress| {
            progress.head = None;
            progress.chunks.clear();
        });
    }

    /// Reads the answer that decides what viewers get.
    async fn first(
        &mut self,
        response: Response<Incoming>,
        begun: Timestamp,
    ) -> Result<Brought, FetchError> {
        let (edge, key) = (self.edge, self.key);
        let (parts, body) = response.into_parts();
        let implicit = if matches!(key, Key::Live { .. }) {
            Implicit::Shared
        } else {
            Implicit::Private
        };
        let lifetime = match sharing::judge(parts.status, &parts.headers, implicit) {
            Sharing::Shared { lifetime } => lifetime,
            Sharing::Private => return Ok(Brought::Nothing(Attempt::Private)),
            Sharing::Refused => return Ok(Brought::Nothing(Attempt::Refused(parts.status))),
            Sharing::Failed { retry_after } => {
                let error = FetchError::Status(parts.status.as_u16());
                return Ok(Brought::Nothing(Attempt::Failed(error, retry_after)));
            }
        };
        let announced = body.size_hint().exact();
        if announced.is_some_and(|length| length > edge.limits().body_bytes_max) {
            // A foreign object that is too large is passed through unshared; a live segment of this size is a mistake.
            return match key {
                Key::Live { .. } => Err(FetchError::TooLarge),
                Key::Foreign { .. } => Ok(Brought::Nothing(Attempt::Private)),
            };
        }
        // A body without room is refused before a viewer has the head, instead of being cut off later.
        self.held_bytes.at_least(announced.unwrap_or_default())?;
        let landed_age = sharing::age(&parts.headers);
        let now = edge.clock.now();
        let kind = key.as_ref().kind();
        let validity_of = |playlist| match key {
            Key::Live { .. } => {
                let fresh = edge.limits().playlist_fresh_percent;
                Validity::of_live(now, landed_age, lifetime, kind, playlist, fresh)
            }
            Key::Foreign { .. } => {
                Validity::of_foreign(now, landed_age, lifetime.unwrap_or_default())
            }
        };
        let head = Arc::new(Head {
            headers: head::viewer_headers(key, &parts.headers, edge.upstream.via()),
            length: announced,
            waited: now.since(begun),
            told_at: now,
            ttl_s: validity_of(None).ttl_s(now),
            cache_status: parts.headers.get("cache-status").map(head::detached),
        });
        self.etag = parts
            .headers
            .get(ETAG)
            .filter(|etag| etag.as_bytes().starts_with(b"\"") && announced.is_some())
            .cloned();
        self.validity = Some(validity_of(None));
        self.flight.head_is_shown(self.etag.is_some());
        self.progress
            .send_modify(|progress| progress.head = Some(head.clone()));
        self.read(body, 0, announced).await?;
        let body = self.whole(announced)?;
        let facts = (kind == Kind::MediaPlaylist)
            .then(|| hls::facts::of_media_playlist(&body))
            .flatten();
        let validity = validity_of(facts);
        let mut news = None;
        if let Some(facts) = facts {
            let sighting = Sighting::of_answer(begun, now, landed_age);
            let (fit, due) = edge.renditions.landed(key, facts, sighting, now);
            let seen_at = edge.clock.unix_at(now);
            edge.playlists.landed(key, &fit, facts.last, seen_at);
            if fit == Fit::Older {
                edge.metrics.regressions_blocked.inc();
                return Err(FetchError::Outdated);
            }
            news = Some(News { facts, fit, due });
        }
        Ok(Brought::Whole(Whole {
            head,
            body,
            validity,
            news,
        }))
    }

    /// Reads an answer that continues an object which viewers have already begun to read.
    async fn go_on(&mut self, response: Response<Incoming>) -> Result<Brought, FetchError> {
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
            self.flight.bytes(),
            length.saturating_sub(1)
        );
        let etag = parts.headers.get(ETAG);
        let same = match (self.flight.bytes(), &self.etag) {
            // Viewers have only the head: another body of the same length will do if its tag is the same, or if neither
            // has one.
            (0, None) => etag == head.headers.get(ETAG),
            (_, None) => false,
            (_, strong) => etag == strong.as_ref(),
        };
        let skip = match parts.status {
            StatusCode::PARTIAL_CONTENT
                if parts
                    .headers
                    .get(CONTENT_RANGE)
                    .is_some_and(|range| range == &expected) =>
            {
                0
            }
            StatusCode::OK if body.size_hint().exact() == Some(length) => self.flight.bytes(),
            _ => return Err(FetchError::Changed),
        };
        if !same {
            return Err(FetchError::Changed);
        }
        self.read(body, skip, Some(length)).await?;
        let body = self.whole(Some(length))?;
        let validity = self.validity.ok_or(FetchError::Changed)?;
        Ok(Brought::Whole(Whole {
            head,
            body,
            validity,
            news: None,
        }))
    }

    /// Adds a body to what has come in, but for its first `skip` bytes. The chunk that completes the `announced` length
    /// is held back. A viewer has the whole object only when the store has it too, so a later request cannot miss.
    async fn read(
        &mut self,
        mut body: Incoming,
        mut skip: u64,
        announced: Option<u64>,
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
            self.flight.received(chunk.len() as u64);
            let received = self.flight.bytes();
            if received > edge.limits().body_bytes_max {
                return Err(FetchError::TooLarge);
            }
            self.held_bytes.at_least(received)?;
            if Some(received) == announced {
                self.last = Some(chunk);
            } else {
                self.progress
                    .send_modify(|progress| progress.chunks.push(chunk));
            }
        }
        Ok(())
    }

    fn whole(&self, announced: Option<u64>) -> Result<Bytes, FetchError> {
        if announced.is_some_and(|length| length != self.flight.bytes()) {
            return Err(FetchError::Truncated);
        }
        let progress = self.progress.borrow();
        let parts: Vec<_> = progress.chunks.iter().chain(&self.last).cloned().collect();
        Ok(joined(&parts, self.flight.bytes()))
    }
}

fn joined(chunks: &[Bytes], length: u64) -> Bytes {
    match chunks {
        [] => Bytes::new(),
        // A copy, because the piece may be a small part of a large read buffer.
        [whole] => Bytes::copy_from_slice(whole),
        parts => {
            let mut body = BytesMut::with_capacity(length as usize);
            parts.iter().for_each(|part| body.extend_from_slice(part));
            body.freeze()
        }
    }
}

/// Bytes that one flight holds; they are given back when the flight ends, in every case.
struct HeldBytes<'a> {
    edge: &'a Edge,
    bytes: u64,
}

impl HeldBytes<'_> {
    /// Counts as many more bytes as this total needs.
    fn at_least(&mut self, bytes: u64) -> Result<(), FetchError> {
        let more = bytes.saturating_sub(self.bytes);
        self.edge.upstream.hold(more).map_err(FetchError::Shed)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.edge.upstream.release(self.bytes);
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
