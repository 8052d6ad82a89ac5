//! The picture and the audio: segments as a pure function of (channel, rendition, number).
//!
//! [`segment`] is the entry point. `card` paints the picture, `h264` encodes it, and `aac` holds the audio. `ts` packs
//! the output of `video` and `sound`. Nothing is kept between segments: the same arguments give the same bytes on any
//! machine. So a client that has the channel's description can check every byte.

mod aac;
mod card;
mod font;
mod h264;
mod picture;
mod sound;
mod ts;
mod video;

use bytes::Bytes;

use crate::hls::ladder::{FRAME_RATE, Rendition};
use crate::hls::timeline::Channel;
pub use h264::{STAMP_UUID, Stamp};
use sound::Sound;
use ts::{Access, Mux, PesHead, Track};
use video::Video;

/// Ticks from one video frame to the next.
const FRAME_TICKS: u64 = ts::CLOCK_HZ / FRAME_RATE as u64;
/// The program clock at the start of the media timeline, and the time from the clock to the display of a picture.
const CLOCK_LEAD_TICKS: u64 = ts::CLOCK_HZ / 2;
const SHOW_DELAY_TICKS: u64 = ts::CLOCK_HZ / 2;

/// Segment `number` of a rendition as an MPEG transport stream; `number` is at least [`Channel::first_number`].
///
/// All segments of a rendition have the same size: what its bitrate allows, less fewer than 16 packets to keep the
/// continuity counters whole. A segment is larger only where the card and the audio alone need more.
pub fn segment(channel: &Channel, rendition: &Rendition, number: u64) -> Bytes {
    segment_start(channel, rendition, number, usize::MAX)
}

/// The first `bytes` bytes of that segment, or all if it has fewer. Only the necessary frames are made.
pub fn segment_start(channel: &Channel, rendition: &Rendition, number: u64, bytes: usize) -> Bytes {
    let begins_ticks = channel.media_offset(number).as_millis() as u64 * (ts::CLOCK_HZ / 1_000);
    let clock_ticks = begins_ticks + CLOCK_LEAD_TICKS;
    let frames = channel.layout.frames_per_segment();

    let mut sound = Sound::new(channel, clock_ticks + SHOW_DELAY_TICKS);
    let target_packets = target_packets(channel, rendition);
    let mut budget = Budget::new(
        target_packets.saturating_sub(Mux::TABLE_PACKETS + sound.packets),
        frames,
    );
    let room_packets = target_packets.min(bytes.div_ceil(ts::PACKET_BYTES));
    let mut mux = Mux::new(number, room_packets);
    let mut video = Video::new(channel, rendition, number);
    for frame in 0..frames {
        if mux.len() >= bytes {
            break;
        }
        let ticks = clock_ticks + u64::from(frame) * FRAME_TICKS;
        let head = PesHead {
            track: Track::Video,
            pts: ticks + SHOW_DELAY_TICKS,
            pcr: Some(ticks),
            access: if frame == 0 {
                Access::Random
            } else {
                Access::Dependent
            },
        };
        let access_unit = video.access_unit(frame, head.capacity_bytes(budget.share()));
        let packets = budget.take(head.packets(access_unit.len()));
        let access_unit = filled(access_unit, head.capacity_bytes(packets));
        mux.pes(&head, &access_unit, packets);
        sound.append_before(&mut mux, head.pts + FRAME_TICKS);
    }
    let mut made = mux.into_bytes();
    made.truncate(bytes);
    Bytes::from(made)
}

/// Number of 188-byte packets that a segment has at its rendition's bitrate.
fn target_packets(channel: &Channel, rendition: &Rendition) -> usize {
    let millis = channel.layout.segment_duration().as_millis() as u64;
    let bits = u64::from(rendition.bitrate_bps) * millis / 1_000;
    (bits / 8) as usize / ts::PACKET_BYTES
}

/// Adds filler to an access unit if it would leave at least one packet of `capacity_bytes` empty.
fn filled(mut access_unit: Vec<u8>, capacity_bytes: usize) -> Vec<u8> {
    let spare = capacity_bytes.saturating_sub(access_unit.len());
    if spare >= ts::PACKET_BYTES {
        h264::append_filler(&mut access_unit, spare);
    }
    access_unit
}

/// The packets that the pictures of a segment may take: a multiple of the counter's cycle, divided among the frames.
struct Budget {
    left: usize,
    frames_left: usize,
    used: usize,
}

impl Budget {
    fn new(packets: usize, frames: u32) -> Self {
        Self {
            left: packets / ts::COUNTER_CYCLE * ts::COUNTER_CYCLE,
            frames_left: frames as usize,
            used: 0,
        }
    }

    /// The next frame's share of what is left.
    fn share(&self) -> usize {
        self.left / self.frames_left.max(1)
    }

    /// Takes the packets that the next frame needs, and at least its share. The last frame rounds the sum up to whole
    /// cycles.
    fn take(&mut self, needed: usize) -> usize {
        let mut taken = needed.max(self.share());
        self.frames_left = self.frames_left.saturating_sub(1);
        if self.frames_left == 0 {
            taken = (self.used + taken).next_multiple_of(ts::COUNTER_CYCLE) - self.used;
        }
        self.used += taken;
        self.left = self.left.saturating_sub(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mpeg2ts::ts::{ReadTsPacket, TsPacketReader, TsPayload};

    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

    fn channel() -> Channel {
        Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout {
                parts_per_segment: 6,
                ladder: Rendition::known().to_vec(),
                ..Layout::default()
            },
            started_at: UnixTime::from_millis(1_790_000_000_123),
        }
    }

    #[test]
    fn the_start_of_a_segment_is_made_alone_and_is_the_same() {
        let channel = channel();
        let number = channel.first_number() + 3;
        let whole = segment(&channel, lowest(&channel), number);
        for bytes in [0, 1, 188, 10_000, whole.len(), usize::MAX] {
            let start = segment_start(&channel, lowest(&channel), number, bytes);
            assert_eq!(start, whole.slice(..bytes.min(whole.len())), "{bytes}");
        }
    }

    fn lowest(channel: &Channel) -> &Rendition {
        &channel.layout.ladder[0]
    }

    /// 33-bit timestamps of each PID, in the order of their PES packets, as another program reads them.
    fn timestamps(bytes: &[u8]) -> HashMap<u16, Vec<u64>> {
        let mut reader = TsPacketReader::new(bytes);
        let mut timestamps: HashMap<u16, Vec<u64>> = HashMap::new();
        while let Some(packet) = reader.read_ts_packet().unwrap() {
            if let Some(TsPayload::PesStart(pes)) = packet.payload {
                let pts = pes.header.pts.expect("every PES packet has a PTS").as_u64();
                timestamps
                    .entry(packet.header.pid.as_u16())
                    .or_default()
                    .push(pts);
            }
        }
        timestamps
    }

    #[test]
    fn the_same_arguments_give_the_same_bytes() {
        let channel = channel();
        let number = channel.first_number() + 3;
        for rendition in &channel.layout.ladder[..2] {
            let bytes = segment(&channel, rendition, number);
            assert_eq!(segment(&channel.clone(), rendition, number), bytes);
            assert_ne!(segment(&channel, rendition, number + 1), bytes);
        }
    }

    #[test]
    fn a_channel_of_another_seed_has_other_grain() {
        let channel = channel();
        let reseeded = Channel {
            seed: 2,
            ..channel.clone()
        };
        let number = channel.first_number();
        let rendition = lowest(&channel);
        assert_ne!(
            segment(&channel, rendition, number),
            segment(&reseeded, rendition, number)
        );
    }

    /// If this test fails, viewers of a stream that spans an upgrade see different bytes under the same name. Change
    /// the hash only when the picture is meant to change.
    #[test]
    fn these_bytes_never_change_unnoticed() {
        let channel = channel();
        let number = channel.first_number() + 100;
        let hashes: Vec<_> = channel
            .layout
            .ladder
            .iter()
            .map(|rendition| {
                let bytes = segment(&channel, rendition, number);
                let hash = video::fnv(&bytes);
                format!("{} {hash:016x}", rendition.name)
            })
            .collect();
        assert_eq!(
            hashes,
            [
                "180p 05eb03ff049a1d93",
                "360p e319ab5d8c777256",
                "720p d84a91c1906e4354",
                "1080p 491e0bcb357ec9d7",
            ]
        );
    }

    #[test]
    fn continuity_counters_run_on_across_segments() {
        let channel = channel();
        let first = channel.first_number();
        let mut last: HashMap<u16, u8> = HashMap::new();
        for number in first..first + 3 {
            let bytes = segment(&channel, lowest(&channel), number);
            for packet in bytes.chunks(ts::PACKET_BYTES) {
                assert_eq!((packet.len(), packet[0]), (188, 0x47));
                let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
                let counter = packet[3] & 15;
                if let Some(last) = last.insert(pid, counter) {
                    assert_eq!(counter, (last + 1) % 16, "PID {pid:#x} of segment {number}");
                }
            }
        }
        assert_eq!(last.len(), 4);
    }

    #[test]
    fn every_segment_has_the_bitrate_of_its_rendition() {
        for parts_per_segment in [6, 9, 12, 18] {
            let mut channel = channel();
            channel.layout.parts_per_segment = parts_per_segment;
            for rendition in &channel.layout.ladder {
                for number in [0, 1].map(|after| channel.first_number() + after) {
                    let bits = segment(&channel, rendition, number).len() as f64 * 8.0;
                    let bps = bits / channel.layout.segment_duration().as_secs_f64();
                    let ratio = bps / f64::from(rendition.bitrate_bps);
                    assert!((0.97..=1.0).contains(&ratio), "{}: {bps}", rendition.name);
                }
            }
        }
    }

    #[test]
    fn odd_sizes_and_rates_still_make_whole_streams() {
        let mut channel = channel();
        for (width, height, bitrate_bps, parts) in [
            (64, 48, 1_000_000, 1),
            (854, 480, 10_000, 2),
            (1_282, 722, 20_000_000, 3),
        ] {
            channel.layout.parts_per_segment = parts;
            let rendition = Rendition {
                name: "odd".to_owned(),
                width,
                height,
                bitrate_bps,
            };
            let number = channel.first_number();
            let bytes = segment(&channel, &rendition, number);
            let packets: HashMap<u16, usize> =
                bytes
                    .chunks(ts::PACKET_BYTES)
                    .fold(HashMap::new(), |mut packets, packet| {
                        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
                        *packets.entry(pid).or_default() += 1;
                        packets
                    });
            assert_eq!(packets[&Track::Video.pid()] % 16, 0);
            assert_eq!(packets[&Track::Audio.pid()] % 16, 0);
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let channel = channel();
        let bytes = segment(&channel, lowest(&channel), u64::MAX);
        assert!(!bytes.is_empty());
    }

    #[test]
    fn another_reader_finds_the_timestamps_of_the_grid() {
        let channel = channel();
        let number = channel.first_number() + 10;
        let bytes = segment(&channel, lowest(&channel), number);
        let begins = 10 * 172_800 + 90_000;
        let timestamps = timestamps(&bytes);
        let video: Vec<_> = (0..48).map(|frame| begins + frame * 3_600).collect();
        let audio: Vec<_> = (0..18).map(|pes| begins + pes * 9_600).collect();
        assert_eq!(timestamps[&0x100], video);
        assert_eq!(timestamps[&0x101], audio);
        assert_eq!(timestamps.len(), 2);
    }

    #[test]
    fn timestamps_wrap_at_33_bits() {
        let channel = channel();
        // The last segment that begins before the wrap, 26.5 hours in: its last frames come after the wrap.
        let number = channel.first_number() + ((1 << 33) - 90_000) / 172_800;
        let bytes = segment(&channel, lowest(&channel), number);
        for track in timestamps(&bytes).into_values() {
            assert!(track[0] > (1 << 33) - 172_800);
            assert!(*track.last().unwrap() < 172_800);
        }
    }
}
