//! Idempotency keys of late: as many as fit, the oldest forgotten first. A key is of one viewer at one channel.

use std::collections::{HashMap, VecDeque};

use super::operation::Action;

/// A viewer's key, told apart from every other by 128 bits of SHA-256.
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
        // None of these may hold a zero byte, so no two spell the same.
        for part in [channel, viewer, key] {
            hash.update(part);
            hash.update([0]);
        }
        let whole: [u8; 32] = hash.finalize().into();
        let mut digest = Digest::default();
        digest.copy_from_slice(&whole[..16]);
        digest
    }

    /// What was done under a key, if it is remembered.
    pub fn get(&self, digest: &Digest) -> Option<Action> {
        self.actions.get(digest).copied()
    }

    /// Remembers what was done under a new key, and forgets the oldest beyond `keys_max`.
    pub fn remember(&mut self, digest: Digest, action: Action, keys_max: usize) {
        if self.actions.insert(digest, action).is_none() {
            self.order.push_back(digest);
        }
        while self.order.len() > keys_max {
            let oldest = self.order.pop_front().expect("it is not empty");
            self.actions.remove(&oldest);
        }
    }

    /// All of them, the oldest first.
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
