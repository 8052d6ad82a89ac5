//! The content of a scenario.

use serde::{Deserialize, Serialize};

use super::connections::Connections;
use super::fault::{Fault, FaultKind};
use crate::config::keys::CapacitySettings;
use crate::config::shields::Shields;
use crate::policy::capacity::Law;
use crate::policy::limits::Eviction;
use crate::policy::status::MissQueue;
use crate::report::news::Part;
use crate::report::thresholds::Thresholds;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::{Audience, Intermission, LastMile, Manners, Seekers, Sessions};
use crate::viewer::likes::LikesPlan;

/// A named surge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name on the command line.
    pub name: String,
    /// What the scenario shows, in one line.
    pub about: String,
    /// The seed of the audience.
    pub seed: u64,
    /// The scenario over real sockets.
    pub real: RealProfile,
    /// The scenario at the size of the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<SimProfile>,
}

/// A scenario at the size of the internet, by published figures, for virtual time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimProfile {
    /// The source of the figures.
    pub figures_from: String,
    /// Number of viewers.
    pub viewers: u64,
    /// Number of points of presence.
    pub pops: u32,
    /// Number of groups of shields; 0: none.
    #[serde(default)]
    pub shield_groups: u32,
    /// Number of streams; their shares follow Zipf's law.
    #[serde(default = "one")]
    pub streams: u32,
    /// Number of renditions of each stream.
    pub renditions: u32,
    /// Duration of a segment in seconds.
    pub segment_s: f64,
    /// Mean time until the origin answers, in milliseconds.
    pub origin_ms: f64,
    /// The same for playlists, which an origin may have at hand; as for segments, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_playlist_ms: Option<f64>,
    /// How single answers differ from that mean.
    #[serde(default)]
    pub origin_law: Law,
    /// Requests that the origin works on at once; no bound if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_slots: Option<u32>,
    /// Requests that wait for a slot.
    #[serde(default)]
    pub origin_queue: u32,
    /// Time from a viewer to its edge and back, in milliseconds.
    #[serde(default = "usual_round_trip")]
    pub viewer_ms: f64,
    /// Time from an edge to its shield and back, in milliseconds.
    #[serde(default = "usual_shield")]
    pub shield_ms: f64,
    /// Segments that a playlist lists.
    #[serde(default = "usual_window")]
    pub window: u64,
    /// Bytes that the cache of each point of presence may hold.
    #[serde(default = "usual_cache")]
    pub cache_bytes: u64,
    /// Percentage of a target duration for which a playlist is fresh at an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_fresh_percent: Option<u32>,
    /// Whether the edges prefetch segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<bool>,
    /// Whether the edges refresh stale playlists in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<bool>,
    /// How viewers choose a rendition; if left out, each keeps one of them, and all have as many viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abr: Option<abr::Rule>,
    /// How the players behave in other respects.
    #[serde(default, skip_serializing_if = "Manners::is_usual")]
    pub manners: Manners,
    /// Most players for the viewers of one rendition at one point of presence. If there are more viewers, a player decides for
    /// several of them.
    #[serde(default = "usual_players")]
    pub players_per_cell: u32,
    /// When viewers arrive.
    pub arrivals: Arrivals,
    /// When they leave.
    pub sessions: Sessions,
    /// How fast the viewers' last mile is.
    #[serde(default = "usual_last_mile")]
    pub last_mile: LastMile,
    /// A break in which many viewers leave and some return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermission: Option<Intermission>,
    /// Viewers that seek back to earlier media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seekers: Option<Seekers>,
    /// What viewers like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<LikesPlan>,
    /// How long the origin takes to make a batch of likes durable, in milliseconds.
    #[serde(default = "usual_commit")]
    pub likes_commit_ms: f64,
    /// Faults and their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<SimFault>,
    /// What must come out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
}

/// A fault in virtual time, which may meet several edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimFault {
    /// When it begins, counted from the start of the run.
    pub at_s: f64,
    /// When it ends; never, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
    /// The kind of fault.
    pub what: FaultKind,
    /// Number of edges that it meets, from that edge on.
    #[serde(default = "one")]
    pub edges: u32,
    /// Number of edges from one of them to the next.
    #[serde(default = "one")]
    pub apart: u32,
    /// How much later it meets each next edge.
    #[serde(default)]
    pub each_after_s: f64,
}

impl SimFault {
    /// The faults of the single edges.
    pub fn each(&self) -> impl Iterator<Item = Fault> {
        let apart = self.apart;
        (0..self.edges.max(1)).map(move |nth| {
            let later = self.each_after_s * f64::from(nth);
            Fault {
                at_s: self.at_s + later,
                until_s: self.until_s.map(|until_s| until_s + later),
                what: match self.what {
                    FaultKind::EdgeKilled(edge) => FaultKind::EdgeKilled(edge + nth * apart),
                    FaultKind::EdgeSilent(edge) => FaultKind::EdgeSilent(edge + nth * apart),
                    FaultKind::EdgeRestarted(edge) => FaultKind::EdgeRestarted(edge + nth * apart),
                    other => other,
                },
            }
        })
    }
}

fn usual_round_trip() -> f64 {
    20.0
}

fn usual_commit() -> f64 {
    5.0
}

fn usual_shield() -> f64 {
    10.0
}

fn usual_cache() -> u64 {
    4 << 30
}

fn usual_players() -> u32 {
    16
}

fn usual_last_mile() -> LastMile {
    LastMile {
        median_bps: 20_000_000,
        sigma: 0.6,
        at_least_bps: 1_500_000,
    }
}

fn one() -> u32 {
    1
}

/// A scenario over real sockets: sized for two cores and a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealProfile {
    /// The cluster.
    pub cluster: ClusterPlan,
    /// The audience.
    pub audience: Audience,
    /// How viewers reach the edges.
    #[serde(default)]
    pub connections: Connections,
    /// Requests wanted earlier than this are left out of latencies, because caches and players warm up. Counted from the start
    /// of the run.
    #[serde(default)]
    pub warm_up_s: f64,
    /// The viewers' likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likes: Option<LikesPlan>,
    /// Faults and their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The named phases that label figures; each lasts until the next begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// The figures that the headline of a report is made of; the origin's hits, if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headline: Vec<Part>,
    /// The runs that are compared with each other, each at a cold cluster with the same seed: at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// The conditions that a run must meet.
    pub thresholds: Thresholds,
    /// Maximum number of requests in the generator's log. Requests beyond it are only counted, and the run is not judged
    /// exactly.
    #[serde(default = "usual_log")]
    pub requests_logged_max: usize,
}

impl RealProfile {
    /// Sets the number of viewers. Likes per second grow and shrink with it.
    pub fn scale_to(&mut self, viewers: u32) {
        let factor = f64::from(viewers) / f64::from(self.audience.viewers.max(1));
        self.audience.viewers = viewers;
        if let Some(likes) = &mut self.likes {
            likes.scale(factor);
        }
    }
}

/// One of the runs that a scenario compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, in a word or three.
    pub name: String,
    /// How misses are handled.
    #[serde(default)]
    pub miss_queue: MissQueue,
    /// Whether the edges prefetch segments; as the cluster does, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<bool>,
    /// Whether the edges refresh stale playlists in the background; as the cluster does, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<bool>,
}

/// The cluster of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// Number of edges.
    pub edges: u32,
    /// Groups of shields before the origin, and shields per group, as GROUPSxN; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shields: Option<Shields>,
    /// Parts of 0.32 s per segment.
    pub parts_per_segment: u32,
    /// What the origin can do.
    #[serde(default)]
    pub origin: CapacitySettings,
    /// Number of channels, the most popular first: their shares of the viewers follow Zipf's law.
    #[serde(default = "one")]
    pub channels: u32,
    /// Segments that a playlist lists.
    #[serde(default = "usual_window")]
    pub window: u64,
    /// Bytes that the cache of each edge may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Percentage of a target duration for which a playlist is fresh at an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_fresh_percent: Option<u32>,
    /// How an edge evicts objects when its cache is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// Whether the edges prefetch segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<bool>,
    /// Whether the edges refresh stale playlists in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<bool>,
    /// Whether each edge is its own process. This is always so where a fault kills, silences or restarts an edge.
    #[serde(default)]
    pub processes: bool,
}

fn usual_log() -> usize {
    500_000
}

fn usual_window() -> u64 {
    10
}

/// A named phase of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it begins, counted from the start of the run.
    pub from_s: f64,
}
