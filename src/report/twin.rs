//! A run over sockets beside the same scenario, seed and phase in virtual time: each figure with its tolerance and a ruling.

use serde::{Deserialize, Serialize};

use super::record::{Kind, ResultWord};
use super::summary::Summary;
use super::tables::{Cell, Table, Tone};
use super::thresholds::{Verdict, grouped};

/// The comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed of both.
    pub seed: u64,
    /// Fail if a figure is beyond its tolerance, Invalid if the run over sockets cannot be trusted.
    pub verdict: Verdict,
    /// Why it cannot be trusted; empty if it can.
    pub cautions: Vec<String>,
    /// One row per figure.
    pub rows: Vec<Row>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// Over sockets.
    pub real: f64,
    /// In virtual time.
    pub simulated: f64,
    /// The largest difference that holds.
    pub tolerance: f64,
    /// Where the tolerance comes from.
    pub why: String,
    /// The unit; empty for a count.
    pub unit: String,
    /// Whether the difference is within the tolerance.
    pub holds: bool,
}

/// How far two figures may be apart.
#[derive(Clone, Copy, Debug)]
enum Tolerance {
    /// Not at all.
    Exact,
    /// This share of the larger one, and at least so much.
    Share(f64, f64),
    /// A share, or what chance does to a count: 2.58 standard deviations of the difference of two Poisson counts.
    Count(f64),
}

/// A figure: its name, its unit, its tolerance, and where it stands.
type Figure = (
    &'static str,
    &'static str,
    Tolerance,
    fn(&Summary) -> Option<f64>,
);

impl Twin {
    /// Of a run over sockets and its twins: the first has the same phase, the others begin some milliseconds earlier or later.
    /// What those milliseconds change is no difference between sockets and virtual time, because sockets have no exact
    /// milliseconds. `fixed`: no player chose its rendition, so segments must agree exactly.
    pub fn of(real: &Summary, twins: &[Summary], fixed: bool) -> Self {
        let segments = match fixed && real.faults.is_empty() {
            true => Tolerance::Exact,
            false => Tolerance::Share(0.02, 3.0),
        };
        let figures: [Figure; 11] = [
            ("viewers that started", "", Tolerance::Exact, |summary| {
                Some(summary.viewers.started.into())
            }),
            ("origin hits for segments", "", segments, |summary| {
                Some(summary.origin.measured.segment as f64)
            }),
            (
                "origin hits for media playlists",
                "",
                Tolerance::Count(0.03),
                |summary| Some(summary.origin.measured.media_playlist as f64),
            ),
            (
                "origin hits for multivariant playlists",
                "",
                Tolerance::Count(0.03),
                |summary| Some(summary.origin.measured.multivariant as f64),
            ),
            (
                "requests for segments",
                "",
                Tolerance::Share(0.03, 3.0),
                |summary| asked(summary, Kind::Segment),
            ),
            (
                "requests for media playlists",
                "",
                Tolerance::Share(0.05, 3.0),
                |summary| asked(summary, Kind::MediaPlaylist),
            ),
            ("collapsed requests", "", Tolerance::Count(0.1), |summary| {
                word_count(summary, ResultWord::Collapsed)
            }),
            (
                "startup, median",
                "s",
                Tolerance::Share(0.05, 0.1),
                |summary| summary.experience.startup_p50_s,
            ),
            (
                "startup, 95th percentile",
                "s",
                Tolerance::Share(0.05, 0.15),
                |summary| summary.experience.startup_p95_s,
            ),
            (
                "stalled share",
                "%",
                Tolerance::Share(0.15, 0.5),
                |summary| Some(summary.experience.stalled_share * 100.0),
            ),
            (
                "viewers that stalled",
                "",
                Tolerance::Count(0.1),
                |summary| Some(summary.experience.viewers_stalled as f64),
            ),
        ];
        let rows: Vec<_> = figures
            .into_iter()
            .filter_map(|figure| row(figure, real, twins))
            .collect();
        let mut cautions = real.generator_faults.clone();
        if real.interrupted || twins.iter().any(|twin| twin.interrupted) {
            cautions.push("a run was interrupted".to_owned());
        }
        Self {
            scenario: real.scenario.clone(),
            seed: real.seed,
            verdict: if !cautions.is_empty() {
                Verdict::Invalid
            } else if rows.iter().all(|row| row.holds) {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            cautions,
            rows,
        }
    }

    /// The news, in one sentence.
    pub fn headline(&self) -> String {
        let off: Vec<_> = self.rows.iter().filter(|row| !row.holds).collect();
        match &off[..] {
            [] => format!(
                "{}, seed {}: all {} figures of the run over sockets and of its twin in virtual time agree.",
                self.scenario,
                self.seed,
                self.rows.len()
            ),
            off => {
                let names: Vec<_> = off.iter().map(|row| row.what.as_str()).collect();
                format!(
                    "{}, seed {}: {} of {} figures differ by more than their tolerance: {}.",
                    self.scenario,
                    self.seed,
                    off.len(),
                    self.rows.len(),
                    names.join(", ")
                )
            }
        }
    }

    /// The figures as a table.
    pub(super) fn table(&self) -> Table {
        let header = [
            "",
            "figure",
            "over sockets",
            "virtual time",
            "may differ by",
            "why",
        ];
        let mut table = Table::new("Over sockets and in virtual time", header);
        for row in &self.rows {
            let (word, tone) = match row.holds {
                true => ("PASS", Tone::Good),
                false => ("FAIL", Tone::Bad),
            };
            table.rows.push(vec![
                Cell::words(word).toned(tone),
                Cell::words(&row.what),
                Cell::figure(figure(row.real, &row.unit)),
                Cell::figure(figure(row.simulated, &row.unit)),
                Cell::figure(figure(row.tolerance, &row.unit)),
                Cell::words(&row.why),
            ]);
        }
        table
    }
}

fn row((what, unit, tolerance, of): Figure, real: &Summary, twins: &[Summary]) -> Option<Row> {
    let real = of(real)?;
    let all: Vec<f64> = twins.iter().filter_map(of).collect();
    let simulated = *all.first()?;
    let most = real.max(simulated);
    let (tolerance, why) = match tolerance {
        Tolerance::Exact => (0.0, "equal".to_owned()),
        Tolerance::Share(share, least) => {
            let by_share = most * share;
            match by_share >= least {
                true => (by_share, format!("{:.0} %", share * 100.0)),
                false => (least, "at least so much".to_owned()),
            }
        }
        Tolerance::Count(share) => {
            let (by_share, by_chance) = (most * share, 2.58 * libm::sqrt(real + simulated));
            match by_share >= by_chance {
                true => (by_share, format!("{:.0} %", share * 100.0)),
                false => (by_chance, "chance: two Poisson counts, 99 %".to_owned()),
            }
        }
    };
    // Where a few milliseconds change more than that, the difference says nothing.
    let beyond = all.iter().map(|twin| (twin - simulated).abs());
    let by_phase = beyond.fold(0.0, f64::max);
    let (tolerance, why) = match by_phase > tolerance && tolerance > 0.0 {
        true => (
            by_phase,
            "what some milliseconds of phase change".to_owned(),
        ),
        false => (tolerance, why),
    };
    Some(Row {
        what: what.to_owned(),
        real,
        simulated,
        tolerance,
        why,
        unit: unit.to_owned(),
        holds: (real - simulated).abs() <= tolerance,
    })
}

fn asked(summary: &Summary, kind: Kind) -> Option<f64> {
    let row = summary.requests.iter().find(|row| row.kind == kind);
    row.map(|row| row.total as f64)
}

fn word_count(summary: &Summary, word: ResultWord) -> Option<f64> {
    let rows = summary.requests.iter();
    let counts = rows.map(|row| row.words.get(&word).copied().unwrap_or(0));
    Some(counts.sum::<u64>() as f64)
}

fn figure(value: f64, unit: &str) -> String {
    match unit {
        "" if value.fract() == 0.0 => grouped(value as u64),
        "" => format!("{value:.1}"),
        unit => format!("{value:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::policy::status::MissQueue;

    #[test]
    fn a_run_is_its_own_twin_and_another_number_of_hits_is_none() {
        let mut real = sample::summary(&sample::record(MissQueue::Flights));
        real.generator_faults.clear();
        real.interrupted = false;
        real.faults.clear();
        let twin = Twin::of(&real, std::slice::from_ref(&real), true);
        assert_eq!(twin.verdict, Verdict::Pass, "{twin:?}");
        let mut other = real.clone();
        other.origin.measured.segment += 1;
        let twin = Twin::of(&real, &[other], true);
        assert_eq!(twin.verdict, Verdict::Fail);
        assert!(twin.headline().contains("origin hits for segments"));
        let mut late = real.clone();
        late.generator_faults
            .push("its wake-ups were late".to_owned());
        assert_eq!(Twin::of(&late, &[real], true).verdict, Verdict::Invalid);
    }
}
