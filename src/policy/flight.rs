//! A flight's life: it asks the origin, asks again, is held, is given up, lands.
//!
//! A [`Flight`] decides, without sockets and without a clock. The performer asks [`Flight::poll`] what to do, does it,
//! and reports the result by the `handle_*` method that the [`Action`] names. Then it polls again, until the action is
//! [`Action::Land`]. While a body comes in, the performer reports that ([`Flight::head_is_shown`],
//! [`Flight::received`]).
//!
//! ```text
//! Ask ── handle_attempt ─┬─ whole, private, 4xx ───────────────────────────────────────▶ Land
//!  ▲                     ├─ failed ─▶ TakeRetry ── handle_retry ─┬─ refused ────────────▶ Land
//!  │                     │                                       └─ granted ─▶ Wait ─▶ Ask
//!  │                     ├─ 404, listed or next ─▶ TakeHold ── handle_hold ─┬─ refused ─▶ Land
//!  │                     │                                                  └─ granted ─▶ Wait ─▶ Ask, or Land
//!  └─ a request waits ───┴─ no waiter, and no permit was free ─────▶ Abandon ───────────▶ Land
//! ```

use std::time::Duration;

use http::StatusCode;

use super::admission::Class;
use super::key::{Key, Kind};
use super::limits::Limits;
use super::rendition::{Absence, PlaylistFacts};
use super::retry;
use super::status::{FetchError, Shed};
use crate::time::Timestamp;

/// Why the origin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A viewer's request found nothing.
    Miss,
    /// What is stored is stale.
    Refresh,
    /// The request is never shared.
    Pass,
    /// A playlist lists the segment for the first time.
    Prefetch,
    /// The attempt before has failed.
    Retry,
    /// The attempt before has broken off in the middle of the body.
    Resume,
    /// The segment was not there yet at the attempt before.
    Hold,
}

impl Reason {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::Miss,
        Self::Refresh,
        Self::Pass,
        Self::Prefetch,
        Self::Retry,
        Self::Resume,
        Self::Hold,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::Pass => "pass",
            Self::Prefetch => "prefetch",
            Self::Retry => "retry",
            Self::Resume => "resume",
            Self::Hold => "hold",
        }
    }
}

/// The object that a flight fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which kind of object.
    pub kind: Kind,
    /// Its number, if it is a segment of a live stream.
    pub segment: Option<u64>,
    /// Whether a viewer chose the path: the object belongs to no live stream.
    pub foreign: bool,
}

impl Subject {
    /// The subject with this key.
    pub fn of(key: &Key) -> Self {
        let kind = key.as_ref().kind();
        match key {
            Key::Live { number, .. } => Self {
                kind,
                segment: (kind == Kind::Segment).then_some(*number),
                foreign: false,
            },
            Key::Foreign { .. } => Self {
                kind,
                segment: None,
                foreign: true,
            },
        }
    }

    /// Whether viewers get the bytes as they come in. Playlists are handed out whole.
    pub fn is_streamed(self) -> bool {
        matches!(self.kind, Kind::Segment | Kind::Other)
    }

    /// How urgently the object is needed, given the newest playlist of its rendition.
    fn class(self, reason: Reason, newest: Option<PlaylistFacts>) -> Class {
        match (reason, self.segment) {
            (Reason::Refresh | Reason::Prefetch, _) => Class::Background,
            _ if self.foreign => Class::Older,
            (_, Some(number)) => newest.map_or(Class::LiveEdge, |newest| newest.class_of(number)),
            _ => Class::LiveEdge,
        }
    }
}

/// What a flight must know of its edge when it decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// The newest playlist of the rendition that a segment belongs to.
    pub newest: Option<PlaylistFacts>,
    /// Whether half of all places for waiters are taken. Then no fetch is held, so that plain requests find a place.
    pub crowded: bool,
}

/// How one request to the origin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// With a whole object.
    Whole,
    /// With a 4xx.
    Refused(StatusCode),
    /// With an answer that is not to be shared.
    Private,
    /// It failed; the origin may have said when to come back.
    Failed(FetchError, Option<Duration>),
}

/// How a flight ends: one outcome for all who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a whole object.
    Whole,
    /// The origin refuses the object with this 4xx, which is remembered for this long.
    Refused(StatusCode, Duration),
    /// The answer is not to be shared: each request must ask for itself.
    Private,
    /// It failed; the origin may have said when to come back.
    Failed(FetchError, Option<Duration>),
}

/// What the performer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Waits for a permit of this class and asks the origin for this reason: [`Flight::handle_attempt`].
    Ask(Class, Reason),
    /// Takes the flight out of the table if no request waits for it: [`Flight::handle_abandon`].
    Abandon,
    /// Takes a retry from the budget, if the server that is asked next may give another answer:
    /// [`Flight::handle_retry`].
    TakeRetry(FetchError, Option<Duration>),
    /// Takes a place among the held fetches: [`Flight::handle_hold`].
    TakeHold,
    /// Waits until this instant. With a segment number, the wait ends earlier if the newest playlist no longer names
    /// that segment as the next one: [`Flight::handle_wait`].
    Wait(Timestamp, Option<u64>),
    /// The flight is over.
    Land(Outcome),
}

/// A flight under way.
#[derive(Clone, Debug)]
pub struct Flight {
    subject: Subject,
    reason: Reason,
    class: Class,
    /// Whether the flight began before a viewer asked.
    ahead: bool,
    began: Timestamp,
    ends_at: Timestamp,
    /// The longest time for which the flight is held; `None`: it is not held.
    hold_max: Option<Duration>,
    held_until: Option<Timestamp>,
    failures: u32,
    head_shown: bool,
    received: u64,
    resumable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking,
    Abandoning,
    /// A failure that may be worth another attempt.
    Failed(FetchError, Option<Duration>),
    Pausing(Timestamp),
    /// The segment is not there yet; the flight may be held until then.
    Missing(Timestamp),
    Holding(Timestamp, Option<u64>),
    Landed(Outcome),
}

impl Flight {
    /// A flight that begins for this reason. `by_cache`: another cache asks, and it holds requests by itself. `holds`:
    /// fetches are held here.
    pub fn begin(
        subject: Subject,
        reason: Reason,
        by_cache: bool,
        holds: bool,
        limits: &Limits,
        now: Timestamp,
        newest: Option<PlaylistFacts>,
    ) -> Self {
        // A cache that asks waits for a head as long as this edge does. It holds longer waits by itself.
        let longest = if by_cache {
            limits.first_byte / 2
        } else {
            limits.total / 2
        };
        Self {
            subject,
            reason,
            class: subject.class(reason, newest),
            ahead: reason == Reason::Prefetch,
            began: now,
            ends_at: now + limits.total,
            hold_max: holds.then_some(longest),
            held_until: None,
            failures: 0,
            head_shown: false,
            received: 0,
            resumable: false,
            state: State::Asking,
        }
    }

    /// What to do now.
    pub fn poll(&self) -> Action {
        match self.state {
            State::Asking => Action::Ask(self.class, self.reason),
            State::Abandoning => Action::Abandon,
            State::Failed(error, retry_after) => Action::TakeRetry(error, retry_after),
            State::Pausing(until) => Action::Wait(until, None),
            State::Missing(_) => Action::TakeHold,
            State::Holding(until, next) => Action::Wait(until, next),
            State::Landed(outcome) => Action::Land(outcome),
        }
    }

    /// When it began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// When it must have landed.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Number of attempts that have failed so far. The next attempt goes to another server, if there is one.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The object that it fetches.
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Why the origin is asked next.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether the flight began before a viewer asked, and no request is known to wait for it since.
    pub fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// Bytes of the body that have come in so far.
    pub fn bytes(&self) -> u64 {
        self.received
    }

    /// Whether the flight need not go on if no request waits for it: it is not urgent, and no viewer reads it yet.
    pub fn may_be_deserted(&self) -> bool {
        self.class != Class::LiveEdge && !self.head_shown
    }

    /// Viewers may have the head now. `resumable`: a body that breaks off can be continued, because it has a strong
    /// tag.
    pub fn head_is_shown(&mut self, resumable: bool) {
        self.head_shown = true;
        self.resumable = resumable;
    }

    /// This number of bytes of the body has come in.
    pub fn received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// What came in so far is thrown away, because no viewer has seen it.
    pub fn begins_anew(&mut self) {
        self.head_shown = false;
        self.resumable = false;
        self.received = 0;
    }

    /// A request to the origin has ended, or a bound refused it before it was sent.
    pub fn handle_attempt(&mut self, attempt: Attempt, now: Timestamp, around: Surroundings) {
        self.state = match attempt {
            Attempt::Failed(FetchError::Shed(Shed::Background), _) if self.head_shown => {
                // A viewer reads what has come in so far.
                return self.is_waited_for(around.newest);
            }
            Attempt::Failed(FetchError::Shed(Shed::Background), _) => State::Abandoning,
            Attempt::Failed(error, retry_after) if self.can_go_on() => {
                State::Failed(error, retry_after)
            }
            Attempt::Failed(error, retry_after) => {
                State::Landed(Outcome::Failed(error, retry_after))
            }
            Attempt::Refused(StatusCode::NOT_FOUND) => self.missing(now, around),
            Attempt::Refused(status) => State::Landed(self.absent(status, around.newest)),
            Attempt::Whole => State::Landed(Outcome::Whole),
            Attempt::Private => State::Landed(Outcome::Private),
        };
    }

    /// `gone`: the flight has left the table, because no request waited for it. Otherwise it may queue from now on.
    pub fn handle_abandon(&mut self, gone: bool, newest: Option<PlaylistFacts>) {
        if gone {
            let deserted = FetchError::Shed(Shed::Background);
            self.state = State::Landed(Outcome::Failed(deserted, None));
            return;
        }
        self.is_waited_for(newest);
    }

    /// The flight began without a waiter, and a request waits for it now: so it may queue.
    fn is_waited_for(&mut self, newest: Option<PlaylistFacts>) {
        self.reason = Reason::Miss;
        self.class = self.subject.class(self.reason, newest);
        self.ahead = false;
        self.state = State::Asking;
    }

    /// Whether the budget grants a retry.
    pub fn handle_retry(&mut self, granted: bool, now: Timestamp) {
        let State::Failed(error, retry_after) = self.state else {
            return;
        };
        if !granted {
            self.state = State::Landed(Outcome::Failed(error, retry_after));
            return;
        }
        self.failures += 1;
        self.reason = if self.received > 0 && self.subject.is_streamed() {
            Reason::Resume
        } else {
            Reason::Retry
        };
        self.state = State::Pausing(now + retry::pause(self.failures));
    }

    /// Whether the flight gets a place among the held fetches.
    pub fn handle_hold(&mut self, granted: bool, now: Timestamp, around: Surroundings) {
        let State::Missing(until) = self.state else {
            return;
        };
        if granted {
            self.held_until = Some(until);
            self.state = self.held(until, now, around);
        } else {
            // The flight does not ask for such a place again.
            self.hold_max = None;
            self.state = State::Landed(self.absent(StatusCode::NOT_FOUND, around.newest));
        }
    }

    /// The wait is over.
    pub fn handle_wait(&mut self, newest: Option<PlaylistFacts>) {
        self.state = match self.state {
            State::Holding(..) if !self.may_come(newest) => {
                State::Landed(self.absent(StatusCode::NOT_FOUND, newest))
            }
            State::Holding(..) => {
                self.reason = Reason::Hold;
                State::Asking
            }
            State::Pausing(_) => State::Asking,
            state => state,
        };
    }

    /// Whether the flight can continue what has come in so far, or begin anew without a viewer seeing that.
    fn can_go_on(&self) -> bool {
        let unseen = self.received == 0 || !self.head_shown;
        !self.subject.is_streamed() || self.resumable || unseen
    }

    /// The origin has answered 404.
    fn missing(&self, now: Timestamp, around: Surroundings) -> State {
        if let Some(until) = self.held_until {
            return self.held(until, now, around);
        }
        match (self.hold_max, around.newest) {
            (Some(longest), Some(newest)) if self.may_come(around.newest) => {
                State::Missing(now + newest.target_duration.min(longest))
            }
            _ => State::Landed(self.absent(StatusCode::NOT_FOUND, around.newest)),
        }
    }

    /// A held flight waits a little longer, or gives up.
    fn held(&self, until: Timestamp, now: Timestamp, around: Surroundings) -> State {
        let (Some(number), Some(newest)) = (self.subject.segment, around.newest) else {
            return State::Landed(self.absent(StatusCode::NOT_FOUND, around.newest));
        };
        if now >= until || around.crowded {
            return State::Landed(self.absent(StatusCode::NOT_FOUND, around.newest));
        }
        // A listed segment comes any moment. A playlist will list any other segment, unless no viewer asks for a
        // playlist.
        let listed = newest.absence_of(number) == Absence::Listed;
        let pause = newest.target_duration / if listed { 8 } else { 2 };
        let wake_at = (now + pause).min(until);
        State::Holding(wake_at, (!listed).then_some(number))
    }

    /// Whether a missing segment is about to come.
    fn may_come(&self, newest: Option<PlaylistFacts>) -> bool {
        let (Some(number), Some(newest)) = (self.subject.segment, newest) else {
            return false;
        };
        newest.absence_of(number).is_held()
    }

    /// The outcome of a 4xx. A missing object is remembered as missing for as long as the reason lasts.
    fn absent(&self, status: StatusCode, newest: Option<PlaylistFacts>) -> Outcome {
        let span = match (status, self.subject.segment, newest) {
            (StatusCode::NOT_FOUND | StatusCode::GONE, Some(number), Some(newest)) => {
                newest.absence_of(number).remembered(newest.target_duration)
            }
            _ => Duration::from_secs(1),
        };
        Outcome::Refused(status, span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    /// A playlist of six segments; `last` is the number of the newest.
    fn newest(last: u64) -> Option<PlaylistFacts> {
        Some(PlaylistFacts {
            first: last - 5,
            last,
            target_duration: TARGET,
            newest: TARGET,
        })
    }

    fn around(last: u64) -> Surroundings {
        Surroundings {
            newest: newest(last),
            crowded: false,
        }
    }

    fn segment(number: u64, reason: Reason) -> Flight {
        let subject = Subject {
            kind: Kind::Segment,
            segment: Some(number),
            foreign: false,
        };
        let limits = Limits::default();
        Flight::begin(subject, reason, false, true, &limits, at(0), newest(20))
    }

    fn failed(error: FetchError) -> Attempt {
        Attempt::Failed(error, None)
    }

    fn missing() -> Attempt {
        Attempt::Refused(StatusCode::NOT_FOUND)
    }

    fn remembered_for(millis: u64) -> Action {
        let span = Duration::from_millis(millis);
        Action::Land(Outcome::Refused(StatusCode::NOT_FOUND, span))
    }

    #[test]
    fn a_failure_is_asked_again_while_the_budget_lasts() {
        let mut flight = segment(20, Reason::Miss);
        assert_eq!(flight.poll(), Action::Ask(Class::LiveEdge, Reason::Miss));
        flight.handle_attempt(failed(FetchError::Connect), at(10), around(20));
        assert_eq!(flight.poll(), Action::TakeRetry(FetchError::Connect, None));
        flight.handle_retry(true, at(10));
        assert_eq!(flight.poll(), Action::Wait(at(35), None));
        flight.handle_wait(newest(20));
        assert_eq!(flight.poll(), Action::Ask(Class::LiveEdge, Reason::Retry));
        assert_eq!(flight.failures(), 1);
        flight.handle_attempt(failed(FetchError::Broken), at(40), around(20));
        flight.handle_retry(false, at(40));
        let lost = Outcome::Failed(FetchError::Broken, None);
        assert_eq!(flight.poll(), Action::Land(lost));
    }

    #[test]
    fn a_body_that_viewers_have_seen_goes_on_only_by_its_tag() {
        for (resumable, received, action) in [
            (true, 5, Action::TakeRetry(FetchError::Truncated, None)),
            (false, 0, Action::TakeRetry(FetchError::Truncated, None)),
            (
                false,
                5,
                Action::Land(Outcome::Failed(FetchError::Truncated, None)),
            ),
        ] {
            let mut flight = segment(20, Reason::Miss);
            flight.head_is_shown(resumable);
            flight.received(received);
            flight.handle_attempt(failed(FetchError::Truncated), at(10), around(20));
            assert_eq!(flight.poll(), action, "{resumable} {received}");
            flight.handle_retry(true, at(10));
            flight.handle_wait(newest(20));
            if resumable {
                assert_eq!(flight.poll(), Action::Ask(Class::LiveEdge, Reason::Resume));
            }
        }
    }

    #[test]
    fn a_prefetch_without_a_permit_is_given_up_unless_a_request_waits() {
        let full = failed(FetchError::Shed(Shed::Background));
        let mut flight = segment(21, Reason::Prefetch);
        assert_eq!(
            flight.poll(),
            Action::Ask(Class::Background, Reason::Prefetch)
        );
        assert!(flight.is_ahead() && flight.may_be_deserted());
        flight.handle_attempt(full, at(0), around(21));
        assert_eq!(flight.poll(), Action::Abandon);
        let mut waited_for = flight.clone();
        flight.handle_abandon(true, newest(21));
        let deserted = Outcome::Failed(FetchError::Shed(Shed::Background), None);
        assert_eq!(flight.poll(), Action::Land(deserted));
        waited_for.handle_abandon(false, newest(21));
        assert_eq!(
            waited_for.poll(),
            Action::Ask(Class::LiveEdge, Reason::Miss)
        );
        assert!(!waited_for.is_ahead() && !waited_for.may_be_deserted());
    }

    #[test]
    fn the_next_segment_is_held_until_a_playlist_lists_it_or_a_target_duration_has_passed() {
        let mut flight = segment(21, Reason::Miss);
        flight.handle_attempt(missing(), at(0), around(20));
        assert_eq!(flight.poll(), Action::TakeHold);
        flight.handle_hold(true, at(0), around(20));
        assert_eq!(flight.poll(), Action::Wait(at(1_000), Some(21)));
        // A listed segment is asked for at once, and then every eighth of a target duration.
        flight.handle_wait(newest(21));
        assert_eq!(flight.poll(), Action::Ask(Class::LiveEdge, Reason::Hold));
        flight.handle_attempt(missing(), at(1_800), around(21));
        assert_eq!(flight.poll(), Action::Wait(at(2_000), None));
        flight.handle_wait(newest(21));
        flight.handle_attempt(missing(), at(2_000), around(21));
        assert_eq!(flight.poll(), remembered_for(1_000));
    }

    #[test]
    fn what_is_not_about_to_come_or_finds_no_place_is_not_held() {
        for (number, held, action) in [
            (22, None, remembered_for(1_000)),        // ahead
            (14, None, remembered_for(12_000)),       // past
            (21, Some(false), remembered_for(1_000)), // no place
        ] {
            let mut flight = segment(number, Reason::Miss);
            flight.handle_attempt(missing(), at(0), around(20));
            if let Some(granted) = held {
                flight.handle_hold(granted, at(0), around(20));
            }
            assert_eq!(flight.poll(), action, "{number}");
        }
        let mut crowded = segment(21, Reason::Miss);
        crowded.handle_attempt(missing(), at(0), around(20));
        let full = Surroundings {
            crowded: true,
            ..around(20)
        };
        crowded.handle_hold(true, at(0), full);
        assert_eq!(crowded.poll(), remembered_for(1_000));
    }

    #[test]
    fn a_held_request_ends_when_the_stream_begins_anew() {
        let mut flight = segment(21, Reason::Miss);
        flight.handle_attempt(missing(), at(0), around(20));
        flight.handle_hold(true, at(0), around(20));
        flight.handle_wait(newest(9));
        assert_eq!(flight.poll(), remembered_for(1_000));
    }

    /// What an origin may answer.
    fn attempt() -> impl Strategy<Value = Attempt> {
        prop_oneof![
            1 => Just(Attempt::Whole),
            1 => Just(Attempt::Private),
            4 => Just(missing()),
            1 => Just(Attempt::Refused(StatusCode::FORBIDDEN)),
            3 => Just(failed(FetchError::Connect)),
            2 => Just(failed(FetchError::Truncated)),
            2 => Just(failed(FetchError::Shed(Shed::Background))),
        ]
    }

    proptest! {
        /// For any answers of the origin and any grants of the edge, a flight lands. It asks only as often as its retries
        /// and its hold allow, and never waits past its hold. It continues a body that viewers have seen only by its tag.
        #[test]
        fn a_flight_lands_within_its_bounds(
            answers in prop::collection::vec((attempt(), 0_u64..400, any::<bool>(), any::<bool>(), 19_u64..23, 0_u64..3), 1..60),
        ) {
            let limits = Limits::default();
            let mut flight = segment(21, Reason::Prefetch);
            let (mut now, mut retries, mut held_from) = (at(0), 0, None);
            let mut abandoned = 0;
            for (attempt, took, granted, crowded, last, received) in answers {
                let surroundings = Surroundings { newest: newest(last), crowded };
                match flight.poll() {
                    Action::Ask(class, reason) => {
                        prop_assert!(reason != Reason::Resume || flight.resumable || !flight.head_shown || flight.bytes() == 0);
                        // Only a request that does not queue can be refused because no permit in the background is
                        // free.
                        let refused = attempt == failed(FetchError::Shed(Shed::Background));
                        if refused && class != Class::Background {
                            continue;
                        }
                        now = now + Duration::from_millis(took);
                        if received > 0 && !refused {
                            flight.head_is_shown(granted);
                            flight.received(received);
                        }
                        flight.handle_attempt(attempt, now, surroundings);
                    }
                    Action::Abandon => {
                        abandoned += 1;
                        prop_assert!(abandoned <= 1, "once it is waited for, it queues");
                        flight.handle_abandon(granted, surroundings.newest);
                    }
                    Action::TakeRetry(..) => {
                        let granted = granted && flight.failures() < limits.retries_per_flight_max;
                        retries += u32::from(granted);
                        flight.handle_retry(granted, now);
                    }
                    Action::TakeHold => {
                        prop_assert!(held_from.is_none(), "it is held once");
                        held_from = Some(now);
                        flight.handle_hold(granted, now, surroundings);
                    }
                    Action::Wait(until, _) => {
                        prop_assert!(until >= now);
                        if let (Some(from), State::Holding(..)) = (held_from, flight.state) {
                            prop_assert!(until <= from + TARGET);
                        }
                        now = until;
                        flight.handle_wait(surroundings.newest);
                    }
                    Action::Land(_) => break,
                }
                prop_assert_eq!(flight.failures(), retries);
                prop_assert!(retries <= limits.retries_per_flight_max);
            }
            // In any state: once nothing is granted and the origin fails, the flight lands in a few steps.
            let mut steps = 0;
            while !matches!(flight.poll(), Action::Land(_)) {
                steps += 1;
                prop_assert!(steps <= 5, "it does not land: {:?}", flight);
                match flight.poll() {
                    Action::Ask(..) => flight.handle_attempt(failed(FetchError::Connect), now, Surroundings::default()),
                    Action::Abandon => flight.handle_abandon(true, None),
                    Action::TakeRetry(..) => flight.handle_retry(false, now),
                    Action::TakeHold => flight.handle_hold(false, now, Surroundings::default()),
                    Action::Wait(..) => flight.handle_wait(None),
                    Action::Land(_) => {}
                }
            }
        }
    }
}
