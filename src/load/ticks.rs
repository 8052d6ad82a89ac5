//! The ticks of a worker. Viewers wait for whole ticks, and so do the timeouts of their requests, so one timer of the runtime
//! serves all that are due.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::wheel::{Position, Wheel};
use crate::serve::clock::Clock;
use crate::time::Timestamp;

/// Timers go off at whole multiples of this duration. In browsers, timers that set each other wait at least as long (HTML,
/// "Timers"), and hls.js decides ten times a second what to do.
pub(super) const TICK: Duration = Duration::from_millis(4);

/// The last tick that has begun by this time.
pub(super) fn begun_by(at: Timestamp) -> u64 {
    at.as_nanos() / TICK.as_nanos() as u64
}

/// The first tick that is not before this time.
pub(super) fn not_before(at: Timestamp) -> u64 {
    begun_by(at.next_tick(TICK))
}

/// When a tick begins.
pub(super) fn time_of(tick: u64) -> Timestamp {
    Timestamp::from_nanos(tick.saturating_mul(TICK.as_nanos() as u64))
}

/// The timeouts of the requests of a worker's viewers. They pass when [`Deadlines::turn`] is told the time.
pub(super) struct Deadlines {
    clock: Clock,
    wheel: Mutex<Wheel<Waker>>,
}

impl Deadlines {
    /// Begins without deadlines.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            wheel: Mutex::new(Wheel::new()),
        }
    }

    /// The first tick at which a deadline may pass.
    pub(super) fn first(&self) -> Option<u64> {
        self.wheel().first()
    }

    /// Lets pass the deadlines that are due at `now`.
    pub(super) fn turn(&self, now: Timestamp) {
        let mut passed = Vec::new();
        self.wheel()
            .turn(begun_by(now), |_, waker| passed.push(waker));
        // Not under the lock: a woken task may come back at once.
        passed.into_iter().for_each(Waker::wake);
    }

    /// The output of the future; `None` if it takes until the first tick that is not before `at`.
    pub(super) async fn timeout_at<T>(
        &self,
        at: Timestamp,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut deadline = Deadline {
            deadlines: self,
            at: at.next_tick(TICK),
            place: None,
        };
        tokio::select! {
            biased;
            came = future => Some(came),
            () = poll_fn(|context| deadline.poll(context)) => None,
        }
    }

    fn wheel(&self) -> MutexGuard<'_, Wheel<Waker>> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One deadline; dropping it frees its place in the wheel.
struct Deadline<'a> {
    deadlines: &'a Deadlines,
    /// A whole multiple of a tick.
    at: Timestamp,
    place: Option<Position>,
}

impl Deadline<'_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.will_wake(context.waker()) {
            return Poll::Pending;
        }
        if self.deadlines.clock.now() >= self.at {
            return Poll::Ready(());
        }
        self.unset();
        let waker = context.waker().clone();
        let place = self.deadlines.wheel().put(not_before(self.at), waker);
        self.place = Some(place);
        Poll::Pending
    }

    /// Whether its tick is still to come and will wake this waker.
    fn will_wake(&self, waker: &Waker) -> bool {
        self.place.is_some_and(|place| {
            let wheel = self.deadlines.wheel();
            wheel.get(place).is_some_and(|set| set.will_wake(waker))
        })
    }

    fn unset(&mut self) {
        if let Some(place) = self.place.take() {
            // The waker is dropped when the lock is free again.
            let _waker = self.deadlines.wheel().take(place);
        }
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.unset();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn ticks_round_as_their_names_say() {
        let at = |micros| Timestamp::ZERO + Duration::from_micros(micros);
        for (micros, begun, next) in [(0, 0, 0), (1, 0, 1), (4_000, 1, 1), (4_001, 1, 2)] {
            assert_eq!(begun_by(at(micros)), begun, "{micros}");
            assert_eq!(not_before(at(micros)), next, "{micros}");
        }
        assert_eq!(time_of(2), at(8_000));
    }

    #[tokio::test]
    async fn a_deadline_passes_at_its_tick_and_not_before() {
        let clock = Clock::start();
        let deadlines = Deadlines::new(clock);
        let at = clock.now() + Duration::from_millis(10);
        let mut never = pin!(deadlines.timeout_at(at, std::future::pending::<()>()));
        // Another task polls first.
        let nobody = &mut Context::from_waker(Waker::noop());
        assert!(never.as_mut().poll(nobody).is_pending());
        let ticking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                deadlines.turn(clock.now());
            }
        };
        tokio::select! {
            came = never => assert_eq!(came, None),
            () = ticking => {}
        }
        assert!(clock.now() >= at.next_tick(TICK));
    }

    #[tokio::test]
    async fn a_deadline_that_is_not_needed_leaves_nothing_behind() {
        let clock = Clock::start();
        let deadlines = Deadlines::new(clock);
        let soon = clock.now() + Duration::from_secs(5);
        let beyond = clock.now() + Duration::from_secs(3_600);
        for at in [clock.now(), soon, beyond] {
            let quick = deadlines.timeout_at(at, tokio::task::yield_now());
            assert_eq!(quick.await.is_some(), at != clock.now());
        }
        let mut left = 0;
        deadlines.wheel().turn(u64::MAX / 2, |_, _| left += 1);
        assert_eq!(left, 0);
    }
}
