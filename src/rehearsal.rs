//! A rehearsal: a scenario is played, and what the audience saw is laid beside what origin and edges counted.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::ask;
use crate::cli;
use crate::compose;
use crate::config::Config;
use crate::hls::names::LivePath;
use crate::hls::timeline::Channel;
use crate::load::{self, Progress, RunPlan};
use crate::policy::key::Kind;
use crate::policy::status::MissQueue;
use crate::report::counts::{Caches, EdgeCounts, OriginHits, SegmentHits, Unasked};
use crate::report::record::{Process, RunRecord};
use crate::report::summary::{self, Summary};
use crate::report::text::{self, Ink, Page};
use crate::report::verdict::Verdict;
use crate::scenario::{self, Scenario};
use crate::serve::clock::Clock;
use crate::serve::cluster::{self, Doors, EdgeRoom, OriginRoom};
use crate::serve::edge::metrics::Reason;
use crate::serve::origin::hits::Snapshot;
use crate::tiers::{Plan, Tiers};

/// `seawall surge`: one run, at a cluster of its own or at edges that are running.
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
    if let Some(viewers) = flags.viewers {
        scenario.real.audience.viewers = viewers;
        scenario = scenario.checked(&flags.scenario)?;
    }
    let clock = Clock::start();
    let summary = if flags.targets.is_empty() {
        at_own_cluster(&scenario, flags.miss_queue, clock, &stop).await?
    } else {
        at_running_edges(&scenario, flags, clock, &stop).await?
    };
    if flags.json {
        cli::print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
    } else {
        cli::print(&text::render(&summary, page()))?;
    }
    Ok(code_of(&[&summary]))
}

/// Plays a scenario at `edges`, and with the same seed at as many edges without the miss queue; prints both beside each
/// other, and the whole report of the first.
///
/// # Errors
/// No port is free, or an edge cannot be reached.
pub async fn both(
    scenario: &Scenario,
    origin: &OriginRoom,
    tiers: &Tiers,
    channel: &Channel,
    config: &Config,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let on = at_edges(
        scenario,
        origin,
        tiers,
        channel,
        MissQueue::Flights,
        clock,
        stop,
    )
    .await?;
    if stop.is_cancelled() {
        cli::print(&text::render(&on, page()))?;
        return Ok(code_of(&[&on]));
    }
    let without = open_tiers(scenario, origin, "off", MissQueue::Off, config, clock)?;
    let off = at_edges(
        scenario,
        origin,
        &without,
        channel,
        MissQueue::Off,
        clock,
        stop,
    )
    .await?;
    without.stop().await;
    cli::print(&format!(
        "\n{}\n{}",
        text::render(&on, page()),
        text::compare(&on, &off, page())
    ))?;
    Ok(code_of(&[&on, &off]))
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
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let folder = tempfile::Builder::new().prefix("seawall-").tempdir()?;
    let mut config = Config::default();
    config.channel.name.clone_from(&scenario.name);
    config.channel.parts_per_segment = scenario.real.stage.parts_per_segment;
    config.origin.delay_ms = scenario.real.stage.origin_delay_ms;
    config.origin.segments = folder.path().to_owned();
    let config = config.checked()?;
    let off_air = CancellationToken::new();
    let (origin, channel) =
        compose::open_origin(&config, Doors::free(), clock, off_air.clone()).await?;
    let tiers = open_tiers(scenario, &origin, "edge", miss_queue, &config, clock)?;
    let summary = at_edges(scenario, &origin, &tiers, &channel, miss_queue, clock, stop).await;
    tiers.stop().await;
    off_air.cancel();
    origin.room.stop().await;
    summary
}

/// Plays at edges of this process, whose caches hold nothing yet.
async fn at_edges(
    scenario: &Scenario,
    origin: &OriginRoom,
    tiers: &Tiers,
    channel: &Channel,
    miss_queue: MissQueue,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let edges = &tiers.edges;
    let before = origin.origin.hits().snapshot();
    let segments_before: u64 = edges
        .iter()
        .map(|edge| edge.edge.metrics().requests(Kind::Segment))
        .sum();
    let caches = if segments_before == 0 {
        Caches::Cold
    } else {
        Caches::Unknown
    };
    let retries_before = segment_retries(tiers.last());
    for edge in edges {
        edge.edge.metrics().take_followers_peak();
    }
    let targets = edges.iter().map(EdgeRoom::url).collect();
    let record = play(
        scenario,
        targets,
        channel,
        miss_queue,
        Process::SharedWithServers,
        clock,
        stop,
    )
    .await?;
    settle(tiers).await;
    let askers = tiers.askers();
    let names: Vec<_> = askers.group_of_client.keys().cloned().collect();
    let unasked = (0..).zip(edges).flat_map(|(edge, room)| {
        let names = room.edge.unasked(&channel.name);
        names.into_iter().map(move |(rendition, number)| Unasked {
            edge,
            rendition,
            number,
        })
    });
    let hits = origin_hits(
        &origin.origin.hits().snapshot().since(&before),
        Some(&names),
    );
    let segments_after: u64 = edges
        .iter()
        .map(|edge| edge.edge.metrics().requests(Kind::Segment))
        .sum();
    let peak = edges
        .iter()
        .map(|edge| edge.edge.metrics().take_followers_peak())
        .max()
        .unwrap_or(0);
    let counts = EdgeCounts {
        askers,
        segment_requests: Some(segments_after - segments_before),
        waiters_peak: Some(u64::from(peak)),
        segment_retries: segment_retries(tiers.last()) - retries_before,
        unasked: unasked.collect(),
        // The closed form is of edges that ask the origin themselves.
        playlist_lifetime: tiers
            .shields
            .is_empty()
            .then(|| Duration::from_secs(channel.layout.target_duration_s().into()) / 2),
        caches,
    };
    Ok(summary::summarize(
        &record,
        &hits,
        &counts,
        &scenario.real.thresholds,
    ))
}

/// Attempts beyond the first within flights for segments, over those who ask the origin.
fn segment_retries(rooms: &[EdgeRoom]) -> u64 {
    let again = [Reason::Retry, Reason::Resume, Reason::Hold];
    rooms
        .iter()
        .map(|room| room.edge.metrics().segment_fetches(&again))
        .sum()
}

/// Waits until every fetch that the audience has left behind has landed, so that all counts speak of the same ones.
async fn settle(tiers: &Tiers) {
    let quiet = || {
        let mut rooms = tiers.edges.iter().chain(&tiers.shields);
        rooms.all(|room| room.edge.tasks() == 0)
    };
    for _ in 0..200 {
        if quiet() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Plays at edges that somebody else runs, and changes nothing in them.
async fn at_running_edges(
    scenario: &Scenario,
    flags: &cli::Surge,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let path = LivePath::Description {
        channel: &flags.channel,
    }
    .to_string();
    let target = flags
        .targets
        .first()
        .map(|target| target.trim_end_matches('/'))
        .unwrap_or_default();
    let channel: Channel = ask::get_json(&format!("{target}{path}")).await.with_context(|| {
        format!("{target} does not describe the channel {:?}; is it an edge of Seawall, and is --channel right?", flags.channel)
    })?;
    let admin = flags
        .origin_admin
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    let count = || async {
        let asked = ask::get_json::<Snapshot>(&format!("{admin}/-/hits/objects")).await;
        asked.with_context(|| format!("the origin's admin listener at {admin:?} does not tell its hits; is --origin-admin right?"))
    };
    let before = count().await?;
    let targets = flags
        .targets
        .iter()
        .map(|target| target.trim_end_matches('/').to_owned())
        .collect();
    let record = play(
        scenario,
        targets,
        &channel,
        flags.miss_queue,
        Process::Own,
        clock,
        stop,
    )
    .await?;
    let hits = origin_hits(&count().await?.since(&before), None);
    let counts = EdgeCounts {
        caches: Caches::Unknown,
        ..EdgeCounts::default()
    };
    Ok(summary::summarize(
        &record,
        &hits,
        &counts,
        &scenario.real.thresholds,
    ))
}

async fn play(
    scenario: &Scenario,
    targets: Vec<String>,
    channel: &Channel,
    miss_queue: MissQueue,
    process: Process,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<RunRecord> {
    check_descriptors(scenario.real.audience.viewers, process)?;
    let plan = RunPlan {
        scenario: scenario.name.clone(),
        audience: scenario.real.audience.clone(),
        seed: scenario.seed,
        targets,
        channel: channel.clone(),
        miss_queue,
        requests_logged_max: scenario.real.requests_logged_max,
        process,
    };
    let bar = Bar::new(&scenario.name, miss_queue);
    let record = load::run(
        &plan,
        clock,
        |progress| bar.show(&progress),
        stop.child_token(),
    )
    .await?;
    bar.finish();
    Ok(record)
}

/// Refuses a run that would fail for want of descriptors in its middle.
fn check_descriptors(viewers: u32, process: Process) -> anyhow::Result<()> {
    /// Listeners, connections to the origin, files, the runtime's own.
    const BESIDE: usize = 300;
    let limit = cluster::raise_descriptor_limit();
    let per_viewer = match process {
        Process::Own => 1,
        Process::SharedWithServers => 2,
    };
    let needed = viewers as usize * per_viewer + BESIDE;
    if needed > limit {
        let fit = limit.saturating_sub(BESIDE) / per_viewer;
        bail!(
            "{viewers} viewers need about {needed} file descriptors, and this process may have {limit}: {fit} viewers fit \
             (--viewers {fit}), or raise the limit with `ulimit -n {needed}`"
        );
    }
    Ok(())
}

/// As many cold edges and shields as the scenario's stage has, on free ports.
fn open_tiers(
    scenario: &Scenario,
    origin: &OriginRoom,
    name: &str,
    miss_queue: MissQueue,
    config: &Config,
    clock: Clock,
) -> anyhow::Result<Tiers> {
    let plan = Plan {
        config,
        origin: origin.url(),
        name,
        edges: scenario.real.stage.edges,
        shields: scenario.real.stage.shields,
        miss_queue,
        edge_doors: Doors::free(),
        shield_doors: Doors::free(),
    };
    Tiers::open(&plan, clock)
}

/// The origin's count as the report takes it: of these clients, or of all.
fn origin_hits(snapshot: &Snapshot, clients: Option<&[String]>) -> OriginHits {
    let counted =
        |client: &str| clients.is_none_or(|clients| clients.iter().any(|name| name == client));
    let of_kind = |kind: Kind| {
        snapshot
            .clients
            .iter()
            .filter(|(client, _)| counted(client))
            .filter_map(|(_, kinds)| kinds.get(&kind))
            .sum()
    };
    let segments: Vec<_> = snapshot
        .objects
        .iter()
        .filter(|asked| asked.object.kind == Kind::Segment && counted(&asked.object.client))
        .map(|asked| SegmentHits {
            client: asked.object.client.to_string(),
            rendition: asked.object.rendition.clone(),
            number: asked.object.number.unwrap_or_default(),
            hits: asked.hits,
        })
        .collect();
    OriginHits {
        segment: of_kind(Kind::Segment),
        media_playlist: of_kind(Kind::MediaPlaylist),
        multivariant: of_kind(Kind::Multivariant),
        other: of_kind(Kind::Other),
        per_client: snapshot
            .clients
            .iter()
            .filter(|(client, _)| counted(client))
            .map(|(client, kinds)| (client.clone(), kinds.values().sum()))
            .collect(),
        most_per_segment: segments
            .iter()
            .map(|segment| segment.hits)
            .max()
            .unwrap_or(0),
        segments,
    }
}

/// How the report is written to this stdout.
fn page() -> Page {
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

/// The progress of a run on stderr: a bar on a terminal, a line every ten seconds elsewhere.
struct Bar {
    bar: ProgressBar,
    told_s: std::cell::Cell<u64>,
    what: String,
}

impl Bar {
    fn new(scenario: &str, miss_queue: MissQueue) -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{prefix} [{bar:20}] {wide_msg}")
            .expect("the template is valid");
        bar.set_style(style.progress_chars("=> "));
        let what = format!("{scenario}, miss queue {miss_queue}");
        bar.set_prefix(what.clone());
        Self {
            bar,
            told_s: std::cell::Cell::new(0),
            what,
        }
    }

    fn show(&self, progress: &Progress) {
        let text = format!(
            "{:.0}/{:.0} s  {} viewers  {} requests: {} hit, {} collapsed, {} miss{}",
            progress.elapsed.as_secs_f64(),
            progress.whole.as_secs_f64(),
            HumanCount(progress.viewers_now.into()),
            HumanCount(progress.requests),
            HumanCount(progress.hits),
            HumanCount(progress.collapsed),
            HumanCount(progress.misses),
            if progress.failures > 0 {
                format!(", {} FAILED", HumanCount(progress.failures))
            } else {
                String::new()
            },
        );
        if !self.bar.is_hidden() {
            self.bar.set_length(progress.whole.as_millis() as u64);
            self.bar.set_position(progress.elapsed.as_millis() as u64);
            self.bar.set_message(text);
            return;
        }
        let tens = progress.elapsed.as_secs() / 10;
        if tens > self.told_s.replace(tens) {
            eprintln!("{}: {text}", self.what);
        }
    }

    fn finish(&self) {
        self.bar.abandon();
    }
}
