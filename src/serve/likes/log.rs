//! The interface between likes and the log that makes them durable: entries in one order, from 1, without a gap.
//!
//! A log may hold an entry twice; the fold counts it once. It must never forget an entry that it has confirmed. Other
//! processes may append to it too. Then the log is followed, and reports by itself that entries have arrived.

use std::sync::Arc;

/// A log that makes batches durable. One thread uses it, so its calls may block.
pub trait LikeLog: LogReader {
    /// The facts of the log.
    fn facts(&self) -> Facts;

    /// Makes a batch durable as the last entry, and returns its position.
    ///
    /// # Errors
    /// The batch is not in the log, or that is unknown.
    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError>;

    /// A position such that every entry confirmed before this call stands at or before it; 0 for none.
    ///
    /// # Errors
    /// The log cannot be asked.
    fn tail_barrier(&mut self) -> Result<u64, LogError>;

    /// Deletes some of the entries up to `position`, in a bounded time. Returns whether there are more to delete.
    ///
    /// # Errors
    /// The log cannot be changed. It has lost nothing.
    fn trim(&mut self, position: u64) -> Result<bool, LogError>;

    /// Sets the listener for a log that other processes append to as well. Entries from `position` on are wanted.
    /// `tell` may be called at any time, also during another call, and must not block.
    fn follow(&mut self, _position: u64, _tell: Tell) {}

    /// The entries from `position` on that have already arrived. Sends no request for more.
    ///
    /// # Errors
    /// The arrived entries are not valid.
    fn arrived(&mut self, _position: u64) -> Result<Vec<Entry>, LogError> {
        Ok(Vec::new())
    }

    /// Another reader of the same log, for another thread.
    ///
    /// # Errors
    /// The log cannot be opened.
    fn reader(&self) -> Result<Box<dyn LogReader>, LogError>;
}

/// Reads the durable entries of a log.
pub trait LogReader: Send {
    /// The entries from `position` on: as many as fit into `bytes_max`, at least one if there is one.
    ///
    /// # Errors
    /// The log cannot be read.
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError>;
}

/// A batch and its position in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The position, from 1.
    pub position: u64,
    /// The bytes of the batch.
    pub bytes: Vec<u8>,
}

/// The facts of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The identity of the log: tokens name it.
    pub log: u64,
    /// The name under which this process appends.
    pub writer: u64,
    /// The life of this writer.
    pub epoch: u64,
    /// The last deleted entry; 0 if none is deleted.
    pub trimmed: u64,
    /// The last entry; 0 if there is none yet.
    pub last: u64,
    /// Bytes of the entries that it holds.
    pub bytes: u64,
    /// Whether an entry is on the disk before it is confirmed.
    pub fsync_before_ack: bool,
    /// The keeper of the log.
    pub keeper: Keeper,
}

/// Who keeps a log. This decides what can be done about a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Only this process: a file in its folder.
    Us,
    /// Servers, to which others append as well.
    Servers,
}

/// News of a log that others append to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Entries may have arrived, or the log has failed: see [`LikeLog::arrived`].
    Arrived,
    /// The servers cannot be reached, so nothing can be appended.
    Away,
    /// The servers can be reached again.
    Back,
}

/// A listener for the news of a log.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Why a batch was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The batch is certainly not in the log. The next one may be accepted.
    #[error("the log did not take a batch: {0}")]
    Refused(String),
    /// The batch is certainly not in the log, because the log has its maximum size.
    #[error("the log is full: {0}")]
    Full(String),
    /// The batch may be in the log. Nothing can be appended before the log has been read again.
    #[error("it is unknown whether the log has a batch: {0}")]
    Unknown(String),
    /// The batch may be in the log, and nothing else can be appended before that is known. The same bytes may be
    /// appended again until then: they count once.
    #[error("it is not known yet whether the log has a batch: {0}")]
    AskAgain(String),
}

/// Why a log could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The log or its keeper is not in a valid state.
    #[error("{0}")]
    Broken(String),
    /// The keepers of the log do not answer: the call may be tried again.
    #[error("{0}")]
    Away(String),
}
