//! A run: gives every worker its viewers, reports the progress, and collects the results.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Uri;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::crowd;
use super::edge::EdgeAddress;
use super::generator::Watch;
use super::likers::Likers;
use super::log::Log;
use super::metrics::Metrics;
use super::partition::Network;
use super::playlists::Playlists;
use super::pool::Pool;
use super::stream::{Stream, Watched};
use super::ticks::Deadlines;
use super::whereabouts::Whereabouts;
use super::world::World;
use crate::policy::status::MissQueue;
use crate::report::record::{Process, RunRecord};
use crate::scenario::connections::Connections;
use crate::serve::clock::Clock;
use crate::serve::workers::Workers;
use crate::viewer::abr;
use crate::viewer::audience::{self, Audience, Choice, Visit};
use crate::viewer::likes::LikesPlan;

/// How often the progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What to play, and against which edges.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// Name of the scenario.
    pub scenario: String,
    /// The viewers: how many arrive when, and how they behave.
    pub audience: Audience,
    /// Seed that the audience is drawn from.
    pub seed: u64,
    /// Base URLs of the edges, such as `http://127.0.0.1:8081`.
    pub targets: Vec<String>,
    /// What they watch.
    pub stream: Stream,
    /// How the edges handle misses; it is only written into the record.
    pub miss_queue: MissQueue,
    /// Maximum number of requests in the log.
    pub requests_logged_max: usize,
    /// Whether servers run in this process too.
    pub process: Process,
    /// How viewers reach the edges.
    pub connections: Connections,
    /// What the viewers like, if they like at all. Only channels of Seawall can be liked.
    pub likes: Option<LikesPlan>,
    /// The viewers' network, which can cut them off.
    pub network: Network,
    /// The worker threads of the viewers: each viewer stays on one thread, with the connections that
    /// it borrows.
    pub workers: Workers,
    /// Where the audience counts its metrics.
    pub metrics: Metrics,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Time since the start.
    pub elapsed: Duration,
    /// Time from the start until the last viewer leaves.
    pub whole: Duration,
    /// Viewers that are watching.
    pub viewers_now: u32,
    /// Viewers that have arrived.
    pub viewers_started: u32,
    /// Total number of viewers in the schedule.
    pub viewers_scheduled: u32,
    /// Requests that have ended.
    pub requests: u64,
    /// Requests answered from an edge's cache.
    pub hits: u64,
    /// Requests that waited for the fetch of another request.
    pub collapsed: u64,
    /// Requests that went to the origin.
    pub misses: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Rebuffering events.
    pub stalls: u64,
    /// Likes with a known outcome.
    pub likes: u64,
}

/// Why a plan cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    /// There is no edge to go to.
    #[error("a surge needs at least one target")]
    NoTarget,
    /// A target is no URL of the form `http://HOST:PORT`.
    #[error("the target `{0}` is not of the form http://HOST:PORT")]
    NotATarget(String),
    /// A host name cannot be resolved.
    #[error("cannot resolve the target `{target}`: {why}")]
    Unresolved {
        /// The target.
        target: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// The channel lacks a rendition that the audience wants.
    #[error(
        "the channel `{channel}` has no rendition `{rendition}`, which the audience chooses from"
    )]
    NoRendition {
        /// The channel.
        channel: String,
        /// The rendition.
        rendition: String,
    },
}

/// Plays the plan to its end, or until `stop`. In both cases the record holds everything that
/// happened.
pub async fn run(
    plan: &RunPlan,
    clock: Clock,
    progress: impl Fn(Progress),
    stop: CancellationToken,
) -> Result<RunRecord, Unplayable> {
    let edges = match &plan.stream {
        Stream::Channels(_) => resolve(&plan.targets).await?,
        Stream::Foreign { .. } => Vec::new(),
    };
    let targets = plan.targets.len() as u32;
    if targets == 0 {
        return Err(Unplayable::NoTarget);
    }
    let allowed = allowed_renditions(plan)?;
    let choice = Choice {
        edges: targets,
        channels: plan.stream.channels(),
    };
    let visits = audience::draw(&plan.audience, choice, plan.seed);
    let workers = plan.workers.runtimes();
    let pool = |edge: &EdgeAddress, size: u32| {
        let share = size
            .div_ceil((edges.len() * workers.len()).max(1) as u32)
            .max(1);
        Pool::new(edge.clone(), share as usize)
    };
    let pools = |size| {
        edges
            .iter()
            .map(|edge| pool(edge, size))
            .collect::<Vec<_>>()
    };
    let pools = workers
        .iter()
        .map(|_| plan.connections.pool.map_or_else(Vec::new, pools))
        .collect();
    let audience = &plan.audience;
    let seek_back_s = audience.seekers.map_or(0.0, |seekers| seekers.back_s);
    let likes = plan.likes.as_ref().zip(plan.stream.names());
    let whereabouts = likes.is_some().then(|| Arc::new(Whereabouts::of(&visits)));
    let world = Arc::new(World {
        clock,
        began: clock.now(),
        playlists: Playlists::default(),
        watched: Watched::new(
            &plan.stream,
            allowed,
            matches!(audience.abr, abr::Mode::Fixed(_)),
            (workers.len(), plan.connections.pool),
        ),
        edges,
        targets,
        pools,
        deadlines: workers.iter().map(|_| Deadlines::new(clock)).collect(),
        one_part_of: plan.connections.one_part_of,
        abr: audience.abr.rule(),
        manners: audience.manners,
        seek_back: Duration::try_from_secs_f64(seek_back_s).unwrap_or_default(),
        seed: plan.seed,
        network: plan.network.clone(),
        log: Log::new(visits.len(), plan.requests_logged_max),
        watch: Watch::start(plan.process),
        metrics: plan.metrics.clone(),
        whereabouts: whereabouts.clone(),
        stop,
    });
    let _playing = world.metrics.begins(world.began);
    let likers = likes
        .zip(whereabouts)
        .map(|((likes, channels), whereabouts)| {
            let visits = visits.clone();
            Likers::start(&world, &whereabouts, likes, channels, visits, &workers)
        });
    let scheduled = visits.len() as u32;
    let whole = visits.iter().map(|visit| visit.leaves).max();
    let mut crowds = JoinSet::new();
    for (worker, handle) in workers.iter().enumerate() {
        let lives_here = |visit: &&Visit| visit.viewer as usize % workers.len() == worker;
        let visits = visits.iter().filter(lives_here).copied().collect();
        crowds.spawn_on(crowd::play(Arc::clone(&world), visits, worker), handle);
    }
    let tell = || {
        world.watched.prepare(clock);
        let so_far = so_far(&world, whole.unwrap_or_default(), scheduled);
        let likes = likers.as_ref().map_or(0, Likers::known);
        progress(Progress { likes, ..so_far });
    };
    watch_over(crowds, tell).await;
    let elapsed = clock.now().since(world.began);
    let generator = world.watch.figures(elapsed);
    let likes = match likers {
        Some(likers) => Some(likers.finish().await),
        None => None,
    };
    let (requests, viewers) = world.log.take();
    let tally = &world.log.tally;
    Ok(RunRecord {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        miss_queue: plan.miss_queue,
        targets: plan.targets.clone(),
        renditions: plan.stream.renditions(),
        segment_duration: plan.stream.segment_duration(),
        held_against: plan.stream.held_against(),
        foreign: match &world.watched {
            Watched::Foreign(stream) => Some(stream.figures()),
            Watched::Channels { .. } => None,
        },
        last_mile_median_bps: (plan.connections.one_part_of < 2)
            .then_some(audience.last_mile.median_bps),
        began: clock.unix_at(world.began),
        began_at: world.began,
        elapsed,
        requests,
        requests_unlogged: tally.unlogged.load(Ordering::Relaxed),
        viewers,
        viewers_scheduled: scheduled,
        viewers_dropped: tally.dropped.load(Ordering::Relaxed),
        warm_up: Duration::ZERO,
        phases: Vec::new(),
        faults: Vec::new(),
        levels: Vec::new(),
        capacity: None,
        headline: Vec::new(),
        settings: Vec::new(),
        scenario_text: None,
        generator,
        likes,
        interrupted: world.stop.is_cancelled(),
    })
}

/// Waits until all viewers have left. Reports the progress meanwhile and once at the end.
async fn watch_over(mut crowds: JoinSet<()>, tell: impl Fn()) {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            played = crowds.join_next() => match played {
                Some(played) => played.expect("no visit panics"),
                None => break,
            },
            _ = ticks.tick() => tell(),
        }
    }
    tell();
}

/// How far a run has come.
fn so_far(world: &World, whole: Duration, scheduled: u32) -> Progress {
    let tally = &world.log.tally;
    let gone = world.log.gone();
    let started = tally.started.load(Ordering::Relaxed);
    Progress {
        elapsed: world.clock.now().since(world.began),
        whole,
        viewers_now: started.saturating_sub(gone),
        viewers_started: started,
        viewers_scheduled: scheduled,
        requests: tally.requests.load(Ordering::Relaxed),
        hits: tally.hits.load(Ordering::Relaxed),
        collapsed: tally.collapsed.load(Ordering::Relaxed),
        misses: tally.misses.load(Ordering::Relaxed),
        failures: tally.failures.load(Ordering::Relaxed),
        stalls: tally.stalls.load(Ordering::Relaxed),
        likes: 0,
    }
}

async fn resolve(targets: &[String]) -> Result<Vec<EdgeAddress>, Unplayable> {
    let mut edges = Vec::with_capacity(targets.len());
    for target in targets {
        let authority = authority(target).ok_or_else(|| Unplayable::NotATarget(target.clone()))?;
        let unresolved = |why| Unplayable::Unresolved {
            target: target.clone(),
            why,
        };
        let address = tokio::net::lookup_host(&authority)
            .await
            .map_err(unresolved)?
            .next()
            .ok_or_else(|| unresolved(std::io::ErrorKind::NotFound.into()))?;
        edges.push(EdgeAddress {
            address,
            host: authority.into(),
        });
    }
    Ok(edges)
}

/// Host and port of `http://HOST[:PORT][/]`.
fn authority(target: &str) -> Option<String> {
    let uri: Uri = target.parse().ok()?;
    let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    let host = uri.host().filter(|_| plain)?;
    Some(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

fn allowed_renditions(plan: &RunPlan) -> Result<Vec<u32>, Unplayable> {
    let fixed = match &plan.audience.abr {
        abr::Mode::HlsJs | abr::Mode::Throughput => None,
        abr::Mode::Fixed(name) => Some(name),
    };
    let Stream::Channels(channels) = &plan.stream else {
        return Ok(Vec::new());
    };
    let Some(channel) = channels.first() else {
        return Ok(Vec::new());
    };
    let ladder = &channel.layout.ladder;
    plan.audience
        .renditions
        .iter()
        .filter(|name| fixed.is_none_or(|fixed| fixed == *name))
        .map(|name| {
            let index = ladder.iter().position(|known| known.name == *name);
            index
                .map(|index| index as u32)
                .ok_or_else(|| Unplayable::NoRendition {
                    channel: channel.name.clone(),
                    rendition: name.clone(),
                })
        })
        .collect()
}
