//! Chooses the upstream of a key by rendezvous hashing. Each key has its own order of upstreams, and all edges that
//! know the same upstreams agree on it. If an upstream is lost, only its own keys move.

/// The indices of `upstreams`: first the upstream that the object called `name` belongs to, then those that stand in
/// for it.
pub fn order(name: &str, upstreams: &[impl AsRef<str>]) -> Vec<usize> {
    let mut ranked: Vec<_> = upstreams
        .iter()
        .enumerate()
        .map(|(index, upstream)| {
            let mixed_in = fnv(fnv(0xcbf2_9ce4_8422_2325, upstream.as_ref()), name);
            (mixed(mixed_in), index)
        })
        .collect();
    ranked.sort_unstable_by(|one, other| other.cmp(one));
    ranked.into_iter().map(|(_, index)| index).collect()
}

/// FNV-1a: the same on every machine and in every release, which the standard library's hashers do not promise.
fn fnv(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Spreads the differences that FNV leaves in the low bits over all bits (the finaliser of MurmurHash3).
fn mixed(mut hash: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_evenly_and_a_lost_upstream_moves_only_its_own() {
        let all = ["http://a:1", "http://b:1", "http://c:1"];
        let two = [all[0], all[1]];
        let mut counts = [0; 3];
        for number in 0..3_000_u64 {
            let with = order(&number.to_string(), &all);
            let without = order(&number.to_string(), &two);
            counts[with[0]] += 1;
            if with[0] != 2 {
                assert_eq!(with[0], without[0], "{number} has moved without need");
            }
        }
        assert!(
            counts.iter().all(|&count| (900..=1_100).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn every_upstream_is_in_the_order_once() {
        let all: Vec<_> = (0..7).map(|index| format!("http://s{index}")).collect();
        let mut order = order("key", &all);
        order.sort_unstable();
        assert_eq!(order, (0..7).collect::<Vec<_>>());
    }
}
