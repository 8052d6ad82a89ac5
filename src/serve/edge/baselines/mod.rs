//! Other ways to handle misses, for comparison: moka's own collapsing, and nginx's polling.

pub(super) mod moka;
pub(super) mod moka_cache;
pub(super) mod polling;
