//! HTTP Live Streaming as values: which segments exist at an instant, what they are called, what playlists say.

pub mod facts;
pub mod ladder;
pub mod names;
pub mod playlist;
pub mod reader;
pub mod timeline;
