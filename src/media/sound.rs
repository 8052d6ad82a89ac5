//! The audio of a segment: PES packets of five AAC frames, padded to whole cycles of the continuity counter.

use super::aac;
use super::ts::{self, Access, Mux, PesHead, Track};
use crate::hls::timeline::Channel;

/// Access units per PES packet: three PES packets are a part.
const FRAMES_PER_PES: usize = 5;
/// Duration of a PES packet.
const PES_TICKS: u64 = 9_600;

/// The audio of a segment that is being written.
pub(super) struct Sound {
    payloads: Vec<Vec<u8>>,
    appended: usize,
    begins_pts: u64,
    /// Number of packets in the whole segment.
    pub(super) packets: usize,
    /// Number of packets beyond what the bytes need. They are spread over the PES packets.
    spare: usize,
}

impl Sound {
    pub(super) fn new(channel: &Channel, begins_pts: u64) -> Self {
        let units: Vec<_> = aac::access_units(channel.layout.audio_frames_per_segment()).collect();
        let payloads: Vec<_> = units
            .chunks(FRAMES_PER_PES)
            .map(|units| {
                let frames = units
                    .iter()
                    .map(|unit| [&aac::adts_header(unit)[..], unit].concat());
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

    /// Appends the PES packets whose audio begins before `pts`.
    pub(super) fn append_before(&mut self, mux: &mut Mux, pts: u64) {
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
            pts: self.begins_pts + index as u64 * PES_TICKS,
            pcr: None,
            access: Access::Random,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;
    use crate::time::UnixTime;

    #[test]
    fn sound_takes_whole_cycles_of_the_counter_however_long_a_segment_is() {
        for parts_per_segment in 1..=18 {
            let channel = Channel {
                name: "demo".to_owned(),
                seed: 1,
                layout: Layout {
                    parts_per_segment,
                    ..Layout::default()
                },
                started_at: UnixTime::from_millis(0),
            };
            let mut sound = Sound::new(&channel, 90_000);
            let mut mux = Mux::new(0, 0);
            sound.append_before(&mut mux, u64::MAX);
            let packets = mux.into_bytes().len() / ts::PACKET_BYTES - Mux::TABLE_PACKETS;
            assert_eq!(packets, sound.packets);
            assert_eq!(packets % ts::COUNTER_CYCLE, 0);
        }
    }
}
