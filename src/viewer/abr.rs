//! Adaptive bitrate: which rendition a player asks for next, with the estimator and the thresholds of hls.js.
//!
//! The estimate is the lower of two exponentially weighted averages of the measured bandwidth, one fast and one slow. The
//! player keeps its rendition while the rendition needs at most 0.95 of the estimate. It changes to a higher one that needs at
//! most 0.7 of the estimate. A rendition needs its average bit rate if two segments are buffered, else its peak. The time until
//! the first byte says nothing about bandwidth: it is estimated separately and subtracted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How players choose a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// By estimated bandwidth, like hls.js.
    #[serde(rename = "hls.js")]
    HlsJs,
    /// By the last download alone, like simple players.
    Throughput,
    /// Always the rendition with this name.
    Fixed(String),
}

/// The rule by which a player chooses between several renditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// [`Mode::HlsJs`].
    #[default]
    #[serde(rename = "hls.js")]
    HlsJs,
    /// [`Mode::Throughput`].
    Throughput,
}

impl Mode {
    /// The rule. A fixed rendition leaves nothing to choose, so any rule will do.
    pub fn rule(&self) -> Rule {
        match self {
            Self::HlsJs | Self::Fixed(_) => Rule::HlsJs,
            Self::Throughput => Rule::Throughput,
        }
    }
}

/// `abrEwmaFastLive` of hls.js 1.7.4, like all option names below.
const FAST_HALF_LIFE_S: f64 = 3.0;
/// `abrEwmaSlowLive`.
const SLOW_HALF_LIFE_S: f64 = 9.0;
/// `abrEwmaDefaultEstimate`.
const FIRST_GUESS_BPS: f64 = 500_000.0;
/// `abrBandWidthFactor`.
const HOLD_UP_TO: f64 = 0.95;
/// `abrBandWidthUpFactor`.
const CLIMB_UP_TO: f64 = 0.7;
/// Before the first measurement, a rendition may need the whole first guess.
const BEGIN_UP_TO: f64 = 1.0;
/// Share of the last measurement that a rendition may need under the simple rule.
const THROUGHPUT_UP_TO: f64 = 0.9;
/// A download counts as at least this long. A small download counts as at least its transfer time at [`FASTEST_BPS`]: an answer
/// from a nearby server must not look like unlimited bandwidth.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);
const FASTEST_BPS: f64 = 800e6;
/// The first byte counts as taking at least this long.
const SHORTEST_FIRST_BYTE: Duration = Duration::from_millis(5);

/// The bandwidth that a rendition needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// BANDWIDTH: bits per second at its peak.
    pub peak_bps: u64,
    /// AVERAGE-BANDWIDTH: bits per second on average; the peak if the playlist does not state it.
    pub average_bps: u64,
}

/// How much media a player has buffered when it chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cushion {
    /// Two segments or more: a short peak ends before they are played.
    TwoSegments,
    /// Less than two segments.
    Less,
}

/// A player's estimate of its bandwidth.
#[derive(Clone, Copy, Debug)]
pub struct Estimator {
    rule: Rule,
    fast: Average,
    slow: Average,
    /// Seconds until the first byte.
    first_byte_s: Average,
    last_bps: Option<f64>,
}

impl Default for Estimator {
    fn default() -> Self {
        Self::new(Rule::HlsJs)
    }
}

impl Estimator {
    /// An estimator without measurements.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            fast: Average::new(FAST_HALF_LIFE_S),
            slow: Average::new(SLOW_HALF_LIFE_S),
            first_byte_s: Average::new(SLOW_HALF_LIFE_S),
            last_bps: None,
        }
    }

    /// Adds a finished download, whose first byte came after `first_byte`.
    pub fn on_download(&mut self, bytes: u64, took: Duration, first_byte: Duration) {
        let waited_s = first_byte.as_secs_f64();
        // The longer the first byte took, the less it weighs.
        let weight = std::f64::consts::SQRT_2 * libm::exp(-waited_s * waited_s / 2.0);
        let shortest_s = SHORTEST_FIRST_BYTE.as_secs_f64();
        self.first_byte_s.add(weight, waited_s.max(shortest_s));
        let usual_s = self.first_byte_s.value().unwrap_or(waited_s);
        let took_s = took.as_secs_f64() - waited_s.min(usual_s);
        let bits = bytes as f64 * 8.0;
        let shortest_s = SHORTEST_SAMPLE.as_secs_f64().min(bits / FASTEST_BPS);
        let took_s = took_s.max(shortest_s);
        let bps = bits / took_s.max(f64::MIN_POSITIVE);
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

    /// The rendition to begin with: an index into `offered`, which is sorted from low to high.
    pub fn begin(&self, offered: &[Needs]) -> usize {
        let estimate = self.estimate_bps();
        highest(offered, |_, needs| {
            needs.peak_bps as f64 <= BEGIN_UP_TO * estimate
        })
    }

    /// The rendition to ask for next: an index into `offered`, which is sorted from low to high.
    pub fn choose(&self, offered: &[Needs], current: usize, cushion: Cushion) -> usize {
        let estimate = self.estimate_bps();
        highest(offered, |index, needs| match self.rule {
            Rule::Throughput => needs.peak_bps as f64 <= THROUGHPUT_UP_TO * estimate,
            Rule::HlsJs => {
                let share = match index > current {
                    true => CLIMB_UP_TO,
                    false => HOLD_UP_TO,
                };
                let bps = match cushion {
                    Cushion::TwoSegments => needs.average_bps,
                    Cushion::Less => needs.peak_bps,
                };
                bps as f64 <= share * estimate
            }
        })
    }
}

/// The highest affordable rendition, or the lowest if none is affordable.
fn highest(offered: &[Needs], affordable: impl Fn(usize, &Needs) -> bool) -> usize {
    let affordable = |index: &usize| affordable(*index, &offered[*index]);
    (0..offered.len()).rev().find(affordable).unwrap_or(0)
}

/// An exponentially weighted average that equals the sample after its first sample.
#[derive(Clone, Copy, Debug)]
struct Average {
    /// Logarithm of the share of a weight that is left after a second.
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

    const fn needs(peak_bps: u64, average_bps: u64) -> Needs {
        Needs {
            peak_bps,
            average_bps,
        }
    }

    const LADDER: [Needs; 3] = [
        needs(230_000, 200_000),
        needs(840_000, 700_000),
        needs(2_400_000, 2_000_000),
    ];

    fn after(samples: &[(u64, u64)]) -> Estimator {
        let mut estimator = Estimator::default();
        for &(bytes, millis) in samples {
            estimator.on_download(bytes, Duration::from_millis(millis), Duration::ZERO);
        }
        estimator
    }

    #[test]
    fn the_first_guess_is_half_a_megabit() {
        assert_eq!(after(&[]).estimate_bps(), 500_000.0);
        assert_eq!(after(&[]).begin(&LADDER), 0);
        // The whole guess counts: a margin makes no sense without a measurement.
        assert_eq!(after(&[]).begin(&[LADDER[0], needs(500_000, 400_000)]), 1);
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
        // 62,500 bytes count as at least 625 microseconds, 12,500,000 bytes as at least 50 ms.
        assert!((after(&[(62_500, 0)]).estimate_bps() - 8e8).abs() < 1.0);
        assert!((after(&[(12_500_000, 1)]).estimate_bps() - 2e9).abs() < 1.0);
    }

    #[test]
    fn the_simple_rule_believes_the_last_download() {
        let mut estimator = Estimator::new(Rule::Throughput);
        estimator.on_download(1_250_000, Duration::from_secs(1), Duration::ZERO);
        assert_eq!(estimator.choose(&LADDER, 0, Cushion::Less), 2);
        estimator.on_download(125_000, Duration::from_secs(1), Duration::ZERO);
        assert_eq!(estimator.estimate_bps(), 1e6);
        assert_eq!(estimator.choose(&LADDER, 2, Cushion::Less), 1);
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
                estimator.choose(&LADDER, current, Cushion::Less),
                chosen,
                "{kbps} kb/s from {current}"
            );
        }
    }

    #[test]
    fn two_buffered_segments_let_the_average_count() {
        // 0.7 of 1,100 kb/s lies between the average and the peak of the second rendition, and so does 0.95 of 800 kb/s.
        for (kbps, current) in [(1_100, 0), (800, 1)] {
            let estimator = after(&[(kbps * 125, 1_000)]);
            assert_eq!(estimator.choose(&LADDER, current, Cushion::Less), 0);
            assert_eq!(estimator.choose(&LADDER, current, Cushion::TwoSegments), 1);
        }
    }

    #[test]
    fn estimates_are_those_of_hls_js() {
        let mut estimator = Estimator::default();
        // (bytes, whole, first byte in ms, estimate), as ewma-bandwidth-estimator.ts of hls.js 1.7.4 computes them.
        for (bytes, whole, first_byte, bps) in [
            (45_600, 1_100, 80, 357_647.058_824),
            (45_600, 420, 300, 594_374.314_194),
            (168_000, 1_900, 20, 670_291.255_280),
            (168_000, 60, 10, 1_134_479.353_522),
            (1_000, 1, 1, 1_137_314.464_288),
        ] {
            let millis = Duration::from_millis;
            estimator.on_download(bytes, millis(whole), millis(first_byte));
            let estimate = estimator.estimate_bps();
            assert!((estimate - bps).abs() < 1e-3, "{estimate} is not {bps}");
        }
    }
}
