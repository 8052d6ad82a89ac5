//! One channel: the version of the live window that readers see (`LiveWindow`), and how a writer makes the next version.
//!
//! A version never changes. A writer copies it (the copy shares all bodies), adds a segment, moves the window forward,
//! and removes segments that have stayed long enough. Then it swaps the two versions. So a playlist and the segments
//! that it lists appear at the same instant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::description;
use super::document::Document;
use super::store_error::StoreError;
use crate::hls::playlist::{self, Window};
use crate::hls::steering::{self, Pathways};
use crate::hls::timeline::Channel;
use crate::policy::key::Kind;
use crate::time::{Timestamp, UnixTime};

/// Number of segments that may be published before our clock says that they are whole, because two clocks never agree.
const SEGMENTS_AHEAD_MAX: u64 = 2;

/// One channel.
#[derive(Debug)]
pub(super) struct OnAir {
    pub(super) channel: Channel,
    pub(super) description: Arc<Document>,
    multivariant: RwLock<Arc<Document>>,
    newest: prometheus::IntGauge,
    pub(super) schedule: Mutex<Schedule>,
    live: RwLock<Arc<LiveWindow>>,
}

/// State that only writers use.
#[derive(Debug)]
pub(super) struct Schedule {
    window: Window,
    /// Segments that left the window, and when each may be removed.
    leaving: BTreeMap<u64, Timestamp>,
}

/// The state that readers see: one version, which never changes.
#[derive(Clone, Debug)]
pub(super) struct LiveWindow {
    pub(super) newest: Option<u64>,
    pub(super) playlist: Option<Arc<Document>>,
    /// In the order of the ladder.
    pub(super) renditions: Vec<BTreeMap<u64, Arc<Document>>>,
}

/// The rendition's index in the ladder, and the segment's number.
pub(super) type SegmentId = (usize, u64);

fn multivariant(channel: &Channel, pathways: &Pathways) -> Arc<Document> {
    let text = playlist::multivariant(channel);
    let text = steering::with_pathways(&text, &channel.name, pathways);
    Arc::new(Document::text(Kind::Multivariant, text, 30))
}

impl OnAir {
    pub(super) fn new(
        channel: Channel,
        window: u64,
        newest: prometheus::IntGauge,
        pathways: &Pathways,
    ) -> Self {
        let description = description::text(&channel);
        let multivariant = multivariant(&channel, pathways);
        Self {
            description: Arc::new(Document::text(Kind::Other, description, 30)),
            multivariant: RwLock::new(multivariant),
            newest,
            schedule: Mutex::new(Schedule {
                window: Window::new(window),
                leaving: BTreeMap::new(),
            }),
            live: RwLock::new(Arc::new(LiveWindow {
                newest: None,
                playlist: None,
                renditions: vec![BTreeMap::new(); channel.layout.ladder.len()],
            })),
            channel,
        }
    }

    /// The multivariant playlist.
    pub(super) fn multivariant(&self) -> Arc<Document> {
        let multivariant = self
            .multivariant
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&multivariant)
    }

    /// The stream has other pathways from now on.
    pub(super) fn steer(&self, pathways: &Pathways) {
        let next = multivariant(&self.channel, pathways);
        *self
            .multivariant
            .write()
            .unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The version that readers see now.
    pub(super) fn live(&self) -> Arc<LiveWindow> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&live)
    }

    pub(super) fn index(&self, rendition: &str) -> Option<usize> {
        let ladder = &self.channel.layout.ladder;
        ladder.iter().position(|known| known.name == rendition)
    }

    pub(super) fn rendition(&self, index: usize) -> &str {
        &self.channel.layout.ladder[index].name
    }

    pub(super) fn unknown(&self, rendition: &str) -> StoreError {
        let ladder = &self.channel.layout.ladder;
        let known: Vec<_> = ladder.iter().map(|known| known.name.as_str()).collect();
        StoreError::UnknownRendition {
            channel: self.channel.name.clone(),
            rendition: rendition.to_owned(),
            known: known.join(", "),
        }
    }

    pub(super) fn check_number(
        &self,
        number: u64,
        window: u64,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let first = self.channel.first_number();
        let newest = self.channel.newest(now).unwrap_or(first);
        if number > newest.saturating_add(SEGMENTS_AHEAD_MAX) {
            return Err(StoreError::TooEarly { number, newest });
        }
        // Accept one more window of old segments, for a publisher that is behind and catching up.
        let oldest = newest.saturating_sub(window.saturating_mul(2)).max(first);
        if number < oldest {
            return Err(StoreError::TooOld { number, oldest });
        }
        Ok(())
    }

    /// Adds a segment to the next version, moves the window forward, removes segments that have stayed long enough, and
    /// swaps the versions. Returns the removed segments.
    pub(super) fn place(
        &self,
        schedule: &mut Schedule,
        (index, number): SegmentId,
        document: Arc<Document>,
        now: Timestamp,
    ) -> Vec<SegmentId> {
        let mut live = LiveWindow::clone(&self.live());
        live.renditions[index].insert(number, document);
        let complete = live
            .renditions
            .iter()
            .all(|kept| kept.contains_key(&number));
        if complete && schedule.window.append(number) {
            // Half a target duration: a player that polls once per target duration never gets the same version three
            // times.
            let max_age_s = self.channel.layout.target_duration_s().div_ceil(2).max(1);
            let text = playlist::media(&self.channel, &schedule.window);
            live.playlist =
                text.map(|text| Arc::new(Document::text(Kind::MediaPlaylist, text, max_age_s)));
            live.newest = Some(number);
            self.newest.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
        let removed = live.retire(schedule, number, self.stay(&schedule.window), now);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        removed
    }

    /// How long a segment stays after it is no longer listed: its own duration plus that of the longest playlist.
    fn stay(&self, window: &Window) -> Duration {
        let segments = u32::try_from(window.length() + 1).unwrap_or(u32::MAX);
        self.channel.layout.segment_duration() * segments
    }
}

impl LiveWindow {
    /// Removes segments that stayed for `stay` after they left the window, and segments that were never listed and are
    /// much too late.
    fn retire(
        &mut self,
        schedule: &mut Schedule,
        published: u64,
        stay: Duration,
        now: Timestamp,
    ) -> Vec<SegmentId> {
        let Schedule { window, leaving } = schedule;
        let listed_from = window.numbers().map_or(0, |numbers| *numbers.start());
        // Numbers beyond the newest listed number still lack a rendition.
        let hopeless = published.saturating_sub(2 * window.length() as u64 + 1);
        let mut removed = Vec::new();
        for (index, kept) in self.renditions.iter().enumerate() {
            for &number in kept.keys() {
                let pending = window.newest().is_none_or(|newest| number > newest);
                let due = if number < listed_from {
                    *leaving.entry(number).or_insert(now + stay) <= now
                } else {
                    pending && number < hopeless
                };
                if due {
                    removed.push((index, number));
                }
            }
        }
        for (index, number) in &removed {
            self.renditions[*index].remove(number);
        }
        leaving.retain(|_, leaves_at| *leaves_at > now);
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;

    const WINDOW: u64 = 3;

    fn on_air() -> OnAir {
        let mut layout = Layout::default();
        layout.ladder.truncate(2);
        let channel = Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout,
            started_at: UnixTime::from_millis(0),
        };
        let gauge = prometheus::IntGauge::new("newest", "Newest.").unwrap();
        OnAir::new(channel, WINDOW, gauge, &Pathways::default())
    }

    fn document() -> Arc<Document> {
        Arc::new(Document::segment(bytes::Bytes::from_static(b"any")))
    }

    #[test]
    fn a_segment_leaves_when_the_longest_playlist_that_listed_it_has_passed() {
        let on_air = on_air();
        let duration = on_air.channel.layout.segment_duration();
        let mut schedule = on_air.schedule.lock().unwrap();
        let mut publish = |number: u64| {
            let now = Timestamp::ZERO + duration * u32::try_from(number).unwrap();
            let mut removed = on_air.place(&mut schedule, (0, number), document(), now);
            removed.extend(on_air.place(&mut schedule, (1, number), document(), now));
            removed
        };
        for number in 100..107 {
            assert_eq!(publish(number), [], "{number}");
        }
        // 100 left the playlist when 103 came. Four segments later it is removed in both renditions.
        assert_eq!(publish(107), [(0, 100), (1, 100)]);
        assert_eq!(publish(108), [(0, 101), (1, 101)]);
        assert_eq!(on_air.live().renditions[0].len() as u64, 2 * WINDOW + 1);
    }

    #[test]
    fn however_far_the_numbers_jump_what_was_listed_stays_for_its_time() {
        let on_air = on_air();
        let mut schedule = on_air.schedule.lock().unwrap();
        let mut publish = |number, now| {
            let mut removed = on_air.place(&mut schedule, (0, number), document(), now);
            removed.extend(on_air.place(&mut schedule, (1, number), document(), now));
            removed.len()
        };
        for number in 100..103 {
            publish(number, Timestamp::ZERO);
        }
        let stay = on_air.channel.layout.segment_duration() * 4;
        let nearly = Timestamp::ZERO + (stay - Duration::from_nanos(1));
        assert_eq!(publish(5_000, Timestamp::ZERO), 0);
        assert_eq!(publish(5_001, nearly), 0);
        assert_eq!(publish(5_002, Timestamp::ZERO + stay), 6);
    }

    #[test]
    fn numbers_that_a_rendition_never_gets_do_not_pile_up() {
        let on_air = on_air();
        let mut schedule = on_air.schedule.lock().unwrap();
        for number in 100..200 {
            on_air.place(&mut schedule, (0, number), document(), Timestamp::ZERO);
        }
        assert_eq!(on_air.live().renditions[0].len() as u64, 2 * WINDOW + 2);
        assert!(on_air.live().playlist.is_none());
    }
}
