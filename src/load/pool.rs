//! How a viewer reaches an edge: over its own connection, or over one of a pool that all viewers share.

use std::sync::Mutex;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::Connection;
use super::edge::EdgeAddress;

/// Connections to one edge. Each is lent for one request, in the order of asking.
pub(super) struct Pool {
    edge: EdgeAddress,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// At most `size` connections at once, made when they are needed.
    pub(super) fn new(edge: EdgeAddress, size: usize) -> Self {
        Self {
            edge,
            places: Semaphore::new(size),
            idle: Mutex::new(Vec::with_capacity(size)),
        }
    }

    /// A connection, as soon as one is free.
    pub(super) async fn borrow(&self) -> Lent<'_> {
        let place = self.places.acquire().await;
        // The connection that was used last, because the edge is most likely to have kept it open.
        let kept = self.lock().pop();
        let connection = kept.unwrap_or_else(|| Connection::new(&self.edge));
        Lent {
            pool: self,
            connection: Some(connection),
            _place: place.expect("it is never closed"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

/// A connection of a pool; it goes back when this is dropped.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    _place: SemaphorePermit<'a>,
}

impl Lent<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it goes back at the end")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.lock().extend(self.connection.take());
    }
}
