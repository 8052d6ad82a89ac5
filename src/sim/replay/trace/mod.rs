//! Lines of a trace become requests: three formats, and what is done with lines that cannot be read.
//!
//! [`Trace::line`] takes one line after another. It names a line that cannot be read, and refuses the trace if there are too
//! many of them, or if its time goes back further than it may.

mod bad;
mod combined;
mod csv;
mod decimal;
mod excerpt;
mod format;
mod json_lines;
mod line;
mod order;

use std::time::Duration;

pub use bad::TooManyBad;
pub use decimal::Unit;
pub use format::Format;
pub use json_lines::Fields;
pub use line::{BadLine, Request};
pub use order::BackInTime;

use self::bad::BadLines;
use self::line::Parsed;
use self::order::Order;

/// The longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What some editors write in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the lines of a trace are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its format.
    pub format: Format,
    /// The unit of times that are numbers; `None`: that of the format.
    pub unit: Option<Unit>,
    /// How far its time may go back; `None`: what is usual for the format.
    pub reorder: Option<Duration>,
    /// The names of fields in JSON lines.
    pub fields: Fields,
}

/// A trace that is being read.
#[derive(Debug)]
pub struct Trace {
    format: Format,
    parser: Parser,
    order: Order,
    bad: BadLines,
    counts: LineCounts,
}

/// Lines, by what was done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// All lines.
    pub read: u64,
    /// Lines that could not be read.
    pub bad: u64,
    /// Requests that were neither GET nor counted.
    pub not_get: u64,
    /// Requests that were answered with a status other than 200, 206 or 304.
    pub other_status: u64,
    /// Requests that came after a later one and count as of its time.
    pub reordered: u64,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A request.
    Request(Request<'a>),
    /// Nothing that counts: a header, an empty line, a request that is skipped.
    Skipped,
    /// It cannot be read.
    Bad(BadLine),
}

/// Why a trace is not replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many lines cannot be read.
    #[error(transparent)]
    TooManyBad(#[from] TooManyBad),
    /// Its time goes back.
    #[error(transparent)]
    BackInTime(#[from] BackInTime),
}

#[derive(Debug)]
enum Parser {
    Csv(csv::Csv),
    Combined,
    JsonLines(json_lines::JsonLines),
}

/// The format of a trace that begins with `head`; `None` if no line of it is of any format.
pub fn guess(head: &[u8]) -> Option<Format> {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    head.split(|&byte| byte == b'\n')
        .take(100)
        .find_map(|line| {
            if line.trim_ascii_start().starts_with(b"{") {
                return Some(Format::JsonLines);
            }
            if combined::parse(line).is_ok_and(|parsed| parsed != Parsed::Nothing) {
                return Some(Format::Combined);
            }
            let commas = line.iter().filter(|&&byte| byte == b',').count();
            (commas >= 2).then_some(Format::Csv)
        })
}

impl Trace {
    /// A trace of which no line is read yet.
    pub fn new(reading: Reading) -> Self {
        let Reading {
            format,
            unit,
            reorder,
            fields,
        } = reading;
        let parser = match format {
            Format::Csv => Parser::Csv(csv::Csv::new(unit.unwrap_or(Unit::Seconds))),
            Format::Combined => Parser::Combined,
            Format::JsonLines => Parser::JsonLines(json_lines::JsonLines::new(
                fields,
                unit.unwrap_or(Unit::Milliseconds),
            )),
        };
        Self {
            format,
            parser,
            order: Order::new(reorder.unwrap_or(format.reorder())),
            bad: BadLines::default(),
            counts: LineCounts::default(),
        }
    }

    /// Reads the next line, with its line break or without.
    ///
    /// # Errors
    /// The trace is refused: too many lines are bad, or time goes back too far.
    pub fn line<'a>(&'a mut self, line: &'a [u8]) -> Result<Line<'a>, Refused> {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let bare = match self.counts.read {
            0 => bare.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bare),
            _ => bare,
        };
        self.counts.read += 1;
        let parsed = match &mut self.parser {
            _ if bare.trim_ascii().is_empty() => Ok(Parsed::Nothing),
            Parser::Csv(csv) => csv.parse(bare),
            Parser::Combined => combined::parse(bare),
            Parser::JsonLines(json) => json.parse(bare),
        };
        let number = self.counts.read;
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(why) => {
                self.counts.bad += 1;
                let bad = BadLine { number, why };
                self.bad.bad(&bad, self.format)?;
                return Ok(Line::Bad(bad));
            }
        };
        if parsed != Parsed::Nothing {
            self.bad.good(self.format)?;
        }
        match parsed {
            Parsed::Nothing => {}
            Parsed::NotGet => self.counts.not_get += 1,
            Parsed::OtherStatus => self.counts.other_status += 1,
            Parsed::Request(mut request) => {
                let late = self.order.place(number, &mut request.time)?;
                self.counts.reordered += u64::from(late);
                return Ok(Line::Request(request));
            }
        }
        Ok(Line::Skipped)
    }

    /// Notes a line longer than [`LINE_BYTES_MAX`].
    ///
    /// # Errors
    /// As [`Trace::line`].
    pub fn too_long(&mut self) -> Result<BadLine, Refused> {
        self.counts.read += 1;
        self.counts.bad += 1;
        let bad = BadLine {
            number: self.counts.read,
            why: format!("it is longer than {} KiB", LINE_BYTES_MAX >> 10),
        };
        self.bad.bad(&bad, self.format)?;
        Ok(bad)
    }

    /// The end of the trace.
    ///
    /// # Errors
    /// Too many lines were bad.
    pub fn finish(&self) -> Result<LineCounts, Refused> {
        self.bad.judge(self.format)?;
        Ok(self.counts)
    }

    /// The lines so far.
    pub const fn counts(&self) -> LineCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(format: Format) -> Reading {
        Reading {
            format,
            unit: None,
            reorder: None,
            fields: Fields::default(),
        }
    }

    #[test]
    fn the_first_line_that_is_of_a_format_tells_the_format() {
        let combined =
            br#"1.2.3.4 - - [10/Oct/2000:13:55:36 +0200] "GET /a HTTP/1.1" 200 7 "-" "x, y, z""#;
        for (head, format) in [
            (&b"time,key,size\n1,a,2\n"[..], Some(Format::Csv)),
            (b"1,a,2", Some(Format::Csv)),
            (b"\n\n  {\"path\":\"/a\"}", Some(Format::JsonLines)),
            (combined, Some(Format::Combined)),
            (b"# a comment\n1;2;3\n", None),
            (b"", None),
            (b"\x00\xff\xfe", None),
        ] {
            assert_eq!(guess(head), format);
        }
    }

    #[test]
    fn lines_are_counted_by_what_was_done_with_them() {
        let mut trace = Trace::new(reading(Format::Combined));
        let line = |second: u64, request: &str, status: u16| {
            format!(
                "h - - [10/Oct/2000:13:55:{second} +0200] \"{request}\" {status} 7 \"-\" \"-\"\r\n"
            )
        };
        for text in [
            line(40, "GET /a HTTP/1.1", 200),
            "\n".to_owned(),
            line(30, "GET /a HTTP/1.1", 304),
            line(41, "POST /a HTTP/1.1", 200),
            line(41, "GET /a HTTP/1.1", 404),
        ] {
            assert!(
                !matches!(trace.line(text.as_bytes()), Ok(Line::Bad(_))),
                "{text}"
            );
        }
        let expected = LineCounts {
            read: 5,
            bad: 0,
            not_get: 1,
            other_status: 1,
            reordered: 1,
        };
        assert_eq!(trace.finish(), Ok(expected));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let mut trace = Trace::new(reading(Format::Csv));
        let line = trace.line(b"\xef\xbb\xbf1,a,2\n").unwrap();
        assert!(matches!(
            line,
            Line::Request(Request {
                key: b"a",
                size: 2,
                ..
            })
        ));
    }

    #[test]
    fn no_line_makes_a_parser_panic() {
        let odd: [&[u8]; 16] = [
            b"",
            b",",
            b",,",
            b",,,,,,,,",
            b"\"",
            b"\"\"\"",
            b"\xff\xfe\x00",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b" [",
            b" [] \"",
            b"h [10/Oct/2000:13:55:36 +0200] \"",
            b"1e999999999,a,1",
            b"999999999999999999999999999999999999999999999999999,a,1",
        ];
        for format in Format::ALL {
            for line in odd {
                let mut trace = Trace::new(reading(format));
                let _ = trace.line(line);
                let _ = guess(line);
            }
        }
    }
}
