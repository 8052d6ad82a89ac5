//! How viewers that stand behind one player are divided: those before an instant, those after it, and the first of them.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

use crate::time::Timestamp;
use crate::viewer::chance;

/// The share of a span from `now` until `until` that lies before `horizon`.
pub(super) fn share(now: Timestamp, horizon: Timestamp, until: Timestamp) -> f64 {
    let whole = until.since(now);
    let part = horizon.since(now);
    if whole.is_zero() || part >= whole {
        // Those that come at one instant come before any later one.
        return if part.is_zero() && horizon <= now {
            0.0
        } else {
            1.0
        };
    }
    part.as_secs_f64() / whole.as_secs_f64()
}

/// How many of `count` lie within a share, each by its own draw.
pub(super) fn binomial(count: u32, share: f64, chance: &mut ChaCha8Rng) -> u32 {
    binomial_of(count.into(), share, chance) as u32
}

/// The same for more.
pub(super) fn binomial_of(count: u64, share: f64, chance: &mut ChaCha8Rng) -> u64 {
    if share <= 0.0 || count == 0 {
        return 0;
    }
    if share >= 1.0 {
        return count;
    }
    let drawn = Binomial::new(count, share).map(|law| law.sample(chance));
    drawn.map_or(0, |drawn| drawn.min(count))
}

/// When the first of `count` comes that are spread evenly over a span: the minimum of as many uniform draws, exactly.
pub(super) fn first_of(count: u32, span: Duration, chance: &mut ChaCha8Rng) -> Duration {
    let draw = chance::uniform(chance);
    span.mul_f64(1.0 - libm::pow(1.0 - draw, 1.0 / f64::from(count.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::chance::Purpose;

    #[test]
    fn the_first_of_many_comes_as_early_as_the_least_of_many_draws() {
        let mut chance = chance::generator(1, Purpose::Split, 1);
        let span = Duration::from_secs(1);
        for count in [1, 4, 99] {
            let mean = (0..20_000)
                .map(|_| first_of(count, span, &mut chance).as_secs_f64())
                .sum::<f64>()
                / 20_000.0;
            let expected = 1.0 / f64::from(count + 1);
            assert!((mean / expected - 1.0).abs() < 0.03, "{count}: {mean}");
        }
    }

    #[test]
    fn viewers_are_divided_by_time() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        for (now, horizon, until, expected) in [
            (0, 250, 1_000, 0.25),
            (0, 2_000, 1_000, 1.0),
            (500, 100, 1_000, 0.0),
            (500, 600, 500, 1.0),
            (500, 500, 500, 0.0),
        ] {
            assert_eq!(share(at(now), at(horizon), at(until)), expected);
        }
        let mut chance = chance::generator(1, Purpose::Split, 2);
        let sum: u32 = (0..1_000).map(|_| binomial(100, 0.3, &mut chance)).sum();
        assert!((29_000..31_000).contains(&sum), "{sum}");
        assert_eq!(binomial(7, 1.0, &mut chance), 7);
        assert_eq!(binomial(7, 0.0, &mut chance), 0);
    }
}
