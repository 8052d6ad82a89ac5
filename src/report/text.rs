//! The report for a terminal: a headline that stands alone, then tables, then what the figures do not say.

use std::fmt::Write;

use comfy_table::{Attribute, Cell, Color};

use super::latency::Since;
use super::page::number;
pub use super::page::{Ink, Page};
use super::record::{Kind, Outcome, Process, ResultWord};
use super::summary::Summary;
use super::verdict::{Ruling, grouped};
use crate::policy::status::MissQueue;

/// What a run comes to, in one sentence.
pub fn headline(summary: &Summary) -> String {
    let origin = &summary.origin;
    if origin.measured.uncounted {
        return format!(
            "{} viewers, {} requests; how many of them the origin answered is unknown.",
            grouped(u64::from(summary.viewers.started)),
            grouped(summary.requests_total()),
        );
    }
    let (least, most) = origin.predicted;
    let measured = origin.measured.segment;
    let beside = match (least == most, &origin.not_binding) {
        (_, Some(why)) => format!(
            "{} were predicted, which does not bind: {why}",
            grouped(least)
        ),
        (true, None) if measured == least => {
            format!("exactly the {} predicted", grouped(least))
        }
        (true, None) => format!("{} were predicted", grouped(least)),
        (false, None) => format!("{} to {} were predicted", grouped(least), grouped(most)),
    };
    format!(
        "{} viewers, {} requests; the origin answered {} for segments: {beside}.",
        grouped(u64::from(summary.viewers.started)),
        grouped(summary.requests_total()),
        grouped(measured),
    )
}

/// The whole report of one run.
pub fn render(summary: &Summary, page: Page) -> String {
    let mut text = String::new();
    let parts = [
        opening(summary, page),
        checks(summary, page),
        results(summary, page),
        origin(summary, page),
        latency(summary, page),
        experience(summary, page),
        closing(summary),
    ];
    for part in parts {
        text.push_str(part.trim_end());
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    page.wrap(&text)
}

/// Two runs of one scenario and seed beside each other, under their labels.
pub fn beside(flights: &Summary, off: &Summary, labels: [&str; 2], page: Page) -> String {
    let mut table = page.table(["", labels[0], labels[1], "ratio"]);
    let mut row = |what: &str, value: fn(&Summary) -> f64, write: fn(f64) -> String| {
        let (on, off) = (value(flights), value(off));
        // A ratio of two values that both print as zero says nothing.
        let ratio = match on > 0.0005 {
            true => format!("{:.2}", off / on),
            false => "-".to_owned(),
        };
        table.add_row([
            Cell::new(what),
            number(write(on)),
            number(write(off)),
            number(ratio),
        ]);
    };
    let whole = |value: f64| grouped(value as u64);
    let share = |value: f64| format!("{:.3} %", value * 100.0);
    let times = |value: f64| format!("{value:.3}");
    let millis = |value: f64| format!("{value:.1} ms");
    row(
        "viewer requests",
        |summary| summary.requests_total() as f64,
        whole,
    );
    row(
        "origin hits, segments",
        |summary| summary.origin.measured.segment as f64,
        whole,
    );
    row(
        "  predicted",
        |summary| summary.origin.predicted.0 as f64,
        whole,
    );
    row(
        "  most for one segment",
        |summary| summary.origin.measured.most_per_segment as f64,
        whole,
    );
    row(
        "origin hits, playlists",
        |summary| {
            let hits = &summary.origin.measured;
            (hits.media_playlist + hits.multivariant) as f64
        },
        whole,
    );
    row(
        "segments that leak to the origin",
        |summary| 1.0 - summary.origin.offload_segments,
        share,
    );
    row(
        "hits per segment and edge",
        |summary| summary.origin.amplification,
        times,
    );
    row("hits per segment", |summary| summary.origin.excess, times);
    row(
        "segment latency p50",
        |summary| segment_latency(summary, |row| row.p50_ms),
        millis,
    );
    row(
        "segment latency p99",
        |summary| segment_latency(summary, |row| row.p99_ms),
        millis,
    );
    row(
        "stalled share",
        |summary| summary.experience.stalled_share,
        share,
    );
    let saved = off
        .origin
        .measured
        .segment
        .saturating_sub(flights.origin.measured.segment);
    let text = format!(
        "{}\n{table}\nThe first kept {} of the {} segment requests of the second from the origin. Both runs drew the same {} \
         viewers (seed {}).\n",
        page.title(&format!(
            "{}: {} against {}",
            flights.scenario, labels[0], labels[1]
        )),
        grouped(saved),
        grouped(off.origin.measured.segment),
        grouped(u64::from(flights.viewers.scheduled)),
        flights.seed,
    );
    page.wrap(&text)
}

fn segment_latency(summary: &Summary, of: fn(&super::latency::Row) -> f64) -> f64 {
    summary
        .latency
        .iter()
        .find(|row| row.kind == Kind::Segment && row.since == Since::Intended)
        .map_or(0.0, of)
}

fn opening(summary: &Summary, page: Page) -> String {
    let began = summary.began.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
    let title = page.title(&format!(
        "{} · miss queue {} · seed {} · {began} · {:.1} s",
        summary.scenario, summary.miss_queue, summary.seed, summary.elapsed_s
    ));
    let verdict = page.verdict(summary.verdict);
    let mut text = format!("{title}\n{verdict}  {}\n", headline(summary));
    if summary.interrupted {
        text.push_str("The run was interrupted: all figures are of the part that was played.\n");
    }
    for fault in &summary.generator_faults {
        let _ = writeln!(text, "The generator is INVALID: {fault}.");
    }
    text
}

fn checks(summary: &Summary, page: Page) -> String {
    let mut table = page.table(["", "what must hold", "limit", "measured"]);
    for check in &summary.checks {
        let (word, colour, why) = match &check.ruling {
            Ruling::Pass => ("PASS", Color::Green, String::new()),
            Ruling::Fail => ("FAIL", Color::Red, String::new()),
            Ruling::NotJudged(why) => ("----", Color::Yellow, format!(" (not judged: {why})")),
        };
        table.add_row([
            Cell::new(word).fg(colour).add_attribute(Attribute::Bold),
            Cell::new(format!("{}{why}", check.what)),
            number(&check.limit),
            number(&check.measured),
        ]);
    }
    table.to_string()
}

fn results(summary: &Summary, page: Page) -> String {
    let words: Vec<_> = ResultWord::ALL
        .into_iter()
        .filter(|word| {
            let mut rows = summary.requests.iter();
            rows.any(|row| row.words.contains_key(word))
        })
        .collect();
    let outcomes: Vec<_> = Outcome::ALL
        .into_iter()
        .filter(|&outcome| outcome != Outcome::Ok)
        .filter(|outcome| {
            let mut rows = summary.requests.iter();
            rows.any(|row| row.outcomes.contains_key(outcome))
        })
        .collect();
    let mut header = vec!["viewer requests".to_owned(), "all".to_owned()];
    header.extend(words.iter().map(ToString::to_string));
    header.extend(outcomes.iter().map(|outcome| format!("! {outcome}")));
    header.push("MB".to_owned());
    let mut table = page.table(header);
    for row in &summary.requests {
        let mut cells = vec![Cell::new(row.kind), number(grouped(row.total))];
        let counts = words
            .iter()
            .map(|word| row.words.get(word))
            .chain(outcomes.iter().map(|outcome| row.outcomes.get(outcome)));
        cells.extend(counts.map(|count| number(grouped(count.copied().unwrap_or(0)))));
        cells.push(number(grouped(row.bytes / 1_000_000)));
        table.add_row(cells);
    }
    let mut text = table.to_string();
    let ok = summary.outcomes(Kind::Segment, Outcome::Ok);
    let _ = write!(
        text,
        "\n{} segments were received and equal, byte for byte, {}.",
        grouped(ok),
        summary.held_against
    );
    text
}

fn origin(summary: &Summary, page: Page) -> String {
    let origin = &summary.origin;
    let hits = &origin.measured;
    let asked = |kind| {
        let rows = summary.requests.iter();
        rows.filter(|row| row.kind == kind)
            .map(|row| row.total)
            .sum::<u64>()
    };
    let (least, most) = origin.predicted;
    let predicted = match least == most {
        true => grouped(least),
        false => format!("{} to {}", grouped(least), grouped(most)),
    };
    let mut table = page.table([
        "origin hits",
        "asked of the edges",
        "measured",
        "predicted",
        "how",
    ]);
    let mut row = |kind: Kind, measured, predicted: String, how: &str| {
        let measured = match hits.uncounted {
            true => "unknown".to_owned(),
            false => grouped(measured),
        };
        table.add_row([
            Cell::new(kind),
            number(grouped(asked(kind))),
            number(measured),
            number(predicted),
            Cell::new(how),
        ]);
    };
    row(Kind::Segment, hits.segment, predicted, "from the log");
    let playlists = origin.expected_media_playlists;
    row(
        Kind::MediaPlaylist,
        hits.media_playlist,
        playlists.map_or_else(|| "-".to_owned(), |expected| format!("~ {expected:.0}")),
        match (playlists, summary.miss_queue) {
            (None, _) => "",
            (_, MissQueue::Flights | MissQueue::Moka | MissQueue::Poll500ms) => "1 / (T + L + 1/r)",
            (_, MissQueue::Off) => "(1 + rL) / (T + L + 1/r)",
        },
    );
    row(Kind::Multivariant, hits.multivariant, "-".to_owned(), "");
    let mut text = format!("{table}\n");
    let terms: Vec<_> = origin
        .terms
        .iter()
        .filter(|term| term.count > 0)
        .map(|term| format!("{} {}", grouped(term.count), term.what))
        .collect();
    let sum = match terms.is_empty() {
        true => "0: nobody asked for a segment".to_owned(),
        false => terms.join("\n          + "),
    };
    let _ = writeln!(text, "predicted = {sum}");
    if let Some(fetch_ms) = origin.fetch_ms {
        let _ = writeln!(
            text,
            "theory without a queue: the sum of 1 + Nx - x^N over {} keys is {:.0}; x = L / W = {fetch_ms:.1} ms / {:.0} ms",
            grouped(origin.keys),
            origin.expected_uncollapsed,
            origin.window_ms,
        );
    }
    if hits.uncounted {
        return text;
    }
    let _ = writeln!(
        text,
        "offload {:.3} % of all requests, {:.3} % of segments · {:.3} hits per segment and edge · {:.3} per segment",
        origin.offload * 100.0,
        origin.offload_segments * 100.0,
        origin.amplification,
        origin.excess,
    );
    let waiters = &summary.waiters;
    if summary.miss_queue != MissQueue::Off {
        let _ = writeln!(
            text,
            "waiters: {}at most {} collapsed for one segment, {:.1} per segment flight on average (log); {:.1} expected \
             (rL)",
            waiters.peak.map_or(String::new(), |peak| format!(
                "at most {} for one flight (edges) · ",
                grouped(peak)
            )),
            grouped(waiters.collapsed_most),
            waiters.mean,
            waiters.expected_mean,
        );
    }
    text
}

fn latency(summary: &Summary, page: Page) -> String {
    let mut table = page.table([
        "latency in ms",
        "since",
        "count",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ]);
    for row in &summary.latency {
        let name = match row.word {
            Some(word) => format!("{}, {word}", row.kind),
            None => row.kind.to_string(),
        };
        let since = match row.since {
            Since::Intended => "wanted",
            Since::Sent => "sent",
        };
        let mut cells = vec![
            Cell::new(name),
            Cell::new(since),
            number(grouped(row.count)),
        ];
        let percentiles = [row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms, row.max_ms];
        cells.extend(percentiles.map(|millis| number(format!("{millis:.1}"))));
        table.add_row(cells);
    }
    format!(
        "{table}\nwanted: from when the player wanted it to its last byte, a late generator included; sent: from when it was \
         sent\n"
    )
}

fn experience(summary: &Summary, page: Page) -> String {
    let experience = &summary.experience;
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let rows = [
        (
            "startup",
            format!(
                "p50 {:.2} s, p95 {:.2} s; {} started, {} failed to, {} left before",
                experience.startup_p50_s,
                experience.startup_p95_s,
                grouped(experience.started),
                grouped(experience.start_failures),
                grouped(experience.exits_before_start),
            ),
        ),
        (
            "rebuffering",
            format!(
                "{:.2} % of the time; {} events at {} viewers",
                experience.stalled_share * 100.0,
                grouped(experience.stalls),
                grouped(experience.viewers_stalled),
            ),
        ),
        (
            "failures",
            format!(
                "{} fatal, {} retried requests, {} segments stepped over",
                grouped(experience.fatal),
                grouped(experience.retries),
                grouped(experience.skipped),
            ),
        ),
        (
            "bitrate",
            format!(
                "{:.0} kb/s on average; {} switches",
                experience.bitrate_mean_bps / 1e3,
                grouped(experience.switches),
            ),
        ),
        (
            "behind live",
            format!(
                "p50 {} s, p95 {} s, drift {} s",
                seconds(experience.live_latency_p50_s),
                seconds(experience.live_latency_p95_s),
                seconds(experience.live_latency_drift_s),
            ),
        ),
        (
            "perfect visits",
            format!("{:.1} %", experience.perfect_share * 100.0),
        ),
    ];
    let mut table = page.table(["quality of experience", ""]);
    for (what, value) in rows {
        table.add_row([what.to_owned(), value]);
    }
    table.to_string()
}

fn closing(summary: &Summary) -> String {
    let generator = &summary.generator;
    let valid = match summary.generator_faults.is_empty() {
        true => "valid",
        false => "INVALID",
    };
    let mut text = format!(
        "generator {valid}: {} wake-ups, late by p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (limit: p99 20 ms)\n",
        grouped(generator.wakes),
        generator.lag_p50_ms,
        generator.lag_p99_ms,
        generator.lag_max_ms,
    );
    match generator.cpu {
        Some(cpu) if cpu.process == Process::Own => {
            let _ = writeln!(
                text,
                "processor time: {:.1} s, {:.0} % of the machine (limit: 85 %)",
                cpu.busy_s,
                cpu.share * 100.0
            );
        }
        Some(cpu) if cpu.process == Process::WithOrigin => {
            let _ = writeln!(
                text,
                "processor time: {:.1} s, {:.0} % of the machine, origin and broadcaster included; the edges are processes of \
                 their own (limit: 85 %)",
                cpu.busy_s,
                cpu.share * 100.0
            );
        }
        Some(cpu) => {
            let _ = writeln!(
                text,
                "processor time: {:.1} s, {:.0} % of the machine, servers included: they run in the same process, so the \
                 generator is judged by its lateness alone",
                cpu.busy_s,
                cpu.share * 100.0
            );
        }
        None => text.push_str("processor time: unknown on this system\n"),
    }
    if summary.requests_unlogged > 0 {
        let _ = writeln!(
            text,
            "{} requests were beyond the bound of the log and are in no figure above",
            grouped(summary.requests_unlogged)
        );
    }
    text.push_str(
        "The last mile is modelled in the viewer; sockets, caches and every byte are real. One run is one sample.\n",
    );
    text
}
