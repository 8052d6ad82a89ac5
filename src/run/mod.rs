//! A run: a scenario is played at a cluster, and faults happen when they are due. Then the audience's record is compared with
//! the counts of origin and edges.

pub mod ab;
pub mod ask;
pub mod cluster;
pub mod compose;
pub mod exposed;
pub mod faults;
pub mod like_counts;
pub mod processes;
mod progress;
pub mod random;
pub mod runner;
pub mod settings;
pub mod simulated;
pub mod targets;
pub mod tiers;
pub mod variation;
