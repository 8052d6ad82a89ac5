//! Thresholds and verdicts: which conditions a run must meet, and whether it did.

use super::latency;
use super::likes::LikesSummary;
use super::record::{Kind, Outcome};
use super::summary::Summary;
use super::thresholds::{Check, Ruling, Thresholds, Verdict, grouped};
use crate::policy::status::MissQueue;

/// The verdict that follows from a summary's checks.
pub(crate) fn of(summary: &Summary) -> Verdict {
    let failed = |check: &Check| check.ruling == Ruling::Fail;
    if summary.checks.iter().any(failed) {
        Verdict::Fail
    } else if summary.interrupted {
        Verdict::Interrupted
    } else if !summary.generator_faults.is_empty() {
        Verdict::Invalid
    } else {
        Verdict::Pass
    }
}

/// Judges every threshold that applies to the run.
pub(crate) fn check(summary: &Summary, thresholds: &Thresholds) -> Vec<Check> {
    let applying = thresholds.applying(summary.miss_queue);
    let mut checks: Vec<_> = applying
        .flat_map(|thresholds| check_table(summary, thresholds))
        .collect();
    // In virtual time segments have no bytes that could differ.
    let has_bytes = summary.simulated.is_none();
    checks.extend(
        has_bytes
            .then(|| {
                at_most(
                    &format!("segments that differ from {}", summary.held_against),
                    summary.outcomes(Kind::Segment, Outcome::WrongBytes),
                    thresholds.bytes_wrong_max(summary.miss_queue),
                )
            })
            .flatten(),
    );
    checks.extend(seen(summary));
    let failed = failed_percent(summary);
    let limit = thresholds.failed_percent_max(summary.miss_queue);
    if limit < 100.0 {
        checks.push(Check {
            what: "viewer requests that ended badly".to_owned(),
            limit: format!("<= {limit:.1} %"),
            measured: format!("{failed:.2} %"),
            ruling: rule(failed <= limit),
        });
    }
    if let Some(likes) = &summary.likes {
        checks.extend(likes.check());
    }
    checks
}

/// Whether any viewer has seen anything: a run without a frame proves nothing, whatever the scenario's thresholds are.
fn seen(summary: &Summary) -> Option<Check> {
    let started = summary.experience.started;
    let arrived = u64::from(summary.viewers.started);
    (arrived > 0 && !summary.interrupted).then(|| Check {
        what: "viewers that saw a first frame".to_owned(),
        limit: ">= 1".to_owned(),
        measured: match started {
            0 => format!(
                "none of {}; of all requests {}",
                grouped(arrived),
                summary.answers()
            ),
            started => format!("{} of {}", grouped(started), grouped(arrived)),
        },
        ruling: rule(started > 0),
    })
}

fn check_table(summary: &Summary, thresholds: &Thresholds) -> Vec<Check> {
    let experience = &summary.experience;
    let mut checks = Vec::new();
    if thresholds.origin_hits_exact {
        checks.extend(exact(summary));
    }
    let per_object = thresholds.origin_hits_per_object_max;
    if summary.miss_queue == MissQueue::Flights && per_object < u64::MAX {
        checks.push(most_per_object(summary, per_object));
    }
    checks.extend(shed(summary, thresholds));
    let counted = [
        at_most(
            "players that gave up before the first frame",
            experience.start_failures,
            thresholds.start_failures_max,
        ),
        at_most(
            "players that gave up later",
            experience.fatal,
            thresholds.fatal_max,
        ),
        at_most(
            "playlists older than the one before them",
            experience.playlists_went_back,
            thresholds.playlists_went_back_max,
        ),
    ];
    checks.extend(counted.into_iter().flatten());
    if thresholds.stalled_share_max < 1.0 {
        checks.push(Check {
            what: "stalled share of the time after the first frame".to_owned(),
            limit: format!("<= {:.1} %", thresholds.stalled_share_max * 100.0),
            measured: format!("{:.2} %", experience.stalled_share * 100.0),
            ruling: rule(experience.stalled_share <= thresholds.stalled_share_max),
        });
    }
    if thresholds.offload_segments_percent_min > 0.0 {
        let offload = summary.origin.offload_segments.map(|share| share * 100.0);
        checks.push(Check {
            what: "segment requests that the origin did not see".to_owned(),
            limit: format!(">= {:.1} %", thresholds.offload_segments_percent_min),
            measured: offload
                .map_or_else(|| "unknown".to_owned(), |offload| format!("{offload:.2} %")),
            ruling: match offload {
                None => Ruling::NotJudged("the origin's hits were not counted".to_owned()),
                Some(offload) => rule(offload >= thresholds.offload_segments_percent_min),
            },
        });
    }
    if thresholds.startup_p95_s_max.is_finite() {
        checks.push(Check {
            what: "time to the first frame, 95th percentile".to_owned(),
            limit: format!("<= {:.1} s", thresholds.startup_p95_s_max),
            measured: experience
                .startup_p95_s
                .map_or_else(|| "unknown".to_owned(), |p95| format!("{p95:.2} s")),
            // If no viewer has seen a first frame, the threshold does not hold.
            ruling: rule(
                experience
                    .startup_p95_s
                    .is_some_and(|p95| p95 <= thresholds.startup_p95_s_max),
            ),
        });
    }
    if thresholds.segment_p99_ms_max.is_finite() {
        let p99_ms = latency::of_segments(&summary.latency).map(|row| row.p99_ms);
        checks.push(within(
            "segments since they were wanted, 99th percentile",
            p99_ms,
            thresholds.segment_p99_ms_max,
        ));
    }
    if let Some(likes) = &summary.likes {
        checks.extend(of_likes(likes, thresholds));
    }
    checks
}

/// The share of the requests at the origin that were beyond its capacity.
fn shed(summary: &Summary, thresholds: &Thresholds) -> Vec<Check> {
    let share = summary.origin.shed_share;
    let check = |limit: String, holds: fn(f64, f64) -> bool, percent: f64| Check {
        what: "requests beyond the origin's capacity, of those that reached it".to_owned(),
        limit,
        measured: share.map_or_else(
            || "unknown".to_owned(),
            |share| format!("{:.2} %", share * 100.0),
        ),
        ruling: match share {
            Some(share) => rule(holds(share * 100.0, percent)),
            None => Ruling::NotJudged("the origin's hits were not counted".to_owned()),
        },
    };
    let (least, most) = (
        thresholds.origin_shed_percent_min,
        thresholds.origin_shed_percent_max,
    );
    let at_least = check(
        format!(">= {least:.1} %"),
        |share, least| share >= least,
        least,
    );
    let at_most = check(format!("<= {most:.1} %"), |share, most| share <= most, most);
    // What was played of an interrupted run may be the part before the harm.
    let binding = [
        (at_least, least > 0.0 && !summary.interrupted),
        (at_most, most < 100.0),
    ];
    binding
        .into_iter()
        .filter_map(|(check, binds)| binds.then_some(check))
        .collect()
}

/// The scenario's thresholds for likes; not judged if the servers take no likes.
fn of_likes(likes: &LikesSummary, thresholds: &Thresholds) -> Vec<Check> {
    let mut checks = Vec::new();
    if thresholds.likes_acknowledged_percent_min > 0.0 {
        let acknowledged = likes.acknowledged_percent();
        checks.push(Check {
            what: "likes that were acknowledged".to_owned(),
            limit: format!(">= {:.1} %", thresholds.likes_acknowledged_percent_min),
            measured: format!("{acknowledged:.2} %"),
            ruling: rule(acknowledged >= thresholds.likes_acknowledged_percent_min),
        });
    }
    if thresholds.likes_p99_ms_max.is_finite() {
        checks.push(within(
            "likes until they were acknowledged, 99th percentile",
            (likes.acknowledged > 0).then_some(likes.p99_ms),
            thresholds.likes_p99_ms_max,
        ));
    }
    if let Some(why) = &likes.not_taken {
        for check in &mut checks {
            "unknown".clone_into(&mut check.measured);
            check.ruling = Ruling::NotJudged(why.clone());
        }
    }
    checks
}

/// A time in milliseconds. If there are no measurements, the threshold does not hold.
fn within(what: &str, measured_ms: Option<f64>, limit_ms: f64) -> Check {
    Check {
        what: what.to_owned(),
        limit: format!("<= {limit_ms:.0} ms"),
        measured: measured_ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1} ms")),
        ruling: rule(measured_ms.is_some_and(|ms| ms <= limit_ms)),
    }
}

/// Percentage of requests that failed. Requests that the end of the run cut off count on neither side.
fn failed_percent(summary: &Summary) -> f64 {
    let count = |wanted: fn(Outcome) -> bool| -> u64 {
        let rows = summary.requests.iter();
        let outcomes = rows.flat_map(|row| &row.outcomes);
        let wanted = outcomes.filter(|(outcome, _)| wanted(**outcome));
        wanted.map(|(_, count)| count).sum()
    };
    let failed = count(|outcome| !matches!(outcome, Outcome::Ok | Outcome::Cut));
    let all = count(|outcome| outcome != Outcome::Cut);
    failed as f64 * 100.0 / all.max(1) as f64
}

/// Origin hits compared with the log: the total, and each segment where the origin reports them. Without the queue also a bound
/// by times alone.
fn exact(summary: &Summary) -> Vec<Check> {
    let origin = &summary.origin;
    let judge = |holds| match &origin.not_binding {
        Some(why) => Ruling::NotJudged(why.clone()),
        None => rule(holds),
    };
    let (least, most) = origin.predicted;
    let measured = origin.measured.segment;
    let mut checks = vec![Check {
        what: "origin hits for segments equal the prediction".to_owned(),
        limit: match least == most {
            true => format!("= {}", grouped(least)),
            false => format!("{} to {}", grouped(least), grouped(most)),
        },
        measured: grouped(measured),
        ruling: judge((least..=most).contains(&measured)),
    }];
    if let Some(off) = origin.segments_off {
        checks.push(Check {
            what: "segments whose own hits differ from their prediction".to_owned(),
            limit: "= 0".to_owned(),
            measured: grouped(off),
            ruling: judge(off == 0),
        });
    }
    if summary.miss_queue == MissQueue::Off {
        let bound = origin.before_first_answer
            + origin
                .terms
                .iter()
                .skip(1)
                .map(|term| term.count)
                .sum::<u64>();
        // A key whose requests all remained unanswered may never have been fetched.
        let floor = origin.keys.min(least);
        checks.push(Check {
            what: "origin hits lie within what the log's times allow".to_owned(),
            limit: format!("{} to {}", grouped(floor), grouped(bound)),
            measured: grouped(measured),
            ruling: judge((floor..=bound).contains(&measured)),
        });
    }
    checks
}

fn most_per_object(summary: &Summary, limit: u64) -> Check {
    Check {
        what: "origin hits per segment and edge, at most".to_owned(),
        limit: format!("<= {}", grouped(limit)),
        measured: summary
            .origin
            .most_per_key
            .map_or_else(|| "unknown".to_owned(), grouped),
        ruling: match summary.origin.most_per_key {
            Some(most) => rule(most <= limit),
            None => Ruling::NotJudged(
                "the names of the edges are unknown, and so is which of them asked".to_owned(),
            ),
        },
    }
}

fn at_most(what: &str, measured: u64, limit: u64) -> Option<Check> {
    (limit < u64::MAX).then(|| Check {
        what: what.to_owned(),
        limit: format!("<= {}", grouped(limit)),
        measured: grouped(measured),
        ruling: rule(measured <= limit),
    })
}

fn rule(holds: bool) -> Ruling {
    match holds {
        true => Ruling::Pass,
        false => Ruling::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (41_234, "41,234"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
