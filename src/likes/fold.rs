//! The fold: entries of a log applied one by one, in log order, to the counts of every channel.
//!
//! - Each operation of each new batch takes the next sequence number, whether it counts or not: numbers have no gap.
//! - A batch that was applied already (the same writer, epoch and number) changes nothing and takes no number.
//! - A like counts if its sequence is newer than the viewer's last. Hearts count if their number is new.
//! - The log alone decides, so every replay ends in the same state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Header;
use super::keys::{Digest, Keys};
use super::operation::{Action, Change, Identity, Operation, Update};
use super::window::{Seen, Window};

/// Bounds that belong to the fold: a log must be replayed under the bounds under which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Maximum number of viewers that one channel remembers.
    pub viewers_per_channel_max: usize,
    /// Maximum number of channels in one log.
    pub channels_max: usize,
    /// Maximum number of idempotency keys that are remembered, over all channels of one log.
    pub keys_max: usize,
    /// Maximum number of writers of one log.
    pub writers_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            viewers_per_channel_max: 2_000_000,
            channels_max: 1_024,
            keys_max: 262_144,
            writers_max: 1_024,
        }
    }
}

/// The state after all entries so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(super) rules: Rules,
    pub(super) position: u64,
    pub(super) sequence: u64,
    pub(super) writers: BTreeMap<u64, Life>,
    pub(super) keys: Keys,
    pub(super) channels: HashMap<Arc<str>, Channel>,
}

/// The last batch of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channel {
    /// The last operation for this channel.
    pub(super) sequence: u64,
    pub(super) closed: bool,
    pub(super) likes: u64,
    pub(super) hearts: u64,
    pub(super) viewers: HashMap<Box<str>, Viewer>,
}

/// The facts that a channel remembers of a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Viewer {
    /// The newest numbered like or unlike; 0 if there is none yet.
    pub(super) sequence: u64,
    pub(super) likes: bool,
    pub(super) hearts: Window,
}

/// The counts of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Viewers whose last accepted operation is a like.
    pub likes: u64,
    /// The sum of hearts.
    pub hearts: u64,
    /// The last operation that these counts include. It grows with every operation for the channel.
    pub seq: u64,
}

/// One viewer at one channel, for an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Liker {
    /// The viewer.
    pub viewer: String,
    /// Whether the last accepted operation is a like.
    pub likes: bool,
    /// The number of the last numbered like or unlike; 0 if there is none.
    pub sequence: u64,
}

/// The outcome of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The place of the operation in the order of all operations of this log, from 1.
    pub sequence: u64,
    /// What the operation did.
    pub effect: Effect,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operation counts.
    Counted,
    /// This operation, or a newer one of the same viewer, was counted before. It changes nothing.
    Duplicate,
    /// Another operation was sent under the same identity. This one changes nothing.
    Conflict,
    /// Its number is more than 63 behind the viewer's newest, so it is unknown whether it was counted. It changes
    /// nothing.
    TooOld,
    /// The channel no longer takes updates. The operation changes nothing.
    Closed,
    /// There is no space for another viewer or channel. The operation changes nothing.
    Full,
}

/// Why an entry cannot be applied: the log is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Entries before this one are missing.
    #[error("entry {expected} is missing: {found} follows")]
    Gap {
        /// The entry that should come next.
        expected: u64,
        /// The entry that came.
        found: u64,
    },
    /// An earlier batch of the same writer is missing.
    #[error(
        "batch {number} of writer {writer:016x} in its life {epoch} follows batch {last}: one is missing"
    )]
    BatchMissing {
        /// The writer.
        writer: u64,
        /// The life of that writer.
        epoch: u64,
        /// The batch that came.
        number: u64,
        /// The last batch before it.
        last: u64,
    },
    /// The log has more writers than the bound allows.
    #[error("more than {0} writers have written to this log")]
    Writers(usize),
}

impl State {
    /// An empty state under these rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// The last entry that the state includes; 0 if none.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The last operation that the state includes; 0 if none.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The last life of a writer; 0 if it has written nothing.
    pub fn epoch_of(&self, writer: u64) -> u64 {
        self.writers.get(&writer).map_or(0, |life| life.epoch)
    }

    /// Whether this writer may write: it has written before, or there is space for another.
    pub fn admits_writer(&self, writer: u64) -> bool {
        self.writers.contains_key(&writer) || self.writers.len() < self.rules.writers_max
    }

    /// The counts of a channel; `None` before its first operation.
    pub fn counts(&self, channel: &str) -> Option<Counts> {
        self.channels.get(channel).map(Channel::counts)
    }

    /// Every channel and its counts, by name.
    pub fn all_counts(&self) -> Vec<(Arc<str>, Counts)> {
        let mut all: Vec<_> = self
            .channels
            .iter()
            .map(|(name, channel)| (name.clone(), channel.counts()))
            .collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Whether a channel no longer takes updates.
    pub fn is_closed(&self, channel: &str) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| channel.closed)
    }

    /// The viewers that a channel remembers, by name.
    pub fn likers(&self, channel: &str) -> Vec<Liker> {
        let viewers = self.channels.get(channel).map(|channel| &channel.viewers);
        let mut likers: Vec<_> = viewers
            .into_iter()
            .flatten()
            .map(|(name, viewer)| Liker {
                viewer: name.to_string(),
                likes: viewer.likes,
                sequence: viewer.sequence,
            })
            .collect();
        likers.sort_unstable_by(|a, b| a.viewer.cmp(&b.viewer));
        likers
    }

    /// Applies the entry at `position`, and returns the outcome of each operation. The list is empty if the batch was
    /// applied before.
    ///
    /// # Errors
    /// An earlier entry or batch is missing, or there are too many writers. Then nothing has changed.
    pub fn apply<'a>(
        &mut self,
        position: u64,
        header: Header,
        operations: impl IntoIterator<Item = &'a Operation>,
    ) -> Result<Vec<Outcome>, FoldError> {
        let expected = self.position + 1;
        if position != expected {
            return Err(FoldError::Gap {
                expected,
                found: position,
            });
        }
        let again = self.is_again(header)?;
        self.position = position;
        if again {
            return Ok(Vec::new());
        }
        let life = Life {
            epoch: header.epoch,
            number: header.number,
        };
        self.writers.insert(header.writer, life);
        let outcomes = operations.into_iter().map(|operation| {
            self.sequence += 1;
            Outcome {
                sequence: self.sequence,
                effect: self.operate(operation),
            }
        });
        Ok(outcomes.collect())
    }

    /// Whether a batch was applied before, or belongs to an earlier life of its writer. A late batch of an earlier life
    /// was never acknowledged.
    fn is_again(&self, header: Header) -> Result<bool, FoldError> {
        let Header {
            writer,
            epoch,
            number,
        } = header;
        let last = match self.writers.get(&writer) {
            None if self.writers.len() >= self.rules.writers_max => {
                return Err(FoldError::Writers(self.rules.writers_max));
            }
            None => 0,
            Some(life) if epoch < life.epoch => return Ok(true),
            Some(life) if epoch > life.epoch => 0,
            Some(life) if number <= life.number => return Ok(true),
            Some(life) => life.number,
        };
        if number != last + 1 {
            return Err(FoldError::BatchMissing {
                writer,
                epoch,
                number,
                last,
            });
        }
        Ok(false)
    }

    fn operate(&mut self, operation: &Operation) -> Effect {
        let name = &operation.channel;
        if !self.channels.contains_key(name) {
            if self.channels.len() >= self.rules.channels_max {
                return Effect::Full;
            }
            self.channels.insert(name.clone(), Channel::default());
        }
        let channel = self.channels.get_mut(name).expect("it is there by now");
        channel.sequence = self.sequence;
        match &operation.change {
            Change::Close => channel.closed = true,
            Change::Reopen => channel.closed = false,
            Change::Update(update) => {
                return match &update.identity {
                    Identity::Sequence(sequence) => {
                        channel.numbered(update, *sequence, self.rules.viewers_per_channel_max)
                    }
                    Identity::Key(key) => {
                        let digest = Keys::digest(name, &update.viewer, key);
                        channel.keyed(update, digest, &mut self.keys, self.rules)
                    }
                };
            }
        }
        Effect::Counted
    }
}

impl Channel {
    fn counts(&self) -> Counts {
        Counts {
            likes: self.likes,
            hearts: self.hearts,
            seq: self.sequence,
        }
    }

    fn numbered(&mut self, update: &Update, sequence: u64, viewers_max: usize) -> Effect {
        let known = self
            .viewers
            .get(&update.viewer)
            .copied()
            .unwrap_or_default();
        let seen = match update.action {
            Action::Hearts(count) => known.hearts.judge(sequence, count),
            Action::Like | Action::Unlike if sequence > known.sequence => Seen::New,
            action if sequence == known.sequence && (action == Action::Like) != known.likes => {
                Seen::Other
            }
            Action::Like | Action::Unlike => Seen::Again,
        };
        match seen {
            Seen::Again => Effect::Duplicate,
            Seen::Other => Effect::Conflict,
            Seen::TooOld => Effect::TooOld,
            Seen::New => self.count(update, Some(sequence), viewers_max),
        }
    }

    fn keyed(&mut self, update: &Update, digest: Digest, keys: &mut Keys, rules: Rules) -> Effect {
        match keys.get(&digest) {
            Some(action) if action == update.action => Effect::Duplicate,
            Some(_) => Effect::Conflict,
            None => {
                let effect = self.count(update, None, rules.viewers_per_channel_max);
                if effect == Effect::Counted {
                    keys.remember(digest, update.action, rules.keys_max);
                }
                effect
            }
        }
    }

    /// Applies an update that was not counted before, if the channel is open and has space.
    fn count(&mut self, update: &Update, sequence: Option<u64>, viewers_max: usize) -> Effect {
        if self.closed {
            return Effect::Closed;
        }
        if let (Action::Hearts(count), None) = (update.action, sequence) {
            self.hearts += u64::from(count);
            return Effect::Counted;
        }
        if !self.viewers.contains_key(&update.viewer) {
            if self.viewers.len() >= viewers_max {
                return Effect::Full;
            }
            self.viewers
                .insert(update.viewer.clone(), Viewer::default());
        }
        let viewer = self
            .viewers
            .get_mut(&update.viewer)
            .expect("it is there by now");
        if let Action::Hearts(count) = update.action {
            viewer.hearts.mark(sequence.unwrap_or_default(), count);
            self.hearts += u64::from(count);
            return Effect::Counted;
        }
        let likes = update.action == Action::Like;
        match (viewer.likes, likes) {
            (false, true) => self.likes += 1,
            (true, false) => self.likes -= 1,
            _ => {}
        }
        viewer.likes = likes;
        viewer.sequence = sequence.unwrap_or(viewer.sequence);
        Effect::Counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64) -> Header {
        Header {
            writer: 1,
            epoch: 1,
            number,
        }
    }

    /// Applies one operation as a batch of its own, in one life of one writer.
    fn effect(state: &mut State, operation: Operation) -> Effect {
        let next = state.position() + 1;
        let number = state.writers.get(&1).map_or(1, |life| life.number + 1);
        let outcomes = state.apply(next, header(number), &[operation]).unwrap();
        assert_eq!(outcomes[0].sequence, state.sequence());
        outcomes[0].effect
    }

    fn numbered(viewer: &str, sequence: u64, action: Action) -> Operation {
        Operation::update("demo", viewer, Identity::Sequence(sequence), action)
    }

    fn keyed(viewer: &str, key: &str, action: Action) -> Operation {
        Operation::update("demo", viewer, Identity::Key(key.into()), action)
    }

    fn turned(change: Change) -> Operation {
        Operation {
            channel: "demo".into(),
            change,
        }
    }

    #[test]
    fn a_like_counts_once_and_the_newest_number_wins() {
        use Action::{Like, Unlike};
        let mut state = State::default();
        for (sequence, action, expected, likes) in [
            (1, Like, Effect::Counted, 1),
            (1, Like, Effect::Duplicate, 1),
            (1, Unlike, Effect::Conflict, 1),
            (5, Unlike, Effect::Counted, 0),
            (3, Like, Effect::Duplicate, 0),
            (6, Like, Effect::Counted, 1),
            (7, Like, Effect::Counted, 1),
        ] {
            let found = effect(&mut state, numbered("ann", sequence, action));
            assert_eq!(
                (found, state.counts("demo").unwrap().likes),
                (expected, likes),
                "{sequence} {action:?}"
            );
        }
        assert_eq!(state.counts("demo").unwrap().seq, 7);
        assert_eq!(state.counts("other"), None);
    }

    #[test]
    fn taps_add_up_in_any_order_and_only_once() {
        let mut state = State::default();
        for (number, count, expected) in [
            (2, 5, Effect::Counted),
            (1, 3, Effect::Counted),
            (1, 3, Effect::Duplicate),
            (2, 6, Effect::Conflict),
            (66, 1, Effect::Counted),
            (2, 5, Effect::TooOld),
        ] {
            let found = effect(&mut state, numbered("ann", number, Action::Hearts(count)));
            assert_eq!(found, expected, "{number}");
        }
        let counts = state.counts("demo").unwrap();
        assert_eq!((counts.hearts, counts.likes), (9, 0));
    }

    #[test]
    fn likes_and_taps_of_a_viewer_are_numbered_apart() {
        let mut state = State::default();
        assert_eq!(
            effect(&mut state, numbered("ann", 1, Action::Hearts(1))),
            Effect::Counted
        );
        assert_eq!(
            effect(&mut state, numbered("ann", 1, Action::Like)),
            Effect::Counted
        );
        assert_eq!(
            effect(&mut state, numbered("bob", 1, Action::Like)),
            Effect::Counted
        );
    }

    #[test]
    fn a_key_counts_once_and_is_remembered_for_a_bounded_number_of_operations() {
        let mut state = State::new(Rules {
            keys_max: 2,
            ..Rules::default()
        });
        let tap = |key| keyed("ann", key, Action::Hearts(1));
        for (operation, expected) in [
            (tap("a"), Effect::Counted),
            (tap("a"), Effect::Duplicate),
            (keyed("ann", "a", Action::Hearts(2)), Effect::Conflict),
            (keyed("bob", "a", Action::Hearts(2)), Effect::Counted),
            (tap("b"), Effect::Counted),
            // The third key pushed out the first one. An operation that is sent again after that long counts again.
            (tap("a"), Effect::Counted),
        ] {
            assert_eq!(effect(&mut state, operation), expected);
        }
        assert_eq!(state.counts("demo").unwrap().hearts, 5);
    }

    #[test]
    fn a_closed_channel_counts_nothing_new_and_still_knows_what_it_has_counted() {
        let mut state = State::default();
        effect(&mut state, numbered("ann", 1, Action::Like));
        effect(&mut state, turned(Change::Close));
        for (operation, expected) in [
            (numbered("ann", 1, Action::Like), Effect::Duplicate),
            (numbered("ann", 2, Action::Unlike), Effect::Closed),
            (keyed("bob", "k", Action::Hearts(1)), Effect::Closed),
        ] {
            assert_eq!(effect(&mut state, operation), expected);
        }
        effect(&mut state, turned(Change::Reopen));
        assert_eq!(
            effect(&mut state, numbered("ann", 2, Action::Unlike)),
            Effect::Counted
        );
        assert_eq!(
            effect(&mut state, keyed("bob", "k", Action::Hearts(1))),
            Effect::Counted,
            "what a closed channel refused left no trace"
        );
    }

    #[test]
    fn one_viewer_and_one_channel_too_many_change_nothing() {
        let mut state = State::new(Rules {
            viewers_per_channel_max: 2,
            channels_max: 1,
            ..Rules::default()
        });
        for (viewer, expected) in [
            ("a", Effect::Counted),
            ("b", Effect::Counted),
            ("c", Effect::Full),
        ] {
            assert_eq!(
                effect(&mut state, numbered(viewer, 1, Action::Like)),
                expected
            );
        }
        assert_eq!(
            effect(&mut state, numbered("b", 2, Action::Unlike)),
            Effect::Counted
        );
        let elsewhere = Operation::update("two", "a", Identity::Sequence(1), Action::Like);
        assert_eq!(effect(&mut state, elsewhere), Effect::Full);
        assert_eq!(state.counts("demo").unwrap().likes, 1);
        assert_eq!(state.counts("two"), None);
    }

    #[test]
    fn a_batch_counts_once_and_none_may_be_missing() {
        let mut state = State::new(Rules {
            writers_max: 2,
            ..Rules::default()
        });
        let like = [numbered("ann", 1, Action::Like)];
        let life = |writer, epoch, number| Header {
            writer,
            epoch,
            number,
        };
        assert_eq!(state.apply(1, life(1, 1, 1), &like).unwrap().len(), 1);
        assert_eq!(state.apply(2, life(1, 1, 1), &like), Ok(Vec::new()));
        assert_eq!(
            (state.position(), state.sequence()),
            (2, 1),
            "a batch that comes again takes no number"
        );
        let before = state.clone();
        for (position, header) in [
            (2, life(1, 1, 2)),
            (4, life(1, 1, 2)),
            (3, life(1, 1, 3)),
            (3, life(1, 2, 2)),
            (3, life(2, 1, 2)),
        ] {
            assert!(state.apply(position, header, &like).is_err(), "{header:?}");
        }
        assert_eq!(state, before);
        // A new life counts its batches from 1. Late batches of the old life are ignored.
        assert_eq!(state.apply(3, life(1, 2, 1), &like).unwrap().len(), 1);
        assert_eq!(state.apply(4, life(1, 1, 2), &like), Ok(Vec::new()));
        assert_eq!(state.apply(5, life(2, 1, 1), &like).unwrap().len(), 1);
        assert_eq!(
            state.apply(6, life(3, 1, 1), &like),
            Err(FoldError::Writers(2))
        );
    }
}
