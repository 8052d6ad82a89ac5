//! The name of an object in virtual time: numbers in one word, so that a table looks it up fast.

use crate::policy::flight::Subject;
use crate::policy::key::Kind;

/// The name of an object: its stream, its rendition, its kind and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// Bits of each part; the number takes the rest.
const KIND_BITS: u32 = 2;
const RENDITION_BITS: u32 = 6;
const STREAM_BITS: u32 = 20;
const NUMBER_BITS: u32 = u64::BITS - KIND_BITS - RENDITION_BITS - STREAM_BITS;

/// Most streams and renditions that have a name.
pub const STREAMS_MAX: u32 = 1 << STREAM_BITS;
/// Most renditions of a stream.
pub const RENDITIONS_MAX: u32 = 1 << RENDITION_BITS;

impl Key {
    /// The multivariant playlist of a stream.
    pub fn multivariant(stream: u32) -> Self {
        Self::of(stream, 0, Kind::Multivariant, 0)
    }

    /// The media playlist of a rendition.
    pub fn media_playlist(stream: u32, rendition: u32) -> Self {
        Self::of(stream, rendition, Kind::MediaPlaylist, 0)
    }

    /// A segment.
    pub fn segment(stream: u32, rendition: u32, number: u64) -> Self {
        Self::of(stream, rendition, Kind::Segment, number)
    }

    /// The steering manifest of a stream.
    pub fn steering(stream: u32) -> Self {
        Self::of(stream, 0, Kind::Other, 0)
    }

    fn of(stream: u32, rendition: u32, kind: Kind, number: u64) -> Self {
        let cell = u64::from(stream % STREAMS_MAX) << RENDITION_BITS
            | u64::from(rendition % RENDITIONS_MAX);
        let number = number & ((1 << NUMBER_BITS) - 1);
        Self((cell << NUMBER_BITS | number) << KIND_BITS | kind as u64)
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        Kind::ALL[(self.0 & ((1 << KIND_BITS) - 1)) as usize]
    }

    /// The number of a segment.
    pub fn number(self) -> u64 {
        self.0 >> KIND_BITS & ((1 << NUMBER_BITS) - 1)
    }

    /// Its rendition.
    pub fn rendition(self) -> u32 {
        self.cell() % RENDITIONS_MAX
    }

    /// Its stream.
    pub fn stream(self) -> u32 {
        self.cell() / RENDITIONS_MAX
    }

    /// Stream and rendition in one number.
    pub fn cell(self) -> u32 {
        (self.0 >> (KIND_BITS + NUMBER_BITS)) as u32
    }

    /// The same rendition's segment with this number.
    pub fn sibling(self, number: u64) -> Self {
        Self::segment(self.stream(), self.rendition(), number)
    }

    /// As policy sees it.
    pub fn subject(self) -> Subject {
        let kind = self.kind();
        Subject {
            kind,
            segment: (kind == Kind::Segment).then(|| self.number()),
            foreign: false,
        }
    }

    /// All of it as one number.
    pub fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_all_its_parts() {
        let number = 885_416_667;
        let key = Key::segment(4_999, 7, number);
        assert_eq!((key.stream(), key.rendition()), (4_999, 7));
        assert_eq!((key.kind(), key.number()), (Kind::Segment, number));
        assert_eq!(key.sibling(3), Key::segment(4_999, 7, 3));
        let playlist = Key::media_playlist(4_999, 7);
        assert_eq!(playlist.cell(), key.cell());
        assert_eq!(playlist.subject().segment, None);
        assert_ne!(Key::multivariant(1), Key::steering(1));
    }
}
