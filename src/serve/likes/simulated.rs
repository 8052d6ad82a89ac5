//! A log in memory that fails on command, for tests of everything above the log.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::log::{AppendError, Entry, Facts, Keeper, LikeLog, LogError, LogReader, News, Tell};

/// The fault of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// No fault.
    None,
    /// The batch is refused: nothing is stored.
    Refused,
    /// The batch is lost, and the outcome is unknown.
    Dropped,
    /// The batch is stored, but the outcome is unknown.
    Unconfirmed,
    /// A part of the bytes is stored, and the outcome is unknown.
    Torn(usize),
    /// The batch is stored twice.
    Doubled,
    /// The log is full: nothing is stored.
    Full,
    /// The batch is lost, and may be appended again.
    AskAgain,
    /// The batch is stored, and may be appended again.
    AskAgainKept,
}

/// The log; copies share it. It outlives its writer, as a disk does.
#[derive(Clone, Debug)]
pub struct SimulatedLog {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    facts: Facts,
}

#[derive(Default)]
struct Shared {
    entries: Vec<Vec<u8>>,
    trimmed: u64,
    epoch: u64,
    faults: VecDeque<LogFault>,
    stalled: bool,
    appends: u64,
    tell: Option<Tell>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Default for SimulatedLog {
    fn default() -> Self {
        let facts = Facts {
            log: 0x51,
            writer: 0x51,
            epoch: 0,
            trimmed: 0,
            last: 0,
            bytes: 0,
            fsync_before_ack: true,
            keeper: Keeper::Us,
        };
        Self {
            shared: Arc::default(),
            facts,
        }
        .next_life()
    }
}

impl SimulatedLog {
    /// The same log for a restarted writer.
    pub fn next_life(&self) -> Self {
        let mut shared = self.lock();
        shared.epoch += 1;
        let mut next = self.clone();
        next.facts.epoch = shared.epoch;
        next
    }

    /// Sets the faults of the next appends, one for each. Later appends have none.
    pub fn inject(&self, faults: impl IntoIterator<Item = LogFault>) {
        self.lock().faults.extend(faults);
    }

    /// Stalls all appends until [`go_on`](Self::go_on).
    pub fn stall(&self) {
        self.lock().stalled = true;
    }

    /// Lets stalled appends end.
    pub fn go_on(&self) {
        self.lock().stalled = false;
        self.shared.1.notify_all();
    }

    /// Number of appends that have begun.
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    /// Appends as another writer, without telling the followers.
    pub fn append_silently(&self, batch: &[u8]) {
        self.lock().entries.push(batch.to_vec());
    }

    /// Appends as another writer, and tells the followers.
    pub fn append_elsewhere(&self, batch: &[u8]) {
        self.append_silently(batch);
        let tell = self.lock().tell.clone();
        if let Some(tell) = tell {
            tell(News::Arrived);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LikeLog for SimulatedLog {
    fn facts(&self) -> Facts {
        let shared = self.lock();
        Facts {
            trimmed: shared.trimmed,
            last: shared.entries.len() as u64,
            bytes: shared.entries.iter().map(|entry| entry.len() as u64).sum(),
            ..self.facts
        }
    }

    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError> {
        let mut shared = self.lock();
        shared.appends += 1;
        while shared.stalled {
            shared = self
                .shared
                .1
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let fault = shared.faults.pop_front().unwrap_or(LogFault::None);
        let unknown = || Err(AppendError::Unknown(format!("{fault:?}")));
        match fault {
            LogFault::Refused => return Err(AppendError::Refused("as told".to_owned())),
            LogFault::Full => return Err(AppendError::Full("as told".to_owned())),
            LogFault::AskAgain => return Err(AppendError::AskAgain("as told".to_owned())),
            LogFault::Dropped => return unknown(),
            LogFault::Torn(bytes) => {
                let torn = batch[..bytes.min(batch.len())].to_vec();
                shared.entries.push(torn);
                return unknown();
            }
            _ => shared.entries.push(batch.to_vec()),
        }
        let position = shared.entries.len() as u64;
        match fault {
            LogFault::Unconfirmed => unknown(),
            LogFault::AskAgainKept => Err(AppendError::AskAgain("as told".to_owned())),
            LogFault::Doubled => {
                shared.entries.push(batch.to_vec());
                Ok(position + 1)
            }
            _ => Ok(position),
        }
    }

    fn follow(&mut self, _position: u64, tell: Tell) {
        self.lock().tell = Some(tell);
    }

    fn arrived(&mut self, position: u64) -> Result<Vec<Entry>, LogError> {
        self.read_from(position, usize::MAX)
    }

    fn tail_barrier(&mut self) -> Result<u64, LogError> {
        Ok(self.lock().entries.len() as u64)
    }

    fn trim(&mut self, position: u64) -> Result<bool, LogError> {
        let mut shared = self.lock();
        shared.trimmed = shared.trimmed.max(position);
        Ok(false)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(self.clone()))
    }
}

impl LogReader for SimulatedLog {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let shared = self.lock();
        let (mut entries, mut left) = (Vec::new(), bytes_max);
        let first = position.max(shared.trimmed + 1);
        for (index, bytes) in shared.entries.iter().enumerate().skip(first as usize - 1) {
            if bytes.len() > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes.len());
            entries.push(Entry {
                position: index as u64 + 1,
                bytes: bytes.clone(),
            });
        }
        Ok(entries)
    }
}
