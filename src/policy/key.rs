//! The name of an object inside a cache. Two requests with equal keys may share one answer.

use equivalent::Equivalent;
use serde::{Deserialize, Serialize};

/// What kind of object a key names. The word stands in metric labels and in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A multivariant playlist: the list of renditions.
    Multivariant,
    /// A media playlist: the sliding list of segments.
    MediaPlaylist,
    /// A media segment: immutable.
    Segment,
    /// Anything else.
    Other,
}

impl Kind {
    /// Every kind, in the order of its label.
    pub const ALL: [Self; 4] = [
        Self::Multivariant,
        Self::MediaPlaylist,
        Self::Segment,
        Self::Other,
    ];

    /// The word in labels and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::MediaPlaylist => "media_playlist",
            Self::Segment => "segment",
            Self::Other => "other",
        }
    }
}

/// The name of an object in the cache and in the table of flights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An object of a live stream. The query is not part of the key: requests with session ids and cache-busters share
    /// one object.
    Live {
        /// The channel's name.
        channel: Box<str>,
        /// The rendition's name; empty for an object of the whole channel.
        rendition: Box<str>,
        /// Which kind of object.
        kind: Kind,
        /// The segment's number; 0 for playlists.
        number: u64,
    },
    /// Any other object that the origin serves. The query is part of the key.
    Foreign {
        /// Host and port of the origin.
        authority: Box<str>,
        /// The path, as it was sent.
        path: Box<str>,
        /// The query without its `?`, if there was one.
        query: Option<Box<str>>,
    },
}

/// A [`Key`] that borrows from the request, so that a hit allocates no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRef<'a> {
    /// See [`Key::Live`].
    Live {
        channel: &'a str,
        rendition: &'a str,
        kind: Kind,
        number: u64,
    },
    /// See [`Key::Foreign`].
    Foreign {
        authority: &'a str,
        path: &'a str,
        query: Option<&'a str>,
    },
}

impl Key {
    /// The borrowed form.
    pub fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Live {
                channel,
                rendition,
                kind,
                number,
            } => KeyRef::Live {
                channel,
                rendition,
                kind: *kind,
                number: *number,
            },
            Self::Foreign {
                authority,
                path,
                query,
            } => KeyRef::Foreign {
                authority,
                path,
                query: query.as_deref(),
            },
        }
    }
}

impl KeyRef<'_> {
    /// The owned form.
    pub fn to_key(self) -> Key {
        match self {
            Self::Live {
                channel,
                rendition,
                kind,
                number,
            } => Key::Live {
                channel: channel.into(),
                rendition: rendition.into(),
                kind,
                number,
            },
            Self::Foreign {
                authority,
                path,
                query,
            } => Key::Foreign {
                authority: authority.into(),
                path: path.into(),
                query: query.map(Into::into),
            },
        }
    }

    /// Which kind of object the key names.
    pub fn kind(self) -> Kind {
        match self {
            Self::Live { kind, .. } => kind,
            Self::Foreign { .. } => Kind::Other,
        }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn a_borrowed_key_hashes_like_its_owned_form() {
        let keys = [
            KeyRef::Live {
                channel: "demo",
                rendition: "720p",
                kind: Kind::Segment,
                number: 12,
            },
            KeyRef::Live {
                channel: "demo",
                rendition: "",
                kind: Kind::Multivariant,
                number: 0,
            },
            KeyRef::Foreign {
                authority: "origin:80",
                path: "/a",
                query: Some("b=1"),
            },
            KeyRef::Foreign {
                authority: "origin:80",
                path: "/a",
                query: None,
            },
        ];
        let state = RandomState::new();
        for key in keys {
            let owned = key.to_key();
            assert_eq!(state.hash_one(key), state.hash_one(&owned));
            assert!(key.equivalent(&owned));
        }
    }
}
