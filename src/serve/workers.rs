//! Threads that serve connections or viewers, one current-thread runtime each: a task never moves to another thread.
//!
//! On tokio's shared runtime a task that becomes ready may be stolen, and idle threads are woken to steal it. For many
//! short answers that costs more than it gains. A connection stays on the worker that it was given, and the listener
//! spreads connections evenly. A fetch runs where it began, on the worker of its leader; it outlives that viewer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, RuntimeMetrics};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where connections are served, or simulated viewers run.
#[derive(Clone, Debug)]
pub enum Workers {
    /// On the runtime that accepts the connections or starts the viewers.
    Here,
    /// On threads of their own.
    Threads(Arc<Threads>),
}

/// A fixed number of threads; they end when the last handle is dropped.
#[derive(Debug)]
pub struct Threads {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
    _stop: DropGuard,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system gives no thread, or no epoll instance.
    pub fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut runtimes = Vec::with_capacity(count);
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtimes.push(runtime.handle().clone());
            let stop = stop.clone();
            // Ends with the token, which is cancelled when the last handle is dropped.
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || runtime.block_on(stop.cancelled()))?;
        }
        Ok(Self::Threads(Arc::new(Threads {
            runtimes,
            next: AtomicUsize::new(0),
            _stop: stop.drop_guard(),
        })))
    }

    /// A runtime for each thread: the thread's own, or the shared runtime as often as it has threads.
    pub fn runtimes(&self) -> Vec<Handle> {
        match self {
            Self::Here => {
                let here = Handle::current();
                vec![here.clone(); here.metrics().num_workers()]
            }
            Self::Threads(threads) => threads.runtimes.clone(),
        }
    }

    /// The figures of the runtimes that are the threads' own.
    pub(super) fn metrics(&self) -> Vec<RuntimeMetrics> {
        match self {
            Self::Here => Vec::new(),
            Self::Threads(threads) => threads.runtimes.iter().map(Handle::metrics).collect(),
        }
    }

    /// The runtime for the next connection, in turn.
    pub(super) fn next(&self) -> Handle {
        match self {
            Self::Here => Handle::current(),
            Self::Threads(threads) => {
                let turn = threads.next.fetch_add(1, Ordering::Relaxed);
                threads.runtimes[turn % threads.runtimes.len()].clone()
            }
        }
    }
}
