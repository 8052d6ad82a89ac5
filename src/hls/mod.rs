//! HTTP Live Streaming as values: which segments exist at an instant, their names, and what playlists say.

pub mod container;
pub mod facts;
pub mod ladder;
pub mod names;
pub mod parts;
pub mod playlist;
pub mod reader;
pub mod steering;
pub mod timeline;
pub mod variables;
