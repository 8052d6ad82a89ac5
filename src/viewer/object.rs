//! The objects that a player asks for.

/// An object that a player asks for. Renditions are indices into the list that [`super::player::Player::on_multivariant`] received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// The multivariant playlist.
    Multivariant,
    /// The media playlist of a rendition.
    MediaPlaylist { rendition: usize },
    /// A segment of a rendition.
    Segment { rendition: usize, number: u64 },
}
