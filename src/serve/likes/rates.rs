//! Rate limits of likes and hearts: per viewer and per address.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderMap;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::likes::limits::LikesLimits;

/// The header in which edges name the addresses of a request's senders, the nearest last.
pub const FORWARDED_FOR: &str = "x-forwarded-for";
/// Number of checks after which inactive senders are forgotten. This bounds the memory.
const FORGET_AFTER: u32 = 65_536;

/// The rate limit of addresses, and which senders are trusted to name them.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Operations per second of one address.
    pub rate_max: u32,
    /// Whether the rate limit also applies to addresses of this machine.
    pub loopback_counts: bool,
    /// Edges on other machines, which are trusted to name their viewers' addresses.
    pub edges: Vec<IpAddr>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            rate_max: LikesLimits::default().address_rate_max,
            loopback_counts: false,
            edges: Vec::new(),
        }
    }
}

/// Rate limiters per viewer and per address. A burst may be as large as the operations of one second.
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
    /// Rate limiters before the first request.
    pub fn new(viewer_rate_max: u32, addresses: &Addresses) -> Self {
        let quota = |rate: u32| Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        Self {
            viewers: RateLimiter::keyed(quota(viewer_rate_max)),
            addresses: RateLimiter::keyed(quota(addresses.rate_max)),
            loopback_counts: addresses.loopback_counts,
            edges: addresses.edges.clone(),
            hasher: RandomState::new(),
            checks: AtomicU32::new(0),
        }
    }

    /// Rate limiters for a node where viewers have no names.
    pub fn of(addresses: &Addresses) -> Self {
        Self::new(LikesLimits::default().viewer_rate_max, addresses)
    }

    /// The address that counts: that of the peer, unless the peer is an edge or a program on this machine. Each edge on
    /// the way adds the address of its own peer to `X-Forwarded-For`. So the list is trusted from its end, as long as
    /// the addresses are those of edges.
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let listed = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        self.behind(peer, listed)
    }

    /// The address that counts for a list as text, the nearest last, that came from `peer`.
    pub fn address_in(&self, peer: IpAddr, list: &str) -> IpAddr {
        self.behind(peer, list.rsplit(','))
    }

    fn behind<'a>(&self, peer: IpAddr, listed: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut address = peer.to_canonical();
        for before in listed {
            match before.trim().parse::<IpAddr>() {
                Ok(before) if self.vouches(address) => address = before.to_canonical(),
                _ => break,
            }
        }
        address
    }

    /// The edge that sent a request; `None` if a viewer sent it, also through an edge.
    pub fn edge(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        Some(self.address(peer, headers)).filter(|address| self.vouches(*address))
    }

    /// Whether this address is trusted: it is an edge, or a program on this machine.
    fn vouches(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.edges.contains(&address)
    }

    /// Whether this viewer at this address may send one more operation now. Without a viewer, only the address counts.
    pub fn admit(&self, viewer: Option<&str>, address: Option<IpAddr>) -> bool {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_AFTER == FORGET_AFTER - 1 {
            self.viewers.retain_recent();
            self.addresses.retain_recent();
            self.viewers.shrink_to_fit();
        }
        let counted = address.filter(|address| self.loopback_counts || !address.is_loopback());
        counted.is_none_or(|address| self.addresses.check_key(&address).is_ok())
            && viewer.is_none_or(|viewer| {
                let key = self.hasher.hash_one(viewer);
                self.viewers.check_key(&key).is_ok()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rates: &Rates, address: [u8; 4], viewers: impl Iterator<Item = usize>) -> usize {
        viewers
            .filter(|viewer| rates.admit(Some(&format!("v{viewer}")), Some(address.into())))
            .count()
    }

    fn behind(edge: IpAddr) -> Rates {
        Rates::of(&Addresses {
            edges: vec![edge],
            ..Addresses::default()
        })
    }

    #[test]
    fn a_viewer_has_twenty_in_a_burst_and_another_viewer_has_its_own() {
        let rates = Rates::of(&Addresses::default());
        let count = admitted(&rates, [127, 0, 0, 1], std::iter::repeat_n(1, 25));
        assert!((20..=21).contains(&count), "{count}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 2..12), 10);
    }

    #[test]
    fn only_edges_say_whose_address_counts() {
        let edge: IpAddr = [198, 51, 100, 7].into();
        let rates = behind(edge);
        let address = |peer: &str, listed: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in listed {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            rates.address(peer.parse().unwrap(), &headers).to_string()
        };
        // A viewer at an edge who claims another address; one through a shield on this machine; one with no edge before
        // it.
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
    fn an_edge_is_told_from_a_viewer_who_comes_through_one() {
        let edge: IpAddr = [198, 51, 100, 7].into();
        let rates = behind(edge);
        let is_edge = |peer: &str, listed: &str| {
            let mut headers = HeaderMap::new();
            if !listed.is_empty() {
                headers.append(FORWARDED_FOR, listed.parse().unwrap());
            }
            rates.edge(peer.parse().unwrap(), &headers).is_some()
        };
        assert!(is_edge("198.51.100.7", ""));
        assert!(is_edge("127.0.0.1", "198.51.100.7"), "through a shield");
        assert!(!is_edge("192.0.2.1", ""));
        assert!(!is_edge("198.51.100.7", "192.0.2.1"));
        assert!(!is_edge("198.51.100.7", "127.0.0.1, 192.0.2.1"));
        assert!(!is_edge("127.0.0.1", "198.51.100.7, 192.0.2.1"));
    }

    #[test]
    fn addresses_count_and_those_of_this_machine_only_if_asked() {
        let few = Addresses {
            rate_max: 5,
            ..Addresses::default()
        };
        let rates = Rates::of(&few);
        let elsewhere = admitted(&rates, [192, 0, 2, 1], 0..50);
        assert!((5..=6).contains(&elsewhere), "{elsewhere}");
        assert_eq!(admitted(&rates, [127, 0, 0, 1], 100..150), 50);
        let asked = Rates::of(&Addresses {
            loopback_counts: true,
            ..few
        });
        let here = admitted(&asked, [127, 0, 0, 1], 0..50);
        assert!((5..=6).contains(&here), "{here}");
    }
}
