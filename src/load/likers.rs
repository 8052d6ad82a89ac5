//! Likes that viewers send beside their video: each at its time, over connections that carry nothing else. A like is sent again
//! under the same number until its outcome is known.
//!
//! A new like does not wait for the earlier ones (open loop). The outcome of an operation is noted when its task ends, in every
//! case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Sent, Trace};
use super::pool::Pool;
use super::whereabouts::Whereabouts;
use super::world::World;
use crate::likes::Action;
use crate::report::record::{self, Liking, Operation};
use crate::time::Timestamp;
use crate::viewer::asking::{Asking, Fate, Heard};
use crate::viewer::audience::Visit;
use crate::viewer::likes::{Like, LikesPlan, Schedule};
use crate::viewer::tally::Tally;

/// Maximum number of likes under way or waiting to be sent again; further likes are not sent at all.
const UNDER_WAY_MAX: usize = 16_384;
/// Connections for likes to one edge.
pub const LINES_PER_EDGE_MAX: usize = 64;
/// Maximum number of operations in the log.
const LOGGED_MAX: usize = 1_000_000;
/// Maximum time for the answer to one attempt: longer than an edge takes to answer `outcome-unknown`.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long likes are still sent again after the last viewer has left.
const GRACE: Duration = Duration::from_secs(10);

/// The likes of a run under way.
pub(super) struct Likers(Arc<Shared>);

struct Shared {
    world: Arc<World>,
    whereabouts: Arc<Whereabouts>,
    /// Names of the channels.
    channels: Vec<String>,
    /// Prefix of each viewer's name, so that no two runs share a viewer.
    run: String,
    /// Connection pools: for each worker, one per edge.
    lines: Vec<Vec<Pool>>,
    tasks: TaskTracker,
    /// Cancelled when no new like is wanted.
    last: CancellationToken,
    /// Cancelled when no like is sent any more.
    over: CancellationToken,
    noted: Mutex<Noted>,
}

/// The outcomes of all likes so far.
#[derive(Default)]
struct Noted {
    likes: record::LikesRecord,
    tally: Tally,
}

impl Likers {
    /// Begins to send the likes of these visits; [`Likers::finish`] ends it.
    pub(super) fn start(
        world: &Arc<World>,
        whereabouts: &Arc<Whereabouts>,
        likes: &LikesPlan,
        channels: Vec<String>,
        visits: Vec<Visit>,
        workers: &[Handle],
    ) -> Self {
        let lines = LINES_PER_EDGE_MAX.div_ceil(workers.len());
        let pools = |_: &Handle| {
            let edges = world.edges.iter();
            edges.map(|edge| Pool::new(edge.clone(), lines)).collect()
        };
        let began = world.clock.unix_at(world.began).as_millis();
        let shared = Arc::new(Shared {
            world: world.clone(),
            whereabouts: whereabouts.clone(),
            channels,
            run: format!("{began:x}"),
            lines: workers.iter().map(pools).collect(),
            tasks: TaskTracker::new(),
            last: CancellationToken::new(),
            over: CancellationToken::new(),
            noted: Mutex::default(),
        });
        let schedule = likes.schedule(visits, world.seed);
        let sending = shared.clone().send_all(schedule, workers.to_vec());
        shared.tasks.spawn(sending);
        Self(shared)
    }

    /// Number of likes with a known outcome.
    pub(super) fn known(&self) -> u64 {
        self.0.noted().likes.operations.len() as u64
    }

    /// Sends no new likes, waits a while for those under way, and gives up the rest.
    pub(super) async fn finish(self) -> record::LikesRecord {
        let shared = self.0;
        shared.last.cancel();
        shared.tasks.close();
        let known = tokio::time::timeout(GRACE, shared.tasks.wait());
        shared.world.stop.run_until_cancelled(known).await;
        shared.over.cancel();
        shared.tasks.wait().await;
        let Noted { mut likes, tally } = std::mem::take(&mut *shared.noted());
        likes.tally = (0..)
            .zip(&shared.channels)
            .map(|(index, channel)| {
                let expected = tally.expected(index);
                record::Tally {
                    channel: channel.clone(),
                    likes: expected.likes,
                    hearts: expected.hearts,
                }
            })
            .collect();
        likes
    }
}

impl Shared {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts each like at its time, until the schedule or the run ends.
    async fn send_all(self: Arc<Self>, schedule: Schedule, workers: Vec<Handle>) {
        let world = &self.world;
        for like in schedule {
            let due = world.began + like.at;
            let sleeping = tokio::time::sleep_until(world.clock.instant(due));
            tokio::select! {
                biased;
                () = self.last.cancelled() => return,
                () = world.stop.cancelled() => return,
                () = sleeping => {}
            }
            world.watch.on_wake(world.clock.now().since(due));
            if self.tasks.len() > UNDER_WAY_MAX {
                self.noted().likes.unsent += 1;
                continue;
            }
            let worker = like.viewer as usize % workers.len();
            let insisting = self.clone().insist(like, due, worker);
            self.tasks.spawn_on(insisting, &workers[worker]);
        }
    }

    /// Sends a like until it is known whether it counts, or until the run is over.
    async fn insist(self: Arc<Self>, like: Like, due: Timestamp, worker: usize) {
        let world = &self.world;
        let mut entry = Entry {
            shared: &self,
            like,
            due,
            asking: Asking::default(),
            fate: None,
            duplicate: false,
        };
        loop {
            let (mut trace, mut bytes) = (Trace::default(), Vec::new());
            let deadline = world.clock.instant(world.clock.now() + ANSWER_MAX);
            let attempt = self.attempt(&like, worker, &mut bytes, &mut trace);
            let goes_on = tokio::select! {
                biased;
                () = self.over.cancelled() => false,
                () = world.network.breaks_for(like.viewer) => true,
                _ = tokio::time::timeout_at(deadline, attempt) => true,
            };
            let again_after = entry.hear(&trace, &bytes);
            let Some(wait) = again_after.filter(|_| goes_on) else {
                return;
            };
            let waiting = tokio::time::sleep(wait);
            if self.over.run_until_cancelled(waiting).await.is_none() {
                return;
            }
        }
    }

    /// Sends the like once, to the edge where its viewer watches.
    async fn attempt(&self, like: &Like, worker: usize, said: &mut Vec<u8>, trace: &mut Trace) {
        let channel = &self.channels[like.channel as usize];
        let viewer = format!("{}-{}", self.run, like.viewer);
        let (path, body);
        let method = match like.action {
            Action::Like | Action::Unlike => {
                path = format!("/live/{channel}/likes/{viewer}");
                body = String::new();
                match like.action {
                    Action::Like => "PUT",
                    _ => "DELETE",
                }
            }
            Action::Hearts(hearts) => {
                path = format!("/live/{channel}/reactions");
                body = format!("{{\"viewer\":\"{viewer}\",\"hearts\":{hearts}}}");
                "POST"
            }
        };
        let sent = Sent {
            method,
            path: &path,
            sequence: like.sequence,
            body: &body,
        };
        let edge = self.whereabouts.edge(like.viewer);
        let mut line = self.lines[worker][edge].borrow().await;
        let clock = self.world.clock;
        let connection = line.connection();
        // The trace records how far the exchange came, so the result is ignored.
        let _ = connection.send_like(clock, sent, trace).await;
        said.extend_from_slice(connection.text());
    }
}

/// An operation's line in the log and in the tally. It is written when this is dropped, so an operation that is given up is
/// noted too.
struct Entry<'a> {
    shared: &'a Shared,
    like: Like,
    due: Timestamp,
    asking: Asking,
    fate: Option<Fate>,
    duplicate: bool,
}

impl Entry<'_> {
    /// Records the outcome of an attempt. Returns the time until the next attempt, if another one is needed.
    fn hear(&mut self, trace: &Trace, bytes: &[u8]) -> Option<Duration> {
        let said: Said = serde_json::from_slice(bytes).unwrap_or_default();
        let (heard, word) = match (trace.status, trace.sent) {
            (0, None) => (Heard::NotCounted, "no-connection".to_owned()),
            (0, Some(_)) => (Heard::Unknown, "no-answer".to_owned()),
            (status, _) => {
                let word = said.reason.or(said.error.clone());
                (
                    Heard::answer(status, said.error.as_deref(), said.duplicate),
                    word.unwrap_or_else(|| format!("status {status}")),
                )
            }
        };
        self.duplicate = heard == Heard::Acknowledged { duplicate: true };
        if !matches!(heard, Heard::Acknowledged { .. }) {
            let mut noted = self.shared.noted();
            *noted.likes.refusals.entry(word).or_default() += 1;
        }
        self.fate = self.asking.hear(heard);
        let seed = self.shared.world.seed;
        let again = || self.asking.again_after(trace.retry_after, &self.like, seed);
        self.fate.is_none().then(again)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let finished = self.shared.world.clock.now();
        let fate = self.fate.unwrap_or_else(|| self.asking.given_up());
        let took = finished.since(self.due);
        self.shared.world.metrics.liked(fate, took);
        let mut noted = self.shared.noted();
        noted.tally.note(&self.like, fate);
        if noted.likes.operations.len() >= LOGGED_MAX {
            noted.likes.unlogged += 1;
            return;
        }
        noted.likes.operations.push(Operation {
            kind: match self.like.action {
                Action::Like => Liking::Like,
                Action::Unlike => Liking::Unlike,
                Action::Hearts(_) => Liking::Hearts,
            },
            due: self.due,
            finished,
            attempts: self.asking.attempts(),
            fate,
            duplicate: self.duplicate,
        });
    }
}

/// The JSON answer to a like.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    duplicate: bool,
    error: Option<String>,
    reason: Option<String>,
}
