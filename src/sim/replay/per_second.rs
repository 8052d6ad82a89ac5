//! Counts events in seconds of trace time, and keeps the fullest second. A second begins where the trace's time is a whole
//! number of seconds.

use crate::time::Timestamp;

const SECOND_NANOS: u64 = 1_000_000_000;

/// Events that come in the order of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerSecond {
    second: u64,
    count: u64,
    most: Option<(u64, u64)>,
}

impl PerSecond {
    pub(super) fn count(&mut self, at: Timestamp) {
        let second = at.as_nanos() / SECOND_NANOS;
        if second != self.second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        if self.most.is_none_or(|(most, _)| self.count > most) {
            self.most = Some((self.count, second));
        }
    }

    /// The most events in one second, and the first second that had so many.
    pub(super) const fn most(&self) -> Option<(u64, u64)> {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_begin_at_whole_seconds() {
        let mut events = PerSecond::default();
        assert_eq!(events.most(), None);
        // Three within one second of time, but only two of them within one whole second.
        for millis in [7_500, 7_900, 8_100, 9_000, 9_999, 10_000] {
            events.count(Timestamp::from_nanos(millis * 1_000_000));
        }
        assert_eq!(events.most(), Some((2, 7)));
    }
}
