//! The runner: plays a scenario and compares the audience's record with the counts of origin and edges.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::hls::names::LivePath;
use crate::load::{self, Metrics, Network, Plot, Progress, RunPlan, Stream, UserAgent};
use crate::policy::status::MissQueue;
use crate::report::counts::{Caches, EdgeCounts, OriginHits};
use crate::report::record::{Level, Phase, Process, RunRecord};
use crate::report::summarize;
use crate::report::summary::Summary;
use crate::run::ask;
use crate::run::cluster::{self, Cluster, Edges, OwnOrigin};
use crate::run::like_counts::{Counting, QueueWatch};
use crate::run::progress::Bar;
use crate::run::settings;
use crate::run::targets::{self, Target};
use crate::scenario::{Fault, FaultKind, Scenario};
use crate::serve::clock::Clock;
use crate::serve::components;
use crate::serve::likes::figures::Work;
use crate::serve::metrics::Registry;
use crate::serve::origin::hits::Snapshot;
use crate::serve::workers::Workers;
use crate::terminal;
use crate::time::Timestamp;
use crate::viewer::audience::Failover;

/// A run that has been played.
#[derive(Debug)]
pub struct Played {
    /// The summary of the run.
    pub summary: Summary,
    /// All results of the run.
    pub record: RunRecord,
}

/// Starts broadcaster, origin and edges on free ports, plays the scenario, and stops them again.
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
    let opening = OwnOrigin::open(scenario, clock);
    let Some(own) = stop.run_until_cancelled(opening).await else {
        bail!("interrupted before the stream was on air");
    };
    let own = own?;
    let plan = &scenario.real.cluster;
    let mut config = own.config.clone();
    plan.lay_over(&mut config);
    let edges = Edges::open(plan, &own.origin, "edge", miss_queue, &config, clock).await?;
    let cluster = Cluster {
        origin: &own.origin,
        edges: &edges,
        channels: &own.channels,
        edge: &config.edge,
    };
    tell_where(&cluster);
    let played = at_cluster(scenario, &cluster, miss_queue, metrics, clock, stop).await;
    edges.stop().await;
    own.stop().await;
    played
}

/// Says where the stream can be watched while the run lasts.
fn tell_where(cluster: &Cluster<'_>) {
    let path = cluster.channels.first().map(|channel| {
        let channel = &channel.name;
        LivePath::Multivariant { channel }.to_string()
    });
    let edges = cluster.edges.urls();
    let (Some(path), Some(first)) = (path, edges.first()) else {
        return;
    };
    let origin = cluster.origin.url();
    let admin = cluster.origin.listeners.admin;
    terminal::remark(&format!(
        "watch {first}{path}   edges {}   origin {origin}   seawall top --admin {admin}",
        edges.join(" ")
    ));
}

/// Plays at a cluster of this program, with the faults of the scenario.
///
/// # Errors
/// An edge cannot be reached, or this process may not open as many descriptors as the run needs.
pub async fn at_cluster(
    scenario: &Scenario,
    cluster: &Cluster<'_>,
    miss_queue: MissQueue,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    let process = cluster.edges.process();
    check_descriptors(scenario, process)?;
    let before = cluster.before().await;
    let names = cluster.channels.iter().map(|channel| channel.name.clone());
    let (likes, origin) = (scenario.real.likes.as_ref(), [cluster.origin.url()]);
    let counting = Counting::begin(likes, &origin, Some(names.collect())).await;
    let queue = QueueWatch::begin(|| Some(cluster.origin.origin.likes()?.work()));
    let plan = RunPlan {
        scenario: scenario.name.clone(),
        audience: scenario.real.audience.clone(),
        seed: scenario.seed,
        targets: cluster.edges.urls(),
        stream: Stream::Channels(cluster.channels.to_vec()),
        miss_queue,
        requests_logged_max: scenario.real.requests_logged_max,
        process,
        connections: scenario.real.connections,
        likes: counting.to_send(),
        network: network(scenario),
        workers: workers(process)?,
        metrics: metrics.clone(),
    };
    if scenario.real.audience.manners.failover == Failover::Steering {
        cluster.steer();
    }
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
    let injecting = cluster.inject_faults(faults, began, &plan.network, clock, &over);
    let levelling = levels.count(cluster, &queue, began, clock, &over);
    let (record, done, ()) = tokio::join!(run, injecting, levelling);
    bar.finish();
    let mut record = record?;
    let struck = done.iter().any(|(what, _)| what.edge().is_some());
    let struck = struck.then(|| "an edge lost its cache or fell silent in mid-run".to_owned());
    record.warm_up = warm_up(scenario);
    record.phases = phases(scenario, record.elapsed);
    record.faults = done.into_iter().map(|(_, fault)| fault).collect();
    record.levels = levels.take(&record);
    record.capacity = Some(scenario.real.cluster.origin.capacity());
    record.headline.clone_from(&scenario.real.headline);
    record.settings = settings::of_cluster(scenario, miss_queue, cluster.edge);
    record.scenario_text = toml::to_string(scenario).ok();
    counting.finish(&mut record).await;
    if let Some(likes) = &mut record.likes {
        likes.queue = queue.figures();
    }
    let (hits, counts) = cluster.since(&before, struck).await;
    let thresholds = &scenario.real.thresholds;
    Ok(Played {
        summary: summarize::summarize(&record, &hits, &counts, thresholds),
        record,
    })
}

/// Running edges that this program has not started, as the user names them.
#[derive(Clone, Copy, Debug)]
pub struct RunningEdges<'a> {
    /// The URL of each edge, or of one playlist.
    pub targets: &'a [String],
    /// The channel to watch at edges of Seawall.
    pub channel: &'a str,
    /// The URL of the origin's admin listener, if its hits are to be counted.
    pub origin_admin: Option<&'a str>,
    /// How the edges handle misses, as far as known.
    pub miss_queue: MissQueue,
    /// How viewers present themselves to other people's servers.
    pub user_agent: &'a UserAgent,
}

/// Plays at running edges, Seawall's or others, and changes nothing in them.
///
/// # Errors
/// The scenario has faults, an edge cannot be reached, or the origin does not report its hits.
pub async fn at_running_edges(
    scenario: &Scenario,
    edges: RunningEdges<'_>,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    if !scenario.real.faults.is_empty() {
        bail!(
            "{:?} injects faults, and edges of another program are left as they are: play it without \
             --target, at a cluster of its own",
            scenario.name
        );
    }
    let targets = edges
        .targets
        .iter()
        .map(|url| Target::parse(url))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let stream = targets::stream_at(&targets, edges.channel, edges.user_agent, clock).await?;
    check_descriptors(scenario, Process::Own)?;
    let admin = edges.origin_admin.map(|url| url.trim_end_matches('/'));
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
        miss_queue: edges.miss_queue,
        requests_logged_max: scenario.real.requests_logged_max,
        process: Process::Own,
        connections: scenario.real.connections,
        likes: counting.to_send(),
        network: Network::default(),
        workers: workers(Process::Own)?,
        metrics: metrics.clone(),
    };
    let bar = Bar::new(&scenario.name, edges.miss_queue);
    let told = |progress: Progress| bar.show(&progress, None);
    let mut record = load::run(&plan, clock, told, stop.child_token()).await?;
    bar.finish();
    record.warm_up = warm_up(scenario);
    record.phases = phases(scenario, record.elapsed);
    record.headline.clone_from(&scenario.real.headline);
    record.settings = settings::of_running_edges(scenario);
    counting.finish(&mut record).await;
    if let Some(likes) = &mut record.likes {
        likes.shared = true;
    }
    let hits = match (count().await?, before) {
        (Some(after), Some(before)) => cluster::origin_hits(&after.since(&before), None, several),
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
        summary: summarize::summarize(&record, &hits, &counts, thresholds),
        record,
    })
}

/// The metrics of this scenario's audience, with its phases and faults.
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

/// The phases of a scenario: each lasts until the next begins, the last until the end.
pub(super) fn phases(scenario: &Scenario, elapsed: Duration) -> Vec<Phase> {
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

/// Gauges of origin and edges, read once a second.
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

    /// Reads the gauges until the run is over.
    async fn count(
        &self,
        cluster: &Cluster<'_>,
        queue: &QueueWatch<impl Fn() -> Option<Work>>,
        began: Timestamp,
        clock: Clock,
        over: &CancellationToken,
    ) {
        let counts = || {
            let hits = cluster.origin.origin.hits();
            (
                hits.total(),
                hits.total_shed(),
                cluster.origin.origin.busy(),
            )
        };
        let first = counts();
        for second in 0.. {
            queue.look();
            let waiters = cluster.edges.waiters().await;
            let (hits, shed, busy) = counts();
            self.lock().push(Level {
                at: clock.now().since(began),
                viewers: 0,
                origin_hits: Some(hits.saturating_sub(first.0)),
                origin_shed: Some(shed.saturating_sub(first.1)),
                origin_busy: Some(busy.saturating_sub(first.2)),
                waiters: Some(waiters),
            });
            let next = clock.instant(began + Duration::from_secs(second + 1));
            let waiting = tokio::time::sleep_until(next);
            if over.run_until_cancelled(waiting).await.is_none() {
                return;
            }
        }
    }

    /// The gauges, with the number of viewers that were present according to the record.
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

/// The viewers' network. Only a scenario with offline viewers gets a network that may fail, because such a network
/// has a cost.
fn network(scenario: &Scenario) -> Network {
    let fails = |fault: &Fault| matches!(fault.what, FaultKind::ViewersOffline(_));
    match scenario.real.faults.iter().any(fails) {
        true => Network::that_may_fail(),
        false => Network::default(),
    }
}

/// The worker threads of the viewers. Viewers share the servers' runtime if the servers run in this process. Otherwise viewers
/// get half of the cores, because the servers on the same machine need the others. One thread drives more viewers than a small
/// server can serve.
fn workers(process: Process) -> anyhow::Result<Workers> {
    if process == Process::SharedWithServers {
        return Ok(Workers::Here);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Workers::start((cores / 2).max(1)).context("cannot start threads for the viewers")
}

/// Refuses a run that would fail in the middle because of too few file descriptors.
fn check_descriptors(scenario: &Scenario, process: Process) -> anyhow::Result<()> {
    /// Descriptors for listeners, connections to the origin, files and the runtime.
    const BESIDE: usize = 300;
    let limit = components::raise_descriptor_limit();
    let per_connection = match process {
        Process::Own | Process::WithOrigin => 1,
        Process::SharedWithServers => 2,
    };
    let viewers = scenario.real.audience.viewers;
    let mut connections = scenario.real.connections.pool.unwrap_or(viewers) as usize;
    if scenario.real.likes.is_some() {
        connections += scenario.real.cluster.edges as usize * load::LINES_PER_EDGE_MAX;
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
