//! Faults of a scenario, and their times, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An injected fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, counted from the start of the run.
    pub at_s: f64,
    /// When it ends; never, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
    /// The kind of fault.
    pub what: FaultKind,
}

/// Kinds of faults. Edges are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// An edge is killed (SIGKILL); at the end of the fault it is started again, with an empty cache.
    EdgeKilled(u32),
    /// An edge is stopped (SIGSTOP): its connections stay open, and no bytes come.
    EdgeSilent(u32),
    /// An edge is ended gracefully (SIGTERM) and started again, with an empty cache.
    EdgeRestarted(u32),
    /// Every answer of the origin takes this much longer, in milliseconds.
    OriginSlow(f64),
    /// This percentage of the origin's answers are 503.
    OriginUnavailable(f64),
    /// The origin accepts no connection.
    OriginStopped,
    /// The broadcaster publishes nothing.
    StreamStalled,
    /// The broadcaster's clock loses this many milliseconds per second.
    ClockDrift(f64),
    /// This percentage of the viewers reach no edge, and their open connections break.
    ViewersOffline(f64),
}

impl Fault {
    /// Whether another fault has the same target while this one lasts: the end of one would end both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let end = |fault: &Self| fault.until_s.unwrap_or(f64::INFINITY);
        let overlap = self.at_s < end(other) && other.at_s < end(self);
        overlap && self.what.means() == other.what.means()
    }
}

impl FaultKind {
    /// The target of the fault: an edge by its number, or another target by its own number.
    fn means(self) -> (u32, &'static str) {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                (edge, "edge")
            }
            Self::OriginSlow(_) | Self::OriginUnavailable(_) => (0, "answers"),
            Self::OriginStopped => (0, "door"),
            Self::StreamStalled | Self::ClockDrift(_) => (0, "broadcast"),
            Self::ViewersOffline(_) => (0, "viewers"),
        }
    }

    /// The edge that the fault affects, counted from 1.
    pub fn edge(self) -> Option<u32> {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                Some(edge)
            }
            _ => None,
        }
    }

    pub(super) fn fits(self, edges: u32) -> bool {
        match self {
            Self::EdgeKilled(edge) | Self::EdgeSilent(edge) | Self::EdgeRestarted(edge) => {
                (1..=edges).contains(&edge)
            }
            Self::OriginSlow(millis) => (0.0..=60_000.0).contains(&millis),
            Self::ClockDrift(millis) => (0.0..=900.0).contains(&millis),
            Self::OriginUnavailable(percent) | Self::ViewersOffline(percent) => {
                (0.0..=100.0).contains(&percent)
            }
            Self::OriginStopped | Self::StreamStalled => true,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EdgeKilled(edge) => write!(f, "edge-{edge} is killed"),
            Self::EdgeSilent(edge) => write!(f, "edge-{edge} falls silent"),
            Self::EdgeRestarted(edge) => write!(f, "edge-{edge} is restarted"),
            Self::OriginSlow(millis) => write!(f, "the origin is {millis} ms slower"),
            Self::OriginUnavailable(percent) => {
                write!(f, "the origin answers {percent} % with 503")
            }
            Self::OriginStopped => f.write_str("the origin is gone"),
            Self::StreamStalled => f.write_str("the stream stalls"),
            Self::ClockDrift(millis) => {
                write!(f, "the broadcaster's clock loses {millis} ms per second")
            }
            Self::ViewersOffline(percent) => write!(f, "{percent} % of the viewers are offline"),
        }
    }
}
