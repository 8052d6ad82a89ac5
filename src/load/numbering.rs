//! How the log numbers the renditions of all channels of a run.

use crate::hls::timeline::Channel;

/// The log's index of a rendition of the channel with index `channel_index`.
pub(super) fn global(channel: &Channel, channel_index: u32, rendition: u32) -> u32 {
    channel_index * channel.layout.ladder.len() as u32 + rendition
}

/// The channel index and the rendition index behind an index of the log. `any` is any channel of the run:
/// all ladders have the same length.
pub(super) fn local(any: &Channel, rendition: u32) -> (u32, u32) {
    let length = any.layout.ladder.len() as u32;
    (rendition / length, rendition % length)
}
