//! Playlists read as a player reads them: the body of an answer becomes facts, with every URI resolved.
//!
//! m3u8-rs parses the text but does not validate it: it turns a malformed number into zero. So `clean` checks the text first,
//! and playlists that are then empty or without URIs are refused. What servers write and players take is taken here, too: a
//! byte order mark, CRLF, blanks at the end of a line, no newline at the end of the text, `EXTINF:0`.

use std::time::Duration;

use m3u8_rs::{AlternativeMediaType, ByteRange, ExtTag, KeyMethod, MediaSegment, VariantStream};
use url::Url;

use super::steering;
use super::variables;
pub use super::variables::Variables;
use crate::time::UnixTime;

/// What a multivariant playlist says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultivariantFacts {
    /// The renditions of the pathway that players begin with, as listed.
    pub variants: Vec<Variant>,
    /// Audio and subtitles that have playlists of their own.
    pub tracks: Vec<Track>,
    /// Its variables (EXT-X-DEFINE), which media playlists may import.
    pub variables: Variables,
    /// Whether players are steered between pathways (EXT-X-CONTENT-STEERING).
    pub steers: bool,
}

/// A rendition as the multivariant playlist offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// BANDWIDTH: the peak, in bits per second.
    pub bandwidth_bps: u64,
    /// AVERAGE-BANDWIDTH, in bits per second, if the playlist has it.
    pub average_bps: Option<u64>,
    /// Address of the media playlist: a path, or a URL where the base was one.
    pub path: String,
    /// The group of its audio, if that has a playlist of its own.
    pub audio: Option<String>,
    /// The group of its subtitles.
    pub subtitles: Option<String>,
}

/// Audio or subtitles with a playlist of their own (EXT-X-MEDIA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What it holds.
    pub kind: TrackKind,
    /// GROUP-ID.
    pub group: String,
    /// NAME.
    pub name: String,
    /// Whether players take it without being asked.
    pub selection: Selection,
    /// Address of its media playlist; `None` if it is inside the variants.
    pub path: Option<String>,
}

/// What a track holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Text.
    Subtitles,
}

/// Whether players take a track whose viewer chooses none; of several they take the first kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selection {
    /// DEFAULT=YES.
    Default,
    /// AUTOSELECT=YES.
    Autoselect,
    /// Neither: only a viewer chooses it.
    Manual,
}

impl MultivariantFacts {
    /// The tracks that a player loads with this variant if its viewer chooses nothing: one for sound, and subtitles only where
    /// they are the default.
    pub fn tracks_of<'a>(&'a self, variant: &'a Variant) -> impl Iterator<Item = usize> + 'a {
        let groups = [
            (TrackKind::Audio, &variant.audio, Selection::Manual),
            (TrackKind::Subtitles, &variant.subtitles, Selection::Default),
        ];
        groups.into_iter().filter_map(|(kind, group, at_least)| {
            let group = group.as_deref()?;
            let in_group = self.tracks.iter().enumerate().filter(|(_, track)| {
                track.kind == kind && track.group == group && track.selection <= at_least
            });
            let (index, track) = in_group.min_by_key(|(_, track)| track.selection)?;
            track.path.is_some().then_some(index)
        })
    }
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
    /// Where its bytes are.
    pub resource: Resource,
    /// Whether the segment is missing on purpose (EXT-X-GAP): players do not load it.
    pub gap: bool,
    /// The header that its bytes need in front (EXT-X-MAP).
    pub map: Option<Resource>,
    /// Address of the key that its bytes are encrypted with (EXT-X-KEY), if it can be fetched over HTTP.
    pub key: Option<String>,
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// The address: a path, or a URL where the base was one.
    pub path: String,
    /// The bytes in it (EXT-X-BYTERANGE); `None`: all.
    pub range: Option<Span>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub from: u64,
    /// Number of bytes.
    pub bytes: u64,
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
    /// A multivariant playlist without renditions, or an address that may not be fetched.
    #[error("the playlist names nothing that can be fetched from this server")]
    Empty,
    /// A variable without a value (EXT-X-DEFINE).
    #[error("the playlist uses a variable that nobody has defined (EXT-X-DEFINE)")]
    Undefined,
}

/// Reads a multivariant playlist that was fetched from `base`: a path, to which all addresses must belong, or a URL, from which
/// addresses may lead to any server.
pub fn multivariant(base: &str, text: &[u8]) -> Result<MultivariantFacts, Unreadable> {
    let (text, variables) = clean(base, text, &Variables::default())?;
    let (_, playlist) =
        m3u8_rs::parse_master_playlist(text.as_bytes()).map_err(|_| Unreadable::Malformed)?;
    known(playlist.unknown_tags.iter())?;
    let pathway_of = |variant: &VariantStream| {
        let attributes = variant.other_attributes.as_ref();
        let id = attributes.and_then(|attributes| attributes.get("PATHWAY-ID"));
        id.map_or(steering::HERE, |id| id.as_str()).to_owned()
    };
    let mut played: Vec<_> = playlist.variants.into_iter().collect();
    played.retain(|variant| !variant.is_i_frame);
    // A player uses the variants of one pathway until a steering manifest names another.
    let steered = playlist
        .unknown_tags
        .iter()
        .find(|tag| tag.tag == "X-CONTENT-STEERING");
    let named = steered.and_then(|tag| variables::attribute(tag.rest.as_deref()?, "PATHWAY-ID"));
    let steers = steered.is_some();
    let pathway = named.or_else(|| played.first().map(pathway_of));
    played.retain(|variant| Some(pathway_of(variant)) == pathway);
    // Players leave sound alone aside where there are pictures.
    if played.iter().any(has_video) {
        played.retain(|variant| has_video(variant) || variant.codecs.is_none());
    }
    let variants: Vec<_> = played
        .into_iter()
        .map(|variant| {
            Ok(Variant {
                bandwidth_bps: variant.bandwidth,
                average_bps: variant.average_bandwidth,
                path: resolve(base, &variant.uri).ok_or(Unreadable::Empty)?,
                audio: variant.audio,
                subtitles: variant.subtitles,
            })
        })
        .collect::<Result<_, _>>()?;
    let tracks = playlist.alternatives.into_iter().filter_map(|media| {
        let kind = match media.media_type {
            AlternativeMediaType::Audio => TrackKind::Audio,
            AlternativeMediaType::Subtitles => TrackKind::Subtitles,
            _ => return None,
        };
        Some(Track {
            kind,
            group: media.group_id,
            name: media.name,
            selection: match (media.default, media.autoselect) {
                (true, _) => Selection::Default,
                (false, true) => Selection::Autoselect,
                (false, false) => Selection::Manual,
            },
            path: media.uri.and_then(|uri| resolve(base, &uri)),
        })
    });
    match variants.is_empty() {
        true => Err(Unreadable::Empty),
        false => Ok(MultivariantFacts {
            variants,
            tracks: tracks.collect(),
            variables,
            steers,
        }),
    }
}

/// Whether a variant tells that it has pictures.
fn has_video(variant: &VariantStream) -> bool {
    let video = ["avc", "hvc", "hev", "dvh", "av01", "vp0", "vp9"];
    let codecs = variant.codecs.as_deref().unwrap_or_default();
    let mut codecs = codecs.split(',').map(str::trim_start);
    variant.resolution.is_some()
        || codecs.any(|codec| video.iter().any(|kind| codec.starts_with(kind)))
}

/// Reads a media playlist that was fetched from `base`: a path or a URL as above.
pub fn media(base: &str, text: &[u8]) -> Result<MediaFacts, Unreadable> {
    media_importing(base, text, &Variables::default())
}

/// The same with the variables of the multivariant playlist that named it.
pub fn media_importing(
    base: &str,
    text: &[u8],
    imported: &Variables,
) -> Result<MediaFacts, Unreadable> {
    let (text, _) = clean(base, text, imported)?;
    let (_, playlist) =
        m3u8_rs::parse_media_playlist(text.as_bytes()).map_err(|_| Unreadable::Malformed)?;
    if !(1..=3_600).contains(&playlist.target_duration) {
        return Err(Unreadable::Malformed);
    }
    known(playlist.unknown_tags.iter())?;
    let mut before = Before::default();
    let listed: Vec<_> = (playlist.media_sequence..)
        .zip(playlist.segments)
        .map(|(number, segment)| before.next(base, number, segment))
        .collect::<Result<_, _>>()?;
    if listed.is_empty() && playlist.end_list {
        return Err(Unreadable::Empty);
    }
    Ok(MediaFacts {
        target_duration: Duration::from_secs(playlist.target_duration),
        listed,
        ended: playlist.end_list,
    })
}

/// What a segment takes over from those before it.
#[derive(Default)]
struct Before {
    ends_at: Option<UnixTime>,
    resource: Option<Resource>,
    map: Option<Resource>,
    key: Option<String>,
}

impl Before {
    fn next(
        &mut self,
        base: &str,
        number: u64,
        segment: MediaSegment,
    ) -> Result<Listed, Unreadable> {
        if !(segment.duration >= 0.0 && segment.duration < 3_600.0) {
            return Err(Unreadable::Malformed);
        }
        known(segment.unknown_tags.iter())?;
        let duration = Duration::from_micros((f64::from(segment.duration) * 1e6).round() as u64);
        let dated = segment
            .program_date_time
            .map(|date| UnixTime::from_millis(u64::try_from(date.timestamp_millis()).unwrap_or(0)));
        let begins_at = dated.or(self.ends_at);
        self.ends_at = begins_at.map(|begins_at| begins_at + duration);
        let resource = self.resource(base, &segment.uri, segment.byte_range.as_ref())?;
        self.resource = Some(resource.clone());
        if let Some(map) = segment.map {
            self.map = Some(Resource {
                path: resolve(base, &map.uri).ok_or(Unreadable::Empty)?,
                range: map.byte_range.map(|range| Span {
                    from: range.offset.unwrap_or(0),
                    bytes: range.length,
                }),
            });
        }
        if let Some(key) = segment.key {
            // Keys of other schemes belong to systems that a load tester has no licence for.
            let uri = key.uri.filter(|_| key.method != KeyMethod::None);
            self.key = uri.and_then(|uri| resolve(base, &uri));
        }
        Ok(Listed {
            number,
            duration,
            begins_at,
            resource,
            gap: segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP"),
            map: self.map.clone(),
            key: self.key.clone(),
        })
    }

    /// Without an offset a range follows the range before it, in the same file (RFC 8216bis, section 4.4.4.2).
    fn resource(
        &self,
        base: &str,
        uri: &str,
        range: Option<&ByteRange>,
    ) -> Result<Resource, Unreadable> {
        let path = resolve(base, uri).ok_or(Unreadable::Empty)?;
        let Some(range) = range else {
            return Ok(Resource { path, range: None });
        };
        let end_of_last = || {
            let last = self.resource.as_ref().filter(|last| last.path == path)?;
            let span = last.range?;
            span.from.checked_add(span.bytes)
        };
        let from = range.offset.or_else(end_of_last);
        let span = Span {
            from: from.ok_or(Unreadable::Malformed)?,
            bytes: range.length,
        };
        let ends_well = span.bytes > 0 && span.from.checked_add(span.bytes).is_some();
        match ends_well {
            true => Ok(Resource {
                path,
                range: Some(span),
            }),
            false => Err(Unreadable::Malformed),
        }
    }
}

/// The text as m3u8-rs reads it well: lines without blanks at their ends, each with a newline, and values in place of variables.
/// Refuses what m3u8-rs would misread silently.
fn clean(base: &str, text: &[u8], imported: &Variables) -> Result<(String, Variables), Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable::NotAPlaylist)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Variables::default();
    let mut clean = String::with_capacity(text.len() + 1);
    for line in text.lines().map(str::trim_end) {
        let line = tidy(line)?;
        // Comments and titles may hold anything.
        let line = match line.starts_with('#') && !line.starts_with("#EXT-X-") {
            true => line,
            false => variables
                .put_into(&line)
                .ok_or(Unreadable::Undefined)?
                .into_owned(),
        };
        clean.push_str(&line);
        clean.push('\n');
        if clean.len() > BYTES_MAX {
            return Err(Unreadable::Malformed);
        }
        if let Some(attributes) = line.strip_prefix("#EXT-X-DEFINE:") {
            let query = query_of(base);
            variables
                .define(attributes, imported, &query)
                .ok_or(Unreadable::Undefined)?;
        }
    }
    match clean.lines().next() {
        Some("#EXTM3U") => Ok((clean, variables)),
        _ => Err(Unreadable::NotAPlaylist),
    }
}

/// The longest text, in bytes, once values stand in place of variables.
const BYTES_MAX: usize = 16 << 20;

/// A line as m3u8-rs reads it well. Players take all of these forms.
fn tidy(line: &str) -> Result<String, Unreadable> {
    let Some((tag, value)) = line.split_once(':').filter(|_| line.starts_with("#EXT")) else {
        return Ok(line.to_owned());
    };
    let value = value.trim_start();
    Ok(match tag {
        "#EXTINF" => {
            // m3u8-rs takes what follows a comma in the title for an address. No title is needed.
            let (seconds, _) = value.split_once(',').unwrap_or((value, ""));
            let seconds: f32 = seconds.trim().parse().map_err(|_| Unreadable::Malformed)?;
            if !(0.0..3_600.0).contains(&seconds) {
                return Err(Unreadable::Malformed);
            }
            format!("{tag}:{seconds},")
        }
        "#EXT-X-TARGETDURATION" | "#EXT-X-MEDIA-SEQUENCE" => {
            let number: u64 = value.parse().map_err(|_| Unreadable::Malformed)?;
            // A number that leaves no room for the segments is none.
            let fits = number < u64::MAX / 2;
            fits.then(|| format!("{tag}:{number}"))
                .ok_or(Unreadable::Malformed)?
        }
        // m3u8-rs wants an IV where the protocol allows none, and would miss the end of the encryption.
        "#EXT-X-KEY" if value == "METHOD=NONE" => format!("{tag}:METHOD=NONE,IV=0x0"),
        // m3u8-rs refuses both, and would lose the whole line.
        "#EXT-X-MEDIA" => format!("{tag}:{}", without_empty(value).replace(",FORCED=NO", "")),
        "#EXT-X-STREAM-INF" => format!("{tag}:{}", without_empty(value)),
        // ffmpeg writes +0000 where RFC 3339 wants +00:00.
        "#EXT-X-PROGRAM-DATE-TIME" => format!("{tag}:{}", with_colon(value)),
        _ => format!("{tag}:{value}"),
    })
}

/// An attribute list without the attributes that are empty.
fn without_empty(attributes: &str) -> String {
    let mut left = attributes.to_owned();
    while let Some(at) = left.find("=\"\"") {
        let begins = left[..at].rfind(',').unwrap_or(0);
        left.replace_range(begins..at + 3, "");
    }
    left.trim_start_matches(',').to_owned()
}

/// A date whose offset from UTC has a colon.
fn with_colon(date: &str) -> String {
    let bytes = date.as_bytes();
    let at = bytes.len().saturating_sub(5);
    let is_short = bytes.len() > 19
        && matches!(bytes[at], b'+' | b'-')
        && bytes[at + 1..].iter().all(u8::is_ascii_digit);
    match is_short {
        true => format!("{}:{}", &date[..at + 3], &date[at + 3..]),
        false => date.to_owned(),
    }
}

/// Refuses tags that m3u8-rs could not read and has left aside: without them the playlist means something else.
fn known<'a>(mut unknown: impl Iterator<Item = &'a ExtTag>) -> Result<(), Unreadable> {
    let matters = |tag: &ExtTag| {
        matches!(
            tag.tag.as_str(),
            "X-STREAM-INF" | "X-MEDIA" | "X-MAP" | "X-KEY" | "X-BYTERANGE" | "X-MEDIA-SEQUENCE"
        )
    };
    match unknown.any(matters) {
        true => Err(Unreadable::Malformed),
        false => Ok(()),
    }
}

/// The host that stands for the server if only a path is known. No playlist names it.
const HERE: &str = "http://seawall.invalid";

/// The base as a URL.
fn url_of(base: &str) -> Option<Url> {
    match base.starts_with('/') {
        true => Url::parse(HERE).ok()?.join(base).ok(),
        false => Url::parse(base).ok(),
    }
}

/// The decoded parameters of the query of a playlist's address.
fn query_of(base: &str) -> Vec<(String, String)> {
    let url = url_of(base);
    let pairs = url.iter().flat_map(Url::query_pairs);
    pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Resolves `uri` against `base` (RFC 3986, section 5.2), without a fragment, in the form that may be sent. From a path it leads to
/// a path and query on the same server; from a URL to a URL of any server.
fn resolve(base: &str, uri: &str) -> Option<String> {
    let from = url_of(base)?;
    let mut resolved = from.join(uri).ok()?;
    resolved.set_fragment(None);
    let is_http = matches!(resolved.scheme(), "http" | "https") && resolved.has_host();
    if uri.is_empty() || !is_http {
        return None;
    }
    if !base.starts_with('/') {
        return Some(resolved.into());
    }
    (resolved.origin() == from.origin()).then(|| match resolved.query() {
        Some(query) => format!("{}?{query}", resolved.path()),
        None => resolved.path().to_owned(),
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
            variants.variants,
            [
                Variant {
                    bandwidth_bps: 230_000,
                    average_bps: Some(200_000),
                    path: "/live/demo/180p/media.m3u8".to_owned(),
                    audio: None,
                    subtitles: None,
                },
                Variant {
                    bandwidth_bps: 840_000,
                    average_bps: None,
                    path: "/live/demo/360p/media.m3u8".to_owned(),
                    audio: None,
                    subtitles: None,
                },
            ]
        );
    }

    #[test]
    fn from_a_path_addresses_lead_to_the_same_server_alone_and_from_a_url_to_any() {
        for (base, uri, address) in [
            ("/a/b.m3u8", "c.ts?x=1", Some("/a/c.ts?x=1")),
            ("/a/b.m3u8?token=1/2", "c.ts", Some("/a/c.ts")),
            ("/a/b.m3u8", "/c.ts", Some("/c.ts")),
            ("/a/b/c.m3u8", "../d.ts", Some("/a/d.ts")),
            ("/a/b.m3u8", "http://host/c.ts", None),
            ("/a/b.m3u8", "//host/c.ts", None),
            ("/a/b.m3u8", "?x=1", Some("/a/b.m3u8?x=1")),
            ("/a/b.m3u8", "c.ts?up=/../d", Some("/a/c.ts?up=/../d")),
            ("/a/b.m3u8", "c d.ts#t=1", Some("/a/c%20d.ts")),
            ("/a/b.m3u8", "é.ts", Some("/a/%C3%A9.ts")),
            ("/a/b.m3u8", "c%20d.ts", Some("/a/c%20d.ts")),
            ("/a/b.m3u8", "../../../c.ts", Some("/c.ts")),
            ("/a/b.m3u8", "", None),
            (
                "http://host:80/a/b.m3u8",
                "c.ts",
                Some("http://host/a/c.ts"),
            ),
            ("HTTP://Host/a/b.m3u8", "c.ts", Some("http://host/a/c.ts")),
            (
                "http://host/a/b.m3u8",
                "//cdn:8080/c.ts#t",
                Some("http://cdn:8080/c.ts"),
            ),
            (
                "http://host/a/b.m3u8",
                "https://host/c.ts",
                Some("https://host/c.ts"),
            ),
            ("http://host/a/b.m3u8", "data:text/plain,x", None),
            ("http://host/a/b.m3u8", "skd://key", None),
        ] {
            assert_eq!(resolve(base, uri).as_deref(), address, "{uri} from {base}");
        }
    }

    #[test]
    fn tracks_with_playlists_of_their_own_are_taken_as_players_take_them() {
        let text = b"#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",AUTOSELECT=YES,URI=\"de.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"inside\",NAME=\"Muxed\",DEFAULT=YES\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",AUTOSELECT=YES,URI=\"sub.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"shown\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,URI=\"sub.m3u8\"\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9,URI=\"i.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\",SUBTITLES=\"s\"\nlow.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"inside\",SUBTITLES=\"shown\"\nhigh.m3u8\n";
        let facts = multivariant("/main.m3u8", text).unwrap();
        assert_eq!(facts.variants.len(), 2, "players do not play I-frame lists");
        let of = |variant| {
            let tracks = facts.tracks_of(&facts.variants[variant]);
            tracks
                .map(|track| facts.tracks[track].path.as_deref().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(0), ["/en.m3u8"]);
        assert_eq!(of(1), ["/sub.m3u8"]);
    }

    #[test]
    fn a_player_begins_with_the_renditions_of_one_pathway() {
        let variants = "#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\nhttp://a/low.m3u8\n\
                        #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"b\"\nhttp://b/low.m3u8\n";
        let read = |tag: &str| {
            let text = format!("#EXTM3U\n{tag}{variants}");
            multivariant("http://a/main.m3u8", text.as_bytes()).unwrap()
        };
        let plain = read("");
        assert!(!plain.steers);
        assert_eq!(plain.variants.len(), 1);
        let steered = read("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s?a=1,2\",PATHWAY-ID=\"b\"\n");
        assert!(steered.steers);
        assert_eq!(steered.variants[0].path, "http://b/low.m3u8");
        // Of Seawall's own pathways the first leads to the same server.
        let own = format!(
            "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\".\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n{variants}"
        );
        let own = multivariant("/live/demo/main.m3u8", own.as_bytes()).unwrap();
        assert_eq!(own.variants.len(), 1);
        assert_eq!(own.variants[0].path, "/live/demo/low.m3u8");
    }

    #[test]
    fn the_default_track_may_be_inside_the_variants_and_sound_alone_is_left_aside() {
        let text = b"#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Main\",LANGUAGE=\"\",DEFAULT=YES,FORCED=NO\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Comment\",URI=\"c.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS=\"mp4a.40.2\"\nsound.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS=\"avc1.42e00a,mp4a.40.2\",AUDIO=\"a\"\nlow.m3u8\n";
        let facts = multivariant("/main.m3u8", text).unwrap();
        assert_eq!(facts.variants.len(), 1);
        assert_eq!(facts.variants[0].path, "/low.m3u8");
        assert_eq!(facts.tracks_of(&facts.variants[0]).count(), 0);
    }

    #[test]
    fn odd_forms_of_tags_mean_what_players_take_them_for() {
        let text = "#EXTM3U\n# {$comment}\n#EXT-X-TARGETDURATION: 10\n#EXT-X-MEDIA-SEQUENCE: +5\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000+0000\n\
            #EXTINF:10,title=\"Song\",artist=\"{$x}\",url=\"http://u\"\na.ts\n\
            #EXTINF: 6.0 ,\n#EXT-X-BYTERANGE: 100@7\nb.ts\n#EXTINF:.5,\nc.ts\n";
        let facts = media("/media.m3u8", text.as_bytes()).unwrap();
        let told: Vec<_> = facts
            .listed
            .iter()
            .map(|one| {
                (
                    one.number,
                    one.resource.path.as_str(),
                    one.duration.as_millis(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [(5, "/a.ts", 10_000), (6, "/b.ts", 6_000), (7, "/c.ts", 500)]
        );
        assert!(facts.listed[0].begins_at.is_some());
        assert_eq!(
            facts.listed[1].resource.range,
            Some(Span {
                from: 7,
                bytes: 100
            })
        );
        for line in [
            "#EXTINF:-1,\na.ts",
            "#EXTINF:long,\na.ts",
            "#EXT-X-KEY:URI=\"k\"\n#EXTINF:2,\na.ts",
            "#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:2,\na.ts",
            "#EXT-X-ENDLIST",
        ] {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n{line}\n");
            assert!(media("/media.m3u8", text.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_small_text_does_not_become_a_large_one() {
        let mut text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a0\",VALUE=\"xxxxxxxxxxxxxxxx\"\n".to_owned();
        for n in 1..40 {
            let before = n - 1;
            text +=
                &format!("#EXT-X-DEFINE:NAME=\"a{n}\",VALUE=\"{{$a{before}}}{{$a{before}}}\"\n");
        }
        assert!(media("/media.m3u8", text.as_bytes()).is_err());
    }

    #[test]
    fn ranges_headers_and_keys_hold_until_the_next_one() {
        let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"700@0\"\n\
            #EXTINF:2,\n#EXT-X-BYTERANGE:100@700\nall.mp4\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"key?n=1\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:50\nall.mp4\n\
            #EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"next.mp4\"\n#EXTINF:2,\nc.m4s\n\
            #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://licence\"\n#EXTINF:2,\nd.m4s\n#EXT-X-ENDLIST\n";
        let facts = media("/v/media.m3u8", text).unwrap();
        assert!(facts.ended);
        let shown = |resource: &Resource| match resource.range {
            Some(Span { from, bytes }) => format!("{} {bytes}@{from}", resource.path),
            None => resource.path.clone(),
        };
        let told: Vec<_> = facts
            .listed
            .iter()
            .map(|segment| {
                let map = segment.map.as_ref().map(shown).unwrap_or_default();
                let key = segment.key.clone().unwrap_or_default();
                (shown(&segment.resource), map, key)
            })
            .collect();
        let row = |segment: &str, map: &str, key: &str| {
            (segment.to_owned(), map.to_owned(), key.to_owned())
        };
        assert_eq!(
            told,
            [
                row("/v/all.mp4 100@700", "/v/all.mp4 700@0", ""),
                row("/v/all.mp4 50@800", "/v/all.mp4 700@0", "/v/key?n=1"),
                row("/v/c.m4s", "/v/next.mp4", ""),
                row("/v/d.m4s", "/v/next.mp4", ""),
            ]
        );
        for range in ["9", "0@0", "9@18446744073709551615"] {
            let text = format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:{range}\na.mp4\n"
            );
            let read = media("/media.m3u8", text.as_bytes());
            assert_eq!(read, Err(Unreadable::Malformed), "{range}");
        }
    }

    #[test]
    fn values_stand_in_place_of_variables_in_both_playlists() {
        let main = b"#EXTM3U\n#EXT-X-DEFINE:NAME=\"cdn\",VALUE=\"http://cdn.example\"\n\
            #EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$cdn}/low.m3u8?t={$token}\n";
        let facts = multivariant("http://host/main.m3u8?token=a%20b", main).unwrap();
        assert_eq!(
            facts.variants[0].path,
            "http://cdn.example/low.m3u8?t=a%20b"
        );
        let text = b"#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"cdn\"\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{$cdn}/1.ts\n";
        let read = media_importing("http://cdn.example/low.m3u8", text, &facts.variables).unwrap();
        assert_eq!(read.listed[0].resource.path, "http://cdn.example/1.ts");
        let alone = media("http://cdn.example/low.m3u8", text);
        assert_eq!(alone, Err(Unreadable::Undefined));
        let unknown = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{$cdn}/1.ts\n";
        assert_eq!(
            media_importing("/low.m3u8", unknown, &facts.variables),
            Err(Unreadable::Undefined),
            "what is not imported is not known"
        );
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
            .map(|segment| (segment.number, segment.resource.path.as_str()))
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
        let of = |segment: &Listed| (segment.number, segment.resource.path.clone(), segment.gap);
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
}
