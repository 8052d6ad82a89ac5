//! Counts of likes as an edge knows them: one line per channel, which asks the origin once for all readers.
//!
//! ```text
//! GET counts              ─▶ fresh: at once ── else ─▶ one read under way ──▶ origin
//! GET counts?newer_than=  ─▶ newer: at once ── else ─▶ one long poll under way, of the newest counts ──▶ origin
//! strong reads, tokens    ─▶ the origin; what they bring is known from then on
//! ```
//! A line never goes back: an answer older than the known counts leaves the newer counts in place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::told::NoAnswer;
use crate::likes::Reading;
use crate::likes::limits::Shed;
use crate::policy::limits::Limits;
use crate::serve::likes::answer::LikeRefusal;
use crate::time::Timestamp;

/// Number of channels whose counts an edge knows or asks for.
const LINES_MAX: usize = 1_024;
/// How long counts are served while the origin cannot be asked.
const STAND_IN: Duration = Duration::from_secs(60);

/// The lines of an edge, one per channel.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Mutex<HashMap<Box<str>, Arc<Line>>>,
    /// Places for readers that wait for a change.
    waiting: Arc<Semaphore>,
    /// Places for reads at the origin.
    pub(super) reads: Semaphore,
}

/// The counts of one channel.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) channel: Box<str>,
    pub(super) known: watch::Sender<Known>,
    /// Number of readers that wait for a change.
    wanted: AtomicUsize,
}

/// What is known of the counts.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) newest: Option<Arc<Kept>>,
    /// Until when the counts are served without asking.
    pub(super) fresh_until: Timestamp,
    /// The outcome of the last question if it brought no counts, and until when that holds.
    instead: Option<(Instead, Timestamp)>,
    /// Number of reads that have ended so far.
    pub(super) landings: u64,
    reading: bool,
    polling: bool,
    /// When the last long poll began.
    pub(super) polled_at: Option<Timestamp>,
}

/// Counts, and their text as it is sent.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) reading: Reading,
    pub(super) text: Bytes,
    /// When the counts came.
    pub(super) at: Timestamp,
}

#[derive(Clone, Debug)]
enum Instead {
    /// The origin has refused.
    Said(Response<Bytes>),
    /// The origin was not reached, or not in time.
    Unreached,
}

/// What a line gives a reader.
#[derive(Clone, Debug)]
pub(super) enum AtHand {
    Counts(Arc<Kept>),
    /// Counts that stand in while the origin cannot be asked.
    Stale(Arc<Kept>),
    Said(Response<Bytes>),
    Unreached,
}

impl Lines {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            lines: Mutex::default(),
            waiting: Arc::new(Semaphore::new(limits.counts_waiting_max)),
            reads: Semaphore::new(limits.origin_at_once_max),
        }
    }

    /// The line of a channel. If there is no room, unused channels without counts are forgotten, because they may be
    /// made up.
    pub(super) fn line(&self, channel: &str) -> Result<Arc<Line>, LikeRefusal> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(channel) {
            return Ok(line.clone());
        }
        if lines.len() >= LINES_MAX {
            lines.retain(|_, line| {
                Arc::strong_count(line) > 1 || line.known.borrow().newest.is_some()
            });
        }
        if lines.len() >= LINES_MAX {
            return Err(LikeRefusal::Overloaded(Shed::Edge));
        }
        let line = Arc::new(Line {
            channel: channel.into(),
            known: watch::Sender::default(),
            wanted: AtomicUsize::new(0),
        });
        lines.insert(channel.into(), line.clone());
        Ok(line)
    }

    /// A place among the readers that wait for a change of this line.
    pub(super) fn waiting(&self, line: &Arc<Line>) -> Result<Waiting, LikeRefusal> {
        let place = self.waiting.clone().try_acquire_owned();
        let place = place.map_err(|_| LikeRefusal::Overloaded(Shed::Readers))?;
        line.wanted.fetch_add(1, Ordering::AcqRel);
        Ok(Waiting {
            line: line.clone(),
            _place: place,
        })
    }
}

/// A reader that waits for a change; dropping it gives its place back.
pub(super) struct Waiting {
    pub(super) line: Arc<Line>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.wanted.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Line {
    /// Whether the reader that asks now reads for all readers.
    pub(super) fn begins_read(&self, now: Timestamp) -> bool {
        self.turns(|known| {
            let begins = !known.reading && known.fresh(now).is_none();
            known.reading |= begins;
            begins
        })
    }

    /// Whether the reader that waits now polls for all readers.
    pub(super) fn begins_poll(&self) -> bool {
        self.turns(|known| !std::mem::replace(&mut known.polling, true))
    }

    /// Whether a poll is still wanted. If not, the next reader that waits begins one. Both are decided under one lock.
    pub(super) fn still_polls(&self) -> bool {
        self.turns(|known| {
            known.polling = self.wanted.load(Ordering::Acquire) > 0;
            known.polling
        })
    }

    fn turns(&self, turn: impl FnOnce(&mut Known) -> bool) -> bool {
        let mut turned = false;
        self.known.send_if_modified(|known| {
            turned = turn(known);
            false
        });
        turned
    }

    /// A long poll begins.
    pub(super) fn polled(&self, now: Timestamp) {
        self.turns(|known| known.polled_at.replace(now).is_none());
    }

    /// A read has ended, for any reason.
    pub(super) fn read_ended(&self) {
        self.known.send_modify(|known| {
            known.reading = false;
            known.landings += 1;
        });
    }

    /// The origin has answered, or has not been reached.
    pub(super) fn landed(
        &self,
        answered: Result<Response<Bytes>, NoAnswer>,
        now: Timestamp,
        fresh: Duration,
    ) {
        let until = now + fresh;
        self.known.send_modify(|known| match answered {
            Ok(response) if response.status() == StatusCode::NO_CONTENT => {
                known.fresh_until = until;
                known.instead = None;
            }
            Ok(response) => match Reading::parse(response.body()) {
                Some(reading) if response.status() == StatusCode::OK => {
                    known.learn(reading, now, until);
                }
                _ => known.instead = Some((Instead::Said(response), until)),
            },
            Err(_) => known.instead = Some((Instead::Unreached, until)),
        });
    }

    /// A reader has been told these counts, so no reader is told older ones from now on.
    pub(super) fn learn(&self, reading: Reading, now: Timestamp, fresh: Duration) {
        self.known
            .send_modify(|known| known.learn(reading, now, now + fresh));
    }
}

impl Known {
    fn learn(&mut self, reading: Reading, now: Timestamp, until: Timestamp) {
        let follows = |kept: &Arc<Kept>| reading.may_follow(&kept.reading);
        if self.newest.as_ref().is_none_or(follows) {
            let reading = reading.shared();
            let text = reading.text().into();
            let at = now;
            self.newest = Some(Arc::new(Kept { reading, text, at }));
        }
        self.fresh_until = until;
        self.instead = None;
    }

    /// The answer that needs no question to the origin.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<AtHand> {
        let holds = self.instead.as_ref().is_some_and(|(_, until)| now < *until);
        let fresh = self.newest.is_some() && now < self.fresh_until;
        (holds || fresh).then(|| self.at_hand(now))
    }

    /// The answer after a question to the origin.
    pub(super) fn at_hand(&self, now: Timestamp) -> AtHand {
        match (&self.instead, &self.newest) {
            (Some((Instead::Said(said), _)), _) if said.status().is_client_error() => {
                AtHand::Said(said.clone())
            }
            (None, Some(kept)) => AtHand::Counts(kept.clone()),
            (Some(_), Some(kept)) if now < self.fresh_until + STAND_IN => {
                AtHand::Stale(kept.clone())
            }
            (Some((Instead::Said(said), _)), _) => AtHand::Said(said.clone()),
            _ => AtHand::Unreached,
        }
    }

    /// The failure that ends a reader's wait for a change.
    pub(super) fn failure(&self, now: Timestamp) -> Option<AtHand> {
        let (instead, until) = self.instead.as_ref()?;
        (now < *until).then(|| match instead {
            Instead::Said(said) => AtHand::Said(said.clone()),
            Instead::Unreached => AtHand::Unreached,
        })
    }
}
