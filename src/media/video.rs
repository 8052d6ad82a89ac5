//! The pictures of a segment: each is an H.264 access unit that shows its card and fills its remaining bytes with
//! grain.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::card::Card;
use super::h264::{self, Encoder, Grain, Kind, Room, Stamp};
use super::picture::Picture;
use crate::hls::ladder::{FRAME_RATE, Rendition};
use crate::hls::timeline::Channel;

/// Duration of a video frame.
const FRAME: Duration = Duration::from_millis(1_000 / FRAME_RATE as u64);

/// The pictures of a segment that is being made.
pub(super) struct Video<'a> {
    channel: &'a Channel,
    rendition: &'a Rendition,
    number: u64,
    card: Card,
    encoder: Encoder,
    now: Picture,
    before: Picture,
}

impl<'a> Video<'a> {
    pub(super) fn new(channel: &'a Channel, rendition: &'a Rendition, number: u64) -> Self {
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

    /// The next picture with everything that a decoder needs for it, in `room_bytes` if possible. The caller must ask
    /// for frames in order.
    pub(super) fn access_unit(&mut self, frame: u32, room_bytes: usize) -> Vec<u8> {
        let at = self.channel.begins_at(self.number) + FRAME * frame;
        std::mem::swap(&mut self.now, &mut self.before);
        self.card.paint(&mut self.now, frame, at);

        let mut stream = Vec::with_capacity(room_bytes);
        let stamp = Stamp {
            channel: &self.channel.name,
            rendition: &self.rendition.name,
            number: self.number,
            frame,
            unix_ms: at.as_millis(),
        };
        let starts = frame == 0;
        h264::append_delimiter(&mut stream, u32::from(!starts));
        if starts {
            h264::append_parameter_sets(&mut stream, self.rendition);
        }
        h264::append_stamp(&mut stream, &stamp);
        let (kind, room) = if starts {
            let kind = Kind::Idr {
                idr_pic_id: (self.number & 1) as u32,
            };
            // The same number of bits as the grain of the other pictures, so that the grain does not flicker.
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
        let name = fnv(self.rendition.name.as_bytes());
        let mut seed = [0; 32];
        let words = [self.channel.seed, name, self.number, u64::from(frame)];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

/// FNV-1a, which hashes names to numbers.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

    #[test]
    fn pictures_stay_within_their_room_and_use_nearly_all_of_it() {
        let channel = Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout::default(),
            started_at: UnixTime::from_millis(1_790_000_000_000),
        };
        for (rendition, room_bytes) in channel.layout.ladder.iter().zip([750, 3_000, 9_000]) {
            let mut video = Video::new(&channel, rendition, channel.first_number());
            for frame in 0..48 {
                let size = video.access_unit(frame, room_bytes).len();
                // The first picture shows the whole card, however many bytes it takes.
                let within = frame == 0 || (room_bytes * 9 / 10..=room_bytes).contains(&size);
                assert!(within, "{}: frame {frame} takes {size}", rendition.name);
            }
        }
    }

    #[test]
    fn names_are_hashed_as_published() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
