//! Likes: the meaning of a durable FIFO queue of updates, as values. `serve/likes` stores and serves them.
//!
//! ```text
//! operations ─▶ batch (bytes) ─▶ log: entries in one order ─▶ fold, one by one ─▶ State: counts and likers
//! ```
//! A log may hold a batch twice, and a viewer may send an operation twice: the fold counts each once. The same entries
//! give the same state on every node and every storage. [`snapshot::hash`] tells whether two states are equal.

pub mod batch;
pub mod consistency;
pub mod durability;
pub mod fold;
pub mod forward;
pub mod gather;
pub mod keys;
pub mod limits;
pub mod names;
pub mod operation;
pub mod reading;
pub mod snapshot;
pub mod window;

mod varint;

#[cfg(test)]
mod properties;

pub use batch::Batch;
pub use consistency::{Consistency, Token};
pub use fold::{Counts, Effect, Outcome, State};
pub use limits::LikesLimits;
pub use operation::{Action, Change, Identity, Operation, Update};
pub use reading::Reading;
