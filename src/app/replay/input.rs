//! The bytes of a trace: a file or stdin, uncompressed on a thread of its own, so that Ctrl-C is noticed while nothing comes.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use tokio_util::sync::CancellationToken;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait to be read.
const WAITING_MAX: usize = 8;
/// The first bytes of gzip (RFC 1952, section 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// How soon an interruption is noticed.
const LOOK: Duration = Duration::from_millis(50);

/// A trace that is being read. The end of the reader's thread is that of the trace, or of the program.
pub(super) struct Input {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    stop: CancellationToken,
    read: Arc<AtomicU64>,
    /// The size of the file; `None` if it is no regular file.
    pub(super) bytes: Option<u64>,
}

/// What reading ends with when the user interrupts.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

impl Input {
    /// Opens a file, or stdin if the name is `-`.
    pub(super) fn open(name: &str, stop: CancellationToken) -> anyhow::Result<Self> {
        let mut bytes = None;
        let source: Box<dyn Read + Send> = if name == "-" {
            Box::new(io::stdin())
        } else {
            let facts = std::fs::metadata(name)
                .with_context(|| format!("cannot open {name:?}; - stands for stdin"))?;
            if facts.is_dir() {
                anyhow::bail!("{name:?} is a folder; name a file in it");
            }
            if facts.is_file() {
                bytes = Some(facts.len());
                Box::new(File::open(name).with_context(|| format!("cannot open {name:?}"))?)
            } else {
                Box::new(Pipe::Closed(name.to_owned()))
            }
        };
        let (sender, pieces) = sync_channel(WAITING_MAX);
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            source,
            read: Arc::clone(&read),
        };
        std::thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || send(counted, &sender))
            .context("cannot start the thread that reads the trace")?;
        Ok(Self {
            pieces,
            piece: Cursor::default(),
            stop,
            read,
            bytes,
        })
    }

    /// Bytes of the file that have been read.
    pub(super) fn position(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The next piece; `None` at the end.
    fn next(&self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.stop.is_cancelled() {
                return Err(io::Error::other(Interrupted));
            }
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => return piece.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 if into.is_empty() => return Ok(0),
                0 => {}
                count => return Ok(count),
            }
            match self.next()? {
                Some(piece) => self.piece = Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Sends what a source holds, uncompressed.
fn send(mut source: impl Read, pieces: &SyncSender<io::Result<Vec<u8>>>) {
    let mut head = Vec::new();
    let begun = source
        .by_ref()
        .take(GZIP.len() as u64)
        .read_to_end(&mut head);
    let is_gzip = head == GZIP;
    let all = Cursor::new(head).chain(source);
    let sent = match (begun, is_gzip) {
        (Err(error), _) => Err(error),
        (Ok(_), true) => send_all(
            MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, all)),
            pieces,
        ),
        (Ok(_), false) => send_all(all, pieces),
    };
    if let Err(error) = sent {
        // Without a reader there is nobody to be told.
        let _ = pieces.send(Err(error));
    }
}

/// Sends pieces as they come, so that a slow pipe is no slower for it.
fn send_all(mut source: impl Read, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = match source.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        piece.truncate(count);
        if count == 0 || pieces.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}

/// A pipe with a name. It is opened by the first read, because opening waits for a writer.
enum Pipe {
    Closed(String),
    Open(File),
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self {
                Self::Open(file) => return file.read(into),
                Self::Closed(name) => *self = Self::Open(File::open(name)?),
            }
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
