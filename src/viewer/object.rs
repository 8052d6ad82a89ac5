//! The objects that a player asks for, and the segments that a playlist lists.

use std::time::Duration;

use crate::time::UnixTime;

/// An object that a player asks for. Renditions are indices into the list that [`super::player::Player::on_multivariant`] received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// The multivariant playlist.
    Multivariant,
    /// The media playlist of a rendition.
    MediaPlaylist { rendition: usize },
    /// A segment of a rendition.
    Segment { rendition: usize, number: u64 },
    /// The steering manifest.
    Steering,
}

/// One segment of a media playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Media sequence number.
    pub number: u64,
    /// Duration.
    pub duration: Duration,
    /// When the segment begins in UNIX time, if the playlist says so.
    pub begins_at: Option<UnixTime>,
    /// Whether the segment is missing on purpose: it is stepped over.
    pub gap: bool,
}
