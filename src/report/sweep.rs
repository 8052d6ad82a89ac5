//! A sweep: one scenario in virtual time for each value of one or two keys, as a table, as heat maps, and as one sentence.

use serde::{Deserialize, Serialize};

use super::summary::Summary;
use super::tables::{Cell, Table, Tone};
use super::thresholds::{Verdict, grouped};

/// The runs of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed of all runs.
    pub seed: u64,
    /// The keys and their values: one or two.
    pub axes: Vec<Axis>,
    /// The runs: all values of the last key for the first value of the first, and so on.
    pub runs: Vec<Figures>,
}

/// A key and its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// The key.
    pub key: String,
    /// Its values, as written.
    pub values: Vec<String>,
}

/// What is compared of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests at the origin per second, of every kind.
    pub origin_per_s: f64,
    /// Requests at the origin per second for segments.
    pub origin_segments_per_s: f64,
    /// Stalled share of the viewing time.
    pub stalled_share: f64,
    /// The highest number of requests that waited for one flight.
    pub waiters_most: u64,
    /// Requests beyond the origin's capacity.
    pub shed: u64,
    /// The 95th percentile of the time to the first frame, in seconds.
    pub startup_p95_s: Option<f64>,
    /// The verdict on the run.
    pub verdict: Verdict,
}

impl Figures {
    /// Of a run.
    pub fn of(summary: &Summary) -> Self {
        let hits = &summary.origin.measured;
        let elapsed_s = summary.elapsed_s.max(1e-9);
        let all = hits.segment + hits.media_playlist + hits.multivariant + hits.other;
        Self {
            origin_per_s: all as f64 / elapsed_s,
            origin_segments_per_s: hits.segment as f64 / elapsed_s,
            stalled_share: summary.experience.stalled_share,
            waiters_most: summary.waiters.peak.unwrap_or(0),
            shed: hits.shed,
            startup_p95_s: summary.experience.startup_p95_s,
            verdict: summary.verdict,
        }
    }
}

/// A figure that is drawn as a heat map.
pub(super) struct Heat {
    pub(super) title: &'static str,
    pub(super) of: fn(&Figures) -> f64,
    pub(super) told: fn(f64) -> String,
}

/// The heat maps of a sweep.
pub(super) const HEATS: [Heat; 3] = [
    Heat {
        title: "Requests at the origin per second",
        of: |figures| figures.origin_per_s,
        told: rate,
    },
    Heat {
        title: "Stalled share of the viewing time",
        of: |figures| figures.stalled_share * 100.0,
        told: |percent| format!("{percent:.2} %"),
    },
    Heat {
        title: "Most requests that waited for one flight",
        of: |figures| figures.waiters_most as f64,
        told: |waiters| grouped(waiters as u64),
    },
];

fn rate(per_s: f64) -> String {
    match per_s {
        per_s if per_s >= 100.0 => grouped(per_s.round() as u64),
        per_s => format!("{per_s:.1}"),
    }
}

/// Rates closer than this share are the same.
const SAME: f64 = 0.02;

impl Sweep {
    /// Number of values of the last key, and of the first one if there are two.
    pub(super) fn shape(&self) -> (usize, usize) {
        match &self.axes[..] {
            [rows, columns] => (rows.values.len(), columns.values.len()),
            [columns] => (1, columns.values.len()),
            _ => (0, 0),
        }
    }

    /// The values of a run, by key.
    fn values_of(&self, run: usize) -> Vec<(&str, &str)> {
        let (_, columns) = self.shape();
        let places = [run / columns.max(1), run % columns.max(1)];
        let skip = 2 - self.axes.len();
        let axes = self.axes.iter().zip(&places[skip..]);
        axes.map(|(axis, &place)| (axis.key.as_str(), axis.values[place].as_str()))
            .collect()
    }

    /// What the sweep has found, in one sentence.
    pub fn finding(&self) -> String {
        let rate_of = |figures: &Figures| figures.origin_segments_per_s;
        let all: Vec<f64> = self.runs.iter().map(rate_of).collect();
        if let [first, second] = &self.axes[..]
            && let Some(said) = self
                .steady_along(first, second, &all, true)
                .or_else(|| self.steady_along(second, first, &all, false))
        {
            return said;
        }
        let order = |one: &usize, other: &usize| all[*one].total_cmp(&all[*other]);
        let runs = 0..self.runs.len();
        let (Some(least), Some(most)) = (runs.clone().min_by(order), runs.max_by(order)) else {
            return "No run was played.".to_owned();
        };
        if same(&[all[least], all[most]]) {
            let keys: Vec<_> = self.axes.iter().map(|axis| axis.key.as_str()).collect();
            return format!(
                "The origin sees {} requests for segments per second, whatever {} is.",
                rate(all[least]),
                keys.join(" and ")
            );
        }
        let named = |run: usize| {
            let values = self.values_of(run).into_iter();
            let values: Vec<_> = values
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            values.join(" and ")
        };
        format!(
            "The origin sees fewest requests for segments with {}, {} per second, and most with {}, {} per second.",
            named(least),
            rate(all[least]),
            named(most),
            rate(all[most])
        )
    }

    /// What can be said if the rate does not change along the other key.
    fn steady_along(&self, kept: &Axis, other: &Axis, all: &[f64], rows: bool) -> Option<String> {
        let (count, columns) = self.shape();
        let line = |place: usize| -> Vec<f64> {
            match rows {
                true => all[place * columns..(place + 1) * columns].to_vec(),
                false => (0..count).map(|row| all[row * columns + place]).collect(),
            }
        };
        let lines: Vec<_> = (0..kept.values.len()).map(line).collect();
        if !lines.iter().all(|line| same(line)) || lines.iter().any(Vec::is_empty) {
            return None;
        }
        let mut told = kept
            .values
            .iter()
            .zip(&lines)
            .map(|(value, line)| (rate(line[0]), format!("with {}={value}", kept.key)));
        let (first, with) = told.next()?;
        let others: String = told
            .map(|(rate, with)| format!(", {rate} {with}"))
            .collect();
        Some(format!(
            "The origin sees {first} requests for segments per second {with}{others}, whatever {} is.",
            other.key
        ))
    }

    /// One row per run.
    pub(super) fn table(&self) -> Table {
        let keys = self.axes.iter().map(|axis| axis.key.clone());
        let mut table = Table::new(
            "Figures",
            [
                "",
                "origin/s",
                "segments/s",
                "stalled",
                "waiters, most",
                "shed",
                "startup p95",
            ],
        );
        table.header.splice(1..1, keys);
        for (run, figures) in self.runs.iter().enumerate() {
            let tone = match figures.verdict {
                Verdict::Pass => Tone::Good,
                Verdict::Fail => Tone::Bad,
                Verdict::Invalid | Verdict::Interrupted => Tone::Unsure,
            };
            let mut cells = vec![Cell::words(figures.verdict).toned(tone)];
            let values = self.values_of(run).into_iter();
            cells.extend(values.map(|(_, value)| Cell::figure(value)));
            cells.extend([
                Cell::figure(rate(figures.origin_per_s)),
                Cell::figure(rate(figures.origin_segments_per_s)),
                Cell::figure(format!("{:.2} %", figures.stalled_share * 100.0)),
                Cell::figure(grouped(figures.waiters_most)),
                Cell::figure(grouped(figures.shed)),
                Cell::figure(
                    figures
                        .startup_p95_s
                        .map_or_else(|| "-".to_owned(), |startup_s| format!("{startup_s:.1} s")),
                ),
            ]);
            table.rows.push(cells);
        }
        table
    }
}

/// Whether all rates are the same, but for [`SAME`].
fn same(rates: &[f64]) -> bool {
    let most = rates.iter().copied().fold(0.0, f64::max);
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    most - least <= most * SAME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(rates: &[f64]) -> Sweep {
        let axis = |key: &str, values: &[&str]| Axis {
            key: key.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        Sweep {
            scenario: "kickoff".to_owned(),
            seed: 1,
            axes: vec![
                axis("viewers", &["1000000", "50000000"]),
                axis("shield_groups", &["0", "4"]),
            ],
            runs: rates
                .iter()
                .map(|&rate| Figures {
                    origin_per_s: rate * 2.0,
                    origin_segments_per_s: rate,
                    stalled_share: 0.0,
                    waiters_most: 5,
                    shed: 0,
                    startup_p95_s: None,
                    verdict: Verdict::Pass,
                })
                .collect(),
        }
    }

    #[test]
    fn a_sweep_says_what_changes_nothing() {
        assert_eq!(
            sweep(&[750.0, 10.0, 750.0, 10.0]).finding(),
            "The origin sees 750 requests for segments per second with shield_groups=0, 10.0 with shield_groups=4, whatever \
             viewers is."
        );
        assert_eq!(
            sweep(&[750.0, 10.0, 900.0, 10.0]).finding(),
            "The origin sees fewest requests for segments with viewers=1000000 and shield_groups=4, 10.0 per second, and most \
             with viewers=50000000 and shield_groups=0, 900 per second."
        );
        assert_eq!(
            sweep(&[10.0; 4]).finding(),
            "The origin sees 10.0 requests for segments per second with viewers=1000000, 10.0 with viewers=50000000, whatever \
             shield_groups is."
        );
        assert_eq!(sweep(&[1.0; 4]).table().rows.len(), 4);
    }
}
