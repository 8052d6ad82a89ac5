//! The audience: who arrives when, at which edge, for how long, over how fast a last mile.
//!
//! All of it is drawn beforehand from the seed, so arrivals are open-loop: a slow answer delays nobody else. Every draw
//! has a generator of its own, keyed by (seed, purpose, viewer), so a viewer more or less changes no other viewer.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, Gamma, StandardNormal};
use serde::{Deserialize, Serialize};

use super::abr;

/// How an audience comes, stays and goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// How many viewers.
    pub viewers: u32,
    /// When they arrive.
    pub arrivals: Arrivals,
    /// When they leave.
    pub sessions: Sessions,
    /// How fast their last mile is.
    pub last_mile: LastMile,
    /// How they choose a rendition.
    pub abr: abr::Mode,
    /// The renditions that they choose from, by name; others of the channel are left alone.
    pub renditions: Vec<String>,
}

/// When viewers arrive, counted from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// All in the same instant.
    AtOnce,
    /// After a push message: delays follow Gamma(shape, scale); what falls beyond `within_s` is drawn again.
    #[serde(rename_all = "snake_case")]
    Gamma {
        shape: f64,
        scale_s: f64,
        within_s: f64,
    },
}

/// When viewers leave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// All together when the event ends: `until_s` after the start of the run, spread evenly over `plunge_s`.
    #[serde(rename_all = "snake_case")]
    TheEnd { until_s: f64, plunge_s: f64 },
    /// Each this long after its own arrival.
    #[serde(rename_all = "snake_case")]
    Fixed { each_s: f64 },
    /// Log-normal: half of them leave within `median_s` of their arrival; nobody stays longer than `at_most_s`.
    #[serde(rename_all = "snake_case")]
    LogNormal {
        median_s: f64,
        sigma: f64,
        at_most_s: f64,
    },
}

/// The last mile: a log-normal bandwidth for each viewer, modelled in the viewer, not on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMile {
    /// Half of the viewers have less.
    pub median_bps: u64,
    /// Standard deviation of the bandwidth's logarithm.
    pub sigma: f64,
    /// Nobody has less.
    pub at_least_bps: u64,
}

/// One viewer's visit, as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who.
    pub viewer: u32,
    /// When it arrives, counted from the start of the run.
    pub arrives: Duration,
    /// When it leaves, counted from the start of the run.
    pub leaves: Duration,
    /// At which of the edges, counted from 0.
    pub edge: u32,
    /// Bandwidth of its last mile.
    pub last_mile_bps: u64,
}

/// Draws every visit, in the order of arrival.
pub fn draw(audience: &Audience, edges: u32, seed: u64) -> Vec<Visit> {
    let mut visits: Vec<_> = (0..audience.viewers)
        .map(|viewer| draw_visit(audience, edges.max(1), seed, viewer))
        .collect();
    visits.sort_by_key(|visit| (visit.arrives, visit.viewer));
    visits
}

fn draw_visit(audience: &Audience, edges: u32, seed: u64, viewer: u32) -> Visit {
    let generator = |purpose| generator(seed, purpose, viewer);
    let arrives = audience.arrivals.draw(&mut generator(Purpose::Arrival));
    Visit {
        viewer,
        arrives,
        leaves: audience
            .sessions
            .draw(arrives, &mut generator(Purpose::Session)),
        edge: ((u64::from(generator(Purpose::Edge).next_u32()) * u64::from(edges)) >> 32) as u32,
        last_mile_bps: audience.last_mile.draw(&mut generator(Purpose::LastMile)),
    }
}

/// What a generator is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Arrival = 1,
    Session = 2,
    Edge = 3,
    LastMile = 4,
}

fn generator(seed: u64, purpose: Purpose, viewer: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((purpose as u64) << 32) | u64::from(viewer));
    generator
}

impl Arrivals {
    /// How long after the start a viewer arrives.
    fn draw(&self, chance: &mut ChaCha8Rng) -> Duration {
        match *self {
            Self::AtOnce => Duration::ZERO,
            Self::Gamma {
                shape,
                scale_s,
                within_s,
            } => {
                let gamma = Gamma::new(shape, scale_s).expect("a scenario's numbers are checked");
                // A bound makes every scenario end: past 1,000 draws the last moment is taken.
                (0..1_000)
                    .map(|_| gamma.sample(chance))
                    .find(|&at_s| at_s <= within_s)
                    .map_or(seconds(within_s), seconds)
            }
        }
    }
}

impl Sessions {
    /// How long after the start of the run a viewer leaves that came at `arrives`.
    fn draw(&self, arrives: Duration, chance: &mut ChaCha8Rng) -> Duration {
        match *self {
            Self::TheEnd { until_s, plunge_s } => {
                seconds(until_s + plunge_s * uniform(chance)).max(arrives)
            }
            Self::Fixed { each_s } => arrives + seconds(each_s),
            Self::LogNormal {
                median_s,
                sigma,
                at_most_s,
            } => arrives + seconds(log_normal(median_s, sigma, chance).min(at_most_s)),
        }
    }
}

impl LastMile {
    fn draw(&self, chance: &mut ChaCha8Rng) -> u64 {
        let bps = log_normal(self.median_bps as f64, self.sigma, chance) as u64;
        bps.max(self.at_least_bps)
    }
}

/// `exp` comes from libm: a run is the same on every machine.
fn log_normal(median: f64, sigma: f64, chance: &mut ChaCha8Rng) -> f64 {
    let deviation: f64 = StandardNormal.sample(chance);
    median * libm::exp(sigma * deviation)
}

/// Evenly from [0, 1).
fn uniform(chance: &mut ChaCha8Rng) -> f64 {
    (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(viewers: u32) -> Audience {
        Audience {
            viewers,
            arrivals: Arrivals::Gamma {
                shape: 2.0,
                scale_s: 4.0,
                within_s: 40.0,
            },
            sessions: Sessions::TheEnd {
                until_s: 50.0,
                plunge_s: 2.0,
            },
            last_mile: LastMile {
                median_bps: 1_500_000,
                sigma: 0.8,
                at_least_bps: 300_000,
            },
            abr: abr::Mode::HlsJs,
            renditions: vec!["180p".to_owned()],
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_audience() {
        assert_eq!(draw(&audience(50), 3, 7), draw(&audience(50), 3, 7));
        assert_ne!(draw(&audience(50), 3, 7), draw(&audience(50), 3, 8));
    }

    #[test]
    fn one_viewer_more_changes_no_other() {
        let few = draw(&audience(50), 3, 7);
        let mut more = draw(&audience(51), 3, 7);
        more.retain(|visit| visit.viewer != 50);
        assert_eq!(few, more);
    }

    #[test]
    fn gamma_arrivals_have_the_mean_of_the_distribution() {
        let visits = draw(&audience(10_000), 3, 1);
        let mean_s = visits
            .iter()
            .map(|visit| visit.arrives.as_secs_f64())
            .sum::<f64>()
            / 10_000.0;
        assert!((mean_s - 8.0).abs() < 0.2, "{mean_s}");
        for edge in 0..3 {
            let share = visits.iter().filter(|visit| visit.edge == edge).count();
            assert!((3_100..3_570).contains(&share), "{share} at edge {edge}");
        }
        assert!(visits.is_sorted_by_key(|visit| visit.arrives));
        assert!(visits.iter().all(|visit| visit.last_mile_bps >= 300_000));
    }

    #[test]
    fn nobody_arrives_late_or_leaves_before_the_end() {
        let mut audience = audience(1_000);
        audience.arrivals = Arrivals::Gamma {
            shape: 2.0,
            scale_s: 4.0,
            within_s: 10.0,
        };
        for visit in draw(&audience, 1, 3) {
            assert!(visit.arrives <= Duration::from_secs(10));
            assert!((50..52).contains(&visit.leaves.as_secs()));
        }
    }

    #[test]
    fn half_of_log_normal_sessions_are_shorter_than_the_median() {
        let mut audience = audience(4_000);
        audience.sessions = Sessions::LogNormal {
            median_s: 60.0,
            sigma: 1.0,
            at_most_s: 600.0,
        };
        let visits = draw(&audience, 1, 3);
        let short = visits
            .iter()
            .filter(|visit| visit.leaves - visit.arrives < Duration::from_secs(60))
            .count();
        assert!((1_880..2_120).contains(&short), "{short}");
    }
}
