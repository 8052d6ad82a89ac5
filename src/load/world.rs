//! What all viewers of a run share.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::edge::EdgeAddress;
use super::generator::Watch;
use super::log::Log;
use super::metrics::Metrics;
use super::partition::Network;
use super::playlists::Playlists;
use super::pool::Pool;
use super::stream::Watched;
use super::ticks::Deadlines;
use super::whereabouts::Whereabouts;
use crate::serve::clock::Clock;
use crate::time::Timestamp;
use crate::viewer::abr;
use crate::viewer::audience::Manners;

/// What all viewers of a run share.
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) began: Timestamp,
    pub(super) watched: Watched,
    pub(super) playlists: Playlists,
    /// The edges, if they are Seawall's.
    pub(super) edges: Vec<EdgeAddress>,
    /// Number of places where viewers can be: edges, or playlists of other people's servers.
    pub(super) targets: u32,
    /// Connection pools: for each worker, one per edge. Empty where each viewer has its own
    /// connection.
    pub(super) pools: Vec<Vec<Pool>>,
    /// Request deadlines: one set per worker, for the requests of its viewers.
    pub(super) deadlines: Vec<Deadlines>,
    /// Viewers ask for one part in this many of each segment; the simulated last mile carries the
    /// whole segment.
    pub(super) one_part_of: u64,
    pub(super) abr: abr::Rule,
    pub(super) manners: Manners,
    /// How far viewers seek back, if they seek.
    pub(super) seek_back: Duration,
    pub(super) seed: u64,
    pub(super) network: Network,
    pub(super) log: Log,
    pub(super) watch: Watch,
    pub(super) metrics: Metrics,
    /// At which edge each viewer watches; `None` if no likes are sent.
    pub(super) whereabouts: Option<Arc<Whereabouts>>,
    pub(super) stop: CancellationToken,
}
