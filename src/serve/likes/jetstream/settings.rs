//! The servers that keep a log of likes, and the settings that its stream must have.

use std::path::PathBuf;

/// The servers, and the settings that a stream must have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamConfig {
    /// URLs of servers of one cluster, `nats://` or `tls://`.
    pub servers: Vec<String>,
    /// The credentials of this process.
    pub credentials: Credentials,
    /// Certificates of the authority that signs the servers' certificates; unset: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// The prefix of the names of streams and subjects.
    pub stream_prefix: String,
    /// Number of copies that the servers keep.
    pub replicas: usize,
    /// Maximum bytes of a stream. A full stream refuses new entries.
    pub max_bytes: u64,
    /// `http://host:port` of the monitoring port of every server that keeps a copy.
    pub monitor: Vec<String>,
    /// Whether to accept servers that acknowledge before the disk write.
    pub allow_unsynced_ack: bool,
}

impl JetStreamConfig {
    /// The default settings for streams at these servers.
    pub fn new(servers: Vec<String>) -> Self {
        Self {
            servers,
            credentials: Credentials::None,
            tls_ca: None,
            stream_prefix: "SEAWALL_LIKES".to_owned(),
            replicas: 3,
            max_bytes: 8 << 30,
            monitor: Vec::new(),
            allow_unsynced_ack: false,
        }
    }
}

/// The credentials for the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// None, or those in the URLs.
    #[default]
    None,
    /// A file of credentials, as `nsc` writes it.
    File(PathBuf),
    /// A file that holds a token.
    TokenFile(PathBuf),
    /// A name, and a file that holds its password.
    User(String, PathBuf),
}
