//! The settings that a JetStream stream must have to be a log of likes: it is created with them, and an existing one is
//! checked.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{
    Config as Settings, DiscardPolicy, Info, RetentionPolicy, StorageType,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use std::time::Duration;

use super::super::log::LogError;
use super::super::sqlite::Shard;
use super::connection::{Connection, Unanswered};
use crate::config::keys::JetStreamSettings;

/// How long the servers recognise a copy of a batch and do not store it again. After that the fold still counts it
/// once.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The stream of one shard.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The name of the stream.
    pub(super) name: String,
    /// The subject that batches are sent to.
    pub(super) subject: String,
    shard: Shard,
    replicas: usize,
    max_bytes: u64,
}

impl Wanted {
    pub(super) fn new(config: &JetStreamSettings, shard: Shard) -> Self {
        Self {
            name: format!("{}_{}", config.stream_prefix, shard.index),
            subject: format!("{}.{}", config.stream_prefix, shard.index),
            shard,
            replicas: config.replicas,
            max_bytes: config.max_bytes,
        }
    }

    fn description(&self) -> String {
        let Shard { index, count } = self.shard;
        format!("Likes of Seawall: log {index} of {count}, one batch per message, format 1")
    }

    fn settings(&self) -> Settings {
        Settings {
            name: self.name.clone(),
            subjects: vec![self.subject.clone()],
            description: Some(self.description()),
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_bytes: i64::try_from(self.max_bytes).unwrap_or(i64::MAX),
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            num_replicas: self.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            // An entry can never be deleted from the middle. An operator can still purge the oldest entries.
            deny_delete: true,
            ..Settings::default()
        }
    }

    /// The first setting that differs: its name, the found value, the wanted value, and what to do.
    fn mismatch(&self, found: &Settings) -> Option<String> {
        let wanted = self.settings();
        let limit = |limit: i64| match limit {
            ..=0 => "none".to_owned(),
            limit => limit.to_string(),
        };
        let word = |flag: bool| flag.to_string();
        let edit = "edit or remove the stream, or choose another likes.jetstream.stream_prefix";
        let description = found.description.clone().unwrap_or_default();
        let sources =
            found.sources.as_ref().map_or(0, Vec::len) + usize::from(found.mirror.is_some());
        let rows = [
            (
                "description",
                description,
                self.description(),
                "if it is a log of likes, set likes.shards to the number that it names",
            ),
            (
                "subjects",
                found.subjects.join(" "),
                self.subject.clone(),
                edit,
            ),
            (
                "storage",
                format!("{:?}", found.storage),
                "File".to_owned(),
                edit,
            ),
            (
                "retention",
                format!("{:?}", found.retention),
                "Limits".to_owned(),
                edit,
            ),
            (
                "discard",
                format!("{:?}", found.discard),
                "New".to_owned(),
                edit,
            ),
            (
                "max_age",
                format!("{:?}", found.max_age),
                "0ns".to_owned(),
                edit,
            ),
            (
                "max_msgs",
                limit(found.max_messages),
                "none".to_owned(),
                edit,
            ),
            (
                "max_msgs_per_subject",
                limit(found.max_messages_per_subject),
                "none".to_owned(),
                edit,
            ),
            (
                "max_msg_size",
                limit(found.max_message_size.into()),
                "none".to_owned(),
                edit,
            ),
            ("no_ack", word(found.no_ack), word(false), edit),
            ("sealed", word(found.sealed), word(false), edit),
            (
                "allow_rollup_hdrs",
                word(found.allow_rollup),
                word(false),
                edit,
            ),
            ("sources", sources.to_string(), "0".to_owned(), edit),
            (
                "max_bytes",
                limit(found.max_bytes),
                limit(wanted.max_bytes),
                "set likes.jetstream.max_bytes to what is there, or edit the stream",
            ),
            (
                "num_replicas",
                found.num_replicas.to_string(),
                self.replicas.to_string(),
                "set likes.jetstream.replicas to what is there, or edit the stream",
            ),
        ];
        let (field, found, wanted, advice) = rows
            .into_iter()
            .find(|(_, found, wanted, _)| found != wanted)?;
        Some(format!(
            "the stream {} is not as likes need it: {field} is {found:?}, and {wanted:?} is wanted; {advice}",
            self.name
        ))
    }

    /// The stream as it is; created first if it does not exist and `may_make`.
    ///
    /// # Errors
    /// The stream does not exist, has other settings, or cannot be created.
    pub(super) fn open(&self, connection: &Connection, may_make: bool) -> Result<Info, LogError> {
        connection.block_on(async {
            let mut info = self.info(connection).await;
            if may_make && matches!(&info, Err(why) if why.is(ErrorCode::STREAM_NOT_FOUND)) {
                let made = connection
                    .ask::<Info>(&format!("STREAM.CREATE.{}", self.name), &self.settings())
                    .await;
                info = match made {
                    // Another origin created it first.
                    Err(why) if why.is(ErrorCode::STREAM_NAME_EXIST) => self.info(connection).await,
                    made => made,
                };
            }
            let info = info.map_err(|why| self.unusable(&why))?;
            if let Some(mismatch) = self.mismatch(&info.config) {
                return Err(LogError::Broken(mismatch));
            }
            if !info.config.deny_delete {
                tracing::warn!(
                    stream = self.name,
                    "deny_delete is off: entries could be deleted from its middle, and then nothing can go on with it"
                );
            }
            self.whole(connection, info).await
        })
    }

    /// The stream as its leader reports it now.
    pub(super) async fn info(&self, connection: &Connection) -> Result<Info, Unanswered> {
        let subject = format!("STREAM.INFO.{}", self.name);
        connection.ask(&subject, &json!({})).await
    }

    /// Returns `info` if no entry between the first and the last has been deleted.
    async fn whole(&self, connection: &Connection, info: Info) -> Result<Info, LogError> {
        if info.state.deleted_count.unwrap_or(0) == 0 {
            return Ok(info);
        }
        let subject = format!("STREAM.INFO.{}", self.name);
        let details = connection
            .ask::<Info>(&subject, &json!({ "deleted_details": true }))
            .await;
        let deleted = details.ok().and_then(|info| info.state.deleted);
        let first = deleted.and_then(|deleted| deleted.first().copied());
        Err(LogError::Broken(format!(
            "the stream {} has a gap: {} of its entries are gone, the first of them {}; counts cannot be made without them: \
             restore the stream from a copy",
            self.name,
            info.state.deleted_count.unwrap_or(0),
            first.map_or_else(|| "unknown".to_owned(), |first| first.to_string()),
        )))
    }

    fn unusable(&self, why: &Unanswered) -> LogError {
        let name = &self.name;
        let advice = match why {
            Unanswered::Nobody => {
                "JetStream is off there: start nats-server with -js, or with a jetstream section"
            }
            Unanswered::Refused(error) => match error.error_code() {
                ErrorCode::STREAM_NOT_FOUND => {
                    return LogError::Broken(format!(
                        "the stream {name} is gone: restore it; or, to begin anew, move the folder of likes away (likes.dir)"
                    ));
                }
                ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS => {
                    "start as many servers as there are to be copies, or set likes.jetstream.replicas to fewer"
                }
                ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES => {
                    "give JetStream more room (max_file_store), or set likes.jetstream.max_bytes to less"
                }
                ErrorCode::STREAM_SUBJECT_OVERLAP => {
                    "another stream takes the same subjects: choose another likes.jetstream.stream_prefix"
                }
                _ => "see the log of nats-server",
            },
            _ => "is it reachable, and may we use JetStream there?",
        };
        let text = format!("the stream {name} cannot be used: {why}; {advice}");
        match why {
            Unanswered::Silent(_) | Unanswered::Unsent(_) => LogError::Away(text),
            _ => LogError::Broken(text),
        }
    }
}

/// The log's identity in tokens and snapshots: another stream of the same name is another log.
pub(super) fn identity(info: &Info) -> u64 {
    let made = info.created.unix_timestamp_nanos();
    let digest = Sha256::digest(format!("{} {made}", info.config.name));
    digest
        .iter()
        .take(8)
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        let config = JetStreamSettings::at(vec!["nats://127.0.0.1:4222".to_owned()]);
        Wanted::new(&config, Shard { index: 0, count: 2 })
    }

    #[test]
    fn a_mismatch_names_field_what_is_there_what_is_wanted_and_what_to_do() {
        let wanted = wanted();
        assert_eq!(wanted.mismatch(&wanted.settings()), None);
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 7] = [
            (
                |found| found.storage = StorageType::Memory,
                "storage is \"Memory\"",
            ),
            (
                |found| found.discard = DiscardPolicy::Old,
                "discard is \"Old\"",
            ),
            (
                |found| found.max_age = Duration::from_secs(1),
                "max_age is \"1s\"",
            ),
            (|found| found.max_messages = 7, "max_msgs is \"7\""),
            (
                |found| found.num_replicas = 1,
                "num_replicas is \"1\", and \"3\"",
            ),
            (|found| found.max_bytes = 4096, "max_bytes is \"4096\""),
            (|found| found.description = None, "likes.shards"),
        ];
        for (change, expected) in cases {
            let mut found = wanted.settings();
            change(&mut found);
            let said = wanted.mismatch(&found).unwrap();
            assert!(
                said.contains(expected) && said.contains("SEAWALL_LIKES_0"),
                "{said}"
            );
        }
    }
}
