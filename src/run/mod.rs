//! A run: a scenario is played at a cluster, faults happen when they are due, and what the audience saw is laid beside what
//! origin and edges counted.

pub mod ab;
pub mod ask;
pub mod cluster;
pub mod compose;
pub mod faults;
pub mod like_counts;
pub mod processes;
mod progress;
pub mod runner;
pub mod targets;
pub mod tiers;
