//! One operation: a change that a viewer or an operator makes to the counts of a channel.

use std::sync::Arc;

use crate::hls::names;

/// The most hearts that one operation may add.
pub const HEARTS_PER_OPERATION_MAX: u32 = 1_000_000;
/// The most hearts that a viewer may send at once.
pub const HEARTS_MAX: u32 = 100;
/// The longest name of a viewer, and the longest idempotency key, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A change to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The channel; see [`names::is_name`].
    pub channel: Arc<str>,
    /// The change.
    pub change: Change,
}

/// The change that an operation makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A viewer likes, unlikes or hearts.
    Update(Update),
    /// The channel takes no updates from here on.
    Close,
    /// The channel takes updates again from here on.
    Reopen,
}

/// An action of a viewer. It counts once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The viewer; see [`is_viewer`].
    pub viewer: Box<str>,
    /// The identity by which a copy of the operation is recognised.
    pub identity: Identity,
    /// The action.
    pub action: Action,
}

/// The identity by which a copy of an operation is recognised. Likes and hearts of a viewer are numbered separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The viewer's own count of its operations at this channel, from 1.
    Sequence(u64),
    /// A name that the viewer has chosen; see [`is_key`]. It is remembered for a bounded number of operations.
    Key(Box<str>),
}

/// The action of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The viewer likes the channel.
    Like,
    /// The viewer no longer likes the channel.
    Unlike,
    /// Adds this number of hearts, 1 to [`HEARTS_PER_OPERATION_MAX`].
    Hearts(u32),
}

impl Operation {
    /// An operation of a viewer.
    pub fn update(
        channel: impl Into<Arc<str>>,
        viewer: &str,
        identity: Identity,
        action: Action,
    ) -> Self {
        Self {
            channel: channel.into(),
            change: Change::Update(Update {
                viewer: viewer.into(),
                identity,
                action,
            }),
        }
    }

    /// The viewer; `None` for an operator's operation.
    pub fn viewer(&self) -> Option<&str> {
        match &self.change {
            Change::Close | Change::Reopen => None,
            Change::Update(update) => Some(&update.viewer),
        }
    }

    /// Whether every part is within its range.
    pub fn is_valid(&self) -> bool {
        names::is_name(&self.channel)
            && match &self.change {
                Change::Close | Change::Reopen => true,
                Change::Update(update) => {
                    is_viewer(&update.viewer)
                        && match &update.identity {
                            Identity::Sequence(sequence) => *sequence > 0,
                            Identity::Key(key) => is_key(key),
                        }
                        && match update.action {
                            Action::Like | Action::Unlike => true,
                            Action::Hearts(count) => {
                                (1..=HEARTS_PER_OPERATION_MAX).contains(&count)
                            }
                        }
                }
            }
    }

    /// Bytes that the operation takes up while it waits: its texts, and a fixed number for the structures around them.
    pub fn waiting_bytes(&self) -> usize {
        const CARRIER: usize = 192;
        let texts = match &self.change {
            Change::Close | Change::Reopen => 0,
            Change::Update(update) => {
                update.viewer.len()
                    + match &update.identity {
                        Identity::Sequence(_) => 0,
                        Identity::Key(key) => key.len(),
                    }
            }
        };
        CARRIER + self.channel.len() + texts
    }
}

/// Whether `text` may name a viewer: 1 to 64 letters, digits, `-`, `.`, `_` and `~`.
pub fn is_viewer(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether `text` may be an idempotency key: 1 to 64 visible ASCII characters.
pub fn is_key(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_have_one_to_sixty_four_characters_of_their_alphabet() {
        let (longest, longer) = ("x".repeat(64), "x".repeat(65));
        for good in ["a", "Ann.B-c_d~9", &longest] {
            assert!(is_viewer(good) && is_key(good), "{good}");
        }
        for bad in ["", "ann b", "änn", "a\n", &longer] {
            assert!(!is_viewer(bad) && !is_key(bad), "{bad}");
        }
        assert!(is_key("a/b:c\"") && !is_viewer("a/b"));
    }

    #[test]
    fn every_number_has_its_range() {
        let tap = |sequence, count| {
            let identity = Identity::Sequence(sequence);
            Operation::update("demo", "ann", identity, Action::Hearts(count)).is_valid()
        };
        assert!(tap(1, 1) && tap(u64::MAX, HEARTS_PER_OPERATION_MAX));
        assert!(!tap(0, 1) && !tap(1, 0) && !tap(1, HEARTS_PER_OPERATION_MAX + 1));
    }
}
