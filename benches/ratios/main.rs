//! The cost of Seawall, as ratios within one run: `cargo bench --bench ratios`, or with `-- --quick` a shorter run.
//!
//! Absolute times mean little on a busy machine. So each figure stands beside another one measured in turn with it: A B A B,
//! then the median of the pairs. The table is Markdown. A missed goal is marked there and fails nothing: people judge the
//! timing. If something cannot be measured, the program ends with an error.

mod herd;
mod hits;
mod origin;
mod servers;

use std::fmt;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use procfs::Current;
use seawall::hls::ladder::Rendition;
use seawall::hls::timeline::{Channel, Layout};
use seawall::media;
use seawall::time::UnixTime;

use crate::hits::{Cost, Effort};
use crate::origin::Origin;
use crate::servers::Server;

fn main() -> anyhow::Result<()> {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    if !given("--bench") {
        // `cargo test --all-targets` starts benchmarks too.
        println!("nothing to test here: run `cargo bench --bench ratios`");
        return Ok(());
    }
    let (effort, rounds, segments) = if given("--quick") {
        (
            Effort {
                pairs: 3,
                run: Duration::from_secs(2),
            },
            1,
            10,
        )
    } else {
        (
            Effort {
                pairs: 9,
                run: Duration::from_secs(4),
            },
            5,
            50,
        )
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let origin = runtime.block_on(Origin::start())?;
    // Each row is printed as soon as it is known, because the whole takes minutes.
    println!("| what | Seawall | beside it | ratio | goal | met |\n|---|---|---|---|---|---|");
    println!("{}", ladder(segments)?);
    {
        let (seawall, nginx) = (Server::seawall(origin.addr)?, Server::nginx(origin.addr)?);
        let small = hits::pairs(&seawall, &nginx, origin::SMALL, 64, effort)?;
        println!("{}", cpu("2 KB", &small, 0.7));
        let large = hits::pairs(&seawall, &nginx, origin::LARGE, 16, effort)?;
        println!("{}", cpu("1 MB", &large, 1.3));
        println!("{}", rate("1 MB", &large));
        let followers = first_bytes(&seawall, &nginx, &origin, rounds);
        println!("{}", runtime.block_on(followers)?);
    }
    println!("{}", runtime.block_on(wake_up(&origin))?);
    println!("{}", runtime.block_on(slow_readers(&origin))?);
    println!("{}", runtime.block_on(memory(&origin))?);
    println!("\n{}", runtime.block_on(queues(&origin))?);
    println!("\n{}", machine());
    Ok(())
}

/// One line of the table.
struct Row {
    what: String,
    seawall: String,
    beside: String,
    ratio: String,
    goal: String,
    met: bool,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            seawall,
            beside,
            ratio,
            goal,
            met,
        } = self;
        let met = if *met { "yes" } else { "no" };
        write!(
            f,
            "| {what} | {seawall} | {beside} | {ratio} | {goal} | {met} |"
        )
    }
}

/// The cost of encoding three renditions in real time.
fn ladder(segments: u64) -> anyhow::Result<Row> {
    let names = ["180p", "360p", "720p"];
    let channel = Channel {
        name: "demo".to_owned(),
        seed: 1,
        layout: Layout {
            parts_per_segment: 6,
            ladder: names.into_iter().filter_map(Rendition::named).collect(),
            ..Layout::default()
        },
        started_at: UnixTime::from_millis(1_790_000_000_000),
    };
    let process = procfs::process::Process::myself()?;
    let ticks = || process.stat().map(|stat| stat.utime + stat.stime);
    let before = ticks()?;
    for number in (channel.first_number()..).take(segments as usize) {
        for rendition in &channel.layout.ladder {
            black_box(media::segment(&channel, rendition, number));
        }
    }
    let cpu_s = (ticks()? - before) as f64 / procfs::ticks_per_second() as f64;
    let video_s = channel.layout.segment_duration().as_secs_f64() * segments as f64;
    let share = cpu_s / video_s;
    Ok(Row {
        what: format!(
            "encoding {} in real time, CPU per second of video",
            names.join(" + ")
        ),
        seawall: format!("{:.1} ms", share * 1e3),
        beside: "a core: 1000 ms".to_owned(),
        ratio: format!("{:.1} %", share * 100.0),
        goal: "< 5 %".to_owned(),
        met: share < 0.05,
    })
}

fn cpu(size: &str, pairs: &[(Cost, Cost)], at_most: f64) -> Row {
    let ratio = median(pairs.iter().map(|(one, other)| one.cpu_us / other.cpu_us));
    Row {
        what: format!("a hit of {size}: server CPU per request"),
        seawall: format!("{:.1} µs", median(pairs.iter().map(|(one, _)| one.cpu_us))),
        beside: format!(
            "nginx {:.1} µs",
            median(pairs.iter().map(|(_, other)| other.cpu_us))
        ),
        ratio: format!("{ratio:.2}"),
        goal: format!("≤ {at_most}"),
        met: ratio <= at_most,
    }
}

fn rate(size: &str, pairs: &[(Cost, Cost)]) -> Row {
    let ratio = median(pairs.iter().map(|(one, other)| one.rate_hz / other.rate_hz));
    Row {
        what: format!("hits of {size} per second"),
        seawall: format!("{:.0}", median(pairs.iter().map(|(one, _)| one.rate_hz))),
        beside: format!(
            "nginx {:.0}",
            median(pairs.iter().map(|(_, other)| other.rate_hz))
        ),
        ratio: format!("{ratio:.2}"),
        goal: "≥ 1".to_owned(),
        met: ratio >= 1.0,
    }
}

/// When the median of 500 followers gets its first byte, while the origin is still sending.
async fn first_bytes(
    seawall: &Server,
    nginx: &Server,
    origin: &Origin,
    rounds: usize,
) -> anyhow::Result<Row> {
    const FOLLOWERS: usize = 500;
    const AT_MOST_MS: f64 = 20.0;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let path = origin::held(round);
        ours.push(herd::followers_lag_ms(seawall, origin, &path, FOLLOWERS).await?);
        theirs.push(herd::followers_lag_ms(nginx, origin, &path, FOLLOWERS).await?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(Row {
        what: format!("first byte of the median of {FOLLOWERS} followers, beside the leader's"),
        seawall: format!("{ours:.1} ms"),
        beside: format!("nginx `proxy_cache_lock` {theirs:.0} ms"),
        ratio: format!("{:.3}", ours / theirs),
        goal: format!("≤ {AT_MOST_MS} ms"),
        met: ours <= AT_MOST_MS,
    })
}

/// When nearly all of many followers have their first byte.
async fn wake_up(origin: &Origin) -> anyhow::Result<Row> {
    const AT_MOST_MS: f64 = 5.0;
    let followers = waiters_max(10_000)?;
    let server = Server::seawall(origin.addr)?;
    let path = origin::brief(0);
    let ours = herd::lag_at_share_ms(&server, origin, &path, followers, 0.99).await?;
    Ok(Row {
        what: format!("first byte of 99 % of {followers} followers, beside the leader's"),
        seawall: format!("{ours:.1} ms"),
        beside: "-".to_owned(),
        ratio: "-".to_owned(),
        goal: format!("≤ {AT_MOST_MS} ms"),
        met: ours <= AT_MOST_MS,
    })
}

/// How long a herd waits while many others have stopped reading in the middle of a body.
async fn slow_readers(origin: &Origin) -> anyhow::Result<Row> {
    const HERD: usize = 500;
    const AT_MOST: f64 = 1.5;
    let readers = waiters_max(2_000)?;
    let server = Server::seawall(origin.addr)?;
    let p99 = async |round| -> anyhow::Result<f64> {
        Ok(herd::waits_ms(&server, &origin::late(round), HERD).await?[HERD * 99 / 100])
    };
    p99(100).await?;
    let alone = median([p99(101).await?, p99(102).await?, p99(103).await?]);
    let slow = herd::stuck_readers(&server, origin::LARGE, readers).await?;
    let beside = median([p99(104).await?, p99(105).await?, p99(106).await?]);
    drop(slow);
    let ratio = beside / alone;
    Ok(Row {
        what: format!(
            "99 % of {HERD} at a segment that takes 50 ms, beside {readers} readers that stand still"
        ),
        seawall: format!("{beside:.1} ms"),
        beside: format!("without them {alone:.1} ms"),
        ratio: format!("{ratio:.2}"),
        goal: format!("≤ {AT_MOST}"),
        met: ratio <= AT_MOST,
    })
}

/// Number of connections that this process and a server beside it can hold: at most `wanted`.
fn waiters_max(wanted: usize) -> anyhow::Result<usize> {
    let limits = procfs::process::Process::myself()?.limits()?;
    Ok(match limits.max_open_files.soft_limit {
        // An edge uses three quarters of its descriptors for viewers.
        procfs::process::LimitValue::Value(count) => (count as usize / 10 * 7).min(wanted),
        procfs::process::LimitValue::Unlimited => wanted,
    })
}

/// The miss queues and nginx's, compared: 500 requests at once for one segment that takes 50 ms to arrive.
async fn queues(origin: &Origin) -> anyhow::Result<String> {
    const HERD: usize = 500;
    let mut table = format!(
        "| miss queue, {HERD} at once for a segment that takes 50 ms | origin hits | half have waited | 99 % have waited |\n\
         |---|---|---|---|\n"
    );
    let mut row = async |server: Server, name: &str, round| -> anyhow::Result<()> {
        origin.take_hits();
        let waits = herd::waits_ms(&server, &origin::late(round), HERD).await?;
        let (half, most) = (waits[HERD / 2], waits[HERD * 99 / 100]);
        let hits = origin.take_hits();
        table += &format!("| {name} | {hits} | {half:.0} ms | {most:.0} ms |\n");
        Ok(())
    };
    for (round, queue) in ["flights", "off", "moka", "poll-500ms"]
        .into_iter()
        .enumerate()
    {
        row(Server::seawall_with(origin.addr, queue)?, queue, round).await?;
    }
    row(Server::nginx(origin.addr)?, "nginx `proxy_cache_lock`", 10).await?;
    Ok(table)
}

/// The memory of a waiting request. Each server is fresh, because a server seldom gives memory back.
async fn memory(origin: &Origin) -> anyhow::Result<Row> {
    const AT_MOST_KIB: f64 = 24.0;
    let path = origin::held(1_000);
    let requests = waiters_max(5_000)?;
    let mut kib = [0.0; 2];
    for (kib, server) in kib.iter_mut().zip([Server::seawall, Server::nginx]) {
        let server = server(origin.addr)?;
        *kib = herd::waiter_bytes(&server, origin, &path, requests).await? / 1024.0;
    }
    let [ours, theirs] = kib;
    Ok(Row {
        what: format!("memory per waiting request, {requests} waiting on one flight"),
        seawall: format!("{ours:.1} KiB"),
        beside: format!("nginx {theirs:.1} KiB"),
        ratio: format!("{:.2}", ours / theirs),
        goal: format!("≤ {AT_MOST_KIB} KiB"),
        met: ours <= AT_MOST_KIB,
    })
}

/// The middle value, or the mean of the two in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The machine of the measurement.
fn machine() -> String {
    let cpus = procfs::CpuInfo::current().ok();
    let model = cpus
        .as_ref()
        .and_then(|cpus| cpus.model_name(0))
        .unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = procfs::sys::kernel::Version::current().map_or("?".to_owned(), |version| {
        format!("{}.{}", version.major, version.minor)
    });
    format!(
        "{model}, {cores} cores, Linux {kernel}; Seawall {}, {}, {}.",
        env!("CARGO_PKG_VERSION"),
        first_words(
            Command::new("nginx").env("PATH", servers::path()).arg("-v"),
            "nginx version: "
        ),
        first_words(Command::new("wrk").arg("-v"), ""),
    )
}

/// The version that a program reports, on stdout or stderr.
fn first_words(program: &mut Command, prefix: &str) -> String {
    let Ok(output) = program.output() else {
        return "?".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    let words: Vec<_> = line
        .trim_start_matches(prefix)
        .split_whitespace()
        .take(2)
        .collect();
    words.join(" ")
}
