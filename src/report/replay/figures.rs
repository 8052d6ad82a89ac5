//! The charts of a replay: requests over the trace's time, and how long they waited.

use super::{OverTime, ReplaySummary};
use crate::report::chart::{Axis, Chart, Curve, Form, Ink, Scale};

/// All charts of a replay.
pub(in crate::report) fn charts(summary: &ReplaySummary) -> Vec<Chart<'static>> {
    let mut charts = Vec::new();
    if !summary.over_time.requests.is_empty() {
        charts.push(over_time(summary));
    }
    if !summary.added_latency.distribution.is_empty() {
        charts.push(latency(summary));
    }
    charts
}

/// Most points of a curve. With more a curve that goes up and down is a solid block.
const POINTS_MAX: usize = 150;

fn over_time(summary: &ReplaySummary) -> Chart<'static> {
    let series = &summary.over_time;
    let span_s = summary.trace.last_s.floor() - series.from_s as f64 + 1.0;
    let (unit_s, x) = match span_s {
        s if s <= 600.0 => (1.0, "seconds since the first request"),
        s if s <= 36_000.0 => (60.0, "minutes since the first request"),
        s if s <= 864_000.0 => (3_600.0, "hours since the first request"),
        _ => (86_400.0, "days since the first request"),
    };
    let viewers = per_second(series, &series.requests, span_s);
    let origin = per_second(series, &series.origin_requests, span_s);
    let most = viewers.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    // The axis ends at a tenth, which is much for a quiet trace.
    let (per_s, per, y) = match most {
        rate if rate >= 10.0 => (1.0, "second", "requests/s"),
        _ => (60.0, "minute", "requests/min"),
    };
    let curve = |name: &str, ink, points: Vec<(f64, f64)>| Curve {
        name: name.to_owned(),
        ink,
        form: Form::Steps,
        points: points
            .into_iter()
            .map(|(at_s, rate)| (at_s / unit_s, Some(rate * per_s)))
            .collect(),
    };
    let together = series.requests.len().div_ceil(POINTS_MAX) as u64 * series.bucket_s;
    let mean = match together {
        1 => "one second".to_owned(),
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds => format!("{:.0} minutes", seconds as f64 / 60.0),
    };
    Chart {
        id: "over-time".to_owned(),
        title: format!("Requests per {per}, log scale; a step is {mean}"),
        description: format!(
            "Requests of viewers and requests at the origin per {per}, over the trace's time, on a logarithmic axis; each value is \
             the mean of {mean}."
        ),
        x: Axis {
            name: x,
            scale: Scale::Linear,
            least_end: 1e-9,
        },
        y: Axis {
            name: y,
            scale: Scale::Log,
            least_end: 1.0,
        },
        curves: vec![
            curve("of viewers", Ink::Blue, viewers),
            curve("at the origin", Ink::Orange, origin),
        ],
        bands: &[],
        faults: &[],
    }
}

/// Counts of buckets as (second, rate), at most [`POINTS_MAX`] of them. The last bucket counts as wide as the trace fills it.
fn per_second(series: &OverTime, counts: &[u64], span_s: f64) -> Vec<(f64, f64)> {
    let together = counts.len().div_ceil(POINTS_MAX).max(1);
    let width_s = (together as u64 * series.bucket_s) as f64;
    let mut points: Vec<_> = counts
        .chunks(together)
        .enumerate()
        .map(|(nth, counts)| {
            let from_s = nth as f64 * width_s;
            let filled_s = (span_s - from_s).clamp(1.0, width_s);
            let rate = counts.iter().sum::<u64>() as f64 / filled_s;
            (from_s, rate)
        })
        .collect();
    // A step is as long as its bucket.
    if let Some(&(_, rate)) = points.last() {
        points.push((span_s, rate));
    }
    points
}

fn latency(summary: &ReplaySummary) -> Chart<'static> {
    let points = summary.added_latency.distribution.iter();
    let points = points.map(|point| (point.at_most_ms, Some(point.share)));
    Chart {
        id: "latency".to_owned(),
        title: "Added latency".to_owned(),
        description: "Share of all requests that waited no longer than so many milliseconds: hits at zero, delayed hits on the \
                      way, misses at the time of a whole fetch."
            .to_owned(),
        x: Axis {
            name: "ms waited at most",
            scale: Scale::Linear,
            least_end: 1.0,
        },
        y: Axis {
            name: "share of all requests",
            scale: Scale::Share,
            least_end: 1.0,
        },
        curves: vec![Curve {
            name: "all requests".to_owned(),
            ink: Ink::Blue,
            form: Form::Line,
            points: std::iter::once((0.0, Some(0.0))).chain(points).collect(),
        }],
        bands: &[],
        faults: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(bucket_s: u64, counts: Vec<u64>) -> OverTime {
        OverTime {
            from_s: 7,
            bucket_s,
            origin_requests: counts.clone(),
            requests: counts,
        }
    }

    fn rates(of: &OverTime, span_s: f64) -> Vec<(f64, f64)> {
        per_second(of, &of.requests, span_s)
    }

    #[test]
    fn a_rate_is_that_of_the_seconds_that_a_bucket_has() {
        assert_eq!(
            rates(&series(1, vec![5, 3]), 2.0),
            [(0.0, 5.0), (1.0, 3.0), (2.0, 3.0)]
        );
        // The trace ends in the first second of the last bucket.
        assert_eq!(
            rates(&series(4, vec![8, 3]), 5.0),
            [(0.0, 2.0), (4.0, 3.0), (5.0, 3.0)]
        );
    }

    #[test]
    fn many_buckets_are_drawn_as_fewer() {
        let points = rates(&series(2, vec![6; 600]), 1_200.0);
        assert_eq!(points.len(), POINTS_MAX + 1);
        assert!(points.iter().all(|(_, rate)| *rate == 3.0));
        assert_eq!(points.last().map(|(x, _)| *x), Some(1_200.0));
    }
}
