//! Compares a run's record with the counts of origin and edges: the summary, and the verdict on the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::counts::{Caches, EdgeCounts, OriginHits};
use super::predict::{self, Key, KeyLog, Totals};
use super::record::{Kind, Object, Process, Request, ResultWord, RunRecord};
use super::summary::{KindRow, Origin, Summary, Term, VERSION, Viewers, Waiters};
use super::thresholds::{Thresholds, Verdict};
use super::{
    distributions, edges as by_edge, experience, foreign, latency, likes, phases, verdict,
};
use crate::policy::status::MissQueue;
use crate::theory::collapse::Demand;
/// Puts a run's log, the origin's counts and the edges' counts side by side.
pub fn summarize(
    record: &RunRecord,
    hits: &OriginHits,
    edges: &EdgeCounts,
    thresholds: &Thresholds,
) -> Summary {
    let keys = predict::read_log(&record.requests, record.segment_duration, &edges.askers);
    let ahead = ahead(record, edges, &keys);
    let fetch = predict::fetch_time(&record.requests);
    let totals = predict::total(
        &keys,
        record.miss_queue,
        fetch.unwrap_or_default(),
        record.segment_duration,
    );
    let waits = waits(record);
    let mut summary = Summary {
        version: VERSION,
        scenario: record.scenario.clone(),
        seed: record.seed,
        miss_queue: record.miss_queue,
        began: record.began,
        elapsed_s: record.elapsed.as_secs_f64(),
        held_against: record.held_against,
        foreign: foreign::of(record),
        simulated: None,
        interrupted: record.interrupted,
        verdict: Verdict::Pass,
        headline: record.headline.clone(),
        settings: record.settings.clone(),
        scenario_text: record.scenario_text.clone(),
        checks: Vec::new(),
        viewers: Viewers {
            scheduled: record.viewers_scheduled,
            started: record.viewers.len() as u32,
            dropped: record.viewers_dropped,
            edges: record.targets.len() as u32,
        },
        requests: Kind::ALL
            .into_iter()
            .filter_map(|kind| kind_row(&record.requests, kind))
            .collect(),
        requests_unlogged: record.requests_unlogged,
        origin: origin(record, hits, edges, &keys, &ahead, &totals, fetch),
        waiters: waiters(record.miss_queue, edges, &totals, &waits),
        warm_up_s: record.warm_up.as_secs_f64(),
        latency: latency::rows(warmed_up(record)),
        experience: experience::gather(&record.viewers),
        generator: record.generator,
        generator_faults: generator_faults(record),
        phases: phases::rows(record),
        edges: by_edge::rows(record, hits, edges),
        faults: phases::faults(&record.faults),
        distributions: distributions::gather(
            &record.viewers,
            &keys,
            record.miss_queue,
            fetch.unwrap_or_default(),
            record.segment_duration,
            &waits,
        ),
        likes: likes::gather(record),
    };
    if edges.evicted > 0 && !thresholds.origin_hits_exact {
        // A scenario with an exact threshold is judged all the same: its caches must be large enough.
        let why = || {
            format!(
                "the caches had to let {} objects go; each of them that is asked for again costs one hit more",
                edges.evicted
            )
        };
        summary.origin.not_binding.get_or_insert_with(why);
    }
    summary.checks = verdict::check(&summary, thresholds);
    summary.verdict = verdict::of(&summary);
    summary
}

/// The requests that were wanted after the warm-up.
fn warmed_up(record: &RunRecord) -> impl Iterator<Item = &Request> + Clone {
    let from = record.began_at + record.warm_up;
    let requests = record.requests.iter();
    requests.filter(move |request| request.due >= from)
}

fn kind_row(requests: &[Request], kind: Kind) -> Option<KindRow> {
    let mut row = KindRow {
        kind,
        total: 0,
        bytes: 0,
        words: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        statuses: BTreeMap::new(),
    };
    for request in requests
        .iter()
        .filter(|request| request.object.kind() == kind)
    {
        row.total += 1;
        row.bytes += request.bytes;
        *row.words.entry(request.word).or_default() += 1;
        *row.outcomes.entry(request.outcome).or_default() += 1;
        *row.statuses.entry(request.status).or_default() += 1;
    }
    (row.total > 0).then_some(row)
}

fn origin(
    record: &RunRecord,
    hits: &OriginHits,
    edges: &EdgeCounts,
    keys: &BTreeMap<Key, KeyLog>,
    ahead: &BTreeSet<Ahead>,
    totals: &Totals,
    fetch: Option<Duration>,
) -> Origin {
    let segments: BTreeSet<_> = keys.keys().map(|key| (key.rendition, key.number)).collect();
    let ratio = |part: u64, whole: u64| match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    };
    let counted = |figure: f64| (!hits.uncounted).then_some(figure);
    let all_hits = hits.segment + hits.media_playlist + hits.multivariant + hits.other;
    let fetched_ahead = match record.miss_queue {
        // Without the queue a viewer's request does not join a prefetch, so each prefetch is a request more.
        MissQueue::Off => edges.segment_prefetches,
        MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms => ahead.len() as u64,
    };
    let beside_log = edges.segment_retries + fetched_ahead;
    let per_key = per_key(record, hits, edges, keys, ahead);
    Origin {
        measured: hits.clone(),
        predicted: (totals.hits.0 + beside_log, totals.hits.1 + beside_log),
        terms: terms(record.miss_queue, edges, fetched_ahead, totals),
        not_binding: not_binding(record, hits, edges, totals),
        segments_off: per_key.map(|(off, _)| off),
        most_per_key: per_key.map(|(_, most)| most),
        keys: totals.keys,
        segments: segments.len() as u64,
        before_first_answer: totals.before_first_answer,
        expected_uncollapsed: totals.expected_uncollapsed,
        fetch_ms: fetch.map(|fetch| fetch.as_secs_f64() * 1e3),
        window_ms: record.segment_duration.as_secs_f64() * 1e3,
        expected_media_playlists: edges
            .playlist_lifetime
            .map(|lifetime| expected_playlists(record, lifetime, fetch.unwrap_or_default())),
        shed_share: counted(ratio(hits.shed, all_hits)),
        shed_share_expected: record
            .capacity
            .and_then(|capacity| predict::shed_share(&record.levels, capacity)),
        offload: counted(1.0 - ratio(all_hits, record.requests.len() as u64)),
        offload_segments: counted(1.0 - ratio(hits.segment, totals.asked)),
        amplification: counted(ratio(hits.segment, totals.keys)),
        excess: counted(ratio(hits.segment, segments.len() as u64)),
    }
}

/// A segment that a group has prefetched: group, rendition, number.
type Ahead = (u32, String, u64);

/// Prefetched segments that no viewer of the group has asked for. A segment that one edge prefetched in vain may have been
/// asked for at another edge of its group.
fn ahead(record: &RunRecord, edges: &EdgeCounts, keys: &BTreeMap<Key, KeyLog>) -> BTreeSet<Ahead> {
    let unasked = edges.unasked.iter().map(|unasked| {
        let group = edges.askers.group_of(unasked.edge);
        (group, unasked.rendition.clone(), unasked.number)
    });
    unasked
        .filter(|(group, name, number)| {
            let rendition = record.renditions.iter().position(|known| known == name);
            rendition.is_none_or(|rendition| {
                !keys.contains_key(&Key {
                    group: *group,
                    rendition: rendition as u32,
                    number: *number,
                })
            })
        })
        .collect()
}

/// The terms of the prediction, by name.
fn terms(
    miss_queue: MissQueue,
    edges: &EdgeCounts,
    fetched_ahead: u64,
    totals: &Totals,
) -> Vec<Term> {
    let distinct = if edges.askers.shielded {
        "distinct (group of shields, rendition, number) asked for"
    } else {
        "distinct (edge, rendition, number) asked for"
    };
    let term = |count, what: &str| Term {
        count,
        what: what.to_owned(),
    };
    let mut terms = match miss_queue {
        MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms => vec![
            term(totals.hits.0 - totals.misses_failed, distinct),
            term(totals.misses_failed, "fetches that failed"),
        ],
        MissQueue::Off => vec![term(
            totals.hits.0,
            "requests that came before their edge had the segment",
        )],
    };
    terms.push(term(edges.segment_retries, "retries of the edges"));
    terms.push(term(
        fetched_ahead,
        match miss_queue {
            MissQueue::Off => "prefetches",
            _ => "fetched ahead and never asked for",
        },
    ));
    terms
}

/// Why the log cannot say exactly how many requests the origin must have had.
fn not_binding(
    record: &RunRecord,
    hits: &OriginHits,
    edges: &EdgeCounts,
    totals: &Totals,
) -> Option<String> {
    if record.interrupted {
        return Some("the run was interrupted".to_owned());
    }
    if record.requests_unlogged > 0 {
        return Some(format!(
            "{} requests were beyond the bound of the log",
            record.requests_unlogged
        ));
    }
    if edges.caches == Caches::Unknown {
        return Some("it is unknown what the caches held at the start".to_owned());
    }
    if hits.uncounted {
        return Some("the origin's hits were not counted".to_owned());
    }
    if let Some(struck) = &edges.struck {
        return Some(struck.clone());
    }
    if record.miss_queue == MissQueue::Off && edges.askers.shielded {
        return Some("without the queue the shields' own caches answer an unknown part".to_owned());
    }
    let others = edges
        .segment_requests
        .map_or(0, |seen| seen.saturating_sub(totals.asked));
    (others > 0).then(|| format!("other clients asked the edges for segments, {others} times"))
}

/// From the origin's own list: number of segments that differ from their prediction, and the highest number of hits for one
/// key.
fn per_key(
    record: &RunRecord,
    hits: &OriginHits,
    edges: &EdgeCounts,
    keys: &BTreeMap<Key, KeyLog>,
    ahead: &BTreeSet<Ahead>,
) -> Option<(u64, u64)> {
    if edges.askers.group_of_edge.len() != record.targets.len()
        || (hits.segments.is_empty() && hits.segment > 0)
    {
        return None;
    }
    // The shields of a group ask for the group together, so their hits are added up.
    let mut asked: BTreeMap<(Option<u32>, &str, u64), u64> = BTreeMap::new();
    for segment in &hits.segments {
        let group = edges.askers.group_of_client.get(&segment.client).copied();
        let key = (group, segment.rendition.as_str(), segment.number);
        *asked.entry(key).or_default() += segment.hits;
    }
    let mut unseen: BTreeSet<Key> = keys.keys().copied().collect();
    let prefetches = record.miss_queue == MissQueue::Off && edges.segment_prefetches > 0;
    let (mut off, mut most) = (0, 0);
    for ((group, name, number), hits) in asked {
        most = most.max(hits);
        let rendition = record.renditions.iter().position(|known| known == name);
        let key = group.zip(rendition).map(|(group, rendition)| Key {
            group,
            rendition: rendition as u32,
            number,
        });
        let fetched_ahead =
            group.is_some_and(|group| ahead.contains(&(group, name.to_owned(), number)));
        let expected = key
            .inspect(|key| {
                unseen.remove(key);
            })
            .and_then(|key| keys.get(&key))
            .map_or((0, 0), |log| log.hits(record.miss_queue));
        let expected = match (fetched_ahead, prefetches) {
            (true, _) => (1, 1),
            // Which segments were prefetched beside the viewers' own requests is known only in sum.
            (false, true) => (expected.0, expected.1 + 1),
            (false, false) => expected,
        };
        off += u64::from(!(expected.0..=expected.1).contains(&hits));
    }
    off += unseen
        .iter()
        .filter(|key| keys[key].hits(record.miss_queue).0 > 0)
        .count() as u64;
    // Only the total number of retries is known: up to this many keys may differ for this reason, and one key may differ by
    // this number.
    let retries = edges.segment_retries;
    let most = most.saturating_sub(retries).max(most.min(1));
    Some((off.saturating_sub(retries), most))
}

/// The closed form for each (edge, rendition)'s media playlist, summed.
fn expected_playlists(record: &RunRecord, lifetime: Duration, fetch: Duration) -> f64 {
    let mut asked: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for request in &record.requests {
        if let Object::MediaPlaylist { rendition } = request.object {
            *asked.entry((request.edge, rendition)).or_default() += 1;
        }
    }
    let elapsed_s = record.elapsed.as_secs_f64();
    asked
        .values()
        .map(|&requests| {
            let demand = Demand {
                rate_per_s: requests as f64 / elapsed_s,
                fetch,
                lifetime,
            };
            elapsed_s
                * match record.miss_queue {
                    MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms => {
                        demand.origin_rate_collapsed()
                    }
                    MissQueue::Off => demand.origin_rate_uncollapsed(),
                }
        })
        .sum()
}

/// How long each request that waited for the fetch of another request took, from when it was sent; the shortest first.
fn waits(record: &RunRecord) -> Vec<Duration> {
    let waited = record
        .requests
        .iter()
        .filter(|request| request.word == ResultWord::Collapsed);
    let mut waits: Vec<_> = waited
        .map(|request| request.finished.since(request.sent))
        .collect();
    waits.sort_unstable();
    waits
}

fn waiters(
    miss_queue: MissQueue,
    edges: &EdgeCounts,
    totals: &Totals,
    waits: &[Duration],
) -> Waiters {
    let quantile = |share: f64| experience::quantile(waits, share).map(|seconds| seconds * 1e3);
    let per_flight = |count: f64| match (miss_queue, totals.keys) {
        (MissQueue::Off, _) | (_, 0) => 0.0,
        (_, keys) => count / keys as f64,
    };
    Waiters {
        peak: edges.waiters_peak,
        collapsed_most: totals.collapsed_most,
        mean: per_flight(totals.collapsed as f64),
        expected_mean: per_flight(totals.expected_uncollapsed - totals.keys as f64),
        waited: waits.len() as u64,
        wait_p50_ms: quantile(0.5),
        wait_p95_ms: quantile(0.95),
        wait_max_ms: quantile(1.0),
    }
}

/// Lag and processor time above which a generator's figures say more about itself than about the edges.
const LAG_P99_MAX_MS: f64 = 20.0;
const CPU_SHARE_MAX: f64 = 0.85;

fn generator_faults(record: &RunRecord) -> Vec<String> {
    let mut faults = Vec::new();
    let figures = &record.generator;
    if figures.lag_p99_ms > LAG_P99_MAX_MS {
        faults.push(format!(
            "its wake-ups were late: p99 {:.1} ms, more than {LAG_P99_MAX_MS} ms",
            figures.lag_p99_ms
        ));
    }
    if let Some(cpu) = figures.cpu
        && cpu.process != Process::SharedWithServers
        && cpu.share > CPU_SHARE_MAX
    {
        faults.push(format!(
            "it took {:.0} % of the processors, more than {:.0} %",
            cpu.share * 100.0,
            CPU_SHARE_MAX * 100.0
        ));
    }
    if record.viewers_dropped > 0 {
        faults.push(format!(
            "{} viewers could not be started in time",
            record.viewers_dropped
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::counts::{Askers, SegmentHits};
    use super::super::distributions::Distributions;
    use super::super::headline;
    use super::super::predict::tests::request;
    use super::super::record::{Generator, HeldAgainst};
    use super::super::text;
    use super::super::thresholds::Ruling;
    use super::*;
    use crate::time::Timestamp;
    use crate::time::UnixTime;

    /// Two edges, three segments at one edge and one at the other; the second request for segment 7 waits.
    fn record(miss_queue: MissQueue) -> RunRecord {
        let second = match miss_queue {
            MissQueue::Off => ResultWord::Miss,
            _ => ResultWord::Collapsed,
        };
        RunRecord {
            scenario: "test".to_owned(),
            seed: 1,
            miss_queue,
            targets: vec!["http://127.0.0.1:1".to_owned(); 2],
            renditions: vec!["180p".to_owned()],
            segment_duration: Duration::from_millis(2_880),
            held_against: HeldAgainst::Channel,
            foreign: None,
            last_mile_median_bps: None,
            began: UnixTime::from_millis(0),
            began_at: Timestamp::ZERO,
            elapsed: Duration::from_secs(10),
            requests: vec![
                request(0, 7, 0, 52, ResultWord::Miss),
                request(0, 7, 10, 53, second),
                request(0, 7, 100, 101, ResultWord::Hit),
                request(0, 8, 2_000, 2_052, ResultWord::Miss),
                request(1, 7, 30, 82, ResultWord::Miss),
            ],
            requests_unlogged: 0,
            viewers: Vec::new(),
            viewers_scheduled: 0,
            viewers_dropped: 0,
            warm_up: Duration::ZERO,
            phases: Vec::new(),
            faults: Vec::new(),
            levels: Vec::new(),
            capacity: None,
            headline: Vec::new(),
            settings: Vec::new(),
            scenario_text: None,
            generator: Generator::default(),
            likes: None,
            interrupted: false,
        }
    }

    fn hits(of: &[(&str, u64, u64)]) -> OriginHits {
        OriginHits {
            segment: of.iter().map(|(_, _, hits)| hits).sum(),
            segments: of
                .iter()
                .map(|&(client, number, hits)| SegmentHits {
                    client: client.to_owned(),
                    rendition: "180p".to_owned(),
                    number,
                    hits,
                })
                .collect(),
            ..OriginHits::default()
        }
    }

    fn edges() -> EdgeCounts {
        EdgeCounts {
            askers: Askers::edges(["edge-1", "edge-2"].map(str::to_owned)),
            ..EdgeCounts::default()
        }
    }

    fn summary(record: &RunRecord, hits: &OriginHits, edges: &EdgeCounts) -> Summary {
        let thresholds = Thresholds {
            origin_hits_exact: true,
            bytes_wrong_max: Some(0),
            fatal_max: 0,
            start_failures_max: 0,
            playlists_went_back_max: 0,
            stalled_share_max: 0.0,
            flights: Some(Box::new(Thresholds {
                origin_hits_per_object_max: 1,
                ..Thresholds::default()
            })),
            ..Thresholds::default()
        };
        summarize(record, hits, edges, &thresholds)
    }

    fn failed(summary: &Summary) -> usize {
        let checks = summary.checks.iter();
        checks.filter(|check| check.ruling == Ruling::Fail).count()
    }

    #[test]
    fn hits_that_equal_the_prediction_pass() {
        let once = hits(&[("edge-1", 7, 1), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let summary = summary(&record(MissQueue::Flights), &once, &edges());
        assert_eq!(summary.verdict, Verdict::Pass, "{:?}", summary.checks);
        assert_eq!(summary.origin.predicted, (3, 3));
        assert_eq!(summary.origin.most_per_key, Some(1));
        assert!(headline::headline(&summary).contains("exactly the 3 predicted"));
    }

    #[test]
    fn one_hit_too_many_fails_with_the_queue_and_is_right_without() {
        let twice = hits(&[("edge-1", 7, 2), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let with = summary(&record(MissQueue::Flights), &twice, &edges());
        assert_eq!(with.verdict, Verdict::Fail);
        assert_eq!(failed(&with), 3);
        let without = summary(&record(MissQueue::Off), &twice, &edges());
        assert_eq!(without.verdict, Verdict::Pass, "{:?}", without.checks);
        assert_eq!(without.origin.before_first_answer, 4);
    }

    #[test]
    fn a_right_sum_of_wrong_parts_is_noticed() {
        let shifted = hits(&[("edge-1", 7, 2), ("edge-1", 8, 1)]);
        let summary = summary(&record(MissQueue::Flights), &shifted, &edges());
        assert_eq!(summary.origin.segments_off, Some(2));
        assert_eq!(summary.verdict, Verdict::Fail);
    }

    #[test]
    fn what_the_log_cannot_know_is_not_judged() {
        let one_more = hits(&[
            ("edge-1", 7, 1),
            ("edge-1", 8, 1),
            ("edge-2", 7, 1),
            ("edge-2", 8, 1),
        ]);
        let mut watched = edges();
        watched.segment_requests = Some(6);
        let summary = summary(&record(MissQueue::Flights), &one_more, &watched);
        assert_eq!(failed(&summary), 0);
        let why = summary.origin.not_binding.unwrap();
        assert_eq!(why, "other clients asked the edges for segments, 1 times");
    }

    #[test]
    fn a_prediction_says_that_full_caches_make_it_too_low_unless_it_is_to_be_exact() {
        let twice = hits(&[("edge-1", 7, 2), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let full = EdgeCounts {
            evicted: 3,
            ..edges()
        };
        let strict = summary(&record(MissQueue::Flights), &twice, &full);
        assert_eq!(
            (strict.verdict, strict.origin.not_binding),
            (Verdict::Fail, None)
        );
        let loose = Thresholds::default();
        let loose = summarize(&record(MissQueue::Flights), &twice, &full, &loose);
        assert!(headline::headline(&loose).contains("let 3 objects go"));
    }

    #[test]
    fn a_late_generator_makes_a_run_invalid() {
        let once = hits(&[("edge-1", 7, 1), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let mut record = record(MissQueue::Flights);
        record.generator.lag_p99_ms = 20.1;
        let summary = summary(&record, &once, &edges());
        assert_eq!(summary.verdict, Verdict::Invalid);
    }

    #[test]
    fn a_summary_survives_json() {
        let once = hits(&[("edge-1", 7, 1), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let summary = summary(&record(MissQueue::Flights), &once, &edges());
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }

    #[test]
    fn a_summary_that_was_written_before_its_newer_parts_can_be_read() {
        let once = hits(&[("edge-1", 7, 1), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let summary = summary(&record(MissQueue::Flights), &once, &edges());
        let mut json = serde_json::to_value(&summary).unwrap();
        for newer in ["phases", "edges", "faults", "distributions", "likes"] {
            json.as_object_mut().unwrap().remove(newer).unwrap();
        }
        let read: Summary = serde_json::from_value(json).unwrap();
        assert_eq!(read.origin, summary.origin);
        assert_eq!(read.distributions, Distributions::default());
    }

    #[test]
    fn the_report_keeps_to_its_width_and_colours_only_when_asked() {
        let once = hits(&[("edge-1", 7, 1), ("edge-1", 8, 1), ("edge-2", 7, 1)]);
        let summary = summary(&record(MissQueue::Flights), &once, &edges());
        let page = |width, ink| text::render(&summary, text::Page { width, ink });
        for width in [80, 100, 120] {
            let text = page(width, text::Ink::Plain);
            assert!(!text.contains('\x1b'));
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(usize::from(width)), "{widest:?}\n{text}");
        }
        assert!(page(80, text::Ink::Coloured).contains("\x1b["));
    }
}
