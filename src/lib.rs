//! Seawall: rehearse the minute when a celebrity goes live.
//!
//! ```text
//!  time, events and bytes come in as values; decisions, numbers and bytes go out
//! ┌───────────── decides: policy · hls · media · viewer · likes · theory · report · sim · time ──────────────┐
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
//! The code that decides is pure: no sockets, no files, no clock; a test enforces that. The code that performs carries out the
//! decisions. [`run`] plays both together, and [`app`] is the command line. `ARCHITECTURE.md` describes the rest: a request's
//! way, a flight's life, and the reasons.

// Points in time, as values.
pub mod time;

// The code that decides, in the order of a request: names and playlists, the edge's decisions, the bytes, the viewer.
pub mod hls;

pub mod policy;

pub mod media;

pub mod viewer;

pub mod likes;

// Expected results, and their comparison with a run.
pub mod theory;

pub mod report;

// The view of a running cluster.
pub mod top;

// The code that performs.
pub mod serve;

pub mod load;

// Data and its rules: every key, every scenario.
pub mod config;

pub mod scenario;

// The code that performs in virtual time.
pub mod sim;

// The code that composes: a run, and the command line.
pub mod terminal;

pub mod run;

pub mod app;
