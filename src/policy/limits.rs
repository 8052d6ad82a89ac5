//! The edge's knobs: every bound, with its default and what happens beyond it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a cache lets go when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// What was asked for longest ago. A live segment is asked for by everybody, and then by nobody.
    #[default]
    Lru,
    /// What was asked for least often (TinyLFU): good for what stays popular.
    TinyLfu,
}

/// Bounds of one edge. Beyond each stands a word: see [`super::status::Shed`] and [`super::status::FetchError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait for one flight; the next is shed (or served stale).
    pub waiters_per_flight_max: u32,
    /// Requests that may wait at one edge; the next is shed (or served stale).
    pub waiters_max: u32,
    /// How long a request for a segment, or for anything but a playlist, waits for its answer to begin.
    pub segment_wait: Duration,
    /// How long a request for a playlist waits for its answer to begin before it is served stale or shed.
    pub playlist_wait: Duration,
    /// From the begin of a connection to the origin until it stands.
    pub connect: Duration,
    /// From the request to the origin until the head of its answer.
    pub first_byte: Duration,
    /// The longest silence inside a body from the origin.
    pub progress: Duration,
    /// The longest that one flight may take.
    pub total: Duration,
    /// Requests that may be under way to the origin at once.
    pub origin_at_once_max: usize,
    /// Flights that may wait for a place among those.
    pub origin_queued_max: usize,
    /// The longest that a flight waits for such a place.
    pub origin_queue_wait: Duration,
    /// Fetches that may wait for a segment which is about to be published; the next gets its 404 at once.
    pub held_max: usize,
    /// Requests that may wait for a playlist that is still to come (`_HLS_msn`), counted apart from the waiters; the next is
    /// shed.
    pub blocked_max: usize,
    /// For how long counts of likes are served before the origin is asked again.
    pub counts_fresh: Duration,
    /// Readers of counts that may wait for a change; the next is shed.
    pub counts_waiting_max: usize,
    /// Likes that may be under way to the origin at once where it takes no batches, in places of their own.
    pub likes_at_once_max: usize,
    /// Likes that may be here beyond those: they wait for such a place, gather, or are in a batch; the next is shed.
    pub likes_queued_max: usize,
    /// From a like's arrival until the origin has answered it; the origin waits for its disk within that.
    pub likes_wait: Duration,
    /// How often one flight asks again after a failure.
    pub retries_per_flight_max: u32,
    /// Retries per hundred good fills, all flights together; 0 turns them off.
    pub retry_budget_percent: u32,
    /// Failures in a row after which an origin is left alone.
    pub breaker_failures: u32,
    /// How long it is left alone at first; each failed probe doubles that.
    pub breaker_wait: Duration,
    /// The longest that it is left alone before the next probe.
    pub breaker_wait_max: Duration,
    /// For how much of a target duration a playlist is fresh, in per cent.
    pub playlist_fresh_percent: u32,
    /// What the cache lets go when it is full.
    pub eviction: Eviction,
    /// The largest body that is fetched.
    pub body_bytes_max: u64,
    /// All bodies that flights hold in memory together.
    pub flight_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters_per_flight_max: 20_000,
            waiters_max: 100_000,
            segment_wait: Duration::from_secs(4),
            playlist_wait: Duration::from_secs(1),
            connect: Duration::from_millis(500),
            first_byte: Duration::from_secs(2),
            progress: Duration::from_secs(1),
            total: Duration::from_secs(10),
            origin_at_once_max: 64,
            origin_queued_max: 256,
            origin_queue_wait: Duration::from_secs(1),
            held_max: 1_024,
            blocked_max: 50_000,
            counts_fresh: Duration::from_secs(1),
            counts_waiting_max: 10_000,
            likes_at_once_max: 256,
            likes_queued_max: 4_096,
            likes_wait: Duration::from_secs(7),
            retries_per_flight_max: 2,
            retry_budget_percent: 10,
            breaker_failures: 5,
            breaker_wait: Duration::from_millis(250),
            breaker_wait_max: Duration::from_secs(1),
            playlist_fresh_percent: 50,
            eviction: Eviction::Lru,
            body_bytes_max: 64 << 20,
            flight_bytes_max: 1 << 30,
        }
    }
}
