//! How long all requests of one fetch wait together.
//!
//! The leader waits for the whole fetch time L, a follower for the rest of it. Followers arrive as a Poisson process of
//! rate r. So the sum of their waiting times is a compound Poisson number: mean r∫t dt, variance r∫t² dt over [0, L].

use std::time::Duration;

/// Mean of the total waiting time of one fetch's leader and followers, in seconds: L + rL²/2.
pub fn total_mean_s(rate_per_s: f64, fetch: Duration) -> f64 {
    let fetch_s = fetch.as_secs_f64();
    fetch_s + rate_per_s * fetch_s * fetch_s / 2.0
}

/// Variance of that total, in seconds squared: rL³/3.
pub fn total_variance_s2(rate_per_s: f64, fetch: Duration) -> f64 {
    let fetch_s = fetch.as_secs_f64();
    rate_per_s * fetch_s * fetch_s * fetch_s / 3.0
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::super::collapse::Demand;
    use super::*;

    const FETCH: Duration = Duration::from_millis(50);

    #[test]
    fn a_hundred_requests_per_second_and_a_fetch_of_50_ms() {
        close(total_mean_s(100.0, FETCH), 0.175, 1e-12);
        close(total_variance_s2(100.0, FETCH), 0.004_166_667, 1e-9);
        // No follower comes: the leader waits alone.
        close(total_mean_s(0.0, FETCH), 0.05, 1e-12);
        close(total_variance_s2(0.0, FETCH), 0.0, 0.0);
    }

    #[test]
    fn shared_among_all_requests_it_is_the_delay_of_one() {
        let demand = Demand {
            rate_per_s: 100.0,
            fetch: FETCH,
            lifetime: Duration::from_secs(1),
        };
        let per_request = demand.miss_share() * total_mean_s(100.0, FETCH);
        close(per_request, demand.delay_mean_s(), 1e-15);
        close(per_request * 1e3, 1.6509, 5e-5);
    }

    #[test]
    fn drawn_fetches_have_this_mean_and_this_variance() {
        const FETCHES: u32 = 40_000;
        let mut chance = Chance::of(11);
        let totals: Vec<_> = (0..FETCHES)
            .map(|_| 0.05 + chance.arrivals(100.0, 0.05).1)
            .collect();
        let mean = totals.iter().sum::<f64>() / f64::from(FETCHES);
        let deviations = totals.iter().map(|total| (total - mean) * (total - mean));
        let variance = deviations.sum::<f64>() / f64::from(FETCHES - 1);
        // Four standard errors.
        close(mean, total_mean_s(100.0, FETCH), 0.0013);
        close(variance, total_variance_s2(100.0, FETCH), 0.000_15);
    }
}
