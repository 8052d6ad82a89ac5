//! Distributions of figures over viewers and flights: plain points for a curve, at most [`POINTS_MAX`] of each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::predict::{Key, KeyLog};
use super::record::Viewer;
use crate::policy::status::MissQueue;
use crate::theory::waiters::{FetchTime, Waiters};

/// Maximum number of points in one distribution.
pub const POINTS_MAX: usize = 100;

/// Distributions of the figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distributions {
    /// Time from arrival to the first frame, over the viewers that saw one.
    pub startup: Vec<Share>,
    /// Time spent stalled, over the same viewers.
    pub stalled: Vec<Share>,
    /// Collapsed answers per segment flight, measured and expected by theory; empty without a miss queue.
    pub waiters: Vec<Beyond>,
    /// How long requests took that waited for the fetch of another request, from when they were sent.
    #[serde(default)]
    pub waits: Vec<Share>,
}

/// A point of a cumulative distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub at_most_s: f64,
    /// Share of the viewers, or of the requests, with at most this value.
    pub share: f64,
}

/// Share of flights with more than this number of waiters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beyond {
    pub waiters: u64,
    /// Share of the segment flights, by the log.
    pub measured: f64,
    /// The same share by theory (Poisson), if the requests for each segment came evenly over a segment duration.
    pub expected: f64,
}

/// The distributions of the viewers' figures, of the waiters of the flights in the log, and of the times that requests waited.
pub fn gather(
    viewers: &[Viewer],
    keys: &BTreeMap<Key, KeyLog>,
    miss_queue: MissQueue,
    fetch: Duration,
    segment_duration: Duration,
    waits: &[Duration],
) -> Distributions {
    let started = || {
        let quality = viewers.iter().map(|viewer| &viewer.quality);
        quality.filter_map(|quality| Some((quality.startup?, quality.stalled)))
    };
    Distributions {
        startup: cumulative(started().map(|(startup, _)| (startup, 1))),
        stalled: cumulative(started().map(|(_, stalled)| (stalled, 1))),
        waiters: match miss_queue {
            MissQueue::Off => Vec::new(),
            _ => waiters(keys, fetch, segment_duration),
        },
        waits: cumulative(waits.iter().map(|&wait| (wait, 1))),
    }
}

/// Each distinct value, to the millisecond, with the share of values that are not greater. Too many points are thinned out
/// evenly, so that a long tail keeps its points.
///
/// Each value comes with its number.
pub(crate) fn cumulative(values: impl Iterator<Item = (Duration, u64)>) -> Vec<Share> {
    let mut millis: BTreeMap<u128, u64> = BTreeMap::new();
    for (value, count) in values {
        *millis.entry(value.as_millis()).or_default() += count;
    }
    let all: u64 = millis.values().sum();
    let mut before = 0;
    let points = millis.into_iter().map(|(value, count)| {
        before += count;
        Share {
            at_most_s: value as f64 / 1e3,
            share: before as f64 / all as f64,
        }
    });
    thinned(points.collect())
}

fn waiters(
    keys: &BTreeMap<Key, KeyLog>,
    fetch: Duration,
    segment_duration: Duration,
) -> Vec<Beyond> {
    // Keys whose means differ by less than a tenth of the standard deviation count as one.
    let mut means: BTreeMap<u64, u64> = BTreeMap::new();
    for key in keys.values() {
        let mean = (key.expected_uncollapsed(fetch, segment_duration) - 1.0).max(0.0);
        *means
            .entry((mean.sqrt() * 20.0).round() as u64)
            .or_default() += 1;
    }
    let means: Vec<(f64, f64)> = means
        .into_iter()
        .map(|(root, count)| ((root as f64 / 20.0) * (root as f64 / 20.0), count as f64))
        .collect();
    let Some((collapsed_most, &(mean_most, _))) = keys
        .values()
        .map(|key| key.collapsed)
        .max()
        .zip(means.last())
    else {
        return Vec::new();
    };
    // Four standard deviations above the greatest mean the curve shows nothing more.
    let expected_most = (mean_most + 4.0 * mean_most.sqrt()).ceil() as u64;
    let counts: Vec<u64> = thinned((0..=collapsed_most.max(expected_most)).collect());
    let mut expected = vec![0.0; counts.len()];
    for (mean, keys) in means {
        let waiters = Waiters {
            mean,
            fetch_time: FetchTime::Fixed,
        };
        for (expected, &count) in expected.iter_mut().zip(&counts) {
            *expected += waiters.beyond(count) * keys;
        }
    }
    let share = |count: f64| count / keys.len() as f64;
    let points = counts.into_iter().zip(expected);
    points
        .map(|(waiters, expected)| {
            let beyond = keys.values().filter(|key| key.collapsed > waiters);
            Beyond {
                waiters,
                measured: share(beyond.count() as f64),
                expected: share(expected),
            }
        })
        .collect()
}

/// At most [`POINTS_MAX`] of these points, evenly chosen, including the first and the last.
fn thinned<T: Copy>(points: Vec<T>) -> Vec<T> {
    let Some(last) = points.len().checked_sub(1) else {
        return points;
    };
    let kept = points.len().min(POINTS_MAX);
    (0..kept)
        .map(|index| points[index * last / (kept - 1).max(1)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::counts::Askers;
    use super::super::{predict, sample};
    use super::*;

    #[test]
    fn a_distribution_ends_at_one_and_never_falls() {
        let record = sample::record(MissQueue::Flights);
        let keys = predict::read_log(
            &record.requests,
            record.segment_duration,
            &Askers::default(),
        );
        let fetch = predict::fetch_time(&record.requests).unwrap();
        let of = |miss_queue| {
            gather(
                &record.viewers,
                &keys,
                miss_queue,
                fetch,
                record.segment_duration,
                &[Duration::from_millis(250)],
            )
        };
        let spread = of(MissQueue::Flights);
        for points in [&spread.startup, &spread.stalled] {
            assert!((2..=POINTS_MAX).contains(&points.len()));
            assert_eq!(points.last().unwrap().share, 1.0);
            for pair in points.windows(2) {
                assert!(pair[0].at_most_s < pair[1].at_most_s && pair[0].share < pair[1].share);
            }
        }
        let waited = [Share {
            at_most_s: 0.25,
            share: 1.0,
        }];
        assert_eq!(spread.waits, waited);
        let flights = &spread.waiters;
        assert!((2..=POINTS_MAX).contains(&flights.len()));
        assert_eq!(flights.last().unwrap().measured, 0.0);
        assert!(flights.last().unwrap().expected < 0.01);
        for pair in flights.windows(2) {
            assert!(pair[0].measured >= pair[1].measured && pair[0].expected >= pair[1].expected);
        }
        assert_eq!(of(MissQueue::Off).waiters, []);
    }

    #[test]
    fn many_points_are_thinned_out_evenly_and_few_are_kept() {
        assert!(thinned(Vec::<u32>::new()).is_empty());
        assert_eq!(thinned(vec![5]), [5]);
        assert_eq!(thinned((0..100).collect::<Vec<_>>()).len(), 100);
        let thin = thinned((0..1_000).collect::<Vec<_>>());
        assert_eq!((thin.len(), thin[0], thin[99]), (100, 0, 999));
    }

    #[test]
    fn equal_values_are_one_point() {
        let points = cumulative(
            [(0, 3), (1_500, 1)]
                .map(|(millis, count)| (Duration::from_millis(millis), count))
                .into_iter(),
        );
        let plain: Vec<_> = points
            .iter()
            .map(|point| (point.at_most_s, point.share))
            .collect();
        assert_eq!(plain, [(0.0, 0.75), (1.5, 1.0)]);
    }
}
