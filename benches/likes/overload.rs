//! Ten times as many likes as the log can take: how fast the surplus is refused, and whether as many likes get through.
//!
//! The log is made slow, so that this machine can send ten times its capacity with time to spare. The log needs 200 ms for a
//! batch, and 128 operations may wait meanwhile. The rest is the same as in an origin: the listener, the routes, the queue, the
//! committer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use seawall::likes::LikesLimits;
use seawall::serve::clock::Clock;
use seawall::serve::http::listener;
use seawall::serve::likes::log::{AppendError, Entry, Facts, LikeLog, LogError, LogReader};
use seawall::serve::likes::simulated::SimulatedLog;
use seawall::serve::likes::{self, Likes, LikesConfig, Neighbours};
use seawall::serve::metrics::Registry;
use seawall::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::row;

const BATCH: Duration = Duration::from_millis(200);
const WAITING: usize = 128;
/// Number of likes that the log takes per second.
const CAPACITY: usize = WAITING * 5;

/// The refusals' latency, and the likes that get through, compared with those at twice the capacity.
pub(crate) async fn rows(run: Duration) -> anyhow::Result<Vec<String>> {
    const P99_AT_MOST_MS: f64 = 50.0;
    const AT_LEAST: f64 = 0.8;
    let stop = CancellationToken::new();
    let addr = serve(&stop)?;
    let peak = offered(addr, 2, run).await?;
    let flood = offered(addr, 10, run).await?;
    stop.cancel();
    let p99_ms = flood.refused_us.value_at_quantile(0.99) as f64 / 1e3;
    let ratio = flood.per_s / peak.per_s;
    let offered = format!(
        "{:.0}/s offered, {CAPACITY}/s possible",
        flood.offered_per_s
    );
    Ok(vec![
        row(
            &format!("overload ({offered}): 99 % of refusals come within"),
            [format!("{p99_ms:.1} ms"), "-".to_owned()],
            f64::NAN,
            &format!("≤ {P99_AT_MOST_MS} ms"),
            p99_ms <= P99_AT_MOST_MS,
        ),
        row(
            "overload: likes acknowledged",
            [
                format!("{:.0}/s", flood.per_s),
                format!("at twice what is possible {:.0}/s", peak.per_s),
            ],
            ratio,
            &format!("≥ {AT_LEAST}"),
            ratio >= AT_LEAST,
        ),
    ])
}

fn serve(stop: &CancellationToken) -> anyhow::Result<SocketAddr> {
    let registry = Registry::new(&[]);
    let mut config = LikesConfig::new(std::env::temp_dir());
    config.limits = LikesLimits {
        queue_operations_max: WAITING,
        // A viewer with late answers catches up.
        viewer_rate_max: 1_000,
        ..LikesLimits::default()
    };
    let neighbours = Neighbours {
        on_air: Box::new(|_| true),
        operator: None,
    };
    let log: Box<dyn LikeLog> = Box::new(Slow(SimulatedLog::default()));
    let likes = Likes::over(vec![log], &config, neighbours, Clock::start(), &registry)?;
    let listener = listener::bind(([127, 0, 0, 1], 0).into(), "--listen")?;
    let addr = listener.local_addr()?;
    let limits = listener::ListenerLimits {
        methods: likes::METHODS,
        ..listener::ListenerLimits::default()
    };
    let routes = likes::routes(Some(&likes));
    let nothing = listener::nothing_at_once;
    tokio::spawn(listener::serve(
        listener,
        routes,
        nothing,
        limits,
        None,
        stop.clone(),
    ));
    tokio::spawn(likes.run_until(stop.clone()));
    Ok(addr)
}

/// A slow log.
struct Slow(SimulatedLog);

impl LikeLog for Slow {
    fn facts(&self) -> Facts {
        self.0.facts()
    }

    fn append(&mut self, batch: &[u8]) -> Result<u64, AppendError> {
        std::thread::sleep(BATCH);
        self.0.append(batch)
    }

    fn tail_barrier(&mut self) -> Result<u64, LogError> {
        self.0.tail_barrier()
    }

    fn trim(&mut self, position: u64) -> Result<bool, LogError> {
        self.0.trim(position)
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, LogError> {
        self.0.reader()
    }
}

impl LogReader for Slow {
    fn read_from(&mut self, position: u64, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
        self.0.read_from(position, bytes_max)
    }
}

/// The result of a run.
struct Outcome {
    /// Likes sent per second.
    offered_per_s: f64,
    /// Likes acknowledged per second.
    per_s: f64,
    /// Latency of refusals, in microseconds.
    refused_us: Histogram<u64>,
}

/// Sends `times` the capacity. Each connection sends ten likes a second, except while it waits for an answer. The first second
/// is left out, because all connections are opened then.
async fn offered(addr: SocketAddr, times: usize, run: Duration) -> anyhow::Result<Outcome> {
    const PERIOD: Duration = Duration::from_millis(100);
    const WARM_UP: Duration = Duration::from_secs(1);
    // Some connections wait for the log.
    let connections = CAPACITY * times / 10 + CAPACITY / 2;
    let (sent, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    let clock = Clock::start();
    let begin = clock.now() + WARM_UP;
    let end = begin + run;
    for index in 0..connections {
        let (sent, acknowledged) = (sent.clone(), acknowledged.clone());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let mut refused_us = Histogram::<u64>::new(3)?;
            let offset = PERIOD.mul_f64(index as f64 / connections as f64);
            let mut due = Timestamp::ZERO + offset;
            let mut number = 0_u64;
            while clock.now() < end {
                tokio::time::sleep_until(clock.instant(due)).await;
                due = due + PERIOD;
                number += 1;
                let request = format!(
                    "PUT /live/demo/likes/v{times}-{index} HTTP/1.1\r\nhost: x\r\nlike-seq: {number}\r\n\r\n"
                );
                let asked = clock.now();
                stream.write_all(request.as_bytes()).await?;
                let status = status(&mut stream).await?;
                if asked < begin {
                    continue;
                }
                sent.fetch_add(1, Ordering::Relaxed);
                match status {
                    202 => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                    503 => refused_us.record(clock.now().since(asked).as_micros() as u64)?,
                    other => anyhow::bail!("a like was answered {other}"),
                }
            }
            Ok(refused_us)
        });
    }
    let mut refused_us = Histogram::<u64>::new(3)?;
    while let Some(ended) = tasks.join_next().await {
        refused_us.add(ended??)?;
    }
    let seconds = clock.now().since(begin).as_secs_f64();
    Ok(Outcome {
        offered_per_s: sent.load(Ordering::Relaxed) as f64 / seconds,
        per_s: acknowledged.load(Ordering::Relaxed) as f64 / seconds,
        refused_us,
    })
}

/// Reads one whole answer and returns its status.
async fn status(stream: &mut TcpStream) -> anyhow::Result<u16> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        anyhow::ensure!(
            stream.read_buf(&mut bytes).await? > 0,
            "the connection broke off"
        );
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(&bytes)? else {
            continue;
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| {
                std::str::from_utf8(header.value)
                    .ok()?
                    .parse::<usize>()
                    .ok()
            })
            .context("an answer without a length")?;
        if bytes.len() >= head + length {
            return response.code.context("an answer without a status");
        }
    }
}
