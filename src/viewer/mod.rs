//! One viewer as a pure state machine, and how an audience is drawn from a seed.
//!
//! The performer (sockets in `load`) asks [`player::Player::next`] what to do, does it, and reports the outcome to the player.
//! Each call passes the time. No code here reads a clock, and chance comes only from seeded generators.

pub mod abr;
pub mod arrivals;
pub mod asking;
pub mod audience;
pub mod buffer;
pub(crate) mod chance;
pub mod failure;
pub mod likes;
mod object;
mod place;
pub mod player;
pub mod quality;
mod steering;
pub mod tally;
