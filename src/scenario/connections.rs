//! The connections over which viewers reach the edges.

use serde::{Deserialize, Serialize};

/// How viewers reach the edges, and how much of each segment they ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Number of connections that all viewers share; `None`: each viewer has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<u32>,
    /// Viewers ask for the first of this many parts of each segment by Range, and the part stands for the whole segment. The
    /// edge handles the whole segment, and the modelled last mile carries it. 0 and 1 mean the whole segment.
    pub one_part_of: u64,
}

impl Connections {
    /// Maximum number of viewers with these connections.
    pub fn viewers_max(&self) -> u32 {
        match self.pool {
            Some(_) => 100_000,
            None => 4_000,
        }
    }
}
