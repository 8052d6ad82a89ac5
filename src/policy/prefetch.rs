//! Prefetching: segments that a new playlist lists for the first time are fetched before a viewer asks for them.

use std::time::Duration;

use super::limits::Limits;
use super::rendition::{Fit, PlaylistFacts};

/// The most segments that one playlist has fetched. A playlist that jumps far ahead is no reason to fetch all segments
/// between.
const AHEAD_MAX: usize = 4;

/// The segments that are fetched ahead, the newest first. Remembered 404s of them are void, because the segments are
/// there now.
pub fn numbers(fit: &Fit) -> impl Iterator<Item = u64> + use<> {
    let listed = match fit {
        Fit::Newer(numbers) => numbers.clone(),
        Fit::Older | Fit::Reset => None,
    };
    listed.into_iter().flatten().rev().take(AHEAD_MAX)
}

/// The longest time for which a new playlist is held back, so that a viewer who gets it finds its segments. Requests
/// that wait for it have waited for `flown` at most, the time since its flight began. They must get it long before
/// their deadline.
pub fn held_back_max(facts: PlaylistFacts, limits: &Limits, flown: Duration) -> Duration {
    let left = (limits.playlist_wait / 2).saturating_sub(flown);
    left.min(facts.target_duration / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_is_held_back_no_longer_than_those_who_wait_for_it_can_wait() {
        let limits = Limits::default();
        for (target_s, flown_ms, held_back_ms) in [
            (1, 0, 250),  // a quarter of a target duration
            (2, 50, 450), // half of the deadline, less what the flight took
            (8, 50, 450),
            (2, 600, 0), // a slow origin: the requests have waited for long enough
        ] {
            let target = Duration::from_secs(target_s);
            let facts = PlaylistFacts {
                first: 0,
                last: 9,
                target_duration: target,
                newest: target,
            };
            let held_back = held_back_max(facts, &limits, Duration::from_millis(flown_ms));
            assert_eq!(held_back.as_millis(), held_back_ms, "{target_s} {flown_ms}");
        }
    }

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
