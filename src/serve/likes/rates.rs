//! How often one viewer, and one address, may send likes and taps.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::likes::limits::Limits;

/// After so many checks, those who have been quiet are forgotten: a bound on what is remembered.
const FORGET_AFTER: u32 = 65_536;

/// Counts per viewer and per address. A burst may be as large as what a second allows.
#[derive(Debug)]
pub struct Rates {
    viewers: DefaultKeyedRateLimiter<u64>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    loopback_counts: bool,
    hasher: RandomState,
    checks: AtomicU32,
}

impl Rates {
    /// Nobody has sent anything yet. Addresses of this very machine count only if `loopback_counts`.
    pub fn new(limits: &Limits, loopback_counts: bool) -> Self {
        let quota = |rate: u32| Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        Self {
            viewers: RateLimiter::keyed(quota(limits.viewer_rate_max)),
            addresses: RateLimiter::keyed(quota(limits.address_rate_max)),
            loopback_counts,
            hasher: RandomState::new(),
            checks: AtomicU32::new(0),
        }
    }

    /// Whether this viewer, at this address, may send one more now.
    pub fn admit(&self, viewer: &str, address: Option<IpAddr>) -> bool {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            self.viewers.retain_recent();
            self.addresses.retain_recent();
            self.viewers.shrink_to_fit();
        }
        let counted = address.filter(|address| self.loopback_counts || !address.is_loopback());
        counted.is_none_or(|address| self.addresses.check_key(&address).is_ok())
            && self
                .viewers
                .check_key(&self.hasher.hash_one(viewer))
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rates: &Rates, address: [u8; 4], viewers: impl Iterator<Item = usize>) -> usize {
        viewers
            .filter(|viewer| rates.admit(&format!("v{viewer}"), Some(address.into())))
            .count()
    }

    #[test]
    fn a_viewer_has_twenty_in_a_burst_and_another_viewer_has_its_own() {
        let rates = Rates::new(&Limits::default(), false);
        let count = admitted(&rates, [127, 0, 0, 1], std::iter::repeat_n(1, 25));
        assert!((20..=21).contains(&count), "{count}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 2..12), 10);
    }

    #[test]
    fn addresses_count_and_those_of_this_machine_only_if_asked() {
        let limits = Limits {
            address_rate_max: 5,
            ..Limits::default()
        };
        let rates = Rates::new(&limits, false);
        let elsewhere = admitted(&rates, [192, 0, 2, 1], 0..50);
        assert!((5..=6).contains(&elsewhere), "{elsewhere}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 100..150), 50);
        let asked = Rates::new(&limits, true);
        let here = admitted(&asked, [127, 0, 0, 1], 0..50);
        assert!((5..=6).contains(&here), "{here}");
    }
}
