//! Requests that wait together for a segment which the origin holds back: the time of their first bytes, and their memory.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use seawall::serve::clock::Clock;
use seawall::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::median;
use crate::origin::{self, Origin, Stage};
use crate::servers::Server;

/// Long enough for all requests under way to arrive.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the origin holds back the rest of a segment whose first part it has sent.
const HOLD: Duration = Duration::from_millis(300);
/// No answer pauses for this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds between the first byte of the leader and that of the median follower.
pub(crate) async fn followers_lag_ms(
    server: &Server,
    origin: &Origin,
    path: &str,
    followers: usize,
) -> anyhow::Result<f64> {
    Ok(median(lags_ms(server, origin, path, followers).await?))
}

async fn lags_ms(
    server: &Server,
    origin: &Origin,
    path: &str,
    followers: usize,
) -> anyhow::Result<Vec<f64>> {
    origin.stage.send_replace(Stage::Nothing);
    let waiting = wait(server.addr, path, 1 + followers).await?;
    let clock = Clock::start();
    // Each reader ends with its answer.
    let mut readers: Vec<_> = waiting
        .into_iter()
        .map(|stream| tokio::spawn(read(stream, clock)))
        .collect();
    let followers = readers.split_off(1);
    let leader = readers.remove(0);
    sleep(SETTLE).await;
    origin.stage.send_replace(Stage::FirstPart);
    sleep(HOLD).await;
    origin.stage.send_replace(Stage::Whole);
    let leader = leader.await??;
    let lag_ms = |first_byte: Timestamp| {
        // The wake-up order is random, so a follower may be slightly before its leader.
        let apart = first_byte.since(leader).max(leader.since(first_byte));
        apart.as_secs_f64() * 1e3
    };
    let mut lags = Vec::with_capacity(followers.len());
    for follower in followers {
        lags.push(lag_ms(follower.await??));
    }
    Ok(lags)
}

/// The wait of each request in a herd at one cold segment, in milliseconds, the shortest first.
pub(crate) async fn waits_ms(
    server: &Server,
    path: &str,
    requests: usize,
) -> anyhow::Result<Vec<f64>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr);
    let mut streams = Vec::with_capacity(requests);
    for _ in 0..requests {
        streams.push(TcpStream::connect(server.addr).await?);
    }
    sleep(SETTLE).await;
    let clock = Clock::start();
    // Each reader ends with its answer.
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            let request = request.clone();
            tokio::spawn(async move {
                let begun = clock.now();
                stream.write_all(request.as_bytes()).await?;
                let mut piece = [0; 4_096];
                let count = timeout(PATIENCE, stream.read(&mut piece)).await??;
                ensure!(
                    piece[..count].starts_with(b"HTTP/1.1 200 "),
                    "a request was not served"
                );
                anyhow::Ok(clock.now().since(begun).as_secs_f64() * 1e3)
            })
        })
        .collect();
    let mut waits = Vec::with_capacity(requests);
    for reader in readers {
        waits.push(reader.await??);
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}

/// Connections that ask for `path` and do not read the answer.
pub(crate) async fn stuck_readers(
    server: &Server,
    path: &str,
    readers: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr);
    let mut streams = Vec::with_capacity(readers);
    for _ in 0..readers {
        let mut stream = TcpStream::connect(server.addr).await?;
        stream.write_all(request.as_bytes()).await?;
        streams.push(stream);
    }
    sleep(SETTLE).await;
    Ok(streams)
}

/// Milliseconds between the first byte of the leader and that of the follower at this share of all followers, the slowest last.
pub(crate) async fn lag_at_share_ms(
    server: &Server,
    origin: &Origin,
    path: &str,
    followers: usize,
    share: f64,
) -> anyhow::Result<f64> {
    let mut lags = lags_ms(server, origin, path, followers).await?;
    lags.sort_by(f64::total_cmp);
    let at = (lags.len() as f64 * share) as usize;
    Ok(lags[at.min(lags.len() - 1)])
}

/// Bytes by which the server's memory grows per waiting request.
pub(crate) async fn waiter_bytes(
    server: &Server,
    origin: &Origin,
    path: &str,
    requests: usize,
) -> anyhow::Result<f64> {
    origin.stage.send_replace(Stage::Nothing);
    let before = server.memory_bytes()?;
    let waiting = wait(server.addr, path, requests).await?;
    sleep(SETTLE).await;
    let grown = server.memory_bytes()?.saturating_sub(before);
    let mut byte = [0];
    let early = waiting
        .iter()
        .any(|stream| stream.try_read(&mut byte).is_ok());
    ensure!(
        !early,
        "{} did not let all {requests} requests wait",
        server.name
    );
    drop(waiting);
    origin.stage.send_replace(Stage::Whole);
    Ok(grown as f64 / requests as f64)
}

/// Opens this many connections that ask for `path`; the first one leads.
async fn wait(addr: SocketAddr, path: &str, requests: usize) -> anyhow::Result<Vec<TcpStream>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let mut waiting = Vec::with_capacity(requests);
    for index in 0..requests {
        let mut stream = TcpStream::connect(addr)
            .await
            .context("cannot connect; are there enough descriptors (ulimit -n)?")?;
        stream.write_all(request.as_bytes()).await?;
        waiting.push(stream);
        if index == 0 {
            sleep(SETTLE).await;
        }
    }
    Ok(waiting)
}

/// Reads an answer to its end. Returns when its first byte arrived.
async fn read(mut stream: TcpStream, clock: Clock) -> anyhow::Result<Timestamp> {
    let mut piece = vec![0; 64 * 1024];
    let mut received = stream.read(&mut piece).await?;
    let first_byte = clock.now();
    ensure!(
        piece.starts_with(b"HTTP/1.1 200 "),
        "a request that waited was not served"
    );
    loop {
        let count = timeout(PATIENCE, stream.read(&mut piece)).await??;
        if count == 0 {
            break;
        }
        received += count;
    }
    ensure!(received > origin::LARGE_BYTES, "an answer broke off");
    Ok(first_byte)
}
