//! Heat maps as tables whose cells are coloured: readable by eyes, by screen readers, on paper and on a phone.

use std::fmt::Write;

use super::markup::escape;
use super::sweep::{Heat, Sweep};

/// The strongest colour, in per cent: figures stay readable on it, on light and dark pages.
const STRONGEST: f64 = 55.0;

/// A figure of each run of a sweep. The greatest has the strongest colour.
pub(super) fn of_sweep(sweep: &Sweep, heat: &Heat) -> String {
    let (rows, columns) = sweep.shape();
    let values: Vec<f64> = sweep.runs.iter().map(heat.of).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let (row_axis, column_axis) = match &sweep.axes[..] {
        [row, column] => (Some(row), column),
        [column] => (None, column),
        _ => return String::new(),
    };
    let mut text = String::from(
        "<section class=\"card\"><div class=\"scroll\" tabindex=\"0\"><table class=\"heat\">\n<thead><tr>",
    );
    let corner = row_axis.map_or(String::new(), |row| format!("{} ↓ · ", escape(&row.key)));
    let _ = write!(
        text,
        "<th scope=\"col\">{corner}{} →</th>",
        escape(&column_axis.key)
    );
    for value in &column_axis.values {
        let _ = write!(
            text,
            "<th scope=\"col\" class=\"figure\">{}</th>",
            escape(value)
        );
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in 0..rows {
        let name = row_axis.map_or("", |axis| &axis.values[row]);
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escape(name));
        let here = values.iter().skip(row * columns).take(columns);
        for &value in here {
            let share = if most > 0.0 { value / most } else { 0.0 };
            let _ = write!(
                text,
                "<td class=\"figure\" style=\"--heat:{:.0}%\">{}</td>",
                share * STRONGEST,
                escape(&(heat.told)(value))
            );
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table></div></section>\n");
    text
}
