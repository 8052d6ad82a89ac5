//! What a replayed trace would have cost: the figures, the screen, and a sentence that says what was found.

pub(super) mod figures;

use serde::Serialize;

use super::headline::count;
use super::page::Page;
use super::tables::{Cell, Table};
use super::text;
use super::thresholds::grouped;
use crate::policy::status::MissQueue;

/// The result of a replay. Shares are from 0 to 1; a figure that is unknown is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplaySummary {
    /// Whether the replay was interrupted, so that the figures are of the part that was read.
    pub partial: bool,
    /// The lines.
    pub trace: TraceFacts,
    /// What the requests were sent through.
    pub settings: Settings,
    /// All requests.
    pub requests: Requests,
    /// Requests by class of object; empty if no key looks like HLS.
    pub classes: Vec<Class>,
    /// Requests at the origin.
    pub origin: Origin,
    /// The latency that the cache added.
    pub added_latency: AddedLatency,
    /// Requests over the trace's time.
    pub over_time: OverTime,
    /// What the cache kept.
    pub cache: Cache,
    /// What was found, in a sentence.
    pub finding: String,
}

/// Facts of the trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceFacts {
    /// Its name.
    pub file: String,
    /// Its format.
    pub format: &'static str,
    /// Lines that were read.
    pub lines: u64,
    /// Lines that could not be read.
    pub lines_bad: u64,
    /// Requests of another method than GET; they do not count.
    pub skipped_not_get: u64,
    /// Requests that were answered with another status than 200, 206 or 304; they do not count.
    pub skipped_status: u64,
    /// Requests that stood behind a later one, and count as of its time.
    pub reordered: u64,
    /// Distinct keys.
    pub keys: u64,
    /// The time of the first request, in seconds of the trace's time.
    pub first_s: f64,
    /// The time of the last one.
    pub last_s: f64,
    /// Seconds between both.
    pub span_s: f64,
}

/// What the requests were sent through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The size of the cache.
    pub cache_bytes: u64,
    /// Which object leaves it.
    pub policy: &'static str,
    /// What happens to a request for an object that is being fetched.
    pub miss_queue: MissQueue,
    /// How long a fetch takes.
    pub origin_ms: f64,
    /// How long an object is fresh; `None`: for ever.
    pub fresh_s: Option<f64>,
}

/// Requests, by how they were served.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requests {
    /// All of them.
    pub all: u64,
    /// Those served from the cache.
    pub hits: u64,
    /// Those that waited for the fetch of another request.
    pub delayed_hits: u64,
    /// Those that began a fetch.
    pub misses: u64,
    /// Misses that found a stale object.
    pub expired: u64,
    /// Hits of all requests.
    pub hit_share: Option<f64>,
    /// Delayed hits of all requests.
    pub delayed_hit_share: Option<f64>,
    /// Misses of all requests.
    pub miss_share: Option<f64>,
    /// Hits and delayed hits whose own size was not that of the object.
    pub size_changed: u64,
    /// Bytes of all requests.
    pub bytes: u128,
    /// Bytes of hits.
    pub hit_bytes: u128,
    /// Bytes of delayed hits.
    pub delayed_hit_bytes: u128,
    /// Bytes of misses.
    pub origin_bytes: u128,
    /// Bytes that did not come from the origin, of all bytes.
    pub byte_hit_share: Option<f64>,
}

/// Requests for objects of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// The class.
    pub class: &'static str,
    /// Its requests.
    pub requests: u64,
    /// See [`Requests::hits`].
    pub hits: u64,
    /// See [`Requests::delayed_hits`].
    pub delayed_hits: u64,
    /// See [`Requests::misses`].
    pub misses: u64,
    /// See [`Requests::expired`].
    pub expired: u64,
    /// Bytes of its requests.
    pub bytes: u128,
    /// Bytes of its misses.
    pub origin_bytes: u128,
}

/// Requests at the origin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// All of them: one for each miss.
    pub requests: u64,
    /// Those for an object that was being fetched already; 0 with the miss queue.
    pub requests_beside: u64,
    /// Per second, from the first request of the trace to the last; `None` if all came at one instant.
    pub per_second_mean: Option<f64>,
    /// The most in one second that begins at a whole second of the trace's time.
    pub per_second_max: u64,
    /// The first such second.
    pub per_second_max_at_s: Option<u64>,
}

/// The latency that the cache added: nothing for a hit, the rest of a fetch for a delayed hit, the whole fetch for a miss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddedLatency {
    /// Of all requests.
    pub mean_ms: Option<f64>,
    /// Half of all requests wait no longer.
    pub p50_ms: Option<f64>,
    /// 95 of a hundred wait no longer.
    pub p95_ms: Option<f64>,
    /// 99 of a hundred wait no longer.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// The mean of those that waited: delayed hits and misses.
    pub waited_mean_ms: Option<f64>,
    /// The mean of delayed hits.
    pub delayed_hits_mean_ms: Option<f64>,
    /// Shares of all requests, from no wait to a whole fetch.
    pub distribution: Vec<AtMost>,
}

/// The share of all requests that wait no longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtMost {
    /// Than so long.
    pub at_most_ms: f64,
    /// From 0 to 1.
    pub share: f64,
}

/// Requests over the trace's time, in buckets one after another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverTime {
    /// The whole second in which the first bucket begins.
    pub from_s: u64,
    /// The width of a bucket: a power of two, so that there are at most 600.
    pub bucket_s: u64,
    /// Requests in each bucket.
    pub requests: Vec<u64>,
    /// Those that went to the origin.
    pub origin_requests: Vec<u64>,
}

/// What the cache kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cache {
    /// Objects at the end.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that left because the cache was full.
    pub evictions: u64,
    /// Their bytes.
    pub evicted_bytes: u128,
    /// Distinct keys that had an object larger than the cache.
    pub too_large: u64,
    /// Fetches of such objects, which were not kept.
    pub too_large_fetches: u64,
}

/// The sentence about a replay.
pub(crate) fn finding(
    queue: MissQueue,
    requests: &Requests,
    origin: &Origin,
    cache: &Cache,
) -> String {
    if requests.all == 0 {
        return "No request was replayed.".to_owned();
    }
    let missing = requests.delayed_hits + requests.misses;
    let first = match queue {
        MissQueue::Off if origin.requests_beside > 0 => format!(
            "Of {} {} asked for an object that was being fetched already: the miss queue is there to keep those away from the origin \
             (--miss-queue flights).",
            count(origin.requests, "origin request"),
            grouped(origin.requests_beside),
        ),
        MissQueue::Off => {
            "No request came while its object was being fetched: the miss queue would change nothing.".to_owned()
        }
        _ if requests.delayed_hits > 0 => format!(
            "The miss queue kept {} of {} for missing objects away from the origin.",
            grouped(requests.delayed_hits),
            count(missing, "request"),
        ),
        _ if requests.misses > 0 => {
            "No request came while its object was being fetched: the miss queue had nothing to do.".to_owned()
        }
        _ => "Every request was a hit.".to_owned(),
    };
    match cache.evictions {
        0 if cache.too_large == 0 => {
            format!("{first} The cache never filled, so a larger one would change nothing.")
        }
        _ => first,
    }
}

/// The screen of a replay.
pub fn screen(summary: &ReplaySummary, page: Page) -> String {
    let mut text = page.wrap(&page.title(&title(summary)));
    if summary.partial {
        text += &format!("PARTIAL: {PARTIAL}\n");
    }
    text += &text::write(&requests(summary), page);
    if !summary.classes.is_empty() {
        text += &text::write(&classes(summary), page);
    }
    text += &page.lines(lines(summary));
    // The last line on a terminal is the first that is read.
    text += &page.wrap(&summary.finding);
    text
}

/// What is said of a replay that was interrupted.
pub(super) const PARTIAL: &str =
    "the replay was interrupted, and all figures are of the part that was read.";

/// The trace and what it was sent through, in one line.
pub(super) fn title(summary: &ReplaySummary) -> String {
    let (trace, set) = (&summary.trace, &summary.settings);
    format!(
        "{} · miss queue {} · {} of {} · origin {} ms · fresh {}",
        trace.file,
        set.miss_queue,
        set.policy.to_uppercase(),
        bytes(u128::from(set.cache_bytes)),
        set.origin_ms,
        fresh(set),
    )
}

fn fresh(settings: &Settings) -> String {
    match settings.fresh_s {
        Some(seconds) => format!("{seconds} s"),
        None => "for ever".to_owned(),
    }
}

/// The news of a replay, in one sentence.
pub(super) fn headline(summary: &ReplaySummary) -> String {
    let of = &summary.requests;
    if of.all == 0 {
        return "No request was replayed.".to_owned();
    }
    let waited = match summary.settings.miss_queue {
        MissQueue::Off => String::new(),
        _ => format!(
            ", and {} waited for the fetch of another",
            grouped(of.delayed_hits)
        ),
    };
    format!(
        "Of {} {} went to the origin ({}): {} found their object in the cache{waited}.",
        count(of.all, "request"),
        grouped(of.misses),
        share(of.misses as f64, of.all as f64),
        grouped(of.hits),
    )
}

/// What was counted, as tables.
pub(super) fn counted(summary: &ReplaySummary) -> [Table; 3] {
    let mut rest = Table::new("Beyond that", ["", ""]);
    // Latencies have a table of their own.
    let lines = lines(summary).into_iter();
    for (name, said) in lines.filter(|(name, _)| *name != "waiting") {
        rest.rows.push(vec![Cell::words(name), Cell::words(said)]);
    }
    [requests(summary), classes(summary), rest]
}

/// The added latency as a table.
pub(super) fn latencies(summary: &ReplaySummary) -> Table {
    let latency = &summary.added_latency;
    let mut table = Table::new("Added latency", ["", ""]);
    for (name, figure) in [
        ("all requests, mean", latency.mean_ms),
        ("p50", latency.p50_ms),
        ("p95", latency.p95_ms),
        ("p99", latency.p99_ms),
        ("at most", latency.max_ms),
        ("delayed hits and misses, mean", latency.waited_mean_ms),
        ("delayed hits, mean", latency.delayed_hits_mean_ms),
    ] {
        table
            .rows
            .push(vec![Cell::words(name), Cell::figure(ms(figure))]);
    }
    table
}

/// What the requests were sent through, as a table.
pub(super) fn settings(summary: &ReplaySummary) -> Table {
    let set = &summary.settings;
    let mut table = Table::new("Settings", ["", ""]);
    for (name, value) in [
        ("format", summary.trace.format.to_owned()),
        ("--cache-bytes", bytes(u128::from(set.cache_bytes))),
        ("--policy", set.policy.to_owned()),
        ("--miss-queue", set.miss_queue.to_string()),
        ("--origin-ms", format!("{} ms", set.origin_ms)),
        ("--fresh-s", fresh(set)),
    ] {
        table
            .rows
            .push(vec![Cell::words(name), Cell::figure(value)]);
    }
    table
}

/// An important figure of the page: its name, the figure, and what it says.
pub(super) type Tile = (&'static str, String, String);

/// The most important figures.
pub(super) fn tiles(summary: &ReplaySummary) -> [Tile; 6] {
    let (of, origin, latency) = (&summary.requests, &summary.origin, &summary.added_latency);
    let percent = |share: Option<f64>| {
        share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
    };
    let per_second = origin
        .per_second_mean
        .map_or_else(|| "-".to_owned(), rounded);
    [
        (
            "Requests at the origin",
            grouped(origin.requests),
            format!("of {} of viewers", count(of.all, "request")),
        ),
        (
            "Hits",
            percent(of.hit_share),
            "of all requests found a fresh object".to_owned(),
        ),
        (
            "Delayed hits",
            percent(of.delayed_hit_share),
            "of all requests waited for the fetch of another".to_owned(),
        ),
        (
            "Bytes",
            percent(of.byte_hit_share),
            format!("of {} did not come from the origin", bytes(of.bytes)),
        ),
        (
            "Origin, in one second",
            grouped(origin.per_second_max),
            format!("requests at most; {per_second} on average"),
        ),
        (
            "Added latency",
            ms(latency.mean_ms),
            format!(
                "on average; p95 {}, p99 {}, at most {}",
                ms(latency.p95_ms),
                ms(latency.p99_ms),
                ms(latency.max_ms)
            ),
        ),
    ]
}

/// What a replay cannot know.
pub(super) const LIMITS: [&str; 3] = [
    "Requests come when the trace says. No viewer leaves, waits or asks again because an answer was late.",
    "Every fetch takes the same time, and the origin never refuses: how it fares under that load is not modelled.",
    "There is one cache, and it was empty at the first request.",
];

fn requests(summary: &ReplaySummary) -> Table {
    let of = &summary.requests;
    let mut table = Table::new("Requests", ["", "requests", "share", "bytes", "share"]);
    let byte_share = |part: u128| share(part as f64, of.bytes as f64);
    for (name, requests, bytes_of) in [
        ("hits", of.hits, of.hit_bytes),
        (
            "delayed hits (collapsed)",
            of.delayed_hits,
            of.delayed_hit_bytes,
        ),
        ("misses", of.misses, of.origin_bytes),
        ("all", of.all, of.bytes),
    ] {
        table.rows.push(vec![
            Cell::words(name),
            Cell::figure(grouped(requests)),
            Cell::figure(share(requests as f64, of.all as f64)),
            Cell::figure(bytes(bytes_of)),
            Cell::figure(byte_share(bytes_of)),
        ]);
    }
    table
}

fn classes(summary: &ReplaySummary) -> Table {
    let mut table = Table::new(
        "Classes",
        [
            "",
            "requests",
            "hits",
            "delayed hits",
            "misses",
            "from the origin",
        ],
    );
    for class in summary.classes.iter().filter(|class| class.requests > 0) {
        table.rows.push(vec![
            Cell::words(class.class),
            Cell::figure(grouped(class.requests)),
            Cell::figure(grouped(class.hits)),
            Cell::figure(grouped(class.delayed_hits)),
            Cell::figure(grouped(class.misses)),
            Cell::figure(bytes(class.origin_bytes)),
        ]);
    }
    table
}

fn lines(summary: &ReplaySummary) -> Vec<(&'static str, String)> {
    let all = [
        ("trace", Some(trace(summary))),
        ("not read", not_read(&summary.trace)),
        ("expired", expired(&summary.requests)),
        ("sizes", sizes(&summary.requests)),
        ("origin", Some(origin(summary))),
        ("waiting", Some(waiting(&summary.added_latency))),
        ("cache", Some(cache(&summary.cache))),
    ];
    all.into_iter()
        .filter_map(|(name, said)| Some((name, said?)))
        .collect()
}

fn trace(summary: &ReplaySummary) -> String {
    let trace = &summary.trace;
    format!(
        "{} of {} read, {} for {} in {} s",
        count(trace.lines, "line"),
        trace.format,
        count(summary.requests.all, "request"),
        count(trace.keys, "distinct key"),
        rounded(trace.span_s),
    )
}

fn not_read(trace: &TraceFacts) -> Option<String> {
    let parts = [
        (trace.lines_bad, "lines could not be read"),
        (trace.skipped_not_get, "were no GET requests"),
        (
            trace.skipped_status,
            "were answered with a status other than 200, 206, 304",
        ),
        (
            trace.reordered,
            "came after a later one and count as of its time",
        ),
    ];
    told(&parts)
}

fn told(parts: &[(u64, &str)]) -> Option<String> {
    let told: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn expired(requests: &Requests) -> Option<String> {
    told(&[(
        requests.expired,
        "of the misses found an object that was no longer fresh",
    )])
}

fn sizes(requests: &Requests) -> Option<String> {
    told(&[(
        requests.size_changed,
        "requests told another size than the object had; it changes with the next fetch",
    )])
}

fn origin(summary: &ReplaySummary) -> String {
    let origin = &summary.origin;
    let mean = origin
        .per_second_mean
        .map_or_else(|| "-".to_owned(), |mean| format!("{}/s", rounded(mean)));
    let at = origin
        .per_second_max_at_s
        .map_or_else(String::new, |at| format!(" (from second {at})"));
    format!(
        "{}, {mean} on average, {} at most in a whole second{at}; {} of the {} for viewers did not come from it",
        count(origin.requests, "request"),
        grouped(origin.per_second_max),
        summary
            .requests
            .byte_hit_share
            .map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0)),
        bytes(summary.requests.bytes),
    )
}

/// Milliseconds, if they are known.
fn ms(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |ms| format!("{} ms", rounded(ms)))
}

fn waiting(latency: &AddedLatency) -> String {
    format!(
        "all requests: mean {}, p50 {}, p95 {}, p99 {}, at most {}; those that waited: mean {}, delayed hits alone: mean {}",
        ms(latency.mean_ms),
        ms(latency.p50_ms),
        ms(latency.p95_ms),
        ms(latency.p99_ms),
        ms(latency.max_ms),
        ms(latency.waited_mean_ms),
        ms(latency.delayed_hits_mean_ms),
    )
}

fn cache(cache: &Cache) -> String {
    let mut text = format!(
        "{} of {} at the end; {} of {}",
        count(cache.objects, "object"),
        bytes(u128::from(cache.bytes)),
        count(cache.evictions, "eviction"),
        bytes(cache.evicted_bytes),
    );
    if cache.too_large > 0 {
        text += &format!(
            "; {} larger than the cache, fetched {}",
            count(cache.too_large, "object"),
            match cache.too_large_fetches {
                1 => "once".to_owned(),
                times => format!("{} times", grouped(times)),
            },
        );
    }
    text
}

fn share(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.2} %", part / whole * 100.0),
        false => "-".to_owned(),
    }
}

/// Bytes with a unit of 1,024, such as `1.50 GiB`.
fn bytes(count: u128) -> String {
    const UNITS: [&str; 7] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"];
    if count < 1 << 10 {
        return format!("{count} B");
    }
    let mut size = count as f64;
    let mut unit = UNITS[0];
    for next in UNITS {
        unit = next;
        size /= 1_024.0;
        if size < 1_023.995 {
            break;
        }
    }
    format!("{size:.2} {unit}")
}

/// Three digits behind the point at most.
fn rounded(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.00 KiB"),
            (1_048_575, "1.00 MiB"),
            (256 << 20, "256.00 MiB"),
            (u128::from(u64::MAX), "16.00 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert!(bytes(u128::MAX).ends_with(" ZiB"));
        for (number, text) in [(0.0, "0"), (50.0, "50"), (0.1239, "0.124"), (100.0, "100")] {
            assert_eq!(rounded(number), text);
        }
        assert_eq!(share(1.0, 0.0), "-");
    }
}
