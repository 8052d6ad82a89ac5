//! Every metric that Seawall exposes: name, help, labels, buckets.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The full name, with its unit and `_total` where it counts.
    pub name: &'static str,
    /// One line on what it says.
    pub help: &'static str,
    /// Variable labels; their values are words of enums.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets; empty for counters and gauges.
    pub buckets: &'static [f64],
}

const fn plain(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric {
        name,
        help,
        labels,
        buckets: &[],
    }
}

const SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// For families with many series: from a hit to the deadlines of playlists (1 s) and segments (4 s).
const SECONDS_COARSE: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 4.0];
const WAKEUP_SECONDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25];
const STARTUP_SECONDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0];
const LATENCY_SECONDS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 60.0];
const WAITERS: &[f64] = &[0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0];

const OPERATIONS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0,
];

macro_rules! table {
    ($($constant:ident = $row:expr;)*) => {
        $(#[doc = concat!("See [`TABLE`]: `", stringify!($constant), "`.")] pub const $constant: Metric = $row;)*
        /// Every metric of Seawall.
        pub const TABLE: &[Metric] = &[$($constant),*];
    };
}

table! {
    EDGE_REQUESTS = plain("seawall_edge_requests_total", "Viewer requests by kind of object and by result.", &["kind", "result"]);
    EDGE_RESPONSES = plain("seawall_edge_responses_total", "Answers to viewers by class of status code.", &["code"]);
    EDGE_RESPONSE_BYTES = plain("seawall_edge_response_bytes_total", "Body bytes that answers to viewers announced.", &["kind"]);
    EDGE_REQUEST_SECONDS = Metric {
        name: "seawall_edge_request_duration_seconds",
        help: "From a viewer's request to the head of its answer, by how it was served.",
        labels: &["kind", "path"],
        buckets: SECONDS_COARSE,
    };
    EDGE_REQUESTS_INFLIGHT = plain("seawall_edge_requests_inflight", "Viewer requests whose answer's head is not made yet; a fresh hit takes no time and is never among them.", &["kind"]);
    EDGE_CONNECTIONS = plain("seawall_edge_connections", "Open connections of viewers.", &[]);
    EDGE_CONNECTIONS_ACCEPTED = plain("seawall_edge_connections_accepted_total", "Connections of viewers accepted.", &[]);
    EDGE_CONNECTIONS_REFUSED = plain("seawall_edge_connections_refused_total", "Connections refused with 503 because the edge was full.", &[]);
    EDGE_SHED = plain("seawall_edge_shed_total", "Requests answered 503 because a bound was reached, by bound.", &["reason"]);
    EDGE_MISS_WAITERS = plain("seawall_edge_miss_waiters", "Requests that wait for a flight now.", &["kind"]);
    EDGE_MISS_WAITERS_PEAK = plain("seawall_edge_miss_waiters_peak", "The most requests that waited at once within the last half minute or since the last scrape, whichever is longer.", &["kind"]);
    EDGE_MISS_WAIT_SECONDS = Metric {
        name: "seawall_edge_miss_wait_seconds",
        help: "How long a request waited for a fetch, its leader too, by how the wait ended.",
        labels: &["outcome"],
        buckets: SECONDS_COARSE,
    };
    EDGE_WAKEUP_LAG_SECONDS = Metric {
        name: "seawall_edge_wakeup_lag_seconds",
        help: "From the head or the landing that a request waited for until its task ran.",
        labels: &[],
        buckets: WAKEUP_SECONDS,
    };
    EDGE_WAITERS_PER_FETCH = Metric {
        name: "seawall_edge_waiters_per_fetch",
        help: "Followers that a landed flight served beside its leader.",
        labels: &["kind"],
        buckets: WAITERS,
    };
    EDGE_ORIGIN_FETCHES = plain("seawall_edge_origin_fetches_total", "Requests sent to the origin by kind, by why, and by how they ended.", &["kind", "reason", "outcome"]);
    EDGE_ORIGIN_FETCHES_INFLIGHT = plain("seawall_edge_origin_fetches_inflight", "Requests to the origin under way.", &[]);
    EDGE_ORIGIN_FETCH_SECONDS = Metric {
        name: "seawall_edge_origin_fetch_seconds",
        help: "From a request to the origin to the last byte of its answer.",
        labels: &["kind"],
        buckets: SECONDS_COARSE,
    };
    EDGE_ORIGIN_BYTES = plain("seawall_edge_origin_bytes_total", "Body bytes received from the origin.", &[]);
    EDGE_FLIGHTS = plain("seawall_edge_flights", "Flights under way.", &[]);
    EDGE_FLIGHT_RETRIES = plain("seawall_edge_flight_retries_total", "Attempts of fetches that began anew after a failure.", &[]);
    EDGE_FLIGHT_RESUMES = plain("seawall_edge_flight_resumes_total", "Attempts of fetches that asked for the rest of a body which broke off.", &[]);
    EDGE_FLIGHTS_CANCELLED = plain("seawall_edge_flights_cancelled_total", "Flights that were given up or taken out of the table before they landed, by why.", &["why"]);
    EDGE_DUPLICATE_FETCHES = plain("seawall_edge_duplicate_origin_fetches_total", "Fetches begun while another for the same key was under way; must stay 0 with the miss queue on.", &[]);
    EDGE_LIKE_BATCHES = plain("seawall_edge_like_batches_total", "Batches of likes sent to the origin.", &[]);
    EDGE_LIKE_OPERATIONS = plain("seawall_edge_like_operations_total", "Operations in those batches; all hearts of a sum are one.", &[]);
    EDGE_PREFETCHED_USED = plain("seawall_edge_prefetched_used_total", "Segments fetched ahead that a viewer asked for later.", &[]);
    EDGE_NEGATIVES_PURGED = plain("seawall_edge_negatives_purged_total", "Remembered failures of segments that were forgotten because a playlist lists them now.", &[]);
    EDGE_REGRESSIONS_BLOCKED = plain("seawall_edge_playlist_regressions_blocked_total", "Playlists older than one that was served already, and so not served.", &[]);
    EDGE_PLAYLIST_SEQUENCE = plain("seawall_edge_playlist_media_sequence", "Newest segment number that the newest playlist lists, by stream and rendition.", &[]);
    EDGE_PLAYLIST_UPDATED = plain("seawall_edge_playlist_updated_timestamp_seconds", "UNIX time at which a playlist last brought something new, by stream and rendition.", &[]);
    EDGE_HELD = plain("seawall_edge_held_fetches", "Fetches that wait for a segment which is about to be published.", &[]);
    EDGE_BLOCKED = plain("seawall_edge_blocked_requests", "Requests that wait for a playlist which is still to come (`_HLS_msn`).", &[]);
    EDGE_UPSTREAMS_DOWN = plain("seawall_edge_upstreams_down", "Servers upstream that do not answer when the edge sees to their health; checked where there are several.", &[]);
    EDGE_ORIGIN_QUEUE_DEPTH = plain("seawall_edge_origin_queue_depth", "Fetches that wait for a permit to ask the origin, by class.", &["class"]);
    EDGE_BREAKER_STATE = plain("seawall_edge_breaker_state", "The circuit breaker towards the origin: 0 closed, 1 probing, 2 open; the worst of several servers.", &[]);
    EDGE_ACCESS_LOG_DROPPED = plain("seawall_edge_access_log_dropped_total", "Lines that the access log lost because the disk was too slow.", &[]);
    EDGE_CACHE_ENTRIES = plain("seawall_edge_cache_entries", "Objects in the cache.", &[]);
    EDGE_CACHE_BYTES = plain("seawall_edge_cache_bytes", "Bytes in the cache.", &[]);
    EDGE_CACHE_CAPACITY = plain("seawall_edge_cache_capacity_bytes", "Bytes that the cache may hold.", &[]);
    EDGE_EVICTIONS = plain("seawall_edge_evictions_total", "Objects that the cache let go: for lack of space, or because they were purged or made void.", &["cause"]);
    EDGE_STALE_SERVED = plain("seawall_edge_stale_served_total", "Stale answers by why they were allowed.", &["why"]);
    ORIGIN_HITS = plain("seawall_origin_hits_total", "Requests that reached the origin, by kind; `client` names the edge that asked.", &["kind"]);
    ORIGIN_RESPONSE_BYTES = plain("seawall_origin_response_bytes_total", "Body bytes that the origin's answers announced.", &["kind"]);
    ORIGIN_INFLIGHT = plain("seawall_origin_inflight", "Requests that the origin works on, or that wait for one of its slots.", &[]);
    ORIGIN_REQUEST_SECONDS = Metric {
        name: "seawall_origin_request_duration_seconds",
        help: "From a request at the origin until its answer is ready to be sent, its wait for a slot and its latency included.",
        labels: &["kind"],
        buckets: SECONDS,
    };
    ORIGIN_SHED = plain("seawall_origin_shed_total", "Requests that the origin answered with 503 because its slots and its queue were full.", &["kind"]);
    ORIGIN_WAITING = plain("seawall_origin_waiting", "Requests that wait for one of the origin's slots.", &[]);
    ORIGIN_REJECTED = plain("seawall_origin_rejected_total", "Requests that the origin refused, by why.", &["reason"]);
    ORIGIN_MEDIA_SEQUENCE = plain("seawall_origin_media_sequence", "Newest segment number that the origin lists.", &[]);
    BROADCAST_PUBLISHED = plain("seawall_broadcaster_segments_published_total", "Segments handed to the origin, by stream and rendition.", &[]);
    BROADCAST_SEQUENCE = plain("seawall_broadcaster_media_sequence", "Number of the newest segment handed to the origin, by stream and rendition.", &[]);
    BROADCAST_FAILED = plain("seawall_broadcaster_publish_failures_total", "Attempts to publish a segment that failed.", &[]);
    BROADCAST_LATENESS = Metric {
        name: "seawall_broadcaster_publish_lateness_seconds",
        help: "How long after its due time a segment was published.",
        labels: &[],
        buckets: SECONDS,
    };
    VIEWERS = plain("seawall_viewers", "Simulated viewers that are there, by what their player shows.", &["state"]);
    VIEWER_JOINS = plain("seawall_viewer_joins_total", "Simulated viewers that have come.", &[]);
    VIEWER_FAILURES = plain("seawall_viewer_failures_total", "Players that gave up, before the first frame or after it.", &["reason"]);
    VIEWER_STALLS = plain("seawall_viewer_stalls_total", "Rebuffering events after the first frame.", &[]);
    VIEWER_STARTUP = Metric {
        name: "seawall_viewer_startup_seconds",
        help: "From a viewer's arrival to the first frame.",
        labels: &[],
        buckets: STARTUP_SECONDS,
    };
    VIEWER_REBUFFERED = plain("seawall_viewer_rebuffer_seconds_total", "Time that players stood still after the first frame.", &[]);
    VIEWER_LIVE_LATENCY = Metric {
        name: "seawall_viewer_live_latency_seconds",
        help: "How far the playhead is behind live, told whenever a segment comes.",
        labels: &[],
        buckets: LATENCY_SECONDS,
    };
    VIEWER_LIKES = plain("seawall_viewer_likes_total", "Likes and bundles of hearts of simulated viewers, by outcome.", &["result"]);
    VIEWER_LIKE_SECONDS = Metric {
        name: "seawall_viewer_like_seconds",
        help: "From when a simulated viewer wanted a like until it was acknowledged.",
        labels: &[],
        buckets: SECONDS,
    };
    SCENARIO_PHASE = plain("seawall_scenario_phase", "1 while this phase of the scenario lasts; `scenario` and `phase` name it.", &[]);
    EVENT = plain("seawall_event_timestamp_seconds", "UNIX time at which a fault or a phase of the scenario began; `event` names it.", &[]);
    SIMULATED = plain("seawall_simulated", "1 where the figures are of virtual time (`seawall simulate --metrics`).", &[]);
    BUILD_INFO = plain("seawall_build_info", "1, with the version as a label.", &[]);
    PROCESS_CPU = plain("process_cpu_seconds_total", "CPU seconds of the whole process, user and system.", &[]);
    PROCESS_MEMORY = plain("process_resident_memory_bytes", "Resident memory of the whole process.", &[]);
    PROCESS_FDS = plain("process_open_fds", "Open file descriptors of the whole process.", &[]);
    PROCESS_FDS_MAX = plain("process_max_fds", "File descriptors that the process may have open.", &[]);
    PROCESS_THREADS = plain("process_threads", "Threads of the whole process.", &[]);
    PROCESS_STARTED = plain("process_start_time_seconds", "UNIX time at which the process began.", &[]);
    RUNTIME_WORKERS = plain("seawall_runtime_workers", "Threads that run the tasks of this component: the shared runtime's, and the workers of an edge that runs alone.", &[]);
    RUNTIME_BUSY = plain("seawall_runtime_busy_seconds_total", "Seconds that those threads spent running tasks, all together.", &[]);
    RUNTIME_TASKS = plain("seawall_runtime_alive_tasks", "Tasks that have begun and not ended.", &[]);
    RUNTIME_QUEUE = plain("seawall_runtime_queue_depth", "Tasks that wait in the queues which threads share; what one thread keeps for itself is not counted.", &[]);
    LIKES_ACCEPTED = plain("seawall_likes_accepted_total", "Likes, unlikes and hearts that were answered, by what they were and by what came of them.", &["op", "result"]);
    LIKES_SHED = plain("seawall_likes_shed_total", "Likes, hearts and reads of counts answered 503 `overloaded`, by why.", &["reason"]);
    LIKES_DUPLICATES = plain("seawall_likes_duplicates_total", "What came again and was not counted again: a batch in the log, or an operation.", &["layer"]);
    LIKES_EDGE_BATCHES = plain("seawall_likes_edge_batches_total", "Batches of likes that edges have forwarded to this origin.", &[]);
    LIKES_EDGE_OPERATIONS = plain("seawall_likes_edge_operations_total", "Operations in those batches; all hearts of a sum are one.", &[]);
    LIKES_QUEUE_DEPTH = plain("seawall_likes_queue_depth", "Operations that wait to be made durable.", &[]);
    LIKES_COMMIT_SECONDS = Metric {
        name: "seawall_likes_commit_seconds",
        help: "How long it took to make a batch durable.",
        labels: &[],
        buckets: SECONDS,
    };
    LIKES_BATCH_SIZE = Metric {
        name: "seawall_likes_batch_size",
        help: "Operations of a batch.",
        labels: &[],
        buckets: OPERATIONS,
    };
    LIKES_DURABLE_SEQUENCE = plain("seawall_likes_durable_sequence", "The last operation that is durable.", &[]);
    LIKES_APPLIED_SEQUENCE = plain("seawall_likes_applied_sequence", "The last operation that is counted.", &[]);
    LIKES_LAG_SECONDS = plain("seawall_likes_lag_seconds", "How long the last batch that was counted had been durable before.", &[]);
    LIKES_FSYNC_BEFORE_ACK = plain("seawall_likes_fsync_before_ack", "1 if an operation is on the disk before it is acknowledged.", &[]);
    LIKES_DOWN = plain("seawall_likes_down", "1 if the log has failed, so that likes are refused until the next start.", &[]);
    LIKES_READERS = plain("seawall_likes_waiting_readers", "Readers of counts that wait: for a change, for a barrier, or on a stream.", &[]);
}

/// One value of a metric that is read when scraped. The metric is made anew each time, so that two scrapes at once
/// cannot add up the value that both have read.
pub(crate) fn sample(metric: Metric, value: f64) -> Vec<MetricFamily> {
    if metric.name.ends_with("_total") {
        let counter = Counter::new(metric.name, metric.help).expect("the table holds valid names");
        counter.inc_by(value.max(0.0));
        counter.collect()
    } else {
        let gauge = Gauge::new(metric.name, metric.help).expect("the table holds valid names");
        gauge.set(value);
        gauge.collect()
    }
}
