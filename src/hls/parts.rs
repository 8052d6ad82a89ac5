//! What a player loads for one segment: the key and the header that it does not have yet, the bytes themselves, and the segments
//! of its audio and subtitles that are shown at the same time.

use std::time::Duration;

use super::reader::{Listed, MediaFacts, Resource};

/// A request that a segment needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key that the bytes are encrypted with.
    Key(String),
    /// The header in front of the bytes (EXT-X-MAP).
    Header(Resource),
    /// The bytes.
    Media(Resource),
}

/// The keys and the header that a player has of one playlist. hls.js keeps both by address; here the last header alone is kept,
/// which costs a request where two alternate.
#[derive(Clone, Debug, Default)]
pub struct Held {
    keys: Vec<String>,
    header: Option<Resource>,
}

/// Keys that a player keeps.
const KEYS_MAX: usize = 8;

impl Held {
    /// What this segment still needs, in the order of loading.
    pub fn missing(&self, segment: &Listed) -> Vec<Part> {
        let key = segment.key.as_ref().filter(|key| !self.keys.contains(key));
        let header = segment.map.as_ref();
        let header = header.filter(|header| self.header.as_ref() != Some(header));
        let parts = [
            key.cloned().map(Part::Key),
            header.cloned().map(Part::Header),
            Some(Part::Media(segment.resource.clone())),
        ];
        parts.into_iter().flatten().collect()
    }

    /// A part came.
    pub fn on_part(&mut self, part: Part) {
        match part {
            Part::Key(key) => {
                if self.keys.len() >= KEYS_MAX {
                    self.keys.remove(0);
                }
                self.keys.push(key);
            }
            Part::Header(header) => self.header = Some(header),
            Part::Media(_) => {}
        }
    }
}

/// Where a player is in a track that it plays beside its rendition.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackPlace {
    /// The next segment of the track.
    next: Option<u64>,
}

/// Segments of two playlists that overlap by less than this are not shown together: encoders cut sound and pictures at slightly
/// different times.
const OVERLAP_MIN_S: f64 = 0.1;

/// A player that is further from the segment that it should load than this many segments has jumped.
const JUMP: u64 = 2;

impl TrackPlace {
    /// The segments of the `track` to load with segment `number` of the rendition with this playlist, as indices.
    pub fn wanted(
        &self,
        rendition: &MediaFacts,
        number: u64,
        track: &MediaFacts,
    ) -> std::ops::Range<usize> {
        let is_it = |segment: &Listed| segment.number == number;
        let (Some(at), Some(oldest)) = (
            rendition.listed.iter().position(is_it),
            track.listed.first(),
        ) else {
            return 0..0;
        };
        let dated = |facts: &MediaFacts| facts.listed.iter().all(|one| one.begins_at.is_some());
        let axis = match (dated(rendition) && dated(track), rendition.ended) {
            (true, _) => Axis::Dates,
            (false, true) => Axis::FromStart,
            (false, false) => Axis::ToEnd,
        };
        let (begins, ends) = axis.times(rendition)[at];
        let times = axis.times(track);
        let first = times.partition_point(|(_, end)| *end < begins + OVERLAP_MIN_S);
        let until = times.partition_point(|(begin, _)| *begin < ends - OVERLAP_MIN_S);
        let shown = oldest.number + first as u64;
        let jumped = |next: &u64| next.abs_diff(shown) > JUMP;
        let next = self.next.filter(|next| !jumped(next)).unwrap_or(shown);
        let from = usize::try_from(next.saturating_sub(oldest.number)).unwrap_or(usize::MAX);
        from.min(until)..until
    }

    /// A segment of the track came.
    pub fn on_segment(&mut self, number: u64) {
        self.next = Some(number + 1);
    }
}

/// How the times of two playlists are compared.
#[derive(Clone, Copy)]
enum Axis {
    /// By EXT-X-PROGRAM-DATE-TIME.
    Dates,
    /// By the distance from the first segment: both list all of a stream that has ended.
    FromStart,
    /// By the distance from the newest segment, because both are written at the same time.
    ToEnd,
}

impl Axis {
    /// When each segment begins and ends, in seconds.
    fn times(self, facts: &MediaFacts) -> Vec<(f64, f64)> {
        let whole: Duration = facts.listed.iter().map(|segment| segment.duration).sum();
        let mut at = match self {
            Self::Dates | Self::FromStart => 0.0,
            Self::ToEnd => -whole.as_secs_f64(),
        };
        let times = facts.listed.iter().map(|segment| {
            if let (Self::Dates, Some(begins_at)) = (self, segment.begins_at) {
                at = begins_at.as_millis() as f64 / 1e3;
            }
            let begins = at;
            at += segment.duration.as_secs_f64();
            (begins, at)
        });
        times.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::reader;

    /// A playlist from this number on, of segments that last this long each, dated from this second on.
    fn playlist(first: u64, durations: &[f64], from_s: Option<u64>, ended: bool) -> MediaFacts {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        if let Some(from) = from_s {
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{from:02}Z\n");
        }
        for (number, duration) in (first..).zip(durations) {
            text += &format!("#EXTINF:{duration},\n{number}.m4s\n");
        }
        if ended {
            text += "#EXT-X-ENDLIST\n";
        }
        reader::media("/media.m3u8", text.as_bytes()).unwrap()
    }

    #[test]
    fn keys_and_headers_are_loaded_once() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"h\"\n\
                    #EXTINF:2,\na\n#EXTINF:2,\nb\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXTINF:2,\nc\n\
                    #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\nd\n";
        let facts = reader::media("/media.m3u8", text.as_bytes()).unwrap();
        let mut held = Held::default();
        let loaded: Vec<Vec<String>> = facts
            .listed
            .iter()
            .map(|segment| {
                let missing = held.missing(segment);
                missing.iter().for_each(|part| held.on_part(part.clone()));
                let address = |part| match part {
                    Part::Key(path) => path,
                    Part::Header(from) | Part::Media(from) => from.path,
                };
                missing.into_iter().map(address).collect()
            })
            .collect();
        assert_eq!(
            loaded,
            [
                vec!["/k", "/h", "/a"],
                vec!["/b"],
                vec!["/k2", "/c"],
                vec!["/d"]
            ]
        );
    }

    /// Numbers of the track's segments that come with each segment of the rendition.
    fn together(rendition: &MediaFacts, from: usize, track: &MediaFacts) -> Vec<Vec<u64>> {
        let mut place = TrackPlace::default();
        let numbers = rendition.listed[from..]
            .iter()
            .map(|segment| segment.number);
        numbers
            .map(|number| {
                let wanted = place.wanted(rendition, number, track);
                let wanted: Vec<_> = track.listed[wanted].iter().map(|one| one.number).collect();
                wanted.iter().for_each(|&number| place.on_segment(number));
                wanted
            })
            .collect()
    }

    #[test]
    fn each_segment_of_a_track_comes_once_with_the_pictures_that_it_belongs_to() {
        // Sound that is cut at other times.
        let sound = [1.95, 2.05, 1.95, 2.05];
        for (rendition, track) in [
            (
                playlist(7, &[2.0; 4], Some(10), false),
                playlist(40, &sound, Some(10), false),
            ),
            (
                playlist(7, &[2.0; 4], None, false),
                playlist(40, &sound, None, false),
            ),
            (
                playlist(0, &[2.0; 4], None, true),
                playlist(40, &sound, None, true),
            ),
        ] {
            assert_eq!(
                together(&rendition, 0, &track),
                [vec![40], vec![41], vec![42], vec![43]]
            );
            assert_eq!(together(&rendition, 2, &track), [vec![42], vec![43]]);
        }
        // One long segment of pictures, and sound in pieces; then the other way round.
        let (long, short) = (
            playlist(0, &[6.0, 6.0], None, true),
            playlist(0, &[2.0; 6], None, true),
        );
        assert_eq!(together(&long, 0, &short), [vec![0, 1, 2], vec![3, 4, 5]]);
        assert_eq!(
            together(&short, 0, &long),
            [vec![0], vec![], vec![], vec![1], vec![], vec![]]
        );
    }

    #[test]
    fn a_track_whose_playlist_is_older_or_newer_catches_up_and_a_jump_is_followed() {
        let rendition = playlist(10, &[2.0; 6], None, false);
        let mut place = TrackPlace::default();
        place.on_segment(50);
        // The track lists one segment more at its end: what was next is loaded first, and none is left out.
        let newer = playlist(50, &[2.0; 6], None, false);
        assert_eq!(place.wanted(&rendition, 12, &newer), 1..3);
        place.on_segment(52);
        assert_eq!(place.wanted(&rendition, 12, &newer), 3..3);
        // After a seek back.
        assert_eq!(place.wanted(&rendition, 10, &newer), 0..1);
        // After a jump ahead.
        let mut behind = TrackPlace::default();
        behind.on_segment(48);
        assert_eq!(behind.wanted(&rendition, 15, &newer), 5..6);
        assert_eq!(behind.wanted(&rendition, 99, &newer), 0..0, "not listed");
        let empty = playlist(0, &[], None, false);
        assert_eq!(behind.wanted(&rendition, 12, &empty), 0..0);
    }
}
