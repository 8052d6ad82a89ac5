//! A log of answered requests, one JSON object per line. It is off unless a file is named, and it may be sampled.
//!
//! A request hands its line to a thread and goes on. If the thread can't keep up, lines are dropped and counted, and no
//! viewer waits. The query is not logged, because it may hold a viewer's secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use prometheus::IntCounter;
use serde::Serialize;

use crate::time::UnixTime;

/// Number of lines that may wait for the disk; the next is dropped.
const WAITING_MAX: usize = 8_192;

/// Where requests are logged, and how many of them.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLogConfig {
    /// The file; lines are appended.
    pub path: PathBuf,
    /// One of this many requests is logged; 1 logs all of them.
    pub one_of: u64,
}

/// Why requests can't be logged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the access log {path:?}: {source}; choose another file with edge.access_log")]
pub struct Unwritable {
    path: PathBuf,
    source: io::Error,
}

/// One answered request.
#[derive(Debug, Serialize)]
pub(in crate::serve::edge) struct LogLine<'a> {
    pub(in crate::serve::edge) at_unix_ms: UnixTime,
    pub(in crate::serve::edge) edge: &'a str,
    pub(in crate::serve::edge) method: &'a str,
    pub(in crate::serve::edge) path: &'a str,
    pub(in crate::serve::edge) status: u16,
    pub(in crate::serve::edge) result: &'static str,
    /// Body bytes that the head announced.
    pub(in crate::serve::edge) bytes: u64,
    /// Time from the request to the head of its answer.
    pub(in crate::serve::edge) head_ms: f64,
}

/// An open log. Its thread ends when the log is dropped.
#[derive(Debug)]
pub(in crate::serve::edge) struct AccessLog {
    lines: SyncSender<Vec<u8>>,
    one_of: u64,
    seen: AtomicU64,
    dropped: IntCounter,
}

impl AccessLog {
    pub(in crate::serve::edge) fn open(
        config: &AccessLogConfig,
        dropped: IntCounter,
    ) -> Result<Self, Unwritable> {
        let unwritable = |source| Unwritable {
            path: config.path.clone(),
            source,
        };
        let file = append(&config.path).map_err(unwritable)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&waiting, file))
            .map_err(unwritable)?;
        Ok(Self {
            lines,
            one_of: config.one_of.max(1),
            seen: AtomicU64::new(0),
            dropped,
        })
    }

    /// Logs a request, if the sample includes it.
    pub(in crate::serve::edge) fn note<'a>(&self, line: impl FnOnce() -> LogLine<'a>) {
        if !self
            .seen
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(self.one_of)
        {
            return;
        }
        let mut bytes = serde_json::to_vec(&line()).expect("a line is plain values");
        bytes.push(b'\n');
        if self.lines.try_send(bytes).is_err() {
            self.dropped.inc();
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes lines as they come, and flushes when no line waits.
fn write(waiting: &Receiver<Vec<u8>>, file: File) {
    let mut file = BufWriter::new(file);
    let mut told = false;
    while let Ok(line) = waiting.recv() {
        let mut wrote = file.write_all(&line);
        while let Ok(line) = waiting.try_recv() {
            wrote = wrote.and_then(|()| file.write_all(&line));
        }
        let wrote = wrote.and_then(|()| file.flush());
        if let (Err(error), false) = (wrote, told) {
            told = true;
            tracing::error!(%error, "the access log cannot be written; viewers are served on");
        }
    }
}
