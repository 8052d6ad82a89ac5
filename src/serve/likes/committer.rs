//! The one who commits: takes what waits, makes it durable as one batch, counts it, and only then tells whoever waited.
//!
//! One thread per shard owns the log and the state, so nothing here is locked while the disk works. It lingers for nobody:
//! while one batch is written the next one gathers, so batches grow with the load. An append of which nobody knows ends the
//! shard: who waited for it hears nothing, all others that it was shed, and the next start reads what the disk holds.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::disk;
use super::figures::Figures;
use super::log::{AppendError, LikeLog, LogError};
use super::queue::{Queue, Told, Waiting};
use super::recovery::READ_BYTES;
use crate::likes::batch::{self, Encoder, Header};
use crate::likes::limits::{Limits, Shed};
use crate::likes::{Batch, Effect, Operation, Outcome, State};
use crate::serve::clock::Clock;

/// How often an idle committer looks at the disk.
const TICK: Duration = Duration::from_secs(1);

/// All that commits for one shard.
pub struct Committer {
    /// Where batches become durable.
    pub log: Box<dyn LikeLog>,
    /// What they come to.
    pub state: State,
    /// What waits.
    pub queue: Arc<Queue>,
    /// What readers see.
    pub board: Arc<Board>,
    /// What is counted.
    pub figures: Figures,
    /// The bounds.
    pub limits: Limits,
    /// The folder whose disk must not fill up; none for a log that is on no disk.
    pub folder: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
}

/// Why a shard has ended before it was told to.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("the log holds something else than was written: {0}")]
    Fold(String),
}

/// Whatever ends the thread, a panic too, nobody waits for it any more.
struct FailsAtEnd(Arc<Queue>);

impl Drop for FailsAtEnd {
    fn drop(&mut self) {
        self.0.fail();
    }
}

impl Committer {
    /// Says what there is before anybody asks.
    pub fn prepare(&self) {
        self.tell_load();
        self.figures.fsync_before_ack(self.log.facts());
        self.figures
            .sequences(self.state.sequence(), self.state.sequence());
    }

    /// Commits until the queue is closed and empty, or the log fails.
    pub fn run(mut self) {
        let _nobody_waits = FailsAtEnd(self.queue.clone());
        if let Err(fatal) = self.serve() {
            self.figures.failed();
            tracing::error!(
                error = %fatal,
                "likes are off until the next start, which will read what the disk holds; the stream goes on"
            );
        }
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        let mut number = 0;
        let mut carried: Vec<Waiting> = Vec::new();
        let mut trim = 0;
        loop {
            let patience = if carried.is_empty() && trim == 0 {
                TICK
            } else {
                Duration::ZERO
            };
            let work = self
                .queue
                .take(batch::OPERATIONS_MAX - carried.len(), patience);
            trim = trim.max(work.trim);
            carried.extend(work.waiting);
            self.tell_load();
            if carried.is_empty() && work.barriers.is_empty() && work.ended {
                return Ok(());
            }
            if !carried.is_empty() {
                carried = self.commit(carried, &mut number)?;
            }
            if !work.barriers.is_empty() {
                self.catch_up()?;
                for barrier in work.barriers {
                    let _ = barrier.send(());
                }
            }
            if trim > 0 && !self.log.trim(trim)? {
                trim = 0;
            }
        }
    }

    /// Commits as many operations as a batch holds, and returns the others.
    fn commit(
        &mut self,
        mut waiting: Vec<Waiting>,
        number: &mut u64,
    ) -> Result<Vec<Waiting>, Fatal> {
        if self.disk_is_low() {
            shed(waiting, Shed::DiskLow);
            return Ok(Vec::new());
        }
        let mut encoder = Encoder::default();
        let fitting = waiting
            .iter()
            .take_while(|waiting| encoder.push(&waiting.operation))
            .count();
        let rest = waiting.split_off(fitting);
        let facts = self.log.facts();
        let header = Header {
            writer: facts.writer,
            epoch: facts.epoch,
            number: *number + 1,
        };
        let begun = self.clock.now();
        let position = match self.log.append(&encoder.finish(header)) {
            Ok(position) => position,
            Err(AppendError::Refused(why)) => {
                tracing::warn!(
                    why,
                    "a batch of likes was refused, and those who sent it were told to come back"
                );
                shed(waiting, Shed::Down);
                return Ok(rest);
            }
            Err(unknown) => {
                shed(rest, Shed::Down);
                return Err(unknown.into());
            }
        };
        *number += 1;
        let durable = self.clock.now();
        let sequence = self.state.sequence() + waiting.len() as u64;
        self.figures
            .committed(durable.since(begun), waiting.len(), sequence);
        let outcomes = self.apply_own(position, header, &waiting)?;
        self.figures
            .applied(self.clock.now().since(durable), self.state.sequence());
        for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
            if outcome.effect == Effect::Duplicate {
                self.figures.duplicate_operation();
            }
            let _ = waiting.tell.send(Told::Durable(outcome));
        }
        Ok(rest)
    }

    /// Counts a batch that stands at `position`, behind whatever the log holds before it.
    fn apply_own(
        &mut self,
        position: u64,
        header: Header,
        waiting: &[Waiting],
    ) -> Result<Vec<Outcome>, Fatal> {
        if position > self.state.position() + 1 {
            // Somebody else's, or this very batch twice: then the first of them is counted, and that is the answer.
            return self.apply_read(position, header);
        }
        let operations = waiting.iter().map(|waiting| &waiting.operation);
        self.apply(position, header, operations)
    }

    /// Counts all that the log holds up to `until`, and returns what came of the batch with this header.
    fn apply_read(&mut self, until: u64, own: Header) -> Result<Vec<Outcome>, Fatal> {
        let mut answer = Vec::new();
        while self.state.position() < until {
            let next = self.state.position() + 1;
            let entries = self.log.read_from(next, READ_BYTES)?;
            if entries.is_empty() {
                return Err(Fatal::Fold(format!("entry {next} is not there")));
            }
            for entry in entries {
                let batch = Batch::decode(&entry.bytes)
                    .map_err(|error| Fatal::Fold(format!("entry {}: {error}", entry.position)))?;
                let outcomes = self.apply(entry.position, batch.header, &batch.operations)?;
                if batch.header == own && answer.is_empty() {
                    answer = outcomes;
                }
            }
        }
        Ok(answer)
    }

    fn apply<'a>(
        &mut self,
        position: u64,
        header: Header,
        operations: impl IntoIterator<Item = &'a Operation> + Clone,
    ) -> Result<Vec<Outcome>, Fatal> {
        let outcomes = self
            .state
            .apply(position, header, operations.clone())
            .map_err(|error| Fatal::Fold(format!("entry {position}: {error}")))?;
        if outcomes.is_empty() {
            self.figures.duplicate_batch();
        }
        let named: HashSet<_> = operations
            .into_iter()
            .map(|operation| &operation.channel)
            .collect();
        for channel in named {
            if let Some(counts) = self.state.counts(channel) {
                self.board.show(channel, counts);
            }
        }
        self.board.applied(self.state.sequence());
        Ok(outcomes)
    }

    /// Counts everything that is durable now.
    fn catch_up(&mut self) -> Result<(), Fatal> {
        let barrier = self.log.tail_barrier()?;
        let facts = self.log.facts();
        let nobody = Header {
            writer: facts.writer,
            epoch: 0,
            number: 0,
        };
        self.apply_read(barrier, nobody).map(drop)
    }

    fn tell_load(&self) {
        let free = self
            .folder
            .as_deref()
            .and_then(disk::free_bytes)
            .unwrap_or(u64::MAX);
        // Nothing is durable here that has not been counted: both happen before anything else is taken.
        self.queue.set_load(0, self.log.facts().bytes, free);
    }

    fn disk_is_low(&self) -> bool {
        let free = self.folder.as_deref().and_then(disk::free_bytes);
        free.is_some_and(|free| free < self.limits.disk_free_bytes_min)
    }
}

fn shed(waiting: Vec<Waiting>, why: Shed) {
    for waiting in waiting {
        let _ = waiting.tell.send(Told::Shed(why));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::oneshot::Receiver;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::super::figures::Answers;
    use super::super::recovery::{self, RecoveryError};
    use super::super::simulated::{SimulatedLog, Trouble};
    use super::*;
    use crate::likes::fold::Rules;
    use crate::likes::{Action, Identity};
    use crate::serve::metrics::Registry;
    use crate::time::Timestamp;

    /// One life of a committer over a log that outlives it.
    struct Life {
        queue: Arc<Queue>,
        board: Arc<Board>,
        thread: std::thread::JoinHandle<()>,
    }

    impl Life {
        fn begin(log: &SimulatedLog) -> Result<Self, RecoveryError> {
            let mut log: Box<dyn LikeLog> = Box::new(log.next_life());
            let facts = log.facts();
            let state = recovery::recover(&mut *log, &facts, None, Rules::default())?;
            let registry = Registry::new(&[]);
            let figures = Figures::new(&registry, &Answers::new(&registry), 0);
            let queue = Queue::new(Limits::default(), figures.depth.clone());
            let board = Arc::new(Board::new(&state));
            let committer = Committer {
                log,
                state,
                queue: queue.clone(),
                board: board.clone(),
                figures,
                limits: Limits::default(),
                folder: None,
                clock: Clock::start(),
            };
            committer.prepare();
            let thread = std::thread::spawn(|| committer.run());
            Ok(Self {
                queue,
                board,
                thread,
            })
        }

        fn send(&self, operation: Operation) -> Result<Receiver<Told>, Shed> {
            self.queue.push(operation, Timestamp::ZERO)
        }

        fn end(self) {
            self.queue.close();
            self.thread.join().unwrap();
        }
    }

    fn like(viewer: &str) -> Operation {
        Operation::update("demo", viewer, Identity::Sequence(1), Action::Like)
    }

    fn hearts(key: &str) -> Operation {
        Operation::update("demo", "ann", Identity::Key(key.into()), Action::Taps(1))
    }

    fn effect(told: Receiver<Told>) -> Option<Effect> {
        match told.blocking_recv() {
            Ok(Told::Durable(outcome)) => Some(outcome.effect),
            Ok(Told::Shed(_)) | Err(_) => None,
        }
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        for _ in 0..5_000 {
            if condition() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("never: {what}");
    }

    #[test]
    fn what_comes_while_a_batch_is_written_is_the_next_batch_and_nobody_hears_before_it_is_durable()
    {
        let log = SimulatedLog::default();
        log.stall();
        let life = Life::begin(&log).unwrap();
        let mut first = life.send(like("v0")).unwrap();
        until("the first append", || log.appends() == 1);
        let others: Vec<_> = (1..=100)
            .map(|viewer| life.send(like(&format!("v{viewer}"))).unwrap())
            .collect();
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(life.board.counts("demo").likes, 0);
        log.go_on();
        assert_eq!(effect(first), Some(Effect::Counted));
        for other in others {
            assert_eq!(effect(other), Some(Effect::Counted));
        }
        assert_eq!(log.appends(), 2);
        assert_eq!(life.board.counts("demo").likes, 101);
        life.end();
    }

    #[test]
    fn a_batch_that_the_log_holds_twice_counts_once() {
        let log = SimulatedLog::default();
        log.trouble([Trouble::Doubled]);
        let life = Life::begin(&log).unwrap();
        assert_eq!(
            effect(life.send(hearts("a")).unwrap()),
            Some(Effect::Counted)
        );
        assert_eq!(
            effect(life.send(hearts("b")).unwrap()),
            Some(Effect::Counted)
        );
        let counts = life.board.counts("demo");
        assert_eq!((counts.hearts, counts.seq), (2, 2));
        life.end();
        let again = Life::begin(&log).unwrap();
        assert_eq!(again.board.counts("demo"), counts);
        again.end();
    }

    #[test]
    fn what_the_log_refuses_has_no_effect_and_the_next_batch_takes_its_number() {
        let log = SimulatedLog::default();
        log.trouble([Trouble::Refused]);
        let life = Life::begin(&log).unwrap();
        let told = life.send(hearts("a")).unwrap().blocking_recv();
        assert_eq!(told, Ok(Told::Shed(Shed::Down)));
        assert_eq!(
            effect(life.send(hearts("a")).unwrap()),
            Some(Effect::Counted)
        );
        life.end();
        let again = Life::begin(&log).unwrap();
        assert_eq!(again.board.counts("demo").hearts, 1);
        again.end();
    }

    #[test]
    fn an_append_of_which_nobody_knows_ends_the_shard_and_a_retry_counts_once() {
        for (trouble, known) in [
            (Trouble::Unconfirmed, Effect::Duplicate),
            (Trouble::Dropped, Effect::Counted),
        ] {
            let log = SimulatedLog::default();
            log.trouble([trouble]);
            log.stall();
            let life = Life::begin(&log).unwrap();
            let unknown = life.send(hearts("a")).unwrap();
            until("the first append", || log.appends() == 1);
            let behind = life.send(hearts("b")).unwrap();
            log.go_on();
            assert!(unknown.blocking_recv().is_err(), "nobody knows");
            assert_eq!(behind.blocking_recv(), Ok(Told::Shed(Shed::Down)));
            assert_eq!(life.send(hearts("c")).unwrap_err(), Shed::Down);
            assert!(life.queue.barrier().is_err());
            life.end();
            let again = Life::begin(&log).unwrap();
            assert_eq!(
                effect(again.send(hearts("a")).unwrap()),
                Some(known),
                "{trouble:?}"
            );
            assert_eq!(again.board.counts("demo").hearts, 1);
            again.end();
        }
    }

    #[test]
    fn a_torn_batch_is_named_at_the_next_start() {
        let log = SimulatedLog::default();
        let life = Life::begin(&log).unwrap();
        assert_eq!(
            effect(life.send(hearts("a")).unwrap()),
            Some(Effect::Counted)
        );
        log.trouble([Trouble::Torn(50)]);
        assert_eq!(effect(life.send(hearts("b")).unwrap()), None);
        life.end();
        let error = Life::begin(&log).err().unwrap();
        assert!(
            matches!(error, RecoveryError::Damaged { position: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("--at 2"), "{error}");
    }

    #[test]
    fn a_barrier_waits_for_the_batch_that_is_being_written() {
        let log = SimulatedLog::default();
        log.stall();
        let life = Life::begin(&log).unwrap();
        let first = life.send(like("ann")).unwrap();
        until("the first append", || log.appends() == 1);
        let mut barrier = life.queue.barrier().unwrap();
        assert_eq!(barrier.try_recv(), Err(TryRecvError::Empty));
        log.go_on();
        assert_eq!(barrier.blocking_recv(), Ok(()));
        assert_eq!(life.board.counts("demo").likes, 1);
        assert_eq!(effect(first), Some(Effect::Counted));
        life.end();
    }

    fn trouble() -> impl Strategy<Value = Trouble> {
        prop_oneof![
            4 => Just(Trouble::None),
            1 => Just(Trouble::Refused),
            1 => Just(Trouble::Dropped),
            1 => Just(Trouble::Unconfirmed),
            1 => Just(Trouble::Doubled),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Invariants 1, 2, 5: whoever sends again until it is acknowledged has exactly one effect, whatever the log does.
        #[test]
        fn every_heart_that_is_sent_until_it_is_acknowledged_counts_exactly_once(
            troubles in prop::collection::vec(trouble(), 0..24),
            count in 1..30_u64,
        ) {
            let log = SimulatedLog::default();
            log.trouble(troubles);
            let mut life = Life::begin(&log).unwrap();
            let (mut left, mut acknowledged): (Vec<u64>, u64) = ((0..count).collect(), 0);
            while !left.is_empty() {
                // Several at a time, so that batches hold more than one.
                let sent: Vec<_> = left
                    .iter()
                    .take(7)
                    .map(|&key| (key, life.send(hearts(&key.to_string()))))
                    .collect();
                let mut down = false;
                for (key, told) in sent {
                    let told = told.ok().map(Receiver::blocking_recv);
                    if let Some(Ok(Told::Durable(_))) = told {
                        left.retain(|&other| other != key);
                        acknowledged += 1;
                        prop_assert!(life.board.counts("demo").hearts >= acknowledged);
                    } else {
                        down = true;
                    }
                }
                if down && life.thread.is_finished() {
                    life.end();
                    life = Life::begin(&log).unwrap();
                    prop_assert!(life.board.counts("demo").hearts >= acknowledged, "acknowledged and lost");
                }
            }
            prop_assert_eq!(life.board.counts("demo").hearts, count);
            life.end();
            let again = Life::begin(&log).unwrap();
            prop_assert_eq!(again.board.counts("demo").hearts, count);
            again.end();
        }
    }
}
