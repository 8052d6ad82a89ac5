//! What performs in real time: sockets, tasks, the disk, the clock.

pub mod admin;
pub mod broadcaster;
mod chance;
pub mod clock;
pub mod cluster;
pub mod conditions;
pub mod connection;
pub mod discovery;
pub mod edge;
pub mod likes;
pub mod listener;
pub mod metrics;
pub mod origin;
pub mod redacted;
pub mod request_filter;
pub mod token;
pub mod workers;
