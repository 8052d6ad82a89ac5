//! A player whose connection carries less than its rendition needs: when it first stalls, and for which share of its
//! time.
//!
//! A fluid model: media arrives at C/B times real time and plays at real time. The real player stalls up to one segment
//! sooner, because it can only play a segment once it is whole.

use std::time::Duration;

/// A player of one rendition on a connection of fixed bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// C: throughput in bits per second.
    pub throughput_bps: f64,
    /// B: bitrate of the rendition in bits per second; above 0.
    pub bitrate_bps: f64,
}

impl Line {
    /// Time until a player with `buffered` media ahead of its playhead first stalls: b / (1 - C/B). `None` if the
    /// connection suffices.
    pub fn first_stall(&self, buffered: Duration) -> Option<Duration> {
        let starving = self.stall_ratio();
        let after_s = buffered.as_secs_f64() / starving;
        (starving > 0.0).then(|| Duration::try_from_secs_f64(after_s).unwrap_or(Duration::MAX))
    }

    /// Share of time that the player stalls after that: 1 - C/B, or 0 if the connection suffices.
    pub fn stall_ratio(&self) -> f64 {
        (1.0 - self.throughput_bps / self.bitrate_bps).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::close;
    use super::*;

    const SHORT: Line = Line {
        throughput_bps: 600_000.0,
        bitrate_bps: 800_000.0,
    };

    #[test]
    fn three_quarters_of_what_is_needed_stall_a_quarter_of_the_time() {
        close(SHORT.stall_ratio(), 0.25, 1e-12);
        let first = SHORT.first_stall(Duration::from_secs(6));
        assert_eq!(first, Some(Duration::from_secs(24)));
    }

    #[test]
    fn a_line_that_suffices_never_stalls() {
        for throughput_bps in [800_000.0, 6e6] {
            let line = Line {
                throughput_bps,
                ..SHORT
            };
            assert_eq!(line.first_stall(Duration::ZERO), None);
            close(line.stall_ratio(), 0.0, 0.0);
        }
    }

    #[test]
    fn no_line_at_all_stalls_when_the_buffer_is_played() {
        let cut = Line {
            throughput_bps: 0.0,
            ..SHORT
        };
        let buffered = Duration::from_secs(6);
        assert_eq!(cut.first_stall(buffered), Some(buffered));
        close(cut.stall_ratio(), 1.0, 0.0);
    }

    #[test]
    fn a_player_of_short_segments_stalls_at_that_time_and_as_much() {
        // Segments of a hundredth of a second. Each takes B/C times as long to arrive.
        let (segment_s, comes_every_s) = (0.01, 0.01 / 0.75);
        let (mut level_s, mut stalled_s, mut first_s) = (6.0_f64, 0.0, None);
        const SEGMENTS: u32 = 20_000;
        for count in 1..=SEGMENTS {
            let missing_s = comes_every_s - level_s;
            if missing_s > 0.0 {
                stalled_s += missing_s;
                first_s.get_or_insert(f64::from(count) * comes_every_s);
            }
            level_s = (level_s - comes_every_s).max(0.0) + segment_s;
        }
        let first_s = first_s.expect("the line is too slow");
        close(first_s, 24.0, 0.05);
        let whole_s = f64::from(SEGMENTS) * comes_every_s;
        close(stalled_s / (whole_s - first_s), SHORT.stall_ratio(), 1e-3);
    }
}
