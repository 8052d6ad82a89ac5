//! The picture and the sound: segments as a pure function of (channel, rendition, number).
//!
//! [`segment`] is the whole of it. `card` says what is painted, `h264` makes it a bitstream, `aac` holds the sound, and
//! `ts` packs both. Nothing is remembered between segments: the same arguments give the same bytes on any machine, so
//! whoever has a channel can check every byte of it.

mod aac;
mod card;
mod font;
mod h264;
mod picture;
mod ts;

use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::hls::ladder::{FRAME_RATE, Rendition};
use crate::hls::timeline::Channel;
use card::Card;
pub use h264::{STAMP_UUID, Stamp};
use h264::{Encoder, Grain, Kind, Room};
use ts::{Access, Mux, PesHead, Track};

/// Duration of a video frame.
const FRAME: Duration = Duration::from_millis(1_000 / FRAME_RATE as u64);
/// Video frame `n` of a segment is shown this many ticks after its first, times `n`.
const FRAME_TICKS: u64 = ts::CLOCK_HZ / FRAME_RATE as u64;
/// The program clock at the beginning of the media timeline, and how far ahead of it pictures are shown.
const CLOCK_LEAD_TICKS: u64 = ts::CLOCK_HZ / 2;
const SHOW_DELAY_TICKS: u64 = ts::CLOCK_HZ / 2;
/// Access units of sound per PES packet: three of them are a part.
const AUDIO_FRAMES_PER_PES: usize = 5;
const AUDIO_PES_TICKS: u64 = 9_600;

/// Segment `number` of a rendition as an MPEG transport stream; `number` is at least [`Channel::first_number`].
///
/// It has the size that the rendition's bitrate asks for, to within eight packets, unless the card alone is larger.
pub fn segment(channel: &Channel, rendition: &Rendition, number: u64) -> Bytes {
    let begins_ticks = channel.media_offset(number).as_millis() as u64 * (ts::CLOCK_HZ / 1_000);
    let clock_ticks = begins_ticks + CLOCK_LEAD_TICKS;
    let frames = channel.layout.frames_per_segment();

    let mut sound = Sound::new(channel, clock_ticks + SHOW_DELAY_TICKS);
    let target_packets = target_packets(channel, rendition);
    let mut budget = Budget::new(
        target_packets.saturating_sub(Mux::TABLE_PACKETS + sound.packets),
        frames,
    );
    let mut mux = Mux::new(number, target_packets);
    let mut video = Video::new(channel, rendition, number);
    for frame in 0..frames {
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
        let access_unit = video.access_unit(frame, &head, &budget);
        let packets = budget.take(head.packets(access_unit.len()));
        let access_unit = filled(access_unit, head.capacity_bytes(packets));
        mux.pes(&head, &access_unit, packets);
        sound.append_before(&mut mux, head.pts + FRAME_TICKS);
    }
    Bytes::from(mux.into_bytes())
}

/// Packets of 188 bytes that a segment has at its rendition's bitrate.
fn target_packets(channel: &Channel, rendition: &Rendition) -> usize {
    let millis = channel.layout.segment_duration().as_millis() as u64;
    let bits = u64::from(rendition.bitrate_bps) * millis / 1_000;
    (bits / 8) as usize / ts::PACKET_BYTES
}

/// An access unit with filler behind it, if it would leave more than a packet of `capacity_bytes` empty.
fn filled(mut access_unit: Vec<u8>, capacity_bytes: usize) -> Vec<u8> {
    let spare = capacity_bytes.saturating_sub(access_unit.len());
    if spare >= ts::PACKET_BYTES {
        h264::append_filler(&mut access_unit, spare);
    }
    access_unit
}

/// The packets that the pictures of a segment may take: a multiple of the counter's cycle, shared out frame by frame.
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

    /// Takes what the next frame needs, and at least its share. The last frame rounds the sum up to whole cycles.
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

/// The pictures of a segment under way.
struct Video<'a> {
    channel: &'a Channel,
    rendition: &'a Rendition,
    number: u64,
    card: Card,
    encoder: Encoder,
    now: picture::Picture,
    before: picture::Picture,
}

impl<'a> Video<'a> {
    fn new(channel: &'a Channel, rendition: &'a Rendition, number: u64) -> Self {
        let card = Card::new(channel, rendition, number);
        let (now, before) = (card.blank(), card.blank());
        Self {
            channel,
            rendition,
            number,
            encoder: Encoder::new(&now),
            card,
            now,
            before,
        }
    }

    /// The next picture with everything that a decoder needs for it. Frames are asked for in order.
    fn access_unit(&mut self, frame: u32, head: &PesHead, budget: &Budget) -> Vec<u8> {
        let at = self.channel.begins_at(self.number) + FRAME * frame;
        std::mem::swap(&mut self.now, &mut self.before);
        self.card.paint(&mut self.now, frame, at);

        let room_bytes = head.capacity_bytes(budget.share());
        let mut stream = Vec::with_capacity(room_bytes);
        let stamp = Stamp {
            channel: &self.channel.name,
            rendition: &self.rendition.name,
            number: self.number,
            frame,
            unix_ms: at.as_millis(),
        };
        let starts = head.access == Access::Random;
        h264::append_delimiter(&mut stream, u32::from(!starts));
        if starts {
            h264::append_parameter_sets(&mut stream, self.rendition);
        }
        h264::append_stamp(&mut stream, &stamp);
        let (kind, room) = if starts {
            let kind = Kind::Idr {
                idr_pic_id: (self.number & 1) as u32,
            };
            // As much as the grain of the others has, so that it does not flicker.
            let bits = room_bytes.saturating_sub(stream.len()) * 8;
            (kind, Room::Grain { bits })
        } else {
            let kind = Kind::Predicted {
                frame_num: frame,
                before: &self.before,
            };
            let bits = room_bytes.saturating_sub(stream.len()) * 8;
            (kind, Room::Unit { bits })
        };
        let grain = Grain {
            first_row: self.card.grain_row(),
            noise: self.noise(frame),
        };
        self.encoder
            .append_slice(&mut stream, &self.now, kind, grain, room);
        stream
    }

    /// Seeded by (channel, rendition, number, frame).
    fn noise(&self, frame: u32) -> ChaCha8Rng {
        let name = self.rendition.name.bytes().fold(FNV_BASIS, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
        let mut seed = [0; 32];
        let words = [self.channel.seed, name, self.number, u64::from(frame)];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

/// FNV-1a, which turns a rendition's name into a number.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The sound of a segment under way.
struct Sound {
    payloads: Vec<Vec<u8>>,
    appended: usize,
    begins_pts: u64,
    /// Packets of the whole segment.
    packets: usize,
    /// Those of them that no byte needs: one more in some of the PES packets.
    spare: usize,
}

impl Sound {
    fn new(channel: &Channel, begins_pts: u64) -> Self {
        let units: Vec<_> = aac::access_units(channel.layout.audio_frames_per_segment()).collect();
        let payloads: Vec<_> = units
            .chunks(AUDIO_FRAMES_PER_PES)
            .map(|units| {
                let frames = units.iter().map(|unit| [&aac::adts_header(unit)[..], unit].concat());
                frames.collect::<Vec<_>>().concat()
            })
            .collect();
        let mut sound = Self {
            payloads,
            appended: 0,
            begins_pts,
            packets: 0,
            spare: 0,
        };
        let needed = (0..sound.payloads.len())
            .map(|index| sound.head(index).packets(sound.payloads[index].len()))
            .sum::<usize>();
        sound.packets = needed.next_multiple_of(ts::COUNTER_CYCLE);
        sound.spare = sound.packets - needed;
        sound
    }

    /// Appends the packets whose sound begins before `pts`.
    fn append_before(&mut self, mux: &mut Mux, pts: u64) {
        while self.appended < self.payloads.len() && self.head(self.appended).pts < pts {
            let (index, count) = (self.appended, self.payloads.len());
            let head = self.head(index);
            let payload = &self.payloads[index];
            let spare = (index + 1) * self.spare / count - index * self.spare / count;
            mux.pes(&head, payload, head.packets(payload.len()) + spare);
            self.appended += 1;
        }
    }

    fn head(&self, index: usize) -> PesHead {
        PesHead {
            track: Track::Audio,
            pts: self.begins_pts + index as u64 * AUDIO_PES_TICKS,
            pcr: None,
            access: Access::Random,
        }
    }
}
