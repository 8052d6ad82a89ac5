//! A run by its phases, and its injected faults: rows for tables.
//!
//! A request belongs to the phase in which its player wanted it. Events between two phases are in no row.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::latency::{self, Since};
use super::record::{FaultRecord, Kind, Phase, Request, ResultWord, RunRecord};
use super::series::OriginCount;

/// A named part of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseRow {
    pub name: String,
    /// When it begins, in seconds since the start of the run.
    pub from_s: f64,
    /// When it ends, in seconds since the start of the run.
    pub until_s: f64,
    /// Viewers watching: mean over the phase.
    pub viewers_mean: f64,
    /// Requests that players wanted.
    pub requests: u64,
    /// The requests by what the edge did.
    pub words: BTreeMap<ResultWord, u64>,
    /// Requests that failed.
    pub failures: u64,
    /// Requests of every kind that reached the origin, per second; `None` if the origin did not report them.
    pub origin_per_s: Option<f64>,
    /// Latency since the request was wanted, one row per kind of object.
    pub latency: Vec<latency::Row>,
}

/// An injected fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRow {
    /// When it began, in seconds since the start of the run.
    pub from_s: f64,
    /// When it ended; `None` if it did not.
    pub until_s: Option<f64>,
    /// The fault, in words.
    pub what: String,
}

/// One row per phase, in their order.
pub fn rows(record: &RunRecord) -> Vec<PhaseRow> {
    let origin = OriginCount::of(&record.levels);
    let mut within: Vec<Vec<&Request>> = vec![Vec::new(); record.phases.len()];
    for request in &record.requests {
        let due = request.due.since(record.began_at);
        let phase = record
            .phases
            .iter()
            .position(|phase| (phase.from..phase.until).contains(&due));
        if let Some(phase) = phase {
            within[phase].push(request);
        }
    }
    let phases = record.phases.iter().zip(within);
    phases
        .map(|(phase, requests)| row(record, &origin, phase, &requests))
        .collect()
}

/// One row per fault, sorted by its beginning.
pub fn faults(faults: &[FaultRecord]) -> Vec<FaultRow> {
    let mut rows: Vec<_> = faults
        .iter()
        .map(|fault| FaultRow {
            from_s: fault.from.as_secs_f64(),
            until_s: fault.until.map(|until| until.as_secs_f64()),
            what: fault.what.clone(),
        })
        .collect();
    rows.sort_by(|one, other| one.from_s.total_cmp(&other.from_s));
    rows
}

fn row(record: &RunRecord, origin: &OriginCount, phase: &Phase, requests: &[&Request]) -> PhaseRow {
    let mut words = BTreeMap::new();
    for request in requests {
        *words.entry(request.word).or_default() += 1;
    }
    let failed = requests
        .iter()
        .filter(|request| request.outcome.is_failure());
    let of_kind = |kind| latency::row(requests.iter().copied(), kind, None, Since::Intended);
    PhaseRow {
        name: phase.name.clone(),
        from_s: phase.from.as_secs_f64(),
        until_s: phase.until.as_secs_f64(),
        viewers_mean: viewers_mean(record, phase),
        requests: requests.len() as u64,
        words,
        failures: failed.count() as u64,
        origin_per_s: origin.rate(phase.from, phase.until),
        latency: Kind::ALL.into_iter().filter_map(of_kind).collect(),
    }
}

fn viewers_mean(record: &RunRecord, phase: &Phase) -> f64 {
    let length = phase.until.saturating_sub(phase.from);
    if length.is_zero() {
        return 0.0;
    }
    let watched: Duration = record
        .viewers
        .iter()
        .map(|viewer| {
            let arrived = viewer.arrived.since(record.began_at);
            let left = viewer.left.since(record.began_at);
            left.min(phase.until)
                .saturating_sub(arrived.max(phase.from))
        })
        .sum();
    watched.div_duration_f64(length)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::policy::status::MissQueue;

    #[test]
    fn phases_without_gaps_hold_every_request_once() {
        let record = sample::record(MissQueue::Flights);
        let rows = rows(&record);
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["baseline", "surge", "plateau", "recovery"]);
        let requests: u64 = rows.iter().map(|row| row.requests).sum();
        assert_eq!(requests, record.requests.len() as u64);
        for row in &rows {
            assert_eq!(
                row.words.values().sum::<u64>(),
                row.requests,
                "{}",
                row.name
            );
            assert!(row.latency.len() >= 2, "{}", row.name);
        }
        assert!(rows[0].viewers_mean < rows[2].viewers_mean);
    }

    #[test]
    fn what_happens_between_two_phases_is_in_none() {
        let mut record = sample::record(MissQueue::Flights);
        record.phases.remove(1);
        let requests: u64 = rows(&record).iter().map(|row| row.requests).sum();
        assert!(requests < record.requests.len() as u64);
    }
}
