//! A timing wheel: entries of the same tick lie together. Putting in, taking out and going off cost the same for any number of
//! entries (Varghese and Lauck 1987, "hashed and hierarchical timing wheels", scheme 4).

/// Number of ticks ahead that the wheel reaches. An entry beyond goes off at the end of the reach, and its owner may put it in
/// again. The fewer ticks there are, the sooner memory is used again.
const REACH: u64 = 1_024;
/// Capacity that each tick keeps, in entries. Capacity above it is freed after the tick has gone off.
const KEPT_PER_TICK: usize = 64;

/// Entries by the tick at which they go off.
pub(super) struct Wheel<T> {
    /// A tick lies at its number modulo the reach.
    ticks: Box<[Vec<Option<T>>]>,
    /// The first tick that has not gone off.
    next: u64,
    /// No tick before this one has entries.
    soonest: u64,
}

/// The position of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    tick: u64,
    index: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel; no tick has gone off.
    pub(super) fn new() -> Self {
        Self {
            ticks: (0..REACH).map(|_| Vec::new()).collect(),
            next: 0,
            soonest: 0,
        }
    }

    /// Puts an entry in for this tick. If the tick has gone off, the entry goes to the next one; if it is beyond the reach, to
    /// the last tick within reach.
    pub(super) fn put(&mut self, tick: u64, what: T) -> Position {
        let tick = tick.clamp(self.next, self.next + (REACH - 1));
        self.soonest = self.soonest.min(tick);
        let at_tick = &mut self.ticks[slot(tick)];
        at_tick.push(Some(what));
        Position {
            tick,
            index: at_tick.len() - 1,
        }
    }

    /// The entry at this position; `None` if it has gone off or was taken out.
    pub(super) fn get(&self, position: Position) -> Option<&T> {
        let is_ahead = position.tick >= self.next;
        let at_tick = is_ahead.then(|| &self.ticks[slot(position.tick)])?;
        at_tick.get(position.index)?.as_ref()
    }

    /// Takes out the entry at this position; `None` if it has gone off or was taken out before.
    pub(super) fn take(&mut self, position: Position) -> Option<T> {
        let is_ahead = position.tick >= self.next;
        let at_tick = is_ahead.then(|| &mut self.ticks[slot(position.tick)])?;
        at_tick.get_mut(position.index)?.take()
    }

    /// The first tick at which an entry may go off.
    pub(super) fn first(&mut self) -> Option<u64> {
        let beyond = self.next + REACH;
        let mut ahead = self.soonest..beyond;
        let first = ahead.find(|&tick| !self.ticks[slot(tick)].is_empty());
        self.soonest = first.unwrap_or(beyond);
        first
    }

    /// Lets go off all entries that are due at `now`, each with its tick, the earliest first.
    pub(super) fn turn(&mut self, now: u64, mut goes_off: impl FnMut(u64, T)) {
        let Some(after) = now.checked_add(1).filter(|after| *after > self.next) else {
            return;
        };
        for tick in self.next..after.min(self.next + REACH) {
            let at_tick = &mut self.ticks[slot(tick)];
            at_tick
                .drain(..)
                .flatten()
                .for_each(|what| goes_off(tick, what));
            at_tick.shrink_to(KEPT_PER_TICK);
        }
        self.next = after;
        self.soonest = self.soonest.max(after);
    }
}

fn slot(tick: u64) -> usize {
    (tick % REACH) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn gone_off(wheel: &mut Wheel<u32>, now: u64) -> Vec<u32> {
        let mut gone = Vec::new();
        wheel.turn(now, |_, what| gone.push(what));
        gone
    }

    #[test]
    fn what_is_late_goes_off_next_and_what_is_beyond_reach_at_its_end() {
        let mut wheel = Wheel::new();
        assert!(gone_off(&mut wheel, 99).is_empty());
        assert_eq!(wheel.put(7, 1).tick, 100);
        assert_eq!(wheel.put(1_000_000, 2).tick, 100 + REACH - 1);
        assert_eq!(wheel.first(), Some(100));
        assert_eq!(gone_off(&mut wheel, 100), [1]);
        assert_eq!(wheel.first(), Some(100 + REACH - 1));
        // However long the wheel was not turned.
        assert_eq!(gone_off(&mut wheel, 1_000_000_000), [2]);
        assert_eq!(wheel.first(), None);
        assert!(gone_off(&mut wheel, u64::MAX).is_empty());
    }

    #[test]
    fn room_for_a_crowd_at_one_tick_is_given_back() {
        let mut wheel = Wheel::new();
        for what in 0..10_000 {
            wheel.put(5, what);
        }
        assert_eq!(gone_off(&mut wheel, 5).len(), 10_000);
        assert!(wheel.ticks[5].capacity() <= 2 * KEPT_PER_TICK);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put { ahead: u64 },
        Take { which: usize },
        Turn { by: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..REACH).prop_map(|ahead| Step::Put { ahead }),
            any::<usize>().prop_map(|which| Step::Take { which }),
            prop_oneof![0..9_u64, 0..3 * REACH].prop_map(|by| Step::Turn { by }),
        ]
    }

    proptest! {
        /// Compared with a sorted map.
        #[test]
        fn everything_goes_off_once_at_its_tick_unless_it_was_taken_out(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let (mut wheel, mut now) = (Wheel::new(), 0);
            let (mut places, mut ahead) = (Vec::new(), BTreeMap::new());
            for (what, step) in (0..).zip(steps) {
                match step {
                    Step::Put { ahead: by } => {
                        let position = wheel.put(now + 1 + by.min(REACH - 2), what);
                        ahead.insert((position.tick, what), ());
                        places.push((position, what));
                    }
                    Step::Take { which } if !places.is_empty() => {
                        let (position, what) = places[which % places.len()];
                        let expected = ahead.remove(&(position.tick, what)).map(|()| what);
                        prop_assert_eq!(wheel.get(position).copied(), expected);
                        prop_assert_eq!(wheel.take(position), expected);
                        prop_assert_eq!(wheel.take(position), None);
                    }
                    Step::Take { .. } => {}
                    Step::Turn { by } => {
                        now += by;
                        let later = ahead.split_off(&(now + 1, 0));
                        let due: Vec<_> = ahead.into_keys().map(|(_, what)| what).collect();
                        ahead = later;
                        prop_assert_eq!(gone_off(&mut wheel, now), due);
                    }
                }
                // An entry that was taken out may leave its tick behind; no entry goes off before that tick.
                if let Some(((first, _), ())) = ahead.first_key_value() {
                    prop_assert!(wheel.first().is_some_and(|tick| now < tick && tick <= *first));
                }
            }
        }
    }
}
