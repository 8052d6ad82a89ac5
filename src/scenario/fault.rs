//! What goes wrong in a scenario, and when, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Trouble that is made on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, counted from the start of the run.
    pub at_s: f64,
    /// When it is over; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
    /// What is done.
    pub what: Trouble,
}

/// What can go wrong. Edges are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// An edge is killed (SIGKILL); when that is over it is started again, with nothing in its cache.
    EdgeKilled(u32),
    /// An edge falls silent (SIGSTOP): connections stand, and nothing comes.
    EdgeSilent(u32),
    /// An edge is ended in order (SIGTERM) and started again, with nothing in its cache.
    EdgeRestarted(u32),
    /// Every answer of the origin takes so much longer, in milliseconds.
    OriginSlow(f64),
    /// Of a hundred answers of the origin so many are 503.
    OriginUnavailable(f64),
    /// The origin takes no connection.
    OriginStopped,
    /// The broadcaster publishes nothing.
    StreamStalled,
    /// The broadcaster's clock loses so many milliseconds per second.
    ClockDrift(f64),
    /// Of a hundred viewers so many reach nobody: what they have open breaks.
    ViewersOffline(f64),
}

impl Fault {
    /// Whether another strikes the same while this one lasts: the end of one would end both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let end = |fault: &Self| fault.until_s.unwrap_or(f64::INFINITY);
        let overlap = self.at_s < end(other) && other.at_s < end(self);
        overlap && self.what.means() == other.what.means()
    }
}

impl Trouble {
    /// What it strikes: an edge by its number, or one of the others by a number of its own.
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

    /// The edge that it strikes, counted from 1.
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

impl fmt::Display for Trouble {
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
