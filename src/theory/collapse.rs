//! Requests for one key at one edge: how many reach the origin with a miss queue, and how many without one.
//!
//! The rates hold for Poisson arrivals and a fixed lifetime. The expected number of fetches of one live segment holds
//! for arrivals that are uniform over a window.

use std::time::Duration;

/// One key under steady demand.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// r: requests per second for this key at this edge.
    pub rate_per_s: f64,
    /// L: how long a fetch from the origin takes.
    pub fetch: Duration,
    /// T: how long an answer stays fresh.
    pub lifetime: Duration,
}

impl Demand {
    /// Origin requests per second with a miss queue: 1 / (T + L + 1/r).
    pub fn origin_rate_collapsed(&self) -> f64 {
        1.0 / (self.lifetime.as_secs_f64() + self.fetch.as_secs_f64() + 1.0 / self.rate_per_s)
    }

    /// Origin requests per second without a miss queue, where the first answer is kept: (1 + rL) / (T + L + 1/r).
    pub fn origin_rate_uncollapsed(&self) -> f64 {
        self.amplification() * self.origin_rate_collapsed()
    }

    /// Factor by which origin requests grow without a miss queue: 1 + rL.
    pub fn amplification(&self) -> f64 {
        1.0 + self.waiters_mean()
    }

    /// Mean number of requests that wait for one fetch: rL. [`super::waiters`] gives their distribution.
    pub fn waiters_mean(&self) -> f64 {
        self.rate_per_s * self.fetch.as_secs_f64()
    }

    /// Share of requests that lead a fetch: 1 / (1 + r(T + L)).
    pub fn miss_share(&self) -> f64 {
        1.0 / (1.0 + self.rate_per_s * (self.lifetime + self.fetch).as_secs_f64())
    }

    /// Share of requests that wait for a fetch which another request leads: rL / (1 + r(T + L)).
    pub fn collapsed_share(&self) -> f64 {
        self.waiters_mean() * self.miss_share()
    }

    /// Share of requests that are answered from the cache: rT / (1 + r(T + L)).
    pub fn hit_share(&self) -> f64 {
        self.rate_per_s * self.lifetime.as_secs_f64() * self.miss_share()
    }

    /// Mean waiting time added to one request, in seconds. One fetch delays its leader by L and all its followers
    /// together by rL²/2.
    pub fn delay_mean_s(&self) -> f64 {
        let fetch_s = self.fetch.as_secs_f64();
        self.miss_share() * (fetch_s + self.rate_per_s * fetch_s * fetch_s / 2.0)
    }
}

/// Expected number of fetches of one live segment at one edge without a miss queue: 1 + Nx - x^N with x = L/W. The
/// `requests` arrivals are uniform over `window`. With a miss queue the number is exactly 1.
pub fn fetches_uncollapsed(requests: u64, fetch: Duration, window: Duration) -> f64 {
    if requests == 0 {
        return 0.0;
    }
    let n = requests as f64;
    let x = (fetch.as_secs_f64() / window.as_secs_f64().max(f64::MIN_POSITIVE)).min(1.0);
    1.0 + n * x - libm::pow(x, n)
}

/// Share of the requests for a live segment that leak past an edge without a miss queue, not counting the one necessary
/// fetch: L/D. [`fetches_uncollapsed`] tends to this where many requests arrive evenly over a segment's duration D.
pub fn leak_share(fetch: Duration, segment: Duration) -> f64 {
    fetch.as_secs_f64() / segment.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    #[test]
    fn a_hundred_requests_per_second_for_a_key_that_lives_one_second() {
        let demand = Demand {
            rate_per_s: 100.0,
            fetch: Duration::from_millis(50),
            lifetime: Duration::from_secs(1),
        };
        close(demand.origin_rate_collapsed(), 0.9434, 5e-5);
        close(demand.origin_rate_uncollapsed(), 5.660, 5e-4);
        close(demand.miss_share(), 0.00943, 5e-6);
        close(demand.collapsed_share(), 0.04717, 5e-6);
        close(demand.hit_share(), 0.94340, 5e-6);
        close(demand.delay_mean_s() * 1e3, 1.6509, 5e-5);
        close(
            demand.miss_share() + demand.collapsed_share() + demand.hit_share(),
            1.0,
            1e-12,
        );
    }

    #[test]
    fn fetches_of_one_live_segment_without_a_queue() {
        let fetch = Duration::from_millis(50);
        let window = Duration::from_secs(2);
        for (requests, fetches) in [(0, 0.0), (1, 1.0), (1_000, 26.0), (10_000, 251.0)] {
            close(fetches_uncollapsed(requests, fetch, window), fetches, 1e-9);
        }
        // The fetch takes as long as all arrivals, so each request fetches.
        close(fetches_uncollapsed(40, window, window), 40.0, 1e-9);
    }

    #[test]
    fn facebooks_leak_of_1_8_percent_is_a_fetch_of_54_ms() {
        let window = Duration::from_secs(3);
        let requests = 100_000;
        let fetches = fetches_uncollapsed(requests, Duration::from_millis(54), window);
        close((fetches - 1.0) / requests as f64, 0.018, 1e-9);
        close(leak_share(Duration::from_millis(54), window), 0.018, 1e-12);
    }

    #[test]
    fn drawn_arrivals_at_one_live_segment_cause_as_many_fetches() {
        const SEGMENTS: u32 = 4_000;
        let mut chance = Chance::of(17);
        for (requests, fetch_ms) in [(40_u64, 100), (3, 1_500)] {
            let fetch = Duration::from_millis(fetch_ms);
            let window = Duration::from_secs(2);
            let mut fetches = 0;
            for _ in 0..SEGMENTS {
                let at: Vec<_> = (0..requests).map(|_| 2.0 * chance.uniform()).collect();
                let first = at.iter().copied().fold(f64::INFINITY, f64::min);
                // Each request before the first answer fetches too.
                let lands = first + fetch.as_secs_f64();
                fetches += at.iter().filter(|&&at| at < lands).count();
            }
            let mean = fetches as f64 / f64::from(SEGMENTS);
            close(mean, fetches_uncollapsed(requests, fetch, window), 0.1);
        }
    }
}
