//! `seawall simulate`: plays scenarios in virtual time, and reports them as a surge is reported.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{
    HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use tokio_util::sync::CancellationToken;

use super::cli;
use super::reported::{Folder, Format, Reported, code_of, page};
use crate::policy::status::MissQueue;
use crate::report::seeds::Seeds;
use crate::report::summary::Summary;
use crate::report::sweep::{Axis, Figures, Sweep};
use crate::report::{html, text};
use crate::run::exposed::Exposed;
use crate::run::random;
use crate::run::simulated::{self, Planned};
use crate::run::variation::{Assignment, Varied};
use crate::scenario;
use crate::serve::clock::Clock;
use crate::serve::components::MetricsDoor;
use crate::serve::metrics::Registry;
use crate::sim::play::{BYTES_PER_PLAYER, Progress};
use crate::sim::summary::Simulated;
use crate::terminal;

/// Runs the command.
///
/// # Errors
/// The error, in sentences for the user.
pub async fn simulate(flags: cli::Simulate, stop: CancellationToken) -> anyhow::Result<u8> {
    if let Some(count) = flags.random_faults {
        let first = flags.seed.unwrap_or(1);
        let task = tokio::task::spawn_blocking(move || random_worlds(first, count, &stop));
        return task.await?;
    }
    let named = flags.scenario.as_deref().unwrap_or_default();
    let mut scenario = scenario::find(named)?;
    if let Some(seed) = flags.seed {
        scenario.seed = seed;
    }
    let mut base = Varied {
        scenario,
        miss_queue: flags.miss_queue,
    };
    let sizes = [
        flags.viewers.map(|count| ("viewers", count)),
        flags.pops.map(|count| ("pops", u64::from(count))),
    ];
    let sizes = sizes.into_iter().flatten().map(|(key, count)| Assignment {
        key: key.to_owned(),
        value: count.to_string(),
    });
    for set in sizes.chain(flags.set.iter().cloned()) {
        base = base.with(&set)?;
    }
    let report = flags.report.as_deref().map(Folder::open).transpose()?;
    let format = match (flags.json, flags.full) {
        (true, _) => Format::Json,
        (false, true) => Format::Full,
        (false, false) => Format::Screen,
    };
    let runs = runs_of(&flags, base)?;
    let planned = runs
        .into_iter()
        .map(|(label, varied)| Ok((label, planned(&varied, flags.real)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let Some((_, largest)) = planned.iter().max_by_key(|(_, run)| run.plan.visits.len()) {
        let players = largest.plan.visits.len() as u64;
        let viewers: u64 = largest
            .plan
            .visits
            .iter()
            .map(|visit| u64::from(visit.weight))
            .sum();
        terminal::remark(&format!(
            "{} visits of viewers, {} players, about {} of memory for them",
            HumanCount(viewers),
            HumanCount(players),
            HumanBytes(players * BYTES_PER_PLAYER)
        ));
    }
    let played = match (flags.speed, flags.metrics) {
        (None, None) => play_all(planned, &stop).await?,
        (speed, metrics) => play_watched(planned, speed, metrics, &stop).await?,
    };
    let summaries: Vec<_> = played.iter().map(|(_, run)| &run.summary).collect();
    if !flags.sweep.is_empty() {
        return told_sweep(&flags, &summaries, report);
    }
    if flags.seeds.is_some() {
        let seeds = Seeds::of(&summaries);
        let text = match flags.json {
            true => serde_json::to_string_pretty(&seeds)? + "\n",
            false => text::seeds(&seeds, page()),
        };
        terminal::print(&text)?;
        return Ok(code_of(&summaries));
    }
    let mut reported = Reported::default();
    for (label, Simulated { summary, series }) in played {
        reported.push(summary, series, label);
    }
    reported.finish(report, format)
}

/// Plays random worlds from a seed on.
fn random_worlds(first: u64, count: u64, stop: &CancellationToken) -> anyhow::Result<u8> {
    let mut events = 0;
    for nth in 0..count {
        if stop.is_cancelled() {
            terminal::print(&format!("{nth} of {count} random worlds were played\n"))?;
            return Ok(cli::INTERRUPTED);
        }
        let seed = first.wrapping_add(nth);
        let played = random::play(seed);
        events += played.events;
        if let Some(broken) = played.broken {
            bail!(
                "the world of seed {seed} breaks this: {broken}. Play it again with `seawall simulate --random-faults 1 --seed {seed}`"
            );
        }
        if (nth + 1) % 1_000 == 0 {
            terminal::remark(&format!("{} of {count} worlds", nth + 1));
        }
    }
    terminal::print(&format!(
        "{count} random worlds from seed {first} on, {} events: nothing happened that must never happen\n",
        HumanCount(events)
    ))?;
    Ok(cli::OK)
}

/// The runs that the user wants, with a label each.
fn runs_of(flags: &cli::Simulate, base: Varied) -> anyhow::Result<Vec<(String, Varied)>> {
    let assign = |key: &str, value: &str| Assignment {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    if let Some(count) = flags.seeds {
        let first = base.scenario.seed;
        let seeds = (0..count).map(|nth| {
            let mut varied = base.clone();
            varied.scenario.seed = first.wrapping_add(nth.into());
            (format!("seed {}", varied.scenario.seed), varied)
        });
        return Ok(seeds.collect());
    }
    if let Some(ab) = &flags.ab {
        let run = |value: &String| {
            let set = assign(&ab.key, value);
            Ok((set.to_string(), base.with(&set)?))
        };
        return ab.values.iter().map(run).collect();
    }
    let mut runs = vec![(String::new(), base)];
    anyhow::ensure!(
        flags.sweep.len() <= 2,
        "a sweep has one or two keys: give --sweep once or twice"
    );
    for axis in &flags.sweep {
        let mut next = Vec::new();
        for (label, varied) in runs {
            for value in &axis.values {
                let set = assign(&axis.key, value);
                let label = format!("{label} {set}").trim().to_owned();
                next.push((label, varied.with(&set)?));
            }
        }
        runs = next;
    }
    anyhow::ensure!(
        runs.len() <= RUNS_MAX,
        "a sweep has at most {RUNS_MAX} runs, and this one has {}",
        runs.len()
    );
    for (label, varied) in &mut runs {
        if label.is_empty() {
            *label = format!("miss_queue={}", varied.miss_queue);
        }
    }
    Ok(runs)
}

/// The most runs of a sweep.
const RUNS_MAX: usize = 400;

/// Prints a sweep, and writes its page.
fn told_sweep(
    flags: &cli::Simulate,
    summaries: &[&Summary],
    report: Option<Folder<'_>>,
) -> anyhow::Result<u8> {
    let axes = flags.sweep.iter().map(|axis| Axis {
        key: axis.key.clone(),
        values: axis.values.clone(),
    });
    let first = summaries.first().context("no run was played")?;
    let sweep = Sweep {
        scenario: first.scenario.clone(),
        seed: first.seed,
        axes: axes.collect(),
        runs: summaries
            .iter()
            .map(|summary| Figures::of(summary))
            .collect(),
    };
    let json = serde_json::to_string_pretty(&sweep)? + "\n";
    terminal::print(&match flags.json {
        true => json.clone(),
        false => text::sweep(&sweep, page()),
    })?;
    if let Some(folder) = report {
        folder.put("sweep.json", &json)?;
        folder.put("sweep.html", &html::sweep(&sweep))?;
        let page = folder.0.join("sweep.html");
        terminal::remark(&format!("the page is {}", page.display()));
    }
    Ok(code_of(summaries))
}

/// Refuses what virtual time does not know.
pub(super) fn can_be_simulated(miss_queue: MissQueue) -> anyhow::Result<()> {
    if !matches!(miss_queue, MissQueue::Flights | MissQueue::Off) {
        bail!(
            "virtual time plays --miss-queue flights and off; {miss_queue} is played by `seawall surge`"
        );
    }
    Ok(())
}

/// What is played for a scenario.
fn planned(varied: &Varied, real: bool) -> anyhow::Result<Planned> {
    let (scenario, miss_queue) = (&varied.scenario, varied.miss_queue);
    can_be_simulated(miss_queue)?;
    match real {
        true => Ok(Planned::real(scenario, miss_queue, simulated::began())),
        false => Planned::sim(scenario, miss_queue),
    }
}

/// Plays runs side by side, as many at once as there are cores, and gives their results in their order.
async fn play_all(
    planned: Vec<(String, Planned)>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<(String, Simulated)>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let free = Arc::new(tokio::sync::Semaphore::new(cores));
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    let clock = Clock::start();
    let mut playing = Vec::new();
    for (label, planned) in planned {
        let free = free.clone().acquire_owned().await?;
        let (stop, bar) = (stop.clone(), Bar::new(&bars, &label, clock));
        let task = tokio::task::spawn_blocking(move || {
            let played = simulated::play(planned, None, clock, &stop, |simulation| {
                bar.show(&simulation.progress());
            });
            bar.finish();
            drop(free);
            played
        });
        playing.push((label, task));
    }
    let mut played = Vec::new();
    for (label, task) in playing {
        played.push((label, task.await?));
    }
    Ok(played)
}

/// How long Seawall waits for the scrape after the end.
const LAST_SCRAPE: Duration = Duration::from_secs(60);

/// Plays one run, not faster than wanted, while its figures can be scraped.
async fn play_watched(
    planned: Vec<(String, Planned)>,
    speed: Option<f64>,
    metrics: Option<SocketAddr>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<(String, Simulated)>> {
    let registry = Registry::new(&[]);
    let mut exposed = Exposed::new(&registry);
    let _door = metrics
        .map(|at| MetricsDoor::open(at, registry))
        .transpose()?;
    if let Some(door) = &_door {
        terminal::remark(&format!("metrics http://{}/metrics", door.addr));
    }
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    let clock = Clock::start();
    let mut played = Vec::new();
    for (label, planned) in planned {
        let (stop, bar) = (stop.clone(), Bar::new(&bars, &label, clock));
        let task = tokio::task::spawn_blocking(move || {
            let played = simulated::play(planned, speed, clock, &stop, |simulation| {
                bar.show(&simulation.progress());
                if metrics.is_some() {
                    exposed.tell(simulation.figures());
                }
            });
            bar.finish();
            (played, exposed)
        });
        let (run, last) = task.await?;
        exposed = last;
        played.push((label, run));
    }
    if metrics.is_some() {
        stop.run_until_cancelled(exposed.last_scrape(LAST_SCRAPE))
            .await;
    }
    Ok(played)
}

/// The progress of a simulation on stderr.
struct Bar {
    bar: ProgressBar,
    label: String,
    clock: Clock,
    began: crate::time::Timestamp,
    told: std::cell::Cell<u64>,
}

impl Bar {
    fn new(bars: &MultiProgress, label: &str, clock: Clock) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:20}] {wide_msg}")
            .expect("the template is valid");
        let bar = bars.add(ProgressBar::new(1));
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        Self {
            bar,
            label: label.to_owned(),
            clock,
            began: clock.now(),
            told: std::cell::Cell::new(0),
        }
    }

    fn show(&self, progress: &Progress) {
        let took = self.clock.now().since(self.began);
        let (done_s, whole_s) = (progress.elapsed.as_secs_f64(), progress.whole.as_secs_f64());
        let left = match done_s > 0.0 {
            true => took.mul_f64(((whole_s - done_s) / done_s).max(0.0)),
            false => Duration::ZERO,
        };
        let text = format!(
            "{done_s:.0}/{whole_s:.0} s in {:.0} s, {:.0} s left  {} viewers  {} requests  origin {}",
            took.as_secs_f64(),
            left.as_secs_f64(),
            HumanCount(progress.viewers_now),
            HumanCount(progress.requests),
            HumanCount(progress.origin),
        );
        if !self.bar.is_hidden() {
            self.bar.set_length(progress.whole.as_millis() as u64);
            self.bar.set_position(progress.elapsed.as_millis() as u64);
            self.bar.set_message(text);
            return;
        }
        let tens = took.as_secs() / 10;
        if tens > self.told.replace(tens) {
            terminal::remark(&format!("{}: {text}", self.label));
        }
    }

    fn finish(&self) {
        self.bar.abandon();
    }
}
