//! Heat maps. That of a sweep is a table whose cells are coloured: readable by eyes, by screen readers, on paper and on a phone. That
//! of places over time is a picture, because it has too many cells for figures.

use std::fmt::Write;

use super::markup::escape;
use super::places::{PlaceMap, Places};
use super::sweep::{Heat, Sweep};
use super::thresholds::grouped;

/// The strongest colour, in per cent: figures stay readable on it, on light and dark pages.
const STRONGEST: f64 = 55.0;

/// Height of a row of a picture, and the space for names beside it and for times below.
const ROW: usize = 12;
const NAMES: usize = 130;
const TIMES: usize = 18;
/// Width of a picture without its names.
const WIDTH: usize = 660;

/// A figure by place and time, as a picture with a caption; nothing if it is 0 everywhere.
pub(super) fn of_places(places: &Places, map: &PlaceMap) -> String {
    let Some((peak, name, since)) = places.peak(map) else {
        return String::new();
    };
    let columns = places.columns(map);
    let height = places.names.len() * ROW;
    let wide = WIDTH as f64 / columns.max(1) as f64;
    let said = format!(
        "The strongest colour is {} at {name}, {:.0} s after the start.",
        short(peak),
        since.as_secs_f64()
    );
    let title = escape(map.title);
    let mut text = format!(
        "<figure class=\"card\"><figcaption>{title}</figcaption>\n<p class=\"small muted\">{said}</p>\n\
         <div class=\"scroll\" tabindex=\"0\"><svg class=\"places\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}, by \
         place and time. {said}\">\n",
        NAMES + WIDTH,
        height + TIMES,
    );
    for (row, name) in places.names.iter().enumerate() {
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            NAMES - 6,
            (row + 1) * ROW - 3,
            escape(name)
        );
        for column in 0..columns {
            let share = map.values[row * columns + column] / peak;
            if share > 0.0 {
                let _ = writeln!(
                    text,
                    "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill-opacity=\"{:.2}\"/>",
                    NAMES as f64 + column as f64 * wide,
                    row * ROW,
                    wide + 0.2,
                    ROW - 1,
                    // Little is seen too.
                    0.08 + 0.92 * share
                );
            }
        }
    }
    let whole = places.width.as_secs_f64() * columns as f64;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let anchor = ["start", "middle", "middle", "middle", "end"][quarter as usize];
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"{anchor}\">{:.0} s</text>",
            NAMES as f64 + WIDTH as f64 * share,
            height + TIMES - 4,
            whole * share
        );
    }
    text.push_str("</svg></div></figure>\n");
    text
}

/// A figure in few digits.
fn short(value: f64) -> String {
    match value >= 100.0 {
        true => grouped(value.round() as u64),
        false => format!("{value:.2}"),
    }
}

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
