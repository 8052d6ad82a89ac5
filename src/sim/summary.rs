//! The results of a simulation as the report takes them: the same summary and the same series as of a run over sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::likes::Likes;
use super::tally::{OfKind, Second, Segments, Tally};
use super::world::World;
use crate::policy::key;
use crate::policy::status::MissQueue;
use crate::report::counts::OriginHits;
use crate::report::distributions::{Distributions, cumulative};
use crate::report::edges::EdgeRow;
use crate::report::latency::{self, Since};
use crate::report::news::Part;
use crate::report::phases::{FaultRow, PhaseRow};
use crate::report::predict;
use crate::report::record::{Generator, HeldAgainst, Kind, Outcome, Phase, ResultWord};
use crate::report::series::{BUCKETS_MAX, Bucket, Series};
use crate::report::settings::Setting;
use crate::report::summary::{self, KindRow, Origin, Summary, Term, VERSION, Viewers, Waiters};
use crate::report::thresholds::{Thresholds, Verdict, grouped};
use crate::report::verdict;
use crate::scenario::Fault;
use crate::theory::collapse::Demand;
use crate::time::{Timestamp, UnixTime};

/// What a report says of a simulation beside its figures.
#[derive(Clone, Debug)]
pub struct About {
    /// Name of the scenario.
    pub scenario: String,
    /// What was set.
    pub settings: Vec<Setting>,
    /// The scenario as TOML.
    pub scenario_text: Option<String>,
    /// The figures that the headline is made of.
    pub headline: Vec<Part>,
    /// What must hold.
    pub thresholds: Thresholds,
    /// The named parts of the run.
    pub phases: Vec<Phase>,
    /// When the simulated event begins.
    pub began: UnixTime,
    /// A digest of all that was set.
    pub config_hash: u64,
}

/// What comes of a simulation.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The figures, and the verdict.
    pub summary: Summary,
    /// The run over time.
    pub series: Series,
}

/// Edges up to this number have a row each; more of them stand together by their size.
const ROWS_MAX: usize = 12;

pub(super) fn of(world: &World, about: About, interrupted: bool) -> Simulated {
    let tally = &world.tally;
    let elapsed = world.now.since(Timestamp::ZERO);
    let requests = Kind::ALL.into_iter();
    let requests: Vec<_> = requests
        .filter_map(|kind| kind_row(kind, &tally.kinds[kind as usize]))
        .collect();
    let experience = tally.experience.finish();
    let weights = world.plan.visits.iter().map(|visit| visit.weight);
    let mut summary = Summary {
        version: VERSION,
        scenario: about.scenario,
        seed: world.plan.seed,
        miss_queue: world.plan.miss_queue,
        began: about.began,
        elapsed_s: elapsed.as_secs_f64(),
        held_against: HeldAgainst::Channel,
        foreign: None,
        simulated: Some(summary::Simulated {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: format!("{:016x}", about.config_hash),
            event_hash: format!("{:016x}", world.digest),
            events: world.events,
            players: world.plan.visits.len() as u64,
            viewers_per_player_max: weights.clone().max().unwrap_or_default(),
        }),
        interrupted,
        verdict: Verdict::Pass,
        headline: about.headline,
        settings: about.settings,
        scenario_text: about.scenario_text,
        checks: Vec::new(),
        viewers: Viewers {
            scheduled: count_u32(weights.map(u64::from).sum()),
            started: count_u32(tally.arrived),
            dropped: 0,
            edges: world.plan.edges,
        },
        requests_unlogged: 0,
        origin: origin(world, &requests, elapsed, interrupted),
        requests,
        waiters: waiters(tally, world.plan.miss_queue),
        warm_up_s: 0.0,
        latency: latencies(tally),
        experience,
        generator: Generator::default(),
        generator_faults: Vec::new(),
        phases: phases(tally, &about.phases),
        edges: edges(world),
        faults: faults(world, elapsed),
        distributions: Distributions {
            startup: cumulative(tally.experience.startups()),
            stalled: cumulative(tally.experience.stalled()),
            waiters: Vec::new(),
            waits: cumulative(tally.waits.iter_recorded().map(|value| {
                let waited = Duration::from_micros(value.value_iterated_to());
                (waited, value.count_at_value())
            })),
        },
        likes: world.likes.as_ref().map(Likes::summary),
    };
    summary.checks = verdict::check(&summary, &about.thresholds);
    summary.verdict = verdict::of(&summary);
    Simulated {
        series: series(world, elapsed),
        summary,
    }
}

fn count_u32(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn words(counts: &[u64; ResultWord::ALL.len()]) -> BTreeMap<ResultWord, u64> {
    let counts = ResultWord::ALL.into_iter().zip(*counts);
    counts.filter(|&(_, count)| count > 0).collect()
}

fn kind_row(kind: Kind, of_kind: &OfKind) -> Option<KindRow> {
    let outcomes = Outcome::ALL.into_iter().zip(of_kind.outcomes);
    (of_kind.total > 0).then(|| KindRow {
        kind,
        total: of_kind.total,
        bytes: of_kind.bytes,
        words: words(&of_kind.words),
        outcomes: outcomes.filter(|&(_, count)| count > 0).collect(),
        statuses: of_kind.statuses.clone(),
    })
}

fn origin(world: &World, requests: &[KindRow], elapsed: Duration, interrupted: bool) -> Origin {
    let (tally, plan) = (&world.tally, &world.plan);
    let sums = &tally.segments;
    let hits = |kind: key::Kind| tally.hits[kind as usize];
    let segment_hits = hits(key::Kind::Segment);
    let clients = world.nodes.iter().zip(&tally.hits_of);
    let clients = clients.filter(|(_, hits)| **hits > 0);
    let measured = OriginHits {
        segment: segment_hits,
        media_playlist: hits(key::Kind::MediaPlaylist),
        multivariant: hits(key::Kind::Multivariant),
        other: hits(key::Kind::Other),
        shed: tally.shed.iter().sum(),
        per_client: clients
            .map(|(node, hits)| (node.name.clone(), *hits))
            .collect(),
        most_per_segment: sums.most_per_segment,
        uncounted: false,
        segments: Vec::new(),
    };
    let all: u64 = tally.hits.iter().sum();
    let asked: u64 = requests.iter().map(|row| row.total).sum();
    let ratio = |part: u64, whole: u64| match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    };
    let predicted = sums.predicted + tally.retries;
    let kills = plan.faults.iter().any(|fault| fault.what.edge().is_some());
    let shielded = world.nodes.iter().any(|node| node.is_shield);
    let not_binding = if interrupted {
        Some("the simulation was interrupted".to_owned())
    } else if kills {
        Some("an edge lost its cache or fell silent in mid-run".to_owned())
    } else if plan.miss_queue == MissQueue::Off && shielded {
        Some("without the queue the shields' own caches answer an unknown part".to_owned())
    } else if shielded && sums.misses_failed > 0 {
        Some("a shield answers some of the fetches that failed from what it remembers".to_owned())
    } else if tally.evicted > 0 {
        Some(format!(
            "the caches had to let {} objects go; each of them that is asked for again costs one hit more",
            grouped(tally.evicted)
        ))
    } else {
        None
    };
    let fetch = (!tally.fetches_took.is_empty())
        .then(|| tally.fetches_took.value_at_quantile(0.5) as f64 / 1e3);
    Origin {
        predicted: (predicted, predicted),
        terms: terms(sums, tally, plan.miss_queue, shielded),
        not_binding,
        segments_off: Some(sums.off.saturating_sub(tally.retries)),
        most_per_key: Some(sums.most_per_key),
        keys: sums.keys,
        segments: sums.segments,
        before_first_answer: 0,
        expected_uncollapsed: sums.expected_uncollapsed,
        fetch_ms: fetch,
        window_ms: plan.streams.segment.as_secs_f64() * 1e3,
        expected_media_playlists: expected_playlists(world, requests, elapsed, fetch),
        shed_share: Some(ratio(tally.shed.iter().sum(), all)),
        shed_share_expected: predict::shed_share(&tally.levels, plan.capacity),
        offload: Some(1.0 - ratio(all, asked)),
        offload_segments: Some(1.0 - ratio(segment_hits, sums.asked)),
        amplification: Some(ratio(segment_hits, sums.keys)),
        excess: Some(ratio(segment_hits, sums.segments)),
        measured,
    }
}

fn terms(sums: &Segments, tally: &Tally, miss_queue: MissQueue, shielded: bool) -> Vec<Term> {
    let term = |count, what: &str| Term {
        count,
        what: what.to_owned(),
    };
    let distinct = match shielded {
        true => "distinct (group of shields, rendition, number) asked for",
        false => "distinct (edge, rendition, number) asked for",
    };
    match miss_queue {
        MissQueue::Off => vec![
            term(
                sums.predicted - sums.ahead,
                "requests that came before their edge had the segment",
            ),
            term(tally.retries, "retries of the edges"),
            term(sums.ahead, "prefetches"),
        ],
        _ => vec![
            term(
                (sums.predicted - sums.ahead).saturating_sub(sums.misses_failed),
                distinct,
            ),
            term(sums.misses_failed, "fetches that failed"),
            term(tally.retries, "retries of the edges"),
            term(sums.ahead, "fetched ahead and never asked for"),
        ],
    }
}

/// The closed form for the media playlist of each edge and rendition, if viewers ask for all of them alike.
fn expected_playlists(
    world: &World,
    requests: &[KindRow],
    elapsed: Duration,
    fetch_ms: Option<f64>,
) -> Option<f64> {
    let plan = &world.plan;
    let asked = requests
        .iter()
        .find(|row| row.kind == Kind::MediaPlaylist)?;
    let shields = world.nodes.iter().filter(|node| node.is_shield).count();
    if shields > 0 {
        return None;
    }
    let lists = plan.edges as f64 * plan.renditions.len() as f64;
    let elapsed_s = elapsed.as_secs_f64();
    let fetch_s = fetch_ms.unwrap_or_default() / 1e3;
    let demand = Demand {
        rate_per_s: asked.total as f64 / lists / elapsed_s,
        fetch: Duration::try_from_secs_f64(fetch_s).unwrap_or_default(),
        lifetime: plan.streams.target_duration * plan.limits.playlist_fresh_percent / 100,
    };
    let rate = match plan.miss_queue {
        MissQueue::Off => demand.origin_rate_uncollapsed(),
        _ => demand.origin_rate_collapsed(),
    };
    Some(rate * lists * elapsed_s)
}

fn waiters(tally: &Tally, miss_queue: MissQueue) -> Waiters {
    let sums = &tally.segments;
    let per_flight = |count: f64| match (miss_queue, sums.keys) {
        (MissQueue::Off, _) | (_, 0) => 0.0,
        (_, keys) => count / keys as f64,
    };
    let quantile = |share: f64| {
        let waits = &tally.waits;
        (!waits.is_empty()).then(|| waits.value_at_quantile(share) as f64 / 1e3)
    };
    Waiters {
        peak: Some(tally.waiters_peak),
        collapsed_most: sums.collapsed_most,
        mean: per_flight(sums.collapsed as f64),
        expected_mean: per_flight(sums.expected_uncollapsed - sums.keys as f64),
        waited: tally.waits.len(),
        wait_p50_ms: quantile(0.5),
        wait_p95_ms: quantile(0.95),
        wait_max_ms: quantile(1.0),
    }
}

fn latencies(tally: &Tally) -> Vec<latency::Row> {
    let by_kind = Kind::ALL.into_iter().flat_map(|kind| {
        let [intended, sent] = &tally.latencies[kind as usize];
        [
            latency::row_of(intended, kind, None, Since::Intended),
            latency::row_of(sent, kind, None, Since::Sent),
        ]
    });
    let words = [ResultWord::Hit, ResultWord::Collapsed, ResultWord::Miss];
    let by_word = words
        .into_iter()
        .zip(&tally.of_words)
        .map(|(word, took)| latency::row_of(took, Kind::Segment, Some(word), Since::Sent));
    by_kind.chain(by_word).flatten().collect()
}

/// The faults that have begun. Those of one kind that meet several edges at once stand together.
fn faults(world: &World, elapsed: Duration) -> Vec<FaultRow> {
    let began = |at_s: &f64| *at_s <= elapsed.as_secs_f64();
    let mut faults: Vec<_> = world.plan.faults.iter().collect();
    faults.retain(|fault| began(&fault.at_s));
    faults.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
    let together = faults.chunk_by(|one, other| {
        let same = std::mem::discriminant(&one.what) == std::mem::discriminant(&other.what);
        let edges = one.what.edge().is_some() && same;
        edges && (one.at_s, one.until_s) == (other.at_s, other.until_s)
    });
    let row = |faults: &[&Fault]| {
        let first = faults.first()?;
        Some(FaultRow {
            from_s: first.at_s,
            until_s: first.until_s.filter(began),
            what: match faults.len() {
                1 => first.what.to_string(),
                2 => format!("{}, and 1 edge more", first.what),
                count => format!("{}, and {} edges more", first.what, count - 1),
            },
        })
    };
    together.filter_map(row).collect()
}

/// The seconds of a span.
fn within(tally: &Tally, from: Duration, until: Duration) -> &[Second] {
    let last = tally.seconds.len();
    let (from, until) = (from.as_secs() as usize, until.as_secs_f64().ceil() as usize);
    &tally.seconds[from.min(last)..until.clamp(from.min(last), last)]
}

fn sum_words(seconds: &[Second]) -> BTreeMap<ResultWord, u64> {
    let mut sums = [0; ResultWord::ALL.len()];
    for second in seconds {
        for (sum, count) in sums.iter_mut().zip(second.words) {
            *sum += count;
        }
    }
    words(&sums)
}

fn phases(tally: &Tally, phases: &[Phase]) -> Vec<PhaseRow> {
    let row = |phase: &Phase| {
        let seconds = within(tally, phase.from, phase.until);
        let span_s = (phase.until.saturating_sub(phase.from))
            .as_secs_f64()
            .max(1e-9);
        let viewers = viewers_each_second(tally);
        let here = viewers
            .iter()
            .skip(phase.from.as_secs() as usize)
            .take(seconds.len());
        PhaseRow {
            name: phase.name.clone(),
            from_s: phase.from.as_secs_f64(),
            until_s: phase.until.as_secs_f64(),
            viewers_mean: here.sum::<f64>() / seconds.len().max(1) as f64,
            requests: seconds.iter().flat_map(|second| second.kinds).sum(),
            words: sum_words(seconds),
            failures: seconds.iter().map(|second| second.failures).sum(),
            origin_per_s: Some(
                seconds.iter().map(|second| second.origin).sum::<u64>() as f64 / span_s,
            ),
            latency: Vec::new(),
        }
    };
    phases.iter().map(row).collect()
}

/// Viewers watching in each second: those before it and those after it, in the mean.
fn viewers_each_second(tally: &Tally) -> Vec<f64> {
    let mut present = 0_i64;
    let seconds = tally.seconds.iter();
    seconds
        .map(|second| {
            let before = present;
            present += second.change;
            (before + present) as f64 / 2.0
        })
        .collect()
}

fn edges(world: &World) -> Vec<EdgeRow> {
    let tally = &world.tally;
    let edges = world.plan.edges as usize;
    let mut viewers = vec![0_u64; edges];
    for visit in &world.plan.visits[..world.next_visit] {
        viewers[visit.edge as usize] += u64::from(visit.weight);
    }
    let row = |name: String, range: std::ops::Range<usize>| {
        let mut sums = [0; 5];
        for of_edge in &tally.of_edges[range.clone()] {
            for (sum, count) in sums.iter_mut().zip(of_edge) {
                *sum += count;
            }
        }
        let [requests, hits, collapsed, misses, failures] = sums;
        let words = [
            (ResultWord::Hit, hits),
            (ResultWord::Collapsed, collapsed),
            (ResultWord::Miss, misses),
        ];
        EdgeRow {
            target: name.clone(),
            name: Some(name),
            viewers: viewers[range.clone()].iter().sum(),
            requests,
            words: words.into_iter().filter(|(_, count)| *count > 0).collect(),
            failures,
            segment_p99_ms: None,
            origin_hits: Some(tally.hits_of[range].iter().sum()),
        }
    };
    if edges <= ROWS_MAX {
        let rows = (0..edges).map(|edge| row(world.nodes[edge].name.clone(), edge..edge + 1));
        return rows.collect();
    }
    // The edges are sorted by their size, so each class holds edges of similar size.
    let classes = 10;
    let bound = |class: usize| class * edges / classes;
    let rows = (0..classes).map(|class| {
        let range = bound(class)..bound(class + 1);
        let name = format!("edges {} to {}", range.start + 1, range.end);
        row(name, range)
    });
    rows.collect()
}

fn series(world: &World, elapsed: Duration) -> Series {
    let (tally, plan) = (&world.tally, &world.plan);
    let seconds = tally.seconds.len();
    let width = seconds.div_ceil(BUCKETS_MAX as usize).max(1);
    let viewers = viewers_each_second(tally);
    let buckets = tally
        .seconds
        .chunks(width)
        .enumerate()
        .map(|(index, chunk)| {
            let from = index * width;
            let until = Duration::from_secs((from + chunk.len()) as u64).min(elapsed);
            let from_at = Duration::from_secs(from as u64);
            let span = until.saturating_sub(from_at).max(Duration::from_millis(1));
            let span_s = span.as_secs_f64();
            let mut kinds = BTreeMap::new();
            for second in chunk {
                for (kind, count) in Kind::ALL.into_iter().zip(second.kinds) {
                    if count > 0 {
                        *kinds.entry(kind).or_default() += count;
                    }
                }
            }
            let levels = tally.levels.iter();
            let within = levels.filter(|level| (from_at..until).contains(&level.at));
            let present = &viewers[from..from + chunk.len()];
            Bucket {
                from: from_at,
                width: span,
                viewers: present.iter().sum::<f64>() / chunk.len() as f64,
                kinds,
                words: sum_words(chunk),
                failures: chunk.iter().map(|second| second.failures).sum(),
                origin_per_s: Some(
                    chunk.iter().map(|second| second.origin).sum::<u64>() as f64 / span_s,
                ),
                waiters: within.filter_map(|level| level.waiters).max(),
                rebuffering: chunk.iter().map(|second| second.stalled).sum::<f64>() / span_s,
                segment_p50_ms: None,
                segment_p99_ms: None,
                likes: world
                    .likes
                    .as_ref()
                    .map_or(0, |likes| likes.in_seconds(from, chunk.len())),
            }
        });
    Series {
        buckets: buckets.collect(),
        places: (plan.edges > 1).then(|| tally.places.report(elapsed)),
    }
}
