//! What `seawall top` shows: from samples to a view to a picture, as values.
//!
//! [`samples`] reads what a component exposes. [`view`] compares two scrapes and keeps the past. [`draw`] paints a
//! view, and [`text`] writes it as one line. Nothing here sends a request or reads a clock.

pub mod draw;
pub mod samples;
pub mod text;
pub mod view;
