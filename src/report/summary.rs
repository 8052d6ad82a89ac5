//! The summary of a run: measured beside predicted values, and the facts that a reader needs to judge them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::OriginHits;
use super::distributions::Distributions;
use super::edges::EdgeRow;
use super::experience::Experience;
use super::foreign::ForeignSummary;
use super::latency;
use super::likes::LikesSummary;
use super::news::Part;
use super::phases::{FaultRow, PhaseRow};
use super::record::{Generator, HeldAgainst, Kind, Outcome, ResultWord};
use super::settings::Setting;
use super::thresholds::{Check, Verdict, grouped};
use crate::policy::status::MissQueue;
use crate::time::UnixTime;

/// Version of the summary's format. It changes when a reader of the last format would misread the new one.
pub const VERSION: u32 = 2;
/// The oldest version that can be read.
pub const VERSION_READ_MIN: u32 = 1;

/// The summary of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    pub scenario: String,
    pub seed: u64,
    pub miss_queue: MissQueue,
    pub began: UnixTime,
    pub elapsed_s: f64,
    /// What the bytes of every segment were compared with.
    #[serde(default)]
    pub held_against: HeldAgainst,
    /// What other people's servers did; `None` at edges of Seawall.
    #[serde(default)]
    pub foreign: Option<ForeignSummary>,
    /// How the run was simulated; `None` if it was played over sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Simulated>,
    /// The run was stopped before its end: the figures below cover a part of it.
    pub interrupted: bool,
    pub verdict: Verdict,
    /// The figures that the run's headline is made of; the origin's hits, if empty.
    #[serde(default)]
    pub headline: Vec<Part>,
    /// What was set.
    #[serde(default)]
    pub settings: Vec<Setting>,
    /// The scenario as TOML, as it was played; `None` if unknown.
    #[serde(default)]
    pub scenario_text: Option<String>,
    pub checks: Vec<Check>,
    pub viewers: Viewers,
    /// One row per kind of object that was asked for.
    pub requests: Vec<KindRow>,
    /// Requests beyond the bound of the log; they are in no other figure.
    pub requests_unlogged: u64,
    pub origin: Origin,
    pub waiters: Waiters,
    /// Requests wanted earlier than this are left out of latencies; counted from the start of the run.
    #[serde(default)]
    pub warm_up_s: f64,
    pub latency: Vec<latency::Row>,
    pub experience: Experience,
    pub generator: Generator,
    /// Why the generator's figures cannot be trusted; empty if they can.
    pub generator_faults: Vec<String>,
    /// One row per phase of the run; empty if it has none.
    #[serde(default)]
    pub phases: Vec<PhaseRow>,
    /// One row per edge.
    #[serde(default)]
    pub edges: Vec<EdgeRow>,
    /// Injected faults.
    #[serde(default)]
    pub faults: Vec<FaultRow>,
    /// Distributions of figures over viewers and flights.
    #[serde(default)]
    pub distributions: Distributions,
    /// The viewers' likes; `None` if the scenario has none.
    #[serde(default)]
    pub likes: Option<LikesSummary>,
}

/// A run in virtual time. The same build plays the same configuration with the same seed to the same event hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// The version of the program.
    pub program: String,
    /// A digest of all that was set, 16 hexadecimal digits.
    pub config_hash: String,
    /// A digest of all events in their order, 16 hexadecimal digits.
    pub event_hash: String,
    /// Number of events.
    pub events: u64,
    /// Number of players.
    pub players: u64,
    /// The most viewers for whom one player decided.
    pub viewers_per_player_max: u32,
}

/// Number of viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewers {
    pub scheduled: u32,
    pub started: u32,
    pub dropped: u32,
    pub edges: u32,
}

/// Viewer requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindRow {
    pub kind: Kind,
    pub total: u64,
    pub bytes: u64,
    /// By what the edge did.
    pub words: BTreeMap<ResultWord, u64>,
    /// By how the requests ended for the viewer.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// By the status of the answer; 0 without an answer.
    #[serde(default)]
    pub statuses: BTreeMap<u16, u64>,
}

/// Origin hits, measured beside predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The origin's counts.
    pub measured: OriginHits,
    /// Number of segment requests that the origin must have counted, by the generator's log: lowest and highest possible
    /// number.
    pub predicted: (u64, u64),
    /// The terms of this sum.
    pub terms: Vec<Term>,
    /// Why the prediction does not bind; `None` if it does.
    pub not_binding: Option<String>,
    /// Number of segments whose hits differ from their prediction; `None` if the origin or the edges did not report the hits.
    pub segments_off: Option<u64>,
    /// The highest number of hits for one (edge, rendition, number); `None` if the origin or the edges did not report the hits.
    pub most_per_key: Option<u64>,
    /// Number of distinct (edge, rendition, number) that viewers asked for: the minimum that separate edges can fetch.
    pub keys: u64,
    /// Number of distinct (rendition, number): the minimum that any system can fetch.
    pub segments: u64,
    /// Requests sent before the first answer for their key had arrived. By the log's times alone, at most this number can have
    /// missed.
    pub before_first_answer: u64,
    /// The sum of 1 + Nx - x^N over all keys: the number expected by theory without a queue.
    pub expected_uncollapsed: f64,
    /// L: the median wait for a segment that missed, in milliseconds; the theory's input.
    pub fetch_ms: Option<f64>,
    /// W: the segment duration in milliseconds; the theory's input.
    pub window_ms: f64,
    /// The number of media playlist requests expected by theory; `None` if the playlists' lifetime at the edges is unknown.
    pub expected_media_playlists: Option<f64>,
    /// Share of the requests at the origin that were beyond its capacity; `None` if they were not counted.
    #[serde(default)]
    pub shed_share: Option<f64>,
    /// The same share by theory (M/M/c/K), from the requests of each second; `None` if the origin has no bound or it is unknown.
    #[serde(default)]
    pub shed_share_expected: Option<f64>,
    /// Share of viewer requests that the origin did not see; `None`, as the three figures below, if its hits were not counted.
    pub offload: Option<f64>,
    /// The same share for segments alone.
    pub offload_segments: Option<f64>,
    /// Segment hits per (edge, rendition, number): 1 is the best that separate edges can do.
    pub amplification: Option<f64>,
    /// Segment hits per (rendition, number): 1 is the floor of theory.
    pub excess: Option<f64>,
}

/// A term of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub count: u64,
    pub what: String,
}

/// Requests that waited for the fetch of another request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiters {
    /// The highest number that waited for one flight, by the edges' count; `None` if unknown.
    pub peak: Option<u64>,
    /// The highest number of collapsed answers for one segment of one edge, by the log.
    pub collapsed_most: u64,
    /// Collapsed answers per segment flight, by the log.
    pub mean: f64,
    /// The mean expected by theory, rL, if requests came evenly over a segment duration.
    pub expected_mean: f64,
    /// Requests for any object that waited for the fetch of another request.
    #[serde(default)]
    pub waited: u64,
    /// How long they took, from when they were sent, in milliseconds: median; `None` if none waited.
    #[serde(default)]
    pub wait_p50_ms: Option<f64>,
    /// The 95th percentile.
    #[serde(default)]
    pub wait_p95_ms: Option<f64>,
    /// The longest.
    #[serde(default)]
    pub wait_max_ms: Option<f64>,
}

impl Summary {
    /// Whether misses were handled as a baseline does, for comparison.
    pub fn is_baseline(&self) -> bool {
        self.miss_queue != MissQueue::Flights
    }

    /// All logged requests.
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().map(|row| row.total).sum()
    }

    /// The answers to all logged requests, by status, the most frequent first; in words.
    pub fn answers(&self) -> String {
        let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
        for (status, count) in self.requests.iter().flat_map(|row| &row.statuses) {
            *counts.entry(*status).or_default() += count;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let told = counts.into_iter().map(|(status, count)| match status {
            0 => format!("{} without an answer", grouped(count)),
            status => format!("{} with {status}", grouped(count)),
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Logged requests with this outcome, for objects of `kind`.
    pub fn outcomes(&self, kind: Kind, outcome: Outcome) -> u64 {
        self.requests
            .iter()
            .filter(|row| row.kind == kind)
            .filter_map(|row| row.outcomes.get(&outcome))
            .sum()
    }
}
