//! A link that all transfers share fairly: each of n transfers gets an n-th of the bandwidth.
//!
//! Processor sharing with a virtual finish time. The virtual clock counts the bytes that each transfer under way has moved since
//! the link began. A transfer of b bytes that begins at virtual time v is over at v + b, however many come and go meanwhile.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::time::Timestamp;

/// A link, and the transfers under way. `T` names a transfer.
#[derive(Clone, Debug)]
pub struct Link<T> {
    /// Bytes per second.
    rate: f64,
    /// Bytes that a transfer has moved that began with the link.
    moved: f64,
    /// When `moved` was right.
    at: Timestamp,
    under_way: BinaryHeap<Reverse<Transfer<T>>>,
    began: u64,
}

#[derive(Clone, Debug)]
struct Transfer<T> {
    /// The virtual time at which it is over.
    ends: f64,
    number: u64,
    what: T,
}

impl<T> Transfer<T> {
    fn key(&self) -> (f64, u64) {
        (self.ends, self.number)
    }
}

impl<T> PartialEq for Transfer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Transfer<T> {}

impl<T> PartialOrd for Transfer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Transfer<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let ((ends, number), (other_ends, other_number)) = (self.key(), other.key());
        ends.total_cmp(&other_ends).then(number.cmp(&other_number))
    }
}

impl<T> Link<T> {
    /// A link of this many bits per second.
    pub fn new(bandwidth_bps: u64) -> Self {
        Self {
            rate: (bandwidth_bps.max(1) as f64) / 8.0,
            moved: 0.0,
            at: Timestamp::ZERO,
            under_way: BinaryHeap::new(),
            began: 0,
        }
    }

    /// A transfer begins.
    pub fn begin(&mut self, now: Timestamp, bytes: u64, what: T) {
        self.advance(now);
        let transfer = Transfer {
            ends: self.moved + bytes as f64,
            number: self.began,
            what,
        };
        self.began += 1;
        self.under_way.push(Reverse(transfer));
    }

    /// When the next transfer is over, if none begins before; `None` if none is under way.
    pub fn next_end(&self) -> Option<Timestamp> {
        let Reverse(next) = self.under_way.peek()?;
        let left = (next.ends - self.moved).max(0.0) * self.under_way.len() as f64 / self.rate;
        // Rounded up, so that the transfer is over by then.
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        Some(self.at + left + Duration::from_nanos(1))
    }

    /// Takes a transfer that is over by now.
    pub fn take_ended(&mut self, now: Timestamp) -> Option<T> {
        self.advance(now);
        /// What rounding may leave of a transfer.
        const NOTHING: f64 = 0.01;
        let Reverse(next) = self.under_way.peek()?;
        if next.ends > self.moved + NOTHING {
            return None;
        }
        self.under_way.pop().map(|Reverse(ended)| ended.what)
    }

    /// Takes the transfers that are broken off.
    pub fn break_off(&mut self, now: Timestamp, is_one: impl Fn(&T) -> bool) {
        self.advance(now);
        self.under_way
            .retain(|Reverse(transfer)| !is_one(&transfer.what));
    }

    fn advance(&mut self, now: Timestamp) {
        let span = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        match self.under_way.len() {
            // An idle link begins anew, so that the virtual clock stays exact.
            0 => self.moved = 0.0,
            transfers => self.moved += span * self.rate / transfers as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn transfers_share_the_link_and_each_ends_when_its_bytes_have_moved() {
        // 1,000 bytes take 8 ms alone.
        let mut link = Link::new(1_000_000);
        assert_eq!(link.next_end(), None);
        link.begin(at(0), 1_000, "first");
        // The second begins when half of the first is through: both go at half the pace.
        link.begin(at(4), 1_000, "second");
        let mut ended = Vec::new();
        while let Some(end) = link.next_end() {
            while let Some(what) = link.take_ended(end) {
                ended.push((what, end.since(at(0)).as_micros()));
            }
        }
        assert_eq!(ended, [("first", 12_000), ("second", 16_000)]);
        link.begin(at(100), 500, "after a pause");
        assert_eq!(link.next_end().unwrap().since(at(100)).as_micros(), 4_000);
    }

    #[test]
    fn what_is_broken_off_leaves_its_share_to_the_others() {
        let mut link = Link::new(1_000_000);
        link.begin(at(0), 1_000, 1);
        link.begin(at(0), 1_000, 2);
        link.break_off(at(8), |&what| what == 1);
        // Half of it has moved at half the pace; the rest takes 4 ms.
        assert_eq!(link.next_end().unwrap().since(at(0)).as_micros(), 12_000);
    }
}
