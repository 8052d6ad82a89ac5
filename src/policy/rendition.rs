//! What an edge knows of a rendition from its newest playlist, and what follows: whether another copy is newer, and what
//! it means that a segment is not there.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::admission::Class;
use super::freshness::PlaylistFacts;
use crate::time::Timestamp;

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

/// When the newest segment of a rendition was published, as nearly as the playlists that were seen can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// It was listed by then.
    published: Timestamp,
    /// When the last playlist was seen.
    seen: Timestamp,
    facts: PlaylistFacts,
}

impl Cadence {
    /// From the first playlist of a rendition: its newest segment is there, nobody knows for how long.
    pub fn begin(facts: PlaylistFacts, now: Timestamp) -> Self {
        Self {
            published: now,
            seen: now,
            facts,
        }
    }

    /// From one more playlist of the same stream. Segments come at the pace of their durations, so each sighting narrows
    /// down when: not after it was seen, and not before a playlist was seen without it.
    pub fn saw(self, facts: PlaylistFacts, now: Timestamp) -> Self {
        let published = match facts.head.checked_sub(self.facts.head) {
            Some(0) => self.published,
            Some(count) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let at_its_pace = self.published + facts.newest.saturating_mul(count);
                at_its_pace.max(self.seen).min(now)
            }
            None => now,
        };
        Self {
            published,
            seen: now,
            facts,
        }
    }

    /// When the next segment is due.
    pub fn due(&self) -> Timestamp {
        self.published + self.facts.newest
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
            newest: Duration::from_secs(2),
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
    fn sightings_narrow_down_when_the_next_segment_is_due() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        // Segments are published at 0, 2, 4, ... s; the first playlist is seen late.
        let mut cadence = Cadence::begin(lists(0..=5), at(10_900));
        let mut due = vec![cadence.due()];
        for (head, millis) in [
            (6, 12_400),
            (6, 13_900),
            (7, 14_100),
            (8, 16_090),
            (9, 18_300),
        ] {
            cadence = cadence.saw(lists(head - 5..=head), at(millis));
            due.push(cadence.due());
        }
        assert_eq!(
            due,
            [12_900, 14_400, 14_400, 16_100, 18_090, 20_090].map(at)
        );
        // A stream that has slowed down is not expected too early for ever: what was seen without it moves it on.
        let late = cadence
            .saw(lists(4..=9), at(20_600))
            .saw(lists(5..=10), at(20_700));
        assert_eq!(late.due(), at(22_600));
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
