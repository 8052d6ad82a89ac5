//! The report as one HTML page: no external request, no script, light or dark like the reader's system, readable on a phone.
//!
//! All text from a scenario, a target or a label goes through `escape`.

use std::fmt::Write;

use super::beside::{self, Detail};
use super::chart::{self, Chart, Form};
use super::compare::{self, Comparison, Trend};
use super::figures::{self, Backdrop};
use super::headline;
use super::heat_map;
use super::markup::escape;
use super::replay::{self, ReplaySummary};
use super::run::Run;
use super::summary::Summary;
use super::sweep::{self, Sweep};
use super::tables::{self, Align, Cell, Table, Tone};
use super::thresholds::{Verdict, grouped};
use super::twin::Twin;

/// The most runs on one page.
const RUNS_MAX: usize = 5;

/// The page of one run, or of up to five overlaid runs of one scenario and seed. Further runs are left out.
pub fn render(runs: &[Run<'_>]) -> String {
    let runs = &runs[..runs.len().min(RUNS_MAX)];
    let Some(&first) = runs.first() else {
        return page("No run", "<p>There is no run to report on.</p>");
    };
    let backdrop = Backdrop::of(first);
    // First what everybody asks, then pictures, then tables for those who want to know more.
    let mut body = opening(runs);
    body.push_str("<h2>Over time</h2>\n");
    for fault in tables::faults(&first.summary.faults) {
        let _ = writeln!(body, "<p class=\"small red\">{}</p>", escape(&fault));
    }
    body.push_str(&charts(&figures::over_time(runs, &backdrop)));
    body.push_str(&by_place(runs));
    body.push_str("<h2>Distributions</h2>\n");
    body.push_str(&charts(&figures::distributions(runs)));
    body.push_str("<h2>In detail</h2>\n");
    if runs.len() > 1 {
        let mut every = beside::beside(runs, Detail::All);
        // Its sentences stand below the table at the top.
        every.notes.clear();
        body.push_str(&tables_of(&[every]));
    }
    body.push_str(&per_run(runs, |run| {
        tables_of(&[
            tables::checks(run.summary),
            tables::origin(run.summary),
            tables::experience(run.summary),
        ]) + &generator(run.summary)
    }));
    body.push_str(&per_run(runs, |run| {
        tables_of(&[
            tables::latency(run.summary),
            tables::likes(run.summary),
            tables::results(run.summary),
            tables::phases(run.summary),
            tables::edges(run.summary),
            tables::settings(run.summary),
        ])
    }));
    let of_series = "Waiters and origin requests over time are read once a second: what lies between two readings is not \
                     seen."
        .to_owned();
    let limits = tables::limits(first.summary).into_iter();
    body.push_str(&what_is_not_said(limits.chain([of_series])));
    page(
        &format!("{}: {}", first.summary.scenario, first.summary.verdict),
        &body,
    )
}

/// The page of a comparison.
pub fn comparison(comparison: &Comparison) -> String {
    let tone = match comparison.trend {
        Trend::Same | Trend::Better => "good",
        Trend::Worse => "bad",
        Trend::Mixed => "unsure",
    };
    let headline = comparison.headline();
    let (word, sentence) = headline.split_once("  ").unwrap_or(("", &headline));
    let mut body = format!(
        "<header class=\"card\">\n<div class=\"verdict\"><span class=\"badge {tone}\">{}</span><h1>B against A</h1></div>\n\
         <p class=\"headline\">{}</p>\n<p class=\"muted\">A: {}<br>B: {}</p>\n",
        escape(word),
        escape(sentence),
        escape(&comparison.a.to_string()),
        escape(&comparison.b.to_string()),
    );
    for warning in &comparison.warnings {
        let _ = writeln!(
            body,
            "<p class=\"caution\">Not the same: {}.</p>",
            escape(warning)
        );
    }
    body.push_str("</header>\n<h2>Figures</h2>\n");
    body.push_str(&tables_of(&[compare::table(comparison)]));
    page(&format!("Comparison: {word}"), &body)
}

/// A run over sockets beside its twin in virtual time: the figures, and both over time.
pub fn twin(twin: &Twin, runs: &[Run<'_>]) -> String {
    let mut body = heading(
        twin.verdict,
        &format!("{}: twin", twin.scenario),
        &twin.headline(),
    );
    for caution in &twin.cautions {
        let _ = writeln!(
            body,
            "<p class=\"caution\">The run over sockets proves nothing: {}.</p>",
            escape(caution)
        );
    }
    body.push_str("</header>\n<h2>Figures</h2>\n");
    body.push_str(&tables_of(&[twin.table()]));
    if let Some(&first) = runs.first() {
        let backdrop = Backdrop::of(first);
        body.push_str("<h2>Over time</h2>\n");
        body.push_str(&charts(&figures::over_time(runs, &backdrop)));
    }
    page(&format!("{}: twin", twin.scenario), &body)
}

/// The runs of a sweep: heat maps, then every figure.
pub fn sweep(sweep: &Sweep) -> String {
    let verdict = match sweep.runs.iter().all(|run| run.verdict == Verdict::Pass) {
        true => Verdict::Pass,
        false => Verdict::Fail,
    };
    let title = format!("{}: sweep", sweep.scenario);
    let mut body = heading(verdict, &title, &sweep.finding());
    body.push_str("</header>\n");
    for heat in &sweep::HEATS {
        let _ = write!(
            body,
            "<h2>{}</h2>\n{}",
            heat.title,
            heat_map::of_sweep(sweep, heat)
        );
    }
    body.push_str("<h2>All runs</h2>\n");
    body.push_str(&tables_of(&[sweep.table()]));
    page(&title, &body)
}

/// Where and when it happened, if the runs know.
fn by_place(runs: &[Run<'_>]) -> String {
    let places = runs
        .iter()
        .filter_map(|run| Some((run, run.series.places.as_ref()?)));
    let mut text = String::new();
    for (run, places) in places {
        let maps = places.maps.iter();
        let pictures: String = maps.map(|map| heat_map::of_places(places, map)).collect();
        if pictures.is_empty() {
            continue;
        }
        let label = match runs.len() {
            1 => String::new(),
            _ => format!(" · {}", escape(run.label)),
        };
        let _ = write!(text, "<h2>By place and time{label}</h2>\n{pictures}");
    }
    text
}

/// The replay of a trace.
pub fn replay(summary: &ReplaySummary) -> String {
    let mut body = format!(
        "<header class=\"card\">\n<h1>{}</h1>\n<p class=\"headline\">{}</p>\n<p>{}</p>\n<p class=\"small\">{}</p>\n",
        escape(&summary.trace.file),
        escape(&replay::headline(summary)),
        escape(&summary.finding),
        escape(&replay::title(summary)),
    );
    if summary.partial {
        let _ = writeln!(
            body,
            "<p class=\"caution\">Partial: {}</p>",
            escape(replay::PARTIAL)
        );
    }
    body.push_str("</header>\n<div class=\"tiles\">\n");
    let tiles = replay::tiles(summary);
    for (nth, (name, figure, what)) in tiles.iter().enumerate() {
        let class = match nth {
            0 | 5 => "tile wide",
            _ => "tile",
        };
        body.push_str(&tile(class, name, figure, what));
    }
    body.push_str("</div>\n<h2>Load and latency</h2>\n");
    body.push_str(&charts(&replay::figures::charts(summary)));
    body.push_str("<h2>In detail</h2>\n");
    body.push_str(&tables_of(&replay::counted(summary)));
    let _ = write!(
        body,
        "<div class=\"twins\">\n<section>{}</section>\n<section>{}</section>\n</div>\n",
        tables_of(&[replay::latencies(summary)]),
        tables_of(&[replay::settings(summary)]),
    );
    body.push_str(&what_is_not_said(replay::LIMITS));
    page(&format!("{}: replay", summary.trace.file), &body)
}

/// The opening of a page, which its caller closes.
fn heading(verdict: Verdict, title: &str, sentence: &str) -> String {
    let tone = match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::Invalid | Verdict::Interrupted => "unsure",
    };
    format!(
        "<header class=\"card\">\n<div class=\"verdict\"><span class=\"badge {tone}\">{verdict}</span><h1>{}</h1></div>\n\
         <p class=\"headline\">{}</p>\n",
        escape(title),
        escape(sentence)
    )
}

/// A whole document. The policy in its head forbids every external request.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         </body>\n</html>\n",
        escape(title),
        include_str!("page.css"),
    )
}

/// The opening, for readers who read nothing else.
fn opening(runs: &[Run<'_>]) -> String {
    let mut text = String::new();
    for run in runs {
        let summary = run.summary;
        let (tone, mark) = match summary.verdict {
            // A baseline is meant to hurt: that its thresholds hold does not mean that all was well.
            Verdict::Pass if summary.is_baseline() => ("unsure", "baseline ·"),
            Verdict::Pass => ("good", "✓"),
            Verdict::Fail => ("bad", "✕"),
            Verdict::Invalid | Verdict::Interrupted => ("unsure", "!"),
        };
        let label = match runs.len() {
            1 => String::new(),
            _ => format!(" · {}", escape(run.label)),
        };
        let _ = write!(
            text,
            "<header class=\"card\">\n<div class=\"verdict\"><span class=\"badge {tone}\">{mark} {}</span><h1>{}{label}</h1>\
             </div>\n<p class=\"headline\">{}</p>\n<p class=\"small\">{}</p>\n",
            summary.verdict,
            escape(&summary.scenario),
            escape(&headline::headline(summary)),
            escape(&tables::title(summary)),
        );
        for caution in tables::cautions(summary) {
            let _ = writeln!(text, "<p class=\"caution\">{}</p>", escape(&caution));
        }
        text.push_str("</header>\n");
        // Of several runs the table says the same, with the runs beside each other.
        if runs.len() == 1 {
            text.push_str(&tiles(summary));
        }
    }
    if runs.len() > 1 {
        let table = beside::beside(runs, Detail::AtAGlance);
        text.push_str(&tables_of(&[table]));
    }
    text
}

/// The limits of the figures, which end a page.
fn what_is_not_said(limits: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::from(
        "<h2>What the figures do not say</h2>\n<div class=\"card\"><ul class=\"plain\">\n",
    );
    for limit in limits {
        let _ = writeln!(text, "<li>{}</li>", escape(limit.as_ref()));
    }
    text.push_str("</ul></div>\n");
    text
}

/// An important figure.
fn tile(class: &str, name: &str, figure: &str, what: &str) -> String {
    format!(
        "<dl class=\"card {class}\"><dt>{}</dt><dd><span class=\"big\">{}</span><span class=\"small\">{}</span></dd></dl>\n",
        escape(name),
        escape(figure),
        escape(what),
    )
}

/// The most important figures.
fn tiles(summary: &Summary) -> String {
    let origin = &summary.origin;
    let generator = match summary.generator_faults.is_empty() {
        true => "valid",
        false => "INVALID",
    };
    let mut text = format!(
        "<div class=\"tiles\">\n<dl class=\"card tile wide\"><dt>Origin hits for segments</dt><dd class=\"pair\">\
         <span><span class=\"big\">{}</span><span class=\"small\">measured</span></span>\
         <span><span class=\"big\">{}</span><span class=\"small\">predicted from the log{}</span></span></dd></dl>\n",
        tables::measured(&origin.measured, origin.measured.segment),
        headline::predicted(summary),
        if origin.not_binding.is_some() {
            ", not binding"
        } else {
            ""
        },
    );
    if let (Some(offload), Some(of_segments), Some(amplification), Some(excess)) = (
        origin.offload,
        origin.offload_segments,
        origin.amplification,
        origin.excess,
    ) {
        text.push_str(&tile(
            "tile",
            "Offload, segments",
            &format!("{:.2} %", of_segments * 100.0),
            &format!(
                "of segment requests never reached the origin; {:.2} % of all requests",
                offload * 100.0
            ),
        ));
        text.push_str(&tile(
            "tile",
            "Amplification",
            &format!("{amplification:.2}"),
            "origin hits per segment and edge; 1 is the best that separate edges can do",
        ));
        text.push_str(&tile(
            "tile",
            "Excess",
            &format!("{excess:.2}"),
            "origin hits per segment; 1 is the floor of theory",
        ));
    }
    text.push_str(&tile(
        "tile",
        "Perfect visits",
        &format!("{:.1} %", summary.experience.perfect_share * 100.0),
        &format!(
            "of viewers saw nothing go wrong; {:.2} % of the time was stalled",
            summary.experience.stalled_share * 100.0
        ),
    ));
    let (name, figure, what) = match &summary.simulated {
        None => (
            "Load generator",
            generator.to_owned(),
            format!(
                "its wake-ups were late by p99 {:.1} ms; the limit is 20 ms",
                summary.generator.lag_p99_ms
            ),
        ),
        Some(simulated) => (
            "Virtual time",
            format!("{} events", grouped(simulated.events)),
            format!(
                "{} players; event hash {} with seed {}",
                grouped(simulated.players),
                simulated.event_hash,
                summary.seed
            ),
        ),
    };
    text.push_str(&tile("tile wide", name, &figure, &what));
    text.push_str("</div>\n");
    text
}

/// The same content for each run, under its name. Two runs stand side by side where there is space.
fn per_run(runs: &[Run<'_>], of: impl Fn(&Run<'_>) -> String) -> String {
    if let [run] = runs {
        return of(run);
    }
    let mut text = String::from("<div class=\"twins\">\n");
    for run in runs {
        let _ = write!(
            text,
            "<section><h3 class=\"run\">{}</h3>\n{}</section>\n",
            escape(run.label),
            of(run)
        );
    }
    text.push_str("</div>\n");
    text
}

/// Tables that have rows, each on a card.
fn tables_of(all: &[Table]) -> String {
    let mut text = String::from("<div class=\"stack\">\n");
    for table in all.iter().filter(|table| !table.rows.is_empty()) {
        text.push_str("<section class=\"card\">\n");
        text.push_str(&write_table(table));
        text.push_str("</section>\n");
    }
    text.push_str("</div>\n");
    text
}

fn write_table(table: &Table) -> String {
    // A scrollable box must be reachable by keyboard, so it needs a name.
    let mut text = format!(
        "<h3>{0}</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table>\n",
        escape(table.title)
    );
    let names_columns = table.header.iter().skip(1).any(|name| !name.is_empty());
    if names_columns {
        text.push_str(&write_header(table));
    }
    text.push_str("<tbody>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            text.push_str(&write_cell(cell, column));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div>\n");
    for note in &table.notes {
        let _ = writeln!(text, "<p class=\"note\">{}</p>", escape(note));
    }
    text
}

fn write_header(table: &Table) -> String {
    let mut text = String::from("<thead><tr>");
    for (column, name) in table.header.iter().enumerate() {
        let first = table.rows.first().and_then(|row| row.get(column));
        let class = match first.map(|cell| cell.align) {
            Some(Align::Figure) => " class=\"figure\"",
            Some(Align::Words) | None => "",
        };
        let _ = write!(text, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    text.push_str("</tr></thead>\n");
    text
}

fn write_cell(cell: &Cell, column: usize) -> String {
    let tone = match cell.tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Unsure => "unsure",
    };
    let align = match cell.align {
        // A short name is not broken at its hyphen.
        Align::Words if column == 0 && cell.text.len() < 15 => "short",
        Align::Words => "",
        Align::Figure => "figure",
    };
    let class = format!("{align} {tone}");
    let class = match class.trim() {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let text = escape(&cell.text);
    match column {
        0 => format!("<th scope=\"row\"{class}>{text}</th>"),
        _ => format!("<td{class}>{text}</td>"),
    }
}

fn generator(summary: &Summary) -> String {
    let name = match summary.simulated {
        None => "Load generator",
        Some(_) => "Virtual time",
    };
    let mut text = format!("<div class=\"stack\"><section class=\"card\"><h3>{name}</h3>\n");
    for line in tables::generator(summary) {
        let _ = writeln!(text, "<p class=\"note\">{}</p>", escape(&line));
    }
    text.push_str("</section></div>\n");
    text
}

fn charts(all: &[Chart<'_>]) -> String {
    let mut text = String::from("<div class=\"charts\">\n");
    for chart in all {
        let _ = write!(
            text,
            "<figure class=\"card\">\n<figcaption>{}</figcaption>\n{}{}</figure>\n",
            escape(&chart.title),
            legend(chart),
            chart::draw(chart),
        );
    }
    text.push_str("</div>\n");
    text
}

/// The meaning of each colour; a single curve needs no legend.
fn legend(chart: &Chart<'_>) -> String {
    if chart.curves.len() < 2 {
        return String::new();
    }
    let mut text = String::from("<ul class=\"legend\">");
    for curve in &chart.curves {
        let form = match curve.form {
            Form::Line | Form::Steps => "",
            Form::Dashed | Form::DashedSteps => " dashed",
            Form::Area => " area",
        };
        let _ = write!(
            text,
            "<li><span class=\"key {}{form}\"></span>{}</li>",
            curve.ink.name(),
            escape(&curve.name)
        );
    }
    text.push_str("</ul>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::super::series::Series;
    use super::*;
    use crate::policy::status::MissQueue;

    /// The page of the sample: with the queue, without it, or with both runs.
    fn sample_page(miss_queues: &[MissQueue], change: fn(&mut Summary)) -> String {
        let runs: Vec<_> = miss_queues
            .iter()
            .map(|&miss_queue| {
                let record = sample::record(miss_queue);
                let mut summary = sample::summary(&record);
                change(&mut summary);
                (
                    summary,
                    Series::of(&record),
                    format!("miss queue {miss_queue}"),
                )
            })
            .collect();
        let runs: Vec<_> = runs
            .iter()
            .map(|(summary, series, label)| Run {
                summary,
                series,
                label,
            })
            .collect();
        render(&runs)
    }

    #[test]
    fn what_a_scenario_or_a_target_says_is_never_markup() {
        const EVIL: &str = "<script>alert('x')</script>\"&";
        let page = sample_page(&[MissQueue::Flights], |summary| {
            summary.scenario = EVIL.to_owned();
            for edge in &mut summary.edges {
                edge.target = EVIL.to_owned();
                edge.name = Some(EVIL.to_owned());
            }
            for phase in &mut summary.phases {
                phase.name = EVIL.to_owned();
                phase.until_s = 1e9;
            }
            for fault in &mut summary.faults {
                fault.what = EVIL.to_owned();
            }
            for term in &mut summary.origin.terms {
                term.what = EVIL.to_owned();
            }
            for setting in &mut summary.settings {
                setting.value = EVIL.to_owned();
            }
        });
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        for queues in [
            &[MissQueue::Flights][..],
            &[MissQueue::Flights, MissQueue::Off],
        ] {
            let page = sample_page(queues, |_| ());
            for asks in [
                "src=",
                "url(",
                "@import",
                "<script",
                "<iframe",
                "onload",
                "href=\"http",
            ] {
                assert!(!page.contains(asks), "{asks}");
            }
        }
    }

    #[test]
    fn the_verdict_comes_first_and_the_limits_last() {
        let page = sample_page(&[MissQueue::Flights, MissQueue::Off], |_| ());
        let mut from = 0;
        for landmark in [
            "PASS",
            "Beside each other",
            "Over time",
            "Distributions",
            "In detail",
            "Thresholds",
            "What the figures do not say",
        ] {
            let found = page[from..].find(landmark);
            from += found.unwrap_or_else(|| panic!("{landmark} is not where it belongs"));
        }
    }

    #[test]
    fn one_run_has_tiles_and_several_runs_have_a_table() {
        let tiles = "<div class=\"tiles\">";
        let one = sample_page(&[MissQueue::Flights], |_| ());
        assert!(one.contains(tiles) && !one.contains("Beside each other"));
        let two = sample_page(&[MissQueue::Flights, MissQueue::Off], |summary| {
            summary.verdict = Verdict::Pass;
        });
        assert!(!two.contains(tiles) && two.contains("Beside each other"));
        // A baseline whose thresholds hold is not shown as if all were well.
        assert!(two.contains("baseline · PASS") && two.contains("✓ PASS"));
    }

    #[test]
    fn every_id_is_given_once_and_every_tag_is_closed() {
        let page = sample_page(&[MissQueue::Flights, MissQueue::Off], |_| ());
        let mut ids: Vec<_> = page.split(" id=\"").skip(1).collect();
        ids.iter_mut()
            .for_each(|rest| *rest = rest.split('"').next().unwrap());
        let given = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), given);
        for tag in [
            "div", "section", "table", "tr", "td", "figure", "svg", "ul", "li", "dl", "span", "p",
            "text",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn a_page_without_a_run_says_so() {
        assert!(render(&[]).contains("no run"));
    }
}
