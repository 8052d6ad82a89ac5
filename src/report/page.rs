//! The page of a text report: its width, its colours, its tables.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, Width};

use super::thresholds::Verdict;

/// The format of the text.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Number of columns, at least 60.
    pub width: u16,
    /// Whether the output understands colours.
    pub ink: Ink,
}

/// Whether the output understands colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// A file or a pipe: plain text.
    Plain,
    /// A terminal.
    Coloured,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            width: 100,
            ink: Ink::Plain,
        }
    }
}

impl Page {
    /// An empty table that fits the page.
    pub(super) fn table(self, header: &[String]) -> Table {
        let mut table = Table::new();
        table
            .load_style(UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.width.max(60))
            .force_no_tty();
        if self.ink == Ink::Coloured {
            table.enforce_styling();
        }
        let bold = |name: &String| Cell::new(name).add_attribute(Attribute::Bold);
        table.set_header(header.iter().map(bold).collect::<Vec<_>>());
        table
    }

    /// Moves the columns of a table closer together and keeps their words whole, if the page is wide enough for that.
    pub(super) fn squeeze(self, table: &mut Table) {
        let words: Vec<u16> = (0..table.column_count())
            .map(|column| {
                let cells = table.column_cells_with_header_iter(column).flatten();
                let cells = cells
                    .map(|cell| cell.content().to_owned())
                    .collect::<Vec<_>>();
                let words = cells.iter().flat_map(|text| text.split_whitespace());
                words.map(|word| word.chars().count()).max().unwrap_or(0) as u16
            })
            .collect();
        let room = self.width.max(60);
        // Two borders, two columns between neighbours, one at either end.
        if words.iter().sum::<u16>() + 2 * words.len() as u16 + 2 > room {
            return;
        }
        for (index, (column, word)) in table.column_iter_mut().zip(words).enumerate() {
            let left = u16::from(index == 0);
            column.set_padding((left, 1));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                word + left + 1,
            )));
        }
    }

    /// Breaks lines between words where they are too long; tables already fit.
    pub(super) fn wrap(self, text: &str) -> String {
        let width = usize::from(self.width.max(40));
        let mut wrapped = String::with_capacity(text.len());
        for line in text.lines() {
            let mut column = 0;
            for word in line.split_inclusive(' ') {
                let length = visible(word.trim_end());
                if column > 0 && column + length > width {
                    wrapped.truncate(wrapped.trim_end_matches(' ').len());
                    wrapped.push_str("\n  ");
                    column = 2;
                }
                wrapped.push_str(word);
                column += visible(word);
            }
            wrapped.push('\n');
        }
        wrapped
    }

    /// Lines that begin with a name; what is said beside a name stays beside it.
    pub(super) fn lines(self, lines: Vec<(&'static str, String)>) -> String {
        const NAMES: usize = 11;
        let beside = Self {
            width: self.width.max(60) - NAMES as u16,
            ..self
        };
        let mut text = String::new();
        for (name, said) in lines {
            for (index, line) in beside.wrap(&said).lines().enumerate() {
                let name = if index == 0 { name } else { "" };
                text.push_str(format!("{name:NAMES$}{}", line.trim()).trim_end());
                text.push('\n');
            }
        }
        text
    }

    pub(super) fn title(self, text: &str) -> String {
        match self.ink {
            Ink::Plain => text.to_owned(),
            Ink::Coloured => format!("\x1b[1m{text}\x1b[0m"),
        }
    }

    pub(super) fn verdict(self, verdict: Verdict) -> String {
        let colour = match verdict {
            Verdict::Pass => 32,
            Verdict::Fail => 31,
            Verdict::Invalid | Verdict::Interrupted => 33,
        };
        match self.ink {
            Ink::Plain => verdict.to_string(),
            Ink::Coloured => format!("\x1b[1;{colour}m{verdict}\x1b[0m"),
        }
    }
}

/// Number of columns that a text takes, without colour codes.
fn visible(text: &str) -> usize {
    let mut coloured = false;
    text.chars()
        .filter(|&letter| {
            let ends = coloured && letter == 'm';
            let hidden = coloured || letter == '\x1b';
            coloured = hidden && !ends;
            !hidden
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_colours_take_no_room() {
        let page = Page {
            width: 60,
            ink: Ink::Plain,
        };
        let line = "word ".repeat(20);
        let wrapped = page.wrap(&line);
        assert!(wrapped.lines().all(|line| line.chars().count() <= 60));
        assert_eq!(wrapped.split_whitespace().count(), 20);
        assert_eq!(visible("\x1b[1;32mPASS\x1b[0m"), 4);
    }
}
