//! The likes of a simulation: what gathers at each edge, what waits in the origin's queue, what has become of all. How they travel
//! stands in `batches`.
//!
//! Operations are counts. While a batch is under way, a Poisson number of them gathers into the next one. The origin admits each
//! of a batch by `likes::limits`. What is shed comes back after a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Poisson};

use super::operations::{Gathered, Operations, second_of};
use super::split;
use crate::likes::batch::OPERATIONS_MAX;
use crate::likes::limits::{Class, LikesLimits, Load};
use crate::policy::limits::Limits;
use crate::policy::retry;
use crate::report::likes::LikesSummary;
use crate::report::record::{Counted, Liking, Queue, Tally};
use crate::time::Timestamp;
use crate::viewer::chance::{self, Purpose};
use crate::viewer::likes::{LikesPlan, Pace};

/// How long likes are still sent again after the last viewer has left.
const GRACE: Duration = Duration::from_secs(10);

/// The likes of the world.
#[derive(Debug)]
pub(super) struct Likes {
    plan: LikesPlan,
    pub(super) pace: Pace,
    limits: LikesLimits,
    /// Operations that may be at an edge at once.
    pub(super) places: u64,
    pub(super) commit: Duration,
    pub(super) lanes: Vec<Lane>,
    /// What the origin has admitted, the oldest first.
    pub(super) queue: VecDeque<Part>,
    load: Load,
    /// What is being made durable.
    pub(super) committing: Vec<Part>,
    /// Operations that are neither acknowledged nor given up.
    pub(super) open: u64,
    pub(super) told: Told,
}

/// What has become of likes.
#[derive(Debug)]
pub(super) struct Told {
    /// What viewers wanted.
    pub(super) wanted: Operations,
    /// What was acknowledged to them.
    pub(super) acknowledged: Operations,
    /// What is durable, but whose viewers have had no answer.
    pub(super) unknown: Operations,
    /// What the origin has made durable.
    pub(super) durable: Operations,
    pub(super) repeats: u64,
    pub(super) refusals: BTreeMap<&'static str, u64>,
    /// Batches that edges have sent.
    pub(super) batches: u64,
    pub(super) commits: u64,
    pub(super) waiting_most: u64,
    /// Acknowledged operations by the second in which they were wanted.
    pub(super) seconds: Vec<u64>,
    /// Microseconds from when an operation was wanted until it was acknowledged.
    pub(super) took: Histogram<u64>,
    /// When the first and the last operation was wanted.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// The likes at an edge.
#[derive(Debug)]
pub(super) struct Lane {
    /// Viewers that watch here.
    pub(super) viewers: u64,
    pub(super) waiting: Gathered,
    /// Until when it is known what has come.
    pub(super) known_until: Timestamp,
    /// The batch, until the origin has it.
    pub(super) sent: Gathered,
    /// Operations of the batch that wait to be durable.
    pub(super) at_origin: u64,
    pub(super) durable: Gathered,
    pub(super) shed: Gathered,
    /// What is sent again, by the second.
    pub(super) again: BTreeMap<u64, Gathered>,
    pub(super) under_way: bool,
    /// The number of the edge's life.
    pub(super) life: u32,
    pub(super) chance: ChaCha8Rng,
}

/// Operations of a batch at the origin.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) lane: u32,
    pub(super) life: u32,
    pub(super) operations: Gathered,
}

/// Parts into which the waits of many operations are divided.
const PARTS: u64 = 8;

impl Likes {
    pub(super) fn new(
        plan: &LikesPlan,
        commit: Duration,
        edges: u32,
        limits: &Limits,
        seed: u64,
    ) -> Self {
        let lane = |index| Lane {
            viewers: 0,
            waiting: Gathered::default(),
            known_until: Timestamp::ZERO,
            sent: Gathered::default(),
            at_origin: 0,
            durable: Gathered::default(),
            shed: Gathered::default(),
            again: BTreeMap::new(),
            under_way: false,
            life: 0,
            chance: chance::generator(seed, Purpose::Like, index),
        };
        Self {
            pace: Pace::of(plan),
            plan: plan.clone(),
            limits: LikesLimits::default(),
            places: (limits.likes_at_once_max + limits.likes_queued_max) as u64,
            commit,
            lanes: (0..edges).map(lane).collect(),
            queue: VecDeque::new(),
            // The disk of the origin has room.
            load: Load {
                disk_free_bytes: u64::MAX,
                ..Load::default()
            },
            committing: Vec::new(),
            open: 0,
            told: Told {
                wanted: Operations::default(),
                acknowledged: Operations::default(),
                unknown: Operations::default(),
                durable: Operations::default(),
                repeats: 0,
                refusals: BTreeMap::new(),
                batches: 0,
                commits: 0,
                waiting_most: 0,
                seconds: Vec::new(),
                took: Histogram::new_with_bounds(1, 600_000_000, 3)
                    .expect("the bounds are constants"),
                span: None,
            },
        }
    }

    /// No like is lost or counted twice.
    pub(super) fn check_the_end(&self, must: impl Fn(bool, &'static str)) {
        let told = &self.told;
        let mut settled = told.acknowledged;
        settled.add(told.unknown);
        must(
            settled == told.durable,
            "what is durable was acknowledged, or its edge has died",
        );
        must(
            told.wanted.count() == settled.count() + self.open,
            "no like is lost",
        );
    }

    /// Whether nothing is under way any more, or nothing is sent again.
    pub(super) fn are_over(&self, now: Timestamp, last_left: Timestamp) -> bool {
        self.open == 0 || now >= last_left + GRACE
    }

    /// Viewers come to an edge.
    pub(super) fn arrives(&mut self, edge: u32, viewers: u32) {
        self.lanes[edge as usize].viewers += u64::from(viewers);
    }

    /// Viewers leave.
    pub(super) fn leaves(&mut self, edge: u32, viewers: u32) {
        self.lanes[edge as usize].viewers -= u64::from(viewers);
    }

    /// The share of an edge in all operations.
    pub(super) fn share(&self, lane: u32, present: u64) -> f64 {
        match present {
            0 => 0.0,
            present => self.lanes[lane as usize].viewers as f64 / present as f64,
        }
    }

    /// New operations, by their kinds.
    fn drawn(&mut self, lane: u32, count: u64) -> Operations {
        let (plan, chance) = (&self.plan, &mut self.lanes[lane as usize].chance);
        let likes = split::binomial_of(count, plan.like_percent / 100.0, chance);
        let others = (100.0 - plan.like_percent).max(f64::MIN_POSITIVE);
        let unlikes = split::binomial_of(count - likes, plan.unlike_percent / others, chance);
        let bundles = count - likes - unlikes;
        let hearts = (0..bundles).map(|_| 1 + chance::below(plan.hearts_max, chance));
        Operations {
            hearts: hearts.map(u64::from).sum(),
            likes,
            unlikes,
            bundles,
        }
    }

    /// New operations are wanted.
    pub(super) fn want(&mut self, lane: u32, wanted: (Timestamp, Timestamp), count: u64) {
        let operations = self.drawn(lane, count);
        self.told.wanted.add(operations);
        self.open += count;
        let (first, last) = self.told.span.unwrap_or(wanted);
        self.told.span = Some((first.min(wanted.0), last.max(wanted.1)));
        self.lanes[lane as usize].waiting.add(wanted, operations);
    }

    /// What has come to an edge until now.
    pub(super) fn catch_up(&mut self, lane: u32, now: Timestamp, present: u64) {
        let share = self.share(lane, present);
        let at = &mut self.lanes[lane as usize];
        let from = at.known_until;
        at.known_until = from.max(now);
        let seconds = |at: Timestamp| at.since(Timestamp::ZERO).as_secs_f64();
        let mean = share * self.pace.expected(seconds(from), seconds(now));
        let drawn = Poisson::new(mean).map(|law| law.sample(&mut at.chance));
        let fresh = drawn.map_or(0, |drawn| drawn as u64);
        let due: Vec<u64> = at
            .again
            .range(..=second_of(now))
            .map(|(at, _)| *at)
            .collect();
        for second in due {
            let Some(mut again) = at.again.remove(&second) else {
                continue;
            };
            let begin = Timestamp::ZERO + Duration::from_secs(second);
            let end = begin + Duration::from_secs(1);
            let part = match end <= now {
                true => 1.0,
                false => split::share(begin.max(from).min(now), now, end),
            };
            at.waiting
                .add_all(drawn_from(&mut again, part, &mut at.chance));
            if !again.is_empty() {
                at.again.insert(second, again);
            }
        }
        if fresh > 0 {
            self.want(lane, (from, now), fresh);
        }
    }

    /// Operations were refused: each of them is sent again, 1 to 3 s later.
    pub(super) fn come_back(
        &mut self,
        lane: u32,
        mut refused: Gathered,
        why: &'static str,
        now: Timestamp,
    ) {
        let count = refused.sum().count();
        if count == 0 {
            return;
        }
        *self.told.refusals.entry(why).or_default() += count;
        self.told.repeats += count;
        let at = &mut self.lanes[lane as usize];
        for wait in retry::COME_BACK_S {
            let share = 1.0 / (retry::COME_BACK_S.end() - wait + 1) as f64;
            let part = drawn_from(&mut refused, share, &mut at.chance);
            let again = at.again.entry(second_of(now) + wait).or_default();
            again.add_all(part.rounded());
        }
    }

    /// What the queue of the origin takes of a batch.
    pub(super) fn admit(&mut self, batch: &mut Gathered) -> Gathered {
        let sum = batch.sum();
        let (mut lasting, mut bundles) = (0, 0);
        // The kinds come mixed, in their shares.
        for nth in 0..sum.count() {
            let is_lasting =
                (nth + 1) * sum.lasting() / sum.count() > nth * sum.lasting() / sum.count();
            let (class, admitted) = match is_lasting {
                true => (Class::Like, &mut lasting),
                false => (Class::Hearts, &mut bundles),
            };
            if self.limits.admit(&self.load, class, 0).is_ok() {
                self.load.queued_operations += 1;
                *admitted += 1;
            }
        }
        let queued = self.load.queued_operations as u64;
        self.told.waiting_most = self.told.waiting_most.max(queued);
        batch.take(lasting, bundles)
    }

    /// The next commit, if there is something to be made durable and none is under way.
    pub(super) fn next_commit(&mut self) -> bool {
        if !self.committing.is_empty() || self.queue.is_empty() {
            return false;
        }
        let mut room = OPERATIONS_MAX as u64;
        while let Some(mut part) = self.queue.pop_front() {
            let taken = part.operations.take_any(room);
            room -= taken.sum().count();
            self.committing.push(Part {
                operations: taken,
                ..part
            });
            if !part.operations.is_empty() {
                self.queue.push_front(part);
                break;
            }
        }
        self.load.queued_operations -= OPERATIONS_MAX - room as usize;
        true
    }

    /// Operations were acknowledged to their viewers.
    pub(super) fn acknowledge(&mut self, operations: &Gathered, now: Timestamp) {
        let told = &mut self.told;
        told.acknowledged.add(operations.sum());
        self.open -= operations.sum().count();
        for ((from, until), of) in operations.iter() {
            let second = second_of(from) as usize;
            if second >= told.seconds.len() {
                told.seconds.resize(second + 1, 0);
            }
            told.seconds[second] += of.count();
            for part in 0..PARTS {
                let share = (of.count() + part) / PARTS;
                let middle = until.since(from) * (2 * part as u32 + 1) / (2 * PARTS as u32);
                let took = now.since(from + middle).as_micros() as u64;
                told.took.saturating_record_n(took.max(1), share);
            }
        }
    }
}

/// Takes a share of operations, each by its own draw.
fn drawn_from(all: &mut Gathered, share: f64, chance: &mut ChaCha8Rng) -> Gathered {
    let sum = all.sum();
    let lasting = split::binomial_of(sum.lasting(), share, chance);
    let bundles = split::binomial_of(sum.bundles, share, chance);
    all.take(lasting, bundles)
}

impl Likes {
    /// Operations that were wanted in these seconds and acknowledged.
    pub(super) fn in_seconds(&self, from: usize, count: usize) -> u64 {
        self.told.seconds.iter().skip(from).take(count).sum()
    }

    /// What the report says of them.
    pub(super) fn summary(&self) -> LikesSummary {
        let told = &self.told;
        let (wanted, acknowledged) = (told.wanted, told.acknowledged.count());
        // The answer to some batches may be on its way when the simulation ends.
        let mut unknown = told.unknown;
        for lane in &self.lanes {
            unknown.add(lane.durable.sum());
        }
        let kinds = [
            (Liking::Like, wanted.likes),
            (Liking::Unlike, wanted.unlikes),
            (Liking::Hearts, wanted.bundles),
        ];
        let quantile = |share| told.took.value_at_quantile(share) as f64 / 1e3;
        let span = told
            .span
            .map_or(Duration::ZERO, |(first, last)| last.since(first));
        let refusals = told.refusals.iter();
        // The audience is so large that each like is another viewer's.
        let liked = |of: Operations| of.likes.saturating_sub(of.unlikes);
        let acknowledged_likes = liked(told.acknowledged);
        LikesSummary {
            sent: wanted.count(),
            kinds: kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
            acknowledged,
            not_counted: wanted.count() - acknowledged - unknown.count(),
            unknown: unknown.count(),
            repeats: told.repeats,
            refusals: refusals
                .map(|(why, count)| ((*why).to_owned(), *count))
                .collect(),
            batches: Some(told.batches),
            per_s: acknowledged as f64 / span.as_secs_f64().max(1.0),
            per_s_most: told.seconds.iter().copied().max().unwrap_or(0),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            max_ms: told.took.max() as f64 / 1e3,
            tally: vec![Tally {
                channel: "all streams".to_owned(),
                likes: (
                    acknowledged_likes.saturating_sub(unknown.unlikes),
                    acknowledged_likes + unknown.likes,
                ),
                hearts: (
                    told.acknowledged.hearts,
                    told.acknowledged.hearts + unknown.hearts,
                ),
            }],
            counted: vec![Counted {
                likes: liked(told.durable) as i64,
                hearts: told.durable.hearts as i64,
            }],
            queue: Some(Queue {
                batches: told.commits,
                operations: told.durable.count(),
                lag_max_ms: 0.0,
                waiting_most: told.waiting_most,
                durable: told.durable.count(),
                applied: told.durable.count(),
            }),
            ..LikesSummary::default()
        }
    }
}
