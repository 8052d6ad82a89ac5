//! Seeded random numbers for the tests of the closed forms: a test that fails once fails again with the same figure.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Random numbers for one test.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The same seed draws the same numbers.
    pub(super) fn of(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number drawn uniformly from [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next arrival of a Poisson process of this rate.
    pub(super) fn gap(&mut self, rate: f64) -> f64 {
        -libm::log(1.0 - self.uniform()) / rate
    }

    /// Number of arrivals of that process within `span`, and the sum of their waiting times until its end.
    pub(super) fn arrivals(&mut self, rate: f64, span: f64) -> (u64, f64) {
        let (mut count, mut waited) = (0, 0.0);
        let mut at = self.gap(rate);
        while at < span {
            count += 1;
            waited += span - at;
            at += self.gap(rate);
        }
        (count, waited)
    }
}

/// Panics unless the two values differ by at most `within`.
pub(super) fn close(value: f64, expected: f64, within: f64) {
    assert!(
        (value - expected).abs() <= within,
        "{value} is not {expected}"
    );
}
