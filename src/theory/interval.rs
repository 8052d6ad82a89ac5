//! Where the mean of a few runs lies: Student's t, for samples that are independent and nearly normal.

/// The confidence level of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// The true mean lies outside in 1 of 20 cases.
    Percent95,
    /// The true mean lies outside in 1 of 100 cases.
    Percent99,
}

impl Confidence {
    /// Probability that the true mean lies inside.
    fn inside(self) -> f64 {
        match self {
            Self::Percent95 => 0.95,
            Self::Percent99 => 0.99,
        }
    }
}

/// A mean and its possible error: a two-sided confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Mean of the samples.
    pub mean: f64,
    /// Distance from the mean to either end of the interval.
    pub half_width: f64,
}

impl Interval {
    /// The interval around the mean of the samples: mean ± t·s/√n. `None` for fewer than two samples, because their
    /// deviation is unknown.
    pub fn of(samples: &[f64], confidence: Confidence) -> Option<Self> {
        let degrees = u32::try_from(samples.len()).ok()?.checked_sub(1)?;
        if degrees == 0 {
            return None;
        }
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let squares = samples
            .iter()
            .map(|sample| (sample - mean) * (sample - mean));
        let variance = squares.sum::<f64>() / f64::from(degrees);
        Some(Self {
            mean,
            half_width: student_t(confidence, degrees) * libm::sqrt(variance / n),
        })
    }

    /// Whether `value` lies within the interval or on its ends.
    pub fn contains(&self, value: f64) -> bool {
        (value - self.mean).abs() <= self.half_width
    }
}

/// Two-sided quantile of Student's t: with the given probability, t lies within ± this value. `degrees` of freedom is
/// the number of samples less one, and at least 1.
pub fn student_t(confidence: Confidence, degrees: u32) -> f64 {
    let inside = |t: f64| probability_within(t, degrees) >= confidence.inside();
    // The largest quantile, at one degree of freedom and 99 %, is 63.7.
    let (mut below, mut above) = (0.0, 100.0);
    // 60 halvings of 100 leave less than a double can represent.
    for _ in 0..60 {
        let middle = (below + above) / 2.0;
        match inside(middle) {
            true => above = middle,
            false => below = middle,
        }
    }
    above
}

/// Probability that Student's t lies within ±t. For whole degrees of freedom it is a finite sum of powers of a cosine
/// (Abramowitz and Stegun, 26.7.3 and 26.7.4).
fn probability_within(t: f64, degrees: u32) -> f64 {
    let angle = libm::atan(t / libm::sqrt(f64::from(degrees)));
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    // Odd: cos + (2/3) cos³ + (2·4)/(3·5) cos⁵ ...; even: 1 + (1/2) cos² + (1·3)/(2·4) cos⁴ ...; up to cos^(degrees - 2).
    let is_odd = degrees % 2 == 1;
    let (mut power, mut term) = if is_odd { (1, cos) } else { (0, 1.0) };
    let mut sum = 0.0;
    while power + 2 <= degrees {
        sum += term;
        term *= cos * cos * f64::from(power + 1) / f64::from(power + 2);
        power += 2;
    }
    match is_odd {
        true => (angle + sin * sum) * std::f64::consts::FRAC_2_PI,
        false => sin * sum,
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // (degrees of freedom, 95 %, 99 %): NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
        for (degrees, at_95, at_99) in [
            (1, 12.706, 63.657),
            (2, 4.303, 9.925),
            (3, 3.182, 5.841),
            (4, 2.776, 4.604),
            (5, 2.571, 4.032),
            (9, 2.262, 3.250),
            (10, 2.228, 3.169),
            (29, 2.045, 2.756),
            (30, 2.042, 2.750),
            (100, 1.984, 2.626),
        ] {
            close(student_t(Confidence::Percent95, degrees), at_95, 5.1e-4);
            close(student_t(Confidence::Percent99, degrees), at_99, 5.1e-4);
        }
    }

    #[test]
    fn with_many_samples_it_is_the_normal_distribution() {
        close(student_t(Confidence::Percent95, 100_000), 1.959_96, 1e-4);
        close(student_t(Confidence::Percent99, 100_001), 2.575_83, 1e-4);
    }

    #[test]
    fn five_runs_have_an_interval_and_one_has_none() {
        // Mean 10, deviation √2.5, standard error √0.5.
        let runs = [8.0, 9.0, 10.0, 11.0, 12.0];
        let interval = Interval::of(&runs, Confidence::Percent99).unwrap();
        close(interval.mean, 10.0, 1e-12);
        close(interval.half_width, 4.604_1 * libm::sqrt(0.5), 1e-4);
        assert!(interval.contains(13.2) && !interval.contains(6.7));
        assert_eq!(Interval::of(&runs[..1], Confidence::Percent99), None);
        assert_eq!(Interval::of(&[], Confidence::Percent99), None);
    }

    #[test]
    fn the_true_mean_of_five_drawn_samples_lies_inside_as_often_as_promised() {
        const TIMES: u32 = 20_000;
        let mut chance = Chance::of(13);
        // The sum of twelve uniform draws is nearly normal (Irwin and Hall).
        let mut normal = || (0..12).map(|_| chance.uniform()).sum::<f64>() - 6.0;
        let (mut in_95, mut in_99) = (0, 0);
        for _ in 0..TIMES {
            let samples: [f64; 5] = std::array::from_fn(|_| normal());
            let holds = |confidence| Interval::of(&samples, confidence).unwrap().contains(0.0);
            in_95 += u32::from(holds(Confidence::Percent95));
            in_99 += u32::from(holds(Confidence::Percent99));
        }
        close(f64::from(in_95) / f64::from(TIMES), 0.95, 0.006);
        close(f64::from(in_99) / f64::from(TIMES), 0.99, 0.003);
    }
}
