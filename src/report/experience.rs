//! Quality of experience of the whole audience, in the terms of CTA-2066.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::Viewer;
use crate::viewer::quality::{Exit, Quality};

/// What the audience experienced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experience {
    /// Viewers that saw a first frame.
    pub started: u64,
    /// Time from arrival to the first frame, in seconds: median; `None` if no viewer saw one.
    pub startup_p50_s: Option<f64>,
    /// Time from arrival to the first frame, in seconds: the 95th percentile.
    pub startup_p95_s: Option<f64>,
    /// Players that gave up before the first frame.
    pub start_failures: u64,
    /// Viewers that left before the first frame.
    pub exits_before_start: u64,
    /// Players that gave up after the first frame.
    pub fatal: u64,
    /// Requests that failed and were tried again.
    pub retries: u64,
    /// Rebuffering events after the first frame.
    pub stalls: u64,
    /// Viewers with at least one rebuffering event.
    pub viewers_stalled: u64,
    /// The longest stalled time of one viewer, in seconds: the sum of its rebuffering events.
    #[serde(default)]
    pub stalled_most_s: f64,
    /// How often players went to another edge.
    #[serde(default)]
    pub failovers: u64,
    /// Stalled share of all time after the first frame.
    pub stalled_share: f64,
    /// Changes of rendition.
    pub switches: u64,
    /// Segments that players had to skip.
    pub skipped: u64,
    /// Playlists that were older than the one before them.
    pub playlists_went_back: u64,
    /// Mean bit rate of the renditions played, weighted by time, in bits per second; `None` if nothing was played, or no playlist
    /// tells bit rates.
    pub bitrate_mean_bps: Option<f64>,
    /// Distance from the live edge in seconds: median.
    pub live_latency_p50_s: Option<f64>,
    /// Distance from the live edge in seconds: the 95th percentile.
    pub live_latency_p95_s: Option<f64>,
    /// Mean growth of this distance from the first frame to the end of a visit, in seconds.
    pub live_latency_drift_s: Option<f64>,
    /// Share of visits in which nothing went wrong.
    pub perfect_share: f64,
}

/// Sums up over all viewers.
pub fn gather(viewers: &[Viewer]) -> Experience {
    let mut gatherer = Gatherer::default();
    for viewer in viewers {
        gatherer.add(&viewer.quality, 1);
    }
    gatherer.finish()
}

/// Sums up over visits, one after another. In virtual time one visit may stand for many viewers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gatherer {
    /// The counts, as far as they are counts.
    sums: Experience,
    visits: u64,
    perfect: u64,
    played_s: f64,
    stalled_s: f64,
    media_s: f64,
    media_bits: f64,
    drift_s: f64,
    drifts: u64,
    /// Time to the first frame, with the time stalled after it.
    started: Vec<(Duration, Duration, u64)>,
    live_latencies: Vec<(Duration, u64)>,
}

impl Gatherer {
    /// Adds a visit that stands for `weight` viewers.
    pub(crate) fn add(&mut self, quality: &Quality, weight: u64) {
        let sums = &mut self.sums;
        let share = weight as f64;
        self.visits += weight;
        self.perfect += if quality.is_perfect() { weight } else { 0 };
        let exit = |exit: Exit| if quality.exit == exit { weight } else { 0 };
        sums.start_failures += exit(Exit::StartFailed);
        sums.exits_before_start += exit(Exit::BeforeStart);
        sums.fatal += exit(Exit::Fatal);
        let times = |count: u32| u64::from(count) * weight;
        sums.retries += times(quality.retries);
        sums.stalls += times(quality.stalls);
        sums.viewers_stalled += if quality.stalls > 0 { weight } else { 0 };
        sums.stalled_most_s = sums.stalled_most_s.max(quality.stalled.as_secs_f64());
        sums.failovers += times(quality.failovers);
        sums.switches += times(quality.switches);
        sums.skipped += times(quality.skipped);
        sums.playlists_went_back += times(quality.playlists_went_back);
        self.played_s += quality.played.as_secs_f64() * share;
        self.stalled_s += quality.stalled.as_secs_f64() * share;
        self.media_s += quality.media.as_secs_f64() * share;
        self.media_bits += quality.media_bits * share;
        if let Some(startup) = quality.startup {
            sums.started += weight;
            self.started.push((startup, quality.stalled, weight));
        }
        if let Some(end) = quality.live_latency {
            self.live_latencies.push((end, weight));
            if let Some(start) = quality.live_latency_at_start {
                self.drift_s += (end.as_secs_f64() - start.as_secs_f64()) * share;
                self.drifts += weight;
            }
        }
    }

    /// The sums.
    pub(crate) fn finish(&self) -> Experience {
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let startups = sorted(self.startups());
        let live = sorted(self.live_latencies.iter().copied());
        Experience {
            startup_p50_s: quantile_of(&startups, 0.5),
            startup_p95_s: quantile_of(&startups, 0.95),
            stalled_share: ratio(self.stalled_s, self.played_s + self.stalled_s),
            bitrate_mean_bps: Some(ratio(self.media_bits, self.media_s)).filter(|&bps| bps > 0.0),
            live_latency_p50_s: quantile_of(&live, 0.5),
            live_latency_p95_s: quantile_of(&live, 0.95),
            live_latency_drift_s: (self.drifts > 0).then(|| self.drift_s / self.drifts as f64),
            perfect_share: ratio(self.perfect as f64, self.visits as f64),
            ..self.sums.clone()
        }
    }

    /// Time to the first frame, and how many viewers it stands for.
    pub(crate) fn startups(&self) -> impl Iterator<Item = (Duration, u64)> {
        let started = self.started.iter();
        started.map(|&(startup, _, weight)| (startup, weight))
    }

    /// Time stalled, of the viewers that saw a first frame.
    pub(crate) fn stalled(&self) -> impl Iterator<Item = (Duration, u64)> {
        let started = self.started.iter();
        started.map(|&(_, stalled, weight)| (stalled, weight))
    }
}

fn sorted(spans: impl Iterator<Item = (Duration, u64)>) -> Vec<(Duration, u64)> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    spans
}

/// The smallest value that at least this share of all values does not exceed, in seconds. Each value comes with its number.
fn quantile_of(sorted: &[(Duration, u64)], share: f64) -> Option<f64> {
    let all: u64 = sorted.iter().map(|(_, weight)| weight).sum();
    let rank = ((all as f64 * share).ceil() as u64).max(1);
    let mut before = 0;
    let found = sorted.iter().find(|(_, weight)| {
        before += weight;
        before >= rank
    });
    found.map(|(span, _)| span.as_secs_f64())
}

/// The smallest value that at least this share of all values does not exceed, in seconds.
pub(super) fn quantile(sorted: &[Duration], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map(Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn viewer(startup_s: Option<u64>, stalled_s: u64, exit: Exit) -> Viewer {
        Viewer {
            viewer: 0,
            edge: 0,
            arrived: Timestamp::ZERO,
            left: Timestamp::ZERO,
            stalls: Vec::new(),
            quality: Quality {
                startup: startup_s.map(Duration::from_secs),
                played: Duration::from_secs(if startup_s.is_some() { 9 } else { 0 }),
                stalled: Duration::from_secs(stalled_s),
                stalls: u32::from(stalled_s > 0),
                exit,
                ..Quality::default()
            },
        }
    }

    #[test]
    fn the_audience_is_the_sum_of_its_viewers() {
        let experience = gather(&[
            viewer(Some(1), 0, Exit::Left),
            viewer(Some(3), 2, Exit::Fatal),
            viewer(None, 0, Exit::StartFailed),
            viewer(None, 0, Exit::BeforeStart),
        ]);
        assert_eq!((experience.started, experience.start_failures), (2, 1));
        assert_eq!((experience.fatal, experience.exits_before_start), (1, 1));
        assert_eq!(experience.startup_p50_s, Some(1.0));
        assert_eq!(experience.startup_p95_s, Some(3.0));
        assert_eq!(experience.stalled_share, 0.1);
        assert_eq!(experience.perfect_share, 0.25);
        assert_eq!(gather(&[]).stalled_share, 0.0);
    }
}
