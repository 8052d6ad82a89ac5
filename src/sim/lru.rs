//! A store of limited size: which objects stay, and which leave.
//!
//! Objects are known by dense numbers from 0 on, so that a slot of a table is found without hashing. The slots form a list
//! from the newest object to the oldest, and the oldest leaves first. Every operation but the growth of the table is O(1),
//! or O(1) for each object that leaves.

use serde::{Deserialize, Serialize};

/// Which object leaves a full store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The one that was requested least recently.
    #[default]
    Lru,
    /// The one that was stored first.
    Fifo,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Lru, Self::Fifo];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Fifo => "fifo",
        }
    }
}

/// The number of an object. Numbers are dense, because the store's table is as long as the greatest one.
pub type Id = u32;

/// No object: the end of the list. No object has this number.
const NONE: Id = Id::MAX;

/// What became of an object that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored, and the newest.
    Stored,
    /// It is larger than the whole store and is not kept. An older version of it is gone.
    TooLarge,
}

/// Objects and their sizes, and a value for each of them.
#[derive(Clone, Debug)]
pub struct Store<T> {
    policy: Policy,
    capacity: u64,
    slots: Vec<Slot<T>>,
    newest: Id,
    oldest: Id,
    bytes: u64,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    newer: Id,
    older: Id,
    object: Option<Object<T>>,
}

/// A stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T> {
    /// Its size in bytes.
    pub bytes: u64,
    /// What its owner wants to know of it.
    pub value: T,
}

impl<T> Store<T> {
    /// An empty store for so many bytes. An object without bytes takes no room, so a store of no bytes keeps it.
    pub const fn new(policy: Policy, capacity: u64) -> Self {
        Self {
            policy,
            capacity,
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            len: 0,
        }
    }

    /// The stored object. Looking changes no order.
    pub fn get(&self, id: Id) -> Option<&Object<T>> {
        self.slots.get(id as usize)?.object.as_ref()
    }

    /// Notes that an object was requested: with LRU it becomes the newest.
    pub fn touch(&mut self, id: Id) {
        if self.policy == Policy::Lru && self.newest != id && self.get(id).is_some() {
            self.unlink(id);
            self.link(id);
        }
    }

    /// Stores an object as the newest, in place of an older version of it. `evicted` is told the number and size of each object
    /// that leaves.
    pub fn insert(
        &mut self,
        id: Id,
        bytes: u64,
        value: T,
        mut evicted: impl FnMut(Id, u64),
    ) -> Insertion {
        self.remove(id);
        if bytes > self.capacity {
            return Insertion::TooLarge;
        }
        while self.bytes > self.capacity - bytes {
            let oldest = self.oldest;
            let Some(object) = self.remove(oldest) else {
                break;
            };
            evicted(oldest, object.bytes);
        }
        let index = id as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::empty);
        }
        self.slots[index].object = Some(Object { bytes, value });
        self.bytes += bytes;
        self.len += 1;
        self.link(id);
        Insertion::Stored
    }

    /// Removes an object.
    pub fn remove(&mut self, id: Id) -> Option<Object<T>> {
        self.get(id)?;
        self.unlink(id);
        let object = self.slots[id as usize].object.take()?;
        self.bytes -= object.bytes;
        self.len -= 1;
        Some(object)
    }

    /// The bytes of all stored objects.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of stored objects.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is stored.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The stored objects, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Object<T>)> {
        let mut next = self.newest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(next as usize)?;
            let id = std::mem::replace(&mut next, slot.older);
            Some((id, slot.object.as_ref()?))
        })
    }

    fn unlink(&mut self, id: Id) {
        let Slot { newer, older, .. } = self.slots[id as usize];
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, id: Id) {
        let second = std::mem::replace(&mut self.newest, id);
        match self.slots.get_mut(second as usize) {
            Some(slot) => slot.newer = id,
            None => self.oldest = id,
        }
        let slot = &mut self.slots[id as usize];
        (slot.newer, slot.older) = (NONE, second);
    }
}

impl<T> Slot<T> {
    const fn empty() -> Self {
        Self {
            newer: NONE,
            older: NONE,
            object: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn order(store: &Store<()>) -> Vec<Id> {
        store.iter().map(|(id, _)| id).collect()
    }

    fn insert(store: &mut Store<()>, id: Id, bytes: u64) -> Vec<Id> {
        let mut left = Vec::new();
        store.insert(id, bytes, (), |id, _| left.push(id));
        left
    }

    #[test]
    fn a_request_saves_an_object_from_lru_and_not_from_fifo() {
        for (policy, leaves) in [(Policy::Lru, 2), (Policy::Fifo, 1)] {
            let mut store = Store::new(policy, 2);
            insert(&mut store, 1, 1);
            insert(&mut store, 2, 1);
            store.touch(1);
            assert_eq!(insert(&mut store, 3, 1), [leaves], "{policy:?}");
        }
    }

    #[test]
    fn an_object_larger_than_the_store_is_not_kept_and_pushes_nothing_out() {
        let mut store = Store::new(Policy::Lru, 10);
        insert(&mut store, 1, 4);
        insert(&mut store, 2, 4);
        assert_eq!(store.insert(3, 11, (), |_, _| ()), Insertion::TooLarge);
        assert_eq!(order(&store), [2, 1]);
        // Its older version is gone, because it is no longer what the origin has.
        assert_eq!(
            store.insert(1, u64::MAX, (), |_, _| ()),
            Insertion::TooLarge
        );
        assert_eq!((order(&store), store.bytes()), (vec![2], 4));
    }

    #[test]
    fn objects_without_bytes_take_no_room() {
        let mut store = Store::new(Policy::Lru, 0);
        for id in 0..3 {
            assert!(insert(&mut store, id, 0).is_empty());
        }
        assert_eq!((store.len(), store.bytes()), (3, 0));
        assert_eq!(store.insert(3, 1, (), |_, _| ()), Insertion::TooLarge);
    }

    #[test]
    fn what_is_not_stored_can_be_touched_and_removed() {
        let mut store: Store<()> = Store::new(Policy::Lru, 1);
        store.touch(7);
        store.touch(NONE);
        assert_eq!((store.remove(7), store.remove(NONE)), (None, None));
        assert!(store.is_empty());
    }

    /// What a store is, in few words: a queue with the newest in front.
    struct Model {
        policy: Policy,
        capacity: u64,
        queue: VecDeque<(Id, u64)>,
    }

    impl Model {
        fn take(&mut self, id: Id) -> Option<(Id, u64)> {
            let at = self.queue.iter().position(|(known, _)| *known == id)?;
            self.queue.remove(at)
        }

        fn insert(&mut self, id: Id, bytes: u64) -> Vec<Id> {
            self.take(id);
            let mut left = Vec::new();
            if bytes <= self.capacity {
                self.queue.push_front((id, bytes));
                while self.queue.iter().map(|(_, bytes)| bytes).sum::<u64>() > self.capacity {
                    left.extend(self.queue.pop_back().map(|(id, _)| id));
                }
            }
            left
        }
    }

    proptest! {
        #[test]
        fn a_store_does_what_a_queue_does(
            fifo: bool,
            capacity in 0_u64..40,
            steps in prop::collection::vec((0_u8..4, 0_u32..12, 0_u64..20), 0..300),
        ) {
            let policy = if fifo { Policy::Fifo } else { Policy::Lru };
            let mut store = Store::new(policy, capacity);
            let mut model = Model { policy, capacity, queue: VecDeque::new() };
            for (what, id, bytes) in steps {
                match what {
                    0 => {
                        let removed = store.remove(id).map(|object| (id, object.bytes));
                        prop_assert_eq!(removed, model.take(id));
                    }
                    1 => {
                        store.touch(id);
                        if model.policy == Policy::Lru && let Some(object) = model.take(id) {
                            model.queue.push_front(object);
                        }
                    }
                    _ => prop_assert_eq!(insert(&mut store, id, bytes), model.insert(id, bytes)),
                }
                let stored: Vec<_> = store.iter().map(|(id, object)| (id, object.bytes)).collect();
                prop_assert_eq!(&stored, &Vec::from(model.queue.clone()));
                prop_assert_eq!(store.bytes(), stored.iter().map(|(_, bytes)| bytes).sum::<u64>());
                prop_assert_eq!(store.len(), stored.len());
            }
        }
    }
}
