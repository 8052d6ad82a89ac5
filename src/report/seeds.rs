//! One scenario with several seeds: the mean of each figure, with its interval.

use serde::{Deserialize, Serialize};

use super::summary::Summary;
use super::tables::{Cell, Table};
use crate::theory::interval::{Confidence, Interval};

/// The runs of several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seeds {
    /// Name of the scenario.
    pub scenario: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// One row per figure.
    pub rows: Vec<Row>,
}

/// A figure over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is, with its unit.
    pub what: String,
    /// Its mean.
    pub mean: f64,
    /// Half of the width of the 99 % interval of the mean (Student's t).
    pub half_width: f64,
    /// Its least value.
    pub least: f64,
    /// Its greatest value.
    pub most: f64,
}

/// A figure of a run, by its name.
type Figure = (&'static str, fn(&Summary) -> Option<f64>);

const FIGURES: [Figure; 9] = [
    ("origin hits for segments", |summary| {
        Some(summary.origin.measured.segment as f64)
    }),
    ("origin hits for media playlists", |summary| {
        Some(summary.origin.measured.media_playlist as f64)
    }),
    ("offload of segments, %", |summary| {
        Some(summary.origin.offload_segments? * 100.0)
    }),
    ("beyond the origin's capacity, %", |summary| {
        Some(summary.origin.shed_share? * 100.0)
    }),
    ("requests that waited", |summary| {
        Some(summary.waiters.waited as f64)
    }),
    ("most waiters for one flight", |summary| {
        Some(summary.waiters.peak? as f64)
    }),
    ("startup, median, s", |summary| {
        summary.experience.startup_p50_s
    }),
    ("startup, 95th percentile, s", |summary| {
        summary.experience.startup_p95_s
    }),
    ("stalled share, %", |summary| {
        Some(summary.experience.stalled_share * 100.0)
    }),
];

impl Seeds {
    /// Of the runs.
    pub fn of(runs: &[&Summary]) -> Self {
        let row = |(what, of): &Figure| {
            let values: Vec<f64> = runs.iter().filter_map(|run| of(run)).collect();
            let Interval { mean, half_width } = Interval::of(&values, Confidence::Percent99)?;
            Some(Row {
                what: (*what).to_owned(),
                mean,
                half_width,
                least: values.iter().copied().fold(f64::INFINITY, f64::min),
                most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            })
        };
        Self {
            scenario: runs
                .first()
                .map_or_else(String::new, |run| run.scenario.clone()),
            seeds: runs.iter().map(|run| run.seed).collect(),
            rows: FIGURES.iter().filter_map(row).collect(),
        }
    }

    /// The figures as a table.
    pub(super) fn table(&self) -> Table {
        let header = ["figure", "mean", "99 % interval", "least", "most"];
        let mut table = Table::new("All seeds", header);
        for row in &self.rows {
            table.rows.push(vec![
                Cell::words(&row.what),
                Cell::figure(number(row.mean)),
                Cell::figure(format!("± {}", number(row.half_width))),
                Cell::figure(number(row.least)),
                Cell::figure(number(row.most)),
            ]);
        }
        table
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => super::thresholds::grouped(value.round() as u64),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
