//! The test card: a clock, names and numbers, colour bars, a moving puck, and an area for grain.
//!
//! The card is drawn on a grid of 80x45 units. Each unit is a whole number of dots, so every rendition looks the same.
//! A line of text is seven units high. Where a unit is one dot, the text fits into two rows of macroblocks.

use super::font::{self, Face};
use super::picture::{MACROBLOCK_DOTS, Picture};
use crate::hls::ladder::{FRAME_RATE, Rendition};
use crate::hls::timeline::Channel;
use crate::time::UnixTime;

/// The layout in units: columns, rows, and the row at which each band begins.
const COLUMNS: usize = 80;
const ROWS: usize = 45;
const HEADER: usize = 0;
const BARS: usize = 10;
const CLOCK: usize = 17;
const NUMBERS: usize = 25;
const TRACK: usize = 34;
const GRAIN: usize = 36;

/// The test cards of one segment.
#[derive(Debug)]
pub(super) struct Card {
    /// The part that all frames share.
    base: Picture,
    /// Dots per unit.
    scale: usize,
    face: Face,
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
        let segment = format!("#{number}");
        let mut card = Self {
            base: Picture::covering(rendition.width, rendition.height),
            scale,
            face: Face::new(scale, &["0123456789:.Z", &segment, &rendition.name]),
            width,
            margin: width.saturating_sub(COLUMNS * scale) / 2,
            accent: ACCENTS[position % ACCENTS.len()],
            number,
            frames: channel.layout.frames_per_segment(),
        };
        let mut base = card.base.clone();
        card.paint_background(&mut base);
        card.paint_header(&mut base, &channel.name, rendition);
        card.paint_bars(&mut base);
        card.text(&mut base, (2, NUMBERS), &segment, PALE);
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

    /// Paints frame `frame` of the segment, shown at `at`. It overwrites the content of `picture`.
    pub(super) fn paint(&self, picture: &mut Picture, frame: u32, at: UnixTime) {
        picture.clone_from(&self.base);
        let clock = at.to_utc().format("%H:%M:%S%.3fZ").to_string();
        let column = (COLUMNS - font::width(&clock)) / 2;
        self.text(picture, (column, CLOCK), &clock, WHITE);

        let count = format!("{frame:02}");
        let column = COLUMNS - 2 - font::width(&count);
        self.text(picture, (column, NUMBERS), &count, WHITE);
        self.paint_track(picture, frame);
    }

    fn paint_background(&self, picture: &mut Picture) {
        let height = picture.luma.height();
        for y in 0..height {
            let part = y * 256 / height;
            let colour = NIGHT.towards(DUSK, part);
            rectangle(picture, (0, y), (picture.luma.width(), y + 1), colour);
        }
        // Grain has one mean per macroblock, so a finer gradient would not be visible.
        let (first, columns) = (self.grain_row(), picture.width_mbs());
        let rows = picture.height_mbs().saturating_sub(first);
        for (x, y) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))) {
            let colour = AURORA[0]
                .towards(AURORA[1], x * 256 / columns)
                .towards(AURORA[2], y * 160 / rows);
            let corner = |x, y| (x * MACROBLOCK_DOTS, (first + y) * MACROBLOCK_DOTS);
            rectangle(picture, corner(x, y), corner(x + 1, y + 1), colour);
        }
    }

    fn paint_header(&self, picture: &mut Picture, channel: &str, rendition: &Rendition) {
        let right = picture.luma.width();
        let (top, bottom) = (HEADER * self.scale, (HEADER + 9) * self.scale);
        rectangle(picture, (0, top), (right, bottom), SLATE);
        let label = 2 + font::width(&rendition.name) + 2;
        let label_right = (self.margin + label * self.scale).next_multiple_of(2);
        rectangle(picture, (0, top), (label_right, bottom), self.accent);
        self.text(picture, (2, HEADER + 1), &rendition.name, WHITE);

        // A long name is written in small letters where a unit has enough dots. Otherwise its end is cut off.
        let free = label + 2;
        let small = self.scale / 2;
        let (name_scale, lowered) = if small > 0 && free + font::width(channel) > COLUMNS - 2 {
            (small, 4 * small)
        } else {
            (self.scale, 0)
        };
        let name_width = (font::width(channel) * name_scale).div_ceil(self.scale);
        let column = (COLUMNS - 2).saturating_sub(name_width).max(free);
        let corner = (
            self.margin + column * self.scale,
            top + self.scale + lowered,
        );
        write(
            picture,
            &Face::new(name_scale, &[channel]),
            corner,
            channel,
            PALE,
        );

        // Size and frame rate in small letters between label and name, if there is space.
        let size = format!("{}X{}", rendition.width, rendition.height);
        let rate = format!("{FRAME_RATE} FPS");
        let print_width = (font::width(&size) * small).div_ceil(self.scale);
        if small > 0 && free + print_width < column {
            let face = Face::new(small, &[&size, &rate]);
            let left = self.margin + free * self.scale;
            for (line, text) in [size, rate].iter().enumerate() {
                let corner = (left, top + self.scale + line * 8 * small);
                write(picture, &face, corner, text, PALE);
            }
        }
    }

    fn paint_bars(&self, picture: &mut Picture) {
        let (top, bottom) = (BARS * self.scale, (BARS + 6) * self.scale);
        for (index, colour) in BAR_COLOURS.into_iter().enumerate() {
            let left = self.width * index / BAR_COLOURS.len();
            let right = self.width * (index + 1) / BAR_COLOURS.len();
            rectangle(picture, (left, top), (right, bottom), colour);
        }
        // A ramp from black to white, where a unit has more than one dot: colours are then fine enough not to touch it.
        if self.scale > 1 {
            for x in 0..self.width {
                let grey = BLACK.towards(WHITE, x * 256 / self.width);
                rectangle(picture, (x, bottom - self.scale), (x + 1, bottom), grey);
            }
        }
    }

    /// A bar that fills while the segment lasts, and a puck that moves left and right across segments.
    fn paint_track(&self, picture: &mut Picture, frame: u32) {
        let (top, bottom) = (TRACK * self.scale, (TRACK + 2) * self.scale);
        let filled = self.width * (frame as usize + 1) / self.frames.max(1) as usize;
        rectangle(picture, (0, top), (self.width, bottom), SLATE);
        rectangle(picture, (0, top), (filled, bottom), self.accent);
        let puck = 3 * self.scale;
        let travel = self.width.saturating_sub(puck).max(1) as u64;
        let begun = self.number.wrapping_mul(u64::from(self.frames));
        let moved = begun
            .wrapping_add(u64::from(frame))
            .wrapping_mul(self.scale as u64);
        let phase = moved % (2 * travel);
        let left = phase.min(2 * travel - phase) as usize;
        // The puck is painted in luma only: chroma is too coarse to follow it.
        picture
            .luma
            .fill(left..left + puck, top..bottom, WHITE.luma);
    }

    /// Writes a line whose upper left corner is at a column and row of units.
    fn text(&self, picture: &mut Picture, at: (usize, usize), text: &str, colour: Colour) {
        let corner = (self.margin + at.0 * self.scale, at.1 * self.scale);
        write(picture, &self.face, corner, text, colour);
    }
}

/// Writes a line of text whose upper left corner is a dot. Text changes luma only and keeps the colour below it.
fn write(picture: &mut Picture, face: &Face, corner: (usize, usize), text: &str, colour: Colour) {
    let (left, top) = corner;
    face.line(text, |x, y, part| {
        let (x, y) = (left + x, top + y);
        if x < picture.luma.width() && y < picture.luma.height() {
            let below = picture.luma.get(x, y);
            picture.luma.set(x, y, mix(below, colour.luma, part));
        }
    });
}

/// Fills the dots from one corner up to another, which is excluded. Each 2x2 dots take the colour of their first dot.
fn rectangle(
    picture: &mut Picture,
    (left, top): (usize, usize),
    (right, bottom): (usize, usize),
    colour: Colour,
) {
    picture.luma.fill(left..right, top..bottom, colour.luma);
    let columns = left.div_ceil(2)..right.div_ceil(2);
    let rows = top.div_ceil(2)..bottom.div_ceil(2);
    picture.cb.fill(columns.clone(), rows.clone(), colour.cb);
    picture.cr.fill(columns, rows, colour.cr);
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

    /// The colour at `part` 256ths of the way to `other`.
    fn towards(self, other: Self, part: usize) -> Self {
        Self {
            luma: mix(self.luma, other.luma, part),
            cb: mix(self.cb, other.cb, part),
            cr: mix(self.cr, other.cr, part),
        }
    }
}

/// The component at `part` 256ths of the way from `a` to `b`.
fn mix(a: u8, b: u8, part: usize) -> u8 {
    ((usize::from(a) * (256 - part) + usize::from(b) * part) >> 8) as u8
}

const BLACK: Colour = Colour::rgb(0, 0, 0);

const WHITE: Colour = Colour::rgb(255, 255, 255);
const PALE: Colour = Colour::rgb(190, 205, 225);
const SLATE: Colour = Colour::rgb(38, 48, 70);
const NIGHT: Colour = Colour::rgb(12, 18, 38);
const DUSK: Colour = Colour::rgb(24, 22, 52);

/// Colours at the corners of the grain: left, right and bottom.
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
    BLACK,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;

    fn card(rendition: &Rendition) -> Card {
        let channel = Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout {
                parts_per_segment: 6,
                ladder: Rendition::known().to_vec(),
                ..Layout::default()
            },
            started_at: UnixTime::from_millis(0),
        };
        Card::new(&channel, rendition, 930_000_000)
    }

    #[test]
    fn every_frame_differs_from_the_one_before() {
        for rendition in Rendition::known() {
            let card = card(&rendition);
            let (mut before, mut now) = (card.blank(), card.blank());
            for frame in 0..48 {
                std::mem::swap(&mut before, &mut now);
                card.paint(&mut now, frame, UnixTime::from_millis(1_000));
                let track = TRACK * card.scale / MACROBLOCK_DOTS;
                assert!(!now.same_row(&before, track), "frame {frame}");
            }
        }
    }

    #[test]
    fn grain_stays_clear_of_what_is_painted() {
        for rendition in Rendition::known() {
            let card = card(&rendition);
            let mut painted = card.blank();
            card.paint(&mut painted, 7, UnixTime::from_millis(1_000));
            for row in card.grain_row()..painted.height_mbs() {
                assert!(painted.same_row(&card.base, row));
            }
        }
    }

    #[test]
    fn renditions_of_a_ladder_have_labels_of_their_own_colour() {
        let accents: Vec<_> = Rendition::known()
            .iter()
            .map(|rendition| card(rendition).accent)
            .collect();
        for (index, accent) in accents.iter().enumerate() {
            assert!(!accents[..index].contains(accent));
        }
    }

    #[test]
    fn white_and_black_are_the_limits_of_the_range() {
        assert_eq!((WHITE.luma, WHITE.cb, WHITE.cr), (235, 128, 128));
        assert_eq!((BLACK.luma, BLACK.cb, BLACK.cr), (16, 128, 128));
    }
}
