//! The command line: flags override `SEAWALL_*`, which override the TOML file, which overrides defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue};

use super::replay::flags::Replay;
use super::values::bytes;
use crate::config::Config;
use crate::config::keys::CapacitySettings;
use crate::config::shields::Shields;
use crate::config::target::Target;
use crate::policy::capacity::Law;
use crate::policy::status::MissQueue;
use crate::report::compare;
use crate::run::ab::Ab;
use crate::run::variation::{Assignment, Values};

/// Exit code: success.
pub const OK: u8 = 0;
/// Exit code: the command failed.
pub const FAILED: u8 = 1;
/// Exit code: the command line is invalid.
pub const USAGE: u8 = 2;
/// Exit code: the configuration or a scenario is invalid.
pub const CONFIGURATION: u8 = 3;
/// Exit code: a threshold was missed, or the run is not valid.
pub const THRESHOLD: u8 = 4;
/// Exit code: interrupted before the end.
pub const INTERRUPTED: u8 = 130;

/// Rehearse the minute when a celebrity goes live: a real HLS stream, edges that queue their misses, and a surge.
#[derive(Debug, Parser)]
#[command(
    name = "seawall",
    version,
    max_term_width = 110,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
    /// What to log on stderr: error, warn, info, debug, trace, or a filter such as `seawall::serve::edge=debug`. By default info,
    /// and warn for surges.
    #[arg(long, global = true, env = "SEAWALL_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Cli {
    /// What is logged.
    pub fn filter(&self) -> &str {
        // The report of a surge is its output: what its own servers do as planned is no news.
        let is_surge = match &self.command {
            Command::Surge(_) | Command::Twin(_) => true,
            Command::Up(up) => up.surge.is_some(),
            _ => false,
        };
        let usual = if is_surge { "warn" } else { "info" };
        self.log.as_deref().unwrap_or(usual)
    }
}

/// The components of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything in one process: broadcaster, origin and edges.
    #[command(after_help = "\
Examples:
  seawall up                                       a live stream behind three edges, until Ctrl-C
  seawall up --edges 8 --channel nine --parts 9    eight edges, segments of 2.88 s
  seawall up --processes                           each part a process: kill one and see
  seawall up --surge celebrity-live                and play a surge at them, with the miss queue and without")]
    Up(Up),
    /// Broadcast to an origin elsewhere, by HTTP PUT.
    #[command(after_help = "\
Example:
  seawall broadcast --to http://127.0.0.1:8001 --token SECRET")]
    Broadcast(Broadcast),
    /// Run an origin alone.
    #[command(after_help = "\
Examples:
  seawall origin --listen 127.0.0.1:8000 --ingest 127.0.0.1:8001 --token SECRET
  seawall origin --targets edge/edge-1=127.0.0.1:9081    a Prometheus finds that edge through the origin")]
    Origin(OriginArguments),
    /// Run one edge in front of any origin.
    #[command(after_help = "\
Examples:
  seawall edge --listen 127.0.0.1:8081 --admin 127.0.0.1:9081 --upstream http://127.0.0.1:8000
  seawall edge --name edge-paris --upstream http://origin.example:80 --cache-bytes 2GiB
  seawall edge --name edge-rome --upstream http://127.0.0.1:8091 --upstream http://127.0.0.1:8092    two shields")]
    Edge(EdgeArguments),
    /// Play a surge: at a new cluster with cold caches, or at edges that run already.
    #[command(after_help = "\
Examples:
  seawall surge celebrity-live                          at a cluster of its own
  seawall surge celebrity-live --miss-queue off         the same viewers without the queue
  seawall surge my-event.toml --seed 7 --json           a scenario of your own, the result as one document
  seawall surge celebrity-live --target http://127.0.0.1:8081 --target http://127.0.0.1:8082 \\
      --origin-admin http://127.0.0.1:9000                at edges that `seawall up` runs
  seawall surge celebrity-live --target http://cdn.example/live/main.m3u8    at any other server of HLS
  seawall surge celebrity-live --ab miss-queue=flights,off              twice, with one seed, beside each other
  seawall surge kickoff --report reports/kickoff                        with report.html and its kin

Exit codes: 0 all thresholds held, 1 failed, 2 usage, 3 configuration, 4 a threshold was missed or the run is not
valid, 130 interrupted.")]
    Surge(Surge),
    /// Play a scenario in virtual time: the same policy, playlists and players at any size.
    #[command(after_help = "\
Examples:
  seawall simulate celebrity-live                                   at its published size; the same report as a surge
  seawall simulate celebrity-live --ab miss-queue=flights,off
  seawall simulate my-event.toml --seeds 5                          means with their 99 % interval
  seawall simulate kickoff --set shield_groups=0 --viewers 50000000
  seawall simulate kickoff --sweep shield_groups=0,1,4,16 --sweep playlist_fresh_percent=0,25,50,100 --report sweep
  seawall simulate celebrity-live --real                            the real profile, a player for each viewer

Every key of a [sim] table: seawall scenarios celebrity-live.
Exit codes: 0 all thresholds held, 1 failed, 2 usage, 3 configuration, 4 a threshold was missed, 130 interrupted.")]
    Simulate(Simulate),
    /// Play a scenario over sockets and in virtual time, and hold one against the other.
    #[command(after_help = "\
Examples:
  seawall twin celebrity-live
  seawall twin kickoff --viewers 500 --report twin

Exit codes: 0 all figures agree, 1 failed, 2 usage, 3 configuration, 4 a figure is beyond its tolerance or the run over
sockets is not valid, 130 interrupted.")]
    Twin(TwinFlags),
    /// Compare two runs, or two sets of runs: what is better, what is worse, what is noise.
    #[command(after_help = "\
Examples:
  seawall compare reports/monday reports/tuesday
  seawall compare a1,a2,a3,a4,a5 b1,b2,b3,b4,b5 --html comparison.html    five seeds each: with confidence intervals
  seawall compare before.json after.json --noise 10 --json

Exit codes: 0 nothing is worse, 1 failed, 2 usage, 4 something is worse by more than noise.")]
    Compare(Compare),
    /// Replay a trace or an access log through a cache and its miss queue, in virtual time: what would it have cost?
    #[command(after_help = "\
Examples:
  seawall replay trace.csv                                          time,key,size on each line
  seawall replay access.log.gz --cache-bytes 8GiB                   a log of nginx or Apache
  seawall replay access.log --miss-queue off --origin-ms 300        what the miss queue would save
  seawall replay trace.csv --time-unit ms --fresh-s 2 --policy fifo --json
  seawall replay access.log.gz --report reports/replay              a page with charts
  zcat logs/*.gz | seawall replay - --format json --time-field ts --key-field uri --size-field size --time-unit s

Exit codes: 0 replayed, 1 failed (also: too many lines cannot be read, or time goes back), 2 usage, 130 interrupted.")]
    Replay(Replay),
    /// Watch a running cluster in a terminal: viewers, requests at edges and origin, waiters, each edge.
    #[command(after_help = "\
Examples:
  seawall top                                                the cluster of `seawall up`; q quits
  seawall top --admin 10.0.0.7:9000 --interval 2             another one, every two seconds
  seawall top --admin 127.0.0.1:9081 --admin 127.0.0.1:9082    two edges that name no others
  seawall top --plain >> top.log                             a line each second
  seawall top --once                                         one line, and the end

Colours follow NO_COLOR. Exit codes: 0 quit, 1 nothing is there at the start, 2 usage.")]
    Top(Top),
    /// Show what an edge knows of one object: state, age, flight, waiters, last landing.
    #[command(after_help = "\
Examples:
  seawall inspect http://127.0.0.1:8081/live/demo/720p/media.m3u8
  seawall inspect http://127.0.0.1:8081/live/demo/main.m3u8 --admin http://127.0.0.1:9081 --json")]
    Inspect(Inspect),
    /// Purge an object from an edge, or all objects of a prefix or of a channel.
    #[command(after_help = "\
Examples (with the edge's token in SEAWALL_ADMIN_TOKEN):
  seawall purge http://127.0.0.1:8081/live/demo/main.m3u8
  seawall purge http://127.0.0.1:8081/live/demo/ --prefix --soft
  seawall purge http://127.0.0.1:8081 --channel demo")]
    Purge(Purge),
    /// Inspect a folder of likes: print counts, verify, export, or truncate a damaged log.
    #[command(
        subcommand,
        after_help = "\
Examples:
  seawall likes counts                       every channel and its counts
  seawall likes verify                       replay the log: is it whole, does its hash hold?
  seawall likes export --format json > likes.json
  seawall likes truncate --at 17             give up entry 17 and all behind it"
    )]
    Likes(LikesCommand),
    /// List the built-in scenarios, or explain one.
    #[command(after_help = "\
Examples:
  seawall scenarios                                       all, with a line for each
  seawall scenarios celebrity-live > my-event.toml        a start for one of your own
  seawall surge ./my-event.toml                           plays it")]
    Scenarios(Scenarios),
    /// Print the configuration as TOML, with the meaning of each key above it, secrets redacted.
    #[command(after_help = "\
Examples:
  seawall config > seawall.toml           every key, with its default
  seawall config --config seawall.toml    the values in force with that file")]
    Config(File),
    /// Print this, or the help of a command.
    #[command(after_help = "\
Example:
  seawall help surge")]
    Help(Help),
}

/// Flags of `seawall help`.
#[derive(Debug, Args)]
pub struct Help {
    /// A command, and one of its own.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl Help {
    /// The help that is wanted.
    ///
    /// # Errors
    /// There is no such command.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut command = Cli::command();
        command.build();
        for name in &self.command {
            let found = command.find_subcommand(name).cloned();
            command = found.with_context(|| {
                format!("there is no command {name:?}; `seawall help` lists all")
            })?;
        }
        Ok(command.render_help().to_string())
    }
}

/// Flags of `seawall top`.
#[derive(Debug, Args)]
pub struct Top {
    /// The address of an admin listener. That of the origin of `seawall up` names all components. Repeat the flag for several.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "http://127.0.0.1:9000",
        value_delimiter = ','
    )]
    pub admin: Vec<String>,
    /// The address at which a surge serves the metrics of its viewers (`seawall surge --metrics ADDR`). Without a surge there, the
    /// viewers are left out.
    #[arg(long, value_name = "ADDR", default_value = "http://127.0.0.1:9070")]
    pub audience: String,
    /// Seconds between two updates of the view.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,
    /// Print one line of text per interval instead of the picture. This is the default if stdout is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// Print one such line and exit.
    #[arg(long)]
    pub once: bool,
}

/// Flags of `seawall inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The object's URL at an edge.
    #[arg(value_name = "URL")]
    pub url: String,
    /// The edge's admin listener. Default: the port of the URL plus 1,000.
    #[arg(long, env = "SEAWALL_ADMIN_URL", value_name = "URL")]
    pub admin: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `seawall purge`.
#[derive(Debug, Args)]
pub struct Purge {
    /// The object's URL at an edge.
    #[arg(value_name = "URL")]
    pub url: String,
    /// Purge every object whose path begins with the path of the URL.
    #[arg(long, conflicts_with = "channel")]
    pub prefix: bool,
    /// Purge every object of this channel.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Make objects stale instead of removing them. The edge serves them during the refresh, or when the origin fails.
    #[arg(long)]
    pub soft: bool,
    /// The edge's admin listener. Default: the port of the URL plus 1,000.
    #[arg(long, env = "SEAWALL_ADMIN_URL", value_name = "URL")]
    pub admin: Option<String>,
    /// The edge's admin token. SEAWALL_ADMIN_TOKEN is safer: `ps` shows this flag.
    #[arg(
        long,
        env = "SEAWALL_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: String,
}

/// The file that every component may read.
#[derive(Debug, Args)]
pub struct File {
    /// A TOML file; `seawall config` prints one with every key.
    #[arg(long, env = "SEAWALL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Flags of the stream itself.
#[derive(Debug, Args)]
pub struct Stream {
    /// The channel's name in URLs and on the picture.
    #[arg(long, env = "SEAWALL_CHANNEL", value_name = "NAME")]
    channel: Option<String>,
    /// Parts of 0.32 s per segment: 6 is 1.92 s, 9 is 2.88 s.
    #[arg(long, env = "SEAWALL_PARTS", value_name = "COUNT")]
    parts: Option<u32>,
    /// Renditions, lowest first: 180p, 360p, 720p, 1080p.
    #[arg(
        long,
        env = "SEAWALL_RENDITIONS",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    renditions: Option<Vec<String>>,
}

/// Flags of the admin listener of a component that runs alone.
#[derive(Debug, Args)]
pub struct Operators {
    /// The token that an operator must send to change anything, or to see the configuration. SEAWALL_ADMIN_TOKEN is safer:
    /// `ps` shows this flag.
    #[arg(
        long,
        env = "SEAWALL_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,
    /// A component in another program that `/-/targets` lists too, so that Prometheus needs this address alone:
    /// COMPONENT/NAME=HOST:PORT, such as edge/edge-1=127.0.0.1:9081. Repeat the flag for several.
    #[arg(
        long = "targets",
        env = "SEAWALL_ADMIN_TARGETS",
        value_name = "TARGET",
        value_delimiter = ','
    )]
    targets: Vec<Target>,
}

/// Flags of `seawall up`.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    stream: Stream,
    /// Number of edges.
    #[arg(long, env = "SEAWALL_EDGES", value_name = "COUNT")]
    edges: Option<u32>,
    /// The token that an operator must send to change anything, or to see the configuration. SEAWALL_ADMIN_TOKEN is safer:
    /// `ps` shows this flag.
    #[arg(
        long,
        env = "SEAWALL_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<String>,
    /// Shields between edges and origin: number of groups and shields per group, as 2x2. Each group asks the origin once.
    #[arg(long, env = "SEAWALL_SHIELDS", value_name = "GROUPSxN")]
    shields: Option<Shields>,
    /// How misses are handled.
    #[arg(long, env = "SEAWALL_MISS_QUEUE", value_name = "HOW", value_parser = miss_queue(), conflicts_with = "surge")]
    miss_queue: Option<MissQueue>,
    /// Bytes that each edge's cache may hold, such as 2147483648, 2G or 2GiB.
    #[arg(long, env = "SEAWALL_CACHE_BYTES", value_name = "BYTES", value_parser = bytes)]
    cache_bytes: Option<u64>,
    /// The address at which the origin listens.
    #[arg(long, env = "SEAWALL_ORIGIN_LISTEN", value_name = "ADDR", value_parser = address)]
    origin_listen: Option<SocketAddr>,
    /// The address of the origin's metrics and health.
    #[arg(long, env = "SEAWALL_ORIGIN_ADMIN", value_name = "ADDR", value_parser = address)]
    origin_admin: Option<SocketAddr>,
    /// The address at which the first edge listens. Further edges take the ports above it. Port 0: any free ports.
    #[arg(long, env = "SEAWALL_EDGE_LISTEN", value_name = "ADDR", value_parser = address)]
    edge_listen: Option<SocketAddr>,
    /// The address of the first edge's metrics and health. Further edges take the ports above it.
    #[arg(long, env = "SEAWALL_EDGE_ADMIN", value_name = "ADDR", value_parser = address)]
    edge_admin: Option<SocketAddr>,
    /// The folder of the live window.
    #[arg(long, env = "SEAWALL_SEGMENTS", value_name = "DIR")]
    segments: Option<PathBuf>,
    /// Start each part as a separate process, so that one can be killed, stopped or watched alone.
    #[arg(long, conflicts_with_all = ["surge", "shields"])]
    pub processes: bool,
    /// Play this scenario at the edges, in each of its variants or without the miss queue and with it, and print the report. With a terminal the
    /// stream then stays up; without one the program ends with the run's exit code.
    #[arg(long, value_name = "SCENARIO")]
    pub surge: Option<String>,
    /// Write the report of that surge to this folder: report.html, report.md, summary.json, timeseries.csv.
    #[arg(long, env = "SEAWALL_REPORT", value_name = "DIR", requires = "surge")]
    pub report: Option<PathBuf>,
    /// The address at which Prometheus can scrape the audience of that surge, such as 127.0.0.1:9070.
    #[arg(long, env = "SEAWALL_METRICS", value_name = "ADDR", value_parser = address, requires = "surge")]
    pub metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub capacity: Capacity,
}

/// Flags for what an origin can do.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What the origin can do")]
pub struct Capacity {
    /// Mean time that the origin works on a request, in milliseconds.
    #[arg(long, env = "SEAWALL_ORIGIN_LATENCY_MS", value_name = "MS")]
    origin_latency_ms: Option<f64>,
    /// How single requests differ from that mean.
    #[arg(long, env = "SEAWALL_ORIGIN_LAW", value_name = "LAW", value_parser = law())]
    origin_law: Option<Law>,
    /// Number of requests that the origin works on at once.
    #[arg(long, env = "SEAWALL_ORIGIN_SLOTS", value_name = "COUNT")]
    origin_slots: Option<u32>,
    /// Number of requests that wait for a slot. A request beyond them gets 503.
    #[arg(long, env = "SEAWALL_ORIGIN_QUEUE", value_name = "COUNT")]
    origin_queue: Option<u32>,
    /// Bits per second that all answers of the origin share.
    #[arg(long, env = "SEAWALL_ORIGIN_BANDWIDTH_BPS", value_name = "BPS")]
    origin_bandwidth_bps: Option<u64>,
}

impl Capacity {
    /// Whether the user gave any of them.
    pub fn is_given(&self) -> bool {
        self.origin_latency_ms.is_some()
            || self.origin_law.is_some()
            || self.origin_slots.is_some()
            || self.origin_queue.is_some()
            || self.origin_bandwidth_bps.is_some()
    }

    /// Sets what the user gave.
    pub fn lay_over(&self, settings: &mut CapacitySettings) {
        set(&mut settings.latency_ms, &self.origin_latency_ms);
        set(&mut settings.law, &self.origin_law);
        settings.slots = self.origin_slots.or(settings.slots);
        set(&mut settings.queue, &self.origin_queue);
        settings.bandwidth_bps = self.origin_bandwidth_bps.or(settings.bandwidth_bps);
    }
}

/// Flags of `seawall broadcast`.
#[derive(Debug, Args)]
pub struct Broadcast {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    stream: Stream,
    /// The origin's ingest listener.
    #[arg(long, env = "SEAWALL_TO", value_name = "URL")]
    to: Option<String>,
    /// The token of that listener. SEAWALL_TOKEN is safer: `ps` shows this flag.
    #[arg(
        long,
        env = "SEAWALL_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// Number of segments that the origin lists. The broadcaster sends this many at the start.
    #[arg(long, env = "SEAWALL_WINDOW", value_name = "COUNT")]
    window: Option<u64>,
}

/// Flags of `seawall origin`.
#[derive(Debug, Args)]
pub struct OriginArguments {
    #[command(flatten)]
    file: File,
    /// The address for edges and viewers. Port 0: any free port.
    #[arg(long, env = "SEAWALL_LISTEN", value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The address for metrics and health.
    #[arg(long, env = "SEAWALL_ADMIN", value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The address at which a broadcaster uploads segments; it needs a token.
    #[arg(long, env = "SEAWALL_INGEST", value_name = "ADDR", value_parser = address)]
    ingest: Option<SocketAddr>,
    /// The token that a broadcaster must send. SEAWALL_TOKEN is safer: `ps` shows this flag.
    #[arg(
        long,
        env = "SEAWALL_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// The folder of the live window.
    #[arg(long, env = "SEAWALL_SEGMENTS", value_name = "DIR")]
    segments: Option<PathBuf>,
    /// Number of segments that a playlist lists.
    #[arg(long, env = "SEAWALL_WINDOW", value_name = "COUNT")]
    window: Option<u64>,
    #[command(flatten)]
    operators: Operators,
    #[command(flatten)]
    capacity: Capacity,
}

/// Flags of `seawall edge`.
#[derive(Debug, Args)]
pub struct EdgeArguments {
    #[command(flatten)]
    file: File,
    /// Its name in metrics, `Via` and `Cache-Status`.
    #[arg(long, env = "SEAWALL_NAME", value_name = "NAME")]
    name: Option<String>,
    /// The address for viewers. Port 0: any free port.
    #[arg(long, env = "SEAWALL_LISTEN", value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The address for metrics and health.
    #[arg(long, env = "SEAWALL_ADMIN", value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The origin, or a shield before it. With several, each object has a first server of its own. The edge
    /// asks another one if that server fails.
    #[arg(
        long,
        env = "SEAWALL_UPSTREAM",
        value_name = "URL",
        value_delimiter = ','
    )]
    upstream: Vec<String>,
    /// How misses are handled.
    #[arg(long, env = "SEAWALL_MISS_QUEUE", value_name = "HOW", value_parser = miss_queue())]
    miss_queue: Option<MissQueue>,
    /// Bytes that the cache may hold, such as 2147483648, 2G or 2GiB.
    #[arg(long, env = "SEAWALL_CACHE_BYTES", value_name = "BYTES", value_parser = bytes)]
    cache_bytes: Option<u64>,
    #[command(flatten)]
    operators: Operators,
}

/// Flags of `seawall surge`.
#[derive(Debug, Args)]
pub struct Surge {
    /// A built-in scenario, or the path of a TOML file.
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,
    /// A running edge, or the URL of a playlist at any other server. Repeat the flag for several, or separate them with
    /// commas. The surge changes nothing there.
    #[arg(long = "target", env = "SEAWALL_TARGET", value_name = "URL")]
    pub targets: Vec<String>,
    /// A header of every request to other people's servers, such as "Authorization: Bearer ..."; may be given several times. It
    /// replaces our own of that name. Authorization and Cookie go to the hosts of the targets alone.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, requires = "targets")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Take any certificate from an https:// target. Without this: those that this machine trusts (SSL_CERT_FILE).
    #[arg(long, requires = "targets")]
    pub insecure: bool,
    /// The admin listener of Seawall's origin behind those edges, which counts its hits.
    #[arg(
        long,
        env = "SEAWALL_ORIGIN_ADMIN_URL",
        value_name = "URL",
        requires = "targets"
    )]
    pub origin_admin: Option<String>,
    /// The channel to watch at a running edge.
    #[arg(
        long,
        env = "SEAWALL_CHANNEL",
        value_name = "NAME",
        default_value = "demo",
        requires = "targets"
    )]
    pub channel: String,
    /// Shields between the edges and the origin of this run's cluster, as 2x2.
    #[arg(long, value_name = "GROUPSxN", conflicts_with = "targets")]
    pub shields: Option<Shields>,
    /// Number of edges of this run's cluster.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64), conflicts_with = "targets")]
    pub edges: Option<u32>,
    /// How misses are handled by this run's cluster. With --target: the setting with which those edges were started, so that
    /// the report predicts the right number.
    #[arg(long, value_name = "HOW", default_value = "flights")]
    pub miss_queue: MissQueue,
    /// Play the scenario two to five times with one seed, each time at a new cold cluster, with one setting changed:
    /// miss-queue=flights,off, prefetch=on,off, refresh=on,off, shield=none,2x2, freshness=0,50, eviction=lru,tiny-lfu,
    /// likes=on,off, edges=1,3, origin-slots=none,16, origin-queue=0,32, origin-latency-ms=50,300, parts=6,9 or window=6,10.
    #[arg(long, value_name = "KNOB=A,B", conflicts_with = "targets")]
    pub ab: Option<Ab>,
    /// Play each variant that the scenario names, with one seed, each at a new cold cluster.
    #[arg(long, conflicts_with_all = ["targets", "ab", "miss_queue"])]
    pub compare: bool,
    /// The seed: another one draws another audience of the same kind.
    #[arg(long, env = "SEAWALL_SEED", value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Number of viewers, instead of the scenario's.
    #[arg(long, env = "SEAWALL_VIEWERS", value_name = "COUNT")]
    pub viewers: Option<u32>,
    /// Write a report to this folder: report.html, report.md, summary.json, timeseries.csv.
    #[arg(long, env = "SEAWALL_REPORT", value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// The address at which Prometheus can scrape the audience during the surge, such as 127.0.0.1:9070.
    #[arg(long, env = "SEAWALL_METRICS", value_name = "ADDR", value_parser = address)]
    pub metrics: Option<SocketAddr>,
    /// Print every table instead of one screen.
    #[arg(long, conflicts_with = "json")]
    pub full: bool,
    /// Print the summary as one JSON document.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub capacity: Capacity,
}

/// Flags of `seawall simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// A built-in scenario, or the path of a TOML file.
    #[arg(value_name = "SCENARIO", required_unless_present = "random_faults")]
    pub scenario: Option<String>,
    /// Play this number of random worlds with random faults, each from a seed of its own, and check what must never happen.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["scenario", "real", "viewers", "pops", "set", "ab", "sweep", "seeds", "report"])]
    pub random_faults: Option<u64>,
    /// Play the real profile, with a player for each viewer, instead of the table `sim`.
    #[arg(long, conflicts_with_all = ["sweep", "set", "viewers", "pops", "ab"])]
    pub real: bool,
    /// Number of viewers, instead of the scenario's.
    #[arg(long, env = "SEAWALL_VIEWERS", value_name = "COUNT")]
    pub viewers: Option<u64>,
    /// Number of points of presence, instead of the scenario's.
    #[arg(long, value_name = "COUNT")]
    pub pops: Option<u32>,
    /// Set a key of the table `sim`, such as origin_ms=80; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Assignment>,
    /// How misses are handled: flights or off.
    #[arg(long, value_name = "HOW", default_value = "flights")]
    pub miss_queue: MissQueue,
    /// Play the scenario once for each value of a key, such as miss-queue=flights,off or shield_groups=0,4, and report all runs
    /// beside each other.
    #[arg(long, value_name = "KEY=A,B", conflicts_with = "sweep")]
    pub ab: Option<Values>,
    /// Play the scenario once for each value of a key, or of two keys, and print a table.
    #[arg(long, value_name = "KEY=A,B,C")]
    pub sweep: Vec<Values>,
    /// The seed: another one draws another audience of the same kind.
    #[arg(long, env = "SEAWALL_SEED", value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Play this number of seeds, one after another from the first on, and print means with their 99 % intervals.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(2..=100), conflicts_with_all = ["ab", "sweep"])]
    pub seeds: Option<u32>,
    /// Play no faster than this number of virtual seconds per second, such as 60.
    #[arg(long, value_name = "TIMES", value_parser = speed, conflicts_with_all = ["ab", "sweep", "seeds", "random_faults"])]
    pub speed: Option<f64>,
    /// Serve the figures as metrics at this address while the scenario is played, for Prometheus and the dashboards. After the end
    /// Seawall waits for one more scrape.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["ab", "sweep", "seeds", "random_faults"])]
    pub metrics: Option<SocketAddr>,
    /// Write a report to this folder.
    #[arg(long, env = "SEAWALL_REPORT", value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print every table instead of one screen.
    #[arg(long, conflicts_with = "json")]
    pub full: bool,
    /// Print the summary as one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// A speed above 0.
fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    match (0.001..=1e9).contains(&speed) {
        true => Ok(speed),
        false => Err("a speed is from 0.001 to 1000000000 virtual seconds per second".to_owned()),
    }
}

/// Flags of `seawall twin`.
#[derive(Debug, Args)]
pub struct TwinFlags {
    /// A built-in scenario, or the path of a TOML file.
    #[arg(value_name = "SCENARIO")]
    pub scenario: String,
    /// Number of viewers, instead of the scenario's.
    #[arg(long, env = "SEAWALL_VIEWERS", value_name = "COUNT")]
    pub viewers: Option<u32>,
    /// The seed of both.
    #[arg(long, env = "SEAWALL_SEED", value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How misses are handled: flights or off.
    #[arg(long, value_name = "HOW", default_value = "flights")]
    pub miss_queue: MissQueue,
    /// Write twin.html and twin.json to this folder.
    #[arg(long, env = "SEAWALL_REPORT", value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print the comparison as one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `seawall compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The earlier run: its summary.json, or the folder with its report. Several runs with other seeds are separated by commas.
    #[arg(value_name = "A", required = true, num_args = 1, value_delimiter = ',')]
    pub a: Vec<PathBuf>,
    /// The later run, in the same form.
    #[arg(value_name = "B", required = true, num_args = 1, value_delimiter = ',')]
    pub b: Vec<PathBuf>,
    /// Changes of at most this many per cent are noise.
    #[arg(long, value_name = "PERCENT", default_value_t = compare::NOISE * 100.0)]
    pub noise: f64,
    /// Also write the comparison as a page to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print it as one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// What `seawall likes` does.
#[derive(Debug, Subcommand)]
pub enum LikesCommand {
    /// Print every channel and its counts. The origin may run meanwhile.
    #[command(after_help = "\
Example:
  seawall likes counts --dir segments/.likes --json")]
    Counts(LikesCounts),
    /// Read the whole log, check it, replay it, and compare hashes. The origin may run meanwhile.
    #[command(after_help = "\
Example:
  seawall likes verify --dir segments/.likes

Exit codes: 0 all of it is whole, 1 something is damaged; what and where is said.")]
    Verify(LikesFolder),
    /// Remove an entry of the log and all later ones, for good. The origin must not run.
    #[command(after_help = "\
Example:
  seawall likes truncate --dir segments/.likes --shard 0 --at 17")]
    Truncate(LikesTruncate),
    /// Export the likes of every viewer. The origin may run meanwhile.
    #[command(after_help = "\
Example:
  seawall likes export --channel demo --format csv > likes.csv")]
    Export(LikesExport),
}

/// Which likes.
#[derive(Debug, Args)]
pub struct LikesFolder {
    #[command(flatten)]
    file: File,
    /// The folder of likes. Default: that of the configuration.
    #[arg(long, env = "SEAWALL_LIKES", value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Flags of `seawall likes counts`.
#[derive(Debug, Args)]
pub struct LikesCounts {
    /// Which likes.
    #[command(flatten)]
    pub folder: LikesFolder,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `seawall likes truncate`.
#[derive(Debug, Args)]
pub struct LikesTruncate {
    /// Which likes.
    #[command(flatten)]
    pub folder: LikesFolder,
    /// The number of the shard.
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub shard: u32,
    /// The first entry to remove.
    #[arg(long, value_name = "ENTRY", value_parser = clap::value_parser!(u64).range(1..))]
    pub at: u64,
}

/// Flags of `seawall likes export`.
#[derive(Debug, Args)]
pub struct LikesExport {
    /// Which likes.
    #[command(flatten)]
    pub folder: LikesFolder,
    /// Export only this channel.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// The format.
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub format: ExportFormat,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A line per viewer: channel, viewer, whether it likes, the number of its last like or unlike.
    Csv,
    /// A document: the channels with their counts and viewers.
    Json,
}

/// Flags of `seawall scenarios`.
#[derive(Debug, Args)]
pub struct Scenarios {
    /// Print this scenario as TOML in which every key is explained: a start for one of your own. A built-in name, or the path of a
    /// file.
    #[arg(value_name = "SCENARIO")]
    pub name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl File {
    /// The configuration that follows from these flags.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref())?.checked()?)
    }

    fn with(&self, lay_over: impl FnOnce(&mut Config)) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        lay_over(&mut config);
        Ok(config.checked()?)
    }
}

impl Operators {
    fn lay_over(&self, config: &mut Config) {
        let admin = &mut config.admin;
        admin.token = self.admin_token.clone().or(admin.token.take());
        if !self.targets.is_empty() {
            admin.targets.clone_from(&self.targets);
        }
    }
}

impl LikesFolder {
    /// The configuration that follows from these flags: where likes are stored, and by which backend.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        self.file.with(|config| {
            config.likes.dir = self.dir.clone().or(config.likes.dir.take());
        })
    }
}

impl Stream {
    fn lay_over(&self, config: &mut Config) {
        set(&mut config.channel.name, &self.channel);
        set(&mut config.channel.parts_per_segment, &self.parts);
        set(&mut config.channel.renditions, &self.renditions);
    }
}

impl Up {
    /// The configuration that follows from these flags.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value, or a flag is outside its range.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        self.file.with(|config| {
            self.stream.lay_over(config);
            set(&mut config.edge.count, &self.edges);
            config.edge.shields = self.shields.or(config.edge.shields);
            let token = self.admin_token.clone();
            config.admin.token = token.or(config.admin.token.take());
            set(&mut config.edge.miss_queue, &self.miss_queue);
            set(&mut config.edge.cache_bytes, &self.cache_bytes);
            set(&mut config.edge.listen, &self.edge_listen);
            set(&mut config.edge.admin, &self.edge_admin);
            self.capacity.lay_over(&mut config.origin.capacity);
            set(&mut config.origin.listen, &self.origin_listen);
            set(&mut config.origin.admin, &self.origin_admin);
            set(&mut config.origin.segments, &self.segments);
        })
    }
}

impl Broadcast {
    /// The configuration that follows from these flags.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value, or a flag is outside its range.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        self.file.with(|config| {
            self.stream.lay_over(config);
            config.broadcast.to = self.to.clone().or(config.broadcast.to.take());
            config.broadcast.token = self.token.clone().or(config.broadcast.token.take());
            set(&mut config.origin.window, &self.window);
        })
    }
}

impl OriginArguments {
    /// The configuration that follows from these flags.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value, or a flag is outside its range.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        self.file.with(|config| {
            let origin = &mut config.origin;
            set(&mut origin.listen, &self.listen);
            set(&mut origin.admin, &self.admin);
            origin.ingest = self.ingest.or(origin.ingest);
            origin.token = self.token.clone().or(origin.token.take());
            set(&mut origin.segments, &self.segments);
            set(&mut origin.window, &self.window);
            self.capacity.lay_over(&mut origin.capacity);
            self.operators.lay_over(config);
        })
    }
}

impl EdgeArguments {
    /// The configuration that follows from these flags.
    ///
    /// # Errors
    /// The file is unreadable or has an invalid value, or a flag is outside its range.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        self.file.with(|config| {
            let edge = &mut config.edge;
            set(&mut edge.name, &self.name);
            set(&mut edge.listen, &self.listen);
            set(&mut edge.admin, &self.admin);
            if !self.upstream.is_empty() {
                edge.upstreams.clone_from(&self.upstream);
            }
            set(&mut edge.miss_queue, &self.miss_queue);
            set(&mut edge.cache_bytes, &self.cache_bytes);
            self.operators.lay_over(config);
        })
    }
}

/// Seconds between two updates.
fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds| (0.2..=60.0).contains(seconds))
        .ok_or_else(|| "it is a number of seconds from 0.2 to 60, such as 1".to_owned())
}

/// An address to listen on. The standard library's error does not show the format.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an address is written IP:PORT, such as 127.0.0.1:8081 (port 0: any free one)")
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let refused = "expected NAME: VALUE, such as \"Authorization: Bearer abc\"";
    let (name, value) = text.split_once(':').ok_or(refused)?;
    let name = name.trim().parse().map_err(|_| refused)?;
    let value = value.trim().parse().map_err(|_| refused)?;
    Ok((name, value))
}

/// The names of the miss queues, listed in `--help`.
fn miss_queue() -> impl TypedValueParser<Value = MissQueue> {
    PossibleValuesParser::new(MissQueue::ALL.map(MissQueue::word))
        .try_map(|word| word.parse::<MissQueue>())
}

/// The names of the laws of latency, listed in `--help`.
fn law() -> impl TypedValueParser<Value = Law> {
    PossibleValuesParser::new(Law::ALL.map(Law::word)).map(|word| {
        let named = Law::ALL.into_iter().find(|law| law.word() == word);
        named.unwrap_or_default()
    })
}

fn set<T: Clone>(place: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        *place = value.clone();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_lie_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seawall.toml");
        std::fs::write(
            &file,
            "[edge]\nname = \"from-file\"\ncache_bytes = 2097152\n",
        )
        .unwrap();
        let cli = Cli::parse_from([
            "seawall",
            "edge",
            "--config",
            file.to_str().unwrap(),
            "--name",
            "from-flag",
        ]);
        let Command::Edge(edge) = cli.command else {
            panic!("not an edge")
        };
        let config = edge.resolve().unwrap();
        assert_eq!(
            (config.edge.name.as_str(), config.edge.cache_bytes),
            ("from-flag", 2_097_152)
        );
    }
}
