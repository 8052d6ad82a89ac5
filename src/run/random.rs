//! Random worlds with random faults: each is drawn from a seed, played in virtual time, and held to what must never happen.

use crate::config::shields::Shields;
use crate::hls::ladder::Rendition;
use crate::policy::capacity::Law;
use crate::policy::status::MissQueue;
use crate::run::simulated;
use crate::scenario::{self, Fault, FaultKind, Scenario};
use crate::sim::play::Simulation;
use crate::viewer::abr;
use crate::viewer::arrivals::Arrivals;
use crate::viewer::audience::{Failover, Polling, Retries, Sessions};
use crate::viewer::chance::{self, Purpose};
use crate::viewer::likes::{Burst, LikesPlan};

/// A world that was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// Number of events.
    pub events: u64,
    /// What has happened that must never happen.
    pub broken: Option<&'static str>,
}

/// Events after which a world is taken to go round for ever.
const EVENTS_MAX: u64 = 20_000_000;

/// Plays the world of a seed.
pub fn play(seed: u64) -> Played {
    let (scenario, miss_queue) = draw(seed);
    let mut plan = simulated::of_real(&scenario, miss_queue, simulated::began());
    // Few permits and short queues, so that flights wait, are displaced, and are shed.
    let mut chance = chance::generator(seed, Purpose::World, 1);
    plan.limits.origin_at_once_max = 1 + chance::below(12, &mut chance) as usize;
    plan.limits.origin_queued_max = 1 + chance::below(6, &mut chance) as usize;
    let mut simulation = Simulation::new(plan);
    let broken = simulation.settle(EVENTS_MAX);
    Played {
        events: simulation.progress().events,
        broken,
    }
}

/// The world of a seed.
fn draw(seed: u64) -> (Scenario, MissQueue) {
    let mut chance = chance::generator(seed, Purpose::World, 0);
    let mut scenario = scenario::built_in().swap_remove(0);
    let mut one_of = |count: u32| chance::below(count, &mut chance);
    scenario.seed = seed;
    scenario.real.faults.clear();
    let real = &mut scenario.real;
    let until_s = 20.0 + f64::from(one_of(60));
    let cluster = &mut real.cluster;
    cluster.edges = 1 + one_of(5);
    cluster.processes = false;
    cluster.shields = (one_of(2) == 0).then(|| Shields {
        groups: 1 + one_of(2),
        per_group: 1 + one_of(3),
    });
    cluster.parts_per_segment = [3, 6, 9, 12][one_of(4) as usize];
    cluster.window = 4 + u64::from(one_of(8));
    cluster.channels = 1 + one_of(3);
    cluster.cache_bytes = Some([1 << 20, 4 << 20, 512 << 20][one_of(3) as usize]);
    cluster.playlist_fresh_percent = Some([0, 25, 50, 100][one_of(4) as usize]);
    cluster.prefetch = Some(one_of(2) == 0);
    cluster.refresh = Some(one_of(4) > 0);
    cluster.origin.latency_ms = [0.0, 5.0, 50.0, 300.0, 1_500.0, 2_500.0][one_of(6) as usize];
    cluster.origin.law = Law::ALL[one_of(3) as usize];
    cluster.origin.slots = (one_of(2) == 0).then(|| 1 + one_of(20));
    cluster.origin.queue = one_of(30);
    cluster.origin.bandwidth_bps = (one_of(3) == 0).then(|| 1_000_000 << one_of(8));
    let audience = &mut real.audience;
    audience.viewers = 1 + one_of(80);
    audience.arrivals = match one_of(3) {
        0 => Arrivals::AtOnce,
        1 => Arrivals::Steady {
            over_s: until_s / 2.0,
        },
        _ => Arrivals::Ramp { over_s: 5.0 },
    };
    audience.sessions = match one_of(2) {
        0 => Sessions::TheEnd {
            until_s,
            plunge_s: 1.0,
        },
        _ => Sessions::LogNormal {
            median_s: until_s / 3.0,
            sigma: 1.0,
            at_most_s: until_s,
        },
    };
    let names = Rendition::known().map(|rendition| rendition.name);
    audience.renditions = names[..1 + one_of(3) as usize].to_vec();
    audience.abr = match one_of(3) {
        0 => abr::Mode::Fixed(audience.renditions[0].clone()),
        1 => abr::Mode::Throughput,
        _ => abr::Mode::HlsJs,
    };
    audience.manners.failover =
        [Failover::None, Failover::NextEdge, Failover::Steering][one_of(3) as usize];
    audience.manners.polling = [Polling::Spec, Polling::Aggressive][one_of(2) as usize];
    audience.manners.retries = [Retries::Doubling, Retries::FullJitter][one_of(2) as usize];
    audience.manners.early_percent = f64::from(one_of(3)) * 20.0;
    let edges = cluster.edges;
    let faults = (0..one_of(6)).map(|_| {
        let at_s = f64::from(one_of(until_s as u32));
        let edge = 1 + one_of(edges);
        Fault {
            at_s,
            // What is never mended stays so until the end.
            until_s: (one_of(5) > 0).then(|| at_s + 0.5 + f64::from(one_of(20))),
            what: match one_of(9) {
                0 => FaultKind::EdgeKilled(edge),
                1 => FaultKind::EdgeSilent(edge),
                2 => FaultKind::EdgeRestarted(edge),
                3 => FaultKind::OriginSlow(f64::from(one_of(4_000))),
                4 => FaultKind::OriginUnavailable(f64::from(one_of(101))),
                5 => FaultKind::OriginStopped,
                6 => FaultKind::StreamStalled,
                7 => FaultKind::ClockDrift(f64::from(one_of(900))),
                _ => FaultKind::ViewersOffline(f64::from(one_of(101))),
            },
        }
    });
    // Two faults of one target at once would end each other.
    for fault in faults.collect::<Vec<_>>() {
        if !real.faults.iter().any(|other| fault.meets(other)) {
            real.faults.push(fault);
        }
    }
    real.likes = (one_of(2) == 0).then(|| LikesPlan {
        per_s: f64::from(1 + one_of(300)),
        like_percent: 20.0,
        unlike_percent: 5.0,
        hearts_max: 5,
        bursts: vec![Burst {
            at_s: 5.0,
            over_s: 3.0,
            per_s: f64::from(1 + one_of(20_000)),
        }],
    });
    let miss_queue = match one_of(4) {
        0 => MissQueue::Off,
        _ => MissQueue::Flights,
    };
    (scenario, miss_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_in_random_worlds_that_must_never_happen() {
        for seed in 1..=200 {
            let played = play(seed);
            assert_eq!(
                played.broken, None,
                "seed {seed}: seawall simulate --random-faults 1 --seed {seed}"
            );
        }
    }

    #[test]
    fn a_world_is_the_same_each_time() {
        assert_eq!(play(5), play(5));
        assert_eq!(draw(5).0, draw(5).0);
        assert_ne!(draw(5).0, draw(6).0);
    }
}
