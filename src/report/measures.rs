//! The figures of a run that are set beside those of another run, each with its unit and the way it should go.

use serde::{Deserialize, Serialize};

use super::latency;
use super::likes::LikesSummary;
use super::record::Outcome;
use super::summary::Summary;
use super::thresholds::grouped;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A number of things.
    Count,
    /// A number of things per thing.
    Ratio,
    /// A share of one, written as a percentage.
    Share,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Bits per second.
    Bps,
}

/// Which way a figure should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Down.
    Lower,
    /// Up. A share is judged by its distance from one: from 98 % to 96 % the loss has doubled.
    Higher,
    /// Neither: it describes the run.
    Neither,
}

/// A figure of a summary.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// A difference up to this size does not matter, for any size of the figure.
    pub(super) floor: f64,
    pub(super) of: fn(&Summary) -> Option<f64>,
}

/// All of them, in the order of a table.
pub(super) const FIGURES: [Figure; 29] = [
    Figure {
        what: "viewer requests",
        unit: Unit::Count,
        better: Better::Neither,
        floor: 0.5,
        of: |summary| Some(summary.requests_total() as f64),
    },
    Figure {
        what: "origin hits, segments",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 1.5,
        of: |summary| counted(summary, summary.origin.measured.segment),
    },
    Figure {
        what: "predicted",
        unit: Unit::Count,
        better: Better::Neither,
        floor: 1.5,
        of: |summary| {
            let (least, most) = summary.origin.predicted;
            counted(summary, 1).map(|_| (least + most) as f64 / 2.0)
        },
    },
    Figure {
        what: "most for one segment",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 0.5,
        of: |summary| counted(summary, summary.origin.measured.most_per_segment),
    },
    Figure {
        what: "origin hits, playlists",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 1.5,
        of: |summary| {
            let hits = &summary.origin.measured;
            counted(summary, hits.media_playlist + hits.multivariant)
        },
    },
    Figure {
        what: "beyond the origin's capacity",
        unit: Unit::Share,
        better: Better::Lower,
        floor: 0.005,
        of: |summary| summary.origin.shed_share,
    },
    Figure {
        what: "requests that waited",
        unit: Unit::Count,
        better: Better::Neither,
        floor: 1.5,
        of: |summary| Some(summary.waiters.waited as f64),
    },
    Figure {
        what: "offload, all requests",
        unit: Unit::Share,
        better: Better::Higher,
        floor: 0.0005,
        of: |summary| summary.origin.offload,
    },
    Figure {
        what: "offload, segments",
        unit: Unit::Share,
        better: Better::Higher,
        floor: 0.0005,
        of: |summary| summary.origin.offload_segments,
    },
    Figure {
        what: "amplification: hits per segment and edge",
        unit: Unit::Ratio,
        better: Better::Lower,
        floor: 0.01,
        of: |summary| summary.origin.amplification,
    },
    Figure {
        what: "excess: hits per segment",
        unit: Unit::Ratio,
        better: Better::Lower,
        floor: 0.01,
        of: |summary| summary.origin.excess,
    },
    Figure {
        what: "segment latency p50",
        unit: Unit::Ms,
        better: Better::Lower,
        floor: 1.0,
        of: |summary| Some(segments(summary)?.p50_ms),
    },
    Figure {
        what: "segment latency p99",
        unit: Unit::Ms,
        better: Better::Lower,
        floor: 2.0,
        of: |summary| Some(segments(summary)?.p99_ms),
    },
    Figure {
        what: "startup p50",
        unit: Unit::S,
        better: Better::Lower,
        floor: 0.02,
        of: |summary| summary.experience.startup_p50_s,
    },
    Figure {
        what: "startup p95",
        unit: Unit::S,
        better: Better::Lower,
        floor: 0.05,
        of: |summary| summary.experience.startup_p95_s,
    },
    Figure {
        what: "stalled share",
        unit: Unit::Share,
        better: Better::Lower,
        floor: 0.0005,
        of: |summary| Some(summary.experience.stalled_share),
    },
    Figure {
        what: "viewers stalled",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 1.5,
        of: |summary| Some(summary.experience.viewers_stalled as f64),
    },
    Figure {
        what: "players that failed to start",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 0.5,
        of: |summary| Some(summary.experience.start_failures as f64),
    },
    Figure {
        what: "players that gave up later",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 0.5,
        of: |summary| Some(summary.experience.fatal as f64),
    },
    Figure {
        what: "requests that failed",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 1.5,
        of: |summary| Some(failures(summary) as f64),
    },
    Figure {
        what: "perfect visits",
        unit: Unit::Share,
        better: Better::Higher,
        floor: 0.002,
        of: |summary| Some(summary.experience.perfect_share),
    },
    Figure {
        what: "bitrate, mean",
        unit: Unit::Bps,
        better: Better::Higher,
        floor: 10_000.0,
        of: |summary| summary.experience.bitrate_mean_bps,
    },
    Figure {
        what: "behind live p50",
        unit: Unit::S,
        better: Better::Lower,
        floor: 0.2,
        of: |summary| summary.experience.live_latency_p50_s,
    },
    Figure {
        what: "behind live p95",
        unit: Unit::S,
        better: Better::Lower,
        floor: 0.2,
        of: |summary| summary.experience.live_latency_p95_s,
    },
    Figure {
        what: "likes acknowledged per second",
        unit: Unit::Count,
        better: Better::Neither,
        floor: 1.0,
        of: |summary| Some(likes(summary)?.per_s),
    },
    Figure {
        what: "likes acknowledged, of all wanted",
        unit: Unit::Share,
        better: Better::Higher,
        floor: 0.0005,
        of: |summary| Some(likes(summary)?.acknowledged_percent() / 100.0),
    },
    Figure {
        what: "likes with an unknown outcome",
        unit: Unit::Count,
        better: Better::Lower,
        floor: 0.5,
        of: |summary| Some(likes(summary)?.unknown as f64),
    },
    Figure {
        what: "likes until acknowledged, p50",
        unit: Unit::Ms,
        better: Better::Lower,
        floor: 1.0,
        of: |summary| Some(likes(summary)?.p50_ms),
    },
    Figure {
        what: "likes until acknowledged, p99",
        unit: Unit::Ms,
        better: Better::Lower,
        floor: 2.0,
        of: |summary| Some(likes(summary)?.p99_ms),
    },
];

/// A count of the origin, if it counted.
fn counted(summary: &Summary, count: u64) -> Option<f64> {
    (!summary.origin.measured.uncounted).then_some(count as f64)
}

fn segments(summary: &Summary) -> Option<&latency::Row> {
    latency::of_segments(&summary.latency)
}

/// The likes of a run, if it sent any.
fn likes(summary: &Summary) -> Option<&LikesSummary> {
    let likes = summary.likes.as_ref();
    likes.filter(|likes| likes.not_taken.is_none())
}

fn failures(summary: &Summary) -> u64 {
    let outcomes = summary.requests.iter().flat_map(|row| &row.outcomes);
    let failed = outcomes.filter(|(outcome, _): &(&Outcome, _)| outcome.is_failure());
    failed.map(|(_, count)| count).sum()
}

impl Unit {
    /// A value with its unit.
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Self::Count if value.fract() == 0.0 => grouped(value as u64),
            Self::Count => format!("{value:.1}"),
            Self::Ratio => format!("{value:.3}"),
            Self::Share => format!("{:.3} %", value * 100.0),
            Self::Ms => format!("{value:.1} ms"),
            Self::S => format!("{value:.2} s"),
            Self::Bps => format!("{:.0} kb/s", value / 1e3),
        }
    }

    /// A difference with its sign; of shares in percentage points.
    pub(super) fn write_change(self, value: f64) -> String {
        let sign = if value < 0.0 { '-' } else { '+' };
        match self {
            Self::Share => format!("{sign}{:.3} pp", value.abs() * 100.0),
            _ => format!("{sign}{}", self.write(value.abs())),
        }
    }
}
