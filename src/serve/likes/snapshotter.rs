//! The snapshotter writes snapshots. It follows the log with a state of its own, so the committer never waits for it.
//! Each snapshot is a replay of durable entries.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::board::Board;
use super::generations::Generations;
use super::log::{LogError, LogReader};
use super::queue::Queue;
use super::recovery::READ_BYTES;
use crate::likes::durability::SnapshotDue;
use crate::likes::fold::Rules;
use crate::likes::{Batch, State};
use crate::serve::clock::Clock;

/// The parts of the snapshotter of one shard.
pub struct Snapshotter {
    /// A reader of the log.
    pub log: Box<dyn LogReader>,
    /// The stored snapshots.
    pub generations: Generations,
    /// The state of the log up to the last entry that this thread has read.
    pub state: State,
    /// The last operation that a snapshot includes.
    pub written: u64,
    /// The last entry up to which a full log was trimmed.
    pub relieved: u64,
    /// The queue, whose committer trims the log.
    pub queue: Arc<Queue>,
    /// The board, which tells the last counted operation.
    pub board: Arc<Board>,
    /// When a snapshot is due.
    pub due: SnapshotDue,
    /// The clock.
    pub clock: Clock,
}

impl Snapshotter {
    /// Writes snapshots until the other end of `stop` is dropped.
    pub fn run(mut self, stop: &Receiver<()>) {
        let look = self.due.every.min(Duration::from_secs(1));
        let mut last = self.clock.now();
        while stop.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
            let new = self.board.sequence().saturating_sub(self.written);
            let now = self.clock.now();
            let due = new >= self.due.operations || now.since(last) >= self.due.every;
            let done = match new {
                0 if self.queue.log_is_full() => self.relieve(),
                0 => continue,
                _ if !due => continue,
                _ => {
                    last = now;
                    self.write()
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "no snapshot of the likes could be written: the log grows until one can");
            }
        }
    }

    /// Allows a full log to be trimmed up to the newest snapshot, once that has been read back. Trimming normally waits
    /// for a second snapshot, but a full log takes no new entries, so none would be due.
    fn relieve(&mut self) -> Result<(), LogError> {
        let newest = self.generations.all()?.first().copied();
        if let Some(newest) = newest
            && newest.position > self.relieved
        {
            self.generations.load(newest, Rules::default())?;
            self.relieved = newest.position;
            self.queue.may_trim(newest.position);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), LogError> {
        loop {
            let entries = self.log.read_from(self.state.position() + 1, READ_BYTES)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let position = entry.position;
                let wrong =
                    |what: String| LogError::Broken(format!("entry {position} of the log: {what}"));
                let batch =
                    Batch::decode(&entry.bytes).map_err(|error| wrong(error.to_string()))?;
                self.state
                    .apply(position, batch.header, &batch.operations)
                    .map_err(|error| wrong(error.to_string()))?;
            }
        }
        let begun = self.clock.now();
        let needed_from = self.generations.save(&self.state)?;
        self.written = self.state.sequence();
        self.queue.may_trim(needed_from);
        tracing::debug!(
            entry = self.state.position(),
            took = ?self.clock.now().since(begun),
            "a snapshot of the likes has been written"
        );
        Ok(())
    }
}
