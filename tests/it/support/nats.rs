//! NATS servers that a test starts, kills, stops for a while and starts again, on their own ports and in their own folders.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::jetstream;

use super::program::Program;

/// The direction of a copy.
#[derive(Clone, Copy)]
pub(crate) enum Copy {
    Out,
    Back,
}

/// A server.
pub(crate) struct Nats {
    program: Option<Program>,
    folder: tempfile::TempDir,
    /// Its name, and the lines of its configuration except those of its ports.
    name: String,
    more: String,
    port: u16,
    monitor: u16,
}

impl Nats {
    /// Starts a server with JetStream, on any free ports.
    pub(crate) async fn start() -> Self {
        let mut nats = Self::new("n1", "");
        nats.start_again().await;
        nats
    }

    /// A server that has not been started.
    pub(crate) fn new(name: &str, more: &str) -> Self {
        Self {
            program: None,
            folder: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
            more: more.to_owned(),
            port: 0,
            monitor: 0,
        }
    }

    /// Starts the server and waits until it is ready. If it had ports before, it takes them again.
    pub(crate) async fn start_again(&mut self) {
        let free = |port: u16| match port {
            0 => "-1".to_owned(),
            port => port.to_string(),
        };
        let folder = self.folder.path();
        let settings = format!(
            "server_name: {}\nlisten: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\nports_file_dir: {:?}\n\
             jetstream {{ store_dir: {:?}, max_file_store: 1GB }}\n{}\n",
            self.name,
            free(self.port),
            free(self.monitor),
            folder,
            folder,
            self.more,
        );
        let file = folder.join("nats.conf");
        std::fs::write(&file, settings).unwrap();
        let program = Program::start(Command::new("nats-server").arg("-c").arg(&file));
        program.logs("Server is ready").await;
        let ports = folder.join(format!("nats-server_{}.ports", program.id()));
        let ports = read_soon(&ports).await;
        self.port = port(&ports["nats"][0]);
        self.monitor = port(&ports["monitoring"][0]);
        self.program = Some(program);
    }

    /// Copies the server's data to `place`, or puts a copy back. The server must not run.
    pub(crate) fn copy(&self, place: &Path, direction: Copy) {
        assert!(self.program.is_none());
        let store = self.folder.path().join("jetstream");
        let (from, to) = match direction {
            Copy::Out => (store.as_path(), place),
            Copy::Back => (place, store.as_path()),
        };
        let _ = std::fs::remove_dir_all(to);
        let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
        assert!(copied.unwrap().success());
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The URL of its monitoring port.
    pub(crate) fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }

    /// Ends the server like `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let program = self.program.take().unwrap();
        program.kill();
        program.ended().await;
    }

    /// Stops the server: it keeps its connections and no longer answers.
    pub(crate) async fn pause(&self) {
        self.program.as_ref().unwrap().pause().await;
    }

    /// Lets the server go on.
    pub(crate) fn go_on(&self) {
        self.program.as_ref().unwrap().signal("CONT");
    }

    /// A separate client, for an operator's actions.
    pub(crate) async fn operator(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }

    /// The section of an origin's configuration that keeps likes on this server.
    pub(crate) fn likes(&self) -> String {
        self.likes_with("allow_unsynced_ack = true")
    }

    /// The same section with other lines at its end.
    pub(crate) fn likes_with(&self, more: &str) -> String {
        format!(
            "disk_free_bytes_min = 0\nviewer_rate_max = 1000000\nbackend = \"jetstream\"\n[likes.jetstream]\n\
             servers = [{:?}]\nreplicas = 1\nmax_bytes = 67108864\nmonitor = [{:?}]\n{more}",
            self.url(),
            self.monitor()
        )
    }
}

/// The port at the end of a URL.
fn port(url: &serde_json::Value) -> u16 {
    let url = url.as_str().unwrap();
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// A document that will soon be written.
async fn read_soon(path: &Path) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Ok(read) = serde_json::from_str(&text) {
            return read;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{} was never written",
            path.display()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
