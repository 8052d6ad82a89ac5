//! When a failed request to the origin is repeated, and when the origin is left alone.
//!
//! Retries have a budget: a share of the good fills, so that a failing origin is never asked much more often than a
//! healthy one. A circuit breaker opens when failures are frequent, and lets one probe through now and then.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::limits::Limits;
use super::status::FetchError;
use crate::time::Timestamp;

/// The budget of retries: each good fill adds a share of one retry.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    percent: u32,
    /// Hundredths of a retry.
    saved: u32,
}

impl Budget {
    /// The most retries that may be saved. A budget begins with them, so that a first failure may be repeated.
    const MOST: u32 = 10;

    /// A budget of `percent` retries per hundred good fills.
    pub fn new(percent: u32) -> Self {
        Self {
            percent,
            saved: if percent == 0 { 0 } else { Self::MOST * 100 },
        }
    }

    /// A fill went well.
    pub fn filled(&mut self) {
        self.saved = self
            .saved
            .saturating_add(self.percent)
            .min(Self::MOST * 100);
    }

    /// Takes one retry; `false` if there is none left.
    pub fn take(&mut self) -> bool {
        let left = self.saved.checked_sub(100);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

/// Whether asking once more may help. A 4xx is an answer. 503 asks to be left alone. 508 says that caches ask each
/// other in a circle. A bound of this edge is no failure.
pub fn is_worth_repeating(error: FetchError, retry_after: Option<Duration>) -> bool {
    match error {
        FetchError::Connect
        | FetchError::FirstByteTimeout
        | FetchError::ProgressTimeout
        | FetchError::Broken
        | FetchError::Truncated
        | FetchError::Outdated => true,
        FetchError::Status(code) => !matches!(code, 503 | 508) && retry_after.is_none(),
        FetchError::TotalTimeout
        | FetchError::TooLarge
        | FetchError::Changed
        | FetchError::Shed(_)
        | FetchError::Panicked => false,
    }
}

/// Whether a flight with this number of failures and this last error may ask again, at one of so many servers. If so, takes the
/// retry from the budget.
pub fn is_granted(
    failures: u32,
    error: FetchError,
    retry_after: Option<Duration>,
    servers: usize,
    limits: &Limits,
    budget: &mut Budget,
) -> bool {
    failures <= limits.retries_per_flight_max
        && is_worth_repeating(error, retry_after)
        // The same server has no newer playlist; another may have one.
        && (error != FetchError::Outdated || servers > 1)
        && budget.take()
}

/// What a failed attempt says of the server that was asked. If `viewer_chose` the object, only a refused connection
/// counts. Otherwise a viewer could open the breaker by asking for objects that fail.
pub fn health_after(error: FetchError, viewer_chose: bool) -> Health {
    match error {
        FetchError::Connect => Health::Failing,
        _ if viewer_chose => Health::Well,
        // 508 says that caches ask each other in a circle; the server itself is well.
        FetchError::Status(508)
        | FetchError::Outdated
        | FetchError::Changed
        | FetchError::TooLarge
        | FetchError::Shed(_)
        | FetchError::Panicked => Health::Well,
        FetchError::Status(_)
        | FetchError::FirstByteTimeout
        | FetchError::ProgressTimeout
        | FetchError::TotalTimeout
        | FetchError::Broken
        | FetchError::Truncated => Health::Failing,
    }
}

/// How long to wait before retry number `attempt`, counted from 1, at the same origin.
pub fn pause(attempt: u32) -> Duration {
    Duration::from_millis(25) * (1 << attempt.saturating_sub(1).min(4))
}

/// Seconds until a request that was refused may come back.
pub const COME_BACK_S: RangeInclusive<u64> = 1..=3;

/// Such a number of seconds, drawn from the clock's small digits. So requests that were refused together do not come back
/// together.
pub fn come_back_s(now: Timestamp) -> u64 {
    let (least, most) = COME_BACK_S.into_inner();
    least + now.as_nanos() / 1_000 % (most - least + 1)
}

/// The breaker's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures in a row that open it.
    pub in_a_row: u32,
    /// How long it stays open at first; each failed probe doubles that.
    pub wait: Duration,
    /// The longest that it stays open before it probes again.
    pub wait_max: Duration,
}

/// How a request to the origin ended, as the breaker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The origin answered; a 4xx is an answer.
    Well,
    /// The origin did not answer, or answered with a 5xx.
    Failing,
}

/// A circuit breaker for one origin: closed, open until a time, or letting one probe through.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: State,
    in_a_row: u32,
    /// The last [`RECENT`] outcomes, the newest in the lowest bit; a set bit is a failure.
    recent: u32,
    seen: u32,
    wait: Duration,
}

/// The number of outcomes that the breaker looks back at. If half of them are failures, it opens.
const RECENT: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Timestamp,
    },
    /// A probe is under way. If its outcome is never reported, another may go at `again_at`.
    Probing {
        again_at: Timestamp,
    },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(limits: BreakerLimits) -> Self {
        Self {
            limits,
            state: State::Closed,
            in_a_row: 0,
            recent: 0,
            seen: 0,
            wait: limits.wait,
        }
    }

    /// Whether the origin is healthy as far as is known.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a request may go now.
    pub fn admits(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until: at } | State::Probing { again_at: at } => now >= at,
        }
    }

    /// A request goes. If the breaker is not closed, the request is the probe.
    pub fn went(&mut self, now: Timestamp) {
        if self.state != State::Closed {
            // Long enough for any answer. A probe whose outcome is never reported must not keep the breaker open for
            // ever.
            let again_at = now + self.limits.wait_max * 4;
            self.state = State::Probing { again_at };
        }
    }

    /// A request has ended.
    pub fn ended(&mut self, now: Timestamp, health: Health) {
        match (self.state, health) {
            (State::Closed, _) => {
                let failed = health == Health::Failing;
                self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
                self.recent = (self.recent << 1 | u32::from(failed)) & ((1 << RECENT) - 1);
                self.seen = (self.seen + 1).min(RECENT);
                let often = self.seen == RECENT && self.recent.count_ones() * 2 >= RECENT;
                if self.in_a_row >= self.limits.in_a_row || often {
                    self.wait = self.limits.wait;
                    self.state = State::Open {
                        until: now + self.wait,
                    };
                }
            }
            (_, Health::Well) => *self = Self::new(self.limits),
            (State::Probing { .. }, Health::Failing) => {
                self.wait = (self.wait * 2).min(self.limits.wait_max);
                self.state = State::Open {
                    until: now + self.wait,
                };
            }
            // The request went before the breaker opened, and says nothing new.
            (State::Open { .. }, Health::Failing) => {}
        }
    }

    /// 0 closed, 1 probing, 2 open.
    pub fn state(&self) -> u8 {
        match self.state {
            State::Closed => 0,
            State::Probing { .. } => 1,
            State::Open { .. } => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        in_a_row: 5,
        wait: Duration::from_millis(250),
        wait_max: Duration::from_secs(1),
    };

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn fails(breaker: &mut Breaker, times: u32, millis: u64) {
        for _ in 0..times {
            breaker.ended(at(millis), Health::Failing);
        }
    }

    #[test]
    fn retries_are_a_share_of_good_fills() {
        let mut budget = Budget::new(10);
        let saved_up = (0..100).filter(|_| budget.take()).count();
        assert_eq!(saved_up, 10);
        for _ in 0..25 {
            budget.filled();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), 2);
        assert!(!Budget::new(0).take(), "no retries means none");
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_good_probe_closes_it() {
        let mut breaker = Breaker::new(LIMITS);
        fails(&mut breaker, 4, 0);
        assert!(breaker.admits(at(0)));
        fails(&mut breaker, 1, 0);
        assert!(!breaker.admits(at(249)));
        assert!(breaker.admits(at(250)));
        breaker.went(at(250));
        assert!(!breaker.admits(at(260)), "one probe at a time");
        breaker.ended(at(270), Health::Well);
        assert!(breaker.admits(at(270)));
        assert_eq!(breaker.state(), 0);
    }

    #[test]
    fn failed_probes_come_further_apart_up_to_a_second() {
        let mut breaker = Breaker::new(LIMITS);
        fails(&mut breaker, 5, 0);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..4 {
            let opens = (now..).find(|&millis| breaker.admits(at(millis))).unwrap();
            waits.push(opens - now);
            breaker.went(at(opens));
            breaker.ended(at(opens), Health::Failing);
            now = opens;
        }
        assert_eq!(waits, [250, 500, 1_000, 1_000]);
    }

    #[test]
    fn half_of_the_last_twenty_open_it_too() {
        let mut breaker = Breaker::new(LIMITS);
        for _ in 0..10 {
            breaker.ended(at(0), Health::Well);
            assert_eq!(breaker.state(), 0);
            breaker.ended(at(0), Health::Failing);
        }
        assert_eq!(breaker.state(), 2);
    }

    #[test]
    fn a_late_failure_does_not_lengthen_the_wait() {
        let mut breaker = Breaker::new(LIMITS);
        fails(&mut breaker, 20, 0);
        assert!(breaker.admits(at(250)));
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_does_not_keep_it_open() {
        let mut breaker = Breaker::new(LIMITS);
        fails(&mut breaker, 5, 0);
        breaker.went(at(250));
        assert!(!breaker.admits(at(4_249)));
        assert!(breaker.admits(at(4_250)));
    }

    #[test]
    fn what_a_viewer_chose_says_nothing_of_the_server_unless_it_takes_no_connection() {
        assert_eq!(
            health_after(FetchError::Status(500), false),
            Health::Failing
        );
        assert_eq!(health_after(FetchError::Status(500), true), Health::Well);
        assert_eq!(health_after(FetchError::Connect, true), Health::Failing);
        assert_eq!(health_after(FetchError::Status(508), false), Health::Well);
    }

    #[test]
    fn answers_and_bounds_are_not_worth_repeating() {
        use super::super::status::Shed;
        assert!(is_worth_repeating(FetchError::Connect, None));
        assert!(is_worth_repeating(FetchError::Status(500), None));
        assert!(!is_worth_repeating(FetchError::Status(503), None));
        assert!(!is_worth_repeating(
            FetchError::Status(500),
            Some(Duration::from_secs(1))
        ));
        assert!(!is_worth_repeating(
            FetchError::Shed(Shed::MemoryFull),
            None
        ));
    }
}
