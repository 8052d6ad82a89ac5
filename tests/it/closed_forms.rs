//! Virtual time agrees with closed forms, one by one.
//!
//! Each form is measured in five small worlds, with the seeds 1 to 5. The formula must lie in the 99 % interval of the five
//! (Student's t), and the interval must be narrow, so that a wrong simulator cannot pass. `docs/simulation.md` lists the figures;
//! `cargo test --test it closed_forms -- --nocapture` prints them.

use std::collections::BTreeSet;
use std::time::Duration;

use seawall::config::keys::CapacitySettings;
use seawall::policy::capacity::{Capacity, Latency, Law};
use seawall::policy::status::MissQueue;
use seawall::report::record::{Kind, ResultWord};
use seawall::report::summary::{KindRow, Summary};
use seawall::run::simulated::{self, Planned};
use seawall::run::variation::Varied;
use seawall::scenario::{self, Fault, FaultKind};
use seawall::sim::lru::Policy;
use seawall::sim::plan::{NodePlan, Record};
use seawall::sim::play::Simulation;
use seawall::sim::replay::engine::{Outcome, Queue, Replay, Setup, Sizes};
use seawall::sim::replay::trace::Request;
use seawall::theory::collapse::{self, Demand};
use seawall::theory::erlang;
use seawall::theory::interval::{Confidence, Interval};
use seawall::theory::likes::LikesLoad;
use seawall::theory::lru;
use seawall::theory::retries;
use seawall::theory::spread;
use seawall::theory::starvation::Line;
use seawall::time::Timestamp;
use seawall::viewer::abr;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::{self, Choice, Sessions};
use seawall::viewer::player::{Chances, Seat};

use crate::support::chance::{Chance, zipf};

/// Every form is measured with these.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// Asserts that theory lies in the 99 % interval of five measured figures, and that the interval is at most this share of theory
/// wide to either side.
fn holds(form: &str, theory: f64, within: f64, measure: impl FnMut(u64) -> f64) {
    let measured: Vec<f64> = SEEDS.into_iter().map(measure).collect();
    agree(form, theory, within, &measured);
}

fn agree(form: &str, theory: f64, within: f64, measured: &[f64]) {
    let interval = Interval::of(measured, Confidence::Percent99).unwrap();
    let Interval { mean, half_width } = interval;
    let figures = format!("{form}: theory {theory:.5}, measured {mean:.5} ± {half_width:.5}");
    println!("{figures}");
    assert!(interval.contains(theory), "{figures} {measured:?}");
    assert!(half_width <= within * theory, "too wide: {figures}");
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A built-in scenario's published event with some keys set otherwise.
fn planned(name: &str, seed: u64, set: &[&str]) -> Planned {
    let mut varied = Varied {
        scenario: scenario::find(name).unwrap(),
        miss_queue: MissQueue::Flights,
    };
    for set in set {
        varied = varied.with(&set.parse().unwrap()).unwrap();
    }
    varied.scenario.seed = seed;
    Planned::sim(&varied.scenario, varied.miss_queue).unwrap()
}

fn play(planned: Planned) -> Summary {
    let mut simulation = Simulation::new(planned.plan);
    assert_eq!(simulation.settle(100_000_000), None);
    simulation.finish(planned.about).summary
}

fn of_kind(summary: &Summary, kind: Kind) -> &KindRow {
    let mut rows = summary.requests.iter();
    rows.find(|row| row.kind == kind).unwrap()
}

/// A world of single requests: each viewer asks its edge for the multivariant playlist of a stream, and leaves with the answer. So
/// requests come exactly when the test wants them. No bound of an edge is reached, and no failure is repeated.
struct Requests {
    planned: Planned,
}

impl Requests {
    fn at_edges(edges: u32, seed: u64, capacity: Capacity) -> Self {
        let mut planned = planned("celebrity-live", seed, &["viewers=1"]);
        let plan = &mut planned.plan;
        plan.nodes = (0..edges)
            .map(|edge| NodePlan {
                name: format!("edge-{}", edge + 1),
                group: edge,
                is_shield: false,
                shields: 0..0,
                shield_names: Vec::new(),
                prefetches: false,
                cache_bytes: 1 << 40,
            })
            .collect();
        plan.edges = edges;
        plan.capacity = capacity;
        plan.playlist_latency = None;
        plan.refreshes = false;
        plan.origin_round_trip = Duration::ZERO;
        // The answer to a viewer that has left is a moment late, so it asks for nothing more.
        plan.viewer_round_trip = Duration::from_nanos(1);
        let hour = Duration::from_secs(3_600);
        let limits = &mut plan.limits;
        limits.playlist_wait = hour;
        limits.total = hour;
        limits.first_byte = hour;
        limits.origin_queue_wait = hour;
        limits.origin_at_once_max = 1 << 30;
        limits.retries_per_flight_max = 0;
        // A breaker that opens lets the next request through at once.
        limits.breaker_wait = Duration::ZERO;
        limits.breaker_wait_max = Duration::ZERO;
        plan.visits.clear();
        Self { planned }
    }

    /// A viewer asks for a stream.
    fn ask(&mut self, at_s: f64, edge: u32, stream: u32) {
        let plan = &mut self.planned.plan;
        let arrives = Timestamp::ZERO + seconds(at_s);
        plan.visits.push(Record {
            weight: 1,
            spread: Duration::ZERO,
            seat: Seat {
                arrives,
                leaves: arrives + Duration::from_nanos(1),
                last_mile_bps: 1_000_000_000,
                unix_at_zero: plan.streams.unix_at_zero,
                abr: abr::Rule::HlsJs,
                manners: plan.manners,
                early: false,
                seeks: None,
                chances: Chances {
                    seed: plan.seed,
                    viewer: plan.visits.len() as u32,
                },
            },
            edge,
            stream,
            rendition: Some(0),
        });
    }

    /// Poisson arrivals, each for a stream of its own, at all edges in turn. So every one of them reaches the origin.
    fn each_its_own(mut self, count: u32, rate_per_s: f64) -> Self {
        let edges = self.planned.plan.edges;
        let arrivals = Chance::of(self.planned.plan.seed).poisson(rate_per_s);
        for (stream, at_s) in (0..count).zip(arrivals) {
            self.ask(at_s, stream % edges, stream);
        }
        self
    }

    fn play(self) -> Summary {
        play(self.planned)
    }
}

fn origin(slots: Option<u32>, queue: u32, mean_s: f64, law: Law) -> Capacity {
    Capacity {
        slots,
        queue,
        latency: Latency {
            mean: seconds(mean_s),
            law,
        },
        bandwidth_bps: None,
    }
}

#[test]
fn one_key_is_fetched_once_in_each_lifetime_fetch_and_gap() {
    // A multivariant playlist is fresh for 30 s. All three terms of the cycle matter: T + L + 1/r = 30 + 10 + 5 s.
    let demand = Demand {
        rate_per_s: 0.2,
        fetch: Duration::from_secs(10),
        lifetime: Duration::from_secs(30),
    };
    const REQUESTS: usize = 5_000;
    let runs = SEEDS.map(|seed| {
        let mut world = Requests::at_edges(1, seed, origin(None, 0, 10.0, Law::Fixed));
        let arrivals = Chance::of(seed).poisson(demand.rate_per_s);
        let mut span_s = 0.0;
        for at_s in arrivals.take(REQUESTS) {
            world.ask(at_s, 0, 0);
            span_s = at_s;
        }
        let summary = world.play();
        let words = of_kind(&summary, Kind::Multivariant).words.clone();
        let hits = summary.origin.measured.multivariant;
        assert_eq!(hits, words[&ResultWord::Miss]);
        let share = |word| words[&word] as f64 / REQUESTS as f64;
        [
            hits as f64 / span_s,
            share(ResultWord::Miss),
            share(ResultWord::Collapsed),
            share(ResultWord::Hit),
        ]
    });
    for (index, (form, theory)) in [
        ("one key: origin/s", demand.origin_rate_collapsed()),
        ("one key: misses", demand.miss_share()),
        ("one key: collapsed", demand.collapsed_share()),
        ("one key: hits", demand.hit_share()),
    ]
    .into_iter()
    .enumerate()
    {
        agree(form, theory, 0.05, &runs.map(|run| run[index]));
    }
}

#[test]
fn one_key_of_a_trace_is_fetched_as_often() {
    let demand = Demand {
        rate_per_s: 100.0,
        fetch: Duration::from_millis(50),
        lifetime: Duration::from_secs(1),
    };
    const REQUESTS: usize = 60_000;
    let runs = SEEDS.map(|seed| {
        let mut replay = Replay::new(Setup {
            cache_bytes: 1,
            policy: Policy::Lru,
            latency: demand.fetch,
            fresh: Some(demand.lifetime),
            queue: Queue::Waits,
            sizes: Sizes::Whole,
        });
        let (mut span_s, mut waited_s) = (0.0, 0.0);
        for at_s in Chance::of(seed).poisson(demand.rate_per_s).take(REQUESTS) {
            span_s = at_s;
            let request = Request {
                time: Timestamp::ZERO + seconds(at_s),
                key: b"a",
                size: 1,
            };
            waited_s += match replay.on_request(&request).unwrap() {
                Outcome::Hit => 0.0,
                Outcome::DelayedHit(rest) => rest.as_secs_f64(),
                Outcome::Miss | Outcome::Expired => demand.fetch.as_secs_f64(),
            };
        }
        let counts = replay.finish().counts();
        let all = REQUESTS as f64;
        [
            counts.misses as f64 / span_s,
            counts.delayed_hits as f64 / all,
            counts.hits as f64 / all,
            1e3 * waited_s / all,
        ]
    });
    for (index, (form, theory)) in [
        ("trace: origin/s", demand.origin_rate_collapsed()),
        ("trace: collapsed", demand.collapsed_share()),
        ("trace: hits", demand.hit_share()),
        ("trace: added ms", demand.delay_mean_s() * 1e3),
    ]
    .into_iter()
    .enumerate()
    {
        agree(form, theory, 0.05, &runs.map(|run| run[index]));
    }
}

/// Plays an event and the same event that lasts ten segments longer: `figures` of the ten segments, without what joining and
/// leaving viewers do.
fn ten_segments<const N: usize>(
    seed: u64,
    set: &[&str],
    figures: impl Fn(&Summary) -> [u64; N],
) -> [u64; N] {
    let of = |until_s: u32| {
        let end = format!("sessions={{ the-end = {{ until_s = {until_s}.0, plunge_s = 1.0 }} }}");
        let summary = play(planned("celebrity-live", seed, &[set, &[&end]].concat()));
        assert_eq!(summary.origin.segments_off, Some(0));
        figures(&summary)
    };
    let (short, long) = (of(90), of(120));
    std::array::from_fn(|index| long[index] - short[index])
}

#[test]
fn a_herd_for_one_segment_costs_one_miss_and_as_many_wait_as_come_during_its_fetch() {
    // Where a player decides for a thousand, it leads, and the others come evenly until the next player.
    for (form, within, viewers, players, origin) in [
        ("herd, a player each", 0.15, 4_000, 1_000, 300),
        ("herd, a player for 1,000", 0.02, 100_000, 10, 200),
    ] {
        let viewers_set = format!("viewers={viewers}");
        let players_set = format!("players_per_cell={players}");
        let origin_set = format!("origin_ms={origin}");
        let set = [
            &*viewers_set,
            &players_set,
            &origin_set,
            "renditions=10",
            "pops=1",
            "shield_groups=0",
            "viewer_ms=0",
            // Playlists cost no time, so that viewers keep the phases with which they came.
            "origin_playlist_ms=0",
            "arrivals={ steady = { over_s = 30.0 } }",
        ];
        // N requests come evenly over D, and those within L of the first wait for it: N x on average, with x = L / D.
        let (fetch, segment) = (Duration::from_millis(origin), Duration::from_secs(3));
        let theory = collapse::fetches_uncollapsed(viewers / 10, fetch, segment) - 1.0;
        holds(form, theory, within, |seed| {
            let [collapsed, keys, hits] = ten_segments(seed, &set, |summary| {
                assert_eq!(summary.origin.most_per_key, Some(1));
                let words = &of_kind(summary, Kind::Segment).words;
                let origin = &summary.origin;
                [
                    words[&ResultWord::Collapsed],
                    origin.keys,
                    origin.measured.segment,
                ]
            });
            assert_eq!([keys, hits], [100; 2]);
            collapsed as f64 / keys as f64
        });
    }
}

#[test]
fn a_thousand_viewers_leave_some_of_three_hundred_points_of_presence_empty() {
    const BLOCKS: u32 = 30;
    let mut scenario = scenario::find("celebrity-live").unwrap();
    let real = &mut scenario.real;
    real.audience.arrivals = Arrivals::Steady { over_s: 2.0 };
    real.audience.sessions = Sessions::Fixed { each_s: 4.0 };
    real.audience.abr = abr::Mode::Fixed("180p".to_owned());
    real.cluster.edges = 300;
    real.cluster.origin = CapacitySettings::default();
    let choice = Choice {
        edges: 300,
        channels: 1,
    };
    holds(
        "occupied PoPs",
        spread::edges_occupied(300, 1_000),
        0.01,
        |seed| {
            scenario.real.audience.viewers = 1_000 * BLOCKS;
            let visits = audience::draw(&scenario.real.audience, choice, seed);
            let mut occupied = vec![BTreeSet::new(); BLOCKS as usize];
            for visit in visits {
                occupied[(visit.viewer / 1_000) as usize].insert(visit.edge);
            }
            // The first thousand are played: as many edges fetch each object as have a viewer.
            scenario.seed = seed;
            scenario.real.audience.viewers = 1_000;
            let planned = Planned::real(&scenario, MissQueue::Flights, simulated::began());
            let measured = play(planned).origin.measured;
            assert_eq!(measured.per_client.len(), occupied[0].len());
            assert_eq!(measured.multivariant, occupied[0].len() as u64);
            let all: usize = occupied.iter().map(BTreeSet::len).sum();
            all as f64 / f64::from(BLOCKS)
        },
    );
}

#[test]
fn at_the_published_size_the_renditions_of_a_point_of_presence_are_drawn_alike() {
    // How many viewers a point of presence has is no draw: shares of Zipf's law, rounded. Each of its viewers draws one of the
    // renditions. So the expected number of cells with a viewer is a sum over the points of presence.
    let set = [
        "viewers=1000",
        "pops=300",
        "shield_groups=0",
        "renditions=10",
        "arrivals={ steady = { over_s = 3.0 } }",
    ];
    let mut theory = 0.0;
    let measured = SEEDS.map(|seed| {
        let mut viewers = [0_u64; 300];
        for visit in planned("celebrity-live", seed, &set).plan.visits {
            viewers[visit.edge as usize] += u64::from(visit.weight);
        }
        assert_eq!(viewers[..3], [159, 80, 53]);
        let cells = viewers.map(|viewers| spread::edges_occupied(10, viewers));
        theory = cells.iter().sum();
        let [hits] = ten_segments(seed, &set, |summary| [summary.origin.measured.segment]);
        hits as f64 / 10.0
    });
    agree("occupied cells", theory, 0.02, &measured);
}

#[test]
fn each_group_of_shields_asks_the_origin_once_for_each_segment() {
    for groups in [1_u64, 2, 4] {
        let shields = format!("shield_groups={groups}");
        let set = [
            &*shields,
            "viewers=4000",
            "pops=20",
            "players_per_cell=4",
            "arrivals={ steady = { over_s = 30.0 } }",
        ];
        for seed in SEEDS {
            let [hits, segments] = ten_segments(seed, &set, |summary| {
                assert_eq!(summary.origin.most_per_key, Some(1));
                assert_eq!(summary.origin.measured.most_per_segment, groups);
                [summary.origin.measured.segment, summary.origin.segments]
            });
            // Four renditions of ten segments.
            assert_eq!([hits, segments], [groups * 40, 40]);
            let rate = spread::segment_rate(groups, 4, Duration::from_secs(3));
            assert_eq!(hits as f64 / 30.0, rate);
        }
    }
}

#[test]
fn an_lru_hits_as_king_and_che_say() {
    for (form, theory, weights, kept, requests) in [
        (
            "LRU, King",
            lru::king as fn(&[f64], usize) -> f64,
            zipf(10, 0.8),
            4,
            40_000,
        ),
        ("LRU, Che", lru::che, zipf(2_000, 0.8), 100, 60_000),
    ] {
        holds(form, theory(&weights, kept), 0.02, |seed| {
            let mut replay = Replay::new(Setup {
                cache_bytes: kept as u64,
                policy: Policy::Lru,
                latency: Duration::ZERO,
                fresh: None,
                queue: Queue::Waits,
                sizes: Sizes::Whole,
            });
            // The cache fills first.
            let (warm_up, mut hits) = (20 * kept, 0);
            let objects = Chance::of(seed).objects(&weights).take(warm_up + requests);
            for (nth, object) in objects.enumerate() {
                let request = Request {
                    time: Timestamp::ZERO,
                    key: &object.to_le_bytes(),
                    size: 1,
                };
                let outcome = replay.on_request(&request).unwrap();
                hits += u32::from(outcome == Outcome::Hit && nth >= warm_up);
            }
            f64::from(hits) / requests as f64
        });
    }
}

#[test]
fn an_origin_without_a_queue_sheds_as_erlang_says_whatever_its_law() {
    const REQUESTS: u32 = 30_000;
    // Ten slots of 100 ms under 80 requests per second.
    for (form, law, queue) in [
        ("Erlang-B, fixed", Law::Fixed, 0),
        ("Erlang-B, exponential", Law::Exponential, 0),
        ("M/M/10/15", Law::Exponential, 5),
    ] {
        let theory = erlang::shed_share_queued(10, queue, 8.0);
        holds(form, theory, 0.15, |seed| {
            let capacity = origin(Some(10), queue, 0.1, law);
            let world = Requests::at_edges(4, seed, capacity).each_its_own(REQUESTS, 80.0);
            let measured = world.play().origin.measured;
            assert_eq!(measured.multivariant, u64::from(REQUESTS));
            measured.shed as f64 / f64::from(REQUESTS)
        });
    }
}

#[test]
fn at_one_slot_a_request_waits_as_pollaczek_and_khinchine_say() {
    const REQUESTS: u32 = 15_000;
    let service = Duration::from_millis(10);
    let load = LikesLoad {
        rate_per_s: 60.0,
        service,
    };
    let theory = 1e3 * load.wait_mean_s().unwrap();
    holds("M/D/1: wait in ms", theory, 0.15, |seed| {
        let capacity = origin(Some(1), u32::MAX, service.as_secs_f64(), Law::Fixed);
        let world = Requests::at_edges(2, seed, capacity).each_its_own(REQUESTS, 60.0);
        let mut simulation = Simulation::new(world.planned.plan);
        // Little's law: the requests in the world, integrated over time, are the times of all of them.
        let mut viewer_s = 0.0;
        loop {
            let (before, waiting) = (simulation.now(), simulation.progress().waiting);
            let goes_on = simulation.advance(1, Timestamp::from_nanos(u64::MAX));
            viewer_s += f64::from(waiting) * simulation.now().since(before).as_secs_f64();
            if !goes_on {
                break;
            }
        }
        assert_eq!(simulation.progress().origin, u64::from(REQUESTS));
        1e3 * (viewer_s / f64::from(REQUESTS) - service.as_secs_f64())
    });
}

#[test]
fn an_edge_that_tries_again_costs_and_saves_what_the_sum_of_powers_says() {
    const REQUESTS: u32 = 16_000;
    // An attempt fails if the origin takes longer than the edge waits for a first byte: with probability p, each by its own draw.
    let world = |seed, p: f64| {
        let mut world = Requests::at_edges(1, seed, origin(None, 0, 0.1, Law::Exponential));
        world.planned.plan.limits.first_byte = seconds(-0.1 * libm::log(p));
        world
    };
    let of = |world: Requests| {
        let summary = world.each_its_own(REQUESTS, 10.0).play();
        let row = of_kind(&summary, Kind::Multivariant);
        assert_eq!(row.total, u64::from(REQUESTS));
        let delivered = row.statuses[&200];
        (summary.origin.measured.multivariant, delivered)
    };
    let all = f64::from(REQUESTS);
    let runs = SEEDS.map(|seed| {
        let mut world = world(seed, 0.3);
        let limits = &mut world.planned.plan.limits;
        limits.retries_per_flight_max = 2;
        // A budget that is never used up.
        limits.retry_budget_percent = 1_000;
        let (attempts, delivered) = of(world);
        [attempts as f64 / all, 1.0 - delivered as f64 / all]
    });
    let (attempts, failed) = (
        retries::attempts_mean(0.3, 2),
        retries::failed_share(0.3, 2),
    );
    agree("retries: attempts", attempts, 0.02, &runs.map(|run| run[0]));
    agree("retries: failed", failed, 0.3, &runs.map(|run| run[1]));

    // The usual budget: ten retries at first, and one more for ten good fills. Without it two attempts would be made.
    let (p, share, saved) = (0.5, 0.1, 10.0);
    let theory = (1.0 - p) * (1.0 + saved / all) / (1.0 - share * (1.0 - p));
    holds(
        "retries: delivered within the budget",
        theory,
        0.03,
        |seed| {
            let mut world = world(seed, p);
            world.planned.plan.limits.retries_per_flight_max = 10;
            assert_eq!(world.planned.plan.limits.retry_budget_percent, 10);
            let (attempts, delivered) = of(world);
            let granted = attempts - u64::from(REQUESTS);
            // Up to one retry of the budget is left at the end.
            let budget = saved as u64 + delivered / 10;
            assert!(
                (budget - 1..=budget).contains(&granted),
                "{granted} of {budget}"
            );
            delivered as f64 / all
        },
    );
}

#[test]
fn viewers_that_try_again_at_a_failing_origin_cost_as_much() {
    // A player asks once more for a multivariant playlist. The fault fails 30 of 100 answers, spread evenly over all requests, so
    // the attempts of a viewer are independent of each other only in a crowd: many others ask, through another edge.
    const VIEWERS: u32 = 2_000;
    const OTHERS: u32 = 40_000;
    let runs = SEEDS.map(|seed| {
        let mut world = Requests::at_edges(2, seed, origin(None, 0, 0.01, Law::Fixed));
        let viewers = Chance::of(seed).poisson(20.0).take(VIEWERS as usize);
        for (stream, at_s) in (0..).zip(viewers) {
            world.ask(at_s, 0, stream);
        }
        let plan = &mut world.planned.plan;
        for visit in &mut plan.visits {
            // The second attempt comes after one to three seconds.
            visit.seat.leaves = visit.seat.arrives + Duration::from_secs(4);
        }
        plan.faults = vec![Fault {
            at_s: 0.0,
            until_s: None,
            what: FaultKind::OriginUnavailable(30.0),
        }];
        let others = Chance::of(seed + 5).poisson(400.0).take(OTHERS as usize);
        for (stream, at_s) in (VIEWERS..).zip(others) {
            world.ask(at_s, 1, stream);
        }
        let visits = &mut world.planned.plan.visits;
        visits.sort_by_key(|visit| visit.seat.arrives);
        let summary = world.play();
        let attempts = summary.origin.measured.multivariant - u64::from(OTHERS);
        let failed =
            of_kind(&summary, Kind::Multivariant).statuses[&503] - summary.edges[1].failures;
        let second = attempts - u64::from(VIEWERS);
        let all = f64::from(VIEWERS);
        [attempts as f64 / all, (failed - second) as f64 / all]
    });
    let (attempts, failed) = (
        retries::attempts_mean(0.3, 1),
        retries::failed_share(0.3, 1),
    );
    let of = |index: usize| runs.map(|run: [f64; 2]| run[index]);
    agree("viewers' retries: attempts", attempts, 0.02, &of(0));
    agree("viewers' retries: failed", failed, 0.2, &of(1));
}

#[test]
fn a_line_that_is_too_slow_stalls_for_the_share_that_it_lacks() {
    let set = [
        "viewers=200",
        "pops=1",
        "shield_groups=0",
        "renditions=1",
        "segment_s=2",
        "window=60",
        "viewer_ms=0",
        "origin_ms=1",
        "arrivals={ steady = { over_s = 10.0 } }",
        "sessions={ the-end = { until_s = 150.0, plunge_s = 1.0 } }",
        "players_per_cell=200",
    ];
    let short = Line {
        throughput_bps: 320_000.0,
        bitrate_bps: 400_000.0,
    };
    holds(
        "too slow a line: share stalled",
        short.stall_ratio(),
        0.05,
        |seed| {
            let mut planned = planned("celebrity-live", seed, &set);
            assert_eq!(planned.plan.streams.ladder[0].average_bps, 400_000);
            for visit in &mut planned.plan.visits {
                visit.seat.last_mile_bps = 320_000;
            }
            let mut simulation = Simulation::new(planned.plan);
            assert_eq!(simulation.settle(100_000_000), None);
            // The first stall comes when the first buffer is played. From then on each segment takes 2.5 s for 2 s.
            let series = simulation.finish(planned.about).series;
            let steady = Duration::from_secs(60)..Duration::from_secs(119);
            let within = series.buckets.iter();
            let within = within.filter(|bucket| steady.contains(&bucket.from));
            let stalled = within.map(|bucket| bucket.rebuffering * bucket.width.as_secs_f64());
            stalled.sum::<f64>() / (200.0 * 59.0)
        },
    );
}

#[test]
fn a_point_of_presence_more_changes_nothing_at_the_others() {
    // 1,370 and 1,470 viewers by Zipf's law: 600, 300, 200, 150, 120, and 100 at the sixth.
    let of = |pops: &str, viewers: &str| {
        let set = [
            pops,
            viewers,
            "shield_groups=0",
            "players_per_cell=8",
            "arrivals={ steady = { over_s = 20.0 } }",
            "sessions={ fixed = { each_s = 30.0 } }",
        ];
        let planned = planned("celebrity-live", 1, &set);
        let visits = planned.plan.visits.iter();
        let visits: Vec<_> = visits
            .filter(|visit| visit.edge < 5)
            .map(|visit| format!("{visit:?}"))
            .collect();
        let mut edges = play(planned).edges;
        edges.truncate(5);
        assert_eq!(edges.iter().map(|edge| edge.viewers).sum::<u64>(), 1_370);
        assert!(
            edges
                .iter()
                .all(|edge| edge.words[&ResultWord::Collapsed] > 0)
        );
        (visits, format!("{edges:#?}"))
    };
    let (five, six) = (of("pops=5", "viewers=1370"), of("pops=6", "viewers=1470"));
    assert_eq!(five, six);
}

#[test]
fn a_seed_plays_the_same_events_beside_other_simulations_as_alone() {
    let hash = |seed| {
        let set = [
            "viewers=4000",
            "pops=10",
            "players_per_cell=8",
            "origin_law=exponential",
            "arrivals={ steady = { over_s = 20.0 } }",
            "sessions={ fixed = { each_s = 40.0 } }",
        ];
        let simulated = play(planned("celebrity-live", seed, &set)).simulated;
        simulated.unwrap().event_hash
    };
    let alone = hash(1);
    let together = std::thread::scope(|scope| {
        let begun = [1, 1, 2].map(|seed| scope.spawn(move || hash(seed)));
        begun.map(|thread| thread.join().unwrap())
    });
    assert_eq!(together[..2], [alone.clone(), alone.clone()]);
    assert_ne!(together[2], alone);
}
