//! The first check of every request: a malformed, ambiguous or unsupported request is refused before any route.
//!
//! Pure: a request's head in, a verdict out. The answers are short errors, and the connection closes after them,
//! because after a malformed request it is unclear where the next one begins.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Uri, Version};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// CONNECT, TRACE, or a method that no route has.
    #[error("this method is not served here")]
    Method,
    /// No Host, more than one, or one that is no authority (RFC 9112, section 3.2).
    #[error("exactly one valid Host header is needed")]
    Host,
    /// A Transfer-Encoding other than `chunked`, or more than one (RFC 9112, section 6.1).
    #[error("the only transfer coding accepted is chunked")]
    TransferEncoding,
    /// The path holds a byte outside the alphabet or a dot segment, or it is not a path.
    #[error("the path is malformed")]
    Path,
    /// A request to change protocols.
    #[error("protocol upgrades are not served here")]
    Upgrade,
    /// An HTTP version other than 1.0 and 1.1.
    #[error("this HTTP version is not served here")]
    Version,
}

/// What happens to the connection after an accepted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// The connection may be kept alive.
    Keep,
    /// The connection closes after the answer. hyper drops a Content-Length beside Transfer-Encoding before the filter
    /// sees it, so a chunked request may be one half of a smuggled pair.
    Close,
}

impl Refusal {
    /// The status code of the answer.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::Method => http::StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => http::StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferEncoding => http::StatusCode::NOT_IMPLEMENTED,
            Self::Host | Self::Path | Self::Upgrade => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Judges the head of a request. `methods` are those that the routes know.
///
/// # Errors
/// Why it must be refused.
pub fn check(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    methods: &[Method],
) -> Result<Afterwards, Refusal> {
    if version != Version::HTTP_11 && version != Version::HTTP_10 {
        return Err(Refusal::Version);
    }
    if !methods.contains(method) {
        return Err(Refusal::Method);
    }
    if headers.contains_key(UPGRADE) {
        return Err(Refusal::Upgrade);
    }
    check_host(uri, version, headers)?;
    check_path(uri)?;
    check_transfer_encoding(headers)
}

fn check_host(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let Some(host) = first else {
        return if version == Version::HTTP_10 {
            Ok(())
        } else {
            Err(Refusal::Host)
        };
    };
    let valid = second.is_none() && is_authority(host.as_bytes());
    // The absolute form is served only when it names the same host as the header (RFC 9112, section 3.2.2).
    let agrees = uri.authority().is_none_or(|authority| {
        authority
            .as_str()
            .as_bytes()
            .eq_ignore_ascii_case(host.as_bytes())
    });
    if valid && agrees {
        Ok(())
    } else {
        Err(Refusal::Host)
    }
}

/// `host` or `host:port` (RFC 3986, section 3.2). The host is a name, an IPv4 address, or an IPv6 address in brackets.
/// A user is not allowed.
fn is_authority(text: &[u8]) -> bool {
    let (host, rest) = match text {
        [b'[', inside @ ..] => match inside.iter().position(|&byte| byte == b']') {
            Some(end) => (&inside[..end], &inside[end + 1..]),
            None => return false,
        },
        _ => text.split_at(
            text.iter()
                .position(|&byte| byte == b':')
                .unwrap_or(text.len()),
        ),
    };
    let in_brackets = text.first() == Some(&b'[');
    let host_fits = !host.is_empty()
        && host.iter().all(|&byte| match byte {
            b':' => in_brackets,
            b'/' | b'@' => false,
            _ => IN_PATHS[usize::from(byte)],
        });
    let port_fits = match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_fits && port_fits
}

/// The bytes that a path may hold unencoded: unreserved characters, sub-delimiters, `:`, `@` and the slash.
const IN_PATHS: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        allowed[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
                | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        );
        byte += 1;
    }
    allowed
};

/// A strict alphabet: the bytes in [`IN_PATHS`], and `%XX` of anything but control bytes, slashes, backslashes and
/// dots. Dot segments are refused. So a path has one spelling, here and at the origin.
fn check_path(uri: &Uri) -> Result<(), Refusal> {
    let path = uri.path().as_bytes();
    if path.first() != Some(&b'/') || path.len() > 2_048 {
        return Err(Refusal::Path);
    }
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        at += 1;
        if IN_PATHS[usize::from(byte)] {
            continue;
        }
        let decoded = path
            .get(at..at + 2)
            .filter(|_| byte == b'%')
            .and_then(|digits| Some(hex(digits[0])? << 4 | hex(digits[1])?));
        match decoded {
            Some(0..=0x1f | 0x7f | b'/' | b'\\' | b'.') | None => return Err(Refusal::Path),
            Some(_) => at += 2,
        }
    }
    let dotted = path
        .split(|&byte| byte == b'/')
        .any(|step| step == b"." || step == b"..");
    if dotted { Err(Refusal::Path) } else { Ok(()) }
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<Afterwards, Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(Afterwards::Keep),
        (Some(_), None) if headers.contains_key(CONTENT_LENGTH) => Err(Refusal::TransferEncoding),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Afterwards::Close)
        }
        _ => Err(Refusal::TransferEncoding),
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Afterwards, Refusal> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        check(
            &method,
            &target.parse().unwrap(),
            Version::HTTP_11,
            &map,
            &[Method::GET, Method::HEAD, Method::OPTIONS],
        )
    }

    const HOST_OK: (&str, &str) = ("host", "edge.example:8081");

    #[test]
    fn ordinary_requests_pass() {
        for target in [
            "/live/demo/main.m3u8",
            "/live/demo/720p/12.ts?session=1",
            "/a%20b",
            "http://edge.example:8081/x",
        ] {
            assert_eq!(
                judge(Method::GET, target, &[HOST_OK]),
                Ok(Afterwards::Keep),
                "{target}"
            );
        }
    }

    #[test]
    fn ambiguous_hosts_are_refused() {
        for hosts in [
            &[][..],
            &["a", "b"],
            &["a b"],
            &["user@edge"],
            &[""],
            &[":80"],
            &["a:b"],
            &["a:123456"],
            &["a/b"],
            &["[::1"],
            &["[::1]x"],
            &["[]"],
            &["::1"],
        ] {
            let headers: Vec<_> = hosts.iter().map(|&host| ("host", host)).collect();
            assert_eq!(
                judge(Method::GET, "/", &headers),
                Err(Refusal::Host),
                "{hosts:?}"
            );
        }
        assert_eq!(
            judge(Method::GET, "http://other/x", &[HOST_OK]),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn names_and_addresses_are_hosts() {
        for host in [
            "edge",
            "edge.example:8081",
            "127.0.0.1:1",
            "[::1]",
            "[2001:db8::1]:80",
            "a:",
        ] {
            assert_eq!(
                judge(Method::GET, "/", &[("host", host)]),
                Ok(Afterwards::Keep),
                "{host}"
            );
        }
    }

    #[test]
    fn paths_have_one_spelling() {
        for target in [
            "/a/../b",
            "/./a",
            "/a%2fb",
            "/%2e%2e/a",
            "/a%00",
            "/a%5cb",
            "/a%",
            "/a%zz",
            "/a{b}",
            "*",
        ] {
            assert_eq!(
                judge(Method::GET, target, &[HOST_OK]),
                Err(Refusal::Path),
                "{target}"
            );
        }
    }

    #[test]
    fn transfer_codings_are_chunked_or_refused() {
        let with = |value| judge(Method::GET, "/", &[HOST_OK, ("transfer-encoding", value)]);
        assert_eq!(with("chunked"), Ok(Afterwards::Close));
        assert_eq!(with("gzip, chunked"), Err(Refusal::TransferEncoding));
        assert_eq!(with("xchunked"), Err(Refusal::TransferEncoding));
        let both = [
            HOST_OK,
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
        ];
        assert_eq!(
            judge(Method::GET, "/", &both),
            Err(Refusal::TransferEncoding)
        );
    }

    #[test]
    fn other_methods_and_upgrades_are_refused() {
        for method in [Method::CONNECT, Method::TRACE, Method::DELETE] {
            assert_eq!(judge(method, "/", &[HOST_OK]), Err(Refusal::Method));
        }
        assert_eq!(
            judge(Method::GET, "/", &[HOST_OK, ("upgrade", "h2c")]),
            Err(Refusal::Upgrade)
        );
    }
}
