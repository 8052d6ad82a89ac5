//! Closed forms: the results that a run must show, computed before it runs.
//!
//! Rate r for one key at one edge, fetch time L, lifetime T, segment duration D, N viewers, k edges, R renditions.
//! Transcendental functions come from libm, so a prediction is the same on every machine.

pub mod collapse;
pub mod delay;
pub mod erlang;
pub mod interval;
pub mod likes;
pub mod lru;
pub mod retries;
pub mod spread;
pub mod starvation;
pub mod waiters;

#[cfg(test)]
mod chance;
