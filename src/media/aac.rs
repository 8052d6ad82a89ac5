//! The audio: AAC-LC access units that were encoded once, and the order in which a segment plays them.
//!
//! A segment begins with a short beep, which rises from its second unit on (21 ms); silence follows. The units are cut
//! from one recording so that the windows of neighbouring units match, also across segments: `lead-in | beep ... tail,
//! silence ... silence, lead-in | beep ...`.
//!
//! `beep.adts` was made from three seconds of silence with a 100 ms tone of 1 kHz on a frame boundary:
//!
//! ```text
//! ffmpeg -f lavfi -i "aevalsrc='if(between(n,49152,53951), 0.25*sin(2*PI*1000*(n-49152)/48000)
//!     *sin(PI*(n-49152)/4800)^0.5, 0)|<the same again>':s=48000:d=3" -c:a aac -b:a 64k -f adts all.adts
//! ```
//!
//! It holds frames 48 to 55 of `all.adts` (six with the beep, its tail, one of silence) and then frame 47, the lead-in.

/// Six access units with the beep, its tail, silence, and the lead-in of the next beep, each behind its ADTS header.
static RECORDING: &[u8] = include_bytes!("beep.adts");

const BEEP_FRAMES: usize = 7;
const SILENCE: usize = 7;
const LEAD_IN: usize = 8;

/// The access units of a segment of `frames` frames, in order and without headers.
pub(super) fn access_units(frames: u32) -> impl Iterator<Item = &'static [u8]> {
    let recorded = recorded();
    let frames = frames as usize;
    (0..frames).map(move |frame| {
        recorded[if frame + 1 == frames {
            LEAD_IN
        } else if frame < BEEP_FRAMES {
            frame
        } else {
            SILENCE
        }]
    })
}

/// The ADTS header (ISO/IEC 13818-7, section 6.2) of an access unit: AAC-LC, 48 kHz, stereo, no checksum.
pub(super) fn adts_header(access_unit: &[u8]) -> [u8; ADTS_HEADER_BYTES] {
    const PROFILE_LC: u8 = 1;
    const INDEX_48_KHZ: u8 = 3;
    const STEREO: u8 = 2;
    // All ones in the buffer fullness field mean a variable bitrate.
    const FULLNESS: u16 = 0x7ff;
    let length = access_unit.len() + ADTS_HEADER_BYTES;
    [
        0xff,
        0xf1,
        PROFILE_LC << 6 | INDEX_48_KHZ << 2 | STEREO >> 2,
        (STEREO & 3) << 6 | (length >> 11) as u8,
        (length >> 3) as u8,
        (length << 5) as u8 | (FULLNESS >> 6) as u8,
        (FULLNESS << 2) as u8,
    ]
}

/// Bytes in an [`adts_header`].
pub(super) const ADTS_HEADER_BYTES: usize = 7;

fn recorded() -> [&'static [u8]; 9] {
    let mut rest = RECORDING;
    std::array::from_fn(|_| {
        let length =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
        let (frame, after) = rest.split_at(length);
        rest = after;
        &frame[ADTS_HEADER_BYTES..]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_headers_are_those_of_the_recording() {
        let joined: Vec<u8> = recorded()
            .into_iter()
            .flat_map(|unit| [&adts_header(unit)[..], unit].concat())
            .collect();
        assert_eq!(joined, RECORDING);
    }

    #[test]
    fn a_segment_beeps_first_and_leads_into_the_next_beep() {
        let sizes: Vec<_> = access_units(90).map(<[u8]>::len).collect();
        assert_eq!(sizes.len(), 90);
        assert!(sizes[..6].iter().all(|&size| size > 150));
        assert!(sizes[6..].iter().all(|&size| size < 10));
        assert_eq!(access_units(90).last(), Some(recorded()[LEAD_IN]));
    }
}
