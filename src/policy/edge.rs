//! What an edge does with a request, given what its store knows of the object.
//!
//! ```text
//! glance ── fresh ──────────────▶ Hit
//!    │ stale, may revalidate ───▶ Stale (and one refresh flight, unless the origin has just failed)
//!    │ failed just now ─────────▶ Stale if the error allows it, else Negative
//!    │ known not to be shared ──▶ Pass
//!    └ nothing that serves ─────▶ Ask: look again under the shard's lock, then lead or follow (policy::collapse)
//! ```

use std::time::Duration;

use super::freshness::{Freshness, Negative, Validity};
use super::key::Kind;
use super::limits::Limits;
use crate::time::Timestamp;

/// What a store knows of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The validity of the object, if there is one.
    pub validity: Option<Validity>,
    /// The last failure, if the last fetch failed.
    pub negative: Option<Negative>,
    /// Until when the object is known not to be shared.
    pub pass_until: Option<Timestamp>,
}

/// How long the edge remembers that an answer was not to be shared, so that requests for it don't wait for each other.
pub const PASS: Duration = Duration::from_secs(120);

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The stored object, fresh.
    Hit,
    /// The stored object, stale.
    Stale(WhyStale),
    /// The stored failure.
    Negative,
    /// The answer to a request of its own to the origin.
    Pass,
    /// The answer of a flight.
    Ask,
}

/// What a request gets that wants a playlist with a certain segment (`_HLS_msn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The stored playlist, by this decision.
    Answer(Decision),
    /// 400: the segment's number lies too far ahead.
    TooFar,
    /// The request waits until this instant, unless a newer playlist comes earlier.
    Wait(Timestamp),
    /// The answer of a flight.
    Ask,
    /// The answer that a request gets which names no segment.
    Plain,
}

/// Why a stale object may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyStale {
    /// A refresh is under way (RFC 5861, section 3); the performer begins one if none is.
    Revalidate,
    /// The origin fails (RFC 5861, section 4).
    Error,
}

impl WhyStale {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::Revalidate, Self::Error];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revalidate => "stale-while-revalidate",
            Self::Error => "stale-if-error",
        }
    }
}

impl Stored {
    /// What a request at `now` gets.
    pub fn glance(&self, now: Timestamp) -> Decision {
        let freshness = self
            .validity
            .map_or(Freshness::Expired, |validity| validity.at(now));
        let failed = self.negative.is_some_and(|negative| now < negative.until);
        match freshness {
            Freshness::Fresh(_) => Decision::Hit,
            Freshness::StaleWhileRevalidate | Freshness::StaleIfError if failed => {
                Decision::Stale(WhyStale::Error)
            }
            Freshness::StaleWhileRevalidate => Decision::Stale(WhyStale::Revalidate),
            Freshness::StaleIfError | Freshness::Expired if failed => Decision::Negative,
            Freshness::StaleIfError | Freshness::Expired => {
                if self.pass_until.is_some_and(|until| now < until) {
                    Decision::Pass
                } else {
                    Decision::Ask
                }
            }
        }
    }

    /// What a request at `now` gets that wants a playlist with segment `number`. `last` is the newest segment in the
    /// stored playlist.
    pub fn reload(&self, last: Option<u64>, number: u64, now: Timestamp) -> Reload {
        /// How far ahead a request may name a segment (RFC 8216bis, section 6.2.5.2).
        const AHEAD_MAX: u64 = 2;
        let decision = self.glance(now);
        let wait_until = match decision {
            Decision::Hit => self.validity.map(|validity| validity.fresh_until),
            Decision::Stale(WhyStale::Error) | Decision::Negative => {
                self.negative.map(|negative| negative.until)
            }
            Decision::Stale(WhyStale::Revalidate) | Decision::Ask => None,
            Decision::Pass => return Reload::Plain,
        };
        let served = matches!(decision, Decision::Hit | Decision::Stale(_));
        match (last, wait_until) {
            (Some(last), _) if served && last >= number => Reload::Answer(decision),
            (Some(last), _) if decision == Decision::Hit && number - last > AHEAD_MAX => {
                Reload::TooFar
            }
            (Some(_), Some(at)) => Reload::Wait(at),
            // There is no playlist, or none that can be read.
            (None, Some(_)) => Reload::Plain,
            (None, None) if served => Reload::Plain,
            (_, None) => Reload::Ask,
        }
    }

    /// Whether the store may serve a request that a flight or a bound has failed.
    pub fn may_stand_in(&self, now: Timestamp) -> bool {
        self.validity
            .is_some_and(|validity| validity.at(now) != Freshness::Expired)
    }
}

/// How long a request for this kind of object waits for its answer to begin.
pub fn wait_max(kind: Kind, limits: &Limits) -> Duration {
    match kind {
        Kind::Multivariant | Kind::MediaPlaylist => limits.playlist_wait,
        Kind::Segment | Kind::Other => limits.segment_wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::collapse::{Boarding, Flights};
    use crate::policy::flight::Outcome;
    use crate::policy::landing;
    use crate::policy::rendition::PlaylistFacts;
    use crate::policy::status::FetchError;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn playlist() -> Validity {
        let facts = PlaylistFacts {
            first: 0,
            last: 1,
            target_duration: Duration::from_secs(2),
            newest: Duration::from_secs(2),
        };
        Validity::of_live(
            at(0),
            Duration::ZERO,
            None,
            Kind::MediaPlaylist,
            Some(facts),
            50,
        )
    }

    #[test]
    fn a_request_gets_what_the_store_allows() {
        let failed = Some(Negative {
            until: at(8_000),
            in_a_row: 1,
        });
        let full = Stored {
            validity: Some(playlist()),
            ..Stored::default()
        };
        for (stored, millis, expected) in [
            (Stored::default(), 0, Decision::Ask),
            (full, 500, Decision::Hit),
            (full, 1_500, Decision::Stale(WhyStale::Revalidate)),
            (full, 3_000, Decision::Ask),
            (
                Stored {
                    negative: failed,
                    ..full
                },
                500,
                Decision::Hit,
            ),
            (
                Stored {
                    negative: failed,
                    ..full
                },
                1_500,
                Decision::Stale(WhyStale::Error),
            ),
            (
                Stored {
                    negative: failed,
                    ..full
                },
                3_000,
                Decision::Stale(WhyStale::Error),
            ),
            (
                Stored {
                    negative: failed,
                    ..full
                },
                7_000,
                Decision::Negative,
            ),
            (
                Stored {
                    negative: failed,
                    ..full
                },
                9_000,
                Decision::Ask,
            ),
            (
                Stored {
                    pass_until: Some(at(100)),
                    ..Stored::default()
                },
                50,
                Decision::Pass,
            ),
            (
                Stored {
                    pass_until: Some(at(100)),
                    ..Stored::default()
                },
                100,
                Decision::Ask,
            ),
        ] {
            assert_eq!(
                stored.glance(at(millis)),
                expected,
                "{stored:?} at {millis} ms"
            );
        }
    }

    #[test]
    fn a_request_for_a_listed_segment_gets_no_playlist_without_it() {
        let full = Stored {
            validity: Some(playlist()),
            ..Stored::default()
        };
        let failing = Stored {
            negative: Some(Negative {
                until: at(1_800),
                in_a_row: 1,
            }),
            ..full
        };
        let private = Stored {
            pass_until: Some(at(9_000)),
            ..Stored::default()
        };
        let revalidate = Decision::Stale(WhyStale::Revalidate);
        // The stored playlist lists up to segment 1, is fresh for 1 s and may be revalidated for 2 s.
        for (stored, last, number, millis, expected) in [
            (full, Some(1), 0, 500, Reload::Answer(Decision::Hit)),
            (full, Some(1), 1, 500, Reload::Answer(Decision::Hit)),
            (full, Some(1), 2, 500, Reload::Wait(at(1_000))),
            (full, Some(1), 3, 500, Reload::Wait(at(1_000))),
            (full, Some(1), 4, 500, Reload::TooFar),
            // A stale playlist may be far behind.
            (full, Some(1), 4, 1_500, Reload::Ask),
            (full, Some(1), 1, 1_500, Reload::Answer(revalidate)),
            (full, Some(1), 2, 1_500, Reload::Ask),
            (full, Some(1), 1, 3_000, Reload::Ask),
            (failing, Some(1), 2, 1_500, Reload::Wait(at(1_800))),
            (full, None, 2, 500, Reload::Plain),
            (Stored::default(), None, 2, 0, Reload::Ask),
            (private, None, 2, 0, Reload::Plain),
        ] {
            assert_eq!(
                stored.reload(last, number, at(millis)),
                expected,
                "{stored:?}: {number} at {millis} ms"
            );
        }
    }

    #[test]
    fn a_stale_object_stands_in_until_it_expires() {
        let stored = Stored {
            validity: Some(playlist()),
            ..Stored::default()
        };
        assert!(stored.may_stand_in(at(5_999)));
        assert!(!stored.may_stand_in(at(6_000)));
        assert!(!Stored::default().may_stand_in(at(0)));
    }

    /// What may happen to one playlist at an edge.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// This number of milliseconds passes.
        Wait(u64),
        /// A viewer asks.
        Ask,
        /// The fetch under way brings a playlist, or fails.
        Land { well: bool },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => (0_u64..1_500).prop_map(Event::Wait),
            6 => Just(Event::Ask),
            2 => any::<bool>().prop_map(|well| Event::Land { well }),
        ]
    }

    proptest! {
        /// For any events: there is one fetch at a time, none while a copy is fresh, and none before a failure is
        /// forgotten. No object is served past its time.
        #[test]
        fn an_origin_is_asked_no_more_than_freshness_and_failures_allow(
            events in prop::collection::vec(event(), 0..300),
        ) {
            let limits = Limits::default();
            let (mut stored, mut flights) = (Stored::default(), Flights::<(), ()>::new());
            let (mut now, mut under_way) = (at(0), None);
            for event in events {
                match event {
                    Event::Wait(millis) => now = now + Duration::from_millis(millis),
                    Event::Land { well } => {
                        let Some(generation) = under_way.take() else { continue };
                        let facts = PlaylistFacts { first: 0, last: 9, target_duration: Duration::from_secs(2), newest: Duration::from_secs(2) };
                        let outcome = match well {
                            true => Outcome::Whole,
                            false => Outcome::Failed(FetchError::Connect, None),
                        };
                        let validity = Validity::of_live(now, Duration::ZERO, None, Kind::MediaPlaylist, Some(facts), 50);
                        stored = landing::keep(&outcome, stored.negative, now).facts(stored, Some(validity));
                        prop_assert!(flights.land(&(), generation).is_some());
                    }
                    Event::Ask => {
                        let decision = stored.glance(now);
                        let begun = match decision {
                            Decision::Ask => match flights.board(&(), 0, &limits, |_| ()) {
                                Boarding::Lead(generation, ()) => Some(generation),
                                _ => None,
                            },
                            Decision::Stale(WhyStale::Revalidate) => {
                                flights.refresh(&(), |_| ()).map(|(generation, ())| generation)
                            }
                            _ => None,
                        };
                        if matches!(decision, Decision::Hit | Decision::Stale(_)) {
                            let validity = stored.validity.expect("something was served");
                            prop_assert!(now < validity.error_until);
                            prop_assert!(decision != Decision::Hit || now < validity.fresh_until);
                        }
                        if let Some(generation) = begun {
                            prop_assert!(under_way.replace(generation).is_none(), "a second fetch beside one under way");
                            prop_assert!(stored.validity.is_none_or(|validity| now >= validity.fresh_until));
                            prop_assert!(stored.negative.is_none_or(|negative| now >= negative.until));
                        }
                    }
                }
            }
        }
    }
}
