//! Seawall: rehearse the minute when a celebrity goes live.
//!
//! ```text
//!  time, events and bytes come in as values; decisions, numbers and bytes go out
//! ┌──────────────── decides: policy · hls · media · viewer · likes · theory · report · time ─────────────────┐
//! │ Stored::glance(now) ─▶ Hit | Stale | Negative | Pass | Ask    Player::next(now) ─▶ Get | WakeAt | Leave  │
//! │ Flights::board(key) ─▶ Lead | Follow | Shed                   media::segment(channel, rendition, number) │
//! └─────────────▲──────────────────────│─────────────────────────────────────▲──────────────────────│────────┘
//!         event │                      │ decision                      event │                      │ decision
//! ┌─────────────┴──────────────────────▼─────────────┐    ┌──────────────────┴──────────────────────▼────────┐
//! │ serve performs: sockets, tasks, moka, the disk   │    │ load performs: the audience's connections        │
//! └──────────────────────────────────────────────────┘    └──────────────────────────────────────────────────┘
//!
//!   broadcaster ─▶ origin ◀─ one fetch per key and edge ─ edges ◀─ viewers
//! ```
//!
//! What decides is pure: no sockets, no files, no clock; a test holds that. What performs does what was decided.
//! [`run`] plays both together, and [`app`] is what a person types. `ARCHITECTURE.md` tells the rest: a request's way, a flight's life,
//! and why.

// What everything is measured in.
pub mod time;

// What decides, in the order of a request: names and playlists, the edge's decisions, the bytes, the viewer.
pub mod hls;

pub mod policy;

pub mod media;

pub mod viewer;

pub mod likes;

// What must come out, and whether it did.
pub mod theory;

pub mod report;

// What is seen of a cluster that runs.
pub mod top;

// What performs.
pub mod serve;

pub mod load;

// Data and its rules: every key, every scenario.
pub mod config;

pub mod scenario;

// What composes: a run, and what a person types.
pub mod terminal;

pub mod run;

pub mod app;
