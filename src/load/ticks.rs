//! Timers of the many viewers of a worker, which go off together: however many wait for a tick, one timer of the runtime
//! wakes them.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::wheel::{Place, Wheel};
use crate::serve::clock::Clock;
use crate::time::Timestamp;

/// Timers go off at whole multiples of this. In browsers timers that set each other wait at least as long (HTML, "Timers"),
/// and hls.js looks ten times a second what to do.
pub(super) const TICK: Duration = Duration::from_millis(4);

/// Timers that go off at ticks.
pub(super) struct Ticks {
    clock: Clock,
    waiting: Mutex<Waiting>,
    /// Told when somebody waits for a tick before the one that [`Ticks::run`] waits for.
    sooner: Notify,
}

struct Waiting {
    wheel: Wheel<Waker>,
    /// The tick that [`Ticks::run`] waits for.
    awaited: u64,
}

impl Ticks {
    /// Nobody waits yet. Timers go off as long as [`Ticks::run`] runs.
    pub(super) fn new(clock: Clock) -> Self {
        let waiting = Waiting {
            wheel: Wheel::new(),
            awaited: u64::MAX,
        };
        Self {
            clock,
            waiting: Mutex::new(waiting),
            sooner: Notify::new(),
        }
    }

    /// Wakes whoever is due, for ever.
    pub(super) async fn run(&self) {
        let mut due = Vec::new();
        loop {
            let first = {
                let mut waiting = self.waiting();
                let first = waiting.wheel.first();
                waiting.awaited = first.unwrap_or(u64::MAX);
                first
            };
            let sooner = self.sooner.notified();
            match first {
                Some(first) => {
                    let at = self.clock.instant(time_of(first));
                    if tokio::time::timeout_at(at, sooner).await.is_ok() {
                        continue;
                    }
                }
                None => {
                    sooner.await;
                    continue;
                }
            }
            let now = self.clock.now();
            self.waiting()
                .wheel
                .turn(tick_of(now), |waker| due.push(waker));
            // Not under the lock: what wakes may come back at once.
            due.drain(..).for_each(Waker::wake);
        }
    }

    /// Ends at the first tick that is not before `at`; says when that was.
    pub(super) async fn sleep_until(&self, at: Timestamp) -> Timestamp {
        let mut alarm = Alarm {
            ticks: self,
            at: at.next_tick(TICK),
            place: None,
        };
        poll_fn(|context| alarm.poll(context)).await
    }

    /// What the future comes to, unless it takes until the first tick that is not before `at`.
    pub(super) async fn timeout_at<T>(
        &self,
        at: Timestamp,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            came = future => Some(came),
            _ = self.sleep_until(at) => None,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, at: Timestamp, waker: Waker) -> Place {
        let mut waiting = self.waiting();
        let place = waiting.wheel.put(tick_of(at), waker);
        if place.tick() < waiting.awaited {
            waiting.awaited = place.tick();
            drop(waiting);
            self.sooner.notify_one();
        }
        place
    }
}

/// A timer; its place is free again when it is dropped.
struct Alarm<'a> {
    ticks: &'a Ticks,
    /// A whole multiple of a tick.
    at: Timestamp,
    place: Option<Place>,
}

impl Alarm<'_> {
    fn poll(&mut self, context: &Context<'_>) -> Poll<Timestamp> {
        if self.is_set_for(context.waker()) {
            return Poll::Pending;
        }
        let now = self.ticks.clock.now();
        if now >= self.at {
            return Poll::Ready(now);
        }
        self.unset();
        self.place = Some(self.ticks.put(self.at, context.waker().clone()));
        Poll::Pending
    }

    /// Whether the tick is still to come, and will wake this task.
    fn is_set_for(&self, waker: &Waker) -> bool {
        self.place.is_some_and(|place| {
            let waiting = self.ticks.waiting();
            let set = waiting.wheel.get(place);
            set.is_some_and(|set| set.will_wake(waker))
        })
    }

    fn unset(&mut self) {
        if let Some(place) = self.place.take() {
            // Dropped once the lock is free again.
            let _waker = self.ticks.waiting().wheel.take(place);
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.unset();
    }
}

fn tick_of(at: Timestamp) -> u64 {
    at.as_nanos() / TICK.as_nanos() as u64
}

fn time_of(tick: u64) -> Timestamp {
    let nanos = tick.saturating_mul(TICK.as_nanos() as u64);
    Timestamp::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What `test` comes to beside running ticks.
    async fn beside<T>(ticks: &Ticks, test: impl Future<Output = T>) -> T {
        tokio::select! {
            () = ticks.run() => unreachable!("they run for ever"),
            came = test => came,
        }
    }

    #[tokio::test]
    async fn timers_go_off_in_their_order_at_ticks_and_never_before_their_time() {
        let clock = Clock::start();
        let ticks = Arc::new(Ticks::new(clock));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for millis in [57, 9, 30, 10, 0, 11] {
            let (ticks, tell) = (ticks.clone(), tell.clone());
            // Each ends with its timer.
            tokio::spawn(async move {
                let due = Timestamp::ZERO + Duration::from_millis(millis);
                let woken = ticks.sleep_until(due).await;
                assert!(woken >= due.next_tick(TICK), "{millis}");
                tell.send(millis).unwrap();
            });
        }
        drop(tell);
        let mut order = Vec::new();
        beside(&ticks, async {
            while let Some(millis) = told.recv().await {
                order.push(millis);
            }
        })
        .await;
        // Those of the same tick by the order of asking.
        assert_eq!(order, [0, 9, 10, 11, 30, 57]);
    }

    #[tokio::test]
    async fn a_timeout_that_is_not_needed_leaves_nothing_behind() {
        let clock = Clock::start();
        let ticks = Ticks::new(clock);
        let far = clock.now() + Duration::from_secs(3_600);
        let soon = clock.now() + Duration::from_millis(1);
        beside(&ticks, async {
            let quick = ticks.timeout_at(far, ticks.sleep_until(soon));
            assert!(quick.await.is_some());
            let slow = ticks.timeout_at(soon, std::future::pending::<()>());
            assert_eq!(slow.await, None);
            assert_eq!(ticks.timeout_at(soon, async { 7 }).await, Some(7));
        })
        .await;
        let mut left = 0;
        ticks.waiting().wheel.turn(u64::MAX / 2, |_| left += 1);
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn a_task_that_moves_is_woken_where_it_is() {
        let clock = Clock::start();
        let ticks = Ticks::new(clock);
        let due = clock.now() + Duration::from_millis(20);
        let mut sleeping = Box::pin(ticks.sleep_until(due));
        // Polled once by a waker that nobody listens to.
        let nobody = &mut Context::from_waker(Waker::noop());
        assert!(sleeping.as_mut().poll(nobody).is_pending());
        beside(&ticks, sleeping).await;
    }
}
