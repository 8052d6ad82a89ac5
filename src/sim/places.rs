//! What happens at which edge, and when: a table whose size does not depend on how much happens.

use std::time::Duration;

use crate::report::places::{self, PlaceMap};
use crate::time::Timestamp;

/// The most columns: parts of the run.
const COLUMNS: u32 = 60;
/// The most rows of the report; more edges share them.
const ROWS: usize = 30;

/// The figures of an edge in a part of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    /// Requests of the edge to its upstream.
    pub(super) fetches: u64,
    /// Requests of viewers that failed.
    pub(super) failures: u64,
    /// Seconds that viewers have seen a still picture.
    stalled_s: f64,
}

/// The figures of all edges.
#[derive(Debug)]
pub(super) struct Places {
    width: Duration,
    edges: usize,
    /// Edge by edge, each from the beginning to the end.
    cells: Vec<Cell>,
}

impl Places {
    pub(super) fn new(edges: u32, length: Duration) -> Self {
        let width = (length / COLUMNS).max(Duration::from_secs(1));
        Self {
            width,
            edges: edges as usize,
            cells: vec![Cell::default(); edges as usize * COLUMNS as usize],
        }
    }

    /// The cell of an edge at an instant. What comes after the end belongs to the last part.
    pub(super) fn at(&mut self, edge: u32, now: Timestamp) -> &mut Cell {
        let column = now.since(Timestamp::ZERO).as_nanos() / self.width.as_nanos();
        let column = column.min(u128::from(COLUMNS) - 1) as usize;
        let edge = (edge as usize).min(self.edges - 1);
        &mut self.cells[edge * COLUMNS as usize + column]
    }

    /// Viewers of an edge have seen a still picture for a while.
    pub(super) fn stalled(&mut self, edge: u32, from: Timestamp, until: Timestamp, viewers: f64) {
        for (at, part) in parts(from, until, self.width) {
            self.at(edge, at).stalled_s += viewers * part.as_secs_f64();
        }
    }

    /// The figures as the report shows them, until the run has ended.
    pub(super) fn report(&self, elapsed: Duration) -> places::Places {
        let columns = elapsed.as_nanos().div_ceil(self.width.as_nanos());
        let columns = columns.clamp(1, u128::from(COLUMNS)) as usize;
        let rows = self.edges.min(ROWS);
        let bound = |row: usize| row * self.edges / rows;
        let width_s = self.width.as_secs_f64();
        let map = |title, of: fn(&Cell) -> f64| {
            let value = |row: usize, column: usize| {
                let edges = bound(row)..bound(row + 1);
                let cells = edges.map(|edge| of(&self.cells[edge * COLUMNS as usize + column]));
                cells.sum::<f64>() / width_s
            };
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            PlaceMap {
                title,
                values: cells.map(|(row, column)| value(row, column)).collect(),
            }
        };
        places::Places {
            names: (0..rows)
                .map(|row| match (bound(row) + 1, bound(row + 1)) {
                    (first, last) if first == last => format!("edge-{first}"),
                    (first, last) => format!("edges {first} to {last}"),
                })
                .collect(),
            width: self.width,
            maps: vec![
                map(
                    "Requests of the edges to their upstream, per second",
                    |cell| cell.fetches as f64,
                ),
                map("Viewers with a still picture", |cell| cell.stalled_s),
                map("Requests of viewers that failed, per second", |cell| {
                    cell.failures as f64
                }),
            ],
        }
    }
}

/// A span cut at the multiples of a width: when each part begins, and how long it is.
pub(super) fn parts(
    from: Timestamp,
    until: Timestamp,
    width: Duration,
) -> impl Iterator<Item = (Timestamp, Duration)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let begun = at;
        at = (at + Duration::from_nanos(1)).next_tick(width).min(until);
        (begun < until).then(|| (begun, at.since(begun)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_summed_by_place_and_time() {
        let at = |seconds: u64| Timestamp::ZERO + Duration::from_secs(seconds);
        let mut places = Places::new(90, Duration::from_secs(600));
        places.at(0, at(0)).fetches += 5;
        places.at(2, at(9)).fetches += 5;
        places.at(89, at(900)).failures += 10;
        places.stalled(3, at(5), at(25), 3.0);
        let report = places.report(Duration::from_secs(600));
        assert_eq!((report.names.len(), report.width.as_secs()), (30, 10));
        assert_eq!(report.names[0], "edges 1 to 3");
        let [fetches, stalled, failures] = &report.maps[..] else {
            panic!("three maps")
        };
        // Three edges stand in a row.
        assert_eq!(fetches.values[0], 1.0);
        assert_eq!(failures.values[29 * 60 + 59], 1.0);
        assert_eq!(stalled.values[60..64], [1.5, 3.0, 1.5, 0.0]);
    }
}
