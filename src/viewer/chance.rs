//! Chance: a generator for each draw, keyed by (seed, purpose, viewer), and the distributions that several draws use.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// What a generator is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Arrival = 1,
    Session = 2,
    Edge = 3,
    LastMile = 4,
    Channel = 5,
    Seek = 6,
    Early = 7,
    Intermission = 8,
    Retry = 9,
    Like = 10,
    LikeAgain = 11,
    /// In virtual time: how the viewers of a record are divided.
    Split = 12,
    /// In virtual time: how long the origin works.
    Origin = 13,
    /// In virtual time: how many viewers a cell has.
    Cell = 14,
    /// In virtual time: a random world.
    World = 15,
}

/// The generator for one purpose of one viewer.
pub(crate) fn generator(seed: u64, purpose: Purpose, viewer: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((purpose as u64) << 32) | u64::from(viewer));
    generator
}

/// A number from 0 to `count - 1`, evenly distributed.
pub(crate) fn below(count: u32, chance: &mut ChaCha8Rng) -> u32 {
    ((u64::from(chance.next_u32()) * u64::from(count.max(1))) >> 32) as u32
}

/// A rank from 0 to `count - 1` with a probability that falls as 1/(rank + 1).
pub(crate) fn zipf(count: u32, chance: &mut ChaCha8Rng) -> u32 {
    let whole: f64 = (1..=count.max(1)).map(|rank| 1.0 / f64::from(rank)).sum();
    let mut left = uniform(chance) * whole;
    for rank in 1..count {
        left -= 1.0 / f64::from(rank);
        if left < 0.0 {
            return rank - 1;
        }
    }
    count.saturating_sub(1)
}

/// A log-normal draw. `exp` comes from libm, so a run is the same on every machine.
pub(crate) fn log_normal(median: f64, sigma: f64, chance: &mut ChaCha8Rng) -> f64 {
    let deviation: f64 = StandardNormal.sample(chance);
    median * libm::exp(sigma * deviation)
}

/// A number from [0, 1), evenly distributed.
pub(crate) fn uniform(chance: &mut ChaCha8Rng) -> f64 {
    (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A duration; zero if the number is not a valid one.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
