//! Renditions and tracks as a player sees them.

use std::sync::Arc;

use crate::hls::reader::{TrackKind, Variables};

/// A rendition as a player sees it.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    /// Its index in the log.
    pub(super) rendition: u32,
    pub(super) bandwidth_bps: u64,
    pub(super) average_bps: u64,
    /// Address of its media playlist.
    pub(super) path: String,
    /// Sound and subtitles that are played beside it.
    pub(super) tracks: Vec<OfferedTrack>,
    /// What its media playlist may import.
    pub(super) variables: Arc<Variables>,
}

/// Sound or subtitles with a playlist of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfferedTrack {
    /// What it holds.
    pub(super) kind: TrackKind,
    /// Its index in the log.
    pub(super) rendition: u32,
    /// Address of its media playlist.
    pub(super) path: String,
}
