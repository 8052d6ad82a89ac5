//! The origin.

pub mod answer;
pub mod document;
pub mod faults;
pub mod folder;
pub mod hits;
pub mod store;
