//! Every key of a scenario: its range, its unit, what holds if it is left out, and one sentence. From here come the check of every
//! number, the text of `seawall scenarios NAME`, and the reference in docs/scenarios.md.

use std::fmt;

use toml::Value;

use crate::config::Config;
use crate::hls::timeline::PARTS_PER_SEGMENT;
use crate::viewer::likes::{HEARTS_MAX, RATE_MAX_PER_S, SIM_RATE_MAX_PER_S};

/// A table of a scenario.
#[derive(Debug)]
pub struct Table {
    /// Its path, as `real.cluster`; empty for the keys at the top.
    pub path: &'static str,
    /// Whether there may be several, as `[[real.faults]]`.
    pub several: bool,
    /// Whether it may be left out.
    pub optional: bool,
    /// One sentence.
    pub says: &'static str,
    /// Its keys, in the order of writing.
    pub keys: &'static [Key],
}

/// A key of a scenario.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub range: Range,
    /// What holds if the key is left out; `None`: it must be there.
    pub left_out: Option<&'static str>,
    /// A value, as TOML.
    pub example: &'static str,
    /// One sentence.
    pub says: &'static str,
    /// The forms of a value, as TOML, and what each means; empty for numbers and words.
    pub forms: &'static [(&'static str, &'static str)],
}

/// The values that a key may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Any of its type.
    Any,
    /// Numbers from one to another, both included, with their unit.
    Of(f64, f64, &'static str),
    /// Numbers above 0 and up to this one, with their unit.
    Above0(f64, &'static str),
    /// Words.
    Words(&'static str),
    /// The values of this key of the configuration, which checks them.
    Configured(&'static str),
}

impl Range {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::Any | Self::Words(_) | Self::Configured(_) => true,
            Self::Of(from, to, _) => (from..=to).contains(&number),
            Self::Above0(to, _) => number > 0.0 && number <= to,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = |unit: &str| if unit.is_empty() { "" } else { " " };
        match *self {
            Self::Any => Ok(()),
            Self::Of(from, f64::INFINITY, unit) => {
                write!(f, "at least {from}{}{unit}", space(unit))
            }
            Self::Of(from, to, unit) => write!(f, "{from} to {to}{}{unit}", space(unit)),
            Self::Above0(f64::INFINITY, unit) => write!(f, "above 0{}{unit}", space(unit)),
            Self::Above0(to, unit) => write!(f, "above 0 and at most {to}{}{unit}", space(unit)),
            Self::Words(words) => f.write_str(words),
            Self::Configured(key) => {
                let rows = Config::rows();
                let row = rows.iter().find(|row| row.key == key);
                f.write_str(row.map_or("", |row| &row.range))
            }
        }
    }
}

/// Most viewers of a simulation.
pub const VIEWERS_SIMULATED_MAX: u64 = 1_000_000_000;

/// A key that must be there.
const fn must(name: &'static str, range: Range, example: &'static str, says: &'static str) -> Key {
    Key {
        name,
        range,
        left_out: None,
        example,
        says,
        forms: &[],
    }
}

/// A key that may be left out.
const fn may(
    name: &'static str,
    range: Range,
    left_out: &'static str,
    example: &'static str,
    says: &'static str,
) -> Key {
    Key {
        left_out: Some(left_out),
        ..must(name, range, example, says)
    }
}

/// What viewers like, at most so many operations per second.
const fn likes(most: f64) -> [Key; 4] {
    [
        must(
            "per_s",
            Range::Of(0.0, most, "per second"),
            "40.0",
            "Operations of all viewers together.",
        ),
        must(
            "like_percent",
            PERCENT,
            "20.0",
            "Operations that are likes.",
        ),
        must(
            "unlike_percent",
            PERCENT,
            "4.0",
            "Operations that take a like back; all others are hearts.",
        ),
        must(
            "hearts_max",
            Range::Of(1.0, HEARTS_MAX as f64, "hearts"),
            "5",
            "Hearts in one operation, at most.",
        ),
    ]
}

const fn bursts(most: f64) -> [Key; 3] {
    [
        must("at_s", AT, "20.0", "When it begins."),
        must("over_s", SPAN, "5.0", "How long it lasts."),
        must(
            "per_s",
            Range::Above0(most, "per second"),
            "1000.0",
            "Operations that come in addition.",
        ),
    ]
}

static LIKES: [Key; 4] = likes(RATE_MAX_PER_S);
static BURSTS: [Key; 3] = bursts(RATE_MAX_PER_S);
static SIM_LIKES: [Key; 4] = likes(SIM_RATE_MAX_PER_S);
static SIM_BURSTS: [Key; 3] = bursts(SIM_RATE_MAX_PER_S);

const ANY: Range = Range::Any;
const PERCENT: Range = Range::Of(0.0, 100.0, "per cent");
/// A time of a run.
const AT: Range = Range::Of(0.0, 86_400.0, "s");
const SPAN: Range = Range::Above0(86_400.0, "s");
const COUNT: Range = Range::Of(0.0, f64::INFINITY, "");
const BITS: Range = Range::Of(1.0, f64::INFINITY, "bits per second");

const ARRIVALS: Key = Key {
    forms: &[
        ("\"at-once\"", "all at the same instant"),
        (
            "{ steady = { over_s = 20.0 } }",
            "at a steady rate over this time",
        ),
        (
            "{ step = { before_percent = 10.0, at_s = 15.0, within_s = 2.0 } }",
            "some before, all others within a time after that",
        ),
        (
            "{ ramp = { over_s = 60.0 } }",
            "at a rate that grows linearly from zero",
        ),
        (
            "{ logistic = { midpoint_s = 15.0, scale_s = 4.0, within_s = 40.0 } }",
            "as word of mouth spreads: half of them by the midpoint",
        ),
        (
            "{ steep-then-cliff = { growth_s = 8.0, cliff_s = 30.0 } }",
            "at a rate that grows e-fold every growth_s, and ends at the cliff",
        ),
        (
            "{ gamma = { shape = 2.0, scale_s = 4.0, within_s = 40.0 } }",
            "after a push message: delays of a Gamma distribution",
        ),
        (
            "{ replay = { csv = \"arrivals.csv\" } }",
            "from a file in the scenario's folder: one column arrives_s, a line for each viewer",
        ),
    ],
    ..must(
        "arrivals",
        ANY,
        "{ gamma = { shape = 2.0, scale_s = 4.0, within_s = 40.0 } }",
        "When viewers arrive.",
    )
};

const SESSIONS: Key = Key {
    forms: &[
        (
            "{ the-end = { until_s = 50.0, plunge_s = 2.0 } }",
            "all together when the event ends: from until_s on, spread evenly over plunge_s",
        ),
        (
            "{ fixed = { each_s = 20.0 } }",
            "each this long after its own arrival",
        ),
        (
            "{ log-normal = { median_s = 30.0, sigma = 1.0, at_most_s = 120.0 } }",
            "half of them within the median, none later than at_most_s",
        ),
    ],
    ..must(
        "sessions",
        ANY,
        "{ the-end = { until_s = 50.0, plunge_s = 2.0 } }",
        "When they leave.",
    )
};

/// All tables of a scenario, in the order of writing.
pub const TABLES: &[Table] = &[
    Table {
        path: "",
        several: false,
        optional: false,
        says: "",
        keys: &[
            must(
                "name",
                Range::Words("1 to 64 of a-z, 0-9, - and _"),
                "\"my-event\"",
                "Its name in reports.",
            ),
            must(
                "about",
                Range::Words("one line"),
                "\"what it shows\"",
                "What the scenario shows.",
            ),
            must(
                "seed",
                COUNT,
                "1",
                "The seed of the audience: the same seed draws the same viewers.",
            ),
        ],
    },
    Table {
        path: "real",
        several: false,
        optional: false,
        says: "The scenario over real sockets.",
        keys: &[
            may(
                "warm_up_s",
                AT,
                "0",
                "5.0",
                "Requests wanted earlier than this are left out of latencies.",
            ),
            may(
                "requests_logged_max",
                Range::Of(1.0, 5_000_000.0, "requests"),
                "500000",
                "500000",
                "Requests beyond this number are only counted, and the run is not judged exactly.",
            ),
            may(
                "headline",
                Range::Words("some of origin, shed, waiting, stalls, failovers, startup and likes"),
                "the origin's hits",
                "[\"startup\", \"waiting\"]",
                "The figures that the first sentence of a report is made of.",
            ),
        ],
    },
    Table {
        path: "real.cluster",
        several: false,
        optional: false,
        says: "The servers.",
        keys: &[
            must(
                "edges",
                Range::Of(1.0, 64.0, "edges"),
                "3",
                "Number of edges.",
            ),
            may(
                "shields",
                Range::Words("GROUPSxN"),
                "none",
                "\"2x2\"",
                "Groups of shields before the origin, and shields in each group.",
            ),
            must(
                "parts_per_segment",
                Range::Of(
                    *PARTS_PER_SEGMENT.start() as f64,
                    *PARTS_PER_SEGMENT.end() as f64,
                    "parts",
                ),
                "9",
                "Parts of 0.32 s in a segment: 6 is 1.92 s, 9 is 2.88 s.",
            ),
            may(
                "channels",
                Range::Of(1.0, 200.0, "channels"),
                "1",
                "1",
                "Channels, the most popular first: shares by Zipf's law.",
            ),
            may(
                "window",
                Range::Of(4.0, 600.0, "segments"),
                "10",
                "10",
                "Segments that a playlist lists.",
            ),
            may(
                "cache_bytes",
                Range::Of(1_048_576.0, f64::INFINITY, "bytes"),
                "512 MiB",
                "536870912",
                "Bytes that the cache of each edge may hold.",
            ),
            may(
                "playlist_fresh_percent",
                PERCENT,
                "50",
                "50",
                "Percentage of a target duration for which a playlist is fresh at an edge.",
            ),
            may(
                "eviction",
                Range::Words("\"lru\" or \"tiny-lfu\""),
                "lru",
                "\"lru\"",
                "What an edge evicts when its cache is full.",
            ),
            may(
                "prefetch",
                ANY,
                "true",
                "true",
                "Whether the edges prefetch segments as soon as a playlist lists them.",
            ),
            may(
                "refresh",
                ANY,
                "true",
                "true",
                "Whether the edges refresh stale playlists in the background.",
            ),
            may(
                "processes",
                ANY,
                "false, unless a fault needs it",
                "false",
                "Whether each edge is a process of its own.",
            ),
        ],
    },
    Table {
        path: "real.cluster.origin",
        several: false,
        optional: true,
        says: "What the origin can do.",
        keys: &[
            may(
                "latency_ms",
                Range::Configured("origin.capacity.latency_ms"),
                "0",
                "50.0",
                "Mean time that it works on a request.",
            ),
            may(
                "law",
                Range::Words("\"fixed\", \"exponential\" or \"log-normal\""),
                "fixed",
                "\"fixed\"",
                "How single requests differ from that mean.",
            ),
            may(
                "slots",
                Range::Configured("origin.capacity.slots"),
                "no bound",
                "16",
                "Requests that it works on at once.",
            ),
            may(
                "queue",
                Range::Configured("origin.capacity.queue"),
                "0",
                "32",
                "Requests that wait for a slot; a request beyond them gets 503.",
            ),
            may(
                "bandwidth_bps",
                Range::Configured("origin.capacity.bandwidth_bps"),
                "no bound",
                "20000000",
                "What all its answers share; a request keeps its slot until its last byte has left.",
            ),
        ],
    },
    Table {
        path: "real.audience",
        several: false,
        optional: false,
        says: "The viewers.",
        keys: &[
            must(
                "viewers",
                Range::Of(
                    1.0,
                    100_000.0,
                    "viewers; 4000 without real.connections.pool",
                ),
                "1000",
                "Number of viewers.",
            ),
            ARRIVALS,
            SESSIONS,
            Key {
                forms: &[
                    ("\"hls.js\"", "by estimated bandwidth, as hls.js"),
                    (
                        "\"throughput\"",
                        "by the last download alone, as simple players",
                    ),
                    ("{ fixed = \"360p\" }", "always this one"),
                ],
                ..must("abr", ANY, "\"hls.js\"", "How players choose a rendition.")
            },
            must(
                "renditions",
                Range::Words("some of 180p, 360p, 720p and 1080p"),
                "[\"180p\", \"360p\"]",
                "The renditions that players choose from.",
            ),
        ],
    },
    Table {
        path: "real.audience.last_mile",
        several: false,
        optional: false,
        says: "The bandwidth of each viewer, which is modelled in the viewer: a log-normal distribution.",
        keys: LAST_MILE,
    },
    Table {
        path: "real.audience.manners",
        several: false,
        optional: true,
        says: "How players behave where the protocol leaves them a choice.",
        keys: MANNERS,
    },
    Table {
        path: "real.audience.seekers",
        several: false,
        optional: true,
        says: "Viewers that seek back once.",
        keys: SEEKERS,
    },
    Table {
        path: "real.audience.intermission",
        several: false,
        optional: true,
        says: "A break in which many viewers leave and some return.",
        keys: INTERMISSION,
    },
    Table {
        path: "real.connections",
        several: false,
        optional: true,
        says: "How viewers reach the edges.",
        keys: &[
            may(
                "pool",
                Range::Of(1.0, 8_192.0, "connections"),
                "each viewer has its own",
                "1024",
                "Connections that all viewers share.",
            ),
            may(
                "one_part_of",
                Range::Of(0.0, 64.0, "parts"),
                "0: whole segments",
                "8",
                "Viewers ask for one part in this many of each segment, which stands for the whole.",
            ),
        ],
    },
    Table {
        path: "real.likes",
        several: false,
        optional: true,
        says: "What viewers like.",
        keys: &LIKES,
    },
    Table {
        path: "real.likes.bursts",
        several: true,
        optional: true,
        says: "A time with more operations, as after a goal.",
        keys: &BURSTS,
    },
    Table {
        path: "real.faults",
        several: true,
        optional: true,
        says: "What goes wrong, and when.",
        keys: &[
            must("at_s", AT, "15.0", "When it begins."),
            may("until_s", AT, "never", "25.0", "When it ends."),
            WHAT,
        ],
    },
    Table {
        path: "real.phases",
        several: true,
        optional: true,
        says: "A named part of the run, which labels figures; it lasts until the next one begins.",
        keys: &[
            must("name", Range::Words("not empty"), "\"surge\"", "Its name."),
            must("from_s", AT, "0.0", "When it begins."),
        ],
    },
    Table {
        path: "real.variants",
        several: true,
        optional: true,
        says: "One of the two to five runs that `--compare` plays beside each other.",
        keys: &[
            must(
                "name",
                Range::Words("1 to 40 letters"),
                "\"neither\"",
                "Its name.",
            ),
            may(
                "miss_queue",
                Range::Words("\"flights\", \"off\", \"moka\" or \"poll-500ms\""),
                "flights",
                "\"off\"",
                "How misses are handled.",
            ),
            may(
                "prefetch",
                ANY,
                "as the cluster",
                "false",
                "Whether the edges prefetch segments.",
            ),
            may(
                "refresh",
                ANY,
                "as the cluster",
                "false",
                "Whether the edges refresh stale playlists in the background.",
            ),
        ],
    },
    Table {
        path: "real.thresholds",
        several: false,
        optional: false,
        says: "What must come out; what is left out is not judged.",
        keys: THRESHOLDS,
    },
    Table {
        path: "real.thresholds.flights",
        several: false,
        optional: true,
        says: "What must come out with a miss queue of any kind, besides what the table above says; the same keys.",
        keys: THRESHOLDS,
    },
    Table {
        path: "real.thresholds.off",
        several: false,
        optional: true,
        says: "What must come out without the miss queue, besides what the first table says; the same keys.",
        keys: THRESHOLDS,
    },
    Table {
        path: "sim",
        several: false,
        optional: true,
        says: "The published event that the scenario is made after.",
        keys: &[
            must(
                "figures_from",
                Range::Words("one line"),
                "\"a talk\"",
                "The source of the figures.",
            ),
            must(
                "viewers",
                Range::Of(1.0, VIEWERS_SIMULATED_MAX as f64, "viewers"),
                "400000",
                "Number of viewers.",
            ),
            must(
                "pops",
                Range::Of(1.0, 10_000.0, "points of presence"),
                "300",
                "Points of presence with an edge each, the largest first: their shares of the viewers follow Zipf's law.",
            ),
            may(
                "shield_groups",
                Range::Of(0.0, 1_000.0, "groups"),
                "0: none",
                "4",
                "Shields between the edges and the origin; each edge asks one of them.",
            ),
            may(
                "streams",
                Range::Of(1.0, 100_000.0, "streams"),
                "1",
                "1",
                "Streams, whose shares follow Zipf's law.",
            ),
            must(
                "renditions",
                Range::Of(1.0, 16.0, "renditions"),
                "4",
                "Renditions of each stream, from 400 kb/s to 8 Mb/s.",
            ),
            must(
                "segment_s",
                Range::Of(0.5, 60.0, "s"),
                "3.0",
                "Duration of a segment.",
            ),
            must(
                "origin_ms",
                Range::Of(0.0, 60_000.0, "milliseconds"),
                "54.0",
                "Mean time until the origin answers.",
            ),
            may(
                "origin_playlist_ms",
                Range::Of(0.0, 60_000.0, "milliseconds"),
                "as for segments",
                "5.0",
                "The same for playlists, which an origin may have at hand.",
            ),
            may(
                "origin_law",
                Range::Words("\"fixed\", \"exponential\" or \"log-normal\""),
                "fixed",
                "\"fixed\"",
                "How single answers differ from that mean.",
            ),
            may(
                "origin_slots",
                Range::Configured("origin.capacity.slots"),
                "no bound",
                "1000",
                "Requests that the origin works on at once.",
            ),
            may(
                "origin_queue",
                Range::Configured("origin.capacity.queue"),
                "0",
                "1000",
                "Requests that wait for a slot; a request beyond them gets 503.",
            ),
            may(
                "viewer_ms",
                Range::Of(0.0, 10_000.0, "milliseconds"),
                "20",
                "20.0",
                "Time from a viewer to its edge and back.",
            ),
            may(
                "shield_ms",
                Range::Of(0.1, 10_000.0, "milliseconds"),
                "10",
                "30.0",
                "Time from an edge to its shield and back.",
            ),
            may(
                "window",
                Range::Of(4.0, 600.0, "segments"),
                "10",
                "10",
                "Segments that a playlist lists.",
            ),
            may(
                "cache_bytes",
                Range::Of(1_048_576.0, f64::INFINITY, "bytes"),
                "4 GiB",
                "4294967296",
                "Bytes that the cache of each point of presence may hold.",
            ),
            may(
                "playlist_fresh_percent",
                PERCENT,
                "50",
                "50",
                "Percentage of a target duration for which a playlist is fresh at an edge.",
            ),
            may(
                "prefetch",
                ANY,
                "true",
                "true",
                "Whether the edges prefetch segments as soon as a playlist lists them.",
            ),
            may(
                "refresh",
                ANY,
                "true",
                "true",
                "Whether the edges refresh stale playlists in the background.",
            ),
            may(
                "abr",
                Range::Words("\"hls.js\" or \"throughput\""),
                "each viewer keeps one rendition, drawn evenly",
                "\"hls.js\"",
                "How players choose a rendition.",
            ),
            may(
                "players_per_cell",
                Range::Of(1.0, 10_000_000.0, "players"),
                "16",
                "16",
                "Most players for the viewers of one rendition at one point of presence; if there are more viewers, a player decides for several.",
            ),
            may(
                "likes_commit_ms",
                Range::Of(0.1, 60_000.0, "milliseconds"),
                "5",
                "5.0",
                "How long the origin takes to make a batch of likes durable.",
            ),
            ARRIVALS,
            SESSIONS,
        ],
    },
    Table {
        path: "sim.last_mile",
        several: false,
        optional: true,
        says: "The bandwidth of each viewer: a log-normal distribution. Left out: 20 Mb/s, sigma 0.6, at least 1.5 Mb/s. A viewer that keeps a rendition has at least twice its bit rate.",
        keys: LAST_MILE,
    },
    Table {
        path: "sim.manners",
        several: false,
        optional: true,
        says: "How players behave where the protocol leaves them a choice.",
        keys: MANNERS,
    },
    Table {
        path: "sim.seekers",
        several: false,
        optional: true,
        says: "Viewers that seek back once.",
        keys: SEEKERS,
    },
    Table {
        path: "sim.intermission",
        several: false,
        optional: true,
        says: "A break in which many viewers leave and some return.",
        keys: INTERMISSION,
    },
    Table {
        path: "sim.likes",
        several: false,
        optional: true,
        says: "What viewers like in virtual time.",
        keys: &SIM_LIKES,
    },
    Table {
        path: "sim.likes.bursts",
        several: true,
        optional: true,
        says: "A time with more operations in virtual time.",
        keys: &SIM_BURSTS,
    },
    Table {
        path: "sim.faults",
        several: true,
        optional: true,
        says: "What goes wrong in virtual time, and when.",
        keys: &[
            must("at_s", AT, "15.0", "When it begins."),
            may("until_s", AT, "never", "25.0", "When it ends."),
            WHAT,
            may(
                "edges",
                Range::Of(1.0, 10_000.0, "edges"),
                "1",
                "30",
                "Number of edges that it meets, from the named edge on.",
            ),
            may(
                "apart",
                Range::Of(1.0, 10_000.0, "edges"),
                "1",
                "10",
                "Number of edges from one of them to the next.",
            ),
            may(
                "each_after_s",
                AT,
                "0",
                "10.0",
                "How much later it meets each next edge.",
            ),
        ],
    },
    Table {
        path: "sim.thresholds",
        several: false,
        optional: true,
        says: "What must come out in virtual time; the same keys as in real.thresholds.",
        keys: THRESHOLDS,
    },
];

const LAST_MILE: &[Key] = &[
    must(
        "median_bps",
        BITS,
        "6000000",
        "Half of the viewers have less.",
    ),
    must(
        "sigma",
        Range::Of(0.0, 10.0, ""),
        "0.8",
        "Standard deviation of the bandwidth's logarithm.",
    ),
    must("at_least_bps", BITS, "300000", "No viewer has less."),
];

const MANNERS: &[Key] = &[
    may(
        "polling",
        Range::Words("\"spec\" or \"aggressive\""),
        "spec",
        "\"spec\"",
        "When players reload a playlist: as RFC 8216 says, or every half second.",
    ),
    may(
        "retries",
        Range::Words("\"doubling\" or \"full-jitter\""),
        "doubling",
        "\"doubling\"",
        "How long players wait before they try again: as hls.js, or drawn from zero up to that.",
    ),
    may(
        "failover",
        Range::Words("\"none\", \"next-edge\" or \"steering\""),
        "none",
        "\"next-edge\"",
        "Where players go when an edge fails them: nowhere; to the next edge after two failures in a row, or at once after 404 or a closed connection; or by content steering, when their retries are used up. A request that hangs has failed after 10 s.",
    ),
    may(
        "early_percent",
        PERCENT,
        "0",
        "5.0",
        "Viewers that ask for the next segment before a playlist lists it.",
    ),
    may(
        "cmcd",
        ANY,
        "false",
        "true",
        "Whether players report what they do (CTA-5004).",
    ),
];

const SEEKERS: &[Key] = &[
    must("percent", PERCENT, "2.0", "How many of all viewers."),
    must(
        "back_s",
        SPAN,
        "20.0",
        "How far behind the live edge they go.",
    ),
    must(
        "within_s",
        AT,
        "30.0",
        "They seek within this time of their arrival.",
    ),
];

const INTERMISSION: &[Key] = &[
    must(
        "leave_percent",
        PERCENT,
        "40.0",
        "How many of all viewers leave.",
    ),
    must("from_s", AT, "20.0", "When the first of them leaves."),
    must("over_s", AT, "2.0", "They leave during this time."),
    must(
        "return_percent",
        PERCENT,
        "80.0",
        "How many of those return.",
    ),
    must("back_s", AT, "35.0", "When the first of them returns."),
    must("back_over_s", AT, "2.0", "They return during this time."),
];

const WHAT: Key = Key {
    forms: &[
        (
            "{ edge-killed = 1 }",
            "SIGKILL for the first edge; it is started again at the end",
        ),
        ("{ edge-silent = 1 }", "SIGSTOP: its connections hang"),
        (
            "{ edge-restarted = 1 }",
            "SIGTERM, and started again with an empty cache",
        ),
        (
            "{ origin-slow = 1800.0 }",
            "every answer takes this many milliseconds more (0 to 60000)",
        ),
        (
            "{ origin-unavailable = 30.0 }",
            "this percentage of its answers are 503",
        ),
        ("\"origin-stopped\"", "it accepts no connection"),
        ("\"stream-stalled\"", "the broadcaster publishes nothing"),
        (
            "{ clock-drift = 100.0 }",
            "the broadcaster's clock loses this many ms per second (0 to 900)",
        ),
        (
            "{ viewers-offline = 100.0 }",
            "this percentage of the viewers reach no edge",
        ),
    ],
    ..must(
        "what",
        ANY,
        "{ origin-slow = 1800.0 }",
        "The kind of fault.",
    )
};

const THRESHOLDS: &[Key] = &[
    may(
        "origin_hits_exact",
        ANY,
        "false",
        "true",
        "Origin hits for segments must equal what follows from the viewers' log.",
    ),
    may(
        "origin_hits_per_object_max",
        COUNT,
        "no limit",
        "1",
        "Origin hits for one segment at one edge.",
    ),
    may(
        "origin_shed_percent_max",
        PERCENT,
        "100",
        "0.0",
        "Requests at the origin that may be beyond its capacity.",
    ),
    may(
        "origin_shed_percent_min",
        PERCENT,
        "0",
        "30.0",
        "Requests at the origin that must be: a run that is meant to hurt must hurt.",
    ),
    may(
        "bytes_wrong_max",
        COUNT,
        "0",
        "0",
        "Segments whose bytes may differ from the channel's.",
    ),
    may(
        "fatal_max",
        COUNT,
        "no limit",
        "0",
        "Players that may give up after the first frame.",
    ),
    may(
        "start_failures_max",
        COUNT,
        "no limit",
        "0",
        "Players that may give up before the first frame.",
    ),
    may(
        "playlists_went_back_max",
        COUNT,
        "no limit",
        "0",
        "Playlists that may be older than the one before.",
    ),
    may(
        "stalled_share_max",
        Range::Of(0.0, 1.0, "of all time"),
        "1",
        "0.05",
        "How much of the time after the first frame may be stalled.",
    ),
    may(
        "failed_percent_max",
        PERCENT,
        "50",
        "1.0",
        "Viewer requests that may fail.",
    ),
    may(
        "offload_segments_percent_min",
        PERCENT,
        "0",
        "98.0",
        "Segment requests that must not reach the origin.",
    ),
    may(
        "startup_p95_s_max",
        Range::Above0(f64::INFINITY, "s"),
        "no limit",
        "3.0",
        "The 95th percentile of the time to the first frame.",
    ),
    may(
        "segment_p99_ms_max",
        Range::Above0(f64::INFINITY, "milliseconds"),
        "no limit",
        "500.0",
        "The 99th percentile from when a player wanted a segment to its last byte from the edge; without the last mile.",
    ),
    may(
        "likes_acknowledged_percent_min",
        PERCENT,
        "0",
        "100.0",
        "Likes that must be acknowledged.",
    ),
    may(
        "likes_p99_ms_max",
        Range::Above0(f64::INFINITY, "milliseconds"),
        "no limit",
        "500.0",
        "The 99th percentile from when a viewer wanted a like to its acknowledgement.",
    ),
];

/// The first number that is out of its range: its key, and the range.
pub(super) fn out_of_range(scenario: &Value) -> Option<(String, String)> {
    TABLES.iter().find_map(|table| {
        let places = at(scenario, table.path);
        let keys = table.keys.iter();
        keys.flat_map(|key| places.iter().map(move |place| (key, place)))
            .find_map(|(key, place)| {
                let value = place.get(key.name)?;
                let number = match value {
                    Value::Integer(number) => Some(*number as f64),
                    Value::Float(number) => Some(*number),
                    _ => None,
                };
                let fits = number.is_none_or(|number| key.range.holds(number));
                (!fits).then(|| (key.path(table), format!("must be {}", key.range)))
            })
    })
}

/// The tables at this path: several for an array, none if it is left out.
pub(super) fn at<'a>(scenario: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    match names.try_fold(scenario, |value, name| value.get(name)) {
        Some(Value::Array(several)) => several.iter().collect(),
        None => Vec::new(),
        Some(one) => vec![one],
    }
}

impl Table {
    /// Whether its keys are explained in another table.
    pub fn repeats(&self) -> bool {
        matches!(
            self.path,
            "real.thresholds.flights"
                | "real.thresholds.off"
                | "sim.last_mile"
                | "sim.manners"
                | "sim.seekers"
                | "sim.intermission"
                | "sim.thresholds"
        )
    }
}

impl Key {
    /// Its name with its tables.
    pub fn path(&self, table: &Table) -> String {
        match table.path {
            "" => self.name.to_owned(),
            path => format!("{path}.{}", self.name),
        }
    }
}
