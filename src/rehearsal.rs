//! A rehearsal: a scenario is played, and what the audience saw is laid beside what origin and edges counted.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::ab::{Ab, Side};
use crate::ask;
use crate::bar::Bar;
use crate::cli;
use crate::config::Config;
use crate::like_counts::{Counting, QueueWatch};
use crate::load::{self, Metrics, Network, Plot, Progress, RunPlan, Stream};
use crate::policy::status::MissQueue;
use crate::report::counts::{Caches, EdgeCounts, OriginHits};
use crate::report::documents;
use crate::report::html::Run;
use crate::report::record::{Level, Phase, Process, RunRecord};
use crate::report::series::Series;
use crate::report::summary::{self, Summary};
use crate::report::text::{self, Ink, Page};
use crate::report::verdict::Verdict;
use crate::scenario::{self, Fault, Scenario, Trouble};
use crate::serve::clock::Clock;
use crate::serve::cluster::{self, MetricsDoor};
use crate::serve::likes::figures::Work;
use crate::serve::metrics::Registry;
use crate::serve::origin::hits::Snapshot;
use crate::serve::workers::Workers;
use crate::targets::{self, Target};
use crate::terminal;
use crate::time::Timestamp;
use crate::venue::{self, Cluster, Edges, Venue};

/// A run that has been played.
#[derive(Debug)]
pub struct Played {
    /// What it comes to.
    pub summary: Summary,
    /// Everything that it left behind.
    pub record: RunRecord,
}

/// `seawall surge`: one run, or two of one seed beside each other, at clusters of their own or at edges that are running.
///
/// # Errors
/// What went wrong, in sentences for whoever typed the command.
pub async fn surge(flags: &cli::Surge, stop: CancellationToken) -> anyhow::Result<u8> {
    let mut scenario = scenario::find(&flags.scenario)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    let stage = &mut scenario.real.stage;
    stage.shields = flags.shields.or(stage.shields);
    stage.edges = flags.edges.unwrap_or(stage.edges);
    scenario.real.audience.viewers = flags.viewers.unwrap_or(scenario.real.audience.viewers);
    let scenario = scenario.checked(&flags.scenario)?;
    let clock = Clock::start();
    let registry = Registry::new(&[]);
    let metrics = metrics(&scenario, &registry, clock);
    let _door = door(flags.metrics, registry)?;
    let metrics = &metrics;
    if let Some(comparison) = &flags.ab {
        return compared(&scenario, comparison, flags, metrics, clock, &stop).await;
    }
    let played = if flags.targets.is_empty() {
        at_own_cluster(&scenario, flags.miss_queue, metrics, clock, &stop).await?
    } else {
        at_running_edges(&scenario, flags, metrics, clock, &stop).await?
    };
    let summary = &played.summary;
    if let Some(folder) = &flags.report {
        leave(
            folder,
            &[(&played, &format!("miss queue {}", summary.miss_queue))],
        )?;
    }
    if flags.json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(summary)?))?;
    } else {
        terminal::print(&text::render(summary, page()))?;
    }
    Ok(code_of(&[summary]))
}

/// Both sides of a comparison, each at a cold cluster of its own, with one seed.
async fn compared(
    scenario: &Scenario,
    comparison: &Ab,
    flags: &cli::Surge,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let mut played = Vec::new();
    for side in [Side::A, Side::B] {
        let mut miss_queue = flags.miss_queue;
        let mut varied = scenario.clone();
        comparison.lay_over(side, &mut varied, &mut miss_queue);
        let varied = varied.checked(&flags.scenario)?;
        played.push(at_own_cluster(&varied, miss_queue, metrics, clock, stop).await?);
        if stop.is_cancelled() {
            break;
        }
    }
    let labels = [Side::A, Side::B].map(|side| comparison.label(side));
    if let Some(folder) = &flags.report {
        let runs: Vec<_> = played
            .iter()
            .zip(labels.iter().map(String::as_str))
            .collect();
        leave(folder, &runs)?;
    }
    let summaries: Vec<_> = played.iter().map(|played| &played.summary).collect();
    if flags.json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&summaries)?))?;
    } else if let [one, other] = summaries[..] {
        terminal::print(&format!(
            "{}\n{}\n{}",
            text::render(one, page()),
            text::render(other, page()),
            text::beside(one, other, [&labels[0], &labels[1]], page())
        ))?;
    } else {
        terminal::print(&text::render(summaries[0], page()))?;
    }
    Ok(code_of(&summaries))
}

/// Plays a scenario at a venue, and with the same seed at as many edges without the miss queue; prints the whole report of
/// the first, what the second comes to, and both beside each other.
///
/// # Errors
/// No port is free, or an edge cannot be reached.
pub async fn both(
    scenario: &Scenario,
    venue: &Venue<'_>,
    config: &Config,
    report: Option<&Path>,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let on = at_venue(scenario, venue, MissQueue::Flights, metrics, clock, stop).await?;
    if stop.is_cancelled() {
        terminal::print(&text::render(&on.summary, page()))?;
        return Ok(code_of(&[&on.summary]));
    }
    let stage = &scenario.real.stage;
    let without = Edges::open(stage, venue.origin, "off", MissQueue::Off, config, clock).await?;
    let bare = Venue {
        edges: &without,
        ..*venue
    };
    let off = at_venue(scenario, &bare, MissQueue::Off, metrics, clock, stop).await;
    without.stop().await;
    let off = off?;
    let labels = ["miss queue on", "miss queue off"];
    if let Some(folder) = report {
        leave(folder, &[(&on, labels[0]), (&off, labels[1])])?;
    }
    let (on, off) = (on.summary, off.summary);
    terminal::print(&format!(
        "\n{}\n{}\n{}",
        text::render(&on, page()),
        text::verdict(&off, page()),
        text::beside(&on, &off, labels, page())
    ))?;
    Ok(code_of(&[&on, &off]))
}

/// Leaves the documents of one run or two, under their labels, in a folder.
fn leave(folder: &Path, runs: &[(&Played, &str)]) -> anyhow::Result<()> {
    let series: Vec<_> = runs
        .iter()
        .map(|(played, _)| Series::of(&played.record))
        .collect();
    let runs: Vec<_> = runs
        .iter()
        .zip(&series)
        .map(|((played, label), series)| Run {
            summary: &played.summary,
            series,
            label,
        })
        .collect();
    let cannot = || format!("cannot write the report to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    for (name, text) in documents::documents(&runs) {
        std::fs::write(folder.join(name), text).with_context(cannot)?;
    }
    terminal::remark(&format!(
        "the report is in {}",
        folder.join("report.html").display()
    ));
    Ok(())
}

/// The exit code of one run or more.
fn code_of(summaries: &[&Summary]) -> u8 {
    let any = |verdict| summaries.iter().any(|summary| summary.verdict == verdict);
    if any(Verdict::Interrupted) {
        cli::INTERRUPTED
    } else if any(Verdict::Fail) || any(Verdict::Invalid) {
        cli::THRESHOLD
    } else {
        cli::OK
    }
}

/// Starts broadcaster, origin and edges on free ports, plays, and stops them again.
///
/// # Errors
/// No port is free, or the folder for temporary files cannot be written.
pub async fn at_own_cluster(
    scenario: &Scenario,
    miss_queue: MissQueue,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    let opening = Cluster::open(scenario, clock);
    let Some(cluster) = stop.run_until_cancelled(opening).await else {
        bail!("interrupted before the stream was on air");
    };
    let cluster = cluster?;
    let stage = &scenario.real.stage;
    let edges = Edges::open(
        stage,
        &cluster.origin,
        "edge",
        miss_queue,
        &cluster.config,
        clock,
    )
    .await?;
    let venue = Venue {
        origin: &cluster.origin,
        edges: &edges,
        channels: &cluster.channels,
        playlist_fresh_percent: venue::playlist_fresh_percent(stage),
    };
    let played = at_venue(scenario, &venue, miss_queue, metrics, clock, stop).await;
    edges.stop().await;
    cluster.stop().await;
    played
}

/// Plays at a venue of our own, with whatever the scenario wants to go wrong.
async fn at_venue(
    scenario: &Scenario,
    venue: &Venue<'_>,
    miss_queue: MissQueue,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    let process = venue.edges.process();
    check_descriptors(scenario, process)?;
    let before = venue.before().await;
    let names = venue.channels.iter().map(|channel| channel.name.clone());
    let (likes, origin) = (scenario.real.likes.as_ref(), [venue.origin.url()]);
    let counting = Counting::begin(likes, &origin, Some(names.collect())).await;
    let queue = QueueWatch::begin(|| Some(venue.origin.origin.likes()?.work()));
    let plan = RunPlan {
        scenario: scenario.name.clone(),
        audience: scenario.real.audience.clone(),
        seed: scenario.seed,
        targets: venue.edges.urls(),
        stream: Stream::Channels(venue.channels.to_vec()),
        miss_queue,
        requests_logged_max: scenario.real.requests_logged_max,
        process,
        lines: scenario.real.lines,
        likes: counting.to_send(),
        network: network(scenario),
        workers: workers(process)?,
        metrics: metrics.clone(),
    };
    let bar = Bar::new(&scenario.name, miss_queue);
    let over = stop.child_token();
    let began = clock.now();
    let levels = Levels::default();
    let run = async {
        let told = |progress: Progress| bar.show(&progress, levels.newest());
        let played = load::run(&plan, clock, told, stop.child_token()).await;
        over.cancel();
        played
    };
    let faults = &scenario.real.faults;
    let trouble = venue.make_trouble(faults, began, &plan.network, clock, &over);
    let levelling = levels.count(venue, &queue, began, clock, &over);
    let (record, done, ()) = tokio::join!(run, trouble, levelling);
    bar.finish();
    let mut record = record?;
    let struck = done.iter().any(|(what, _)| what.edge().is_some());
    let struck = struck.then(|| "an edge lost its cache or fell silent in mid-run".to_owned());
    record.warm_up = warm_up(scenario);
    record.phases = phases(scenario, record.elapsed);
    record.faults = done.into_iter().map(|(_, fault)| fault).collect();
    record.levels = levels.take(&record);
    counting.finish(&mut record).await;
    if let Some(likes) = &mut record.likes {
        likes.queue = queue.figures();
    }
    let (hits, counts) = venue.since(&before, struck).await;
    let thresholds = &scenario.real.thresholds;
    Ok(Played {
        summary: summary::summarize(&record, &hits, &counts, thresholds),
        record,
    })
}

/// Plays at edges that somebody else runs, Seawall's or others, and changes nothing in them.
async fn at_running_edges(
    scenario: &Scenario,
    flags: &cli::Surge,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    if !scenario.real.faults.is_empty() {
        bail!(
            "{:?} makes trouble on purpose, and edges that somebody else runs are left as they are: play it without \
             --target, at a cluster of its own",
            scenario.name
        );
    }
    let targets = flags
        .targets
        .iter()
        .map(|url| Target::parse(url))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let stream = targets::stream_at(&targets, &flags.channel).await?;
    check_descriptors(scenario, Process::Own)?;
    let admin = flags
        .origin_admin
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    let count = || async {
        let Some(admin) = admin else {
            return Ok(None);
        };
        let asked = ask::get_json::<Snapshot>(&format!("{admin}/-/hits/objects")).await;
        let counted = asked.with_context(|| format!("the origin's admin listener at {admin:?} does not tell its hits; is --origin-admin right?"))?;
        anyhow::Ok(Some(counted))
    };
    let before = count().await?;
    let bases: Vec<_> = targets.iter().map(|target| target.base.clone()).collect();
    let likes = scenario.real.likes.as_ref();
    let counting = Counting::begin(likes, &bases, stream.names()).await;
    let several = stream.channels() > 1;
    let plan = RunPlan {
        scenario: scenario.name.clone(),
        audience: scenario.real.audience.clone(),
        seed: scenario.seed,
        targets: bases,
        stream,
        miss_queue: flags.miss_queue,
        requests_logged_max: scenario.real.requests_logged_max,
        process: Process::Own,
        lines: scenario.real.lines,
        likes: counting.to_send(),
        network: Network::default(),
        workers: workers(Process::Own)?,
        metrics: metrics.clone(),
    };
    let bar = Bar::new(&scenario.name, flags.miss_queue);
    let told = |progress: Progress| bar.show(&progress, None);
    let mut record = load::run(&plan, clock, told, stop.child_token()).await?;
    bar.finish();
    record.warm_up = warm_up(scenario);
    record.phases = phases(scenario, record.elapsed);
    counting.finish(&mut record).await;
    if let Some(likes) = &mut record.likes {
        likes.shared = true;
    }
    let hits = match (count().await?, before) {
        (Some(after), Some(before)) => venue::origin_hits(&after.since(&before), None, several),
        _ => OriginHits {
            uncounted: true,
            ..OriginHits::default()
        },
    };
    let counts = EdgeCounts {
        caches: Caches::Unknown,
        ..EdgeCounts::default()
    };
    let thresholds = &scenario.real.thresholds;
    Ok(Played {
        summary: summary::summarize(&record, &hits, &counts, thresholds),
        record,
    })
}

/// Opens the door to the audience's metrics, if one is wanted, and says where it is.
///
/// # Errors
/// The port is taken.
pub fn door(at: Option<SocketAddr>, registry: Registry) -> anyhow::Result<Option<MetricsDoor>> {
    let Some(at) = at else {
        return Ok(None);
    };
    let door = MetricsDoor::open(at, registry)?;
    terminal::remark(&format!("audience http://{}/metrics", door.addr));
    Ok(Some(door))
}

/// What the audience of this scenario counts, with its phases and whatever goes wrong on purpose.
pub fn metrics(scenario: &Scenario, registry: &Registry, clock: Clock) -> Metrics {
    let phases = scenario.real.phases.iter();
    let phases = phases.map(|phase| (phase.name.clone(), seconds(phase.from_s)));
    let phases: Vec<_> = phases.collect();
    let faults = scenario.real.faults.iter();
    let faults = faults.flat_map(|fault| {
        let begins = (fault.what.to_string(), seconds(fault.at_s));
        let over = |until_s| (format!("{}: over", fault.what), seconds(until_s));
        [Some(begins), fault.until_s.map(over)]
    });
    let plot = Plot {
        scenario: scenario.name.clone(),
        events: phases.iter().cloned().chain(faults.flatten()).collect(),
        phases,
    };
    Metrics::new(registry, plot, clock)
}

fn warm_up(scenario: &Scenario) -> Duration {
    seconds(scenario.real.warm_up_s)
}

fn seconds(span_s: f64) -> Duration {
    Duration::try_from_secs_f64(span_s).unwrap_or_default()
}

/// The phases of a scenario, each until the next begins, the last until the end.
fn phases(scenario: &Scenario, elapsed: Duration) -> Vec<Phase> {
    let begins: Vec<_> = scenario
        .real
        .phases
        .iter()
        .map(|phase| seconds(phase.from_s))
        .collect();
    let ends = begins.iter().skip(1).copied().chain([elapsed]);
    let named = scenario.real.phases.iter().zip(&begins).zip(ends);
    named
        .filter(|((_, from), _)| **from < elapsed)
        .map(|((phase, &from), until)| Phase {
            name: phase.name.clone(),
            from,
            until: until.min(elapsed),
        })
        .collect()
}

/// What origin and edges count, once a second.
#[derive(Default)]
struct Levels {
    counted: Mutex<Vec<Level>>,
}

impl Levels {
    fn newest(&self) -> Option<[Level; 2]> {
        let counted = self.lock();
        match &counted[..] {
            [.., before, newest] => Some([*before, *newest]),
            _ => None,
        }
    }

    /// Counts until the run is over.
    async fn count(
        &self,
        venue: &Venue<'_>,
        queue: &QueueWatch<impl Fn() -> Option<Work>>,
        began: Timestamp,
        clock: Clock,
        over: &CancellationToken,
    ) {
        let first = venue.origin.origin.hits().total();
        for second in 0.. {
            queue.look();
            let waiters = venue.edges.waiters().await;
            let hits = venue.origin.origin.hits().total();
            self.lock().push(Level {
                at: clock.now().since(began),
                viewers: 0,
                origin_hits: Some(hits.saturating_sub(first)),
                waiters: Some(waiters),
            });
            let next = clock.instant(began + Duration::from_secs(second + 1));
            let waiting = tokio::time::sleep_until(next);
            if over.run_until_cancelled(waiting).await.is_none() {
                return;
            }
        }
    }

    /// What was counted, with the viewers that were there by the record.
    fn take(&self, record: &RunRecord) -> Vec<Level> {
        let mut levels = std::mem::take(&mut *self.lock());
        for level in &mut levels {
            let at = record.began_at + level.at;
            let present = record.viewers.iter();
            let present = present.filter(|viewer| viewer.arrived <= at && at < viewer.left);
            level.viewers = present.count() as u32;
        }
        levels
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Level>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The viewers' network: one that may fail only if the scenario wants that, because it costs something.
fn network(scenario: &Scenario) -> Network {
    let fails = |fault: &Fault| matches!(fault.what, Trouble::ViewersOffline(_));
    match scenario.real.faults.iter().any(fails) {
        true => Network::that_may_fail(),
        false => Network::default(),
    }
}

/// Where viewers live: with their servers, if those run in this process too; else on half of the cores, because the
/// servers have the others on the same machine, and one thread drives more viewers than a small server bears.
fn workers(process: Process) -> anyhow::Result<Workers> {
    if process == Process::SharedWithServers {
        return Ok(Workers::Here);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Workers::start((cores / 2).max(1)).context("cannot start threads for the viewers")
}

/// Refuses a run that would fail for want of descriptors in its middle.
fn check_descriptors(scenario: &Scenario, process: Process) -> anyhow::Result<()> {
    /// Listeners, connections to the origin, files, the runtime's own.
    const BESIDE: usize = 300;
    let limit = cluster::raise_descriptor_limit();
    let per_connection = match process {
        Process::Own | Process::WithOrigin => 1,
        Process::SharedWithServers => 2,
    };
    let viewers = scenario.real.audience.viewers;
    let mut connections = scenario.real.lines.pool.unwrap_or(viewers) as usize;
    if scenario.real.likes.is_some() {
        connections += scenario.real.stage.edges as usize * load::LINES_PER_EDGE_MAX;
    }
    let needed = connections * per_connection + BESIDE;
    if needed > limit {
        let fit = limit.saturating_sub(BESIDE) / per_connection;
        bail!(
            "{viewers} viewers need about {needed} file descriptors, and this process may have {limit}: {fit} viewers fit \
             (--viewers {fit}), or raise the limit with `ulimit -n {needed}`"
        );
    }
    Ok(())
}

/// How the report is written to this stdout.
pub(crate) fn page() -> Page {
    if !std::io::stdout().is_terminal() {
        return Page::default();
    }
    let width = comfy_table::Table::new()
        .width()
        .unwrap_or(100)
        .clamp(80, 120);
    Page {
        width,
        ink: Ink::Coloured,
    }
}
