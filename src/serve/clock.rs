//! The one file that reads a clock.
//!
//! A [`Clock`] is monotonic. UNIX time is read once at the start, and the time elapsed since then is added. So a step
//! of the wall clock shows only after a restart, and never in ages.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Timestamp, UnixTime};

/// A running clock; copies of it agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    began_unix: UnixTime,
}

impl Clock {
    /// Reads both clocks of the machine, once.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads the clock"
    )]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            began: Instant::now(),
            began_unix: UnixTime::from_nanos(0) + since_epoch,
        }
    }

    /// The monotonic time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads the clock"
    )]
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + Instant::now().saturating_duration_since(self.began)
    }

    /// The UNIX time.
    pub fn unix(&self) -> UnixTime {
        self.unix_at(self.now())
    }

    /// The UNIX time at a monotonic time.
    pub fn unix_at(&self, at: Timestamp) -> UnixTime {
        self.began_unix + at.since(Timestamp::ZERO)
    }

    /// This point in time for tokio's timers.
    pub fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        (self.began + at.since(Timestamp::ZERO)).into()
    }

    /// The UNIX time `at` for tokio's timers. A time before the start becomes the start.
    pub fn instant_of_unix(&self, at: UnixTime) -> tokio::time::Instant {
        (self.began + at.since(self.began_unix)).into()
    }
}
