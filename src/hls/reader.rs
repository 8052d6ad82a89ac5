//! Playlists read as a player reads them: the body of an answer becomes facts, with every URI resolved to a path.
//!
//! m3u8-rs parses the text but does not validate it: it turns a malformed number into zero. So `clean` checks the text first,
//! and playlists that are then empty or without URIs are refused. What servers write and players take is taken here, too: a
//! byte order mark, CRLF, blanks at the end of a line, no newline at the end of the text, `EXTINF:0`.

use std::time::Duration;

use url::Url;

use crate::time::UnixTime;

/// A rendition as the multivariant playlist offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// BANDWIDTH: the peak, in bits per second.
    pub bandwidth_bps: u64,
    /// AVERAGE-BANDWIDTH, in bits per second, if the playlist has it.
    pub average_bps: Option<u64>,
    /// Path of the media playlist.
    pub path: String,
}

/// What a media playlist says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFacts {
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// The segments, oldest first.
    pub listed: Vec<Listed>,
    /// Whether the stream has ended (EXT-X-ENDLIST).
    pub ended: bool,
}

/// One segment of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Media sequence number.
    pub number: u64,
    /// EXTINF, to the microsecond.
    pub duration: Duration,
    /// EXT-X-PROGRAM-DATE-TIME, extrapolated from the last one given (RFC 8216bis, section 4.4.4.6).
    pub begins_at: Option<UnixTime>,
    /// Path of the segment.
    pub path: String,
    /// Whether the segment is missing on purpose (EXT-X-GAP): players do not load it.
    pub gap: bool,
}

/// Why a text is no playable playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The first line is not `#EXTM3U`, or the text is not UTF-8.
    #[error("not a playlist")]
    NotAPlaylist,
    /// A number that the protocol requires is missing or malformed.
    #[error("a tag of the playlist is malformed")]
    Malformed,
    /// A multivariant playlist without renditions, or an address on another host.
    #[error("the playlist names nothing that can be fetched from this server")]
    Empty,
    /// Segments are parts of a larger file (EXT-X-BYTERANGE).
    #[error("its segments are byte ranges of one file, which Seawall's viewers do not ask for")]
    ByteRanges,
}

/// Reads a multivariant playlist that was fetched from `base`. `base` is a path, or a URL if absolute addresses on the
/// same host are allowed.
pub fn multivariant(base: &str, text: &[u8]) -> Result<Vec<Variant>, Unreadable> {
    let text = clean(text)?;
    let (_, playlist) =
        m3u8_rs::parse_master_playlist(text.as_bytes()).map_err(|_| Unreadable::Malformed)?;
    let variants: Vec<_> = playlist
        .variants
        .into_iter()
        .filter(|variant| !variant.is_i_frame)
        .map(|variant| {
            Ok(Variant {
                bandwidth_bps: variant.bandwidth,
                average_bps: variant.average_bandwidth,
                path: resolve(base, &variant.uri).ok_or(Unreadable::Empty)?,
            })
        })
        .collect::<Result<_, _>>()?;
    match variants.is_empty() {
        true => Err(Unreadable::Empty),
        false => Ok(variants),
    }
}

/// Reads a media playlist that was fetched from `base`: a path, or a URL as above.
pub fn media(base: &str, text: &[u8]) -> Result<MediaFacts, Unreadable> {
    let text = clean(text)?;
    let (_, playlist) =
        m3u8_rs::parse_media_playlist(text.as_bytes()).map_err(|_| Unreadable::Malformed)?;
    if !(1..=3_600).contains(&playlist.target_duration) {
        return Err(Unreadable::Malformed);
    }
    let mut expected_at = None;
    let listed = (playlist.media_sequence..)
        .zip(playlist.segments)
        .map(|(number, segment)| {
            if !(segment.duration >= 0.0 && segment.duration < 3_600.0) {
                return Err(Unreadable::Malformed);
            }
            if segment.byte_range.is_some() {
                return Err(Unreadable::ByteRanges);
            }
            let duration =
                Duration::from_micros((f64::from(segment.duration) * 1e6).round() as u64);
            let begins_at = segment
                .program_date_time
                .map(|date| {
                    UnixTime::from_millis(u64::try_from(date.timestamp_millis()).unwrap_or(0))
                })
                .or(expected_at);
            expected_at = begins_at.map(|begins_at| begins_at + duration);
            Ok(Listed {
                number,
                duration,
                begins_at,
                path: resolve(base, &segment.uri).ok_or(Unreadable::Empty)?,
                gap: segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP"),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(MediaFacts {
        target_duration: Duration::from_secs(playlist.target_duration),
        listed,
        ended: playlist.end_list,
    })
}

/// The text as m3u8-rs reads it well: lines without blanks at their ends, each with a newline. Refuses what m3u8-rs would misread
/// silently.
fn clean(text: &[u8]) -> Result<String, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable::NotAPlaylist)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut clean = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        clean.push_str(line.trim_end());
        clean.push('\n');
    }
    if clean.lines().next() != Some("#EXTM3U") {
        return Err(Unreadable::NotAPlaylist);
    }
    let numeric = ["#EXT-X-TARGETDURATION:", "#EXT-X-MEDIA-SEQUENCE:"];
    let malformed = clean.lines().any(|line| {
        numeric
            .iter()
            .filter_map(|tag| line.strip_prefix(tag))
            .any(|value| value.trim().parse::<u64>().is_err())
    });
    match malformed {
        true => Err(Unreadable::Malformed),
        false => Ok(clean),
    }
}

/// The host that stands for the server if only a path is known. No playlist names it.
const HERE: &str = "http://seawall.invalid";

/// Resolves `uri` against `base` (RFC 3986, section 5.2) to a path and query, without a fragment, in the form that may be sent.
/// `None` for an absolute URL of another host, because a viewer stays with the edge that it was given.
fn resolve(base: &str, uri: &str) -> Option<String> {
    let base = match base.starts_with('/') {
        true => Url::parse(HERE).ok()?.join(base).ok()?,
        false => Url::parse(base).ok()?,
    };
    let resolved = base.join(uri).ok()?;
    if uri.is_empty() || resolved.origin() != base.origin() {
        return None;
    }
    let path = resolved.path();
    Some(match resolved.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multivariant_playlist_offers_renditions() {
        let text = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=230000,AVERAGE-BANDWIDTH=200000\n180p/media.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=840000\n360p/media.m3u8\n";
        let variants = multivariant("/live/demo/main.m3u8", text).unwrap();
        assert_eq!(
            variants,
            [
                Variant {
                    bandwidth_bps: 230_000,
                    average_bps: Some(200_000),
                    path: "/live/demo/180p/media.m3u8".to_owned()
                },
                Variant {
                    bandwidth_bps: 840_000,
                    average_bps: None,
                    path: "/live/demo/360p/media.m3u8".to_owned()
                },
            ]
        );
    }

    #[test]
    fn addresses_are_resolved_on_the_same_host_alone() {
        for (base, uri, path) in [
            ("/a/b.m3u8", "c.ts?x=1", Some("/a/c.ts?x=1")),
            ("/a/b.m3u8?token=1/2", "c.ts", Some("/a/c.ts")),
            ("/a/b.m3u8", "/c.ts", Some("/c.ts")),
            ("/a/b/c.m3u8", "../d.ts", Some("/a/d.ts")),
            ("/a/b.m3u8", "http://host/c.ts", None),
            ("http://host:80/a/b.m3u8", "c.ts", Some("/a/c.ts")),
            (
                "http://host:80/a/b.m3u8",
                "http://host:80/c.ts",
                Some("/c.ts"),
            ),
            ("http://host:80/a/b.m3u8", "//host:80/c.ts", Some("/c.ts")),
            ("http://host:80/a/b.m3u8", "http://host/c.ts", Some("/c.ts")),
            ("http://host:80/a/b.m3u8", "http://other/c.ts", None),
            ("http://host:80/a/b.m3u8", "https://host:80/c.ts", None),
            ("HTTP://host/a/b.m3u8", "c.ts", Some("/a/c.ts")),
            ("/a/b.m3u8", "?x=1", Some("/a/b.m3u8?x=1")),
            ("/a/b.m3u8", "c.ts?up=/../d", Some("/a/c.ts?up=/../d")),
            ("/a/b.m3u8", "c d.ts#t=1", Some("/a/c%20d.ts")),
            ("/a/b.m3u8", "é.ts", Some("/a/%C3%A9.ts")),
            ("/a/b.m3u8", "c%20d.ts", Some("/a/c%20d.ts")),
            ("/a/b.m3u8", "../../../c.ts", Some("/c.ts")),
            ("/a/b.m3u8", "", None),
        ] {
            assert_eq!(resolve(base, uri).as_deref(), path, "{uri} from {base}");
        }
    }

    #[test]
    fn a_media_playlist_lists_numbered_segments() {
        let text = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:41\n\
            #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:02:00.960Z\n#EXTINF:2.88,\n41.ts\n#EXTINF:2.88000,\n42.ts\n";
        let facts = media("/live/demo/180p/media.m3u8", text).unwrap();
        assert_eq!(facts.target_duration, Duration::from_secs(3));
        assert!(!facts.ended);
        let listed: Vec<_> = facts
            .listed
            .iter()
            .map(|segment| (segment.number, segment.path.as_str()))
            .collect();
        assert_eq!(
            listed,
            [(41, "/live/demo/180p/41.ts"), (42, "/live/demo/180p/42.ts")]
        );
        assert_eq!(facts.listed[0].duration, Duration::from_millis(2_880));
        assert_eq!(
            facts.listed[0].begins_at,
            Some(UnixTime::from_millis(120_960))
        );
        assert_eq!(
            facts.listed[1].begins_at,
            Some(UnixTime::from_millis(123_840))
        );
    }

    #[test]
    fn what_servers_write_and_players_take_is_taken() {
        let plain = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.5,\na.ts\n#EXT-X-GAP\n\
                     #EXTINF:0,\nb.ts\n";
        let expected = media("/live/media.m3u8", plain.as_bytes()).unwrap();
        let of = |segment: &Listed| (segment.number, segment.path.clone(), segment.gap);
        let told: Vec<_> = expected.listed.iter().map(of).collect();
        assert_eq!(
            told,
            [
                (7, "/live/a.ts".to_owned(), false),
                (8, "/live/b.ts".to_owned(), true)
            ]
        );
        assert_eq!(expected.listed[1].duration, Duration::ZERO);
        for text in [
            plain.trim_end().to_owned(),
            plain.replace('\n', "\r\n"),
            plain.replace('\n', "  \n"),
            format!("\u{feff}{plain}"),
        ] {
            assert_eq!(
                media("/live/media.m3u8", text.as_bytes()),
                Ok(expected.clone()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let cases: [(&[u8], Unreadable); 4] = [
            (b"<html>", Unreadable::NotAPlaylist),
            (
                b"#EXTM3U\n#EXT-X-TARGETDURATION:three\n",
                Unreadable::Malformed,
            ),
            (b"#EXTM3U\n#EXTINF:2.88,\n41.ts\n", Unreadable::Malformed),
            (
                b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.88,\nhttp://elsewhere/41.ts\n",
                Unreadable::Empty,
            ),
        ];
        for (text, why) in cases {
            assert_eq!(media("/live/demo/180p/media.m3u8", text), Err(why));
        }
    }

    #[test]
    fn references_are_resolved_against_the_playlist() {
        let base = "/live/demo/180p/media.m3u8";
        for (uri, path) in [
            ("7.ts", Some("/live/demo/180p/7.ts")),
            ("./7.ts", Some("/live/demo/180p/7.ts")),
            ("../360p/7.ts", Some("/live/demo/360p/7.ts")),
            ("/other/7.ts", Some("/other/7.ts")),
            ("//host/7.ts", None),
            ("http://host/7.ts", None),
        ] {
            assert_eq!(resolve(base, uri).as_deref(), path, "{uri}");
        }
    }
}
