//! What performs in real time: sockets, tasks, the disk, the clock.

pub mod admin;
pub mod broadcaster;
mod chance;
pub mod clock;
pub mod components;
pub mod discovery;
pub mod edge;
pub mod http;
pub mod likes;
pub mod metrics;
pub mod origin;
pub mod token;
pub mod workers;
