//! The likes of a run: how many were sent, their outcomes, and the audience's own count beside the origin's.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::record::{self, Counted, Liking, Operation, Queue, RunRecord, Tally};
use super::thresholds::{Check, Ruling, grouped};
use crate::viewer::asking::Fate;

/// Likes of a run, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LikesSummary {
    /// Why no like was sent; `None` if some were.
    pub not_taken: Option<String>,
    /// Operations that viewers sent.
    pub sent: u64,
    /// The operations sent, by kind.
    pub kinds: BTreeMap<Liking, u64>,
    /// Operations that were not sent, because too many were under way.
    pub unsent: u64,
    /// Operations beyond the bound of the log: they are in the tally, and in no other figure.
    pub unlogged: u64,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Acknowledged operations that had been counted before, because they were sent again, or that were older than a counted
    /// one.
    pub duplicates: u64,
    /// Operations that do not count.
    pub not_counted: u64,
    /// Operations with an unknown outcome.
    pub unknown: u64,
    /// How often an operation was sent again.
    pub repeats: u64,
    /// Answers that refused an operation or left it in doubt, by their word.
    pub refusals: BTreeMap<String, u64>,
    /// Batches in which the edges sent them to the origin; `None` if they were not counted.
    #[serde(default)]
    pub batches: Option<u64>,
    /// Acknowledged operations per second, over the time from the first wanted operation to the last.
    pub per_s: f64,
    /// The highest number of operations that were wanted within one second and acknowledged in the end.
    pub per_s_most: u64,
    /// Time from when a viewer wanted an operation to its acknowledgement, in milliseconds: median.
    pub p50_ms: f64,
    /// The same time: the 99th percentile.
    pub p99_ms: f64,
    /// The same time: the longest.
    pub max_ms: f64,
    /// The count that each channel must have, by the audience's own tally.
    pub tally: Vec<Tally>,
    /// The origin's count for each channel, in the same order; empty if the origin did not report it.
    pub counted: Vec<Counted>,
    /// Why the origin did not report its counts.
    pub uncounted: Option<String>,
    /// Whether other users may have liked the same channels meanwhile.
    pub shared: bool,
    /// The work of the origin's queue; `None` if the origin did not report it.
    pub queue: Option<Queue>,
}

/// Sums up the likes of a run.
pub(super) fn gather(run: &RunRecord) -> Option<LikesSummary> {
    let likes = run.likes.as_ref()?;
    let all = || likes.operations.iter();
    let count = |of: &dyn Fn(&Operation) -> bool| {
        let such = all().filter(|operation| of(operation));
        such.count() as u64
    };
    let of_fate = |fate| count(&|operation| operation.fate == fate);
    let kinds = Liking::ALL.map(|kind| (kind, count(&|operation| operation.kind == kind)));
    let attempts = all().map(|operation| u64::from(operation.attempts));
    let acknowledged = of_fate(Fate::Acknowledged);
    let warm = run.began_at + run.warm_up;
    let latency = latencies(all().filter(|operation| operation.due >= warm));
    let quantile = |share| latency.value_at_quantile(share) as f64 / 1e3;
    let (span, per_s_most) = over_time(run, likes);
    Some(LikesSummary {
        not_taken: likes.not_taken.clone(),
        sent: likes.operations.len() as u64,
        kinds: kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
        unsent: likes.unsent,
        unlogged: likes.unlogged,
        acknowledged,
        duplicates: count(&|operation| operation.duplicate),
        not_counted: of_fate(Fate::NotCounted),
        unknown: of_fate(Fate::Unknown),
        repeats: attempts.map(|attempts| attempts.saturating_sub(1)).sum(),
        refusals: likes.refusals.clone(),
        batches: None,
        per_s: acknowledged as f64 / span.as_secs_f64().max(1.0),
        per_s_most,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        max_ms: latency.max() as f64 / 1e3,
        tally: likes.tally.clone(),
        counted: likes.counted.clone(),
        uncounted: likes.uncounted.clone(),
        shared: likes.shared,
        queue: likes.queue,
    })
}

/// Latencies of acknowledged operations, in microseconds.
fn latencies<'a>(operations: impl Iterator<Item = &'a Operation>) -> Histogram<u64> {
    // Three digits up to ten minutes; the histogram keeps these bounds.
    let bounded = Histogram::new_with_bounds(1, 600_000_000, 3);
    let mut latencies = bounded.expect("the bounds are valid");
    let acknowledged = operations.filter(|operation| operation.fate == Fate::Acknowledged);
    for operation in acknowledged {
        let took = operation.finished.since(operation.due);
        latencies.saturating_record(took.as_micros() as u64);
    }
    latencies
}

/// The time from the first wanted operation to the last, and the highest number in one second.
fn over_time(run: &RunRecord, likes: &record::LikesRecord) -> (Duration, u64) {
    let due = || likes.operations.iter().map(|operation| operation.due);
    let span = due()
        .max()
        .zip(due().min())
        .map(|(last, first)| last.since(first));
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    let acknowledged = likes.operations.iter();
    for operation in acknowledged.filter(|operation| operation.fate == Fate::Acknowledged) {
        let second = operation.due.since(run.began_at).as_secs();
        *seconds.entry(second).or_default() += 1;
    }
    let most = seconds.into_values().max();
    (span.unwrap_or_default(), most.unwrap_or(0))
}

impl LikesSummary {
    /// Percentage of the wanted operations that were acknowledged.
    pub fn acknowledged_percent(&self) -> f64 {
        // Operations beyond the log are in the tally only, and count on neither side.
        let wanted = self.sent + self.unsent;
        self.acknowledged as f64 * 100.0 / wanted.max(1) as f64
    }

    /// The audience's count over all channels: likes and hearts, each as lowest and highest possible number.
    pub fn tallied(&self) -> [(u64, u64); 2] {
        let sum = |of: fn(&Tally) -> (u64, u64)| {
            let channels = self.tally.iter().map(of);
            channels.fold((0, 0), |sum, (least, most)| (sum.0 + least, sum.1 + most))
        };
        [sum(|tally| tally.likes), sum(|tally| tally.hearts)]
    }

    /// The origin's count over all channels: likes and hearts; `None` if the origin did not report it.
    pub fn counts(&self) -> Option<[i64; 2]> {
        let told = self.uncounted.is_none() && !self.counted.is_empty();
        let sum = |of: fn(&Counted) -> i64| self.counted.iter().map(of).sum();
        told.then(|| [sum(|counted| counted.likes), sum(|counted| counted.hearts)])
    }

    /// Channels whose count lies outside of the interval of the audience's tally.
    fn off(&self) -> impl Iterator<Item = (&Tally, &Counted)> {
        let within = |(least, most): (u64, u64), count: i64| {
            u64::try_from(count).is_ok_and(|count| (least..=most).contains(&count))
        };
        self.tally
            .iter()
            .zip(&self.counted)
            .filter(move |(tally, counted)| {
                !within(tally.likes, counted.likes) || !within(tally.hearts, counted.hearts)
            })
    }

    /// The check that every scenario has: the origin has counted the operations that it acknowledged to viewers.
    pub(super) fn check(&self) -> Option<Check> {
        if self.not_taken.is_some() {
            return None;
        }
        let [likes, hearts] = self.tallied();
        let counts = self.counts();
        let off: Vec<_> = self.off().collect();
        let told = self.counted.len() == self.tally.len();
        // Hearts are never taken back, so too few of them are a loss, even if other users have sent some too.
        let lost = off.iter().any(|(tally, counted)| {
            i64::try_from(tally.hearts.0).is_ok_and(|least| counted.hearts < least)
        });
        let what = "likes and hearts at the origin equal the viewers' tally";
        Some(Check {
            what: match &off[..] {
                [(tally, _), ..] if self.tally.len() > 1 => {
                    format!(
                        "{what}; {} channels differ, as {} does",
                        off.len(),
                        tally.channel
                    )
                }
                _ => what.to_owned(),
            },
            limit: format!("= {} + {}", interval(likes), interval(hearts)),
            measured: match (counts, &self.uncounted) {
                (Some([likes, hearts]), _) => format!("{} + {}", signed(likes), signed(hearts)),
                (None, Some(why)) if !self.shared => format!("unknown: {why}"),
                (None, _) => "unknown".to_owned(),
            },
            ruling: match (&self.uncounted, off.is_empty() && told) {
                (Some(why), _) if self.shared => Ruling::NotJudged(why.clone()),
                (Some(_), _) => Ruling::Fail,
                (None, true) => Ruling::Pass,
                (None, false) if self.shared && !lost => Ruling::NotJudged(
                    "other clients may have liked the channel meanwhile".to_owned(),
                ),
                (None, false) => Ruling::Fail,
            },
        })
    }
}

/// An interval as one number or two.
pub(super) fn interval((least, most): (u64, u64)) -> String {
    match least == most {
        true => grouped(least),
        false => format!("{} to {}", grouped(least), grouped(most)),
    }
}

/// A number that may be below zero.
pub(super) fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::html;
    use super::super::run::Run;
    use super::super::series::Series;
    use super::super::text::{self, Page};
    use super::super::thresholds::{Thresholds, Verdict};
    use super::super::{compare, markdown, sample, summary};
    use super::*;
    use crate::policy::status::MissQueue;

    fn run() -> RunRecord {
        sample::record(MissQueue::Flights)
    }

    fn likes(run: &RunRecord) -> LikesSummary {
        gather(run).unwrap()
    }

    fn ruling(change: fn(&mut record::LikesRecord)) -> Ruling {
        let mut run = run();
        change(run.likes.as_mut().unwrap());
        likes(&run).check().unwrap().ruling
    }

    #[test]
    fn what_was_sent_adds_up_to_what_became_of_it() {
        let likes = likes(&run());
        assert_eq!((likes.sent, likes.duplicates, likes.repeats), (60, 1, 1));
        assert_eq!(
            likes.acknowledged + likes.not_counted + likes.unknown,
            likes.sent
        );
        assert_eq!(likes.kinds.values().sum::<u64>(), likes.sent);
        assert_eq!(likes.per_s_most, 1);
        assert!((likes.p50_ms - 11.0).abs() < 0.1 && (likes.max_ms - 14.0).abs() < 0.1);
    }

    #[test]
    fn a_count_within_the_tally_passes_and_any_other_fails_the_run() {
        assert_eq!(ruling(|_| ()), Ruling::Pass);
        assert_eq!(ruling(|likes| likes.counted[0].likes = 11), Ruling::Pass);
        for spoil in [
            (|likes| likes.counted[0].likes = 12) as fn(&mut record::LikesRecord),
            |likes| likes.counted[0].likes = -1,
            |likes| likes.counted[0].hearts = 47,
            |likes| likes.counted[0].hearts = 49,
            |likes| likes.uncounted = Some("it does not answer".to_owned()),
            |likes| likes.counted.clear(),
        ] {
            assert_eq!(ruling(spoil), Ruling::Fail);
            let mut run = run();
            spoil(run.likes.as_mut().unwrap());
            assert_eq!(sample::summary(&run).verdict, Verdict::Fail);
        }
    }

    #[test]
    fn where_others_like_too_only_lost_hearts_are_held_against_the_origin() {
        let judged = |hearts| {
            let mut run = run();
            let likes = run.likes.as_mut().unwrap();
            likes.shared = true;
            likes.counted[0].hearts = hearts;
            self::likes(&run).check().unwrap().ruling
        };
        assert_eq!(judged(48), Ruling::Pass);
        assert_eq!(judged(47), Ruling::Fail);
        assert!(matches!(judged(49), Ruling::NotJudged(_)));
    }

    #[test]
    fn one_of_several_channels_that_differs_is_named() {
        let mut run = run();
        let likes = run.likes.as_mut().unwrap();
        for (channel, hearts) in [("sample-2", 5), ("sample-3", 0)] {
            let mut tally = likes.tally[0].clone();
            tally.channel = channel.to_owned();
            tally.hearts = (hearts, hearts);
            likes.tally.push(tally);
        }
        // The sums would agree.
        for (hearts, counted) in [(2, 10), (3, 10)] {
            likes.counted.push(Counted {
                likes: counted,
                hearts,
            });
        }
        let check = self::likes(&run).check().unwrap();
        assert_eq!(check.ruling, Ruling::Fail);
        assert!(
            check.what.ends_with("2 channels differ, as sample-2 does"),
            "{check:?}"
        );
    }

    #[test]
    fn every_document_tells_of_likes_and_of_none_where_there_are_none() {
        let mut run = run();
        let told = |run: &RunRecord| {
            let (summary, series) = (sample::summary(run), Series::of(run));
            let page = html::render(&[Run {
                summary: &summary,
                series: &series,
                label: "on",
            }]);
            [
                text::render(&summary, Page::default()),
                markdown::render(&summary),
                page,
            ]
        };
        for text in told(&run) {
            assert!(text.contains("10 to 11 likes, 48 hearts"), "{text}");
            assert!(text.contains("58 acknowledged (1 duplicates)"), "{text}");
            assert!(text.contains("1 outcome-unknown, 1 queue-full"), "{text}");
        }
        assert!(told(&run)[2].contains("Likes acknowledged"));
        run.likes = Some(record::LikesRecord {
            not_taken: Some("http://host takes no likes".to_owned()),
            ..record::LikesRecord::default()
        });
        for text in told(&run) {
            assert!(text.contains("http://host takes no likes"), "{text}");
        }
        assert_eq!(likes(&run).check(), None);
        run.likes = None;
        assert!(told(&run).iter().all(|text| !text.contains("likes")));
    }

    #[test]
    fn a_run_with_likes_can_be_compared_with_one_without() {
        let with = sample::summary(&run());
        let mut without = with.clone();
        without.likes = None;
        let rows = |a: &summary::Summary, b: &summary::Summary| {
            let compared = compare::Comparison::of(from_ref(a), from_ref(b), compare::NOISE);
            let rows = compared.rows.into_iter();
            rows.filter(|row| row.what.starts_with("likes")).count()
        };
        assert_eq!((rows(&with, &with), rows(&with, &without)), (5, 0));
    }

    #[test]
    fn likes_have_thresholds_of_their_own() {
        let run = run();
        let (hits, counts) = sample::counts(&run);
        let verdict = |thresholds: Thresholds| {
            crate::report::summarize::summarize(&run, &hits, &counts, &thresholds).verdict
        };
        for (likes_acknowledged_percent_min, likes_p99_ms_max, expected) in [
            (96.0, 20.0, Verdict::Pass),
            (97.0, 20.0, Verdict::Fail),
            (96.0, 10.0, Verdict::Fail),
        ] {
            let thresholds = Thresholds {
                likes_acknowledged_percent_min,
                likes_p99_ms_max,
                ..Thresholds::default()
            };
            assert_eq!(verdict(thresholds), expected);
        }
        let mut nobody = self::run();
        nobody.likes = Some(record::LikesRecord {
            not_taken: Some("nobody takes them".to_owned()),
            ..record::LikesRecord::default()
        });
        let strict = Thresholds {
            likes_acknowledged_percent_min: 100.0,
            likes_p99_ms_max: 1.0,
            ..Thresholds::default()
        };
        let judged = crate::report::summarize::summarize(&nobody, &hits, &counts, &strict);
        let not_judged = |check: &&Check| matches!(check.ruling, Ruling::NotJudged(_));
        assert_eq!(judged.verdict, Verdict::Pass);
        assert_eq!(judged.checks.iter().filter(not_judged).count(), 2);
        let segments = Thresholds {
            segment_p99_ms_max: 1.0,
            ..Thresholds::default()
        };
        assert_eq!(verdict(segments), Verdict::Fail);
    }
}
