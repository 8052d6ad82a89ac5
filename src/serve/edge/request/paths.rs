//! From a request's target to the name of an object in the cache, and back.

use http::Uri;

use crate::hls::names::LivePath;
use crate::policy::key::{Key, KeyRef, Kind};

/// The numbers of what a channel has beside its stream.
const DESCRIPTION: u64 = 0;
const STEERING: u64 = 1;

/// The key of the object that a request asks for.
pub(in crate::serve::edge) fn key_of<'a>(
    path: Option<LivePath<'a>>,
    uri: &'a Uri,
    authority: &'a str,
) -> KeyRef<'a> {
    let live = |channel, rendition, kind, number| KeyRef::Live {
        channel,
        rendition,
        kind,
        number,
    };
    match path {
        Some(LivePath::Segment {
            channel,
            rendition,
            number,
        }) => live(channel, rendition, Kind::Segment, number),
        Some(LivePath::MediaPlaylist { channel, rendition }) => {
            live(channel, rendition, Kind::MediaPlaylist, 0)
        }
        Some(LivePath::Multivariant { channel }) => live(channel, "", Kind::Multivariant, 0),
        Some(LivePath::Description { channel }) => live(channel, "", Kind::Other, DESCRIPTION),
        Some(LivePath::Steering { channel }) => live(channel, "", Kind::Other, STEERING),
        None => KeyRef::Foreign {
            authority,
            path: uri.path(),
            query: uri.query(),
        },
    }
}

/// The path under which the object with this key is requested.
pub(in crate::serve::edge) fn path_of(key: &Key) -> String {
    match key {
        Key::Live {
            channel,
            rendition,
            kind,
            number,
        } => match kind {
            Kind::Multivariant => LivePath::Multivariant { channel },
            Kind::MediaPlaylist => LivePath::MediaPlaylist { channel, rendition },
            Kind::Segment => LivePath::Segment {
                channel,
                rendition,
                number: *number,
            },
            Kind::Other if *number == STEERING => LivePath::Steering { channel },
            Kind::Other => LivePath::Description { channel },
        }
        .to_string(),
        Key::Foreign { path, query, .. } => match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        },
    }
}
