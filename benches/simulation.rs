//! The cost of virtual time: an event of the agenda, a whole simulation, a player's memory, and a line of a replayed trace.
//! `cargo bench --bench simulation`, or with `-- --quick` a tenth of everything. With `-- --big` also the runs of millions of
//! players; that is `make bench-simulation`.
//!
//! What stands beside a figure is measured in the same run. Times are those of one core: CPU time, but for the big runs. Each
//! simulation and each replay has a process of its own, so that its memory is its own. A missed goal is reported and fails
//! nothing.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use procfs::process::Process;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use rand_distr::{Distribution, Zipf};
use seawall::policy::status::MissQueue;
use seawall::run::simulated::Planned;
use seawall::run::variation::{Assignment, Varied};
use seawall::scenario;
use seawall::serve::clock::Clock;
use seawall::sim::agenda::{Agenda, Rank};
use seawall::sim::lru::Policy;
use seawall::sim::play::{BYTES_PER_PLAYER, Simulation};
use seawall::sim::replay::engine::{Queue, Replay, Setup, Sizes};
use seawall::sim::replay::summary::{self, End, Source};
use seawall::sim::replay::trace::{Fields, Format, Line, LineCounts, Reading, Request, Trace};
use seawall::time::Timestamp;
use serde_json::{Value, json};

/// The size of the caches through which a trace is replayed: they hold about a tenth of its objects.
const CACHE_BYTES: u64 = 5 << 30;
/// Distinct objects of the generated trace.
const OBJECTS: u32 = 500_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // The processes that this one starts.
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        Some(&arguments[at + 1..])
    };
    if let Some(run) = after("--play") {
        return played_here(run);
    }
    if let Some(run) = after("--replay") {
        return replayed_here(run);
    }
    if !given("--bench") {
        // `cargo test --all-targets` starts benchmarks too.
        println!("nothing to test here: run `cargo bench --bench simulation`");
        return Ok(());
    }
    let part = if given("--quick") { 10 } else { 1 };
    println!("| what | Seawall | beside it | ratio | goal | met |\n|---|---|---|---|---|---|");
    for pending in [100_000, 4_000_000 / part] {
        agenda(pending)?;
    }
    whole(100_000 / part)?;
    memory(1_000_000 / part)?;
    replay(5_000_000 / part)?;
    if given("--big") {
        published(50_000_000 / part)?;
        each_viewer(10_000_000 / part)?;
    }
    Ok(())
}

fn met(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

/// A number of up to three digits and its unit.
fn short(number: f64) -> String {
    match number {
        millions if millions >= 1e6 => format!("{:.2} M", millions / 1e6),
        thousands if thousands >= 1e3 => format!("{:.0} k", thousands / 1e3),
        number => format!("{number:.0}"),
    }
}

// The agenda

/// As large as the events of a simulation.
type Event = [u64; 6];

/// Events that are taken, and of which each adds another.
const STEPS: u64 = 2_000_000;

/// Takes an event and adds one, with so many pending.
fn agenda(pending: u64) -> anyhow::Result<()> {
    let mut wheel = Agenda::default();
    let (ours, order) = hold(
        pending,
        &mut wheel,
        |agenda, at, event| agenda.add(at, Rank::Act, event),
        Agenda::take,
    )?;
    drop(wheel);
    let mut heap = BinaryHeap::new();
    let mut added = 0;
    let (naive, same_order) = hold(
        pending,
        &mut heap,
        |heap, at, event| {
            added += 1;
            heap.push(std::cmp::Reverse((at, Rank::Act, added, event)));
        },
        |heap| {
            let std::cmp::Reverse((at, _, _, event)) = heap.pop()?;
            Some((at, event))
        },
    )?;
    ensure!(
        order == same_order,
        "the agenda and the heap disagree on the order of events"
    );
    println!(
        "| agenda: take an event and add one, {pending} pending | {ours:.0} ns | a BinaryHeap {naive:.0} ns | {:.2} | ≤ 1 | {} |",
        ours / naive,
        met(ours <= naive)
    );
    Ok(())
}

/// Nanoseconds for taking an event and adding one, and a digest of the order of events.
fn hold<A>(
    pending: u64,
    agenda: &mut A,
    mut add: impl FnMut(&mut A, Timestamp, Event),
    mut take: impl FnMut(&mut A) -> Option<(Timestamp, Event)>,
) -> anyhow::Result<(f64, u64)> {
    let mut chance = Chance(1);
    for number in 0..pending {
        let at = Timestamp::ZERO + chance.span();
        add(agenda, at, [number; 6]);
    }
    let mut step = |number: u64, digest: u64| -> anyhow::Result<u64> {
        let (now, event) = take(agenda).context("as many are added as are taken")?;
        add(agenda, now + chance.span(), [number; 6]);
        Ok(digest.rotate_left(5) ^ event[0])
    };
    // As many as are pending, so that each event has been added while others were taken.
    let mut warm_up = pending..2 * pending;
    let digest = warm_up.try_fold(0, |digest, number| step(number, digest))?;
    let before = cpu_time()?;
    let mut steps = 2 * pending..2 * pending + STEPS;
    let digest = steps.try_fold(digest, |digest, number| step(number, digest))?;
    let took = cpu_time()?.saturating_sub(before);
    Ok((took.as_nanos() as f64 / STEPS as f64, digest))
}

/// Chance that costs next to nothing: SplitMix64.
struct Chance(u64);

impl Chance {
    /// From 0 to 4.3 s: players wake after milliseconds or after a segment.
    fn span(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_nanos((mixed ^ mixed >> 31) >> 32)
    }
}

// Simulations

/// A player for each viewer.
const A_PLAYER_EACH: &str = "players_per_cell=10000000";

/// Events of a whole simulation.
fn whole(viewers: u64) -> anyhow::Result<()> {
    let viewers = format!("viewers={viewers}");
    let run = played("celebrity-live", 180, &[&viewers, A_PLAYER_EACH])?;
    let rate = run.events / run.cpu_s;
    println!(
        "| events per second of one core, celebrity-live, {} players, 3 minutes | {} | - | - | ≥ 3 M | {} |",
        run.players,
        short(rate),
        met(rate >= 3e6)
    );
    Ok(())
}

/// Memory of a player that watches.
fn memory(viewers: u64) -> anyhow::Result<()> {
    let viewers = format!("viewers={viewers}");
    let soon = "arrivals={ steady = { over_s = 10.0 } }";
    let run = played("celebrity-live", 20, &[&viewers, A_PLAYER_EACH, soon])?;
    let bytes = run.grown_kib * 1024.0 / run.players;
    println!(
        "| memory per player, {} players | {bytes:.0} B | reckoned beforehand {BYTES_PER_PLAYER} B | {:.2} | ≤ 128 B | {} |",
        run.players,
        bytes / BYTES_PER_PLAYER as f64,
        met(bytes <= 128.0)
    );
    Ok(())
}

/// A published event.
fn published(viewers: u64) -> anyhow::Result<()> {
    let set = format!("viewers={viewers}");
    let run = played("kickoff", 3 * 3_600, &[&set, "pops=300"])?;
    big_run(
        &format!("kickoff, {viewers} viewers, 300 PoPs, 3 hours"),
        &run,
        Some((180.0, 1.0)),
    );
    Ok(())
}

/// A player for each of so many viewers.
fn each_viewer(viewers: u64) -> anyhow::Result<()> {
    let set = format!("viewers={viewers}");
    let run = played("celebrity-live", 600, &[&set, A_PLAYER_EACH])?;
    big_run(
        &format!("celebrity-live, {viewers} viewers with a player each, 10 minutes"),
        &run,
        None,
    );
    Ok(())
}

fn big_run(what: &str, run: &Played, goals: Option<(f64, f64)>) {
    let (wall_goal, memory_goal) = goals.unzip();
    let judged = |figure: f64, goal: Option<f64>, unit: &str| match goal {
        Some(goal) => format!("≤ {goal:.0} {unit} | {}", met(figure <= goal)),
        None => "- | -".to_owned(),
    };
    println!(
        "| {what}: wall time, {} players, {} events | {:.1} s | CPU {:.1} s | {} events/s | {} |",
        run.players,
        short(run.events),
        run.wall_s,
        run.cpu_s,
        short(run.events / run.wall_s),
        judged(run.wall_s, wall_goal, "s")
    );
    let peak_gb = run.peak_kib * 1024.0 / 1e9;
    println!(
        "| {what}: peak memory | {peak_gb:.2} GB | - | {:.0} B per player | {} |",
        run.peak_kib * 1024.0 / run.players,
        judged(peak_gb, memory_goal, "GB")
    );
}

/// What a simulation in a process of its own took.
struct Played {
    players: f64,
    events: f64,
    wall_s: f64,
    cpu_s: f64,
    /// Memory at the end, less that before the audience was drawn.
    grown_kib: f64,
    peak_kib: f64,
}

/// Plays so many seconds of a scenario with some keys of its `[sim]` table set otherwise.
fn played(scenario: &str, until_s: u32, set: &[&str]) -> anyhow::Result<Played> {
    let until_s = until_s.to_string();
    let arguments = [&["--play", scenario, &until_s], set].concat();
    let told = in_own_process(&arguments)?;
    let figure = |name: &str| figure(&told, name);
    Ok(Played {
        players: figure("players")?,
        events: figure("events")?,
        wall_s: figure("wall_s")?,
        cpu_s: figure("cpu_s")?,
        grown_kib: figure("grown_kib")?,
        peak_kib: figure("peak_kib")?,
    })
}

/// The process of a simulation.
fn played_here(run: &[String]) -> anyhow::Result<()> {
    let [scenario, until_s, set @ ..] = run else {
        bail!("--play SCENARIO SECONDS KEY=VALUE...");
    };
    let until = Timestamp::ZERO + Duration::from_secs(until_s.parse()?);
    let mut varied = Varied {
        scenario: scenario::find(scenario)?,
        miss_queue: MissQueue::Flights,
    };
    for set in set {
        let set: Assignment = set.parse().map_err(anyhow::Error::msg)?;
        varied = varied.with(&set)?;
    }
    let before_kib = memory_kib()?.0;
    let clock = Clock::start();
    let planned = Planned::sim(&varied.scenario, varied.miss_queue)?;
    let players = planned.plan.visits.len();
    let mut simulation = Simulation::new(planned.plan);
    let cpu_before = cpu_time()?;
    while simulation.now() <= until && simulation.advance(20_000, until) {}
    let cpu = cpu_time()?.saturating_sub(cpu_before);
    let (now_kib, peak_kib) = memory_kib()?;
    told(&json!({
        "players": players,
        "events": simulation.progress().events,
        "wall_s": clock.now().since(Timestamp::ZERO).as_secs_f64(),
        "cpu_s": cpu.as_secs_f64(),
        "grown_kib": now_kib.saturating_sub(before_kib),
        "peak_kib": peak_kib,
    }))
}

// Replays

/// Replays a generated trace.
fn replay(lines: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("trace.csv");
    generate(&path, lines)
        .context("cannot write the trace; is there room in the temporary folder?")?;
    let of = |how: &str| {
        let path = path.to_str().context("the folder's name is text")?;
        let told = in_own_process(&["--replay", how, path])?;
        let rate = lines as f64 / figure(&told, "cpu_s")?;
        anyhow::Ok((rate, told))
    };
    let (ours, told) = of("replay")?;
    let (at_once, told_at_once) = of("at-once")?;
    let (naive, told_naive) = of("naive")?;
    let (parsed, told_parsed) = of("parse")?;
    ensure!(
        told_at_once["misses"] == told_naive["misses"],
        "the replay and the naive LRU disagree: {} and {} misses",
        told_at_once["misses"],
        told_naive["misses"]
    );
    println!(
        "| replay, lines per second of one core, {lines} lines | {} | parsing alone {} | {:.2} | ≥ 2 M | {} |",
        short(ours),
        short(parsed),
        ours / parsed,
        met(ours >= 2e6)
    );
    println!(
        "| the same without latency, which gives the misses of an LRU | {} | a HashMap and a BTreeMap by last use {} | {:.2} | ≥ 1 | {} |",
        short(at_once),
        short(naive),
        at_once / naive,
        met(at_once >= naive)
    );
    let keys = figure(&told, "keys")?;
    let per_key = |told: &Value| -> anyhow::Result<f64> {
        let grown_kib = figure(told, "peak_kib")? - figure(&told_parsed, "peak_kib")?;
        Ok(grown_kib * 1024.0 / keys)
    };
    let (ours, naive) = (per_key(&told)?, per_key(&told_naive)?);
    println!(
        "| memory of a replay per distinct key, {keys} keys | {ours:.0} B | the naive LRU, which forgets what leaves it {naive:.0} B | {:.2} | - | - |",
        ours / naive
    );
    Ok(())
}

/// Writes a trace of objects by Zipf's law.
fn generate(path: &Path, lines: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let ranks = Zipf::new(f64::from(OBJECTS), 0.9)?;
    for number in 0..lines {
        let rank = ranks.sample(&mut chance) as u64;
        // 5,000 requests per second.
        let micros = number * 200;
        let (second, micros) = (micros / 1_000_000, micros % 1_000_000);
        let size = 20_000 + rank * 7_919 % 160_000;
        writeln!(
            file,
            "{second}.{micros:06},/live/{}/720p/{rank}.ts,{size}",
            rank % 100
        )?;
    }
    file.flush()?;
    Ok(())
}

/// The process of a replay.
fn replayed_here(run: &[String]) -> anyhow::Result<()> {
    let [how, path, ..] = run else {
        bail!("--replay HOW FILE");
    };
    let before = cpu_time()?;
    let (mut misses, mut keys) = (0, 0);
    match how.as_str() {
        "parse" => each_request(path, |request| {
            black_box(request);
            Ok(())
        })
        .map(drop)?,
        "naive" => {
            let mut lru = NaiveLru::default();
            each_request(path, |request| {
                lru.on_request(request);
                Ok(())
            })?;
            misses = lru.misses;
        }
        how => {
            let latency = if how == "replay" { 50 } else { 0 };
            let setup = Setup {
                cache_bytes: CACHE_BYTES,
                policy: Policy::Lru,
                latency: Duration::from_millis(latency),
                fresh: None,
                queue: Queue::Waits,
                sizes: Sizes::Whole,
            };
            let mut replay = Replay::new(setup);
            let lines = each_request(path, |request| {
                replay.on_request(request)?;
                Ok(())
            })?;
            let source = Source {
                file: path,
                format: Format::Csv,
                lines,
                end: End::Reached,
            };
            let summary = summary::summary(source, &setup, &replay.finish());
            misses = summary.requests.misses;
            keys = summary.trace.keys;
        }
    }
    let took = cpu_time()?.saturating_sub(before);
    told(&json!({
        "cpu_s": took.as_secs_f64(),
        "misses": misses,
        "keys": keys,
        "peak_kib": memory_kib()?.1,
    }))
}

fn each_request(
    path: &str,
    mut then: impl FnMut(&Request<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<LineCounts> {
    let mut trace = Trace::new(Reading {
        format: Format::Csv,
        unit: None,
        reorder: None,
        fields: Fields::default(),
    });
    let mut lines = BufReader::with_capacity(64 << 10, File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        match trace.line(&line)? {
            Line::Request(request) => then(&request)?,
            Line::Skipped => {}
            Line::Bad(bad) => bail!("{bad}"),
        }
        line.clear();
    }
    Ok(trace.counts())
}

/// An LRU as one writes it at first.
#[derive(Default)]
struct NaiveLru {
    /// When an object was used last, and its size.
    objects: HashMap<Vec<u8>, (u64, u64)>,
    by_last_use: BTreeMap<u64, Vec<u8>>,
    bytes: u64,
    requests: u64,
    misses: u64,
}

impl NaiveLru {
    fn on_request(&mut self, request: &Request<'_>) {
        self.requests += 1;
        let now = self.requests;
        if let Some((last_use, _)) = self.objects.get_mut(request.key) {
            let key = self.by_last_use.remove(last_use).unwrap_or_default();
            self.by_last_use.insert(now, key);
            *last_use = now;
            return;
        }
        self.misses += 1;
        let key = request.key.to_vec();
        self.objects.insert(key.clone(), (now, request.size));
        self.by_last_use.insert(now, key);
        self.bytes += request.size;
        while self.bytes > CACHE_BYTES
            && let Some((_, oldest)) = self.by_last_use.pop_first()
        {
            let gone = self.objects.remove(&oldest);
            self.bytes -= gone.map_or(0, |(_, size)| size);
        }
    }
}

// Processes

/// Starts this program again and reads what it tells.
fn in_own_process(arguments: &[&str]) -> anyhow::Result<Value> {
    let ended = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        ended.status.success(),
        "{arguments:?} ended with {}",
        ended.status
    );
    serde_json::from_slice(&ended.stdout).with_context(|| format!("{arguments:?} told no figures"))
}

fn told(figures: &Value) -> anyhow::Result<()> {
    println!("{figures}");
    Ok(())
}

fn figure(told: &Value, name: &str) -> anyhow::Result<f64> {
    let figure = told[name].as_f64();
    figure.with_context(|| format!("{name} is a number"))
}

/// The processor time of this thread.
fn cpu_time() -> anyhow::Result<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = told.split(' ').next().context("it has three numbers")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Memory of this process, now and at its peak.
fn memory_kib() -> anyhow::Result<(u64, u64)> {
    let status = Process::myself()?.status()?;
    let known = status.vmrss.zip(status.vmhwm);
    known.context("the system tells the memory of a process")
}
