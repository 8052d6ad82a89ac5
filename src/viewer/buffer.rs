//! Media that a player has received and not played yet. Segments fill the buffer, playback drains it in real time, and it may
//! run dry.

use std::time::Duration;

use super::quality::Quality;
use crate::time::Timestamp;

/// What a player shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playback {
    /// No picture yet, or none since the viewer has sought.
    Starting,
    /// A moving picture.
    Playing,
    /// A still picture: the buffer ran dry.
    Stalled,
}

impl Playback {
    /// All states, in their order.
    pub const ALL: [Self; 3] = [Self::Starting, Self::Playing, Self::Stalled];

    /// Its name in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Playing => "playing",
            Self::Stalled => "stalled",
        }
    }
}

/// The buffer of one player.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    playback: Playback,
    level: Duration,
    /// The time at which `level` is valid.
    drained_at: Timestamp,
    /// When the buffer last ran dry.
    dry_since: Timestamp,
    stalls: Vec<(Timestamp, Timestamp)>,
}

/// Maximum number of stalls per viewer whose times are kept.
const STALLS_MAX: usize = 64;

/// The effect of an appended segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// The first frame is shown.
    Now,
    /// Playback had begun before, or has not begun yet.
    NotNow,
}

impl Buffer {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            playback: Playback::Starting,
            level: Duration::ZERO,
            drained_at: at,
            dry_since: at,
            stalls: Vec::new(),
        }
    }

    /// When the buffer was dry, as (begin, end); only the first stalls are kept.
    pub(super) fn stalls(&self) -> &[(Timestamp, Timestamp)] {
        &self.stalls
    }

    /// What the player shows.
    pub(super) fn playback(&self) -> Playback {
        self.playback
    }

    /// Media that is left to play.
    pub(super) fn level(&self) -> Duration {
        self.level
    }

    /// When only `level` is left, if no segment is appended; `None` if the level is that low already.
    pub(super) fn falls_to(&self, level: Duration) -> Option<Timestamp> {
        let above = self.level.checked_sub(level)?;
        (!above.is_zero()).then(|| self.drained_at + above)
    }

    /// When nothing is left to play, if no segment is appended. A player that shows no moving picture has nothing left.
    pub(super) fn dry_at(&self) -> Timestamp {
        match self.playback {
            Playback::Playing => self.drained_at + self.level,
            Playback::Starting | Playback::Stalled => self.drained_at,
        }
    }

    /// Whether media plays, and would go on until `then` without another segment.
    pub(super) fn lasts_until(&self, then: Timestamp) -> bool {
        self.playback == Playback::Playing && self.drained_at + self.level >= then
    }

    /// Empties the buffer, because the viewer has sought. A stall ends here; the wait that follows is none.
    pub(super) fn clear(&mut self) {
        if self.playback == Playback::Stalled {
            self.note_stall();
        }
        self.level = Duration::ZERO;
        self.playback = Playback::Starting;
    }

    /// Lets time pass until `now`.
    pub(super) fn drain(&mut self, now: Timestamp, quality: &mut Quality) {
        let passed = now.since(self.drained_at);
        let dry_at = self.drained_at + self.level;
        self.drained_at = self.drained_at.max(now);
        match self.playback {
            Playback::Playing if passed > self.level => {
                quality.played += self.level;
                quality.stalled += passed - self.level;
                quality.stalls += 1;
                self.dry_since = dry_at;
                self.level = Duration::ZERO;
                self.playback = Playback::Stalled;
            }
            Playback::Playing => {
                quality.played += passed;
                self.level -= passed;
            }
            Playback::Stalled => quality.stalled += passed,
            Playback::Starting => {}
        }
    }

    /// Adds `media` of a segment that lasts `segment`.
    ///
    /// The start position may lie shortly before the end of a segment, and no player begins with a third of a second of media.
    /// So the first frame waits for a whole segment's duration of media. After a stall any segment resumes playback.
    pub(super) fn append(&mut self, media: Duration, segment: Duration) -> Begins {
        self.level += media;
        match self.playback {
            Playback::Starting if self.level < segment => Begins::NotNow,
            Playback::Starting => {
                self.playback = Playback::Playing;
                Begins::Now
            }
            Playback::Stalled => {
                self.note_stall();
                self.playback = Playback::Playing;
                Begins::NotNow
            }
            Playback::Playing => Begins::NotNow,
        }
    }

    /// A stall has ended just now.
    fn note_stall(&mut self) {
        if self.stalls.len() < STALLS_MAX {
            self.stalls.push((self.dry_since, self.drained_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_plays_runs_dry_and_resumes() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        let mut quality = Quality::default();
        let mut buffer = Buffer::new(at(0));
        assert_eq!(buffer.append(seconds(1), seconds(3)), Begins::NotNow);
        buffer.drain(at(500), &mut quality);
        assert_eq!(buffer.level(), seconds(1));
        assert_eq!(buffer.append(seconds(3), seconds(3)), Begins::Now);
        assert_eq!(buffer.falls_to(seconds(3)), Some(at(1_500)));
        assert_eq!(buffer.falls_to(seconds(4)), None);
        buffer.drain(at(6_500), &mut quality);
        assert_eq!((quality.played, quality.stalled), (seconds(4), seconds(2)));
        assert_eq!(buffer.append(seconds(3), seconds(3)), Begins::NotNow);
        buffer.drain(at(7_500), &mut quality);
        assert_eq!((quality.played, quality.stalls), (seconds(5), 1));
        assert_eq!(buffer.stalls(), [(at(4_500), at(6_500))]);
        // A seek ends a stall, too.
        buffer.drain(at(10_500), &mut quality);
        buffer.clear();
        assert_eq!(quality.stalls, 2);
        assert_eq!(buffer.stalls()[1..], [(at(9_500), at(10_500))]);
    }
}
