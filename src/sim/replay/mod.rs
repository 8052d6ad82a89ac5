//! Somebody's requests through one cache and its miss queue, in virtual time.
//!
//! [`trace`] reads requests from lines, [`engine`] sends them through the cache, and [`summary`] makes the report. Nothing here
//! opens a file, waits, or reads a clock.

mod classes;
pub mod engine;
pub mod keys;
mod per_second;
mod series;
pub mod summary;
pub mod trace;
mod waits;
