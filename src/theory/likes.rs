//! Likes wait in one queue and are counted one after another. Each takes the same time: M/D/1.

use std::time::Duration;

/// Likes under steady demand: they arrive as a Poisson process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LikesLoad {
    /// λ: likes per second.
    pub rate_per_s: f64,
    /// 1/μ: the time to count one like.
    pub service: Duration,
}

impl LikesLoad {
    /// ρ: the share of time in which a like is being counted. At 1 or more the queue grows without end.
    pub fn load(&self) -> f64 {
        self.rate_per_s * self.service.as_secs_f64()
    }

    /// Mean time that a like waits before it is counted, in seconds: ρ / (2μ(1 - ρ)) (Pollaczek and Khinchine, for a
    /// fixed service time). `None` where the load is 1 or more, because there is no mean then.
    pub fn wait_mean_s(&self) -> Option<f64> {
        let load = self.load();
        (load < 1.0).then(|| load * self.service.as_secs_f64() / (2.0 * (1.0 - load)))
    }

    /// Mean number of likes that wait: λ times the mean wait (Little).
    pub fn waiting_mean(&self) -> Option<f64> {
        self.wait_mean_s().map(|wait_s| self.rate_per_s * wait_s)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    fn likes(rate_per_s: f64) -> LikesLoad {
        LikesLoad {
            rate_per_s,
            service: Duration::from_micros(500),
        }
    }

    #[test]
    fn fifteen_hundred_likes_per_second_at_half_a_millisecond_each() {
        let storm = likes(1_500.0);
        close(storm.load(), 0.75, 1e-12);
        // 0.75 x 0.5 ms / (2 x 0.25).
        close(storm.wait_mean_s().unwrap() * 1e3, 0.75, 1e-12);
        close(storm.waiting_mean().unwrap(), 1.125, 1e-12);
        assert_eq!(likes(0.0).wait_mean_s(), Some(0.0));
    }

    #[test]
    fn a_load_of_one_has_no_mean_wait() {
        assert_eq!(likes(2_000.0).wait_mean_s(), None);
        assert_eq!(likes(3_000.0).waiting_mean(), None);
    }

    #[test]
    fn drawn_likes_wait_as_long() {
        const LIKES: u32 = 300_000;
        let storm = likes(1_500.0);
        let mut chance = Chance::of(5);
        let (mut wait_s, mut waited_s) = (0.0_f64, 0.0);
        for _ in 0..LIKES {
            waited_s += wait_s;
            // Lindley: the queueing time that remains when the next like arrives.
            wait_s = (wait_s + 0.0005 - chance.gap(1_500.0)).max(0.0);
        }
        let mean_s = waited_s / f64::from(LIKES);
        close(mean_s, storm.wait_mean_s().unwrap(), 0.000_03);
    }
}
