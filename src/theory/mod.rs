//! Closed forms: what a run must show, worked out before it is run.
//!
//! Rate r for one key at one edge, fetch time L, lifetime T, segment duration D, N viewers, k edges, R renditions.

pub mod collapse;
pub mod spread;
