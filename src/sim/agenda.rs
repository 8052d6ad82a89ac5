//! The agenda: what will happen, in the order of time.
//!
//! A timing wheel: 4,096 slots of about a millisecond, each sorted when its time comes. What lies beyond the wheel waits in
//! an overflow and is poured in one turn of the wheel at a time. So adding and taking an event cost the same with a thousand
//! events pending and with ten million.
//!
//! Events of the same instant come out by their rank, then in the order in which they were added.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::time::Timestamp;

/// Width of a slot as a power of two: 2^20 ns are 1.05 ms.
const SLOT_BITS: u32 = 20;
/// Number of slots in a turn of the wheel: 4.3 s.
const SLOTS: u64 = 4_096;

/// What comes first of the events of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The world changes: faults begin and end.
    World,
    /// What was under way arrives.
    Arrival,
    /// Somebody acts.
    Act,
    /// A bound is reached.
    Bound,
}

/// Future events.
#[derive(Debug)]
pub struct Agenda<E> {
    /// The slot whose events are taken now.
    slot: u64,
    /// Events of this slot, the last first.
    current: Vec<Entry<E>>,
    /// Events that were added for this slot after it was sorted.
    late: BinaryHeap<Reverse<Entry<E>>>,
    wheel: Vec<Vec<Entry<E>>>,
    /// One bit for each slot of the wheel that holds an event.
    occupied: Vec<u64>,
    /// Events beyond the wheel, by turn.
    overflow: BTreeMap<u64, Vec<Entry<E>>>,
    added: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    at: Timestamp,
    /// Rank, then the number of the event.
    order: u64,
    event: E,
}

impl<E> Entry<E> {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.order)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

fn slot_of(at: Timestamp) -> u64 {
    at.as_nanos() >> SLOT_BITS
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            slot: 0,
            current: Vec::new(),
            late: BinaryHeap::new(),
            wheel: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: vec![0; SLOTS as usize / 64],
            overflow: BTreeMap::new(),
            added: 0,
            len: 0,
        }
    }
}

impl<E> Agenda<E> {
    /// Number of events to come.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing will happen any more.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an event. Its time must not lie before the last event that was taken.
    pub fn add(&mut self, at: Timestamp, rank: Rank, event: E) {
        let order = (rank as u64) << 56 | self.added;
        self.added += 1;
        self.len += 1;
        let entry = Entry { at, order, event };
        let slot = slot_of(at);
        if slot <= self.slot {
            self.late.push(Reverse(entry));
        } else if slot < self.slot + SLOTS {
            self.put(slot, entry);
        } else {
            self.overflow.entry(slot / SLOTS).or_default().push(entry);
        }
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<(Timestamp, E)> {
        if self.current.is_empty() && self.late.is_empty() && !self.advance() {
            return None;
        }
        self.len -= 1;
        let is_late = match (self.current.last(), self.late.peek()) {
            (Some(next), Some(Reverse(late))) => late < next,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let entry = match is_late {
            true => self.late.pop().map(|Reverse(entry)| entry),
            false => self.current.pop(),
        };
        entry.map(|entry| (entry.at, entry.event))
    }

    /// Goes to the next slot with an event. `false`: there is none.
    fn advance(&mut self) -> bool {
        loop {
            let turn = self.slot / SLOTS;
            let next = self.next_occupied();
            match next.filter(|slot| slot / SLOTS == turn) {
                Some(slot) => {
                    self.slot = slot;
                    self.open(slot);
                    return true;
                }
                None => {
                    // Nothing is left in this turn: the next one begins, and what waited for it is poured in.
                    let first_of_overflow = self.overflow.keys().next().copied();
                    let turn = match (next, first_of_overflow) {
                        (Some(_), _) => turn + 1,
                        (None, Some(turn)) => turn,
                        (None, None) => return false,
                    };
                    self.slot = turn * SLOTS;
                    for entry in self.overflow.remove(&turn).unwrap_or_default() {
                        self.put(slot_of(entry.at), entry);
                    }
                    if self.is_occupied(self.slot) {
                        self.open(self.slot);
                        return true;
                    }
                }
            }
        }
    }

    /// Sorts a slot for taking.
    fn open(&mut self, slot: u64) {
        let index = (slot % SLOTS) as usize;
        self.occupied[index / 64] &= !(1 << (index % 64));
        // The emptied list of the last slot takes the place of this one, so that no memory is asked for.
        std::mem::swap(&mut self.current, &mut self.wheel[index]);
        self.current.sort_unstable_by(|one, other| other.cmp(one));
    }

    fn put(&mut self, slot: u64, entry: Entry<E>) {
        let index = (slot % SLOTS) as usize;
        self.wheel[index].push(entry);
        self.occupied[index / 64] |= 1 << (index % 64);
    }

    fn is_occupied(&self, slot: u64) -> bool {
        let index = (slot % SLOTS) as usize;
        self.occupied[index / 64] & 1 << (index % 64) != 0
    }

    /// The next slot of the wheel, after the current one, that holds an event.
    fn next_occupied(&self) -> Option<u64> {
        let from = self.slot + 1;
        let words = SLOTS / 64;
        let first = from % SLOTS / 64;
        // The first word is looked at twice: its upper bits at first, its lower bits at last.
        let found = (0..=words).find_map(|step| {
            let word = (first + step) % words;
            let bits = self.occupied[word as usize];
            let upper = u64::MAX << (from % 64);
            let bits = match step {
                0 => bits & upper,
                step if step == words => bits & !upper,
                _ => bits,
            };
            (bits != 0).then(|| word * 64 + u64::from(bits.trailing_zeros()))
        })?;
        let turn = from - from % SLOTS;
        Some(match found >= from % SLOTS {
            true => turn + found,
            false => turn + SLOTS + found,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn of_one_instant_the_world_comes_first_and_bounds_come_last() {
        let mut agenda = Agenda::default();
        agenda.add(at(5), Rank::Bound, "deadline");
        agenda.add(at(5), Rank::Act, "first viewer");
        agenda.add(at(5), Rank::Act, "second viewer");
        agenda.add(at(5), Rank::Arrival, "landing");
        agenda.add(at(5), Rank::World, "fault");
        let order: Vec<_> = std::iter::from_fn(|| agenda.take())
            .map(|(_, event)| event)
            .collect();
        assert_eq!(
            order,
            [
                "fault",
                "landing",
                "first viewer",
                "second viewer",
                "deadline"
            ]
        );
    }

    #[test]
    fn an_event_may_set_off_another_at_the_same_instant() {
        let mut agenda = Agenda::default();
        agenda.add(at(1 << 21), Rank::Act, 1);
        agenda.add(at(1 << 21), Rank::Act, 2);
        assert_eq!(agenda.take(), Some((at(1 << 21), 1)));
        agenda.add(at(1 << 21), Rank::Arrival, 3);
        assert_eq!(agenda.take(), Some((at(1 << 21), 3)));
        assert_eq!(agenda.take(), Some((at(1 << 21), 2)));
        assert_eq!((agenda.take(), agenda.len()), (None, 0));
    }

    proptest! {
        /// Against a sorted list: gaps of nanoseconds, of slots, of several turns; events that set off others.
        #[test]
        fn events_come_out_in_the_order_of_their_time(
            first in proptest::collection::vec(0_u64..200, 1..40),
            gaps in proptest::collection::vec((0_u32..40, 0_u64..1_000_000), 0..200),
        ) {
            let mut agenda = Agenda::default();
            let mut list = Vec::new();
            for (number, nanos) in first.into_iter().enumerate() {
                agenda.add(at(nanos), Rank::Act, number);
                list.push((at(nanos), number));
            }
            let mut gaps = gaps.into_iter();
            let mut number = list.len();
            while let Some((now, event)) = agenda.take() {
                list.sort_by_key(|&(at, _)| at);
                prop_assert_eq!(list.remove(0), (now, event));
                prop_assert_eq!(agenda.len(), list.len());
                for (bits, more) in gaps.by_ref().take(2) {
                    let then = now + std::time::Duration::from_nanos((1 << bits) + more);
                    agenda.add(then, Rank::Act, number);
                    list.push((then, number));
                    number += 1;
                }
            }
            prop_assert!(list.is_empty());
        }
    }
}
