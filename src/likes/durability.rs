//! When a batch of likes is confirmed, and when a snapshot is due.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The moment at which a batch is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ack {
    /// The batch is on the disk.
    #[default]
    Disk,
    /// The kernel has the batch, so a loss of power loses it. For comparisons only; every answer says so.
    Memory,
}

/// When a snapshot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotDue {
    /// The longest time since the last snapshot, if anything has been counted since.
    pub every: Duration,
    /// The number of operations after which a snapshot is due earlier.
    pub operations: u64,
}

impl Default for SnapshotDue {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            operations: 1_000_000,
        }
    }
}
