//! Every bound of likes, and the one admission decision: which requests are admitted, and which are shed first.
//!
//! Under load hearts are shed first, then strong reads, then likes. An acknowledged like is never dropped.

use std::time::Duration;

/// The bounds of a shard. A request beyond a bound is refused with a reason and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikesLimits {
    /// Operations that wait to be made durable.
    pub queue_operations_max: usize,
    /// Bytes that the waiting operations may take up.
    pub queue_bytes_max: usize,
    /// Operations that are durable but not yet counted.
    pub lag_operations_max: u64,
    /// Bytes of a log.
    pub log_bytes_max: u64,
    /// Minimum free bytes of the disk. Below it no new operation is written.
    pub disk_free_bytes_min: u64,
    /// Readers that wait: for changed counts, for a barrier, or for the next event of a stream.
    pub waiting_readers_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Operations per second of one viewer.
    pub viewer_rate_max: u32,
    /// Operations per second of one address.
    pub address_rate_max: u32,
    /// How long an operation may wait until it is durable.
    pub append_wait: Duration,
    /// How long a reader may wait for counts to change.
    pub read_wait: Duration,
}

impl Default for LikesLimits {
    fn default() -> Self {
        Self {
            queue_operations_max: 8_192,
            queue_bytes_max: 16 << 20,
            lag_operations_max: 1_000_000,
            log_bytes_max: 8 << 30,
            disk_free_bytes_min: 256 << 20,
            waiting_readers_max: 10_000,
            body_bytes_max: 4 << 10,
            viewer_rate_max: 20,
            address_rate_max: 1_000,
            append_wait: Duration::from_secs(5),
            read_wait: Duration::from_secs(20),
        }
    }
}

/// The present load of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Operations that wait to be made durable.
    pub queued_operations: usize,
    /// Bytes that the waiting operations take up.
    pub queued_bytes: usize,
    /// Operations that are durable but not yet counted.
    pub lag_operations: u64,
    /// Bytes of the shard's log.
    pub log_bytes: u64,
    /// Free bytes of the shard's disk.
    pub disk_free_bytes: u64,
}

/// The class of a request, for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Hearts: shed first, when the queue is three quarters full.
    Hearts,
    /// A read that needs a barrier: shed when the queue is seven eighths full.
    StrongRead,
    /// Likes and unlikes: shed when the queue is full.
    Like,
}

/// Why a request was shed. It has had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Too many operations or bytes wait.
    QueueFull,
    /// Counting is too far behind.
    Lag,
    /// The log has reached its maximum size.
    LogFull,
    /// The disk is nearly full.
    DiskLow,
    /// Too many readers wait.
    Readers,
    /// The shard has failed or is shutting down.
    Down,
    /// The channel has its maximum number of viewers.
    Viewers,
    /// Too many requests wait at this edge.
    Edge,
    /// The edge could not reach the origin.
    Origin,
}

impl Shed {
    /// All reasons that an origin can have, for its metric.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::Lag,
        Self::LogFull,
        Self::DiskLow,
        Self::Readers,
        Self::Down,
        Self::Viewers,
    ];

    /// The word for this reason.
    pub fn word(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::Lag => "lag",
            Self::LogFull => "log-full",
            Self::DiskLow => "disk-low",
            Self::Readers => "readers-full",
            Self::Down => "down",
            Self::Viewers => "viewers-full",
            Self::Edge => "edge-full",
            Self::Origin => "origin-unreachable",
        }
    }
}

impl LikesLimits {
    /// Whether a request that takes up `bytes` while it waits is admitted.
    ///
    /// # Errors
    /// The reason for shedding it.
    pub fn admit(&self, load: &Load, class: Class, bytes: usize) -> Result<(), Shed> {
        let share = |max: usize| match class {
            Class::Hearts => max / 4 * 3,
            Class::StrongRead => max / 8 * 7,
            Class::Like => max,
        };
        if load.queued_operations >= share(self.queue_operations_max)
            || load.queued_bytes + bytes > share(self.queue_bytes_max)
        {
            return Err(Shed::QueueFull);
        }
        if load.lag_operations >= self.lag_operations_max {
            return Err(Shed::Lag);
        }
        if class == Class::StrongRead {
            return Ok(());
        }
        if load.log_bytes >= self.log_bytes_max {
            return Err(Shed::LogFull);
        }
        if load.disk_free_bytes < self.disk_free_bytes_min {
            return Err(Shed::DiskLow);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Load {
        Load {
            disk_free_bytes: u64::MAX,
            ..Load::default()
        }
    }

    #[test]
    fn every_bound_holds_at_its_boundary() {
        let limits = LikesLimits::default();
        let like = |load: Load| limits.admit(&load, Class::Like, 200);
        let cases: [(Load, Load, Shed); 5] = [
            (
                Load {
                    queued_operations: 8_191,
                    ..idle()
                },
                Load {
                    queued_operations: 8_192,
                    ..idle()
                },
                Shed::QueueFull,
            ),
            (
                Load {
                    queued_bytes: (16 << 20) - 200,
                    ..idle()
                },
                Load {
                    queued_bytes: (16 << 20) - 199,
                    ..idle()
                },
                Shed::QueueFull,
            ),
            (
                Load {
                    lag_operations: 999_999,
                    ..idle()
                },
                Load {
                    lag_operations: 1_000_000,
                    ..idle()
                },
                Shed::Lag,
            ),
            (
                Load {
                    log_bytes: (8 << 30) - 1,
                    ..idle()
                },
                Load {
                    log_bytes: 8 << 30,
                    ..idle()
                },
                Shed::LogFull,
            ),
            (
                Load {
                    disk_free_bytes: 256 << 20,
                    ..idle()
                },
                Load {
                    disk_free_bytes: (256 << 20) - 1,
                    ..idle()
                },
                Shed::DiskLow,
            ),
        ];
        for (within, beyond, shed) in cases {
            assert_eq!(like(within), Ok(()), "{within:?}");
            assert_eq!(like(beyond), Err(shed), "{beyond:?}");
        }
    }

    #[test]
    fn hearts_are_shed_first_then_strong_reads_then_likes() {
        let limits = LikesLimits::default();
        let let_in = |queued_operations: usize| {
            let load = Load {
                queued_operations,
                ..idle()
            };
            [Class::Hearts, Class::StrongRead, Class::Like]
                .map(|class| limits.admit(&load, class, 0).is_ok())
        };
        assert_eq!(let_in(6_143), [true, true, true]);
        assert_eq!(let_in(6_144), [false, true, true]);
        assert_eq!(let_in(7_167), [false, true, true]);
        assert_eq!(let_in(7_168), [false, false, true]);
        assert_eq!(let_in(8_191), [false, false, true]);
        assert_eq!(let_in(8_192), [false, false, false]);
    }

    #[test]
    fn counts_can_be_read_from_a_full_disk() {
        let limits = LikesLimits::default();
        let full = Load::default();
        assert_eq!(limits.admit(&full, Class::StrongRead, 0), Ok(()));
        assert_eq!(limits.admit(&full, Class::Like, 0), Err(Shed::DiskLow));
    }
}
