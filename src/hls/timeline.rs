//! The timeline of a channel: which segment exists at an instant. Pure arithmetic on UNIX time.
//!
//! Segment `n` covers the UNIX span `[n * D, (n + 1) * D)` and is available when that span has passed. Numbers count
//! from the epoch, so after a restart no name stands for other bytes. Media timestamps count from
//! [`Channel::first_number`].

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::container::Container;
use super::ladder::{self, Rendition};
use crate::time::UnixTime;

/// Number of parts that a segment may have: 0.96 s to 9.92 s.
pub const PARTS_PER_SEGMENT: RangeInclusive<u32> = 3..=31;
/// The grid without drift: a part is exactly 8 video frames at 25 fps and 15 AAC frames at 48 kHz.
pub const PART: Duration = Duration::from_millis(320);
/// Video frames in a part.
pub const FRAMES_PER_PART: u32 = 8;
/// AAC frames (1,024 samples each) in a part.
pub const AUDIO_FRAMES_PER_PART: u32 = 15;

/// A channel: every byte of its stream is a pure function of this value, a rendition and a segment number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The name in URLs and on the picture; see [`super::names::is_name`].
    pub name: String,
    /// Seeds the noise of the picture.
    pub seed: u64,
    /// Segment duration and renditions of the stream.
    pub layout: Layout,
    /// When the broadcast began. Media timestamps count from the segment that was under way at this instant.
    pub started_at: UnixTime,
}

/// The segment duration and the renditions of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Parts of 0.32 s per segment: 6 is 1.92 s, 9 is 2.88 s.
    pub parts_per_segment: u32,
    /// The renditions, lowest bitrate first.
    pub ladder: Vec<Rendition>,
    /// The container of every segment.
    #[serde(default, skip_serializing_if = "Container::is_default")]
    pub container: Container,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            parts_per_segment: 6,
            ladder: ladder::default_ladder(),
            container: Container::default(),
        }
    }
}

impl Layout {
    /// Duration of every segment.
    pub fn segment_duration(&self) -> Duration {
        PART * self.parts_per_segment
    }

    /// EXT-X-TARGETDURATION in seconds: the segment's duration, rounded (RFC 8216bis, section 4.4.3.1).
    pub fn target_duration_s(&self) -> u32 {
        let millis = self.segment_duration().as_millis() as u32;
        (millis + 500) / 1_000
    }

    /// Video frames per segment.
    pub fn frames_per_segment(&self) -> u32 {
        FRAMES_PER_PART * self.parts_per_segment
    }

    /// AAC frames per segment.
    pub fn audio_frames_per_segment(&self) -> u32 {
        AUDIO_FRAMES_PER_PART * self.parts_per_segment
    }
}

impl Channel {
    /// The rendition with this name.
    pub fn rendition(&self, name: &str) -> Option<&Rendition> {
        self.layout
            .ladder
            .iter()
            .find(|rendition| rendition.name == name)
    }

    /// The number of the first segment: the one under way at `started_at`.
    pub fn first_number(&self) -> u64 {
        self.started_at.as_nanos() / self.segment_nanos()
    }

    /// When segment `number` begins.
    pub fn begins_at(&self, number: u64) -> UnixTime {
        UnixTime::from_nanos(number.saturating_mul(self.segment_nanos()))
    }

    /// When segment `number` is whole and may be published.
    pub fn available_at(&self, number: u64) -> UnixTime {
        self.begins_at(number.saturating_add(1))
    }

    /// The newest whole segment at `now`; `None` until the first is whole.
    pub fn newest(&self, now: UnixTime) -> Option<u64> {
        let newest = (now.as_nanos() / self.segment_nanos()).checked_sub(1)?;
        (newest >= self.first_number()).then_some(newest)
    }

    /// The last `length` whole segments at `now`, oldest first.
    pub fn window(&self, now: UnixTime, length: u64) -> Option<RangeInclusive<u64>> {
        let newest = self.newest(now)?;
        let oldest = newest
            .saturating_sub(length.saturating_sub(1))
            .max(self.first_number());
        Some(oldest..=newest)
    }

    /// Offset of segment `number` on the media timeline: zero at [`Self::first_number`].
    pub fn media_offset(&self, number: u64) -> Duration {
        Duration::from_nanos(
            number
                .saturating_sub(self.first_number())
                .saturating_mul(self.segment_nanos()),
        )
    }

    fn segment_nanos(&self) -> u64 {
        // Code that reads channels refuses a layout of zero parts. `max` prevents a division by zero even so.
        (self.layout.segment_duration().as_nanos() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout::default(),
            started_at: UnixTime::from_millis(192_500),
        }
    }

    #[test]
    fn a_segment_is_available_when_its_span_has_passed() {
        let channel = channel();
        assert_eq!(channel.first_number(), 100);
        assert_eq!(channel.newest(UnixTime::from_millis(193_919)), None);
        assert_eq!(channel.newest(UnixTime::from_millis(193_920)), Some(100));
        assert_eq!(channel.available_at(100), UnixTime::from_millis(193_920));
        assert_eq!(channel.media_offset(102), Duration::from_millis(3_840));
    }

    #[test]
    fn the_window_never_reaches_behind_the_first_segment() {
        let channel = channel();
        let at = |number| channel.available_at(number);
        assert_eq!(channel.window(at(103), 10), Some(100..=103));
        assert_eq!(channel.window(at(120), 10), Some(111..=120));
    }

    #[test]
    fn target_durations_are_rounded() {
        for (parts, seconds) in [(6, 2), (9, 3), (12, 4), (18, 6)] {
            let layout = Layout {
                parts_per_segment: parts,
                ..Layout::default()
            };
            assert_eq!(layout.target_duration_s(), seconds);
        }
    }
}
