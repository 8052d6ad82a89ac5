//! Why the origin does not store something.

use super::folder::DiskError;

/// Channels that one origin keeps; one more is refused.
pub(super) const CHANNELS_MAX: usize = 256;

/// Why something was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody has described this channel.
    #[error("channel {0:?} is not known here: PUT its description to /live/{0}/channel.json first")]
    UnknownChannel(String),
    /// The channel has no such rendition.
    #[error("channel {channel:?} has no rendition {rendition:?}; it has {known}")]
    UnknownRendition {
        /// The channel.
        channel: String,
        /// The rendition that was asked for.
        rendition: String,
        /// Those that there are.
        known: String,
    },
    /// A description that no stream can follow.
    #[error("the channel's description is not usable: {0}")]
    Description(String),
    /// The channel is known with another seed or layout.
    #[error(
        "channel {0:?} is known with another seed, another number of parts or other renditions, and its bytes would change under their names: keep to those, choose another name with --channel, or stop the origin and remove the folder {0:?} from its folder for segments"
    )]
    Differs(String),
    /// Too many channels.
    #[error(
        "there are {CHANNELS_MAX} channels here already: remove the folder of one, and restart the origin"
    )]
    Full,
    /// A segment of the future.
    #[error(
        "segment {number} is not due yet: the newest is {newest} by this clock; compare the clocks of both machines"
    )]
    TooEarly {
        /// The segment.
        number: u64,
        /// The newest that may exist.
        newest: u64,
    },
    /// A segment that no playlist can list any more.
    #[error(
        "segment {number} is too old: the window begins at {oldest} by this clock; compare the clocks of both machines"
    )]
    TooOld {
        /// The segment.
        number: u64,
        /// The first of the window.
        oldest: u64,
    },
    /// Not a transport stream, or a piece of one.
    #[error(
        "a segment is a transport stream of whole 188-byte packets, and these {0} bytes are not: send it again from its first byte to its last"
    )]
    Malformed(usize),
    /// Other bytes under a name in use.
    #[error("segment {0} is here already with other bytes, and a segment never changes")]
    OtherBytes(u64),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The process is ending.
    #[error("the origin is stopping")]
    Stopping,
}
