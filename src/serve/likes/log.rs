//! The seam between likes and whatever makes them durable: entries in one order, from 1, without a gap.
//!
//! A log may hold an entry twice; the fold counts it once. What it must never do is to forget what it has confirmed. Others
//! may append to it too: then it is followed, and says by itself when something has come.

use std::sync::Arc;

/// Where batches become durable. One thread uses it, so its calls may block.
pub trait LikeLog: LogReader {
    /// What it is.
    fn facts(&self) -> Facts;

    /// Makes a batch durable behind all others, and returns the position of its entry.
    ///
    /// # Errors
    /// It is not in the log, or nobody knows.
    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError>;

    /// The position of an entry behind which nothing stands that anybody had confirmed before the question; 0 for none.
    ///
    /// # Errors
    /// The log cannot be asked.
    fn tail_barrier(&mut self) -> Result<u64, LogError>;

    /// Forgets some of the entries up to `position`, in a bounded time. Returns whether there are more.
    ///
    /// # Errors
    /// The log cannot be changed. It is as whole as before.
    fn trim(&mut self, position: u64) -> Result<bool, LogError>;

    /// From now on `tell` hears what happens to a log that others append to as well; entries from `position` on are wanted.
    /// It may be told anything while it is asked something else, and must not block.
    fn follow(&mut self, _position: u64, _tell: Tell) {}

    /// The entries from `position` on that have come already, without asking for more.
    ///
    /// # Errors
    /// What has come is not what must come.
    fn arrived(&mut self, _position: u64) -> Result<Vec<Entry>, LogError> {
        Ok(Vec::new())
    }

    /// Another reader of the same log, for another thread.
    ///
    /// # Errors
    /// The log cannot be opened.
    fn reader(&self) -> Result<Box<dyn LogReader>, LogError>;
}

/// Reads what is durable.
pub trait LogReader: Send {
    /// The entries from `position` on: as many as fit into `bytes_max`, at least one if there is one.
    ///
    /// # Errors
    /// The log cannot be read.
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError>;
}

/// A batch at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1.
    pub position: u64,
    /// The batch.
    pub bytes: Vec<u8>,
}

/// What a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which log: tokens name it.
    pub log: u64,
    /// As whom this process appends.
    pub writer: u64,
    /// In which life.
    pub epoch: u64,
    /// Up to where entries have been forgotten; 0 if all are there.
    pub trimmed: u64,
    /// The last entry; 0 if there is none yet.
    pub last: u64,
    /// Bytes of the entries that it holds.
    pub bytes: u64,
    /// Whether an entry is on the disk before it is confirmed.
    pub fsync_before_ack: bool,
    /// Who has it.
    pub keeper: Keeper,
}

/// Who has a log, and so what can be done about a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// This process alone: a file of its folder.
    Us,
    /// Servers that others append to as well.
    Servers,
}

/// What a log that others append to says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Entries may have come, or something is wrong: see [`LikeLog::arrived`].
    Arrived,
    /// The servers cannot be reached: nothing can be appended.
    Away,
    /// They can be reached again.
    Back,
}

/// Who hears the news of a log.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Why a batch was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is certainly not in the log, and the next one may well be taken.
    #[error("the log did not take a batch: {0}")]
    Refused(String),
    /// It is certainly not in the log, which is as long as it may be.
    #[error("the log is full: {0}")]
    Full(String),
    /// It may be in the log. Nothing can be appended before the log has been read again.
    #[error("nobody knows whether the log has a batch: {0}")]
    Unknown(String),
    /// It may be in the log, and nothing else can be appended before that is known. The same bytes may be appended again
    /// until it is: they count once.
    #[error("nobody knows yet whether the log has a batch: {0}")]
    AskAgain(String),
}

/// Why a log could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// What it holds, or what keeps it, is not what it must be.
    #[error("{0}")]
    Broken(String),
    /// Those who keep it do not answer: it may be asked again.
    #[error("{0}")]
    Away(String),
}
