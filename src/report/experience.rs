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
    let all = || viewers.iter().map(|viewer| &viewer.quality);
    let count = |wanted: &dyn Fn(&Quality) -> bool| all().filter(|quality| wanted(quality)).count();
    let exits = |exit: Exit| count(&|quality: &Quality| quality.exit == exit) as u64;
    let seconds =
        |of: fn(&Quality) -> Duration| -> f64 { all().map(of).sum::<Duration>().as_secs_f64() };
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let played_s = seconds(|quality| quality.played);
    let stalled_s = seconds(|quality| quality.stalled);
    let startups = sorted(all().filter_map(|quality| quality.startup));
    let latencies = sorted(all().filter_map(|quality| quality.live_latency));
    let drifts: Vec<f64> = all()
        .filter_map(|quality| {
            let (end, start) = (quality.live_latency?, quality.live_latency_at_start?);
            Some(end.as_secs_f64() - start.as_secs_f64())
        })
        .collect();
    Experience {
        started: startups.len() as u64,
        startup_p50_s: quantile(&startups, 0.5),
        startup_p95_s: quantile(&startups, 0.95),
        start_failures: exits(Exit::StartFailed),
        exits_before_start: exits(Exit::BeforeStart),
        fatal: exits(Exit::Fatal),
        retries: all().map(|quality| u64::from(quality.retries)).sum(),
        stalls: all().map(|quality| u64::from(quality.stalls)).sum(),
        viewers_stalled: count(&|quality| quality.stalls > 0) as u64,
        stalled_most_s: all()
            .map(|quality| quality.stalled)
            .max()
            .unwrap_or_default()
            .as_secs_f64(),
        failovers: all().map(|quality| u64::from(quality.failovers)).sum(),
        stalled_share: ratio(stalled_s, played_s + stalled_s),
        switches: all().map(|quality| u64::from(quality.switches)).sum(),
        skipped: all().map(|quality| u64::from(quality.skipped)).sum(),
        playlists_went_back: all()
            .map(|quality| u64::from(quality.playlists_went_back))
            .sum(),
        bitrate_mean_bps: Some(ratio(
            all().map(|quality| quality.media_bits).sum(),
            seconds(|quality| quality.media),
        ))
        .filter(|&bps| bps > 0.0),
        live_latency_p50_s: quantile(&latencies, 0.5),
        live_latency_p95_s: quantile(&latencies, 0.95),
        live_latency_drift_s: (!drifts.is_empty())
            .then(|| drifts.iter().sum::<f64>() / drifts.len() as f64),
        perfect_share: ratio(count(&Quality::is_perfect) as f64, viewers.len() as f64),
    }
}

fn sorted(spans: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    spans
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
