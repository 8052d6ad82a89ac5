//! Whether servers write to the disk before they acknowledge, according to their monitoring ports.
//!
//! A server does so with `sync_interval: always`. Versions 2.10 and newer support this setting and report it at
//! `/jsz?config=1`. Each server that keeps a copy must report it. This is checked once, when likes start.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::redacted;

/// The longest time for one monitoring port.
const WAIT: Duration = Duration::from_secs(3);
/// The most bytes that are read of an answer.
const BYTES_MAX: usize = 4 << 20;
/// The first version that supports the setting.
const SINCE: (u64, u64) = (2, 10);

/// The part of `/varz` that describes a server.
#[derive(Debug, Deserialize)]
struct Server {
    #[serde(default)]
    server_name: String,
    version: String,
}

/// The part of `/jsz?config=1` that describes its JetStream.
#[derive(Debug, Deserialize)]
struct JetStream {
    #[serde(default)]
    config: Option<Settings>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    sync_always: bool,
}

/// Asks every monitoring port. Returns why one of `keepers` may acknowledge a write before it is on a disk; `None` if
/// none may. A keeper is a server's version, if known, and its name.
pub(super) async fn unsynced(
    monitor: &[String],
    keepers: &[(Option<String>, String)],
) -> Option<String> {
    let mut told = BTreeMap::new();
    let mut why = Vec::new();
    for url in monitor {
        match ask(url).await {
            Ok((server, jetstream)) => {
                told.insert(server.server_name.clone(), (server, jetstream));
            }
            Err(error) => why.push(format!("{} cannot be asked: {error}", redacted::url(url))),
        }
    }
    for (version, keeper) in keepers {
        let judged = match (told.get(keeper), version) {
            (Some((server, jetstream)), _) => judge(server, jetstream),
            (None, Some(version)) if !is_new(version) => Some(too_old(keeper, version)),
            (None, _) => Some(format!("no monitoring port tells of the server {keeper}")),
        };
        why.extend(judged);
    }
    (!why.is_empty()).then(|| why.join("; "))
}

fn judge(server: &Server, jetstream: &JetStream) -> Option<String> {
    let name = &server.server_name;
    if !is_new(&server.version) {
        return Some(too_old(name, &server.version));
    }
    let synced = jetstream
        .config
        .as_ref()
        .is_some_and(|config| config.sync_always);
    (!synced)
        .then(|| format!("the server {name} is set to write to the disk later (sync_interval)"))
}

fn too_old(name: &str, version: &str) -> String {
    format!(
        "the server {name} is of version {version}, which has no `sync_interval: always` (2.10 has)"
    )
}

fn is_new(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    let version = (numbers.next().flatten(), numbers.next().flatten());
    version >= (Some(SINCE.0), Some(SINCE.1))
}

async fn ask(url: &str) -> Result<(Server, JetStream), String> {
    let url = url.trim_end_matches('/');
    let server = get(&format!("{url}/varz")).await?;
    let jetstream = get(&format!("{url}/jsz?config=1")).await?;
    Ok((server, jetstream))
}

async fn get<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let uri = url.parse().map_err(|_| "that is no URL".to_owned())?;
    let asking = async {
        let answer = client.get(uri).await.map_err(|error| error.to_string())?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&body)
            .map_err(|error| format!("it is no monitoring port of NATS: {error}"))
    };
    tokio::time::timeout(WAIT, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", WAIT.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("2.9.10", false),
            ("2.10.0", true),
            ("2.12.3-RC.1", true),
            ("10.0.0", true),
            ("1.99", false),
            ("", false),
        ] {
            assert_eq!(is_new(version), expected, "{version}");
        }
    }

    #[test]
    fn only_always_counts() {
        let server = |version: &str| Server {
            server_name: "n1".to_owned(),
            version: version.to_owned(),
        };
        let told = |json: &str| serde_json::from_str::<JetStream>(json).unwrap();
        let always =
            told(r#"{"config":{"max_memory":1,"sync_interval":120000000000,"sync_always":true}}"#);
        assert_eq!(judge(&server("2.10.1"), &always), None);
        let later = told(r#"{"config":{"max_memory":1,"sync_interval":120000000000}}"#);
        assert!(
            judge(&server("2.11.0"), &later)
                .unwrap()
                .contains("sync_interval")
        );
        assert!(
            judge(&server("2.9.10"), &always)
                .unwrap()
                .contains("2.9.10")
        );
        assert!(judge(&server("2.10.1"), &told("{}")).is_some());
    }
}
