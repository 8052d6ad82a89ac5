//! How a document becomes an answer: compression, conditions and ranges (RFC 9110, sections 12 to 14). Pure functions.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::document::Document;
use crate::policy::key::Kind;
use crate::serve::http::conditions::{self, Wanted};
use crate::serve::http::{content_type, cors};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const ANYONE: HeaderValue = HeaderValue::from_static("*");
/// Long enough to absorb a flood of requests for missing objects. Short enough for objects that are about to be
/// published.
const A_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// Answers a GET or HEAD for a document.
pub fn found(method: &Method, request: &HeaderMap, document: &Document) -> Response<Bytes> {
    let gzip = document
        .gzip
        .as_ref()
        .filter(|_| conditions::accepts_gzip(request));
    let chosen = gzip.unwrap_or(&document.plain);
    let length = chosen.body.len() as u64;
    let mut response = Response::new(Bytes::new());
    let head = response.headers_mut();
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    head.insert(CACHE_CONTROL, document.cache_control.clone());
    head.insert(ETAG, chosen.etag.clone());
    if document.gzip.is_some() {
        head.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    let wanted = conditions::wanted(method, request, Some(&chosen.etag), length);
    if wanted == Wanted::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    head.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content_type::of(document.kind)),
    );
    head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if gzip.is_some() && wanted != Wanted::Unsatisfiable {
        head.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let body = match wanted {
        Wanted::Part(part) => {
            head.insert(CONTENT_RANGE, conditions::content_range(&part, length));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            chosen.body.slice(part.start as usize..part.end as usize)
        }
        Wanted::Unsatisfiable => {
            head.insert(CONTENT_RANGE, conditions::content_range_outside(length));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            Bytes::new()
        }
        Wanted::Whole | Wanted::NotModified => chosen.body.clone(),
    };
    with_body(method, response, body)
}

/// Answers a request for an object that does not exist now.
pub fn not_found(method: &Method) -> Response<Bytes> {
    let text = "there is no such object here now; a segment is here from its end until the playlists that listed it have passed\n";
    refused(method, StatusCode::NOT_FOUND, text)
}

/// A short refusal that caches keep for at most a second.
pub fn refused(method: &Method, status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let head = response.headers_mut();
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    head.insert(CACHE_CONTROL, A_SECOND);
    head.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content_type::of(Kind::Other)),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        head.insert(ALLOW, METHODS);
    }
    with_body(method, response, Bytes::from_static(text.as_bytes()))
}

/// Answers OPTIONS, which browsers send before a request with a Range: pages of any site may read.
pub fn preflight() -> Response<Bytes> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(ALLOW, METHODS)
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE)
        .header("access-control-allow-methods", METHODS)
        .header("access-control-allow-headers", cors::ALLOWED_HEADERS)
        .header("access-control-max-age", "86400")
        .body(Bytes::new())
        .expect("the head is made of constants")
}

/// Adds the body to the response. For HEAD, adds only its length.
fn with_body(method: &Method, mut response: Response<Bytes>, body: Bytes) -> Response<Bytes> {
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, body.len().into());
    if method != Method::HEAD {
        *response.body_mut() = body;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> HeaderValue {
        text.parse().unwrap()
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|&(name, value)| (http::HeaderName::from_static(name), plain(value)))
            .collect()
    }

    fn segment() -> Document {
        Document::segment(Bytes::from_static(b"0123456789"))
    }

    fn playlist() -> Document {
        Document::text(Kind::MediaPlaylist, "#EXTM3U\n".repeat(20), 1)
    }

    fn get(document: &Document, request: &[(&'static str, &str)]) -> Response<Bytes> {
        found(&Method::GET, &headers(request), document)
    }

    fn tag(response: &Response<Bytes>) -> String {
        response.headers()["etag"].to_str().unwrap().to_owned()
    }

    #[test]
    fn every_head_says_what_it_is_how_long_it_is_and_how_long_it_keeps() {
        let cases = [
            (
                segment(),
                "video/mp2t",
                "public, max-age=31536000, immutable",
            ),
            (
                playlist(),
                "application/vnd.apple.mpegurl",
                "public, max-age=1",
            ),
            (
                Document::text(Kind::Other, "{}".to_owned(), 30),
                "application/json",
                "public, max-age=30",
            ),
        ];
        for (document, content_type, cache_control) in cases {
            for method in [Method::GET, Method::HEAD] {
                let response = found(&method, &HeaderMap::new(), &document);
                let head = response.headers();
                assert_eq!(response.status(), 200);
                assert_eq!(head["content-type"], content_type);
                assert_eq!(head["cache-control"], cache_control);
                assert_eq!(head["access-control-allow-origin"], "*");
                assert_eq!(
                    head["content-length"],
                    document.plain.body.len().to_string()
                );
                let expected = if method == Method::GET {
                    document.plain.body.clone()
                } else {
                    Bytes::new()
                };
                assert_eq!(response.body(), &expected);
            }
        }
    }

    #[test]
    fn ranges_are_cut_from_the_whole() {
        let cases = [
            ("bytes=0-3", 206, "bytes 0-3/10", "0123"),
            ("bytes=7-", 206, "bytes 7-9/10", "789"),
            ("bytes=-2", 206, "bytes 8-9/10", "89"),
            ("bytes=-99", 206, "bytes 0-9/10", "0123456789"),
            ("bytes=8-18446744073709551615", 206, "bytes 8-9/10", "89"),
            ("bytes=8-99999999999999999999999", 206, "bytes 8-9/10", "89"),
            ("bytes=10-", 416, "bytes */10", ""),
            ("bytes=99999999999999999999999-", 416, "bytes */10", ""),
            ("bytes=-0", 416, "bytes */10", ""),
            ("bytes=3-1", 200, "", "0123456789"),
            ("bytes=+1-2", 200, "", "0123456789"),
            ("bytes=0-1,3-4", 200, "", "0123456789"),
            ("bytes=-", 200, "", "0123456789"),
            ("lines=0-3", 200, "", "0123456789"),
        ];
        for (range, status, content_range, body) in cases {
            let response = get(&segment(), &[("range", range)]);
            assert_eq!(response.status(), status, "{range}");
            let found = response.headers().get("content-range");
            assert_eq!(
                found.map_or("", |found| found.to_str().unwrap()),
                content_range,
                "{range}"
            );
            assert_eq!(response.body(), body, "{range}");
            assert_eq!(response.headers()["content-length"], body.len().to_string());
        }
        let head = found(
            &Method::HEAD,
            &headers(&[("range", "bytes=0-3")]),
            &segment(),
        );
        assert_eq!(head.status(), 200);
    }

    #[test]
    fn a_range_of_another_version_gets_the_whole() {
        let current = tag(&get(&segment(), &[]));
        let weak = format!("W/{current}");
        let cases = [
            (current.as_str(), 206),
            (weak.as_str(), 200),
            ("\"other\"", 200),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ];
        for (condition, status) in cases {
            let response = get(
                &segment(),
                &[("range", "bytes=0-3"), ("if-range", condition)],
            );
            assert_eq!(response.status(), status, "{condition}");
        }
    }

    #[test]
    fn what_a_cache_has_already_is_not_sent_again() {
        let current = tag(&get(&playlist(), &[]));
        let list = format!("\"other\", W/{current}");
        for (condition, status) in [
            (current.as_str(), 304),
            (&list, 304),
            ("*", 304),
            ("\"other\"", 200),
        ] {
            let response = get(&playlist(), &[("if-none-match", condition)]);
            assert_eq!(response.status(), status, "{condition}");
            assert_eq!(tag(&response), current);
            assert_eq!(response.body().is_empty(), status == 304);
            assert_eq!(response.headers()["cache-control"], "public, max-age=1");
            assert_eq!(response.headers()["vary"], "accept-encoding");
        }
    }

    #[test]
    fn compression_is_for_those_who_accept_it() {
        let cases = [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, *", true),
            ("identity", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("xgzip", false),
        ];
        let plain = tag(&get(&playlist(), &[]));
        for (accepted, compressed) in cases {
            let response = get(&playlist(), &[("accept-encoding", accepted)]);
            let found = response.headers().get("content-encoding").is_some();
            assert_eq!(found, compressed, "{accepted}");
            assert_eq!(tag(&response) != plain, compressed, "{accepted}");
            let segment = get(&segment(), &[("accept-encoding", accepted)]);
            assert!(!segment.headers().contains_key("content-encoding"));
            assert!(!segment.headers().contains_key("vary"));
        }
    }

    #[test]
    fn what_is_missing_is_not_remembered_beyond_a_second() {
        let response = not_found(&Method::GET);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["cache-control"], "public, max-age=1");
    }
}
