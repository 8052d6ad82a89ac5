//! What is said of other people's servers: what they did, and what the modelled last mile did.

use super::headline::count;
use super::latency::{Row, Since};
use super::record::{Foreign, Kind};
use super::summary::Summary;
use super::thresholds::grouped;

/// What is said of the servers; `None` at edges of Seawall.
pub(super) fn answers(summary: &Summary) -> Option<String> {
    let Foreign {
        redirects, hosts, ..
    } = &summary.foreign.as_ref()?.counted;
    let answers = hosts
        .iter()
        .map(|(host, answers)| format!("{host} ({})", count(*answers, "answer")));
    let mut said = answers.collect::<Vec<_>>().join(", ");
    if said.is_empty() {
        said = "no server answered".to_owned();
    }
    if *redirects > 0 {
        said += &format!("; {} of them redirects", grouped(*redirects));
    }
    Some(said)
}

/// Where stalls come from; `None` if no viewer stalled, or if failed requests may be the reason.
pub(super) fn blame(summary: &Summary) -> Option<String> {
    let foreign = summary.foreign.as_ref()?;
    let is_segment =
        |row: &&Row| row.kind == Kind::Segment && row.since == Since::Sent && row.word.is_none();
    let server = summary.latency.iter().find(is_segment)?;
    let last_mile_s = foreign.last_mile_s?;
    let mut said = format!(
        "the server sends a segment in p99 {:.1} ms; over the median last mile, which is modelled, it takes {:.0} ms of the {:.1} s that it plays",
        server.p99_ms,
        last_mile_s * 1e3,
        foreign.segment_s,
    );
    let experience = &summary.experience;
    if experience.viewers_stalled > 0 && experience.retries == 0 {
        // A segment that comes later than it plays stalls the viewer.
        said += if server.p99_ms / 1e3 > foreign.segment_s / 2.0 {
            "; the server is slow enough to stall viewers"
        } else if last_mile_s > foreign.segment_s / 2.0 {
            "; stalls come from the modelled last mile"
        } else {
            "; neither explains the stalls: does the server list its segments late?"
        };
    }
    Some(said)
}

/// What the bytes of segments were compared with, and how many could be.
pub(super) fn compared(summary: &Summary, received: u64) -> String {
    match &summary.foreign {
        None => format!(
            "{} segments were received: all of them are, byte for byte, {}.",
            grouped(received),
            summary.held_against
        ),
        Some(foreign) if foreign.counted.compared == 0 => format!(
            "{} segments were received, and none could be compared: no two viewers got the same address.",
            grouped(received)
        ),
        Some(foreign) => format!(
            "{} segments were received; {} of them had the address of an earlier one, and are, byte for byte, the same.",
            grouped(received),
            grouped(foreign.counted.compared)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::status::MissQueue;
    use crate::report::foreign::ForeignSummary;
    use crate::report::sample;

    #[test]
    fn the_servers_are_named_and_the_blame_goes_where_it_belongs() {
        let mut summary = sample::summary(&sample::record(MissQueue::Flights));
        assert_eq!(answers(&summary), None);
        summary.foreign = Some(ForeignSummary {
            counted: Foreign {
                redirects: 3,
                hosts: BTreeMap::from([("cdn:80".to_owned(), 1), ("host:80".to_owned(), 1_203)]),
                compared: 0,
            },
            segment_s: 2.88,
            last_mile_s: Some(1.9),
        });
        assert_eq!(
            answers(&summary).unwrap(),
            "cdn:80 (1 answer), host:80 (1,203 answers); 3 of them redirects"
        );
        assert!(compared(&summary, 7).contains("none could be compared"));
        summary.experience.viewers_stalled = 4;
        summary.experience.retries = 0;
        let is_service = |row: &&mut Row| {
            row.kind == Kind::Segment && row.since == Since::Sent && row.word.is_none()
        };
        for (p99_ms, expected) in [(0.8, "modelled last mile"), (1_900.0, "the server is slow")] {
            summary.latency.iter_mut().find(is_service).unwrap().p99_ms = p99_ms;
            let said = blame(&summary).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        summary.foreign.as_mut().unwrap().last_mile_s = Some(0.4);
        summary.latency.iter_mut().find(is_service).unwrap().p99_ms = 0.8;
        let said = blame(&summary).unwrap();
        assert!(said.contains("late"), "{said}");
        summary.experience.retries = 1;
        let said = blame(&summary).unwrap();
        assert!(!said.contains("stall"), "{said}");
    }
}
