//! Hit ratio of a cache that evicts the least recently requested object, if requests are independent of each other.
//!
//! King's formula is exact, but it has as many terms as the catalogue has subsets. Che's approximation treats an object
//! as kept for a fixed time after each request. Its error is a few percent for a handful of objects, and close to zero
//! for thousands of them. [`hit_ratio`] uses the exact formula up to [`EXACT_MAX`] objects.
//!
//! Sources: W. F. King, "Analysis of demand paging algorithms", IFIP Congress 1971; H. Che, Y. Tung, Z. Wang,
//! "Hierarchical web caching systems", IEEE JSAC 20(7), 2002.

/// The largest catalogue whose hit ratio is computed exactly: a table of 2^16 subsets.
pub const EXACT_MAX: usize = 16;

/// Share of requests that are hits in a cache of `kept` objects. The objects are requested in proportion to `weights`
/// (none below 0, not all 0). King's formula serves a small catalogue, Che's a large one.
pub fn hit_ratio(weights: &[f64], kept: usize) -> f64 {
    match weights.len() {
        0..=EXACT_MAX => king(weights, kept),
        _ => che(weights, kept),
    }
}

/// The exact hit ratio, for at most [`EXACT_MAX`] objects; with more it panics.
///
/// The cache holds the `kept` objects that were requested last. Read backwards, they are distinct objects drawn one
/// after another. So the probability of a content S is a sum over the object drawn last: q(S) = Σ q(S - i) pᵢ / (1 -
/// p(S - i)).
pub fn king(weights: &[f64], kept: usize) -> f64 {
    assert!(
        weights.len() <= EXACT_MAX,
        "the subsets of {} objects are too many",
        weights.len()
    );
    let asked = shares(weights);
    if kept >= asked.len() {
        return f64::from(!asked.is_empty());
    }
    let subsets = 1_usize << asked.len();
    let mut share_of = vec![0.0; subsets];
    let mut drawn = vec![0.0; subsets];
    drawn[0] = 1.0;
    let mut hits = 0.0;
    for set in 1..subsets {
        let members = || (0..asked.len()).filter(|&object| set >> object & 1 == 1);
        share_of[set] = members().map(|object| asked[object]).sum();
        let size = members().count();
        if size > kept {
            continue;
        }
        drawn[set] = members()
            .map(|object| {
                let before = set & !(1 << object);
                drawn[before] * asked[object] / (1.0 - share_of[before])
            })
            .sum();
        if size == kept {
            hits += drawn[set] * share_of[set];
        }
    }
    hits
}

/// Che's approximation: an object is in the cache if it was requested within the last t seconds. The characteristic
/// time t is the one for which the cache is full on average: Σ (1 - e^(-pᵢt)) = C. The hit ratio is Σ pᵢ (1 -
/// e^(-pᵢt)).
pub fn che(weights: &[f64], kept: usize) -> f64 {
    let asked = shares(weights);
    if kept >= asked.len() {
        return f64::from(!asked.is_empty());
    }
    let found = |share: f64, time: f64| -libm::expm1(-share * time);
    let full = |time: f64| {
        let there = asked.iter().map(|&share| found(share, time)).sum::<f64>();
        there >= kept as f64
    };
    let mut above = 1.0;
    // Bounded: an object with a very small weight may never fill its place.
    for _ in 0..1_000 {
        if full(above) {
            break;
        }
        above *= 2.0;
    }
    let mut below = 0.0;
    // Each step halves the interval, until floating point has no number between its ends.
    for _ in 0..1_100 {
        let middle = below + (above - below) / 2.0;
        if middle <= below || middle >= above {
            break;
        }
        match full(middle) {
            true => above = middle,
            false => below = middle,
        }
    }
    asked.iter().map(|&share| share * found(share, above)).sum()
}

/// The weights as shares of all requests. Objects that are never requested are never in the cache, so they are left
/// out.
fn shares(weights: &[f64]) -> Vec<f64> {
    let asked: Vec<_> = weights
        .iter()
        .copied()
        .filter(|&weight| weight > 0.0)
        .collect();
    let whole: f64 = asked.iter().sum();
    asked.iter().map(|weight| weight / whole).collect()
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    const THREE: [f64; 3] = [0.5, 0.3, 0.2];

    fn zipf(objects: u32, exponent: f64) -> Vec<f64> {
        (1..=objects)
            .map(|rank| libm::pow(f64::from(rank), -exponent))
            .collect()
    }

    /// The hit ratio of a simulated LRU list.
    fn played(weights: &[f64], kept: usize, requests: u32, seed: u64) -> f64 {
        let mut rising = Vec::new();
        let mut sum = 0.0;
        for share in shares(weights) {
            sum += share;
            rising.push(sum);
        }
        let mut chance = Chance::of(seed);
        let mut newest_last: Vec<usize> = Vec::new();
        let mut hits = 0_u32;
        let warm_up = requests / 10;
        for request in 0..requests + warm_up {
            let drawn = chance.uniform();
            let object = rising.partition_point(|&up_to| up_to <= drawn);
            match newest_last.iter().position(|&held| held == object) {
                Some(at) => {
                    newest_last.remove(at);
                    hits += u32::from(request >= warm_up);
                }
                None if newest_last.len() == kept => drop(newest_last.remove(0)),
                None => {}
            }
            newest_last.push(object);
        }
        f64::from(hits) / f64::from(requests)
    }

    #[test]
    fn three_objects_and_one_or_two_places() {
        for (kept, ratio) in [(0, 0.0), (1, 0.38), (2, 0.719_286), (3, 1.0), (4, 1.0)] {
            close(hit_ratio(&THREE, kept), ratio, 5e-7);
        }
    }

    #[test]
    fn weights_need_not_add_up_to_one_and_an_object_without_requests_changes_nothing() {
        close(hit_ratio(&[5.0, 0.0, 3.0, 2.0], 2), 0.719_286, 5e-7);
        close(hit_ratio(&[1.0, 0.0], 1), 1.0, 0.0);
        close(hit_ratio(&[], 1), 0.0, 0.0);
        close(che(&[1.0, 1.0, 0.0], 2), 1.0, 0.0);
    }

    #[test]
    fn objects_that_are_asked_for_alike_are_found_as_often_as_they_have_places() {
        close(king(&[1.0; 10], 4), 0.4, 1e-12);
        close(che(&[1.0; 1_000], 250), 0.25, 1e-12);
    }

    #[test]
    fn a_small_catalogue_that_is_played_hits_as_king_says() {
        close(played(&THREE, 2, 100_000, 1), king(&THREE, 2), 0.006);
        let ten = zipf(10, 0.8);
        close(played(&ten, 4, 100_000, 2), king(&ten, 4), 0.007);
    }

    #[test]
    fn a_large_catalogue_that_is_played_hits_as_che_says() {
        let many = zipf(2_000, 0.8);
        close(played(&many, 100, 60_000, 3), che(&many, 100), 0.01);
    }

    #[test]
    fn che_comes_near_king_even_for_a_handful() {
        for kept in 1..=2 {
            close(che(&THREE, kept), king(&THREE, kept), 0.03);
        }
        let sixteen = zipf(16, 0.8);
        for kept in 1..16 {
            close(che(&sixteen, kept), king(&sixteen, kept), 0.01);
        }
    }
}
