//! Any two sides compared: one summary each, or one per seed. The comparison shows which figures are better in B than in A, and
//! which are worse.
//!
//! A figure has changed if it differs by more than a share (the noise) *and* by more than its own floor. So 0.001 ms against
//! 0.002 ms is no regression. Where both sides have several runs, the 95 % confidence interval of the difference must exclude
//! zero as well. The difference is paired by seed where both sides have the same seeds, else Welch's method applies.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::measures::{Better, FIGURES, Figure, Unit};
use super::settings;
use super::summary::Summary;
use super::tables::{Cell, Table, Tone};
use super::thresholds::Verdict;
use crate::policy::status::MissQueue;

/// Version of the comparison's JSON format.
pub const VERSION: u32 = 1;

/// The share by which a figure may differ from run to run.
pub const NOISE: f64 = 0.05;

/// Two sides, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`VERSION`].
    pub version: u32,
    /// The share by which a figure may differ without having changed.
    pub noise: f64,
    /// The baseline of the comparison.
    pub a: Side,
    pub b: Side,
    /// Reasons that make the two sides hard to compare; empty if there are none.
    pub warnings: Vec<String>,
    pub trend: Trend,
    pub rows: Vec<Row>,
}

/// The runs of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    pub runs: Vec<RunName>,
}

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunName {
    pub scenario: String,
    pub seed: u64,
    pub miss_queue: MissQueue,
    pub verdict: Verdict,
}

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub unit: Unit,
    pub better: Better,
    /// Mean over the runs of A.
    pub a: f64,
    /// Mean over the runs of B.
    pub b: f64,
    /// B minus A.
    pub delta: f64,
    /// The difference as a share of A; `None` if A is zero.
    pub delta_share: Option<f64>,
    /// The 95 % confidence interval of the difference; `None` if a side has a single run.
    pub interval: Option<(f64, f64)>,
    pub change: Change,
}

/// How a figure has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The same, within the noise.
    Same,
    /// Better in B.
    Better,
    /// Worse in B.
    Worse,
    /// Different, but neither better nor worse.
    Other,
}

/// How all figures together have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trend {
    /// None is better or worse.
    Same,
    /// Some are better and none is worse.
    Better,
    /// Some are worse and none is better.
    Worse,
    /// Some are better and some are worse.
    Mixed,
}

/// Whether B is worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regression {
    /// No figure is worse.
    None,
    /// These figures are worse.
    Found(Vec<String>),
}

impl Comparison {
    /// Compares the runs of two sides. A figure that is missing in one of the runs is left out.
    pub fn of(a: &[Summary], b: &[Summary], noise: f64) -> Self {
        let rows = FIGURES.iter();
        let mut rows: Vec<_> = rows
            .filter_map(|figure| compare(figure, a, b, noise))
            .collect();
        let lone = forgive_a_lone_percentile(&mut rows);
        let any = |change| rows.iter().any(|row| row.change == change);
        Self {
            version: VERSION,
            noise,
            warnings: warnings(a, b).into_iter().chain(lone).collect(),
            a: Side::of(a),
            b: Side::of(b),
            trend: match (any(Change::Better), any(Change::Worse)) {
                (false, false) => Trend::Same,
                (true, false) => Trend::Better,
                (false, true) => Trend::Worse,
                (true, true) => Trend::Mixed,
            },
            rows,
        }
    }

    /// Whether any figure is worse in B.
    pub fn regression(&self) -> Regression {
        let worse: Vec<_> = self.of_change(Change::Worse).map(str::to_owned).collect();
        match worse.is_empty() {
            true => Regression::None,
            false => Regression::Found(worse),
        }
    }

    /// The result of the comparison, in one sentence.
    pub fn headline(&self) -> String {
        let list = |change| self.of_change(change).collect::<Vec<_>>().join("; ");
        let (better, worse) = (list(Change::Better), list(Change::Worse));
        match self.trend {
            Trend::Same => "SAME  No figure has changed beyond the noise.".to_owned(),
            Trend::Better => format!("BETTER  Better in B: {better}."),
            Trend::Worse => format!("WORSE  Worse in B: {worse}."),
            Trend::Mixed => format!("MIXED  Worse in B: {worse}. Better: {better}."),
        }
    }

    fn of_change(&self, change: Change) -> impl Iterator<Item = &str> {
        let rows = self.rows.iter();
        rows.filter(move |row| row.change == change)
            .map(|row| row.what.as_str())
    }
}

/// A percentile of one run each that is better, while nothing else has changed, is chance: it counts as the same. Returns what is
/// to be said about it.
fn forgive_a_lone_percentile(rows: &mut [Row]) -> Option<String> {
    let is_changed = |row: &&mut Row| matches!(row.change, Change::Better | Change::Worse);
    let mut changed = rows.iter_mut().filter(is_changed);
    let (Some(row), None) = (changed.next(), changed.next()) else {
        return None;
    };
    let is_percentile = matches!(row.unit, Unit::Ms | Unit::S) && row.interval.is_none();
    if row.change != Change::Better || !is_percentile {
        return None;
    }
    row.change = Change::Same;
    Some(format!(
        "{} alone is better, which may be chance in one run each: play several seeds",
        row.what
    ))
}

/// The figure of both sides; `None` if a run lacks it.
fn compare(figure: &Figure, a: &[Summary], b: &[Summary], noise: f64) -> Option<Row> {
    let values = |side: &[Summary]| side.iter().map(figure.of).collect::<Option<Vec<f64>>>();
    let (in_a, in_b) = (values(a)?, values(b)?);
    if in_a.is_empty() || in_b.is_empty() {
        return None;
    }
    let (mean_a, mean_b) = (mean(&in_a), mean(&in_b));
    let delta = mean_b - mean_a;
    let interval = interval(a, b, &in_a, &in_b);
    let whole = match (figure.unit, figure.better) {
        (Unit::Share, Better::Higher) => 1.0 - mean_a,
        _ => mean_a,
    };
    let is_noise = delta.abs() <= figure.floor
        || delta.abs() <= noise * whole.abs()
        || interval.is_some_and(|(least, most)| least <= 0.0 && most >= 0.0);
    Some(Row {
        what: figure.what.to_owned(),
        unit: figure.unit,
        better: figure.better,
        a: mean_a,
        b: mean_b,
        delta,
        delta_share: (mean_a != 0.0).then(|| delta / mean_a.abs()),
        interval,
        change: match figure.better {
            _ if is_noise => Change::Same,
            Better::Neither => Change::Other,
            Better::Lower if delta < 0.0 => Change::Better,
            Better::Higher if delta > 0.0 => Change::Better,
            Better::Lower | Better::Higher => Change::Worse,
        },
    })
}

/// The 95 % confidence interval of the difference of means; `None` if a side has a single run.
fn interval(a: &[Summary], b: &[Summary], in_a: &[f64], in_b: &[f64]) -> Option<(f64, f64)> {
    if in_a.len() < 2 || in_b.len() < 2 {
        return None;
    }
    let delta = mean(in_b) - mean(in_a);
    let half = match paired(a, b, in_a, in_b) {
        Some(differences) => {
            let n = differences.len() as f64;
            student_t(n - 1.0) * (variance(&differences) / n).sqrt()
        }
        None => {
            let of_mean = |values: &[f64]| variance(values) / values.len() as f64;
            let (of_a, of_b) = (of_mean(in_a), of_mean(in_b));
            let freedom = |of: f64, values: &[f64]| of * of / (values.len() as f64 - 1.0);
            let below = freedom(of_a, in_a) + freedom(of_b, in_b);
            let degrees = match below > 0.0 {
                true => (of_a + of_b) * (of_a + of_b) / below,
                false => 1.0,
            };
            student_t(degrees) * (of_a + of_b).sqrt()
        }
    };
    Some((delta - half, delta + half))
}

/// B minus A, seed by seed, if both sides have the same seeds, each once.
fn paired(a: &[Summary], b: &[Summary], in_a: &[f64], in_b: &[f64]) -> Option<Vec<f64>> {
    if seeds(a) != seeds(b) || seeds(a).len() != a.len() || a.len() != b.len() {
        return None;
    }
    let differences = a.iter().zip(in_a).filter_map(|(run, in_a)| {
        let twin = b.iter().position(|twin| twin.seed == run.seed)?;
        Some(in_b[twin] - in_a)
    });
    Some(differences.collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample variance, for two or more values.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    squares.sum::<f64>() / (values.len() as f64 - 1.0)
}

/// The 97.5th percentile of Student's t. Between two entries it takes the one with fewer degrees of freedom, which gives a
/// wider interval.
fn student_t(degrees: f64) -> f64 {
    const TABLE: [(f64, f64); 17] = [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (9.0, 2.262),
        (10.0, 2.228),
        (12.0, 2.179),
        (15.0, 2.131),
        (20.0, 2.086),
        (30.0, 2.042),
        (60.0, 2.000),
        (120.0, 1.980),
        (1_000.0, 1.962),
    ];
    let reached = TABLE.partition_point(|&(from, _)| from <= degrees);
    TABLE[reached.max(1) - 1].1
}

fn seeds(side: &[Summary]) -> BTreeSet<u64> {
    side.iter().map(|run| run.seed).collect()
}

/// Reasons that make the two sides hard to compare.
fn warnings(a: &[Summary], b: &[Summary]) -> Vec<String> {
    let differ = |what: &str, of: fn(&Summary) -> String| {
        let all = |side: &[Summary]| side.iter().map(of).collect::<BTreeSet<_>>();
        let list = |side| all(side).into_iter().collect::<Vec<_>>().join(", ");
        (all(a) != all(b)).then(|| format!("{what}: {} in A, {} in B", list(a), list(b)))
    };
    let mut warnings: Vec<_> = [
        differ("scenario", |run| run.scenario.clone()),
        differ("seed", |run| run.seed.to_string()),
        differ("version of the summary", |run| run.version.to_string()),
        differ("viewers", |run| run.viewers.scheduled.to_string()),
        differ("edges", |run| run.viewers.edges.to_string()),
        differ("segment duration in ms", |run| {
            format!("{:.0}", run.origin.window_ms)
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let ([first_a, ..], [first_b, ..]) = (a, b) {
        warnings.extend(settings::differences(&first_a.settings, &first_b.settings));
    }
    for (side, runs) in [("A", a), ("B", b)] {
        for run in runs {
            if matches!(run.verdict, Verdict::Invalid | Verdict::Interrupted) {
                warnings.push(format!("a run of {side} is {}", run.verdict));
            }
        }
    }
    warnings
}

/// The comparison as a table.
pub(super) fn table(comparison: &Comparison) -> Table {
    let mut table = Table::new(
        "B against A",
        ["", "figure", "A", "B", "B - A", "%", "95 % interval"],
    );
    let has_intervals = comparison.rows.iter().any(|row| row.interval.is_some());
    for row in &comparison.rows {
        let (word, tone) = match row.change {
            Change::Same => ("same", Tone::Plain),
            Change::Better => ("better", Tone::Good),
            Change::Worse => ("WORSE", Tone::Bad),
            Change::Other => ("changed", Tone::Unsure),
        };
        let interval = row.interval.map_or_else(String::new, |(least, most)| {
            format!(
                "{} to {}",
                row.unit.write_change(least),
                row.unit.write_change(most)
            )
        });
        let share = row.delta_share.map_or_else(
            || "-".to_owned(),
            |share| format!("{:+.1} %", share * 100.0),
        );
        table.rows.push(vec![
            Cell::words(word).toned(tone),
            Cell::words(&row.what),
            Cell::figure(row.unit.write(row.a)),
            Cell::figure(row.unit.write(row.b)),
            Cell::figure(row.unit.write_change(row.delta)),
            Cell::figure(share),
            Cell::figure(interval),
        ]);
    }
    let judged = match has_intervals {
        true => "and the 95 % confidence interval of the difference excludes zero",
        false => "and by more than a floor of each figure's own",
    };
    table.notes.push(format!(
        "A figure has changed if it differs by more than {:.1} % {judged}; a share that should be 100 % is judged by what \
         it lacks.",
        comparison.noise * 100.0
    ));
    if !has_intervals {
        table.header.remove(6);
        for row in &mut table.rows {
            row.remove(6);
        }
    }
    table
}

impl Side {
    fn of(runs: &[Summary]) -> Self {
        let name = |run: &Summary| RunName {
            scenario: run.scenario.clone(),
            seed: run.seed,
            miss_queue: run.miss_queue,
            verdict: run.verdict,
        };
        Self {
            runs: runs.iter().map(name).collect(),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.runs.first() else {
            return f.write_str("nothing");
        };
        write!(f, "{}, miss queue {}", first.scenario, first.miss_queue)?;
        let seeds: Vec<_> = self.runs.iter().map(|run| run.seed.to_string()).collect();
        match seeds.len() {
            1 => write!(f, ", seed {}", seeds[0]),
            _ => write!(f, ", seeds {}", seeds.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::super::text::{self, Page};
    use std::slice::from_ref;

    use super::*;

    fn run() -> Summary {
        sample::summary(&sample::record(MissQueue::Flights))
    }

    fn with_p99(mut run: Summary, seed: u64, p99_ms: f64) -> Summary {
        run.seed = seed;
        for row in &mut run.latency {
            row.p99_ms = p99_ms;
        }
        run
    }

    fn change(comparison: &Comparison, what: &str) -> Change {
        let mut rows = comparison.rows.iter();
        rows.find(|row| row.what == what).unwrap().change
    }

    #[test]
    fn a_run_is_the_same_as_itself() {
        let comparison = Comparison::of(&[run()], &[run()], NOISE);
        assert_eq!(comparison.trend, Trend::Same);
        assert_eq!(comparison.regression(), Regression::None);
        assert_eq!(comparison.warnings, Vec::<String>::new());
        assert_eq!(comparison.rows.len(), FIGURES.len());
    }

    #[test]
    fn without_the_queue_the_origin_is_worse_off_and_the_other_way_round_better() {
        let off = sample::summary(&sample::record(MissQueue::Off));
        let worse = Comparison::of(&[run()], from_ref(&off), NOISE);
        assert_eq!(change(&worse, "origin hits, segments"), Change::Worse);
        assert_eq!(change(&worse, "offload, segments"), Change::Worse);
        assert_eq!(change(&worse, "viewer requests"), Change::Same);
        let Regression::Found(figures) = worse.regression() else {
            panic!("{worse:?}");
        };
        assert!(figures.contains(&"origin hits, segments".to_owned()));
        let better = Comparison::of(&[off], &[run()], NOISE);
        assert_eq!(change(&better, "origin hits, segments"), Change::Better);
        assert_eq!(change(&better, "predicted"), Change::Other);
    }

    #[test]
    fn what_is_small_in_itself_is_no_regression_however_great_its_share() {
        for (a_ms, b_ms, expected) in [
            (0.001, 0.002, Change::Same),
            (1.0, 2.9, Change::Same),
            (100.0, 104.9, Change::Same),
            (100.0, 106.0, Change::Worse),
            // The only figure that is better in one run each proves nothing.
            (100.0, 94.0, Change::Same),
        ] {
            let comparison = Comparison::of(
                &[with_p99(run(), 1, a_ms)],
                &[with_p99(run(), 1, b_ms)],
                NOISE,
            );
            let found = change(&comparison, "segment latency p99");
            assert_eq!(found, expected, "{a_ms} against {b_ms}");
        }
    }

    #[test]
    fn one_percentile_alone_makes_nothing_better() {
        let slow = with_p99(run(), 1, 80.0);
        let fast = with_p99(run(), 1, 20.0);
        let alone = Comparison::of(from_ref(&slow), from_ref(&fast), NOISE);
        assert_eq!(alone.trend, Trend::Same);
        assert!(
            alone
                .warnings
                .iter()
                .any(|warning| warning.contains("several seeds")),
            "{:?}",
            alone.warnings
        );
        // In the other direction it is told: a gate must not miss it.
        let worse = Comparison::of(from_ref(&fast), from_ref(&slow), NOISE);
        assert_eq!(worse.trend, Trend::Worse);
        // Another figure that changes too makes it count.
        let mut better = fast;
        better.origin.measured.segment = slow.origin.measured.segment / 2;
        let together = Comparison::of(&[slow], &[better], NOISE);
        assert_eq!(together.trend, Trend::Better);
        assert_eq!(change(&together, "segment latency p99"), Change::Better);
    }

    #[test]
    fn over_several_seeds_a_difference_that_may_be_chance_is_none() {
        let side = |values: [f64; 3]| -> Vec<Summary> {
            let runs = (1..).zip(values);
            runs.map(|(seed, p99_ms)| with_p99(run(), seed, p99_ms))
                .collect()
        };
        let a = side([100.0, 110.0, 120.0]);
        let steady = Comparison::of(&a, &side([120.0, 131.0, 141.0]), NOISE);
        assert_eq!(change(&steady, "segment latency p99"), Change::Worse);
        let chance = Comparison::of(&a, &side([160.0, 90.0, 125.0]), NOISE);
        assert_eq!(change(&chance, "segment latency p99"), Change::Same);
        // Runs with other seeds cannot be paired, so the spread within a side counts.
        let mut others = side([120.0, 131.0, 141.0]);
        others[0].seed = 9;
        let unpaired = Comparison::of(&a, &others, NOISE);
        assert_eq!(change(&unpaired, "segment latency p99"), Change::Same);
        assert_eq!(unpaired.warnings, ["seed: 1, 2, 3 in A, 2, 3, 9 in B"]);
    }

    #[test]
    fn intervals_are_those_of_the_textbook() {
        // Differences 20, 21, 21: mean 20.667, s = 0.5774, t = 4.303.
        let a = [100.0, 110.0, 120.0];
        let b = [120.0, 131.0, 141.0];
        let runs: Vec<_> = (1..=3).map(|seed| with_p99(run(), seed, 0.0)).collect();
        let (least, most) = interval(&runs, &runs, &a, &b).unwrap();
        assert!((least - 19.232).abs() < 1e-3 && (most - 22.101).abs() < 1e-3);
        assert_eq!(student_t(4.9), 2.776);
        assert_eq!(student_t(1e9), 1.962);
    }

    #[test]
    fn runs_of_different_things_are_compared_with_a_warning() {
        let mut other = run();
        other.scenario = "kickoff".to_owned();
        other.verdict = Verdict::Invalid;
        let comparison = Comparison::of(&[run()], &[other], NOISE);
        assert_eq!(
            comparison.warnings,
            [
                "scenario: sample in A, kickoff in B",
                "a run of B is INVALID"
            ]
        );
        let text = text::comparison(&comparison, Page::default());
        assert!(text.contains("Not the same: scenario"), "{text}");
        let json = serde_json::to_string(&comparison).unwrap();
        assert_eq!(
            serde_json::from_str::<Comparison>(&json).unwrap(),
            comparison
        );
    }
}
