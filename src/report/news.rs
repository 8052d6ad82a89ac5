//! The figures that a scenario's headline may be made of.

use serde::{Deserialize, Serialize};

/// A figure of a headline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Origin hits for segments, measured beside predicted.
    Origin,
    /// Requests beyond the origin's capacity.
    Shed,
    /// Requests that waited for the fetch of another request.
    Waiting,
    /// Viewers that stalled, and players that gave up.
    Stalls,
    /// Players that went to another edge.
    Failovers,
    /// Times to the first frame.
    Startup,
    /// Likes that were acknowledged.
    Likes,
}
