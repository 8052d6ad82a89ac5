//! The cost of a hit for the server, measured with `wrk`: CPU per request, and requests per second.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::servers::Server;

/// The number of pairs of runs, and their length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Number of runs of each server.
    pub(crate) pairs: usize,
    /// The length of one run.
    pub(crate) run: Duration,
}

/// The result of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time of the server for one request, in microseconds.
    pub(crate) cpu_us: f64,
    /// Requests per second.
    pub(crate) rate_hz: f64,
}

/// Runs the servers in turn, so that other load on the machine affects both.
pub(crate) fn pairs(
    one: &Server,
    other: &Server,
    path: &str,
    connections: u32,
    effort: Effort,
) -> anyhow::Result<Vec<(Cost, Cost)>> {
    let warm_up = Duration::from_secs(1);
    load(one, path, connections, warm_up)?;
    load(other, path, connections, warm_up)?;
    (0..effort.pairs)
        .map(|_| {
            let first = load(one, path, connections, effort.run)?;
            Ok((first, load(other, path, connections, effort.run)?))
        })
        .collect()
}

fn load(server: &Server, path: &str, connections: u32, span: Duration) -> anyhow::Result<Cost> {
    let before = server.cpu()?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "10s"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", span.as_secs())])
        .arg(format!("http://{}{path}", server.addr))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start wrk; on Debian: apt-get install wrk")?;
    let cpu = server.cpu()?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let healthy =
        output.status.success() && !text.contains("Socket errors") && !text.contains("Non-2xx");
    ensure!(
        healthy,
        "wrk at {} was not served well:\n{text}",
        server.name
    );
    let requests = number_before(&text, " requests in ");
    let rate_hz = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    let (requests, rate_hz) = requests
        .zip(rate_hz)
        .with_context(|| format!("wrk speaks another language:\n{text}"))?;
    Ok(Cost {
        cpu_us: cpu.as_secs_f64() * 1e6 / requests,
        rate_hz,
    })
}

/// The number before `words`.
fn number_before(text: &str, words: &str) -> Option<f64> {
    let (before, _) = text.split_once(words)?;
    before.split_whitespace().next_back()?.parse().ok()
}
