//! A request at a cache: from what is known, or by the miss queue.

use http::StatusCode;

use super::agenda::Rank;
use super::exchange::{Answer, Asker, Crowd, Reply, Trail, Waiter};
use super::key::Key;
use super::node::{FlightId, State};
use super::split;
use super::world::{Event, World};
use crate::policy::collapse::Boarding;
use crate::policy::edge::{self, Decision, WhyStale};
use crate::policy::flight::Reason;
use crate::policy::freshness::{Freshness, Validity};
use crate::policy::retry;
use crate::policy::status::{FetchError, MissQueue};
use crate::report::record::ResultWord;
use crate::time::Timestamp;

impl World {
    /// A request reaches a cache, and `more` requests for the same object follow it, evenly until an instant. Returns the answer to
    /// the first if it comes at once; else the asker is told later.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        node: u32,
        key: Key,
        (more, until): (u32, Timestamp),
    ) -> Option<Reply> {
        let now = self.now;
        let crowd = Crowd {
            node,
            key,
            count: more,
            until,
        };
        match self.nodes[node as usize].state {
            State::Serving => {}
            State::Killed => {
                let reply = self.reply(ResultWord::Unanswered, Answer::None(FetchError::Connect));
                self.tally.crowd(&self.nodes, crowd, more, &reply);
                return Some(reply);
            }
            State::Silent => {
                let silence = Answer::None(FetchError::TotalTimeout);
                let reply = self.reply(ResultWord::Unanswered, silence);
                self.tally.crowd(&self.nodes, crowd, more, &reply);
                self.unheard.push((asker, node, key));
                return None;
            }
        }
        let known = self.nodes[node as usize].look(key);
        let decision = known.map_or(Decision::Ask, |entry| entry.facts.glance(now));
        let Some(entry) = known else {
            return self.by_queue(asker, crowd);
        };
        match decision {
            Decision::Hit => {
                let reply = self.stored(ResultWord::Hit, entry.last, entry.facts.validity);
                let fresh_until = entry.facts.validity.map(|validity| validity.fresh_until);
                self.follow_until(crowd, fresh_until, &reply);
                Some(reply)
            }
            Decision::Stale(WhyStale::Revalidate) if !self.plan.refreshes => {
                self.by_queue(asker, crowd)
            }
            Decision::Stale(WhyStale::Revalidate) => {
                let reply = self.stored(ResultWord::Stale, entry.last, entry.facts.validity);
                self.refresh(node, key);
                match self.flight_of(node, key) {
                    Some(flight) => self.trail(flight, crowd, ResultWord::Stale),
                    // It has landed at once, so those that follow look again.
                    None => self.follow_after(crowd),
                }
                Some(reply)
            }
            Decision::Stale(WhyStale::Error) => {
                let reply = self.stored(ResultWord::Stale, entry.last, entry.facts.validity);
                let until = entry.facts.negative.map(|negative| negative.until);
                self.follow_until(crowd, until, &reply);
                Some(reply)
            }
            Decision::Negative => {
                let answer = Answer::Status(entry.status, Some(self.come_back()));
                let reply = self.reply(ResultWord::Negative, answer);
                let until = entry.facts.negative.map(|negative| negative.until);
                self.follow_until(crowd, until, &reply);
                Some(reply)
            }
            // No answer of this origin is private.
            Decision::Pass | Decision::Ask => self.by_queue(asker, crowd),
        }
    }

    /// One of the viewers that follow a player asks.
    pub(super) fn ask_for_crowd(&mut self, crowd: Crowd) {
        let more = (crowd.count - 1, crowd.until);
        if let Some(reply) = self.ask(Asker::Crowd, crowd.node, crowd.key, more) {
            self.tally.crowd(&self.nodes, crowd, 1, &reply);
        }
    }

    /// The object is not there: a flight must bring it.
    fn by_queue(&mut self, asker: Asker, crowd: Crowd) -> Option<Reply> {
        let (node, key) = (crowd.node, crowd.key);
        let until = self.now + edge::wait_max(key.kind(), &self.plan.limits);
        let since = self.now;
        let waiter = |word| Waiter {
            asker,
            word,
            until,
            since,
        };
        if self.plan.miss_queue == MissQueue::Off {
            // Each of those that follow looks for itself.
            self.follow_after(crowd);
            let waiter = waiter(ResultWord::Miss);
            self.fly(node, key, None, Reason::Miss, Some(waiter), None);
            return None;
        }
        let limits = self.plan.limits;
        let at = &mut self.nodes[node as usize];
        match at.flights.board(&key, at.waiting, &limits, |_| ()) {
            Boarding::Lead(generation, ()) => {
                let trail = self.trail_of(crowd, ResultWord::Collapsed);
                let waiter = waiter(ResultWord::Miss);
                self.fly(
                    node,
                    key,
                    Some(generation),
                    Reason::Miss,
                    Some(waiter),
                    trail,
                );
                None
            }
            Boarding::Follow(..) => {
                let waiter = waiter(ResultWord::Collapsed);
                let flight = self.flight_of(node, key)?;
                self.join(flight, waiter);
                self.trail(flight, crowd, ResultWord::Collapsed);
                None
            }
            Boarding::Shed(shed) => {
                let reply = self.without(node, key, FetchError::Shed(shed), None, ResultWord::Miss);
                self.tally.crowd(&self.nodes, crowd, crowd.count, &reply);
                Some(reply)
            }
        }
    }

    /// The answer to a request that no flight will serve: what is stored if it may stand in, else the failure.
    pub(super) fn without(
        &self,
        node: u32,
        key: Key,
        error: FetchError,
        retry_after: Option<std::time::Duration>,
        word: ResultWord,
    ) -> Reply {
        let entry = self.nodes[node as usize].peek(key);
        if let Some(entry) = entry.filter(|entry| entry.facts.may_stand_in(self.now)) {
            return self.stored(ResultWord::Stale, entry.last, entry.facts.validity);
        }
        let word = match error {
            FetchError::Shed(_) => ResultWord::Shed,
            _ => word,
        };
        let wait = retry_after.unwrap_or_else(|| self.come_back());
        self.reply(word, Answer::Status(error.status().as_u16(), Some(wait)))
    }

    pub(super) fn stored(&self, word: ResultWord, last: u64, validity: Option<Validity>) -> Reply {
        let age = validity.map_or(Default::default(), |validity| validity.age(self.now));
        let may_be_served =
            validity.is_none_or(|validity| validity.at(self.now) != Freshness::Expired);
        if !may_be_served && word != ResultWord::Miss {
            self.broken
                .set(Some("no object is served beyond its lifetimes"));
        }
        self.reply(word, Answer::Whole { last, age })
    }

    pub(super) fn reply(&self, word: ResultWord, answer: Answer) -> Reply {
        Reply {
            word,
            answer,
            first_byte: self.now,
        }
    }

    fn come_back(&self) -> std::time::Duration {
        std::time::Duration::from_secs(retry::come_back_s(self.now))
    }

    /// The flight of a key, if one is under way.
    pub(super) fn flight_of(&self, node: u32, key: Key) -> Option<FlightId> {
        self.nodes[node as usize].under_way.get(&key).copied()
    }

    /// Requests that follow get the same answer until an instant; the first of those beyond looks again.
    pub(super) fn follow_until(&mut self, crowd: Crowd, until: Option<Timestamp>, reply: &Reply) {
        if crowd.count == 0 {
            return;
        }
        let horizon = until.unwrap_or(self.now);
        let chance = &mut self.nodes[crowd.node as usize].chance;
        let share = split::share(self.now, horizon, crowd.until);
        let served = split::binomial(crowd.count, share, chance);
        self.tally.crowd(&self.nodes, crowd, served, reply);
        let rest = Crowd {
            count: crowd.count - served,
            ..crowd
        };
        self.follow_from(rest, horizon.max(self.now));
    }

    /// The first of the requests that follow looks again.
    pub(super) fn follow_after(&mut self, crowd: Crowd) {
        self.follow_from(crowd, self.now);
    }

    /// The requests come evenly from an instant on.
    pub(super) fn follow_from(&mut self, crowd: Crowd, from: Timestamp) {
        if crowd.count == 0 {
            return;
        }
        let chance = &mut self.nodes[crowd.node as usize].chance;
        let first = split::first_of(crowd.count, crowd.until.since(from), chance);
        self.at(from + first, Rank::Act, Event::Next(crowd));
    }

    fn trail_of(&self, crowd: Crowd, word: ResultWord) -> Option<Trail> {
        (crowd.count > 0).then_some(Trail {
            count: crowd.count,
            from: self.now,
            until: crowd.until,
            word,
        })
    }

    /// Requests follow while a flight is under way; they are divided when it lands.
    fn trail(&mut self, flight: FlightId, crowd: Crowd, word: ResultWord) {
        let trail = self.trail_of(crowd, word);
        if let Some(under_way) = self.flights.get_mut(flight.place, flight.serial) {
            under_way.trails.extend(trail);
        }
    }

    /// The status of a refusal.
    pub(super) fn refused(status: StatusCode) -> Answer {
        Answer::Status(status.as_u16(), None)
    }
}
