//! What a request asks of an object that exists: all of it, a part, or nothing if it has not changed.
//!
//! Pure: headers and the object's tag and length in, a [`Wanted`] out (RFC 9110, sections 12 to 14).

use std::ops::Range;

use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Method};

/// What an answer should carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole body, status 200.
    Whole,
    /// These bytes, at least one and all within the body; status 206.
    Part(Range<u64>),
    /// Nothing: the client's copy is good, status 304.
    NotModified,
    /// Nothing: the range lies outside, status 416.
    Unsatisfiable,
}

/// Reads the conditions of a GET or HEAD for an object with this tag and length.
pub fn wanted(
    method: &Method,
    headers: &HeaderMap,
    etag: Option<&HeaderValue>,
    length: u64,
) -> Wanted {
    if !headers.contains_key(IF_NONE_MATCH) && !headers.contains_key(RANGE) {
        return Wanted::Whole;
    }
    let etag = etag.and_then(|value| value.to_str().ok()?.parse::<ETag>().ok());
    if let (Some(etag), Some(condition)) = (&etag, headers.typed_get::<IfNoneMatch>())
        && !condition.precondition_passes(etag)
    {
        return Wanted::NotModified;
    }
    let outdated = || {
        let condition = headers.typed_get::<IfRange>();
        condition.is_some_and(|condition| condition.is_modified(etag.as_ref(), None))
    };
    // A Range in a HEAD is ignored (RFC 9110, section 14.2).
    match headers.get(RANGE).filter(|_| method == Method::GET) {
        Some(range) if !outdated() => parse_range(range, length),
        _ => Wanted::Whole,
    }
}

/// Whether Accept-Encoding admits gzip, by its name or else by `*`. A weight of 0 forbids it (RFC 9110, section
/// 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for line in headers.get_all(ACCEPT_ENCODING) {
        for member in line.to_str().unwrap_or_default().split(',') {
            let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
            let weight = weight
                .trim()
                .trim_start_matches(['q', 'Q'])
                .trim_start_matches('=');
            let admitted =
                weight.is_empty() || weight.parse().is_ok_and(|weight: f32| weight > 0.0);
            match coding.trim() {
                coding if coding.eq_ignore_ascii_case("gzip") => return admitted,
                "*" => any = admitted,
                _ => {}
            }
        }
    }
    any
}

/// The tag of an object's compressed form. It differs, because a strong tag names one sequence of bytes.
pub fn gzip_etag(etag: &HeaderValue) -> Option<HeaderValue> {
    let tag = etag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{tag}-gzip\"")).ok()
}

/// Content-Range of a part.
pub fn content_range(part: &Range<u64>, length: u64) -> HeaderValue {
    let text = format!(
        "bytes {}-{}/{length}",
        part.start,
        part.end.saturating_sub(1)
    );
    HeaderValue::from_str(&text).expect("numbers are header-safe")
}

/// Content-Range of the answer to a range that lies outside the object.
pub fn content_range_outside(length: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("bytes */{length}")).expect("a number is header-safe")
}

/// Other units, several ranges and malformed ranges are ignored, because the whole body is always a legal answer.
fn parse_range(range: &HeaderValue, length: u64) -> Wanted {
    let parse = || {
        let (first, last) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .trim()
            .split_once('-')?;
        Some(match (first, last) {
            ("", suffix) => (length.saturating_sub(digits(suffix)?), length),
            (first, "") => (digits(first)?, length),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                if last < first {
                    return None;
                }
                (first, last.saturating_add(1).min(length))
            }
        })
    };
    match parse() {
        None => Wanted::Whole,
        Some((start, end)) if start >= end => Wanted::Unsatisfiable,
        Some((start, end)) => Wanted::Part(start..end),
    }
}

/// A number of decimal digits only. A number too large for 64 bits becomes the largest one.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        wanted(
            &Method::GET,
            &headers,
            Some(&HeaderValue::from_static("\"v1\"")),
            1_000,
        )
    }

    #[test]
    fn ranges_are_cut_ignored_or_refused() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-", Wanted::Part(10..1_000)),
            ("bytes=-10", Wanted::Part(990..1_000)),
            ("bytes=-5000", Wanted::Part(0..1_000)),
            ("bytes=900-5000", Wanted::Part(900..1_000)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..1_000)),
            ("bytes=8-99999999999999999999999", Wanted::Part(8..1_000)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=3-1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0-0,5-6", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-1"))]);
        assert_eq!(wanted(&Method::HEAD, &headers, None, 10), Wanted::Whole);
    }

    #[test]
    fn an_unchanged_copy_is_not_sent_again() {
        assert_eq!(asked(&[("if-none-match", "\"v1\"")]), Wanted::NotModified);
        assert_eq!(
            asked(&[("if-none-match", "\"v0\", W/\"v1\"")]),
            Wanted::NotModified
        );
        assert_eq!(asked(&[("if-none-match", "\"v0\"")]), Wanted::Whole);
        assert_eq!(asked(&[("if-none-match", "*")]), Wanted::NotModified);
    }

    #[test]
    fn a_range_of_another_version_gets_the_whole() {
        for (condition, expected) in [
            ("\"v1\"", Wanted::Part(5..10)),
            ("\"v0\"", Wanted::Whole),
            ("W/\"v1\"", Wanted::Whole),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Wanted::Whole),
        ] {
            assert_eq!(
                asked(&[("range", "bytes=5-9"), ("if-range", condition)]),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn gzip_must_be_admitted() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, *", true),
            ("identity", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("xgzip", false),
        ] {
            let headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
        assert_eq!(
            gzip_etag(&HeaderValue::from_static("\"v1\"")).unwrap(),
            "\"v1-gzip\""
        );
    }
}
