//! Counts of the origin and the edges, as values for the report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Requests that reached the origin during the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginHits {
    /// For segments.
    pub segment: u64,
    /// For media playlists.
    pub media_playlist: u64,
    /// For multivariant playlists.
    pub multivariant: u64,
    /// For anything else.
    pub other: u64,
    /// Requests among them that were beyond the origin's capacity and got 503.
    #[serde(default)]
    pub shed: u64,
    /// All requests, by the name of the client that asked.
    pub per_client: BTreeMap<String, u64>,
    /// The highest number of requests for one segment, over all clients.
    pub most_per_segment: u64,
    /// Whether the requests were not counted, so that the counts above mean nothing.
    #[serde(default)]
    pub uncounted: bool,
    /// Hits of each segment. Empty if the origin does not report them; then only the total is compared with the prediction.
    pub segments: Vec<SegmentHits>,
}

/// How often one client asked the origin for one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHits {
    /// Name of the client, which is an edge.
    pub client: String,
    /// Name of the rendition.
    pub rendition: String,
    /// Number of the segment.
    pub number: u64,
    /// Number of hits.
    pub hits: u64,
}

/// What the edges counted during the run, summed over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCounts {
    /// Which client asks the origin for which edge; empty if unknown.
    pub askers: Askers,
    /// Requests for segments that arrived, from any sender; `None` if unknown. A higher number than the audience sent means
    /// that other viewers watched too, and then the log does not explain every hit.
    pub segment_requests: Option<u64>,
    /// The highest number of requests that waited for one flight; `None` if unknown.
    pub waiters_peak: Option<u64>,
    /// Attempts within flights for segments, without the first attempts.
    pub segment_retries: u64,
    /// Prefetches of segments.
    pub segment_prefetches: u64,
    /// Segments that an edge has prefetched and that no viewer of that edge has asked for.
    pub unasked: Vec<Unasked>,
    /// How long a media playlist stays fresh at an edge; `None` if unknown.
    pub playlist_lifetime: Option<Duration>,
    /// Objects that the edges' caches evicted for lack of space. A request for an evicted object costs one more hit.
    pub evicted: u64,
    /// Why the edges' own counts are void, if they are. An example is an edge that was killed during the run.
    pub struck: Option<String>,
    /// Whether the caches were empty when the run began.
    pub caches: Caches,
}

/// The clients of the origin: each edge asks for itself, or the shields of a group ask for all edges of the group. A group asks
/// for each object once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Askers {
    /// The group of each edge, in the order of the run's targets.
    pub group_of_edge: Vec<u32>,
    /// The group of each client, by the name that the origin knows.
    pub group_of_client: BTreeMap<String, u32>,
    /// Whether shields ask the origin instead of the edges.
    pub shielded: bool,
}

impl Askers {
    /// Each edge asks for itself.
    pub fn edges(names: impl IntoIterator<Item = String>) -> Self {
        let group_of_client: BTreeMap<_, _> = names.into_iter().zip(0..).collect();
        Self {
            group_of_edge: (0..group_of_client.len() as u32).collect(),
            group_of_client,
            shielded: false,
        }
    }

    /// The group of an edge. Where the groups are unknown, each edge is its own group.
    pub fn group_of(&self, edge: u32) -> u32 {
        self.group_of_edge
            .get(edge as usize)
            .copied()
            .unwrap_or(edge)
    }
}

/// A segment that was prefetched in vain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unasked {
    /// Index of the edge.
    pub edge: u32,
    /// Name of the rendition.
    pub rendition: String,
    /// Number of the segment.
    pub number: u64,
}

/// What the caches held when the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caches {
    /// No objects.
    #[default]
    Cold,
    /// Some objects, or it is unknown: the log cannot say how many requests the origin must have had.
    Unknown,
}
