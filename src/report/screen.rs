//! A run, or a comparison of runs, on one screen: the verdict and the news first, then what a reader asks next.

use super::headline::{self, count};
use super::latency;
use super::record::ResultWord;
use super::servers;
use super::settings;
use super::summary::Summary;
use super::tables;
use super::thresholds::{Ruling, grouped};

/// A line of the screen: a name, and what is said under it.
pub(super) type Line = (&'static str, String);

/// What is said of a run, in the order of the screen.
pub(super) fn lines(summary: &Summary) -> Vec<Line> {
    let all = [
        ("failed", failed_checks(summary)),
        ("not judged", not_judged(summary)),
        ("faults", faults(summary)),
        ("waiting", headline::waiting(summary)),
        ("origin", Some(origin(summary))),
        ("servers", servers::answers(summary)),
        ("last mile", servers::blame(summary)),
        ("capacity", tables::shed(summary)),
        ("viewers", Some(viewers(summary))),
        ("trouble", trouble(summary)),
        ("answers", answers(summary)),
        ("segments", segments(summary)),
        ("likes", likes(summary)),
        match &summary.simulated {
            None => ("generator", Some(generator(summary))),
            Some(simulated) => {
                let told = tables::in_virtual_time(summary, simulated);
                ("virtual time", Some(told))
            }
        },
        (
            "set",
            (!summary.settings.is_empty()).then(|| settings::line(&summary.settings)),
        ),
    ];
    all.into_iter()
        .filter_map(|(name, said)| Some((name, said?)))
        .collect()
}

/// The thresholds that do not hold; `None` if all hold.
fn failed_checks(summary: &Summary) -> Option<String> {
    let failed = summary
        .checks
        .iter()
        .filter(|check| check.ruling == Ruling::Fail);
    let failed: Vec<_> = failed
        .map(|check| {
            format!(
                "{}: {}, must be {}",
                check.what, check.measured, check.limit
            )
        })
        .collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

/// The thresholds that the run cannot answer, and why.
fn not_judged(summary: &Summary) -> Option<String> {
    let mut whys: Vec<(&str, u64)> = Vec::new();
    for check in &summary.checks {
        let Ruling::NotJudged(why) = &check.ruling else {
            continue;
        };
        match whys.iter_mut().find(|(known, _)| known == why) {
            Some((_, thresholds)) => *thresholds += 1,
            None => whys.push((why, 1)),
        }
    }
    let told: Vec<_> = whys
        .into_iter()
        .map(|(why, thresholds)| format!("{}: {why}", count(thresholds, "threshold")))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn faults(summary: &Summary) -> Option<String> {
    let told: Vec<_> = tables::faults(&summary.faults).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn origin(summary: &Summary) -> String {
    let origin = &summary.origin;
    let hits = &origin.measured;
    if hits.uncounted {
        return "unknown: no origin of Seawall counted the requests (--origin-admin URL, where there is one)".to_owned();
    }
    // Retries and prefetches may be more than what viewers asked for.
    let saved = origin.offload_segments.filter(|&share| share > 0.0);
    let saved = saved.map_or_else(String::new, |share| {
        format!(
            "; {:.2} % of the segment requests never reached it",
            share * 100.0
        )
    });
    format!(
        "{} for segments, {} predicted from the viewers' log; {} for playlists{saved}",
        grouped(hits.segment),
        headline::predicted(summary),
        grouped(hits.media_playlist + hits.multivariant),
    )
}

fn viewers(summary: &Summary) -> String {
    let experience = &summary.experience;
    format!(
        "{} of {} started, in p50 {} and p95 {}; {} stalled, {:.1} % of the time; {:.1} % of the visits were perfect",
        grouped(experience.started),
        grouped(u64::from(summary.viewers.started)),
        tables::seconds(experience.startup_p50_s),
        tables::seconds(experience.startup_p95_s),
        grouped(experience.viewers_stalled),
        experience.stalled_share * 100.0,
        experience.perfect_share * 100.0,
    )
}

fn trouble(summary: &Summary) -> Option<String> {
    let experience = &summary.experience;
    let parts = [
        (experience.start_failures, "gave up before the first frame"),
        (experience.fatal, "gave up later"),
        (experience.retries, "requests were tried again"),
        (experience.failovers, "moves to another edge"),
    ];
    let told: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// The answers by status; `None` if all were good.
fn answers(summary: &Summary) -> Option<String> {
    let mut statuses = summary.requests.iter().flat_map(|row| row.statuses.keys());
    statuses
        .any(|status| !matches!(status, 200 | 206))
        .then(|| summary.answers())
}

fn segments(summary: &Summary) -> Option<String> {
    let row = latency::of_segments(&summary.latency)?;
    let words = summary.requests.iter().flat_map(|row| &row.words);
    let of = |wanted: ResultWord| -> u64 {
        let counts = words.clone().filter(|(word, _)| **word == wanted);
        counts.map(|(_, count)| count).sum()
    };
    Some(format!(
        "p50 {:.1} ms, p99 {:.1} ms from wanted to whole; of all requests {} hits, {} collapsed, {} misses",
        row.p50_ms,
        row.p99_ms,
        grouped(of(ResultWord::Hit)),
        grouped(of(ResultWord::Collapsed)),
        grouped(of(ResultWord::Miss)),
    ))
}

fn likes(summary: &Summary) -> Option<String> {
    let likes = summary.likes.as_ref()?;
    Some(match &likes.not_taken {
        Some(why) => format!("none were sent: {why}"),
        None => format!(
            "{} of {} acknowledged, p99 {:.1} ms; {} with an unknown outcome",
            grouped(likes.acknowledged),
            count(likes.sent, "like"),
            likes.p99_ms,
            grouped(likes.unknown),
        ),
    })
}

fn generator(summary: &Summary) -> String {
    let valid = match summary.generator_faults.is_empty() {
        true => "valid".to_owned(),
        false => format!("INVALID: {}", summary.generator_faults.join("; ")),
    };
    format!(
        "{valid}; late by p99 {:.1} ms (limit 20 ms)",
        summary.generator.lag_p99_ms
    )
}
