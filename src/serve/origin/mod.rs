//! The origin.

pub mod document;
pub mod folder;
pub mod store;
