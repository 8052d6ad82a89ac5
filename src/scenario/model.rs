//! What a scenario holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connections::Connections;
use super::fault::Fault;
use crate::config::shields::Shields;
use crate::policy::limits::Eviction;
use crate::report::thresholds::Thresholds;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::{Audience, Sessions};
use crate::viewer::likes::Likes;

/// A surge with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name on the command line.
    pub name: String,
    /// What it shows, in one line.
    pub about: String,
    /// Seeds the audience.
    pub seed: u64,
    /// How it is played over real sockets.
    pub real: RealProfile,
    /// How large it is on the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<SimProfile>,
}

/// A scenario at the size of the internet, as published figures have it: to be played in virtual time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimProfile {
    /// Where the figures come from.
    pub figures_from: String,
    /// Viewers.
    pub viewers: u64,
    /// Points of presence.
    pub pops: u32,
    /// Groups of shields; 0: none.
    #[serde(default)]
    pub shield_groups: u32,
    /// Streams; their shares follow Zipf's law.
    #[serde(default = "one")]
    pub streams: u32,
    /// Renditions of each.
    pub renditions: u32,
    /// Duration of a segment in seconds.
    pub segment_s: f64,
    /// How long the origin takes for an answer, in milliseconds.
    pub origin_ms: f64,
    /// When viewers arrive.
    pub arrivals: Arrivals,
    /// When they leave.
    pub sessions: Sessions,
}

fn one() -> u32 {
    1
}

/// A scenario over real sockets: sized for two cores and a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealProfile {
    /// What the audience comes to.
    pub stage: Stage,
    /// The audience.
    pub audience: Audience,
    /// How viewers reach the edges.
    #[serde(default)]
    pub connections: Connections,
    /// What is wanted so early is left out of latencies: caches and players warm up, counted from the start of the run.
    #[serde(default)]
    pub warm_up_s: f64,
    /// What viewers like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<Likes>,
    /// What goes wrong, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The stretches by whose names figures are labelled, each from its beginning until the next begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What must come out.
    pub thresholds: Thresholds,
    /// Requests that the generator's log holds at most; those beyond it are counted, and the run is not judged exactly.
    pub requests_logged_max: usize,
}

/// The cluster that a scenario is played at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Number of edges.
    pub edges: u32,
    /// Groups of shields before the origin, and shields per group, as GROUPSxN; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shields: Option<Shields>,
    /// Parts of 0.32 s per segment.
    pub parts_per_segment: u32,
    /// How long the origin waits before it answers: on loopback a fetch would otherwise take no time.
    pub origin_delay_ms: f64,
    /// Channels, the most popular first: their shares of the viewers follow Zipf's law.
    #[serde(default = "one")]
    pub channels: u32,
    /// Segments that a playlist lists.
    #[serde(default = "usual_window")]
    pub window: u64,
    /// Bytes that the cache of each edge may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Per cent of a target duration for which a playlist is fresh at an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_fresh_percent: Option<u32>,
    /// What an edge lets go when its cache is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// Whether each edge is a process of its own; each is where a fault kills, silences or restarts one.
    #[serde(default)]
    pub processes: bool,
}

fn usual_window() -> u64 {
    10
}

/// A stretch of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it begins, counted from the start of the run.
    pub from_s: f64,
}

impl Stage {
    /// The origin's delay.
    pub fn origin_delay(&self) -> Duration {
        Duration::try_from_secs_f64(self.origin_delay_ms / 1e3).unwrap_or_default()
    }
}
