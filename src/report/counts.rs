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
    /// Names of the edges as the origin knows them, in the order of the run's targets; empty if unknown.
    pub names: Vec<String>,
    /// Requests for segments that arrived, whoever sent them; `None` if unknown. More than the audience sent means that
    /// somebody else was watching, and then the log explains not every hit.
    pub segment_requests: Option<u64>,
    /// The most requests that waited for one flight; `None` if unknown.
    pub waiters_peak: Option<u64>,
    /// Attempts within flights for segments, beyond the first.
    pub segment_retries: u64,
    /// Segments that were fetched ahead and never asked for.
    pub prefetched_unasked: u64,
    /// How long a media playlist stays fresh at an edge; `None` if unknown.
    pub playlist_lifetime: Option<Duration>,
    /// Whether the caches were empty when the run began.
    pub caches: Caches,
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
