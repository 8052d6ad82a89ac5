//! The statements of a report about a run, made once for all formats: sentences and tables.

use super::counts::OriginHits;
use super::headline::{self, predicted};
use super::latency::Since;
use super::likes::{LikesSummary, interval, signed};
use super::phases::{FaultRow, PhaseRow};
use super::record::{Kind, Outcome, Process, ResultWord};
use super::servers;
use super::summary::{Simulated, Summary};
use super::thresholds::{Ruling, grouped};
use crate::policy::status::MissQueue;

/// A table with the sentences below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The title, in a few words.
    pub(super) title: &'static str,
    /// One name per column; figures stand flush right below their name.
    pub(super) header: Vec<String>,
    /// Cells; each row has one per column.
    pub(super) rows: Vec<Vec<Cell>>,
    /// Sentences; a line break within one is kept.
    pub(super) notes: Vec<String>,
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) align: Align,
    pub(super) tone: Tone,
}

/// How a cell is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words, flush left.
    Words,
    /// A figure, flush right.
    Figure,
}

/// The meaning of a cell for the verdict, shown as a colour beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// No meaning.
    Plain,
    /// The threshold holds, or the figure is better.
    Good,
    /// The threshold does not hold, or the figure is worse.
    Bad,
    /// Not judged.
    Unsure,
}

impl Table {
    pub(super) fn new<const N: usize>(title: &'static str, header: [&str; N]) -> Self {
        Self {
            title,
            header: header.map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }
}

impl Cell {
    /// Words, flush left.
    pub(super) fn words(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            align: Align::Words,
            tone: Tone::Plain,
        }
    }

    /// A figure, flush right.
    pub(super) fn figure(text: impl ToString) -> Self {
        Self {
            align: Align::Figure,
            ..Self::words(text)
        }
    }

    /// The same cell, coloured.
    pub(super) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// Every table of a run that has rows, in the order of the report.
pub(super) fn all(summary: &Summary) -> Vec<Table> {
    let tables = [
        checks(summary),
        origin(summary),
        experience(summary),
        results(summary),
        latency(summary),
        likes(summary),
        phases(summary),
        edges(summary),
        settings(summary),
    ];
    let says = |table: &Table| !table.rows.is_empty();
    tables.into_iter().filter(says).collect()
}

/// The scenario, seed and start time of the run.
pub(super) fn title(summary: &Summary) -> String {
    let began = summary.began.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
    format!(
        "{} · miss queue {} · seed {} · {began} · {:.1} s",
        summary.scenario, summary.miss_queue, summary.seed, summary.elapsed_s
    )
}

/// The scenario, seed and start time of runs that are compared.
pub(super) fn title_of_several(first: &Summary) -> String {
    let began = first.began.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
    format!("{} · seed {} · {began}", first.scenario, first.seed)
}

/// Reasons to read the figures with care, if there are any.
pub(super) fn cautions(summary: &Summary) -> Vec<String> {
    let interrupted = summary.interrupted.then(|| {
        "The run was interrupted: all figures are of the part that was played.".to_owned()
    });
    let faults = summary.generator_faults.iter();
    let faults = faults.map(|fault| format!("The generator is INVALID: {fault}."));
    interrupted.into_iter().chain(faults).collect()
}

/// The thresholds.
pub(super) fn checks(summary: &Summary) -> Table {
    let mut table = Table::new("Thresholds", ["", "what must hold", "limit", "measured"]);
    for check in &summary.checks {
        let (word, tone, why) = match &check.ruling {
            Ruling::Pass => ("PASS", Tone::Good, String::new()),
            Ruling::Fail => ("FAIL", Tone::Bad, String::new()),
            Ruling::NotJudged(why) => ("----", Tone::Unsure, format!(" (not judged: {why})")),
        };
        table.rows.push(vec![
            Cell::words(word).toned(tone),
            Cell::words(format!("{}{why}", check.what)),
            Cell::figure(&check.limit),
            Cell::figure(&check.measured),
        ]);
    }
    table
}

/// Viewer requests by what the edges did and how they ended.
pub(super) fn results(summary: &Summary) -> Table {
    let rows = &summary.requests;
    let seen_word = |word: &ResultWord| rows.iter().any(|row| row.words.contains_key(word));
    let words: Vec<_> = ResultWord::ALL.into_iter().filter(seen_word).collect();
    let outcomes: Vec<_> = Outcome::ALL
        .into_iter()
        .filter(|&outcome| outcome != Outcome::Ok)
        .filter(|outcome| rows.iter().any(|row| row.outcomes.contains_key(outcome)))
        .collect();
    let mut table = Table::new("Viewer requests", ["viewer requests", "all"]);
    table.header.extend(words.iter().map(ToString::to_string));
    let failures = outcomes.iter().map(|outcome| format!("! {outcome}"));
    table.header.extend(failures);
    table.header.push("MB".to_owned());
    for row in rows {
        let mut cells = vec![Cell::words(row.kind), Cell::figure(grouped(row.total))];
        let counts = words
            .iter()
            .map(|word| row.words.get(word))
            .chain(outcomes.iter().map(|outcome| row.outcomes.get(outcome)));
        cells.extend(counts.map(|count| Cell::figure(grouped(count.copied().unwrap_or(0)))));
        cells.push(Cell::figure(grouped(row.bytes / 1_000_000)));
        table.rows.push(cells);
    }
    let received = summary.outcomes(Kind::Segment, Outcome::Ok);
    table.notes.push(match &summary.simulated {
        None => servers::compared(summary, received),
        Some(_) => format!("{} segments were received.", grouped(received)),
    });
    let told = [servers::answers(summary), servers::blame(summary)];
    let notes = told.into_iter().flatten();
    table
        .notes
        .extend(notes.map(|said| format!("At these servers: {said}.")));
    table
}

/// A count of the origin, if the origin has reported any.
pub(super) fn measured(hits: &OriginHits, count: u64) -> String {
    match hits.uncounted {
        true => "unknown".to_owned(),
        false => grouped(count),
    }
}

/// Origin hits, measured beside predicted.
pub(super) fn origin(summary: &Summary) -> Table {
    let origin = &summary.origin;
    let hits = &origin.measured;
    let asked = |kind| {
        let rows = summary.requests.iter();
        rows.filter(|row| row.kind == kind)
            .map(|row| row.total)
            .sum::<u64>()
    };
    let mut table = Table::new(
        "Origin hits, measured beside predicted",
        [
            "origin hits",
            "asked of the edges",
            "measured",
            "predicted",
            "how",
        ],
    );
    let mut row = |kind: Kind, measured, predicted: String, how: &str| {
        table.rows.push(vec![
            Cell::words(kind),
            Cell::figure(grouped(asked(kind))),
            Cell::figure(self::measured(hits, measured)),
            Cell::figure(predicted),
            Cell::words(how),
        ]);
    };
    row(
        Kind::Segment,
        hits.segment,
        predicted(summary),
        "from the log",
    );
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
    table.notes = origin_notes(summary);
    table
}

fn origin_notes(summary: &Summary) -> Vec<String> {
    let origin = &summary.origin;
    let terms: Vec<_> = origin
        .terms
        .iter()
        .filter(|term| term.count > 0)
        .map(|term| format!("{} {}", grouped(term.count), term.what))
        .collect();
    let sum = match terms.is_empty() {
        true => "0: no viewer asked for a segment".to_owned(),
        false => terms.join("\n          + "),
    };
    let mut notes = vec![format!("predicted = {sum}")];
    if let Some(fetch_ms) = origin.fetch_ms {
        notes.push(format!(
            "theory without a queue: the sum of 1 + Nx - x^N over {} keys is {:.0}; x = L / W = {fetch_ms:.1} ms / {:.0} ms",
            grouped(origin.keys),
            origin.expected_uncollapsed,
            origin.window_ms,
        ));
    }
    let (Some(offload), Some(of_segments), Some(amplification), Some(excess)) = (
        origin.offload,
        origin.offload_segments,
        origin.amplification,
        origin.excess,
    ) else {
        return notes;
    };
    notes.push(format!(
        "offload {:.3} % of all requests, {:.3} % of segments · {amplification:.3} hits per segment and edge · {excess:.3} per \
         segment",
        offload * 100.0,
        of_segments * 100.0,
    ));
    notes.extend(shed(summary));
    notes.extend(headline::waiting(summary).map(|waiting| format!("{waiting}.")));
    let waiters = &summary.waiters;
    if summary.miss_queue != MissQueue::Off {
        let peak = waiters.peak.map_or(String::new(), |peak| {
            format!("at most {} for one flight (edges) · ", grouped(peak))
        });
        notes.push(format!(
            "waiters: {peak}at most {} collapsed for one segment, {:.1} per segment flight on average (log); {:.1} \
             expected (rL)",
            grouped(waiters.collapsed_most),
            waiters.mean,
            waiters.expected_mean,
        ));
    }
    notes
}

/// The requests beyond the origin's capacity, beside what theory expects; `None` if the origin has no bound or none are counted.
pub(super) fn shed(summary: &Summary) -> Option<String> {
    let origin = &summary.origin;
    let (share, expected) = (origin.shed_share?, origin.shed_share_expected?);
    Some(format!(
        "beyond the origin's capacity: {} requests, {:.1} % of those that reached it; theory (M/M/c/K, second by second) expects \
         {:.1} %",
        grouped(origin.measured.shed),
        share * 100.0,
        expected * 100.0
    ))
}

/// What was set for the run.
pub(super) fn settings(summary: &Summary) -> Table {
    let mut table = Table::new("What was set", ["setting", "value"]);
    let settings = summary.settings.iter();
    table.rows = settings
        .map(|setting| vec![Cell::words(&setting.name), Cell::words(&setting.value)])
        .collect();
    table
}

/// Latency percentiles.
pub(super) fn latency(summary: &Summary) -> Table {
    let mut table = Table::new(
        "Latency",
        [
            "latency in ms",
            "since",
            "count",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "max",
        ],
    );
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
            Cell::words(name),
            Cell::words(since),
            Cell::figure(grouped(row.count)),
        ];
        let percentiles = [row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms, row.max_ms];
        cells.extend(percentiles.map(|millis| Cell::figure(format!("{millis:.1}"))));
        table.rows.push(cells);
    }
    table.notes.push(
        "wanted: from when the player wanted it to its last byte, a late generator included; sent: from when it was sent"
            .to_owned(),
    );
    if summary.warm_up_s > 0.0 {
        table.notes.push(format!(
            "what was wanted in the first {} s is left out",
            summary.warm_up_s
        ));
    }
    table
}

/// A time in seconds; "-" if it is unknown.
pub(super) fn seconds(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.1} s"))
}

/// Quality of experience.
pub(super) fn experience(summary: &Summary) -> Table {
    let experience = &summary.experience;
    let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let rows = [
        (
            "startup",
            format!(
                "p50 {}, p95 {}; {} started, {} failed to, {} left before",
                self::seconds(experience.startup_p50_s),
                self::seconds(experience.startup_p95_s),
                grouped(experience.started),
                grouped(experience.start_failures),
                grouped(experience.exits_before_start),
            ),
        ),
        (
            "rebuffering",
            format!(
                "{:.2} % of the time; {} at {}, at most {:.1} s for one",
                experience.stalled_share * 100.0,
                headline::count(experience.stalls, "event"),
                headline::count(experience.viewers_stalled, "viewer"),
                experience.stalled_most_s,
            ),
        ),
        (
            "failures",
            format!(
                "{} fatal, {} retried requests, {} moves to another edge, {} segments stepped over",
                grouped(experience.fatal),
                grouped(experience.retries),
                grouped(experience.failovers),
                grouped(experience.skipped),
            ),
        ),
        (
            "bitrate",
            format!(
                "{} kb/s on average; {} switches",
                experience
                    .bitrate_mean_bps
                    .map_or("-".to_owned(), |bps| format!("{:.0}", bps / 1e3)),
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
    let mut table = Table::new("Quality of experience", ["quality of experience", ""]);
    table.rows = rows
        .map(|(what, value)| vec![Cell::words(what), Cell::words(value)])
        .to_vec();
    table
}

/// The viewers' likes, and the origin's count of them.
pub(super) fn likes(summary: &Summary) -> Table {
    let mut table = Table::new("Likes", ["likes", ""]);
    let Some(likes) = &summary.likes else {
        return table;
    };
    let rows = match &likes.not_taken {
        Some(why) => vec![("none were sent", why.clone())],
        None => likes_rows(likes),
    };
    let cells = |(what, value)| vec![Cell::words(what), Cell::words(value)];
    table.rows = rows.into_iter().map(cells).collect();
    table
}

fn likes_rows(likes: &LikesSummary) -> Vec<(&'static str, String)> {
    let parts = |counts: &mut dyn Iterator<Item = (String, u64)>| {
        let named = counts.map(|(what, count)| format!("{} {what}", grouped(count)));
        named.collect::<Vec<_>>().join(", ")
    };
    let kinds = likes.kinds.iter();
    let kinds = parts(&mut kinds.map(|(kind, count)| (kind.to_string(), *count)));
    let some = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!("; {} {what}", grouped(count)),
    };
    let counts = |likes: String, hearts: String| format!("{likes} likes, {hearts} hearts");
    let [tallied, hearts_tallied] = likes.tallied();
    let mut rows = vec![
        (
            "sent by viewers",
            format!(
                "{}: {kinds}{}{}{}",
                grouped(likes.sent),
                some(likes.repeats, "sent again"),
                some(likes.unsent, "not sent: too many were under way"),
                some(likes.unlogged, "beyond the bound of the log"),
            ),
        ),
        (
            "came to",
            format!(
                "{} acknowledged ({} duplicates), {} not counted, {} unknown",
                grouped(likes.acknowledged),
                grouped(likes.duplicates),
                grouped(likes.not_counted),
                grouped(likes.unknown),
            ),
        ),
    ];
    if !likes.refusals.is_empty() {
        let refusals = likes.refusals.iter();
        let refusals = parts(&mut refusals.map(|(word, count)| (word.clone(), *count)));
        rows.push(("answers that refused", refusals));
    }
    rows.extend([
        (
            "per second",
            format!(
                "{:.0} on average, {} in the best second",
                likes.per_s,
                grouped(likes.per_s_most)
            ),
        ),
        (
            "until acknowledged",
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, since they were wanted",
                likes.p50_ms, likes.p99_ms, likes.max_ms
            ),
        ),
    ]);
    if let Some(batches) = likes.batches {
        let each = likes.acknowledged as f64 / batches.max(1) as f64;
        rows.push((
            "sent on by the edges",
            format!(
                "{} batches: {each:.1} acknowledged operations in each, on average",
                grouped(batches)
            ),
        ));
    }
    if let Some(queue) = likes.queue {
        rows.push((
            "the origin's queue",
            format!(
                "{} batches of {:.1} on average; at most {} seen waiting; counted at most {:.1} ms after they were durable \
                 (read once a second)",
                grouped(queue.batches),
                queue.operations as f64 / queue.batches.max(1) as f64,
                grouped(queue.waiting_most),
                queue.lag_max_ms,
            ),
        ));
        rows.push((
            "its sequences",
            format!(
                "durable {}, applied {}",
                grouped(queue.durable),
                grouped(queue.applied)
            ),
        ));
    }
    rows.extend([
        (
            "the viewers' tally",
            counts(interval(tallied), interval(hearts_tallied)),
        ),
        (
            "the origin's count",
            match (likes.counts(), &likes.uncounted) {
                (Some([likes, hearts]), _) => counts(signed(likes), signed(hearts)),
                (None, Some(why)) => format!("unknown: {why}"),
                (None, None) => "unknown".to_owned(),
            },
        ),
    ]);
    rows
}

/// The run by its phases, and its faults.
pub(super) fn phases(summary: &Summary) -> Table {
    let mut table = Table::new(
        "Phases",
        [
            "phase", "s", "viewers", "asked", "hit %", "coll. %", "miss %", "failed", "origin/s",
            "p99 ms",
        ],
    );
    for phase in &summary.phases {
        let share = |word: ResultWord| {
            let count = phase.words.get(&word).copied().unwrap_or(0);
            Cell::figure(share_of(count, phase.requests))
        };
        let unknown = || "-".to_owned();
        let p99 = segment_latency(phase);
        table.rows.push(vec![
            Cell::words(&phase.name),
            Cell::figure(format!("{:.0}-{:.0}", phase.from_s, phase.until_s)),
            Cell::figure(grouped(phase.viewers_mean.round() as u64)),
            Cell::figure(grouped(phase.requests)),
            share(ResultWord::Hit),
            share(ResultWord::Collapsed),
            share(ResultWord::Miss),
            Cell::figure(grouped(phase.failures)),
            Cell::figure(
                phase
                    .origin_per_s
                    .map_or_else(unknown, |rate| format!("{rate:.1}")),
            ),
            Cell::figure(p99.map_or_else(unknown, |row| format!("{:.1}", row.p99_ms))),
        ]);
    }
    table.notes.push(
        "s: from when to when; viewers: mean; asked: requests of viewers; hit, collapsed, miss: of all of them; origin/s: \
         requests that reached the origin; p99: segments, since they were wanted".to_owned(),
    );
    table.notes.extend(faults(&summary.faults));
    table
}

/// A part as a percentage of the whole.
fn share_of(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.1}", part as f64 / whole as f64 * 100.0),
    }
}

fn segment_latency(phase: &PhaseRow) -> Option<&super::latency::Row> {
    phase.latency.iter().find(|row| row.kind == Kind::Segment)
}

/// The injected faults, one sentence each.
pub(super) fn faults(faults: &[FaultRow]) -> impl Iterator<Item = String> {
    (1..).zip(faults).map(|(number, fault)| {
        let until = match fault.until_s {
            Some(until_s) => format!("until {until_s:.1} s"),
            None => "to the end".to_owned(),
        };
        format!(
            "F{number}, from {:.1} s {until}: {}",
            fault.from_s, fault.what
        )
    })
}

/// The run by its edges; empty for a single edge, which equals the run.
pub(super) fn edges(summary: &Summary) -> Table {
    let words: Vec<_> = ResultWord::ALL
        .into_iter()
        .filter(|word| summary.edges.iter().any(|row| row.words.contains_key(word)))
        .collect();
    let mut table = Table::new("Edges", ["edge", "viewers", "asked"]);
    table.header.extend(words.iter().map(ToString::to_string));
    table
        .header
        .extend(["failed", "p99 ms", "origin hits"].map(str::to_owned));
    if summary.edges.len() < 2 {
        return table;
    }
    let mut reached = Vec::new();
    for edge in &summary.edges {
        let mut cells = vec![
            Cell::words(edge.name.as_ref().unwrap_or(&edge.target)),
            Cell::figure(grouped(edge.viewers)),
            Cell::figure(grouped(edge.requests)),
        ];
        let counts = words.iter().map(|word| edge.words.get(word).copied());
        cells.extend(counts.map(|count| Cell::figure(grouped(count.unwrap_or(0)))));
        let unknown = || "-".to_owned();
        cells.extend([
            Cell::figure(grouped(edge.failures)),
            Cell::figure(
                edge.segment_p99_ms
                    .map_or_else(unknown, |millis| format!("{millis:.1}")),
            ),
            Cell::figure(edge.origin_hits.map_or_else(unknown, grouped)),
        ]);
        table.rows.push(cells);
        if let Some(name) = edge.name.as_ref().filter(|name| **name != edge.target) {
            reached.push(format!("{name} at {}", edge.target));
        }
    }
    table
        .notes
        .push("asked: requests of viewers; p99: segments, since they were wanted".to_owned());
    if !reached.is_empty() {
        table.notes.push(reached.join(" · "));
    }
    table
}

/// How well the generator kept its schedule.
pub(super) fn generator(summary: &Summary) -> Vec<String> {
    if let Some(simulated) = &summary.simulated {
        return vec![
            format!("virtual time: {}", in_virtual_time(summary, simulated)),
            format!(
                "the same again: seawall {}, configuration {}, seed {}; its events are {}",
                simulated.program, simulated.config_hash, summary.seed, simulated.event_hash
            ),
        ];
    }
    let generator = &summary.generator;
    let valid = match summary.generator_faults.is_empty() {
        true => "valid",
        false => "INVALID",
    };
    let lateness = format!(
        "generator {valid}: {} wake-ups, late by p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (limit: p99 20 ms)",
        grouped(generator.wakes),
        generator.lag_p50_ms,
        generator.lag_p99_ms,
        generator.lag_max_ms,
    );
    let processor = match generator.cpu {
        Some(cpu) if cpu.process == Process::Own => format!(
            "processor time: {:.1} s, {:.0} % of the machine (limit: 85 %)",
            cpu.busy_s,
            cpu.share * 100.0
        ),
        Some(cpu) if cpu.process == Process::WithOrigin => format!(
            "processor time: {:.1} s, {:.0} % of the machine, origin and broadcaster included; the edges are processes of \
             their own (limit: 85 %)",
            cpu.busy_s,
            cpu.share * 100.0
        ),
        Some(cpu) => format!(
            "processor time: {:.1} s, {:.0} % of the machine, servers included: they run in the same process, so the \
             generator is judged by its lateness alone",
            cpu.busy_s,
            cpu.share * 100.0
        ),
        None => "processor time: unknown on this system".to_owned(),
    };
    vec![lateness, processor]
}

/// How many events a simulation took, and for how many viewers a player decided.
pub(super) fn in_virtual_time(summary: &Summary, simulated: &Simulated) -> String {
    let players = match simulated.viewers_per_player_max {
        0 | 1 => "a player for each visit".to_owned(),
        most => format!(
            "{} players, each for at most {} viewers",
            grouped(simulated.players),
            grouped(most.into())
        ),
    };
    format!(
        "{} events, {players}; event hash {} with seed {}",
        grouped(simulated.events),
        simulated.event_hash,
        summary.seed
    )
}

/// What the figures do not cover.
pub(super) fn limits(summary: &Summary) -> Vec<String> {
    if summary.simulated.is_some() {
        return [
            "Virtual time: caches, players, playlists and the origin decide as they do over sockets; packets, processors and TLS are \
             not modelled. A transfer takes its round trip, and its bytes over the last mile.",
            "Eviction is exact LRU in bytes; an edge over sockets uses moka's.",
            "Theory takes arrivals as evenly spread over a segment duration, which a surge is not; predictions from the viewers' \
             requests need no such thing.",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    let mut limits = Vec::new();
    if summary.requests_unlogged > 0 {
        limits.push(format!(
            "{} requests were beyond the bound of the log and are in no figure above.",
            grouped(summary.requests_unlogged)
        ));
    }
    limits.extend(
        [
            "The last mile is modelled in the viewer; sockets, caches and every byte are real.",
            "One run is one sample: viewers who reload every segment keep their phases, so compare means over several \
             seeds.",
            "Theory takes arrivals as evenly spread over a segment duration, which a surge is not; predictions from the \
             log need no such thing.",
        ]
        .map(str::to_owned),
    );
    limits
}
