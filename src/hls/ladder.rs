//! The ladder: which renditions a channel has, and what its playlists promise of each.

use serde::{Deserialize, Serialize};

/// Frames per second of every rendition. At this rate 0.32 s are exactly 8 video frames and 15 AAC frames.
pub const FRAME_RATE: u32 = 25;

/// Samples per second of the audio.
pub const AUDIO_RATE: u32 = 48_000;

/// One version of the video: a size and a bitrate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendition {
    /// The name in URLs and on the picture, such as `720p`.
    pub name: String,
    /// Width of the picture in pixels; even.
    pub width: u32,
    /// Height of the picture in pixels; even.
    pub height: u32,
    /// Average bitrate of the whole transport stream, audio and packet headers included, in bits per second.
    pub bitrate_bps: u32,
}

impl Rendition {
    /// The renditions that Seawall knows by name, lowest first.
    pub fn known() -> [Self; 4] {
        let rendition = |name: &str, width, height, bitrate_bps| Self {
            name: name.to_owned(),
            width,
            height,
            bitrate_bps,
        };
        [
            rendition("180p", 320, 180, 190_000),
            rendition("360p", 640, 360, 700_000),
            rendition("720p", 1280, 720, 2_000_000),
            rendition("1080p", 1920, 1080, 4_000_000),
        ]
    }

    /// The rendition with this name among the known ones.
    pub fn named(name: &str) -> Option<Self> {
        Self::known()
            .into_iter()
            .find(|rendition| rendition.name == name)
    }

    /// `level_idc` of H.264 (annex A): the lowest level that allows this macroblock rate and frame size at 25 fps.
    pub fn h264_level(&self) -> u8 {
        let macroblocks = self.width.div_ceil(16) * self.height.div_ceil(16);
        let per_second = macroblocks * FRAME_RATE;
        const LEVELS: [(u8, u32, u32); 7] = [
            (13, 396, 11_880),
            (21, 792, 19_800),
            (22, 1_620, 20_250),
            (30, 1_620, 40_500),
            (31, 3_600, 108_000),
            (40, 8_192, 245_760),
            (51, 36_864, 983_040),
        ];
        LEVELS
            .into_iter()
            .find(|&(_, frame, rate)| macroblocks <= frame && per_second <= rate)
            .map_or(52, |(level, _, _)| level)
    }

    /// The CODECS attribute (RFC 6381): constrained baseline H.264 and AAC-LC.
    pub fn codecs(&self) -> String {
        format!("avc1.42c0{:02x},mp4a.40.2", self.h264_level())
    }
}

/// The default ladder: 180p, 360p and 720p.
pub fn default_ladder() -> Vec<Rendition> {
    Rendition::known().into_iter().take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_suffice_for_size_and_rate() {
        let codecs: Vec<_> = Rendition::known().iter().map(Rendition::codecs).collect();
        assert_eq!(
            codecs,
            [
                "avc1.42c00d,mp4a.40.2",
                "avc1.42c01e,mp4a.40.2",
                "avc1.42c01f,mp4a.40.2",
                "avc1.42c028,mp4a.40.2"
            ]
        );
    }
}
