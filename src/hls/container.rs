//! The container of a segment: all that depends on the format of its bytes, except the muxer in `media`.

use serde::{Deserialize, Serialize};

/// Bytes of a transport stream packet (ISO/IEC 13818-1, section 2.4.3.2).
pub const TS_PACKET_BYTES: usize = 188;
/// The first byte of every transport stream packet.
pub const TS_SYNC_BYTE: u8 = 0x47;

/// A format of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// An MPEG-2 transport stream.
    #[default]
    TransportStream,
}

impl Container {
    /// Every container.
    pub const ALL: [Self; 1] = [Self::TransportStream];

    /// The ending of a segment's file name, with its dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::TransportStream => ".ts",
        }
    }

    /// The media type of a segment (RFC 8216bis, section 4).
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::TransportStream => "video/mp2t",
        }
    }

    /// The file name of segment `number`.
    pub fn file(self, number: u64) -> String {
        format!("{number}{}", self.suffix())
    }

    /// The container of the file with this name, and the name without the ending; `None`: the ending belongs to no
    /// container.
    pub fn of_file(name: &str) -> Option<(Self, &str)> {
        let ends = |container: Self| Some((container, name.strip_suffix(container.suffix())?));
        Self::ALL.into_iter().find_map(ends)
    }

    /// Whether `body` may be a whole segment. A cut file or another format is not.
    pub fn holds(self, body: &[u8]) -> bool {
        match self {
            Self::TransportStream => {
                let (packets, rest) = body.as_chunks::<TS_PACKET_BYTES>();
                let begin_in_sync = packets.iter().all(|packet| packet[0] == TS_SYNC_BYTE);
                !packets.is_empty() && rest.is_empty() && begin_in_sync
            }
        }
    }

    /// Whether this is the container that a description need not name.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_transport_stream_is_told_from_a_cut_one_and_from_another_format() {
        let packet = [&[TS_SYNC_BYTE][..], &[0; TS_PACKET_BYTES - 1]].concat();
        let two = packet.repeat(2);
        let mut out_of_sync = two.clone();
        out_of_sync[TS_PACKET_BYTES] = 0;
        for (body, whole) in [
            (&two[..], true),
            (&two[..TS_PACKET_BYTES + 1], false),
            (&out_of_sync, false),
            (b"<html>", false),
            (b"", false),
        ] {
            assert_eq!(
                Container::TransportStream.holds(body),
                whole,
                "{}",
                body.len()
            );
        }
    }

    #[test]
    fn a_file_name_tells_its_container() {
        for container in Container::ALL {
            let name = container.file(7);
            assert_eq!(Container::of_file(&name), Some((container, "7")));
        }
        assert_eq!(Container::of_file("media.m3u8"), None);
    }
}
