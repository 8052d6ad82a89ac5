//! `seawall surge`, and the surge of `seawall up`: plays runs, prints their reports and writes them into a folder.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::cli;
use crate::config::Config;
use crate::load::Metrics;
use crate::policy::status::MissQueue;
use crate::report::documents;
use crate::report::run::Run;
use crate::report::series::Series;
use crate::report::summary::Summary;
use crate::report::text::{self, Ink, Page};
use crate::report::thresholds::Verdict;
use crate::run::ab::{Ab, Side};
use crate::run::cluster::{Cluster, Edges};
use crate::run::runner::{self, Played, RunningEdges};
use crate::scenario::{self, Scenario};
use crate::serve::clock::Clock;
use crate::serve::components::MetricsDoor;
use crate::serve::metrics::Registry;
use crate::terminal;

/// `seawall surge`: one run, or two of one seed beside each other, at separate clusters or at running edges.
///
/// # Errors
/// The error, in sentences for the user.
pub async fn surge(flags: &cli::Surge, stop: CancellationToken) -> anyhow::Result<u8> {
    let mut scenario = scenario::find(&flags.scenario)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    let plan = &mut scenario.real.cluster;
    plan.shields = flags.shields.or(plan.shields);
    plan.edges = flags.edges.unwrap_or(plan.edges);
    scenario.real.audience.viewers = flags.viewers.unwrap_or(scenario.real.audience.viewers);
    let scenario = scenario.checked(&flags.scenario)?;
    let clock = Clock::start();
    let registry = Registry::new(&[]);
    let metrics = runner::metrics(&scenario, &registry, clock);
    let _door = door(flags.metrics, registry)?;
    let metrics = &metrics;
    if let Some(comparison) = &flags.ab {
        return compared(&scenario, comparison, flags, metrics, clock, &stop).await;
    }
    let played = if flags.targets.is_empty() {
        runner::at_own_cluster(&scenario, flags.miss_queue, metrics, clock, &stop).await?
    } else {
        let edges = RunningEdges {
            targets: &flags.targets,
            channel: &flags.channel,
            origin_admin: flags.origin_admin.as_deref(),
            miss_queue: flags.miss_queue,
        };
        runner::at_running_edges(&scenario, edges, metrics, clock, &stop).await?
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

/// Both sides of a comparison, each at its own cold cluster, with the same seed.
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
        played.push(runner::at_own_cluster(&varied, miss_queue, metrics, clock, stop).await?);
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

/// Plays a scenario at a cluster, and with the same seed at as many edges without the miss queue. Prints the whole report of
/// the first run, the verdict of the second, and both beside each other.
///
/// # Errors
/// No port is free, or an edge cannot be reached.
pub async fn both(
    scenario: &Scenario,
    cluster: &Cluster<'_>,
    config: &Config,
    report: Option<&Path>,
    metrics: &Metrics,
    clock: Clock,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let on =
        runner::at_cluster(scenario, cluster, MissQueue::Flights, metrics, clock, stop).await?;
    if stop.is_cancelled() {
        terminal::print(&text::render(&on.summary, page()))?;
        return Ok(code_of(&[&on.summary]));
    }
    let plan = &scenario.real.cluster;
    let without = Edges::open(plan, cluster.origin, "off", MissQueue::Off, config, clock).await?;
    let bare = Cluster {
        edges: &without,
        ..*cluster
    };
    let off = runner::at_cluster(scenario, &bare, MissQueue::Off, metrics, clock, stop).await;
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

/// Writes the documents of one or two runs, under their labels, into a folder.
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

/// The exit code of one or more runs.
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

/// The format of the report for this stdout.
pub(super) fn page() -> Page {
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
