//! The latency that a cache adds: nothing for a hit, the whole fetch for a miss, and the rest of a fetch for a delayed hit.
//!
//! Hits and misses are counted, so their percentiles are exact. Those of delayed hits are exact to the microsecond up to a
//! quarter of a second, and to five digits above.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Steps of a distribution.
const STEPS: u64 = 100;

/// The waits of all requests.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    hits: u64,
    misses: u64,
    fetch: Duration,
    /// The waits of delayed hits, in microseconds.
    delayed: Histogram<u64>,
    delayed_nanos: u128,
    delayed_nanos_max: u64,
}

impl Waits {
    /// `fetch`: how long a fetch takes.
    pub(super) fn new(fetch: Duration) -> Self {
        let micros = u64::try_from(fetch.as_micros()).unwrap_or(u64::MAX / 2);
        let longest = micros.saturating_add(1).max(2);
        let delayed = Histogram::new_with_bounds(1, longest, 5);
        let delayed = delayed.expect("five digits from 1 to 2 or more are allowed");
        Self {
            hits: 0,
            misses: 0,
            fetch,
            delayed,
            delayed_nanos: 0,
            delayed_nanos_max: 0,
        }
    }

    pub(super) const fn hit(&mut self) {
        self.hits += 1;
    }

    pub(super) const fn miss(&mut self) {
        self.misses += 1;
    }

    /// A delayed hit that waits so long. No rest is longer than a fetch.
    pub(super) fn delayed(&mut self, rest: Duration) {
        let nanos = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        self.delayed_nanos += u128::from(nanos);
        self.delayed_nanos_max = self.delayed_nanos_max.max(nanos);
        self.delayed
            .saturating_record(nanos.saturating_add(500) / 1_000);
    }

    /// The mean of all requests, in nanoseconds; `None` without a request.
    pub(super) fn mean_nanos(&self) -> Option<f64> {
        mean(self.waited_nanos(), self.hits + self.waited())
    }

    /// The mean of those that waited: misses and delayed hits.
    pub(super) fn waited_mean_nanos(&self) -> Option<f64> {
        mean(self.waited_nanos(), self.waited())
    }

    /// The mean of delayed hits.
    pub(super) fn delayed_mean_nanos(&self) -> Option<f64> {
        mean(self.delayed_nanos, self.delayed.len())
    }

    /// The longest wait.
    pub(super) fn max_nanos(&self) -> Option<f64> {
        let fetch = self.fetch.as_nanos() as f64;
        match (self.misses, self.delayed.len(), self.hits) {
            (1.., _, _) => Some(fetch),
            (0, 1.., _) => Some(self.delayed_nanos_max as f64),
            (0, 0, 1..) => Some(0.0),
            (0, 0, 0) => None,
        }
    }

    /// The wait that `percent` of all requests do not exceed: the smallest one with so many at or below it.
    pub(super) fn percentile_nanos(&self, percent: u64) -> Option<f64> {
        let delayed = self.delayed.len();
        let all = u128::from(self.hits + self.misses + delayed);
        let rank = u64::try_from((all * u128::from(percent)).div_ceil(100)).unwrap_or(u64::MAX);
        let rank = rank.max(1);
        if all == 0 {
            return None;
        }
        if rank <= self.hits {
            return Some(0.0);
        }
        if rank > self.hits + delayed {
            return Some(self.fetch.as_nanos() as f64);
        }
        let mut below = 0;
        let found = self.delayed.iter_recorded().find(|step| {
            below += step.count_at_value();
            below >= rank - self.hits
        });
        let micros = found.map_or_else(|| self.delayed.max(), |step| step.value_iterated_to());
        let exact = self.delayed.lowest_equivalent(micros) as f64 * 1e3;
        Some(exact.min(self.delayed_nanos_max as f64))
    }

    /// The share of all requests that wait no longer than each hundredth of a fetch, as (nanoseconds, share): from no wait to a whole
    /// fetch. Empty without a request.
    pub(super) fn shares(&self) -> Vec<(f64, f64)> {
        let all = self.hits + self.waited();
        if all == 0 {
            return Vec::new();
        }
        let fetch_micros = u64::try_from(self.fetch.as_micros()).unwrap_or(u64::MAX);
        let mut counts = [0; STEPS as usize + 1];
        counts[0] = self.hits;
        for step in self.delayed.iter_recorded() {
            let micros = self.delayed.lowest_equivalent(step.value_iterated_to());
            let place =
                (u128::from(micros) * u128::from(STEPS)).div_ceil(fetch_micros.max(1).into());
            counts[place.min(STEPS.into()) as usize] += step.count_at_value();
        }
        counts[STEPS as usize] += self.misses;
        let mut within = 0;
        let shares = (0..=STEPS).zip(counts).map(|(step, count)| {
            within += count;
            let nanos = self.fetch.as_nanos() as f64 * step as f64 / STEPS as f64;
            (nanos, within as f64 / all as f64)
        });
        match self.fetch.is_zero() {
            true => vec![(0.0, 1.0)],
            false => shares.collect(),
        }
    }

    fn waited(&self) -> u64 {
        self.misses + self.delayed.len()
    }

    fn waited_nanos(&self) -> u128 {
        u128::from(self.misses) * self.fetch.as_nanos() + self.delayed_nanos
    }
}

fn mean(sum: u128, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    #[test]
    fn percentiles_are_exact_waits() {
        let mut waits = Waits::new(Duration::from_millis(50));
        (0..90).for_each(|_| waits.hit());
        for millis in [10, 20, 30, 40] {
            waits.delayed(Duration::from_millis(millis));
        }
        (0..6).for_each(|_| waits.miss());
        for (percent, millis) in [
            (0, 0.0),
            (50, 0.0),
            (90, 0.0),
            (91, 10.0),
            (92, 20.0),
            (94, 40.0),
            (95, 50.0),
            (100, 50.0),
        ] {
            assert_eq!(
                waits.percentile_nanos(percent),
                Some(millis * MS),
                "{percent}"
            );
        }
        assert_eq!(waits.mean_nanos(), Some(4.0 * MS));
        assert_eq!(waits.waited_mean_nanos(), Some(40.0 * MS));
        assert_eq!(waits.delayed_mean_nanos(), Some(25.0 * MS));
        assert_eq!(waits.max_nanos(), Some(50.0 * MS));
        let shares = waits.shares();
        assert_eq!(shares.len(), 101);
        for (step, share) in [
            (0, 0.9),
            (19, 0.9),
            (20, 0.91),
            (80, 0.94),
            (99, 0.94),
            (100, 1.0),
        ] {
            assert_eq!(shares[step], (step as f64 * 0.5 * MS, share));
        }
    }

    #[test]
    fn without_requests_nothing_is_known() {
        let waits = Waits::new(Duration::ZERO);
        assert_eq!(waits.percentile_nanos(50), None);
        assert_eq!((waits.mean_nanos(), waits.max_nanos()), (None, None));
        assert_eq!(waits.shares(), []);
    }

    #[test]
    fn a_fetch_of_no_time_adds_none() {
        let mut waits = Waits::new(Duration::ZERO);
        waits.miss();
        assert_eq!(
            (waits.percentile_nanos(99), waits.max_nanos()),
            (Some(0.0), Some(0.0))
        );
        assert_eq!(waits.shares(), [(0.0, 1.0)]);
    }
}
