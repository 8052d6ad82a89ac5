//! Where a player goes by content steering, as hls.js 1.7.4 does (`ContentSteeringController`): to the first place of the manifest
//! that has not failed lately.
//!
//! Places are numbered from the player's own: 0 is the edge that it has come to.

use std::time::Duration;

use crate::time::Timestamp;

/// A place that has failed is avoided for this long (`PATHWAY_PENALTY_DURATION_MS`).
const PENALTY: Duration = Duration::from_secs(300);

/// What a player knows about pathways.
#[derive(Clone, Debug)]
pub(super) struct Steering {
    /// When the manifest is to be loaded.
    pub(super) due: Timestamp,
    ttl: Duration,
    /// The preferred first.
    order: Vec<u32>,
    /// Places that have failed, and when they may be tried again.
    penalties: Vec<(u32, Timestamp)>,
}

impl Steering {
    /// Before the first manifest a player knows its own place alone.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            due: now,
            ttl: Duration::from_secs(300),
            order: Vec::new(),
            penalties: Vec::new(),
        }
    }

    /// A manifest came.
    pub(super) fn on_manifest(&mut self, now: Timestamp, ttl: Duration, order: &[u32]) {
        self.ttl = ttl;
        self.due = now + ttl;
        self.order = order.to_vec();
    }

    /// No manifest came: the last one holds on.
    pub(super) fn on_failure(&mut self, now: Timestamp) {
        self.due = now + self.ttl;
    }

    /// A place has failed. Returns where to go now; `None` if there is no other place.
    pub(super) fn leave(&mut self, now: Timestamp, place: u32) -> Option<u32> {
        self.penalties.retain(|(known, _)| *known != place);
        self.penalties.push((place, now + PENALTY));
        self.preferred(now).filter(|&other| other != place)
    }

    /// The place that is preferred now; `None` before the first manifest, or if all have failed.
    pub(super) fn preferred(&self, now: Timestamp) -> Option<u32> {
        let is_free = |place: &u32| {
            let penalty = self.penalties.iter().find(|(known, _)| known == place);
            penalty.is_none_or(|(_, until)| *until <= now)
        };
        self.order.iter().copied().find(is_free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_fails_is_avoided_until_its_penalty_is_over() {
        let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
        let mut steering = Steering::new(at(0));
        assert_eq!(steering.leave(at(0), 0), None, "no manifest yet");
        steering.on_manifest(at(1), Duration::from_secs(10), &[0, 2, 1]);
        assert_eq!(steering.due, at(11));
        assert_eq!(steering.preferred(at(1)), Some(2));
        assert_eq!(steering.leave(at(20), 2), Some(1));
        assert_eq!(steering.leave(at(30), 1), None, "all have failed");
        steering.on_failure(at(40));
        assert_eq!(steering.due, at(50));
        assert_eq!(steering.preferred(at(300)), Some(0));
    }
}
