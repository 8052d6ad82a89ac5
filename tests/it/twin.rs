//! One schedule through the pure core alone and through the whole edge: both must decide alike, step by step.
//!
//! The core is what `policy` has: the table of flights and what the store's facts say. The edge is the real one, over
//! sockets, with an origin that answers when the schedule says so. After each step both are asked what they did.

use std::collections::{BTreeMap, HashMap};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use seawall::policy::collapse::{Boarding, Flights, Generation};
use seawall::policy::edge::{Decision, Stored};
use seawall::policy::freshness::{Negative, Validity};
use seawall::policy::key::Kind;
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::time::Timestamp;
use tokio::net::TcpStream;

use crate::support::client;
use crate::support::edge::TestEdge;
use crate::support::eventually;
use crate::support::fault_origin::{Behaviour, FaultOrigin, Gate};

const KEYS: u64 = 6;
const STEPS: usize = 120;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A viewer asks for this key.
    Ask(u64),
    /// The origin answers the fetch of this key.
    Answer(u64),
    /// One who waits for this key resets the connection.
    Leave(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    NotFound,
}

/// A request's word, as both sides give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Lead,
    Follow,
    Hit,
    Negative,
}

/// The pure core and nothing else.
#[derive(Default)]
struct Core {
    flights: Flights<u64, ()>,
    stored: HashMap<u64, Stored>,
    under_way: HashMap<u64, Generation>,
    waiters: BTreeMap<u64, u32>,
    fetches: BTreeMap<u64, u32>,
}

impl Core {
    fn ask(&mut self, key: u64) -> Word {
        let now = Timestamp::ZERO;
        match self.stored.get(&key).map(|stored| stored.glance(now)) {
            Some(Decision::Hit) => return Word::Hit,
            Some(Decision::Negative) => return Word::Negative,
            _ => {}
        }
        let waiting: u32 = self.waiters.values().sum();
        let boarding = self
            .flights
            .board(&key, waiting, &Limits::default(), |_| ());
        *self.waiters.entry(key).or_default() += 1;
        match boarding {
            Boarding::Lead(generation, ()) => {
                self.under_way.insert(key, generation);
                *self.fetches.entry(key).or_default() += 1;
                Word::Lead
            }
            Boarding::Follow(..) => Word::Follow,
            Boarding::Shed(shed) => panic!("{shed:?}"),
        }
    }

    fn answer(&mut self, key: u64, outcome: Outcome) -> u32 {
        let now = Timestamp::ZERO;
        let stored = match outcome {
            Outcome::Whole => Stored {
                validity: Some(Validity::of_live(
                    now,
                    Default::default(),
                    Kind::Segment,
                    None,
                    50,
                )),
                ..Stored::default()
            },
            Outcome::NotFound => Stored {
                negative: Some(Negative::after_refusal(
                    now,
                    std::time::Duration::from_secs(1),
                )),
                ..Stored::default()
            },
        };
        self.stored.insert(key, stored);
        let generation = self.under_way.remove(&key).unwrap();
        self.waiters.remove(&key);
        self.flights.land(&key, generation).unwrap().followers
    }

    fn leave(&mut self, key: u64) {
        let generation = self.under_way[&key];
        self.flights.leave(&key, generation);
        *self.waiters.get_mut(&key).unwrap() -= 1;
    }
}

/// Draws what may happen next.
fn draw(rng: &mut ChaCha8Rng, core: &Core) -> Step {
    let mut pick = |bound: u64| u64::from(rng.next_u32()) % bound;
    let key = pick(KEYS);
    let under_way = core.under_way.contains_key(&key);
    match pick(8) {
        0 if under_way => Step::Answer(key),
        1 if core.waiters.get(&key).is_some_and(|&waiters| waiters > 0) => Step::Leave(key),
        _ => Step::Ask(key),
    }
}

fn path(key: u64) -> String {
    format!("/live/demo/720p/{key}.ts")
}

async fn run(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let outcomes: BTreeMap<u64, Outcome> = (0..KEYS)
        .map(|key| match rng.next_u32() % 4 {
            0 => (key, Outcome::NotFound),
            _ => (key, Outcome::Whole),
        })
        .collect();
    let gates: BTreeMap<u64, Gate> = (0..KEYS).map(|key| (key, Gate::closed())).collect();
    let (script, answers) = (gates.clone(), outcomes.clone());
    let origin = FaultOrigin::start(move |arrived, _| {
        let file = arrived.target.rsplit('/').next().unwrap();
        let key: u64 = file.trim_end_matches(".ts").parse().unwrap();
        let answer = match answers[&key] {
            Outcome::Whole => Behaviour::ok(format!("segment {key}")),
            Outcome::NotFound => Behaviour::status(404),
        };
        Behaviour::Gated(script[&key].clone(), Box::new(answer))
    })
    .await;
    let limits = Limits {
        retries_per_flight_max: 0,
        segment_wait: std::time::Duration::from_secs(60),
        first_byte: std::time::Duration::from_secs(60),
        total: std::time::Duration::from_secs(60),
        ..Limits::default()
    };
    let edge = TestEdge::start_with(&origin.url(), MissQueue::Flights, limits);
    let mut core = Core::default();
    let mut waiting: BTreeMap<u64, Vec<(Word, TcpStream)>> = BTreeMap::new();
    let mut log = Vec::new();
    for _ in 0..STEPS {
        let step = draw(&mut rng, &core);
        log.push(step);
        let said = |what: &str| format!("seed {seed}: {what} after {log:?}");
        match step {
            Step::Ask(key) => {
                if core
                    .stored
                    .get(&key)
                    .is_some_and(|stored| stored.negative.is_some())
                {
                    // Its second is running in the real world alone: the twin asks no more.
                    continue;
                }
                let word = core.ask(key);
                let mut stream = client::send(edge.addr, "GET", &path(key), "", b"").await;
                if word == Word::Hit {
                    let reply = client::read_reply(&mut stream, false).await;
                    assert!(
                        reply.header("cache-status").contains("; hit"),
                        "{}",
                        said("no hit")
                    );
                } else {
                    waiting.entry(key).or_default().push((word, stream));
                    let expected: u32 = core.waiters.values().sum();
                    eventually(&said("the waiter is counted"), || {
                        edge.edge.waiters() == expected
                    })
                    .await;
                }
            }
            Step::Answer(key) => {
                let outcome = outcomes[&key];
                eventually(&said("the fetch has arrived"), || {
                    origin.hits(&path(key)) > 0
                })
                .await;
                core.answer(key, outcome);
                gates[&key].open();
                for (word, mut stream) in waiting.remove(&key).unwrap_or_default() {
                    let reply = client::read_reply(&mut stream, false).await;
                    let status = reply.header("cache-status");
                    let expected = match word {
                        Word::Lead => "fwd-status=",
                        _ => "collapsed",
                    };
                    assert!(
                        status.contains(expected),
                        "{}: {status}",
                        said("another word")
                    );
                    let code = if outcome == Outcome::Whole { 200 } else { 404 };
                    assert_eq!(reply.status, code, "{}", said("another answer"));
                }
                let left: u32 = core.waiters.values().sum();
                eventually(&said("all are served"), || edge.edge.waiters() == left).await;
            }
            Step::Leave(key) => {
                core.leave(key);
                let (_, stream) = waiting.get_mut(&key).unwrap().remove(0);
                client::reset(stream);
                let left: u32 = core.waiters.values().sum();
                eventually(&said("the leaver is gone"), || edge.edge.waiters() == left).await;
            }
        }
        let flights = core.flights.len();
        eventually(&said("as many flights"), || {
            edge.edge.flights_under_way() == flights
        })
        .await;
    }
    for key in 0..KEYS {
        let fetches = core.fetches.get(&key).copied().unwrap_or(0) as usize;
        eventually("every fetch has arrived", || {
            origin.hits(&path(key)) == fetches
        })
        .await;
    }
    assert_eq!(
        edge.metric("seawall_edge_duplicate_origin_fetches_total"),
        0.0
    );
    gates.values().for_each(Gate::open);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_alone_and_the_whole_edge_decide_alike() {
    for seed in 1..=6 {
        run(seed).await;
    }
}
