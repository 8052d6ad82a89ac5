//! URL paths of likes.
//!
//! ```text
//! PUT DELETE  /live/{channel}/likes/{viewer}     like the channel, or no longer like it
//! POST        /live/{channel}/reactions          hearts
//! GET         /live/{channel}/counts             the counts; `newer_than=SEQ` waits until they are newer
//! GET         /live/{channel}/counts/stream      the counts whenever they change
//! POST        /-/likes/batch                     the batch of an edge: see [`super::forward`]
//! ```

use http::Method;

use super::operation::is_viewer;
use crate::hls::names::is_name;

/// The path to which edges send their batches.
pub const BATCH: &str = "/-/likes/batch";

/// A path of likes, borrowed from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikePath<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The resource of the channel.
    pub what: What<'a>,
}

/// The resource that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// One viewer's like.
    Like { viewer: &'a str },
    /// Hearts for the channel.
    Reactions,
    /// The counts of the channel.
    Counts,
    /// The counts of the channel as they change.
    Stream,
}

impl<'a> LikePath<'a> {
    /// Parses a path; `None` for a path that does not belong to likes.
    pub fn parse(path: &'a str) -> Option<Self> {
        let (channel, rest) = path.strip_prefix("/live/")?.split_once('/')?;
        let what = match rest.split_once('/') {
            None if rest == "reactions" => What::Reactions,
            None if rest == "counts" => What::Counts,
            Some(("counts", "stream")) => What::Stream,
            Some(("likes", viewer)) if is_viewer(viewer) => What::Like { viewer },
            _ => return None,
        };
        is_name(channel).then_some(Self { channel, what })
    }

    /// The likes path of a request, if it has one. A single like cannot be read: a GET or HEAD for such a path belongs
    /// to a rendition that is called `likes`.
    pub fn asked(method: &Method, path: &'a str) -> Option<Self> {
        let reads = method == Method::GET || method == Method::HEAD;
        Self::parse(path).filter(|path| !(reads && matches!(path.what, What::Like { .. })))
    }
}

impl What<'_> {
    /// The methods of this resource, in the form of `Allow`.
    pub const fn methods(self) -> &'static str {
        match self {
            Self::Like { .. } => "PUT, DELETE, OPTIONS",
            Self::Reactions => "POST, OPTIONS",
            Self::Counts | Self::Stream => "GET, HEAD, OPTIONS",
        }
    }
}

/// The value of a key in a query; the first if there are several.
pub fn in_query<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_likes_is_read_and_no_other() {
        for (path, what) in [
            ("/live/demo/likes/Ann.1", What::Like { viewer: "Ann.1" }),
            ("/live/demo/reactions", What::Reactions),
            ("/live/demo/counts", What::Counts),
            ("/live/demo/counts/stream", What::Stream),
        ] {
            let channel = "demo";
            assert_eq!(LikePath::parse(path), Some(LikePath { channel, what }));
        }
        for path in [
            "/live/demo/likes",
            "/live/demo/likes/",
            "/live/demo/likes/ann/x",
            "/live/demo/likes/a%20b",
            "/live/Demo/counts",
            "/live/demo/counts/",
            "/live/demo/main.m3u8",
            "/live/demo/720p/media.m3u8",
            "/live/demo/likes/7.ts/x",
            "/",
        ] {
            assert_eq!(LikePath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_query_gives_the_value_of_a_key() {
        assert_eq!(in_query("a=1&newer_than=17&b", "newer_than"), Some("17"));
        assert_eq!(in_query("xnewer_than=17", "newer_than"), None);
    }
}
