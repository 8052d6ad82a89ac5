//! Virtual time: caches and their miss queues, driven by events whose times come in as values.
//!
//! [`replay`] sends somebody's requests through a cache, and [`trace`] reads these requests from lines. Nothing here opens a
//! file, waits, or reads a clock.

mod classes;
pub mod keys;
pub mod lru;
mod per_second;
pub mod replay;
pub mod summary;
pub mod trace;
mod waits;
