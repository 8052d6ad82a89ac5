//! The cost of a viewer: 10,000 viewers over a connection pool, beside the edges that serve them, ffmpeg processes that play
//! the same stream, and wrk. `cargo bench --bench audience`, or with `-- --quick` a tenth of the viewers.
//!
//! The figures come from one run on one machine, as ratios. A missed goal is reported and fails nothing. A run with a late
//! generator, or one that cannot be measured, ends the program with an error.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use procfs::process::Process;
use seawall::report::summary::Summary;
use seawall::report::thresholds::Verdict;

const SEGMENT_PARTS: &str = "12";

fn main() -> anyhow::Result<()> {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    if !given("--bench") {
        // `cargo test --all-targets` starts benchmarks too.
        println!("nothing to test here: run `cargo bench --bench audience`");
        return Ok(());
    }
    let viewers = if given("--quick") { 1_000 } else { 10_000 };
    let cluster = Cluster::start()?;
    let few = surge(&cluster, viewers / 10)?;
    let many = surge(&cluster, viewers)?;
    let per_viewer = (many.peak_kib - few.peak_kib) as f64 / f64::from(viewers - viewers / 10);
    println!("| what | Seawall | beside it | ratio | goal | met |\n|---|---|---|---|---|---|");
    let met = |holds| if holds { "yes" } else { "no" };
    println!(
        "| memory per viewer, {viewers} viewers | {per_viewer:.1} KiB | | | 12 KB | {} |",
        met(per_viewer * 1.024 <= 12.0)
    );
    println!(
        "| CPU of the generator beside its two edges, {viewers} viewers at 3.84 s | {:.1} s | {:.1} s | {:.2} | 1 | {} |",
        many.generator_s,
        many.edges_s,
        many.generator_s / many.edges_s,
        met(many.generator_s <= many.edges_s)
    );
    let ffmpeg = ffmpeg(&cluster, 20)?;
    let seconds = many.viewer_seconds;
    let ours_ms = many.generator_s * 1e3 / seconds;
    println!(
        "| CPU per viewer and second beside an ffmpeg that copies | {ours_ms:.3} ms | {:.2} ms | {:.4} | | |",
        ffmpeg.cpu_ms,
        ours_ms / ffmpeg.cpu_ms
    );
    println!(
        "| memory per viewer beside an ffmpeg | {per_viewer:.1} KiB | {:.0} KiB | {:.5} | | |",
        ffmpeg.peak_kib,
        per_viewer / ffmpeg.peak_kib
    );
    let wrk_us = wrk(&cluster)?;
    let ours_us = many.generator_s * 1e6 / many.requests as f64;
    println!(
        "| CPU per request beside wrk, which reads one playlist and checks nothing | {ours_us:.0} µs | {wrk_us:.0} µs | {:.2} | | |",
        ours_us / wrk_us
    );
    println!(
        "\n{} viewers, {} requests, wake-ups late by p99 {:.1} ms; segments travelled at a sixteenth.",
        many.viewers, many.requests, many.lag_p99_ms
    );
    Ok(())
}

/// A broadcaster, an origin and two edges, each in its own process; all end when this is dropped.
struct Cluster {
    up: Child,
    edges: Vec<Edge>,
    _segments: tempfile::TempDir,
}

struct Edge {
    url: String,
    process: i32,
}

impl Cluster {
    fn start() -> anyhow::Result<Self> {
        let segments = tempfile::tempdir()?;
        let any = "127.0.0.1:0";
        let mut up = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args([
                "up",
                "--processes",
                "--edges",
                "2",
                "--parts",
                SEGMENT_PARTS,
            ])
            .args(["--origin-listen", any, "--origin-admin", any])
            .args(["--edge-listen", any, "--edge-admin", any])
            .arg("--segments")
            .arg(segments.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `seawall up`")?;
        let stdout = up.stdout.take().context("its stdout is piped")?;
        let mut edges = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            let words: Vec<_> = line.split_whitespace().collect();
            if let [name, url, .., process] = words[..]
                && name.starts_with("edge-")
                && url.starts_with("http://")
            {
                let (url, _) = url.split_once("/live").context("a URL of a stream")?;
                edges.push(Edge {
                    url: url.to_owned(),
                    process: process.parse()?,
                });
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        ensure!(
            edges.len() == 2,
            "`seawall up` did not say where its edges are"
        );
        // Time for the window to fill, so that viewers can join the stream.
        std::thread::sleep(Duration::from_secs(3));
        Ok(Self {
            up,
            edges,
            _segments: segments,
        })
    }

    fn main(&self) -> String {
        format!("{}/live/demo/main.m3u8", self.edges[0].url)
    }

    /// Seconds of CPU that its edges have used.
    fn edges_cpu_s(&self) -> anyhow::Result<f64> {
        self.edges.iter().map(|edge| cpu_s(edge.process)).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // By SIGTERM, because each part then ends with it.
        let _ = Command::new("kill").arg(self.up.id().to_string()).status();
        let _ = self.up.wait();
    }
}

fn cpu_s(process: i32) -> anyhow::Result<f64> {
    let stat = Process::new(process)?.stat()?;
    Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
}

struct Surged {
    viewers: u32,
    requests: u64,
    viewer_seconds: f64,
    generator_s: f64,
    edges_s: f64,
    peak_kib: u64,
    lag_p99_ms: f64,
}

/// `viewers` arrive within 20 s and stay until 60 s, in a separate process.
fn surge(cluster: &Cluster, viewers: u32) -> anyhow::Result<Surged> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("crowd.toml");
    std::fs::write(&file, SCENARIO.replace("VIEWERS", &viewers.to_string()))?;
    let before = cluster.edges_cpu_s()?;
    let mut surge = Command::new(env!("CARGO_BIN_EXE_seawall"));
    surge.arg("surge").arg(&file).arg("--json");
    for edge in &cluster.edges {
        surge.args(["--target", &edge.url]);
    }
    let mut running = surge.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let process = Process::new(running.id() as i32)?;
    let stdout = running.stdout.take().context("its stdout is piped")?;
    let reading = std::thread::spawn(move || std::io::read_to_string(stdout));
    let mut peak_kib = 0;
    while running.try_wait()?.is_none() {
        let status = process.status().ok().and_then(|status| status.vmhwm);
        peak_kib = status.unwrap_or(0).max(peak_kib);
        std::thread::sleep(Duration::from_millis(200));
    }
    let text = reading.join().expect("reading does not panic")?;
    let summary: Summary = serde_json::from_str(&text).context("the surge printed no summary")?;
    ensure!(
        summary.verdict == Verdict::Pass,
        "a run of {viewers} viewers came to {}: {:?}",
        summary.verdict,
        summary.generator_faults
    );
    let cpu = summary
        .generator
        .cpu
        .context("this system tells no CPU time")?;
    Ok(Surged {
        viewers: summary.viewers.started,
        requests: summary.requests_total(),
        viewer_seconds: f64::from(summary.viewers.started) * (summary.elapsed_s - 11.0),
        generator_s: cpu.busy_s,
        edges_s: cluster.edges_cpu_s()? - before,
        peak_kib,
        lag_p99_ms: summary.generator.lag_p99_ms,
    })
}

struct Ffmpeg {
    /// CPU milliseconds per process and second.
    cpu_ms: f64,
    peak_kib: f64,
}

/// `count` ffmpeg processes as players for 20 s.
fn ffmpeg(cluster: &Cluster, count: u32) -> anyhow::Result<Ffmpeg> {
    const SPAN: Duration = Duration::from_secs(20);
    let start = || {
        Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-loglevel",
                "quiet",
                "-re",
                "-i",
                &cluster.main(),
            ])
            .args(["-c", "copy", "-f", "null", "-"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    let mut players = (0..count).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(SPAN);
    let (mut cpu, mut peak) = (0.0, 0);
    for player in &players {
        cpu += cpu_s(player.id() as i32)?;
        peak += Process::new(player.id() as i32)?
            .status()?
            .vmhwm
            .unwrap_or(0);
    }
    for player in &mut players {
        player.kill()?;
        player.wait()?;
    }
    Ok(Ffmpeg {
        cpu_ms: cpu * 1e3 / SPAN.as_secs_f64() / f64::from(count),
        peak_kib: peak as f64 / f64::from(count),
    })
}

/// Microseconds of wrk's own CPU per request.
fn wrk(cluster: &Cluster) -> anyhow::Result<f64> {
    let url = format!("{}/live/demo/180p/media.m3u8", cluster.edges[0].url);
    let ticks = || anyhow::Ok(Process::myself()?.stat()?);
    let before = ticks()?;
    let ran = Command::new("wrk")
        .args(["-t1", "-c512", "-d5s", &url])
        .output()
        .context("wrk is missing: make deps")?;
    let after = ticks()?;
    // Processor time of this process's children that have ended.
    let used = (after.cutime + after.cstime) - (before.cutime + before.cstime);
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let requests: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .with_context(|| format!("wrk said no number of requests:\n{text}"))?;
    Ok(used as f64 / procfs::ticks_per_second() as f64 * 1e6 / requests)
}

const SCENARIO: &str = r#"
name = "crowd"
about = "as many viewers as are wanted"
seed = 1

[real]
requests_logged_max = 1000000

[real.cluster]
edges = 2
parts_per_segment = 12
origin = { latency_ms = 0.0 }

[real.connections]
pool = 1024
one_part_of = 16

[real.audience]
viewers = VIEWERS
arrivals = { steady = { over_s = 20.0 } }
sessions = { the-end = { until_s = 60.0, plunge_s = 2.0 } }
last_mile = { median_bps = 2500000, sigma = 0.6, at_least_bps = 400000 }
abr = "hls.js"
renditions = ["180p", "360p", "720p"]

[real.thresholds]
fatal_max = 0
start_failures_max = 0
stalled_share_max = 0.05
"#;
