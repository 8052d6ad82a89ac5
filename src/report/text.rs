//! The report for a terminal: a headline that stands alone, then tables, then the limits of the figures.

use std::fmt::Write;

use comfy_table::{Attribute, CellAlignment, Color};

use super::advice;
use super::beside::{self, Detail};
use super::compare::{self, Comparison};
use super::headline;
pub use super::page::{Ink, Page};
use super::run::Run;
use super::screen;
use super::seeds::Seeds;
use super::settings;
use super::summary::Summary;
use super::sweep::Sweep;
use super::tables::{self, Align, Cell, Table, Tone};
use super::twin::Twin;

/// The whole report of one run.
pub fn render(summary: &Summary, page: Page) -> String {
    let mut text = opening(summary, page);
    for table in tables::all(summary) {
        text.push('\n');
        text.push_str(&write(&table, page));
    }
    text.push('\n');
    let closing = tables::generator(summary);
    for line in closing.into_iter().chain(tables::limits(summary)) {
        let _ = writeln!(text, "{line}");
    }
    text.truncate(text.trim_end().len());
    page.wrap(&text)
}

/// One run, or several runs of one scenario and seed, on one screen.
pub fn screen(runs: &[Run<'_>], page: Page) -> String {
    let [first, rest @ ..] = runs else {
        return String::new();
    };
    let title = match rest {
        [] => tables::title(first.summary),
        _ => tables::title_of_several(first.summary),
    };
    let mut text = page.title(&title) + "\n";
    if rest.is_empty() {
        text.push_str(&page.wrap(&news(first.summary, page)));
        text.push_str(&page.lines(screen::lines(first.summary)));
        return text;
    }
    for run in runs {
        let told = format!("{}: {}", page.title(run.label), news(run.summary, page));
        text.push_str(&page.wrap(&told));
    }
    let mut table = beside::beside(runs, Detail::AtAGlance);
    let notes = std::mem::take(&mut table.notes);
    text.push_str(&write(&table, page));
    let advice = advice::advice(runs);
    for note in notes
        .into_iter()
        .filter(|note| advice.as_ref() != Some(note))
    {
        text.push_str(&page.wrap(&note));
    }
    let said = |run: &Run<'_>| screen::lines(run.summary);
    let last = runs.last().map(said).unwrap_or_default();
    let last = last
        .into_iter()
        .filter(|(name, _)| ["not judged", "faults", "likes"].contains(name));
    // What differs is the runs' names.
    let all: Vec<_> = runs.iter().map(|run| &run.summary.settings[..]).collect();
    let set = settings::shared(&all);
    let set = (!set.is_empty()).then(|| ("set", settings::line(&set)));
    let failed = runs
        .iter()
        .flat_map(|run| said(run).into_iter().filter(|(name, _)| *name == "failed"));
    text.push_str(&page.lines(failed.chain(last).chain(set).collect()));
    // The last line on a terminal is the first that is read.
    text.push_str(&page.wrap(&advice.unwrap_or_default()));
    text
}

/// Runs of one scenario and seed beside each other, with every figure.
pub fn beside(runs: &[Run<'_>], page: Page) -> String {
    page.wrap(&write(&beside::beside(runs, Detail::All), page))
}

fn news(summary: &Summary, page: Page) -> String {
    let baseline = match summary.is_baseline() {
        true => " (a baseline, for comparison)",
        false => "",
    };
    let mut text = format!(
        "{}{baseline}  {}\n",
        page.verdict(summary.verdict),
        headline::headline(summary)
    );
    for caution in tables::cautions(summary) {
        let _ = writeln!(text, "{caution}");
    }
    text
}

/// Any two sides, compared.
pub fn comparison(comparison: &Comparison, page: Page) -> String {
    let title = page.title(&format!("{} against {}", comparison.b, comparison.a));
    let mut text = format!("{title}\n{}\n", comparison.headline());
    for warning in &comparison.warnings {
        let _ = writeln!(text, "Not the same: {warning}.");
    }
    text.push_str(&write(&compare::table(comparison), page));
    page.wrap(&text)
}

/// A run over sockets beside its twin in virtual time.
pub fn twin(twin: &Twin, page: Page) -> String {
    let mut text = format!("{}  {}\n", page.verdict(twin.verdict), twin.headline());
    for caution in &twin.cautions {
        let _ = writeln!(text, "The run over sockets proves nothing: {caution}.");
    }
    text.push_str(&write(&twin.table(), page));
    page.wrap(&text)
}

/// The runs of several seeds.
pub fn seeds(seeds: &Seeds, page: Page) -> String {
    let names: Vec<_> = seeds.seeds.iter().map(u64::to_string).collect();
    let title = format!("{} · seeds {}", seeds.scenario, names.join(", "));
    let table = write(&seeds.table(), page);
    page.wrap(&format!("{}\n{table}", page.title(&title)))
}

/// The runs of a sweep.
pub fn sweep(sweep: &Sweep, page: Page) -> String {
    let table = write(&sweep.table(), page);
    page.wrap(&format!("{table}{}\n", sweep.finding()))
}

fn opening(summary: &Summary, page: Page) -> String {
    format!(
        "{}\n{}",
        page.title(&tables::title(summary)),
        news(summary, page)
    )
}

/// A table and the sentences below it.
pub(super) fn write(table: &Table, page: Page) -> String {
    let mut drawn = page.table(&table.header);
    for row in &table.rows {
        drawn.add_row(row.iter().map(cell));
    }
    if table.header.len() > 8 {
        page.squeeze(&mut drawn);
    }
    let mut text = format!("{drawn}\n");
    for note in &table.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn cell(of: &Cell) -> comfy_table::Cell {
    let cell = comfy_table::Cell::new(&of.text).set_alignment(match of.align {
        Align::Words => CellAlignment::Left,
        Align::Figure => CellAlignment::Right,
    });
    let colour = match of.tone {
        Tone::Plain => return cell,
        Tone::Good => Color::Green,
        Tone::Bad => Color::Red,
        Tone::Unsure => Color::Yellow,
    };
    cell.fg(colour).add_attribute(Attribute::Bold)
}
