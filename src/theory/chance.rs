//! What the tests of the closed forms draw from: seeded, so that a figure that fails once fails again.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Chance for one test.
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The same seed draws the same numbers.
    pub(super) fn of(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Evenly from [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next arrival of a Poisson process with this many per unit of time.
    pub(super) fn gap(&mut self, rate: f64) -> f64 {
        -libm::log(1.0 - self.uniform()) / rate
    }

    /// How many arrivals of that process fall within `span`, and for how long they wait in all until its end.
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

/// Fails unless the two lie no further apart than `within`.
pub(super) fn close(value: f64, expected: f64, within: f64) {
    assert!(
        (value - expected).abs() <= within,
        "{value} is not {expected}"
    );
}
