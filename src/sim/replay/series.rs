//! Requests over trace time, in a bounded number of buckets.
//!
//! A bucket begins as wide as a second. When time runs out of buckets, each pair becomes one of twice the width, so a trace of
//! days takes no more memory than one of minutes.

use crate::time::Timestamp;

/// Most buckets.
const BUCKETS_MAX: usize = 600;
const SECOND_NANOS: u64 = 1_000_000_000;

/// Requests that come in the order of time.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The whole second in which the first bucket begins.
    first_second: u64,
    width_s: u64,
    buckets: Vec<Bucket>,
    /// When the last bucket ends.
    until_nanos: u64,
}

/// Requests of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// All of them.
    pub(super) requests: u64,
    /// Those that went to the origin.
    pub(super) origin: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            first_second: 0,
            width_s: 1,
            buckets: Vec::with_capacity(BUCKETS_MAX),
            until_nanos: 0,
        }
    }
}

impl Series {
    /// Counts a request. `origin`: how many requests it sends to the origin.
    pub(super) fn count(&mut self, at: Timestamp, origin: u64) {
        if at.as_nanos() >= self.until_nanos {
            self.reach(at.as_nanos() / SECOND_NANOS);
        }
        if let Some(bucket) = self.buckets.last_mut() {
            bucket.requests += 1;
            bucket.origin += origin;
        }
    }

    /// The buckets, one after another without a gap.
    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The whole second in which the first bucket begins.
    pub(super) const fn first_second(&self) -> u64 {
        self.first_second
    }

    /// The width of a bucket.
    pub(super) const fn width_s(&self) -> u64 {
        self.width_s
    }

    /// The last bucket becomes the one that this second is in.
    fn reach(&mut self, second: u64) {
        if self.buckets.is_empty() {
            self.first_second = second;
        }
        let after = second - self.first_second;
        while after / self.width_s >= BUCKETS_MAX as u64 {
            self.widen();
        }
        let index = (after / self.width_s) as usize;
        self.buckets.resize(index + 1, Bucket::default());
        let until_s = self.first_second + (index as u64 + 1) * self.width_s;
        self.until_nanos = until_s.saturating_mul(SECOND_NANOS);
    }

    /// Each pair of buckets becomes one.
    fn widen(&mut self) {
        let pairs = self.buckets.len().div_ceil(2);
        for pair in 0..pairs {
            let of_pair = self.buckets.iter().skip(2 * pair).take(2);
            self.buckets[pair] = of_pair.fold(Bucket::default(), |sum, bucket| Bucket {
                requests: sum.requests + bucket.requests,
                origin: sum.origin + bucket.origin,
            });
        }
        self.buckets.truncate(pairs);
        self.width_s *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(seconds: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        for second in seconds {
            series.count(Timestamp::from_nanos(second * SECOND_NANOS), second % 2);
        }
        series
    }

    fn requests(series: &Series) -> Vec<u64> {
        let buckets = series.buckets().iter();
        buckets.map(|bucket| bucket.requests).collect()
    }

    #[test]
    fn seconds_without_a_request_are_empty() {
        let series = counted([70, 70, 73]);
        assert_eq!((series.first_second(), series.width_s()), (70, 1));
        assert_eq!(requests(&series), [2, 0, 0, 1]);
        let last = Bucket {
            requests: 1,
            origin: 1,
        };
        assert_eq!(series.buckets()[3], last);
    }

    #[test]
    fn full_buckets_become_half_as_many_of_twice_the_width() {
        let series = counted(5..605);
        assert_eq!((series.buckets().len(), series.width_s()), (600, 1));
        let series = counted(5..606);
        assert_eq!((series.buckets().len(), series.width_s()), (301, 2));
        assert_eq!(requests(&series)[299..], [2, 1]);
    }

    #[test]
    fn the_end_of_time_is_counted() {
        let mut series = counted([0]);
        for _ in 0..2 {
            series.count(Timestamp::from_nanos(u64::MAX), 1);
        }
        assert!(series.buckets().len() <= BUCKETS_MAX);
        assert_eq!(series.buckets().last().map(|bucket| bucket.origin), Some(2));
    }

    proptest! {
        #[test]
        fn a_request_is_in_the_bucket_of_its_second(
            first in 0_u64..100,
            gaps in prop::collection::vec((0_u32..20, 0_u64..3), 1..200),
        ) {
            let mut second = first;
            let seconds: Vec<_> = gaps
                .iter()
                .map(|&(bits, more)| {
                    second += (1 << bits) / 2 + more;
                    second
                })
                .collect();
            let series = counted(seconds.iter().copied());
            prop_assert!(series.buckets().len() <= BUCKETS_MAX);
            let mut expected = vec![0; series.buckets().len()];
            for second in &seconds {
                expected[((second - seconds[0]) / series.width_s()) as usize] += 1;
            }
            prop_assert_eq!(requests(&series), expected);
        }
    }
}
