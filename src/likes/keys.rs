//! Recent idempotency keys: as many as fit, the oldest forgotten first. A key belongs to one viewer at one channel.

use std::collections::{HashMap, VecDeque};

use super::operation::Action;

/// A viewer's key, identified by 128 bits of SHA-256.
pub type Digest = [u8; 16];

/// The keys that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    actions: HashMap<Digest, Action>,
    order: VecDeque<Digest>,
}

impl Keys {
    /// The digest of a viewer's key at a channel.
    pub fn digest(channel: &str, viewer: &str, key: &str) -> Digest {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        // No part may hold a zero byte, so two different triples never give the same input.
        for part in [channel, viewer, key] {
            hash.update(part);
            hash.update([0]);
        }
        let whole: [u8; 32] = hash.finalize().into();
        let mut digest = Digest::default();
        digest.copy_from_slice(&whole[..16]);
        digest
    }

    /// The action under a key; `None` if the key is not remembered.
    pub fn get(&self, digest: &Digest) -> Option<Action> {
        self.actions.get(digest).copied()
    }

    /// Remembers the action under a new key, and forgets the oldest keys beyond `keys_max`.
    pub fn remember(&mut self, digest: Digest, action: Action, keys_max: usize) {
        if self.actions.insert(digest, action).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > keys_max {
            let oldest = self.order.pop_front().expect("it is not empty");
            self.actions.remove(&oldest);
        }
    }

    /// All keys with their actions, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Digest, Action)> {
        self.order
            .iter()
            .map(|digest| (digest, self.actions[digest]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_key_is_forgotten_beyond_the_bound() {
        let digests: Vec<_> = (0..4)
            .map(|number| Keys::digest("demo", "ann", &number.to_string()))
            .collect();
        let mut keys = Keys::default();
        for &digest in &digests {
            keys.remember(digest, Action::Like, 3);
        }
        assert_eq!(keys.get(&digests[0]), None);
        assert_eq!(keys.get(&digests[1]), Some(Action::Like));
        assert_eq!(keys.iter().len(), 3);
    }

    #[test]
    fn a_key_belongs_to_one_viewer_at_one_channel() {
        let one = Keys::digest("a", "bc", "d");
        assert_ne!(one, Keys::digest("ab", "c", "d"));
        assert_ne!(one, Keys::digest("a", "b", "cd"));
    }
}
