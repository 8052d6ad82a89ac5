//! A small origin for both servers: a live segment of 2 KB, one of 1 MB, and any number of segments that are held back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The path of a segment of 2 KB.
pub(crate) const SMALL: &str = "/live/demo/720p/7.ts";
/// The path of a segment of 1 MB.
pub(crate) const LARGE: &str = "/live/demo/720p/1000.ts";

/// The length of the large segment and of the held segments.
pub(crate) const LARGE_BYTES: usize = 1_000_000;

const SMALL_BYTES: usize = 2_000;
/// Prefix of the paths of held segments with a short first part.
const BRIEF: &str = "/live/brief/";
/// Prefix of the paths of late segments.
const LATE: &str = "/live/late/";
/// Delay of late segments.
const LATE_BY: Duration = Duration::from_millis(50);
/// Bytes of a held segment that are sent before the rest.
const FIRST_PART_BYTES: usize = 100_000;

/// How much of a held segment the origin sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No byte of the answer.
    Nothing,
    /// Its head and the first part of its body.
    FirstPart,
    /// The whole answer.
    Whole,
}

/// A running origin. It ends with the runtime.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The address of its listener.
    pub(crate) addr: SocketAddr,
    /// How much of held segments it may send.
    pub(crate) stage: watch::Sender<Stage>,
    hits: Arc<AtomicUsize>,
}

/// The path of a held segment; each round takes one that no cache has seen.
pub(crate) fn held(round: usize) -> String {
    format!("/live/demo/720p/{}.ts", 1_000_000 + round)
}

/// The path of a held segment whose first part is 2 KB.
pub(crate) fn brief(round: usize) -> String {
    format!("{BRIEF}720p/{round}.ts")
}

/// The path of a segment that arrives 50 ms late; each round takes one that no cache has seen.
pub(crate) fn late(round: usize) -> String {
    format!("{LATE}720p/{round}.ts")
}

impl Origin {
    /// Starts an origin on a free port.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (stage, watch) = watch::channel(Stage::Nothing);
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = hits.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, watch.clone(), counted.clone()));
            }
        });
        Ok(Self { addr, stage, hits })
    }

    /// Requests since the last call.
    pub(crate) fn take_hits(&self) -> usize {
        self.hits.swap(0, Ordering::Relaxed)
    }
}

/// Answers the requests of one connection until it closes.
async fn serve(
    stream: TcpStream,
    mut stage: watch::Receiver<Stage>,
    hits: Arc<AtomicUsize>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(path) = read_request(&mut stream).await? {
        hits.fetch_add(1, Ordering::Relaxed);
        if path.starts_with(LATE) {
            tokio::time::sleep(LATE_BY).await;
        }
        let (length, is_held) = match path.as_str() {
            late if late.starts_with(LATE) => (SMALL_BYTES, false),
            SMALL => (SMALL_BYTES, false),
            LARGE => (LARGE_BYTES, false),
            _ => (LARGE_BYTES, true),
        };
        let body = vec![0x47; length];
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: video/mp2t\r\ncontent-length: {length}\r\n\
             cache-control: max-age=86400\r\netag: \"{length}\"\r\n\r\n"
        );
        let reach = async |stage: &mut watch::Receiver<Stage>, goal| {
            let reached = stage.wait_for(|&stage| !is_held || stage >= goal).await;
            reached.map(drop).map_err(io::Error::other)
        };
        let first_part = if path.starts_with(BRIEF) {
            SMALL_BYTES
        } else {
            FIRST_PART_BYTES
        };
        let (first, rest) = body.split_at(first_part.min(length));
        reach(&mut stage, Stage::FirstPart).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(first).await?;
        reach(&mut stage, Stage::Whole).await?;
        stream.write_all(rest).await?;
    }
    Ok(())
}

/// The path of the next request; `None` at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut path = None;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line == "\r\n" {
            return Ok(path);
        }
        path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
        line.clear();
    }
    Ok(None)
}
