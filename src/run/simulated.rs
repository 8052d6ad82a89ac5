//! What virtual time plays for a scenario: its real profile, as over sockets, or its published size.

use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::shields::Shields;
use crate::hls::ladder::Rendition;
use crate::hls::playlist;
use crate::hls::timeline::Layout;
use crate::policy::capacity::{Capacity, Latency};
use crate::policy::status::MissQueue;
use crate::report::thresholds::Thresholds;
use crate::run::{runner, settings};
use crate::scenario::{Scenario, SimProfile};
use crate::serve::clock::Clock;
use crate::sim::crowd::{self, Division};
use crate::sim::plan::{NodePlan, Plan, Record};
use crate::sim::play::Simulation;
use crate::sim::stream::Streams;
use crate::sim::summary::{About, Simulated};
use crate::time::{Timestamp, UnixTime};
use crate::viewer::abr;
use crate::viewer::audience::{self, Audience, Choice};
use crate::viewer::player::{Chances, Seat};

/// How long players keep a steering manifest: a run is short.
pub const STEERING_TTL: Duration = Duration::from_secs(10);

/// How long the origin takes to make a batch of likes durable in the twin of a run: an `fsync` of a usual SSD.
const LIKES_COMMIT: Duration = Duration::from_millis(5);

/// The real profile in virtual time, with a player for each viewer, from this UNIX time on.
pub fn of_real(scenario: &Scenario, miss_queue: MissQueue, unix_at_zero: UnixTime) -> Plan {
    let real = &scenario.real;
    let cluster = &real.cluster;
    let mut config = Config::default();
    cluster.lay_over(&mut config);
    let layout = Layout {
        parts_per_segment: cluster.parts_per_segment,
        ..Layout::default()
    };
    let fixed = match &real.audience.abr {
        abr::Mode::Fixed(name) => Some(name),
        abr::Mode::HlsJs | abr::Mode::Throughput => None,
    };
    let known = Rendition::known();
    let allowed = known.iter().filter(|rendition| {
        real.audience.renditions.contains(&rendition.name)
            && fixed.is_none_or(|fixed| *fixed == rendition.name)
    });
    let ladder: Vec<_> = allowed
        .map(|rendition| abr::Needs {
            peak_bps: playlist::bandwidth(rendition),
            average_bps: rendition.bitrate_bps.into(),
        })
        .collect();
    let seconds = |span: f64| Duration::try_from_secs_f64(span).unwrap_or_default();
    let choice = Choice {
        edges: cluster.edges,
        channels: cluster.channels,
    };
    let seek_back = real.audience.seekers.map_or(0.0, |seekers| seekers.back_s);
    let visits = audience::draw(&real.audience, choice, scenario.seed);
    let record = |visit: audience::Visit| Record {
        weight: 1,
        spread: Duration::ZERO,
        seat: Seat {
            arrives: Timestamp::ZERO + visit.arrives,
            leaves: Timestamp::ZERO + visit.leaves,
            last_mile_bps: visit.last_mile_bps,
            unix_at_zero,
            abr: real.audience.abr.rule(),
            manners: real.audience.manners,
            early: visit.early,
            seeks: visit
                .seeks
                .map(|at| (Timestamp::ZERO + at, seconds(seek_back))),
            chances: Chances {
                seed: scenario.seed,
                viewer: visit.viewer,
            },
        },
        edge: visit.edge,
        stream: visit.channel,
        rendition: None,
    };
    let (nodes, edges) = nodes(
        cluster.edges,
        cluster.shields,
        config.edge.cache_bytes,
        config.edge.prefetch,
    );
    Plan {
        seed: scenario.seed,
        miss_queue,
        limits: config.edge.limits.limits(),
        refreshes: config.edge.refresh,
        streams: Streams {
            segment: layout.segment_duration(),
            target_duration: Duration::from_secs(layout.target_duration_s().into()),
            window: cluster.window,
            kept: cluster.window,
            unix_at_zero,
            ladder: ladder.clone(),
        },
        capacity: cluster.origin.capacity(),
        playlist_latency: None,
        nodes,
        edges,
        viewer_round_trip: Duration::ZERO,
        origin_round_trip: Duration::from_micros(200),
        shield_round_trip: Duration::from_micros(200),
        manners: real.audience.manners,
        steering_ttl: STEERING_TTL,
        renditions: (0..ladder.len() as u32).collect(),
        visits: visits.into_iter().map(record).collect(),
        likes: real.likes.clone(),
        likes_commit: LIKES_COMMIT,
        faults: real.faults.clone(),
    }
}

/// A published event in virtual time.
pub fn of_sim(profile: &SimProfile, seed: u64, miss_queue: MissQueue) -> Plan {
    let mut config = Config::default();
    let edge = &mut config.edge;
    let limits = &mut edge.limits;
    limits.playlist_fresh_percent = profile
        .playlist_fresh_percent
        .unwrap_or(limits.playlist_fresh_percent);
    edge.prefetch = profile.prefetch.unwrap_or(edge.prefetch);
    edge.refresh = profile.refresh.unwrap_or(edge.refresh);
    let seconds = |span: f64| Duration::try_from_secs_f64(span).unwrap_or_default();
    let segment = seconds(profile.segment_s);
    let ladder = ladder(profile.renditions);
    let unix_at_zero = began();
    let audience = Audience {
        viewers: 0,
        arrivals: profile.arrivals.clone(),
        sessions: profile.sessions,
        last_mile: profile.last_mile,
        abr: match profile.abr {
            None | Some(abr::Rule::HlsJs) => abr::Mode::HlsJs,
            Some(abr::Rule::Throughput) => abr::Mode::Throughput,
        },
        renditions: Vec::new(),
        manners: profile.manners,
        seekers: profile.seekers,
        intermission: profile.intermission,
    };
    let fixed = ladder.iter().map(|needs| needs.average_bps);
    let visits = crowd::divide(&Division {
        audience: &audience,
        viewers: profile.viewers,
        pops: profile.pops,
        streams: profile.streams,
        fixed: match profile.abr {
            None => fixed.collect(),
            Some(_) => Vec::new(),
        },
        players_per_cell: profile.players_per_cell,
        segment,
        seed,
        unix_at_zero,
    });
    let shields = (profile.shield_groups > 0).then_some(Shields {
        groups: profile.shield_groups,
        per_group: 1,
    });
    let (nodes, edges) = nodes(
        profile.pops,
        shields,
        profile.cache_bytes,
        config.edge.prefetch,
    );
    Plan {
        seed,
        miss_queue,
        limits: config.edge.limits.limits(),
        refreshes: config.edge.refresh,
        streams: Streams {
            segment,
            // Rounded to the nearest second (RFC 8216bis, section 4.4.3.1).
            target_duration: Duration::from_secs((profile.segment_s.round() as u64).max(1)),
            window: profile.window,
            kept: profile.window,
            unix_at_zero,
            ladder: ladder.clone(),
        },
        capacity: Capacity {
            slots: profile.origin_slots,
            queue: profile.origin_queue,
            latency: Latency {
                mean: seconds(profile.origin_ms / 1e3),
                law: profile.origin_law,
            },
            bandwidth_bps: None,
        },
        playlist_latency: profile
            .origin_playlist_ms
            .map(|millis| seconds(millis / 1e3)),
        nodes,
        edges,
        viewer_round_trip: seconds(profile.viewer_ms / 1e3),
        // The published figures contain the way to the origin.
        origin_round_trip: Duration::ZERO,
        shield_round_trip: seconds(profile.shield_ms / 1e3),
        manners: profile.manners,
        steering_ttl: STEERING_TTL,
        renditions: (0..ladder.len() as u32).collect(),
        visits,
        likes: profile.likes.clone(),
        likes_commit: seconds(profile.likes_commit_ms / 1e3),
        faults: profile
            .faults
            .iter()
            .flat_map(|fault| fault.each())
            .collect(),
    }
}

/// When each simulated event begins, so that the same seed gives the same run.
pub fn began() -> UnixTime {
    UnixTime::from_millis(1_700_000_000_000)
}

/// Renditions from 400 kb/s to 8 Mb/s, in equal steps of the logarithm.
fn ladder(renditions: u32) -> Vec<abr::Needs> {
    let (lowest, highest) = (400_000.0_f64, 8_000_000.0_f64);
    let steps = f64::from(renditions.saturating_sub(1).max(1));
    (0..renditions)
        .map(|index| {
            let step = f64::from(index) / steps;
            let bps = lowest * libm::pow(highest / lowest, step);
            abr::Needs {
                peak_bps: (bps * 1.05) as u64,
                average_bps: bps as u64,
            }
        })
        .collect()
}

/// Edges, then shields.
fn nodes(
    edges: u32,
    shields: Option<Shields>,
    cache_bytes: u64,
    prefetch: bool,
) -> (Vec<NodePlan>, u32) {
    let name_of = |shield: u32, layout: Shields| {
        format!(
            "shield-{}-{}",
            shield / layout.per_group + 1,
            shield % layout.per_group + 1
        )
    };
    let mut nodes: Vec<_> = (0..edges)
        .map(|edge| {
            let home = shields.map(|layout| (layout, edge % layout.groups));
            let first = home.map_or(0, |(layout, group)| group * layout.per_group);
            let count = home.map_or(0, |(layout, _)| layout.per_group);
            NodePlan {
                name: format!("edge-{}", edge + 1),
                group: home.map_or(edge, |(_, group)| group),
                is_shield: false,
                shields: edges + first..edges + first + count,
                shield_names: home.map_or_else(Vec::new, |(layout, _)| {
                    (first..first + count)
                        .map(|shield| name_of(shield, layout))
                        .collect()
                }),
                prefetches: prefetch,
                cache_bytes,
            }
        })
        .collect();
    if let Some(layout) = shields {
        nodes.extend(
            (0..layout.groups * layout.per_group).map(|shield| NodePlan {
                name: name_of(shield, layout),
                group: shield / layout.per_group,
                is_shield: true,
                shields: 0..0,
                shield_names: Vec::new(),
                // A shield sees a playlist or its segments, not both.
                prefetches: false,
                cache_bytes,
            }),
        );
    }
    (nodes, edges)
}

/// A run in virtual time, ready to be played.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What is played.
    pub plan: Plan,
    /// What its report says beside the figures.
    pub about: About,
}

impl Planned {
    /// The real profile.
    pub fn real(scenario: &Scenario, miss_queue: MissQueue, unix_at_zero: UnixTime) -> Self {
        let mut config = Config::default();
        scenario.real.cluster.lay_over(&mut config);
        let plan = of_real(scenario, miss_queue, unix_at_zero);
        let settings = settings::of_cluster(scenario, miss_queue, &config.edge);
        Self {
            about: About {
                settings,
                headline: scenario.real.headline.clone(),
                thresholds: scenario.real.thresholds.clone(),
                phases: runner::phases(scenario, plan.length()),
                ..about(scenario, miss_queue, unix_at_zero)
            },
            plan,
        }
    }

    /// The published size.
    ///
    /// # Errors
    /// The scenario has no `[sim]` table, or misses are handled in a way that virtual time does not know.
    pub fn sim(scenario: &Scenario, miss_queue: MissQueue) -> anyhow::Result<Self> {
        let profile = scenario.sim.as_ref().with_context(|| {
            format!(
                "{:?} has no [sim] table: add one (`seawall scenarios celebrity-live` shows every key), or play its real \
                 profile with --real",
                scenario.name
            )
        })?;
        check_size(profile)?;
        let plan = of_sim(profile, scenario.seed, miss_queue);
        let thresholds = profile.thresholds.clone().unwrap_or_default();
        Ok(Self {
            about: About {
                settings: settings::of_sim(profile, miss_queue),
                thresholds,
                ..about(scenario, miss_queue, plan.streams.unix_at_zero)
            },
            plan,
        })
    }
}

/// Most players of a simulation.
const PLAYERS_MAX: u64 = 10_000_000;

/// Refuses a simulation that would take more memory than it may.
fn check_size(profile: &SimProfile) -> anyhow::Result<()> {
    let renditions = match profile.abr {
        None => u64::from(profile.renditions),
        Some(_) => 1,
    };
    let cells = u64::from(profile.pops) * u64::from(profile.streams) * renditions;
    let per_cell = u64::from(profile.players_per_cell);
    let players = profile.viewers.min(cells.saturating_mul(per_cell));
    if players <= PLAYERS_MAX {
        return Ok(());
    }
    let advice = match PLAYERS_MAX / cells.max(1) {
        0 => format!("at most {PLAYERS_MAX} viewers fit with so many streams"),
        fits => format!("players_per_cell = {fits} fits"),
    };
    anyhow::bail!(
        "{} viewers in {cells} cells (points of presence x streams x renditions) need {players} players with players_per_cell = \
         {per_cell}, and a simulation has at most {PLAYERS_MAX}: {advice}",
        profile.viewers
    )
}

fn about(scenario: &Scenario, miss_queue: MissQueue, began: UnixTime) -> About {
    let text = toml::to_string(scenario).ok();
    let set = format!("{miss_queue}\n{}", text.as_deref().unwrap_or_default());
    About {
        scenario: scenario.name.clone(),
        settings: Vec::new(),
        scenario_text: text,
        headline: Vec::new(),
        thresholds: Thresholds::default(),
        phases: Vec::new(),
        began,
        config_hash: digest(set.as_bytes()),
    }
}

/// The first 64 bits of a SHA-256.
fn digest(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .take(8)
        .fold(0, |digest, &byte| digest << 8 | u64::from(byte))
}

/// Events between two looks at the clock and at the stop signal.
const EVENTS_AT_ONCE: u32 = 20_000;
/// How long a paced simulation sleeps at most.
const NAP: Duration = Duration::from_millis(20);
/// How often it is told of, and how much longer than the telling it is played until it is told of again.
const TOLD_EACH: Duration = Duration::from_millis(100);
const PLAYED_PER_TOLD: u32 = 20;

/// Plays a run to its end, or until `stop`: as fast as it goes, or so many times faster than real time. `told` hears of it ten times
/// a second, or less often if that takes long, and at the end.
pub fn play(
    planned: Planned,
    speed: Option<f64>,
    clock: Clock,
    stop: &CancellationToken,
    mut told: impl FnMut(&Simulation),
) -> Simulated {
    let mut simulation = Simulation::new(planned.plan);
    let began = clock.now();
    let mut next_told = began + TOLD_EACH;
    loop {
        let now = clock.now();
        let until = match speed {
            None => Timestamp::from_nanos(u64::MAX),
            Some(speed) => Timestamp::ZERO + now.since(began).mul_f64(speed),
        };
        if simulation.now() <= until {
            if !simulation.advance(EVENTS_AT_ONCE, until) {
                break;
            }
        } else {
            std::thread::sleep(NAP);
        }
        if stop.is_cancelled() {
            simulation.interrupt();
            break;
        }
        if now >= next_told {
            let before = clock.now();
            told(&simulation);
            let after = clock.now();
            next_told = after + TOLD_EACH.max(after.since(before) * PLAYED_PER_TOLD);
        }
    }
    told(&simulation);
    simulation.finish(planned.about)
}
