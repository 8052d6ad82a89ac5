//! A chart as inline SVG that follows its page: it has the page's colours and the available width.
//!
//! The plotting library knows neither style sheets nor themes. So it draws with placeholder colours, which are then replaced by
//! the page's variables.

use std::fmt::Write;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::markup::escape;

/// The content of a chart.
#[derive(Clone, Debug)]
pub(super) struct Chart<'a> {
    /// Unique on the page.
    pub(super) id: String,
    /// The title, in a few words.
    pub(super) title: String,
    /// What the chart shows, for readers who cannot see it.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// In the order in which they are drawn; the last lies on top.
    pub(super) curves: Vec<Curve>,
    /// Named ranges of the x axis.
    pub(super) bands: &'a [Band],
    /// Faults on the x axis, numbered from 1.
    pub(super) faults: &'a [Range<f64>],
}

/// An axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// What the axis counts, with the unit.
    pub(super) name: &'static str,
    pub(super) scale: Scale,
    /// The smallest end value of the axis.
    pub(super) least_end: f64,
}

/// How values are laid out on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, from zero.
    Linear,
    /// Evenly, from zero; shares of one, written as percentages.
    Share,
    /// By powers of ten; zero has a line of its own below the smallest of them.
    Log,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Its name in the legend.
    pub(super) name: String,
    pub(super) ink: Ink,
    pub(super) form: Form,
    /// Sorted by x; where y is unknown the curve has a gap.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A named range of the x axis.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) name: String,
    pub(super) range: Range<f64>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// From point to point.
    Line,
    /// From point to point, dashed.
    Dashed,
    /// Horizontal until the next point.
    Steps,
    /// Horizontal until the next point, dashed.
    DashedSteps,
    /// Filled down to the axis.
    Area,
}

impl Form {
    /// Whether the curve is dashed, so that it has gaps by design.
    pub(super) fn is_dashed(self) -> bool {
        matches!(self, Self::Dashed | Self::DashedSteps)
    }

    fn has_steps(self) -> bool {
        matches!(self, Self::Steps | Self::DashedSteps)
    }
}

/// A colour of the page, by its name in the style sheet. Colour-blind readers can tell the six curve colours apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Blue,
    Orange,
    Red,
    Green,
    Purple,
    Grey,
    /// Letters.
    Text,
    /// Lines of the grid.
    Grid,
    /// Every other band.
    Band,
}

impl Ink {
    const ALL: [Self; 9] = [
        Self::Blue,
        Self::Orange,
        Self::Red,
        Self::Green,
        Self::Purple,
        Self::Grey,
        Self::Text,
        Self::Grid,
        Self::Band,
    ];

    /// Its name in the style sheet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Orange => "orange",
            Self::Red => "red",
            Self::Green => "green",
            Self::Purple => "purple",
            Self::Grey => "grey",
            Self::Text => "muted",
            Self::Grid => "grid",
            Self::Band => "band",
        }
    }

    /// The placeholder colour, one for solid lines and one for dashed ones.
    fn sentinel(self, form: Form) -> RGBColor {
        let dashed = u8::from(form.is_dashed());
        RGBColor(1 + dashed, 0, self as u8)
    }
}

/// The library's coordinates are whole numbers. The drawing is this many times larger than its units, so that curves are
/// smooth.
const FINE: i32 = 4;
const WIDTH: i32 = 480 * FINE;
const PLOT_HEIGHT: i32 = 190 * FINE;
const LETTER: i32 = 16 * FINE;
const ROW: i32 = 21 * FINE;
const LEFT: i32 = 66 * FINE;
/// Below the plot: the ticks' labels, then the name of the axis.
const BELOW: i32 = 50 * FINE;
const RIGHT: i32 = 14 * FINE;
/// Space between the words above the plot and the plot, so that the highest tick's label fits.
const GAP: i32 = 8 * FINE;
/// Average width of a letter.
const LETTER_WIDTH: i32 = LETTER * 11 / 20;

/// The chart as an SVG element, to be put into a page with the style sheet of the report.
pub(super) fn draw(chart: &Chart<'_>) -> String {
    let mut svg = String::new();
    let height = height(chart);
    if let Err(error) = draw_into(&mut svg, height, chart) {
        return format!("<p>This chart could not be drawn: {}</p>", escape(&error));
    }
    // The library's own opening tag has a fixed width and no name.
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut page = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>",
        escape(&chart.title),
        escape(&chart.description),
        id = chart.id,
    );
    page.push_str(&themed(body));
    page
}

fn height(chart: &Chart<'_>) -> i32 {
    rows(chart) * ROW + GAP + PLOT_HEIGHT + BELOW
}

/// Number of text rows above the plot: the unit, the bands' names, the faults' numbers.
fn rows(chart: &Chart<'_>) -> i32 {
    1 + i32::from(!chart.bands.is_empty()) + i32::from(!chart.faults.is_empty())
}

fn draw_into(svg: &mut String, height: i32, chart: &Chart<'_>) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let root = SVGBackend::with_string(svg, (WIDTH as u32, height as u32)).into_drawing_area();
    let x_end = end(chart, |point| Some(point.0)).max(chart.x.least_end);
    let y = y_range(chart);
    let x_ruler = Ruler {
        range: 0.0..x_end,
        scale: chart.x.scale,
        ticks: ticks(x_end, 6),
    };
    let y_ruler = Ruler {
        range: y.clone(),
        scale: chart.y.scale,
        ticks: match chart.y.scale {
            Scale::Log => (y.start as i32..=y.end as i32).map(f64::from).collect(),
            Scale::Linear | Scale::Share => ticks(y.end, 4),
        },
    };
    let mut context = ChartBuilder::on(&root)
        .margin_top(rows(chart) * ROW + GAP)
        .margin_right(RIGHT)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x_ruler, y_ruler)
        .map_err(|error| failed(&error))?;
    let bands = chart.bands.iter().skip(1).step_by(2);
    let bands = bands.map(|band| stretch(&band.range, x_end, &y, Ink::Band, 1.0));
    context.draw_series(bands).map_err(|error| failed(&error))?;
    let faults = chart.faults.iter();
    let faults = faults.map(|range| stretch(range, x_end, &y, Ink::Red, 0.13));
    context
        .draw_series(faults)
        .map_err(|error| failed(&error))?;
    let letters = letters(Ink::Text, HPos::Left);
    let grid = Ink::Grid.sentinel(Form::Line).stroke_width(FINE as u32);
    context
        .configure_mesh()
        .label_style(letters)
        .bold_line_style(grid)
        .light_line_style(TRANSPARENT)
        .axis_style(grid)
        .set_all_tick_mark_size(5 * FINE)
        .draw()
        .map_err(|error| failed(&error))?;
    for curve in &chart.curves {
        for points in stretches(curve, chart.y.scale, y.start) {
            let ink = curve.ink.sentinel(curve.form);
            match curve.form {
                Form::Area => context.draw_series(AreaSeries::new(points, y.start, ink.filled())),
                Form::Line | Form::Dashed | Form::Steps | Form::DashedSteps => {
                    let line = ink.stroke_width(2 * FINE as u32);
                    context.draw_series(LineSeries::new(points, line))
                }
            }
            .map_err(|error| failed(&error))?;
        }
    }
    let starts = chart.faults.iter().map(|range| {
        let line = Ink::Red.sentinel(Form::Dashed).stroke_width(FINE as u32);
        PathElement::new(vec![(range.start, y.start), (range.start, y.end)], line)
    });
    context
        .draw_series(starts)
        .map_err(|error| failed(&error))?;
    let at_x = |x: f64| context.backend_coord(&(x, y.start)).0;
    write_rows(&root, chart, at_x, x_end).map_err(|error| failed(&error))?;
    root.present().map_err(|error| failed(&error))
}

/// An axis with our own ticks, because the library's ticks would subdivide powers of ten.
struct Ruler {
    range: Range<f64>,
    scale: Scale,
    ticks: Vec<f64>,
}

impl Ranged for Ruler {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, until): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(until - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Ruler {
    fn format_ext(&self, value: &f64) -> String {
        match self.scale {
            Scale::Log if *value <= self.range.start => "0".to_owned(),
            scale => label(*value, scale),
        }
    }
}

/// A vertical stripe of the plot.
fn stretch(
    range: &Range<f64>,
    x_end: f64,
    y: &Range<f64>,
    ink: Ink,
    opacity: f64,
) -> Rectangle<(f64, f64)> {
    let (from, until) = (range.start.min(x_end), range.end.min(x_end));
    let style = ink.sentinel(Form::Line).mix(opacity).filled();
    Rectangle::new([(from, y.start), (until, y.end)], style)
}

/// The words above the plot. A band's name is left out where it would overlap the next one: tables name all phases.
fn write_rows(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    chart: &Chart<'_>,
    at_x: impl Fn(f64) -> i32,
    x_end: f64,
) -> Result<(), String> {
    let write = |text: &str, style: &TextStyle<'_>, at: (i32, i32)| {
        root.draw_text(text, style, at)
            .map_err(|error| error.to_string())
    };
    write(chart.y.name, &letters(Ink::Text, HPos::Left), (0, ROW / 2))?;
    let middle_of_plot = (at_x(0.0) + at_x(x_end)) / 2;
    let lowest = height(chart) - ROW / 2;
    write(
        chart.x.name,
        &letters(Ink::Text, HPos::Center),
        (middle_of_plot, lowest),
    )?;
    let mut row = ROW / 2;
    if !chart.bands.is_empty() {
        row += ROW;
    }
    for band in chart.bands {
        let (from, until) = (at_x(band.range.start), at_x(band.range.end.min(x_end)));
        let takes = LETTER_WIDTH * band.name.chars().count() as i32;
        if takes <= until - from {
            let middle = (from + until) / 2;
            write(&band.name, &letters(Ink::Text, HPos::Center), (middle, row))?;
        }
    }
    row += ROW;
    let mut free_from = 0;
    for (number, fault) in (1..).zip(chart.faults) {
        let at = at_x(fault.start.min(x_end));
        if at >= free_from {
            let name = format!("F{number}");
            write(&name, &letters(Ink::Red, HPos::Center), (at, row))?;
            free_from = at + LETTER_WIDTH * 4;
        }
    }
    Ok(())
}

/// The letters of labels: beginning, ending or centred at a point.
fn letters(ink: Ink, at: HPos) -> TextStyle<'static> {
    // The library divides sizes by this factor when it draws.
    let size = f64::from(LETTER) * 1.24;
    TextStyle {
        color: ink.sentinel(Form::Line).to_backend_color(),
        ..TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(at, VPos::Center))
    }
}

/// The largest known value of all curves.
fn end(chart: &Chart<'_>, of: impl Fn(&(f64, Option<f64>)) -> Option<f64>) -> f64 {
    let points = chart.curves.iter().flat_map(|curve| &curve.points);
    let known = points.filter_map(of).filter(|value| value.is_finite());
    known.fold(0.0, f64::max)
}

fn y_range(chart: &Chart<'_>) -> Range<f64> {
    let end = end(chart, |point| point.1).max(chart.y.least_end);
    match chart.y.scale {
        // Some space above, so that no line runs along the edge.
        Scale::Linear => 0.0..end * 1.05,
        Scale::Share => 0.0..end.max(0.01),
        Scale::Log => {
            let points = chart.curves.iter().flat_map(|curve| &curve.points);
            let known = points.filter_map(|point| point.1);
            let least = known.filter(|value| *value > 0.0).fold(end, f64::min);
            let start = logarithm(least).floor();
            // One step below is zero.
            start - 1.0..logarithm(end).ceil().max(start + 1.0)
        }
    }
}

/// Logarithm of a value; a value below 0.1 counts as 0.1.
fn logarithm(value: f64) -> f64 {
    libm::log10(value.max(0.1))
}

/// The known parts of a curve, in the plot's own coordinates.
fn stretches(curve: &Curve, scale: Scale, least: f64) -> Vec<Vec<(f64, f64)>> {
    let runs = curve
        .points
        .split(|point| !point.1.is_some_and(f64::is_finite));
    runs.filter(|run| !run.is_empty())
        .map(|run| {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for &(x, y) in run {
                let y = y.unwrap_or_default();
                let y = match scale {
                    Scale::Log if y <= 0.0 => least,
                    Scale::Log => logarithm(y).max(least),
                    Scale::Linear | Scale::Share => y,
                };
                let before = points.last().copied();
                if let Some((_, before)) = before.filter(|_| curve.form.has_steps()) {
                    points.push((x, before));
                }
                points.push((x, y));
            }
            points
        })
        .collect()
}

/// Round values from zero to `end`, about `count` of them.
fn ticks(end: f64, count: u32) -> Vec<f64> {
    let rough = end / f64::from(count);
    if !rough.is_finite() || rough <= 0.0 {
        return vec![0.0];
    }
    let power = libm::pow(10.0, libm::log10(rough).floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    // A value that misses the end by a rounding error is still on the axis.
    let last = (end / step + 1e-9).floor() as u32;
    (0..=last).map(|index| f64::from(index) * step).collect()
}

/// The label of a value beside an axis.
fn label(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Share => format!("{} %", short(value * 100.0)),
        Scale::Log => short(libm::pow(10.0, value)),
        Scale::Linear => short(value),
    }
}

/// A number in few letters: 1.5, 250, 12k, 3.2M.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        million if million >= 999_999.5 => (value / 1e6, "M"),
        thousand if thousand >= 9_999.5 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Replaces placeholder colours by the page's variables.
fn themed(body: &str) -> String {
    let mut themed = body.to_owned();
    for ink in Ink::ALL {
        for form in [Form::Line, Form::Dashed] {
            let RGBColor(red, green, blue) = ink.sentinel(form);
            let mut colour = String::new();
            let _ = write!(colour, "\"#{red:02X}{green:02X}{blue:02X}\"");
            let dashes = match form.is_dashed() {
                true => format!(" stroke-dasharray=\"{} {}\"", 7 * FINE, 4 * FINE),
                false => String::new(),
            };
            let variable = format!("\"var(--{})\"{dashes}", ink.name());
            themed = themed.replace(&colour, &variable);
        }
    }
    themed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>, scale: Scale) -> Chart<'static> {
        Chart {
            id: "one".to_owned(),
            title: "a < b".to_owned(),
            description: "what is \"seen\"".to_owned(),
            x: Axis {
                name: "seconds",
                scale: Scale::Linear,
                least_end: 1.0,
            },
            y: Axis {
                name: "requests/s",
                scale,
                least_end: 1.0,
            },
            curves: vec![Curve {
                name: "all".to_owned(),
                ink: Ink::Blue,
                form: Form::Dashed,
                points,
            }],
            bands: &[],
            faults: &[],
        }
    }

    #[test]
    fn a_chart_has_a_name_and_no_colour_of_its_own() {
        let svg = draw(&chart(
            vec![(0.0, Some(1.0)), (9.0, Some(4.0))],
            Scale::Linear,
        ));
        assert!(svg.starts_with("<svg viewBox"), "{svg}");
        assert!(svg.contains("<title id=\"one-title\">a &lt; b</title>"));
        assert!(svg.contains("what is &quot;seen&quot;"));
        assert!(svg.contains("stroke=\"var(--blue)\" stroke-dasharray="));
        assert!(!svg.contains("\"#"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_unknown_not_a_number_and_zero_can_be_drawn() {
        for scale in [Scale::Linear, Scale::Share, Scale::Log] {
            for points in [
                vec![],
                vec![(0.0, None)],
                vec![(0.0, Some(0.0))],
                vec![(0.0, Some(f64::NAN)), (1.0, Some(f64::INFINITY))],
            ] {
                let svg = draw(&chart(points, scale));
                assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{svg}");
            }
        }
    }

    #[test]
    fn zero_lies_below_every_power_of_ten() {
        let points = vec![(0.0, Some(0.0)), (1.0, Some(3.0)), (2.0, Some(200.0))];
        let chart = chart(points, Scale::Log);
        let range = y_range(&chart);
        assert_eq!(range, -1.0..3.0);
        assert_eq!(
            stretches(&chart.curves[0], Scale::Log, range.start)[0][0].1,
            -1.0
        );
        let svg = draw(&chart);
        let labels: Vec<_> = ["0", "1", "10", "100", "1000"]
            .map(|label| format!(">\n{label}\n<"))
            .into();
        for label in labels {
            assert!(svg.contains(&label), "{label} in {svg}");
        }
    }

    #[test]
    fn a_gap_parts_a_curve_and_steps_stay_level() {
        let mut curve = chart(
            vec![
                (0.0, Some(1.0)),
                (1.0, None),
                (2.0, Some(3.0)),
                (4.0, Some(5.0)),
            ],
            Scale::Linear,
        )
        .curves
        .remove(0);
        curve.form = Form::Steps;
        assert_eq!(
            stretches(&curve, Scale::Linear, 0.0),
            [vec![(0.0, 1.0)], vec![(2.0, 3.0), (4.0, 3.0), (4.0, 5.0)]]
        );
    }

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        assert_eq!(ticks(60.0, 6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(ticks(1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.0, 4), [0.0]);
        for (value, text) in [
            (0.1, "0.1"),
            (250.0, "250"),
            (12_000.0, "12k"),
            (1_000_000.0, "1M"),
            (3_250_000.0, "3.25M"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
