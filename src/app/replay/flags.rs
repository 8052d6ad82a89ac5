//! Flags of `seawall replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::app::values::bytes;
use crate::sim::lru::Policy;
use crate::sim::replay::engine::{Queue, Setup, Sizes};
use crate::sim::replay::trace::{Fields, Format, Reading, Unit};

/// The longest time of a fetch, in milliseconds.
const ORIGIN_MS_MAX: f64 = 3_600_000.0;
/// The longest time in seconds: 292 years.
const SECONDS_MAX: f64 = 9e9;

/// Flags of `seawall replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The trace: a file, or - for stdin. It may be compressed by gzip.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// The format of its lines. Default: what the first lines look like.
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub format: Option<Format>,
    /// The unit of times that are numbers. Default: s, and ms in JSON lines.
    #[arg(long, value_name = "UNIT", value_parser = unit())]
    time_unit: Option<Unit>,
    /// How many seconds a line may be earlier than a line before it; it then counts as of the newest time so far. Default: 0, and
    /// 60 for the logs of servers (combined, json), because servers write a line when a request ends.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    reorder_s: Option<Duration>,
    /// The field of JSON lines that holds the time. Default: at_unix_ms, as in the access log of an edge.
    #[arg(long, value_name = "NAME")]
    time_field: Option<String>,
    /// The field of JSON lines that holds the key. Default: path.
    #[arg(long, value_name = "NAME")]
    key_field: Option<String>,
    /// The field of JSON lines that holds the bytes. Default: bytes.
    #[arg(long, value_name = "NAME")]
    size_field: Option<String>,
    /// Size of the cache in bytes, with a unit or without.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "256MiB")]
    cache_bytes: u64,
    /// Which object leaves a full cache: the one requested least recently, or the one stored first.
    #[arg(long, value_name = "POLICY", value_parser = policy(), default_value = "lru")]
    policy: Policy,
    /// How long a fetch from the origin takes, in milliseconds.
    #[arg(long, value_name = "MS", value_parser = origin_ms, default_value = "50")]
    origin_ms: Duration,
    /// How many seconds an object is fresh after its landing. Default: for ever.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    fresh_s: Option<Duration>,
    /// What happens to a request for an object that is being fetched: it waits for that fetch (flights), or it goes to the origin
    /// too (off).
    #[arg(long, value_name = "HOW", value_enum, default_value = "flights")]
    miss_queue: MissQueue,
    /// Write replay.html and replay.json to this folder.
    #[arg(long, env = "SEAWALL_REPORT", value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print the result as one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// The miss queues that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissQueue {
    Flights,
    Off,
}

impl ValueEnum for MissQueue {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Flights, Self::Off]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Flights => PossibleValue::new("flights").alias("on"),
            Self::Off => PossibleValue::new("off"),
        })
    }
}

impl Replay {
    /// How the lines are read, if they are of this format.
    pub fn reading(&self, format: Format) -> Reading {
        let usual = Fields::default();
        Reading {
            format,
            unit: self.time_unit,
            reorder: self.reorder_s,
            fields: Fields {
                time: self.time_field.clone().unwrap_or(usual.time),
                key: self.key_field.clone().unwrap_or(usual.key),
                size: self.size_field.clone().unwrap_or(usual.size),
            },
        }
    }

    /// What the requests are sent through, if their lines are of this format.
    pub fn setup(&self, format: Format) -> Setup {
        Setup {
            cache_bytes: self.cache_bytes,
            policy: self.policy,
            latency: self.origin_ms,
            fresh: self.fresh_s,
            queue: match self.miss_queue {
                MissQueue::Flights => Queue::Waits,
                MissQueue::Off => Queue::Fetches,
            },
            sizes: match format.tells_what_was_sent() {
                true => Sizes::Sent,
                false => Sizes::Whole,
            },
        }
    }
}

/// The names of formats, listed in `--help`.
fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::word)).map(|word| {
        let named = Format::ALL.into_iter().find(|format| format.word() == word);
        named.unwrap_or(Format::Csv)
    })
}

/// The names of units, listed in `--help`.
fn unit() -> impl TypedValueParser<Value = Unit> {
    PossibleValuesParser::new(Unit::ALL.map(Unit::word)).map(|word| {
        let named = Unit::ALL.into_iter().find(|unit| unit.word() == word);
        named.unwrap_or(Unit::Seconds)
    })
}

/// The names of policies, listed in `--help`.
fn policy() -> impl TypedValueParser<Value = Policy> {
    PossibleValuesParser::new(Policy::ALL.map(Policy::word)).map(|word| {
        let named = Policy::ALL.into_iter().find(|policy| policy.word() == word);
        named.unwrap_or_default()
    })
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    span(text, 1.0, SECONDS_MAX)
        .ok_or("it is a number of seconds from 0 to 9000000000, such as 60 or 0.5")
}

fn origin_ms(text: &str) -> Result<Duration, &'static str> {
    span(text, 1e-3, ORIGIN_MS_MAX)
        .ok_or("it is a number of milliseconds from 0 to 3600000 (an hour), such as 50 or 0.5")
}

/// A number of units, rounded to the nanosecond.
fn span(text: &str, unit_s: f64, max: f64) -> Option<Duration> {
    let number = text.parse().ok();
    let number: f64 = number.filter(|number| (0.0..=max).contains(number))?;
    Some(Duration::from_nanos((number * unit_s * 1e9).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_exact_and_have_a_range() {
        assert_eq!(origin_ms("50"), Ok(Duration::from_millis(50)));
        assert_eq!(origin_ms("0.3"), Ok(Duration::from_micros(300)));
        assert_eq!(origin_ms("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("0.1"), Ok(Duration::from_millis(100)));
        assert_eq!(
            seconds("9000000000").map(|span| span.as_secs()),
            Ok(9_000_000_000)
        );
        for text in ["", "x", "-1", "nan", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
            assert!(origin_ms(text).is_err(), "{text}");
        }
    }
}
