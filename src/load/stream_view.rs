//! What a viewer knows of its stream, shared with all viewers that know the same. The viewer's requests follow from it, and
//! answers are read into it.

use std::borrow::Cow;
use std::sync::Arc;

use super::offered::Offered;
use super::playlists::{Media, Multivariant};
use super::stream::Watched;
use super::world::World;
use crate::hls::reader;
use crate::hls::steering::Manifest;
use crate::report::record::{self, Outcome};
use crate::viewer::player::Object;

/// Smallest part of a segment that is asked for in place of the whole segment, in bytes.
const PART_BYTES_MIN: u64 = 1_024;

/// What a viewer has seen.
#[derive(Default)]
pub(super) struct StreamView {
    /// The viewer's channel.
    pub(super) channel: u32,
    /// The multivariant playlist that the viewer has.
    pub(super) multivariant: Arc<Multivariant>,
    /// The media playlist that the viewer has.
    pub(super) playlist: Option<Arc<Media>>,
}

/// The content of an answer.
pub(super) enum Came {
    Multivariant(Arc<Multivariant>),
    Media(Arc<Media>),
    Segment,
    Steering(Manifest),
}

impl StreamView {
    /// The log's name of an object.
    pub(super) fn name(&self, object: Object) -> record::Object {
        match object {
            Object::Multivariant => record::Object::Multivariant,
            Object::Steering => record::Object::Steering,
            Object::MediaPlaylist { rendition } => record::Object::MediaPlaylist {
                rendition: self.offered(rendition).rendition,
            },
            Object::Segment { rendition, number } => record::Object::Segment {
                rendition: self.offered(rendition).rendition,
                number,
            },
        }
    }

    /// The path of an object of one of Seawall's channels.
    pub(super) fn path(&self, watched: &Watched, object: Object) -> Cow<'_, str> {
        match object {
            Object::Multivariant => watched.start(self.channel).into(),
            Object::Steering => watched.steering(self.channel).into(),
            Object::MediaPlaylist { rendition } => (&*self.offered(rendition).path).into(),
            Object::Segment { rendition, number } => match self.listed(number) {
                Some(segment) => (&*segment.resource.path).into(),
                None => watched
                    .path_of(self.offered(rendition).rendition, number)
                    .expect("only where names follow from numbers does a player ask early")
                    .into(),
            },
        }
    }

    /// Number of first bytes to ask for, where one part in `one_part_of` stands for each segment. `None` means the whole
    /// object.
    pub(super) fn first_bytes(&self, object: Object, one_part_of: u64) -> Option<u64> {
        let Object::Segment { rendition, number } = object else {
            return None;
        };
        if one_part_of < 2 {
            return None;
        }
        let segment = self.listed(number)?;
        let bits = self.offered(rendition).bandwidth_bps as f64 * segment.duration.as_secs_f64();
        Some((bits as u64 / 8 / one_part_of).max(PART_BYTES_MIN))
    }

    /// Reads the answer for this path of one of Seawall's channels. `text` is its body if the object is a playlist.
    pub(super) fn read(
        &self,
        world: &World,
        object: record::Object,
        path: &str,
        text: &[u8],
    ) -> Result<Came, Outcome> {
        let came = match object {
            record::Object::Multivariant => {
                let texts = &world.playlists.multivariant;
                let says = texts.says(self.channel, path, text, || {
                    world.watched.offered(self.channel, path, text)
                });
                says.map(Came::Multivariant)
            }
            record::Object::MediaPlaylist { rendition } => {
                let named_so = |segment: &_| world.watched.is_named_so(rendition, segment);
                let says = world.playlists.media.says(rendition, path, text, || {
                    let facts = reader::media(path, text).ok()?;
                    Some(facts)
                        .filter(|facts| facts.listed.iter().all(named_so))
                        .map(Media::from)
                });
                says.map(Came::Media)
            }
            record::Object::Segment { .. }
            | record::Object::Header { .. }
            | record::Object::Key { .. } => Some(Came::Segment),
            record::Object::Steering => Manifest::read(text).map(Came::Steering),
        };
        came.ok_or(Outcome::Unreadable)
    }

    /// A rendition as the multivariant playlist offers it.
    pub(super) fn offered(&self, rendition: usize) -> &Offered {
        &self.multivariant.offered[rendition]
    }

    /// A segment as the viewer's media playlist lists it.
    pub(super) fn listed(&self, number: u64) -> Option<&reader::Listed> {
        let mut listed = self.playlist.as_ref()?.facts.listed.iter();
        listed.find(|segment| segment.number == number)
    }
}
