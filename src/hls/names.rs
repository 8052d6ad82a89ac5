//! Names in requests: URL paths of a live channel, parsed and written.
//!
//! ```text
//! /live/{channel}/main.m3u8                 multivariant playlist
//! /live/{channel}/{rendition}/media.m3u8    media playlist
//! /live/{channel}/{rendition}/{number}.ts   segment
//! /live/{channel}/steering.json             which pathway players prefer (content steering)
//! /live/{channel}/channel.json              the channel's description: everything needed to regenerate its bytes
//! ```

use std::fmt;

use super::container::Container;

/// A path below `/live/`, borrowed from the request so that parsing allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivePath<'a> {
    /// The multivariant playlist.
    Multivariant { channel: &'a str },
    /// The media playlist of one rendition.
    MediaPlaylist {
        channel: &'a str,
        rendition: &'a str,
    },
    /// One segment.
    Segment {
        channel: &'a str,
        rendition: &'a str,
        number: u64,
    },
    /// The steering manifest.
    Steering { channel: &'a str },
    /// The channel's description.
    Description { channel: &'a str },
}

/// Whether `text` may name a channel, a rendition or an edge: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

impl<'a> LivePath<'a> {
    /// Parses a path. `None` for anything that is not exactly one of the names above. Leading zeros and other spellings
    /// are refused, so that one object has one key.
    pub fn parse(path: &'a str) -> Option<Self> {
        let mut steps = path.strip_prefix("/live/")?.split('/');
        let channel = steps.next().filter(|name| is_name(name))?;
        let second = steps.next()?;
        let third = steps.next();
        if steps.next().is_some() {
            return None;
        }
        match (second, third) {
            ("main.m3u8", None) => Some(Self::Multivariant { channel }),
            ("steering.json", None) => Some(Self::Steering { channel }),
            ("channel.json", None) => Some(Self::Description { channel }),
            (rendition, Some(file)) if is_name(rendition) => match Container::of_file(file) {
                Some((_, digits)) => Some(Self::Segment {
                    channel,
                    rendition,
                    number: parse_number(digits)?,
                }),
                None => {
                    (file == "media.m3u8").then_some(Self::MediaPlaylist { channel, rendition })
                }
            },
            _ => None,
        }
    }
}

impl fmt::Display for LivePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multivariant { channel } => write!(f, "/live/{channel}/main.m3u8"),
            Self::MediaPlaylist { channel, rendition } => {
                write!(f, "/live/{channel}/{rendition}/media.m3u8")
            }
            Self::Segment {
                channel,
                rendition,
                number,
            } => {
                let suffix = Container::default().suffix();
                write!(f, "/live/{channel}/{rendition}/{number}{suffix}")
            }
            Self::Steering { channel } => write!(f, "/live/{channel}/steering.json"),
            Self::Description { channel } => write!(f, "/live/{channel}/channel.json"),
        }
    }
}

/// The delivery directives of a query are malformed (RFC 8216bis, section 6.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedDirective;

/// The media sequence number that a playlist must reach before it answers the request (`_HLS_msn`). A part
/// (`_HLS_part`) belongs to a numbered segment and is available no later than that segment. Other keys, such as session
/// ids and cache-busters, are ignored.
///
/// # Errors
/// A directive is unknown or malformed, or asks for a part without a segment number.
pub fn sequence_asked(query: &str) -> Result<Option<u64>, MalformedDirective> {
    let (mut sequence, mut part) = (None, None);
    for pair in query.split('&').filter(|pair| pair.starts_with("_HLS_")) {
        match pair.split_once('=').ok_or(MalformedDirective)? {
            ("_HLS_msn", value) => sequence = Some(number_of(value)?),
            ("_HLS_part", value) => part = Some(number_of(value)?),
            ("_HLS_skip", "YES" | "v2") | ("_HLS_report", _) => {}
            _ => return Err(MalformedDirective),
        }
    }
    if part.is_some() && sequence.is_none() {
        return Err(MalformedDirective);
    }
    Ok(sequence)
}

fn number_of(digits: &str) -> Result<u64, MalformedDirective> {
    parse_number(digits).ok_or(MalformedDirective)
}

fn parse_number(digits: &str) -> Option<u64> {
    let canonical = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        let paths = [
            LivePath::Multivariant { channel: "demo" },
            LivePath::MediaPlaylist {
                channel: "demo",
                rendition: "720p",
            },
            LivePath::Segment {
                channel: "demo",
                rendition: "720p",
                number: 885_416_667,
            },
            LivePath::Steering { channel: "demo" },
            LivePath::Description { channel: "demo" },
        ];
        for path in paths {
            assert_eq!(LivePath::parse(&path.to_string()), Some(path));
        }
    }

    #[test]
    fn malformed_directives_are_told_from_foreign_keys() {
        for (query, asked) in [
            ("session=1&_HLS_msn=12&_HLS_part=0", Ok(Some(12))),
            ("_HLS_skip=YES", Ok(None)),
            ("", Ok(None)),
            ("_HLS_msn=-1", Err(MalformedDirective)),
            ("_HLS_msn", Err(MalformedDirective)),
            ("_HLS_part=1", Err(MalformedDirective)),
            ("_HLS_skip=1", Err(MalformedDirective)),
            ("_HLS_other=1", Err(MalformedDirective)),
        ] {
            assert_eq!(sequence_asked(query), asked, "{query}");
        }
    }

    #[test]
    fn other_spellings_are_no_live_paths() {
        for path in [
            "/live/demo",
            "/live/demo/",
            "/live//main.m3u8",
            "/live/Demo/main.m3u8",
            "/live/demo/720p/007.ts",
            "/live/demo/720p/.ts",
            "/live/demo/720p/+7.ts",
            "/live/demo/720p/18446744073709551616.ts",
            "/live/demo/720p/7.ts/",
            "/live/demo/../main.m3u8",
            "/vod/demo/main.m3u8",
        ] {
            assert_eq!(LivePath::parse(path), None, "{path}");
        }
    }
}
