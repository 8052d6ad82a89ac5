//! Every key of the configuration, except the edge's bounds, which `policy::limits` declares.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shields::Shields;
use super::table::{self, IfSet, Of, Such, Urls, table};
use super::target::Target;
use crate::hls::ladder::Rendition;
use crate::hls::names;
use crate::hls::steering::Pathway;
use crate::hls::timeline::{Layout, PARTS_PER_SEGMENT};
use crate::likes::LikesLimits;
use crate::likes::durability::{Ack, SnapshotDue};
use crate::policy::capacity::{Capacity, Latency, Law};
use crate::policy::limits::{self, OutOfRange};
use crate::policy::status::MissQueue;

/// A name in URLs.
const NAME: Such<String> = Such(|name| names::is_name(name), "1 to 64 of a-z, 0-9, - and _");
/// A time that something may take.
const SPAN: Of<RangeInclusive<u64>> = Of(1..=600_000, "milliseconds");

table! {
    /// The channel to broadcast.
    ChannelSettings as "channel" {
        /// Name in URLs and on the picture.
        name: String = "demo".to_owned(), NAME;
        /// Seed of the picture's noise.
        seed: u64 = 1;
        /// Parts of 0.32 s per segment: 6 is 1.92 s, 9 is 2.88 s.
        parts_per_segment: u32 = Layout::default().parts_per_segment, Of(PARTS_PER_SEGMENT, "(0.96 s to 9.92 s)");
        /// Renditions by name, lowest first: 180p, 360p, 720p, 1080p.
        renditions: Vec<String> = names_of(&Layout::default().ladder),
            Such(|names: &Vec<String>| are_known(names), "some of 180p, 360p, 720p and 1080p, each once");
        /// UNIX time in milliseconds at which the broadcast began; unset: the time of its first start.
        started_at_ms: Option<u64> = None;
    }
}

table! {
    /// Where a separate broadcaster publishes.
    BroadcastSettings as "broadcast" {
        /// `http://host:port` of the origin's ingest listener.
        to: Option<String> = None;
        /// The token of the ingest listener.
        token: Option<String> = None;
    }
}

table! {
    /// The origin.
    OriginSettings as "origin" {
        /// The address for edges and viewers.
        listen: SocketAddr = loopback(8000);
        /// The address for metrics and health.
        admin: SocketAddr = loopback(9000);
        /// The address at which a broadcaster uploads segments; unset: none.
        ingest: Option<SocketAddr> = None;
        /// The token that a broadcaster must send.
        token: Option<String> = None;
        /// The folder of the live window.
        segments: PathBuf = PathBuf::from("segments");
        /// Number of segments that a playlist lists.
        window: u64 = 10, Of(6..=1_000, "segments");
        /// Other ways to its streams, as NAME=URL of an edge each: players are steered between them (content steering).
        pathways: Vec<Pathway> = Vec::new(), Such(|list: &Vec<Pathway>| list.len() <= 64, "at most 64");
        /// Seconds for which players keep a steering manifest.
        steering_ttl_s: u32 = 300, Of(1..=86_400, "seconds");
    }
    with {
        /// What it can do for edges and viewers.
        capacity: CapacitySettings;
    }
}

table! {
    /// What the origin can do for edges and viewers.
    CapacitySettings as "origin.capacity" {
        /// Number of requests that it works on at once; unset: no bound.
        slots: Option<u32> = None, IfSet(1..=100_000);
        /// Number of requests that wait for a slot, if slots are set. A request beyond them gets 503.
        queue: u32 = 0, 0..=1_000_000;
        /// Mean time that it works on a request, in milliseconds, because on loopback a fetch would otherwise take no time.
        latency_ms: f64 = 0.0, Of(0.0..=60_000.0, "milliseconds");
        /// How single requests differ from that mean: `fixed`, `exponential` or `log-normal`.
        law: Law = Law::Fixed;
        /// Bits per second that all its answers share; unset: no bound.
        bandwidth_bps: Option<u64> = None, IfSet(Of(8_000..=1_000_000_000_000, "bits per second"));
    }
}

table! {
    /// Every edge.
    EdgeSettings as "edge" {
        /// Name in metrics, `Via` and `Cache-Status`; `seawall up` numbers its edges.
        name: String = "edge".to_owned(), NAME;
        /// Groups of shields between edges and origin, and shields per group, as GROUPSxN; unset: none. Only for `seawall up`.
        shields: Option<Shields> = None;
        /// The address of the first shield. Further shields take the ports above it.
        shield_listen: SocketAddr = loopback(8281);
        /// The address for metrics and health of the first shield. Further shields take the ports above it.
        shield_admin: SocketAddr = loopback(9281);
        /// Number of edges that `seawall up` starts.
        count: u32 = 3, 1..=64;
        /// The address for viewers; the edges of `seawall up` take this port and those above it.
        listen: SocketAddr = loopback(8081);
        /// The address for metrics and health; the edges of `seawall up` take this port and those above it.
        admin: SocketAddr = loopback(9081);
        /// `http://host:port` of the origin, or of the shields before it; `seawall up` uses its own.
        upstreams: Vec<String> = vec!["http://127.0.0.1:8000".to_owned()];
        /// How misses are handled: flights, off, moka, poll-500ms.
        miss_queue: MissQueue = MissQueue::Flights;
        /// Bytes that the cache may hold.
        cache_bytes: u64 = 512 << 20, Of(1 << 20.., "bytes (1 MiB)");
        /// Maximum number of viewer connections; unset: 15,000, or three quarters of the descriptors.
        connections_max: Option<usize> = None, IfSet(1..=1_000_000);
        /// Whether segments are prefetched as soon as a playlist lists them, before a viewer asks.
        prefetch: bool = true;
        /// Whether a stale playlist is served while the edge refreshes it in the background.
        refresh: bool = true;
        /// The file for the log of answered requests, one JSON object per line; unset: no log.
        access_log: Option<PathBuf> = None;
        /// One request in this many is logged.
        access_log_one_of: u64 = 1, 1..;
        /// Threads that serve viewers, for an edge that runs alone; unset: one per core.
        workers: Option<usize> = None, IfSet(1..=256);
    }
    with {
        /// The bounds of the edge.
        limits: limits::Keys;
    }
}

table! {
    /// Every admin listener.
    AdminSettings as "admin" {
        /// The token that an operator must send to change anything, or to see the configuration; unset: no operator may.
        token: Option<String> = None;
        /// Components elsewhere that `/-/targets` lists too, each as COMPONENT/NAME=HOST:PORT.
        targets: Vec<Target> = Vec::new();
    }
}

table! {
    /// Likes, which the origin keeps.
    LikesSettings as "likes" {
        /// Whether the origin takes likes.
        enabled: bool = true;
        /// The folder of the likes; unset: `.likes` in the origin's folder for segments.
        dir: Option<PathBuf> = None;
        /// Number of logs; a channel belongs to one of them. The number never changes for a folder.
        shards: u32 = 1, 1..=16;
        /// Where likes are made durable: `sqlite`, a file in that folder, or `jetstream`, servers of NATS that several origins
        /// share.
        backend: Backend = Backend::Sqlite;
        /// When the embedded log acknowledges a like: `disk`, or `memory`, which is only for comparisons.
        ack: Ack = Ack::Disk;
        /// Maximum number of operations that wait to be made durable, per shard.
        queue_operations_max: usize = LikesLimits::default().queue_operations_max, 1..=1 << 30;
        /// Maximum size of these operations, in bytes.
        queue_bytes_max: usize = LikesLimits::default().queue_bytes_max, 1..=1 << 30;
        /// Maximum size of an embedded log in bytes; above it likes are refused.
        log_bytes_max: u64 = LikesLimits::default().log_bytes_max;
        /// Free bytes on the disk, below which likes are refused.
        disk_free_bytes_min: u64 = LikesLimits::default().disk_free_bytes_min;
        /// Maximum number of readers that wait for counts.
        waiting_readers_max: usize = LikesLimits::default().waiting_readers_max, 1..=1 << 30;
        /// Maximum number of operations per second of one viewer.
        viewer_rate_max: u32 = LikesLimits::default().viewer_rate_max, Of(1..=1_000_000, "per second");
        /// Maximum number of operations per second of one address.
        address_rate_max: u32 = LikesLimits::default().address_rate_max, Of(1..=1_000_000, "per second");
        /// Whether the rate also applies to loopback addresses.
        loopback_counts: bool = false;
        /// Addresses of edges on other machines. The origin trusts the viewer addresses that these edges report.
        edges: Vec<IpAddr> = Vec::new();
        /// How many milliseconds a like waits to be durable before its sender gets `outcome-unknown`.
        append_wait_ms: u64 = millis(LikesLimits::default().append_wait), SPAN;
        /// How many milliseconds a reader waits for counts to change.
        read_wait_ms: u64 = millis(LikesLimits::default().read_wait), SPAN;
        /// Milliseconds between two snapshots, if an operation was counted meanwhile.
        snapshot_every_ms: u64 = millis(SnapshotDue::default().every), SPAN;
        /// A snapshot is also written after this many operations.
        snapshot_operations: u64 = SnapshotDue::default().operations, 1..;
    }
    with {
        /// The servers of NATS.
        jetstream: JetStreamSettings;
    }
}

table! {
    /// Servers of NATS that keep likes.
    JetStreamSettings as "likes.jetstream" {
        /// URLs of servers in one cluster: `nats://host:port`, or `tls://host:port`.
        servers: Vec<String> = vec!["nats://127.0.0.1:4222".to_owned()],
            Urls(Such(|urls| are_servers(urls), "one URL or more, each nats://host:port or tls://host:port"));
        /// A file of credentials in the format of `nsc`; unset: none.
        credentials: Option<PathBuf> = None;
        /// A file that holds a token; unset: none.
        token_file: Option<PathBuf> = None;
        /// A user name; unset: none.
        user: Option<String> = None;
        /// The file with the user's password.
        password_file: Option<PathBuf> = None;
        /// Certificates of the authority that signed the servers' certificates, as PEM; unset: those of the system.
        tls_ca: Option<PathBuf> = None;
        /// Prefix of the streams' names, followed by `_` and the number of the shard.
        stream_prefix: String = "SEAWALL_LIKES".to_owned(), Such(|prefix: &String| is_prefix(prefix), "1 to 64 of A-Z, a-z, 0-9, - and _");
        /// Number of copies that the servers keep of each stream.
        replicas: usize = 3, 1..=5;
        /// Maximum size of a stream in bytes; above it likes are refused.
        max_bytes: u64 = 8 << 30, Of((1 << 20)..=i64::MAX as u64, "bytes");
        /// `http://host:port` of the monitoring port of every server that keeps a copy. The port reports whether the server writes
        /// to the disk before it acknowledges.
        monitor: Vec<String> = Vec::new(),
            Urls(Such(|urls| are_monitors(urls), "URLs, each http://host:port of a monitoring port"));
        /// Whether servers are accepted that acknowledge before the data is on the disk.
        allow_unsynced_ack: bool = false;
    }
}

/// Where likes are made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// An SQLite file in the folder.
    #[default]
    Sqlite,
    /// Streams of NATS JetStream.
    JetStream,
}

/// The credentials for servers of NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None, or those in the URLs.
    None,
    /// A file of credentials, as `nsc` writes it.
    File(PathBuf),
    /// A file that holds a token.
    TokenFile(PathBuf),
    /// A name, and a file that holds its password.
    User(String, PathBuf),
}

impl ChannelSettings {
    /// The layout of the stream. Unknown renditions are left out; [`Self::check`] refuses them.
    pub fn layout(&self) -> Layout {
        Layout {
            parts_per_segment: self.parts_per_segment,
            ladder: ladder(&self.renditions),
            ..Layout::default()
        }
    }
}

impl CapacitySettings {
    /// The settings in the form that the origin takes.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            slots: self.slots,
            queue: self.queue,
            latency: Latency {
                mean: Duration::try_from_secs_f64(self.latency_ms / 1e3).unwrap_or_default(),
                law: self.law,
            },
            bandwidth_bps: self.bandwidth_bps,
        }
    }
}

impl LikesSettings {
    /// The bounds in the form that the queue and the routes take.
    pub fn limits(&self) -> LikesLimits {
        LikesLimits {
            queue_operations_max: self.queue_operations_max,
            queue_bytes_max: self.queue_bytes_max,
            log_bytes_max: self.log_bytes_max,
            disk_free_bytes_min: self.disk_free_bytes_min,
            waiting_readers_max: self.waiting_readers_max,
            viewer_rate_max: self.viewer_rate_max,
            address_rate_max: self.address_rate_max,
            append_wait: Duration::from_millis(self.append_wait_ms),
            read_wait: Duration::from_millis(self.read_wait_ms),
            ..LikesLimits::default()
        }
    }

    /// When a snapshot is due.
    pub fn snapshot_due(&self) -> SnapshotDue {
        SnapshotDue {
            every: Duration::from_millis(self.snapshot_every_ms),
            operations: self.snapshot_operations,
        }
    }
}

impl JetStreamSettings {
    /// The defaults, for these servers.
    pub fn at(servers: Vec<String>) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// How this process logs in.
    pub fn credentials(&self) -> Credentials {
        match (&self.credentials, &self.token_file, &self.user) {
            (Some(file), ..) => Credentials::File(file.clone()),
            (_, Some(file), _) => Credentials::TokenFile(file.clone()),
            (_, _, Some(user)) => {
                Credentials::User(user.clone(), self.password_file.clone().unwrap_or_default())
            }
            _ => Credentials::None,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}

fn names_of(ladder: &[Rendition]) -> Vec<String> {
    let names = ladder.iter().map(|rendition| rendition.name.clone());
    names.collect()
}

fn ladder(names: &[String]) -> Vec<Rendition> {
    // In the order of the ladder: the lowest comes first for any order of names, and none comes twice.
    let known = Rendition::known().into_iter();
    known
        .filter(|rendition| names.contains(&rendition.name))
        .collect()
}

fn are_known(renditions: &[String]) -> bool {
    !renditions.is_empty() && ladder(renditions).len() == renditions.len()
}

fn begin_with(urls: &[String], schemes: &[&str]) -> bool {
    urls.iter()
        .all(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
}

fn are_servers(urls: &[String]) -> bool {
    !urls.is_empty() && begin_with(urls, &["nats://", "tls://"])
}

fn are_monitors(urls: &[String]) -> bool {
    begin_with(urls, &["http://"])
}

fn is_prefix(prefix: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed)
}
