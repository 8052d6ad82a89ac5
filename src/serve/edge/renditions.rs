//! The newest playlist of each rendition that this edge has seen: what is newer, what comes next, which requests are
//! told.
//!
//! Performs [`crate::policy::rendition`]. A rendition is remembered as long as its playlists come. If there are too
//! many, the one whose newest playlist is oldest is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::policy::key::{Key, KeyRef};
use crate::policy::rendition::{Due, Fit, PlaylistFacts, Rendition, Sighting};
use crate::time::Timestamp;

/// Number of renditions that are remembered at once.
const MOST: usize = 4_096;

type Name = (Box<str>, Box<str>);

/// What an edge knows of its renditions.
#[derive(Debug, Default)]
pub(super) struct Renditions {
    known: Mutex<HashMap<Name, Known>>,
}

#[derive(Debug)]
struct Known {
    rendition: Rendition,
    newest: watch::Sender<PlaylistFacts>,
}

impl Renditions {
    /// A playlist has landed with this sighting. Returns how it compares with the newest one before, and when the next
    /// segment is due. All requests that wait for its news are told.
    pub(super) fn landed(
        &self,
        key: &Key,
        facts: PlaylistFacts,
        sighting: Sighting,
        now: Timestamp,
    ) -> (Fit, Due) {
        let first = Rendition::begin(facts, sighting, now);
        let nothing_new = Fit::Newer(None);
        let Some(name) = name_of(key.as_ref()) else {
            return (nothing_new, first.due());
        };
        let mut known = self.lock();
        if let Some(Known { rendition, newest }) = known.get_mut(&name) {
            let fit = rendition.saw(facts, sighting, now);
            if fit != Fit::Older {
                newest.send_replace(facts);
            }
            return (fit, rendition.due());
        }
        let newest = watch::channel(facts).0;
        let rendition = first;
        known.insert(name, Known { rendition, newest });
        if known.len() > MOST {
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| known.rendition.seen_at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                known.remove(&oldest);
            }
        }
        (nothing_new, first.due())
    }

    /// A fetch of a rendition's playlist has landed, well or not, and its result is stored. Requests that wait for news
    /// look again.
    pub(super) fn stored(&self, key: &Key) {
        let Some(name) = name_of(key.as_ref()) else {
            return;
        };
        if let Some(rendition) = self.lock().get(&name) {
            rendition.newest.send_modify(|_| ());
        }
    }

    /// Forgets the rendition of a key: its next playlist is the first.
    pub(super) fn forget(&self, key: KeyRef<'_>) {
        if let Some(name) = name_of(key) {
            self.lock().remove(&name);
        }
    }

    /// The newest playlist of the rendition that a key belongs to, in a receiver that gets its news.
    pub(super) fn newest(&self, key: KeyRef<'_>) -> Option<watch::Receiver<PlaylistFacts>> {
        let name = name_of(key)?;
        Some(self.lock().get(&name)?.newest.subscribe())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(key: KeyRef<'_>) -> Option<Name> {
    match key {
        KeyRef::Live {
            channel, rendition, ..
        } => Some((channel.into(), rendition.into())),
        KeyRef::Foreign { .. } => None,
    }
}
