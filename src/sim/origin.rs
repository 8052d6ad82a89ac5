//! The origin in virtual time: slots, a bounded queue, a latency law, a line that answers share, and faults on purpose.

use std::collections::VecDeque;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::link::Link;
use super::node::FlightId;
use crate::policy::capacity::{Capacity, Latency};
use crate::policy::key::Kind;
use crate::time::Timestamp;
use crate::viewer::chance::{self, Purpose};

/// A request at the origin: the attempt of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) flight: FlightId,
    pub(super) nth: u32,
    pub(super) key: Key,
}

/// What becomes of a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// The origin accepts no connection.
    Refused,
    /// 503: slots and queue are full.
    Full,
    /// It waits for a slot.
    Queued,
    /// The origin has worked on it at this time.
    Done(Timestamp),
}

/// The origin.
#[derive(Debug)]
pub(super) struct Origin {
    capacity: Capacity,
    /// Mean time for a playlist, if it differs from that for a segment.
    playlist_latency: Option<Duration>,
    chance: ChaCha8Rng,
    /// Requests that hold a slot, since when.
    in_work: Vec<(Call, Timestamp)>,
    queue: VecDeque<Call>,
    pub(super) link: Option<Link<Call>>,
    /// How long slots have been held by requests that have ended.
    busy: Duration,
    /// Every answer takes this much longer.
    pub(super) slower: Duration,
    /// Percentage of answers that are 503, and what is owed of the next one.
    pub(super) unavailable: (f64, f64),
    /// Whether it accepts no connection.
    pub(super) stopped: bool,
}

impl Origin {
    pub(super) fn new(capacity: Capacity, playlist_latency: Option<Duration>, seed: u64) -> Self {
        Self {
            capacity,
            playlist_latency,
            chance: chance::generator(seed, Purpose::Origin, 0),
            in_work: Vec::new(),
            queue: VecDeque::new(),
            link: capacity.bandwidth_bps.map(Link::new),
            busy: Duration::ZERO,
            slower: Duration::ZERO,
            unavailable: (0.0, 0.0),
            stopped: false,
        }
    }

    /// A request arrives.
    pub(super) fn arrives(&mut self, call: Call, now: Timestamp) -> Arrived {
        if self.stopped {
            return Arrived::Refused;
        }
        let slots = self.capacity.slots.unwrap_or(u32::MAX) as usize;
        if self.in_work.len() < slots {
            return Arrived::Done(self.begins(call, now));
        }
        if self.queue.len() >= self.capacity.queue as usize {
            return Arrived::Full;
        }
        self.queue.push_back(call);
        Arrived::Queued
    }

    /// Work on a request begins. Returns when it is done.
    fn begins(&mut self, call: Call, now: Timestamp) -> Timestamp {
        self.in_work.push((call, now));
        let of_playlist = self
            .playlist_latency
            .filter(|_| call.key.kind() != Kind::Segment);
        let latency = Latency {
            mean: of_playlist.unwrap_or(self.capacity.latency.mean),
            ..self.capacity.latency
        };
        now + latency.draw(&mut self.chance) + self.slower
    }

    /// Whether the origin still works on this request: its client has not left.
    pub(super) fn works_on(&self, call: Call) -> bool {
        self.in_work.iter().any(|(other, _)| *other == call)
    }

    /// Whether the answer that is due now fails by a fault.
    pub(super) fn fails(&mut self) -> bool {
        let (percent, owed) = &mut self.unavailable;
        *owed += *percent;
        if *owed < 100.0 {
            return false;
        }
        *owed -= 100.0;
        true
    }

    /// The last byte of an answer has left, or its client has: the slot is free. Returns the next request from the queue, and when
    /// the work on it is done.
    pub(super) fn leaves(&mut self, call: Call, now: Timestamp) -> Option<(Call, Timestamp)> {
        if let Some(place) = self.queue.iter().position(|other| *other == call) {
            self.queue.remove(place);
            return None;
        }
        let place = self.in_work.iter().position(|(other, _)| *other == call)?;
        let (_, since) = self.in_work.swap_remove(place);
        self.busy += now.since(since);
        if let Some(link) = &mut self.link {
            link.break_off(now, |other| *other == call);
        }
        let next = self.queue.pop_front()?;
        Some((next, self.begins(next, now)))
    }

    /// Whether no request is under way or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.in_work.is_empty() && self.queue.is_empty()
    }

    /// How long slots have been held so far, in sum.
    pub(super) fn busy(&self, now: Timestamp) -> Duration {
        let open = self.in_work.iter().map(|(_, since)| now.since(*since));
        self.busy + open.sum::<Duration>()
    }

    /// Every request under way or waiting; all of them break when the origin stops.
    pub(super) fn stop(&mut self) -> Vec<Call> {
        self.stopped = true;
        let broken = self.in_work.drain(..).map(|(call, _)| call);
        let broken: Vec<_> = broken.chain(self.queue.drain(..)).collect();
        self.link = self.capacity.bandwidth_bps.map(Link::new);
        broken
    }
}
