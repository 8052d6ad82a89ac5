//! A view as one line, for logs and pipes; and numbers in a short, aligned form.

use std::fmt::Write;

use super::samples::Bound;
use super::view::View;
use crate::policy::status::Served;

/// One line, with its newline. `at` is the time to print.
pub fn line(view: &View<'_>, at: &str) -> String {
    let mut text = at.to_owned();
    let mut say = |what: &str, value: String| {
        let _ = write!(text, "  {what} {value}");
    };
    if let Some(audience) = &view.audience {
        say("viewers", count(audience.viewers()));
    }
    if let Some(step) = view.last() {
        say("edge/s", count(step.edge_per_s()));
        say("origin/s", count(step.origin_per_s()));
        say("bytes/s", count(step.bytes / step.seconds));
        for (served, sum) in Served::ALL.into_iter().zip(step.results) {
            if sum > 0.0 {
                say(&format!("{}/s", served.word()), count(sum / step.seconds));
            }
        }
    }
    say("offload", share(view.offload));
    say("waiters", count(view.waiters));
    say("peak", count(view.waiters_peak));
    say("segment-p99", bound(view.segment_p99));
    if let Some(likes) = &view.likes {
        if let Some((acknowledged, refused)) = likes.per_s {
            say("likes/s", count(acknowledged));
            say("likes-refused/s", count(refused));
        }
        say("likes-waiting", count(likes.waiting));
    }
    let up = view.rows.iter().filter(|row| row.figures.is_some()).count();
    say("edges-up", format!("{up}/{}", view.rows.len()));
    for down in &view.down {
        say("down:", down.clone());
    }
    text.push('\n');
    text
}

/// A number of at most five characters: `0`, `0.52`, `12`, `1.23k`, `45.6M`.
pub fn count(value: f64) -> String {
    let scaled = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // A value that would be rounded to 1000 belongs to the next unit.
    let unit = scaled.into_iter().find(|(unit, _)| value >= unit * 0.9995);
    let (value, suffix) = unit.map_or((value, ""), |(unit, suffix)| (value / unit, suffix));
    if suffix.is_empty() && (value == 0.0 || value >= 99.95 || value.fract() == 0.0) {
        format!("{value:.0}")
    } else if value < 9.995 {
        format!("{value:.2}{suffix}")
    } else if value < 99.95 {
        format!("{value:.1}{suffix}")
    } else {
        format!("{value:.0}{suffix}")
    }
}

/// A share as a percentage; never rounded up to 100.
pub fn share(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(1.0) => "100%".to_owned(),
        Some(share) => format!("{:.1}%", (share * 1_000.0).floor() / 10.0),
    }
}

/// A bound in seconds: `≤ 25 ms`.
pub fn bound(bound: Option<Bound>) -> String {
    let (sign, seconds) = match bound {
        None => return "–".to_owned(),
        Some(Bound::AtMost(seconds)) => ("≤", seconds),
        Some(Bound::Over(seconds)) => (">", seconds),
    };
    if seconds < 1.0 {
        format!("{sign} {} ms", count(seconds * 1_000.0))
    } else {
        format!("{sign} {} s", count(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{answer, at, edge};
    use super::super::view::{Answer, Role, Watch};
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.524, "0.52"),
            (7.0, "7"),
            (12.34, "12.3"),
            (999.0, "999"),
            (999.9, "1.00k"),
            (45_600_000.0, "45.6M"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(share(Some(0.99999)), "99.9%");
        assert_eq!(share(Some(1.0)), "100%");
        assert_eq!(bound(Some(Bound::AtMost(0.025))), "≤ 25 ms");
        assert_eq!(bound(Some(Bound::Over(4.0))), "> 4 s");
    }

    #[test]
    fn a_line_says_what_happens_and_who_is_down() {
        let mut watch = Watch::default();
        let up = |second, hits| answer(Role::Edge, "edge-1", second, &edge(hits, 2, 3));
        let down = Answer {
            scrape: Err("refused".to_owned()),
            ..answer(Role::Edge, "edge-2", 1, "")
        };
        watch.take(at(0), vec![up(0, 0)], vec![]);
        let view = watch.take(at(1), vec![up(1, 1500), down], vec![]);
        assert_eq!(
            line(&view, "12:00:00"),
            "12:00:00  edge/s 1.50k  origin/s 0  bytes/s 1.50M  hit/s 1.50k  offload 100%  waiters 4  peak 4  \
             segment-p99 ≤ 1 ms  edges-up 1/2  down: edge-2 (edge-2:1): refused\n"
        );
    }
}
