//! What the audience did and saw: one line per request, one per viewer, and how well the generator itself ran.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::status::MissQueue;
use crate::time::{Timestamp, UnixTime};
use crate::viewer::asking::Fate;
use crate::viewer::quality::Quality;

/// Everything that a run leaves behind.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed that the audience was drawn from.
    pub seed: u64,
    /// How the edges handled misses.
    pub miss_queue: MissQueue,
    /// Edges, in the order of [`Request::edge`]: where each was reached.
    pub targets: Vec<String>,
    /// Renditions, in the order of the indices in [`Object`].
    pub renditions: Vec<String>,
    /// Duration of a segment.
    pub segment_duration: Duration,
    /// What every segment was held against.
    pub held_against: HeldAgainst,
    /// When the run began.
    pub began: UnixTime,
    /// The same on the clock of the requests' times.
    pub began_at: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Every request, in the order in which they ended.
    pub requests: Vec<Request>,
    /// Requests beyond the bound of the log: known to have happened, and nothing else.
    pub requests_unlogged: u64,
    /// Every viewer that started.
    pub viewers: Vec<Viewer>,
    /// Viewers that were to come.
    pub viewers_scheduled: u32,
    /// Viewers that could not be started within a second of their time.
    pub viewers_dropped: u32,
    /// What was wanted so early is left out of latencies, counted from the start of the run.
    pub warm_up: Duration,
    /// The stretches of the run that have a name, in their order; they may leave gaps, and don't overlap.
    pub phases: Vec<Phase>,
    /// Trouble that was made on purpose, by when it began.
    pub faults: Vec<Fault>,
    /// What was counted once a second, in the order of time.
    pub levels: Vec<Level>,
    /// How well the generator kept its own schedule.
    pub generator: Generator,
    /// What viewers liked; `None` if the scenario has none of it.
    pub likes: Option<Likes>,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
}

/// What viewers liked, and what the origin made of it.
#[derive(Clone, Debug, Default)]
pub struct Likes {
    /// Why none was sent, if none was: who is played at takes no likes.
    pub not_taken: Option<String>,
    /// Every operation, in the order in which they ended.
    pub operations: Vec<Operation>,
    /// Operations beyond the bound of that log: they are in the tally, and in no figure of times.
    pub unlogged: u64,
    /// Operations that were not sent, because too many were under way.
    pub unsent: u64,
    /// Answers that refused one, or left it in doubt, by their word.
    pub refusals: BTreeMap<String, u64>,
    /// What each channel must have come to, by the audience's own count.
    pub tally: Vec<Tally>,
    /// What the origin counted for each of them during the run, in the same order.
    pub counted: Vec<Counted>,
    /// Why it did not tell, if it did not.
    pub uncounted: Option<String>,
    /// Whether others may like the same channels meanwhile.
    pub shared: bool,
    /// What the origin's queue did meanwhile; `None` if it does not tell.
    pub queue: Option<Queue>,
}

/// One like, unlike or bundle of hearts of one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it is.
    pub kind: Liking,
    /// When the viewer wanted it.
    pub due: Timestamp,
    /// When it was known what became of it.
    pub finished: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// What became of it.
    pub fate: Fate,
    /// Whether it had been counted before, by what the last answer said.
    pub duplicate: bool,
}

/// What a viewer does to the counts of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Liking {
    /// Joins those who like it.
    Like,
    /// Leaves them.
    Unlike,
    /// Adds hearts.
    Hearts,
}

impl Liking {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Like, Self::Unlike, Self::Hearts];
}

impl fmt::Display for Liking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Like => "likes",
            Self::Unlike => "unlikes",
            Self::Hearts => "hearts",
        })
    }
}

/// What a channel must have come to: each at least and at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Name of the channel.
    pub channel: String,
    /// Viewers who like it.
    pub likes: (u64, u64),
    /// Hearts.
    pub hearts: (u64, u64),
}

/// By how much the counts of a channel grew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Viewers who like it.
    pub likes: i64,
    /// Hearts.
    pub hearts: i64,
}

/// What the origin's queue of likes did during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Batches that were made durable.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// The longest that a batch was durable before it was counted, of those that were seen: read once a second.
    pub lag_max_ms: f64,
    /// The most operations that were seen to wait at once.
    pub waiting_most: u64,
    /// The last operation that is durable.
    pub durable: u64,
    /// The last operation that is counted.
    pub applied: u64,
}

/// What the bytes of segments are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldAgainst {
    /// What the channel says they are: they were regenerated.
    #[default]
    Channel,
    /// What the first viewer who asked for the same one got.
    FirstReceived,
}

impl fmt::Display for HeldAgainst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Channel => "what the channel says they are",
            Self::FirstReceived => "what the first viewer got",
        })
    }
}

/// A stretch of a run by whose name figures are labelled: baseline, surge, plateau, recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it begins, counted from the start of the run.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// Trouble that was made on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it began, counted from the start of the run.
    pub from: Duration,
    /// When it ended; `None` if it did not.
    pub until: Option<Duration>,
    /// What was done, in words: `edge-2 is killed`.
    pub what: String,
}

/// What was counted at one instant of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// When, counted from the start of the run.
    pub at: Duration,
    /// Viewers that are watching.
    pub viewers: u32,
    /// Requests that the origin has had since the start, of every kind; `None` if it does not tell.
    pub origin_hits: Option<u64>,
    /// Requests that wait for a flight, over all edges; `None` if they don't tell.
    pub waiters: Option<u32>,
}

/// One request of one viewer.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Whose.
    pub viewer: u32,
    /// At which edge: an index into [`RunRecord::targets`].
    pub edge: u32,
    /// For what.
    pub object: Object,
    /// When the player wanted it.
    pub due: Timestamp,
    /// When it was handed to the connection.
    pub sent: Timestamp,
    /// When the answer's head came, if it came.
    pub first_byte: Option<Timestamp>,
    /// When the answer was whole, or had failed.
    pub finished: Timestamp,
    /// Status code; 0 without an answer.
    pub status: u16,
    /// What the edge says it did.
    pub word: ResultWord,
    /// Bytes of the body.
    pub bytes: u64,
    /// How it ended for the viewer.
    pub outcome: Outcome,
}

impl Request {
    /// Whether the edge gave what was asked for: the whole of it, or the part that was wanted.
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200 | 206)
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// The multivariant playlist.
    Multivariant,
    /// The media playlist of a rendition: an index into [`RunRecord::renditions`].
    MediaPlaylist { rendition: u32 },
    /// A segment of a rendition.
    Segment { rendition: u32, number: u64 },
}

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Multivariant playlists.
    Multivariant,
    /// Media playlists.
    MediaPlaylist,
    /// Segments.
    Segment,
}

impl Kind {
    /// All kinds, in the order of a join.
    pub const ALL: [Self; 3] = [Self::Multivariant, Self::MediaPlaylist, Self::Segment];
}

impl Object {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Multivariant => Kind::Multivariant,
            Self::MediaPlaylist { .. } => Kind::MediaPlaylist,
            Self::Segment { .. } => Kind::Segment,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multivariant => "multivariant",
            Self::MediaPlaylist => "media playlist",
            Self::Segment => "segment",
        })
    }
}

/// What the edge says it did with a request (RFC 9211): its *result*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultWord {
    /// Answered from the cache, fresh.
    Hit,
    /// Waited for the fetch of another request.
    Collapsed,
    /// Went to the origin.
    Miss,
    /// Answered from the cache past its lifetime.
    Stale,
    /// Answered from the cache: the object is known not to be there.
    Negative,
    /// Refused by the edge, to protect itself or the origin.
    Shed,
    /// Passed through: the edge keeps nothing of this.
    Pass,
    /// The answer does not say.
    Unmarked,
    /// There was no answer.
    Unanswered,
}

impl ResultWord {
    /// All words, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::Hit,
        Self::Collapsed,
        Self::Miss,
        Self::Stale,
        Self::Negative,
        Self::Shed,
        Self::Pass,
        Self::Unmarked,
        Self::Unanswered,
    ];
}

impl fmt::Display for ResultWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit => "hit",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Shed => "shed",
            Self::Pass => "pass",
            Self::Unmarked => "unmarked",
            Self::Unanswered => "unanswered",
        })
    }
}

/// How a request ended for the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A whole answer; a segment equals the regenerated bytes.
    Ok,
    /// A segment that differs from the regenerated bytes.
    WrongBytes,
    /// The body ended before its length, or a segment before its last byte.
    Truncated,
    /// A playlist that cannot be read.
    Unreadable,
    /// A status other than 200.
    Status,
    /// No whole answer within the player's time-out.
    Timeout,
    /// No connection could be made: nothing was sent.
    Refused,
    /// The connection broke after the request was sent.
    Reset,
    /// The run was interrupted.
    Cut,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::WrongBytes,
        Self::Truncated,
        Self::Unreadable,
        Self::Status,
        Self::Timeout,
        Self::Refused,
        Self::Reset,
        Self::Cut,
    ];

    /// Whether the viewer was failed: neither served nor cut off by the end of the run.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Ok | Self::Cut)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::WrongBytes => "wrong bytes",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Cut => "cut",
        })
    }
}

/// One viewer's visit.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Who.
    pub viewer: u32,
    /// At which edge.
    pub edge: u32,
    /// When it came.
    pub arrived: Timestamp,
    /// When it left, for whatever reason.
    pub left: Timestamp,
    /// When it stalled, from when until when; what is beyond a bound is in [`Quality::stalls`] alone.
    pub stalls: Vec<(Timestamp, Timestamp)>,
    /// What it lived through.
    pub quality: Quality,
}

/// How well the generator ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Wake-ups that were timed.
    pub wakes: u64,
    /// How late they were, in milliseconds: median.
    pub lag_p50_ms: f64,
    /// The 99th percentile.
    pub lag_p99_ms: f64,
    /// The worst.
    pub lag_max_ms: f64,
    /// Processor time, where the system tells.
    pub cpu: Option<Cpu>,
}

/// Processor time of the generator's process during the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Seconds of processor time.
    pub busy_s: f64,
    /// Share of all processors of the machine.
    pub share: f64,
    /// Who else spends it.
    pub process: Process,
}

/// Whose the process is that the generator runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// The generator's alone.
    Own,
    /// The origin runs in it too, and little else: its processor time is nearly the generator's.
    WithOrigin,
    /// Servers run in it too: its processor time says nothing of the generator, which is judged by its lag alone.
    SharedWithServers,
}
