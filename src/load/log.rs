//! The generator's own log: every request, and the results of each viewer. The number of logged requests is bounded; requests
//! beyond the bound are only counted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::report::record::{Outcome, Request, ResultWord, Viewer};

/// What is known of a run so far.
pub(super) struct Log {
    requests: Mutex<Vec<Request>>,
    requests_max: usize,
    gone: Mutex<Vec<Viewer>>,
    pub(super) tally: Tally,
}

/// Running counts for the progress display.
#[derive(Default)]
pub(super) struct Tally {
    /// Viewers that have arrived.
    pub(super) started: AtomicU32,
    /// Viewers that could not be started in time.
    pub(super) dropped: AtomicU32,
    pub(super) requests: AtomicU64,
    pub(super) unlogged: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) collapsed: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) stalls: AtomicU64,
}

impl Log {
    /// For this many viewers; it holds `requests_max` requests.
    pub(super) fn new(viewers: usize, requests_max: usize) -> Self {
        Self {
            requests: Mutex::new(Vec::new()),
            requests_max,
            gone: Mutex::new(Vec::with_capacity(viewers)),
            tally: Tally::default(),
        }
    }

    /// A request has ended.
    pub(super) fn push(&self, request: Request) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&self.tally.requests);
        match request.word {
            ResultWord::Hit | ResultWord::Stale => count(&self.tally.hits),
            ResultWord::Collapsed => count(&self.tally.collapsed),
            ResultWord::Miss => count(&self.tally.misses),
            _ => 0,
        };
        if request.outcome != Outcome::Ok {
            count(&self.tally.failures);
        }
        let mut requests = lock(&self.requests);
        match requests.len() < self.requests_max {
            true => requests.push(request),
            false => drop(count(&self.tally.unlogged)),
        }
    }

    /// A viewer has left.
    pub(super) fn left(&self, viewer: Viewer) {
        lock(&self.gone).push(viewer);
    }

    /// How many viewers have left.
    pub(super) fn gone(&self) -> u32 {
        lock(&self.gone).len() as u32
    }

    /// Empties it: the requests, and the viewers that have left.
    pub(super) fn take(&self) -> (Vec<Request>, Vec<Viewer>) {
        let requests = std::mem::take(&mut *lock(&self.requests));
        (requests, std::mem::take(&mut *lock(&self.gone)))
    }
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().expect("no holder of this lock panics")
}
