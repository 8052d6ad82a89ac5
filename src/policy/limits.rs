//! The edge's bounds: each is declared once, with its type, default, range, and one sentence.
//!
//! The one table makes [`Limits`] as policy uses them, and [`Keys`] as a configuration file holds them (times in
//! milliseconds, `_ms`). It also makes [`Changes`] as an operator may make them while an edge runs, the check of every
//! value, and the rows of the reference. A word names each bound that is exceeded: see [`super::status::Shed`] and
//! [`super::status::FetchError`].

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a cache evicts when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// The object that was asked for longest ago. All viewers ask for a live segment at about the same time, and none
    /// later.
    #[default]
    Lru,
    /// The object that was asked for least often (TinyLFU): good for objects that stay popular.
    TinyLfu,
}

/// A value as it is written in a file, and as policy uses it.
pub trait Written: Copy {
    /// How it is written.
    type Raw: Copy + PartialOrd + Debug;

    /// From what is written.
    fn read(raw: Self::Raw) -> Self;

    /// As it is written.
    fn raw(self) -> Self::Raw;

    /// The largest value that can be written.
    fn most() -> String;

    /// The word for a value.
    fn word(raw: &Self::Raw) -> String {
        format!("{raw:?}")
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Written for $type {
            type Raw = Self;

            fn read(raw: Self) -> Self {
                raw
            }

            fn raw(self) -> Self {
                self
            }

            fn most() -> String {
                Self::MAX.to_string()
            }
        })*
    };
}

numbers!(u32, u64, usize);

impl Written for Eviction {
    type Raw = Self;

    fn read(raw: Self) -> Self {
        raw
    }

    fn raw(self) -> Self {
        self
    }

    fn most() -> String {
        String::new()
    }

    fn word(raw: &Self) -> String {
        match raw {
            Self::Lru => "\"lru\"".to_owned(),
            Self::TinyLfu => "\"tiny-lfu\"".to_owned(),
        }
    }
}

/// Times are written in milliseconds.
impl Written for Duration {
    type Raw = u64;

    fn read(raw: u64) -> Self {
        Self::from_millis(raw)
    }

    fn raw(self) -> u64 {
        self.as_millis() as u64
    }

    fn most() -> String {
        u64::most()
    }
}

/// A value outside of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {found}, but must be {range}")]
pub struct OutOfRange {
    /// The key, as a file names it.
    pub key: &'static str,
    /// The value.
    pub found: String,
    /// What it may be.
    pub range: String,
}

/// A key in the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, as a file names it.
    pub key: &'static str,
    /// What it means.
    pub sentence: &'static str,
    /// Its default as TOML; `None`: the key is unset.
    pub default: Option<String>,
    /// The values that it may have; empty if its type says it all.
    pub range: String,
    /// Whether an operator may change it while the edge runs.
    pub live: bool,
}

fn check<T: Written>(
    key: &'static str,
    found: &T::Raw,
    range: &RangeInclusive<T::Raw>,
) -> Result<(), OutOfRange> {
    if range.contains(found) {
        return Ok(());
    }
    Err(OutOfRange {
        key,
        found: T::word(found),
        range: told::<T>(range),
    })
}

/// A range in words.
fn told<T: Written>(range: &RangeInclusive<T::Raw>) -> String {
    let (from, to) = (T::word(range.start()), T::word(range.end()));
    if to == T::most() {
        format!("at least {from}")
    } else if T::most().is_empty() {
        format!("{from} or {to}")
    } else {
        format!("{from} to {to}")
    }
}

macro_rules! limits {
    (
        live { $($(#[doc = $live_doc:literal])* $live:ident / $live_key:ident: $live_type:ty = $live_default:expr, $live_range:expr;)* }
        fixed { $($(#[doc = $doc:literal])* $field:ident / $key:ident: $type:ty = $default:expr, $range:expr;)* }
    ) => {
        /// Bounds of one edge.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $live_doc])* pub $live: $live_type,)*
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Keys::default().limits()
            }
        }

        /// Bounds of one edge, as a configuration file holds them; times in milliseconds.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Keys {
            $($(#[doc = $live_doc])* pub $live_key: <$live_type as Written>::Raw,)*
            $($(#[doc = $doc])* pub $key: <$type as Written>::Raw,)*
        }

        impl Default for Keys {
            fn default() -> Self {
                Self {
                    $($live_key: $live_default,)*
                    $($key: $default,)*
                }
            }
        }

        impl Keys {
            /// As policy takes them.
            pub fn limits(&self) -> Limits {
                Limits {
                    $($live: <$live_type>::read(self.$live_key),)*
                    $($field: <$type>::read(self.$key),)*
                }
            }

            /// Each key with its value as TOML.
            pub fn values(&self) -> Vec<(&'static str, String)> {
                vec![
                    $((concat!("edge.limits.", stringify!($live_key)), <$live_type>::word(&self.$live_key)),)*
                    $((concat!("edge.limits.", stringify!($key)), <$type>::word(&self.$key)),)*
                ]
            }

            /// Holds every value against its range.
            ///
            /// # Errors
            /// The first that is outside.
            pub fn check(&self) -> Result<(), OutOfRange> {
                $(check::<$live_type>(concat!("edge.limits.", stringify!($live_key)), &self.$live_key, &$live_range)?;)*
                $(check::<$type>(concat!("edge.limits.", stringify!($key)), &self.$key, &$range)?;)*
                Ok(())
            }
        }

        /// The bounds that can change while an edge runs; times in milliseconds. What is left out stays as it is.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Changes {
            $($(#[doc = $live_doc])* pub $live_key: Option<<$live_type as Written>::Raw>,)*
        }

        impl Changes {
            /// As they are in force.
            pub fn of(limits: &Limits) -> Self {
                Self { $($live_key: Some(limits.$live.raw()),)* }
            }

            /// Holds every value that is there against its range.
            ///
            /// # Errors
            /// The first that is outside.
            pub fn check(&self) -> Result<(), OutOfRange> {
                $(if let Some(found) = &self.$live_key {
                    check::<$live_type>(stringify!($live_key), found, &$live_range)?;
                })*
                Ok(())
            }

            /// Changes what is there.
            pub fn lay_over(self, limits: &mut Limits) {
                $(if let Some(raw) = self.$live_key {
                    limits.$live = <$live_type>::read(raw);
                })*
            }
        }

        /// Every bound.
        pub fn rows() -> Vec<Row> {
            vec![
                $(Row {
                    key: concat!("edge.limits.", stringify!($live_key)),
                    sentence: concat!($($live_doc),*).trim_ascii(),
                    default: Some(<$live_type>::word(&Keys::default().$live_key)),
                    range: told::<$live_type>(&$live_range),
                    live: true,
                },)*
                $(Row {
                    key: concat!("edge.limits.", stringify!($key)),
                    sentence: concat!($($doc),*).trim_ascii(),
                    default: Some(<$type>::word(&Keys::default().$key)),
                    range: told::<$type>(&$range),
                    live: false,
                },)*
            ]
        }
    };
}

/// The range of a bound that is a time, in milliseconds.
const SPAN: RangeInclusive<u64> = 1..=600_000;

limits! {
    live {
        /// Requests that may wait for one flight; the next is shed (or served stale).
        waiters_per_flight_max / waiters_per_flight_max: u32 = 20_000, 1..=u32::MAX;
        /// Requests that may wait at one edge; the next is shed (or served stale).
        waiters_max / waiters_max: u32 = 100_000, 1..=u32::MAX;
        /// How long a request for a segment, or for anything but a playlist, waits for its answer to begin.
        segment_wait / segment_wait_ms: Duration = 4_000, SPAN;
        /// How long a request for a playlist waits for its answer to begin before it is served stale or shed.
        playlist_wait / playlist_wait_ms: Duration = 1_000, SPAN;
        /// The longest silence inside a body from the origin.
        progress / progress_ms: Duration = 1_000, SPAN;
        /// The longest that one flight may take.
        total / total_ms: Duration = 10_000, SPAN;
        /// The largest body that is fetched, in bytes.
        body_bytes_max / body_bytes_max: u64 = 64 << 20, 1..=u64::MAX;
        /// Fetches that may wait for a segment which is about to be published; the next gets its 404 at once.
        held_max / held_max: usize = 1_024, 0..=1_000_000;
        /// Requests that may wait for a playlist that is still to come (`_HLS_msn`), counted apart from the waiters; the next is shed.
        blocked_max / blocked_max: usize = 50_000, 0..=1_000_000;
    }
    fixed {
        /// The longest time until a connection to the origin is open.
        connect / connect_ms: Duration = 500, SPAN;
        /// The longest time from a request to the origin until the head of the answer.
        first_byte / first_byte_ms: Duration = 2_000, SPAN;
        /// Requests that may be under way to the origin at once; a quarter of them, rounded down, is for the live edge alone.
        origin_at_once_max / origin_at_once_max: usize = 64, 1..=65_536;
        /// Flights that may wait for a permit to ask the origin.
        origin_queued_max / origin_queued_max: usize = 256, 0..=65_536;
        /// The longest time that a flight waits for such a permit.
        origin_queue_wait / origin_queue_wait_ms: Duration = 1_000, SPAN;
        /// How long counts of likes are served before the edge asks the origin again.
        counts_fresh / counts_fresh_ms: Duration = 1_000, SPAN;
        /// Readers of counts that may wait for a change; the next is shed.
        counts_waiting_max / counts_waiting_max: usize = 10_000, 1..=1_000_000;
        /// Likes that may be under way to an origin at once if that origin takes no batches; apart from other requests.
        likes_at_once_max / likes_at_once_max: usize = 256, 1..=1_000_000;
        /// Further likes that may wait at the edge, for such a place or in a batch; the next is shed.
        likes_queued_max / likes_queued_max: usize = 4_096, 1..=1_000_000;
        /// The longest time from a like's arrival until the origin's answer; it includes the origin's disk write.
        likes_wait / likes_wait_ms: Duration = 7_000, SPAN;
        /// The most retries of one flight.
        retries_per_flight_max / retries_per_flight_max: u32 = 2, 0..=10;
        /// Retries per hundred good fills, all flights together; 0 turns them off.
        retry_budget_percent / retry_budget_percent: u32 = 10, 0..=100;
        /// Number of failures in a row that opens the circuit breaker: the edge stops asking that origin.
        breaker_failures / breaker_failures: u32 = 5, 1..=1_000;
        /// How long the circuit breaker stays open at first; each failed probe doubles the time.
        breaker_wait / breaker_wait_ms: Duration = 250, SPAN;
        /// The longest time that the circuit breaker stays open before the next probe.
        breaker_wait_max / breaker_wait_max_ms: Duration = 1_000, SPAN;
        /// The longest freshness lifetime of a playlist, in per cent of its target duration.
        playlist_fresh_percent / playlist_fresh_percent: u32 = 50, 0..=100;
        /// Which object a full cache evicts: `lru`, the one not asked for longest; `tiny-lfu`, the one asked for least often.
        eviction / eviction: Eviction = Eviction::Lru, Eviction::Lru..=Eviction::TinyLfu;
        /// The most memory that the bodies of all flights together may take, in bytes.
        flight_bytes_max / flight_bytes_max: u64 = 1 << 30, 1..=u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_of_its_range_is_told_with_its_key_and_range() {
        assert_eq!(Keys::default().check(), Ok(()));
        let keys = Keys {
            total_ms: 0,
            ..Keys::default()
        };
        let told = keys.check().unwrap_err().to_string();
        assert_eq!(told, "edge.limits.total_ms is 0, but must be 1 to 600000");
        let changes = Changes {
            body_bytes_max: Some(0),
            ..Changes::default()
        };
        let told = changes.check().unwrap_err().to_string();
        assert_eq!(told, "body_bytes_max is 0, but must be at least 1");
    }

    #[test]
    fn what_changes_is_changed_and_nothing_else() {
        let mut limits = Limits::default();
        let changes = Changes {
            segment_wait_ms: Some(50),
            ..Changes::default()
        };
        changes.lay_over(&mut limits);
        let expected = Limits {
            segment_wait: Duration::from_millis(50),
            ..Limits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(Changes::of(&limits).segment_wait_ms, Some(50));
    }

    #[test]
    fn each_bound_has_a_row_with_its_sentence() {
        let rows = rows();
        assert_eq!(rows.len(), 27);
        assert!(rows.iter().all(|row| row.sentence.ends_with('.')));
        let wait = &rows[2];
        assert_eq!(
            (wait.key, wait.default.as_deref(), wait.range.as_str()),
            ("edge.limits.segment_wait_ms", Some("4000"), "1 to 600000")
        );
    }
}
