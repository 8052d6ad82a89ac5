//! The content type of each kind of object of a live channel.

use crate::hls::container::Container;
use crate::policy::key::Kind;

/// The content type of a live object of this kind (RFC 8216bis, section 4); the rest of a channel is JSON.
pub fn of(kind: Kind) -> &'static str {
    match kind {
        Kind::Multivariant | Kind::MediaPlaylist => "application/vnd.apple.mpegurl",
        Kind::Segment => Container::default().content_type(),
        Kind::Other => "application/json",
    }
}
