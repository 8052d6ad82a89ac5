//! The state that the like routes of one node share: its shards, its rates, its threads.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::disk::Locked;
use super::figures::{Answers, Figures};
use super::queue::Queue;
use super::rates::Rates;
use crate::likes::LikesLimits;
use crate::serve::clock::Clock;
use crate::serve::token::Token;

/// The state that the routes share.
pub(super) struct Node {
    pub(super) shards: Vec<Handle>,
    pub(super) limits: LikesLimits,
    pub(super) rates: Rates,
    pub(super) readers: Arc<Semaphore>,
    /// Permits for batches of edges, in KiB.
    pub(super) batches: Semaphore,
    /// The viewer name for hearts without a name. It contains a random number, so no viewer can guess it.
    pub(super) name: Box<str>,
    /// Number of requests with hearts without a name.
    pub(super) nameless: Mutex<u64>,
    /// Whether a channel of this name is on air.
    pub(super) on_air: Box<dyn Fn(&str) -> bool + Send + Sync>,
    pub(super) answers: Answers,
    pub(super) clock: Clock,
    /// The token that an operator must send to close a channel.
    pub(super) operator: Option<Token>,
    /// Cancelled when the waiting readers must leave.
    pub(super) closing: CancellationToken,
    pub(super) threads: Mutex<Vec<Thread>>,
}

/// One shard, as seen by the routes.
pub(super) struct Handle {
    pub(super) queue: Arc<Queue>,
    pub(super) board: Arc<Board>,
    pub(super) figures: Figures,
    pub(super) log: u64,
    pub(super) on_disk: bool,
}

/// A thread, and the sender that ends it if closing the queue does not.
pub(super) struct Thread {
    pub(super) stop: Option<Sender<()>>,
    pub(super) handle: JoinHandle<()>,
}

impl Node {
    /// The shard of a channel. The hash must never change, because existing logs depend on it.
    pub(super) fn shard(&self, channel: &str) -> &Handle {
        let index = crc32c::crc32c(channel.as_bytes()) as usize % self.shards.len();
        &self.shards[index]
    }

    pub(super) fn close(&self) -> Vec<Thread> {
        self.closing.cancel();
        for shard in &self.shards {
            shard.queue.close();
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut threads)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The threads end by themselves, once the waiting operations are committed.
        self.close();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Likes")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Thread {
    /// Starts a thread. It ends with its queue, or when `stop` is dropped. The folder stays locked as long as the
    /// thread runs.
    pub(super) fn start(
        name: String,
        stop: Option<Sender<()>>,
        folder: Option<Arc<Locked>>,
        run: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let handle = std::thread::Builder::new().name(name).spawn(move || {
            run();
            drop(folder);
        })?;
        Ok(Self { stop, handle })
    }
}
