//! Faults in virtual time: what begins and what ends.

use std::time::Duration;

use super::exchange::{Answer, Asker, VisitorId};
use super::node::{FlightId, State};
use super::origin::Call;
use super::world::World;
use crate::policy::status::FetchError;
use crate::report::record::ResultWord;
use crate::scenario::FaultKind;
use crate::viewer::audience::is_cut_off;

impl World {
    /// A fault begins.
    pub(super) fn fault_begins(&mut self, index: u32) {
        let now = self.now;
        match self.plan.faults[index as usize].what {
            FaultKind::EdgeKilled(edge) => self.kill(edge - 1),
            FaultKind::EdgeSilent(edge) => self.nodes[edge as usize - 1].state = State::Silent,
            FaultKind::EdgeRestarted(edge) => {
                self.kill(edge - 1);
                self.nodes[edge as usize - 1].state = State::Serving;
            }
            FaultKind::OriginSlow(millis) => {
                let slower = Duration::try_from_secs_f64(millis / 1e3);
                self.origin.slower = slower.unwrap_or_default();
            }
            FaultKind::OriginUnavailable(percent) => self.origin.unavailable = (percent, 0.0),
            FaultKind::OriginStopped => {
                for call in self.origin.stop() {
                    let broken = Answer::None(FetchError::Broken);
                    self.answer_later(call.flight, call.nth, broken);
                }
            }
            FaultKind::StreamStalled => self.broadcast.stall(now),
            FaultKind::ClockDrift(millis) => self.broadcast.drift(now, millis / 1e3),
            FaultKind::ViewersOffline(percent) => self.cut_off(percent),
        }
    }

    /// A fault ends.
    pub(super) fn fault_ends(&mut self, index: u32) {
        match self.plan.faults[index as usize].what {
            FaultKind::EdgeKilled(edge) => self.nodes[edge as usize - 1].state = State::Serving,
            FaultKind::EdgeSilent(edge) => self.speaks_again(edge - 1),
            FaultKind::EdgeRestarted(_) => {}
            FaultKind::OriginSlow(_) => self.origin.slower = Duration::ZERO,
            FaultKind::OriginUnavailable(_) => self.origin.unavailable = (0.0, 0.0),
            FaultKind::OriginStopped => self.origin.stopped = false,
            FaultKind::StreamStalled | FaultKind::ClockDrift(_) => self.broadcast.recover(),
            FaultKind::ViewersOffline(_) => {
                self.offline = None;
                for (place, serial) in self.visitors.names() {
                    if let Some(visitor) = self.visitors.get_mut(place, serial) {
                        visitor.offline = false;
                    }
                }
            }
        }
    }

    /// A cache dies with all that it holds; who waits for it sees a broken connection.
    fn kill(&mut self, node: u32) {
        self.nodes[node as usize].state = State::Killed;
        self.lose_likes(node);
        let limits = self.plan.limits;
        self.nodes[node as usize].forget_all(&limits);
        for (place, serial) in self.flights.names() {
            let flies_here = self.flights.get(place, serial);
            let Some(flight) = flies_here.filter(|flight| flight.node == node) else {
                continue;
            };
            let (key, nth) = (flight.key, flight.nth);
            let id = FlightId { place, serial };
            self.origin_client_leaves(
                Call {
                    flight: id,
                    nth,
                    key,
                },
                self.now,
            );
            let Some(flight) = self.flights.take(place, serial) else {
                continue;
            };
            self.nodes[node as usize].fetches -= 1;
            let reply = self.reply(ResultWord::Unanswered, Answer::None(FetchError::Broken));
            for waiter in flight.waiters {
                self.tell(node, key, waiter.asker, waiter.since, reply);
            }
        }
        self.break_unheard(node);
    }

    /// Requests that reached a silent cache see a broken connection.
    fn break_unheard(&mut self, node: u32) {
        let reply = self.reply(ResultWord::Unanswered, Answer::None(FetchError::Broken));
        for (asker, at, key) in std::mem::take(&mut self.unheard) {
            match at == node {
                true => self.tell(node, key, asker, self.now, reply),
                false => self.unheard.push((asker, at, key)),
            }
        }
    }

    /// A cache that was silent answers what it has been asked meanwhile.
    fn speaks_again(&mut self, node: u32) {
        self.nodes[node as usize].state = State::Serving;
        for (asker, at, key) in std::mem::take(&mut self.unheard) {
            if at != node {
                self.unheard.push((asker, at, key));
                continue;
            }
            if self.still_waits(asker)
                && let Some(reply) = self.ask(asker, node, key, (0, self.now))
            {
                self.tell(node, key, asker, self.now, reply);
            }
        }
    }

    /// Whether the asker has not given up meanwhile.
    fn still_waits(&self, asker: Asker) -> bool {
        match asker {
            Asker::Viewer(id, nth) => self.waits_for(id, nth),
            Asker::Flight(id, nth) => self
                .flights
                .get(id.place, id.serial)
                .is_some_and(|flight| flight.nth == nth),
            Asker::Crowd => true,
        }
    }

    /// Some of the viewers reach no edge from now on.
    fn cut_off(&mut self, percent: f64) {
        self.offline = Some(percent);
        for (place, serial) in self.visitors.names() {
            let Some(visitor) = self.visitors.get(place, serial) else {
                continue;
            };
            let (record, nth) = (visitor.record, visitor.asked);
            let is_cut = self.is_cut_off(record);
            if let Some(visitor) = self.visitors.get_mut(place, serial) {
                visitor.offline = is_cut;
            }
            if is_cut {
                let reply = self.reply(ResultWord::Unanswered, Answer::None(FetchError::Broken));
                self.hear(VisitorId { place, serial }, nth, reply);
            }
        }
    }

    /// Whether the viewers of a record are among those that are cut off now.
    pub(super) fn is_cut_off(&self, record: u32) -> bool {
        let viewer = self.plan.visits[record as usize].seat.chances.viewer;
        self.offline
            .is_some_and(|percent| is_cut_off(viewer, percent))
    }
}
