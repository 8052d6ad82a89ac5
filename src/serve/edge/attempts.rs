//! The attempts of one fetch: asked again within a budget, at another server where there is one, and held while what is
//! asked for is about to be published.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::sync::watch;

use super::Edge;
use super::fetch::{Ask, Flight};
use super::fill::HeldBytes;
use super::flights::{Landing, Progress};
use super::hold::Hold;
use super::metrics::Reason;
use crate::policy::admission::Class;
use crate::policy::freshness::Validity;
use crate::policy::key::{Key, Kind};
use crate::policy::retry::{self, Health};
use crate::policy::status::{FetchError, Shed};
use crate::time::Timestamp;

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
        last: None,
        held_bytes: HeldBytes::none(edge),
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
pub(super) struct Fetch<'a> {
    pub(super) edge: &'a Arc<Edge>,
    pub(super) key: &'a Key,
    pub(super) ask: Ask,
    flight: Flight,
    class: Class,
    /// Whether it was begun before anybody asked.
    pub(super) ahead: bool,
    /// When it must have landed.
    ends_at: Timestamp,
    pub(super) progress: &'a watch::Sender<Progress>,
    /// The strong tag of what has come in so far: only that may be continued.
    pub(super) etag: Option<HeaderValue>,
    /// Until when what has come in so far may be served.
    pub(super) validity: Option<Validity>,
    pub(super) received: u64,
    /// The end of a whole body, which viewers get once it is stored.
    pub(super) last: Option<Bytes>,
    pub(super) held_bytes: HeldBytes<'a>,
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
                    self.edge.metrics.goes_on(reason);
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
        let unseen = self.received == 0 || self.progress.borrow().head.is_none();
        !self.is_streamed() || self.etag.is_some() || unseen
    }

    /// Whether viewers get the bytes as they come in. Playlists are handed out whole.
    pub(super) fn is_streamed(&self) -> bool {
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
    pub(super) fn absent(&self, status: StatusCode) -> Landing {
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
