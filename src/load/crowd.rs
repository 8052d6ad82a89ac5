//! The viewers of one worker: each comes at its time, and is waited for until it has left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::ticks::TICK;
use super::visitor::{self, World};
use crate::viewer::audience::Visit;

/// A viewer that cannot be started this long after its time is not started at all.
const START_LATE_MAX: Duration = Duration::from_secs(1);

/// Plays these visits, which come in the order of their arrival, until all have left or the run is stopped; what they leave
/// behind is in the log.
pub(super) async fn play(world: Arc<World>, visits: Vec<Visit>, worker: usize) {
    let mut present = JoinSet::new();
    tokio::select! {
        biased;
        () = world.stop.cancelled() => {}
        () = world.ticks[worker].run() => {}
        () = attend(&world, visits, worker, &mut present) => {}
    }
    present.shutdown().await;
}

async fn attend(world: &Arc<World>, visits: Vec<Visit>, worker: usize, present: &mut JoinSet<()>) {
    let (ticks, tally) = (&world.ticks[worker], &world.log.tally);
    for visit in visits {
        let due = (world.began + visit.arrives).next_tick(TICK);
        let late = ticks.sleep_until(due).await.since(due);
        world.watch.on_wake(late);
        if late > START_LATE_MAX {
            tally.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        tally.started.fetch_add(1, Ordering::Relaxed);
        present.spawn(visitor::play(Arc::clone(world), visit, worker));
        while let Some(left) = present.try_join_next() {
            left.expect("a visit does not panic");
        }
    }
    while let Some(left) = present.join_next().await {
        left.expect("a visit does not panic");
    }
}
