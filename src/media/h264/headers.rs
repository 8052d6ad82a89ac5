//! What a decoder needs before a picture: delimiter, parameter sets and our stamp (H.264 sections 7.3.2 and D.2.6).

use serde::Serialize;

use super::bits::{Bits, NAL_PREFIX_BYTES, append_nal};
use crate::hls::ladder::{FRAME_RATE, Rendition};

/// Bits of `frame_num` in slice headers.
pub(super) const FRAME_NUM_BITS: u32 = 16;
/// The base quantiser: slice headers give theirs as a difference from it.
pub(super) const PIC_INIT_QP: i32 = 16;

/// `nal_unit_type` and `nal_ref_idc` in one byte, for each kind of NAL unit that we write.
const SEI: u8 = 0x06;
const SPS: u8 = 0x67;
const PPS: u8 = 0x68;
const DELIMITER: u8 = 0x09;
const FILLER: u8 = 0x0c;

/// Marks the SEI messages that hold a [`Stamp`]: a random UUID that belongs to Seawall.
pub const STAMP_UUID: [u8; 16] = [
    0x5e, 0xa3, 0x11, 0x0c, 0x7d, 0x42, 0x4b, 0x9f, 0xa6, 0x1e, 0x28, 0xd0, 0x93, 0x57, 0xc4, 0x6b,
];

/// Machine-readable facts of a picture, as JSON behind [`STAMP_UUID`].
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stamp<'a> {
    /// Name of the channel.
    pub channel: &'a str,
    /// Name of the rendition.
    pub rendition: &'a str,
    /// Number of the segment.
    pub number: u64,
    /// Number of the frame within the segment.
    pub frame: u32,
    /// The wall clock that the picture shows, in milliseconds since the UNIX epoch.
    pub unix_ms: u64,
}

/// Access unit delimiter; `primary_pic_type` 0 is intra only, 1 is intra and predicted.
pub(in crate::media) fn append_delimiter(stream: &mut Vec<u8>, primary_pic_type: u32) {
    let mut bits = Bits::default();
    bits.u(primary_pic_type, 3);
    append_nal(stream, DELIMITER, &bits.into_payload());
}

/// Sequence and picture parameter sets.
pub(in crate::media) fn append_parameter_sets(stream: &mut Vec<u8>, rendition: &Rendition) {
    append_nal(stream, SPS, &sequence_parameters(rendition));
    append_nal(stream, PPS, &picture_parameters());
}

/// User data for machines.
pub(in crate::media) fn append_stamp(stream: &mut Vec<u8>, stamp: &Stamp<'_>) {
    const USER_DATA_UNREGISTERED: u8 = 5;
    let json = serde_json::to_vec(stamp).expect("strings and numbers always become JSON");
    let mut payload = vec![USER_DATA_UNREGISTERED];
    let mut size = STAMP_UUID.len() + json.len();
    while size >= 255 {
        payload.push(255);
        size -= 255;
    }
    payload.push(size as u8);
    payload.extend(STAMP_UUID);
    payload.extend(json);
    payload.push(0x80);
    append_nal(stream, SEI, &payload);
}

/// Filler of `size` bytes, for pictures that need fewer bits than their bitrate gives. Nothing is written below six
/// bytes.
pub(in crate::media) fn append_filler(stream: &mut Vec<u8>, size: usize) {
    if let Some(ones) = size.checked_sub(NAL_PREFIX_BYTES + 1) {
        let mut payload = vec![0xff; ones];
        payload.push(0x80);
        append_nal(stream, FILLER, &payload);
    }
}

fn sequence_parameters(rendition: &Rendition) -> Vec<u8> {
    let (width_mbs, height_mbs) = (rendition.width.div_ceil(16), rendition.height.div_ceil(16));
    let mut bits = Bits::default();
    bits.u(66, 8);
    // constraint_set0 and 1: constrained baseline.
    bits.u(0xc0, 8);
    bits.u(u32::from(rendition.h264_level()), 8);
    bits.ue(0); // seq_parameter_set_id
    bits.ue(FRAME_NUM_BITS - 4);
    bits.ue(2); // pic_order_cnt_type: the order of decoding is the order of output
    bits.ue(1); // max_num_ref_frames
    bits.flag(0); // no gaps in frame_num
    bits.ue(width_mbs - 1);
    bits.ue(height_mbs - 1);
    bits.flag(1); // frames only
    bits.flag(1); // direct_8x8_inference
    let cropped_right = (width_mbs * 16 - rendition.width) / 2;
    let cropped_bottom = (height_mbs * 16 - rendition.height) / 2;
    if cropped_right + cropped_bottom > 0 {
        bits.flag(1);
        bits.ue(0);
        bits.ue(cropped_right);
        bits.ue(0);
        bits.ue(cropped_bottom);
    } else {
        bits.flag(0);
    }
    bits.flag(1); // VUI follows
    video_usability(&mut bits);
    bits.into_payload()
}

/// Annex E: square pixels, BT.709 in limited range, a fixed frame rate, and nothing to reorder.
fn video_usability(bits: &mut Bits) {
    const BT709: u32 = 1;
    bits.flag(1);
    bits.u(1, 8); // square pixels
    bits.flag(0); // no overscan information
    bits.flag(1);
    bits.u(5, 3); // unspecified video format
    bits.flag(0); // limited range
    bits.flag(1);
    bits.u(BT709, 8);
    bits.u(BT709, 8);
    bits.u(BT709, 8);
    bits.flag(0); // no chroma location
    bits.flag(1);
    bits.u(1, 32); // a tick is a field
    bits.u(2 * FRAME_RATE, 32);
    bits.flag(1); // fixed frame rate
    bits.flag(0); // no NAL HRD
    bits.flag(0); // no VCL HRD
    bits.flag(0); // no pic_struct
    bits.flag(1); // bitstream restrictions
    bits.flag(1);
    bits.ue(0);
    bits.ue(0);
    bits.ue(10);
    bits.ue(10);
    bits.ue(0); // no reordering
    bits.ue(1); // one frame of decoded picture buffer
}

fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.ue(0); // pic_parameter_set_id
    bits.ue(0); // seq_parameter_set_id
    bits.flag(0); // CAVLC
    bits.flag(0);
    bits.ue(0); // one slice group
    bits.ue(0); // one reference in list 0
    bits.ue(0);
    bits.flag(0); // no weighted prediction
    bits.u(0, 2);
    bits.se(PIC_INIT_QP - 26);
    bits.se(0);
    bits.se(0); // chroma_qp_index_offset
    bits.flag(1); // deblocking_filter_control_present
    bits.flag(0); // intra prediction may use predicted neighbours
    bits.flag(0);
    bits.into_payload()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_string_is_that_of_the_sequence_parameters() {
        for rendition in Rendition::known() {
            let parameters = sequence_parameters(&rendition);
            let hex: String = parameters[..3]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(rendition.codecs().starts_with(&format!("avc1.{hex}")));
        }
    }

    #[test]
    fn a_stamp_is_json_behind_the_uuid() {
        let stamp = Stamp {
            channel: "demo",
            rendition: "360p",
            number: 7,
            frame: 3,
            unix_ms: 13_560,
        };
        let mut stream = Vec::new();
        append_stamp(&mut stream, &stamp);
        let json = br#"{"channel":"demo","rendition":"360p","number":7,"frame":3,"unix_ms":13560}"#;
        assert_eq!(stream[5..7], [5, (STAMP_UUID.len() + json.len()) as u8]);
        assert_eq!(stream[7..23], STAMP_UUID);
        assert_eq!(stream[23..stream.len() - 1], json[..]);
    }

    #[test]
    fn filler_has_the_size_that_was_asked_for() {
        let mut stream = Vec::new();
        append_filler(&mut stream, 5);
        assert_eq!(stream.len(), 0);
        append_filler(&mut stream, 100);
        assert_eq!(stream.len(), 100);
    }
}
