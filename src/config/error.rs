//! Why a configuration was refused.

use std::path::PathBuf;

use crate::policy::limits;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is outside its range.
    #[error(transparent)]
    OutOfRange(#[from] limits::OutOfRange),
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
    /// A command needs a value that has no default; the sentence says which.
    #[error("{0}")]
    Missing(&'static str),
}
