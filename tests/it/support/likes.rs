//! An origin that keeps likes, and a viewer that sends them over one connection and records the answers.

use std::net::SocketAddr;
use std::path::Path;

use seawall::likes::LikesLimits;
use seawall::serve::clock::Clock;
use seawall::serve::http::listener;
use seawall::serve::likes::simulated::SimulatedLog;
use seawall::serve::likes::{self, Likes, Neighbours};
use seawall::serve::metrics::Registry;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::client::{self, Reply};
use super::program::Program;

/// The token of every origin in these tests.
pub(crate) const TOKEN: &str = "a-secret";

/// Limits for tests, because their disk may be small and their viewers are quick.
pub(crate) const EASY: &str = "disk_free_bytes_min = 0\nviewer_rate_max = 1000000";

/// A folder of segments whose origin knows channel `demo`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    describe(folder.path());
    folder
}

/// Describes channel `demo` in a folder of segments, so that an origin knows it.
pub(crate) fn describe(segments: &Path) {
    let channel = serde_json::json!({
        "name": "demo",
        "seed": 1,
        "layout": {
            "parts_per_segment": 6,
            "ladder": [{"name": "180p", "width": 320, "height": 180, "bitrate_bps": 190_000}],
        },
        "started_at": 1_700_000_000_000_u64,
    });
    let folder = segments.join("demo");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("channel.json"), channel.to_string()).unwrap();
}

/// Starts a real origin over this folder, with `likes` as its section of the configuration.
pub(crate) fn origin(segments: &Path, likes: &str) -> Program {
    Program::start(&mut origin_command(segments, likes))
}

/// The command that starts such an origin.
pub(crate) fn origin_command(segments: &Path, likes: &str) -> std::process::Command {
    let file = segments.join("seawall.toml");
    std::fs::write(&file, format!("[likes]\n{likes}\n")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    #[rustfmt::skip]
    command
        .args(["origin", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
        .arg(&file)
        .arg("--segments")
        .arg(segments)
        .env("SEAWALL_TOKEN", TOKEN);
    command
}

/// A metric of an admin listener, found by the start of its line.
pub(crate) async fn metric(admin: SocketAddr, series: &str) -> f64 {
    let reply = client::get(admin, "/metrics").await;
    let text = String::from_utf8(reply.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The body of a reply as JSON.
pub(crate) fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&reply.body)))
}

/// Sends one operation on a new connection.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    identity: &str,
    body: &str,
) -> Reply {
    let headers = format!("{identity}content-length: {}\r\n", body.len());
    client::request(addr, method, path, &headers, body.as_bytes()).await
}

/// Likes `demo` as this viewer.
pub(crate) async fn like(addr: SocketAddr, viewer: &str, sequence: u64) -> Reply {
    let path = format!("/live/demo/likes/{viewer}");
    send(addr, "PUT", &path, &format!("like-seq: {sequence}\r\n"), "").await
}

/// Sends hearts to `demo` under a key.
pub(crate) async fn hearts(addr: SocketAddr, viewer: &str, key: &str, count: u32) -> Reply {
    let body = format!("{{\"viewer\":\"{viewer}\",\"hearts\":{count}}}");
    let key = format!("idempotency-key: {key}\r\n");
    send(addr, "POST", "/live/demo/reactions", &key, &body).await
}

/// The counts of `demo` for a query.
pub(crate) async fn counts(addr: SocketAddr, query: &str) -> Value {
    let reply = client::get(addr, &format!("/live/demo/counts{query}")).await;
    assert_eq!(reply.status, 200, "{query}");
    json(&reply)
}

/// A viewer's connection, kept alive.
pub(crate) struct Line {
    addr: SocketAddr,
    stream: Option<TcpStream>,
}

impl Line {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None }
    }

    /// Sends a request and reads its answer; `None` if there is no answer, for any reason.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Option<Reply> {
        use tokio::io::AsyncWriteExt;
        if self.stream.is_none() {
            self.stream = TcpStream::connect(self.addr).await.ok();
        }
        let stream = self.stream.as_mut()?;
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        );
        let sent = stream.write_all(text.as_bytes()).await;
        let reply = match sent {
            Ok(()) => client::read_reply(stream, false).await,
            Err(_) => {
                self.stream = None;
                return None;
            }
        };
        if !reply.whole {
            self.stream = None;
        }
        reply.whole.then_some(reply)
    }
}

/// A node of likes over a log that fails as told, behind its own listener.
pub(crate) struct Simulated {
    pub(crate) log: SimulatedLog,
    pub(crate) addr: SocketAddr,
    registry: Registry,
    stop: CancellationToken,
}

impl Simulated {
    pub(crate) fn start(limits: LikesLimits) -> Self {
        Self::over(SimulatedLog::default(), limits)
    }

    pub(crate) fn over(log: SimulatedLog, limits: LikesLimits) -> Self {
        let registry = Registry::new(&[]);
        let mut config = likes::LikesConfig::new("nowhere".into());
        config.limits = LikesLimits {
            viewer_rate_max: 1_000_000,
            ..limits
        };
        let neighbours = Neighbours {
            on_air: Box::new(|channel| channel == "demo"),
            operator: None,
        };
        let node = Likes::over(
            vec![Box::new(log.clone())],
            &config,
            neighbours,
            Clock::start(),
            &registry,
        )
        .unwrap();
        let socket = listener::bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let addr = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let bounds = listener::ListenerLimits {
            methods: likes::METHODS,
            ..listener::ListenerLimits::default()
        };
        tokio::spawn(listener::serve(
            socket,
            likes::routes(Some(&node)),
            listener::nothing_at_once,
            bounds,
            None,
            stop.clone(),
        ));
        tokio::spawn(node.run_until(stop.clone()));
        Self {
            log,
            addr,
            registry,
            stop,
        }
    }

    /// The value of a series, found by the start of its line.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.registry.render()).unwrap();
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Operations that wait.
    pub(crate) fn queued(&self) -> u64 {
        self.metric("seawall_likes_queue_depth") as u64
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.log.go_on();
        self.stop.cancel();
    }
}
