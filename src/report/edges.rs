//! A run by its edges: one row per edge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{EdgeCounts, OriginHits};
use super::latency::{self, Since};
use super::record::{Kind, Request, ResultWord, RunRecord};

/// The requests of one edge, and how it handled them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeRow {
    /// The address at which viewers reached it.
    pub target: String,
    /// The name by which the origin knows it; `None` if that is unknown.
    pub name: Option<String>,
    /// Viewers that came to this edge first.
    pub viewers: u64,
    /// Requests.
    pub requests: u64,
    /// The requests by what the edge did.
    pub words: BTreeMap<ResultWord, u64>,
    /// Requests that failed.
    pub failures: u64,
    /// Latency of segments since they were wanted, in milliseconds: the 99th percentile; `None` if no segment was received
    /// whole.
    pub segment_p99_ms: Option<f64>,
    /// Requests of this edge to the origin, of every kind; `None` if unknown, as behind shields.
    pub origin_hits: Option<u64>,
}

/// One row per edge, in the order of the run's targets.
pub fn rows(record: &RunRecord, hits: &OriginHits, edges: &EdgeCounts) -> Vec<EdgeRow> {
    let mut asked: Vec<Vec<&Request>> = vec![Vec::new(); record.targets.len()];
    for request in &record.requests {
        if let Some(asked) = asked.get_mut(request.edge as usize) {
            asked.push(request);
        }
    }
    let mut came = vec![0; record.targets.len()];
    for viewer in &record.viewers {
        if let Some(came) = came.get_mut(viewer.edge as usize) {
            *came += 1;
        }
    }
    let targets = (0..).zip(&record.targets).zip(asked).zip(came);
    targets
        .map(|(((edge, target), requests), viewers)| {
            let mut words = BTreeMap::new();
            for request in &requests {
                *words.entry(request.word).or_default() += 1;
            }
            let name = name(edges, edge);
            let origin_hits = name.and_then(|name| hits.per_client.get(name).copied());
            let failed = requests
                .iter()
                .filter(|request| request.outcome.is_failure());
            EdgeRow {
                target: target.clone(),
                name: name.cloned(),
                viewers,
                requests: requests.len() as u64,
                words,
                failures: failed.count() as u64,
                segment_p99_ms: latency::row(
                    requests.iter().copied(),
                    Kind::Segment,
                    None,
                    Since::Intended,
                )
                .map(|row| row.p99_ms),
                origin_hits,
            }
        })
        .collect()
}

/// The name of the origin's client that is this edge alone.
fn name(edges: &EdgeCounts, edge: u32) -> Option<&String> {
    let askers = &edges.askers;
    let group = *askers.group_of_edge.get(edge as usize)?;
    let alone = askers
        .group_of_edge
        .iter()
        .filter(|of| **of == group)
        .count()
        == 1;
    let mut clients = askers.group_of_client.iter();
    let client = clients.find(|(_, of)| **of == group).map(|(name, _)| name);
    client.filter(|_| alone && !askers.shielded)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::policy::status::MissQueue;

    #[test]
    fn every_request_and_every_hit_belongs_to_an_edge() {
        let record = sample::record(MissQueue::Flights);
        let (hits, edges) = sample::counts(&record);
        let rows = rows(&record, &hits, &edges);
        let names: Vec<_> = rows.iter().filter_map(|row| row.name.as_deref()).collect();
        assert_eq!(names, ["edge-1", "edge-2"]);
        let sum = |of: fn(&EdgeRow) -> u64| rows.iter().map(of).sum::<u64>();
        assert_eq!(sum(|row| row.requests), record.requests.len() as u64);
        assert_eq!(sum(|row| row.viewers), record.viewers.len() as u64);
        assert_eq!(
            sum(|row| row.origin_hits.unwrap()),
            hits.per_client.values().sum::<u64>()
        );
    }

    #[test]
    fn what_shields_ask_belongs_to_no_edge() {
        let record = sample::record(MissQueue::Flights);
        let (hits, mut edges) = sample::counts(&record);
        edges.askers.shielded = true;
        let rows = rows(&record, &hits, &edges);
        assert!(
            rows.iter()
                .all(|row| row.origin_hits.is_none() && row.name.is_none())
        );
    }
}
