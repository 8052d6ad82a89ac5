//! CSV: `time,key,size`, and further columns that are not used. The first line may name the columns.
//!
//! A record is one line: a quote that is not closed at its end makes one bad line, and does not swallow the rest of the file.

use csv_core::{ReadRecordResult, Reader};

use super::decimal::{self, Unit};
use super::excerpt::excerpt;
use super::line::{Parsed, Request};

/// Columns of a line that are read; those behind the third have no meaning.
const COLUMNS: usize = 3;

/// Reads lines of CSV.
#[derive(Debug)]
pub(super) struct Csv {
    unit: Unit,
    reader: Box<Reader>,
    /// The fields of the line, one behind another.
    fields: Vec<u8>,
    is_first: bool,
}

impl Csv {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit,
            reader: Box::new(Reader::new()),
            fields: Vec::new(),
            is_first: true,
        }
    }

    /// `line` has no line break.
    pub(super) fn parse<'a>(&'a mut self, line: &[u8]) -> Result<Parsed<'a>, String> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let [time, key, size] = split(&mut self.reader, &mut self.fields, line)?;
        let parsed = decimal::time(time, self.unit);
        if is_first && parsed.is_err() && decimal::size(size).is_err() {
            return Ok(Parsed::Nothing);
        }
        let time = parsed?;
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        // A key with a comma and without quotes shows as a size that is none.
        let size = decimal::size(size)?;
        Ok(Parsed::Request(Request { time, key, size }))
    }
}

/// The first three fields of a line.
fn split<'a>(
    reader: &mut Reader,
    fields: &'a mut Vec<u8>,
    line: &[u8],
) -> Result<[&'a [u8]; COLUMNS], String> {
    reader.reset();
    if fields.len() < line.len() + 1 {
        fields.resize(line.len() + 1, 0);
    }
    let mut ends = [0; COLUMNS];
    let (mut result, _, written, mut count) = reader.read_record(line, fields, &mut ends);
    if result == ReadRecordResult::InputEmpty {
        // A line break inside of quotes does not end the record.
        let room = &mut fields[written..];
        let (end, _, _, more) = reader.read_record(b"\n", room, &mut ends[count..]);
        result = end;
        count += more;
    }
    match result {
        ReadRecordResult::Record | ReadRecordResult::OutputEndsFull if count == COLUMNS => {}
        ReadRecordResult::InputEmpty => return Err("a quote in it is not closed".to_owned()),
        _ => {
            return Err(format!(
                "{} has {count} of the three fields time,key,size",
                excerpt(line)
            ));
        }
    }
    let [time, key, size] = ends;
    Ok([&fields[..time], &fields[time..key], &fields[key..size]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn parsed(line: &str) -> Result<(u64, String, u64), String> {
        let mut csv = Csv::new(Unit::Nanoseconds);
        csv.is_first = false;
        match csv.parse(line.as_bytes())? {
            Parsed::Request(Request { time, key, size }) => {
                let key = String::from_utf8_lossy(key).into_owned();
                Ok((time.as_nanos(), key, size))
            }
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn lines_of_csv() {
        for (line, time, key, size) in [
            ("1,a,2", 1, "a", 2),
            ("1,a,2,client", 1, "a", 2),
            ("1,a,2,client,more,\"and\",more", 1, "a", 2),
            ("1, a b ,2", 1, " a b ", 2),
            ("1,\"a,b\",2", 1, "a,b", 2),
            ("1,\"a \"\"b\"\"\",2", 1, "a \"b\"", 2),
            ("\"1\",\"a\",\"2\"", 1, "a", 2),
            ("1,5\" disk,2", 1, "5\" disk", 2),
            ("1,/ä?x=1&y=2,0", 1, "/ä?x=1&y=2", 0),
            ("1,a,2,\"not closed", 1, "a", 2),
        ] {
            assert_eq!(parsed(line), Ok((time, key.to_owned(), size)), "{line}");
        }
    }

    #[test]
    fn bad_lines_of_csv() {
        for (line, why) in [
            ("1", "1 of the three fields"),
            ("1,a", "2 of the three fields"),
            ("1;a;2", "1 of the three fields"),
            ("1,,2", "the key is empty"),
            ("1,a,", "the size"),
            ("1,a,b,2", "the size \"b\" is no whole number"),
            ("x,a,2", "the time \"x\" is no number"),
            (",a,2", "the time \"\" is no number"),
            ("1,\"a,2", "a quote in it is not closed"),
            ("1,a,\"2", "a quote in it is not closed"),
        ] {
            let said = parsed(line).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn the_first_line_may_name_the_columns() {
        let mut csv = Csv::new(Unit::Seconds);
        assert_eq!(csv.parse(b"time,key,size"), Ok(Parsed::Nothing));
        assert!(csv.parse(b"time,key,size").is_err());
        // A request whose time alone is odd is no header.
        let mut csv = Csv::new(Unit::Seconds);
        assert!(csv.parse(b"1x,a,2").is_err());
        let mut csv = Csv::new(Unit::Seconds);
        let first = Request {
            time: Timestamp::ZERO,
            key: b"a",
            size: 2,
        };
        assert_eq!(csv.parse(b"0,a,2"), Ok(Parsed::Request(first)));
    }
}
