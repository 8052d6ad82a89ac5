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
pub(in crate::serve::edge) struct Likes {
    /// Requests under way to the origin that bring no batch of this edge's own.
    pub(super) places: Semaphore,
    /// Everything that is on its way, or waits for that.
    pub(super) queue: Arc<Semaphore>,
    /// Likes that gather.
    pub(super) batches: Batches,
    /// How often addresses may send hearts without a name.
    pub(super) rates: Rates,
    /// Counts as they are known here.
    pub(super) lines: Lines,
    /// Falls when those who wait must go.
    pub(in crate::serve::edge) closing: CancellationToken,
}

impl Likes {
    /// Nothing is under way.
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
