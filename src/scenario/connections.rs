//! Over which connections viewers reach the edges.

use serde::{Deserialize, Serialize};

/// How viewers reach the edges, and how much of each segment they ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections that all viewers share; `None`: each has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<u32>,
    /// Of each segment the first of so many parts is asked for by Range, and stands for the whole: the edge handles the
    /// whole, and the modelled last mile carries it. 0 and 1: all of it.
    pub one_part_of: u64,
}

impl Connections {
    /// Viewers that can be told apart from each other and from their connections.
    pub fn viewers_max(&self) -> u32 {
        match self.pool {
            Some(_) => 100_000,
            None => 4_000,
        }
    }
}
