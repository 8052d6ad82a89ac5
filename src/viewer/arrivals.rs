//! Arrivals: when viewers arrive, drawn from curves or read from a file.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use super::chance::{seconds, uniform};

/// When viewers arrive, counted from the start of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// All at the same instant.
    AtOnce,
    /// At a steady rate: evenly over `over_s`.
    #[serde(rename_all = "snake_case")]
    Steady { over_s: f64 },
    /// Some viewers evenly before `at_s`; then all others within `within_s`.
    #[serde(rename_all = "snake_case")]
    Step {
        before_percent: f64,
        at_s: f64,
        within_s: f64,
    },
    /// At a rate that grows linearly from zero until `over_s`.
    #[serde(rename_all = "snake_case")]
    Ramp { over_s: f64 },
    /// As word of mouth spreads: half of the viewers by `midpoint_s`, with a scale of `scale_s`. A time outside of 0 to
    /// `within_s` is drawn again.
    #[serde(rename_all = "snake_case")]
    Logistic {
        midpoint_s: f64,
        scale_s: f64,
        within_s: f64,
    },
    /// At a rate that grows e-fold every `growth_s` and drops to zero at `cliff_s`, because all viewers want to be there by
    /// then.
    #[serde(rename_all = "snake_case")]
    SteepThenCliff { growth_s: f64, cliff_s: f64 },
    /// From a file with one column `arrives_s`, one line per viewer.
    Replay(Replay),
    /// After a push message: delays follow Gamma(shape, scale); a time beyond `within_s` is drawn again.
    #[serde(rename_all = "snake_case")]
    Gamma {
        shape: f64,
        scale_s: f64,
        within_s: f64,
    },
}

/// Arrivals read from a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The file, in the folder of the scenario.
    pub csv: String,
    /// The times in the file, in seconds from the start of the run; filled in by its reader.
    #[serde(skip)]
    pub arrives_s: std::sync::Arc<[f64]>,
}

impl Replay {
    /// Parses the text of such a file.
    ///
    /// # Errors
    /// The number of the first line that is no time, and the reason.
    pub fn read(&mut self, text: &str) -> Result<(), (usize, &'static str)> {
        let mut lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty());
        match lines.next() {
            Some((_, header)) if header.trim() == "arrives_s" => {}
            _ => return Err((1, "the first line must be `arrives_s`")),
        }
        let time = |(number, line): (usize, &str)| match line.trim().parse::<f64>() {
            Ok(at_s) if (0.0..=86_400.0).contains(&at_s) => Ok(at_s),
            _ => Err((number, "a time must be a number of seconds from 0 to 86400")),
        };
        self.arrives_s = lines.map(time).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Arrivals {
    /// Time from the start until a viewer arrives.
    pub(super) fn draw(&self, viewer: u32, chance: &mut ChaCha8Rng) -> Duration {
        match *self {
            Self::AtOnce => Duration::ZERO,
            Self::Steady { over_s } => seconds(over_s * uniform(chance)),
            Self::Step {
                before_percent,
                at_s,
                within_s,
            } => {
                let is_before = uniform(chance) * 100.0 < before_percent;
                let share = uniform(chance);
                seconds(if is_before {
                    at_s * share
                } else {
                    at_s + within_s * share
                })
            }
            Self::Ramp { over_s } => seconds(over_s * uniform(chance).sqrt()),
            Self::Logistic {
                midpoint_s,
                scale_s,
                within_s,
            } => within(within_s, || {
                let share = uniform(chance);
                midpoint_s + scale_s * libm::log(share / (1.0 - share))
            }),
            Self::SteepThenCliff { growth_s, cliff_s } => {
                // The inverse of (e^(t/growth) - 1) / (e^(cliff/growth) - 1), written so that nothing overflows.
                let least = libm::exp(-cliff_s / growth_s);
                let share = uniform(chance);
                seconds((cliff_s + growth_s * libm::log(share + (1.0 - share) * least)).max(0.0))
            }
            Self::Gamma {
                shape,
                scale_s,
                within_s,
            } => {
                let gamma = Gamma::new(shape, scale_s).expect("a scenario's numbers are checked");
                within(within_s, || gamma.sample(chance))
            }
            Self::Replay(ref replay) => {
                let written = replay.arrives_s.get(viewer as usize);
                seconds(written.copied().unwrap_or_default())
            }
        }
    }
}

/// Draws until a time lies between zero and the bound. After 1,000 draws it takes the bound, so every scenario ends.
fn within(within_s: f64, draw: impl FnMut() -> f64) -> Duration {
    std::iter::repeat_with(draw)
        .take(1_000)
        .find(|at_s| (0.0..=within_s).contains(at_s))
        .map_or(seconds(within_s), seconds)
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Purpose, generator};
    use super::*;

    /// Arrivals of 10,000 viewers in seconds, sorted.
    fn arrivals(arrivals: Arrivals) -> Vec<f64> {
        let at = |viewer| arrivals.draw(viewer, &mut generator(11, Purpose::Arrival, viewer));
        let mut drawn: Vec<_> = (0..10_000).map(|viewer| at(viewer).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    #[test]
    fn every_shape_of_arrivals_has_its_quartiles() {
        let logistic = Arrivals::Logistic {
            midpoint_s: 30.0,
            scale_s: 4.0,
            within_s: 60.0,
        };
        let cliff = Arrivals::SteepThenCliff {
            growth_s: 5.0,
            cliff_s: 20.0,
        };
        let step = Arrivals::Step {
            before_percent: 25.0,
            at_s: 20.0,
            within_s: 4.0,
        };
        for (shape, quartiles) in [
            (Arrivals::Steady { over_s: 40.0 }, [10.0, 20.0, 30.0]),
            (Arrivals::Ramp { over_s: 40.0 }, [20.0, 28.284, 34.641]),
            // midpoint + scale x ln(p / (1 - p))
            (logistic, [25.606, 30.0, 34.394]),
            // growth x ln(1 + p (e^4 - 1))
            (cliff, [13.338, 16.625, 18.588]),
            (step, [20.0, 21.333, 22.667]),
        ] {
            let drawn = arrivals(shape.clone());
            for (quartile, expected) in [2_500, 5_000, 7_500].into_iter().zip(quartiles) {
                let value: f64 = drawn[quartile];
                assert!(
                    (value - expected).abs() < 0.6,
                    "{shape:?}: {value} is not {expected}"
                );
            }
        }
        assert!(arrivals(Arrivals::AtOnce).iter().all(|&at_s| at_s == 0.0));
    }

    #[test]
    fn arrivals_that_were_written_down_are_replayed() {
        let mut replay = Replay::default();
        replay.read("arrives_s\n3.5\n\n0.25\n").unwrap();
        assert_eq!(
            replay.read("arrives_s\n1\nsoon\n"),
            Err((3, "a time must be a number of seconds from 0 to 86400"))
        );
        assert_eq!(replay.clone().read("1\n2\n").unwrap_err().0, 1);
        let replay = Arrivals::Replay(replay);
        let at =
            [0, 1].map(|viewer| replay.draw(viewer, &mut generator(1, Purpose::Arrival, viewer)));
        assert_eq!(at.map(|at| at.as_millis()), [3_500, 250]);
    }
}
