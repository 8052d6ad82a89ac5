//! Seeded random numbers for traces and arrivals. The worlds of virtual time draw theirs elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Random numbers of one seed.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from [0, 1), evenly distributed.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Arrivals of a Poisson process of this rate, in seconds.
    pub(crate) fn poisson(mut self, rate_per_s: f64) -> impl Iterator<Item = f64> {
        let mut at_s = 0.0;
        std::iter::from_fn(move || {
            at_s -= libm::log(1.0 - self.uniform()) / rate_per_s;
            Some(at_s)
        })
    }

    /// Independent requests for objects with these weights.
    pub(crate) fn objects(mut self, weights: &[f64]) -> impl Iterator<Item = u32> + use<> {
        let mut sum = 0.0;
        let sums: Vec<_> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        std::iter::from_fn(move || {
            let at = sum * self.uniform();
            let object = sums.partition_point(|&sum| sum <= at);
            Some(object.min(sums.len() - 1) as u32)
        })
    }
}

/// Weights by Zipf's law: 1/rank^exponent.
pub(crate) fn zipf(objects: u32, exponent: f64) -> Vec<f64> {
    let ranks = 1..=objects;
    ranks
        .map(|rank| libm::pow(rank.into(), -exponent))
        .collect()
}
