//! The report in GitHub's Markdown: the content of the terminal report, with the verdict on top.

use std::fmt::Write;

use super::headline;
use super::summary::Summary;
use super::tables::{self, Align, Table, Tone};

/// The text of `report.md`.
pub fn render(summary: &Summary) -> String {
    let mut text = format!(
        "# {}: {}\n\n{}\n\n{}\n",
        escape(&summary.scenario),
        summary.verdict,
        escape(&headline::headline(summary)),
        escape(&tables::title(summary)),
    );
    for caution in tables::cautions(summary) {
        let _ = write!(text, "\n> {}\n", escape(&caution));
    }
    for table in tables::all(summary) {
        text.push('\n');
        text.push_str(&write_table(&table));
    }
    text.push_str("\n## Load generator\n\n");
    list(&mut text, &tables::generator(summary));
    text.push_str("\n## What the figures do not say\n\n");
    list(&mut text, &tables::limits(summary));
    text
}

fn write_table(table: &Table) -> String {
    let mut text = format!("## {}\n\n", table.title);
    line(&mut text, table.header.iter().map(|name| escape(name)));
    let aligns = (0..table.header.len()).map(|column| {
        let first = table.rows.first().and_then(|row| row.get(column));
        match first.map(|cell| cell.align) {
            Some(Align::Figure) => "---:".to_owned(),
            Some(Align::Words) | None => "---".to_owned(),
        }
    });
    line(&mut text, aligns);
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell.tone {
            Tone::Plain => escape(&cell.text),
            Tone::Good | Tone::Bad | Tone::Unsure => format!("**{}**", escape(&cell.text)),
        });
        line(&mut text, cells);
    }
    if !table.notes.is_empty() {
        text.push('\n');
        list(&mut text, &table.notes);
    }
    text
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<_> = cells.collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn list(text: &mut String, sentences: &[String]) {
    for sentence in sentences {
        let one_line = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "- {}", escape(&one_line));
    }
}

/// Text without markup, HTML, or a character that ends a table cell.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::super::text::{self, Page};
    use super::*;
    use crate::policy::status::MissQueue;

    #[test]
    fn the_verdict_is_on_top_and_every_table_of_the_terminal_is_there() {
        let summary = sample::summary(&sample::record(MissQueue::Flights));
        let markdown = render(&summary);
        assert!(markdown.starts_with("# sample: PASS\n"), "{markdown}");
        for table in tables::all(&summary) {
            assert!(markdown.contains(&format!("\n## {}\n", table.title)));
        }
        let terminal = text::render(&summary, Page::default());
        assert!(terminal.contains("plateau") && markdown.contains("| plateau |"));
        assert!(terminal.contains("F1, from") && markdown.contains("F1, from"));
    }

    #[test]
    fn every_line_of_a_table_has_the_same_columns() {
        let markdown = render(&sample::summary(&sample::record(MissQueue::Off)));
        let mut columns = 0;
        for line in markdown.lines() {
            let bars = line.matches(" | ").count();
            match (line.starts_with('|'), columns) {
                (true, 0) => columns = bars,
                (true, _) => assert_eq!(bars, columns, "{line}"),
                (false, _) => columns = 0,
            }
        }
    }

    #[test]
    fn names_are_not_markup() {
        let mut summary = sample::summary(&sample::record(MissQueue::Flights));
        summary.scenario = "a|b <img src=x> [c](d)".to_owned();
        let markdown = render(&summary);
        assert!(
            markdown.starts_with("# a\\|b &lt;img src=x&gt; \\[c\\](d): PASS"),
            "{markdown}"
        );
    }
}
