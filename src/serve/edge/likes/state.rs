//! What an edge keeps for likes.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::counts::Lines;
use super::lanes::Batches;
use crate::policy::limits::Limits;
use crate::serve::clock::Clock;
use crate::serve::likes::rates::{Addresses, Rates};

/// What an edge keeps for likes.
#[derive(Debug)]
pub(in crate::serve::edge) struct EdgeLikes {
    /// Permits for requests to the origin that carry no batch of this edge.
    pub(super) places: Semaphore,
    /// Permits for everything that is on its way to the origin, or waits for that.
    pub(super) queue: Arc<Semaphore>,
    /// The likes that gather.
    pub(super) batches: Batches,
    /// How often addresses may send hearts without a name.
    pub(super) rates: Rates,
    /// The counts that this edge knows.
    pub(super) lines: Lines,
    /// Cancelled when readers that wait must go.
    pub(in crate::serve::edge) closing: CancellationToken,
}

impl EdgeLikes {
    /// A state with nothing under way.
    pub(in crate::serve::edge) fn new(
        limits: &Limits,
        addresses: &Addresses,
        clock: Clock,
    ) -> Self {
        let queued = limits.likes_at_once_max + limits.likes_queued_max;
        Self {
            places: Semaphore::new(limits.likes_at_once_max),
            queue: Arc::new(Semaphore::new(queued)),
            batches: Batches::new(clock),
            rates: Rates::of(addresses),
            lines: Lines::new(limits),
            closing: CancellationToken::new(),
        }
    }
}
