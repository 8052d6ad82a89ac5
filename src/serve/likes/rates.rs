//! How often one viewer, and one address, may send likes and taps.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderMap;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::likes::limits::Limits;

/// The header in which edges name the addresses that a request came from, the nearest last.
pub const FORWARDED_FOR: &str = "x-forwarded-for";
/// After so many checks, those who have been quiet are forgotten: a bound on what is remembered.
const FORGET_AFTER: u32 = 65_536;

/// Counts per viewer and per address. A burst may be as large as what a second allows.
#[derive(Debug)]
pub struct Rates {
    viewers: DefaultKeyedRateLimiter<u64>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    loopback_counts: bool,
    edges: Vec<IpAddr>,
    hasher: RandomState,
    checks: AtomicU32,
}

impl Rates {
    /// Nobody has sent anything yet. Addresses of this very machine count only if `loopback_counts`. `edges` are those on
    /// other machines.
    pub fn new(limits: &Limits, loopback_counts: bool, edges: &[IpAddr]) -> Self {
        let quota = |rate: u32| Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        Self {
            viewers: RateLimiter::keyed(quota(limits.viewer_rate_max)),
            addresses: RateLimiter::keyed(quota(limits.address_rate_max)),
            loopback_counts,
            edges: edges.to_vec(),
            hasher: RandomState::new(),
            checks: AtomicU32::new(0),
        }
    }

    /// Whose address counts: that of the peer, unless it is an edge, or a program on this very machine. Each edge on the way
    /// adds the address of its own peer to `X-Forwarded-For`, so the list is believed from its end, as far as edges go.
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let listed = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        let mut address = peer.to_canonical();
        for before in listed {
            let vouches = address.is_loopback() || self.edges.contains(&address);
            match before.trim().parse::<IpAddr>() {
                Ok(before) if vouches => address = before.to_canonical(),
                _ => break,
            }
        }
        address
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
        let rates = Rates::new(&Limits::default(), false, &[]);
        let count = admitted(&rates, [127, 0, 0, 1], std::iter::repeat_n(1, 25));
        assert!((20..=21).contains(&count), "{count}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 2..12), 10);
    }

    #[test]
    fn edges_say_whose_address_counts_and_nobody_else_does() {
        let edge: IpAddr = [198, 51, 100, 7].into();
        let rates = Rates::new(&Limits::default(), false, &[edge]);
        let address = |peer: &str, listed: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in listed {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            rates.address(peer.parse().unwrap(), &headers).to_string()
        };
        // A viewer at an edge who claims to be another; through a shield on this machine; one with no edge before it.
        assert_eq!(
            address("198.51.100.7", &["10.0.0.1, 192.0.2.1"]),
            "192.0.2.1"
        );
        assert_eq!(
            address("127.0.0.1", &["192.0.2.1", "198.51.100.7"]),
            "192.0.2.1"
        );
        assert_eq!(address("192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(address("198.51.100.7", &["unknown"]), "198.51.100.7");
        assert_eq!(address("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn addresses_count_and_those_of_this_machine_only_if_asked() {
        let limits = Limits {
            address_rate_max: 5,
            ..Limits::default()
        };
        let rates = Rates::new(&limits, false, &[]);
        let elsewhere = admitted(&rates, [192, 0, 2, 1], 0..50);
        assert!((5..=6).contains(&elsewhere), "{elsewhere}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 100..150), 50);
        let asked = Rates::new(&limits, true, &[]);
        let here = admitted(&asked, [127, 0, 0, 1], 0..50);
        assert!((5..=6).contains(&here), "{here}");
    }
}
