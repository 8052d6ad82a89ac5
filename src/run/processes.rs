//! `seawall up --processes`: the same components, each in its own process, so that one can be killed, stopped or watched alone.
//!
//! Every part is this program with the same configuration in a temporary file. The logs of the parts pass through. If a part
//! ends early, the program reports it and does not start it again, because a user who killed it wants to see the effect. Ctrl-C
//! or SIGTERM ends all parts, first those that viewers ask. Each part reads a pipe from this process. If this process is
//! killed, the pipe closes, and the part ends by itself. Through the pipe the origin learns which edges exist, so that a
//! Prometheus finds them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::target::{Role, Target};
use crate::hls::names::LivePath;
use crate::terminal;

/// Set in the environment of a part, so that the part ends when its stdin ends.
pub const ENDS_WITH_STDIN: &str = "SEAWALL_ENDS_WITH_STDIN";

/// Maximum time until a part prints where it listens.
const START: Duration = Duration::from_secs(15);
/// Maximum time for a part to end: its drain and a little more.
const END: Duration = Duration::from_secs(12);

/// Starts origin, broadcaster and edges as processes, and ends them with `stop`.
///
/// # Errors
/// A part does not start; its own error is on stderr.
pub async fn up(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("seawall-").tempdir()?;
    let file = folder.path().join("seawall.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    let start = Start {
        file: file
            .to_str()
            .context("the folder for temporary files has no readable name")?,
        token: token(),
    };
    let origin_at = config.origin.listen.to_string();
    let origin_admin = config.origin.admin.to_string();
    let origin = ["origin", "--listen", &origin_at, "--admin", &origin_admin];
    let origin = [&origin[..], &["--ingest", "127.0.0.1:0"]].concat();
    let (mut origin, told) = start
        .part("origin", &origin, &["origin", "admin", "ingest"])
        .await?;
    let [origin_url, origin_admin, ingest] = &told[..] else {
        bail!("the origin did not say where it listens");
    };
    let (broadcaster, _) = start
        .part("broadcaster", &["broadcast", "--to", ingest], &[])
        .await?;
    let mut edges = Vec::new();
    let mut urls = Vec::new();
    for index in 0..config.edge.count as u16 {
        let name = format!("{}-{}", config.edge.name, index + 1);
        let above = |addr: std::net::SocketAddr| match addr.port() {
            0 => addr.to_string(),
            port => format!("{}:{}", addr.ip(), port.saturating_add(index)),
        };
        let (listen, admin) = (above(config.edge.listen), above(config.edge.admin));
        let edge = [
            "edge", "--name", &name, "--listen", &listen, "--admin", &admin,
        ];
        let edge = [&edge[..], &["--upstream", origin_url]].concat();
        let (part, told) = start.part(&name, &edge, &[&name, "admin"]).await?;
        let address = told[1].trim_start_matches("http://").to_owned();
        let known = Target {
            role: Role::Edge,
            name: name.clone(),
            address,
        };
        origin.tell(&String::from(known)).await;
        let id = part.child.id().unwrap_or(0);
        edges.push(part);
        urls.push((name, told[0].clone(), told[1].clone(), id));
    }
    terminal::print(&welcome(&config, origin_url, origin_admin, &urls))?;
    let mut parts = vec![origin, broadcaster];
    parts.append(&mut edges);
    watch(&mut parts, &stop).await;
    end(parts).await;
    Ok(())
}

/// A process of this program.
pub(crate) struct Part {
    name: String,
    pub(crate) child: Child,
}

/// The common settings of every part.
pub(crate) struct Start<'a> {
    pub(crate) file: &'a str,
    pub(crate) token: String,
}

impl Start<'_> {
    /// Starts a part and reads from its stdout the URLs after `labels`.
    pub(crate) async fn part(
        &self,
        name: &str,
        arguments: &[&str],
        labels: &[&str],
    ) -> anyhow::Result<(Part, Vec<String>)> {
        let program = std::env::current_exe().context("cannot find this very program")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            // Environment variables for a whole cluster are in the file already, and may be meant for another part.
            let name = name.to_string_lossy();
            if name.starts_with("SEAWALL_") && name != "SEAWALL_LOG" {
                command.env_remove(name.as_ref());
            }
        }
        let mut child = command
            .args(arguments)
            .args(["--config", self.file])
            .env("SEAWALL_TOKEN", &self.token)
            .env(ENDS_WITH_STDIN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C does not end a part; the parts are told to end one after another.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("its stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut found = Vec::new();
        let reading = async {
            for label in labels {
                while let Some(line) = lines.next_line().await? {
                    let mut words = line.split_whitespace();
                    if words.next() == Some(label)
                        && let Some(url) = words.next().filter(|word| word.starts_with("http://"))
                    {
                        found.push(url.to_owned());
                        break;
                    }
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(START, reading)
            .await
            .with_context(|| format!("{name} does not say where it listens"))??;
        if found.len() < labels.len() {
            bail!("{name} has ended at its start; what it said stands above");
        }
        // The task ends with the part. It reads all further output, because a full pipe would block the part.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let name = name.to_owned();
        Ok((Part { name, child }, found))
    }
}

/// Reports parts that end early, until `stop`.
async fn watch(parts: &mut Vec<Part>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let mut index = 0;
        while index < parts.len() {
            match parts[index].child.try_wait() {
                Ok(Some(status)) => {
                    let part = parts.remove(index);
                    tracing::warn!("{} has ended ({status}); the others go on", part.name);
                }
                _ => index += 1,
            }
        }
        let _ = stop
            .run_until_cancelled(tokio::time::sleep(Duration::from_millis(200)))
            .await;
    }
}

/// Ends the parts one after another, the last first.
async fn end(mut parts: Vec<Part>) {
    parts.reverse();
    for mut part in parts {
        part.end().await;
    }
}

impl Part {
    /// Writes a line to the part. A part that has ended gets none; its end is reported elsewhere.
    pub(crate) async fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
        }
    }

    /// Sends the part a signal; a part that has ended gets none.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id as i32));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends the part gracefully; a part that does not end is killed.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::TERM);
        // A stopped process (SIGSTOP) does not handle SIGTERM until it continues.
        self.signal(Signal::CONT);
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            tracing::warn!("{} does not end and is killed", self.name);
            let _ = self.child.kill().await;
        }
    }
}

/// A secret token for one cluster.
pub(crate) fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    (0..2)
        .map(|_| format!("{:016x}", RandomState::new().hash_one(0_u8)))
        .collect()
}

fn welcome(
    config: &Config,
    origin: &str,
    origin_admin: &str,
    edges: &[(String, String, String, u32)],
) -> String {
    let channel = &config.channel.name;
    let path = LivePath::Multivariant { channel }.to_string();
    let mut text = format!("\nOn air: channel {channel:?}, each part a process of its own.\n\n");
    for (name, url, admin, id) in edges {
        text += &format!("  {name:<8} {url}{path}   metrics {admin}/metrics   process {id}\n");
    }
    text += &format!(
        "  {:<8} {origin}{path}   metrics {origin_admin}/metrics\n\n\
         A Prometheus finds all of them at {origin_admin}/-/targets.\n\n",
        "origin"
    );
    if let Some((name, url, _, id)) = edges.first() {
        text += &format!(
            "Watch it:\n  ffplay -hide_banner -autoexit {url}{path}\nEnd {name} at once:\n  kill -9 {id}\n\n\
             Ctrl-C ends all of it.\n"
        );
    }
    text
}
