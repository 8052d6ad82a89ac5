//! `seawall surge`, and the surge of `seawall up`: plays runs, prints their reports and writes them into a folder.

use std::net::SocketAddr;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::cli;
use super::reported::{Folder, Format, Reported};
use crate::config::Config;
use crate::load::{Metrics, UserAgent};
use crate::policy::status::MissQueue;
use crate::report::series::Series;
use crate::report::summary::Summary;
use crate::run::ab::{self, PlannedRun};
use crate::run::cluster::{Cluster, Edges};
use crate::run::runner::{self, Played, RunningEdges};
use crate::run::targets;
use crate::scenario::{self, Scenario};
use crate::serve::clock::Clock;
use crate::serve::components::MetricsDoor;
use crate::serve::metrics::Registry;
use crate::terminal;

/// `seawall surge`: one run, or several of one seed beside each other, at separate clusters or at running edges.
///
/// # Errors
/// The error, in sentences for the user.
pub async fn surge(flags: &cli::Surge, stop: CancellationToken) -> anyhow::Result<u8> {
    let mut scenario = scenario::find(&flags.scenario)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    anyhow::ensure!(
        flags.targets.is_empty() || !flags.capacity.is_given(),
        "--origin-... sets what the origin of this run's own cluster can do; with --target there is none"
    );
    let plan = &mut scenario.real.cluster;
    flags.capacity.lay_over(&mut plan.origin);
    plan.shields = flags.shields.or(plan.shields);
    plan.edges = flags.edges.unwrap_or(plan.edges);
    if let Some(viewers) = flags.viewers {
        scenario.real.scale_to(viewers);
    }
    let scenario = scenario.checked(&flags.scenario)?;
    let clock = Clock::start();
    let registry = Registry::new(&[]);
    let metrics = runner::metrics(&scenario, &registry, clock);
    let _door = door(flags.metrics, registry)?;
    let report = flags.report.as_deref().map(Folder::open).transpose()?;
    let format = match (flags.json, flags.full) {
        (true, _) => Format::Json,
        (false, true) => Format::Full,
        (false, false) => Format::Screen,
    };
    let mut reported = Reported::default();
    if !flags.targets.is_empty() {
        let user_agent = UserAgent {
            headers: flags.headers.clone(),
            insecure: flags.insecure,
        };
        let edges = RunningEdges {
            user_agent: &user_agent,
            targets: &targets::split(&flags.targets),
            channel: &flags.channel,
            origin_admin: flags.origin_admin.as_deref(),
            miss_queue: flags.miss_queue,
        };
        let played = runner::at_running_edges(&scenario, edges, &metrics, clock, &stop).await?;
        let run = PlannedRun::plain(&scenario, flags.miss_queue);
        let (summary, series) = figures(played);
        reported.push(summary, series, run.label);
        return reported.finish(report, format);
    }
    let runs = planned(&scenario, flags)?;
    let names: Vec<_> = runs.iter().map(|run| run.label.clone()).collect();
    for (index, run) in runs.into_iter().enumerate() {
        tell_which(index, &names);
        let (what, how) = (&run.scenario, run.miss_queue);
        let played = runner::at_own_cluster(what, how, &metrics, clock, &stop).await;
        if !reported.take(played.map(figures), run.label)? || stop.is_cancelled() {
            break;
        }
    }
    reported.finish(report, format)
}

/// The figures of a run.
fn figures(played: Played) -> (Summary, Series) {
    let series = Series::of(&played.record);
    (played.summary, series)
}

/// Says which of several runs begins.
fn tell_which(index: usize, names: &[String]) {
    if let [_, _, ..] = names {
        let (number, all) = (index + 1, names.len());
        terminal::remark(&format!("run {number} of {all}: {}", names[index]));
    }
}

/// The runs that the user wants: those of `--ab`, the scenario's variants, or one.
fn planned(scenario: &Scenario, flags: &cli::Surge) -> anyhow::Result<Vec<PlannedRun>> {
    let miss_queue = flags.miss_queue;
    let runs = match &flags.ab {
        Some(comparison) => comparison.runs(scenario, miss_queue),
        None if flags.compare => {
            let variants = ab::variants(scenario);
            anyhow::ensure!(
                !variants.is_empty(),
                "{:?} has no variants to compare: it needs [[real.variants]], or play it with --ab KNOB=A,B",
                scenario.name
            );
            variants
        }
        None => vec![PlannedRun::plain(scenario, miss_queue)],
    };
    let checked = runs.into_iter().map(|run| {
        Ok(PlannedRun {
            scenario: run.scenario.checked(&flags.scenario)?,
            ..run
        })
    });
    checked.collect()
}

/// Plays the variants of a scenario, or the scenario without the miss queue and with it. All runs have the same seed, and their
/// edges are cold. The last run uses the edges of the cluster. Each other run gets edges of its own.
///
/// # Errors
/// No port is free, or an edge cannot be reached.
pub async fn all(
    scenario: &Scenario,
    cluster: &Cluster<'_>,
    config: &Config,
    report: Option<&Path>,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let report = report.map(Folder::open).transpose()?;
    let mut runs = ab::variants(scenario);
    if runs.is_empty() {
        runs = [MissQueue::Off, MissQueue::Flights]
            .map(|miss_queue| PlannedRun::plain(scenario, miss_queue))
            .to_vec();
    }
    let mut reported = Reported::default();
    let last = runs.len().saturating_sub(1);
    let names: Vec<_> = runs.iter().map(|run| run.label.clone()).collect();
    for (index, run) in runs.into_iter().enumerate() {
        tell_which(index, &names);
        let (what, how) = (&run.scenario, run.miss_queue);
        let played = if index == last {
            runner::at_cluster(what, cluster, how, metrics, clock, stop).await
        } else {
            beside(
                &format!("run-{}", index + 1),
                &run,
                cluster,
                config,
                metrics,
                clock,
                stop,
            )
            .await
        };
        if !reported.take(played.map(figures), run.label)? || stop.is_cancelled() {
            break;
        }
    }
    reported.finish(report, Format::Screen)
}

/// Plays a run at cold edges of its own beside those of the cluster.
async fn beside(
    name: &str,
    run: &PlannedRun,
    cluster: &Cluster<'_>,
    config: &Config,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    let (plan, how) = (&run.scenario.real.cluster, run.miss_queue);
    let mut config = config.clone();
    plan.lay_over(&mut config);
    let edges = Edges::open(plan, cluster.origin, name, how, &config, clock).await?;
    let cluster = Cluster {
        edges: &edges,
        edge: &config.edge,
        ..*cluster
    };
    let played = runner::at_cluster(&run.scenario, &cluster, how, metrics, clock, stop).await;
    edges.stop().await;
    played
}

/// Opens the listener for the audience's metrics, if the user wants one, and prints its address.
///
/// # Errors
/// The port is in use.
pub fn door(at: Option<SocketAddr>, registry: Registry) -> anyhow::Result<Option<MetricsDoor>> {
    let Some(at) = at else {
        return Ok(None);
    };
    let door = MetricsDoor::open(at, registry)?;
    terminal::remark(&format!("audience http://{}/metrics", door.addr));
    Ok(Some(door))
}
