//! Virtual time: the same policy, players and playlists under an agenda of events, without sockets and without a clock.
//!
//! [`play::Simulation`] plays a [`plan::Plan`]: viewers, caches, an origin. The code that decides is the code that also decides over
//! sockets: `policy`, `viewer`, `hls`. This folder performs what it decides. One player may decide for many viewers
//! ([`plan::Record`]), so that fifty million of them fit into minutes of work. [`replay`] sends somebody else's requests through a
//! cache.

pub mod agenda;
mod batches;
pub mod crowd;
mod exchange;
mod fault;
mod fetch;
pub mod key;
mod likes;
pub mod link;
pub mod lru;
mod node;
mod operations;
mod origin;
mod places;
pub mod plan;
pub mod play;
pub mod replay;
mod request;
mod split;
pub mod stream;
pub mod summary;
mod tally;
mod visitor;
mod work;
mod world;
