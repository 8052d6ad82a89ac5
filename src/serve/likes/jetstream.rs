//! The log on NATS JetStream: a stream per shard, a message per batch. Servers keep it, and several origins share it.
//!
//! ```text
//! origin A ── Nats-Msg-Id: writer:epoch:number ──▶ stream SEAWALL_LIKES_0 ──▶ Tail ──▶ the fold of every origin
//! ```
//! An entry's position is its sequence in the stream. A batch is sent again under the same name until an answer gives
//! its position. So the stream may hold the batch twice; the fold counts it once. Seawall never trims the stream,
//! because it does not know what another origin still needs. The servers keep checksums, so a start reads only the
//! entries after its own snapshot.

mod connection;
mod preflight;
mod stream;
mod tail;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Info, State};
use tokio::sync::watch;

use self::connection::{Connection, Unanswered};
use self::stream::Wanted;
use self::tail::Tail;
use super::log::{AppendError, Entry, Facts, Keeper, LikeLog, LogError, LogReader, Tell};
use super::recovery::READ_BYTES;
use super::sqlite::Shard;
use super::writer::Writer;
use crate::config::keys::JetStreamSettings;
use crate::likes;
use crate::likes::batch::{self, Header};

/// How long to wait for an entry that is in the stream, before it is requested by its position.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a message in addition to its batch.
const MESSAGE_EXTRA: usize = 1_024;

/// A connection to the servers.
#[derive(Clone, Debug)]
pub struct Servers {
    config: JetStreamSettings,
    connection: Connection,
}

/// A log that this process and others may append to.
#[derive(Debug)]
pub struct JetStreamLog {
    reader: JetStreamReader,
    facts: Facts,
    folder: PathBuf,
    /// Tells whether the connection has changed since the stream was last checked.
    changes: watch::Receiver<u64>,
    /// The last batch that was appended: its position and its checksum.
    appended: Option<(u64, u32)>,
}

/// A log for reading only.
#[derive(Debug)]
pub struct JetStreamReader {
    connection: Connection,
    wanted: Wanted,
    log: u64,
    tail: Option<Tail>,
    /// Whether it keeps following the stream after it has read all entries.
    follows: bool,
    /// An entry that is known to exist: the newest one seen.
    last: u64,
}

impl Servers {
    /// Connects. Blocks.
    ///
    /// # Errors
    /// No server accepts the connection, or the server's message limit is smaller than a batch.
    pub fn connect(config: &JetStreamSettings) -> Result<Self, LogError> {
        let connection = Connection::open(config)?;
        let (name, _, bytes_max) = connection.server();
        let wanted = batch::BYTES_MAX + MESSAGE_EXTRA;
        if bytes_max < wanted {
            return Err(LogError::Broken(format!(
                "the server {name} takes messages of {bytes_max} bytes, and a batch of likes may have {wanted}: raise \
                 max_payload there"
            )));
        }
        Ok(Self {
            config: config.clone(),
            connection,
        })
    }

    /// Opens or creates the log of a shard. `folder` keeps the name under which this process appends. Blocks.
    ///
    /// # Errors
    /// The stream has other settings, is not the stream of this folder, or its servers acknowledge before the disk
    /// write.
    pub fn open(&self, shard: Shard, folder: &Path) -> Result<JetStreamLog, LogError> {
        let wanted = Wanted::new(&self.config, shard);
        let known = Writer::read(folder)?;
        let info = wanted.open(&self.connection, known.is_none())?;
        let log = stream::identity(&info);
        if known.is_some_and(|known| known.log != log) {
            return Err(LogError::Broken(format!(
                "the stream {} is not the one that {} belongs to: restore that one; or, to begin anew with this one, move the \
                 folder away",
                wanted.name,
                folder.display()
            )));
        }
        let fsync_before_ack = self.fsync_before_ack(&info)?;
        let mut facts = facts(log, &info);
        facts.fsync_before_ack = fsync_before_ack;
        facts.writer = known.map_or_else(crate::serve::chance::draw, |known| known.writer);
        facts.epoch = known.map_or(0, |known| known.epoch);
        Ok(JetStreamLog {
            reader: self.reader(wanted, log, true),
            facts,
            folder: folder.to_owned(),
            changes: self.connection.changes(),
            appended: None,
        })
    }

    /// Opens the log of a shard for reading only, while others may append to it. Blocks.
    ///
    /// # Errors
    /// The stream does not exist, or has other settings.
    pub fn read_only(&self, shard: Shard) -> Result<(JetStreamReader, Facts), LogError> {
        let wanted = Wanted::new(&self.config, shard);
        let info = wanted.open(&self.connection, false)?;
        let log = stream::identity(&info);
        Ok((self.reader(wanted, log, false), facts(log, &info)))
    }

    fn reader(&self, wanted: Wanted, log: u64, follows: bool) -> JetStreamReader {
        JetStreamReader {
            connection: self.connection.clone(),
            wanted,
            log,
            tail: None,
            follows,
            last: 0,
        }
    }

    /// Whether all servers that keep the stream write to the disk before they acknowledge. `false` only if the
    /// configuration allows it.
    fn fsync_before_ack(&self, info: &Info) -> Result<bool, LogError> {
        let (name, version, _) = self.connection.server();
        let mut names = Vec::new();
        if let Some(cluster) = &info.cluster {
            names.extend(cluster.leader.clone());
            names.extend(cluster.replicas.iter().map(|peer| peer.name.clone()));
        }
        if names.is_empty() {
            names.push(name.clone());
        }
        // The version of the connected server is known even if no monitoring port tells it.
        let known = |keeper: &String| (*keeper == name).then(|| version.clone());
        let keeper = |name: String| (known(&name), name);
        let keepers: Vec<_> = names.into_iter().map(keeper).collect();
        let asked = preflight::unsynced(&self.config.monitor, &keepers);
        let Some(why) = self.connection.block_on(asked) else {
            return Ok(true);
        };
        if self.config.allow_unsynced_ack {
            tracing::warn!(
                why,
                "likes are acknowledged before they are on a disk: a loss of power may take what was acknowledged"
            );
            return Ok(false);
        }
        Err(LogError::Broken(format!(
            "likes would be acknowledged before they are on a disk: {why}. Set `sync_interval: always` in the jetstream section \
             of every nats-server (2.10 or newer) and name their monitoring ports in likes.jetstream.monitor; or, if a loss of \
             power may take acknowledged likes, set likes.jetstream.allow_unsynced_ack = true"
        )))
    }
}

fn facts(log: u64, info: &Info) -> Facts {
    Facts {
        log,
        writer: 0,
        epoch: 0,
        trimmed: info.state.first_sequence.saturating_sub(1),
        last: info.state.last_sequence,
        // The servers enforce the bound on bytes.
        bytes: 0,
        fsync_before_ack: false,
        keeper: Keeper::Servers,
    }
}

impl JetStreamLog {
    /// Begins a new life as a writer of the log, whose present state is `state`. Must come before the first append.
    /// Blocks.
    ///
    /// # Errors
    /// The disk refuses, or the log accepts no further writer.
    pub fn begin_life(&mut self, state: &likes::State) -> Result<(), LogError> {
        let Facts { log, writer, .. } = self.facts;
        if !state.admits_writer(writer) {
            return Err(LogError::Broken(format!(
                "as many origins have written to the stream {} as may: give this one the folder of likes that another had",
                self.reader.wanted.name
            )));
        }
        // The log may know lives that the folder does not, because the folder may be an old copy.
        let epoch = self.facts.epoch.max(state.epoch_of(writer)) + 1;
        let begun = Writer { log, writer, epoch };
        begun.write(&self.folder)?;
        self.facts.epoch = epoch;
        Ok(())
    }

    /// Checks that the stream still holds all known entries, most of all our last batch. If that batch is lost, no node
    /// can apply the next one, and the stream is unusable for all.
    fn look(&mut self) -> Result<(), AppendError> {
        if !self.changes.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.changes.mark_unchanged();
        let known = self.reader.last;
        let looked = match self.reader.ask() {
            Ok(State { last_sequence, .. }) if last_sequence < known => Err(AppendError::Refused(
                format!("the stream ends with entry {last_sequence}, and {known} has been there"),
            )),
            Ok(state) => self.holds_appended(state.first_sequence),
            Err(error) => Err(AppendError::Refused(error.to_string())),
        };
        if looked.is_err() {
            self.changes.mark_changed();
        }
        looked
    }

    /// Checks that our last batch is still at its position. Nothing is checked if the stream now begins after it, at
    /// `first`.
    fn holds_appended(&self, first: u64) -> Result<(), AppendError> {
        let Some((position, sum)) = self.appended.filter(|(position, _)| *position >= first) else {
            return Ok(());
        };
        let reader = &self.reader;
        let one = tail::one(&reader.connection, &reader.wanted, position);
        match reader.connection.block_on(one) {
            Ok(Some(entry)) if crc32c::crc32c(&entry.bytes) == sum => Ok(()),
            Ok(_) => Err(AppendError::Unknown(tail::another(position))),
            Err(error) => Err(AppendError::Refused(error.to_string())),
        }
    }

    /// Checks that a batch which the servers call a duplicate is the same batch: they compare the name only.
    fn is_there(&self, position: u64, batch: &[u8]) -> Result<(), AppendError> {
        let reader = &self.reader;
        let one = tail::one(&reader.connection, &reader.wanted, position);
        match reader.connection.block_on(one) {
            Ok(Some(entry)) if entry.bytes == batch => Ok(()),
            Ok(_) => Err(AppendError::Unknown(format!(
                "the servers have taken a batch for the one at {position}, which is another"
            ))),
            Err(error) => Err(AppendError::AskAgain(error.to_string())),
        }
    }

    fn refusal(&self, why: Unanswered) -> AppendError {
        match why {
            Unanswered::Unsent(why) => AppendError::Refused(why),
            Unanswered::Nobody => {
                // The stream may be gone or without a leader. The follower will find out.
                self.reader.connection.nudge();
                AppendError::Refused(format!("no stream takes {}", self.reader.wanted.subject))
            }
            Unanswered::Refused(error)
                if error.error_code() == ErrorCode::STREAM_STORE_FAILED
                    && error.to_string().contains("maximum bytes exceeded") =>
            {
                AppendError::Full(error.to_string())
            }
            // This does not tell whether one of several servers has stored the batch.
            why => AppendError::AskAgain(why.to_string()),
        }
    }
}

impl LikeLog for JetStreamLog {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError> {
        let Some(header) = Header::of(batch) else {
            return Err(AppendError::Refused("that is no batch".to_owned()));
        };
        let Header {
            writer,
            epoch,
            number,
        } = header;
        self.look()?;
        let mut headers = HeaderMap::new();
        headers.insert(
            "Nats-Msg-Id",
            format!("{writer:016x}:{epoch}:{number}").as_str(),
        );
        let reader = &self.reader;
        let subject = reader.wanted.subject.clone();
        let payload = batch.to_vec().into();
        let sent = reader
            .connection
            .request::<PublishAck>(subject, headers, payload);
        let ack = match reader.connection.block_on(sent) {
            Ok(ack) => ack,
            Err(why) => return Err(self.refusal(why)),
        };
        if ack.stream != reader.wanted.name {
            return Err(AppendError::Unknown(format!(
                "another stream has taken it: {}",
                ack.stream
            )));
        }
        self.reader.last = self.reader.last.max(ack.sequence);
        if ack.duplicate {
            self.is_there(ack.sequence, batch)?;
        }
        let sum = crc32c::crc32c(batch);
        self.appended = Some((ack.sequence, sum));
        if let Some(tail) = &self.reader.tail {
            tail.appended(ack.sequence, sum);
        }
        Ok(ack.sequence)
    }

    fn tail_barrier(&mut self) -> Result<u64, LogError> {
        self.reader.ask().map(|state| state.last_sequence)
    }

    fn trim(&mut self, _position: u64) -> Result<bool, LogError> {
        Ok(false)
    }

    fn follow(&mut self, position: u64, tell: Tell) {
        self.reader.tail_at(position).tell(tell.clone());
        self.reader.connection.tell(tell);
    }

    fn arrived(&mut self, position: u64) -> Result<Vec<Entry>, LogError> {
        self.reader.tail_at(position).take(position, READ_BYTES)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(JetStreamReader {
            connection: self.reader.connection.clone(),
            wanted: self.reader.wanted.clone(),
            log: self.reader.log,
            tail: None,
            follows: false,
            last: 0,
        }))
    }
}

impl LogReader for JetStreamReader {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        let mut waited = false;
        loop {
            let entries = self.tail_at(position).take(position, bytes_max)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            if self.last < position && self.ask()?.last_sequence < position {
                if !self.follows {
                    self.tail = None;
                }
                return Ok(Vec::new());
            }
            if waited {
                return self.ask_one(position);
            }
            self.tail_at(position).wait(position, PATIENCE);
            waited = true;
        }
    }
}

impl LogReader for JetStreamLog {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        self.reader.read_from(position, bytes_max)
    }
}

impl JetStreamReader {
    /// The tail that follows the stream and can return the entry at `position`.
    fn tail_at(&mut self, position: u64) -> &Tail {
        let kept = self.tail.take().filter(|tail| tail.reaches(position));
        let tail = kept.unwrap_or_else(|| {
            Tail::begin(&self.connection, self.wanted.clone(), self.log, position)
        });
        self.tail.insert(tail)
    }

    /// The first and the last entry, as the leader of the stream reports.
    fn ask(&mut self) -> Result<State, LogError> {
        let asked = self.connection.block_on(self.wanted.info(&self.connection));
        let info = asked.map_err(|why| tail::away(&why))?;
        if stream::identity(&info) != self.log {
            return Err(LogError::Broken(format!(
                "the stream {} is another than before: it was removed and made anew",
                self.wanted.name
            )));
        }
        self.last = self.last.max(info.state.last_sequence);
        Ok(info.state)
    }

    /// The entry at `position`, which must exist.
    fn ask_one(&mut self, position: u64) -> Result<Vec<Entry>, LogError> {
        let one = tail::one(&self.connection, &self.wanted, position);
        let found = self.connection.block_on(one)?;
        found.map(|entry| vec![entry]).ok_or_else(|| {
            LogError::Broken(format!(
                "entry {position} of the stream {} is missing",
                self.wanted.name
            ))
        })
    }
}
