//! The configuration: defaults, overridden by a TOML file, then by `SEAWALL_*` and flags.
//!
//! A file holds the requested values ([`Config`]). [`Config::checked`] checks every value against its range, or says which key
//! is wrong and what its value may be.

pub mod shields;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::shields::Shields;
use crate::hls::ladder::Rendition;
use crate::hls::names;
use crate::hls::timeline::{Layout, PARTS_PER_SEGMENT};
use crate::likes;
use crate::policy::limits;
use crate::policy::status::MissQueue;
use crate::serve;
use crate::serve::discovery::Target;
use crate::serve::likes::jetstream::{self, Credentials};
use crate::serve::likes::snapshotter::Due;
use crate::serve::likes::sqlite::Ack;
use crate::serve::redacted;

/// Everything that can be configured; each key has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The channel to broadcast.
    pub channel: ChannelSettings,
    /// The address of the origin, when the broadcaster runs separately.
    pub broadcast: BroadcastSettings,
    /// The origin.
    pub origin: OriginSettings,
    /// Every edge.
    pub edge: EdgeSettings,
    /// Every admin listener.
    pub admin: AdminSettings,
    /// Likes, which the origin keeps.
    pub likes: LikesSettings,
}

/// Every admin listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// The token that an operator must send to change anything, or to see the configuration; unset: no operator may.
    pub token: Option<String>,
    /// Components elsewhere that `/-/targets` lists too, each as COMPONENT/NAME=HOST:PORT.
    pub targets: Vec<Target>,
}

/// The channel to broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSettings {
    /// Name in URLs and on the picture.
    pub name: String,
    /// Seed of the picture's noise.
    pub seed: u64,
    /// Parts of 0.32 s per segment: 6 is 1.92 s, 9 is 2.88 s.
    pub parts_per_segment: u32,
    /// Renditions by name, lowest first: 180p, 360p, 720p, 1080p.
    pub renditions: Vec<String>,
    /// UNIX time in milliseconds at which the broadcast began; unset: the time of its first start.
    pub started_at_ms: Option<u64>,
}

/// Where a separate broadcaster publishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BroadcastSettings {
    /// `http://host:port` of the origin's ingest listener.
    pub to: Option<String>,
    /// The token of the ingest listener.
    pub token: Option<String>,
}

/// The origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginSettings {
    /// The address for edges and viewers.
    pub listen: SocketAddr,
    /// The address for metrics and health.
    pub admin: SocketAddr,
    /// The address at which a broadcaster uploads segments; unset: none.
    pub ingest: Option<SocketAddr>,
    /// The token that a broadcaster must send.
    pub token: Option<String>,
    /// The folder of the live window.
    pub segments: PathBuf,
    /// Number of segments that a playlist lists.
    pub window: u64,
    /// How long every answer waits, because on loopback a fetch would otherwise take no time.
    pub delay_ms: f64,
}

/// Every edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeSettings {
    /// Name in metrics, `Via` and `Cache-Status`; `seawall up` numbers its edges.
    pub name: String,
    /// Groups of shields between edges and origin, and shields per group, as GROUPSxN; unset: none. Only for `seawall up`.
    pub shields: Option<Shields>,
    /// The address of the first shield; the others take the ports above it.
    pub shield_listen: SocketAddr,
    /// The address for metrics and health of the first shield; the others take the ports above it.
    pub shield_admin: SocketAddr,
    /// Number of edges that `seawall up` starts.
    pub count: u32,
    /// The address for viewers; the edges of `seawall up` take this port and those above it.
    pub listen: SocketAddr,
    /// The address for metrics and health; the edges of `seawall up` take this port and those above it.
    pub admin: SocketAddr,
    /// `http://host:port` of the origin, or of the shields before it; `seawall up` uses its own.
    pub upstreams: Vec<String>,
    /// How misses are handled: flights, off, moka, poll-500ms.
    pub miss_queue: MissQueue,
    /// Bytes that the cache may hold.
    pub cache_bytes: u64,
    /// Maximum number of viewer connections; unset: 15,000, or three quarters of the descriptors.
    pub connections_max: Option<usize>,
    /// Whether segments are prefetched as soon as a playlist lists them, before a viewer asks.
    pub prefetch: bool,
    /// The file for the log of answered requests, one JSON object per line; unset: no log.
    pub access_log: Option<PathBuf>,
    /// One request in this many is logged.
    pub access_log_one_of: u64,
    /// Threads that serve viewers, for an edge that runs alone; unset: one per core.
    pub workers: Option<usize>,
    /// The bounds of the miss queue.
    pub limits: limits::Keys,
}

/// Likes; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LikesSettings {
    /// Whether the origin takes likes.
    pub enabled: bool,
    /// The folder of the likes; unset: `.likes` in the origin's folder for segments.
    pub dir: Option<PathBuf>,
    /// Number of logs; a channel belongs to one of them. The number never changes for a folder.
    pub shards: u32,
    /// Where likes are made durable: `sqlite`, a file in that folder, or `jetstream`, servers of NATS that several origins
    /// share.
    pub backend: Backend,
    /// When the embedded log acknowledges a like: `disk`, or `memory`, which is only for comparisons.
    pub ack: Ack,
    /// Maximum number of operations that wait to be made durable, per shard.
    pub queue_operations_max: usize,
    /// Maximum size of these operations, in bytes.
    pub queue_bytes_max: usize,
    /// Maximum size of an embedded log in bytes; above it likes are refused.
    pub log_bytes_max: u64,
    /// Free bytes on the disk, below which likes are refused.
    pub disk_free_bytes_min: u64,
    /// Maximum number of readers that wait for counts.
    pub waiting_readers_max: usize,
    /// Maximum number of operations per second of one viewer.
    pub viewer_rate_max: u32,
    /// Maximum number of operations per second of one address.
    pub address_rate_max: u32,
    /// Whether the rate also applies to loopback addresses.
    pub loopback_counts: bool,
    /// Addresses of edges on other machines. The origin trusts the viewer addresses that these edges report.
    pub edges: Vec<IpAddr>,
    /// How long a like waits to be durable before its sender gets `outcome-unknown`.
    pub append_wait_ms: u64,
    /// How long a reader waits for counts to change.
    pub read_wait_ms: u64,
    /// Time between two snapshots, if an operation was counted meanwhile.
    pub snapshot_every_ms: u64,
    /// A snapshot is also written after this many operations.
    pub snapshot_operations: u64,
    /// The servers of NATS.
    pub jetstream: JetStreamSettings,
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

/// Servers of NATS that keep likes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JetStreamSettings {
    /// URLs of servers in one cluster: `nats://host:port`, or `tls://host:port`.
    pub servers: Vec<String>,
    /// A file of credentials in the format of `nsc`; unset: none.
    pub credentials: Option<PathBuf>,
    /// A file that holds a token; unset: none.
    pub token_file: Option<PathBuf>,
    /// A user name; unset: none.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// Certificates of the authority that signed the servers' certificates, as PEM; unset: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// Prefix of the streams' names, followed by `_` and the number of the shard.
    pub stream_prefix: String,
    /// Number of copies that the servers keep of each stream.
    pub replicas: usize,
    /// Maximum size of a stream in bytes; above it likes are refused.
    pub max_bytes: u64,
    /// `http://host:port` of the monitoring port of every server that keeps a copy. The port reports whether the server writes
    /// to the disk before it acknowledges.
    pub monitor: Vec<String>,
    /// Whether servers are accepted that acknowledge before the data is on the disk.
    pub allow_unsynced_ack: bool,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A limit of the edges is outside its range.
    #[error(transparent)]
    Limit(#[from] limits::OutOfRange),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; name another file with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The text is not TOML, or has a key that does not exist; the message has line and column.
    #[error(
        "{path} is not a configuration of Seawall: {}\n`seawall config` prints one with every key",
        source.to_string().trim_end()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<toml::de::Error>,
    },
    /// A value is outside its range.
    #[error("{key} is {found}, but must be {rule}")]
    OutOfRange {
        /// The key, with its table.
        key: &'static str,
        /// The value.
        found: String,
        /// The rule for the value.
        rule: &'static str,
    },
    /// A command needs a value that has no default; the sentence says which.
    #[error("{0}")]
    Missing(&'static str),
}

impl Default for ChannelSettings {
    fn default() -> Self {
        let Layout {
            parts_per_segment,
            ladder,
        } = Layout::default();
        let renditions = ladder.into_iter().map(|rendition| rendition.name).collect();
        Self {
            name: "demo".to_owned(),
            seed: 1,
            parts_per_segment,
            renditions,
            started_at_ms: None,
        }
    }
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self {
            listen: loopback(8000),
            admin: loopback(9000),
            ingest: None,
            token: None,
            segments: PathBuf::from("segments"),
            window: 10,
            delay_ms: 0.0,
        }
    }
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            name: "edge".to_owned(),
            shields: None,
            shield_listen: loopback(8281),
            shield_admin: loopback(9281),
            count: 3,
            listen: loopback(8081),
            admin: loopback(9081),
            upstreams: vec!["http://127.0.0.1:8000".to_owned()],
            miss_queue: MissQueue::Flights,
            cache_bytes: 512 << 20,
            connections_max: None,
            prefetch: true,
            access_log: None,
            access_log_one_of: 1,
            workers: None,
            limits: limits::Keys::default(),
        }
    }
}

impl Default for LikesSettings {
    fn default() -> Self {
        let (limits, due) = (likes::LikesLimits::default(), Due::default());
        let millis = |span: Duration| span.as_millis() as u64;
        Self {
            enabled: true,
            dir: None,
            shards: 1,
            backend: Backend::Sqlite,
            ack: Ack::Disk,
            queue_operations_max: limits.queue_operations_max,
            queue_bytes_max: limits.queue_bytes_max,
            log_bytes_max: limits.log_bytes_max,
            disk_free_bytes_min: limits.disk_free_bytes_min,
            waiting_readers_max: limits.waiting_readers_max,
            viewer_rate_max: limits.viewer_rate_max,
            address_rate_max: limits.address_rate_max,
            loopback_counts: false,
            edges: Vec::new(),
            append_wait_ms: millis(limits.append_wait),
            read_wait_ms: millis(limits.read_wait),
            snapshot_every_ms: millis(due.every),
            snapshot_operations: due.operations,
            jetstream: JetStreamSettings::default(),
        }
    }
}

impl Default for JetStreamSettings {
    fn default() -> Self {
        let jetstream::JetStreamConfig {
            servers,
            stream_prefix,
            replicas,
            max_bytes,
            monitor,
            allow_unsynced_ack,
            ..
        } = jetstream::JetStreamConfig::new(vec!["nats://127.0.0.1:4222".to_owned()]);
        Self {
            servers,
            credentials: None,
            token_file: None,
            user: None,
            password_file: None,
            tls_ca: None,
            stream_prefix,
            replicas,
            max_bytes,
            monitor,
            allow_unsynced_ack,
        }
    }
}

impl Config {
    /// The defaults, with the file over them if one is given.
    ///
    /// # Errors
    /// The file does not exist, or is not a configuration.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let Self {
            channel,
            origin,
            edge,
            likes,
            ..
        } = &self;
        let limits = &edge.limits;
        within(
            "channel.name",
            &channel.name,
            names::is_name(&channel.name),
            "1 to 64 of a-z, 0-9, - and _",
        )?;
        within(
            "edge.name",
            &edge.name,
            names::is_name(&edge.name),
            "1 to 64 of a-z, 0-9, - and _",
        )?;
        within(
            "channel.parts_per_segment",
            &channel.parts_per_segment,
            PARTS_PER_SEGMENT.contains(&channel.parts_per_segment),
            "3 to 31 (0.96 s to 9.92 s)",
        )?;
        let known =
            !channel.renditions.is_empty() && channel.ladder().len() == channel.renditions.len();
        within(
            "channel.renditions",
            &channel.renditions.join(", "),
            known,
            "some of 180p, 360p, 720p and 1080p, each once",
        )?;
        within_range(
            "origin.window",
            origin.window,
            6,
            1_000,
            "6 to 1000 segments",
        )?;
        within(
            "origin.delay_ms",
            &origin.delay_ms,
            (0.0..=60_000.0).contains(&origin.delay_ms),
            "0 to 60000",
        )?;
        let no_token =
            origin.ingest.is_some() && origin.token.as_deref().unwrap_or_default().is_empty();
        within(
            "origin.token",
            &"unset",
            !no_token,
            "set when origin.ingest is: a broadcaster must prove that it may",
        )?;
        within_range("edge.count", edge.count, 1, 64, "1 to 64")?;
        within_range(
            "edge.cache_bytes",
            edge.cache_bytes,
            1 << 20,
            u64::MAX,
            "at least 1048576 (1 MiB)",
        )?;
        within_range(
            "edge.connections_max",
            edge.connections_max.unwrap_or(1),
            1,
            1_000_000,
            "1 to 1000000",
        )?;
        within_range(
            "edge.access_log_one_of",
            edge.access_log_one_of,
            1,
            u64::MAX,
            "at least 1",
        )?;
        within_range(
            "edge.workers",
            edge.workers.unwrap_or(1),
            1,
            256,
            "1 to 256",
        )?;
        limits.check()?;
        within_range("likes.shards", likes.shards, 1, 16, "1 to 16")?;
        for (key, value) in [
            ("likes.queue_operations_max", likes.queue_operations_max),
            ("likes.queue_bytes_max", likes.queue_bytes_max),
            ("likes.waiting_readers_max", likes.waiting_readers_max),
        ] {
            within_range(key, value, 1, 1 << 30, "1 to 1073741824")?;
        }
        for (key, value) in [
            ("likes.viewer_rate_max", likes.viewer_rate_max),
            ("likes.address_rate_max", likes.address_rate_max),
        ] {
            within_range(key, value, 1, 1_000_000, "1 to 1000000 per second")?;
        }
        for (key, value) in [
            ("likes.append_wait_ms", likes.append_wait_ms),
            ("likes.read_wait_ms", likes.read_wait_ms),
            ("likes.snapshot_every_ms", likes.snapshot_every_ms),
        ] {
            within_range(key, value, 1, 600_000, "1 to 600000 milliseconds")?;
        }
        within_range(
            "likes.snapshot_operations",
            likes.snapshot_operations,
            1,
            u64::MAX,
            "at least 1",
        )?;
        if likes.backend == Backend::JetStream {
            within(
                "likes.ack",
                &"memory",
                likes.ack == Ack::Disk,
                "disk with likes.backend = \"jetstream\": the servers decide (likes.jetstream.allow_unsynced_ack)",
            )?;
            likes.jetstream.check()?;
        }
        Ok(self)
    }

    /// The same configuration with every secret redacted.
    pub fn redacted(mut self) -> Self {
        for secret in [
            &mut self.origin.token,
            &mut self.broadcast.token,
            &mut self.admin.token,
        ]
        .into_iter()
        .flatten()
        {
            *secret = "***".to_owned();
        }
        let jetstream = &mut self.likes.jetstream;
        let urls = self.edge.upstreams.iter_mut().chain(&mut self.broadcast.to);
        for url in urls
            .chain(&mut jetstream.servers)
            .chain(&mut jetstream.monitor)
        {
            *url = redacted::url(url);
        }
        self
    }
}

impl ChannelSettings {
    /// The layout of the stream. Unknown renditions are left out; [`Config::checked`] refuses them.
    pub fn layout(&self) -> Layout {
        Layout {
            parts_per_segment: self.parts_per_segment,
            ladder: self.ladder(),
        }
    }

    fn ladder(&self) -> Vec<Rendition> {
        // In the order of the ladder: the lowest comes first for any order of names, and none comes twice.
        Rendition::known()
            .into_iter()
            .filter(|rendition| self.renditions.contains(&rendition.name))
            .collect()
    }
}

impl LikesSettings {
    /// The bounds in the form that the queue and the routes take.
    pub fn limits(&self) -> likes::LikesLimits {
        likes::LikesLimits {
            queue_operations_max: self.queue_operations_max,
            queue_bytes_max: self.queue_bytes_max,
            log_bytes_max: self.log_bytes_max,
            disk_free_bytes_min: self.disk_free_bytes_min,
            waiting_readers_max: self.waiting_readers_max,
            viewer_rate_max: self.viewer_rate_max,
            address_rate_max: self.address_rate_max,
            append_wait: Duration::from_millis(self.append_wait_ms),
            read_wait: Duration::from_millis(self.read_wait_ms),
            ..likes::LikesLimits::default()
        }
    }

    /// The backend in the form that the origin takes.
    pub fn kept_by(&self) -> serve::likes::Backend {
        match self.backend {
            Backend::Sqlite => serve::likes::Backend::Sqlite(self.ack),
            Backend::JetStream => serve::likes::Backend::JetStream(self.jetstream.servers()),
        }
    }
}

impl JetStreamSettings {
    /// The servers in the form that the log takes.
    pub fn servers(&self) -> jetstream::JetStreamConfig {
        let credentials = match (&self.credentials, &self.token_file, &self.user) {
            (Some(file), ..) => Credentials::File(file.clone()),
            (_, Some(file), _) => Credentials::TokenFile(file.clone()),
            (_, _, Some(user)) => {
                Credentials::User(user.clone(), self.password_file.clone().unwrap_or_default())
            }
            _ => Credentials::None,
        };
        jetstream::JetStreamConfig {
            servers: self.servers.clone(),
            credentials,
            tls_ca: self.tls_ca.clone(),
            stream_prefix: self.stream_prefix.clone(),
            replicas: self.replicas,
            max_bytes: self.max_bytes,
            monitor: self.monitor.clone(),
            allow_unsynced_ack: self.allow_unsynced_ack,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let schemes = |urls: &[String], schemes: &[&str]| {
            urls.iter()
                .all(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
        };
        within(
            "likes.jetstream.servers",
            &format!("{} URLs", self.servers.len()),
            !self.servers.is_empty() && schemes(&self.servers, &["nats://", "tls://"]),
            "one URL or more, each nats://host:port or tls://host:port",
        )?;
        within(
            "likes.jetstream.monitor",
            &format!("{} URLs", self.monitor.len()),
            schemes(&self.monitor, &["http://"]),
            "URLs, each http://host:port of a monitoring port",
        )?;
        let is_name = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || character == '-'
        };
        within(
            "likes.jetstream.stream_prefix",
            &self.stream_prefix,
            (1..=64).contains(&self.stream_prefix.len()) && self.stream_prefix.chars().all(is_name),
            "1 to 64 of A-Z, a-z, 0-9, - and _",
        )?;
        within_range("likes.jetstream.replicas", self.replicas, 1, 5, "1 to 5")?;
        within_range(
            "likes.jetstream.max_bytes",
            self.max_bytes,
            1 << 20,
            i64::MAX as u64,
            "at least 1048576 (1 MiB)",
        )?;
        let ways = [
            self.credentials.is_some(),
            self.token_file.is_some(),
            self.user.is_some(),
        ];
        let given = ways.into_iter().filter(|&given| given).count();
        within(
            "likes.jetstream.credentials",
            &format!("one of {given} ways to log in"),
            given <= 1,
            "the only one of credentials, token_file and user",
        )?;
        within(
            "likes.jetstream.password_file",
            &"unset, or set without user",
            self.user.is_some() == self.password_file.is_some(),
            "set if likes.jetstream.user is, and only then",
        )
    }
}

impl Config {
    /// The configuration as TOML, with a sentence above each limit of the edges. Secrets must be redacted before.
    ///
    /// # Errors
    /// The configuration cannot be written as TOML.
    pub fn commented(&self) -> Result<String, toml::ser::Error> {
        const TABLE: &str = "edge.limits";
        let text = toml::to_string(self)?;
        let rows = limits::rows();
        let (mut table, mut commented) = ("", String::new());
        for line in text.lines() {
            table = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(table);
            let key = line.split(" = ").next().unwrap_or_default();
            let row = rows
                .iter()
                .find(|row| table == TABLE && row.key.strip_prefix("edge.limits.") == Some(key));
            if let Some(row) = row {
                commented += &format!("# {} {}.\n", row.sentence, row.range);
            }
            commented += line;
            commented.push('\n');
        }
        Ok(commented)
    }

    /// The folder of the likes.
    pub fn likes_dir(&self) -> PathBuf {
        let beside_segments = || self.origin.segments.join(".likes");
        self.likes.dir.clone().unwrap_or_else(beside_segments)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn within_range<T: PartialOrd + ToString>(
    key: &'static str,
    found: T,
    least: T,
    most: T,
    rule: &'static str,
) -> Result<(), ConfigError> {
    within(
        key,
        &found.to_string(),
        found >= least && found <= most,
        rule,
    )
}

fn within(
    key: &'static str,
    found: &impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange {
            key,
            found: found.to_string(),
            rule,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_hold_and_read_back() {
        let config = Config::default().checked().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(read(&text).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = read("[edge]\ncount = 2\ncachebytes = 5\n").unwrap_err();
        assert!(
            error.contains("line 3, column 1") && error.contains("cachebytes"),
            "{error}"
        );
    }

    #[test]
    fn values_outside_their_range_name_key_and_range() {
        for (text, key) in [
            ("channel.name = \"A b\"", "channel.name"),
            ("channel.parts_per_segment = 1", "channel.parts_per_segment"),
            (
                "channel.renditions = [\"360p\", \"9000p\"]",
                "channel.renditions",
            ),
            ("origin.window = 3", "origin.window"),
            ("origin.delay_ms = -1.0", "origin.delay_ms"),
            ("origin.ingest = \"127.0.0.1:8001\"", "origin.token"),
            ("edge.count = 0", "edge.count"),
            ("edge.limits.total_ms = 0", "edge.limits.total_ms"),
            (
                "edge.limits.body_bytes_max = 0",
                "edge.limits.body_bytes_max",
            ),
            ("likes.shards = 17", "likes.shards"),
            ("likes.append_wait_ms = 0", "likes.append_wait_ms"),
            (
                "likes.backend = \"jetstream\"\nlikes.jetstream.replicas = 6",
                "likes.jetstream.replicas",
            ),
            (
                "likes.backend = \"jetstream\"\nlikes.jetstream.user = \"me\"",
                "likes.jetstream.password_file",
            ),
            (
                "likes.backend = \"jetstream\"\nlikes.ack = \"memory\"",
                "likes.ack",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with(key) && error.contains("must be"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn secrets_are_masked() {
        let config = read(
            "origin.token = \"hunter2\"\nbroadcast.token = \"hunter2\"\nadmin.token = \"hunter2\"\n\
             broadcast.to = \"http://me:hunter2@origin:8001\"\nedge.upstreams = [\"hunter2@a://b\", \"http://b:2\"]\n\
             likes.jetstream.servers = [\"nats://me:hunter2@n:4222\"]",
        )
        .unwrap();
        assert!(
            !toml::to_string(&config.redacted())
                .unwrap()
                .contains("hunter2")
        );
    }
}
