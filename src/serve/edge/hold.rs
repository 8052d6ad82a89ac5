//! Fetches that wait for a segment which is about to be there: listed and not yet published, or next.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::Edge;
use super::fetch::Ask;
use crate::policy::key::{Key, Kind};
use crate::policy::rendition::{Absence, PlaylistFacts};
use crate::policy::status::MissQueue;
use crate::time::Timestamp;

/// A fetch that waits for a segment which is about to be there; dropping it gives its place among the held ones back.
pub(super) struct Hold<'a> {
    held: &'a AtomicUsize,
    news: watch::Receiver<PlaylistFacts>,
    number: u64,
    edge: &'a Edge,
    until: Timestamp,
}

impl<'a> Hold<'a> {
    /// `None` where nothing is known that would be worth waiting for, or too many are held already.
    pub(super) fn begin(edge: &'a Edge, key: &Key, ask: &Ask) -> Option<Self> {
        let Key::Live {
            kind: Kind::Segment,
            number,
            ..
        } = *key
        else {
            return None;
        };
        if edge.miss_queue != MissQueue::Flights {
            return None;
        }
        let news = edge.renditions.newest(key.as_ref())?;
        let newest = *news.borrow();
        if !newest.absence_of(number).is_held() {
            return None;
        }
        // A cache that asks waits for a head as long as we would; it holds by itself what takes longer.
        let longest = if ask.came_through.is_some() {
            edge.limits().first_byte / 2
        } else {
            edge.limits().total / 2
        };
        let hold = Self {
            held: &edge.held,
            news,
            number,
            edge,
            until: edge.clock.now() + newest.target_duration.min(longest),
        };
        let before = edge.held.fetch_add(1, Ordering::Relaxed);
        (before < edge.limits().held_max && !crowded(edge)).then_some(hold)
    }

    /// Waits until the segment is listed, or a while; `false` once it has been held for long enough.
    pub(super) async fn until_it_may_be_there(&mut self) -> bool {
        let now = self.edge.clock.now();
        if now >= self.until || crowded(self.edge) {
            return false;
        }
        let newest = *self.news.borrow();
        let listed = newest.absence_of(self.number) == Absence::Listed;
        // Listed and not there: it comes any moment. Not listed yet: a playlist will tell, unless nobody asks for one.
        let pause = newest.target_duration / if listed { 8 } else { 2 };
        let pause = pause.min(self.until.since(now));
        let number = self.number;
        if listed {
            tokio::time::sleep(pause).await;
        } else {
            let told = self
                .news
                .wait_for(|newest| newest.absence_of(number) != Absence::Next);
            if let Ok(Err(_)) = tokio::time::timeout(pause, told).await {
                // The rendition is not remembered any more: nothing will be told.
                return false;
            }
        }
        self.news.borrow().absence_of(number).is_held()
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether half of all places for waiters are taken: then nobody is held, so that plain requests find room.
fn crowded(edge: &Edge) -> bool {
    edge.waiters() > edge.limits().waiters_max / 2
}
