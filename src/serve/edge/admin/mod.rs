//! An edge as its operator sees it: what it did, what it does, and what may be changed while it runs.

pub mod access;
pub(in crate::serve::edge) mod gauges;
pub mod operate;
pub(in crate::serve::edge) mod playlist_gauges;
