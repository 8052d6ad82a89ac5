//! Performs [`crate::policy::capacity`]: a slot for each request under way, a bounded queue for slots, bodies that leave at
//! the origin's pace.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use prometheus::IntGauge;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::Reply;

use crate::policy::capacity::{Capacity, Latency, Sender};
use crate::serve::clock::Clock;
use crate::serve::metrics::{ORIGIN_WAITING, Registry};
use crate::time::Timestamp;

/// Bytes that leave in one piece if the bandwidth is bounded.
const PIECE_BYTES: usize = 16 << 10;

/// The part of an origin that is used up by requests.
#[derive(Debug)]
pub(super) struct Desk {
    /// `None`: no bound.
    slots: Option<Arc<Semaphore>>,
    queue: u32,
    waiting: AtomicU32,
    waiting_gauge: IntGauge,
    latency: Latency,
    chance: Mutex<ChaCha8Rng>,
    busy: Arc<Mutex<Busy>>,
    /// `None`: no bound.
    sender: Option<Arc<Mutex<Sender>>>,
    clock: Clock,
}

/// A slot for one request; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    since: Timestamp,
    clock: Clock,
    busy: Arc<Mutex<Busy>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let held = self.clock.now().since(self.since);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.ended += held;
        busy.open -= 1;
        busy.open_since -= self.since.since(Timestamp::ZERO);
    }
}

/// How long slots have been held.
#[derive(Debug, Default)]
struct Busy {
    /// By requests that have ended, in sum.
    ended: Duration,
    /// Requests that hold a slot, and the sum of the times since when.
    open: u32,
    open_since: Duration,
}

/// All slots and all places in the queue are taken.
#[derive(Debug)]
pub(super) struct Full;

impl Desk {
    pub(super) fn new(capacity: Capacity, clock: Clock, registry: &Registry) -> Self {
        let slots = |slots: u32| Arc::new(Semaphore::new(slots as usize));
        Self {
            slots: capacity.slots.map(slots),
            queue: capacity.queue,
            waiting: AtomicU32::new(0),
            waiting_gauge: registry.gauge(ORIGIN_WAITING),
            latency: capacity.latency,
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(0)),
            busy: Arc::default(),
            sender: capacity
                .bandwidth_bps
                .map(|bps| Arc::new(Mutex::new(Sender::new(bps)))),
            clock,
        }
    }

    /// Waits for a slot, behind all requests that wait already.
    pub(super) async fn slot(&self) -> Result<Slot, Full> {
        let Some(slots) = &self.slots else {
            return Ok(self.taken(None));
        };
        if let Ok(permit) = slots.clone().try_acquire_owned() {
            return Ok(self.taken(Some(permit)));
        }
        let _waiting = Waiting::begin(self).ok_or(Full)?;
        // The semaphore is never closed.
        let permit = slots.clone().acquire_owned().await.map_err(|_| Full)?;
        Ok(self.taken(Some(permit)))
    }

    fn taken(&self, permit: Option<OwnedSemaphorePermit>) -> Slot {
        let since = self.clock.now();
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.open += 1;
        busy.open_since += since.since(Timestamp::ZERO);
        Slot {
            _permit: permit,
            since,
            clock: self.clock,
            busy: self.busy.clone(),
        }
    }

    /// How long slots have been held so far, in sum.
    pub(super) fn busy(&self) -> Duration {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.clock.now().since(Timestamp::ZERO) * busy.open;
        busy.ended + open.saturating_sub(busy.open_since)
    }

    /// Number of requests that wait for a slot now.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How long the work on one request takes.
    pub(super) fn latency(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        self.latency.draw(&mut chance)
    }

    /// The answer, sent at the origin's pace. The slot is taken until the last byte has left.
    pub(super) fn send(&self, response: Response<Bytes>, slot: Slot) -> warp::reply::Response {
        let Some(sender) = self.sender.clone() else {
            return response.into_response();
        };
        let clock = self.clock;
        let (head, body) = response.into_parts();
        let pieces = futures_util::stream::unfold(
            (body, sender, slot),
            move |(mut body, sender, slot): (Bytes, Arc<Mutex<Sender>>, Slot)| async move {
                if body.is_empty() {
                    return None;
                }
                let piece = body.split_to(PIECE_BYTES.min(body.len()));
                let gone = {
                    let mut sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                    sender.send(clock.now(), piece.len())
                };
                tokio::time::sleep_until(clock.instant(gone)).await;
                Some((Ok::<_, Infallible>(piece), (body, sender, slot)))
            },
        );
        let mut paced = warp::reply::stream(pieces).into_response();
        *paced.status_mut() = head.status;
        *paced.headers_mut() = head.headers;
        paced
    }
}

/// Counts a request as waiting until it is dropped.
struct Waiting<'a>(&'a Desk);

impl<'a> Waiting<'a> {
    /// `None` if all places in the queue are taken.
    fn begin(desk: &'a Desk) -> Option<Self> {
        let more = |waiting| (waiting < desk.queue).then(|| waiting + 1);
        desk.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        desk.waiting_gauge.inc();
        Some(Self(desk))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.waiting_gauge.dec();
    }
}
