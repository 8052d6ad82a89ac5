//! The world at one instant, and its events.
//!
//! [`World::step`] takes the next event from the agenda and performs it. What an event means stands beside this file: requests
//! (`request`), fetches (`fetch`), viewers (`visitor`), the origin's work (`work`), faults (`fault`).

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::agenda::{Agenda, Rank};
use super::exchange::{Answer, Asker, Crowd, Trail, VisitorId, Waiter};
use super::key::Key;
use super::likes::Likes;
use super::node::{FlightId, Node, State};
use super::origin::{Call, Origin};
use super::plan::Plan;
use super::stream::Broadcast;
use super::tally::Tally;
use crate::policy::admission::{Class, Ticket};
use crate::policy::collapse::Generation;
use crate::policy::flight::Flight;
use crate::policy::freshness::Validity;
use crate::policy::rendition::{Due, Fit, PlaylistFacts};
use crate::policy::status::FetchError;
use crate::time::Timestamp;
use crate::viewer::abr::Needs;
use crate::viewer::player::{Object, Player};

/// A future event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The next viewers arrive.
    Arrival,
    /// A viewer wakes up.
    Wakes(VisitorId),
    /// A viewer's request has had no answer for as long as its player waits.
    GivesUp(VisitorId, u32),
    /// The next of the viewers asks whose requests are spread over some time.
    Next(Crowd),
    /// The origin has worked on a request.
    Worked(Call),
    /// The origin's line may have moved an answer to its end.
    LineMoved(u64),
    /// The answer to an attempt reaches the cache.
    Answered(FlightId, u32, Answer),
    /// An attempt has had no answer in time.
    Silence(FlightId, u32, FetchError),
    /// A flight has waited for its permit for as long as it may.
    PermitLate(FlightId, u32),
    /// A flight has paused.
    Paused(FlightId, u32),
    /// A playlist is no longer held back.
    Released(FlightId),
    /// Requests may have waited for as long as they can.
    Deadline(FlightId),
    /// A fault begins.
    FaultBegins(u32),
    /// A fault ends.
    FaultEnds(u32),
    /// An idle edge of this life gets a like, which may have been refused before.
    LikeComes(u32, u32, bool),
    /// A batch of likes reaches the origin.
    LikesArrive(u32, u32),
    /// A commit of likes has ended.
    LikesDurable,
    /// The answer to a batch of likes reaches its edge.
    LikesAnswered(u32, u32),
    /// A second has passed: gauges are read.
    Second,
}

/// A flight under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) node: u32,
    pub(super) key: Key,
    /// `None`: it is in no table.
    pub(super) generation: Option<Generation>,
    pub(super) flight: Flight,
    /// The number of the attempt; what belongs to an earlier one is void.
    pub(super) nth: u32,
    pub(super) ticket: Option<Ticket>,
    /// The class of the permit that it holds.
    pub(super) permit: Option<Class>,
    pub(super) server: usize,
    pub(super) asked_at: Timestamp,
    /// When the head of the answer came.
    pub(super) head_at: Option<Timestamp>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) trails: Vec<Trail>,
    pub(super) deadline_set: bool,
    pub(super) holds: bool,
    pub(super) validity: Option<Validity>,
    pub(super) last: u64,
    pub(super) news: Option<(PlaylistFacts, Due, Fit)>,
    /// Prefetches that the playlist waits for.
    pub(super) waits_for: u32,
    /// Playlists that wait for this prefetch.
    pub(super) awaited_by: Vec<FlightId>,
}

/// Viewers that are present, and the player that decides for them.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) player: Player,
    pub(super) record: u32,
    pub(super) weight: u32,
    pub(super) spread: Duration,
    pub(super) edge: u32,
    pub(super) stream: u32,
    pub(super) rendition: Option<u32>,
    pub(super) stalls_told: u32,
    /// How long the last playlist kept its players waiting.
    pub(super) waited: Duration,
    /// Whether the viewers reach no edge.
    pub(super) offline: bool,
    /// The request under way, if it is not answered yet.
    pub(super) pending: Option<Pending>,
    /// The number of the last request.
    pub(super) asked: u32,
}

/// A viewer's request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) object: Object,
    pub(super) node: u32,
    pub(super) due: Timestamp,
    pub(super) sent: Timestamp,
}

/// Values in places that are used again, each with a number that is not.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    serial: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            serial: 0,
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    pub(super) fn add(&mut self, value: T) -> (u32, u32) {
        self.serial = self.serial.wrapping_add(1);
        self.len += 1;
        let entry = (self.serial, Some(value));
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = entry;
                (place, self.serial)
            }
            None => {
                self.places.push(entry);
                (self.places.len() as u32 - 1, self.serial)
            }
        }
    }

    pub(super) fn get(&self, place: u32, serial: u32) -> Option<&T> {
        let (current, value) = self.places.get(place as usize)?;
        value.as_ref().filter(|_| *current == serial)
    }

    pub(super) fn get_mut(&mut self, place: u32, serial: u32) -> Option<&mut T> {
        let (current, value) = self.places.get_mut(place as usize)?;
        value.as_mut().filter(|_| *current == serial)
    }

    pub(super) fn take(&mut self, place: u32, serial: u32) -> Option<T> {
        let (current, value) = self.places.get_mut(place as usize)?;
        let taken = value.take_if(|_| *current == serial)?;
        self.free.push(place);
        self.len -= 1;
        Some(taken)
    }

    /// The names of all values, in the order of their places.
    pub(super) fn names(&self) -> Vec<(u32, u32)> {
        let places = (0..).zip(&self.places);
        places
            .filter(|(_, (_, value))| value.is_some())
            .map(|(place, (serial, _))| (place, *serial))
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, value)| value.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// The world at one instant.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
    agenda: Agenda<Event>,
    pub(super) broadcast: Broadcast,
    pub(super) origin: Origin,
    pub(super) nodes: Vec<Node>,
    pub(super) flights: Slab<UnderWay>,
    pub(super) visitors: Slab<Visitor>,
    /// What viewers like.
    pub(super) likes: Option<Likes>,
    /// When a viewer left last.
    pub(super) last_left: Timestamp,
    /// The next visit of the plan.
    pub(super) next_visit: usize,
    /// Which percentage of the viewers is cut off now.
    pub(super) offline: Option<f64>,
    /// What players choose from.
    pub(super) offers: Arc<[Needs]>,
    /// What players with a fixed rendition see, by rendition.
    pub(super) offers_of_one: Vec<Arc<[Needs]>>,
    /// Requests that reached a silent cache.
    pub(super) unheard: Vec<(Asker, u32, Key)>,
    /// The number of the last time at which the origin's line was looked at.
    pub(super) line_looks: u64,
    pub(super) tally: Tally,
    /// What must never happen, if it has happened.
    pub(super) broken: Cell<Option<&'static str>>,
    /// Number of events so far.
    pub(super) events: u64,
    /// A digest of all events so far.
    pub(super) digest: u64,
}

impl World {
    /// The world before its first event.
    pub(super) fn new(plan: Plan) -> Self {
        let nodes = (0..).zip(plan.nodes.iter().cloned());
        let nodes = nodes.map(|(index, node)| Node::new(node, plan.seed, index, &plan.limits));
        let ladder = &plan.streams.ladder;
        let renditions = |indices: &[u32]| {
            let needs = |index: &u32| ladder.get(*index as usize).copied();
            indices.iter().filter_map(needs).collect::<Vec<_>>()
        };
        let mut world = Self {
            now: Timestamp::ZERO,
            agenda: Agenda::default(),
            broadcast: Broadcast::new(plan.streams.clone()),
            origin: Origin::new(plan.capacity, plan.playlist_latency, plan.seed),
            nodes: nodes.collect(),
            flights: Slab::default(),
            visitors: Slab::default(),
            likes: plan.likes.as_ref().map(|likes| {
                let (commit, edges) = (plan.likes_commit, plan.edges);
                Likes::new(likes, commit, edges, &plan.limits, plan.seed)
            }),
            last_left: Timestamp::ZERO,
            next_visit: 0,
            offline: None,
            offers: renditions(&plan.renditions).into(),
            offers_of_one: ladder.iter().map(|needs| [*needs].into()).collect(),
            unheard: Vec::new(),
            line_looks: 0,
            tally: Tally::new(&plan),
            broken: Cell::new(None),
            events: 0,
            digest: 0,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let faults = (0..).zip(self.plan.faults.clone());
        for (index, fault) in faults {
            let at =
                |at_s: f64| Timestamp::ZERO + Duration::try_from_secs_f64(at_s).unwrap_or_default();
            self.at(at(fault.at_s), Rank::World, Event::FaultBegins(index));
            if let Some(until_s) = fault.until_s {
                self.at(at(until_s), Rank::World, Event::FaultEnds(index));
            }
        }
        self.at(Timestamp::ZERO, Rank::Bound, Event::Second);
        self.await_next_visit();
    }

    /// Notes that something has happened that must never happen.
    pub(super) fn must(&self, holds: bool, what: &'static str) {
        if !holds {
            self.broken.set(Some(what));
        }
    }

    /// After the last viewer has left and every event has happened, nothing may be left over.
    pub(super) fn check_the_end(&self) {
        self.must(self.flights.len() == 0, "every flight lands");
        self.must(self.visitors.len() == 0, "every viewer leaves");
        self.must(self.tally.present == 0, "viewers are joins less leaves");
        self.must(
            self.unheard.is_empty() || self.nodes.iter().any(|node| node.state == State::Silent),
            "every request is answered, unless its edge stays silent",
        );
        if let Some(likes) = &self.likes {
            likes.check_the_end(|holds, what| self.must(holds, what));
        }
        for node in &self.nodes {
            self.must(node.waiting == 0, "every waiter is woken");
            self.must(node.held == 0, "every held fetch ends");
            self.must(node.fetches == 0, "every fetch ends");
            self.must(node.flights.is_empty(), "every flight leaves its table");
            self.must(node.gate.under_way() == 0, "every permit is given back");
        }
        self.must(
            self.origin.is_idle(),
            "every slot of the origin is free again",
        );
    }

    /// Adds an event to the agenda.
    pub(super) fn at(&mut self, at: Timestamp, rank: Rank, event: Event) {
        self.agenda.add(at.max(self.now), rank, event);
    }

    /// Whether all viewers have come and gone, and nothing is under way for them.
    pub(super) fn is_over(&self) -> bool {
        self.next_visit == self.plan.visits.len()
            && self.visitors.len() == 0
            && self
                .likes
                .as_ref()
                .is_none_or(|likes| likes.are_over(self.now, self.last_left))
    }

    /// The next event happens. `false`: none is left.
    pub(super) fn step(&mut self) -> bool {
        let Some((now, event)) = self.agenda.take() else {
            return false;
        };
        self.now = now;
        self.events += 1;
        self.note(event);
        match event {
            Event::Arrival => self.arrive(),
            Event::Wakes(visitor) => self.wake(visitor),
            Event::GivesUp(visitor, nth) => self.give_up(visitor, nth),
            Event::Next(crowd) => self.ask_for_crowd(crowd),
            Event::Worked(call) => self.worked(call),
            Event::LineMoved(look) => self.line_moved(look),
            Event::Answered(flight, nth, answer) => self.answered(flight, nth, answer),
            Event::Silence(flight, nth, error) => self.silence(flight, nth, error),
            Event::PermitLate(flight, nth) => self.permit_late(flight, nth),
            Event::Paused(flight, nth) => self.paused(flight, nth),
            Event::Released(flight) => self.release(flight),
            Event::Deadline(flight) => self.deadline(flight),
            Event::FaultBegins(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::LikeComes(lane, life, again) => self.like_comes(lane, life, again),
            Event::LikesArrive(lane, life) => self.likes_arrive(lane, life),
            Event::LikesDurable => self.likes_durable(),
            Event::LikesAnswered(lane, life) => self.likes_answered(lane, life),
            Event::Second => self.second(),
        }
        true
    }

    /// Reads the gauges, and comes back in a second.
    fn second(&mut self) {
        let waiting = self.nodes.iter().map(|node| node.waiting).sum();
        let busy = self.origin.busy(self.now);
        self.tally.level(self.now, waiting, busy);
        self.tally.forget_before(self.broadcast.newest(self.now));
        self.look_for_likes();
        if !self.is_over() {
            let next = self.now + Duration::from_secs(1);
            self.at(next, Rank::Bound, Event::Second);
        }
    }

    /// Adds an event to the digest.
    fn note(&mut self, event: Event) {
        let (kind, one, other) = match event {
            Event::Arrival => (0, self.next_visit as u64, 0),
            Event::Wakes(visitor) => (1, visitor.serial.into(), 0),
            Event::GivesUp(visitor, nth) => (2, visitor.serial.into(), nth.into()),
            Event::Next(crowd) => (3, crowd.key.bits(), crowd.count.into()),
            Event::Worked(call) => (4, call.flight.serial.into(), call.nth.into()),
            Event::LineMoved(look) => (5, look, 0),
            Event::Answered(flight, nth, _) => (6, flight.serial.into(), nth.into()),
            Event::Silence(flight, nth, _) => (7, flight.serial.into(), nth.into()),
            Event::PermitLate(flight, nth) => (8, flight.serial.into(), nth.into()),
            Event::Paused(flight, nth) => (9, flight.serial.into(), nth.into()),
            Event::Released(flight) => (10, flight.serial.into(), 0),
            Event::Deadline(flight) => (11, flight.serial.into(), 0),
            Event::FaultBegins(index) => (12, index.into(), 0),
            Event::FaultEnds(index) => (13, index.into(), 0),
            Event::Second => (14, 0, 0),
            Event::LikeComes(lane, life, again) => {
                (15, lane.into(), (life << 1 | u32::from(again)).into())
            }
            Event::LikesArrive(lane, life) => (16, lane.into(), life.into()),
            Event::LikesDurable => (17, 0, 0),
            Event::LikesAnswered(lane, life) => (18, lane.into(), life.into()),
        };
        // The multiplier of PCG: each bit of the sum reaches the upper bits of the product.
        let mixed = self.digest ^ self.now.as_nanos() ^ one.rotate_left(20) ^ other << 8 ^ kind;
        self.digest = mixed
            .wrapping_mul(6_364_136_223_846_793_005)
            .rotate_left(23);
    }
}
