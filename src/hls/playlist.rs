//! Playlists: which segments a live window lists, and the text of its playlists.
//!
//! m3u8-rs is the model and the writer. This module corrects what m3u8-rs omits or leaves undefined.
//! EXT-X-MEDIA-SEQUENCE is written even at 0, FRAME-RATE has three decimals and durations have five. The order of
//! attributes never varies, so the same window always gives the same bytes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Once;
use std::sync::atomic::Ordering;

use m3u8_rs::{
    ExtTag, MasterPlaylist, MediaPlaylist, MediaSegment, QuotedOrUnquoted, Resolution,
    VariantStream,
};

use super::ladder::{FRAME_RATE, Rendition};
use super::timeline::Channel;

/// The lowest version that allows decimal durations (RFC 8216bis, section 8).
const VERSION: usize = 3;

/// One line of a live window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The segment is available in every rendition.
    Present,
    /// The segment is lost. It keeps its media sequence number, with EXT-X-GAP.
    Gap,
}

/// The segments that the media playlists of a channel list. All renditions share one window, so their boundaries and
/// numbers are aligned.
///
/// The window only moves forward: numbers are appended at one end and removed at the other. A listed entry is never
/// rewritten. A skipped number stays a gap, so the media sequence still counts one per segment.
#[derive(Clone, Debug)]
pub struct Window {
    length: usize,
    oldest: u64,
    entries: VecDeque<Entry>,
}

impl Window {
    /// An empty window that will list at most `length` segments.
    pub fn new(length: u64) -> Self {
        Self {
            length: usize::try_from(length).unwrap_or(usize::MAX).max(1),
            oldest: 0,
            entries: VecDeque::new(),
        }
    }

    /// Lists `number`, which is available in every rendition, and drops the entries that no longer fit. Returns `false`
    /// and changes nothing if `number` is no newer than the newest entry.
    pub fn append(&mut self, number: u64) -> bool {
        match self.newest() {
            Some(newest) if number <= newest => return false,
            Some(newest) if number - newest <= self.length as u64 => {
                let skipped = (number - newest - 1) as usize;
                self.entries
                    .extend(std::iter::repeat_n(Entry::Gap, skipped));
            }
            // No listed entry fits beside `number`: the window begins anew.
            Some(_) | None => {
                self.entries.clear();
                self.oldest = number;
            }
        }
        self.entries.push_back(Entry::Present);
        while self.entries.len() > self.length || self.entries.front() == Some(&Entry::Gap) {
            self.entries.pop_front();
            self.oldest += 1;
        }
        true
    }

    /// The maximum number of entries.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The newest number; `None` while the window is empty.
    pub fn newest(&self) -> Option<u64> {
        Some(self.oldest + (self.entries.len() as u64).checked_sub(1)?)
    }

    /// The numbers from the oldest to the newest, gaps included; `None` while the window is empty.
    pub fn numbers(&self) -> Option<RangeInclusive<u64>> {
        Some(self.oldest..=self.newest()?)
    }

    /// Each number with its entry, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, Entry)> + '_ {
        (self.oldest..).zip(self.entries.iter().copied())
    }
}

/// The multivariant playlist. It depends on the channel alone, so it never changes while the channel lives.
pub fn multivariant(channel: &Channel) -> String {
    let playlist = MasterPlaylist {
        version: Some(VERSION),
        independent_segments: true,
        variants: channel.layout.ladder.iter().map(variant).collect(),
        ..MasterPlaylist::default()
    };
    written(|text| playlist.write_to(text))
}

/// The media playlist of a window. The text is the same for every rendition, because URIs are relative. `None` while
/// the window is empty, because players give up on a playlist without segments.
pub fn media(channel: &Channel, window: &Window) -> Option<String> {
    let oldest = *window.numbers()?.start();
    write_durations_with_five_decimals();
    let playlist = MediaPlaylist {
        version: Some(VERSION),
        independent_segments: true,
        target_duration: u64::from(channel.layout.target_duration_s()),
        media_sequence: oldest,
        segments: window
            .entries()
            .map(|(number, entry)| segment(channel, number, entry))
            .collect(),
        ..MediaPlaylist::default()
    };
    let text = written(|text| playlist.write_to(text));
    Some(if oldest == 0 {
        with_media_sequence_zero(&text)
    } else {
        text
    })
}

/// BANDWIDTH of a rendition: 5 % above its average. No segment's peak exceeds it by more than the 25 % that Apple's
/// authoring specification allows (9.15).
pub fn bandwidth(rendition: &Rendition) -> u64 {
    u64::from(rendition.bitrate_bps) * 105 / 100
}

fn variant(rendition: &Rendition) -> VariantStream {
    // m3u8-rs would write 25 as `25`. A map with one attribute has only one order.
    let frame_rate = QuotedOrUnquoted::Unquoted(format!("{FRAME_RATE}.000"));
    VariantStream {
        uri: format!("{}/media.m3u8", rendition.name),
        bandwidth: bandwidth(rendition),
        average_bandwidth: Some(u64::from(rendition.bitrate_bps)),
        codecs: Some(rendition.codecs()),
        resolution: Some(Resolution {
            width: u64::from(rendition.width),
            height: u64::from(rendition.height),
        }),
        other_attributes: Some([("FRAME-RATE".to_owned(), frame_rate)].into()),
        ..VariantStream::default()
    }
}

fn segment(channel: &Channel, number: u64, entry: Entry) -> MediaSegment {
    let gap = ExtTag {
        tag: "X-GAP".to_owned(),
        rest: None,
    };
    MediaSegment {
        uri: channel.layout.container.file(number),
        duration: channel.layout.segment_duration().as_secs_f32(),
        program_date_time: Some(channel.begins_at(number).to_utc().fixed_offset()),
        unknown_tags: match entry {
            Entry::Present => Vec::new(),
            Entry::Gap => vec![gap],
        },
        ..MediaSegment::empty()
    }
}

/// m3u8-rs has one setting for the whole process. No other code of ours writes playlists.
fn write_durations_with_five_decimals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| m3u8_rs::WRITE_OPT_FLOAT_PRECISION.store(5, Ordering::Relaxed));
}

/// m3u8-rs omits EXT-X-MEDIA-SEQUENCE at 0.
fn with_media_sequence_zero(text: &str) -> String {
    text.split_inclusive('\n')
        .flat_map(|line| {
            let sequence = line
                .starts_with("#EXT-X-TARGETDURATION:")
                .then_some("#EXT-X-MEDIA-SEQUENCE:0\n");
            std::iter::once(line).chain(sequence)
        })
        .collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut text = Vec::with_capacity(2_048);
    write(&mut text).expect("writing into memory cannot fail");
    String::from_utf8(text).expect("playlists are made of strings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

    fn channel() -> Channel {
        Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout::default(),
            started_at: UnixTime::from_millis(0),
        }
    }

    fn window(length: u64, numbers: impl IntoIterator<Item = u64>) -> Window {
        let mut window = Window::new(length);
        for number in numbers {
            window.append(number);
        }
        window
    }

    #[test]
    fn the_multivariant_playlist_promises_what_the_ladder_holds() {
        insta::assert_snapshot!(multivariant(&channel()), @r#"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-STREAM-INF:BANDWIDTH=199500,AVERAGE-BANDWIDTH=190000,CODECS="avc1.42c00d,mp4a.40.2",RESOLUTION=320x180,FRAME-RATE=25.000
        180p/media.m3u8
        #EXT-X-STREAM-INF:BANDWIDTH=735000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000
        360p/media.m3u8
        #EXT-X-STREAM-INF:BANDWIDTH=2100000,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.42c01f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=25.000
        720p/media.m3u8
        "#);
    }

    #[test]
    fn a_media_playlist_dates_every_segment_and_keeps_the_place_of_a_lost_one() {
        let text = media(&channel(), &window(10, [885_416_667, 885_416_669]));
        insta::assert_snapshot!(text.unwrap(), @r"
        #EXTM3U
        #EXT-X-VERSION:3
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-TARGETDURATION:2
        #EXT-X-MEDIA-SEQUENCE:885416667
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.640Z
        #EXTINF:1.92000,
        885416667.ts
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.560Z
        #EXT-X-GAP
        #EXTINF:1.92000,
        885416668.ts
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:24.480Z
        #EXTINF:1.92000,
        885416669.ts
        ");
    }

    #[test]
    fn the_media_sequence_stands_even_at_zero() {
        let text = media(&channel(), &window(10, [0])).unwrap();
        assert!(
            text.contains("#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PROGRAM"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_window_has_no_playlist() {
        assert_eq!(media(&channel(), &Window::new(10)), None);
    }

    #[test]
    fn playlists_read_back_as_what_was_written() {
        let channel = channel();
        let text = media(&channel, &window(10, 100..130)).unwrap();
        let read = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert_eq!(read.media_sequence, 120);
        assert_eq!(read.target_duration, 2);
        assert!(read.independent_segments && !read.end_list && read.playlist_type.is_none());
        let uris: Vec<_> = read.segments.iter().map(|s| s.uri.clone()).collect();
        let expected: Vec<_> = (120..130).map(|number| format!("{number}.ts")).collect();
        assert_eq!(uris, expected);
        for pair in read.segments.windows(2) {
            let step = pair[1].program_date_time.unwrap() - pair[0].program_date_time.unwrap();
            assert_eq!(step.num_milliseconds(), 1_920);
        }

        let text = multivariant(&channel);
        let read = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
        assert_eq!(read.variants.len(), 3);
        assert_eq!(read.variants[2].frame_rate, Some(25.0));
    }

    #[test]
    fn a_window_slides_forward_only() {
        use Entry::{Gap, Present};
        let cases: &[(&str, &[u64], u64, &[Entry])] = &[
            ("filling", &[5, 6], 5, &[Present, Present]),
            ("sliding", &[5, 6, 7, 8], 6, &[Present; 3]),
            (
                "a skipped number is a gap",
                &[5, 7],
                5,
                &[Present, Gap, Present],
            ),
            (
                "a late one stays a gap",
                &[5, 7, 6],
                5,
                &[Present, Gap, Present],
            ),
            ("an older one is not listed", &[5, 4, 5], 5, &[Present]),
            (
                "no window begins with a gap",
                &[5, 7, 8],
                7,
                &[Present, Present],
            ),
            ("the widest gap that fits", &[5, 8], 8, &[Present]),
            ("a jump begins anew", &[5, 6, 1_000], 1_000, &[Present]),
        ];
        for &(name, numbers, oldest, entries) in cases {
            let window = window(3, numbers.iter().copied());
            assert_eq!(
                window.numbers().map(|all| *all.start()),
                Some(oldest),
                "{name}"
            );
            let found: Vec<_> = window.entries().map(|(_, entry)| entry).collect();
            assert_eq!(found, entries, "{name}");
        }
    }
}
