//! What a replay counted becomes its report.

use super::classes::Class;
use super::engine::{Counts, Queue, Setup, Tally};
use super::trace::{Format, LineCounts};
use crate::policy::status::MissQueue;
use crate::report::replay as report;
use crate::report::replay::ReplaySummary;
use crate::time::Timestamp;

/// Where the requests came from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// Its format.
    pub format: Format,
    /// Its lines.
    pub lines: LineCounts,
    /// Whether it was read to its end.
    pub end: End,
}

/// How far a trace was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To its end.
    Reached,
    /// Until the user interrupted.
    Interrupted,
}

/// The report of a replay.
pub fn summary(source: Source<'_>, setup: &Setup, tally: &Tally) -> ReplaySummary {
    let settings = settings(setup);
    let requests = requests(tally);
    let origin = origin(tally);
    let cache = report::Cache {
        objects: tally.stored,
        bytes: tally.stored_bytes,
        evictions: tally.evictions,
        evicted_bytes: tally.evicted_bytes,
        too_large: tally.too_large,
        too_large_fetches: tally.too_large_fetches,
    };
    let finding = report::finding(settings.miss_queue, &requests, &origin, &cache);
    ReplaySummary {
        partial: source.end == End::Interrupted,
        trace: trace(source, tally),
        settings,
        requests,
        classes: classes(tally),
        origin,
        added_latency: added_latency(tally),
        over_time: over_time(tally),
        cache,
        finding,
    }
}

fn settings(setup: &Setup) -> report::Settings {
    report::Settings {
        cache_bytes: setup.cache_bytes,
        policy: setup.policy.word(),
        miss_queue: match setup.queue {
            Queue::Waits => MissQueue::Flights,
            Queue::Fetches => MissQueue::Off,
        },
        origin_ms: setup.latency.as_secs_f64() * 1e3,
        fresh_s: setup.fresh.map(|fresh| fresh.as_secs_f64()),
    }
}

fn trace(source: Source<'_>, tally: &Tally) -> report::TraceFacts {
    let (first, last) = tally.span.unwrap_or_default();
    let lines = source.lines;
    report::TraceFacts {
        file: source.file.to_owned(),
        format: source.format.word(),
        lines: lines.read,
        lines_bad: lines.bad,
        skipped_not_get: lines.not_get,
        skipped_status: lines.other_status,
        reordered: lines.reordered,
        keys: tally.keys,
        first_s: first.since(Timestamp::ZERO).as_secs_f64(),
        last_s: last.since(Timestamp::ZERO).as_secs_f64(),
        span_s: last.since(first).as_secs_f64(),
    }
}

fn requests(tally: &Tally) -> report::Requests {
    let counts = tally.counts();
    let all = counts.requests();
    let share = |part: u64| (all > 0).then(|| part as f64 / all as f64);
    let kept = counts.hit_bytes + counts.delayed_hit_bytes;
    let bytes = counts.bytes();
    report::Requests {
        all,
        hits: counts.hits,
        delayed_hits: counts.delayed_hits,
        misses: counts.misses,
        expired: counts.expired,
        hit_share: share(counts.hits),
        delayed_hit_share: share(counts.delayed_hits),
        miss_share: share(counts.misses),
        size_changed: tally.size_changed,
        bytes,
        hit_bytes: counts.hit_bytes,
        delayed_hit_bytes: counts.delayed_hit_bytes,
        origin_bytes: counts.miss_bytes,
        byte_hit_share: (bytes > 0).then(|| kept as f64 / bytes as f64),
    }
}

/// Every class, if at least one key looks like HLS.
fn classes(tally: &Tally) -> Vec<report::Class> {
    let of_hls = Class::ALL.into_iter().zip(&tally.classes);
    let mut of_hls = of_hls.filter(|(class, _)| *class != Class::Other);
    if of_hls.all(|(_, counts)| counts.requests() == 0) {
        return Vec::new();
    }
    let class = |(class, counts): (Class, &Counts)| report::Class {
        class: class.word(),
        requests: counts.requests(),
        hits: counts.hits,
        delayed_hits: counts.delayed_hits,
        misses: counts.misses,
        expired: counts.expired,
        bytes: counts.bytes(),
        origin_bytes: counts.miss_bytes,
    };
    Class::ALL
        .into_iter()
        .zip(&tally.classes)
        .map(class)
        .collect()
}

fn origin(tally: &Tally) -> report::Origin {
    let requests = tally.counts().misses;
    let span = tally.span.map(|(first, last)| last.since(first));
    let span = span.filter(|span| !span.is_zero());
    let most = tally.origin.most();
    report::Origin {
        requests,
        requests_beside: tally.beside,
        per_second_mean: span.map(|span| requests as f64 / span.as_secs_f64()),
        per_second_max: most.map_or(0, |(most, _)| most),
        per_second_max_at_s: most.map(|(_, second)| second),
    }
}

fn added_latency(tally: &Tally) -> report::AddedLatency {
    let waits = &tally.waits;
    let ms = |nanos: Option<f64>| nanos.map(|nanos| nanos / 1e6);
    report::AddedLatency {
        mean_ms: ms(waits.mean_nanos()),
        p50_ms: ms(waits.percentile_nanos(50)),
        p95_ms: ms(waits.percentile_nanos(95)),
        p99_ms: ms(waits.percentile_nanos(99)),
        max_ms: ms(waits.max_nanos()),
        waited_mean_ms: ms(waits.waited_mean_nanos()),
        delayed_hits_mean_ms: ms(waits.delayed_mean_nanos()),
        distribution: waits
            .shares()
            .into_iter()
            .map(|(nanos, share)| report::AtMost {
                at_most_ms: nanos / 1e6,
                share,
            })
            .collect(),
    }
}

fn over_time(tally: &Tally) -> report::OverTime {
    let series = &tally.series;
    let buckets = series.buckets().iter();
    report::OverTime {
        from_s: series.first_second(),
        bucket_s: series.width_s(),
        requests: buckets.clone().map(|bucket| bucket.requests).collect(),
        origin_requests: buckets.map(|bucket| bucket.origin).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::html;
    use crate::report::text::Page;
    use crate::sim::lru::Policy;
    use crate::sim::replay::engine::{Replay, Sizes};
    use crate::sim::replay::trace::Request;

    fn replayed(queue: Queue, requests: &[(u64, &str, u64)]) -> ReplaySummary {
        let setup = Setup {
            cache_bytes: 1_000,
            policy: Policy::Lru,
            latency: Duration::from_millis(50),
            fresh: None,
            queue,
            sizes: Sizes::Whole,
        };
        let mut replay = Replay::new(setup);
        for (millis, key, size) in requests {
            let request = Request {
                time: Timestamp::from_nanos(millis * 1_000_000),
                key: key.as_bytes(),
                size: *size,
            };
            replay.on_request(&request).unwrap();
        }
        let source = Source {
            file: "a.csv",
            format: Format::Csv,
            lines: LineCounts::default(),
            end: End::Reached,
        };
        summary(source, &setup, &replay.finish())
    }

    const HERD: [(u64, &str, u64); 5] = [
        (900, "/1.ts", 100),
        (910, "/1.ts", 100),
        (920, "/1.ts", 100),
        (1_100, "/1.ts", 100),
        (2_900, "/m.m3u8", 10),
    ];

    #[test]
    fn a_herd_is_summed_up() {
        let summary = replayed(Queue::Waits, &HERD);
        let requests = &summary.requests;
        assert_eq!(
            (requests.hits, requests.delayed_hits, requests.misses),
            (1, 2, 2)
        );
        assert_eq!(requests.byte_hit_share, Some(300.0 / 410.0));
        assert_eq!(summary.origin.per_second_mean, Some(1.0));
        assert_eq!(
            (
                summary.origin.per_second_max,
                summary.origin.per_second_max_at_s
            ),
            (1, Some(0))
        );
        assert_eq!(summary.added_latency.mean_ms, Some((100 + 70) as f64 / 5.0));
        assert_eq!(summary.added_latency.distribution[0].share, 1.0 / 5.0);
        let over_time = &summary.over_time;
        assert_eq!((over_time.from_s, over_time.bucket_s), (0, 1));
        assert_eq!(over_time.requests, [3, 1, 1]);
        assert_eq!(over_time.origin_requests, [1, 0, 1]);
        assert_eq!(summary.added_latency.delayed_hits_mean_ms, Some(35.0));
        let classes: Vec<_> = summary.classes.iter().map(|class| class.requests).collect();
        assert_eq!(classes, [1, 4, 0]);
        assert_eq!(
            summary.finding,
            "The miss queue kept 2 of 4 requests for missing objects away from the origin. \
             The cache never filled, so a larger one would change nothing."
        );
        let screen = report::screen(&summary, Page::default());
        assert!(
            screen.trim_end().ends_with("would change nothing."),
            "{screen}"
        );
    }

    #[test]
    fn without_the_queue_the_finding_recommends_it() {
        let summary = replayed(Queue::Fetches, &HERD);
        assert_eq!(
            (summary.origin.requests, summary.origin.requests_beside),
            (4, 2)
        );
        assert!(
            summary
                .finding
                .starts_with("Of 4 origin requests 2 asked for an object"),
            "{}",
            summary.finding
        );
    }

    #[test]
    fn the_page_has_the_news_the_charts_and_the_settings_and_loads_nothing() {
        let mut summary = replayed(Queue::Waits, &HERD);
        summary.trace.file = "<script src=x>.csv".to_owned();
        let page = html::replay(&summary);
        let mut from = 0;
        for landmark in [
            "&lt;script src=x&gt;.csv",
            "Of 5 requests 2 went to the origin (40.00 %): 1 found their object in the cache, and 2 waited",
            "The miss queue kept 2 of 4",
            "Requests per minute, log scale; a step is one second",
            "<svg ",
            "Added latency",
            "<svg ",
            "delayed hits (collapsed)",
            "playlists",
            "--cache-bytes",
            "What the figures do not say",
        ] {
            let found = page[from..].find(landmark);
            from += found.unwrap_or_else(|| panic!("{landmark} is not where it belongs"));
        }
        for asks in [
            "<script",
            "url(",
            "@import",
            "href=\"http",
            "Partial",
            "NaN",
        ] {
            assert!(!page.contains(asks), "{asks}");
        }
    }

    #[test]
    fn the_page_of_a_replay_without_a_request_says_so() {
        let mut summary = replayed(Queue::Fetches, &[]);
        summary.partial = true;
        let page = html::replay(&summary);
        assert!(page.contains("No request was replayed.") && page.contains("Partial: "));
        assert!(!page.contains("<svg ") && !page.contains("NaN"));
    }

    #[test]
    fn keys_that_are_not_of_hls_have_no_classes_and_one_instant_no_rate() {
        let summary = replayed(Queue::Waits, &[(5, "a", 0), (5, "b", 0)]);
        assert!(summary.classes.is_empty());
        assert_eq!(summary.origin.per_second_mean, None);
        assert_eq!(summary.requests.byte_hit_share, None);
        assert!(serde_json::to_string(&summary).is_ok());
        assert!(report::screen(&summary, Page::default()).contains("- on average"));
    }
}
