//! What an origin can do: how many requests it works on at once, how many wait, how long each takes, and how fast its
//! answers leave.
//!
//! A request beyond the slots waits in a queue, first in, first out; a request beyond the queue gets 503. The server in
//! [`crate::serve::origin`] performs this over sockets.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What an origin can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Number of requests that it works on at once; `None`: no bound.
    pub slots: Option<u32>,
    /// Number of requests that wait for a slot; a request beyond them gets 503.
    pub queue: u32,
    /// How long it works on each request.
    pub latency: Latency,
    /// Bits per second that all answers share; `None`: no bound.
    pub bandwidth_bps: Option<u64>,
}

impl Capacity {
    /// An origin without bounds that takes this long for each request.
    pub fn unbounded(latency: Duration) -> Self {
        Self {
            latency: Latency {
                mean: latency,
                law: Law::Fixed,
            },
            ..Self::default()
        }
    }
}

/// How long work on one request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// The mean.
    pub mean: Duration,
    /// How single requests differ from the mean.
    pub law: Law,
}

/// The distribution of a latency around its mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// Every request takes the mean.
    #[default]
    Fixed,
    /// Most requests take less than the mean, and a few much more: the law of M/M/c queues.
    Exponential,
    /// Log-normal with [`SIGMA`], as measured latencies of servers often are: p50 88 % and p99 283 % of the mean.
    LogNormal,
}

/// Standard deviation of the logarithm of a log-normal latency.
pub const SIGMA: f64 = 0.5;

impl Law {
    /// Every law.
    pub const ALL: [Self; 3] = [Self::Fixed, Self::Exponential, Self::LogNormal];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Exponential => "exponential",
            Self::LogNormal => "log-normal",
        }
    }
}

impl Latency {
    /// The latency of one request.
    pub fn draw(self, chance: &mut ChaCha8Rng) -> Duration {
        let factor = match self.law {
            Law::Fixed => 1.0,
            Law::Exponential => Exp1.sample(chance),
            Law::LogNormal => {
                let deviation: f64 = StandardNormal.sample(chance);
                libm::exp(SIGMA * deviation - SIGMA * SIGMA / 2.0)
            }
        };
        self.mean.mul_f64(factor)
    }
}

/// The sender that all answers share: their bytes leave one piece after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    bandwidth_bps: u64,
    idle_from: Timestamp,
}

impl Sender {
    /// A sender of this many bits per second.
    pub fn new(bandwidth_bps: u64) -> Self {
        Self {
            bandwidth_bps: bandwidth_bps.max(1),
            idle_from: Timestamp::ZERO,
        }
    }

    /// Takes a piece at `now`, behind all pieces before it. Returns when its last byte has left.
    pub fn send(&mut self, now: Timestamp, bytes: usize) -> Timestamp {
        let nanos = bytes as u128 * 8 * 1_000_000_000 / u128::from(self.bandwidth_bps);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.idle_from = self.idle_from.max(now) + takes;
        self.idle_from
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn each_law_keeps_its_mean_and_has_its_own_shape() {
        const COUNT: usize = 20_000;
        let mean = Duration::from_millis(200);
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        for (law, median, p99) in [
            (Law::Fixed, 1.0, 1.0),
            (Law::Exponential, std::f64::consts::LN_2, 4.605),
            (Law::LogNormal, 0.882, 2.825),
        ] {
            let latency = Latency { mean, law };
            let mut drawn: Vec<f64> = (0..COUNT)
                .map(|_| latency.draw(&mut chance).as_secs_f64() / 0.2)
                .collect();
            drawn.sort_by(f64::total_cmp);
            let close = |measured: f64, expected: f64| {
                assert!(
                    (measured / expected - 1.0).abs() < 0.05,
                    "{law:?}: {measured}, not {expected}"
                );
            };
            close(drawn.iter().sum::<f64>() / COUNT as f64, 1.0);
            close(drawn[COUNT / 2], median);
            close(drawn[COUNT * 99 / 100], p99);
        }
    }

    #[test]
    fn pieces_leave_one_after_another_and_an_idle_sender_begins_at_once() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        // 1,000 bytes take 8 ms.
        let mut sender = Sender::new(1_000_000);
        assert_eq!(sender.send(at(100), 1_000), at(108));
        assert_eq!(sender.send(at(101), 2_000), at(124));
        assert_eq!(sender.send(at(300), 500), at(304));
    }
}
