//! Points in time as values: monotonic time for decisions, UNIX time for statements in the stream.
//!
//! No code here reads a clock. Only `serve/clock.rs` does; all other code receives a [`Timestamp`] or a [`UnixTime`], so the
//! same code runs in real and in virtual time.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A monotonic point in time: nanoseconds since the process (or the virtual world) began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant at which the process began.
    pub const ZERO: Self = Self(0);

    /// A point `nanos` nanoseconds after the beginning.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the beginning.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later than this point.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `span` before this one; the beginning at the earliest.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// The first whole multiple of `tick` since the beginning that is not before this point; `tick` is not zero.
    #[must_use]
    pub fn next_tick(self, tick: Duration) -> Self {
        let tick = nanos(tick);
        Self(self.0.div_ceil(tick).saturating_mul(tick))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

/// A point in UNIX time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds ignored as POSIX does.
///
/// Serialised as whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "u64", into = "u64")]
pub struct UnixTime(u64);

impl UnixTime {
    /// A point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time since `earlier`; zero if `earlier` is later than this point.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The calendar date and time in UTC.
    pub fn to_utc(self) -> chrono::DateTime<chrono::Utc> {
        // i64 nanoseconds last until the year 2262. After that the date stays the same instead of wrapping.
        chrono::DateTime::from_timestamp_nanos(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl From<u64> for UnixTime {
    fn from(millis: u64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<UnixTime> for u64 {
    fn from(time: UnixTime) -> Self {
        time.as_millis()
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_saturates_instead_of_wrapping() {
        let late = Timestamp::from_nanos(u64::MAX) + Duration::from_secs(1);
        assert_eq!(late.as_nanos(), u64::MAX);
        assert_eq!(Timestamp::ZERO.since(late), Duration::ZERO);
        assert_eq!(
            UnixTime::from_millis(5) - Duration::from_secs(9),
            UnixTime::from_nanos(0)
        );
    }

    #[test]
    fn ticks_are_whole_multiples_and_never_early() {
        let tick = Duration::from_millis(4);
        for (at, next) in [
            (0, 0),
            (1, 4_000_000),
            (4_000_000, 4_000_000),
            (4_000_001, 8_000_000),
        ] {
            let ticked = Timestamp::from_nanos(at).next_tick(tick);
            assert_eq!(ticked, Timestamp::from_nanos(next), "{at}");
        }
        assert!(
            Timestamp::from_nanos(u64::MAX - 1).next_tick(tick) > Timestamp::from_nanos(1 << 60)
        );
    }

    #[test]
    fn unix_time_is_written_as_a_calendar_date() {
        let at = UnixTime::from_millis(1_700_000_000_123);
        assert_eq!(at.to_utc().to_rfc3339(), "2023-11-14T22:13:20.123+00:00");
    }
}
