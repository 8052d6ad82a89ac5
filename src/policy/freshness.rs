//! How long a stored object may be served: fresh, stale while a refresh is under way, stale because the origin fails.
//!
//! Sources: RFC 9111 section 4.2 (freshness), RFC 5861 (stale), and for live playlists the reload rules of RFC 8216bis
//! section 6.3.4: a player that finds no change asks again after half a target duration, so a copy may be that old.

use std::time::Duration;

use super::key::Kind;
use super::rendition::{Due, PlaylistFacts};
use crate::time::Timestamp;

/// Until when a stored object may be used, and for what. The three points never run backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When the answer was made, by its `Age`; the age at a later instant is the time since then.
    pub made_at: Timestamp,
    /// Until then it is served as it is.
    pub fresh_until: Timestamp,
    /// Until then it may be served while one refresh is under way.
    pub revalidate_until: Timestamp,
    /// Until then it may be served when the origin fails.
    pub error_until: Timestamp,
}

/// State of a stored object at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// May be served as it is, for this much longer.
    Fresh(Duration),
    /// May be served while one refresh is under way.
    StaleWhileRevalidate,
    /// May be served only if the origin fails.
    StaleIfError,
    /// May not be served.
    Expired,
}

/// Freshness lifetime of live segments: their bytes never change, and the cache evicts them long before.
const IMMUTABLE: Duration = Duration::from_secs(24 * 3_600);
const MULTIVARIANT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));

impl Validity {
    /// The validity of a live object that landed at `now` and was `age` old by then. A media playlist is fresh for
    /// `fresh_percent` of a target duration. A multivariant playlist, and what a channel has beside its stream, is fresh for the
    /// `lifetime` that the origin gives it, and for 30 s at most.
    pub fn of_live(
        now: Timestamp,
        age: Duration,
        lifetime: Option<Duration>,
        kind: Kind,
        playlist: Option<PlaylistFacts>,
        fresh_percent: u32,
    ) -> Self {
        let target = playlist.map_or(Duration::from_secs(2), |facts| facts.target_duration);
        match kind {
            Kind::MediaPlaylist => {
                let fresh = target * fresh_percent.min(100) / 100;
                Self::spans(now, age, fresh, target, target * 3)
            }
            Kind::Segment => Self::spans(now, Duration::ZERO, IMMUTABLE, IMMUTABLE, IMMUTABLE),
            Kind::Multivariant | Kind::Other => {
                let (longest, stale) = MULTIVARIANT;
                let fresh = lifetime.map_or(longest, |lifetime| lifetime.min(longest));
                Self::spans(now, age.min(fresh / 2), fresh, fresh + stale, fresh + stale)
            }
        }
    }

    /// The same validity, cut by when the next segment is due. Until that segment can be there the playlist is the
    /// newest one, and may be served while a refresh is under way. From then on a request waits for the origin.
    /// Otherwise a viewer who polls once per segment would get the version before last for ever. A playlist that lacks
    /// a segment which is due is fresh for a short while, so that few fetches are made until the segment is there. Once
    /// the segment is so late that the stream may stand still, the playlist is fresh for as long as any other.
    pub fn until_due(self, now: Timestamp, due: Due, facts: PlaylistFacts) -> Self {
        let late = facts.target_duration / 2;
        let fresh_until = if now < due.earliest {
            due.earliest
        } else if now < due.latest + late {
            now + facts.target_duration / 16
        } else {
            self.fresh_until
        };
        let fresh_until = self.fresh_until.min(fresh_until);
        Self {
            fresh_until,
            revalidate_until: self.revalidate_until.min(due.earliest).max(fresh_until),
            ..self
        }
    }

    /// The validity of a foreign object with an explicit lifetime. It is never served stale.
    pub fn of_foreign(now: Timestamp, age: Duration, lifetime: Duration) -> Self {
        Self::spans(now, age, lifetime, lifetime, lifetime)
    }

    /// The spans count from the time when the answer was made, so `Age` shortens each of them.
    fn spans(
        now: Timestamp,
        age: Duration,
        fresh: Duration,
        revalidate: Duration,
        error: Duration,
    ) -> Self {
        let until = |span: Duration| now + span.saturating_sub(age);
        // `made_at` is cut to the beginning of time if the answer claims to be older. No span depends on it.
        let made_at = now.before(age);
        Self {
            made_at,
            fresh_until: until(fresh),
            revalidate_until: until(revalidate),
            error_until: until(error),
        }
    }

    /// State of the object at `now`.
    pub fn at(&self, now: Timestamp) -> Freshness {
        if now < self.fresh_until {
            Freshness::Fresh(self.fresh_until.since(now))
        } else if now < self.revalidate_until {
            Freshness::StaleWhileRevalidate
        } else if now < self.error_until {
            Freshness::StaleIfError
        } else {
            Freshness::Expired
        }
    }

    /// Whole seconds until the object is stale; negative once it is (RFC 9211, section 2.4).
    pub fn ttl_s(&self, now: Timestamp) -> i64 {
        if now < self.fresh_until {
            self.fresh_until.since(now).as_secs() as i64
        } else {
            -(now.since(self.fresh_until).as_secs_f64().ceil().max(1.0) as i64)
        }
    }

    /// How old the object is at `now` (the `Age` header).
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.made_at)
    }
}

/// A remembered failure. Until it ends, it answers requests, and the origin is not asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negative {
    /// When it ends.
    pub until: Timestamp,
    /// Failures of this key in a row, this one included.
    pub in_a_row: u32,
}

impl Negative {
    /// After an error of the origin: 250 ms, doubling to 1 s per failure in a row. A `Retry-After` lengthens the time,
    /// but never past 1 s, because a live object must be asked for again.
    pub fn after_error(
        now: Timestamp,
        before: Option<Self>,
        retry_after: Option<Duration>,
    ) -> Self {
        const LONGEST: Duration = Duration::from_secs(1);
        let in_a_row = before
            .map_or(0, |negative| negative.in_a_row)
            .saturating_add(1);
        let doubled = Duration::from_millis(250) * (1 << (in_a_row - 1).min(2));
        let span = doubled.max(retry_after.unwrap_or_default()).min(LONGEST);
        Self {
            until: now + span,
            in_a_row,
        }
    }

    /// After a 4xx.
    pub fn after_refusal(now: Timestamp, span: Duration) -> Self {
        Self {
            until: now + span,
            in_a_row: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_playlist_passes_from_fresh_to_expired() {
        let facts = PlaylistFacts {
            first: 0,
            last: 9,
            target_duration: 2 * SECOND,
            newest: 2 * SECOND,
        };
        let validity = Validity::of_live(
            at(0),
            Duration::ZERO,
            None,
            Kind::MediaPlaylist,
            Some(facts),
            50,
        );
        assert_eq!(
            validity.at(at(999)),
            Freshness::Fresh(Duration::from_millis(1))
        );
        assert_eq!(validity.at(at(1_000)), Freshness::StaleWhileRevalidate);
        assert_eq!(validity.at(at(2_000)), Freshness::StaleIfError);
        assert_eq!(validity.at(at(6_000)), Freshness::Expired);
        assert_eq!(
            [0, 999, 1_000, 2_001].map(|millis| validity.ttl_s(at(millis))),
            [1, 0, -1, -2]
        );
    }

    #[test]
    fn what_stands_beside_the_stream_is_fresh_for_as_long_as_the_origin_says_and_30_s_at_most() {
        for (lifetime_s, fresh_s) in [(None, 30), (Some(1), 1), (Some(0), 0), (Some(3_600), 30)] {
            let lifetime = lifetime_s.map(Duration::from_secs);
            for kind in [Kind::Multivariant, Kind::Other] {
                let validity = Validity::of_live(at(0), Duration::ZERO, lifetime, kind, None, 50);
                assert_eq!(validity.fresh_until, at(fresh_s * 1_000), "{lifetime_s:?}");
            }
        }
    }

    #[test]
    fn age_upstream_shortens_every_span() {
        let facts = PlaylistFacts {
            first: 0,
            last: 9,
            target_duration: 2 * SECOND,
            newest: 2 * SECOND,
        };
        let validity = Validity::of_live(
            at(5_000),
            SECOND,
            None,
            Kind::MediaPlaylist,
            Some(facts),
            50,
        );
        assert_eq!(validity.at(at(5_000)), Freshness::StaleWhileRevalidate);
        assert_eq!(validity.age(at(5_500)), Duration::from_millis(1_500));
    }

    #[test]
    fn a_playlist_is_served_no_longer_than_until_the_next_segment_can_be_there() {
        let facts = PlaylistFacts {
            first: 0,
            last: 9,
            target_duration: 2 * SECOND,
            newest: 2 * SECOND,
        };
        let now = at(10_000);
        let plain = Validity::of_live(
            now,
            Duration::ZERO,
            None,
            Kind::MediaPlaylist,
            Some(facts),
            50,
        );
        for (earliest_ms, latest_ms, fresh_ms, revalidate_ms) in [
            (11_500, 11_600, 11_000, 11_500), // half a target duration comes first
            (13_000, 13_000, 11_000, 12_000), // never longer than a target duration
            (10_400, 11_000, 10_400, 10_400),
            (10_000, 10_000, 10_125, 10_125), // due now
            (8_100, 10_100, 10_125, 10_125),  // it may be due
            (8_000, 9_001, 10_125, 10_125),
            (8_000, 9_000, 11_000, 11_000), // so late that it may not come at all
        ] {
            let due = Due {
                earliest: at(earliest_ms),
                latest: at(latest_ms),
            };
            let capped = plain.until_due(now, due, facts);
            assert_eq!(
                (capped.fresh_until, capped.revalidate_until),
                (at(fresh_ms), at(revalidate_ms)),
                "{due:?}"
            );
            assert_eq!(capped.error_until, plain.error_until);
        }
    }

    #[test]
    fn failures_in_a_row_are_remembered_longer_up_to_a_second() {
        let mut negative = None;
        let mut spans = Vec::new();
        for _ in 0..5 {
            let next = Negative::after_error(at(0), negative, None);
            spans.push(next.until.since(at(0)).as_millis());
            negative = Some(next);
        }
        assert_eq!(spans, [250, 500, 1_000, 1_000, 1_000]);
        let told = Negative::after_error(at(0), None, Some(30 * SECOND));
        assert_eq!(told.until, at(1_000));
    }
}
