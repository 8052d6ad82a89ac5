//! Sends a trace of requests through one cache and its miss queue.
//!
//! Each request is one of three. A *hit* finds its object stored and fresh. A *delayed hit* (the edge's word is *collapsed*)
//! finds a fetch of its object under way and waits for the rest of it. A *miss* begins a fetch, which lands after a fixed
//! latency. Landings at the instant of a request come before it. An object is stored when it lands, as the newest one, and is
//! fresh for a fixed time from then on, the last instant included.
//!
//! A stale object keeps its place until its successor lands, or until it is evicted. A landing replaces what is stored under
//! its key: size, age and place. Without the miss queue no request waits for the fetch of another one, so each that finds no
//! fresh object is a miss.

use std::collections::VecDeque;
use std::time::Duration;

use super::classes::Class;
use super::keys::{Keys, TooManyKeys};
use super::per_second::PerSecond;
use super::series::Series;
use super::trace::Request;
use super::waits::Waits;
use crate::sim::lru::{Id, Insertion, Object, Policy, Store};
use crate::time::Timestamp;

/// What the requests are sent through.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The size of the cache in bytes.
    pub cache_bytes: u64,
    /// Which object leaves a full cache.
    pub policy: Policy,
    /// How long a fetch takes.
    pub latency: Duration,
    /// How long an object is fresh; `None`: for ever.
    pub fresh: Option<Duration>,
    /// What happens to a request for an object that is being fetched.
    pub queue: Queue,
    /// What the size of a request says.
    pub sizes: Sizes,
}

/// What happens to a request for an object that is being fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queue {
    /// It waits for that fetch.
    #[default]
    Waits,
    /// It begins a fetch of its own.
    Fetches,
}

/// What the size of a request says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizes {
    /// The size of the object.
    #[default]
    Whole,
    /// The size of what was sent, which may be a part of the object or nothing. The object is as large as the largest such
    /// size of its key so far.
    Sent,
}

/// How a request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the cache.
    Hit,
    /// By a fetch that another request had begun; the rest of that fetch.
    DelayedHit(Duration),
    /// By a fetch of its own, because no object was stored.
    Miss,
    /// By a fetch of its own, because the stored object was stale.
    Expired,
}

/// The replay of a trace.
#[derive(Debug)]
pub struct Replay {
    setup: Setup,
    now: Timestamp,
    keys: Keys,
    known: Vec<Known>,
    /// The largest size of each key so far, with [`Sizes::Sent`].
    largest: Vec<u64>,
    /// What is stored, and when it landed.
    store: Store<Timestamp>,
    /// Fetches under way. All last equally long, so the first to begin is the first to land.
    flights: VecDeque<Flight>,
    /// Number of fetches that have landed, modulo 2^32.
    landed: u32,
    tally: Tally,
}

/// What is known of a key, besides what is stored.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Number of its fetches under way.
    flights: u32,
    /// The number of its newest fetch, modulo 2^32.
    newest_flight: u32,
    /// Whether one of its versions was larger than the cache.
    too_large: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    id: Id,
    bytes: u64,
    lands: Timestamp,
}

/// Requests, by how they were served, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests served from the cache.
    pub hits: u64,
    /// Requests that waited for the fetch of another request.
    pub delayed_hits: u64,
    /// Requests that began a fetch.
    pub misses: u64,
    /// Misses that found a stale object.
    pub expired: u64,
    /// Bytes of hits.
    pub hit_bytes: u128,
    /// Bytes of delayed hits.
    pub delayed_hit_bytes: u128,
    /// Bytes of misses: those that the origin sent.
    pub miss_bytes: u128,
}

/// What a replay counted.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests by class, in the order of [`Class::ALL`].
    pub(super) classes: [Counts; Class::ALL.len()],
    pub(super) waits: Waits,
    pub(super) origin: PerSecond,
    pub(super) series: Series,
    /// The times of the first and of the last request.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    pub(super) keys: u64,
    /// Misses during another fetch of the same key.
    pub(super) beside: u64,
    /// Hits and delayed hits whose own size differs from that of the object.
    pub(super) size_changed: u64,
    pub(super) evictions: u64,
    pub(super) evicted_bytes: u128,
    /// Distinct keys with a version that was larger than the cache, and fetches of such versions.
    pub(super) too_large: u64,
    pub(super) too_large_fetches: u64,
    pub(super) stored: u64,
    pub(super) stored_bytes: u64,
}

impl Counts {
    /// All requests.
    pub const fn requests(&self) -> u64 {
        self.hits + self.delayed_hits + self.misses
    }

    /// Bytes of all requests.
    pub const fn bytes(&self) -> u128 {
        self.hit_bytes + self.delayed_hit_bytes + self.miss_bytes
    }

    fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.delayed_hits += other.delayed_hits;
        self.misses += other.misses;
        self.expired += other.expired;
        self.hit_bytes += other.hit_bytes;
        self.delayed_hit_bytes += other.delayed_hit_bytes;
        self.miss_bytes += other.miss_bytes;
    }
}

impl Tally {
    /// Requests of all classes.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.classes.iter().for_each(|class| all.add(class));
        all
    }
}

impl Replay {
    /// A cold cache.
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            now: Timestamp::ZERO,
            keys: Keys::default(),
            known: Vec::new(),
            largest: Vec::new(),
            store: Store::new(setup.policy, setup.cache_bytes),
            flights: VecDeque::new(),
            landed: 0,
            tally: Tally {
                classes: Default::default(),
                waits: Waits::new(setup.latency),
                origin: PerSecond::default(),
                series: Series::default(),
                span: None,
                keys: 0,
                beside: 0,
                size_changed: 0,
                evictions: 0,
                evicted_bytes: 0,
                too_large: 0,
                too_large_fetches: 0,
                stored: 0,
                stored_bytes: 0,
            },
        }
    }

    /// Serves the next request of the trace. One that is earlier than the request before it counts as of that request's time.
    ///
    /// # Errors
    /// There are more distinct keys than can be told apart.
    pub fn on_request(&mut self, request: &Request<'_>) -> Result<Outcome, TooManyKeys> {
        self.now = self.now.max(request.time);
        let first = self.tally.span.map_or(self.now, |(first, _)| first);
        self.tally.span = Some((first, self.now));
        self.land(self.now);

        let id = self.keys.number(request.key)?;
        if self.known.len() <= id as usize {
            self.known.push(Known::default());
        }
        let size = self.size(id, request.size);
        let (outcome, bytes) = self.serve(id, size);

        if matches!(outcome, Outcome::Hit | Outcome::DelayedHit(_)) && bytes != size {
            self.tally.size_changed += 1;
        }
        let asks_origin = matches!(outcome, Outcome::Miss | Outcome::Expired);
        self.tally.series.count(self.now, asks_origin.into());
        let counts = &mut self.tally.classes[Class::of(request.key) as usize];
        match outcome {
            Outcome::Hit => {
                self.tally.waits.hit();
                counts.hits += 1;
                counts.hit_bytes += u128::from(bytes);
            }
            Outcome::DelayedHit(rest) => {
                self.tally.waits.delayed(rest);
                counts.delayed_hits += 1;
                counts.delayed_hit_bytes += u128::from(bytes);
            }
            Outcome::Miss | Outcome::Expired => {
                self.tally.waits.miss();
                self.tally.origin.count(self.now);
                counts.misses += 1;
                counts.expired += u64::from(outcome == Outcome::Expired);
                counts.miss_bytes += u128::from(bytes);
            }
        }
        Ok(outcome)
    }

    /// Number of requests so far.
    pub fn requests(&self) -> u64 {
        self.tally.classes.iter().map(Counts::requests).sum()
    }

    /// The end of the trace: fetches under way land, and all is counted.
    pub fn finish(mut self) -> Tally {
        self.land(Timestamp::from_nanos(u64::MAX));
        self.tally.keys = self.keys.len() as u64;
        self.tally.stored = self.store.len() as u64;
        self.tally.stored_bytes = self.store.bytes();
        self.tally
    }

    /// The size of the object of which a request tells `size`.
    fn size(&mut self, id: Id, size: u64) -> u64 {
        match self.setup.sizes {
            Sizes::Whole => size,
            Sizes::Sent => {
                if self.largest.len() <= id as usize {
                    self.largest.push(0);
                }
                let largest = &mut self.largest[id as usize];
                *largest = size.max(*largest);
                *largest
            }
        }
    }

    /// How a request is served, and the size of the object that it gets.
    fn serve(&mut self, id: Id, size: u64) -> (Outcome, u64) {
        let stored = self.store.get(id);
        let stored = stored.map(|object| (object.bytes, self.now.since(object.value)));
        if let Some((bytes, age)) = stored
            && self.setup.fresh.is_none_or(|fresh| age <= fresh)
        {
            self.store.touch(id);
            return (Outcome::Hit, bytes);
        }
        let known = &mut self.known[id as usize];
        if known.flights > 0 {
            if self.setup.queue == Queue::Waits {
                let ahead = known.newest_flight.wrapping_sub(self.landed);
                if let Some(flight) = self.flights.get(ahead as usize) {
                    let rest = flight.lands.since(self.now);
                    return (Outcome::DelayedHit(rest), flight.bytes);
                }
            }
            self.tally.beside += 1;
        }
        known.flights += 1;
        known.newest_flight = self.landed.wrapping_add(self.flights.len() as u32);
        self.flights.push_back(Flight {
            id,
            bytes: size,
            lands: self.now + self.setup.latency,
        });
        match stored {
            Some(_) => (Outcome::Expired, size),
            None => (Outcome::Miss, size),
        }
    }

    /// Lands every fetch that is whole at `now`.
    fn land(&mut self, now: Timestamp) {
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.lands <= now) {
            self.landed = self.landed.wrapping_add(1);
            let known = &mut self.known[flight.id as usize];
            known.flights -= 1;
            let tally = &mut self.tally;
            let count = |_, gone: Object<Timestamp>| {
                tally.evictions += 1;
                tally.evicted_bytes += u128::from(gone.bytes);
            };
            let inserted = self
                .store
                .insert(flight.id, flight.bytes, flight.lands, count);
            if inserted == Insertion::TooLarge {
                self.tally.too_large_fetches += 1;
                self.tally.too_large += u64::from(!known.too_large);
                known.too_large = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn setup(latency_ms: u64) -> Setup {
        Setup {
            cache_bytes: 100,
            policy: Policy::Lru,
            latency: Duration::from_millis(latency_ms),
            fresh: None,
            queue: Queue::Waits,
            sizes: Sizes::Whole,
        }
    }

    /// Plays (milliseconds, key, size).
    fn play(setup: Setup, requests: &[(u64, &str, u64)]) -> (Vec<Outcome>, Tally) {
        let mut replay = Replay::new(setup);
        let outcomes = requests.iter().map(|(millis, key, size)| {
            let request = Request {
                time: Timestamp::from_nanos(millis * MS),
                key: key.as_bytes(),
                size: *size,
            };
            replay.on_request(&request).unwrap()
        });
        (outcomes.collect(), replay.finish())
    }

    fn waits(millis: u64) -> Outcome {
        Outcome::DelayedHit(Duration::from_millis(millis))
    }

    #[test]
    fn a_herd_waits_for_one_fetch() {
        let herd = [
            (0, "a", 10),
            (0, "a", 10),
            (20, "a", 10),
            (49, "a", 10),
            (50, "a", 10),
        ];
        let (outcomes, tally) = play(setup(50), &herd);
        let expected = [
            Outcome::Miss,
            waits(50),
            waits(30),
            waits(1),
            // The landing at this instant comes first.
            Outcome::Hit,
        ];
        assert_eq!(outcomes, expected);
        let counts = tally.counts();
        assert_eq!((counts.hits, counts.delayed_hits, counts.misses), (1, 3, 1));
        assert_eq!((counts.bytes(), counts.miss_bytes), (50, 10));
    }

    #[test]
    fn without_the_queue_each_asks_the_origin() {
        let mut setup = setup(50);
        setup.queue = Queue::Fetches;
        let herd = [(0, "a", 10), (20, "a", 10), (50, "a", 10), (71, "a", 10)];
        let (outcomes, tally) = play(setup, &herd);
        assert_eq!(
            outcomes,
            [Outcome::Miss, Outcome::Miss, Outcome::Hit, Outcome::Hit]
        );
        assert_eq!((tally.beside, tally.stored_bytes), (1, 10));
    }

    #[test]
    fn an_object_is_fresh_up_to_its_last_instant_and_then_fetched_again() {
        let mut setup = setup(50);
        setup.fresh = Some(Duration::from_millis(100));
        let requests = [
            (0, "a", 10),
            (150, "a", 10),
            (151, "a", 10),
            (160, "a", 10),
            (201, "a", 10),
        ];
        let (outcomes, tally) = play(setup, &requests);
        let expected = [
            Outcome::Miss,
            Outcome::Hit,
            Outcome::Expired,
            waits(41),
            Outcome::Hit,
        ];
        assert_eq!(outcomes, expected);
        assert_eq!((tally.counts().misses, tally.counts().expired), (2, 1));
    }

    #[test]
    fn a_size_stays_until_the_next_fetch() {
        let mut setup = setup(0);
        setup.fresh = Some(Duration::from_millis(100));
        let requests = [(0, "a", 10), (1, "a", 30), (200, "a", 30), (201, "a", 30)];
        let (_, tally) = play(setup, &requests);
        assert_eq!((tally.size_changed, tally.stored_bytes), (1, 30));
        assert_eq!(tally.counts().bytes(), 10 + 10 + 30 + 30);
    }

    #[test]
    fn with_parts_an_object_is_as_large_as_the_largest_answer_so_far() {
        let mut setup = setup(0);
        setup.sizes = Sizes::Sent;
        let requests = [
            (0, "a", 0),
            (1, "b", 40),
            (2, "b", 5),
            (3, "c", 90),
            (4, "b", 0),
        ];
        let (outcomes, tally) = play(setup, &requests);
        assert_eq!(outcomes[2], Outcome::Hit);
        // `c` pushed `b` out; the new fetch brings 40 bytes, because that is what `b` is known to have.
        assert_eq!(outcomes[4], Outcome::Miss);
        assert_eq!((tally.counts().miss_bytes, tally.size_changed), (170, 0));
    }

    #[test]
    fn an_object_larger_than_the_cache_is_fetched_again_and_again() {
        let requests = [(0, "a", 101), (1, "a", 101), (2, "b", 100), (3, "b", 100)];
        let (outcomes, tally) = play(setup(0), &requests);
        assert_eq!(
            outcomes,
            [Outcome::Miss, Outcome::Miss, Outcome::Miss, Outcome::Hit]
        );
        assert_eq!((tally.too_large, tally.too_large_fetches), (1, 2));
        assert_eq!(tally.evictions, 0);
    }

    #[test]
    fn all_that_is_under_way_at_the_end_lands() {
        let (_, tally) = play(setup(50), &[(0, "a", 60), (1, "b", 60)]);
        assert_eq!((tally.stored, tally.evictions), (1, 1));
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let mut replay = Replay::new(setup(50));
        for _ in 0..2 {
            let request = Request {
                time: Timestamp::from_nanos(u64::MAX),
                key: b"a",
                size: u64::MAX,
            };
            replay.on_request(&request).unwrap();
        }
        assert_eq!(replay.finish().counts().requests(), 2);
    }

    /// The same rules in few words and without haste: every request looks through all that has happened.
    struct Model {
        setup: Setup,
        /// Key, size, landing: the newest first.
        stored: Vec<(u8, u64, u64)>,
        flights: Vec<(u8, u64, u64)>,
        evictions: u64,
    }

    impl Model {
        fn land(&mut self, now: u64) {
            while let Some(&(key, size, lands)) = self.flights.first()
                && lands <= now
            {
                self.flights.remove(0);
                self.stored.retain(|(stored, _, _)| *stored != key);
                if size > self.setup.cache_bytes {
                    continue;
                }
                self.stored.insert(0, (key, size, lands));
                while self.stored.iter().map(|(_, size, _)| size).sum::<u64>()
                    > self.setup.cache_bytes
                {
                    self.stored.pop();
                    self.evictions += 1;
                }
            }
        }

        fn request(&mut self, now: u64, key: u8, size: u64) -> Outcome {
            self.land(now);
            let at = self.stored.iter().position(|(stored, _, _)| *stored == key);
            if let Some(at) = at {
                let landed = self.stored[at].2;
                let fresh = self
                    .setup
                    .fresh
                    .is_none_or(|fresh| now - landed <= fresh.as_millis() as u64);
                if fresh {
                    if self.setup.policy == Policy::Lru {
                        let object = self.stored.remove(at);
                        self.stored.insert(0, object);
                    }
                    return Outcome::Hit;
                }
            }
            if self.setup.queue == Queue::Waits
                && let Some((_, _, lands)) = self.flights.iter().find(|(under, _, _)| *under == key)
            {
                return waits(lands - now);
            }
            let lands = now + self.setup.latency.as_millis() as u64;
            self.flights.push((key, size, lands));
            match at {
                Some(_) => Outcome::Expired,
                None => Outcome::Miss,
            }
        }
    }

    prop_compose! {
        fn any_setup()(
            cache_bytes in 0_u64..60,
            latency in 0_u64..30,
            fresh in prop::option::of(0_u64..60),
            fifo: bool,
            off: bool,
        ) -> Setup {
            Setup {
                cache_bytes,
                policy: if fifo { Policy::Fifo } else { Policy::Lru },
                latency: Duration::from_millis(latency),
                fresh: fresh.map(Duration::from_millis),
                queue: if off { Queue::Fetches } else { Queue::Waits },
                sizes: Sizes::Whole,
            }
        }
    }

    proptest! {
        #[test]
        fn a_replay_does_what_the_rules_say(
            setup in any_setup(),
            steps in prop::collection::vec((0_u64..8, 0_u8..10, 0_u64..25), 0..250),
        ) {
            let mut replay = Replay::new(setup);
            let mut model = Model { setup, stored: Vec::new(), flights: Vec::new(), evictions: 0 };
            let mut now = 0;
            for (later, key, size) in steps {
                now += later;
                let request = Request { time: Timestamp::from_nanos(now * MS), key: &[key], size };
                let outcome = replay.on_request(&request).unwrap();
                prop_assert_eq!(outcome, model.request(now, key, size));
            }
            model.land(u64::MAX);
            let tally = replay.finish();
            prop_assert_eq!(tally.evictions, model.evictions);
            prop_assert_eq!(tally.stored, model.stored.len() as u64);
        }

        #[test]
        fn without_latency_the_misses_are_those_of_a_plain_lru(
            capacity in 1_usize..8,
            keys in prop::collection::vec(0_u8..12, 0..300),
        ) {
            let setup = Setup { cache_bytes: capacity as u64, ..setup(0) };
            let mut replay = Replay::new(setup);
            let mut queue = VecDeque::new();
            let mut misses = 0;
            for key in keys {
                let request = Request { time: Timestamp::ZERO, key: &[key], size: 1 };
                replay.on_request(&request).unwrap();
                match queue.iter().position(|known| *known == key) {
                    Some(at) => {
                        queue.remove(at);
                    }
                    None => misses += 1,
                }
                queue.push_front(key);
                queue.truncate(capacity);
            }
            prop_assert_eq!(replay.finish().counts().misses, misses);
        }
    }
}
