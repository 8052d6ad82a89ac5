//! How likes travel in virtual time, batch by batch.
//!
//! ```text
//! viewers ─▶ an edge: gathering ─▶ one batch under way ─▶ the origin's queue ─▶ a commit ─▶ answered
//! ```

use std::time::Duration;

use super::agenda::Rank;
use super::likes::Part;
use super::node::State;
use super::operations::second_of;
use super::split;
use super::world::{Event, World};
use crate::likes::batch::OPERATIONS_MAX;
use crate::likes::limits::Shed;
use crate::time::Timestamp;
use crate::viewer::chance;

impl World {
    /// Once a second: edges at which nothing is under way look when their next like comes.
    pub(super) fn look_for_likes(&mut self) {
        for lane in 0..self.plan.edges {
            self.next_batch(lane);
        }
    }

    /// An idle edge has had a like.
    pub(super) fn like_comes(&mut self, lane: u32, life: u32, again: bool) {
        let now = self.now;
        let Some(likes) = &mut self.likes else { return };
        let at = &mut likes.lanes[lane as usize];
        if at.life != life || at.under_way {
            return;
        }
        match at.again.get_mut(&second_of(now)).filter(|_| again) {
            Some(waiting) => {
                let one = waiting.take_any(1);
                at.waiting.add_all(one);
            }
            None => likes.want(lane, (now, now), 1),
        }
        self.next_batch(lane);
    }

    /// An edge sends what has gathered, if nothing is under way; without anything it waits for the next like of this second.
    fn next_batch(&mut self, lane: u32) {
        if self.is_over() {
            // What is still to be sent again is given up.
            return;
        }
        let (now, present) = (self.now, self.tally.present);
        let serves = self.nodes[lane as usize].state == State::Serving;
        let way = self.way_of_likes();
        let Some(likes) = &mut self.likes else { return };
        if likes.lanes[lane as usize].under_way {
            return;
        }
        likes.catch_up(lane, now, present);
        let at = &mut likes.lanes[lane as usize];
        if !serves {
            let unheard = std::mem::take(&mut at.waiting);
            return likes.come_back(lane, unheard, "no-connection", now);
        }
        let beyond = at.waiting.sum().count().saturating_sub(likes.places);
        let beyond = at.waiting.take_any(beyond);
        let at = &mut likes.lanes[lane as usize];
        let batch = at.waiting.take_any(OPERATIONS_MAX as u64);
        let life = at.life;
        if batch.is_empty() {
            return self.await_like(lane);
        }
        at.under_way = true;
        at.sent = batch;
        likes.told.batches += 1;
        likes.come_back(lane, beyond, Shed::Edge.word(), now);
        self.at(now + way, Rank::Arrival, Event::LikesArrive(lane, life));
    }

    /// The time at which the next like of this second comes to an idle edge.
    fn await_like(&mut self, lane: u32) {
        let (now, present) = (self.now, self.tally.present);
        let Some(likes) = &mut self.likes else { return };
        let share = likes.share(lane, present);
        let at = &mut likes.lanes[lane as usize];
        let second = second_of(now);
        let end = Timestamp::ZERO + Duration::from_secs(second + 1);
        let fresh = (share > 0.0)
            .then(|| -libm::log(1.0 - chance::uniform(&mut at.chance)) / share)
            .and_then(|ahead| {
                likes
                    .pace
                    .reach(now.since(Timestamp::ZERO).as_secs_f64(), ahead)
            })
            .and_then(|at_s| Duration::try_from_secs_f64(at_s).ok())
            .map(|at| (Timestamp::ZERO + at).max(now));
        let waiting = at.again.get(&second).map_or(0, |again| again.sum().count());
        let again = (waiting > 0)
            .then(|| now + split::first_of(waiting as u32, end.since(now), &mut at.chance));
        let next = match (fresh, again) {
            (Some(fresh), Some(again)) => Some((fresh.min(again), again < fresh)),
            (Some(fresh), None) => Some((fresh, false)),
            (None, Some(again)) => Some((again, true)),
            (None, None) => None,
        };
        let next = next.filter(|&(at, _)| at < end);
        let life = at.life;
        // The rest is drawn anew in the next second: the exponential law has no memory.
        at.known_until = next.map_or(end, |(at, _)| at);
        if let Some((at, again)) = next {
            self.at(at, Rank::Act, Event::LikeComes(lane, life, again));
        }
    }

    /// A batch reaches the origin.
    pub(super) fn likes_arrive(&mut self, lane: u32, life: u32) {
        let (now, is_there) = (self.now, !self.origin.stopped);
        let Some(likes) = &mut self.likes else { return };
        let at = &mut likes.lanes[lane as usize];
        if at.life != life {
            return;
        }
        let mut batch = std::mem::take(&mut at.sent);
        if !is_there {
            likes.come_back(lane, batch, Shed::Origin.word(), now);
            return self.answer_likes(lane);
        }
        let admitted = likes.admit(&mut batch);
        let at = &mut likes.lanes[lane as usize];
        at.shed = batch;
        at.at_origin = admitted.sum().count();
        if at.at_origin == 0 {
            return self.answer_likes(lane);
        }
        likes.queue.push_back(Part {
            lane,
            life,
            operations: admitted,
        });
        self.commit_likes();
    }

    /// A commit begins, if none is under way.
    fn commit_likes(&mut self) {
        let Some(likes) = &mut self.likes else { return };
        if likes.next_commit() {
            let at = self.now + likes.commit;
            self.at(at, Rank::Arrival, Event::LikesDurable);
        }
    }

    /// A commit has ended. A batch whose last operation is durable is answered.
    pub(super) fn likes_durable(&mut self) {
        let Some(likes) = &mut self.likes else { return };
        let mut answered = Vec::new();
        likes.told.commits += 1;
        for part in std::mem::take(&mut likes.committing) {
            let sum = part.operations.sum();
            likes.told.durable.add(sum);
            let at = &mut likes.lanes[part.lane as usize];
            if at.life != part.life {
                // The edge has died meanwhile: no viewer gets an answer.
                likes.told.unknown.add(sum);
                likes.open -= sum.count();
                continue;
            }
            at.at_origin -= sum.count();
            at.durable.add_all(part.operations);
            if at.at_origin == 0 {
                answered.push(part.lane);
            }
        }
        for lane in answered {
            self.answer_likes(lane);
        }
        self.commit_likes();
    }

    /// The answer to a batch is on its way.
    fn answer_likes(&mut self, lane: u32) {
        let way = self.way_of_likes();
        if let Some(likes) = &self.likes {
            let life = likes.lanes[lane as usize].life;
            self.at(
                self.now + way,
                Rank::Arrival,
                Event::LikesAnswered(lane, life),
            );
        }
    }

    /// The answer to a batch reaches its edge, which tells the viewers.
    pub(super) fn likes_answered(&mut self, lane: u32, life: u32) {
        let (now, round_trip) = (self.now, self.plan.viewer_round_trip);
        let Some(likes) = &mut self.likes else { return };
        let at = &mut likes.lanes[lane as usize];
        if at.life != life {
            return;
        }
        at.under_way = false;
        let (durable, shed) = (
            std::mem::take(&mut at.durable),
            std::mem::take(&mut at.shed),
        );
        likes.acknowledge(&durable, now + round_trip);
        likes.come_back(lane, shed, Shed::QueueFull.word(), now);
        self.next_batch(lane);
    }

    /// An edge dies with the likes that it has.
    pub(super) fn lose_likes(&mut self, node: u32) {
        let now = self.now;
        let Some(likes) = self.likes.as_mut().filter(|_| node < self.plan.edges) else {
            return;
        };
        let at = &mut likes.lanes[node as usize];
        at.life += 1;
        at.under_way = false;
        at.at_origin = 0;
        let unknown = std::mem::take(&mut at.durable).sum();
        let mut lost = std::mem::take(&mut at.waiting);
        lost.add_all(std::mem::take(&mut at.sent));
        lost.add_all(std::mem::take(&mut at.shed));
        likes.told.unknown.add(unknown);
        likes.open -= unknown.count();
        likes.come_back(node, lost, "no-answer", now);
    }

    /// The time from an edge to the origin.
    fn way_of_likes(&self) -> Duration {
        let shields = self.nodes.len() > self.plan.edges as usize;
        let shield = match shields {
            true => self.plan.shield_round_trip,
            false => Duration::ZERO,
        };
        (shield + self.plan.origin_round_trip) / 2
    }
}
