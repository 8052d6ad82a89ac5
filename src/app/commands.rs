//! Each command, from its configuration to its exit code.

use std::io::IsTerminal;

use anyhow::Context;

use super::cli::{self, Command};
use super::signals::{Further, stop_signal, stop_signal_hearing};
use super::{compare, inspect, likes, replay, simulate, surge, top, twin};
use crate::config::{Config, ConfigError};
use crate::hls::names::LivePath;
use crate::hls::timeline::Channel;
use crate::run::ab;
use crate::run::cluster::{Cluster, Edges};
use crate::run::compose;
use crate::run::processes;
use crate::run::runner;
use crate::run::tiers::{Plan, Tiers};
use crate::scenario;
use crate::serve::broadcaster::sink::SinkError;
use crate::serve::broadcaster::{Broadcaster, Figures, Sink};
use crate::serve::clock::Clock;
use crate::serve::components::{self, Doors, EdgeComponent, OriginComponent, StartError};
use crate::serve::edge::EdgeError;
use crate::serve::metrics::Registry;
use crate::serve::token::Token;
use crate::serve::workers::Workers;
use crate::terminal;

/// The exit code for an error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    let no_address = error.is::<SinkError>()
        || matches!(
            error.downcast_ref(),
            Some(StartError::Edge(EdgeError::Upstream(_)))
        );
    if error.is::<ConfigError>() || error.is::<scenario::Refused>() || no_address {
        cli::CONFIGURATION
    } else {
        cli::FAILED
    }
}

/// An error with its causes, for the user. A cause that the sentence before it contains already is not repeated.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(cause.trim_end()) {
            text += &format!(": {cause}");
        }
    }
    text
}

/// Runs a command to its end.
///
/// # Errors
/// The error, in sentences for the user.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Up(flags) => up(&flags).await,
        Command::Broadcast(flags) => broadcast(flags.resolve()?).await,
        Command::Origin(flags) => origin(flags.resolve()?).await,
        Command::Edge(flags) => edge(flags.resolve()?).await,
        Command::Surge(flags) => surge::surge(&flags, stop_signal(Further::Waits)?).await,
        Command::Simulate(flags) => simulate::simulate(flags, stop_signal(Further::Waits)?).await,
        Command::Twin(flags) => twin::twin(&flags, stop_signal(Further::Waits)?).await,
        Command::Compare(flags) => compare::compare(&flags),
        Command::Replay(flags) => {
            let stop = stop_signal(Further::Waits)?;
            // The command reads a disk or a pipe.
            tokio::task::spawn_blocking(move || replay::replay(&flags, &stop)).await?
        }
        Command::Top(flags) => top::top(&flags, stop_signal(Further::Ends)?).await,
        Command::Inspect(flags) => inspect::inspect(&flags).await,
        Command::Purge(flags) => inspect::purge(&flags).await,
        // The command reads disks and waits for servers.
        Command::Likes(what) => tokio::task::spawn_blocking(move || likes::run(&what)).await?,
        Command::Scenarios(flags) => scenarios(&flags),
        Command::Help(flags) => {
            terminal::print(&flags.text()?)?;
            Ok(cli::OK)
        }
        Command::Config(file) => {
            terminal::print(&file.resolve()?.redacted().commented())?;
            Ok(cli::OK)
        }
    }
}

/// Starts everything in one process.
async fn up(flags: &cli::Up) -> anyhow::Result<u8> {
    let mut config = flags.resolve()?;
    if flags.processes {
        processes::up(config, stop_signal(Further::Ends)?).await?;
        return Ok(cli::OK);
    }
    let mut scenario = flags.surge.as_deref().map(scenario::find).transpose()?;
    if let Some(scenario) = &mut scenario {
        flags.capacity.lay_over(&mut scenario.real.cluster.origin);
        let plan = &mut scenario.real.cluster;
        if plan.processes || plan.channels > 1 {
            let name = &scenario.name;
            anyhow::bail!(
                "{name:?} wants edges that are processes, or several channels: play it with `seawall surge {name}`"
            );
        }
        // The scenario sets the cluster. Its channel has its own name, so that it never meets another layout on disk.
        plan.shields = config.edge.shields.or(plan.shields);
        plan.lay_over(&mut config);
        // The last of its runs is played at the edges that stay.
        if let Some(last) = ab::variants(scenario).last() {
            last.scenario.real.cluster.lay_over(&mut config);
            config.edge.miss_queue = last.miss_queue;
        }
        let plan = &scenario.real.cluster;
        config.edge.count = plan.edges;
        config.edge.shields = plan.shields;
        config.channel.name.clone_from(&scenario.name);
        config.channel.parts_per_segment = plan.parts_per_segment;
        config.origin.capacity = plan.origin.clone();
        config.origin.window = plan.window;
    }
    // Likes of simulated viewers go into a temporary folder, because they do not belong in the folder for segments.
    let rehearsed = scenario.as_ref().filter(|_| config.likes.dir.is_none());
    let likes = rehearsed.map(|_| tempfile::Builder::new().prefix("seawall-").tempdir());
    let likes = likes.transpose()?;
    if let Some(folder) = &likes {
        config.likes.dir = Some(folder.path().to_owned());
    }
    let stop = stop_signal(match scenario {
        Some(_) => Further::Waits,
        None => Further::Ends,
    })?;
    let clock = Clock::start();
    let doors = Doors {
        listen: config.origin.listen,
        admin: config.origin.admin,
        listen_option: "--origin-listen",
        admin_option: "--origin-admin",
    };
    let (origin, channel) = compose::open_origin(&config, doors, clock, stop.clone()).await?;
    let tiers = open_tiers(&config, &origin, clock)?;
    terminal::print(&welcome(&channel, &origin, &tiers))?;
    let edges = Edges::Components(tiers);
    let code = match scenario {
        Some(scenario) => {
            let cluster = Cluster {
                origin: &origin,
                edges: &edges,
                channels: std::slice::from_ref(&channel),
                edge: &config.edge,
            };
            let registry = Registry::new(&[]);
            let metrics = runner::metrics(&scenario, &registry, clock);
            let _door = surge::door(flags.metrics, registry)?;
            let code = surge::all(
                &scenario,
                &cluster,
                &config,
                flags.report.as_deref(),
                &metrics,
                clock,
                &stop,
            )
            .await?;
            if std::io::stdout().is_terminal() && !stop.is_cancelled() {
                terminal::print("\nThe stream goes on. Ctrl-C ends it.\n")?;
                stop.cancelled().await;
            }
            code
        }
        None => {
            stop.cancelled().await;
            cli::OK
        }
    };
    stop.cancel();
    edges.stop().await;
    origin.listeners.stop().await;
    Ok(code)
}

async fn broadcast(config: Config) -> anyhow::Result<u8> {
    let stop = stop_signal(Further::Ends)?;
    let clock = Clock::start();
    let to = config.broadcast.to.ok_or(ConfigError::Missing(
        "where to? Name the origin's ingest listener with --to http://HOST:PORT",
    ))?;
    let token = config.broadcast.token.ok_or(ConfigError::Missing(
        "the origin wants a token: give it with --token or SEAWALL_TOKEN",
    ))?;
    let sink = Sink::http(&to, &Token::new(&token))?;
    let window = config.origin.window;
    let wanted = &config.channel;
    let channel = components::channel(
        &wanted.name,
        wanted.seed,
        wanted.layout(),
        wanted.started_at_ms,
        window,
        clock,
    );
    tracing::info!(channel = channel.name, to, "broadcasting");
    let figures = Figures::new(&Registry::new(&[]));
    Broadcaster::new(channel, window, sink, clock, figures)
        .run(stop)
        .await?;
    Ok(cli::OK)
}

async fn origin(config: Config) -> anyhow::Result<u8> {
    let directory = compose::directory(&config);
    let learner = directory.clone();
    let stop = stop_signal_hearing(Further::Ends, move |line| {
        // The process that started this one reports what it starts next.
        if let Ok(target) = line.parse() {
            learner.learn(target);
        }
    })?;
    let clock = Clock::start();
    let doors = Doors {
        listen: config.origin.listen,
        admin: config.origin.admin,
        listen_option: "--listen",
        admin_option: "--admin",
    };
    let (setup, ingest) = (compose::origin_config(&config), config.origin.ingest);
    let admin = compose::admin(&config, directory);
    let open = move || OriginComponent::open(setup, doors, ingest, admin, clock);
    let origin = tokio::task::spawn_blocking(open).await??;
    let mut text = format!(
        "origin   {}\nadmin    http://{}\n",
        origin.url(),
        origin.listeners.admin
    );
    match origin.ingest {
        Some(addr) => text += &format!("ingest   http://{addr}\n"),
        None => {
            text += "ingest   none: give --ingest ADDR and --token TOKEN to let a broadcaster in\n"
        }
    }
    terminal::print(&text)?;
    stop.cancelled().await;
    origin.listeners.stop().await;
    Ok(cli::OK)
}

async fn edge(config: Config) -> anyhow::Result<u8> {
    let stop = stop_signal(Further::Ends)?;
    let doors = Doors {
        listen: config.edge.listen,
        admin: config.edge.admin,
        listen_option: "--listen",
        admin_option: "--admin",
    };
    let connections = components::connections_max(config.edge.connections_max, 1);
    let setup = compose::edge_config(
        &config,
        config.edge.name.clone(),
        config.edge.upstreams.clone(),
    );
    let threads = match config.edge.workers {
        Some(count) => count,
        None => std::thread::available_parallelism()?.get(),
    };
    let workers = Workers::start(threads).context("cannot start the threads that serve viewers")?;
    let admin = compose::admin(&config, compose::directory(&config));
    let edge = EdgeComponent::open(setup, doors, admin, connections, workers, Clock::start())?;
    terminal::print(&format!(
        "{:<8} {}   for {}\nadmin    http://{}\n",
        edge.edge.name(),
        edge.url(),
        config.edge.upstreams.join(" or "),
        edge.listeners.admin
    ))?;
    stop.cancelled().await;
    edge.listeners.stop().await;
    Ok(cli::OK)
}

fn scenarios(flags: &cli::Scenarios) -> anyhow::Result<u8> {
    if let Some(name) = &flags.name {
        let found = scenario::find(name)?;
        let text = match flags.json {
            true => format!("{}\n", serde_json::to_string_pretty(&found)?),
            false => scenario::explained(&found),
        };
        terminal::print(&text)?;
        return Ok(cli::OK);
    }
    let all = scenario::built_in();
    if flags.json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        return Ok(cli::OK);
    }
    let width = all
        .iter()
        .map(|scenario| scenario.name.len())
        .max()
        .unwrap_or(0);
    for scenario in all {
        terminal::print(&format!("{:width$}   {}\n", scenario.name, scenario.about))?;
    }
    Ok(cli::OK)
}

/// The edges of `seawall up`, and their shields.
fn open_tiers(config: &Config, origin: &OriginComponent, clock: Clock) -> anyhow::Result<Tiers> {
    let plan = Plan {
        config,
        origin: origin.url(),
        name: &config.edge.name,
        edges: config.edge.count,
        shields: config.edge.shields,
        miss_queue: config.edge.miss_queue,
        directory: origin.directory.clone(),
        edge_doors: Doors {
            listen: config.edge.listen,
            admin: config.edge.admin,
            listen_option: "--edge-listen",
            admin_option: "--edge-admin",
        },
        shield_doors: Doors {
            listen: config.edge.shield_listen,
            admin: config.edge.shield_admin,
            listen_option: "edge.shield_listen in the configuration",
            admin_option: "edge.shield_admin in the configuration",
        },
    };
    Tiers::open(&plan, clock)
}

/// The information that a user needs once everything runs.
fn welcome(channel: &Channel, origin: &OriginComponent, tiers: &Tiers) -> String {
    let path = LivePath::Multivariant {
        channel: &channel.name,
    }
    .to_string();
    let renditions: Vec<_> = channel
        .layout
        .ladder
        .iter()
        .map(|rendition| rendition.name.as_str())
        .collect();
    let mut text = format!(
        "\nOn air: channel {:?}, {}, segments of {:.2} s.\n\n",
        channel.name,
        renditions.join(" "),
        channel.layout.segment_duration().as_secs_f64(),
    );
    for edge in tiers.edges.iter().chain(&tiers.shields) {
        let (name, url, admin) = (edge.edge.name(), edge.url(), edge.listeners.admin);
        text += &format!("  {name:<10} {url}{path}   metrics http://{admin}/metrics\n");
    }
    let (url, admin) = (origin.url(), origin.listeners.admin);
    text += &format!(
        "  {:<10} {url}{path}   metrics http://{admin}/metrics\n\n\
         A Prometheus finds all of them at http://{admin}/-/targets.\n\n",
        "origin"
    );
    if let Some(edge) = tiers.edges.first() {
        let url = format!("{}{path}", edge.url());
        text += &format!(
            "Watch it:\n  vlc {url}\n  ffplay -hide_banner -autoexit {url}\n\nCtrl-C ends it.\n"
        );
    }
    text
}
