//! Likes that gather at an edge, in lanes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::told::NoAnswer;
use crate::likes::batch::Header;
use crate::likes::forward::Said;
use crate::likes::gather::{Gathering, Taken};
use crate::serve::chance;
use crate::serve::clock::Clock;
use crate::time::Timestamp;

/// Batches that may be under way at once, each of other channels: one that is slow holds up no more than its share.
pub(super) const LANES: usize = 4;
/// For how long likes go one by one to an upstream that has not taken a batch.
pub(super) const ALONE_FOR: Duration = Duration::from_secs(30);

/// What gathers at an edge.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) lanes: [Mutex<Lane>; LANES],
    /// Drawn at each start, together with when that was: no two lives of an edge are taken for one.
    writer: u64,
    epoch: u64,
    pub(super) number: AtomicU64,
    pub(super) alone_until: Mutex<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) gathering: Gathering<Ticket>,
    pub(super) under_way: bool,
}

/// Who waits for an answer, and its place.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) tell: oneshot::Sender<Heard>,
    pub(super) place: OwnedSemaphorePermit,
}

/// What a viewer's like has come to.
#[derive(Debug)]
pub(super) enum Heard {
    /// The origin says this of it.
    Said(Said),
    /// The upstream has refused all of the batch so.
    Refused(Response<Bytes>),
    /// Batches are not taken there, and nothing of it has counted: it goes on by itself, in the place that it has.
    Alone(OwnedSemaphorePermit),
    /// Nobody has answered.
    Nothing(NoAnswer),
}

/// A like that waits; it cannot be lost, and is withdrawn if it has not left in time.
pub(super) struct Waiting {
    pub(super) lane: usize,
    pub(super) number: u64,
    pub(super) heard: oneshot::Receiver<Heard>,
}

impl Batches {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            lanes: Default::default(),
            writer: chance::draw(),
            epoch: clock.unix().as_millis().max(1),
            number: AtomicU64::new(0),
            alone_until: Mutex::new(Timestamp::ZERO),
        }
    }

    /// Whether batches are taken upstream, as far as anybody knows.
    pub(super) fn are_taken(&self, now: Timestamp) -> bool {
        now >= *lock(&self.alone_until)
    }

    /// The next batch of a lane; with the last one the lane is idle.
    pub(super) fn take(&self, lane: usize) -> Option<Taken<Ticket>> {
        let mut lane = lock(&self.lanes[lane]);
        let header = Header {
            writer: self.writer,
            epoch: self.epoch,
            number: self.number.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let taken = lane.gathering.take(header);
        lane.under_way = taken.is_some();
        taken
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
