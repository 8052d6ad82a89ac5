//! An edge: viewers on one side, an origin on the other, a cache and a miss queue between.
//!
//! ```text
//! request ─▶ routes ─▶ store ── fresh, stale, negative ──▶ answer
//!                        │ nothing that serves
//!                        ▼
//!                      flights ── lead: fetch (a task of the edge's own) ─▶ upstream ─▶ origin
//!                        │ follow: watch that fetch                │
//!                        ▼                                         ▼ whole and of the length announced
//!                      answer ◀── chunks as they arrive         store
//! ```

pub mod access;
mod answer;
mod baseline;
mod blocking;
mod fetch;
pub mod flights;
mod follow;
mod gauges;
mod head;
mod health;
mod likes;
pub mod metrics;
mod moka_cache;
mod node;
pub mod operate;
mod pass;
mod paths;
pub mod permit;
mod playlist_gauges;
mod polling;
mod renditions;
mod request;
mod routes;
mod serve;
pub mod store;
mod stored;
pub mod upstream;

pub use self::node::{Config, Edge, EdgeError};
