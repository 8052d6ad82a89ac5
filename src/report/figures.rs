//! The charts of a report: over time and as distributions, for one run or for several overlaid runs.

use std::ops::Range;

use super::chart::{Axis, Band, Chart, Curve, Form, Ink, Scale};
use super::distributions::Share;
use super::record::{Kind, ResultWord};
use super::run::Run;
use super::series::Bucket;

/// A run's phases and faults on a time axis.
#[derive(Clone, Debug)]
pub(super) struct Backdrop {
    pub(super) bands: Vec<Band>,
    pub(super) faults: Vec<Range<f64>>,
}

impl Backdrop {
    /// The phases and faults of a run. Overlaid runs have the same ones, because they have the same scenario.
    pub(super) fn of(run: Run<'_>) -> Self {
        let bands = run.summary.phases.iter().map(|phase| Band {
            name: phase.name.clone(),
            range: phase.from_s..phase.until_s,
        });
        let faults = run.summary.faults.iter();
        // A fault without an end is marked at its beginning and shades nothing: a dead edge would shade all that follows.
        let faults = faults.map(|fault| fault.from_s..fault.until_s.unwrap_or(fault.from_s));
        Self {
            bands: bands.collect(),
            faults: faults.collect(),
        }
    }
}

/// Charts over time. A chart with one curve per run shows all runs. A chart with several curves per run is drawn once for each
/// run.
pub(super) fn over_time<'a>(runs: &[Run<'_>], backdrop: &'a Backdrop) -> Vec<Chart<'a>> {
    let chart = |id: &str, title: String, description: &str, y: Axis, curves: Vec<Curve>| Chart {
        id: id.to_owned(),
        title,
        description: description.to_owned(),
        x: axis("seconds since the start", Scale::Linear),
        y,
        curves,
        bands: &backdrop.bands,
        faults: &backdrop.faults,
    };
    let each = |of: &dyn Fn(&Bucket) -> Option<f64>| laid_over(runs, of);
    let mut charts = vec![
        chart(
            "viewers",
            "Viewers watching".to_owned(),
            "Viewers watching over time.",
            axis("viewers", Scale::Linear),
            each(&|bucket| Some(bucket.viewers)),
        ),
        chart(
            "origin",
            "Requests at the edges and at the origin, log scale".to_owned(),
            "Requests per second that viewers made at the edges, and those that reached the origin, over time, on a logarithmic \
             axis; each value is the mean of three seconds, because a live origin is asked in bursts, a segment at a time.",
            axis("requests/s", Scale::Log),
            edges_and_origin(runs),
        ),
    ];
    for (index, run) in runs.iter().enumerate() {
        let of_run = match runs.len() {
            1 => String::new(),
            _ => format!(", {}", run.label),
        };
        charts.push(chart(
            &format!("kinds-{index}"),
            format!("Viewer requests by kind{of_run}"),
            "Requests per second that viewers made over time, by kind of object.",
            axis("requests/s", Scale::Linear),
            by_kind(*run),
        ));
        charts.push(chart(
            &format!("words-{index}"),
            format!("What the edges did{of_run}"),
            "Requests per second that viewers made over time, stacked by what the edge did with them: misses below, then \
             collapsed, then hits, then all others.",
            axis("requests/s, stacked", Scale::Linear),
            by_word(*run),
        ));
    }
    charts.extend([
        chart(
            "waiters",
            "Requests waiting for a flight".to_owned(),
            "Requests that waited at the edges for the fetch of another over time, read once a second.",
            axis("requests", Scale::Linear),
            each(&|bucket| bucket.waiters.map(f64::from)),
        ),
        chart(
            "rebuffering",
            "Viewers rebuffering".to_owned(),
            "Viewers whose player was stalled over time.",
            axis("viewers", Scale::Linear),
            each(&|bucket| Some(bucket.rebuffering)),
        ),
        chart(
            "latency",
            "Segment latency, p99".to_owned(),
            "99th percentile of the time from when a player wanted a segment to its last byte, over time, on a logarithmic \
             axis.",
            axis("ms", Scale::Log),
            each(&|bucket| bucket.segment_p99_ms),
        ),
        chart(
            "failures",
            "Failed requests".to_owned(),
            "Viewer requests per second that failed over time.",
            axis("requests/s", Scale::Linear),
            each(&|bucket| Some(bucket.per_s(bucket.failures))),
        ),
    ]);
    if runs.iter().any(|run| run.summary.likes.is_some()) {
        charts.push(chart(
            "likes",
            "Likes acknowledged".to_owned(),
            "Likes, unlikes and bundles of hearts per second that viewers wanted and that were acknowledged, over time.",
            axis("likes/s", Scale::Linear),
            each(&|bucket| Some(bucket.per_s(bucket.likes))),
        ));
    }
    charts
}

/// Charts of distributions.
pub(super) fn distributions(runs: &[Run<'_>]) -> Vec<Chart<'static>> {
    let chart = |id: &str, title: &str, description: &str, (x, y), curves| Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        x,
        y,
        curves,
        bands: &[],
        faults: &[],
    };
    let shares = |points: &[Share]| {
        let from_zero = std::iter::once((0.0, Some(0.0)));
        let points = points.iter();
        from_zero
            .chain(points.map(|point| (point.at_most_s, Some(point.share))))
            .collect::<Points>()
    };
    let each = |of: &dyn Fn(&Run<'_>) -> Points| {
        let curves = runs.iter().zip(OF_RUN).map(|(run, (ink, form))| Curve {
            name: run.label.to_owned(),
            ink,
            form: if form.is_dashed() {
                Form::DashedSteps
            } else {
                Form::Steps
            },
            points: of(run),
        });
        curves.collect::<Vec<_>>()
    };
    let of_viewers = |name| {
        (
            Axis {
                least_end: 0.1,
                ..axis(name, Scale::Linear)
            },
            axis("share of viewers", Scale::Share),
        )
    };
    let mut charts = vec![
        chart(
            "startup",
            "Startup time",
            "Share of the viewers that saw a first frame within so many seconds of their arrival.",
            of_viewers("seconds from arrival to the first frame"),
            each(&|run| shares(&run.summary.distributions.startup)),
        ),
        chart(
            "stalled",
            "Time stalled per viewer",
            "Share of the viewers that were stalled for no more than so many seconds.",
            of_viewers("seconds stalled"),
            each(&|run| shares(&run.summary.distributions.stalled)),
        ),
    ];
    if runs
        .iter()
        .any(|run| !run.summary.distributions.waits.is_empty())
    {
        charts.push(chart(
            "waits",
            "Time in the miss queue",
            "Share of the requests that waited for the fetch of another that took no more than so many seconds.",
            (
                Axis {
                    least_end: 0.1,
                    ..axis("seconds from sent to whole", Scale::Linear)
                },
                axis("share of the waiting requests", Scale::Share),
            ),
            each(&|run| match run.summary.distributions.waits.is_empty() {
                true => Points::new(),
                false => shares(&run.summary.distributions.waits),
            }),
        ));
    }
    for (index, run) in runs.iter().enumerate() {
        let of_run = match runs.len() {
            1 => String::new(),
            _ => format!(", {}", run.label),
        };
        let beyond = &run.summary.distributions.waiters;
        if beyond.is_empty() {
            continue;
        }
        let curve = |name: &str, ink, form, of: fn(&super::distributions::Beyond) -> f64| Curve {
            name: name.to_owned(),
            ink,
            form,
            points: beyond
                .iter()
                .map(|point| (point.waiters as f64, Some(of(point))))
                .collect(),
        };
        charts.push(chart(
            &format!("waiters-{index}-beyond"),
            &format!("Waiters per segment flight{of_run}"),
            "Share of the segment flights that more than so many requests waited for, measured beside what theory expects of \
             arrivals that are spread evenly.",
            (axis("waiters", Scale::Linear), axis("share of flights with more", Scale::Share)),
            vec![
                curve("measured", Ink::Blue, Form::Steps, |point| point.measured),
                curve("theory (Poisson)", Ink::Orange, Form::DashedSteps, |point| {
                    point.expected
                }),
            ],
        ));
    }
    charts
}

/// How the curves of several runs differ: in colour and in line style.
const OF_RUN: [(Ink, Form); 5] = [
    (Ink::Blue, Form::Line),
    (Ink::Orange, Form::Dashed),
    (Ink::Green, Form::Line),
    (Ink::Purple, Form::Dashed),
    (Ink::Grey, Form::Line),
];

fn axis(name: &'static str, scale: Scale) -> Axis {
    Axis {
        name,
        scale,
        least_end: 1.0,
    }
}

/// One curve per run, for metrics with the same unit.
fn laid_over(runs: &[Run<'_>], of: &dyn Fn(&Bucket) -> Option<f64>) -> Vec<Curve> {
    let curves = runs.iter().zip(OF_RUN);
    let curves = curves.map(|(run, (ink, form))| Curve {
        name: run.label.to_owned(),
        ink,
        form,
        points: points(*run, of),
    });
    curves.collect()
}

/// What the edges were asked, which is nearly the same in all runs, and what reached the origin in each run.
fn edges_and_origin(runs: &[Run<'_>]) -> Vec<Curve> {
    let edges = runs.first().map(|run| Curve {
        name: "at the edges".to_owned(),
        ink: Ink::Text,
        form: Form::Dashed,
        points: smooth(points(*run, &|bucket| {
            Some(bucket.per_s(bucket.kinds.values().sum()))
        })),
    });
    let mut origin = laid_over(runs, &|bucket| bucket.origin_per_s);
    for curve in &mut origin {
        curve.name = match runs.len() {
            1 => "at the origin".to_owned(),
            _ => format!("at the origin, {}", curve.name),
        };
        curve.points = smooth(std::mem::take(&mut curve.points));
    }
    edges.into_iter().chain(origin).collect()
}

/// The mean of three seconds around each point.
fn smooth(points: Points) -> Points {
    const AROUND_S: f64 = 1.5;
    let mean = |at: f64| {
        let near = points.iter().filter(|(x, _)| (x - at).abs() <= AROUND_S);
        let (sum, count) = near
            .filter_map(|(_, y)| *y)
            .fold((0.0, 0_u32), |(sum, count), y| (sum + y, count + 1));
        sum / f64::from(count.max(1))
    };
    let smoothed = points.iter().map(|&(x, y)| (x, y.map(|_| mean(x))));
    smoothed.collect()
}

/// Values over time or over another quantity; an unknown value leaves a gap.
type Points = Vec<(f64, Option<f64>)>;

fn by_kind(run: Run<'_>) -> Vec<Curve> {
    let inks = [Ink::Purple, Ink::Orange, Ink::Blue];
    let kinds = Kind::ALL.into_iter().zip(inks);
    let curves = kinds.map(|(kind, ink)| Curve {
        name: kind.to_string(),
        ink,
        form: Form::Line,
        points: points(run, &|bucket| {
            let count = bucket.kinds.get(&kind).copied().unwrap_or(0);
            Some(bucket.per_s(count))
        }),
    });
    curves.collect()
}

/// Stacked: the highest curve is drawn first and the others on top of it.
fn by_word(run: Run<'_>) -> Vec<Curve> {
    let stack = [
        ("miss", Ink::Red, vec![ResultWord::Miss]),
        ("collapsed", Ink::Orange, vec![ResultWord::Collapsed]),
        ("hit", Ink::Blue, vec![ResultWord::Hit]),
        ("others", Ink::Grey, OTHER_WORDS.to_vec()),
    ];
    let mut below: Vec<ResultWord> = Vec::new();
    let mut curves = Vec::new();
    for (name, ink, words) in stack {
        below.extend(words);
        curves.push(Curve {
            name: name.to_owned(),
            ink,
            form: Form::Area,
            points: points(run, &|bucket| {
                let counts = below.iter().filter_map(|word| bucket.words.get(word));
                Some(bucket.per_s(counts.sum()))
            }),
        });
    }
    curves.reverse();
    curves
}

const OTHER_WORDS: [ResultWord; 6] = [
    ResultWord::Stale,
    ResultWord::Negative,
    ResultWord::Shed,
    ResultWord::Pass,
    ResultWord::Unmarked,
    ResultWord::Unanswered,
];

/// One value per bucket, at its middle; the first and the last extend to the run's ends.
fn points(run: Run<'_>, of: &dyn Fn(&Bucket) -> Option<f64>) -> Points {
    let buckets = &run.series.buckets;
    let mut points: Vec<_> = buckets
        .iter()
        .map(|bucket| (bucket.middle_s(), of(bucket)))
        .collect();
    if let (Some(&first), Some(&last), Some(end)) = (points.first(), points.last(), buckets.last())
    {
        points.insert(0, (0.0, first.1));
        points.push((end.until().as_secs_f64(), last.1));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::super::series::Series;
    use super::*;
    use crate::policy::status::MissQueue;

    #[test]
    fn the_stack_of_words_is_as_high_as_all_kinds_together() {
        let record = sample::record(MissQueue::Flights);
        let (summary, series) = (sample::summary(&record), Series::of(&record));
        let run = Run {
            summary: &summary,
            series: &series,
            label: "on",
        };
        let stacked = &by_word(run)[0].points;
        let kinds = by_kind(run);
        for (index, (at, top)) in stacked.iter().enumerate() {
            let sum: f64 = kinds.iter().filter_map(|curve| curve.points[index].1).sum();
            assert!((sum - top.unwrap()).abs() < 1e-9, "at {at}");
        }
        assert_eq!(by_word(run).last().unwrap().name, "miss");
    }

    #[test]
    fn every_word_is_somewhere_in_the_stack() {
        let own = [ResultWord::Hit, ResultWord::Collapsed, ResultWord::Miss];
        assert_eq!(own.len() + OTHER_WORDS.len(), ResultWord::ALL.len());
        assert!(own.iter().all(|word| !OTHER_WORDS.contains(word)));
    }

    #[test]
    fn two_runs_have_the_same_charts_with_two_curves_each_where_they_are_laid_over() {
        let (on, off) = (
            sample::record(MissQueue::Flights),
            sample::record(MissQueue::Off),
        );
        let (summaries, series) = (
            [sample::summary(&on), sample::summary(&off)],
            [Series::of(&on), Series::of(&off)],
        );
        let run = |index: usize| Run {
            summary: &summaries[index],
            series: &series[index],
            label: ["on", "off"][index],
        };
        let backdrop = Backdrop::of(run(0));
        let charts = over_time(&[run(0), run(1)], &backdrop);
        let mut ids: Vec<_> = charts.iter().map(|chart| chart.id.clone()).collect();
        assert_eq!(charts.len(), over_time(&[run(0)], &backdrop).len() + 2);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), charts.len());
        let origin = charts.iter().find(|chart| chart.id == "origin").unwrap();
        let names: Vec<_> = origin
            .curves
            .iter()
            .map(|curve| curve.name.as_str())
            .collect();
        assert_eq!(
            names,
            ["at the edges", "at the origin, on", "at the origin, off"]
        );
        assert_eq!(distributions(&[run(0), run(1)]).len(), 4);
    }
}
