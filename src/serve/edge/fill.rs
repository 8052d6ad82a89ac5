//! What one attempt brings: the head that decides what viewers get, and the body as it comes in. A body that broke off
//! is continued only by the rest of the very same one.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_RANGE, ETAG};
use http::{Response, StatusCode};
use hyper::body::{Body, Incoming};

use super::Edge;
use super::attempts::Fetch;
use super::flights::{Head, Landing};
use super::store::Object;
use super::upstream::{self, ServerIndex};
use super::{head, listed};
use crate::hls;
use crate::policy::freshness::Validity;
use crate::policy::key::{Key, Kind};
use crate::policy::rendition::{Fit, Sighting};
use crate::policy::sharing::{self, Implicit, Sharing};
use crate::policy::status::FetchError;
use crate::time::Timestamp;

impl Fetch<'_> {
    /// Asks a server and reads its answer to the end.
    pub(super) async fn receive(&mut self, server: ServerIndex) -> Result<Landing, FetchError> {
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
        // What finds no room is refused before a viewer has the head, and not cut off later.
        self.held_bytes.at_least(announced.unwrap_or_default())?;
        let landed_age = sharing::age(&parts.headers);
        let now = edge.clock.now();
        let kind = key.as_ref().kind();
        let validity_of = |playlist| match key {
            Key::Live { .. } => {
                let fresh = edge.limits().playlist_fresh_percent;
                Validity::of_live(now, landed_age, kind, playlist, fresh)
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
        self.progress
            .send_modify(|progress| progress.head = Some(head.clone()));
        self.read(body, 0, announced).await?;
        let body = self.whole(announced)?;
        let facts = (kind == Kind::MediaPlaylist)
            .then(|| hls::facts::of_media_playlist(&body))
            .flatten();
        let mut validity = validity_of(facts);
        if let Some(facts) = facts {
            let sighting = Sighting::of_answer(begun, now, landed_age);
            let (fit, due) = edge.renditions.landed(key, facts, sighting, now);
            edge.playlists
                .landed(key, &fit, facts.head, edge.clock.unix_at(now));
            match fit {
                Fit::Older => {
                    edge.metrics.regressions_blocked.inc();
                    return Err(FetchError::Outdated);
                }
                Fit::Newer(Some(numbers)) => {
                    let ahead = listed::newly(edge, key, numbers);
                    // A viewer who gets this playlist finds its segments here.
                    listed::landed(ahead, facts.target_duration / 4).await;
                }
                Fit::Reset => listed::forget_absences(edge, key),
                Fit::Newer(None) => {}
            }
            validity = validity.until_due(edge.clock.now(), due, facts);
        }
        let object = Object::new(head.headers.clone(), body, validity, self.ahead)
            .listing_up_to(facts.map(|facts| facts.head));
        Ok(Landing::Object(Arc::new(object), head))
    }

    /// Reads an answer that continues what viewers have already begun to read.
    async fn go_on(&mut self, response: Response<Incoming>) -> Result<Landing, FetchError> {
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
        let etag = parts.headers.get(ETAG);
        let same = match (self.received, &self.etag) {
            // Viewers have the head alone: another body of the same length and tag, or none, will do.
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
            StatusCode::OK if body.size_hint().exact() == Some(length) => self.received,
            _ => return Err(FetchError::Changed),
        };
        if !same {
            return Err(FetchError::Changed);
        }
        self.read(body, skip, Some(length)).await?;
        let body = self.whole(Some(length))?;
        let validity = self.validity.ok_or(FetchError::Changed)?;
        let object = Object::new(head.headers.clone(), body, validity, self.ahead);
        Ok(Landing::Object(Arc::new(object), head))
    }

    /// Adds a body to what has come in, but for its first `skip` bytes. What completes the `announced` length is held back:
    /// a viewer has the whole only when the store has it too, and so nobody who asks after that viewer can miss.
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
            self.received += chunk.len() as u64;
            if self.received > edge.limits().body_bytes_max {
                return Err(FetchError::TooLarge);
            }
            self.held_bytes.at_least(self.received)?;
            if Some(self.received) == announced {
                self.last = Some(chunk);
            } else {
                self.progress
                    .send_modify(|progress| progress.chunks.push(chunk));
            }
        }
        Ok(())
    }

    fn whole(&self, announced: Option<u64>) -> Result<Bytes, FetchError> {
        if announced.is_some_and(|length| length != self.received) {
            return Err(FetchError::Truncated);
        }
        let progress = self.progress.borrow();
        let parts: Vec<_> = progress.chunks.iter().chain(&self.last).cloned().collect();
        Ok(joined(&parts, self.received))
    }
}

fn joined(chunks: &[Bytes], length: u64) -> Bytes {
    match chunks {
        [] => Bytes::new(),
        // A copy of its own, since the piece may be a small part of a large read buffer.
        [whole] => Bytes::copy_from_slice(whole),
        parts => {
            let mut body = BytesMut::with_capacity(length as usize);
            parts.iter().for_each(|part| body.extend_from_slice(part));
            body.freeze()
        }
    }
}

/// Bytes that one flight holds; given back when it ends, however it ends.
pub(super) struct HeldBytes<'a> {
    edge: &'a Edge,
    bytes: u64,
}

impl<'a> HeldBytes<'a> {
    pub(super) fn none(edge: &'a Edge) -> Self {
        Self { edge, bytes: 0 }
    }

    /// Takes what is missing to this many.
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
