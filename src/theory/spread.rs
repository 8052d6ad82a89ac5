//! How an audience spreads over edges, and what that asks of the origin.

use std::time::Duration;

/// Expected number of `edges` that have at least one of `viewers` viewers: k(1 - (1 - 1/k)^N).
pub fn edges_occupied(edges: u64, viewers: u64) -> f64 {
    let k = edges as f64;
    if edges == 0 {
        return 0.0;
    }
    k * (1.0 - libm::pow(1.0 - 1.0 / k, viewers as f64))
}

/// Segments per second that `fetchers` (edges, or shield groups in front of them) ask of the origin at full occupancy:
/// kR/D. It does not grow with the number of viewers.
pub fn segment_rate(fetchers: u64, renditions: u64, segment: Duration) -> f64 {
    fetchers as f64 * renditions as f64 / segment.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_viewers_leave_some_of_fifty_edges_empty() {
        assert!((edges_occupied(50, 100) - 43.37).abs() < 5e-3);
        assert_eq!(edges_occupied(1, 1), 1.0);
        assert_eq!(edges_occupied(0, 1), 0.0);
    }

    #[test]
    fn shields_divide_what_the_origin_sees() {
        let segment = Duration::from_secs(2);
        assert_eq!(segment_rate(300, 5, segment), 750.0);
        assert_eq!(segment_rate(4, 5, segment), 10.0);
    }
}
