//! The words by which an edge describes an answer: the same in the log, in `Cache-Status` (RFC 9211), in labels, in
//! reports.

use http::StatusCode;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What happens to requests for an object that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissQueue {
    /// One request goes to the origin. The others follow its flight and are served as the body arrives.
    #[default]
    Flights,
    /// Baseline: each request goes to the origin; the first whole answer is kept.
    Off,
    /// Baseline: moka's own `try_get_with`. The fetch runs inside the first viewer's request and ends if that viewer
    /// leaves.
    Moka,
    /// Baseline: nginx's `proxy_cache_lock`. One request goes to the origin. The others look every 500 ms whether the
    /// object is there, and after five seconds go themselves.
    #[serde(rename = "poll-500ms")]
    Poll500ms,
}

impl MissQueue {
    /// Every word.
    pub const ALL: [Self; 4] = [Self::Flights, Self::Off, Self::Moka, Self::Poll500ms];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Flights => "flights",
            Self::Off => "off",
            Self::Moka => "moka",
            Self::Poll500ms => "poll-500ms",
        }
    }
}

impl fmt::Display for MissQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for MissQueue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|queue| queue.word() == text);
        known.ok_or_else(|| format!("it is one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

/// How a request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Served {
    /// From the store, fresh.
    Hit,
    /// By a flight that another request had begun. Theory calls it a delayed hit.
    Collapsed,
    /// By a flight that this request began.
    Miss,
    /// From the store, past its freshness lifetime.
    Stale,
    /// From a remembered failure.
    Negative,
    /// By a request of its own to the origin, not shared.
    Pass,
    /// Not served: a bound was reached.
    Shed,
    /// Not served: the origin failed, or the request made no sense.
    Error,
}

impl Served {
    /// Every word.
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Collapsed,
        Self::Miss,
        Self::Stale,
        Self::Negative,
        Self::Pass,
        Self::Shed,
        Self::Error,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Collapsed => "collapsed",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Negative => "negative",
            Self::Pass => "pass",
            Self::Shed => "shed",
            Self::Error => "error",
        }
    }
}

/// Which bound refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shed {
    /// Too many requests wait for this flight.
    FlightFull,
    /// Too many requests wait at this edge.
    EdgeFull,
    /// The answer did not begin within the waiter's deadline.
    Deadline,
    /// Too many flights wait for the origin.
    OriginQueueFull,
    /// A flight waited too long for the origin.
    OriginQueueLate,
    /// Flights hold as many bytes as they may.
    MemoryFull,
    /// The origin has failed too often just now and is left alone.
    BreakerOpen,
    /// No request waits for the flight, and the origin is busy.
    Background,
    /// All waiters have left before the flight began.
    Deserted,
    /// Too many requests wait for a playlist that is still to come.
    BlockedFull,
}

impl Shed {
    /// Every word.
    pub const ALL: [Self; 10] = [
        Self::FlightFull,
        Self::EdgeFull,
        Self::Deadline,
        Self::OriginQueueFull,
        Self::OriginQueueLate,
        Self::MemoryFull,
        Self::BreakerOpen,
        Self::Background,
        Self::Deserted,
        Self::BlockedFull,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::FlightFull => "flight-full",
            Self::EdgeFull => "edge-full",
            Self::Deadline => "deadline",
            Self::OriginQueueFull => "queue-full",
            Self::OriginQueueLate => "queue-late",
            Self::MemoryFull => "memory-full",
            Self::BreakerOpen => "breaker-open",
            Self::Background => "background",
            Self::Deserted => "deserted",
            Self::BlockedFull => "blocked-full",
        }
    }
}

/// Why a fetch from the origin brought nothing that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FetchError {
    /// No connection.
    Connect,
    /// No head in time.
    FirstByteTimeout,
    /// No byte of the body came for too long.
    ProgressTimeout,
    /// The whole fetch took too long.
    TotalTimeout,
    /// The answer broke off, or was not HTTP.
    Broken,
    /// The body was shorter or longer than announced.
    Truncated,
    /// The body is larger than the edge takes.
    TooLarge,
    /// The playlist is older than one that was served already.
    Outdated,
    /// The object has changed since its first part came in: the parts don't fit together.
    Changed,
    /// The origin answered with a 5xx.
    Status(u16),
    /// A bound of this edge refused the fetch.
    Shed(Shed),
    /// The fetch itself failed: a defect of the edge.
    Panicked,
}

impl FetchError {
    /// The words that can occur, one per kind of failure.
    pub const WORDS: [&'static str; 12] = [
        "connect",
        "first-byte-timeout",
        "progress-timeout",
        "total-timeout",
        "broken",
        "truncated",
        "too-large",
        "status-5xx",
        "shed",
        "panicked",
        "outdated",
        "changed",
    ];

    /// The status code that a failed fetch gives its viewers.
    pub fn status(self) -> StatusCode {
        match self {
            Self::FirstByteTimeout | Self::ProgressTimeout | Self::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Status(code) => StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY),
            Self::Shed(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Connect | Self::Broken | Self::Truncated | Self::TooLarge | Self::Changed => {
                StatusCode::BAD_GATEWAY
            }
            Self::Outdated => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The index of its word in [`Self::WORDS`].
    pub const fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::FirstByteTimeout => 1,
            Self::ProgressTimeout => 2,
            Self::TotalTimeout => 3,
            Self::Broken => 4,
            Self::Truncated => 5,
            Self::TooLarge => 6,
            Self::Status(_) => 7,
            Self::Shed(_) => 8,
            Self::Panicked => 9,
            Self::Outdated => 10,
            Self::Changed => 11,
        }
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        Self::WORDS[self.index()]
    }
}

/// One member of a `Cache-Status` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The name of the cache that writes this member.
    pub cache: &'a str,
    /// Whether that cache forwarded the request, and why.
    pub way: Way,
    /// Seconds until the object is stale; negative once it is.
    pub ttl_s: Option<i64>,
    /// One word more: a bound, a failure, a reason.
    pub detail: Option<&'a str>,
}

/// Whether a cache answered by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the store.
    Hit,
    /// Forwarded because the store had nothing: the leader.
    Miss { status: Option<u16>, stored: bool },
    /// Joined another request's flight: a follower.
    Collapsed,
    /// Forwarded because what was stored is stale.
    Stale { status: Option<u16> },
    /// Forwarded because this request is never served from the store.
    Bypass { status: Option<u16> },
}

impl CacheStatus<'_> {
    /// Appends the member to `text`. Every answer carries one, so this does without `format!`.
    pub fn push_to(&self, text: &mut String) {
        let (way, status) = match self.way {
            Way::Hit => ("hit", None),
            Way::Miss { status, .. } => ("fwd=uri-miss", status),
            Way::Collapsed => ("fwd=uri-miss; collapsed", None),
            Way::Stale { status } => ("fwd=stale", status),
            Way::Bypass { status } => ("fwd=bypass", status),
        };
        let mut digits = itoa::Buffer::new();
        text.push_str(self.cache);
        text.push_str("; ");
        text.push_str(way);
        if let Some(status) = status {
            text.push_str("; fwd-status=");
            text.push_str(digits.format(status));
        }
        if matches!(self.way, Way::Miss { stored: true, .. }) {
            text.push_str("; stored");
        }
        if let Some(ttl_s) = self.ttl_s {
            text.push_str("; ttl=");
            text.push_str(digits.format(ttl_s));
        }
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            text.push_str(detail);
        }
    }
}

impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_structured_fields() {
        let member = |way, ttl_s, detail| CacheStatus {
            cache: "edge-1",
            way,
            ttl_s,
            detail,
        };
        for (status, text) in [
            (member(Way::Hit, Some(1), None), "edge-1; hit; ttl=1"),
            (
                member(
                    Way::Miss {
                        status: Some(200),
                        stored: true,
                    },
                    Some(2),
                    None,
                ),
                "edge-1; fwd=uri-miss; fwd-status=200; stored; ttl=2",
            ),
            (
                member(Way::Collapsed, Some(2), None),
                "edge-1; fwd=uri-miss; collapsed; ttl=2",
            ),
            (member(Way::Hit, Some(-1), None), "edge-1; hit; ttl=-1"),
            (
                member(
                    Way::Stale { status: Some(503) },
                    None,
                    Some("stale-if-error"),
                ),
                "edge-1; fwd=stale; fwd-status=503; detail=stale-if-error",
            ),
            (
                member(Way::Hit, None, Some("negative")),
                "edge-1; hit; detail=negative",
            ),
            (
                member(
                    Way::Miss {
                        status: None,
                        stored: false,
                    },
                    None,
                    Some(Shed::OriginQueueFull.word()),
                ),
                "edge-1; fwd=uri-miss; detail=queue-full",
            ),
        ] {
            assert_eq!(status.to_string(), text);
            let list: sfv::List = sfv::Parser::new(text).parse().unwrap();
            assert_eq!(list.len(), 1, "{text}");
        }
    }
}
