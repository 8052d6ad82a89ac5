//! Decides by the head of an origin's answer whether the answer may be stored and shared between viewers.
//!
//! Neither the body nor a file extension matters. The route (live or foreign) and the head decide, above all the
//! origin's `Cache-Control` (RFC 9111, sections 3 and 5.2.2).

use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, RETRY_AFTER, SET_COOKIE, VARY};
use http::{HeaderMap, StatusCode};

/// What may be done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The answer may be stored. `lifetime` is there if the origin gave one.
    Shared { lifetime: Option<Duration> },
    /// The answer is for one viewer: each request must ask for itself.
    Private,
    /// A live object is refused with a 4xx, mostly 404. The edge's requests carry nothing of a viewer's, so all viewers
    /// get the same.
    Refused,
    /// The origin failed, and may have said when to come back.
    Failed { retry_after: Option<Duration> },
}

/// How an edge treats answers without an explicit lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implicit {
    /// Objects of a live stream: shared, for a time that depends on the kind.
    Shared,
    /// Foreign objects: not shared unless the origin says so.
    Private,
}

/// Judges the head of an answer.
pub fn judge(status: StatusCode, headers: &HeaderMap, implicit: Implicit) -> Sharing {
    match status {
        StatusCode::OK => {}
        status if status.is_client_error() && implicit == Implicit::Shared => {
            return Sharing::Refused;
        }
        status if status.is_server_error() => {
            return Sharing::Failed {
                retry_after: seconds(headers, &RETRY_AFTER),
            };
        }
        _ => return Sharing::Private,
    }
    // The edge's requests carry one header that an answer could vary by: Accept-Encoding, which is always `identity`.
    let varies = headers
        .get_all(VARY)
        .iter()
        .any(|vary| !vary.as_bytes().eq_ignore_ascii_case(b"accept-encoding"));
    // The edge asked for `identity`. An origin that encodes all the same means only clients that accept that coding.
    let packed = headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity");
    if packed || varies || headers.contains_key(SET_COOKIE) {
        return Sharing::Private;
    }
    let control = Control::of(headers);
    if control.forbidden {
        return Sharing::Private;
    }
    match (control.s_maxage.or(control.max_age), implicit) {
        (None, Implicit::Private) => Sharing::Private,
        (Some(lifetime), Implicit::Private) if lifetime.is_zero() => Sharing::Private,
        (lifetime, _) => Sharing::Shared { lifetime },
    }
}

/// The `Age` of an answer; zero where it is absent or no number.
pub fn age(headers: &HeaderMap) -> Duration {
    seconds(headers, &AGE).unwrap_or_default()
}

fn seconds(headers: &HeaderMap, name: &http::HeaderName) -> Option<Duration> {
    headers
        .get(name)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

#[derive(Default)]
struct Control {
    forbidden: bool,
    max_age: Option<Duration>,
    s_maxage: Option<Duration>,
}

impl Control {
    fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            // A value that can't be read counts as the strictest.
            let Ok(text) = value.to_str() else {
                control.forbidden = true;
                continue;
            };
            for directive in text.split(',') {
                let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
                let seconds = || {
                    argument
                        .trim()
                        .trim_matches('"')
                        .parse()
                        .ok()
                        .map(Duration::from_secs)
                };
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "private" | "no-cache" => control.forbidden = true,
                    "max-age" => control.max_age = Some(seconds().unwrap_or_default()),
                    "s-maxage" => control.s_maxage = Some(seconds().unwrap_or_default()),
                    _ => {}
                }
            }
        }
        control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        status: u16,
        headers: &[(&'static str, &'static str)],
        implicit: Implicit,
    ) -> Sharing {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, http::HeaderValue::from_static(value));
        }
        judge(StatusCode::from_u16(status).unwrap(), &map, implicit)
    }

    #[test]
    fn foreign_answers_are_shared_only_with_an_explicit_lifetime() {
        let minute = Sharing::Shared {
            lifetime: Some(Duration::from_secs(60)),
        };
        for (headers, expected) in [
            (&[][..], Sharing::Private),
            (&[("cache-control", "public, max-age=60")], minute),
            (&[("cache-control", "max-age=5, s-maxage=60")], minute),
            (
                &[("cache-control", "max-age=60"), ("vary", "Accept-Encoding")],
                minute,
            ),
            (
                &[("cache-control", "max-age=60"), ("vary", "Cookie")],
                Sharing::Private,
            ),
            (
                &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
                Sharing::Private,
            ),
            (
                &[("cache-control", "max-age=60, private")],
                Sharing::Private,
            ),
            (
                &[
                    ("cache-control", "max-age=60"),
                    ("cache-control", "no-store"),
                ],
                Sharing::Private,
            ),
            (&[("cache-control", "max-age=0")], Sharing::Private),
            (&[("cache-control", "max-age=ten")], Sharing::Private),
        ] {
            assert_eq!(
                judged(200, headers, Implicit::Private),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn live_answers_are_shared_unless_forbidden() {
        assert_eq!(
            judged(200, &[], Implicit::Shared),
            Sharing::Shared { lifetime: None }
        );
        assert_eq!(
            judged(200, &[("cache-control", "no-store")], Implicit::Shared),
            Sharing::Private
        );
    }

    #[test]
    fn errors_are_never_shared_as_objects() {
        let hurry = Sharing::Failed {
            retry_after: Some(Duration::from_secs(1)),
        };
        assert_eq!(
            judged(503, &[("retry-after", "1")], Implicit::Shared),
            hurry
        );
        assert_eq!(
            judged(404, &[("cache-control", "max-age=600")], Implicit::Shared),
            Sharing::Refused
        );
        assert_eq!(judged(403, &[], Implicit::Shared), Sharing::Refused);
        // A foreign 404 may be meant for anonymous requests only.
        assert_eq!(judged(404, &[], Implicit::Private), Sharing::Private);
        assert_eq!(judged(302, &[], Implicit::Shared), Sharing::Private);
        assert_eq!(judged(206, &[], Implicit::Shared), Sharing::Private);
    }
}
