//! Runs of one scenario and seed beside each other: their figures, what each step has done, and what follows from it.

use super::advice;
use super::headline::count;
use super::measures::FIGURES;
use super::run::Run;
use super::summary::Summary;
use super::tables::{Cell, Table};
use super::thresholds::grouped;

/// The figures of a comparison at a glance.
const AT_A_GLANCE: [&str; 14] = [
    "viewer requests",
    "origin hits, segments",
    "predicted",
    "most for one segment",
    "origin hits, playlists",
    "beyond the origin's capacity",
    "requests that waited",
    "segment latency p99",
    "startup p95",
    "players that failed to start",
    "viewers stalled",
    "stalled share",
    "requests that failed",
    "perfect visits",
];

/// How much of a comparison is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The most important figures.
    AtAGlance,
    /// Every figure.
    All,
}

/// Runs beside each other under their labels, without a judgement, because some of them may be baselines that are meant to be
/// worse.
pub(super) fn beside(runs: &[Run<'_>], detail: Detail) -> Table {
    let mut table = Table::new("Beside each other", [""]);
    table
        .header
        .extend(runs.iter().map(|run| run.label.to_owned()));
    for figure in &FIGURES {
        if detail == Detail::AtAGlance && !AT_A_GLANCE.contains(&figure.what) {
            continue;
        }
        let values: Vec<_> = runs.iter().map(|run| (figure.of)(run.summary)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let cells = values.into_iter().map(|value| {
            Cell::figure(value.map_or_else(|| "-".to_owned(), |value| figure.unit.write(value)))
        });
        table.rows.push(
            std::iter::once(Cell::words(figure.what))
                .chain(cells)
                .collect(),
        );
    }
    table.notes.extend(shares(runs));
    table.notes.extend(advice::advice(runs));
    if let Some(first) = runs.first() {
        table.notes.push(format!(
            "All runs drew the same {} (seed {}).",
            count(u64::from(first.summary.viewers.scheduled), "viewer"),
            first.summary.seed,
        ));
    }
    table
}

/// What each step from one run to the next has done for the origin: each mechanism gets its own share.
fn shares(runs: &[Run<'_>]) -> Vec<String> {
    let told = runs.windows(2).filter_map(|pair| {
        let [from, to] = pair else {
            return None;
        };
        let (before, after) = (from.summary, to.summary);
        let (from, to) = (from.label, to.label);
        let hits = |run: &Summary| {
            let hits = &run.origin.measured;
            (!hits.uncounted).then_some(hits.segment + hits.media_playlist + hits.multivariant)
        };
        let (before_hits, after_hits) = (hits(before)?, hits(after)?);
        let change = match after_hits.cmp(&before_hits) {
            std::cmp::Ordering::Less => {
                format!("{} fewer", grouped(before_hits - after_hits))
            }
            std::cmp::Ordering::Equal => "as many".to_owned(),
            std::cmp::Ordering::Greater => format!("{} more", grouped(after_hits - before_hits)),
        };
        let waited = |run: &Summary| run.waiters.waited;
        Some(format!(
            "From \"{from}\" to \"{to}\": {change} requests at the origin ({} instead of {}); {} instead of {} requests waited for \
             the fetch of another.",
            grouped(after_hits),
            grouped(before_hits),
            grouped(waited(after)),
            grouped(waited(before)),
        ))
    });
    told.collect()
}
