//! Times and sizes as decimal numbers. A time is exact to the nanosecond, because it is never a floating-point number unless
//! it is written with an exponent.

use super::excerpt::excerpt;
use crate::time::Timestamp;

/// The latest time: 292 years, so that nothing that is added to a time overflows.
const NANOS_MAX: u64 = i64::MAX as u64;

/// The unit of a time that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `s`
    Seconds,
    /// `ms`
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 4] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    const fn nanos(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// A time: `17`, `17.25`, `1.7e9`. What is below a nanosecond is cut off.
pub(super) fn time(text: &[u8], unit: Unit) -> Result<Timestamp, String> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let nanos = match plain(digits, unit) {
        Some(nanos) => nanos,
        None => by_float(text, unit)?,
    };
    match u64::try_from(nanos) {
        Ok(nanos @ ..=NANOS_MAX) => Ok(Timestamp::from_nanos(nanos)),
        _ => Err(format!(
            "the time {} is later than 292 years in {}; is --time-unit right?",
            excerpt(text),
            unit.word()
        )),
    }
}

/// Digits, and perhaps a point and more digits. `None` for anything else.
fn plain(text: &[u8], unit: Unit) -> Option<u128> {
    let mut whole = 0_u64;
    let mut digits = 0;
    let mut rest = text.iter();
    for &byte in rest.by_ref() {
        match byte {
            b'0'..=b'9' => {
                // Once it is too large, it stays too large.
                whole = whole
                    .saturating_mul(10)
                    .saturating_add(u64::from(byte - b'0'));
                digits += 1;
            }
            b'.' => break,
            _ => return None,
        }
    }
    let mut nanos = u128::from(whole) * u128::from(unit.nanos());
    let mut place = unit.nanos();
    for &byte in rest {
        if !byte.is_ascii_digit() {
            return None;
        }
        place /= 10;
        nanos += u128::from(place) * u128::from(byte - b'0');
        digits += 1;
    }
    (digits > 0).then_some(nanos)
}

fn by_float(text: &[u8], unit: Unit) -> Result<u128, String> {
    let number = str::from_utf8(text).ok();
    let number = number.and_then(|text| text.parse::<f64>().ok());
    match number.filter(|number| number.is_finite()) {
        Some(number) if number < 0.0 => Err(format!("the time {} is below 0", excerpt(text))),
        Some(number) => Ok((number * unit.nanos() as f64).round() as u128),
        None => Err(format!("the time {} is no number", excerpt(text))),
    }
}

/// A size in bytes: a whole number.
pub(super) fn size(text: &[u8]) -> Result<u64, String> {
    let text = text.trim_ascii();
    let mut size = 0_u64;
    for &byte in text {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let next = digit.and_then(|digit| size.checked_mul(10)?.checked_add(digit));
        size = next.ok_or_else(|| no_size(text))?;
    }
    match text {
        [] => Err(no_size(text)),
        _ => Ok(size),
    }
}

fn no_size(text: &[u8]) -> String {
    let said = excerpt(text);
    format!("the size {said} is no whole number of bytes from 0 to 2^64 - 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        use Unit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
        for (text, unit, nanos) in [
            ("0", Seconds, 0),
            ("17", Seconds, 17_000_000_000),
            ("1700000000.123456789", Seconds, 1_700_000_000_123_456_789),
            ("0.3", Seconds, 300_000_000),
            ("0.0000000019", Seconds, 1),
            (".5", Seconds, 500_000_000),
            ("5.", Seconds, 5_000_000_000),
            ("+5", Seconds, 5_000_000_000),
            (" 5 ", Seconds, 5_000_000_000),
            ("-0", Seconds, 0),
            ("1.7e9", Seconds, 1_700_000_000_000_000_000),
            ("1.5", Milliseconds, 1_500_000),
            ("1.5", Microseconds, 1_500),
            ("1.5", Nanoseconds, 1),
            ("9223372036854775807", Nanoseconds, i64::MAX as u64),
        ] {
            assert_eq!(
                time(text.as_bytes(), unit),
                Ok(Timestamp::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_said() {
        for (text, why) in [
            ("", "is no number"),
            (".", "is no number"),
            ("+", "is no number"),
            ("nan", "is no number"),
            ("inf", "is no number"),
            ("1e400", "is no number"),
            ("12:30", "is no number"),
            ("1,5", "is no number"),
            ("-1", "is below 0"),
            ("-1e3", "is below 0"),
            ("1e30", "is later than"),
            ("1700000000000", "is --time-unit right"),
            ("9223372037", "is later than"),
        ] {
            let said = time(text.as_bytes(), Unit::Seconds).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        let digits = "9".repeat(10_000);
        assert!(time(digits.as_bytes(), Unit::Nanoseconds).is_err());
        let tail = format!("0.{digits}");
        assert!(time(tail.as_bytes(), Unit::Seconds).is_ok());
    }

    #[test]
    fn sizes_are_whole_numbers() {
        assert_eq!(size(b" 0 "), Ok(0));
        assert_eq!(size(b"18446744073709551615"), Ok(u64::MAX));
        for text in ["", "-1", "+1", "1.5", "1e3", "18446744073709551616", "x"] {
            assert!(size(text.as_bytes()).is_err(), "{text}");
        }
    }
}
