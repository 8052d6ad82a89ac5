//! Flights over real sockets: one detached fetch per key, and what its followers see of it.
//!
//! Performs [`crate::policy::collapse`]. A flight is a task of the edge's own; a viewer who leaves frees only a place.
//! Followers watch a [`Progress`] that only grows, each at its own pace, so a slow reader slows no other. When a fetch
//! ends, the store gets the result *before* the flight leaves the table. So at no instant does a request find neither.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::store::Object;
use crate::policy::collapse::{self, Boarding, Generation, Landed};
use crate::policy::flight::Outcome;
use crate::policy::key::{Key, KeyRef, Kind};
use crate::policy::limits::Limits;
use crate::policy::status::FetchError;
use crate::time::Timestamp;

/// What is known of a fetch so far. Once a viewer has seen a part of it, it only grows.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The head of the answer, once it came and may be shared.
    pub head: Option<Arc<Head>>,
    /// The body so far.
    pub chunks: Vec<Bytes>,
    /// How the fetch ended.
    pub landing: Option<Landing>,
    /// When the landing was announced.
    pub landed_at: Timestamp,
}

impl Progress {
    /// The whole body is known: adds the end that is not among the chunks yet.
    pub(super) fn complete(&mut self, body: &Bytes) {
        let here: usize = self.chunks.iter().map(Bytes::len).sum();
        if here < body.len() {
            self.chunks.push(body.slice(here..));
        }
    }
}

/// The head of an answer that is still coming in.
#[derive(Debug)]
pub struct Head {
    /// The headers that viewers get.
    pub headers: HeaderMap,
    /// Length of the body, if the origin announced it.
    pub length: Option<u64>,
    /// Time from the request to this head.
    pub waited: Duration,
    /// When the waiters were told of the head.
    pub told_at: Timestamp,
    /// Seconds for which the object will be fresh, as far as the head alone can tell.
    pub ttl_s: i64,
    /// The `Cache-Status` of the caches before this edge.
    pub cache_status: Option<http::HeaderValue>,
}

/// How a fetch ended: one outcome for all who waited.
#[derive(Clone, Debug)]
pub enum Landing {
    /// A whole object.
    Object(Arc<Object>, Arc<Head>),
    /// The origin refuses the object with this 4xx, mostly 404, which is remembered for this long.
    Refused(StatusCode, Duration),
    /// The answer is not to be shared: each request must ask for itself.
    Private,
    /// The fetch failed; the origin may have said when to come back.
    Failed(FetchError, Option<Duration>),
}

impl Landing {
    /// What policy must know of the landing.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Object(..) => Outcome::Whole,
            Self::Refused(status, span) => Outcome::Refused(*status, *span),
            Self::Private => Outcome::Private,
            Self::Failed(error, retry_after) => Outcome::Failed(*error, *retry_after),
        }
    }

    /// The word of the outcome.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Object(..) => "ok",
            Self::Refused(..) => "refused",
            Self::Private => "private",
            Self::Failed(error, _) => error.word(),
        }
    }
}

/// A flight under way, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectedFlight {
    /// The flight's generation.
    pub generation: u64,
    /// Number of requests that wait for the flight.
    pub waiters: u32,
    /// Number of requests that have joined the flight.
    pub followers: u32,
    /// Number of body bytes that have come in.
    pub bytes: u64,
}

/// A follower's view of a flight.
pub type Watch = watch::Receiver<Progress>;

/// The flights of one edge, in shards so that keys rarely wait for each other's lock.
#[derive(Debug)]
pub struct Table {
    shards: Vec<Mutex<collapse::Flights<Key, Watch>>>,
    hasher: std::hash::RandomState,
    waiters: AtomicU32,
    /// In the order of [`Kind::ALL`].
    of_kind: [Waiters; Kind::ALL.len()],
}

/// Requests for one kind of object that wait for flights.
#[derive(Debug, Default)]
struct Waiters {
    now: AtomicU32,
    /// The most since the last call of [`Table::take_waiters_peak`].
    peak: AtomicU32,
}

impl Table {
    /// A table without flights.
    pub fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(64).collect();
        Self {
            shards,
            hasher: Default::default(),
            waiters: AtomicU32::new(0),
            of_kind: Default::default(),
        }
    }

    /// Runs `look_again` under the lock of the key's shard. If that gives no answer, joins the flight for `key` or
    /// begins one with `begin`.
    pub fn board<A>(
        self: &Arc<Self>,
        key: KeyRef<'_>,
        limits: &Limits,
        look_again: impl FnOnce() -> Option<A>,
        begin: impl FnOnce(&Key, Generation) -> Watch,
    ) -> Result<A, Boarding<Seat>> {
        let owned = key.to_key();
        let mut shard = self.shard(key);
        if let Some(answer) = look_again() {
            return Ok(answer);
        }
        let waiters = self.waiters.load(Ordering::Relaxed);
        let boarding = shard.board(&owned, waiters, limits, |generation| {
            begin(&owned, generation)
        });
        drop(shard);
        Err(match boarding {
            Boarding::Lead(generation, watch) => {
                Boarding::Lead(generation, self.seat(owned, generation, watch))
            }
            Boarding::Follow(generation, watch) => {
                Boarding::Follow(generation, self.seat(owned, generation, watch))
            }
            Boarding::Shed(shed) => Boarding::Shed(shed),
        })
    }

    /// Begins a flight without a waiter, unless one is under way or `settled` finds that none is needed any longer.
    /// Returns whether a flight began.
    pub fn refresh(
        &self,
        key: KeyRef<'_>,
        settled: impl FnOnce() -> bool,
        begin: impl FnOnce(&Key, Generation) -> Watch,
    ) -> bool {
        let owned = key.to_key();
        let mut shard = self.shard(key);
        let begun = !settled()
            && shard
                .refresh(&owned, |generation| begin(&owned, generation))
                .is_some();
        drop(shard);
        begun
    }

    /// Takes a flight out of the table if no request waits for it; returns whether it did.
    pub fn abandon(&self, key: &Key, generation: Generation) -> bool {
        self.shard(key.as_ref()).abandon(key, generation)
    }

    /// Publishes with `publish` and takes a flight that has landed out of the table, in one critical section. A flight
    /// that is no longer in the table publishes nothing: its key was purged, or all waiters had left.
    pub fn land(
        &self,
        key: &Key,
        generation: Generation,
        publish: impl FnOnce(),
    ) -> Option<Landed> {
        let mut shard = self.shard(key.as_ref());
        if shard.is_under_way(key, generation) {
            publish();
        }
        shard.land(key, generation)
    }

    /// Takes a flight out of the table even if requests wait for it, so that its result is not stored. Does `change`
    /// before another flight can begin or land. Returns whether there was a flight.
    pub fn forget<T>(&self, key: &Key, change: impl FnOnce() -> T) -> (bool, T) {
        let mut shard = self.shard(key.as_ref());
        let flew = shard.forget(key);
        (flew, change())
    }

    /// Does `change` while no flight for this key can begin or land.
    pub fn between<T>(&self, key: &Key, change: impl FnOnce() -> T) -> T {
        let _shard = self.shard(key.as_ref());
        change()
    }

    /// The flight for a key, as an operator sees it.
    pub fn look(&self, key: &Key) -> Option<InspectedFlight> {
        let shard = self.shard(key.as_ref());
        let (generation, waiters, followers, watch) = shard.look(key)?;
        let bytes = watch.borrow().chunks.iter().map(Bytes::len).sum::<usize>();
        Some(InspectedFlight {
            generation: generation.number(),
            waiters,
            followers,
            bytes: bytes as u64,
        })
    }

    /// The keys of all flights under way.
    pub fn keys(&self) -> Vec<Key> {
        let keys = |shard: &Mutex<collapse::Flights<Key, Watch>>| {
            lock(shard).keys().cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(keys).collect()
    }

    /// Number of flights under way.
    pub fn under_way(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Number of requests that wait for a flight.
    pub fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Number of requests for this kind of object that wait for a flight.
    pub fn waiters_for(&self, kind: Kind) -> u32 {
        self.of_kind[kind as usize].now.load(Ordering::Relaxed)
    }

    /// The most requests for this kind of object that waited at once since the last call.
    pub fn take_waiters_peak(&self, kind: Kind) -> u32 {
        let Waiters { now, peak } = &self.of_kind[kind as usize];
        let now = now.load(Ordering::Relaxed);
        peak.swap(now, Ordering::Relaxed).max(now)
    }

    fn seat(self: &Arc<Self>, key: Key, generation: Generation, watch: Watch) -> Seat {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let Waiters { now, peak } = &self.of_kind[key.as_ref().kind() as usize];
        let waiters = now.fetch_add(1, Ordering::Relaxed) + 1;
        peak.fetch_max(waiters, Ordering::Relaxed);
        Seat {
            watch,
            _place: WaiterPlace {
                table: self.clone(),
                key,
                generation,
            },
        }
    }

    fn shard(&self, key: KeyRef<'_>) -> MutexGuard<'_, collapse::Flights<Key, Watch>> {
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        lock(&self.shards[index])
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// A panic under the lock leaves a whole table, because every change to the table is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request's place on a flight. Dropping it frees the place and nothing else, whether the request was served or not.
#[derive(Debug)]
pub struct Seat {
    /// What the flight has received so far.
    pub watch: Watch,
    _place: WaiterPlace,
}

#[derive(Debug)]
struct WaiterPlace {
    table: Arc<Table>,
    key: Key,
    generation: Generation,
}

impl Drop for WaiterPlace {
    fn drop(&mut self) {
        self.table.waiters.fetch_sub(1, Ordering::Relaxed);
        let kind = self.key.as_ref().kind();
        let of_kind = &self.table.of_kind[kind as usize];
        of_kind.now.fetch_sub(1, Ordering::Relaxed);
        self.table
            .shard(self.key.as_ref())
            .leave(&self.key, self.generation);
    }
}
