//! MPEG transport stream packets (ISO/IEC 13818-1), without state between segments.
//!
//! A segment begins with PAT and PMT. The packets of each elementary stream are a multiple of 16 per segment, so every
//! continuity counter returns to zero. The counters of PAT and PMT are the segment number's low bits. A PES packet
//! takes the number of packets that the caller asks for. Stuffing in adaptation fields fills the space that its bytes
//! do not need.

pub(super) use crate::hls::container::TS_PACKET_BYTES as PACKET_BYTES;
use crate::hls::container::TS_SYNC_BYTE;

/// Continuity counters count modulo this.
pub(super) const COUNTER_CYCLE: usize = 16;
/// Ticks per second of PTS and of the PCR's base.
pub(super) const CLOCK_HZ: u64 = 90_000;
/// Bytes of a PES header with a PTS.
pub(super) const PES_HEADER_BYTES: usize = 14;

/// Payload of a packet without adaptation field.
const PAYLOAD_BYTES: usize = PACKET_BYTES - 4;
/// Length, flags and a PCR.
const PCR_FIELD_BYTES: usize = 8;
const CLOCK_MASK: u64 = (1 << 33) - 1;

const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const PROGRAM: u16 = 1;
const STREAM_TYPE_AAC_ADTS: u8 = 0x0f;
const STREAM_TYPE_H264: u8 = 0x1b;

/// An elementary stream of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    /// H.264 in access units; its PID carries the PCR.
    Video,
    /// AAC in ADTS frames.
    Audio,
}

impl Track {
    /// The PID of the stream's packets.
    pub(super) const fn pid(self) -> u16 {
        match self {
            Self::Video => 0x100,
            Self::Audio => 0x101,
        }
    }

    const fn stream_id(self) -> u8 {
        match self {
            Self::Video => 0xe0,
            Self::Audio => 0xc0,
        }
    }
}

/// The header of one PES packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PesHead {
    /// The stream that it belongs to.
    pub(super) track: Track,
    /// Presentation time in ticks of [`CLOCK_HZ`]; wraps at 33 bits.
    pub(super) pts: u64,
    /// Program clock in ticks of [`CLOCK_HZ`] at the first packet, if that packet carries the clock; wraps at 33 bits.
    pub(super) pcr: Option<u64>,
    /// Whether a decoder may start here.
    pub(super) access: Access,
}

/// Whether a decoder may start at a PES packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A decoder may start here: the random access indicator is set.
    Random,
    /// A decoder needs the packets before.
    Dependent,
}

impl PesHead {
    /// Fewest packets that hold a PES packet of `payload_bytes`.
    pub(super) fn packets(&self, payload_bytes: usize) -> usize {
        (PES_HEADER_BYTES + self.field_bytes() + payload_bytes).div_ceil(PAYLOAD_BYTES)
    }

    /// Largest payload that `packets` packets hold.
    pub(super) fn capacity_bytes(&self, packets: usize) -> usize {
        (packets * PAYLOAD_BYTES).saturating_sub(PES_HEADER_BYTES + self.field_bytes())
    }

    /// Bytes of the adaptation field that the first packet needs before any stuffing.
    fn field_bytes(&self) -> usize {
        match (self.pcr, self.access) {
            (Some(_), _) => PCR_FIELD_BYTES,
            (None, Access::Random) => 2,
            (None, Access::Dependent) => 0,
        }
    }

    fn flags(&self) -> u8 {
        u8::from(self.access == Access::Random) << 6 | u8::from(self.pcr.is_some()) << 4
    }

    fn header(&self, payload_bytes: usize) -> [u8; PES_HEADER_BYTES] {
        let pts = self.pts & CLOCK_MASK;
        // Zero means unbounded, which is allowed for video only; our audio is far shorter.
        let length = u16::try_from(payload_bytes + PES_HEADER_BYTES - 6).unwrap_or(0);
        let [length_high, length_low] = length.to_be_bytes();
        [
            0,
            0,
            1,
            self.track.stream_id(),
            length_high,
            length_low,
            // Marker, data alignment: the payload starts with an access unit.
            0x84,
            // A PTS and no DTS: pictures are shown in the order of decoding.
            0x80,
            5,
            0x21 | (pts >> 29) as u8 & 0x0e,
            (pts >> 22) as u8,
            0x01 | (pts >> 14) as u8,
            (pts >> 7) as u8,
            0x01 | (pts << 1) as u8,
        ]
    }
}

/// The packets of one segment, in the order of writing.
pub(super) struct Mux {
    bytes: Vec<u8>,
    video_packets: usize,
    audio_packets: usize,
}

impl Mux {
    /// A segment that holds its PAT and PMT and has room for `packets` packets.
    pub(super) fn new(number: u64, packets: usize) -> Self {
        let mut mux = Self {
            bytes: Vec::with_capacity(packets * PACKET_BYTES),
            video_packets: 0,
            audio_packets: 0,
        };
        let counter = (number % COUNTER_CYCLE as u64) as u8;
        mux.section(PAT_PID, counter, &pat());
        mux.section(PMT_PID, counter, &pmt());
        mux
    }

    /// Packets that [`Mux::new`] writes.
    pub(super) const TABLE_PACKETS: usize = 2;

    /// Appends a PES packet in `packets` packets, or in more if it needs more. The payload must have a byte for each.
    pub(super) fn pes(&mut self, head: &PesHead, payload: &[u8], packets: usize) {
        let header = head.header(payload.len());
        let written = match head.track {
            Track::Video => &mut self.video_packets,
            Track::Audio => &mut self.audio_packets,
        };
        let packets = packets.max(head.packets(payload.len()));
        let mut header = &header[..];
        let mut rest = payload;
        for index in 0..packets {
            let first = index == 0;
            let field_least = if first { head.field_bytes() } else { 0 };
            // Every packet leaves at least one byte for each later packet, because a counter advances only with
            // payload.
            let kept = (packets - 1 - index).min(rest.len());
            let taken = (header.len() + rest.len() - kept).min(PAYLOAD_BYTES - field_least);
            let field = PAYLOAD_BYTES - taken;

            let pid = head.track.pid();
            self.bytes.extend([
                TS_SYNC_BYTE,
                u8::from(first) << 6 | (pid >> 8) as u8,
                pid as u8,
                u8::from(field > 0) << 5 | 0x10 | (*written % COUNTER_CYCLE) as u8,
            ]);
            *written += 1;
            adaptation_field(&mut self.bytes, field, first.then_some(head));
            self.bytes.extend(header);
            let (now, later) = rest.split_at(taken - header.len());
            self.bytes.extend(now);
            header = &[];
            rest = later;
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole segment.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn section(&mut self, pid: u16, counter: u8, section: &[u8]) {
        let end = self.bytes.len() + PACKET_BYTES;
        self.bytes.extend([
            TS_SYNC_BYTE,
            0x40 | (pid >> 8) as u8,
            pid as u8,
            0x10 | counter,
            0, // The section starts right behind this pointer.
        ]);
        self.bytes.extend(section);
        self.bytes.extend(crc32(section).to_be_bytes());
        self.bytes.resize(end, 0xff);
    }
}

/// An adaptation field of `size` bytes in total. The first packet of a PES packet has the flags and clock of its head.
fn adaptation_field(bytes: &mut Vec<u8>, size: usize, head: Option<&PesHead>) {
    let Some(length) = size.checked_sub(1) else {
        return;
    };
    let end = bytes.len() + size;
    bytes.push(length as u8);
    if length > 0 {
        bytes.push(head.map_or(0, PesHead::flags));
        if let Some(pcr) = head.and_then(|head| head.pcr) {
            // 33 bits of base, six reserved bits, nine bits of extension. The extension is zero, because 27 MHz is 300
            // times our clock.
            let field = (pcr & CLOCK_MASK) << 15 | 0x7e00;
            bytes.extend(&field.to_be_bytes()[2..]);
        }
    }
    bytes.resize(end, 0xff);
}

/// Program association: our one program has its map at [`PMT_PID`].
fn pat() -> Vec<u8> {
    let mut entry = PROGRAM.to_be_bytes().to_vec();
    entry.extend((0xe000 | PMT_PID).to_be_bytes());
    section(0x00, 1, &entry)
}

/// Program map: the PID of the clock, no descriptors, and the two streams.
fn pmt() -> Vec<u8> {
    let mut map = (0xe000 | Track::Video.pid()).to_be_bytes().to_vec();
    map.extend([0xf0, 0]);
    for (stream_type, track) in [
        (STREAM_TYPE_H264, Track::Video),
        (STREAM_TYPE_AAC_ADTS, Track::Audio),
    ] {
        map.push(stream_type);
        map.extend((0xe000 | track.pid()).to_be_bytes());
        map.extend([0xf0, 0]);
    }
    section(0x02, PROGRAM, &map)
}

/// A table's only section, version 0 and current, without its checksum.
fn section(table_id: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let length = (5 + body.len() + 4) as u16;
    let mut section = vec![table_id];
    section.extend((0xb000 | length).to_be_bytes());
    section.extend(id.to_be_bytes());
    section.extend([0xc1, 0, 0]);
    section.extend(body);
    section
}

/// The checksum of sections (annex A): polynomial 0x04c11db7, all ones first, not reflected.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            let carry = crc >> 31;
            (crc << 1) ^ (carry * 0x04c1_1db7)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: PesHead = PesHead {
        track: Track::Video,
        pts: 90_000,
        pcr: Some(45_000),
        access: Access::Random,
    };

    fn muxed(payload: &[u8], packets: usize) -> Vec<u8> {
        let mut mux = Mux::new(0, packets + Mux::TABLE_PACKETS);
        mux.pes(&HEAD, payload, packets);
        mux.into_bytes()
            .split_off(Mux::TABLE_PACKETS * PACKET_BYTES)
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn a_pes_packet_takes_as_many_packets_as_it_is_told_to() {
        for payload_bytes in [5, 100, 162, 163, 1_000] {
            let payload: Vec<u8> = (0..payload_bytes).map(|byte| byte as u8).collect();
            let fewest = HEAD.packets(payload.len());
            for packets in fewest..fewest + 3 {
                let bytes = muxed(&payload, packets);
                assert_eq!(bytes.len(), packets * PACKET_BYTES);
                let mut carried = Vec::<u8>::new();
                for (index, packet) in bytes.chunks(PACKET_BYTES).enumerate() {
                    assert_eq!(usize::from(packet[3] & 15), index % COUNTER_CYCLE);
                    let start = if packet[3] & 0x20 == 0 {
                        4
                    } else {
                        5 + usize::from(packet[4])
                    };
                    carried.extend(&packet[start..]);
                }
                assert_eq!(carried[PES_HEADER_BYTES..], payload);
            }
        }
    }

    #[test]
    fn capacity_and_packets_agree() {
        for packets in 1..5 {
            let capacity = HEAD.capacity_bytes(packets);
            assert_eq!(HEAD.packets(capacity), packets);
            assert_eq!(HEAD.packets(capacity + 1), packets + 1);
        }
    }
}
