//! A small run to test reports with: one minute, 300 viewers, two edges and a fault, generated without any input.

use std::collections::BTreeMap;
use std::time::Duration;

use super::counts::{Askers, EdgeCounts, OriginHits, SegmentHits};
use super::record::{
    Counted, FaultRecord, Generator, HeldAgainst, Kind, Level, LikesRecord, Liking, Object,
    Operation, Outcome, Phase, Queue, Request, ResultWord, RunRecord, Tally, Viewer,
};
use super::settings::Setting;
use super::summarize::summarize;
use super::summary::Summary;
use super::thresholds::Thresholds;
use crate::policy::status::MissQueue;
use crate::time::{Timestamp, UnixTime};
use crate::viewer::asking::Fate;
use crate::viewer::quality::{Exit, Quality};

const VIEWERS: u32 = 300;
const ELAPSED_MS: u64 = 60_000;
const SEGMENT_MS: u64 = 2_880;
const FETCH_MS: u64 = 120;
const PLAYLIST_LIFETIME_MS: u64 = 1_440;
/// When the second edge refuses every tenth request.
const FAULT_MS: std::ops::Range<u64> = 34_000..40_000;
/// The generator's clock when the run begins: not zero, so that a test fails if code takes it for zero.
const BEGAN_AT: Timestamp = Timestamp::from_nanos(7_000_000_000);

/// The run, with the miss queue or without.
pub(super) fn record(miss_queue: MissQueue) -> RunRecord {
    let mut draws = Draws(1);
    let visits: Vec<Visit> = (0..VIEWERS)
        .map(|viewer| Visit::drawn(viewer, &mut draws))
        .collect();
    let mut wanted: Vec<Wanted> = visits.iter().flat_map(Visit::wanted).collect();
    wanted.sort_by_key(|wanted| (wanted.due_ms, wanted.viewer));
    let mut edges = Edges {
        miss_queue,
        stored: BTreeMap::new(),
        refusals: 0,
    };
    let requests: Vec<_> = wanted
        .iter()
        .map(|wanted| edges.answer(wanted, &mut draws))
        .collect();
    let phase = |name: &str, from_s, until_s| Phase {
        name: name.to_owned(),
        from: Duration::from_secs(from_s),
        until: Duration::from_secs(until_s),
    };
    RunRecord {
        held_against: HeldAgainst::Channel,
        foreign: None,
        last_mile_median_bps: Some(6_000_000),
        scenario: "sample".to_owned(),
        seed: 1,
        miss_queue,
        targets: vec![
            "http://127.0.0.2:18080".to_owned(),
            "http://127.0.0.3:18080".to_owned(),
        ],
        renditions: vec!["180p".to_owned(), "360p".to_owned()],
        segment_duration: Duration::from_millis(SEGMENT_MS),
        began: UnixTime::from_millis(1_790_000_000_000),
        began_at: BEGAN_AT,
        elapsed: Duration::from_millis(ELAPSED_MS),
        levels: levels(&visits, &requests),
        viewers: visits.iter().map(|visit| visit.lived(&requests)).collect(),
        requests,
        requests_unlogged: 0,
        viewers_scheduled: VIEWERS,
        viewers_dropped: 0,
        warm_up: Duration::ZERO,
        phases: vec![
            phase("baseline", 0, 12),
            phase("surge", 12, 24),
            phase("plateau", 24, 48),
            phase("recovery", 48, 60),
        ],
        faults: vec![FaultRecord {
            from: Duration::from_millis(FAULT_MS.start),
            until: Some(Duration::from_millis(FAULT_MS.end)),
            what: "edge-2 refuses every tenth request".to_owned(),
        }],
        capacity: None,
        headline: Vec::new(),
        settings: vec![Setting::new("edges", 2)],
        scenario_text: None,
        generator: Generator {
            wakes: 41_234,
            lag_p50_ms: 0.4,
            lag_p99_ms: 2.1,
            lag_max_ms: 7.9,
            cpu: None,
        },
        likes: Some(likes()),
        interrupted: false,
    }
}

/// A like or a heart every second; one is refused, one is in doubt, one was sent twice.
fn likes() -> LikesRecord {
    let operation = |at_s: u64| {
        let (kind, fate) = match at_s {
            30 => (Liking::Hearts, Fate::NotCounted),
            35 => (Liking::Like, Fate::Unknown),
            _ if at_s.is_multiple_of(5) => (Liking::Like, Fate::Acknowledged),
            _ => (Liking::Hearts, Fate::Acknowledged),
        };
        Operation {
            kind,
            due: at(at_s * 1_000),
            finished: at(at_s * 1_000 + 8 + at_s % 7),
            attempts: 1 + u32::from(at_s == 12),
            fate,
            duplicate: at_s == 12,
        }
    };
    LikesRecord {
        operations: (0..60).map(operation).collect(),
        refusals: [
            ("queue-full".to_owned(), 1),
            ("outcome-unknown".to_owned(), 1),
        ]
        .into(),
        tally: vec![Tally {
            channel: "sample".to_owned(),
            likes: (10, 11),
            hearts: (48, 48),
        }],
        counted: vec![Counted {
            likes: 10,
            hearts: 48,
        }],
        queue: Some(Queue {
            batches: 40,
            operations: 59,
            lag_max_ms: 0.4,
            waiting_most: 3,
            durable: 59,
            applied: 59,
        }),
        ..LikesRecord::default()
    }
}

/// The counts of origin and edges for this run.
pub(super) fn counts(record: &RunRecord) -> (OriginHits, EdgeCounts) {
    let mut hits = OriginHits::default();
    let mut segments: BTreeMap<(u32, u32, u64), u64> = BTreeMap::new();
    let misses = record
        .requests
        .iter()
        .filter(|request| request.word == ResultWord::Miss);
    for request in misses {
        let client = format!("edge-{}", request.edge + 1);
        *hits.per_client.entry(client).or_default() += 1;
        match request.object {
            Object::Multivariant => hits.multivariant += 1,
            Object::MediaPlaylist { .. } => hits.media_playlist += 1,
            Object::Segment { rendition, number } => {
                hits.segment += 1;
                *segments
                    .entry((request.edge, rendition, number))
                    .or_default() += 1;
            }
            // Seawall's own channels have neither.
            Object::Header { .. } | Object::Key { .. } | Object::Steering => {}
        }
    }
    hits.most_per_segment = segments.values().copied().max().unwrap_or(0);
    let segment = |((edge, rendition, number), hits): (&(u32, u32, u64), &u64)| SegmentHits {
        client: format!("edge-{}", edge + 1),
        rendition: record.renditions[*rendition as usize].clone(),
        number: *number,
        hits: *hits,
    };
    hits.segments = segments.iter().map(segment).collect();
    let edges = EdgeCounts {
        askers: Askers::edges(["edge-1", "edge-2"].map(str::to_owned)),
        waiters_peak: Some(19),
        playlist_lifetime: Some(Duration::from_millis(PLAYLIST_LIFETIME_MS)),
        ..EdgeCounts::default()
    };
    (hits, edges)
}

/// The summary of this run.
pub(super) fn summary(record: &RunRecord) -> Summary {
    let (hits, edges) = counts(record);
    let thresholds = Thresholds {
        origin_hits_exact: true,
        bytes_wrong_max: Some(0),
        fatal_max: 0,
        start_failures_max: 0,
        playlists_went_back_max: 0,
        stalled_share_max: 0.05,
        flights: Some(Box::new(Thresholds {
            origin_hits_per_object_max: 1,
            ..Thresholds::default()
        })),
        ..Thresholds::default()
    };
    summarize(record, &hits, &edges, &thresholds)
}

/// When a viewer arrives, and at which edge.
#[derive(Clone, Copy)]
struct Visit {
    viewer: u32,
    edge: u32,
    rendition: u32,
    arrived_ms: u64,
    left_ms: u64,
    stall_ms: u64,
}

/// A request that a viewer will make.
struct Wanted {
    viewer: u32,
    edge: u32,
    object: Object,
    due_ms: u64,
}

impl Visit {
    fn drawn(viewer: u32, draws: &mut Draws) -> Self {
        let arrived_ms = match viewer {
            0..60 => draws.below(10_000),
            _ => 12_000 + draws.below(4_000) + draws.below(4_000) * draws.below(3),
        };
        let left_ms = match draws.below(10) {
            0..7 => 46_000 + draws.below(9_000),
            _ => ELAPSED_MS,
        };
        Self {
            viewer,
            edge: viewer % 2,
            rendition: u32::from(draws.below(3) > 0),
            arrived_ms,
            left_ms,
            stall_ms: 300 + draws.below(2_400),
        }
    }

    fn wanted(&self) -> Vec<Wanted> {
        let visit = *self;
        let wanted = move |object, due_ms| Wanted {
            viewer: visit.viewer,
            edge: visit.edge,
            object,
            due_ms,
        };
        let playlist = Object::MediaPlaylist {
            rendition: self.rendition,
        };
        let segment = |number| Object::Segment {
            rendition: self.rendition,
            number,
        };
        let newest = |at_ms| 1_000 + at_ms / SEGMENT_MS;
        let mut all = vec![
            wanted(Object::Multivariant, self.arrived_ms),
            wanted(playlist, self.arrived_ms + 40),
        ];
        for back in [2, 1] {
            let number = newest(self.arrived_ms) - back;
            all.push(wanted(segment(number), self.arrived_ms + 400 - back * 100));
        }
        let mut at_ms = self.arrived_ms + 400;
        while at_ms < self.left_ms {
            all.push(wanted(playlist, at_ms));
            all.push(wanted(segment(newest(at_ms)), at_ms));
            at_ms += SEGMENT_MS;
        }
        all
    }

    fn lived(&self, requests: &[Request]) -> Viewer {
        let own = || {
            requests
                .iter()
                .filter(|request| request.viewer == self.viewer)
        };
        let first = own()
            .filter(|request| request.object.kind() == Kind::Segment)
            .nth(1);
        let started = first.map_or(at(self.arrived_ms), |request| request.finished);
        let failed = own().find(|request| request.outcome.is_failure());
        let stalls: Vec<_> = failed
            .map(|request| (request.finished, request.finished + millis(self.stall_ms)))
            .into_iter()
            .collect();
        let stalled = millis(if failed.is_some() { self.stall_ms } else { 0 });
        let watched = at(self.left_ms).since(started);
        Viewer {
            viewer: self.viewer,
            edge: self.edge,
            arrived: at(self.arrived_ms),
            left: at(self.left_ms),
            quality: Quality {
                startup: Some(started.since(at(self.arrived_ms))),
                played: watched.saturating_sub(stalled),
                stalled,
                stalls: stalls.len() as u32,
                retries: stalls.len() as u32,
                media: watched,
                media_bits: watched.as_secs_f64() * [400e3, 900e3][self.rendition as usize],
                live_latency: Some(millis(8_640) + stalled),
                live_latency_at_start: Some(millis(8_640)),
                exit: Exit::Left,
                ..Quality::default()
            },
            stalls,
        }
    }
}

/// Two edges, as viewers see them.
struct Edges {
    miss_queue: MissQueue,
    /// When an object arrives at an edge, and until when it is fresh.
    stored: BTreeMap<(u32, Object), (u64, u64)>,
    refusals: u64,
}

impl Edges {
    fn answer(&mut self, wanted: &Wanted, draws: &mut Draws) -> Request {
        let sent_ms = wanted.due_ms + draws.below(2);
        let in_fault = wanted.edge == 1 && FAULT_MS.contains(&wanted.due_ms);
        self.refusals += u64::from(in_fault);
        let refused = in_fault && self.refusals.is_multiple_of(10);
        let fetched_ms = sent_ms + FETCH_MS + draws.below(12);
        let stored = self.stored.get(&(wanted.edge, wanted.object)).copied();
        let (word, finished_ms) = match stored {
            _ if refused => (ResultWord::Shed, sent_ms + 1),
            Some((arrives_ms, fresh_ms)) if sent_ms < fresh_ms => match self.miss_queue {
                _ if arrives_ms <= sent_ms => (ResultWord::Hit, sent_ms + 1 + draws.below(3)),
                MissQueue::Off => (ResultWord::Miss, fetched_ms),
                _ => (ResultWord::Collapsed, arrives_ms),
            },
            _ => {
                let lifetime_ms = match wanted.object.kind() {
                    Kind::MediaPlaylist => PLAYLIST_LIFETIME_MS,
                    _ => ELAPSED_MS * 2,
                };
                let object = (wanted.edge, wanted.object);
                self.stored
                    .insert(object, (fetched_ms, fetched_ms + lifetime_ms));
                (ResultWord::Miss, fetched_ms)
            }
        };
        Request {
            viewer: wanted.viewer,
            edge: wanted.edge,
            object: wanted.object,
            due: at(wanted.due_ms),
            sent: at(sent_ms),
            first_byte: Some(at(finished_ms)),
            finished: at(finished_ms),
            status: if refused { 503 } else { 200 },
            word,
            bytes: match wanted.object.kind() {
                _ if refused => 0,
                Kind::Segment => 180_000,
                _ => 900,
            },
            outcome: if refused {
                Outcome::Status
            } else {
                Outcome::Ok
            },
        }
    }
}

fn levels(visits: &[Visit], requests: &[Request]) -> Vec<Level> {
    let is = |word| move |request: &&Request| request.word == word;
    (0..=ELAPSED_MS / 1_000)
        .map(|second| {
            let now_ms = second * 1_000;
            let watching = visits
                .iter()
                .filter(|visit| (visit.arrived_ms..visit.left_ms).contains(&now_ms));
            let asked = requests.iter().filter(is(ResultWord::Miss));
            let asked = asked.filter(|request| second > 0 && request.sent <= at(now_ms));
            let waiting = requests.iter().filter(is(ResultWord::Collapsed));
            let waiting =
                waiting.filter(|request| (request.sent..request.finished).contains(&at(now_ms)));
            Level {
                at: millis(now_ms),
                viewers: watching.count() as u32,
                origin_hits: Some(asked.count() as u64),
                origin_shed: Some(0),
                origin_busy: None,
                waiters: Some(waiting.count() as u32),
            }
        })
        .collect()
}

fn at(ms: u64) -> Timestamp {
    BEGAN_AT + millis(ms)
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// SplitMix64: the same draws on every machine.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
