//! What a key names, by its ending: keys of a trace may come from any server of HLS.

use serde::Serialize;

/// The class of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    /// `.m3u8`.
    Playlist,
    /// `.ts`, `.m4s`, `.mp4`, `.aac`, `.vtt`.
    Segment,
    /// Any other ending.
    Other,
}

const SEGMENTS: [&[u8]; 5] = [b".ts", b".m4s", b".mp4", b".aac", b".vtt"];

impl Class {
    /// Every class.
    pub(super) const ALL: [Self; 3] = [Self::Playlist, Self::Segment, Self::Other];

    /// The word in reports.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Playlist => "playlists",
            Self::Segment => "segments",
            Self::Other => "other",
        }
    }

    /// The class of a key. Its query does not count, and neither do capital letters.
    pub(super) fn of(key: &[u8]) -> Self {
        let path = key.split(|&byte| byte == b'?').next().unwrap_or_default();
        let ends = |suffix: &[u8]| {
            let at = path.len().checked_sub(suffix.len());
            at.is_some_and(|at| path[at..].eq_ignore_ascii_case(suffix))
        };
        if ends(b".m3u8") {
            Self::Playlist
        } else if SEGMENTS.into_iter().any(ends) {
            Self::Segment
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_by_the_ending_before_the_query() {
        for (key, class) in [
            ("/live/demo/720p/media.m3u8", Class::Playlist),
            ("/a/MAIN.M3U8?token=x.ts", Class::Playlist),
            ("/live/demo/720p/17.ts", Class::Segment),
            ("seg.m4s?x=1", Class::Segment),
            ("init.mp4", Class::Segment),
            ("en.vtt", Class::Segment),
            ("/logo.png", Class::Other),
            ("/ts", Class::Other),
            ("ts", Class::Other),
            ("", Class::Other),
            ("?.ts", Class::Other),
        ] {
            assert_eq!(Class::of(key.as_bytes()), class, "{key}");
        }
    }
}
