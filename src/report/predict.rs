//! Number of requests that the origin must have had, computed from the generator's own log.
//!
//! With the miss queue, an edge asks the origin once for each segment that viewers asked the edge for. So the prediction counts
//! distinct (edge, rendition, number), or (group, rendition, number) where edges ask through shields. It needs no statement of
//! the edge. Without the miss queue, every request that reaches the edge before the first fetch of its segment has landed goes
//! to the origin. The log knows these requests from their answers, and its own times bound their number independently.

use std::collections::BTreeMap;
use std::time::Duration;

use super::counts::Askers;
use super::record::{Level, Object, Outcome, Request, ResultWord};
use crate::policy::capacity::Capacity;
use crate::policy::status::MissQueue;
use crate::theory::{collapse, erlang};
use crate::time::Timestamp;

/// A segment at a group of edges that ask the origin together; without shields each edge is a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Index of the group.
    pub group: u32,
    /// Index of the rendition.
    pub rendition: u32,
    /// Number of the segment.
    pub number: u64,
}

/// The log's facts about one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyLog {
    /// Requests that were sent.
    pub asked: u64,
    /// Requests that were sent within one segment duration of the first.
    pub asked_in_window: u64,
    /// Answers, whole or failed, of requests that went to the origin.
    pub misses: u64,
    /// Answers of requests that found nothing fresh: without a queue each of them went to the origin.
    pub not_stored: u64,
    /// Misses that brought no 200.
    pub misses_failed: u64,
    /// Answers that had waited for the fetch of another request.
    pub collapsed: u64,
    /// Whether any request got a 200.
    pub delivered: bool,
    /// Requests that were sent and never answered: their outcome is unknown.
    pub unanswered: u64,
    /// Requests that were sent before the first answer had wholly arrived: no other request can have missed.
    pub before_first_answer: u64,
}

/// Reads the log of segments, key by key.
pub fn read_log(
    requests: &[Request],
    segment_duration: Duration,
    askers: &Askers,
) -> BTreeMap<Key, KeyLog> {
    let mut by_key: BTreeMap<Key, Vec<&Request>> = BTreeMap::new();
    for request in requests {
        if let (Object::Segment { rendition, number }, false) =
            (request.object, request.outcome == Outcome::Refused)
        {
            let key = Key {
                group: askers.group_of(request.edge),
                rendition,
                number,
            };
            by_key.entry(key).or_default().push(request);
        }
    }
    by_key
        .into_iter()
        .map(|(key, requests)| (key, read_key(&requests, segment_duration)))
        .collect()
}

fn read_key(requests: &[&Request], segment_duration: Duration) -> KeyLog {
    let count = |wanted: &dyn Fn(&Request) -> bool| {
        requests.iter().filter(|request| wanted(request)).count() as u64
    };
    let first_sent = requests.iter().map(|request| request.sent).min();
    let window_ends = first_sent.unwrap_or(Timestamp::ZERO) + segment_duration;
    let first_answered = requests
        .iter()
        .filter(|request| request.is_success())
        .map(|request| request.finished)
        .min();
    let is_miss = |request: &Request| request.word == ResultWord::Miss;
    // Segments never become stale by age: an edge serves a stale one, or refuses, only after a fetch that took too long.
    let went = [ResultWord::Miss, ResultWord::Stale, ResultWord::Shed];
    KeyLog {
        asked: requests.len() as u64,
        asked_in_window: count(&|request| request.sent <= window_ends),
        misses: count(&is_miss),
        not_stored: count(&|request| went.contains(&request.word)),
        misses_failed: count(&|request| is_miss(request) && !request.is_success()),
        collapsed: count(&|request| request.word == ResultWord::Collapsed),
        delivered: requests.iter().any(|request| request.is_success()),
        unanswered: count(&|request| request.word == ResultWord::Unanswered),
        before_first_answer: count(&|request| {
            first_answered.is_none_or(|answered| request.sent <= answered)
        }),
    }
}

impl KeyLog {
    /// How often the edge must have asked the origin for this key: lowest and highest possible number. Both are equal unless a
    /// request remained unanswered.
    pub fn hits(&self, miss_queue: MissQueue) -> (u64, u64) {
        let answered = match miss_queue {
            // Each failed fetch frees its key for another one; a delivered segment came from a fetch that did not fail.
            MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms => {
                self.misses_failed + u64::from(self.delivered)
            }
            MissQueue::Off => self.not_stored,
        };
        let perhaps = match miss_queue {
            MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms if self.delivered => 0,
            _ => self.unanswered,
        };
        (answered, answered + perhaps)
    }

    /// The number expected by theory without a queue, if requests come evenly over one segment duration: 1 + Nx - x^N.
    pub fn expected_uncollapsed(&self, fetch: Duration, segment_duration: Duration) -> f64 {
        collapse::fetches_uncollapsed(self.asked_in_window, fetch, segment_duration)
    }
}

/// The share of the requests at the origin that theory says are beyond its capacity: the M/M/c/K queue, for the requests of each
/// second and the mean time for which requests held a slot. `None` if the origin has no bound, or its requests were not counted.
pub fn shed_share(levels: &[Level], capacity: Capacity) -> Option<f64> {
    let slots = capacity.slots?;
    let (first, last) = (levels.first()?, levels.last()?);
    let grown = |of: fn(&Level) -> Option<u64>| Some(of(last)?.saturating_sub(of(first)?));
    let all = grown(|level| level.origin_hits)?;
    let admitted = all.saturating_sub(grown(|level| level.origin_shed)?);
    let busy = last.origin_busy?.saturating_sub(first.origin_busy?);
    if admitted == 0 {
        return None;
    }
    let each_s = busy.as_secs_f64() / admitted as f64;
    let mut shed = 0.0;
    for pair in levels.windows(2) {
        let [before, after] = pair else { continue };
        let requests = after.origin_hits?.saturating_sub(before.origin_hits?) as f64;
        let span_s = after.at.saturating_sub(before.at).as_secs_f64();
        if span_s > 0.0 {
            let offered = requests / span_s * each_s;
            shed += requests * erlang::shed_share_queued(slots, capacity.queue, offered);
        }
    }
    Some(shed / all as f64)
}

/// The sum over all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Number of distinct (edge, rendition, number) that were asked for.
    pub keys: u64,
    /// Requests.
    pub asked: u64,
    /// Answers that went to the origin, by the edges' own words.
    pub misses: u64,
    /// Fetches that brought no 200.
    pub misses_failed: u64,
    /// Answers that had waited for the fetch of another request.
    pub collapsed: u64,
    /// The highest number of collapsed answers for one key.
    pub collapsed_most: u64,
    /// Requests with an unknown outcome.
    pub unanswered: u64,
    /// Number of requests that the origin must have had: lowest and highest possible number.
    pub hits: (u64, u64),
    /// Requests sent before the first answer for their key had arrived.
    pub before_first_answer: u64,
    /// The sum of 1 + Nx - x^N.
    pub expected_uncollapsed: f64,
}

/// Sums up, for edges that handle misses like `miss_queue` and fetches that take `fetch`.
pub fn total(
    keys: &BTreeMap<Key, KeyLog>,
    miss_queue: MissQueue,
    fetch: Duration,
    segment_duration: Duration,
) -> Totals {
    let mut totals = Totals {
        keys: keys.len() as u64,
        ..Totals::default()
    };
    for key in keys.values() {
        let (least, most) = key.hits(miss_queue);
        totals.asked += key.asked;
        totals.misses += key.misses;
        totals.misses_failed += key.misses_failed;
        totals.collapsed += key.collapsed;
        totals.collapsed_most = totals.collapsed_most.max(key.collapsed);
        totals.unanswered += key.unanswered;
        totals.hits.0 += least;
        totals.hits.1 += most;
        totals.before_first_answer += key.before_first_answer;
        totals.expected_uncollapsed += key.expected_uncollapsed(fetch, segment_duration);
    }
    totals
}

/// Duration of a fetch as viewers see it: the median wait for the first byte of a segment that missed.
pub fn fetch_time(requests: &[Request]) -> Option<Duration> {
    let mut waits: Vec<Duration> = requests
        .iter()
        .filter(|request| request.object.kind() == super::record::Kind::Segment)
        .filter(|request| request.word == ResultWord::Miss && request.is_success())
        .filter_map(|request| Some(request.first_byte?.since(request.sent)))
        .collect();
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const D: Duration = Duration::from_millis(2_880);

    /// A request for segment `number` of the only rendition, sent and finished at these milliseconds.
    pub(in crate::report) fn request(
        edge: u32,
        number: u64,
        sent_ms: u64,
        finished_ms: u64,
        word: ResultWord,
    ) -> Request {
        let at = |millis: u64| Timestamp::from_nanos(millis * 1_000_000);
        Request {
            viewer: 0,
            edge,
            object: Object::Segment {
                rendition: 0,
                number,
            },
            due: at(sent_ms),
            sent: at(sent_ms),
            first_byte: Some(at(finished_ms)),
            finished: at(finished_ms),
            status: 200,
            word,
            bytes: 1_000,
            outcome: Outcome::Ok,
        }
    }

    fn totals(requests: &[Request], miss_queue: MissQueue) -> Totals {
        let keys = read_log(requests, D, &Askers::default());
        total(&keys, miss_queue, Duration::from_millis(50), D)
    }

    #[test]
    fn with_the_queue_each_segment_of_each_edge_counts_once_whatever_the_edge_says() {
        let log = [
            request(0, 7, 0, 50, ResultWord::Miss),
            request(0, 7, 10, 50, ResultWord::Miss),
            request(0, 7, 100, 101, ResultWord::Hit),
            request(1, 7, 0, 50, ResultWord::Miss),
            request(1, 8, 0, 50, ResultWord::Collapsed),
        ];
        let totals = totals(&log, MissQueue::Flights);
        assert_eq!((totals.keys, totals.hits), (3, (3, 3)));
        assert_eq!(totals.misses, 3);
    }

    #[test]
    fn edges_behind_the_same_shields_ask_the_origin_once_together() {
        let log = [
            request(0, 7, 0, 50, ResultWord::Miss),
            request(1, 7, 0, 50, ResultWord::Miss),
            request(2, 7, 0, 50, ResultWord::Miss),
        ];
        let askers = Askers {
            group_of_edge: vec![0, 1, 0],
            ..Askers::default()
        };
        let keys = read_log(&log, D, &askers);
        let totals = total(&keys, MissQueue::Flights, Duration::from_millis(50), D);
        assert_eq!(totals.hits, (2, 2));
    }

    #[test]
    fn without_the_queue_every_miss_counts_and_times_bound_them() {
        let log = [
            request(0, 7, 0, 52, ResultWord::Miss),
            request(0, 7, 10, 61, ResultWord::Miss),
            request(0, 7, 51, 55, ResultWord::Hit),
            request(0, 7, 100, 101, ResultWord::Hit),
        ];
        let totals = totals(&log, MissQueue::Off);
        assert_eq!(totals.hits, (2, 2));
        assert_eq!(totals.before_first_answer, 3);
    }

    #[test]
    fn a_failed_fetch_frees_its_key_for_one_more() {
        let mut failed = request(0, 7, 0, 50, ResultWord::Miss);
        failed.status = 404;
        failed.outcome = Outcome::Status;
        let log = [
            failed,
            request(0, 7, 1_000, 1_050, ResultWord::Miss),
            request(0, 7, 2_000, 2_001, ResultWord::Hit),
        ];
        assert_eq!(totals(&log, MissQueue::Flights).hits, (2, 2));
    }

    #[test]
    fn a_request_without_an_answer_leaves_room_for_doubt_unless_another_request_asked() {
        let mut lost = request(0, 7, 0, 50, ResultWord::Unanswered);
        lost.status = 0;
        assert_eq!(totals(&[lost], MissQueue::Flights).hits, (0, 1));
        let log = [lost, request(0, 7, 60, 61, ResultWord::Miss)];
        assert_eq!(totals(&log, MissQueue::Flights).hits, (1, 1));
        assert_eq!(totals(&log, MissQueue::Off).hits, (1, 2));
        lost.outcome = Outcome::Refused;
        assert_eq!(totals(&[lost], MissQueue::Flights).keys, 0);
    }

    #[test]
    fn theory_expects_one_and_the_share_of_the_window_that_a_fetch_takes() {
        let log: Vec<_> = (0..288)
            .map(|index| request(0, 7, index * 10, index * 10 + 1, ResultWord::Hit))
            .collect();
        let totals = totals(&log, MissQueue::Off);
        assert!((totals.expected_uncollapsed - 6.0).abs() < 1e-9);
    }
}
