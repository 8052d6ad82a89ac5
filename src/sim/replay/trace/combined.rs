//! The common and the combined log format of Apache and nginx: `host ident user [time] "request" status bytes ...`.
//!
//! Only GET counts, and only the statuses 200, 206 and 304, because the others say nothing of an object. The key is the
//! request's target without scheme and host, as it was written.

use chrono::NaiveDate;

use super::decimal;
use super::excerpt::excerpt;
use super::line::{Parsed, Request};
use crate::time::Timestamp;

/// Bytes of `10/Oct/2000:13:55:36 +0200`.
const TIME_BYTES: usize = 26;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `line` has no line break.
pub(super) fn parse(line: &[u8]) -> Result<Parsed<'_>, String> {
    let Some((time, rest)) = after_time(line) else {
        let said = excerpt(line);
        return Err(format!(
            "{said} has no time like [10/Oct/2000:13:55:36 +0200] before a quoted request"
        ));
    };
    let (request, rest) = quoted(rest).ok_or("the quote around its request is not closed")?;
    let mut rest = rest
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let status = rest
        .next()
        .and_then(status)
        .ok_or("it has no status of three digits")?;
    let bytes = match rest.next() {
        Some(b"-") => 0,
        Some(bytes) => decimal::size(bytes)?,
        None => return Err("it has no number of bytes behind its status".to_owned()),
    };
    let mut words = request
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let method = words.next();
    let (Some(b"GET"), Some(target)) = (method, words.next()) else {
        return Ok(Parsed::NotGet);
    };
    if !matches!(status, 200 | 206 | 304) {
        return Ok(Parsed::OtherStatus);
    }
    Ok(Parsed::Request(Request {
        time: time.ok_or("its time is no date from 1970 on")?,
        key: hostless(target),
        size: bytes,
    }))
}

/// The time in brackets, if it is one, and what follows its quote. User names before it may hold brackets too.
fn after_time(line: &[u8]) -> Option<(Option<Timestamp>, &[u8])> {
    let mut from = 0;
    loop {
        from += 1 + line[from..].iter().position(|&byte| byte == b'[')?;
        let (time, rest) = line[from..].split_at_checked(TIME_BYTES)?;
        let rest = rest.strip_prefix(b"] \"");
        if let (true, Some(rest)) = (has_form(time), rest) {
            return Some((timestamp(time), rest));
        }
    }
}

fn has_form(time: &[u8]) -> bool {
    const FORM: &[u8; TIME_BYTES] = b"00/Aaa/0000:00:00:00 +0000";
    FORM.iter().zip(time).all(|(form, byte)| match form {
        b'0' => byte.is_ascii_digit(),
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        b'+' => matches!(byte, b'+' | b'-'),
        form => form == byte,
    })
}

/// A time that has its form. `None` if there is no such date, or if it is before 1970.
fn timestamp(time: &[u8]) -> Option<Timestamp> {
    let number = |from: usize, to: usize| {
        let digits = time[from..to].iter();
        digits.fold(0_u32, |number, digit| {
            number * 10 + u32::from(digit.wrapping_sub(b'0'))
        })
    };
    let month = MONTHS.iter().position(|month| month[..] == time[3..6])? as u32 + 1;
    let date = NaiveDate::from_ymd_opt(number(7, 11) as i32, month, number(0, 2))?;
    let (hour, minute, second) = (number(12, 14), number(15, 17), number(18, 20));
    // A leap second is written as 60.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = i64::from(hour * 3_600 + minute * 60 + second);
    let ahead = i64::from(number(22, 24) * 3_600 + number(24, 26) * 60);
    let ahead = if time[21] == b'-' { -ahead } else { ahead };
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    let seconds = u64::try_from(days * 86_400 + local - ahead).ok()?;
    let nanos = seconds.checked_mul(1_000_000_000)?;
    i64::try_from(nanos).ok()?;
    Some(Timestamp::from_nanos(nanos))
}

/// The text up to a quote that is not escaped, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn status(text: &[u8]) -> Option<u32> {
    let [a, b, c] = *text else { return None };
    let digits = [a, b, c];
    digits.iter().all(u8::is_ascii_digit).then(|| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    })
}

/// `/a?b` of `http://host/a?b`.
fn hostless(target: &[u8]) -> &[u8] {
    let after = |scheme: &[u8]| {
        let same = target.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
        same.then(|| &target[scheme.len()..])
    };
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else {
        return target;
    };
    let path = rest.iter().position(|&byte| matches!(byte, b'/' | b'?'));
    path.map_or(b"/", |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(request: &str, rest: &str) -> String {
        format!("1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"{request}\" {rest}")
    }

    #[test]
    fn requests_of_a_log() {
        let at = Timestamp::from_nanos(971_211_336_000_000_000);
        for (request, rest, key, size) in [
            (
                "GET /a HTTP/1.1",
                "200 17 \"-\" \"Mozilla/5.0 (a)\"",
                "/a",
                17,
            ),
            ("GET /a?b=c HTTP/1.1", "206 17", "/a?b=c", 17),
            ("GET /a HTTP/1.1", "304 -", "/a", 0),
            ("GET /a HTTP/1.1", "304 0 \"-\" \"-\" 0.001", "/a", 0),
            ("GET http://h:80/a HTTP/1.1", "200 1", "/a", 1),
            ("GET HTTPS://h HTTP/1.1", "200 1", "/", 1),
            ("GET https://h?x HTTP/1.1", "200 1", "?x", 1),
            ("GET /a\\\"b HTTP/1.1", "200 1", "/a\\\"b", 1),
            ("GET /a", "200 1", "/a", 1),
        ] {
            let text = line(request, rest);
            let request = Request {
                time: at,
                key: key.as_bytes(),
                size,
            };
            assert_eq!(
                parse(text.as_bytes()),
                Ok(Parsed::Request(request)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_get_or_no_good_answer_is_skipped() {
        for (request, rest, parsed) in [
            ("POST /a HTTP/1.1", "200 1", Parsed::NotGet),
            ("HEAD /a HTTP/1.1", "200 0", Parsed::NotGet),
            ("-", "400 0", Parsed::NotGet),
            ("", "400 0", Parsed::NotGet),
            ("\\x16\\x03\\x01", "400 150", Parsed::NotGet),
            ("GET", "400 150", Parsed::NotGet),
            ("GET /a HTTP/1.1", "404 9", Parsed::OtherStatus),
            ("GET /a HTTP/1.1", "301 9", Parsed::OtherStatus),
            ("GET /a HTTP/1.1", "503 9", Parsed::OtherStatus),
        ] {
            let text = line(request, rest);
            assert_eq!(parse(text.as_bytes()), Ok(parsed), "{text}");
        }
    }

    #[test]
    fn a_name_with_brackets_hides_no_time() {
        for user in ["[x]", "[", "[10/Oct/2000:13:55:36 -0700]", "a [b"] {
            let text = format!(
                "www.example.com:80 h - {user} [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 200 1"
            );
            assert!(
                matches!(
                    parse(text.as_bytes()),
                    Ok(Parsed::Request(Request { key: b"/a", .. }))
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn times_have_zones() {
        for (time, seconds) in [
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("01/Jan/1970:01:00:00 +0100", Some(0)),
            ("31/Dec/1969:23:59:59 +0000", None),
            ("31/Dec/1969:23:30:00 -0030", Some(0)),
            ("29/Feb/2024:12:00:00 +0530", Some(1_709_188_200)),
            ("31/Dec/2016:23:59:60 +0000", Some(1_483_228_800)),
            ("29/Feb/2023:12:00:00 +0000", None),
            ("10/Okt/2000:13:55:36 +0200", None),
            ("10/Oct/2000:24:00:00 +0200", None),
            ("10/Oct/9999:13:55:36 +0200", None),
        ] {
            let expected =
                seconds.map(|seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000));
            assert_eq!(timestamp(time.as_bytes()), expected, "{time}");
        }
    }

    #[test]
    fn bad_lines_of_a_log() {
        for (text, why) in [
            ("hello".to_owned(), "has no time"),
            (String::new(), "has no time"),
            (
                "h - - [10/Oct/2000] \"GET /a\" 200 1".to_owned(),
                "has no time",
            ),
            (line("GET /a HTTP/1.1", "20 1"), "no status"),
            (line("GET /a HTTP/1.1", ""), "no status"),
            (line("GET /a HTTP/1.1", "200"), "no number of bytes"),
            (line("GET /a HTTP/1.1", "200 x"), "the size \"x\""),
            (line("GET /a HTTP/1.1\\", "200 1"), "not closed"),
            (
                "h - - [30/Feb/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 200 1".to_owned(),
                "no date",
            ),
        ] {
            let said = parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
