//! What an edge knows of a rendition from its newest playlist. From this follow whether another copy is newer, and why
//! a segment is missing.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::admission::Class;
use crate::time::Timestamp;

/// What policy must know of a media playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaylistFacts {
    /// Number of the oldest segment that it lists.
    pub first: u64,
    /// Number of the newest segment that it lists.
    pub last: u64,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// Duration of the newest segment: the next segment is due that much later.
    pub newest: Duration,
}

/// How a playlist that has just landed compares with the newest one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It lists these segments for the first time. `None`: it lists no new segment, or it is the first playlist of its
    /// rendition.
    Newer(Option<RangeInclusive<u64>>),
    /// It is an older copy of the same stream and must not replace a newer one.
    Older,
    /// It shares no segment with the playlist before and lies behind it: the stream has begun anew.
    Reset,
}

impl PlaylistFacts {
    /// Compares this playlist with the newest one before.
    pub fn after(&self, before: Option<&Self>) -> Fit {
        let Some(before) = before else {
            return Fit::Newer(None);
        };
        if self.last > before.last {
            let first = self.first.max(before.last + 1);
            return Fit::Newer(Some(first..=self.last));
        }
        if self.last == before.last {
            return Fit::Newer(None);
        }
        if self.last < before.first {
            Fit::Reset
        } else {
            Fit::Older
        }
    }

    /// Why the origin has no segment of this number.
    pub fn absence_of(&self, number: u64) -> Absence {
        if number < self.first {
            Absence::Past
        } else if number <= self.last {
            Absence::Listed
        } else if number == self.last.saturating_add(1) {
            Absence::Next
        } else {
            Absence::Ahead
        }
    }

    /// How urgently a segment of this number is needed. The live edge begins with the two newest segments.
    pub fn class_of(&self, number: u64) -> Class {
        if number.saturating_add(1) >= self.last {
            Class::LiveEdge
        } else {
            Class::Older
        }
    }
}

/// One look at a playlist. Its answer shows the stream at some instant between `asked` and `answered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When the server was asked.
    pub asked: Timestamp,
    /// When its answer came.
    pub answered: Timestamp,
}

impl Sighting {
    /// From an answer that came at `answered` and had this `Age`: a cache on the way had asked that much earlier. An
    /// age is cut to whole seconds, so an age above zero may be a second more.
    pub fn of_answer(asked: Timestamp, answered: Timestamp, age: Duration) -> Self {
        let age_max = if age.is_zero() {
            age
        } else {
            age + Duration::from_secs(1)
        };
        Self {
            asked: asked.before(age_max),
            answered: answered.before(age),
        }
    }
}

/// When the next segment of a rendition is due: not before `earliest`, and by `latest` if the stream keeps its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Until then the newest playlist that was seen is the newest one that exists.
    pub earliest: Timestamp,
    /// From then on the segment is late.
    pub latest: Timestamp,
}

/// When the segments of a rendition are published, estimated from the playlists that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    due: Due,
    /// When the last playlist was asked for.
    asked: Timestamp,
    facts: PlaylistFacts,
}

impl Cadence {
    /// From the first playlist of a rendition. A stream that keeps its pace publishes the next segment within the
    /// duration of one segment.
    pub fn begin(facts: PlaylistFacts, sighting: Sighting) -> Self {
        Self {
            due: Due {
                earliest: sighting.asked,
                latest: sighting.answered + facts.newest,
            },
            asked: sighting.asked,
            facts,
        }
    }

    /// From one more playlist of the same stream. Segments come at the pace of their durations, so each sighting
    /// narrows down when. A segment was not there yet when the edge asked for a playlist that came without it. It was
    /// there when a playlist came that lists it.
    pub fn saw(self, facts: PlaylistFacts, sighting: Sighting) -> Self {
        let seen = Self {
            asked: sighting.asked,
            facts,
            ..self
        };
        let Some(count) = facts.last.checked_sub(self.facts.last) else {
            return Self::begin(facts, sighting);
        };
        if count == 0 {
            return seen;
        }
        let pace = facts
            .newest
            .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        let by_sight = Due {
            earliest: self.asked + facts.newest,
            latest: sighting.answered + facts.newest,
        };
        let narrowed = Due {
            earliest: by_sight.earliest.max(self.due.earliest + pace),
            latest: by_sight.latest.min(self.due.latest + pace),
        };
        // After the stream has changed its pace, only the last two sightings count.
        let due = if narrowed.earliest <= narrowed.latest {
            narrowed
        } else {
            by_sight
        };
        Self { due, ..seen }
    }

    /// When the next segment is due.
    pub fn due(&self) -> Due {
        self.due
    }
}

/// What an edge remembers of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// The newest playlist.
    pub newest: PlaylistFacts,
    /// When the newest playlist was seen.
    pub seen_at: Timestamp,
    cadence: Cadence,
}

impl Rendition {
    /// A rendition whose first playlist was seen at `now`.
    pub fn begin(facts: PlaylistFacts, sighting: Sighting, now: Timestamp) -> Self {
        Self {
            newest: facts,
            seen_at: now,
            cadence: Cadence::begin(facts, sighting),
        }
    }

    /// Takes one more playlist that was seen at `now`, and compares it with the newest one before.
    pub fn saw(&mut self, facts: PlaylistFacts, sighting: Sighting, now: Timestamp) -> Fit {
        let mut fit = facts.after(Some(&self.newest));
        // Only older copies have come for as long as a stale one may stand in: they are the stream now.
        if fit == Fit::Older && now.since(self.seen_at) > facts.target_duration * 3 {
            fit = Fit::Reset;
        }
        match fit {
            Fit::Older => {}
            Fit::Reset => *self = Self::begin(facts, sighting, now),
            Fit::Newer(_) => {
                self.newest = facts;
                self.seen_at = now;
                self.cadence = self.cadence.saw(facts, sighting);
            }
        }
        fit
    }

    /// When its next segment is due.
    pub fn due(&self) -> Due {
        self.cadence.due()
    }
}

/// Why a segment is not at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The playlist lists the segment: it must come at once.
    Listed,
    /// The segment comes next.
    Next,
    /// The segment lies further ahead.
    Ahead,
    /// The segment has left the playlist.
    Past,
}

impl Absence {
    /// Whether a request for the segment is held until it is there.
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
            last: *range.end(),
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

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    /// An answer that took 10 ms.
    fn answered(millis: u64) -> Sighting {
        Sighting {
            asked: at(millis - 10),
            answered: at(millis),
        }
    }

    #[test]
    fn sightings_narrow_down_when_the_next_segment_is_due() {
        // Segments are published at 0, 2, 4, ... s; the first playlist is seen late.
        let mut cadence = Cadence::begin(lists(0..=5), answered(10_900));
        let mut due = vec![cadence.due()];
        for (last, millis) in [
            (6, 12_400),
            (6, 13_900),
            (7, 14_100),
            (8, 16_050),
            (9, 18_300),
        ] {
            cadence = cadence.saw(lists(last - 5..=last), answered(millis));
            due.push(cadence.due());
        }
        let between = |(earliest, latest)| Due {
            earliest: at(earliest),
            latest: at(latest),
        };
        assert_eq!(
            due,
            [
                (10_890, 12_900),
                (12_890, 14_400),
                (12_890, 14_400),
                (15_890, 16_100),
                (17_890, 18_050),
                (19_890, 20_050),
            ]
            .map(between)
        );
    }

    #[test]
    fn a_stream_that_changes_its_pace_is_known_by_what_was_seen() {
        let on_time =
            Cadence::begin(lists(0..=5), answered(10_010)).saw(lists(0..=5), answered(11_990));
        let late = on_time
            .saw(lists(0..=5), answered(15_000))
            .saw(lists(1..=6), answered(15_100));
        let due = Due {
            earliest: at(16_990),
            latest: at(17_100),
        };
        assert_eq!(late.due(), due);
        let early = late.saw(lists(2..=7), answered(16_000));
        let due = Due {
            earliest: at(17_090),
            latest: at(18_000),
        };
        assert_eq!(early.due(), due);
    }

    #[test]
    fn older_copies_are_no_news_until_nothing_newer_has_come_for_three_target_durations() {
        let mut rendition = Rendition::begin(lists(10..=19), answered(1_000), at(1_000));
        assert_eq!(
            rendition.saw(lists(9..=18), answered(7_000), at(7_000)),
            Fit::Older
        );
        assert_eq!(rendition.newest, lists(10..=19));
        assert_eq!(
            rendition.saw(lists(9..=18), answered(7_001), at(7_001)),
            Fit::Reset
        );
        assert_eq!(rendition.newest, lists(9..=18));
        assert_eq!(rendition.due().latest, at(9_001));
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
