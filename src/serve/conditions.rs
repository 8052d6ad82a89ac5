//! What a request asks of an object that exists: all of it, a part, or nothing if it has not changed.
//!
//! Pure: headers and the object's tag and length in, a word out (RFC 9110, sections 13 and 14).

use std::ops::{Bound, Range};

use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// What an answer should carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The whole body, status 200.
    Whole,
    /// These bytes, status 206.
    Part(Range<u64>),
    /// Nothing: the client's copy is good, status 304.
    NotModified,
    /// Nothing: the range lies outside, status 416.
    Unsatisfiable,
}

/// Reads the conditions of a request for an object with this tag and length.
pub fn wanted(headers: &HeaderMap, etag: Option<&HeaderValue>, length: u64) -> Wanted {
    let conditional = [http::header::IF_NONE_MATCH, http::header::RANGE]
        .iter()
        .any(|name| headers.contains_key(name));
    if !conditional {
        return Wanted::Whole;
    }
    let etag = etag.and_then(|value| value.to_str().ok()?.parse::<ETag>().ok());
    if let (Some(etag), Some(condition)) = (&etag, headers.typed_get::<IfNoneMatch>())
        && !condition.precondition_passes(etag)
    {
        return Wanted::NotModified;
    }
    let Some(range) = headers.typed_get::<headers::Range>() else {
        return Wanted::Whole;
    };
    if headers
        .typed_get::<IfRange>()
        .is_some_and(|condition| condition.is_modified(etag.as_ref(), None))
    {
        return Wanted::Whole;
    }
    let mut ranges = range.satisfiable_ranges(length);
    match (ranges.next(), ranges.next()) {
        (None, _) => Wanted::Unsatisfiable,
        (Some(bounds), None) => cut(bounds, length).map_or(Wanted::Unsatisfiable, Wanted::Part),
        // Several parts in one answer are never worth their framing here; a server may send the whole instead.
        (Some(_), Some(_)) => Wanted::Whole,
    }
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|member| {
            let (coding, parameters) = member.split_once(';').unwrap_or((member, ""));
            let quality = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
            matches!(coding.trim(), "gzip" | "x-gzip") && quality.is_some_and(|q| q > 0.0)
        })
}

/// The tag of the compressed form of an object: a strong tag names one sequence of bytes.
pub fn gzip_etag(etag: &HeaderValue) -> Option<HeaderValue> {
    let tag = etag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{tag}-gzip\"")).ok()
}

fn cut((from, to): (Bound<u64>, Bound<u64>), length: u64) -> Option<Range<u64>> {
    let start = match from {
        Bound::Included(start) => start,
        Bound::Excluded(before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let end = match to {
        Bound::Included(last) => last.checked_add(1)?.min(length),
        Bound::Excluded(end) => end.min(length),
        Bound::Unbounded => length,
    };
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        wanted(&headers, Some(&HeaderValue::from_static("\"v1\"")), 1_000)
    }

    #[test]
    fn ranges_are_cut_or_refused() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-", Wanted::Part(10..1_000)),
            ("bytes=-10", Wanted::Part(990..1_000)),
            ("bytes=900-5000", Wanted::Part(900..1_000)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=0-0,5-6", Wanted::Whole),
            ("bytes=0-18446744073709551615", Wanted::Part(0..1_000)),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
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
        assert_eq!(
            asked(&[("range", "bytes=5-9"), ("if-range", "\"v0\"")]),
            Wanted::Whole
        );
        assert_eq!(
            asked(&[("range", "bytes=5-9"), ("if-range", "\"v1\"")]),
            Wanted::Part(5..10)
        );
    }

    #[test]
    fn gzip_must_be_asked_for() {
        for (value, expected) in [
            ("gzip, br", true),
            ("br;q=1, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
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
