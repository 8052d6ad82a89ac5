//! Likes as counts: operations by their kind, and operations by when viewers wanted them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// A number of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Operations {
    pub(super) likes: u64,
    pub(super) unlikes: u64,
    /// Operations with hearts.
    pub(super) bundles: u64,
    /// The hearts in them.
    pub(super) hearts: u64,
}

impl Operations {
    /// Likes and unlikes.
    pub(super) fn lasting(self) -> u64 {
        self.likes + self.unlikes
    }

    /// All of them.
    pub(super) fn count(self) -> u64 {
        self.lasting() + self.bundles
    }

    pub(super) fn add(&mut self, more: Self) {
        self.likes += more.likes;
        self.unlikes += more.unlikes;
        self.bundles += more.bundles;
        self.hearts += more.hearts;
    }

    /// Takes so many likes and unlikes, and so many bundles of hearts, each in its share.
    fn take(&mut self, lasting: u64, bundles: u64) -> Self {
        let lasting = lasting.min(self.lasting());
        let bundles = bundles.min(self.bundles);
        let likes = share(lasting, self.likes, self.lasting());
        let taken = Self {
            likes,
            unlikes: lasting - likes,
            bundles,
            hearts: share(bundles, self.hearts, self.bundles),
        };
        self.likes -= taken.likes;
        self.unlikes -= taken.unlikes;
        self.bundles -= taken.bundles;
        self.hearts -= taken.hearts;
        taken
    }
}

/// The share of a part in a number of the whole.
fn share(number: u64, part: u64, whole: u64) -> u64 {
    // Rounded up, so that what is left of the other part is never less than nothing.
    match whole {
        0 => 0,
        whole => u128::from(number * part).div_ceil(whole.into()) as u64,
    }
}

/// When operations were wanted: evenly between two instants.
type Wanted = (Timestamp, Timestamp);

/// Operations by when they were wanted, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    by_time: BTreeMap<Wanted, Operations>,
    sum: Operations,
}

impl Gathered {
    pub(super) fn sum(&self) -> Operations {
        self.sum
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sum.count() == 0
    }

    pub(super) fn add(&mut self, wanted: Wanted, operations: Operations) {
        if operations.count() > 0 {
            self.by_time.entry(wanted).or_default().add(operations);
            self.sum.add(operations);
        }
    }

    pub(super) fn add_all(&mut self, others: Self) {
        for (wanted, operations) in others.by_time {
            self.add(wanted, operations);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Wanted, Operations)> {
        self.by_time.iter().map(|(wanted, of)| (*wanted, *of))
    }

    /// Takes so many likes and unlikes, and so many bundles of hearts: of each time its share.
    pub(super) fn take(&mut self, lasting: u64, bundles: u64) -> Self {
        let mut taken = Self::default();
        let (mut lasting, mut bundles) = (
            lasting.min(self.sum.lasting()),
            bundles.min(self.sum.bundles),
        );
        let mut left = self.sum;
        for (wanted, operations) in &mut self.by_time {
            let whole = *operations;
            let part = operations.take(
                share(lasting, whole.lasting(), left.lasting()),
                share(bundles, whole.bundles, left.bundles),
            );
            lasting -= part.lasting();
            bundles -= part.bundles;
            left.likes -= whole.likes;
            left.unlikes -= whole.unlikes;
            left.bundles -= whole.bundles;
            taken.add(*wanted, part);
        }
        self.by_time.retain(|_, of| of.count() > 0);
        self.sum.take_away(taken.sum);
        taken
    }

    /// Takes so many operations, in the shares of their kinds.
    pub(super) fn take_any(&mut self, count: u64) -> Self {
        let count = count.min(self.sum.count());
        let lasting = share(count, self.sum.lasting(), self.sum.count());
        self.take(lasting, count - lasting)
    }

    /// The same with times rounded out to whole seconds, so that few different times remain.
    pub(super) fn rounded(self) -> Self {
        let mut rounded = Self::default();
        for ((from, until), operations) in self.by_time {
            let middle = from + until.since(from) / 2;
            let second = Timestamp::ZERO + Duration::from_secs(second_of(middle));
            rounded.add((second, second + Duration::from_secs(1)), operations);
        }
        rounded
    }
}

impl Operations {
    fn take_away(&mut self, less: Self) {
        self.likes -= less.likes;
        self.unlikes -= less.unlikes;
        self.bundles -= less.bundles;
        self.hearts -= less.hearts;
    }
}

/// The second in which an instant lies.
pub(super) fn second_of(at: Timestamp) -> u64 {
    at.since(Timestamp::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: u64) -> Wanted {
        let from = Timestamp::ZERO + Duration::from_secs(second);
        (from, from + Duration::from_secs(1))
    }

    proptest! {
        /// However operations are divided: none is lost, and as many are taken as were wanted.
        #[test]
        fn nothing_is_lost_when_operations_are_divided(
            parts in prop::collection::vec((0..50_u64, 0..50_u64, 0..50_u64, 0..5_u64), 0..8),
            lasting in 0..500_u64,
            bundles in 0..500_u64,
        ) {
            let mut all = Gathered::default();
            for (second, (likes, unlikes, bundles, each)) in (0..).zip(parts) {
                let hearts = bundles * (each + 1);
                all.add(at(second), Operations { likes, unlikes, bundles, hearts });
            }
            let before = all.sum();
            let taken = all.take(lasting, bundles);
            prop_assert_eq!(taken.sum().lasting(), lasting.min(before.lasting()));
            prop_assert_eq!(taken.sum().bundles, bundles.min(before.bundles));
            for part in [&taken, &all] {
                let mut sum = Operations::default();
                part.iter().for_each(|(_, of)| sum.add(of));
                prop_assert_eq!(sum, part.sum());
            }
            let mut both = all.rounded();
            both.add_all(taken);
            prop_assert_eq!(both.sum(), before);
        }
    }
}
