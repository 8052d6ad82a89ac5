//! Twenty minutes of viewers and faults: `make soak`, or `cargo bench --bench soak -- --seconds 300 --seed 7`.
//!
//! Two edges run in their own processes in front of an origin that fails at random, by seed. Viewers come in rounds of a
//! minute. Three conditions must hold: the memory and the descriptors of the edges stay flat, no request fails outside of the
//! faults, and no byte is wrong. The program prints a line per round, and
//! ends with 1 if a condition does not hold.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use procfs::WithCurrentSystemInfo;
use procfs::process::Process as OfSystem;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use seawall::hls::timeline::Layout;
use seawall::load::{self, Metrics, Network, RunPlan, Stream};
use seawall::policy::capacity::Capacity;
use seawall::policy::key::Kind;
use seawall::policy::status::MissQueue;
use seawall::report::record::{Outcome, Process, Request, RunRecord};
use seawall::scenario;
use seawall::scenario::connections::Connections;
use seawall::serve::admin::Admin;
use seawall::serve::clock::Clock;
use seawall::serve::components::{self, Doors, OriginComponent};
use seawall::serve::origin::{AnswerFault, OriginConfig, OriginFaults};
use seawall::serve::workers::Workers;
use seawall::time::Timestamp;
use seawall::viewer::arrivals::Arrivals;
use seawall::viewer::audience::Sessions;
use tokio_util::sync::CancellationToken;

/// The length of a round of viewers.
const ROUND: Duration = Duration::from_secs(60);
/// How long after a fault its effects may last: a remembered failure, an open breaker, a player's pause.
const GRACE: Duration = Duration::from_secs(4);
/// Share by which memory may grow after the third round, when the caches are full.
const GROWTH_MAX: f64 = 0.15;

fn main() -> anyhow::Result<()> {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    if !given("--bench") {
        // `cargo test --all-targets` starts benchmarks too.
        println!("nothing to test here: run `make soak`");
        return Ok(());
    }
    let number = |flag: &str, default: u64| -> anyhow::Result<u64> {
        let mut arguments = std::env::args().skip_while(|argument| argument != flag);
        match (arguments.next(), arguments.next()) {
            (Some(_), Some(value)) => value.parse().with_context(|| format!("{flag} {value}")),
            _ => Ok(default),
        }
    };
    let (seconds, viewers) = (number("--seconds", 1_200)?, number("--viewers", 2_000)?);
    let seed = number("--seed", 1)?;
    components::raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(soak(Duration::from_secs(seconds), viewers as u32, seed))
}

/// A period in which the origin failed; one that still lasts has no end yet.
#[derive(Clone, Copy, Debug)]
struct FaultSpan {
    begun: Timestamp,
    ended: Option<Timestamp>,
}

async fn soak(length: Duration, viewers: u32, seed: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = Clock::start();
    let config = OriginConfig {
        capacity: Capacity::unbounded(Duration::from_millis(20)),
        segments_dir: folder.path().to_owned(),
        ..OriginConfig::default()
    };
    let origin = OriginComponent::open(config, Doors::free(), None, Admin::default(), clock)?;
    let off_air = CancellationToken::new();
    let channel = origin.broadcast("soak", 1, Layout::default(), None, off_air.clone())?;
    while !origin.origin.store().is_current(&channel) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let edges = [
        Edge::start("edge-1", &origin.url())?,
        Edge::start("edge-2", &origin.url())?,
    ];
    let faults = Arc::new(Mutex::new(Vec::new()));
    // The task ends with `off_air`.
    let maker = tokio::spawn(inject_faults(
        origin.origin.faults().clone(),
        faults.clone(),
        clock,
        seed,
        off_air.clone(),
    ));

    println!(
        "seed {seed}: {viewers} viewers a minute for {} s",
        length.as_secs()
    );
    println!(
        "| round | requests | failed during a fault | failed otherwise | memory of the edges, MiB | descriptors |"
    );
    println!("|---|---|---|---|---|---|");
    let (mut settled, mut last) = (None, Level::default());
    let (mut outside_all, mut wrong) = (0, 0);
    let rounds = length.as_secs().div_ceil(ROUND.as_secs()).max(1);
    for round in 1..=rounds {
        let plan = plan(viewers, seed + round, &edges, &channel, clock);
        let record = load::run(&plan, clock, |_| {}, CancellationToken::new()).await?;
        let faults = faults
            .lock()
            .expect("nobody panics while holding it")
            .clone();
        let (inside, outside) = failures(&record, &faults);
        for request in outside.iter().take(3) {
            println!("  outside of any fault: {request:?}");
        }
        wrong += record
            .requests
            .iter()
            .filter(|request| request.outcome == Outcome::WrongBytes)
            .count();
        outside_all += outside.len();
        // By now the resources of viewers that have left are released.
        tokio::time::sleep(Duration::from_secs(2)).await;
        last = Level::of(&edges)?;
        if round == 3 {
            settled = Some(last);
        }
        println!(
            "| {round} | {} | {inside} | {} | {:.1} | {} |",
            record.requests.len(),
            outside.len(),
            last.memory_bytes as f64 / f64::from(1 << 20),
            last.descriptors
        );
    }
    off_air.cancel();
    maker.await?;
    origin.listeners.stop().await;

    let count = faults.lock().expect("nobody panics while holding it").len();
    println!("\n{count} faults; {wrong} segments with wrong bytes; {outside_all} failed otherwise");
    ensure!(wrong == 0, "a viewer got wrong bytes");
    ensure!(outside_all == 0, "requests failed while all was well");
    if let Some(settled) = settled.filter(|_| rounds > 3) {
        let growth = last.memory_bytes as f64 / settled.memory_bytes as f64 - 1.0;
        println!("memory since the third round: {:+.1} %", growth * 100.0);
        ensure!(growth <= GROWTH_MAX, "the edges' memory grows");
        ensure!(
            last.descriptors <= settled.descriptors + 64,
            "the edges' descriptors grow: {} then, {} now",
            settled.descriptors,
            last.descriptors
        );
    }
    println!("flat");
    Ok(())
}

fn plan(
    viewers: u32,
    seed: u64,
    edges: &[Edge],
    channel: &seawall::hls::timeline::Channel,
    clock: Clock,
) -> RunPlan {
    let mut audience = scenario::built_in().remove(0).real.audience;
    audience.viewers = viewers;
    audience.arrivals = Arrivals::Gamma {
        shape: 2.0,
        scale_s: 4.0,
        within_s: 20.0,
    };
    audience.sessions = Sessions::TheEnd {
        until_s: ROUND.as_secs_f64() - 4.0,
        plunge_s: 2.0,
    };
    RunPlan {
        scenario: "soak".to_owned(),
        audience,
        seed,
        targets: edges.iter().map(|edge| edge.url.clone()).collect(),
        stream: Stream::Channels(vec![channel.clone()]),
        miss_queue: MissQueue::Flights,
        requests_logged_max: 1_000_000,
        process: Process::SharedWithServers,
        connections: Connections::default(),
        likes: None,
        network: Network::default(),
        workers: Workers::Here,
        metrics: Metrics::unseen(clock),
    }
}

/// Requests that failed while the origin had a fault, and those that failed while it had none.
fn failures(record: &RunRecord, faults: &[FaultSpan]) -> (usize, Vec<Request>) {
    let in_fault = |request: &Request| {
        faults.iter().any(|fault| {
            let felt_until = fault.ended.map(|ended| ended + GRACE);
            request.finished >= fault.begun && felt_until.is_none_or(|until| request.sent <= until)
        })
    };
    let failed: Vec<_> = record
        .requests
        .iter()
        .filter(|request| !matches!(request.outcome, Outcome::Ok | Outcome::Cut))
        .collect();
    let outside: Vec<_> = failed
        .iter()
        .filter(|request| !in_fault(request))
        .map(|&&request| request)
        .collect();
    (failed.len() - outside.len(), outside)
}

/// Injects a fault at the origin now and then; the seed draws its kind and duration.
async fn inject_faults(
    faults: OriginFaults,
    spans: Arc<Mutex<Vec<FaultSpan>>>,
    clock: Clock,
    seed: u64,
    stop: CancellationToken,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |least: u64, most: u64| least + u64::from(rng.next_u32()) % (most - least + 1);
    while !stop.is_cancelled() {
        let pause = Duration::from_millis(draw(12_000, 25_000));
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
        let fault = match draw(0, 3) {
            0 => AnswerFault::Stopped,
            1 => AnswerFault::Unavailable,
            2 => AnswerFault::Truncated,
            _ => AnswerFault::Hangs,
        };
        let note = |change: &dyn Fn(&mut Vec<FaultSpan>)| {
            change(&mut spans.lock().expect("nobody panics while holding it"));
        };
        // Noted before the fault begins, because a round may end in the middle of it.
        let begun = clock.now();
        note(&|spans| spans.push(FaultSpan { begun, ended: None }));
        match draw(0, 2) {
            0 => faults.begin(fault),
            1 => faults.begin_for(Kind::Segment, fault),
            _ => faults.begin_for(Kind::MediaPlaylist, fault),
        }
        tokio::time::sleep(Duration::from_millis(draw(500, 4_000))).await;
        faults.end();
        let ended = Some(clock.now());
        note(&|spans| {
            if let Some(last) = spans.last_mut() {
                last.ended = ended;
            }
        });
    }
}

/// The resources that the edges hold.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    memory_bytes: u64,
    descriptors: usize,
}

impl Level {
    fn of(edges: &[Edge]) -> anyhow::Result<Self> {
        let mut level = Self::default();
        for edge in edges {
            let process = OfSystem::new(edge.process.id() as i32)?;
            level.memory_bytes += process.stat()?.rss_bytes().get();
            level.descriptors += process.fd_count()?;
        }
        Ok(level)
    }
}

/// An edge in its own process; it ends when this is dropped.
struct Edge {
    url: String,
    process: Child,
}

impl Edge {
    fn start(name: &str, upstream: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args([
                "edge",
                "--name",
                name,
                "--upstream",
                upstream,
                "--log",
                "error",
            ])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            // Small enough to be full after two rounds, so that memory can be flat.
            .args(["--cache-bytes", "16777216"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `seawall edge`")?;
        let stdout = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line
            .split_whitespace()
            .nth(1)
            .with_context(|| format!("`seawall edge` did not say where it listens: {line:?}"))?;
        Ok(Self {
            url: url.to_owned(),
            process,
        })
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
