//! The committer takes the waiting operations, makes them durable as one batch, and counts them. Only then it tells the
//! waiting senders.
//!
//! One thread per shard owns the log and the state, so nothing here is locked while the disk works. The committer never
//! waits for more operations: while it writes one batch, the next one gathers. So batches grow with the load.
//!
//! An append with an unknown outcome ends the shard. The senders of its batch learn that their outcome is unknown, and
//! all others are shed. The next start reads what the disk holds.
//!
//! Some logs count the same batch once, however often it is appended. There the batch is appended again until its
//! outcome is known. Meanwhile its senders learn after their deadline that the outcome is unknown, and all others are
//! shed.
//!
//! Where other processes append to the log too, their entries are counted as soon as they arrive.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::disk;
use super::figures::Figures;
use super::log::{AppendError, Entry, LikeLog, LogError, News};
use super::queue::{Queue, Told, Waiting};
use super::recovery::READ_BYTES;
use crate::likes::batch::{self, Encoder, Header};
use crate::likes::limits::{LikesLimits, Shed};
use crate::likes::{Batch, Effect, Operation, Outcome, State};
use crate::serve::clock::Clock;

/// How often an idle committer checks the disk.
const TICK: Duration = Duration::from_secs(1);
/// The first and the longest pause before an append is tried again. Half of it is random.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The parts of the committer of one shard.
pub struct Committer {
    /// The log, which makes batches durable.
    pub log: Box<dyn LikeLog>,
    /// The state after all counted entries.
    pub state: State,
    /// The waiting operations.
    pub queue: Arc<Queue>,
    /// The counts that readers see.
    pub board: Arc<Board>,
    /// The metrics.
    pub figures: Figures,
    /// The bounds.
    pub limits: LikesLimits,
    /// The folder whose disk must not fill up; `None` for a log that is on no disk of this machine.
    pub folder: Option<PathBuf>,
    /// The clock.
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
    #[error(
        "another process appends to the log under the name of this one: the folder has been copied; give every origin a \
         folder of its own with likes.dir"
    )]
    Twin,
}

/// Fails the queue when the thread ends, also by a panic, so that no sender waits for it any longer.
struct FailsAtEnd(Arc<Queue>);

/// The work that a committer has in hand.
#[derive(Default)]
struct Hand {
    /// The last batch of this life that is known to be in the log.
    number: u64,
    /// Operations that were taken from the queue and wait for the next batch.
    carried: Vec<Waiting>,
    /// The last batch was refused, and a warning has been logged.
    refused: bool,
}

impl Drop for FailsAtEnd {
    fn drop(&mut self) {
        self.0.fail();
    }
}

impl Committer {
    /// Sets the load and the metrics before the first request.
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
                "likes are off until the next start, which will read what the log holds; the stream goes on"
            );
        }
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        let queue = self.queue.clone();
        let tell = Arc::new(move |news| queue.hear(news));
        self.log.follow(self.state.position() + 1, tell);
        let mut hand = Hand::default();
        let mut trim = 0;
        loop {
            let patience = if hand.carried.is_empty() && trim == 0 {
                TICK
            } else {
                Duration::ZERO
            };
            let room = batch::OPERATIONS_MAX - hand.carried.len();
            let work = self.queue.take(room, patience);
            trim = trim.max(work.trim);
            hand.carried.extend(work.waiting);
            self.tell_load();
            if work.arrived {
                self.apply_arrived(hand.number)?;
            }
            if hand.carried.is_empty() && work.barriers.is_empty() && work.ended {
                return Ok(());
            }
            if !hand.carried.is_empty() {
                self.commit(&mut hand)?;
            }
            if !work.barriers.is_empty() {
                match self.catch_up(hand.number) {
                    Ok(()) => {
                        for barrier in work.barriers {
                            let _ = barrier.send(());
                        }
                    }
                    // The waiting readers get an error and may try again.
                    Err(Fatal::Log(LogError::Away(why))) => {
                        tracing::warn!(why, "the log of likes could not be asked how far it is");
                    }
                    Err(fatal) => return Err(fatal),
                }
            }
            if trim > 0 && !self.log.trim(trim)? {
                trim = 0;
            }
        }
    }

    /// Commits as many of the carried operations as fit into a batch. The others stay in `hand`.
    fn commit(&mut self, hand: &mut Hand) -> Result<(), Fatal> {
        if self.disk_is_low() {
            shed(std::mem::take(&mut hand.carried), Shed::DiskLow);
            return Ok(());
        }
        let mut encoder = Encoder::default();
        let fitting = hand
            .carried
            .iter()
            .take_while(|waiting| encoder.push(&waiting.operation))
            .count();
        let rest = hand.carried.split_off(fitting);
        let waiting = std::mem::replace(&mut hand.carried, rest);
        let facts = self.log.facts();
        let header = Header {
            writer: facts.writer,
            epoch: facts.epoch,
            number: hand.number + 1,
        };
        let begun = self.clock.now();
        let position = match self.append(&encoder.finish(header), hand)? {
            Ok(position) => position,
            Err(why) => {
                shed(waiting, why);
                return Ok(());
            }
        };
        hand.number += 1;
        let durable = self.clock.now();
        let sequence = self.state.sequence() + waiting.len() as u64;
        self.figures
            .committed(durable.since(begun), waiting.len(), sequence);
        let outcomes = self.apply_own(position, header, &waiting, hand)?;
        self.figures
            .applied(self.clock.now().since(durable), self.state.sequence());
        for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
            if outcome.effect == Effect::Duplicate {
                self.figures.duplicate_operation();
            }
            let _ = waiting.tell.send(Told::Durable(outcome));
        }
        Ok(())
    }

    /// Appends a batch until its outcome is known: its position, or the reason why it is certainly not in the log.
    fn append(&mut self, batch: &[u8], hand: &mut Hand) -> Result<Result<u64, Shed>, Fatal> {
        let mut pause = None;
        loop {
            let error = match self.log.append(batch) {
                Ok(position) => {
                    self.queue.known();
                    hand.refused = false;
                    return Ok(Ok(position));
                }
                Err(error) => error,
            };
            // After an attempt with unknown outcome, a refusal says nothing about that attempt.
            let why = match error {
                AppendError::Refused(_) if pause.is_none() => Shed::Down,
                AppendError::Full(_) if pause.is_none() => Shed::LogFull,
                AppendError::Unknown(_) => {
                    shed(std::mem::take(&mut hand.carried), Shed::Down);
                    return Err(error.into());
                }
                _ => {
                    self.wait(&mut pause, &error, hand)?;
                    continue;
                }
            };
            // Warn once per run of refusals.
            if !std::mem::replace(&mut hand.refused, true) {
                tracing::warn!(
                    %error,
                    "likes are refused, and those who send them are told to come back"
                );
            }
            return Ok(Err(why));
        }
    }

    /// Waits before the log is tried again, twice as long each time. Meanwhile everything except the batch in doubt is
    /// shed.
    fn wait(
        &self,
        pause: &mut Option<Duration>,
        why: &AppendError,
        hand: &mut Hand,
    ) -> Result<(), Fatal> {
        if pause.is_none() {
            tracing::warn!(%why, "the log is asked again until it is known; meanwhile likes are refused");
            self.queue.in_doubt();
            shed(std::mem::take(&mut hand.carried), Shed::Down);
        }
        let next = pause.map_or(PAUSE, |pause| PAUSE_MAX.min(pause * 2));
        *pause = Some(next);
        let drawn = next.mul_f64(0.5 + (crate::serve::chance::draw() % 1_000) as f64 / 2_000.0);
        if self.queue.rest(drawn) {
            return Err(AppendError::Unknown(why.to_string()).into());
        }
        Ok(())
    }

    /// Counts our own batch at `position`, after all entries before it.
    fn apply_own(
        &mut self,
        position: u64,
        header: Header,
        waiting: &[Waiting],
        hand: &mut Hand,
    ) -> Result<Vec<Outcome>, Fatal> {
        let last = self.state.position();
        if position <= last {
            return Err(Fatal::Fold(format!(
                "a new batch was put at {position}, and {last} entries have been counted: the log has lost its end"
            )));
        }
        let mut pause = None;
        while position > self.state.position() + 1 || pause.is_some() {
            // The entries before are another writer's, or this same batch twice. In the second case the first copy is
            // counted, and gives the answer.
            match self.apply_read(position, Some(header), header.number) {
                Err(Fatal::Log(LogError::Away(why))) => {
                    self.wait(&mut pause, &AppendError::AskAgain(why), hand)?;
                }
                read => {
                    self.queue.known();
                    return read;
                }
            }
        }
        let operations = waiting.iter().map(|waiting| &waiting.operation);
        self.apply(position, header, operations)
    }

    /// Counts all entries of the log up to `until`, and returns the outcomes of the batch `own`. Batches of this life
    /// are known up to `number`.
    fn apply_read(
        &mut self,
        until: u64,
        own: Option<Header>,
        number: u64,
    ) -> Result<Vec<Outcome>, Fatal> {
        let mut answer = Vec::new();
        while self.state.position() < until {
            let next = self.state.position() + 1;
            let entries = self.log.read_from(next, READ_BYTES)?;
            if entries.is_empty() {
                return Err(Fatal::Fold(format!("entry {next} is not there")));
            }
            for entry in entries {
                let (header, outcomes) = self.apply_entry(&entry, number)?;
                if Some(header) == own && answer.is_empty() {
                    answer = outcomes;
                }
            }
        }
        Ok(answer)
    }

    /// Counts some of the entries that others have appended and that have arrived. The rest follows in the next turn,
    /// so that waiting operations here get their turn too.
    fn apply_arrived(&mut self, number: u64) -> Result<(), Fatal> {
        let entries = self.log.arrived(self.state.position() + 1)?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            self.apply_entry(&entry, number)?;
        }
        let sequence = self.state.sequence();
        self.figures.sequences(sequence, sequence);
        self.queue.hear(News::Arrived);
        Ok(())
    }

    fn apply_entry(&mut self, entry: &Entry, number: u64) -> Result<(Header, Vec<Outcome>), Fatal> {
        let batch = Batch::decode(&entry.bytes)
            .map_err(|error| Fatal::Fold(format!("entry {}: {error}", entry.position)))?;
        let header = batch.header;
        let facts = self.log.facts();
        if header.writer == facts.writer && (header.epoch, header.number) > (facts.epoch, number) {
            return Err(Fatal::Twin);
        }
        let outcomes = self.apply(entry.position, header, &batch.operations)?;
        Ok((header, outcomes))
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
    fn catch_up(&mut self, number: u64) -> Result<(), Fatal> {
        let barrier = self.log.tail_barrier()?;
        let counted = self.state.position();
        if barrier < counted {
            return Err(Fatal::Log(LogError::Away(format!(
                "it is said to end with entry {barrier}, and {counted} have been counted"
            ))));
        }
        self.apply_read(barrier, None, number)?;
        let sequence = self.state.sequence();
        self.figures.sequences(sequence, sequence);
        Ok(())
    }

    fn tell_load(&self) {
        let free = self
            .folder
            .as_deref()
            .and_then(disk::free_bytes)
            .unwrap_or(u64::MAX);
        // The lag is always 0 here: a durable batch is counted before the next one is taken.
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
    use super::super::simulated::{LogFault, SimulatedLog};
    use super::*;
    use crate::likes::fold::Rules;
    use crate::likes::{Action, Identity};
    use crate::serve::metrics::Registry;
    use crate::time::Timestamp;

    /// One life of a committer. The log outlives it.
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
            let queue = Queue::new(LikesLimits::default(), figures.depth.clone());
            let board = Arc::new(Board::new(&state));
            let committer = Committer {
                log,
                state,
                queue: queue.clone(),
                board: board.clone(),
                figures,
                limits: LikesLimits::default(),
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
        Operation::update("demo", "ann", Identity::Key(key.into()), Action::Hearts(1))
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
    fn what_comes_while_a_batch_is_written_is_the_next_batch_and_no_sender_hears_before_it_is_durable()
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
        log.inject([LogFault::Doubled]);
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
        log.inject([LogFault::Refused]);
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
    fn an_append_with_an_unknown_outcome_ends_the_shard_and_a_retry_counts_once() {
        for (fault, known) in [
            (LogFault::Unconfirmed, Effect::Duplicate),
            (LogFault::Dropped, Effect::Counted),
        ] {
            let log = SimulatedLog::default();
            log.inject([fault]);
            log.stall();
            let life = Life::begin(&log).unwrap();
            let unknown = life.send(hearts("a")).unwrap();
            until("the first append", || log.appends() == 1);
            let behind = life.send(hearts("b")).unwrap();
            log.go_on();
            assert!(unknown.blocking_recv().is_err(), "its outcome is unknown");
            assert_eq!(behind.blocking_recv(), Ok(Told::Shed(Shed::Down)));
            assert_eq!(life.send(hearts("c")).unwrap_err(), Shed::Down);
            assert!(life.queue.barrier().is_err());
            life.end();
            let again = Life::begin(&log).unwrap();
            assert_eq!(
                effect(again.send(hearts("a")).unwrap()),
                Some(known),
                "{fault:?}"
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
        log.inject([LogFault::Torn(50)]);
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

    #[test]
    fn a_batch_in_doubt_is_appended_again_until_it_is_known_and_counts_once() {
        for fault in [LogFault::AskAgain, LogFault::AskAgainKept] {
            let log = SimulatedLog::default();
            // A refusal after the doubt says nothing about the first attempt.
            log.inject([fault, LogFault::Refused, LogFault::None]);
            log.stall();
            let life = Life::begin(&log).unwrap();
            let first = life.send(hearts("a")).unwrap();
            until("the first append", || log.appends() == 1);
            let behind = life.send(hearts("b")).unwrap();
            log.go_on();
            assert_eq!(behind.blocking_recv(), Ok(Told::Shed(Shed::Down)));
            assert_eq!(effect(first), Some(Effect::Counted), "{fault:?}");
            assert_eq!(log.appends(), 3);
            assert_eq!(
                effect(life.send(hearts("b")).unwrap()),
                Some(Effect::Counted)
            );
            assert_eq!(life.board.counts("demo").hearts, 2);
            life.end();
            let again = Life::begin(&log).unwrap();
            assert_eq!(again.board.counts("demo").hearts, 2);
            again.end();
        }
    }

    #[test]
    fn a_full_log_sheds_by_that_name_and_a_queue_that_closes_in_doubt_ends() {
        let log = SimulatedLog::default();
        log.inject([LogFault::Full]);
        let life = Life::begin(&log).unwrap();
        let told = life.send(hearts("a")).unwrap().blocking_recv();
        assert_eq!(told, Ok(Told::Shed(Shed::LogFull)));
        log.inject(std::iter::repeat_n(LogFault::AskAgain, 1_000));
        let unknown = life.send(hearts("a")).unwrap();
        until("a second attempt", || log.appends() > 2);
        life.end();
        assert!(unknown.blocking_recv().is_err(), "its outcome is unknown");
    }

    /// A batch of another writer.
    fn elsewhere(writer: u64, epoch: u64, number: u64, key: &str) -> Vec<u8> {
        let header = Header {
            writer,
            epoch,
            number,
        };
        let operations = vec![hearts(key)];
        Batch { header, operations }.encode().unwrap()
    }

    #[test]
    fn what_others_append_is_counted_as_it_comes_and_stands_before_what_follows() {
        let log = SimulatedLog::default();
        let life = Life::begin(&log).unwrap();
        assert_eq!(
            effect(life.send(hearts("a")).unwrap()),
            Some(Effect::Counted)
        );
        log.append_elsewhere(&elsewhere(7, 1, 1, "b"));
        until("it is counted", || life.board.counts("demo").hearts == 2);
        log.append_silently(&elsewhere(7, 1, 2, "c"));
        assert_eq!(
            effect(life.send(hearts("c")).unwrap()),
            Some(Effect::Duplicate)
        );
        assert_eq!(life.board.counts("demo").hearts, 3);
        log.append_silently(&elsewhere(7, 1, 3, "d"));
        assert_eq!(life.queue.barrier().unwrap().blocking_recv(), Ok(()));
        assert_eq!(life.board.counts("demo").hearts, 4);
        life.end();
    }

    #[test]
    fn a_twin_that_appends_under_the_same_name_ends_the_shard() {
        let log = SimulatedLog::default();
        let life = Life::begin(&log).unwrap();
        let facts = log.facts();
        assert_eq!(
            effect(life.send(hearts("a")).unwrap()),
            Some(Effect::Counted)
        );
        log.append_elsewhere(&elsewhere(facts.writer, facts.epoch + 1, 2, "b"));
        until("it has ended", || life.thread.is_finished());
        assert_eq!(life.board.counts("demo").hearts, 1);
        assert_eq!(life.send(hearts("c")).unwrap_err(), Shed::Down);
        life.end();
    }

    fn fault() -> impl Strategy<Value = LogFault> {
        prop_oneof![
            4 => Just(LogFault::None),
            1 => Just(LogFault::Refused),
            1 => Just(LogFault::Dropped),
            1 => Just(LogFault::Unconfirmed),
            1 => Just(LogFault::Doubled),
            1 => Just(LogFault::AskAgain),
            1 => Just(LogFault::AskAgainKept),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Invariants 1, 2, 5: a like that is sent again until it is acknowledged has exactly one effect, whatever the log does.
        #[test]
        fn every_heart_that_is_sent_until_it_is_acknowledged_counts_exactly_once(
            faults in prop::collection::vec(fault(), 0..24),
            count in 1..30_u64,
        ) {
            let log = SimulatedLog::default();
            log.inject(faults);
            let mut life = Life::begin(&log).unwrap();
            let (mut left, mut acknowledged): (Vec<u64>, u64) = ((0..count).collect(), 0);
            while !left.is_empty() {
                // Send several at a time, so that a batch holds more than one.
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
