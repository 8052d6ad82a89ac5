//! Viewers in virtual time: performs what their players decide.

use std::time::Duration;

use super::agenda::Rank;
use super::exchange::{Answer, Asker, Crowd, Reply, VisitorId, outcome_of, status_of};
use super::key::Key;
use super::node::State;
use super::split;
use super::tally::Request;
use super::world::{Event, Pending, Visitor, World};
use crate::hls::steering;
use crate::policy::status::{FetchError, MissQueue};
use crate::report::record::ResultWord;
use crate::time::Timestamp;
use crate::viewer::audience::Failover;
use crate::viewer::failure::Failure;
use crate::viewer::player::{Action, Object, Player, TIMEOUT};

impl World {
    /// The agenda names the time at which the next viewers arrive.
    pub(super) fn await_next_visit(&mut self) {
        if let Some(next) = self.plan.visits.get(self.next_visit) {
            let at = next.seat.arrives;
            self.at(at, Rank::Act, Event::Arrival);
        }
    }

    /// The next viewers arrive.
    pub(super) fn arrive(&mut self) {
        let index = self.next_visit;
        let record = self.plan.visits[index];
        self.next_visit += 1;
        self.await_next_visit();
        let offline = self.is_cut_off(index as u32);
        let (place, serial) = self.visitors.add(Visitor {
            player: Player::new(record.seat),
            record: index as u32,
            weight: record.weight,
            spread: record.spread,
            edge: record.edge,
            stream: record.stream,
            rendition: record.rendition,
            stalls_told: 0,
            waited: Duration::ZERO,
            offline,
            pending: None,
            asked: 0,
        });
        self.tally.arrives(self.now, record.weight);
        if let Some(likes) = &mut self.likes {
            likes.arrives(record.edge, record.weight);
        }
        self.wake(VisitorId { place, serial });
    }

    /// A viewer does what is due.
    pub(super) fn wake(&mut self, id: VisitorId) {
        loop {
            let now = self.now;
            let Some(visitor) = self.visitors.get_mut(id.place, id.serial) else {
                return;
            };
            if visitor.pending.is_some() {
                return;
            }
            let action = visitor.player.next(now);
            let stalls = visitor.player.quality().stalls;
            let more = stalls - std::mem::replace(&mut visitor.stalls_told, stalls);
            self.tally.stalls += u64::from(more) * u64::from(visitor.weight);
            match action {
                Action::WakeAt(at) => return self.at(at, Rank::Act, Event::Wakes(id)),
                Action::Leave => return self.leave(id),
                Action::Get { object, due } => {
                    let edges = self.plan.edges;
                    let node = (visitor.edge + visitor.player.edges_beyond()) % edges;
                    let pending = Pending {
                        object,
                        node,
                        due,
                        sent: now,
                    };
                    visitor.pending = Some(pending);
                    visitor.asked += 1;
                    let (nth, offline) = (visitor.asked, visitor.offline);
                    let all = (visitor.weight - 1, now + visitor.spread);
                    let key = self.key_of(id, object);
                    let more = match object {
                        Object::Segment { .. } => self.after_playlist(id, node, key),
                        _ => all,
                    };
                    if offline {
                        let reply =
                            self.reply(ResultWord::Unanswered, Answer::None(FetchError::Connect));
                        let crowd = Crowd {
                            node,
                            key,
                            count: more.0,
                            until: more.1,
                        };
                        self.tally.crowd(&self.nodes, crowd, more.0, &reply);
                        return self.hear(id, nth, reply);
                    }
                    if self.nodes[node as usize].state == State::Silent {
                        self.at(now + TIMEOUT, Rank::Bound, Event::GivesUp(id, nth));
                    }
                    let Some(reply) = self.ask(Asker::Viewer(id, nth), node, key, more) else {
                        return;
                    };
                    let round_trip = self.plan.viewer_round_trip;
                    self.told(id, reply);
                    if !round_trip.is_zero() {
                        return self.at(now + round_trip, Rank::Act, Event::Wakes(id));
                    }
                }
            }
        }
    }

    /// The viewers behind a player that ask for a segment with it. Viewers that waited for one fetch of the
    /// playlist ask together. Without the queue each had a fetch of its own, so they ask one after another. Viewers that did not wait
    /// ask at their usual time.
    fn after_playlist(&mut self, id: VisitorId, node: u32, key: Key) -> (u32, Timestamp) {
        let now = self.now;
        let Some(visitor) = self.visitors.get_mut(id.place, id.serial) else {
            return (0, now);
        };
        let (count, spread) = (visitor.weight - 1, visitor.spread);
        let waited = std::mem::take(&mut visitor.waited).min(spread);
        if waited.is_zero() || count == 0 {
            return (count, now + spread);
        }
        let share = waited.as_secs_f64() / spread.as_secs_f64();
        let together = split::binomial(count, share, &mut self.nodes[node as usize].chance);
        let others = Crowd {
            node,
            key,
            count: count - together,
            until: now + (spread - waited),
        };
        self.follow_after(others);
        match self.plan.miss_queue {
            MissQueue::Off => (together, now + waited),
            _ => (together, now),
        }
    }

    /// The key of an object that a player asks for.
    fn key_of(&self, id: VisitorId, object: Object) -> Key {
        let Some(visitor) = self.visitors.get(id.place, id.serial) else {
            return Key::multivariant(0);
        };
        let rendition = |index: usize| {
            visitor
                .rendition
                .or_else(|| self.plan.renditions.get(index).copied())
                .unwrap_or_default()
        };
        match object {
            Object::Multivariant => Key::multivariant(visitor.stream),
            Object::MediaPlaylist { rendition: index } => {
                Key::media_playlist(visitor.stream, rendition(index))
            }
            Object::Segment {
                rendition: index,
                number,
            } => Key::segment(visitor.stream, rendition(index), number),
            Object::Steering => Key::steering(visitor.stream),
        }
    }

    /// A viewer gets the answer to its request of this number, and goes on when it has come. A viewer that has given up hears
    /// nothing.
    pub(super) fn hear(&mut self, id: VisitorId, nth: u32, reply: Reply) {
        if self.waits_for(id, nth) {
            self.told(id, reply);
            let at = self.now + self.plan.viewer_round_trip;
            self.at(at, Rank::Act, Event::Wakes(id));
        }
    }

    /// Whether a viewer waits for the answer to its request of this number.
    pub(super) fn waits_for(&self, id: VisitorId, nth: u32) -> bool {
        let visitor = self.visitors.get(id.place, id.serial);
        visitor.is_some_and(|visitor| visitor.pending.is_some() && visitor.asked == nth)
    }

    /// A request to a silent edge has had no answer for as long as the player waits.
    pub(super) fn give_up(&mut self, id: VisitorId, nth: u32) {
        let reply = self.reply(
            ResultWord::Unanswered,
            Answer::None(FetchError::TotalTimeout),
        );
        self.hear(id, nth, reply);
    }

    /// The player learns what became of its request.
    fn told(&mut self, id: VisitorId, reply: Reply) {
        let now = self.now;
        let at = now + self.plan.viewer_round_trip;
        let (steers, edges) = (
            self.plan.manners.failover == Failover::Steering,
            self.plan.edges,
        );
        let Some(visitor) = self.visitors.get_mut(id.place, id.serial) else {
            return;
        };
        let Some(pending) = visitor.pending.take() else {
            return;
        };
        if let Object::MediaPlaylist { .. } = pending.object {
            visitor.waited = now.since(pending.sent);
        }
        let (edge, rendition, offline) = (visitor.edge, visitor.rendition, visitor.offline);
        let key = self.key_of(id, pending.object);
        let bytes = self.bytes_of(key);
        let answer = reply.answer;
        let listed = match (pending.object, answer) {
            (Object::MediaPlaylist { .. }, Answer::Whole { last, .. }) => {
                Some(self.broadcast.listed(last))
            }
            _ => None,
        };
        let target_duration = self.broadcast.streams().target_duration;
        let offered = match rendition {
            Some(index) => self.offers_of_one[index as usize].clone(),
            None => self.offers.clone(),
        };
        let order = match pending.object {
            Object::Steering => self.pathways_from(edge, edges),
            _ => Vec::new(),
        };
        if let Some(visitor) = self.visitors.get_mut(id.place, id.serial) {
            let player = &mut visitor.player;
            match (pending.object, answer) {
                (Object::Multivariant, Answer::Whole { .. }) => {
                    player.on_multivariant(at, offered, steers);
                }
                (Object::MediaPlaylist { .. }, Answer::Whole { .. }) => {
                    let listed = listed.unwrap_or_default();
                    player.on_playlist(at, target_duration, listed, false);
                }
                (Object::Segment { .. }, Answer::Whole { .. }) => {
                    player.on_first_byte(reply.first_byte + self.plan.viewer_round_trip);
                    player.on_segment(at, bytes);
                }
                (Object::Steering, Answer::Whole { .. }) => {
                    player.on_steering(at, self.plan.steering_ttl, &order);
                }
                (_, Answer::Status(status, retry_after)) => {
                    player.on_failure(at, Failure::Status(status), retry_after);
                }
                (_, Answer::None(_)) if offline => player.on_failure(at, Failure::Offline, None),
                (_, Answer::None(FetchError::TotalTimeout)) => {
                    player.on_failure(at, Failure::Timeout, None);
                }
                (_, Answer::None(_)) => player.on_failure(at, Failure::Closed, None),
            }
        }
        let bytes = match answer {
            Answer::Whole { .. } => bytes,
            _ => 0,
        };
        self.tally.request(
            &self.nodes,
            &Request {
                node: pending.node,
                key,
                count: 1,
                due: pending.due,
                sent: pending.sent,
                first_byte: reply.first_byte,
                finished: at,
                word: reply.word,
                outcome: outcome_of(answer),
                status: status_of(answer),
                bytes,
            },
        );
    }

    /// The edges in the order of a steering manifest, counted from an edge: that edge, then all of them in turn.
    fn pathways_from(&self, edge: u32, edges: u32) -> Vec<u32> {
        let unix = self.broadcast.streams().unix_at_zero + self.now.since(Timestamp::ZERO);
        let turn = steering::turn(unix, edges as usize) as u32;
        let all = (0..edges).map(|place| (place + turn + edges - edge) % edges);
        std::iter::once(0)
            .chain(all.filter(|&place| place > 0))
            .collect()
    }

    /// A visit is over.
    fn leave(&mut self, id: VisitorId) {
        if let Some(visitor) = self.visitors.take(id.place, id.serial) {
            let player = &visitor.player;
            self.last_left = self.now;
            if let Some(likes) = &mut self.likes {
                likes.leaves(visitor.edge, visitor.weight);
            }
            self.tally.leaves(
                self.now,
                visitor.edge,
                visitor.weight,
                player.quality(),
                player.stalls(),
            );
        }
    }

    /// Every viewer that is present is cut off: the simulation ends here.
    pub(super) fn interrupt(&mut self) {
        for (place, serial) in self.visitors.names() {
            if let Some(visitor) = self.visitors.get_mut(place, serial) {
                visitor.player.on_interrupt(self.now);
            }
            self.leave(VisitorId { place, serial });
        }
    }
}
