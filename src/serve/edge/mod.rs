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

pub mod admin;
mod baselines;
mod fetch;
pub mod flights;
mod health;
mod likes;
pub mod metrics;
mod node;
pub mod permit;
mod place;
mod renditions;
mod request;
pub mod store;
pub mod upstream;

pub use self::node::{Edge, EdgeConfig, EdgeError};
