//! The compared servers: each in its own process in front of the same origin, ended when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use procfs::WithCurrentSystemInfo;
use procfs::process::Stat;
use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The address for viewers.
    pub(crate) addr: SocketAddr,
    process: Child,
    folder: TempDir,
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// `seawall edge` with its defaults, except for waits long enough for an origin that holds back.
    pub(crate) fn seawall(origin: SocketAddr) -> anyhow::Result<Self> {
        Self::seawall_with(origin, "flights")
    }

    /// The same with another miss queue.
    pub(crate) fn seawall_with(origin: SocketAddr, miss_queue: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("seawall.toml");
        fs::write(
            &config,
            "[edge.limits]\nsegment_wait_ms = 60000\nfirst_byte_ms = 60000\nprogress_ms = 60000\ntotal_ms = 60000\n",
        )?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(["edge", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--miss-queue", miss_queue])
            .args(["--upstream", &format!("http://{origin}"), "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `seawall edge`")?;
        let stdout = process.stdout.take().expect("it is piped");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let url = line.split_whitespace().nth(1);
        let addr = url
            .and_then(|url| url.strip_prefix("http://")?.parse().ok())
            .with_context(|| format!("`seawall edge` did not say where it listens: {line:?}"))?;
        Ok(Self {
            name: "Seawall",
            addr,
            process,
            folder,
            _stdout: Some(stdout),
        })
    }

    /// nginx with `proxy_cache` and everything that makes its hits cheap.
    pub(crate) fn nginx(origin: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // The port was free a moment ago, and another program is unlikely to take it before nginx does.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let at = folder.path().display();
        fs::write(
            folder.path().join("nginx.conf"),
            NGINX_CONF
                .replace("FOLDER", &at.to_string())
                .replace("LISTEN", &addr.to_string())
                .replace("ORIGIN", &origin.to_string()),
        )?;
        let process = nginx(&folder)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nginx; on Debian: apt-get install nginx-light")?;
        let mut server = Self {
            name: "nginx",
            addr,
            process,
            folder,
            _stdout: None,
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let ticks: u64 = self
            .stats()?
            .iter()
            .map(|stat| stat.utime + stat.stime)
            .sum();
        let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Resident memory of all its processes.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        let stats = self.stats()?;
        Ok(stats.iter().map(|stat| stat.rss_bytes().get()).sum())
    }

    /// The kernel's statistics of the process and of its children.
    fn stats(&self) -> anyhow::Result<Vec<Stat>> {
        let own = self.process.id() as i32;
        let stats: Vec<_> = procfs::process::all_processes()?
            // A process that ends meanwhile is not one of these.
            .filter_map(|process| process.ok()?.stat().ok())
            .filter(|stat| stat.pid == own || stat.ppid == own)
            .collect();
        ensure!(!stats.is_empty(), "{} has ended early", self.name);
        Ok(stats)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        for _ in 0..100 {
            if TcpStream::connect(self.addr).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                let log = fs::read_to_string(self.folder.path().join("error.log"));
                anyhow::bail!(
                    "{} ended with {status}: {}",
                    self.name,
                    log.unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("{} does not listen on {}", self.name, self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.folder.path().join("nginx.pid").exists() {
            // The workers would outlive a killed master, so the master must end them itself.
            let _ = nginx(&self.folder).args(["-s", "stop"]).status();
        } else {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// nginx with this program's settings.
fn nginx(folder: &TempDir) -> Command {
    let mut command = Command::new("nginx");
    command
        .env("PATH", path())
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .arg("-e")
        .arg(folder.path().join("error.log"))
        .stderr(Stdio::null());
    command
}

/// The search path for nginx, because Debian installs it outside of most users' path.
pub(crate) fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin")
}

const NGINX_CONF: &str = "\
daemon off;
user root;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log warn;
worker_processes 2;
events {
    worker_connections 8192;
}
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=1d;
    open_file_cache_valid 1d;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/temp;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    proxy_cache_path FOLDER/cache levels=1:2 keys_zone=live:16m max_size=512m inactive=1d use_temp_path=off;
    upstream origin {
        server ORIGIN;
        keepalive 16;
    }
    server {
        listen LISTEN reuseport backlog=4096;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_read_timeout 60s;
            proxy_cache live;
            proxy_cache_valid 200 1d;
            proxy_cache_lock on;
            proxy_cache_lock_age 60s;
            proxy_cache_lock_timeout 60s;
        }
    }
}
";
