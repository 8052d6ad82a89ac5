//! Adaptive bitrate: which rendition a player asks for next, with the estimator and the thresholds of hls.js.
//!
//! Two exponentially weighted averages of the measured bandwidth, one fast and one slow; the lower of both counts. A
//! rendition is held while it needs less than 0.95 of the estimate, and a higher one is taken below 0.7 of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How players choose a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By estimated bandwidth, as hls.js does.
    #[serde(rename = "hls.js")]
    HlsJs,
    /// By the last download alone, as simple players do.
    Throughput,
    /// Always the rendition with this name.
    Fixed(String),
}

/// By what rule a rendition is chosen from several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// [`Mode::HlsJs`].
    #[default]
    HlsJs,
    /// [`Mode::Throughput`].
    Throughput,
}

impl Mode {
    /// The rule; where the rendition is fixed there is nothing to choose.
    pub fn rule(&self) -> Rule {
        match self {
            Self::HlsJs | Self::Fixed(_) => Rule::HlsJs,
            Self::Throughput => Rule::Throughput,
        }
    }
}

const FAST_HALF_LIFE_S: f64 = 3.0;
const SLOW_HALF_LIFE_S: f64 = 9.0;
const FIRST_GUESS_BPS: f64 = 500_000.0;
const HOLD_BELOW: f64 = 0.95;
const CLIMB_BELOW: f64 = 0.7;
/// What the simple rule holds and climbs below.
const THROUGHPUT_BELOW: f64 = 0.9;
/// A download counts as at least this long: an answer from next door must not look like a line without limits.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);

/// What a player knows of its bandwidth.
#[derive(Clone, Copy, Debug)]
pub struct Estimator {
    rule: Rule,
    fast: Average,
    slow: Average,
    last_bps: Option<f64>,
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new(Rule::HlsJs)
    }
}

impl Estimator {
    /// An estimator that knows nothing yet.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            fast: Average::new(FAST_HALF_LIFE_S),
            slow: Average::new(SLOW_HALF_LIFE_S),
            last_bps: None,
        }
    }

    /// Takes one finished download into account.
    pub fn on_download(&mut self, bytes: u64, took: Duration) {
        let took_s = took.max(SHORTEST_SAMPLE).as_secs_f64();
        let bps = bytes as f64 * 8.0 / took_s;
        self.fast.add(took_s, bps);
        self.slow.add(took_s, bps);
        self.last_bps = Some(bps);
    }

    /// The bandwidth in bits per second.
    pub fn estimate_bps(&self) -> f64 {
        match (self.fast.value(), self.slow.value()) {
            _ if self.rule == Rule::Throughput => self.last_bps.unwrap_or(FIRST_GUESS_BPS),
            (Some(fast), Some(slow)) => fast.min(slow),
            _ => FIRST_GUESS_BPS,
        }
    }

    /// The rendition to ask for next: an index into `bandwidths_bps`, which rises.
    pub fn choose(&self, bandwidths_bps: &[u64], current: usize) -> usize {
        let estimate = self.estimate_bps();
        let affordable = |&(index, &bps): &(usize, &u64)| {
            let share = match self.rule {
                Rule::Throughput => THROUGHPUT_BELOW,
                Rule::HlsJs if index > current => CLIMB_BELOW,
                Rule::HlsJs => HOLD_BELOW,
            };
            (bps as f64) < share * estimate
        };
        bandwidths_bps
            .iter()
            .enumerate()
            .rev()
            .find(affordable)
            .map_or(0, |(index, _)| index)
    }
}

/// An exponentially weighted average that is exact from its first sample on.
#[derive(Clone, Copy, Debug)]
struct Average {
    /// Logarithm of what is left of a weight after a second.
    ln_decay: f64,
    sum: f64,
    weight_s: f64,
}

impl Average {
    fn new(half_life_s: f64) -> Self {
        Self {
            ln_decay: libm::log(0.5) / half_life_s,
            sum: 0.0,
            weight_s: 0.0,
        }
    }

    fn add(&mut self, weight_s: f64, value: f64) {
        let kept = libm::exp(self.ln_decay * weight_s);
        self.sum = value * (1.0 - kept) + kept * self.sum;
        self.weight_s += weight_s;
    }

    fn value(&self) -> Option<f64> {
        let seen = 1.0 - libm::exp(self.ln_decay * self.weight_s);
        (seen > 0.0).then(|| self.sum / seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LADDER: [u64; 3] = [230_000, 840_000, 2_400_000];

    fn after(samples: &[(u64, u64)]) -> Estimator {
        let mut estimator = Estimator::default();
        for &(bytes, millis) in samples {
            estimator.on_download(bytes, Duration::from_millis(millis));
        }
        estimator
    }

    #[test]
    fn the_first_guess_is_half_a_megabit() {
        assert_eq!(after(&[]).estimate_bps(), 500_000.0);
        assert_eq!(after(&[]).choose(&LADDER, 0), 0);
    }

    #[test]
    fn one_sample_is_believed_and_the_lower_average_counts() {
        let one = after(&[(125_000, 1_000)]);
        assert!((one.estimate_bps() - 1e6).abs() < 1.0);
        // After a drop the fast average is the lower one, after a rise the slow one.
        let drop = after(&[(1_250_000, 9_000), (125_000, 3_000)]).estimate_bps();
        let rise = after(&[(125_000, 3_000), (1_250_000, 3_000)]).estimate_bps();
        assert!(drop < 0.9e6, "{drop}");
        assert!(rise < 2.2e6, "{rise}");
    }

    #[test]
    fn a_very_short_download_is_not_a_line_without_limits() {
        assert!((after(&[(62_500, 1)]).estimate_bps() - 1e7).abs() < 1.0);
    }

    #[test]
    fn the_simple_rule_believes_the_last_download() {
        let mut estimator = Estimator::new(Rule::Throughput);
        estimator.on_download(1_250_000, Duration::from_secs(1));
        assert_eq!(estimator.choose(&LADDER, 0), 2);
        estimator.on_download(125_000, Duration::from_secs(1));
        assert_eq!(estimator.estimate_bps(), 1e6);
        assert_eq!(estimator.choose(&LADDER, 2), 1);
    }

    #[test]
    fn climbing_needs_more_room_than_holding() {
        // (estimate in kb/s, current, chosen)
        for (kbps, current, chosen) in [
            (1_100, 0, 0),
            (1_250, 0, 1),
            (900, 1, 1),
            (880, 1, 0),
            (3_500, 0, 2),
            (100, 2, 0),
        ] {
            let estimator = after(&[(kbps * 125, 1_000)]);
            assert_eq!(
                estimator.choose(&LADDER, current),
                chosen,
                "{kbps} kb/s from {current}"
            );
        }
    }
}
