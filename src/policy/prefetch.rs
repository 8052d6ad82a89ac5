//! What a new playlist sets off: the segments that it lists for the first time are fetched before a viewer asks for them.

use std::time::Duration;

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

/// How long viewers have the playlist before at most, so that a viewer who gets the new one finds its segments.
pub fn held_back_max(facts: PlaylistFacts) -> Duration {
    facts.target_duration / 4
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
