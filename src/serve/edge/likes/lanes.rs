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

/// Number of batches that may be under way at once, each of other channels: a slow batch holds up only its share.
pub(super) const LANES: usize = 4;
/// How long likes go one by one to an upstream that has not taken a batch.
pub(super) const ALONE_FOR: Duration = Duration::from_secs(30);

/// The likes that gather at an edge.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) lanes: [Mutex<Lane>; LANES],
    /// Drawn at each start, and used with the time of the start, so that two runs of an edge are never taken for one.
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

/// The channel to a waiting request, and the request's place.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) tell: oneshot::Sender<Heard>,
    pub(super) place: OwnedSemaphorePermit,
}

/// The outcome of a viewer's like.
#[derive(Debug)]
pub(super) enum Heard {
    /// The origin says this of the like.
    Said(Said),
    /// The upstream has refused the whole batch with this answer.
    Refused(Response<Bytes>),
    /// The upstream takes no batches, and no like of the batch has counted. The like goes on by itself, in the place
    /// that it has.
    Alone(OwnedSemaphorePermit),
    /// No answer came.
    Nothing(NoAnswer),
}

/// A like that waits. It cannot be lost, and it is withdrawn if it has not left in time.
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

    /// Whether the upstream takes batches, as far as this edge knows.
    pub(super) fn are_taken(&self, now: Timestamp) -> bool {
        now >= *lock(&self.alone_until)
    }

    /// The next batch of a lane. If there is none, the lane is idle.
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
