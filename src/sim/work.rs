//! The origin's work in virtual time: answers when it has worked, and bodies over its line.

use super::agenda::Rank;
use super::exchange::Answer;
use super::origin::Call;
use super::world::{Event, World};
use crate::policy::key::Kind;
use crate::time::Timestamp;

impl World {
    /// The origin has worked on a request: it decides what it answers.
    pub(super) fn worked(&mut self, call: Call) {
        if !self.origin.works_on(call) {
            return;
        }
        let now = self.now;
        let answer = match self.origin.fails() {
            true => Answer::Status(503, Some(std::time::Duration::from_secs(1))),
            false => self.origin_has(call),
        };
        let bytes = match answer {
            Answer::Whole { .. } => self.bytes_of(call.key),
            _ => 0,
        };
        let under_way = self.flights.get_mut(call.flight.place, call.flight.serial);
        if let Some(under_way) = under_way.filter(|flight| flight.nth == call.nth) {
            under_way.head_at = Some(now + self.plan.origin_round_trip);
            if let Answer::Whole { last, .. } = answer {
                under_way.last = last;
            }
        }
        match &mut self.origin.link {
            Some(link) if bytes > 0 => {
                link.begin(now, bytes, call);
                self.look_at_line();
            }
            _ => self.leaves_origin(call, answer),
        }
    }

    /// What the origin has of an object now.
    fn origin_has(&self, call: Call) -> Answer {
        let age = std::time::Duration::ZERO;
        match call.key.kind() {
            Kind::Segment if !self.broadcast.has(call.key.number(), self.now) => {
                Answer::Status(404, None)
            }
            Kind::MediaPlaylist => Answer::Whole {
                last: self.broadcast.newest(self.now),
                age,
            },
            _ => Answer::Whole { last: 0, age },
        }
    }

    /// The last byte of an answer has left: it reaches its cache, and its slot is free.
    fn leaves_origin(&mut self, call: Call, answer: Answer) {
        self.answer_later(call.flight, call.nth, answer);
        self.origin_client_leaves(call, self.now);
    }

    /// A request no longer holds a slot or a place in the queue: the next one goes.
    pub(super) fn origin_client_leaves(&mut self, call: Call, now: Timestamp) {
        if let Some((next, at)) = self.origin.leaves(call, now) {
            self.at(at, Rank::Arrival, Event::Worked(next));
        }
        self.look_at_line();
    }

    /// Comes back when the next body is through.
    fn look_at_line(&mut self) {
        let next = self.origin.link.as_ref().and_then(|link| link.next_end());
        if let Some(at) = next {
            self.line_looks += 1;
            self.at(at, Rank::Arrival, Event::LineMoved(self.line_looks));
        }
    }

    /// A body may be through.
    pub(super) fn line_moved(&mut self, look: u64) {
        if look != self.line_looks {
            // The line has been looked at since, and its next end is another.
            return;
        }
        let now = self.now;
        while let Some(call) = self
            .origin
            .link
            .as_mut()
            .and_then(|link| link.take_ended(now))
        {
            let under_way = self.flights.get(call.flight.place, call.flight.serial);
            let last = under_way.map_or(0, |flight| flight.last);
            let age = std::time::Duration::ZERO;
            self.leaves_origin(call, Answer::Whole { last, age });
        }
        self.look_at_line();
    }
}
