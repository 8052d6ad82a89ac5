//! Quality of experience of one viewer, in the terms of CTA-2066.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one viewer experienced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Time from arrival to the first frame; `None` if there was none.
    pub startup: Option<Duration>,
    /// Time spent playing.
    pub played: Duration,
    /// Time spent stalled after the first frame.
    pub stalled: Duration,
    /// Rebuffering events after the first frame.
    pub stalls: u32,
    /// Requests that failed and were tried again.
    pub retries: u32,
    /// Changes of rendition.
    pub switches: u32,
    /// Times that the viewer sought back.
    #[serde(default)]
    pub seeks: u32,
    /// Times that the player went to another edge.
    #[serde(default)]
    pub failovers: u32,
    /// Segments that left the playlist before the player asked for them.
    pub skipped: u32,
    /// Times that a playlist was older than the newest one before it.
    pub playlists_went_back: u32,
    /// Duration of the media received.
    pub media: Duration,
    /// BANDWIDTH times duration, summed over the media received: bits.
    pub media_bits: f64,
    /// Distance of the playhead from the live edge when media was last appended; `None` without dates in the playlist.
    pub live_latency: Option<Duration>,
    /// The same distance when playback began.
    pub live_latency_at_start: Option<Duration>,
    /// How the visit ended.
    pub exit: Exit,
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The visit has not ended.
    #[default]
    Watching,
    /// The viewer left at its planned time.
    Left,
    /// The viewer saw the end of a stream that has ended.
    Ended,
    /// The viewer left before the first frame.
    BeforeStart,
    /// The player gave up before the first frame.
    StartFailed,
    /// The player gave up after the first frame.
    Fatal,
    /// The run was interrupted.
    Cut,
}

impl Quality {
    /// Whether nothing went wrong: playback started, never stalled, skipped nothing, and no failure ended it.
    pub fn is_perfect(&self) -> bool {
        self.startup.is_some() && self.stalls == 0 && self.skipped == 0 && self.exit != Exit::Fatal
    }
}
