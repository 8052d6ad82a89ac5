//! The live streams of a simulation: which segments exist at an instant, what a playlist lists, how many bytes a segment has.
//!
//! All streams keep the pace of one clock: segment n covers the UNIX span [n D, (n + 1) D), as in [`crate::hls::timeline`]. Here D
//! may be any duration.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::rendition::PlaylistFacts;
use crate::time::{Timestamp, UnixTime};
use crate::viewer::abr;
use crate::viewer::player::Listed;

/// Bytes of a playlist: what ten segments take, roughly.
pub const PLAYLIST_BYTES: u64 = 1_500;

/// What the streams have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Streams {
    /// Duration of a segment.
    pub segment: Duration,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// Segments that a playlist lists.
    pub window: u64,
    /// Segments that the origin keeps after they have left the playlist.
    pub kept: u64,
    /// What each rendition needs of a line, the lowest first.
    pub ladder: Vec<abr::Needs>,
    /// UNIX time at [`Timestamp::ZERO`].
    pub unix_at_zero: UnixTime,
}

impl Streams {
    /// Bytes of a segment of each rendition.
    pub fn bytes(&self) -> Vec<u64> {
        let segment_s = self.segment.as_secs_f64();
        let needs = self.ladder.iter();
        needs
            .map(|needs| (needs.average_bps as f64 * segment_s / 8.0) as u64)
            .collect()
    }
}

/// The pace of the broadcaster.
#[derive(Clone, Debug)]
pub struct Broadcast {
    streams: Streams,
    /// Since when nothing is published.
    stalled_since: Option<Timestamp>,
    /// How much the broadcaster's clock loses per second, and since when.
    drifts: Option<(Timestamp, f64)>,
    /// Playlists that were made lately, the newest last, by their newest segment.
    made: VecDeque<(u64, Arc<[Listed]>)>,
}

/// Playlists that are kept ready.
const MADE_MAX: usize = 32;

impl Broadcast {
    /// A broadcaster that keeps its pace.
    pub fn new(streams: Streams) -> Self {
        Self {
            streams,
            stalled_since: None,
            drifts: None,
            made: VecDeque::new(),
        }
    }

    /// What the streams have in common.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Nothing is published from now on.
    pub fn stall(&mut self, now: Timestamp) {
        self.stalled_since = Some(now);
    }

    /// The clock loses this share of a second per second from now on.
    pub fn drift(&mut self, now: Timestamp, share: f64) {
        self.drifts = Some((now, share));
    }

    /// The broadcaster keeps its pace again, and what it owes comes at once.
    pub fn recover(&mut self) {
        self.stalled_since = None;
        self.drifts = None;
    }

    /// Number of the newest segment at `now`.
    pub fn newest(&self, now: Timestamp) -> u64 {
        let now = self.stalled_since.map_or(now, |since| since.min(now));
        let late = self.drifts.map_or(Duration::ZERO, |(since, share)| {
            now.since(since).mul_f64(share)
        });
        let unix = self.streams.unix_at_zero + now.before(late).since(Timestamp::ZERO);
        (unix.as_nanos() / self.segment_nanos()).saturating_sub(1)
    }

    /// Whether the origin has this segment at `now`.
    pub fn has(&self, number: u64, now: Timestamp) -> bool {
        let newest = self.newest(now);
        number <= newest && newest - number < self.streams.window + self.streams.kept
    }

    /// What policy must know of the playlist whose newest segment is `last`.
    pub fn facts(&self, last: u64) -> PlaylistFacts {
        PlaylistFacts {
            first: (last + 1).saturating_sub(self.streams.window),
            last,
            target_duration: self.streams.target_duration,
            newest: self.streams.segment,
        }
    }

    /// The playlist whose newest segment is `last`, as players read it.
    pub fn listed(&mut self, last: u64) -> Arc<[Listed]> {
        let known = self.made.iter().rev().find(|(made, _)| *made == last);
        if let Some((_, listed)) = known {
            return listed.clone();
        }
        let listed: Arc<[Listed]> = (self.facts(last).first..=last)
            .map(|number| Listed {
                number,
                duration: self.streams.segment,
                begins_at: Some(UnixTime::from_nanos(
                    number.saturating_mul(self.segment_nanos()),
                )),
                gap: false,
            })
            .collect();
        if self.made.len() == MADE_MAX {
            self.made.pop_front();
        }
        self.made.push_back((last, listed.clone()));
        listed
    }

    fn segment_nanos(&self) -> u64 {
        (self.streams.segment.as_nanos() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn broadcast() -> Broadcast {
        Broadcast::new(Streams {
            segment: Duration::from_secs(2),
            target_duration: Duration::from_secs(2),
            window: 5,
            kept: 5,
            ladder: vec![abr::Needs {
                peak_bps: 1_100_000,
                average_bps: 1_000_000,
            }],
            unix_at_zero: UnixTime::from_millis(200_500),
        })
    }

    #[test]
    fn a_segment_is_there_when_its_span_has_passed() {
        let mut broadcast = broadcast();
        // At 200.5 s segment 100 is under way, until 202 s.
        assert_eq!(broadcast.newest(at(0)), 99);
        assert_eq!(broadcast.newest(at(1_499)), 99);
        assert_eq!(broadcast.newest(at(1_500)), 100);
        assert!(broadcast.has(91, at(1_500)) && !broadcast.has(90, at(1_500)));
        let listed = broadcast.listed(100);
        assert_eq!((listed[0].number, listed.len()), (96, 5));
        assert!(Arc::ptr_eq(&listed, &broadcast.listed(100)));
        assert_eq!(broadcast.streams().bytes(), [250_000]);
    }

    #[test]
    fn a_stalled_stream_stands_still_and_a_slow_clock_is_late() {
        let mut broadcast = broadcast();
        broadcast.stall(at(1_600));
        assert_eq!(broadcast.newest(at(60_000)), 100);
        broadcast.recover();
        assert_eq!(broadcast.newest(at(3_500)), 101);
        broadcast.drift(at(3_500), 0.5);
        assert_eq!(broadcast.newest(at(7_499)), 101);
        assert_eq!(broadcast.newest(at(7_500)), 102);
    }
}
