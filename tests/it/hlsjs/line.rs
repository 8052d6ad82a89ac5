//! A simulated line with a given bandwidth in front of an edge. It notes every request that passes.
//!
//! Requests pass without delay. Answers leave one packet after another at the speed of the line, over all connections. So, as
//! on a viewer's last mile, a playlist waits for its share while a segment arrives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::serve::clock::Clock;
use seawall::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that leave at once: the payload of an Ethernet packet.
const PACKET_BYTES: usize = 1_448;
/// Timers wake up late. If a packet leaves late, later packets make up for it, up to this limit.
const LATE_MAX: Duration = Duration::from_millis(10);

/// A line; it ends with the runtime of the test.
pub(super) struct Line {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
}

/// A request, as it was noted.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) at: Timestamp,
    pub(super) path: String,
}

struct Shared {
    clock: Clock,
    /// `None`: at the speed of loopback.
    bandwidth_bps: Option<u64>,
    asked: Mutex<Vec<Asked>>,
    /// When the last packet will have left the line.
    free_at: Mutex<Timestamp>,
}

impl Line {
    /// Opens a line to `edge`.
    pub(super) async fn to(edge: SocketAddr, bandwidth_bps: Option<u64>, clock: Clock) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = door.local_addr().unwrap();
        let shared = Arc::new(Shared {
            clock,
            bandwidth_bps,
            asked: Mutex::default(),
            free_at: Mutex::new(Timestamp::ZERO),
        });
        let line = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((viewer, _)) = door.accept().await {
                let upstream = TcpStream::connect(edge).await.unwrap();
                upstream.set_nodelay(true).unwrap();
                viewer.set_nodelay(true).unwrap();
                let (from_viewer, to_viewer) = viewer.into_split();
                let (from_edge, to_edge) = upstream.into_split();
                tokio::spawn(Arc::clone(&line).carry_requests(from_viewer, to_edge));
                tokio::spawn(Arc::clone(&line).carry_answers(from_edge, to_viewer));
            }
        });
        Self { addr, shared }
    }

    /// Every request so far, sorted by time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    /// Forwards until the viewer closes. A player's requests have no body, so an empty line ends each request.
    async fn carry_requests(self: Arc<Self>, mut viewer: OwnedReadHalf, mut edge: OwnedWriteHalf) {
        let mut head = Vec::new();
        let mut piece = [0; 4_096];
        while let Ok(count @ 1..) = viewer.read(&mut piece).await {
            head.extend_from_slice(&piece[..count]);
            while let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                self.note(&head[..end]);
                head.drain(..end + 4);
            }
            if edge.write_all(&piece[..count]).await.is_err() {
                return;
            }
        }
    }

    fn note(&self, head: &[u8]) {
        let head = String::from_utf8_lossy(head);
        if let Some(path) = head
            .strip_prefix("GET ")
            .and_then(|rest| rest.split(' ').next())
        {
            let at = self.clock.now();
            let path = path.to_owned();
            self.asked.lock().unwrap().push(Asked { at, path });
        }
    }

    /// Forwards until one of the two sides closes.
    async fn carry_answers(self: Arc<Self>, mut edge: OwnedReadHalf, mut viewer: OwnedWriteHalf) {
        let mut packet = [0; PACKET_BYTES];
        while let Ok(count @ 1..) = edge.read(&mut packet).await {
            if let Some(bps) = self.bandwidth_bps {
                let left_at = self.send(count, bps);
                tokio::time::sleep_until(self.clock.instant(left_at)).await;
            }
            if viewer.write_all(&packet[..count]).await.is_err() {
                return;
            }
        }
    }

    /// Gives a packet to the line. Returns when the packet has left it.
    fn send(&self, bytes: usize, bps: u64) -> Timestamp {
        let takes = Duration::from_nanos(bytes as u64 * 8 * 1_000_000_000 / bps);
        let now = self.clock.now().since(Timestamp::ZERO);
        let idle_since = Timestamp::ZERO + now.saturating_sub(LATE_MAX);
        let mut free_at = self.free_at.lock().unwrap();
        *free_at = (*free_at).max(idle_since) + takes;
        *free_at
    }
}
