//! What follows from runs that differ in one thing, in one sentence.

use super::measures::{Better, FIGURES, Figure, Unit};
use super::run::Run;
use super::thresholds::grouped;

/// The figures that advice is made of, and how a sentence names them.
const NAMED: [(&str, &str); 9] = [
    ("origin hits, segments", "segment requests at the origin"),
    ("origin hits, playlists", "playlist requests at the origin"),
    (
        "beyond the origin's capacity",
        "of the requests at the origin beyond its capacity",
    ),
    (
        "players that failed to start",
        "players that failed to start",
    ),
    ("viewers stalled", "viewers that stalled"),
    ("startup p95", "until the first frame (p95)"),
    ("segment latency p99", "until a segment is there (p99)"),
    ("behind live p50", "behind live"),
    ("requests that failed", "requests that failed"),
];

/// Maximum number of figures in the sentence.
const TOLD_MAX: usize = 4;

/// The last run against the first: what turning the knob from one end to the other brings.
pub(super) fn advice(runs: &[Run<'_>]) -> Option<String> {
    match runs {
        [first, .., last] => Some(sentence(first, last)),
        _ => None,
    }
}

fn sentence(first: &Run<'_>, run: &Run<'_>) -> String {
    let told = NAMED.iter().filter_map(|(what, named)| {
        let figure = FIGURES.iter().find(|figure| figure.what == *what)?;
        let before = (figure.of)(first.summary)?;
        let after = (figure.of)(run.summary)?;
        difference(figure, before, after).map(|by| format!("{by} {named}"))
    });
    let told: Vec<_> = told.take(TOLD_MAX).collect();
    let told = match told.is_empty() {
        true => "no difference that one run can prove".to_owned(),
        false => told.join(", "),
    };
    format!("{} instead of {}: {told}.", run.label, first.label)
}

/// How much a figure differs, in words; `None` if the difference may be noise.
fn difference(figure: &Figure, before: f64, after: f64) -> Option<String> {
    let (least, most) = (before.min(after), before.max(after));
    let delta = most - least;
    // One run is one sample: a smaller difference may be chance.
    let matters = match figure.unit {
        Unit::Count => delta >= 10.0 && most >= least * 1.2,
        Unit::Share => delta >= 0.02,
        Unit::S => delta >= 0.3,
        Unit::Ms => delta >= 50.0 && most >= least * 1.2,
        Unit::Ratio | Unit::Bps => false,
    };
    if !matters || figure.better == Better::Neither {
        return None;
    }
    let less = after < before;
    Some(match figure.unit {
        Unit::Count if least < 1.0 => {
            let count = |value: f64| grouped(value as u64);
            format!("{} instead of {}", count(after), count(before))
        }
        Unit::Count => {
            let word = if less { "fewer" } else { "as many" };
            format!("{:.1} times {word}", most / least)
        }
        Unit::Share => format!("{:.0} % instead of {:.0} %", after * 100.0, before * 100.0),
        Unit::S => format!("{delta:.1} s {}", if less { "less" } else { "more" }),
        _ => format!("{delta:.0} ms {}", if less { "less" } else { "more" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::status::MissQueue;
    use crate::report::sample;
    use crate::report::series::Series;
    use crate::report::summary::Summary;

    fn run<'a>(summary: &'a Summary, series: &'a Series, label: &'a str) -> Run<'a> {
        Run {
            summary,
            series,
            label,
        }
    }

    #[test]
    fn a_sentence_tells_what_differs_and_no_noise() {
        let record = sample::record(MissQueue::Flights);
        let series = Series::of(&record);
        let first = sample::summary(&record);
        let mut other = first.clone();
        let said = advice(&[run(&first, &series, "A"), run(&other, &series, "B")]);
        assert_eq!(
            said.unwrap(),
            "B instead of A: no difference that one run can prove."
        );
        let hits = first.origin.measured.media_playlist + first.origin.measured.multivariant;
        other.origin.measured.media_playlist = hits * 36 / 10;
        other.origin.measured.multivariant = 0;
        let ahead = first.experience.live_latency_p50_s.unwrap();
        other.experience.live_latency_p50_s = Some(ahead + 1.2);
        let said = advice(&[run(&other, &series, "20 %"), run(&first, &series, "100 %")]);
        assert_eq!(
            said.unwrap(),
            "100 % instead of 20 %: 3.6 times fewer playlist requests at the origin, 1.2 s less behind live."
        );
        other.experience.viewers_stalled = first.experience.viewers_stalled + 600;
        let said = advice(&[run(&first, &series, "A"), run(&other, &series, "B")]);
        assert!(said.unwrap().contains("viewers that stalled"));
    }
}
