//! What the audience did and saw: one line per request and one per viewer. Also how well the generator itself ran.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::news::Part;
use super::settings::Setting;
use crate::policy::capacity::Capacity;
use crate::policy::status::MissQueue;
use crate::time::{Timestamp, UnixTime};
use crate::viewer::asking::Fate;
use crate::viewer::quality::Quality;

/// All results of a run.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed that the audience was drawn from.
    pub seed: u64,
    /// How the edges handled misses.
    pub miss_queue: MissQueue,
    /// Edges, in the order of [`Request::edge`]: the address of each.
    pub targets: Vec<String>,
    /// Renditions, in the order of the indices in [`Object`].
    pub renditions: Vec<String>,
    /// Duration of a segment.
    pub segment_duration: Duration,
    /// What the bytes of every segment were compared with.
    pub held_against: HeldAgainst,
    /// What was counted at other people's servers; `None` at edges of Seawall.
    pub foreign: Option<Foreign>,
    /// Bandwidth of the median viewer's last mile; `None` where viewers ask for a part of each segment that stands for the whole.
    pub last_mile_median_bps: Option<u64>,
    /// When the run began.
    pub began: UnixTime,
    /// When the run began, on the clock of the requests' times.
    pub began_at: Timestamp,
    /// Duration of the run.
    pub elapsed: Duration,
    /// Every request, in the order in which the requests ended.
    pub requests: Vec<Request>,
    /// Requests beyond the bound of the log: only their number is known.
    pub requests_unlogged: u64,
    /// Every viewer that started.
    pub viewers: Vec<Viewer>,
    /// Viewers in the schedule.
    pub viewers_scheduled: u32,
    /// Viewers that could not be started within a second of their arrival time.
    pub viewers_dropped: u32,
    /// Requests wanted earlier than this are left out of latencies; counted from the start of the run.
    pub warm_up: Duration,
    /// The named parts of the run, in their order; they may leave gaps, and do not overlap.
    pub phases: Vec<Phase>,
    /// Injected faults, sorted by their beginning.
    pub faults: Vec<FaultRecord>,
    /// Gauges read once a second, sorted by time.
    pub levels: Vec<Level>,
    /// What the origin can do; `None` if unknown.
    pub capacity: Option<Capacity>,
    /// The figures that the headline is made of.
    pub headline: Vec<Part>,
    /// What was set.
    pub settings: Vec<Setting>,
    /// The scenario as TOML.
    pub scenario_text: Option<String>,
    /// How well the generator kept its own schedule.
    pub generator: Generator,
    /// The viewers' likes; `None` if the scenario has none.
    pub likes: Option<LikesRecord>,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
}

/// The viewers' likes, and the origin's count of them.
#[derive(Clone, Debug, Default)]
pub struct LikesRecord {
    /// Why no like was sent, if none was: the server under test takes no likes.
    pub not_taken: Option<String>,
    /// Every operation, in the order in which the operations ended.
    pub operations: Vec<Operation>,
    /// Operations beyond the bound of this log: they are in the tally, and in no figure of times.
    pub unlogged: u64,
    /// Operations that were not sent, because too many were under way.
    pub unsent: u64,
    /// Answers that refused an operation or left it in doubt, by their word.
    pub refusals: BTreeMap<String, u64>,
    /// The count that each channel must have, by the audience's own tally.
    pub tally: Vec<Tally>,
    /// The origin's count for each channel during the run, in the same order.
    pub counted: Vec<Counted>,
    /// Why the origin did not report its counts, if it did not.
    pub uncounted: Option<String>,
    /// Whether other users may like the same channels meanwhile.
    pub shared: bool,
    /// The work of the origin's queue meanwhile; `None` if the origin does not report it.
    pub queue: Option<Queue>,
}

/// One like, unlike or group of hearts of one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The kind of operation.
    pub kind: Liking,
    /// When the viewer wanted it.
    pub due: Timestamp,
    /// When the outcome was known.
    pub finished: Timestamp,
    /// Number of attempts.
    pub attempts: u32,
    /// The outcome.
    pub fate: Fate,
    /// Whether the operation had been counted before, according to the last answer.
    pub duplicate: bool,
}

/// The effect of an operation on the counts of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Liking {
    /// Adds the viewer to those that like the channel.
    Like,
    /// Removes the viewer from those that like the channel.
    Unlike,
    /// Adds hearts.
    Hearts,
}

impl Liking {
    /// All kinds.
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

/// The counts that a channel must have: lowest and highest possible number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Name of the channel.
    pub channel: String,
    /// Viewers that like it.
    pub likes: (u64, u64),
    /// Hearts.
    pub hearts: (u64, u64),
}

/// Growth of the counts of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Viewers that like it.
    pub likes: i64,
    /// Hearts.
    pub hearts: i64,
}

/// The work of the origin's queue of likes during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Batches that were made durable.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// The longest time seen from when a batch was durable until it was counted; sampled once a second.
    pub lag_max_ms: f64,
    /// The highest number of operations seen waiting at once.
    pub waiting_most: u64,
    /// Position of the last durable operation.
    pub durable: u64,
    /// Position of the last counted operation.
    pub applied: u64,
}

/// What was counted at other people's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Answers that sent the viewer elsewhere.
    pub redirects: u64,
    /// Answers of each host, redirects among them.
    pub hosts: BTreeMap<String, u64>,
    /// Segments that could be compared, because another viewer had got the same address before.
    pub compared: u64,
}

/// What the bytes of segments are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldAgainst {
    /// The bytes that the channel defines: they were regenerated.
    #[default]
    Channel,
    /// The bytes that the first viewer received for the same segment.
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

/// A named part of a run, whose name labels figures: baseline, surge, plateau, recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it begins, counted from the start of the run.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
}

/// An injected fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// When it began, counted from the start of the run.
    pub from: Duration,
    /// When it ended; `None` if it did not.
    pub until: Option<Duration>,
    /// The fault, in words: `edge-2 is killed`.
    pub what: String,
}

/// Gauges at one instant of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The time, counted from the start of the run.
    pub at: Duration,
    /// Viewers that are watching.
    pub viewers: u32,
    /// Requests of every kind that the origin has had since the start; `None` if the origin does not report them.
    pub origin_hits: Option<u64>,
    /// Requests among them that were beyond the origin's capacity.
    #[serde(default)]
    pub origin_shed: Option<u64>,
    /// How long requests have held the origin's slots since the start, in sum.
    #[serde(default)]
    pub origin_busy: Option<Duration>,
    /// Requests that wait for a flight, over all edges; `None` if the edges do not report them.
    pub waiters: Option<u32>,
}

/// One request of one viewer.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The viewer's number.
    pub viewer: u32,
    /// The edge: an index into [`RunRecord::targets`].
    pub edge: u32,
    /// The requested object.
    pub object: Object,
    /// When the player wanted it.
    pub due: Timestamp,
    /// When the request was handed to the connection.
    pub sent: Timestamp,
    /// When the answer's head arrived, if it did.
    pub first_byte: Option<Timestamp>,
    /// When the answer was whole, or had failed.
    pub finished: Timestamp,
    /// Status code; 0 without an answer.
    pub status: u16,
    /// The edge's statement about what it did.
    pub word: ResultWord,
    /// Bytes of the body.
    pub bytes: u64,
    /// How it ended for the viewer.
    pub outcome: Outcome,
}

impl Request {
    /// Whether the edge delivered the object, or the part of it that was wanted.
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
    /// The header in front of a rendition's segments (EXT-X-MAP).
    Header { rendition: u32 },
    /// The key of a rendition's segments (EXT-X-KEY).
    Key { rendition: u32 },
    /// The steering manifest.
    Steering,
}

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Multivariant playlists.
    Multivariant,
    /// Media playlists. Summaries of version 0.1 spell it otherwise.
    #[serde(alias = "media-playlist")]
    MediaPlaylist,
    /// Segments.
    Segment,
    /// Headers of segments: initialization sections.
    Header,
    /// Keys of segments.
    Key,
    /// Steering manifests.
    Steering,
}

impl Kind {
    /// All kinds, in the order of a join.
    pub const ALL: [Self; 6] = [
        Self::Multivariant,
        Self::MediaPlaylist,
        Self::Segment,
        Self::Header,
        Self::Key,
        Self::Steering,
    ];
}

impl Object {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Multivariant => Kind::Multivariant,
            Self::MediaPlaylist { .. } => Kind::MediaPlaylist,
            Self::Segment { .. } => Kind::Segment,
            Self::Header { .. } => Kind::Header,
            Self::Key { .. } => Kind::Key,
            Self::Steering => Kind::Steering,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multivariant => "multivariant",
            Self::MediaPlaylist => "media playlist",
            Self::Segment => "segment",
            Self::Header => "header",
            Self::Key => "key",
            Self::Steering => "steering manifest",
        })
    }
}

/// The edge's statement about what it did with a request (RFC 9211): its *result*.
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
    /// Answered from the cache: the object is known to be missing.
    Negative,
    /// Refused by the edge, to protect itself or the origin.
    Shed,
    /// Passed through: the edge does not store this object.
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
    /// A status other than 200, or 206 for a requested part.
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

    /// Whether the request failed for the viewer: neither served nor cut off by the end of the run.
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
    /// The viewer's number.
    pub viewer: u32,
    /// The edge.
    pub edge: u32,
    /// When the viewer arrived.
    pub arrived: Timestamp,
    /// When the viewer left, for any reason.
    pub left: Timestamp,
    /// The stalls as (begin, end). Stalls beyond a bound are counted in [`Quality::stalls`] only.
    pub stalls: Vec<(Timestamp, Timestamp)>,
    /// What the viewer experienced.
    pub quality: Quality,
}

/// How well the generator ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Number of wake-ups that were timed.
    pub wakes: u64,
    /// Lateness of wake-ups, in milliseconds: median.
    pub lag_p50_ms: f64,
    /// Lateness of wake-ups, in milliseconds: the 99th percentile.
    pub lag_p99_ms: f64,
    /// Lateness of wake-ups, in milliseconds: the maximum.
    pub lag_max_ms: f64,
    /// Processor time, if the system reports it.
    pub cpu: Option<Cpu>,
}

/// Processor time of the generator's process during the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Seconds of processor time.
    pub busy_s: f64,
    /// Share of all processors of the machine.
    pub share: f64,
    /// What else runs in the process and spends its time.
    pub process: Process,
}

/// What else runs in the generator's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// Only the generator.
    Own,
    /// The origin runs in it too, and little else: the processor time is nearly the generator's.
    WithOrigin,
    /// Servers run in it too: the processor time says nothing about the generator, which is judged by its lag alone.
    SharedWithServers,
}
