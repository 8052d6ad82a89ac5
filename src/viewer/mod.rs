//! One viewer as a pure state machine, and how an audience is drawn from a seed.
//!
//! The performer (sockets in `load`) asks [`player::Player::next`] what to do, does it, and tells the player how it
//! went, each time with the time. Nothing here reads a clock, and chance comes from seeded generators alone.

pub mod abr;
pub mod arrivals;
pub mod asking;
pub mod audience;
pub mod buffer;
mod chance;
pub mod likes;
pub mod player;
pub mod quality;
pub mod tally;
