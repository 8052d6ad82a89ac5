//! A font of 5x7 cells: digits, capitals and some punctuation, with round strokes where there are enough dots.

use std::collections::BTreeMap;

/// Height of every glyph in cells.
pub(super) const HEIGHT: usize = 7;

/// Width of a line of text in cells, with a gap of one cell between glyphs.
pub(super) fn width(text: &str) -> usize {
    let advances: usize = text
        .chars()
        .map(|character| Glyph::of(character).width + 1)
        .sum();
    advances.saturating_sub(1)
}

/// The font at one size, with only the characters that the text needs.
#[derive(Debug)]
pub(super) struct Face {
    /// Dots per cell.
    pub(super) scale: usize,
    masks: BTreeMap<char, Mask>,
}

impl Face {
    /// The characters of `texts` at `scale` dots per cell.
    pub(super) fn new(scale: usize, texts: &[&str]) -> Self {
        let characters = texts.iter().flat_map(|text| text.chars());
        let masks = characters.map(|character| (character, Glyph::of(character).mask(scale)));
        Self {
            scale,
            masks: masks.collect(),
        }
    }

    /// Draws a line of text: calls `dot(x, y, part)` for each dot that the text covers, with the covered part in
    /// 256ths. Characters that the face lacks are left out.
    pub(super) fn line(&self, text: &str, mut dot: impl FnMut(usize, usize, usize)) {
        let mut left = 0;
        for mask in text
            .chars()
            .filter_map(|character| self.masks.get(&character))
        {
            for (y, row) in mask.parts.chunks(mask.width).enumerate() {
                for (x, &part) in row.iter().enumerate().filter(|(_, part)| **part > 0) {
                    dot(left + x, y, usize::from(part));
                }
            }
            left += mask.width + self.scale;
        }
    }
}

/// The part of each dot that a glyph covers, in 256ths, row by row.
#[derive(Debug)]
struct Mask {
    width: usize,
    parts: Vec<u16>,
}

/// A glyph: its width in cells, and its rows from the top. The leftmost cell is the highest of five low bits.
#[derive(Clone, Copy, Debug)]
struct Glyph {
    width: usize,
    rows: [u8; HEIGHT],
}

impl Glyph {
    /// The glyph of a character. Small letters look like capitals; characters that the font lacks look like a box.
    fn of(character: char) -> Self {
        let width = match character {
            ':' | '.' => 1,
            ' ' => 3,
            _ => 5,
        };
        Self {
            width,
            rows: rows(character.to_ascii_uppercase()),
        }
    }

    /// The glyph at `scale` dots per cell. At one dot: plain squares. Above: strokes one cell wide, with round ends and
    /// soft edges.
    fn mask(self, scale: usize) -> Mask {
        let width = self.width * scale;
        let cells = (0..HEIGHT as i32).flat_map(|y| (0..self.width as i32).map(move |x| (x, y)));
        let parts = if scale == 1 {
            cells
                .map(|(x, y)| 256 * u16::from(self.is_set(x, y)))
                .collect()
        } else {
            let mut nearest = vec![i32::MAX; width * HEIGHT * scale];
            for (x, y) in cells.filter(|&(x, y)| self.is_set(x, y)) {
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1), (-1, 1)] {
                    if self.is_linked(x, y, dx, dy) {
                        stroke(&mut nearest, width as i32, scale as i32, (x, y), (dx, dy));
                    }
                }
            }
            nearest
                .into_iter()
                .map(|square| coverage(square, scale as i32))
                .collect()
        };
        Mask { width, parts }
    }

    /// Whether a stroke leads from a set cell to the cell `dx`, `dy` away. A diagonal stroke must not cut a corner.
    fn is_linked(self, x: i32, y: i32, dx: i32, dy: i32) -> bool {
        let cuts_corner = dx != 0 && dy != 0 && (self.is_set(x + dx, y) || self.is_set(x, y + dy));
        self.is_set(x + dx, y + dy) && !cuts_corner
    }

    /// Whether the cell at column `x` and row `y` is set; cells outside the glyph are not.
    fn is_set(self, x: i32, y: i32) -> bool {
        let inside = (0..self.width as i32).contains(&x) && (0..HEIGHT as i32).contains(&y);
        inside && self.rows[y as usize] >> (4 - x) & 1 == 1
    }
}

/// Lengths of strokes are in 32nds of a dot.
const DOT: i32 = 32;

/// Draws a stroke from one cell to a neighbour: lowers the squared distance of each dot around it.
fn stroke(nearest: &mut [i32], width: i32, scale: i32, (x, y): (i32, i32), (dx, dy): (i32, i32)) {
    let height = HEIGHT as i32 * scale;
    let centre = |cell: i32| (2 * cell + 1) * scale * DOT / 2;
    let (sx, sy) = (dx * scale * DOT, dy * scale * DOT);
    let length = i64::from(sx * sx + sy * sy);
    let columns = (x + dx.min(0)) * scale - 1..(x + dx.max(0) + 1) * scale + 1;
    for py in (y * scale - 1).max(0)..((y + dy + 1) * scale + 1).min(height) {
        for px in columns.start.max(0)..columns.end.min(width) {
            let rx = px * DOT + DOT / 2 - centre(x);
            let ry = py * DOT + DOT / 2 - centre(y);
            let along = i64::from(rx * sx + ry * sy).clamp(0, length);
            let foot = |s: i32| (along * i64::from(s)).checked_div(length).unwrap_or(0) as i32;
            let (ex, ey) = (rx - foot(sx), ry - foot(sy));
            let square = &mut nearest[(py * width + px) as usize];
            *square = (*square).min(ex * ex + ey * ey);
        }
    }
}

/// The part of a dot that a stroke covers, in 256ths. `square` is the squared distance from the dot to the stroke's
/// middle line.
fn coverage(square: i32, scale: i32) -> u16 {
    let inside = (scale * DOT / 2 + DOT / 2 - square.isqrt()).clamp(0, DOT);
    (inside * 256 / DOT) as u16
}

#[rustfmt::skip]
fn rows(character: char) -> [u8; HEIGHT] {
    match character {
        '0' => [0b01110, 0b10001, 0b10001, 0b10101, 0b10001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111],
        'H' => [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'J' => [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001],
        'L' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'P' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
        'Q' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'V' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100],
        'W' => [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001],
        'X' => [0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001],
        'Y' => [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100],
        'Z' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111],
        '-' => [0b00000, 0b00000, 0b00000, 0b11111, 0b00000, 0b00000, 0b00000],
        '_' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b11111],
        '#' => [0b01010, 0b01010, 0b11111, 0b01010, 0b11111, 0b01010, 0b01010],
        '/' => [0b00001, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b10000],
        ':' => [0b00000, 0b00000, 0b10000, 0b00000, 0b10000, 0b00000, 0b00000],
        '.' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b10000],
        ' ' => [0; HEIGHT],
        _ => [0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11111],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_characters_look_alike() {
        let characters: Vec<char> = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_#/:. ?"
            .chars()
            .collect();
        for (index, &a) in characters.iter().enumerate() {
            for &b in &characters[index + 1..] {
                assert_ne!(rows(a), rows(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn narrow_punctuation_keeps_a_clock_short() {
        assert_eq!(width("12:34:56.780"), 9 * 6 + 3 * 2 - 1);
        assert_eq!(width(""), 0);
    }

    #[test]
    fn strokes_are_full_at_their_cells_and_round_at_their_ends() {
        let scale = 4;
        let mask = Glyph::of('L').mask(scale);
        let part = |x: usize, y: usize| mask.parts[y * mask.width + x];
        assert_eq!(part(1, 9), 256);
        assert_eq!(part(2 * scale, 2 * scale), 0);
        assert!(part(0, 0) < 128);
    }
}
