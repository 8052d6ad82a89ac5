//! Follows a stream: entries as they arrive, in order and without a gap, kept until they are taken.
//!
//! The servers push to a consumer that starts at the reading position. Whenever the consumer breaks, a new one is made
//! at the same position. Each time the stream is checked: it must have the same identity, be no shorter than what has
//! been read, and hold the same bytes at the last entry read. An entry out of order ends the tail; the error names its
//! position.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::log::{Entry, LogError, News, Tell};
use super::connection::{Connection, Unanswered};
use super::stream::{self, Wanted};

/// Bytes of entries that wait to be taken. Beyond this the servers have to wait.
const WAITING_BYTES: usize = 8 << 20;
/// The first and the longest pause before a new consumer is made.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Number of remembered entries that were appended here and have not come back yet.
const APPENDED_MAX: usize = 65_536;
/// How often a stream may look too short before that is taken for true: a new leader may not know all entries yet.
const SHORTER_MAX: u32 = 8;

/// Follows one stream until it is dropped.
#[derive(Debug)]
pub(super) struct Tail {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    came: Condvar,
    room: Notify,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The position of the first entry that has been neither taken nor skipped.
    next: u64,
    broken: Option<LogError>,
    tell: Option<Tell>,
    /// The last entry that is known to be in the stream.
    known: u64,
    /// Entries that were appended here and have not come back yet: position and checksum.
    appended: VecDeque<(u64, u32)>,
}

/// The reading position, from which the task goes on when a consumer breaks.
struct Cursor {
    connection: Connection,
    wanted: Wanted,
    log: u64,
    /// The next entry.
    next: u64,
    /// The checksum of the entry before it, if that was read here.
    before: Option<u32>,
    shorter: u32,
}

/// Why a consumer has ended.
enum End {
    /// A new one may be made.
    Lost(String),
    /// The stream cannot be followed any longer.
    Broken(String),
}

impl Tail {
    /// Follows the stream from this position on.
    pub(super) fn begin(connection: &Connection, wanted: Wanted, log: u64, next: u64) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().next = next;
        let cursor = Cursor {
            connection: connection.clone(),
            wanted,
            log,
            next,
            before: None,
            shorter: 0,
        };
        let task = connection.spawn(follow(cursor, shared.clone()));
        Self { shared, task }
    }

    /// Sets the listener: `tell` is called when entries have arrived or the tail has failed.
    pub(super) fn tell(&self, tell: Tell) {
        let mut inner = self.shared.lock();
        let something = !inner.entries.is_empty() || inner.broken.is_some();
        inner.tell = Some(tell.clone());
        drop(inner);
        if something {
            tell(News::Arrived);
        }
    }

    /// Records an entry that was appended here: the same bytes must arrive at its position.
    pub(super) fn appended(&self, position: u64, sum: u32) {
        let mut inner = self.shared.lock();
        inner.known = inner.known.max(position);
        let come = inner
            .entries
            .iter()
            .rfind(|entry| entry.position <= position);
        match come {
            Some(entry) if entry.position == position => {
                if crc32c::crc32c(&entry.bytes) != sum {
                    drop(inner);
                    self.shared.fail(another(position));
                }
            }
            _ if inner.next > position => {}
            _ => {
                if inner.appended.len() >= APPENDED_MAX {
                    inner.appended.pop_front();
                }
                inner.appended.push_back((position, sum));
            }
        }
    }

    /// Whether the tail can still return the entry at `position`.
    pub(super) fn reaches(&self, position: u64) -> bool {
        self.shared.lock().next <= position
    }

    /// Takes the entries from `position` on that have arrived: as many as fit, at least one if there is one. Earlier
    /// entries are skipped.
    pub(super) fn take(&self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let mut inner = self.shared.lock();
        let (mut taken, mut left) = (Vec::new(), bytes_max);
        while let Some(first) = inner.entries.front() {
            let length = first.bytes.len();
            let wanted = first.position >= position;
            if wanted && length > left && !taken.is_empty() {
                break;
            }
            let Some(entry) = inner.entries.pop_front() else {
                break;
            };
            inner.bytes -= length;
            inner.next = entry.position + 1;
            if wanted {
                left = left.saturating_sub(length);
                taken.push(entry);
            }
        }
        self.shared.room.notify_one();
        match &inner.broken {
            Some(broken) if taken.is_empty() => Err(broken.clone()),
            _ => Ok(taken),
        }
    }

    /// Waits until an entry at `position` or later has arrived; at most for `patience`.
    pub(super) fn wait(&self, position: u64, patience: Duration) {
        let nothing = |inner: &mut Inner| {
            let last = inner.entries.back().map_or(0, |entry| entry.position);
            last < position && inner.broken.is_none()
        };
        let inner = self.shared.lock();
        let _ = self
            .shared
            .came
            .wait_timeout_while(inner, patience, nothing);
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these bytes are the ones that were appended here at this position. `true` if none were.
    fn is_ours(&self, position: u64, sum: u32) -> bool {
        let mut inner = self.lock();
        while let Some(&(place, appended)) = inner.appended.front() {
            if place > position {
                break;
            }
            inner.appended.pop_front();
            if place == position {
                return appended == sum;
            }
        }
        true
    }

    fn push(&self, entry: Entry) {
        let mut inner = self.lock();
        inner.known = inner.known.max(entry.position);
        inner.bytes += entry.bytes.len();
        inner.entries.push_back(entry);
        self.came_in(inner);
    }

    fn fail(&self, why: String) {
        let mut inner = self.lock();
        inner.broken = Some(LogError::Broken(why));
        self.came_in(inner);
    }

    fn came_in(&self, inner: MutexGuard<'_, Inner>) {
        let tell = inner.tell.clone();
        drop(inner);
        self.came.notify_all();
        if let Some(tell) = tell {
            tell(News::Arrived);
        }
    }

    /// Waits until there is space for another entry.
    async fn has_room(&self) {
        loop {
            let room = self.room.notified();
            if self.lock().bytes < WAITING_BYTES {
                return;
            }
            room.await;
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

/// Runs until the tail is dropped or the stream cannot be followed any longer.
async fn follow(mut cursor: Cursor, shared: Arc<Shared>) {
    let mut pause = PAUSE;
    loop {
        let begun = cursor.next;
        let why = match cursor.consume(&shared).await {
            End::Broken(why) => return shared.fail(why),
            End::Lost(why) => why,
        };
        if cursor.next > begun {
            pause = PAUSE;
        }
        tracing::debug!(
            why,
            stream = cursor.wanted.name,
            "a stream is followed anew"
        );
        tokio::time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

impl Cursor {
    /// Follows the stream with one consumer until that ends.
    async fn consume(&mut self, shared: &Shared) -> End {
        let mut changes = self.connection.changes();
        changes.mark_unchanged();
        let known = shared.lock().known.max(self.next.saturating_sub(1));
        let start = match self.look(known).await {
            Ok(start) => start,
            Err(end) => return end,
        };
        let config = OrderedConfig {
            deliver_subject: self.connection.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: start,
            },
            ..OrderedConfig::default()
        };
        let context = self.connection.context();
        let made = context.create_consumer_on_stream(config, &self.wanted.name);
        let mut messages = match made.await {
            Ok(consumer) => match consumer.messages().await {
                Ok(messages) => messages,
                Err(error) => return End::Lost(error.to_string()),
            },
            Err(error) => return End::Lost(error.to_string()),
        };
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                _ = changes.changed() => return End::Lost("the connection has changed".to_owned()),
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return End::Lost(error.to_string()),
                None => return End::Lost("the consumer has ended".to_owned()),
            };
            let position = match message.info() {
                Ok(info) => info.stream_sequence,
                Err(error) => return End::Lost(error.to_string()),
            };
            if let Err(why) = self.take(position, &message.payload, shared).await {
                return End::Broken(why);
            }
        }
    }

    /// Checks that the stream is the same and has all entries up to `known`. Returns the position at which reading
    /// starts.
    async fn look(&mut self, known: u64) -> Result<u64, End> {
        let info = match self.wanted.info(&self.connection).await {
            Ok(info) => info,
            Err(why) if why.is(ErrorCode::STREAM_NOT_FOUND) => {
                return Err(End::Broken(format!(
                    "the stream {} is gone: restore it",
                    self.wanted.name
                )));
            }
            Err(why) => return Err(End::Lost(why.to_string())),
        };
        if stream::identity(&info) != self.log {
            return Err(End::Broken(format!(
                "the stream {} is another than before: it was removed and made anew",
                self.wanted.name
            )));
        }
        let (first, last) = (info.state.first_sequence, info.state.last_sequence);
        if last < known {
            let why = format!(
                "the stream {} ends with entry {last}, and {known} has been there: it has lost its end",
                self.wanted.name
            );
            self.shorter += 1;
            return Err(if self.shorter > SHORTER_MAX {
                End::Broken(why)
            } else {
                End::Lost(why)
            });
        }
        self.shorter = 0;
        // Read the entry before once more, if it still exists: it shows whether the stream is the same.
        let before = self.next.saturating_sub(1);
        Ok(if self.before.is_some() && before >= first && before > 0 {
            before
        } else {
            self.next
        })
    }

    /// Takes an arrived entry. An entry that was read before is only compared with its checksum.
    async fn take(&mut self, position: u64, bytes: &[u8], shared: &Shared) -> Result<(), String> {
        let sum = crc32c::crc32c(bytes);
        if position < self.next {
            return match self.before {
                Some(before) if position + 1 == self.next && before != sum => {
                    Err(another(position))
                }
                _ => Ok(()),
            };
        }
        if position > self.next {
            return Err(format!(
                "entry {} of the stream {} is missing: {position} follows",
                self.next, self.wanted.name
            ));
        }
        shared.has_room().await;
        if !shared.is_ours(position, sum) {
            return Err(another(position));
        }
        self.next += 1;
        self.before = Some(sum);
        let bytes = bytes.to_vec();
        shared.push(Entry { position, bytes });
        Ok(())
    }
}

/// The error message for a stream that lost its end and was then continued.
pub(super) fn another(position: u64) -> String {
    format!(
        "entry {position} of the stream is another than the one that was there before: it has lost its end, and others have gone \
         on from there"
    )
}

/// One entry, requested by its position; `None` if it does not exist.
pub(super) async fn one(
    connection: &Connection,
    wanted: &Wanted,
    position: u64,
) -> Result<Option<Entry>, LogError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        message: async_nats::jetstream::stream::RawMessage,
    }
    let subject = format!("STREAM.MSG.GET.{}", wanted.name);
    let question = serde_json::json!({ "seq": position });
    match connection.ask::<Answer>(&subject, &question).await {
        Ok(answer) => {
            let message: Result<async_nats::jetstream::message::StreamMessage, _> =
                answer.message.try_into();
            let message = message.map_err(|error| {
                LogError::Away(format!("entry {position} cannot be read: {error}"))
            })?;
            let bytes = message.payload.to_vec();
            Ok(Some(Entry { position, bytes }))
        }
        Err(why) if why.is(ErrorCode::NO_MESSAGE_FOUND) => Ok(None),
        Err(why) => Err(away(&why)),
    }
}

pub(super) fn away(why: &Unanswered) -> LogError {
    LogError::Away(why.to_string())
}
