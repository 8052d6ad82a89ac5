//! Heads of answers to viewers: which of the origin's headers are passed on, and what an edge adds to every object.

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AGE, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, VARY, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::policy::key::{Key, Kind};
use crate::serve::edge::upstream;
use crate::serve::http::content_type;

/// The headers of the origin that viewers get, with those that an edge adds to every object.
pub(in crate::serve::edge) fn viewer_headers(
    key: &Key,
    origin: &HeaderMap,
    via: &HeaderValue,
) -> HeaderMap {
    const FROM_LIVE: [HeaderName; 5] = [CONTENT_TYPE, CACHE_CONTROL, ETAG, LAST_MODIFIED, VIA];
    let mut headers = HeaderMap::with_capacity(16);
    match key {
        Key::Live { kind, .. } => {
            for name in FROM_LIVE {
                for value in origin.get_all(&name) {
                    headers.append(name.clone(), detached(value));
                }
            }
            // Most origins send exactly the expected type. The constant needs no reference count, which every hit would
            // touch.
            let expected = HeaderValue::from_static(content_type::of(*kind));
            if headers.get(CONTENT_TYPE).is_none_or(|own| own == expected) {
                headers.insert(CONTENT_TYPE, expected);
            }
            if matches!(kind, Kind::Multivariant | Kind::MediaPlaylist) {
                headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            insert_cors(&mut headers);
        }
        Key::Foreign { .. } => {
            headers.extend(origin.clone());
            for value in headers.values_mut() {
                *value = detached(value);
            }
            upstream::strip_hop_by_hop(&mut headers);
            for name in [
                CONTENT_LENGTH,
                DATE,
                AGE,
                HeaderName::from_static("cache-status"),
            ] {
                headers.remove(name);
            }
        }
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.append(VIA, via.clone());
    headers
}

/// The same value in memory of its own. hyper's value is a slice of a read buffer of up to 400 KB, and a stored object
/// would keep all of that buffer.
pub(in crate::serve::edge) fn detached(value: &HeaderValue) -> HeaderValue {
    let mut own = HeaderValue::from_bytes(value.as_bytes()).expect("it is a value already");
    own.set_sensitive(value.is_sensitive());
    own
}

/// Lets a player on any page read the stream and what the edge says of it.
pub(in crate::serve::edge) fn insert_cors(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Age, Cache-Status, Date, Retry-After, Server-Timing"),
    );
    headers.insert("timing-allow-origin", HeaderValue::from_static("*"));
}
