//! One schedule through the pure core alone and through the whole edge: both must make the same decisions, step by step.
//!
//! The core is the code in `policy`: the table of flights, the state machine of each, and the effect of a landing on the store.
//! The edge is the real one, over sockets, with an origin that answers when the schedule says so. After each step the test
//! compares what both did.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use http::StatusCode;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use seawall::policy::admission::Class;
use seawall::policy::collapse::{Boarding, Flights, Generation};
use seawall::policy::edge::{Decision, Stored};
use seawall::policy::flight::{Action, Attempt, Flight, Reason, Subject, Surroundings};
use seawall::policy::freshness::Validity;
use seawall::policy::key::Kind;
use seawall::policy::landing;
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

/// The next step.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A viewer asks for this key.
    Ask(u64),
    /// The origin answers the fetch of this key.
    Answer(u64),
    /// A waiter for this key resets the connection.
    Leave(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Whole,
    NotFound,
}

/// The result word of a request, from both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Lead,
    Follow,
    Hit,
    Negative,
}

/// The pure core alone.
#[derive(Default)]
struct Core {
    flights: Flights<u64, ()>,
    stored: HashMap<u64, Stored>,
    under_way: HashMap<u64, (Generation, Flight)>,
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
                let subject = Subject {
                    kind: Kind::Segment,
                    segment: Some(key),
                    foreign: false,
                };
                let limits = Limits::default();
                let flight = Flight::begin(subject, Reason::Miss, false, true, &limits, now, None);
                assert_eq!(flight.poll(), Action::Ask(Class::LiveEdge, Reason::Miss));
                self.under_way.insert(key, (generation, flight));
                *self.fetches.entry(key).or_default() += 1;
                Word::Lead
            }
            Boarding::Follow(..) => Word::Follow,
            Boarding::Shed(shed) => panic!("{shed:?}"),
        }
    }

    fn answer(&mut self, key: u64, answer: Answer) -> u32 {
        let now = Timestamp::ZERO;
        let (generation, mut flight) = self.under_way.remove(&key).unwrap();
        let attempt = match answer {
            Answer::Whole => Attempt::Whole,
            Answer::NotFound => Attempt::Refused(StatusCode::NOT_FOUND),
        };
        flight.handle_attempt(attempt, now, Surroundings::default());
        let Action::Land(outcome) = flight.poll() else {
            panic!("nothing is known that would be worth waiting for: {flight:?}")
        };
        let validity = Validity::of_live(now, Duration::ZERO, None, Kind::Segment, None, 50);
        let before = self.stored.get(&key).copied().unwrap_or_default();
        let keep = landing::keep(&outcome, before.negative, now);
        self.stored.insert(key, keep.facts(before, Some(validity)));
        self.waiters.remove(&key);
        self.flights.land(&key, generation).unwrap().followers
    }

    fn leave(&mut self, key: u64) {
        let (generation, _) = &self.under_way[&key];
        self.flights.leave(&key, *generation);
        *self.waiters.get_mut(&key).unwrap() -= 1;
    }
}

/// Draws the next step.
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
    let outcomes: BTreeMap<u64, Answer> = (0..KEYS)
        .map(|key| match rng.next_u32() % 4 {
            0 => (key, Answer::NotFound),
            _ => (key, Answer::Whole),
        })
        .collect();
    let gates: BTreeMap<u64, Gate> = (0..KEYS).map(|key| (key, Gate::closed())).collect();
    let (script, answers) = (gates.clone(), outcomes.clone());
    let origin = FaultOrigin::start(move |arrived, _| {
        let file = arrived.target.rsplit('/').next().unwrap();
        let key: u64 = file.trim_end_matches(".ts").parse().unwrap();
        let answer = match answers[&key] {
            Answer::Whole => Behaviour::ok(format!("segment {key}")),
            Answer::NotFound => Behaviour::status(404),
        };
        Behaviour::Gated(script[&key].clone(), Box::new(answer))
    })
    .await;
    let limits = Limits {
        retries_per_flight_max: 0,
        segment_wait: Duration::from_secs(60),
        first_byte: Duration::from_secs(60),
        total: Duration::from_secs(60),
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
                    // The remembered failure expires in real time only, which the core does not see. So the test skips this
                    // key.
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
                    let code = if outcome == Answer::Whole { 200 } else { 404 };
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
