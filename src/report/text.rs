//! The report for a terminal: a headline that stands alone, then tables, then the limits of the figures.

use std::fmt::Write;

use comfy_table::{Attribute, CellAlignment, Color};

use super::compare::{self, Comparison};
pub use super::page::{Ink, Page};
use super::summary::Summary;
use super::tables::{self, Align, Cell, Table, Tone};

/// The result of a run, in one sentence.
pub fn headline(summary: &Summary) -> String {
    tables::headline(summary)
}

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

/// The result of a run and its thresholds, without the rest of the report.
pub fn verdict(summary: &Summary, page: Page) -> String {
    let text = opening(summary, page) + "\n" + &write(&tables::checks(summary), page);
    page.wrap(&text)
}

/// Two runs of one scenario and seed beside each other, under their labels.
pub fn beside(first: &Summary, second: &Summary, labels: [&str; 2], page: Page) -> String {
    let table = compare::beside([first, second], labels);
    let [one, other] = labels;
    let title = page.title(&format!("{}: {one} against {other}", first.scenario));
    page.wrap(&format!("{title}\n{}", write(&table, page)))
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

fn opening(summary: &Summary, page: Page) -> String {
    let title = page.title(&tables::title(summary));
    let verdict = page.verdict(summary.verdict);
    let mut text = format!("{title}\n{verdict}  {}\n", headline(summary));
    for caution in tables::cautions(summary) {
        let _ = writeln!(text, "{caution}");
    }
    text
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
