//! An object that the origin serves: bytes, made and hashed once, with the header values of its answers.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;

use crate::policy::key::Kind;

/// One sequence of bytes and its strong entity tag (RFC 9110, section 8.8.3).
#[derive(Clone, Debug)]
pub struct Representation {
    /// The body.
    pub body: Bytes,
    /// Changes with any byte of the body. The same bytes have the same tag on every origin of this build, also after a
    /// restart.
    pub etag: HeaderValue,
}

impl Representation {
    /// Hashes `body` once.
    pub fn new(body: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&body);
        let etag = format!("\"{:x}-{:016x}\"", body.len(), hasher.finish());
        Self {
            body,
            etag: HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes"),
        }
    }
}

/// An object as the origin keeps it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The kind of object.
    pub kind: Kind,
    /// The uncompressed bytes.
    pub plain: Representation,
    /// The compressed bytes, for clients that accept them. Only text is compressed.
    pub gzip: Option<Representation>,
    /// How long caches may keep the object.
    pub cache_control: HeaderValue,
}

impl Document {
    /// A text that caches may keep for `max_age_s` seconds. It is compressed once, here.
    pub fn text(kind: Kind, text: String, max_age_s: u32) -> Self {
        let cache_control = format!("public, max-age={max_age_s}");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder
            .write_all(text.as_bytes())
            .and_then(|()| encoder.finish())
            .expect("writing into memory cannot fail");
        Self {
            kind,
            plain: Representation::new(text.into()),
            gzip: Some(Representation::new(gzip.into())),
            cache_control: cache_control.parse().expect("plain ASCII"),
        }
    }

    /// A segment.
    pub fn segment(body: Bytes) -> Self {
        Self {
            kind: Kind::Segment,
            plain: Representation::new(body),
            gzip: None,
            cache_control: HeaderValue::from_static("public, max-age=31536000, immutable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_compressed_text_is_the_text_and_has_a_tag_of_its_own() {
        let document = Document::text(Kind::MediaPlaylist, "#EXTM3U\n".repeat(9), 1);
        let gzip = document.gzip.unwrap();
        let mut read = String::new();
        flate2::read::GzDecoder::new(&gzip.body[..])
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read.as_bytes(), &document.plain.body[..]);
        assert_ne!(gzip.etag, document.plain.etag);
    }

    #[test]
    fn a_tag_is_a_function_of_the_bytes() {
        let tag = |bytes: &'static [u8]| Representation::new(Bytes::from_static(bytes)).etag;
        assert_eq!(tag(b"one"), tag(b"one"));
        assert_ne!(tag(b"one"), tag(b"onf"));
    }
}
