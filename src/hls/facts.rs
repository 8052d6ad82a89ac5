//! The facts of a media playlist that a cache needs, read without a full model of the playlist.
//!
//! A cache gets playlists from any origin. A playlist that it cannot read is no error: it has no facts, and is served
//! as it is.

use std::time::Duration;

use crate::policy::rendition::PlaylistFacts;

/// First and newest segment of a media playlist, and its target duration; `None` if the text is no media playlist.
pub fn of_media_playlist(body: &[u8]) -> Option<PlaylistFacts> {
    let text = std::str::from_utf8(body).ok()?;
    let mut lines = text.lines().map(str::trim_end);
    if lines.next()?.trim_start_matches('\u{feff}') != "#EXTM3U" {
        return None;
    }
    let (mut sequence, mut target_duration, mut segments) = (0_u64, None, 0_u64);
    let mut newest = None;
    for line in lines {
        if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            // At most an hour, so that a malformed origin cannot make a playlist fresh for ever.
            let seconds: u64 = value.trim().parse().ok()?;
            target_duration = Some(Duration::from_secs(seconds.clamp(1, 3_600)));
        } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            sequence = value.trim().parse().ok()?;
        } else if let Some(value) = line.strip_prefix("#EXTINF:") {
            let seconds = value
                .split(',')
                .next()
                .and_then(|text| text.trim().parse().ok());
            newest = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        } else if !line.is_empty() && !line.starts_with('#') {
            segments += 1;
        }
    }
    let target_duration = target_duration?;
    // Of a playlist that lists nothing yet, the next segment stands for the last one at number 0: it is about to come, too.
    let last = sequence.checked_add(segments)?.saturating_sub(1);
    Some(PlaylistFacts {
        first: sequence,
        last,
        target_duration,
        // No segment is longer than the target duration, except by rounding.
        newest: newest.map_or(target_duration, |span| span.min(target_duration)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_target_duration_are_found() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:40\n#EXTINF:2.88,\n40.ts\n#EXTINF:2.88,\n41.ts\n";
        let facts = of_media_playlist(text.as_bytes()).unwrap();
        assert_eq!(
            facts,
            PlaylistFacts {
                first: 40,
                last: 41,
                target_duration: Duration::from_secs(3),
                newest: Duration::from_millis(2_880),
            }
        );
    }

    #[test]
    fn what_is_no_playlist_has_no_facts() {
        for text in [
            "",
            "<html>",
            "#EXTM3U\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:x\n",
            "\u{1}\u{2}",
        ] {
            assert_eq!(of_media_playlist(text.as_bytes()), None, "{text:?}");
        }
    }
}
