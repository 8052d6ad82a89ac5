//! What is painted: a test card with a clock, names and numbers, colour bars, a puck that moves, and room for grain.
//!
//! The card is drawn on a grid of 80x45 units, each a whole number of dots, so that every rendition looks alike. A line of
//! text is seven units high.

use super::font::{self, Glyph};
use super::picture::{MACROBLOCK_DOTS, Picture};
use crate::hls::ladder::Rendition;
use crate::hls::timeline::Channel;
use crate::time::UnixTime;

/// The card in units: columns, and the row at which each band begins.
const COLUMNS: usize = 80;
const ROWS: usize = 45;
const HEADER: usize = 0;
const BARS: usize = 10;
const CLOCK: usize = 17;
const NUMBERS: usize = 25;
const TRACK: usize = 33;
const GRAIN: usize = 36;

/// The cards of one segment.
#[derive(Debug)]
pub(super) struct Card {
    /// What all its frames share.
    base: Picture,
    /// Dots per unit.
    scale: usize,
    /// Columns of dots that are visible.
    width: usize,
    /// Columns of dots left of the grid.
    margin: usize,
    accent: Colour,
    number: u64,
    frames: u32,
}

impl Card {
    /// The card of segment `number`.
    pub(super) fn new(channel: &Channel, rendition: &Rendition, number: u64) -> Self {
        let width = rendition.width.div_ceil(4) as usize;
        let height = rendition.height.div_ceil(4) as usize;
        let scale = (width / COLUMNS).min(height / ROWS).max(1);
        let position = channel
            .layout
            .ladder
            .iter()
            .position(|other| other.name == rendition.name)
            .unwrap_or(0);
        let mut card = Self {
            base: Picture::covering(rendition.width, rendition.height),
            scale,
            width,
            margin: width.saturating_sub(COLUMNS * scale) / 2,
            accent: ACCENTS[position % ACCENTS.len()],
            number,
            frames: channel.layout.frames_per_segment(),
        };
        let mut base = card.base.clone();
        card.paint_background(&mut base);
        card.paint_header(&mut base, &channel.name, &rendition.name);
        card.paint_bars(&mut base);
        let segment = format!("#{number}");
        card.text(&mut base, 2, NUMBERS, &segment, PALE);
        card.base = base;
        card
    }

    /// A picture of the right size with nothing on it.
    pub(super) fn blank(&self) -> Picture {
        self.base.clone()
    }

    /// The first row of macroblocks that grain may cover.
    pub(super) fn grain_row(&self) -> usize {
        (GRAIN * self.scale).div_ceil(MACROBLOCK_DOTS)
    }

    /// Paints frame `frame` of the segment, which is shown at `at`, over whatever `picture` holds.
    pub(super) fn paint(&self, picture: &mut Picture, frame: u32, at: UnixTime) {
        picture.clone_from(&self.base);
        let clock = at.to_utc().format("%H:%M:%S%.3fZ").to_string();
        let column = (COLUMNS - font::width(&clock)) / 2;
        self.text(picture, column, CLOCK, &clock, WHITE);

        let count = format!("{frame:02}");
        let column = COLUMNS - 2 - font::width(&count);
        self.text(picture, column, NUMBERS, &count, WHITE);
        self.paint_track(picture, frame);
    }

    fn paint_background(&self, picture: &mut Picture) {
        let height = picture.luma.height();
        for y in 0..height {
            let part = y * 256 / height;
            let colour = NIGHT.towards(DUSK, part);
            rectangle(picture, (0, y), (picture.luma.width(), y + 1), colour);
        }
        let first = self.grain_row() * MACROBLOCK_DOTS;
        let (width, rows) = (picture.luma.width(), height - first.min(height));
        for y in 0..rows {
            for x in 0..width {
                let colour = AURORA[0]
                    .towards(AURORA[1], x * 256 / width)
                    .towards(AURORA[2], y * 160 / rows);
                rectangle(picture, (x, first + y), (x + 1, first + y + 1), colour);
            }
        }
    }

    fn paint_header(&self, picture: &mut Picture, channel: &str, rendition: &str) {
        let height = 9 * self.scale;
        let top = HEADER * self.scale;
        rectangle(picture, (0, top), (picture.luma.width(), top + height), SLATE);
        let label_width = (font::width(rendition) + 5) * self.scale + self.margin;
        rectangle(picture, (0, top), (label_width.next_multiple_of(2), top + height), self.accent);
        self.text(picture, 2, HEADER + 1, rendition, WHITE);
        let column = (COLUMNS - 2).saturating_sub(font::width(channel));
        self.text(picture, column.max(font::width(rendition) + 6), HEADER + 1, channel, PALE);
    }

    fn paint_bars(&self, picture: &mut Picture) {
        let (top, bottom) = (BARS * self.scale, (BARS + 6) * self.scale);
        for (index, colour) in BAR_COLOURS.into_iter().enumerate() {
            let left = self.width * index / BAR_COLOURS.len();
            let right = self.width * (index + 1) / BAR_COLOURS.len();
            rectangle(picture, (left, top), (right, bottom), colour);
        }
    }

    /// A line that fills while the segment lasts, and a puck that glides to and fro across segments.
    fn paint_track(&self, picture: &mut Picture, frame: u32) {
        let (top, bottom) = (TRACK * self.scale, (TRACK + 2) * self.scale);
        let filled = self.width * (frame as usize + 1) / self.frames.max(1) as usize;
        rectangle(picture, (0, top), (self.width, bottom), SLATE);
        rectangle(picture, (0, top), (filled, bottom), self.accent);
        let puck = 3 * self.scale;
        let travel = self.width.saturating_sub(puck).max(1) as u64;
        let moved = (self.number * u64::from(self.frames) + u64::from(frame)) * self.scale as u64;
        let phase = moved % (2 * travel);
        let left = phase.min(2 * travel - phase) as usize;
        rectangle(picture, (left, top), (left + puck, bottom), WHITE);
    }

    /// Writes a line whose upper left corner is at a column and row of units.
    fn text(&self, picture: &mut Picture, column: usize, row: usize, text: &str, colour: Colour) {
        let mut left = self.margin + column * self.scale;
        let top = row * self.scale;
        for character in text.chars() {
            let glyph = Glyph::of(character);
            for y in 0..font::HEIGHT * self.scale {
                for x in 0..glyph.width * self.scale {
                    if glyph.is_set(x / self.scale, y / self.scale) {
                        picture.luma.set(left + x, top + y, colour.luma);
                    }
                }
            }
            left += (glyph.width + 1) * self.scale;
        }
    }
}

/// Fills the dots from a corner up to another, which is not in it; two by two dots take the colour of their first.
fn rectangle(
    picture: &mut Picture,
    (left, top): (usize, usize),
    (right, bottom): (usize, usize),
    colour: Colour,
) {
    for y in top..bottom {
        for x in left..right {
            picture.luma.set(x, y, colour.luma);
        }
    }
    for y in top.div_ceil(2)..bottom.div_ceil(2) {
        for x in left.div_ceil(2)..right.div_ceil(2) {
            picture.cb.set(x, y, colour.cb);
            picture.cr.set(x, y, colour.cr);
        }
    }
}

/// A colour in BT.709 components of limited range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colour {
    luma: u8,
    cb: u8,
    cr: u8,
}

impl Colour {
    const fn rgb(red: i32, green: i32, blue: i32) -> Self {
        Self {
            luma: (16 + ((47 * red + 157 * green + 16 * blue + 128) >> 8)) as u8,
            cb: (128 + ((-26 * red - 86 * green + 112 * blue + 128) >> 8)) as u8,
            cr: (128 + ((112 * red - 102 * green - 10 * blue + 128) >> 8)) as u8,
        }
    }

    /// The colour `part` 256ths of the way to `other`.
    fn towards(self, other: Self, part: usize) -> Self {
        let mix = |a: u8, b: u8| ((usize::from(a) * (256 - part) + usize::from(b) * part) >> 8) as u8;
        Self {
            luma: mix(self.luma, other.luma),
            cb: mix(self.cb, other.cb),
            cr: mix(self.cr, other.cr),
        }
    }
}

const WHITE: Colour = Colour::rgb(255, 255, 255);
const PALE: Colour = Colour::rgb(190, 205, 225);
const SLATE: Colour = Colour::rgb(38, 48, 70);
const NIGHT: Colour = Colour::rgb(12, 18, 38);
const DUSK: Colour = Colour::rgb(24, 22, 52);

/// Corners of the grain: left, right and bottom.
const AURORA: [Colour; 3] = [
    Colour::rgb(20, 120, 140),
    Colour::rgb(120, 60, 150),
    Colour::rgb(30, 40, 90),
];

/// Bars at 75 %: white, yellow, cyan, green, magenta, red, blue, black.
const BAR_COLOURS: [Colour; 8] = [
    Colour::rgb(191, 191, 191),
    Colour::rgb(191, 191, 0),
    Colour::rgb(0, 191, 191),
    Colour::rgb(0, 191, 0),
    Colour::rgb(191, 0, 191),
    Colour::rgb(191, 0, 0),
    Colour::rgb(0, 0, 191),
    Colour::rgb(0, 0, 0),
];

/// Backgrounds of rendition labels, by their place in the ladder.
const ACCENTS: [Colour; 6] = [
    Colour::rgb(196, 60, 60),
    Colour::rgb(190, 110, 20),
    Colour::rgb(30, 130, 70),
    Colour::rgb(40, 90, 200),
    Colour::rgb(130, 60, 180),
    Colour::rgb(20, 120, 130),
];
