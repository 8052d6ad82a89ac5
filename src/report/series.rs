//! A run over time: cut into buckets of equal width, as numbers and as the text of `timeseries.csv`.
//!
//! A request belongs to the bucket in which its player wanted it. So a slow answer shows at the time of the problem, not at the
//! time when it ended. Counts summed over the buckets equal the run's totals, and means times widths equal its sums of time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::places::Places;
use super::record::{Kind, Level, Outcome, Request, ResultWord, RunRecord};
use crate::time::Timestamp;
use crate::viewer::asking::Fate;

/// Width of a bucket in runs of up to [`BUCKETS_MAX`] buckets; longer runs have wider ones, of whole seconds.
pub const BUCKET: Duration = Duration::from_secs(1);

/// Maximum number of buckets in a run.
pub const BUCKETS_MAX: u32 = 600;

/// A run over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Sorted by time, without gaps.
    pub buckets: Vec<Bucket>,
    /// Places over time, in virtual time.
    pub places: Option<Places>,
}

/// The figures of one part of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// When it begins, counted from the start of the run.
    pub from: Duration,
    /// Duration. The last bucket is up to half a bucket wider or narrower than the others.
    pub width: Duration,
    /// Viewers watching: mean over the bucket.
    pub viewers: f64,
    /// Requests that players wanted, by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// The same requests, by what the edge did.
    pub words: BTreeMap<ResultWord, u64>,
    /// Requests that failed.
    pub failures: u64,
    /// Requests of every kind that reached the origin, per second; `None` if the origin did not report them.
    pub origin_per_s: Option<f64>,
    /// The highest number of requests seen waiting for a flight at once; `None` if the edges did not report it.
    pub waiters: Option<u32>,
    /// Viewers whose player was stalled: mean over the bucket.
    pub rebuffering: f64,
    /// Latency of segments since they were wanted, in milliseconds: median; `None` if no segment was received whole.
    pub segment_p50_ms: Option<f64>,
    /// The same latency: the 99th percentile.
    pub segment_p99_ms: Option<f64>,
    /// Likes that viewers wanted in this bucket and that were acknowledged, now or later.
    pub likes: u64,
}

impl Series {
    /// Cuts a run into buckets.
    pub fn of(record: &RunRecord) -> Self {
        let mut buckets = empty(span(record));
        if let Some(last) = buckets.len().checked_sub(1) {
            let width = buckets
                .get(1)
                .map_or(buckets[0].width, |second| second.from);
            let at = |time: Timestamp| {
                let since = time.since(record.began_at).as_nanos();
                (since / width.as_nanos().max(1)).min(last as u128) as usize
            };
            for request in &record.requests {
                buckets[at(request.due)].count(request);
            }
            latencies(&record.requests, &mut buckets, at);
            let likes = record.likes.iter().flat_map(|likes| &likes.operations);
            for like in likes.filter(|like| like.fate == Fate::Acknowledged) {
                buckets[at(like.due)].likes += 1;
            }
        }
        let since_start = |time: Timestamp| time.since(record.began_at);
        for viewer in &record.viewers {
            let (arrived, left) = (since_start(viewer.arrived), since_start(viewer.left));
            spread(&mut buckets, arrived, left, |bucket| &mut bucket.viewers);
            for &(from, until) in &viewer.stalls {
                let (from, until) = (since_start(from), since_start(until));
                spread(&mut buckets, from, until, |bucket| &mut bucket.rebuffering);
            }
        }
        let origin = OriginCount::of(&record.levels);
        for bucket in &mut buckets {
            bucket.origin_per_s = origin.rate(bucket.from, bucket.until());
            let within = record
                .levels
                .iter()
                .filter(|level| (bucket.from..bucket.until()).contains(&level.at));
            bucket.waiters = within.filter_map(|level| level.waiters).max();
        }
        Self {
            buckets,
            places: None,
        }
    }

    /// The text of `timeseries.csv`: a header with the names in [`COLUMNS`], then one line per bucket. Unknown values are
    /// empty.
    pub fn csv(&self) -> String {
        let mut text = COLUMNS.map(|(name, _)| name).join(",");
        text.push('\n');
        for bucket in &self.buckets {
            let kind = |kind| bucket.kinds.get(&kind).copied().unwrap_or(0).to_string();
            let word = |word| bucket.words.get(&word).copied().unwrap_or(0).to_string();
            let mut cells = vec![
                seconds(bucket.from),
                seconds(bucket.width),
                format!("{:.3}", bucket.viewers),
            ];
            cells.extend(Kind::ALL.map(kind));
            cells.extend(ResultWord::ALL.map(word));
            cells.push(bucket.failures.to_string());
            cells.push(bucket.origin_per_s.map_or_else(String::new, three));
            cells.push(
                bucket
                    .waiters
                    .map_or_else(String::new, |most| most.to_string()),
            );
            cells.push(three(bucket.rebuffering));
            cells.push(bucket.segment_p50_ms.map_or_else(String::new, three));
            cells.push(bucket.segment_p99_ms.map_or_else(String::new, three));
            cells.push(bucket.likes.to_string());
            let _ = writeln!(text, "{}", cells.join(","));
        }
        text
    }
}

/// The columns of `timeseries.csv`: the name, with its unit, and what it holds.
pub const COLUMNS: [(&str, &str); 25] = [
    (
        "from_s",
        "when the bucket begins, counted from the start of the run",
    ),
    ("width_s", "how long it is"),
    ("viewers_mean", "viewers watching"),
    (
        "multivariant_requests",
        "requests wanted for multivariant playlists",
    ),
    ("media_playlist_requests", "for media playlists"),
    ("segment_requests", "for segments"),
    (
        "header_requests",
        "for the headers of segments: initialization sections",
    ),
    ("key_requests", "for the keys of segments"),
    ("steering_requests", "for steering manifests"),
    (
        "hit_requests",
        "of all of them: answered from the cache, fresh",
    ),
    (
        "collapsed_requests",
        "that waited for the fetch of another request",
    ),
    ("miss_requests", "that went to the origin"),
    (
        "stale_requests",
        "answered from the cache past their lifetime",
    ),
    ("negative_requests", "answered from a remembered failure"),
    ("shed_requests", "refused by the edge"),
    ("pass_requests", "passed through"),
    ("unmarked_requests", "whose answer does not say"),
    ("unanswered_requests", "without an answer"),
    (
        "failed_requests",
        "of all of them: those that failed the viewer",
    ),
    ("origin_requests_per_s", "requests that reached the origin"),
    ("waiters_most", "requests seen waiting for a flight at once"),
    ("rebuffering_mean", "viewers whose player was stalled"),
    (
        "segment_p50_ms",
        "latency of segments since they were wanted: median",
    ),
    ("segment_p99_ms", "the 99th percentile"),
    (
        "likes_acknowledged",
        "likes and bundles of hearts that viewers wanted, and that were acknowledged, then or later",
    ),
];

impl Bucket {
    /// When the bucket ends.
    pub fn until(&self) -> Duration {
        self.from + self.width
    }

    /// The middle of the bucket, in seconds.
    pub fn middle_s(&self) -> f64 {
        self.from.as_secs_f64() + self.width.as_secs_f64() / 2.0
    }

    /// A count as a rate per second.
    pub fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.width.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn count(&mut self, request: &Request) {
        *self.kinds.entry(request.object.kind()).or_default() += 1;
        *self.words.entry(request.word).or_default() += 1;
        self.failures += u64::from(request.outcome.is_failure());
    }
}

/// Time from the run's start to its last known event.
fn span(record: &RunRecord) -> Duration {
    let due = record.requests.iter().map(|request| request.due);
    let left = record.viewers.iter().map(|viewer| viewer.left);
    let last = due.chain(left).max().unwrap_or(record.began_at);
    record.elapsed.max(last.since(record.began_at))
}

/// Empty buckets that cover `span`. A rest of less than half a bucket at the end belongs to the last bucket.
fn empty(span: Duration) -> Vec<Bucket> {
    let width = BUCKET * span.div_duration_f64(BUCKET * BUCKETS_MAX).ceil().max(1.0) as u32;
    let count = span.div_duration_f64(width).round().max(1.0) as u32;
    (0..count)
        .map(|index| {
            let from = width * index;
            let until = if index + 1 == count {
                span
            } else {
                from + width
            };
            Bucket {
                from,
                width: until.saturating_sub(from),
                ..Bucket::default()
            }
        })
        .collect()
}

/// Adds a time range to each bucket that it touches, as the share of the bucket that it covers.
fn spread(
    buckets: &mut [Bucket],
    from: Duration,
    until: Duration,
    of: fn(&mut Bucket) -> &mut f64,
) {
    let first = buckets.partition_point(|bucket| bucket.until() <= from);
    for bucket in &mut buckets[first..] {
        if bucket.from >= until {
            return;
        }
        let covered = until
            .min(bucket.until())
            .saturating_sub(from.max(bucket.from));
        *of(bucket) += covered.div_duration_f64(bucket.width);
    }
}

/// Percentiles of the segments that were received whole, bucket by bucket.
fn latencies(requests: &[Request], buckets: &mut [Bucket], at: impl Fn(Timestamp) -> usize) {
    let mut latencies: Vec<(usize, Duration)> = requests
        .iter()
        .filter(|request| request.outcome == Outcome::Ok)
        .filter(|request| request.object.kind() == Kind::Segment)
        .map(|request| (at(request.due), request.finished.since(request.due)))
        .collect();
    latencies.sort_unstable();
    for chunk in latencies.chunk_by(|one, other| one.0 == other.0) {
        let quantile = |share: f64| {
            let rank = (chunk.len() as f64 * share).ceil() as usize;
            chunk[rank.max(1) - 1].1.as_secs_f64() * 1e3
        };
        let bucket = &mut buckets[chunk[0].0];
        bucket.segment_p50_ms = Some(quantile(0.5));
        bucket.segment_p99_ms = Some(quantile(0.99));
    }
}

/// Number of requests that the origin has had over time, with straight lines between the instants at which it was asked.
#[derive(Clone, Debug)]
pub(super) struct OriginCount {
    /// Seconds since the start, and the count, which never falls.
    known: Vec<(f64, f64)>,
}

impl OriginCount {
    /// Reads the gauges of a run; the count begins at zero with the run.
    pub(super) fn of(levels: &[Level]) -> Self {
        let mut known: Vec<(f64, f64)> = Vec::new();
        for level in levels {
            let Some(hits) = level.origin_hits else {
                continue;
            };
            if known.is_empty() && !level.at.is_zero() {
                known.push((0.0, 0.0));
            }
            let least = known.last().map_or(0.0, |&(_, count)| count);
            known.push((level.at.as_secs_f64(), (hits as f64).max(least)));
        }
        Self { known }
    }

    /// Requests per second between two instants; `None` if the first instant lies after all known values.
    pub(super) fn rate(&self, from: Duration, until: Duration) -> Option<f64> {
        let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
        let &(last, _) = self.known.last()?;
        (from < last && from < until).then(|| (self.at(until) - self.at(from)) / (until - from))
    }

    fn at(&self, at_s: f64) -> f64 {
        let behind = self.known.partition_point(|&(known_s, _)| known_s <= at_s);
        let Some(&(before_s, before)) = behind.checked_sub(1).and_then(|at| self.known.get(at))
        else {
            return self.known.first().map_or(0.0, |&(_, count)| count);
        };
        match self.known.get(behind) {
            Some(&(after_s, after)) => {
                before + (after - before) * (at_s - before_s) / (after_s - before_s)
            }
            None => before,
        }
    }
}

fn seconds(span: Duration) -> String {
    three(span.as_secs_f64())
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::policy::status::MissQueue;

    fn close(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{value} is not {expected}"
        );
    }

    #[test]
    fn the_buckets_add_up_to_the_run() {
        for (miss_queue, elapsed_ms) in [
            (MissQueue::Flights, 60_000),
            (MissQueue::Off, 60_400),
            (MissQueue::Flights, 60_600),
            (MissQueue::Flights, 1_234_567),
        ] {
            let mut record = sample::record(miss_queue);
            record.elapsed = Duration::from_millis(elapsed_ms);
            let buckets = Series::of(&record).buckets;
            let sum = |of: &dyn Fn(&Bucket) -> f64| buckets.iter().map(of).sum::<f64>();
            let width_s = |bucket: &Bucket| bucket.width.as_secs_f64();
            let requests = record.requests.len() as f64;
            close(
                sum(&|bucket| bucket.kinds.values().sum::<u64>() as f64),
                requests,
            );
            close(
                sum(&|bucket| bucket.words.values().sum::<u64>() as f64),
                requests,
            );
            let failed = |request: &&Request| request.outcome.is_failure();
            let failures = record.requests.iter().filter(failed).count();
            assert!(failures > 0);
            close(sum(&|bucket| bucket.failures as f64), failures as f64);
            let watched = record
                .viewers
                .iter()
                .map(|viewer| viewer.left.since(viewer.arrived));
            close(
                sum(&|bucket| bucket.viewers * width_s(bucket)),
                watched.sum::<Duration>().as_secs_f64(),
            );
            let stalled = record.viewers.iter().map(|viewer| viewer.quality.stalled);
            let stalled = stalled.sum::<Duration>().as_secs_f64();
            assert!(stalled > 0.0);
            close(sum(&|bucket| bucket.rebuffering * width_s(bucket)), stalled);
            let origin = record.levels.last().unwrap().origin_hits.unwrap();
            close(
                sum(&|bucket| bucket.origin_per_s.unwrap_or(0.0) * width_s(bucket)),
                origin as f64,
            );
        }
    }

    #[test]
    fn buckets_cover_a_run_without_gaps_and_are_never_too_many() {
        for (span_ms, count, width_s, last_s) in [
            (0, 1, 0.0, 0.0),
            (400, 1, 0.4, 0.4),
            (30_499, 30, 1.0, 1.499),
            (30_500, 31, 1.0, 0.5),
            (600_000, 600, 1.0, 1.0),
            (601_000, 301, 2.0, 1.0),
            (86_400_000, 600, 144.0, 144.0),
        ] {
            let buckets = empty(Duration::from_millis(span_ms));
            assert_eq!(buckets.len(), count, "{span_ms}");
            close(buckets[0].width.as_secs_f64(), width_s);
            let last = buckets.last().unwrap();
            close(last.width.as_secs_f64(), last_s);
            assert_eq!(last.until(), Duration::from_millis(span_ms));
            for pair in buckets.windows(2) {
                assert_eq!(pair[0].until(), pair[1].from);
            }
        }
    }

    #[test]
    fn what_the_origin_does_not_tell_is_unknown_and_not_zero() {
        let mut record = sample::record(MissQueue::Flights);
        for level in &mut record.levels {
            level.origin_hits = None;
            level.waiters = None;
        }
        let series = Series::of(&record);
        let unknown = |bucket: &Bucket| bucket.origin_per_s.is_none() && bucket.waiters.is_none();
        assert!(series.buckets.iter().all(unknown));
        assert!(series.csv().lines().nth(1).unwrap().contains(",,,"));
    }

    #[test]
    fn a_count_between_two_instants_lies_on_a_straight_line() {
        let level = |at_ms, hits| Level {
            at: Duration::from_millis(at_ms),
            viewers: 0,
            origin_hits: Some(hits),
            origin_shed: None,
            origin_busy: None,
            waiters: None,
        };
        let count = OriginCount::of(&[level(1_000, 10), level(2_000, 30)]);
        let rate = |from_ms, until_ms| {
            count.rate(
                Duration::from_millis(from_ms),
                Duration::from_millis(until_ms),
            )
        };
        assert_eq!(rate(0, 1_000), Some(10.0));
        assert_eq!(rate(500, 1_500), Some(15.0));
        assert_eq!(rate(1_500, 2_500), Some(10.0));
        assert_eq!(rate(2_000, 3_000), None);
        assert_eq!(OriginCount::of(&[]).rate(Duration::ZERO, BUCKET), None);
    }

    #[test]
    fn every_line_has_as_many_cells_as_the_header() {
        let csv = Series::of(&sample::record(MissQueue::Flights)).csv();
        assert_eq!(csv.lines().count(), 61);
        for line in csv.lines() {
            assert_eq!(line.split(',').count(), COLUMNS.len(), "{line}");
        }
    }
}
