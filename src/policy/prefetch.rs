//! What a new playlist sets off: the segments that it lists for the first time are fetched before a viewer asks for them.

use std::time::Duration;

use super::limits::Limits;
use super::rendition::{Fit, PlaylistFacts};

/// A playlist that jumps far ahead is no reason to fetch everything between.
const AHEAD_MAX: usize = 4;

/// The segments that are fetched ahead, the newest first. What is remembered of them is void: they are there now.
pub fn numbers(fit: &Fit) -> impl Iterator<Item = u64> + use<> {
    let listed = match fit {
        Fit::Newer(numbers) => numbers.clone(),
        Fit::Older | Fit::Reset => None,
    };
    listed.into_iter().flatten().rev().take(AHEAD_MAX)
}

/// How long a new playlist is held back at most, so that a viewer who gets it finds its segments. Those who wait for it must
/// get it before their deadline.
pub fn held_back_max(facts: PlaylistFacts, limits: &Limits) -> Duration {
    (facts.target_duration / 4).min(limits.playlist_wait / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_segments_are_fetched_ahead_and_not_all_of_them() {
        let ahead = |fit: Fit| numbers(&fit).collect::<Vec<_>>();
        assert_eq!(ahead(Fit::Newer(Some(7..=8))), [8, 7]);
        assert_eq!(ahead(Fit::Newer(Some(7..=20))), [20, 19, 18, 17]);
        for nothing in [Fit::Newer(None), Fit::Older, Fit::Reset] {
            assert!(ahead(nothing).is_empty());
        }
    }
}
