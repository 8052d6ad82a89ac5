//! Blocking playlist reload (RFC 8216bis, section 6.2.5.2): a request that names a segment waits for a playlist that lists it.
//!
//! The origin is asked as often as if one viewer polled, however many requests wait. All of them sleep until the stored
//! playlist becomes stale, which is when its next segment can be there. The first request that wakes begins a flight,
//! and all of them look again when it has landed.
//!
//! The performer calls [`Blocked::step`] with an [`Outlook`], does what the [`Step`] says, and calls it again after
//! each wait.

use std::time::Duration;

use super::edge::{Decision, Reload};
use crate::time::Timestamp;

/// The longest pause between a flight that has changed nothing and the next one. The pause is a sixteenth of a target
/// duration if that is shorter.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// The target duration of a rendition that is not known yet.
const TARGET_DURATION: Duration = Duration::from_secs(2);

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub struct Blocked {
    began: Timestamp,
    waited: bool,
    flew: bool,
}

/// What a waiting request sees.
#[derive(Clone, Copy, Debug)]
pub struct Outlook {
    /// What the stored playlist means for the request.
    pub reload: Reload,
    /// When the last flight of that playlist landed.
    pub landed_at: Option<Timestamp>,
    /// The target duration, if a playlist of the rendition is known.
    pub target_duration: Option<Duration>,
}

/// What a waiting request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is answered at once, from the store.
    Stored(Decision),
    /// The request has waited, and is answered by the stored playlist.
    Listed,
    /// 400: the segment's number lies too far ahead.
    TooFar,
    /// The request is answered like one that names no segment.
    Plain,
    /// 503: the request has waited for three target durations.
    Late,
    /// The request waits for the first playlist of the rendition, until then at most. It takes a seat among the
    /// waiters.
    First(Timestamp),
    /// A flight begins, unless one is under way or [`Outlook::has_just_landed`]. The request waits for news, until then
    /// at most.
    Fly(Timestamp),
    /// The request waits for news, until then at most.
    Wait(Timestamp),
}

impl Outlook {
    /// Whether a flight has landed so recently that the next must wait, no matter which request the flight was for.
    pub fn has_just_landed(&self, now: Timestamp) -> bool {
        self.next_flight_at().is_some_and(|at| now < at)
    }

    fn next_flight_at(&self) -> Option<Timestamp> {
        Some(self.landed_at? + self.pause())
    }

    fn pause(&self) -> Duration {
        PAUSE_MAX.min(self.target_duration() / 16)
    }

    fn target_duration(&self) -> Duration {
        self.target_duration.unwrap_or(TARGET_DURATION)
    }
}

impl Blocked {
    /// A request that began at `began`.
    pub fn new(began: Timestamp) -> Self {
        Self {
            began,
            waited: false,
            flew: false,
        }
    }

    /// What to do now.
    pub fn step(&mut self, now: Timestamp, seen: Outlook) -> Step {
        let until = self.began + seen.target_duration() * 3;
        if now >= until {
            return Step::Late;
        }
        let waited = std::mem::replace(&mut self.waited, true);
        match seen.reload {
            Reload::Answer(decision) if !waited => Step::Stored(decision),
            Reload::Answer(_) => Step::Listed,
            Reload::TooFar => Step::TooFar,
            Reload::Plain => Step::Plain,
            Reload::Wait(at) => Step::Wait(at.min(until)),
            Reload::Ask => match seen.next_flight_at().filter(|&at| now < at) {
                Some(at) => Step::Wait(at.min(until)),
                // A flight that a bound refused leaves no trace in the store.
                None if std::mem::replace(&mut self.flew, false) => {
                    Step::Wait((now + seen.pause()).min(until))
                }
                None => {
                    self.flew = true;
                    match seen.target_duration {
                        Some(_) => Step::Fly(until),
                        None => Step::First(until),
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn sees(reload: Reload) -> Outlook {
        Outlook {
            reload,
            landed_at: None,
            target_duration: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn a_playlist_that_lists_the_segment_answers_at_once_or_after_a_wait() {
        let there = sees(Reload::Answer(Decision::Hit));
        assert_eq!(
            Blocked::new(at(0)).step(at(0), there),
            Step::Stored(Decision::Hit)
        );
        let mut blocked = Blocked::new(at(0));
        let wait = blocked.step(at(0), sees(Reload::Wait(at(900))));
        assert_eq!(wait, Step::Wait(at(900)));
        assert_eq!(blocked.step(at(900), there), Step::Listed);
    }

    #[test]
    fn one_flight_follows_another_after_a_pause_even_if_it_left_no_trace() {
        let mut blocked = Blocked::new(at(0));
        assert_eq!(
            blocked.step(at(100), sees(Reload::Ask)),
            Step::Fly(at(6_000))
        );
        let landed = Outlook {
            landed_at: Some(at(150)),
            ..sees(Reload::Ask)
        };
        assert!(landed.has_just_landed(at(274)) && !landed.has_just_landed(at(275)));
        assert_eq!(blocked.step(at(150), landed), Step::Wait(at(275)));
        // The request has begun a flight and sees no trace of it: it pauses, and then begins another.
        assert_eq!(blocked.step(at(275), landed), Step::Wait(at(400)));
        assert_eq!(blocked.step(at(400), landed), Step::Fly(at(6_000)));
    }

    #[test]
    fn it_waits_for_three_target_durations_and_no_longer() {
        let mut blocked = Blocked::new(at(0));
        let far = blocked.step(at(5_900), sees(Reload::Wait(at(9_000))));
        assert_eq!(far, Step::Wait(at(6_000)));
        assert_eq!(blocked.step(at(6_000), sees(Reload::Ask)), Step::Late);
        let unknown = Outlook {
            target_duration: None,
            ..sees(Reload::Ask)
        };
        assert_eq!(
            Blocked::new(at(0)).step(at(0), unknown),
            Step::First(at(6_000))
        );
    }
}
