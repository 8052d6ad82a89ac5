//! How many requests wait for one fetch, if they arrive as a Poisson process of rate r.
//!
//! A fetch that takes L gathers Poisson(rL) waiters. If fetch times are exponential with mean L, the remaining time of
//! a fetch has the same distribution after every arrival. So the next event is again an arrival with probability q = rL
//! / (1 + rL): geometric.

/// The distribution of fetch times around the same mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchTime {
    /// Every fetch takes the same time: the number of waiters is Poisson distributed.
    Fixed,
    /// Fetch times are exponentially distributed: the number of waiters is geometrically distributed.
    Exponential,
}

/// The number of waiters of one fetch as a random number. The leader, who began the fetch, is not counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiters {
    /// rL: mean number of waiters; 0 or more. [`super::collapse::Demand::waiters_mean`] gives it.
    pub mean: f64,
    /// The distribution of fetch times.
    pub fetch_time: FetchTime,
}

impl Waiters {
    /// Variance: rL for a fixed L, rL(1 + rL) for an exponential one.
    pub fn variance(&self) -> f64 {
        match self.fetch_time {
            FetchTime::Fixed => self.mean,
            FetchTime::Exponential => self.mean * (1.0 + self.mean),
        }
    }

    /// Probability that exactly `count` requests wait.
    pub fn probability(&self, count: u64) -> f64 {
        let n = count as f64;
        match self.fetch_time {
            _ if self.mean <= 0.0 => f64::from(count == 0),
            // e^-m m^n / n!, by logarithms: e^-m alone underflows to 0 beyond a mean of 745.
            FetchTime::Fixed => {
                libm::exp(n * libm::log(self.mean) - self.mean - libm::lgamma(n + 1.0))
            }
            FetchTime::Exponential => {
                libm::pow(self.mean / (1.0 + self.mean), n) / (1.0 + self.mean)
            }
        }
    }

    /// Probability that more than `count` requests wait.
    pub fn beyond(&self, count: u64) -> f64 {
        match self.fetch_time {
            _ if self.mean <= 0.0 => 0.0,
            FetchTime::Fixed if count as f64 >= self.mean => self.poisson_above(count),
            FetchTime::Fixed => 1.0 - self.poisson_up_to(count),
            FetchTime::Exponential => libm::pow(self.mean / (1.0 + self.mean), count as f64 + 1.0),
        }
    }

    /// Sum of the terms after `count`. `count` is at least the mean, so the terms fall. A difference of large numbers
    /// would lose a small result.
    fn poisson_above(&self, count: u64) -> f64 {
        let mut at = count + 1;
        let mut term = self.probability(at);
        let mut sum = 0.0;
        while term > sum * f64::EPSILON {
            sum += term;
            at += 1;
            term *= self.mean / at as f64;
        }
        sum
    }

    /// Sum of the terms up to `count`, from the largest one down. `count` is below the mean.
    fn poisson_up_to(&self, count: u64) -> f64 {
        let mut term = self.probability(count);
        let mut sum = 0.0;
        for at in (0..=count).rev() {
            if term <= sum * f64::EPSILON {
                break;
            }
            sum += term;
            term *= at as f64 / self.mean;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    const fn waiters(mean: f64, fetch_time: FetchTime) -> Waiters {
        Waiters { mean, fetch_time }
    }

    #[test]
    fn more_waiters_than_the_mean_are_as_likely_as_poisson_says() {
        // (mean, count, probability of more), from tables of the Poisson distribution.
        for (mean, count, beyond) in [
            (5.0, 5, 0.384_039),
            (5.0, 14, 0.000_226),
            (5.0, 0, 0.993_262),
            (0.0, 0, 0.0),
        ] {
            close(waiters(mean, FetchTime::Fixed).beyond(count), beyond, 5e-7);
        }
    }

    #[test]
    fn a_crowd_of_twenty_thousand_per_fetch_is_no_underflow() {
        let crowd = waiters(20_000.0, FetchTime::Fixed);
        // Nearly normal by then, with a standard deviation of 141.4 and a continuity correction of half a waiter.
        close(crowd.beyond(20_000), 0.498, 1e-3);
        close(crowd.beyond(20_282), 0.022_9, 5e-4);
        close(crowd.beyond(19_717), 0.977_2, 5e-4);
        close(crowd.probability(20_000), 0.002_821, 1e-6);
    }

    #[test]
    fn probabilities_add_up_to_one_with_the_mean_and_the_variance() {
        for fetch_time in [FetchTime::Fixed, FetchTime::Exponential] {
            let five = waiters(5.0, fetch_time);
            let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
                let terms = (0..500).map(|count| of(count as f64) * five.probability(count));
                terms.sum()
            };
            close(sum(&|_| 1.0), 1.0, 1e-12);
            close(sum(&|n| n), 5.0, 1e-9);
            close(sum(&|n| (n - 5.0) * (n - 5.0)), five.variance(), 1e-9);
            let first: f64 = (0..=7).map(|count| five.probability(count)).sum();
            close(five.beyond(7), 1.0 - first, 1e-12);
        }
    }

    #[test]
    fn drawn_fetches_gather_as_many_waiters_as_the_formula_says() {
        const FETCHES: u64 = 40_000;
        let mut chance = Chance::of(7);
        for fetch_time in [FetchTime::Fixed, FetchTime::Exponential] {
            let five = waiters(5.0, fetch_time);
            let mut seen = [0_u64; 4];
            for _ in 0..FETCHES {
                let fetch = match fetch_time {
                    FetchTime::Fixed => 0.05,
                    FetchTime::Exponential => chance.gap(1.0 / 0.05),
                };
                let (count, _) = chance.arrivals(100.0, fetch);
                for (more, beyond) in seen.iter_mut().zip([0, 3, 5, 9]) {
                    *more += u64::from(count > beyond);
                }
            }
            for (more, beyond) in seen.iter().zip([0, 3, 5, 9]) {
                // Four standard errors of a share of 40,000 draws are 0.01 at most.
                close(*more as f64 / FETCHES as f64, five.beyond(beyond), 0.01);
            }
        }
    }
}
