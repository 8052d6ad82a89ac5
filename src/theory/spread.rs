//! How an audience spreads over edges, and how many requests the origin gets because of it.

use std::time::Duration;

/// Expected number of `edges` with at least one of the `viewers` viewers: k(1 - (1 - 1/k)^N).
pub fn edges_occupied(edges: u64, viewers: u64) -> f64 {
    let k = edges as f64;
    if edges == 0 {
        return 0.0;
    }
    k * (1.0 - libm::pow(1.0 - 1.0 / k, viewers as f64))
}

/// Segments per second that `fetchers` (edges, or shield groups in front of them) request from the origin at full
/// occupancy: kR/D. The rate does not grow with the number of viewers.
pub fn segment_rate(fetchers: u64, renditions: u64, segment: Duration) -> f64 {
    fetchers as f64 * renditions as f64 / segment.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, close};
    use super::*;

    #[test]
    fn a_hundred_viewers_leave_some_of_fifty_edges_empty() {
        close(edges_occupied(50, 100), 43.37, 5e-3);
        assert_eq!(edges_occupied(1, 1), 1.0);
        assert_eq!(edges_occupied(0, 1), 0.0);
    }

    #[test]
    fn drawn_viewers_occupy_as_many_edges() {
        const AUDIENCES: u32 = 4_000;
        let mut chance = Chance::of(19);
        let mut occupied = 0;
        for _ in 0..AUDIENCES {
            let mut taken = [false; 50];
            for _ in 0..100 {
                taken[(50.0 * chance.uniform()) as usize] = true;
            }
            occupied += taken.iter().filter(|taken| **taken).count();
        }
        let mean = occupied as f64 / f64::from(AUDIENCES);
        close(mean, edges_occupied(50, 100), 0.15);
    }

    #[test]
    fn shields_divide_what_the_origin_sees() {
        let segment = Duration::from_secs(2);
        assert_eq!(segment_rate(300, 5, segment), 750.0);
        assert_eq!(segment_rate(4, 5, segment), 10.0);
        // The number of viewers is not a term: at full occupancy ten times the viewers change nothing.
        close(
            edges_occupied(300, 10_000),
            edges_occupied(300, 100_000),
            1e-9,
        );
    }
}
