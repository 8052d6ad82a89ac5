//! One TCP connection as hyper reads and writes it, with two guards that hyper lacks.
//!
//! * **Write progress.** While there is something to write, the peer must take a minimum of bytes per interval; else the
//!   connection ends with `TimedOut`. Waiting for a flight writes nothing and is exempt.
//! * **Hang-up.** With `half_close(true)` hyper does not look at the socket while a handler waits. [`hung_up`] resolves
//!   when the peer has reset the connection, so that a waiting request can be dropped at once. A peer that has only
//!   closed its sending half (`FIN`) may still be reading, so its connection stays open.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

/// The least that a peer must take while there is something to write.
#[derive(Clone, Copy, Debug)]
pub struct WriteProgress {
    /// Bytes per interval.
    pub bytes_min: u64,
    /// The interval.
    pub interval: Duration,
}

/// An answer of at most this many bytes is written as one piece.
const SMALL: usize = 4_096;

/// A TCP stream that ends when its reader makes no progress.
#[derive(Debug)]
pub struct Connection {
    reader: OwnedReadHalf,
    writer: Arc<OwnedWriteHalf>,
    progress: WriteProgress,
    /// Runs from the first write that did not go through at once; `None` while no write is stuck.
    stuck: Option<Pin<Box<Sleep>>>,
    taken_bytes: u64,
}

/// Resolves when the peer has reset the connection.
pub async fn hung_up(writer: &OwnedWriteHalf) {
    // `ready` itself fails only when the runtime shuts down: the connection then ends with it.
    let _ = writer.ready(Interest::ERROR).await;
}

impl Connection {
    /// Puts the halves of a connected stream together.
    pub fn new(
        reader: OwnedReadHalf,
        writer: Arc<OwnedWriteHalf>,
        progress: WriteProgress,
    ) -> Self {
        Self {
            reader,
            writer,
            progress,
            stuck: None,
            taken_bytes: 0,
        }
    }

    /// Ready with an error once the peer has taken too little for too long.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let interval = self.progress.interval;
            let timer = self
                .stuck
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
            ready!(timer.as_mut().poll(cx));
            if self.taken_bytes < self.progress.bytes_min.max(1) {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the reader makes no progress",
                ));
            }
            self.unstick();
        }
    }

    fn unstick(&mut self) {
        self.stuck = None;
        self.taken_bytes = 0;
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let stream: &TcpStream = (*self.writer).as_ref();
            match stream.poll_write_ready(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => return self.poll_progress(cx).map(Err),
            }
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.taken_bytes = self.taken_bytes.saturating_add(count as u64);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Requests are small; a copy from the stack costs less than a buffer kept per connection.
        let mut scratch = [MaybeUninit::uninit(); 4_096];
        let room = scratch.len().min(buf.remaining());
        let mut read = ReadBuf::uninit(&mut scratch[..room]);
        ready!(Pin::new(&mut self.reader).poll_read(cx, &mut read))?;
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(buf))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Head and body of a small answer go as one piece: one copy costs less than a list of pieces costs the kernel.
        let total = bufs.iter().map(|buf| buf.len()).sum();
        if total <= SMALL {
            let mut whole = Vec::with_capacity(total);
            bufs.iter().for_each(|buf| whole.extend_from_slice(buf));
            return self.poll_write_with(cx, |stream| stream.try_write(&whole));
        }
        self.poll_write_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes once it has written all that it had, so no write is stuck any longer.
        self.unstick();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from((*self.writer).as_ref()).shutdown(Shutdown::Write))
    }
}
