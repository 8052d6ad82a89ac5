//! Keys become numbers: each distinct key is kept once, and the same key always gets the same number.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// More distinct keys than there are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are more than {} distinct keys; replay a part of the trace",
    u32::MAX
)]
pub struct TooManyKeys;

/// The distinct keys, one behind another in one block of memory.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    text: Text,
}

#[derive(Clone, Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl Keys {
    /// The number of a key: the next free one if the key is new.
    ///
    /// # Errors
    /// All numbers are taken.
    pub fn number(&mut self, key: &[u8]) -> Result<u32, TooManyKeys> {
        let Self {
            table,
            hasher,
            text,
        } = self;
        let hash = hasher.hash_one(key);
        let entry = table.entry(
            hash,
            |&number| text.get(number) == key,
            |&number| hasher.hash_one(text.get(number)),
        );
        match entry {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                let number = u32::try_from(text.ends.len()).map_err(|_| TooManyKeys)?;
                // The last number stands for no object.
                if number == u32::MAX {
                    return Err(TooManyKeys);
                }
                place.insert(number);
                text.bytes.extend_from_slice(key);
                text.ends.push(text.bytes.len());
                Ok(number)
            }
        }
    }

    /// Number of distinct keys.
    pub const fn len(&self) -> usize {
        self.text.ends.len()
    }

    /// Whether there is no key yet.
    pub const fn is_empty(&self) -> bool {
        self.text.ends.is_empty()
    }

    /// The key with a number that [`Keys::number`] gave.
    pub fn get(&self, number: u32) -> Option<&[u8]> {
        ((number as usize) < self.len()).then(|| self.text.get(number))
    }
}

impl Text {
    fn get(&self, number: u32) -> &[u8] {
        let index = number as usize;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_number() {
        let mut keys = Keys::default();
        let all: Vec<_> = (0..5_000).map(|n| format!("/live/{n}.ts")).collect();
        for _ in 0..2 {
            for (number, key) in all.iter().enumerate() {
                assert_eq!(keys.number(key.as_bytes()), Ok(number as u32));
            }
        }
        assert_eq!(keys.len(), all.len());
        assert_eq!(keys.get(4_999), Some(all[4_999].as_bytes()));
        assert_eq!(keys.get(5_000), None);
    }

    #[test]
    fn keys_that_are_parts_of_each_other_are_distinct() {
        let mut keys = Keys::default();
        let numbers = [&b""[..], b"a", b"ab", b"b", b"\xff\x00", b"\xff", b"a"]
            .map(|key| keys.number(key).unwrap());
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 1]);
    }
}
