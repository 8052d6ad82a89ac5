//! The summary of a run: measured beside predicted, with everything that a reader needs to judge it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::OriginHits;
use super::distributions::Distributions;
use super::edges::EdgeRow;
use super::experience::Experience;
use super::latency;
use super::likes::Likes;
use super::phases::{FaultRow, PhaseRow};
use super::record::{Generator, HeldAgainst, Kind, Outcome, ResultWord};
use super::thresholds::{Check, Verdict};
use crate::policy::status::MissQueue;
use crate::time::UnixTime;

/// Version of the summary's form. It changes when a reader of the last form would misread the new one.
pub const VERSION: u32 = 1;

/// A run, summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`VERSION`].
    pub version: u32,
    pub scenario: String,
    pub seed: u64,
    pub miss_queue: MissQueue,
    pub began: UnixTime,
    pub elapsed_s: f64,
    /// What every segment was held against.
    #[serde(default)]
    pub held_against: HeldAgainst,
    /// The run was stopped before its end: what follows is a part.
    pub interrupted: bool,
    pub verdict: Verdict,
    pub checks: Vec<Check>,
    pub viewers: Viewers,
    /// One row per kind that was asked for.
    pub requests: Vec<KindRow>,
    /// Requests beyond the bound of the log; they are in no other figure.
    pub requests_unlogged: u64,
    pub origin: Origin,
    pub waiters: Waiters,
    /// What was wanted so early is left out of latencies.
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
    /// Trouble that was made on purpose.
    #[serde(default)]
    pub faults: Vec<FaultRow>,
    /// How figures are spread over viewers and flights.
    #[serde(default)]
    pub distributions: Distributions,
    /// What viewers liked; `None` if the scenario has none of it.
    #[serde(default)]
    pub likes: Option<Likes>,
}

/// How many viewers came.
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
    /// By how it ended for the viewer.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// Origin hits, measured beside predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// What the origin counted.
    pub measured: OriginHits,
    /// What it must have counted for segments, by the generator's log: at least and at most.
    pub predicted: (u64, u64),
    /// What that is the sum of.
    pub terms: Vec<Term>,
    /// Why the prediction does not bind; `None` if it does.
    pub not_binding: Option<String>,
    /// Segments, one by one, whose hits differ from their prediction; `None` if the origin or the edges did not tell.
    pub segments_off: Option<u64>,
    /// The most hits for one (edge, rendition, number); `None` likewise.
    pub most_per_key: Option<u64>,
    /// Distinct (edge, rendition, number) that viewers asked for: the least that separate edges can fetch.
    pub keys: u64,
    /// Distinct (rendition, number): the least that anybody can fetch.
    pub segments: u64,
    /// Requests sent before the first answer for their key had arrived: by the log's times alone, no more can have missed.
    pub before_first_answer: u64,
    /// The sum of 1 + Nx - x^N over all keys: what theory expects without a queue.
    pub expected_uncollapsed: f64,
    /// L: the median wait for a segment that missed, in milliseconds; the theory's input.
    pub fetch_ms: Option<f64>,
    /// W: the segment duration in milliseconds; the theory's input.
    pub window_ms: f64,
    /// What theory expects for media playlists; `None` if their lifetime at the edges is unknown.
    pub expected_media_playlists: Option<f64>,
    /// Share of viewer requests that the origin did not see.
    pub offload: f64,
    /// The same for segments alone.
    pub offload_segments: f64,
    /// Segment hits per (edge, rendition, number): 1 is the best that separate edges can do.
    pub amplification: f64,
    /// Segment hits per (rendition, number): 1 is the floor of theory.
    pub excess: f64,
}

/// A term of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub count: u64,
    pub what: String,
}

/// Requests that waited for the fetch of another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiters {
    /// The most that waited for one flight, by the edges' count; `None` if it is unknown.
    pub peak: Option<u64>,
    /// The most collapsed answers for one segment of one edge, by the log.
    pub collapsed_most: u64,
    /// Collapsed answers per segment flight, by the log.
    pub mean: f64,
    /// What theory expects, rL, if requests came evenly over a segment duration.
    pub expected_mean: f64,
}

impl Summary {
    /// All logged requests.
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().map(|row| row.total).sum()
    }

    /// Logged requests that ended so, for objects of `kind`.
    pub fn outcomes(&self, kind: Kind, outcome: Outcome) -> u64 {
        self.requests
            .iter()
            .filter(|row| row.kind == kind)
            .filter_map(|row| row.outcomes.get(&outcome))
            .sum()
    }
}
