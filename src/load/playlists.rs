//! Playlists that were read already: viewers of one rendition get the same text again and again, and it is read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::hls::reader::{self, MediaFacts};
use crate::viewer::player::Listed;

/// A media playlist as it came and as it was read.
#[derive(Debug)]
pub(super) struct Read {
    base: String,
    text: Vec<u8>,
    pub(super) facts: MediaFacts,
    /// The same segments as players know them.
    pub(super) listed: Arc<[Listed]>,
}

/// Texts per rendition that are remembered: the newest of each edge, more or less.
const KEPT_MAX: usize = 8;

/// The media playlists that were read last, by the log's index of their rendition.
#[derive(Debug, Default)]
pub(super) struct Playlists {
    kept: Mutex<HashMap<u32, Vec<Arc<Read>>>>,
}

impl Playlists {
    /// What the text says that came from `base`; `None` if it cannot be read, or is not as `holds` wants it.
    pub(super) fn read(
        &self,
        rendition: u32,
        base: &str,
        text: &[u8],
        holds: impl Fn(&MediaFacts) -> bool,
    ) -> Option<Arc<Read>> {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        let of_rendition = kept.entry(rendition).or_default();
        if let Some(known) = of_rendition
            .iter()
            .rev()
            .find(|known| known.text == text && known.base == base)
        {
            return Some(known.clone());
        }
        let facts = reader::media(base, text)
            .ok()
            .filter(|facts| holds(facts))?;
        let listed = facts.listed.iter().map(|segment| Listed {
            number: segment.number,
            duration: segment.duration,
            begins_at: segment.begins_at,
        });
        let read = Arc::new(Read {
            base: base.to_owned(),
            text: text.to_owned(),
            listed: listed.collect(),
            facts,
        });
        if of_rendition.len() >= KEPT_MAX {
            of_rendition.remove(0);
        }
        of_rendition.push(read.clone());
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_read_once_and_a_bad_one_is_not_kept() {
        let playlists = Playlists::default();
        let text = |number: u64| {
            format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{number}\n#EXTINF:2,\n{number}.ts\n"
            )
        };
        let read = |number| playlists.read(0, "/a/b.m3u8", text(number).as_bytes(), |_| true);
        let first = read(7).unwrap();
        assert!(Arc::ptr_eq(&first, &read(7).unwrap()));
        assert_eq!(first.listed[0].number, 7);
        for number in 8..8 + KEPT_MAX as u64 {
            read(number).unwrap();
        }
        assert!(!Arc::ptr_eq(&first, &read(7).unwrap()), "memory is bounded");
        let refused = playlists.read(1, "/a/b.m3u8", text(7).as_bytes(), |_| false);
        assert!(refused.is_none());
        assert!(
            playlists
                .read(1, "/a/b.m3u8", b"<html>", |_| true)
                .is_none()
        );
    }
}
