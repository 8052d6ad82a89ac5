//! What a simulation plays, as plain values.

use std::ops::Range;
use std::time::Duration;

use super::stream::Streams;
use crate::policy::capacity::Capacity;
use crate::policy::limits::Limits;
use crate::policy::status::MissQueue;
use crate::scenario::Fault;
use crate::time::Timestamp;
use crate::viewer::audience::Manners;
use crate::viewer::likes::LikesPlan;
use crate::viewer::player::Seat;

/// A world, and what happens in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source of all chance.
    pub seed: u64,
    /// How caches handle misses: [`MissQueue::Flights`] or [`MissQueue::Off`].
    pub miss_queue: MissQueue,
    /// The bounds of each cache.
    pub limits: Limits,
    /// Whether stale playlists are refreshed in the background.
    pub refreshes: bool,
    /// The live streams.
    pub streams: Streams,
    /// What the origin can do.
    pub capacity: Capacity,
    /// Mean time that the origin works on a request for a playlist, if it differs from that for a segment.
    pub playlist_latency: Option<Duration>,
    /// Edges first, in the order of their numbers; then shields.
    pub nodes: Vec<NodePlan>,
    /// Number of edges.
    pub edges: u32,
    /// Time from a viewer to its edge and back.
    pub viewer_round_trip: Duration,
    /// Time from a cache to the origin and back, beside the origin's own time.
    pub origin_round_trip: Duration,
    /// Time from an edge to its shield and back. At 0 each request in the moments in which a playlist is due would begin a fetch of
    /// its own, because each fetch lands at once.
    pub shield_round_trip: Duration,
    /// How players behave in other respects.
    pub manners: Manners,
    /// How long players keep a steering manifest.
    pub steering_ttl: Duration,
    /// The renditions that players choose from, unless theirs is fixed.
    pub renditions: Vec<u32>,
    /// The viewers, in the order in which they arrive.
    pub visits: Vec<Record>,
    /// What they like.
    pub likes: Option<LikesPlan>,
    /// Time in which the origin makes a batch of likes durable.
    pub likes_commit: Duration,
    /// Faults, and when they come.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// Time from the beginning until the last viewer leaves.
    pub fn length(&self) -> Duration {
        let leaves = self.visits.iter().map(|visit| visit.seat.leaves);
        let last = leaves.max().unwrap_or(Timestamp::ZERO);
        last.since(Timestamp::ZERO)
    }
}

/// A cache to be built.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// The caches that ask the origin together.
    pub group: u32,
    /// Whether it stands between edges and origin.
    pub is_shield: bool,
    /// The shields that it asks; empty: it asks the origin.
    pub shields: Range<u32>,
    /// Their names.
    pub shield_names: Vec<String>,
    /// Whether it prefetches segments.
    pub prefetches: bool,
    /// Bytes that its store may hold.
    pub cache_bytes: u64,
}

/// Viewers that do the same at nearly the same time: one player decides for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Their number.
    pub weight: u32,
    /// Each request of theirs comes within this time, evenly: first that of the player, then the others.
    pub spread: Duration,
    /// What the player needs to know.
    pub seat: Seat,
    /// Their edge.
    pub edge: u32,
    /// The stream that they watch.
    pub stream: u32,
    /// Their rendition, if it is fixed.
    pub rendition: Option<u32>,
}
