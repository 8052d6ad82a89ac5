//! What the origin and the edges counted, handed to the report as values.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Requests that the origin was asked during the run.
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
    /// All of them, by the name of the client that asked.
    pub per_client: BTreeMap<String, u64>,
    /// The most requests for one segment, over all clients.
    pub most_per_segment: u64,
    /// Whether nobody counted them, so that all of this says nothing.
    #[serde(default)]
    pub uncounted: bool,
    /// Segments one by one. Empty if the origin does not tell; then only the total is held to the prediction.
    pub segments: Vec<SegmentHits>,
}

/// How often one client asked the origin for one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHits {
    /// Name of the client: of an edge.
    pub client: String,
    /// Name of the rendition.
    pub rendition: String,
    /// Number of the segment.
    pub number: u64,
    /// How often.
    pub hits: u64,
}

/// What the edges counted during the run, summed over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCounts {
    /// Who asks the origin on behalf of which edge; empty if unknown.
    pub askers: Askers,
    /// Requests for segments that arrived, from any sender; `None` if unknown. More than the audience sent means that
    /// somebody else was watching, and then the log explains not every hit.
    pub segment_requests: Option<u64>,
    /// The most requests that waited for one flight; `None` if unknown.
    pub waiters_peak: Option<u64>,
    /// Attempts within flights for segments, beyond the first.
    pub segment_retries: u64,
    /// Segments that an edge has fetched ahead and no viewer of that edge has asked for.
    pub unasked: Vec<Unasked>,
    /// How long a media playlist stays fresh at an edge; `None` if unknown.
    pub playlist_lifetime: Option<Duration>,
    /// Objects that the edges' caches let go for want of room: who asks for one of them again costs a hit more.
    pub evicted: u64,
    /// Why the edges' own counts are void, if they are: one of them was killed in mid-run, say.
    pub struck: Option<String>,
    /// Whether the caches were empty when the run began.
    pub caches: Caches,
}

/// Who asks the origin: each edge for itself, or the shields of a group for all edges of that group. What a group asks for,
/// it asks for once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Askers {
    /// The group of each edge, in the order of the run's targets.
    pub group_of_edge: Vec<u32>,
    /// The group of each client, by the name that the origin knows.
    pub group_of_client: BTreeMap<String, u32>,
    /// Whether shields ask, and not the edges themselves.
    pub shielded: bool,
}

impl Askers {
    /// Each edge by itself.
    pub fn edges(names: impl IntoIterator<Item = String>) -> Self {
        let group_of_client: BTreeMap<_, _> = names.into_iter().zip(0..).collect();
        Self {
            group_of_edge: (0..group_of_client.len() as u32).collect(),
            group_of_client,
            shielded: false,
        }
    }

    /// The group of an edge; where nothing is known each edge is its own.
    pub fn group_of(&self, edge: u32) -> u32 {
        self.group_of_edge
            .get(edge as usize)
            .copied()
            .unwrap_or(edge)
    }
}

/// A segment that was fetched ahead in vain.
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
    /// Nothing.
    #[default]
    Cold,
    /// Something, or nobody knows: the log cannot say what the origin must have been asked.
    Unknown,
}
