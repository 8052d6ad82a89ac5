//! At which edge each viewer watches, so that likes are sent to the same edge.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::viewer::audience::Visit;

/// The edge of each viewer.
pub(super) struct Whereabouts(Vec<AtomicU32>);

impl Whereabouts {
    pub(super) fn of(visits: &[Visit]) -> Self {
        let viewers = visits.iter().map(|visit| visit.viewer + 1).max();
        let viewers = (0..viewers.unwrap_or(0)).map(|_| AtomicU32::new(0));
        let whereabouts = Self(viewers.collect());
        visits
            .iter()
            .for_each(|visit| whereabouts.went(visit.viewer, visit.edge));
        whereabouts
    }

    pub(super) fn went(&self, viewer: u32, edge: u32) {
        self.0[viewer as usize].store(edge, Ordering::Relaxed);
    }

    pub(super) fn edge(&self, viewer: u32) -> usize {
        self.0[viewer as usize].load(Ordering::Relaxed) as usize
    }
}
