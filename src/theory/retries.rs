//! The cost of retries: every attempt fails with probability p, independent of the other attempts.

/// Mean number of attempts per request with at most `retries` retries: (1 - p^(r+1)) / (1 - p).
pub fn attempts_mean(failure_share: f64, retries: u32) -> f64 {
    // 1 + p + ... + p^r: the same sum, but without 0/0 at p = 1.
    (0..retries).fold(1.0, |sum, _| 1.0 + failure_share * sum)
}

/// Share of requests for which every attempt fails: p^(r+1).
pub fn failed_share(failure_share: f64, retries: u32) -> f64 {
    libm::pow(failure_share, f64::from(retries) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    #[test]
    fn three_failures_in_ten_and_two_retries() {
        // (p, retries, attempts, share of requests that fail)
        for (share, retries, attempts, failed) in [
            (0.3, 2, 1.39, 0.027),
            (0.3, 0, 1.0, 0.3),
            (0.0, 4, 1.0, 0.0),
            (1.0, 4, 5.0, 1.0),
        ] {
            close(attempts_mean(share, retries), attempts, 1e-12);
            close(failed_share(share, retries), failed, 1e-12);
        }
    }

    #[test]
    fn it_is_the_closed_form() {
        for (share, retries) in [(0.1, 1), (0.5, 4), (0.999, 9)] {
            let closed = (1.0 - failed_share(share, retries)) / (1.0 - share);
            close(attempts_mean(share, retries), closed, 1e-9);
        }
    }

    #[test]
    fn drawn_requests_take_as_many_attempts() {
        const REQUESTS: u32 = 50_000;
        let mut chance = Chance::of(2);
        let attempts: u32 = (0..REQUESTS)
            .map(|_| (0..2).take_while(|_| chance.uniform() < 0.3).count() as u32 + 1)
            .sum();
        let mean = f64::from(attempts) / f64::from(REQUESTS);
        close(mean, attempts_mean(0.3, 2), 0.012);
    }
}
