//! Why the origin does not store an object.

use super::folder::DiskError;

/// Maximum number of channels at one origin; one more is refused.
pub(super) const CHANNELS_MAX: usize = 256;

/// Why an object was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The channel has not been described.
    #[error("channel {0:?} is not known here: PUT its description to /live/{0}/channel.json first")]
    UnknownChannel(String),
    /// The channel has no such rendition.
    #[error("channel {channel:?} has no rendition {rendition:?}; it has {known}")]
    UnknownRendition {
        /// The channel.
        channel: String,
        /// The requested rendition.
        rendition: String,
        /// The known renditions.
        known: String,
    },
    /// No stream can follow this description.
    #[error("the channel's description is not usable: {0}")]
    Description(String),
    /// The channel is known with another seed or layout.
    #[error(
        "channel {0:?} is known with another seed, another number of parts or other renditions, and its bytes would change under their names: keep to those, choose another name with --channel, or stop the origin and remove the folder {0:?} from its folder for segments"
    )]
    Differs(String),
    /// There are too many channels.
    #[error(
        "there are {CHANNELS_MAX} channels here already: remove the folder of one, and restart the origin"
    )]
    Full,
    /// The segment is not due yet.
    #[error(
        "segment {number} is not due yet: the newest is {newest} by this clock; compare the clocks of both machines"
    )]
    TooEarly {
        /// The segment.
        number: u64,
        /// The newest segment that may exist.
        newest: u64,
    },
    /// The segment is too old: no playlist can still list it.
    #[error(
        "segment {number} is too old: the window begins at {oldest} by this clock; compare the clocks of both machines"
    )]
    TooOld {
        /// The segment.
        number: u64,
        /// The first segment of the window.
        oldest: u64,
    },
    /// The body is not a whole transport stream.
    #[error(
        "a segment is a transport stream of whole 188-byte packets, and these {0} bytes are not: send it again from its first byte to its last"
    )]
    Malformed(usize),
    /// The name is in use with other bytes.
    #[error("segment {0} is here already with other bytes, and a segment never changes")]
    OtherBytes(u64),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The process is shutting down.
    #[error("the origin is stopping")]
    Stopping,
}
