//! The queue between the requests and the committer: waiting operations in the order of their arrival, and readers that
//! wait for a barrier. The queue is bounded in operations and bytes. What does not fit is refused at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::oneshot;

use super::log::News;
use crate::likes::limits::{Class, LikesLimits, Load, Shed};
use crate::likes::{Action, Change, Operation, Outcome};
use crate::time::Timestamp;

/// The outcome of a waiting operation. If the sender is dropped, the outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The operation is durable, with this outcome.
    Durable(Outcome),
    /// The operation never reached the log.
    Shed(Shed),
}

/// A waiting operation.
#[derive(Debug)]
pub struct Waiting {
    /// The operation.
    pub operation: Operation,
    /// The time of its arrival.
    pub since: Timestamp,
    /// Tells the request that waits for it.
    pub tell: oneshot::Sender<Told>,
}

/// The committer's next work.
#[derive(Debug, Default)]
pub struct Work {
    /// The operations that have waited longest.
    pub waiting: Vec<Waiting>,
    /// Readers that wait until everything durable before their request has been counted.
    pub barriers: Vec<oneshot::Sender<()>>,
    /// The position up to which the log may be trimmed.
    pub trim: u64,
    /// Others may have appended to the log.
    pub arrived: bool,
    /// The queue is closed and empty.
    pub ended: bool,
}

/// The queue of one shard.
#[derive(Debug)]
pub struct Queue {
    limits: LikesLimits,
    inner: Mutex<Inner>,
    wake: Condvar,
    depth: IntGauge,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    barriers: Vec<oneshot::Sender<()>>,
    load: Load,
    trim: u64,
    arrived: bool,
    /// The log reports that it cannot be reached.
    away: bool,
    /// It is not yet known whether the log has the last batch.
    in_doubt: bool,
    closed: bool,
}

impl Queue {
    /// An empty queue; `depth` shows the number of waiting operations.
    pub fn new(limits: LikesLimits, depth: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            limits,
            depth,
            inner: Mutex::default(),
            wake: Condvar::new(),
        })
    }

    /// Appends an operation to the queue.
    ///
    /// # Errors
    /// The operation is shed and has no effect.
    pub fn push(
        &self,
        operation: Operation,
        since: Timestamp,
    ) -> Result<oneshot::Receiver<Told>, Shed> {
        let bytes = operation.waiting_bytes();
        let class = match &operation.change {
            Change::Update(update) if matches!(update.action, Action::Hearts(_)) => Class::Hearts,
            _ => Class::Like,
        };
        let mut inner = self.lock();
        if inner.is_down() {
            return Err(Shed::Down);
        }
        self.limits.admit(&inner.load, class, bytes)?;
        let (tell, told) = oneshot::channel();
        inner.waiting.push_back(Waiting {
            operation,
            since,
            tell,
        });
        inner.load.queued_operations += 1;
        inner.load.queued_bytes += bytes;
        self.depth.inc();
        drop(inner);
        self.wake.notify_one();
        Ok(told)
    }

    /// A barrier: when it answers, everything that is durable now has been counted.
    ///
    /// # Errors
    /// The barrier is shed.
    pub fn barrier(&self) -> Result<oneshot::Receiver<()>, Shed> {
        let mut inner = self.lock();
        if inner.is_down() {
            return Err(Shed::Down);
        }
        self.limits.admit(&inner.load, Class::StrongRead, 0)?;
        let (tell, told) = oneshot::channel();
        inner.barriers.push(tell);
        drop(inner);
        self.wake.notify_one();
        Ok(told)
    }

    /// Allows the committer to trim the log up to `position`.
    pub fn may_trim(&self, position: u64) {
        let mut inner = self.lock();
        inner.trim = inner.trim.max(position);
        drop(inner);
        self.wake.notify_one();
    }

    /// Sets the load that the committer measures: lag, log and disk.
    pub fn set_load(&self, lag_operations: u64, log_bytes: u64, disk_free_bytes: u64) {
        let load = &mut self.lock().load;
        load.lag_operations = lag_operations;
        load.log_bytes = log_bytes;
        load.disk_free_bytes = disk_free_bytes;
    }

    /// Whether the log has its maximum size.
    pub fn log_is_full(&self) -> bool {
        self.lock().load.log_bytes >= self.limits.log_bytes_max
    }

    /// Waits for work, at most for `patience`, and takes it: at most `operations_max` operations.
    pub fn take(&self, operations_max: usize, patience: Duration) -> Work {
        let idle = |inner: &mut Inner| {
            inner.waiting.is_empty()
                && inner.barriers.is_empty()
                && !inner.closed
                && !inner.arrived
                && inner.trim == 0
        };
        let waited = self.wake.wait_timeout_while(self.lock(), patience, idle);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let count = inner.waiting.len().min(operations_max);
        let waiting: Vec<_> = inner.waiting.drain(..count).collect();
        let bytes: usize = waiting
            .iter()
            .map(|waiting| waiting.operation.waiting_bytes())
            .sum();
        inner.load.queued_operations -= count;
        inner.load.queued_bytes -= bytes;
        self.depth.sub(count as i64);
        Work {
            ended: inner.closed && inner.waiting.is_empty() && waiting.is_empty(),
            waiting,
            barriers: std::mem::take(&mut inner.barriers),
            trim: std::mem::take(&mut inner.trim),
            arrived: std::mem::take(&mut inner.arrived),
        }
    }

    /// Handles news of the log. While the log cannot be reached, all waiting and new requests are shed.
    pub fn hear(&self, news: News) {
        let mut inner = self.lock();
        match news {
            News::Arrived => inner.arrived = true,
            News::Away => {
                inner.away = true;
                self.shed_all(&mut inner);
            }
            News::Back => inner.away = false,
        }
        drop(inner);
        self.wake.notify_all();
    }

    /// Marks the last batch as in doubt: until [`known`](Self::known), it is unknown whether the log has it, and
    /// everything is shed.
    pub fn in_doubt(&self) {
        let mut inner = self.lock();
        inner.in_doubt = true;
        self.shed_all(&mut inner);
    }

    /// Ends the doubt.
    pub fn known(&self) {
        self.lock().in_doubt = false;
    }

    /// Waits for `pause`, or until the log can be reached again. Returns whether the queue has been closed.
    pub fn rest(&self, pause: Duration) -> bool {
        let mut inner = self.lock();
        let away = inner.away;
        let stays = |inner: &mut Inner| !inner.closed && (inner.away || !away);
        if stays(&mut inner) {
            let waited = self.wake.wait_timeout_while(inner, pause, stays);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.closed
    }

    /// Closes the queue for new operations. Waiting operations are still committed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Closes the queue, and tells each waiting sender that its operation never reached the log.
    pub fn fail(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.shed_all(&mut inner);
    }

    /// Sheds all waiting operations. None of them has reached the log.
    fn shed_all(&self, inner: &mut Inner) {
        inner.load.queued_operations = 0;
        inner.load.queued_bytes = 0;
        self.depth.set(0);
        inner.barriers.clear();
        for waiting in inner.waiting.drain(..) {
            let _ = waiting.tell.send(Told::Shed(Shed::Down));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_down(&self) -> bool {
        self.closed || self.away || self.in_doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::likes::Identity;

    const SOON: Duration = Duration::from_millis(1);

    fn small() -> Arc<Queue> {
        let limits = LikesLimits {
            queue_operations_max: 8,
            disk_free_bytes_min: 0,
            ..LikesLimits::default()
        };
        Queue::new(limits, depth())
    }

    fn depth() -> IntGauge {
        IntGauge::new("depth", "of tests").unwrap()
    }

    fn operation(sequence: u64, action: Action) -> Operation {
        Operation::update("demo", "ann", Identity::Sequence(sequence), action)
    }

    fn like(sequence: u64) -> Operation {
        operation(sequence, Action::Like)
    }

    #[test]
    fn first_in_first_out_and_one_too_many_is_shed() {
        let queue = small();
        let told: Vec<_> = (1..=8)
            .map(|sequence| queue.push(like(sequence), Timestamp::ZERO).unwrap())
            .collect();
        assert_eq!(
            queue.push(like(9), Timestamp::ZERO).unwrap_err(),
            Shed::QueueFull
        );
        let hearts = operation(1, Action::Hearts(1));
        assert_eq!(queue.take(3, SOON).waiting.len(), 3);
        assert_eq!(queue.push(hearts.clone(), Timestamp::ZERO).err(), None);
        assert_eq!(
            queue.push(hearts, Timestamp::ZERO).unwrap_err(),
            Shed::QueueFull,
            "hearts are shed when three quarters are taken"
        );
        let work = queue.take(100, SOON);
        let first = &work.waiting[0].operation;
        assert_eq!((first, work.waiting.len()), (&like(4), 6));
        assert_eq!(queue.depth.get(), 0);
        drop(told);
    }

    #[test]
    fn what_waits_when_it_closes_is_committed_and_when_it_fails_is_told_so() {
        let queue = small();
        let mut told = queue.push(like(1), Timestamp::ZERO).unwrap();
        queue.close();
        assert_eq!(
            queue.push(like(2), Timestamp::ZERO).unwrap_err(),
            Shed::Down
        );
        let work = queue.take(100, SOON);
        assert!(!work.ended && work.waiting.len() == 1);
        assert!(queue.take(100, SOON).ended);
        drop(work);
        assert!(told.try_recv().is_err(), "its outcome is unknown");

        let queue = small();
        let mut told = queue.push(like(1), Timestamp::ZERO).unwrap();
        let mut barrier = queue.barrier().unwrap();
        queue.fail();
        assert_eq!(told.try_recv(), Ok(Told::Shed(Shed::Down)));
        assert!(barrier.try_recv().is_err());
        assert!(queue.take(100, SOON).ended);
    }

    #[test]
    fn while_the_log_is_away_or_in_doubt_everything_is_shed_and_then_no_more() {
        let queue = small();
        let mut told = queue.push(like(1), Timestamp::ZERO).unwrap();
        queue.hear(News::Away);
        assert_eq!(told.try_recv(), Ok(Told::Shed(Shed::Down)));
        assert_eq!(queue.push(like(2), Timestamp::ZERO).err(), Some(Shed::Down));
        assert_eq!(queue.barrier().err(), Some(Shed::Down));
        queue.in_doubt();
        queue.hear(News::Back);
        assert_eq!(queue.push(like(2), Timestamp::ZERO).err(), Some(Shed::Down));
        queue.known();
        assert!(queue.push(like(2), Timestamp::ZERO).is_ok());
        assert_eq!(queue.take(100, SOON).waiting.len(), 1);
        assert!(!queue.take(100, SOON).arrived);
        queue.hear(News::Arrived);
        assert!(queue.take(100, SOON).arrived && !queue.take(100, SOON).arrived);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let one = like(1).waiting_bytes();
        let limits = LikesLimits {
            queue_bytes_max: 2 * one,
            disk_free_bytes_min: 0,
            ..LikesLimits::default()
        };
        let queue = Queue::new(limits, depth());
        for _ in 0..2 {
            queue.push(like(1), Timestamp::ZERO).unwrap();
        }
        assert_eq!(
            queue.push(like(1), Timestamp::ZERO).unwrap_err(),
            Shed::QueueFull
        );
        queue.take(1, SOON);
        assert_eq!(queue.push(like(1), Timestamp::ZERO).err(), None);
    }
}
