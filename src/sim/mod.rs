//! Virtual time: caches and their miss queues, driven by events whose times come in as values.
//!
//! [`trace`] reads requests from lines. Nothing here opens a
//! file, waits, or reads a clock.

pub mod keys;
pub mod lru;
pub mod trace;
