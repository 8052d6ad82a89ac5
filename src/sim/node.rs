//! A cache in virtual time: what an edge or a shield keeps and knows.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use rand_chacha::ChaCha8Rng;

use super::key::Key;
use super::lru::{Id, Insertion, Policy, Store};
use super::plan::NodePlan;
use crate::policy::admission::Gate;
use crate::policy::collapse::Flights;
use crate::policy::edge::Stored;
use crate::policy::limits::Limits;
use crate::policy::rendition::Rendition;
use crate::policy::retry::{Breaker, BreakerLimits, Budget};
use crate::policy::tier;
use crate::time::Timestamp;
use crate::viewer::chance::{self, Purpose};

/// A table by key that is never iterated, so its order is never seen.
pub(super) type Table<K, V> = HashMap<K, V, FixedState>;

/// A flight under way: its place, and a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightId {
    pub(super) place: u32,
    pub(super) serial: u32,
}

/// What the store knows of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) facts: Stored,
    /// The newest segment that the stored playlist lists.
    pub(super) last: u64,
    /// The status of the stored failure.
    pub(super) status: u16,
}

/// Whom a cache asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    Origin,
    Shield(u32),
}

/// One of the servers upstream.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) who: Upstream,
    name: String,
    pub(super) breaker: Breaker,
}

impl AsRef<str> for Server {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// How a cache answers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Serving,
    /// It accepts no connection.
    Killed,
    /// It accepts connections, and no byte comes.
    Silent,
}

/// A cache.
#[derive(Debug)]
pub(super) struct Node {
    /// Its number: edges come first.
    pub(super) index: u32,
    pub(super) name: String,
    /// The caches that ask the origin together: the group of shields, or the edge itself.
    pub(super) group: u32,
    pub(super) is_shield: bool,
    pub(super) prefetches: bool,
    pub(super) servers: Vec<Server>,
    pub(super) flights: Flights<Key, ()>,
    /// The flight of each key in that table.
    pub(super) under_way: Table<Key, FlightId>,
    /// Number of flights under way, those that are in no table among them.
    pub(super) fetches: u32,
    /// The number of each key that something is known of.
    ids: Table<Key, Id>,
    /// Numbers that no key has.
    free: Vec<Id>,
    /// What is known of each key, with its bytes.
    store: Store<(Key, Entry)>,
    pub(super) renditions: Table<u32, Rendition>,
    pub(super) gate: Gate<FlightId>,
    pub(super) budget: Budget,
    /// Requests that wait for a flight.
    pub(super) waiting: u32,
    /// Fetches that are held.
    pub(super) held: usize,
    pub(super) state: State,
    /// Divides the viewers of a record.
    pub(super) chance: ChaCha8Rng,
}

impl Node {
    pub(super) fn new(plan: NodePlan, seed: u64, index: u32, limits: &Limits) -> Self {
        let breaker = Breaker::new(BreakerLimits {
            in_a_row: limits.breaker_failures,
            wait: limits.breaker_wait,
            wait_max: limits.breaker_wait_max,
        });
        let origin = std::iter::once((Upstream::Origin, "origin".to_owned()));
        let shields = plan.shields.clone().zip(plan.shield_names);
        let servers: Vec<_> = match plan.shields.is_empty() {
            true => origin.collect(),
            false => shields
                .map(|(index, name)| (Upstream::Shield(index), name))
                .collect(),
        };
        Self {
            index,
            name: plan.name,
            group: plan.group,
            is_shield: plan.is_shield,
            prefetches: plan.prefetches,
            servers: servers
                .into_iter()
                .map(|(who, name)| Server { who, name, breaker })
                .collect(),
            flights: Flights::new(),
            under_way: Table::default(),
            fetches: 0,
            ids: Table::default(),
            free: Vec::new(),
            store: Store::new(Policy::Lru, plan.cache_bytes),
            renditions: Table::default(),
            gate: Gate::new(limits.origin_at_once_max, limits.origin_queued_max),
            budget: Budget::new(limits.retry_budget_percent),
            waiting: 0,
            held: 0,
            state: State::Serving,
            chance: chance::generator(seed, Purpose::Split, index),
        }
    }

    /// Whether it asks the origin itself.
    pub(super) fn asks_origin(&self) -> bool {
        self.servers
            .iter()
            .all(|server| server.who == Upstream::Origin)
    }

    /// The cache begins anew, with nothing stored.
    pub(super) fn forget_all(&mut self, limits: &Limits) {
        self.flights = Flights::new();
        self.under_way.clear();
        self.ids.clear();
        self.free.clear();
        self.store = Store::new(Policy::Lru, self.store.capacity());
        self.renditions.clear();
        self.gate = Gate::new(limits.origin_at_once_max, limits.origin_queued_max);
        self.budget = Budget::new(limits.retry_budget_percent);
        self.waiting = 0;
        self.held = 0;
        for server in &mut self.servers {
            server.breaker = Breaker::new(BreakerLimits {
                in_a_row: limits.breaker_failures,
                wait: limits.breaker_wait,
                wait_max: limits.breaker_wait_max,
            });
        }
    }

    /// What is known of a key. A request for it makes it the newest of the store.
    pub(super) fn look(&mut self, key: Key) -> Option<Entry> {
        let id = *self.ids.get(&key)?;
        self.store.touch(id);
        self.peek(key)
    }

    /// What is known of a key.
    pub(super) fn peek(&self, key: Key) -> Option<Entry> {
        let object = self.store.get(*self.ids.get(&key)?)?;
        Some(object.value.1)
    }

    /// Keeps what is known of a key from now on. Returns the number of objects that had to go for it.
    pub(super) fn keep(&mut self, key: Key, entry: Entry, bytes: u64) -> u64 {
        let next = self.ids.len() as Id;
        let id = *self
            .ids
            .entry(key)
            .or_insert_with(|| self.free.pop().unwrap_or(next));
        let mut gone = Vec::new();
        let stored = self.store.insert(id, bytes, (key, entry), |id, object| {
            gone.push((id, object.value.0))
        });
        if stored == Insertion::TooLarge {
            gone.push((id, key));
        }
        for &(id, key) in &gone {
            self.ids.remove(&key);
            self.free.push(id);
        }
        gone.len() as u64
    }

    /// Forgets what is known of a key.
    pub(super) fn forget(&mut self, key: Key) {
        if let Some(id) = self.ids.remove(&key) {
            self.store.remove(id);
            self.free.push(id);
        }
    }

    /// The server that a fetch of this key asks after this number of failures of its own; `None`: the breakers admit none.
    pub(super) fn server_for(
        &mut self,
        key: Key,
        failures: u32,
        bounded: bool,
        now: Timestamp,
    ) -> Option<usize> {
        let count = self.servers.len();
        let order = match count {
            1 => vec![0],
            _ => tier::order(&key.bits().to_string(), &self.servers),
        };
        let first = failures as usize % count;
        let mut order = order[first..].iter().chain(&order[..first]);
        let admitted = order
            .find(|&&server| !bounded || self.servers[server].breaker.admits(now))
            .copied()?;
        self.servers[admitted].breaker.went(now);
        Some(admitted)
    }
}
