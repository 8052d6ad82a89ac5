//! The edge's decisions, without sockets and without a clock: what a request gets, when an object is stale, who leads.
//!
//! The performer (`serve`) brings events and the time, and does what the decision says. Policy imports no other pure
//! folder; facts of a playlist come in as [`rendition::PlaylistFacts`].

pub mod admission;
pub mod blocking;
pub mod capacity;
pub mod collapse;
pub mod edge;
pub mod flight;
pub mod freshness;
pub mod key;
pub mod landing;
pub mod limits;
pub mod prefetch;
pub mod rendition;
pub mod retry;
pub mod sharing;
pub mod status;
pub mod tier;
