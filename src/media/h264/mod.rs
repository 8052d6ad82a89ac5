//! The picture as H.264: Constrained Baseline, CAVLC, one slice per picture (ITU-T H.264, sections in brackets).
//!
//! A macroblock is either Intra16x16 or P_Skip. Intra16x16 uses DC prediction and DC coefficients only, which makes the
//! macroblock 4x4 flat dots. P_Skip leaves the macroblock unchanged. The quantiser is 28 everywhere, where one level is
//! one step of brightness. So the decoder's output is exact integer arithmetic, and [`Encoder`] keeps that output to
//! predict from.

mod bits;
mod cavlc;
mod headers;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::picture::{MACROBLOCK_DOTS, Picture, Plane};
use bits::{Bits, NAL_PREFIX_BYTES, append_nal};
pub use headers::{STAMP_UUID, Stamp};
pub(super) use headers::{append_delimiter, append_filler, append_parameter_sets, append_stamp};

/// The quantiser of every macroblock. Luma: 256 f / 4 / 64 = f; chroma: 256 f * 16 / 32 / 64 = 2 f (8.5.10, 8.5.11).
const QP: i32 = 28;

/// How a picture relates to those before it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// It starts a coded video sequence; neighbouring sequences have different `idr_pic_id`s.
    Idr { idr_pic_id: u32 },
    /// It repeats the parts that are the same as in the picture before.
    Predicted { frame_num: u32, before: &'a Picture },
}

/// How many bits a picture may take. The grain fills the rest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// The grain has this many bits, however large the rest of the picture is.
    Grain { bits: usize },
    /// The whole NAL unit has this many bits, unless the rest without grain takes more.
    Unit { bits: usize },
}

/// The noise panel: every macroblock from a row on.
#[derive(Debug)]
pub(super) struct Grain {
    /// Its first row of macroblocks; it reaches down to the last.
    pub(super) first_row: usize,
    /// The generator of its noise.
    pub(super) noise: ChaCha8Rng,
}

/// A coded video sequence under way. It holds what the decoder shows now.
#[derive(Debug)]
pub(super) struct Encoder {
    shown: Picture,
}

impl Encoder {
    /// An encoder of pictures as large as `picture`.
    pub(super) fn new(picture: &Picture) -> Self {
        Self {
            shown: picture.clone(),
        }
    }

    /// Appends the slice of `picture` to a byte stream. Above the grain the decoder shows `picture`; within the grain,
    /// noise around it.
    pub(super) fn append_slice(
        &mut self,
        stream: &mut Vec<u8>,
        picture: &Picture,
        kind: Kind<'_>,
        mut grain: Grain,
        room: Room,
    ) {
        let mut slice = Slice::begin(kind);
        let (width, height) = (picture.width_mbs(), picture.height_mbs());
        for y in 0..grain.first_row.min(height) {
            if let Kind::Predicted { before, .. } = kind
                && picture.same_row(before, y)
            {
                slice.skip(width);
                continue;
            }
            for x in 0..width {
                if let Kind::Predicted { before, .. } = kind
                    && picture.same_macroblock(before, x, y)
                {
                    slice.skip(1);
                } else {
                    let predicted = predict_luma(&self.shown.luma, x, y);
                    let levels = painted_levels(&picture.luma.block::<4, 16>(x, y), predicted);
                    self.macroblock(&mut slice, picture, (x, y), predicted, &levels);
                }
            }
        }

        let end = match room {
            Room::Grain { bits } => slice.bits.len() + bits,
            Room::Unit { bits } => bits.saturating_sub(NAL_PREFIX_BYTES * 8),
        };
        // Leave space for the stop bit, a last run of skipped macroblocks, and a few emulation prevention bytes.
        let end = end.saturating_sub(96);
        let mut left = height.saturating_sub(grain.first_row) * width;
        for y in grain.first_row..height {
            for x in 0..width {
                let allowance = end.saturating_sub(slice.bits.len()) / left;
                // Before the last row the nearest strength suffices: later macroblocks make up for bits that this one
                // takes too many.
                let allowance = if left > width {
                    allowance + allowance / 16
                } else {
                    allowance
                };
                left -= 1;
                let strength = match (strength(allowance), kind) {
                    (None, Kind::Predicted { .. }) => {
                        slice.skip(1);
                        continue;
                    }
                    (strength, _) => strength.unwrap_or(0),
                };
                let predicted = predict_luma(&self.shown.luma, x, y);
                let target = picture.luma.block::<4, 16>(x, y);
                let levels = grain_levels(&mut grain.noise, strength, &target, predicted);
                self.macroblock(&mut slice, picture, (x, y), predicted, &levels);
            }
        }
        let header = slice.nal_header;
        append_nal(stream, header, &slice.finish());
    }

    /// What the decoder shows after the last slice.
    #[cfg(test)]
    pub(super) fn shown(&self) -> &Picture {
        &self.shown
    }

    /// Codes one macroblock with these luma levels and the colours of `picture` (7.3.5).
    fn macroblock(
        &mut self,
        slice: &mut Slice,
        picture: &Picture,
        (x, y): (usize, usize),
        predicted: i32,
        levels: &[i32; 16],
    ) {
        let cb = code_chroma(&mut self.shown.cb, &picture.cb, x, y);
        let cr = code_chroma(&mut self.shown.cr, &picture.cr, x, y);
        let coloured = cb != [0; 4] || cr != [0; 4];
        slice.intra16x16(coloured);
        cavlc::luma_dc(&mut slice.bits, &ZIGZAG.map(|at| levels[at]));
        if coloured {
            cavlc::chroma_dc(&mut slice.bits, &cb);
            cavlc::chroma_dc(&mut slice.bits, &cr);
        }
        let shown = hadamard(levels).map(|residual| (predicted + residual).clamp(0, 255) as u8);
        self.shown.luma.set_block::<4, 16>(x, y, &shown);
    }
}

/// A slice under construction: one picture.
struct Slice {
    bits: Bits,
    nal_header: u8,
    /// Macroblocks skipped since the last coded one; `None` where none may be skipped.
    skipped: Option<u32>,
}

impl Slice {
    const SLICE_IDR: u8 = 0x65;
    const SLICE_PREDICTED: u8 = 0x41;

    /// Writes the slice header (7.3.3).
    fn begin(kind: Kind<'_>) -> Self {
        let mut bits = Bits::with_capacity(16 * 1024);
        bits.ue(0); // first_mb_in_slice
        let (nal_header, skipped) = match kind {
            Kind::Idr { idr_pic_id } => {
                bits.ue(7); // all slices of the picture are I
                bits.ue(0); // pic_parameter_set_id
                bits.u(0, headers::FRAME_NUM_BITS);
                bits.ue(idr_pic_id);
                bits.flag(0); // earlier pictures are output
                bits.flag(0); // not a long-term reference
                (Self::SLICE_IDR, None)
            }
            Kind::Predicted { frame_num, .. } => {
                bits.ue(5); // all slices of the picture are P
                bits.ue(0);
                bits.u(
                    frame_num % (1 << headers::FRAME_NUM_BITS),
                    headers::FRAME_NUM_BITS,
                );
                bits.flag(0); // as many references as the parameter set says
                bits.flag(0); // in their usual order
                bits.flag(0); // sliding window
                (Self::SLICE_PREDICTED, Some(0))
            }
        };
        bits.se(QP - headers::PIC_INIT_QP);
        bits.ue(1); // no deblocking
        Self {
            bits,
            nal_header,
            skipped,
        }
    }

    /// P_Skip, `count` times. No macroblock here moves, so the predicted motion is zero (8.4.1.1).
    fn skip(&mut self, count: usize) {
        if let Some(skipped) = &mut self.skipped {
            *skipped += count as u32;
        }
    }

    /// An Intra16x16 macroblock up to its residual: DC prediction, no AC, chroma DC if `coloured` (table 7-11).
    fn intra16x16(&mut self, coloured: bool) {
        const DC_PREDICTION: u32 = 1 + 2;
        let mut mb_type = DC_PREDICTION + 4 * u32::from(coloured);
        if let Some(skipped) = &mut self.skipped {
            self.bits.ue(std::mem::take(skipped));
            // The types of P macroblocks come first (table 7-13).
            mb_type += 5;
        }
        self.bits.ue(mb_type);
        self.bits.ue(0); // intra_chroma_pred_mode: DC
        self.bits.se(0); // mb_qp_delta
    }

    fn finish(mut self) -> Vec<u8> {
        if let Some(skipped @ 1..) = self.skipped {
            self.bits.ue(skipped);
        }
        self.bits.into_payload()
    }
}

/// Raster positions in the order in which levels are written (figure 6-10 a).
const ZIGZAG: [usize; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];

/// Intra16x16 DC prediction (8.3.3.3): the mean of the dots above and to the left.
fn predict_luma(shown: &Plane, x: usize, y: usize) -> i32 {
    let above = (y > 0).then(|| {
        let row: [u8; 4] = shown.run(x * MACROBLOCK_DOTS, y * MACROBLOCK_DOTS - 1);
        row.into_iter().map(i32::from).sum::<i32>()
    });
    let left = (x > 0).then(|| {
        (0..MACROBLOCK_DOTS)
            .map(|row| i32::from(shown.get(x * MACROBLOCK_DOTS - 1, y * MACROBLOCK_DOTS + row)))
            .sum::<i32>()
    });
    match (above, left) {
        (Some(above), Some(left)) => (above + left + 4) >> 3,
        (Some(one), None) | (None, Some(one)) => (one + 2) >> 2,
        (None, None) => 128,
    }
}

/// Levels whose decoded picture is as near to `target` as possible.
fn painted_levels(target: &[u8; 16], predicted: i32) -> [i32; 16] {
    hadamard(&target.map(|sample| i32::from(sample) - predicted)).map(|sum| (sum + 8) >> 4)
}

/// Levels for the mean of `target` with noise of some strength around it.
fn grain_levels(
    noise: &mut ChaCha8Rng,
    strength: i32,
    target: &[u8; 16],
    predicted: i32,
) -> [i32; 16] {
    let mut bytes = [0; 16];
    noise.fill_bytes(&mut bytes);
    // Weak noise is mostly zeros: division rounds towards zero.
    let mut levels = bytes.map(|byte| i32::from(byte as i8) * strength / 2_048);
    let sum: i32 = target
        .iter()
        .map(|&sample| i32::from(sample) - predicted)
        .sum();
    levels[0] = (sum + 8) >> 4;
    levels
}

/// The greatest strength whose noise fits `allowance_bits` per macroblock on average; `None` if none fits.
fn strength(allowance_bits: usize) -> Option<i32> {
    let fitting = GRAIN_COSTS.partition_point(|(cost, _)| *cost <= allowance_bits);
    Some(GRAIN_COSTS[fitting.checked_sub(1)?].1)
}

/// Mean bits of a macroblock without colour, measured for each strength of its noise.
const GRAIN_COSTS: [(usize, i32); 16] = [
    (29, 18),
    (39, 22),
    (48, 28),
    (58, 36),
    (66, 48),
    (75, 64),
    (87, 96),
    (96, 128),
    (107, 192),
    (118, 256),
    (135, 384),
    (148, 512),
    (167, 768),
    (181, 1_024),
    (200, 1_536),
    (212, 2_032),
];

/// Codes the four chroma dots of a macroblock in one plane and returns their levels (8.3.4, 8.5.11).
fn code_chroma(shown: &mut Plane, painted: &Plane, x: usize, y: usize) -> [i32; 4] {
    let above = (y > 0).then(|| shown.run::<2>(2 * x, 2 * y - 1).map(i32::from));
    let left = (x > 0).then(|| [0, 1].map(|row| i32::from(shown.get(2 * x - 1, 2 * y + row))));
    let predicted = match (above, left) {
        (Some(above), Some(left)) => [
            (above[0] + left[0] + 1) >> 1,
            above[1],
            left[1],
            (above[1] + left[1] + 1) >> 1,
        ],
        (Some(above), None) => [above[0], above[1], above[0], above[1]],
        (None, Some(left)) => [left[0], left[0], left[1], left[1]],
        (None, None) => [128; 4],
    };
    let target = painted.block::<2, 4>(x, y);
    let levels = hadamard_2x2(std::array::from_fn(|at| {
        i32::from(target[at]) - predicted[at]
    }))
    .map(|sum| (sum + 4) >> 3);
    let residual = hadamard_2x2(levels);
    let now = std::array::from_fn(|at| (predicted[at] + 2 * residual[at]).clamp(0, 255) as u8);
    shown.set_block::<2, 4>(x, y, &now);
    levels
}

fn hadamard_2x2([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
}

/// The 4x4 transform of DC coefficients (8.5.10). It is its own inverse except for a factor of 16.
fn hadamard(samples: &[i32; 16]) -> [i32; 16] {
    let mut out = *samples;
    for row in 0..4 {
        butterfly(&mut out, [4 * row, 4 * row + 1, 4 * row + 2, 4 * row + 3]);
    }
    for column in 0..4 {
        butterfly(&mut out, [column, column + 4, column + 8, column + 12]);
    }
    out
}

#[inline]
fn butterfly(samples: &mut [i32; 16], at: [usize; 4]) {
    let [a, b, c, d] = at.map(|at| samples[at]);
    samples[at[0]] = a + b + c + d;
    samples[at[1]] = a + b - c - d;
    samples[at[2]] = a - b - c + d;
    samples[at[3]] = a - b + c - d;
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn noise() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn the_transform_undoes_itself() {
        let samples: [i32; 16] = std::array::from_fn(|at| (at as i32 * 37) % 256);
        assert_eq!(hadamard(&hadamard(&samples)).map(|sum| sum / 16), samples);
    }

    #[test]
    fn a_painted_macroblock_is_shown_within_three_steps() {
        let mut noise = noise();
        for _ in 0..1_000 {
            let mut target = [0; 16];
            noise.fill_bytes(&mut target);
            let predicted = (noise.next_u32() % 256) as i32;
            let shown = hadamard(&painted_levels(&target, predicted));
            for (target, shown) in target.into_iter().zip(shown) {
                assert!((i32::from(target) - predicted - shown).abs() <= 8);
            }
        }
    }

    #[test]
    fn a_picture_that_stays_the_same_is_one_run_of_skips() {
        let picture = Picture::covering(320, 180);
        let mut encoder = Encoder::new(&picture);
        let mut stream = Vec::new();
        let grain = || Grain {
            first_row: picture.height_mbs(),
            noise: noise(),
        };
        let room = Room::Unit { bits: 0 };
        encoder.append_slice(
            &mut stream,
            &picture,
            Kind::Idr { idr_pic_id: 0 },
            grain(),
            room,
        );
        let idr_bytes = stream.len();
        let predicted = Kind::Predicted {
            frame_num: 1,
            before: &picture,
        };
        encoder.append_slice(&mut stream, &picture, predicted, grain(), room);
        assert!(stream.len() - idr_bytes < 16);
        assert_eq!(*encoder.shown(), picture);
    }

    #[test]
    fn grain_fills_its_room_and_no_more() {
        let picture = Picture::covering(640, 360);
        let mut encoder = Encoder::new(&picture);
        for bits in [12_000, 20_000, 30_000, 40_000] {
            let mut stream = Vec::new();
            let grain = Grain {
                first_row: 18,
                noise: noise(),
            };
            let kind = Kind::Predicted {
                frame_num: 1,
                before: &picture,
            };
            encoder.append_slice(&mut stream, &picture, kind, grain, Room::Unit { bits });
            let taken = stream.len() * 8;
            assert!(taken <= bits && taken > bits * 9 / 10, "{taken} of {bits}");
        }
    }

    #[test]
    fn grain_costs_what_the_table_says() {
        for (cost, strength) in GRAIN_COSTS {
            let mut noise = noise();
            let mut bits = Bits::default();
            for _ in 0..1_000 {
                let levels = grain_levels(&mut noise, strength, &[128; 16], 126);
                bits.u(0, 10); // no run of skips, type, prediction and quantiser
                cavlc::luma_dc(&mut bits, &levels);
            }
            let mean = bits.len() / 1_000;
            assert!(mean.abs_diff(cost) <= 2, "strength {strength} costs {mean}");
        }
    }
}
