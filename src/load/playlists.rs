//! Playlists that were parsed before: viewers of one stream get the same text again and again, and each text is parsed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::offered::Offered;
use crate::hls::reader::MediaFacts;
use crate::viewer::abr::Needs;
use crate::viewer::player::Listed;

/// The content of the playlists that were parsed last.
#[derive(Debug, Default)]
pub(super) struct Playlists {
    /// By channel.
    pub(super) multivariant: Texts<Multivariant>,
    /// By the log's index of their rendition.
    pub(super) media: Texts<Media>,
}

/// A multivariant playlist.
#[derive(Debug, Default)]
pub(super) struct Multivariant {
    /// The renditions in the order in which players number them.
    pub(super) offered: Vec<Offered>,
    /// The bit rates that each rendition needs.
    pub(super) needs: Arc<[Needs]>,
    /// Whether it names a steering manifest.
    pub(super) steers: bool,
}

impl Multivariant {
    /// What a playlist offers; `None` if that is nothing.
    pub(super) fn of(offered: Vec<Offered>, steers: bool) -> Option<Self> {
        if offered.is_empty() {
            return None;
        }
        let needs = offered.iter().map(|offered| Needs {
            peak_bps: offered.bandwidth_bps,
            average_bps: offered.average_bps,
        });
        Some(Self {
            needs: needs.collect(),
            offered,
            steers,
        })
    }
}

/// A media playlist.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) facts: MediaFacts,
    /// The same segments in the player's form.
    pub(super) listed: Arc<[Listed]>,
}

impl From<MediaFacts> for Media {
    fn from(facts: MediaFacts) -> Self {
        let listed = facts.listed.iter().map(|segment| Listed {
            number: segment.number,
            duration: segment.duration,
            begins_at: segment.begins_at,
            gap: segment.gap,
        });
        Self {
            listed: listed.collect(),
            facts,
        }
    }
}

/// Texts that are remembered per playlist: about one, the newest, for each edge.
const KEPT_MAX: usize = 8;

/// The texts of many playlists that were parsed last, and their content.
#[derive(Debug)]
pub(super) struct Texts<T> {
    kept: Mutex<HashMap<u32, Vec<Known<T>>>>,
}

#[derive(Debug)]
struct Known<T> {
    base: String,
    text: Vec<u8>,
    says: Arc<T>,
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
        }
    }
}

impl<T> Texts<T> {
    /// The content of this text of the playlist with this index, resolved against `base`. `read` parses the text if it is not
    /// known yet. A text that cannot be parsed is not kept.
    pub(super) fn says(
        &self,
        index: u32,
        base: &str,
        text: &[u8],
        read: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        let known = kept.entry(index).or_default();
        let mut newest_first = known.iter().rev();
        if let Some(known) = newest_first.find(|known| known.text == text && known.base == base) {
            return Some(known.says.clone());
        }
        let says = Arc::new(read()?);
        if known.len() >= KEPT_MAX {
            known.remove(0);
        }
        known.push(Known {
            base: base.to_owned(),
            text: text.to_owned(),
            says: says.clone(),
        });
        Some(says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_read_once_and_a_bad_one_is_not_kept() {
        let texts = Texts::default();
        let reads = std::cell::Cell::new(0);
        let read = |index, base, number: usize| {
            texts.says(index, base, number.to_string().as_bytes(), || {
                reads.set(reads.get() + 1);
                Some(number).filter(|number| *number != 13)
            })
        };
        let first = read(0, "/a", 7).unwrap();
        assert_eq!(*first, 7);
        assert!(Arc::ptr_eq(&first, &read(0, "/a", 7).unwrap()));
        assert_eq!(reads.get(), 1);
        // The same text may mean something else for another playlist or at another base.
        assert!(!Arc::ptr_eq(&first, &read(1, "/a", 7).unwrap()));
        assert!(!Arc::ptr_eq(&first, &read(0, "/b", 7).unwrap()));
        assert_eq!((read(0, "/a", 13), read(0, "/a", 13)), (None, None));
        assert_eq!(reads.get(), 5, "it is tried again each time");
        for number in 100..100 + KEPT_MAX {
            read(0, "/a", number).unwrap();
        }
        assert!(
            !Arc::ptr_eq(&first, &read(0, "/a", 7).unwrap()),
            "memory is bounded"
        );
    }
}
