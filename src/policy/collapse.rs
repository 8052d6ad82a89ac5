//! The table of flights: of all requests for one missing object, one leads and the others follow.
//!
//! Invariants: there is at most one flight per key. A flight is numbered by a generation that is never used again, so
//! that a late event of an old flight can't touch a new one. A fetch belongs to the table and not to the request that
//! began it, so a request that leaves only lowers the count of waiters.

use std::collections::HashMap;
use std::hash::Hash;

use super::limits::Limits;
use super::status::Shed;

/// Numbers the flights of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

impl Generation {
    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The flights of one shard of the key space. `T` is the performer's handle to join a flight.
#[derive(Debug)]
pub struct Flights<K, T> {
    by_key: HashMap<K, Flight<T>>,
    next: u64,
}

#[derive(Debug)]
struct Flight<T> {
    generation: Generation,
    waiters: u32,
    followers: u32,
    handle: T,
}

/// What happened to a request that the store could not serve.
#[derive(Debug, PartialEq, Eq)]
pub enum Boarding<T> {
    /// The request began the flight.
    Lead(Generation, T),
    /// The request joined a flight.
    Follow(Generation, T),
    /// A bound refused it.
    Shed(Shed),
}

/// Facts of a flight when it left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Number of requests that joined the flight, without its leader. Requests that left again are included.
    pub followers: u32,
}

impl<K: Hash + Eq + Clone, T: Clone> Flights<K, T> {
    /// A table without flights.
    pub fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            next: 0,
        }
    }

    /// Joins the flight for `key`, or begins one with `begin`. `waiters` is the number of requests that wait at the
    /// whole edge already.
    pub fn board(
        &mut self,
        key: &K,
        waiters: u32,
        limits: &Limits,
        begin: impl FnOnce(Generation) -> T,
    ) -> Boarding<T> {
        if waiters >= limits.waiters_max {
            return Boarding::Shed(Shed::EdgeFull);
        }
        let Some(flight) = self.by_key.get_mut(key) else {
            let (generation, handle) = self.begin(key, 1, begin);
            return Boarding::Lead(generation, handle);
        };
        if flight.waiters >= limits.waiters_per_flight_max {
            return Boarding::Shed(Shed::FlightFull);
        }
        flight.waiters += 1;
        flight.followers += 1;
        Boarding::Follow(flight.generation, flight.handle.clone())
    }

    /// Begins a flight without a waiter, to refresh what is stored; `None` if one is under way.
    pub fn refresh(
        &mut self,
        key: &K,
        begin: impl FnOnce(Generation) -> T,
    ) -> Option<(Generation, T)> {
        if self.by_key.contains_key(key) {
            return None;
        }
        Some(self.begin(key, 0, begin))
    }

    /// A waiter of that flight has left, served or not. Nothing happens if the flight has landed.
    pub fn leave(&mut self, key: &K, generation: Generation) {
        if let Some(flight) = self
            .by_key
            .get_mut(key)
            .filter(|flight| flight.generation == generation)
        {
            flight.waiters = flight.waiters.saturating_sub(1);
        }
    }

    /// Takes a flight out of the table even if requests wait for it. The flight still serves them, but no later
    /// requests.
    pub fn forget(&mut self, key: &K) -> bool {
        self.by_key.remove(key).is_some()
    }

    /// The flight for a key: its generation, the number of its waiters and followers, and the handle to join it.
    pub fn look(&self, key: &K) -> Option<(Generation, u32, u32, &T)> {
        let flight = self.by_key.get(key)?;
        Some((
            flight.generation,
            flight.waiters,
            flight.followers,
            &flight.handle,
        ))
    }

    /// The keys of all flights under way.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// Whether this very flight is in the table.
    pub fn is_under_way(&self, key: &K, generation: Generation) -> bool {
        self.by_key
            .get(key)
            .is_some_and(|flight| flight.generation == generation)
    }

    /// Takes a flight without waiters out of the table, so that the next request begins a new one. `false` if a request
    /// waits, or the flight has landed.
    pub fn abandon(&mut self, key: &K, generation: Generation) -> bool {
        let deserted = self
            .by_key
            .get(key)
            .is_some_and(|flight| flight.generation == generation && flight.waiters == 0);
        deserted && self.by_key.remove(key).is_some()
    }

    /// The fetch of that flight is over: the key is free again. `None` if that flight is not in the table.
    pub fn land(&mut self, key: &K, generation: Generation) -> Option<Landed> {
        if self.by_key.get(key)?.generation != generation {
            return None;
        }
        let flight = self.by_key.remove(key)?;
        Some(Landed {
            followers: flight.followers,
        })
    }

    /// Number of flights under way.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no flight is under way.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn begin(
        &mut self,
        key: &K,
        waiters: u32,
        begin: impl FnOnce(Generation) -> T,
    ) -> (Generation, T) {
        let generation = Generation(self.next);
        self.next += 1;
        let handle = begin(generation);
        let flight = Flight {
            generation,
            waiters,
            followers: 0,
            handle: handle.clone(),
        };
        self.by_key.insert(key.clone(), flight);
        (generation, handle)
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(per_flight: u32, edge: u32) -> Limits {
        Limits {
            waiters_per_flight_max: per_flight,
            waiters_max: edge,
            ..Limits::default()
        }
    }

    #[test]
    fn the_first_leads_and_the_others_follow() {
        let mut flights = Flights::new();
        let first = flights.board(&"a", 0, &limits(10, 10), |_| "fetch");
        let second = flights.board(&"a", 1, &limits(10, 10), |_| {
            unreachable!("a flight is under way")
        });
        let Boarding::Lead(generation, "fetch") = first else {
            panic!("{first:?}")
        };
        assert_eq!(second, Boarding::Follow(generation, "fetch"));
        assert_eq!(
            flights.land(&"a", generation),
            Some(Landed { followers: 1 })
        );
        assert!(flights.is_empty());
    }

    #[test]
    fn a_flight_survives_its_leader() {
        let mut flights = Flights::new();
        let Boarding::Lead(generation, ()) = flights.board(&"a", 0, &limits(10, 10), |_| ()) else {
            panic!()
        };
        flights.leave(&"a", generation);
        assert_eq!(
            flights.board(&"a", 0, &limits(10, 10), |_| ()),
            Boarding::Follow(generation, ())
        );
    }

    #[test]
    fn a_late_event_of_an_old_flight_leaves_the_new_one_alone() {
        let mut flights = Flights::new();
        let Boarding::Lead(old, ()) = flights.board(&"a", 0, &limits(10, 10), |_| ()) else {
            panic!()
        };
        flights.land(&"a", old);
        let Boarding::Lead(new, ()) = flights.board(&"a", 0, &limits(1, 10), |_| ()) else {
            panic!()
        };
        flights.leave(&"a", old);
        assert_eq!(flights.land(&"a", old), None);
        assert_eq!(
            flights.board(&"a", 0, &limits(1, 10), |_| ()),
            Boarding::Shed(Shed::FlightFull)
        );
        assert_ne!(old, new);
    }

    #[test]
    fn only_a_flight_without_waiters_can_be_abandoned() {
        let mut flights = Flights::new();
        let Boarding::Lead(old, ()) = flights.board(&"a", 0, &limits(10, 10), |_| ()) else {
            panic!()
        };
        assert!(!flights.abandon(&"a", old), "its leader waits");
        flights.leave(&"a", old);
        assert!(flights.abandon(&"a", old));
        let Boarding::Lead(new, ()) = flights.board(&"a", 0, &limits(10, 10), |_| ()) else {
            panic!("the key is free")
        };
        flights.leave(&"a", new);
        assert!(!flights.abandon(&"a", old), "another flight's number");
        assert_eq!(flights.land(&"a", new), Some(Landed { followers: 0 }));
    }

    #[test]
    fn both_bounds_have_their_word() {
        let mut flights = Flights::new();
        flights.board(&"a", 0, &limits(2, 10), |_| ());
        flights.board(&"a", 1, &limits(2, 10), |_| ());
        assert_eq!(
            flights.board(&"a", 2, &limits(2, 10), |_| ()),
            Boarding::Shed(Shed::FlightFull)
        );
        assert_eq!(
            flights.board(&"b", 10, &limits(2, 10), |_| ()),
            Boarding::Shed(Shed::EdgeFull)
        );
    }

    proptest! {
        /// In any order of events a key never has two flights, and each flight lands once.
        #[test]
        fn one_flight_per_key(events in prop::collection::vec((0_u8..4, 0_u8..3), 0..200)) {
            let mut flights = Flights::new();
            let mut under_way: HashMap<u8, Generation> = HashMap::new();
            for (event, key) in events {
                match event {
                    0 | 1 => match flights.board(&key, 0, &limits(1_000, 1_000), |_| ()) {
                        Boarding::Lead(generation, ()) => prop_assert!(under_way.insert(key, generation).is_none()),
                        Boarding::Follow(generation, ()) => prop_assert_eq!(under_way.get(&key), Some(&generation)),
                        Boarding::Shed(shed) => prop_assert!(false, "{:?}", shed),
                    },
                    2 => if let Some(&generation) = under_way.get(&key) { flights.leave(&key, generation) },
                    _ => if let Some(generation) = under_way.remove(&key) {
                        prop_assert!(flights.land(&key, generation).is_some());
                        prop_assert!(flights.land(&key, generation).is_none());
                    },
                }
                prop_assert_eq!(flights.len(), under_way.len());
            }
        }
    }
}
