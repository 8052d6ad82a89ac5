//! Likes over HTTP, sent by `wrk`: durable, compared with likes that do not wait for the disk, and with Redis, which appends
//! each like to a stream and waits for the disk. The more likes are in flight, the more share one wait.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::process::{Ends, free_address};
use crate::{median, row};

/// Likes in flight: each connection has one.
const IN_FLIGHT: [u32; 2] = [64, 512];

/// Each row for likes as a client sees them.
pub(crate) fn rows(folder: &Path, pairs: usize, run: Duration) -> anyhow::Result<Vec<String>> {
    let durable = Origin::start(&folder.join("disk"), "disk")?;
    let memory = Origin::start(&folder.join("memory"), "memory")?;
    let redis = Redis::start(&folder.join("redis"))?;
    let script = folder.join("like.lua");
    fs::write(&script, LIKE)?;
    let mut rows = Vec::new();
    let mut round = 0;
    for connections in IN_FLIGHT {
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        // The first pair warms up.
        for pair in 0..=pairs {
            round += 1;
            let taken = [
                likes_per_s(durable.addr, &script, round, connections, run)?,
                likes_per_s(memory.addr, &script, round, connections, run)?,
                redis.appends_per_s(connections, run)?,
            ];
            if pair > 0 {
                rates
                    .iter_mut()
                    .zip(taken)
                    .for_each(|(rates, rate)| rates.push(rate));
            }
        }
        let [of_durable, of_memory, of_redis] = rates;
        let compared = |beside: &str, others: &[f64], at_least: f64| {
            let ratio = median(
                of_durable
                    .iter()
                    .zip(others)
                    .map(|(one, other)| one / other),
            );
            let what = format!("durable likes, {connections} in flight");
            let ours = format!("{:.0}/s", median(of_durable.iter().copied()));
            let others = format!("{beside} {:.0}/s", median(others.iter().copied()));
            let goal = format!("≥ {at_least}");
            row(&what, [ours, others], ratio, &goal, ratio >= at_least)
        };
        rows.push(compared("not waiting for the disk", &of_memory, 0.6));
        rows.push(compared(
            "Redis `XADD`, `appendfsync always`",
            &of_redis,
            0.8,
        ));
    }
    Ok(rows)
}

/// Each thread has its own viewers, and each viewer goes on counting from run to run.
const LIKE: &str = r#"
local threads = 0
function setup(thread)
    thread:set("name", threads)
    threads = threads + 1
end
function init(arguments)
    sent = 0
    earlier = tonumber(arguments[1]) * 1000
end
function request()
    local viewer = sent % 20000
    local number = earlier + math.floor(sent / 20000) + 1
    sent = sent + 1
    return wrk.format("PUT", "/live/demo/likes/t" .. name .. "-" .. viewer, { ["Like-Seq"] = tostring(number) })
end
"#;

fn likes_per_s(
    origin: SocketAddr,
    script: &Path,
    round: u32,
    connections: u32,
    run: Duration,
) -> anyhow::Result<f64> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", run.as_secs()), "--script"])
        .arg(script)
        .args([&format!("http://{origin}"), "--", &round.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start wrk; on Debian: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let healthy =
        output.status.success() && !text.contains("Socket errors") && !text.contains("Non-2xx");
    ensure!(healthy, "likes were refused:\n{text}");
    text.lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("wrk speaks another language:\n{text}"))
}

/// `seawall origin` with one channel.
struct Origin {
    addr: SocketAddr,
    _process: Ends,
    _stdout: BufReader<ChildStdout>,
}

impl Origin {
    fn start(folder: &Path, ack: &str) -> anyhow::Result<Self> {
        let channel = folder.join("demo");
        fs::create_dir_all(&channel)?;
        fs::write(channel.join("channel.json"), CHANNEL)?;
        let config = folder.join("seawall.toml");
        fs::write(&config, format!("[likes]\nack = \"{ack}\"\n"))?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args([
                "origin",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ])
            .args(["--ingest", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--segments")
            .arg(folder)
            .env("SEAWALL_TOKEN", "bench")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Ends)
            .context("cannot start `seawall origin`")?;
        let stdout = process.0.stdout.take().expect("it is piped");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let addr = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("http://")?.parse().ok())
            .with_context(|| format!("`seawall origin` did not say where it listens: {line:?}"))?;
        Ok(Self {
            addr,
            _process: process,
            _stdout: stdout,
        })
    }
}

const CHANNEL: &str = r#"{"name": "demo", "seed": 1, "started_at": 1700000000000, "layout": {"parts_per_segment": 6,
    "ladder": [{"name": "180p", "width": 320, "height": 180, "bitrate_bps": 190000}]}}"#;

/// `redis-server` whose only durability is a log that is on the disk before the server answers.
struct Redis {
    addr: SocketAddr,
    _process: Ends,
}

impl Redis {
    fn start(folder: &PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let addr = free_address()?;
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
                "--dir",
            ])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .map(Ends)
            .context("cannot start redis-server; on Debian: apt-get install redis-server")?;
        for _ in 0..100 {
            if TcpStream::connect(addr).is_ok() {
                return Ok(Self {
                    addr,
                    _process: process,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("redis-server does not listen at {addr}");
    }

    /// As many appends as fit into about the length of a run.
    fn appends_per_s(&self, connections: u32, run: Duration) -> anyhow::Result<f64> {
        let sample = self.appends(connections, 5_000)?;
        self.appends(connections, (sample * run.as_secs_f64()) as u64)
    }

    fn appends(&self, connections: u32, count: u64) -> anyhow::Result<f64> {
        let output = Command::new("redis-benchmark")
            .args(["-h", "127.0.0.1", "-p", &self.addr.port().to_string()])
            .args([
                "-c",
                &connections.to_string(),
                "-n",
                &count.to_string(),
                "-r",
                "20000",
                "--csv",
            ])
            .args([
                "XADD",
                "likes:demo",
                "*",
                "viewer",
                "t0-__rand_int__",
                "like",
                "1",
            ])
            .output()
            .context("cannot start redis-benchmark; on Debian: apt-get install redis-tools")?;
        let text = String::from_utf8_lossy(&output.stdout);
        // One line of names, and one of figures, each in quotation marks.
        text.lines()
            .last()
            .and_then(|line| line.split("\",\"").nth(1)?.parse().ok())
            .with_context(|| format!("redis-benchmark speaks another language:\n{text}"))
    }
}
