//! How many lines of a trace may be unreadable: one of a hundred. That is judged after the first thousand, so that a wrong
//! format is noticed early, and at the end.

use super::format::Format;
use super::line::BadLine;

/// Lines after which a trace is judged for the first time.
const FIRST: u64 = 1_000;

/// More than one of a hundred lines cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first}; {bad} of {} are like that, and one of a hundred may be. The lines were read as {form}: --format names another \
     format", some_lines(*.lines)
)]
pub struct TooManyBad {
    first: BadLine,
    bad: u64,
    lines: u64,
    form: &'static str,
}

fn some_lines(count: u64) -> String {
    match count {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    }
}

/// Lines that hold something, readable or not.
#[derive(Debug, Default)]
pub(super) struct BadLines {
    lines: u64,
    bad: u64,
    first: Option<BadLine>,
}

impl BadLines {
    pub(super) fn good(&mut self, format: Format) -> Result<(), TooManyBad> {
        self.lines += 1;
        self.judge_early(format)
    }

    pub(super) fn bad(&mut self, line: &BadLine, format: Format) -> Result<(), TooManyBad> {
        self.lines += 1;
        self.bad += 1;
        self.first.get_or_insert_with(|| line.clone());
        self.judge_early(format)
    }

    /// Judges all lines so far.
    pub(super) fn judge(&self, format: Format) -> Result<(), TooManyBad> {
        match &self.first {
            Some(first) if u128::from(self.bad) * 100 > u128::from(self.lines) => Err(TooManyBad {
                first: first.clone(),
                bad: self.bad,
                lines: self.lines,
                form: format.form(),
            }),
            _ => Ok(()),
        }
    }

    fn judge_early(&self, format: Format) -> Result<(), TooManyBad> {
        match self.lines {
            FIRST => self.judge(format),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(number: u64) -> BadLine {
        BadLine {
            number,
            why: "it is odd".to_owned(),
        }
    }

    #[test]
    fn one_of_a_hundred_may_be_bad() {
        let mut lines = BadLines::default();
        for _ in 0..99 {
            lines.good(Format::Csv).unwrap();
        }
        lines.bad(&bad(17), Format::Csv).unwrap();
        assert_eq!(lines.judge(Format::Csv), Ok(()));
        lines.bad(&bad(18), Format::Csv).unwrap();
        let told = lines.judge(Format::Csv).unwrap_err().to_string();
        assert!(told.starts_with("line 17 cannot be read: it is odd; 2 of 101 lines"));
    }

    #[test]
    fn a_wrong_format_is_noticed_early() {
        let mut lines = BadLines::default();
        for number in 1..FIRST {
            lines.bad(&bad(number), Format::Csv).unwrap();
        }
        assert!(lines.bad(&bad(FIRST), Format::Csv).is_err());
    }

    #[test]
    fn a_trace_without_lines_has_no_bad_ones() {
        assert_eq!(BadLines::default().judge(Format::Csv), Ok(()));
    }
}
