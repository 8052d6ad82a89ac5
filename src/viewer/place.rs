//! Where a player is in the stream: the segment that it wants next, found again in every playlist that comes.
//!
//! A media sequence number names a segment in the playlists of one rendition alone, because each rendition may count for itself
//! (RFC 8216bis, section 6.3.2). So the place is remembered by time, too.

use std::time::Duration;

use super::object::Listed;
use crate::time::UnixTime;

/// The next segment of a player, and how far into it playback begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    next: Option<(u64, Duration)>,
    /// When the media there was made, if playlists say so.
    begins_at: Option<UnixTime>,
    /// Media from there to the end of the last playlist of the rendition that the player has left.
    before_end: Duration,
}

impl Place {
    /// Number of the next segment; `None` before the first playlist.
    pub(super) fn number(&self) -> Option<u64> {
        self.next.map(|(number, _)| number)
    }

    /// How far into the next segment playback begins.
    pub(super) fn offset(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |(_, offset)| offset)
    }

    /// Whether the playlist lists the next segment.
    pub(super) fn is_in(&self, listed: &[Listed]) -> bool {
        match (self.number(), listed.last()) {
            (Some(number), Some(newest)) => newest.number >= number,
            _ => false,
        }
    }

    /// Media from here to the end of the playlist. Before the player has a place, all of it.
    pub(super) fn until_end_of(&self, listed: &[Listed]) -> Duration {
        ahead(listed, self.number().unwrap_or_default()).saturating_sub(self.offset())
    }

    /// Chooses the first segment: the one that lies `behind` before the end, or the first of a playlist that is shorter.
    pub(super) fn join(&mut self, listed: &[Listed], behind: Duration) {
        let oldest = listed.first().map(|first| (first.number, Duration::ZERO));
        *self = Self {
            next: start_in(listed, behind).or(oldest),
            ..Self::default()
        };
        self.step_over_gaps(listed);
    }

    /// A segment came: the next one is wanted.
    pub(super) fn on_segment(&mut self, segment: &Listed, listed: &[Listed]) {
        self.next = Some((segment.number + 1, Duration::ZERO));
        self.begins_at = segment
            .begins_at
            .map(|begins_at| begins_at + segment.duration);
        self.step_over_gaps(listed);
    }

    /// The player leaves the rendition that has this playlist.
    pub(super) fn leave(&mut self, listed: &[Listed]) {
        if let Some(number) = self.number() {
            self.before_end = ahead(listed, number);
        }
    }

    /// Finds the next segment in the first playlist of another rendition: by time, if both playlists tell times. Otherwise the
    /// number counts if this playlist may have it, and else the distance from the end.
    pub(super) fn find_in(&mut self, listed: &[Listed]) {
        let (Some((next, _)), Some(first), Some(last)) =
            (&mut self.next, listed.first(), listed.last())
        else {
            return;
        };
        let after_last = last.number + 1;
        if let (Some(begins_at), Some(_)) = (self.begins_at, first.begins_at) {
            // Encoders cut renditions at nearly the same times.
            let is_it = |segment: &&Listed| {
                let begins = segment.begins_at.unwrap_or(begins_at);
                begins + segment.duration / 2 >= begins_at
            };
            let found = listed.iter().find(is_it);
            *next = found.map_or(after_last, |segment| segment.number);
        } else if !(first.number..=after_last).contains(next) {
            let mut ahead = Duration::ZERO;
            let newest_first = listed.iter().rev();
            let inside = newest_first.take_while(|segment| {
                ahead += segment.duration;
                ahead <= self.before_end
            });
            *next = inside.last().map_or(after_last, |segment| segment.number);
        }
    }

    /// A newer playlist came. Returns how many segments the player has to skip, because they have left the playlist.
    pub(super) fn on_playlist(&mut self, listed: &[Listed]) -> u32 {
        let (Some((next, offset)), Some(first)) = (&mut self.next, listed.first()) else {
            return 0;
        };
        let skipped = first.number.saturating_sub(*next);
        if skipped > 0 {
            (*next, *offset) = (first.number, Duration::ZERO);
        }
        self.step_over_gaps(listed);
        u32::try_from(skipped).unwrap_or(u32::MAX)
    }

    /// Segments that are missing on purpose are not asked for.
    fn step_over_gaps(&mut self, listed: &[Listed]) {
        let Some((next, offset)) = &mut self.next else {
            return;
        };
        for gap in listed.iter().filter(|segment| segment.gap) {
            if gap.number == *next {
                (*next, *offset) = (gap.number + 1, Duration::ZERO);
            }
        }
    }
}

/// Media of this segment and those after it.
fn ahead(listed: &[Listed], number: u64) -> Duration {
    let ahead = listed.iter().filter(|segment| segment.number >= number);
    ahead.map(|segment| segment.duration).sum()
}

/// The segment that lies `behind` before the end of the playlist, and the offset in it; `None` if the playlist is too short.
fn start_in(listed: &[Listed], mut behind: Duration) -> Option<(u64, Duration)> {
    for segment in listed.iter().rev() {
        if segment.duration >= behind {
            return Some((segment.number, segment.duration - behind));
        }
        behind -= segment.duration;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(2);

    /// Segments of 2 s with these numbers, made from this second on, if playlists tell times.
    fn listed(numbers: std::ops::Range<u64>, from_s: Option<u64>) -> Vec<Listed> {
        (0..)
            .zip(numbers)
            .map(|(nth, number)| Listed {
                number,
                duration: D,
                begins_at: from_s.map(|from| UnixTime::from_millis((from + 2 * nth) * 1_000)),
                gap: number % 10 == 9,
            })
            .collect()
    }

    #[test]
    fn a_place_is_found_in_another_rendition_by_time_by_number_or_by_its_distance_from_the_end() {
        for (first, second, expected) in [
            // By time, whatever the numbers are.
            (listed(0..6, Some(100)), listed(500..506, Some(102)), 503),
            // By number, where no time is known.
            (listed(0..6, None), listed(1..7, None), 4),
            // By the distance from the end: 4 s.
            (listed(0..6, None), listed(500..506, None), 504),
        ] {
            let mut place = Place::default();
            place.join(&first, Duration::from_secs(6));
            assert_eq!(place.number(), Some(3));
            place.on_segment(&first[3], &first);
            place.leave(&first);
            place.find_in(&second);
            assert_eq!(place.number(), Some(expected));
        }
    }

    #[test]
    fn gaps_are_stepped_over_and_what_has_left_is_counted() {
        let mut place = Place::default();
        place.join(&listed(5..12, None), Duration::from_secs(6));
        assert_eq!(place.number(), Some(10), "9 is a gap");
        assert_eq!(place.on_playlist(&listed(13..20, None)), 3);
        assert_eq!(place.number(), Some(13));
        assert!(place.is_in(&listed(13..20, None)));
        assert_eq!(place.until_end_of(&listed(13..20, None)), 7 * D);
    }

    #[test]
    fn a_playlist_that_is_too_short_is_joined_at_its_start() {
        let mut place = Place::default();
        place.join(&listed(0..2, None), Duration::from_secs(5));
        assert_eq!((place.number(), place.offset()), (Some(0), Duration::ZERO));
        place = Place::default();
        place.join(&listed(0..2, None), Duration::from_secs(3));
        assert_eq!(
            (place.number(), place.offset()),
            (Some(0), Duration::from_secs(1))
        );
    }
}
