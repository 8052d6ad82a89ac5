//! The counts that readers see: for each channel, as of the last applied operation. Counts never go back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::likes::{Counts, State};

/// The counts of one shard.
#[derive(Debug, Default)]
pub struct Board {
    channels: RwLock<HashMap<Arc<str>, watch::Sender<Counts>>>,
    applied: AtomicU64,
}

impl Board {
    /// A board that shows a state.
    pub fn new(state: &State) -> Self {
        let board = Self::default();
        for (channel, counts) in state.all_counts() {
            board.show(&channel, counts);
        }
        board.applied(state.sequence());
        board
    }

    /// Sets the counts of a channel, and wakes the readers that wait for them.
    pub fn show(&self, channel: &Arc<str>, counts: Counts) {
        self.sender(channel).send_replace(counts);
    }

    /// Records that the board includes all operations up to this one.
    pub fn applied(&self, sequence: u64) {
        self.applied.store(sequence, Ordering::Release);
    }

    /// The last operation that the board includes.
    pub fn sequence(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The counts of a channel; zero before its first operation.
    pub fn counts(&self, channel: &str) -> Counts {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels
            .get(channel)
            .map(|sender| *sender.borrow())
            .unwrap_or_default()
    }

    /// Whether the channel has had an operation.
    pub fn knows(&self, channel: &str) -> bool {
        self.counts(channel).seq > 0
    }

    /// A receiver for the counts of a channel, now and whenever they change.
    pub fn watch(&self, channel: &str) -> watch::Receiver<Counts> {
        self.sender(&channel.into()).subscribe()
    }

    fn sender(&self, channel: &Arc<str>) -> watch::Sender<Counts> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(channel) {
            return sender.clone();
        }
        drop(channels);
        let mut channels = self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        channels.entry(channel.clone()).or_default().clone()
    }
}
