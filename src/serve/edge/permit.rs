//! Permits to ask the origin: how many requests go at once, which requests wait, and how long.
//!
//! Performs [`crate::policy::admission`]. A request that is let go owns a permit from that moment. Dropping the permit
//! lets the next request go.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::upstream::{OriginBound, Upstream, lock};
use crate::policy::admission::{Admission, Class, Ticket};
use crate::policy::status::Shed;

impl Upstream {
    /// A permit to ask the origin, at once or after a bounded wait in a bounded queue. `deserted` ends the wait when
    /// the flight is no longer wanted.
    ///
    /// # Errors
    /// The queue is full, the wait was too long, or all waiters have left.
    pub async fn permit(
        self: &Arc<Self>,
        class: Class,
        deserted: impl Future<Output = ()>,
    ) -> Result<Permit, Shed> {
        if self.bound == OriginBound::Unbounded {
            return Ok(Permit { taken: None });
        }
        let (waker, woken) = oneshot::channel();
        let ticket = match lock(&self.gate).ask(class, waker) {
            Admission::Go => return Ok(Permit::at(self, class)),
            Admission::Refused(shed) => return Err(shed),
            Admission::Queued(ticket) => ticket,
        };
        let mut queued = Queued {
            upstream: self.clone(),
            class,
            ticket: Some(ticket),
            woken,
        };
        tokio::select! {
            biased;
            woken = &mut queued.woken => match woken {
                Ok(()) => Ok(queued.admitted()),
                // A more urgent request has taken the place in the queue.
                Err(_) => {
                    queued.ticket = None;
                    Err(Shed::OriginQueueFull)
                }
            },
            () = tokio::time::sleep(self.limits.origin_queue_wait) => queued.leave(Shed::OriginQueueLate),
            () = deserted => queued.leave(Shed::Deserted),
        }
    }

    /// Number of flights of a class that wait for a permit.
    pub fn queue_depth(&self, class: Class) -> usize {
        lock(&self.gate).depth(class)
    }

    fn let_next_go(&self, class: Class) {
        if let Some(waker) = lock(&self.gate).done(class) {
            // A request that is let go owns the permit from now on, even if it gives up at this moment: then it passes
            // the permit on.
            let _ = waker.send(());
        }
    }
}

/// A permit to ask the origin; dropping it lets the next request go.
#[derive(Debug)]
pub struct Permit {
    /// `None` if requests are not bounded.
    taken: Option<(Arc<Upstream>, Class)>,
}

impl Permit {
    fn at(upstream: &Arc<Upstream>, class: Class) -> Self {
        Self {
            taken: Some((upstream.clone(), class)),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((upstream, class)) = &self.taken {
            upstream.let_next_go(*class);
        }
    }
}

/// A place in the queue for the origin; dropping it leaves the queue.
struct Queued {
    upstream: Arc<Upstream>,
    class: Class,
    ticket: Option<Ticket>,
    /// Woken when the request is let go; the sender is dropped when the request is displaced.
    woken: oneshot::Receiver<()>,
}

impl Queued {
    fn admitted(mut self) -> Permit {
        self.ticket = None;
        Permit::at(&self.upstream, self.class)
    }

    /// Leaves the queue for this reason, unless the request has been let go at the same moment.
    fn leave(mut self, why: Shed) -> Result<Permit, Shed> {
        let ticket = self.ticket.take().expect("it is taken once");
        let left = lock(&self.upstream.gate).give_up(ticket);
        match self.woken.try_recv() {
            Ok(()) => Ok(self.admitted()),
            Err(_) if left => Err(why),
            // Displaced.
            Err(_) => Err(Shed::OriginQueueFull),
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            lock(&self.upstream.gate).give_up(ticket);
            if self.woken.try_recv().is_ok() {
                self.upstream.let_next_go(self.class);
            }
        }
    }
}
