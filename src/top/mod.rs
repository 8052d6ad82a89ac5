//! What `seawall top` shows: from samples over a view to a picture, as values.
//!
//! [`samples`] reads what a room exposes, [`view`] keeps what one must know of two scrapes and of the past,
//! [`draw`] paints a view and [`text`] says it in a line. Nothing here asks anybody, or reads a clock.

pub mod draw;
pub mod samples;
pub mod text;
pub mod view;
