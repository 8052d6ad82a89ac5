//! The audience's own count of its likes, from the answers that it received and from nothing else.
//!
//! A viewer likes a channel if its newest acknowledged operation is a like: an older operation that arrives later has no
//! effect. Hearts add up. Operations with an unknown outcome widen the count to an interval: a like in doubt may or may not be
//! the last one, and hearts in doubt may or may not count.

use std::collections::BTreeMap;

use super::asking::Fate;
use super::likes::Like;
use crate::likes::Action;

/// Acknowledged operations so far, and operations in doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations by (channel, viewer).
    viewers: BTreeMap<(u32, u32), Standing>,
    /// Hearts of each channel: lowest and highest possible number.
    hearts: BTreeMap<u32, (u64, u64)>,
}

/// Whether a viewer likes a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// The newest acknowledged operation: its number, and whether it is a like. Number 0 means none.
    newest: (u64, bool),
    /// Operations in doubt.
    in_doubt: Vec<(u64, bool)>,
}

/// The counts that a channel must have: lowest and highest possible number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Viewers that like it.
    pub likes: (u64, u64),
    /// Hearts.
    pub hearts: (u64, u64),
}

impl Tally {
    /// Adds the outcome of an operation.
    pub fn note(&mut self, like: &Like, fate: Fate) {
        if let Action::Hearts(count) = like.action {
            let (least, most) = self.hearts.entry(like.channel).or_default();
            *least += u64::from(fate == Fate::Acknowledged) * u64::from(count);
            *most += u64::from(fate != Fate::NotCounted) * u64::from(count);
            return;
        }
        let operation = (like.sequence, like.action == Action::Like);
        let standing = self.viewers.entry((like.channel, like.viewer)).or_default();
        match fate {
            Fate::Acknowledged => standing.newest = standing.newest.max(operation),
            Fate::NotCounted => {}
            Fate::Unknown => standing.in_doubt.push(operation),
        }
    }

    /// The counts that a channel must have.
    pub fn expected(&self, channel: u32) -> Expected {
        let standings = self.viewers.range((channel, 0)..=(channel, u32::MAX));
        let mut likes = (0, 0);
        for (_, standing) in standings {
            let (least, most) = standing.may_like();
            likes.0 += u64::from(least);
            likes.1 += u64::from(most);
        }
        Expected {
            likes,
            hearts: self.hearts.get(&channel).copied().unwrap_or_default(),
        }
    }
}

impl Standing {
    /// Whether the viewer certainly likes the channel, and whether it may.
    fn may_like(&self) -> (bool, bool) {
        let (newest, likes) = self.newest;
        let newer = self.in_doubt.iter().filter(|(number, _)| *number > newest);
        newer.fold((likes, likes), |(least, most), &(_, likes)| {
            (least && likes, most || likes)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn like(channel: u32, viewer: u32, sequence: u64, action: Action) -> Like {
        Like {
            at: Duration::ZERO,
            viewer,
            channel,
            action,
            sequence,
        }
    }

    fn tally(of: &[(Like, Fate)]) -> Tally {
        let mut tally = Tally::default();
        of.iter().for_each(|(like, fate)| tally.note(like, *fate));
        tally
    }

    #[test]
    fn the_newest_acknowledged_operation_counts_in_whatever_order_they_come() {
        let (liked, taken_back) = (like(0, 7, 1, Action::Like), like(0, 7, 2, Action::Unlike));
        for order in [[liked, taken_back], [taken_back, liked]] {
            let tally = tally(&order.map(|like| (like, Fate::Acknowledged)));
            assert_eq!(tally.expected(0).likes, (0, 0));
        }
        let shed = tally(&[(liked, Fate::Acknowledged), (taken_back, Fate::NotCounted)]);
        assert_eq!(shed.expected(0).likes, (1, 1));
        assert_eq!(shed.expected(1), Expected::default());
    }

    #[test]
    fn doubt_widens_the_count_unless_something_newer_is_known() {
        let (liked, taken_back) = (like(0, 7, 1, Action::Like), like(0, 7, 2, Action::Unlike));
        let hearts = [
            like(0, 7, 1, Action::Hearts(3)),
            like(0, 7, 2, Action::Hearts(5)),
        ];
        for (fates, likes) in [
            ([Fate::Unknown, Fate::Acknowledged], (0, 0)),
            ([Fate::Acknowledged, Fate::Unknown], (0, 1)),
            ([Fate::Unknown, Fate::NotCounted], (0, 1)),
        ] {
            let known = tally(&[(liked, fates[0]), (taken_back, fates[1])]);
            assert_eq!(known.expected(0).likes, likes, "{fates:?}");
        }
        let known = tally(&[(hearts[0], Fate::Acknowledged), (hearts[1], Fate::Unknown)]);
        assert_eq!(known.expected(0).hearts, (3, 8));
    }

    proptest! {
        /// Compared with a server that applies all acknowledged operations in any order, and some of those in doubt.
        #[test]
        fn whatever_a_server_did_with_what_is_in_doubt_lies_within_the_interval(
            operations in proptest::collection::vec((0..4_u32, 0..4_u8, 0..3_u8, any::<bool>()), 0..60),
            order in any::<u64>(),
        ) {
            let mut numbers = [[0_u64; 2]; 4];
            let mut tally = Tally::default();
            let mut applied = Vec::new();
            for (viewer, what, fate, is_applied) in operations {
                let action = match what {
                    0 => Action::Like,
                    1 => Action::Unlike,
                    more => Action::Hearts(more.into()),
                };
                let number = &mut numbers[viewer as usize][usize::from(what > 1)];
                *number += 1;
                let fate = [Fate::Acknowledged, Fate::NotCounted, Fate::Unknown][fate as usize];
                let like = like(0, viewer, *number, action);
                tally.note(&like, fate);
                if fate == Fate::Acknowledged || (fate == Fate::Unknown && is_applied) {
                    applied.push(like);
                }
            }
            applied.sort_by_key(|like| (like.sequence.wrapping_mul(order | 1), like.viewer));
            let mut newest: BTreeMap<u32, (u64, bool)> = BTreeMap::new();
            let mut hearts = 0;
            for like in applied {
                if let Action::Hearts(count) = like.action {
                    hearts += u64::from(count);
                    continue;
                }
                let state = newest.entry(like.viewer).or_default();
                if like.sequence > state.0 {
                    *state = (like.sequence, like.action == Action::Like);
                }
            }
            let likes = newest.values().filter(|(_, likes)| *likes).count() as u64;
            let expected = tally.expected(0);
            prop_assert!((expected.likes.0..=expected.likes.1).contains(&likes));
            prop_assert!((expected.hearts.0..=expected.hearts.1).contains(&hearts));
        }
    }
}
