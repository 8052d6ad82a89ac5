//! A simulation from its beginning to its end.
//!
//! The performer calls [`Simulation::advance`] until it says that nothing is left, shows the progress between the calls, and may
//! stop at any of them. [`Simulation::finish`] gives the results.

use std::time::Duration;

use super::plan::{Plan, Record};
use super::summary::{self, About, Simulated};
use super::world::{Visitor, World};
use crate::policy::key;
use crate::report::record::{Kind, ResultWord};
use crate::time::Timestamp;
use crate::viewer::buffer::Playback;

/// A simulation under way.
#[derive(Debug)]
pub struct Simulation {
    world: World,
    /// When the last viewer leaves at the latest.
    ends: Timestamp,
    interrupted: bool,
}

/// How far a simulation has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time since the beginning.
    pub elapsed: Duration,
    /// Virtual time from the beginning until the last viewer leaves.
    pub whole: Duration,
    /// Viewers that are watching.
    pub viewers_now: u64,
    /// Viewers that have arrived.
    pub viewers_arrived: u64,
    /// Requests that have ended.
    pub requests: u64,
    /// Requests answered from an edge's cache.
    pub hits: u64,
    /// Requests that waited for another request's fetch.
    pub collapsed: u64,
    /// Requests that an edge answered past the object's lifetime.
    pub stale: u64,
    /// Requests that began a fetch.
    pub misses: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests that the origin has had.
    pub origin: u64,
    /// Requests that wait for a flight.
    pub waiting: u32,
    /// Rebuffering events.
    pub stalls: u64,
    /// Events so far.
    pub events: u64,
}

/// What has happened so far, in the terms of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that have ended, by the kind of object and by what became of them.
    pub requests: [[u64; ResultWord::ALL.len()]; Kind::ALL.len()],
    /// Requests that the origin has had, by the kind of object.
    pub origin: [u64; key::Kind::ALL.len()],
    /// Requests of these that it has refused.
    pub shed: [u64; key::Kind::ALL.len()],
    /// Requests that wait for a flight now.
    pub waiting: [u64; key::Kind::ALL.len()],
    /// Viewers that are present, by what their players show.
    pub viewers: [u64; Playback::ALL.len()],
    /// Viewers that have arrived.
    pub joins: u64,
    /// Rebuffering events.
    pub stalls: u64,
    /// Batches of likes that edges have sent.
    pub like_batches: u64,
    /// Likes and bundles of hearts that were acknowledged.
    pub likes: u64,
}

/// Bytes that a player takes, with the events and requests that it has under way: as measured with a million players.
pub const BYTES_PER_PLAYER: u64 = (size_of::<Visitor>() + size_of::<Record>() + 500) as u64;

impl Simulation {
    /// The plan before its first event.
    pub fn new(plan: Plan) -> Self {
        let ends = plan.visits.iter().map(|visit| visit.seat.leaves).max();
        Self {
            world: World::new(plan),
            ends: ends.unwrap_or(Timestamp::ZERO),
            interrupted: false,
        }
    }

    /// Plays at most this many events, and none later than an instant. `false`: all viewers have left.
    pub fn advance(&mut self, events: u32, until: Timestamp) -> bool {
        for _ in 0..events {
            if self.world.is_over() {
                return false;
            }
            if self.world.now > until {
                return true;
            }
            if !self.world.step() {
                return false;
            }
        }
        true
    }

    /// The virtual time.
    pub fn now(&self) -> Timestamp {
        self.world.now
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let tally = &self.world.tally;
        let words = |word: ResultWord| {
            let kinds = tally.kinds.iter();
            kinds.map(|kind| kind.words[word as usize]).sum()
        };
        Progress {
            elapsed: self.world.now.since(Timestamp::ZERO),
            whole: self.ends.since(Timestamp::ZERO),
            viewers_now: tally.present,
            viewers_arrived: tally.arrived,
            requests: tally.kinds.iter().map(|kind| kind.total).sum(),
            hits: words(ResultWord::Hit),
            collapsed: words(ResultWord::Collapsed),
            stale: words(ResultWord::Stale),
            misses: words(ResultWord::Miss),
            failures: tally.seconds.iter().map(|second| second.failures).sum(),
            origin: tally.hits.iter().sum(),
            waiting: self.world.nodes.iter().map(|node| node.waiting).sum(),
            stalls: tally.stalls,
            events: self.world.events,
        }
    }

    /// What has happened so far. It looks at every player, so it takes time where there are many.
    pub fn figures(&self) -> Figures {
        let world = &self.world;
        let tally = &world.tally;
        let mut figures = Figures {
            requests: std::array::from_fn(|kind| tally.kinds[kind].words),
            origin: tally.hits,
            shed: tally.shed,
            joins: tally.arrived,
            stalls: tally.stalls,
            ..Figures::default()
        };
        for visitor in world.visitors.iter() {
            figures.viewers[visitor.player.playback() as usize] += u64::from(visitor.weight);
        }
        for flight in world.flights.iter() {
            figures.waiting[flight.key.kind() as usize] += flight.waiters.len() as u64;
        }
        if let Some(likes) = &world.likes {
            figures.like_batches = likes.told.batches;
            figures.likes = likes.told.acknowledged.count();
        }
        figures
    }

    /// Ends the simulation here: all viewers are cut off.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
        self.world.interrupt();
    }

    /// Plays on until nothing is left to happen, and checks what must never happen. `None`: nothing of it has happened. After so many
    /// events a simulation is taken to go round for ever, which must never happen either.
    pub fn settle(&mut self, events_max: u64) -> Option<&'static str> {
        while self.world.step() {
            if self.world.events > events_max {
                return Some("a run comes to its end");
            }
        }
        self.world.check_the_end();
        self.world.broken.get()
    }

    /// The results.
    pub fn finish(mut self, about: About) -> Simulated {
        self.world.tally.finish();
        summary::of(&self.world, about, self.interrupted)
    }
}
