//! Paints a view in a terminal of any size from 80x24: figures, a chart, results side by side, a table of edges.
//!
//! Every fact has a shape as well as a colour, so a terminal without colours loses nothing.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Cell, Chart, Dataset, GraphType, Paragraph, Row as TableRow, Table};

use super::text::{bound, count, share};
use super::view::{Breaker, Figures, Role, Step, View};
use crate::policy::status::Served;

/// Whether the terminal shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// The terminal's sixteen colours.
    Colours,
    /// No colours: bold and dim only.
    Plain,
}

impl Palette {
    fn of(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }
}

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const EDGE: Color = Color::Cyan;
const ORIGIN: Color = Color::Yellow;
/// The foot of the chart is a tenth of a request per second, or less.
const DECADES_BELOW_ONE: f64 = 1.0;

/// Paints the view.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>, title: &str, palette: Palette) {
    let area = frame.area();
    let warnings = warnings(view, palette);
    let tall = area.height >= 36;
    let said = u16::try_from(warnings.len()).unwrap_or(u16::MAX);
    let rows = u16::try_from(view.rows.len()).unwrap_or(u16::MAX);
    // Header and rows of the table, as long as the chart keeps a third of the screen.
    let table = rows.saturating_add(1).min(area.height / 3);
    let shares = if tall { 10 } else { 1 };
    let likes = likes_of(view, palette);
    let [
        head,
        figures,
        of_likes,
        chart,
        results,
        legend,
        _,
        edges,
        foot,
    ] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(3),
        // And an empty line, if the terminal is tall enough.
        Constraint::Length(likes.as_ref().map_or(0, |_| 1 + u16::from(tall))),
        Constraint::Min(6),
        Constraint::Length(shares),
        Constraint::Length(1),
        Constraint::Length(u16::from(tall)),
        Constraint::Length(table),
        Constraint::Length(said.min(4)),
    ])
    .areas(area);
    draw_head(frame, head, view, title, palette);
    draw_figures(frame, figures, view, palette);
    frame.render_widget(likes, of_likes);
    draw_chart(frame, chart, view, palette);
    draw_results(frame, results, view, palette);
    frame.render_widget(legend_of(view, palette), legend);
    draw_table(frame, edges, view, palette);
    frame.render_widget(Paragraph::new(warnings), foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, title: &str, palette: Palette) {
    let [left, right] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(16)]).areas(area);
    let mut second = Vec::new();
    match &view.audience {
        None => second.push(Span::styled("no surge is being played", DIM)),
        Some(audience) => {
            second.push(Span::styled(
                format!("{} viewers", count(audience.viewers())),
                BOLD.patch(palette.of(Color::Green)),
            ));
            for (state, viewers) in &audience.states {
                second.push(Span::raw(format!("  {} {state}", count(*viewers))));
            }
            if let Some(phase) = &audience.phase {
                second.push(Span::styled(
                    format!("  ▸ {phase}"),
                    palette.of(Color::Magenta),
                ));
            }
        }
    }
    let first = Line::from(vec![
        Span::styled("seawall top", BOLD),
        Span::styled(format!("  {title}"), DIM),
    ]);
    frame.render_widget(Paragraph::new(vec![first, Line::from(second)]), left);
    let watched = view.watched.as_secs();
    let clock = format!("{:02}:{:02}  q quits", watched / 60, watched % 60);
    frame.render_widget(Paragraph::new(clock).style(DIM).right_aligned(), right);
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, palette: Palette) {
    let rate = |of: fn(&Step) -> f64| view.last().map_or("–".to_owned(), |step| count(of(step)));
    let figures = [
        ("edge req/s", rate(Step::edge_per_s), EDGE),
        ("origin req/s", rate(Step::origin_per_s), ORIGIN),
        ("offload", share(view.offload), Color::Green),
        (
            "waiting/peak",
            format!("{} / {}", count(view.waiters), count(view.waiters_peak)),
            Color::Magenta,
        ),
        ("segments p99", bound(view.segment_p99), Color::Reset),
        (
            "bytes/s",
            rate(|step| step.bytes / step.seconds),
            Color::Reset,
        ),
    ];
    let places = Layout::horizontal([Constraint::Fill(1); 6]).split(area);
    for ((name, value, colour), place) in figures.into_iter().zip(places.iter()) {
        let lines = vec![
            Line::styled(name, DIM),
            Line::styled(value, BOLD.patch(palette.of(colour))),
        ];
        frame.render_widget(Paragraph::new(lines), *place);
    }
}

/// One line about likes; `None` before the first like.
fn likes_of(view: &View<'_>, palette: Palette) -> Option<Line<'static>> {
    let likes = view.likes?;
    let rate =
        |of: fn((f64, f64)) -> f64| likes.per_s.map_or("–".to_owned(), |both| count(of(both)));
    let mut spans = vec![
        Span::styled("likes/s ", DIM),
        Span::styled(rate(|both| both.0), BOLD.patch(palette.of(Color::Green))),
    ];
    let mut say = |name: &'static str, value: String, alarming: bool| {
        spans.push(Span::styled(name, DIM));
        let style = if alarming {
            palette.of(Color::Red)
        } else {
            Style::new()
        };
        spans.push(Span::styled(value, style));
    };
    let refused = likes.per_s.is_some_and(|both| both.1 > 0.0);
    say("   refused/s ", rate(|both| both.1), refused);
    say("   waiting ", count(likes.waiting), false);
    say("   not counted yet ", count(likes.uncounted), false);
    if likes.logs_down > 0.0 {
        say("   logs down ", count(likes.logs_down), true);
    }
    Some(Line::from(spans))
}

fn draw_chart(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, palette: Palette) {
    let [title, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    frame.render_widget(
        Line::from(vec![
            Span::styled("requests per second, tenfold from line to line  ", DIM),
            Span::styled("⠒⠒ at edges  ", palette.of(EDGE)),
            Span::styled("•• at the origin", palette.of(ORIGIN)),
        ]),
        title,
    );
    let Some(last) = view.last() else {
        frame.render_widget(Line::styled("after the second look…", DIM), area);
        return;
    };
    // Braille has two dots per column: more rounds than that would overlap.
    let points = usize::from(area.width.saturating_sub(6)) * 2;
    let shown = view.steps.iter().rev().take(points);
    let series = |of: fn(&Step) -> f64| -> Vec<(f64, f64)> {
        let point = |step: &Step| (-last.at.since(step.at).as_secs_f64(), height(of(step)));
        shown.clone().map(point).collect()
    };
    let (edge, origin) = (series(Step::edge_per_s), series(Step::origin_per_s));
    let highest = edge.iter().chain(&origin).map(|point| point.1);
    let top = highest.fold(DECADES_BELOW_ONE + 1.0, f64::max).ceil();
    let oldest = edge.last().map_or(-1.0, |point| point.0);
    let span = oldest.min(-30.0);
    let dataset = |data, marker, colour| {
        Dataset::default()
            .data(data)
            .marker(marker)
            .graph_type(GraphType::Line)
            .style(palette.of(colour))
    };
    let labels = (0..=top as u32).map(|decade| match decade {
        0 => "    0".to_owned(),
        decade => format!(
            "{:>5}",
            short(10_u64.pow(decade - DECADES_BELOW_ONE as u32))
        ),
    });
    let chart = Chart::new(vec![
        dataset(&origin, Marker::Dot, ORIGIN),
        dataset(&edge, Marker::Braille, EDGE),
    ])
    .x_axis(Axis::default().bounds([span, 0.0]).style(DIM).labels([
        ago(-span),
        ago(-span / 2.0),
        "now".to_owned(),
    ]))
    .y_axis(
        Axis::default()
            .bounds([0.0, top])
            .style(DIM)
            .labels(labels.collect::<Vec<_>>()),
    )
    .legend_position(None);
    frame.render_widget(chart, area);
}

/// The height at which a rate is drawn: 0 at a tenth and below, 1 at one, 2 at ten, 3 at a hundred.
fn height(per_s: f64) -> f64 {
    (per_s.max(0.1).log10() + DECADES_BELOW_ONE).max(0.0)
}

fn short(decade: u64) -> String {
    match decade {
        0..1_000 => decade.to_string(),
        1_000..1_000_000 => format!("{}k", decade / 1_000),
        _ => format!("{}M", decade / 1_000_000),
    }
}

fn ago(seconds: f64) -> String {
    let seconds = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    match seconds {
        0..120 => format!("-{seconds} s"),
        _ => format!("-{} min", seconds / 60),
    }
}

/// How a result is painted.
fn look(served: Served, palette: Palette) -> (&'static str, Style) {
    let (shape, colour) = match served {
        Served::Hit => ("█", Color::Green),
        Served::Collapsed => ("▓", Color::Cyan),
        Served::Miss => ("▒", Color::Yellow),
        Served::Stale => ("░", Color::Blue),
        Served::Negative => ("-", Color::Magenta),
        Served::Pass => ("=", Color::White),
        Served::Shed => ("×", Color::LightRed),
        Served::Error => ("!", Color::Red),
    };
    (shape, palette.of(colour))
}

/// Divides `cells` among the results: each gets its share, and each result above 0 at least one cell.
fn cells(results: &[f64; Served::ALL.len()], cells: u16) -> [u16; Served::ALL.len()] {
    let total: f64 = results.iter().sum();
    let mut given = results.map(|result| {
        let part = (result / total * f64::from(cells)).round() as u16;
        if result > 0.0 { part.max(1) } else { 0 }
    });
    // The largest result absorbs the rounding error.
    let sum: u16 = given.iter().sum();
    if let Some(largest) = given.iter_mut().max() {
        *largest = (*largest + cells).saturating_sub(sum);
    }
    given
}

/// With one row: the last round, from left to right. With more: one column per round, stacked from the foot.
fn draw_results(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, palette: Palette) {
    let busy = |step: &&Step| step.results.iter().any(|result| *result > 0.0);
    if area.height == 1 {
        let Some(step) = view.last().filter(busy) else {
            return;
        };
        let parts = cells(&step.results, area.width);
        let bar = Served::ALL.into_iter().zip(parts).map(|(served, cells)| {
            let (shape, style) = look(served, palette);
            Span::styled(shape.repeat(cells.into()), style)
        });
        frame.render_widget(Line::from_iter(bar), area);
        return;
    }
    let [title, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    if area.is_empty() {
        return;
    }
    frame.render_widget(
        Line::styled("how viewers were answered, each column one look", DIM),
        title,
    );
    let columns = (area.left()..area.right()).rev();
    for (x, step) in columns.zip(view.steps.iter().rev()) {
        if !busy(&step) {
            continue;
        }
        let mut y = area.bottom();
        let parts = cells(&step.results, area.height);
        for (served, cells) in Served::ALL.into_iter().zip(parts) {
            let (shape, style) = look(served, palette);
            for _ in 0..cells {
                y = y.saturating_sub(1).max(area.top());
                frame.buffer_mut()[(x, y)]
                    .set_symbol(shape)
                    .set_style(style);
            }
        }
    }
}

fn legend_of(view: &View<'_>, palette: Palette) -> Line<'static> {
    let Some(step) = view.last() else {
        return Line::default();
    };
    let told = Served::ALL.into_iter().zip(step.results);
    // The usual results are always shown, so that the line does not jump.
    let told = told.filter(|(served, sum)| {
        let usual = [Served::Hit, Served::Collapsed, Served::Miss, Served::Stale];
        *sum > 0.0 || usual.contains(served)
    });
    let spans = told.flat_map(|(served, sum)| {
        let (shape, style) = look(served, palette);
        [
            Span::styled(shape, style),
            Span::raw(format!(
                " {} {}  ",
                served.word(),
                count(sum / step.seconds)
            )),
        ]
    });
    let mut line = Line::from_iter(spans);
    line.push_span(Span::styled("per second", DIM));
    line
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, palette: Palette) {
    if view.rows.is_empty() || area.height < 2 {
        return;
    }
    let heads = [
        "edge", "req/s", "hits", "waiting", "flights", "conns", "cache", "breaker", "origin/s",
        "bytes/s",
    ];
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let head = heads.iter().enumerate().map(|(place, name)| match place {
        0 => Cell::from(*name),
        _ => right((*name).to_owned()),
    });
    let room = usize::from(area.height - 1);
    let fits = view.rows.len() <= room;
    let shown = if fits { room } else { room - 1 };
    let mut rows: Vec<TableRow<'_>> = Vec::new();
    for row in view.rows.iter().take(shown) {
        let name = match row.role {
            Role::Shield => format!("{} (shield)", row.name),
            _ => row.name.clone(),
        };
        rows.push(match &row.figures {
            None => TableRow::new([
                Cell::from(name),
                Cell::from(Line::styled("down", BOLD).right_aligned()),
            ])
            .style(palette.of(Color::Red)),
            Some(figures) => {
                let texts = texts(figures).into_iter().map(right);
                let style = match figures.breaker {
                    Breaker::Closed => Style::new(),
                    Breaker::Probing | Breaker::Open => palette.of(Color::Yellow),
                };
                TableRow::new(std::iter::once(Cell::from(name)).chain(texts)).style(style)
            }
        });
    }
    if !fits {
        let more = format!("… {} more", view.rows.len() - shown);
        rows.push(TableRow::new([Cell::from(Line::styled(more, DIM))]));
    }
    let widths = [
        Constraint::Min(9),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(7),
    ];
    let spacing = if area.width >= 120 { 4 } else { 1 };
    let table = Table::new(rows, widths)
        .header(TableRow::new(head).style(DIM))
        .column_spacing(spacing);
    frame.render_widget(table, area);
}

fn texts(figures: &Figures) -> [String; 9] {
    let rate = |value: Option<f64>| value.map_or("–".to_owned(), count);
    let rates = figures.rates;
    [
        rate(rates.map(|rates| rates.requests)),
        share(rates.and_then(|rates| rates.hit_ratio)),
        count(figures.waiters),
        count(figures.flights),
        count(figures.connections),
        share(Some(figures.fill)),
        figures.breaker.word().to_owned(),
        rate(rates.map(|rates| rates.origin)),
        rate(rates.map(|rates| rates.bytes)),
    ]
}

fn warnings(view: &View<'_>, palette: Palette) -> Vec<Line<'static>> {
    let down = view
        .down
        .iter()
        .map(|down| Line::styled(format!("down: {down}"), palette.of(Color::Red)));
    let notes = view
        .notes
        .iter()
        .map(|note| Line::styled(note.clone(), palette.of(Color::Yellow)));
    down.chain(notes).collect()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::view::tests::{answer, at, edge};
    use super::super::view::{Answer, Watch};
    use super::*;

    /// Forty rounds of three edges, one of them down, while requests grow tenfold every ten rounds.
    fn painted(width: u16, height: u16, palette: Palette) -> Terminal<TestBackend> {
        let mut watch = Watch::default();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        for second in 0..40 {
            let hits = 10_f64.powf(second as f64 / 10.0) as u32;
            let viewers = "seawall_viewers{state=\"playing\"} 800
seawall_scenario_phase{scenario=\"kickoff\",phase=\"rush\"} 1\n";
            let likes = format!(
                "seawall_origin_hits_total 0
seawall_likes_accepted_total{{result=\"counted\"}} {second}00
seawall_likes_queue_depth 17\n"
            );
            let down = Answer {
                scrape: Err("refused".to_owned()),
                ..answer(Role::Edge, "edge-3", second, "")
            };
            let answers = vec![
                answer(
                    Role::Edge,
                    "edge-1",
                    second,
                    &edge(hits * 10, second as u32, 5),
                ),
                answer(Role::Edge, "edge-2", second, &edge(0, second as u32, 0)),
                down,
                answer(Role::Audience, "audience", second, viewers),
                answer(Role::Origin, "origin", second, &likes),
            ];
            let view = watch.take(at(second), answers, vec!["a note".to_owned()]);
            terminal
                .draw(|frame| draw(frame, &view, "http://127.0.0.1:9000", palette))
                .unwrap();
        }
        terminal
    }

    fn holds_all(screen: &str) {
        for text in [
            "seawall top  http://127.0.0.1:9000",
            "800 viewers  800 playing  ▸ kickoff: rush",
            "00:39  q quits",
            "edge req/s",
            "offload",
            "segments p99",
            "≤ 1 ms",
            "10k",
            "now",
            "likes/s 100   refused/s 0   waiting 17   not counted yet 0",
            "█ hit",
            "▒ miss 2",
            "edge-1",
            "closed",
            "down: edge-3 (edge-3:1): refused",
            "a note",
        ] {
            assert!(screen.contains(text), "{text:?} is missing:\n{screen}");
        }
        let mut rows = screen.lines().filter(|line| line.contains("edge-3"));
        let row = rows.find(|line| {
            line.trim_end_matches(['"', ' ']).ends_with(" down") || line.contains(" down  ")
        });
        assert!(row.is_some(), "edge-3 is not down in the table:\n{screen}");
    }

    #[test]
    fn a_small_terminal_shows_everything() {
        let screen = painted(80, 24, Palette::Colours).backend().to_string();
        holds_all(&screen);
        assert!(
            screen.contains("██████████▒"),
            "hits and misses side by side:\n{screen}"
        );
    }

    #[test]
    fn a_large_terminal_shows_how_results_went() {
        let screen = painted(200, 50, Palette::Colours).backend().to_string();
        assert!(screen.contains("each column one look"), "{screen}");
        holds_all(&screen);
    }

    #[test]
    fn a_terminal_without_colours_gets_none() {
        let terminal = painted(80, 24, Palette::Plain);
        let cells = &terminal.backend().buffer().content;
        assert!(
            cells
                .iter()
                .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
        let coloured = painted(80, 24, Palette::Colours);
        let cells = &coloured.backend().buffer().content;
        assert!(cells.iter().any(|cell| cell.fg == EDGE));
        assert!(cells.iter().any(|cell| cell.fg == ORIGIN));
    }

    #[test]
    fn a_terminal_of_any_size_is_painted() {
        for (width, height) in [(1, 1), (20, 5), (80, 10), (500, 200)] {
            painted(width, height, Palette::Colours);
        }
    }

    #[test]
    fn each_result_that_occurs_is_seen_and_the_bar_is_full() {
        let parts = cells(&[100_000.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 80);
        assert_eq!(parts, [78, 0, 1, 1, 0, 0, 0, 0]);
        let thirds = cells(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 80);
        assert_eq!(thirds.iter().sum::<u16>(), 80);
    }

    #[test]
    fn ten_times_as_much_is_one_line_higher() {
        assert_eq!(
            [0.0, 0.1, 1.0, 10.0, 1000.0].map(height),
            [0.0, 0.0, 1.0, 2.0, 4.0]
        );
    }
}
