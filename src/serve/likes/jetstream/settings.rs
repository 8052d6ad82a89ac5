//! Where the servers are that keep a log of likes, and what a stream must be there.

use std::path::PathBuf;

/// Where the servers are, and what a stream must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// URLs of servers of one cluster, `nats://` or `tls://`.
    pub servers: Vec<String>,
    /// Who we are there.
    pub credentials: Credentials,
    /// Certificates of the authority that vouches for the servers; unset: those of the system.
    pub tls_ca: Option<PathBuf>,
    /// What the names of streams and subjects begin with.
    pub stream_prefix: String,
    /// Copies that the servers keep.
    pub replicas: usize,
    /// Bytes of a stream, beyond which it takes nothing.
    pub max_bytes: u64,
    /// `http://host:port` of the monitoring port of every server that keeps a copy.
    pub monitor: Vec<String>,
    /// Whether to go on with servers that acknowledge before the disk has it.
    pub allow_unsynced_ack: bool,
}

impl Config {
    /// Streams at these servers, as they are set up by default.
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

/// What proves to the servers who this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing, or what stands in the URLs.
    #[default]
    None,
    /// A file of credentials, as `nsc` writes it.
    File(PathBuf),
    /// A file that holds a token.
    TokenFile(PathBuf),
    /// A name, and a file that holds its password.
    User(String, PathBuf),
}
