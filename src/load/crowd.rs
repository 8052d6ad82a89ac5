//! The viewers of one worker, in one task. A waiting viewer lies in a timing wheel and costs only the memory of its player. A
//! viewer that asks has a future while the request lasts, in memory that the last request has left warm.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::ticks::{self, TICK};
use super::visitor::Visitor;
use super::wheel::Wheel;
use super::world::World;
use crate::viewer::audience::Visit;
use crate::viewer::player::Action;

/// A viewer that cannot be started this long after its arrival time is not started at all.
const START_LATE_MAX: Duration = Duration::from_secs(1);
/// The worker looks at the clock at least this often, because requests that begin set deadlines meanwhile.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Plays these visits, sorted by arrival, until all viewers have left or the run is stopped. The results are in the log.
pub(super) async fn play(world: Arc<World>, visits: Vec<Visit>, worker: usize) {
    let attending = world
        .stop
        .run_until_cancelled(attend(&world, visits, worker));
    // Tokio's cooperative budget would make one task with so many futures pause in the middle.
    tokio::task::unconstrained(attending).await;
}

async fn attend(world: &World, visits: Vec<Visit>, worker: usize) {
    let (clock, tally) = (world.clock, &world.log.tally);
    let deadlines = &world.deadlines[worker];
    let comes_at = |visit: &Visit| (world.began + visit.arrives).next_tick(TICK);
    let mut to_come = visits.into_iter().peekable();
    let mut waiting = Wheel::new();
    let mut asking = FuturesUnordered::new();
    // Viewers that have to decide what to do.
    let mut awake: Vec<Box<Visitor<'_>>> = Vec::new();
    let mut present = 0_u32;
    let mut goes_off = clock.now();
    let mut timer = pin!(tokio::time::sleep_until(clock.instant(goes_off)));
    loop {
        let now = clock.now();
        while let Some(visit) = to_come.next_if(|visit| comes_at(visit) <= now) {
            let late = now.since(comes_at(&visit));
            if late > START_LATE_MAX {
                world.watch.on_wake(late);
                tally.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            tally.started.fetch_add(1, Ordering::Relaxed);
            present += 1;
            let mut visitor = Box::new(Visitor::arrives(world, visit, worker));
            visitor.wakes(comes_at(&visit));
            awake.push(visitor);
        }
        waiting.turn(
            ticks::begun_by(now),
            |tick, mut visitor: Box<Visitor<'_>>| {
                visitor.wakes(ticks::time_of(tick));
                awake.push(visitor);
            },
        );
        deadlines.turn(now);
        awake.iter().for_each(|visitor| visitor.touch());
        for mut visitor in awake.drain(..) {
            match visitor.next(now) {
                Action::Leave => present -= 1,
                Action::WakeAt(at) => drop(waiting.put(ticks::not_before(at), visitor)),
                Action::Get { object, due } => asking.push(visitor.get(object, due)),
            }
        }
        let comes = to_come.peek().map(comes_at);
        if comes.is_none() && present == 0 {
            return;
        }
        let firsts = [waiting.first(), deadlines.first()].into_iter().flatten();
        let due = firsts.map(ticks::time_of).chain(comes);
        let next = due.fold(now + LOOKS_EVERY, Ord::min);
        if next != goes_off || timer.is_elapsed() {
            goes_off = next;
            timer.as_mut().reset(clock.instant(next));
        }
        tokio::select! {
            biased;
            Some(visitor) = asking.next() => awake.push(visitor),
            () = timer.as_mut() => {}
        }
    }
}
