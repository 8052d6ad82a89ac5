//! What an edge knows of a rendition from its newest playlist, and what follows: whether another copy is newer, and what
//! it means that a segment is not there.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::admission::Class;
use super::freshness::PlaylistFacts;

/// How a playlist that has just landed stands to the newest one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It lists these segments for the first time; the first playlist of a rendition lists none for the first time.
    Newer(Option<RangeInclusive<u64>>),
    /// It is an older copy of the same stream, and must not replace a newer one.
    Older,
    /// It shares no segment with the one before and lies behind it: the stream has begun anew.
    Reset,
}

impl PlaylistFacts {
    /// How this playlist stands to the newest one before.
    pub fn after(&self, before: Option<&Self>) -> Fit {
        let Some(before) = before else {
            return Fit::Newer(None);
        };
        if self.head > before.head {
            let first = self.first.max(before.head + 1);
            return Fit::Newer(Some(first..=self.head));
        }
        if self.head == before.head {
            return Fit::Newer(None);
        }
        if self.head < before.first {
            Fit::Reset
        } else {
            Fit::Older
        }
    }

    /// What it means that the origin has no segment of this number.
    pub fn absence_of(&self, number: u64) -> Absence {
        if number < self.first {
            Absence::Past
        } else if number <= self.head {
            Absence::Listed
        } else if number == self.head.saturating_add(1) {
            Absence::Next
        } else {
            Absence::Ahead
        }
    }

    /// How urgently a segment of this number is needed: the two newest ones are the live edge.
    pub fn class_of(&self, number: u64) -> Class {
        if number.saturating_add(1) >= self.head {
            Class::LiveEdge
        } else {
            Class::Older
        }
    }
}

/// Why a segment is not at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The playlist lists it: it must come at once.
    Listed,
    /// It comes next.
    Next,
    /// It lies further ahead.
    Ahead,
    /// It has left the playlist.
    Past,
}

impl Absence {
    /// Whether a request for it is held until it is there.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Listed | Self::Next)
    }

    /// How long a 404 is remembered; a playlist that lists the segment ends that at once.
    pub fn remembered(self, target_duration: Duration) -> Duration {
        match self {
            Self::Listed | Self::Next | Self::Ahead => {
                (target_duration / 2).min(Duration::from_secs(1))
            }
            Self::Past => target_duration * 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(range: RangeInclusive<u64>) -> PlaylistFacts {
        PlaylistFacts {
            first: *range.start(),
            head: *range.end(),
            target_duration: Duration::from_secs(2),
        }
    }

    #[test]
    fn newer_older_and_begun_anew_are_told_apart() {
        let before = lists(10..=19);
        for (now, fit) in [
            (lists(11..=20), Fit::Newer(Some(20..=20))),
            (lists(13..=22), Fit::Newer(Some(20..=22))),
            (lists(40..=49), Fit::Newer(Some(40..=49))),
            (lists(10..=19), Fit::Newer(None)),
            (lists(9..=18), Fit::Older),
            (lists(1..=10), Fit::Older),
            (lists(0..=9), Fit::Reset),
        ] {
            assert_eq!(now.after(Some(&before)), fit, "{now:?}");
        }
        assert_eq!(before.after(None), Fit::Newer(None));
    }

    #[test]
    fn a_missing_segment_is_next_listed_ahead_or_past() {
        let playlist = lists(10..=19);
        for (number, absence, millis) in [
            (9, Absence::Past, 12_000),
            (10, Absence::Listed, 1_000),
            (19, Absence::Listed, 1_000),
            (20, Absence::Next, 1_000),
            (21, Absence::Ahead, 1_000),
        ] {
            assert_eq!(playlist.absence_of(number), absence);
            let remembered = absence.remembered(playlist.target_duration);
            assert_eq!(remembered.as_millis(), millis, "{number}");
        }
        assert_eq!(playlist.class_of(18), Class::LiveEdge);
        assert_eq!(playlist.class_of(17), Class::Older);
    }
}
