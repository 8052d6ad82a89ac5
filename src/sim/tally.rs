//! What is counted while the simulation runs: requests by what became of them, the origin's hits, viewers, gauges.
//!
//! Nothing here grows with the number of requests. A segment's counts are added to the totals, and forgotten, when it has left the
//! playlists long ago.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;
use hdrhistogram::Histogram;

use super::exchange::{Crowd, Reply, Trail, kind_of, outcome_of, status_of};
use super::key::Key;
use super::node::Node;
use super::places::{self, Places};
use super::plan::Plan;
use super::stream::PLAYLIST_BYTES;
use crate::policy::flight::Reason;
use crate::policy::key;
use crate::policy::status::MissQueue;
use crate::report::experience::Gatherer;
use crate::report::record::{Kind, Level, Outcome, ResultWord};
use crate::theory::collapse;
use crate::time::Timestamp;
use crate::viewer::quality::Quality;

/// Requests with the same fate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) node: u32,
    pub(super) key: Key,
    pub(super) count: u64,
    pub(super) due: Timestamp,
    pub(super) sent: Timestamp,
    pub(super) first_byte: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) word: ResultWord,
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) bytes: u64,
}

/// Requests of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct OfKind {
    pub(super) total: u64,
    pub(super) bytes: u64,
    pub(super) words: [u64; ResultWord::ALL.len()],
    pub(super) outcomes: [u64; Outcome::ALL.len()],
    pub(super) statuses: BTreeMap<u16, u64>,
}

/// One second of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    pub(super) kinds: [u64; Kind::ALL.len()],
    pub(super) words: [u64; ResultWord::ALL.len()],
    pub(super) failures: u64,
    pub(super) origin: u64,
    /// Viewers that arrived, less those that left.
    pub(super) change: i64,
    pub(super) stalled: f64,
}

/// The counts of one segment at the caches that ask the origin together.
#[derive(Clone, Copy, Debug, Default)]
struct OfSegment {
    asked: u64,
    misses_failed: u64,
    /// Requests that found nothing: without a queue each of them went to the origin.
    not_stored: u64,
    collapsed: u64,
    delivered: bool,
    prefetched: bool,
    hits: u64,
}

/// The sums over all segments that are not followed any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    /// Distinct (group, rendition, number) that viewers asked for.
    pub(super) keys: u64,
    /// Distinct (rendition, number) that viewers asked for.
    pub(super) segments: u64,
    pub(super) asked: u64,
    pub(super) collapsed: u64,
    pub(super) collapsed_most: u64,
    pub(super) misses_failed: u64,
    pub(super) predicted: u64,
    pub(super) ahead: u64,
    pub(super) off: u64,
    pub(super) most_per_key: u64,
    pub(super) most_per_segment: u64,
    pub(super) expected_uncollapsed: f64,
}

/// Latencies in microseconds.
pub(super) type Latencies = Histogram<u64>;

/// All that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    miss_queue: MissQueue,
    segment: Duration,
    viewer_round_trip: Duration,
    fetch: Duration,
    /// Bytes of a segment of each rendition.
    bytes: Vec<u64>,
    pub(super) kinds: [OfKind; Kind::ALL.len()],
    /// By kind: since the player wanted the object, and since the request was sent.
    pub(super) latencies: [[Latencies; 2]; Kind::ALL.len()],
    /// Segments that were hits, collapsed, misses; since the request was sent.
    pub(super) of_words: [Latencies; 3],
    /// Requests that waited for another's fetch.
    pub(super) waits: Latencies,
    /// First bytes of segments that missed.
    pub(super) fetches_took: Latencies,
    pub(super) seconds: Vec<Second>,
    /// By place and time.
    pub(super) places: Places,
    /// Of each edge: requests, hits, collapsed, misses, failures.
    pub(super) of_edges: Vec<[u64; 5]>,
    live: BTreeMap<u64, HashMap<(u32, u32), OfSegment, FixedState>>,
    pub(super) segments: Segments,
    /// Hits by kind of object: multivariant, media playlists, segments, others.
    pub(super) hits: [u64; key::Kind::ALL.len()],
    pub(super) hits_of: Vec<u64>,
    /// Hits of these that the origin refused.
    pub(super) shed: [u64; key::Kind::ALL.len()],
    pub(super) retries: u64,
    pub(super) prefetches: u64,
    pub(super) evicted: u64,
    pub(super) waiters_peak: u64,
    pub(super) levels: Vec<Level>,
    pub(super) arrived: u64,
    pub(super) present: u64,
    pub(super) present_most: u64,
    pub(super) stalls: u64,
    pub(super) experience: Gatherer,
}

/// Segments behind the newest whose counts still change.
const FOLLOWED: u64 = 64;
/// Parts into which the waits of many viewers are divided.
const PARTS: u32 = 8;

fn latencies() -> Latencies {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constants")
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            miss_queue: plan.miss_queue,
            segment: plan.streams.segment,
            viewer_round_trip: plan.viewer_round_trip,
            fetch: plan.capacity.latency.mean + plan.origin_round_trip,
            bytes: plan.streams.bytes(),
            kinds: Default::default(),
            latencies: std::array::from_fn(|_| [latencies(), latencies()]),
            of_words: std::array::from_fn(|_| latencies()),
            waits: latencies(),
            fetches_took: latencies(),
            seconds: Vec::new(),
            places: Places::new(plan.edges, plan.length()),
            of_edges: vec![[0; 5]; plan.edges as usize],
            live: BTreeMap::new(),
            segments: Segments::default(),
            hits: [0; 4],
            hits_of: vec![0; plan.nodes.len()],
            shed: [0; 4],
            retries: 0,
            prefetches: 0,
            evicted: 0,
            waiters_peak: 0,
            levels: Vec::new(),
            arrived: 0,
            present: 0,
            present_most: 0,
            stalls: 0,
            experience: Gatherer::default(),
        }
    }

    fn second(&mut self, at: Timestamp) -> &mut Second {
        let index = at.since(Timestamp::ZERO).as_secs() as usize;
        if index >= self.seconds.len() {
            self.seconds.resize_with(index + 1, Second::default);
        }
        &mut self.seconds[index]
    }

    /// Bytes of a segment of this rendition.
    pub(super) fn bytes_of(&self, rendition: u32) -> u64 {
        let bytes = self.bytes.get(rendition as usize);
        bytes.copied().unwrap_or_default()
    }

    /// Requests have ended.
    pub(super) fn request(&mut self, nodes: &[Node], request: &Request) {
        let kind = kind_of(request.key);
        let (count, word) = (request.count, request.word as usize);
        let of_kind = &mut self.kinds[kind as usize];
        of_kind.total += count;
        of_kind.bytes += request.bytes * count;
        of_kind.words[word] += count;
        of_kind.outcomes[request.outcome as usize] += count;
        *of_kind.statuses.entry(request.status).or_default() += count;
        let failed = request.outcome.is_failure();
        let second = self.second(request.due);
        second.kinds[kind as usize] += count;
        second.words[word] += count;
        second.failures += if failed { count } else { 0 };
        if let Some(of_edge) = self.of_edges.get_mut(request.node as usize) {
            of_edge[0] += count;
            match request.word {
                ResultWord::Hit => of_edge[1] += count,
                ResultWord::Collapsed => of_edge[2] += count,
                ResultWord::Miss => of_edge[3] += count,
                _ => {}
            }
            of_edge[4] += if failed { count } else { 0 };
            if failed {
                self.places.at(request.node, request.due).failures += count;
            }
        }
        let micros = |since: Timestamp| (request.finished.since(since).as_micros() as u64).max(1);
        if request.outcome == Outcome::Ok {
            let [intended, sent] = &mut self.latencies[kind as usize];
            intended.saturating_record_n(micros(request.due), count);
            sent.saturating_record_n(micros(request.sent), count);
        }
        if request.word == ResultWord::Collapsed {
            self.waits.saturating_record_n(micros(request.sent), count);
        }
        if kind == Kind::Segment {
            self.segment(nodes, request, micros(request.sent));
        }
    }

    fn segment(&mut self, nodes: &[Node], request: &Request, took: u64) {
        let count = request.count;
        let whole = request.outcome == Outcome::Ok;
        let of_word = match request.word {
            ResultWord::Hit => Some(0),
            ResultWord::Collapsed => Some(1),
            ResultWord::Miss => Some(2),
            _ => None,
        };
        if let Some(index) = of_word.filter(|_| whole) {
            self.of_words[index].saturating_record_n(took, count);
        }
        let is_miss = request.word == ResultWord::Miss;
        if is_miss && whole {
            let first = request.first_byte.since(request.sent).as_micros() as u64;
            self.fetches_took.saturating_record_n(first.max(1), count);
        }
        if request.outcome == Outcome::Refused {
            // It never reached its edge.
            return;
        }
        let group = nodes[request.node as usize].group;
        let of_segment = self.of_segment(group, request.key);
        of_segment.asked += count;
        of_segment.delivered |= whole;
        let went = [ResultWord::Miss, ResultWord::Stale, ResultWord::Shed];
        if went.contains(&request.word) {
            of_segment.not_stored += count;
        }
        if is_miss && !whole {
            of_segment.misses_failed += count;
        }
        if request.word == ResultWord::Collapsed {
            of_segment.collapsed += count;
        }
    }

    fn of_segment(&mut self, group: u32, key: Key) -> &mut OfSegment {
        let of_number = self.live.entry(key.number()).or_default();
        of_number.entry((key.cell(), group)).or_default()
    }

    /// Requests of viewers that follow a player got this answer at once.
    pub(super) fn crowd(&mut self, nodes: &[Node], crowd: Crowd, count: u32, reply: &Reply) {
        self.crowd_since(nodes, crowd, count, reply.first_byte, reply);
    }

    /// Requests of viewers that follow a player got this answer, and were sent at an instant.
    pub(super) fn crowd_since(
        &mut self,
        nodes: &[Node],
        crowd: Crowd,
        count: u32,
        sent: Timestamp,
        reply: &Reply,
    ) {
        if count > 0 {
            let request = self.request_of(crowd, count, sent, reply.first_byte.max(sent), reply);
            self.request(nodes, &request);
        }
    }

    /// Requests of viewers that follow a player waited for a flight that has landed at `now`.
    pub(super) fn waited(
        &mut self,
        nodes: &[Node],
        crowd: Crowd,
        count: u32,
        trail: Trail,
        now: Timestamp,
        reply: &Reply,
    ) {
        if trail.word == ResultWord::Stale {
            // The stored object was served at once.
            return self.crowd(nodes, crowd, count, reply);
        }
        let span = now.min(trail.until).since(trail.from);
        for part in 0..PARTS {
            let share = (count + part) / PARTS;
            if share > 0 {
                // In the middle of its part of the span.
                let sent = trail.from + span * (2 * part + 1) / (2 * PARTS);
                let request = self.request_of(crowd, share, sent, now, reply);
                self.request(nodes, &request);
            }
        }
    }

    /// A cache has asked its upstream.
    pub(super) fn fetches(&mut self, node: &Node, key: Key, reason: Reason, now: Timestamp) {
        if !node.is_shield {
            self.places.at(node.index, now).fetches += 1;
        }
        let is_first = matches!(reason, Reason::Miss | Reason::Refresh | Reason::Prefetch);
        if !is_first && key.kind() == key::Kind::Segment && node.asks_origin() {
            self.retries += 1;
        }
    }

    /// A cache fetches a segment for which no viewer has asked.
    pub(super) fn prefetched(&mut self, node: &Node, key: Key) {
        if key.kind() == key::Kind::Segment {
            self.prefetches += 1;
            self.of_segment(node.group, key).prefetched = true;
        }
    }

    /// The origin has had a request.
    pub(super) fn hit(&mut self, node: &Node, client: u32, key: Key, shed: bool, now: Timestamp) {
        self.hits[key.kind() as usize] += 1;
        self.hits_of[client as usize] += 1;
        self.shed[key.kind() as usize] += u64::from(shed);
        self.second(now).origin += 1;
        if key.kind() == key::Kind::Segment {
            self.of_segment(node.group, key).hits += 1;
        }
    }

    /// A flight has landed for which this number of requests waited.
    pub(super) fn landed(&mut self, waited: u64) {
        self.waiters_peak = self.waiters_peak.max(waited);
    }

    /// The gauges now.
    pub(super) fn level(&mut self, now: Timestamp, waiters: u32, busy: Duration) {
        self.levels.push(Level {
            at: now.since(Timestamp::ZERO),
            viewers: self.present.min(u32::MAX.into()) as u32,
            origin_hits: Some(self.hits.iter().sum()),
            origin_shed: Some(self.shed.iter().sum()),
            origin_busy: Some(busy),
            waiters: Some(waiters),
        });
    }

    /// Viewers arrive.
    pub(super) fn arrives(&mut self, now: Timestamp, weight: u32) {
        self.arrived += u64::from(weight);
        self.present += u64::from(weight);
        self.present_most = self.present_most.max(self.present);
        self.second(now).change += i64::from(weight);
    }

    /// Viewers leave.
    pub(super) fn leaves(
        &mut self,
        now: Timestamp,
        edge: u32,
        weight: u32,
        quality: &Quality,
        stalls: &[(Timestamp, Timestamp)],
    ) {
        let weight = u64::from(weight);
        self.present -= weight;
        self.second(now).change -= weight as i64;
        for &(from, until) in stalls {
            self.stalled(from, until, weight as f64);
            self.places.stalled(edge, from, until, weight as f64);
        }
        self.experience.add(quality, weight);
    }

    fn stalled(&mut self, from: Timestamp, until: Timestamp, weight: f64) {
        for (at, part) in places::parts(from, until, Duration::from_secs(1)) {
            self.second(at).stalled += weight * part.as_secs_f64();
        }
    }

    /// Adds the counts of old segments to the totals.
    pub(super) fn forget_before(&mut self, newest: u64) {
        let kept = self.live.split_off(&newest.saturating_sub(FOLLOWED));
        for (_, of_number) in std::mem::replace(&mut self.live, kept) {
            self.add(of_number);
        }
    }

    /// Adds all counts to the totals.
    pub(super) fn finish(&mut self) {
        for (_, of_number) in std::mem::take(&mut self.live) {
            self.add(of_number);
        }
    }

    fn add(&mut self, of_number: HashMap<(u32, u32), OfSegment, FixedState>) {
        // In a fixed order, so that the sums of fractions are the same in each run.
        let mut all: Vec<_> = of_number.into_iter().collect();
        all.sort_unstable_by_key(|&(cell, _)| cell);
        let sums = &mut self.segments;
        let (mut cell_before, mut hits_of_segment, mut asked_for) = (None, 0, false);
        for ((cell, _), of) in all {
            if cell_before != Some(cell) {
                sums.segments += u64::from(std::mem::take(&mut asked_for));
                sums.most_per_segment = sums.most_per_segment.max(hits_of_segment);
                (cell_before, hits_of_segment) = (Some(cell), 0);
            }
            hits_of_segment += of.hits;
            asked_for |= of.asked > 0;
            let collapses = self.miss_queue == MissQueue::Flights;
            let predicted = match (of.asked, collapses) {
                (0, _) => 0,
                (_, true) => of.misses_failed + u64::from(of.delivered),
                (_, false) => of.not_stored,
            };
            let ahead = match collapses {
                true => of.prefetched && of.asked == 0,
                false => of.prefetched,
            };
            let predicted = predicted + u64::from(ahead);
            if of.asked > 0 {
                sums.keys += 1;
                sums.expected_uncollapsed +=
                    collapse::fetches_uncollapsed(of.asked, self.fetch, self.segment);
            }
            sums.asked += of.asked;
            sums.collapsed += of.collapsed;
            sums.collapsed_most = sums.collapsed_most.max(of.collapsed);
            sums.misses_failed += of.misses_failed;
            sums.predicted += predicted;
            sums.ahead += u64::from(ahead);
            sums.off += u64::from(of.hits != predicted);
            sums.most_per_key = sums.most_per_key.max(of.hits);
        }
        sums.segments += u64::from(asked_for);
        sums.most_per_segment = sums.most_per_segment.max(hits_of_segment);
    }
}

impl Tally {
    fn request_of(
        &self,
        crowd: Crowd,
        count: u32,
        sent: Timestamp,
        finished: Timestamp,
        reply: &Reply,
    ) -> Request {
        let outcome = outcome_of(reply.answer);
        let bytes = match (outcome, crowd.key.kind()) {
            (Outcome::Ok, key::Kind::Segment) => self.bytes_of(crowd.key.rendition()),
            (Outcome::Ok, _) => PLAYLIST_BYTES,
            _ => 0,
        };
        Request {
            node: crowd.node,
            key: crowd.key,
            count: count.into(),
            due: sent,
            sent,
            first_byte: reply.first_byte,
            finished: finished + self.viewer_round_trip,
            word: reply.word,
            outcome,
            status: status_of(reply.answer),
            bytes,
        }
    }
}
