//! The configuration: defaults, overridden by a TOML file, then by `SEAWALL_*` and flags.
//!
//! A file holds the requested values ([`Config`]). [`Config::checked`] checks every value against its rule, or says which key
//! is wrong and what its value may be. [`keys`] declares the keys.

pub mod error;
pub mod keys;
pub mod redacted;
pub mod shields;
mod table;
pub mod target;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::error::ConfigError;
use self::keys::{
    AdminSettings, Backend, BroadcastSettings, CapacitySettings, ChannelSettings, EdgeSettings,
    JetStreamSettings, LikesSettings, OriginSettings,
};
use crate::likes::durability::Ack;
use crate::policy::limits::{self, OutOfRange, Row};

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

    /// Checks every value against its rule, and against the values that it depends on.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn checked(self) -> Result<Self, ConfigError> {
        self.channel.check()?;
        self.broadcast.check()?;
        self.origin.check()?;
        self.origin.capacity.check()?;
        self.edge.check()?;
        self.edge.limits.check()?;
        self.admin.check()?;
        self.likes.check()?;
        let token = self.origin.token.as_deref().unwrap_or_default();
        requires(
            self.origin.ingest.is_none() || !token.is_empty(),
            "origin.token",
            "unset",
            "set when origin.ingest is: a broadcaster must prove that it may",
        )?;
        if self.likes.backend == Backend::JetStream {
            requires(
                self.likes.ack == Ack::Disk,
                "likes.ack",
                "memory",
                "disk with likes.backend = \"jetstream\": the servers decide (likes.jetstream.allow_unsynced_ack)",
            )?;
            self.likes.jetstream.check()?;
            check_login(&self.likes.jetstream)?;
        }
        Ok(self)
    }

    /// One row per key, in the order of a file.
    pub fn rows() -> Vec<Row> {
        [
            ChannelSettings::rows(),
            BroadcastSettings::rows(),
            OriginSettings::rows(),
            CapacitySettings::rows(),
            EdgeSettings::rows(),
            limits::rows(),
            AdminSettings::rows(),
            LikesSettings::rows(),
            JetStreamSettings::rows(),
        ]
        .concat()
    }

    /// The configuration as TOML, with a comment above each key. A key that is unset stands as a comment. Secrets must be
    /// redacted before.
    pub fn commented(&self) -> String {
        let (mut table, mut text) = ("", String::new());
        for (row, (named, value)) in Self::rows().into_iter().zip(self.values()) {
            debug_assert_eq!(row.key, named, "rows and values have one order");
            let (of, key) = row.key.rsplit_once('.').unwrap_or_default();
            if of != table {
                text += &format!("{}[{of}]\n", if table.is_empty() { "" } else { "\n" });
                table = of;
            }
            let rule = if row.range.is_empty() {
                ""
            } else {
                " Must be "
            };
            let end = if row.range.is_empty() { "" } else { "." };
            text += &format!("# {}{rule}{}{end}\n", row.sentence, row.range);
            text += &match value {
                Some(value) => format!("{key} = {value}\n"),
                None => format!("# {key} is unset\n"),
            };
        }
        text
    }

    /// Each key with its value as TOML, in the order of the rows.
    fn values(&self) -> Vec<(&'static str, Option<String>)> {
        let bounds = self.edge.limits.values().into_iter();
        [
            self.channel.values(),
            self.broadcast.values(),
            self.origin.values(),
            self.origin.capacity.values(),
            self.edge.values(),
            bounds.map(|(key, value)| (key, Some(value))).collect(),
            self.admin.values(),
            self.likes.values(),
            self.likes.jetstream.values(),
        ]
        .concat()
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

    /// The folder of the likes.
    pub fn likes_dir(&self) -> PathBuf {
        let beside_segments = || self.origin.segments.join(".likes");
        self.likes.dir.clone().unwrap_or_else(beside_segments)
    }
}

/// At most one way to log in, and a password for a user.
fn check_login(jetstream: &JetStreamSettings) -> Result<(), OutOfRange> {
    let ways = [
        jetstream.credentials.is_some(),
        jetstream.token_file.is_some(),
        jetstream.user.is_some(),
    ];
    let given = ways.into_iter().filter(|&given| given).count();
    requires(
        given <= 1,
        "likes.jetstream.credentials",
        &format!("one of {given} ways to log in"),
        "the only one of credentials, token_file and user",
    )?;
    requires(
        jetstream.user.is_some() == jetstream.password_file.is_some(),
        "likes.jetstream.password_file",
        "unset, or set without user",
        "set if likes.jetstream.user is, and only then",
    )
}

/// A rule that depends on several keys.
fn requires(holds: bool, key: &'static str, found: &str, rule: &str) -> Result<(), OutOfRange> {
    if holds {
        return Ok(());
    }
    Err(OutOfRange {
        key,
        found: found.to_owned(),
        range: rule.to_owned(),
    })
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
    fn the_commented_defaults_say_what_every_key_means_and_read_back() {
        let config = Config::default();
        let text = config.commented();
        assert_eq!(read(&text).unwrap(), config);
        for said in [
            "[edge.limits]\n# Requests that may wait for one flight;",
            "# Number of edges that `seawall up` starts. Must be 1 to 64.\ncount = 3\n",
            "\n# started_at_ms is unset\n",
            "\n[likes.jetstream]\n",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        // Each key that a file may hold has a row.
        let rows = Config::rows();
        let keys = |table: &toml::Value| {
            let values = table.as_table().unwrap().values();
            values.filter(|value| !value.is_table()).count()
        };
        let file = toml::Value::try_from(&config).unwrap();
        let (edge, likes) = (&file["edge"], &file["likes"]);
        let tables = [
            &file["channel"],
            &file["broadcast"],
            &file["origin"],
            &file["origin"]["capacity"],
            edge,
            &edge["limits"],
        ];
        let more = [&file["admin"], likes, &likes["jetstream"]];
        let set: usize = tables.into_iter().chain(more).map(keys).sum();
        let unset = rows.iter().filter(|row| row.default.is_none()).count();
        assert_eq!(rows.len(), set + unset);
        assert!(rows.iter().all(|row| row.sentence.ends_with('.')));
    }

    #[test]
    fn any_value_that_a_file_may_hold_is_written_so_that_it_reads_back() {
        let mut config = Config::default();
        config.edge.limits.body_bytes_max = u64::MAX;
        config.edge.workers = Some(4);
        config.admin.token = Some("a \"quoted\" # token\\ of\ntwo lines".to_owned());
        config.admin.targets = vec!["edge/rome=10.0.0.7:9081".parse().unwrap()];
        config.likes.edges = vec![[10, 0, 0, 7].into(), [10, 0, 0, 8].into()];
        config.likes.dir = Some("/var/lib/likes".into());
        assert_eq!(read(&config.commented()).unwrap(), config);
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
            (
                "origin.capacity.latency_ms = -1.0",
                "origin.capacity.latency_ms",
            ),
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
                "likes.append_wait_ms = 18446744073709551615",
                "likes.append_wait_ms is 18446744073709551615",
            ),
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
    fn secrets_are_redacted() {
        let config = read(
            "origin.token = \"hunter2\"\nbroadcast.token = \"hunter2\"\nadmin.token = \"hunter2\"\n\
             broadcast.to = \"http://me:hunter2@origin:8001\"\nedge.upstreams = [\"hunter2@a://b\", \"http://b:2\"]\n\
             likes.jetstream.servers = [\"nats://me:hunter2@n:4222\"]",
        )
        .unwrap();
        assert!(!config.redacted().commented().contains("hunter2"));
        // A refused value is no place for a secret, either.
        let servers = "[\"nats://me:hunter2@n:4222\", \"n:4222\"]";
        let keys = format!("likes.backend = \"jetstream\"\nlikes.jetstream.servers = {servers}");
        let told = read(&keys).unwrap_err();
        assert!(
            told.contains("***@n:4222") && !told.contains("hunter2"),
            "{told}"
        );
    }
}
