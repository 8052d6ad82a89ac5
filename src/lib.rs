//! Seawall: rehearse the minute when a celebrity goes live.

pub mod cli;
pub mod commands;
pub mod compose;
pub mod config;
pub mod hls;
pub mod load;
pub mod media;
pub mod policy;
pub mod rehearsal;
pub mod report;
pub mod scenario;
pub mod serve;
pub mod theory;
pub mod time;
pub mod viewer;
