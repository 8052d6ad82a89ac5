//! What the like routes of one node work with: its shards, its rates, its threads.

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
use crate::likes::Limits;
use crate::serve::clock::Clock;
use crate::serve::token::Token;

/// What the routes work with.
pub(super) struct Node {
    pub(super) shards: Vec<Handle>,
    pub(super) limits: Limits,
    pub(super) rates: Rates,
    pub(super) readers: Arc<Semaphore>,
    /// Room for batches of edges, in KiB.
    pub(super) batches: Semaphore,
    /// As whom hearts without a name are counted here; drawn, so that no viewer can guess it.
    pub(super) name: Box<str>,
    /// How many have come.
    pub(super) nameless: Mutex<u64>,
    /// Whether a channel of this name is on air.
    pub(super) on_air: Box<dyn Fn(&str) -> bool + Send + Sync>,
    pub(super) answers: Answers,
    pub(super) clock: Clock,
    /// What an operator must bring to close a channel.
    pub(super) operator: Option<Token>,
    /// Falls when those who wait must go.
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

/// A thread, and what ends it if the end of a queue does not.
pub(super) struct Thread {
    pub(super) stop: Option<Sender<()>>,
    pub(super) handle: JoinHandle<()>,
}

impl Node {
    /// The shard of a channel. The hash is written down in logs, so to speak: it never changes.
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
        // The threads end by themselves, once what waits is committed.
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
    /// Ends with its queue, or when `stop` is dropped. The folder stays locked as long as it runs.
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
