//! A picture of dots: squares of 4x4 pixels with one brightness each. Each 2x2 dots share a colour.

use std::ops::Range;

/// Width and height of a macroblock in dots.
pub(super) const MACROBLOCK_DOTS: usize = 4;

/// A picture in whole macroblocks of 4x4 dots, as 8-bit BT.709 components in limited range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    width_mbs: usize,
    height_mbs: usize,
    /// Brightness of each dot.
    pub(super) luma: Plane,
    /// Blueness of each 2x2 dots.
    pub(super) cb: Plane,
    /// Redness of each 2x2 dots.
    pub(super) cr: Plane,
}

/// One component of a picture: rows of equal length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

impl Picture {
    /// A mid-grey picture that covers `width` by `height` pixels.
    pub(super) fn covering(width: u32, height: u32) -> Self {
        let width_mbs = width.div_ceil(16) as usize;
        let height_mbs = height.div_ceil(16) as usize;
        let plane = |scale| Plane {
            width: width_mbs * scale,
            height: height_mbs * scale,
            samples: vec![128; width_mbs * scale * height_mbs * scale],
        };
        Self {
            width_mbs,
            height_mbs,
            luma: plane(MACROBLOCK_DOTS),
            cb: plane(MACROBLOCK_DOTS / 2),
            cr: plane(MACROBLOCK_DOTS / 2),
        }
    }

    /// Width in macroblocks.
    pub(super) fn width_mbs(&self) -> usize {
        self.width_mbs
    }

    /// Height in macroblocks.
    pub(super) fn height_mbs(&self) -> usize {
        self.height_mbs
    }

    /// Whether row `y` of macroblocks looks the same in `other`, a picture of the same size.
    pub(super) fn same_row(&self, other: &Self, y: usize) -> bool {
        self.luma.rows(4 * y, 4) == other.luma.rows(4 * y, 4)
            && self.cb.rows(2 * y, 2) == other.cb.rows(2 * y, 2)
            && self.cr.rows(2 * y, 2) == other.cr.rows(2 * y, 2)
    }

    /// Whether the macroblock at column `x` and row `y` looks the same in `other`, a picture of the same size.
    pub(super) fn same_macroblock(&self, other: &Self, x: usize, y: usize) -> bool {
        self.luma.block::<4, 16>(x, y) == other.luma.block::<4, 16>(x, y)
            && self.cb.block::<2, 4>(x, y) == other.cb.block::<2, 4>(x, y)
            && self.cr.block::<2, 4>(x, y) == other.cr.block::<2, 4>(x, y)
    }
}

impl Plane {
    /// Samples per row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// The sample at column `x` and row `y`.
    pub(super) fn get(&self, x: usize, y: usize) -> u8 {
        self.samples[y * self.width + x]
    }

    /// Sets the sample at column `x` and row `y`; does nothing outside the plane.
    pub(super) fn set(&mut self, x: usize, y: usize, sample: u8) {
        if x < self.width && y < self.height {
            self.samples[y * self.width + x] = sample;
        }
    }

    fn rows(&self, y: usize, count: usize) -> &[u8] {
        &self.samples[y * self.width..(y + count) * self.width]
    }

    /// Sets the samples of some columns and rows; those outside the plane are ignored.
    pub(super) fn fill(&mut self, columns: Range<usize>, rows: Range<usize>, sample: u8) {
        let (left, right) = (columns.start.min(self.width), columns.end.min(self.width));
        for y in rows.start..rows.end.min(self.height) {
            let row = &mut self.samples[y * self.width..][..self.width];
            if left < right {
                row[left..right].fill(sample);
            }
        }
    }

    /// The `N` samples of row `y` that begin at column `x`.
    pub(super) fn run<const N: usize>(&self, x: usize, y: usize) -> [u8; N] {
        let start = y * self.width + x;
        self.samples[start..start + N]
            .try_into()
            .expect("the range has N samples")
    }

    /// Block (`x`, `y`) of `SIDE` by `SIDE` samples, row by row; `AREA` is the square of `SIDE`.
    #[inline]
    pub(super) fn block<const SIDE: usize, const AREA: usize>(
        &self,
        x: usize,
        y: usize,
    ) -> [u8; AREA] {
        let mut block = [0; AREA];
        for (row, samples) in block.chunks_exact_mut(SIDE).enumerate() {
            let start = (y * SIDE + row) * self.width + x * SIDE;
            samples.copy_from_slice(&self.samples[start..start + SIDE]);
        }
        block
    }

    /// Replaces block (`x`, `y`), as [`Self::block`] returns it.
    #[inline]
    pub(super) fn set_block<const SIDE: usize, const AREA: usize>(
        &mut self,
        x: usize,
        y: usize,
        block: &[u8; AREA],
    ) {
        for (row, samples) in block.chunks_exact(SIDE).enumerate() {
            let start = (y * SIDE + row) * self.width + x * SIDE;
            self.samples[start..start + SIDE].copy_from_slice(samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_whole_macroblocks() {
        let picture = Picture::covering(320, 180);
        assert_eq!((picture.width_mbs(), picture.height_mbs()), (20, 12));
        assert_eq!((picture.luma.width(), picture.luma.height()), (80, 48));
        assert_eq!((picture.cb.width(), picture.cb.height()), (40, 24));
    }

    #[test]
    fn filling_stays_inside_the_plane() {
        let mut plane = Picture::covering(16, 16).luma;
        plane.fill(3..9, 3..9, 1);
        plane.fill(7..9, 0..1, 2);
        assert_eq!(
            (plane.get(3, 3), plane.get(3, 0), plane.get(2, 3)),
            (1, 128, 128)
        );
    }

    #[test]
    fn a_changed_colour_changes_its_macroblock_alone() {
        let before = Picture::covering(64, 64);
        let mut after = before.clone();
        after.cr.set(3, 5, 7);
        let changed: Vec<_> = (0..16)
            .filter(|at| !before.same_macroblock(&after, at % 4, at / 4))
            .collect();
        assert_eq!(changed, [2 * 4 + 1]);
    }
}
